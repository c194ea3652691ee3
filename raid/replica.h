/* The replicated log, on every shard. What it means is in chain.c, its bytes in batch.c.
 *
 * Threads: one at a time, except where it says so. Lock order: replica's append lock, then raid->lock. */
#ifndef RAID_REPLICA_H
#define RAID_REPLICA_H

#include "raid/chain.h"
#include "raid/shard.h"

/* What opening the log found, before anything is changed. */
struct replica_found {
	uint64_t online, stale; /* masks of shards */
	uint64_t unreadable;	/* mask of shards whose log cannot be read; *err is the last one's reason */
	int err;
	uint64_t side[2];	/* after -ESTALE: the two sets with histories of their own */
};

/* Read the logs of the shards that have a store, and choose. Changes nothing on them and no state.
 * @salvage  go on where the log is damaged, as far as it goes
 * Sets r->replica, r->epoch and r->members. Returns 0, or what chain_build() says, -EPROTONOSUPPORT (a log of a newer
 * version), -ENOMEM. */
int replica_open(struct raid *r, bool salvage, struct replica_found *found);
void replica_close(struct raid *r); /* nothing when there is none */

/* Bring the logs of all ONLINE shards to the same end, and heal what is damaged on some. Before the first append.
 * A shard that fails is voted out. Returns 0, -EIO (none is left), -ENOMEM. */
int replica_align(struct raid *r);

/* Before a clean stop: leave no batch behind that an append wrote but failed with. Returns 0 or what that append gave. */
int replica_settle(struct raid *r);

/* The last batch's sequence number; 0: there is none. */
uint64_t replica_last(const struct raid *r);
/* The history of epochs into @sb. */
void replica_history(const struct raid *r, struct super *sb);

/* Sequence numbers of the checkpoints that the volume keeps, newest first. */
unsigned replica_images(struct raid *r, uint64_t seq[2]);

/* An image at @seq has been published on the members and stands as "ckpt/new" on the STALE shards of @joining: note
 * it, have those shards join the epoch, and cut. 0: there is no image, they join with the whole log.
 * Threads: any, beside appends. Returns 0 or what the append gave. */
int replica_published(struct raid *r, uint64_t seq, uint64_t joining);

/* For `.stats`. Threads: any. */
struct replica_stat {
	uint64_t log_bytes, nr_batches, image_seq, nr_images;
};
void replica_stat_get(struct raid *r, struct replica_stat *out);

#endif
