/* Checkpoints: a walk over head, frames and tail stays within the bytes, and what is taken is the same when written
 * again. Frames that carry a magic get right checksums first, or none would be taken. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "conf/bytes.h"
#include "raid/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void seal_frame(uint8_t *p, size_t len, uint64_t nonce)
{
	uint64_t n = get_u32(p + 4);

	if (n > len - IMAGE_FRAME_HEAD)
		return;
	put_u64(p + 8, 0);
	put_u64(p + 8, XXH3_64bits_withSeed(p, IMAGE_FRAME_HEAD + n, nonce));
}

static void walk(uint8_t *p, size_t len, uint64_t nonce, bool seal)
{
	uint8_t *again = malloc(IMAGE_FRAME_MAX);
	struct image_frame f = {0};

	if (!again)
		abort();
	while (!f.tail && len >= IMAGE_FRAME_HEAD) {
		size_t n;

		if (seal)
			seal_frame(p, len, nonce);
		if (image_frame_decode(p, len, nonce, &f))
			break;
		memcpy(again + IMAGE_FRAME_HEAD, p + IMAGE_FRAME_HEAD, f.len);
		n = image_frame_encode(&f, nonce, again);
		if (n > len || memcmp(again, p, IMAGE_FRAME_HEAD + f.len) != 0)
			abort();
		p += n;
		len -= n;
	}
	free(again);
}

static void check(uint8_t *buf, size_t len, bool seal)
{
	uint8_t again[IMAGE_HEAD_LEN];
	struct image_head h, same;

	if (seal && len >= IMAGE_HEAD_LEN) {
		put_u32(buf + 12, IMAGE_HEAD_LEN);
		put_u64(buf + 16, 0);
		put_u64(buf + 16, XXH3_64bits(buf, IMAGE_HEAD_LEN));
	}
	if (image_head_decode(buf, len, &h))
		return;
	image_head_encode(&h, again);
	if (image_head_decode(again, sizeof(again), &same) || memcmp(&h, &same, sizeof(h)) != 0)
		abort();
	walk(buf + IMAGE_HEAD_LEN, len - IMAGE_HEAD_LEN, h.nonce, seal);
}

/* The head's block takes much of an input that says little: 64 bytes of it are given, then the frames. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t head = len < 64 ? len : 64, cap = IMAGE_HEAD_LEN + len - head;
	uint8_t *buf = calloc(1, cap);

	if (!buf)
		abort();
	memcpy(buf, data, head);
	memcpy(buf + IMAGE_HEAD_LEN, data + head, len - head);
	check(buf, cap, false);
	check(buf, cap, true);
	free(buf);
	buf = malloc(len + 1);
	if (!buf)
		abort();
	memcpy(buf, data, len);
	check(buf, len, false);
	free(buf);
	return 0;
}
