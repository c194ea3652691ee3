#include "tests/fs/fs_make.h"

#include <sys/xattr.h>

#include "fs/name.h"
#include "fs/op.h"
#include "fs/setattr.h"
#include "fs/xattr.h"

static struct inode *make(void **state, const char *name, uint32_t mode)
{
	struct name_new n = {.mode = mode, .uid = 10, .gid = 20, .target = "target"};
	struct fs *fs = ((struct fs_make *)*state)->fs;
	struct inode *in;

	assert_int_equal(name_make(fs, 1, (struct name){name, strlen(name)}, &n, &in), 0);
	return in;
}

/* With times of second 1, so that a change of them shows; returns the attributes. */
static struct attr make_old(struct inode *in)
{
	struct attr *a, copy;
	struct op op;

	assert_int_equal(op_begin(&op, in->fs), 0);
	a = op_edit(&op, in);
	a->ctime = a->mtime = a->atime = (struct timespec){.tv_sec = 1};
	copy = *a;
	assert_int_equal(op_end(&op, 0), 0);
	return copy;
}

static struct attr attr_of(struct inode *in)
{
	struct attr a;

	inode_attr(in, &a);
	return a;
}

/* Nothing but the change time differs. */
static void only_ctime_moved(const struct attr *old, const struct attr *new)
{
	uint8_t a[ATTR_LEN], b[ATTR_LEN];
	struct attr same = *new;

	assert_int_not_equal(new->ctime.tv_sec, old->ctime.tv_sec);
	same.ctime = old->ctime;
	attr_put(old, a);
	attr_put(&same, b);
	assert_memory_equal(a, b, ATTR_LEN);
}

static void setattr_mode_keeps_the_type(void **state)
{
	struct inode *in = make(state, "mode", S_IFREG | 0644);
	struct attr old = make_old(in), new;
	struct setattr s = {
		.what = SETATTR_MODE, .mode = S_IFDIR | 07321, .uid = 5, .gid = 6, .size = 7};

	assert_int_equal(setattr_apply(in, &s), 0);
	new = attr_of(in);
	assert_int_equal(new.mode, S_IFREG | 07321);
	old.mode = new.mode;
	only_ctime_moved(&old, &new);
	inode_put(in);
}

static void setattr_owner_and_group_are_apart(void **state)
{
	struct inode *in = make(state, "owner", S_IFREG | S_ISUID | S_ISGID | 0755);
	struct attr old = make_old(in), new;
	struct setattr s = {.what = SETATTR_UID, .uid = 5, .gid = 6};

	assert_int_equal(setattr_apply(in, &s), 0);
	new = attr_of(in);
	assert_int_equal(new.uid, 5);
	assert_int_equal(new.gid, 20);
	old.uid = 5;
	/* setuid and setgid stay unless it is asked for. */
	only_ctime_moved(&old, &new);
	s.what = SETATTR_GID;
	s.uid = 7;
	assert_int_equal(setattr_apply(in, &s), 0);
	new = attr_of(in);
	assert_int_equal(new.uid, 5);
	assert_int_equal(new.gid, 6);
	inode_put(in);
}

static void setattr_times_as_asked(void **state)
{
	struct inode *in = make(state, "times", S_IFREG | 0644);
	struct setattr s = {
		.atime = {.tv_sec = -100, .tv_nsec = 999999999},
		.mtime = {.tv_sec = 1LL << 33, .tv_nsec = 5},
		.ctime = {.tv_sec = 77, .tv_nsec = 6},
	};
	struct attr a;

	make_old(in);
	s.what = SETATTR_ATIME;
	assert_int_equal(setattr_apply(in, &s), 0);
	a = attr_of(in);
	assert_int_equal(a.atime.tv_sec, -100);
	assert_int_equal(a.atime.tv_nsec, 999999999);
	assert_int_equal(a.mtime.tv_sec, 1);
	assert_true(a.ctime.tv_sec > 1000000);
	s.what = SETATTR_MTIME | SETATTR_CTIME;
	assert_int_equal(setattr_apply(in, &s), 0);
	a = attr_of(in);
	assert_int_equal(a.mtime.tv_sec, 1LL << 33);
	assert_int_equal(a.mtime.tv_nsec, 5);
	assert_int_equal(a.ctime.tv_sec, 77);
	assert_int_equal(a.ctime.tv_nsec, 6);
	s.what = SETATTR_ATIME | SETATTR_MTIME | SETATTR_ATIME_NOW | SETATTR_MTIME_NOW;
	assert_int_equal(setattr_apply(in, &s), 0);
	a = attr_of(in);
	assert_int_equal(a.atime.tv_sec, a.ctime.tv_sec);
	assert_int_equal(a.mtime.tv_nsec, a.ctime.tv_nsec);
	assert_true(a.ctime.tv_sec > 1000000);
	inode_put(in);
}

static void setattr_bad_nanoseconds_change_nothing(void **state)
{
	static const unsigned whats[] = {SETATTR_ATIME, SETATTR_MTIME, SETATTR_CTIME};
	struct inode *in = make(state, "nanoseconds", S_IFREG | 0644);
	struct setattr s = {
		.mode = 0,
		.atime = {.tv_nsec = 1000000000},
		.mtime = {.tv_nsec = -1},
		.ctime = {.tv_nsec = 1000000000},
	};

	make_old(in);
	for (size_t i = 0; i < ARRAY_LEN(whats); i++) {
		s.what = whats[i] | SETATTR_MODE;
		assert_int_equal(setattr_apply(in, &s), -EINVAL);
	}
	assert_int_equal(attr_of(in).mode, S_IFREG | 0644);
	assert_int_equal(attr_of(in).ctime.tv_sec, 1);
	inode_put(in);
}

static void kill_privs(struct inode *in, uint32_t mode, uint32_t left)
{
	struct setattr s = {.what = SETATTR_MODE, .mode = mode};
	size_t len;

	assert_int_equal(setattr_apply(in, &s), 0);
	assert_int_equal(xattr_set(in, "security.capability", "v", 1, 0, false), 0);
	s = (struct setattr){.what = SETATTR_KILL_PRIVS | SETATTR_UID, .uid = 9};
	assert_int_equal(setattr_apply(in, &s), 0);
	assert_int_equal(attr_of(in).mode & 07777, left);
	if (S_ISDIR(attr_of(in).mode)) {
		assert_int_equal(xattr_get(in, "security.capability", NULL, 0, &len), 0);
		return;
	}
	assert_int_equal(xattr_get(in, "security.capability", NULL, 0, &len), -ENODATA);
	assert_int_equal(attr_of(in).flags & ATTR_CAPS, 0);
}

static void setattr_privileges_go_when_asked(void **state)
{
	struct inode *in = make(state, "privs", S_IFREG | 0644);
	struct inode *dir = make(state, "privs-dir", S_IFDIR | 0755);

	kill_privs(in, 06755, 0755);
	kill_privs(in, 07711, 01711);
	/* Without group execution setgid is no privilege. */
	kill_privs(in, 06745, 02745);
	/* A directory's setgid is about its children. */
	kill_privs(dir, 06755, 06755);
	inode_put(in);
	inode_put(dir);
}

static void setattr_truncation_takes_privileges(void **state)
{
	struct inode *in = make(state, "privs-size", S_IFREG | S_ISUID | S_ISGID | 0755);
	struct setattr s = {.what = SETATTR_SIZE | SETATTR_KILL_PRIVS, .size = 5};
	size_t len;

	assert_int_equal(xattr_set(in, "security.capability", "v", 1, 0, false), 0);
	assert_int_equal(setattr_apply(in, &s), 0);
	assert_int_equal(attr_of(in).size, 5);
	assert_int_equal(attr_of(in).mode, S_IFREG | 0755);
	assert_int_equal(attr_of(in).flags & ATTR_CAPS, 0);
	assert_int_equal(xattr_get(in, "security.capability", NULL, 0, &len), -ENODATA);
	inode_put(in);
}

static void setattr_size_is_for_files(void **state)
{
	struct inode *in = make(state, "size", S_IFREG | 0644);
	struct inode *dir = make(state, "size-dir", S_IFDIR | 0755);
	struct inode *fifo = make(state, "size-fifo", S_IFIFO | 0644);
	struct setattr s = {.what = SETATTR_SIZE | SETATTR_MODE, .size = 123456, .mode = 0600};

	make_old(in);
	assert_int_equal(setattr_apply(in, &s), 0);
	assert_int_equal(attr_of(in).size, 123456);
	assert_int_equal(attr_of(in).mode, S_IFREG | 0600);
	assert_true(attr_of(in).mtime.tv_sec > 1);
	s.what = SETATTR_SIZE;
	s.size = 5;
	assert_int_equal(setattr_apply(in, &s), 0);
	assert_int_equal(attr_of(in).size, 5);
	s.what = SETATTR_SIZE | SETATTR_MODE;
	assert_int_equal(setattr_apply(dir, &s), -EISDIR);
	assert_int_equal(attr_of(dir).mode, S_IFDIR | 0755);
	assert_int_equal(setattr_apply(fifo, &s), -EINVAL);
	assert_int_equal(attr_of(fifo).mode, S_IFIFO | 0644);
	inode_put(in);
	inode_put(dir);
	inode_put(fifo);
}

static void setattr_cannot_bring_an_inode_back(void **state)
{
	struct fs *fs = ((struct fs_make *)*state)->fs;
	struct inode *in = make(state, "back", S_IFREG | 0644), *again;
	struct setattr s = {.what = SETATTR_MODE, .mode = 0600};
	uint64_t ino = in->ino;

	assert_int_equal(name_unlink(fs, 1, (struct name){"back", 4}), 0);
	assert_int_equal(setattr_apply(in, &s), -ESTALE);
	inode_put(in);
	assert_int_equal(inode_get(fs, NULL, ino, &again), -ENOENT);
}

static void setattr_outlives_the_mount(void **state)
{
	struct fs_make *m = *state;
	struct inode *in = make(state, "stays", S_IFREG | 0644);
	struct setattr s = {.what = SETATTR_MODE | SETATTR_UID | SETATTR_MTIME,
			    .mode = 0751,
			    .uid = 99,
			    .mtime = {.tv_sec = 5, .tv_nsec = 6}};
	uint64_t ino = in->ino;
	struct attr a;

	assert_int_equal(setattr_apply(in, &s), 0);
	inode_put(in);
	fs_make_again(m);
	assert_int_equal(inode_get(m->fs, NULL, ino, &in), 0);
	a = attr_of(in);
	assert_int_equal(a.mode, S_IFREG | 0751);
	assert_int_equal(a.uid, 99);
	assert_int_equal(a.mtime.tv_sec, 5);
	assert_int_equal(a.mtime.tv_nsec, 6);
	inode_put(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(setattr_mode_keeps_the_type),
		cmocka_unit_test(setattr_owner_and_group_are_apart),
		cmocka_unit_test(setattr_times_as_asked),
		cmocka_unit_test(setattr_bad_nanoseconds_change_nothing),
		cmocka_unit_test(setattr_privileges_go_when_asked),
		cmocka_unit_test(setattr_truncation_takes_privileges),
		cmocka_unit_test(setattr_size_is_for_files),
		cmocka_unit_test(setattr_cannot_bring_an_inode_back),
		cmocka_unit_test(setattr_outlives_the_mount),
	};

	return cmocka_run_group_tests(tests, fs_make_setup, fs_make_teardown);
}
