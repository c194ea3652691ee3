/* Vectors of items: arithmetic, the maps, and planes from and to items, in AVX2. Private to
 * filter_avx2.c.
 *
 * @w is the width of an item, everywhere a constant once functions are inlined. */
#ifndef CODEC_FILTER_VEC_H
#define CODEC_FILTER_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define VEC ((size_t)32)

#define AVX2   __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline, target("avx2")))

/* For loops over a few vectors: while there is a loop, these are in memory, and gcc at -O2 leaves
 * it; that took three quarters of the speed. */
#define UNROLL _Pragma("GCC unroll 8")

/* Items come in blocks: as many as fill, in each plane, a vector or half of one. */
#define BLOCK_VECS_MAX 4

INLINE size_t block_items(unsigned w)
{
	return w == 8 ? 16 : 32;
}

INLINE size_t block_vecs(unsigned w)
{
	return block_items(w) * w / VEC;
}

INLINE __m128i load16(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

INLINE void store16(uint8_t *p, __m128i v)
{
	_mm_storeu_si128((__m128i *)(void *)p, v);
}

INLINE __m256i load32(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

INLINE void store32(uint8_t *p, __m256i v)
{
	_mm256_storeu_si256((__m256i *)(void *)p, v);
}

INLINE __m256i add(__m256i a, __m256i b, unsigned w)
{
	return w == 1	? _mm256_add_epi8(a, b)
	       : w == 2 ? _mm256_add_epi16(a, b)
	       : w == 4 ? _mm256_add_epi32(a, b)
			: _mm256_add_epi64(a, b);
}

INLINE __m128i add16(__m128i a, __m128i b, unsigned w)
{
	return w == 1	? _mm_add_epi8(a, b)
	       : w == 2 ? _mm_add_epi16(a, b)
	       : w == 4 ? _mm_add_epi32(a, b)
			: _mm_add_epi64(a, b);
}

INLINE __m256i sub(__m256i a, __m256i b, unsigned w)
{
	return w == 1	? _mm256_sub_epi8(a, b)
	       : w == 2 ? _mm256_sub_epi16(a, b)
	       : w == 4 ? _mm256_sub_epi32(a, b)
			: _mm256_sub_epi64(a, b);
}

/* For shuffles within 16 bytes: items to the other order of bytes, w > 1. */
INLINE __m128i turn_of(unsigned w)
{
	return w == 2	? _mm_setr_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
	       : w == 4 ? _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12)
			: _mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8);
}

INLINE __m128i turn16(__m128i x, unsigned w)
{
	return _mm_shuffle_epi8(x, turn_of(w));
}

INLINE __m256i turn(__m256i x, unsigned w)
{
	return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(turn_of(w)));
}

INLINE __m256i zigzag(__m256i d, unsigned w)
{
	const __m256i zero = _mm256_setzero_si256();
	__m256i minus = w == 1	 ? _mm256_cmpgt_epi8(zero, d)
			: w == 2 ? _mm256_cmpgt_epi16(zero, d)
			: w == 4 ? _mm256_cmpgt_epi32(zero, d)
				 : _mm256_cmpgt_epi64(zero, d);

	return _mm256_xor_si256(add(d, d, w), minus);
}

INLINE __m256i unzigzag(__m256i z, unsigned w)
{
	const __m256i one = w == 1   ? _mm256_set1_epi8(1)
			    : w == 2 ? _mm256_set1_epi16(1)
			    : w == 4 ? _mm256_set1_epi32(1)
				     : _mm256_set1_epi64x(1);
	__m256i minus = sub(_mm256_setzero_si256(), _mm256_and_si256(z, one), w);
	__m256i half = w == 1	? _mm256_and_si256(_mm256_srli_epi16(z, 1), _mm256_set1_epi8(0x7f))
		       : w == 2 ? _mm256_srli_epi16(z, 1)
		       : w == 4 ? _mm256_srli_epi32(z, 1)
				: _mm256_srli_epi64(z, 1);

	return _mm256_xor_si256(half, minus);
}

/* Take @bias from all but the sign of doubles. */
INLINE __m256i unbias(__m256i x, __m256i bias)
{
	const __m256i sign = _mm256_set1_epi64x(INT64_MIN);

	return _mm256_or_si256(_mm256_and_si256(x, sign),
			       _mm256_andnot_si256(sign, _mm256_sub_epi64(x, bias)));
}

INLINE __m256i float_map(__m256i x, __m256i bias, unsigned w)
{
	if (w == 2)
		return _mm256_or_si256(_mm256_slli_epi16(x, 1), _mm256_srli_epi16(x, 15));
	if (w == 4)
		return _mm256_or_si256(_mm256_slli_epi32(x, 1), _mm256_srli_epi32(x, 31));
	x = unbias(x, bias);
	return _mm256_or_si256(_mm256_slli_epi64(x, 4), _mm256_srli_epi64(x, 60));
}

INLINE __m256i float_unmap(__m256i z, __m256i bias, unsigned w)
{
	if (w == 2)
		return _mm256_or_si256(_mm256_srli_epi16(z, 1), _mm256_slli_epi16(z, 15));
	if (w == 4)
		return _mm256_or_si256(_mm256_srli_epi32(z, 1), _mm256_slli_epi32(z, 31));
	z = _mm256_or_si256(_mm256_srli_epi64(z, 4), _mm256_slli_epi64(z, 60));
	return unbias(z, _mm256_sub_epi64(_mm256_setzero_si256(), bias));
}

/* Planes. Shuffles of bytes and words stay within the two halves of a register, so double words or
 * quadruple words are first dealt out to the halves, so that they end in order. */

#define TURN4 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15 /* of 4 by 4 bytes */
#define DEAL  0, 2, 4, 6, 1, 3, 5, 7
#define ZIP   0, 4, 1, 5, 2, 6, 3, 7 /* undoes DEAL */

INLINE void join2(__m256i v[2], const uint8_t *p, size_t nr)
{
	__m256i a = _mm256_permute4x64_epi64(load32(p), 0xd8);
	__m256i b = _mm256_permute4x64_epi64(load32(p + nr), 0xd8);

	v[0] = _mm256_unpacklo_epi8(a, b);
	v[1] = _mm256_unpackhi_epi8(a, b);
}

INLINE void split2(uint8_t *p, size_t nr, const __m256i v[2])
{
	const __m256i low = _mm256_set1_epi16(0xff);
	__m256i a = _mm256_packus_epi16(_mm256_and_si256(v[0], low), _mm256_and_si256(v[1], low));
	__m256i b = _mm256_packus_epi16(_mm256_srli_epi16(v[0], 8), _mm256_srli_epi16(v[1], 8));

	store32(p, _mm256_permute4x64_epi64(a, 0xd8));
	store32(p + nr, _mm256_permute4x64_epi64(b, 0xd8));
}

INLINE void join4(__m256i v[4], const uint8_t *p, size_t nr)
{
	const __m256i deal = _mm256_setr_epi32(DEAL);
	__m256i r[4];

	UNROLL
	for (size_t b = 0; b < 4; b++)
		r[b] = _mm256_permutevar8x32_epi32(load32(p + b * nr), deal);
	__m256i p01a = _mm256_unpacklo_epi8(r[0], r[1]);
	__m256i p01b = _mm256_unpackhi_epi8(r[0], r[1]);
	__m256i p23a = _mm256_unpacklo_epi8(r[2], r[3]);
	__m256i p23b = _mm256_unpackhi_epi8(r[2], r[3]);

	v[0] = _mm256_unpacklo_epi16(p01a, p23a);
	v[1] = _mm256_unpackhi_epi16(p01a, p23a);
	v[2] = _mm256_unpacklo_epi16(p01b, p23b);
	v[3] = _mm256_unpackhi_epi16(p01b, p23b);
}

/* From four registers of which each half holds 4 bytes of each of 4 planes: one plane each. */
INLINE void part4(__m256i r[4], const __m256i v[4])
{
	__m256i p01a = _mm256_unpacklo_epi32(v[0], v[1]);
	__m256i p23a = _mm256_unpackhi_epi32(v[0], v[1]);
	__m256i p01b = _mm256_unpacklo_epi32(v[2], v[3]);
	__m256i p23b = _mm256_unpackhi_epi32(v[2], v[3]);

	r[0] = _mm256_unpacklo_epi64(p01a, p01b);
	r[1] = _mm256_unpackhi_epi64(p01a, p01b);
	r[2] = _mm256_unpacklo_epi64(p23a, p23b);
	r[3] = _mm256_unpackhi_epi64(p23a, p23b);
}

INLINE void split4(uint8_t *p, size_t nr, const __m256i v[4])
{
	const __m256i turn = _mm256_setr_epi8(TURN4, TURN4);
	const __m256i zip = _mm256_setr_epi32(ZIP);
	__m256i t[4], r[4];

	UNROLL
	for (int k = 0; k < 4; k++)
		t[k] = _mm256_shuffle_epi8(v[k], turn);
	part4(r, t);
	UNROLL
	for (size_t b = 0; b < 4; b++)
		store32(p + b * nr, _mm256_permutevar8x32_epi32(r[b], zip));
}

/* The low four bytes of items are made in the lower halves, the high ones in the upper. */
INLINE void join8(__m256i v[4], const uint8_t *p, size_t nr)
{
	const __m256i zip = _mm256_setr_epi32(ZIP);
	__m256i r[4];

	UNROLL
	for (size_t b = 0; b < 4; b++) {
		__m256i lower = _mm256_castsi128_si256(load16(p + b * nr));

		r[b] = _mm256_inserti128_si256(lower, load16(p + (b + 4) * nr), 1);
	}
	__m256i p01a = _mm256_unpacklo_epi8(r[0], r[1]);
	__m256i p01b = _mm256_unpackhi_epi8(r[0], r[1]);
	__m256i p23a = _mm256_unpacklo_epi8(r[2], r[3]);
	__m256i p23b = _mm256_unpackhi_epi8(r[2], r[3]);

	v[0] = _mm256_unpacklo_epi16(p01a, p23a);
	v[1] = _mm256_unpackhi_epi16(p01a, p23a);
	v[2] = _mm256_unpacklo_epi16(p01b, p23b);
	v[3] = _mm256_unpackhi_epi16(p01b, p23b);
	UNROLL
	for (int k = 0; k < 4; k++)
		v[k] = _mm256_permutevar8x32_epi32(v[k], zip);
}

INLINE void split8(uint8_t *p, size_t nr, const __m256i v[4])
{
	const __m256i turn = _mm256_setr_epi8(TURN4, TURN4);
	const __m256i deal = _mm256_setr_epi32(DEAL);
	__m256i t[4], r[4];

	UNROLL
	for (int k = 0; k < 4; k++)
		t[k] = _mm256_shuffle_epi8(_mm256_permutevar8x32_epi32(v[k], deal), turn);
	part4(r, t);
	UNROLL
	for (size_t b = 0; b < 4; b++) {
		store16(p + b * nr, _mm256_castsi256_si128(r[b]));
		store16(p + (b + 4) * nr, _mm256_extracti128_si256(r[b], 1));
	}
}

INLINE void join(__m256i *v, const uint8_t *p, size_t nr, unsigned w)
{
	if (w == 1)
		v[0] = load32(p);
	else if (w == 2)
		join2(v, p, nr);
	else if (w == 4)
		join4(v, p, nr);
	else
		join8(v, p, nr);
}

INLINE void split(uint8_t *p, size_t nr, const __m256i *v, unsigned w)
{
	if (w == 1)
		store32(p, v[0]);
	else if (w == 2)
		split2(p, nr, v);
	else if (w == 4)
		split4(p, nr, v);
	else
		split8(p, nr, v);
}

#endif
