/* What an open file is to us: fi->fh. */
#ifndef FS_OPS_FILE_H
#define FS_OPS_FILE_H

#include "fs/ops.h"
#include "fs/readahead.h"

struct ops_file {
	struct inode *in; /* referenced; NULL: a pseudo-file */
	struct lock lock;
	struct readahead ahead; /* guarded by lock */
	char *text;		/* of a pseudo-file: what it said when it was opened; heap */
	size_t text_len;
};

static inline struct ops_file *ops_file_of(const struct fuse_file_info *fi)
{
	return (struct ops_file *)(uintptr_t)fi->fh;
}

/* Takes over the reference to @in. NULL: no memory, the reference stays the caller's. */
struct ops_file *ops_file_new(struct inode *in);
void ops_file_free(struct ops_file *f);

#endif
