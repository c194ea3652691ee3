/* The container of one extent. All numbers are little-endian.
 *
 *   off  size  field
 *     0     4  0x184D2A5D: a skippable frame of zstd, so that `zstd -dc` passes over the head ...
 *     4     4  32          ... which has this many bytes more
 *     8     2  magic, 'M' 'F'
 *    10     1  version, 1
 *    11     1  kind: 0 raw, 1 zstd, 2 fill
 *    12     1  width: byte planes, 1 (none), 2, 4 or 8
 *    13     1  filter: 0 none; 1 to 3 are reserved
 *    14     1  phase: bytes before the first item, less than the width
 *    15     1  flags, 0
 *    16     4  raw_len, 1 to CODEC_RAW_MAX
 *    20     4  stored_len, of the payload
 *    24     2  bias  (of the reserved filters; 0)
 *    26     2  dist  (of the reserved filters; 0)
 *    28     4  pitch (of the reserved filters; 0)
 *    32     4  checksum of the raw bytes
 *    36     4  checksum of bytes 8 to 36, seeded with the payload
 *    40     -  payload: the raw bytes; or zstd frames (RFC 8878) of the byte planes, in order,
 *              which may be cut into frames anywhere; or the byte to fill with
 *
 * Whatever follows the payload is padding. With width 1 the container is a legal zstd stream of the
 * extent.
 *
 * Checksums are the low 32 bits of XXH3-64. The last one is XXH3-64 of bytes 8 to 36 with a seed:
 * for zstd and fill the XXH3-64 of the payload, so that stored bytes can be verified without
 * decoding. For raw the seed is 0, as the payload is what the checksum at 32 covers: one pass over
 * the bytes, where two would be a third of all the work.
 *
 * Decoding takes nothing for granted. What has a right checksum but an id unknown here was written
 * by a later program and is -ENOTSUP; what no program writes is -EBADMSG. */
#include "codec/frame.h"

#include <errno.h>
#include <stdbool.h>
#include <xxhash.h>

#include "codec/planes.h"
#include "conf/bytes.h"

#define SKIPPABLE   0x184D2A5Du
#define MAGIC	    0x464Du /* "MF" */
#define VERSION	    1u
#define OFF_COVERED 8u
#define OFF_SUM	    36u

uint32_t frame_sum(const uint8_t *p, size_t len)
{
	return (uint32_t)XXH3_64bits(p, len);
}

static uint32_t head_sum(const uint8_t *head, const struct codec_info *info, const uint8_t *payload)
{
	uint64_t seed = 0;

	if (info->kind != CODEC_KIND_RAW)
		seed = XXH3_64bits(payload, info->stored_len);
	return (uint32_t)XXH3_64bits_withSeed(head + OFF_COVERED, OFF_SUM - OFF_COVERED, seed);
}

void frame_encode(const struct frame *f, const uint8_t *payload, uint8_t head[CODEC_HEAD_LEN])
{
	const struct codec_info *info = &f->info;
	struct wbuf w = wbuf_init(head, CODEC_HEAD_LEN);

	wbuf_u32(&w, SKIPPABLE);
	wbuf_u32(&w, CODEC_HEAD_LEN - OFF_COVERED);
	wbuf_u16(&w, MAGIC);
	wbuf_u8(&w, VERSION);
	wbuf_u8(&w, (uint8_t)info->kind);
	wbuf_u8(&w, info->width);
	wbuf_u8(&w, (uint8_t)info->filter);
	wbuf_u8(&w, info->phase);
	wbuf_u8(&w, 0);
	wbuf_u32(&w, info->raw_len);
	wbuf_u32(&w, info->stored_len);
	wbuf_u16(&w, 0);
	wbuf_u16(&w, 0);
	wbuf_u32(&w, 0);
	wbuf_u32(&w, f->raw_sum);
	wbuf_u32(&w, head_sum(head, info, payload));
}

/* The rules between kind, width and lengths that every encoder keeps. */
static bool ranges_ok(const struct codec_info *info)
{
	switch (info->kind) {
	case CODEC_KIND_RAW:
		return info->width == 1 && info->stored_len == info->raw_len;
	case CODEC_KIND_FILL:
		return info->width == 1 && info->stored_len == 1;
	case CODEC_KIND_ZSTD:
		return planes_width_ok(info->width) && info->phase < info->width &&
		       info->stored_len < info->raw_len;
	}
	return false;
}

int frame_decode(const uint8_t *enc, size_t len, struct frame *f)
{
	struct rbuf r = rbuf_init(enc, len);
	struct frame got = {0};
	unsigned kind, filter, flags;
	bool filter_fields;

	if (rbuf_u32(&r) != SKIPPABLE || rbuf_u32(&r) != CODEC_HEAD_LEN - OFF_COVERED ||
	    rbuf_u16(&r) != MAGIC)
		return -EBADMSG;
	if (rbuf_u8(&r) != VERSION)
		return r.bad ? -EBADMSG : -ENOTSUP;
	kind = rbuf_u8(&r);
	got.info.width = rbuf_u8(&r);
	filter = rbuf_u8(&r);
	got.info.phase = rbuf_u8(&r);
	flags = rbuf_u8(&r);
	got.info.raw_len = rbuf_u32(&r);
	got.info.stored_len = rbuf_u32(&r);
	filter_fields = rbuf_u16(&r) != 0;
	filter_fields |= rbuf_u16(&r) != 0;
	filter_fields |= rbuf_u32(&r) != 0;
	got.raw_sum = rbuf_u32(&r);
	/* The sum is read by its offset: where it stands is what OFF_SUM says of the bytes before
	 * it. */
	if (!rbuf_skip(&r, CODEC_HEAD_LEN - OFF_SUM))
		return -EBADMSG;
	if (got.info.raw_len < 1 || got.info.raw_len > CODEC_RAW_MAX || got.info.stored_len < 1 ||
	    got.info.stored_len > len - CODEC_HEAD_LEN)
		return -EBADMSG;
	got.info.kind = (enum codec_kind)kind;
	got.info.filter = (enum codec_filter)filter;
	if (head_sum(enc, &got.info, enc + CODEC_HEAD_LEN) != get_u32(enc + OFF_SUM))
		return -EBADMSG;
	if (kind > CODEC_KIND_FILL || filter != CODEC_FILTER_NONE || flags)
		return -ENOTSUP;
	if (filter_fields || !ranges_ok(&got.info) || (got.info.width == 1 && got.info.phase))
		return -EBADMSG;
	*f = got;
	return 0;
}
