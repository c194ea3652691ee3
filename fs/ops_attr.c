/* Requests for attributes, of inodes and of the file system. */
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "conf/base.h"
#include "fs/fact.h"
#include "fs/later.h"
#include "fs/ops_slice.h"
#include "fs/ops_stats.h"
#include "fs/setattr.h"
#include "fs/xattr.h"

/* ---- attributes ---- */

int ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *in;
	int err;

	(void)fi;
	if (ops_stats_is(ino))
		return ops_stats_reply_attr(req, ino);
	if (ops_slice_is(ino))
		return ops_slice_getattr(req, ino);
	err = ops_inode(req, ino, &in);
	if (err)
		return err;
	ops_reply_attr(req, in);
	inode_put(in);
	return 0;
}

/* Which of our own bits goes with which of the kernel's. */
static unsigned setattr_what(int to_set)
{
	static const struct {
		int theirs;
		unsigned ours;
	} bits[] = {
		{FUSE_SET_ATTR_MODE, SETATTR_MODE},
		{FUSE_SET_ATTR_UID, SETATTR_UID},
		{FUSE_SET_ATTR_GID, SETATTR_GID},
		{FUSE_SET_ATTR_SIZE, SETATTR_SIZE},
		{FUSE_SET_ATTR_ATIME, SETATTR_ATIME},
		{FUSE_SET_ATTR_MTIME, SETATTR_MTIME},
		{FUSE_SET_ATTR_ATIME_NOW, SETATTR_ATIME_NOW},
		{FUSE_SET_ATTR_MTIME_NOW, SETATTR_MTIME_NOW},
		{FUSE_SET_ATTR_CTIME, SETATTR_CTIME},
		{FUSE_SET_ATTR_KILL_SUID, SETATTR_KILL_PRIVS},
	};
	unsigned what = 0;

	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		what |= to_set & bits[i].theirs ? bits[i].ours : 0;
	return what;
}

/* With HANDLE_KILLPRIV_V2 a request to change nothing says that setuid and setgid are to go: before a write, an
 * fallocate, or with a chown that names nobody. It says so of directories, too, and means nothing by it. */
static unsigned setattr_empty(const struct ops *o, struct inode *in)
{
	struct attr a;

	inode_attr(in, &a);
	return o->killpriv && !S_ISDIR(a.mode) ? SETATTR_KILL_PRIVS : 0;
}

int ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int what,
		struct fuse_file_info *fi)
{
	struct setattr s = {
		.what = setattr_what(what),
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = (uint64_t)st->st_size,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
	struct inode *in;
	int err = ops_inode(req, ino, &in);

	(void)fi;
	if (err)
		return err;
	if (!s.what)
		s.what = setattr_empty(ops_of(req), in);
	err = setattr_apply(in, &s);
	if (!err)
		ops_reply_attr(req, in);
	inode_put(in);
	return err;
}

#if FUSE_API_NEW
static struct statx_timestamp to_statx_time(const struct timespec *ts)
{
	return (struct statx_timestamp){.tv_sec = ts->tv_sec, .tv_nsec = (uint32_t)ts->tv_nsec};
}

static void to_statx(const struct stat *st, const struct timespec *btime, struct statx *x)
{
	*x = (struct statx){
		.stx_mask = STATX_BASIC_STATS | (btime ? STATX_BTIME : 0),
		.stx_blksize = (uint32_t)st->st_blksize,
		.stx_nlink = (uint32_t)st->st_nlink,
		.stx_uid = st->st_uid,
		.stx_gid = st->st_gid,
		.stx_mode = (uint16_t)st->st_mode,
		.stx_ino = st->st_ino,
		.stx_size = (uint64_t)st->st_size,
		.stx_blocks = (uint64_t)st->st_blocks,
		.stx_rdev_major = major(st->st_rdev),
		.stx_rdev_minor = minor(st->st_rdev),
		.stx_atime = to_statx_time(&st->st_atim),
		.stx_mtime = to_statx_time(&st->st_mtim),
		.stx_ctime = to_statx_time(&st->st_ctim),
	};
	if (btime)
		x->stx_btime = to_statx_time(btime);
}

static int pseudo_attr(fuse_req_t req, fuse_ino_t ino, struct stat *st)
{
	if (ops_slice_is(ino))
		return ops_slice_attr(req, ino, st);
	ops_stats_attr(ino, st);
	return 0;
}

int ops_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi)
{
	struct inode *in;
	struct statx x;
	struct attr a;
	struct stat st;
	double timeout;
	int err;

	(void)flags;
	(void)mask;
	(void)fi;
	if (ops_stats_is(ino) || ops_slice_is(ino)) {
		err = pseudo_attr(req, ino, &st);
		if (err)
			return err;
		to_statx(&st, NULL, &x);
		fuse_reply_statx(req, 0, &x, 0);
		return 0;
	}
	err = ops_inode(req, ino, &in);
	if (err)
		return err;
	timeout = ops_stat(in, &st);
	inode_attr(in, &a);
	inode_put(in);
	to_statx(&st, &a.btime, &x);
	fuse_reply_statx(req, 0, &x, timeout);
	return 0;
}
#endif

/* ---- statfs ---- */

/* An inode takes no room of its own that could run out before the bytes do, so those that are still to be had are
 * counted as if each had a block. */
int ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = ops_of(req)->fs;
	struct raid_space space;
	struct statvfs st = {
		.f_bsize = BLOCK_LEN, .f_frsize = BLOCK_LEN, .f_namemax = NAME_LEN_MAX};
	int err = raid_space(fs->raid, &space);

	(void)ino;
	if (err)
		return err;
	st.f_blocks = space.total / BLOCK_LEN;
	st.f_bfree = st.f_bavail = space.avail / BLOCK_LEN;
	st.f_ffree = st.f_favail = st.f_bfree;
	st.f_files = atomic_load(&fs->n.nr_inodes) + st.f_ffree;
	fuse_reply_statfs(req, &st);
	return 0;
}

/* ---- extended attributes ---- */

/* Who sets an access list of a file whose group it is not in loses the setgid bit, as with chmod. The kernel says when,
 * but libfuse does not pass that on. */
static bool setxattr_kills_sgid(fuse_req_t req, struct inode *in, const char *name)
{
	struct attr a;

	if (strcmp(name, "system.posix_acl_access") != 0 || fuse_req_ctx(req)->uid == 0)
		return false;
	inode_attr(in, &a);
	return a.mode & S_ISGID && !ops_in_group(req, a.gid);
}

int ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t len,
		 int flags)
{
	struct inode *in;
	int err = ops_inode(req, ino, &in);

	if (err)
		return err;
	err = xattr_set(in, name, value, len, flags, setxattr_kills_sgid(req, in, name));
	inode_put(in);
	if (!err)
		fuse_reply_err(req, 0);
	return err;
}

/* The answer to a question for @len bytes, of which there are @got in @buf; none, when only their number was asked. */
static void reply_xattr(fuse_req_t req, const char *buf, size_t len, size_t got)
{
	if (len)
		fuse_reply_buf(req, buf, got);
	else
		fuse_reply_xattr(req, got);
}

int ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t len)
{
	AUTO_FREE char *buf = len ? malloc(len) : NULL;
	struct inode *in;
	size_t got;
	int err;

	if (ops_stats_is(ino))
		return -ENODATA;
	if (len && !buf)
		return -ENOMEM;
	/* These look into the file, which may be on the shards only. */
	if (fact_is(name) && later_may_not())
		return -EAGAIN;
	err = ops_slice_is(ino) ? ops_slice_acl(req, ino, name, &in) : ops_inode(req, ino, &in);
	if (err)
		return err;
	err = xattr_get(in, name, buf, len, &got);
	inode_put(in);
	if (!err)
		reply_xattr(req, buf, len, got);
	return err;
}

/* trusted. attributes are not shown to others than root, who alone can read them. Returns the length of the rest. */
static size_t hide_trusted(char *list, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0, n; at < len; at += n) {
		n = strlen(list + at) + 1;
		if (strncmp(list + at, "trusted.", 8) == 0)
			continue;
		memmove(list + kept, list + at, n);
		kept += n;
	}
	return kept;
}

/* The whole list, heap. It may grow between the question for its length and the one for itself. */
static int list_all(struct inode *in, char **out, size_t *len)
{
	int err;

	do {
		char *buf;

		err = xattr_list(in, NULL, 0, len);
		if (err)
			return err;
		buf = malloc(MAX(*len, (size_t)1));
		if (!buf)
			return -ENOMEM;
		err = *len ? xattr_list(in, buf, *len, len) : 0;
		if (!err)
			*out = buf;
		else
			free(buf);
	} while (err == -ERANGE);
	return err;
}

int ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t len)
{
	AUTO_FREE char *list = NULL;
	struct inode *in;
	size_t got = 0;
	int err = 0;

	if (!ops_stats_is(ino) && !ops_slice_is(ino)) {
		err = ops_inode(req, ino, &in);
		if (err)
			return err;
		err = list_all(in, &list, &got);
		inode_put(in);
	}
	if (err)
		return err;
	if (fuse_req_ctx(req)->uid != 0)
		got = hide_trusted(list, got);
	if (len && got > len)
		return -ERANGE;
	reply_xattr(req, list, len, got);
	return 0;
}

int ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct inode *in;
	int err = ops_inode(req, ino, &in);

	if (err)
		return err;
	err = xattr_remove(in, name);
	inode_put(in);
	if (!err)
		fuse_reply_err(req, 0);
	return err;
}
