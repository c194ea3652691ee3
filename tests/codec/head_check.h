/* What holds of every answer of head_find(), for tests and fuzz targets. */
#ifndef MATFS_TESTS_HEAD_CHECK_H
#define MATFS_TESTS_HEAD_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "codec/head.h"

static inline bool head_check_items(const struct head_array *a)
{
	uint64_t n = 1;

	if (a->nr_dims == 0)
		return true;
	for (unsigned i = 0; i < a->nr_dims; i++) {
		if (a->dim[i] == 0)
			return a->start == a->end;
	}
	for (unsigned i = 0; i < a->nr_dims; i++) {
		if (__builtin_mul_overflow(n, a->dim[i], &n))
			return false;
	}
	return (a->end - a->start) % a->item == 0 && (a->end - a->start) / a->item == n;
}

/* NULL, or what does not hold of @a. */
static inline const char *head_check_array(const struct head_array *a)
{
	char text[HEAD_TEXT_LEN];

	if (a->width != 1 && a->width != 2 && a->width != 4 && a->width != 8)
		return "width";
	if (a->kind >= HEAD_NR_KINDS || a->type >= HEAD_NR_TYPES)
		return "kind or type";
	if (a->item == 0 || a->item % a->width)
		return "item";
	if (a->group == 0 || a->group % (a->item / a->width))
		return "group";
	if (a->pitch % a->item || (a->plane && !a->pitch) || (a->pitch && a->plane % a->pitch))
		return "pitch or plane";
	if (a->start > a->end || (a->end > INT64_MAX && a->end != UINT64_MAX))
		return "place";
	if (a->nr_dims > HEAD_DIMS || (a->nr_dims && (a->scattered || a->end == UINT64_MAX)))
		return "shape";
	if (!head_check_items(a))
		return "number of items";
	if (a->big_endian && a->width == 1)
		return "order";
	if (head_dtype_text(a, text) != strlen(text) || strlen(text) < 3 ||
	    head_shape_text(a, text) != strlen(text))
		return "text";
	return NULL;
}

/* NULL, or what does not hold of the answer. */
static inline const char *head_check(const struct head_array *a, unsigned nr, unsigned cap,
				     uint64_t off, uint64_t next)
{
	if (nr > cap)
		return "number of arrays";
	if (next && next <= off)
		return "next";
	for (unsigned i = 0; i < nr; i++) {
		const char *wrong = head_check_array(&a[i]);

		if (wrong)
			return wrong;
		if (i && a[i].start < a[i - 1].end)
			return "overlap";
	}
	return NULL;
}

#endif
