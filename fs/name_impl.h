/* What the files of the namespace (name*.c) share; not for others. */
#ifndef FS_NAME_IMPL_H
#define FS_NAME_IMPL_H

#include "fs/dentry.h"
#include "fs/op.h"

#define NAME_ROOT	1
#define NAME_LINK_MAX	(1u << 31)
#define NAME_DIR_BYTES	32   /* of a directory's size for each entry */
#define NAME_TARGET_MAX 4095 /* PATH_MAX without its NUL */

/* 0, -ENOENT for an empty name, -ENAMETOOLONG. */
int name_check(struct name name);
/* "." or "..": which the kernel resolves itself, so that they only come here to be looked up. */
bool name_is_dots(struct name name);

/* Edit @dir: -ENOTDIR, or -ENOENT when it has been removed. */
int name_edit_dir(struct op *op, struct inode *dir, struct attr **out);
/* Edit the inode that an entry leads to; *in is inode_put() by the caller after op_end(), also on failure when it is
 * not NULL. */
int name_edit_child(struct op *op, const struct dentry *d, struct inode **in, struct attr **out);

/* @names entries more in @dir, @dirs of them directories. */
void name_dir_changed(struct attr *dir, int names, int dirs, const struct timespec *now);

/* One name less leads to @in. With the last one it becomes an orphan or, when nobody has it open and it is small, goes
 * at once. After op_end(), whatever that gave, name_link_dropped(). */
int name_drop_link(struct op *op, struct inode *in, struct attr *a, const struct timespec *now);
/* @err: what op_end() gave. Not inside an op. */
void name_link_dropped(struct inode *in, int err);

#endif
