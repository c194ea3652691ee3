/* The budget: how it is parted, what is read of the system, what the cache may keep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/base.h"
#include "fs/budget.h"

static void parts_are_within_the_budget(void **state)
{
	static const uint64_t memory[] = {64 * MIB, 256 * MIB, GIB, 4 * GIB, 1024 * GIB};
	static const unsigned threads[] = {1, 4, 32, 256};
	static const uint64_t extent[] = {256 * KIB, MIB, 4 * MIB};

	(void)state;
	for (unsigned m = 0; m < ARRAY_LEN(memory); m++) {
		for (unsigned n = 0; n < 4 * 3 * 3; n++) {
			uint64_t cache = memory[m] / 2 * (n / 12);
			struct budget_parts p;

			budget_split(memory[m], cache, threads[n % 4], extent[n / 4 % 3], &p);
			assert_true(p.pool_len >= 8 * MIB && p.cache_len >= 8 * MIB);
			assert_true(p.pool_len + p.cache_len < memory[m]);
			assert_true(p.pool_len + p.cache_len >= memory[m] / 2);
			if (cache == memory[m] / 2)
				assert_true(p.pool_len - p.cache_len < 2 * MIB);
		}
	}
}

static void status_is_parsed(void **state)
{
	struct budget_resident r = {.anon = 7};

	(void)state;
	assert_int_equal(budget_parse("Name:\tmatfs\nVmRSS:\t  60 kB\nRssAnon:\t      10 kB\n"
				      "RssFile:\t      20 kB\nRssShmem:\t      30 kB\n",
				      &r),
			 0);
	assert_int_equal(r.anon, 10 * KIB);
	assert_int_equal(r.file, 20 * KIB);
	assert_int_equal(r.shmem, 30 * KIB);
	assert_int_equal(budget_parse("RssAnon: 1 kB\nRssFile: 1 kB\n", &r), -EINVAL);
	assert_int_equal(budget_parse("RssAnon: 1 kB\nRssFile: x\nRssShmem: 1 kB\n", &r), -EINVAL);
	assert_int_equal(budget_parse("", &r), -EINVAL);
	assert_int_equal(r.anon, 10 * KIB);
}

static void the_cache_yields_and_comes_back(void **state)
{
	uint64_t max = 256 * MIB, len = 100 * MIB, limit = len, used = len;
	uint64_t others = 200 * MIB;

	(void)state;
	/* It takes what is left; the least of it stays in any case. */
	for (unsigned i = 0; i < 20; i++) {
		limit = budget_cache_limit(limit, len, used, others + used, max);
		used = MIN(used, limit);
	}
	assert_true(others + used <= max && others + used >= max * 9 / 10);
	assert_int_equal(budget_cache_limit(limit, len, used, 10 * max, max), 4 * MIB);
	/* No more of what it does not use. */
	assert_true(budget_cache_limit(len, len, 10 * MIB, max, max) <= 10 * MIB);
	/* All comes back, in steps, and never too much. */
	others = 100 * MIB;
	for (unsigned i = 0; i < 100; i++) {
		limit = budget_cache_limit(limit, len, used, others + used, max);
		used = limit;
		assert_true(others + used <= max);
	}
	assert_int_equal(limit, len);
	/* Between the marks nothing moves. */
	assert_int_equal(budget_cache_limit(50 * MIB, len, 50 * MIB, max / 100 * 95, max),
			 50 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_within_the_budget),
		cmocka_unit_test(status_is_parsed),
		cmocka_unit_test(the_cache_yields_and_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
