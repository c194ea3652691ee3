/* One change of metadata: all of it or nothing.
 *
 *	op_begin(&op, fs);                       enters the txg gate and begins the index's write transaction
 *	struct attr *a = op_edit(&op, inode);    locks the inode; a copy of its attributes to change
 *	... index_put(op.txn, ...) ...
 *	return op_end(&op, err);                 err 0: puts every edited attr, commits, publishes; else undoes
 *
 * The inodes stay locked until op_end(), so what is read from them meanwhile holds. */
#ifndef FS_OP_H
#define FS_OP_H

#include "fs/inode.h"
#include "raid/raid.h"

#define OP_INODES 6 /* edited in one op at most, but for flushes */

struct op_freed {
	struct stripe_loc *loc; /* heap */
	unsigned nr, cap;
};

struct op_inode {
	struct inode *inode; /* borrowed */
	struct attr next;
	bool skip_put; /* its attr record is deleted in this op */
};

struct op_refer {
	uint64_t gen;
	int change;
};

struct op {
	struct fs *fs;
	struct index_txn *txn;
	unsigned nr, cap;
	struct op_inode *edit; /* cap of them; few, or heap */
	struct op_inode few[OP_INODES];
	/* what this change takes from the live data; told to the commit when it succeeds */
	struct op_freed freed;	    /* places to give back once this is durable */
	struct op_freed freed_late; /* of a late flush: once the open group is */
	struct op_refer *refer;	    /* heap; what this change does to counts of references */
	unsigned nr_refer, cap_refer;
	int64_t d_inodes, d_logical, d_raw, d_stored, d_extents; /* to the counters */
	bool for_commit; /* a flush of data written in group txg, which may be closed by now */
	uint64_t txg;	 /* the group this change belongs to */
	struct window *
		flushed; /* of a flush: their bytes leave memory when this succeeds; a chain by ->batch */
	struct inode *trim; /* op_trim() */
	uint64_t trim_off, trim_len;
};

/* Returns 0, -EROFS, -ENOSPC, -EIO. Nothing is held after a failure. */
int op_begin(struct op *op, struct fs *fs);
/* For what makes something new: -ENOSPC when the volume is full, as a removal must never be. */
int op_begin_grow(struct op *op, struct fs *fs);
/* For a flush of windows last written in group @txg, of @nr inodes at most: does not enter the gate. */
int op_begin_flush(struct op *op, struct fs *fs, uint64_t txg, unsigned nr);
/* @in must stay referenced by the caller until op_end(). Editing one twice gives the same copy. */
struct attr *op_edit(struct op *op, struct inode *in);
/* @in's attr record has been deleted by the caller: op_end() does not put it back. */
void op_edit_gone(struct op *op, struct inode *in);
/* The stripe goes back to the shards when this change is durable; @late: when the group that is open now is, too.
 * -ENOMEM. */
int op_free_stripe(struct op *op, const struct stripe_loc *loc, bool late);
/* A flush of a group that is closed, while changes of the next one are made already. */
bool op_is_late(const struct op *op);
/* This change counts @change references to the extent @gen. -ENOMEM. */
int op_refer(struct op *op, uint64_t gen, int change);
/* When this change succeeds, dirty bytes of @in (edited) in the range are forgotten in the same moment. The caller has
 * made sure by writeback_busy() that none of them is being written. */
void op_trim(struct op *op, struct inode *in, uint64_t off, uint64_t len);
/* Returns @err, or what committing gave. Everything is released. */
int op_end(struct op *op, int err);

#endif
