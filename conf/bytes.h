/* Formats that outlive us are encoded field by field, little-endian, through these.
 *
 * Plain get and put are for offsets the caller has checked. The cursors `struct wbuf` and `struct rbuf` check for
 * themselves: after the first overrun they stay in error and read zeros, so that a decoder asks once, at the end.
 * Threads: any; a cursor belongs to one. */
#ifndef CONF_BYTES_H
#define CONF_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline void put_u8(void *p, uint8_t v)
{
	memcpy(p, &v, 1);
}

static inline uint8_t get_u8(const void *p)
{
	return *(const uint8_t *)p;
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#define BYTES_LE16(v) __builtin_bswap16(v)
#define BYTES_LE32(v) __builtin_bswap32(v)
#define BYTES_LE64(v) __builtin_bswap64(v)
#define BYTES_BE64(v) (v)
#else
#define BYTES_LE16(v) (v)
#define BYTES_LE32(v) (v)
#define BYTES_LE64(v) (v)
#define BYTES_BE64(v) __builtin_bswap64(v)
#endif

#define BYTES_DEFINE(name, type, conv)                                                             \
	static inline void put_##name(void *p, type v)                                             \
	{                                                                                          \
		v = conv(v);                                                                       \
		memcpy(p, &v, sizeof(v));                                                          \
	}                                                                                          \
	static inline type get_##name(const void *p)                                               \
	{                                                                                          \
		type v;                                                                            \
                                                                                                   \
		memcpy(&v, p, sizeof(v));                                                          \
		return conv(v);                                                                    \
	}

BYTES_DEFINE(u16, uint16_t, BYTES_LE16)
BYTES_DEFINE(u32, uint32_t, BYTES_LE32)
BYTES_DEFINE(u64, uint64_t, BYTES_LE64)
/* Big-endian, for keys that sort as numbers do. */
BYTES_DEFINE(be64, uint64_t, BYTES_BE64)
#undef BYTES_DEFINE

/* Writes into borrowed memory of fixed length. */
struct wbuf {
	uint8_t *p;
	size_t len; /* of the memory */
	size_t pos; /* bytes written */
	bool bad;   /* something did not fit */
};

/* Reads from borrowed memory. */
struct rbuf {
	const uint8_t *p;
	size_t len;
	size_t pos;
	bool bad; /* something was asked for that is not there */
};

static inline struct wbuf wbuf_init(void *p, size_t len)
{
	return (struct wbuf){.p = p, .len = len};
}

static inline struct rbuf rbuf_init(const void *p, size_t len)
{
	return (struct rbuf){.p = p, .len = len};
}

/* NULL, and bad, when there is no room. */
static inline uint8_t *wbuf_skip(struct wbuf *w, size_t n)
{
	uint8_t *at;

	if (w->bad || n > w->len - w->pos) {
		w->bad = true;
		return NULL;
	}
	at = w->p + w->pos;
	w->pos += n;
	return at;
}

static inline const uint8_t *rbuf_skip(struct rbuf *r, size_t n)
{
	const uint8_t *at;

	if (r->bad || n > r->len - r->pos) {
		r->bad = true;
		return NULL;
	}
	at = r->p + r->pos;
	r->pos += n;
	return at;
}

static inline void wbuf_bytes(struct wbuf *w, const void *src, size_t n)
{
	uint8_t *at = wbuf_skip(w, n);

	if (at && n)
		memcpy(at, src, n);
}

static inline void rbuf_bytes(struct rbuf *r, void *dst, size_t n)
{
	const uint8_t *at = rbuf_skip(r, n);

	if (at && n)
		memcpy(dst, at, n);
	else if (n)
		memset(dst, 0, n);
}

#define BYTES_CURSOR(name, type)                                                                   \
	static inline void wbuf_##name(struct wbuf *w, type v)                                     \
	{                                                                                          \
		uint8_t *at = wbuf_skip(w, sizeof(type));                                          \
                                                                                                   \
		if (at)                                                                            \
			put_##name(at, v);                                                         \
	}                                                                                          \
	static inline type rbuf_##name(struct rbuf *r)                                             \
	{                                                                                          \
		const uint8_t *at = rbuf_skip(r, sizeof(type));                                    \
                                                                                                   \
		return at ? get_##name(at) : 0;                                                    \
	}

BYTES_CURSOR(u8, uint8_t)
BYTES_CURSOR(u16, uint16_t)
BYTES_CURSOR(u32, uint32_t)
BYTES_CURSOR(u64, uint64_t)
BYTES_CURSOR(be64, uint64_t)
#undef BYTES_CURSOR

#endif
