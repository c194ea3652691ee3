/* Locks with names that clang's thread-safety checker understands (-Wthread-safety). gcc sees plain pthreads.
 *
 * The lock order of the program is one list, in README.
 *
 * All locks that are made in one place of the source are a class, which counts how often one had to be waited for, and
 * how long: what nobody else holds is taken as fast as without that. Waits on conditions, and for a lock after such a
 * wait, are not counted. */
#ifndef CONF_LOCK_H
#define CONF_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
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

/* Static, all zero but for the names. Written only by who has waited. */
struct lock_class {
	const char *file; /* as the compiler has it */
	const char *name; /* the expression it was made by */
	struct lock_class *next;
	atomic_bool listed;
	atomic_uint_fast64_t nr_waits, waited_ns, max_ns;
};

struct CAPABILITY("mutex") lock {
	pthread_mutex_t m;
	struct lock_class *class;
};

struct CAPABILITY("rwlock") rwlock {
	pthread_rwlock_t rw;
	struct lock_class *class;
};

/* A condition; waits use the monotonic clock. */
struct cond {
	pthread_cond_t c;
};

#define LOCK_CLASS(expr)                                                                           \
	({                                                                                         \
		static struct lock_class lock_class_here = {.file = __FILE__, .name = #expr};      \
		&lock_class_here;                                                                  \
	})

/* Initializes a static lock. */
#define LOCK_STATIC(what)                                                                          \
	{                                                                                          \
		PTHREAD_MUTEX_INITIALIZER, &(struct lock_class)                                    \
		{                                                                                  \
			.file = __FILE__, .name = what                                             \
		}                                                                                  \
	}

#define lock_init(l) lock_init_class(l, LOCK_CLASS(l))
void lock_init_class(struct lock *l, struct lock_class *class);
void lock_fini(struct lock *l);
void lock_take(struct lock *l) ACQUIRES(*l);
void lock_release(struct lock *l) RELEASES(*l);

/* Writers are preferred: a writer that waits holds new readers back. A thread must not take it for reading twice. */
#define rwlock_init(l) rwlock_init_class(l, LOCK_CLASS(l))
void rwlock_init_class(struct rwlock *l, struct lock_class *class);
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

/* One class since the program began. */
struct lock_stat {
	char name[48]; /* file's stem and the lock's name: "fs/part lock" */
	uint64_t nr_waits, waited_ns, max_ns;
};
/* The @max classes that were waited for longest, longest first, of those that were; returns how many. Threads: any. */
unsigned lock_worst(struct lock_stat *out, unsigned max);

#endif
