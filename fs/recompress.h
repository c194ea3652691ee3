/* Writing files' data once more, in the background, as their present policy has it: a queue, a thread, an extent at a
 * time.
 *
 * The bytes go the way of written ones (writeback_rewrite()), so that a crash at any moment leaves the old extents or
 * the new; contents and times stay. An extent is written again when pieces become one by that, or when it gets shorter,
 * or when the policy wants another kind of extent. Who writes to a file meanwhile is not held up: what he writes is
 * left alone. The queue is in memory only. Threads: any. */
#ifndef FS_RECOMPRESS_H
#define FS_RECOMPRESS_H

#include "fs/inode.h"

/* Files in the queue, at most: more are to be asked for when some are through. */
#define RECOMPRESS_QUEUE_MAX (1u << 20)

int recompress_new(struct fs *fs, struct recompress **out);
/* Give up what is queued, end the thread; the extent under way is finished. NULL is nothing. */
void recompress_stop(struct recompress *r);
void recompress_free(struct recompress *r); /* stopped */

/* Queue a file. -EROFS, -EINVAL (not a file), -EAGAIN: the queue is full; -ENOMEM. */
int recompress_post(struct inode *in);

/* The file's map is in small pieces: to be made whole when nobody has written to it for a while. Where that cannot be
 * remembered it is not done, until the next time. */
void recompress_ragged(struct inode *in);

struct recompress_stat {
	uint64_t nr_queued;		      /* files, now, with the one under way */
	uint64_t nr_done, nr_failed;	      /* files; those that went meanwhile are done */
	uint64_t raw_bytes;		      /* looked at */
	uint64_t stored_before, stored_after; /* what they took, and take now */
	uint64_t nr_extents;		      /* written */
	uint64_t nr_ragged; /* files waiting to be made whole; the others do not count these */
	uint64_t nr_mended; /* extents written for that */
};
void recompress_stat_get(struct recompress *r, struct recompress_stat *out);

#endif
