/* Literals and their Huffman codes.
 *
 * No tree: each symbol gets Shannon's rounded length, then lengths grow by one bit where that costs
 * least, or shrink where that gains most, until all codes together fill the space exactly (Kraft's
 * sum is 1). That is within 0.1 % of the best code and needs only minima and maxima.
 *
 *   1. len = block_shannon(count, root of all). K = sum of 2^(11 - len); full is 2^11.
 *   2. While K is above: of the symbols with len < 11, the one of least count << len (the lowest of
 *      several) gets a bit more.
 *   3. While K is below: of the symbols with len > 1 whose 2^(11 - len) still fits in, the one of
 *      greatest count << len (the lowest of several) gets a bit less.
 *
 * The codes are sent as weights (longest length + 1 - len), of 4 bits each or FSE coded, whichever
 * is shorter; the last symbol's follows from the others. Literals stay raw when all that saves less
 * than one byte in BLOCK_GAIN, when they are less than 64, or when there is no legal form of the
 * weights. */
#include "codec/block_impl.h"

#include <assert.h>

#include "conf/base.h"

#define KRAFT_FULL (1u << BLOCK_LEN_MAX)

#define HUF_MIN 64u /* fewer literals stay raw */

/* Literals section types, RFC 8878 3.1.1.3.1.1 */
#define LITS_RAW	0u
#define LITS_COMPRESSED 2u

#define WEIGHT_LOG     6u /* of the FSE table */
#define WEIGHT_CELLS   64u
#define WEIGHT_MAX     BLOCK_LEN_MAX
#define WEIGHT_FSE_MAX 127u /* bytes */
#define WEIGHT_DIRECT  128u /* weights */

/* Loops over all 256 symbols have no branches, so that they become vector code.
 *
 * A symbol's key: its count << len, then its number so that ties go to the lowest. Symbols that are
 * not to be chosen have a key at the far end. At 2 and 3 no count << len reaches 2^18: if all of
 * len < 11 were twice the number of literals or more, Kraft's sum would be below 1, so what grows
 * was less. */
#define KEY_SYMBOL_BITS 8
#define KEY_SYMBOLS	((1 << KEY_SYMBOL_BITS) - 1)
#define KEY_NEVER_LEAST INT32_MAX
#define KEY_NEVER_MOST	0

/* Step 1. A symbol not in use gets length 0. Returns Kraft's sum. */
BLOCK_INLINE uint32_t first_lens(size_t n, struct block_work *work)
{
	const uint32_t *count = work->count[0];
	uint32_t root = block_shannon_root((uint32_t)n);
	uint32_t *len = work->len;
	uint32_t kraft = 0;

	block_lens(count, root, len);
	for (unsigned c = 0; c < 256; c++) {
		len[c] = count[c] ? len[c] : 0;
		kraft += count[c] ? KRAFT_FULL >> len[c] : 0;
	}
	return kraft;
}

BLOCK_INLINE int32_t key_least(const struct block_work *work, unsigned c)
{
	uint32_t len = work->len[c];
	uint32_t key = work->count[0][c] << len << KEY_SYMBOL_BITS | c;

	return len && len < BLOCK_LEN_MAX ? (int32_t)key : KEY_NEVER_LEAST;
}

/* What does not fit into what is free now never will, as that only gets less. */
BLOCK_INLINE int32_t key_most(const struct block_work *work, unsigned c, int32_t free)
{
	uint32_t len = work->len[c];
	uint32_t key = work->count[0][c] << len << KEY_SYMBOL_BITS | (KEY_SYMBOLS - c);

	return len > 1 && (int32_t)(KRAFT_FULL >> len) <= free ? (int32_t)key : KEY_NEVER_MOST;
}

/* Step 2. A step doubles a key's count, so all those below twice the least are chosen before any of
 * them is again: where all of them are wanted they are taken at once. Where not, those of a
 * narrower range may be, down to those that tie with the least. */
BLOCK_INLINE uint32_t lens_up(uint32_t kraft, struct block_work *work)
{
	int32_t excess = (int32_t)(kraft - KRAFT_FULL);
	uint32_t *len = work->len;
	int32_t *key = work->key;
	int32_t range = INT32_MAX;

	for (unsigned c = 0; c < 256; c++)
		key[c] = key_least(work, c);
	while (excess > 0) {
		int32_t least = KEY_NEVER_LEAST, bound, sum = 0;

		for (unsigned c = 0; c < 256; c++)
			least = key[c] < least ? key[c] : least;
		least &= ~KEY_SYMBOLS;
		range = MIN(range, least);
		bound = least + range;
		if (range <= KEY_SYMBOLS) {
			for (unsigned c = 0; c < 256; c++)
				if (key[c] <= least + KEY_SYMBOLS && excess > 0)
					excess -= (int32_t)(KRAFT_FULL >> ++len[c]);
			range = INT32_MAX;
		} else {
			for (unsigned c = 0; c < 256; c++)
				sum += key[c] < bound ? (int32_t)(KRAFT_FULL / 2 >> len[c]) : 0;
			if (sum > excess) {
				range /= 2;
				continue;
			}
			excess -= sum;
			for (unsigned c = 0; c < 256; c++)
				len[c] += key[c] < bound;
		}
		for (unsigned c = 0; c < 256; c++)
			key[c] = key_least(work, c);
	}
	return (uint32_t)((int32_t)KRAFT_FULL + excess);
}

/* Step 3, the same with halves. */
BLOCK_INLINE void lens_down(uint32_t kraft, struct block_work *work)
{
	int32_t free = (int32_t)(KRAFT_FULL - kraft);
	uint32_t *len = work->len;
	int32_t *key = work->key;
	int32_t range = INT32_MAX;

	for (unsigned c = 0; c < 256; c++)
		key[c] = key_most(work, c, free);
	while (free) {
		int32_t most = KEY_NEVER_MOST, bound, sum = 0;

		for (unsigned c = 0; c < 256; c++)
			most = key[c] > most ? key[c] : most;
		most |= KEY_SYMBOLS;
		range = MIN(range, most / 2 & ~KEY_SYMBOLS);
		bound = most - range;
		if (range <= KEY_SYMBOLS) {
			for (unsigned c = 0; c < 256; c++) {
				int32_t share = (int32_t)(KRAFT_FULL >> len[c]);

				if (key[c] >= most - KEY_SYMBOLS && share <= free) {
					free -= share;
					len[c]--;
				}
			}
			range = INT32_MAX;
		} else {
			for (unsigned c = 0; c < 256; c++)
				sum += key[c] > bound ? (int32_t)(KRAFT_FULL >> len[c]) : 0;
			if (sum > free) {
				range /= 2;
				continue;
			}
			free -= sum;
			for (unsigned c = 0; c < 256; c++)
				len[c] -= key[c] > bound;
		}
		for (unsigned c = 0; c < 256; c++)
			key[c] = key_most(work, c, free);
	}
}

/* Choose all lengths. Returns the longest, and in *@bits what all literals take. */
BLOCK_INLINE unsigned lens(size_t n, struct block_work *work, uint32_t *bits)
{
	uint32_t kraft = first_lens(n, work);
	uint32_t max_len = 0, sum = 0;

	if (kraft > KRAFT_FULL)
		kraft = lens_up(kraft, work);
	if (kraft < KRAFT_FULL)
		lens_down(kraft, work);
	for (unsigned c = 0; c < 256; c++) {
		max_len = work->len[c] > max_len ? work->len[c] : max_len;
		sum += work->len[c] * work->count[0][c];
	}
	*bits = sum;
	return max_len;
}

static unsigned plain_lens(size_t n, struct block_work *work, uint32_t *bits)
{
	return lens(n, work, bits);
}

#if BLOCK_X86
BLOCK_TARGET_AVX2 static unsigned avx2_lens(size_t n, struct block_work *work, uint32_t *bits)
{
	return lens(n, work, bits);
}
#endif

static unsigned choose_lens(enum block_impl impl, size_t n, struct block_work *work, uint32_t *bits)
{
#if BLOCK_X86
	if (impl >= BLOCK_AVX2)
		return avx2_lens(n, work, bits);
#endif
	(void)impl;
	return plain_lens(n, work, bits);
}

/* Codes as RFC 8878, 4.2.1.3: the longest first, from zero on, each length in the symbols'
 * order. */
static void assign_codes(unsigned max_len, struct block_work *work)
{
	uint64_t next[BLOCK_LEN_MAX + 1] = {0};
	uint64_t code = 0;

	for (unsigned c = 0; c < 256; c++)
		next[work->len[c]]++;
	/* Left aligned, with the length in the low bits. */
	for (unsigned len = max_len; len > 0; len--) {
		uint64_t nr = next[len];

		next[len] = code << (64 - len) | len;
		code = (code + nr) / 2;
	}
	for (unsigned c = 0; c < 256; c++) {
		unsigned len = work->len[c];

		work->code[c] = next[len];
		next[len] += UINT64_C(1) << (-len & 63);
	}
}

/* The weights' own counts, scaled to sum up to the cells of the table. */
static void weights_norm(const uint8_t *weight, unsigned nr, uint8_t norm[WEIGHT_MAX + 1])
{
	uint32_t count[WEIGHT_MAX + 1] = {0};
	unsigned sum = 0, top = 0;

	for (unsigned i = 0; i < nr; i++)
		count[weight[i]]++;
	for (unsigned w = 0; w <= WEIGHT_MAX; w++) {
		norm[w] = count[w] ? (uint8_t)MAX(count[w] * WEIGHT_CELLS / nr, 1u) : 0;
		sum += norm[w];
	}
	for (;; sum--) {
		for (unsigned w = top = 0; w <= WEIGHT_MAX; w++)
			top = norm[w] > norm[top] ? w : top;
		if (sum <= WEIGHT_CELLS)
			break;
		norm[top]--;
	}
	norm[top] = (uint8_t)(norm[top] + WEIGHT_CELLS - sum);
}

/* The table's description, RFC 8878 4.1.1. Returns its end. */
static uint8_t *weights_table(const uint8_t norm[WEIGHT_MAX + 1], uint8_t *dst)
{
	struct block_bits b = {.p = dst};
	uint32_t left = WEIGHT_CELLS + 1, step = WEIGHT_CELLS;
	unsigned bits = WEIGHT_LOG + 1;

	block_bits_put(&b, WEIGHT_LOG - 5, 4);
	for (unsigned w = 0; left > 1;) {
		uint32_t v = norm[w++];
		uint32_t spare = 2 * step - 1 - left;
		bool none = !v;

		left -= v++;
		if (v >= step)
			v += spare;
		block_bits_put(&b, v, v < spare ? bits - 1 : bits);
		for (; left < step; step /= 2)
			bits--;
		if (none) {
			unsigned run = 0;

			while (!norm[w + run])
				run++;
			w += run;
			for (; run >= 3; run -= 3)
				block_bits_put(&b, 3, 2);
			block_bits_put(&b, run, 2);
		}
		block_bits_flush(&b);
	}
	put_u64(b.p, b.acc);
	return b.p + (b.nr + 7) / 8;
}

/* What the coder needs of one weight: its cells stand in order at @first; with @bits bits taken
 * off, states from @limit on come down to them, those below with one bit less. */
struct weight_code {
	uint8_t first, norm, bits, limit;
};

static void weights_code(const uint8_t norm[WEIGHT_MAX + 1], struct weight_code *code,
			 uint8_t cell[WEIGHT_CELLS])
{
	uint8_t owner[WEIGHT_CELLS], next[WEIGHT_MAX + 1];
	unsigned at = 0, first = 0;

	for (unsigned w = 0; w <= WEIGHT_MAX; w++) {
		struct weight_code *k = &code[w];

		k->first = next[w] = (uint8_t)first;
		k->norm = norm[w];
		k->bits = (uint8_t)(WEIGHT_LOG - (norm[w] > 1 ? block_log2(norm[w] - 1u) : 0));
		k->limit = (uint8_t)(norm[w] << k->bits);
		first += norm[w];
		for (unsigned i = 0; i < norm[w]; i++) {
			owner[at] = (uint8_t)w;
			at = (at + 43) % WEIGHT_CELLS;
		}
	}
	for (unsigned i = 0; i < WEIGHT_CELLS; i++)
		cell[next[owner[i]]++] = (uint8_t)(WEIGHT_CELLS + i);
}

static inline unsigned put_weight(struct block_bits *b, unsigned state, const struct weight_code *k,
				  const uint8_t *cell)
{
	unsigned bits = k->bits - (state < k->limit);

	block_bits_put(b, state & ((1u << bits) - 1), bits);
	return cell[k->first + (state >> bits) - k->norm];
}

/* Two states take turns, from the last weight to the first; that of even places ends the stream.
 * Each begins in the lowest cell of its first weight, at no cost. */
static uint8_t *weights_stream(const uint8_t *weight, unsigned nr, const struct weight_code *code,
			       const uint8_t *cell, uint8_t *dst)
{
	struct block_bits b = {.p = dst};
	unsigned one = cell[code[weight[nr - 1]].first];
	unsigned two = cell[code[weight[nr - 2]].first];
	unsigned i;

	for (i = nr - 2; i >= 2; i -= 2) {
		one = put_weight(&b, one, &code[weight[i - 1]], cell);
		two = put_weight(&b, two, &code[weight[i - 2]], cell);
		block_bits_flush(&b);
	}
	if (i)
		one = put_weight(&b, one, &code[weight[0]], cell);
	block_bits_put(&b, (nr % 2 ? two : one) - WEIGHT_CELLS, WEIGHT_LOG);
	block_bits_put(&b, (nr % 2 ? one : two) - WEIGHT_CELLS, WEIGHT_LOG);
	return block_bits_end(&b);
}

/* Returns the length at @dst, or 0 when there is no such form. */
static size_t weights_fse(const uint8_t *weight, unsigned nr, uint8_t *dst)
{
	struct weight_code code[WEIGHT_MAX + 1];
	uint8_t norm[WEIGHT_MAX + 1], cell[WEIGHT_CELLS];
	uint8_t *end;

	if (nr < 3 || memcmp(weight, weight + 1, nr - 1) == 0)
		return 0;
	weights_norm(weight, nr, norm);
	weights_code(norm, code, cell);
	end = weights_table(norm, dst);
	end = weights_stream(weight, nr, code, cell, end);
	return end - dst <= WEIGHT_FSE_MAX ? (size_t)(end - dst) : 0;
}

/* Write the weights of all symbols but the last. Returns their end, or NULL when there is no legal
 * form. */
static uint8_t *write_weights(unsigned max_len, uint8_t *dst, struct block_work *work)
{
	uint8_t *weight = work->weight;
	size_t direct, coded;
	unsigned nr = 255;

	while (!work->len[nr])
		nr--;
	direct = (nr + 1) / 2;

	for (unsigned c = 0; c < nr; c++)
		weight[c] = work->len[c] ? (uint8_t)(max_len + 1 - work->len[c]) : 0;
	coded = weights_fse(weight, nr, dst + 1);
	if (nr <= WEIGHT_DIRECT && (!coded || direct <= coded)) {
		weight[nr] = 0;
		*dst++ = (uint8_t)(127 + nr);
		for (unsigned c = 0; c < nr; c += 2)
			*dst++ = (uint8_t)(weight[c] << 4 | weight[c + 1]);
		return dst;
	}
	*dst = (uint8_t)coded;
	return coded ? dst + 1 + coded : NULL;
}

/* Write the jump table and the four streams. Returns their end. */
static uint8_t *write_streams(enum block_impl impl, const uint8_t *s, size_t n, unsigned max_len,
			      uint8_t *dst, struct block_work *work)
{
	uint8_t *jump = dst;
	size_t len[4];

	dst += 6;
	block_streams_write(impl, s, n, max_len, dst, work, len);
	dst += len[0];
	for (unsigned k = 0; k < 3; k++) {
		put_u16(jump + 2 * k, (uint16_t)len[k]);
		memcpy(dst, work->stream[k], len[k + 1]);
		dst += len[k + 1];
	}
	return dst;
}

/* Write weights and streams. Returns their end, or NULL when they do not pay. */
static uint8_t *write_coded(enum block_impl impl, const uint8_t *lits, size_t n, uint8_t *dst,
			    struct block_work *work)
{
	size_t limit = n - n / BLOCK_GAIN;
	uint32_t bits;
	unsigned max_len = choose_lens(impl, n, work, &bits);
	uint8_t *end;

	/* A block of one symbol never comes here: it takes two for a full sum. */
	assert(max_len >= 1);
	end = write_weights(max_len, dst, work);
	if (!end)
		return NULL;
	/* Too long if every stream but for its 1 bit filled its bytes: spare the work. */
	if ((size_t)(end - dst) + 6 + (bits + 4 + 7) / 8 >= limit)
		return NULL;
	assign_codes(max_len, work);
	end = write_streams(impl, lits, n, max_len, end, work);
	return (size_t)(end - dst) < limit ? end : NULL;
}

static uint8_t *write_raw(const uint8_t *lits, size_t n, uint8_t *dst)
{
	if (n < 32) {
		*dst++ = (uint8_t)(LITS_RAW | n << 3);
	} else if (n < 4096) {
		put_u16(dst, (uint16_t)(LITS_RAW | 1u << 2 | n << 4));
		dst += 2;
	} else {
		put_u32(dst, (uint32_t)(LITS_RAW | 3u << 2 | n << 4));
		dst += 3;
	}
	memcpy(dst, lits, n);
	return dst + n;
}

uint8_t *block_huf_write(enum block_impl impl, const uint8_t *lits, size_t n, uint8_t *dst,
			 struct block_work *work)
{
	unsigned form = 1 + (n >= 1024) + (n >= 16384);
	size_t head = form + 2;
	uint64_t len;
	uint8_t *end;

	if (n < HUF_MIN)
		return write_raw(lits, n, dst);
	end = write_coded(impl, lits, n, dst + head, work);
	if (!end)
		return write_raw(lits, n, dst);
	len = (uint64_t)(end - dst) - head;
	len = LITS_COMPRESSED | form << 2 | n << 4 |
	      len << (4 + (form == 1   ? 10
			   : form == 2 ? 14
				       : 18));
	for (size_t i = 0; i < head; i++)
		dst[i] = (uint8_t)(len >> 8 * i);
	return end;
}
