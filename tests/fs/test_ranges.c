/* Sorted ranges against a bitmap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "conf/base.h"
#include "fs/ranges.h"

#define SPAN 512u

static void agrees(const struct ranges *r, const bool bit[SPAN])
{
	uint64_t len = 0;
	uint32_t at = 0;

	for (unsigned i = 0; i < r->nr; i++) {
		/* Apart: one unset bit between them at least. */
		assert_true(r->at[i].len && (!i || r->at[i].off > at));
		for (; at < r->at[i].off; at++)
			assert_false(bit[at]);
		for (; at < r->at[i].off + r->at[i].len; at++)
			assert_true(bit[at]);
		len += r->at[i].len;
	}
	assert_int_equal(ranges_end(r), at);
	for (; at < SPAN; at++)
		assert_false(bit[at]);
	assert_int_equal(r->len, len);
}

static void finds(const struct ranges *r, uint32_t off)
{
	unsigned want = 0;

	while (want < r->nr && r->at[want].off + r->at[want].len <= off)
		want++;
	assert_int_equal(ranges_find(r, off), want);
}

static void ranges_are_what_a_bitmap_says(void **state)
{
	unsigned seed = (unsigned)time(NULL);
	struct ranges r = {0};
	bool bit[SPAN] = {0};

	(void)state;
	print_message("seed %u\n", seed);
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t off = (uint32_t)rand_r(&seed) % SPAN;
		uint32_t len = 1 + (uint32_t)rand_r(&seed) % (i % 7 ? 4 : 60);
		bool add = rand_r(&seed) % 2;
		uint64_t want_len;
		unsigned want_nr;

		len = MIN(len, SPAN - off);
		assert_int_equal(ranges_room(&r), 0);
		ranges_cut_size(&r, off, off + len, &want_nr, &want_len);
		if (add)
			ranges_add(&r, off, len);
		else
			ranges_cut(&r, off, off + len);
		for (uint32_t k = off; k < off + len; k++)
			bit[k] = add;
		agrees(&r, bit);
		if (!add) {
			assert_int_equal(r.nr, want_nr);
			assert_int_equal(r.len, want_len);
		}
		finds(&r, (uint32_t)rand_r(&seed) % SPAN);
	}
	ranges_fini(&r);
	assert_int_equal(r.nr, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_what_a_bitmap_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
