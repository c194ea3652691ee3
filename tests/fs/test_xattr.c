#include "tests/fs/fs_make.h"

#include <linux/posix_acl.h>
#include <sys/xattr.h>

#include "fs/name.h"
#include "fs/op.h"
#include "fs/xattr.h"

#define ACCESS	"system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

static struct inode *make(struct fs *fs, uint64_t parent, const char *name, uint32_t mode)
{
	struct name_new n = {.mode = mode, .target = "target"};
	struct inode *in;

	assert_int_equal(name_make(fs, parent, (struct name){name, strlen(name)}, &n, &in), 0);
	return in;
}

static struct fs *fs_of(void **state)
{
	return ((struct fs_make *)*state)->fs;
}

/* A file of its own for each test. */
static struct inode *file_new(void **state, const char *name)
{
	return make(fs_of(state), 1, name, S_IFREG | 0640);
}

static int set(struct inode *in, const char *name, const char *value, int flags)
{
	return xattr_set(in, name, value, strlen(value), flags, false);
}

static void value_is(struct inode *in, const char *name, const char *want)
{
	char buf[64];
	size_t len;

	assert_int_equal(xattr_get(in, name, buf, sizeof(buf), &len), 0);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(buf, want, len);
}

static int get_err(struct inode *in, const char *name)
{
	size_t len;

	return xattr_get(in, name, NULL, 0, &len);
}

static uint32_t mode_of(struct inode *in)
{
	struct attr a;

	inode_attr(in, &a);
	return a.mode;
}

/* So that a change of times shows. */
static void make_old(struct inode *in)
{
	struct op op;
	struct attr *a;

	assert_int_equal(op_begin(&op, in->fs), 0);
	a = op_edit(&op, in);
	a->ctime = a->mtime = a->atime = (struct timespec){.tv_sec = 1};
	assert_int_equal(op_end(&op, 0), 0);
}

/* Has the change time alone moved since make_old()? */
static bool touched(struct inode *in)
{
	struct attr a;

	inode_attr(in, &a);
	assert_int_equal(a.mtime.tv_sec, 1);
	assert_int_equal(a.atime.tv_sec, 1);
	return a.ctime.tv_sec != 1;
}

static void xattr_set_replace_remove(void **state)
{
	struct inode *in = file_new(state, "basic");
	char buf[8];
	size_t len = 99;

	assert_int_equal(get_err(in, "user.a"), -ENODATA);
	assert_int_equal(set(in, "user.a", "one", XATTR_REPLACE), -ENODATA);
	assert_int_equal(set(in, "user.a", "one", XATTR_CREATE), 0);
	value_is(in, "user.a", "one");
	assert_int_equal(set(in, "user.a", "two", XATTR_CREATE), -EEXIST);
	value_is(in, "user.a", "one");
	assert_int_equal(set(in, "user.a", "twelve", XATTR_REPLACE), 0);
	value_is(in, "user.a", "twelve");
	assert_int_equal(set(in, "user.a", "", 0), 0);
	value_is(in, "user.a", "");
	assert_int_equal(set(in, "user.a", "x", 4), -EINVAL);
	assert_int_equal(set(in, "user.a", "12345678", 0), 0);
	assert_int_equal(xattr_get(in, "user.a", buf, 7, &len), -ERANGE);
	assert_int_equal(len, 99);
	assert_int_equal(xattr_get(in, "user.a", NULL, 0, &len), 0);
	assert_int_equal(len, 8);
	assert_int_equal(xattr_get(in, "user.a", buf, 8, &len), 0);
	assert_int_equal(xattr_remove(in, "user.a"), 0);
	assert_int_equal(xattr_remove(in, "user.a"), -ENODATA);
	assert_int_equal(get_err(in, "user.a"), -ENODATA);
	inode_put(in);
}

static void xattr_names_and_values_have_limits(void **state)
{
	struct inode *in = file_new(state, "limits");
	AUTO_FREE char *value = malloc(XATTR_VALUE_MAX + 1);
	AUTO_FREE char *back = malloc(XATTR_VALUE_MAX + 1);
	char name[300] = "user.";
	size_t len;

	assert_non_null(value);
	assert_non_null(back);
	memset(name + 5, 'n', 250);
	assert_int_equal(set(in, name, "v", 0), 0);
	value_is(in, name, "v");
	assert_int_equal(xattr_remove(in, name), 0);
	name[255] = 'n';
	assert_int_equal(set(in, name, "v", 0), -ERANGE);
	assert_int_equal(get_err(in, name), -ERANGE);
	assert_int_equal(xattr_remove(in, name), -ERANGE);
	assert_int_equal(set(in, "", "v", 0), -ERANGE);
	for (size_t i = 0; i <= XATTR_VALUE_MAX; i++)
		value[i] = (char)(i * 7 + i / 256);
	assert_int_equal(xattr_set(in, "user.big", value, XATTR_VALUE_MAX + 1, 0, false), -E2BIG);
	assert_int_equal(get_err(in, "user.big"), -ENODATA);
	assert_int_equal(xattr_set(in, "user.big", value, XATTR_VALUE_MAX, 0, false), 0);
	assert_int_equal(xattr_get(in, "user.big", back, XATTR_VALUE_MAX + 1, &len), 0);
	assert_int_equal(len, XATTR_VALUE_MAX);
	assert_memory_equal(back, value, XATTR_VALUE_MAX);
	inode_put(in);
}

static void xattr_only_known_namespaces(void **state)
{
	static const struct {
		const char *name;
		int err;
	} names[] = {
		{"user.x", 0},
		{"trusted.x", 0},
		{"security.x", 0},
		{"user.", -EINVAL},
		{"trusted.", -EINVAL},
		{"security.", -EINVAL},
		{"user", -EOPNOTSUPP},
		{"system.x", -EOPNOTSUPP},
		{"plain", -EOPNOTSUPP},
		{"users.x", -EOPNOTSUPP},
		{"system.posix_acl_accessx", -EOPNOTSUPP},
		{"system.posix_acl", -EOPNOTSUPP},
	};
	struct inode *in = file_new(state, "spaces");

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int none = names[i].err ? names[i].err : -ENODATA;

		assert_int_equal(get_err(in, names[i].name), none);
		assert_int_equal(xattr_remove(in, names[i].name), none);
		assert_int_equal(set(in, names[i].name, "v", 0), names[i].err);
		assert_int_equal(get_err(in, names[i].name), names[i].err);
	}
	inode_put(in);
}

static void xattr_user_is_for_files_and_directories(void **state)
{
	static const struct {
		const char *name;
		uint32_t type;
		int err;
	} types[] = {
		{"xreg", S_IFREG, 0},	    {"xdir", S_IFDIR, 0},	 {"xlnk", S_IFLNK, -EPERM},
		{"xfifo", S_IFIFO, -EPERM}, {"xsock", S_IFSOCK, -EPERM}, {"xchr", S_IFCHR, -EPERM},
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct inode *in = make(fs_of(state), 1, types[i].name, types[i].type | 0644);

		assert_int_equal(set(in, "user.a", "v", 0), types[i].err);
		assert_int_equal(xattr_remove(in, "user.a"), types[i].err);
		assert_int_equal(get_err(in, "user.a"), -ENODATA);
		assert_int_equal(set(in, "trusted.a", "v", 0), 0);
		assert_int_equal(set(in, "security.a", "v", 0), 0);
		inode_put(in);
	}
}

static void xattr_changes_move_the_change_time(void **state)
{
	struct inode *in = file_new(state, "ctime");

	make_old(in);
	assert_int_equal(set(in, "user.a", "v", XATTR_REPLACE), -ENODATA);
	assert_int_equal(xattr_remove(in, "user.a"), -ENODATA);
	assert_int_equal(xattr_remove(in, ACCESS), 0); /* nothing there, nothing done */
	assert_false(touched(in));
	assert_int_equal(set(in, "user.a", "v", 0), 0);
	assert_true(touched(in));
	make_old(in);
	value_is(in, "user.a", "v");
	assert_false(touched(in));
	assert_int_equal(xattr_remove(in, "user.a"), 0);
	assert_true(touched(in));
	inode_put(in);
}

static void xattr_list_names_all(void **state)
{
	static const char want[] = "security.b\0trusted.c\0user.a\0user.aa";
	struct inode *in = file_new(state, "list");
	struct inode *next = file_new(state, "list-next"); /* its attributes lie behind */
	char buf[100];
	size_t len;

	assert_int_equal(xattr_list(in, buf, sizeof(buf), &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(set(next, "user.next", "v", 0), 0);
	assert_int_equal(xattr_list(in, buf, sizeof(buf), &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(set(in, "user.aa", "v", 0), 0);
	assert_int_equal(set(in, "user.a", "v", 0), 0);
	assert_int_equal(set(in, "trusted.c", "v", 0), 0);
	assert_int_equal(set(in, "security.b", "v", 0), 0);
	assert_int_equal(xattr_list(in, NULL, 0, &len), 0);
	assert_int_equal(len, sizeof(want));
	assert_int_equal(xattr_list(in, buf, sizeof(want) - 1, &len), -ERANGE);
	assert_int_equal(xattr_list(in, buf, sizeof(want), &len), 0);
	assert_int_equal(len, sizeof(want));
	assert_memory_equal(buf, want, len);
	inode_put(in);
	inode_put(next);
}

static void xattr_capability_is_known_by_a_flag(void **state)
{
	struct inode *in = file_new(state, "caps");
	struct attr a;

	assert_int_equal(set(in, "security.other", "v", 0), 0);
	inode_attr(in, &a);
	assert_int_equal(a.flags & ATTR_CAPS, 0);
	assert_int_equal(set(in, "security.capability", "v", 0), 0);
	inode_attr(in, &a);
	assert_int_equal(a.flags & ATTR_CAPS, ATTR_CAPS);
	assert_int_equal(xattr_remove(in, "security.capability"), 0);
	inode_attr(in, &a);
	assert_int_equal(a.flags & ATTR_CAPS, 0);
	inode_put(in);
}

/* ---- ACLs ---- */

struct entry {
	uint16_t tag, perm;
	uint32_t id;
};

static size_t acl_bytes(const struct entry *e, size_t nr, uint8_t *buf)
{
	put_u32(buf, 2);
	for (size_t i = 0; i < nr; i++) {
		bool named = e[i].tag == ACL_USER || e[i].tag == ACL_GROUP;

		put_u16(buf + 4 + 8 * i, e[i].tag);
		put_u16(buf + 6 + 8 * i, e[i].perm);
		put_u32(buf + 8 + 8 * i, named ? e[i].id : UINT32_MAX);
	}
	return 4 + 8 * nr;
}

static int acl_set(struct inode *in, const char *name, const struct entry *e, size_t nr,
		   bool kill_sgid)
{
	uint8_t buf[4 + 8 * 8];

	return xattr_set(in, name, buf, acl_bytes(e, nr, buf), 0, kill_sgid);
}

static void acl_is(struct inode *in, const char *name, const struct entry *e, size_t nr)
{
	uint8_t want[4 + 8 * 8], have[4 + 8 * 8];
	size_t len = acl_bytes(e, nr, want), have_len;

	assert_int_equal(xattr_get(in, name, have, sizeof(have), &have_len), 0);
	assert_int_equal(have_len, len);
	assert_memory_equal(have, want, len);
}

static const struct entry minimal[] = {
	{ACL_USER_OBJ, 7, 0},
	{ACL_GROUP_OBJ, 5, 0},
	{ACL_OTHER, 1, 0},
};
static const struct entry named[] = {
	{ACL_USER_OBJ, 6, 0}, {ACL_USER, 7, 1000}, {ACL_GROUP_OBJ, 0, 0},
	{ACL_MASK, 3, 0},     {ACL_OTHER, 4, 0},
};

static void acl_changes_the_mode(void **state)
{
	struct inode *in = make(fs_of(state), 1, "acl", S_IFREG | S_ISGID | S_ISUID | 0600);

	make_old(in);
	assert_int_equal(acl_set(in, ACCESS, named, ARRAY_LEN(named), false), 0);
	assert_int_equal(mode_of(in), S_IFREG | S_ISGID | S_ISUID | 0634);
	assert_true(touched(in));
	acl_is(in, ACCESS, named, ARRAY_LEN(named));
	/* What the mode says is not kept, and takes what was kept away. */
	assert_int_equal(acl_set(in, ACCESS, minimal, ARRAY_LEN(minimal), false), 0);
	assert_int_equal(mode_of(in), S_IFREG | S_ISGID | S_ISUID | 0751);
	assert_int_equal(get_err(in, ACCESS), -ENODATA);
	assert_int_equal(acl_set(in, ACCESS, named, ARRAY_LEN(named), true), 0);
	assert_int_equal(mode_of(in), S_IFREG | S_ISUID | 0634);
	/* Removing it leaves the mode. */
	assert_int_equal(xattr_remove(in, ACCESS), 0);
	assert_int_equal(mode_of(in), S_IFREG | S_ISUID | 0634);
	assert_int_equal(get_err(in, ACCESS), -ENODATA);
	assert_int_equal(xattr_remove(in, ACCESS), 0);
	inode_put(in);
}

static void acl_without_entries_is_removed(void **state)
{
	struct inode *in = make(fs_of(state), 1, "acl-empty", S_IFDIR | 0755);

	assert_int_equal(acl_set(in, ACCESS, named, ARRAY_LEN(named), false), 0);
	assert_int_equal(acl_set(in, ACCESS, NULL, 0, false), 0);
	assert_int_equal(get_err(in, ACCESS), -ENODATA);
	assert_int_equal(acl_set(in, DEFAULT, named, ARRAY_LEN(named), false), 0);
	assert_int_equal(acl_set(in, DEFAULT, NULL, 0, false), 0);
	assert_int_equal(get_err(in, DEFAULT), -ENODATA);
	assert_int_equal(acl_set(in, DEFAULT, named, ARRAY_LEN(named), false), 0);
	assert_int_equal(xattr_set(in, DEFAULT, "", 0, 0, false), 0);
	assert_int_equal(get_err(in, DEFAULT), -ENODATA);
	inode_put(in);
}

static void acl_that_is_none_changes_nothing(void **state)
{
	struct inode *in = make(fs_of(state), 1, "acl-bad", S_IFREG | 0640);
	struct inode *link = make(fs_of(state), 1, "acl-link", S_IFLNK);

	assert_int_equal(acl_set(in, ACCESS, named, ARRAY_LEN(named), false), 0);
	make_old(in);
	assert_int_equal(acl_set(in, ACCESS, named, ARRAY_LEN(named) - 1, false), -EINVAL);
	assert_int_equal(xattr_set(in, ACCESS, "x", 1, 0, false), -EINVAL);
	assert_int_equal(xattr_set(in, ACCESS, "\3\0\0\0", 4, 0, false), -EOPNOTSUPP);
	assert_int_equal(acl_set(in, DEFAULT, named, ARRAY_LEN(named), false), -EACCES);
	assert_int_equal(acl_set(in, DEFAULT, NULL, 0, false), 0);
	assert_int_equal(mode_of(in), S_IFREG | 0634);
	assert_false(touched(in));
	acl_is(in, ACCESS, named, ARRAY_LEN(named));
	assert_int_equal(acl_set(link, ACCESS, named, ARRAY_LEN(named), false), -EOPNOTSUPP);
	inode_put(in);
	inode_put(link);
}

static struct inode *make_umask(struct fs *fs, uint64_t parent, const char *name, uint32_t mode)
{
	struct name_new n = {.mode = mode, .umask = 077, .target = "target"};
	struct inode *in;

	assert_int_equal(name_make(fs, parent, (struct name){name, strlen(name)}, &n, &in), 0);
	return in;
}

static void acl_default_is_inherited_instead_of_the_umask(void **state)
{
	static const struct entry file_acl[] = {
		{ACL_USER_OBJ, 6, 0}, {ACL_USER, 7, 1000}, {ACL_GROUP_OBJ, 0, 0},
		{ACL_MASK, 2, 0},     {ACL_OTHER, 4, 0},
	};
	struct fs *fs = fs_of(state);
	struct inode *dir = make(fs, 1, "acl-parent", S_IFDIR | 0777);
	struct inode *in;

	assert_int_equal(acl_set(dir, DEFAULT, named, ARRAY_LEN(named), false), 0);
	assert_int_equal(mode_of(dir), S_IFDIR | 0777);

	in = make_umask(fs, dir->ino, "file", S_IFREG | 0666);
	assert_int_equal(mode_of(in), S_IFREG | 0624);
	acl_is(in, ACCESS, file_acl, ARRAY_LEN(file_acl));
	assert_int_equal(get_err(in, DEFAULT), -ENODATA);
	inode_put(in);

	in = make_umask(fs, dir->ino, "dir", S_IFDIR | 0777);
	assert_int_equal(mode_of(in), S_IFDIR | 0634);
	acl_is(in, ACCESS, named, ARRAY_LEN(named));
	acl_is(in, DEFAULT, named, ARRAY_LEN(named));
	inode_put(in);

	in = make_umask(fs, dir->ino, "link", S_IFLNK);
	assert_int_equal(mode_of(in), S_IFLNK | 0777);
	assert_int_equal(get_err(in, ACCESS), -ENODATA);
	inode_put(in);

	assert_int_equal(acl_set(dir, DEFAULT, minimal, ARRAY_LEN(minimal), false), 0);
	in = make_umask(fs, dir->ino, "plain", S_IFREG | 0666);
	assert_int_equal(mode_of(in), S_IFREG | 0640);
	assert_int_equal(get_err(in, ACCESS), -ENODATA);
	inode_put(in);

	assert_int_equal(xattr_remove(dir, DEFAULT), 0);
	in = make_umask(fs, dir->ino, "masked", S_IFREG | 0666);
	assert_int_equal(mode_of(in), S_IFREG | 0600);
	inode_put(in);
	inode_put(dir);
}

/* ---- their end ---- */

static unsigned records_of(struct fs *fs, uint64_t ino)
{
	struct key first = key_plain(ino, 0);
	struct index_cursor *c;
	struct index_txn *t;
	struct index_val k, v;
	unsigned nr = 0;
	int err;

	assert_int_equal(index_read(fs->index, &t), 0);
	assert_int_equal(index_cursor_open(t, &c), 0);
	for (err = index_seek(c, &first, &k, &v); !err; err = index_next(c, &k, &v)) {
		if (get_be64(k.p) != ino)
			break;
		nr++;
	}
	index_cursor_close(c);
	index_read_end(t);
	return nr;
}

static void xattr_goes_with_its_file(void **state)
{
	struct fs *fs = fs_of(state);
	struct inode *in = file_new(state, "gone");
	uint64_t ino = in->ino;
	size_t len;

	for (int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "user.%d", i);
		assert_int_equal(set(in, name, name, 0), 0);
	}
	assert_int_equal(records_of(fs, ino), 21);
	assert_int_equal(name_unlink(fs, 1, (struct name){"gone", 4}), 0);
	assert_int_equal(records_of(fs, ino), 0);
	/* Who still holds the inode cannot bring a record back. */
	assert_int_equal(set(in, "user.late", "v", 0), -ESTALE);
	assert_int_equal(xattr_remove(in, "user.1"), -ESTALE);
	assert_int_equal(acl_set(in, ACCESS, named, ARRAY_LEN(named), false), -ESTALE);
	assert_int_equal(get_err(in, "user.1"), -ENODATA);
	assert_int_equal(xattr_list(in, NULL, 0, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(records_of(fs, ino), 0);
	inode_put(in);
}

static void xattr_outlives_the_mount(void **state)
{
	struct fs_make *m = *state;
	struct inode *in = file_new(state, "stays");
	uint64_t ino = in->ino;

	assert_int_equal(set(in, "user.a", "value", 0), 0);
	assert_int_equal(acl_set(in, ACCESS, named, ARRAY_LEN(named), false), 0);
	inode_put(in);
	fs_make_again(m);
	assert_int_equal(inode_get(m->fs, NULL, ino, &in), 0);
	value_is(in, "user.a", "value");
	acl_is(in, ACCESS, named, ARRAY_LEN(named));
	assert_int_equal(mode_of(in), S_IFREG | 0634);
	inode_put(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xattr_set_replace_remove),
		cmocka_unit_test(xattr_names_and_values_have_limits),
		cmocka_unit_test(xattr_only_known_namespaces),
		cmocka_unit_test(xattr_user_is_for_files_and_directories),
		cmocka_unit_test(xattr_changes_move_the_change_time),
		cmocka_unit_test(xattr_list_names_all),
		cmocka_unit_test(xattr_capability_is_known_by_a_flag),
		cmocka_unit_test(acl_changes_the_mode),
		cmocka_unit_test(acl_without_entries_is_removed),
		cmocka_unit_test(acl_that_is_none_changes_nothing),
		cmocka_unit_test(acl_default_is_inherited_instead_of_the_umask),
		cmocka_unit_test(xattr_goes_with_its_file),
		cmocka_unit_test(xattr_outlives_the_mount),
	};

	return cmocka_run_group_tests(tests, fs_make_setup, fs_make_teardown);
}
