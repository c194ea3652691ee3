/* First in, first out, of jobs: linked through the jobs themselves, so that nothing can fail. No
 * lock of its own. */
#ifndef SCHED_QUEUE_H
#define SCHED_QUEUE_H

#include "sched/worker.h"

/* All zeros is an empty one. */
struct queue {
	struct job *head; /* the oldest */
	struct job *tail; /* the newest; means nothing while head is NULL */
};

static inline void queue_push(struct queue *q, struct job *job)
{
	job->next = NULL;
	if (q->head)
		q->tail->next = job;
	else
		q->head = job;
	q->tail = job;
}

/* NULL when empty. */
static inline struct job *queue_pop(struct queue *q)
{
	struct job *job = q->head;

	if (job)
		q->head = job->next;
	return job;
}

/* Of two queues the one whose head was posted first; one of them when the other, or either, is
 * empty. */
static inline struct queue *queue_older(struct queue *a, struct queue *b)
{
	if (!a->head || !b->head)
		return a->head ? a : b;
	return a->head->posted_ns <= b->head->posted_ns ? a : b;
}

#endif
