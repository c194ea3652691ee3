/* Sorted ranges against a table of all bytes. */
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

#define NONE UINT32_MAX

/* @pos: where each byte lies; NONE: it is not in the list. */
static void agrees(const struct ranges *r, const uint32_t pos[SPAN])
{
	uint64_t len = 0;
	uint32_t at = 0;

	for (unsigned i = 0; i < r->nr; i++) {
		const struct range *a = &r->at[i];

		assert_true(a->len && a->off >= at);
		for (; at < a->off; at++)
			assert_int_equal(pos[at], NONE);
		for (; at < a->off + a->len; at++)
			assert_int_equal(pos[at], a->pos + (at - a->off));
		len += a->len;
	}
	assert_int_equal(ranges_end(r), at);
	for (; at < SPAN; at++)
		assert_int_equal(pos[at], NONE);
	assert_int_equal(r->len, len);
}

/* In two steps, at @cut. Returns where the bytes of the gaps end. */
static uint32_t fill(struct ranges *r, uint32_t off, uint32_t cut, uint32_t end, uint32_t place,
		     uint32_t pos[SPAN])
{
	unsigned before = r->nr;
	unsigned nr, want_nr = 0;
	uint32_t len, want_len = 0;

	for (uint32_t k = off; k < end; k++) {
		want_nr += pos[k] == NONE && (k == off || pos[k - 1] != NONE);
		want_len += pos[k] == NONE;
	}
	ranges_gaps(r, off, end, &nr, &len);
	assert_int_equal(nr, want_nr);
	assert_int_equal(len, want_len);
	assert_int_equal(ranges_room(r, nr), 0);
	ranges_fill(r, off, cut, place);
	for (uint32_t k = off; k < cut; k++)
		if (pos[k] == NONE)
			pos[k] = place++;
	ranges_fill(r, cut, end, place);
	for (uint32_t k = cut; k < end; k++)
		if (pos[k] == NONE)
			pos[k] = place++;
	assert_true(r->nr <= before + nr);
	return place;
}

/* The bytes are put in order. Returns where they end. */
static uint32_t joins(struct ranges *r, uint32_t pos[SPAN])
{
	unsigned nr = 0;
	uint32_t place = 0;

	for (uint32_t k = 0; k < SPAN; k++) {
		nr += pos[k] != NONE && (k == 0 || pos[k - 1] == NONE);
		if (pos[k] != NONE)
			pos[k] = place++;
	}
	assert_int_equal(ranges_nr_stretches(r), nr);
	place = 0;
	for (unsigned i = 0; i < r->nr; i++) {
		r->at[i].pos = place;
		place += r->at[i].len;
	}
	ranges_join(r);
	assert_int_equal(r->nr, nr);
	return place;
}

static void finds(const struct ranges *r, uint32_t off)
{
	unsigned want = 0;

	while (want < r->nr && r->at[want].off + r->at[want].len <= off)
		want++;
	assert_int_equal(ranges_find(r, off), want);
}

static void ranges_are_what_a_table_says(void **state)
{
	unsigned seed = (unsigned)time(NULL);
	struct ranges r = {0};
	uint32_t pos[SPAN], place = 0;

	(void)state;
	print_message("seed %u\n", seed);
	memset(pos, 0xff, sizeof(pos));
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t off = (uint32_t)rand_r(&seed) % SPAN;
		uint32_t len = 1 + (uint32_t)rand_r(&seed) % (i % 7 ? 4 : 60);
		uint64_t want_len;
		unsigned want_nr;

		len = MIN(len, SPAN - off);
		if (rand_r(&seed) % 2) {
			/* (Now and then where the one before has its bytes.) */
			uint32_t cut = off + (uint32_t)rand_r(&seed) % len;

			place = fill(&r, off, cut, off + len, place, pos);
			place += (uint32_t)rand_r(&seed) % 2;
		} else {
			assert_int_equal(ranges_room(&r, 1), 0);
			ranges_cut_size(&r, off, off + len, &want_nr, &want_len);
			ranges_cut(&r, off, off + len);
			memset(pos + off, 0xff, len * sizeof(*pos));
			assert_int_equal(r.nr, want_nr);
			assert_int_equal(r.len, want_len);
		}
		agrees(&r, pos);
		if (i % 16 == 0)
			place = joins(&r, pos);
		agrees(&r, pos);
		finds(&r, (uint32_t)rand_r(&seed) % SPAN);
	}
	ranges_fini(&r);
	assert_int_equal(r.nr, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_what_a_table_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
