/* Where chunks lie on one shard: large append-only files "seg/NNNNNNNN" (hexadecimal number), one
 * being filled.
 *
 * Chunks are appended, BLOCK_LEN aligned; an address is never used twice, not even after a crash:
 * opening starts behind everything that is there. Freed ranges are punched out; a full segment with
 * nothing live left is deleted, but never the one with the highest number, which is what the next
 * open counts on from.
 *
 * What is live in the segments found at open is unknown until segment_settle() has said so for
 * each: nothing is deleted before. Threads: any. Errors: negative errnos. */
#ifndef RAID_SEGMENT_H
#define RAID_SEGMENT_H

#include "raid/shard.h"

#define SEGMENT_LEN_MAX	   (1 * GIB)
#define SEGMENT_BLOCKS_MAX ((uint32_t)(SEGMENT_LEN_MAX / BLOCK_LEN))

struct segments;
struct seg;

/* Find the segments of @s (the directory is made when the volume is writable). Returns 0,
 * -ENOMEM or the store's error. */
int segments_open(struct shard *s, struct segments **out);
/* Gives back what was allocated ahead. Nobody has anything pinned. NULL is fine. */
void segments_close(struct segments *g);

/* Take @nr_blocks of space for one chunk, backed by allocated disk space where the store can do
 * that. -ENOSPC, or the store's error. */
int segment_alloc(struct segments *g, uint32_t nr_blocks, struct chunk_loc *out);

/* The open file of a segment, which stays open, and its name on the shard if it was there, until
 * put. */
struct segment_pin {
	struct store_file *file;
	struct seg *seg; /* segment.c's */
};
/* -ENOENT: there is no such segment. */
int segment_get(struct segments *g, uint32_t number, struct segment_pin *out);
void segment_put(struct segments *g, struct segment_pin *pin);

/* Make a segment anew whose file is gone from the shard, to hold chunks rebuilt from the others.
 * 0 also when it is there. */
int segment_revive(struct segments *g, uint32_t number);

/* Live stripes name @number: never give that number to a new segment, though its file is gone. */
void segments_skip(struct segments *g, uint32_t number);

/* A chunk was written to the pinned segment: the next segments_sync_begin() names it. */
void segment_dirty(struct segments *g, const struct segment_pin *pin);

/* Give a chunk's blocks back. -ENOENT: there is no such segment; -EINVAL: it has not that much
 * in use. */
int segment_free(struct segments *g, uint32_t number, uint32_t block, uint32_t nr_blocks);

/* Blocks of one segment. */
struct segment_span {
	uint32_t block, nr_blocks;
};
/* The same for many, all of segment @number, none overlapping another: neighbours at once. @span is sorted. */
int segment_free_many(struct segments *g, uint32_t number, struct segment_span *span, unsigned nr);

/* Syncing. _begin pins the files written since the last one, up to @max; *more says that there
 * are others, for a next pair. The caller syncs each file, then calls _end, which syncs the
 * directory when files were made in it, and drops the pins. One pair at a time. _begin returns
 * the number of pins, _end 0 or the error of the directory. */
unsigned segments_sync_begin(struct segments *g, struct segment_pin *pin, unsigned max, bool *more);
int segments_sync_end(struct segments *g, struct segment_pin *pin, unsigned nr);

/* Blocks that segment_alloc() has given out since open; only grows. */
uint64_t segments_allocated(const struct segments *g);
/* Bytes of live chunks. */
uint64_t segments_used(const struct segments *g);
/* Blocks allocated ahead and not given out. Waits for an allocation under way. */
uint64_t segments_ahead(struct segments *g);
/* Give back what was allocated ahead, for other shards on the same device. */
void segments_trim(struct segments *g);

/* The numbers of all segments, ascending, malloced. 0 or -ENOMEM. */
int segments_numbers(struct segments *g, uint32_t **out, unsigned *nr);
/* @live blocks of a segment found at open are live. A segment without any is deleted, if @apply. */
void segment_settle(struct segments *g, uint32_t number, uint64_t live, bool apply);

#endif
