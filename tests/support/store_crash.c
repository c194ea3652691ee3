/* The table of functions over a crash_state: one lock a disk, held for the whole of a call, so that the steps have an
 * order. A call checks, in this order: power, dead shard, faults, its own arguments; then it makes a step, and there
 * the power may be cut. */
#include "tests/support/store_crash.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/crash_disk.h"

#define CRASH_LOCK_NAME "lock"

static struct crash_unit *crash_unit_of(const struct store *s)
{
	return &s->disk->unit[s->shard];
}

/* ---- what may go wrong with any call ---- */

static int crash_fault_hits(struct crash_disk *d, unsigned shard, enum crash_kind kind)
{
	for (struct crash_fault *f = d->faults; f; f = f->link) {
		if (f->shard != shard || (f->kind != kind && f->kind != CRASH_ANY))
			continue;
		if (f->after > 0) {
			f->after--;
		} else if (f->count > 0) {
			f->count -= f->count != CRASH_FOREVER;
			return f->err;
		}
	}
	return 0;
}

/* @fault (or NULL): out: the error is an injected one, so the call may have had some effect. */
static int crash_enter_shard(struct crash_disk *d, unsigned shard, enum crash_kind kind,
			     bool *fault)
{
	struct crash_unit *u = &d->unit[shard];
	int err;

	u->calls[kind]++;
	if (d->off)
		return -EIO;
	if (u->dead)
		return u->dead;
	err = crash_fault_hits(d, shard, kind);
	if (fault)
		*fault = err != 0;
	return err;
}

static int crash_enter(struct store *s, enum crash_kind kind)
{
	if (s->life != s->disk->life)
		return -EIO;
	return crash_enter_shard(s->disk, s->shard, kind, NULL);
}

/* For calls that change something. */
static int crash_enter_change(struct store *s, enum crash_kind kind)
{
	int err = crash_enter(s, kind);

	return !err && s->rdonly ? -EROFS : err;
}

static int crash_enter_file(struct store_file *f, enum crash_kind kind)
{
	int err = crash_enter(f->store, kind);

	return !err && f->rdonly && kind < CRASH_READ && kind != CRASH_SYNC ? -EBADF : err;
}

/* Do a step, unless the power is cut at it. Takes over the reference. */
static int crash_commit(struct crash_disk *d, struct crash_step *st)
{
	if (d->nr_steps >= d->cut_at) {
		d->off = true;
		d->in_flight = st;
		return -EIO;
	}
	crash_apply(d->state, st);
	if (d->journal)
		crash_journal_add(d->journal, st);
	d->nr_steps++;
	crash_step_put(st);
	return 0;
}

/* ---- names ---- */

static bool crash_component_ok(const char *name, size_t len)
{
	if (len == 0 || len > NAME_MAX)
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

static int crash_find_dir(struct store *s, const char *name, struct crash_inode **out)
{
	struct crash_shard *sh = crash_shard_of(s);
	struct crash_inode *in = crash_inode_find(sh, CRASH_TOP_INO);

	if (name[0])
		in = crash_lookup(sh, in, name);
	if (!in)
		return -ENOENT;
	if (!in->is_dir)
		return -ENOTDIR;
	*out = in;
	return 0;
}

int crash_find_parent(struct store *s, const char *name, struct crash_inode **dir,
		      const char **last)
{
	const char *slash = strchr(name, '/');
	char first[NAME_MAX + 1] = "";

	*last = slash ? slash + 1 : name;
	if (slash) {
		if (!crash_component_ok(name, (size_t)(slash - name)))
			return -EINVAL;
		memcpy(first, name, (size_t)(slash - name));
	}
	if (strchr(*last, '/') || !crash_component_ok(*last, strlen(*last)))
		return -EINVAL;
	return crash_find_dir(s, first, dir);
}

static int crash_create(struct store *s, enum crash_kind kind, struct crash_inode *dir,
			const char *last)
{
	struct crash_step *st =
		crash_step_new(kind, s->shard, MAX(crash_shard_of(s)->next_ino, (uint64_t)2), 0);

	crash_step_key(st, 0, dir->ino, last);
	return crash_commit(s->disk, st);
}

static int crash_mkdir_locked(struct store *s, const char *name)
{
	struct crash_inode *dir, *in;
	const char *last;
	int err = crash_enter_change(s, CRASH_MKDIR);

	if (!err)
		err = crash_find_parent(s, name, &dir, &last);
	if (err)
		return err;
	in = crash_lookup(crash_shard_of(s), dir, last);
	if (in)
		return in->is_dir ? 0 : -ENOTDIR;
	/* No name of the table could reach into a third level. */
	if (dir->ino != CRASH_TOP_INO)
		return -EINVAL;
	return crash_create(s, CRASH_MKDIR, dir, last);
}

static int crash_mkdir(struct store *s, const char *name)
{
	int err;

	lock_take(&s->disk->lock);
	err = crash_mkdir_locked(s, name);
	lock_release(&s->disk->lock);
	return err;
}

static int crash_open_locked(struct store *s, const char *name, unsigned flags,
			     struct crash_inode **out)
{
	bool create = flags & STORE_CREATE;
	struct crash_inode *dir, *in;
	const char *last;
	int err = crash_enter(s, create ? CRASH_CREATE : CRASH_OPEN);

	if (!err)
		err = crash_find_parent(s, name, &dir, &last);
	if (!err && s->rdonly && (create || !(flags & STORE_RDONLY)))
		err = -EROFS;
	if (err)
		return err;
	in = crash_lookup(crash_shard_of(s), dir, last);
	if (in && create)
		return -EEXIST;
	if (!in && create) {
		err = crash_create(s, CRASH_CREATE, dir, last);
		if (err)
			return err;
		in = crash_lookup(crash_shard_of(s), dir, last);
	}
	if (!in)
		return -ENOENT;
	if (in->is_dir)
		return -EISDIR;
	*out = in;
	return 0;
}

static int crash_open(struct store *s, const char *name, unsigned flags, struct store_file **out)
{
	struct crash_disk *d = s->disk;
	struct store_file *f;
	struct crash_inode *in;
	int err;

	lock_take(&d->lock);
	err = crash_open_locked(s, name, flags, &in);
	if (!err) {
		f = crash_alloc(sizeof(*f));
		f->store = s;
		f->inode = in;
		f->rdonly = flags & STORE_RDONLY;
		f->link = d->files;
		d->files = f;
		crash_inode_open(in);
		*out = f;
	}
	lock_release(&d->lock);
	return err;
}

static void crash_close(struct store_file *f)
{
	struct crash_disk *d = f->store->disk;
	struct store_file **at = &d->files;

	lock_take(&d->lock);
	if (f->store->life == d->life) {
		while (*at != f)
			at = &(*at)->link;
		*at = f->link;
		crash_inode_close(crash_shard_of(f->store), f->inode);
	}
	lock_release(&d->lock);
	free(f);
}

static int crash_rename_locked(struct store *s, const char *from, const char *to)
{
	struct crash_inode *from_dir, *to_dir, *in, *old;
	const char *from_last, *to_last;
	struct crash_step *st;
	int err = crash_enter_change(s, CRASH_RENAME);

	if (!err)
		err = crash_find_parent(s, from, &from_dir, &from_last);
	if (!err)
		err = crash_find_parent(s, to, &to_dir, &to_last);
	if (err)
		return err;
	in = crash_lookup(crash_shard_of(s), from_dir, from_last);
	old = crash_lookup(crash_shard_of(s), to_dir, to_last);
	if (!in)
		return -ENOENT;
	if (in == old)
		return 0;
	if (in->is_dir && to_dir->ino != CRASH_TOP_INO)
		return -EINVAL;
	if (old && in->is_dir)
		return old->is_dir ? -ENOTEMPTY : -ENOTDIR;
	if (old && old->is_dir)
		return -EISDIR;
	st = crash_step_new(CRASH_RENAME, s->shard, in->ino, 0);
	crash_step_key(st, 0, from_dir->ino, from_last);
	crash_step_key(st, 1, to_dir->ino, to_last);
	return crash_commit(s->disk, st);
}

static int crash_rename(struct store *s, const char *from, const char *to)
{
	int err;

	lock_take(&s->disk->lock);
	err = crash_rename_locked(s, from, to);
	lock_release(&s->disk->lock);
	return err;
}

static int crash_unlink_locked(struct store *s, const char *name)
{
	struct crash_inode *dir, *in;
	struct crash_step *st;
	const char *last;
	int err = crash_enter_change(s, CRASH_UNLINK);

	if (!err)
		err = crash_find_parent(s, name, &dir, &last);
	if (err)
		return err;
	in = crash_lookup(crash_shard_of(s), dir, last);
	if (!in)
		return -ENOENT;
	if (in->is_dir)
		return -EISDIR;
	st = crash_step_new(CRASH_UNLINK, s->shard, in->ino, 0);
	crash_step_key(st, 0, dir->ino, last);
	return crash_commit(s->disk, st);
}

static int crash_unlink(struct store *s, const char *name)
{
	int err;

	lock_take(&s->disk->lock);
	err = crash_unlink_locked(s, name);
	lock_release(&s->disk->lock);
	return err;
}

static int crash_sync_dir(struct store *s, const char *name)
{
	struct crash_inode *dir;
	int err;

	lock_take(&s->disk->lock);
	err = crash_enter_change(s, CRASH_SYNC_DIR);
	if (!err)
		err = crash_find_dir(s, name, &dir);
	if (!err)
		err = crash_commit(s->disk, crash_step_new(CRASH_SYNC_DIR, s->shard, dir->ino, 0));
	lock_release(&s->disk->lock);
	return err;
}

/* The names are copied, so that the callback may change the directory; and shuffled, since a directory has no order. */
static int crash_list(struct store *s, const char *name, int (*fn)(void *arg, const char *entry),
		      void *arg)
{
	struct crash_disk *d = s->disk;
	struct crash_inode *dir;
	char **names = NULL;
	size_t nr = 0;
	int err;

	lock_take(&d->lock);
	err = crash_enter(s, CRASH_LIST);
	if (!err)
		err = crash_find_dir(s, name, &dir);
	if (!err) {
		names = crash_alloc(dir->names.nr * sizeof(names[0]));
		for (; nr < dir->names.nr; nr++) {
			size_t len = strlen(dir->names.v[nr].name) + 1;
			size_t other = crash_below(&d->rng, nr + 1);

			names[nr] = names[other];
			names[other] = crash_alloc(len);
			memcpy(names[other], dir->names.v[nr].name, len);
		}
	}
	lock_release(&d->lock);
	for (size_t i = 0; i < nr; i++) {
		if (!err)
			err = fn(arg, names[i]);
		free(names[i]);
	}
	free(names);
	return err;
}

/* ---- files ---- */

static int crash_size(struct store_file *f, uint64_t *out)
{
	int err;

	lock_take(&f->store->disk->lock);
	err = crash_enter_file(f, CRASH_SIZE);
	if (!err)
		*out = f->inode->now.size;
	lock_release(&f->store->disk->lock);
	return err;
}

static uint64_t crash_pages_free(const struct store *s)
{
	uint64_t max = crash_unit_of(s)->nr_pages_max, used = crash_shard_of(s)->nr_used;

	return max > used ? max - used : 0;
}

static int crash_data_locked(struct store_file *f, enum crash_kind kind, uint64_t off, uint64_t len)
{
	struct crash_step *st;
	uint64_t end;
	int err = crash_enter_file(f, kind);

	if (err)
		return err;
	if (__builtin_add_overflow(off, len, &end) || end > INT64_MAX)
		return -EFBIG;
	if (kind != CRASH_TRUNCATE && len == 0)
		return 0;
	if (kind == CRASH_ALLOCATE &&
	    crash_map_need(&f->inode->now, off, len) > crash_pages_free(f->store))
		return -ENOSPC;
	st = crash_step_new(kind, f->store->shard, f->inode->ino, 0);
	st->off = off;
	st->len = len;
	return crash_commit(f->store->disk, st);
}

static int crash_data(struct store_file *f, enum crash_kind kind, uint64_t off, uint64_t len)
{
	int err;

	lock_take(&f->store->disk->lock);
	err = crash_data_locked(f, kind, off, len);
	lock_release(&f->store->disk->lock);
	return err;
}

static int crash_allocate(struct store_file *f, uint64_t off, uint64_t len)
{
	return crash_data(f, CRASH_ALLOCATE, off, len);
}

static int crash_punch(struct store_file *f, uint64_t off, uint64_t len)
{
	return crash_data(f, CRASH_PUNCH, off, len);
}

static int crash_truncate(struct store_file *f, uint64_t len)
{
	return crash_data(f, CRASH_TRUNCATE, 0, len);
}

static int crash_seek_data(struct store_file *f, uint64_t off, uint64_t *start, uint64_t *end)
{
	int err;

	lock_take(&f->store->disk->lock);
	err = crash_enter_file(f, CRASH_SEEK);
	if (!err && !crash_map_seek(&f->inode->now, off, start, end))
		err = -ENXIO;
	lock_release(&f->store->disk->lock);
	return err;
}

/* ---- transfers ---- */

static size_t crash_io_len(const struct store_io *io)
{
	size_t len = 0;

	for (unsigned i = 0; i < io->nr_iov; i++)
		len += io->iov[i].iov_len;
	return len;
}

/* A read that fails has made a mess of the memory, so that nobody relies on what was there. */
static int crash_read(const struct store_io *io)
{
	const struct crash_map *m = &io->file->inode->now;
	uint64_t off = io->off, end;
	int err = crash_enter_file(io->file, CRASH_READ);

	if (!err && (__builtin_add_overflow(off, crash_io_len(io), &end) || end > m->size))
		err = -ENODATA;
	for (unsigned i = 0; i < io->nr_iov; i++) {
		if (err)
			memset(io->iov[i].iov_base, 0xdb, io->iov[i].iov_len);
		else
			crash_map_read(m, off, io->iov[i].iov_base, io->iov[i].iov_len);
		off += io->iov[i].iov_len;
	}
	return err;
}

/* The first @len bytes. */
static int crash_write_some(const struct store_io *io, size_t len)
{
	struct store_file *f = io->file;
	struct crash_step *st;
	size_t at = 0;

	if (len == 0)
		return 0;
	st = crash_step_new(CRASH_WRITE, f->store->shard, f->inode->ino, len);
	st->off = io->off;
	st->len = len;
	for (unsigned i = 0; at < len; i++) {
		size_t n = MIN(io->iov[i].iov_len, len - at);

		memcpy(st->data + at, io->iov[i].iov_base, n);
		at += n;
	}
	return crash_commit(f->store->disk, st);
}

/* How much of a write fits on the shard. */
static size_t crash_write_room(const struct store_io *io, size_t len)
{
	const struct crash_map *m = &io->file->inode->now;
	uint64_t left = crash_pages_free(io->file->store);
	size_t at = 0;

	if (crash_map_need(m, io->off, len) <= left)
		return len;
	while (at < len) {
		size_t n = CRASH_PAGE_LEN - (io->off + at) % CRASH_PAGE_LEN;

		if (crash_map_need(m, io->off + at, 1) > left)
			break;
		left -= crash_map_need(m, io->off + at, 1);
		at += n;
	}
	return MIN(at, len);
}

static int crash_write(const struct store_io *io)
{
	struct store_file *f = io->file;
	struct crash_disk *d = f->store->disk;
	size_t len = crash_io_len(io), room;
	bool fault = false;
	uint64_t end;
	int err;

	if (f->rdonly)
		return -EBADF;
	if (__builtin_add_overflow(io->off, len, &end) || end > INT64_MAX)
		return -EFBIG;
	err = crash_enter_shard(d, f->store->shard, CRASH_WRITE, &fault);
	room = crash_write_room(io, len);
	if (fault)
		crash_write_some(io, MIN(room, crash_below(&d->rng, len / CRASH_SECTOR_LEN + 1) *
						       CRASH_SECTOR_LEN));
	if (err)
		return err;
	err = crash_write_some(io, room);
	return !err && room < len ? -ENOSPC : err;
}

static int crash_sync(const struct store_io *io)
{
	struct store_file *f = io->file;
	struct crash_disk *d = f->store->disk;
	bool fault = false;
	int err = crash_enter_shard(d, f->store->shard, CRASH_SYNC, &fault);
	struct crash_step *st;

	if (err && !fault)
		return err;
	st = crash_step_new(fault ? CRASH_SYNC_FAILED : CRASH_SYNC, f->store->shard, f->inode->ino,
			    0);
	st->off = crash_random(&d->rng);
	if (fault) {
		crash_commit(d, st);
		return err;
	}
	return crash_commit(d, st);
}

static int crash_io(const struct store_io *io)
{
	const struct store *s = io->file->store;

	if (s->life != s->disk->life)
		return -EIO;
	if (io->op == STORE_READ)
		return crash_read(io);
	return io->op == STORE_WRITE ? crash_write(io) : crash_sync(io);
}

static int crash_run(const struct store_ops *ops, struct store_io *io, unsigned nr)
{
	int err = 0;

	for (unsigned i = 0; i < nr; i++) {
		struct crash_disk *d = io[i].file->store->disk;

		assert(ops == &d->ops);
		lock_take(&d->lock);
		io[i].res = crash_io(&io[i]);
		lock_release(&d->lock);
		err = err ? err : io[i].res;
	}
	return err;
}

/* ---- stores ---- */

/* The number that @path ends in. */
static bool crash_path_shard(const char *path, unsigned nr_shards, unsigned *out)
{
	const char *at = path + strlen(path);
	unsigned long n;

	while (at > path && at[-1] >= '0' && at[-1] <= '9')
		at--;
	if (!*at)
		return false;
	n = strtoul(at, NULL, 10);
	*out = (unsigned)n;
	return n < nr_shards;
}

static int crash_attach(const struct store_ops *ops, const char *path, bool rdonly,
			struct store **out)
{
	/* The table is the first member of its disk, and was not made const there. */
	struct crash_disk *d = (struct crash_disk *)(uintptr_t)ops;
	struct store *s;
	unsigned shard;
	int err;

	if (!crash_path_shard(path, d->state->nr_shards, &shard))
		return -ENOENT;
	lock_take(&d->lock);
	err = crash_enter_shard(d, shard, CRASH_ATTACH, NULL);
	if (!err) {
		s = crash_alloc(sizeof(*s));
		s->disk = d;
		s->shard = shard;
		s->life = d->life;
		s->rdonly = rdonly;
		d->nr_stores++;
		*out = s;
	}
	lock_release(&d->lock);
	return err;
}

static void crash_detach(struct store *s)
{
	struct crash_disk *d = s->disk;
	struct crash_unit *u = crash_unit_of(s);

	lock_take(&d->lock);
	if (s->locked && s->life == d->life) {
		if (u->writer == s)
			u->writer = NULL;
		else
			u->nr_readers--;
	}
	d->nr_stores--;
	lock_release(&d->lock);
	free(s);
}

static int crash_alive(struct store *s)
{
	struct crash_disk *d = s->disk;
	bool gone;
	int dead;

	lock_take(&d->lock);
	dead = crash_unit_of(s)->dead;
	gone = d->off || s->life != d->life || dead == -ENODEV || dead == -ENOENT;
	lock_release(&d->lock);
	return gone ? -ENODEV : 0;
}

static int crash_probe(struct store *s)
{
	int err;

	lock_take(&s->disk->lock);
	err = crash_enter_change(s, CRASH_PROBE);
	lock_release(&s->disk->lock);
	return err;
}

static int crash_lock_locked(struct store *s, bool exclusive, const char *owner, char *other,
			     size_t other_len)
{
	struct crash_unit *u = crash_unit_of(s);
	struct crash_inode *top = crash_inode_find(crash_shard_of(s), CRASH_TOP_INO);
	int err = crash_enter(s, CRASH_LOCK);

	if (err)
		return err;
	if (s->locked)
		return -EALREADY;
	if (exclusive && s->rdonly)
		return -EROFS;
	if (!crash_lookup(crash_shard_of(s), top, CRASH_LOCK_NAME)) {
		if (s->rdonly)
			return 0;
		err = crash_create(s, CRASH_CREATE, top, CRASH_LOCK_NAME);
		if (err)
			return err;
	}
	if (u->writer || (exclusive && u->nr_readers)) {
		snprintf(other, other_len, "%s", u->writer ? u->owner : "a read-only mount");
		return -EBUSY;
	}
	s->locked = true;
	if (exclusive) {
		u->writer = s;
		snprintf(u->owner, sizeof(u->owner), "%s", owner);
	} else {
		u->nr_readers++;
	}
	return 0;
}

static int crash_lock(struct store *s, bool exclusive, const char *owner, char *other,
		      size_t other_len)
{
	int err;

	lock_take(&s->disk->lock);
	err = crash_lock_locked(s, exclusive, owner, other, other_len);
	lock_release(&s->disk->lock);
	return err;
}

static int crash_space(struct store *s, struct store_space *out)
{
	int err;

	lock_take(&s->disk->lock);
	err = crash_enter(s, CRASH_SPACE);
	if (!err)
		*out = (struct store_space){
			.total = crash_unit_of(s)->nr_pages_max * CRASH_PAGE_LEN,
			.avail = crash_pages_free(s) * CRASH_PAGE_LEN,
			.dev = s->shard + 1,
		};
	lock_release(&s->disk->lock);
	return err;
}

/* ---- disks ---- */

static const struct store_ops crash_table = {
	.name = "crash",
	.attach = crash_attach,
	.detach = crash_detach,
	.alive = crash_alive,
	.probe = crash_probe,
	.lock = crash_lock,
	.space = crash_space,
	.mkdir = crash_mkdir,
	.open = crash_open,
	.close = crash_close,
	.rename = crash_rename,
	.unlink = crash_unlink,
	.sync_dir = crash_sync_dir,
	.list = crash_list,
	.size = crash_size,
	.allocate = crash_allocate,
	.punch = crash_punch,
	.truncate = crash_truncate,
	.seek_data = crash_seek_data,
	.run = crash_run,
};

struct crash_disk *crash_disk_from(struct crash_state *state, uint64_t seed)
{
	struct crash_disk *d = crash_alloc(sizeof(*d));

	_Static_assert(offsetof(struct crash_disk, ops) == 0, "attach() finds the disk by it");
	d->ops = crash_table;
	lock_init(&d->lock);
	d->state = state;
	d->unit = crash_alloc(state->nr_shards * sizeof(d->unit[0]));
	for (unsigned i = 0; i < state->nr_shards; i++)
		d->unit[i].nr_pages_max = 1024 * GIB / CRASH_PAGE_LEN;
	d->cut_at = UINT64_MAX;
	d->rng = seed;
	return d;
}
