/* What the commands of matfsctl share. Each is one file, matfsctl_<command>.c.
 *
 * A command gets its arguments with its own name first, says what is wrong on standard error (what, why, and what to do
 * about it) and returns the program's exit code. Threads: the only one. */
#ifndef FS_MATFSCTL_H
#define FS_MATFSCTL_H

#include <limits.h>

#include "conf/base.h"
#include "raid/raid.h"

enum {
	EXIT_GOOD = 0,
	EXIT_PARTLY = 1,
	EXIT_UNCORRECTED = 4,
	EXIT_OPERATION = 8,
	EXIT_USAGE = 16,
};

int matfsctl_status(int argc, char **argv);
int matfsctl_fsck(int argc, char **argv);
int matfsctl_extract(int argc, char **argv);
int matfsctl_recompress(int argc, char **argv);
int matfsctl_bench(int argc, char **argv);

/* Say that the command line is wrong. Returns EXIT_USAGE. */
int matfsctl_usage(const char *what);
/* Print a line; for the say() of others. */
void matfsctl_say(void *arg, const char *line);

/* ---- matfsctl_shards.c: opening shards to look at them ---- */

struct shards {
	char *path[SHARD_MAX]; /* absolute; heap */
	unsigned nr;
};

/* The rest return 0 or an exit code, after saying why. */
int matfsctl_shards_init(struct shards *s, char **argv, int argc);
void matfsctl_shards_fini(struct shards *s);
int matfsctl_shards_open(const struct shards *s, struct raid **out);

/* A scratch directory for the index, gone with the process's work. */
int matfsctl_scratch_make(char path[PATH_MAX]);
void matfsctl_scratch_remove(const char *path);

#endif
