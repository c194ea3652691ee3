/* A whole file system for a test: over shards that are directories under one temporary directory, with its state there,
 * too. Every failure fails the test. */
#ifndef TESTS_FS_FS_MAKE_H
#define TESTS_FS_FS_MAKE_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "conf/base.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "raid/store.h"

#define FS_MAKE_SHARDS 3

struct fs_make {
	char dir[256];
	char state[300];
	char shard[FS_MAKE_SHARDS][300];
	unsigned nr_shards;
	struct fs *fs;
};

/* Mount with parameters of the caller's, but for the volume's and the codec's.
 * @rdonly  else it is made where there is none */
static inline void fs_make_up_with(struct fs_make *m, struct fs_params p, bool rdonly)
{
	const char *paths[FS_MAKE_SHARDS];
	struct raid_params rp = {
		.ops = store_sync(),
		.paths = paths,
		.nr_paths = m->nr_shards,
		.want = {.level = RAID_LEVEL_ANY},
		.create = !rdonly,
		.rdonly = rdonly,
	};
	char why[512] = "";

	p.state_dir = m->state;
	p.codec = (struct codec_opts){.mode = CODEC_AUTO, .level = CODEC_LEVEL_DEFAULT};
	for (unsigned i = 0; i < m->nr_shards; i++)
		paths[i] = m->shard[i];
	if (raid_open(&rp, &p.raid, why, sizeof(why)) || fs_open(&p, &m->fs, why, sizeof(why)))
		fail_msg("%s", why);
}

static inline void fs_make_up(struct fs_make *m)
{
	struct fs_params p = {.memory_len = 32 * MIB, .cache_len = 32 * MIB, .threads = 2};

	fs_make_up_with(m, p, false);
}

static inline void fs_make_down(struct fs_make *m)
{
	assert_int_equal(fs_close(m->fs), 0);
	m->fs = NULL;
}

/* A new volume on @nr_shards shards. */
static inline void fs_make_init(struct fs_make *m, unsigned nr_shards)
{
	const char *tmp = getenv("TMPDIR");

	assert_true(nr_shards <= FS_MAKE_SHARDS);
	*m = (struct fs_make){.nr_shards = nr_shards};
	snprintf(m->dir, sizeof(m->dir), "%s/matfs-test-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(m->dir));
	snprintf(m->state, sizeof(m->state), "%s/state", m->dir);
	for (unsigned i = 0; i < nr_shards; i++) {
		snprintf(m->shard[i], sizeof(m->shard[i]), "%s/shard%u", m->dir, i);
		assert_int_equal(mkdir(m->shard[i], 0700), 0);
	}
	fs_make_up(m);
}

static inline int fs_make_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void fs_make_fini(struct fs_make *m)
{
	if (m->fs)
		fs_make_down(m);
	nftw(m->dir, fs_make_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* Unmount and mount. */
static inline void fs_make_again(struct fs_make *m)
{
	fs_make_down(m);
	fs_make_up(m);
}

/* Setup and teardown of a cmocka test or group: *state is a struct fs_make on one shard. */
static inline int fs_make_setup(void **state)
{
	struct fs_make *m = malloc(sizeof(*m));

	if (!m)
		return -1;
	*state = m;
	fs_make_init(m, 1);
	return 0;
}

static inline int fs_make_teardown(void **state)
{
	fs_make_fini(*state);
	free(*state);
	return 0;
}

#endif
