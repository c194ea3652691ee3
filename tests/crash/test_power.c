/* The power is cut at every step of a long random workload, and what is left must be a prefix of it.
 *
 * One run is recorded: every write, sync, rename, punch that reaches the shards is a step. Beside it a model is kept, and
 * its hash after each operation. For a cut at a step, an image of the disks is made with what a power loss may leave
 * (unsynced writes lost, torn, reordered), the volume is opened from it, read whole, and its hash looked up:
 *
 *   - it is the state after some operation n: a prefix, all of it, nothing else           (promise 2)
 *   - n is not before the last fsync that returned before the cut                         (promise 1)
 *   - n is not after the operation that was under way
 *
 * Some cuts lose a shard as well, or are followed by more writing and a second power loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cmocka.h>

#include "conf/base.h"
#include "conf/log.h"
#include "fs/commit.h"
#include "fs/file.h"
#include "fs/fsck.h"
#include "fs/name.h"
#include "fs/setattr.h"
#include "fs/xattr.h"
#include "tests/crash/model.h"
#include "tests/support/store_crash.h"

#define EXTENT_LEN (256 * 1024)
#define SHARDS	   4

static uint64_t test_seed = 1;
static unsigned test_ops = 400;
static unsigned test_cuts = 700;

/* ---- seeded chance ---- */

struct chance {
	uint64_t s;
};

static uint64_t chance_next(struct chance *c)
{
	/* splitmix64, by Sebastiano Vigna, public domain constants */
	uint64_t z = c->s += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static unsigned chance_below(struct chance *c, unsigned n)
{
	return (unsigned)(chance_next(c) % n);
}

/* ---- a volume on crash disks ---- */

static char state_dir[256];

static int volume_open(struct crash_disk *d, unsigned level, bool create, bool degraded,
		       struct fs **out, char *why)
{
	static const char *const paths[SHARDS] = {"/crash/0", "/crash/1", "/crash/2", "/crash/3"};
	struct raid_params rp = {
		.ops = crash_ops(d),
		.paths = paths,
		.nr_paths = SHARDS,
		.want = {.level = create ? (uint8_t)level : RAID_LEVEL_ANY,
			 .copies = level == 1 ? 2 : 1,
			 .extent_len = create ? EXTENT_LEN : 0},
		.create = create,
		.degraded = degraded,
	};
	struct fs_params p = {
		.state_dir = state_dir,
		.codec = {.mode = CODEC_AUTO, .level = 1},
		.memory_len = 32 * MIB,
		.cache_len = 16 * MIB,
		.threads = 2,
		.checkpoint_len = 64 * KIB,
	};
	int err = raid_open(&rp, &p.raid, why, 512);

	return err ? err : fs_open(&p, out, why, 512);
}

/* ---- the workload ---- */

struct done {
	uint64_t hash;
	uint64_t begun; /* steps done when the operation began */
};

struct run {
	struct chance c;
	struct fs *fs;
	struct crash_disk *disk;
	struct model m;
	struct done *done; /* done[n]: state after n operations */
	unsigned nr_done;
	struct {
		uint64_t step; /* steps done when the sync returned */
		unsigned op;
	} promise[4096];
	unsigned nr_promises;
	struct inode *dir[MODEL_DIRS];
};

static struct name name_of(char *buf)
{
	return (struct name){buf, strlen(buf)};
}

static struct inode *file_inode(struct run *r, struct model_file *f)
{
	struct inode *in;

	assert_int_equal(inode_get(r->fs, NULL, f->ino, &in), 0);
	return in;
}

/* done[nr_done] will be the state after the operation under way. */
static void changed(struct run *r, struct model_file *f)
{
	f->changed = r->nr_done;
}

static void fill(struct chance *c, uint8_t *p, size_t len)
{
	uint64_t kind = chance_next(c) % 4, v = chance_next(c);

	for (size_t i = 0; i < len; i++)
		p[i] = kind == 0   ? (uint8_t)v
		       : kind == 1 ? (uint8_t)(i / 64 + v)
				   : (uint8_t)(v = v * 6364136223846793005ULL + 1) >> 1;
}

static void do_create(struct run *r, unsigned d, unsigned n)
{
	struct name_new nn = {.mode = S_IFREG | (0600 + chance_below(&r->c, 64))};
	bool link = chance_below(&r->c, 8) == 0;
	struct model_file *f;
	struct inode *in;
	char name[16];

	model_file_name(n, name);
	if (link) {
		nn.mode = S_IFLNK | 0777;
		nn.target = "somewhere/else";
	}
	assert_int_equal(name_make(r->fs, r->dir[d]->ino, name_of(name), &nn, &in), 0);
	f = model_file_new();
	f->ino = in->ino;
	f->nlink = 1;
	f->mode = nn.mode;
	f->target = link ? strdup(nn.target) : NULL;
	r->m.name[d][n] = f;
	changed(r, f);
	inode_put(in);
}

static void do_write(struct run *r, struct model_file *f)
{
	static const unsigned sizes[] = {1, 100, 3000, 5000, 40000, EXTENT_LEN, 300000};
	size_t len = 1 + chance_below(&r->c, sizes[chance_below(&r->c, ARRAY_LEN(sizes))]);
	size_t off = chance_below(&r->c, 3) ? (f->len < MODEL_LEN_MAX - len ? f->len : 0)
					    : chance_below(&r->c, (unsigned)(MODEL_LEN_MAX - len));
	struct inode *in = file_inode(r, f);
	AUTO_FREE uint8_t *p = malloc(len);

	fill(&r->c, p, len);
	assert_int_equal(file_write(in, off, &(struct iovec){p, len}, 1, false), 0);
	inode_put(in);
	if (off + len > f->len)
		model_resize(f, off + len);
	memcpy(f->bytes + off, p, len);
	f->sum_ok = false;
	changed(r, f);
}

static void do_truncate(struct run *r, struct model_file *f)
{
	size_t len = chance_below(&r->c, 3) ? chance_below(&r->c, (unsigned)f->len + 1)
					    : chance_below(&r->c, MODEL_LEN_MAX);
	struct inode *in = file_inode(r, f);

	assert_int_equal(file_truncate(in, len, false), 0);
	inode_put(in);
	model_resize(f, len);
	changed(r, f);
}

static void do_punch(struct run *r, struct model_file *f)
{
	size_t off = f->len ? chance_below(&r->c, (unsigned)f->len) : 0;
	size_t len = 1 + chance_below(&r->c, 100000);
	struct inode *in = file_inode(r, f);

	assert_int_equal(file_fallocate(in, 1 /* KEEP_SIZE */ | 2 /* PUNCH_HOLE */, off, len), 0);
	inode_put(in);
	if (off < f->len)
		memset(f->bytes + off, 0, MIN(len, f->len - off));
	f->sum_ok = false;
	changed(r, f);
}

static void do_copy(struct run *r, struct model_file *from, struct model_file *to)
{
	size_t off = chance_below(&r->c, (unsigned)from->len + 1),
	       dst = chance_below(&r->c, (unsigned)to->len + 1);
	size_t len = MIN(from->len - off, (size_t)(MODEL_LEN_MAX - dst));
	struct inode *src = file_inode(r, from), *d = file_inode(r, to);
	uint64_t done = 0, at = 0;

	if (from != to && len) {
		/* Each call is one operation for a user, but more than one change: a prefix may end between them, so
		 * the states in between are states, too. */
		while (at < len &&
		       !file_copy(src, off + at, d, dst + at, MIN(len - at, (size_t)100000),
				  &done) &&
		       done) {
			if (dst + at + done > to->len)
				model_resize(to, dst + at + done);
			memmove(to->bytes + dst + at, from->bytes + off + at, done);
			to->sum_ok = false;
			at += done;
			if (at < len) {
				r->done[r->nr_done].hash = model_hash(&r->m);
				r->done[++r->nr_done].begun = crash_steps(r->disk);
			}
		}
		assert_true(at == len);
		changed(r, to);
	}
	inode_put(src);
	inode_put(d);
}

static void do_rename(struct run *r, unsigned d, unsigned n)
{
	unsigned to_d = chance_below(&r->c, MODEL_DIRS), to_n = chance_below(&r->c, MODEL_NAMES);
	struct model_file *f = r->m.name[d][n], *old = r->m.name[to_d][to_n];
	char from[16], to[16];

	model_file_name(n, from);
	model_file_name(to_n, to);
	assert_int_equal(name_rename(r->fs, r->dir[d]->ino, name_of(from), r->dir[to_d]->ino,
				     name_of(to), 0),
			 0);
	if (old == f)
		return;
	if (old)
		model_unlink(&r->m, to_d, to_n);
	r->m.name[d][n] = NULL;
	r->m.name[to_d][to_n] = f;
	changed(r, f);
}

static void do_link(struct run *r, struct model_file *f)
{
	unsigned d = chance_below(&r->c, MODEL_DIRS), n = chance_below(&r->c, MODEL_NAMES);
	struct inode *in;
	char to[16];

	if (r->m.name[d][n])
		return;
	model_file_name(n, to);
	assert_int_equal(name_link(r->fs, f->ino, r->dir[d]->ino, name_of(to), &in), 0);
	inode_put(in);
	f->nlink++;
	r->m.name[d][n] = f;
	changed(r, f);
}

static void do_unlink(struct run *r, unsigned d, unsigned n)
{
	char name[16];

	model_file_name(n, name);
	assert_int_equal(name_unlink(r->fs, r->dir[d]->ino, name_of(name)), 0);
	model_unlink(&r->m, d, n);
}

static void do_xattr(struct run *r, struct model_file *f)
{
	struct inode *in = file_inode(r, f);
	uint64_t v = chance_next(&r->c) | 1;

	if (S_ISREG(f->mode)) {
		assert_int_equal(xattr_set(in, "user.model", &v, sizeof(v), 0, false), 0);
		f->xattr = v;
		changed(r, f);
	}
	inode_put(in);
}

static void do_chmod(struct run *r, struct model_file *f)
{
	struct setattr s = {.what = SETATTR_MODE, .mode = chance_below(&r->c, 0777)};
	struct inode *in = file_inode(r, f);

	assert_int_equal(setattr_apply(in, &s), 0);
	inode_put(in);
	f->mode = (f->mode & S_IFMT) | s.mode;
	changed(r, f);
}

/* An fsync of one file promises what was done to it; a sync, all that was done. */
static void do_sync(struct run *r, struct model_file *f)
{
	struct inode *in = file_inode(r, f);
	bool all = chance_below(&r->c, 2);

	if (all)
		assert_int_equal(commit_wait(r->fs, commit_open_txg(r->fs)), 0);
	else
		assert_int_equal(file_sync(in), 0);
	inode_put(in);
	r->promise[r->nr_promises].step = crash_steps(r->disk);
	r->promise[r->nr_promises++].op = all ? r->nr_done - 1 : f->changed;
}

static void one_operation(struct run *r)
{
	unsigned d = chance_below(&r->c, MODEL_DIRS), n = chance_below(&r->c, MODEL_NAMES);
	struct model_file *f = r->m.name[d][n];
	struct model_file *g =
		r->m.name[chance_below(&r->c, MODEL_DIRS)][chance_below(&r->c, MODEL_NAMES)];
	unsigned what = chance_below(&r->c, 100);

	if (!f)
		do_create(r, d, n);
	else if (what < 40 && S_ISREG(f->mode))
		do_write(r, f);
	else if (what < 46 && S_ISREG(f->mode))
		do_truncate(r, f);
	else if (what < 50 && S_ISREG(f->mode))
		do_punch(r, f);
	else if (what < 56 && g && S_ISREG(f->mode) && S_ISREG(g->mode))
		do_copy(r, f, g);
	else if (what < 66)
		do_rename(r, d, n);
	else if (what < 70)
		do_link(r, f);
	else if (what < 76)
		do_unlink(r, d, n);
	else if (what < 80)
		do_xattr(r, f);
	else if (what < 84)
		do_chmod(r, f);
	else if (what < 92)
		commit_kick(r->fs);
	else
		do_sync(r, f);
}

static void make_dirs(struct run *r)
{
	for (unsigned d = 0; d < MODEL_DIRS; d++) {
		struct name_new nn = {.mode = S_IFDIR | 0755};
		char name[16];

		model_dir_name(d, name);
		assert_int_equal(name_make(r->fs, 1, name_of(name), &nn, &r->dir[d]), 0);
		r->m.dir[d] = true;
		r->done[r->nr_done].hash = model_hash(&r->m);
		r->done[++r->nr_done].begun = crash_steps(r->disk);
	}
}

/* From the state that is there: @r->m says it. */
static void workload(struct run *r, unsigned ops)
{
	r->done = calloc(16 * (size_t)ops + 64, sizeof(*r->done));
	r->done[0].hash = model_hash(&r->m);
	r->done[1].begun = crash_steps(r->disk);
	r->nr_done = 1;
	if (!r->dir[0])
		make_dirs(r);
	for (unsigned i = 0; i < ops; i++) {
		r->done[r->nr_done].begun = crash_steps(r->disk);
		one_operation(r);
		r->done[r->nr_done].hash = model_hash(&r->m);
		r->nr_done++;
	}
}

/* ---- after the cut ---- */

/* Whether the state @hash is one that a cut at @step may leave. */
static bool state_allowed(const struct run *r, uint64_t step, uint64_t hash, unsigned *lo,
			  unsigned *hi)
{
	*lo = 0;
	for (unsigned i = 0; i < r->nr_promises; i++)
		if (r->promise[i].step <= step)
			*lo = MAX(*lo, r->promise[i].op);
	for (*hi = *lo; *hi + 1 < r->nr_done && r->done[*hi + 1].begun <= step; (*hi)++)
		;
	for (unsigned n = *lo; n <= *hi; n++)
		if (r->done[n].hash == hash)
			return true;
	return false;
}

static void tell(const struct run *r, uint64_t step, uint64_t hash, unsigned lo, unsigned hi,
		 int shard)
{
	for (unsigned n = 0; n < r->nr_done; n++)
		if (r->done[n].hash == hash)
			print_error("the state is that after operation %u\n", n);
	fail_msg("seed %llu, cut at step %llu, shard lost %d: not a state between operations %u "
		 "and %u",
		 (unsigned long long)test_seed, (unsigned long long)step, shard, lo, hi);
}

static void tell_problem(void *arg, const char *line)
{
	(void)arg;
	print_error("fsck: %s\n", line);
}

static void check_structures(struct fs *fs, uint64_t step)
{
	struct fsck_params p = {.say = tell_problem};
	struct fsck_result found;

	assert_int_equal(fsck_index(fs->index, &p, &found), 0);
	if (found.nr_problems)
		fail_msg("seed %llu, cut at step %llu: the index is inconsistent",
			 (unsigned long long)test_seed, (unsigned long long)step);
}

static void check_image(const struct run *r, struct crash_disk *image, uint64_t step, int lose)
{
	unsigned lo, hi;
	struct model m;
	struct fs *fs;
	char why[512];
	uint64_t hash;
	int err;

	if (lose >= 0)
		crash_shard_kill(image, (unsigned)lose, -ENOENT);
	err = volume_open(image, 5, false, lose >= 0, &fs, why);
	if (err)
		fail_msg("seed %llu, cut at step %llu, shard lost %d: not opened: %s",
			 (unsigned long long)test_seed, (unsigned long long)step, lose, why);
	err = model_read(fs, &m);
	if (err)
		fail_msg("seed %llu, cut at step %llu, shard lost %d: not readable: %s",
			 (unsigned long long)test_seed, (unsigned long long)step, lose,
			 strerror(-err));
	hash = model_hash(&m);
	if (!state_allowed(r, step, hash, &lo, &hi))
		tell(r, step, hash, lo, hi, lose);
	model_fini(&m);
	check_structures(fs, step);
	if (step % 8)
		fs_crash(fs);
	else
		assert_int_equal(fs_close(fs), 0);
}

/* What every opening after the first finds must be what the first found. */
static void check_again(struct crash_disk *image, uint64_t step)
{
	uint64_t hash[2];

	for (unsigned i = 0; i < 2; i++) {
		struct model m;
		struct fs *fs;
		char why[512];

		if (volume_open(image, 5, false, false, &fs, why))
			fail_msg("cut at step %llu, opened again: %s", (unsigned long long)step,
				 why);
		assert_int_equal(model_read(fs, &m), 0);
		hash[i] = model_hash(&m);
		model_fini(&m);
		fs_crash(fs);
		crash_power_on(image, step);
	}
	assert_true(hash[0] == hash[1]);
}

static void power_cut_anywhere_leaves_a_prefix(void **state)
{
	struct crash_disk *disk = crash_disk_new(SHARDS, test_seed);
	struct run r = {.c = {test_seed}, .disk = disk};
	struct crash_journal *j;
	struct crash_cursor *c;
	uint64_t first, last;
	char why[512];

	(void)state;
	if (volume_open(disk, 5, true, false, &r.fs, why))
		fail_msg("%s", why);
	crash_record(disk);
	workload(&r, test_ops);
	j = crash_record_end(disk);
	for (unsigned d = 0; d < MODEL_DIRS; d++)
		inode_put(r.dir[d]);
	assert_int_equal(fs_close(r.fs), 0);

	first = crash_journal_begin(j);
	last = crash_journal_end(j);
	c = crash_cursor_new(j);
	print_message("%u operations, %llu steps, %u fsyncs; %u cuts\n", r.nr_done,
		      (unsigned long long)(last - first), r.nr_promises, test_cuts);
	for (unsigned i = 0; i < test_cuts; i++) {
		/* Evenly over the run, a different place in each stretch with each seed. */
		uint64_t step = first + (last - first) * i / test_cuts;
		struct crash_disk *image;

		step += chance_next(&r.c) % MAX((last - first) / test_cuts, (uint64_t)1);
		step = MIN(step, last);
		image = crash_cursor_image(c, step, chance_next(&r.c));
		check_image(&r, image, step, i % 4 == 3 ? (int)(i / 4 % SHARDS) : -1);
		crash_disk_free(image);
		if (i % 16 == 5) {
			image = crash_cursor_image(c, step, chance_next(&r.c));
			check_again(image, step);
			crash_disk_free(image);
		}
	}
	crash_cursor_free(c);
	crash_journal_free(j);
	model_fini(&r.m);
	free(r.done);
	crash_disk_free(disk);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_cut_anywhere_leaves_a_prefix),
	};
	const char *tmp = getenv("TMPDIR");
	int failed;
	char cmd[300];

	/* test_crash_power [SEED [OPERATIONS [CUTS]]] */
	if (argc > 1)
		test_seed = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		test_ops = (unsigned)strtoul(argv[2], NULL, 0);
	if (argc > 3)
		test_cuts = (unsigned)strtoul(argv[3], NULL, 0);
	print_message("seed %llu\n", (unsigned long long)test_seed);
	snprintf(state_dir, sizeof(state_dir), "%s/matfs-power-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(state_dir))
		return 1;
	log_set_level(LOG_LEVEL_ERROR);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", state_dir);
	return system(cmd) ? 1 : failed;
}
