/* Dirty data, until flush.c has written it.
 *
 * A window never changes its group, and windows are listed in the order in which they were made, so the groups in the
 * list only grow: a commit waits until the list's head is of a later group.
 *
 * A successor is made when its range's window takes no more writes, so it is of the same group or a later one, and
 * behind it in the list. It is never QUEUED before that one has left.
 *
 * A flush that fails leaves the window as it was; the next commit tries again. */
#include "fs/writeback.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"
#include "fs/arena.h"
#include "fs/bundle.h"
#include "fs/commit.h"
#include "fs/flush.h"
#include "fs/later.h"

/* Records that one range becomes: an entry of the map and a count of references, each with its key, rounded up. */
#define RANGE_RECORDS 128

struct writeback {
	struct fs *fs;
	struct lock lock;
	struct cond written;		/* a window left the list, or a flush failed; with lock */
	struct window *first, *last;	/* oldest first; guarded by lock */
	uint64_t nr;			/* guarded by lock */
	uint64_t seq;			/* of the last window made; guarded by lock */
	uint64_t nr_queued;		/* guarded by lock */
	uint64_t nr_flushed, nr_failed; /* guarded by lock */
	atomic_uint_fast64_t heap;	/* bytes of windows beside the pool */
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
	w->seq = ++wb->seq;
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

/* The first window at @start or behind it. */
static unsigned window_idx(struct inode *in, uint64_t start) REQUIRES(in->lock)
{
	unsigned low = 0, high = in->nr_windows;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (in->windows[mid]->start < start)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The one that takes writes, if any does. */
static struct window *window_at(struct inode *in, uint64_t start) REQUIRES(in->lock)
{
	unsigned i = window_idx(in, start);
	struct window *w = i < in->nr_windows ? in->windows[i] : NULL;

	if (!w || w->start != start)
		return NULL;
	return w->after ? w->after : w;
}

static int windows_room(struct inode *in) REQUIRES(in->lock)
{
	unsigned cap = MAX(4u, in->cap_windows * 2);
	struct window **p;

	if (in->nr_windows < in->cap_windows)
		return 0;
	p = realloc(in->windows, cap * sizeof(*p));
	if (!p)
		return -ENOMEM;
	in->windows = p;
	in->cap_windows = cap;
	return 0;
}

/* @before: the one at @start, when there is one. */
static struct window *window_new(struct inode *in, uint64_t txg, uint64_t start,
				 struct window *before) REQUIRES(in->lock)
{
	struct window *w = windows_room(in) ? NULL : calloc(1, sizeof(*w));
	unsigned at;

	if (!w)
		return NULL;
	at = window_idx(in, start) + (before != NULL);
	w->inode = inode_ref(in);
	w->start = start;
	w->txg = txg;
	w->before = before;
	if (before)
		before->after = w;
	memmove(in->windows + at + 1, in->windows + at,
		(in->nr_windows - at) * sizeof(*in->windows));
	in->windows[at] = w;
	in->nr_windows++;
	list_add(in->fs->writeback, w);
	return w;
}

static void window_queue(struct window *w);

/* Out of the inode; the caller has the lock, and drops the reference after releasing it: inode_put(w->inode). */
static void window_unlink(struct window *w) NO_LOCK_CHECK
{
	struct inode *in = w->inode;
	struct window *after = w->after;
	unsigned at = window_idx(in, w->start);

	assert(!w->before && in->windows[at] == w);
	in->nr_windows--;
	memmove(in->windows + at, in->windows + at + 1,
		(in->nr_windows - at) * sizeof(*in->windows));
	if (after)
		after->before = NULL;
	if (after && after->state == WINDOW_DUE)
		window_queue(after);
	cond_broadcast(&in->flushed);
}

static void window_give(struct window *w)
{
	if (w->heap)
		free(w->buf);
	else if (w->buf)
		arena_give(w->inode->fs->arena, w->buf, w->cap);
	if (w->heap)
		atomic_fetch_sub(&w->inode->fs->writeback->heap, w->cap);
}

/* In place of what it had. */
static void window_have(struct window *w, uint8_t *buf, uint32_t cap, bool heap)
{
	window_give(w);
	w->buf = buf;
	w->cap = cap;
	w->heap = heap;
	if (heap)
		atomic_fetch_add(&w->inode->fs->writeback->heap, cap);
}

static void window_free(struct window *w)
{
	struct fs *fs = w->inode->fs;

	window_give(w);
	ranges_fini(&w->dirty);
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

/* What one piece is reserved as: a stripe of its own, padded to blocks. */
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

/* What is reserved for a window of @nr ranges of together @len bytes: large ones are written each as a stripe of its
 * own, the others in one bundle, or in two where one cannot hold them (flush.c). */
static uint64_t window_cost(uint64_t start, unsigned nr, uint64_t len)
{
	uint64_t cost = window_base(start), large = MIN((uint64_t)nr, len / FLUSH_LARGE);

	if (nr > 1)
		return cost + len + bundle_table_len(nr) + BUNDLE_HEAD_LEN +
		       (large + 2) * (range_cost(0) + BLOCK_LEN);
	return nr ? cost + range_cost(len) : cost;
}

/* ---- taking bytes ---- */

/* All that is dirty, in order, in @buf of @cap bytes instead. */
static void window_move(struct window *w, uint8_t *buf, uint32_t cap, bool heap)
{
	uint32_t at = 0;

	for (unsigned i = 0; i < w->dirty.nr; i++) {
		struct range *r = &w->dirty.at[i];

		memcpy(buf + at, w->buf + r->pos, r->len);
		r->pos = at;
		at += r->len;
	}
	ranges_join(&w->dirty);
	w->used = at;
	window_have(w, buf, cap, heap);
}

/* A buffer for what is dirty and @more bytes. Pieces are powers of two, so a growing one moves seldom.
 * @must: take the heap when the pool is full; a flush gives back more than it takes. */
static int window_grow(struct window *w, uint32_t more, bool must)
{
	struct arena *pool = w->inode->fs->arena;
	size_t cap = arena_piece_len((size_t)w->dirty.len + more);
	uint8_t *buf = arena_take(pool, cap);
	bool heap = !buf && must;

	if (heap)
		buf = malloc(cap);
	if (!buf)
		return -ENOMEM;
	window_move(w, buf, (uint32_t)cap, heap);
	return 0;
}

static int window_room(struct window *w, uint32_t more, bool must)
{
	return w->cap - w->used >= more ? 0 : window_grow(w, more, must);
}

/* [off, off + len) is these bytes; there is room for what is not dirty yet. */
static void window_put(struct window *w, uint32_t off, const uint8_t *p, uint32_t len)
{
	uint32_t at = off, end = off + len, pos = w->used, stop;

	for (unsigned i = ranges_find(&w->dirty, off); at < end; p += stop - at, at = stop) {
		const struct range *r = i < w->dirty.nr ? &w->dirty.at[i] : NULL;

		if (r && r->off <= at) {
			stop = MIN(end, r->off + r->len);
			memcpy(w->buf + r->pos + (at - r->off), p, stop - at);
			i++;
			continue;
		}
		stop = r ? MIN(end, r->off) : end;
		assert(w->cap - w->used >= stop - at);
		memcpy(w->buf + w->used, p, stop - at);
		w->used += stop - at;
	}
	ranges_fill(&w->dirty, off, end, pos);
}

static void window_trim(struct window *w, uint32_t off, uint32_t end)
{
	const struct range *r;
	unsigned nr;
	uint64_t len;

	ranges_cut_size(&w->dirty, off, end, &nr, &len);
	/* A hole for which there is no room in the list, or which makes two ranges that cost more than was reserved
	 * for one: the range around it stays whole, its bytes in the hole become zeros. */
	if (nr > w->dirty.nr && (nr > WINDOW_RANGES || ranges_room(&w->dirty, 1) ||
				 window_cost(w->start, nr, len) > w->reserved)) {
		r = &w->dirty.at[ranges_find(&w->dirty, off)];
		memset(w->buf + r->pos + (off - r->off), 0, end - off);
		return;
	}
	ranges_cut(&w->dirty, off, end);
	if (!w->dirty.nr)
		w->used = 0;
}

static void window_post(struct window *w);

/* One range more for each of @nr gaps would be too many, even when those that touch are put together. */
static bool window_ragged(struct window *w, unsigned nr)
{
	if (w->dirty.nr + nr <= WINDOW_RANGES)
		return false;
	/* Only where it makes room for many, since it moves all bytes. */
	return ranges_nr_stretches(&w->dirty) + nr > WINDOW_RANGES / 2 || window_grow(w, 0, false);
}

/* The window that takes [off, end) of @start's range now, NULL when it is to be made, behind *before if that is not
 * NULL. -EAGAIN: there are two already, and neither does.
 * @nr, @gaps: what of it is not dirty there yet, in ranges and in bytes */
static int window_open(struct inode *in, uint64_t txg, uint64_t start, uint32_t off, uint32_t end,
		       struct window **out, struct window **before, unsigned *nr, uint32_t *gaps)
	REQUIRES(in->lock)
{
	struct window *w = window_at(in, start);

	*out = *before = NULL;
	*nr = 1;
	*gaps = end - off;
	if (!w)
		return 0;
	if (w->state != WINDOW_QUEUED && w->txg == txg) {
		ranges_gaps(&w->dirty, off, end, nr, gaps);
		if (!*nr || !window_ragged(w, *nr)) {
			*out = w;
			return 0;
		}
		*nr = 1;
		*gaps = end - off;
	}
	if (w->state == WINDOW_DIRTY)
		window_post(w);
	if (w->before)
		return -EAGAIN;
	*before = w;
	return 0;
}

/* Reserve what @w, or a new one, costs when @len bytes in @nr ranges more are in it. */
static int window_reserve(struct fs *fs, const struct window *w, uint64_t start, unsigned nr,
			  uint64_t len, uint64_t *more)
{
	uint64_t cost = window_cost(start, w ? w->dirty.nr + nr : nr, w ? w->dirty.len + len : len);
	uint64_t have = w ? w->reserved : 0;

	*more = cost > have ? cost - have : 0;
	return *more ? raid_reserve(fs->raid, *more) : 0;
}

int writeback_prepare(struct inode *in, uint64_t txg, uint64_t off, size_t len)
{
	struct fs *fs = in->fs;
	uint64_t start = window_start(fs, off), more;
	uint32_t at = (uint32_t)(off - start), gaps;
	struct window *w, *before;
	unsigned nr;
	int err = window_open(in, txg, start, at, at + (uint32_t)len, &w, &before, &nr, &gaps);

	if (!err)
		err = window_reserve(fs, w, start, nr, gaps, &more);
	if (err)
		return err;
	if (!w)
		w = window_new(in, txg, start, before);
	err = w ? ranges_room(&w->dirty, nr) : -ENOMEM;
	if (!err)
		err = window_room(w, gaps, false);
	if (err) {
		raid_unreserve(fs->raid, more);
		return err;
	}
	w->reserved += more;
	return 0;
}

void writeback_copy(struct inode *in, uint64_t off, const uint8_t *p, size_t len)
{
	uint64_t start = window_start(in->fs, off);
	struct window *w = window_at(in, start);
	uint64_t nr;

	assert(w);
	nr = w->dirty.nr;
	window_put(w, (uint32_t)(off - start), p, (uint32_t)len);
	nr = w->dirty.nr - nr;
	/* (A tiny file's bytes go into the records themselves. Ranges that will be one count as several.) */
	if (nr)
		commit_expect(in->fs, RANGE_RECORDS * nr + (off + len <= INLINE_MAX ? len : 0));
	in->written += len;
}

/* What was reserved for a write is more than what it added needs: give back the rest. */
static void window_settle(struct window *w)
{
	uint64_t need = window_cost(w->start, w->dirty.nr, w->dirty.len);

	if (w->reserved > need) {
		raid_unreserve(w->inode->fs->raid, w->reserved - need);
		w->reserved = need;
	}
}

void writeback_full(struct inode *in, uint64_t off)
{
	struct window *w = window_at(in, window_start(in->fs, off));

	if (!w || w->state == WINDOW_QUEUED)
		return;
	window_settle(w);
	if (w->state == WINDOW_DIRTY && w->dirty.len == in->fs->extent_len)
		window_post(w);
}

/* ---- what is dirty ---- */

/* The first dirty bytes of @w in [from, end): [*off, *off + *len), at *p. */
static bool window_find(const struct window *w, uint64_t from, uint64_t end, uint64_t *off,
			uint64_t *len, const uint8_t **p)
{
	uint32_t at = from > w->start ? (uint32_t)(from - w->start) : 0;
	unsigned i = ranges_find(&w->dirty, at);
	const struct range *r = &w->dirty.at[i];

	if (i == w->dirty.nr || w->start + r->off >= end)
		return false;
	*off = MAX(from, w->start + r->off);
	*len = MIN(w->start + r->off + r->len, end) - *off;
	*p = w->buf + r->pos + (*off - w->start - r->off);
	return true;
}

/* The same of the window @w and its successor @s, which comes after it. */
static bool windows_find(const struct window *w, const struct window *s, uint64_t from,
			 uint64_t end, uint64_t *off, uint64_t *len, const uint8_t **p)
{
	uint64_t s_off, s_len;
	const uint8_t *s_p;
	bool in_w = window_find(w, from, end, off, len, p);

	if (!s || !window_find(s, from, end, &s_off, &s_len, &s_p))
		return in_w;
	if (in_w && *off < s_off) {
		*len = MIN(*len, s_off - *off);
		return true;
	}
	*off = s_off;
	*len = s_len;
	*p = s_p;
	return true;
}

bool writeback_find(struct inode *in, const struct window *upto, uint64_t *off, uint64_t end,
		    const uint8_t **p, uint64_t *len)
{
	uint64_t from = *off;

	for (unsigned i = window_idx(in, window_start(in->fs, from)); i < in->nr_windows; i++) {
		const struct window *w = in->windows[i];

		if (w->start >= end)
			break;
		/* A successor is looked at with the one before it. */
		if (!w->before &&
		    windows_find(w, w == upto ? NULL : w->after, from, end, off, len, p))
			return true;
	}
	return false;
}

/* ---- clean bytes ---- */

int writeback_fill(struct window *w, uint32_t from, uint32_t to, const uint8_t *bytes)
{
	struct inode *in = w->inode;
	uint32_t gaps;
	unsigned nr;
	int err;

	lock_take(&in->lock);
	ranges_gaps(&w->dirty, from, to, &nr, &gaps);
	err = ranges_room(&w->dirty, nr);
	if (!err)
		err = window_room(w, gaps, true);
	if (!err)
		window_put(w, from, bytes, to - from);
	lock_release(&in->lock);
	return err;
}

int writeback_swap(struct window *w, uint32_t to, uint8_t **bytes, uint64_t cost)
{
	struct inode *in = w->inode;
	struct fs *fs = in->fs;

	assert(ranges_end(&w->dirty) <= to);
	/* Each worker may have one. What stays here when its flush fails must not add up. */
	if (atomic_load(&fs->writeback->heap) >= (uint64_t)fs->p.threads * fs->extent_len)
		return -ENOMEM;
	lock_take(&in->lock);
	window_have(w, *bytes, to, true);
	w->used = to;
	ranges_cut(&w->dirty, 0, to);
	ranges_fill(&w->dirty, 0, to, 0);
	w->reserved += cost;
	lock_release(&in->lock);
	*bytes = NULL;
	return 0;
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
	w = window_new(in, txg, start, NULL);
	if (!w) {
		raid_unreserve(in->fs->raid, cost);
		return -ENOMEM;
	}
	w->reserved = cost;
	err = ranges_room(&w->dirty, 1);
	if (!err)
		err = window_room(w, r->len, false);
	if (err) {
		window_unlink(w);
		window_free(w);
		return err;
	}
	window_put(w, at, r->bytes, r->len);
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
	/* Not to be beside the pool for longer than need be. */
	if (w->heap)
		window_grow(w, 0, false);
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
	flush_windows(container_of(job, struct window, job));
}

/* With the inode's lock held. */
static void window_mark_queued(struct window *w)
{
	struct writeback *wb = w->inode->fs->writeback;

	assert(w->state != WINDOW_QUEUED && !w->before);
	w->state = WINDOW_QUEUED;
	w->batch = NULL;
	lock_take(&wb->lock);
	wb->nr_queued++;
	lock_release(&wb->lock);
}

/* @w is QUEUED, and all that are chained to it. */
static void windows_start(struct window *w)
{
	w->job.run = window_job;
	worker_post(w->inode->fs->workers, &w->job);
}

/* With the inode's lock held: -> QUEUED. */
static void window_queue(struct window *w)
{
	window_mark_queued(w);
	windows_start(w);
}

/* With the inode's lock held: DIRTY -> QUEUED, or DUE. */
static void window_post(struct window *w)
{
	assert(w->state == WINDOW_DIRTY);
	if (w->before)
		w->state = WINDOW_DUE;
	else
		window_queue(w);
}

/* The same, and also what stands in its way. */
static void window_push(struct window *w)
{
	if (w->before && w->before->state == WINDOW_DIRTY)
		window_post(w->before);
	if (w->state == WINDOW_DIRTY)
		window_post(w);
}

/* ---- ranges of a file ---- */

static struct window *window_busy(struct inode *in, uint64_t off, uint64_t len) REQUIRES(in->lock)
{
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;

	for (unsigned i = window_idx(in, window_start(in->fs, off)); i < in->nr_windows; i++) {
		struct window *w = in->windows[i];

		if (w->start >= end)
			break;
		if (window_stable(w))
			return w;
	}
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
		window_push(w);
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

/* Post what is dirty in [off, end) and was so when @seq windows had been made. False: there is none of them. */
static bool flush_range(struct inode *in, uint64_t off, uint64_t end, uint64_t seq)
	REQUIRES(in->lock)
{
	bool some = false;

	for (unsigned i = window_idx(in, window_start(in->fs, off)); i < in->nr_windows; i++) {
		struct window *w = in->windows[i];

		if (w->start >= end)
			break;
		if (w->seq > seq)
			continue;
		some = true;
		window_push(w);
	}
	return some;
}

int writeback_flush(struct inode *in, uint64_t off, uint64_t len)
{
	struct writeback *wb = in->fs->writeback;
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;
	uint64_t seq;
	int err = 0;

	lock_take(&in->lock);
	lock_take(&wb->lock);
	seq = wb->seq;
	lock_release(&wb->lock);
	in->wb_error = 0;
	while (!err && flush_range(in, off, end, seq)) {
		cond_wait(&in->flushed, &in->lock);
		err = in->wb_error;
	}
	lock_release(&in->lock);
	return err;
}

void writeback_trim(struct inode *in, uint64_t off, uint64_t len)
{
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;

	for (unsigned i = window_idx(in, window_start(in->fs, off)); i < in->nr_windows; i++) {
		struct window *w = in->windows[i];
		uint64_t from, to;

		if (w->start >= end)
			break;
		from = MAX(off, w->start) - w->start;
		to = MIN(end - w->start, (uint64_t)in->fs->extent_len);
		window_trim(w, (uint32_t)from, (uint32_t)to);
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
		window_push(w);
		in->wb_error = 0;
		cond_wait(&in->flushed, &in->lock);
		if (in->wb_error)
			break;
	}
	if (!w)
		writeback_trim(in, off, UINT64_MAX);
	for (unsigned i = 0; i < in->nr_windows; i++) {
		w = in->windows[i];
		if (!w->dirty.nr && w->state == WINDOW_DIRTY)
			window_post(w);
	}
	lock_release(&in->lock);
}

/* ---- pressure and commits ---- */

/* Small windows on their way to one job. */
struct batch {
	struct window *first, *last;
	unsigned nr;
	uint64_t txg;
};

static void batch_start(struct batch *b)
{
	if (b->first)
		windows_start(b->first);
	*b = (struct batch){0};
}

/* With the inode's lock held: DIRTY -> QUEUED, to be started with the batch; or posted alone. */
static void batch_post(struct batch *b, struct window *w)
{
	if (w->before || w->dirty.len > WINDOW_SMALL) {
		window_post(w);
		return;
	}
	if (b->nr == WINDOW_BATCH || (b->nr && b->txg != w->txg))
		batch_start(b);
	window_mark_queued(w);
	if (b->last)
		b->last->batch = w;
	else
		b->first = w;
	b->last = w;
	b->txg = w->txg;
	b->nr++;
}

/* A window that was in the list, looked at without its inode's lock. */
struct found {
	struct inode *in;
	uint64_t start, seq;
};

static struct window *window_found(const struct found *f) REQUIRES(f->in->lock)
{
	unsigned i = window_idx(f->in, f->start);

	for (; i < f->in->nr_windows && f->in->windows[i]->start == f->start; i++)
		if (f->in->windows[i]->seq == f->seq)
			return f->in->windows[i];
	return NULL;
}

/* Post up to @max DIRTY windows from the head of the list, of groups up to @txg. Windows cannot be locked from the
 * list (the inode's lock comes first), so they are pinned by a reference to their inode and looked up again. */
static unsigned post_oldest(struct writeback *wb, uint64_t txg, unsigned max)
{
	struct found found[256];
	struct batch batch = {0};
	unsigned nr = 0, posted = 0;

	max = MIN(max, (unsigned)ARRAY_LEN(found));
	lock_take(&wb->lock);
	for (struct window *w = wb->first; w && w->txg <= txg && nr < max; w = w->list_next) {
		/* A look without the inode's lock: others are passed over; a stale look is mended below. */
		if (atomic_load_explicit(&w->state, memory_order_relaxed) != WINDOW_DIRTY)
			continue;
		found[nr++] = (struct found){inode_ref(w->inode), w->start, w->seq};
	}
	lock_release(&wb->lock);
	for (unsigned i = 0; i < nr; i++) {
		struct window *w;

		lock_take(&found[i].in->lock);
		w = window_found(&found[i]);
		if (w && w->state == WINDOW_DIRTY) {
			batch_post(&batch, w);
			posted++;
		}
		lock_release(&found[i].in->lock);
	}
	batch_start(&batch);
	for (unsigned i = 0; i < nr; i++)
		inode_put(found[i].in);
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
		unsigned posted = post_oldest(wb, txg, 256);
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

		/* Nothing is to be queued any more. */
		if (w->after)
			w->after->state = WINDOW_DIRTY;
		window_unlink(w);
		window_free(w);
	}
	cond_fini(&wb->written);
	lock_fini(&wb->lock);
	free(wb);
}
