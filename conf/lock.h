/* Locks with names that clang's thread-safety checker understands (-Wthread-safety). gcc sees plain pthreads.
 *
 * The lock order of the program is one list, in README. */
#ifndef CONF_LOCK_H
#define CONF_LOCK_H

#include <pthread.h>
#include <stdint.h>

#if defined(__clang__)
#define LOCK_ATTR(x) __attribute__((x))
#else
#define LOCK_ATTR(x)
#endif

#define CAPABILITY(x)	     LOCK_ATTR(capability(x))
#define REQUIRES(...)	     LOCK_ATTR(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) LOCK_ATTR(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...)	     LOCK_ATTR(locks_excluded(__VA_ARGS__))
#define ACQUIRES(...)	     LOCK_ATTR(acquire_capability(__VA_ARGS__))
#define ACQUIRES_SHARED(...) LOCK_ATTR(acquire_shared_capability(__VA_ARGS__))
#define RELEASES(...)	     LOCK_ATTR(release_capability(__VA_ARGS__))
#define RELEASES_ANY(...)    LOCK_ATTR(release_generic_capability(__VA_ARGS__))
#define NO_LOCK_CHECK	     LOCK_ATTR(no_thread_safety_analysis)

struct CAPABILITY("mutex") lock {
	pthread_mutex_t m;
};

struct CAPABILITY("rwlock") rwlock {
	pthread_rwlock_t rw;
};

/* A condition; waits use the monotonic clock. */
struct cond {
	pthread_cond_t c;
};

void lock_init(struct lock *l);
void lock_fini(struct lock *l);
void lock_take(struct lock *l) ACQUIRES(*l);
void lock_release(struct lock *l) RELEASES(*l);

/* Writers are preferred: a writer that waits holds new readers back. A thread must not take it for reading twice. */
void rwlock_init(struct rwlock *l);
void rwlock_fini(struct rwlock *l);
void rwlock_read(struct rwlock *l) ACQUIRES_SHARED(*l);
void rwlock_write(struct rwlock *l) ACQUIRES(*l);
void rwlock_release(struct rwlock *l) RELEASES_ANY(*l);

void cond_init(struct cond *c);
void cond_fini(struct cond *c);
void cond_wait(struct cond *c, struct lock *l) REQUIRES(*l);
/* Wait until @deadline_ns of the monotonic clock at the latest. Returns 0 or -ETIMEDOUT. */
int cond_wait_until(struct cond *c, struct lock *l, uint64_t deadline_ns) REQUIRES(*l);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

#endif
