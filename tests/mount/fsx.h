/* What the exercisers fsx.c and fsx_many.c share: random numbers from a seed, places and lengths where mistakes live,
 * bytes to write, and the end with a reason. */
#ifndef MATFS_TESTS_MOUNT_FSX_H
#define MATFS_TESTS_MOUNT_FSX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = 4096, EXTENT = 1 << 20 };

struct rng {
	uint64_t x;
};

static inline uint64_t rng_next(struct rng *r)
{
	r->x += 0x9e3779b97f4a7c15u;

	uint64_t z = r->x;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* From 0 to @limit - 1; 0 when there is no such number. */
static inline uint64_t rng_below(struct rng *r, uint64_t limit)
{
	return limit ? rng_next(r) % limit : 0;
}

static inline bool rng_in(struct rng *r, unsigned n)
{
	return rng_below(r, n) == 0;
}

/* A length from 1 to @max: tiny, odd, whole pages, near an extent, anything. */
static inline uint64_t rng_len(struct rng *r, uint64_t max)
{
	uint64_t len;

	switch (rng_below(r, 6)) {
	case 0:
		len = 1 + rng_below(r, 16);
		break;
	case 1:
		len = 1 + rng_below(r, 6000);
		break;
	case 2:
		len = PAGE * (1 + rng_below(r, 16));
		break;
	case 3:
		len = (128 << 10) * (1 + rng_below(r, 9)) + rng_below(r, 3) - 1;
		break;
	default:
		len = 1 + rng_below(r, rng_in(r, 3) ? max : max / 8 + 1);
	}
	return len < max ? len : max;
}

/* A place up to @end: anywhere, or near a border of pages, tiles, extents or of the inline bytes. */
static inline uint64_t rng_off(struct rng *r, uint64_t end)
{
	static const uint32_t units[] = {512, PAGE, 64 << 10, 128 << 10, EXTENT};
	uint64_t off = rng_below(r, end + 1), unit = units[rng_below(r, 5)];

	if (rng_in(r, 2))
		off = off / unit * unit;
	if (rng_in(r, 4) && off > 3)
		off += rng_below(r, 7) - 3;
	return off < end ? off : end;
}

/* Bytes that do not compress, numbers that do, one byte only, or zeros; never the same twice. */
static inline void rng_fill(struct rng *r, uint8_t *p, size_t len)
{
	uint64_t kind = rng_below(r, 8), x = rng_next(r);

	if (kind == 0) {
		memset(p, rng_in(r, 3) ? 0 : (int)(x | 1), len);
		return;
	}
	for (size_t i = 0; i < len; i += 8) {
		x = kind < 4 ? x + 3 : rng_next(r);
		memcpy(p + i, &x, len - i < 8 ? len - i : 8);
	}
}

/* The first byte from which on they differ; @len: none. */
static inline size_t first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t i = 0;

	if (!memcmp(a, b, len))
		return len;
	while (a[i] == b[i])
		i++;
	return i;
}

static inline void *must_have(void *p)
{
	if (!p) {
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	return p;
}

#endif
