/* Extended attributes, and the POSIX ACLs among them: setting system.posix_acl_access changes the mode, as in other
 * Linux file systems. Errors are the errnos (negative) that those give. user.matfs.codec says how the data is compressed
 * (policy.h): -EINVAL for what it cannot be. The attributes of fact.h can only be read: -EPERM. Threads: any. */
#ifndef FS_XATTR_H
#define FS_XATTR_H

#include "fs/op.h"

#define XATTR_VALUE_MAX 65536

/* @flags: 0, XATTR_CREATE or XATTR_REPLACE (ACLs take no notice of them). @kill_sgid: as FUSE_SETXATTR_ACL_KILL_SGID
 * asks, when the access ACL is set. An ACL without entries, or of no bytes, is removed.
 * -ERANGE (the name), -E2BIG, -EOPNOTSUPP (the namespace), -EINVAL, -EEXIST, -ENODATA, -EPERM (user attribute of
 * something that is neither file nor directory), -EACCES (default ACL of no directory), -ESTALE (reclaimed). */
int xattr_set(struct inode *in, const char *name, const void *value, size_t len, int flags,
	      bool kill_sgid);
/* @len 0: *out is the size alone. -ENODATA, -ERANGE. */
int xattr_get(struct inode *in, const char *name, void *buf, size_t len, size_t *out);
/* Each name with its NUL. @len 0: the size alone. -ERANGE. */
int xattr_list(struct inode *in, char *buf, size_t len, size_t *out);
/* -ENODATA; but 0 for an ACL that is not there, as setfacl expects of any file system. */
int xattr_remove(struct inode *in, const char *name);

/* ---- inside an op ---- */

/* The attributes of a new inode from its parent's default ACL or, without one, from the umask: changes @a->mode and
 * puts the ACL records for @ino. A file or directory takes over the parent's policy, too. */
int xattr_inherit(struct op *op, uint64_t parent, uint64_t ino, struct attr *a, uint32_t umask);
/* Delete all of an inode's attributes. */
int xattr_drop(struct op *op, uint64_t ino);
/* What a write or a change of owner takes from a file: setuid, setgid where the group may execute, capabilities. */
int xattr_kill_privs(struct op *op, struct inode *in);
/* The mode of @in, edited, was set: its access list, if it has one, follows. */
int xattr_chmod(struct op *op, struct inode *in);

#endif
