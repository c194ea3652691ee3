/* What is taken from the environment and the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sched.h>

#include "conf/base.h"
#include "conf/env.h"

static void variables_count_when_absolute(void **state)
{
	struct env env;

	(void)state;
	setenv("HOME", "/home/bert", 1);
	setenv("XDG_CONFIG_HOME", "/c", 1);
	setenv("XDG_DATA_HOME", "relative", 1);
	setenv("XDG_STATE_HOME", "", 1);
	assert_int_equal(env_init(&env), 0);
	assert_string_equal(env.home, "/home/bert");
	assert_string_equal(env.config_home, "/c");
	assert_null(env.data_home);
	assert_null(env.state_home);
	assert_int_equal(env.root, geteuid() == 0);
	env_fini(&env);
}

/* From the user's entry, where there is one. */
static void home_is_found_without_the_variable(void **state)
{
	struct env env;

	(void)state;
	unsetenv("HOME");
	assert_int_equal(env_init(&env), 0);
	if (geteuid() == 0)
		assert_string_equal(env.home, "/root");
	else
		assert_true(!env.home || env.home[0] == '/');
	env_fini(&env);
}

static void the_machine_s_limits_hold(void **state)
{
	uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	cpu_set_t all, one;
	struct env env;

	(void)state;
	assert_int_equal(env_init(&env), 0);
	assert_in_range(env.memory_len, MIB, ram);
	assert_true(env.nr_cores >= 1);
	env_fini(&env);

	/* Cores that are taken from us are not counted. */
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++) {
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(env_init(&env), 0);
	assert_int_equal(env.nr_cores, 1);
	env_fini(&env);
	sched_setaffinity(0, sizeof(all), &all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variables_count_when_absolute),
		cmocka_unit_test(home_is_found_without_the_variable),
		cmocka_unit_test(the_machine_s_limits_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
