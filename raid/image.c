/* The format of checkpoints, "ckpt/%016x" by the sequence number to replay from; the same bytes on every shard.
 *
 *   head, one block:                        frame, each at a multiple of a block, and the tail:
 *   off  len  field                          off  len  field
 *     0    8  magic "MATFSIMG"                 0    4  magic "IMGF", of the tail "IMGT"
 *     8    4  version                          4    4  length of the payload; of the tail 0
 *    12    4  length: 4096                     8    8  checksum: XXH3-64, seeded with the nonce, of head and
 *    16    8  checksum: XXH3-64, this                  payload, this field as zeros
 *             field as zeros                  16    8  idx: number of the frame; of the tail how many there are
 *    24    8  seq                             24    8  total: payload bytes of the frames before
 *    32   16  volume uuid                     32    .  payload, then zeros up to a block
 *    48    8  epoch
 *    56    8  nonce: random, of this writing */
#include "raid/image.h"

#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the state on the stack: nothing there can fail */

#include "conf/base.h"
#include "conf/bytes.h"
#include "conf/xxh3.h"

#define IMAGE_MAGIC   "MATFSIMG"
#define IMAGE_SUM_OFF 16
#define FRAME_MAGIC   0x46474d49u /* "IMGF" */
#define TAIL_MAGIC    0x54474d49u /* "IMGT" */
#define FRAME_SUM_OFF 8

static uint64_t head_sum(const uint8_t *buf)
{
	uint8_t copy[IMAGE_HEAD_LEN];

	memcpy(copy, buf, sizeof(copy));
	put_u64(copy + IMAGE_SUM_OFF, 0);
	return XXH3_64bits(copy, sizeof(copy));
}

void image_head_encode(const struct image_head *h, uint8_t buf[IMAGE_HEAD_LEN])
{
	struct wbuf w = wbuf_init(buf, IMAGE_HEAD_LEN);

	memset(buf, 0, IMAGE_HEAD_LEN);
	wbuf_bytes(&w, IMAGE_MAGIC, 8);
	wbuf_u32(&w, IMAGE_VERSION);
	wbuf_u32(&w, IMAGE_HEAD_LEN);
	wbuf_u64(&w, 0);
	wbuf_u64(&w, h->seq);
	wbuf_bytes(&w, h->uuid, RAID_UUID_LEN);
	wbuf_u64(&w, h->epoch);
	wbuf_u64(&w, h->nonce);
	put_u64(buf + IMAGE_SUM_OFF, head_sum(buf));
}

int image_head_decode(const uint8_t *buf, size_t len, struct image_head *out)
{
	struct rbuf r = rbuf_init(buf, len);
	struct image_head h;
	uint32_t version;

	if (len < IMAGE_HEAD_LEN || memcmp(buf, IMAGE_MAGIC, 8) != 0)
		return -EBADMSG;
	version = get_u32(buf + 8);
	if (version == 0 || get_u32(buf + 12) != IMAGE_HEAD_LEN ||
	    get_u64(buf + IMAGE_SUM_OFF) != head_sum(buf))
		return -EBADMSG;
	if (version > IMAGE_VERSION)
		return -EPROTONOSUPPORT;
	r.pos = IMAGE_SUM_OFF + 8;
	h.seq = rbuf_u64(&r);
	rbuf_bytes(&r, h.uuid, RAID_UUID_LEN);
	h.epoch = rbuf_u64(&r);
	h.nonce = rbuf_u64(&r);
	if (h.seq == 0)
		return -EBADMSG;
	*out = h;
	return 0;
}

static uint64_t frame_sum(const uint8_t *buf, size_t len, uint64_t nonce)
{
	static const uint8_t none[8];
	XXH3_state_t state;

	XXH3_INITSTATE(&state); /* reset_withSeed() looks at what was there before */
	XXH3_64bits_reset_withSeed(&state, nonce);
	XXH3_64bits_update(&state, buf, FRAME_SUM_OFF);
	XXH3_64bits_update(&state, none, sizeof(none));
	XXH3_64bits_update(&state, buf + FRAME_SUM_OFF + 8, len - FRAME_SUM_OFF - 8);
	return XXH3_64bits_digest(&state);
}

size_t image_frame_encode(const struct image_frame *f, uint64_t nonce, uint8_t *buf)
{
	size_t len = IMAGE_FRAME_HEAD + f->len;
	size_t blocks = round_up(len, BLOCK_LEN);

	put_u32(buf, f->tail ? TAIL_MAGIC : FRAME_MAGIC);
	put_u32(buf + 4, f->len);
	put_u64(buf + 16, f->idx);
	put_u64(buf + 24, f->total);
	put_u64(buf + FRAME_SUM_OFF, frame_sum(buf, len, nonce));
	memset(buf + len, 0, blocks - len);
	return blocks;
}

int image_frame_decode(const uint8_t *buf, size_t len, uint64_t nonce, struct image_frame *out)
{
	struct image_frame f;
	uint32_t magic;

	if (len < IMAGE_FRAME_HEAD)
		return -EBADMSG;
	magic = get_u32(buf);
	f.len = get_u32(buf + 4);
	f.idx = get_u64(buf + 16);
	f.total = get_u64(buf + 24);
	f.tail = magic == TAIL_MAGIC;
	if (magic != FRAME_MAGIC && !f.tail)
		return -EBADMSG;
	if (f.len > IMAGE_FRAME_MAX - IMAGE_FRAME_HEAD || (f.len == 0) != f.tail ||
	    round_up(IMAGE_FRAME_HEAD + f.len, BLOCK_LEN) > len)
		return -EBADMSG;
	if (get_u64(buf + FRAME_SUM_OFF) != frame_sum(buf, IMAGE_FRAME_HEAD + f.len, nonce))
		return -EBADMSG;
	*out = f;
	return 0;
}
