/* New inodes and new names.
 *
 * A new inode is in memory before its records are committed, so that the op can edit it; nobody learns its number
 * before op_end() succeeded, and a failed op drops it again. */
#include <string.h>

#include "fs/name_impl.h"
#include "fs/xattr.h"

/* The permission bits of a new inode in a setgid directory, as Linux' mode_strip_sgid() has them. The kernel has done
 * it already for the callers it knows the groups of (since 6.0); here the group list is not to be had, so that a caller
 * whose fsgid differs counts as no member. The bit lost wrongly can be set again, one kept wrongly gives a group away. */
static uint32_t name_mode(const struct name_new *n, const struct attr *dir)
{
	uint32_t both = S_ISGID | S_IXGRP;
	uint32_t mode = n->mode;

	if (S_ISLNK(mode))
		return S_IFLNK | 0777;
	if (!(dir->mode & S_ISGID))
		return mode;
	if (S_ISDIR(mode))
		return mode | S_ISGID;
	if ((mode & both) == both && n->uid != 0 && n->gid != dir->gid)
		return mode & ~(uint32_t)S_ISGID;
	return mode;
}

static void name_attr(const struct name_new *n, uint64_t parent, const struct attr *dir,
		      const struct timespec *now, struct attr *a)
{
	*a = (struct attr){
		.mode = name_mode(n, dir),
		.uid = n->uid,
		.gid = dir->mode & S_ISGID ? dir->gid : n->gid,
		.nlink = 1,
		.atime = *now,
		.mtime = *now,
		.ctime = *now,
		.btime = *now,
	};
	if (S_ISDIR(a->mode)) {
		a->nlink = 2;
		a->parent = parent;
		a->next_cookie = DENTRY_COOKIE_FIRST;
	}
	if (S_ISCHR(a->mode) || S_ISBLK(a->mode))
		a->rdev = n->rdev;
	if (S_ISLNK(a->mode))
		a->size = strlen(n->target);
}

static int name_check_new(const struct name_new *n)
{
	switch (n->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	case S_IFLNK:
		if (!n->target || !n->target[0])
			return -ENOENT;
		if (strlen(n->target) > NAME_TARGET_MAX)
			return -ENAMETOOLONG;
		break;
	default:
		return -EINVAL;
	}
	return n->mode & ~(uint32_t)(S_IFMT | 07777) ? -EINVAL : 0;
}

static int name_put_target(struct op *op, uint64_t ino, const char *target)
{
	struct key key = key_plain(ino, KEY_INLINE);

	return index_put(op->txn, &key, target, strlen(target));
}

/* The inode with all its records; its attributes are put by op_end(). *out may be set on failure, too. */
static int name_add_inode(struct op *op, uint64_t parent, const struct name_new *n, struct attr *a,
			  struct inode **out)
{
	uint64_t ino = atomic_fetch_add(&op->fs->next_ino, 1);
	int err = xattr_inherit(op, parent, ino, a, n->umask);

	if (!err && S_ISLNK(a->mode))
		err = name_put_target(op, ino, n->target);
	if (!err)
		err = inode_new(op->fs, ino, a, out);
	if (err)
		return err;
	op_edit(op, *out);
	op->d_inodes++;
	return 0;
}

/* Give @in an entry in @dir, whose edited attributes are @d. */
static int name_add_entry(struct op *op, struct inode *dir, struct attr *d, struct name name,
			  struct inode *in, const struct timespec *now)
{
	uint32_t type = op_edit(op, in)->mode & S_IFMT;
	struct dentry entry = {.ino = in->ino, .type = type, .cookie = d->next_cookie++};

	name_dir_changed(d, 1, S_ISDIR(type), now);
	return dentry_store(op->txn, dir->ino, name, &entry);
}

/* 0 when @name is free in @dir. */
static int name_free(struct op *op, struct inode *dir, struct name name)
{
	struct dentry d;
	int err = name_is_dots(name) ? 0 : dentry_find(op->txn, dir->ino, name, &d);

	if (!err)
		return -EEXIST;
	return err == -ENOENT ? 0 : err;
}

static int name_make_in(struct op *op, struct inode *dir, struct name name,
			const struct name_new *n, struct inode **out)
{
	struct timespec now = inode_now();
	struct attr a, *d;
	int err = name_edit_dir(op, dir, &d);

	if (!err)
		err = name_free(op, dir, name);
	if (err)
		return err;
	if (S_ISDIR(n->mode) && d->nlink >= NAME_LINK_MAX)
		return -EMLINK;
	name_attr(n, dir->ino, d, &now, &a);
	err = name_add_inode(op, dir->ino, n, &a, out);
	if (err)
		return err;
	return name_add_entry(op, dir, d, name, *out, &now);
}

static int name_tmpfile_in(struct op *op, struct inode *dir, const struct name_new *n,
			   struct inode **out)
{
	struct timespec now = inode_now();
	struct key orphan;
	struct attr a, *d;
	int err = name_edit_dir(op, dir, &d);

	if (err)
		return err;
	name_attr(n, dir->ino, d, &now, &a);
	a.nlink = 0;
	err = name_add_inode(op, dir->ino, n, &a, out);
	if (err)
		return err;
	orphan = key_number(0, KEY_ORPHAN, (*out)->ino);
	return index_put(op->txn, &orphan, "", 0);
}

/* @name NULL: none. */
static int name_new_inode(struct fs *fs, uint64_t parent, const struct name *name,
			  const struct name_new *n, struct inode **out)
{
	struct inode *dir, *in = NULL;
	struct op op;
	int err = inode_get(fs, NULL, parent, &dir);

	if (err)
		return err;
	err = op_begin_grow(&op, fs);
	if (!err) {
		err = name ? name_make_in(&op, dir, *name, n, &in)
			   : name_tmpfile_in(&op, dir, n, &in);
		err = op_end(&op, err);
	}
	if (!err)
		*out = in;
	else if (in)
		inode_put(in);
	inode_put(dir);
	return err;
}

int name_make(struct fs *fs, uint64_t parent, struct name name, const struct name_new *n,
	      struct inode **out)
{
	int err = name_check(name);

	if (!err)
		err = name_check_new(n);
	return err ? err : name_new_inode(fs, parent, &name, n, out);
}

int name_tmpfile(struct fs *fs, uint64_t parent, const struct name_new *n, struct inode **out)
{
	int err = name_check_new(n);

	if (!err && !S_ISREG(n->mode))
		err = -EINVAL;
	return err ? err : name_new_inode(fs, parent, NULL, n, out);
}

/* ---- link ---- */

/* A file made by name_tmpfile() gets its first name; the kernel lets no other through that has none. */
static int name_adopt(struct op *op, struct inode *in)
{
	struct key orphan = key_number(0, KEY_ORPHAN, in->ino);
	int err;

	if (in->gone)
		return -ENOENT;
	err = index_del(op->txn, &orphan);
	return err == -ENOENT ? -EBADMSG : err;
}

static int name_link_in(struct op *op, struct inode *in, struct inode *dir, struct name name)
{
	struct timespec now = inode_now();
	struct attr *a, *d;
	int err = name_edit_dir(op, dir, &d);

	if (!err)
		err = name_free(op, dir, name);
	if (err)
		return err;
	a = op_edit(op, in);
	if (S_ISDIR(a->mode))
		return -EPERM;
	if (a->nlink >= NAME_LINK_MAX)
		return -EMLINK;
	err = a->nlink ? 0 : name_adopt(op, in);
	if (err)
		return err;
	a->nlink++;
	a->ctime = now;
	return name_add_entry(op, dir, d, name, in, &now);
}

int name_link(struct fs *fs, uint64_t ino, uint64_t parent, struct name name, struct inode **out)
{
	struct inode *in, *dir;
	struct op op;
	int err = name_check(name);

	if (!err)
		err = inode_get(fs, NULL, ino, &in);
	if (err)
		return err;
	err = inode_get(fs, NULL, parent, &dir);
	if (err) {
		inode_put(in);
		return err;
	}
	err = op_begin_grow(&op, fs);
	if (!err)
		err = op_end(&op, name_link_in(&op, in, dir, name));
	inode_put(dir);
	if (err)
		inode_put(in);
	else
		*out = in;
	return err;
}
