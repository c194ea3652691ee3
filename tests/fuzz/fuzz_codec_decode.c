/* Containers from outside. The first two bytes of the input choose:
 *
 *   byte 0  bit 0: put the head's checksum right, so that the fuzzer gets past it
 *           bit 1: put the raw checksum right too, as far as the payload decodes
 *   byte 1  how much less padding than there is
 *
 * What decodes must encode again and come back; what codec_inspect() says must hold for
 * codec_decode(). */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "codec/codec.h"
#include "codec/frame.h"
#include "conf/base.h"
#include "conf/bytes.h"

#define RAW_MAX (64u << 10) /* longer extents only take longer */

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* As codec/frame.c has it. */
static void seal(uint8_t *enc, size_t len)
{
	uint32_t stored_len = get_u32(enc + 20);
	uint64_t seed = 0;

	if (enc[11] != CODEC_KIND_RAW && stored_len <= len - CODEC_HEAD_LEN)
		seed = XXH3_64bits(enc + CODEC_HEAD_LEN, stored_len);
	put_u32(enc + 36, (uint32_t)XXH3_64bits_withSeed(enc + 8, 28, seed));
}

static void check_encode(const uint8_t *raw, size_t raw_len)
{
	struct codec_opts opts = {CODEC_AUTO, CODEC_LEVEL_DEFAULT};
	AUTO_FREE uint8_t *scratch = malloc(codec_scratch_len(raw_len));
	AUTO_FREE uint8_t *enc = malloc(CODEC_HEAD_LEN + raw_len);
	AUTO_FREE uint8_t *back = malloc(raw_len);
	struct codec_out out;

	if (!scratch || !enc || !back)
		return;
	check(codec_encode(&opts, NULL, 0, raw, raw_len, scratch, &out) == 0);
	check(out.payload_len <= raw_len);
	memcpy(enc, out.head, CODEC_HEAD_LEN);
	memcpy(enc + CODEC_HEAD_LEN, out.payload, out.payload_len);
	check(codec_decode(enc, CODEC_HEAD_LEN + out.payload_len, back, raw_len) == 0);
	check(memcmp(back, raw, raw_len) == 0);
}

static void check_decode(uint8_t *enc, size_t len, bool mend)
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
	check(info.stored_len <= len - CODEC_HEAD_LEN);
	if (info.raw_len > RAW_MAX)
		return;
	raw = calloc(1, info.raw_len);
	if (!raw)
		return;
	err = codec_decode(enc, len, raw, info.raw_len);
	if (err == -EBADMSG && mend) {
		/* Whatever it decoded to is now what it should decode to. */
		put_u32(enc + 32, frame_sum(raw, info.raw_len));
		seal(enc, len);
		err = codec_decode(enc, len, raw, info.raw_len);
	}
	check(err == 0 || err == -EBADMSG);
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
