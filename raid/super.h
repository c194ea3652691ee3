/* The superblock: a shard's identity, the volume's geometry, and the history of its epochs.
 *
 * Two slots, "super.0" and "super.1"; generation n stands in slot n % 2 and the newest valid one counts, so that the
 * older one stays whole while the other is written. Threads: any, one at a time per shard. */
#ifndef RAID_SUPER_H
#define RAID_SUPER_H

#include "raid/raid.h"
#include "raid/store.h"

#define SUPER_LEN      4096
#define SUPER_VERSION  1
#define SUPER_EPOCHS   16  /* of the history, the newest */
#define SUPER_PATH_MAX 256 /* with the NUL */

enum super_flags {
	SUPER_CREATED = 1,   /* every shard of the volume has a superblock: the creation is over */
	SUPER_CLEAN = 2,     /* stopped in order; clean_seq and clean_nonce hold */
	SUPER_REJOINING = 4, /* the shard's log is being replaced: do not read it */
};

/* A set of shards that had to agree, from a batch on. Two epochs are the same one when number and nonce are. */
struct super_epoch {
	uint64_t epoch, nonce;
	uint64_t members;   /* mask of shards */
	uint64_t first_seq; /* of its first batch */
};

struct super {
	uint64_t generation;
	uint8_t uuid[RAID_UUID_LEN];
	struct raid_geometry geo;
	uint8_t idx; /* which shard this is */
	uint32_t flags;
	uint64_t created_ns;  /* when the volume was made, real time */
	uint64_t clean_seq;   /* the last batch of the log at the clean stop, 0: none yet */
	uint64_t clean_nonce; /* the same on every shard of one clean stop */
	unsigned nr_epochs;
	struct super_epoch epoch[SUPER_EPOCHS]; /* oldest first; the last is the one in force */
	uint8_t shard_uuid[SHARD_MAX][RAID_UUID_LEN];
	char path[SHARD_MAX][SUPER_PATH_MAX]; /* where each was last seen, for messages */
};

/* Writes SUPER_LEN bytes. Paths that do not fit lose their head. */
void super_encode(const struct super *sb, uint8_t *buf);

/* Returns 0, -EBADMSG, or -EPROTONOSUPPORT: intact, but of a version that came after us. */
int super_decode(const uint8_t *buf, size_t len, struct super *out);

/* Read the newest valid superblock. Returns 0, -ENOENT (there is none), -EBADMSG (none of those there is valid),
 * -EPROTONOSUPPORT (one is newer than this program), -ENOMEM, or the store's error. */
int super_load(const struct store_ops *ops, struct store *s, struct super *out);

/* Make @sb, with @sb->generation one more than the last one stored, the shard's superblock; durable on return.
 * Returns 0, -ENOMEM, or the store's error: treat the shard as failed then. */
int super_store(const struct store_ops *ops, struct store *s, const struct super *sb);

/* The epoch in force. */
static inline const struct super_epoch *super_last(const struct super *sb)
{
	return &sb->epoch[sb->nr_epochs - 1];
}

/* Append to the history; the oldest one goes when it is full. Nothing when @e is there already. */
void super_epoch_add(struct super *sb, const struct super_epoch *e);

#endif
