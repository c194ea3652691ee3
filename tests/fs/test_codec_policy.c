/* Policies: what can be said, who takes them over, and what comes of them when data is written. */
#include "tests/fs/fs_make.h"

#include <stdio.h>

#include "fs/extent.h"
#include "fs/file.h"
#include "fs/name.h"
#include "fs/codec_policy.h"
#include "fs/writeback.h"
#include "fs/xattr.h"

static struct fs *fs_of(void **state)
{
	return ((struct fs_make *)*state)->fs;
}

static struct inode *make(struct fs *fs, uint64_t parent, const char *name, uint32_t mode)
{
	struct name_new n = {.mode = mode, .target = "target"};
	struct inode *in;

	assert_int_equal(name_make(fs, parent, (struct name){name, strlen(name)}, &n, &in), 0);
	return in;
}

static int set(struct inode *in, const char *value)
{
	return xattr_set(in, POLICY_XATTR, value, strlen(value), 0, false);
}

static void value_is(struct inode *in, const char *name, const char *want)
{
	char buf[256] = "";
	size_t len = 0;
	int err = xattr_get(in, name, buf, sizeof(buf), &len);

	if (!want) {
		assert_int_equal(err, -ENODATA);
		return;
	}
	assert_int_equal(err, 0);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(buf, want, len);
}

/* ---- words ---- */

static void policy_is(const char *text, enum codec_mode mode, int level)
{
	char back[POLICY_TEXT_LEN];
	struct policy p;

	assert_int_equal(codec_policy_parse(text, strlen(text), &p), 0);
	assert_true(p.set);
	assert_int_equal(p.mode, mode);
	assert_int_equal(p.level, level);
	assert_int_equal(codec_policy_format(&p, back), strlen(text));
	assert_string_equal(back, text);
}

static void policy_says_mode_and_level(void **state)
{
	(void)state;
	policy_is("auto", CODEC_AUTO, 0);
	policy_is("none", CODEC_NONE, 0);
	policy_is("zstd", CODEC_ZSTD, 0);
	policy_is("auto:1", CODEC_AUTO, 1);
	policy_is("auto:19", CODEC_AUTO, 19);
	policy_is("zstd:3", CODEC_ZSTD, 3);
}

static void policy_refuses_the_rest(void **state)
{
	static const char *const wrong[] = {
		"",	   "Auto",    "aut",	 "auto ",     "auto:",	 "auto:0", "auto:20",
		"auto:01", "auto:-1", "auto:1x", "none:1",    "none:",	 "zstd:",  ":",
		":3",	   "lz4",     "zstd:+3", "zstd:1000", "zstd:3:4"};
	struct policy p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(codec_policy_parse(wrong[i], strlen(wrong[i]), &p), -EINVAL);
	assert_int_equal(codec_policy_parse(NULL, 0, &p), -EINVAL);
	/* A NUL is no part of the word. */
	assert_int_equal(codec_policy_parse("auto", 5, &p), -EINVAL);
}

/* ---- attributes ---- */

static void policy_attribute_is_checked(void **state)
{
	struct inode *in = make(fs_of(state), 1, "checked", S_IFREG | 0600);

	assert_int_equal(set(in, "lz4"), -EINVAL);
	assert_int_equal(set(in, ""), -EINVAL);
	value_is(in, POLICY_XATTR, NULL);
	assert_int_equal(set(in, "zstd:7"), 0);
	value_is(in, POLICY_XATTR, "zstd:7");
	assert_int_equal(set(in, "zstd:99"), -EINVAL);
	value_is(in, POLICY_XATTR, "zstd:7");
	assert_int_equal(xattr_remove(in, POLICY_XATTR), 0);
	value_is(in, POLICY_XATTR, NULL);
	assert_int_equal(xattr_remove(in, POLICY_XATTR), -ENODATA);
	inode_put(in);
}

static void opts_are(struct inode *in, enum codec_mode mode, int level)
{
	struct codec_opts o = codec_policy_of(in);

	assert_int_equal(o.mode, mode);
	assert_int_equal(o.level, level);
}

static void policy_goes_before_the_mount(void **state)
{
	struct fs_make *m = *state;
	struct inode *in = make(m->fs, 1, "before", S_IFREG | 0600);
	uint64_t ino = in->ino;

	opts_are(in, CODEC_AUTO, CODEC_LEVEL_DEFAULT);
	assert_int_equal(set(in, "none"), 0);
	opts_are(in, CODEC_NONE, CODEC_LEVEL_DEFAULT);
	assert_int_equal(set(in, "auto:9"), 0);
	opts_are(in, CODEC_AUTO, 9);
	assert_int_equal(set(in, "zstd"), 0);
	opts_are(in, CODEC_ZSTD, CODEC_LEVEL_DEFAULT);
	inode_put(in);
	fs_make_again(m);
	assert_int_equal(inode_get(m->fs, NULL, ino, &in), 0);
	opts_are(in, CODEC_ZSTD, CODEC_LEVEL_DEFAULT);
	assert_int_equal(xattr_remove(in, POLICY_XATTR), 0);
	opts_are(in, CODEC_AUTO, CODEC_LEVEL_DEFAULT);
	inode_put(in);
}

static void policy_is_inherited(void **state)
{
	struct fs *fs = fs_of(state);
	struct inode *dir = make(fs, 1, "dir", S_IFDIR | 0700), *before, *file, *sub, *deep, *tmp;
	struct name_new n = {.mode = S_IFREG | 0600};
	struct inode *link, *fifo;

	before = make(fs, dir->ino, "before", S_IFREG | 0600);
	assert_int_equal(set(dir, "zstd:5"), 0);
	value_is(before, POLICY_XATTR, NULL);
	file = make(fs, dir->ino, "file", S_IFREG | 0600);
	value_is(file, POLICY_XATTR, "zstd:5");
	opts_are(file, CODEC_ZSTD, 5);
	sub = make(fs, dir->ino, "sub", S_IFDIR | 0700);
	value_is(sub, POLICY_XATTR, "zstd:5");
	deep = make(fs, sub->ino, "deep", S_IFREG | 0600);
	value_is(deep, POLICY_XATTR, "zstd:5");
	assert_int_equal(name_tmpfile(fs, dir->ino, &n, &tmp), 0);
	value_is(tmp, POLICY_XATTR, "zstd:5");
	link = make(fs, dir->ino, "link", S_IFLNK | 0777);
	value_is(link, POLICY_XATTR, NULL);
	fifo = make(fs, dir->ino, "fifo", S_IFIFO | 0600);
	value_is(fifo, POLICY_XATTR, NULL);
	/* What was made keeps it when the directory changes. */
	assert_int_equal(xattr_remove(dir, POLICY_XATTR), 0);
	value_is(file, POLICY_XATTR, "zstd:5");
	inode_put(make(fs, dir->ino, "after", S_IFREG | 0600));
	inode_put(before);
	inode_put(file);
	inode_put(sub);
	inode_put(deep);
	inode_put(tmp);
	inode_put(link);
	inode_put(fifo);
	inode_put(dir);
}

/* ---- data ---- */

static uint64_t stored_of(struct inode *in)
{
	struct index_txn *t;
	struct map_entry m;
	struct extent e;
	uint64_t sum = 0;
	int err;

	assert_int_equal(index_read(in->fs->index, &t), 0);
	for (err = extent_find(t, in->ino, 0, &m); !err; err = extent_after(t, in->ino, &m, &m)) {
		assert_int_equal(extent_load(t, m.gen, &e), 0);
		sum += e.loc.len;
	}
	index_read_end(t);
	return sum;
}

static void fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i / 16 % 50);
}

static void policy_is_what_data_is_written_by(void **state)
{
	struct fs *fs = fs_of(state);
	struct inode *none = make(fs, 1, "none", S_IFREG | 0600);
	struct inode *best = make(fs, 1, "best", S_IFREG | 0600);
	uint8_t *bytes = malloc(MIB);

	fill(bytes, MIB);
	assert_int_equal(set(none, "none"), 0);
	assert_int_equal(set(best, "zstd:3"), 0);
	assert_int_equal(file_write(none, 0, &(struct iovec){bytes, MIB}, 1, false), 0);
	assert_int_equal(file_write(best, 0, &(struct iovec){bytes, MIB}, 1, false), 0);
	assert_int_equal(file_sync(none), 0);
	assert_int_equal(file_sync(best), 0);
	assert_true(stored_of(none) >= MIB);
	assert_true(stored_of(best) < MIB / 4);
	value_is(none, "user.matfs.ratio", "1.00");
	free(bytes);
	inode_put(none);
	inode_put(best);
}

/* ---- facts ---- */

static void facts_can_only_be_read(void **state)
{
	static const char *const names[] = {"user.matfs.ratio", "user.matfs.dtype",
					    "user.matfs.shape"};
	struct fs *fs = fs_of(state);
	struct inode *in = make(fs, 1, "facts", S_IFREG | 0600);
	struct inode *dir = make(fs, 1, "factsdir", S_IFDIR | 0700);
	char list[64];
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(xattr_set(in, names[i], "x", 1, 0, false), -EPERM);
		assert_int_equal(xattr_remove(in, names[i]), -EPERM);
		value_is(dir, names[i], NULL);
	}
	value_is(in, "user.matfs.ratio", "1.00");
	value_is(in, "user.matfs.dtype", NULL);
	value_is(in, "user.matfs.shape", NULL);
	assert_int_equal(xattr_list(in, list, sizeof(list), &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(set(in, "auto"), 0);
	assert_int_equal(xattr_list(in, list, sizeof(list), &len), 0);
	assert_int_equal(len, sizeof(POLICY_XATTR));
	assert_memory_equal(list, POLICY_XATTR, len);
	inode_put(in);
	inode_put(dir);
}

static void facts_tell_of_an_array(void **state)
{
	static const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
	struct inode *in = make(fs_of(state), 1, "a.npy", S_IFREG | 0600);
	uint8_t file[128 + 48] = "\x93NUMPY\x01";
	char small[4];
	size_t len;

	file[8] = 118;
	memset(file + 10, ' ', 117);
	memcpy(file + 10, dict, strlen(dict));
	file[127] = '\n';
	assert_int_equal(file_write(in, 0, &(struct iovec){file, sizeof(file)}, 1, false), 0);
	for (unsigned i = 0; i < 2; i++) {
		value_is(in, "user.matfs.dtype", "<f4");
		value_is(in, "user.matfs.shape", "(3, 4)");
		assert_int_equal(file_sync(in), 0);
	}
	assert_int_equal(xattr_get(in, "user.matfs.shape", NULL, 0, &len), 0);
	assert_int_equal(len, 6);
	assert_int_equal(xattr_get(in, "user.matfs.shape", small, sizeof(small), &len), -ERANGE);
	inode_put(in);
}

static void ratio_counts_extents(void **state)
{
	struct inode *in = make(fs_of(state), 1, "ratio", S_IFREG | 0600);
	uint8_t *bytes = malloc(4 * MIB);
	char buf[32] = "";
	size_t len;

	fill(bytes, 4 * MIB);
	assert_int_equal(file_write(in, 0, &(struct iovec){bytes, 4 * MIB}, 1, false), 0);
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(xattr_get(in, "user.matfs.ratio", buf, sizeof(buf) - 1, &len), 0);
	assert_true(strtod(buf, NULL) > 2);
	assert_true(strtod(buf, NULL) < 4.0 * MIB / (double)stored_of(in) + 0.01);
	assert_true(strtod(buf, NULL) > 4.0 * MIB / (double)stored_of(in) - 0.01);
	free(bytes);
	inode_put(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policy_says_mode_and_level),
		cmocka_unit_test(policy_refuses_the_rest),
		cmocka_unit_test(policy_attribute_is_checked),
		cmocka_unit_test(policy_goes_before_the_mount),
		cmocka_unit_test(policy_is_inherited),
		cmocka_unit_test(policy_is_what_data_is_written_by),
		cmocka_unit_test(facts_can_only_be_read),
		cmocka_unit_test(facts_tell_of_an_array),
		cmocka_unit_test(ratio_counts_extents),
	};

	return cmocka_run_group_tests(tests, fs_make_setup, fs_make_teardown);
}
