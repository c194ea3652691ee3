/* Attribute records.
 *
 *   offset  length
 *        0       4  version, 1
 *        4       4  flags
 *        8       4  mode
 *       12       4  uid
 *       16       4  gid
 *       20       4  nlink
 *       24       8  rdev
 *       32       8  size
 *       40       8  mapped
 *       48       8  parent
 *       56       8  next_cookie
 *       64      12  atime: seconds (signed), nanoseconds (u32)
 *       76      12  mtime
 *       88      12  ctime
 *      100      12  btime
 *
 * There is no checksum: the batch of the log or the checkpoint that a record stands in carries it. */
#include "fs/attr.h"

#include <assert.h>

#include "conf/base.h"
#include "fs/index.h"

#define ATTR_VERSION 1
#define ATTR_NSEC    1000000000u

static void attr_put_time(struct wbuf *w, const struct timespec *ts)
{
	assert(ts->tv_nsec >= 0 && ts->tv_nsec < (long)ATTR_NSEC);
	wbuf_u64(w, (uint64_t)(int64_t)ts->tv_sec);
	wbuf_u32(w, (uint32_t)ts->tv_nsec);
}

void attr_put(const struct attr *a, uint8_t buf[ATTR_LEN])
{
	struct wbuf w = wbuf_init(buf, ATTR_LEN);

	wbuf_u32(&w, ATTR_VERSION);
	wbuf_u32(&w, a->flags);
	wbuf_u32(&w, a->mode);
	wbuf_u32(&w, a->uid);
	wbuf_u32(&w, a->gid);
	wbuf_u32(&w, a->nlink);
	wbuf_u64(&w, a->rdev);
	wbuf_u64(&w, a->size);
	wbuf_u64(&w, a->mapped);
	wbuf_u64(&w, a->parent);
	wbuf_u64(&w, a->next_cookie);
	attr_put_time(&w, &a->atime);
	attr_put_time(&w, &a->mtime);
	attr_put_time(&w, &a->ctime);
	attr_put_time(&w, &a->btime);
	assert(!w.bad && w.pos == ATTR_LEN);
}

static bool attr_get_time(struct rbuf *r, struct timespec *ts)
{
	uint32_t nsec;

	ts->tv_sec = (time_t)(int64_t)rbuf_u64(r);
	nsec = rbuf_u32(r);
	ts->tv_nsec = (long)nsec;
	return nsec < ATTR_NSEC;
}

static bool attr_mode_valid(uint32_t mode)
{
	if (mode & ~(uint32_t)(S_IFMT | 07777))
		return false;
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) ||
	       S_ISFIFO(mode) || S_ISSOCK(mode);
}

/* Sizes are offsets of system calls, which are signed; cookies 1 and 2 are "." and "..". */
static bool attr_valid(const struct attr *a)
{
	return attr_mode_valid(a->mode) && !(a->flags & ~ATTR_FLAGS) && a->size <= INT64_MAX &&
	       a->mapped <= INT64_MAX && (!S_ISDIR(a->mode) || a->next_cookie >= 3);
}

int attr_get(const uint8_t *buf, size_t len, struct attr *out)
{
	struct rbuf r = rbuf_init(buf, len);
	struct attr a = {0};
	bool times;

	if (len != ATTR_LEN || rbuf_u32(&r) != ATTR_VERSION)
		return -EBADMSG;
	a.flags = rbuf_u32(&r);
	a.mode = rbuf_u32(&r);
	a.uid = rbuf_u32(&r);
	a.gid = rbuf_u32(&r);
	a.nlink = rbuf_u32(&r);
	a.rdev = rbuf_u64(&r);
	a.size = rbuf_u64(&r);
	a.mapped = rbuf_u64(&r);
	a.parent = rbuf_u64(&r);
	a.next_cookie = rbuf_u64(&r);
	times = attr_get_time(&r, &a.atime);
	times = attr_get_time(&r, &a.mtime) && times;
	times = attr_get_time(&r, &a.ctime) && times;
	times = attr_get_time(&r, &a.btime) && times;
	if (r.bad || !times || !attr_valid(&a))
		return -EBADMSG;
	*out = a;
	return 0;
}

int attr_load(struct index_txn *t, uint64_t ino, struct attr *a)
{
	struct key key = key_plain(ino, KEY_ATTR);
	struct index_val v;
	int err = index_get(t, &key, &v);

	return err ? err : attr_get(v.p, v.len, a);
}

void attr_stat(uint64_t ino, const struct attr *a, uint32_t extent_len, struct stat *st)
{
	/* Blocks are of 512 bytes, whatever the device's are. */
	*st = (struct stat){
		.st_ino = ino,
		.st_mode = a->mode,
		.st_nlink = a->nlink,
		.st_uid = a->uid,
		.st_gid = a->gid,
		.st_rdev = a->rdev,
		.st_size = (off_t)a->size,
		.st_blksize = (blksize_t)extent_len,
		.st_blocks = (blkcnt_t)div_up(a->mapped, 512),
		.st_atim = a->atime,
		.st_mtim = a->mtime,
		.st_ctim = a->ctime,
	};
}
