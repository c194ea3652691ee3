/* The way in, with the real environment; and what -h says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"

static void load_reads_the_command_line(void **state)
{
	char prog[] = "matfs", place[] = "/mnt/mat", o[] = "-o",
	     line[] = "conf=/dev/null,raid=6,state=/s";
	char *argv[] = {prog, place, o, line, NULL};
	char why[CONF_WHY_LEN] = "";
	struct conf *conf = NULL;

	(void)state;
	assert_int_equal(conf_load(4, argv, &conf, why, sizeof(why)), 0);
	assert_int_equal(conf->raid, 6);
	assert_string_equal(conf->file, "/dev/null");
	assert_true(conf->memory >= CONF_MEMORY_MIN);
	assert_true(conf->threads >= 4);
	assert_string_equal(why, "");
	conf_free(conf);
	conf_free(NULL);
}

static int load_line(const char *text, char *why, size_t why_len)
{
	char prog[] = "matfs", place[] = "/mnt/mat", o[] = "-o";
	char *line = strdup(text);
	char *argv[] = {prog, place, o, line, NULL};
	struct conf *conf = NULL;
	int err = conf_load(4, argv, &conf, why, why_len);

	assert_null(conf);
	free(line);
	return err;
}

/* However little room there is. */
static void why_is_ended_and_cut(void **state)
{
	char why[64];

	(void)state;
	memset(why, 'x', sizeof(why));
	assert_int_equal(load_line("raid=7", why, 9), -EINVAL);
	assert_string_equal(why, "-o: raid");
	assert_int_equal(why[9], 'x');
	assert_int_equal(load_line("raid=7", why, 1), -EINVAL);
	assert_string_equal(why, "");
	why[0] = 'y';
	assert_int_equal(load_line("raid=7", why, 0), -EINVAL);
	assert_int_equal(why[0], 'y');
	assert_int_equal(load_line("raid=7", NULL, 0), -EINVAL);
}

static void help_and_version_come_first(void **state)
{
	static const struct {
		const char *flag;
		int done;
	} cases[] = {
		{"-h", CONF_DONE_HELP},		  {"--help", CONF_DONE_HELP},
		{"-fh", CONF_DONE_HELP},	  {"-V", CONF_DONE_VERSION},
		{"--version", CONF_DONE_VERSION},
	};
	char why[CONF_WHY_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char prog[] = "matfs", o[] = "-oraid=99", *flag = strdup(cases[i].flag);
		char *argv[] = {prog, o, flag, NULL};
		struct conf *conf = NULL;

		assert_int_equal(conf_load(3, argv, &conf, why, sizeof(why)), cases[i].done);
		assert_null(conf);
		free(flag);
	}
}

/* Every name of struct conf is told, with its range and default, in lines that fit a terminal of
 * 120. */
static void help_tells_all(void **state)
{
	static const char *const told[] = {
		"usage: matfs",
		"raid=0|1|5|6",
		"shards=DIR:DIR",
		"copies=N",
		"2 to 16 (2)",
		"extent=SIZE",
		"256K to 4M",
		"codec=auto|none|",
		"level=N",
		"gpu=auto|on|off",
		"gpu_threshold=SIZE",
		"1 to 19 (1)",
		"memory=SIZE",
		"cache=SIZE",
		"commit=SECONDS",
		"1 to 300 (5)",
		"threads=N",
		"1 to 256",
		"engine=auto|",
		"transport=auto|",
		"degraded",
		"salvage",
		"wait=SECONDS",
		"state=DIR",
		"conf=FILE",
		"ro ",
		"allow_other",
		"noatime",
		"dirsync",
		"nosuid",
		"x-*",
	};
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	assert_non_null(f);
	conf_help(f);
	assert_int_equal(fclose(f), 0);
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		if (!strstr(text, told[i]))
			fail_msg("-h does not tell \"%s\":\n%s", told[i], text);
	}
	for (const char *line = text; *line; line = strchr(line, '\n') + 1)
		assert_true(strcspn(line, "\n") <= 130);
	free(text);
}

static void version_is_numbers(void **state)
{
	unsigned major, minor, patch;

	(void)state;
	assert_int_equal(sscanf(conf_version(), "%u.%u.%u", &major, &minor, &patch), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(load_reads_the_command_line),
		cmocka_unit_test(why_is_ended_and_cut),
		cmocka_unit_test(help_and_version_come_first),
		cmocka_unit_test(help_tells_all),
		cmocka_unit_test(version_is_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
