/* Bytes that outlive us: little-endian on every machine, and cursors that never leave their
 * memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/bytes.h"

static void numbers_are_little_endian(void **state)
{
	uint8_t buf[8];

	(void)state;
	put_u8(buf, 0x9a);
	assert_int_equal(buf[0], 0x9a);
	assert_int_equal(get_u8(buf), 0x9a);
	put_u16(buf, 0x1234);
	assert_memory_equal(buf, "\x34\x12", 2);
	assert_int_equal(get_u16(buf), 0x1234);
	put_u32(buf, 0x12345678);
	assert_memory_equal(buf, "\x78\x56\x34\x12", 4);
	assert_int_equal(get_u32(buf), 0x12345678);
	put_u64(buf, UINT64_C(0x123456789abcdef0));
	assert_memory_equal(buf, "\xf0\xde\xbc\x9a\x78\x56\x34\x12", 8);
	assert_int_equal(get_u64(buf), UINT64_C(0x123456789abcdef0));
}

static void keys_sort_as_numbers_do(void **state)
{
	static const uint64_t numbers[] = {
		0, 1, 255, 256, 65536, UINT32_MAX, UINT64_C(1) << 63, UINT64_MAX};
	uint8_t last[8], key[8];

	(void)state;
	put_be64(last, numbers[0]);
	for (size_t i = 1; i < sizeof(numbers) / sizeof(*numbers); i++) {
		put_be64(key, numbers[i]);
		assert_true(memcmp(last, key, sizeof(key)) < 0);
		assert_int_equal(get_be64(key), numbers[i]);
		memcpy(last, key, sizeof(key));
	}
}

/* Every offset: numbers need no alignment. Sanitizers watch. */
static void numbers_need_no_alignment(void **state)
{
	uint8_t buf[16];

	(void)state;
	for (size_t at = 0; at < 8; at++) {
		put_u64(buf + at, UINT64_C(0xfedcba9876543210) + at);
		assert_int_equal(get_u64(buf + at), UINT64_C(0xfedcba9876543210) + at);
	}
}

static void cursors_read_what_they_wrote(void **state)
{
	uint8_t buf[64], bytes[3];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	(void)state;
	wbuf_u8(&w, 1);
	wbuf_u16(&w, 2);
	wbuf_u32(&w, 3);
	wbuf_u64(&w, 4);
	wbuf_be64(&w, 5);
	wbuf_bytes(&w, "xyz", 3);
	wbuf_bytes(&w, NULL, 0);
	assert_false(w.bad);
	assert_int_equal(w.pos, 1 + 2 + 4 + 8 + 8 + 3);
	r = rbuf_init(buf, w.pos);
	assert_int_equal(rbuf_u8(&r), 1);
	assert_int_equal(rbuf_u16(&r), 2);
	assert_int_equal(rbuf_u32(&r), 3);
	assert_int_equal(rbuf_u64(&r), 4);
	assert_int_equal(rbuf_be64(&r), 5);
	rbuf_bytes(&r, bytes, 3);
	assert_memory_equal(bytes, "xyz", 3);
	assert_false(r.bad);
	assert_int_equal(r.pos, r.len);
}

static void writing_stops_at_the_end(void **state)
{
	uint8_t buf[8];
	struct wbuf w = wbuf_init(buf, 7);

	(void)state;
	memset(buf, 0xee, sizeof(buf));
	wbuf_u32(&w, 1);
	wbuf_u32(&w, 2);
	assert_true(w.bad);
	assert_int_equal(w.pos, 4);
	assert_memory_equal(buf + 4, "\xee\xee\xee\xee", 4);
	/* It would fit, but what is missing before it makes it worthless. */
	wbuf_u8(&w, 3);
	assert_int_equal(w.pos, 4);
	assert_int_equal(buf[4], 0xee);
	assert_null(wbuf_skip(&w, 0));
}

static void reading_past_the_end_gives_zeros(void **state)
{
	uint8_t buf[7] = {1, 0, 0, 0, 2, 3, 4}, bytes[4];
	struct rbuf r = rbuf_init(buf, sizeof(buf));

	(void)state;
	assert_int_equal(rbuf_u32(&r), 1);
	assert_int_equal(rbuf_u32(&r), 0);
	assert_true(r.bad);
	assert_int_equal(rbuf_u8(&r), 0);
	memset(bytes, 0xee, sizeof(bytes));
	rbuf_bytes(&r, bytes, sizeof(bytes));
	assert_memory_equal(bytes, "\0\0\0\0", 4);
	assert_null(rbuf_skip(&r, 0));
}

/* Lengths from outside may be anything. */
static void huge_lengths_do_not_wrap(void **state)
{
	uint8_t buf[8] = {0};
	struct rbuf r = rbuf_init(buf, sizeof(buf));
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	(void)state;
	assert_non_null(rbuf_skip(&r, 4));
	assert_null(rbuf_skip(&r, SIZE_MAX - 2));
	assert_true(r.bad);
	assert_non_null(wbuf_skip(&w, 8));
	assert_non_null(wbuf_skip(&w, 0));
	assert_null(wbuf_skip(&w, SIZE_MAX));
	assert_true(w.bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_little_endian),
		cmocka_unit_test(keys_sort_as_numbers_do),
		cmocka_unit_test(numbers_need_no_alignment),
		cmocka_unit_test(cursors_read_what_they_wrote),
		cmocka_unit_test(writing_stops_at_the_end),
		cmocka_unit_test(reading_past_the_end_gives_zeros),
		cmocka_unit_test(huge_lengths_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
