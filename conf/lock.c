/* Thin wrappers of pthreads. A failing lock call is a mistake of ours, never an answer to handle: assert. */
#include "conf/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "conf/base.h"

/* The asserted calls must also happen where NDEBUG is set. */
static void must(int err)
{
	assert(err == 0);
	(void)err;
}

/* ---- classes ---- */

static _Atomic(struct lock_class *) classes; /* all that were waited for; none ever leaves */

static void class_list(struct lock_class *c)
{
	if (atomic_exchange(&c->listed, true))
		return;
	c->next = atomic_load(&classes);
	while (!atomic_compare_exchange_weak(&classes, &c->next, c))
		;
}

static void class_waited(struct lock_class *c, uint64_t since_ns)
{
	uint64_t ns = mono_ns() - since_ns;
	uint64_t max = atomic_load_explicit(&c->max_ns, memory_order_relaxed);

	class_list(c);
	atomic_fetch_add_explicit(&c->nr_waits, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->waited_ns, ns, memory_order_relaxed);
	while (ns > max && !atomic_compare_exchange_weak(&c->max_ns, &max, ns))
		;
}

/* "fs/part lock" for "/src/fs/part.c" and "&p->lock". */
static void class_name(const struct lock_class *c, char *out, size_t len)
{
	const char *file = c->file, *name = c->name, *p;
	size_t stem = strlen(file);

	for (p = file; (p = strchr(p, '/')); p++) {
		if (strchr(p + 1, '/'))
			file = p + 1;
	}
	stem = (size_t)(c->file + stem - file);
	p = strrchr(file, '.');
	if (p)
		stem = (size_t)(p - file);
	while ((p = strpbrk(name, "&>.")) && p[1])
		name = p + 1;
	snprintf(out, len, "%.*s %s", (int)stem, file, name);
}

/* Insert into a list of @nr that is sorted; returns its length. */
static unsigned worst_add(struct lock_stat *list, unsigned nr, unsigned max,
			  const struct lock_stat *s)
{
	unsigned at = nr;

	while (at && list[at - 1].waited_ns < s->waited_ns)
		at--;
	if (at == max)
		return nr;
	nr = MIN(nr + 1, max);
	memmove(&list[at + 1], &list[at], (nr - 1 - at) * sizeof(*list));
	list[at] = *s;
	return nr;
}

unsigned lock_worst(struct lock_stat *out, unsigned max)
{
	unsigned nr = 0;

	for (const struct lock_class *c = atomic_load(&classes); c; c = c->next) {
		struct lock_stat s = {
			.nr_waits = atomic_load(&c->nr_waits),
			.waited_ns = atomic_load(&c->waited_ns),
			.max_ns = atomic_load(&c->max_ns),
		};

		class_name(c, s.name, sizeof(s.name));
		nr = worst_add(out, nr, max, &s);
	}
	return nr;
}

/* ---- locks ---- */

/* The result of a try: was it taken? */
static bool tried(int err)
{
	assert(err == 0 || err == EBUSY || err == EAGAIN);
	return err == 0;
}

void lock_init_class(struct lock *l, struct lock_class *class)
{
	must(pthread_mutex_init(&l->m, NULL));
	l->class = class;
}

void lock_fini(struct lock *l)
{
	must(pthread_mutex_destroy(&l->m));
}

void lock_take(struct lock *l) NO_LOCK_CHECK
{
	uint64_t since;

	if (tried(pthread_mutex_trylock(&l->m)))
		return;
	since = mono_ns();
	must(pthread_mutex_lock(&l->m));
	class_waited(l->class, since);
}

void lock_release(struct lock *l) NO_LOCK_CHECK
{
	must(pthread_mutex_unlock(&l->m));
}

void rwlock_init_class(struct rwlock *l, struct lock_class *class)
{
	pthread_rwlockattr_t attr;

	must(pthread_rwlockattr_init(&attr));
	must(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
	must(pthread_rwlock_init(&l->rw, &attr));
	l->class = class;
	must(pthread_rwlockattr_destroy(&attr));
}

void rwlock_fini(struct rwlock *l)
{
	must(pthread_rwlock_destroy(&l->rw));
}

void rwlock_read(struct rwlock *l) NO_LOCK_CHECK
{
	uint64_t since;

	if (tried(pthread_rwlock_tryrdlock(&l->rw)))
		return;
	since = mono_ns();
	must(pthread_rwlock_rdlock(&l->rw));
	class_waited(l->class, since);
}

void rwlock_write(struct rwlock *l) NO_LOCK_CHECK
{
	uint64_t since;

	if (tried(pthread_rwlock_trywrlock(&l->rw)))
		return;
	since = mono_ns();
	must(pthread_rwlock_wrlock(&l->rw));
	class_waited(l->class, since);
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
