/* Items and shapes.
 *
 * A row is what the fastest axis spans. A fastest axis of 2 to 4 (RGB, x and y and z, a complex
 * number kept as two floats) is not a row but a group, and the row is the axis behind it. Axes of
 * length 1 are not there for this. */
#include "codec/head_item.h"

#include <string.h>

#include "conf/base.h"

#define GROUP_MIN 2
#define GROUP_MAX 4

bool head_item_number(struct head_array *a, enum head_type type, uint64_t size, bool big)
{
	uint64_t part = type == HEAD_COMPLEX ? size / 2 : size;
	uint8_t width;

	if (type == HEAD_COMPLEX && size % 2)
		return false;
	switch (part) {
	case 1:
	case 2:
	case 4:
	case 8:
		width = (uint8_t)part;
		break;
	case 12: /* x87's ten bytes, as i386 and amd64 pad them */
		width = 4;
		break;
	case 16:
		width = 8;
		break;
	default:
		return false;
	}
	a->type = type;
	a->width = width;
	a->item = (uint32_t)size;
	a->group = (uint32_t)(size / width);
	a->big_endian = big && width > 1;
	a->record = false;
	return true;
}

bool head_item_record(struct head_array *a, const struct head_array *number, uint64_t size)
{
	uint8_t width = number->width;

	if (width == 0 || size == 0 || size > UINT32_MAX || size % width)
		return false;
	a->type = number->type;
	a->width = width;
	a->item = (uint32_t)size;
	a->group = (uint32_t)(size / width);
	a->big_endian = number->big_endian;
	a->record = true;
	return true;
}

/* A complex number beside a float is two of these. */
static uint8_t part_type(const struct head_array *a)
{
	if (!a->record && !head_is_float(a) && (a->type == HEAD_FLOAT || a->type == HEAD_COMPLEX))
		return HEAD_OTHER;
	return a->type == HEAD_COMPLEX ? HEAD_FLOAT : a->type;
}

bool head_item_join(struct head_array *all, const struct head_array *field)
{
	if (all->width == 0) {
		all->width = field->width;
		all->type = part_type(field);
		all->big_endian = field->big_endian;
		return all->width != 0;
	}
	if (all->width != field->width)
		return false;
	if (all->type != part_type(field) || all->big_endian != field->big_endian)
		all->type = HEAD_OTHER;
	return true;
}

/* False: too large. No items at all is never too large. */
static bool product(const uint64_t *dims, unsigned nr, uint64_t *out)
{
	uint64_t n = 1;
	bool over = false;

	for (unsigned i = 0; i < nr; i++) {
		if (dims[i] == 0) {
			*out = 0;
			return true;
		}
		over |= __builtin_mul_overflow(n, dims[i], &n);
	}
	*out = n;
	return !over;
}

/* @span  bytes of an item, of a run along the fastest axis, of those along the second, ...
 * @nr    of these; the one along the slowest of all @nr_axes is the array */
static void rows_of(struct head_array *a, const uint64_t *span, unsigned nr, unsigned nr_axes)
{
	uint64_t fastest = nr > 1 ? span[1] / a->item : 0;
	unsigned row = 1;
	uint32_t group;

	if (nr_axes >= 2 && fastest >= GROUP_MIN && fastest <= GROUP_MAX &&
	    !__builtin_mul_overflow(a->group, (uint32_t)fastest, &group)) {
		a->group = group;
		row = 2;
	}
	a->pitch = row < nr && row < nr_axes ? span[row] : 0;
	a->plane = row + 1 < nr && row + 1 < nr_axes ? span[row + 1] : 0;
}

static void set_rows(struct head_array *a, const uint64_t *dims, unsigned nr, bool fortran)
{
	uint64_t span[4] = {a->item}; /* bytes of an item, and of the fastest axes that are told */
	unsigned nr_spans = 1;
	unsigned nr_long = 0;

	a->group = a->item / a->width;
	for (unsigned i = 0; i < nr; i++) {
		uint64_t d = dims[fortran ? i : nr - 1 - i];

		if (d <= 1)
			continue;
		nr_long++;
		/* A span that is too large can only be of an array without items. */
		if (nr_spans == nr_long && nr_long < ARRAY_LEN(span) &&
		    !__builtin_mul_overflow(span[nr_long - 1], d, &span[nr_long]))
			nr_spans++;
	}
	rows_of(a, span, nr_spans, nr_long);
}

bool head_item_shape(struct head_array *a, uint64_t start, const uint64_t *dims, unsigned nr,
		     bool fortran)
{
	unsigned nr_more = nr > HEAD_DIMS ? nr - HEAD_DIMS : 0;
	uint64_t n;
	uint64_t end;
	uint64_t slow = 0;

	if (nr > HEAD_ITEM_AXES || !product(dims, nr, &n) ||
	    __builtin_mul_overflow(n, (uint64_t)a->item, &n) ||
	    __builtin_add_overflow(start, n, &end) || end > INT64_MAX)
		return false;
	if (nr_more && !product(fortran ? dims + HEAD_DIMS - 1 : dims, nr_more + 1, &slow))
		return false;
	a->start = start;
	a->end = end;
	a->fortran = fortran;
	a->scattered = false;
	a->nr_dims = (uint8_t)(nr - nr_more);
	memset(a->dim, 0, sizeof(a->dim));
	for (unsigned i = 0; i < a->nr_dims; i++)
		a->dim[i] = dims[fortran ? i : i + nr_more];
	if (nr_more)
		a->dim[fortran ? HEAD_DIMS - 1 : 0] = slow;
	set_rows(a, dims, nr, fortran);
	return true;
}

void head_item_unshape(struct head_array *a, uint64_t start, uint64_t end)
{
	a->start = start;
	a->end = end;
	a->group = a->item / a->width;
	a->pitch = 0;
	a->plane = 0;
	a->fortran = false;
	a->scattered = false;
	a->nr_dims = 0;
	memset(a->dim, 0, sizeof(a->dim));
}
