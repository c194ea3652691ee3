/* How a window's bytes get to the shards: encoded, written as stripes, put into the map; the last in one op with the
 * window's end. Threads: any worker. */
#ifndef FS_FLUSH_H
#define FS_FLUSH_H

#include "fs/writeback.h"

struct flush_pool;

int flush_pool_new(struct fs *fs, struct flush_pool **out);
void flush_pool_free(struct flush_pool *pool); /* nothing is under way */

/* Write @w, which is QUEUED, and end with writeback_done(): before this returns, or later on another worker, when a GPU
 * is through with its bytes. Not in one go, so that no worker waits for a GPU. */
void flush_window(struct window *w);

#endif
