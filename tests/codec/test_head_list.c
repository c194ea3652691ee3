/* Lists of arrays: order, room, guesses. */
#include "tests/codec/codec_test.h"

#include "codec/head_item.h"
#include "codec/head_list.h"
#include "tests/codec/head_check.h"

static struct head_array array_at(uint64_t start, enum head_type type, unsigned size, uint64_t rows,
				  uint64_t columns)
{
	struct head_array a = {.item = 0};
	uint64_t dims[2] = {rows, columns};

	assert_true(head_item_number(&a, type, size, false));
	assert_true(head_item_shape(&a, start, dims, 2, false));
	return a;
}

static void check(const struct head_list *l)
{
	const char *wrong = head_check(l->a, l->nr, l->cap, 0, 0);

	if (wrong)
		fail_msg("%s", wrong);
}

static void arrays_are_sorted_and_apart(void **state)
{
	static const uint64_t starts[] = {3000, 1000, 2000, 1500, 3000, 900, 3900, 0};
	struct head_array room[10];
	struct head_list l = head_list_init(room, 10);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		struct head_array a = array_at(starts[i], HEAD_FLOAT, 4, 10, 25);

		head_list_add(&l, &a);
		check(&l);
	}
	/* 1500, the second 3000, 900 and 3900 overlap with others. */
	assert_int_equal(l.nr, 4);
	assert_int_equal(room[0].start, 0);
	assert_int_equal(room[3].start, 3000);
	assert_int_equal(l.total, 4000);
}

/* A network's layers: many tensors of one type in a row, now and then another. */
static void many_become_few(void **state)
{
	struct head_array room[8];
	struct head_list l = head_list_init(room, 8);
	uint64_t end = 100;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		struct head_array a = i < 1000	 ? array_at(end, HEAD_FLOAT, 4, 100, 64)
				      : i < 2000 ? array_at(end, HEAD_BFLOAT, 2, 100, 10 + i % 7)
						 : array_at(end, HEAD_INT, 8, 1, 100);

		end = a.end;
		head_list_add(&l, &a);
		check(&l);
	}
	assert_int_equal(room[0].start, 100);
	assert_int_equal(room[l.nr - 1].end, end);
	for (unsigned i = 1; i < l.nr; i++)
		assert_int_equal(room[i].start, room[i - 1].end);
	assert_int_equal(room[0].type, HEAD_FLOAT);
	assert_int_equal(room[0].pitch, 256);
	assert_int_equal(room[l.nr - 1].type, HEAD_INT);
}

static void unlike_ones_are_left_out(void **state)
{
	struct head_array room[8];
	struct head_list l = head_list_init(room, 8);

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		struct head_array a =
			array_at(10000ull * i, i % 2 ? HEAD_FLOAT : HEAD_INT, 4, 10, 10);

		head_list_add(&l, &a);
		check(&l);
	}
	assert_int_equal(l.nr, 8);
	assert_int_equal(room[7].start, 70000);
}

static void any_order_and_room_will_do(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct head_array room[12];
		struct head_list l = head_list_init(room, 1 + (unsigned)rng_below(&r, 12));

		for (size_t n = rng_below(&r, 60); n > 0; n--) {
			struct head_array a = array_at(rng_below(&r, 1u << (8 + rng_below(&r, 12))),
						       rng_below(&r, 3) ? HEAD_FLOAT : HEAD_UINT,
						       1u << rng_below(&r, 4), rng_below(&r, 30),
						       1 + rng_below(&r, 30));

			if (rng_below(&r, 50) == 0)
				head_item_unshape(&a, a.start, UINT64_MAX);
			head_list_add(&l, &a);
			check(&l);
		}
		head_list_rest(&l, 0);
		check(&l);
	}
}

static void the_rest_is_like_most(void **state)
{
	struct head_array room[8];
	struct head_list l = head_list_init(room, 8);
	struct head_array grid = array_at(0, HEAD_FLOAT, 4, 1000, 1000);
	struct head_array axis = array_at(1u << 20, HEAD_FLOAT, 8, 1, 100);

	(void)state;
	head_list_rest(&l, 0);
	assert_int_equal(l.nr, 0);
	head_list_add(&l, &axis);
	head_list_note(&l, &grid, grid.end);
	head_list_rest(&l, 0);
	check(&l);
	/* Before the axis, and behind it. */
	assert_int_equal(l.nr, 3);
	assert_true(room[0].scattered && !room[1].scattered && room[2].scattered);
	assert_int_equal(room[0].width, 4);
	assert_int_equal(room[0].pitch, 4000);
	assert_int_equal(room[0].end, axis.start);
	assert_true(room[2].end == UINT64_MAX);
	l = head_list_init(room, 8);
	head_list_note(&l, &grid, grid.end);
	head_list_rest(&l, 777);
	assert_int_equal(room[0].start, 777);
}

static void where_many_differ_nothing_is_guessed(void **state)
{
	static const struct head_array packed = {.item = 0};
	struct head_array room[8];
	struct head_list l = head_list_init(room, 8);
	struct head_array a = array_at(0, HEAD_FLOAT, 4, 1000, 1000);

	(void)state;
	head_list_note(&l, &a, 8000);
	head_list_note(&l, &packed, 2000);
	head_list_rest(&l, 0);
	assert_int_equal(l.nr, 0);
	head_list_note(&l, &a, UINT64_MAX);
	head_list_rest(&l, 0);
	assert_int_equal(l.nr, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrays_are_sorted_and_apart),
		cmocka_unit_test(many_become_few),
		cmocka_unit_test(unlike_ones_are_left_out),
		cmocka_unit_test(any_order_and_room_will_do),
		cmocka_unit_test(the_rest_is_like_most),
		cmocka_unit_test(where_many_differ_nothing_is_guessed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
