/* When to bring in what a reader will want next: a rule over one open file's reads, without the reading.
 * Threads: one at a time. */
#ifndef FS_READAHEAD_H
#define FS_READAHEAD_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: nothing was read yet. */
struct readahead {
	uint64_t end;	/* where the last reads ended */
	uint64_t asked; /* everything up to here has been asked for */
	unsigned run;	/* reads that went on where the one before ended */
};

/* A read of [off, off + len) comes.
 * @unit    bytes fetched at once, an extent
 * @window  bytes to be ahead of the reader at most, units
 * True: [*from, *from + *n) is to be brought in, which is asked for once. */
bool readahead_step(struct readahead *r, uint64_t off, uint64_t len, uint64_t unit, uint64_t window,
		    uint64_t *from, uint64_t *n);

#endif
