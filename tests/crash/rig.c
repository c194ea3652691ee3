/* Chance, volumes on crash disks, and looks at what is left on them. */
#include "tests/crash/rig.h"

#include <ftw.h>
#include <string.h>

#include "conf/base.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/fsck.h"

_Thread_local char rig_where[256];

void rig_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s%s%s:%d: does not hold: %s\n", rig_where, *rig_where ? ": " : "", file,
		line, what);
	abort();
}

/* ---- chance ---- */

uint64_t chance_next(struct chance *c)
{
	/* splitmix64, by Sebastiano Vigna, public domain constants */
	uint64_t z = c->s += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

unsigned chance_below(struct chance *c, unsigned n)
{
	return (unsigned)(chance_next(c) % n);
}

void chance_fill(struct chance *c, uint8_t *p, size_t len)
{
	uint64_t kind = chance_next(c) % 4, v = chance_next(c);

	for (size_t i = 0; i < len; i++) {
		if (kind > 1)
			v = v * 6364136223846793005ULL + 1;
		p[i] = kind == 0   ? (uint8_t)v
		       : kind == 1 ? (uint8_t)(i / 64 + v)
				   : (uint8_t)(v >> 56);
	}
}

/* ---- volumes ---- */

void rig_init(struct rig *g, unsigned level)
{
	const char *tmp = getenv("TMPDIR");

	*g = (struct rig){.level = (uint8_t)level,
			  .parity = level == 6 ? 2 : level != 0,
			  .memory_len = 32 * MIB,
			  .checkpoint_len = 64 * KIB};
	snprintf(g->state_dir, sizeof(g->state_dir), "%s/matfs-crash-XXXXXX", tmp ? tmp : "/tmp");
	must(mkdtemp(g->state_dir));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void rig_fini(struct rig *g)
{
	nftw(g->state_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int rig_open(const struct rig *g, struct crash_disk *d, bool create, bool degraded, struct fs **out,
	     char why[512])
{
	static const char *const paths[RIG_SHARDS] = {"/crash/0", "/crash/1", "/crash/2",
						      "/crash/3"};
	struct raid_params rp = {
		.ops = crash_ops(d),
		.paths = paths,
		.nr_paths = RIG_SHARDS,
		.want = {.level = create ? g->level : RAID_LEVEL_ANY,
			 .copies = g->level == 1 ? 2 : 1,
			 .extent_len = create ? RIG_EXTENT_LEN : 0},
		.create = create,
		.degraded = degraded,
	};
	struct fs_params p = {
		.state_dir = g->state_dir,
		.codec = {.mode = CODEC_AUTO, .level = 1},
		.memory_len = g->memory_len,
		.cache_len = 16 * MIB,
		.threads = 2,
		.checkpoint_len = g->checkpoint_len,
	};
	int err = raid_open(&rp, &p.raid, why, 512);

	return err ? err : fs_open(&p, out, why, 512);
}

static void tell_problem(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "fsck: %s\n", line);
}

void rig_check_index(struct fs *fs)
{
	struct fsck_params p = {.say = tell_problem};
	struct fsck_result found;

	must(fsck_index(fs->index, &p, &found) == 0);
	must(found.nr_problems == 0);
}

/* ---- space ---- */

static uint64_t live_bytes(struct fs *fs)
{
	struct key first = key_number(0, KEY_EXTENT, 0);
	struct index_cursor *c;
	struct index_val k, v;
	struct index_txn *t;
	uint64_t sum = 0;

	must(index_read(fs->index, &t) == 0);
	must(index_cursor_open(t, &c) == 0);
	for (int err = index_seek(c, &first, &k, &v); !err; err = index_next(c, &k, &v)) {
		struct extent e;

		if (k.len != 17 || get_be64(k.p) || k.p[8] != KEY_EXTENT)
			break;
		must(extent_decode(k.p, k.len, v.p, v.len, &e) == 0);
		sum += stripe_loc_bytes(&e.loc);
	}
	index_cursor_close(c);
	index_read_end(t);
	return sum;
}

struct segments_sum {
	const struct store_ops *ops;
	struct store *store;
	uint64_t bytes;
};

static int add_segment(void *arg, const char *entry)
{
	struct segments_sum *s = arg;
	struct store_file *f;
	uint64_t at = 0, from, to;
	char name[64];

	snprintf(name, sizeof(name), "seg/%s", entry);
	must(s->ops->open(s->store, name, STORE_RDONLY, &f) == 0);
	while (!s->ops->seek_data(f, at, &from, &to)) {
		s->bytes += to - from;
		at = to;
	}
	s->ops->close(f);
	return 0;
}

static uint64_t segment_bytes(struct crash_disk *d)
{
	struct segments_sum s = {.ops = crash_ops(d)};

	for (unsigned i = 0; i < RIG_SHARDS; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/crash/%u", i);
		must(s.ops->attach(s.ops, path, true, &s.store) == 0);
		must(s.ops->list(s.store, "seg", add_segment, &s) == 0);
		s.ops->detach(s.store);
	}
	return s.bytes;
}

void rig_close_without_leak(struct fs *fs, struct crash_disk *d)
{
	struct raid_space space;
	struct raid_stat st;
	uint64_t live, held;

	must(commit_wait(fs, commit_open_txg(fs)) == 0);
	must(commit_wait_freed(fs) == 0);
	/* All that was promised is written and given back. */
	raid_stat_get(fs->raid, &st);
	must(st.promised == 0);
	live = live_bytes(fs);
	must(raid_space(fs->raid, &space) == 0);
	must(fs_close(fs) == 0);
	held = segment_bytes(d);
	if (live != held || live != space.used)
		fprintf(stderr, "live %llu, used %llu, on disk %llu bytes\n",
			(unsigned long long)live, (unsigned long long)space.used,
			(unsigned long long)held);
	must(live == space.used);
	must(live == held);
}

/* ---- loss ---- */

uint64_t rig_loss(unsigned parity, unsigned n)
{
	uint64_t mask[1U << RIG_SHARDS];
	unsigned nr = 0;

	for (uint64_t m = 0; m < 1U << RIG_SHARDS; m++)
		if ((unsigned)__builtin_popcountll(m) <= parity)
			mask[nr++] = m;
	return mask[n % nr];
}

void rig_lose(struct crash_disk *d, uint64_t mask)
{
	for (unsigned i = 0; i < RIG_SHARDS; i++)
		if (mask & (1ULL << i))
			crash_shard_kill(d, i, -ENOENT);
}
