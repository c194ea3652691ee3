/* Made-up extents of all the kinds of numbers that the codec is to meet, and heads of .npy to go
 * before them. Everything follows from the seed. */
#ifndef MATFS_TESTS_EXTENT_MAKE_H
#define MATFS_TESTS_EXTENT_MAKE_H

#include <math.h>

#include "conf/bytes.h"
#include "tests/codec/codec_test.h"

#define MAKE_ROW 612u /* items of a row, in those that have rows */

/* What is known while an extent is made. */
struct make {
	struct rng *r;
	size_t i; /* of the item */
	uint64_t last;
	double x, speed;
	const char *word;
	uint8_t profile[MAKE_ROW * 3]; /* what the rows of an image have in common */
};

struct make_kind {
	const char *name;
	unsigned width;
	uint64_t (*next)(struct make *m); /* the next item's bits */
};

/* Near enough to normal: mean 0, deviation 1. */
static inline double make_normal(struct rng *r)
{
	uint64_t bits = rng_next(r);
	double sum = 0;

	for (unsigned i = 0; i < 4; i++)
		sum += (double)(bits >> 16 * i & 0xffff) / 65536;
	return (sum - 2) * 1.7320508 + (double)(rng_next(r) >> 11) * 0x1p-80;
}

static inline uint64_t make_f64(double x)
{
	uint64_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

static inline uint64_t make_f32(double x)
{
	float f = (float)x;
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

static inline uint64_t make_noise(struct make *m)
{
	return rng_next(m->r);
}

static inline uint64_t make_equal(struct make *m)
{
	return m->profile[0];
}

static inline uint64_t make_few(struct make *m)
{
	return rng_next(m->r) >> 62;
}

/* Words: what repeats are as long as they are, and at any place. */
static inline uint64_t make_text(struct make *m)
{
	static const char *const words[] = {"stripe ", "parity ", "extent ", "shard ",
					    "chunk\n", "0.125 ",  "frame ",  "epoch ",
					    "scrub, ", "the ",	  "of ",     "and ",
					    "a ",      "resync ", "1e-09\n", "volume "};

	if (!m->word || !*m->word)
		m->word = words[rng_next(m->r) >> 60];
	return (uint8_t)*m->word++;
}

/* Decimal digits in columns. */
static inline uint64_t make_table(struct make *m)
{
	unsigned at = m->i % 9;

	return at == 8 ? '\n' : at == 3 ? '.' : (uint64_t)('0' + rng_below(m->r, 10));
}

static inline uint64_t make_bool(struct make *m)
{
	if (rng_below(m->r, 40) == 0)
		m->last ^= 1;
	return m->last;
}

static inline uint64_t make_sparse8(struct make *m)
{
	return rng_below(m->r, 60) ? 0 : rng_next(m->r);
}

/* Colours that wander, with no rows. */
static inline uint64_t make_colours(struct make *m)
{
	uint8_t *c = &m->profile[m->i % 3];

	*c = (uint8_t)(*c + rng_below(m->r, 5) - 2);
	return *c;
}

/* Pixels of an image: columns and rows each have a level of their own. */
static inline uint64_t make_pixel(struct make *m, unsigned per_row, unsigned step, unsigned noise)
{
	if (m->i % per_row == 0)
		m->last = rng_next(m->r) % (step * 8);
	return m->last + (uint64_t)m->profile[m->i % per_row] * step + rng_below(m->r, noise);
}

static inline uint64_t make_image8(struct make *m)
{
	return make_pixel(m, MAKE_ROW, 1, 4);
}

static inline uint64_t make_image24(struct make *m)
{
	return make_pixel(m, MAKE_ROW * 3, 1, 4);
}

static inline uint64_t make_image16(struct make *m)
{
	return make_pixel(m, MAKE_ROW, 150, 40);
}

static inline uint64_t make_image32(struct make *m)
{
	return make_pixel(m, MAKE_ROW, 100000, 3000);
}

static inline uint64_t make_image64(struct make *m)
{
	return make_pixel(m, MAKE_ROW, 1u << 27, 1u << 20);
}

/* 24 bytes: number, kind, two floats. */
static inline uint64_t make_record(struct make *m)
{
	unsigned at = m->i % 24;

	if (at == 0)
		m->x = make_normal(m->r) + 20;
	return at < 4	 ? m->i / 24 >> 8 * at
	       : at < 8	 ? (m->i / 24 % 5) * (at == 4)
	       : at < 16 ? make_f64(m->x) >> 8 * (at - 8)
			 : make_f64(m->x * 2) >> 8 * (at - 16);
}

/* What came 1000 bytes before, of which one in a few hundred is new. */
static inline uint64_t make_copies(struct make *m)
{
	uint8_t *p = &m->profile[m->i % 1000];

	if (m->i < 1000 || rng_below(m->r, 300) == 0)
		*p = (uint8_t)rng_next(m->r);
	return *p;
}

/* Zeros and noise take turns, some thousand bytes each. */
static inline uint64_t make_gaps(struct make *m)
{
	if (rng_below(m->r, 3000) == 0)
		m->last ^= 1;
	return m->last ? rng_next(m->r) : 0;
}

static inline uint64_t make_counts16(struct make *m)
{
	return (uint64_t)(1000 + 12 * make_normal(m->r));
}

/* Sound: two tones that rise, so that nothing comes again, and a little hiss. */
static inline uint64_t make_sound16(struct make *m)
{
	double t = (double)m->i, x;

	x = 9000 * sin(t * (0.03 + t * 1e-7)) + 4000 * sin(t * (0.07 + t * 3e-7));
	return (uint64_t)(int64_t)(x + 3 * make_normal(m->r));
}

static inline uint64_t make_half(struct make *m)
{
	return (rng_next(m->r) & 0x8000) | (0x3400 + rng_below(m->r, 0x800));
}

static inline uint64_t make_bfloat(struct make *m)
{
	return make_f32(make_normal(m->r)) >> 16;
}

static inline uint64_t make_small32(struct make *m)
{
	return (uint64_t)(int64_t)(100 * make_normal(m->r));
}

static inline uint64_t make_sparse32(struct make *m)
{
	return rng_below(m->r, 50) ? 0 : rng_next(m->r) >> 44;
}

static inline uint64_t make_sorted32(struct make *m)
{
	return m->last += rng_below(m->r, 200);
}

static inline uint64_t make_big_endian32(struct make *m)
{
	m->last += rng_below(m->r, 300);
	return __builtin_bswap32((uint32_t)m->last);
}

static inline uint64_t make_normal32(struct make *m)
{
	return make_f32(make_normal(m->r));
}

/* A curve as a sensor with a clock gives it: differences of differences are small. */
static inline uint64_t make_curve32(struct make *m)
{
	return (uint64_t)(int64_t)(1e9 * sin((double)m->i * 0.004)) + rng_below(m->r, 3);
}

/* Real and imaginary parts, of other sizes. */
static inline uint64_t make_complex32(struct make *m)
{
	double x = make_normal(m->r);

	return make_f32(m->i % 2 ? x * 1e-3 : x + 100);
}

static inline uint64_t make_field32(struct make *m)
{
	double x = (double)(m->i % MAKE_ROW), y = (double)(m->i / MAKE_ROW);

	return make_f32(280 + 20 * sin(x * 0.02) * cos(y * 0.03) + 0.001 * make_normal(m->r));
}

static inline uint64_t make_time64(struct make *m)
{
	if (!m->last)
		m->last = UINT64_C(1700000000000000000);
	return m->last += 1000000 + rng_below(m->r, 5000);
}

static inline uint64_t make_sorted64(struct make *m)
{
	m->x += (double)rng_below(m->r, 1000) * 1e-6;
	return make_f64(m->x);
}

static inline uint64_t make_normal64(struct make *m)
{
	return make_f64(make_normal(m->r));
}

static inline uint64_t make_curve64(struct make *m)
{
	return make_f64(3 + sin((double)m->i * 0.0007));
}

/* Money: floats of few digits. */
static inline uint64_t make_round64(struct make *m)
{
	m->speed += make_normal(m->r);
	return make_f64(rint(m->speed * 4) / 4);
}

/* All that is no number: NaN with all kinds of payloads, infinities, zeros of both signs, and the
 * smallest numbers. */
static inline uint64_t make_nan64(struct make *m)
{
	uint64_t bits = rng_next(m->r), sign = bits << 63;

	switch (bits >> 61) {
	case 0:
		return sign | UINT64_C(0x7ff0000000000000);
	case 1:
		return sign;
	case 2:
		return sign | (bits >> 20 & 0xffff);
	case 3:
		return sign | UINT64_C(0x7ff8000000000000);
	default:
		return sign | UINT64_C(0x7ff0000000000000) | bits >> 12;
	}
}

/* Random within each plane, as floats often are, without being any. */
static inline uint64_t make_planes64(struct make *m)
{
	uint64_t bits = rng_next(m->r);

	return UINT64_C(0x3f) << 56 | (bits & UINT64_C(0x07ffffffffffff));
}

enum make_id {
	MAKE_NOISE,
	MAKE_EQUAL,
	MAKE_FEW,
	MAKE_TEXT,
	MAKE_TABLE,
	MAKE_BOOL,
	MAKE_SPARSE8,
	MAKE_COLOURS,
	MAKE_IMAGE8,
	MAKE_IMAGE24,
	MAKE_RECORD,
	MAKE_COPIES,
	MAKE_GAPS,
	MAKE_COUNTS16,
	MAKE_SOUND16,
	MAKE_IMAGE16,
	MAKE_HALF,
	MAKE_BFLOAT,
	MAKE_SMALL32,
	MAKE_SPARSE32,
	MAKE_SORTED32,
	MAKE_BIG_ENDIAN32,
	MAKE_NORMAL32,
	MAKE_CURVE32,
	MAKE_COMPLEX32,
	MAKE_FIELD32,
	MAKE_IMAGE32,
	MAKE_TIME64,
	MAKE_SORTED64,
	MAKE_NORMAL64,
	MAKE_CURVE64,
	MAKE_ROUND64,
	MAKE_NAN64,
	MAKE_PLANES64,
	MAKE_IMAGE64,
	MAKE_NR,
	MAKE_MIXTURE = MAKE_NR, /* of all of them, each for a while */
};

static const struct make_kind make_kinds[MAKE_NR + 1] = {
	[MAKE_NOISE] = {"noise", 1, make_noise},
	[MAKE_EQUAL] = {"equal", 1, make_equal},
	[MAKE_FEW] = {"few", 1, make_few},
	[MAKE_TEXT] = {"text", 1, make_text},
	[MAKE_TABLE] = {"table", 1, make_table},
	[MAKE_BOOL] = {"bool", 1, make_bool},
	[MAKE_SPARSE8] = {"sparse8", 1, make_sparse8},
	[MAKE_COLOURS] = {"colours", 1, make_colours},
	[MAKE_IMAGE8] = {"image8", 1, make_image8},
	[MAKE_IMAGE24] = {"image24", 1, make_image24},
	[MAKE_RECORD] = {"record", 1, make_record},
	[MAKE_COPIES] = {"copies", 1, make_copies},
	[MAKE_GAPS] = {"gaps", 1, make_gaps},
	[MAKE_COUNTS16] = {"counts16", 2, make_counts16},
	[MAKE_SOUND16] = {"sound16", 2, make_sound16},
	[MAKE_IMAGE16] = {"image16", 2, make_image16},
	[MAKE_HALF] = {"half", 2, make_half},
	[MAKE_BFLOAT] = {"bfloat", 2, make_bfloat},
	[MAKE_SMALL32] = {"small32", 4, make_small32},
	[MAKE_SPARSE32] = {"sparse32", 4, make_sparse32},
	[MAKE_SORTED32] = {"sorted32", 4, make_sorted32},
	[MAKE_BIG_ENDIAN32] = {"big_endian32", 4, make_big_endian32},
	[MAKE_NORMAL32] = {"normal32", 4, make_normal32},
	[MAKE_CURVE32] = {"curve32", 4, make_curve32},
	[MAKE_COMPLEX32] = {"complex32", 4, make_complex32},
	[MAKE_FIELD32] = {"field32", 4, make_field32},
	[MAKE_IMAGE32] = {"image32", 4, make_image32},
	[MAKE_TIME64] = {"time64", 8, make_time64},
	[MAKE_SORTED64] = {"sorted64", 8, make_sorted64},
	[MAKE_NORMAL64] = {"normal64", 8, make_normal64},
	[MAKE_CURVE64] = {"curve64", 8, make_curve64},
	[MAKE_ROUND64] = {"round64", 8, make_round64},
	[MAKE_NAN64] = {"nan64", 8, make_nan64},
	[MAKE_PLANES64] = {"planes64", 8, make_planes64},
	[MAKE_IMAGE64] = {"image64", 8, make_image64},
	[MAKE_MIXTURE] = {"mixture", 1, NULL},
};

static inline void make_items(uint8_t *p, size_t len, const struct make_kind *kind, struct rng *r)
{
	struct make m = {.r = r};
	unsigned w = kind->width;

	for (size_t i = 0; i < ARRAY_LEN(m.profile); i++)
		m.profile[i] =
			(uint8_t)(i ? m.profile[i - 1] + rng_below(r, 41) - 20 : rng_next(r));
	for (size_t at = 0; at < len; at += w, m.i++) {
		uint8_t bits[8];

		put_u64(bits, kind->next(&m));
		memcpy(p + at, bits, MIN(len - at, (size_t)w));
	}
}

/* Fill @len bytes with items of kind @id that begin after @phase bytes. */
static inline void make_extent(uint8_t *p, size_t len, enum make_id id, size_t phase, struct rng *r)
{
	size_t at = MIN(phase, len);

	if (id != MAKE_MIXTURE) {
		memset(p, 0x77, at);
		make_items(p + at, len - at, &make_kinds[id], r);
		return;
	}
	for (at = 0; at < len;) {
		size_t n = MIN(len - at, 1 + rng_below(r, len / 2 + 1));

		make_items(p + at, n, &make_kinds[rng_below(r, MAKE_NR)], r);
		at += n;
	}
}

/* Write the head of a .npy file, of 128 bytes.
 * @descr  as numpy has it, such as "<f8"
 * @shape  with its brackets */
#define MAKE_NPY_LEN 128u
static inline void make_npy(uint8_t *p, const char *descr, const char *shape)
{
	char text[MAKE_NPY_LEN - 10 + 1];
	int n = snprintf(text, sizeof(text),
			 "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);

	assert_true(n > 0 && n < (int)sizeof(text) - 1);
	memset(p, ' ', MAKE_NPY_LEN);
	memcpy(p, "\x93NUMPY\x01\x00", 8);
	put_u16(p + 8, MAKE_NPY_LEN - 10);
	memcpy(p + 10, text, (size_t)n);
	p[MAKE_NPY_LEN - 1] = '\n';
}

#endif
