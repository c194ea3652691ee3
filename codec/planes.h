/* Byte planes: byte 0 of every item, then byte 1 of every item, and so on. Numbers of one array
 * differ little in their high bytes, and zstd finds that only when those bytes stand together.
 *
 * The first @phase bytes and the bytes after the last whole item are copied as they are, in place.
 * Threads: any. */
#ifndef CODEC_PLANES_H
#define CODEC_PLANES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLANES_MAX 8

/* Which code does it; all give the same bytes. */
enum planes_impl {
	PLANES_PLAIN,
	PLANES_SSE2,
	PLANES_AVX2,
	PLANES_NR,
};

/* True for the widths that the functions below take: 1 (a copy), 2, 4 and 8. */
static inline bool planes_width_ok(unsigned w)
{
	return w == 1 || w == 2 || w == 4 || w == 8;
}

/* Whole items in @len bytes. */
static inline size_t planes_items(size_t len, unsigned w, unsigned phase)
{
	assert(planes_width_ok(w));
	return len > phase ? (len - phase) / w : 0;
}

/* Split @len bytes at @src into planes at @dst, which has room for as many. They must not overlap.
 * @phase is less than @w. */
void planes_split(uint8_t *dst, const uint8_t *src, size_t len, unsigned w, unsigned phase);

/* Undo planes_split(). */
void planes_join(uint8_t *dst, const uint8_t *src, size_t len, unsigned w, unsigned phase);

/* The same with one implementation, for tests: false, and nothing done, when this machine lacks
 * it. */
bool planes_split_with(enum planes_impl impl, uint8_t *dst, const uint8_t *src, size_t len,
		       unsigned w, unsigned phase);
bool planes_join_with(enum planes_impl impl, uint8_t *dst, const uint8_t *src, size_t len,
		      unsigned w, unsigned phase);

#endif
