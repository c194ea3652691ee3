/* From encoded blocks to the frames of each extent, one extent's behind the other's. Three kernels:
 * how long each is, where it goes, and the copying. */
#ifndef CODEC_CUDA_GPU_PACK_CUH
#define CODEC_CUDA_GPU_PACK_CUH

#include "codec/cuda/gpu_lang.cuh"

struct gpu_pack_shared {
	uint32_t part[GPU_WARPS];
	uint32_t tile_len[GPU_TILES_MAX];
};

/* Bytes that a block takes in its frame. */
GPU_DEV uint32_t gpu_cut_len(const struct gpu_cut &cut)
{
	if (cut.type == GPU_CUT_NONE)
		return 0;
	return GPU_BLOCK_HEAD + (cut.type == GPU_CUT_RLE ? 1 : cut.len);
}

/* Grid: extents. A thread for each block there may be. */
static __global__ void __launch_bounds__(GPU_THREADS) gpu_measure(struct gpu_batch batch)
{
	CU_SHARED(gpu_pack_shared, sh);
	const struct gpu_item *item = &batch.item[blockIdx.x];
	struct gpu_result *result = &batch.result[blockIdx.x];
	uint32_t t = threadIdx.x, tile = t / GPU_TILE_CUTS, len = 0, at, all;
	struct gpu_cut *cut = &batch.cut[item->tile_at * GPU_TILE_CUTS + t];

	if (t < GPU_TILES_MAX)
		sh.tile_len[t] = 0;
	if (tile < item->nr_tiles) {
		len = gpu_cut_len(*cut);
		if (len && t % GPU_TILE_CUTS == 0)
			len += GPU_FRAME_HEAD;
	}
	at = gpu_sum_below(len, sh.part, &all);
	if (len) {
		cut->at = at;
		atomicAdd(&sh.tile_len[tile], len);
	}
	__syncthreads();
	if (t < GPU_TILES_MAX)
		result->tile_len[t] = sh.tile_len[t];
	if (t == 0) {
		result->len = all;
		result->used = item->used;
	}
}

/* One block. */
static __global__ void __launch_bounds__(GPU_THREADS) gpu_place(struct gpu_batch batch)
{
	CU_SHARED(gpu_pack_shared, sh);
	uint64_t at = 0;

	for (uint32_t first = 0; first < batch.nr_items; first += GPU_THREADS) {
		uint32_t i = first + threadIdx.x, len = 0, below, all;

		/* Aligned, so that all fits into 32 bits with room to spare: a batch is shorter. */
		if (i < batch.nr_items && batch.result[i].len <= batch.item[i].room)
			len = gpu_round(batch.result[i].len);
		below = gpu_sum_below(len, sh.part, &all);
		if (i < batch.nr_items)
			batch.result[i].out_off = at + below;
		at += all;
		__syncthreads();
	}
	if (threadIdx.x == 0)
		batch.total->out_len = at;
}

/* Copy to any address from an aligned one; may read up to a word more. */
GPU_DEV void gpu_copy(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	uint32_t head = min((uint32_t)(0 - (uintptr_t)dst) & 3, len), words = (len - head) / 4;
	const uint32_t *from = reinterpret_cast<const uint32_t *>(src);
	uint32_t *to = reinterpret_cast<uint32_t *>(dst + head);
	uint32_t done = head + 4 * words;

	if (threadIdx.x < head)
		dst[threadIdx.x] = src[threadIdx.x];
	if (threadIdx.x < len - done)
		dst[done + threadIdx.x] = src[done + threadIdx.x];
	if (!head) {
		for (uint32_t i = threadIdx.x; i < words; i += GPU_THREADS)
			to[i] = from[i];
		return;
	}
	for (uint32_t i = threadIdx.x; i < words; i += GPU_THREADS)
		to[i] = __funnelshift_r(from[i], from[i + 1], 8 * head);
}

/* Grid: GPU_TILE_CUTS, tiles. */
static __global__ void __launch_bounds__(GPU_THREADS) gpu_gather(struct gpu_batch batch)
{
	const struct gpu_tile tile = batch.tile[blockIdx.y];
	const struct gpu_item *item = &batch.item[tile.item];
	const struct gpu_result *result = &batch.result[tile.item];
	const struct gpu_cut cut = batch.cut[blockIdx.y * GPU_TILE_CUTS + blockIdx.x];
	struct gpu_shape shape;
	struct gpu_piece piece;
	uint8_t *dst;
	uint32_t head;

	if (cut.type == GPU_CUT_NONE || result->len > item->room)
		return;
	if (!gpu_shape_of(item->raw_len, item->phase, item->filter.width, tile.idx, &shape) ||
	    !gpu_piece_of(&shape, blockIdx.x, &piece))
		return;
	dst = batch.out + result->out_off + cut.at;
	if (blockIdx.x == 0) {
		/* Magic; one segment, length of 4 bytes, no checksum; length. */
		if (threadIdx.x < 5)
			dst[threadIdx.x] = (uint8_t)(0xa0fd2fb528 >> 8 * threadIdx.x);
		else if (threadIdx.x < GPU_FRAME_HEAD)
			dst[threadIdx.x] = (uint8_t)(shape.len >> 8 * (threadIdx.x - 5));
		dst += GPU_FRAME_HEAD;
	}
	head = (uint32_t)piece.last | cut.type << 1 | cut.len << 3;
	if (threadIdx.x < GPU_BLOCK_HEAD)
		dst[threadIdx.x] = (uint8_t)(head >> 8 * threadIdx.x);
	dst += GPU_BLOCK_HEAD;
	if (cut.type == GPU_CUT_RLE) {
		if (threadIdx.x == 0)
			*dst = batch.filtered[tile.off + piece.off];
		return;
	}
	gpu_copy(dst,
		 (cut.type == GPU_CUT_RAW ? batch.filtered : batch.coded) + tile.off + piece.off,
		 cut.len);
}

#endif
