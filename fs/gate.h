/* Waiting for readers to be through, without making them wait (the idea of Linux' SRCU).
 *
 * A reader enters before it looks up where bytes are and leaves when it has them. gate_wait() returns when every
 * reader that had entered before is out, so that what was unlinked before the call can be given away.
 *
 * Readers count themselves in one of a few places, by thread, so that cores do not pass one line of memory around. */
#ifndef FS_GATE_H
#define FS_GATE_H

#include <stdatomic.h>
#include <time.h>

#include "conf/slot.h"

#define GATE_SLOTS 16

struct gate {
	atomic_uint phase; /* 0 or 1 */
	struct {
		atomic_long inside[2];
		char apart[64 - 2 * sizeof(atomic_long)]; /* a line of memory for each */
	} slot[GATE_SLOTS];
};

/* Returns what gate_leave(), by any thread, is to be given. */
static inline unsigned gate_enter(struct gate *g)
{
	unsigned slot = slot_mine() % GATE_SLOTS;

	for (;;) {
		unsigned phase = atomic_load(&g->phase);

		atomic_fetch_add(&g->slot[slot].inside[phase], 1);
		/* Entered as the phase turned: the one that waits may have seen zero already. */
		if (atomic_load(&g->phase) == phase)
			return slot << 1 | phase;
		atomic_fetch_sub(&g->slot[slot].inside[phase], 1);
	}
}

static inline void gate_leave(struct gate *g, unsigned pass)
{
	atomic_fetch_sub(&g->slot[pass >> 1].inside[pass & 1], 1);
}

/* One caller at a time. */
static inline void gate_wait(struct gate *g)
{
	unsigned old = atomic_load(&g->phase);

	atomic_store(&g->phase, !old);
	/* Nobody stays in the old phase from now on, so each place can be waited for in turn. */
	for (unsigned i = 0; i < GATE_SLOTS; i++) {
		while (atomic_load(&g->slot[i].inside[old])) {
			struct timespec ts = {.tv_nsec = 200000};

			nanosleep(&ts, NULL);
		}
	}
}

#endif
