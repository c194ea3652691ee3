/* How windows' bytes get to the shards: encoded, written as stripes, put into the map; the last in one op with the
 * windows' end. Threads: any worker. */
#ifndef FS_FLUSH_H
#define FS_FLUSH_H

#include "fs/writeback.h"

/* Dirty ranges of so many bytes are extents of their own; shorter ones share one with others where there are others. */
#define FLUSH_LARGE (64 * KIB)

struct flush_pool;

int flush_pool_new(struct fs *fs, struct flush_pool **out);
void flush_pool_free(struct flush_pool *pool); /* nothing is under way */

/* Write @w and those chained to it by ->batch, all QUEUED and of one group, and end each with writeback_done(): before
 * this returns, or later on another worker, when a GPU is through with its bytes. Not in one go, so that no worker waits
 * for a GPU. */
void flush_windows(struct window *w);

#endif
