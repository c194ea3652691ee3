/* What is free on the shards, and what of it is promised.
 *
 * The numbers come from the file systems below (statfs, at most every 200 ms unless space is
 * short), the allocations since then, and the preallocated tails of the segments. Shards on one
 * device share its free bytes evenly. Of each shard a reserve stays with the metadata: see
 * space_set_meta(). Threads: any, after space_new(). */
#ifndef RAID_SPACE_H
#define RAID_SPACE_H

#include "raid/layout.h"
#include "raid/shard.h"

/* Make r->space, and r->scratch and r->sync_lock with it; the shards' stores are attached, their
 * segments open. Returns 0, -ENOMEM, or an error of a store. */
int space_new(struct raid *r);
/* Before the segments are closed. Nothing when there is none. */
void space_free(struct raid *r);

/* Bytes that log and checkpoints may still come to need on each shard, beyond what they occupy.
 * Until it is called: 32 MiB. Never more than a 1/32 of the shard is kept for them. */
void space_set_meta(struct raid *r, uint64_t bytes);
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
