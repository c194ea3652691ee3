/* The nearest name: distances known by hand, and which of a list is meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/base.h"
#include "conf/suggest.h"

static void distances_are_known(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned distance;
	} cases[] = {
		{"", "", 0},	      {"", "abc", 3},	   {"raid", "raid", 0},
		{"raid", "rad", 1},   {"raid", "radi", 1}, {"raid", "raids", 1},
		{"raid", "rand", 1},  {"raid", "diar", 3}, {"kitten", "sitting", 3},
		{"ca", "abc", 3},     {"abcd", "badc", 2}, {"level", "levle", 1},
		{"zstd", "codec", 5},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(suggest_distance(cases[i].a, cases[i].b), cases[i].distance);
		assert_int_equal(suggest_distance(cases[i].b, cases[i].a), cases[i].distance);
	}
}

static void long_words_are_near_to_nothing(void **state)
{
	char fits[] = "abcdefghijklmnopqrstuvwxyz012345";
	char word[400];

	(void)state;
	assert_int_equal(strlen(fits), SUGGEST_MAX);
	assert_int_equal(suggest_distance(fits, ""), SUGGEST_MAX);
	memset(word, 'a', sizeof(word));
	word[sizeof(word) - 1] = 0;
	assert_int_equal(suggest_distance(word, word), SUGGEST_MAX + 1);
	assert_null(suggest_better(word, NULL, "raid"));
	word[SUGGEST_MAX + 1] = 0;
	assert_int_equal(suggest_distance("a", word), SUGGEST_MAX + 1);
	assert_null(suggest_better(word, NULL, "raid"));
}

static const char *nearest(const char *word)
{
	static const char *const names[] = {"raid", "shards", "copies", "cache", "commit", "ro"};
	const char *best = NULL;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		best = suggest_better(word, best, names[i]);
	return best;
}

static void the_nearest_is_meant(void **state)
{
	(void)state;
	assert_string_equal(nearest("riad"), "raid");
	assert_string_equal(nearest("shard"), "shards");
	assert_string_equal(nearest("copy"), "copies");
	assert_string_equal(nearest("comit"), "commit");
	assert_string_equal(nearest("cash"), "cache");
	assert_string_equal(nearest("rw"), "ro");
	assert_null(nearest("x"));
	assert_null(nearest(""));
	assert_null(nearest("compression"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(distances_are_known),
		cmocka_unit_test(long_words_are_near_to_nothing),
		cmocka_unit_test(the_nearest_is_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
