/* Taking "name=value,..." apart, and backslashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/base.h"
#include "conf/setting.h"

static void assert_item(const struct settings *list, size_t idx, const char *name,
			const char *value)
{
	assert_true(idx < list->nr);
	assert_string_equal(list->items[idx].name, name);
	if (value)
		assert_string_equal(list->items[idx].value, value);
	else
		assert_null(list->items[idx].value);
	assert_string_equal(list->items[idx].from, "-o");
	assert_null(list->items[idx].section);
}

static void lists_are_split_at_commas(void **state)
{
	struct settings list = {0};

	(void)state;
	assert_int_equal(setting_split(&list, ",a=1,b,,c=,d=e=f,g=h\\,i,j\\\\,k\\", "-o"), 0);
	assert_int_equal(list.nr, 7);
	assert_item(&list, 0, "a", "1");
	assert_item(&list, 1, "b", NULL);
	assert_item(&list, 2, "c", "");
	assert_item(&list, 3, "d", "e=f");
	assert_item(&list, 4, "g", "h\\,i");
	assert_item(&list, 5, "j\\\\", NULL);
	assert_item(&list, 6, "k\\", NULL);
	settings_fini(&list);
	assert_int_equal(list.nr, 0);
	assert_int_equal(setting_split(&list, "", "-o"), 0);
	assert_int_equal(list.nr, 0);
	settings_fini(&list);
}

static void assert_plain(const char *value, const char *want)
{
	AUTO_FREE char *got = setting_unescape(value, strlen(value));

	assert_string_equal(got, want);
}

static void backslashes_before_others_stay(void **state)
{
	(void)state;
	assert_plain("", "");
	assert_plain("a\\:b\\,c\\\\d", "a:b,c\\d");
	assert_plain("a\\b", "a\\b");
	assert_plain("a\\", "a\\");
	assert_plain("\\\\:", "\\:");
}

/* What is quoted for libfuse comes back as it was, whatever it is. */
static void escaping_is_undone_by_unescaping(void **state)
{
	static const char *const texts[] = {"", "a", ",", "\\", "\\,", "a\\\\,b,", ",,\\"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		AUTO_FREE char *quoted = setting_escape(texts[i]);

		assert_int_equal(setting_span(quoted, ','), strlen(quoted));
		assert_plain(quoted, texts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_split_at_commas),
		cmocka_unit_test(backslashes_before_others_stay),
		cmocka_unit_test(escaping_is_undone_by_unescaping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
