/* Text of strings, numbers and brackets. */
#include "tests/codec/codec_test.h"

#include "codec/scan.h"

static struct scan scan_of(const char *text)
{
	return (struct scan){text, text + strlen(text)};
}

static void values_are_passed_over(void **state)
{
	static const struct {
		const char *text;
		const char *rest; /* NULL: refused */
	} cases[] = {
		{"1,2", ",2"},
		{"'a,b',2", ",2"},
		{"(1, (2, 3)), 4", ", 4"},
		{"{\"a\": [1]}}", "}"},
		{"['it\\'s']", ""},
		{"word)", ")"},
		{"", NULL},
		{"(1", NULL},
		{"'open", NULL},
		{"['open]", NULL},
		{"]", "]"},
		{" 7 }", "}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct scan s = scan_of(cases[i].text);
		bool ok = scan_value(&s);

		assert_int_equal(ok, cases[i].rest != NULL);
		if (ok && !scan_is(&s, cases[i].rest))
			fail_msg("%s: %s is left", cases[i].text, s.p);
	}
}

static void numbers_have_64_bits(void **state)
{
	struct scan s = scan_of(" 18446744073709551615 ,");
	uint64_t n = 7;

	(void)state;
	assert_true(scan_number(&s, &n));
	assert_true(n == UINT64_MAX);
	assert_int_equal(scan_peek(&s), ',');
	s = scan_of("18446744073709551616");
	assert_false(scan_number(&s, &n));
	s = scan_of("184467440737095516150");
	assert_false(scan_number(&s, &n));
	s = scan_of("-1");
	assert_false(scan_number(&s, &n));
	s = scan_of("");
	assert_false(scan_number(&s, &n));
}

static void lists_of_numbers_are_taken_whole(void **state)
{
	static const char *const good[] = {"(1,2,3)", "[1, 2, 3]", "( 1 ,2L, 3, )"};
	static const char *const bad[] = {"(1 2 3)", "(1,2",	     "1,2", "(1,,2)",
					  "[1)",     "(1, 2, 3, 4)", "(a)"};
	uint64_t n[3];
	unsigned nr;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct scan s = scan_of(good[i]);

		assert_true(scan_numbers(&s, n, 3, &nr));
		assert_int_equal(nr, 3);
		assert_int_equal(n[0] + 10 * n[1] + 100 * n[2], 321);
		assert_true(scan_done(&s));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct scan s = scan_of(bad[i]);

		if (scan_numbers(&s, n, 3, &nr))
			fail_msg("%s", bad[i]);
	}
}

static void strings_end_at_their_own_quote(void **state)
{
	struct scan s = scan_of("'a\"\\'b' : \"\"x");
	struct scan text;

	(void)state;
	assert_true(scan_string(&s, &text));
	assert_true(scan_is(&text, "a\"\\'b"));
	assert_true(scan_take(&s, ':'));
	assert_true(scan_string(&s, &text));
	assert_true(scan_is(&text, ""));
	assert_false(scan_string(&s, &text));
	scan_word(&s, &text);
	assert_true(scan_is(&text, "x"));
	s = scan_of("'\\");
	assert_false(scan_string(&s, &text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_passed_over),
		cmocka_unit_test(numbers_have_64_bits),
		cmocka_unit_test(lists_of_numbers_are_taken_whole),
		cmocka_unit_test(strings_end_at_their_own_quote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
