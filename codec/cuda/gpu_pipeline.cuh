/* All kernels for a batch, in order, on one stream. */
#ifndef CODEC_CUDA_GPU_PIPELINE_CUH
#define CODEC_CUDA_GPU_PIPELINE_CUH

#include "codec/cuda/gpu_choose.cuh"
#include "codec/cuda/gpu_encode.cuh"
#include "codec/cuda/gpu_filter.cuh"
#include "codec/cuda/gpu_lang.cuh"
#include "codec/cuda/gpu_pack.cuh"

template <typename Stream> static void gpu_pipeline(const struct gpu_batch &batch, Stream stream)
{
	if (batch.nr_ways) {
		CU_LAUNCH(gpu_reckon, dim3(batch.nr_ways), GPU_THREADS, 0, stream, batch);
		CU_LAUNCH(gpu_choose, dim3((batch.nr_items + GPU_THREADS - 1) / GPU_THREADS),
			  GPU_THREADS, 0, stream, batch);
	}
	CU_LAUNCH(gpu_filter, dim3(GPU_FILTER_PARTS, batch.nr_tiles), GPU_THREADS, 0, stream,
		  batch);
	CU_LAUNCH(gpu_encode, dim3(GPU_TILE_CUTS, batch.nr_tiles), GPU_THREADS, 0, stream, batch);
	CU_LAUNCH(gpu_measure, dim3(batch.nr_items), GPU_THREADS, 0, stream, batch);
	CU_LAUNCH(gpu_place, dim3(1), GPU_THREADS, 0, stream, batch);
	CU_LAUNCH(gpu_gather, dim3(GPU_TILE_CUTS, batch.nr_tiles), GPU_THREADS, 0, stream, batch);
}

#endif
