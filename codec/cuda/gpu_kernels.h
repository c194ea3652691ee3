/* The kernels, run by the CPU (gpu_kernels.cpp). */
#ifndef CODEC_CUDA_GPU_KERNELS_H
#define CODEC_CUDA_GPU_KERNELS_H

#include "codec/cuda/gpu_batch.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All pointers in @batch are the host's. Takes turns with other threads. */
void gpu_kernels_run(const struct gpu_batch *batch);

#ifdef __cplusplus
}
#endif

#endif
