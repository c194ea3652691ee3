/* The order in which a cache's entries go, by traces: what a scan leaves of a hot set, Zipf, loops, ghosts; beside an
 * LRU of the same size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conf/base.h"
#include "fs/order.h"

#define LEN   131072u /* of each item */
#define NR    1000u   /* that fit */
#define KEYS  60000u
#define SCANS 10000u /* the first key of scans */

struct sim {
	struct order order;
	struct order_item item[KEYS];
	uint64_t nr_in;
	/* an LRU: a ring through key KEYS */
	unsigned newer[KEYS + 1], older[KEYS + 1];
	bool in_lru[KEYS];
	unsigned lru_nr;
	uint64_t seed;
	/* of keys below SCANS */
	uint64_t nr, nr_hits, nr_lru_hits;
};

static struct sim sim;

static void sim_init(void)
{
	memset(&sim, 0, sizeof(sim));
	sim.seed = 7;
	sim.newer[KEYS] = sim.older[KEYS] = KEYS;
	assert_int_equal(order_init(&sim.order, (uint64_t)NR * LEN), 0);
}

static void sim_fini(void)
{
	for (unsigned i = 0; i < KEYS; i++)
		order_del(&sim.order, &sim.item[i]);
	order_fini(&sim.order);
}

static uint64_t next(void)
{
	sim.seed = sim.seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return sim.seed >> 33;
}

static void lru_del(unsigned key)
{
	sim.older[sim.newer[key]] = sim.older[key];
	sim.newer[sim.older[key]] = sim.newer[key];
	sim.in_lru[key] = false;
	sim.lru_nr--;
}

static bool lru_read(unsigned key)
{
	bool hit = sim.in_lru[key];

	if (hit)
		lru_del(key);
	else if (sim.lru_nr == NR)
		lru_del(sim.newer[KEYS]);
	sim.newer[key] = KEYS;
	sim.older[key] = sim.older[KEYS];
	sim.newer[sim.older[key]] = key;
	sim.older[KEYS] = key;
	sim.in_lru[key] = true;
	sim.lru_nr++;
	return hit;
}

static bool order_read(unsigned key, uint32_t from, uint32_t to)
{
	struct order_item *i = &sim.item[key], *old;
	bool hit = i->where != ORDER_OUT;

	if (!hit) {
		if (sim.nr_in == NR) {
			old = order_next(&sim.order);
			assert_non_null(old);
			assert_int_equal(old->where, ORDER_OUT);
			memset(old, 0, sizeof(*old));
			sim.nr_in--;
		}
		order_add(&sim.order, i, key, LEN);
		sim.nr_in++;
	}
	order_use(i, from, to);
	return hit;
}

static void sim_read(unsigned key)
{
	bool hit = order_read(key, 0, LEN), lru = lru_read(key);

	if (key >= SCANS)
		return;
	sim.nr++;
	sim.nr_hits += hit;
	sim.nr_lru_hits += lru;
}

static double percent(uint64_t n)
{
	return 100.0 * (double)n / (double)sim.nr;
}

static void sim_say(const char *what)
{
	order_check(&sim.order);
	printf("%-32s %5.1f %%, LRU %5.1f %%\n", what, percent(sim.nr_hits),
	       percent(sim.nr_lru_hits));
}

static void count_anew(void)
{
	sim.nr = sim.nr_hits = sim.nr_lru_hits = 0;
}

/* Keys below @n, the first most often. */
static unsigned zipf(unsigned n, double alpha)
{
	static double sum[SCANS], made_alpha;
	static unsigned made;
	unsigned lo = 0, hi = n - 1;
	double x;

	if (made != n || made_alpha != alpha) {
		for (unsigned i = 0; i < n; i++)
			sum[i] = (i ? sum[i - 1] : 0) + pow(i + 1, -alpha);
		made = n;
		made_alpha = alpha;
	}
	x = (double)next() / (double)(1ULL << 31) * sum[n - 1];
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (sum[mid] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo * 7919 % n;
}

static void zipf_whose_hot_set_fits(void **state)
{
	(void)state;
	sim_init();
	for (unsigned i = 0; i < 30000; i++)
		sim_read(zipf(SCANS, 1.3));
	count_anew();
	for (unsigned i = 0; i < 30000; i++)
		sim_read(zipf(SCANS, 1.3));
	sim_say("Zipf 1.3 over 10 caches");
	assert_true(percent(sim.nr_hits) >= 90);
	assert_true(sim.nr_hits >= sim.nr_lru_hits);
	sim_fini();
}

static void zipf_is_no_worse_than_lru(void **state)
{
	(void)state;
	sim_init();
	for (unsigned i = 0; i < 40000; i++)
		sim_read(zipf(SCANS, 0.9));
	sim_say("Zipf 0.9 over 10 caches");
	assert_true(percent(sim.nr_hits) >= percent(sim.nr_lru_hits) + 3);
	sim_fini();
}

static void a_scan_leaves_the_hot_set(void **state)
{
	unsigned scan = SCANS;

	(void)state;
	sim_init();
	for (unsigned i = 0; i < 20000; i++)
		sim_read(zipf(800, 0.8));
	/* Ten passes, each over twice the cache, with nobody reading beside. */
	for (unsigned n = 0; n < 10; n++) {
		for (unsigned i = 0; i < 2 * NR; i++)
			sim_read(scan++);
		count_anew();
		for (unsigned i = 0; i < 2000; i++)
			sim_read(zipf(800, 0.8));
		assert_true(percent(sim.nr_hits) >= 98);
	}
	sim_say("hot 800, after ten scans");
	assert_true(percent(sim.nr_lru_hits) < 90);
	sim_fini();
}

static void steps_through_an_item_are_one_use(void **state)
{
	(void)state;
	sim_init();
	for (unsigned i = 0; i < 20000; i++)
		sim_read(zipf(800, 0.8));
	count_anew();
	for (unsigned i = 0; i < 16000; i++) {
		uint32_t at = i % 8 * (LEN / 8);

		/* Forwards, and backwards. */
		order_read(SCANS + i / 8, at, at + LEN / 8);
		order_read(3 * SCANS + i / 8, LEN - LEN / 8 - at, LEN - at);
	}
	assert_true(sim.order.main.nr <= 800);
	for (unsigned i = 0; i < 5000; i++)
		sim_read(zipf(800, 0.8));
	sim_say("hot 800, after scans in steps");
	assert_true(percent(sim.nr_hits) >= 97);
	sim_fini();
}

static void a_loop_beyond_the_cache_has_hits(void **state)
{
	(void)state;
	sim_init();
	for (unsigned i = 0; i < 20 * 1200; i++)
		sim_read(i % 1200);
	sim_say("loop over 1.2 caches");
	assert_true(percent(sim.nr_hits) >= 50);
	sim_fini();
}

static void a_new_hot_set_takes_over(void **state)
{
	(void)state;
	sim_init();
	for (unsigned i = 0; i < 20000; i++)
		sim_read(zipf(900, 0.8));
	for (unsigned i = 0; i < 20000; i++)
		sim_read(2000 + zipf(900, 0.8));
	count_anew();
	for (unsigned i = 0; i < 5000; i++)
		sim_read(2000 + zipf(900, 0.8));
	sim_say("another hot set, after a while");
	assert_true(percent(sim.nr_hits) >= 95);
	sim_fini();
}

static void ghosts_come_back_to_stay(void **state)
{
	(void)state;
	sim_init();
	for (unsigned i = 0; i < NR + 10; i++)
		order_read(i, 0, LEN);
	/* The first ten went. */
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(sim.item[i].where, ORDER_OUT);
		order_read(i, 0, LEN);
		assert_int_equal(sim.item[i].where, ORDER_MAIN);
	}
	assert_int_equal(sim.order.nr_ghost_hits, 10);
	/* What went long ago is as new. */
	for (unsigned i = 0; i < 3 * NR; i++)
		order_read(SCANS + i, 0, LEN);
	assert_int_equal(sim.item[NR - 1].where, ORDER_OUT);
	order_read(NR - 1, 0, LEN);
	assert_int_equal(sim.item[NR - 1].where, ORDER_SMALL);
	sim_fini();
}

static void held_items_stay(void **state)
{
	(void)state;
	sim_init();
	for (unsigned i = 0; i < NR; i++) {
		order_read(i, 0, LEN);
		sim.item[i].held = i % 2;
		if (i % 4 == 1)
			order_warm(&sim.item[i]);
	}
	for (unsigned i = 0; i < NR / 2; i++) {
		struct order_item *old = order_next(&sim.order);

		assert_non_null(old);
		assert_false(old->held);
		order_check(&sim.order);
	}
	assert_null(order_next(&sim.order));
	for (unsigned i = 1; i < NR; i += 2)
		assert_int_not_equal(sim.item[i].where, ORDER_OUT);
	sim_fini();
}

/* Also when each was wanted again, or is for somebody to come. */
static void something_always_goes(void **state)
{
	(void)state;
	sim_init();
	for (unsigned i = 0; i < 50; i++) {
		order_read(i, 0, LEN);
		order_read(i, 0, LEN);
	}
	for (unsigned i = 50; i < 100; i++) {
		order_read(i, 0, LEN);
		sim.item[i].used_to = 0;
		order_ahead(&sim.order, &sim.item[i]);
	}
	for (unsigned i = 0; i < 100; i++)
		assert_non_null(order_next(&sim.order));
	assert_null(order_next(&sim.order));
	sim_fini();
}

static void what_is_early_has_time(void **state)
{
	(void)state;
	sim_init();
	for (unsigned i = 0; i < NR; i++)
		sim_read(i % 950);
	for (unsigned i = 0; i < 60000; i++)
		sim_read(zipf(900, 0.8));
	/* More than SMALL has room for. */
	for (unsigned i = 0; i < 300; i++) {
		order_read(SCANS + i, 0, LEN);
		sim.item[SCANS + i].used_to = 0;
		order_ahead(&sim.order, &sim.item[SCANS + i]);
	}
	for (unsigned i = 0; i < 300; i++)
		assert_int_not_equal(sim.item[SCANS + i].where, ORDER_OUT);
	/* But not for ever. */
	for (unsigned i = 300; i < 1500; i++)
		order_read(SCANS + i, 0, LEN);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(sim.item[SCANS + i].where, ORDER_OUT);
	sim_fini();
}

static void the_first_to_go_goes_first(void **state)
{
	(void)state;
	sim_init();
	for (unsigned i = 0; i < 10; i++)
		order_read(i, 0, LEN);
	order_warm(&sim.item[7]);
	order_first(&sim.order, &sim.item[7]);
	assert_ptr_equal(order_next(&sim.order), &sim.item[7]);
	order_follow(&sim.order, &sim.item[3], &sim.item[7]);
	sim.item[7].heat = 2;
	sim.item[7].where = ORDER_MAIN;
	order_follow(&sim.order, &sim.item[4], &sim.item[7]);
	sim.item[7].where = ORDER_OUT;
	assert_int_equal(sim.item[3].where, ORDER_SMALL);
	assert_int_equal(sim.item[4].where, ORDER_MAIN);
	assert_true(order_cold(&sim.item[3]) && !order_cold(&sim.item[4]));
	sim_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zipf_whose_hot_set_fits),
		cmocka_unit_test(zipf_is_no_worse_than_lru),
		cmocka_unit_test(a_scan_leaves_the_hot_set),
		cmocka_unit_test(steps_through_an_item_are_one_use),
		cmocka_unit_test(a_loop_beyond_the_cache_has_hits),
		cmocka_unit_test(a_new_hot_set_takes_over),
		cmocka_unit_test(ghosts_come_back_to_stay),
		cmocka_unit_test(held_items_stay),
		cmocka_unit_test(something_always_goes),
		cmocka_unit_test(what_is_early_has_time),
		cmocka_unit_test(the_first_to_go_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
