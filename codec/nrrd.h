/* The head of .nrrd files ("nearly raw raster data"), versions 1 to 5. Threads: any. */
#ifndef CODEC_NRRD_H
#define CODEC_NRRD_H

#include "codec/head_list.h"

/* Add the array that the first @len bytes of a file tell, when it is raw and in the same file. */
void nrrd_find(const uint8_t *bytes, size_t len, struct head_list *l);

#endif
