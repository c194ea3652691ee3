/* Threads for requests that wait: for a commit, for memory, for space, for bytes under way to the shards.
 *
 * The transport's threads serve everybody and the workers do what is waited for, so neither may be held by a request
 * that waits. Here each has a thread of its own, made when there is none idle, up to a bound; what comes beyond it waits
 * its turn. What a job here waits for never comes from another job here: so also a full pool gets on.
 *
 * And how a thread that may not wait is told so: see later_forbid(). */
#ifndef FS_LATER_H
#define FS_LATER_H

#include <stdbool.h>

#include "sched/worker.h"

/* Threads at most; as many fsyncs are then in one commit, and each costs a stack of which little is touched. */
#define LATER_MAX 64

struct later;

/* A pool of up to @max threads, one to begin with. Returns 0, -ENOMEM or -EAGAIN (no thread to be had). */
int later_new(unsigned max, struct later **out);
/* Runs what is queued to the end and stops the threads; nothing is posted any more. NULL is nothing. */
void later_free(struct later *l);

/* Oldest first; may block; the job is run()'s from then on. Never fails, never waits. Threads: any. */
void later_post(struct later *l, struct job *job);

struct later_stat {
	unsigned nr_threads; /* they only grow */
	unsigned nr_idle;    /* of them */
	unsigned queue_len;  /* now */
	uint64_t nr_jobs;    /* ever */
};
void later_stat_get(struct later *l, struct later_stat *out);

/* ---- threads that may not wait ---- */

/* Whether this thread may not wait, from now on, for what takes long: it serves a queue of requests alone. */
void later_forbid(bool on);

/* For whatever is about to wait long, before anything was changed: true: this thread may not. Then it gives up with an
 * error of any kind, and the caller of it all, who asks later_forbidden(), does the whole of it again elsewhere. */
bool later_may_not(void);
/* Did later_may_not() say so since this was asked last? */
bool later_forbidden(void);

#endif
