/* What is free on the shards, and what of it is promised.
 *
 * The numbers come from the file systems below (statfs, at most every 200 ms unless space is
 * short), the allocations since then, and the preallocated tails of the segments. Shards on one
 * device share its free bytes evenly. Of each shard a reserve stays with the metadata: see
 * space_set_image(). Threads: any, after space_new(). */
#ifndef RAID_SPACE_H
#define RAID_SPACE_H

#include "raid/layout.h"
#include "raid/shard.h"

/* Make r->space, and r->scratch and r->sync_lock with it; the shards' stores are attached, their
 * segments open. Returns 0, -ENOMEM, or an error of a store. */
int space_new(struct raid *r);
/* Before the segments are closed. Nothing when there is none. */
void space_free(struct raid *r);

/* A checkpoint takes @image_len bytes of each shard. Room is kept there for the log, 32 MiB but no more than 1/32 of the
 * shard, and for two more such checkpoints, but no more than 1/8 of it. Until it is called: for none. */
void space_set_image(struct raid *r, uint64_t image_len);
uint64_t space_promised(const struct raid *r); /* bytes */

/* The online shards with room, and how much. @deep: down to the last block, the metadata's
 * reserve included, which a write that was promised may touch before it fails. */
unsigned space_cands(struct raid *r, bool deep, struct layout_cand out[SHARD_MAX]);

/* @s answered -ENOSPC: count it as full until the numbers are taken anew. */
void space_full(struct shard *s);

/* Space came back, or a shard went: do not rely on old numbers for saying no. */
void space_stale(struct raid *r);

/* How far ahead of need to allocate on @s now, in bytes: less as space gets short, down to 0. */
uint64_t space_ahead(struct shard *s);

/* Parity that new stripes get with the shards that are there: less than raid_parity() when too
 * few are. */
unsigned space_parity(const struct raid *r);

/* Data chunks that a stripe may have. */
unsigned space_k_max(const struct raid *r, unsigned m);

#endif
