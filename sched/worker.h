/* A fixed pool of workers: a queue each, a home worker per key, strands for work that must keep its order.
 *
 * The pool is ready for the migration scheduler: everything a policy will need to move (a strand's home, a free job's
 * queue) is data here, not code. Threads: any thread may post; jobs run on the pool's threads and may block. */
#ifndef SCHED_WORKER_H
#define SCHED_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker_pool;

/* Embedded in what it works on; owned by the poster until run, then by run(), which may free it. */
struct job {
	void (*run)(struct job *job);
	struct job *next;   /* the queue's */
	uint64_t posted_ns; /* the queue's */
};

/* Ordered work: its jobs run one at a time, in the order they were posted, on one worker. Embedded by its owner,
 * which keeps it until its last job has returned. */
struct strand {
	struct worker_pool *pool;
	unsigned home;	   /* index of the worker it runs on */
	bool queued;	   /* it is in a worker's queue, or running; guarded by the strand's own lock */
	void *queue_head;  /* guarded by the strand's own lock */
	void *queue_tail;
	struct job job;	   /* what stands in the worker's queue for the whole strand */
	void *lock;	   /* one of the pool's striped locks */
};

struct worker_stat {
	uint64_t nr_jobs;
	uint64_t busy_ns;
	uint64_t idle_ns;
	unsigned queue_len;    /* now */
	unsigned queue_max;    /* ever */
	uint64_t delay_p50_ns; /* from post to run, of all jobs so far, to within a factor of 1.1 */
	uint64_t delay_p99_ns;
};

/* Start @nr workers (1 to 256). Returns 0, -EINVAL, -ENOMEM or -EAGAIN (no thread to be had). */
int worker_pool_new(unsigned nr, struct worker_pool **out);

/* Runs what is queued to the end, then stops the threads. Nothing may be posted any more, except by running jobs. */
void worker_pool_free(struct worker_pool *pool);

unsigned worker_count(const struct worker_pool *pool);

/* Free job: goes to the worker with the shortest queue, or to an idle one. Never fails, never blocks. */
void worker_post(struct worker_pool *pool, struct job *job);

/* Goes to the home worker of @key (an inode number). */
void worker_post_home(struct worker_pool *pool, uint64_t key, struct job *job);

void strand_init(struct strand *s, struct worker_pool *pool, uint64_t key);
void strand_post(struct strand *s, struct job *job);

/* @idx below worker_count(). */
void worker_stat_get(const struct worker_pool *pool, unsigned idx, struct worker_stat *out);

#endif
