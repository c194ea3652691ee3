/* What the open group has done to counts of references, while data of the group before is still being written.
 *
 * An extent may be shared, so a flush of the closed group and a change of the open one may both count its references,
 * in either order. The index has the sum of both; the closed group's batch must tell the count without what the open
 * group did, or a stripe is freed that the state after that batch still shows. This table has the difference.
 *
 * All zero is empty. Threads: one at a time (the index's write transaction). */
#ifndef FS_REFER_H
#define FS_REFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct refer_slot {
	uint64_t gen; /* of the extent; 0: free */
	int64_t change;
};

struct refer {
	struct refer_slot *slot; /* heap; cap of them, a power of two */
	size_t nr, cap;
};

void refer_fini(struct refer *r);
void refer_clear(struct refer *r);
/* Room for @nr more extents. -ENOMEM. */
int refer_room(struct refer *r, size_t nr);
/* There is room. */
void refer_add(struct refer *r, uint64_t gen, int change);
/* False: the open group has not touched it. */
bool refer_find(const struct refer *r, uint64_t gen, int64_t *change);

#endif
