/* Samples.
 *
 * The search compresses: whatever counts single bytes only misses text, tables and sparse arrays,
 * where repetition is all there is. It does so plane by plane, as the encoder will; planes that
 * share a block share its Huffman table, and a sample is so small that they all would (that is how
 * a 64 KiB trial takes floats for noise).
 *
 * The glance counts bytes and compares the chance that two of them are equal with 1/256, which it
 * is when all are equally likely. For spreads near even, an excess of x over that is x / (2 ln 2)
 * bits of entropy a byte; no logarithms needed, and 2048 bytes give it to within a few per cent. */
#include "codec/probe.h"

#include <string.h>

#include "codec/codec_zstd.h"
#include "codec/planes.h"
#include "conf/base.h"

#define LOOK_LEN    2048u /* bytes counted by a quick look ... */
#define LOOK_PIECES 4u	  /* ... in as many pieces, evenly spread */

#define SAMPLE_LEN    (64u << 10) /* compressed by a search ... */
#define SAMPLE_PIECES 4u	  /* ... in as many pieces */
#define SAMPLE_LEVEL  1

/* A larger width has to save 1 part in this of the sample: it is easily fooled, and slower. */
#define WIDTH_PART 200u

/* A sample that shrinks by less than 1 part in this is noise. */
#define NOISE_PART 256u

bool probe_is_fill(const uint8_t *raw, size_t len)
{
	/* The last byte first: most files that begin with zeros end otherwise. */
	return len > 0 && raw[0] == raw[len - 1] && memcmp(raw, raw + 1, len - 1) == 0;
}

/* How much likelier two bytes of a look are to be equal than two random ones, in 1/1024; 0 when as
 * likely, or less. Where the extent is shorter than a look, all of it is counted. */
static uint32_t excess(const uint8_t *p, size_t len)
{
	uint16_t count[4][256] = {0};
	size_t piece = LOOK_LEN / LOOK_PIECES;
	size_t nr_pieces = LOOK_PIECES;
	uint64_t pairs = 0, all, n;

	if (len <= LOOK_LEN) {
		piece = len & ~(size_t)3;
		nr_pieces = 1;
	}
	n = piece * nr_pieces;
	if (n < 2)
		return 0;
	for (size_t k = 0; k < nr_pieces; k++) {
		const uint8_t *s = nr_pieces > 1 ? p + (len - piece) / (nr_pieces - 1) * k : p;

		/* Four tables, so that a run of one byte does not wait for its own last count. */
		for (size_t i = 0; i < piece; i += 4) {
			count[0][s[i]]++;
			count[1][s[i + 1]]++;
			count[2][s[i + 2]]++;
			count[3][s[i + 3]]++;
		}
	}
	for (int b = 0; b < 256; b++) {
		uint64_t c = (uint64_t)count[0][b] + count[1][b] + count[2][b] + count[3][b];

		pairs += c * (c - !!c);
	}
	all = n * (n - 1);
	pairs = pairs * 256 * 1024 / all;
	return pairs > 1024 ? (uint32_t)(pairs - 1024) : 0;
}

bool probe_glance(const uint8_t *raw, size_t len)
{
	/* 0.42 is about 0.3 bits a byte, or 4 %: more than the 3 % that pay, so that it does not
	 * fire in vain. */
	return excess(raw, len) > 430;
}

static size_t sample_len(size_t raw_len)
{
	return MIN(raw_len, (size_t)SAMPLE_LEN);
}

size_t probe_work_len(size_t raw_len)
{
	size_t len = sample_len(raw_len);

	/* The sample, its planes, and one of them compressed. */
	return 2 * round_up(len, 64) + codec_zstd_bound(len);
}

/* Copy pieces of the extent, each beginning with a whole item, so that they split into the planes
 * that the whole would. Returns their length together. */
static size_t gather(uint8_t *dst, const uint8_t *raw, size_t len, unsigned phase)
{
	size_t piece = SAMPLE_LEN / SAMPLE_PIECES;
	size_t step;

	if (len < SAMPLE_LEN + phase) {
		len = sample_len(len);
		memcpy(dst, raw, len);
		return len;
	}
	step = (len - phase - piece) / (SAMPLE_PIECES - 1) & ~(size_t)(PLANES_MAX - 1);
	for (size_t k = 0; k < SAMPLE_PIECES; k++)
		memcpy(dst + k * piece, raw + phase + k * step, piece);
	return SAMPLE_LEN;
}

/* The sample's length when stored in planes of width @w. */
static int try_width(const uint8_t *sample, size_t len, unsigned w, unsigned phase, uint8_t *planes,
		     uint8_t *packed, size_t *cost)
{
	size_t nr = planes_items(len, w, phase);
	const uint8_t *plane = sample;

	/* Bytes outside of the items shrink with none. */
	*cost = len - nr * w;
	if (w > 1) {
		planes_split(planes, sample, len, w, phase);
		plane = planes + (nr ? phase : 0);
	}
	for (unsigned b = 0; b < w; b++, plane += nr) {
		size_t got = 0;
		int err = codec_zstd_pack(SAMPLE_LEVEL, plane, nr, packed, codec_zstd_bound(nr),
					  &got);

		if (err)
			return err;
		*cost += MIN(got, nr);
	}
	return 0;
}

int probe_search(const uint8_t *raw, size_t len, unsigned widths, unsigned phase, uint8_t *work,
		 struct probe *found)
{
	static const uint8_t order[] = {1, PLANES_MAX, 4, 2};
	uint8_t *planes = work + round_up(sample_len(len), 64);
	uint8_t *packed = planes + round_up(sample_len(len), 64);
	size_t n = gather(work, raw, len, phase);
	size_t best = SIZE_MAX, least = SIZE_MAX;
	size_t cost[PLANES_MAX + 1];
	/* Gathered pieces begin with an item; a short extent is taken as it is. */
	unsigned at = len < SAMPLE_LEN + phase ? phase : 0;
	unsigned nr_tried = 0;
	uint8_t width = 1;

	/* The least and the largest first: where neither gains, those between are not tried. */
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		unsigned w = order[i];
		int err;

		cost[w] = SIZE_MAX;
		if (!(widths & PROBE_WIDTH(w)) || (nr_tried >= 2 && least > n - n / NOISE_PART))
			continue;
		err = try_width(work, n, w, at % w, planes, packed, &cost[w]);
		if (err)
			return err;
		least = MIN(least, cost[w]);
		nr_tried++;
	}
	for (unsigned w = 1; w <= PLANES_MAX; w *= 2) {
		if (cost[w] == SIZE_MAX)
			continue;
		if (best == SIZE_MAX || cost[w] + n / WIDTH_PART < best) {
			best = cost[w];
			width = (uint8_t)w;
		}
	}
	*found = (struct probe){.pays = best <= probe_limit(n), .width = width};
	return 0;
}
