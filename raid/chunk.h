/* The head that stands before every chunk on a shard; the byte table is in chunk.c. */
#ifndef RAID_CHUNK_H
#define RAID_CHUNK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "raid/raid.h"

#define CHUNK_HEAD_LEN 128 /* bytes; the payload follows directly */

struct chunk_head {
	uint8_t uuid[RAID_UUID_LEN]; /* the volume */
	struct stripe_owner owner;
	uint8_t k, m, idx;    /* idx: which chunk of the stripe, data first */
	uint32_t stripe_len;  /* bytes of the stripe, all data chunks together */
	uint32_t payload_len; /* bytes of this chunk, layout_payload_len() of the above */
	uint64_t payload_sum; /* chunk_sum() of them */
};

void chunk_head_put(const struct chunk_head *h, uint8_t buf[CHUNK_HEAD_LEN]);

/* Returns 0 or -EBADMSG: not a head, or one that is damaged or makes no sense. */
int chunk_head_get(const uint8_t *buf, size_t len, struct chunk_head *out);

/* The head of chunk @idx of a stripe in the volume @uuid, all but the sum of its payload. */
struct chunk_head chunk_head_of(const uint8_t *uuid, const struct stripe_owner *owner,
				const struct stripe_loc *loc, unsigned idx);

/* Is @h the head that @want should be, but for the sum of the payload and what the owner does
 * not identify (raw_len)? */
bool chunk_head_matches(const struct chunk_head *h, const struct chunk_head *want);

/* XXH3-64 of the bytes of @iov together. */
uint64_t chunk_sum(const struct iovec *iov, unsigned nr_iov);

#endif
