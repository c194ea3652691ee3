/* The log on several shards: appends, votes, crashes, damage, shards that come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/bytes.h"
#include "conf/log.h"
#include "raid/batch.h"
#include "tests/support/raid_volume.h"

#define must(v, call)                                                                              \
	do {                                                                                       \
		int must_err = (call);                                                             \
                                                                                                   \
		if (must_err)                                                                      \
			fail_msg("%s: %d: %s", #call, must_err, (v)->why);                         \
	} while (0)

static void open_and_recover(struct volume *v)
{
	must(v, volume_open(v));
	must(v, volume_recover(v));
}

static void append_some(struct volume *v, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		must(v, volume_append(v));
}

/* ---- what an append promises ---- */

static void log_comes_back_in_order(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	append_some(&v, 300);
	assert_int_equal(raid_log_next(v.r), 301);
	volume_close(&v, false);
	open_and_recover(&v);
	assert_int_equal(v.n, 300);
	assert_int_equal(raid_log_next(v.r), 301);
	assert_false(raid_was_clean(v.r));
	volume_close(&v, true);
	volume_must_work(&v);
	crash_disk_free(d);
}

static void log_goes_on_in_new_files(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	struct volume v;
	struct raid_stat st;

	(void)state;
	/* 256 KiB a file: the least. */
	crash_capacity(d, 0, 64 * MIB);
	crash_capacity(d, 1, 64 * MIB);
	volume_init(&v, d, 2, 1);
	open_and_recover(&v);
	append_some(&v, 400);
	raid_stat_get(v.r, &st);
	assert_true(st.log_bytes > 4 * 256 * KIB);
	volume_close(&v, false);
	open_and_recover(&v);
	assert_int_equal(v.n, 400);
	volume_close(&v, true);
	crash_disk_free(d);
}

static void long_and_empty_batches_fit(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	struct volume v;
	size_t len = 9 * MIB + 5;
	uint8_t *buf = calloc(1, len);
	struct iovec iov = {buf, len};
	uint64_t seq;

	(void)state;
	assert_non_null(buf);
	volume_init(&v, d, 2, 1);
	open_and_recover(&v);
	must(&v, raid_log_append(v.r, &iov, 1, &seq));
	assert_int_equal(seq, 1);
	must(&v, raid_log_append(v.r, NULL, 0, &seq));
	assert_int_equal(seq, 2);
	iov.iov_len = RAID_BATCH_MAX + 1;
	assert_int_equal(raid_log_append(v.r, &iov, 1, &seq), -EINVAL);
	volume_close(&v, false);
	must(&v, volume_open(&v));
	assert_int_equal(raid_log_next(v.r), 3);
	volume_close(&v, true);
	free(buf);
	crash_disk_free(d);
}

/* ---- power ---- */

struct promise {
	uint64_t step, n;
};

/* The power goes at every step of a run with appends and checkpoints; then, in turns, one shard is gone too. */
static void cut_everywhere(unsigned nr_shards, uint8_t level, unsigned lose, uint64_t seed)
{
	struct crash_disk *d = crash_disk_new(nr_shards, seed);
	struct promise promise[64] = {{0, 0}};
	unsigned nr_promises = 1;
	struct crash_journal *j;
	struct crash_cursor *c;
	struct volume v;

	volume_init(&v, d, nr_shards, level);
	open_and_recover(&v);
	append_some(&v, 3);
	volume_close(&v, true);
	promise[0] = (struct promise){0, v.n};
	crash_record(d);
	open_and_recover(&v);
	for (unsigned i = 0; i < 24; i++) {
		must(&v, i % 7 == 3 ? volume_checkpoint(&v) : volume_append(&v));
		promise[nr_promises++] = (struct promise){crash_steps(d), v.n};
	}
	volume_close(&v, true);
	j = crash_record_end(d);
	c = crash_cursor_new(j);
	for (uint64_t step = crash_journal_begin(j); step <= crash_journal_end(j); step++) {
		struct crash_disk *image = crash_cursor_image(c, step, seed + step);
		uint64_t acked = promise[0].n;
		struct volume w;

		for (unsigned i = 1; i < nr_promises && promise[i].step <= step; i++)
			acked = promise[i].n;
		volume_init(&w, image, nr_shards, level);
		for (unsigned i = 0; i < lose; i++)
			crash_shard_kill(image, (unsigned)((step + i) % nr_shards), -ENOENT);
		w.p.degraded = lose > 0;
		must(&w, volume_open(&w));
		must(&w, volume_recover(&w));
		if (w.n < acked || w.n > acked + 1)
			fail_msg("step %llu: %llu batches are there, %llu were acknowledged",
				 (unsigned long long)step, (unsigned long long)w.n,
				 (unsigned long long)acked);
		append_some(&w, 2);
		volume_close(&w, false);
		for (unsigned i = 0; i < nr_shards; i++)
			crash_shard_kill(image, i, 0);
		/* Whoever was gone is back. */
		acked = w.n;
		must(&w, volume_open(&w));
		must(&w, volume_recover(&w));
		assert_int_equal(w.n, acked);
		volume_close(&w, true);
		volume_must_work(&w);
		crash_disk_free(image);
	}
	crash_cursor_free(c);
	crash_journal_free(j);
	crash_disk_free(d);
}

static void power_cut_keeps_what_was_acknowledged(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++)
		cut_everywhere(3, 5, 0, seed * 1000);
	cut_everywhere(2, 0, 0, 7);
}

static void power_cut_and_lost_shards_keep_what_was_acknowledged(void **state)
{
	(void)state;
	cut_everywhere(3, 5, 1, 11);
	cut_everywhere(2, 1, 1, 12);
	cut_everywhere(5, 6, 2, 13);
}

/* The last batch, cut off after every number of bytes, on one shard and on all. */
static void torn_tail_is_dropped_or_healed(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	struct crash_disk *base;
	uint8_t batch[8192], none[8192] = {0};
	struct volume v;

	(void)state;
	volume_init(&v, d, 2, 1);
	open_and_recover(&v);
	append_some(&v, 2);
	volume_close(&v, false);
	/* Both are of one block: the second begins at 4096. */
	assert_int_equal(crash_peek(d, 0, "log/0000000000000001", 4096, batch, 4096), 0);
	assert_int_equal(get_u64(batch + 24), 2);
	base = crash_disk_clone(d);
	for (uint32_t len = 0; len < get_u32(batch + 12); len++) {
		for (unsigned torn = 1; torn <= 2; torn++) {
			struct crash_disk *image = crash_disk_clone(base);

			for (unsigned i = 0; i < torn; i++)
				crash_poke(image, i, "log/0000000000000001", 4096 + len, none,
					   4096 - len);
			volume_init(&v, image, 2, 1);
			open_and_recover(&v);
			/* A payload that ends in zeros can lose those. */
			if (torn == 2 && memcmp(batch + len, none, 4096 - len) != 0)
				assert_int_equal(v.n, 1);
			else
				assert_int_equal(v.n, 2);
			append_some(&v, 1);
			volume_close(&v, true);
			/* What was healed is whole on its own. */
			v.p.degraded = true;
			must(&v, volume_open_some(&v, 1));
			must(&v, volume_recover(&v));
			volume_close(&v, true);
			crash_disk_free(image);
		}
	}
	crash_disk_free(base);
	crash_disk_free(d);
}

/* ---- failing shards ---- */

/* A shard fails with its nth call, and stays so. */
static void failing_shard_is_voted_out(void **state)
{
	(void)state;
	for (uint64_t after = 0;; after++) {
		struct crash_disk *d = crash_disk_new(3, after);
		struct volume v;
		uint64_t n;
		bool hit;

		volume_init(&v, d, 3, 5);
		open_and_recover(&v);
		crash_fault(d, 1, CRASH_ANY, after, CRASH_FOREVER, -EIO);
		append_some(&v, 3);
		must(&v, volume_checkpoint(&v));
		append_some(&v, 3);
		must(&v, volume_checkpoint(&v));
		append_some(&v, 3);
		n = v.n;
		hit = volume_state(&v, 1) == SHARD_FAILED;
		volume_close(&v, false);
		crash_power_on(d, after);
		crash_fault_clear(d);
		/* Without the one that failed, and then with it. */
		v.p.degraded = true;
		must(&v, volume_open_some(&v, 5));
		must(&v, volume_recover(&v));
		assert_int_equal(v.n, n);
		append_some(&v, 1);
		n = v.n;
		volume_close(&v, true);
		v.p.degraded = false;
		open_and_recover(&v);
		assert_int_equal(v.n, n);
		assert_int_equal(volume_state(&v, 1), SHARD_STALE);
		assert_true(raid_wants_checkpoint(v.r));
		must(&v, volume_checkpoint(&v));
		assert_int_equal(volume_state(&v, 1), SHARD_ONLINE);
		assert_false(raid_wants_checkpoint(v.r));
		n = v.n;
		volume_close(&v, true);
		/* It is a full member: alone with one other it has all. */
		v.p.degraded = true;
		must(&v, volume_open_some(&v, 6));
		must(&v, volume_recover(&v));
		assert_int_equal(v.n, n);
		volume_close(&v, true);
		crash_disk_free(d);
		if (!hit)
			break;
	}
}

static void one_failure_too_many_ends_writing(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	append_some(&v, 2);
	crash_fault(d, 0, CRASH_SYNC, 0, CRASH_FOREVER, -EIO);
	append_some(&v, 1);
	assert_false(raid_readonly(v.r));
	crash_fault(d, 2, CRASH_WRITE, 0, CRASH_FOREVER, -EIO);
	assert_int_equal(volume_append(&v), -EIO);
	assert_true(raid_readonly(v.r));
	assert_int_equal(volume_append(&v), -EIO);
	assert_int_equal(volume_checkpoint(&v), -EIO);
	volume_close(&v, true);
	crash_fault_clear(d);
	volume_must_work(&v);
	crash_disk_free(d);
}

static void vanished_shard_is_noticed(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;
	struct raid_stat st;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	raid_check(v.r);
	assert_int_equal(volume_state(&v, 2), SHARD_ONLINE);
	crash_shard_kill(d, 2, -ENODEV);
	raid_check(v.r);
	assert_int_equal(volume_state(&v, 2), SHARD_FAILED);
	/* The vote is durable with the next append. */
	raid_stat_get(v.r, &st);
	assert_int_equal(st.members, 7);
	append_some(&v, 1);
	raid_stat_get(v.r, &st);
	assert_int_equal(st.members, 3);
	assert_int_equal(st.epoch, 2);
	assert_int_equal(st.nr_lost, 1);
	volume_close(&v, true);
	crash_disk_free(d);
}

/* ---- no space ---- */

static void full_shard_is_voted_out_when_the_others_have_room(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;
	uint64_t n;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	append_some(&v, 1);
	crash_capacity(d, 1, crash_used(d, 1));
	while (volume_state(&v, 1) == SHARD_ONLINE)
		append_some(&v, 1);
	append_some(&v, 1);
	n = v.n;
	volume_close(&v, true);
	v.p.degraded = true;
	must(&v, volume_open_some(&v, 5));
	must(&v, volume_recover(&v));
	assert_int_equal(v.n, n);
	volume_close(&v, true);
	crash_disk_free(d);
}

static void full_volume_says_so_and_goes_on_when_there_is_room(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;
	unsigned nr = 0;
	int err = 0;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	append_some(&v, 1);
	for (unsigned i = 0; i < 3; i++)
		crash_capacity(d, i, crash_used(d, i));
	while (!err && nr++ < 100000)
		err = volume_append(&v);
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(volume_append(&v), -ENOSPC);
	assert_int_equal(volume_checkpoint(&v), -ENOSPC);
	assert_false(raid_readonly(v.r));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(volume_state(&v, i), SHARD_ONLINE);
		crash_capacity(d, i, 1024 * GIB);
	}
	append_some(&v, 20);
	volume_close(&v, true);
	volume_must_work(&v);
	crash_disk_free(d);
}

/* A write that is refused after all, by one, by all: the batch that failed never comes back once another one took its
 * number, and not after a clean stop either. */
static void refused_batch_does_not_come_back(void **state)
{
	(void)state;
	for (unsigned stop = 0; stop < 2; stop++) {
		struct crash_disk *d = crash_disk_new(2, 1);
		struct iovec iov = {(void *)(uintptr_t) "refused", 7};
		struct volume v;
		uint64_t seq;

		volume_init(&v, d, 2, 0);
		open_and_recover(&v);
		append_some(&v, 2);
		crash_fault(d, 1, CRASH_WRITE, 0, 1, -ENOSPC);
		assert_int_equal(raid_log_append(v.r, &iov, 1, &seq), -ENOSPC);
		if (!stop)
			append_some(&v, 1);
		volume_close(&v, stop);
		open_and_recover(&v);
		assert_int_equal(v.n, stop ? 2 : 3);
		volume_close(&v, true);
		volume_must_work(&v);
		crash_disk_free(d);
	}
}

/* ---- damage ---- */

static void damage_on_one_shard_is_healed(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct crash_disk *d = crash_disk_new(3, seed);
		struct shard_stat st;
		struct volume v;

		volume_init(&v, d, 3, 5);
		open_and_recover(&v);
		append_some(&v, 30);
		volume_close(&v, seed % 2);
		assert_true(crash_flip(d, 1, "log/", seed, 5, NULL) > 0);
		open_and_recover(&v);
		assert_int_equal(v.n, 30);
		volume_close(&v, true);
		/* Now the damaged one alone knows it all. */
		v.p.degraded = true;
		must(&v, volume_open_some(&v, 2 | 1));
		raid_shard_stat(v.r, 1, &st);
		must(&v, volume_recover(&v));
		assert_int_equal(v.n, 30);
		volume_close(&v, true);
		v.p.degraded = false;
		volume_must_work(&v);
		crash_disk_free(d);
	}
}

/* Each shard is damaged elsewhere; together they have it. */
static void damage_on_each_shard_is_healed(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	append_some(&v, 6); /* of a block each */
	volume_close(&v, false);
	for (unsigned i = 0; i < 3; i++)
		crash_poke(d, i, "log/0000000000000001", 4096 * (i + 1) + 8, "damage", 6);
	open_and_recover(&v);
	assert_int_equal(v.n, 6);
	append_some(&v, 1);
	volume_close(&v, true);
	for (unsigned i = 0; i < 3; i++) {
		v.p.salvage = true;
		must(&v, volume_open_some(&v, 1ULL << i));
		must(&v, volume_recover(&v));
		assert_int_equal(v.n, 7);
		volume_close(&v, false);
	}
	crash_disk_free(d);
}

static void deleted_log_file_is_healed(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	struct store *s;
	struct volume v;

	(void)state;
	crash_capacity(d, 0, 64 * MIB);
	crash_capacity(d, 1, 64 * MIB);
	volume_init(&v, d, 2, 1);
	open_and_recover(&v);
	append_some(&v, 200);
	volume_close(&v, true);
	assert_int_equal(crash_ops(d)->attach(crash_ops(d), "/crash-disk/1", false, &s), 0);
	assert_int_equal(crash_ops(d)->unlink(s, "log/0000000000000001"), 0);
	crash_ops(d)->detach(s);
	open_and_recover(&v);
	assert_int_equal(v.n, 200);
	volume_close(&v, true);
	v.p.degraded = true;
	must(&v, volume_open_some(&v, 2));
	must(&v, volume_recover(&v));
	assert_int_equal(v.n, 200);
	volume_close(&v, true);
	crash_disk_free(d);
}

static void damage_on_all_shards_is_told_from_an_end(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	append_some(&v, 6);
	volume_close(&v, false);
	for (unsigned i = 0; i < 3; i++)
		crash_poke(d, i, "log/0000000000000001", 4096 * 3 + 8, "damage", 6);
	must(&v, volume_open(&v));
	assert_int_equal(volume_recover(&v), -EBADMSG);
	assert_int_equal(v.n, 0);
	volume_close(&v, false);
	/* Salvage shows it as it was before. */
	v.p.salvage = true;
	open_and_recover(&v);
	assert_int_equal(v.n, 3);
	volume_close(&v, false);
	crash_disk_free(d);
}

static void lost_end_is_noticed_after_a_clean_stop(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	append_some(&v, 6);
	volume_close(&v, true);
	for (unsigned i = 0; i < 3; i++)
		crash_poke(d, i, "log/0000000000000001", 4096 * 5 + 8, "damage", 6);
	assert_int_equal(volume_open(&v), -EBADMSG);
	assert_non_null(strstr(v.why, "stopped at batch 6, the log ends at 5"));
	v.p.salvage = true;
	open_and_recover(&v);
	assert_int_equal(v.n, 5);
	volume_close(&v, false);
	crash_disk_free(d);
}

/* ---- members that come and go ---- */

static void lagging_member_catches_up(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	uint8_t none[4096] = {0};
	struct volume v;

	(void)state;
	volume_init(&v, d, 2, 1);
	open_and_recover(&v);
	append_some(&v, 3);
	volume_close(&v, false);
	crash_poke(d, 1, "log/0000000000000001", 2 * 4096, none, sizeof(none));
	open_and_recover(&v);
	assert_int_equal(v.n, 3);
	assert_int_equal(volume_state(&v, 1), SHARD_ONLINE);
	volume_close(&v, false);
	v.p.degraded = true;
	must(&v, volume_open_some(&v, 2));
	must(&v, volume_recover(&v));
	assert_int_equal(v.n, 3);
	volume_close(&v, true);
	crash_disk_free(d);
}

/* Of four shards with two to spare, two were out when one of the others goes: the log may not live on one alone. */
static void stale_shards_rejoin_at_once_when_too_few_are_left(void **state)
{
	(void)state;
	for (unsigned with_image = 0; with_image < 2; with_image++) {
		struct crash_disk *d = crash_disk_new(4, 1);
		struct volume v;

		volume_init(&v, d, 4, 6);
		open_and_recover(&v);
		append_some(&v, 3);
		if (with_image)
			must(&v, volume_checkpoint(&v));
		append_some(&v, 2);
		volume_close(&v, true);
		v.p.degraded = true;
		must(&v, volume_open_some(&v, 3));
		must(&v, volume_recover(&v));
		append_some(&v, 5);
		volume_close(&v, true);
		must(&v, volume_open_some(&v, 2 | 4 | 8));
		assert_true(raid_was_clean(v.r));
		must(&v, volume_recover(&v));
		assert_int_equal(v.n, 10);
		for (unsigned i = 1; i < 4; i++)
			assert_int_equal(volume_state(&v, i), SHARD_ONLINE);
		append_some(&v, 2);
		volume_close(&v, true);
		must(&v, volume_open_some(&v, 4 | 8));
		must(&v, volume_recover(&v));
		assert_int_equal(v.n, 12);
		volume_close(&v, true);
		v.p.degraded = false;
		volume_must_work(&v);
		crash_disk_free(d);
	}
}

/* One is stale, and another one goes: two have the data, but one alone has the log. That is one too few to acknowledge
 * anything; the next mount has the stale one rejoin first. */
static void stale_shard_does_not_stand_in_for_a_member(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	append_some(&v, 3);
	volume_close(&v, true);
	v.p.degraded = true;
	must(&v, volume_open_some(&v, 3));
	must(&v, volume_recover(&v));
	append_some(&v, 2);
	volume_close(&v, true);
	open_and_recover(&v);
	assert_int_equal(volume_state(&v, 2), SHARD_STALE);
	crash_fault(d, 0, CRASH_SYNC, 0, CRASH_FOREVER, -EIO);
	assert_int_equal(volume_append(&v), -EIO);
	assert_true(raid_readonly(v.r));
	volume_close(&v, true);
	crash_fault_clear(d);
	must(&v, volume_open_some(&v, 2 | 4));
	must(&v, volume_recover(&v));
	assert_in_range(v.n, 5, 6);
	assert_int_equal(volume_state(&v, 2), SHARD_ONLINE);
	append_some(&v, 1);
	volume_close(&v, true);
	v.p.degraded = false;
	volume_must_work(&v);
	crash_disk_free(d);
}

static void two_histories_are_refused(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 2, 1);
	open_and_recover(&v);
	append_some(&v, 3);
	volume_close(&v, true);
	v.p.degraded = true;
	for (unsigned i = 1; i <= 2; i++) {
		must(&v, volume_open_some(&v, i));
		must(&v, volume_recover(&v));
		append_some(&v, i);
		volume_close(&v, true);
	}
	assert_int_equal(volume_open(&v), -ESTALE);
	assert_non_null(strstr(
		v.why,
		"written separately on shards 0 (/crash-disk/0) and on shards 1 (/crash-disk/1)"));
	/* Either one is whole. */
	must(&v, volume_open_some(&v, 2));
	must(&v, volume_recover(&v));
	assert_int_equal(v.n, 5);
	volume_close(&v, true);
	crash_disk_free(d);
}

/* The trunk moved on by several epochs and cut its log: the other one's is still known not to be of it. */
static void two_histories_are_refused_also_much_later(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 2, 1);
	open_and_recover(&v);
	append_some(&v, 3);
	volume_close(&v, true);
	v.p.degraded = true;
	must(&v, volume_open_some(&v, 2));
	must(&v, volume_recover(&v));
	append_some(&v, 1);
	volume_close(&v, true);
	must(&v, volume_open_some(&v, 1));
	must(&v, volume_recover(&v));
	for (unsigned i = 0; i < 5; i++) {
		append_some(&v, 1);
		must(&v, volume_checkpoint(&v));
		append_some(&v, 1);
		/* A refused append makes a new epoch. */
		crash_fault(d, 0, CRASH_WRITE, 0, 1, -ENOSPC);
		assert_int_equal(volume_append(&v), -ENOSPC);
	}
	append_some(&v, 1);
	volume_close(&v, true);
	assert_int_equal(volume_open(&v), -ESTALE);
	crash_disk_free(d);
}

/* A shard that was out comes back after its epoch has been cut from everybody's log. */
static void stale_shard_is_known_after_the_log_was_cut(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;
	uint64_t n;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	append_some(&v, 3);
	volume_close(&v, false);
	v.p.degraded = true;
	must(&v, volume_open_some(&v, 3));
	must(&v, volume_recover(&v));
	for (unsigned i = 0; i < 4; i++) {
		append_some(&v, 40);
		must(&v, volume_checkpoint(&v));
	}
	n = v.n;
	volume_close(&v, true);
	v.p.degraded = false;
	open_and_recover(&v);
	assert_int_equal(v.n, n);
	assert_int_equal(volume_state(&v, 2), SHARD_STALE);
	/* Its log is not used, however the power goes. */
	volume_close(&v, true);
	volume_must_work(&v);
	crash_disk_free(d);
}

/* The power goes at every step of a stale shard's return; a member is lost with it, where it can be spared. */
static void rejoining_survives_a_crash_at_every_step(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct crash_journal *j;
	struct crash_cursor *c;
	struct volume v;
	uint64_t n, joined;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	append_some(&v, 3);
	must(&v, volume_checkpoint(&v));
	volume_close(&v, true);
	v.p.degraded = true;
	must(&v, volume_open_some(&v, 3));
	must(&v, volume_recover(&v));
	append_some(&v, 5);
	volume_close(&v, true);
	n = v.n;
	crash_record(d);
	open_and_recover(&v);
	must(&v, volume_checkpoint(&v));
	assert_int_equal(volume_state(&v, 2), SHARD_ONLINE);
	joined = crash_steps(d);
	append_some(&v, 2);
	volume_close(&v, true);
	j = crash_record_end(d);
	c = crash_cursor_new(j);
	for (uint64_t step = crash_journal_begin(j); step <= crash_journal_end(j); step++) {
		struct crash_disk *image = crash_cursor_image(c, step, step);
		unsigned lost = (unsigned)(step % 3);
		struct volume w;

		volume_init(&w, image, 3, 5);
		w.p.degraded = true;
		/* Before it is back it can stand in for nobody's log, but either member can be lost. */
		crash_shard_kill(image, lost, -ENOENT);
		must(&w, volume_open(&w));
		must(&w, volume_recover(&w));
		assert_true(w.n >= n && w.n <= n + 2);
		if (step >= joined && lost != 2)
			assert_int_equal(volume_state(&w, 2), SHARD_ONLINE);
		append_some(&w, 1);
		must(&w, volume_checkpoint(&w));
		volume_close(&w, false);
		crash_shard_kill(image, lost, 0);
		volume_must_work(&w);
		crash_disk_free(image);
	}
	crash_cursor_free(c);
	crash_journal_free(j);
	crash_disk_free(d);
}

/* Shards come and go at random, the power too; what was acknowledged is there, or the open says why not. */
static void random_life(void **state)
{
	const char *given = getenv("MATFS_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : 20;

	(void)state;
	for (unsigned life = 0; life < 60; life++, seed++) {
		struct crash_disk *d = crash_disk_new(4, seed);
		uint64_t x = seed * 0x9e3779b97f4a7c15ULL, acked = 0;
		struct volume v;

		volume_init(&v, d, 4, life % 2 ? 5 : 6);
		v.p.degraded = true;
		for (unsigned round = 0; round < 12; round++) {
			unsigned lost = (unsigned)(x >> 7) % 4;
			uint64_t cut;
			int err;

			x = x * 6364136223846793005ULL + 1442695040888963407ULL;
			if (round && x >> 60 & 1)
				crash_shard_kill(d, lost, -ENOENT);
			err = volume_open(&v);
			/* Four shards of raid6: two pairs can part ways. */
			if (err)
				fail_msg("seed %llu round %u: %s", (unsigned long long)seed, round,
					 v.why);
			must(&v, volume_recover(&v));
			if (v.n < acked)
				fail_msg("seed %llu round %u: %llu batches, %llu acknowledged",
					 (unsigned long long)seed, round, (unsigned long long)v.n,
					 (unsigned long long)acked);
			cut = crash_steps(d) + (x >> 33) % 60;
			crash_cut_at(d, x >> 59 & 1 ? cut : UINT64_MAX);
			for (unsigned i = 0; i < 6; i++) {
				int done = (x >> (20 + i)) % 3 ? volume_append(&v)
							       : volume_checkpoint(&v);

				if (done)
					break;
				if (i == 2 && x >> 58 & 1)
					crash_fault(d, (lost + 1) % 4, CRASH_SYNC, 0, 1, -EIO);
			}
			acked = v.n;
			volume_close(&v, !crash_is_off(d) && x >> 57 & 1);
			crash_power_on(d, x);
			crash_fault_clear(d);
			crash_cut_at(d, UINT64_MAX);
			crash_shard_kill(d, lost, 0);
		}
		volume_must_work(&v);
		crash_disk_free(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(log_comes_back_in_order),
		cmocka_unit_test(log_goes_on_in_new_files),
		cmocka_unit_test(long_and_empty_batches_fit),
		cmocka_unit_test(power_cut_keeps_what_was_acknowledged),
		cmocka_unit_test(power_cut_and_lost_shards_keep_what_was_acknowledged),
		cmocka_unit_test(torn_tail_is_dropped_or_healed),
		cmocka_unit_test(failing_shard_is_voted_out),
		cmocka_unit_test(one_failure_too_many_ends_writing),
		cmocka_unit_test(vanished_shard_is_noticed),
		cmocka_unit_test(full_shard_is_voted_out_when_the_others_have_room),
		cmocka_unit_test(full_volume_says_so_and_goes_on_when_there_is_room),
		cmocka_unit_test(refused_batch_does_not_come_back),
		cmocka_unit_test(damage_on_one_shard_is_healed),
		cmocka_unit_test(damage_on_each_shard_is_healed),
		cmocka_unit_test(deleted_log_file_is_healed),
		cmocka_unit_test(damage_on_all_shards_is_told_from_an_end),
		cmocka_unit_test(lost_end_is_noticed_after_a_clean_stop),
		cmocka_unit_test(lagging_member_catches_up),
		cmocka_unit_test(stale_shards_rejoin_at_once_when_too_few_are_left),
		cmocka_unit_test(stale_shard_does_not_stand_in_for_a_member),
		cmocka_unit_test(two_histories_are_refused),
		cmocka_unit_test(two_histories_are_refused_also_much_later),
		cmocka_unit_test(stale_shard_is_known_after_the_log_was_cut),
		cmocka_unit_test(rejoining_survives_a_crash_at_every_step),
		cmocka_unit_test(random_life),
	};

	/* Votes are loud. */
	log_set_level(LOG_LEVEL_ERROR - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
