/* An open raid for tests. What raid_open() does with superblocks, log and votes of a last time
 * is left out. */
#include "tests/support/raid_make.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "raid/segment.h"
#include "raid/space.h"

static void open_shard(struct raid *r, unsigned idx, const char *path)
{
	struct shard *s = &r->shard[idx];

	s->raid = r;
	s->idx = idx;
	atomic_store(&s->state, SHARD_MISSING);
	if (!path)
		return;
	s->path = strdup(path);
	assert_non_null(s->path);
	assert_int_equal(r->ops->attach(r->ops, path, r->rdonly, &s->store), 0);
	assert_int_equal(segments_open(s, &s->segments), 0);
	atomic_store(&s->state, SHARD_ONLINE);
	atomic_fetch_or(&r->online, 1ULL << idx);
	r->members |= 1ULL << idx;
}

struct raid *raid_make(const struct store_ops *ops, const char *const *path,
		       const struct raid_geometry *geo, bool rdonly)
{
	struct raid *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->ops = ops;
	r->geo = *geo;
	r->rdonly = rdonly;
	memset(r->uuid, 0x5a, sizeof(r->uuid));
	lock_init(&r->lock);
	for (unsigned i = 0; i < geo->nr_shards; i++)
		open_shard(r, i, path[i]);
	assert_int_equal(space_new(r), 0);
	return r;
}

void raid_unmake(struct raid *r)
{
	space_free(r);
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];

		segments_close(s->segments);
		if (s->store)
			r->ops->detach(s->store);
		free(s->path);
	}
	lock_fini(&r->lock);
	free(r);
}

char *raid_make_dir(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path = NULL;

	assert_true(asprintf(&path, "%s/matfs-test-XXXXXX", tmp && *tmp ? tmp : "/tmp") > 0);
	assert_non_null(mkdtemp(path));
	return path;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

void raid_make_rmdir(char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
}

char **raid_make_dirs(unsigned nr, char **top)
{
	char **path = calloc(nr, sizeof(*path));

	assert_non_null(path);
	*top = raid_make_dir();
	for (unsigned i = 0; i < nr; i++) {
		assert_true(asprintf(&path[i], "%s/%u", *top, i) > 0);
		assert_int_equal(mkdir(path[i], 0700), 0);
	}
	return path;
}

void raid_make_dirs_free(char **path, unsigned nr, char *top)
{
	for (unsigned i = 0; i < nr; i++)
		free(path[i]);
	free(path);
	raid_make_rmdir(top);
}

void raid_make_bytes(uint8_t *buf, size_t len, uint64_t seed)
{
	uint64_t x = seed * 0x9E3779B97F4A7C15ULL + 1;

	for (size_t i = 0; i < len; i += sizeof(x)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(buf + i, &x, MIN(sizeof(x), len - i));
	}
}
