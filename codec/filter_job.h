/* What filter.c hands to the code that does the work: a tile without its odd ends. Private to
 * filter*.c. */
#ifndef CODEC_FILTER_JOB_H
#define CODEC_FILTER_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is done to each item's number. */
enum filter_map {
	FILTER_MAP_COPY,
	FILTER_MAP_ZIGZAG, /* of differences */
	FILTER_MAP_FLOAT,
};

/* DELTA and LORENZO are one: the difference over @near items of the difference over @far items,
 * and it does not matter which is taken first. A distance of @nr items or more reaches nothing but
 * zeros; it is @nr here, as is one that the filter does not have. DELTA of order 2 has one distance
 * twice. So, with the map ZIGZAG,
 *
 *   0          <= i < near        z[i] = zigzag(x[i])
 *   near       <= i < far         z[i] = zigzag(x[i] - x[i-near])
 *   far        <= i < near + far  z[i] = zigzag(x[i] - x[i-near] - x[i-far])
 *   near + far <= i < nr          z[i] = zigzag(x[i] - x[i-near] - x[i-far] + x[i-near-far])
 *
 * With @third, near = far = d, and the difference over them is taken once more:
 *
 *   0  <= i < d   z[i] = zigzag(x[i])
 *   d  <= i < 2d  z[i] = zigzag(x[i] - 3 x[i-d])
 *   2d <= i < 3d  z[i] = zigzag(x[i] - 3 x[i-d] + 3 x[i-2d])
 *   3d <= i < nr  z[i] = zigzag(x[i] - 3 x[i-d] + 3 x[i-2d] - x[i-3d]) */
struct filter_job {
	enum filter_map map;
	unsigned width;
	bool swap;	  /* items are big-endian; never of width 1 */
	bool third;	  /* ZIGZAG: of third differences, near == far */
	uint64_t bias;	  /* at its place in the item */
	size_t near, far; /* items; 1 <= near <= far <= nr unless nr is 0 */
	size_t nr;	  /* items; also what is from plane to plane */
	const uint8_t *src;
	uint8_t *dst;
};

/* The ends of the ranges in these tables: from cut[t] to cut[t + 1], the first t of the terms near,
 * far, both (near + far) and all (3 near, of @third) reach an item. */
#define FILTER_CUTS 6

static inline void filter_job_cuts(const struct filter_job *job, size_t cut[FILTER_CUTS])
{
	size_t both = job->near + job->far;
	size_t all = both + job->near;

	cut[0] = 0;
	cut[1] = job->near;
	cut[2] = job->far;
	cut[3] = both < job->nr ? both : job->nr;
	cut[4] = job->third && all < job->nr ? all : job->nr;
	cut[5] = job->nr;
}

/* Items @from to @to - 1, of any job. Undoing items needs all before them undone. */
void filter_plain_apply(const struct filter_job *job, size_t from, size_t to);
void filter_plain_undo(const struct filter_job *job, size_t from, size_t to);

/* Whether this machine has AVX2; without it the other two must not be called. */
bool filter_avx2_here(void);

/* All items. */
void filter_avx2_apply(const struct filter_job *job);
void filter_avx2_undo(const struct filter_job *job);

#endif
