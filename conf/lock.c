/* Thin wrappers of pthreads. A failing lock call is a mistake of ours, never an answer to handle: assert. */
#include "conf/lock.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

/* The asserted calls must also happen where NDEBUG is set. */
static void must(int err)
{
	assert(err == 0);
	(void)err;
}

void lock_init(struct lock *l)
{
	must(pthread_mutex_init(&l->m, NULL));
}

void lock_fini(struct lock *l)
{
	must(pthread_mutex_destroy(&l->m));
}

void lock_take(struct lock *l) NO_LOCK_CHECK
{
	must(pthread_mutex_lock(&l->m));
}

void lock_release(struct lock *l) NO_LOCK_CHECK
{
	must(pthread_mutex_unlock(&l->m));
}

void rwlock_init(struct rwlock *l)
{
	pthread_rwlockattr_t attr;

	must(pthread_rwlockattr_init(&attr));
	must(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
	must(pthread_rwlock_init(&l->rw, &attr));
	must(pthread_rwlockattr_destroy(&attr));
}

void rwlock_fini(struct rwlock *l)
{
	must(pthread_rwlock_destroy(&l->rw));
}

void rwlock_read(struct rwlock *l) NO_LOCK_CHECK
{
	must(pthread_rwlock_rdlock(&l->rw));
}

void rwlock_write(struct rwlock *l) NO_LOCK_CHECK
{
	must(pthread_rwlock_wrlock(&l->rw));
}

void rwlock_release(struct rwlock *l) NO_LOCK_CHECK
{
	must(pthread_rwlock_unlock(&l->rw));
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr));
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must(pthread_cond_init(&c->c, &attr));
	must(pthread_condattr_destroy(&attr));
}

void cond_fini(struct cond *c)
{
	must(pthread_cond_destroy(&c->c));
}

void cond_wait(struct cond *c, struct lock *l)
{
	must(pthread_cond_wait(&c->c, &l->m));
}

int cond_wait_until(struct cond *c, struct lock *l, uint64_t deadline_ns)
{
	struct timespec ts = {.tv_sec = (time_t)(deadline_ns / 1000000000ULL),
			      .tv_nsec = (long)(deadline_ns % 1000000000ULL)};
	int err = pthread_cond_timedwait(&c->c, &l->m, &ts);

	assert(err == 0 || err == ETIMEDOUT);
	return -err;
}

void cond_signal(struct cond *c)
{
	must(pthread_cond_signal(&c->c));
}

void cond_broadcast(struct cond *c)
{
	must(pthread_cond_broadcast(&c->c));
}
