#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/report.h"

static struct report *begin(enum report_form form)
{
	struct report *r;

	assert_int_equal(report_new(form, &r), 0);
	return r;
}

static void says(struct report *r, const char *expected)
{
	char *text;
	size_t len;

	assert_int_equal(report_end(r, &text, &len), 0);
	assert_string_equal(text, expected);
	assert_int_equal(len, strlen(expected));
	free(text);
}

static void fill(struct report *r)
{
	report_group(r, "volume");
	report_text(r, "state", "online");
	report_number(r, "log_size", REPORT_BYTES, 3 << 20);
	report_number(r, "last_commit", REPORT_NS, 1500);
	report_ratio(r, "ratio", 1.5);
	report_flag(r, "redundant", true);
	report_group_end(r);
	report_table(r, "shards", false);
	report_row(r, NULL);
	report_number(r, "index", REPORT_COUNT, 0);
	report_text(r, "path", "/a");
	report_row(r, NULL);
	report_number(r, "index", REPORT_COUNT, 10);
	report_text(r, "path", "/long/path");
	report_table_end(r);
	report_table(r, "ops", true);
	report_row(r, "read");
	report_number(r, "count", REPORT_COUNT, 7);
	report_table_end(r);
	report_lines(r, "messages", "one\ntwo\n");
}

static void json_has_units_in_its_names(void **state)
{
	struct report *r = begin(REPORT_JSON);

	(void)state;
	fill(r);
	says(r, "{\n\t\"volume\": {\n"
		"\t\t\"state\": \"online\",\n"
		"\t\t\"log_size_bytes\": 3145728,\n"
		"\t\t\"last_commit_ns\": 1500,\n"
		"\t\t\"ratio\": 1.500,\n"
		"\t\t\"redundant\": true\n"
		"\t},\n"
		"\t\"shards\": [\n"
		"\t\t{\"index\": 0, \"path\": \"/a\"},\n"
		"\t\t{\"index\": 10, \"path\": \"/long/path\"}\n"
		"\t],\n"
		"\t\"ops\": {\n"
		"\t\t\"read\": {\"count\": 7}\n"
		"\t},\n"
		"\t\"messages\": [\n\t\t\"one\",\n\t\t\"two\"\n\t]\n"
		"}\n");
}

static void text_is_aligned(void **state)
{
	struct report *r = begin(REPORT_TEXT);

	(void)state;
	fill(r);
	says(r, "volume\n"
		"  state                 online\n"
		"  log size              3.0 MiB\n"
		"  last commit           1.5 us\n"
		"  ratio                 1.500\n"
		"  redundant             yes\n"
		"\nshards\n"
		"  index  path      \n"
		"      0  /a        \n"
		"     10  /long/path\n"
		"\nops\n"
		"        count\n"
		"  read      7\n"
		"\nmessages\n"
		"  one\n"
		"  two\n");
}

static void nothing_is_still_json(void **state)
{
	struct report *r = begin(REPORT_JSON);

	(void)state;
	report_table(r, "shards", false);
	report_table_end(r);
	report_lines(r, "messages", "");
	says(r, "{\n\t\"shards\": [],\n\t\"messages\": []\n}\n");
}

static void any_bytes_make_valid_json(void **state)
{
	struct report *r = begin(REPORT_JSON);

	(void)state;
	report_group(r, "g");
	report_text(r, "quoted", "a\"b\\c");
	report_text(r, "control", "a\nb\x01\x7f");
	report_text(r, "utf8", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	/* A lone continuation, an overlong slash, a surrogate, beyond the last letter, cut short. */
	report_text(r, "broken", "\x80 \xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82");
	report_group_end(r);
	says(r, "{\n\t\"g\": {\n"
		"\t\t\"quoted\": \"a\\\"b\\\\c\",\n"
		"\t\t\"control\": \"a\\u000ab\\u0001\\u007f\",\n"
		"\t\t\"utf8\": \"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",\n"
		"\t\t\"broken\": \"\\udc80 \\udcc0\\udcaf \\udced\\udca0\\udc80 "
		"\\udcf4\\udc90\\udc80\\udc80 \\udce2\\udc82\"\n"
		"\t}\n}\n");
}

static void any_bytes_make_one_line_of_text(void **state)
{
	struct report *r = begin(REPORT_TEXT);

	(void)state;
	report_table(r, "t", false);
	report_row(r, NULL);
	report_text(r, "path", "a\nb\x1b[0m\xff");
	report_text(r, "next", "x");
	report_row(r, NULL);
	report_text(r, "path", "\xc3\xa9");
	report_text(r, "next", "y");
	report_table_end(r);
	says(r, "t\n"
		"  path      next\n"
		"  a?b?[0m?  x   \n"
		"  \xc3\xa9         y   \n");
}

static void what_is_more_than_a_table_holds_is_left_out(void **state)
{
	struct report *r = begin(REPORT_TEXT);

	(void)state;
	report_table(r, "t", false);
	report_row(r, NULL);
	for (int i = 0; i < 40; i++)
		report_number(r, "n", REPORT_COUNT, 1);
	report_row(r, NULL);
	for (int i = 0; i < 50; i++)
		report_number(r, "n", REPORT_COUNT, 2);
	report_table_end(r);
	says(r, "t\n"
		"  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n\n"
		"  1  1  1  1  1  1  1  1  1  1  1  1  1  1  1  1\n"
		"  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2\n");
}

static void sizes_and_times_take_the_unit_that_fits(void **state)
{
	struct report *r = begin(REPORT_TEXT);

	(void)state;
	report_group(r, "g");
	report_number(r, "a", REPORT_BYTES, 1023);
	report_number(r, "b", REPORT_BYTES, UINT64_MAX);
	report_number(r, "c", REPORT_NS, 999);
	report_number(r, "d", REPORT_NS, 86400000000000ULL);
	report_group_end(r);
	says(r, "g\n"
		"  a                     1023 B\n"
		"  b                     16.0 EiB\n"
		"  c                     999 ns\n"
		"  d                     86400.0 s\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_has_units_in_its_names),
		cmocka_unit_test(text_is_aligned),
		cmocka_unit_test(nothing_is_still_json),
		cmocka_unit_test(any_bytes_make_valid_json),
		cmocka_unit_test(any_bytes_make_one_line_of_text),
		cmocka_unit_test(what_is_more_than_a_table_holds_is_left_out),
		cmocka_unit_test(sizes_and_times_take_the_unit_that_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
