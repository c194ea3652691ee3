/* Filters: what is done to the numbers of a tile before its bytes are entropy coded. Each number is
 * replaced by what a guess from its neighbours missed it by, and the bytes of the results are
 * parted into planes: byte 0 (the lowest) of every item, then byte 1 of every item, and so on.
 * Small misses of numbers then make planes of zeros.
 *
 * Items are unsigned integers of `width` bytes, little-endian or, with `swap`, big-endian: x[0] to
 * x[n-1]. Arithmetic is modulo 2^(8 width), and x[i] is 0 for i < 0. With P = pitch / width, and
 * zigzag(d) = 2d for d >= 0, -2d - 1 for d < 0, the planes hold:
 *
 *   FILTER_NONE     x[i]
 *   FILTER_DELTA    order 1: zigzag(x[i] - x[i-dist])
 *                   order 2: zigzag(x[i] - 2 x[i-dist] + x[i-2dist]), the difference of differences
 *                   order 3: zigzag(x[i] - 3 x[i-dist] + 3 x[i-2dist] - x[i-3dist])
 *   FILTER_LORENZO  zigzag(x[i] - x[i-dist] - x[i-P] + x[i-P-dist])
 *   FILTER_FLOAT    x[i] with its sign bit and its exponent brought together in whole bytes:
 *                   width 8: bias << 52 is taken from the low 63 bits, modulo 2^63; rotated left 4
 *                   width 2 or 4: rotated left 1
 *
 * The first @phase bytes and the bytes after the last whole item are copied as they are, in place.
 * Threads: any. */
#ifndef CODEC_FILTER_H
#define CODEC_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are on disk. */
enum filter_id {
	FILTER_NONE = 0,
	FILTER_DELTA = 1,
	FILTER_LORENZO = 2,
	FILTER_FLOAT = 3,
	FILTER_NR,
};

#define FILTER_BIAS_MAX	 2047 /* as the exponents of doubles */
#define FILTER_ORDER_MAX 3

struct filter {
	uint8_t id;
	uint8_t width;	/* bytes of an item: 1, 2, 4 or 8 */
	uint16_t bias;	/* FLOAT of width 8: taken from the exponent; at most FILTER_BIAS_MAX */
	uint16_t dist;	/* DELTA, LORENZO: items to the neighbour before, at least 1 */
	uint8_t order;	/* DELTA: how often the difference is taken, 1 to FILTER_ORDER_MAX */
	uint8_t swap;	/* all but NONE, of width 2 and up: 1 if items are big-endian */
	uint32_t pitch; /* LORENZO: bytes to the neighbour above, a multiple of width */
};

/* Which code does it; all give the same bytes. */
enum filter_impl {
	FILTER_PLAIN,
	FILTER_AVX2,
	FILTER_IMPL_NR,
};

/* True when each field has a value that its filter may have, and is 0 where its filter does not use
 * it. The functions below take no other filters; what comes from a disk is asked first. */
bool filter_ok(const struct filter *f);

/* Filter @len bytes at @src to @dst, which has room for as many. They must not overlap.
 * @phase is less than @f's width. */
void filter_apply(const struct filter *f, uint8_t *dst, const uint8_t *src, size_t len,
		  unsigned phase);

/* Undo filter_apply(). Any bytes at @src are undone to something. */
void filter_undo(const struct filter *f, uint8_t *dst, const uint8_t *src, size_t len,
		 unsigned phase);

/* The same with one implementation, for tests: false, and nothing done, when this machine lacks
 * it. */
bool filter_apply_with(enum filter_impl impl, const struct filter *f, uint8_t *dst,
		       const uint8_t *src, size_t len, unsigned phase);
bool filter_undo_with(enum filter_impl impl, const struct filter *f, uint8_t *dst,
		      const uint8_t *src, size_t len, unsigned phase);

#endif
