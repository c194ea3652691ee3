/* Strands: one word per strand tells all.
 *
 *   posted         means                                  moved on by
 *   NULL           idle                                   strand_post() -> a job; queues the carrier
 *   a job          carrier queued or running; jobs wait,  strand_run() takes all -> strand_busy
 *                  newest first
 *   &strand_busy   carrier running, none wait             strand_post() -> a job
 *                                                         strand_run() -> NULL
 *
 * So the carrier is queued by exactly the post that ended the idleness, and only the worker that
 * runs it takes jobs out. That one turns the list round, which gives the order of posting. */
#include <assert.h>

#include "conf/base.h"
#include "sched/worker_pool.h"

/* A hot strand lets the others in its worker's queue run after this many jobs. */
#define STRAND_TURN 32

/* Only its address means something. */
static struct job strand_busy;

void strand_init(struct strand *s, struct worker_pool *pool, uint64_t key)
{
	s->pool = pool;
	s->home = worker_home(pool, key);
	s->batch = NULL;
	s->carrier = (struct job){0};
	atomic_init(&s->posted, NULL);
}

bool strand_idle(const struct strand *s)
{
	return atomic_load_explicit(&s->posted, memory_order_acquire) == NULL;
}

void strand_post(struct strand *s, struct job *job)
{
	struct job *newest = atomic_load_explicit(&s->posted, memory_order_relaxed);

	assert(job->run);
	job->posted_ns = mono_ns();
	/* Nobody takes single jobs out, so a list that looks unchanged is unchanged. */
	do {
		job->next = newest == &strand_busy ? NULL : newest;
	} while (!atomic_compare_exchange_weak_explicit(
		&s->posted, &newest, job, memory_order_acq_rel, memory_order_relaxed));
	if (!newest) {
		s->carrier.posted_ns = job->posted_ns;
		worker_push(s->pool, s->home, &s->carrier);
	}
}

static struct job *strand_reverse(struct job *job)
{
	struct job *done = NULL;

	while (job) {
		struct job *next = job->next;

		job->next = done;
		done = job;
		job = next;
	}
	return done;
}

/* The next job in order. NULL: there was none, the strand is idle, and may be gone by now. */
static struct job *strand_next(struct strand *s)
{
	struct job *busy = &strand_busy;
	struct job *job;

	if (!s->batch) {
		if (atomic_compare_exchange_strong_explicit(
			    &s->posted, &busy, NULL, memory_order_acq_rel, memory_order_relaxed))
			return NULL;
		s->batch = strand_reverse(
			atomic_exchange_explicit(&s->posted, &strand_busy, memory_order_acq_rel));
	}
	assert(s->batch); /* it was not &strand_busy alone, else we had got out above */
	job = s->batch;
	s->batch = job->next;
	return job;
}

void strand_run(struct worker *w, struct strand *s)
{
	for (unsigned i = 0; i < STRAND_TURN; i++) {
		struct job *job = strand_next(s);

		if (!job)
			return;
		worker_run(w, job);
	}
	/* What is left, if only the end of being busy, is for the next turn. */
	s->carrier.posted_ns = mono_ns();
	worker_push(s->pool, s->home, &s->carrier);
}
