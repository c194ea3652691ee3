/* Where chunks lie on one shard: large append-only files "seg/NNNNNNNN" (hexadecimal number), one being filled.
 *
 * Chunks are appended, BLOCK_LEN aligned; an address is never used twice, not even after a crash: opening starts behind
 * everything that is there. Freed ranges are punched out; a full segment with nothing live left is deleted.
 * Threads: any. Errors: negative errnos. */
#ifndef RAID_SEGMENT_H
#define RAID_SEGMENT_H

#include "raid/shard.h"

struct segments;

/* Find the segments of @s (the directory is made when the volume is writable). Returns 0, -ENOMEM or the store's error. */
int segments_open(struct shard *s, struct segments **out);
void segments_close(struct segments *g);

/* Take @nr_blocks of space for one chunk, backed by allocated disk space where the store can do that.
 * -ENOSPC, or the store's error. */
int segment_alloc(struct segments *g, uint32_t nr_blocks, struct chunk_loc *out);

/* The open file of a segment, pinned until put. -ENOENT: there is no such segment. */
int segment_get(struct segments *g, uint32_t number, struct store_file **out);
void segment_put(struct segments *g, uint32_t number);

/* A chunk was written to @number: segments_sync_list() will name it. */
void segment_dirty(struct segments *g, uint32_t number);

/* Give a chunk's blocks back. */
int segment_free(struct segments *g, uint32_t number, uint32_t block, uint32_t nr_blocks);

#endif
