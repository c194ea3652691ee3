/* One mounted file system: what all of this room's files share.
 *
 * Lock order, outermost first (README has the same list):
 *   txg gate (shared: every change; exclusive: the freeze of a commit)
 *   the index's write transaction
 *   inode->lock (the holder of the write transaction may take several, in any order; anyone else one at a time,
 *                and then begins no write transaction)
 *   leaves: inode table stripes, pool, cache shards, commit->lock, those of flush.c and recompress.c, codec's, raid's own
 */
#ifndef FS_FS_H
#define FS_FS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "codec/codec.h"
#include "conf/lock.h"
#include "fs/index.h"
#include "raid/raid.h"
#include "sched/worker.h"

#define INLINE_MAX 4096 /* bytes of a file kept in the index; a page, as the design has it */

struct cache;
struct commit;
struct inode_table;
struct arena;
struct writeback;
struct flush_pool;
struct recompress;
struct budget;

/* What a mount is made with; from struct conf in main.c, by hand in tests. */
struct fs_params {
	struct raid *raid;     /* owned by the fs from fs_open() on, also when that fails */
	const char *state_dir; /* where the index goes, a directory of this volume's alone */
	struct codec_opts codec;
	struct codec_gpu *gpu; /* owned by the fs as raid is; NULL: none */
	/* Bytes written to a file before its extents are offered to the GPUs; 0: at once. */
	uint64_t gpu_threshold;
	/* codec_offer() and codec_complete() when NULL; others in tests. */
	bool (*offer)(struct codec_gpu *gpu, struct codec_job *j);
	int (*complete)(struct codec_job *j);
	uint64_t memory_len; /* bytes for dirty data */
	uint64_t cache_len;  /* bytes for decoded extents */
	uint64_t memory_max; /* bytes for all of the process; 0: nobody looks */
	unsigned commit_s;   /* 0: no timer (tests) */
	uint64_t
		checkpoint_len; /* bytes of log after which a checkpoint is due; 0: by the volume's size */
	unsigned threads; /* workers */
	unsigned
		ragged_ms; /* for which nothing is written to a file before its pieces are made whole; 0: 10 s */
	bool relatime;
};

/* Extents that were encoded since the mount. */
struct fs_encoded {
	atomic_uint_fast64_t nr, raw, stored, ns;
};

struct fs_counters {
	atomic_uint_fast64_t nr_inodes;
	atomic_uint_fast64_t logical;	  /* bytes mapped by files */
	atomic_uint_fast64_t raw_live;	  /* raw bytes of live extents */
	atomic_uint_fast64_t stored_live; /* their stored bytes, before parity */
	atomic_uint_fast64_t nr_extents;
	atomic_uint_fast64_t raw_in, stored_in; /* encoded since the mount, as the next: */
	struct fs_encoded by[CODEC_BY_NR];
	atomic_uint_fast64_t why_nr[CODEC_WHY_NR], why_raw[CODEC_WHY_NR]; /* the same extents */
	atomic_uint_fast64_t nr_inline; /* tiny files put into the index since the mount */
};

struct fs {
	struct fs_params p;
	struct raid *raid;
	struct index *index;
	struct inode_table *inodes;
	struct commit *commit;
	struct arena *arena;
	struct writeback *writeback;
	struct flush_pool *flushes;
	struct recompress *recompress;
	struct cache *cache;
	struct budget *budget; /* NULL: nobody looks */
	struct worker_pool *workers;
	struct fs_counters n;
	bool rdonly;
	uint32_t extent_len;
	uint64_t mounted_ns;
	/* Grows; never used twice: bumped past the logged ceiling at each recovery. */
	atomic_uint_fast64_t next_ino, next_gen;
};

/* Bring a volume up: recover, reclaim, start threads. On failure one line in @why. Ends @p->raid and
 * @p->gpu in any case. */
int fs_open(const struct fs_params *p, struct fs **out, char *why, size_t why_len);

/* Everything durable, everything freed. Returns 0 or the error of the last commit: then the volume was left unclean,
 * and what could not be committed is lost (said in the log). */
int fs_close(struct fs *fs);

/* Stop as a killed process would: free memory, write nothing more. For crash tests. */
void fs_crash(struct fs *fs);

#endif
