/* CUDA kernels on the CPU: their source is compiled by the host's C++ compiler with this header in
 * place of CUDA's, and runs one thread block at a time, each of its threads a fiber. A barrier or
 * a warp's collective switches fibers, so both are real: threads that come to different ones, or
 * not all, end the program with the lines they wait at.
 *
 * What it cannot show: memory ordering inside a warp, speed. Races between barriers show when the
 * order of the threads changes their result, for which a test varies it, with switches at atomic
 * operations, too; and all of them to the thread sanitizer.
 *
 * Known to it are the functions below and no others; blocks are one-dimensional, up to 1024
 * threads.
 * Threads: any; launches take turns. */
#ifndef CODEC_CUDA_EMULATE_H
#define CODEC_CUDA_EMULATE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum emulate_order {
	EMULATE_FORWARD, /* threads run by rising number between two barriers */
	EMULATE_REVERSE,
	EMULATE_SHUFFLED, /* in an order that changes each time, and atomics switch threads */
};

/* For all launches from now on. */
void emulate_set_order(enum emulate_order order, uint64_t seed);

/* Run @body(@args) once for each thread of each block; returns when all have. */
void emulate_launch(const char *name, unsigned grid_x, unsigned grid_y, unsigned nr_threads,
		    size_t dynamic_len, void (*body)(const void *args), const void *args);

/* The rest is for kernels. */

enum emulate_op {
	EMULATE_SYNC,
	EMULATE_SHUFFLE, /* from the lane given */
	EMULATE_UP,
	EMULATE_DOWN,
	EMULATE_XOR,
	EMULATE_BALLOT,
	EMULATE_MATCH,
	EMULATE_ADD,
	EMULATE_MIN,
	EMULATE_MAX,
	EMULATE_OR,
	EMULATE_AND,
};

struct emulate_place {
	const char *file;
	int line;
};

struct emulate_dim {
	unsigned x, y;
};

extern struct emulate_dim emulate_thread, emulate_block, emulate_block_dim, emulate_grid_dim;

enum emulate_vote { EMULATE_VOTE_OR, EMULATE_VOTE_COUNT };

unsigned emulate_barrier(enum emulate_vote vote, int predicate, struct emulate_place place);
uint32_t emulate_warp(enum emulate_op op, uint32_t mask, uint32_t value, uint32_t arg,
		      struct emulate_place place);
/* The block's shared memory of this place: the same for all threads, filled with a pattern when
 * the block begins. */
void *emulate_shared(size_t len, struct emulate_place place);
void *emulate_dynamic(void);
/* A thread may lose the processor here. */
void emulate_pause(void);

#ifdef __cplusplus
}

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

#define CU_UNROLL

#define CU_SHARED(type, name)                                                                      \
	type &name = *static_cast<type *>(emulate_shared(sizeof(type), EMULATE_HERE))
#define CU_DYN_SHARED(type, name) type *name = static_cast<type *>(emulate_dynamic())

#define CU_LAUNCH(kernel, grid, threads, dynamic, stream, ...)                                     \
	do {                                                                                       \
		const dim3 launch_grid = grid;                                                     \
		auto launch_body = [=]() { kernel(__VA_ARGS__); };                                 \
		(void)(stream);                                                                    \
		emulate_launch(                                                                    \
			#kernel, launch_grid.x, launch_grid.y, threads, dynamic,                   \
			[](const void *args) {                                                     \
				(*static_cast<const decltype(launch_body) *>(args))();             \
			},                                                                         \
			&launch_body);                                                             \
	} while (0)

struct dim3 {
	unsigned x, y;

	dim3(unsigned nx, unsigned ny = 1) : x(nx), y(ny)
	{
	}
};

struct alignas(8) uint2 {
	unsigned x, y;
};

struct alignas(16) uint4 {
	unsigned x, y, z, w;
};

static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
	return uint4{x, y, z, w};
}

#define threadIdx emulate_thread
#define blockIdx  emulate_block
#define blockDim  emulate_block_dim
#define gridDim	  emulate_grid_dim

#define EMULATE_HERE (emulate_place{__FILE__, __LINE__})

#define __syncthreads()	       ((void)emulate_barrier(EMULATE_VOTE_OR, 0, EMULATE_HERE))
#define __syncthreads_or(p)    ((int)emulate_barrier(EMULATE_VOTE_OR, (p), EMULATE_HERE))
#define __syncthreads_count(p) ((int)emulate_barrier(EMULATE_VOTE_COUNT, (p) != 0, EMULATE_HERE))

#define EMULATE_WARP(op, mask, value, arg) emulate_warp(op, mask, value, arg, EMULATE_HERE)
#define __syncwarp(...)			   ((void)EMULATE_WARP(EMULATE_SYNC, ~0u, 0, 0))
#define __shfl_sync(mask, v, lane)	   EMULATE_WARP(EMULATE_SHUFFLE, mask, v, lane)
#define __shfl_up_sync(mask, v, by)	   EMULATE_WARP(EMULATE_UP, mask, v, by)
#define __shfl_down_sync(mask, v, by)	   EMULATE_WARP(EMULATE_DOWN, mask, v, by)
#define __shfl_xor_sync(mask, v, by)	   EMULATE_WARP(EMULATE_XOR, mask, v, by)
#define __ballot_sync(mask, p)		   EMULATE_WARP(EMULATE_BALLOT, mask, (p) ? 1 : 0, 0)
#define __any_sync(mask, p)		   (__ballot_sync(mask, p) != 0)
#define __all_sync(mask, p)		   (__ballot_sync(mask, !(p)) == 0)
#define __match_any_sync(mask, v)	   EMULATE_WARP(EMULATE_MATCH, mask, v, 0)
#define __reduce_add_sync(mask, v)	   EMULATE_WARP(EMULATE_ADD, mask, v, 0)
#define __reduce_min_sync(mask, v)	   EMULATE_WARP(EMULATE_MIN, mask, v, 0)
#define __reduce_max_sync(mask, v)	   EMULATE_WARP(EMULATE_MAX, mask, v, 0)
#define __reduce_or_sync(mask, v)	   EMULATE_WARP(EMULATE_OR, mask, v, 0)
#define __reduce_and_sync(mask, v)	   EMULATE_WARP(EMULATE_AND, mask, v, 0)

static inline int __popc(uint32_t v)
{
	return __builtin_popcount(v);
}

static inline int __clz(uint32_t v)
{
	return v ? __builtin_clz(v) : 32;
}

static inline int __ffs(uint32_t v)
{
	return __builtin_ffs((int)v);
}

static inline uint32_t __funnelshift_l(uint32_t lo, uint32_t hi, uint32_t by)
{
	return (uint32_t)(((uint64_t)hi << 32 | lo) << (by & 31) >> 32);
}

static inline uint32_t __funnelshift_r(uint32_t lo, uint32_t hi, uint32_t by)
{
	return (uint32_t)(((uint64_t)hi << 32 | lo) >> (by & 31));
}

/* Selectors with the sign bit are not known. */
static inline uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t sel)
{
	uint64_t both = (uint64_t)b << 32 | a;
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v |= (uint32_t)(both >> 8 * (sel >> 4 * i & 7) & 0xff) << 8 * i;
	return v;
}

/* Atomic for the thread sanitizer only; otherwise there is one thread. */
static inline uint32_t atomicAdd(uint32_t *p, uint32_t v)
{
	emulate_pause();
	return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}

static inline uint32_t atomicOr(uint32_t *p, uint32_t v)
{
	emulate_pause();
	return __atomic_fetch_or(p, v, __ATOMIC_RELAXED);
}

static inline uint32_t atomicMax(uint32_t *p, uint32_t v)
{
	uint32_t old = __atomic_load_n(p, __ATOMIC_RELAXED);

	emulate_pause();
	while (old < v &&
	       !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return old;
}

static inline uint32_t atomicMin(uint32_t *p, uint32_t v)
{
	uint32_t old = __atomic_load_n(p, __ATOMIC_RELAXED);

	emulate_pause();
	while (old > v &&
	       !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return old;
}

template <typename T> static inline T min(T a, T b)
{
	return a < b ? a : b;
}

template <typename T> static inline T max(T a, T b)
{
	return a > b ? a : b;
}
#endif

#endif
