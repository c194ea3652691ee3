/* The filters of filter.h, a piece of a tile for each block of threads. A thread makes four
 * neighbouring items at a time, so that it has a whole word for each plane. */
#ifndef CODEC_CUDA_GPU_FILTER_CUH
#define CODEC_CUDA_GPU_FILTER_CUH

#include "codec/cuda/gpu_lang.cuh"

/* Thread blocks that share a tile: 16 KiB each. */
#define GPU_FILTER_PARTS 8u

template <typename T> struct gpu_four {
	T v[4];
};

GPU_DEV uint8_t gpu_swap(uint8_t v)
{
	return v;
}

GPU_DEV uint16_t gpu_swap(uint16_t v)
{
	return (uint16_t)(v << 8 | v >> 8);
}

GPU_DEV uint32_t gpu_swap(uint32_t v)
{
	return __byte_perm(v, 0, 0x0123);
}

GPU_DEV uint64_t gpu_swap(uint64_t v)
{
	return (uint64_t)gpu_swap((uint32_t)v) << 32 | gpu_swap((uint32_t)(v >> 32));
}

/* Item @i of the tile at @x. */
template <typename T> GPU_DEV T gpu_item_at(const struct filter &f, const uint8_t *x, uint32_t i)
{
	T v = reinterpret_cast<const T *>(x)[i];

	return f.swap ? gpu_swap(v) : v;
}

template <typename T> GPU_DEV T gpu_zigzag(T d)
{
	return (T)((T)(d << 1) ^ (T)(0 - (d >> (8 * sizeof(T) - 1))));
}

/* Add @times the items that are @back before @i..@i+3 to @v; before the tile there are zeros. */
template <typename T>
GPU_DEV void gpu_add_back(const struct filter &f, gpu_four<T> &v, const uint8_t *x, uint32_t i,
			  uint32_t left, uint64_t back, T times)
{
	CU_UNROLL
	for (uint32_t k = 0; k < 4; k++)
		if (k < left && i + k >= back)
			v.v[k] = (T)(v.v[k] +
				     (decltype(T() + 0u))times *
					     gpu_item_at<T>(f, x, (uint32_t)(i + k - back)));
}

/* Filter items @i to @i + 3 of those at @x, of which @left are there. */
template <typename T>
GPU_DEV void gpu_filter_four(const struct filter &f, const uint8_t *x, uint32_t i, uint32_t left,
			     gpu_four<T> &v)
{
	switch (f.id) {
	case FILTER_DELTA:
		if (f.order == 1) {
			gpu_add_back<T>(f, v, x, i, left, f.dist, (T)-1);
		} else if (f.order == 2) {
			gpu_add_back<T>(f, v, x, i, left, f.dist, (T)-2);
			gpu_add_back<T>(f, v, x, i, left, 2u * f.dist, (T)1);
		} else {
			gpu_add_back<T>(f, v, x, i, left, f.dist, (T)-3);
			gpu_add_back<T>(f, v, x, i, left, 2u * f.dist, (T)3);
			gpu_add_back<T>(f, v, x, i, left, 3u * f.dist, (T)-1);
		}
		break;
	case FILTER_LORENZO: {
		uint32_t above = f.pitch / (uint32_t)sizeof(T);

		gpu_add_back<T>(f, v, x, i, left, f.dist, (T)-1);
		gpu_add_back<T>(f, v, x, i, left, above, (T)-1);
		gpu_add_back<T>(f, v, x, i, left, (uint64_t)above + f.dist, (T)1);
		break;
	}
	case FILTER_FLOAT: {
		const T sign = (T)((T)1 << (8 * sizeof(T) - 1));
		const uint32_t by = sizeof(T) == 8 ? 4 : 1;
		const T bias = (T)((uint64_t)f.bias << (sizeof(T) == 8 ? 52 : 0));

		CU_UNROLL
		for (uint32_t k = 0; k < 4; k++) {
			T m = (T)((v.v[k] & sign) | ((T)(v.v[k] - bias) & (T)~sign));

			v.v[k] = (T)((T)(m << by) | (T)(m >> (8 * sizeof(T) - by)));
		}
		return;
	}
	default:
		return;
	}
	CU_UNROLL
	for (uint32_t k = 0; k < 4; k++)
		v.v[k] = gpu_zigzag<T>(v.v[k]);
}

/* Four words of four bytes, as a matrix, turned over. */
GPU_DEV uint4 gpu_transpose(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	uint32_t ab01 = __byte_perm(a, b, 0x5140), ab23 = __byte_perm(a, b, 0x7362);
	uint32_t cd01 = __byte_perm(c, d, 0x5140), cd23 = __byte_perm(c, d, 0x7362);

	return make_uint4(__byte_perm(ab01, cd01, 0x5410), __byte_perm(ab01, cd01, 0x7632),
			  __byte_perm(ab23, cd23, 0x5410), __byte_perm(ab23, cd23, 0x7632));
}

/* The word of each plane that four items make. */
GPU_DEV void gpu_planes(const gpu_four<uint8_t> &v, uint32_t p[8])
{
	p[0] = v.v[0] | (uint32_t)v.v[1] << 8 | (uint32_t)v.v[2] << 16 | (uint32_t)v.v[3] << 24;
}

GPU_DEV void gpu_planes(const gpu_four<uint16_t> &v, uint32_t p[8])
{
	uint32_t lo = v.v[0] | (uint32_t)v.v[1] << 16, hi = v.v[2] | (uint32_t)v.v[3] << 16;

	p[0] = __byte_perm(lo, hi, 0x6420);
	p[1] = __byte_perm(lo, hi, 0x7531);
}

GPU_DEV void gpu_planes(const gpu_four<uint32_t> &v, uint32_t p[8])
{
	uint4 t = gpu_transpose(v.v[0], v.v[1], v.v[2], v.v[3]);

	p[0] = t.x;
	p[1] = t.y;
	p[2] = t.z;
	p[3] = t.w;
}

GPU_DEV void gpu_planes(const gpu_four<uint64_t> &v, uint32_t p[8])
{
	uint4 t = gpu_transpose((uint32_t)v.v[0], (uint32_t)v.v[1], (uint32_t)v.v[2],
				(uint32_t)v.v[3]);
	uint4 u = gpu_transpose((uint32_t)(v.v[0] >> 32), (uint32_t)(v.v[1] >> 32),
				(uint32_t)(v.v[2] >> 32), (uint32_t)(v.v[3] >> 32));

	p[0] = t.x;
	p[1] = t.y;
	p[2] = t.z;
	p[3] = t.w;
	p[4] = u.x;
	p[5] = u.y;
	p[6] = u.z;
	p[7] = u.w;
}

/* Items of the tile whose first one is at @x, the part-th of @nr_parts. Plane b goes to @dst +
 * b * @stride; @dst is aligned but for the @phase bytes that come before plane 0. */
template <typename T>
GPU_DEV void gpu_filter_items(const struct filter &f, const uint8_t *x, uint32_t nr, uint8_t *dst,
			      uint32_t phase, uint32_t stride, uint32_t part, uint32_t nr_parts)
{
	for (uint32_t i = 4 * (part * GPU_THREADS + threadIdx.x); i < nr;
	     i += 4 * GPU_THREADS * nr_parts) {
		uint32_t left = min(nr - i, 4u);
		uint32_t p[8];
		gpu_four<T> v;

		CU_UNROLL
		for (uint32_t k = 0; k < 4; k++)
			v.v[k] = k < left ? gpu_item_at<T>(f, x, i + k) : (T)0;
		gpu_filter_four<T>(f, x, i, left, v);
		gpu_planes(v, p);
		CU_UNROLL
		for (uint32_t b = 0; b < sizeof(T); b++) {
			uint8_t *to = dst + b * stride + (b ? 0 : phase) + i;

			if (left == 4 && (b || !phase)) {
				*reinterpret_cast<uint32_t *>(to) = p[b];
				continue;
			}
			for (uint32_t k = 0; k < left; k++)
				to[k] = (uint8_t)(p[b] >> 8 * k);
		}
	}
}

/* Grid: parts, tiles. */
static __global__ void __launch_bounds__(GPU_THREADS) gpu_filter(struct gpu_batch batch)
{
	const struct gpu_tile tile = batch.tile[blockIdx.y];
	const struct gpu_item *item = &batch.item[tile.item];
	const struct filter f = item->filter;
	const uint8_t *x = batch.raw + item->raw_off;
	uint8_t *dst = batch.filtered + tile.off;
	struct gpu_shape s;

	if (!gpu_shape_of(item->raw_len, item->phase, f.width, tile.idx, &s))
		return;
	x += s.from;
	if (blockIdx.x == 0 && threadIdx.x < 16) {
		/* The odd ends, less than 8 bytes each, but all of a tile that has no item. */
		const uint8_t *end = x + s.phase + s.nr * s.width;
		uint8_t *last = dst + (s.width - 1) * s.stride + (s.width > 1 ? 0 : s.phase) + s.nr;

		if (threadIdx.x < s.phase)
			dst[threadIdx.x] = x[threadIdx.x];
		if (threadIdx.x < s.tail)
			last[threadIdx.x] = end[threadIdx.x];
	}
	x += s.phase;
	switch (f.width) {
	case 1:
		gpu_filter_items<uint8_t>(f, x, s.nr, dst, s.phase, s.stride, blockIdx.x,
					  gridDim.x);
		break;
	case 2:
		gpu_filter_items<uint16_t>(f, x, s.nr, dst, s.phase, s.stride, blockIdx.x,
					   gridDim.x);
		break;
	case 4:
		gpu_filter_items<uint32_t>(f, x, s.nr, dst, s.phase, s.stride, blockIdx.x,
					   gridDim.x);
		break;
	default:
		gpu_filter_items<uint64_t>(f, x, s.nr, dst, s.phase, s.stride, blockIdx.x,
					   gridDim.x);
		break;
	}
}

#endif
