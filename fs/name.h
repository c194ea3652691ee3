/* The namespace: what each system call on names does, without FUSE. Every function answers with the errno (negative)
 * that Linux file systems give. Permission checks are the kernel's (default_permissions); ownership, setgid
 * inheritance, umask and default ACLs of new inodes are ours.
 *
 * @parent is an inode number. Names are bytes of length @len, without '/' and NUL.
 * An inode handed out is referenced: inode_put() it. Threads: any. */
#ifndef FS_NAME_H
#define FS_NAME_H

#include "fs/inode.h"

struct name {
	const char *p;
	size_t len;
};

/* Who asks, and what a new inode is to be. */
struct name_new {
	uint32_t mode; /* type and permission bits as asked, before the umask */
	uint32_t umask;
	uint32_t uid, gid; /* the caller's fsuid, fsgid */
	uint64_t rdev;
	const char *target; /* of a symlink, NUL-terminated, 1 to 4095 bytes */
};

/* "." and ".." work too (NFS export asks for them). */
int name_lookup(struct fs *fs, uint64_t parent, struct name name, struct inode **out);
int name_make(struct fs *fs, uint64_t parent, struct name name, const struct name_new *n,
	      struct inode **out);
/* An inode without a name (O_TMPFILE), an orphan until it is linked; nlink 0. */
int name_tmpfile(struct fs *fs, uint64_t parent, const struct name_new *n, struct inode **out);
int name_link(struct fs *fs, uint64_t ino, uint64_t parent, struct name name, struct inode **out);
int name_unlink(struct fs *fs, uint64_t parent, struct name name);
int name_rmdir(struct fs *fs, uint64_t parent, struct name name);
/* @flags: 0, RENAME_NOREPLACE or RENAME_EXCHANGE; others -EINVAL. */
int name_rename(struct fs *fs, uint64_t from_parent, struct name from, uint64_t to_parent,
		struct name to, unsigned flags);
/* @buf gets the target, NUL-terminated; 4096 bytes. */
int name_readlink(struct fs *fs, uint64_t ino, char *buf);

/* Entries with a cookie above @cookie, in the directory's stable order, "." and ".." first, until @fn returns non-zero
 * (that entry was not taken) or the end. Names made or removed meanwhile may or may not show; no other is missed or
 * doubled. @fn runs inside a read transaction and must not change anything; it may inode_get(). */
struct name_entry {
	struct name name; /* borrowed */
	uint64_t ino;
	uint32_t type; /* S_IFMT bits */
	uint64_t cookie;
};
int name_list(struct fs *fs, uint64_t dir, uint64_t cookie,
	      int (*fn)(void *arg, const struct name_entry *e), void *arg);

/* After the last close or the last forget: an inode without a name loses its data and its records; 0 and nothing done
 * when it has a name, is open or is gone. What fails leaves it an orphan, for the next call or mount. Also run over the
 * orphans at mount. Takes what it must; not inside an op. */
int name_reclaim(struct inode *in);

#endif
