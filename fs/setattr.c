/* One change of attributes. Who may change what is the kernel's to check. */
#include "fs/setattr.h"

#include "fs/file.h"
#include "fs/op.h"
#include "fs/xattr.h"

#define SETATTR_PERMS 07777u

/* The size goes its own way, through the data's locks: done before everything else. *more: that was not all. */
static int setattr_size(struct inode *in, const struct setattr *s, bool *more)
{
	bool kill = s->what & SETATTR_KILL_PRIVS;
	struct attr a;

	inode_attr(in, &a);
	if (!S_ISREG(a.mode))
		return S_ISDIR(a.mode) ? -EISDIR : -EINVAL;
	/* Truncation clears the bits of the mode, the capabilities are left to us. */
	*more = s->what & ~(unsigned)(SETATTR_SIZE | SETATTR_KILL_PRIVS) ||
		(kill && a.flags & ATTR_CAPS);
	return file_truncate(in, s->size, kill);
}

static void setattr_times(const struct setattr *s, const struct timespec *now, struct attr *a)
{
	if (s->what & SETATTR_ATIME)
		a->atime = s->atime;
	if (s->what & SETATTR_MTIME)
		a->mtime = s->mtime;
	if (s->what & SETATTR_ATIME_NOW)
		a->atime = *now;
	if (s->what & SETATTR_MTIME_NOW)
		a->mtime = *now;
	a->ctime = s->what & SETATTR_CTIME ? s->ctime : *now;
}

static int setattr_in(struct op *op, struct inode *in, const struct setattr *s)
{
	struct timespec now = inode_now();
	struct attr *a = op_edit(op, in);
	int err = 0;

	if (in->gone)
		return -ESTALE;
	if (s->what & SETATTR_UID)
		a->uid = s->uid;
	if (s->what & SETATTR_GID)
		a->gid = s->gid;
	if (s->what & SETATTR_MODE) {
		a->mode = (a->mode & S_IFMT) | (s->mode & SETATTR_PERMS);
		/* The kernel only forgets its copy of the list (FUSE_POSIX_ACL): the list itself is ours to change. */
		err = xattr_chmod(op, in);
	}
	setattr_times(s, &now, a);
	/* Last: a mode that comes with it does not bring them back. */
	return !err && s->what & SETATTR_KILL_PRIVS ? xattr_kill_privs(op, in) : err;
}

static bool setattr_time_valid(const struct timespec *ts)
{
	return ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000L;
}

static bool setattr_valid(const struct setattr *s)
{
	return (!(s->what & SETATTR_ATIME) || setattr_time_valid(&s->atime)) &&
	       (!(s->what & SETATTR_MTIME) || setattr_time_valid(&s->mtime)) &&
	       (!(s->what & SETATTR_CTIME) || setattr_time_valid(&s->ctime));
}

int setattr_apply(struct inode *in, const struct setattr *s)
{
	bool more = true;
	struct op op;
	int err = setattr_valid(s) ? 0 : -EINVAL;

	if (!err && s->what & SETATTR_SIZE)
		err = setattr_size(in, s, &more);
	if (err || !more)
		return err;
	err = op_begin(&op, in->fs);
	return err ? err : op_end(&op, setattr_in(&op, in, s));
}
