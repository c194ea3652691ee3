/* The power is cut at every step of long random workloads, and what is left must be a prefix of them (work.h).
 *
 * One run is recorded: every write, sync, rename, punch that reaches the shards is a step. For a cut at a step, an image
 * of the disks is made with what a power loss may leave (unsynced writes lost, torn, reordered), up to as many shards are
 * lost as the level allows, the volume is opened, read whole, and compared with the model; its index must be without
 * fault, and after a clean close nothing but live stripes may hold space.
 *
 * An image may be the beginning of another life, which is recorded from the recovery on and cut in its turn. */
#include <pthread.h>
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
static unsigned test_ops = 150;
static unsigned test_cuts = 120;
static uint64_t nr_cuts; /* in all */

/* ---- one life ---- */

struct life {
	const struct rig *rig;
	unsigned nr; /* 1 is the first */
	struct work *work;
	unsigned nr_works;
	const struct life *before; /* NULL: none */
	uint64_t before_cut;
	uint64_t
		opened; /* steps done when its volume was up: what was found is promised from then on */
};

static void check_model(const struct life *l, struct fs *fs, uint64_t step, struct model *out)
{
	int err = model_read(fs, out);

	if (err)
		fprintf(stderr, "not readable: %s\n", strerror(-err));
	must(err == 0);
	while (l->before && step < l->opened) {
		step = l->before_cut;
		l = l->before;
	}
	for (unsigned i = 0; i < l->nr_works; i++)
		work_check(&l->work[i], step, out);
	rig_check_index(fs);
}

static struct fs *open_image(const struct life *l, struct crash_disk *image, bool degraded)
{
	struct fs *fs;
	char why[512] = "";

	if (rig_open(l->rig, image, false, degraded, &fs, why))
		fprintf(stderr, "not opened: %s\n", why);
	else
		return fs;
	must(!"opened");
}

static void check_cut(const struct life *l, struct crash_disk *image, uint64_t step, unsigned n)
{
	uint64_t lose = rig_loss(l->rig->parity, n);
	struct model m;
	struct fs *fs;

	nr_cuts++;
	snprintf(rig_where, sizeof(rig_where),
		 "raid%u, seed %llu, life %u, cut at step %llu, lost %llx", l->rig->level,
		 (unsigned long long)test_seed, l->nr, (unsigned long long)step,
		 (unsigned long long)lose);
	rig_lose(image, lose);
	fs = open_image(l, image, lose != 0);
	check_model(l, fs, step, &m);
	model_fini(&m);
	if (n % 3 == 0 && !lose)
		rig_close_without_leak(fs, image);
	else if (n % 3 == 1)
		must(fs_close(fs) == 0);
	else
		fs_crash(fs);
}

/* What every opening after the first finds must be what the first found. */
static void check_again(const struct life *l, struct crash_disk *image, uint64_t step)
{
	uint64_t hash[2];

	for (unsigned i = 0; i < 2; i++) {
		struct fs *fs = open_image(l, image, false);
		struct model m;

		check_model(l, fs, step, &m);
		hash[i] = model_hash(&m);
		model_fini(&m);
		fs_crash(fs);
		crash_power_on(image, step);
	}
	must(hash[0] == hash[1]);
}

static void another_life(const struct life *before, struct crash_disk *image, uint64_t step,
			 struct chance *c);

static void check_cuts(const struct life *l, struct crash_journal *j, struct chance *c,
		       unsigned cuts)
{
	uint64_t first = crash_journal_begin(j), last = crash_journal_end(j);
	struct crash_cursor *cursor = crash_cursor_new(j);

	for (unsigned i = 0; i < cuts; i++) {
		/* Evenly over the run, a different place in each stretch with each seed. */
		uint64_t at = first + (last - first) * i / cuts;
		struct crash_disk *image;

		at = MIN(last, at + chance_next(c) % MAX((last - first) / cuts, (uint64_t)1));
		image = crash_cursor_image(cursor, at, chance_next(c));
		check_cut(l, image, at, i);
		crash_disk_free(image);
		if (i % 16 == 5) {
			image = crash_cursor_image(cursor, at, chance_next(c));
			check_again(l, image, at);
			crash_disk_free(image);
		}
		if (l->nr < 3 && i % 40 == 17) {
			image = crash_cursor_image(cursor, at, chance_next(c));
			another_life(l, image, at, c);
			crash_disk_free(image);
		}
	}
	crash_cursor_free(cursor);
}

/* From what a power cut left: recovery and more work, cut again anywhere. */
static void another_life(const struct life *before, struct crash_disk *image, uint64_t step,
			 struct chance *c)
{
	struct work w = {.max_len = 0};
	struct life l = {.rig = before->rig,
			 .nr = before->nr + 1,
			 .work = &w,
			 .nr_works = 1,
			 .before = before,
			 .before_cut = step};
	struct crash_journal *j;
	struct fs *fs;

	crash_record(image);
	fs = open_image(before, image, false);
	l.opened = crash_steps(image);
	check_model(before, fs, step, &w.m);
	work_init(&w, chance_next(c), fs, image, WORK_ALL_DIRS);
	w.done[0].begun = 0;
	work_run(&w, 40);
	j = crash_record_end(image);
	work_end(&w);
	fs_crash(fs);
	check_cuts(&l, j, c, l.nr == 2 ? 24 : 12);
	crash_journal_free(j);
	work_fini(&w);
}

static void power_cuts(unsigned level, unsigned ops, unsigned cuts)
{
	struct crash_disk *disk = crash_disk_new(RIG_SHARDS, test_seed);
	struct work w = {.max_len = 0};
	struct life l = {.nr = 1, .work = &w, .nr_works = 1};
	struct crash_journal *j;
	struct chance c = {test_seed + level};
	struct rig rig;
	char why[512] = "";

	rig_init(&rig, level);
	l.rig = &rig;
	if (rig_open(&rig, disk, true, false, &w.fs, why))
		fail_msg("%s", why);
	crash_record(disk);
	work_init(&w, test_seed * 8 + level, w.fs, disk, WORK_ALL_DIRS);
	work_run(&w, ops);
	j = crash_record_end(disk);
	work_end(&w);
	rig_close_without_leak(w.fs, disk);
	check_cuts(&l, j, &c, cuts);
	crash_journal_free(j);
	work_fini(&w);
	crash_disk_free(disk);
	rig_fini(&rig);
}

static void power_cut_on_raid0_leaves_a_prefix(void **state)
{
	(void)state;
	power_cuts(0, test_ops, test_cuts);
}

static void power_cut_on_raid1_leaves_a_prefix(void **state)
{
	(void)state;
	power_cuts(1, test_ops, test_cuts);
}

static void power_cut_on_raid5_leaves_a_prefix(void **state)
{
	(void)state;
	power_cuts(5, test_ops, test_cuts);
}

static void power_cut_on_raid6_leaves_a_prefix(void **state)
{
	(void)state;
	power_cuts(6, test_ops, test_cuts);
}

/* ---- several threads ---- */

static void *thread_work(void *arg)
{
	work_run(arg, test_ops);
	return NULL;
}

/* Threads on a directory each: each finds a prefix of its own. */
static void power_cut_leaves_each_thread_a_prefix(void **state)
{
	struct crash_disk *disk = crash_disk_new(RIG_SHARDS, test_seed);
	struct work w[MODEL_DIRS] = {{.max_len = 0}};
	struct life l = {.nr = 3, .work = w, .nr_works = MODEL_DIRS};
	struct chance c = {test_seed + 99};
	pthread_t thread[MODEL_DIRS];
	struct crash_journal *j;
	struct rig rig;
	struct fs *fs;
	char why[512] = "";

	(void)state;
	rig_init(&rig, 5);
	rig.memory_len = 4 * MIB;
	l.rig = &rig;
	if (rig_open(&rig, disk, true, false, &fs, why))
		fail_msg("%s", why);
	for (unsigned i = 0; i < MODEL_DIRS; i++) {
		struct name_new nn = {.mode = S_IFDIR | 0755};
		struct inode *in;
		char name[16];

		model_dir_name(i, name);
		must(name_make(fs, 1, (struct name){name, strlen(name)}, &nn, &in) == 0);
		w[i].m.dir[i] = true;
		w[i].m.dir_ino[i] = in->ino;
		inode_put(in);
	}
	must(commit_wait(fs, commit_open_txg(fs)) == 0);
	crash_record(disk);
	for (unsigned i = 0; i < MODEL_DIRS; i++) {
		work_init(&w[i], test_seed * 16 + i, fs, disk, i);
		must(!pthread_create(&thread[i], NULL, thread_work, &w[i]));
	}
	for (unsigned i = 0; i < MODEL_DIRS; i++)
		pthread_join(thread[i], NULL);
	j = crash_record_end(disk);
	for (unsigned i = 0; i < MODEL_DIRS; i++)
		work_end(&w[i]);
	rig_close_without_leak(fs, disk);
	check_cuts(&l, j, &c, test_cuts);
	crash_journal_free(j);
	for (unsigned i = 0; i < MODEL_DIRS; i++)
		work_fini(&w[i]);
	crash_disk_free(disk);
	rig_fini(&rig);
}

/* ---- a full volume ---- */

static void empty_it(struct work *w)
{
	for (unsigned d = 0; d < MODEL_DIRS; d++) {
		for (unsigned n = 0; n < MODEL_NAMES; n++) {
			char name[16];

			if (!w->m.name[d][n])
				continue;
			model_file_name(n, name);
			must(name_unlink(w->fs, w->dir[d]->ino, (struct name){name, 2}) == 0);
			model_unlink(&w->m, d, n);
		}
	}
}

/* A file that leaves about @left bytes. */
static void fill_volume(struct fs *fs, uint64_t left)
{
	struct name_new nn = {.mode = S_IFREG | 0600};
	static uint8_t bytes[MIB];
	struct chance c = {5};
	struct raid_space space;
	struct inode *in;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)chance_next(&c);
	must(name_make(fs, 1, (struct name){"x", 1}, &nn, &in) == 0);
	for (uint64_t off = 0; raid_space(fs->raid, &space) == 0 && space.avail > left;
	     off += sizeof(bytes)) {
		must(file_write(in, off, &(struct iovec){bytes, sizeof(bytes)}, 1, false) == 0);
		must(file_sync(in) == 0);
	}
	inode_put(in);
}

/* Whatever was acknowledged stays, and what is removed gives its space back. */
static void power_cut_on_a_full_volume_leaves_a_prefix(void **state)
{
	struct crash_disk *disk = crash_disk_new(RIG_SHARDS, test_seed);
	struct work w = {.max_len = 0};
	struct life l = {.nr = 3, .work = &w, .nr_works = 1};
	struct chance c = {test_seed + 77};
	struct crash_journal *j;
	struct model m;
	struct rig rig;
	char why[512] = "";

	(void)state;
	rig_init(&rig, 5);
	rig.checkpoint_len = 16 * KIB;
	l.rig = &rig;
	if (rig_open(&rig, disk, true, false, &w.fs, why))
		fail_msg("%s", why);
	for (unsigned i = 0; i < RIG_SHARDS; i++)
		crash_capacity(disk, i, 40 * MIB);
	fill_volume(w.fs, 3 * MIB / 2);
	crash_record(disk);
	work_init(&w, test_seed * 32, w.fs, disk, WORK_ALL_DIRS);
	w.full_ok = true;
	for (unsigned i = 0; i < 8 && !w.nr_full; i++)
		work_run(&w, test_ops);
	assert_true(w.nr_full > 0);
	work_run(&w, test_ops);
	j = crash_record_end(disk);
	snprintf(rig_where, sizeof(rig_where), "full, seed %llu, live",
		 (unsigned long long)test_seed);
	check_model(&l, w.fs, UINT64_MAX, &m);
	model_fini(&m);
	check_cuts(&l, j, &c, test_cuts);
	crash_journal_free(j);
	/* Empty, it takes as much again. */
	empty_it(&w);
	must(commit_wait(w.fs, commit_open_txg(w.fs)) == 0);
	work_end(&w);
	rig_close_without_leak(w.fs, disk);
	work_fini(&w);
	crash_disk_free(disk);
	rig_fini(&rig);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_cut_on_raid0_leaves_a_prefix),
		cmocka_unit_test(power_cut_on_raid1_leaves_a_prefix),
		cmocka_unit_test(power_cut_on_raid5_leaves_a_prefix),
		cmocka_unit_test(power_cut_on_raid6_leaves_a_prefix),
		cmocka_unit_test(power_cut_leaves_each_thread_a_prefix),
		cmocka_unit_test(power_cut_on_a_full_volume_leaves_a_prefix),
	};

	print_message("seed %llu\n", (unsigned long long)test_seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_crash_power [SEED [OPERATIONS [CUTS [SEEDS]]]]; without a seed, a fixed one and a random one. */
int main(int argc, char **argv)
{
	unsigned nr_seeds = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 0) : 1;
	int failed = 0;

	log_set_level(LOG_LEVEL_ERROR);
	if (argc > 2)
		test_ops = (unsigned)strtoul(argv[2], NULL, 0);
	if (argc > 3)
		test_cuts = (unsigned)strtoul(argv[3], NULL, 0);
	test_seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	for (unsigned i = 0; i < nr_seeds; i++, test_seed++)
		failed += run_all();
	if (argc == 1) {
		test_seed = (uint64_t)time(NULL);
		failed += run_all();
	}
	print_message("%llu cuts\n", (unsigned long long)nr_cuts);
	return failed;
}
