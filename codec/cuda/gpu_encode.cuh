/* Encode one zstd block: the content of what block_encode() writes, to the last bit. A block of
 * threads for each; see gpu_runs.cuh for its first half and gpu_huffman.cuh for the codes.
 *
 * Streams of bits are written by all threads at once: each counts the bits of its part, a sum over
 * the threads tells where they go. Streams run backwards, so what stands last comes first. */
#ifndef CODEC_CUDA_GPU_ENCODE_CUH
#define CODEC_CUDA_GPU_ENCODE_CUH

#include "codec/cuda/gpu_huffman.cuh"
#include "codec/cuda/gpu_lang.cuh"
#include "codec/cuda/gpu_runs.cuh"

#define GPU_HUFFMAN_MIN	 64u /* literals, and bytes of a block, below which nothing is tried */
#define GPU_STREAMS	 4u
#define GPU_STREAM_LANES (GPU_THREADS / GPU_STREAMS)
#define GPU_JUMP_LEN	 6u
#define GPU_TABLES_LEN	 58u

/* The tables of the sequences: literal lengths, 35 codes of one state; nothing to say of offsets;
 * match lengths, 52 codes of one state. What FSE_writeNCount() makes of them. */
static __device__ __constant__ const uint8_t gpu_tables[GPU_TABLES_LEN] = {
	0x21, 0x08, 0x82, 0x20, 0x08, 0x21, 0x84, 0x10, 0x42, 0x08, 0x21, 0x84,
	0x10, 0x42, 0x08, 0x21, 0x84, 0x10, 0x42, 0x08, 0x21, 0x84, 0x10, 0x1f, /* literals */
	0x00, 0x21, 0x08, 0x82, 0x20, 0x08, 0x21, 0x84, 0x10, 0x42, 0x08, 0x21,
	0x84, 0x10, 0x42, 0x08, 0x21, 0x84, 0x10, 0x42, 0x08, 0x21, 0x84, 0x10,
	0x42, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0xc8, 0x03, /* matches */
};
#define GPU_TABLE_MODES 0x98u /* FSE, one code, FSE */

struct gpu_encode_shared {
	gpu_runs runs;
	gpu_huffman huffman;
	uint32_t part[4][GPU_WARPS];
	uint32_t border[GPU_STREAMS + 1]; /* bytes of the block where streams begin */
};

/* This thread's part of the literals of one stream: 16 bytes of the block at a time. */
struct gpu_share {
	uint32_t stream;
	uint32_t from, end; /* of the stream, in the block */
	uint32_t group, groups_end;
	uint32_t bits; /* of the literals there */
	uint32_t at;   /* where they go in the stream */
};

/* A block's content, as it will stand. */
struct gpu_layout {
	bool huffman;
	uint32_t literals_head, told; /* bytes */
	uint32_t stream[GPU_STREAMS]; /* where they begin, from the content's begin */
	uint32_t stream_len[GPU_STREAMS];
	uint32_t sequences; /* where their section begins */
	uint32_t sequences_head;
	uint32_t len;
};

/* Literals among the 16 bytes of group @g that are the stream's, a bit each. */
GPU_DEV uint32_t gpu_share_mask(const gpu_runs &sh, const gpu_share &s, uint32_t g)
{
	uint32_t m = sh.lit[g / 2] >> (16 * (g % 2)) & 0xffff;

	if (16 * g < s.from)
		m &= 0xffffu << (s.from - 16 * g);
	if (16 * g + 16 > s.end)
		m &= (1u << (s.end - 16 * g)) - 1;
	return m;
}

GPU_DEV uint32_t gpu_share_bits(const gpu_encode_shared &sh, const gpu_share &s, const uint8_t *src)
{
	const uint32_t *code = sh.huffman.code;
	uint32_t bits = 0;

	for (uint32_t g = s.group; g < s.groups_end; g++) {
		uint32_t m = gpu_share_mask(sh.runs, s, g);
		uint4 v;

		if (!m)
			continue;
		v = gpu_load16(src + 16 * g);
		if (m == 0xffff) {
			CU_UNROLL
			for (uint32_t k = 0; k < 16; k++)
				bits += code[gpu_word(v, k / 4) >> 8 * (k % 4) & 0xff] >> 16;
			continue;
		}
		for (; m; m &= m - 1)
			bits += code[gpu_byte(v, (uint32_t)__ffs(m) - 1)] >> 16;
	}
	return bits;
}

/* The last literal first. */
GPU_DEV void gpu_share_put(const gpu_encode_shared &sh, const gpu_share &s, const uint8_t *src,
			   gpu_bits *b)
{
	const uint32_t *code = sh.huffman.code;

	for (uint32_t g = s.groups_end; g-- > s.group;) {
		uint32_t m = gpu_share_mask(sh.runs, s, g);
		uint4 v;

		if (!m)
			continue;
		v = gpu_load16(src + 16 * g);
		if (m == 0xffff) {
			CU_UNROLL
			for (uint32_t k = 16; k--;) {
				uint32_t c = code[gpu_word(v, k / 4) >> 8 * (k % 4) & 0xff];

				gpu_bits_put(b, c & 0xffff, c >> 16);
				if (k % 2 == 0)
					gpu_bits_flush(b);
			}
			continue;
		}
		while (m) {
			uint32_t k = 31 - (uint32_t)__clz(m), c = code[gpu_byte(v, k)];

			m ^= 1u << k;
			gpu_bits_put(b, c & 0xffff, c >> 16);
			gpu_bits_flush(b);
		}
	}
}

/* Where literal @rank of the block stands, given that it is in this chunk and @below are before
 * it. */
GPU_DEV uint32_t gpu_literal_at(const gpu_runs &sh, const gpu_chunk &c, uint32_t below,
				uint32_t rank)
{
	uint32_t w = c.word, m = sh.lit[w];

	rank -= below;
	while (rank >= (uint32_t)__popc(m)) {
		rank -= (uint32_t)__popc(m);
		m = sh.lit[++w];
	}
	while (rank--)
		m &= m - 1;
	return 32 * w + (uint32_t)__ffs(m) - 1;
}

/* Find where in the block the four streams begin. */
GPU_DEV void gpu_find_borders(gpu_encode_shared &sh, const gpu_chunk &c, uint32_t below,
			      uint32_t nr_here, uint32_t nr_literals, uint32_t n)
{
	uint32_t each = (nr_literals + GPU_STREAMS - 1) / GPU_STREAMS;

	if (threadIdx.x == 0) {
		sh.border[0] = 0;
		sh.border[GPU_STREAMS] = n;
	}
	for (uint32_t s = 1; s < GPU_STREAMS; s++)
		if (s * each >= below && s * each < below + nr_here)
			sh.border[s] = gpu_literal_at(sh.runs, c, below, s * each);
}

GPU_DEV gpu_share gpu_share_of(const gpu_encode_shared &sh)
{
	uint32_t k = threadIdx.x % GPU_STREAM_LANES, first, end, each;
	gpu_share s = {};

	s.stream = threadIdx.x / GPU_STREAM_LANES;
	s.from = sh.border[s.stream];
	s.end = sh.border[s.stream + 1];
	first = s.from / 16;
	end = (s.end + 15) / 16;
	each = (end - first + GPU_STREAM_LANES - 1) / GPU_STREAM_LANES;
	s.group = min(first + k * each, end);
	s.groups_end = min(s.group + each, end);
	return s;
}

/* The code of a literal length, its extra bits above. */
GPU_DEV uint32_t gpu_literals_code(uint32_t n, uint32_t *extra)
{
	uint32_t log = 31 - (uint32_t)__clz(n | 1);

	*extra = 0;
	if (n < 16)
		return n;
	if (n >= 64) {
		*extra = log;
		return log + 19;
	}
	if (n >= 48) {
		*extra = 4;
		return 24;
	}
	*extra = n < 24 ? 1 : n < 32 ? 2 : 3;
	return n < 24 ? 16 + (n - 16) / 2 : n < 32 ? 20 + (n - 24) / 4 : 22 + (n - 32) / 8;
}

/* The same of a match length less 3. */
GPU_DEV uint32_t gpu_match_code(uint32_t n, uint32_t *extra)
{
	uint32_t log = 31 - (uint32_t)__clz(n | 1);

	*extra = 0;
	if (n < 32)
		return n;
	if (n >= 128) {
		*extra = log;
		return log + 36;
	}
	if (n >= 96) {
		*extra = 5;
		return 42;
	}
	*extra = n < 40 ? 1 : n < 48 ? 2 : n < 64 ? 3 : 4;
	return n < 40	? 32 + (n - 32) / 2
	       : n < 48 ? 36 + (n - 40) / 4
	       : n < 64 ? 38 + (n - 48) / 8
			: 40 + (n - 64) / 16;
}

/* One sequence: its bits in the order they are put, in two parts of at most 32. */
struct gpu_sequence {
	uint32_t literals, literals_bits;
	uint32_t rest, rest_bits;
};

/* Baselines are multiples of the values that extra bits can have. */
GPU_DEV gpu_sequence gpu_sequence_of(const uint32_t *seq, uint32_t i)
{
	uint32_t v = seq[i], before = i ? seq[i - 1] & 0xffff : 0;
	uint32_t literals = (v & 0xffff) - before, match = (v >> 16) - 3, extra;
	uint32_t lit_code, match_code;
	gpu_sequence s;

	lit_code = gpu_literals_code(literals, &s.literals_bits);
	s.literals = literals & ((1u << s.literals_bits) - 1);
	match_code = gpu_match_code(match, &extra);
	s.rest = (match & ((1u << extra) - 1)) | (43 * match_code % 64) << extra |
		 (43 * lit_code % 64) << (extra + 6);
	s.rest_bits = extra + 12;
	return s;
}

/* Bytes of the literals' head, and of how many there are when they are stored as they are. */
GPU_DEV uint32_t gpu_literals_head_len(uint32_t nr, bool huffman)
{
	if (huffman)
		return nr < 1024 ? 3 : nr < 16384 ? 4 : 5;
	return nr < 32 ? 1 : nr < 4096 ? 2 : 3;
}

GPU_DEV uint32_t gpu_literals_head_byte(uint32_t nr, uint32_t len, bool huffman, uint32_t size,
					uint32_t i)
{
	uint64_t v;

	if (!huffman)
		v = size == 1 ? nr << 3 : size == 2 ? 4 | nr << 4 : 12 | nr << 4;
	else
		v = 2 | (size - 2) << 2 | nr << 4 | (uint64_t)len << (4 * size + 2);
	return (uint32_t)(v >> 8 * i) & 0xff;
}

/* Byte @i of the head of the sequences' section, for @nr of them. */
GPU_DEV uint32_t gpu_sequences_head_byte(uint32_t nr, uint32_t i)
{
	uint32_t size = nr < 128 ? 1 : 2;

	if (i < size)
		return size == 1 ? nr : i == 0 ? 128 + (nr >> 8) : nr & 0xff;
	if (i == size)
		return GPU_TABLE_MODES;
	return gpu_tables[i - size - 1];
}

/* All that comes before the streams: head, weights, jump table. */
GPU_DEV void gpu_put_heads(const gpu_encode_shared &sh, const gpu_layout &l, uint32_t nr_literals,
			   uint32_t nr_seq, uint8_t *dst)
{
	uint32_t len = l.sequences - l.literals_head, jump = l.literals_head + l.told;

	for (uint32_t i = threadIdx.x; i < (l.huffman ? l.stream[0] : l.literals_head);
	     i += GPU_THREADS) {
		uint32_t byte;

		if (i < l.literals_head)
			byte = gpu_literals_head_byte(nr_literals, len, l.huffman, l.literals_head,
						      i);
		else if (i < jump)
			byte = sh.huffman.told[(i - l.literals_head) / 4] >>
				       (8 * ((i - l.literals_head) % 4)) &
			       0xff;
		else
			byte = (i - jump < 2   ? l.stream_len[0]
				: i - jump < 4 ? l.stream_len[1]
					       : l.stream_len[2]) >>
				       (8 * ((i - jump) % 2)) &
			       0xff;
		gpu_byte_or(dst, i, byte);
	}
	for (uint32_t i = threadIdx.x; i < l.sequences_head; i += GPU_THREADS)
		gpu_byte_or(dst, l.sequences + i, gpu_sequences_head_byte(nr_seq, i));
}

GPU_DEV void gpu_clear_bytes(uint8_t *dst, uint32_t from, uint32_t end)
{
	uint32_t *words = reinterpret_cast<uint32_t *>(dst);

	for (uint32_t w = from / 4 + threadIdx.x; 4 * w < end; w += GPU_THREADS)
		words[w] = 0;
}

/* Literals as they are. */
GPU_DEV void gpu_copy_literals(const gpu_runs &sh, const gpu_chunk &c, const uint8_t *src,
			       uint8_t *to)
{
	for (uint32_t w = c.word; w < c.words_end; w++)
		for (uint32_t m = sh.lit[w]; m; m &= m - 1)
			*to++ = src[32 * w + (uint32_t)__ffs(m) - 1];
}

/* Sum over the threads above; of all in *@all; one barrier. */
GPU_DEV uint32_t gpu_sum_above(uint32_t v, uint32_t part[GPU_WARPS], uint32_t *all)
{
	uint32_t below = gpu_sum_below(v, part, all);

	return *all - below - v;
}

GPU_DEV gpu_cut gpu_encode_block(gpu_encode_shared &sh, const uint8_t *src, uint32_t n,
				 uint32_t *seq, uint8_t *dst)
{
	const gpu_cut raw = {GPU_CUT_RAW, n, 0}, rle = {GPU_CUT_RLE, n, 0};
	const uint32_t most = n - n / BLOCK_GAIN; /* less is worth it */
	uint32_t nr_cut, nr_seq, all, below, lits_below, nr_literals, nr_seqs, lits_here;
	uint32_t seq_from, seq_end, seq_bits = 0, seq_at, seq_all;
	gpu_layout l = {};
	gpu_share share = {};
	gpu_chunk chunk;

	for (uint32_t w = 0; w < GPU_WARPS; w++)
		sh.runs.count[w][threadIdx.x] = 0;
	sh.runs.literals[threadIdx.x] = 0;
	__syncthreads();
	if (n >= GPU_NOISE_MIN && gpu_is_noise(sh.runs, src, n))
		return raw;
	if (!gpu_scan(sh.runs, src, n))
		return rle;
	if (n < GPU_HUFFMAN_MIN)
		return raw;
	gpu_weigh_runs(sh.runs);
	chunk = gpu_chunk_of(sh.runs, n);
	for (uint32_t w = chunk.word; w < chunk.words_end; w++)
		sh.runs.lit[w] = n - 32 * w < 32 ? (1u << (n - 32 * w)) - 1 : GPU_ALL;
	gpu_walk(sh.runs, chunk, src, 0, NULL, &nr_seq, &nr_cut);
	/* Two sums in one: at most 2^16 bytes, and 2^14 sequences. */
	below = gpu_sum_below(nr_cut | nr_seq << 17, sh.part[0], &all);
	nr_literals = n - (all & 0x1ffff);
	nr_seqs = all >> 17;
	lits_below = chunk.from - (below & 0x1ffff);
	lits_here = chunk.end - chunk.from - nr_cut;
	if (nr_seqs)
		gpu_walk(sh.runs, chunk, src, lits_below, seq + (below >> 17), &nr_seq, &nr_cut);

	if (nr_literals >= GPU_HUFFMAN_MIN) {
		gpu_codes codes = gpu_lengths(sh.huffman, sh.runs.literals, nr_literals);

		/* Nothing but literals, and their bits alone are too many. */
		if (!nr_seqs && codes.bits / 8 + GPU_JUMP_LEN >= most)
			return raw;
		gpu_find_borders(sh, chunk, lits_below, lits_here, nr_literals, n);
		gpu_assign(sh.huffman, codes);
		l.told = gpu_tell(sh.huffman, codes);
		if (l.told != GPU_NO_LEN) {
			share = gpu_share_of(sh);
			share.bits = gpu_share_bits(sh, share, src);
			l.huffman = true;
		}
	} else {
		__syncthreads();
	}
	/* The sequences are there for all since the last barrier. */
	seq_from = (nr_seqs + GPU_THREADS - 1) / GPU_THREADS;
	seq_end = min((threadIdx.x + 1) * seq_from, nr_seqs);
	seq_from = min(threadIdx.x * seq_from, nr_seqs);
	for (uint32_t i = seq_from; i < seq_end; i++) {
		gpu_sequence s = gpu_sequence_of(seq, i);

		seq_bits += s.literals_bits + s.rest_bits;
	}
	seq_at = gpu_sum_above(seq_bits, sh.part[1], &seq_all);
	share.at = gpu_sum_above(share.bits, sh.part[2], &all);

	/* Streams begin at whole bytes, and each is ended by a bit. */
	l.literals_head = gpu_literals_head_len(nr_literals, l.huffman);
	if (l.huffman) {
		uint32_t at = l.literals_head + l.told + GPU_JUMP_LEN, above = all;

		CU_UNROLL
		for (uint32_t s = 0; s < GPU_STREAMS; s++) {
			uint32_t bits = sh.part[2][2 * s] + sh.part[2][2 * s + 1];

			above -= bits;
			if (share.stream == s)
				share.at -= above;
			l.stream[s] = at;
			l.stream_len[s] = (bits + 1 + 7) / 8;
			at += l.stream_len[s];
		}
		l.sequences = at;
		if (at - l.literals_head >= nr_literals - nr_literals / BLOCK_GAIN) {
			l.huffman = false;
			l.literals_head = gpu_literals_head_len(nr_literals, false);
		}
	}
	if (!l.huffman)
		l.sequences = l.literals_head + nr_literals;
	l.sequences_head = !nr_seqs ? 1 : (nr_seqs < 128 ? 1 : 2) + 1 + GPU_TABLES_LEN;
	l.len = l.sequences + l.sequences_head + (nr_seqs ? (seq_all + 1 + 7) / 8 : 0);
	if (l.len >= most)
		return raw;

	gpu_clear_bytes(dst, 0, l.huffman ? l.stream[0] : l.literals_head);
	gpu_clear_bytes(dst, l.sequences, l.sequences + l.sequences_head);
	share.at += 8 * (share.stream == 0   ? l.stream[0]
			 : share.stream == 1 ? l.stream[1]
			 : share.stream == 2 ? l.stream[2]
					     : l.stream[3]);
	seq_at += 8 * (l.sequences + l.sequences_head);
	if (l.huffman)
		gpu_bits_clear(dst, share.at, share.bits + 1);
	if (nr_seqs)
		gpu_bits_clear(dst, seq_at, seq_bits + 1);
	__syncthreads();
	if (!l.huffman) {
		/* Single bytes, at the ends in words that others or bits into: not at the same time. */
		gpu_copy_literals(sh.runs, chunk, src, dst + l.literals_head + lits_below);
		__syncthreads();
	}
	gpu_put_heads(sh, l, nr_literals, nr_seqs, dst);
	if (l.huffman) {
		gpu_bits b = gpu_bits_at(dst, share.at);

		gpu_share_put(sh, share, src, &b);
		/* The first literals stand last, and then the bit that ends the stream. */
		if (threadIdx.x % GPU_STREAM_LANES == 0) {
			gpu_bits_put(&b, 1, 1);
			gpu_bits_flush(&b);
		}
		gpu_bits_end(&b);
	}
	if (nr_seqs) {
		gpu_bits b = gpu_bits_at(dst, seq_at);

		for (uint32_t i = seq_end; i-- > seq_from;) {
			gpu_sequence s = gpu_sequence_of(seq, i);

			gpu_bits_put(&b, s.literals, s.literals_bits);
			gpu_bits_flush(&b);
			gpu_bits_put(&b, s.rest, s.rest_bits);
			gpu_bits_flush(&b);
		}
		if (threadIdx.x == 0) {
			gpu_bits_put(&b, 1, 1);
			gpu_bits_flush(&b);
		}
		gpu_bits_end(&b);
	}
	return {GPU_CUT_CODED, l.len, 0};
}

/* Grid: GPU_TILE_CUTS, tiles. */
static __global__ void __launch_bounds__(GPU_THREADS, 4) gpu_encode(struct gpu_batch batch)
{
	CU_SHARED(gpu_encode_shared, sh);
	const struct gpu_tile tile = batch.tile[blockIdx.y];
	const struct gpu_item *item = &batch.item[tile.item];
	struct gpu_cut *cut = &batch.cut[blockIdx.y * GPU_TILE_CUTS + blockIdx.x];
	struct gpu_cut made = {GPU_CUT_NONE, 0, 0};
	struct gpu_shape shape;
	struct gpu_piece piece;

	if (gpu_shape_of(item->raw_len, item->phase, item->filter.width, tile.idx, &shape) &&
	    gpu_piece_of(&shape, blockIdx.x, &piece)) {
		uint64_t off = tile.off + piece.off;

		made = gpu_encode_block(sh, batch.filtered + off, piece.len,
					reinterpret_cast<uint32_t *>(batch.out + off),
					batch.coded + off);
	}
	if (threadIdx.x == 0)
		*cut = made;
}

#endif
