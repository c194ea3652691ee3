/* The container of one extent. All numbers are little-endian.
 *
 *   off  size  field
 *     0     4  0x184D2A5D: a skippable frame of zstd, so that `zstd -dc` passes over the head ...
 *     4     4  32          ... which has this many bytes more
 *     8     2  magic, 'M' 'F'
 *    10     1  version, 2
 *    11     1  kind: 0 raw, 1 zstd, 2 fill
 *    12     1  width: bytes of an item and so the number of byte planes, 1, 2, 4 or 8
 *    13     1  filter: 0 none, 1 delta, 2 lorenzo, 3 float (filter.h); bit 7: items are big-endian
 *    14     1  phase: bytes before the first item, less than the width
 *    15     1  tile: log2 of the raw bytes of a tile, 17
 *    16     4  raw_len, 1 to CODEC_RAW_MAX
 *    20     4  stored_len, of the payload
 *    24     2  bias, of the float filter; order, of delta
 *    26     2  dist, in items, of delta and lorenzo
 *    28     4  pitch, in bytes, of lorenzo
 *    32     4  checksum: of the raw bytes where there is one tile, else of the table (its entries)
 *    36     4  checksum of bytes 8 to 36
 *              where there is more than one tile, the table:
 *    40     4  0x184D2A5E, another skippable frame ...
 *    44     4  ... of 8 bytes for each tile:
 *    48  nr*8  4 bytes stored length, 4 bytes checksum of the tile's raw bytes
 *              then
 *     -     -  payload: the raw bytes; or for each tile zstd frames (RFC 8878) of its filtered
 *              bytes, cut into frames anywhere; or the byte to fill with
 *
 * Tile 0 covers the first phase + 2^tile raw bytes, each other one 2^tile, the last what is left; a
 * fill is one tile whatever its length. Whatever follows the payload is padding. A container with
 * width 1 and no filter is a legal zstd stream of the extent.
 *
 * Checksums are the low 32 bits of XXH3-64. There is none of the stored payload: the chunks that
 * hold it have theirs (raid/chunk.c), and what is decoded has its own.
 *
 * Version 1 had one tile of any length and no filters; its last checksum was seeded with the XXH3-64
 * of the payload, for kind raw with 0. It is still read.
 *
 * Decoding takes nothing for granted. What has a right checksum but an id unknown here was written
 * by a later program and is -ENOTSUP; what no program writes is -EBADMSG. */
#include "codec/frame.h"

#include <errno.h>
#include <stdbool.h>

#include "conf/base.h"
#include "conf/bytes.h"
#include "conf/xxh3.h"

#define SKIPPABLE	0x184D2A5Du
#define SKIPPABLE_TABLE 0x184D2A5Eu
#define MAGIC		0x464Du /* "MF" */
#define VERSION		2u
#define VERSION_1	1u
#define TILE_LOG	17u
#define FILTER_SWAP	0x80u
#define OFF_COVERED	8u
#define OFF_SUM		36u
#define OFF_TABLE	(CODEC_HEAD_LEN + 8u)

_Static_assert(CODEC_TILE_LEN == 1u << TILE_LOG, "");

uint32_t frame_sum(const uint8_t *p, size_t len)
{
	return (uint32_t)XXH3_64bits(p, len);
}

unsigned frame_tiles(size_t raw_len, unsigned phase)
{
	/* Bytes before the first item that are all there is are no tile of their own. */
	size_t items = raw_len > phase ? raw_len - phase : 1;

	return (unsigned)div_up(items, CODEC_TILE_LEN);
}

void frame_tile_range(size_t raw_len, unsigned phase, unsigned idx, size_t *from, size_t *to)
{
	*from = idx ? phase + (size_t)idx * CODEC_TILE_LEN : 0;
	*to = MIN(raw_len, phase + (size_t)(idx + 1) * CODEC_TILE_LEN);
}

static void table_encode(struct frame *f, uint8_t *head)
{
	struct wbuf w = wbuf_init(head + CODEC_HEAD_LEN, CODEC_HEAD_MAX - CODEC_HEAD_LEN);

	wbuf_u32(&w, SKIPPABLE_TABLE);
	wbuf_u32(&w, 8 * f->info.nr_tiles);
	for (unsigned i = 0; i < f->info.nr_tiles; i++) {
		wbuf_u32(&w, f->tile_len[i]);
		wbuf_u32(&w, f->tile_sum[i]);
	}
}

void frame_encode(struct frame *f, uint8_t *head)
{
	struct codec_info *info = &f->info;
	struct wbuf w = wbuf_init(head, CODEC_HEAD_LEN);
	uint32_t sum = f->tile_sum[0];

	info->head_len = CODEC_HEAD_LEN;
	if (info->nr_tiles > 1) {
		table_encode(f, head);
		info->head_len = OFF_TABLE + 8 * info->nr_tiles;
		sum = frame_sum(head + OFF_TABLE, 8 * info->nr_tiles);
	}
	wbuf_u32(&w, SKIPPABLE);
	wbuf_u32(&w, CODEC_HEAD_LEN - OFF_COVERED);
	wbuf_u16(&w, MAGIC);
	wbuf_u8(&w, VERSION);
	wbuf_u8(&w, (uint8_t)info->kind);
	wbuf_u8(&w, info->filter.width);
	wbuf_u8(&w, (uint8_t)(info->filter.id | (info->filter.swap ? FILTER_SWAP : 0)));
	wbuf_u8(&w, info->phase);
	wbuf_u8(&w, TILE_LOG);
	wbuf_u32(&w, info->raw_len);
	wbuf_u32(&w, info->stored_len);
	wbuf_u16(&w, info->filter.id == FILTER_DELTA ? info->filter.order : info->filter.bias);
	wbuf_u16(&w, info->filter.dist);
	wbuf_u32(&w, info->filter.pitch);
	wbuf_u32(&w, sum);
	wbuf_u32(&w, frame_sum(head + OFF_COVERED, OFF_SUM - OFF_COVERED));
}

/* The rules between kind, filter and lengths that every encoder keeps. */
static bool ranges_ok(const struct codec_info *info)
{
	bool plain = info->filter.width == 1 && info->filter.id == FILTER_NONE;

	if (!filter_ok(&info->filter) || info->phase >= info->filter.width)
		return false;
	switch (info->kind) {
	case CODEC_KIND_RAW:
		return plain && info->stored_len == info->raw_len;
	case CODEC_KIND_FILL:
		return plain && info->stored_len == 1;
	case CODEC_KIND_ZSTD:
		return info->stored_len < info->raw_len;
	}
	return false;
}

/* The checksum of a head of version 1; false also where the payload is not there. */
static bool head_1_ok(const uint8_t *enc, size_t len, const struct codec_info *info)
{
	uint64_t seed = 0;

	if (info->stored_len > len - CODEC_HEAD_LEN)
		return false;
	if (info->kind != CODEC_KIND_RAW)
		seed = XXH3_64bits(enc + CODEC_HEAD_LEN, info->stored_len);
	return get_u32(enc + OFF_SUM) ==
	       (uint32_t)XXH3_64bits_withSeed(enc + OFF_COVERED, OFF_SUM - OFF_COVERED, seed);
}

static int table_decode(const uint8_t *enc, size_t len, uint32_t sum, struct frame *f)
{
	struct codec_info *info = &f->info;
	size_t table_len = (size_t)8 * info->nr_tiles;
	uint64_t stored = 0;

	info->head_len = (uint32_t)(OFF_TABLE + table_len);
	if (len < info->head_len || get_u32(enc + CODEC_HEAD_LEN) != SKIPPABLE_TABLE ||
	    get_u32(enc + CODEC_HEAD_LEN + 4) != table_len ||
	    frame_sum(enc + OFF_TABLE, table_len) != sum)
		return -EBADMSG;
	for (unsigned i = 0; i < info->nr_tiles; i++) {
		size_t from, to;

		f->tile_len[i] = get_u32(enc + OFF_TABLE + (size_t)8 * i);
		f->tile_sum[i] = get_u32(enc + OFF_TABLE + (size_t)8 * i + 4);
		frame_tile_range(info->raw_len, info->phase, i, &from, &to);
		if (info->kind == CODEC_KIND_RAW && f->tile_len[i] != to - from)
			return -EBADMSG;
		stored += f->tile_len[i];
	}
	return stored == info->stored_len ? 0 : -EBADMSG;
}

int frame_decode(const uint8_t *enc, size_t len, struct frame *f)
{
	struct rbuf r = rbuf_init(enc, len);
	struct frame got = {0};
	struct codec_info *info = &got.info;
	unsigned version, kind, id, tile, param;
	uint32_t sum;
	int err;

	if (rbuf_u32(&r) != SKIPPABLE || rbuf_u32(&r) != CODEC_HEAD_LEN - OFF_COVERED ||
	    rbuf_u16(&r) != MAGIC)
		return -EBADMSG;
	version = rbuf_u8(&r);
	if (version != VERSION && version != VERSION_1)
		return r.bad ? -EBADMSG : -ENOTSUP;
	kind = rbuf_u8(&r);
	info->filter.width = rbuf_u8(&r);
	id = rbuf_u8(&r);
	info->phase = rbuf_u8(&r);
	tile = rbuf_u8(&r);
	info->raw_len = rbuf_u32(&r);
	info->stored_len = rbuf_u32(&r);
	param = rbuf_u16(&r);
	info->filter.dist = rbuf_u16(&r);
	info->filter.pitch = rbuf_u32(&r);
	sum = rbuf_u32(&r);
	/* The last sum is read by its offset: where it stands is what OFF_SUM says of the bytes
	 * before it. */
	if (!rbuf_skip(&r, CODEC_HEAD_LEN - OFF_SUM))
		return -EBADMSG;
	if (info->raw_len < 1 || info->raw_len > CODEC_RAW_MAX || info->stored_len < 1)
		return -EBADMSG;
	info->kind = (enum codec_kind)kind;
	if (version == VERSION_1
		    ? !head_1_ok(enc, len, info)
		    : frame_sum(enc + OFF_COVERED, OFF_SUM - OFF_COVERED) != get_u32(enc + OFF_SUM))
		return -EBADMSG;
	info->filter.id = id & (FILTER_SWAP - 1);
	info->filter.swap = (id & FILTER_SWAP) != 0;
	if (kind > CODEC_KIND_FILL || info->filter.id > FILTER_FLOAT ||
	    tile != (version == VERSION_1 ? 0 : TILE_LOG))
		return -ENOTSUP;
	if (info->filter.id != FILTER_DELTA)
		info->filter.bias = (uint16_t)param;
	else if (param <= UINT8_MAX)
		info->filter.order = (uint8_t)param;
	if (!ranges_ok(info) || (version == VERSION_1 && info->filter.id != FILTER_NONE))
		return -EBADMSG;
	info->nr_tiles = 1;
	if (version == VERSION && kind != CODEC_KIND_FILL)
		info->nr_tiles = frame_tiles(info->raw_len, info->phase);
	info->head_len = CODEC_HEAD_LEN;
	got.tile_len[0] = info->stored_len;
	got.tile_sum[0] = sum;
	err = info->nr_tiles > 1 ? table_decode(enc, len, sum, &got) : 0;
	if (err)
		return err;
	*f = got;
	return 0;
}
