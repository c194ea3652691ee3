/* What a look says. The guesses must be right where the answer is plain. */
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

static void text_is_many_printable_characters(void **state)
{
	static const char columns[] = "-0123456789.,e+ \n";
	uint8_t p[20000];

	(void)state;
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)(' ' + i * 2654435761u % 95);
	for (size_t len = 64; len <= sizeof(p); len = len * 3 / 2)
		assert_true(probe_is_text(p, len));
	/* Too few, as in a short one. */
	assert_false(probe_is_text(p, 30));
	/* A table before it, a few letters of another alphabet. */
	memset(p, 0, 500);
	p[sizeof(p) - 1] = p[sizeof(p) - 9] = 0xc3;
	assert_true(probe_is_text(p, sizeof(p)));
	memset(p + sizeof(p) - 512, 0xc3, 100);
	assert_false(probe_is_text(p, sizeof(p)));
	memset(p + sizeof(p) - 512, 'a', 100);
	assert_true(probe_is_text(p, sizeof(p)));
	p[sizeof(p) - 1] = 0;
	assert_false(probe_is_text(p, sizeof(p)));
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)columns[i * 7 % (sizeof(columns) - 1)];
	assert_false(probe_is_text(p, sizeof(p)));
	for (size_t n = 0; test_len(n); n++) {
		for (int at = GUARD_ABOVE; at <= GUARD_BELOW; at++) {
			struct guarded g = guarded_new(test_len(n), (enum guard_at)at);

			memset(g.p, 'a', g.len);
			assert_false(probe_is_text(g.p, g.len));
			guarded_free(&g);
		}
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
		cmocka_unit_test(text_is_many_printable_characters),
		cmocka_unit_test(a_glance_tells_text_from_noise),
		cmocka_unit_test(a_glance_reads_only_what_is_there),
		cmocka_unit_test(the_limit_is_three_per_cent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
