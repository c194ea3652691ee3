/* Shards fail under way: a call gives -EIO, a shard dies, one comes back old, bits turn over. As long as no more are lost
 * than the level allows, everything reads right; beyond that, what cannot be had is an error, never a wrong byte, and
 * changes are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "conf/base.h"
#include "conf/log.h"
#include "fs/commit.h"
#include "fs/file.h"
#include "fs/name.h"
#include "tests/crash/work.h"

static uint64_t test_seed;

static const unsigned levels[] = {1, 5, 6};

struct trial {
	struct crash_disk *disk;
	struct rig rig;
	struct work w;
	struct chance c;
};

/* @capacity: bytes of each shard; 0: plenty. */
static void trial_begin_on(struct trial *t, unsigned level, unsigned ops, uint64_t capacity)
{
	char why[512] = "";

	memset(t, 0, sizeof(*t));
	t->disk = crash_disk_new(RIG_SHARDS, test_seed);
	t->c.s = test_seed * 64 + level;
	for (unsigned s = 0; capacity && s < RIG_SHARDS; s++)
		crash_capacity(t->disk, s, capacity);
	rig_init(&t->rig, level);
	if (capacity)
		t->rig.checkpoint_len = 0; /* as the volume's size has it */
	if (rig_open(&t->rig, t->disk, true, false, &t->w.fs, why))
		fail_msg("%s", why);
	work_init(&t->w, t->c.s, t->w.fs, t->disk, WORK_ALL_DIRS);
	work_run(&t->w, ops);
	must(commit_wait(t->w.fs, commit_open_txg(t->w.fs)) == 0);
}

static void trial_begin(struct trial *t, unsigned level, unsigned ops)
{
	trial_begin_on(t, level, ops, 0);
}

static void trial_end(struct trial *t)
{
	work_fini(&t->w);
	crash_disk_free(t->disk);
	rig_fini(&t->rig);
}

static void trial_close(struct trial *t)
{
	work_end(&t->w);
	must(fs_close(t->w.fs) == 0);
	t->w.fs = NULL;
}

static void trial_open(struct trial *t, bool degraded)
{
	char why[512] = "";

	if (rig_open(&t->rig, t->disk, false, degraded, &t->w.fs, why))
		fail_msg("%s", why);
}

/* All of it, as the model has it. (Data may be in the index before its file's size is: that goes with the commit.) */
static void trial_right(struct trial *t)
{
	struct model m;

	must(commit_wait(t->w.fs, commit_open_txg(t->w.fs)) == 0);
	must(model_read(t->w.fs, &m) == 0);
	must(model_hash(&m) == model_hash(&t->w.m));
	rig_check_index(t->w.fs);
	model_fini(&m);
}

static void seed_is(unsigned level, const char *what)
{
	snprintf(rig_where, sizeof(rig_where), "raid%u, seed %llu, %s", level,
		 (unsigned long long)test_seed, what);
}

/* ---- within what the level allows ---- */

static void failing_calls_are_covered(void **state)
{
	static const enum crash_kind kinds[] = {CRASH_WRITE, CRASH_SYNC, CRASH_ANY};

	(void)state;
	for (unsigned i = 0; i < 3 * ARRAY_LEN(levels); i++) {
		struct trial t;

		seed_is(levels[i / 3], "failing calls");
		trial_begin(&t, levels[i / 3], 60);
		crash_fault(t.disk, i % RIG_SHARDS, kinds[i % 3], chance_below(&t.c, 100),
			    CRASH_FOREVER, -EIO);
		work_run(&t.w, 150);
		trial_right(&t);
		trial_close(&t);
		crash_fault_clear(t.disk);
		trial_open(&t, true);
		trial_right(&t);
		must(fs_close(t.w.fs) == 0);
		trial_end(&t);
	}
}

static void failing_reads_are_rebuilt(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(levels); i++) {
		struct trial t;

		seed_is(levels[i], "failing reads");
		trial_begin(&t, levels[i], 120);
		trial_close(&t);
		trial_open(&t, false);
		crash_fault(t.disk, 1, CRASH_READ, 3, 5, -EIO);
		trial_right(&t);
		must(fs_close(t.w.fs) == 0);
		trial_end(&t);
	}
}

/* Up to m shards die while there is work, and are away at the next open, too. */
static void dead_shards_are_done_without(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(levels); i++) {
		for (unsigned n = 1; n <= (levels[i] == 6 ? 10 : 4); n++) {
			struct trial t;
			uint64_t lose;

			seed_is(levels[i], "dead shards");
			trial_begin(&t, levels[i], 40);
			lose = rig_loss(t.rig.parity, n);
			rig_lose(t.disk, lose);
			work_run(&t.w, 60);
			trial_right(&t);
			trial_close(&t);
			trial_open(&t, true);
			trial_right(&t);
			fs_crash(t.w.fs);
			trial_end(&t);
		}
	}
}

/* A shard that comes back after others went on without it is not believed. */
static void stale_shard_does_not_lead_back(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(levels); i++) {
		struct trial t;
		unsigned away;

		seed_is(levels[i], "stale shard");
		trial_begin(&t, levels[i], 60);
		away = chance_below(&t.c, RIG_SHARDS);
		crash_shard_kill(t.disk, away, -ENOENT);
		work_run(&t.w, 60);
		trial_close(&t);
		crash_shard_kill(t.disk, away, 0);
		trial_open(&t, true);
		trial_right(&t);
		must(fs_close(t.w.fs) == 0);
		trial_open(&t, true);
		trial_right(&t);
		must(fs_close(t.w.fs) == 0);
		trial_end(&t);
	}
}

static void wrong_bits_are_mended(void **state)
{
	uint64_t nr_wrong = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(levels); i++) {
		struct shard_stat st;
		struct trial t;
		unsigned shard;

		seed_is(levels[i], "wrong bits");
		trial_begin(&t, levels[i], 150);
		trial_close(&t);
		shard = chance_below(&t.c, RIG_SHARDS);
		crash_flip(t.disk, shard, "seg/", test_seed, 200, NULL);
		trial_open(&t, false);
		trial_right(&t);
		raid_shard_stat(t.w.fs->raid, shard, &st);
		must(st.nr_repaired == st.nr_wrong);
		nr_wrong += st.nr_wrong;
		must(fs_close(t.w.fs) == 0);
		trial_end(&t);
	}
	/* Some hit nothing that is read, or a copy that is not; not all of them. */
	must(nr_wrong > 0);
}

/* Log and checkpoints are on every shard. */
static void wrong_bits_in_metadata_are_covered(void **state)
{
	static const unsigned all[] = {0, 1, 5, 6};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		struct trial t;

		seed_is(all[i], "wrong bits in the log");
		trial_begin(&t, all[i], 150);
		work_end(&t.w);
		fs_crash(t.w.fs);
		crash_flip(t.disk, chance_below(&t.c, RIG_SHARDS), "log/", test_seed, 20, NULL);
		trial_open(&t, true);
		trial_right(&t);
		must(fs_close(t.w.fs) == 0);
		trial_end(&t);
	}
}

/* ---- beyond it ---- */

/* Each file reads right or gives -EIO. Returns how many were lost. */
static unsigned right_or_lost(struct trial *t)
{
	unsigned lost = 0;

	for (unsigned i = 0; i < MODEL_DIRS * MODEL_NAMES; i++) {
		const struct model_file *f = t->w.m.name[i / MODEL_NAMES][i % MODEL_NAMES];
		struct file_read r;
		struct inode *in;
		size_t at = 0;
		int err;

		if (!f || !S_ISREG(f->mode))
			continue;
		must(inode_get(t->w.fs, NULL, f->ino, &in) == 0);
		err = file_peek(in, 0, f->len + 1, &r);
		must(!err || err == -EIO);
		lost += err != 0;
		for (unsigned k = 0; !err && k < r.nr; at += r.iov[k++].iov_len)
			must(!memcmp(f->bytes + at, r.iov[k].iov_base, r.iov[k].iov_len));
		must(err || at == f->len);
		if (!err)
			file_read_done(t->w.fs, &r);
		inode_put(in);
	}
	return lost;
}

static void without_parity_a_wrong_bit_is_an_error(void **state)
{
	unsigned nr_flips = 0;
	struct trial t;

	(void)state;
	seed_is(0, "wrong bits");
	trial_begin(&t, 0, 200);
	trial_close(&t);
	/* (A shard may have nothing of so small a volume.) */
	for (unsigned s = 0; s < RIG_SHARDS; s++)
		nr_flips += crash_flip(t.disk, s, "seg/", test_seed, 50, NULL);
	must(nr_flips > 0);
	trial_open(&t, false);
	assert_true(right_or_lost(&t) > 0);
	rig_check_index(t.w.fs);
	must(fs_close(t.w.fs) == 0);
	trial_end(&t);
}

/* One more than parity covers: reads are right or -EIO, changes are refused, a close says that it lost them; with the
 * shards back, what had been synced is there. */
static void one_shard_too_many_stops_changes(void **state)
{
	static const unsigned all[] = {0, 1, 5, 6};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		struct name_new nn = {.mode = S_IFREG | 0600};
		struct trial t;
		struct inode *in;
		int err;

		seed_is(all[i], "one shard too many");
		trial_begin(&t, all[i], 100);
		for (unsigned s = 0; s <= t.rig.parity; s++)
			crash_shard_kill(t.disk, s, -EIO);
		right_or_lost(&t);
		/* A first change may be taken, into memory: its commit fails, and there is no other. */
		err = name_make(t.w.fs, 1, (struct name){"x", 1}, &nn, &in);
		must(err == 0 || err == -EROFS);
		if (!err)
			inode_put(in);
		must(commit_wait(t.w.fs, commit_open_txg(t.w.fs)) < 0);
		must(name_make(t.w.fs, 1, (struct name){"xx", 2}, &nn, &in) == -EROFS);
		right_or_lost(&t);
		work_end(&t.w);
		must(fs_close(t.w.fs) < 0);
		for (unsigned s = 0; s < RIG_SHARDS; s++)
			crash_shard_kill(t.disk, s, 0);
		trial_open(&t, true);
		must(right_or_lost(&t) == 0);
		trial_right(&t);
		must(fs_close(t.w.fs) == 0);
		trial_end(&t);
	}
}

/* Small changes on a volume that is full: each becomes durable, however many there are. */
static void a_full_volume_commits_on(void **state)
{
	static const unsigned all[] = {0, 5};
	const unsigned nr = 1500;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		struct name_new nn = {.mode = S_IFREG | 0600};
		AUTO_FREE uint8_t *noise = malloc(MIB);
		struct iovec iov = {noise, MIB};
		struct trial t;
		struct inode *in;
		int err;

		seed_is(all[i], "full volume");
		trial_begin_on(&t, all[i], 40, 40 * MIB);
		must(name_make(t.w.fs, 1, (struct name){"full", 4}, &nn, &in) == 0);
		chance_fill(&t.c, noise, MIB);
		for (uint64_t off = 0; !(err = file_write(in, off, &iov, 1, false)); off += MIB)
			;
		must(err == -ENOSPC);
		for (unsigned n = 0; n < nr; n++) {
			iov = (struct iovec){noise + n, 1};
			err = file_write(in, n % 7 * 4096, &iov, 1, false);
			must(!err || err == -ENOSPC);
			must(name_rename(t.w.fs, 1, (struct name){n % 2 ? "llun" : "full", 4}, 1,
					 (struct name){n % 2 ? "full" : "llun", 4}, 0) == 0);
			must(file_sync(in) == 0);
		}
		inode_put(in);
		must(name_unlink(t.w.fs, 1, (struct name){"full", 4}) == 0);
		trial_right(&t);
		trial_close(&t);
		trial_open(&t, false);
		trial_right(&t);
		must(fs_close(t.w.fs) == 0);
		trial_end(&t);
	}
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failing_calls_are_covered),
		cmocka_unit_test(failing_reads_are_rebuilt),
		cmocka_unit_test(dead_shards_are_done_without),
		cmocka_unit_test(stale_shard_does_not_lead_back),
		cmocka_unit_test(wrong_bits_are_mended),
		cmocka_unit_test(wrong_bits_in_metadata_are_covered),
		cmocka_unit_test(without_parity_a_wrong_bit_is_an_error),
		cmocka_unit_test(one_shard_too_many_stops_changes),
		cmocka_unit_test(a_full_volume_commits_on),
	};

	print_message("seed %llu\n", (unsigned long long)test_seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_crash_faults [SEED [SEEDS]]; without a seed, a fixed one and a random one. */
int main(int argc, char **argv)
{
	unsigned nr_seeds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 1;
	int failed = 0;

	/* Failing shards are loud. */
	log_set_level(LOG_LEVEL_ERROR);
	test_seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	for (unsigned i = 0; i < nr_seeds; i++, test_seed++)
		failed += run_all();
	if (argc == 1) {
		test_seed = (uint64_t)time(NULL);
		failed += run_all();
	}
	return failed;
}
