/* When to bring in what a reader will want next: a rule over one open file's reads, without the reading.
 *
 * Recognized are readers that go forward, that go backward, and that go by a constant stride either way (every nth row,
 * a column); several of them at once on one open file. All others are left alone.
 * Threads: one at a time. */
#ifndef FS_READAHEAD_H
#define FS_READAHEAD_H

#include <stdbool.h>
#include <stdint.h>

#define READAHEAD_STREAMS 4  /* readers that are followed at once */
#define READAHEAD_RECENT  12 /* reads among which a stride is looked for */
#define READAHEAD_ASKS	  8  /* ranges of one answer, at most */

/* Bytes that are worth bringing in: [off, off + len). */
struct readahead_ask {
	uint64_t off, len;
};

struct readahead_stream {
	uint64_t lo, hi;      /* what it has read lies in here */
	uint64_t asked;	      /* going forward: everything up to here; backward: down to here */
	uint64_t used;	      /* when it went on, as a number of the read; 0: there is none */
	unsigned run;	      /* reads of it */
	unsigned nr_forward;  /* reads that went on beyond hi since one went below lo, */
	unsigned nr_backward; /* and the other way round */
	/* going by a stride: */
	int64_t stride; /* bytes; 0: it does not */
	uint64_t at,
		first; /* where its last read was, and the one from which its steps are counted */
	unsigned nr_steps, nr_ahead; /* since the first; asked for beyond the last read */
};

/* All zero: nothing was read yet. */
struct readahead {
	struct readahead_stream stream[READAHEAD_STREAMS];
	uint64_t recent[READAHEAD_RECENT]; /* offsets, a ring */
	unsigned nr_recent;
	uint64_t nr_reads;
	unsigned run; /* of the stream that the last read belongs to: reads in a row, forward */
};

/* A read of [off, off + len) comes.
 * @unit    bytes fetched at once where all is wanted, an extent
 * @tile    the least that is fetched at once
 * @window  bytes to be ahead of a reader at most, units
 * Returns how many ranges @ask has now; each is asked for once. */
unsigned readahead_step(struct readahead *r, uint64_t off, uint64_t len, uint64_t unit,
			uint64_t tile, uint64_t window, struct readahead_ask ask[READAHEAD_ASKS]);

#endif
