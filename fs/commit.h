/* Transaction groups: when changes become durable.
 *
 * Every change belongs to the group that is open when it is made. A commit closes the group in one exclusive moment
 * (the freeze), lets the next one go on, writes the group's data to the shards, syncs them, and appends one batch to
 * the log: the group's records, whole or not at all. So what a power loss leaves is always the state at the end of some
 * group: a prefix of what was done.
 *
 * Threads: one of its own; the rest any. */
#ifndef FS_COMMIT_H
#define FS_COMMIT_H

#include "fs/gate.h"
#include "fs/inode.h"
#include "fs/op.h"

int commit_new(struct fs *fs, struct commit **out);
/* Start the thread; until then nothing is committed. */
int commit_start(struct fs *fs);
/* A last commit, if @flush; stops the thread. Returns what that commit gave. */
int commit_stop(struct fs *fs, bool flush);
void commit_free(struct commit *c);

/* Enter and leave the open group: every change is made between the two. Returns the group. */
uint64_t commit_enter(struct fs *fs);
void commit_leave(struct fs *fs);
/* The open group; stable between enter and leave, and within an index write transaction. */
uint64_t commit_open_txg(struct fs *fs);

/* The group @txg and all before it are on disk when this returns 0. -EAGAIN: this thread may not wait (later.h). */
int commit_wait(struct fs *fs, uint64_t txg);
/* The space of all that was freed before this call is there again when this returns 0. (commit_wait() returns as soon as
 * its group is durable, which is before that.) -EAGAIN as there. */
int commit_wait_freed(struct fs *fs);
/* Have a commit begin soon. */
void commit_kick(struct fs *fs);
bool commit_durable(struct fs *fs, uint64_t txg);

/* Attributes changed in memory only: the freeze will put them. With @in->lock held. */
void commit_dirty_inode(struct inode *in) REQUIRES(in->lock);

/* For op_end(), inside the write transaction: where a change of group @txg is recorded. */
struct record_buf *commit_records(struct fs *fs, uint64_t txg);
/* For op_end(), inside the write transaction: something was recorded; a commit begins when it has become much. */
void commit_grown(struct fs *fs);
/* What was just written will be @len bytes of records when it is flushed; a commit begins when that is much. */
void commit_expect(struct fs *fs, uint64_t len);
/* The open group has so many records that changes wait for its commit. */
bool commit_is_long(struct fs *fs);
/* Whether the records of @txg may still take file data: a batch has an end, and so has what is kept free for the log. */
bool commit_takes_data(struct fs *fs, uint64_t txg);
int commit_freed_room(struct fs *fs, uint64_t txg, unsigned nr);
void commit_freed(struct fs *fs, uint64_t txg, const struct stripe_loc *loc, unsigned nr);
/* Data of a closed group is still to be written (fs/refer.h); may be true a little too long. */
bool commit_unflushed(struct fs *fs);
int commit_refer_room(struct fs *fs, unsigned nr);
void commit_refer(struct fs *fs, const struct op_refer *refer, unsigned nr);
/* For a late flush: what the open group has done to the count of @gen. False: nothing. */
bool commit_refer_find(struct fs *fs, uint64_t gen, int64_t *change);

/* Readers of stripes enter here: stripes freed meanwhile stay until they left. */
struct gate *commit_gate(struct fs *fs);

/* Before every change: waits for a commit when the open group is long, and when numbers that no recovery will hand out
 * again are few, the logged ceiling being near. */
int commit_admit(struct fs *fs);
void commit_set_ceiling(struct fs *fs, uint64_t ino, uint64_t gen);

struct commit_stat {
	uint64_t open_txg, committed;
	uint64_t nr_commits, nr_failed;
	uint64_t last_ns, max_freeze_ns, last_bytes;
	uint64_t nr_checkpoints, checkpoint_bytes;
};
void commit_stat_get(struct fs *fs, struct commit_stat *out);

#endif
