/* Huffman codes for the literals of a block, and how they are told: code lengths from Shannon's,
 * repaired until they fill the code space; canonical codes; the weights, as nibbles or coded with
 * FSE. The rules are block_huf.c's. */
#ifndef CODEC_CUDA_GPU_HUFFMAN_CUH
#define CODEC_CUDA_GPU_HUFFMAN_CUH

#include "codec/cuda/gpu_lang.cuh"
#include "codec/cuda/gpu_runs.cuh"

#define GPU_CODE_MAX   11u /* bits */
#define GPU_CODE_SPACE (1u << GPU_CODE_MAX)
#define GPU_WEIGHTS    16u /* 0 to 11, and room */
#define GPU_FSE_LOG    6u
#define GPU_FSE_STATES (1u << GPU_FSE_LOG)
#define GPU_NO_LEN     0xffffu

/* Bytes of the weights as they are told, at most 129. */
#define GPU_TOLD_WORDS 34u

struct gpu_huffman {
	uint32_t code[256]; /* its length in the upper half */
	uint8_t len[256];   /* 0: symbol not in use */
	uint8_t weight[256];
	uint16_t step[256]; /* FSE: the bits each weight adds, their number in the upper byte */
	uint32_t rank[GPU_WARPS][GPU_WEIGHTS]; /* symbols of each weight in each warp */
	uint32_t part[4][GPU_WARPS];
	uint32_t told[GPU_TOLD_WORDS];
	uint32_t fse_bits[GPU_WEIGHTS]; /* per weight, as FSE's encoder has them */
	int32_t fse_find[GPU_WEIGHTS];
	uint32_t fse_end[GPU_WEIGHTS]; /* running sum of the norms */
	uint8_t fse_state[GPU_FSE_STATES];
	uint32_t fse_head; /* bytes of the table's description; 0: no FSE form */
	uint32_t fse_last[2];
};

/* What all threads know of the codes. */
struct gpu_codes {
	uint32_t len;  /* of this thread's symbol */
	uint32_t bits; /* of all literals */
	uint32_t last; /* symbol in use */
	uint32_t max_len;
};

/* One warp, 8 symbols a lane: make the lengths fill the code space, of which they take @taken. */
GPU_DEV void gpu_repair(gpu_huffman &sh, const uint32_t *count, uint32_t taken)
{
	uint32_t h[8], l[8];

	CU_UNROLL
	for (uint32_t j = 0; j < 8; j++) {
		h[j] = count[8 * gpu_lane() + j];
		l[j] = sh.len[8 * gpu_lane() + j];
	}
	while (taken > GPU_CODE_SPACE) {
		/* The symbol that a bit more costs least. */
		uint32_t best = GPU_ALL, at = 0, len = 0, least, who;

		CU_UNROLL
		for (uint32_t j = 0; j < 8; j++) {
			uint32_t key = l[j] && l[j] < GPU_CODE_MAX ? h[j] << l[j] : GPU_ALL;

			if (key < best) {
				best = key;
				at = j;
				len = l[j] + 1;
			}
		}
		least = gpu_warp_min(best);
		who = (uint32_t)__ffs(__ballot_sync(GPU_ALL, best == least)) - 1;
		len = __shfl_sync(GPU_ALL, len, who);
		CU_UNROLL
		for (uint32_t j = 0; j < 8; j++)
			if (gpu_lane() == who && j == at)
				l[j]++;
		taken -= GPU_CODE_SPACE >> len;
	}
	while (taken < GPU_CODE_SPACE) {
		/* The symbol that a bit less helps most, of those whose code's space is there
		 * once more. */
		uint32_t best = 0, at = 0, len = 0, most, who;

		CU_UNROLL
		for (uint32_t j = 0; j < 8; j++) {
			bool can = l[j] > 1 && GPU_CODE_SPACE >> l[j] <= GPU_CODE_SPACE - taken;
			uint32_t key = can ? h[j] << l[j] : 0;

			if (key > best) {
				best = key;
				at = j;
				len = l[j];
			}
		}
		most = gpu_warp_max(best);
		who = (uint32_t)__ffs(__ballot_sync(GPU_ALL, best == most)) - 1;
		len = __shfl_sync(GPU_ALL, len, who);
		CU_UNROLL
		for (uint32_t j = 0; j < 8; j++)
			if (gpu_lane() == who && j == at)
				l[j]--;
		taken += GPU_CODE_SPACE >> len;
	}
	CU_UNROLL
	for (uint32_t j = 0; j < 8; j++)
		sh.len[8 * gpu_lane() + j] = (uint8_t)l[j];
}

/* Code lengths for @nr literals counted in @count, at least two different ones. */
GPU_DEV gpu_codes gpu_lengths(gpu_huffman &sh, const uint32_t *count, uint32_t nr)
{
	uint32_t c = threadIdx.x, h = count[c], lane = gpu_lane(), warp = gpu_warp(), taken;
	uint32_t bits, last, longest;
	gpu_codes codes = {};

	codes.len = h ? gpu_shannon(h, nr) : 0;
	sh.len[c] = (uint8_t)codes.len;
	taken = gpu_sum(h ? GPU_CODE_SPACE >> codes.len : 0, sh.part[0]);
	if (warp == 0)
		gpu_repair(sh, count, taken);
	__syncthreads();
	codes.len = sh.len[c];
	bits = gpu_warp_add(h * codes.len);
	last = gpu_warp_max(h ? c : 0);
	longest = gpu_warp_max(codes.len);
	if (lane == 0) {
		sh.part[1][warp] = bits;
		sh.part[2][warp] = last;
		sh.part[3][warp] = longest;
	}
	__syncthreads();
	for (uint32_t w = 0; w < GPU_WARPS; w++) {
		codes.bits += sh.part[1][w];
		codes.last = max(codes.last, sh.part[2][w]);
		codes.max_len = max(codes.max_len, sh.part[3][w]);
	}
	return codes;
}

/* Codes by length, the longest first, then by symbol; and each symbol's weight. Barriers. */
GPU_DEV void gpu_assign(gpu_huffman &sh, const gpu_codes &codes)
{
	uint32_t c = threadIdx.x, warp = gpu_warp();
	uint32_t weight = codes.len ? codes.max_len + 1 - codes.len : 0;
	uint32_t same = __match_any_sync(GPU_ALL, weight);
	uint32_t below = (uint32_t)__popc(same & ((1u << gpu_lane()) - 1)), start = 0;

	if (c < GPU_WARPS * GPU_WEIGHTS)
		sh.rank[c / GPU_WEIGHTS][c % GPU_WEIGHTS] = 0;
	if (c < GPU_TOLD_WORDS)
		sh.told[c] = 0;
	sh.weight[c] = (uint8_t)weight;
	__syncthreads();
	if (!below)
		sh.rank[warp][weight] = (uint32_t)__popc(same);
	__syncthreads();
	for (uint32_t v = 0; v < warp; v++)
		below += sh.rank[v][weight];
	for (uint32_t w = 1; w < weight; w++) {
		uint32_t nr = 0;

		for (uint32_t v = 0; v < GPU_WARPS; v++)
			nr += sh.rank[v][w];
		start += nr << (w - 1);
	}
	sh.code[c] = weight ? ((start >> (weight - 1)) + below) | codes.len << 16 : 0;
}

/* One warp: the FSE table for the weights below symbol @nr, of which there are @count of lane's
 * weight. False: all are the same. */
GPU_DEV bool gpu_fse_table(gpu_huffman &sh, uint32_t nr, uint32_t count)
{
	uint32_t lane = gpu_lane(), norm = 0, sum, end, bits, used, sym[2] = {}, i[2];

	used = __ballot_sync(GPU_ALL, count != 0);
	if (!(used & (used - 1)))
		return false;
	if (count)
		norm = max(1u, count * GPU_FSE_STATES / nr);
	sum = gpu_warp_add(norm);
	for (; sum != GPU_FSE_STATES; sum = gpu_warp_add(norm)) {
		/* The largest, of equals the first. */
		uint32_t top = gpu_warp_max(norm << 5 | (31 - lane)), who = 31 - (top & 31);

		if (lane == who)
			norm += sum > GPU_FSE_STATES ? (uint32_t)-1 : GPU_FSE_STATES - sum;
	}
	end = gpu_warp_sum_up(norm);
	if (norm) {
		if (norm == 1)
			bits = (GPU_FSE_LOG << 16) - GPU_FSE_STATES;
		else
			bits = ((GPU_FSE_LOG - (31 - (uint32_t)__clz(norm - 1))) << 16) -
			       (norm << (GPU_FSE_LOG - (31 - (uint32_t)__clz(norm - 1))));
		if (lane < GPU_WEIGHTS) {
			sh.fse_bits[lane] = bits;
			sh.fse_find[lane] = (int32_t)(end - norm) - (int32_t)norm;
		}
	}
	if (lane < GPU_WEIGHTS)
		sh.fse_end[lane] = end;
	__syncwarp();
	/* Cell u holds the 3u-th of the states in order of their weights, since the spread's step
	 * is 43 and 3 * 43 = 1 mod 64. */
	for (uint32_t k = 0; k < 2; k++) {
		i[k] = 3 * (lane + 32 * k) % GPU_FSE_STATES;
		while (sh.fse_end[sym[k]] <= i[k])
			sym[k]++;
	}
	for (uint32_t w = 0; w <= GPU_CODE_MAX; w++) {
		uint32_t low = __ballot_sync(GPU_ALL, sym[0] == w);
		uint32_t high = __ballot_sync(GPU_ALL, sym[1] == w);
		uint32_t begin = w ? sh.fse_end[w - 1] : 0, mine = (1u << lane) - 1;

		if (sym[0] == w)
			sh.fse_state[begin + (uint32_t)__popc(low & mine)] =
				(uint8_t)(GPU_FSE_STATES + lane);
		if (sym[1] == w)
			sh.fse_state[begin + (uint32_t)__popc(low) +
				     (uint32_t)__popc(high & mine)] =
				(uint8_t)(GPU_FSE_STATES + 32 + lane);
	}
	__syncwarp();
	return true;
}

GPU_DEV void gpu_told_or(gpu_huffman &sh, uint32_t at, uint32_t v, uint32_t nr)
{
	atomicOr(&sh.told[at / 32], v << at % 32);
	if (at % 32 + nr > 32)
		atomicOr(&sh.told[at / 32 + 1], v >> (32 - at % 32));
}

GPU_DEV void gpu_told_put(gpu_huffman &sh, uint32_t *at, uint32_t v, uint32_t nr)
{
	uint32_t w = *at / 32, by = *at % 32;

	/* One thread, so no atomics; nothing is longer than 16 bits. */
	sh.told[w] |= v << by;
	if (by + nr > 32)
		sh.told[w + 1] |= v >> (32 - by);
	*at += nr;
}

/* One thread: describe the table behind the first byte of `told`. Returns bytes. */
GPU_DEV uint32_t gpu_fse_describe(gpu_huffman &sh)
{
	uint32_t at = 8, bits = GPU_FSE_LOG + 1, left = GPU_FSE_STATES + 1, edge = GPU_FSE_STATES;
	uint32_t w = 0, begin = 0;

	gpu_told_put(sh, &at, GPU_FSE_LOG - 5, 4);
	while (left > 1) {
		uint32_t norm = sh.fse_end[w] - begin, spare = 2 * edge - 1 - left, v = norm + 1;
		bool zero = !norm;

		begin += norm;
		w++;
		left -= norm;
		if (v >= edge)
			v += spare;
		gpu_told_put(sh, &at, v, bits - (v < spare));
		if (zero) {
			/* How many more of these. */
			uint32_t more = 0;

			while (sh.fse_end[w] == begin) {
				w++;
				more++;
			}
			for (; more >= 3; more -= 3)
				gpu_told_put(sh, &at, 3, 2);
			gpu_told_put(sh, &at, more, 2);
		}
		while (left < edge) {
			bits--;
			edge >>= 1;
		}
	}
	return (at - 8 + 7) / 8;
}

/* One thread of two, @which: every other weight from the last one down, through states that
 * depend on each other. */
GPU_DEV void gpu_fse_chain(gpu_huffman &sh, uint32_t nr, uint32_t which)
{
	uint32_t i = nr - 1 - ((nr - 1 - which) & 1), w = sh.weight[i];
	uint32_t state = sh.fse_state[w ? sh.fse_end[w - 1] : 0];

	sh.step[i] = 0;
	while (i >= 2) {
		uint32_t bits;

		i -= 2;
		w = sh.weight[i];
		bits = (state + sh.fse_bits[w]) >> 16;
		sh.step[i] = (uint16_t)((state & ((1u << bits) - 1)) | bits << 8);
		state = sh.fse_state[(int32_t)(state >> bits) + sh.fse_find[w]];
	}
	sh.fse_last[which] = state - GPU_FSE_STATES;
}

/* Put the description of the code into `told`. Returns its bytes, or GPU_NO_LEN: there is none.
 * Barriers. */
GPU_DEV uint32_t gpu_tell(gpu_huffman &sh, const gpu_codes &codes)
{
	uint32_t c = threadIdx.x, nr = codes.last, lane = gpu_lane(), warp = gpu_warp();
	uint32_t direct = nr <= 128 ? 1 + (nr + 1) / 2 : GPU_NO_LEN, coded = GPU_NO_LEN;
	uint32_t step, nr_bits, behind, all;

	if (warp == 0) {
		uint32_t count = 0;
		bool table;

		/* Of the weights below `last`; those of 0 are the rest. */
		if (lane >= 1 && lane <= GPU_CODE_MAX) {
			for (uint32_t v = 0; v < GPU_WARPS; v++)
				count += sh.rank[v][lane];
			count -= lane == sh.weight[nr];
		}
		all = gpu_warp_add(count);
		if (lane == 0)
			count = nr - all;
		table = nr >= 3 && gpu_fse_table(sh, nr, count);
		if (table && lane < 2)
			gpu_fse_chain(sh, nr, lane);
		__syncwarp();
		if (lane == 0)
			sh.fse_head = table ? gpu_fse_describe(sh) : 0;
	}
	__syncthreads();
	step = c + 2 < nr && sh.fse_head ? sh.step[c] : 0;
	nr_bits = step >> 8;
	/* Bits go from the last weight to the first. */
	behind = gpu_sum_below(nr_bits, sh.part[0], &all);
	behind = all - behind - nr_bits;
	if (sh.fse_head)
		coded = 1 + sh.fse_head + (all + 2 * GPU_FSE_LOG + 1 + 7) / 8;
	if (coded > 128)
		coded = GPU_NO_LEN;
	if (direct <= coded) {
		if (direct == GPU_NO_LEN)
			return GPU_NO_LEN;
		/* The table's description, if there is one, was in vain. */
		if (c < GPU_TOLD_WORDS)
			sh.told[c] = 0;
		__syncthreads();
		if (c < nr)
			atomicOr(&sh.told[(1 + c / 2) / 4],
				 (uint32_t)sh.weight[c]
					 << (8 * ((1 + c / 2) % 4) + (c % 2 ? 0 : 4)));
		if (c == 0)
			atomicOr(&sh.told[0], 127 + nr);
		__syncthreads();
		return direct;
	}
	if (c == 0)
		atomicOr(&sh.told[0], coded - 1);
	behind += 8 * (1 + sh.fse_head);
	all += 8 * (1 + sh.fse_head);
	if (c < 3) {
		/* State 2, state 1, and the bit that ends the stream. */
		uint32_t v = c == 2 ? 1 : sh.fse_last[1 - c];

		gpu_told_or(sh, all + c * GPU_FSE_LOG, v, c == 2 ? 1 : GPU_FSE_LOG);
	}
	if (nr_bits)
		gpu_told_or(sh, behind, step & 0xff, nr_bits);
	__syncthreads();
	return coded;
}

#endif
