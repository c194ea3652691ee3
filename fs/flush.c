/* Windows on their way to the shards: their dirty ranges are encoded and written as stripes, then one op puts the extents
 * into the map; only then are the bytes dropped from memory, in the same moment for readers (inode->lock).
 *
 * A large range is an extent of its own. Small ones, of one window or of several files' written together, are put into
 * one extent as a bundle (fs/bundle.h): a stripe for each would cost a head block on each of its shards, and an op. What
 * is bundled stays on the shards until all of it is gone; so a window which too many extents show, or too much of them
 * in vain, is written as a whole when something in it is written, and before that when there is time (recompress.c).
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
#include "fs/bundle.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/file.h"
#include "fs/recompress.h"

/* A window is written as one extent when it would be shown by more of them than this, */
#define EXTENTS_MAX 64u
/* or by more map entries than this, */
#define ENTRIES_MAX 1024u
/* or when they are so many times as long as the window. */
#define SPARE_TIMES 4u
/* From so many entries on, or twice its length, it is worth doing when there is time. */
#define ENTRIES_MANY 8u
/* What of a window's span is dirty, for its rest to be read and written with it: so many parts of four. */
#define DENSE 3u

/* A bundle of several windows' bytes is no longer than what is decoded at once. */
#define BUNDLE_SHARED CODEC_TILE_LEN

/* What heads are looked for in, of a file whose beginning has been written before. */
#define LEARN_LEN (64 * KIB)

/* Flushes kept for later besides one for each worker: some are with the GPUs. */
#define SPARE_MORE 4u

/* What GPUs are given at once is bound to this part of the memory for dirty data (by the scratch it needs), and never
 * to less than keeps one of them busy. */
#define OFFER_PART 2u
#define OFFER_MIN  16u

/* Ranges [idx, end) of @w, which touch each other. */
struct stretch {
	const struct window *w;
	unsigned idx, end;
};

/* An extent to be, and what has come of it: parts [from, from + nr). */
struct flushed {
	unsigned from, nr;
	struct extent extent;
};

struct flush {
	struct flush *next; /* of the spare ones */
	struct window *w;   /* the first of a chain */
	struct codec_opts opts;
	struct codec_file *file; /* of the extent that comes next; NULL: a bundle's */
	struct codec_job codec;	 /* the same */
	/* the stretches of dirty bytes, and what they are made of; heap, cap of each */
	struct extent_part *part;
	struct stretch *from;
	unsigned nr_parts, cap;
	/* as many as there are parts at most; heap, cap of them */
	struct flushed *out;
	unsigned nr_out, nr_done;
	uint8_t *bundle; /* extent_len bytes, NULL until needed: what does not lie together; heap */
	struct bundle_part *table; /* heap, cap of them */
	uint8_t *scratch;	   /* codec_scratch_len(extent_len) bytes; heap */
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
	free(f->part);
	free(f->from);
	free(f->out);
	free(f->table);
	free(f->bundle);
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
	struct flush *f = calloc(1, sizeof(*f));

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
		f->nr_parts = f->nr_out = f->nr_done = 0;
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

	if (!f->file || (!f->w->start && !f->w->dirty.at[0].off))
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

/* ---- what goes where ---- */

static int plan_room(struct flush *f, unsigned nr)
{
	if (nr <= f->cap)
		return 0;
	free(f->part);
	free(f->from);
	free(f->out);
	free(f->table);
	f->cap = 0;
	f->part = malloc(nr * sizeof(*f->part));
	f->from = malloc(nr * sizeof(*f->from));
	f->out = malloc(nr * sizeof(*f->out));
	f->table = malloc(nr * sizeof(*f->table));
	if (!f->part || !f->from || !f->out || !f->table)
		return -ENOMEM;
	f->cap = nr;
	return 0;
}

static uint32_t stretch_len(const struct stretch *s)
{
	const struct range *last = &s->w->dirty.at[s->end - 1];

	return last->off + last->len - s->w->dirty.at[s->idx].off;
}

static void stretch_copy(const struct stretch *s, uint8_t *to)
{
	for (unsigned i = s->idx; i < s->end; i++) {
		const struct range *r = &s->w->dirty.at[i];

		to = mempcpy(to, s->w->buf + r->pos, r->len);
	}
}

static struct stretch stretch_at(const struct window *w, unsigned idx)
{
	return (struct stretch){w, idx, ranges_stretch(&w->dirty, idx)};
}

static void plan_part(struct flush *f, const struct stretch *s)
{
	f->part[f->nr_parts] = (struct extent_part){.in = s->w->inode,
						    .off = s->w->start + s->w->dirty.at[s->idx].off,
						    .len = stretch_len(s)};
	f->from[f->nr_parts++] = *s;
}

static bool stretch_is_large(const struct stretch *s)
{
	return stretch_len(s) >= FLUSH_LARGE;
}

static void plan_large(struct flush *f, const struct window *w)
{
	for (struct stretch s = {.w = w}; s.end < w->dirty.nr;) {
		s = stretch_at(w, s.end);
		if (!stretch_is_large(&s))
			continue;
		f->out[f->nr_out++] = (struct flushed){.from = f->nr_parts, .nr = 1};
		plan_part(f, &s);
	}
}

/* @len: of the bundle that is being filled. */
static void plan_small(struct flush *f, const struct window *w, uint64_t limit, uint64_t *len)
{
	for (struct stretch s = {.w = w}; s.end < w->dirty.nr;) {
		uint32_t more;

		s = stretch_at(w, s.end);
		if (stretch_is_large(&s))
			continue;
		more = BUNDLE_PART_LEN + stretch_len(&s);
		if (!*len || *len + more > limit) {
			f->out[f->nr_out++] = (struct flushed){.from = f->nr_parts};
			*len = BUNDLE_HEAD_LEN;
		}
		plan_part(f, &s);
		f->out[f->nr_out - 1].nr++;
		*len += more;
	}
}

static int flush_plan(struct flush *f)
{
	uint64_t limit = f->w->batch ? BUNDLE_SHARED : f->w->inode->fs->extent_len, len = 0;
	unsigned nr = 0;
	int err;

	for (const struct window *w = f->w; w; w = w->batch)
		nr += w->dirty.nr;
	err = plan_room(f, nr);
	if (err)
		return err;
	for (const struct window *w = f->w; w; w = w->batch)
		plan_large(f, w);
	for (const struct window *w = f->w; w; w = w->batch)
		plan_small(f, w, limit, &len);
	return 0;
}

/* ---- one extent ---- */

static int bundle_room(struct flush *f)
{
	if (!f->bundle)
		f->bundle = malloc(f->w->inode->fs->extent_len);
	return f->bundle ? 0 : -ENOMEM;
}

static int bundle_fill(struct flush *f, const struct flushed *o, size_t *len)
{
	int err = bundle_room(f);

	if (err)
		return err;
	for (unsigned i = 0; i < o->nr; i++) {
		const struct extent_part *p = &f->part[o->from + i];

		f->table[i] = (struct bundle_part){.ino = p->in->ino, .off = p->off, .len = p->len};
	}
	bundle_put(f->table, o->nr, f->bundle);
	for (unsigned i = 0; i < o->nr; i++) {
		struct extent_part *p = &f->part[o->from + i];

		p->skip = f->table[i].skip;
		stretch_copy(&f->from[o->from + i], f->bundle + p->skip);
		*len = (size_t)p->skip + p->len;
	}
	return 0;
}

/* The bytes of one that is not a bundle, where they lie, or put together. */
static int stretch_bytes(struct flush *f, const struct stretch *s, const uint8_t **out)
{
	int err = 0;

	if (s->end == s->idx + 1) {
		*out = s->w->buf + s->w->dirty.at[s->idx].pos;
		return 0;
	}
	err = bundle_room(f);
	if (err)
		return err;
	stretch_copy(s, f->bundle);
	*out = f->bundle;
	return 0;
}

/* The next one, for the codec. */
static int flush_job(struct flush *f)
{
	const struct flushed *o = &f->out[f->nr_done];
	const struct extent_part *p = &f->part[o->from];
	int err = 0;

	f->codec = (struct codec_job){
		.opts = &f->opts, .scratch = f->scratch, .enough = RAID_LEAST_LEN};
	if (o->nr > 1) {
		f->file = NULL;
		err = bundle_fill(f, o, &f->codec.raw_len);
		f->codec.raw = f->bundle;
		return err;
	}
	f->file = flush_file(p->in);
	f->codec.file = f->file;
	f->codec.file_off = p->off;
	f->codec.raw_len = p->len;
	return stretch_bytes(f, &f->from[o->from], &f->codec.raw);
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
	struct flushed *o = &f->out[f->nr_done];
	const struct extent_part *p = &f->part[o->from];
	struct iovec iov[2] = {{j->head, j->head_len}, {(void *)j->payload, j->payload_len}};
	struct extent *e = &o->extent;
	int err;

	e->gen = atomic_fetch_add(&fs->next_gen, 1);
	e->owner = (struct stripe_owner){.ino = p->in->ino,
					 .file_off = o->nr > 1 ? BUNDLE_MARK | o->nr : p->off,
					 .gen = e->gen,
					 .raw_len = (uint32_t)j->raw_len};
	err = raid_write(fs->raid, &e->owner, iov, 2, &e->loc);
	if (err)
		return err;
	f->nr_done++;
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

static unsigned chain_len(const struct window *w)
{
	unsigned nr = 0;

	for (; w; w = w->batch)
		nr++;
	return nr;
}

static int flush_publish(struct flush *f)
{
	struct op op;
	int err = op_begin_flush(&op, f->w->inode->fs, f->w->txg, chain_len(f->w));

	if (err)
		return err;
	for (unsigned i = 0; !err && i < f->nr_done; i++)
		err = extent_insert_parts(&op, &f->out[i].extent, f->part + f->out[i].from,
					  f->out[i].nr);
	/* Locked, so that they are without windows and with the extents in one moment. */
	for (const struct window *w = f->w; w; w = w->batch)
		op_edit(&op, w->inode);
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

static void flush_alone(struct window *w);

/* Every window of the chain is through. Where one could not be written it may be for the sake of another: each has its
 * own try. */
static void flush_end(struct window *first, int err)
{
	bool again = err && first->batch;
	struct window *next;

	for (struct window *w = first; w; w = next) {
		next = w->batch;
		w->batch = NULL;
		if (!err && w->ragged)
			recompress_ragged(w->inode);
		if (again)
			flush_alone(w);
		else
			writeback_done(w, err);
	}
}

/* The first extent has been encoded, if @err is 0: the others, and the end. */
static void flush_rest(struct flush *f, int err)
{
	struct window *w = f->w;
	struct fs *fs = w->inode->fs;
	bool keep = !err && flush_keeps(f);

	while (!err && !keep) {
		err = flush_store(f);
		if (err || f->nr_done == f->nr_out)
			break;
		err = flush_job(f);
		if (!err)
			err = codec_encode(&f->codec);
	}
	if (!err && keep)
		flush_keep(f);
	else if (!err)
		err = flush_publish(f);
	while (err && f->nr_done)
		raid_free(fs->raid, &f->out[--f->nr_done].extent.loc);
	flush_put(fs->flushes, f);
	flush_end(w, err);
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

	if (f->w->batch || f->nr_parts != 1)
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

/* @w and those chained to it, as extents. */
static void flush_extents(struct window *w)
{
	struct fs *fs = w->inode->fs;
	struct flush *f = flush_get(fs->flushes, w);
	int err;

	if (!f) {
		flush_end(w, -ENOMEM);
		return;
	}
	f->opts = codec_policy_of(w->inode);
	err = flush_plan(f);
	if (!err)
		err = flush_job(f);
	if (!err && !w->batch)
		flush_learn(f);
	if (!err && flush_offer(f))
		return;
	if (!err)
		err = codec_encode(&f->codec);
	flush_rest(f, err);
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
	if (w->start || size > INLINE_MAX || ranges_end(&w->dirty) > INLINE_MAX ||
	    !commit_takes_data(in->fs, w->txg))
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

static int inline_put(struct op *op, const struct window *w)
{
	uint8_t buf[INLINE_MAX] = {0};
	size_t len;
	int err;

	op_edit(op, w->inode);
	err = extent_inline_get(op->txn, w->inode->ino, buf, &len);
	memset(buf + len, 0, sizeof(buf) - len);
	for (unsigned i = 0; i < w->dirty.nr; i++) {
		const struct range *r = &w->dirty.at[i];

		memcpy(buf + r->off, w->buf + r->pos, r->len);
		len = MAX(len, (size_t)r->off + r->len);
	}
	return err ? err : extent_inline_put(op, w->inode, buf, len);
}

/* @first and those chained to it. */
static int flush_inline(struct window *first)
{
	struct fs *fs = first->inode->fs;
	unsigned nr = chain_len(first);
	struct op op;
	int err = op_begin_flush(&op, fs, first->txg, nr);

	if (err)
		return err;
	for (const struct window *w = first; !err && w; w = w->batch)
		err = inline_put(&op, w);
	op.flushed = first;
	err = op_end(&op, err);
	if (!err)
		atomic_fetch_add(&fs->n.nr_inline, nr);
	return err;
}

/* ---- filling a window with what it does not change ---- */

/* What a reader of the file, as of this window, sees at [0, to) of it. */
static int window_peek(const struct window *w, uint8_t *bytes, uint32_t to)
{
	struct file_read r = {.iov = {{0}}};
	uint32_t at = 0;
	int err = file_peek_window(w, w->start, to, &r);

	for (unsigned i = 0; !err && i < r.nr; i++) {
		memcpy(bytes + at, r.iov[i].iov_base, r.iov[i].iov_len);
		at += (uint32_t)r.iov[i].iov_len;
	}
	if (!err)
		memset(bytes + at, 0, to - at);
	file_read_done(w->inode->fs, &r);
	return err;
}

/* (Space and memory for it: window_base().) */
static int flush_fill_inline(struct window *w, uint32_t len)
{
	uint8_t bytes[INLINE_MAX];
	int err = window_peek(w, bytes, len);

	return err ? err : writeback_fill(w, 0, len, bytes);
}

static int flush_fill(struct window *w, uint32_t to)
{
	struct raid *raid = w->inode->fs->raid;
	uint64_t cost = writeback_cost(to);
	AUTO_FREE uint8_t *bytes = malloc(to);
	int err = bytes ? raid_reserve(raid, cost) : -ENOMEM;

	if (err)
		return err;
	err = window_peek(w, bytes, to);
	if (!err)
		err = writeback_swap(w, to, &bytes, cost);
	if (err)
		raid_unreserve(raid, cost);
	return err;
}

/* Whether @w had better be written with what lies around its ranges. */
static bool round_out_due(const struct window *w, const struct extent_survey *s)
{
	uint32_t extent_len = w->inode->fs->extent_len;
	uint64_t span =
		MAX((uint64_t)ranges_end(&w->dirty), s->end - w->start) - w->dirty.at[0].off;
	unsigned nr = ranges_nr_stretches(&w->dirty);

	if (!s->nr_entries)
		return false;
	if (s->nr_extents >= EXTENTS_MAX || s->nr_entries + 2 * nr > ENTRIES_MAX ||
	    s->raw_len + w->dirty.len > (uint64_t)SPARE_TIMES * extent_len)
		return true;
	return nr > 1 && w->dirty.len * 4 >= span * DENSE;
}

static bool round_out_later(const struct window *w, const struct extent_survey *s)
{
	return s->nr_entries + ranges_nr_stretches(&w->dirty) >= ENTRIES_MANY ||
	       s->raw_len + w->dirty.len >= 2ULL * w->inode->fs->extent_len;
}

/* Dirty ranges of a file with inline bytes (for which window_base() was reserved) are written together with these; those
 * in the midst of too much else with what lies around them. */
static int flush_round_out(struct window *w)
{
	struct inode *in = w->inode;
	struct fs *fs = in->fs;
	uint8_t buf[INLINE_MAX];
	struct extent_survey s;
	struct index_txn *t;
	size_t inline_len = 0;
	uint32_t to;
	int err = index_read(fs->index, &t);

	if (err)
		return err;
	if (!w->start)
		err = extent_inline_get(t, in->ino, buf, &inline_len);
	if (!err)
		err = extent_survey(t, in->ino, w->start, fs->extent_len, &s);
	index_read_end(t);
	if (err)
		return err;
	if (inline_len)
		err = flush_fill_inline(w, (uint32_t)inline_len);
	if (err)
		return err;
	w->ragged = round_out_later(w, &s);
	if (!round_out_due(w, &s))
		return 0;
	/* Not up to the file's size: that may be of a later group. */
	to = MAX(ranges_end(&w->dirty), (uint32_t)(s.end - w->start));
	/* Whole already, by an earlier try. */
	if (w->dirty.len == to) {
		w->ragged = false;
		return 0;
	}
	/* Only tidiness: without room or memory for it, or where what lies between cannot be read, the ranges go as
	 * they are. */
	if (!flush_fill(w, to))
		w->ragged = false;
	return 0;
}

static void flush_nothing(struct window *w)
{
	lock_take(&w->inode->lock);
	writeback_flushed(w);
	lock_release(&w->inode->lock);
	writeback_done(w, 0);
}

static void flush_alone(struct window *w)
{
	bool small;
	int err;

	if (!w->dirty.nr) {
		flush_nothing(w);
		return;
	}
	if (w->rewrite) {
		flush_extents(w);
		return;
	}
	small = inline_wanted(w, &err);
	if (!err && small)
		err = flush_inline(w);
	else if (!err)
		err = flush_round_out(w);
	if (!err && !small)
		flush_extents(w);
	else
		writeback_done(w, err);
}

/* ---- several windows ---- */

static bool opts_equal(const struct window *a, const struct window *b)
{
	struct codec_opts x = codec_policy_of(a->inode), y = codec_policy_of(b->inode);

	return x.mode == y.mode && x.level == y.level;
}

/* Windows of the chain by what is to be done with them. */
struct sorted {
	struct window *inlines, *extents;
};

static void chain_add(struct window **first, struct window *w)
{
	w->batch = *first;
	*first = w;
}

static void sort_window(struct sorted *s, struct window *w)
{
	bool small = false;
	int err = 0;

	if (w->dirty.nr)
		small = inline_wanted(w, &err);
	if (small && !err) {
		chain_add(&s->inlines, w);
		return;
	}
	if (err || !w->dirty.nr || (s->extents && !opts_equal(s->extents, w))) {
		flush_alone(w);
		return;
	}
	err = flush_round_out(w);
	if (err)
		writeback_done(w, err);
	else if (w->dirty.len > WINDOW_SMALL)
		flush_extents(w);
	else
		chain_add(&s->extents, w);
}

static void flush_batch(struct window *first)
{
	struct sorted s = {0};
	struct window *next;

	for (struct window *w = first; w; w = next) {
		next = w->batch;
		w->batch = NULL;
		sort_window(&s, w);
	}
	if (s.inlines)
		flush_end(s.inlines, flush_inline(s.inlines));
	if (s.extents)
		flush_extents(s.extents);
}

void flush_windows(struct window *w)
{
	if (w->batch)
		flush_batch(w);
	else
		flush_alone(w);
}
