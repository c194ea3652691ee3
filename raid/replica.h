/* The replicated log, on every shard. What it means is in chain.c, its bytes in batch.c, files in shardlog.c.
 *
 * Threads: one at a time, except where it says so. Lock order: replica's append lock, then raid->lock. */
#ifndef RAID_REPLICA_H
#define RAID_REPLICA_H

#include "raid/chain.h"
#include "raid/shard.h"
#include "raid/shardlog.h"

/* What opening the log found, before anything is changed. */
struct replica_found {
	uint64_t online, stale; /* masks of shards */
	uint64_t
		unreadable; /* mask of shards whose log cannot be read; *err is the last one's reason */
	int err;
	uint64_t side[2]; /* after -ESTALE: the two sets with histories of their own */
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

/* The last batch's sequence number; 0: there is none. */
uint64_t replica_last(const struct raid *r);
/* The history of epochs into @sb: those that are surely on all their members. */
void replica_history(const struct raid *r, struct super *sb);

/* Sequence numbers of the checkpoints that the volume keeps, newest first. */
unsigned replica_images(struct raid *r, uint64_t seq[2]);
/* Bytes of the newest on a shard; 0 when there is none, or none that can be looked at. */
uint64_t replica_image_len(struct raid *r);

/* For `.stats`. Threads: any. */
struct replica_stat {
	uint64_t log_bytes, nr_batches, image_seq, nr_images;
};
void replica_stat_get(struct raid *r, struct replica_stat *out);

/* ---- inside: for replica.c, append.c and rejoin.c ---- */

struct replica {
	atomic_uint_fast64_t next, nr_batches, bytes; /* written under append_lock, read without */
	/* One append at a time; held across its I/O, which is what it is for. Guards everything below. */
	struct lock append_lock;
	struct shardlog log[SHARD_MAX];
	struct chain chain; /* what open found; dropped at the first append */
	bool salvage;
	uint64_t last_sum;
	struct chain_epoch epoch[SUPER_EPOCHS]; /* history; the last is in force */
	unsigned nr_epochs;
	uint64_t tried;	   /* the highest epoch number ever used in an attempt */
	bool told;	   /* the members' superblocks have the history */
	bool bump;	   /* an attempt failed: the next one is of a new epoch */
	uint64_t image[2]; /* checkpoints kept, newest first; 0: none */
	uint64_t nr_images;
};

void replica_epoch(struct replica *rp, const struct chain_epoch *add);
uint64_t replica_online(struct raid *r); /* mask of the ONLINE shards */
/* What the log takes on the shard where it takes most, for `.stats`: count it anew. */
void replica_count(struct raid *r);

/* chain_build() for the shards of @present, of which those of @sources have a log that counts. */
int replica_build(struct raid *r, struct chain *c, uint64_t sources, uint64_t present);
/* A good copy of an item from whichever shard has one, into *buf as shardlog_read() does. */
int replica_read_item(struct raid *r, struct shardlog *log, const struct chain *c,
		      const struct chain_item *it, uint8_t **buf, size_t *cap);
/* No batch behind items[@first] is missing. */
bool replica_unbroken(const struct chain *c, size_t first);

#endif
