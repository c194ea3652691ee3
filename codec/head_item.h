/* How the parsers of heads fill in what an item is and what shape its array has. Threads: any. */
#ifndef CODEC_HEAD_ITEM_H
#define CODEC_HEAD_ITEM_H

#include "codec/head.h"

/* Axes that parsers keep; an array of more is not told. */
#define HEAD_ITEM_AXES 64

/* An unsigned integer of @size bytes (up to 8) in either order. */
static inline uint64_t head_item_uint(const uint8_t *p, unsigned size, bool big)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v = v << 8 | p[big ? i : size - 1 - i];
	return v;
}

/* Make an item of @a one number of @size bytes. Returns false, @a untouched, where no width fits
 * it. */
bool head_item_number(struct head_array *a, enum head_type type, uint64_t size, bool big);

/* Make an item of @a a record of @size bytes, of numbers as @number has them. Returns false, @a
 * untouched, where they do not fill it. */
bool head_item_record(struct head_array *a, const struct head_array *number, uint64_t size);

/* Add @field, one more of a record's fields, to what @all says of those before it (all zero before
 * the first). Returns false where it is not of the same width: then no width fits the record. */
bool head_item_join(struct head_array *all, const struct head_array *field);

/* Give @a, whose item is known, its place and shape, and with them group and pitch.
 * @dims  @nr of them, in logical order
 * Returns false, @a untouched, when there are more than HEAD_ITEM_AXES, or more bytes than a file
 * can have. */
bool head_item_shape(struct head_array *a, uint64_t start, const uint64_t *dims, unsigned nr,
		     bool fortran);

/* Give @a, whose item is known, a place and no shape. */
void head_item_unshape(struct head_array *a, uint64_t start, uint64_t end);

#endif
