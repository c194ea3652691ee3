/* Items, and what a shape tells of rows. */
#include "tests/codec/codec_test.h"

#include "codec/head_item.h"
#include "tests/codec/head_check.h"

static void numbers_have_a_width(void **state)
{
	static const struct {
		uint8_t type;
		uint8_t size;
		uint8_t width; /* 0: refused */
		uint8_t group;
	} cases[] = {
		{HEAD_UINT, 1, 1, 1},	  {HEAD_FLOAT, 2, 2, 1},    {HEAD_INT, 4, 4, 1},
		{HEAD_FLOAT, 8, 8, 1},	  {HEAD_COMPLEX, 8, 4, 2},  {HEAD_COMPLEX, 16, 8, 2},
		{HEAD_FLOAT, 16, 8, 2},	  {HEAD_COMPLEX, 32, 8, 4}, {HEAD_FLOAT, 12, 4, 3},
		{HEAD_COMPLEX, 24, 4, 6}, {HEAD_INT, 3, 0, 0},	    {HEAD_INT, 0, 0, 0},
		{HEAD_COMPLEX, 5, 0, 0},  {HEAD_COMPLEX, 0, 0, 0},  {HEAD_FLOAT, 64, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head_array a = {.item = 0};
		bool ok = head_item_number(&a, cases[i].type, cases[i].size, true);

		assert_int_equal(ok, cases[i].width != 0);
		assert_int_equal(a.width, cases[i].width);
		assert_int_equal(a.group, cases[i].group);
		assert_int_equal(a.big_endian, cases[i].width > 1);
	}
}

static void shapes_tell_rows(void **state)
{
	static const struct {
		uint64_t dims[5];
		uint8_t nr;
		bool complex;
		uint32_t group; /* all of these in items of 4 bytes, or complex ones of 8 */
		uint64_t pitch;
		uint64_t plane;
	} cases[] = {
		{{0}, 0, false, 1, 0, 0},
		{{100}, 1, false, 1, 0, 0},
		{{3}, 1, false, 1, 0, 0},
		{{10, 20}, 2, false, 1, 80, 0},
		{{10, 20, 30}, 3, false, 1, 120, 2400},
		{{9, 10, 20, 30}, 4, false, 1, 120, 2400},
		{{1000, 3}, 2, false, 3, 0, 0},
		{{10, 20, 3}, 3, false, 3, 240, 0},
		{{9, 10, 20, 3}, 4, false, 3, 240, 2400},
		{{10, 20, 5}, 3, false, 1, 20, 400},
		{{1, 10, 1, 20, 1}, 5, false, 1, 80, 0},
		{{10, 1}, 2, false, 1, 0, 0},
		{{10, 20}, 2, true, 2, 160, 0},
		{{10, 20, 3}, 3, true, 6, 480, 0},
		{{0, 20, 30}, 3, false, 1, 120, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t reversed[5];

		for (unsigned k = 0; k < cases[i].nr; k++)
			reversed[k] = cases[i].dims[cases[i].nr - 1 - k];
		for (int fortran = 0; fortran < 2; fortran++) {
			struct head_array a = {.item = 0};

			assert_true(head_item_number(&a,
						     cases[i].complex ? HEAD_COMPLEX : HEAD_FLOAT,
						     cases[i].complex ? 8 : 4, false));
			assert_true(head_item_shape(&a, 100, fortran ? reversed : cases[i].dims,
						    cases[i].nr, fortran));
			assert_int_equal(a.group, cases[i].group);
			assert_int_equal(a.pitch, cases[i].pitch);
			assert_int_equal(a.plane, cases[i].plane);
			assert_null(head_check_array(&a));
		}
	}
}

static void impossible_sizes_are_refused(void **state)
{
	static const uint64_t huge[] = {UINT64_MAX, 2};
	static const uint64_t large[] = {INT64_MAX / 4};
	static const uint64_t none[] = {UINT64_MAX, UINT64_MAX, 0};
	uint64_t many[HEAD_ITEM_AXES + 1];
	struct head_array a = {.item = 0};

	(void)state;
	assert_true(head_item_number(&a, HEAD_INT, 4, false));
	assert_false(head_item_shape(&a, 0, huge, 2, false));
	assert_false(head_item_shape(&a, 4, large, 1, false));
	assert_true(head_item_shape(&a, 3, large, 1, false));
	assert_false(head_item_shape(&a, UINT64_MAX, large, 0, false));
	assert_true(head_item_shape(&a, 0, none, 3, false));
	assert_null(head_check_array(&a));
	for (unsigned i = 0; i < ARRAY_LEN(many); i++)
		many[i] = 1;
	assert_true(head_item_shape(&a, 0, many, HEAD_ITEM_AXES, false));
	assert_null(head_check_array(&a));
	assert_false(head_item_shape(&a, 0, many, HEAD_ITEM_AXES + 1, false));
}

static void random_shapes_make_sense(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t dims[HEAD_ITEM_AXES];
		unsigned nr = (unsigned)rng_below(&r, 1 + rng_below(&r, HEAD_ITEM_AXES + 1));
		struct head_array number = {.width = (uint8_t)(1u << rng_below(&r, 4))};
		struct head_array a = {.item = 0};

		for (unsigned k = 0; k < nr; k++)
			dims[k] = rng_next(&r) >>
				  (nr < 4 ? rng_below(&r, 64) : 60 + rng_below(&r, 4));
		if (!head_item_record(&a, &number, 1 + rng_below(&r, 1ull << rng_below(&r, 33))))
			continue;
		if (head_item_shape(&a, rng_next(&r) >> (1 + rng_below(&r, 63)), dims, nr,
				    rng_below(&r, 2))) {
			const char *wrong = head_check_array(&a);

			if (wrong)
				fail_msg("%s", wrong);
		}
	}
}

static void integers_are_read_in_both_orders(void **state)
{
	static const uint8_t p[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	(void)state;
	assert_int_equal(head_item_uint(p, 2, false), 0x0201);
	assert_int_equal(head_item_uint(p, 2, true), 0x0102);
	assert_int_equal(head_item_uint(p, 4, true), 0x01020304);
	assert_true(head_item_uint(p, 8, false) == UINT64_C(0x0807060504030201));
	assert_int_equal(head_item_uint(p, 0, false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_a_width),
		cmocka_unit_test(shapes_tell_rows),
		cmocka_unit_test(impossible_sizes_are_refused),
		cmocka_unit_test(random_shapes_make_sense),
		cmocka_unit_test(integers_are_read_in_both_orders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
