/* Rows are found by their likeness, and not where there are none. */
#include "tests/codec/codec_test.h"

#include "codec/pitch.h"
#include "tests/codec/extent_make.h"

#define TILE_LEN ((size_t)128 << 10)

/* With everything against guard pages. */
static unsigned find(const uint8_t *items, size_t len, unsigned width, unsigned dist,
		     uint32_t pitch[PITCH_NR])
{
	struct guarded g = guarded_new(len, GUARD_ABOVE);
	struct guarded work = guarded_new(round_up(pitch_work_len(len), 64), GUARD_ABOVE);
	unsigned nr;

	memcpy(g.p, items, len);
	memset(work.p, 0xa5, work.len);
	nr = pitch_find(g.p, len, width, dist, work.p, pitch);
	assert_true(nr <= PITCH_NR);
	for (unsigned i = 0; i < nr; i++) {
		assert_true(pitch[i] > 0 && pitch[i] % width == 0 && pitch[i] < len);
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(pitch[i], pitch[k]);
	}
	guarded_free(&g);
	guarded_free(&work);
	return nr;
}

/* An image whose columns have levels of their own, which rows repeat: edges meet edges.
 * @noise  as strong as this, in 1/100 of the columns' contrast */
static void make_image(uint8_t *p, size_t len, unsigned w, size_t row, unsigned group,
		       unsigned noise, struct rng *r)
{
	AUTO_FREE uint64_t *profile = calloc(row, sizeof(*profile));
	/* Contrast of about an eighth of the items' range, as images have. */
	uint64_t contrast = w == 1 ? 40 : (UINT64_C(1) << (8 * w - 3)) - 1;
	uint64_t level = 0;

	assert_non_null(profile);
	for (size_t i = 0; i < row; i++)
		profile[i] = rng_below(r, 3) == 0 || i < group ? rng_below(r, contrast)
							       : profile[i - group];
	for (size_t i = 0; i * w < len; i++) {
		uint8_t bits[8];

		if (i % row == 0)
			level = rng_below(r, contrast);
		put_u64(bits, level + profile[i % row] + rng_below(r, contrast * noise / 100 + 1));
		memcpy(p + i * w, bits, MIN((size_t)w, len - i * w));
	}
}

static void rows_are_found_at_every_width(void **state)
{
	static const size_t rows[] = {100, 171, 333, 640, 1000};
	static uint8_t items[TILE_LEN];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (unsigned w = 1; w <= 8; w *= 2) {
		for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
			for (unsigned noise = 0; noise <= 20; noise += 10) {
				uint32_t pitch[PITCH_NR] = {0};
				unsigned nr;

				make_image(items, TILE_LEN, w, rows[k], 1, noise, &r);
				nr = find(items, TILE_LEN, w, 1, pitch);
				if (!nr || pitch[0] != rows[k] * w)
					fail_msg("width %u, rows of %zu, noise %u: %u found, first "
						 "%u",
						 w, rows[k], noise, nr, pitch[0]);
			}
		}
	}
}

/* Colours: the difference that is looked at is that of one colour. */
static void rows_of_colours_are_found(void **state)
{
	static uint8_t items[TILE_LEN];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (unsigned group = 2; group <= 4; group++) {
		uint32_t pitch[PITCH_NR] = {0};

		make_image(items, TILE_LEN, 1, 400u * group, group, 10, &r);
		assert_true(find(items, TILE_LEN, 1, group, pitch) > 0);
		assert_int_equal(pitch[0], 400 * group);
	}
}

/* Short tiles have room for short rows only. */
static void short_tiles_have_rows_too(void **state)
{
	static uint8_t items[TILE_LEN];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t len = 4000; len < TILE_LEN; len = len * 3 + 1) {
		uint32_t pitch[PITCH_NR] = {0};

		make_image(items, len, 2, 90, 1, 5, &r);
		assert_true(find(items, len, 2, 1, pitch) > 0);
		assert_int_equal(pitch[0], 180);
	}
}

static void noise_and_ramps_have_no_rows(void **state)
{
	static const enum make_id ids[] = {MAKE_NOISE,	  MAKE_EQUAL,	 MAKE_COUNTS16,
					   MAKE_NORMAL32, MAKE_NORMAL64, MAKE_SORTED32,
					   MAKE_TIME64};
	static uint8_t items[TILE_LEN];
	struct rng r = rng_seeded(__func__);
	uint32_t pitch[PITCH_NR];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		for (unsigned w = 1; w <= 8; w *= 2) {
			/* Floats cut elsewhere than between items do repeat. */
			if (make_kinds[ids[i]].width > w)
				continue;
			make_extent(items, TILE_LEN, ids[i], 0, &r);
			if (find(items, TILE_LEN, w, 1, pitch))
				fail_msg("%s, width %u: %u", make_kinds[ids[i]].name, w, pitch[0]);
		}
	}
	for (size_t i = 0; i < TILE_LEN / 4; i++)
		put_u32(items + 4 * i, (uint32_t)(i * 77));
	assert_int_equal(find(items, TILE_LEN, 4, 1, pitch), 0);
}

static void every_length_is_safe(void **state)
{
	static uint8_t items[TILE_LEN + 512];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		size_t len = i < 300 ? i : 300 + rng_below(&r, i % 10 ? 10000 : TILE_LEN);
		unsigned w = 1u << rng_below(&r, 4),
			 dist = 1 + (unsigned)rng_below(&r, i % 3 ? 4 : 70000);
		uint32_t pitch[PITCH_NR];

		make_extent(items, len, (enum make_id)rng_below(&r, MAKE_NR + 1), 0, &r);
		find(items, len, w, dist, pitch);
	}
}

/* The ends of the integers' range, where differences wrap. */
static void extremes_are_safe(void **state)
{
	static uint8_t items[TILE_LEN];
	struct rng r = rng_seeded(__func__);
	uint32_t pitch[PITCH_NR];

	(void)state;
	for (unsigned w = 1; w <= 8; w *= 2) {
		for (size_t i = 0; i < TILE_LEN / w; i++) {
			memset(items + i * w, rng_next(&r) & 1 ? 0xff : 0, w);
			items[i * w + w - 1] ^= rng_next(&r) & 1 ? 0x80 : 0;
		}
		find(items, TILE_LEN, w, 1, pitch);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_found_at_every_width),
		cmocka_unit_test(rows_of_colours_are_found),
		cmocka_unit_test(short_tiles_have_rows_too),
		cmocka_unit_test(noise_and_ramps_have_no_rows),
		cmocka_unit_test(every_length_is_safe),
		cmocka_unit_test(extremes_are_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
