/* Blocks and frames.
 *
 * A block is, in this order:
 *   one byte over and over: an RLE block;
 *   shorter than 64 bytes: raw;
 *   noise, which is looked for in 4096 bytes and more (block_runs.c): raw;
 *   else compressed: its runs are taken out as sequences (block_runs.c), what remains are literals,
 *   raw or Huffman coded (block_huf.c);
 *   raw all the same when that saves less than one byte in BLOCK_GAIN.
 *
 * A frame has one segment, and tells its length in four bytes. A block never mixes two planes: the
 * frame is cut where they begin, and then every 64 KiB. The bytes before the first item go with the
 * first plane, those after the last item with the last.
 *
 *   offset  size
 *   0       4     0xfd2fb528
 *   4       1     0xa0: one segment, length of 4 bytes, no checksum
 *   5       4     length of the content
 *   9             blocks: 3 bytes of last << 0 | type << 1 | length << 3, then the block's own */
#include "codec/block.h"

#include <assert.h>
#include <string.h>

#include "codec/block_impl.h"
#include "conf/base.h"

#define BLOCK_HEAD_LEN 3u
#define WIDTH_MAX      8u    /* planes of a tile */
#define BLOCK_MIN      64u   /* shorter ones stay raw */
#define NOISE_MIN      4096u /* shorter ones are not looked at */

#define WIDTH_MAX 8u /* of an item, and so the number of planes */

#define FRAME_MAGIC    0xfd2fb528u
#define FRAME_HEAD_LEN 9u

enum block_type { TYPE_RAW, TYPE_RLE, TYPE_COMPRESSED };

uint32_t block_shannon_root(uint32_t n)
{
	uint64_t square = (uint64_t)n * n / 2;
	uint32_t root = 0;

	assert(n <= BLOCK_RAW_MAX);
	for (uint32_t bit = BLOCK_RAW_MAX / 2; bit; bit >>= 1)
		if ((uint64_t)(root | bit) * (root | bit) <= square)
			root |= bit;
	return root;
}

static enum block_impl best(void)
{
#if BLOCK_X86
	/* Every processor with AVX2 has the second line too, but an emulator may hide some. */
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") ||
	    !__builtin_cpu_supports("bmi2") || !__builtin_cpu_supports("popcnt"))
		return BLOCK_PLAIN;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi"))
		return BLOCK_AVX512;
	return BLOCK_AVX2;
#endif
	return BLOCK_PLAIN;
}

static void put_head(uint8_t *dst, enum block_type type, size_t len, bool last)
{
	uint32_t head = (uint32_t)last | (uint32_t)type << 1 | (uint32_t)len << 3;

	put_u16(dst, (uint16_t)head);
	dst[2] = (uint8_t)(head >> 16);
}

static size_t put_raw(const uint8_t *src, size_t n, bool last, uint8_t *dst)
{
	put_head(dst, TYPE_RAW, n, last);
	memcpy(dst + BLOCK_HEAD_LEN, src, n);
	return BLOCK_HEAD_LEN + n;
}

/* Returns the content's length. */
static size_t compress(enum block_impl impl, const uint8_t *src, size_t n, uint8_t *dst,
		       struct block_work *work)
{
	size_t nr_runs = block_runs_scan(impl, src, n, work);
	size_t nr_seq = block_runs_pick(impl, src, nr_runs, work);
	const uint8_t *lits = src;
	size_t nr_lits = n;
	uint8_t *end;

	if (nr_seq) {
		nr_lits = block_runs_gather(src, n, nr_seq, work);
		lits = work->lits;
	}
	end = block_huf_write(impl, lits, nr_lits, dst, work);
	end = block_runs_write(nr_seq, end, work);
	return (size_t)(end - dst);
}

static size_t encode(enum block_impl impl, const uint8_t *src, size_t n, bool last, uint8_t *dst,
		     struct block_work *work)
{
	size_t len;

	assert(n >= 1 && n <= BLOCK_RAW_MAX);
	/* Most blocks that are not one byte over and over show it at once. */
	if (src[0] == src[n - 1] && memcmp(src, src + 1, n - 1) == 0) {
		put_head(dst, TYPE_RLE, n, last);
		dst[BLOCK_HEAD_LEN] = src[0];
		return BLOCK_HEAD_LEN + 1;
	}
	if (n < BLOCK_MIN || (n >= NOISE_MIN && block_runs_noise(impl, src, n, work)))
		return put_raw(src, n, last, dst);
	len = compress(impl, src, n, dst + BLOCK_HEAD_LEN, work);
	if (len >= n - n / BLOCK_GAIN)
		return put_raw(src, n, last, dst);
	put_head(dst, TYPE_COMPRESSED, len, last);
	return BLOCK_HEAD_LEN + len;
}

size_t block_encode(const uint8_t *src, size_t n, bool last, uint8_t *dst, struct block_work *work)
{
	return encode(best(), src, n, last, dst, work);
}

size_t block_encode_with(enum block_impl impl, const uint8_t *src, size_t n, bool last,
			 uint8_t *dst, struct block_work *work)
{
	if (impl > best())
		return 0;
	return encode(impl, src, n, last, dst, work);
}

size_t block_frame_bound(size_t len)
{
	/* Each piece has a last block that is not full. */
	size_t nr_blocks = len / BLOCK_RAW_MAX + WIDTH_MAX;

	return FRAME_HEAD_LEN + len + nr_blocks * BLOCK_HEAD_LEN + BLOCK_SLACK;
}

size_t block_frame(const uint8_t *filtered, size_t len, unsigned phase, unsigned width,
		   uint8_t *dst, struct block_work *work)
{
	size_t nr_items = len > phase ? (len - phase) / width : 0;
	unsigned nr_pieces = nr_items ? width : 1;
	enum block_impl impl = best();
	uint8_t *p = dst + FRAME_HEAD_LEN;
	size_t at = 0;

	assert(len >= 1 && len <= UINT32_MAX && width <= WIDTH_MAX && phase < width);
	put_u32(dst, FRAME_MAGIC);
	dst[4] = 0xa0;
	put_u32(dst + 5, (uint32_t)len);
	for (unsigned i = 1; i <= nr_pieces; i++) {
		size_t end = i == nr_pieces ? len : phase + i * nr_items;

		while (at < end) {
			size_t n = MIN(end - at, (size_t)BLOCK_RAW_MAX);

			p += encode(impl, filtered + at, n, at + n == len, p, work);
			at += n;
		}
	}
	return (size_t)(p - dst);
}
