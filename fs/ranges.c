/* Sorted ranges in an array: found by halving, moved on a change. A list of hundreds is a few KiB, so a move costs less
 * than the copy of the bytes it is about. */
#include "fs/ranges.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"

#define CAP_MIN 4u

void ranges_fini(struct ranges *r)
{
	free(r->at);
	*r = (struct ranges){0};
}

int ranges_room(struct ranges *r)
{
	unsigned cap = MAX(CAP_MIN, r->cap * 2);
	struct range *at;

	if (r->nr < r->cap)
		return 0;
	at = realloc(r->at, cap * sizeof(*at));
	if (!at)
		return -ENOMEM;
	r->at = at;
	r->cap = cap;
	return 0;
}

/* The first range that ends at or after @off, where @touch, else after it. */
static unsigned ranges_first(const struct ranges *r, uint32_t off, bool touch)
{
	unsigned low = 0, high = r->nr;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;
		uint32_t end = r->at[mid].off + r->at[mid].len;

		if (end < off || (end == off && !touch))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

unsigned ranges_find(const struct ranges *r, uint32_t off)
{
	return ranges_first(r, off, false);
}

/* Ranges [from, to) become @nr others; there is room. */
static void ranges_replace(struct ranges *r, unsigned from, unsigned to, const struct range *with,
			   unsigned nr)
{
	for (unsigned i = from; i < to; i++)
		r->len -= r->at[i].len;
	for (unsigned i = 0; i < nr; i++)
		r->len += with[i].len;
	assert(r->nr - (to - from) + nr <= r->cap);
	memmove(r->at + from + nr, r->at + to, (r->nr - to) * sizeof(*r->at));
	memcpy(r->at + from, with, nr * sizeof(*r->at));
	r->nr = r->nr - (to - from) + nr;
}

void ranges_add(struct ranges *r, uint32_t off, uint32_t len)
{
	/* Most writes go on where the last one ended. */
	bool last = r->nr && ranges_end(r) == off;
	unsigned from = last ? r->nr - 1 : ranges_first(r, off, true), to = from;
	uint32_t end = off + len;
	struct range all;

	for (; to < r->nr && r->at[to].off <= end; to++) {
		off = MIN(off, r->at[to].off);
		end = MAX(end, r->at[to].off + r->at[to].len);
	}
	all = (struct range){off, end - off};
	ranges_replace(r, from, to, &all, 1);
}

/* What is left of the ranges [*from, *to), those that [off, end) cuts. */
static unsigned ranges_left(const struct ranges *r, uint32_t off, uint32_t end, unsigned *from,
			    unsigned *to, struct range left[2])
{
	unsigned nr = 0;

	*from = *to = ranges_first(r, off, false);
	while (*to < r->nr && r->at[*to].off < end)
		++*to;
	if (*from == *to)
		return 0;
	if (r->at[*from].off < off)
		left[nr++] = (struct range){r->at[*from].off, off - r->at[*from].off};
	if (r->at[*to - 1].off + r->at[*to - 1].len > end)
		left[nr++] = (struct range){end, r->at[*to - 1].off + r->at[*to - 1].len - end};
	return nr;
}

void ranges_cut_size(const struct ranges *r, uint32_t off, uint32_t end, unsigned *nr,
		     uint64_t *len)
{
	struct range left[2];
	unsigned from, to, n = ranges_left(r, off, end, &from, &to, left);

	*nr = r->nr - (to - from) + n;
	*len = r->len;
	for (unsigned i = from; i < to; i++)
		*len -= r->at[i].len;
	for (unsigned i = 0; i < n; i++)
		*len += left[i].len;
}

void ranges_cut(struct ranges *r, uint32_t off, uint32_t end)
{
	struct range left[2];
	unsigned from, to, n = ranges_left(r, off, end, &from, &to, left);

	if (from != to)
		ranges_replace(r, from, to, left, n);
}
