/* Requests for the bytes of a slice.
 *
 * A request is cut into parts where its bytes are spread over many extents, so that these are read side by side; each part
 * is a job, and the last to end replies. None waits for another, and one that takes long goes back into the queue now and
 * then. What a request holds is its reply, and per worker one window of the source in the cache. */
#include "conf/base.h"
#include "fs/file.h"
#include "fs/ops_slice.h"

#define PART_LEN_MIN 512

struct slice_part {
	struct job job;
	struct slice_read *all;
	size_t at, end;
};

struct slice_read {
	struct ops *ops;
	fuse_req_t req;
	struct inode *in;    /* referenced */
	struct slice *slice; /* referenced */
	uint64_t off;
	size_t len;
	uint8_t *buf; /* NULL: none is needed */
	bool own;     /* it is heap; else the request's */
	uint64_t since_ns;
	atomic_int err; /* of the first part that failed */
	atomic_uint nr_left;
	unsigned nr_parts;
	struct slice_part part[];
};

static void read_free(struct slice_read *r)
{
	struct ops *o = r->ops;

	ops_took(o, OPS_read, r->since_ns);
	slice_put(r->slice);
	inode_put(r->in);
	if (r->own)
		free(r->buf);
	free(r);
	atomic_fetch_sub(&o->nr_later, 1);
}

/* What was read is the slice only if the source is still what it was. */
static void read_end(struct slice_read *r, int err)
{
	if (!err)
		err = slice_check(r->in, r->slice);
	if (err)
		fuse_reply_err(r->req, -err);
	else
		fuse_reply_buf(r->req, (const char *)r->buf, r->len);
	read_free(r);
}

/* The mount ends, or the kernel has let go of it: nobody waits for the bytes. */
static int read_wanted(const struct slice_read *r)
{
	return fuse_session_exited(r->ops->se) ? -EIO : 0;
}

static void part_end(struct slice_part *p, int err)
{
	struct slice_read *r = p->all;
	int none = 0;

	if (err)
		atomic_compare_exchange_strong(&r->err, &none, err);
	if (atomic_fetch_sub(&r->nr_left, 1) == 1)
		read_end(r, atomic_load(&r->err));
}

static void part_job(struct job *job)
{
	struct slice_part *p = container_of(job, struct slice_part, job);
	struct slice_read *r = p->all;
	size_t done;
	int err = atomic_load(&r->err);

	if (!err)
		err = read_wanted(r);
	if (!err)
		err = slice_read(r->in, r->slice, r->off + p->at, p->end - p->at, r->buf + p->at,
				 &done);
	if (!err) {
		p->at += done;
		if (p->at < p->end) {
			worker_post(r->ops->fs->workers, &p->job);
			return;
		}
	}
	part_end(p, err);
}

/* Bytes that lie together in the source are sent from where they are. */
static void place_job(struct job *job)
{
	struct slice_part *p = container_of(job, struct slice_part, job);
	struct slice_read *r = p->all;
	struct file_read got;
	uint64_t at = 0;
	int err;

	slice_in_place(r->slice, r->off, r->len, &at);
	err = file_peek(r->in, at, r->len, &got);
	if (err) {
		fuse_reply_err(r->req, -err);
		read_free(r);
		return;
	}
	err = got.len < r->len ? -ESTALE : slice_check(r->in, r->slice);
	if (err)
		fuse_reply_err(r->req, -err);
	else
		fuse_reply_iov(r->req, got.iov, (int)got.nr);
	file_read_done(r->in->fs, &got);
	read_free(r);
}

static unsigned parts_of(struct fs *fs, const struct slice *s, uint64_t off, size_t len)
{
	uint64_t nr = slice_spread(s, off, len) / fs->extent_len + 1;

	nr = MIN(nr, (uint64_t)len / PART_LEN_MIN + 1);
	return (unsigned)MIN(nr, (uint64_t)worker_count(fs->workers));
}

static void read_start(struct slice_read *r, void (*run)(struct job *job))
{
	size_t part_len = (r->len + r->nr_parts - 1) / r->nr_parts;
	struct worker_pool *workers = r->ops->fs->workers;
	unsigned nr = r->nr_parts;

	for (unsigned i = 0; i < nr; i++) {
		r->part[i] = (struct slice_part){
			.job = {.run = run},
			.all = r,
			.at = MIN(i * part_len, r->len),
			.end = MIN((i + 1) * part_len, r->len),
		};
	}
	atomic_store(&r->nr_left, nr);
	atomic_fetch_add(&r->ops->nr_later, 1);
	/* After the last of them is posted, @r may be gone. */
	for (unsigned i = 0; i < nr; i++)
		worker_post(workers, &r->part[i].job);
}

/* Where the reply is put together. */
static int read_buf(struct slice_read *r)
{
	size_t room;
	void *p;

	if (ops_payload(r->req, &p, &room) && room >= r->len) {
		r->buf = p;
		return 0;
	}
	r->buf = malloc(r->len);
	r->own = true;
	return r->buf ? 0 : -ENOMEM;
}

int ops_slice_read(fuse_req_t req, const struct ops_file *f, size_t len, off_t off)
{
	struct fs *fs = f->in->fs;
	uint64_t at = (uint64_t)off, all = slice_len(f->slice), where;
	bool in_place;
	struct slice_read *r;
	unsigned nr_parts;

	if (at >= all || !len) {
		fuse_reply_buf(req, NULL, 0);
		return 0;
	}
	len = (size_t)MIN((uint64_t)len, all - at);
	in_place = slice_in_place(f->slice, at, len, &where);
	nr_parts = in_place ? 1 : parts_of(fs, f->slice, at, len);
	r = calloc(1, sizeof(*r) + nr_parts * sizeof(r->part[0]));
	if (!r)
		return -ENOMEM;
	r->req = req;
	r->len = len;
	if (!in_place && read_buf(r)) {
		free(r);
		return -ENOMEM;
	}
	r->ops = ops_of(req);
	atomic_fetch_add(&r->ops->slices.nr_reads, 1);
	atomic_fetch_add(&r->ops->slices.read_bytes, len);
	r->in = inode_ref(f->in);
	r->slice = slice_ref(f->slice);
	r->off = at;
	r->nr_parts = nr_parts;
	r->since_ns = mono_ns();
	read_start(r, in_place ? place_job : part_job);
	return OPS_LATER;
}
