/* Zip, read forward from one local header to the next; the directory at the end of an archive is
 * not there yet when its members are written.
 *
 *   off  size  local header (numbers are little-endian)
 *     0     4  "PK" 3 4
 *     4     2  version
 *     6     2  flags: 1 encrypted, 8 the sizes stand in a descriptor behind the data
 *     8     2  method: 0 stored
 *    10     8  time, date, CRC
 *    18     4  stored size; all ones: in the extra field
 *    22     4  size
 *    26     2  length of the name
 *    28     2  length of the extra field
 *
 * Name, extra field and data follow. Extra fields are an id and a length of 2 bytes each, then
 * data; id 1 (zip64) holds size and stored size, 8 bytes each. A descriptor is "PK" 7 8, CRC, and
 * both sizes of 4 or 8 bytes.
 *
 * numpy writes a header without sizes, then the data, and then the header again if it can seek. So
 * a size of 0 means that it is not known, and the .npy head tells where the array ends. */
#include "codec/zip.h"

#include <string.h>

#include "codec/head_item.h"
#include "codec/npy.h"
#include "conf/base.h"
#include "conf/bytes.h"

#define LOCAL_LEN	 30u
#define FLAG_ENCRYPTED	 1u
#define FLAG_DESCRIPTOR	 8u
#define DESCRIPTOR_LEN	 16u
#define DESCRIPTOR64_LEN 24u
#define EXTRA_ZIP64	 1u
#define NPY_HEAD_MAX	 4096u /* longer ones are found in the first member only */

struct member {
	uint64_t data;	 /* where it begins, from the local header on */
	uint64_t stored; /* bytes, when known */
	bool known;
	bool plain; /* the bytes are the file's */
};

static bool is_mark(const uint8_t *p, size_t len, uint8_t a, uint8_t b)
{
	return len >= 4 && p[0] == 'P' && p[1] == 'K' && p[2] == a && p[3] == b;
}

/* Bytes of the descriptor at @p, 0 where there is none. Both lengths are tried: what follows is
 * another member, or the directory. */
static size_t descriptor_len(const uint8_t *p, size_t len)
{
	static const size_t lens[] = {DESCRIPTOR_LEN, DESCRIPTOR64_LEN};

	if (!is_mark(p, len, 7, 8))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		size_t n = lens[i];

		if (len >= n && (is_mark(p + n, len - n, 3, 4) || is_mark(p + n, len - n, 1, 2)))
			return n;
	}
	return 0;
}

/* The stored size in the zip64 field; UINT64_MAX where there is none. */
static uint64_t extra_size(struct rbuf r)
{
	while (!r.bad && r.pos < r.len) {
		uint16_t id = rbuf_u16(&r);
		uint16_t n = rbuf_u16(&r);
		const uint8_t *p = rbuf_skip(&r, n);

		if (p && id == EXTRA_ZIP64 && n >= 16)
			return get_u64(p + 8);
	}
	return UINT64_MAX;
}

/* Parse the local header at @p. Returns false when it is none, or cut. */
static bool parse_local(const uint8_t *p, size_t len, struct member *m)
{
	struct rbuf r = rbuf_init(p, len);
	const uint8_t *extra;
	uint64_t size64;
	uint16_t flags;

	if (len < LOCAL_LEN || !is_mark(p, len, 3, 4))
		return false;
	rbuf_skip(&r, LOCAL_LEN + (size_t)get_u16(p + 26));
	extra = rbuf_skip(&r, get_u16(p + 28));
	if (!extra)
		return false;
	flags = get_u16(p + 6);
	size64 = extra_size(rbuf_init(extra, get_u16(p + 28)));
	m->data = r.pos;
	m->plain = !(flags & FLAG_ENCRYPTED) && get_u16(p + 8) == 0;
	m->stored = get_u32(p + 18);
	if (m->stored == UINT32_MAX || (m->stored == 0 && size64 != UINT64_MAX))
		m->stored = size64 == UINT64_MAX ? 0 : size64;
	m->known = m->stored || (!(flags & FLAG_DESCRIPTOR) && size64 == UINT64_MAX);
	return true;
}

/* The array of the member whose data begin at @p, file offset @off. Returns false where it holds
 * none, or ends before its array does. */
static bool member_array(const struct member *m, const uint8_t *p, size_t len, uint64_t off,
			 struct head_array *a)
{
	/* A .npy head must end within its member, so that no byte is read for two of them. */
	if (m->known && m->stored < len)
		len = (size_t)m->stored;
	if (!m->plain || !npy_find(p, len, a) || a->end == UINT64_MAX ||
	    (m->known && m->stored < a->end))
		return false;
	return !__builtin_add_overflow(a->start, off, &a->start) &&
	       !__builtin_add_overflow(a->end, off, &a->end) && a->end <= INT64_MAX;
}

/* Whether a member, or what may stand before one, begins here and is cut. */
static bool is_cut(const uint8_t *p, size_t len)
{
	return len < 4 || is_mark(p, len, 7, 8) || is_mark(p, len, 3, 4);
}

/* Add the array of the member at @pos. Returns where the member ends; @pos when it is cut; 0 when
 * it is none, or does not tell. */
static uint64_t take_member(const uint8_t *bytes, size_t len, uint64_t off, uint64_t pos,
			    struct head_list *l)
{
	size_t skip = descriptor_len(bytes + pos, len - pos);
	uint64_t data = pos + skip;
	struct head_array a;
	struct member m;
	uint64_t end = 0;

	if (!parse_local(bytes + data, len - data, &m))
		return is_cut(bytes + data, len - data) ? pos : 0;
	data += m.data;
	if (m.known && __builtin_add_overflow(data, m.stored, &end))
		end = 0;
	if (member_array(&m, bytes + data, len - data, off + data, &a)) {
		head_list_add(l, &a);
		return m.known ? end : a.end - off;
	}
	if (m.plain && pos > 0 && len - data < NPY_HEAD_MAX && (!m.known || m.stored > len - data))
		return pos;
	return end;
}

uint64_t zip_find(const uint8_t *bytes, size_t len, uint64_t off, struct head_list *l)
{
	uint64_t pos = 0;

	while (pos < len && !head_list_full(l)) {
		uint64_t end = take_member(bytes, len, off, pos, l);

		if (end == 0)
			return 0;
		if (end == pos)
			break;
		pos = end;
	}
	if (pos == 0 || __builtin_add_overflow(pos, off, &pos) || pos > INT64_MAX)
		return 0;
	return pos;
}
