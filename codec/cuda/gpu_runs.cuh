/* The first half of a block's encoding: is it noise, where are its runs, which of them become
 * sequences, and what is left as literals. The rules are block.c's and block_runs.c's.
 *
 * Where runs begin is kept as a bit for each byte (`edge`), so that all but the first pass over the
 * block touch its bytes only where there are long runs. */
#ifndef CODEC_CUDA_GPU_RUNS_CUH
#define CODEC_CUDA_GPU_RUNS_CUH

#include "codec/cuda/gpu_lang.cuh"

#define GPU_NOISE_MIN  4096u
#define GPU_NOISE_PART 4u
#define GPU_RUN_CAP    16u
#define GPU_RUN_MIN    4u
#define GPU_NO_EDGE    0xffffffffu

#define GPU_EDGE_WORDS (GPU_BLOCK_LEN / 32 + 2)

/* Shared memory of this half. */
struct gpu_runs {
	union {
		uint32_t count[GPU_WARPS][256];	  /* of bytes, a copy for each warp */
		uint32_t lit[GPU_BLOCK_LEN / 32]; /* then: a bit for each byte that is a literal */
	};
	union {
		/* a bit for each byte that differs from the one before */
		uint32_t edge[GPU_EDGE_WORDS];
		uint16_t edge16[2 * GPU_EDGE_WORDS];
	};
	uint32_t literals[256]; /* how often each symbol is one; before: bytes beyond the cap */
	uint8_t min_run[256];
	uint32_t part[5][GPU_WARPS];
};

/* What of the block this thread looks at: whole words of `edge`. */
struct gpu_chunk {
	uint32_t word, words_end;
	uint32_t from, end; /* bytes; equal: nothing */
	uint32_t first;	    /* edge of it, or GPU_NO_EDGE */
	uint32_t before;    /* last edge below it */
	uint32_t after;	    /* first edge above it, or the block's end */
};

/* Bit i: byte i of @word differs from the byte before it, of which @before is the word. */
GPU_DEV uint32_t gpu_edges4(uint32_t before, uint32_t word)
{
	uint32_t d = word ^ __funnelshift_l(before, word, 8);

	d |= (d & 0x7f7f7f7f) + 0x7f7f7f7f;
	return ((d >> 7 & 0x01010101) * 0x10204080u) >> 28;
}

GPU_DEV uint32_t gpu_edges16(uint32_t before, const uint4 &v)
{
	return gpu_edges4(before, v.x) | gpu_edges4(v.x, v.y) << 4 | gpu_edges4(v.y, v.z) << 8 |
	       gpu_edges4(v.z, v.w) << 12;
}

/* log2(n/h), rounded: the smallest l of 1..11 with n^2 < h^2 2^(2l+1), else 11. */
GPU_DEV uint32_t gpu_shannon(uint32_t h, uint32_t n)
{
	uint64_t n2 = (uint64_t)n * n, h2 = (uint64_t)h * h;
	uint32_t l;

	if (!h)
		return 11;
	/* That of the bit lengths' difference, or one off. */
	l = (uint32_t)max(1, __clz(h) - __clz(n) - 1);
	while (l < 11 && n2 >= h2 << (2 * l + 1))
		l++;
	return min(l, 11u);
}

/* Noise, by an eighth of the bytes: nothing to gain, as far as single bytes tell. The counts are
 * zero before and after. */
GPU_DEV bool gpu_is_noise(gpu_runs &sh, const uint8_t *src, uint32_t n)
{
	uint32_t *count = sh.count[gpu_warp()];
	uint32_t equal = 0, sum = 0;
	uint32_t m = 32 * (n / 256);

	for (uint32_t i = threadIdx.x; i < 2 * (n / 256); i += GPU_THREADS) {
		uint32_t g = i / 2;
		const uint8_t *p = src + 256 * g + 32 * ((g * 0x9e3779b1u) >> 29) + 16 * (i & 1);
		uint4 v = gpu_load16(p);
		uint32_t edges = gpu_edges16(i & 1 ? (uint32_t)p[-1] << 24 : ~v.x << 24, v);

		CU_UNROLL
		for (uint32_t k = 0; k < 16; k++)
			atomicAdd(&count[gpu_word(v, k / 4) >> 8 * (k % 4) & 0xff], 1u);
		equal += 16 - __popc(edges);
	}
	__syncthreads();
	for (uint32_t w = 0; w < GPU_WARPS; w++) {
		sum += sh.count[w][threadIdx.x];
		sh.count[w][threadIdx.x] = 0;
	}
	sum = gpu_sum(sum * sum, sh.part[0]);
	equal = gpu_sum(equal, sh.part[1]);
	return 256 * (uint64_t)(sum - m) < (uint64_t)m * m + (uint64_t)m * m / GPU_NOISE_PART &&
	       equal <= m / 64;
}

/* Count 16 bytes of which @left are the block's: those among the first GPU_RUN_CAP of their run
 * in @count, the others in @over. @edges has all bits from @left on set. */
GPU_DEV void gpu_count16(uint32_t *count, uint32_t *over, const uint4 &v, const uint4 &before,
			 uint32_t edges, uint32_t left)
{
	/* Bytes that belong to a run from before. */
	uint32_t head = (uint32_t)__ffs(edges | 0x10000) - 1;
	uint32_t ends = (edges >> 1 | 0x8000) & (0xffffffffu << head) & ((1u << left) - 1);
	uint32_t run = 0 - head;

	if (head) {
		uint32_t c = v.x & 0xff, all = c * 0x01010101u;
		uint32_t d = before.w ^ all, so_far = 0, keep;

		if (!d) {
			so_far = 32;
			d = before.z ^ all;
			if (!d) {
				so_far = 64;
				d = before.y ^ all;
				if (!d) {
					so_far = 96;
					d = before.x ^ all;
				}
			}
		}
		so_far = (so_far + (uint32_t)__clz(d)) / 8;
		keep = min(head, GPU_RUN_CAP - so_far);
		if (keep)
			atomicAdd(&count[c], keep);
		if (head > keep)
			atomicAdd(&over[c], head - keep);
	}
	CU_UNROLL
	for (uint32_t k = 0; k < 16; k++) {
		run++;
		if (ends >> k & 1) {
			atomicAdd(&count[gpu_word(v, k / 4) >> 8 * (k % 4) & 0xff], run);
			run = 0;
		}
	}
}

/* Find all edges and count all bytes. False: all bytes are equal. */
GPU_DEV bool gpu_scan(gpu_runs &sh, const uint8_t *src, uint32_t n)
{
	uint32_t inner = 0;

	for (uint32_t p = 16 * threadIdx.x; p < n; p += 16 * GPU_THREADS) {
		uint32_t left = min(n - p, 16u);
		uint4 v = gpu_load16(src + p);
		uint4 before = p ? gpu_load16(src + p - 16) : make_uint4(0, 0, 0, ~v.x << 24);
		uint32_t edges = gpu_edges16(before.w, v) | (0xffffu << left & 0xffff);

		sh.edge16[p / 16] = (uint16_t)edges;
		inner |= (edges & ((1u << left) - 1)) >> !p;
		gpu_count16(sh.count[gpu_warp()], sh.literals, v, before, edges, left);
	}
	/* Edges behind the end, as far as whole words and one more are looked at. */
	if (threadIdx.x < 4)
		sh.edge16[(n + 15) / 16 + threadIdx.x] = 0xffff;
	return __syncthreads_or(inner != 0);
}

/* From the counts: the shortest run of each symbol that is worth a sequence, and all bytes. */
GPU_DEV void gpu_weigh_runs(gpu_runs &sh)
{
	uint32_t c = threadIdx.x, h = 0, n;

	for (uint32_t w = 0; w < GPU_WARPS; w++)
		h += sh.count[w][c];
	n = gpu_sum(h, sh.part[2]);
	sh.min_run[c] = (uint8_t)max(GPU_RUN_MIN, 15 / gpu_shannon(h, n) + 2);
	sh.literals[c] += h;
}

/* This thread's part of the block, and the edges next to it; a barrier. */
GPU_DEV gpu_chunk gpu_chunk_of(gpu_runs &sh, uint32_t n)
{
	uint32_t words = (n + 31) / 32, each = (words + GPU_THREADS - 1) / GPU_THREADS;
	uint32_t lane = gpu_lane(), warp = gpu_warp(), last = 0, before, after;
	gpu_chunk c;

	c.word = min(threadIdx.x * each, words);
	c.words_end = min(c.word + each, words);
	c.from = min(c.word * 32, n);
	c.end = min(c.words_end * 32, n);
	c.first = GPU_NO_EDGE;
	for (uint32_t w = c.word; w < c.words_end; w++) {
		uint32_t m = sh.edge[w];

		if (m && c.first == GPU_NO_EDGE)
			c.first = 32 * w + (uint32_t)__ffs(m) - 1;
		if (m)
			last = 32 * w + 31 - (uint32_t)__clz(m);
	}
	before = last;
	after = c.first;
	for (uint32_t by = 1; by < 32; by *= 2) {
		uint32_t low = __shfl_up_sync(GPU_ALL, before, by);
		uint32_t high = __shfl_down_sync(GPU_ALL, after, by);

		if (lane >= by)
			before = max(before, low);
		if (lane + by < 32)
			after = min(after, high);
	}
	if (lane == 31)
		sh.part[0][warp] = before;
	if (lane == 0)
		sh.part[1][warp] = after;
	/* Without this lane's own. */
	before = __shfl_up_sync(GPU_ALL, before, 1);
	after = __shfl_down_sync(GPU_ALL, after, 1);
	c.before = lane ? before : 0;
	c.after = lane < 31 ? after : GPU_NO_EDGE;
	__syncthreads();
	for (uint32_t w = 0; w < GPU_WARPS; w++) {
		if (w < warp)
			c.before = max(c.before, sh.part[0][w]);
		if (w > warp)
			c.after = min(c.after, sh.part[1][w]);
	}
	c.after = min(c.after, n);
	return c;
}

/* Bytes @from to @end - 1, all in the words that are this thread's, are no literals. */
GPU_DEV void gpu_cut_literals(gpu_runs &sh, uint32_t from, uint32_t end)
{
	while (from < end) {
		uint32_t nr = min(end - from, 32 - from % 32);

		sh.lit[from / 32] &= ~(GPU_ALL >> (32 - nr) << from % 32);
		from += nr;
	}
}

/* Where the run that begins at @at, in word @w of this thread's chunk, ends. */
GPU_DEV uint32_t gpu_run_end(const gpu_runs &sh, const gpu_chunk &c, uint32_t w, uint32_t at)
{
	uint32_t m = sh.edge[w] & ~((2u << at % 32) - 1);

	while (!m && ++w < c.words_end)
		m = sh.edge[w];
	return m ? min(32 * w + (uint32_t)__ffs(m) - 1, c.after) : c.after;
}

/* Go through the runs of the chunk that are worth a sequence. With @seq NULL, count them (in
 * @nr_seq), take their bytes from the literals, and count these (@nr_cut) for the chunk; else
 * store the sequences, given how many literals (@lits) there are before the chunk. A sequence is
 * the end of its literals in the list of all literals, and the length of its match. */
GPU_DEV void gpu_walk(gpu_runs &sh, const gpu_chunk &c, const uint8_t *src, uint32_t lits,
		      uint32_t *seq, uint32_t *nr_seq, uint32_t *nr_cut)
{
	uint32_t nr = 0, cut = 0;

	if (c.from < c.end && !(sh.edge[c.word] & 1)) {
		uint32_t end = min(c.first, c.after);

		if (end - c.before >= sh.min_run[src[c.from]]) {
			cut = min(end, c.end) - c.from;
			if (!seq)
				gpu_cut_literals(sh, c.from, c.from + cut);
		}
	}
	for (uint32_t w = c.word; w < c.words_end; w++) {
		uint32_t m = sh.edge[w], next = sh.edge[w + 1];
		/* Runs of four or more begin where three bits without an edge follow. */
		uint32_t runs = m & ~__funnelshift_r(m, next, 1) & ~__funnelshift_r(m, next, 2) &
				~__funnelshift_r(m, next, 3);

		while (runs) {
			uint32_t at = 32 * w + (uint32_t)__ffs(runs) - 1;
			uint32_t end = gpu_run_end(sh, c, w, at), symbol;

			runs &= runs - 1;
			symbol = src[at];
			if (end - at < sh.min_run[symbol])
				continue;
			if (seq) {
				seq[nr] = (lits + at - c.from - cut + 1) | (end - at - 1) << 16;
			} else {
				atomicAdd(&sh.literals[symbol], 0 - (end - at - 1));
				gpu_cut_literals(sh, at + 1, min(end, c.end));
			}
			nr++;
			cut += min(end, c.end) - at - 1;
		}
	}
	*nr_seq = nr;
	*nr_cut = cut;
}

#endif
