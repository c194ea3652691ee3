/* The extent map. Entries of one file never overlap, and none lies across a multiple of the extent length, so that a
 * window's flush touches no entry that a change elsewhere in the file may touch before it. Each stored extent's
 * reference count is the number of map entries that show a part of it, and it lives as long as that is not zero.
 *
 * Inline bytes lie below the map: a file that has them has no entry that begins below INLINE_MAX.
 *
 * KEY_MAP value:    length u32, skip u32, generation u64
 * KEY_EXTENT value: references u32, raw length u32, owner ino u64, owner offset u64, place (stripe_loc_put) */
#include "fs/extent.h"

#include <string.h>

#include "conf/base.h"
#include "fs/commit.h"

#define MAP_LEN	    16
#define EXTENT_HEAD 24
#define EXTENT_LEN  (EXTENT_HEAD + STRIPE_LOC_MAX)

int extent_map_decode(const uint8_t *key, size_t key_len, const uint8_t *val, size_t val_len,
		      uint64_t *ino, struct map_entry *out)
{
	struct rbuf r = rbuf_init(val, val_len);

	if (key_len != 17 || key[8] != KEY_MAP || val_len != MAP_LEN)
		return -EBADMSG;
	*ino = get_be64(key);
	out->off = get_be64(key + 9);
	out->len = rbuf_u32(&r);
	out->skip = rbuf_u32(&r);
	out->gen = rbuf_u64(&r);
	if (!out->len || out->len > CODEC_RAW_MAX || out->skip > CODEC_RAW_MAX - out->len ||
	    out->off > (uint64_t)INT64_MAX - out->len)
		return -EBADMSG;
	return 0;
}

int extent_decode(const uint8_t *key, size_t key_len, const uint8_t *val, size_t val_len,
		  struct extent *out)
{
	struct rbuf r = rbuf_init(val, val_len);

	if (key_len != 17 || key[8] != KEY_EXTENT || val_len < EXTENT_HEAD)
		return -EBADMSG;
	out->gen = get_be64(key + 9);
	out->refs = rbuf_u32(&r);
	out->owner.raw_len = rbuf_u32(&r);
	out->owner.ino = rbuf_u64(&r);
	out->owner.file_off = rbuf_u64(&r);
	out->owner.gen = out->gen;
	if (!out->refs || !out->owner.raw_len || out->owner.raw_len > CODEC_RAW_MAX)
		return -EBADMSG;
	return stripe_loc_get(val + EXTENT_HEAD, val_len - EXTENT_HEAD, &out->loc);
}

static size_t extent_encode(const struct extent *e, uint32_t refs, uint8_t val[EXTENT_LEN])
{
	struct wbuf w = wbuf_init(val, EXTENT_LEN);

	wbuf_u32(&w, refs);
	wbuf_u32(&w, e->owner.raw_len);
	wbuf_u64(&w, e->owner.ino);
	wbuf_u64(&w, e->owner.file_off);
	return EXTENT_HEAD + stripe_loc_put(&e->loc, val + EXTENT_HEAD);
}

static int extent_store(struct op *op, const struct extent *e)
{
	struct key key = key_number(0, KEY_EXTENT, e->gen);
	uint8_t val[EXTENT_LEN];
	size_t len = extent_encode(e, e->refs, val);

	return index_put(op->txn, &key, val, len);
}

int extent_load(struct index_txn *t, uint64_t gen, struct extent *out)
{
	struct key key = key_number(0, KEY_EXTENT, gen);
	struct index_val v;
	int err = index_get(t, &key, &v);

	return err ? err : extent_decode(key.b, key.len, v.p, v.len, out);
}

/* ---- the map ---- */

static int map_put(struct op *op, uint64_t ino, const struct map_entry *m)
{
	struct key key = key_number(ino, KEY_MAP, m->off);
	uint8_t val[MAP_LEN];
	struct wbuf w = wbuf_init(val, sizeof(val));

	wbuf_u32(&w, m->len);
	wbuf_u32(&w, m->skip);
	wbuf_u64(&w, m->gen);
	return index_put(op->txn, &key, val, sizeof(val));
}

static int map_del(struct op *op, uint64_t ino, uint64_t off)
{
	struct key key = key_number(ino, KEY_MAP, off);

	return index_del(op->txn, &key);
}

/* An entry of @ino's map at a cursor's place, or -ENOENT when the place is outside the map. */
static int map_at(uint64_t ino, const struct index_val *k, const struct index_val *v,
		  struct map_entry *out)
{
	uint64_t owner;
	int err;

	if (k->len != 17 || k->p[8] != KEY_MAP || get_be64(k->p) != ino)
		return -ENOENT;
	err = extent_map_decode(k->p, k->len, v->p, v->len, &owner, out);
	return err;
}

int extent_find(struct index_txn *t, uint64_t ino, uint64_t off, struct map_entry *out)
{
	struct key key = key_number(ino, KEY_MAP, off);
	struct index_cursor *c;
	struct index_val k, v;
	int err = index_cursor_open(t, &c);

	if (err)
		return err;
	/* The entry before may reach over @off. */
	err = index_seek(c, &key, &k, &v);
	if (err && err != -ENOENT)
		goto close;
	err = err ? index_last(c, &k, &v) : index_prev(c, &k, &v);
	if (!err)
		err = map_at(ino, &k, &v, out);
	if (!err && out->off < off && out->off + out->len > off)
		goto close;
	if (err && err != -ENOENT)
		goto close;
	err = index_seek(c, &key, &k, &v);
	if (!err)
		err = map_at(ino, &k, &v, out);
close:
	index_cursor_close(c);
	return err;
}

int extent_after(struct index_txn *t, uint64_t ino, const struct map_entry *e,
		 struct map_entry *out)
{
	struct key key = key_number(ino, KEY_MAP, e->off + e->len);
	struct index_cursor *c;
	struct index_val k, v;
	int err = index_cursor_open(t, &c);

	if (err)
		return err;
	err = index_seek(c, &key, &k, &v);
	if (!err)
		err = map_at(ino, &k, &v, out);
	index_cursor_close(c);
	return err;
}

/* Entries in an array that grows. */
struct entries {
	struct map_entry *at; /* heap */
	unsigned nr, cap;
};

static int entries_add(struct entries *l, const struct map_entry *m)
{
	if (l->nr == l->cap) {
		unsigned cap = MAX(16u, l->cap * 2);
		struct map_entry *p = realloc(l->at, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->at = p;
		l->cap = cap;
	}
	l->at[l->nr++] = *m;
	return 0;
}

/* The entries that begin in [off, end). */
static int entries_from(struct index_txn *t, uint64_t ino, uint64_t off, uint64_t end,
			struct entries *l)
{
	struct key key = key_number(ino, KEY_MAP, off);
	struct index_cursor *c;
	struct index_val k, v;
	struct map_entry m;
	int err = index_cursor_open(t, &c);

	if (err)
		return err;
	for (err = index_seek(c, &key, &k, &v); !err; err = index_next(c, &k, &v)) {
		err = map_at(ino, &k, &v, &m);
		if (!err && m.off >= end)
			err = -ENOENT;
		if (!err)
			err = entries_add(l, &m);
		if (err)
			break;
	}
	index_cursor_close(c);
	return err == -ENOENT ? 0 : err;
}

static int by_gen(const void *a, const void *b)
{
	const struct map_entry *x = a, *y = b;

	return x->gen < y->gen ? -1 : x->gen > y->gen;
}

int extent_survey(struct index_txn *t, uint64_t ino, uint64_t off, uint64_t len,
		  struct extent_survey *out)
{
	struct entries l = {0};
	int err = entries_from(t, ino, off, off + len, &l);

	*out = (struct extent_survey){.nr_entries = l.nr, .end = off};
	if (!err && l.nr) {
		out->end = l.at[l.nr - 1].off + l.at[l.nr - 1].len;
		qsort(l.at, l.nr, sizeof(*l.at), by_gen);
	}
	for (unsigned i = 0; !err && i < l.nr; i++) {
		struct extent e;

		if (i && l.at[i].gen == l.at[i - 1].gen)
			continue;
		err = extent_load(t, l.at[i].gen, &e);
		if (!err)
			out->raw_len += e.owner.raw_len;
		out->nr_extents++;
	}
	free(l.at);
	return err == -ENOENT ? -EBADMSG : err;
}

/* ---- references ---- */

/* In a late flush: the open group's changes are in @e->refs, too, and the closed group's batch must not know of them. */
static int extent_store_late(struct op *op, const struct extent *e, int64_t open_change)
{
	struct key key = key_number(0, KEY_EXTENT, e->gen);
	uint32_t then = (uint32_t)(e->refs - open_change);
	uint8_t val[EXTENT_LEN], val_then[EXTENT_LEN];
	size_t len = extent_encode(e, e->refs, val);

	extent_encode(e, then, val_then);
	return index_put_late(op->txn, &key, e->refs ? val : NULL, then ? val_then : NULL, len,
			      commit_records(op->fs, commit_open_txg(op->fs)));
}

static int extent_refer(struct op *op, uint64_t gen, int change)
{
	struct key key = key_number(0, KEY_EXTENT, gen);
	int64_t open_change;
	struct extent e;
	bool late;
	int err = extent_load(op->txn, gen, &e);

	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	if (change > 0 && e.refs > UINT32_MAX - (uint32_t)change)
		return -EMLINK;
	e.refs += (uint32_t)change;
	late = op_is_late(op) && commit_refer_find(op->fs, gen, &open_change);
	err = op_refer(op, gen, change);
	if (!err && late)
		err = extent_store_late(op, &e, open_change);
	else if (!err && e.refs)
		err = extent_store(op, &e);
	else if (!err)
		err = index_del(op->txn, &key);
	if (err || e.refs)
		return err;
	op->d_extents--;
	op->d_raw -= e.owner.raw_len;
	op->d_stored -= e.loc.len;
	return op_free_stripe(op, &e.loc, late);
}

static void mapped_add(struct op *op, struct inode *in, int64_t len)
{
	struct attr *a = op_edit(op, in);

	a->mapped += (uint64_t)len;
	op->d_logical += len;
}

/* ---- inline bytes ---- */

int extent_inline_get(struct index_txn *t, uint64_t ino, uint8_t buf[INLINE_MAX], size_t *len)
{
	struct key key = key_plain(ino, KEY_INLINE);
	struct index_val v;
	int err = index_get(t, &key, &v);

	*len = 0;
	if (err)
		return err == -ENOENT ? 0 : err;
	if (v.len > INLINE_MAX)
		return -EBADMSG;
	memcpy(buf, v.p, v.len);
	*len = v.len;
	return 0;
}

int extent_inline_put(struct op *op, struct inode *in, const uint8_t *buf, size_t len)
{
	struct key key = key_plain(in->ino, KEY_INLINE);
	struct index_val v;
	int err = index_get(op->txn, &key, &v);
	int64_t change;

	if (err && err != -ENOENT)
		return err;
	change = (int64_t)len - (err ? 0 : (int64_t)v.len);
	if (len)
		err = index_put(op->txn, &key, buf, len);
	else
		err = err ? 0 : index_del(op->txn, &key);
	if (!err)
		mapped_add(op, in, change);
	return err;
}

static int inline_punch(struct op *op, struct inode *in, uint64_t off, uint64_t len)
{
	uint8_t buf[INLINE_MAX];
	size_t have;
	int err = extent_inline_get(op->txn, in->ino, buf, &have);

	if (err || off >= have)
		return err;
	if (len >= have - off)
		return extent_inline_put(op, in, buf, off);
	memset(buf + off, 0, len);
	return extent_inline_put(op, in, buf, have);
}

/* ---- changing the map ---- */

/* Take [off, end) out of one entry that overlaps it. */
static int map_cut(struct op *op, uint64_t ino, const struct map_entry *m, uint64_t off,
		   uint64_t end)
{
	uint64_t m_end = m->off + m->len;
	struct map_entry left = *m, right = *m;
	int err = 0;

	left.len = m->off < off ? (uint32_t)(off - m->off) : 0;
	right.off = MIN(end, m_end);
	right.skip = m->skip + (uint32_t)(right.off - m->off);
	right.len = (uint32_t)(m_end - right.off);
	if (left.len)
		err = map_put(op, ino, &left);
	else
		err = map_del(op, ino, m->off);
	if (!err && right.len)
		err = map_put(op, ino, &right);
	if (err || (left.len != 0) + (right.len != 0) == 1)
		return err;
	return extent_refer(op, m->gen, left.len ? 1 : -1);
}

int extent_punch(struct op *op, struct inode *in, uint64_t off, uint64_t len)
{
	uint64_t end = len > INT64_MAX - off ? INT64_MAX : off + len;
	struct map_entry m;
	int err;

	if (off < INLINE_MAX) {
		err = inline_punch(op, in, off, end - off);
		if (err)
			return err;
	}
	for (;;) {
		uint64_t from, to;

		err = extent_find(op->txn, in->ino, off, &m);
		if (err || m.off >= end)
			return err == -ENOENT ? 0 : err;
		from = MAX(m.off, off);
		to = MIN(m.off + m.len, end);
		err = map_cut(op, in->ino, &m, off, end);
		if (err)
			return err;
		mapped_add(op, in, -(int64_t)(to - from));
		off = to;
	}
}

/* ---- parts ---- */

/* What becomes of old entries when parts are laid over them. */
struct weave {
	struct op *op;
	const struct extent_part *part; /* of one inode, in order */
	unsigned nr;
	struct entries refer; /* gen, and the change of its references in len, as an int32_t */
	uint64_t cut;	      /* bytes that old entries do not show any more */
};

/* The pieces of @m that the parts from @first on leave, put into the map. */
static int weave_entry(struct weave *w, uint64_t ino, const struct map_entry *m, unsigned first)
{
	uint64_t at = m->off, end = m->off + m->len;
	struct map_entry change = {.gen = m->gen};
	bool replaced = false;
	int pieces = 0, err = 0;

	for (unsigned i = first; !err && at < end; i++) {
		bool over = i < w->nr && w->part[i].off < end;
		uint64_t stop = over ? w->part[i].off : end;

		if (stop > at) {
			struct map_entry left = {.off = at,
						 .len = (uint32_t)(stop - at),
						 .skip = m->skip + (uint32_t)(at - m->off),
						 .gen = m->gen};

			err = map_put(w->op, ino, &left);
			replaced |= at == m->off;
			pieces++;
			at = stop;
		}
		if (over) {
			uint64_t to = MIN(w->part[i].off + w->part[i].len, end);

			replaced |= w->part[i].off == m->off;
			w->cut += to - at;
			at = to;
		}
	}
	if (!err && !replaced)
		err = map_del(w->op, ino, m->off);
	change.len = (uint32_t)(pieces - 1);
	if (!err && pieces != 1)
		err = entries_add(&w->refer, &change);
	return err;
}

/* Each extent's count once. */
static int weave_refer(struct weave *w)
{
	struct entries *l = &w->refer;
	int err = 0;

	if (l->nr)
		qsort(l->at, l->nr, sizeof(*l->at), by_gen);
	for (unsigned i = 0, j; !err && i < l->nr; i = j) {
		int change = 0;

		for (j = i; j < l->nr && l->at[j].gen == l->at[i].gen; j++)
			change += (int32_t)l->at[j].len;
		if (change)
			err = extent_refer(w->op, l->at[i].gen, change);
	}
	return err;
}

/* The map entries that some part overlaps are cut. */
static int weave_cut(struct weave *w, uint64_t ino)
{
	const struct extent_part *last = &w->part[w->nr - 1];
	struct entries old = {0};
	struct map_entry before;
	unsigned first = 0;
	int err = extent_find(w->op->txn, ino, w->part[0].off, &before);

	/* One that begins before the first part and reaches into it. */
	if (!err && before.off < w->part[0].off)
		err = entries_add(&old, &before);
	if (err && err != -ENOENT)
		return err;
	err = entries_from(w->op->txn, ino, w->part[0].off, last->off + last->len, &old);
	for (unsigned i = 0; !err && i < old.nr; i++) {
		const struct map_entry *m = &old.at[i];

		while (first < w->nr && w->part[first].off + w->part[first].len <= m->off)
			first++;
		if (first < w->nr && w->part[first].off < m->off + m->len)
			err = weave_entry(w, ino, m, first);
	}
	if (!err)
		err = weave_refer(w);
	free(old.at);
	free(w->refer.at);
	return err;
}

/* Several parts of one inode. */
static int weave_parts(struct op *op, uint64_t gen, const struct extent_part *part, unsigned nr)
{
	struct weave w = {.op = op, .part = part, .nr = nr};
	struct inode *in = part->in;
	int64_t len = 0;
	int err = 0;

	for (unsigned i = 0; !err && i < nr && part[i].off < INLINE_MAX; i++)
		err = inline_punch(op, in, part[i].off, part[i].len);
	if (!err)
		err = weave_cut(&w, in->ino);
	for (unsigned i = 0; !err && i < nr; i++) {
		struct map_entry m = {
			.off = part[i].off, .len = part[i].len, .skip = part[i].skip, .gen = gen};

		err = map_put(op, in->ino, &m);
		len += part[i].len;
	}
	if (!err)
		mapped_add(op, in, len - (int64_t)w.cut);
	return err;
}

static int lay_part(struct op *op, uint64_t gen, const struct extent_part *part)
{
	struct map_entry m = {.off = part->off, .len = part->len, .skip = part->skip, .gen = gen};
	int err = extent_punch(op, part->in, part->off, part->len);

	if (!err)
		err = map_put(op, part->in->ino, &m);
	if (!err)
		mapped_add(op, part->in, part->len);
	return err;
}

/* How many of @part are of one window, in order. */
static unsigned parts_run(const struct op *op, const struct extent_part *part, unsigned nr)
{
	uint64_t end = round_down(part->off, op->fs->extent_len) + op->fs->extent_len;
	unsigned n = 1;

	while (n < nr && part[n].in == part->in && part[n].off > part[n - 1].off &&
	       part[n].off < end)
		n++;
	return n;
}

int extent_insert_parts(struct op *op, struct extent *e, const struct extent_part *part,
			unsigned nr)
{
	int err;

	e->refs = nr;
	err = extent_store(op, e);
	for (unsigned i = 0, n; !err && i < nr; i += n) {
		n = parts_run(op, part + i, nr - i);
		if (n == 1)
			err = lay_part(op, e->gen, &part[i]);
		else
			err = weave_parts(op, e->gen, &part[i], n);
	}
	if (err)
		return err;
	op->d_extents++;
	op->d_raw += e->owner.raw_len;
	op->d_stored += e->loc.len;
	return 0;
}

int extent_insert(struct op *op, struct inode *in, uint64_t off, struct extent *e)
{
	struct extent_part all = {.in = in, .off = off, .len = e->owner.raw_len};

	return extent_insert_parts(op, e, &all, 1);
}

int extent_share(struct op *op, struct inode *in, uint64_t off, uint32_t len, uint64_t gen,
		 uint32_t skip)
{
	struct map_entry m = {.off = off, .len = len, .gen = gen, .skip = skip};
	int err;

	/* First the new reference, so that the extent outlives a punch of its own last entry. */
	err = extent_refer(op, gen, 1);
	if (!err)
		err = extent_punch(op, in, off, len);
	if (!err)
		err = map_put(op, in->ino, &m);
	if (!err)
		mapped_add(op, in, len);
	return err;
}
