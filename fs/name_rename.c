/* Rename, in one op whatever it takes: replace, exchange, move of directories.
 *
 * A name that stays keeps its cookie, also when it comes to lead to another inode, so that a listing under way shows it
 * exactly once; the new name of what moved gets a new one. All renames run one after the other (the op holds the
 * index's write transaction), so the walk up the tree sees no directory move. */
#include <linux/fs.h>

#include "conf/log.h"
#include "fs/name_impl.h"

/* Of a walk up the tree: a deeper one goes round in a damaged index. */
#define NAME_DEPTH_MAX (1u << 24)

/* One of the two names. */
struct rename_side {
	struct inode *dir; /* borrowed */
	struct attr *dir_attr;
	struct name name;
	bool found;
	struct dentry entry;
	struct inode *child; /* referenced, or NULL */
	struct attr *attr;
};

struct rename_job {
	struct op op;
	struct rename_side from, to;
	bool noreplace, exchange;
	struct timespec now;
};

/* ---- checks ---- */

static int rename_find(struct rename_job *r, struct rename_side *s)
{
	int err = name_edit_dir(&r->op, s->dir, &s->dir_attr);

	if (!err)
		err = dentry_find(r->op.txn, s->dir->ino, s->name, &s->entry);
	s->found = !err;
	return err;
}

static int rename_find_both(struct rename_job *r)
{
	int err = rename_find(r, &r->from);

	if (err)
		return err;
	err = rename_find(r, &r->to);
	if (!err)
		return r->noreplace ? -EEXIST : 0;
	/* The edit of a directory says -ENOENT, too: of a removed one. */
	if (err != -ENOENT || r->exchange || !r->to.dir_attr)
		return err;
	return 0;
}

/* Is the directory @dir, or one above it, @ino? 0, or @answer when it is. */
static int rename_not_under(struct index_txn *t, uint64_t dir, uint64_t ino, int answer)
{
	struct attr a;

	for (unsigned i = 0; i < NAME_DEPTH_MAX; i++) {
		int err;

		if (dir == ino)
			return answer;
		if (dir == NAME_ROOT)
			return 0;
		err = attr_load(t, dir, &a);
		if (err)
			return err == -ENOENT ? -EBADMSG : err;
		dir = a.parent;
	}
	log_error("index: the directories above %llu form a circle", (unsigned long long)dir);
	return -EBADMSG;
}

/* No directory moves into itself, and none is replaced by what is in it. */
static int rename_check_tree(struct rename_job *r)
{
	int err = 0;

	if (r->from.dir == r->to.dir)
		return 0;
	if (S_ISDIR(r->from.entry.type))
		err = rename_not_under(r->op.txn, r->to.dir->ino, r->from.entry.ino, -EINVAL);
	if (!err && r->to.found && S_ISDIR(r->to.entry.type))
		err = rename_not_under(r->op.txn, r->from.dir->ino, r->to.entry.ino,
				       r->exchange ? -EINVAL : -ENOTEMPTY);
	return err;
}

static int rename_check_replace(const struct rename_job *r)
{
	bool from_dir = S_ISDIR(r->from.entry.type);

	if (!r->to.found || r->exchange)
		return 0;
	if (S_ISDIR(r->to.entry.type) != from_dir)
		return from_dir ? -ENOTDIR : -EISDIR;
	return from_dir && r->to.attr->size ? -ENOTEMPTY : 0;
}

static int rename_dirs(const struct rename_side *s)
{
	return s->found && S_ISDIR(s->entry.type);
}

/* Does @s->dir get one directory more than it can count? */
static bool rename_too_many(const struct rename_side *s, int dirs)
{
	return dirs > 0 && s->dir_attr->nlink >= NAME_LINK_MAX;
}

static int rename_check_links(const struct rename_job *r)
{
	int gain = rename_dirs(&r->from) - rename_dirs(&r->to);

	if (r->from.dir == r->to.dir)
		return 0;
	if (rename_too_many(&r->to, gain) || (r->exchange && rename_too_many(&r->from, -gain)))
		return -EMLINK;
	return 0;
}

/* ---- changes ---- */

static void rename_moved(struct rename_side *s, const struct inode *dir, const struct timespec *now)
{
	s->attr->ctime = *now;
	if (S_ISDIR(s->attr->mode))
		s->attr->parent = dir->ino;
}

/* @s's name, with the cookie it has, leads to what @other led to. */
static int rename_store(struct rename_job *r, const struct rename_side *s,
			const struct rename_side *other)
{
	struct dentry d = other->entry;

	d.cookie = s->entry.cookie;
	return dentry_store(r->op.txn, s->dir->ino, s->name, &d);
}

static int rename_exchange(struct rename_job *r)
{
	int gain = rename_dirs(&r->from) - rename_dirs(&r->to);
	int err = rename_store(r, &r->from, &r->to);

	if (!err)
		err = rename_store(r, &r->to, &r->from);
	if (err)
		return err;
	name_dir_changed(r->from.dir_attr, 0, -gain, &r->now);
	name_dir_changed(r->to.dir_attr, 0, gain, &r->now);
	rename_moved(&r->from, r->to.dir, &r->now);
	rename_moved(&r->to, r->from.dir, &r->now);
	return 0;
}

static int rename_replace(struct rename_job *r)
{
	int err = dentry_erase(r->op.txn, r->from.dir->ino, r->from.name, &r->from.entry);

	if (!r->to.found)
		r->to.entry.cookie = r->to.dir_attr->next_cookie++;
	if (!err)
		err = rename_store(r, &r->to, &r->from);
	if (err)
		return err;
	name_dir_changed(r->from.dir_attr, -1, -rename_dirs(&r->from), &r->now);
	name_dir_changed(r->to.dir_attr, !r->to.found, rename_dirs(&r->from) - rename_dirs(&r->to),
			 &r->now);
	rename_moved(&r->from, r->to.dir, &r->now);
	return r->to.found ? name_drop_link(&r->op, r->to.child, r->to.attr, &r->now) : 0;
}

static int rename_in(struct rename_job *r)
{
	int err = rename_find_both(r);

	/* Two names of one file: POSIX has it that nothing happens. */
	if (err || (r->to.found && r->to.entry.ino == r->from.entry.ino))
		return err;
	err = rename_check_tree(r);
	if (!err)
		err = name_edit_child(&r->op, &r->from.entry, &r->from.child, &r->from.attr);
	if (!err && r->to.found)
		err = name_edit_child(&r->op, &r->to.entry, &r->to.child, &r->to.attr);
	if (!err)
		err = rename_check_replace(r);
	if (!err)
		err = rename_check_links(r);
	if (err)
		return err;
	return r->exchange ? rename_exchange(r) : rename_replace(r);
}

/* ---- the call ---- */

static int rename_check_names(struct name from, struct name to, unsigned flags)
{
	int err;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	err = name_check(from);
	if (!err)
		err = name_check(to);
	if (err)
		return err;
	if (name_is_dots(from))
		return -EBUSY;
	if (name_is_dots(to))
		return flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	return 0;
}

static int rename_run(struct rename_job *r, struct fs *fs)
{
	int err = op_begin(&r->op, fs);

	if (err)
		return err;
	err = op_end(&r->op, rename_in(r));
	if (r->from.child)
		inode_put(r->from.child);
	if (r->to.child) {
		name_link_dropped(r->to.child, err);
		inode_put(r->to.child);
	}
	return err;
}

int name_rename(struct fs *fs, uint64_t from_parent, struct name from, uint64_t to_parent,
		struct name to, unsigned flags)
{
	struct rename_job r = {
		.from.name = from,
		.to.name = to,
		.noreplace = flags & RENAME_NOREPLACE,
		.exchange = flags & RENAME_EXCHANGE,
		.now = inode_now(),
	};
	int err = rename_check_names(from, to, flags);

	if (!err)
		err = inode_get(fs, NULL, from_parent, &r.from.dir);
	if (err)
		return err;
	err = inode_get(fs, NULL, to_parent, &r.to.dir);
	if (!err) {
		err = rename_run(&r, fs);
		inode_put(r.to.dir);
	}
	inode_put(r.from.dir);
	return err;
}
