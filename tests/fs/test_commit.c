/* Groups and commits: what a batch holds when the next group changes the same things while the data of the group before
 * is still being written. The store's writes can be held back, so that the moment lasts as long as a test wants. */
#include "tests/fs/fs_make.h"

#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "conf/log.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/file.h"
#include "fs/fsck.h"
#include "fs/name.h"
#include "fs/writeback.h"

/* ---- a store whose writes wait, or fail ---- */

static struct {
	struct store_ops ops;
	const struct store_ops *base;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool held;	     /* guarded by lock */
	unsigned nr_waiting; /* guarded by lock */
	int err;	     /* of writes; guarded by lock */
} slow = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static int slow_attach(const struct store_ops *ops, const char *path, bool rdonly,
		       struct store **out)
{
	(void)ops;
	return slow.base->attach(slow.base, path, rdonly, out);
}

static int slow_run(const struct store_ops *ops, struct store_io *io, unsigned nr)
{
	int err = 0;

	(void)ops;
	if (io[0].op == STORE_WRITE) {
		pthread_mutex_lock(&slow.lock);
		slow.nr_waiting++;
		pthread_cond_broadcast(&slow.cond);
		while (slow.held)
			pthread_cond_wait(&slow.cond, &slow.lock);
		slow.nr_waiting--;
		err = slow.err;
		pthread_mutex_unlock(&slow.lock);
	}
	for (unsigned i = 0; err && i < nr; i++)
		io[i].res = err;
	return err ? err : slow.base->run(slow.base, io, nr);
}

static void slow_set(bool held, int err)
{
	pthread_mutex_lock(&slow.lock);
	slow.held = held;
	slow.err = err;
	pthread_cond_broadcast(&slow.cond);
	pthread_mutex_unlock(&slow.lock);
}

static void slow_wait(void)
{
	pthread_mutex_lock(&slow.lock);
	while (!slow.nr_waiting)
		pthread_cond_wait(&slow.cond, &slow.lock);
	pthread_mutex_unlock(&slow.lock);
}

/* ---- a volume on it ---- */

static struct fs_make make;
static uint64_t checkpoint_len; /* 0: by the volume's size */

static void up(void)
{
	const char *paths[1] = {make.shard[0]};
	struct raid_params rp = {
		.ops = &slow.ops, .paths = paths, .nr_paths = 1, .want = {.level = RAID_LEVEL_ANY}};
	struct fs_params p = {.state_dir = make.state,
			      .codec = {.mode = CODEC_AUTO, .level = 1},
			      .memory_len = 32 * MIB,
			      .cache_len = 16 * MIB,
			      .checkpoint_len = checkpoint_len,
			      .threads = 2};
	char why[512] = "";

	if (raid_open(&rp, &p.raid, why, sizeof(why)) || fs_open(&p, &make.fs, why, sizeof(why)))
		fail_msg("%s", why);
}

static int setup(void **state)
{
	(void)state;
	slow.base = store_sync();
	slow.ops = *slow.base;
	slow.ops.attach = slow_attach;
	slow.ops.run = slow_run;
	slow_set(false, 0);
	checkpoint_len = 0;
	fs_make_init(&make, 1);
	fs_make_down(&make);
	up();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	slow_set(false, 0);
	fs_make_fini(&make);
	return 0;
}

static void again(void)
{
	fs_crash(make.fs);
	up();
}

static struct inode *file(const char *name)
{
	struct name_new nn = {.mode = S_IFREG | 0600};
	struct inode *in;
	int err = name_lookup(make.fs, 1, (struct name){name, strlen(name)}, &in);

	if (err == -ENOENT)
		err = name_make(make.fs, 1, (struct name){name, strlen(name)}, &nn, &in);
	assert_int_equal(err, 0);
	return in;
}

static void put(const char *name, uint64_t off, size_t len, uint8_t seed)
{
	struct inode *in = file(name);
	uint8_t *p = malloc(len);

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)((i * 2654435761u) >> 13 ^ seed);
	assert_int_equal(file_write(in, off, &(struct iovec){p, len}, 1, false), 0);
	free(p);
	inode_put(in);
}

/* The file's bytes from @off on are those of put(@seed) from @at on. */
static void has(const char *name, uint64_t off, size_t len, size_t at, uint8_t seed)
{
	struct inode *in = file(name);
	struct file_read r;

	assert_int_equal(file_peek(in, off, len, &r), 0);
	assert_int_equal(r.len, len);
	for (unsigned i = 0; i < r.nr; i++) {
		const uint8_t *p = r.iov[i].iov_base;

		for (size_t k = 0; k < r.iov[i].iov_len; k++, at++)
			assert_int_equal(p[k], (uint8_t)((at * 2654435761u) >> 13 ^ seed));
	}
	file_read_done(make.fs, &r);
	inode_put(in);
}

static void copy(const char *from, const char *to, uint64_t to_off, uint64_t len)
{
	struct inode *src = file(from), *dst = file(to);
	uint64_t done;

	assert_int_equal(file_copy(src, 0, dst, to_off, len, &done), 0);
	assert_int_equal(done, len);
	inode_put(src);
	inode_put(dst);
}

static void punch(const char *name, uint64_t off, uint64_t len)
{
	struct inode *in = file(name);

	assert_int_equal(file_fallocate(in, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len),
			 0);
	inode_put(in);
}

static void sync_all(void)
{
	assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
}

static void say(void *arg, const char *line)
{
	(void)arg;
	print_error("fsck: %s\n", line);
}

static void clean(void)
{
	struct fsck_params p = {.say = say};
	struct fsck_result out;

	assert_int_equal(fsck_index(make.fs->index, &p, &out), 0);
	assert_int_equal(out.nr_problems, 0);
}

/* Close the group and come back with its data held at the store. */
static uint64_t freeze(void)
{
	uint64_t txg = commit_open_txg(make.fs);

	commit_kick(make.fs);
	while (commit_open_txg(make.fs) == txg)
		usleep(100);
	slow_wait();
	return txg;
}

/* Let the group become durable, and nothing after it. */
static void finish(uint64_t txg)
{
	slow_set(false, 0);
	while (!commit_durable(make.fs, txg))
		usleep(100);
}

/* ---- two groups ---- */

/* The flush of group N drops one reference, group N + 1 the other: N's batch must keep the extent. */
static void closed_group_keeps_what_the_open_one_lets_go(void **state)
{
	uint64_t txg;

	(void)state;
	put("a", 0, MIB, 1);
	sync_all();
	copy("a", "b", 0, MIB);
	sync_all();
	slow_set(true, 0);
	put("a", 0, MIB, 2);
	txg = freeze();
	punch("b", 0, MIB);
	finish(txg);
	again();
	has("b", 0, MIB, 0, 1);
	has("a", 0, MIB, 0, 2);
	clean();
}

/* The other way round: N + 1 makes the reference that N's flush leaves as the only one. */
static void open_group_keeps_what_the_closed_one_lets_go(void **state)
{
	uint64_t txg;

	(void)state;
	put("a", 0, MIB, 1);
	sync_all();
	copy("a", "b", 0, MIB);
	sync_all();
	slow_set(true, 0);
	put("a", 0, MIB, 2);
	txg = freeze();
	copy("b", "c", 0, MIB);
	punch("b", 0, MIB);
	finish(txg);
	again();
	has("b", 0, MIB, 0, 1);
	clean();

	copy("b", "a", 0, MIB);
	sync_all();
	slow_set(true, 0);
	put("a", 0, MIB, 4);
	txg = freeze();
	copy("b", "c", 0, MIB);
	punch("b", 0, MIB);
	finish(txg);
	sync_all();
	again();
	has("c", 0, MIB, 0, 1);
	clean();
	punch("c", 0, MIB);
	punch("a", 0, MIB);
	sync_all();
	assert_int_equal(atomic_load(&make.fs->n.nr_extents), 0);
	clean();
}

/* A shared piece that lies across two windows is two entries: each window's flush has its own. */
static void neighbours_in_a_file_do_not_meet(void **state)
{
	uint64_t txg;

	(void)state;
	put("a", 0, MIB, 1);
	sync_all();
	copy("a", "b", MIB / 2, MIB);
	sync_all();
	slow_set(true, 0);
	put("b", 0, MIB - 5000, 2);
	txg = freeze();
	punch("b", MIB + 100000, 100000);
	finish(txg);
	again();
	has("b", MIB - 5000, MIB / 2 + 5000, MIB / 2 - 5000, 1);
	clean();

	slow_set(true, 0);
	put("b", 0, MIB - 5000, 3);
	txg = freeze();
	punch("b", MIB + 100000, 100000);
	finish(txg);
	sync_all();
	again();
	has("b", 0, MIB - 5000, 0, 3);
	has("b", MIB + 200000, MIB / 2 - 200000, MIB / 2 + 200000, 1);
	clean();
}

/* Rounding a ragged window out goes by what the group has, not by the size that the next one gave. */
static void window_is_not_rounded_out_to_a_later_size(void **state)
{
	struct inode *in;
	uint64_t txg;

	(void)state;
	for (unsigned i = 0; i < 28; i++)
		put("a", 5000 + i * 10000, 100, 1);
	slow_set(true, 0);
	/* Both workers wait, so that the window is looked at after the truncation. */
	put("hold", 0, 2 * MIB, 7);
	in = file("a");
	txg = freeze();
	assert_int_equal(file_truncate(in, 3 * MIB, false), 0);
	inode_put(in);
	finish(txg);
	again();
	has("a", 5000 + 27 * 10000, 100, 0, 1);
	clean();
}

/* ---- errors ---- */

static void commit_that_failed_is_done_again_whole(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	put("a", 0, 300000, 1);
	slow_set(false, -ENOMEM);
	assert_true(commit_wait(make.fs, commit_open_txg(make.fs)) < 0);
	put("b", 0, 300000, 2);
	has("a", 0, 300000, 0, 1);
	slow_set(false, 0);
	sync_all();
	again();
	has("a", 0, 300000, 0, 1);
	has("b", 0, 300000, 0, 2);
	clean();
}

/* ---- joining, numbers ---- */

static void *fsyncs(void *arg)
{
	char name[2] = {(char)('a' + (intptr_t)arg), 0};

	for (unsigned i = 0; i < 30; i++) {
		struct inode *in = file(name);
		uint8_t byte = (uint8_t)i;
		int err = file_write(in, i, &(struct iovec){&byte, 1}, 1, false);

		if (!err)
			err = file_sync(in);
		inode_put(in);
		if (err)
			return arg;
	}
	return NULL;
}

static void fsyncs_of_many_threads_join(void **state)
{
	struct commit_stat before, after;
	pthread_t thread[8];

	(void)state;
	commit_stat_get(make.fs, &before);
	for (intptr_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, fsyncs, (void *)i), 0);
	for (unsigned i = 0; i < 8; i++) {
		void *failed;

		pthread_join(thread[i], &failed);
		assert_null(failed);
	}
	commit_stat_get(make.fs, &after);
	assert_true(after.nr_commits - before.nr_commits < 8 * 30);
	again();
	for (char c = 'a'; c < 'a' + 8; c++) {
		struct inode *in = file((char[]){c, 0});

		assert_int_equal(in->attr.size, 30);
		inode_put(in);
	}
}

static void numbers_are_not_handed_out_twice(void **state)
{
	uint64_t ino, gen;
	struct inode *in;

	(void)state;
	in = file("a");
	inode_put(in);
	sync_all();
	in = file("lost");
	ino = in->ino;
	inode_put(in);
	put("lost", 0, MIB, 1);
	while (atomic_load(&make.fs->n.raw_in) < MIB)
		usleep(100);
	gen = atomic_load(&make.fs->next_gen);
	again();
	in = file("new");
	assert_true(in->ino > ino);
	inode_put(in);
	assert_true(atomic_load(&make.fs->next_gen) >= gen);
}

/* What a flush changes in attributes beside the freeze is put by the next one. */
static void mapped_bytes_are_recorded(void **state)
{
	struct inode *in = file("a");
	struct index_txn *t;
	struct attr a;

	(void)state;
	put("a", 0, 300000, 1);
	sync_all();
	sync_all();
	assert_int_equal(index_read(make.fs->index, &t), 0);
	assert_int_equal(attr_load(t, in->ino, &a), 0);
	index_read_end(t);
	assert_int_equal(a.mapped, 300000);
	inode_put(in);
}

/* One that asked in the moment between the begin of a commit and its freeze waited for ever, if nobody changed anything:
 * the commit that it asked for was the one under way. */
static void whoever_waits_for_room_gets_a_commit(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		uint64_t until = mono_ns() + i % 200 * 250;

		commit_kick(make.fs);
		while (mono_ns() < until)
			;
		assert_int_equal(commit_wait_freed(make.fs), 0);
	}
}

static atomic_uint nr_put;

static void *put_tiny(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 2000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "tiny%u", i);
		put(name, 0, 4096, (uint8_t)i);
		nr_put = i + 1;
	}
	return NULL;
}

/* The bytes of tiny files are in the batch, which must fit into the log of a volume that is nearly full. */
static void a_group_does_not_grow_without_end(void **state)
{
	struct commit_stat st;
	pthread_t writer;
	unsigned before;

	(void)state;
	checkpoint_len = MIB;
	again();
	put("big", 0, 300000, 1);
	slow_set(true, 0);
	freeze();
	nr_put = 0;
	assert_int_equal(pthread_create(&writer, NULL, put_tiny, NULL), 0);
	/* Until it stands still. */
	do {
		before = nr_put;
		usleep(300000);
	} while (nr_put > before || !before);
	assert_in_range(nr_put, 50, 300);
	slow_set(false, 0);
	while (nr_put < 2000) {
		commit_stat_get(make.fs, &st);
		assert_true(st.last_bytes < 2 * MIB);
		usleep(100);
	}
	pthread_join(writer, NULL);
	sync_all();
	again();
	for (unsigned i = 0; i < 2000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "tiny%u", i);
		has(name, 0, 4096, 0, (uint8_t)i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(closed_group_keeps_what_the_open_one_lets_go, setup,
						teardown),
		cmocka_unit_test_setup_teardown(open_group_keeps_what_the_closed_one_lets_go, setup,
						teardown),
		cmocka_unit_test_setup_teardown(neighbours_in_a_file_do_not_meet, setup, teardown),
		cmocka_unit_test_setup_teardown(window_is_not_rounded_out_to_a_later_size, setup,
						teardown),
		cmocka_unit_test_setup_teardown(commit_that_failed_is_done_again_whole, setup,
						teardown),
		cmocka_unit_test_setup_teardown(fsyncs_of_many_threads_join, setup, teardown),
		cmocka_unit_test_setup_teardown(numbers_are_not_handed_out_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(mapped_bytes_are_recorded, setup, teardown),
		cmocka_unit_test_setup_teardown(whoever_waits_for_room_gets_a_commit, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_group_does_not_grow_without_end, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
