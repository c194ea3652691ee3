/* Check every structure of a volume that is not mounted. Nothing on the shards is changed.
 *
 * Finding: one line through @say, naming the structure and what is wrong with it. */
#ifndef FS_FSCK_H
#define FS_FSCK_H

#include "fs/index.h"
#include "raid/raid.h"

struct fsck_params {
	struct raid *raid;    /* borrowed, read-only */
	const char *work_dir; /* for a scratch index; exists, empty */
	bool data;	      /* read and verify all data, too */
	void (*say)(void *arg, const char *line);
	/* @done of @total bytes of data verified; may be NULL */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
};

struct fsck_result {
	uint64_t nr_problems;	/* of metadata, and extents that cannot be read */
	uint64_t nr_bad_chunks; /* that redundancy covers: a scrub or a read repairs them */
	uint64_t nr_inodes, nr_dirs, nr_extents, logical;
};

/* Returns 0 when the check could be carried through, whatever it found; -EBADMSG when neither a checkpoint nor the log
 * can be read; -ENOMEM, ... */
int fsck_run(const struct fsck_params *p, struct fsck_result *out);

/* The part that looks at an index alone, for tests. */
int fsck_index(struct index *x, const struct fsck_params *p, struct fsck_result *out);

#endif
