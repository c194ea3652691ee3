/* What follows a checkpoint. Threads: any, beside appends. */
#ifndef RAID_REJOIN_H
#define RAID_REJOIN_H

#include "raid/replica.h"

/* An image at @seq has been published on the members and stands as "ckpt/new" on the STALE shards of @joining: note
 * it, have those shards join the epoch, and cut the log. 0: there is no image, they join with the whole log.
 * Returns 0 or what the append gave. */
int rejoin_and_cut(struct raid *r, uint64_t seq, uint64_t joining);

#endif
