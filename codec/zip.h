/* Zip archives of .npy files, as numpy.savez() writes them (.npz). Threads: any. */
#ifndef CODEC_ZIP_H
#define CODEC_ZIP_H

#include "codec/head_list.h"

/* Add the arrays of the members whose heads are in @len bytes at file offset @off, which begin with
 * a member's local header, or with the descriptor that ends the member before it. Members that are
 * compressed, encrypted or something else are passed over.
 * Returns the offset where the next member is expected, behind @off; 0 where that is not known, or
 * where these bytes are no such thing. */
uint64_t zip_find(const uint8_t *bytes, size_t len, uint64_t off, struct head_list *l);

#endif
