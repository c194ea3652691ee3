/* Dig files out of shards, without mounting: for the day when a volume cannot be mounted any more.
 * Nothing on the shards is changed. Threads: one. */
#ifndef FS_EXTRACT_H
#define FS_EXTRACT_H

#include "raid/raid.h"

struct extract_params {
	const char *to; /* directory that exists; its files are made new, none is overwritten */
	const char *work_dir; /* for a scratch index; exists, empty */
	/* A line for the user: what could not be had. */
	void (*say)(void *arg, const char *line);
	void *arg;
};

struct extract_result {
	uint64_t nr_files, nr_dirs, bytes;
	uint64_t nr_damaged; /* files with a range that could not be read: a hole is left there */
};

/* With metadata: names, modes, owners (as root), times, links, extended attributes. -EBADMSG when checkpoint and log
 * cannot be read. */
int extract_tree(struct raid *r, const struct extract_params *p, struct extract_result *out);

/* By the heads of chunks alone: each file as "inode-N", newest bytes over older. What was deleted or cut off but not yet
 * overwritten on the shards comes back, too; sizes are those of the data. @paths: the shards' directories. */
int extract_chunks(const struct store_ops *ops, const char *const *paths, unsigned nr_paths,
		   const struct extract_params *p, struct extract_result *out);

#endif
