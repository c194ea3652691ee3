/* The head of .nii files (NIfTI-1 and -2): images of brains. Threads: any. */
#ifndef CODEC_NIFTI_H
#define CODEC_NIFTI_H

#include "codec/head_list.h"

/* Add the image that the first @len bytes of a file tell. Not for pairs of .hdr and .img. */
void nifti_find(const uint8_t *bytes, size_t len, struct head_list *l);

#endif
