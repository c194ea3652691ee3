/* A random workload on a volume, with a model beside it: what a power loss may leave is one of the states that the model
 * went through.
 *
 *   - the state after some operation n: a prefix, all of it, nothing else                 (promise 2)
 *   - n is not before the last sync that returned before the cut                           (promise 1)
 *   - n is not after the operation that was under way */
#ifndef TESTS_CRASH_WORK_H
#define TESTS_CRASH_WORK_H

#include "tests/crash/model.h"
#include "tests/crash/rig.h"

#define WORK_HELD     4
#define WORK_ALL_DIRS UINT32_MAX

struct work_done {
	uint64_t part[MODEL_PARTS];
	uint64_t begun; /* steps done when the operation began */
};

struct work_promise {
	uint64_t step; /* steps done when the sync returned */
	unsigned op;
};

struct work {
	struct chance c;
	struct fs *fs;
	struct crash_disk *disk;
	struct model m;
	struct work_done *done; /* done[n]: state after n operations; heap */
	unsigned nr_done, cap_done;
	struct work_promise *promise; /* heap */
	unsigned nr_promises, cap_promises;
	struct inode *dir[MODEL_DIRS];
	struct inode *held[WORK_HELD]; /* open files without a name */
	unsigned only;		       /* the one directory that is worked in, or WORK_ALL_DIRS */
	bool full_ok;		       /* -ENOSPC is an answer */
	unsigned nr_full;
	unsigned max_len; /* of one write */
};

/* @only: a directory, which is there already, or WORK_ALL_DIRS. w->m is what @fs holds: empty, or from model_read(). */
void work_init(struct work *w, uint64_t seed, struct fs *fs, struct crash_disk *d, unsigned only);
void work_run(struct work *w, unsigned ops);
/* Lets go of inodes: before w->fs is closed. */
void work_end(struct work *w);
void work_fini(struct work *w);

/* Fails unless a cut at @step may leave @m, of which only w's directories are looked at. */
void work_check(struct work *w, uint64_t step, const struct model *m);

#endif
