/* Heads of images of brains. */
#include "tests/codec/codec_test.h"

#include "codec/nifti.h"
#include "conf/bytes.h"
#include "tests/codec/head_check.h"

#define LEN_1 348u
#define LEN_2 540u

static unsigned find(const uint8_t *p, size_t len, struct head_array *out)
{
	struct head_list l = head_list_init(out, 2);
	struct guarded g = guarded_new(len, GUARD_ABOVE);

	memcpy(g.p, p, len);
	l.kind = HEAD_NIFTI;
	nifti_find(g.p, len, &l);
	assert_null(head_check(out, l.nr, 2, 0, 0));
	guarded_free(&g);
	return l.nr;
}

/* A version 1 head of 4 x 5 x 6 numbers. */
static void make_one(uint8_t *p, uint16_t type, float off)
{
	static const uint16_t dims[] = {3, 4, 5, 6, 1, 1, 1, 1};

	memset(p, 0, LEN_1);
	put_u32(p, LEN_1);
	for (size_t i = 0; i < ARRAY_LEN(dims); i++)
		put_u16(p + 40 + 2 * i, dims[i]);
	put_u16(p + 70, type);
	memcpy(p + 108, &off, 4);
	memcpy(p + 344, "n+1", 4);
}

static void types_have_their_widths(void **state)
{
	static const struct {
		uint16_t code;
		uint8_t width; /* 0: not told */
		uint8_t item;
		uint8_t group;
	} cases[] = {
		{2, 1, 1, 1},	  {4, 2, 2, 1},	    {8, 4, 4, 1},     {16, 4, 4, 1},
		{32, 4, 8, 2},	  {64, 8, 8, 1},    {128, 1, 3, 3},   {256, 1, 1, 1},
		{512, 2, 2, 1},	  {768, 4, 4, 1},   {1024, 8, 8, 1},  {1280, 8, 8, 1},
		{1536, 8, 16, 2}, {1792, 8, 16, 2}, {2048, 8, 32, 4}, {2304, 1, 4, 4},
		{0, 0, 0, 0},	  {1, 0, 0, 0},	    {9999, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head_array out[2];
		uint8_t p[LEN_1];

		make_one(p, cases[i].code, 352);
		assert_int_equal(find(p, LEN_1, out), cases[i].width != 0);
		if (!cases[i].width)
			continue;
		assert_int_equal(out[0].width, cases[i].width);
		assert_int_equal(out[0].item, cases[i].item);
		/* An axis of 4 is a group. */
		assert_int_equal(out[0].group, cases[i].group * 4);
		assert_int_equal(out[0].end - out[0].start, 120 * cases[i].item);
	}
}

static void offsets_make_sense_or_are_the_least(void **state)
{
	static const struct {
		float off;
		uint64_t start;
	} cases[] = {
		{352, 352},
		{1024, 1024},
		{0, 352},
		{-5, 352},
		{100, 352},
		{1e30F, 352},
		{__builtin_nanf(""), 352},
		{__builtin_inff(), 352},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head_array out[2];
		uint8_t p[LEN_1];

		make_one(p, 16, cases[i].off);
		assert_int_equal(find(p, LEN_1, out), 1);
		assert_int_equal(out[0].start, cases[i].start);
	}
}

static void bad_axes_and_cuts_tell_nothing(void **state)
{
	struct head_array out[2];
	uint8_t p[LEN_1];

	(void)state;
	make_one(p, 16, 352);
	for (size_t cut = 0; cut < LEN_1; cut++)
		assert_int_equal(find(p, cut, out), 0);
	put_u16(p + 40, 0);
	assert_int_equal(find(p, LEN_1, out), 0);
	put_u16(p + 40, 8);
	assert_int_equal(find(p, LEN_1, out), 0);
	put_u16(p + 40, 7);
	assert_int_equal(find(p, LEN_1, out), 1);
	put_u16(p + 44, (uint16_t)-5);
	assert_int_equal(find(p, LEN_1, out), 0);
	make_one(p, 16, 352);
	put_u32(p, LEN_2);
	assert_int_equal(find(p, LEN_1, out), 0);
	make_one(p, 16, 352);
	memcpy(p + 344, "ni1", 4); /* the numbers are in another file */
	assert_int_equal(find(p, LEN_1, out), 0);
}

static void wide_axes_do_not_overflow(void **state)
{
	struct head_array out[2];
	uint8_t p[LEN_2] = {0};

	(void)state;
	put_u32(p, LEN_2);
	memcpy(p + 4, "n+2\0\r\n\x1a\n", 8);
	put_u16(p + 12, 64);
	put_u64(p + 16, 3);
	for (size_t i = 1; i <= 3; i++)
		put_u64(p + 16 + 8 * i, 1u << 16);
	put_u64(p + 168, 544);
	assert_int_equal(find(p, LEN_2, out), 1);
	assert_true(out[0].end - out[0].start == UINT64_C(1) << 51);
	put_u64(p + 168, UINT64_MAX - 1000);
	assert_int_equal(find(p, LEN_2, out), 1);
	assert_int_equal(out[0].start, 544);
	put_u64(p + 168, INT64_MAX - 1000);
	assert_int_equal(find(p, LEN_2, out), 0);
	for (size_t i = 1; i <= 3; i++)
		put_u64(p + 16 + 8 * i, UINT32_MAX);
	put_u64(p + 168, 544);
	assert_int_equal(find(p, LEN_2, out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_have_their_widths),
		cmocka_unit_test(offsets_make_sense_or_are_the_least),
		cmocka_unit_test(bad_axes_and_cuts_tell_nothing),
		cmocka_unit_test(wide_axes_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
