/* A sorted list of few places for any number of arrays.
 *
 * Merging runs over the whole list, so it may not run for each array that comes: after a run that
 * freed less than a quarter of the places there is no other, and an array is then merged with its
 * neighbour or left out. */
#include "codec/head_list.h"

#include <string.h>

#include "conf/base.h"

#define GAP_MAX	   4096u  /* bytes between neighbours, such as heads; a guess */
#define REST_MIN   65536u /* bytes of a gap that a guess is worth; it takes a place in the list */
#define REST_SHARE 8u	  /* one in so many bytes may differ from the guess for the rest */

static unsigned class_of(const struct head_array *a)
{
	unsigned log2 = a->width >= 8 ? 3 : a->width >= 4 ? 2 : a->width >= 2 ? 1 : 0;

	return a->type * 8u + log2 * 2 + a->big_endian;
}

static uint64_t add_up(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

void head_list_note(struct head_list *l, const struct head_array *a, uint64_t len)
{
	uint64_t *mine;

	l->total = add_up(l->total, len);
	if (a->item == 0)
		return;
	mine = &l->of_class[class_of(a)];
	*mine = add_up(*mine, len);
	if (l->largest.item == 0 || len > l->largest_len) {
		l->largest = *a;
		l->largest_len = len;
	}
}

/* Make @a cover @b behind it as well. @loose: rows may differ, and are forgotten. Returns false,
 * @a untouched, where they are not alike. */
static bool merge(struct head_array *a, const struct head_array *b, bool loose)
{
	uint64_t gap = b->start - a->end;
	bool same_rows = a->pitch == b->pitch && a->plane == b->plane && a->group == b->group;

	if (b->start < a->end || gap > GAP_MAX || a->scattered || b->scattered ||
	    a->type != b->type || a->item != b->item || a->width != b->width ||
	    a->big_endian != b->big_endian || a->record != b->record ||
	    (b->start - a->start) % a->item || (!same_rows && !loose))
		return false;
	a->end = b->end;
	if (!same_rows) {
		a->pitch = 0;
		a->plane = 0;
		a->group = a->item / a->width;
	}
	a->fortran = false;
	memset(a->dim, 0, sizeof(a->dim));
	a->nr_dims = a->end != UINT64_MAX;
	if (a->nr_dims)
		a->dim[0] = (a->end - a->start) / a->item;
	return true;
}

static void merge_all(struct head_list *l, bool loose)
{
	unsigned nr = l->nr ? 1 : 0;

	for (unsigned i = 1; i < l->nr; i++) {
		if (!merge(&l->a[nr - 1], &l->a[i], loose))
			l->a[nr++] = l->a[i];
	}
	l->nr = nr;
}

static void make_room(struct head_list *l)
{
	unsigned enough = l->cap - (l->cap + 3) / 4;

	merge_all(l, false);
	if (l->nr > enough)
		merge_all(l, true);
	l->tight = l->nr > enough;
}

/* The number of arrays that begin at @start or before. */
static unsigned place_of(const struct head_list *l, uint64_t start)
{
	unsigned low = 0;
	unsigned high = l->nr;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (l->a[mid].start <= start)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void insert(struct head_list *l, unsigned at, const struct head_array *a)
{
	memmove(l->a + at + 1, l->a + at, (l->nr - at) * sizeof(*l->a));
	l->a[at] = *a;
	l->a[at].kind = l->kind;
	l->nr++;
}

void head_list_add(struct head_list *l, const struct head_array *a)
{
	unsigned at;

	/* First of all: gaps are then closed that @a may lie in. */
	if (head_list_full(l) && !l->tight)
		make_room(l);
	at = place_of(l, a->start);
	if ((at > 0 && l->a[at - 1].end > a->start) || (at < l->nr && l->a[at].start < a->end))
		return;
	head_list_note(l, a, a->end - a->start);
	if (!head_list_full(l))
		insert(l, at, a);
	else if (at > 0)
		merge(&l->a[at - 1], a, true);
}

/* Make @rest span the gap before the array at @at, of which there may be none. */
static bool gap_before(const struct head_list *l, unsigned at, uint64_t from,
		       struct head_array *rest)
{
	rest->start = at ? MAX(from, l->a[at - 1].end) : from;
	rest->end = at < l->nr ? l->a[at].start : UINT64_MAX;
	return rest->end > rest->start && rest->end - rest->start >= REST_MIN;
}

void head_list_rest(struct head_list *l, uint64_t from)
{
	struct head_array rest = l->largest;
	uint64_t alike;

	if (rest.item == 0)
		return;
	alike = l->of_class[class_of(&rest)];
	if (l->total - alike > l->total / REST_SHARE)
		return;
	if (head_list_full(l) && !l->tight)
		make_room(l);
	rest.scattered = true;
	rest.nr_dims = 0;
	memset(rest.dim, 0, sizeof(rest.dim));
	/* From the end, where most is. */
	for (unsigned at = l->nr + 1; at-- > 0 && !head_list_full(l);) {
		if (gap_before(l, at, from, &rest))
			insert(l, at, &rest);
	}
}
