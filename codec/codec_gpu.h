/* What codec.c owes the choice between GPUs and CPU; codec.h has the rest.
 * Threads: any. */
#ifndef CODEC_CODEC_GPU_H
#define CODEC_CODEC_GPU_H

#include "codec/codec.h"

/* @j, which codec_offer() left to this thread (j->declined), has been encoded in @ns. */
void codec_gpu_declined(struct codec_job *j, uint64_t ns);

#endif
