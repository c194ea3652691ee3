/* Requests to write a file's bytes. */
#include "conf/base.h"
#include "fs/file.h"
#include "fs/later.h"
#include "fs/ops_file.h"

/* The mode changes as the bytes do, and the kernel would not look. */
static int write_killing_privs(fuse_req_t req, struct inode *in, uint64_t off,
			       const struct iovec *iov)
{
	struct attr before, after;
	int err;

	inode_attr(in, &before);
	err = file_write(in, off, iov, 1, true);
	inode_attr(in, &after);
	if (before.mode != after.mode)
		ops_attr_changed(req, in);
	return err;
}

int ops_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t len, off_t off,
	      struct fuse_file_info *fi)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	const struct ops_file *f = ops_file_of(fi);
	struct inode *in = f->in;
	/* Behind a write that goes around its pages the kernel sends no fsync. */
	bool sync = f->direct && (fi->flags & O_DSYNC);
	int err;

	(void)ino;
	if (!in)
		return -EPERM;
	if (sync && later_may_not())
		return -EAGAIN;
	if (!f->direct)
		atomic_store_explicit(&in->paged, true, memory_order_relaxed);
	if (ops_kills_privs(fi))
		err = write_killing_privs(req, in, (uint64_t)off, &iov);
	else
		err = file_write(in, (uint64_t)off, &iov, 1, false);
	if (!err && sync)
		err = file_sync(in);
	if (!err)
		fuse_reply_write(req, len);
	return err;
}
