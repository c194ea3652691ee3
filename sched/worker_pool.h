/* The inside of the pool, for the files of this room.
 *
 * A worker is in one of two states, and its bit in pool->idle says the same for those who look
 * without its lock:
 *
 *   state    holds                                       moved on by
 *   awake    runs a job, or looks for one                itself, when it finds none -> asleep
 *   asleep   both queues are empty; it waits on `wake`   worker_wake_locked(), by whoever brings it
 *                                                        work -> awake */
#ifndef SCHED_WORKER_POOL_H
#define SCHED_WORKER_POOL_H

#include <pthread.h>

#include "conf/hist.h"
#include "conf/lock.h"
#include "sched/queue.h"
#include "sched/worker.h"

/* Bytes of a cache line: what one core writes is kept off what others read. */
#define WORKER_POOL_LINE 64

struct worker {
	struct lock lock;
	struct cond wake;      /* asleep went false, or stop went true */
	struct queue bound;    /* guarded by lock; home jobs and strands: run here only */
	struct queue free;     /* guarded by lock; other workers may pull these */
	bool asleep;	       /* guarded by lock */
	bool stop;	       /* guarded by lock */
	unsigned queue_max;    /* guarded by lock */
	uint64_t nr_wakes;     /* guarded by lock; how often asleep went false */
	uint64_t mark_ns;      /* guarded by lock; when asleep changed last */
	uint64_t busy_ns;      /* guarded by lock; until mark_ns */
	uint64_t idle_ns;      /* guarded by lock; until mark_ns */
	struct cond rest;      /* asleep went true while the pool drains */
	atomic_uint queue_len; /* of both queues; written under lock */
	atomic_uint nr_free;   /* of the free queue; written under lock */

	struct worker_pool *pool;
	unsigned idx;
	pthread_t thread;
	struct hist delay; /* ns from post to run */
} __attribute__((aligned(WORKER_POOL_LINE)));

struct worker_pool {
	unsigned nr;
	unsigned nr_started;
	struct worker *workers;
	atomic_bool draining;
	/* Bit i: worker i is asleep and nobody is about to wake it. */
	_Alignas(WORKER_POOL_LINE) atomic_uint_fast64_t idle[WORKER_MAX / 64];
	_Alignas(WORKER_POOL_LINE)
		atomic_uint nr_free; /* jobs in all free queues; changed under that queue's lock */
};

unsigned worker_home(const struct worker_pool *pool, uint64_t key);

/* Put @job (with its posted_ns set) in the bound queue of worker @idx. */
void worker_push(struct worker_pool *pool, unsigned idx, struct job *job);

/* Run one job as @w, and count it. */
void worker_run(struct worker *w, struct job *job);

/* Run a strand's turn as @w: some of its jobs; it is queued again if there are more. */
void strand_run(struct worker *w, struct strand *s);

#endif
