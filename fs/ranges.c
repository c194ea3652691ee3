/* Sorted ranges in an array: found by halving, moved once on a change. A list of hundreds is a few KiB, so a move costs no
 * more than the copy of the bytes it is about. */
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

int ranges_room(struct ranges *r, unsigned nr)
{
	unsigned cap = MAX(MAX(CAP_MIN, r->cap * 2), r->nr + nr);
	struct range *at;

	if (r->nr + nr <= r->cap)
		return 0;
	at = realloc(r->at, cap * sizeof(*at));
	if (!at)
		return -ENOMEM;
	r->at = at;
	r->cap = cap;
	return 0;
}

unsigned ranges_find(const struct ranges *r, uint32_t off)
{
	unsigned low = 0, high = r->nr;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (r->at[mid].off + r->at[mid].len <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
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

static bool range_goes_on(const struct range *a, uint32_t off, uint32_t pos)
{
	return a->off + a->len == off && a->pos + a->len == pos;
}

/* Ranges [from, to) reach into [off, end): put the gaps before, between and behind them among them. */
static void ranges_mingle(struct ranges *r, unsigned from, unsigned to, unsigned nr_gaps,
			  uint32_t off, uint32_t end, uint32_t pos_end)
{
	struct range *at = r->at, *put = at + to + nr_gaps;

	memmove(put, at + to, (r->nr - to) * sizeof(*at));
	for (;;) {
		uint32_t begin = to > from ? MAX(off, at[to - 1].off + at[to - 1].len) : off;

		if (begin < end) {
			pos_end -= end - begin;
			*--put = (struct range){begin, end - begin, pos_end};
		}
		if (to == from)
			break;
		*--put = at[--to];
		end = put->off;
	}
	assert(put == at + from);
}

void ranges_fill(struct ranges *r, uint32_t off, uint32_t end, uint32_t pos)
{
	/* Most writes go on where the last one ended. */
	unsigned from = ranges_end(r) <= off ? r->nr : ranges_find(r, off), to = from, nr;
	uint32_t stop = from < r->nr ? MIN(end, r->at[from].off) : end, len;

	/* So that what comes in several steps makes no more ranges than in one. */
	if (off < stop && from && range_goes_on(&r->at[from - 1], off, pos)) {
		r->at[from - 1].len += stop - off;
		r->len += stop - off;
		pos += stop - off;
		off = stop;
	}
	ranges_gaps(r, off, end, &nr, &len);
	if (!nr)
		return;
	while (to < r->nr && r->at[to].off < end)
		to++;
	assert(r->nr + nr <= r->cap);
	ranges_mingle(r, from, to, nr, off, end, pos + len);
	r->nr += nr;
	r->len += len;
}

void ranges_join(struct ranges *r)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < r->nr; i++) {
		if (nr && range_goes_on(&r->at[nr - 1], r->at[i].off, r->at[i].pos))
			r->at[nr - 1].len += r->at[i].len;
		else
			r->at[nr++] = r->at[i];
	}
	r->nr = nr;
}

unsigned ranges_stretch(const struct ranges *r, unsigned idx)
{
	while (++idx < r->nr && r->at[idx].off == r->at[idx - 1].off + r->at[idx - 1].len)
		;
	return idx;
}

unsigned ranges_nr_stretches(const struct ranges *r)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < r->nr; i = ranges_stretch(r, i))
		nr++;
	return nr;
}

void ranges_gaps(const struct ranges *r, uint32_t off, uint32_t end, unsigned *nr, uint32_t *len)
{
	*nr = *len = 0;
	for (unsigned i = ranges_find(r, off); off < end; i++) {
		uint32_t stop = i < r->nr ? MIN(end, r->at[i].off) : end;

		if (off < stop) {
			++*nr;
			*len += stop - off;
		}
		off = i < r->nr ? r->at[i].off + r->at[i].len : end;
	}
}

/* What is left of the ranges [*from, *to), those that [off, end) cuts. */
static unsigned ranges_left(const struct ranges *r, uint32_t off, uint32_t end, unsigned *from,
			    unsigned *to, struct range left[2])
{
	const struct range *a;
	unsigned nr = 0;

	*from = *to = ranges_find(r, off);
	while (*to < r->nr && r->at[*to].off < end)
		++*to;
	if (*from == *to)
		return 0;
	a = &r->at[*from];
	if (a->off < off)
		left[nr++] = (struct range){a->off, off - a->off, a->pos};
	a = &r->at[*to - 1];
	if (a->off + a->len > end)
		left[nr++] = (struct range){end, a->off + a->len - end, a->pos + (end - a->off)};
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
