/* Files of batches on one shard.
 *
 * Making a file, and what a crash after each step leaves:
 *   1. open with STORE_CREATE    nothing, or an empty file: the next open of the volume deletes it
 *   2. allocate, sync_dir        an empty file
 *   3. write and sync a batch    the batch, or a torn one, which is dropped when no shard has it whole */
#include "raid/shardlog.h"

#include <stdio.h>
#include <string.h>

#include "conf/base.h"
#include "conf/log.h"
#include "raid/space.h"

#define FILE_LEN_MAX (8 * MIB)
#define FILE_LEN_MIN (256 * KIB)

void shardlog_name(char buf[SHARDLOG_NAME_LEN], const char *dir, uint64_t seq)
{
	snprintf(buf, SHARDLOG_NAME_LEN, "%s/%016llx", dir, (unsigned long long)seq);
}

bool shardlog_name_parse(const char *name, uint64_t *seq)
{
	uint64_t n = 0;

	if (strlen(name) != 16)
		return false;
	for (unsigned i = 0; i < 16; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c >= '0' && c <= '9')
			n = n << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*seq = n;
	return true;
}

void shardlog_init(struct shardlog *l, struct shard *s)
{
	*l = (struct shardlog){.shard = s};
}

static void shardlog_close_cur(struct shardlog *l)
{
	if (l->cur)
		l->shard->raid->ops->close(l->cur);
	l->cur = NULL;
}

void shardlog_fini(struct shardlog *l)
{
	shardlog_close_cur(l);
	free(l->file);
	l->file = NULL;
	l->nr = l->cap = 0;
}

/* ---- the table of files ---- */

/* The last file whose name is at most @seq, or NULL. */
static struct shardlog_file *file_at_most(struct shardlog *l, uint64_t seq)
{
	struct shardlog_file *best = NULL;

	for (unsigned i = 0; i < l->nr && l->file[i].first <= seq; i++)
		best = &l->file[i];
	return best;
}

static int file_insert(struct shardlog *l, uint64_t first)
{
	unsigned at = l->nr;

	if (l->nr == l->cap) {
		unsigned cap = l->cap ? 2 * l->cap : 16;
		struct shardlog_file *p = realloc(l->file, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->file = p;
		l->cap = cap;
	}
	while (at > 0 && l->file[at - 1].first > first)
		at--;
	memmove(l->file + at + 1, l->file + at, (l->nr - at) * sizeof(*l->file));
	l->file[at] = (struct shardlog_file){.first = first};
	l->nr++;
	return 0;
}

static void file_remove(struct shardlog *l, unsigned at)
{
	memmove(l->file + at, l->file + at + 1, (l->nr - at - 1) * sizeof(*l->file));
	l->nr--;
}

static int file_open(struct shardlog *l, uint64_t first, unsigned flags, struct store_file **out)
{
	char name[SHARDLOG_NAME_LEN];

	shardlog_name(name, "log", first);
	return l->shard->raid->ops->open(l->shard->store, name, flags, out);
}

static int file_unlink(struct shardlog *l, uint64_t first)
{
	char name[SHARDLOG_NAME_LEN];

	shardlog_name(name, "log", first);
	return l->shard->raid->ops->unlink(l->shard->store, name);
}

uint64_t shardlog_bytes(const struct shardlog *l)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < l->nr; i++)
		sum += MAX(l->file[i].end, l->file[i].alloc);
	return sum;
}

/* ---- reading ---- */

static int list_entry(void *arg, const char *entry)
{
	struct shardlog *l = arg;
	uint64_t first;

	return shardlog_name_parse(entry, &first) && first > 0 ? file_insert(l, first) : 0;
}

static int store_read(const struct store_ops *ops, struct store_file *f, uint64_t off, void *buf,
		      size_t len)
{
	struct iovec iov = {buf, len};
	struct store_io io = {.op = STORE_READ, .file = f, .iov = &iov, .nr_iov = 1, .off = off};

	return ops->run(ops, &io, 1);
}

struct scan {
	struct shardlog *log;
	struct chain *chain;
	struct store_file *f;
	unsigned file; /* index */
};

static int scan_read(void *arg, uint64_t off, uint8_t *buf, size_t len)
{
	struct scan *s = arg;
	int err = store_read(s->log->shard->raid->ops, s->f, off, buf, len);

	if (err == -EIO || err == -EILSEQ || err == -ENODATA) {
		s->log->nr_bad++;
		err = -EIO;
	}
	return err;
}

static int scan_found(void *arg, const struct batch *b, uint64_t off)
{
	struct scan *s = arg;
	struct shardlog_file *f = &s->log->file[s->file];
	const struct chain_entry e = {
		.b = *b, .shard = (uint8_t)s->log->shard->idx, .file = f->first, .off = off};

	f->end = off + batch_blocks_len(b);
	f->alloc = f->end;
	f->last = MAX(f->last, b->seq);
	return chain_add(s->chain, &e);
}

static int scan_file(struct shardlog *l, unsigned idx, struct chain *c)
{
	const struct store_ops *ops = l->shard->raid->ops;
	struct scan s = {.log = l, .chain = c, .file = idx};
	struct batch_scan scan = {
		.uuid = l->shard->raid->uuid, .read = scan_read, .found = scan_found, .arg = &s};
	int err = file_open(l, l->file[idx].first, STORE_RDONLY, &s.f);

	if (err)
		return err;
	err = ops->size(s.f, &scan.size);
	if (!err)
		err = batch_scan(&scan);
	ops->close(s.f);
	return err;
}

static void choose_file_len(struct shardlog *l)
{
	struct store_space space;

	l->file_len = FILE_LEN_MAX;
	if (!l->shard->raid->ops->space(l->shard->store, &space))
		l->file_len = MIN(l->file_len, round_down(space.total / 512, BLOCK_LEN));
	l->file_len = MAX(l->file_len, (uint64_t)FILE_LEN_MIN);
}

int shardlog_scan(struct shardlog *l, uint64_t from, struct chain *c)
{
	int err;

	shardlog_fini(l);
	choose_file_len(l);
	err = l->shard->raid->ops->list(l->shard->store, "log", list_entry, l);
	if (err == -ENOENT)
		err = 0; /* a shard that never had one */
	for (unsigned i = 0; !err && i < l->nr; i++) {
		/* A file before one that begins at or before @from has nothing for us. */
		if (i + 1 < l->nr && l->file[i + 1].first <= from)
			continue;
		err = scan_file(l, i, c);
	}
	return err;
}

int shardlog_read(struct shardlog *l, const struct chain_entry *e, uint8_t **buf, size_t *cap)
{
	const struct store_ops *ops = l->shard->raid->ops;
	struct store_file *f;
	struct batch b;
	int err;

	if (*cap < e->b.len) {
		uint8_t *p = realloc(*buf, e->b.len);

		if (!p)
			return -ENOMEM;
		*buf = p;
		*cap = e->b.len;
	}
	err = file_open(l, e->file, STORE_RDONLY, &f);
	if (err)
		return err;
	err = store_read(ops, f, e->off, *buf, e->b.len);
	ops->close(f);
	if (!err)
		err = batch_decode(*buf, e->b.len, &b);
	if (!err && (b.sum != e->b.sum || !batch_payload_ok(&b, *buf + BATCH_HEAD_LEN)))
		err = -EBADMSG;
	return err;
}

/* ---- writing ---- */

static const uint8_t zeros[BLOCK_LEN];

/* One batch and its padding. */
static int put_batch(struct shardlog *l, struct store_file *f, uint64_t off, const uint8_t *buf,
		     size_t len)
{
	const struct store_ops *ops = l->shard->raid->ops;
	struct iovec iov[2] = {{(void *)(uintptr_t)buf, len},
			       {(void *)(uintptr_t)zeros, round_up(len, BLOCK_LEN) - len}};
	struct store_io io = {.op = STORE_WRITE,
			      .file = f,
			      .iov = iov,
			      .nr_iov = iov[1].iov_len ? 2 : 1,
			      .off = off};

	return ops->run(ops, &io, 1);
}

static int sync_file(struct shardlog *l, struct store_file *f)
{
	const struct store_ops *ops = l->shard->raid->ops;
	struct store_io io = {.op = STORE_SYNC, .file = f};

	return ops->run(ops, &io, 1);
}

int shardlog_heal_end(struct shardlog *l, struct shardlog_place *at)
{
	const struct store_ops *ops = l->shard->raid->ops;
	struct store_file *f;
	int err;

	if (!at->dirty)
		return 0;
	err = file_open(l, at->dirty, 0, &f);
	if (err)
		return err;
	err = sync_file(l, f);
	ops->close(f);
	at->dirty = 0;
	return err ? err : ops->sync_dir(l->shard->store, "log");
}

/* A new file for what comes from @seq on. */
static int place_new(struct shardlog *l, struct shardlog_place *at, uint64_t seq)
{
	struct store_file *f;
	int err = file_open(l, seq, STORE_CREATE, &f);

	if (err)
		return err;
	l->shard->raid->ops->close(f);
	at->file = seq;
	at->off = 0;
	at->end = UINT64_MAX;
	return file_insert(l, seq);
}

/* Find where @seq of this shard must have been: behind the batches before it and before those after it. */
static int place_find(struct shardlog *l, const struct chain *c, struct shardlog_place *at,
		      uint64_t seq, uint64_t len)
{
	struct shardlog_file *f = file_at_most(l, seq);

	if (!f)
		return place_new(l, at, seq);
	at->file = f->first;
	at->off = 0;
	at->end = UINT64_MAX;
	for (size_t i = 0; i < c->nr_entries; i++) {
		const struct chain_entry *e = &c->entry[i];

		if (e->shard == l->shard->idx && e->file == f->first && e->b.seq < seq)
			at->off = MAX(at->off, e->off + batch_blocks_len(&e->b));
	}
	for (size_t i = 0; i < c->nr_entries; i++) {
		const struct chain_entry *e = &c->entry[i];

		if (e->shard == l->shard->idx && e->file == f->first && e->off >= at->off)
			at->end = MIN(at->end, e->off);
	}
	if (at->end == UINT64_MAX)
		at->off = MAX(at->off, f->end);
	if (at->end - at->off >= len)
		return 0;
	return f->first < seq ? place_new(l, at, seq) : -EIO;
}

int shardlog_heal(struct shardlog *l, const struct chain *c, struct shardlog_place *at,
		  uint64_t seq, const uint8_t *buf, size_t len)
{
	const struct store_ops *ops = l->shard->raid->ops;
	uint64_t blocks = round_up(len, BLOCK_LEN);
	struct shardlog_file *file;
	struct store_file *f;
	int err = 0;

	shardlog_close_cur(l);
	file = file_at_most(l, seq);
	if (at->seq && at->seq == seq - 1 && file && file->first == at->file) {
		/* Behind the one before it, unless the file gets too long or the gap was too short. */
		bool full = at->end == UINT64_MAX && at->off + blocks > l->file_len;

		if (full || at->end - at->off < blocks)
			err = place_new(l, at, seq);
	} else {
		err = place_find(l, c, at, seq, blocks);
	}
	if (!err && at->dirty && at->dirty != at->file)
		err = shardlog_heal_end(l, at);
	if (!err)
		err = file_open(l, at->file, 0, &f);
	if (err)
		return err;
	if (at->end == UINT64_MAX)
		err = ops->truncate(f, at->off);
	if (!err)
		err = put_batch(l, f, at->off, buf, len);
	ops->close(f);
	if (err)
		return err;
	at->dirty = at->file;
	at->seq = seq;
	at->off += blocks;
	file = file_at_most(l, at->file);
	file->end = MAX(file->end, at->off);
	file->alloc = MAX(file->alloc, file->end);
	file->last = MAX(file->last, seq);
	return 0;
}

int shardlog_tidy(struct shardlog *l)
{
	const struct store_ops *ops = l->shard->raid->ops;
	struct shardlog_file *f;
	bool removed = false;
	uint64_t size;
	int err = 0;

	shardlog_close_cur(l);
	for (unsigned i = 0; !err && i < l->nr;) {
		if (l->file[i].last) {
			i++;
			continue;
		}
		err = file_unlink(l, l->file[i].first);
		file_remove(l, i);
		removed = true;
	}
	if (!err && removed)
		err = ops->sync_dir(l->shard->store, "log");
	if (err || !l->nr)
		return err;
	f = &l->file[l->nr - 1];
	err = file_open(l, f->first, 0, &l->cur);
	if (!err)
		err = ops->size(l->cur, &size);
	if (!err && size > f->end) {
		err = ops->truncate(l->cur, f->end);
		if (!err)
			err = sync_file(l, l->cur);
	}
	/* Where that cannot be had the next append begins a new file, or says -ENOSPC. */
	if (!err && f->end < l->file_len && !ops->allocate(l->cur, f->end, l->file_len - f->end))
		f->alloc = l->file_len;
	return err;
}

/* Space for @len bytes in the empty file @f; for more, up to a whole file, where that is to be had. */
static int allocate_file(struct shardlog *l, struct store_file *f, uint64_t len, uint64_t *alloc)
{
	uint64_t want = MAX(l->file_len, len);

	for (;;) {
		int err = l->shard->raid->ops->allocate(f, 0, want);

		*alloc = want;
		if (err == -EOPNOTSUPP)
			return 0;
		if (err != -ENOSPC || want == len)
			return err;
		want = MAX(round_down(want / 2, BLOCK_LEN), len);
	}
}

static int begin_file(struct shardlog *l, uint64_t seq, uint64_t len)
{
	const struct store_ops *ops = l->shard->raid->ops;
	struct store_file *f;
	uint64_t alloc;
	int err = file_open(l, seq, STORE_CREATE, &f);

	/* Left by an attempt that failed half-way; no batch of ours is in it, or its name would be in the table. */
	if (err == -EEXIST) {
		err = file_unlink(l, seq);
		err = err ? err : file_open(l, seq, STORE_CREATE, &f);
	}
	if (err)
		return err;
	err = allocate_file(l, f, len, &alloc);
	if (l->shard->raid->space)
		space_stale(l->shard->raid);
	if (!err)
		err = ops->sync_dir(l->shard->store, "log");
	if (!err)
		err = file_insert(l, seq);
	if (err) {
		ops->close(f);
		file_unlink(l, seq);
		return err;
	}
	shardlog_close_cur(l);
	l->cur = f;
	l->file[l->nr - 1].alloc = alloc;
	return 0;
}

int shardlog_room(struct shardlog *l, uint64_t seq, uint64_t len)
{
	const struct shardlog_file *f = l->nr ? &l->file[l->nr - 1] : NULL;

	if (l->cur && f->end + len <= f->alloc)
		return 0;
	/* A batch that is written again after a vote goes behind itself even so: a file of its name is there. */
	if (l->cur && f->first == seq)
		return 0;
	return begin_file(l, seq, len);
}

void shardlog_wrote(struct shardlog *l, uint64_t seq, uint64_t len)
{
	struct shardlog_file *f = &l->file[l->nr - 1];

	f->end += len;
	f->alloc = MAX(f->alloc, f->end);
	f->last = MAX(f->last, seq);
}

void shardlog_cut(struct shardlog *l, uint64_t seq)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < l->nr; i++) {
		bool last = i + 1 == l->nr;
		int err = 0;

		if (!last && l->file[i].last < seq)
			err = file_unlink(l, l->file[i].first);
		if (last || l->file[i].last >= seq || (err && err != -ENOENT))
			l->file[kept++] = l->file[i];
	}
	l->nr = kept;
}

int shardlog_drop(struct shardlog *l)
{
	int err = 0;

	shardlog_close_cur(l);
	while (!err && l->nr) {
		err = file_unlink(l, l->file[l->nr - 1].first);
		if (err == -ENOENT)
			err = 0;
		if (!err)
			l->nr--;
	}
	return err ? err : l->shard->raid->ops->sync_dir(l->shard->store, "log");
}
