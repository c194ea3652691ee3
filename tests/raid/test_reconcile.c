/* What no stripe names is given back, and nothing else. */
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

#define NR_SHARDS  4
#define NR_STRIPES 60

static const char *const crash_path[NR_SHARDS] = {"crash:0", "crash:1", "crash:2", "crash:3"};

struct vol {
	struct crash_disk *disk;
	struct raid *r;
	struct stripe_loc loc[NR_STRIPES];
	bool live[NR_STRIPES];
};

static void vol_open(struct vol *v, bool rdonly)
{
	static const struct raid_geometry geo = {
		.level = 5, .copies = 1, .nr_shards = NR_SHARDS, .extent_len = MIB};

	v->r = raid_make(crash_ops(v->disk), crash_path, &geo, rdonly);
}

static uint32_t len_of(unsigned n)
{
	static const uint32_t len[] = {100, 5000, 40000, 300000, MIB + 40};

	return len[n * 7 % ARRAY_LEN(len)];
}

static struct stripe_owner owner_of(unsigned n)
{
	return (struct stripe_owner){.ino = 3, .file_off = n * MIB, .gen = n + 1, .raw_len = 1};
}

static void put(struct vol *v, unsigned n)
{
	AUTO_FREE uint8_t *buf = malloc(len_of(n));
	struct iovec iov = {buf, len_of(n)};
	struct stripe_owner owner = owner_of(n);

	assert_non_null(buf);
	raid_make_bytes(buf, len_of(n), n);
	assert_int_equal(raid_write(v->r, &owner, &iov, 1, &v->loc[n]), 0);
	v->live[n] = true;
}

static void check_live(struct vol *v)
{
	for (unsigned n = 0; n < NR_STRIPES; n++) {
		AUTO_FREE uint8_t *want = malloc(len_of(n));
		AUTO_FREE uint8_t *buf = malloc(len_of(n));
		struct stripe_owner owner = owner_of(n);
		unsigned bad = 0;
		unsigned repaired = 0;

		if (!v->live[n])
			continue;
		assert_non_null(want);
		assert_non_null(buf);
		raid_make_bytes(want, len_of(n), n);
		assert_int_equal(raid_read(v->r, &owner, &v->loc[n], buf), 0);
		assert_memory_equal(buf, want, len_of(n));
		assert_int_equal(raid_verify(v->r, &owner, &v->loc[n], &bad, &repaired), 0);
		assert_int_equal(bad, 0);
	}
}

/* Small shards, so that there are several segments. */
static struct vol vol_make(void)
{
	struct vol v = {.disk = crash_disk_new(NR_SHARDS, 1)};

	for (unsigned i = 0; i < NR_SHARDS; i++)
		crash_capacity(v.disk, i, 300 * MIB);
	vol_open(&v, false);
	for (unsigned n = 0; n < NR_STRIPES; n++)
		put(&v, n);
	assert_int_equal(raid_sync(v.r), 0);
	return v;
}

static void vol_free(struct vol *v)
{
	raid_unmake(v->r);
	crash_disk_free(v->disk);
}

static uint64_t reconcile(struct vol *v, bool apply)
{
	struct reconcile *rc;
	uint64_t freed = 12345;

	assert_int_equal(raid_reconcile_begin(v->r, &rc), 0);
	for (unsigned n = NR_STRIPES; n-- > 0;) {
		if (v->live[n])
			assert_int_equal(raid_reconcile_keep(rc, &v->loc[n]), 0);
		/* Shared by two files. */
		if (v->live[n] && n % 3 == 0)
			assert_int_equal(raid_reconcile_keep(rc, &v->loc[n]), 0);
	}
	assert_int_equal(raid_reconcile_end(rc, apply, &freed), 0);
	return freed;
}

static uint64_t live_bytes(const struct vol *v)
{
	uint64_t sum = 0;

	for (unsigned n = 0; n < NR_STRIPES; n++)
		sum += v->live[n] ? stripe_loc_bytes(&v->loc[n]) : 0;
	return sum;
}

static uint64_t disk_bytes(struct vol *v)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < NR_SHARDS; i++)
		sum += crash_used(v->disk, i);
	return sum;
}

static uint64_t used_bytes(struct vol *v)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < NR_SHARDS; i++)
		sum += segments_used(v->r->shard[i].segments);
	return sum;
}

static void unnamed_bytes_are_given_back(void **state)
{
	struct vol v = vol_make();
	uint64_t unnamed;

	(void)state;
	unnamed = live_bytes(&v);
	for (unsigned n = 0; n < NR_STRIPES; n++)
		v.live[n] = n % 4 == 0;
	unnamed -= live_bytes(&v);
	crash_process_kill(v.disk);
	raid_unmake(v.r);
	vol_open(&v, false);
	assert_int_equal(reconcile(&v, true), unnamed);
	assert_int_equal(raid_sync(v.r), 0);
	assert_int_equal(disk_bytes(&v), live_bytes(&v));
	assert_int_equal(used_bytes(&v), live_bytes(&v));
	check_live(&v);
	/* Nothing is left for another one. */
	assert_int_equal(reconcile(&v, true), 0);
	check_live(&v);
	vol_free(&v);
}

static void space_allocated_and_not_written_is_given_back(void **state)
{
	struct vol v = vol_make();
	struct chunk_loc c;

	(void)state;
	/* A write that was cut off between its place and its bytes, and one behind it that was
	 * not. */
	for (unsigned i = 0; i < NR_SHARDS; i++)
		assert_int_equal(segment_alloc(v.r->shard[i].segments, 50, &c), 0);
	put(&v, 7);
	v.live[8] = false;
	assert_int_equal(raid_sync(v.r), 0);
	crash_process_kill(v.disk);
	raid_unmake(v.r);
	vol_open(&v, false);
	reconcile(&v, true);
	assert_int_equal(raid_sync(v.r), 0);
	assert_int_equal(disk_bytes(&v), live_bytes(&v));
	check_live(&v);
	vol_free(&v);
}

static void without_apply_it_only_counts(void **state)
{
	struct vol v = vol_make();
	uint64_t steps;

	(void)state;
	for (unsigned n = 0; n < NR_STRIPES; n++)
		v.live[n] = n % 4 == 0;
	raid_unmake(v.r);
	vol_open(&v, false);
	steps = crash_steps(v.disk);
	assert_int_equal(reconcile(&v, false), 0);
	assert_int_equal(crash_steps(v.disk), steps);
	assert_int_equal(used_bytes(&v), live_bytes(&v));
	raid_unmake(v.r);
	vol_open(&v, true);
	assert_int_equal(reconcile(&v, true), 0);
	assert_int_equal(crash_steps(v.disk), steps);
	check_live(&v);
	vol_free(&v);
}

static void counted_segments_are_deleted_when_they_die(void **state)
{
	struct vol v = vol_make();
	uint32_t *number;
	unsigned nr;

	(void)state;
	raid_unmake(v.r);
	vol_open(&v, false);
	reconcile(&v, false);
	for (unsigned n = 0; n < NR_STRIPES; n++)
		raid_free(v.r, &v.loc[n]);
	for (unsigned i = 0; i < NR_SHARDS; i++) {
		assert_int_equal(segments_numbers(v.r->shard[i].segments, &number, &nr), 0);
		free(number);
		assert_int_equal(nr, 1);
	}
	assert_int_equal(used_bytes(&v), 0);
	assert_int_equal(raid_sync(v.r), 0);
	assert_int_equal(disk_bytes(&v), 0);
	vol_free(&v);
}

/* A shard was away while stripes were freed, and comes back. */
static void shard_that_was_away_is_reconciled_too(void **state)
{
	struct vol v = vol_make();

	(void)state;
	for (unsigned n = 0; n < NR_STRIPES; n += 2) {
		v.live[n] = false;
		for (unsigned i = 0; i < v.loc[n].k + v.loc[n].m; i++) {
			const struct chunk_loc *c = &v.loc[n].chunk[i];

			if (c->shard != 2)
				assert_int_equal(
					segment_free(v.r->shard[c->shard].segments, c->segment,
						     c->block,
						     layout_blocks(v.loc[n].len, v.loc[n].k)),
					0);
		}
	}
	raid_unmake(v.r);
	vol_open(&v, false);
	assert_true(reconcile(&v, true) > 0);
	assert_int_equal(raid_sync(v.r), 0);
	assert_int_equal(disk_bytes(&v), live_bytes(&v));
	check_live(&v);
	vol_free(&v);
}

static void named_and_missing_segment_keeps_its_number(void **state)
{
	struct vol v = vol_make();
	struct stripe_loc loc = v.loc[3];
	struct reconcile *rc;
	struct chunk_loc c;

	(void)state;
	raid_unmake(v.r);
	vol_open(&v, false);
	loc.chunk[0].segment = 0x500;
	assert_int_equal(raid_reconcile_begin(v.r, &rc), 0);
	assert_int_equal(raid_reconcile_keep(rc, &loc), 0);
	assert_int_equal(raid_reconcile_end(rc, false, NULL), 0);
	assert_int_equal(segment_alloc(v.r->shard[loc.chunk[0].shard].segments, 1, &c), 0);
	assert_int_equal(c.segment, 0x501);
	vol_free(&v);
}

static void senseless_places_are_refused(void **state)
{
	struct vol v = vol_make();
	struct stripe_loc loc;
	struct reconcile *rc;

	(void)state;
	assert_int_equal(raid_reconcile_begin(v.r, &rc), 0);
	loc = v.loc[0];
	loc.chunk[1].shard = NR_SHARDS;
	assert_int_equal(raid_reconcile_keep(rc, &loc), -EBADMSG);
	loc = v.loc[0];
	loc.chunk[1].block = UINT32_MAX;
	assert_int_equal(raid_reconcile_keep(rc, &loc), -EBADMSG);
	loc.chunk[1].block = SEGMENT_BLOCKS_MAX;
	assert_int_equal(raid_reconcile_keep(rc, &loc), -EBADMSG);
	assert_int_equal(raid_reconcile_end(rc, true, NULL), 0);
	/* It was not told everything, so it must not have done anything. */
	check_live(&v);
	vol_free(&v);
}

/* Cut off at every step, and run again. */
static void crash_within_is_harmless(void **state)
{
	(void)state;
	for (uint64_t cut = 0;; cut++) {
		struct vol v = vol_make();
		uint64_t steps;
		bool off;

		for (unsigned n = 0; n < NR_STRIPES; n++)
			v.live[n] = n % 5 == 0;
		raid_unmake(v.r);
		vol_open(&v, false);
		steps = crash_steps(v.disk);
		crash_cut_at(v.disk, steps + cut * 7);
		reconcile(&v, true);
		off = crash_is_off(v.disk);
		crash_cut_at(v.disk, UINT64_MAX);
		crash_power_on(v.disk, cut);
		raid_unmake(v.r);
		vol_open(&v, false);
		check_live(&v);
		reconcile(&v, true);
		assert_int_equal(raid_sync(v.r), 0);
		assert_int_equal(disk_bytes(&v), live_bytes(&v));
		check_live(&v);
		vol_free(&v);
		if (!off)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unnamed_bytes_are_given_back),
		cmocka_unit_test(space_allocated_and_not_written_is_given_back),
		cmocka_unit_test(without_apply_it_only_counts),
		cmocka_unit_test(counted_segments_are_deleted_when_they_die),
		cmocka_unit_test(shard_that_was_away_is_reconciled_too),
		cmocka_unit_test(named_and_missing_segment_keeps_its_number),
		cmocka_unit_test(senseless_places_are_refused),
		cmocka_unit_test(crash_within_is_harmless),
	};

	log_set_level(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
