/* Waiting for readers to be through, without making them wait (the idea of Linux' SRCU).
 *
 * A reader enters before it looks up where bytes are and leaves when it has them. gate_wait() returns when every
 * reader that had entered before is out, so that what was unlinked before the call can be given away. */
#ifndef FS_GATE_H
#define FS_GATE_H

#include <stdatomic.h>
#include <time.h>

struct gate {
	atomic_uint phase; /* 0 or 1 */
	atomic_long inside[2];
};

static inline unsigned gate_enter(struct gate *g)
{
	for (;;) {
		unsigned phase = atomic_load(&g->phase);

		atomic_fetch_add(&g->inside[phase], 1);
		/* Entered as the phase turned: the one that waits may have seen zero already. */
		if (atomic_load(&g->phase) == phase)
			return phase;
		atomic_fetch_sub(&g->inside[phase], 1);
	}
}

static inline void gate_leave(struct gate *g, unsigned phase)
{
	atomic_fetch_sub(&g->inside[phase], 1);
}

/* One caller at a time. */
static inline void gate_wait(struct gate *g)
{
	unsigned old = atomic_load(&g->phase);

	atomic_store(&g->phase, !old);
	while (atomic_load(&g->inside[old])) {
		struct timespec ts = {.tv_nsec = 200000};

		nanosleep(&ts, NULL);
	}
}

#endif
