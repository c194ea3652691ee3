/* Appending to the log; raid_log_append() for the files of this room.
 * Threads: as the lock says. */
#ifndef RAID_APPEND_H
#define RAID_APPEND_H

#include "raid/replica.h"

/* Append one batch to all members and to the STALE shards of @joining, which are members from it on (their state is the
 * caller's to change). What raid_log_append() returns; @seq may be NULL. */
int append_batch(struct raid *r, const struct iovec *iov, unsigned nr_iov, uint32_t flags,
		 uint64_t joining, uint64_t *seq) REQUIRES(r->replica->append_lock);

/* Have the superblocks of the shards of @members tell the history of epochs. Who fails is voted out. */
void append_tell(struct raid *r, uint64_t members) REQUIRES(r->replica->append_lock);

/* Before a clean stop: leave no batch behind that an append wrote but failed with. Returns 0 or what that append gave. */
int append_settle(struct raid *r);

#endif
