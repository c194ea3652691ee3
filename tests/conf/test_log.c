/* Messages: which are written, what is kept, and that lines of several threads stay whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "conf/base.h"
#include "conf/log.h"

#define KEPT_MAX 65536

/* Run @run with stderr going to a file, and give what it wrote. The caller frees it. */
static char *catch_stderr(void (*run)(void))
{
	char *text = calloc(1, KEPT_MAX);
	FILE *f = tmpfile();
	int saved = dup(STDERR_FILENO);

	assert_non_null(text);
	assert_non_null(f);
	fflush(stderr);
	assert_true(dup2(fileno(f), STDERR_FILENO) >= 0);
	run();
	fflush(stderr);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	rewind(f);
	assert_true(fread(text, 1, KEPT_MAX - 1, f) < KEPT_MAX - 1);
	fclose(f);
	return text;
}

static void say_each_level(void)
{
	log_error("one %d", 1);
	log_warn("two");
	log_note("three");
	log_debug("four");
}

static void levels_are_kept_to(void **state)
{
	char *text;

	(void)state;
	text = catch_stderr(say_each_level);
	assert_string_equal(text, "matfs: one 1\nmatfs: two\nmatfs: three\n");
	free(text);
	log_set_level(LOG_LEVEL_DEBUG);
	text = catch_stderr(say_each_level);
	assert_non_null(strstr(text, "matfs: four\n"));
	free(text);
	log_set_level(LOG_LEVEL_ERROR);
	text = catch_stderr(say_each_level);
	assert_string_equal(text, "matfs: one 1\n");
	free(text);
	log_set_level(LOG_LEVEL_NOTE);
}

static void say_many(void)
{
	for (unsigned i = 0; i < 200; i++)
		log_note("line %u", i);
}

/* Debug lines are not for .stats. */
static void the_newest_lines_are_kept(void **state)
{
	char kept[KEPT_MAX], few[32];
	size_t len;

	(void)state;
	log_set_level(LOG_LEVEL_DEBUG);
	free(catch_stderr(say_each_level));
	log_set_level(LOG_LEVEL_NOTE);
	len = log_recent(kept, sizeof(kept));
	assert_int_equal(len, strlen(kept));
	assert_null(strstr(kept, "four"));
	free(catch_stderr(say_many));
	len = log_recent(kept, sizeof(kept));
	assert_int_equal(len, strlen(kept));
	assert_memory_equal(kept, "line 136\nline 137\n", 18);
	assert_string_equal(kept + strlen(kept) - 18, "line 198\nline 199\n");

	/* With little room the newest count, whole. */
	assert_int_equal(log_recent(few, 19), 18);
	assert_string_equal(few, "line 198\nline 199\n");
	assert_int_equal(log_recent(few, 18), 9);
	assert_string_equal(few, "line 199\n");
	assert_int_equal(log_recent(few, 9), 0);
	assert_string_equal(few, "");
	assert_int_equal(log_recent(few, 0), 0);
}

static void say_long(void)
{
	log_note("%0600d", 7);
}

static void long_lines_are_cut_not_broken(void **state)
{
	char *text = catch_stderr(say_long);

	(void)state;
	assert_int_equal(strlen(text), strlen("matfs: ") + 511 + 1);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
}

static void *say_from_thread(void *arg)
{
	for (unsigned i = 0; i < 100; i++)
		log_note("thread %c%c%c%c", *(char *)arg, *(char *)arg, *(char *)arg, *(char *)arg);
	return NULL;
}

static void say_from_threads(void)
{
	static char names[] = "abcd";
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, say_from_thread, &names[i]), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void threads_do_not_mix_their_lines(void **state)
{
	char *text = catch_stderr(say_from_threads);
	unsigned nr_lines = 0;

	(void)state;
	for (const char *line = text; *line; line = strchr(line, '\n') + 1, nr_lines++) {
		assert_int_equal(strcspn(line, "\n"), strlen("matfs: thread aaaa"));
		assert_int_equal(line[14], line[15]);
		assert_int_equal(line[14], line[17]);
	}
	assert_int_equal(nr_lines, 400);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_are_kept_to),
		cmocka_unit_test(the_newest_lines_are_kept),
		cmocka_unit_test(long_lines_are_cut_not_broken),
		cmocka_unit_test(threads_do_not_mix_their_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
