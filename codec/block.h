/* The project's own zstd encoder, for bytes whose order a filter has already used up: no search for
 * repeated strings, only runs of one byte and Huffman codes. Any zstd decoder reads its frames, and
 * reads them faster than those of libzstd's encoder.
 *
 * What it writes is fixed to the last bit: integers only, and every choice has one answer, so that
 * other encoders (other processors' code here, a GPU's elsewhere) give the same bytes. The rules
 * are at the heads of block.c, block_runs.c and block_huf.c.
 *
 * Threads: any, each with a struct block_work of its own. */
#ifndef CODEC_BLOCK_H
#define CODEC_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_RAW_MAX 65536u /* bytes of one block */
#define BLOCK_LEN_MAX 11u    /* bits of the longest Huffman code */
#define BLOCK_PAD     64u    /* room behind arrays that are written in whole registers */

/* A block, or its literals, that coding makes shorter by less than 1 part in this stays raw:
 * decoders copy raw bytes at 90 GB/s and decode at 1.4 to 2.5. Costs 0.1 % of the ratio against
 * 64. */
#define BLOCK_GAIN 16u

/* Room that block_encode() has to leave behind what it returns: it tries before it decides, and
 * stores whole words. */
#define BLOCK_SLACK 256u

/* Most sequences of a block, and the room for one of four Huffman streams. */
#define BLOCK_SEQ_MAX	 (BLOCK_RAW_MAX / 4)
#define BLOCK_STREAM_MAX (BLOCK_RAW_MAX / 4 * BLOCK_LEN_MAX / 8 + BLOCK_PAD)

/* One sequence: so many literals, then the last of them repeated. */
struct block_seq {
	uint16_t at;   /* of the run in the block */
	uint16_t len;  /* of the whole run */
	uint16_t lits; /* literals since the last run, this one's first byte included */
};

/* Scratch of block_encode(), some 300 KiB of which it touches what a block takes. Of no meaning
 * between calls; any bytes may be in it. */
struct block_work {
	uint32_t count[4][256]; /* of bytes; then the first is their sum */
	int32_t key[256];	/* by which lengths are chosen */
	uint64_t code[256];	/* left aligned, its length in the low bits */
	uint32_t len[256];	/* of the code; 0: symbol not in use */
	uint8_t weight[256];
	uint16_t mark[2 * BLOCK_SEQ_MAX + BLOCK_PAD];
	struct block_seq seq[BLOCK_SEQ_MAX + 1];
	uint8_t lits[BLOCK_RAW_MAX + BLOCK_PAD];
	uint8_t stream[3][BLOCK_STREAM_MAX];
};

/* Which code does it; all give the same bytes. */
enum block_impl {
	BLOCK_PLAIN,
	BLOCK_AVX2,
	BLOCK_AVX512,
	BLOCK_NR,
};

/* Shannon's code lengths in integers, for this encoder and for who foresees its work: of symbols
 * counted @n times in all (up to BLOCK_RAW_MAX), one counted @h times gets the smallest l of 1 to
 * BLOCK_LEN_MAX with n^2 < h^2 * 2^(2l+1), which is log2(n/h) rounded to nearest; and
 * BLOCK_LEN_MAX if there is none.
 * @root  block_shannon_root(n) */
uint32_t block_shannon_root(uint32_t n);

static inline unsigned block_shannon(uint32_t h, uint32_t root)
{
	/* With root = floor(n / sqrt(2)), the l looked for is the smallest with h > root >> l. At l
	 * = d both sides have as many bits, so it is d or d + 1. */
	int d = __builtin_clz(h | 1) - __builtin_clz(root | 1);

	if (d < 1)
		return 1;
	d += h <= root >> d;
	return d < (int)BLOCK_LEN_MAX ? (unsigned)d : BLOCK_LEN_MAX;
}

/* Bytes that block_encode() needs at its destination. */
static inline size_t block_bound(size_t n)
{
	return n + BLOCK_SLACK;
}

/* Write the block for @n bytes (1 to BLOCK_RAW_MAX), header included.
 * @last  it ends its frame
 * @dst   block_bound(n) bytes; all may be written to
 * Returns its length, at most @n + 3. */
size_t block_encode(const uint8_t *src, size_t n, bool last, uint8_t *dst, struct block_work *work);

/* The same for a whole frame: the @len bytes (1 to 2^32 - 1) of a filtered tile, blocks cut where
 * its planes begin.
 * @phase  bytes before the first item, less than @width
 * @width  of the items: 1, 2, 4 or 8
 * @dst    block_frame_bound(len) bytes; all may be written to */
size_t block_frame_bound(size_t len);
size_t block_frame(const uint8_t *filtered, size_t len, unsigned phase, unsigned width,
		   uint8_t *dst, struct block_work *work);

/* With one implementation, for tests: 0, and nothing done, when this machine lacks it. */
size_t block_encode_with(enum block_impl impl, const uint8_t *src, size_t n, bool last,
			 uint8_t *dst, struct block_work *work);

#endif
