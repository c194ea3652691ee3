/* The pool for requests that wait. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/base.h"
#include "conf/lock.h"
#include "fs/later.h"

#define NR_JOBS 500

struct gate_job {
	struct job job;
	struct test *t;
	unsigned idx;
};

struct test {
	struct later *pool;
	struct lock lock;
	struct cond changed;
	bool open;		  /* guarded by lock, as all that follows */
	unsigned nr_inside, most; /* jobs that wait for the gate */
	unsigned nr_done;
	unsigned order[NR_JOBS];
	struct gate_job job[NR_JOBS];
};

static int setup(void **state)
{
	struct test *t = calloc(1, sizeof(*t));

	lock_init(&t->lock);
	cond_init(&t->changed);
	for (unsigned i = 0; i < NR_JOBS; i++) {
		t->job[i].t = t;
		t->job[i].idx = i;
	}
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct test *t = *state;

	cond_fini(&t->changed);
	lock_fini(&t->lock);
	free(t);
	return 0;
}

/* Waits until the gate is open. */
static void gate_run(struct job *job)
{
	struct gate_job *j = container_of(job, struct gate_job, job);
	struct test *t = j->t;

	lock_take(&t->lock);
	t->most = MAX(t->most, ++t->nr_inside);
	cond_broadcast(&t->changed);
	while (!t->open)
		cond_wait(&t->changed, &t->lock);
	t->nr_inside--;
	t->order[t->nr_done++] = j->idx;
	cond_broadcast(&t->changed);
	lock_release(&t->lock);
}

static void post(struct test *t, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		t->job[i].job.run = gate_run;
		later_post(t->pool, &t->job[i].job);
	}
}

/* Until so many wait inside, or are done; false: not within ten seconds. */
static bool reach(struct test *t, const unsigned *counter, unsigned nr)
{
	uint64_t end = mono_ns() + 10000000000ULL;
	bool there;

	lock_take(&t->lock);
	while (*counter < nr && !cond_wait_until(&t->changed, &t->lock, end))
		;
	there = *counter >= nr;
	lock_release(&t->lock);
	return there;
}

static void open_gate(struct test *t)
{
	lock_take(&t->lock);
	t->open = true;
	cond_broadcast(&t->changed);
	lock_release(&t->lock);
}

static void those_that_wait_do_not_hold_up_others(void **state)
{
	struct test *t = *state;
	struct later_stat st;

	assert_int_equal(later_new(16, &t->pool), 0);
	post(t, 0, 16);
	assert_true(reach(t, &t->nr_inside, 16));
	later_stat_get(t->pool, &st);
	assert_int_equal(st.nr_threads, 16);
	assert_int_equal(st.queue_len, 0);
	open_gate(t);
	assert_true(reach(t, &t->nr_done, 16));
	later_free(t->pool);
}

static void there_are_never_more_threads_than_the_bound(void **state)
{
	struct test *t = *state;
	struct later_stat st;

	assert_int_equal(later_new(3, &t->pool), 0);
	post(t, 0, NR_JOBS);
	assert_true(reach(t, &t->nr_inside, 3));
	later_stat_get(t->pool, &st);
	assert_int_equal(st.nr_threads, 3);
	assert_int_equal(st.queue_len, NR_JOBS - 3);
	open_gate(t);
	assert_true(reach(t, &t->nr_done, NR_JOBS));
	assert_int_equal(t->most, 3);
	later_stat_get(t->pool, &st);
	assert_int_equal(st.nr_jobs, NR_JOBS);
	assert_int_equal(st.nr_threads, 3);
	later_free(t->pool);
}

static void one_thread_keeps_the_order(void **state)
{
	struct test *t = *state;

	t->open = true;
	assert_int_equal(later_new(1, &t->pool), 0);
	post(t, 0, NR_JOBS);
	assert_true(reach(t, &t->nr_done, NR_JOBS));
	for (unsigned i = 0; i < NR_JOBS; i++)
		assert_int_equal(t->order[i], i);
	later_free(t->pool);
}

static void what_is_queued_at_the_end_is_done(void **state)
{
	struct test *t = *state;

	t->open = true;
	for (unsigned round = 0; round < 50; round++) {
		t->nr_done = 0;
		assert_int_equal(later_new(4, &t->pool), 0);
		post(t, 0, 20);
		later_free(t->pool);
		assert_int_equal(t->nr_done, 20);
	}
}

static void threads_that_slept_are_used_again(void **state)
{
	struct test *t = *state;
	struct later_stat st;

	t->open = true;
	assert_int_equal(later_new(8, &t->pool), 0);
	for (unsigned i = 0; i < 100; i++) {
		do {
			usleep(10);
			later_stat_get(t->pool, &st);
			assert_int_equal(st.nr_threads, 1);
		} while (!st.nr_idle);
		post(t, i, i + 1);
		assert_true(reach(t, &t->nr_done, i + 1));
	}
	later_free(t->pool);
}

static void only_a_thread_that_was_told_may_not_wait(void **state)
{
	(void)state;
	assert_false(later_may_not());
	assert_false(later_forbidden());
	later_forbid(true);
	assert_false(later_forbidden());
	assert_true(later_may_not());
	assert_true(later_forbidden());
	/* Asking takes it back. */
	assert_false(later_forbidden());
	later_forbid(false);
	assert_false(later_may_not());
	assert_false(later_forbidden());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(those_that_wait_do_not_hold_up_others, setup,
						teardown),
		cmocka_unit_test_setup_teardown(there_are_never_more_threads_than_the_bound, setup,
						teardown),
		cmocka_unit_test_setup_teardown(one_thread_keeps_the_order, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_queued_at_the_end_is_done, setup, teardown),
		cmocka_unit_test_setup_teardown(threads_that_slept_are_used_again, setup, teardown),
		cmocka_unit_test(only_a_thread_that_was_told_may_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
