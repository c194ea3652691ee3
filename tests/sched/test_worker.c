/* The pool: every job runs once, where it should, and none sleeps while there is work. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "conf/base.h"
#include "conf/lock.h"
#include "sched/worker.h"

#define NR_POSTERS 4
#define NR_JOBS	   20000

/* A gate that jobs wait at until the test opens it, and a count of those that came. */
struct gate {
	struct lock lock;
	struct cond changed;
	bool open;
	unsigned nr_waiting;
	unsigned nr_passed;
};

struct gate_job {
	struct job job;
	struct gate *gate;
	pthread_t thread;
};

static void gate_init(struct gate *g)
{
	*g = (struct gate){0};
	lock_init(&g->lock);
	cond_init(&g->changed);
}

static void gate_fini(struct gate *g)
{
	cond_fini(&g->changed);
	lock_fini(&g->lock);
}

static void gate_run(struct job *job)
{
	struct gate_job *j = container_of(job, struct gate_job, job);
	struct gate *g = j->gate;

	lock_take(&g->lock);
	j->thread = pthread_self();
	g->nr_waiting++;
	cond_broadcast(&g->changed);
	while (!g->open)
		cond_wait(&g->changed, &g->lock);
	g->nr_passed++;
	cond_broadcast(&g->changed);
	lock_release(&g->lock);
}

static void gate_open(struct gate *g)
{
	lock_take(&g->lock);
	g->open = true;
	cond_broadcast(&g->changed);
	lock_release(&g->lock);
}

/* Wait, half a minute at most, until *@count (guarded by the gate's lock) is @nr. */
static void gate_await(struct gate *g, const unsigned *count, unsigned nr)
{
	uint64_t deadline = mono_ns() + UINT64_C(30000000000);
	int err = 0;

	lock_take(&g->lock);
	while (*count < nr && !err)
		err = cond_wait_until(&g->changed, &g->lock, deadline);
	lock_release(&g->lock);
	assert_int_equal(err, 0);
}

static struct worker_pool *pool_new(unsigned nr)
{
	struct worker_pool *pool = NULL;

	assert_int_equal(worker_pool_new(nr, &pool), 0);
	assert_non_null(pool);
	assert_int_equal(worker_count(pool), nr);
	return pool;
}

static void pool_sizes_are_checked(void **state)
{
	struct worker_pool *pool = NULL;

	(void)state;
	assert_int_equal(worker_pool_new(0, &pool), -EINVAL);
	assert_int_equal(worker_pool_new(WORKER_MAX + 1, &pool), -EINVAL);
	assert_null(pool);
	worker_pool_free(NULL);
	worker_pool_free(pool_new(1));
	worker_pool_free(pool_new(WORKER_MAX));
}

/* With as many blocking jobs as workers, all must be running at once: none queues behind
 * another. */
static void free_jobs_use_every_worker(void **state)
{
	struct worker_pool *pool = pool_new(8);
	struct gate_job jobs[8];
	struct gate gate;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		gate_init(&gate);
		for (unsigned i = 0; i < ARRAY_LEN(jobs); i++) {
			jobs[i] = (struct gate_job){.job.run = gate_run, .gate = &gate};
			worker_post(pool, &jobs[i].job);
		}
		gate_await(&gate, &gate.nr_waiting, ARRAY_LEN(jobs));
		gate_open(&gate);
		gate_await(&gate, &gate.nr_passed, ARRAY_LEN(jobs));
		/* The last one may still hold the lock that we are about to destroy. */
		lock_take(&gate.lock);
		lock_release(&gate.lock);
		gate_fini(&gate);
	}
	worker_pool_free(pool);
}

/* Jobs stuck behind a long one are pulled by whoever gets free: 7 of 8 workers are blocked, the 8th
 * runs all. */
static void free_jobs_are_pulled_from_blocked_workers(void **state)
{
	struct worker_pool *pool = pool_new(8);
	struct gate_job blockers[7], jobs[64], last;
	struct gate blocked, last_gate, passed;

	(void)state;
	gate_init(&blocked);
	gate_init(&last_gate);
	gate_init(&passed);
	passed.open = true;
	for (unsigned i = 0; i < ARRAY_LEN(blockers); i++) {
		blockers[i] = (struct gate_job){.job.run = gate_run, .gate = &blocked};
		worker_post(pool, &blockers[i].job);
	}
	last = (struct gate_job){.job.run = gate_run, .gate = &last_gate};
	worker_post(pool, &last.job);
	gate_await(&blocked, &blocked.nr_waiting, ARRAY_LEN(blockers));
	gate_await(&last_gate, &last_gate.nr_waiting, 1);
	/* All are busy now: these spread over all queues. */
	for (unsigned i = 0; i < ARRAY_LEN(jobs); i++) {
		jobs[i] = (struct gate_job){.job.run = gate_run, .gate = &passed};
		worker_post(pool, &jobs[i].job);
	}
	for (unsigned i = 0; i < 8; i++) {
		struct worker_stat stat;

		worker_stat_get(pool, i, &stat);
		assert_int_equal(stat.queue_len, 8);
	}
	gate_open(&last_gate);
	gate_await(&passed, &passed.nr_passed, ARRAY_LEN(jobs));
	for (unsigned i = 0; i < ARRAY_LEN(jobs); i++)
		assert_true(pthread_equal(jobs[i].thread, last.thread));
	gate_open(&blocked);
	worker_pool_free(pool);
	gate_fini(&passed);
	gate_fini(&last_gate);
	gate_fini(&blocked);
}

static void a_key_has_one_home(void **state)
{
	struct worker_pool *pool = pool_new(4);
	struct gate_job jobs[400];
	struct worker_stat stat;
	struct gate gate;

	(void)state;
	gate_init(&gate);
	gate.open = true;
	for (unsigned i = 0; i < ARRAY_LEN(jobs); i++) {
		jobs[i] = (struct gate_job){.job.run = gate_run, .gate = &gate};
		worker_post_home(pool, 1000 + i % 40, &jobs[i].job);
	}
	gate_await(&gate, &gate.nr_passed, ARRAY_LEN(jobs));
	for (unsigned i = 40; i < ARRAY_LEN(jobs); i++)
		assert_true(pthread_equal(jobs[i].thread, jobs[i % 40].thread));
	/* And neighbouring keys do not all share one. */
	for (unsigned i = 0; i < 4; i++) {
		worker_stat_get(pool, i, &stat);
		assert_in_range(stat.nr_jobs, 50, 150);
	}
	worker_pool_free(pool);
	gate_fini(&gate);
}

struct count_job {
	struct job job;
	atomic_uint nr_runs;
};

static void count_run(struct job *job)
{
	atomic_fetch_add(&container_of(job, struct count_job, job)->nr_runs, 1);
}

struct poster {
	struct worker_pool *pool;
	struct count_job *jobs;
};

static void *post_many(void *arg)
{
	struct poster *p = arg;

	for (unsigned i = 0; i < NR_JOBS; i++) {
		struct job *job = &p->jobs[i].job;

		if (i % 2)
			worker_post(p->pool, job);
		else
			worker_post_home(p->pool, i, job);
		/* Let the workers fall asleep now and then: most wake-ups are lost there. */
		if (i % 64 == 0)
			usleep(50);
	}
	return NULL;
}

static void every_job_runs_once(void **state)
{
	struct worker_pool *pool = pool_new(4);
	struct poster posters[NR_POSTERS];
	pthread_t threads[NR_POSTERS];

	(void)state;
	for (unsigned i = 0; i < NR_POSTERS; i++) {
		posters[i] = (struct poster){.pool = pool,
					     .jobs = calloc(NR_JOBS, sizeof(struct count_job))};
		assert_non_null(posters[i].jobs);
		for (unsigned j = 0; j < NR_JOBS; j++)
			posters[i].jobs[j].job.run = count_run;
		assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
	}
	for (unsigned i = 0; i < NR_POSTERS; i++)
		pthread_join(threads[i], NULL);
	worker_pool_free(pool);
	for (unsigned i = 0; i < NR_POSTERS; i++) {
		for (unsigned j = 0; j < NR_JOBS; j++)
			assert_int_equal(atomic_load(&posters[i].jobs[j].nr_runs), 1);
		free(posters[i].jobs);
	}
}

/* A tree of jobs, each of which posts its children from a worker and frees itself. */
struct tree_job {
	struct job job;
	struct worker_pool *pool;
	unsigned depth;
	atomic_uint *nr_runs;
};

static void tree_post(struct worker_pool *pool, unsigned depth, atomic_uint *nr_runs);

static void tree_run(struct job *job)
{
	struct tree_job *t = container_of(job, struct tree_job, job);

	atomic_fetch_add(t->nr_runs, 1);
	if (t->depth % 3 == 0)
		usleep(10);
	for (unsigned i = 0; i < 2 && t->depth; i++)
		tree_post(t->pool, t->depth - 1, t->nr_runs);
	free(t);
}

static void tree_post(struct worker_pool *pool, unsigned depth, atomic_uint *nr_runs)
{
	struct tree_job *t = malloc(sizeof(*t));

	assert_non_null(t);
	*t = (struct tree_job){
		.job.run = tree_run, .pool = pool, .depth = depth, .nr_runs = nr_runs};
	if (depth % 2)
		worker_post(pool, &t->job);
	else
		worker_post_home(pool, depth, &t->job);
}

static void free_runs_everything_first(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		struct worker_pool *pool = pool_new(1 + round % 5);
		atomic_uint nr_runs = 0;

		tree_post(pool, 9, &nr_runs);
		worker_pool_free(pool);
		assert_int_equal(atomic_load(&nr_runs), 1023);
	}
}

/* Post one job, wait for it, and again: each time the workers are asleep, or just about to be. */
static void no_wake_up_is_lost(void **state)
{
	struct worker_pool *pool = pool_new(3);
	struct gate_job job;
	struct gate gate;

	(void)state;
	gate_init(&gate);
	gate.open = true;
	for (unsigned i = 0; i < 20000; i++) {
		job = (struct gate_job){.job.run = gate_run, .gate = &gate};
		if (i % 2)
			worker_post(pool, &job.job);
		else
			worker_post_home(pool, i, &job.job);
		gate_await(&gate, &gate.nr_passed, i + 1);
		lock_take(&gate.lock); /* the job has let go of it */
		lock_release(&gate.lock);
	}
	worker_pool_free(pool);
	gate_fini(&gate);
}

/* Stretches what lies before and after each look at the clock, when asked to: a worker looks
 * between its last search for jobs and its sleep, a poster between its search for an idle worker
 * and the push. So the races there are met in each run, and not on some day on another machine. */
static atomic_bool clock_is_slow;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	static atomic_uint nr_calls;

	if (atomic_load(&clock_is_slow))
		usleep(atomic_fetch_add(&nr_calls, 7) % 5 * 50);
	return (int)syscall(SYS_clock_gettime, id, ts);
}

/* A job that posts another and waits for it, while the second worker is about to fall asleep:
 * whichever comes first, one of the two must see the other, or the posted job waits behind its own
 * poster. */
struct wait_job {
	struct job job, inner, brief;
	struct worker_pool *pool;
	struct gate gate;
	int err;
};

static void wait_inner_run(struct job *job)
{
	struct wait_job *w = container_of(job, struct wait_job, inner);

	gate_open(&w->gate);
}

static void wait_brief_run(struct job *job)
{
	struct wait_job *w = container_of(job, struct wait_job, brief);

	lock_take(&w->gate.lock);
	w->gate.nr_waiting++;
	cond_broadcast(&w->gate.changed);
	lock_release(&w->gate.lock);
}

static void wait_run(struct job *job)
{
	struct wait_job *w = container_of(job, struct wait_job, job);
	uint64_t deadline = mono_ns() + UINT64_C(10000000000);

	worker_post(w->pool, &w->inner);
	lock_take(&w->gate.lock);
	while (!w->gate.open && !w->err)
		w->err = cond_wait_until(&w->gate.changed, &w->gate.lock, deadline);
	w->gate.nr_passed++;
	cond_broadcast(&w->gate.changed);
	lock_release(&w->gate.lock);
}

static void no_free_job_waits_beside_a_sleeper(void **state)
{
	struct wait_job w = {.job.run = wait_run,
			     .inner.run = wait_inner_run,
			     .brief.run = wait_brief_run,
			     .pool = pool_new(2)};

	(void)state;
	gate_init(&w.gate);
	atomic_store(&clock_is_slow, true);
	for (unsigned i = 0; i < 600 && !w.err; i++) {
		lock_take(&w.gate.lock);
		w.gate.open = false;
		w.gate.nr_waiting = w.gate.nr_passed = 0;
		lock_release(&w.gate.lock);
		worker_post(w.pool, &w.job);
		worker_post(w.pool, &w.brief);
		gate_await(&w.gate, &w.gate.nr_passed, 1);
		gate_await(&w.gate, &w.gate.nr_waiting, 1);
	}
	atomic_store(&clock_is_slow, false);
	worker_pool_free(w.pool);
	gate_fini(&w.gate);
	assert_int_equal(w.err, 0);
}

static void idle_workers_sleep(void **state)
{
	struct worker_pool *pool = pool_new(16);
	struct timespec cpu;
	uint64_t before, after;

	(void)state;
	usleep(20000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	before = (uint64_t)cpu.tv_sec * 1000000000 + (uint64_t)cpu.tv_nsec;
	usleep(200000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	after = (uint64_t)cpu.tv_sec * 1000000000 + (uint64_t)cpu.tv_nsec;
	/* One spinning worker would take 200 ms. */
	assert_true(after - before < 20000000);
	worker_pool_free(pool);
}

struct mask_job {
	struct job job;
	sigset_t mask;
};

static void mask_run(struct job *job)
{
	pthread_sigmask(SIG_SETMASK, NULL, &container_of(job, struct mask_job, job)->mask);
}

static void signals_stay_away_from_workers(void **state)
{
	struct worker_pool *pool = pool_new(1);
	struct mask_job job = {.job.run = mask_run};
	sigset_t mask;

	(void)state;
	worker_post(pool, &job.job);
	worker_pool_free(pool);
	assert_int_equal(sigismember(&job.mask, SIGTERM), 1);
	assert_int_equal(sigismember(&job.mask, SIGHUP), 1);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	assert_int_equal(sigismember(&mask, SIGTERM), 0);
}

static void stats_tell_what_happened(void **state)
{
	struct worker_pool *pool = pool_new(1);
	struct gate_job jobs[5];
	struct worker_stat stat;
	struct gate gate;

	(void)state;
	gate_init(&gate);
	for (unsigned i = 0; i < ARRAY_LEN(jobs); i++) {
		jobs[i] = (struct gate_job){.job.run = gate_run, .gate = &gate};
		worker_post_home(pool, i, &jobs[i].job);
	}
	gate_await(&gate, &gate.nr_waiting, 1);
	usleep(50000);
	worker_stat_get(pool, 0, &stat);
	assert_int_equal(stat.nr_jobs, 1);
	assert_int_equal(stat.queue_len, 4);
	assert_in_range(stat.queue_max, 4, 5);
	assert_true(stat.busy_ns >= 50000000);
	gate_open(&gate);
	gate_await(&gate, &gate.nr_passed, ARRAY_LEN(jobs));
	usleep(50000);
	worker_stat_get(pool, 0, &stat);
	assert_int_equal(stat.nr_jobs, 5);
	assert_int_equal(stat.queue_len, 0);
	assert_true(stat.idle_ns > 0);
	/* Four of the five waited for the first. */
	assert_true(stat.delay_p50_ns >= 45000000);
	assert_true(stat.delay_p99_ns >= stat.delay_p50_ns);
	worker_pool_free(pool);
	gate_fini(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_sizes_are_checked),
		cmocka_unit_test(free_jobs_use_every_worker),
		cmocka_unit_test(free_jobs_are_pulled_from_blocked_workers),
		cmocka_unit_test(a_key_has_one_home),
		cmocka_unit_test(every_job_runs_once),
		cmocka_unit_test(free_runs_everything_first),
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(no_free_job_waits_beside_a_sleeper),
		cmocka_unit_test(idle_workers_sleep),
		cmocka_unit_test(signals_stay_away_from_workers),
		cmocka_unit_test(stats_tell_what_happened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
