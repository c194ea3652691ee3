/* Requests to read a file's bytes.
 *
 * What is in memory is answered at once, from where it lies. The rest goes to the workers, so that libfuse's threads
 * are free for requests that need no shard. */
#include <fcntl.h>

#include "conf/base.h"
#include "fs/file.h"
#include "fs/ops_file.h"
#include "fs/ops_slice.h"
#include "fs/ops_stats.h"

/* Extents ahead of a sequential reader; a part of the cache at most, so that several readers have room. */
#define AHEAD_EXTENTS 8
#define AHEAD_CACHE   8
/* Reads in a row that make a stream. */
#define STREAM_RUN 8

struct read_job {
	struct job job;
	struct ops *ops;
	fuse_req_t req;
	struct inode *in; /* referenced */
	uint64_t off;
	size_t len;
	bool noatime, stream;
	uint64_t since_ns;
};

static void reply_read(fuse_req_t req, struct fs *fs, struct file_read *r, bool stream)
{
	r->stream = stream;
	if (r->nr == 1)
		fuse_reply_buf(req, r->iov[0].iov_base, r->iov[0].iov_len);
	else
		fuse_reply_iov(req, r->iov, (int)r->nr);
	file_read_done(fs, r);
}

static void read_job(struct job *job)
{
	struct read_job *j = container_of(job, struct read_job, job);
	struct ops *o = j->ops;
	struct file_read r;
	int err = j->noatime ? file_peek(j->in, j->off, j->len, &r)
			     : file_read(j->in, j->off, j->len, false, &r);

	if (err)
		fuse_reply_err(j->req, -err);
	else
		reply_read(j->req, o->fs, &r, j->stream);
	ops_took(o, OPS_read, j->since_ns);
	inode_put(j->in);
	free(j);
	atomic_fetch_sub(&o->nr_later, 1);
}

/* Reads are independent of each other, so any worker will do: one file's are then on all shards at once. (16 random
 * reads of 4 KiB in flight, one file, shards in RAM, two busy cores: 3200 a second; on the inode's home worker, 2200.) */
static int read_later(fuse_req_t req, struct inode *in, uint64_t off, size_t len, bool noatime,
		      bool stream)
{
	struct read_job *j = malloc(sizeof(*j));

	if (!j)
		return -ENOMEM;
	*j = (struct read_job){
		.job = {.run = read_job},
		.ops = ops_of(req),
		.req = req,
		.in = inode_ref(in),
		.off = off,
		.len = len,
		.noatime = noatime,
		.stream = stream,
		.since_ns = mono_ns(),
	};
	atomic_fetch_add(&j->ops->nr_later, 1);
	in = j->in;
	file_readahead_rest(in, off, len);
	worker_post(in->fs->workers, &j->job);
	return OPS_LATER;
}

/* What a read makes it worth to bring in. */
struct ahead {
	struct inode *in; /* NULL: nothing; else referenced */
	struct readahead_ask ask[READAHEAD_ASKS];
	unsigned nr;
	bool stream; /* this reader goes on and on, and the kernel keeps what it gets */
};

static struct ahead ahead_of(struct ops_file *f, uint64_t off, size_t len)
{
	struct fs *fs = f->in->fs;
	uint64_t unit = fs->extent_len;
	uint64_t window =
		MIN(AHEAD_EXTENTS * unit, round_down(fs->p.cache_len / AHEAD_CACHE, unit));
	struct ahead a;

	a.in = NULL;
	lock_take(&f->lock);
	a.nr = readahead_step(&f->ahead, off, len, unit, CODEC_TILE_LEN, window, a.ask);
	if (a.nr)
		a.in = inode_ref(f->in);
	a.stream = f->ahead.run >= STREAM_RUN;
	lock_release(&f->lock);
	return a;
}

static void ahead_start(struct ahead *a)
{
	if (!a->in)
		return;
	for (unsigned i = 0; i < a->nr; i++)
		file_readahead(a->in, a->ask[i].off, a->ask[i].len);
	inode_put(a->in);
}

/* Once there is a reply, the file may be closed and @f gone at any moment. */
int ops_read(fuse_req_t req, fuse_ino_t ino, size_t len, off_t off, struct fuse_file_info *fi)
{
	struct ops_file *f = ops_file_of(fi);
	bool noatime = fi->flags & O_NOATIME;
	struct file_read r;
	struct ahead ahead;
	int err;

	(void)ino;
	if (!f->in)
		return ops_stats_read(req, f, len, off);
	if (f->slice)
		return ops_slice_read(req, f, len, off);
	atomic_store_explicit(&f->in->paged, true, memory_order_relaxed);
	ahead = ahead_of(f, (uint64_t)off, len);
	/* With O_DIRECT the kernel keeps nothing. */
	ahead.stream = ahead.stream && !(fi->flags & O_DIRECT);
	err = noatime ? -EAGAIN : file_read(f->in, (uint64_t)off, len, true, &r);
	if (err == -EAGAIN)
		err = read_later(req, f->in, (uint64_t)off, len, noatime, ahead.stream);
	else if (!err)
		reply_read(req, f->in->fs, &r, ahead.stream);
	ahead_start(&ahead);
	return err;
}
