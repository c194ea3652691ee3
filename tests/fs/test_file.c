/* A file's bytes against a model, with little memory: random writes, truncations, holes, copies within the file and
 * commits, while other threads read what does not change; then the same after a crash of the process. */
#include "tests/fs/fs_make.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "conf/log.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/file.h"
#include "fs/fsck.h"
#include "fs/name.h"
#include "fs/writeback.h"

#define LEN_MAX (5 * MIB)
#define MEMORY	(4 * MIB)

static struct fs_make make;
static uint64_t seed = 1;

static uint64_t next(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static void up(void)
{
	const char *paths[FS_MAKE_SHARDS] = {make.shard[0], make.shard[1], make.shard[2]};
	struct raid_params rp = {.ops = store_sync(),
				 .paths = paths,
				 .nr_paths = make.nr_shards,
				 .want = {.level = RAID_LEVEL_ANY}};
	struct fs_params p = {.state_dir = make.state,
			      .codec = {.mode = CODEC_AUTO, .level = 1},
			      .memory_len = MEMORY,
			      .cache_len = 4 * MIB,
			      .threads = 2};
	char why[512] = "";

	if (raid_open(&rp, &p.raid, why, sizeof(why)) || fs_open(&p, &make.fs, why, sizeof(why)))
		fail_msg("%s", why);
}

static int setup(void **state)
{
	(void)state;
	fs_make_init(&make, 3);
	fs_make_down(&make);
	up();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fs_make_fini(&make);
	return 0;
}

static struct inode *file(const char *name)
{
	struct name_new nn = {.mode = S_IFREG | 0600};
	struct inode *in;

	assert_int_equal(name_make(make.fs, 1, (struct name){name, strlen(name)}, &nn, &in), 0);
	return in;
}

struct fsx {
	struct inode *in;
	uint64_t s;
	uint8_t *bytes;
	size_t len;
	unsigned nr;
};

static void fsx_fail(const struct fsx *x, const char *what, size_t off)
{
	fprintf(stderr, "seed %llu, inode %llu, operation %u: %s at %zu\n",
		(unsigned long long)seed, (unsigned long long)x->in->ino, x->nr, what, off);
	abort();
}

static void fsx_write(struct fsx *x)
{
	static const size_t sizes[] = {1, 50, 4096, 4097, 30000, 300000, 1200000};
	size_t len = 1 + next(&x->s) % sizes[next(&x->s) % ARRAY_LEN(sizes)];
	size_t off = next(&x->s) % (next(&x->s) % 3 ? x->len + 1 : LEN_MAX);
	uint64_t v = next(&x->s), noise = next(&x->s) % 2;
	uint8_t *p;

	off = MIN(off, LEN_MAX - len);
	if (next(&x->s) % 4 == 0)
		off = round_down(off, 4096);
	p = malloc(len);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)((noise ? v = v * 6364136223846793005ULL + 1 : v) >> 56);
	if (file_write(x->in, off, &(struct iovec){p, len}, 1, false))
		fsx_fail(x, "write failed", off);
	memcpy(x->bytes + off, p, len);
	x->len = MAX(x->len, off + len);
	free(p);
}

static void fsx_resize(struct fsx *x)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, MIB, LEN_MAX};
	size_t len = next(&x->s) % 3 ? next(&x->s) % (x->len + 1)
				     : sizes[next(&x->s) % ARRAY_LEN(sizes)];

	if (file_truncate(x->in, len, false))
		fsx_fail(x, "truncate failed", len);
	if (len < x->len)
		memset(x->bytes + len, 0, x->len - len);
	x->len = len;
}

static void fsx_punch(struct fsx *x)
{
	size_t off = next(&x->s) % LEN_MAX, len = 1 + next(&x->s) % (next(&x->s) % 2 ? 9000 : MIB);

	len = MIN(len, LEN_MAX - off);
	if (file_fallocate(x->in, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len))
		fsx_fail(x, "punch failed", off);
	memset(x->bytes + off, 0, len);
}

static void fsx_copy(struct fsx *x)
{
	size_t off = next(&x->s) % (x->len + 1), dst = next(&x->s) % LEN_MAX;
	size_t len = 1 + next(&x->s) % (2 * MIB);
	uint64_t done, at = 0;

	if (next(&x->s) % 2) {
		off = round_down(off, 4096);
		dst = round_down(dst, 65536);
	}
	len = MIN(MIN(len, x->len - off), LEN_MAX - dst);
	if (!len || (off < dst + len && dst < off + len))
		return;
	for (; at < len; at += done)
		if (file_copy(x->in, off + at, x->in, dst + at, len - at, &done) || !done)
			fsx_fail(x, "copy failed", off);
	memcpy(x->bytes + dst, x->bytes + off, len);
	x->len = MAX(x->len, dst + len);
}

static void fsx_check(struct fsx *x, size_t off, size_t len)
{
	struct file_read r;
	size_t at = off;

	if (file_read(x->in, off, len, false, &r))
		fsx_fail(x, "read failed", off);
	if (r.len != (off < x->len ? MIN(len, x->len - off) : 0))
		fsx_fail(x, "short read", off);
	for (unsigned i = 0; i < r.nr; at += r.iov[i++].iov_len)
		if (memcmp(x->bytes + at, r.iov[i].iov_base, r.iov[i].iov_len))
			fsx_fail(x, "wrong bytes", at);
	file_read_done(make.fs, &r);
}

/* Where the file says data is, is all that is not zero. */
static void fsx_seek(struct fsx *x)
{
	uint64_t at = 0, data, hole;

	while (!file_seek(x->in, at, SEEK_DATA, &data)) {
		if (file_seek(x->in, data, SEEK_HOLE, &hole) || hole <= data)
			fsx_fail(x, "no hole after data", data);
		for (size_t i = at; i < data; i++)
			if (x->bytes[i])
				fsx_fail(x, "data in a hole", i);
		at = hole;
		if (at >= x->len)
			break;
	}
	for (size_t i = at; i < x->len; i++)
		if (x->bytes[i])
			fsx_fail(x, "data in the last hole", i);
}

static void *fsx_run(void *arg)
{
	struct fsx *x = arg;

	for (x->nr = 0; x->nr < 250; x->nr++) {
		unsigned what = (unsigned)(next(&x->s) % 100);

		if (what < 45)
			fsx_write(x);
		else if (what < 55)
			fsx_resize(x);
		else if (what < 65)
			fsx_punch(x);
		else if (what < 72)
			fsx_copy(x);
		else if (what < 76)
			commit_kick(make.fs);
		else if (what < 80 && file_sync(x->in))
			fsx_fail(x, "sync failed", 0);
		else
			fsx_check(x, next(&x->s) % LEN_MAX, 1 + next(&x->s) % MIB);
	}
	fsx_check(x, 0, LEN_MAX);
	fsx_seek(x);
	return NULL;
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

static void *read_on(void *arg)
{
	struct fsx *x = arg;

	for (unsigned i = 0; i < 300; i++)
		fsx_check(x, (i * 7919) % x->len, 200000);
	return NULL;
}

static void random_changes_match_a_model(void **state)
{
	static const char *const names[] = {"a", "b", "c", "still"};
	struct writeback_stat wb;
	struct fsx x[4];
	pthread_t thread[5];
	uint64_t ino[4];

	(void)state;
	log_set_level(LOG_LEVEL_WARN);
	for (unsigned i = 0; i < 4; i++) {
		x[i] = (struct fsx){
			.in = file(names[i]), .s = seed * 100 + i, .bytes = calloc(1, LEN_MAX)};
		ino[i] = x[i].in->ino;
	}
	while (x[3].len < MIB)
		fsx_write(&x[3]);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, i < 3 ? fsx_run : read_on, &x[MIN(i, 3u)]),
			0);
	for (unsigned i = 0; i < 5; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
	writeback_stat_get(make.fs, &wb);
	assert_int_equal(wb.nr_windows, 0);
	assert_int_equal(wb.dirty_bytes, 0);
	assert_int_equal(wb.nr_failed, 0);
	clean();
	for (unsigned i = 0; i < 4; i++)
		inode_put(x[i].in);
	fs_crash(make.fs);
	up();
	clean();
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(inode_get(make.fs, NULL, ino[i], &x[i].in), 0);
		fsx_check(&x[i], 0, LEN_MAX);
		fsx_seek(&x[i]);
		inode_put(x[i].in);
		free(x[i].bytes);
	}
}

/* Ranges far apart above inline bytes, of more windows than the pool would hold whole: every flush finds what it needs. */
static void scattered_writes_find_memory(void **state)
{
	struct inode *in[40];
	uint8_t byte = 7;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(in); i++) {
		char name[8];

		snprintf(name, sizeof(name), "s%u", i);
		in[i] = file(name);
		assert_int_equal(file_write(in[i], 0, &(struct iovec){&byte, 1}, 1, false), 0);
	}
	assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
	for (unsigned n = 1; n < 70; n++)
		for (unsigned i = 0; i < ARRAY_LEN(in); i++)
			assert_int_equal(
				file_write(in[i], n * 8192, &(struct iovec){&byte, 1}, 1, false),
				0);
	assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
	clean();
	for (unsigned i = 0; i < ARRAY_LEN(in); i++) {
		struct file_read r;
		size_t at = 0;

		assert_int_equal(file_peek(in[i], 0, 600000, &r), 0);
		assert_int_equal(r.len, 69 * 8192 + 1);
		for (unsigned k = 0; k < r.nr; k++)
			for (size_t b = 0; b < r.iov[k].iov_len; b++, at++)
				assert_int_equal(((uint8_t *)r.iov[k].iov_base)[b],
						 at % 8192 ? 0 : 7);
		file_read_done(make.fs, &r);
		inode_put(in[i]);
	}
}

/* test_fs_file [SEED]; without, a fixed one and a random one. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_changes_match_a_model, setup, teardown),
		cmocka_unit_test_setup_teardown(scattered_writes_find_memory, setup, teardown),
	};
	int failed;

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (argc == 1) {
		seed = (uint64_t)time(NULL);
		print_message("seed %llu\n", (unsigned long long)seed);
		failed += cmocka_run_group_tests(tests, NULL, NULL);
	}
	return failed;
}
