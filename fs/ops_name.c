/* Requests on names. */
#include <string.h>

#include "fs/ops.h"
#include "fs/ops_slice.h"
#include "fs/ops_stats.h"

/* ---- what the kernel knows ---- */

/* That there is no such name holds as long as a name does: the kernel makes the names. */
static int reply_no_entry(fuse_req_t req)
{
	struct fuse_entry_param none = {.entry_timeout = OPS_TIMEOUT_S};

	fuse_reply_entry(req, &none);
	return 0;
}

/* Not a name, but what a file handle leads to, of any type: asked by NFS' server and open_by_handle_at(). */
static int lookup_self(fuse_req_t req, fuse_ino_t ino)
{
	struct inode *in;
	struct attr a;
	int err;

	if (ops_stats_is(ino))
		return ops_stats_reply_entry(req, ino);
	err = ops_inode(req, ino, &in);
	if (err)
		return err;
	inode_attr(in, &a);
	if (a.nlink)
		return ops_reply_entry(req, in);
	inode_put(in);
	return -ESTALE;
}

int ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_ino_t pseudo = ops_stats_find(parent, name);
	struct inode *in;
	int err;

	if (pseudo)
		return ops_stats_reply_entry(req, pseudo);
	if (ops_slice_claims(parent, name))
		return ops_slice_lookup(req, parent, name);
	if (strcmp(name, ".") == 0)
		return lookup_self(req, parent);
	err = name_lookup(ops_of(req)->fs, parent, ops_to_name(name), &in);
	if (err == -ENOENT && strcmp(name, "..") != 0)
		return reply_no_entry(req);
	return err ? err : ops_reply_entry(req, in);
}

static void forget(struct ops *o, fuse_ino_t ino, uint64_t nr)
{
	if (ops_slice_is(ino))
		ops_slice_forget(o, ino, nr);
	else
		inode_forget(o->fs, ino, nr);
}

int ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nr)
{
	forget(ops_of(req), ino, nr);
	fuse_reply_none(req);
	return 0;
}

int ops_forget_multi(fuse_req_t req, size_t nr, struct fuse_forget_data *list)
{
	for (size_t i = 0; i < nr; i++)
		forget(ops_of(req), list[i].ino, list[i].nlookup);
	fuse_reply_none(req);
	return 0;
}

int ops_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[4096];
	int err;

	if (ops_slice_is(ino))
		return ops_slice_readlink(req, ino);
	err = name_readlink(ops_of(req)->fs, ino, target);
	if (err)
		return err;
	ops_accessed(req, ino);
	fuse_reply_readlink(req, target);
	return 0;
}

/* ---- names made ---- */

static int reply_made(fuse_req_t req, struct inode *in)
{
	int err = ops_changed(req, 0);

	if (!err)
		return ops_reply_entry(req, in);
	inode_put(in);
	return err;
}

static int make(fuse_req_t req, fuse_ino_t parent, const char *name, const struct name_new *n)
{
	struct inode *in;
	int err;

	if (ops_is_pseudo(parent, name))
		return -EPERM;
	err = name_make(ops_of(req)->fs, parent, ops_to_name(name), n, &in);
	return err ? err : reply_made(req, in);
}

int ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct name_new n = ops_new(req, parent, mode & S_IFMT ? mode : mode | S_IFREG);

	n.rdev = rdev;
	return make(req, parent, name, &n);
}

int ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct name_new n = ops_new(req, parent, (mode & ~(mode_t)S_IFMT) | S_IFDIR);

	return make(req, parent, name, &n);
}

int ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct name_new n = ops_new(req, parent, S_IFLNK | 0777);

	n.target = target;
	return make(req, parent, name, &n);
}

int ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct inode *in;
	int err;

	if (ops_stats_is(ino) || ops_slice_is(ino) || ops_is_pseudo(parent, name))
		return -EPERM;
	err = name_link(ops_of(req)->fs, ino, parent, ops_to_name(name), &in);
	return err ? err : reply_made(req, in);
}

/* ---- names removed and changed ---- */

static int reply_changed(fuse_req_t req, int err)
{
	err = ops_changed(req, err);
	if (!err)
		fuse_reply_err(req, 0);
	return err;
}

int ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (ops_is_pseudo(parent, name))
		return -EPERM;
	return reply_changed(req, name_unlink(ops_of(req)->fs, parent, ops_to_name(name)));
}

int ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (ops_stats_find(parent, name))
		return -ENOTDIR;
	if (ops_slice_claims(parent, name))
		return -EPERM;
	return reply_changed(req, name_rmdir(ops_of(req)->fs, parent, ops_to_name(name)));
}

int ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
	       const char *to, unsigned flags)
{
	if (ops_is_pseudo(parent, name) || ops_is_pseudo(to_parent, to))
		return -EPERM;
	return reply_changed(req, name_rename(ops_of(req)->fs, parent, ops_to_name(name), to_parent,
					      ops_to_name(to), flags));
}
