/* See estimate.h for the rule. Counting is the work: most planes are noise, where each byte has to
 * be counted, or nearly constant, where whole registers are passed over. */
#include "codec/estimate.h"

#include <string.h>

#include "codec/block.h"
#include "codec/filter.h"
#include "conf/base.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

struct tally {
	/* four tables, so that equal bytes in a row do not wait for each other */
	uint32_t count[4][256];
	uint64_t looked; /* bytes of the pieces, counted or not */
};

/* Bit i: byte i of the 32 at @p equals the one before it; @p[-1] is there. */
static uint32_t equal_bits(const uint8_t *p)
{
#if defined(__x86_64__)
	uint32_t bits = 0;

	for (int h = 0; h < 2; h++) {
		__m128i a = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * h));
		__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * h - 1));

		bits |= (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) << (16 * h);
	}
	return bits;
#else
	uint32_t bits = 0;

	for (int i = 0; i < 32; i++)
		bits |= (uint32_t)(p[i] == p[i - 1]) << i;
	return bits;
#endif
}

static void tally_all(struct tally *t, const uint8_t *p, size_t n)
{
	size_t i = 0;

	for (; i + 4 <= n; i += 4)
		for (unsigned k = 0; k < 4; k++)
			t->count[k][p[i + k]]++;
	for (; i < n; i++)
		t->count[0][p[i]]++;
}

static void tally_bits(struct tally *t, const uint8_t *p, uint32_t keep)
{
	while (keep) {
		unsigned i = (unsigned)__builtin_ctz(keep);

		t->count[i & 3][p[i]]++;
		keep &= keep - 1;
	}
}

/* One piece. The mask of equal neighbours is and-ed with itself shifted by 1, 2, 4 and 8 places: what
 * is left has 15 equal ones before it. */
static void tally_piece(struct tally *t, const uint8_t *p, size_t n)
{
	uint64_t before =
		0; /* the mask of the 32 bytes before, in the upper half of a 64 bit window */
	size_t i = 1;

	t->looked += n;
	if (!n)
		return;
	t->count[0][p[0]]++;
	for (; i + 32 <= n; i += 32) {
		uint32_t bits = equal_bits(p + i);
		uint64_t eq = (uint64_t)bits << 32 | before;
		uint64_t run;

		before = bits;
		run = eq & eq << 1;
		run &= run << 2;
		run &= run << 4;
		/* eight in a row, and seven before them */
		run &= run << 7;
		run >>= 32;
		if (!run)
			tally_all(t, p + i, 32);
		else if ((uint32_t)run != UINT32_MAX)
			tally_bits(t, p + i, ~(uint32_t)run);
	}
	for (; i < n; i++) {
		bool run = i >= ESTIMATE_RUN - 1;

		for (size_t k = 1; run && k < ESTIMATE_RUN; k++)
			run = p[i - k] == p[i];
		if (!run)
			t->count[0][p[i]]++;
	}
}

static void tally_plane(struct tally *t, const uint8_t *plane, size_t n)
{
	for (size_t at = 0; at < n; at += ESTIMATE_PART) {
		size_t part = MIN(n - at, (size_t)ESTIMATE_PART);

		if (part < ESTIMATE_SHORT) {
			tally_piece(t, plane + at, part);
			continue;
		}
		tally_piece(t, plane + at + part / 8, ESTIMATE_PIECE);
		tally_piece(t, plane + at + part / 8 * 5, ESTIMATE_PIECE);
	}
}

size_t estimate_plane(const uint8_t *plane, size_t n)
{
	struct tally t = {.looked = 0};
	uint64_t bits = 0, bytes;
	uint32_t counted = 0, root;
	unsigned distinct = 0;

	if (!n)
		return 0;
	tally_plane(&t, plane, n);
	for (unsigned c = 0; c < 256; c++) {
		t.count[0][c] += t.count[1][c] + t.count[2][c] + t.count[3][c];
		counted += t.count[0][c];
		distinct += t.count[0][c] != 0;
	}
	if (distinct < 2)
		return 4;
	root = block_shannon_root(counted);
	for (unsigned c = 0; c < 256; c++)
		if (t.count[0][c])
			bits += (uint64_t)t.count[0][c] * block_shannon(t.count[0][c], root);
	/* in 1/32 bit, and then for the whole plane */
	bytes = (bits * 32 * n / t.looked + (uint64_t)ESTIMATE_SYMBOL * (distinct - 1)) / 256 +
		ESTIMATE_TABLE;
	return bytes < n - n / BLOCK_GAIN ? (size_t)bytes : n;
}

size_t estimate_tile(const uint8_t *filtered, size_t len, unsigned phase, unsigned width)
{
	size_t nr = len > phase ? (len - phase) / width : 0;
	size_t cost = len - nr * width;

	for (unsigned b = 0; b < width; b++)
		cost += estimate_plane(filtered + phase + b * nr, nr);
	return cost;
}
