/* A fixed pool of workers: a queue each, a home worker per key, strands for work that must keep its
 * order.
 *
 * The pool is ready for the migration scheduler: everything a policy will need to move (a strand's
 * home, a free job's queue) is data here, not code. Threads: any thread may post; jobs run on the
 * pool's threads, with all signals blocked, and may block.
 *
 * A job that waits for another job holds a worker meanwhile: where as many may wait as there are
 * workers, the pool stands still for ever. Let the last part to end post what comes next
 * instead. */
#ifndef SCHED_WORKER_H
#define SCHED_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKER_MAX 256

struct worker_pool;

/* Embedded in what it works on; owned by the poster until run, then by run(), which may free or
 * post it anew. */
struct job {
	void (*run)(struct job *job);
	struct job *next;   /* the queue's */
	uint64_t posted_ns; /* the queue's */
};

/* Ordered work: its jobs run one at a time, in the order they were posted, on one worker. Embedded
 * by its owner, which keeps it until strand_idle(). The fields are strand.c's. */
struct strand {
	struct worker_pool *pool;
	unsigned home;		      /* index of the worker it runs on */
	_Atomic(struct job *) posted; /* newest first */
	struct job *batch;	      /* taken from @posted, oldest first; the running worker's */
	struct job carrier;	      /* what stands in the worker's queue for the whole strand */
};

struct worker_stat {
	uint64_t nr_jobs;      /* begun; a strand's jobs each count */
	uint64_t busy_ns;      /* with something to do */
	uint64_t idle_ns;      /* asleep */
	unsigned queue_len;    /* now; a strand in the queue counts once */
	unsigned queue_max;    /* ever */
	uint64_t delay_p50_ns; /* from post to run, of all jobs so far, to within a factor of 1.1 */
	uint64_t delay_p99_ns;
};

/* Start @nr workers (1 to WORKER_MAX). Returns 0, -EINVAL, -ENOMEM or -EAGAIN (no thread to be
 * had). */
int worker_pool_new(unsigned nr, struct worker_pool **out);

/* Runs what is queued to the end, then stops the threads. Nothing may be posted any more, except by
 * running jobs. Not from a job. NULL is nothing. */
void worker_pool_free(struct worker_pool *pool);

unsigned worker_count(const struct worker_pool *pool);

/* Free job: goes to an idle worker, else to the one with the shortest queue, from where a worker
 * that has run out of its own may still pull it. Never fails, never waits for a job. */
void worker_post(struct worker_pool *pool, struct job *job);

/* Goes to the home worker of @key (an inode number). */
void worker_post_home(struct worker_pool *pool, uint64_t key, struct job *job);

void strand_init(struct strand *s, struct worker_pool *pool, uint64_t key);
void strand_post(struct strand *s, struct job *job);

/* Nothing is posted, nothing runs, and the pool has let go of it: the owner may free it, if nobody
 * posts any more. Never true inside one of its own jobs. */
bool strand_idle(const struct strand *s);

/* @idx below worker_count(). */
void worker_stat_get(const struct worker_pool *pool, unsigned idx, struct worker_stat *out);

#endif
