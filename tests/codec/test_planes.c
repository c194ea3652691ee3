/* Byte planes: the layout, and that all implementations agree. */
#include "tests/codec/codec_test.h"

#include "codec/planes.h"

static const char *const names[PLANES_NR] = {"plain", "sse2", "avx2"};

static void layout_is_plane_after_plane(void **state)
{
	static const uint8_t src[] = "xA1B2C3yz";
	uint8_t dst[9];

	(void)state;
	planes_split(dst, src, 8, 2, 1);
	assert_memory_equal(dst, "xABC123y", 8);
	planes_split(dst, src, 9, 4, 1);
	assert_memory_equal(dst,
			    "xA"
			    "C1"
			    "3B"
			    "y2"
			    "z",
			    9);
}

/* Too short for one item: a copy. */
static void short_input_is_copied(void **state)
{
	static const uint8_t src[] = "abcdefgh";
	uint8_t dst[8], back[8];

	(void)state;
	for (unsigned w = 2; w <= PLANES_MAX; w *= 2) {
		for (size_t len = 0; len < w; len++) {
			memset(dst, 0, sizeof(dst));
			planes_split(dst, src, len, w, w - 1);
			assert_memory_equal(dst, src, len);
			planes_join(back, dst, len, w, w - 1);
			assert_memory_equal(back, src, len);
		}
	}
}

/* The definition, byte by byte. */
static uint8_t expect_at(const uint8_t *src, size_t len, unsigned w, unsigned phase, size_t i)
{
	size_t nr = planes_items(len, w, phase);

	if (i < phase || i >= phase + nr * w)
		return src[i];
	i -= phase;
	return src[phase + (i % nr) * w + i / nr];
}

static void check(size_t len, unsigned w, unsigned phase, enum guard_at at, struct rng *r)
{
	struct guarded src = guarded_new(len, at);
	struct guarded dst = guarded_new(len, at);
	struct guarded back = guarded_new(len, at);

	for (size_t i = 0; i < len; i++)
		src.p[i] = (uint8_t)rng_next(r);
	for (int impl = 0; impl < PLANES_NR; impl++) {
		memset(dst.p, 0x55, len);
		memset(back.p, 0xaa, len);
		if (!planes_split_with((enum planes_impl)impl, dst.p, src.p, len, w, phase)) {
			assert_int_not_equal(impl, PLANES_PLAIN);
			continue;
		}
		for (size_t i = 0; i < len; i++)
			if (dst.p[i] != expect_at(src.p, len, w, phase, i))
				fail_msg("%s: split, len %zu width %u phase %u: wrong at %zu",
					 names[impl], len, w, phase, i);
		assert_true(planes_join_with((enum planes_impl)impl, back.p, dst.p, len, w, phase));
		if (memcmp(back.p, src.p, len) != 0)
			fail_msg("%s: join, len %zu width %u phase %u", names[impl], len, w, phase);
	}
	memset(back.p, 0, len);
	planes_split(dst.p, src.p, len, w, phase);
	planes_join(back.p, dst.p, len, w, phase);
	assert_memory_equal(back.p, src.p, len);
	guarded_free(&src);
	guarded_free(&dst);
	guarded_free(&back);
}

static void all_lengths_widths_and_phases(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t n = 0; test_len(n); n++) {
		size_t len = test_len(n);

		if (len > 70000)
			break;
		for (unsigned w = 1; w <= PLANES_MAX; w *= 2) {
			/* Long extents cost time: one phase each. */
			unsigned from = len > 300 ? (unsigned)rng_below(&r, w) : 0;
			unsigned to = len > 300 ? from + 1 : w;

			for (unsigned phase = from; phase < to; phase++)
				check(len, w, phase, phase % 2 ? GUARD_BELOW : GUARD_ABOVE, &r);
		}
	}
}

static void says_which_code_ran(void **state)
{
	uint8_t a[16] = {0}, b[16];

	(void)state;
	assert_true(planes_split_with(PLANES_PLAIN, b, a, sizeof(a), 2, 0));
	assert_false(planes_split_with(PLANES_NR, b, a, sizeof(a), 2, 0));
	for (int impl = 0; impl < PLANES_NR; impl++)
		printf("%s: %s\n", names[impl],
		       planes_split_with((enum planes_impl)impl, b, a, sizeof(a), 2, 0)
			       ? "tested"
			       : "not on this machine");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout_is_plane_after_plane),
		cmocka_unit_test(short_input_is_copied),
		cmocka_unit_test(all_lengths_widths_and_phases),
		cmocka_unit_test(says_which_code_ran),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
