/* Batches on disk. A batch starts on a block, its rest of the last block is zeros:
 *
 *   off  len  field
 *     0    8  magic "MATFSLOG"
 *     8    4  version
 *    12    4  length: head and payload
 *    16    8  checksum: XXH3-64 of the 128 bytes of the head, this field as zeros
 *    24    8  seq
 *    32   16  volume uuid
 *    48    8  epoch
 *    56    8  nonce of the epoch
 *    64    8  members: mask of the epoch's shards
 *    72    8  prev: the checksum of the batch before
 *    80    8  XXH3-64 of the payload
 *    88    4  flags
 *    92   36  zeros
 *   128    .  payload
 *
 * Whole blocks, not sectors of 512 bytes: most disks have physical sectors of 4 KiB, and when they tear a smaller write
 * the neighbour in the same sector, acknowledged long ago, goes with it. */
#include "raid/batch.h"

#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the state on the stack: nothing there can fail */

#include "conf/base.h"
#include "conf/bytes.h"
#include "conf/xxh3.h"

#define BATCH_MAGIC   "MATFSLOG"
#define BATCH_SUM_OFF 16
#define SCAN_READ_LEN ((size_t)MIB)

uint64_t batch_payload_sum(const struct iovec *iov, unsigned nr_iov)
{
	XXH3_state_t state;

	XXH3_64bits_reset(&state);
	for (unsigned i = 0; i < nr_iov; i++)
		XXH3_64bits_update(&state, iov[i].iov_base, iov[i].iov_len);
	return XXH3_64bits_digest(&state);
}

static uint64_t batch_head_sum(const uint8_t *buf)
{
	uint8_t copy[BATCH_HEAD_LEN];

	memcpy(copy, buf, sizeof(copy));
	put_u64(copy + BATCH_SUM_OFF, 0);
	return XXH3_64bits(copy, sizeof(copy));
}

void batch_encode(struct batch *b, uint8_t *buf)
{
	struct wbuf w = wbuf_init(buf, BATCH_HEAD_LEN);

	memset(buf, 0, BATCH_HEAD_LEN);
	wbuf_bytes(&w, BATCH_MAGIC, 8);
	wbuf_u32(&w, BATCH_VERSION);
	wbuf_u32(&w, b->len);
	wbuf_u64(&w, 0);
	wbuf_u64(&w, b->seq);
	wbuf_bytes(&w, b->uuid, RAID_UUID_LEN);
	wbuf_u64(&w, b->epoch);
	wbuf_u64(&w, b->nonce);
	wbuf_u64(&w, b->members);
	wbuf_u64(&w, b->prev);
	wbuf_u64(&w, b->payload_sum);
	wbuf_u32(&w, b->flags);
	b->sum = batch_head_sum(buf);
	put_u64(buf + BATCH_SUM_OFF, b->sum);
}

int batch_decode(const uint8_t *buf, size_t len, struct batch *out)
{
	struct rbuf r = rbuf_init(buf, len);
	struct batch b = {0};
	uint32_t version;

	if (len < BATCH_HEAD_LEN || memcmp(buf, BATCH_MAGIC, 8) != 0)
		return -EBADMSG;
	version = get_u32(buf + 8);
	if (version == 0 || get_u64(buf + BATCH_SUM_OFF) != batch_head_sum(buf))
		return -EBADMSG;
	if (version > BATCH_VERSION)
		return -EPROTONOSUPPORT;
	r.pos = 12;
	b.len = rbuf_u32(&r);
	b.sum = rbuf_u64(&r);
	b.seq = rbuf_u64(&r);
	rbuf_bytes(&r, b.uuid, RAID_UUID_LEN);
	b.epoch = rbuf_u64(&r);
	b.nonce = rbuf_u64(&r);
	b.members = rbuf_u64(&r);
	b.prev = rbuf_u64(&r);
	b.payload_sum = rbuf_u64(&r);
	b.flags = rbuf_u32(&r);
	if (b.len < BATCH_HEAD_LEN || b.len > BATCH_HEAD_LEN + RAID_BATCH_MAX || b.seq == 0 ||
	    b.epoch == 0 || b.members == 0)
		return -EBADMSG;
	*out = b;
	return 0;
}

bool batch_payload_ok(const struct batch *b, const uint8_t *payload)
{
	return XXH3_64bits(payload, b->len - BATCH_HEAD_LEN) == b->payload_sum;
}

/* The part of the file that is in memory. */
struct window {
	const struct batch_scan *scan;
	uint8_t *buf;
	size_t cap;
	uint64_t off; /* of buf[0] in the file */
	size_t len;   /* valid bytes */
};

/* Have [@off, @off + @len) in memory. */
static int window_need(struct window *w, uint64_t off, size_t len, const uint8_t **out)
{
	const struct batch_scan *s = w->scan;
	size_t want;
	int err;

	if (off >= w->off && off + len <= w->off + w->len) {
		*out = w->buf + (off - w->off);
		return 0;
	}
	want = (size_t)MIN((uint64_t)MAX(len, SCAN_READ_LEN), s->size - off);
	if (want > w->cap) {
		uint8_t *buf = realloc(w->buf, want);

		if (!buf)
			return -ENOMEM;
		w->buf = buf;
		w->cap = want;
	}
	w->len = 0;
	err = s->read(s->arg, off, w->buf, want);
	/* One bad sector must not hide its neighbours. */
	if (err == -EIO && want > len) {
		want = len;
		err = s->read(s->arg, off, w->buf, want);
	}
	if (err)
		return err;
	w->off = off;
	w->len = want;
	*out = w->buf;
	return 0;
}

/* Look for a batch at @off. Returns 0, -EBADMSG when there is none, or what ends the scan. */
static int batch_at(struct window *w, uint64_t off, struct batch *b)
{
	const struct batch_scan *s = w->scan;
	uint64_t left = s->size - off;
	const uint8_t *p;
	int err;

	if (left < BATCH_HEAD_LEN)
		return -EBADMSG;
	err = window_need(w, off, (size_t)MIN(left, (uint64_t)BLOCK_LEN), &p);
	if (!err)
		err = batch_decode(p, BATCH_HEAD_LEN, b);
	if (!err && (memcmp(b->uuid, s->uuid, RAID_UUID_LEN) != 0 || b->len > left))
		err = -EBADMSG;
	if (!err)
		err = window_need(w, off, b->len, &p);
	if (!err && !batch_payload_ok(b, p + BATCH_HEAD_LEN))
		err = -EBADMSG;
	return err == -EIO ? -EBADMSG : err;
}

int batch_scan(const struct batch_scan *s)
{
	struct window w = {.scan = s};
	uint64_t off = 0;
	int err = 0;

	while (!err && off < s->size) {
		struct batch b;

		err = batch_at(&w, off, &b);
		if (!err) {
			err = s->found(s->arg, &b, off);
			off += batch_blocks_len(&b);
		} else if (err == -EBADMSG) {
			err = 0;
			off += BLOCK_LEN;
		}
	}
	free(w.buf);
	return err;
}
