/* One thread takes the files of the queue, and of each file run after run: neighbouring map entries of one window that
 * nobody else refers to. It reads a run's extents, past the cache, which is for those who wait; then, as a writer does,
 * inside the txg gate and under the inode's lock, it makes sure that the map still shows these extents and nothing of
 * the window is dirty, and posts the bytes as a window of their own. Generations are never used again, so what shows the
 * same ones has the same bytes.
 *
 * The thread holds nothing while it waits; the workers encode and write.
 *
 * Files whose map is in pieces since they were written here and there (flush.c says so) are in a queue of their own, for
 * when the other is empty: only their runs of more than one piece are written again, and slowly, so that others get most
 * of the disks' time. */
#include "fs/recompress.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "conf/base.h"
#include "conf/log.h"
#include "fs/bundle.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/writeback.h"

/* Entries of a window looked at together. A window has more only where it was written in crumbs, which flush.c mends. */
#define ENTRIES_MAX 512u

#define WAIT_MS 100u
/* Waits for others' dirty bytes to be written, for all of a file. Where there always are some nothing is forced: the
 * memory is there so that they need not be written so often. */
#define BUSY_WAITS 30u
/* Waits for memory: half a minute. */
#define MEMORY_WAITS 300u
/* Commits to wait for: what was freed comes back after one. */
#define ROOM_TRIES 3u

#define NICE 10

#define RAGGED_MS  10000u
#define RAGGED_MAX 4096u /* files in that queue; the next write to a file puts it there again */
/* After each run so many times what it took is spent asleep. */
#define RAGGED_REST 3u

/* A file to be made whole. */
struct ragged {
	uint64_t ino;
	uint64_t due_ns; /* mono_ns() */
};

struct recompress {
	struct fs *fs;
	struct lock lock;
	struct cond wake;
	uint64_t *ino; /* a ring of cap; guarded by lock, as all below */
	unsigned head, nr, cap;
	bool busy; /* with one that is not in the ring any more */
	struct ragged
		*ragged; /* a ring of RAGGED_MAX, in the order they are due; NULL until needed */
	unsigned ragged_head, nr_ragged;
	bool started, stopping;
	struct recompress_stat stat;
	pthread_t thread;
};

/* A map entry and its extent. */
struct piece {
	struct map_entry m;
	struct extent e;
};

/* Neighbouring entries, as they were. */
struct run {
	struct piece piece[ENTRIES_MAX];
	unsigned nr;
	uint64_t off;
	uint32_t len;
	uint32_t stored; /* bytes that the extents' parts shown take */
};

/* What one file needs while it is worked at. */
struct work {
	struct recompress *r;
	struct inode *in;
	struct run run;
	uint8_t *bytes, *other, *enc; /* extent_len, extent_len, and a container; heap */
	size_t enc_len;
	unsigned nr_busy; /* waits */
	bool ragged;	  /* only what is in pieces */
	int err;	  /* the first of a run that had to be left */
};

/* ---- the queue ---- */

int recompress_new(struct fs *fs, struct recompress **out)
{
	struct recompress *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->fs = fs;
	lock_init(&r->lock);
	cond_init(&r->wake);
	*out = r;
	return 0;
}

void recompress_free(struct recompress *r)
{
	if (!r)
		return;
	free(r->ino);
	free(r->ragged);
	cond_fini(&r->wake);
	lock_fini(&r->lock);
	free(r);
}

void recompress_stop(struct recompress *r)
{
	bool started;

	if (!r)
		return;
	lock_take(&r->lock);
	r->stopping = true;
	started = r->started;
	r->started = false;
	cond_broadcast(&r->wake);
	lock_release(&r->lock);
	if (started)
		pthread_join(r->thread, NULL);
}

static bool stopping(struct recompress *r)
{
	bool yes;

	lock_take(&r->lock);
	yes = r->stopping;
	lock_release(&r->lock);
	return yes;
}

static void wait_a_little(struct recompress *r)
{
	uint64_t end = mono_ns() + WAIT_MS * 1000000ULL;

	lock_take(&r->lock);
	while (!r->stopping && !cond_wait_until(&r->wake, &r->lock, end))
		;
	lock_release(&r->lock);
}

static int queue_grow(struct recompress *r) REQUIRES(r->lock)
{
	unsigned cap = r->cap ? 2 * r->cap : 64;
	uint64_t *ino;

	if (r->nr < r->cap)
		return 0;
	if (r->nr >= RECOMPRESS_QUEUE_MAX)
		return -EAGAIN;
	ino = calloc(cap, sizeof(*ino));
	if (!ino)
		return -ENOMEM;
	for (unsigned i = 0; i < r->nr; i++)
		ino[i] = r->ino[(r->head + i) % r->cap];
	free(r->ino);
	r->ino = ino;
	r->cap = cap;
	r->head = 0;
	return 0;
}

static void *recompress_thread(void *arg);

static int queue_start(struct recompress *r) REQUIRES(r->lock)
{
	int err;

	if (r->stopping)
		return -EROFS;
	if (r->started)
		return 0;
	err = pthread_create(&r->thread, NULL, recompress_thread, r);
	r->started = !err;
	return -err;
}

int recompress_post(struct inode *in)
{
	struct recompress *r = in->fs->recompress;
	struct attr a;
	int err;

	inode_attr(in, &a);
	if (!S_ISREG(a.mode))
		return -EINVAL;
	if (in->fs->rdonly || raid_readonly(in->fs->raid))
		return -EROFS;
	lock_take(&r->lock);
	err = queue_start(r);
	if (!err)
		err = queue_grow(r);
	if (!err) {
		r->ino[(r->head + r->nr++) % r->cap] = in->ino;
		cond_broadcast(&r->wake);
	}
	lock_release(&r->lock);
	return err;
}

static bool ragged_add(struct recompress *r, uint64_t ino) REQUIRES(r->lock)
{
	unsigned ms = r->fs->p.ragged_ms ? r->fs->p.ragged_ms : RAGGED_MS;

	if (!r->ragged)
		r->ragged = calloc(RAGGED_MAX, sizeof(*r->ragged));
	if (!r->ragged || r->nr_ragged == RAGGED_MAX || queue_start(r))
		return false;
	r->ragged[(r->ragged_head + r->nr_ragged++) % RAGGED_MAX] =
		(struct ragged){ino, mono_ns() + ms * 1000000ULL};
	cond_broadcast(&r->wake);
	return true;
}

void recompress_ragged(struct inode *in)
{
	struct recompress *r = in->fs->recompress;
	bool queued;

	if (!r)
		return;
	lock_take(&in->lock);
	queued = in->ragged;
	in->ragged = true;
	lock_release(&in->lock);
	if (queued)
		return;
	lock_take(&r->lock);
	queued = ragged_add(r, in->ino);
	lock_release(&r->lock);
	if (queued)
		return;
	/* The next write to it tries again. */
	lock_take(&in->lock);
	in->ragged = false;
	lock_release(&in->lock);
}

void recompress_stat_get(struct recompress *r, struct recompress_stat *out)
{
	lock_take(&r->lock);
	*out = r->stat;
	out->nr_queued = r->nr + r->busy;
	out->nr_ragged = r->nr_ragged;
	lock_release(&r->lock);
}

/* ---- finding a run ---- */

/* Parts of the run's extents that the run's window shows; the rest are others' or nobody's. What is bundled is shared for
 * no reason but its shortness. */
static bool piece_is_ours(const struct run *all, const struct piece *p)
{
	unsigned shown = 0;

	if (bundle_is(&p->e.owner))
		return true;
	for (unsigned i = 0; i < all->nr; i++)
		shown += all->piece[i].m.gen == p->m.gen;
	return shown == p->e.refs;
}

/* The entries from @off on that lie in the window of the first of them. -ENOENT: there are none. */
static int run_collect(struct index_txn *t, uint64_t ino, uint64_t off, uint32_t window_len,
		       struct run *out)
{
	struct map_entry m;
	uint64_t end;
	int err = extent_find(t, ino, off, &m);

	out->nr = 0;
	if (err)
		return err;
	end = round_down(m.off, window_len) + window_len;
	while (!err && m.off < end && out->nr < ENTRIES_MAX) {
		struct piece *p = &out->piece[out->nr];

		p->m = m;
		err = extent_load(t, m.gen, &p->e);
		if (err)
			return err == -ENOENT ? -EIO : err;
		/* The second is what w->bytes has room for. */
		if (m.skip + m.len > p->e.owner.raw_len || m.off + m.len > end)
			return -EIO;
		out->nr++;
		err = extent_after(t, ino, &m, &m);
	}
	return err && err != -ENOENT ? err : 0;
}

/* Cut what was collected down to its first run. False: there is none. Either way @r->off + @r->len is where to go on. */
static bool run_cut(struct run *r)
{
	unsigned from = 0, to;

	while (from < r->nr && !piece_is_ours(r, &r->piece[from]))
		from++;
	for (to = from; to < r->nr; to++) {
		const struct map_entry *last = &r->piece[to ? to - 1 : 0].m;

		if (!piece_is_ours(r, &r->piece[to]) ||
		    (to > from && last->off + last->len != r->piece[to].m.off))
			break;
	}
	if (from == to) {
		r->off = r->piece[r->nr - 1].m.off;
		r->len = r->piece[r->nr - 1].m.len;
		return false;
	}
	r->off = r->piece[from].m.off;
	r->nr = to - from;
	memmove(r->piece, r->piece + from, r->nr * sizeof(*r->piece));
	r->len = (uint32_t)(r->piece[r->nr - 1].m.off + r->piece[r->nr - 1].m.len - r->off);
	r->stored = 0;
	for (unsigned i = 0; i < r->nr; i++)
		r->stored += (uint32_t)((uint64_t)r->piece[i].e.loc.len * r->piece[i].m.len /
					r->piece[i].e.owner.raw_len);
	return true;
}

/* The map shows the run still, and nothing else there. */
static int run_holds(struct inode *in, const struct run *r)
{
	struct index_txn *t;
	struct map_entry m;
	int err = index_read(in->fs->index, &t);

	if (err)
		return err;
	err = extent_find(t, in->ino, r->off, &m);
	for (unsigned i = 0; !err && i < r->nr; i++) {
		const struct map_entry *was = &r->piece[i].m;

		if (m.off != was->off || m.len != was->len || m.gen != was->gen ||
		    m.skip != was->skip)
			err = -ESTALE;
		else if (i + 1 < r->nr)
			err = extent_after(t, in->ino, &m, &m);
	}
	index_read_end(t);
	return err == -ENOENT ? -ESTALE : err;
}

/* ---- reading it ---- */

static bool piece_is_whole(const struct piece *p)
{
	return !p->m.skip && p->m.len == p->e.owner.raw_len;
}

static int read_extent(struct work *w, const struct extent *e, uint8_t *raw)
{
	int err;

	if (e->owner.raw_len > w->in->fs->extent_len || !e->loc.len)
		return -EIO;
	if (e->loc.len > w->enc_len) {
		uint8_t *enc = realloc(w->enc, e->loc.len);

		if (!enc)
			return -ENOMEM;
		w->enc = enc;
		w->enc_len = e->loc.len;
	}
	err = raid_read(w->in->fs->raid, &e->owner, &e->loc, w->enc);
	return err ? err : codec_decode(w->enc, e->loc.len, raw, e->owner.raw_len);
}

static bool piece_is_first(const struct run *r, unsigned idx)
{
	for (unsigned i = 0; i < idx; i++)
		if (r->piece[i].m.gen == r->piece[idx].m.gen)
			return false;
	return true;
}

/* The run's bytes, each extent once. */
static int read_pieces(struct work *w)
{
	const struct run *r = &w->run;
	int err = 0;

	for (unsigned i = 0; !err && i < r->nr; i++) {
		const struct piece *p = &r->piece[i];
		bool whole = piece_is_whole(p);

		if (!piece_is_first(r, i))
			continue;
		err = read_extent(w, &p->e, whole ? w->bytes + (p->m.off - r->off) : w->other);
		for (unsigned j = i; !err && !whole && j < r->nr; j++) {
			const struct map_entry *m = &r->piece[j].m;

			if (m->gen == p->m.gen)
				memcpy(w->bytes + (m->off - r->off), w->other + m->skip, m->len);
		}
	}
	return err;
}

/* Pieces, or a piece of something larger that is no bundle. */
static bool run_is_ragged(const struct run *r)
{
	return r->nr > 1 || (!piece_is_whole(&r->piece[0]) && !bundle_is(&r->piece[0].e.owner));
}

/* The first run from @*off on, and its bytes; *off is moved behind it. -ENOENT: no more of them. -EAGAIN: none here that
 * could be written again. Other errors: it cannot be read.
 *
 * Inside the readers' gate, so that what the map shows is there until it has been read. */
static int run_read(struct work *w, uint64_t *off)
{
	struct fs *fs = w->in->fs;
	unsigned phase = gate_enter(commit_gate(fs));
	struct index_txn *t;
	bool found = false;
	int err = index_read(fs->index, &t);

	if (!err) {
		err = run_collect(t, w->in->ino, *off, fs->extent_len, &w->run);
		index_read_end(t);
	}
	if (!err)
		found = run_cut(&w->run) && (!w->ragged || run_is_ragged(&w->run));
	/* A record that cannot be read hides those behind it. */
	*off = err ? UINT64_MAX : w->run.off + w->run.len;
	if (found && !err)
		err = read_pieces(w);
	gate_leave(commit_gate(fs), phase);
	return err ? err : found ? 0 : -EAGAIN;
}

/* ---- whether it is worth it ---- */

/* The kind of extent that @opts asks for; other than by its length this cannot be told for CODEC_AUTO. */
static bool kind_differs(const struct codec_opts *opts, const struct codec_info *info)
{
	bool plain = info->filter.id == FILTER_NONE && info->filter.width == 1;

	if (info->kind != CODEC_KIND_ZSTD)
		return false;
	return opts->mode == CODEC_NONE || (opts->mode == CODEC_ZSTD && !plain);
}

/* False: as it is is how it would be. */
static bool run_wants(struct work *w, bool *must)
{
	struct codec_opts opts = codec_policy_of(w->in);
	struct codec_info info;

	*must = run_is_ragged(&w->run);
	if (*must)
		return true;
	/* w->enc holds the only extent. */
	if (codec_inspect(w->enc, w->run.piece[0].e.loc.len, &info))
		return false;
	*must = kind_differs(&opts, &info);
	return *must || (info.kind != CODEC_KIND_FILL && opts.mode != CODEC_NONE);
}

/* ---- writing it ---- */

/* -ESTALE: it is not what was read any more. -ENOENT: the file has gone. Else as writeback_rewrite(). */
static int rewrite_post(struct work *w, struct rewrite *rw)
{
	struct inode *in = w->in;
	uint64_t txg = commit_enter(in->fs);
	int err;

	lock_take(&in->lock);
	err = in->gone || !in->attr.nlink ? -ENOENT : run_holds(in, &w->run);
	if (!err)
		err = writeback_rewrite(in, txg, rw);
	lock_release(&in->lock);
	commit_leave(in->fs);
	return err;
}

static int rewrite_wait(struct inode *in, struct rewrite *rw)
{
	lock_take(&in->lock);
	while (!rw->done)
		cond_wait(&in->flushed, &in->lock);
	lock_release(&in->lock);
	return rw->err;
}

static int rewrite_once(struct work *w, struct rewrite *rw)
{
	int err;

	rw->done = rw->kept = false;
	rw->err = 0;
	err = commit_admit(w->in->fs);
	if (!err)
		err = rewrite_post(w, rw);
	return err ? err : rewrite_wait(w->in, rw);
}

/* Again and again where something is only missing for a while. -EAGAIN: somebody is always writing there. */
static int rewrite_try(struct work *w, struct rewrite *rw)
{
	struct fs *fs = w->in->fs;
	unsigned memory = 0, room = 0;

	for (;;) {
		int err = rewrite_once(w, rw);

		if (!err || stopping(w->r))
			return err;
		if ((err == -EAGAIN && w->nr_busy++ < BUSY_WAITS) ||
		    (err == -ENOMEM && memory++ < MEMORY_WAITS))
			wait_a_little(w->r);
		else if (err != -ENOSPC || room++ >= ROOM_TRIES || commit_wait_freed(fs))
			return err;
	}
}

static void count_run(struct work *w, uint32_t stored_now, bool written)
{
	struct recompress *r = w->r;

	lock_take(&r->lock);
	if (w->ragged) {
		r->stat.nr_mended += written;
		lock_release(&r->lock);
		return;
	}
	r->stat.raw_bytes += w->run.len;
	r->stat.stored_before += w->run.stored;
	r->stat.stored_after += stored_now;
	r->stat.nr_extents += written;
	lock_release(&r->lock);
}

/* -ENOENT: the file has gone. */
static int run_write(struct work *w)
{
	struct rewrite rw = {
		.off = w->run.off,
		.len = w->run.len,
		.bytes = w->bytes,
		.stored = w->run.stored,
	};
	int err = 0;

	if (!run_wants(w, &rw.must)) {
		count_run(w, w->run.stored, false);
		return 0;
	}
	err = rewrite_try(w, &rw);
	if (!err)
		count_run(w, rw.kept ? w->run.stored : rw.stored_now, !rw.kept);
	/* Somebody has written there meanwhile, or is about to: that is encoded by the policy anyway. */
	return err == -ESTALE || err == -EAGAIN ? 0 : err;
}

/* ---- a file ---- */

static bool file_is_dirty(struct inode *in)
{
	bool dirty;

	lock_take(&in->lock);
	dirty = in->nr_windows != 0;
	lock_release(&in->lock);
	return dirty;
}

static void ragged_rest(struct work *w, uint64_t began_ns)
{
	uint64_t now = mono_ns(), end = now + RAGGED_REST * (now - began_ns);
	struct recompress *r = w->r;

	lock_take(&r->lock);
	while (!r->stopping && !r->nr && !cond_wait_until(&r->wake, &r->lock, end))
		;
	lock_release(&r->lock);
}

static void file_run(struct work *w)
{
	uint64_t off = 0;
	int err = 0;

	while (err != -ENOENT && err != -EROFS && !stopping(w->r)) {
		uint64_t began = mono_ns();

		/* Somebody writes again: later. */
		if (w->ragged && file_is_dirty(w->in))
			break;
		err = run_read(w, &off);
		if (err == -ENOENT)
			break;
		if (!err)
			err = run_write(w);
		if (err && err != -EAGAIN && err != -ENOENT && !w->err)
			w->err = err;
		/* Without room or memory it will not get better with the next one. */
		if (err == -ENOSPC || err == -ENOMEM || off == UINT64_MAX)
			break;
		if (w->ragged && !err)
			ragged_rest(w, began);
	}
}

/* Have what is dirty now written, once. */
static void file_settle(struct inode *in)
{
	if (file_is_dirty(in))
		commit_wait(in->fs, commit_open_txg(in->fs));
}

static int file_work(struct work *w)
{
	uint32_t len = w->in->fs->extent_len;

	if (!w->ragged)
		file_settle(w->in);
	w->bytes = malloc(len);
	w->other = malloc(len);
	if (w->bytes && w->other)
		file_run(w);
	else
		w->err = -ENOMEM;
	free(w->bytes);
	free(w->other);
	free(w->enc);
	return w->err;
}

static int recompress_file(struct recompress *r, uint64_t ino, bool ragged)
{
	AUTO_FREE struct work *w = NULL;
	struct inode *in;
	int err = inode_get(r->fs, NULL, ino, &in);

	/* Deleted meanwhile. */
	if (err)
		return err == -ENOENT ? 0 : err;
	if (ragged) {
		lock_take(&in->lock);
		in->ragged = false;
		lock_release(&in->lock);
	}
	w = calloc(1, sizeof(*w));
	err = -ENOMEM;
	if (w) {
		*w = (struct work){.r = r, .in = in, .ragged = ragged};
		err = file_work(w);
	}
	if (ragged && file_is_dirty(in))
		recompress_ragged(in);
	inode_put(in);
	return err;
}

/* What is next, and for what. */
static bool queue_next(struct recompress *r, uint64_t *ino, bool *ragged)
{
	bool go;

	lock_take(&r->lock);
	r->busy = false;
	for (;;) {
		struct ragged *first = r->nr_ragged ? &r->ragged[r->ragged_head] : NULL;

		if (r->stopping || r->nr || (first && first->due_ns <= mono_ns()))
			break;
		if (first)
			cond_wait_until(&r->wake, &r->lock, first->due_ns);
		else
			cond_wait(&r->wake, &r->lock);
	}
	go = !r->stopping;
	*ragged = !r->nr;
	if (go && r->nr) {
		*ino = r->ino[r->head];
		r->head = (r->head + 1) % r->cap;
		r->nr--;
		r->busy = true;
	} else if (go) {
		*ino = r->ragged[r->ragged_head].ino;
		r->ragged_head = (r->ragged_head + 1) % RAGGED_MAX;
		r->nr_ragged--;
	}
	lock_release(&r->lock);
	return go;
}

static void *recompress_thread(void *arg)
{
	struct recompress *r = arg;
	uint64_t ino;
	bool ragged;

	pthread_setname_np(pthread_self(), "matfs-recomp");
	/* Of this thread alone, on Linux. */
	setpriority(PRIO_PROCESS, 0, NICE);
	while (queue_next(r, &ino, &ragged)) {
		int err = recompress_file(r, ino, ragged);

		/* What could not be made whole is as good as before, and in time tried again. */
		if (ragged)
			continue;
		if (err)
			log_warn("recompress: inode %llu: %s: parts of it stay as they are",
				 (unsigned long long)ino, strerror(-err));
		lock_take(&r->lock);
		r->stat.nr_done += !err;
		r->stat.nr_failed += err != 0;
		lock_release(&r->lock);
	}
	return NULL;
}
