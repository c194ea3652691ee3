/* Dirty data: what write() has taken and no shard has yet.
 *
 * A window is the dirty bytes of one extent-aligned range of a file, in memory of the pool. It belongs to the
 * transaction group in which it was made and takes writes only while that group is open; afterwards it is stable until
 * it is on the shards.
 *
 *   state    holds                                              moved on by
 *   DIRTY    takes writes while its group is open               writeback_flush_*() -> QUEUED
 *   QUEUED   a job for it is posted; bytes stable                the job -> gone, or DIRTY again after an error
 */
#ifndef FS_WRITEBACK_H
#define FS_WRITEBACK_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "fs/inode.h"

#define WINDOW_RANGES 32 /* dirty ranges of a window at most; one more and it is written first */

enum window_state {
	WINDOW_DIRTY,
	WINDOW_QUEUED,
};

struct window_range {
	uint32_t off, len; /* bytes from the window's start */
};

struct window {
	struct inode *inode; /* referenced */
	struct window *next; /* of the inode, by start; guarded by inode->lock */
	uint64_t start;	     /* file offset, aligned to the extent length */
	uint64_t txg;
	_Atomic enum window_state state; /* set under inode->lock; looked at without it, too */
	uint32_t base, cap;		 /* buf holds bytes [start + base, start + base + cap) */
	uint8_t *buf;			 /* of the pool, or the heap; NULL when cap is 0 */
	bool heap;			 /* while it is written, when the pool has nothing left */
	unsigned nr;
	/* one more than it takes: inline bytes that are written with it */
	struct window_range
		range[WINDOW_RANGES + 1]; /* sorted, apart; guarded by inode->lock while DIRTY */
	uint64_t reserved;		  /* by raid_reserve() */
	struct window *list_prev,
		*list_next; /* all windows, oldest first; guarded by writeback->lock */
	bool listed;
	struct job job;
};

int writeback_new(struct fs *fs, struct writeback **out);
/* All windows are gone, or are thrown away with what they hold. The workers have stopped. */
void writeback_free(struct writeback *wb);

/* Take @len bytes at @off. The caller holds in->lock and has entered group @txg; the range lies within one window.
 * -EAGAIN: the window is being written or needs to be: wait (writeback_wait) and come again.
 * -ENOMEM: no memory in the pool: writeback_relieve() and come again. -ENOSPC: no room on the shards just now. */
int writeback_prepare(struct inode *in, uint64_t txg, uint64_t off, size_t len) REQUIRES(in->lock);
/* Copy into what was prepared. Cannot fail. */
void writeback_copy(struct inode *in, uint64_t off, const uint8_t *p, size_t len)
	REQUIRES(in->lock);
/* Post the window around @off when it is full. */
void writeback_full(struct inode *in, uint64_t off) REQUIRES(in->lock);

/* The first dirty byte at or after @off: [*off, *off + *len) at *p, up to @end; false: none before @end. */
bool writeback_find(struct inode *in, uint64_t *off, uint64_t end, const uint8_t **p, uint64_t *len)
	REQUIRES(in->lock);

/* Some window that touches [off, off + len) is not to be changed now: queued, or of a closed group. */
bool writeback_busy(struct inode *in, uint64_t off, uint64_t len) REQUIRES(in->lock);
/* Wait until a window touching the range that was busy has been written. Holds nothing. Returns the error when one
 * could not be written. */
int writeback_wait(struct inode *in, uint64_t off, uint64_t len);
/* Write all dirty bytes of the range, wait; the error of a write that failed. Holds nothing. */
int writeback_flush(struct inode *in, uint64_t off, uint64_t len);
/* Forget dirty bytes of a range that is not busy. For op_end(). */
void writeback_trim(struct inode *in, uint64_t off, uint64_t len) REQUIRES(in->lock);
/* For op_end(): @w's bytes are in the map now. */
void writeback_flushed(struct window *w);
/* Forget dirty data from @off on, of an inode that nobody will read again; waits for what is being written. */
void writeback_drop(struct inode *in, uint64_t off);

/* Memory is short: have old windows written, and wait a little for memory to come back. */
void writeback_relieve(struct fs *fs, uint64_t seen);

/* Post every window of groups up to @txg, and wait until they are written. Returns the first error; the windows that
 * failed stay. */
int writeback_group(struct fs *fs, uint64_t txg);

struct writeback_stat {
	uint64_t nr_windows, dirty_bytes; /* now */
	uint64_t nr_flushed, nr_failed;
};
void writeback_stat_get(struct fs *fs, struct writeback_stat *out);

#endif
