/* One budget for all that a mount has in memory: memory=.
 *
 * What is known beforehand is parted: some for the program itself, its threads' scratch and buffers, the rest for the
 * pool of dirty data and for the cache, in the proportion that the settings have. What is not (inodes that the kernel
 * knows, the heap's gaps, pages of the index that are mapped) is watched: a thread looks how much of us is resident,
 * and where that is too much, gives back free memory of the heap and the arenas, then lets go of the index' pages (they
 * stay in the kernel's page cache as long as nobody else needs the memory), then has the cache keep less. It gets its
 * share back once there is room. */
#ifndef FS_BUDGET_H
#define FS_BUDGET_H

#include "fs/fs.h"

struct budget;

struct budget_parts {
	uint64_t pool_len, cache_len; /* bytes */
};

/* @memory and @cache as set, @cache at most @memory. */
void budget_split(uint64_t memory, uint64_t cache, unsigned threads, uint64_t extent_len,
		  struct budget_parts *out);

/* Bytes of this process in memory. */
struct budget_resident {
	uint64_t anon;	/* heap, stacks, cache */
	uint64_t shmem; /* the pool */
	uint64_t file;	/* program, libraries, index */
};

/* From what /proc/PID/status says; -EINVAL: it does not. */
int budget_parse(const char *status, struct budget_resident *out);

/* What the cache may hold from now on.
 * @limit: now; @len: at most; @resident, @max: of all memory. */
uint64_t budget_cache_limit(uint64_t limit, uint64_t len, uint64_t used, uint64_t resident,
			    uint64_t max);

/* Watch @fs, whose parts are up, to keep it within @max bytes. -ENOMEM, -EAGAIN. */
int budget_new(struct fs *fs, uint64_t max, struct budget **out);
/* Ends the thread. NULL is nothing. */
void budget_free(struct budget *b);

struct budget_stat {
	struct budget_resident now;
	uint64_t max;	   /* bytes; 0: not watched */
	uint64_t nr_over;  /* times there was too much */
	uint64_t nr_given; /* times that something was given back */
};
void budget_stat_get(struct fs *fs, struct budget_stat *out);

#endif
