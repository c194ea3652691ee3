/* Sizes: what people write, what is refused, and that printing and parsing agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/base.h"
#include "conf/size.h"

static void size_reads_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} cases[] = {
		{"0", 0},
		{"1", 1},
		{"4096", 4096},
		{"1K", 1024},
		{"3k", 3072},
		{"512M", 512 * MIB},
		{"4g", 4 * GIB},
		{"2T", 2048 * GIB},
		{"007", 7},
		{"18446744073709551615", UINT64_MAX},
		{"18014398509481983K", UINT64_MAX - 1023},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t size = 42;

		assert_int_equal(size_parse(cases[i].text, &size), 0);
		assert_int_equal(size, cases[i].size);
	}
}

static void size_refuses_the_rest(void **state)
{
	static const char *const wrong[] = {"",	    "K",    "-1", "+1", " 1",  "1 ", "1 K", "1KB",
					    "1.5G", "0x10", "1E", "1P", "1K1", "a",  "1\n"};
	static const char *const large[] = {"18446744073709551616", "99999999999999999999999999",
					    "18014398509481984K", "16777216T"};
	uint64_t size = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(size_parse(wrong[i], &size), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(large); i++)
		assert_int_equal(size_parse(large[i], &size), -ERANGE);
	assert_int_equal(size, 42);
}

static void size_prints_the_shortest(void **state)
{
	char text[SIZE_TEXT_LEN];
	uint64_t back;

	(void)state;
	size_print(0, text);
	assert_string_equal(text, "0");
	size_print(1000, text);
	assert_string_equal(text, "1000");
	size_print(1024, text);
	assert_string_equal(text, "1K");
	size_print(1536 * KIB, text);
	assert_string_equal(text, "1536K");
	size_print(1024 * 1024 * GIB, text);
	assert_string_equal(text, "1024T");
	size_print(UINT64_MAX, text);
	assert_string_equal(text, "18446744073709551615");
	for (unsigned bit = 0; bit < 64; bit++) {
		for (uint64_t size = (UINT64_C(1) << bit) - 1; size <= (UINT64_C(1) << bit) + 1;
		     size++) {
			size_print(size, text);
			assert_int_equal(size_parse(text, &back), 0);
			assert_int_equal(back, size);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(size_reads_units),
		cmocka_unit_test(size_refuses_the_rest),
		cmocka_unit_test(size_prints_the_shortest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
