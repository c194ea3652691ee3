/* The inside of an open volume, for the files of this room: the raid and its shards.
 *
 * Who owns what: raid.c opens and closes; discover.c finds the shards; shard.c votes; super.c keeps identities; replica.c,
 * append.c and rejoin.c the log, on top of chain.c and shardlog.c; image*.c the checkpoints;
 * segment.c where chunks lie on one shard; space.c what is free; stripe_write.c, stripe_read.c the chunks themselves.
 *
 * A shard's state moves like this, and only shard.c and raid_open() move it:
 *
 *   state    holds                                                      moved on by
 *   ONLINE   takes reads and writes, is a member of the epoch           shard_fail() -> FAILED
 *   MISSING  was not there at open; store is NULL                       the next open
 *   FAILED   no new requests; its store stays open for reads under way  the next open
 *   STALE    older epoch at open; chunks are read and written (they     rejoin.c, after a checkpoint is on it -> ONLINE
 *            verify themselves), log and checkpoints are not yet        shard_fail() -> FAILED
 */
#ifndef RAID_SHARD_H
#define RAID_SHARD_H

#include <stdatomic.h>

#include "conf/base.h"
#include "conf/lock.h"
#include "raid/nearby.h"
#include "raid/raid.h"
#include "raid/store.h"

struct segments; /* segment.c */
struct replica;	 /* replica.c */
struct super;	 /* super.c */
struct space;	 /* space.c */
struct scratch;	 /* scratch.c */

struct shard {
	struct raid *raid;
	unsigned idx; /* position in the volume */
	char *path;
	struct store *store; /* NULL when missing */
	_Atomic(enum shard_state) state;
	struct segments *segments;
	atomic_uint_fast64_t nr_reads, read_bytes, nr_writes, write_bytes;
	atomic_uint_fast64_t nr_errors, nr_wrong, nr_repaired;
	atomic_uint nr_inflight; /* reads under way, for the choice of a copy */
	struct nearby nearby;	 /* small reads of its segments */
	char reason[128];	 /* why it failed; guarded by raid->lock */
	uint64_t error_ns[2];	 /* when its last passing errors were; guarded by raid->lock */
	struct super *
		super; /* as last stored on it, NULL when missing; of the open, the append and the close */
};

struct raid {
	const struct store_ops *ops;
	struct raid_geometry geo;
	uint8_t uuid[RAID_UUID_LEN];
	bool created, was_clean, rdonly;
	atomic_bool broken;	       /* more shards lost than parity covers: writes answer -EIO */
	atomic_bool wants_checkpoint;  /* a copy of one was found bad */
	struct shard shard[SHARD_MAX]; /* geo.nr_shards of them */
	struct lock lock;	       /* guards votes: state changes, reason, epoch fields */
	atomic_uint_fast64_t
		online;	  /* mask of shards that take reads and writes: ONLINE and STALE */
	uint64_t epoch;	  /* of the last durable batch; guarded by lock */
	uint64_t members; /* mask of that epoch's shards; guarded by lock */
	struct replica *replica;
	struct space *space; /* it, scratch and sync_lock: space_new() to space_free() */
	struct scratch *scratch;
	struct lock
		sync_lock; /* one raid_sync() at a time; held across its I/O, so that one that finds nothing to
				    sync also knows that it is synced */
	atomic_uint_fast64_t nr_rebuilt;
	atomic_uint_fast64_t said_ns; /* when a stripe that cannot be read was last reported */
};

static inline bool shard_usable(const struct shard *s)
{
	enum shard_state st = atomic_load_explicit(&s->state, memory_order_acquire);

	return st == SHARD_ONLINE || st == SHARD_STALE;
}

/* Vote @s out: no further requests go to it, the log's next batch says so, one loud line is logged (only the first
 * time). @what says what was being done, for that line. When more shards are not members than parity covers, the raid is
 * broken from here on. Threads: any; takes raid->lock, so not while holding it. */
void shard_fail(struct shard *s, int err, const char *what);

/* An I/O error that may be passing: counted; the third within a minute, or one that means the shard is gone (-ENODEV,
 * -ENOENT, -ESTALE, -ENXIO, -EROFS, -ENOTCONN), or any failed write or sync, votes the shard out. A failed read alone
 * does not. Returns true when the shard is out. */
bool shard_error(struct shard *s, int err, bool write, const char *what);

/* Store s->super as its next generation. What fails votes the shard out and is returned. */
int shard_super_store(struct shard *s);

/* STALE -> ONLINE. False when it has failed meanwhile. */
bool shard_rejoined(struct shard *s);

#endif
