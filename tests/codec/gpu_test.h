/* What the tests of GPUs share, emulated and real: extents that are hard on the kernels, and the
 * comparison with the CPU's encoder. */
#ifndef MATFS_TESTS_GPU_TEST_H
#define MATFS_TESTS_GPU_TEST_H

#include "codec/block.h"
#include "codec/estimate.h"
#include "codec/filter.h"
#include "codec/frame.h"
#include "codec/gpu.h"
#include "conf/lock.h"
#include "tests/codec/codec_test.h"

/* Jobs that somebody waits for. */
struct gpu_wait {
	struct lock lock;
	struct cond all;
	unsigned left; /* guarded by lock */
};

struct gpu_case {
	struct gpu_job job; /* first, so that done() finds the rest */
	struct gpu_wait *wait;
	unsigned nr_done;
	char what[64];
	uint8_t *raw;
};

static inline void gpu_wait_init(struct gpu_wait *w)
{
	lock_init(&w->lock);
	cond_init(&w->all);
	w->left = 0;
}

static inline void gpu_wait_fini(struct gpu_wait *w)
{
	cond_fini(&w->all);
	lock_fini(&w->lock);
}

static inline void gpu_wait_for(struct gpu_wait *w)
{
	lock_take(&w->lock);
	while (w->left)
		cond_wait(&w->all, &w->lock);
	lock_release(&w->lock);
}

static inline void gpu_case_done(struct gpu_job *j)
{
	struct gpu_case *c = (struct gpu_case *)(void *)j;

	lock_take(&c->wait->lock);
	c->nr_done++;
	if (!--c->wait->left)
		cond_broadcast(&c->wait->all);
	lock_release(&c->wait->lock);
}

/* @len bytes to be filled by the caller. Rooms are what the CPU would need, and no more. */
static inline void gpu_case_init(struct gpu_case *c, struct gpu_wait *w, size_t len,
				 const struct filter *f, unsigned phase)
{
	memset(c, 0, sizeof(*c));
	c->wait = w;
	c->raw = malloc(len);
	c->job.raw = c->raw;
	c->job.raw_len = len;
	c->job.filter = *f;
	c->job.phase = phase;
	c->job.dst_room = len + 64 * GPU_JOB_TILES;
	c->job.dst = malloc(c->job.dst_room);
	c->job.done = gpu_case_done;
	assert_non_null(c->raw);
	assert_non_null(c->job.dst);
}

static inline void gpu_case_fini(struct gpu_case *c)
{
	free(c->raw);
	free(c->job.dst);
}

static inline void gpu_case_submit(struct gpu *g, struct gpu_case *c)
{
	lock_take(&c->wait->lock);
	c->wait->left++;
	lock_release(&c->wait->lock);
	gpu_submit(g, &c->job);
}

/* Compare with filter_apply() and block_frame(), tile by tile. */
static inline void gpu_case_check(const struct gpu_case *c)
{
	static struct block_work work;
	const struct gpu_job *j = &c->job;
	const struct filter *f = &j->used;
	unsigned phase = j->phase & (f->width - 1u), nr = frame_tiles(j->raw_len, phase);
	const uint8_t *p = j->dst;

	if (c->nr_done != 1 || j->err)
		fail_msg("%s: done %u times, error %d", c->what, c->nr_done, j->err);
	for (unsigned i = 0; i < GPU_JOB_TILES; i++) {
		size_t from, to, len;
		uint8_t *filtered, *frame;

		if (i >= nr) {
			assert_int_equal(j->tile_len[i], 0);
			continue;
		}
		frame_tile_range(j->raw_len, phase, i, &from, &to);
		filtered = malloc(to - from);
		frame = malloc(block_frame_bound(to - from));
		filter_apply(f, filtered, j->raw + from, to - from, i ? 0 : phase);
		len = block_frame(filtered, to - from, i ? 0 : phase, f->width, frame, &work);
		if (len != j->tile_len[i] || memcmp(p, frame, len) != 0)
			fail_msg("%s: tile %u is %u bytes, and should be %zu, or they differ",
				 c->what, i, j->tile_len[i], len);
		p += len;
		free(filtered);
		free(frame);
	}
	assert_int_equal(p - j->dst, j->payload_len);
}

/* ---- single blocks that are hard ---- */

enum gpu_edge {
	GPU_EDGE_ONE, /* 1 byte */
	GPU_EDGE_TWO, /* 2 different bytes */
	GPU_EDGE_63,
	GPU_EDGE_64,
	GPU_EDGE_EQUAL,	       /* one symbol */
	GPU_EDGE_NEARLY_EQUAL, /* but for the last byte */
	GPU_EDGE_TWO_SYMBOLS,
	GPU_EDGE_FLAT,	   /* 256 symbols, as often */
	GPU_EDGE_LAST_127, /* symbols in use: up to this one */
	GPU_EDGE_LAST_128,
	GPU_EDGE_LAST_129,
	GPU_EDGE_LAST_255,
	GPU_EDGE_RARE,	      /* 99.99 % one symbol */
	GPU_EDGE_HALVES,      /* each symbol half as often as the one before */
	GPU_EDGE_FIBONACCI,   /* the deepest tree there is for so many */
	GPU_EDGE_ONE_WEIGHT,  /* 200 symbols, as often, nothing else */
	GPU_EDGE_RUNS,	      /* nothing but runs */
	GPU_EDGE_ALTERNATING, /* of two symbols */
	GPU_EDGE_SHORT_RUNS,  /* of 1 to 6 */
	GPU_EDGE_LONG_RUNS,   /* of thousands */
	GPU_EDGE_CROSSING,    /* a run over the end of a block */
	GPU_EDGE_LATE_RUN,    /* after 40000 literals */
	GPU_EDGE_ALL_RUN,     /* one run, but for the first byte */
	GPU_EDGE_NOISE,
	GPU_EDGE_NOISE_RUNS,   /* noise, and runs in it */
	GPU_EDGE_ALMOST_NOISE, /* near the border of what pays */
	GPU_EDGE_1023,	       /* literals, by the heads' forms */
	GPU_EDGE_1024,
	GPU_EDGE_16383,
	GPU_EDGE_16384,
	GPU_EDGE_127_SEQUENCES,
	GPU_EDGE_128_SEQUENCES,
	GPU_EDGE_NR,
};

static inline size_t gpu_edge_len(enum gpu_edge e, struct rng *r)
{
	switch (e) {
	case GPU_EDGE_ONE:
		return 1;
	case GPU_EDGE_TWO:
		return 2;
	case GPU_EDGE_63:
		return 63;
	case GPU_EDGE_64:
		return 64;
	case GPU_EDGE_1023:
		return 1023;
	case GPU_EDGE_1024:
		return 1024;
	case GPU_EDGE_16383:
		return 16383;
	case GPU_EDGE_16384:
		return 16384;
	case GPU_EDGE_CROSSING:
		return 65536 + 300;
	case GPU_EDGE_LATE_RUN:
		return 50000;
	default:
		return rng_below(r, 3) ? 300 + rng_below(r, 5000) : 16384 + rng_below(r, 40);
	}
}

static inline void gpu_fill_runs(uint8_t *p, size_t len, size_t longest, unsigned symbols,
				 struct rng *r)
{
	for (size_t i = 0; i < len;) {
		size_t run = 1 + rng_below(r, longest);
		uint8_t c = (uint8_t)rng_below(r, symbols);

		for (; run && i < len; run--)
			p[i++] = c;
	}
}

/* Symbol k about @num / @den times as often as the one before. */
static inline void gpu_fill_falling(uint8_t *p, size_t len, unsigned symbols, unsigned num,
				    unsigned den, struct rng *r)
{
	for (size_t i = 0; i < len; i++) {
		unsigned k = 0;

		while (k + 1 < symbols && rng_below(r, den) < num)
			k++;
		p[i] = (uint8_t)k;
	}
}

static inline void gpu_edge_fill(uint8_t *p, size_t len, enum gpu_edge e, struct rng *r)
{
	static const unsigned last[] = {127, 128, 129, 255};
	unsigned n;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)rng_next(r);
	switch (e) {
	case GPU_EDGE_TWO:
		p[1] = (uint8_t)~p[0];
		break;
	case GPU_EDGE_63:
	case GPU_EDGE_64:
		gpu_fill_falling(p, len, 5, 1, 2, r);
		break;
	case GPU_EDGE_EQUAL:
	case GPU_EDGE_NEARLY_EQUAL:
		memset(p + 1, p[0], len - 1);
		if (e == GPU_EDGE_NEARLY_EQUAL)
			p[len - 1] ^= 1;
		break;
	case GPU_EDGE_TWO_SYMBOLS:
		for (size_t i = 0; i < len; i++)
			p[i] &= 0x80;
		break;
	case GPU_EDGE_FLAT:
		for (size_t i = 0; i < len; i++)
			p[i] = (uint8_t)(i * 167);
		break;
	case GPU_EDGE_LAST_127:
	case GPU_EDGE_LAST_128:
	case GPU_EDGE_LAST_129:
	case GPU_EDGE_LAST_255:
		n = last[e - GPU_EDGE_LAST_127];
		for (size_t i = 0; i < len; i++)
			p[i] = p[i] & 3 ? p[i] & 0x1c : (uint8_t)((rng_next(r) >> 8) % (n + 1));
		p[len / 2] = (uint8_t)n;
		break;
	case GPU_EDGE_RARE:
		for (size_t i = 0; i < len; i++)
			if (rng_below(r, 10000))
				p[i] = 0x3f;
		p[len - 1] = 0x40;
		break;
	case GPU_EDGE_HALVES:
		gpu_fill_falling(p, len, 40, 1, 2, r);
		break;
	case GPU_EDGE_FIBONACCI:
		gpu_fill_falling(p, len, 60, 618, 1000, r);
		break;
	case GPU_EDGE_ONE_WEIGHT:
		for (size_t i = 0; i < len; i++)
			p[i] = (uint8_t)(i * 7 % 200);
		break;
	case GPU_EDGE_RUNS:
		gpu_fill_runs(p, len, 60, 9, r);
		break;
	case GPU_EDGE_ALTERNATING:
		n = 3 + (unsigned)rng_below(r, 20);
		for (size_t i = 0; i < len; i++)
			p[i] = i / n & 1 ? 0xff : 0;
		break;
	case GPU_EDGE_SHORT_RUNS:
		gpu_fill_runs(p, len, 6, 30, r);
		break;
	case GPU_EDGE_LONG_RUNS:
		gpu_fill_runs(p, len, 4000, 256, r);
		break;
	case GPU_EDGE_CROSSING:
		gpu_fill_runs(p, len, 60, 9, r);
		memset(p + 65536 - 100, 7, 200);
		break;
	case GPU_EDGE_LATE_RUN:
		for (size_t i = 0; i < len; i++)
			p[i] = (uint8_t)((p[i] & 0x3f) + (i & 1) * 0x40);
		memset(p + 40000, 0x11, 50);
		break;
	case GPU_EDGE_ALL_RUN:
		memset(p + 1, p[0] ^ 1, len - 1);
		break;
	case GPU_EDGE_NOISE_RUNS:
		for (size_t i = 0; i + 40 < len; i += 40 + rng_below(r, 60))
			memset(p + i, p[i], 4 + rng_below(r, 36));
		break;
	case GPU_EDGE_ALMOST_NOISE:
		n = 140 + (unsigned)rng_below(r, 60);
		for (size_t i = 0; i < len; i++)
			p[i] = (uint8_t)(rng_next(r) >> 8) % n;
		break;
	case GPU_EDGE_1023:
	case GPU_EDGE_1024:
	case GPU_EDGE_16383:
	case GPU_EDGE_16384:
		/* No two neighbours alike, so that all are literals. */
		for (size_t i = 0; i < len; i++)
			p[i] = (uint8_t)((p[i] & 7) | (i & 1) << 3);
		break;
	case GPU_EDGE_127_SEQUENCES:
	case GPU_EDGE_128_SEQUENCES:
		for (size_t i = 0; i < len; i++)
			p[i] = (uint8_t)((p[i] & 7) | (i & 1) << 3);
		n = 127 + (e == GPU_EDGE_128_SEQUENCES);
		for (size_t i = 0; i < n && 40 * i + 30 < len; i++)
			memset(p + 40 * i, 0x80, 30);
		break;
	default:
		break;
	}
}

/* ---- extents of numbers ---- */

static inline struct filter gpu_any_filter(struct rng *r)
{
	struct filter f = {.id = (uint8_t)rng_below(r, FILTER_NR),
			   .width = (uint8_t)(1u << rng_below(r, 4))};

	if (f.id == FILTER_FLOAT && f.width == 1)
		f.id = FILTER_NONE;
	if (f.id == FILTER_DELTA || f.id == FILTER_LORENZO)
		f.dist = (uint16_t)(1 + rng_below(r, rng_below(r, 8) ? 5 : 65535));
	if (f.id == FILTER_DELTA)
		f.order = (uint8_t)(1 + rng_below(r, FILTER_ORDER_MAX));
	if (f.id == FILTER_LORENZO)
		f.pitch = rng_below(r, 8) ? f.width * (1 + (uint32_t)rng_below(r, 3000))
					  : 0xfffffff8u;
	if (f.id == FILTER_FLOAT && f.width == 8)
		f.bias = (uint16_t)rng_below(r, FILTER_BIAS_MAX + 1);
	if (f.id != FILTER_NONE && f.width > 1)
		f.swap = rng_below(r, 2) != 0;
	assert_true(filter_ok(&f));
	return f;
}

/* A walk of numbers of @w bytes, so that filters find something. */
static inline void gpu_fill_walk(uint8_t *p, size_t len, unsigned w, unsigned phase, bool swap,
				 struct rng *r)
{
	uint64_t x = rng_next(r);
	unsigned noise = 1 + (unsigned)rng_below(r, 8 * w);

	for (size_t i = 0; i < len; i++) {
		unsigned at = (unsigned)((i + w - phase) % w);

		if (!at)
			x += rng_next(r) >> (64 - noise);
		p[i] = (uint8_t)(x >> 8 * (swap ? w - 1 - at : at));
	}
}

static inline size_t gpu_any_len(struct rng *r)
{
	static const size_t round[] = {1u << 10, 4096, 16384, 65536, 131072};

	switch (rng_below(r, 4)) {
	case 0:
		return 1 + rng_below(r, 300);
	case 1:
		return round[rng_below(r, ARRAY_LEN(round))] + rng_below(r, 20) - 8;
	default:
		return 1 + rng_below(r, 20000);
	}
}

static inline void gpu_any_case(struct gpu_case *c, struct gpu_wait *w, struct rng *r)
{
	struct filter f = gpu_any_filter(r);
	unsigned phase = (unsigned)rng_below(r, f.width);
	size_t len = gpu_any_len(r);

	gpu_case_init(c, w, len, &f, phase);
	if (rng_below(r, 3))
		gpu_fill_walk(c->raw, len, f.width, phase, f.swap, r);
	else
		gpu_edge_fill(c->raw, len,
			      (enum gpu_edge)(GPU_EDGE_EQUAL +
					      rng_below(r, GPU_EDGE_CROSSING - GPU_EDGE_EQUAL)),
			      r);
	snprintf(c->what, sizeof(c->what), "len %zu filter %u width %u phase %u", len, f.id,
		 f.width, phase);
}

/* All edges, @rounds times, and as many arrays; all in batches as they come. */
static inline void gpu_check_all(struct gpu *g, unsigned rounds, struct rng *r)
{
	const struct filter none = {.width = 1};
	struct gpu_wait w;

	gpu_wait_init(&w);
	for (unsigned n = 0; n < rounds; n++) {
		struct gpu_case c[2 * GPU_EDGE_NR];

		for (unsigned e = 0; e < GPU_EDGE_NR; e++) {
			gpu_case_init(&c[e], &w, gpu_edge_len((enum gpu_edge)e, r), &none, 0);
			gpu_edge_fill(c[e].raw, c[e].job.raw_len, (enum gpu_edge)e, r);
			snprintf(c[e].what, sizeof(c[e].what), "edge %u len %zu", e,
				 c[e].job.raw_len);
			gpu_any_case(&c[GPU_EDGE_NR + e], &w, r);
		}
		for (unsigned i = 0; i < ARRAY_LEN(c); i++)
			gpu_case_submit(g, &c[i]);
		gpu_wait_for(&w);
		for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
			gpu_case_check(&c[i]);
			gpu_case_fini(&c[i]);
		}
	}
	gpu_wait_fini(&w);
}

/* ---- the choice of a filter ---- */

/* What choose.c's reckoning makes of the extent's middle tile. */
static inline size_t gpu_try_cost(const struct gpu_job *j, const struct gpu_try *t)
{
	unsigned nr = frame_tiles(j->raw_len, j->phase);
	size_t from, to, cost;
	uint8_t *filtered;

	frame_tile_range(j->raw_len, j->phase, nr / 2, &from, &to);
	from = MAX(from, MIN((size_t)j->phase, j->raw_len));
	filtered = malloc(to - from + 1);
	filter_apply(&t->filter, filtered, j->raw + from, to - from, 0);
	cost = estimate_tile(filtered, to - from, 0, t->filter.width) + t->handicap;
	free(filtered);
	return cost;
}

static inline void gpu_check_choice(struct gpu *g, unsigned nr, size_t len_max, struct rng *r)
{
	const struct filter none = {.width = 1};
	struct gpu_wait w;

	gpu_wait_init(&w);
	for (unsigned i = 0; i < nr; i++) {
		struct gpu_try tries[12];
		struct gpu_case c;
		unsigned best = 0, width = 1u << rng_below(r, 4);
		size_t len = rng_below(r, 3) ? 1 + rng_below(r, len_max) : 1 + rng_below(r, 40);
		size_t least = SIZE_MAX;

		gpu_case_init(&c, &w, len, &none, (unsigned)rng_below(r, 8));
		gpu_fill_walk(c.raw, len, width, c.job.phase % width, false, r);
		if (rng_below(r, 3) == 0)
			gpu_fill_runs(c.raw, len, 40, 3, r);
		c.job.tries = tries;
		c.job.nr_tries = 1 + (unsigned)rng_below(r, ARRAY_LEN(tries));
		for (unsigned k = 0; k < c.job.nr_tries; k++) {
			tries[k] = (struct gpu_try){gpu_any_filter(r), (uint32_t)rng_below(r, 50)};
			if (k && rng_below(r, 4) == 0)
				tries[k] = tries[k - 1];
		}
		snprintf(c.what, sizeof(c.what), "choice %u len %zu", i, len);
		gpu_case_submit(g, &c);
		gpu_wait_for(&w);
		gpu_case_check(&c);
		for (unsigned k = 0; k < c.job.nr_tries; k++) {
			size_t cost = gpu_try_cost(&c.job, &tries[k]);

			best = cost < least ? k : best;
			least = MIN(cost, least);
		}
		assert_memory_equal(&c.job.used, &tries[best].filter, sizeof(c.job.used));
		gpu_case_fini(&c);
	}
	gpu_wait_fini(&w);
}

#endif
