/* What an open file or directory is to us: fi->fh. */
#ifndef FS_OPS_FILE_H
#define FS_OPS_FILE_H

#include "fs/ops.h"
#include "fs/readahead.h"

struct ops_file {
	struct ops *ops;
	struct ops_file *prev, *next; /* a list of open ones; guarded by its lock */
	struct inode *in;	      /* of a file: referenced; else NULL */
	struct slice *slice;	      /* of a slice, whose source is in: referenced; else NULL */
	bool direct;		      /* the kernel keeps no pages of what goes through it */
	bool direct_writes;	      /* counted in the inode */
	struct lock lock;
	struct readahead ahead;	      /* guarded by lock */
	atomic_uint_fast64_t dir_end; /* of a directory: the first cookie that is not shown */
	char *text;		      /* of a pseudo-file: what it said when it was opened; heap */
	size_t text_len;
};

static inline struct ops_file *ops_file_of(const struct fuse_file_info *fi)
{
	return (struct ops_file *)(uintptr_t)fi->fh;
}

/* Takes over the reference to @in, a file, or NULL. -ENOMEM, -ESTALE (file_opened()): it stays the caller's. */
int ops_file_new(struct ops *o, struct inode *in, struct ops_file **out);
void ops_file_free(struct ops_file *f);

#endif
