/* Dirty data: what write() has taken and no shard has yet.
 *
 * A window is the dirty bytes of one extent-aligned range of a file, in memory of the pool: only these, in the order in
 * which they came, so that writes far apart take no more memory than their bytes. It belongs to the
 * transaction group in which it was made and takes writes only while that group is open; afterwards it is stable until
 * it is on the shards. What is written to its range meanwhile goes to a second window, its successor, whose bytes come
 * after its own: for readers, and into the map. There is no third one.
 *
 *   state    holds                                              moved on by
 *   DIRTY    takes writes while its group is open               writeback_flush_*() -> QUEUED, or DUE
 *   DUE      the same, and it is to be written: posted when      writeback_flushed() of that one -> QUEUED
 *            the one before it has been
 *   QUEUED   a job for it is posted, or a GPU has its bytes;     flush.c, by writeback_done() -> gone, or DIRTY again
 *            bytes stable                                        after an error
 */
#ifndef FS_WRITEBACK_H
#define FS_WRITEBACK_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "fs/inode.h"
#include "fs/ranges.h"

/* Dirty ranges of a window at most. Before one more those that touch are put together; where that does not make room
 * enough, it is written first. */
#define WINDOW_RANGES 4096

/* A window's bytes at most for it to be written together with other small ones. */
#define WINDOW_SMALL (32 * KIB)
/* So many of these are written together at most. */
#define WINDOW_BATCH 32

enum window_state {
	WINDOW_DIRTY,
	WINDOW_DUE,
	WINDOW_QUEUED,
};

/* Clean bytes that are written once more, as the present policy has them. */
struct rewrite {
	uint64_t off; /* in the file; [off, off + len) lies within one window */
	uint32_t len;
	const uint8_t *bytes; /* what the file has there */
	uint32_t stored;      /* bytes that they take now */
	bool must;	      /* write them also where that saves no block */
	/* the outcome, guarded by the inode's lock; in->flushed tells of it */
	bool done;
	bool kept; /* it saved nothing: all is as it was */
	int err;   /* the same, for this reason */
	uint32_t stored_now;
};

struct window {
	struct inode *inode;	       /* referenced */
	struct window *before, *after; /* the other one of the same range; guarded by inode->lock */
	uint64_t start;		       /* file offset, aligned to the extent length */
	uint64_t txg;
	_Atomic enum window_state state; /* set under inode->lock; looked at without it, too */
	uint8_t *buf;			 /* of the pool, or the heap; NULL when cap is 0 */
	uint32_t cap, used;		 /* bytes of buf; used by what is dirty, and by what was */
	bool heap; /* buf is; from a flush that filled it up, or found the pool empty */
	/* from start on, in buf; both change under inode->lock, while QUEUED by the flush alone, which may look without */
	struct ranges dirty;
	uint64_t reserved;	 /* by raid_reserve() */
	struct rewrite *rewrite; /* borrowed; all that it holds, QUEUED from the start */
	struct window *list_prev,
		*list_next; /* all windows, oldest first; guarded by writeback->lock */
	uint64_t seq;	    /* grows along that list */
	bool listed;
	struct window *batch; /* the next of those that are written together; the job's */
	struct flush *flush;  /* flush.c's, while a GPU has its bytes */
	bool ragged;	      /* flush.c's: what it leaves is worth a rewrite */
	struct job job;
};

int writeback_new(struct fs *fs, struct writeback **out);
/* Wait until no window is QUEUED; none is posted any more. */
void writeback_drain(struct fs *fs);
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

/* The first dirty byte at or after @off: [*off, *off + *len) at *p, up to @end; false: none before @end.
 * @upto: a window in whose range all this is, to find what was dirty before its successor; NULL: all that is dirty. */
bool writeback_find(struct inode *in, const struct window *upto, uint64_t *off, uint64_t end,
		    const uint8_t **p, uint64_t *len) REQUIRES(in->lock);

/* Some window that touches [off, off + len) is not to be changed now: queued, or due, or of a closed group. */
bool writeback_busy(struct inode *in, uint64_t off, uint64_t len) REQUIRES(in->lock);
/* Wait until a window touching the range that was busy has been written. Holds nothing. Returns the error when one
 * could not be written, or -EAGAIN where this thread may not wait (later.h). */
int writeback_wait(struct inode *in, uint64_t off, uint64_t len);
/* Write what is dirty of the range now, wait; the error of a write that failed. Holds nothing. */
int writeback_flush(struct inode *in, uint64_t off, uint64_t len);
/* Forget dirty bytes of a range that is not busy. For op_end(). */
void writeback_trim(struct inode *in, uint64_t off, uint64_t len) REQUIRES(in->lock);
/* For op_end(): @w's bytes are in the map now. */
void writeback_flushed(struct window *w);
/* Forget dirty data from @off on, of an inode that nobody will read again; waits for what is being written. */
void writeback_drop(struct inode *in, uint64_t off);

/* Write what is in the file at @r->off once more. The caller holds in->lock, has entered group @txg and knows that
 * @r->bytes is what the file has there now; @r lives until @r->done. The window is posted at once, so nobody's bytes
 * get into it, and where it cannot be written it goes, and all is as before.
 * -EAGAIN: somebody's dirty bytes are in that window. -ENOMEM: no memory in the pool. -ENOSPC. */
int writeback_rewrite(struct inode *in, uint64_t txg, struct rewrite *r) REQUIRES(in->lock);

/* Memory is short: have old windows written, and wait a little for memory to come back. */
void writeback_relieve(struct fs *fs, uint64_t seen);

/* Post every window of groups up to @txg, and wait until they are written. Returns the first error; the windows that
 * failed stay. */
int writeback_group(struct fs *fs, uint64_t txg);

/* ---- for flush.c ---- */

/* Bytes to reserve for @len bytes in one piece. */
uint64_t writeback_cost(uint64_t len);
/* [from, to) of @w, QUEUED, is dirty. @bytes: what a reader of the file sees there. The space is reserved. -ENOMEM. */
int writeback_fill(struct window *w, uint32_t from, uint32_t to, const uint8_t *bytes);
/* All of @w, QUEUED, is one dirty range [0, to), none of it was beyond.
 * @bytes   malloc'ed: what a reader of the file sees there; taken over, and NULL then
 * @cost    what the caller has reserved for it
 * -ENOMEM: too much is beside the pool already. */
int writeback_swap(struct window *w, uint32_t to, uint8_t **bytes, uint64_t cost);
/* @w's bytes are on the shards and in the map (after writeback_flushed()), or it could not be written: @err. @w is not
 * the caller's any more. */
void writeback_done(struct window *w, int err);

struct writeback_stat {
	uint64_t nr_windows, dirty_bytes; /* now */
	uint64_t nr_flushed, nr_failed;
};
void writeback_stat_get(struct fs *fs, struct writeback_stat *out);

#endif
