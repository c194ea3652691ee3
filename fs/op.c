/* One change of metadata: all of it or nothing. */
#include "fs/op.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"
#include "conf/log.h"
#include "fs/commit.h"
#include "fs/writeback.h"

static void op_init(struct op *op, struct fs *fs)
{
	*op = (struct op){.fs = fs, .cap = OP_INODES};
	op->edit = op->few;
}

static int op_begin_txn(struct op *op)
{
	int err = index_begin(op->fs->index, &op->txn);

	if (err)
		log_error("index: %s: the local disk under the state directory %s cannot take "
			  "more; free space there",
			  strerror(-err), op->fs->p.state_dir);
	return err;
}

int op_begin(struct op *op, struct fs *fs)
{
	int err;

	op_init(op, fs);
	/* From the start, or since too few shards are left. */
	if (raid_readonly(fs->raid))
		return -EROFS;
	err = commit_admit(fs);
	if (err)
		return err;
	op->txg = commit_enter(fs);
	err = op_begin_txn(op);
	if (err)
		commit_leave(fs);
	return err;
}

/* Metadata is small and has a reserve on every shard, but what only ever adds to it would use that up. */
#define GROW_LEN (2 * BLOCK_LEN)

static int op_room(struct fs *fs)
{
	int err = raid_reserve(fs->raid, GROW_LEN);

	if (!err)
		raid_unreserve(fs->raid, GROW_LEN);
	return err;
}

int op_begin_grow(struct op *op, struct fs *fs)
{
	struct raid_space space;
	int err = op_room(fs);

	/* What was freed comes back with a commit, and what was promised takes less once it is written. */
	for (unsigned i = 0; err == -ENOSPC && i < 2 && !raid_readonly(fs->raid); i++) {
		if (commit_wait_freed(fs))
			break;
		err = op_room(fs);
	}
	/* A promise may be refused for a moment, as when a shard has just left: only a volume that is full says so. */
	if (err == -ENOSPC && !raid_space(fs->raid, &space) && space.avail >= MIB)
		err = 0;
	/* With too few shards left, that is what is wrong, not the room on them. */
	return err == -ENOSPC && !raid_readonly(fs->raid) ? err : op_begin(op, fs);
}

int op_begin_flush(struct op *op, struct fs *fs, uint64_t txg, unsigned nr)
{
	int err;

	op_init(op, fs);
	op->txg = txg;
	op->for_commit = true;
	if (nr > OP_INODES) {
		op->edit = calloc(nr, sizeof(*op->edit));
		op->cap = nr;
		if (!op->edit)
			return -ENOMEM;
	}
	err = op_begin_txn(op);
	if (err && op->edit != op->few)
		free(op->edit);
	return err;
}

struct attr *op_edit(struct op *op, struct inode *in) NO_LOCK_CHECK
{
	struct op_inode *e;

	for (unsigned i = 0; i < op->nr; i++)
		if (op->edit[i].inode == in)
			return &op->edit[i].next;
	assert(op->nr < op->cap);
	lock_take(&in->lock);
	e = &op->edit[op->nr++];
	*e = (struct op_inode){.inode = in, .next = in->attr};
	return &e->next;
}

void op_edit_gone(struct op *op, struct inode *in)
{
	for (unsigned i = 0; i < op->nr; i++)
		if (op->edit[i].inode == in)
			op->edit[i].skip_put = true;
}

int op_free_stripe(struct op *op, const struct stripe_loc *loc, bool late)
{
	struct op_freed *f = late ? &op->freed_late : &op->freed;

	if (f->nr == f->cap) {
		unsigned cap = MAX(16u, f->cap * 2);
		struct stripe_loc *p = realloc(f->loc, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		f->loc = p;
		f->cap = cap;
	}
	f->loc[f->nr++] = *loc;
	return 0;
}

bool op_is_late(const struct op *op)
{
	return op->for_commit && op->txg != commit_open_txg(op->fs);
}

int op_refer(struct op *op, uint64_t gen, int change)
{
	if (op_is_late(op) || !commit_unflushed(op->fs))
		return 0;
	if (op->nr_refer == op->cap_refer) {
		unsigned cap = MAX(16u, op->cap_refer * 2);
		struct op_refer *p = realloc(op->refer, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		op->refer = p;
		op->cap_refer = cap;
	}
	op->refer[op->nr_refer++] = (struct op_refer){gen, change};
	return 0;
}

void op_trim(struct op *op, struct inode *in, uint64_t off, uint64_t len)
{
	op->trim = in;
	op->trim_off = off;
	op->trim_len = len;
}

/* A flush records nothing of the attributes: its group may be closed already and must not learn of sizes, times and
 * modes that are newer. What it changed (attr.mapped) goes with the next freeze. */
static int op_put_attrs(struct op *op)
{
	uint8_t buf[ATTR_LEN];

	if (op->for_commit)
		return 0;
	for (unsigned i = 0; i < op->nr; i++) {
		struct key key = key_plain(op->edit[i].inode->ino, KEY_ATTR);
		int err;

		if (op->edit[i].skip_put)
			continue;
		attr_put(&op->edit[i].next, buf);
		err = index_put(op->txn, &key, buf, sizeof(buf));
		if (err)
			return err;
	}
	return 0;
}

static void op_publish(struct op *op) NO_LOCK_CHECK
{
	struct fs_counters *n = &op->fs->n;

	for (unsigned i = 0; i < op->nr; i++) {
		struct inode *in = op->edit[i].inode;

		in->attr = op->edit[i].next;
		if (op->for_commit)
			commit_dirty_inode(in);
		else
			in->change_txg = op->txg;
	}
	for (struct window *w = op->flushed; w; w = w->batch)
		writeback_flushed(w);
	if (op->trim)
		writeback_trim(op->trim, op->trim_off, op->trim_len);
	atomic_fetch_add(&n->nr_inodes, (uint64_t)op->d_inodes);
	atomic_fetch_add(&n->logical, (uint64_t)op->d_logical);
	atomic_fetch_add(&n->raw_live, (uint64_t)op->d_raw);
	atomic_fetch_add(&n->stored_live, (uint64_t)op->d_stored);
	atomic_fetch_add(&n->nr_extents, (uint64_t)op->d_extents);
}

static void op_release(struct op *op) NO_LOCK_CHECK
{
	while (op->nr)
		lock_release(&op->edit[--op->nr].inode->lock);
	if (!op->for_commit)
		commit_leave(op->fs);
	if (op->edit != op->few)
		free(op->edit);
	free(op->freed.loc);
	free(op->freed_late.loc);
	free(op->refer);
	op->freed = op->freed_late = (struct op_freed){0};
	op->refer = NULL;
}

int op_end(struct op *op, int err)
{
	if (!err)
		err = op_put_attrs(op);
	if (!err)
		err = commit_freed_room(op->fs, op->txg, op->freed.nr);
	if (!err)
		err = commit_freed_room(op->fs, commit_open_txg(op->fs), op->freed_late.nr);
	if (!err)
		err = commit_refer_room(op->fs, op->nr_refer);
	if (err) {
		index_abort(op->txn);
		op_release(op);
		return err;
	}
	/* Which lists the records go to is decided before the transaction's lock is dropped: a freeze swaps the lists
	 * inside a transaction of its own. */
	err = index_commit_keep(op->txn, commit_records(op->fs, op->txg));
	if (!err) {
		commit_freed(op->fs, op->txg, op->freed.loc, op->freed.nr);
		commit_freed(op->fs, commit_open_txg(op->fs), op->freed_late.loc,
			     op->freed_late.nr);
		commit_refer(op->fs, op->refer, op->nr_refer);
		commit_grown(op->fs);
	}
	index_unlock(op->fs->index);
	if (err)
		log_error("index: %s: a change could not be stored in %s", strerror(-err),
			  op->fs->p.state_dir);
	else
		op_publish(op);
	op_release(op);
	return err;
}
