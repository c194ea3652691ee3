/* Where the bytes of a slice are: from an offset in the result to runs of bytes in the array's file. Any place is found
 * without a walk from the beginning. Pure; threads: any. */
#ifndef FS_SLICE_MAP_H
#define FS_SLICE_MAP_H

#include "codec/npy.h"
#include "fs/slice_expr.h"

/* The result, in the order in which it is written: that of the array. */
struct slice_map {
	uint64_t len;	/* bytes of it */
	uint64_t base;	/* in the file: its first byte */
	uint64_t piece; /* bytes that lie together everywhere; 0 only when len is */
	unsigned nr;	/* axes over which the pieces are spread, the fastest first */
	struct slice_step {
		uint64_t count; /* 2 or more */
		int64_t stride; /* bytes in the file */
	} axis[];
};

/* Equal pieces at equal distances. */
struct slice_run {
	uint64_t off;	/* in the file: of the first */
	uint64_t len;	/* bytes of each */
	uint64_t nr;	/* 1 or more */
	int64_t stride; /* from one to the next; 0 where there is one */
};

/* @pick: of the array whose head is @head. Heap, one allocation. -ENOMEM. */
int slice_map_new(const struct npy_head *head, const struct slice_pick *pick,
		  struct slice_map **out);

/* The run that has the byte @off of the result, below its len, and what follows of it, @max bytes in all at most (1 or
 * more). Returns how many that are: run->len * run->nr. */
uint64_t slice_map_run(const struct slice_map *m, uint64_t off, uint64_t max,
		       struct slice_run *run);

/* The bytes of the file that @run reaches over: [*from, *to). */
void slice_run_hull(const struct slice_run *run, uint64_t *from, uint64_t *to);

#endif
