/* Containers from outside. The first two bytes of the input choose:
 *
 *   byte 0  bit 0: put the head's checksums right, so that the fuzzer gets past them
 *           bit 1: put the tiles' checksums right too, as far as the payload decodes
 *   byte 1  how much less padding than there is
 *
 * What decodes must encode again and come back; what codec_inspect() says must hold for
 * codec_decode() and for codec_decode_tile(), and these two must agree. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "codec/codec.h"
#include "codec/frame.h"
#include "conf/base.h"
#include "conf/bytes.h"

#define RAW_MAX (2 * CODEC_TILE_LEN + (8u << 10)) /* longer extents only take longer */

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* As codec/frame.c has it, of both versions. */
static void seal(uint8_t *enc, size_t len)
{
	uint32_t stored_len = get_u32(enc + 20), raw_len = get_u32(enc + 16);
	unsigned nr_tiles = 1;
	uint64_t seed = 0;

	if (enc[10] == 1) {
		if (enc[11] != CODEC_KIND_RAW && stored_len <= len - CODEC_HEAD_LEN)
			seed = XXH3_64bits(enc + CODEC_HEAD_LEN, stored_len);
		put_u32(enc + 36, (uint32_t)XXH3_64bits_withSeed(enc + 8, 28, seed));
		return;
	}
	if (enc[11] != CODEC_KIND_FILL && raw_len && raw_len <= CODEC_RAW_MAX)
		nr_tiles = frame_tiles(raw_len, enc[14]);
	if (nr_tiles > 1 && len >= CODEC_HEAD_LEN + 8 + 8 * (size_t)nr_tiles)
		put_u32(enc + 32, frame_sum(enc + CODEC_HEAD_LEN + 8, 8 * (size_t)nr_tiles));
	put_u32(enc + 36, frame_sum(enc + 8, 28));
}

/* Make what a tile decodes to what it should decode to. */
static void mend(uint8_t *enc, size_t len, const struct codec_info *info, const uint8_t *raw)
{
	for (unsigned i = 0; i < info->nr_tiles; i++) {
		uint32_t from, to, sum;

		codec_tile_range(info, i, &from, &to);
		sum = frame_sum(raw + from, to - from);
		put_u32(info->nr_tiles > 1 ? enc + CODEC_HEAD_LEN + 12 + (size_t)8 * i : enc + 32,
			sum);
	}
	seal(enc, len);
}

static void check_encode(const uint8_t *raw, size_t raw_len)
{
	struct codec_opts opts = {CODEC_AUTO, CODEC_LEVEL_DEFAULT};
	struct codec_job j = {.opts = &opts, .raw = raw, .raw_len = raw_len};
	AUTO_FREE uint8_t *scratch = malloc(codec_scratch_len(raw_len));
	AUTO_FREE uint8_t *enc = malloc(CODEC_HEAD_MAX + raw_len);
	AUTO_FREE uint8_t *back = malloc(raw_len);

	if (!scratch || !enc || !back)
		return;
	j.scratch = scratch;
	check(codec_encode(&j) == 0);
	check(j.head_len <= CODEC_HEAD_MAX && j.payload_len <= raw_len);
	memcpy(enc, j.head, j.head_len);
	memcpy(enc + j.head_len, j.payload, j.payload_len);
	check(codec_decode(enc, j.head_len + j.payload_len, back, raw_len) == 0);
	check(memcmp(back, raw, raw_len) == 0);
}

/* Tile by tile: all are right where the whole is, and one at least is wrong where it is not. */

static void check_tiles(const uint8_t *enc, size_t len, const struct codec_info *info, bool whole,
			const uint8_t *raw)
{
	AUTO_FREE uint8_t *back = malloc(info->raw_len);
	uint32_t covered = 0;
	bool all = true;

	if (!back)
		return;
	for (unsigned i = 0; i < info->nr_tiles; i++) {
		uint32_t from, to;
		int err = codec_decode_tile(enc, len, info, i, back);

		codec_tile_range(info, i, &from, &to);
		check(from == covered && to > from && to <= info->raw_len);
		check(codec_tile_at(info, from) == i && codec_tile_at(info, to - 1) == i);
		covered = to;
		check(err == 0 || err == -EBADMSG);
		check(!whole || (err == 0 && memcmp(back + from, raw + from, to - from) == 0));
		all = all && err == 0;
	}
	check(covered == info->raw_len && all == whole);
	check(codec_decode_tile(enc, len, info, info->nr_tiles, back) == -EBADMSG);
}

static void check_decode(uint8_t *enc, size_t len, bool mended)
{
	AUTO_FREE uint8_t *raw = NULL;
	struct codec_info info;
	int err = codec_inspect(enc, len, &info);

	check(err == 0 || err == -EBADMSG || err == -ENOTSUP);
	if (err) {
		uint8_t byte;

		check(codec_decode(enc, len, &byte, 1) == err);
		return;
	}
	check(info.head_len <= len && filter_ok(&info.filter) && info.phase < info.filter.width);
	check(info.nr_tiles >= 1 && info.nr_tiles <= CODEC_TILES_MAX);
	if (info.raw_len > RAW_MAX)
		return;
	raw = calloc(1, info.raw_len);
	if (!raw)
		return;
	err = codec_decode(enc, len, raw, info.raw_len);
	check(err == 0 || err == -EBADMSG);
	check_tiles(enc, len, &info, err == 0, raw);
	if (err && mended && info.stored_len <= len - info.head_len) {
		/* Each tile in turn, as the first wrong one ends the decoding of the whole. */
		for (unsigned i = 0; i < info.nr_tiles; i++)
			codec_decode_tile(enc, len, &info, i, raw);
		mend(enc, len, &info, raw);
		err = codec_decode(enc, len, raw, info.raw_len);
		check(err == 0 || err == -EBADMSG);
		check_tiles(enc, len, &info, err == 0, raw);
	}
	if (!err)
		check_encode(raw, info.raw_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO_FREE uint8_t *enc = NULL;
	uint8_t how;
	size_t less;

	if (len < 2)
		return 0;
	how = data[0];
	less = data[1];
	data += 2;
	len -= 2;
	len -= MIN(less, len);
	/* A block of its own, so that a sanitizer sees a read past the end. */
	enc = malloc(len ? len : 1);
	if (!enc)
		return 0;
	memcpy(enc, data, len);
	if (how & 1 && len >= CODEC_HEAD_LEN)
		seal(enc, len);
	check_decode(enc, len, how & 2);
	return 0;
}
