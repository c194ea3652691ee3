/* Dirty data, until flush.c has written it.
 *
 * A window never changes its group, and windows are listed in the order in which they were made, so the groups in the
 * list only grow: a commit waits until the list's head is of a later group.
 *
 * A flush that fails leaves the window as it was; the next commit tries again. */
#include "fs/writeback.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"
#include "fs/arena.h"
#include "fs/commit.h"
#include "fs/flush.h"
#include "fs/later.h"

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
	return round_up(CODEC_HEAD_MAX + len, BLOCK_LEN) + BLOCK_LEN;
}

uint64_t writeback_cost(uint64_t len)
{
	return range_cost(len);
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
	in->written += len;
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

/* ---- clean bytes ---- */

int writeback_fill(struct window *w, uint32_t from, uint32_t to, const uint8_t *bytes,
		   uint64_t cost)
{
	struct inode *in = w->inode;
	int err;

	lock_take(&in->lock);
	err = window_grow(w, from, to, !cost);
	if (!err) {
		memcpy(w->buf + (from - w->base), bytes, to - from);
		ranges_add(w, from, to - from);
		w->reserved += cost;
	}
	lock_release(&in->lock);
	return err;
}

int writeback_rewrite(struct inode *in, uint64_t txg, struct rewrite *r)
{
	uint64_t start = window_start(in->fs, r->off);
	uint32_t at = (uint32_t)(r->off - start);
	uint64_t cost = range_cost(r->len) + window_base(start);
	struct window *w;
	int err;

	assert(at + r->len <= in->fs->extent_len);
	if (window_at(in, start))
		return -EAGAIN;
	err = raid_reserve(in->fs->raid, cost);
	if (err)
		return err;
	w = window_new(in, txg, start);
	if (!w) {
		raid_unreserve(in->fs->raid, cost);
		return -ENOMEM;
	}
	w->reserved = cost;
	err = window_grow(w, at, at + r->len, false);
	if (err) {
		window_unlink(w);
		window_free(w);
		return err;
	}
	memcpy(w->buf + (at - w->base), r->bytes, r->len);
	ranges_add(w, at, r->len);
	w->rewrite = r;
	window_post(w);
	return 0;
}

/* ---- written, or not ---- */

void writeback_flushed(struct window *w)
{
	if (w->rewrite)
		w->rewrite->done = true;
	window_unlink(w);
}

/* All is in the file already. Were the window kept, a commit would fail for want of what nobody needs. */
static void window_give_up(struct window *w, int err)
{
	lock_take(&w->inode->lock);
	w->rewrite->err = err;
	writeback_flushed(w);
	lock_release(&w->inode->lock);
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

void writeback_done(struct window *w, int err)
{
	struct writeback *wb = w->inode->fs->writeback;

	if (err && !w->rewrite) {
		window_failed(w, err);
		return;
	}
	if (err)
		window_give_up(w, err);
	window_free(w);
	lock_take(&wb->lock);
	wb->nr_flushed += !err;
	wb->nr_queued--;
	cond_broadcast(&wb->written);
	lock_release(&wb->lock);
}

static void window_job(struct job *job)
{
	flush_window(container_of(job, struct window, job));
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
		err = later_may_not() ? -EAGAIN : 0;
		in->wb_error = 0;
		if (!err) {
			cond_wait(&in->flushed, &in->lock);
			err = in->wb_error;
		}
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

void writeback_drain(struct fs *fs)
{
	struct writeback *wb = fs->writeback;

	lock_take(&wb->lock);
	while (wb->nr_queued)
		cond_wait(&wb->written, &wb->lock);
	lock_release(&wb->lock);
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
