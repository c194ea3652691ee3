/* Settings files as text: what is read from a line, what is refused, and that nothing is ever cut
 * short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/base.h"
#include "conf/inifile.h"

#define BIG 20000

static char why_buf[512];

static int read_text(const char *text, size_t len, struct settings *list)
{
	const struct why why = {why_buf, sizeof(why_buf)};
	FILE *f = tmpfile();
	int err;

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	rewind(f);
	*list = (struct settings){0};
	*why_buf = 0;
	err = inifile_read_stream(f, "F", list, &why);
	fclose(f);
	return err;
}

static void read_ok(const char *text, struct settings *list)
{
	if (read_text(text, strlen(text), list))
		fail_msg("%s", why_buf);
}

static void read_refused(const char *text, const char *why)
{
	struct settings list;

	assert_int_equal(read_text(text, strlen(text), &list), -EINVAL);
	if (strncmp(why_buf, why, strlen(why)) != 0)
		fail_msg("wanted \"%s...\", got \"%s\"", why, why_buf);
	settings_fini(&list);
}

static void assert_setting(const struct settings *list, size_t idx, const char *section,
			   const char *name, const char *value, const char *from)
{
	assert_true(idx < list->nr);
	assert_string_equal(list->items[idx].section, section);
	assert_string_equal(list->items[idx].name, name);
	if (value)
		assert_string_equal(list->items[idx].value, value);
	else
		assert_null(list->items[idx].value);
	assert_string_equal(list->items[idx].from, from);
}

static void lines_become_settings(void **state)
{
	struct settings list;

	(void)state;
	read_ok("a=1\n"
		"  b = 2 ; comment\n"
		"; c = 3\n"
		"\t# d = 4\n"
		"\n"
		"[/x/y] ; comment\n"
		"\te = a;b\n"
		"f\n"
		"  g ; comment = 7\n"
		"h: 8\n"
		"i =\n"
		"[default]\n"
		"j = k = l",
		&list);
	assert_int_equal(list.nr, 8);
	assert_setting(&list, 0, "", "a", "1", "F:1");
	assert_setting(&list, 1, "", "b", "2", "F:2");
	assert_setting(&list, 2, "/x/y", "e", "a;b", "F:7");
	assert_setting(&list, 3, "/x/y", "f", NULL, "F:8");
	assert_setting(&list, 4, "/x/y", "g", NULL, "F:9");
	assert_setting(&list, 5, "/x/y", "h", "8", "F:10");
	assert_setting(&list, 6, "/x/y", "i", "", "F:11");
	assert_setting(&list, 7, "default", "j", "k = l", "F:13");
	settings_fini(&list);
}

static void empty_files_have_no_settings(void **state)
{
	static const char *const texts[] = {"",	   "\n",      "\r\n", "\xef\xbb\xbf",
					    "# x", " \t \n;", "[/a]"};
	struct settings list;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		read_ok(texts[i], &list);
		assert_int_equal(list.nr, 0);
		settings_fini(&list);
	}
}

static void files_of_other_systems_are_read(void **state)
{
	struct settings list;

	(void)state;
	read_ok("\xef\xbb\xbf[/a]\r\nb = c\r\n\r\nd\r\n", &list);
	assert_int_equal(list.nr, 2);
	assert_setting(&list, 0, "/a", "b", "c", "F:2");
	assert_setting(&list, 1, "/a", "d", NULL, "F:4");
	settings_fini(&list);
	read_ok("\xef\xbb\xbf"
		"b = c",
		&list);
	assert_setting(&list, 0, "", "b", "c", "F:1");
	settings_fini(&list);
}

/* inih alone would take these for more of the line above. */
static void indentation_means_nothing(void **state)
{
	struct settings list;

	(void)state;
	read_ok("a = 1\n    b = 2\n\tc\n", &list);
	assert_int_equal(list.nr, 3);
	assert_setting(&list, 1, "", "b", "2", "F:2");
	assert_setting(&list, 2, "", "c", NULL, "F:3");
	settings_fini(&list);
}

/* At every length around inih's buffer: the whole value, or a refusal. Never a part of it. */
static void no_line_is_cut(void **state)
{
	char text[600], longest[600] = "";
	unsigned nr_whole = 0, nr_refused = 0;

	(void)state;
	for (size_t len = 1; len < 500; len++) {
		struct settings list;

		strcpy(text, "# one\nabc = ");
		memset(text + strlen(text), 'x', len);
		strcpy(text + 12 + len, len % 2 ? "" : "\nz = 1\n");
		if (read_text(text, strlen(text), &list) == 0) {
			assert_int_equal(strlen(list.items[0].value), len);
			assert_int_equal(list.nr, len % 2 ? 1 : 2);
			nr_whole++;
			strcpy(longest, list.items[0].value);
		} else {
			assert_true(strncmp(why_buf, "F:2: line is longer than ", 25) == 0);
			nr_refused++;
		}
		settings_fini(&list);
	}
	/* inih's default is 200 bytes; some build it with more. */
	assert_true(nr_whole >= 185);
	assert_int_equal(nr_whole, strlen(longest));
	assert_int_equal(nr_whole + nr_refused, 499);
}

static void comments_and_sections_may_be_long(void **state)
{
	char *text = malloc(BIG);
	struct settings list;
	char section[301];

	(void)state;
	assert_non_null(text);
	memset(section, 's', sizeof(section));
	section[0] = '/';
	section[sizeof(section) - 1] = 0;
	snprintf(text, BIG, "# %08000d\n[%s]\na=1\n", 0, section);
	read_ok(text, &list);
	assert_int_equal(list.nr, 1);
	assert_setting(&list, 0, section, "a", "1", "F:3");
	settings_fini(&list);
	snprintf(text, BIG, "\n# %09000d\n", 0);
	read_refused(text, "F:2: line is longer than 8191 bytes");
	snprintf(text, BIG, "a=1\na=%0300d\nb\n", 0);
	if (read_text(text, strlen(text), &list))
		assert_true(strncmp(why_buf, "F:2: line is longer than ", 25) == 0);
	settings_fini(&list);
	free(text);
}

static void sections_may_hold_brackets(void **state)
{
	struct settings list;

	(void)state;
	read_ok("[/a]b]\nx\n[/c] ; d]\ny\n[/e];f]\nz\n", &list);
	assert_int_equal(list.nr, 3);
	assert_setting(&list, 0, "/a]b", "x", NULL, "F:2");
	assert_setting(&list, 1, "/c", "y", NULL, "F:4");
	assert_setting(&list, 2, "/e];f", "z", NULL, "F:6");
	settings_fini(&list);
	read_refused("a\n[/a\n", "F:2: [/a: a section ends with ]");
	read_refused("[/a] b\n", "F:1: [/a] b: a section ends with ]");
}

static void what_is_no_text_is_refused(void **state)
{
	struct settings list;

	(void)state;
	assert_int_equal(read_text("a=1\nb=\0002\n", 9, &list), -EINVAL);
	assert_string_equal(why_buf, "F:2: a zero byte; this is no text");
	settings_fini(&list);
}

static void hashes_behind_values_are_refused(void **state)
{
	struct settings list;

	(void)state;
	read_refused("a = /b # c\n", "F:1: a: a comment behind a value begins with ;");
	read_refused("\na = /b#c\t#d\n", "F:2: a: a comment behind a value begins with ;");
	read_ok("a = /b#c\nb = # d ; e", &list);
	assert_setting(&list, 0, "", "a", "/b#c", "F:1");
	settings_fini(&list);
}

static void missing_files_are_told_apart(void **state)
{
	const struct why why = {why_buf, sizeof(why_buf)};
	struct settings list = {0};

	(void)state;
	*why_buf = 0;
	assert_int_equal(inifile_read("/nonexistent/file", &list, &why), -ENOENT);
	assert_int_equal(inifile_read("/dev/null/file", &list, &why), -ENOENT);
	assert_string_equal(why_buf, "");
	assert_int_equal(inifile_read("/dev/null", &list, &why), 0);
	assert_int_equal(inifile_read("/", &list, &why), -EINVAL);
	assert_non_null(strstr(why_buf, "/: Is a directory"));
	assert_int_equal(list.nr, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_become_settings),
		cmocka_unit_test(empty_files_have_no_settings),
		cmocka_unit_test(files_of_other_systems_are_read),
		cmocka_unit_test(indentation_means_nothing),
		cmocka_unit_test(no_line_is_cut),
		cmocka_unit_test(comments_and_sections_may_be_long),
		cmocka_unit_test(sections_may_hold_brackets),
		cmocka_unit_test(what_is_no_text_is_refused),
		cmocka_unit_test(hashes_behind_values_are_refused),
		cmocka_unit_test(missing_files_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
