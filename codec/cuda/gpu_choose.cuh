/* Which filter suits an extent best: what each would make of its middle tile is reckoned as
 * estimate.c does, from samples of its planes. A block of threads for each filter. */
#ifndef CODEC_CUDA_GPU_CHOOSE_CUH
#define CODEC_CUDA_GPU_CHOOSE_CUH

#include "codec/cuda/gpu_filter.cuh"
#include "codec/cuda/gpu_lang.cuh"
#include "codec/cuda/gpu_runs.cuh"
#include "codec/estimate.h"

#define GPU_SAMPLE_LEN ESTIMATE_PIECE /* items at a time: 8 for each thread */
#define GPU_SAMPLE_PAD 16u	      /* bytes of the window before */

struct gpu_choose_shared {
	uint32_t count[8][256]; /* of each plane's bytes */
	union {
		uint32_t word[8][(GPU_SAMPLE_PAD + GPU_SAMPLE_LEN) / 4];
		uint8_t byte[8][GPU_SAMPLE_PAD + GPU_SAMPLE_LEN];
	};
	uint32_t cost[8];
};

/* Bring the planes' bytes of items @at to @at + @nr - 1 to shared memory. */
template <typename T>
GPU_DEV void gpu_sample_load(gpu_choose_shared &sh, const struct filter &f, const uint8_t *x,
			     uint32_t at, uint32_t nr)
{
	for (uint32_t i = 4 * threadIdx.x; i < nr; i += 4 * GPU_THREADS) {
		uint32_t left = min(nr - i, 4u);
		uint32_t p[8];
		gpu_four<T> v;

		CU_UNROLL
		for (uint32_t k = 0; k < 4; k++)
			v.v[k] = k < left ? gpu_item_at<T>(f, x, at + i + k) : (T)0;
		gpu_filter_four<T>(f, x, at + i, left, v);
		gpu_planes(v, p);
		CU_UNROLL
		for (uint32_t b = 0; b < sizeof(T); b++)
			sh.word[b][(GPU_SAMPLE_PAD + i) / 4] = p[b];
	}
}

/* Count the @nr bytes of each plane, but not those that are equal to the ESTIMATE_RUN - 1 before
 * them; of the window before @back bytes are there. */
GPU_DEV void gpu_sample_count(gpu_choose_shared &sh, uint32_t width, uint32_t nr, uint32_t back)
{
	uint32_t from = 8 * threadIdx.x, end = min(from + 8, nr);

	if (from >= nr)
		return;
	for (uint32_t b = 0; b < width; b++) {
		const uint8_t *p = sh.byte[b] + GPU_SAMPLE_PAD;
		uint32_t c = p[from], before = 0, sum = 0;

		while (before < ESTIMATE_RUN - 1 && before < from + back &&
		       p[(int32_t)from - 1 - (int32_t)before] == c)
			before++;
		for (uint32_t i = from; i < end; i++) {
			if (p[i] != c) {
				if (sum)
					atomicAdd(&sh.count[b][c], sum);
				c = p[i];
				before = sum = 0;
			}
			sum += before < ESTIMATE_RUN - 1;
			before++;
		}
		if (sum)
			atomicAdd(&sh.count[b][c], sum);
	}
}

/* Items @at to @at + @nr - 1, a window at a time. Barriers. */
GPU_DEV void gpu_sample(gpu_choose_shared &sh, const struct filter &f, const uint8_t *x,
			uint32_t at, uint32_t nr)
{
	for (uint32_t done = 0; done < nr; done += GPU_SAMPLE_LEN) {
		uint32_t now = min(nr - done, GPU_SAMPLE_LEN);

		if (done && threadIdx.x < 8 * GPU_SAMPLE_PAD / 4)
			sh.word[threadIdx.x / 4][threadIdx.x % 4] =
				sh.word[threadIdx.x / 4][GPU_SAMPLE_LEN / 4 + threadIdx.x % 4];
		__syncthreads();
		switch (f.width) {
		case 1:
			gpu_sample_load<uint8_t>(sh, f, x, at + done, now);
			break;
		case 2:
			gpu_sample_load<uint16_t>(sh, f, x, at + done, now);
			break;
		case 4:
			gpu_sample_load<uint32_t>(sh, f, x, at + done, now);
			break;
		default:
			gpu_sample_load<uint64_t>(sh, f, x, at + done, now);
			break;
		}
		__syncthreads();
		gpu_sample_count(sh, f.width, now, done ? GPU_SAMPLE_PAD : 0);
		__syncthreads();
	}
}

/* One warp: what plane @b takes of which @looked of @n bytes have been looked at. */
GPU_DEV uint32_t gpu_plane_cost(const gpu_choose_shared &sh, uint32_t b, uint32_t n,
				uint32_t looked)
{
	uint32_t counted = 0, distinct = 0, bits = 0;
	uint64_t bytes;

	for (uint32_t c = gpu_lane(); c < 256; c += 32) {
		counted += sh.count[b][c];
		distinct += sh.count[b][c] != 0;
	}
	counted = gpu_warp_add(counted);
	distinct = gpu_warp_add(distinct);
	if (distinct < 2)
		return 4;
	for (uint32_t c = gpu_lane(); c < 256; c += 32)
		bits += sh.count[b][c] * gpu_shannon(sh.count[b][c], counted);
	bits = gpu_warp_add(bits);
	bytes = ((uint64_t)bits * 32 * n / looked + (uint64_t)ESTIMATE_SYMBOL * (distinct - 1)) /
			256 +
		ESTIMATE_TABLE;
	return bytes < n - n / BLOCK_GAIN ? (uint32_t)bytes : n;
}

/* Grid: ways. */
static __global__ void __launch_bounds__(GPU_THREADS) gpu_reckon(struct gpu_batch batch)
{
	CU_SHARED(gpu_choose_shared, sh);
	struct gpu_way *way = &batch.way[blockIdx.x];
	const struct filter f = way->filter;
	const struct gpu_item *item = &batch.item[way->item];
	uint32_t phase = item->phase, len = item->raw_len, looked = 0;
	uint32_t tiles =
		(len > phase ? len - phase + GPU_TILE_LEN - 1 : GPU_TILE_LEN) / GPU_TILE_LEN;
	uint32_t from = min(phase + tiles / 2 * GPU_TILE_LEN, len);
	uint32_t to = min(phase + (tiles / 2 + 1) * GPU_TILE_LEN, len);
	uint32_t nr = (to - from) / f.width, cost = to - from - nr * f.width + way->handicap;
	const uint8_t *x = batch.raw + item->raw_off + from;

	for (uint32_t b = 0; b < 8; b++)
		sh.count[b][threadIdx.x] = 0;
	for (uint32_t at = 0; at < nr; at += ESTIMATE_PART) {
		uint32_t part = min(nr - at, ESTIMATE_PART);

		if (part < ESTIMATE_SHORT) {
			gpu_sample(sh, f, x, at, part);
			looked += part;
			continue;
		}
		gpu_sample(sh, f, x, at + part / 8, ESTIMATE_PIECE);
		gpu_sample(sh, f, x, at + part / 8 * 5, ESTIMATE_PIECE);
		looked += 2 * ESTIMATE_PIECE;
	}
	if (gpu_warp() < f.width && nr) {
		uint32_t plane = gpu_plane_cost(sh, gpu_warp(), nr, looked);

		if (gpu_lane() == 0)
			sh.cost[gpu_warp()] = plane;
	}
	__syncthreads();
	if (threadIdx.x == 0) {
		for (uint32_t b = 0; b < f.width && nr; b++)
			cost += sh.cost[b];
		way->cost = cost;
	}
}

/* A thread for each extent: the cheapest way, of equals the first. */
static __global__ void __launch_bounds__(GPU_THREADS) gpu_choose(struct gpu_batch batch)
{
	uint32_t i = blockIdx.x * GPU_THREADS + threadIdx.x, best = 0xffffffff;
	struct gpu_item *item = &batch.item[i];

	if (i >= batch.nr_items)
		return;
	for (uint32_t w = 0; w < item->nr_ways; w++) {
		const struct gpu_way *way = &batch.way[item->way_at + w];

		if (way->cost < best) {
			best = way->cost;
			item->used = (uint8_t)w;
			item->filter = way->filter;
		}
	}
}

#endif
