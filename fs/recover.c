/* From shards to index. */
#include "fs/recover.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/base.h"
#include "conf/log.h"
#include "fs/attr.h"
#include "fs/checkpoint.h"
#include "fs/extent.h"
#include "fs/group.h"

/* Addresses for the map of the index: a bound on its size, not memory. LMDB makes a sparse file of it. */
#define INDEX_MAP_LEN (256 * GIB)

/* The mark's value: log sequence, next inode, next generation. */
#define MARK_LEN 24
static const char mark_name[] = "clean";

/* ---- the mark ---- */

int recover_mark(struct fs *fs)
{
	struct key key = key_name(0, KEY_META, mark_name, strlen(mark_name));
	uint8_t val[MARK_LEN];
	struct wbuf w = wbuf_init(val, sizeof(val));
	struct index_txn *t;
	int err = index_begin(fs->index, &t);

	if (err)
		return err;
	wbuf_u64(&w, raid_log_next(fs->raid));
	wbuf_u64(&w, atomic_load(&fs->next_ino));
	wbuf_u64(&w, atomic_load(&fs->next_gen));
	err = index_put(t, &key, val, sizeof(val));
	if (err) {
		index_abort(t);
		return err;
	}
	err = index_commit(t, NULL);
	return err ? err : index_sync(fs->index);
}

/* The mark is taken away as it is read: from now on the index is ahead of it. */
static int mark_take(struct index *x, uint64_t seq, struct recovered *out)
{
	struct key key = key_name(0, KEY_META, mark_name, strlen(mark_name));
	struct index_txn *t;
	struct index_val v;
	struct rbuf r;
	int err = index_begin(x, &t);

	if (err)
		return err;
	err = index_get(t, &key, &v);
	if (!err) {
		r = rbuf_init(v.p, v.len);
		if (rbuf_u64(&r) != seq || v.len != MARK_LEN)
			err = -ESTALE;
		out->next_ino = rbuf_u64(&r);
		out->next_gen = rbuf_u64(&r);
	}
	if (!err)
		err = index_del(t, &key);
	if (err) {
		index_abort(t);
		return err;
	}
	return index_commit(t, NULL);
}

/* ---- checkpoint and log ---- */

struct replay {
	struct index *index;
	uint64_t next_ino, next_gen;
};

static int replay_batch(void *arg, uint64_t seq, const uint8_t *data, size_t len)
{
	struct replay *r = arg;
	struct group_head head;
	struct index_txn *t;
	int err = group_head_get(data, len, &head);

	if (err) {
		log_error("log batch %llu: %s", (unsigned long long)seq,
			  err == -ENOTSUP ? "written by a newer matfs; use that one"
					  : "its content is damaged");
		return err;
	}
	r->next_ino = head.next_ino;
	r->next_gen = head.next_gen;
	err = index_begin(r->index, &t);
	if (err)
		return err;
	err = index_apply(t, data + GROUP_HEAD_LEN, len - GROUP_HEAD_LEN);
	if (err) {
		index_abort(t);
		return err;
	}
	return index_commit(t, NULL);
}

int recover_build(struct raid *r, struct index *x, uint64_t *next_ino, uint64_t *next_gen)
{
	struct replay rep = {.index = x, .next_ino = 2, .next_gen = 1};
	uint64_t from = 1;
	int err = checkpoint_load(r, x, &from);

	if (err && err != -ENOENT)
		return err;
	err = raid_log_replay(r, from, replay_batch, &rep);
	*next_ino = rep.next_ino;
	*next_gen = rep.next_gen;
	return err;
}

static int index_reuse(struct fs *fs, const char *dir, struct recovered *out)
{
	int err = index_open(dir, INDEX_MAP_LEN, false, &fs->index);

	if (err)
		return err;
	err = mark_take(fs->index, raid_log_next(fs->raid), out);
	if (err) {
		index_close(fs->index, false);
		fs->index = NULL;
	}
	return err;
}

static int index_rebuild(struct fs *fs, const char *dir, struct recovered *out, char *why,
			 size_t why_len)
{
	int err = index_open(dir, INDEX_MAP_LEN, true, &fs->index);

	if (err) {
		snprintf(why, why_len,
			 "%s: the index cannot be opened: %s; set state= to a directory on a local "
			 "disk",
			 dir, strerror(-err));
		return err;
	}
	err = recover_build(fs->raid, fs->index, &out->next_ino, &out->next_gen);
	if (err)
		snprintf(why, why_len,
			 "the volume's metadata cannot be read: %s; run matfsctl fsck, then "
			 "matfsctl extract for the files",
			 strerror(-err));
	return err;
}

/* ---- one walk over all of it ---- */

struct walk {
	struct fs *fs;
	struct recovered *out;
	struct reconcile *rc;
	uint64_t ino; /* whose keys we are at; 0: none */
	struct attr attr;
	uint64_t mapped;
};

static int grow(void **array, size_t *cap, size_t nr, size_t len)
{
	size_t want = MAX((size_t)64, *cap * 2);
	void *p;

	if (nr < *cap)
		return 0;
	p = realloc(*array, want * len);
	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = want;
	return 0;
}

static int walk_inode_end(struct walk *w)
{
	struct recovered *out = w->out;
	int err;

	if (!w->ino || w->mapped == w->attr.mapped || S_ISLNK(w->attr.mode))
		return 0;
	err = grow((void **)&out->fix, &out->cap_fixes, out->nr_fixes, sizeof(*out->fix));
	if (!err)
		out->fix[out->nr_fixes++] = (struct recover_fix){w->ino, w->mapped};
	return err;
}

static int walk_extent(struct walk *w, const struct index_val *k, const struct index_val *v)
{
	struct fs_counters *n = &w->fs->n;
	struct extent e;
	int err = extent_decode(k->p, k->len, v->p, v->len, &e);

	if (err)
		return err;
	atomic_fetch_add(&n->nr_extents, 1);
	atomic_fetch_add(&n->raw_live, e.owner.raw_len);
	atomic_fetch_add(&n->stored_live, e.loc.len);
	return raid_reconcile_keep(w->rc, &e.loc);
}

static int walk_orphan(struct walk *w, const struct index_val *k)
{
	struct recovered *out = w->out;
	int err;

	if (k->len != 17)
		return -EBADMSG;
	err = grow((void **)&out->orphan, &out->cap_orphans, out->nr_orphans, sizeof(*out->orphan));
	if (!err)
		out->orphan[out->nr_orphans++] = get_be64(k->p + 9);
	return err;
}

static int walk_attr(struct walk *w, uint64_t ino, const struct index_val *v)
{
	int err = walk_inode_end(w);

	if (err)
		return err;
	w->ino = ino;
	w->mapped = 0;
	atomic_fetch_add(&w->fs->n.nr_inodes, 1);
	return attr_get(v->p, v->len, &w->attr);
}

static int walk_map(struct walk *w, const struct index_val *k, const struct index_val *v)
{
	struct map_entry m;
	uint64_t ino;
	int err = extent_map_decode(k->p, k->len, v->p, v->len, &ino, &m);

	w->mapped += m.len;
	atomic_fetch_add(&w->fs->n.logical, m.len);
	return err;
}

static int walk_key(struct walk *w, const struct index_val *k, const struct index_val *v)
{
	uint64_t ino;

	if (k->len < 9)
		return -EBADMSG;
	ino = get_be64(k->p);
	switch ((enum key_kind)k->p[8]) {
	case KEY_EXTENT:
		return walk_extent(w, k, v);
	case KEY_ORPHAN:
		return walk_orphan(w, k);
	case KEY_ATTR:
		return walk_attr(w, ino, v);
	case KEY_INLINE:
		w->mapped += v->len;
		atomic_fetch_add(&w->fs->n.logical, S_ISREG(w->attr.mode) ? v->len : 0);
		return 0;
	case KEY_MAP:
		return walk_map(w, k, v);
	default:
		return 0;
	}
}

static int walk_all(struct walk *w)
{
	struct key first = {.len = 1};
	struct index_cursor *c = NULL;
	struct index_val k, v;
	struct index_txn *t;
	int err = index_read(w->fs->index, &t);

	if (err)
		return err;
	err = index_cursor_open(t, &c);
	if (!err)
		err = index_seek(c, &first, &k, &v);
	while (!err) {
		err = walk_key(w, &k, &v);
		if (!err)
			err = index_next(c, &k, &v);
	}
	index_cursor_close(c);
	index_read_end(t);
	return err == -ENOENT ? walk_inode_end(w) : err;
}

static int recover_walk(struct fs *fs, struct recovered *out)
{
	struct walk w = {.fs = fs, .out = out};
	int end, err = raid_reconcile_begin(fs->raid, &w.rc);

	if (err)
		return err;
	err = walk_all(&w);
	/* Only after an unclean stop, or on a shard that was away, is there anything without a name; and only what was
	 * read whole may be judged by. */
	end = raid_reconcile_end(
		w.rc, !err && (!out->reused || raid_wants_checkpoint(fs->raid)) && !fs->rdonly,
		&out->freed_bytes);
	out->empty = atomic_load(&fs->n.nr_inodes) == 0;
	return err ? err : end;
}

int recover_index(struct fs *fs, const char *dir, struct recovered *out, char *why, size_t why_len)
{
	int err;

	*out = (struct recovered){.next_ino = 2, .next_gen = 1};
	if (raid_was_clean(fs->raid) && !raid_created(fs->raid) && !fs->rdonly)
		out->reused = index_reuse(fs, dir, out) == 0;
	if (!out->reused) {
		err = index_rebuild(fs, dir, out, why, why_len);
		if (err)
			return err;
	}
	err = recover_walk(fs, out);
	if (err)
		snprintf(why, why_len, "the volume's index is inconsistent: %s; run matfsctl fsck",
			 strerror(-err));
	else if (!out->reused && !raid_created(fs->raid))
		log_note("recovered from checkpoint and log: %llu inodes, %llu extents, %zu "
			 "orphans, %llu bytes of "
			 "unfinished writes given back",
			 (unsigned long long)atomic_load(&fs->n.nr_inodes),
			 (unsigned long long)atomic_load(&fs->n.nr_extents), out->nr_orphans,
			 (unsigned long long)out->freed_bytes);
	return err;
}

void recover_fini(struct recovered *r)
{
	free(r->orphan);
	free(r->fix);
	*r = (struct recovered){.nr_orphans = 0};
}
