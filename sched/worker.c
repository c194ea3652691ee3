/* The pool: each worker runs its own queues, oldest first, then pulls free jobs from others, then
 * sleeps.
 *
 * No wake-up is lost, for two reasons. Whoever pushes to a sleeping worker's queue finds `asleep`
 * set under that worker's lock, and wakes it. And a free job never waits beside a sleeper: the
 * poster adds it to pool->nr_free, then looks for idle bits; the worker sets its idle bit, then
 * looks at pool->nr_free; both sequentially consistent, so that one of the two sees the other.
 *
 * Never are two workers' locks held at once, nor one while a job runs. */
#include "sched/worker.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "conf/base.h"
#include "sched/worker_pool.h"

/* ---- who is idle ---- */

static void idle_set(struct worker_pool *pool, unsigned idx)
{
	atomic_fetch_or(&pool->idle[idx / 64], UINT64_C(1) << idx % 64);
}

/* True when this call cleared it: that worker is then ours to wake. */
static bool idle_clear(struct worker_pool *pool, unsigned idx)
{
	uint64_t bit = UINT64_C(1) << idx % 64;

	return atomic_fetch_and(&pool->idle[idx / 64], ~bit) & bit;
}

/* Claim an idle worker: the lowest, so that few workers stay warm when there is little to do. NULL:
 * all are awake. */
static struct worker *idle_claim(struct worker_pool *pool)
{
	for (unsigned i = 0; i < ARRAY_LEN(pool->idle); i++) {
		uint64_t mask = atomic_load(&pool->idle[i]);

		for (; mask; mask &= mask - 1) {
			unsigned idx = i * 64 + (unsigned)__builtin_ctzll(mask);

			if (idle_clear(pool, idx))
				return &pool->workers[idx];
		}
	}
	return NULL;
}

/* ---- queues ---- */

static void worker_wake_locked(struct worker *w) REQUIRES(w->lock);
static void worker_wake_locked(struct worker *w)
{
	uint64_t now = mono_ns();

	w->idle_ns += now - w->mark_ns;
	w->mark_ns = now;
	w->asleep = false;
	w->nr_wakes++;
	idle_clear(w->pool, w->idx);
}

static void worker_count_push_locked(struct worker *w) REQUIRES(w->lock);
static void worker_count_push_locked(struct worker *w)
{
	unsigned len = atomic_load_explicit(&w->queue_len, memory_order_relaxed) + 1;

	atomic_store_explicit(&w->queue_len, len, memory_order_relaxed);
	w->queue_max = MAX(w->queue_max, len);
}

/* Returns whether it woke the worker. */
static bool worker_enqueue(struct worker *w, struct queue *q, struct job *job)
{
	bool wake;

	lock_take(&w->lock);
	wake = w->asleep;
	queue_push(q, job);
	worker_count_push_locked(w);
	if (q == &w->free) {
		atomic_fetch_add_explicit(&w->nr_free, 1, memory_order_relaxed);
		atomic_fetch_add(&w->pool->nr_free, 1);
	}
	if (wake)
		worker_wake_locked(w);
	lock_release(&w->lock);
	if (wake)
		cond_signal(&w->wake);
	return wake;
}

static struct job *worker_pop_locked(struct worker *w, struct queue *q) REQUIRES(w->lock);
static struct job *worker_pop_locked(struct worker *w, struct queue *q)
{
	struct job *job = queue_pop(q);

	if (!job)
		return NULL;
	atomic_fetch_sub_explicit(&w->queue_len, 1, memory_order_relaxed);
	if (q == &w->free) {
		atomic_fetch_sub_explicit(&w->nr_free, 1, memory_order_relaxed);
		atomic_fetch_sub(&w->pool->nr_free, 1);
	}
	return job;
}

/* ---- posting ---- */

unsigned worker_home(const struct worker_pool *pool, uint64_t key)
{
	/* Fibonacci hashing: neighbouring inodes, and those a power of two apart, spread evenly. */
	uint64_t hash = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

	return (unsigned)((hash * pool->nr) >> 32);
}

void worker_push(struct worker_pool *pool, unsigned idx, struct job *job)
{
	struct worker *w = &pool->workers[idx];

	worker_enqueue(w, &w->bound, job);
}

void worker_post_home(struct worker_pool *pool, uint64_t key, struct job *job)
{
	assert(job->run);
	job->posted_ns = mono_ns();
	worker_push(pool, worker_home(pool, key), job);
}

static struct worker *worker_shortest(struct worker_pool *pool)
{
	struct worker *best = &pool->workers[0];
	unsigned best_len = UINT32_MAX;

	for (unsigned i = 0; i < pool->nr && best_len; i++) {
		unsigned len =
			atomic_load_explicit(&pool->workers[i].queue_len, memory_order_relaxed);

		if (len < best_len) {
			best = &pool->workers[i];
			best_len = len;
		}
	}
	return best;
}

/* Have an idle worker, if there is one, look for jobs to pull. */
static void worker_call_idle(struct worker_pool *pool)
{
	struct worker *w = idle_claim(pool);
	bool wake;

	if (!w)
		return;
	lock_take(&w->lock);
	wake = w->asleep;
	if (wake)
		worker_wake_locked(w);
	lock_release(&w->lock);
	if (wake)
		cond_signal(&w->wake);
}

void worker_post(struct worker_pool *pool, struct job *job)
{
	struct worker *w = idle_claim(pool);

	assert(job->run);
	job->posted_ns = mono_ns();
	if (!w)
		w = worker_shortest(pool);
	if (!worker_enqueue(w, &w->free, job))
		worker_call_idle(pool);
}

/* ---- running ---- */

void worker_run(struct worker *w, struct job *job)
{
	uint64_t now = mono_ns();

	/* Its clock may be another core's. */
	hist_add(&w->delay, now > job->posted_ns ? now - job->posted_ns : 0);
	job->run(job);
}

/* A job without run() stands for a strand. */
static void worker_run_any(struct worker *w, struct job *job)
{
	if (job->run)
		worker_run(w, job);
	else
		strand_run(w, container_of(job, struct strand, carrier));
}

static struct job *worker_take(struct worker *w)
{
	struct job *job;

	lock_take(&w->lock);
	job = worker_pop_locked(w, queue_older(&w->bound, &w->free));
	lock_release(&w->lock);
	return job;
}

/* Pull another worker's oldest free job. */
static struct job *worker_pull(struct worker *w)
{
	struct worker_pool *pool = w->pool;

	for (unsigned i = 1; i < pool->nr && atomic_load(&pool->nr_free); i++) {
		struct worker *from = &pool->workers[(w->idx + i) % pool->nr];
		struct job *job;

		if (!atomic_load_explicit(&from->nr_free, memory_order_relaxed))
			continue;
		lock_take(&from->lock);
		job = worker_pop_locked(from, &from->free);
		lock_release(&from->lock);
		if (job)
			return job;
	}
	return NULL;
}

/* Sleep until there is something to do. Returns false when the worker is to end. */
static bool worker_sleep(struct worker *w)
{
	struct worker_pool *pool = w->pool;
	uint64_t now = mono_ns();
	bool go_on;

	lock_take(&w->lock);
	if (!w->bound.head && !w->free.head) {
		w->busy_ns += now - w->mark_ns;
		w->mark_ns = now;
		w->asleep = true;
		idle_set(pool, w->idx);
		/* The second look, now that posters can see us. Nothing is in our own queues. */
		if (atomic_load(&pool->nr_free))
			worker_wake_locked(w);
		else if (atomic_load(&pool->draining))
			cond_signal(&w->rest);
		while (w->asleep && !w->stop)
			cond_wait(&w->wake, &w->lock);
	}
	go_on = !w->stop;
	lock_release(&w->lock);
	return go_on;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	do {
		struct job *job;

		while ((job = worker_take(w)) || (job = worker_pull(w)))
			worker_run_any(w, job);
	} while (worker_sleep(w));
	return NULL;
}

/* ---- the pool ---- */

static void worker_init(struct worker *w, struct worker_pool *pool, unsigned idx)
{
	w->pool = pool;
	w->idx = idx;
	w->mark_ns = mono_ns();
	lock_init(&w->lock);
	cond_init(&w->wake);
	cond_init(&w->rest);
	hist_init(&w->delay);
}

static void worker_fini(struct worker *w)
{
	cond_fini(&w->rest);
	cond_fini(&w->wake);
	lock_fini(&w->lock);
}

static int worker_start(struct worker *w)
{
	char name[16];
	int err = pthread_create(&w->thread, NULL, worker_main, w);

	if (err)
		return -EAGAIN;
	snprintf(name, sizeof(name), "matfs-work%u", w->idx);
	pthread_setname_np(w->thread, name); /* for people who look; nothing hangs on it */
	return 0;
}

/* New threads take over the mask of their maker: signals are for the thread that waits for them. */
static int pool_start(struct worker_pool *pool)
{
	sigset_t all, old;
	int err = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (pool->nr_started < pool->nr && !err) {
		err = worker_start(&pool->workers[pool->nr_started]);
		if (!err)
			pool->nr_started++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

static struct worker_pool *pool_alloc(unsigned nr)
{
	struct worker_pool *pool = aligned_alloc(WORKER_POOL_LINE, sizeof(*pool));
	struct worker *workers = aligned_alloc(WORKER_POOL_LINE, nr * sizeof(*workers));

	if (!pool || !workers) {
		free(workers);
		free(pool);
		return NULL;
	}
	memset(pool, 0, sizeof(*pool));
	memset(workers, 0, nr * sizeof(*workers));
	pool->nr = nr;
	pool->workers = workers;
	for (unsigned i = 0; i < nr; i++)
		worker_init(&workers[i], pool, i);
	return pool;
}

int worker_pool_new(unsigned nr, struct worker_pool **out)
{
	struct worker_pool *pool;
	int err;

	if (nr < 1 || nr > WORKER_MAX)
		return -EINVAL;
	pool = pool_alloc(nr);
	if (!pool)
		return -ENOMEM;
	err = pool_start(pool);
	if (err) {
		worker_pool_free(pool);
		return err;
	}
	*out = pool;
	return 0;
}

/* Wait until each worker in turn has been seen asleep. Returns how often they were woken so far. */
static uint64_t pool_rest(struct worker_pool *pool)
{
	uint64_t nr_wakes = 0;

	for (unsigned i = 0; i < pool->nr_started; i++) {
		struct worker *w = &pool->workers[i];

		lock_take(&w->lock);
		while (!w->asleep)
			cond_wait(&w->rest, &w->lock);
		nr_wakes += w->nr_wakes;
		lock_release(&w->lock);
	}
	return nr_wakes;
}

/* A worker seen asleep may be given work by one that is not yet. Two rounds without a wake in
 * between: each slept from its first visit to its second, so between the rounds all slept at once,
 * and nobody was left to post. */
static void pool_drain(struct worker_pool *pool)
{
	uint64_t nr_wakes;

	atomic_store(&pool->draining, true);
	do
		nr_wakes = pool_rest(pool);
	while (pool_rest(pool) != nr_wakes);
}

static void pool_stop(struct worker_pool *pool)
{
	for (unsigned i = 0; i < pool->nr_started; i++) {
		struct worker *w = &pool->workers[i];

		lock_take(&w->lock);
		w->stop = true;
		lock_release(&w->lock);
		cond_signal(&w->wake);
	}
	for (unsigned i = 0; i < pool->nr_started; i++)
		pthread_join(pool->workers[i].thread, NULL);
}

void worker_pool_free(struct worker_pool *pool)
{
	if (!pool)
		return;
	pool_drain(pool);
	pool_stop(pool);
	for (unsigned i = 0; i < pool->nr; i++)
		worker_fini(&pool->workers[i]);
	free(pool->workers);
	free(pool);
}

unsigned worker_count(const struct worker_pool *pool)
{
	return pool->nr;
}

void worker_stat_get(const struct worker_pool *pool, unsigned idx, struct worker_stat *out)
{
	struct worker *w = &pool->workers[idx];
	struct worker_stat stat = {0};
	uint64_t now;

	assert(idx < pool->nr);
	lock_take(&w->lock);
	now = mono_ns();
	stat.busy_ns = w->busy_ns + (w->asleep ? 0 : now - w->mark_ns);
	stat.idle_ns = w->idle_ns + (w->asleep ? now - w->mark_ns : 0);
	stat.queue_len = atomic_load_explicit(&w->queue_len, memory_order_relaxed);
	stat.queue_max = w->queue_max;
	lock_release(&w->lock);
	stat.nr_jobs = hist_count(&w->delay);
	stat.delay_p50_ns = hist_quantile(&w->delay, 0.5);
	stat.delay_p99_ns = hist_quantile(&w->delay, 0.99);
	*out = stat;
}
