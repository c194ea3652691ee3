/* Data written once more: what is, what is left alone, and that nobody sees anything of it but the space. */
#include "tests/fs/fs_bytes.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <time.h>

#include "conf/log.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/file.h"
#include "fs/fsck.h"
#include "fs/name.h"
#include "fs/codec_policy.h"
#include "fs/recompress.h"
#include "fs/writeback.h"
#include "fs/xattr.h"

static struct fs_make make;

/* A GPU at once, so that what is encoded can be made to fail. */
static atomic_int gpu_err;

static bool gpu_offer(struct codec_gpu *none, struct codec_job *j)
{
	(void)none;
	j->done(j);
	return true;
}

static int gpu_complete(struct codec_job *j)
{
	int err = atomic_load(&gpu_err);

	return err ? err : codec_encode(j);
}

static void up(bool rdonly)
{
	struct fs_params p = {.gpu_threshold = UINT64_MAX,
			      .offer = gpu_offer,
			      .complete = gpu_complete,
			      .memory_len = 8 * MIB,
			      .cache_len = 4 * MIB,
			      .threads = 1};

	fs_make_up_with(&make, p, rdonly);
}

static int setup(void **state)
{
	(void)state;
	atomic_store(&gpu_err, 0);
	fs_make_init(&make, 1);
	fs_make_down(&make);
	up(false);
	return 0;
}

static void say(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "fsck: %s\n", line);
}

static void volume_is_whole(void)
{
	const char *paths[1] = {make.shard[0]};
	struct raid_params rp = {.ops = store_sync(),
				 .paths = paths,
				 .nr_paths = 1,
				 .want = {.level = RAID_LEVEL_ANY},
				 .rdonly = true};
	struct fsck_result result = {0};
	struct fsck_params p = {.data = true, .say = say, .work_dir = make.dir};
	char why[512] = "";

	if (raid_open(&rp, &p.raid, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(fsck_run(&p, &result), 0);
	assert_int_equal(result.nr_problems + result.nr_bad_chunks, 0);
	raid_close(p.raid, false);
}

static int teardown(void **state)
{
	(void)state;
	atomic_store(&gpu_err, 0);
	if (make.fs)
		fs_make_down(&make);
	volume_is_whole();
	fs_make_fini(&make);
	return 0;
}

static struct inode *file(const char *name)
{
	return fs_bytes_file(&make, name);
}

/* Small changes of 16-bit numbers: they compress by their neighbours. */
static uint8_t byte_at(uint64_t off, unsigned salt)
{
	uint64_t i = off / 2, v = 1000 + i / 3 + i * i % 11;

	(void)salt;
	return (uint8_t)(off % 2 ? v >> 8 : v);
}

static void write_at(struct inode *in, uint64_t off, size_t len)
{
	fs_bytes_write(in, off, len, byte_at, 0);
}

static void reads(struct inode *in, uint64_t off, size_t len)
{
	fs_bytes_check(in, off, len, byte_at, 0);
}

static void policy(struct inode *in, const char *value)
{
	assert_int_equal(xattr_set(in, POLICY_XATTR, value, strlen(value), 0, false), 0);
}

static struct recompress_stat wait_all(void)
{
	struct recompress_stat st;

	for (;;) {
		recompress_stat_get(make.fs->recompress, &st);
		if (!st.nr_queued)
			return st;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

static struct recompress_stat recompress(struct inode *in)
{
	assert_int_equal(recompress_post(in), 0);
	return wait_all();
}

/* Entries, the bytes that their extents take, and a number made of all generations. */
struct map {
	unsigned nr;
	uint64_t stored, mapped, gens;
};

static struct map map_of(struct inode *in)
{
	struct map map = {0};
	struct index_txn *t;
	struct map_entry m;
	struct extent e;
	int err;

	assert_int_equal(index_read(in->fs->index, &t), 0);
	for (err = extent_find(t, in->ino, 0, &m); !err; err = extent_after(t, in->ino, &m, &m)) {
		assert_int_equal(extent_load(t, m.gen, &e), 0);
		map.nr++;
		map.stored += e.loc.len;
		map.mapped += m.len;
		map.gens = map.gens * 31 + m.gen;
	}
	index_read_end(t);
	return map;
}

/* ---- tests ---- */

static void pieces_become_one(void **state)
{
	struct inode *in = file("pieces");
	struct recompress_stat st;
	struct attr before, after;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		write_at(in, i * 100 * KIB, 100 * KIB);
		assert_int_equal(writeback_flush(in, 0, UINT64_MAX), 0);
	}
	assert_int_equal(file_sync(in), 0);
	inode_attr(in, &before);
	assert_true(map_of(in).nr >= 20);
	st = recompress(in);
	assert_int_equal(st.nr_done, 1);
	assert_int_equal(st.nr_failed, 0);
	assert_int_equal(st.raw_bytes, 2000 * KIB);
	assert_int_equal(st.nr_extents, 2);
	assert_int_equal(map_of(in).nr, 2);
	assert_int_equal(st.stored_after, map_of(in).stored);
	inode_attr(in, &after);
	assert_memory_equal(&before.mtime, &after.mtime, sizeof(after.mtime));
	assert_memory_equal(&before.ctime, &after.ctime, sizeof(after.ctime));
	assert_int_equal(before.size, after.size);
	assert_int_equal(before.mapped, after.mapped);
	reads(in, 0, 2000 * KIB);
	/* Only what is worth it. */
	st = recompress(in);
	assert_int_equal(st.nr_done, 2);
	assert_int_equal(st.nr_extents, 2);
	assert_int_equal(file_sync(in), 0);
	inode_put(in);
}

static void the_policy_counts(void **state)
{
	struct inode *in = file("policy");
	struct map raw, small, plain;
	unsigned nr = 0;

	(void)state;
	policy(in, "none");
	write_at(in, 0, 3 * MIB);
	assert_int_equal(file_sync(in), 0);
	raw = map_of(in);
	assert_true(raw.stored >= 3 * MIB);
	nr = (unsigned)recompress(in).nr_extents;
	assert_int_equal(nr, 0);
	assert_int_equal(map_of(in).gens, raw.gens);
	policy(in, "auto");
	assert_int_equal(recompress(in).nr_extents, nr + 3);
	small = map_of(in);
	assert_true(small.stored < raw.stored / 2);
	reads(in, 0, 3 * MIB);
	/* Longer, but that is what was asked for. */
	policy(in, "zstd");
	assert_int_equal(recompress(in).nr_extents, nr + 6);
	plain = map_of(in);
	assert_true(plain.stored > small.stored);
	assert_int_equal(recompress(in).nr_extents, nr + 6);
	policy(in, "none");
	assert_int_equal(recompress(in).nr_extents, nr + 9);
	assert_int_equal(map_of(in).stored, raw.stored);
	reads(in, 0, 3 * MIB);
	inode_put(in);
	fs_make_down(&make);
	up(false);
	in = file("policy");
	reads(in, 0, 3 * MIB);
	inode_put(in);
}

static void holes_and_tiny_files_stay(void **state)
{
	struct inode *in = file("holes"), *tiny = file("tiny");
	struct map map;

	(void)state;
	write_at(in, 0, 3 * MIB);
	write_at(tiny, 0, 100);
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(file_fallocate(in, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100 * KIB,
					100 * KIB),
			 0);
	assert_int_equal(file_fallocate(in, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MIB, MIB),
			 0);
	map = map_of(in);
	/* Both halves of the first extent are written without what is in the hole. */
	assert_int_equal(recompress(in).nr_extents, 2);
	assert_int_equal(map_of(in).mapped, map.mapped);
	assert_int_equal(map_of(in).nr, 3);
	reads(in, 0, 100 * KIB);
	reads(in, 200 * KIB, 824 * KIB);
	reads(in, 2 * MIB, MIB);
	assert_int_equal(recompress(tiny).nr_extents, 2);
	reads(tiny, 0, 100);
	inode_put(in);
	inode_put(tiny);
}

static void what_is_shared_stays_shared(void **state)
{
	struct inode *in = file("one"), *other = file("two");
	uint64_t done, stored;

	(void)state;
	policy(in, "none");
	write_at(in, 0, 2 * MIB);
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(file_copy(in, 0, other, 0, MIB, &done), 0);
	assert_int_equal(done, MIB);
	stored = atomic_load(&make.fs->n.stored_live);
	policy(in, "auto");
	assert_int_equal(recompress(in).nr_extents, 1);
	assert_true(atomic_load(&make.fs->n.stored_live) < stored);
	assert_true(atomic_load(&make.fs->n.stored_live) >= MIB);
	reads(in, 0, 2 * MIB);
	reads(other, 0, MIB);
	inode_put(in);
	inode_put(other);
}

static void what_was_overwritten_is_given_back(void **state)
{
	struct inode *in = file("over");
	uint64_t live;

	(void)state;
	policy(in, "none");
	write_at(in, 0, MIB);
	assert_int_equal(file_sync(in), 0);
	write_at(in, 300 * KIB, 500 * KIB);
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(map_of(in).nr, 3);
	live = atomic_load(&make.fs->n.raw_live);
	assert_int_equal(live, MIB + 500 * KIB);
	assert_int_equal(recompress(in).nr_extents, 1);
	assert_int_equal(map_of(in).nr, 1);
	assert_int_equal(atomic_load(&make.fs->n.raw_live), MIB);
	reads(in, 0, MIB);
	inode_put(in);
}

static void only_files_of_a_writable_volume(void **state)
{
	struct inode *in = file("file"), *root;

	(void)state;
	write_at(in, 0, MIB);
	assert_int_equal(inode_get(make.fs, NULL, 1, &root), 0);
	assert_int_equal(recompress_post(root), -EINVAL);
	inode_put(root);
	inode_put(in);
	fs_make_down(&make);
	up(true);
	in = file("file");
	assert_int_equal(recompress_post(in), -EROFS);
	inode_put(in);
}

static void deleted_files_are_passed_over(void **state)
{
	struct recompress_stat st;
	char name[8];

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		struct inode *in;

		snprintf(name, sizeof(name), "f%u", i);
		in = file(name);
		policy(in, "none");
		write_at(in, 0, MIB / 4);
		policy(in, "auto");
		assert_int_equal(recompress_post(in), 0);
		inode_put(in);
		if (i >= 10) {
			snprintf(name, sizeof(name), "f%u", i - 10);
			assert_int_equal(name_unlink(make.fs, 1, (struct name){name, strlen(name)}),
					 0);
		}
	}
	st = wait_all();
	assert_int_equal(st.nr_done, 30);
	assert_int_equal(st.nr_failed, 0);
	/* One that is open still. */
	{
		struct inode *in = file("f29");

		assert_int_equal(file_opened(in), 0);
		assert_int_equal(name_unlink(make.fs, 1, (struct name){"f29", 3}), 0);
		assert_int_equal(recompress(in).nr_done, 31);
		reads(in, 0, MIB / 4);
		file_closed(in);
		inode_put(in);
	}
}

static void a_failure_leaves_all_as_it_was(void **state)
{
	struct inode *in = file("fails");
	struct recompress_stat st;
	struct writeback_stat wb;
	struct map map;

	(void)state;
	policy(in, "none");
	write_at(in, 0, 2 * MIB);
	assert_int_equal(file_sync(in), 0);
	map = map_of(in);
	policy(in, "auto");
	make.fs->p.gpu_threshold = 0;
	atomic_store(&gpu_err, -EIO);
	log_set_level(LOG_LEVEL_ERROR - 1);
	st = recompress(in);
	log_set_level(LOG_LEVEL_NOTE);
	assert_int_equal(st.nr_failed, 1);
	assert_int_equal(map_of(in).gens, map.gens);
	reads(in, 0, 2 * MIB);
	/* No commit has to suffer for it. */
	writeback_stat_get(make.fs, &wb);
	assert_int_equal(wb.nr_windows, 0);
	assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
	atomic_store(&gpu_err, 0);
	st = recompress(in);
	assert_int_equal(st.nr_failed, 1);
	assert_int_equal(st.nr_done, 1);
	assert_true(map_of(in).stored < map.stored);
	reads(in, 0, 2 * MIB);
	inode_put(in);
}

static void a_crash_leaves_old_or_new(void **state)
{
	struct inode *in = file("crash");

	(void)state;
	policy(in, "none");
	write_at(in, 0, 6 * MIB);
	policy(in, "auto");
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(recompress_post(in), 0);
	for (unsigned i = 0; i < 6; i++) {
		nanosleep(&(struct timespec){.tv_nsec = i * 3000000}, NULL);
		if (i % 2)
			assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
		inode_put(in);
		fs_crash(make.fs);
		up(false);
		in = file("crash");
		reads(in, 0, 6 * MIB);
		policy(in, i % 2 ? "auto" : "none");
		assert_int_equal(recompress_post(in), 0);
	}
	inode_put(in);
}

static atomic_bool writers_stop;

static void *writer(void *arg)
{
	struct inode *in = arg;
	unsigned seed = (unsigned)in->ino;

	while (!atomic_load(&writers_stop)) {
		uint64_t off = (uint64_t)rand_r(&seed) % (4 * MIB);
		size_t len = 1 + (size_t)rand_r(&seed) % (rand_r(&seed) % 2 ? 5000 : 300000);

		switch (rand_r(&seed) % 8) {
		case 0:
			assert_int_equal(file_sync(in), 0);
			break;
		case 1:
			/* What is cut off is written again before anybody else looks. */
			assert_int_equal(file_truncate(in, 4 * MIB, false), 0);
			write_at(in, 4 * MIB, MIB);
			break;
		default:
			write_at(in, off, len);
		}
	}
	return NULL;
}

static void writers_win(void **state)
{
	struct inode *in[2];
	pthread_t thread[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		in[i] = file((char[]){'w', (char)('0' + i), 0});
		write_at(in[i], 0, 5 * MIB);
		assert_int_equal(pthread_create(&thread[i], NULL, writer, in[i]), 0);
	}
	for (unsigned n = 0; n < 40; n++) {
		static const char *const policies[] = {"none", "auto", "zstd"};

		policy(in[n % 2], policies[n % 3]);
		assert_int_equal(recompress_post(in[n % 2]), 0);
		reads(in[n % 2], 0, 4 * MIB);
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	/* Those who always find somebody writing give up after a while. */
	nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
	atomic_store(&writers_stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(wait_all().nr_failed, 0);
	for (unsigned i = 0; i < 2; i++) {
		reads(in[i], 0, 5 * MIB);
		inode_put(in[i]);
	}
}

static void a_stop_forgets_the_queue(void **state)
{
	struct inode *in = file("stop");

	(void)state;
	policy(in, "none");
	write_at(in, 0, 6 * MIB);
	policy(in, "auto");
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(recompress_post(in), 0);
	inode_put(in);
	fs_make_down(&make);
	up(false);
	in = file("stop");
	reads(in, 0, 6 * MIB);
	assert_int_equal(wait_all().nr_done, 0);
	inode_put(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pieces_become_one, setup, teardown),
		cmocka_unit_test_setup_teardown(the_policy_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(holes_and_tiny_files_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_shared_stays_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_overwritten_is_given_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(only_files_of_a_writable_volume, setup, teardown),
		cmocka_unit_test_setup_teardown(deleted_files_are_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failure_leaves_all_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crash_leaves_old_or_new, setup, teardown),
		cmocka_unit_test_setup_teardown(writers_win, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stop_forgets_the_queue, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
