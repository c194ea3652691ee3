/* `.slice`: beneath it, PATH@[10:20,::4] is a .npy file with that part of the .npy file PATH.
 *
 * It is a directory of the root that is not listed. Its directories and symlinks stand for the real ones; they can be
 * walked, not listed. All is read-only, and who may see or read what, the kernel decides by the owners, modes and ACLs of
 * the real files, which these attributes carry, without the bits to write. Nothing about them is cached by the kernel
 * but a file's bytes, from one open to the next. */
#ifndef FS_OPS_SLICE_H
#define FS_OPS_SLICE_H

#include "fs/ops_file.h"

void ops_slice_init(struct ops_slices *s);
void ops_slice_fini(struct ops_slices *s);

/* The node id is one of ours. */
bool ops_slice_is(fuse_ino_t ino);
/* @name in @parent is `.slice`, or beneath it. */
bool ops_slice_claims(fuse_ino_t parent, const char *name);

/* What stat(2) tells. -ESTALE. */
int ops_slice_attr(fuse_req_t req, fuse_ino_t ino, struct stat *st);
/* The inode whose attribute @name is that of @ino, to be inode_put(): only of access lists. -ENODATA, -ESTALE. */
int ops_slice_acl(fuse_req_t req, fuse_ino_t ino, const char *name, struct inode **out);

/* As the handlers. */
int ops_slice_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_slice_forget(struct ops *o, fuse_ino_t ino, uint64_t nr);
int ops_slice_readlink(fuse_req_t req, fuse_ino_t ino);
int ops_slice_getattr(fuse_req_t req, fuse_ino_t ino);
int ops_slice_opendir(fuse_req_t req, struct fuse_file_info *fi);
int ops_slice_open(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi);
int ops_slice_read(fuse_req_t req, const struct ops_file *f, size_t len, off_t off);
int ops_slice_lseek(fuse_req_t req, const struct ops_file *f, off_t off, int whence);

#endif
