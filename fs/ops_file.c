/* Requests on open files, but for their bytes (ops_read.c, ops_write.c). */
#include "fs/ops_file.h"

#include <fcntl.h>
#include <string.h>

#include "conf/base.h"
#include "fs/file.h"
#include "fs/later.h"
#include "fs/ops_slice.h"
#include "fs/ops_stats.h"

/* Bytes of one copy_file_range request: the reply has 32 bits for it, and whoever asked for more asks again. */
#define COPY_MAX (GIB)

/* Files lie at multiples of 16 at least; what is above tells them apart. */
static struct ops_files *list_of(const struct ops_file *f)
{
	return &f->ops->files[((uintptr_t)f * UINT64_C(0x9e3779b97f4a7c15)) >> 60];
}

static void list(struct ops_file *f)
{
	struct ops_files *l = list_of(f);

	lock_take(&l->lock);
	f->next = l->first;
	if (f->next)
		f->next->prev = f;
	l->first = f;
	lock_release(&l->lock);
}

static void unlist(struct ops_file *f)
{
	struct ops_files *l = list_of(f);

	lock_take(&l->lock);
	if (f->next)
		f->next->prev = f->prev;
	if (f->prev)
		f->prev->next = f->next;
	else
		l->first = f->next;
	lock_release(&l->lock);
}

int ops_file_new(struct ops *o, struct inode *in, struct ops_file **out)
{
	AUTO_FREE struct ops_file *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	err = in ? file_opened(in) : 0;
	if (err)
		return err;
	f->ops = o;
	f->in = in;
	lock_init(&f->lock);
	list(f);
	*out = TAKE_PTR(f);
	return 0;
}

void ops_file_free(struct ops_file *f)
{
	unlist(f);
	if (f->direct_writes) {
		lock_take(&f->in->lock);
		f->in->nr_direct_writes--;
		lock_release(&f->in->lock);
	}
	if (f->in) {
		file_closed(f->in);
		inode_put(f->in);
	}
	slice_put(f->slice);
	lock_fini(&f->lock);
	free(f->text);
	free(f);
}

/* ---- open ---- */

/* Its reads count as an access. */
static bool open_accesses(const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) != O_WRONLY && !(fi->flags & O_NOATIME);
}

/* Who only writes, to an empty file, and is alone with it, goes around the kernel's pages: a copy less, and no memory for
 * what may never be read (twice the rate for large writes, the same for small ones). Not appending, as logs are followed
 * while they are written, and not where the kernel would have to take something away with the first write.
 *
 * Until the last such writer has closed, everybody who comes does so, too. That is not quite enough: a mapping and sendfile
 * bring in pages all the same, and many kernels leave those in place that come in while a long write is under way. So the
 * first open after all that has the kernel drop its pages. True: it shall. */
static bool open_direct(struct ops_file *f, const struct fuse_file_info *fi)
{
	struct inode *in = f->in;
	int how = fi->flags & O_ACCMODE;
	bool drop = false;

	if (!f->ops->direct)
		return false;
	lock_take(&in->lock);
	f->direct = in->nr_direct_writes ||
		    (how == O_WRONLY && !(fi->flags & (O_APPEND | O_DSYNC)) && in->nr_open == 1 &&
		     !in->attr.size && !(in->attr.flags & ATTR_CAPS));
	f->direct_writes = f->direct && how != O_RDONLY;
	in->nr_direct_writes += f->direct_writes;
	if (f->direct && in->nr_open > 1) {
		in->mixed = true;
	} else if (!f->direct && in->mixed) {
		in->mixed = false;
		drop = true;
	}
	lock_release(&in->lock);
	return drop;
}

/* The kernel's pages stay right, since it makes all changes, and a file just written is read from them. But such reads
 * do not reach us: where one would move the access time, the opening for reading counts as the access, and the kernel is
 * told before it has its answer. A file opened for both loses its pages instead, as it may never be read.
 * Where the kernel has no pages the first read reaches us, and it knows itself that this moved the access time: telling
 * it would cost a cold reader a system call of ours and a request for attributes for each file. */
static void fill_open(fuse_req_t req, struct ops_file *f, struct fuse_file_info *fi)
{
	bool due = open_accesses(fi) && atomic_load(&f->in->paged) && file_access_due(f->in);
	bool drop;

	if (due && (fi->flags & O_ACCMODE) == O_RDONLY) {
		file_accessed(f->in);
		ops_attr_changed(req, f->in);
		due = false;
	}
	drop = open_direct(f, fi);
	fi->fh = (uintptr_t)f;
	fi->direct_io = f->direct;
	fi->keep_cache = !due && !drop;
	fi->noflush = 1;
#if FUSE_API_NEW
	fi->parallel_direct_writes = 1;
#endif
}

static int open_truncate(fuse_req_t req, struct inode *in, const struct fuse_file_info *fi)
{
	struct attr before, after;
	int err;

	if (!(fi->flags & O_TRUNC))
		return 0;
	inode_attr(in, &before);
	err = file_truncate(in, 0, ops_kills_privs(fi));
	inode_attr(in, &after);
	if (before.mode != after.mode)
		ops_attr_changed(req, in);
	return err;
}

int ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops_file *f;
	struct inode *in;
	int err;

	if (ops_stats_is(ino))
		return ops_stats_open(req, ino, fi);
	if (ops_slice_is(ino))
		return ops_slice_open(req, ino, fi);
	err = ops_inode(req, ino, &in);
	if (err)
		return err;
	if (in->fs->rdonly && (fi->flags & O_ACCMODE) != O_RDONLY)
		err = -EROFS;
	if (!err)
		err = ops_file_new(ops_of(req), in, &f);
	if (err) {
		inode_put(in);
		return err;
	}
	err = open_truncate(req, in, fi);
	if (!err) {
		fill_open(req, f, fi);
		/* Nobody will release what the kernel did not want any more. */
		if (!fuse_reply_open(req, fi))
			return 0;
	}
	ops_file_free(f);
	return err;
}

/* Takes over the reference to @in. */
static int reply_create(fuse_req_t req, struct inode *in, struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	struct ops_file *f;
	int err = ops_file_new(ops_of(req), in, &f);

	if (err) {
		inode_put(in);
		return err;
	}
	fill_open(req, f, fi);
	ops_entry(in, &e);
	inode_remember(in, 1);
	if (fuse_reply_create(req, &e, fi)) {
		inode_forget(in->fs, in->ino, 1);
		ops_file_free(f);
	}
	return 0;
}

int ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct name_new n = ops_new(req, parent, (mode & ~(mode_t)S_IFMT) | S_IFREG);
	struct inode *in;
	int err;

	if (ops_is_pseudo(parent, name))
		return -EPERM;
	err = name_make(ops_of(req)->fs, parent, ops_to_name(name), &n, &in);
	if (err)
		return err;
	err = ops_changed(req, 0);
	if (!err)
		return reply_create(req, in, fi);
	inode_put(in);
	return err;
}

#if FUSE_API_NEW
int ops_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	struct name_new n = ops_new(req, parent, (mode & ~(mode_t)S_IFMT) | S_IFREG);
	struct inode *in;
	int err = -EPERM;

	if (!ops_slice_is(parent))
		err = name_tmpfile(ops_of(req)->fs, parent, &n, &in);
	return err ? err : reply_create(req, in, fi);
}
#endif

static bool is_nameless(struct inode *in)
{
	struct attr a;

	inode_attr(in, &a);
	return !a.nlink;
}

int ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops_file *f = ops_file_of(fi);

	(void)ino;
	/* The last to have it open gives up its space, which may be a lot of work. */
	if (f->in && is_nameless(f->in) && later_may_not())
		return -EAGAIN;
	ops_file_free(f);
	fuse_reply_err(req, 0);
	return 0;
}

/* ---- the rest ---- */

int ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct inode *in;
	int err;

	(void)datasync;
	(void)fi;
	/* Nobody writes to it. */
	if (ops_slice_is(ino)) {
		fuse_reply_err(req, 0);
		return 0;
	}
	err = ops_inode(req, ino, &in);
	if (err)
		return err;
	err = file_sync(in);
	inode_put(in);
	if (!err)
		fuse_reply_err(req, 0);
	return err;
}

int ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi)
{
	struct inode *in;
	int err;

	(void)fi;
	if (off < 0 || len <= 0)
		return -EINVAL;
	err = ops_inode(req, ino, &in);
	if (err)
		return err;
	err = file_fallocate(in, mode, (uint64_t)off, (uint64_t)len);
	inode_put(in);
	if (!err)
		fuse_reply_err(req, 0);
	return err;
}

int ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct inode *in;
	uint64_t at;
	int err;

	if (ops_slice_is(ino))
		return ops_slice_lseek(req, ops_file_of(fi), off, whence);
	if (off < 0)
		return -ENXIO;
	err = ops_inode(req, ino, &in);
	if (err)
		return err == -EPERM ? -EINVAL : err;
	err = file_seek(in, (uint64_t)off, whence, &at);
	inode_put(in);
	if (!err)
		fuse_reply_lseek(req, (off_t)at);
	return err;
}

int ops_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t off, struct fuse_file_info *fi,
			fuse_ino_t to_ino, off_t to_off, struct fuse_file_info *to_fi, size_t len,
			int flags)
{
	struct inode *in, *to;
	uint64_t done;
	int err;

	(void)fi;
	(void)to_fi;
	if (flags || off < 0 || to_off < 0)
		return -EINVAL;
	/* The kernel copies by reading and writing, then. */
	if (ops_stats_is(ino) || ops_stats_is(to_ino) || ops_slice_is(ino))
		return -EXDEV;
	err = ops_inode(req, ino, &in);
	if (err)
		return err;
	err = ops_inode(req, to_ino, &to);
	if (err) {
		inode_put(in);
		return err;
	}
	err = file_copy(in, (uint64_t)off, to, (uint64_t)to_off, MIN(len, (size_t)COPY_MAX), &done);
	inode_put(in);
	inode_put(to);
	if (!err)
		fuse_reply_write(req, (size_t)done);
	return err;
}
