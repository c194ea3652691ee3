/* Bringing the index to what the shards say.
 *
 * After a clean stop the index on local disk is taken as it is, when its mark names the very place in the log where the
 * volume was left. After anything else it is made anew: the newest checkpoint, then the log. */
#ifndef FS_RECOVER_H
#define FS_RECOVER_H

#include "fs/fs.h"

struct recover_fix {
	uint64_t ino, mapped;
};

/* What was found. Arrays are the heap's: recover_fini(). */
struct recovered {
	bool reused; /* the index of the last mount */
	bool empty;  /* no root yet: a new volume */
	uint64_t next_ino, next_gen;
	uint64_t *orphan;
	size_t nr_orphans, cap_orphans;
	struct recover_fix
		*fix; /* inodes whose attr.mapped the last freeze did not get to record */
	size_t nr_fixes, cap_fixes;
	uint64_t freed_bytes; /* of stripes without a name, given back */
};

/* Open fs->index, fill it, walk all of it: counters, orphans, live stripes. On failure one line in @why. */
int recover_index(struct fs *fs, const char *dir, struct recovered *out, char *why, size_t why_len);
void recover_fini(struct recovered *r);

/* Mark the index as that of a clean stop at the end of the log, durably. */
int recover_mark(struct fs *fs);

/* Fill an index from shards without looking at local state: for fsck and extract. */
int recover_build(struct raid *r, struct index *x, uint64_t *next_ino, uint64_t *next_gen);

#endif
