/* Names removed, and what is left without one.
 *
 * An inode's last name takes its records with it in the same op when nobody has it open, none of its bytes are dirty
 * and its map is short. Else it becomes an orphan: KEY_ORPHAN says so until name_reclaim() has taken its extents, in
 * ops of bounded size, and in the last one its records. A crash at any point leaves it with its name, as an orphan that
 * the next mount reclaims, or gone. */
#include "conf/base.h"
#include "conf/log.h"
#include "fs/extent.h"
#include "fs/name_impl.h"
#include "fs/writeback.h"
#include "fs/xattr.h"

/* Map entries that one op gives up: about a gibibyte of full extents, and a transaction that stays well below the room
 * the index keeps for one (some 100 bytes of records each). */
#define NAME_RECLAIM_ENTRIES 1024

/* ---- reclaim ---- */

/* *end: behind the first NAME_RECLAIM_ENTRIES entries of the map. *whole: there are no more. */
static int name_reclaim_span(struct index_txn *t, uint64_t ino, uint64_t *end, bool *whole)
{
	struct map_entry e;
	unsigned nr = 0;
	int err = extent_find(t, ino, 0, &e);

	*end = 0;
	while (!err && nr++ < NAME_RECLAIM_ENTRIES) {
		*end = e.off + e.len;
		err = extent_after(t, ino, &e, &e);
	}
	*whole = err == -ENOENT;
	return err == -ENOENT ? 0 : err;
}

static int name_del(struct op *op, struct key key)
{
	int err = index_del(op->txn, &key);

	return err == -ENOENT ? 0 : err;
}

/* Every record but those of data. */
static int name_del_records(struct op *op, struct inode *in)
{
	int err = name_del(op, key_plain(in->ino, KEY_ATTR));

	if (!err)
		err = name_del(op, key_plain(in->ino, KEY_INLINE));
	if (!err)
		err = name_del(op, key_number(0, KEY_ORPHAN, in->ino));
	if (!err)
		err = xattr_drop(op, in->ino);
	if (err)
		return err;
	op_edit_gone(op, in);
	op->d_inodes--;
	return 0;
}

/* Up to @end, or all of it and the records. */
static int name_reclaim_part(struct op *op, struct inode *in, const struct attr *a, uint64_t end,
			     bool whole)
{
	int err = 0;

	/* Inline bytes are mapped, too, but have no entry. */
	if (S_ISREG(a->mode) && whole && (end || a->mapped))
		err = extent_punch(op, in, 0, MAX(end, (uint64_t)INLINE_MAX));
	else if (!whole)
		err = extent_punch(op, in, 0, end);
	if (!err && whole)
		err = name_del_records(op, in);
	return err;
}

static int name_reclaim_step(struct inode *in, bool *done)
{
	uint64_t end = 0;
	struct attr *a;
	struct op op;
	int err = op_begin(&op, in->fs);

	if (err)
		return err;
	a = op_edit(&op, in);
	err = name_reclaim_span(op.txn, in->ino, &end, done);
	if (!err)
		err = name_reclaim_part(&op, in, a, end, *done);
	return op_end(&op, err);
}

/* From here on it is gone for everybody else: an open that comes by number would see half a file. */
static bool name_claim(struct inode *in)
{
	bool mine;

	lock_take(&in->lock);
	mine = in->attr.nlink == 0 && in->nr_open == 0 && !in->gone && !inode_known(in);
	if (mine)
		in->gone = true;
	lock_release(&in->lock);
	return mine;
}

static void name_unclaim(struct inode *in)
{
	lock_take(&in->lock);
	in->gone = false;
	lock_release(&in->lock);
}

/* Bytes of a closed group are written although nobody will read them; where that failed they are tried again, and must
 * not find the inode without its records then. */
static int name_drop_dirty(struct inode *in)
{
	int err = 0;

	writeback_drop(in, 0);
	lock_take(&in->lock);
	for (unsigned i = 0; i < in->nr_windows; i++)
		if (in->windows[i]->dirty.nr)
			err = -EIO;
	lock_release(&in->lock);
	return err;
}

int name_reclaim(struct inode *in)
{
	bool done = false;
	int err;

	if (!name_claim(in))
		return 0;
	err = name_drop_dirty(in);
	while (!err && !done)
		err = name_reclaim_step(in, &done);
	/* It stays an orphan: the next call, or the next mount, goes on. */
	if (err)
		name_unclaim(in);
	return err;
}

/* ---- links ---- */

/* In the op that takes the last name: *done is false when that is not to be had here. */
static int name_reclaim_here(struct op *op, struct inode *in, struct attr *a, bool *done)
{
	uint64_t end = 0;
	int err = 0;

	*done = false;
	if (in->nr_open || in->nr_windows || inode_known(in))
		return 0;
	*done = true;
	if (S_ISREG(a->mode))
		err = name_reclaim_span(op->txn, in->ino, &end, done);
	if (err || !*done)
		return err;
	err = name_reclaim_part(op, in, a, end, true);
	if (!err)
		in->gone = true; /* name_link_dropped() takes it back should the op fail */
	return err;
}

int name_drop_link(struct op *op, struct inode *in, struct attr *a, const struct timespec *now)
{
	struct key orphan = key_number(0, KEY_ORPHAN, in->ino);
	bool done;
	int err;

	a->ctime = *now;
	a->nlink = S_ISDIR(a->mode) ? 0 : a->nlink - 1;
	if (a->nlink)
		return 0;
	err = name_reclaim_here(op, in, a, &done);
	if (err || done)
		return err;
	return index_put(op->txn, &orphan, "", 0);
}

void name_link_dropped(struct inode *in, int err)
{
	if (err) {
		lock_take(&in->lock);
		if (in->attr.nlink)
			in->gone = false;
		lock_release(&in->lock);
		return;
	}
	err = name_reclaim(in);
	if (err)
		log_warn("inode %llu has no name and its space could not be given back yet: %s",
			 (unsigned long long)in->ino, strerror(-err));
}

/* ---- unlink and rmdir ---- */

static int name_remove_in(struct op *op, struct inode *dir, struct name name, bool want_dir,
			  struct inode **child)
{
	struct timespec now = inode_now();
	struct attr *a, *d;
	struct dentry entry;
	int err = name_edit_dir(op, dir, &d);

	if (!err)
		err = dentry_find(op->txn, dir->ino, name, &entry);
	if (err)
		return err;
	if (S_ISDIR(entry.type) != want_dir)
		return want_dir ? -ENOTDIR : -EISDIR;
	err = name_edit_child(op, &entry, child, &a);
	if (err)
		return err;
	if (want_dir && a->size)
		return -ENOTEMPTY;
	err = dentry_erase(op->txn, dir->ino, name, &entry);
	if (err)
		return err;
	name_dir_changed(d, -1, want_dir ? -1 : 0, &now);
	return name_drop_link(op, *child, a, &now);
}

static int name_remove(struct fs *fs, uint64_t parent, struct name name, bool want_dir)
{
	struct inode *dir, *child = NULL;
	struct op op;
	int err = name_check(name);

	if (!err)
		err = inode_get(fs, NULL, parent, &dir);
	if (err)
		return err;
	err = op_begin(&op, fs);
	if (!err)
		err = op_end(&op, name_remove_in(&op, dir, name, want_dir, &child));
	if (child) {
		name_link_dropped(child, err);
		inode_put(child);
	}
	inode_put(dir);
	return err;
}

int name_unlink(struct fs *fs, uint64_t parent, struct name name)
{
	return name_is_dots(name) ? -EISDIR : name_remove(fs, parent, name, false);
}

int name_rmdir(struct fs *fs, uint64_t parent, struct name name)
{
	if (name_is_dots(name))
		return name.len == 1 ? -EINVAL : -ENOTEMPTY;
	return name_remove(fs, parent, name, true);
}
