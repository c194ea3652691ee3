/* What is known of a file's data, as attributes that can only be read: user.matfs.ratio, .dtype and .shape. They are not
 * listed, so that copying tools pass them by. Threads: any; fact_get() may read from the shards. */
#ifndef FS_FACT_H
#define FS_FACT_H

#include "codec/head.h"
#include "fs/inode.h"

#define FACT_TEXT_LEN HEAD_TEXT_LEN

/* Is this the name of one? */
bool fact_is(const char *name);

/* The text of fact @name, which is one. -ENODATA: not known of this file, or @in is no file. -EIO, -ENOMEM. */
int fact_get(struct inode *in, const char *name, char buf[FACT_TEXT_LEN], size_t *len);

#endif
