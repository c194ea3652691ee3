/* Paths as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "conf/base.h"
#include "conf/path.h"

static void assert_absolute(const char *path, const char *want)
{
	char *got = NULL;

	assert_int_equal(path_absolute(path, "/home/anna/", "/here", &got), 0);
	assert_string_equal(got, want);
	free(got);
}

static void paths_become_absolute(void **state)
{
	(void)state;
	assert_absolute("/", "/");
	assert_absolute("//", "/");
	assert_absolute("/a", "/a");
	assert_absolute("/a/", "/a");
	assert_absolute("//a//b///", "/a/b");
	assert_absolute("/a/./b/.", "/a/b");
	assert_absolute("/./.", "/");
	assert_absolute("/a/../b", "/a/../b");
	assert_absolute("/.a/..b/c.", "/.a/..b/c.");
	assert_absolute("a", "/here/a");
	assert_absolute(".", "/here");
	assert_absolute("./a", "/here/a");
	assert_absolute("..", "/here/..");
	assert_absolute("~", "/home/anna");
	assert_absolute("~/", "/home/anna");
	assert_absolute("~/a b", "/home/anna/a b");
	assert_absolute("~bob", "/here/~bob");
	assert_absolute("/~/a", "/~/a");
}

static void paths_without_a_base_are_refused(void **state)
{
	char *got = NULL;

	(void)state;
	assert_int_equal(path_absolute("", "/h", "/c", &got), -ENOENT);
	assert_int_equal(path_absolute("a", "/h", NULL, &got), -EDOM);
	assert_int_equal(path_absolute("~/a", NULL, "/c", &got), -EDOM);
	assert_null(got);
	assert_int_equal(path_absolute("/a", NULL, NULL, &got), 0);
	assert_string_equal(got, "/a");
	free(got);
}

static void assert_name(const char *path, const char *want)
{
	AUTO_FREE char *name = path_to_name(path);

	assert_string_equal(name, want);
}

static void names_are_different_for_each_path(void **state)
{
	(void)state;
	assert_name("/mnt/mat", "mnt-mat");
	assert_name("/mnt-mat", "mnt%2Dmat");
	assert_name("/mnt%2Dmat", "mnt%252Dmat");
	assert_name("/", "-");
	assert_name("/-", "%2D");
	assert_name("/a", "a");
	assert_name("/\xc3\xa4/b c", "\xc3\xa4-b c");
}

static void links_are_resolved_where_there_are_any(void **state)
{
	char dir[] = "/tmp/matfs-path-XXXXXX", link[64], missing[64];
	AUTO_FREE char *base = NULL;
	char *got;

	(void)state;
	assert_non_null(mkdtemp(dir));
	base = realpath(dir, NULL);
	snprintf(link, sizeof(link), "%s/link", dir);
	snprintf(missing, sizeof(missing), "%s/missing", dir);
	assert_int_equal(symlink(".", link), 0);
	got = path_resolve(link);
	assert_string_equal(got, base);
	free(got);
	got = path_resolve(missing);
	assert_string_equal(got, missing);
	free(got);
	unlink(link);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_become_absolute),
		cmocka_unit_test(paths_without_a_base_are_refused),
		cmocka_unit_test(names_are_different_for_each_path),
		cmocka_unit_test(links_are_resolved_where_there_are_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
