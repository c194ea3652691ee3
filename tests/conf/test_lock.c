/* Locks and conditions: who excludes whom, who waits how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "conf/base.h"
#include "conf/lock.h"

#define NR_THREADS 4
#define NR_ROUNDS  20000

struct shared {
	struct lock lock;
	struct rwlock rw;
	struct cond cond;
	unsigned count; /* guarded by lock, or rw */
	bool flag;	/* guarded by lock */
	atomic_uint nr_readers;
};

static void shared_init(struct shared *s)
{
	*s = (struct shared){0};
	lock_init(&s->lock);
	rwlock_init(&s->rw);
	cond_init(&s->cond);
}

static void shared_fini(struct shared *s)
{
	cond_fini(&s->cond);
	rwlock_fini(&s->rw);
	lock_fini(&s->lock);
}

static void *count_locked(void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < NR_ROUNDS; i++) {
		lock_take(&s->lock);
		s->count++;
		lock_release(&s->lock);
	}
	return NULL;
}

static void *count_writing(void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < NR_ROUNDS; i++) {
		rwlock_write(&s->rw);
		s->count++;
		rwlock_release(&s->rw);
	}
	return NULL;
}

static void run_threads(void *(*run)(void *), struct shared *s)
{
	pthread_t threads[NR_THREADS];

	for (unsigned i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run, s), 0);
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void holders_exclude_each_other(void **state)
{
	struct shared s;

	(void)state;
	shared_init(&s);
	run_threads(count_locked, &s);
	assert_int_equal(s.count, NR_THREADS * NR_ROUNDS);
	s.count = 0;
	run_threads(count_writing, &s);
	assert_int_equal(s.count, NR_THREADS * NR_ROUNDS);
	shared_fini(&s);
}

/* Waits, as a reader, until all are in: with a lock that lets only one in this would not end. */
static void *read_together(void *arg)
{
	struct shared *s = arg;

	rwlock_read(&s->rw);
	atomic_fetch_add(&s->nr_readers, 1);
	while (atomic_load(&s->nr_readers) < NR_THREADS)
		usleep(100);
	rwlock_release(&s->rw);
	return NULL;
}

static void readers_share(void **state)
{
	struct shared s;

	(void)state;
	shared_init(&s);
	run_threads(read_together, &s);
	assert_int_equal(atomic_load(&s.nr_readers), NR_THREADS);
	shared_fini(&s);
}

static void *set_flag(void *arg)
{
	struct shared *s = arg;

	usleep(20000);
	lock_take(&s->lock);
	s->flag = true;
	lock_release(&s->lock);
	cond_broadcast(&s->cond);
	return NULL;
}

static void waits_end_when_told(void **state)
{
	pthread_t thread;
	struct shared s;
	int err = 0;

	(void)state;
	shared_init(&s);
	assert_int_equal(pthread_create(&thread, NULL, set_flag, &s), 0);
	lock_take(&s.lock);
	while (!s.flag)
		cond_wait(&s.cond, &s.lock);
	lock_release(&s.lock);
	pthread_join(thread, NULL);

	s.flag = false;
	assert_int_equal(pthread_create(&thread, NULL, set_flag, &s), 0);
	lock_take(&s.lock);
	while (!s.flag && !err)
		err = cond_wait_until(&s.cond, &s.lock, mono_ns() + UINT64_C(60000000000));
	lock_release(&s.lock);
	pthread_join(thread, NULL);
	assert_int_equal(err, 0);
	shared_fini(&s);
}

/* The clock is the monotonic one: a deadline of the wall clock would be decades away. */
static void waits_end_at_their_deadline(void **state)
{
	uint64_t deadline = mono_ns() + 30000000;
	struct shared s;
	int err;

	(void)state;
	shared_init(&s);
	lock_take(&s.lock);
	do
		err = cond_wait_until(&s.cond, &s.lock, deadline);
	while (err == 0); /* woken for nothing */
	assert_int_equal(err, -ETIMEDOUT);
	assert_true(mono_ns() >= deadline);
	assert_int_equal(cond_wait_until(&s.cond, &s.lock, 0), -ETIMEDOUT);
	lock_release(&s.lock);
	shared_fini(&s);
}

static struct lock static_lock = LOCK_STATIC("static_lock");

static void *take_static(void *arg)
{
	(void)arg;
	lock_take(&static_lock);
	lock_release(&static_lock);
	return NULL;
}

static void *read_shared(void *arg)
{
	struct shared *s = arg;

	rwlock_read(&s->rw);
	rwlock_release(&s->rw);
	return NULL;
}

static void *lock_shared(void *arg)
{
	struct shared *s = arg;

	lock_take(&s->lock);
	lock_release(&s->lock);
	return NULL;
}

static struct lock_stat stat_of(const char *name)
{
	struct lock_stat all[16];
	unsigned nr = lock_worst(all, ARRAY_LEN(all));

	for (unsigned i = 1; i < nr; i++)
		assert_true(all[i - 1].waited_ns >= all[i].waited_ns);
	for (unsigned i = 0; i < nr; i++)
		if (!strcmp(all[i].name, name))
			return all[i];
	return (struct lock_stat){.nr_waits = 0};
}

static void waits_are_counted_by_class(void **state)
{
	static const char *const name[] = {"conf/test_lock static_lock", "conf/test_lock lock",
					   "conf/test_lock rw"};
	static void *(*const run[])(void *) = {take_static, lock_shared, read_shared};
	struct lock_stat before[3], one;
	pthread_t thread[3];
	struct shared s;

	(void)state;
	shared_init(&s);
	for (unsigned i = 0; i < 3; i++)
		before[i] = stat_of(name[i]);
	/* Nobody waits here. */
	lock_take(&s.lock);
	lock_release(&s.lock);
	lock_take(&static_lock);
	lock_take(&s.lock);
	rwlock_write(&s.rw);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(stat_of(name[i]).nr_waits, before[i].nr_waits);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run[i], &s), 0);
	usleep(100000);
	rwlock_release(&s.rw);
	lock_release(&s.lock);
	lock_release(&static_lock);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < 3; i++) {
		one = stat_of(name[i]);
		assert_int_equal(one.nr_waits, before[i].nr_waits + 1);
		assert_true(one.waited_ns - before[i].waited_ns > 1000000);
		assert_true(one.max_ns > 1000000 && one.max_ns <= one.waited_ns);
	}
	assert_int_equal(lock_worst(&one, 1), 1);
	shared_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holders_exclude_each_other),
		cmocka_unit_test(readers_share),
		cmocka_unit_test(waits_end_when_told),
		cmocka_unit_test(waits_end_at_their_deadline),
		cmocka_unit_test(waits_are_counted_by_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
