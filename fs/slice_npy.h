/* The head of a slice's own .npy file. Pure; threads: any. */
#ifndef FS_SLICE_NPY_H
#define FS_SLICE_NPY_H

#include "fs/slice_expr.h"

/* Write the head of a file that has what @pick takes of the array with head @src: same dtype, same order, in the first
 * version that can tell it, its length a multiple of 64, as numpy does. *out: heap. -ENOMEM; -EINVAL: longer than the
 * format allows. */
int slice_npy_head(const struct npy_head *src, const struct slice_pick *pick, uint8_t **out,
		   size_t *len);

#endif
