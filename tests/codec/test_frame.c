/* The container: its bytes, and what its decoder refuses. */
#include "tests/codec/codec_test.h"

#include <xxhash.h>

#include "codec/frame.h"
#include "conf/bytes.h"

#define PAYLOAD_LEN 21u
#define ROOM	    (CODEC_HEAD_MAX + PAYLOAD_LEN)
#define TABLE	    48u /* offset of the tiles' table */

static const char payload[] = "twenty-one bytes here";

/* One of each shape; of three tiles, where it is long enough. */
enum shape { RAW, ZSTD, FILL, RAW_TILES, ZSTD_TILES, SHAPE_NR };

static struct frame frame_of(enum shape shape)
{
	struct frame f = {.info = {.kind = CODEC_KIND_RAW,
				   .filter = {.width = 1},
				   .raw_len = PAYLOAD_LEN,
				   .stored_len = PAYLOAD_LEN,
				   .nr_tiles = 1}};

	f.tile_len[0] = PAYLOAD_LEN;
	f.tile_sum[0] = 0xfeedbeef;
	switch (shape) {
	case FILL:
		f.info.kind = CODEC_KIND_FILL;
		f.info.stored_len = 1;
		f.tile_len[0] = 1;
		break;
	case ZSTD_TILES:
	case ZSTD:
		f.info.kind = CODEC_KIND_ZSTD;
		f.info.raw_len = 1000;
		f.info.filter = (struct filter){
			.id = FILTER_LORENZO, .width = 4, .dist = 0x102, .pitch = 0x3040504};
		f.info.phase = 3;
		break;
	default:
		break;
	}
	if (shape == RAW_TILES || shape == ZSTD_TILES) {
		f.info.nr_tiles = 3;
		f.info.raw_len = 2 * CODEC_TILE_LEN + 100;
		f.tile_len[0] = CODEC_TILE_LEN;
		f.tile_len[1] = CODEC_TILE_LEN;
		f.tile_len[2] = 100;
		f.tile_sum[1] = 0x11223344;
		f.tile_sum[2] = 0x55667788;
		f.info.stored_len = f.info.raw_len;
	}
	if (shape == ZSTD_TILES) {
		f.tile_len[0] = 10;
		f.tile_len[1] = 9;
		f.tile_len[2] = 2;
		f.info.stored_len = PAYLOAD_LEN;
	}
	return f;
}

/* Returns the length of head and payload. That of several raw tiles is not there: no head needs
 * it. */
static size_t make(uint8_t enc[ROOM], enum shape shape)
{
	struct frame f = frame_of(shape);

	frame_encode(&f, enc);
	memcpy(enc + f.info.head_len, payload, PAYLOAD_LEN);
	return f.info.head_len + MIN(f.info.stored_len, PAYLOAD_LEN);
}

/* Put a head's checksums right after a change, as a later program would have written them. */
static void seal(uint8_t enc[ROOM], unsigned nr_tiles)
{
	if (nr_tiles > 1)
		put_u32(enc + 32, (uint32_t)XXH3_64bits(enc + TABLE, (size_t)8 * nr_tiles));
	put_u32(enc + 36, (uint32_t)XXH3_64bits(enc + 8, 28));
}

/* The same for version 1, of one tile. */
static void seal_1(uint8_t enc[ROOM])
{
	uint64_t seed = 0;

	if (enc[11] != CODEC_KIND_RAW)
		seed = XXH3_64bits(enc + CODEC_HEAD_LEN, get_u32(enc + 20));
	put_u32(enc + 36, (uint32_t)XXH3_64bits_withSeed(enc + 8, 28, seed));
}

static void bytes_are_as_documented(void **state)
{
	static const uint8_t one[36] = {
		0x5d, 0x2a, 0x4d, 0x18, 32, 0, 0, 0, 'M', 'F', 2, 1, 4, 2, 3,	 17,   0xe8, 3,
		0,    0,    21,	  0,	0,  0, 0, 0, 2,	  1,   4, 5, 4, 3, 0xef, 0xbe, 0xed, 0xfe,
	};
	static const uint8_t table[32] = {
		0x5e, 0x2a, 0x4d, 0x18, 24,   0,    0,	  0,	10, 0, 0, 0, 0xef, 0xbe, 0xed, 0xfe,
		9,    0,    0,	  0,	0x44, 0x33, 0x22, 0x11, 2,  0, 0, 0, 0x88, 0x77, 0x66, 0x55,
	};
	uint8_t enc[ROOM], sealed[ROOM];

	(void)state;
	for (int shape = 0; shape < SHAPE_NR; shape++) {
		size_t len = make(enc, (enum shape)shape);

		memcpy(sealed, enc, len);
		seal(sealed, shape < RAW_TILES ? 1 : 3);
		assert_memory_equal(sealed, enc, len);
	}
	make(enc, ZSTD);
	assert_memory_equal(enc, one, sizeof(one));
	assert_memory_equal(enc + CODEC_HEAD_LEN, payload, PAYLOAD_LEN);
	make(enc, ZSTD_TILES);
	assert_memory_equal(enc, one, 16);
	assert_memory_equal(enc + CODEC_HEAD_LEN, table, sizeof(table));
	assert_memory_equal(enc + CODEC_HEAD_LEN + sizeof(table), payload, PAYLOAD_LEN);
}

static void check_round_trip(const struct frame *f)
{
	struct frame given = *f, got;
	uint8_t enc[ROOM] = {0};

	frame_encode(&given, enc);
	assert_int_equal(frame_decode(enc, sizeof(enc), &got), 0);
	assert_int_equal(got.info.head_len, given.info.nr_tiles > 1
						    ? TABLE + 8 * given.info.nr_tiles
						    : CODEC_HEAD_LEN);
	assert_int_equal(got.info.head_len, given.info.head_len);
	assert_int_equal(got.info.kind, f->info.kind);
	assert_int_equal(got.info.filter.id, f->info.filter.id);
	assert_int_equal(got.info.filter.width, f->info.filter.width);
	assert_int_equal(got.info.filter.bias, f->info.filter.bias);
	assert_int_equal(got.info.filter.dist, f->info.filter.dist);
	assert_int_equal(got.info.filter.order, f->info.filter.order);
	assert_int_equal(got.info.filter.swap, f->info.filter.swap);
	assert_int_equal(got.info.filter.pitch, f->info.filter.pitch);
	assert_int_equal(got.info.phase, f->info.phase);
	assert_int_equal(got.info.raw_len, f->info.raw_len);
	assert_int_equal(got.info.stored_len, f->info.stored_len);
	assert_int_equal(got.info.nr_tiles, f->info.nr_tiles);
	for (unsigned i = 0; i < f->info.nr_tiles; i++) {
		assert_int_equal(got.tile_len[i], f->tile_len[i]);
		assert_int_equal(got.tile_sum[i], f->tile_sum[i]);
	}
}

static void round_trips(void **state)
{
	static const struct filter filters[] = {
		{.width = 8},
		{.id = FILTER_DELTA, .width = 1, .dist = 65535, .order = 3},
		{.id = FILTER_DELTA, .width = 8, .dist = 1, .order = 1, .swap = 1},
		{.id = FILTER_LORENZO, .width = 2, .dist = 3, .pitch = 0xfffffffe, .swap = 1},
		{.id = FILTER_LORENZO, .width = 1, .dist = 1, .pitch = 1},
		{.id = FILTER_FLOAT, .width = 8, .bias = 2047},
		{.id = FILTER_FLOAT, .width = 4, .swap = 1},
	};

	(void)state;
	for (int shape = 0; shape < SHAPE_NR; shape++) {
		struct frame f = frame_of((enum shape)shape);

		check_round_trip(&f);
	}
	for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
		for (unsigned phase = 0; phase < filters[i].width; phase++) {
			struct frame f = frame_of(ZSTD_TILES);

			f.info.filter = filters[i];
			f.info.phase = (uint8_t)phase;
			assert_true(filter_ok(&f.info.filter));
			check_round_trip(&f);
		}
	}
}

/* The longest head there is. */
static void the_longest_head_fits(void **state)
{
	struct frame f = {.info = {.kind = CODEC_KIND_RAW, .filter = {.width = 1}}};

	(void)state;
	f.info.raw_len = f.info.stored_len = CODEC_RAW_MAX;
	f.info.nr_tiles = frame_tiles(CODEC_RAW_MAX, 0);
	assert_int_equal(f.info.nr_tiles, CODEC_TILES_MAX);
	for (unsigned i = 0; i < f.info.nr_tiles; i++) {
		f.tile_len[i] = CODEC_TILE_LEN;
		f.tile_sum[i] = i * 0x1234567u;
	}
	check_round_trip(&f);
	frame_encode(&f, (uint8_t[ROOM]){0});
	assert_int_equal(f.info.head_len, CODEC_HEAD_MAX);
}

static void tiles_are_counted_from_the_first_item(void **state)
{
	size_t from, to;

	(void)state;
	assert_int_equal(frame_tiles(1, 0), 1);
	assert_int_equal(frame_tiles(1, 7), 1);
	assert_int_equal(frame_tiles(7, 7), 1);
	assert_int_equal(frame_tiles(CODEC_TILE_LEN, 0), 1);
	assert_int_equal(frame_tiles(CODEC_TILE_LEN + 1, 0), 2);
	assert_int_equal(frame_tiles(CODEC_TILE_LEN + 7, 7), 1);
	assert_int_equal(frame_tiles(CODEC_TILE_LEN + 8, 7), 2);
	assert_int_equal(frame_tiles(CODEC_RAW_MAX, 7), CODEC_TILES_MAX);
	frame_tile_range(CODEC_TILE_LEN + 8, 7, 0, &from, &to);
	assert_true(from == 0 && to == CODEC_TILE_LEN + 7);
	frame_tile_range(CODEC_TILE_LEN + 8, 7, 1, &from, &to);
	assert_true(from == CODEC_TILE_LEN + 7 && to == CODEC_TILE_LEN + 8);
}

/* Head and table; the payload has checksums of its own. */
static void every_flipped_bit_is_refused(void **state)
{
	(void)state;
	for (int shape = 0; shape < SHAPE_NR; shape++) {
		uint8_t enc[ROOM];
		size_t len = make(enc, (enum shape)shape), head_len;
		struct frame got;

		assert_int_equal(frame_decode(enc, len, &got), 0);
		head_len = got.info.head_len;
		for (size_t bit = 0; bit < head_len * 8; bit++) {
			int err;

			enc[bit / 8] ^= (uint8_t)(1u << bit % 8);
			err = frame_decode(enc, len, &got);
			assert_int_equal(err, bit / 8 == 10 ? -ENOTSUP : -EBADMSG);
			enc[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
}

static void every_cut_is_refused(void **state)
{
	(void)state;
	for (int shape = 0; shape < SHAPE_NR; shape++) {
		uint8_t enc[ROOM];
		size_t whole = make(enc, (enum shape)shape);
		struct frame full;

		assert_int_equal(frame_decode(enc, whole, &full), 0);
		for (size_t len = 0; len <= whole; len++) {
			struct guarded g = guarded_new(len, GUARD_ABOVE);
			struct frame got = {.tile_sum = {7}};
			int err;

			memcpy(g.p, enc, len);
			err = frame_decode(g.p, len, &got);
			assert_int_equal(err, len < full.info.head_len ? -EBADMSG : 0);
			assert_int_equal(got.tile_sum[0], err ? 7 : 0xfeedbeef);
			guarded_free(&g);
		}
	}
}

struct change {
	enum shape shape;
	size_t off;
	size_t len;
	uint32_t value;
	int err;
};

/* A right checksum does not make a head right. */
static void sealed_nonsense_is_refused(void **state)
{
	static const struct change changes[] = {
		{ZSTD, 10, 1, 0, -ENOTSUP}, /* version */
		{ZSTD, 10, 1, 3, -ENOTSUP},
		{ZSTD, 11, 1, 3, -ENOTSUP}, /* kind */
		{ZSTD, 11, 1, 255, -ENOTSUP},
		{ZSTD, 12, 1, 0, -EBADMSG}, /* width */
		{ZSTD, 12, 1, 3, -EBADMSG},
		{ZSTD, 12, 1, 16, -EBADMSG},
		{ZSTD, 12, 1, 2, -EBADMSG}, /* its phase is 3 */
		{ZSTD, 12, 1, 8, -EBADMSG}, /* the pitch is no multiple */
		{RAW, 12, 1, 2, -EBADMSG},
		{FILL, 12, 1, 2, -EBADMSG},
		{RAW_TILES, 12, 1, 2, -EBADMSG},
		{ZSTD, 13, 1, FILTER_NONE, -EBADMSG},  /* which has no pitch */
		{ZSTD, 13, 1, FILTER_DELTA, -EBADMSG}, /* nor has this */
		{ZSTD, 13, 1, FILTER_FLOAT, -EBADMSG}, /* nor this */
		{ZSTD, 13, 1, FILTER_LORENZO | 0x80, 0},
		{ZSTD, 13, 1, 4, -ENOTSUP},
		{ZSTD, 13, 1, 0x7f, -ENOTSUP},
		{ZSTD, 13, 1, 0x84, -ENOTSUP},
		{RAW, 13, 1, FILTER_FLOAT, -EBADMSG},
		{RAW, 13, 1, 0x80, -EBADMSG}, /* raw bytes have no order */
		{FILL, 13, 1, FILTER_DELTA, -EBADMSG},
		{ZSTD, 14, 1, 4, -EBADMSG}, /* phase */
		{ZSTD, 14, 1, 0, 0},
		{RAW, 14, 1, 1, -EBADMSG},
		{FILL, 14, 1, 1, -EBADMSG},
		{ZSTD, 15, 1, 16, -ENOTSUP}, /* log2 of a tile */
		{ZSTD, 15, 1, 18, -ENOTSUP},
		{ZSTD, 15, 1, 0, -ENOTSUP},
		{RAW, 15, 1, 255, -ENOTSUP},
		{ZSTD, 16, 4, 0, -EBADMSG}, /* raw_len */
		{ZSTD, 16, 4, CODEC_TILE_LEN + 3, 0},
		{ZSTD, 16, 4, CODEC_TILE_LEN + 4, -EBADMSG}, /* two tiles, no table */
		{ZSTD, 16, 4, CODEC_RAW_MAX, -EBADMSG},
		{FILL, 16, 4, CODEC_RAW_MAX, 0},
		{FILL, 16, 4, CODEC_RAW_MAX + 1, -EBADMSG},
		{ZSTD, 16, 4, UINT32_MAX, -EBADMSG},
		{ZSTD, 16, 4, PAYLOAD_LEN, -EBADMSG}, /* zstd that saved nothing */
		{RAW, 16, 4, PAYLOAD_LEN + 1, -EBADMSG},
		{RAW_TILES, 16, 4, 2 * CODEC_TILE_LEN + 101, -EBADMSG},
		{ZSTD_TILES, 16, 4, 2 * CODEC_TILE_LEN + 4, 0},
		{ZSTD_TILES, 16, 4, 2 * CODEC_TILE_LEN + 3, -EBADMSG}, /* two tiles */
		{RAW, 20, 4, PAYLOAD_LEN - 1, -EBADMSG},	       /* stored_len */
		{FILL, 20, 4, 2, -EBADMSG},
		{ZSTD, 20, 4, PAYLOAD_LEN - 1, 0},
		{ZSTD, 20, 4, 0, -EBADMSG},
		{ZSTD_TILES, 20, 4, PAYLOAD_LEN - 1, -EBADMSG},
		{ZSTD_TILES, 20, 4, PAYLOAD_LEN + 1, -EBADMSG},
		{ZSTD, 24, 2, 1, -EBADMSG}, /* bias */
		{ZSTD, 26, 2, 0, -EBADMSG}, /* dist */
		{RAW, 26, 2, 1, -EBADMSG},
		{ZSTD, 28, 4, 0, -EBADMSG}, /* pitch */
		{ZSTD, 28, 4, 2, -EBADMSG},
		{ZSTD, 28, 4, 4, 0},
		{FILL, 28, 4, 4, -EBADMSG},
		{ZSTD_TILES, 40, 4, 0x184D2A5D, -EBADMSG}, /* the table's own head */
		{ZSTD_TILES, 44, 4, 16, -EBADMSG},
		{ZSTD_TILES, 44, 4, UINT32_MAX, -EBADMSG},
		{ZSTD_TILES, TABLE, 4, 11, -EBADMSG}, /* lengths that do not add up */
		{ZSTD_TILES, TABLE, 4, UINT32_MAX, -EBADMSG},
		{ZSTD_TILES, TABLE + 4, 4, 11, 0}, /* a checksum: not this decoder's to ask */
		{RAW_TILES, TABLE, 4, CODEC_TILE_LEN - 1, -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		const struct change *c = &changes[i];
		struct frame got;
		uint8_t enc[ROOM], value[4];
		size_t len = make(enc, c->shape);
		int err;

		put_u32(value, c->value);
		memcpy(enc + c->off, value, c->len);
		seal(enc, c->shape < RAW_TILES ? 1 : 3);
		err = frame_decode(enc, len, &got);
		if (err != c->err)
			fail_msg("change %zu: %d, not %d", i, err, c->err);
	}
}

/* Lengths that only agree modulo 2^32, or in all but one place. */
static void lengths_of_tiles_must_add_up(void **state)
{
	struct frame f = frame_of(ZSTD_TILES), got;
	uint8_t enc[ROOM] = {0};

	(void)state;
	f.tile_len[0] = UINT32_MAX;
	f.tile_len[1] = PAYLOAD_LEN;
	f.tile_len[2] = 1;
	frame_encode(&f, enc);
	assert_int_equal(frame_decode(enc, sizeof(enc), &got), -EBADMSG);
	/* A raw tile cannot lend to the next one. */
	f = frame_of(RAW_TILES);
	f.tile_len[0]--;
	f.tile_len[1]++;
	frame_encode(&f, enc);
	assert_int_equal(frame_decode(enc, sizeof(enc), &got), -EBADMSG);
}

/* A head of version 1 around the payload. */
static size_t make_1(uint8_t enc[ROOM], enum shape shape)
{
	size_t len = make(enc, shape);

	enc[10] = 1;
	enc[13] = FILTER_NONE;
	memset(enc + 15, 0, 1);
	memset(enc + 24, 0, 8);
	seal_1(enc);
	return len;
}

static void version_1_is_read_as_strictly(void **state)
{
	static const struct change changes[] = {
		{ZSTD, 13, 1, FILTER_DELTA, -EBADMSG}, /* there were no filters */
		{ZSTD, 13, 1, 0x80, -EBADMSG},
		{ZSTD, 13, 1, 4, -ENOTSUP},
		{ZSTD, 15, 1, 17, -ENOTSUP},
		{ZSTD, 16, 4, CODEC_RAW_MAX, 0}, /* one tile */
		{ZSTD, 16, 4, CODEC_RAW_MAX + 1, -EBADMSG},
		{ZSTD, 24, 2, 1, -EBADMSG},
		{ZSTD, 26, 2, 1, -EBADMSG},
		{ZSTD, 28, 4, 4, -EBADMSG},
		{ZSTD, 14, 1, 4, -EBADMSG},
		{ZSTD, 12, 1, 8, 0},
	};
	uint8_t enc[ROOM];
	struct frame got;

	(void)state;
	for (int shape = RAW; shape <= FILL; shape++) {
		size_t len = make_1(enc, (enum shape)shape);
		size_t covered = shape == RAW ? CODEC_HEAD_LEN : len;

		assert_int_equal(frame_decode(enc, len, &got), 0);
		assert_int_equal(got.info.nr_tiles, 1);
		assert_int_equal(got.info.head_len, CODEC_HEAD_LEN);
		assert_int_equal(got.tile_sum[0], 0xfeedbeef);
		assert_int_equal(got.tile_len[0], len - CODEC_HEAD_LEN);
		for (size_t bit = 0; bit < covered * 8; bit++) {
			enc[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(frame_decode(enc, len, &got),
					 bit / 8 == 10 ? -ENOTSUP : -EBADMSG);
			enc[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		/* The payload must be there, as it is part of the checksum. */
		for (size_t cut = 0; cut < len; cut++) {
			struct guarded g = guarded_new(cut, GUARD_ABOVE);

			memcpy(g.p, enc, cut);
			assert_int_equal(frame_decode(g.p, cut, &got), -EBADMSG);
			guarded_free(&g);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		const struct change *c = &changes[i];
		size_t len = make_1(enc, c->shape);
		uint8_t value[4];
		int err;

		put_u32(value, c->value);
		memcpy(enc + c->off, value, c->len);
		seal_1(enc);
		err = frame_decode(enc, len, &got);
		if (err != c->err)
			fail_msg("change %zu: %d, not %d", i, err, c->err);
	}
	/* More than there is: the checksum cannot be asked. */
	for (uint32_t more = 1; more < 100; more++) {
		size_t len = make_1(enc, ZSTD);

		put_u32(enc + 20, more == 99 ? UINT32_MAX : PAYLOAD_LEN + more);
		assert_int_equal(frame_decode(enc, len, &got), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_as_documented),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(the_longest_head_fits),
		cmocka_unit_test(tiles_are_counted_from_the_first_item),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(sealed_nonsense_is_refused),
		cmocka_unit_test(lengths_of_tiles_must_add_up),
		cmocka_unit_test(version_1_is_read_as_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
