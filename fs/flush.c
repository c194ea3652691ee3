/* A window on its way to the shards: each dirty range is encoded and written as a stripe, then one op puts the extents
 * into the map; only then are the bytes dropped from memory, in the same moment for readers (inode->lock).
 *
 * A window of one range of a file to which much has been written is offered to the GPUs. When one takes it, this job is
 * over; the window stays QUEUED, its bytes stable, and what the GPU calls in the end posts the rest as a job. So
 * everything that waits for windows waits for those, too.
 *
 * Each flush needs memory to encode into, two to four times an extent, which is kept and used again: fresh pages
 * would cost a fault for each four kilobytes. */
#include "fs/flush.h"

#include <string.h>

#include "conf/base.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/file.h"

/* A range of so many map entries is rewritten as one extent when something in it is written. */
#define RAGGED 24

/* What heads are looked for in, of a file whose beginning has been written before. */
#define LEARN_LEN (64 * KIB)

/* Flushes kept for later besides one for each worker: some are with the GPUs. */
#define SPARE_MORE 4u

/* What GPUs are given at once is bound to this part of the memory for dirty data (by the scratch it needs), and never
 * to less than keeps one of them busy. */
#define OFFER_PART 2u
#define OFFER_MIN  16u

/* One dirty range, encoded and on the shards. */
struct flushed {
	uint64_t off;
	struct extent extent;
};

struct flush {
	struct flush *next; /* of the spare ones */
	struct window *w;
	struct codec_opts opts;
	struct codec_file *file;
	struct codec_job codec; /* of the range that comes next, done[nr] */
	unsigned nr;
	struct flushed done[WINDOW_RANGES + 1];
	uint8_t *scratch; /* codec_scratch_len(extent_len) bytes; heap */
};

struct flush_pool {
	struct fs *fs;
	unsigned offer_max;
	atomic_uint nr_offered; /* with the GPUs now */
	struct lock lock;
	struct flush *spare; /* guarded by lock */
	unsigned nr_spare;   /* guarded by lock */
};

int flush_pool_new(struct fs *fs, struct flush_pool **out)
{
	struct flush_pool *p = calloc(1, sizeof(*p));
	size_t scratch = codec_scratch_len(fs->extent_len);

	if (!p)
		return -ENOMEM;
	p->fs = fs;
	p->offer_max = (unsigned)MAX(fs->p.memory_len / OFFER_PART / scratch, (uint64_t)OFFER_MIN);
	lock_init(&p->lock);
	*out = p;
	return 0;
}

static void flush_free(struct flush *f)
{
	free(f->scratch);
	free(f);
}

void flush_pool_free(struct flush_pool *p)
{
	struct flush *next;

	if (!p)
		return;
	for (struct flush *f = p->spare; f; f = next) {
		next = f->next;
		flush_free(f);
	}
	lock_fini(&p->lock);
	free(p);
}

static struct flush *flush_new(const struct fs *fs)
{
	struct flush *f = malloc(sizeof(*f));

	if (!f)
		return NULL;
	f->scratch = malloc(codec_scratch_len(fs->extent_len));
	if (f->scratch)
		return f;
	free(f);
	return NULL;
}

static struct flush *flush_get(struct flush_pool *p, struct window *w)
{
	struct flush *f;

	lock_take(&p->lock);
	f = p->spare;
	if (f) {
		p->spare = f->next;
		p->nr_spare--;
	}
	lock_release(&p->lock);
	if (!f)
		f = flush_new(p->fs);
	if (f) {
		f->w = w;
		f->nr = 0;
	}
	return f;
}

static void flush_put(struct flush_pool *p, struct flush *f)
{
	bool keep;

	lock_take(&p->lock);
	keep = p->nr_spare < p->fs->p.threads + SPARE_MORE;
	if (keep) {
		f->next = p->spare;
		p->spare = f;
		p->nr_spare++;
	}
	lock_release(&p->lock);
	if (!keep)
		flush_free(f);
}

/* ---- what is known of the file ---- */

/* Made for the first extent, since tiny files need none. NULL, for want of memory, is fine with the codec. */
static struct codec_file *flush_file(struct inode *in)
{
	struct codec_file *file;

	lock_take(&in->lock);
	if (!in->codec_file)
		in->codec_file = codec_file_new();
	file = in->codec_file;
	lock_release(&in->lock);
	return file;
}

/* The file's beginning, which tells what its items are, is not among what is written: it was before. Once for each
 * inode; when it cannot be read, nothing is known. */
static bool learn_due(const struct flush *f)
{
	struct inode *in = f->w->inode;
	bool due;

	if (!f->file || (!f->w->start && !f->w->range[0].off))
		return false;
	lock_take(&in->lock);
	due = !in->head_read && !codec_file_seen(f->file);
	in->head_read = true;
	lock_release(&in->lock);
	return due;
}

static void flush_learn(struct flush *f)
{
	struct inode *in = f->w->inode;
	AUTO_FREE uint8_t *bytes = NULL;
	struct file_read r;
	size_t at = 0;

	if (!learn_due(f) || file_peek(in, 0, LEARN_LEN, &r))
		return;
	if (r.nr == 1)
		codec_learn(f->file, 0, r.iov[0].iov_base, r.iov[0].iov_len);
	else if (r.len)
		bytes = malloc(r.len);
	for (unsigned i = 0; bytes && i < r.nr; i++) {
		memcpy(bytes + at, r.iov[i].iov_base, r.iov[i].iov_len);
		at += r.iov[i].iov_len;
	}
	if (bytes)
		codec_learn(f->file, 0, bytes, at);
	file_read_done(in->fs, &r);
}

/* ---- one range ---- */

static void flush_job(struct flush *f)
{
	struct window *w = f->w;
	const struct window_range *r = &w->range[f->nr];

	f->codec = (struct codec_job){
		.opts = &f->opts,
		.file = f->file,
		.file_off = w->start + r->off,
		.raw = w->buf + (r->off - w->base),
		.raw_len = r->len,
		.scratch = f->scratch,
	};
}

static void flush_count(struct fs *fs, const struct codec_job *j)
{
	struct fs_encoded *by = &fs->n.by[j->by];
	size_t stored = j->head_len + j->payload_len;

	atomic_fetch_add(&fs->n.raw_in, j->raw_len);
	atomic_fetch_add(&fs->n.stored_in, stored);
	atomic_fetch_add(&by->nr, 1);
	atomic_fetch_add(&by->raw, j->raw_len);
	atomic_fetch_add(&by->stored, stored);
	atomic_fetch_add(&by->ns, j->encode_ns);
	atomic_fetch_add(&fs->n.why_nr[j->why], 1);
	atomic_fetch_add(&fs->n.why_raw[j->why], j->raw_len);
}

/* What f->codec has come to, as a stripe. */
static int flush_store(struct flush *f)
{
	struct codec_job *j = &f->codec;
	struct fs *fs = f->w->inode->fs;
	struct flushed *out = &f->done[f->nr];
	struct iovec iov[2] = {{j->head, j->head_len}, {(void *)j->payload, j->payload_len}};
	int err;

	out->off = j->file_off;
	out->extent.gen = atomic_fetch_add(&fs->next_gen, 1);
	out->extent.owner = (struct stripe_owner){.ino = f->w->inode->ino,
						  .file_off = out->off,
						  .gen = out->extent.gen,
						  .raw_len = (uint32_t)j->raw_len};
	err = raid_write(fs->raid, &out->extent.owner, iov, 2, &out->extent.loc);
	if (err)
		return err;
	f->nr++;
	flush_count(fs, j);
	return 0;
}

/* A rewrite that saves no block: what is there stays. */
static bool flush_keeps(struct flush *f)
{
	struct rewrite *r = f->w->rewrite;

	if (!r)
		return false;
	r->stored_now = (uint32_t)(f->codec.head_len + f->codec.payload_len);
	return !r->must &&
	       round_up(r->stored_now, BLOCK_LEN) >= round_up((uint64_t)r->stored, BLOCK_LEN);
}

/* ---- all of it ---- */

static int flush_publish(struct flush *f)
{
	struct inode *in = f->w->inode;
	struct op op;
	int err = op_begin_flush(&op, in->fs, f->w->txg);

	if (err)
		return err;
	op_edit(&op, in);
	for (unsigned i = 0; !err && i < f->nr; i++)
		err = extent_insert(&op, in, f->done[i].off, &f->done[i].extent);
	op.flushed = f->w;
	return op_end(&op, err);
}

static void flush_keep(struct flush *f)
{
	struct window *w = f->w;

	lock_take(&w->inode->lock);
	w->rewrite->kept = true;
	writeback_flushed(w);
	lock_release(&w->inode->lock);
}

/* The first range has been encoded, if @err is 0: the others, and the end. */
static void flush_rest(struct flush *f, int err)
{
	struct window *w = f->w;
	struct fs *fs = w->inode->fs;
	bool keep = !err && flush_keeps(f);

	while (!err && !keep) {
		err = flush_store(f);
		if (err || f->nr == w->nr)
			break;
		flush_job(f);
		err = codec_encode(&f->codec);
	}
	if (!err && keep)
		flush_keep(f);
	else if (!err)
		err = flush_publish(f);
	while (err && f->nr)
		raid_free(fs->raid, &f->done[--f->nr].extent.loc);
	flush_put(fs->flushes, f);
	writeback_done(w, err);
}

/* ---- GPUs ---- */

static void flush_resume(struct job *job)
{
	struct window *w = container_of(job, struct window, job);
	struct flush *f = w->flush;
	struct fs *fs = w->inode->fs;
	int err = fs->p.complete(&f->codec);

	atomic_fetch_sub(&fs->flushes->nr_offered, 1);
	flush_rest(f, err);
}

/* On a GPU's thread. */
static void flush_encoded(struct codec_job *j)
{
	struct flush *f = container_of(j, struct flush, codec);
	struct window *w = f->w;

	w->job.run = flush_resume;
	worker_post(w->inode->fs->workers, &w->job);
}

static bool offer_due(const struct flush *f)
{
	struct inode *in = f->w->inode;
	bool due;

	if (f->w->nr != 1)
		return false;
	lock_take(&in->lock);
	/* Of a rewrite it is known how much there will be. */
	due = (f->w->rewrite ? in->attr.size : in->written) >= in->fs->p.gpu_threshold;
	lock_release(&in->lock);
	return due;
}

/* True: the flush goes on in flush_resume(), perhaps has already, and is not the caller's any more. */
static bool flush_offer(struct flush *f)
{
	struct fs *fs = f->w->inode->fs;
	struct flush_pool *p = fs->flushes;
	bool taken = false;

	if (!offer_due(f))
		return false;
	f->codec.done = flush_encoded;
	f->w->flush = f;
	if (atomic_fetch_add(&p->nr_offered, 1) < p->offer_max)
		taken = fs->p.offer(fs->p.gpu, &f->codec);
	if (!taken)
		atomic_fetch_sub(&p->nr_offered, 1);
	return taken;
}

static int flush_extents(struct window *w)
{
	struct flush *f = flush_get(w->inode->fs->flushes, w);

	if (!f)
		return -ENOMEM;
	f->opts = codec_policy_of(w->inode);
	f->file = flush_file(w->inode);
	flush_learn(f);
	flush_job(f);
	if (!flush_offer(f))
		flush_rest(f, codec_encode(&f->codec));
	return 0;
}

/* ---- tiny files ---- */

static bool inline_wanted(struct window *w, int *err)
{
	struct inode *in = w->inode;
	struct index_txn *t;
	struct map_entry m;
	uint64_t size;

	*err = 0;
	lock_take(&in->lock);
	size = in->attr.size;
	lock_release(&in->lock);
	if (w->start || size > INLINE_MAX ||
	    w->range[w->nr - 1].off + w->range[w->nr - 1].len > INLINE_MAX)
		return false;
	*err = index_read(in->fs->index, &t);
	if (*err)
		return false;
	/* What is mapped below INLINE_MAX can only change through this window, which is ours now. */
	*err = extent_find(t, in->ino, 0, &m);
	index_read_end(t);
	if (*err == -ENOENT) {
		*err = 0;
		return true;
	}
	return !*err && m.off >= INLINE_MAX;
}

static int flush_inline(struct window *w)
{
	struct fs *fs = w->inode->fs;
	uint8_t buf[INLINE_MAX] = {0};
	struct op op;
	size_t len;
	int err = op_begin_flush(&op, fs, w->txg);

	if (err)
		return err;
	op_edit(&op, w->inode);
	err = extent_inline_get(op.txn, w->inode->ino, buf, &len);
	memset(buf + len, 0, sizeof(buf) - len);
	for (unsigned i = 0; i < w->nr; i++) {
		const struct window_range *r = &w->range[i];

		memcpy(buf + r->off, w->buf + (r->off - w->base), r->len);
		len = MAX(len, (size_t)r->off + r->len);
	}
	if (!err)
		err = extent_inline_put(&op, w->inode, buf, len);
	op.flushed = w;
	err = op_end(&op, err);
	if (!err)
		atomic_fetch_add(&fs->n.nr_inline, 1);
	return err;
}

/* ---- filling a window with what it does not change ---- */

/* Bring clean bytes of [from, to) of the window in between the dirty ranges, which become one.
 * @cost    to be reserved; 0: it is, and this must not fail for want of memory in the pool */
static int flush_fill(struct window *w, uint32_t from, uint32_t to, uint64_t cost)
{
	struct inode *in = w->inode;
	struct file_read r = {.iov = {{0}}};
	uint32_t at = from;
	AUTO_FREE uint8_t *bytes = malloc(to - from);
	int err = bytes ? 0 : -ENOMEM;

	if (!err && cost)
		err = raid_reserve(in->fs->raid, cost);
	if (err)
		return err;
	err = file_peek(in, w->start + from, to - from, &r);
	for (unsigned i = 0; !err && i < r.nr; i++) {
		memcpy(bytes + (at - from), r.iov[i].iov_base, r.iov[i].iov_len);
		at += (uint32_t)r.iov[i].iov_len;
	}
	if (!err)
		memset(bytes + (at - from), 0, to - at);
	file_read_done(in->fs, &r);
	if (!err)
		err = writeback_fill(w, from, to, bytes, cost);
	if (err && cost)
		raid_unreserve(in->fs->raid, cost);
	return err;
}

/* Dirty ranges of a file with inline bytes (for which window_base() was reserved), or in the midst of many small
 * extents, are written together with what lies around them. */
static int flush_round_out(struct window *w)
{
	struct inode *in = w->inode;
	struct fs *fs = in->fs;
	uint8_t buf[INLINE_MAX];
	struct index_txn *t;
	size_t inline_len = 0;
	unsigned nr = 0;
	uint64_t end = 0;
	uint32_t to;
	int err = index_read(fs->index, &t);

	if (err)
		return err;
	if (!w->start)
		err = extent_inline_get(t, in->ino, buf, &inline_len);
	if (!err)
		err = extent_count(t, in->ino, w->start, fs->extent_len, &nr, &end);
	index_read_end(t);
	if (err)
		return err;
	if (inline_len)
		err = flush_fill(w, 0, (uint32_t)inline_len, 0);
	if (err || nr + w->nr < RAGGED)
		return err;
	/* Not up to the file's size: that may be of a later group. */
	to = w->range[w->nr - 1].off + w->range[w->nr - 1].len;
	to = MAX(to, (uint32_t)(end - w->start));
	/* Only tidiness: without room or memory for it, or where what lies between cannot be read, the ranges go as
	 * they are. */
	flush_fill(w, 0, to, writeback_cost(to));
	return 0;
}

/* Returns an error before anything was begun; else writeback_done() has been, or will be called. */
static int flush_begin(struct window *w)
{
	bool small;
	int err;

	if (w->rewrite)
		return flush_extents(w);
	small = inline_wanted(w, &err);
	if (err)
		return err;
	err = small ? flush_inline(w) : flush_round_out(w);
	if (err)
		return err;
	if (!small)
		return flush_extents(w);
	writeback_done(w, 0);
	return 0;
}

static void flush_nothing(struct window *w)
{
	lock_take(&w->inode->lock);
	writeback_flushed(w);
	lock_release(&w->inode->lock);
	writeback_done(w, 0);
}

void flush_window(struct window *w)
{
	int err;

	if (!w->nr) {
		flush_nothing(w);
		return;
	}
	err = flush_begin(w);
	if (err)
		writeback_done(w, err);
}
