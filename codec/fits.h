/* The heads of FITS files: astronomical images and tables. Threads: any. */
#ifndef CODEC_FITS_H
#define CODEC_FITS_H

#include "codec/head_list.h"

/* Add the images, and the tables whose columns are of one width, whose heads are in @len bytes at
 * file offset @off: at the start of a file, or where an extension begins. Compressed images are
 * passed over.
 * Returns the offset where the next extension may begin, behind @off; 0 where that is not known, or
 * where these bytes are no such head. */
uint64_t fits_find(const uint8_t *bytes, size_t len, uint64_t off, struct head_list *l);

#endif
