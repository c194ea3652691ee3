/* The head of a chunk, 128 bytes, little-endian:
 *
 *   off  len
 *     0    8  magic "matfschk"
 *     8    2  version, 1
 *    10    2  length of the head, 128
 *    12    1  k, data chunks of the stripe
 *    13    1  m, parity chunks
 *    14    1  idx, which of them this is, data first
 *    15    1  0
 *    16    8  XXH3-64 of the head, this field taken as 0
 *    24   16  uuid of the volume
 *    40    8  gen, of the stripe: newest wins
 *    48    8  inode
 *    56    8  offset in the file, bytes
 *    64    4  bytes of the file, decoded
 *    68    4  stored bytes of the stripe, all data chunks together
 *    72    4  bytes of this chunk's payload
 *    76    4  0
 *    80    8  XXH3-64 of the payload
 *    88   40  0
 *
 * Payload, then zeros to the next multiple of BLOCK_LEN. Data chunk i holds the stripe's bytes
 * from i * payload length on, zeros behind its end. A chunk stands alone: it says what it is
 * even when all metadata is gone. */
#include "raid/chunk.h"

#include <string.h>

/* Debian's library chooses the vector instructions at run time through these; XXH3_64bits()
 * itself is built for the oldest machine and takes twice the time. */
/* For XXH3_state_t on the stack; its layout is the same in all of 0.8. */
#define XXH_STATIC_LINKING_ONLY
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#endif

#include "conf/bytes.h"
#include "raid/layout.h"
#include "conf/xxh3.h"

#define MAGIC	"matfschk"
#define VERSION 1
#define SUM_OFF 16

_Static_assert(RAID_LEAST_LEN == BLOCK_LEN - CHUNK_HEAD_LEN, "a chunk of one block");

static uint64_t head_sum(const uint8_t *buf)
{
	uint8_t copy[CHUNK_HEAD_LEN];

	memcpy(copy, buf, sizeof(copy));
	memset(copy + SUM_OFF, 0, 8);
	return XXH3_64bits(copy, sizeof(copy));
}

void chunk_head_put(const struct chunk_head *h, uint8_t buf[CHUNK_HEAD_LEN])
{
	memset(buf, 0, CHUNK_HEAD_LEN);
	memcpy(buf, MAGIC, 8);
	put_u16(buf + 8, VERSION);
	put_u16(buf + 10, CHUNK_HEAD_LEN);
	put_u8(buf + 12, h->k);
	put_u8(buf + 13, h->m);
	put_u8(buf + 14, h->idx);
	memcpy(buf + 24, h->uuid, RAID_UUID_LEN);
	put_u64(buf + 40, h->owner.gen);
	put_u64(buf + 48, h->owner.ino);
	put_u64(buf + 56, h->owner.file_off);
	put_u32(buf + 64, h->owner.raw_len);
	put_u32(buf + 68, h->stripe_len);
	put_u32(buf + 72, h->payload_len);
	put_u64(buf + 80, h->payload_sum);
	put_u64(buf + SUM_OFF, head_sum(buf));
}

static bool head_sane(const struct chunk_head *h)
{
	if (!h->k || h->k + h->m > STRIPE_WIDTH_MAX || h->idx >= h->k + h->m ||
	    (h->k > 1 && h->m > 2))
		return false;
	if (!h->stripe_len || h->stripe_len > RAID_STRIPE_MAX)
		return false;
	return h->payload_len == layout_payload_len(h->stripe_len, h->k);
}

int chunk_head_get(const uint8_t *buf, size_t len, struct chunk_head *out)
{
	struct chunk_head h;

	if (len < CHUNK_HEAD_LEN || memcmp(buf, MAGIC, 8) || get_u16(buf + 8) != VERSION)
		return -EBADMSG;
	if (get_u16(buf + 10) != CHUNK_HEAD_LEN || get_u64(buf + SUM_OFF) != head_sum(buf))
		return -EBADMSG;
	h = (struct chunk_head){
		.owner =
			{
				.gen = get_u64(buf + 40),
				.ino = get_u64(buf + 48),
				.file_off = get_u64(buf + 56),
				.raw_len = get_u32(buf + 64),
			},
		.k = get_u8(buf + 12),
		.m = get_u8(buf + 13),
		.idx = get_u8(buf + 14),
		.stripe_len = get_u32(buf + 68),
		.payload_len = get_u32(buf + 72),
		.payload_sum = get_u64(buf + 80),
	};
	memcpy(h.uuid, buf + 24, RAID_UUID_LEN);
	if (!head_sane(&h))
		return -EBADMSG;
	*out = h;
	return 0;
}

struct chunk_head chunk_head_of(const uint8_t *uuid, const struct stripe_owner *owner,
				const struct stripe_loc *loc, unsigned idx)
{
	struct chunk_head h = {
		.owner = *owner,
		.k = loc->k,
		.m = loc->m,
		.idx = (uint8_t)idx,
		.stripe_len = loc->len,
		.payload_len = layout_payload_len(loc->len, loc->k),
	};

	memcpy(h.uuid, uuid, sizeof(h.uuid));
	return h;
}

bool chunk_head_matches(const struct chunk_head *h, const struct chunk_head *want)
{
	return !memcmp(h->uuid, want->uuid, RAID_UUID_LEN) && h->owner.gen == want->owner.gen &&
	       h->owner.ino == want->owner.ino && h->owner.file_off == want->owner.file_off &&
	       h->k == want->k && h->m == want->m && h->idx == want->idx &&
	       h->stripe_len == want->stripe_len && h->payload_len == want->payload_len;
}

uint64_t chunk_sum(const struct iovec *iov, unsigned nr_iov)
{
	XXH3_state_t state;

	if (nr_iov == 1)
		return XXH3_64bits(iov[0].iov_base, iov[0].iov_len);
	XXH3_64bits_reset(&state);
	for (unsigned i = 0; i < nr_iov; i++)
		XXH3_64bits_update(&state, iov[i].iov_base, iov[i].iov_len);
	return XXH3_64bits_digest(&state);
}
