/* The bytes of chunk heads and of stripes' places. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "conf/bytes.h"
#include "raid/chunk.h"
#include "raid/layout.h"
#include "raid/segment.h"
#include "tests/support/raid_make.h"

static struct chunk_head example_head(void)
{
	struct chunk_head h = {
		.owner = {.ino = 0x1122334455667788,
			  .file_off = 3 * MIB,
			  .gen = 42,
			  .raw_len = 1048576},
		.k = 3,
		.m = 1,
		.idx = 2,
		.stripe_len = 700001,
		.payload_len = layout_payload_len(700001, 3),
		.payload_sum = 0xfedcba9876543210,
	};

	for (unsigned i = 0; i < RAID_UUID_LEN; i++)
		h.uuid[i] = (uint8_t)(i * 16);
	return h;
}

/* The format as version 1 wrote it, for ever. */
static const uint8_t golden[] = {
#include "tests/raid/golden_chunk_head.inc"
};

static void head_is_the_golden_one(void **state)
{
	struct chunk_head h = example_head();
	uint8_t buf[CHUNK_HEAD_LEN];

	(void)state;
	chunk_head_put(&h, buf);
	assert_int_equal(sizeof(golden), CHUNK_HEAD_LEN);
	assert_memory_equal(buf, golden, sizeof(golden));
}

static void head_comes_back(void **state)
{
	struct chunk_head want = example_head();
	struct chunk_head h;

	(void)state;
	assert_int_equal(chunk_head_get(golden, sizeof(golden), &h), 0);
	assert_true(chunk_head_matches(&h, &want));
	assert_int_equal(h.owner.raw_len, want.owner.raw_len);
	assert_int_equal(h.payload_sum, want.payload_sum);
}

static void any_flipped_bit_is_noticed(void **state)
{
	uint8_t buf[CHUNK_HEAD_LEN];
	struct chunk_head h;

	(void)state;
	for (unsigned bit = 0; bit < 8 * CHUNK_HEAD_LEN; bit++) {
		memcpy(buf, golden, sizeof(buf));
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(chunk_head_get(buf, sizeof(buf), &h), -EBADMSG);
	}
	assert_int_equal(chunk_head_get(golden, CHUNK_HEAD_LEN - 1, &h), -EBADMSG);
	assert_int_equal(chunk_head_get(golden, 0, &h), -EBADMSG);
}

static void senseless_heads_are_refused(void **state)
{
	uint8_t buf[CHUNK_HEAD_LEN];
	struct chunk_head h;

	(void)state;
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		h = example_head();                                                                \
		change;                                                                            \
		chunk_head_put(&h, buf);                                                           \
		assert_int_equal(chunk_head_get(buf, sizeof(buf), &h), -EBADMSG);                  \
	} while (0)
	REFUSED(h.k = 0);
	REFUSED(h.k = 17);
	REFUSED(h.m = 14);
	REFUSED(h.m = 3);
	REFUSED(h.idx = 4);
	REFUSED(h.stripe_len = 0);
	REFUSED(h.stripe_len = RAID_STRIPE_MAX + 1);
	REFUSED(h.payload_len++);
#undef REFUSED
}

static void another_stripes_head_does_not_match(void **state)
{
	struct chunk_head a = example_head();
	struct chunk_head b;

	(void)state;
#define DIFFERS(change)                                                                            \
	do {                                                                                       \
		b = example_head();                                                                \
		change;                                                                            \
		assert_false(chunk_head_matches(&a, &b));                                          \
	} while (0)
	DIFFERS(b.uuid[3]++);
	DIFFERS(b.owner.ino++);
	DIFFERS(b.owner.file_off++);
	DIFFERS(b.owner.gen++);
	DIFFERS(b.k++);
	DIFFERS(b.m++);
	DIFFERS(b.idx++);
	DIFFERS(b.stripe_len++);
	DIFFERS(b.payload_len++);
#undef DIFFERS
}

static void sum_does_not_depend_on_pieces(void **state)
{
	uint8_t buf[3000];
	struct iovec whole = {buf, sizeof(buf)};

	(void)state;
	raid_make_bytes(buf, sizeof(buf), 7);
	for (size_t cut = 0; cut <= sizeof(buf); cut += 37) {
		struct iovec part[3] = {{buf, cut / 2},
					{buf + cut / 2, cut - cut / 2},
					{buf + cut, sizeof(buf) - cut}};

		assert_int_equal(chunk_sum(part, 3), chunk_sum(&whole, 1));
	}
}

static struct stripe_loc example_loc(unsigned k, unsigned m)
{
	struct stripe_loc loc = {.k = (uint8_t)k, .m = (uint8_t)m, .len = 0x12345};

	for (unsigned i = 0; i < k + m; i++) {
		loc.chunk[i] = (struct chunk_loc){.shard = (uint8_t)(63 - i),
						  .segment = 0xa0b0c0d0 + i,
						  .block = 0x1000 + i * 100};
	}
	return loc;
}

static void places_come_back(void **state)
{
	uint8_t buf[STRIPE_LOC_MAX + 1];

	(void)state;
	for (unsigned k = 1; k <= STRIPE_WIDTH_MAX; k++) {
		for (unsigned m = 0; k + m <= STRIPE_WIDTH_MAX && (k == 1 || m <= 2); m++) {
			struct stripe_loc loc = example_loc(k, m);
			struct stripe_loc got;
			size_t len = stripe_loc_put(&loc, buf);

			assert_int_equal(len, 6 + 9 * (k + m));
			assert_int_equal(stripe_loc_get(buf, len, &got), 0);
			assert_memory_equal(&got, &loc, sizeof(loc));
			assert_int_equal(stripe_loc_get(buf, len + 1, &got), 0);
			for (size_t cut = 0; cut < len; cut++)
				assert_int_equal(stripe_loc_get(buf, cut, &got), -EBADMSG);
			assert_int_equal(stripe_loc_bytes(&loc),
					 (uint64_t)(k + m) * layout_blocks(loc.len, k) * BLOCK_LEN);
		}
	}
}

static void place_is_the_golden_one(void **state)
{
	static const uint8_t bytes[] = {2,    1,    0x45, 0x23, 0x01, 0, 63, 0xd0, 0xc0,
					0xb0, 0xa0, 0,	  0x10, 0,    0, 62, 0xd1, 0xc0,
					0xb0, 0xa0, 0x64, 0x10, 0,    0, 61, 0xd2, 0xc0,
					0xb0, 0xa0, 0xc8, 0x10, 0,    0};
	struct stripe_loc loc = example_loc(2, 1);
	uint8_t buf[STRIPE_LOC_MAX];

	(void)state;
	assert_int_equal(stripe_loc_put(&loc, buf), sizeof(bytes));
	assert_memory_equal(buf, bytes, sizeof(bytes));
}

static void senseless_places_are_refused(void **state)
{
	uint8_t buf[STRIPE_LOC_MAX];
	struct stripe_loc loc;

	(void)state;
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		loc = example_loc(3, 1);                                                           \
		stripe_loc_put(&loc, buf);                                                         \
		change;                                                                            \
		assert_int_equal(stripe_loc_get(buf, sizeof(buf), &loc), -EBADMSG);                \
	} while (0)
	REFUSED(buf[0] = 0);
	REFUSED(buf[0] = 16);
	REFUSED(buf[1] = 3);
	REFUSED(buf[1] = 255);
	REFUSED(put_u32(buf + 2, 0));
	REFUSED(put_u32(buf + 2, RAID_STRIPE_MAX + 1));
	REFUSED(buf[6] = SHARD_MAX);
	REFUSED(buf[6] = buf[6 + 9]);
	REFUSED(put_u32(buf + 6 + 5, SEGMENT_BLOCKS_MAX - 1));
	REFUSED(put_u32(buf + 6 + 5, UINT32_MAX));
#undef REFUSED
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head_is_the_golden_one),
		cmocka_unit_test(head_comes_back),
		cmocka_unit_test(any_flipped_bit_is_noticed),
		cmocka_unit_test(senseless_heads_are_refused),
		cmocka_unit_test(another_stripes_head_does_not_match),
		cmocka_unit_test(sum_does_not_depend_on_pieces),
		cmocka_unit_test(places_come_back),
		cmocka_unit_test(place_is_the_golden_one),
		cmocka_unit_test(senseless_places_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
