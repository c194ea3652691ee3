/* Gates: who waits does so until all that were inside are out, and readers never wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "conf/base.h"
#include "fs/gate.h"

#define NR_READERS 4
#define NR_ROUNDS  60

/* What is looked up inside: freed things must not be. */
struct shared {
	struct gate gate;
	atomic_uint current; /* index of the value that may be looked up */
	atomic_uint value[NR_ROUNDS + 1];
	atomic_bool stop;
	atomic_uint nr_wrong, nr_seen;
};

static void *read_values(void *arg)
{
	struct shared *s = arg;

	while (!atomic_load(&s->stop)) {
		unsigned pass = gate_enter(&s->gate);
		unsigned at = atomic_load(&s->current);

		for (unsigned i = 0; i < 50; i++)
			atomic_fetch_add(&s->nr_wrong, atomic_load(&s->value[at]) != at + 1);
		atomic_fetch_add(&s->nr_seen, 1);
		gate_leave(&s->gate, pass);
	}
	return NULL;
}

static void what_is_unlinked_before_a_wait_is_not_seen_after(void **state)
{
	static struct shared s;
	pthread_t thread[NR_READERS];

	(void)state;
	atomic_store(&s.value[0], 1);
	for (unsigned i = 0; i < NR_READERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, read_values, &s), 0);
	for (unsigned i = 0; i < NR_ROUNDS; i++) {
		atomic_store(&s.value[i + 1], i + 2);
		atomic_store(&s.current, i + 1);
		gate_wait(&s.gate);
		atomic_store(&s.value[i], 0);
	}
	while (!atomic_load(&s.nr_seen))
		usleep(1000);
	atomic_store(&s.stop, true);
	for (unsigned i = 0; i < NR_READERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(atomic_load(&s.nr_wrong), 0);
	for (unsigned i = 0; i < GATE_SLOTS; i++) {
		assert_int_equal(atomic_load(&s.gate.slot[i].inside[0]), 0);
		assert_int_equal(atomic_load(&s.gate.slot[i].inside[1]), 0);
	}
}

struct waiter {
	struct gate *gate;
	atomic_bool through;
};

static void *wait_at(void *arg)
{
	struct waiter *w = arg;

	gate_wait(w->gate);
	atomic_store(&w->through, true);
	return NULL;
}

static void *leave(void *arg)
{
	void **a = arg;

	gate_leave(a[0], (unsigned)(uintptr_t)a[1]);
	return NULL;
}

/* A request may be answered by another thread than the one that took it. */
static void another_thread_may_leave(void **state)
{
	static struct gate gate;
	struct waiter w = {.gate = &gate};
	unsigned pass = gate_enter(&gate), late;
	void *arg[2] = {&gate, (void *)(uintptr_t)pass};
	pthread_t waiter, other;

	(void)state;
	assert_int_equal(pthread_create(&waiter, NULL, wait_at, &w), 0);
	usleep(20000);
	assert_false(atomic_load(&w.through));
	/* Who comes now does not wait, nor is waited for. */
	late = gate_enter(&gate);
	assert_int_equal(pthread_create(&other, NULL, leave, arg), 0);
	pthread_join(other, NULL);
	pthread_join(waiter, NULL);
	assert_true(atomic_load(&w.through));
	gate_leave(&gate, late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_unlinked_before_a_wait_is_not_seen_after),
		cmocka_unit_test(another_thread_may_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
