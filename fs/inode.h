/* Inodes in memory. While one is there, its attributes are the truth and the index may lag behind (a write changes the
 * size without a transaction; the next commit puts it).
 *
 * An inode is in memory while someone holds a reference: the kernel (lookup count), an open file, a running request,
 * dirty data. */
#ifndef FS_INODE_H
#define FS_INODE_H

#include <stdatomic.h>

#include "codec/codec.h"
#include "conf/lock.h"
#include "fs/attr.h"
#include "fs/fs.h"
#include "fs/codec_policy.h"

struct window; /* writeback.c: dirty bytes of one aligned range */

struct inode {
	struct fs *fs;
	uint64_t ino;
	struct lock lock;
	struct attr attr; /* guarded by lock */
	bool attr_dirty;  /* on the commit's list, attr newer than the index; guarded by lock */
	bool gone; /* nlink 0, its records are deleted or about to be: put none; guarded by lock */
	uint32_t nr_open; /* guarded by lock */
	/* Of them, those that may write and go around the kernel's pages; and that somebody else has come beside one, so
	 * that the kernel's pages may be older. Guarded by lock. */
	uint32_t nr_direct_writes;
	bool mixed;
	/* The kernel may have pages of it, from which it answers reads without us. Set before a reply that may give it
	 * some; it lasts as long as the kernel knows the inode. */
	atomic_bool paged;
	uint64_t
		change_txg; /* last transaction group that changed it or its data; guarded by lock */
	/* NULL before the first flush of an extent; set under lock, then it stays */
	struct codec_file *codec_file;
	bool head_read;		 /* for codec_file, or that failed; guarded by lock */
	bool codec_policy_known; /* policy is what the index has; guarded by lock */
	struct policy policy;	 /* guarded by lock */
	bool ragged;		 /* in recompress.c's queue for that; guarded by lock */
	uint64_t written;	 /* bytes, since it came to memory; guarded by lock */
	struct window *
		*windows; /* dirty or being written, by offset, older first; guarded by lock */
	unsigned nr_windows, cap_windows; /* guarded by lock */
	struct cond flushed;		  /* a window was written; with lock */
	int wb_error; /* of a write-back that failed, for who waits on `flushed` and cleared it; guarded by lock */

	/* the table's, guarded by its stripe */
	struct inode *hash_next;
	uint64_t nr_lookup; /* the kernel's */
	uint32_t nr_ref;
	/* commit's list of inodes with attr_dirty, guarded by commit->lock */
	struct inode *dirty_next;
	struct inode *frozen_next; /* the freeze's */
};

int inode_table_new(struct inode_table **out);
void inode_table_free(struct inode_table *t); /* frees what is left in it, too */

/* The inode with number @ino, loaded when need be; @t: read it through this write transaction (NULL: a read one of its
 * own). Ended by inode_put(). -ENOENT, -EBADMSG, -ENOMEM. */
int inode_get(struct fs *fs, struct index_txn *t, uint64_t ino, struct inode **out);
/* A new one that is not in the index yet, with attributes @a. */
int inode_new(struct fs *fs, uint64_t ino, const struct attr *a, struct inode **out);
struct inode *inode_ref(struct inode *in);
void inode_put(struct inode *in);

/* The kernel learnt of it @n more times, or forgot it @n times. As long as it knows an inode it may open it, even when
 * its last name has gone meanwhile: data and records stay until inode_known() is false and nobody has it open. */
void inode_remember(struct inode *in, uint64_t n);
void inode_forget(struct fs *fs, uint64_t ino, uint64_t n);
bool inode_known(struct inode *in);

/* Copy of the attributes. */
void inode_attr(struct inode *in, struct attr *out);

uint64_t inode_count(struct fs *fs); /* in memory now */

/* now, by the clock that file times use */
struct timespec inode_now(void);

#endif
