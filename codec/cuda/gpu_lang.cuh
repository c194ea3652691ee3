/* CUDA, or what stands for it, and what all kernels use: sums over a block, and bytes in words.
 * Blocks of all kernels have GPU_THREADS threads. */
#ifndef CODEC_CUDA_GPU_LANG_CUH
#define CODEC_CUDA_GPU_LANG_CUH

#include <stdint.h>

#ifdef __CUDACC__
#include <cuda_runtime.h>

#define CU_SHARED(type, name) __shared__ type name
#define CU_UNROLL	      _Pragma("unroll")

#define CU_LAUNCH(kernel, grid, threads, dynamic, stream, ...)                                     \
	kernel<<<grid, threads, dynamic, stream>>>(__VA_ARGS__)
#else
#include "codec/cuda/emulate.h"
#endif

#include "codec/cuda/gpu_batch.h"

#define GPU_DEV static __device__ __forceinline__
/* Too long to be inlined at each of its calls. */
#define GPU_DEV_CALL static __device__ __noinline__
#ifndef __CUDACC__
#define __noinline__ __attribute__((noinline))
#endif

#define GPU_THREADS 256u
#define GPU_WARPS   (GPU_THREADS / 32u)
#define GPU_ALL	    0xffffffffu /* lanes */

GPU_DEV uint32_t gpu_lane()
{
	return threadIdx.x % 32;
}

GPU_DEV uint32_t gpu_warp()
{
	return threadIdx.x / 32;
}

/* Over a warp; all lanes get it. Processors before sm_80 have no instruction for these. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define GPU_REDUCE(name, op)                                                                       \
	GPU_DEV uint32_t gpu_warp_##name(uint32_t v)                                               \
	{                                                                                          \
		for (uint32_t by = 16; by; by /= 2) {                                              \
			uint32_t other = __shfl_xor_sync(GPU_ALL, v, by);                          \
                                                                                                   \
			v = op;                                                                    \
		}                                                                                  \
		return v;                                                                          \
	}
GPU_REDUCE(add, v + other)
GPU_REDUCE(min, v < other ? v : other)
GPU_REDUCE(max, v > other ? v : other)
#undef GPU_REDUCE
#else
#define GPU_REDUCE(name)                                                                           \
	GPU_DEV uint32_t gpu_warp_##name(uint32_t v)                                               \
	{                                                                                          \
		return __reduce_##name##_sync(GPU_ALL, v);                                         \
	}
GPU_REDUCE(add)
GPU_REDUCE(min)
GPU_REDUCE(max)
#undef GPU_REDUCE
#endif

/* Sum over this and the lanes below. */
GPU_DEV uint32_t gpu_warp_sum_up(uint32_t v)
{
	for (uint32_t by = 1; by < 32; by *= 2) {
		uint32_t other = __shfl_up_sync(GPU_ALL, v, by);

		if (gpu_lane() >= by)
			v += other;
	}
	return v;
}

/* Sum over this and the lanes above. */
GPU_DEV uint32_t gpu_warp_sum_down(uint32_t v)
{
	for (uint32_t by = 1; by < 32; by *= 2) {
		uint32_t other = __shfl_down_sync(GPU_ALL, v, by);

		if (gpu_lane() + by < 32)
			v += other;
	}
	return v;
}

/* Over the block, at the price of one barrier each. @part is shared, and of no other use until
 * after the next barrier but one: uses that follow each other take different ones. */
GPU_DEV uint32_t gpu_sum(uint32_t v, uint32_t part[GPU_WARPS])
{
	uint32_t all = 0;

	v = gpu_warp_add(v);
	if (gpu_lane() == 0)
		part[gpu_warp()] = v;
	__syncthreads();
	for (uint32_t w = 0; w < GPU_WARPS; w++)
		all += part[w];
	return all;
}

/* Sum over the threads below; of all in *@all. */
GPU_DEV uint32_t gpu_sum_below(uint32_t v, uint32_t part[GPU_WARPS], uint32_t *all)
{
	uint32_t upto = gpu_warp_sum_up(v), below = 0, total = 0;

	if (gpu_lane() == 31)
		part[gpu_warp()] = upto;
	__syncthreads();
	for (uint32_t w = 0; w < GPU_WARPS; w++) {
		uint32_t sum = part[w];

		below += w < gpu_warp() ? sum : 0;
		total += sum;
	}
	*all = total;
	return below + upto - v;
}

/* The 16 bytes at @p, which are aligned. */
GPU_DEV uint4 gpu_load16(const uint8_t *p)
{
	return *reinterpret_cast<const uint4 *>(p);
}

/* Byte @i of them, where @i is not known to the compiler. */
GPU_DEV uint32_t gpu_byte(const uint4 &v, uint32_t i)
{
	uint32_t lo = i & 4 ? v.y : v.x;
	uint32_t hi = i & 4 ? v.w : v.z;

	return ((i & 8 ? hi : lo) >> (8 * (i & 3))) & 0xff;
}

/* Word @i; @i is known. */
GPU_DEV uint32_t gpu_word(const uint4 &v, uint32_t i)
{
	return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

/* Bits written by many threads to one array of words, each a range of its own, upwards. A word
 * that is one thread's alone is stored, the others are or-ed; they have been zeroed by
 * gpu_bits_clear() before a barrier. */
struct gpu_bits {
	uint32_t *word;
	uint64_t acc;
	uint32_t nr;	  /* bits in acc */
	bool shared_word; /* the next word has others' bits below ours */
};

/* For each range, of @nr bits from @at on. */
GPU_DEV void gpu_bits_clear(uint8_t *base, uint32_t at, uint32_t nr)
{
	uint32_t *words = reinterpret_cast<uint32_t *>(base);

	words[at / 32] = 0;
	words[(at + nr) / 32] = 0;
}

GPU_DEV gpu_bits gpu_bits_at(uint8_t *base, uint32_t at)
{
	gpu_bits b;

	b.word = reinterpret_cast<uint32_t *>(base) + at / 32;
	b.acc = 0;
	b.nr = at % 32;
	b.shared_word = b.nr != 0;
	return b;
}

/* Room for 32 bits is left by gpu_bits_flush(). */
GPU_DEV void gpu_bits_put(gpu_bits *b, uint32_t v, uint32_t nr)
{
	b->acc |= (uint64_t)v << b->nr;
	b->nr += nr;
}

GPU_DEV void gpu_bits_flush(gpu_bits *b)
{
	if (b->nr < 32)
		return;
	if (b->shared_word)
		atomicOr(b->word, (uint32_t)b->acc);
	else
		*b->word = (uint32_t)b->acc;
	b->shared_word = false;
	b->word++;
	b->acc >>= 32;
	b->nr -= 32;
}

GPU_DEV void gpu_bits_end(gpu_bits *b)
{
	gpu_bits_flush(b);
	if (b->nr)
		atomicOr(b->word, (uint32_t)b->acc);
}

/* One byte of those that others write, too. */
GPU_DEV void gpu_byte_or(uint8_t *base, uint32_t at, uint32_t byte)
{
	atomicOr(reinterpret_cast<uint32_t *>(base) + at / 4, byte << (8 * (at & 3)));
}

#endif
