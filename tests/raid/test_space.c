/* What is free and what is promised: a promise is kept to the last byte, by any number of
 * threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/log.h"
#include "raid/layout.h"
#include "raid/segment.h"
#include "raid/space.h"
#include "tests/support/raid_make.h"
#include "tests/support/store_crash.h"

#define NR_SHARDS_MAX 6

static const char *const crash_path[NR_SHARDS_MAX] = {"crash:0", "crash:1", "crash:2",
						      "crash:3", "crash:4", "crash:5"};

struct vol {
	struct crash_disk *disk;
	struct raid *r;
};

static void vol_open(struct vol *v, unsigned level, unsigned nr)
{
	struct raid_geometry geo = {.level = (uint8_t)level,
				    .copies = level == 1 ? 2 : 1,
				    .nr_shards = (uint8_t)nr,
				    .extent_len = MIB};

	v->r = raid_make(crash_ops(v->disk), crash_path, &geo, false);
}

/* @mib: of each shard, 0 for a terabyte. */
static struct vol vol_make(unsigned level, unsigned nr, const unsigned *mib)
{
	struct vol v = {.disk = crash_disk_new(nr, 1)};

	for (unsigned i = 0; i < nr; i++) {
		if (mib[i])
			crash_capacity(v.disk, i, mib[i] * MIB);
	}
	vol_open(&v, level, nr);
	return v;
}

static void vol_free(struct vol *v)
{
	raid_unmake(v->r);
	crash_disk_free(v->disk);
}

static uint64_t cost_of(uint64_t len)
{
	return round_up(len, BLOCK_LEN) + BLOCK_LEN;
}

/* ---- figures ---- */

static void space_is_after_parity(void **state)
{
	static const unsigned tib[6] = {0};
	static const struct {
		unsigned level, nr;
		double share; /* of all bytes */
	} want[] = {
		{0, 1, 1},	{0, 4, 1},	{1, 2, .5},	{1, 3, .5},
		{5, 3, 2 / 3.}, {5, 5, 4 / 5.}, {6, 6, 4 / 6.},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
		struct vol v = vol_make(want[i].level, want[i].nr, tib);
		struct raid_space sp;
		double all = (double)want[i].nr * (double)(1024 * GIB);

		assert_int_equal(raid_space(v.r, &sp), 0);
		assert_true((double)sp.total > .94 * want[i].share * all);
		assert_true((double)sp.total < want[i].share * all);
		assert_int_equal(sp.avail, sp.total);
		assert_int_equal(sp.used, 0);
		vol_free(&v);
	}
}

static void mixed_sizes_count_to_the_end(void **state)
{
	static const unsigned mib[] = {200, 200, 500, 100};
	struct vol v = vol_make(1, 4, mib);
	struct raid_space sp;

	(void)state;
	assert_int_equal(raid_space(v.r, &sp), 0);
	/* Two copies: the largest takes one of each but for nothing. Less 1/32 for metadata. */
	assert_in_range(sp.total, 470 * MIB, 500 * MIB);
	vol_free(&v);
	v = vol_make(5, 4, mib);
	assert_int_equal(raid_space(v.r, &sp), 0);
	/* 100 on four (3 of 4), 100 on the three that are left (2 of 3); what the largest has
	 * beyond that, none. */
	assert_in_range(sp.total, 460 * MIB, 500 * MIB);
	vol_free(&v);
}

static void used_and_avail_follow_writes(void **state)
{
	static const unsigned mib[] = {200, 200, 200};
	struct vol v = vol_make(5, 3, mib);
	AUTO_FREE uint8_t *buf = malloc(MIB);
	struct iovec iov = {buf, MIB};
	struct raid_space before, sp;
	struct stripe_loc loc[50];

	(void)state;
	assert_non_null(buf);
	raid_make_bytes(buf, MIB, 1);
	assert_int_equal(raid_space(v.r, &before), 0);
	for (unsigned i = 0; i < 50; i++) {
		struct stripe_owner owner = {.ino = 1, .gen = i, .raw_len = MIB};

		assert_int_equal(raid_write(v.r, &owner, &iov, 1, &loc[i]), 0);
	}
	assert_int_equal(raid_space(v.r, &sp), 0);
	assert_int_equal(sp.used, 50 * stripe_loc_bytes(&loc[0]));
	assert_in_range(sp.avail, before.avail - 52 * MIB, before.avail - 49 * MIB);
	assert_in_range(sp.total, before.total - MIB, before.total);
	for (unsigned i = 0; i < 50; i++)
		raid_free(v.r, &loc[i]);
	/* The bytes of a deleted file are free when its name is gone for good. */
	assert_int_equal(raid_sync(v.r), 0);
	usleep(2000);
	assert_int_equal(raid_space(v.r, &sp), 0);
	assert_int_equal(sp.used, 0);
	assert_in_range(sp.avail, before.avail - MIB, before.avail);
	vol_free(&v);
}

static void promises_count_as_taken(void **state)
{
	static const unsigned mib[] = {200, 200, 200};
	struct vol v = vol_make(5, 3, mib);
	struct raid_space before, sp;

	(void)state;
	assert_int_equal(raid_space(v.r, &before), 0);
	assert_int_equal(raid_reserve(v.r, 20 * MIB), 0);
	assert_int_equal(raid_space(v.r, &sp), 0);
	assert_int_equal(sp.avail, before.avail - 20 * MIB);
	raid_unreserve(v.r, 15 * MIB);
	raid_unreserve(v.r, 5 * MIB);
	assert_int_equal(raid_space(v.r, &sp), 0);
	assert_int_equal(sp.avail, before.avail);
	assert_int_equal(raid_reserve(v.r, 4096 * MIB), -ENOSPC);
	assert_int_equal(raid_reserve(v.r, 0), 0);
	vol_free(&v);
}

static void metadata_keeps_its_reserve(void **state)
{
	static const unsigned mib[] = {2048, 2048};
	struct vol v = vol_make(1, 2, mib);
	struct raid_space small, large, capped;

	(void)state;
	space_set_image(v.r, 4 * MIB);
	assert_int_equal(raid_space(v.r, &small), 0);
	/* (Each extent's head is not in avail: 8 MiB of them.) */
	assert_in_range(raid_log_room(v.r) - small.avail, 42 * MIB, 44 * MIB);
	space_set_image(v.r, 40 * MIB);
	assert_int_equal(raid_space(v.r, &large), 0);
	assert_in_range(small.avail - large.avail, 71 * MIB, 73 * MIB);
	space_set_image(v.r, 1024 * MIB);
	assert_int_equal(raid_space(v.r, &capped), 0);
	assert_in_range(small.avail - capped.avail, 247 * MIB, 249 * MIB);
	vol_free(&v);
}

static void reserving_makes_no_system_call_while_there_is_plenty(void **state)
{
	static const unsigned tib[6] = {0};
	struct vol v = vol_make(5, 4, tib);
	uint64_t before = crash_calls(v.disk, 0, CRASH_SPACE);
	uint64_t start = mono_ns();

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(raid_reserve(v.r, cost_of(MIB)), 0);
	assert_true(crash_calls(v.disk, 0, CRASH_SPACE) - before <=
		    1 + (mono_ns() - start) / 200000000);
	raid_unreserve(v.r, 10000 * cost_of(MIB));
	vol_free(&v);
}

static void voted_out_shard_does_not_count(void **state)
{
	static const unsigned mib[] = {300, 300, 300};
	struct vol v = vol_make(5, 3, mib);
	struct raid_space sp;

	(void)state;
	crash_shard_kill(v.disk, 1, -ENODEV);
	shard_fail(&v.r->shard[1], -ENODEV, "testing");
	assert_int_equal(raid_space(v.r, &sp), 0);
	assert_in_range(sp.total, 280 * MIB, 300 * MIB);
	assert_int_equal(raid_reserve(v.r, 280 * MIB), 0);
	assert_int_equal(raid_reserve(v.r, 20 * MIB), -ENOSPC);
	raid_unreserve(v.r, 280 * MIB);
	vol_free(&v);
}

/* ---- filling ---- */

struct filler {
	struct raid *r;
	unsigned thread;
	uint32_t len_max;
	unsigned nr_ahead; /* promises held while writing others */
	uint64_t written;
	int err; /* of a write that was promised */
	struct stripe_loc *loc;
	unsigned nr;
};

#define FILL_MAX 40000

static uint32_t fill_len(const struct filler *f, uint64_t n)
{
	uint64_t x = (n * 8 + f->thread) * 0x9E3779B97F4A7C15ULL;

	return 1 + (uint32_t)((x >> 24) % f->len_max);
}

static struct stripe_owner fill_owner(const struct filler *f, uint64_t n)
{
	return (struct stripe_owner){
		.ino = f->thread, .file_off = n, .gen = n * 8 + f->thread, .raw_len = 1};
}

static int fill_write(struct filler *f, const uint8_t *buf)
{
	struct stripe_owner owner = fill_owner(f, f->nr);
	struct iovec iov = {(uint8_t *)(uintptr_t)buf, fill_len(f, f->nr)};

	return raid_write(f->r, &owner, &iov, 1, &f->loc[f->nr]);
}

/* Promise some stripes ahead, then write them, until no promise is given; what is promised must
 * be written. */
static void *fill(void *arg)
{
	struct filler *f = arg;
	AUTO_FREE uint8_t *buf = malloc(f->len_max);
	bool full = false;

	raid_make_bytes(buf, f->len_max, f->thread);
	while (!full && f->nr + f->nr_ahead < FILL_MAX) {
		uint64_t promised = 0;
		unsigned nr = 0;

		for (; nr < f->nr_ahead && !full; nr++) {
			uint64_t cost = cost_of(fill_len(f, f->nr + nr));

			full = raid_reserve(f->r, cost) == -ENOSPC;
			if (full)
				break;
			promised += cost;
		}
		for (unsigned i = 0; i < nr && !f->err; i++) {
			f->err = fill_write(f, buf);
			f->written += f->err ? 0 : f->loc[f->nr].len;
			f->nr += !f->err;
		}
		raid_unreserve(f->r, promised);
		/* What others had promised and not yet written counted more than it took. */
		if (full && nr)
			full = false;
		if (f->err)
			break;
	}
	return NULL;
}

static void fill_run(struct vol *v, struct filler *f, uint32_t len_max, unsigned nr_ahead)
{
	pthread_t thread[4];

	for (unsigned i = 0; i < 4; i++) {
		f[i] = (struct filler){
			.r = v->r, .thread = i, .len_max = len_max, .nr_ahead = nr_ahead};
		f[i].loc = calloc(FILL_MAX, sizeof(*f[i].loc));
		assert_non_null(f[i].loc);
		assert_int_equal(pthread_create(&thread[i], NULL, fill, &f[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

static void fill_check(struct vol *v, struct filler *f)
{
	AUTO_FREE uint8_t *want = malloc(f->len_max);
	AUTO_FREE uint8_t *buf = malloc(f->len_max);

	assert_non_null(want);
	assert_non_null(buf);
	raid_make_bytes(want, f->len_max, f->thread);
	for (unsigned n = 0; n < f->nr; n++) {
		struct stripe_owner owner = fill_owner(f, n);

		assert_int_equal(raid_read(v->r, &owner, &f->loc[n], buf), 0);
		assert_memory_equal(buf, want, f->loc[n].len);
	}
}

static void check_fill(unsigned level, unsigned nr, const unsigned *mib, uint32_t len_max,
		       unsigned nr_ahead)
{
	struct vol v = vol_make(level, nr, mib);
	struct raid_space before, sp;
	struct filler f[4];
	uint64_t written = 0;
	uint64_t left = 0;
	int err = 0;

	assert_int_equal(raid_space(v.r, &before), 0);
	fill_run(&v, f, len_max, nr_ahead);
	for (unsigned i = 0; i < 4; i++) {
		written += f[i].written;
		err = err ? err : f[i].err;
		assert_true(f[i].nr + nr_ahead < FILL_MAX);
	}
	if (err)
		fail_msg("raid%u on %u shards, stripes up to %u: a promised write failed: %s",
			 level, nr, len_max, strerror(-err));
	for (unsigned i = 0; i < nr; i++)
		left += mib[i] * MIB - crash_used(v.disk, i);
	assert_int_equal(raid_space(v.r, &sp), 0);
	/* Nearly all that was said to be there could be written, the longer the stripes the
	 * nearer. */
	if (len_max >= MIB / 2 &&
	    written + (uint64_t)nr * 6 * MIB + before.avail / 20 < before.avail)
		fail_msg("raid%u on %u shards: %llu MiB of %llu written, %llu left", level, nr,
			 (unsigned long long)(written / MIB),
			 (unsigned long long)(before.avail / MIB),
			 (unsigned long long)(left / MIB));
	assert_int_equal(raid_reserve(v.r, 4 * MIB), -ENOSPC);
	/* All that was written is there; freeing works on a full volume; and then there is room
	 * again. */
	for (unsigned i = 0; i < 4; i++)
		fill_check(&v, &f[i]);
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned n = 0; n < f[i].nr; n++)
			raid_free(v.r, &f[i].loc[n]);
		free(f[i].loc);
	}
	assert_int_equal(raid_reserve(v.r, 4 * MIB), 0);
	raid_unreserve(v.r, 4 * MIB);
	assert_int_equal(raid_sync(v.r), 0);
	usleep(2000);
	assert_int_equal(raid_space(v.r, &sp), 0);
	assert_int_equal(sp.used, 0);
	assert_in_range(sp.avail, before.avail - 2 * MIB, before.avail);
	vol_free(&v);
}

static void promised_writes_never_fail(void **state)
{
	static const unsigned even[] = {48, 48, 48, 48};
	static const unsigned mixed[] = {20, 64, 33, 90};

	(void)state;
	check_fill(0, 1, even, MIB, 3);
	check_fill(0, 4, even, MIB, 3);
	check_fill(0, 4, mixed, MIB, 3);
	check_fill(1, 2, even, MIB, 3);
	check_fill(1, 4, mixed, MIB, 3);
	check_fill(5, 3, even, MIB, 1);
	check_fill(5, 4, mixed, MIB, 4);
	check_fill(6, 4, even, MIB, 2);
	check_fill(6, 4, mixed, MIB, 3);
}

static void promised_small_writes_never_fail(void **state)
{
	static const unsigned even[] = {24, 24, 24, 24};
	static const unsigned mixed[] = {12, 24, 16, 40};

	(void)state;
	check_fill(0, 4, mixed, 9000, 20);
	check_fill(1, 3, mixed, 9000, 20);
	check_fill(5, 4, even, 30000, 20);
	check_fill(5, 4, mixed, 100000, 8);
	check_fill(6, 4, mixed, 20000, 20);
}

/* The last blocks, one thread, small writes: no more than a few blocks a shard stay unused, but
 * for the metadata's. */
static void volume_fills_to_the_last_blocks(void **state)
{
	static const unsigned mib[] = {32, 32, 32};
	struct vol v = vol_make(5, 3, mib);
	uint8_t buf[100] = {0};
	struct iovec iov = {buf, sizeof(buf)};
	uint64_t left = 0;

	(void)state;
	for (uint64_t n = 0;; n++) {
		struct stripe_owner owner = {.gen = n};
		struct stripe_loc loc;

		if (raid_reserve(v.r, cost_of(sizeof(buf))))
			break;
		assert_int_equal(raid_write(v.r, &owner, &iov, 1, &loc), 0);
		raid_unreserve(v.r, cost_of(sizeof(buf)));
	}
	for (unsigned i = 0; i < 3; i++)
		left += 32 * MIB - crash_used(v.disk, i);
	assert_in_range(left, 3 * MIB, 3 * MIB + 20 * BLOCK_LEN);
	vol_free(&v);
}

/* A disk that others fill as well. */
static void space_taken_by_others_is_noticed(void **state)
{
	static const unsigned mib[] = {100, 100, 100};
	struct vol v = vol_make(5, 3, mib);

	(void)state;
	assert_int_equal(raid_reserve(v.r, 50 * MIB), 0);
	raid_unreserve(v.r, 50 * MIB);
	for (unsigned i = 0; i < 3; i++)
		crash_capacity(v.disk, i, 10 * MIB);
	usleep(250000);
	assert_int_equal(raid_reserve(v.r, 50 * MIB), -ENOSPC);
	for (unsigned i = 0; i < 3; i++)
		crash_capacity(v.disk, i, 100 * MIB);
	usleep(2000);
	assert_int_equal(raid_reserve(v.r, 50 * MIB), 0);
	raid_unreserve(v.r, 50 * MIB);
	vol_free(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(space_is_after_parity),
		cmocka_unit_test(mixed_sizes_count_to_the_end),
		cmocka_unit_test(used_and_avail_follow_writes),
		cmocka_unit_test(promises_count_as_taken),
		cmocka_unit_test(metadata_keeps_its_reserve),
		cmocka_unit_test(reserving_makes_no_system_call_while_there_is_plenty),
		cmocka_unit_test(voted_out_shard_does_not_count),
		cmocka_unit_test(promised_writes_never_fail),
		cmocka_unit_test(promised_small_writes_never_fail),
		cmocka_unit_test(volume_fills_to_the_last_blocks),
		cmocka_unit_test(space_taken_by_others_is_noticed),
	};

	log_set_level(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
