/* Dirty data on its way to the shards.
 *
 * A window never changes its group, and windows are listed in the order in which they were made, so the groups in the
 * list only grow: a commit waits until the list's head is of a later group.
 *
 * What a flush does, on a worker: encode each dirty range, write it as a stripe, then in one op put the extents into
 * the map; only then are the bytes dropped from memory, in the same moment for readers (inode->lock). A flush that
 * fails leaves the window as it was; the next commit tries again. */
#include "fs/writeback.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"
#include "conf/log.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/file.h"
#include "fs/arena.h"

/* A range of so many map entries is rewritten as one extent when something in it is written. */
#define RAGGED 24

struct writeback {
	struct fs *fs;
	struct lock lock;
	struct cond written;		/* a window left the list, or a flush failed; with lock */
	struct window *first, *last;	/* oldest first; guarded by lock */
	uint64_t nr;			/* guarded by lock */
	uint64_t nr_queued;		/* guarded by lock */
	uint64_t nr_flushed, nr_failed; /* guarded by lock */
	int error; /* of a flush that failed since the last writeback_group() began; guarded by lock */
};

int writeback_new(struct fs *fs, struct writeback **out)
{
	struct writeback *wb = calloc(1, sizeof(*wb));

	if (!wb)
		return -ENOMEM;
	wb->fs = fs;
	lock_init(&wb->lock);
	cond_init(&wb->written);
	*out = wb;
	return 0;
}

static uint64_t window_start(const struct fs *fs, uint64_t off)
{
	return round_down(off, fs->extent_len);
}

/* ---- the list ---- */

static void list_add(struct writeback *wb, struct window *w)
{
	lock_take(&wb->lock);
	w->list_prev = wb->last;
	if (wb->last)
		wb->last->list_next = w;
	else
		wb->first = w;
	wb->last = w;
	w->listed = true;
	wb->nr++;
	lock_release(&wb->lock);
}

static void list_del(struct writeback *wb, struct window *w)
{
	lock_take(&wb->lock);
	*(w->list_prev ? &w->list_prev->list_next : &wb->first) = w->list_next;
	*(w->list_next ? &w->list_next->list_prev : &wb->last) = w->list_prev;
	w->listed = false;
	wb->nr--;
	cond_broadcast(&wb->written);
	lock_release(&wb->lock);
}

/* ---- windows of an inode ---- */

static struct window **window_slot(struct inode *in, uint64_t start) REQUIRES(in->lock)
{
	struct window **p = &in->windows;

	while (*p && (*p)->start < start)
		p = &(*p)->next;
	return p;
}

static struct window *window_at(struct inode *in, uint64_t start) REQUIRES(in->lock)
{
	struct window *w = *window_slot(in, start);

	return w && w->start == start ? w : NULL;
}

static struct window *window_new(struct inode *in, uint64_t txg, uint64_t start) REQUIRES(in->lock)
{
	struct window **slot = window_slot(in, start);
	struct window *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->inode = inode_ref(in);
	w->start = start;
	w->txg = txg;
	w->next = *slot;
	*slot = w;
	list_add(in->fs->writeback, w);
	return w;
}

/* Out of the inode; the caller has the lock, and drops the reference after releasing it: inode_put(w->inode). */
static void window_unlink(struct window *w)
{
	struct inode *in = w->inode;

	*window_slot(in, w->start) = w->next;
	cond_broadcast(&in->flushed);
}

static void window_give(struct window *w)
{
	if (w->heap)
		free(w->buf);
	else if (w->buf)
		arena_give(w->inode->fs->arena, w->buf, w->cap);
}

static void window_free(struct window *w)
{
	struct fs *fs = w->inode->fs;

	window_give(w);
	if (w->reserved)
		raid_unreserve(fs->raid, w->reserved);
	if (w->listed)
		list_del(fs->writeback, w);
	inode_put(w->inode);
	free(w);
}

static bool window_stable(const struct window *w)
{
	return w->state != WINDOW_DIRTY || w->txg != commit_open_txg(w->inode->fs);
}

/* What ranges are reserved as: each may become a stripe of its own, padded to blocks. */
static uint64_t range_cost(uint64_t len)
{
	return round_up(CODEC_HEAD_LEN + len, BLOCK_LEN) + BLOCK_LEN;
}

/* What a window may take besides its ranges: inline bytes that move into an extent with it. */
static uint64_t window_base(uint64_t start)
{
	return start ? 0 : range_cost(INLINE_MAX);
}

static uint64_t window_cost(const struct window *w, const struct window_range *range, unsigned nr)
{
	uint64_t cost = window_base(w->start);

	for (unsigned i = 0; i < nr; i++)
		cost += range_cost(range[i].len);
	return cost;
}

/* ---- taking bytes ---- */

/* The buffer shall hold [from, to) of the window. Pieces are powers of two, so a growing one moves seldom.
 * @must: take the heap when the pool is full; a flush gives back more than it takes. */
static int window_grow(struct window *w, uint32_t from, uint32_t to, bool must)
{
	struct fs *fs = w->inode->fs;
	uint32_t base = (uint32_t)round_down(w->buf ? MIN(from, w->base) : from, BLOCK_LEN);
	uint32_t end = w->buf ? MAX(to, w->base + w->cap) : to;
	uint32_t cap;
	uint8_t *buf;
	bool heap;

	if (w->buf && from >= w->base && to <= w->base + w->cap)
		return 0;
	cap = (uint32_t)arena_piece_len(end - base);
	/* Room to grow in, within the window. */
	if (base + cap > fs->extent_len)
		base = fs->extent_len > cap ? fs->extent_len - cap : 0;
	buf = arena_take(fs->arena, cap);
	heap = !buf && must;
	if (heap)
		buf = malloc(cap);
	if (!buf)
		return -ENOMEM;
	if (w->buf)
		memcpy(buf + (w->base - base), w->buf, w->cap);
	window_give(w);
	w->buf = buf;
	w->heap = heap;
	w->base = base;
	w->cap = cap;
	return 0;
}

/* How many ranges there will be when [off, off + len) is added. */
static unsigned ranges_after(const struct window *w, uint32_t off, uint32_t len)
{
	unsigned nr = w->nr + 1;

	for (unsigned i = 0; i < w->nr; i++)
		if (w->range[i].off <= off + len && w->range[i].off + w->range[i].len >= off)
			nr--;
	return nr;
}

static void ranges_add(struct window *w, uint32_t off, uint32_t len)
{
	uint32_t end = off + len;
	unsigned to = 0, i = 0;
	struct window_range keep[WINDOW_RANGES + 2];

	for (; i < w->nr && w->range[i].off + w->range[i].len < off; i++)
		keep[to++] = w->range[i];
	for (; i < w->nr && w->range[i].off <= end; i++) {
		off = MIN(off, w->range[i].off);
		end = MAX(end, w->range[i].off + w->range[i].len);
	}
	keep[to++] = (struct window_range){off, end - off};
	for (; i < w->nr; i++)
		keep[to++] = w->range[i];
	assert(to <= ARRAY_LEN(w->range));
	memcpy(w->range, keep, to * sizeof(*keep));
	w->nr = to;
}

static void ranges_cut(struct window *w, uint32_t off, uint32_t end)
{
	struct window_range keep[WINDOW_RANGES + 2];
	unsigned to = 0;

	for (unsigned i = 0; i < w->nr; i++) {
		uint32_t r_off = w->range[i].off, r_end = r_off + w->range[i].len;

		if (r_off < off)
			keep[to++] = (struct window_range){r_off, MIN(r_end, off) - r_off};
		if (r_end > end)
			keep[to++] =
				(struct window_range){MAX(r_off, end), r_end - MAX(r_off, end)};
	}
	/* A hole for which there is no room in the list, or which makes two ranges that cost more than was reserved
	 * for one: the range around it stays whole, its bytes in the hole become zeros. */
	if (to > w->nr && (to > WINDOW_RANGES || window_cost(w, keep, to) > w->reserved)) {
		memset(w->buf + (off - w->base), 0, end - off);
		return;
	}
	memcpy(w->range, keep, to * sizeof(*keep));
	w->nr = to;
}

static void window_post(struct window *w);

int writeback_prepare(struct inode *in, uint64_t txg, uint64_t off, size_t len)
{
	struct fs *fs = in->fs;
	uint64_t start = window_start(fs, off), cost;
	uint32_t at = (uint32_t)(off - start);
	struct window *w = window_at(in, start);
	int err;

	if (w && (w->state != WINDOW_DIRTY || w->txg != txg)) {
		if (w->state == WINDOW_DIRTY)
			window_post(w);
		return -EAGAIN;
	}
	if (w && ranges_after(w, at, (uint32_t)len) > WINDOW_RANGES) {
		window_post(w);
		return -EAGAIN;
	}
	cost = range_cost(len) + (w ? 0 : window_base(start));
	err = raid_reserve(fs->raid, cost);
	if (err)
		return err;
	if (!w)
		w = window_new(in, txg, start);
	err = w ? window_grow(w, at, at + (uint32_t)len, false) : -ENOMEM;
	if (err) {
		raid_unreserve(fs->raid, cost);
		return err;
	}
	w->reserved += cost;
	return 0;
}

void writeback_copy(struct inode *in, uint64_t off, const uint8_t *p, size_t len)
{
	uint64_t start = window_start(in->fs, off);
	struct window *w = window_at(in, start);
	uint32_t at = (uint32_t)(off - start);

	assert(w && w->buf && at >= w->base && at + len <= w->base + w->cap);
	memcpy(w->buf + (at - w->base), p, len);
	ranges_add(w, at, (uint32_t)len);
}

/* What was reserved write by write is more than one range needs: give back the rest. */
static void window_settle(struct window *w)
{
	uint64_t need = window_cost(w, w->range, w->nr);

	if (w->reserved > need) {
		raid_unreserve(w->inode->fs->raid, w->reserved - need);
		w->reserved = need;
	}
}

void writeback_full(struct inode *in, uint64_t off)
{
	struct window *w = window_at(in, window_start(in->fs, off));

	if (!w || w->state != WINDOW_DIRTY)
		return;
	window_settle(w);
	if (w->nr == 1 && w->range[0].len == in->fs->extent_len)
		window_post(w);
}

bool writeback_find(struct inode *in, uint64_t *off, uint64_t end, const uint8_t **p, uint64_t *len)
{
	uint64_t from = *off;

	for (struct window *w = *window_slot(in, window_start(in->fs, from)); w && w->start < end;
	     w = w->next) {
		for (unsigned i = 0; i < w->nr; i++) {
			uint64_t r_off = w->start + w->range[i].off,
				 r_end = r_off + w->range[i].len;

			if (r_end <= from)
				continue;
			if (r_off >= end)
				return false;
			*off = MAX(from, r_off);
			*len = MIN(r_end, end) - *off;
			*p = w->buf + (*off - w->start - w->base);
			return true;
		}
	}
	return false;
}

/* ---- flushing ---- */

/* One dirty range, encoded and on the shards. */
struct flushed {
	uint64_t off;
	struct extent extent;
};

static int flush_range(struct window *w, struct codec_hint *hint, const struct window_range *r,
		       uint8_t *scratch, struct flushed *out)
{
	struct fs *fs = w->inode->fs;
	struct codec_out enc;
	struct iovec iov[2];
	int err;

	out->off = w->start + r->off;
	err = codec_encode(&fs->p.codec, hint, out->off, w->buf + (r->off - w->base), r->len,
			   scratch, &enc);
	if (err)
		return err;
	out->extent.gen = atomic_fetch_add(&fs->next_gen, 1);
	out->extent.owner = (struct stripe_owner){.ino = w->inode->ino,
						  .file_off = out->off,
						  .gen = out->extent.gen,
						  .raw_len = r->len};
	iov[0] = (struct iovec){enc.head, sizeof(enc.head)};
	iov[1] = (struct iovec){(void *)enc.payload, enc.payload_len};
	err = raid_write(fs->raid, &out->extent.owner, iov, 2, &out->extent.loc);
	if (err)
		return err;
	atomic_fetch_add(&fs->n.raw_in, r->len);
	atomic_fetch_add(&fs->n.stored_in, CODEC_HEAD_LEN + enc.payload_len);
	atomic_fetch_add(enc.kind == CODEC_KIND_RAW    ? &fs->n.kind_raw
			 : enc.kind == CODEC_KIND_ZSTD ? &fs->n.kind_zstd
						       : &fs->n.kind_fill,
			 1);
	return 0;
}

static void flush_undo(struct fs *fs, struct flushed *done, unsigned nr)
{
	while (nr--)
		raid_free(fs->raid, &done[nr].extent.loc);
}

static int flush_extents(struct window *w)
{
	struct fs *fs = w->inode->fs;
	struct flushed done[WINDOW_RANGES + 1];
	AUTO_FREE uint8_t *scratch = malloc(codec_scratch_len(fs->extent_len));
	struct codec_hint hint;
	unsigned nr = 0;
	struct op op;
	int err = scratch ? 0 : -ENOMEM;

	lock_take(&w->inode->lock);
	hint = w->inode->hint;
	lock_release(&w->inode->lock);
	for (; !err && nr < w->nr; nr++) {
		err = flush_range(w, &hint, &w->range[nr], scratch, &done[nr]);
		if (err)
			break;
	}
	if (!err)
		err = op_begin_flush(&op, fs, w->txg);
	if (err) {
		flush_undo(fs, done, nr);
		return err;
	}
	op_edit(&op, w->inode);
	for (unsigned i = 0; !err && i < nr; i++)
		err = extent_insert(&op, w->inode, done[i].off, &done[i].extent);
	op.flushed = w;
	w->inode->hint = hint;
	err = op_end(&op, err);
	if (err)
		flush_undo(fs, done, nr);
	return err;
}

/* ---- tiny files ---- */

static bool flush_wants_inline(struct window *w, int *err)
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
		atomic_fetch_add(&fs->n.kind_inline, 1);
	return err;
}

/* ---- filling a window with what it does not change ---- */

/* Bring clean bytes of [from, to) of the window in between the dirty ranges, which become one.
 * @cost    to be reserved; 0: it is, and this must not fail for want of memory in the pool */
static int window_fill(struct window *w, uint32_t from, uint32_t to, uint64_t cost)
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
	lock_take(&in->lock);
	if (!err)
		err = window_grow(w, from, to, !cost);
	if (!err) {
		memcpy(w->buf + (from - w->base), bytes, to - from);
		ranges_add(w, from, to - from);
		w->reserved += cost;
	}
	lock_release(&in->lock);
	if (err && cost)
		raid_unreserve(in->fs->raid, cost);
	return err;
}

/* Dirty ranges of a file with inline bytes (for which window_base() was reserved), or in the midst of many small
 * extents, are written together with what lies around them. */
static int window_round_out(struct window *w)
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
		err = window_fill(w, 0, (uint32_t)inline_len, 0);
	if (err || nr + w->nr < RAGGED)
		return err;
	/* Not up to the file's size: that may be of a later group. */
	to = w->range[w->nr - 1].off + w->range[w->nr - 1].len;
	to = MAX(to, (uint32_t)(end - w->start));
	/* Only tidiness: without room or memory for it, or where what lies between cannot be read, the ranges go as
	 * they are. */
	window_fill(w, 0, to, range_cost(to));
	return 0;
}

static int window_flush(struct window *w)
{
	bool small;
	int err;

	if (!w->nr) {
		lock_take(&w->inode->lock);
		window_unlink(w);
		lock_release(&w->inode->lock);
		return 0;
	}
	small = flush_wants_inline(w, &err);
	if (err)
		return err;
	if (small)
		return flush_inline(w);
	err = window_round_out(w);
	return err ? err : flush_extents(w);
}

void writeback_flushed(struct window *w)
{
	window_unlink(w);
}

static void window_failed(struct window *w, int err)
{
	struct inode *in = w->inode;
	struct writeback *wb = in->fs->writeback;

	lock_take(&in->lock);
	w->state = WINDOW_DIRTY;
	if (!in->wb_error)
		in->wb_error = err;
	cond_broadcast(&in->flushed);
	lock_release(&in->lock);
	lock_take(&wb->lock);
	wb->error = err;
	wb->nr_failed++;
	wb->nr_queued--;
	cond_broadcast(&wb->written);
	lock_release(&wb->lock);
}

static void window_job(struct job *job)
{
	struct window *w = container_of(job, struct window, job);
	struct writeback *wb = w->inode->fs->writeback;
	int err = window_flush(w);

	if (err) {
		window_failed(w, err);
		return;
	}
	window_free(w);
	lock_take(&wb->lock);
	wb->nr_flushed++;
	wb->nr_queued--;
	lock_release(&wb->lock);
}

/* With the inode's lock held: DIRTY -> QUEUED. */
static void window_post(struct window *w)
{
	struct fs *fs = w->inode->fs;
	struct writeback *wb = fs->writeback;

	assert(w->state == WINDOW_DIRTY);
	w->state = WINDOW_QUEUED;
	lock_take(&wb->lock);
	wb->nr_queued++;
	lock_release(&wb->lock);
	w->job.run = window_job;
	worker_post(fs->workers, &w->job);
}

/* ---- ranges of a file ---- */

static struct window *window_busy(struct inode *in, uint64_t off, uint64_t len) REQUIRES(in->lock)
{
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;

	for (struct window *w = *window_slot(in, window_start(in->fs, off)); w && w->start < end;
	     w = w->next)
		if (window_stable(w))
			return w;
	return NULL;
}

bool writeback_busy(struct inode *in, uint64_t off, uint64_t len)
{
	return window_busy(in, off, len) != NULL;
}

int writeback_wait(struct inode *in, uint64_t off, uint64_t len)
{
	struct window *w;
	int err = 0;

	lock_take(&in->lock);
	w = window_busy(in, off, len);
	if (w) {
		if (w->state == WINDOW_DIRTY)
			window_post(w);
		in->wb_error = 0;
		cond_wait(&in->flushed, &in->lock);
		err = in->wb_error;
	}
	lock_release(&in->lock);
	return err;
}

int writeback_flush(struct inode *in, uint64_t off, uint64_t len)
{
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;
	int err = 0;

	lock_take(&in->lock);
	in->wb_error = 0;
	while (!err) {
		struct window *w = *window_slot(in, window_start(in->fs, off));

		if (!w || w->start >= end)
			break;
		for (; w && w->start < end; w = w->next)
			if (w->state == WINDOW_DIRTY)
				window_post(w);
		cond_wait(&in->flushed, &in->lock);
		err = in->wb_error;
	}
	lock_release(&in->lock);
	return err;
}

void writeback_trim(struct inode *in, uint64_t off, uint64_t len)
{
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;

	for (struct window *w = *window_slot(in, window_start(in->fs, off)); w && w->start < end;
	     w = w->next) {
		uint64_t from = MAX(off, w->start) - w->start;
		uint64_t to = MIN(end - w->start, (uint64_t)in->fs->extent_len);

		ranges_cut(w, (uint32_t)from, (uint32_t)to);
		window_settle(w);
		/* One left empty goes with the next commit: freeing it here would drop the inode under its caller. */
	}
}

void writeback_drop(struct inode *in, uint64_t off)
{
	struct window *w;

	lock_take(&in->lock);
	for (;;) {
		w = window_busy(in, off, UINT64_MAX);
		if (!w)
			break;
		/* Bytes of a closed group are written even so: that group is a state the volume may be found in. */
		if (w->state == WINDOW_DIRTY)
			window_post(w);
		in->wb_error = 0;
		cond_wait(&in->flushed, &in->lock);
		if (in->wb_error)
			break;
	}
	if (!w)
		writeback_trim(in, off, UINT64_MAX);
	for (w = in->windows; w; w = w->next)
		if (!w->nr && w->state == WINDOW_DIRTY)
			window_post(w);
	lock_release(&in->lock);
}

/* ---- pressure and commits ---- */

/* Post up to @max DIRTY windows from the head of the list, of groups up to @txg. Windows cannot be locked from the
 * list (the inode's lock comes first), so they are pinned by a reference to their inode and looked up again. */
static unsigned post_oldest(struct writeback *wb, uint64_t txg, unsigned max)
{
	struct {
		struct inode *in;
		uint64_t start;
	} found[64];
	unsigned nr = 0, posted = 0;

	max = MIN(max, (unsigned)ARRAY_LEN(found));
	lock_take(&wb->lock);
	for (struct window *w = wb->first; w && w->txg <= txg && nr < max; w = w->list_next) {
		/* A look without the inode's lock: QUEUED ones are passed over; a stale look is mended below. */
		if (atomic_load_explicit(&w->state, memory_order_relaxed) != WINDOW_DIRTY)
			continue;
		found[nr].in = inode_ref(w->inode);
		found[nr++].start = w->start;
	}
	lock_release(&wb->lock);
	for (unsigned i = 0; i < nr; i++) {
		struct window *w;

		lock_take(&found[i].in->lock);
		w = window_at(found[i].in, found[i].start);
		if (w && w->state == WINDOW_DIRTY && w->txg <= txg) {
			window_post(w);
			posted++;
		}
		lock_release(&found[i].in->lock);
		inode_put(found[i].in);
	}
	return posted;
}

void writeback_relieve(struct fs *fs, uint64_t seen)
{
	post_oldest(fs->writeback, UINT64_MAX, 16);
	arena_wait(fs->arena, seen, 100);
}

int writeback_group(struct fs *fs, uint64_t txg)
{
	struct writeback *wb = fs->writeback;
	int err;

	lock_take(&wb->lock);
	wb->error = 0;
	lock_release(&wb->lock);
	for (;;) {
		unsigned posted = post_oldest(wb, txg, 64);
		bool done;

		lock_take(&wb->lock);
		while (!posted && wb->first && wb->first->txg <= txg && wb->nr_queued && !wb->error)
			cond_wait(&wb->written, &wb->lock);
		done = !wb->first || wb->first->txg > txg;
		err = done ? 0 : wb->error;
		lock_release(&wb->lock);
		if (done || err)
			return err;
	}
}

void writeback_stat_get(struct fs *fs, struct writeback_stat *out)
{
	struct writeback *wb = fs->writeback;

	lock_take(&wb->lock);
	out->nr_windows = wb->nr;
	out->nr_flushed = wb->nr_flushed;
	out->nr_failed = wb->nr_failed;
	lock_release(&wb->lock);
	out->dirty_bytes = arena_used(fs->arena);
}

void writeback_free(struct writeback *wb)
{
	if (!wb)
		return;
	while (wb->first) {
		struct window *w = wb->first;

		window_unlink(w);
		window_free(w);
	}
	cond_fini(&wb->written);
	lock_fini(&wb->lock);
	free(wb);
}
