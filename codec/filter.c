/* Filters: the choice of code, and the ends of a tile that are copied.
 *
 * The work is done twice over: filter_plain.c is for any machine, filter_avx2.c for those of today;
 * both give the same bytes. Which one runs is asked of the processor on each call: a load and a
 * test against the work of a whole tile. */
#include "codec/filter.h"

#include <assert.h>
#include <string.h>

#include "codec/filter_job.h"
#include "conf/base.h"

bool filter_ok(const struct filter *f)
{
	if (f->width != 1 && f->width != 2 && f->width != 4 && f->width != 8)
		return false;
	if (f->swap > 1 || (f->swap && (f->width == 1 || f->id == FILTER_NONE)))
		return false;
	if (f->id != FILTER_DELTA && f->order)
		return false;
	switch (f->id) {
	case FILTER_NONE:
		return !f->bias && !f->dist && !f->pitch;
	case FILTER_DELTA:
		return !f->bias && f->dist && !f->pitch && f->order && f->order <= FILTER_ORDER_MAX;
	case FILTER_LORENZO:
		return !f->bias && f->dist && f->pitch && f->pitch % f->width == 0;
	case FILTER_FLOAT:
		return f->width > 1 && f->bias <= (f->width == 8 ? FILTER_BIAS_MAX : 0) &&
		       !f->dist && !f->pitch;
	default:
		return false;
	}
}

static struct filter_job job_of(const struct filter *f, uint8_t *dst, const uint8_t *src, size_t nr)
{
	static const enum filter_map maps[FILTER_NR] = {
		[FILTER_NONE] = FILTER_MAP_COPY,
		[FILTER_DELTA] = FILTER_MAP_ZIGZAG,
		[FILTER_LORENZO] = FILTER_MAP_ZIGZAG,
		[FILTER_FLOAT] = FILTER_MAP_FLOAT,
	};
	size_t dist = f->dist ? MIN((size_t)f->dist, nr) : nr;
	size_t above = f->pitch ? MIN((size_t)f->pitch / f->width, nr) : f->order > 1 ? dist : nr;

	return (struct filter_job){
		.map = maps[f->id],
		.width = f->width,
		.swap = f->swap,
		.third = f->order == 3,
		.bias = (uint64_t)f->bias << 52,
		.near = MIN(dist, above),
		.far = MAX(dist, above),
		.nr = nr,
		.src = src,
		.dst = dst,
	};
}

/* Copy what does not belong to a whole item, and say what is left to do. */
static struct filter_job begin(const struct filter *f, uint8_t *dst, const uint8_t *src, size_t len,
			       unsigned phase)
{
	size_t head = MIN(len, (size_t)phase);
	size_t nr = (len - head) / f->width;
	size_t tail = head + nr * f->width;

	assert(filter_ok(f) && phase < f->width);
	if (head)
		memcpy(dst, src, head);
	if (tail < len)
		memcpy(dst + tail, src + tail, len - tail);
	return job_of(f, dst + head, src + head, nr);
}

static enum filter_impl best(void)
{
	return filter_avx2_here() ? FILTER_AVX2 : FILTER_PLAIN;
}

static void apply_by(enum filter_impl impl, const struct filter_job *job)
{
	if (job->width == 1 && job->map == FILTER_MAP_COPY) {
		if (job->nr)
			memcpy(job->dst, job->src, job->nr);
	} else if (impl == FILTER_AVX2) {
		filter_avx2_apply(job);
	} else {
		filter_plain_apply(job, 0, job->nr);
	}
}

static void undo_by(enum filter_impl impl, const struct filter_job *job)
{
	if (job->width == 1 && job->map == FILTER_MAP_COPY) {
		if (job->nr)
			memcpy(job->dst, job->src, job->nr);
	} else if (impl == FILTER_AVX2) {
		filter_avx2_undo(job);
	} else {
		filter_plain_undo(job, 0, job->nr);
	}
}

void filter_apply(const struct filter *f, uint8_t *dst, const uint8_t *src, size_t len,
		  unsigned phase)
{
	struct filter_job job = begin(f, dst, src, len, phase);

	apply_by(best(), &job);
}

void filter_undo(const struct filter *f, uint8_t *dst, const uint8_t *src, size_t len,
		 unsigned phase)
{
	struct filter_job job = begin(f, dst, src, len, phase);

	undo_by(best(), &job);
}

static bool impl_here(enum filter_impl impl)
{
	return impl == FILTER_PLAIN || (impl == FILTER_AVX2 && filter_avx2_here());
}

bool filter_apply_with(enum filter_impl impl, const struct filter *f, uint8_t *dst,
		       const uint8_t *src, size_t len, unsigned phase)
{
	struct filter_job job;

	if (!impl_here(impl))
		return false;
	job = begin(f, dst, src, len, phase);
	apply_by(impl, &job);
	return true;
}

bool filter_undo_with(enum filter_impl impl, const struct filter *f, uint8_t *dst,
		      const uint8_t *src, size_t len, unsigned phase)
{
	struct filter_job job;

	if (!impl_here(impl))
		return false;
	job = begin(f, dst, src, len, phase);
	undo_by(impl, &job);
	return true;
}
