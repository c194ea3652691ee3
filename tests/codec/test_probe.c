/* What samples say. The guesses must be right where the answer is plain. */
#include "tests/codec/codec_test.h"

#include "codec/probe.h"

static void fill_is_seen_at_every_length(void **state)
{
	(void)state;
	for (size_t n = 0; test_len(n); n++) {
		size_t len = test_len(n);
		struct guarded g = guarded_new(len, GUARD_ABOVE);

		memset(g.p, 0x5a, len);
		assert_true(probe_is_fill(g.p, len));
		for (size_t at = 0; at < len && len > 1; at += len / 7 + 1) {
			g.p[at] ^= 1;
			assert_false(probe_is_fill(g.p, len));
			g.p[at] ^= 1;
		}
		g.p[len - 1] ^= 0x80;
		assert_int_equal(probe_is_fill(g.p, len), len == 1);
		guarded_free(&g);
	}
}

static void a_glance_tells_text_from_noise(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t len = 4096; len <= 1u << 20; len = len * 3 + 1) {
		struct guarded g = guarded_new(len, GUARD_ABOVE);

		for (int i = 0; i < 20; i++) {
			sample_fill(g.p, len, SAMPLE_RANDOM, 0, &r);
			assert_false(probe_glance(g.p, len));
		}
		sample_fill(g.p, len, SAMPLE_TEXT, 0, &r);
		assert_true(probe_glance(g.p, len));
		sample_fill(g.p, len, SAMPLE_FEW, 0, &r);
		assert_true(probe_glance(g.p, len));
		guarded_free(&g);
	}
}

static void a_glance_reads_only_what_is_there(void **state)
{
	struct rng r = {3};

	(void)state;
	for (size_t n = 0; test_len(n); n++) {
		for (int at = GUARD_ABOVE; at <= GUARD_BELOW; at++) {
			struct guarded g = guarded_new(test_len(n), (enum guard_at)at);

			sample_fill(g.p, g.len, SAMPLE_EQUAL, 0, &r);
			assert_int_equal(probe_glance(g.p, g.len), g.len >= 4);
			guarded_free(&g);
		}
	}
}

static struct probe search(const uint8_t *p, size_t len, unsigned widths, unsigned phase)
{
	struct guarded work = guarded_new(probe_work_len(len), GUARD_ABOVE);
	struct probe found = {.width = 77};

	assert_int_equal(probe_search(p, len, widths, phase, work.p, &found), 0);
	guarded_free(&work);
	return found;
}

static void a_search_finds_the_width(void **state)
{
	static const struct {
		enum sample kind;
		uint8_t width;
		bool pays;
	} cases[] = {
		{SAMPLE_RANDOM, 1, false}, {SAMPLE_TEXT, 1, true},    {SAMPLE_FEW, 1, true},
		{SAMPLE_INT16, 2, true},   {SAMPLE_FLOAT32, 4, true}, {SAMPLE_FLOAT64, 8, true},
	};
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t len = 8192; len <= 4u << 20; len = len * 4 + 3) {
		struct guarded g = guarded_new(len, GUARD_ABOVE);

		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct probe found;

			sample_fill(g.p, len, cases[i].kind, 0, &r);
			found = search(g.p, len, PROBE_ALL, 0);
			if (found.pays != cases[i].pays ||
			    (found.pays && found.width != cases[i].width))
				fail_msg("kind %d, len %zu: pays %d, width %d", cases[i].kind, len,
					 found.pays, found.width);
		}
		guarded_free(&g);
	}
}

static void a_search_keeps_to_the_widths_asked(void **state)
{
	struct rng r = {4};
	struct guarded g = guarded_new(100000, GUARD_ABOVE);

	(void)state;
	sample_fill(g.p, g.len, SAMPLE_FLOAT64, 3, &r);
	assert_int_equal(search(g.p, g.len, PROBE_WIDTH(1), 0).width, 1);
	assert_int_equal(search(g.p, g.len, PROBE_WIDTH(2), 3).width, 2);
	assert_int_equal(search(g.p, g.len, PROBE_WIDTH(1) | PROBE_WIDTH(8), 3).width, 8);
	guarded_free(&g);
}

/* Plain, these are noise: that must not end the search before the planes had their turn. */
static void a_told_width_is_tried(void **state)
{
	struct rng r = {5};
	struct guarded g = guarded_new(100000, GUARD_ABOVE);
	struct probe found;

	(void)state;
	for (size_t i = 0; i < g.len; i++)
		g.p[i] = (uint8_t)(i % 2 ? i / 391 : rng_next(&r));
	found = search(g.p, g.len, PROBE_WIDTH(1) | PROBE_WIDTH(2), 0);
	assert_int_equal(found.width, 2);
	assert_true(found.pays);
	found = search(g.p, g.len, PROBE_WIDTH(1) | PROBE_WIDTH(2) | PROBE_WIDTH(4), 0);
	assert_int_equal(found.width, 2);
	assert_true(found.pays);
	guarded_free(&g);
}

static void a_search_survives_every_length_and_phase(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t n = 0; test_len(n); n++) {
		struct guarded g = guarded_new(test_len(n), n % 2 ? GUARD_ABOVE : GUARD_BELOW);
		struct probe found;

		sample_fill(g.p, g.len, (enum sample)(n % SAMPLE_NR), 0, &r);
		found = search(g.p, g.len, PROBE_ALL, (unsigned)(n % 8));
		assert_true(found.width == 1 || found.width == 2 || found.width == 4 ||
			    found.width == 8);
		/* No extent shorter than a frame's head has anything to gain. */
		if (g.len < 9)
			assert_false(found.pays);
		guarded_free(&g);
	}
}

static void the_limit_is_three_per_cent(void **state)
{
	(void)state;
	assert_int_equal(probe_limit(100), 97);
	assert_int_equal(probe_limit(101), 97);
	assert_int_equal(probe_limit(1), 0);
	assert_int_equal(probe_limit(4u << 20), 4068474);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fill_is_seen_at_every_length),
		cmocka_unit_test(a_glance_tells_text_from_noise),
		cmocka_unit_test(a_glance_reads_only_what_is_there),
		cmocka_unit_test(a_search_finds_the_width),
		cmocka_unit_test(a_search_keeps_to_the_widths_asked),
		cmocka_unit_test(a_told_width_is_tried),
		cmocka_unit_test(a_search_survives_every_length_and_phase),
		cmocka_unit_test(the_limit_is_three_per_cent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
