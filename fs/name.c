/* Names looked up, symlinks read, and what the other files of the namespace share.
 *
 * A lookup takes no lock: it reads the entry in one snapshot and gets the inode after it. An inode that was removed in
 * between makes it look again, so that a name which leads somewhere at every moment is always found. */
#include "fs/name.h"

#include "conf/log.h"
#include "fs/name_impl.h"

int name_check(struct name name)
{
	if (name.len == 0)
		return -ENOENT;
	return name.len > NAME_LEN_MAX ? -ENAMETOOLONG : 0;
}

bool name_is_dots(struct name name)
{
	return (name.len == 1 && name.p[0] == '.') ||
	       (name.len == 2 && name.p[0] == '.' && name.p[1] == '.');
}

int name_edit_dir(struct op *op, struct inode *dir, struct attr **out)
{
	struct attr *a = op_edit(op, dir);

	if (!S_ISDIR(a->mode))
		return -ENOTDIR;
	if (a->nlink == 0)
		return -ENOENT;
	*out = a;
	return 0;
}

int name_edit_child(struct op *op, const struct dentry *d, struct inode **in, struct attr **out)
{
	int err = inode_get(op->fs, op->txn, d->ino, in);

	if (err == -ENOENT) {
		log_error("index: an entry leads to inode %llu, which is not there",
			  (unsigned long long)d->ino);
		return -EBADMSG;
	}
	if (!err)
		*out = op_edit(op, *in);
	return err;
}

void name_dir_changed(struct attr *dir, int names, int dirs, const struct timespec *now)
{
	dir->size += (uint64_t)((int64_t)names * NAME_DIR_BYTES);
	dir->nlink += (uint32_t)dirs;
	dir->mtime = *now;
	dir->ctime = *now;
}

/* ---- lookup ---- */

/* Why a name is not there: the directory may be none. */
static int name_missing(struct index_txn *t, uint64_t parent)
{
	struct attr a;
	int err = attr_load(t, parent, &a);

	if (err)
		return err;
	return S_ISDIR(a.mode) ? -ENOENT : -ENOTDIR;
}

static int name_find(struct fs *fs, uint64_t parent, struct name name, uint64_t *ino)
{
	struct index_txn *t;
	struct dentry d;
	int err = index_read(fs->index, &t);

	if (err)
		return err;
	err = dentry_find(t, parent, name, &d);
	if (err == -ENOENT)
		err = name_missing(t, parent);
	if (!err)
		*ino = d.ino;
	index_read_end(t);
	return err;
}

static int name_find_dots(struct fs *fs, uint64_t dir, struct name name, uint64_t *ino)
{
	struct index_txn *t;
	struct attr a;
	int err = index_read(fs->index, &t);

	if (err)
		return err;
	err = attr_load(t, dir, &a);
	index_read_end(t);
	if (err)
		return err;
	if (!S_ISDIR(a.mode))
		return -ENOTDIR;
	*ino = name.len == 1 || dir == NAME_ROOT ? dir : a.parent;
	return 0;
}

int name_lookup(struct fs *fs, uint64_t parent, struct name name, struct inode **out)
{
	bool dots = name_is_dots(name);
	uint64_t ino, missing = 0;
	int err = name_check(name);

	if (err)
		return err;
	for (;;) {
		err = dots ? name_find_dots(fs, parent, name, &ino)
			   : name_find(fs, parent, name, &ino);
		if (err)
			return err;
		err = inode_get(fs, NULL, ino, out);
		if (err != -ENOENT)
			return err;
		/* Removed after the entry was read. Numbers do not come back, so a newer snapshot that still leads
		 * there is damaged; except for the ".." of a directory that is itself removed. */
		if (ino == missing)
			break;
		missing = ino;
	}
	if (dots)
		return -ENOENT;
	log_error("index: an entry of directory %llu leads to inode %llu, which is not there",
		  (unsigned long long)parent, (unsigned long long)ino);
	return -EBADMSG;
}

/* ---- symlinks ---- */

static int name_read_target(struct index_txn *t, uint64_t ino, char *buf)
{
	struct key key = key_plain(ino, KEY_INLINE);
	struct index_val v;
	struct attr a;
	int err = attr_load(t, ino, &a);

	if (err)
		return err;
	if (!S_ISLNK(a.mode))
		return -EINVAL;
	err = index_get(t, &key, &v);
	if (err == -ENOENT || (!err && (v.len < 1 || v.len > NAME_TARGET_MAX)))
		return -EBADMSG;
	if (err)
		return err;
	memcpy(buf, v.p, v.len);
	buf[v.len] = '\0';
	return 0;
}

int name_readlink(struct fs *fs, uint64_t ino, char *buf)
{
	struct index_txn *t;
	int err = index_read(fs->index, &t);

	if (err)
		return err;
	err = name_read_target(t, ino, buf);
	index_read_end(t);
	return err;
}
