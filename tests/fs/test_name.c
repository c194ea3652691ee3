#include "tests/fs/fs_make.h"

#include <linux/fs.h>
#include <pthread.h>

#include "fs/commit.h"
#include "fs/file.h"
#include "fs/name.h"
#include "fs/op.h"

#define ROOT	      1
#define LINK_MAX_HERE (1u << 31)

static struct fs *fs_of(void **state)
{
	return ((struct fs_make *)*state)->fs;
}

static struct name name_of(const char *text)
{
	return (struct name){.p = text, .len = strlen(text)};
}

/* ---- calls by text ---- */

static int try_make(struct fs *fs, uint64_t parent, const char *name, uint32_t mode)
{
	struct name_new n = {.mode = mode, .target = "target"};
	struct inode *in;
	int err = name_make(fs, parent, name_of(name), &n, &in);

	if (!err)
		inode_put(in);
	return err;
}

/* Returns the inode number. */
static uint64_t make(struct fs *fs, uint64_t parent, const char *name, uint32_t mode)
{
	struct name_new n = {.mode = mode, .target = "target"};
	struct inode *in;
	uint64_t ino;

	assert_int_equal(name_make(fs, parent, name_of(name), &n, &in), 0);
	ino = in->ino;
	inode_put(in);
	return ino;
}

static uint64_t make_dir(struct fs *fs, uint64_t parent, const char *name)
{
	return make(fs, parent, name, S_IFDIR | 0755);
}

static uint64_t make_file(struct fs *fs, uint64_t parent, const char *name)
{
	return make(fs, parent, name, S_IFREG | 0644);
}

static int lookup(struct fs *fs, uint64_t parent, const char *name, uint64_t *ino)
{
	struct inode *in;
	int err = name_lookup(fs, parent, name_of(name), &in);

	if (err)
		return err;
	*ino = in->ino;
	inode_put(in);
	return 0;
}

static void leads_to(struct fs *fs, uint64_t parent, const char *name, uint64_t want)
{
	uint64_t ino = 0;

	assert_int_equal(lookup(fs, parent, name, &ino), 0);
	assert_int_equal(ino, want);
}

static void not_there(struct fs *fs, uint64_t parent, const char *name)
{
	uint64_t ino;

	assert_int_equal(lookup(fs, parent, name, &ino), -ENOENT);
}

static int try_link(struct fs *fs, uint64_t ino, uint64_t parent, const char *name)
{
	struct inode *in;
	int err = name_link(fs, ino, parent, name_of(name), &in);

	if (err)
		return err;
	assert_int_equal(in->ino, ino);
	inode_put(in);
	return 0;
}

static int rename_to(struct fs *fs, uint64_t from_dir, const char *from, uint64_t to_dir,
		     const char *to, unsigned flags)
{
	return name_rename(fs, from_dir, name_of(from), to_dir, name_of(to), flags);
}

static struct attr attr_of(struct fs *fs, uint64_t ino)
{
	struct inode *in;
	struct attr a;

	assert_int_equal(inode_get(fs, NULL, ino, &in), 0);
	inode_attr(in, &a);
	inode_put(in);
	return a;
}

static void links_are(struct fs *fs, uint64_t ino, uint32_t nlink)
{
	assert_int_equal(attr_of(fs, ino).nlink, nlink);
}

static void dir_is(struct fs *fs, uint64_t ino, unsigned names, unsigned dirs)
{
	assert_int_equal(attr_of(fs, ino).size, 32 * names);
	links_are(fs, ino, 2 + dirs);
}

static bool exists(struct fs *fs, uint64_t ino)
{
	struct inode *in;
	int err = inode_get(fs, NULL, ino, &in);

	if (!err)
		inode_put(in);
	else
		assert_int_equal(err, -ENOENT);
	return !err;
}

static bool is_orphan(struct fs *fs, uint64_t ino)
{
	struct key key = key_number(0, KEY_ORPHAN, ino);
	struct index_txn *t;
	struct index_val v;
	int err;

	assert_int_equal(index_read(fs->index, &t), 0);
	err = index_get(t, &key, &v);
	index_read_end(t);
	return !err;
}

static void change_attr(struct fs *fs, uint64_t ino, void (*change)(struct attr *a))
{
	struct inode *in;
	struct op op;

	assert_int_equal(inode_get(fs, NULL, ino, &in), 0);
	assert_int_equal(op_begin(&op, fs), 0);
	change(op_edit(&op, in));
	assert_int_equal(op_end(&op, 0), 0);
	inode_put(in);
}

/* ---- lookup ---- */

static void name_lookup_finds_what_was_made(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "lookup"), sub = make_dir(fs, dir, "sub");
	uint64_t file = make_file(fs, dir, "file"), odd = make_file(fs, dir, "\xff\x01 \n");
	uint64_t ino;

	leads_to(fs, dir, "file", file);
	leads_to(fs, dir, "\xff\x01 \n", odd);
	leads_to(fs, dir, "sub", sub);
	not_there(fs, dir, "File");
	not_there(fs, dir, "fil");
	not_there(fs, dir, "file ");
	not_there(fs, dir, "");
	assert_int_equal(lookup(fs, file, "x", &ino), -ENOTDIR);
	assert_int_equal(lookup(fs, file, ".", &ino), -ENOTDIR);
	assert_int_equal(lookup(fs, 1 << 30, "x", &ino), -ENOENT);
	leads_to(fs, dir, ".", dir);
	leads_to(fs, dir, "..", ROOT);
	leads_to(fs, sub, "..", dir);
	leads_to(fs, ROOT, "..", ROOT);
	leads_to(fs, ROOT, ".", ROOT);
}

static void name_of_255_bytes_is_the_longest(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "longest"), ino, file;
	char name[257], other[257];

	memset(name, 'n', 256);
	memset(other, 'o', 256);
	name[256] = other[256] = '\0';
	assert_int_equal(lookup(fs, dir, name, &ino), -ENAMETOOLONG);
	assert_int_equal(try_make(fs, dir, name, S_IFREG), -ENAMETOOLONG);
	assert_int_equal(try_link(fs, ROOT, dir, name), -ENAMETOOLONG);
	assert_int_equal(name_unlink(fs, dir, name_of(name)), -ENAMETOOLONG);
	assert_int_equal(name_rmdir(fs, dir, name_of(name)), -ENAMETOOLONG);
	assert_int_equal(rename_to(fs, dir, name, dir, "x", 0), -ENAMETOOLONG);
	assert_int_equal(rename_to(fs, dir, "x", dir, name, 0), -ENAMETOOLONG);
	name[255] = other[255] = '\0';
	file = make_file(fs, dir, name);
	leads_to(fs, dir, name, file);
	assert_int_equal(rename_to(fs, dir, name, dir, other, 0), 0);
	leads_to(fs, dir, other, file);
	assert_int_equal(name_unlink(fs, dir, name_of(other)), 0);
	dir_is(fs, dir, 0, 0);
}

/* ---- make ---- */

static void name_make_gives_what_was_asked(void **state)
{
	static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "make");

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		bool device = types[i] == S_IFCHR || types[i] == S_IFBLK;
		bool is_dir = types[i] == S_IFDIR;
		struct name_new n = {.mode = types[i] | 07777,
				     .umask = 0027,
				     .uid = 11,
				     .gid = 22,
				     .rdev = 0x1234567};
		struct inode *in;
		struct attr a;
		char name[2] = {(char)('a' + i), '\0'};

		assert_int_equal(name_make(fs, dir, name_of(name), &n, &in), 0);
		inode_attr(in, &a);
		assert_int_equal(a.mode, types[i] | 07750);
		assert_int_equal(a.uid, 11);
		assert_int_equal(a.gid, 22);
		assert_int_equal(a.rdev, device ? 0x1234567 : 0);
		assert_int_equal(a.nlink, is_dir ? 2 : 1);
		assert_int_equal(a.parent, is_dir ? dir : 0);
		assert_int_equal(a.next_cookie, is_dir ? 3 : 0);
		assert_int_equal(a.size, 0);
		assert_int_equal(a.mapped, 0);
		assert_true(a.btime.tv_sec > 1000000);
		assert_memory_equal(&a.btime, &a.mtime, sizeof(a.btime));
		inode_put(in);
	}
	dir_is(fs, dir, ARRAY_LEN(types), 1);
}

static void name_make_refuses(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "make-not"), file = make_file(fs, dir, "file");
	uint64_t before = atomic_load(&fs->n.nr_inodes);

	assert_int_equal(try_make(fs, dir, "file", S_IFREG), -EEXIST);
	assert_int_equal(try_make(fs, dir, "file", S_IFDIR), -EEXIST);
	assert_int_equal(try_make(fs, dir, ".", S_IFDIR), -EEXIST);
	assert_int_equal(try_make(fs, dir, "..", S_IFREG), -EEXIST);
	assert_int_equal(try_make(fs, dir, "", S_IFREG), -ENOENT);
	assert_int_equal(try_make(fs, dir, "x", 0644), -EINVAL);
	assert_int_equal(try_make(fs, dir, "x", S_IFMT), -EINVAL);
	assert_int_equal(try_make(fs, dir, "x", S_IFREG | 1 << 20), -EINVAL);
	assert_int_equal(try_make(fs, file, "x", S_IFREG), -ENOTDIR);
	assert_int_equal(try_make(fs, 1 << 30, "x", S_IFREG), -ENOENT);
	not_there(fs, dir, "x");
	dir_is(fs, dir, 1, 0);
	assert_int_equal(atomic_load(&fs->n.nr_inodes), before);
}

static void name_make_in_a_setgid_directory(void **state)
{
	static const struct {
		uint32_t mode, uid, gid, want;
	} cases[] = {
		{S_IFREG | 0664, 5, 6, S_IFREG | 0664},
		{S_IFREG | S_ISGID | 0755, 5, 6, S_IFREG | 0755},	     /* not in the group */
		{S_IFREG | S_ISGID | 0755, 5, 77, S_IFREG | S_ISGID | 0755}, /* in it */
		{S_IFREG | S_ISGID | 0755, 0, 6, S_IFREG | S_ISGID | 0755},  /* may all */
		{S_IFREG | S_ISGID | 0745, 5, 6, S_IFREG | S_ISGID | 0745},  /* no privilege */
		{S_IFDIR | 0755, 5, 6, S_IFDIR | S_ISGID | 0755},
		{S_IFIFO | 0644, 5, 6, S_IFIFO | 0644},
	};
	struct fs *fs = fs_of(state);
	struct name_new n = {.mode = S_IFDIR | S_ISGID | 0777, .gid = 77};
	struct inode *dir, *in;

	assert_int_equal(name_make(fs, ROOT, name_of("setgid"), &n, &dir), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct attr a;

		n = (struct name_new){
			.mode = cases[i].mode, .uid = cases[i].uid, .gid = cases[i].gid};
		assert_int_equal(name_make(fs, dir->ino, name_of("x"), &n, &in), 0);
		inode_attr(in, &a);
		assert_int_equal(a.mode, cases[i].want);
		assert_int_equal(a.uid, cases[i].uid);
		assert_int_equal(a.gid, 77);
		inode_put(in);
		if (S_ISDIR(a.mode))
			assert_int_equal(name_rmdir(fs, dir->ino, name_of("x")), 0);
		else
			assert_int_equal(name_unlink(fs, dir->ino, name_of("x")), 0);
	}
	inode_put(dir);
}

static void name_symlinks_keep_their_target(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t file = make_file(fs, ROOT, "no-link");
	struct name_new n = {.mode = S_IFLNK | 0600, .umask = 0777};
	char target[4097], buf[4096];
	struct inode *in;

	memset(target, 't', 4096);
	target[4096] = '\0';
	n.target = target;
	assert_int_equal(name_make(fs, ROOT, name_of("link"), &n, &in), -ENAMETOOLONG);
	target[4095] = '\0';
	assert_int_equal(name_make(fs, ROOT, name_of("link"), &n, &in), 0);
	assert_int_equal(attr_of(fs, in->ino).size, 4095);
	assert_int_equal(attr_of(fs, in->ino).mode, S_IFLNK | 0777);
	assert_int_equal(name_readlink(fs, in->ino, buf), 0);
	assert_string_equal(buf, target);
	assert_int_equal(name_unlink(fs, ROOT, name_of("link")), 0);
	assert_int_equal(name_readlink(fs, in->ino, buf), -ENOENT);
	inode_put(in);
	n.target = "";
	assert_int_equal(name_make(fs, ROOT, name_of("link"), &n, &in), -ENOENT);
	n.target = "a";
	assert_int_equal(name_make(fs, ROOT, name_of("link"), &n, &in), 0);
	assert_int_equal(name_readlink(fs, in->ino, buf), 0);
	assert_string_equal(buf, "a");
	inode_put(in);
	assert_int_equal(name_readlink(fs, file, buf), -EINVAL);
	assert_int_equal(name_readlink(fs, ROOT, buf), -EINVAL);
}

/* ---- links, and the last of them ---- */

static void name_link_counts(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "links"), sub = make_dir(fs, dir, "sub");
	uint64_t file = make_file(fs, dir, "a");

	assert_int_equal(try_link(fs, file, dir, "b"), 0);
	assert_int_equal(try_link(fs, file, sub, "c"), 0);
	links_are(fs, file, 3);
	dir_is(fs, dir, 3, 1);
	dir_is(fs, sub, 1, 0);
	leads_to(fs, sub, "c", file);
	assert_int_equal(try_link(fs, file, dir, "b"), -EEXIST);
	assert_int_equal(try_link(fs, file, dir, "sub"), -EEXIST);
	assert_int_equal(try_link(fs, file, dir, "."), -EEXIST);
	assert_int_equal(try_link(fs, sub, dir, "d"), -EPERM);
	assert_int_equal(try_link(fs, dir, dir, "d"), -EPERM);
	assert_int_equal(try_link(fs, file, file, "d"), -ENOTDIR);
	assert_int_equal(try_link(fs, 1 << 30, dir, "d"), -ENOENT);
	assert_int_equal(name_unlink(fs, dir, name_of("a")), 0);
	assert_int_equal(name_unlink(fs, sub, name_of("c")), 0);
	links_are(fs, file, 1);
	assert_true(exists(fs, file));
	assert_int_equal(name_unlink(fs, dir, name_of("b")), 0);
	assert_false(exists(fs, file));
	assert_int_equal(try_link(fs, file, dir, "e"), -ENOENT);
	dir_is(fs, dir, 1, 1);
}

static void most_links(struct attr *a)
{
	a->nlink = LINK_MAX_HERE;
}

static void few_links(struct attr *a)
{
	a->nlink = S_ISDIR(a->mode) ? 2 + 1 : 1;
}

static void name_links_have_a_bound(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "bound"), other = make_dir(fs, ROOT, "bound-not");
	uint64_t file = make_file(fs, dir, "file");

	make_dir(fs, dir, "sub");
	make_dir(fs, other, "sub");
	change_attr(fs, file, most_links);
	assert_int_equal(try_link(fs, file, dir, "more"), -EMLINK);
	change_attr(fs, file, few_links);
	change_attr(fs, dir, most_links);
	assert_int_equal(try_make(fs, dir, "more", S_IFDIR), -EMLINK);
	assert_int_equal(try_make(fs, dir, "more", S_IFREG), 0);
	assert_int_equal(rename_to(fs, other, "sub", dir, "new", 0), -EMLINK);
	assert_int_equal(rename_to(fs, other, "sub", dir, "more", RENAME_EXCHANGE), -EMLINK);
	assert_int_equal(rename_to(fs, dir, "more", other, "sub", RENAME_EXCHANGE), -EMLINK);
	/* One for one, and within itself. */
	assert_int_equal(rename_to(fs, dir, "sub", other, "sub", RENAME_EXCHANGE), 0);
	assert_int_equal(rename_to(fs, other, "sub", dir, "sub", 0), 0);
	links_are(fs, dir, LINK_MAX_HERE);
	assert_int_equal(rename_to(fs, dir, "sub", dir, "sub2", 0), 0);
	change_attr(fs, dir, few_links);
	dir_is(fs, dir, 3, 1);
	dir_is(fs, other, 0, 0);
}

static void name_unlink_and_rmdir_refuse(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "remove"), sub = make_dir(fs, dir, "sub");
	uint64_t file = make_file(fs, sub, "file");

	assert_int_equal(name_unlink(fs, dir, name_of("none")), -ENOENT);
	assert_int_equal(name_rmdir(fs, dir, name_of("none")), -ENOENT);
	assert_int_equal(name_unlink(fs, dir, name_of("sub")), -EISDIR);
	assert_int_equal(name_rmdir(fs, sub, name_of("file")), -ENOTDIR);
	assert_int_equal(name_rmdir(fs, dir, name_of("sub")), -ENOTEMPTY);
	assert_int_equal(name_unlink(fs, file, name_of("x")), -ENOTDIR);
	assert_int_equal(name_rmdir(fs, file, name_of("x")), -ENOTDIR);
	assert_int_equal(name_rmdir(fs, dir, name_of(".")), -EINVAL);
	assert_int_equal(name_rmdir(fs, dir, name_of("..")), -ENOTEMPTY);
	assert_int_equal(name_unlink(fs, dir, name_of(".")), -EISDIR);
	leads_to(fs, dir, "sub", sub);
	leads_to(fs, sub, "file", file);
	dir_is(fs, dir, 1, 1);
	dir_is(fs, sub, 1, 0);
}

static int nothing_listed(void *arg, const struct name_entry *e)
{
	(void)arg;
	(void)e;
	fail_msg("an entry");
	return 0;
}

static void name_removed_directory_takes_nothing(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "removed"), file = make_file(fs, ROOT, "removed-file");
	struct name_new n = {.mode = S_IFREG};
	struct inode *in, *tmp;

	assert_int_equal(inode_get(fs, NULL, dir, &in), 0);
	assert_int_equal(name_rmdir(fs, ROOT, name_of("removed")), 0);
	links_are(fs, dir, 0);
	assert_int_equal(try_make(fs, dir, "x", S_IFREG), -ENOENT);
	assert_int_equal(try_make(fs, dir, "x", S_IFDIR), -ENOENT);
	assert_int_equal(try_link(fs, file, dir, "x"), -ENOENT);
	assert_int_equal(rename_to(fs, ROOT, "removed-file", dir, "x", 0), -ENOENT);
	assert_int_equal(rename_to(fs, dir, "x", ROOT, "y", 0), -ENOENT);
	assert_int_equal(name_tmpfile(fs, dir, &n, &tmp), -ENOENT);
	assert_int_equal(name_list(fs, dir, 0, nothing_listed, NULL), -ENOENT);
	not_there(fs, dir, "x");
	inode_put(in);
	assert_false(exists(fs, dir));
	leads_to(fs, ROOT, "removed-file", file);
}

static void name_open_file_outlives_its_name(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t ino = make_file(fs, ROOT, "open"), before = atomic_load(&fs->n.nr_inodes);
	struct inode *in;

	assert_int_equal(inode_get(fs, NULL, ino, &in), 0);
	file_opened(in);
	file_opened(in);
	assert_int_equal(name_unlink(fs, ROOT, name_of("open")), 0);
	not_there(fs, ROOT, "open");
	assert_true(is_orphan(fs, ino));
	links_are(fs, ino, 0);
	assert_int_equal(name_reclaim(in), 0);
	file_closed(in);
	assert_true(is_orphan(fs, ino));
	assert_int_equal(atomic_load(&fs->n.nr_inodes), before);
	file_closed(in);
	assert_false(is_orphan(fs, ino));
	assert_int_equal(atomic_load(&fs->n.nr_inodes), before - 1);
	inode_put(in);
	assert_false(exists(fs, ino));
}

static void name_orphan_goes_at_the_next_mount(void **state)
{
	struct fs_make *m = *state;
	uint64_t ino = make_file(m->fs, ROOT, "left"), before = atomic_load(&m->fs->n.nr_inodes);
	struct inode *in;

	assert_int_equal(inode_get(m->fs, NULL, ino, &in), 0);
	file_opened(in);
	assert_int_equal(name_unlink(m->fs, ROOT, name_of("left")), 0);
	assert_true(is_orphan(m->fs, ino));
	fs_make_again(m);
	assert_false(is_orphan(m->fs, ino));
	assert_false(exists(m->fs, ino));
	assert_int_equal(atomic_load(&m->fs->n.nr_inodes), before - 1);
}

static void name_tmpfile_can_get_a_name(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "tmp"), kept, before = atomic_load(&fs->n.nr_inodes);
	struct name_new n = {.mode = S_IFREG | 0666, .umask = 022, .uid = 3, .gid = 4};
	struct inode *in;

	assert_int_equal(name_tmpfile(fs, dir, &n, &in), 0);
	file_opened(in);
	dir_is(fs, dir, 0, 0);
	links_are(fs, in->ino, 0);
	assert_int_equal(attr_of(fs, in->ino).mode, S_IFREG | 0644);
	assert_int_equal(attr_of(fs, in->ino).uid, 3);
	assert_true(is_orphan(fs, in->ino));
	assert_int_equal(try_link(fs, in->ino, dir, "named"), 0);
	assert_false(is_orphan(fs, in->ino));
	links_are(fs, in->ino, 1);
	kept = in->ino;
	file_closed(in);
	inode_put(in);
	leads_to(fs, dir, "named", kept);

	assert_int_equal(name_tmpfile(fs, dir, &n, &in), 0);
	file_opened(in);
	kept = in->ino;
	file_closed(in);
	assert_int_equal(try_link(fs, kept, dir, "late"), -ENOENT);
	inode_put(in);
	assert_false(exists(fs, kept));
	assert_int_equal(atomic_load(&fs->n.nr_inodes), before + 1);
	n.mode = S_IFDIR;
	assert_int_equal(name_tmpfile(fs, dir, &n, &in), -EINVAL);
	n.mode = S_IFREG;
	assert_int_equal(name_tmpfile(fs, kept, &n, &in), -ENOENT);
}

/* ---- rename ---- */

static void name_rename_moves(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t a = make_dir(fs, ROOT, "mv-a"), b = make_dir(fs, ROOT, "mv-b");
	uint64_t file = make_file(fs, a, "file"), sub = make_dir(fs, a, "sub");

	assert_int_equal(rename_to(fs, a, "file", a, "file2", 0), 0);
	not_there(fs, a, "file");
	leads_to(fs, a, "file2", file);
	dir_is(fs, a, 2, 1);
	assert_int_equal(rename_to(fs, a, "file2", b, "file", 0), 0);
	leads_to(fs, b, "file", file);
	assert_int_equal(rename_to(fs, a, "sub", b, "sub", 0), 0);
	not_there(fs, a, "sub");
	leads_to(fs, b, "sub", sub);
	leads_to(fs, sub, "..", b);
	dir_is(fs, a, 0, 0);
	dir_is(fs, b, 2, 1);
	links_are(fs, sub, 2);
	links_are(fs, file, 1);
}

static void name_rename_replaces(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "rp"), from = make_dir(fs, ROOT, "rp-from");
	uint64_t file = make_file(fs, from, "file"), old = make_file(fs, dir, "file");
	uint64_t sub = make_dir(fs, from, "sub"), old_sub = make_dir(fs, dir, "sub");

	assert_int_equal(rename_to(fs, from, "file", dir, "file", 0), 0);
	leads_to(fs, dir, "file", file);
	assert_false(exists(fs, old));
	assert_int_equal(rename_to(fs, from, "sub", dir, "sub", 0), 0);
	leads_to(fs, dir, "sub", sub);
	leads_to(fs, sub, "..", dir);
	assert_false(exists(fs, old_sub));
	dir_is(fs, dir, 2, 1);
	dir_is(fs, from, 0, 0);
	/* In one directory. */
	old_sub = make_dir(fs, dir, "sub2");
	assert_int_equal(rename_to(fs, dir, "sub2", dir, "sub", 0), 0);
	leads_to(fs, dir, "sub", old_sub);
	assert_false(exists(fs, sub));
	dir_is(fs, dir, 2, 1);
	/* A file that has other names loses one. */
	assert_int_equal(try_link(fs, file, from, "again"), 0);
	make_file(fs, dir, "new");
	assert_int_equal(rename_to(fs, dir, "new", dir, "file", 0), 0);
	links_are(fs, file, 1);
	leads_to(fs, from, "again", file);
}

static void name_rename_keeps_an_open_target(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t old = make_file(fs, ROOT, "target");
	struct inode *in;

	make_file(fs, ROOT, "source");
	assert_int_equal(inode_get(fs, NULL, old, &in), 0);
	file_opened(in);
	assert_int_equal(rename_to(fs, ROOT, "source", ROOT, "target", 0), 0);
	assert_true(is_orphan(fs, old));
	links_are(fs, old, 0);
	file_closed(in);
	inode_put(in);
	assert_false(exists(fs, old));
	assert_false(is_orphan(fs, old));
}

static void name_rename_of_one_file_does_nothing(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "same"), file = make_file(fs, dir, "a");

	assert_int_equal(try_link(fs, file, dir, "b"), 0);
	assert_int_equal(rename_to(fs, dir, "a", dir, "b", 0), 0);
	assert_int_equal(rename_to(fs, dir, "a", dir, "a", 0), 0);
	assert_int_equal(rename_to(fs, dir, "a", dir, "b", RENAME_EXCHANGE), 0);
	assert_int_equal(rename_to(fs, dir, "a", dir, "b", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(rename_to(fs, dir, "a", dir, "a", RENAME_NOREPLACE), -EEXIST);
	links_are(fs, file, 2);
	dir_is(fs, dir, 2, 0);
}

static void name_rename_refuses(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "rn"), sub = make_dir(fs, dir, "sub");
	uint64_t below = make_dir(fs, sub, "below"), file = make_file(fs, dir, "file");
	uint64_t empty = make_dir(fs, dir, "empty");

	assert_int_equal(rename_to(fs, dir, "none", dir, "x", 0), -ENOENT);
	assert_int_equal(rename_to(fs, dir, "file", dir, "empty", 0), -EISDIR);
	assert_int_equal(rename_to(fs, dir, "empty", dir, "file", 0), -ENOTDIR);
	assert_int_equal(rename_to(fs, dir, "empty", dir, "sub", 0), -ENOTEMPTY);
	assert_int_equal(rename_to(fs, dir, "sub", sub, "x", 0), -EINVAL);
	assert_int_equal(rename_to(fs, dir, "sub", below, "x", 0), -EINVAL);
	assert_int_equal(rename_to(fs, ROOT, "rn", below, "x", 0), -EINVAL);
	assert_int_equal(rename_to(fs, sub, "below", ROOT, "rn", 0), -ENOTEMPTY);
	assert_int_equal(rename_to(fs, dir, "file", file, "x", 0), -ENOTDIR);
	assert_int_equal(rename_to(fs, file, "x", dir, "x", 0), -ENOTDIR);
	assert_int_equal(rename_to(fs, dir, "file", dir, "sub", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(rename_to(fs, dir, "file", dir, "x", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(rename_to(fs, dir, "sub", below, "x", RENAME_EXCHANGE), -ENOENT);
	make_file(fs, below, "x");
	assert_int_equal(rename_to(fs, dir, "sub", below, "x", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(rename_to(fs, below, "x", dir, "sub", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(rename_to(fs, below, "x", dir, "sub", 0), -ENOTEMPTY);
	assert_int_equal(rename_to(fs, dir, "file", dir, "x", 4), -EINVAL);
	assert_int_equal(rename_to(fs, dir, "file", dir, "x", RENAME_NOREPLACE | RENAME_EXCHANGE),
			 -EINVAL);
	assert_int_equal(rename_to(fs, dir, ".", dir, "x", 0), -EBUSY);
	assert_int_equal(rename_to(fs, dir, "file", dir, "..", 0), -EBUSY);
	assert_int_equal(rename_to(fs, dir, "file", dir, "..", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(rename_to(fs, dir, "", dir, "x", 0), -ENOENT);
	/* Nothing of all that was done. */
	leads_to(fs, ROOT, "rn", dir);
	leads_to(fs, dir, "sub", sub);
	leads_to(fs, sub, "below", below);
	leads_to(fs, dir, "empty", empty);
	leads_to(fs, dir, "file", file);
	leads_to(fs, sub, "..", dir);
	dir_is(fs, dir, 3, 2);
	dir_is(fs, sub, 1, 1);
	dir_is(fs, below, 1, 0);
}

static void name_rename_exchanges(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t a = make_dir(fs, ROOT, "ex-a"), b = make_dir(fs, ROOT, "ex-b");
	uint64_t file = make_file(fs, a, "file"), sub = make_dir(fs, b, "sub");
	uint64_t deep = make_file(fs, sub, "deep"), sub2 = make_dir(fs, a, "sub2");

	assert_int_equal(rename_to(fs, a, "file", b, "sub", RENAME_EXCHANGE), 0);
	leads_to(fs, a, "file", sub);
	leads_to(fs, b, "sub", file);
	leads_to(fs, sub, "..", a);
	leads_to(fs, sub, "deep", deep);
	dir_is(fs, a, 2, 2);
	dir_is(fs, b, 1, 0);
	/* Two directories of one directory, and of two. */
	assert_int_equal(rename_to(fs, a, "file", a, "sub2", RENAME_EXCHANGE), 0);
	leads_to(fs, a, "file", sub2);
	leads_to(fs, a, "sub2", sub);
	dir_is(fs, a, 2, 2);
	assert_int_equal(rename_to(fs, a, "file", ROOT, "ex-b", RENAME_EXCHANGE), 0);
	leads_to(fs, a, "file", b);
	leads_to(fs, b, "..", a);
	leads_to(fs, sub2, "..", ROOT);
	links_are(fs, file, 1);
	links_are(fs, sub, 2);
}

/* ---- times ---- */

static void make_old(struct attr *a)
{
	a->atime = a->mtime = a->ctime = (struct timespec){.tv_sec = 1};
}

/* Which of an inode's times moved since make_old(): "m" and "c", as "mc". */
static void moved(struct fs *fs, uint64_t ino, const char *want)
{
	struct attr a = attr_of(fs, ino);
	char have[4];

	assert_int_equal(a.atime.tv_sec, 1);
	snprintf(have, sizeof(have), "%s%s", a.mtime.tv_sec != 1 ? "m" : "",
		 a.ctime.tv_sec != 1 ? "c" : "");
	assert_string_equal(have, want);
	change_attr(fs, ino, make_old);
}

static void name_changes_move_times(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t a = make_dir(fs, ROOT, "times-a"), b = make_dir(fs, ROOT, "times-b");
	uint64_t file = make_file(fs, a, "file"), other = make_file(fs, b, "other");
	uint64_t all[] = {a, b, file, other};
	uint64_t ino;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		change_attr(fs, all[i], make_old);
	assert_int_equal(lookup(fs, a, "file", &ino), 0);
	assert_int_equal(rename_to(fs, a, "file", b, "other", RENAME_NOREPLACE), -EEXIST);
	moved(fs, a, "");
	moved(fs, b, "");
	make_file(fs, a, "new");
	moved(fs, a, "mc");
	assert_int_equal(try_link(fs, file, b, "link"), 0);
	moved(fs, file, "c");
	moved(fs, b, "mc");
	moved(fs, a, "");
	assert_int_equal(name_unlink(fs, b, name_of("link")), 0);
	moved(fs, file, "c");
	moved(fs, b, "mc");
	assert_int_equal(rename_to(fs, a, "file", b, "file", 0), 0);
	moved(fs, a, "mc");
	moved(fs, b, "mc");
	moved(fs, file, "c");
	assert_int_equal(rename_to(fs, b, "file", b, "other", RENAME_EXCHANGE), 0);
	moved(fs, b, "mc");
	moved(fs, file, "c");
	moved(fs, other, "c");
	assert_int_equal(try_link(fs, other, a, "other"), 0);
	moved(fs, other, "c");
	moved(fs, a, "mc");
	assert_int_equal(rename_to(fs, b, "other", b, "file", 0), 0); /* file over other */
	moved(fs, other, "c");
	moved(fs, file, "c");
	moved(fs, b, "mc");
	make_dir(fs, b, "dir");
	moved(fs, b, "mc");
	assert_int_equal(name_rmdir(fs, b, name_of("dir")), 0);
	moved(fs, b, "mc");
}

/* ---- list ---- */

struct listed {
	char text[256];	 /* the names, each with a space behind */
	uint64_t cookie; /* of the last one */
	unsigned nr, max;
};

static int list_entry(void *arg, const struct name_entry *e)
{
	struct listed *l = arg;
	size_t at = strlen(l->text);

	if (l->nr == l->max)
		return 1;
	assert_true(e->cookie > l->cookie);
	snprintf(l->text + at, sizeof(l->text) - at, "%.*s ", (int)e->name.len, e->name.p);
	l->cookie = e->cookie;
	l->nr++;
	return 0;
}

/* Up to @max names after l->cookie. */
static void list_on(struct fs *fs, uint64_t dir, struct listed *l, unsigned max, const char *want)
{
	l->text[0] = '\0';
	l->nr = 0;
	l->max = max;
	assert_int_equal(name_list(fs, dir, l->cookie, list_entry, l), 0);
	assert_string_equal(l->text, want);
}

static void name_list_goes_on_where_it_stopped(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "list");
	struct listed l = {.cookie = 0};

	list_on(fs, dir, &l, 9, ". .. ");
	list_on(fs, dir, &l, 9, "");
	make_file(fs, dir, "z");
	make_file(fs, dir, "b");
	make_file(fs, dir, "y");
	list_on(fs, dir, &l, 2, "z b ");
	list_on(fs, dir, &l, 9, "y ");
	l.cookie = 0;
	list_on(fs, dir, &l, 1, ". ");
	list_on(fs, dir, &l, 1, ".. ");
	list_on(fs, dir, &l, 1, "z ");
	/* What goes, goes; what comes, comes last; what is replaced stays in its place. */
	assert_int_equal(name_unlink(fs, dir, name_of("z")), 0);
	make_file(fs, dir, "a");
	assert_int_equal(rename_to(fs, dir, "a", dir, "y", 0), 0);
	make_file(fs, dir, "c");
	list_on(fs, dir, &l, 1, "b ");
	assert_int_equal(name_unlink(fs, dir, name_of("b")), 0);
	list_on(fs, dir, &l, 9, "y c ");
	l.cookie = 0;
	list_on(fs, dir, &l, 9, ". .. y c ");
	l = (struct listed){.cookie = UINT64_MAX};
	list_on(fs, dir, &l, 9, "");
}

struct entries {
	struct name_entry e[8];
	unsigned nr;
};

static int keep_entry(void *arg, const struct name_entry *e)
{
	struct entries *all = arg;

	assert_true(all->nr < ARRAY_LEN(all->e));
	all->e[all->nr++] = *e;
	return 0;
}

static void name_list_tells_inode_and_type(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "types"), sub = make_dir(fs, dir, "sub");
	uint64_t file = make_file(fs, dir, "file"), link = make(fs, dir, "link", S_IFLNK);
	const struct {
		uint64_t ino;
		uint32_t type;
	} want[] = {
		{dir, S_IFDIR}, {ROOT, S_IFDIR}, {sub, S_IFDIR}, {file, S_IFREG}, {link, S_IFLNK}};
	struct entries all = {.nr = 0};

	assert_int_equal(name_list(fs, dir, 0, keep_entry, &all), 0);
	assert_int_equal(all.nr, ARRAY_LEN(want));
	for (unsigned i = 0; i < all.nr; i++) {
		assert_int_equal(all.e[i].ino, want[i].ino);
		assert_int_equal(all.e[i].type, want[i].type);
		assert_int_equal(all.e[i].cookie, i + 1);
	}
	all.nr = 0;
	assert_int_equal(name_list(fs, sub, 1, keep_entry, &all), 0);
	assert_int_equal(all.nr, 1);
	assert_int_equal(all.e[0].ino, dir);
	assert_int_equal(name_list(fs, file, 0, keep_entry, &all), -ENOTDIR);
	assert_int_equal(name_list(fs, 1 << 30, 0, keep_entry, &all), -ENOENT);
}

static int count_entry(void *arg, const struct name_entry *e)
{
	(void)e;
	++*(unsigned *)arg;
	return 0;
}

static void name_list_of_many(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "many");
	unsigned nr = 0;
	char name[32];

	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "name %u", i);
		make_file(fs, dir, name);
	}
	assert_int_equal(name_list(fs, dir, 0, count_entry, &nr), 0);
	assert_int_equal(nr, 10002);
	dir_is(fs, dir, 10000, 0);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "name %u", i);
		assert_int_equal(name_unlink(fs, dir, name_of(name)), 0);
	}
	nr = 0;
	assert_int_equal(name_list(fs, dir, 2, count_entry, &nr), 0);
	assert_int_equal(nr, 0);
	assert_int_equal(name_rmdir(fs, ROOT, name_of("many")), 0);
}

/* ---- data of removed files ---- */

#define PIECES	   1100	       /* more than one op gives up */
#define PIECE_LEN  (33 * 1024) /* too long to share an extent */
#define PIECE_STEP (1 * MIB)

static void write_piece(struct inode *in, uint64_t off, uint8_t seed)
{
	uint8_t buf[PIECE_LEN];
	struct iovec iov = {buf, sizeof(buf)};

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(seed + i * 37 + i / 251);
	assert_int_equal(file_write(in, off, &iov, 1, false), 0);
}

static void name_unlink_gives_all_space_back(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t ino = make_file(fs, ROOT, "big"), dirty = make_file(fs, ROOT, "dirty");
	uint64_t logical = atomic_load(&fs->n.logical), extents = atomic_load(&fs->n.nr_extents);
	struct inode *in;

	assert_int_equal(inode_get(fs, NULL, ino, &in), 0);
	for (unsigned i = 0; i < PIECES; i++)
		write_piece(in, i * PIECE_STEP, (uint8_t)i);
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(atomic_load(&fs->n.nr_extents), extents + PIECES);
	inode_put(in);
	assert_int_equal(inode_get(fs, NULL, dirty, &in), 0);
	write_piece(in, 0, 1);
	inode_put(in);
	assert_int_equal(name_unlink(fs, ROOT, name_of("big")), 0);
	assert_int_equal(name_unlink(fs, ROOT, name_of("dirty")), 0);
	assert_false(is_orphan(fs, ino));
	assert_false(is_orphan(fs, dirty));
	assert_int_equal(atomic_load(&fs->n.nr_extents), extents);
	assert_int_equal(atomic_load(&fs->n.logical), logical);
	/* The commit forgets attributes that it would have put. */
	assert_int_equal(commit_wait(fs, commit_open_txg(fs)), 0);
	assert_false(exists(fs, ino));
	assert_false(exists(fs, dirty));
}

/* ---- threads ---- */

struct racer {
	struct fs *fs;
	uint64_t dir;
	unsigned id;
	atomic_bool *stop;
	unsigned nr;
	int err;
};

static void *race_replace(void *arg)
{
	struct racer *r = arg;
	struct name_new n = {.mode = S_IFREG | 0644};
	char name[16];

	snprintf(name, sizeof(name), "tmp%u", r->id);
	while (!atomic_load(r->stop) && !r->err) {
		struct inode *in;

		r->err = name_make(r->fs, r->dir, name_of(name), &n, &in);
		if (r->err)
			break;
		inode_put(in);
		r->err = name_rename(r->fs, r->dir, name_of(name), r->dir, name_of("always"), 0);
		r->nr++;
	}
	return NULL;
}

static void *race_lookup(void *arg)
{
	struct racer *r = arg;

	while (!atomic_load(r->stop) && !r->err) {
		struct inode *in;

		r->err = name_lookup(r->fs, r->dir, name_of("always"), &in);
		if (!r->err)
			inode_put(in);
		r->nr++;
	}
	return NULL;
}

static int count_always(void *arg, const struct name_entry *e)
{
	*(unsigned *)arg += e->name.len == 6 && memcmp(e->name.p, "always", 6) == 0;
	return 0;
}

static void *race_list(void *arg)
{
	struct racer *r = arg;

	while (!atomic_load(r->stop) && !r->err) {
		unsigned nr = 0;

		r->err = name_list(r->fs, r->dir, 0, count_always, &nr);
		if (!r->err && nr != 1)
			r->err = -ENOENT;
		r->nr++;
	}
	return NULL;
}

static void name_replaced_by_threads_is_always_there(void **state)
{
	struct fs *fs = fs_of(state);
	uint64_t dir = make_dir(fs, ROOT, "race"), before;
	void *(*const fn[])(void *) = {race_replace, race_replace, race_lookup, race_lookup,
				       race_list};
	struct racer r[ARRAY_LEN(fn)];
	pthread_t thread[ARRAY_LEN(fn)];
	struct timespec half = {.tv_nsec = 500000000};
	atomic_bool stop = false;

	make_file(fs, dir, "always");
	before = atomic_load(&fs->n.nr_inodes);
	for (unsigned i = 0; i < ARRAY_LEN(fn); i++) {
		r[i] = (struct racer){.fs = fs, .dir = dir, .id = i, .stop = &stop};
		assert_int_equal(pthread_create(&thread[i], NULL, fn[i], &r[i]), 0);
	}
	nanosleep(&half, NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_LEN(fn); i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(r[i].err, 0);
		assert_true(r[i].nr > 0);
	}
	dir_is(fs, dir, 1, 0);
	assert_int_equal(atomic_load(&fs->n.nr_inodes), before);
}

static void *race_write(void *arg)
{
	struct racer *r = arg;
	struct name_new n = {.mode = S_IFREG | 0644};
	uint8_t bytes[3 * PIECE_LEN] = "not all the same";
	char name[16], other[16];

	snprintf(name, sizeof(name), "a%u", r->id);
	snprintf(other, sizeof(other), "b%u", r->id);
	while (!atomic_load(r->stop) && !r->err) {
		struct iovec iov = {bytes, 1 + r->nr * 977 % sizeof(bytes)};
		struct inode *in;

		r->err = name_make(r->fs, r->dir, name_of(name), &n, &in);
		if (r->err)
			break;
		file_opened(in);
		r->err = file_write(in, 0, &iov, 1, false);
		if (r->nr % 3)
			file_closed(in);
		if (!r->err && r->nr % 2)
			r->err = name_rename(r->fs, r->dir, name_of(name), r->dir, name_of(other),
					     0);
		else if (!r->err)
			r->err = name_unlink(r->fs, r->dir, name_of(name));
		if (r->nr % 3 == 0)
			file_closed(in);
		inode_put(in);
		r->nr++;
	}
	return NULL;
}

static void *race_commit(void *arg)
{
	struct racer *r = arg;

	while (!atomic_load(r->stop) && !r->err) {
		r->err = commit_wait(r->fs, commit_open_txg(r->fs));
		r->nr++;
	}
	return NULL;
}

static void name_unlink_while_data_is_written_leaves_nothing(void **state)
{
	struct fs_make *m = *state;
	struct fs *fs = m->fs;
	uint64_t dir = make_dir(fs, ROOT, "race-write"), inodes = atomic_load(&fs->n.nr_inodes);
	uint64_t logical = atomic_load(&fs->n.logical), extents = atomic_load(&fs->n.nr_extents);
	void *(*const fn[])(void *) = {race_write, race_write, race_commit};
	struct racer r[ARRAY_LEN(fn)];
	pthread_t thread[ARRAY_LEN(fn)];
	struct timespec second = {.tv_sec = 1};
	atomic_bool stop = false;

	for (unsigned i = 0; i < ARRAY_LEN(fn); i++) {
		r[i] = (struct racer){.fs = fs, .dir = dir, .id = i, .stop = &stop};
		assert_int_equal(pthread_create(&thread[i], NULL, fn[i], &r[i]), 0);
	}
	nanosleep(&second, NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_LEN(fn); i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(r[i].err, 0);
		assert_true(r[i].nr > 0);
	}
	name_unlink(fs, dir, name_of("b0"));
	name_unlink(fs, dir, name_of("b1"));
	for (int again = 0; again < 2; again++) {
		assert_int_equal(commit_wait(fs, commit_open_txg(fs)), 0);
		dir_is(fs, dir, 0, 0);
		assert_int_equal(atomic_load(&fs->n.nr_inodes), inodes);
		assert_int_equal(atomic_load(&fs->n.nr_extents), extents);
		assert_int_equal(atomic_load(&fs->n.logical), logical);
		fs_make_again(m); /* counts anew */
		fs = m->fs;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_lookup_finds_what_was_made),
		cmocka_unit_test(name_of_255_bytes_is_the_longest),
		cmocka_unit_test(name_make_gives_what_was_asked),
		cmocka_unit_test(name_make_refuses),
		cmocka_unit_test(name_make_in_a_setgid_directory),
		cmocka_unit_test(name_symlinks_keep_their_target),
		cmocka_unit_test(name_link_counts),
		cmocka_unit_test(name_links_have_a_bound),
		cmocka_unit_test(name_unlink_and_rmdir_refuse),
		cmocka_unit_test(name_removed_directory_takes_nothing),
		cmocka_unit_test(name_open_file_outlives_its_name),
		cmocka_unit_test(name_orphan_goes_at_the_next_mount),
		cmocka_unit_test(name_tmpfile_can_get_a_name),
		cmocka_unit_test(name_rename_moves),
		cmocka_unit_test(name_rename_replaces),
		cmocka_unit_test(name_rename_keeps_an_open_target),
		cmocka_unit_test(name_rename_of_one_file_does_nothing),
		cmocka_unit_test(name_rename_refuses),
		cmocka_unit_test(name_rename_exchanges),
		cmocka_unit_test(name_changes_move_times),
		cmocka_unit_test(name_list_goes_on_where_it_stopped),
		cmocka_unit_test(name_list_tells_inode_and_type),
		cmocka_unit_test(name_list_of_many),
		cmocka_unit_test(name_unlink_gives_all_space_back),
		cmocka_unit_test(name_replaced_by_threads_is_always_there),
		cmocka_unit_test(name_unlink_while_data_is_written_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, fs_make_setup, fs_make_teardown);
}
