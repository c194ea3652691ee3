/* The cache: many readers of one extent read it once, what is pinned stays, the rest goes in turn, errors are not kept. */
#include "tests/fs/fs_make.h"

#include <pthread.h>

#include "conf/log.h"
#include "fs/cache.h"
#include "fs/commit.h"
#include "fs/file.h"
#include "fs/name.h"

#define NR 48 /* extents of 1 MiB, more than the cache holds */

static struct fs_make make;
static struct extent extent[NR];

static int setup(void **state)
{
	struct name_new nn = {.mode = S_IFREG | 0600};
	static uint8_t bytes[MIB];
	struct index_txn *t;
	struct inode *in;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	fs_make_init(&make, 1);
	assert_int_equal(name_make(make.fs, 1, (struct name){"f", 1}, &nn, &in), 0);
	for (unsigned i = 0; i < NR; i++) {
		memset(bytes, (int)(i + 1), sizeof(bytes));
		assert_int_equal(
			file_write(in, i * MIB, &(struct iovec){bytes, sizeof(bytes)}, 1, false),
			0);
	}
	assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
	assert_int_equal(index_read(make.fs->index, &t), 0);
	for (unsigned i = 0; i < NR; i++) {
		struct map_entry m;

		assert_int_equal(extent_find(t, in->ino, i * MIB, &m), 0);
		assert_int_equal(extent_load(t, m.gen, &extent[i]), 0);
	}
	index_read_end(t);
	inode_put(in);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fs_make_fini(&make);
	return 0;
}

static void same_extent_is_read_once(void **state)
{
	struct cache_entry *e[20];
	struct cache_stat a, b;

	(void)state;
	cache_stat_get(make.fs->cache, &a);
	assert_int_equal(cache_get(make.fs, &extent[0], true, &e[0]), -EAGAIN);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(cache_get(make.fs, &extent[0], false, &e[i]), 0);
		assert_ptr_equal(cache_bytes(e[i]), cache_bytes(e[0]));
		assert_int_equal(cache_bytes(e[i])[777], 1);
	}
	cache_stat_get(make.fs->cache, &b);
	assert_int_equal(b.nr_misses - a.nr_misses, 1);
	assert_int_equal(b.nr_hits - a.nr_hits, 19);
	for (unsigned i = 0; i < 20; i++)
		cache_put(make.fs->cache, e[i]);
	assert_int_equal(cache_get(make.fs, &extent[0], true, &e[0]), 0);
	cache_put(make.fs->cache, e[0]);
}

/* More pinned than there is room for: readers still get their bytes, beyond the arena. */
static void pinned_entries_stay(void **state)
{
	struct cache_entry *e[NR];
	struct cache_stat s;

	(void)state;
	for (unsigned i = 0; i < NR; i++)
		assert_int_equal(cache_get(make.fs, &extent[i], false, &e[i]), 0);
	for (unsigned i = 0; i < NR; i++) {
		assert_int_equal(cache_bytes(e[i])[0], i + 1);
		assert_int_equal(cache_bytes(e[i])[MIB - 1], i + 1);
	}
	for (unsigned i = 0; i < NR; i++)
		cache_put(make.fs->cache, e[i]);
	cache_stat_get(make.fs->cache, &s);
	assert_true(s.used <= s.len);
	assert_true(s.nr_entries * MIB <= s.len);
}

static void oldest_goes_first(void **state)
{
	struct cache_entry *e;

	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		assert_int_equal(cache_get(make.fs, &extent[i], false, &e), 0);
		cache_put(make.fs->cache, e);
		/* Kept young. */
		assert_int_equal(cache_get(make.fs, &extent[0], true, &e), 0);
		cache_put(make.fs->cache, e);
	}
	assert_true(cache_has(make.fs->cache, extent[0].gen));
	assert_true(cache_has(make.fs->cache, extent[NR - 1].gen));
	assert_false(cache_has(make.fs->cache, extent[1].gen));
}

static void error_is_not_kept(void **state)
{
	struct extent wrong = extent[3];
	struct cache_entry *e;

	(void)state;
	wrong.gen = wrong.owner.gen = 99999999;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(cache_get(make.fs, &wrong, false, &e), -EIO);
		assert_false(cache_has(make.fs->cache, wrong.gen));
	}
	assert_int_equal(cache_get(make.fs, &extent[3], false, &e), 0);
	cache_put(make.fs->cache, e);
}

static void *reader(void *arg)
{
	uint64_t s = (uint64_t)(intptr_t)arg;

	for (unsigned n = 0; n < 3000; n++) {
		struct cache_entry *e;
		unsigned i;

		s = s * 6364136223846793005ULL + 1442695040888963407ULL;
		i = (unsigned)(s >> 40) % NR;
		if (cache_get(make.fs, &extent[i], false, &e))
			return arg;
		if (cache_bytes(e)[(s >> 20) % MIB] != i + 1)
			return arg;
		cache_put(make.fs->cache, e);
	}
	return NULL;
}

static void readers_get_what_they_ask_for(void **state)
{
	pthread_t thread[6];

	(void)state;
	for (intptr_t i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, reader, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < 6; i++) {
		void *failed;

		pthread_join(thread[i], &failed);
		assert_null(failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_extent_is_read_once),
		cmocka_unit_test(pinned_entries_stay),
		cmocka_unit_test(oldest_goes_first),
		cmocka_unit_test(error_is_not_kept),
		cmocka_unit_test(readers_get_what_they_ask_for),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
