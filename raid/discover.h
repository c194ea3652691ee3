/* Finding a volume's shards among the directories that were given, and every reason to refuse them. Reads only, but
 * for the lock and the probe at the end. Threads: one at a time. */
#ifndef RAID_DISCOVER_H
#define RAID_DISCOVER_H

#include <sys/types.h>

#include "raid/raid.h"
#include "raid/store.h"
#include "raid/super.h"

/*   kind     what is at the path
 *   ABSENT   nothing that can be opened (err says why)
 *   EMPTY    an empty directory, or one that an interrupted creation left
 *   HALF     a superblock without SUPER_CREATED: a creation that was interrupted, perhaps only on this shard
 *   SHARD    a superblock
 *   DAMAGED  superblocks, none of them readable (err)
 *   FOREIGN  other files, no superblock */
enum discover_kind {
	DISCOVER_ABSENT,
	DISCOVER_EMPTY,
	DISCOVER_HALF,
	DISCOVER_SHARD,
	DISCOVER_DAMAGED,
	DISCOVER_FOREIGN,
};

struct discover_path {
	char *path; /* absolute, without links where it exists */
	enum discover_kind kind;
	int err;
	struct store *store; /* NULL: not open. Taken out by raid_open() */
	struct super *super; /* of HALF and SHARD. Taken out by raid_open() */
	bool has_id;	     /* dev and ino tell which directory it is */
	dev_t dev;
	ino_t ino;
};

struct discovery {
	const struct raid_params *params;
	bool rdonly;
	struct discover_path at[SHARD_MAX];
	unsigned nr;
	bool create;		    /* there is no volume; make one */
	struct raid_geometry geo;   /* that it has, or shall have */
	const struct super *newest; /* of at[], when there is a volume */
	int of_shard[SHARD_MAX];    /* at[] by position in the volume; -1: missing */
	char why[512];
};

/* Look, wait for what is missing as long as asked, check, lock and probe.
 * Returns 0 or the error of raid_open(), with d->why. discover_fini() in any case. */
int discover(struct discovery *d, const struct raid_params *p);
void discover_fini(struct discovery *d);

/* In discover_path.c: fill at[].path from the parameters, and check them; check them again after a while. */
int discover_take_paths(struct discovery *d);
int discover_check_paths(struct discovery *d);

/* Set d->why and return @err. */
int discover_refuse(struct discovery *d, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* May the volume be used as asked, with @nr_lost of its shards not there? @what: which, for the message. */
int discover_enough(struct discovery *d, unsigned nr_lost, const char *what);

#endif
