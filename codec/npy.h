/* The head of numpy's .npy files (versions 1 to 3): what the numbers are, where they begin, and
 * their shape.
 * Threads: any. */
#ifndef CODEC_NPY_H
#define CODEC_NPY_H

#include "codec/head.h"

/* Parse the first @len bytes of a file, which must hold the whole head (numpy's are 128 bytes for
 * plain arrays). A record (structured dtype) tells a width when all its fields have the same.
 * @a  filled but for its kind; offsets are relative to @head. A shape that makes no sense leaves
 *     the array without one, its end at UINT64_MAX
 * Returns false, @a untouched, for anything else: other files, cut heads, objects, odd widths. */
bool npy_find(const uint8_t *head, size_t len, struct head_array *a);

#endif
