/* A sorted list of ranges that do not overlap: which bytes of a window are dirty, and where in its buffer each is.
 * Ranges may touch when their bytes do not. All zero is empty. Threads: the owner's. */
#ifndef FS_RANGES_H
#define FS_RANGES_H

#include <stdbool.h>
#include <stdint.h>

struct range {
	uint32_t off, len; /* bytes; len is not 0 */
	uint32_t pos;	   /* of its first byte, in the buffer */
};

struct ranges {
	struct range *at; /* heap */
	unsigned nr, cap;
	uint64_t len; /* of all together */
};

void ranges_fini(struct ranges *r);

/* Room for @nr ranges more than there are. -ENOMEM. */
int ranges_room(struct ranges *r, unsigned nr);
/* What of [off, end) is not in the list: so many gaps, so many bytes. */
void ranges_gaps(const struct ranges *r, uint32_t off, uint32_t end, unsigned *nr, uint32_t *len);
/* All of [off, end) is in the list; the bytes of its gaps lie one after the other from @pos on. There is room for a range
 * for each gap. A range that is filled in several steps, in order, makes no more of them. */
void ranges_fill(struct ranges *r, uint32_t off, uint32_t end, uint32_t pos);
/* Ranges that touch, and whose bytes do, become one. */
void ranges_join(struct ranges *r);

/* Behind the last of the ranges that touch each other, beginning with range @idx: a stretch. */
unsigned ranges_stretch(const struct ranges *r, unsigned idx);
unsigned ranges_nr_stretches(const struct ranges *r);

/* What ranges_cut() would leave, of the list's nr and len. */
void ranges_cut_size(const struct ranges *r, uint32_t off, uint32_t end, unsigned *nr,
		     uint64_t *len);
/* [off, end) is not in the list. One range may become two: then there must be room for it. */
void ranges_cut(struct ranges *r, uint32_t off, uint32_t end);

/* The first range that ends after @off; nr when there is none. */
unsigned ranges_find(const struct ranges *r, uint32_t off);

/* Where the last one ends; 0: there is none. */
static inline uint32_t ranges_end(const struct ranges *r)
{
	return r->nr ? r->at[r->nr - 1].off + r->at[r->nr - 1].len : 0;
}

#endif
