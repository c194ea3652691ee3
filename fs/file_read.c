/* Reading: dirty bytes from memory, the rest from extents in the cache, zeros in between.
 *
 * Under the inode's lock the range is cut into pieces, with a read transaction that is begun there, so what is dirty and
 * what is mapped are seen in one moment; dirty bytes are copied at once. Extents are fetched after the lock is dropped;
 * the readers' gate keeps their stripes from being given away meanwhile. */
#include <string.h>

#include "conf/base.h"
#include "fs/cache.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/file.h"
#include "fs/writeback.h"

#define RELATIME_S                                                                                 \
	86400 /* an access time is renewed after a day even when nothing changed, as relatime has it */

/* Pieces of a read that need no memory of their own. */
#define GATHER_FEW 2

struct piece {
	size_t at, len; /* of the read */
	bool stored;	/* else in scratch */
	uint32_t skip;
	struct extent extent;
};

struct gather {
	struct inode *in;
	const struct window *upto; /* as writeback_find() has it */
	struct index_txn *txn;
	uint64_t off;
	struct file_read *out;
	struct piece *piece; /* few, or heap */
	unsigned nr, cap;
	struct piece few[GATHER_FEW];
};

static struct piece *gather_add(struct gather *g, uint64_t off, uint64_t len)
{
	struct piece *p;

	if (g->nr == g->cap) {
		unsigned cap = MAX(8u, g->cap * 2);

		p = realloc(g->piece == g->few ? NULL : g->piece, cap * sizeof(*p));
		if (!p)
			return NULL;
		if (g->piece == g->few)
			memcpy(p, g->few, sizeof(g->few));
		g->piece = p;
		g->cap = cap;
	}
	p = &g->piece[g->nr++];
	p->at = (size_t)(off - g->off);
	p->len = (size_t)len;
	p->stored = false;
	return p;
}

/* Bytes that are not in an extent: zeros, or a copy of @src. */
static int gather_bytes(struct gather *g, uint64_t off, const uint8_t *src, uint64_t len)
{
	if (!g->out->scratch)
		g->out->scratch = calloc(1, g->out->len);
	if (!g->out->scratch || !gather_add(g, off, len))
		return -ENOMEM;
	if (src)
		memcpy(g->out->scratch + (off - g->off), src, len);
	return 0;
}

static int gather_inline(struct gather *g, uint64_t *off, uint64_t end)
{
	uint8_t buf[INLINE_MAX];
	size_t have;
	int err;

	if (*off >= INLINE_MAX)
		return 0;
	err = extent_inline_get(g->txn, g->in->ino, buf, &have);
	if (err || *off >= have)
		return err;
	end = MIN(end, (uint64_t)have);
	err = gather_bytes(g, *off, buf + *off, end - *off);
	*off = end;
	return err;
}

/* extent_find(), in one step where an entry that begins as far back as one may covers @off: the rule in files that were
 * written in order. */
static int find_entry(struct gather *g, uint64_t off, struct map_entry *m)
{
	struct key key =
		key_number(g->in->ino, KEY_MAP, round_down(off, (uint64_t)g->in->fs->extent_len));
	struct index_val v;
	uint64_t ino;
	int err = index_get(g->txn, &key, &v);

	if (!err)
		err = extent_map_decode(key.b, key.len, v.p, v.len, &ino, m);
	if (!err && off - m->off < m->len)
		return 0;
	return err && err != -ENOENT ? err : extent_find(g->txn, g->in->ino, off, m);
}

/* [off, end) has no dirty bytes. */
static int gather_clean(struct gather *g, uint64_t off, uint64_t end)
{
	struct map_entry m;
	int err = gather_inline(g, &off, end);

	while (!err && off < end) {
		struct piece *p;
		uint64_t stop;

		err = find_entry(g, off, &m);
		if (err == -ENOENT || (!err && m.off >= end))
			return gather_bytes(g, off, NULL, end - off);
		if (err)
			break;
		if (m.off > off) {
			err = gather_bytes(g, off, NULL, m.off - off);
			off = m.off;
			if (err)
				break;
		}
		stop = MIN(end, m.off + m.len);
		p = gather_add(g, off, stop - off);
		if (!p)
			return -ENOMEM;
		p->stored = true;
		p->skip = m.skip + (uint32_t)(off - m.off);
		err = extent_load(g->txn, m.gen, &p->extent);
		if (!err && p->skip + p->len > p->extent.owner.raw_len)
			err = -EIO;
		off = stop;
	}
	return err == -ENOENT || err == -EBADMSG ? -EIO : err;
}

static int gather_range(struct gather *g, uint64_t end) REQUIRES(g->in->lock)
{
	uint64_t pos = g->off;
	int err = 0;

	while (!err && pos < end) {
		const uint8_t *p;
		uint64_t at = pos, len;

		if (!writeback_find(g->in, g->upto, &at, end, &p, &len))
			return gather_clean(g, pos, end);
		if (at > pos)
			err = gather_clean(g, pos, at);
		if (!err)
			err = gather_bytes(g, at, p, len);
		pos = at + len;
	}
	return err;
}

static bool atime_due(const struct attr *a, const struct timespec *now)
{
	if (a->atime.tv_sec < a->mtime.tv_sec ||
	    (a->atime.tv_sec == a->mtime.tv_sec && a->atime.tv_nsec <= a->mtime.tv_nsec))
		return true;
	if (a->atime.tv_sec < a->ctime.tv_sec ||
	    (a->atime.tv_sec == a->ctime.tv_sec && a->atime.tv_nsec <= a->ctime.tv_nsec))
		return true;
	return now->tv_sec - a->atime.tv_sec >= RELATIME_S;
}

bool file_access_due(struct inode *in)
{
	struct timespec now = inode_now();
	struct attr a;

	if (!in->fs->p.relatime || in->fs->rdonly)
		return false;
	inode_attr(in, &a);
	return atime_due(&a, &now);
}

void file_accessed(struct inode *in)
{
	struct timespec now = inode_now();

	if (!in->fs->p.relatime || in->fs->rdonly)
		return;
	lock_take(&in->lock);
	if (atime_due(&in->attr, &now)) {
		in->attr.atime = now;
		commit_dirty_inode(in);
	}
	lock_release(&in->lock);
}

/* Iovecs and pins that the pieces may need: a stored one may come in tiles. */
static size_t fetch_bound(const struct gather *g)
{
	size_t nr = 0;

	for (unsigned i = 0; i < g->nr; i++)
		nr += g->piece[i].stored ? g->piece[i].len / CODEC_TILE_LEN + 2 : 1;
	return nr;
}

/* @copy: into the scratch; else borrowed. */
static int fetch_stored(struct fs *fs, const struct piece *p, bool memory_only, bool copy,
			struct file_read *out)
{
	uint32_t end = p->skip + (uint32_t)p->len, len;

	for (uint32_t at = p->skip; at < end; at += len) {
		struct cache_entry *e;
		const uint8_t *from;
		int err = cache_get(fs, &p->extent, at, end, memory_only, &e);

		if (err)
			return err;
		from = cache_bytes(e, at, &len);
		if (copy) {
			len = MIN(len, end - at);
			memcpy(out->scratch + p->at + (at - p->skip), from, len);
			cache_put_used(fs->cache, e, at, at + len);
			continue;
		}
		out->ends[out->nr_pins] = len <= end - at;
		len = MIN(len, end - at);
		out->from[out->nr_pins] = at;
		out->to[out->nr_pins] = at + len;
		out->pin[out->nr_pins++] = e;
		out->iov[out->nr++] = (struct iovec){(void *)from, len};
	}
	return 0;
}

static int fetch(struct fs *fs, struct gather *g, bool memory_only)
{
	struct file_read *out = g->out;
	bool copy = fetch_bound(g) > FILE_PIECES;

	if (copy && !out->scratch) {
		out->scratch = malloc(out->len);
		if (!out->scratch)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < g->nr; i++) {
		const struct piece *p = &g->piece[i];
		int err = 0;

		if (p->stored)
			err = fetch_stored(fs, p, memory_only, copy, out);
		else if (!copy)
			out->iov[out->nr++] = (struct iovec){out->scratch + p->at, p->len};
		if (err)
			return err;
	}
	if (copy)
		out->iov[out->nr++] = (struct iovec){out->scratch, out->len};
	return 0;
}

/* Without touching the tables. */
static void file_read_init(struct file_read *r)
{
	r->nr = 0;
	r->len = 0;
	r->nr_pins = 0;
	r->stream = r->ahead = r->unused = false;
	r->scratch = NULL;
}

static int read_range(struct inode *in, const struct window *upto, uint64_t off, size_t len,
		      bool memory_only, struct file_read *out)
{
	struct fs *fs = in->fs;
	struct gather g; /* much of it stays as it is */
	unsigned phase = gate_enter(commit_gate(fs));
	int err = 0;

	g.in = in;
	g.upto = upto;
	g.txn = NULL;
	g.off = off;
	g.out = out;
	g.piece = g.few;
	g.nr = 0;
	g.cap = GATHER_FEW;
	file_read_init(out);
	lock_take(&in->lock);
	out->len = off >= in->attr.size ? 0 : (size_t)MIN((uint64_t)len, in->attr.size - off);
	if (out->len) {
		err = index_read(fs->index, &g.txn);
		if (!err)
			err = gather_range(&g, off + out->len);
	}
	lock_release(&in->lock);
	index_read_end(g.txn);
	if (!err)
		err = fetch(fs, &g, memory_only);
	gate_leave(commit_gate(fs), phase);
	if (g.piece != g.few)
		free(g.piece);
	/* Who gets nothing has used nothing, and will most likely ask again. */
	out->unused = err != 0;
	if (err)
		file_read_done(fs, out);
	return err;
}

int file_peek(struct inode *in, uint64_t off, size_t len, struct file_read *out)
{
	return read_range(in, NULL, off, len, false, out);
}

int file_peek_window(const struct window *w, uint64_t off, size_t len, struct file_read *out)
{
	return read_range(w->inode, w, off, len, false, out);
}

int file_read(struct inode *in, uint64_t off, size_t len, bool memory_only, struct file_read *out)
{
	int err = read_range(in, NULL, off, len, memory_only, out);

	if (!err)
		file_accessed(in);
	return err;
}

void file_read_done(struct fs *fs, struct file_read *r)
{
	for (unsigned i = 0; i < r->nr_pins; i++) {
		if (r->unused)
			cache_put(fs->cache, r->pin[i]);
		else if (r->ahead)
			cache_put_ahead(fs->cache, r->pin[i]);
		else if (r->stream && r->ends[i])
			cache_put_spent(fs->cache, r->pin[i]);
		else
			cache_put_used(fs->cache, r->pin[i], r->from[i], r->to[i]);
	}
	free(r->scratch);
	file_read_init(r);
}

/* ---- read-ahead ---- */

struct ahead {
	struct job job;
	struct inode *in;
	uint64_t off;
	size_t len;
};

static void ahead_job(struct job *job)
{
	struct ahead *a = container_of(job, struct ahead, job);
	struct fs *fs = a->in->fs;
	struct file_read r;

	/* An error will show when somebody reads. */
	if (!file_peek(a->in, a->off, a->len, &r)) {
		r.ahead = true;
		file_read_done(fs, &r);
	}
	inode_put(a->in);
	free(a);
}

void file_readahead(struct inode *in, uint64_t off, uint64_t len)
{
	struct attr attr;
	uint64_t end;

	inode_attr(in, &attr);
	end = MIN(off + len, attr.size);
	while (off < end) {
		uint64_t stop = MIN(end, round_down(off, in->fs->extent_len) + in->fs->extent_len);
		struct ahead *a = calloc(1, sizeof(*a));

		if (!a)
			return;
		a->job.run = ahead_job;
		a->in = inode_ref(in);
		a->off = off;
		a->len = (size_t)(stop - off);
		worker_post(in->fs->workers, &a->job);
		off = stop;
	}
}

void file_readahead_rest(struct inode *in, uint64_t off, uint64_t len)
{
	uint64_t extent_len = in->fs->extent_len;
	/* Who wants most of an extent gets it in one go, others tile by tile. Tiles begin a few bytes later where the
	 * first item does: then the end of one is fetched with the next, no worse than without this. */
	uint64_t unit = len > extent_len / 2 ? extent_len : CODEC_TILE_LEN;
	uint64_t from = round_down(off, unit) + unit;

	if (len <= extent_len && from < off + len)
		file_readahead(in, from, off + len - from);
}

/* ---- data and holes ---- */

/* The end of the data that covers @off, or @off itself when there is a hole; *next: where data begins after it. */
static int data_at(struct inode *in, struct index_txn *t, uint64_t off, uint64_t size,
		   uint64_t *end, uint64_t *next) REQUIRES(in->lock)
{
	uint8_t buf[INLINE_MAX];
	uint64_t dirty = off, len;
	const uint8_t *p;
	struct map_entry m;
	size_t have;
	int err;

	*end = off;
	*next = size;
	if (writeback_find(in, NULL, &dirty, size, &p, &len)) {
		if (dirty == off) {
			*end = off + len;
			return 0;
		}
		*next = dirty;
	}
	err = extent_inline_get(t, in->ino, buf, &have);
	if (err)
		return err;
	if (off < have) {
		*end = have;
		return 0;
	}
	err = extent_find(t, in->ino, off, &m);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (m.off <= off)
		*end = m.off + m.len;
	else
		*next = MIN(*next, m.off);
	return 0;
}

int file_seek(struct inode *in, uint64_t off, int whence, uint64_t *out)
{
	struct index_txn *t;
	uint64_t size, end, next;
	int err;

	lock_take(&in->lock);
	err = index_read(in->fs->index, &t);
	if (err) {
		lock_release(&in->lock);
		return err;
	}
	size = in->attr.size;
	if (off >= size)
		err = -ENXIO;
	while (!err) {
		err = data_at(in, t, off, size, &end, &next);
		if (err)
			break;
		if (end > off && whence == SEEK_DATA)
			break;
		if (end == off && whence == SEEK_HOLE)
			break;
		off = end > off ? end : next;
		if (off >= size) {
			off = size;
			err = whence == SEEK_DATA ? -ENXIO : 0;
			break;
		}
	}
	lock_release(&in->lock);
	index_read_end(t);
	if (!err)
		*out = off;
	return err;
}
