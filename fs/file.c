/* A file's bytes: writing, truncating, punching, copying, syncing. Reading is in file_read.c.
 *
 * A change of the map (truncate, punch, copy) must not meet a window that is being written, or that belongs to a closed
 * group and waits to be: its extents would come into the map after the change. So each such change begins its op, looks
 * (writeback_busy), and if need be gives up, waits and begins again. */
#include "fs/file.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>

#include "conf/base.h"
#include "fs/arena.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/later.h"
#include "fs/name.h"
#include "fs/setattr.h"
#include "fs/writeback.h"
#include "fs/xattr.h"

/* Commits to wait for before a write is told that there is no space: what was freed comes back after one. */
#define ENOSPC_TRIES 3
/* Ranges below this are copied as bytes: sharing would leave more pieces than it saves. */
#define SHARE_MIN (64 * KIB)
/* Bytes of a copy in one op. */
#define SHARE_STEP (64 * MIB)

/* ---- write ---- */

static int write_prepare(struct inode *in, uint64_t txg, uint64_t off, uint64_t len)
	REQUIRES(in->lock)
{
	uint64_t end = off + len;

	while (off < end) {
		uint64_t stop = MIN(end, round_down(off, in->fs->extent_len) + in->fs->extent_len);
		int err = writeback_prepare(in, txg, off, stop - off);

		if (err)
			return err;
		off = stop;
	}
	return 0;
}

static void write_copy(struct inode *in, uint64_t off, const struct iovec *iov, unsigned nr_iov)
	REQUIRES(in->lock)
{
	for (unsigned i = 0; i < nr_iov; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left) {
			uint64_t stop = round_down(off, in->fs->extent_len) + in->fs->extent_len;
			size_t n = MIN(left, (size_t)(stop - off));

			writeback_copy(in, off, p, n);
			p += n;
			off += n;
			left -= n;
		}
	}
}

static void write_settle(struct inode *in, uint64_t off, uint64_t len) REQUIRES(in->lock)
{
	for (uint64_t at = round_down(off, in->fs->extent_len); at < off + len;
	     at += in->fs->extent_len)
		writeback_full(in, at);
}

static int write_try(struct inode *in, uint64_t off, const struct iovec *iov, unsigned nr_iov,
		     uint64_t len)
{
	uint64_t txg = commit_enter(in->fs);
	int err;

	lock_take(&in->lock);
	err = write_prepare(in, txg, off, len);
	if (!err) {
		write_copy(in, off, iov, nr_iov);
		in->attr.size = MAX(in->attr.size, off + len);
		in->attr.mtime = in->attr.ctime = inode_now();
		in->change_txg = txg;
		commit_dirty_inode(in);
	}
	write_settle(in, off, len);
	lock_release(&in->lock);
	commit_leave(in->fs);
	return err;
}

static bool write_has_privs(struct inode *in)
{
	bool has;

	lock_take(&in->lock);
	has = (in->attr.mode & S_ISUID) ||
	      (in->attr.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ||
	      (in->attr.flags & ATTR_CAPS);
	lock_release(&in->lock);
	return has;
}

/* A promise may be refused for a moment though there is room, as when a shard has just left. */
#define ROOM_TRIES (ENOSPC_TRIES + 25)

static bool write_has_room(struct fs *fs, uint64_t len)
{
	struct raid_space space;

	return !raid_space(fs->raid, &space) && space.avail >= len + 4 * MIB;
}

int file_write(struct inode *in, uint64_t off, const struct iovec *iov, unsigned nr_iov,
	       bool drop_privs)
{
	struct fs *fs = in->fs;
	unsigned full = 0;
	uint64_t len = 0;
	int err = 0;

	if (raid_readonly(fs->raid))
		return -EROFS;
	for (unsigned i = 0; i < nr_iov; i++)
		len += iov[i].iov_len;
	if (!len)
		return 0;
	if (off > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX - off)
		return -EFBIG;
	if (drop_privs && write_has_privs(in))
		err = setattr_apply(in, &(struct setattr){.what = SETATTR_KILL_PRIVS});
	if (!err)
		err = commit_admit(fs);
	while (!err) {
		uint64_t seen = arena_given(fs->arena);

		err = write_try(in, off, iov, nr_iov, len);
		/* All that is mended below takes long. */
		if ((err == -EAGAIN || err == -ENOMEM || err == -ENOSPC) && later_may_not())
			return err;
		if (err == -EAGAIN) {
			err = writeback_wait(in, off, len);
		} else if (err == -ENOMEM) {
			writeback_relieve(fs, seen);
			err = 0;
		} else if (err == -ENOSPC && full++ < ENOSPC_TRIES) {
			err = commit_wait_freed(fs);
		} else if (err == -ENOSPC && full < ROOM_TRIES && write_has_room(fs, len)) {
			nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
			err = 0;
		} else {
			break;
		}
	}
	return err;
}

/* ---- truncate, punch, fallocate ---- */

/* Begin an op with @in edited and nothing of [off, off + len) being written. */
static int file_begin(struct op *op, struct inode *in, uint64_t off, uint64_t len,
		      struct attr **a) NO_LOCK_CHECK
{
	for (;;) {
		int err = op_begin(op, in->fs);

		if (err)
			return err;
		*a = op_edit(op, in);
		if (!len || !writeback_busy(in, off, len))
			return 0;
		op_end(op, -EAGAIN);
		err = writeback_wait(in, off, len);
		if (err)
			return err;
	}
}

/* To give up many extents is a lot of work for the index. */
#define FILE_LONG GIB

static bool file_is_long(struct inode *in)
{
	struct attr a;

	inode_attr(in, &a);
	return a.mapped > FILE_LONG;
}

/* The size changes between a look and the op: the look decides only how much must be quiet, and is checked. */
int file_truncate(struct inode *in, uint64_t size, bool drop_privs)
{
	struct attr *a;
	struct op op;
	int err;

	if (size > (uint64_t)INT64_MAX)
		return -EFBIG;
	if (file_is_long(in) && later_may_not())
		return -EAGAIN;
	err = file_begin(&op, in, size, UINT64_MAX, &a);
	if (err)
		return err;
	if (size < a->size) {
		err = extent_punch(&op, in, size, UINT64_MAX);
		op_trim(&op, in, size, UINT64_MAX);
	}
	a->size = size;
	a->mtime = a->ctime = inode_now();
	if (drop_privs && !err)
		err = xattr_kill_privs(&op, in);
	return op_end(&op, err);
}

static int file_punch(struct inode *in, uint64_t off, uint64_t len, bool grow)
{
	struct attr *a;
	struct op op;
	int err = len > FILE_LONG && file_is_long(in) && later_may_not() ? -EAGAIN : 0;

	if (!err)
		err = file_begin(&op, in, off, len, &a);
	if (err)
		return err;
	err = extent_punch(&op, in, off, len);
	op_trim(&op, in, off, len);
	if (grow)
		a->size = MAX(a->size, off + len);
	a->mtime = a->ctime = inode_now();
	return op_end(&op, err);
}

/* Space for later writes cannot be tied to a file that is compressed and never overwritten in place; as on ZFS, the
 * answer is whether it is there now. */
static int file_allocate(struct inode *in, uint64_t off, uint64_t len, bool grow)
{
	struct raid_space space;
	struct attr *a;
	struct op op;
	int err = raid_space(in->fs->raid, &space);

	if (err)
		return err;
	err = op_begin(&op, in->fs);
	if (err)
		return err;
	a = op_edit(&op, in);
	if (len > space.avail && len - space.avail > a->mapped)
		return op_end(&op, -ENOSPC);
	if (grow)
		a->size = MAX(a->size, off + len);
	a->mtime = a->ctime = inode_now();
	return op_end(&op, 0);
}

int file_fallocate(struct inode *in, int mode, uint64_t off, uint64_t len)
{
	bool keep = mode & FALLOC_FL_KEEP_SIZE;

	if (!len || off > (uint64_t)INT64_MAX)
		return -EINVAL;
	if (len > (uint64_t)INT64_MAX - off)
		return -EFBIG;
	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		return file_allocate(in, off, len, !keep);
	case FALLOC_FL_PUNCH_HOLE:
		return keep ? file_punch(in, off, len, false) : -EOPNOTSUPP;
	case FALLOC_FL_ZERO_RANGE:
		return file_punch(in, off, len, !keep);
	default:
		return -EOPNOTSUPP;
	}
}

/* ---- copy ---- */

static int copy_bytes(struct inode *src, uint64_t src_off, struct inode *dst, uint64_t dst_off,
		      uint64_t len, uint64_t *done)
{
	struct file_read r;
	int err = file_read(src, src_off, MIN(len, MIB), false, &r);

	if (err)
		return err;
	err = file_write(dst, dst_off, r.iov, r.nr, true);
	if (!err)
		*done = r.len;
	file_read_done(src->fs, &r);
	return err;
}

/* One stretch of the source's map, up to @len bytes from @src_off on: a part of an entry, or a hole. */
static int copy_stretch(struct op *op, struct inode *src, uint64_t src_off, struct inode *dst,
			uint64_t dst_off, uint64_t len, uint64_t *done)
{
	uint64_t step = op->fs->extent_len;
	struct map_entry m;
	int err = extent_find(op->txn, src->ino, src_off, &m);

	if (err && err != -ENOENT)
		return err;
	if (err || m.off > src_off) {
		*done = err ? len : MIN(len, m.off - src_off);
		return extent_punch(op, dst, dst_off, *done);
	}
	*done = MIN(len, m.off + m.len - src_off);
	*done = MIN(*done, round_down(dst_off, step) + step - dst_off);
	return extent_share(op, dst, dst_off, (uint32_t)*done, m.gen,
			    m.skip + (uint32_t)(src_off - m.off));
}

/* -EAGAIN: the source has dirty bytes there. -EXDEV: inline bytes on either side, to be copied. */
static int copy_share(struct inode *src, uint64_t src_off, struct inode *dst, uint64_t dst_off,
		      uint64_t len, uint64_t *done) NO_LOCK_CHECK
{
	uint8_t buf[INLINE_MAX];
	uint64_t at = 0, n = 0, from = src_off;
	const uint8_t *p;
	size_t have_src = 0, have_dst = 0;
	struct attr *a, *s;
	struct op op;
	int err = file_begin(&op, dst, dst_off, len, &a);

	if (err)
		return err;
	s = op_edit(&op, src);
	if (writeback_find(src, NULL, &from, src_off + len, &p, &n))
		return op_end(&op, -EAGAIN);
	err = extent_inline_get(op.txn, src->ino, buf, &have_src);
	if (!err)
		err = extent_inline_get(op.txn, dst->ino, buf, &have_dst);
	if (!err && (src_off < have_src || (have_dst && dst_off < INLINE_MAX)))
		err = -EXDEV;
	if (!err && src_off + len > s->size)
		err = -EAGAIN;
	for (; !err && at < len; at += n)
		err = copy_stretch(&op, src, src_off + at, dst, dst_off + at, len - at, &n);
	op_trim(&op, dst, dst_off, len);
	a = op_edit(&op, dst);
	a->size = MAX(a->size, dst_off + len);
	a->mtime = a->ctime = inode_now();
	if (!err)
		err = xattr_kill_privs(&op, dst);
	err = op_end(&op, err);
	if (!err)
		*done = len;
	return err;
}

int file_copy(struct inode *src, uint64_t src_off, struct inode *dst, uint64_t dst_off,
	      uint64_t len, uint64_t *done)
{
	struct attr a;
	int err = 0;

	inode_attr(src, &a);
	*done = 0;
	if (src_off >= a.size)
		return 0;
	len = MIN(len, a.size - src_off);
	if (dst_off > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX - dst_off)
		return -EFBIG;
	if (src == dst && src_off < dst_off + len && dst_off < src_off + len)
		return -EINVAL;
	while (!err && *done < len) {
		uint64_t n = 0, from = src_off + *done, to = dst_off + *done;
		uint64_t step = MIN(len - *done, SHARE_STEP);

		err = step < SHARE_MIN ? -EXDEV : writeback_flush(src, from, step);
		if (!err)
			err = copy_share(src, from, dst, to, step, &n);
		if (err == -EXDEV)
			err = copy_bytes(src, from, dst, to, step, &n);
		else if (err == -EAGAIN)
			err = 0;
		*done += n;
		/* The source shrank meanwhile. */
		inode_attr(src, &a);
		if (!err && !n && src_off + *done >= a.size)
			break;
		len = MIN(len, a.size > src_off ? a.size - src_off : 0);
	}
	return *done ? 0 : err;
}

/* ---- sync, open, close ---- */

int file_sync(struct inode *in)
{
	uint64_t txg;

	lock_take(&in->lock);
	txg = in->change_txg;
	lock_release(&in->lock);
	return in->fs->rdonly || commit_durable(in->fs, txg) ? 0 : commit_wait(in->fs, txg);
}

int file_opened(struct inode *in)
{
	int err = 0;

	lock_take(&in->lock);
	/* What such an open wrote would belong to an inode without records. */
	if (in->gone)
		err = -ESTALE;
	else
		in->nr_open++;
	lock_release(&in->lock);
	return err;
}

void file_closed(struct inode *in)
{
	bool last;

	lock_take(&in->lock);
	assert(in->nr_open);
	last = !--in->nr_open && !in->attr.nlink;
	lock_release(&in->lock);
	if (last)
		name_reclaim(in);
}
