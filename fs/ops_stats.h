/* `.stats` and `.stats.json`: files in the root that readdir does not show. What they say is put together when they are
 * opened; their size is 0, as that of files in /proc, and nothing about them is cached. */
#ifndef FS_OPS_STATS_H
#define FS_OPS_STATS_H

#include "fs/ops_file.h"

/* The node ids, from the top of the number space: no inode gets there. */
bool ops_stats_is(fuse_ino_t ino);

/* The node id of @name in @parent, or 0. */
fuse_ino_t ops_stats_find(fuse_ino_t parent, const char *name);

void ops_stats_attr(fuse_ino_t ino, struct stat *st);

/* As the handlers: 0, or a negative errno to reply with. */
int ops_stats_reply_entry(fuse_req_t req, fuse_ino_t ino);
int ops_stats_reply_attr(fuse_req_t req, fuse_ino_t ino);
int ops_stats_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
int ops_stats_read(fuse_req_t req, const struct ops_file *f, size_t len, off_t off);

#endif
