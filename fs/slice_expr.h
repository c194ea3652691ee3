/* numpy's basic slicing, as text: "[10:20, ::4, -1]". Parsing needs no array; resolving needs its shape.
 * Pure; threads: any. */
#ifndef FS_SLICE_EXPR_H
#define FS_SLICE_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/npy.h"
#include "conf/why.h"

/* Of one expression: a name has room for no more. */
#define SLICE_ITEMS 128

enum slice_item_kind {
	SLICE_INDEX, /* an integer: the axis goes */
	SLICE_RANGE, /* start:stop:step */
	SLICE_REST,  /* an ellipsis: all axes that the others leave */
	SLICE_NEW,   /* None, newaxis: an axis of one more */
};

/* Integers beyond 64 bits are as good as the last ones within, INT64_MAX and INT64_MIN. */
struct slice_item {
	enum slice_item_kind kind;
	unsigned at; /* where it begins in the text */
	bool has_start, has_stop;
	int64_t start, stop; /* of an index, start */
	int64_t step;	     /* not 0 */
};

struct slice_expr {
	unsigned nr;
	struct slice_item item[SLICE_ITEMS];
};

/* The items of an array that are wanted. */
struct slice_pick {
	uint64_t first[NPY_DIMS]; /* of each axis of the array: the index of the first */
	unsigned nr;		  /* axes of the result */
	struct {
		uint64_t count;
		int64_t step; /* in the array; any where count < 2 */
		int axis;     /* of the array; -1: a new one */
	} out[NPY_DIMS];
	bool empty; /* there are none; first[] means nothing then */
};

/* @text: from '[' to ']'. -EINVAL with @why: what is wrong with which character. */
int slice_expr_parse(const char *text, size_t len, struct slice_expr *out, const struct why *why);

/* @dim: @nr_dims lengths up to INT64_MAX, NPY_DIMS of them at most. -EINVAL with @why: more indices than axes, an
 * integer that is out of range, or more axes than NPY_DIMS. (Ranges are cut to what is there, as numpy does.) */
int slice_expr_resolve(const struct slice_expr *e, const uint64_t *dim, unsigned nr_dims,
		       struct slice_pick *out, const struct why *why);

#endif
