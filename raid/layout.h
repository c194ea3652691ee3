/* Where a stripe goes: which shards, how many chunks, how long. Pure arithmetic; nothing here does
 * I/O or waits.
 *
 * All space is counted in blocks of BLOCK_LEN. Threads: any. */
#ifndef RAID_LAYOUT_H
#define RAID_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/base.h"
#include "raid/raid.h"

/* Stripes of at least this many stored bytes may spend LAYOUT_WASTE_MAX of space for being read
 * from more shards. */
#define LAYOUT_WIDE_LEN (256 * KIB)

/* A shard that could take chunks. */
struct layout_cand {
	uint8_t shard;
	uint64_t blocks; /* free */
};

struct layout {
	uint8_t k, m;
	uint32_t payload_len;		 /* bytes of each chunk without its head */
	uint32_t blocks;		 /* of each chunk */
	uint8_t shard[STRIPE_WIDTH_MAX]; /* k data in order, then m parity */
};

/* Payload bytes of each chunk of a stripe of @len bytes in @k data chunks: equal for all, k
 * times it is at least @len. With k > 1 a multiple of 64, so that parity runs over whole
 * vectors. */
uint32_t layout_payload_len(uint32_t len, unsigned k);

/* Blocks on disk of each chunk, head included. */
uint32_t layout_blocks(uint32_t len, unsigned k);

/* The number of data chunks for @len bytes when @nr shards have room: the one that takes the
 * least space, for long stripes the widest within 5 % of that. 0 when @nr is less than 1 + @m.
 * @k_max: 1 for raid1. */
unsigned layout_width(unsigned nr, unsigned m, unsigned k_max, uint32_t len);

/* Choose shards among @cand: those with the most room, in turns (by @gen) among about equals;
 * parity rotates as well. Returns 0, or -ENOSPC when fewer than 1 + @m of them have room for a
 * chunk. */
int layout_choose(const struct layout_cand *cand, unsigned nr, unsigned m, unsigned k_max,
		  uint32_t len, uint64_t gen, struct layout *out);

/* How many blocks of stripes fit on shards with @room[0..nr) free (in any order), counted before
 * parity and whatever their lengths: each stripe counts as the blocks of one copy,
 * layout_blocks(len, 1). Holds for chunks that can be cut anywhere, as with layout_fill(). Each
 * block taken from a shard lowers it by one at most. */
uint64_t layout_promise(const uint64_t *room, unsigned nr, unsigned m, unsigned k_max);

/* How many of @want stripes of @len bytes fit at once on shards with @blocks[0..nr) free,
 * written as layout_choose() does, as if chunks could be cut anywhere; their blocks are taken
 * from @blocks, whose order changes. The caller subtracts a chunk a shard where it needs a bound
 * that holds for whole chunks. Fractions of a stripe are not counted. */
uint64_t layout_fill(uint64_t *blocks, unsigned nr, unsigned m, unsigned k_max, uint32_t len,
		     uint64_t want);

#endif
