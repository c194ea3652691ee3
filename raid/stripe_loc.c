/* Where a stripe's chunks are, as bytes for the metadata.
 *
 *   off  len
 *     0    1  k
 *     1    1  m
 *     2    4  len, the stripe's stored bytes
 *     6    9  for each of the k + m chunks: shard (1), segment (4), block (4)
 *
 * Whoever stores it adds the checksum. */
#include "raid/raid.h"

#include "conf/bytes.h"
#include "raid/layout.h"
#include "raid/segment.h"

#define LOC_FIXED_LEN 6
#define LOC_CHUNK_LEN 9

size_t stripe_loc_put(const struct stripe_loc *loc, uint8_t buf[STRIPE_LOC_MAX])
{
	struct wbuf w = wbuf_init(buf, STRIPE_LOC_MAX);

	wbuf_u8(&w, loc->k);
	wbuf_u8(&w, loc->m);
	wbuf_u32(&w, loc->len);
	for (unsigned i = 0; i < loc->k + loc->m; i++) {
		wbuf_u8(&w, loc->chunk[i].shard);
		wbuf_u32(&w, loc->chunk[i].segment);
		wbuf_u32(&w, loc->chunk[i].block);
	}
	return w.pos;
}

static bool loc_sane(const struct stripe_loc *loc)
{
	uint32_t blocks = layout_blocks(loc->len, loc->k);
	uint64_t seen = 0;

	for (unsigned i = 0; i < loc->k + loc->m; i++) {
		const struct chunk_loc *c = &loc->chunk[i];

		if (c->shard >= SHARD_MAX || (seen & (1ULL << c->shard)))
			return false;
		seen |= 1ULL << c->shard;
		if (c->block > SEGMENT_BLOCKS_MAX - blocks)
			return false;
	}
	return true;
}

int stripe_loc_get(const uint8_t *buf, size_t len, struct stripe_loc *loc)
{
	struct rbuf r = rbuf_init(buf, len);
	struct stripe_loc l = {0};

	l.k = rbuf_u8(&r);
	l.m = rbuf_u8(&r);
	l.len = rbuf_u32(&r);
	if (r.bad || !l.k || l.k + l.m > STRIPE_WIDTH_MAX || (l.k > 1 && l.m > 2))
		return -EBADMSG;
	if (!l.len || l.len > RAID_STRIPE_MAX)
		return -EBADMSG;
	for (unsigned i = 0; i < l.k + l.m; i++) {
		l.chunk[i].shard = rbuf_u8(&r);
		l.chunk[i].segment = rbuf_u32(&r);
		l.chunk[i].block = rbuf_u32(&r);
	}
	if (r.bad || !loc_sane(&l))
		return -EBADMSG;
	*loc = l;
	return 0;
}

uint64_t stripe_loc_bytes(const struct stripe_loc *loc)
{
	return (uint64_t)(loc->k + loc->m) * layout_blocks(loc->len, loc->k) * BLOCK_LEN;
}
