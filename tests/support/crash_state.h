/* What the disks in memory hold: at each moment what programs see, what is surely on disk, and the steps between.
 *
 * A step is a change that was done in full, or the sync of some. It is immutable and counted, so that lists of unsynced
 * changes, journals and clones share it.
 * Threads: one per state; states that share pages and steps may be in different threads. */
#ifndef SUPPORT_CRASH_STATE_H
#define SUPPORT_CRASH_STATE_H

#include <stdatomic.h>

#include "conf/base.h"
#include "tests/support/crash_map.h"

enum crash_kind {
	/* Of these each is a step. */
	CRASH_WRITE,
	CRASH_PUNCH,
	CRASH_TRUNCATE,
	CRASH_ALLOCATE,
	CRASH_SYNC,
	CRASH_CREATE,
	CRASH_MKDIR,
	CRASH_RENAME,
	CRASH_UNLINK,
	CRASH_SYNC_DIR,
	CRASH_SYNC_FAILED, /* a sync that was answered by an error: what it covered may be lost, for good */
	/* These change nothing. */
	CRASH_READ,
	CRASH_OPEN,
	CRASH_SIZE,
	CRASH_SEEK,
	CRASH_LIST,
	CRASH_ATTACH,
	CRASH_PROBE,
	CRASH_LOCK,
	CRASH_SPACE,
	CRASH_NR_KINDS,
	CRASH_ANY = CRASH_NR_KINDS, /* for faults */
};

#define CRASH_TOP_INO 1 /* the inode of a shard's own directory */

/* A name in a directory. */
struct crash_key {
	uint64_t dir; /* its inode */
	char *name;   /* NULL: unused */
};

struct crash_step {
	atomic_uint refs;
	enum crash_kind kind;
	unsigned shard;
	uint64_t
		ino; /* what it is about: the file; the directory; what a name led to or leads to */
	struct crash_key key[2]; /* of changes of names; [1] is where a rename leads */
	uint64_t off, len;	 /* of changes of bytes; CRASH_SYNC_FAILED: off is a seed */
	uint8_t data[];		 /* CRASH_WRITE */
};

/* @data_len bytes for the caller to fill. One reference, the caller's. */
struct crash_step *crash_step_new(enum crash_kind kind, unsigned shard, uint64_t ino,
				  size_t data_len);
void crash_step_key(struct crash_step *st, unsigned idx, uint64_t dir, const char *name);
struct crash_step *crash_step_get(struct crash_step *st);
void crash_step_put(struct crash_step *st);

struct crash_steps {
	struct crash_step **v;
	size_t nr, cap;
};
/* Takes over the caller's reference. */
void crash_steps_add(struct crash_steps *l, struct crash_step *st);
void crash_steps_fini(struct crash_steps *l);

struct crash_name {
	char *name;
	uint64_t ino;
};

struct crash_names {
	struct crash_name *v;
	size_t nr, cap;
};

/* A file or a directory. It goes with its last reference: a name seen or on disk, a pending change of names that tells
 * of it, an open file. */
struct crash_inode {
	uint64_t ino;
	bool is_dir;
	unsigned refs;
	unsigned nr_open;		      /* of the refs: open files */
	struct crash_map now;		      /* as programs see it */
	struct crash_map disk;		      /* as is surely on disk */
	struct crash_steps pending;	      /* what makes the one into the other, in order */
	struct crash_names names, disk_names; /* of a directory, likewise; pending is the shard's */
};

struct crash_shard {
	struct crash_inode **inode; /* by ino */
	size_t nr, cap;
	uint64_t next_ino;
	struct crash_steps pending; /* changes of names not surely on disk */
	uint64_t nr_used;	    /* pages that files take, as programs see it */
};

struct crash_state {
	unsigned nr_shards;
	struct crash_shard *shard;
};

struct crash_state *crash_state_new(unsigned nr_shards);
/* Nothing is open in the clone; what only open files held is not in it. */
struct crash_state *crash_state_clone(const struct crash_state *s);
void crash_state_free(struct crash_state *s);

struct crash_inode *crash_inode_find(const struct crash_shard *sh, uint64_t ino);
/* Count one more, one fewer open file of it. */
void crash_inode_open(struct crash_inode *in);
void crash_inode_close(struct crash_shard *sh, struct crash_inode *in);
/* NULL: there is no such name. */
struct crash_inode *crash_lookup(const struct crash_shard *sh, const struct crash_inode *dir,
				 const char *name);

/* Do @st, which must make sense: names are there or not as it needs them. A change to a file that is gone (it was open
 * when the step was recorded) does nothing. */
void crash_apply(struct crash_state *s, struct crash_step *st);

/* The state after a loss of power, by @seed one of those that a disk and a journaling file system could leave:
 * - what was synced is there;
 * - an unsynced write may be there, or not, or in any of its sectors, others being as before or zeros; what is
 *   there is there in the order of the steps;
 * - other unsynced changes are there or not; one of names only with the earlier ones that concern the same names;
 * - @in_flight, the step that the power loss hit (or NULL), is one more unsynced change. */
struct crash_state *crash_resolve(const struct crash_state *s, struct crash_step *in_flight,
				  uint64_t seed);

/* A small generator of random numbers, the same everywhere. */
uint64_t crash_random(uint64_t *state);
/* 0 to @n - 1. */
uint64_t crash_below(uint64_t *state, uint64_t n);

#endif
