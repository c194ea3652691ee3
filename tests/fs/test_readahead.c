#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/base.h"
#include "fs/readahead.h"

#define UNIT   MIB
#define WINDOW (8 * MIB)

static uint64_t from, n;

static bool step(struct readahead *r, uint64_t off, uint64_t len)
{
	return readahead_step(r, off, len, UNIT, WINDOW, &from, &n);
}

static void one_read_says_nothing(void **state)
{
	struct readahead r = {.run = 0};

	(void)state;
	assert_false(step(&r, 0, 128 * KIB));
}

static void a_sequential_reader_is_preceded_by_a_growing_window(void **state)
{
	struct readahead r = {.run = 0};
	uint64_t asked = 0;

	(void)state;
	for (uint64_t off = 0; off < 64 * MIB; off += 128 * KIB) {
		if (!step(&r, off, 128 * KIB))
			continue;
		/* Each extent once, in order, whole, after the one being read. */
		if (asked)
			assert_int_equal(from, asked);
		assert_int_equal(from % UNIT, 0);
		assert_int_equal(n % UNIT, 0);
		assert_true(from > off);
		asked = from + n;
		assert_true(asked <= off + 128 * KIB + WINDOW + UNIT);
	}
	/* At the end the reader is a whole window behind. */
	assert_true(asked >= 64 * MIB + WINDOW);
}

static void a_small_beginning_asks_for_little(void **state)
{
	struct readahead r = {.run = 0};

	(void)state;
	assert_false(step(&r, 0, 4096));
	assert_true(step(&r, 4096, 4096));
	assert_int_equal(from, UNIT);
	assert_int_equal(n, UNIT);
}

static void reads_out_of_order_still_go_on(void **state)
{
	static const unsigned order[] = {0, 2, 1, 4, 3, 6, 7, 5, 9, 8};
	struct readahead r = {.run = 0};
	unsigned asked = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		asked += step(&r, order[i] * 128 * KIB, 128 * KIB);
	assert_int_equal(r.run, ARRAY_LEN(order));
	assert_true(asked > 0);
}

static void random_reads_ask_for_nothing(void **state)
{
	struct readahead r = {.run = 0};
	uint64_t seed = 12345;
	unsigned asked = 0;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		asked += step(&r, (seed >> 20) % (1ULL << 40) & ~4095ULL, 4096);
	}
	/* Two neighbours of a terabyte by chance are rare. */
	assert_true(asked < 5);
	asked = 0;
	for (int i = 0; i < 10000; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		asked += step(&r, (seed >> 20) % (64 * MIB) & ~4095ULL, 4096);
	}
	/* In a small file they are not, but still no reason to read on. */
	assert_true(asked < 150);
}

static void going_elsewhere_starts_anew(void **state)
{
	struct readahead r = {.run = 0};

	(void)state;
	for (uint64_t off = 0; off < 16 * MIB; off += MIB)
		step(&r, off, MIB);
	assert_false(step(&r, GIB, MIB));
	assert_true(step(&r, GIB + MIB, MIB));
	assert_int_equal(from, GIB + 3 * MIB);
	assert_int_equal(n, UNIT);
}

static void no_window_no_asking(void **state)
{
	struct readahead r = {.run = 0};

	(void)state;
	for (uint64_t off = 0; off < 16 * MIB; off += MIB)
		assert_false(readahead_step(&r, off, MIB, UNIT, 0, &from, &n));
}

static void the_end_of_the_numbers_is_no_trap(void **state)
{
	struct readahead r = {.run = 0};

	(void)state;
	assert_false(step(&r, INT64_MAX - 4096, 4096));
	step(&r, INT64_MAX, 4096);
	assert_false(step(&r, UINT64_MAX, 4096));
	assert_false(step(&r, 0, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_read_says_nothing),
		cmocka_unit_test(a_sequential_reader_is_preceded_by_a_growing_window),
		cmocka_unit_test(a_small_beginning_asks_for_little),
		cmocka_unit_test(reads_out_of_order_still_go_on),
		cmocka_unit_test(random_reads_ask_for_nothing),
		cmocka_unit_test(going_elsewhere_starts_anew),
		cmocka_unit_test(no_window_no_asking),
		cmocka_unit_test(the_end_of_the_numbers_is_no_trap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
