/* The index over LMDB.
 *
 * Opened with MDB_WRITEMAP and without syncs: a commit is a few memory stores, and what it stored survives the death of
 * the process. Power loss may leave anything, which is why only a volume that was closed cleanly (index_sync() at its
 * end) finds its index again; otherwise it is made anew from checkpoint and log.
 *
 * A sparse map on a full disk would kill us with SIGBUS, so the file is allocated ahead of what a transaction may take
 * (index_room()), and running out is -ENOSPC from index_begin() or index_apply(). */
#include "fs/index.h"

#include <assert.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "conf/base.h"
#include "conf/lock.h"
#include "conf/log.h"

/* Read transactions kept for reuse. LMDB wants a slot in its reader table for each that was ever made. */
#define READERS_KEPT 64
#define READERS_MAX  2048

/* Allocated beyond what is in use when a transaction begins, and kept ahead of it as it grows. */
#define ROOM_LEN  (4 * MIB)
#define ROOM_STEP (16 * MIB)
/* Pages that one put or del may take, besides its value: a path from root to leaf, split, and free-list pages. */
#define PAGES_PER_CHANGE 6

enum record_op {
	RECORD_PUT = 1,
	RECORD_DEL = 2,
};
#define RECORD_HEAD 7 /* op u8, key length u16, value length u32 */

/* LMDB is not built for the thread sanitizer: tell it where LMDB orders threads, or it sees races in every page. */
#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define INDEX_ACQUIRE(x) __tsan_acquire(x)
#define INDEX_RELEASE(x) __tsan_release(x)
#else
#define INDEX_ACQUIRE(x) ((void)(x))
#define INDEX_RELEASE(x) ((void)(x))
#endif

struct index {
	MDB_env *env;
	MDB_dbi dbi;
	uint64_t page_len;
	uint64_t map_len;
	void *map; /* NULL: not found */
	size_t mapped_len;
	int fd;			   /* of the data file, to allocate */
	uint64_t allocated;	   /* bytes; only with the write transaction held */
	bool no_allocate;	   /* the file system has no fallocate */
	struct lock write;	   /* one write transaction at a time; held between begin and end */
	struct record_buf pending; /* of the running write transaction; guarded by write */
	struct record_buf late;	   /* its records for a later batch; guarded by write */
	struct record_buf *late_to; /* where these go; guarded by write */
	struct lock lock;
	MDB_txn *kept[READERS_KEPT]; /* guarded by lock */
	unsigned nr_kept;
};

struct index_txn {
	struct index *index;
	MDB_txn *txn;
	/* What a transaction has grown by shows in index_used() only after its commit: a bound on it, and what of it
	 * has been looked after. */
	uint64_t grown, checked;
};

struct index_cursor {
	MDB_cursor *cursor;
};

static int index_errno(int err)
{
	switch (err) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_READERS_FULL:
	case MDB_TXN_FULL:
		return -ENOMEM;
	default:
		return err > 0 ? -err : -EIO;
	}
}

void record_buf_free(struct record_buf *b)
{
	free(b->p);
	*b = (struct record_buf){0};
}

static int record_buf_room(struct record_buf *b, size_t len)
{
	size_t cap = MAX(b->cap, (size_t)4096);
	uint8_t *p;

	if (len <= b->cap - b->len)
		return 0;
	while (cap - b->len < len)
		cap *= 2;
	p = realloc(b->p, cap);
	if (!p)
		return -ENOMEM;
	b->p = p;
	b->cap = cap;
	return 0;
}

int record_buf_append(struct record_buf *b, const void *p, size_t len)
{
	int err = record_buf_room(b, len);

	if (err || !len)
		return err;
	memcpy(b->p + b->len, p, len);
	b->len += len;
	return 0;
}

static int record_add(struct record_buf *b, enum record_op op, const uint8_t *key, size_t key_len,
		      const uint8_t *val, size_t val_len)
{
	int err = record_buf_room(b, RECORD_HEAD + key_len + val_len);
	struct wbuf w;

	if (err)
		return err;
	w = wbuf_init(b->p + b->len, b->cap - b->len);
	wbuf_u8(&w, (uint8_t)op);
	wbuf_u16(&w, (uint16_t)key_len);
	wbuf_u32(&w, (uint32_t)val_len);
	wbuf_bytes(&w, key, key_len);
	wbuf_bytes(&w, val, val_len);
	b->len += w.pos;
	return 0;
}

int record_put(struct record_buf *b, const uint8_t *key, size_t key_len, const uint8_t *val,
	       size_t val_len)
{
	return record_add(b, RECORD_PUT, key, key_len, val, val_len);
}

/* ---- open and close ---- */

static int index_empty_dir(const char *dir)
{
	static const char *const files[] = {"data.mdb", "lock.mdb"};
	char path[4096];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (snprintf(path, sizeof(path), "%s/%s", dir, files[i]) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		if (unlink(path) && errno != ENOENT)
			return -errno;
	}
	return 0;
}

/* LMDB does not tell where its map is. It stays there while the index is open. */
static void find_map(struct index *x)
{
	unsigned long from, to, inode;
	char line[512];
	struct stat st;
	FILE *f;

	if (fstat(x->fd, &st))
		return;
	f = fopen("/proc/self/maps", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %*x %*x:%*x %lu", &from, &to, &inode) != 3 ||
		    inode != st.st_ino || !strstr(line, "data.mdb"))
			continue;
		x->map = (void *)from;
		x->mapped_len = to - from;
	}
	if (f)
		fclose(f);
}

int index_open(const char *dir, uint64_t map_len, bool fresh, struct index **out)
{
	AUTO_FREE struct index *x = calloc(1, sizeof(*x));
	char path[4096];
	MDB_txn *txn = NULL;
	MDB_stat st;
	int err;

	if (!x)
		return -ENOMEM;
	if (snprintf(path, sizeof(path), "%s/data.mdb", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	err = fresh ? index_empty_dir(dir) : 0;
	if (err)
		return err;
	x->fd = -1;
	x->map_len = map_len;
	err = mdb_env_create(&x->env);
	if (err)
		return index_errno(err);
	err = mdb_env_set_mapsize(x->env, map_len);
	if (!err)
		err = mdb_env_set_maxreaders(x->env, READERS_MAX);
	if (!err)
		err = mdb_env_open(x->env, dir,
				   MDB_WRITEMAP | MDB_NOSYNC | MDB_NOMETASYNC | MDB_NOTLS |
					   MDB_NORDAHEAD,
				   0600);
	if (!err)
		err = mdb_txn_begin(x->env, NULL, 0, &txn);
	if (!err)
		err = mdb_dbi_open(txn, NULL, 0, &x->dbi);
	if (!err) {
		err = mdb_stat(txn, x->dbi, &st);
		x->page_len = err ? 0 : st.ms_psize;
	}
	if (txn && !err)
		err = mdb_txn_commit(txn);
	else if (txn)
		mdb_txn_abort(txn);
	if (!err) {
		x->fd = open(path, O_RDWR | O_CLOEXEC);
		err = x->fd < 0 ? errno : 0;
	}
	if (err) {
		mdb_env_close(x->env);
		return index_errno(err);
	}
	find_map(x);
	lock_init(&x->lock);
	lock_init(&x->write);
	*out = TAKE_PTR(x);
	return 0;
}

void index_close(struct index *x, bool sync)
{
	if (sync)
		index_sync(x);
	for (unsigned i = 0; i < x->nr_kept; i++)
		mdb_txn_abort(x->kept[i]);
	mdb_env_close(x->env);
	close(x->fd);
	record_buf_free(&x->pending);
	record_buf_free(&x->late);
	lock_fini(&x->write);
	lock_fini(&x->lock);
	free(x);
}

void index_trim(struct index *x)
{
	/* A shared map of a file: what was changed stays changed. */
	if (x->map)
		madvise(x->map, x->mapped_len, MADV_DONTNEED);
}

int index_sync(struct index *x)
{
	return index_errno(mdb_env_sync(x->env, 1));
}

/* ---- reading ---- */

int index_read(struct index *x, struct index_txn **out)
{
	AUTO_FREE struct index_txn *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->index = x;
	lock_take(&x->lock);
	if (x->nr_kept)
		t->txn = x->kept[--x->nr_kept];
	lock_release(&x->lock);
	if (t->txn) {
		err = mdb_txn_renew(t->txn);
		if (err)
			mdb_txn_abort(t->txn);
	} else {
		err = mdb_txn_begin(x->env, NULL, MDB_RDONLY, &t->txn);
	}
	if (err)
		return index_errno(err);
	INDEX_ACQUIRE(x);
	*out = TAKE_PTR(t);
	return 0;
}

void index_read_end(struct index_txn *t)
{
	struct index *x;

	if (!t)
		return;
	x = t->index;
	INDEX_RELEASE(x);
	mdb_txn_reset(t->txn);
	lock_take(&x->lock);
	if (x->nr_kept < READERS_KEPT) {
		x->kept[x->nr_kept++] = t->txn;
		t->txn = NULL;
	}
	lock_release(&x->lock);
	if (t->txn)
		mdb_txn_abort(t->txn);
	free(t);
}

int index_get(struct index_txn *t, const struct key *key, struct index_val *out)
{
	MDB_val k = {.mv_size = key->len, .mv_data = (void *)key->b}, v;
	int err = mdb_get(t->txn, t->index->dbi, &k, &v);

	if (!err)
		*out = (struct index_val){.p = v.mv_data, .len = v.mv_size};
	return index_errno(err);
}

int index_cursor_open(struct index_txn *t, struct index_cursor **out)
{
	AUTO_FREE struct index_cursor *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	err = mdb_cursor_open(t->txn, t->index->dbi, &c->cursor);
	if (!err)
		*out = TAKE_PTR(c);
	return index_errno(err);
}

void index_cursor_close(struct index_cursor *c)
{
	if (!c)
		return;
	mdb_cursor_close(c->cursor);
	free(c);
}

static int cursor_get(struct index_cursor *c, MDB_cursor_op op, MDB_val *mk, struct index_val *k,
		      struct index_val *v)
{
	MDB_val mv;
	int err = mdb_cursor_get(c->cursor, mk, &mv, op);

	if (!err) {
		*k = (struct index_val){.p = mk->mv_data, .len = mk->mv_size};
		*v = (struct index_val){.p = mv.mv_data, .len = mv.mv_size};
	}
	return index_errno(err);
}

int index_seek(struct index_cursor *c, const struct key *key, struct index_val *k,
	       struct index_val *v)
{
	MDB_val mk = {.mv_size = key->len, .mv_data = (void *)key->b};

	return cursor_get(c, MDB_SET_RANGE, &mk, k, v);
}

int index_next(struct index_cursor *c, struct index_val *k, struct index_val *v)
{
	MDB_val mk;

	return cursor_get(c, MDB_NEXT, &mk, k, v);
}

int index_prev(struct index_cursor *c, struct index_val *k, struct index_val *v)
{
	MDB_val mk;

	return cursor_get(c, MDB_PREV, &mk, k, v);
}

int index_last(struct index_cursor *c, struct index_val *k, struct index_val *v)
{
	MDB_val mk;

	return cursor_get(c, MDB_LAST, &mk, k, v);
}

/* ---- writing ---- */

static uint64_t index_used(struct index *x)
{
	MDB_envinfo info;

	mdb_env_info(x->env, &info);
	return ((uint64_t)info.me_last_pgno + 1) * x->page_len;
}

/* Make sure that @len bytes more can be written without meeting a hole that cannot be filled. */
static int index_room(struct index *x, uint64_t len)
{
	uint64_t need = index_used(x) + len;
	uint64_t end = MIN(round_up(need, ROOM_STEP), x->map_len);

	if (need <= x->allocated)
		return 0;
	if (need > x->map_len)
		return -ENOSPC;
	if (!x->no_allocate &&
	    fallocate(x->fd, 0, (off_t)x->allocated, (off_t)(end - x->allocated))) {
		if (errno != EOPNOTSUPP)
			return -errno;
		log_warn("the index's file system has no fallocate: should it fill up, matfs will "
			 "be killed by SIGBUS; "
			 "set state= to a directory on another file system");
		x->no_allocate = true;
	}
	x->allocated = end;
	return 0;
}

int index_begin(struct index *x, struct index_txn **out) NO_LOCK_CHECK
{
	AUTO_FREE struct index_txn *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->index = x;
	t->checked = ROOM_LEN / 2;
	lock_take(&x->write);
	err = index_errno(mdb_txn_begin(x->env, NULL, 0, &t->txn));
	if (!err) {
		err = index_room(x, ROOM_LEN);
		if (err)
			mdb_txn_abort(t->txn);
	}
	if (err) {
		lock_release(&x->write);
		return err;
	}
	x->pending.len = 0;
	x->late.len = 0;
	x->late_to = NULL;
	*out = TAKE_PTR(t);
	return 0;
}

static int index_grow(struct index_txn *t, size_t val_len)
{
	t->grown += PAGES_PER_CHANGE * t->index->page_len + val_len;
	if (t->grown <= t->checked)
		return 0;
	t->checked = t->grown + ROOM_LEN / 2;
	return index_room(t->index, t->grown + ROOM_LEN);
}

static int index_store(struct index_txn *t, const uint8_t *key, size_t key_len, const void *val,
		       size_t len, unsigned flags)
{
	MDB_val k = {.mv_size = key_len, .mv_data = (void *)key};
	MDB_val v = {.mv_size = len, .mv_data = (void *)val};
	int err = index_grow(t, len);

	return err ? err : index_errno(mdb_put(t->txn, t->index->dbi, &k, &v, flags));
}

static int index_remove(struct index_txn *t, const uint8_t *key, size_t key_len)
{
	MDB_val k = {.mv_size = key_len, .mv_data = (void *)key};
	int err = index_grow(t, 0);

	return err ? err : index_errno(mdb_del(t->txn, t->index->dbi, &k, NULL));
}

int index_put(struct index_txn *t, const struct key *key, const void *val, size_t len)
{
	int err = record_add(&t->index->pending, RECORD_PUT, key->b, key->len, val, len);

	return err ? err : index_store(t, key->b, key->len, val, len, 0);
}

int index_del(struct index_txn *t, const struct key *key)
{
	int err = index_remove(t, key->b, key->len);

	return err ? err : record_add(&t->index->pending, RECORD_DEL, key->b, key->len, NULL, 0);
}

int index_put_late(struct index_txn *t, const struct key *key, const void *val,
		   const void *val_then, size_t len, struct record_buf *later)
{
	struct index *x = t->index;
	int err = record_add(&x->pending, val_then ? RECORD_PUT : RECORD_DEL, key->b, key->len,
			     val_then, val_then ? len : 0);

	assert(!x->late_to || x->late_to == later);
	x->late_to = later;
	if (!err)
		err = record_add(&x->late, val ? RECORD_PUT : RECORD_DEL, key->b, key->len, val,
				 val ? len : 0);
	if (err)
		return err;
	return val ? index_store(t, key->b, key->len, val, len, 0)
		   : index_remove(t, key->b, key->len);
}

/* The records are in their place before the transaction's lock is dropped: they keep the order of commits. */
int index_commit_keep(struct index_txn *t, struct record_buf *records)
{
	struct index *x = t->index;
	struct record_buf *late = x->late_to;
	size_t before = records ? records->len : 0, before_late = late ? late->len : 0;
	int err = records ? record_buf_append(records, x->pending.p, x->pending.len) : 0;

	if (!err && late)
		err = record_buf_append(late, x->late.p, x->late.len);
	INDEX_RELEASE(x);
	if (err)
		mdb_txn_abort(t->txn);
	else
		err = index_errno(mdb_txn_commit(t->txn));
	if (err && records)
		records->len = before;
	if (err && late)
		late->len = before_late;
	free(t);
	return err;
}

void index_unlock(struct index *x) NO_LOCK_CHECK
{
	lock_release(&x->write);
}

int index_commit(struct index_txn *t, struct record_buf *records)
{
	struct index *x = t->index;
	int err = index_commit_keep(t, records);

	index_unlock(x);
	return err;
}

void index_abort(struct index_txn *t)
{
	struct index *x = t->index;

	mdb_txn_abort(t->txn);
	free(t);
	index_unlock(x);
}

/* ---- records ---- */

struct record {
	enum record_op op;
	const uint8_t *key, *val;
	size_t key_len, val_len;
};

static int record_next(struct rbuf *r, struct record *out)
{
	uint8_t op = rbuf_u8(r);

	out->op = (enum record_op)op;
	out->key_len = rbuf_u16(r);
	out->val_len = rbuf_u32(r);
	out->key = rbuf_skip(r, out->key_len);
	out->val = rbuf_skip(r, out->val_len);
	if (r->bad || out->key_len < 9 || out->key_len > KEY_MAX)
		return -EBADMSG;
	if (op != RECORD_PUT && (op != RECORD_DEL || out->val_len))
		return -EBADMSG;
	return 0;
}

int record_len(const uint8_t *rec, size_t len, size_t *out)
{
	struct rbuf r = rbuf_init(rec, len);
	size_t key_len, val_len;
	uint8_t op;

	*out = 0;
	if (len < RECORD_HEAD)
		return 0;
	op = rbuf_u8(&r);
	key_len = rbuf_u16(&r);
	val_len = rbuf_u32(&r);
	if ((op != RECORD_PUT && op != RECORD_DEL) || key_len < 9 || key_len > KEY_MAX ||
	    val_len > 16 * MIB)
		return -EBADMSG;
	if (RECORD_HEAD + key_len + val_len <= len)
		*out = RECORD_HEAD + key_len + val_len;
	return 0;
}

static int index_replay(struct index_txn *t, const uint8_t *rec, size_t len, unsigned flags)
{
	struct rbuf r = rbuf_init(rec, len);
	int err = 0;

	while (!err && r.pos < r.len) {
		struct record c;

		err = record_next(&r, &c);
		if (err)
			break;
		if (c.op == RECORD_PUT) {
			err = index_store(t, c.key, c.key_len, c.val, c.val_len, flags);
		} else {
			err = index_remove(t, c.key, c.key_len);
			err = err == -ENOENT ? 0 : err;
		}
	}
	return err;
}

int index_apply(struct index_txn *t, const uint8_t *rec, size_t len)
{
	return index_replay(t, rec, len, 0);
}

int index_load(struct index_txn *t, const uint8_t *rec, size_t len)
{
	int err = index_replay(t, rec, len, MDB_APPEND);

	/* Keys out of order: not what a checkpoint writes. */
	return err == -EIO ? -EBADMSG : err;
}

void index_stat_get(struct index *x, struct index_stat *out)
{
	MDB_stat st;

	mdb_env_stat(x->env, &st);
	out->entries = st.ms_entries;
	out->bytes = index_used(x);
}
