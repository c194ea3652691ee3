/* Differences are cut to one byte each: an eighth of the largest common ones decides the scale, so
 * that a sum of absolute differences tells near from far for any width, at 16 items an instruction
 * of the plainest SSE2.
 *
 * At each of some 30000 distances few items are compared, so among them some look alike by chance.
 * What stands out is therefore looked at again, at eight times as many: it counts when its sum is
 * below 7/8 of what is usual. Of a distance and its multiples, which are rows too, the smallest that
 * is almost as good is the row. */
#include "codec/pitch.h"

#include <stdlib.h>
#include <string.h>

#include "conf/base.h"
#include "conf/bytes.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#define PIECES	  8u		  /* that are compared at each distance ... */
#define PIECES_2  64u		  /* ... and at the second look */
#define LOOKS_2	  8u		  /* distances that get one */
#define USUAL	  64u		  /* distances that say what is usual */
#define PIECE_LEN 64u		  /* items compared, of each */
#define LAG_MAX	  ((size_t)32768) /* items */
#define LAG_MIN	  8u		  /* shorter ones are tried as distances anyway */

size_t pitch_work_len(size_t len)
{
	return round_up(len, 64) + LAG_MAX * sizeof(uint32_t);
}

static int64_t item_at(const uint8_t *p, unsigned w)
{
	switch (w) {
	case 1:
		return (int8_t)*p;
	case 2:
		return (int16_t)get_u16(p);
	case 4:
		return (int32_t)get_u32(p);
	default:
		return (int64_t)get_u64(p);
	}
}

/* The difference of items @dist apart, as wide as they are. */
static int64_t step_at(const uint8_t *items, size_t i, unsigned w, unsigned dist)
{
	uint64_t d = (uint64_t)item_at(items + i * w, w);

	if (i >= dist)
		d -= (uint64_t)item_at(items + (i - dist) * w, w);
	/* modulo 2^(8w), as a signed number */
	return (int64_t)(d << (64 - 8 * w)) >> (64 - 8 * w);
}

/* Bits to shift steps by, so that three quarters of them fit into a signed byte. */
static unsigned scale_of(const uint8_t *items, size_t nr, unsigned w, unsigned dist)
{
	unsigned count[65] = {0}, sum = 0, bits = 0, looked = 0;

	for (size_t i = 0; i < nr; i += 1 + nr / 1024, looked++) {
		int64_t d = step_at(items, i, w, dist);
		uint64_t m = (uint64_t)(d < 0 ? ~d : d);

		count[m ? 64 - __builtin_clzll(m) : 0]++;
	}
	while (bits < 64 && (sum += count[bits]) * 4 < looked * 3)
		bits++;
	return bits > 7 ? bits - 7 : 0;
}

static void cut_steps(uint8_t *cut, const uint8_t *items, size_t nr, unsigned w, unsigned dist)
{
	unsigned shift = scale_of(items, nr, w, dist);

	for (size_t i = 0; i < nr; i++) {
		int64_t d = step_at(items, i, w, dist) >> shift;

		cut[i] = (uint8_t)((d < -128 ? -128 : d > 127 ? 127 : d) + 128);
	}
}

static uint32_t distance(const uint8_t *a, const uint8_t *b)
{
#if defined(__x86_64__)
	__m128i sum = _mm_setzero_si128();

	for (unsigned i = 0; i < PIECE_LEN; i += 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(a + i));
		__m128i y = _mm_loadu_si128((const __m128i *)(const void *)(b + i));

		sum = _mm_add_epi64(sum, _mm_sad_epu8(x, y));
	}
	return (uint32_t)(_mm_cvtsi128_si32(sum) + _mm_extract_epi16(sum, 4));
#else
	uint32_t sum = 0;

	for (unsigned i = 0; i < PIECE_LEN; i++)
		sum += (uint32_t)abs(a[i] - b[i]);
	return sum;
#endif
}

/* Pieces in equal steps, the first of which lies at least the largest lag behind the first item. */
struct look {
	const uint8_t *first;
	size_t step;
	unsigned nr;
};

static struct look look_of(const uint8_t *cut, size_t nr, size_t end, unsigned pieces)
{
	size_t room = nr - PIECE_LEN - (end - 1), step = MAX(room / (pieces - 1), (size_t)1);

	return (struct look){
		.first = cut + end - 1,
		.step = step,
		.nr = (unsigned)MIN((size_t)pieces, room / step + 1),
	};
}

static uint32_t sum_at(const struct look *l, size_t lag)
{
	const uint8_t *p = l->first;
	uint32_t sum = 0;

	for (unsigned k = 0; k < l->nr; k++, p += l->step)
		sum += distance(p, p - lag);
	return sum;
}

/* Sums of all lags below @end. Returns their mean. */
static uint64_t all_sums(const struct look *l, size_t end, uint32_t *sum)
{
	uint64_t total = 0;

	for (size_t lag = LAG_MIN; lag < end; lag++) {
		sum[lag] = sum_at(l, lag);
		total += sum[lag];
	}
	return total / (end - LAG_MIN);
}

/* The mean at some lags anywhere. */
static uint64_t usual_sum(const struct look *l, size_t end)
{
	uint64_t total = 0;

	for (uint32_t k = 0; k < USUAL; k++)
		total += sum_at(l, LAG_MIN + k * 0x9e3779b1u % (end - LAG_MIN));
	return total / USUAL;
}

static size_t least(const uint32_t *sum, size_t end)
{
	size_t best = LAG_MIN;

	for (size_t lag = LAG_MIN + 1; lag < end; lag++)
		if (sum[lag] < sum[best])
			best = lag;
	return best;
}

/* The best lag about @lag. */
static size_t best_near(const struct look *l, size_t lag, size_t end)
{
	size_t best = lag;
	uint32_t best_sum = sum_at(l, lag);

	for (size_t i = MAX(lag - 2, (size_t)LAG_MIN); i < end && i <= lag + 2; i++) {
		uint32_t sum = sum_at(l, i);

		if (sum < best_sum) {
			best_sum = sum;
			best = i;
		}
	}
	return best;
}

/* The smallest whole part of @lag that is almost as good. */
static size_t smallest_part(const struct look *l, size_t lag, uint64_t usual)
{
	uint32_t sum = sum_at(l, lag);
	uint64_t enough = sum + MAX((uint64_t)sum / 16, (usual - sum) / 8);

	for (size_t k = lag / LAG_MIN; k > 1; k--) {
		size_t part = lag / k;

		if (part * k == lag && sum_at(l, part) <= enough)
			return part;
	}
	return lag;
}

/* @lag, its multiples and their neighbours have been heard. */
static void silence(uint32_t *sum, size_t lag, size_t end)
{
	for (size_t m = lag; m < end; m += lag)
		for (size_t i = MAX(m - 2, (size_t)LAG_MIN); i < end && i <= m + 2; i++)
			sum[i] = UINT32_MAX;
}

unsigned pitch_find(const uint8_t *items, size_t len, unsigned width, unsigned dist, uint8_t *work,
		    uint32_t pitch[PITCH_NR])
{
	size_t nr = len / width, end = MIN(nr / 2, LAG_MAX);
	uint32_t *sum = (uint32_t *)(void *)(work + round_up(len, 64));
	struct look glance, look;
	uint64_t mean, usual;
	unsigned found = 0;

	if (end < 4 * LAG_MIN || nr < end + PIECE_LEN + PIECES)
		return 0;
	cut_steps(work, items, nr, width, dist);
	glance = look_of(work, nr, end, PIECES);
	look = look_of(work, nr, end, PIECES_2);
	mean = all_sums(&glance, end, sum);
	usual = usual_sum(&look, end);
	for (unsigned i = 0; i < LOOKS_2 && found < PITCH_NR; i++) {
		size_t lag = least(sum, end);

		if (sum[lag] >= mean - mean / 8)
			break;
		lag = best_near(&look, lag, end);
		if (sum_at(&look, lag) < usual - usual / 8) {
			lag = smallest_part(&look, lag, usual);
			pitch[found++] = (uint32_t)(lag * width);
		}
		silence(sum, lag, end);
	}
	return found;
}
