/* A part of the array in a .npy file, as a .npy file of its own: what its bytes are, without FUSE.
 *
 * Its head, and so its length, are made once and stay. The items are the source's at the moment when they are read. A source
 * whose head has changed, or that has become too short, is another array: -ESTALE.
 * Threads: any, any number at once. */
#ifndef FS_SLICE_H
#define FS_SLICE_H

#include "conf/why.h"
#include "fs/inode.h"

struct slice;

/* What @expr, numpy's basic slicing from '[' to ']', takes of @in, a regular file. Reads its head: may wait for shards.
 * -EINVAL: the expression is wrong, does not fit the array, or @in is no .npy file whose items can be read; -EIO,
 * -ENOMEM. @why then says more. */
int slice_new(struct inode *in, const char *expr, struct slice **out, const struct why *why);
struct slice *slice_ref(struct slice *s);
void slice_put(struct slice *s); /* NULL is nothing */

/* Bytes of it, the head's with them. */
uint64_t slice_len(const struct slice *s);

/* Is the source @in known to be what it was? False: slice_check() will tell. Does not wait. */
bool slice_is_fresh(struct inode *in, struct slice *s);
/* 0, or -ESTALE, or what reading the head gave. May wait for shards. */
int slice_check(struct inode *in, struct slice *s);

/* Have [@off, @off + @len), which lies within the slice, in one piece of the source: then *at is where. */
bool slice_in_place(const struct slice *s, uint64_t off, uint64_t len, uint64_t *at);
/* Bytes of the source from the first to the last that make [@off, @off + @len), about. */
uint64_t slice_spread(const struct slice *s, uint64_t off, uint64_t len);

/* Read [@off, @off + @len) to @buf, or what can be read of it in some milliseconds: *done is how much, at least 1. It
 * takes as many calls as it takes. Whoever has all of it asks slice_check() whether it is what it should be. */
int slice_read(struct inode *in, const struct slice *s, uint64_t off, size_t len, uint8_t *buf,
	       size_t *done);

#endif
