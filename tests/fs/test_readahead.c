#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/base.h"
#include "fs/readahead.h"

#define UNIT   MIB
#define TILE   (128 * KIB)
#define WINDOW (8 * MIB)
#define FILE_N ((size_t)(512 * MIB / TILE)) /* tiles of the file that traces are about */

/* A reader's trace, and what was asked for: which tiles, how often. */
struct trace {
	struct readahead r;
	struct readahead_ask ask[READAHEAD_ASKS];
	unsigned nr; /* of the last read */
	uint8_t asked[FILE_N];
	bool read[FILE_N];
	unsigned nr_late;   /* reads of which something was not asked for before */
	uint64_t asked_len; /* bytes */
};

static void trace_init(struct trace *t)
{
	memset(t, 0, sizeof(*t));
}

static void step(struct trace *t, uint64_t off, uint64_t len)
{
	bool late = false;

	for (uint64_t i = off / TILE; i < FILE_N && i * TILE < off + len; i++) {
		late |= !t->asked[i];
		t->read[i] = true;
	}
	t->nr_late += late;
	t->nr = readahead_step(&t->r, off, len, UNIT, TILE, WINDOW, t->ask);
	assert_true(t->nr <= READAHEAD_ASKS);
	for (unsigned n = 0; n < t->nr; n++) {
		const struct readahead_ask *a = &t->ask[n];

		assert_true(a->len > 0);
		t->asked_len += a->len;
		for (uint64_t i = a->off / TILE; i < FILE_N && i * TILE < a->off + a->len; i++)
			t->asked[i]++;
	}
}

/* Tiles that were asked for and not read. */
static unsigned nr_vain(const struct trace *t)
{
	unsigned n = 0;

	for (size_t i = 0; i < FILE_N; i++)
		n += t->asked[i] && !t->read[i];
	return n;
}

static unsigned most_asked(const struct trace *t)
{
	unsigned n = 0;

	for (size_t i = 0; i < FILE_N; i++)
		n = MAX(n, (unsigned)t->asked[i]);
	return n;
}

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 20;
}

static void one_read_says_nothing(void **state)
{
	struct trace t;

	(void)state;
	trace_init(&t);
	step(&t, 0, 4096);
	assert_int_equal(t.nr, 0);
	step(&t, 100 * MIB, MIB);
	assert_int_equal(t.nr, 0);
}

static void a_big_first_read_asks_for_the_rest_of_its_extent(void **state)
{
	struct trace t;

	(void)state;
	trace_init(&t);
	step(&t, 0, TILE);
	assert_int_equal(t.nr, 1);
	assert_int_equal(t.ask[0].off, TILE);
	assert_int_equal(t.ask[0].len, UNIT - TILE);
}

static void a_sequential_reader_is_preceded_by_a_growing_window(void **state)
{
	uint64_t end = 0;
	struct trace t;

	(void)state;
	trace_init(&t);
	for (uint64_t off = 0; off < 64 * MIB; off += TILE) {
		step(&t, off, TILE);
		if (!t.nr)
			continue;
		/* Each byte once, in order, from where the reader is to the end of an extent. */
		assert_int_equal(t.nr, 1);
		if (end)
			assert_int_equal(t.ask[0].off, end);
		end = t.ask[0].off + t.ask[0].len;
		assert_int_equal(end % UNIT, 0);
		assert_true(t.ask[0].off > off);
		assert_true(end <= off + TILE + WINDOW + UNIT);
	}
	/* At the end the reader is a whole window behind. */
	assert_true(end >= 64 * MIB + WINDOW);
	assert_int_equal(t.nr_late, 1);
	assert_int_equal(most_asked(&t), 1);
}

static void a_small_beginning_asks_for_little(void **state)
{
	struct trace t;

	(void)state;
	trace_init(&t);
	step(&t, 0, 4096);
	assert_int_equal(t.nr, 0);
	step(&t, 4096, 4096);
	assert_int_equal(t.nr, 1);
	assert_int_equal(t.ask[0].off, TILE);
	assert_int_equal(t.ask[0].off + t.ask[0].len, 2 * UNIT);
}

static void reads_out_of_order_still_go_on(void **state)
{
	static const unsigned order[] = {0, 2, 1, 4, 3, 6, 7, 5, 9, 8};
	struct trace t;

	(void)state;
	trace_init(&t);
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		step(&t, order[i] * TILE, TILE);
	assert_int_equal(t.r.run, ARRAY_LEN(order));
	assert_true(t.nr_late <= 1);
	assert_int_equal(most_asked(&t), 1);
}

static void a_backward_reader_is_met_from_below(void **state)
{
	static const uint64_t length[] = {4096, TILE, MIB};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(length); i++) {
		uint64_t top = 100 * MIB + 3 * TILE, off = top;
		struct trace t;

		trace_init(&t);
		while (off > 60 * MIB) {
			off -= length[i];
			step(&t, off, length[i]);
			for (unsigned n = 0; n < t.nr; n++)
				assert_true(t.ask[n].off + t.ask[n].len <= off);
		}
		assert_true(t.nr_late <= 3 + TILE / length[i]);
		assert_int_equal(most_asked(&t), 1);
		/* No further below than the window. */
		assert_true(t.asked_len <= top - off + WINDOW + 2 * UNIT);
		/* At the file's beginning it ends. */
		while (off >= length[i]) {
			off -= length[i];
			step(&t, off, length[i]);
		}
		assert_true(t.asked_len <= top);
		assert_true(t.nr_late <= 3 + TILE / length[i]);
	}
}

static void check_stride(uint64_t start, int64_t stride, uint64_t len, unsigned nr)
{
	struct trace t;

	trace_init(&t);
	for (unsigned i = 0; i < nr; i++) {
		uint64_t off = (uint64_t)((int64_t)start + (int64_t)i * stride);

		step(&t, off & ~4095ULL, len);
	}
	/* Four tell, a fifth where places blur; all others are asked for before. */
	assert_in_range(t.nr_late, 4, stride % 4096 ? 5 : 4);
	/* Nothing between the steps is; beyond the last, at most what is asked ahead. Where places blur, a page more at
	 * either edge, which may be in the next tile. */
	assert_true(nr_vain(&t) <= 16 * (len / TILE + 2) + (stride % 4096 ? nr / 8 : 0));
	assert_true(t.asked_len <= (nr + 16) * (len + 8192));
}

static void strides_are_met_step_by_step(void **state)
{
	(void)state;
	check_stride(0, MIB, 4096, 200);
	check_stride(5 * MIB, 300 * KIB, 4096, 400);
	check_stride(4096, 2 * MIB, TILE, 200);
	check_stride(0, 5 * MIB, 4096, 90);
	/* Rows that are no whole pages. */
	check_stride(128, 1000 * 1000, 8192, 300);
	check_stride(128, 400 * 1001 + 7, 4096, 800);
	/* Backward. */
	check_stride(400 * MIB, -(int64_t)MIB, 4096, 300);
	check_stride(400 * MIB + 128, -999 * 1000, 8192, 300);
}

static void a_stride_that_ends_is_forgotten(void **state)
{
	struct trace t;
	uint64_t asked;

	(void)state;
	trace_init(&t);
	for (unsigned i = 0; i < 50; i++)
		step(&t, i * 2 * MIB, 4096);
	asked = t.asked_len;
	for (unsigned i = 0; i < 10; i++)
		step(&t, 300 * MIB + i * i * 7 * MIB, 4096);
	assert_int_equal(t.asked_len, asked);
}

/* Rows of 64 KiB: the kernel reads around the fault, and twice on from there. */
static void what_the_kernel_adds_is_no_going_forward(void **state)
{
	struct trace t;

	(void)state;
	trace_init(&t);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t off = (uint64_t)(i * i % 499 + 1) * 4 * MIB + i * 4096;

		for (unsigned k = 0; k < 3; k++)
			step(&t, off + k * 128 * KIB, 128 * KIB);
	}
	assert_int_equal(t.asked_len, 0);
}

static void two_readers_of_one_file_are_told_apart(void **state)
{
	struct trace t;

	(void)state;
	/* In order, at two places. */
	trace_init(&t);
	for (uint64_t off = 0; off < 40 * MIB; off += TILE) {
		step(&t, off, TILE);
		step(&t, 200 * MIB + off, TILE);
	}
	/* The second one did not begin where the file does. */
	assert_true(t.nr_late <= 8);
	assert_int_equal(most_asked(&t), 1);
	/* One forward, one backward. */
	trace_init(&t);
	for (uint64_t off = 0; off < 40 * MIB; off += TILE) {
		step(&t, off, TILE);
		step(&t, 300 * MIB - off, TILE);
	}
	assert_true(t.nr_late <= 6);
	/* Two columns, and somebody who reads in order between. */
	trace_init(&t);
	for (uint64_t i = 0; i < 100; i++) {
		step(&t, i * 4 * MIB, 4096);
		step(&t, i * 4 * MIB + 2 * MIB + 512 * KIB, 4096);
		step(&t, 450 * MIB + i * TILE, TILE);
	}
	assert_true(t.nr_late <= 12);
}

static void random_reads_ask_for_nothing(void **state)
{
	uint64_t seed = 12345;
	struct trace t;
	unsigned asked = 0;

	(void)state;
	trace_init(&t);
	for (int i = 0; i < 10000; i++) {
		step(&t, next(&seed) % (1ULL << 40) & ~4095ULL, 4096);
		asked += t.nr > 0;
	}
	/* Two neighbours of a terabyte by chance are rare. */
	assert_true(asked < 5);
	trace_init(&t);
	for (int i = 0; i < 10000; i++) {
		step(&t, next(&seed) % (512 * MIB) & ~4095ULL, 4096);
		asked += t.nr > 0;
	}
	assert_true(asked < 60);
	asked = 0;
	trace_init(&t);
	for (int i = 0; i < 10000; i++) {
		step(&t, next(&seed) % (64 * MIB) & ~4095ULL, 4096);
		asked += t.nr > 0;
	}
	/* In a small file they are not, but still no reason to read on. */
	assert_true(asked < 500);
}

static void going_elsewhere_starts_anew(void **state)
{
	struct trace t;

	(void)state;
	trace_init(&t);
	for (uint64_t off = 0; off < 16 * MIB; off += MIB)
		step(&t, off, MIB);
	step(&t, 200 * MIB, MIB);
	assert_int_equal(t.nr, 0);
	step(&t, 201 * MIB, MIB);
	assert_int_equal(t.nr, 1);
	assert_int_equal(t.ask[0].off, 202 * MIB);
	assert_int_equal(t.ask[0].len, 2 * UNIT);
	/* And the first reader is still known. */
	step(&t, 16 * MIB, MIB);
	assert_int_equal(t.r.run, 17);
}

static void no_window_no_asking(void **state)
{
	struct readahead_ask ask[READAHEAD_ASKS];
	struct readahead r = {.run = 0};

	(void)state;
	for (uint64_t off = 0; off < 16 * MIB; off += MIB)
		assert_int_equal(readahead_step(&r, off, MIB, UNIT, TILE, 0, ask), 0);
	for (uint64_t off = 40 * MIB; off < 80 * MIB; off += 2 * MIB)
		assert_int_equal(readahead_step(&r, off, 4096, UNIT, TILE, 0, ask), 0);
	for (uint64_t off = 30 * MIB; off > 20 * MIB; off -= 4096)
		assert_int_equal(readahead_step(&r, off, 4096, UNIT, TILE, 0, ask), 0);
}

static void the_end_of_the_numbers_is_no_trap(void **state)
{
	struct readahead_ask ask[READAHEAD_ASKS];
	struct readahead r = {.run = 0};
	uint64_t seed = 3;

	(void)state;
	assert_int_equal(readahead_step(&r, INT64_MAX - 4096, 4096, UNIT, TILE, WINDOW, ask), 0);
	readahead_step(&r, INT64_MAX, 4096, UNIT, TILE, WINDOW, ask);
	assert_int_equal(readahead_step(&r, UINT64_MAX, 4096, UNIT, TILE, WINDOW, ask), 0);
	assert_int_equal(readahead_step(&r, 0, UINT64_MAX, UNIT, TILE, WINDOW, ask), 0);
	for (int64_t off = INT64_MAX - 100 * (int64_t)MIB; off > INT64_MAX - 130 * (int64_t)MIB;
	     off -= (int64_t)MIB)
		readahead_step(&r, (uint64_t)off, MIB, UNIT, TILE, WINDOW, ask);
	for (unsigned step = 0; step < 20; step++) {
		unsigned n =
			readahead_step(&r, (uint64_t)INT64_MAX - (20 - step) * (1ULL << 40) - 4096,
				       4096, UNIT, TILE, WINDOW, ask);

		for (unsigned i = 0; i < n; i++)
			assert_true(ask[i].off <= (uint64_t)INT64_MAX - ask[i].len);
	}
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t off = next(&seed) << (next(&seed) % 24);
		uint64_t len = next(&seed) >> (next(&seed) % 44);

		readahead_step(&r, off, len, UNIT, TILE, WINDOW, ask);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_read_says_nothing),
		cmocka_unit_test(a_big_first_read_asks_for_the_rest_of_its_extent),
		cmocka_unit_test(a_sequential_reader_is_preceded_by_a_growing_window),
		cmocka_unit_test(a_small_beginning_asks_for_little),
		cmocka_unit_test(reads_out_of_order_still_go_on),
		cmocka_unit_test(a_backward_reader_is_met_from_below),
		cmocka_unit_test(strides_are_met_step_by_step),
		cmocka_unit_test(a_stride_that_ends_is_forgotten),
		cmocka_unit_test(what_the_kernel_adds_is_no_going_forward),
		cmocka_unit_test(two_readers_of_one_file_are_told_apart),
		cmocka_unit_test(random_reads_ask_for_nothing),
		cmocka_unit_test(going_elsewhere_starts_anew),
		cmocka_unit_test(no_window_no_asking),
		cmocka_unit_test(the_end_of_the_numbers_is_no_trap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
