/* Axes that follow each other without a gap are made one when the map is made; what is left are pieces, spread over axes
 * of which each has a stride of its own. A place is found by dividing its offset by the axes' lengths.
 *
 * Nothing here overflows: the head was checked to end within INT64_MAX, all that is picked lies within it, and where
 * nothing is picked no stride is computed. */
#include "fs/slice_map.h"

#include <errno.h>
#include <stdlib.h>

#include "conf/base.h"

/* Bytes from one index of each axis to the next. */
static void strides_of(const struct npy_head *head, uint64_t stride[NPY_DIMS])
{
	uint64_t n = head->item;

	for (unsigned i = 0; i < head->nr_dims; i++) {
		unsigned axis = head->fortran ? i : head->nr_dims - 1 - i;

		stride[axis] = n;
		n *= head->dim[axis];
	}
}

/* The next slower axis. */
static void add_axis(struct slice_map *m, uint64_t count, int64_t stride)
{
	struct slice_step *last = m->nr ? &m->axis[m->nr - 1] : NULL;

	if (count == 1)
		return;
	if (!last && stride == (int64_t)m->piece) {
		m->piece *= count;
	} else if (last && (uint64_t)stride == (uint64_t)last->stride * last->count) {
		last->count *= count;
	} else {
		m->axis[m->nr].count = count;
		m->axis[m->nr].stride = stride;
		m->nr++;
	}
}

static void add_axes(struct slice_map *m, const struct npy_head *head,
		     const struct slice_pick *pick)
{
	uint64_t stride[NPY_DIMS];

	strides_of(head, stride);
	m->base = head->start;
	for (unsigned i = 0; i < head->nr_dims; i++)
		m->base += pick->first[i] * stride[i];
	m->piece = head->item;
	m->len = head->item;
	for (unsigned i = 0; i < pick->nr; i++) {
		unsigned at = head->fortran ? i : pick->nr - 1 - i;
		uint64_t count = pick->out[at].count;

		m->len *= count;
		if (count > 1)
			add_axis(m, count,
				 pick->out[at].step * (int64_t)stride[pick->out[at].axis]);
	}
}

int slice_map_new(const struct npy_head *head, const struct slice_pick *pick,
		  struct slice_map **out)
{
	struct slice_map *m = calloc(1, sizeof(*m) + pick->nr * sizeof(m->axis[0]));

	if (!m)
		return -ENOMEM;
	if (!pick->empty && head->len)
		add_axes(m, head, pick);
	*out = m;
	return 0;
}

uint64_t slice_map_run(const struct slice_map *m, uint64_t off, uint64_t max, struct slice_run *run)
{
	uint64_t within = off % m->piece, nr = off / m->piece, left = 1;

	*run = (struct slice_run){.off = m->base + within, .nr = 1};
	for (unsigned i = 0; i < m->nr; i++) {
		uint64_t idx = nr % m->axis[i].count;

		nr /= m->axis[i].count;
		/* Modulo 2^64, where a sum with a negative stride is right, too. */
		run->off += idx * (uint64_t)m->axis[i].stride;
		if (i == 0)
			left = m->axis[i].count - idx;
	}
	if (within || max < m->piece) {
		run->len = MIN(m->piece - within, max);
		return run->len;
	}
	run->len = m->piece;
	run->nr = MIN(left, max / m->piece);
	if (run->nr > 1)
		run->stride = m->axis[0].stride;
	return run->nr * run->len;
}

void slice_run_hull(const struct slice_run *run, uint64_t *from, uint64_t *to)
{
	uint64_t span = (run->nr - 1) * (uint64_t)(run->stride < 0 ? -run->stride : run->stride);

	*from = run->stride < 0 ? run->off - span : run->off;
	*to = *from + span + run->len;
}
