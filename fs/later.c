/* An elastic pool of threads.
 *
 * A job never stays beside a thread without work: who posts one compares the queue with the threads that are idle (in
 * their wait, woken or not), all under the lock, and makes another thread when the queue is longer.
 *
 * No thread ends before the pool does: a reply that goes out by io_uring also asks for the next request, the kernel
 * ties that to the thread that submitted it, and would fail it (ECANCELED, to some program) when the thread is gone. */
#include "fs/later.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "conf/base.h"
#include "conf/lock.h"
#include "conf/log.h"

struct later {
	struct lock lock;
	struct cond work;
	struct job *head, *tail; /* the oldest, the newest; guarded by lock, as all that follows */
	unsigned nr_queued;
	unsigned nr_idle; /* in their wait */
	bool stopping;
	unsigned nr_threads;
	uint64_t nr_jobs;
	unsigned max;
	pthread_t thread[]; /* max */
};

static void *later_thread(void *arg)
{
	struct later *l = arg;
	struct job *job;

	pthread_setname_np(pthread_self(), "matfs-later");
	lock_take(&l->lock);
	for (;;) {
		while (!l->head && !l->stopping) {
			l->nr_idle++;
			cond_wait(&l->work, &l->lock);
			l->nr_idle--;
		}
		job = l->head;
		if (!job)
			break;
		l->head = job->next;
		l->nr_queued--;
		l->nr_jobs++;
		lock_release(&l->lock);
		job->run(job);
		lock_take(&l->lock);
	}
	lock_release(&l->lock);
	return NULL;
}

/* One more, if there may be. -EAGAIN: none to be had. */
static int later_start(struct later *l) REQUIRES(l->lock)
{
	sigset_t all, old;
	int err;

	if (l->nr_threads == l->max)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&l->thread[l->nr_threads], NULL, later_thread, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -EAGAIN;
	l->nr_threads++;
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
	/* Nobody starts one any more. */
	for (unsigned i = 0; i < l->nr_threads; i++)
		pthread_join(l->thread[i], NULL);
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
		log_debug("no thread for a request that waits; %u have it all", l->nr_threads);
	cond_signal(&l->work);
	lock_release(&l->lock);
}

void later_stat_get(struct later *l, struct later_stat *out)
{
	lock_take(&l->lock);
	*out = (struct later_stat){
		.nr_threads = l->nr_threads,
		.nr_idle = l->nr_idle,
		.queue_len = l->nr_queued,
		.nr_jobs = l->nr_jobs,
	};
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
