/* Small reads of one shard that follow one another closely: small files read in the order in which they were written.
 * Each alone would wait for the disk, so what lies ahead of them is asked for in one go, into the page cache.
 *
 * Pure arithmetic in blocks; the reading is the caller's. Threads: any, each nearby has a lock, a leaf. */
#ifndef RAID_NEARBY_H
#define RAID_NEARBY_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/lock.h"

#define NEARBY_STREAMS 4u /* readers in places of their own that are followed at once */
#define NEARBY_GAP                                                                                 \
	64u /* blocks: what is skipped is other files, and copies that stand in for parity */
#define NEARBY_RUN    3u   /* reads close to one another before anything is fetched */
#define NEARBY_WINDOW 128u /* blocks that are fetched ahead: 512 KiB */

struct nearby_stream {
	uint32_t segment;
	uint32_t end;	/* behind the furthest read */
	uint32_t until; /* fetched up to here */
	uint32_t run;	/* reads so far; 0: the stream is free */
};

struct nearby {
	struct lock lock;
	struct nearby_stream stream[NEARBY_STREAMS]; /* guarded by lock, as the next */
	unsigned next;				     /* to be replaced */
};

void nearby_init(struct nearby *n);
void nearby_fini(struct nearby *n);

/* Blocks [@block, @block + @nr) of @segment are read. True: [*from, *from + *nr_ahead) are worth fetching now; the segment
 * may end before. */
bool nearby_step(struct nearby *n, uint32_t segment, uint32_t block, uint32_t nr, uint32_t *from,
		 uint32_t *nr_ahead);

#endif
