/* A volume's shards as one place to keep stripes, and to keep replicated records.
 *
 * A stripe is written once, whole, to free space, and never changes: k data chunks and m parity chunks, each on another
 * shard, each behind a head that says what it is and carries its checksum. A record (the log of metadata, its
 * checkpoints) is kept on every shard.
 *
 * Errors are negative errnos. A shard that fails is voted out inside these calls: it is said once through log_error(),
 * the call goes on with the others, and the next raid_log_append() makes the vote durable before it returns.
 * Threads: any, except where it says so. */
#ifndef RAID_RAID_H
#define RAID_RAID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "conf/base.h"

struct store_ops;
struct raid;

#define RAID_UUID_LEN	 16
#define STRIPE_WIDTH_MAX 16 /* chunks of a stripe, data and parity */
#define RAID_STRIPE_MAX                                                                            \
	((size_t)(4 * MIB + 4096)) /* stored bytes of a stripe: the longest extent and its head */

/* What never changes after the volume was made. */
struct raid_geometry {
	uint8_t level;	     /* 0, 1, 5 or 6 */
	uint8_t copies;	     /* raid1: copies of each byte, 2 or more; else 1 */
	uint8_t nr_shards;   /* 1 to SHARD_MAX */
	uint32_t extent_len; /* bytes, a power of two, 256 KiB to 4 MiB */
};

/* Parity (or further copies) of every stripe: raid0 0, raid1 copies - 1, raid5 1, raid6 2. */
unsigned raid_parity(const struct raid_geometry *g);

struct raid_params {
	const struct store_ops *ops;
	const char *const *paths; /* absolute, one a shard, in any order on later opens */
	unsigned nr_paths;
	struct raid_geometry
		want; /* level or extent_len 0xff/0: whatever the volume has, or the default on create:
				      level 5 with >= 3 shards, 1 with 2, 0 with 1; extent 1 MiB; nr_shards ignored */
	const char *mountpoint; /* for the nesting check; may be NULL */
	unsigned wait_s;	/* how long to wait for missing shards */
	bool create;		/* make a volume when every directory is empty */
	bool degraded;		/* go on with shards missing when redundancy suffices */
	bool salvage;		/* go on with whatever is there; read-only always */
	bool rdonly;		/* change nothing on the shards; lock shared */
};
#define RAID_LEVEL_ANY 0xff

/* Create or open. On failure @why (at least 512 bytes) has one line for the user: what, where, why and what now, and
 * nothing on any shard has been changed (checks come before the first write; a lock file aside).
 * -EINVAL (disagreement with what is there, nested, twice), -EBUSY (locked), -ENOTEMPTY, -EOPNOTSUPP (no hole
 * punching), -ENODEV (shards missing), -EACCES, -EROFS, -EBADMSG (no valid superblock or log), -ESTALE (the shards have
 * been written separately and disagree), -EPROTONOSUPPORT (made by a newer matfs), -ENOENT (no volume there, and
 * @create is not given), ... */
int raid_open(const struct raid_params *p, struct raid **out, char *why, size_t why_len);

/* Everything synced by the caller already. @clean: leave the mark of a clean stop. */
void raid_close(struct raid *r, bool clean);

const struct raid_geometry *raid_geometry(const struct raid *r);
const uint8_t *raid_uuid(const struct raid *r); /* RAID_UUID_LEN bytes */
bool raid_created(const struct raid *r);	/* this open made the volume */
bool raid_was_clean(const struct raid *r);	/* the last close was clean on every shard in use */
bool raid_readonly(const struct raid *r);

/* ---- stripes ---- */

/* Whose bytes a stripe holds; stands in every chunk's head so that files can be dug out by heads alone. */
struct stripe_owner {
	uint64_t ino;
	uint64_t file_off; /* bytes */
	uint64_t gen;	   /* unique in the volume, grows: newest wins */
	uint32_t raw_len;  /* bytes of the file, decoded */
};

struct chunk_loc {
	uint8_t shard;	  /* position of the shard in the volume */
	uint32_t segment; /* number of the segment file */
	uint32_t block;	  /* BLOCK_LEN blocks from its start; the chunk's head stands here */
};

struct stripe_loc {
	uint8_t k;				  /* data chunks: 1.. */
	uint8_t m;				  /* parity chunks or further copies */
	uint32_t len;				  /* stored bytes, all data chunks together */
	struct chunk_loc chunk[STRIPE_WIDTH_MAX]; /* k data in order, then m parity */
};

/* A stripe of up to so many stored bytes takes one block of each of 1 + parity shards, and no stripe takes less. */
#define RAID_LEAST_LEN (BLOCK_LEN - 128)

#define STRIPE_LOC_MAX (6 + 9 * STRIPE_WIDTH_MAX) /* encoded bytes */
size_t stripe_loc_put(const struct stripe_loc *loc, uint8_t buf[STRIPE_LOC_MAX]);
/* Returns 0 or -EBADMSG (lengths, widths, shard numbers out of range). */
int stripe_loc_get(const uint8_t *buf, size_t len, struct stripe_loc *loc);
/* Bytes taken from the shards, heads and padding and parity included. */
uint64_t stripe_loc_bytes(const struct stripe_loc *loc);

/* Write the bytes of @iov (together 1 to RAID_STRIPE_MAX) as one stripe, on shards chosen now. Durable after the next
 * raid_sync(). A shard that fails under way is voted out and the stripe written anew on the rest.
 * -ENOSPC, -EIO (too few shards left), -EROFS, -ENOMEM. Blocks. */
int raid_write(struct raid *r, const struct stripe_owner *owner, const struct iovec *iov,
	       unsigned nr_iov, struct stripe_loc *out);

/* Read a stripe's @loc->len bytes into @buf. Every chunk used is verified against its head and @owner (ino, file_off
 * and gen); a missing or wrong one is rebuilt from the others, and a wrong one on an online shard is rewritten in
 * place and counted. -EIO: fewer than k good chunks; one log line says which. Blocks. */
int raid_read(struct raid *r, const struct stripe_owner *owner, const struct stripe_loc *loc,
	      uint8_t *buf);

/* Bytes [off, off + len) of a stripe, len at least 1. */
struct stripe_part {
	uint32_t off, len;
	uint8_t *buf;
};
#define STRIPE_PARTS_MAX 4

/* Read some bytes of a stripe without the rest of it, up to STRIPE_PARTS_MAX parts in one batch. What comes back is as it
 * stands on the shards: only a part that begins with a chunk has that chunk's head verified, as raid_read() does; payloads
 * are not. The caller has checksums of his own for these bytes. Nothing is rebuilt, repaired or counted as wrong: -EIO
 * (a chunk's shard or head is not there, or not right), like a checksum that does not fit, sends the caller to
 * raid_read(), which does all that. -ENOMEM. Blocks. */
int raid_read_part(struct raid *r, const struct stripe_owner *owner, const struct stripe_loc *loc,
		   const struct stripe_part *part, unsigned nr);

/* Verify every chunk of a stripe, parity too, repairing what is wrong (unless read-only). @bad, @repaired are added to. */
int raid_verify(struct raid *r, const struct stripe_owner *owner, const struct stripe_loc *loc,
		unsigned *bad, unsigned *repaired);

/* What raid_write() returned before this call is on disk when it returns. -EIO: too few shards left. */
int raid_sync(struct raid *r);

/* Give a stripe's space back. Only after what freed it is durable. Errors are logged, the space then waits for the next
 * raid_reconcile(). */
void raid_free(struct raid *r, const struct stripe_loc *loc);
/* The same for many, neighbours on a shard at once. */
void raid_free_many(struct raid *r, const struct stripe_loc *loc, unsigned nr);

/* At each mount, before the first write: which stripes are live, so that the others' space can be given back now (@apply,
 * needed after an unclean stop and when a shard has come back) and segments deleted later on. Call
 * raid_reconcile_begin(), then _keep() for each live stripe in any order, also more than once, then _end(); nothing else
 * is called meanwhile. _end frees @rc in any case. When a _keep() failed nothing is given back; when the caller could not
 * name all stripes it must not write to the volume after _end(), also without @apply. */
struct reconcile;
int raid_reconcile_begin(struct raid *r, struct reconcile **rc);
int raid_reconcile_keep(struct reconcile *rc, const struct stripe_loc *loc);
int raid_reconcile_end(struct reconcile *rc, bool apply, uint64_t *freed_bytes);

/* ---- space ---- */

struct raid_space {
	uint64_t
		total; /* bytes a user could store were the volume empty, after parity at the present width */
	uint64_t
		avail; /* bytes a user can still store: incompressible, in full extents, before -ENOSPC */
	uint64_t used; /* bytes of live chunks on shards */
};
int raid_space(struct raid *r, struct raid_space *out);

/* Promise that stripes can be written later: -ENOSPC when not.
 * @len  the sum of their stored bytes, each rounded up to blocks and one block more (for its head)
 * What was promised in several calls may be given back in one, or in parts: after the write, or instead of it. The
 * metadata's own reserve is never given out. Parity is reckoned in its most wasteful form, so near the end what is
 * promised and not yet written may be refused once more than it will take: write it, give it back, and ask again.
 * Cheap: no system call most of the time. */
int raid_reserve(struct raid *r, uint64_t len);
void raid_unreserve(struct raid *r, uint64_t len);

/* ---- the log: batches in a chain, on every shard ---- */

#define RAID_BATCH_MAX ((size_t)(256 * MIB)) /* bytes of a batch, at most */
/* What an append adds to its bytes; all of it takes whole blocks of BLOCK_LEN on each shard. */
#define RAID_BATCH_HEAD ((size_t)128)

/* Append one batch; returns when every shard of the epoch has it on disk. One call at a time.
 * @seq  out: its sequence number, greater than the last one's; usually one more, but a shard that rejoins takes a
 *       number for itself
 * -EINVAL (longer than RAID_BATCH_MAX), -ENOMEM, -ENOSPC: it may be tried again. -EIO (too few shards left), -EROFS:
 * the volume is read-only from here on. A batch that failed may still be there after a crash, until a later append
 * succeeds. */
int raid_log_append(struct raid *r, const struct iovec *iov, unsigned nr_iov, uint64_t *seq);

/* Call @fn for each batch with a sequence number >= @from, in order; only before the first append and checkpoint. The
 * bytes are borrowed. A non-zero return of @fn stops and is returned. -EBADMSG: @from is not there any more, or one
 * after it is damaged on every shard; @fn was not called then. After an open with salvage it goes as far as it can and
 * says so through log_error(). */
int raid_log_replay(struct raid *r, uint64_t from,
		    int (*fn)(void *arg, uint64_t seq, const uint8_t *data, size_t len), void *arg);

uint64_t
raid_log_next(const struct raid *r); /* the sequence number of the next append, or less than it */
uint64_t raid_log_bytes(const struct raid *r); /* held by log files on one shard */
/* Bytes that the log can still take, beside the next checkpoint, on the shard that has least; 0: that has no room itself.
 * What data has not taken yet counts, and the reserve that data does not get. May ask the file systems. */
uint64_t raid_log_room(struct raid *r);

/* ---- checkpoints: a full image, on every shard, that replaces the log before a sequence number ---- */

struct checkpoint;
/* True while a checkpoint would mend something: a shard that came back stale rejoins with it, a copy that was found
 * damaged is replaced by it. To be asked after the open and now and then; one that fails may be tried again later. */
bool raid_wants_checkpoint(struct raid *r);

/* One at a time; runs beside appends. The image says: replay batches from @seq on; raid_log_next() at most, not less
 * than the last one's. -EINVAL, -ENOMEM, -ENOSPC, -EIO, -EROFS. */
int raid_checkpoint_begin(struct raid *r, uint64_t seq, struct checkpoint **out);
int raid_checkpoint_write(struct checkpoint *c, const void *data, size_t len);
/* Make it durable and the newest, then drop checkpoints but the last two and log files that both do not need; shards
 * that were stale and have it are members of the next epoch. Frees @c in any case. -ENOSPC: as if it had not been. */
int raid_checkpoint_commit(struct checkpoint *c);
void raid_checkpoint_abort(struct checkpoint *c);

/* Read the newest good image (an older one when the newest is bad on every shard): first *seq is set, then @fn gets
 * its bytes in pieces. -ENOENT: the volume has none yet. -EBADMSG: there are some, none is good. */
int raid_checkpoint_read(struct raid *r, uint64_t *seq,
			 int (*fn)(void *arg, const uint8_t *data, size_t len), void *arg);

/* ---- state, for `.stats` and matfsctl ---- */

enum shard_state {
	SHARD_ONLINE,  /* a member of the epoch */
	SHARD_MISSING, /* not there at open */
	SHARD_FAILED,  /* voted out since */
	SHARD_STALE,   /* came back with an old epoch; its log is not used until it has rejoined */
};
extern const char *const shard_state_name[];

struct shard_stat {
	const char *path; /* NULL when missing; the raid's */
	enum shard_state state;
	uint64_t used; /* bytes of live chunks */
	uint64_t nr_reads, read_bytes;
	uint64_t nr_writes, write_bytes;
	uint64_t nr_errors; /* I/O errors */
	uint64_t nr_wrong;  /* chunks that failed verification */
	uint64_t nr_repaired;
	struct raid_space space; /* of the underlying file system: total, avail; used unset */
};

struct raid_stat {
	uint64_t epoch;
	uint64_t members;   /* mask of the shards of the epoch */
	unsigned nr_lost;   /* shards of the volume that are not members */
	bool redundant;	    /* new stripes get their full parity */
	const char *engine; /* the store's name */
	uint64_t log_seq, log_bytes, nr_batches, checkpoint_seq, nr_checkpoints;
	uint64_t nr_rebuilt; /* chunks reconstructed in reads */
	uint64_t promised;   /* bytes, by raid_reserve() */
};
void raid_stat_get(struct raid *r, struct raid_stat *out);
void raid_shard_stat(struct raid *r, unsigned idx, struct shard_stat *out);

/* Look at each shard (is it still there?) and vote out what is gone; called before every commit. */
void raid_check(struct raid *r);

/* ---- digging, for matfsctl extract: works on shards alone, without a volume ---- */

/* A chunk found by its head, its payload verified. */
struct chunk_found {
	uint8_t uuid[RAID_UUID_LEN];
	struct stripe_owner owner;
	uint8_t k, m, idx; /* idx: which chunk of the stripe */
	uint32_t stripe_len;
	const uint8_t *payload; /* borrowed, only during the call */
	size_t payload_len;
};
/* Call @fn for every intact chunk in the shard directory @path. */
int raid_dig(const struct store_ops *ops, const char *path,
	     int (*fn)(void *arg, const struct chunk_found *c), void *arg);
/* Join at least k of a stripe's chunks: @payload[idx] NULL where missing. Writes @stripe_len bytes to @buf. */
int raid_join(unsigned k, unsigned m, const uint8_t *const payload[], size_t payload_len,
	      uint32_t stripe_len, uint8_t *buf);

#endif
