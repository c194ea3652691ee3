/* See gpu_kernels.h. The source is that of the GPU. */
#include "codec/cuda/gpu_kernels.h"

#include "codec/cuda/gpu_pipeline.cuh"

void gpu_kernels_run(const struct gpu_batch *batch)
{
	gpu_pipeline(*batch, 0);
}
