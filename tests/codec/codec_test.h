/* What the tests of this room share: seeds, buffers against guard pages, and made-up extents. */
#ifndef MATFS_TESTS_CODEC_TEST_H
#define MATFS_TESTS_CODEC_TEST_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#include "conf/base.h"

#define GUARD_PAGE ((size_t)4096)

/* splitmix64: any seed will do, 0 too. */
struct rng {
	uint64_t s;
};

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->s += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 to @n - 1. */
static inline size_t rng_below(struct rng *r, size_t n)
{
	return (size_t)(rng_next(r) % n);
}

/* A fresh seed, or TEST_SEED; printed, so that a failure can be had again. */
static inline struct rng rng_seeded(const char *test)
{
	const char *env = getenv("TEST_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : mono_ns() ^ (uint64_t)getpid() << 32;

	printf("%s: TEST_SEED=%" PRIu64 "\n", test, seed);
	return (struct rng){seed};
}

/* Memory between two pages that must not be touched: flush with the upper one, or with the
 * lower. */
struct guarded {
	uint8_t *p;
	size_t len;
	uint8_t *map;
	size_t map_len;
};

enum guard_at { GUARD_ABOVE, GUARD_BELOW };

static inline struct guarded guarded_new(size_t len, enum guard_at at)
{
	struct guarded g = {.len = len};
	size_t room = (size_t)round_up(len ? len : 1, GUARD_PAGE);

	g.map_len = room + 2 * GUARD_PAGE;
	g.map = mmap(NULL, g.map_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(g.map != MAP_FAILED);
	assert_int_equal(mprotect(g.map + GUARD_PAGE, room, PROT_READ | PROT_WRITE), 0);
	g.p = g.map + GUARD_PAGE + (at == GUARD_ABOVE ? room - len : 0);
	return g;
}

static inline void guarded_free(struct guarded *g)
{
	munmap(g->map, g->map_len);
}

/* Kinds of extents. */
enum sample {
	SAMPLE_RANDOM,	/* nothing to gain */
	SAMPLE_TEXT,	/* words: repeats, no planes */
	SAMPLE_INT16,	/* slowly rising 2-byte numbers, low byte random */
	SAMPLE_FLOAT32, /* 4-byte numbers, two bytes random */
	SAMPLE_FLOAT64, /* 8-byte numbers, six bytes random */
	SAMPLE_FEW,	/* single bytes of few values */
	SAMPLE_EQUAL,	/* one byte */
	SAMPLE_NR,
};

/* Numbers begin @phase bytes into the extent. */
static inline void sample_fill(uint8_t *p, size_t len, enum sample kind, unsigned phase,
			       struct rng *r)
{
	static const char *const words[] = {"stripe ", "parity ", "extent ", "shard ",
					    "chunk\n", "0.125 ",  "frame ",  "epoch "};
	static const unsigned widths[SAMPLE_NR] = {
		[SAMPLE_INT16] = 2, [SAMPLE_FLOAT32] = 4, [SAMPLE_FLOAT64] = 8};
	unsigned w = widths[kind];
	uint8_t one = (uint8_t)rng_next(r);

	for (size_t i = 0; i < len;) {
		const char *word = words[rng_next(r) >> 61];
		uint64_t bits = rng_next(r);

		switch (kind) {
		case SAMPLE_TEXT:
			for (; *word && i < len; i++)
				p[i] = (uint8_t)*word++;
			break;
		case SAMPLE_INT16:
		case SAMPLE_FLOAT32:
		case SAMPLE_FLOAT64: {
			unsigned at = (unsigned)((i + w - phase) % w);

			p[i] = at == w - 1   ? (uint8_t)(0x3f + i / 30000)
			       : at == w - 2 ? (uint8_t)(0xa0 | (w > 2 ? bits & 7 : bits >> 8))
					     : (uint8_t)(bits >> 16);
			i++;
			break;
		}
		case SAMPLE_FEW:
			p[i++] = (uint8_t)(bits >> 62);
			break;
		case SAMPLE_EQUAL:
			p[i++] = one;
			break;
		default:
			p[i++] = (uint8_t)(bits >> 56);
			break;
		}
	}
}

/* The nth length to test: 1 to 300, then the sides of round numbers. 0 after the last. */
static inline size_t test_len(size_t n)
{
	static const size_t around[] = {4096, 65536, 1u << 20, 4u << 20};
	static const int off[] = {-9, -1, 0, 1, 7};

	if (n < 300)
		return n + 1;
	n -= 300;
	if (n >= ARRAY_LEN(around) * ARRAY_LEN(off))
		return 0;
	return around[n / ARRAY_LEN(off)] + (size_t)off[n % ARRAY_LEN(off)];
}

#endif
