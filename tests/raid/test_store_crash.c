/* The disk in memory that crash tests stand on: that it loses what was not synced, and never what was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/base.h"
#include "tests/support/store_crash.h"

#define SEEDS 400 /* enough that a fate of 1 in 30 is missed less than once in 500,000 */

static struct store *attach(struct crash_disk *d, const char *path)
{
	struct store *s;

	assert_int_equal(crash_ops(d)->attach(crash_ops(d), path, false, &s), 0);
	return s;
}

static struct store_file *create(struct crash_disk *d, struct store *s, const char *name)
{
	struct store_file *f;

	assert_int_equal(crash_ops(d)->open(s, name, STORE_CREATE, &f), 0);
	return f;
}

static int transfer(struct crash_disk *d, enum store_op op, struct store_file *f, uint64_t off,
		    void *buf, size_t len)
{
	struct iovec iov = {buf, len};
	struct store_io io = {.op = op, .file = f, .iov = &iov, .nr_iov = 1, .off = off};

	return crash_ops(d)->run(crash_ops(d), &io, 1);
}

static int put(struct crash_disk *d, struct store_file *f, uint64_t off, int byte, size_t len)
{
	AUTO_FREE uint8_t *buf = malloc(len);

	memset(buf, byte, len);
	return transfer(d, STORE_WRITE, f, off, buf, len);
}

static int sync_file(struct crash_disk *d, struct store_file *f)
{
	return transfer(d, STORE_SYNC, f, 0, NULL, 0);
}

static bool all_are(const uint8_t *p, size_t len, int byte)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] != byte)
			return false;
	}
	return true;
}

/* -1: there is no such file. */
static int64_t size_of(struct crash_disk *d, const char *name)
{
	struct store *s = attach(d, "crash:0");
	struct store_file *f;
	uint64_t size = 0;
	int err = crash_ops(d)->open(s, name, STORE_RDONLY, &f);

	if (!err) {
		assert_int_equal(crash_ops(d)->size(f, &size), 0);
		crash_ops(d)->close(f);
	}
	crash_ops(d)->detach(s);
	return err ? -1 : (int64_t)size;
}

static void synced_bytes_and_names_always_survive(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct crash_disk *d = crash_disk_new(1, seed);
		struct store *s = attach(d, "crash:0");
		struct store_file *f = create(d, s, "a");
		uint8_t got[10000];

		assert_int_equal(put(d, f, 0, 1, 10000), 0);
		assert_int_equal(put(d, f, 3000, 2, 3000), 0);
		assert_int_equal(crash_ops(d)->punch(f, 8192, 1000), 0);
		assert_int_equal(crash_ops(d)->truncate(f, 9500), 0);
		assert_int_equal(sync_file(d, f), 0);
		assert_int_equal(crash_ops(d)->sync_dir(s, ""), 0);
		/* Noise that must not touch it. */
		assert_int_equal(put(d, f, 9500, 3, 100000), 0);
		crash_ops(d)->close(create(d, s, "b"));
		crash_power_on(d, seed);
		crash_ops(d)->close(f);
		crash_ops(d)->detach(s);
		assert_true(size_of(d, "a") >= 9500);
		assert_int_equal(crash_peek(d, 0, "a", 0, got, 9500), 0);
		assert_true(all_are(got, 3000, 1) && all_are(got + 3000, 3000, 2));
		assert_true(all_are(got + 6000, 2192, 1) && all_are(got + 8192, 1000, 0));
		assert_true(all_are(got + 9192, 308, 1));
		crash_disk_free(d);
	}
}

/* Each of the fates of a write over old bytes: done, not done, torn between sectors, zeros. */
static void unsynced_write_meets_every_fate(void **state)
{
	bool whole = false, none = false, torn = false, zeros = false;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct crash_disk *d = crash_disk_new(1, seed);
		struct store *s = attach(d, "crash:0");
		struct store_file *f = create(d, s, "a");
		uint8_t got[8192];
		unsigned nr[3] = {0};

		assert_int_equal(put(d, f, 0, 1, sizeof(got)), 0);
		assert_int_equal(sync_file(d, f), 0);
		assert_int_equal(crash_ops(d)->sync_dir(s, ""), 0);
		assert_int_equal(put(d, f, 100, 2, 8000), 0);
		crash_power_on(d, seed);
		crash_ops(d)->close(f);
		crash_ops(d)->detach(s);
		assert_int_equal(crash_peek(d, 0, "a", 0, got, sizeof(got)), 0);
		/* Nothing beside the write's range, ever. */
		assert_true(all_are(got, 100, 1) && all_are(got + 8100, 92, 1));
		for (size_t at = 100; at < 8100; at = round_up(at + 1, 512)) {
			size_t len = MIN(round_up(at + 1, 512), (size_t)8100) - at;

			assert_true(got[at] <= 2);
			assert_true(all_are(got + at, len, got[at]));
			nr[got[at]]++;
		}
		whole |= !nr[0] && !nr[1];
		none |= !nr[0] && !nr[2];
		torn |= nr[1] && nr[2];
		zeros |= nr[0] > 0;
		crash_disk_free(d);
	}
	assert_true(whole && none && torn && zeros);
}

/* Of two writes the second may survive without the first, and the first without the second. */
static void unsynced_writes_are_not_ordered(void **state)
{
	bool only_first = false, only_second = false;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct crash_disk *d = crash_disk_new(1, seed);
		struct store *s = attach(d, "crash:0");
		struct store_file *f = create(d, s, "a");
		uint8_t got[8192];

		assert_int_equal(put(d, f, 0, 9, sizeof(got)), 0);
		assert_int_equal(sync_file(d, f), 0);
		assert_int_equal(crash_ops(d)->sync_dir(s, ""), 0);
		assert_int_equal(put(d, f, 0, 1, 4096), 0);
		assert_int_equal(put(d, f, 4096, 2, 4096), 0);
		crash_power_on(d, seed);
		crash_ops(d)->close(f);
		crash_ops(d)->detach(s);
		assert_int_equal(crash_peek(d, 0, "a", 0, got, sizeof(got)), 0);
		only_first |= all_are(got, 4096, 1) && all_are(got + 4096, 4096, 9);
		only_second |= all_are(got, 4096, 9) && all_are(got + 4096, 4096, 2);
		crash_disk_free(d);
	}
	assert_true(only_first && only_second);
}

static void unsynced_truncate_and_punch_may_be_lost(void **state)
{
	bool cut = false, kept = false, punched = false, filled = false;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct crash_disk *d = crash_disk_new(1, seed);
		struct store *s = attach(d, "crash:0");
		struct store_file *f = create(d, s, "a");
		uint8_t got[4096];

		assert_int_equal(put(d, f, 0, 1, 16384), 0);
		assert_int_equal(sync_file(d, f), 0);
		assert_int_equal(crash_ops(d)->sync_dir(s, ""), 0);
		assert_int_equal(crash_ops(d)->truncate(f, 8192), 0);
		assert_int_equal(crash_ops(d)->punch(f, 0, 4096), 0);
		crash_power_on(d, seed);
		crash_ops(d)->close(f);
		crash_ops(d)->detach(s);
		cut |= size_of(d, "a") == 8192;
		kept |= size_of(d, "a") == 16384;
		assert_int_equal(crash_peek(d, 0, "a", 0, got, sizeof(got)), 0);
		punched |= all_are(got, sizeof(got), 0);
		filled |= all_are(got, sizeof(got), 1);
		crash_disk_free(d);
	}
	assert_true(cut && kept && punched && filled);
}

/* What a synced truncate took away does not come back when the file grows again. */
static void truncated_bytes_stay_away(void **state)
{
	struct crash_disk *d = crash_disk_new(1, 1);
	struct store *s = attach(d, "crash:0");
	struct store_file *f = create(d, s, "a");
	uint8_t got[16384];

	(void)state;
	assert_int_equal(put(d, f, 0, 1, sizeof(got)), 0);
	assert_int_equal(sync_file(d, f), 0);
	assert_int_equal(crash_ops(d)->truncate(f, 4096), 0);
	assert_int_equal(sync_file(d, f), 0);
	assert_int_equal(put(d, f, 12288, 2, 4096), 0);
	assert_int_equal(sync_file(d, f), 0);
	assert_int_equal(crash_ops(d)->sync_dir(s, ""), 0);
	crash_power_on(d, 1);
	assert_int_equal(crash_peek(d, 0, "a", 0, got, sizeof(got)), 0);
	assert_true(all_are(got, 4096, 1) && all_are(got + 4096, 8192, 0));
	assert_true(all_are(got + 12288, 4096, 2));
	crash_ops(d)->close(f);
	crash_ops(d)->detach(s);
	crash_disk_free(d);
}

/* Write beside and rename over: with the file synced first, the name always leads to the old or the new bytes. */
static void rename_is_atomic(void **state)
{
	bool old = false, new = false, both = false;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct crash_disk *d = crash_disk_new(1, seed);
		struct store *s = attach(d, "crash:0");
		struct store_file *f = create(d, s, "cur"), *tmp;
		uint8_t byte;

		assert_int_equal(put(d, f, 0, 1, 1), 0);
		assert_int_equal(sync_file(d, f), 0);
		assert_int_equal(crash_ops(d)->sync_dir(s, ""), 0);
		tmp = create(d, s, "tmp");
		assert_int_equal(put(d, tmp, 0, 2, 1), 0);
		assert_int_equal(sync_file(d, tmp), 0);
		assert_int_equal(crash_ops(d)->rename(s, "tmp", "cur"), 0);
		crash_power_on(d, seed);
		crash_ops(d)->close(f);
		crash_ops(d)->close(tmp);
		crash_ops(d)->detach(s);
		assert_int_equal(crash_peek(d, 0, "cur", 0, &byte, 1), 0);
		old |= byte == 1;
		new |= byte == 2;
		both |= size_of(d, "tmp") >= 0;
		/* Not both at once: the rename takes the name away. */
		assert_false(byte == 2 && size_of(d, "tmp") >= 0);
		crash_disk_free(d);
	}
	assert_true(old && new &&both);
}

static void unsynced_names_may_be_lost(void **state)
{
	bool made = false, unmade = false, gone = false, there = false, only_later = false;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct crash_disk *d = crash_disk_new(1, seed);
		struct store *s = attach(d, "crash:0");

		crash_ops(d)->close(create(d, s, "old"));
		assert_int_equal(crash_ops(d)->sync_dir(s, ""), 0);
		crash_ops(d)->close(create(d, s, "a"));
		crash_ops(d)->close(create(d, s, "b"));
		assert_int_equal(crash_ops(d)->unlink(s, "old"), 0);
		crash_power_on(d, seed);
		crash_ops(d)->detach(s);
		made |= size_of(d, "a") >= 0;
		unmade |= size_of(d, "a") < 0;
		only_later |= size_of(d, "a") < 0 && size_of(d, "b") >= 0;
		gone |= size_of(d, "old") < 0;
		there |= size_of(d, "old") >= 0;
		crash_disk_free(d);
	}
	assert_true(made && unmade && gone && there && only_later);
}

/* A synced file in a directory whose own name was not synced goes with the directory. */
static void directory_is_lost_with_its_files(void **state)
{
	bool lost = false, kept = false;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct crash_disk *d = crash_disk_new(1, seed);
		struct store *s = attach(d, "crash:0");
		struct store_file *f;

		assert_int_equal(crash_ops(d)->mkdir(s, "seg"), 0);
		f = create(d, s, "seg/1");
		assert_int_equal(put(d, f, 0, 1, 100), 0);
		assert_int_equal(sync_file(d, f), 0);
		assert_int_equal(crash_ops(d)->sync_dir(s, "seg"), 0);
		crash_power_on(d, seed);
		crash_ops(d)->close(f);
		crash_ops(d)->detach(s);
		lost |= size_of(d, "seg/1") < 0;
		kept |= size_of(d, "seg/1") == 100;
		assert_true(size_of(d, "seg/1") < 0 || size_of(d, "seg/1") == 100);
		crash_disk_free(d);
	}
	assert_true(lost && kept);
}

/* Syncing the directory a file moved to also makes durable what the move needs: that it was there. */
static void synced_rename_brings_its_creation(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct crash_disk *d = crash_disk_new(1, seed);
		struct store *s = attach(d, "crash:0");

		assert_int_equal(crash_ops(d)->mkdir(s, "log"), 0);
		assert_int_equal(crash_ops(d)->sync_dir(s, ""), 0);
		crash_ops(d)->close(create(d, s, "tmp"));
		assert_int_equal(crash_ops(d)->rename(s, "tmp", "log/1"), 0);
		assert_int_equal(crash_ops(d)->sync_dir(s, "log"), 0);
		crash_power_on(d, seed);
		crash_ops(d)->detach(s);
		assert_int_equal(size_of(d, "log/1"), 0);
		assert_int_equal(size_of(d, "tmp"), -1);
		crash_disk_free(d);
	}
}

static void cut_fails_every_later_call(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	const struct store_ops *ops = crash_ops(d);
	struct store *s = attach(d, "crash:0"), *other = attach(d, "/x/1"), *late;
	struct store_file *f = create(d, s, "a");
	uint64_t size;
	uint8_t byte;

	(void)state;
	assert_int_equal(crash_steps(d), 1);
	crash_cut_at(d, 3);
	assert_int_equal(put(d, f, 0, 1, 1), 0);
	assert_int_equal(sync_file(d, f), 0);
	assert_int_equal(ops->alive(s), 0);
	assert_int_equal(ops->sync_dir(s, ""), -EIO); /* the third after the create: step 3 */
	assert_true(crash_is_off(d));
	assert_int_equal(transfer(d, STORE_READ, f, 0, &byte, 1), -EIO);
	assert_int_equal(ops->mkdir(other, "x"), -EIO);
	assert_int_equal(ops->size(f, &size), -EIO);
	assert_int_equal(ops->attach(ops, "crash:1", false, &late), -EIO);
	assert_int_equal(ops->alive(other), -ENODEV);
	assert_int_equal(crash_steps(d), 3);
	crash_power_on(d, 0);
	assert_int_equal(put(d, f, 0, 1, 1), -EIO); /* opened before the loss */
	ops->close(f);
	ops->detach(s);
	ops->detach(other);
	crash_disk_free(d);
}

static void killed_program_loses_nothing_but_its_lock(void **state)
{
	struct crash_disk *d = crash_disk_new(1, 1);
	const struct store_ops *ops = crash_ops(d);
	struct store *s = attach(d, "crash:0"), *next;
	struct store_file *f;
	char other[32];
	uint8_t byte;

	(void)state;
	assert_int_equal(ops->lock(s, true, "first", other, sizeof(other)), 0);
	f = create(d, s, "a");
	assert_int_equal(put(d, f, 0, 7, 1), 0);
	crash_process_kill(d);
	assert_int_equal(put(d, f, 0, 8, 1), -EIO);
	next = attach(d, "crash:0");
	assert_int_equal(ops->lock(next, true, "second", other, sizeof(other)), 0);
	/* The dead one's belated detach takes nothing from the living. */
	ops->close(f);
	ops->detach(s);
	s = attach(d, "crash:0");
	assert_int_equal(ops->lock(s, true, "third", other, sizeof(other)), -EBUSY);
	assert_string_equal(other, "second");
	assert_int_equal(crash_peek(d, 0, "a", 0, &byte, 1), 0);
	assert_int_equal(byte, 7);
	ops->detach(s);
	ops->detach(next);
	crash_disk_free(d);
}

/* ---- the record of a run ---- */

/* Random changes on both shards, the same for the same @seed, until they are done or the power is gone. */
static void workload(struct crash_disk *d, uint64_t seed, unsigned nr)
{
	const struct store_ops *ops = crash_ops(d);
	struct store *s[2] = {attach(d, "crash:0"), attach(d, "crash:1")};
	char name[16], to[16];

	for (unsigned i = 0; i < nr && !crash_is_off(d); i++) {
		struct store *at = s[crash_below(&seed, 2)];
		uint64_t what = crash_below(&seed, 10);
		struct store_file *f;

		snprintf(name, sizeof(name), "f%u", (unsigned)crash_below(&seed, 6));
		snprintf(to, sizeof(to), "f%u", (unsigned)crash_below(&seed, 6));
		if (ops->open(at, name, 0, &f) && ops->open(at, name, STORE_CREATE, &f))
			break;
		if (what < 5)
			put(d, f, crash_below(&seed, 20000), (int)i, crash_below(&seed, 9000) + 1);
		else if (what == 5)
			ops->truncate(f, crash_below(&seed, 20000));
		else if (what == 6)
			sync_file(d, f);
		else if (what == 7)
			ops->rename(at, name, to);
		else if (what == 8)
			ops->unlink(at, name);
		else
			ops->sync_dir(at, "");
		ops->close(f);
	}
	ops->detach(s[0]);
	ops->detach(s[1]);
}

/* Everything on a disk of workload() as one number. */
static uint64_t digest(struct crash_disk *d)
{
	uint64_t sum = 0;
	uint8_t byte;
	char name[16];

	for (unsigned i = 0; i < 12; i++) {
		uint64_t len = 0;

		snprintf(name, sizeof(name), "f%u", i / 2);
		for (; !crash_peek(d, i % 2, name, len, &byte, 1); len++)
			sum = (sum ^ byte) * 0x100000001b3ULL;
		sum = (sum ^ len) * 0x100000001b3ULL;
		/* An empty file is not a missing one. */
		sum += crash_peek(d, i % 2, name, 0, &byte, 0) == 0;
	}
	return sum;
}

/* An image made from the record is what cutting the power in the same run would have left. */
static void image_equals_a_run_cut_there(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 5);
	struct crash_journal *j;
	struct crash_cursor *c;
	unsigned nr_differ = 0;
	uint64_t last = 0;

	(void)state;
	crash_record(d);
	workload(d, 5, 200);
	j = crash_record_end(d);
	crash_disk_free(d);
	c = crash_cursor_new(j);
	assert_true(crash_journal_end(j) > 100);
	for (uint64_t step = 1; step < crash_journal_end(j); step += 2) {
		struct crash_disk *image = crash_cursor_image(c, step, step);
		struct crash_disk *cut = crash_disk_new(2, 5);
		uint64_t sum = digest(image);

		crash_cut_at(cut, step);
		workload(cut, 5, 200);
		assert_true(crash_is_off(cut));
		crash_power_on(cut, step);
		assert_int_equal(digest(cut), sum);
		nr_differ += sum != last;
		last = sum;
		crash_disk_free(image);
		crash_disk_free(cut);
	}
	assert_true(nr_differ > 50);
	crash_cursor_free(c);
	crash_journal_free(j);
}

/* Cursors may go back, be many, and leave the record as it is. */
static void cursor_goes_anywhere(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 6), *a, *b;
	struct crash_journal *j;
	struct crash_cursor *c;

	(void)state;
	crash_record(d);
	workload(d, 6, 100);
	j = crash_record_end(d);
	c = crash_cursor_new(j);
	b = crash_cursor_killed(c, crash_journal_end(j));
	assert_int_equal(digest(b), digest(d)); /* a killed program loses nothing */
	crash_disk_free(b);
	for (uint64_t step = crash_journal_end(j); step-- > 0; step -= MIN(step, (uint64_t)6)) {
		a = crash_image_at(j, step, 1);
		b = crash_cursor_image(c, step, 1);
		workload(b, step, 30); /* what is done to an image stays in it */
		crash_disk_free(b);
		b = crash_cursor_image(c, step, 1);
		assert_int_equal(digest(a), digest(b));
		crash_disk_free(a);
		crash_disk_free(b);
	}
	crash_cursor_free(c);
	crash_journal_free(j);
	crash_disk_free(d);
}

#define ORACLE_SECTORS 64

/* What each sector of a file may hold after a loss: bit v for all bytes v. */
struct oracle {
	uint64_t may[ORACLE_SECTORS];
	uint64_t now[ORACLE_SECTORS];
};

/* Writes of whole sectors and syncs on one file, cut at every step, each image checked against every value that the
 * steps allow there. */
static void images_hold_only_what_was_written(void **state)
{
	struct crash_disk *d = crash_disk_new(1, 7);
	struct store *s = attach(d, "crash:0");
	struct store_file *f = create(d, s, "a");
	struct oracle o = {0};
	struct crash_journal *j;
	struct crash_cursor *c;
	uint64_t rng = 7;

	(void)state;
	assert_int_equal(put(d, f, 0, 0, ORACLE_SECTORS * 512), 0);
	assert_int_equal(sync_file(d, f), 0);
	assert_int_equal(crash_ops(d)->sync_dir(s, ""), 0);
	for (unsigned i = 0; i < ORACLE_SECTORS; i++)
		o.may[i] = o.now[i] = 1;
	crash_record(d);
	for (unsigned i = 0; i < 400; i++) {
		uint64_t at = crash_below(&rng, ORACLE_SECTORS), nr = crash_below(&rng, 12) + 1;

		nr = MIN(nr, ORACLE_SECTORS - at);
		if (crash_below(&rng, 6) == 0)
			assert_int_equal(sync_file(d, f), 0);
		else
			assert_int_equal(
				put(d, f, at * 512, 1 + (int)crash_below(&rng, 63), nr * 512), 0);
	}
	j = crash_record_end(d);
	c = crash_cursor_new(j);
	for (uint64_t step = crash_journal_begin(j); step < crash_journal_end(j); step++) {
		const struct crash_step *st = crash_journal_step(j, step);

		/* The step that is hit may be done or not. */
		for (uint64_t i = st->off / 512;
		     st->kind == CRASH_WRITE && i < (st->off + st->len) / 512; i++) {
			o.now[i] = 1ULL << st->data[0];
			o.may[i] |= o.now[i] | 1;
		}
		for (uint64_t seed = 0; seed < 5; seed++) {
			struct crash_disk *image = crash_cursor_image(c, step, step * 5 + seed);
			uint8_t got[ORACLE_SECTORS * 512];

			assert_int_equal(crash_peek(image, 0, "a", 0, got, sizeof(got)), 0);
			for (unsigned i = 0; i < ORACLE_SECTORS; i++) {
				assert_true(o.may[i] >> got[i * 512] & 1);
				assert_true(all_are(got + i * 512UL, 512, got[i * 512]));
			}
			crash_disk_free(image);
		}
		if (st->kind == CRASH_SYNC)
			memcpy(o.may, o.now, sizeof(o.may));
	}
	crash_cursor_free(c);
	crash_journal_free(j);
	crash_ops(d)->close(f);
	crash_ops(d)->detach(s);
	crash_disk_free(d);
}

/* ---- faults ---- */

static void nth_call_of_a_kind_fails(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	struct store *s[2] = {attach(d, "crash:0"), attach(d, "crash:1")};
	struct store_file *f[2] = {create(d, s[0], "a"), create(d, s[1], "a")};
	uint8_t byte;

	(void)state;
	crash_fault(d, 1, CRASH_WRITE, 2, 1, -EIO);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(put(d, f[0], 0, 1, 1), 0);
		assert_int_equal(put(d, f[1], 0, 1, 1), i == 2 ? -EIO : 0);
	}
	crash_fault(d, 0, CRASH_ANY, 1, CRASH_FOREVER, -ENOMEM);
	assert_int_equal(transfer(d, STORE_READ, f[0], 0, &byte, 1), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(transfer(d, STORE_READ, f[0], 0, &byte, 1), -ENOMEM);
	assert_int_equal(transfer(d, STORE_READ, f[1], 0, &byte, 1), 0);
	crash_fault_clear(d);
	assert_int_equal(transfer(d, STORE_READ, f[0], 0, &byte, 1), 0);
	assert_int_equal(crash_calls(d, 0, CRASH_READ), 7);
	assert_int_equal(crash_calls(d, 1, CRASH_WRITE), 5);
	for (unsigned i = 0; i < 2; i++) {
		crash_ops(d)->close(f[i]);
		crash_ops(d)->detach(s[i]);
	}
	crash_disk_free(d);
}

/* After a failed sync the next one says 0 for bytes that are gone, as fsync does. They are still read until then. */
static void failed_sync_loses_bytes_for_good(void **state)
{
	bool lost = false, kept = false;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct crash_disk *d = crash_disk_new(1, seed);
		struct store *s = attach(d, "crash:0");
		struct store_file *f = create(d, s, "a");
		uint8_t got[4096];

		assert_int_equal(put(d, f, 0, 1, sizeof(got)), 0);
		assert_int_equal(sync_file(d, f), 0);
		assert_int_equal(crash_ops(d)->sync_dir(s, ""), 0);
		assert_int_equal(put(d, f, 0, 2, sizeof(got)), 0);
		crash_fault(d, 0, CRASH_SYNC, 0, 1, -EIO);
		assert_int_equal(sync_file(d, f), -EIO);
		assert_int_equal(sync_file(d, f), 0);
		assert_int_equal(transfer(d, STORE_READ, f, 0, got, sizeof(got)), 0);
		assert_true(all_are(got, sizeof(got), 2));
		crash_power_on(d, seed);
		assert_int_equal(crash_peek(d, 0, "a", 0, got, sizeof(got)), 0);
		kept |= all_are(got, sizeof(got), 2);
		lost |= all_are(got, sizeof(got), 1);
		crash_ops(d)->close(f);
		crash_ops(d)->detach(s);
		crash_disk_free(d);
	}
	assert_true(lost && kept);
}

static void dead_shard_answers_nothing(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	const struct store_ops *ops = crash_ops(d);
	struct store *s = attach(d, "crash:0"), *late;
	struct store_file *f = create(d, s, "a");

	(void)state;
	crash_shard_kill(d, 0, -EIO);
	assert_int_equal(ops->alive(s), 0); /* the directory is there, its disk is broken */
	assert_int_equal(put(d, f, 0, 1, 1), -EIO);
	crash_shard_kill(d, 0, -ENOENT);
	assert_int_equal(ops->alive(s), -ENODEV);
	assert_int_equal(ops->attach(ops, "crash:0", false, &late), -ENOENT);
	assert_int_equal(ops->attach(ops, "crash:2", false, &late), -ENOENT); /* never was */
	ops->detach(attach(d, "crash:1"));
	crash_shard_kill(d, 0, 0);
	assert_int_equal(put(d, f, 0, 1, 1), 0);
	ops->close(f);
	ops->detach(s);
	crash_disk_free(d);
}

static void capacity_is_kept(void **state)
{
	struct crash_disk *d = crash_disk_new(1, 1), *clone;
	const struct store_ops *ops = crash_ops(d);
	struct store *s = attach(d, "crash:0"), *other;
	struct store_file *f = create(d, s, "a"), *g = create(d, s, "b");
	struct store_space space;
	uint64_t size;

	(void)state;
	crash_capacity(d, 0, 10 * 4096);
	assert_int_equal(put(d, f, 0, 1, 6 * 4096), 0);
	assert_int_equal(ops->allocate(g, 0, 5 * 4096), -ENOSPC);
	assert_int_equal(ops->allocate(g, 0, 3 * 4096), 0);
	assert_int_equal(ops->space(s, &space), 0);
	assert_int_equal(space.total, 10 * 4096);
	assert_int_equal(space.avail, 4096);
	/* One page fits, then the disk is full. */
	assert_int_equal(put(d, f, 6 * 4096, 1, 2 * 4096), -ENOSPC);
	assert_int_equal(ops->size(f, &size), 0);
	assert_int_equal(size, 7 * 4096);
	assert_int_equal(put(d, f, 0, 2, 7 * 4096), 0); /* in place */
	assert_int_equal(put(d, g, 0, 2, 3 * 4096), 0); /* where it was allocated */
	assert_int_equal(put(d, g, 3 * 4096, 2, 1), -ENOSPC);
	assert_int_equal(ops->punch(f, 0, 2 * 4096), 0);
	assert_int_equal(crash_used(d, 0), 8 * 4096);
	assert_int_equal(ops->unlink(s, "b"), 0);
	assert_int_equal(ops->sync_dir(s, ""), 0);
	assert_int_equal(crash_used(d, 0), 8 * 4096); /* still open */
	clone = crash_disk_clone(d);
	assert_int_equal(crash_used(clone, 0), 5 * 4096); /* there it is not */
	other = attach(clone, "crash:0");
	assert_int_equal(ops->unlink(other, "a"), 0); /* nor is this one open there */
	assert_int_equal(ops->sync_dir(other, ""), 0);
	assert_int_equal(crash_used(clone, 0), 0);
	ops->detach(other);
	crash_disk_free(clone);
	ops->close(g);
	assert_int_equal(crash_used(d, 0), 5 * 4096);
	ops->close(f);
	ops->detach(s);
	crash_disk_free(d);
}

static void flips_hit_written_bytes_of_the_prefix(void **state)
{
	struct crash_disk *d = crash_disk_new(1, 1), *before;
	const struct store_ops *ops = crash_ops(d);
	struct store *s = attach(d, "crash:0");
	struct crash_flip flip[50];
	struct store_file *f;
	uint8_t got[8192];

	(void)state;
	assert_int_equal(ops->mkdir(s, "seg"), 0);
	ops->close(create(d, s, "seg/empty"));
	f = create(d, s, "top");
	assert_int_equal(put(d, f, 0, 0, 4096), 0);
	ops->close(f);
	assert_int_equal(crash_flip(d, 0, "seg/", 1, 50, flip), 0); /* nothing there yet */
	f = create(d, s, "seg/1");
	assert_int_equal(put(d, f, 4 * 4096, 0, sizeof(got)), 0);
	assert_int_equal(sync_file(d, f), 0);
	ops->close(f);
	before = crash_disk_clone(d);
	assert_int_equal(crash_flip(d, 0, "seg/", 1, 50, flip), 50);
	assert_int_equal(crash_peek(d, 0, "seg/1", 4 * 4096, got, sizeof(got)), 0);
	for (unsigned i = 0; i < 50; i++) {
		assert_string_equal(flip[i].name, "seg/1");
		assert_in_range(flip[i].off, 4 * 4096, 6 * 4096 - 1);
		got[flip[i].off - 4UL * 4096] ^= flip[i].mask;
	}
	assert_true(all_are(got, sizeof(got), 0));
	assert_int_equal(crash_peek(d, 0, "top", 0, got, 4096), 0);
	assert_true(all_are(got, 4096, 0));
	/* The clone is another disk, though it shared the pages. */
	assert_int_equal(crash_peek(before, 0, "seg/1", 4 * 4096, got, sizeof(got)), 0);
	assert_true(all_are(got, sizeof(got), 0));
	/* What is on the platter is what was flipped. */
	assert_int_equal(ops->sync_dir(s, ""), 0);
	assert_int_equal(ops->sync_dir(s, "seg"), 0);
	crash_power_on(d, 1);
	assert_int_equal(crash_peek(d, 0, "seg/1", 4 * 4096, got, sizeof(got)), 0);
	assert_false(all_are(got, sizeof(got), 0));
	ops->detach(s);
	crash_disk_free(d);
	crash_disk_free(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(synced_bytes_and_names_always_survive),
		cmocka_unit_test(unsynced_write_meets_every_fate),
		cmocka_unit_test(unsynced_writes_are_not_ordered),
		cmocka_unit_test(unsynced_truncate_and_punch_may_be_lost),
		cmocka_unit_test(truncated_bytes_stay_away),
		cmocka_unit_test(rename_is_atomic),
		cmocka_unit_test(unsynced_names_may_be_lost),
		cmocka_unit_test(directory_is_lost_with_its_files),
		cmocka_unit_test(synced_rename_brings_its_creation),
		cmocka_unit_test(cut_fails_every_later_call),
		cmocka_unit_test(killed_program_loses_nothing_but_its_lock),
		cmocka_unit_test(image_equals_a_run_cut_there),
		cmocka_unit_test(cursor_goes_anywhere),
		cmocka_unit_test(images_hold_only_what_was_written),
		cmocka_unit_test(nth_call_of_a_kind_fails),
		cmocka_unit_test(failed_sync_loses_bytes_for_good),
		cmocka_unit_test(dead_shard_answers_nothing),
		cmocka_unit_test(capacity_is_kept),
		cmocka_unit_test(flips_hit_written_bytes_of_the_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
