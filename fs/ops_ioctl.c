/* Requests that only matfsctl makes. */
#include <sys/stat.h>

#include "conf/base.h"
#include "fs/ioctl.h"
#include "fs/ops.h"
#include "fs/recompress.h"

static int ioctl_recompress(fuse_req_t req, fuse_ino_t ino)
{
	uid_t uid = fuse_req_ctx(req)->uid;
	struct inode *in;
	struct attr a;
	int err = ops_inode(req, ino, &in);

	if (err)
		return err;
	inode_attr(in, &a);
	err = uid == 0 || uid == a.uid ? recompress_post(in) : -EPERM;
	inode_put(in);
	if (!err)
		fuse_reply_ioctl(req, 0, NULL, 0);
	return err;
}

static int ioctl_progress(fuse_req_t req, size_t out_len)
{
	struct ioctl_progress p;
	struct recompress_stat st;

	if (out_len < sizeof(p))
		return -EINVAL;
	recompress_stat_get(ops_of(req)->fs->recompress, &st);
	p = (struct ioctl_progress){
		.nr_queued = st.nr_queued,
		.nr_done = st.nr_done,
		.nr_failed = st.nr_failed,
		.raw_bytes = st.raw_bytes,
		.stored_before = st.stored_before,
		.stored_after = st.stored_after,
	};
	fuse_reply_ioctl(req, 0, &p, sizeof(p));
	return 0;
}

/* The kernel has seen to it that @in and the reply have the lengths that @cmd says. */
int ops_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
	      unsigned flags, const void *in, size_t in_len, size_t out_len)
{
	(void)arg;
	(void)fi;
	(void)flags;
	(void)in;
	(void)in_len;
	switch (cmd) {
	case IOCTL_RECOMPRESS:
		return ioctl_recompress(req, ino);
	case IOCTL_PROGRESS:
		return ioctl_progress(req, out_len);
	default:
		return -ENOTTY;
	}
}
