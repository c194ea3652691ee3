/* The reckoning of what a tile would take: exactly as its rule says, near to what block.c makes of
 * it, and far from the ends of its integers. */
#include "tests/codec/codec_test.h"

#include "codec/block.h"
#include "codec/estimate.h"
#include "codec/filter.h"
#include "tests/codec/extent_make.h"

/* ---- the rule, as estimate.h has it, in the plainest way ---- */

static void count_piece(unsigned __int128 count[256], const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t same = 0;

		while (same < ESTIMATE_RUN - 1 && same < i && p[i - same - 1] == p[i])
			same++;
		if (same < ESTIMATE_RUN - 1)
			count[p[i]]++;
	}
}

/* log2(n / h), rounded to nearest, in 1 to BLOCK_LEN_MAX. */
static unsigned shannon(unsigned __int128 h, unsigned __int128 n)
{
	unsigned l = 1;

	while (l < BLOCK_LEN_MAX && n * n >= h * h << (2 * l + 1))
		l++;
	return l;
}

static size_t expect(const uint8_t *p, size_t n)
{
	unsigned __int128 count[256] = {0}, counted = 0, bits = 0, looked = 0, bytes;
	unsigned distinct = 0;

	if (!n)
		return 0;
	for (size_t at = 0; at < n; at += ESTIMATE_PART) {
		size_t part = MIN(n - at, (size_t)ESTIMATE_PART);

		if (part < ESTIMATE_SHORT) {
			count_piece(count, p + at, part);
			looked += part;
			continue;
		}
		count_piece(count, p + at + part / 8, ESTIMATE_PIECE);
		count_piece(count, p + at + part / 8 * 5, ESTIMATE_PIECE);
		looked += 2 * (size_t)ESTIMATE_PIECE;
	}
	for (unsigned c = 0; c < 256; c++) {
		counted += count[c];
		distinct += count[c] != 0;
	}
	if (distinct < 2)
		return 4;
	for (unsigned c = 0; c < 256; c++)
		if (count[c])
			bits += count[c] * shannon(count[c], counted);
	bytes = (bits * 32 * n / looked + ESTIMATE_SYMBOL * (distinct - 1)) / 256 + ESTIMATE_TABLE;
	return bytes < n - n / BLOCK_GAIN ? (size_t)bytes : n;
}

/* Planes with runs of all lengths about the one that counts. */
static void make_runs(uint8_t *p, size_t n, struct rng *r)
{
	for (size_t i = 0; i < n;) {
		uint8_t c = (uint8_t)(rng_next(r) >> 58);
		size_t len = 1 + rng_below(r, rng_below(r, 4) ? 3 : 40);

		for (; len && i < n; len--)
			p[i++] = c;
	}
}

static void make_plane(uint8_t *p, size_t n, unsigned how, struct rng *r)
{
	if (how == 0)
		make_runs(p, n, r);
	else if (how == 1)
		memset(p, 7, n);
	else
		make_extent(p, n, (enum make_id)rng_below(r, MAKE_NR), 0, r);
}

static void every_plane_is_reckoned_by_the_rule(void **state)
{
	static const size_t lens[] = {8191,  8192,  8193,   16383,  16384,  16385, 24575,
				      24576, 65536, 131072, 131079, 262143, 262144};
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t k = 0; k < 300 + ARRAY_LEN(lens); k++) {
		size_t n = k < 300 ? k : lens[k - 300];

		for (unsigned how = 0; how < (k < 300 ? 4 : 12); how++) {
			struct guarded g = guarded_new(n, how % 2 ? GUARD_ABOVE : GUARD_BELOW);
			size_t got, want;

			make_plane(g.p, n, how, &r);
			got = estimate_plane(g.p, n);
			want = expect(g.p, n);
			if (got != want)
				fail_msg("%zu bytes, %u: %zu, not %zu", n, how, got, want);
			guarded_free(&g);
		}
	}
}

static void tiles_are_their_planes_and_the_rest(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (unsigned w = 1; w <= 8; w *= 2) {
		for (unsigned phase = 0; phase < w; phase++) {
			size_t len = 100 + rng_below(&r, 200000), nr = (len - phase) / w, sum;
			struct guarded g = guarded_new(len, GUARD_ABOVE);

			make_plane(g.p, len, phase % 3, &r);
			sum = len - nr * w;
			for (unsigned b = 0; b < w; b++)
				sum += estimate_plane(g.p + phase + b * nr, nr);
			assert_int_equal(estimate_tile(g.p, len, phase, w), sum);
			guarded_free(&g);
		}
	}
	assert_int_equal(estimate_tile((const uint8_t *)"abc", 3, 3, 4), 3);
	assert_int_equal(estimate_tile((const uint8_t *)"abc", 3, 5, 8), 3);
}

/* As the rule is compared in 128 bits above, this finds sums that are too long for 64 or 32. */
static void the_longest_planes_do_not_overflow(void **state)
{
	size_t n = ESTIMATE_MAX;
	struct rng r = rng_seeded(__func__);
	struct guarded g = guarded_new(n, GUARD_ABOVE);

	(void)state;
	for (unsigned how = 0; how < 4; how++) {
		/* Many rare symbols have the longest codes. */
		for (size_t i = 0; i < n; i++)
			g.p[i] = (uint8_t)(how == 3   ? rng_next(&r)
					   : how == 2 ? (rng_below(&r, 3) ? i & 1 : rng_next(&r))
					   : how == 1 ? i
						      : i & 1);
		assert_int_equal(estimate_plane(g.p, n), expect(g.p, n));
		assert_true(estimate_plane(g.p, n) <= n);
	}
	guarded_free(&g);
}

/* ---- against block.c ---- */

/* Bytes with 2^-1, 2^-2 ... of chance, or spread otherwise. */
static uint8_t skewed(struct rng *r, unsigned skew)
{
	unsigned sum = 0;

	switch (skew) {
	case 0:
		return (uint8_t)__builtin_ctzll(rng_next(r) | UINT64_C(1) << 40);
	case 1: /* zigzag of a difference */
		return (uint8_t)(rng_below(r, 9) * rng_below(r, 9));
	case 2:
		for (int i = 0; i < 4; i++)
			sum += (unsigned)rng_below(r, 50);
		return (uint8_t)sum;
	case 3:
		return (uint8_t)rng_below(r, 100);
	case 4:
		return (uint8_t)(rng_below(r, 6) ? 0 : rng_next(r));
	case 5:
		return (uint8_t)(rng_below(r, 200) ? 0 : 1 + rng_below(r, 3));
	default:
		return (uint8_t)(rng_next(r) & rng_next(r));
	}
}

#define NR_SKEWS 7u

static void the_reckoning_is_near_the_truth(void **state)
{
	static uint8_t packed[3 * BLOCK_RAW_MAX];
	static struct block_work work;
	struct rng r = rng_seeded(__func__);
	double sum = 0, sum_abs = 0;
	unsigned nr = 0;

	(void)state;
	for (unsigned i = 0; i < 20 * NR_SKEWS; i++) {
		size_t n = (size_t)BLOCK_RAW_MAX >> (i / NR_SKEWS % 3), got, want;
		struct guarded g = guarded_new(n, GUARD_ABOVE);
		double off;

		for (size_t k = 0; k < n; k++)
			g.p[k] = skewed(&r, i % NR_SKEWS);
		want = block_frame(g.p, n, 0, 1, packed, &work);
		got = estimate_plane(g.p, n);
		off = ((double)got - (double)want) / (double)n;
		sum += off;
		sum_abs += fabs(off);
		nr++;
		/* A sample of a quarter has its luck, and so have code lengths that must be mended. */
		if (fabs(off) > (double)want / (double)n / 6 + 0.01)
			fail_msg("%zu bytes, skew %u: %zu reckoned, %zu made", n, i % NR_SKEWS, got,
				 want);
		guarded_free(&g);
	}
	printf("reckoned - made, of the plane: mean %+.2f %%, absolute %.2f %%\n", 100 * sum / nr,
	       100 * sum_abs / nr);
	assert_true(fabs(sum / nr) < 0.015 && sum_abs / nr < 0.025);
}

/* Of filters that are tried, the one that is reckoned shortest is shortest, or nearly. */
static void filters_are_ranked_as_they_turn_out(void **state)
{
	static const struct filter filters[] = {
		{.width = 1},
		{.width = 2},
		{.width = 4},
		{.width = 8},
		{.id = FILTER_DELTA, .width = 1, .dist = 3, .order = 1},
		{.id = FILTER_DELTA, .width = 2, .dist = 1, .order = 1},
		{.id = FILTER_DELTA, .width = 2, .dist = 1, .order = 2},
		{.id = FILTER_DELTA, .width = 4, .dist = 1, .order = 1},
		{.id = FILTER_DELTA, .width = 4, .dist = 1, .order = 3},
		{.id = FILTER_DELTA, .width = 8, .dist = 1, .order = 1},
		{.id = FILTER_LORENZO, .width = 1, .dist = 3, .pitch = 3 * MAKE_ROW},
		{.id = FILTER_LORENZO, .width = 2, .dist = 1, .pitch = 2 * MAKE_ROW},
		{.id = FILTER_FLOAT, .width = 2},
		{.id = FILTER_FLOAT, .width = 4},
		{.id = FILTER_FLOAT, .width = 8, .bias = 895},
	};
	size_t len = 128u << 10;
	static struct block_work work;
	struct rng r = rng_seeded(__func__);
	AUTO_FREE uint8_t *packed = malloc(block_frame_bound(len));
	struct guarded raw = guarded_new(len, GUARD_ABOVE),
		       filtered = guarded_new(len, GUARD_ABOVE);

	(void)state;
	assert_non_null(packed);
	for (int id = 0; id < MAKE_NR; id++) {
		size_t least = SIZE_MAX, least_made = SIZE_MAX, made_of_least = 0;

		make_extent(raw.p, len, (enum make_id)id, 0, &r);
		for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
			unsigned w = filters[i].width;
			size_t made, reckoned;

			filter_apply(&filters[i], filtered.p, raw.p, len, 0);
			made = block_frame(filtered.p, len, 0, w, packed, &work);
			reckoned = estimate_tile(filtered.p, len, 0, w);
			least_made = MIN(least_made, made);
			if (reckoned < least) {
				least = reckoned;
				made_of_least = made;
			}
		}
		/* A few bytes of a tile are not worth a better guess. */
		if (made_of_least > least_made + least_made / 20 + len / 32)
			fail_msg("%s: %zu bytes chosen, %zu possible", make_kinds[id].name,
				 made_of_least, least_made);
	}
	guarded_free(&raw);
	guarded_free(&filtered);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_plane_is_reckoned_by_the_rule),
		cmocka_unit_test(tiles_are_their_planes_and_the_rest),
		cmocka_unit_test(the_longest_planes_do_not_overflow),
		cmocka_unit_test(the_reckoning_is_near_the_truth),
		cmocka_unit_test(filters_are_ranked_as_they_turn_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
