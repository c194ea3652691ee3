/* Small pieces of data on their way to the shards: what shares an extent, what is left of it when parts of it go, and when
 * a file in pieces is made whole. */
#include "tests/fs/fs_bytes.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <time.h>

#include "conf/log.h"
#include "fs/arena.h"
#include "fs/codec_policy.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/file.h"
#include "fs/fsck.h"
#include "fs/name.h"
#include "fs/recompress.h"
#include "fs/writeback.h"
#include "fs/xattr.h"

static struct fs_make make;

static void up(unsigned ragged_ms)
{
	struct fs_params p = {
		.memory_len = 32 * MIB, .cache_len = 4 * MIB, .threads = 2, .ragged_ms = ragged_ms};

	fs_make_up_with(&make, p, false);
}

static int setup(void **state)
{
	(void)state;
	fs_make_init(&make, 1);
	fs_make_down(&make);
	up(0);
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

/* Different for each salt at each offset, and no numbers. */
static uint8_t byte_at(uint64_t off, unsigned salt)
{
	return (uint8_t)((off * 2654435761u >> 13) + 31 * salt);
}

static void write_at(struct inode *in, uint64_t off, size_t len, unsigned salt)
{
	fs_bytes_write(in, off, len, byte_at, salt);
}

static void reads(struct inode *in, uint64_t off, size_t len, unsigned salt)
{
	fs_bytes_check(in, off, len, byte_at, salt);
}

static void commit(void)
{
	assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
}

static uint64_t extents(void)
{
	return atomic_load(&make.fs->n.nr_extents);
}

static uint64_t used(void)
{
	struct raid_space sp;

	assert_int_equal(raid_space(make.fs->raid, &sp), 0);
	return sp.used;
}

/* Every third block of 4 KiB from the second on. */
#define NR_HOLES 80u

static void overwrite(struct inode *in, unsigned salt)
{
	/* From both ends, so that they come in no order. */
	for (unsigned i = 0; i < NR_HOLES; i++) {
		unsigned k = i % 2 ? NR_HOLES - 1 - i / 2 : i / 2;

		write_at(in, 4096 + k * 3 * 4096, 4096, salt);
	}
}

static void overwritten(struct inode *in, unsigned below, unsigned above)
{
	for (unsigned k = 0; k < NR_HOLES; k++) {
		reads(in, k * 3 * 4096, 4096, below);
		reads(in, 4096 + k * 3 * 4096, 4096, above);
		reads(in, 8192 + k * 3 * 4096, 4096, below);
	}
	reads(in, NR_HOLES * 3 * 4096, MIB - NR_HOLES * 3 * 4096, below);
}

static void small_overwrites_become_one_extent(void **state)
{
	struct inode *in = file("f");
	struct writeback_stat before, after;

	(void)state;
	write_at(in, 0, MIB, 1);
	commit();
	assert_int_equal(extents(), 1);
	writeback_stat_get(make.fs, &before);
	overwrite(in, 2);
	/* However many there are, nothing was written for want of a place in a list. */
	writeback_stat_get(make.fs, &after);
	assert_int_equal(after.nr_flushed, before.nr_flushed);
	overwritten(in, 1, 2);
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(extents(), 2);
	overwritten(in, 1, 2);
	inode_put(in);
	fs_crash(make.fs);
	up(0);
	in = file("f");
	overwritten(in, 1, 2);
	/* The same places again: what they were leaves. */
	overwrite(in, 3);
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(extents(), 2);
	overwritten(in, 1, 3);
	/* Parts of parts: they lie across the pieces that there are. */
	write_at(in, 2000, 5000, 1);
	write_at(in, 20000, 30, 1);
	write_at(in, 30000, 20000, 1);
	write_at(in, NR_HOLES * 3 * 4096 - 1000, 2000, 1);
	assert_int_equal(file_sync(in), 0);
	reads(in, 0, 7000, 1);
	reads(in, 7000, 1192, 3);
	reads(in, 30000, 20000, 1);
	assert_int_equal(file_truncate(in, 10000, false), 0);
	assert_int_equal(file_truncate(in, 0, false), 0);
	commit();
	assert_int_equal(extents(), 0);
	inode_put(in);
}

/* All that is free of the pool. */
struct held {
	uint8_t *p[64];
	size_t len[64];
	unsigned nr;
};

static void hold_pool(struct held *h)
{
	h->nr = 0;
	for (size_t len = ARENA_PIECE_MAX; len >= 4096; len /= 2) {
		while ((h->p[h->nr] = arena_take(make.fs->arena, len))) {
			h->len[h->nr++] = len;
			assert_true(h->nr < ARRAY_LEN(h->p));
		}
	}
}

static void give_pool(struct held *h)
{
	while (h->nr--)
		arena_give(make.fs->arena, h->p[h->nr], h->len[h->nr]);
}

/* Also when the pool is full. */
static void many_pieces_are_written_as_one(void **state)
{
	struct inode *in = file("f");
	struct held held;

	(void)state;
	write_at(in, 0, MIB, 1);
	commit();
	for (unsigned i = 0; i < 80; i++) {
		write_at(in, i * 8192 + 100, 50, 2);
		hold_pool(&held);
		commit();
		give_pool(&held);
		/* Two pieces at least for each, and each in an extent of its own. */
		assert_true(extents() <= 66);
	}
	assert_true(extents() < 40);
	for (unsigned i = 0; i < 80; i++) {
		reads(in, i * 8192, 100, 1);
		reads(in, i * 8192 + 100, 50, 2);
		reads(in, i * 8192 + 150, 8192 - 150, 1);
	}
	inode_put(in);
}

static void mostly_new_windows_are_written_whole(void **state)
{
	struct inode *in = file("f");

	(void)state;
	write_at(in, 0, MIB, 1);
	commit();
	for (unsigned i = 0; i < 16; i++)
		write_at(in, i * 65536, 60000, 2);
	commit();
	assert_int_equal(extents(), 1);
	for (unsigned i = 0; i < 16; i++) {
		reads(in, i * 65536, 60000, 2);
		reads(in, i * 65536 + 60000, 65536 - 60000, 1);
	}
	inode_put(in);
}

static uint64_t dirty(void)
{
	struct writeback_stat st;

	writeback_stat_get(make.fs, &st);
	return st.dirty_bytes;
}

static uint8_t zero_at(uint64_t off, unsigned salt)
{
	(void)off;
	(void)salt;
	return 0;
}

/* Of 40 windows in a pool that has room for 24 whole ones. */
static void far_writes_take_no_more_memory_than_their_bytes(void **state)
{
	struct writeback_stat st;
	struct inode *in = file("f");

	(void)state;
	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i < 40; i++)
			write_at(in, i * MIB + (round * 5 + i) % 16 * 65536, 4096, 1 + round);
	assert_true(dirty() <= 40 * 4 * 4096);
	writeback_stat_get(make.fs, &st);
	assert_int_equal(st.nr_flushed, 0);
	for (unsigned again = 0; again < 2; again++) {
		for (unsigned round = 0; round < 4; round++)
			for (unsigned i = 0; i < 40; i++)
				reads(in, i * MIB + (round * 5 + i) % 16 * 65536, 4096, 1 + round);
		commit();
	}
	assert_int_equal(dirty(), 0);
	inode_put(in);
}

/* Of lengths that divide nothing, one over the other, with holes; and then from both ends. */
static void a_window_filled_in_any_order_is_one_extent(void **state)
{
	struct inode *in = file("f");
	uint8_t *want = calloc(1, MIB);
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	print_message("seed %u\n", seed);
	write_at(in, MIB - 1, 1, 1);
	want[MIB - 1] = 1;
	for (unsigned i = 1; i < 900; i++) {
		uint64_t off = (uint64_t)rand_r(&seed) % (MIB - 1);
		uint64_t len = MIN(1 + (uint64_t)rand_r(&seed) % 7001, MIB - 1 - off);
		unsigned salt = i % 10 ? 1 + i % 7 : 0;

		if (salt)
			write_at(in, off, len, salt);
		else
			assert_int_equal(file_fallocate(in,
							FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
							off, len),
					 0);
		memset(want + off, (int)salt, len);
	}
	for (uint64_t at = 0, end; at < MIB; at = end) {
		for (end = at + 1; end < MIB && want[end] == want[at]; end++)
			;
		if (want[at])
			reads(in, at, end - at, want[at]);
		else
			fs_bytes_check(in, at, end - at, zero_at, 0);
	}
	assert_true(dirty() <= 2 * MIB);
	assert_int_equal(extents(), 0);
	/* It is full with the last of these writes, not before. */
	assert_int_equal(file_fallocate(in, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65536, 1),
			 0);
	for (unsigned i = 0; i < 16; i++)
		write_at(in, i % 2 ? (16 - i) * 65536 : i * 65536, 65536, 9);
	commit();
	assert_int_equal(extents(), 1);
	reads(in, 0, MIB, 9);
	free(want);
	inode_put(in);
}

#define NR_SMALL 20u

static struct inode *small(unsigned i)
{
	char name[16];

	snprintf(name, sizeof(name), "small%u", i);
	return file(name);
}

static void write_small(void)
{
	for (unsigned i = 0; i < NR_SMALL; i++) {
		struct inode *in = small(i);

		write_at(in, 0, 5000 + 100 * i, i);
		inode_put(in);
	}
}

static void check_small(unsigned i)
{
	struct inode *in = small(i);

	reads(in, 0, 5000 + 100 * i, i);
	inode_put(in);
}

static void remove_small(unsigned i)
{
	char name[16];

	snprintf(name, sizeof(name), "small%u", i);
	assert_int_equal(name_unlink(make.fs, 1, (struct name){name, strlen(name)}), 0);
}

static void small_files_share_an_extent(void **state)
{
	uint64_t before, all;

	(void)state;
	commit();
	before = used();
	write_small();
	commit();
	/* 119,000 bytes. */
	assert_true(extents() >= 1 && extents() <= 3);
	all = used() - before;
	assert_true(all <= NR_SMALL * 6500);
	fs_make_down(&make);
	up(0);
	for (unsigned i = 0; i < NR_SMALL; i++)
		check_small(i);
	/* As long as one is there, it has its bytes. */
	for (unsigned i = 0; i + 1 < NR_SMALL; i++)
		remove_small(i);
	commit();
	commit();
	assert_int_equal(extents(), 1);
	check_small(NR_SMALL - 1);
	remove_small(NR_SMALL - 1);
	commit();
	commit();
	assert_int_equal(extents(), 0);
	assert_int_equal(used(), before);
}

/* Tiny ones go into the index, and what is to be stored otherwise is not stored with the rest. */
static void each_file_is_stored_as_it_should_be(void **state)
{
	struct inode *none = file("none"), *tiny = file("tiny"), *empty = file("empty");
	uint64_t inlines = atomic_load(&make.fs->n.nr_inline);

	(void)state;
	assert_int_equal(xattr_set(none, POLICY_XATTR, "none", 4, 0, false), 0);
	write_small();
	for (unsigned i = 0; i < 8000; i += 1000)
		assert_int_equal(file_write(none, i, &(struct iovec){make.dir, 200}, 1, false), 0);
	write_at(tiny, 0, 300, 40);
	write_at(empty, 0, 300, 41);
	assert_int_equal(file_truncate(empty, 0, false), 0);
	commit();
	assert_int_equal(atomic_load(&make.fs->n.nr_inline), inlines + 1);
	assert_true(extents() >= 2 && extents() <= 4);
	for (unsigned i = 0; i < NR_SMALL; i++)
		check_small(i);
	reads(tiny, 0, 300, 40);
	inode_put(none);
	inode_put(tiny);
	inode_put(empty);
	fs_crash(make.fs);
	up(0);
	for (unsigned i = 0; i < NR_SMALL; i++)
		check_small(i);
	tiny = file("tiny");
	reads(tiny, 0, 300, 40);
	inode_put(tiny);
}

static void wait_mended(uint64_t nr)
{
	struct recompress_stat st = {0};

	for (unsigned i = 0; i < 1000 && st.nr_mended < nr; i++) {
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
		recompress_stat_get(make.fs->recompress, &st);
	}
	assert_true(st.nr_mended >= nr);
	assert_int_equal(st.nr_queued, 0);
}

static void pieces_are_made_whole_in_time(void **state)
{
	struct inode *in;

	(void)state;
	fs_make_down(&make);
	up(50);
	in = file("f");
	write_at(in, 0, 2 * MIB, 1);
	commit();
	overwrite(in, 2);
	commit();
	assert_int_equal(extents(), 3);
	wait_mended(1);
	commit();
	assert_int_equal(extents(), 2);
	overwritten(in, 1, 2);
	reads(in, MIB, MIB, 1);
	inode_put(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(small_overwrites_become_one_extent, setup,
						teardown),
		cmocka_unit_test_setup_teardown(many_pieces_are_written_as_one, setup, teardown),
		cmocka_unit_test_setup_teardown(mostly_new_windows_are_written_whole, setup,
						teardown),
		cmocka_unit_test_setup_teardown(far_writes_take_no_more_memory_than_their_bytes,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_window_filled_in_any_order_is_one_extent, setup,
						teardown),
		cmocka_unit_test_setup_teardown(small_files_share_an_extent, setup, teardown),
		cmocka_unit_test_setup_teardown(each_file_is_stored_as_it_should_be, setup,
						teardown),
		cmocka_unit_test_setup_teardown(pieces_are_made_whole_in_time, setup, teardown),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
