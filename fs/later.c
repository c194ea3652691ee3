/* An elastic pool of threads.
 *
 * A job never stays beside a thread without work: who posts one compares the queue with the threads that are idle (in
 * their wait, woken or not), all under the lock, and makes another thread when the queue is longer. A thread that has
 * been idle for a while ends, but for the first. */
#include "fs/later.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "conf/base.h"
#include "conf/lock.h"
#include "conf/log.h"

/* A thread without work for so long ends. */
#define LATER_IDLE_NS 5000000000ULL

enum later_state {
	LATER_NONE,  /* no thread; later_start() -> RUNS */
	LATER_RUNS,  /* a thread works or waits; itself -> ENDED */
	LATER_ENDED, /* to be joined; later_start() or later_free() -> NONE */
};

struct later_thread {
	struct later *pool;
	enum later_state state; /* guarded by pool->lock */
	pthread_t id;
};

struct later {
	struct lock lock;
	struct cond work;
	struct job *head, *tail; /* the oldest, the newest; guarded by lock, as all that follows */
	unsigned nr_queued;
	unsigned nr_idle; /* in their wait */
	bool stopping;
	struct later_stat stat; /* but for queue_len */
	unsigned max;
	struct later_thread thread[]; /* max */
};

static void *later_thread(void *arg)
{
	struct later_thread *t = arg;
	struct later *l = t->pool;

	pthread_setname_np(pthread_self(), "matfs-later");
	lock_take(&l->lock);
	for (;;) {
		struct job *job = l->head;
		int idle = 0;

		if (job) {
			l->head = job->next;
			l->nr_queued--;
			l->stat.nr_jobs++;
			lock_release(&l->lock);
			job->run(job);
			lock_take(&l->lock);
			continue;
		}
		if (l->stopping)
			break;
		l->nr_idle++;
		idle = cond_wait_until(&l->work, &l->lock, mono_ns() + LATER_IDLE_NS);
		l->nr_idle--;
		if (idle && !l->nr_queued && l->stat.nr_threads > 1)
			break;
	}
	l->stat.nr_threads--;
	t->state = LATER_ENDED;
	lock_release(&l->lock);
	return NULL;
}

/* One more, if there may be. -EAGAIN: none to be had. */
static int later_start(struct later *l) REQUIRES(l->lock)
{
	struct later_thread *t = NULL;
	sigset_t all, old;
	int err;

	for (unsigned i = 0; i < l->max && !t; i++) {
		if (l->thread[i].state != LATER_RUNS)
			t = &l->thread[i];
	}
	if (!t)
		return 0;
	if (t->state == LATER_ENDED)
		pthread_join(t->id, NULL);
	t->state = LATER_NONE;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&t->id, NULL, later_thread, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -EAGAIN;
	t->state = LATER_RUNS;
	l->stat.nr_threads++;
	l->stat.most_threads = MAX(l->stat.most_threads, l->stat.nr_threads);
	return 0;
}

int later_new(unsigned max, struct later **out)
{
	struct later *l = calloc(1, sizeof(*l) + max * sizeof(l->thread[0]));
	int err;

	assert(max);
	if (!l)
		return -ENOMEM;
	lock_init(&l->lock);
	cond_init(&l->work);
	l->max = max;
	for (unsigned i = 0; i < max; i++)
		l->thread[i].pool = l;
	lock_take(&l->lock);
	err = later_start(l);
	lock_release(&l->lock);
	if (err) {
		later_free(l);
		return err;
	}
	*out = l;
	return 0;
}

void later_free(struct later *l)
{
	if (!l)
		return;
	lock_take(&l->lock);
	l->stopping = true;
	cond_broadcast(&l->work);
	lock_release(&l->lock);
	/* Nobody starts one any more, so the states of others than the running stay. */
	for (unsigned i = 0; i < l->max; i++) {
		bool made;

		lock_take(&l->lock);
		made = l->thread[i].state != LATER_NONE;
		lock_release(&l->lock);
		if (made)
			pthread_join(l->thread[i].id, NULL);
	}
	assert(!l->nr_queued);
	cond_fini(&l->work);
	lock_fini(&l->lock);
	free(l);
}

void later_post(struct later *l, struct job *job)
{
	lock_take(&l->lock);
	assert(!l->stopping);
	job->next = NULL;
	*(l->head ? &l->tail->next : &l->head) = job;
	l->tail = job;
	l->nr_queued++;
	/* Where none is to be had, those that are there do it, one after the other. */
	if (l->nr_queued > l->nr_idle && later_start(l))
		log_debug("no thread for a request that waits; %u have it all", l->stat.nr_threads);
	cond_signal(&l->work);
	lock_release(&l->lock);
}

void later_stat_get(struct later *l, struct later_stat *out)
{
	lock_take(&l->lock);
	*out = l->stat;
	out->queue_len = l->nr_queued;
	lock_release(&l->lock);
}

/* ---- threads that may not wait ---- */

static _Thread_local bool forbid, forbidden;

void later_forbid(bool on)
{
	forbid = on;
}

bool later_may_not(void)
{
	forbidden = forbidden || forbid;
	return forbid;
}

bool later_forbidden(void)
{
	bool was = forbidden;

	forbidden = false;
	return was;
}
