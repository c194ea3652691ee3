/* The first look at a block, and its runs.
 *
 * Noise: of each whole 256 bytes, 32 are looked at, which ones changes from group to group. They
 * are noise when hardly more of them are equal than chance would have it, and hardly any equal
 * their right neighbour. If two bytes are equal with probability (1 + x) / 256, coding single bytes
 * gains at most log2(1 + x) bits of eight; the bound here is x = 1/4, 0.32 bits, and a block has to
 * gain 8 / BLOCK_GAIN = 0.5. Noise planes are common, and this costs an eighth of counting them.
 *
 * Runs: a maximal run of L equal bytes is worth a sequence when L - 1 times the bits of its symbol
 * are more than 15. What they are is taken from counts in which no run has more than 16 bytes. The
 * first byte stays a literal, so every sequence has one, and a match at distance 1 (the repeat
 * offset that every frame begins with, and that then stays) gives the others.
 *
 * Sequences: their codes use constant tables in which each code that occurs has one state. So a
 * sequence is a number of 12 bits and more, whatever its neighbours are. */
#include "codec/block_impl.h"

#include "conf/base.h"

#if BLOCK_X86
#include <immintrin.h>
#endif

#define GROUP_LEN 256u
#define PIECE_LEN 32u

#define RUN_MIN	 4u  /* shortest that is ever worth a sequence */
#define RUN_TRIM 16u /* bytes of a run that count for the price of its symbol */
#define RUN_BITS 15u /* what a sequence costs, about */

/* The shortest run worth one, by the bits of its symbol: its bytes but the first have more bits. */
#define WORTH(len) (RUN_BITS / (len) + 2 > RUN_MIN ? RUN_BITS / (len) + 2 : RUN_MIN)
static const uint8_t min_run[BLOCK_LEN_MAX + 1] = {
	[1] = WORTH(1), [2] = WORTH(2),	  [3] = WORTH(3),   [4] = WORTH(4),
	[5] = WORTH(5), [6] = WORTH(6),	  [7] = WORTH(7),   [8] = WORTH(8),
	[9] = WORTH(9), [10] = WORTH(10), [11] = WORTH(11),
};

#define MATCH_MIN 3u

/* Up to so many runs in 64 bytes are counted one by one. Measured: 8 to 16 are alike. */
#define RUNS_FEW 12

/* Bit i of 8: byte i of both is equal. */
static uint64_t equal8(uint64_t a, uint64_t b)
{
	const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f);
	uint64_t x = a ^ b;

	x = ~(((x & low) + low) | x | low);
	return (x >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

/* Bit i of 64: byte i of both is equal. */
static uint64_t plain_equal64(const uint8_t *a, const uint8_t *b)
{
	uint64_t m = 0;

	for (unsigned i = 0; i < 64; i += 8)
		m |= equal8(get_u64(a + i), get_u64(b + i)) << i;
	return m;
}

#if BLOCK_X86
BLOCK_TARGET_AVX2 static inline uint32_t avx2_equal32(const uint8_t *a, const uint8_t *b)
{
	__m256i x = _mm256_loadu_si256((const __m256i *)(const void *)a);
	__m256i y = _mm256_loadu_si256((const __m256i *)(const void *)b);

	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, y));
}

BLOCK_TARGET_AVX2 static inline uint64_t avx2_equal64(const uint8_t *a, const uint8_t *b)
{
	return avx2_equal32(a, b) | (uint64_t)avx2_equal32(a + 32, b + 32) << 32;
}
#endif

/* Four tables, so that equal bytes need not wait for each other's count. */
BLOCK_INLINE void count8(uint32_t count[4][256], const uint8_t *s)
{
	count[0][s[0]]++;
	count[1][s[1]]++;
	count[2][s[2]]++;
	count[3][s[3]]++;
	count[0][s[4]]++;
	count[1][s[5]]++;
	count[2][s[6]]++;
	count[3][s[7]]++;
}

/* The same for 64 bytes most of which equal their right neighbour: one addition a run. */
BLOCK_INLINE void count_runs(uint32_t count[4][256], const uint8_t *s, uint64_t eq)
{
	uint64_t ends = ~eq | UINT64_C(1) << 63;
	unsigned from = 0;

	for (unsigned k = 0; ends; k++) {
		unsigned to = (unsigned)__builtin_ctzll(ends) + 1;

		count[k % 4][s[to - 1]] += to - from;
		from = to;
		ends &= ends - 1;
	}
}

static void count_sum(uint32_t count[4][256])
{
	for (unsigned c = 0; c < 256; c++)
		count[0][c] += count[1][c] + count[2][c] + count[3][c];
}

static uint32_t plain_pairs(const uint8_t *p)
{
	uint32_t m = 0;

	for (unsigned i = 0; i < 24; i += 8)
		m |= (uint32_t)equal8(get_u64(p + i), get_u64(p + i + 1)) << i;
	/* The last seven pairs overlap one that is known. */
	return m | (uint32_t)equal8(get_u64(p + 23), get_u64(p + 24)) << 23;
}

#if BLOCK_X86
/* Without a look at the 33rd byte, which may not be there. */
BLOCK_TARGET_AVX2 static inline uint32_t avx2_pairs(const uint8_t *p)
{
	__m256i x = _mm256_loadu_si256((const __m256i *)(const void *)p);
	__m256i upper = _mm256_permute2x128_si256(x, x, 0x81);
	__m256i next = _mm256_alignr_epi8(upper, x, 1);

	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, next)) & 0x7fffffff;
}
#endif

BLOCK_INLINE bool noise(const uint8_t *s, size_t n, uint32_t count[4][256],
			uint32_t (*pairs)(const uint8_t *p))
{
	uint64_t m = n / GROUP_LEN * PIECE_LEN;
	uint64_t nr_pairs = 0, squares = 0;

	memset(count, 0, 4 * sizeof(count[0]));
	for (size_t g = 0; g < n / GROUP_LEN; g++) {
		uint32_t piece = (uint32_t)g * 0x9e3779b1u >> 29;
		const uint8_t *p = s + g * GROUP_LEN + (size_t)piece * PIECE_LEN;

		nr_pairs += (unsigned)__builtin_popcount(pairs(p));
		for (unsigned i = 0; i < PIECE_LEN; i += 8)
			count8(count, p + i);
	}
	if (nr_pairs > m / 64)
		return false;
	count_sum(count);
	for (unsigned c = 0; c < 256; c++)
		squares += (uint64_t)count[0][c] * count[0][c];
	return 256 * (squares - m) < m * m + m * m / 4;
}

/* The lists of begins and ends grow by a word's bits at a time. */
BLOCK_INLINE uint16_t *mark_bits(uint16_t *mark, uint64_t bits, size_t at)
{
	unsigned nr = (unsigned)__builtin_popcountll(bits);

	/* Four at once: which of them are there is hard to foresee. Beyond the end is scratch. */
	for (unsigned done = 0; done < nr; done += 4) {
		for (unsigned i = 0; i < 4; i++) {
			mark[done + i] =
				(uint16_t)(at + (size_t)__builtin_ctzll(bits | 1ull << 63));
			bits &= bits - 1;
		}
	}
	return mark + nr;
}

/* With eq the bytes that equal their right neighbour, the third and later bytes that do in a row
 * are eq & eq << 1 & eq << 2; runs of 4 and more begin and end where that changes. */
BLOCK_INLINE size_t scan(const uint8_t *s, size_t n, struct block_work *work,
			 uint64_t (*equal64)(const uint8_t *a, const uint8_t *b))
{
	uint64_t eq_before = 0, in_before = 0;
	uint16_t *mark = work->mark;
	uint8_t rest[64 + 1 + 8] = {0};
	size_t i = 0;

	memset(work->count, 0, sizeof(work->count));
	for (;;) {
		const uint8_t *p = s + i;
		size_t here = 64;
		uint64_t eq, in, change;

		if (n - i > 64) {
			eq = equal64(p, p + 1);
		} else {
			/* The last bytes; the very last equals no neighbour. */
			here = n - i;
			memcpy(rest, p, here);
			p = rest;
			eq = equal64(p, p + 1) & ((1ull << (here - 1)) - 1);
		}
		in = eq & (eq << 1 | eq_before >> 63) & (eq << 2 | eq_before >> 62);
		change = in ^ (in << 1 | in_before >> 63);
		if (change)
			mark = mark_bits(mark, change, i);
		eq_before = eq;
		in_before = in;
		if (here == 64 && __builtin_popcountll(eq) >= 64 - RUNS_FEW) {
			count_runs(work->count, p, eq);
		} else if (here == 64) {
			for (unsigned k = 0; k < 64; k += 8)
				count8(work->count, p + k);
		} else {
			for (unsigned k = 0; k < here; k++)
				work->count[k % 4][p[k]]++;
		}
		i += here;
		if (i == n)
			break;
	}
	count_sum(work->count);
	return (size_t)(mark - work->mark) / 2;
}

static size_t run_at(const struct block_work *work, size_t i)
{
	return work->mark[2 * i] - 2u;
}

static uint32_t run_len(const struct block_work *work, size_t i)
{
	return work->mark[2 * i + 1] - work->mark[2 * i] + 3u;
}

/* The bits of each symbol, by counts in which long runs are cut short, to work->len. */
BLOCK_INLINE void price(const uint8_t *s, size_t nr_runs, struct block_work *work)
{
	uint32_t *cut = work->count[1], *turn = work->count[2];
	uint32_t longest = 0, total = 0;

	for (size_t i = 0; i < nr_runs; i++)
		longest = MAX(longest, run_len(work, i));
	/* The counting's other tables are free by now; two, as runs next to each other are often of
	 * one byte, and then the one waits for the other. */
	memcpy(cut, work->count[0], sizeof(work->count[0]));
	memset(turn, 0, sizeof(work->count[0]));
	for (size_t i = 0; longest > RUN_TRIM && i < nr_runs; i++)
		work->count[1 + i % 2][s[run_at(work, i)]] -=
			MAX(run_len(work, i), RUN_TRIM) - RUN_TRIM;
	for (unsigned c = 0; c < 256; c++) {
		cut[c] += turn[c];
		total += cut[c];
	}
	block_lens(cut, block_shannon_root(total), work->len);
}

BLOCK_INLINE size_t pick(const uint8_t *s, size_t nr_runs, struct block_work *work)
{
	size_t nr = 0, end = 0;

	price(s, nr_runs, work);
	for (size_t i = 0; i < nr_runs; i++) {
		size_t at = run_at(work, i);
		uint32_t len = run_len(work, i);
		size_t worth = len >= min_run[work->len[s[at]]];

		/* Whether it is cannot be foreseen, so there are no branches: write it, and keep it
		 * or not. */
		work->seq[nr].at = (uint16_t)at;
		work->seq[nr].len = (uint16_t)len;
		work->seq[nr].lits = (uint16_t)(at + 1 - end);
		end += (at + len - end) & -worth;
		nr += worth;
	}
	for (size_t i = 0; i < nr; i++)
		work->count[0][s[work->seq[i].at]] -= work->seq[i].len - 1u;
	return nr;
}

/* Most stretches of literals between runs are short: 32 bytes are copied where fewer are wanted,
 * unless that would read beyond the block. */
size_t block_runs_gather(const uint8_t *s, size_t n, size_t nr_seq, struct block_work *work)
{
	uint8_t *to = work->lits;
	size_t from = 0;

	for (size_t i = 0; i < nr_seq; i++) {
		const struct block_seq *q = &work->seq[i];

		if (q->lits <= 32 && from + 32 <= n)
			memcpy(to, s + from, 32);
		else
			memcpy(to, s + from, q->lits);
		to += q->lits;
		from = (size_t)q->at + q->len;
	}
	memcpy(to, s + from, n - from);
	return (size_t)(to - work->lits) + n - from;
}

/* RFC 8878, 3.1.1.3.2.1.1. The code of a small length, and the extra bits of a code; lengths beyond
 * the tables have one code for each power of two, with all bits below it extra. Baselines are
 * multiples of what the extra bits can say, so these are the length's own low bits. */
#define LITS_SMALL  64u
#define MATCH_SMALL 128u

static const uint8_t lits_code[LITS_SMALL] = {
	0,
	1,
	2,
	3,
	4,
	5,
	6,
	7,
	8,
	9,
	10,
	11,
	12,
	13,
	14,
	15,
	[16 ... 17] = 16,
	[18 ... 19] = 17,
	[20 ... 21] = 18,
	[22 ... 23] = 19,
	[24 ... 27] = 20,
	[28 ... 31] = 21,
	[32 ... 39] = 22,
	[40 ... 47] = 23,
	[48 ... 63] = 24,
};
static const uint8_t lits_extra[25] = {[16 ... 19] = 1, [20 ... 21] = 2, [22 ... 23] = 3, [24] = 4};

/* Of the match length less MATCH_MIN, from 32 on; below, it is the code. */
static const uint8_t match_code[MATCH_SMALL] = {
	[32 ... 33] = 32, [34 ... 35] = 33, [36 ... 37] = 34,  [38 ... 39] = 35,
	[40 ... 43] = 36, [44 ... 47] = 37, [48 ... 55] = 38,  [56 ... 63] = 39,
	[64 ... 79] = 40, [80 ... 95] = 41, [96 ... 127] = 42,
};
static const uint8_t match_extra[43] = {
	[32 ... 35] = 1, [36 ... 37] = 2, [38 ... 39] = 3, [40 ... 41] = 4, [42] = 5};

/* Accuracy log 6, codes 0 to 34 (0 to 51) with one state of 64 each, the next code, which does not
 * occur in blocks this short, with the rest. Between the two, the one offset code. */
#define STATE_BITS 6u
static const uint8_t tables[] = {
	0x21, 0x08, 0x82, 0x20, 0x08, 0x21, 0x84, 0x10, 0x42, 0x08, 0x21, 0x84,
	0x10, 0x42, 0x08, 0x21, 0x84, 0x10, 0x42, 0x08, 0x21, 0x84, 0x10, 0x1f, /* literals */
	0x00, 0x21, 0x08, 0x82, 0x20, 0x08, 0x21, 0x84, 0x10, 0x42, 0x08, 0x21,
	0x84, 0x10, 0x42, 0x08, 0x21, 0x84, 0x10, 0x42, 0x08, 0x21, 0x84, 0x10,
	0x42, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0xc8, 0x03, /* matches */
};
#define TABLE_MODES 0x98 /* FSE, one code, FSE */

/* Where the decoder's table puts the one state of a code. */
static uint64_t state_of(unsigned code)
{
	return code * 43 & 63;
}

static void put_seq(struct block_bits *b, const struct block_seq *q)
{
	uint32_t lits = q->lits, match = q->len - 1u - MATCH_MIN;
	unsigned code, extra;
	uint64_t states;

	if (lits < LITS_SMALL) {
		code = lits_code[lits];
		extra = lits_extra[code];
	} else {
		extra = block_log2(lits);
		code = extra + 19;
	}
	block_bits_put(b, lits & ((1u << extra) - 1), extra);
	states = state_of(code) << STATE_BITS;
	if (match < 32) {
		code = match;
		extra = 0;
	} else if (match < MATCH_SMALL) {
		code = match_code[match];
		extra = match_extra[code];
	} else {
		extra = block_log2(match);
		code = extra + 36;
	}
	block_bits_put(b, match & ((1u << extra) - 1), extra);
	block_bits_put(b, states | state_of(code), 2 * STATE_BITS);
	block_bits_flush(b);
}

uint8_t *block_runs_write(size_t nr_seq, uint8_t *dst, const struct block_work *work)
{
	struct block_bits b = {0};

	/* minimal runs of 4 keep the number below the third form's 0x7f00 */
	if (nr_seq < 128) {
		*dst++ = (uint8_t)nr_seq;
	} else {
		*dst++ = (uint8_t)(0x80 + (nr_seq >> 8));
		*dst++ = (uint8_t)nr_seq;
	}
	if (!nr_seq)
		return dst;
	*dst++ = TABLE_MODES;
	memcpy(dst, tables, sizeof(tables));
	b.p = dst + sizeof(tables);
	for (size_t i = nr_seq; i-- > 0;)
		put_seq(&b, &work->seq[i]);
	return block_bits_end(&b);
}

static bool plain_noise(const uint8_t *s, size_t n, struct block_work *work)
{
	return noise(s, n, work->count, plain_pairs);
}

static size_t plain_scan(const uint8_t *s, size_t n, struct block_work *work)
{
	return scan(s, n, work, plain_equal64);
}

static size_t plain_pick(const uint8_t *s, size_t nr_runs, struct block_work *work)
{
	return pick(s, nr_runs, work);
}

#if BLOCK_X86
BLOCK_TARGET_AVX2 static bool avx2_noise(const uint8_t *s, size_t n, struct block_work *work)
{
	return noise(s, n, work->count, avx2_pairs);
}

BLOCK_TARGET_AVX2 static size_t avx2_scan(const uint8_t *s, size_t n, struct block_work *work)
{
	return scan(s, n, work, avx2_equal64);
}

BLOCK_TARGET_AVX2 static size_t avx2_pick(const uint8_t *s, size_t nr_runs, struct block_work *work)
{
	return pick(s, nr_runs, work);
}
#endif

bool block_runs_noise(enum block_impl impl, const uint8_t *s, size_t n, struct block_work *work)
{
#if BLOCK_X86
	if (impl >= BLOCK_AVX2)
		return avx2_noise(s, n, work);
#endif
	(void)impl;
	return plain_noise(s, n, work);
}

size_t block_runs_scan(enum block_impl impl, const uint8_t *s, size_t n, struct block_work *work)
{
#if BLOCK_X86
	if (impl >= BLOCK_AVX2)
		return avx2_scan(s, n, work);
#endif
	(void)impl;
	return plain_scan(s, n, work);
}

size_t block_runs_pick(enum block_impl impl, const uint8_t *s, size_t nr_runs,
		       struct block_work *work)
{
	if (!nr_runs)
		return 0;
#if BLOCK_X86
	if (impl >= BLOCK_AVX2)
		return avx2_pick(s, nr_runs, work);
#endif
	(void)impl;
	return plain_pick(s, nr_runs, work);
}
