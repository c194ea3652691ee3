/* The container: its bytes, and what its decoder refuses. */
#include "tests/codec/codec_test.h"

#include <xxhash.h>

#include "codec/frame.h"
#include "conf/bytes.h"

#define PAYLOAD_LEN 21u
#define LEN	    (CODEC_HEAD_LEN + PAYLOAD_LEN)

static const char payload[] = "twenty-one bytes here";

static struct frame frame_of(enum codec_kind kind)
{
	struct frame f = {.info = {.kind = kind, .width = 1, .raw_len = PAYLOAD_LEN}};

	f.info.stored_len = PAYLOAD_LEN;
	if (kind == CODEC_KIND_FILL)
		f.info.stored_len = 1;
	if (kind == CODEC_KIND_ZSTD) {
		f.info.raw_len = 1000;
		f.info.width = 4;
		f.info.phase = 3;
	}
	f.raw_sum = 0xfeedbeef;
	return f;
}

static void make(uint8_t enc[LEN], enum codec_kind kind)
{
	struct frame f = frame_of(kind);

	memcpy(enc + CODEC_HEAD_LEN, payload, PAYLOAD_LEN);
	frame_encode(&f, enc + CODEC_HEAD_LEN, enc);
}

/* Put a head's checksum right after a change, as a later program would have written it. */
static void seal(uint8_t enc[LEN])
{
	uint64_t seed = 0;

	if (enc[11] != CODEC_KIND_RAW)
		seed = XXH3_64bits(enc + CODEC_HEAD_LEN, get_u32(enc + 20));
	put_u32(enc + 36, (uint32_t)XXH3_64bits_withSeed(enc + 8, 28, seed));
}

static void bytes_are_as_documented(void **state)
{
	static const uint8_t expect[36] = {
		0x5d, 0x2a, 0x4d, 0x18, 32, 0, 0, 0, 'M', 'F', 1, 1, 4, 0, 3,	 0,    0xe8, 3,
		0,    0,    21,	  0,	0,  0, 0, 0, 0,	  0,   0, 0, 0, 0, 0xef, 0xbe, 0xed, 0xfe,
	};
	uint8_t enc[LEN], sealed[LEN];

	(void)state;
	make(enc, CODEC_KIND_ZSTD);
	assert_memory_equal(enc, expect, sizeof(expect));
	memcpy(sealed, enc, LEN);
	seal(sealed);
	assert_memory_equal(sealed, enc, LEN);
	make(enc, CODEC_KIND_RAW);
	memcpy(sealed, enc, LEN);
	seal(sealed);
	assert_memory_equal(sealed, enc, LEN);
}

static void round_trips(void **state)
{
	(void)state;
	for (int kind = CODEC_KIND_RAW; kind <= CODEC_KIND_FILL; kind++) {
		struct frame f = frame_of((enum codec_kind)kind), got;
		uint8_t enc[LEN];

		make(enc, (enum codec_kind)kind);
		assert_int_equal(frame_decode(enc, LEN, &got), 0);
		assert_int_equal(got.info.kind, f.info.kind);
		assert_int_equal(got.info.filter, CODEC_FILTER_NONE);
		assert_int_equal(got.info.width, f.info.width);
		assert_int_equal(got.info.phase, f.info.phase);
		assert_int_equal(got.info.raw_len, f.info.raw_len);
		assert_int_equal(got.info.stored_len, f.info.stored_len);
		assert_int_equal(got.raw_sum, f.raw_sum);
	}
}

/* A raw payload is covered by the checksum of the raw bytes, which is not this decoder's to
 * verify. */
static size_t covered_len(int kind)
{
	return CODEC_HEAD_LEN + (kind == CODEC_KIND_RAW	   ? 0
				 : kind == CODEC_KIND_FILL ? 1
							   : PAYLOAD_LEN);
}

static void every_flipped_bit_is_refused(void **state)
{
	(void)state;
	for (int kind = CODEC_KIND_RAW; kind <= CODEC_KIND_FILL; kind++) {
		uint8_t enc[LEN];

		make(enc, (enum codec_kind)kind);
		for (size_t bit = 0; bit < covered_len(kind) * 8; bit++) {
			struct frame got;
			int err;

			enc[bit / 8] ^= (uint8_t)(1u << bit % 8);
			err = frame_decode(enc, LEN, &got);
			assert_int_equal(err, bit / 8 == 10 ? -ENOTSUP : -EBADMSG);
			enc[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
}

static void every_cut_is_refused(void **state)
{
	(void)state;
	for (int kind = CODEC_KIND_RAW; kind <= CODEC_KIND_FILL; kind++) {
		uint8_t enc[LEN];
		size_t whole = CODEC_HEAD_LEN + frame_of((enum codec_kind)kind).info.stored_len;

		make(enc, (enum codec_kind)kind);
		for (size_t len = 0; len <= LEN; len++) {
			struct guarded g = guarded_new(len, GUARD_ABOVE);
			struct frame got = {.raw_sum = 7};
			int err;

			memcpy(g.p, enc, len);
			err = frame_decode(g.p, len, &got);
			assert_int_equal(err, len < whole ? -EBADMSG : 0);
			assert_int_equal(got.raw_sum, err ? 7 : 0xfeedbeef);
			guarded_free(&g);
		}
	}
}

struct change {
	enum codec_kind kind;
	size_t off;
	size_t len;
	uint32_t value;
	int err;
};

/* A right checksum does not make a head right. */
static void sealed_nonsense_is_refused(void **state)
{
	static const struct change changes[] = {
		{CODEC_KIND_ZSTD, 10, 1, 0, -ENOTSUP}, /* version */
		{CODEC_KIND_ZSTD, 10, 1, 2, -ENOTSUP},
		{CODEC_KIND_ZSTD, 11, 1, 3, -ENOTSUP}, /* kind */
		{CODEC_KIND_ZSTD, 11, 1, 255, -ENOTSUP},
		{CODEC_KIND_ZSTD, 12, 1, 0, -EBADMSG}, /* width */
		{CODEC_KIND_ZSTD, 12, 1, 3, -EBADMSG},
		{CODEC_KIND_ZSTD, 12, 1, 16, -EBADMSG},
		{CODEC_KIND_ZSTD, 12, 1, 2, -EBADMSG}, /* its phase is 3 */
		{CODEC_KIND_ZSTD, 12, 1, 8, 0},
		{CODEC_KIND_RAW, 12, 1, 2, -EBADMSG},
		{CODEC_KIND_FILL, 12, 1, 2, -EBADMSG},
		{CODEC_KIND_ZSTD, 13, 1, CODEC_FILTER_DELTA, -ENOTSUP},
		{CODEC_KIND_ZSTD, 13, 1, CODEC_FILTER_LORENZO, -ENOTSUP},
		{CODEC_KIND_ZSTD, 13, 1, CODEC_FILTER_FLOAT, -ENOTSUP},
		{CODEC_KIND_ZSTD, 13, 1, 4, -ENOTSUP},
		{CODEC_KIND_ZSTD, 14, 1, 4, -EBADMSG}, /* phase */
		{CODEC_KIND_ZSTD, 14, 1, 0, 0},
		{CODEC_KIND_RAW, 14, 1, 1, -EBADMSG},
		{CODEC_KIND_FILL, 14, 1, 1, -EBADMSG},
		{CODEC_KIND_ZSTD, 15, 1, 1, -ENOTSUP}, /* flags */
		{CODEC_KIND_ZSTD, 16, 4, 0, -EBADMSG}, /* raw_len */
		{CODEC_KIND_ZSTD, 16, 4, CODEC_RAW_MAX, 0},
		{CODEC_KIND_ZSTD, 16, 4, CODEC_RAW_MAX + 1, -EBADMSG},
		{CODEC_KIND_ZSTD, 16, 4, UINT32_MAX, -EBADMSG},
		{CODEC_KIND_ZSTD, 16, 4, PAYLOAD_LEN, -EBADMSG}, /* zstd that saved nothing */
		{CODEC_KIND_RAW, 16, 4, PAYLOAD_LEN + 1, -EBADMSG},
		{CODEC_KIND_RAW, 20, 4, PAYLOAD_LEN - 1, -EBADMSG}, /* stored_len */
		{CODEC_KIND_FILL, 20, 4, 2, -EBADMSG},
		{CODEC_KIND_ZSTD, 20, 4, PAYLOAD_LEN - 1, 0},
		{CODEC_KIND_ZSTD, 20, 4, 0, -EBADMSG},
		{CODEC_KIND_ZSTD, 24, 2, 1, -EBADMSG}, /* bias */
		{CODEC_KIND_ZSTD, 26, 2, 1, -EBADMSG}, /* dist */
		{CODEC_KIND_ZSTD, 28, 4, 1, -EBADMSG}, /* pitch */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		const struct change *c = &changes[i];
		struct frame got;
		uint8_t enc[LEN], value[4];
		int err;

		make(enc, c->kind);
		put_u32(value, c->value);
		memcpy(enc + c->off, value, c->len);
		seal(enc);
		err = frame_decode(enc, LEN, &got);
		if (err != c->err)
			fail_msg("change %zu: %d, not %d", i, err, c->err);
	}
	/* More than there is: the checksum cannot be asked. */
	for (uint32_t more = 1; more < 100; more++) {
		struct frame got;
		uint8_t enc[LEN];

		make(enc, CODEC_KIND_ZSTD);
		put_u32(enc + 20, more == 99 ? UINT32_MAX : PAYLOAD_LEN + more);
		assert_int_equal(frame_decode(enc, LEN, &got), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_as_documented),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(sealed_nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
