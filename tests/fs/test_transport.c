/* Which transport, and how deep. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fs/transport.h"

static void lists_of_cpus_are_counted(void **state)
{
	(void)state;
	assert_int_equal(transport_count_cpus("0"), 1);
	assert_int_equal(transport_count_cpus("0-1"), 2);
	assert_int_equal(transport_count_cpus("0-127"), 128);
	assert_int_equal(transport_count_cpus("0-3,8,10-11"), 7);
}

static void what_is_no_list_of_cpus_counts_nothing(void **state)
{
	static const char *const wrong[] = {"",	   "x",	   "-1",	 "0-", "3-1",
					    "0,x", "0-1x", "0-99999999", " 0"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(transport_count_cpus(wrong[i]), 0);
}

static void queues_fit_into_their_memory(void **state)
{
	(void)state;
	assert_int_equal(transport_depth(2, GIB), 64);
	for (unsigned queues = 1; queues < 512; queues *= 2) {
		for (uint64_t memory = MIB; memory <= 4 * GIB; memory *= 2) {
			unsigned depth = transport_depth(queues, memory);

			assert_true((uint64_t)queues * depth * TRANSPORT_LEN_MAX <= memory);
			assert_in_range(depth, 0, 64);
			assert_int_not_equal(depth, 1);
		}
	}
	/* 64 cores with the default of 4G, of which an eighth is the transport's. */
	assert_in_range(transport_depth(64, 512 * MIB), 6, 8);
	assert_int_equal(transport_depth(64, 64 * MIB), 0);
}

static void classic_can_always_be_had(void **state)
{
	struct conf conf = {.memory = 64 * MIB, .threads = 4, .transport = CONF_TRANSPORT_CLASSIC};
	struct transport t;
	char why[CONF_WHY_LEN] = "";

	(void)state;
	assert_int_equal(transport_choose(&conf, &t, why, sizeof(why)), 0);
	assert_false(t.uring);
	assert_true(t.threads >= conf.threads);
	assert_in_range(t.memory, MIB, 16 * MIB);
	assert_int_equal(strncmp(t.text, "classic", 7), 0);
	assert_null(strstr(t.text, "no io_uring"));
}

/* Whatever there is here: auto takes io_uring just where it can be demanded, else says why not. */
static void auto_takes_what_can_be_had(void **state)
{
	struct conf conf = {.memory = GIB, .threads = 4, .transport = CONF_TRANSPORT_URING};
	char why[CONF_WHY_LEN] = "";
	struct transport t, want;
	int err = transport_choose(&conf, &want, why, sizeof(why));

	(void)state;
	assert_true(!err || err == -EOPNOTSUPP);
	assert_int_equal(!err, want.uring);
	conf.transport = CONF_TRANSPORT_AUTO;
	assert_int_equal(transport_choose(&conf, &t, NULL, 0), 0);
	assert_int_equal(t.uring, !err);
	if (err) {
		assert_non_null(strstr(why, "transport=uring: "));
		assert_non_null(strstr(t.text, "no io_uring: "));
	} else {
		assert_string_equal(t.text, want.text);
		assert_true(t.memory <= conf.memory / 8);
		transport_fell_back(&t);
		assert_false(t.uring);
		assert_non_null(strstr(t.text, "no io_uring: "));
	}
}

/* Memory for less than two requests a queue: refused with what it takes. */
static void too_little_memory_is_refused(void **state)
{
	struct conf conf = {.memory = MIB, .threads = 4, .transport = CONF_TRANSPORT_URING};
	char why[CONF_WHY_LEN] = "";
	struct transport t;

	(void)state;
	assert_int_equal(transport_choose(&conf, &t, why, sizeof(why)), -EOPNOTSUPP);
	assert_false(t.uring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_of_cpus_are_counted),
		cmocka_unit_test(what_is_no_list_of_cpus_counts_nothing),
		cmocka_unit_test(queues_fit_into_their_memory),
		cmocka_unit_test(classic_can_always_be_had),
		cmocka_unit_test(auto_takes_what_can_be_had),
		cmocka_unit_test(too_little_memory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
