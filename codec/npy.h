/* The head of numpy's .npy files (versions 1 to 3): what the numbers are, where they begin, and
 * their shape.
 * Threads: any. */
#ifndef CODEC_NPY_H
#define CODEC_NPY_H

#include "codec/head.h"

#define NPY_DIMS 64 /* axes of an array, at most: numpy's own bound from version 2 on */

/* Parse the first @len bytes of a file, which must hold the whole head (numpy's are 128 bytes for
 * plain arrays). A record (structured dtype) tells a width when all its fields have the same.
 * @a  filled but for its kind; offsets are relative to @head. A shape that makes no sense leaves
 *     the array without one, its end at UINT64_MAX
 * Returns false, @a untouched, for anything else: other files, cut heads, objects, odd widths. */
bool npy_find(const uint8_t *head, size_t len, struct head_array *a);

/* All that a head says, for who reads the items by it. */
struct npy_head {
	uint64_t start; /* offset of the first item: the head's length */
	uint64_t len;	/* bytes of all items; start + len <= INT64_MAX */
	uint64_t item;	/* bytes of one; 0 for empty text */
	bool fortran;	/* the first axis is the fastest, else the last */
	uint8_t version;
	unsigned nr_dims;
	uint64_t dim[NPY_DIMS]; /* <= INT64_MAX */
	const char *
		descr; /* what an item is, as numpy wrote it, in @head; in version 3 UTF-8, before Latin-1 */
	size_t descr_len;
};

/* How long the head is by its own account, from the first bytes of a file (12 or more); 0: it is
 * none. */
size_t npy_head_len(const uint8_t *bytes, size_t len);

/* As npy_find(), but of any dtype without objects, and strict: a head is as numpy writes it, whole,
 * or it is refused. Returns NULL, or why it was refused (a static text; @out untouched then). */
const char *npy_parse(const uint8_t *head, size_t len, struct npy_head *out);

#endif
