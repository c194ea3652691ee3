/* Histograms: how far a quantile may be off, what counts, and that no addition is lost. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/base.h"
#include "conf/hist.h"

#define NR_THREADS 4
#define NR_ADDS	   50000

static void assert_near(uint64_t got, uint64_t want)
{
	uint64_t off = got > want ? got - want : want - got;

	if (off > want / 16)
		fail_msg("%llu is more than 6 %% off %llu", (unsigned long long)got,
			 (unsigned long long)want);
}

static void hist_empty_answers_zero(void **state)
{
	struct hist *h = calloc(1, sizeof(*h));

	(void)state;
	assert_non_null(h);
	assert_int_equal(hist_count(h), 0);
	assert_int_equal(hist_sum(h), 0);
	assert_int_equal(hist_quantile(h, 0.5), 0);
	free(h);
}

/* Every power of two, its neighbours, and the extremes: alone in a histogram, all quantiles are
 * that value. */
static void hist_one_value_is_every_quantile(void **state)
{
	static struct hist h;

	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		for (int around = -1; around <= 1; around++) {
			uint64_t value = (UINT64_C(1) << bit) + (uint64_t)(int64_t)around;

			hist_init(&h);
			hist_add(&h, value);
			assert_int_equal(hist_count(&h), 1);
			assert_near(hist_quantile(&h, 0), value);
			assert_near(hist_quantile(&h, 0.5), value);
			assert_near(hist_quantile(&h, 1), value);
		}
	}
	hist_init(&h);
	hist_add(&h, UINT64_MAX);
	assert_near(hist_quantile(&h, 1), UINT64_MAX);
}

static void hist_small_values_are_exact(void **state)
{
	static struct hist h;

	(void)state;
	for (uint64_t value = 0; value < 2 * (uint64_t)HIST_SUB; value++) {
		hist_init(&h);
		hist_add(&h, value);
		assert_int_equal(hist_quantile(&h, 0.99), value);
	}
}

static void hist_quantiles_follow_the_values(void **state)
{
	static struct hist h;
	uint64_t sum = 0;

	(void)state;
	hist_init(&h);
	for (uint64_t i = 1; i <= 100000; i++) {
		hist_add(&h, i * 37);
		sum += i * 37;
	}
	assert_int_equal(hist_count(&h), 100000);
	assert_int_equal(hist_sum(&h), sum);
	assert_near(hist_quantile(&h, 0), 37);
	assert_near(hist_quantile(&h, 0.01), 1000 * 37);
	assert_near(hist_quantile(&h, 0.5), 50000 * 37);
	assert_near(hist_quantile(&h, 0.99), 99000 * 37);
	assert_near(hist_quantile(&h, 0.999), 99900 * 37);
	assert_near(hist_quantile(&h, 1), 100000 * 37);
	assert_near(hist_quantile(&h, -1), 37);
	assert_near(hist_quantile(&h, 2), 100000 * 37);
	assert_near(hist_quantile(&h, (double)NAN), 37);
}

/* The median of an odd number of values is the middle one, not its neighbour. */
static void hist_median_is_the_middle(void **state)
{
	static struct hist h;

	(void)state;
	hist_init(&h);
	hist_add(&h, 1);
	hist_add(&h, 5);
	hist_add(&h, 9);
	assert_int_equal(hist_quantile(&h, 0.5), 5);
	hist_add(&h, 10);
	assert_int_equal(hist_quantile(&h, 0.5), 5);
	assert_int_equal(hist_quantile(&h, 0.51), 9);
}

static void hist_merge_adds_up(void **state)
{
	static struct hist a, b;

	(void)state;
	hist_init(&a);
	hist_init(&b);
	for (unsigned i = 0; i < 100; i++) {
		hist_add(&a, 10);
		hist_add(&b, 1000);
	}
	hist_add(&b, 1000);
	hist_merge(&a, &b);
	assert_int_equal(hist_count(&a), 201);
	assert_int_equal(hist_sum(&a), 100 * 10 + 101 * 1000);
	assert_near(hist_quantile(&a, 0.5), 1000);
	assert_int_equal(hist_quantile(&a, 0.49), 10);
}

static void *add_many(void *arg)
{
	for (uint64_t i = 0; i < NR_ADDS; i++)
		hist_add(arg, i % 1000);
	return NULL;
}

static void hist_loses_nothing_among_threads(void **state)
{
	static struct hist h;
	pthread_t threads[NR_THREADS];

	(void)state;
	hist_init(&h);
	for (unsigned i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, &h), 0);
	/* Asking meanwhile must neither crash nor answer what was never added. */
	for (unsigned i = 0; i < 100; i++)
		assert_true(hist_quantile(&h, 1) <= 1024);
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(hist_count(&h), NR_THREADS * NR_ADDS);
	assert_int_equal(hist_sum(&h), (uint64_t)NR_THREADS * (NR_ADDS / 1000) * (999 * 1000 / 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hist_empty_answers_zero),
		cmocka_unit_test(hist_one_value_is_every_quantile),
		cmocka_unit_test(hist_small_values_are_exact),
		cmocka_unit_test(hist_quantiles_follow_the_values),
		cmocka_unit_test(hist_median_is_the_middle),
		cmocka_unit_test(hist_merge_adds_up),
		cmocka_unit_test(hist_loses_nothing_among_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
