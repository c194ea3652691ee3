/* What block.c, block_runs.c, block_huf.c and block_streams.c share, and nobody else needs.
 * Threads: any, each with its own work. */
#ifndef CODEC_BLOCK_IMPL_H
#define CODEC_BLOCK_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "codec/block.h"
#include "conf/bytes.h"

#if defined(__x86_64__)
#define BLOCK_X86	  1
#define BLOCK_TARGET_AVX2 __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define BLOCK_TARGET_AVX512                                                                        \
	__attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx2,bmi,bmi2,lzcnt,popcnt")))
#else
#define BLOCK_X86 0
#endif

/* For what is compiled once more for each processor. */
#define BLOCK_INLINE static inline __attribute__((always_inline))

/* block_runs.c */

/* True when @n bytes (4096 or more) look like noise, by the rule there. */
bool block_runs_noise(enum block_impl impl, const uint8_t *s, size_t n, struct block_work *work);

/* Count the @n bytes in work->count[0], and list in work->mark where runs of 4 bytes and more begin
 * (the third byte) and end (the last byte). Returns how many runs. */
size_t block_runs_scan(enum block_impl impl, const uint8_t *s, size_t n, struct block_work *work);

/* Choose among @nr_runs marked runs those worth a sequence: they become work->seq, their bytes are
 * taken out of work->count[0]. Returns how many. */
size_t block_runs_pick(enum block_impl impl, const uint8_t *s, size_t nr_runs,
		       struct block_work *work);

/* Copy the literals of @nr_seq sequences and those behind to work->lits. Returns how many. */
size_t block_runs_gather(const uint8_t *s, size_t n, size_t nr_seq, struct block_work *work);

/* Write the sequences section. Returns its end. */
uint8_t *block_runs_write(size_t nr_seq, uint8_t *dst, const struct block_work *work);

/* block_huf.c */

/* Write the literals section for @n bytes, counted in work->count[0]. Returns its end. */
uint8_t *block_huf_write(enum block_impl impl, const uint8_t *lits, size_t n, uint8_t *dst,
			 struct block_work *work);

/* block_streams.c */

/* Write the four Huffman streams of @n symbols (64 or more), the first to @dst, the others to
 * work->stream; @len gets their lengths. The codes are in work->code, the longest has @max_len
 * bits. */
void block_streams_write(enum block_impl impl, const uint8_t *s, size_t n, unsigned max_len,
			 uint8_t *dst, struct block_work *work, size_t len[4]);

/* helpers */

static inline unsigned block_log2(uint32_t v)
{
	return 31 - (unsigned)__builtin_clz(v);
}

/* block_shannon() of all symbols, in a form that becomes vector code; any length where the count is
 * 0. */
BLOCK_INLINE void block_lens(const uint32_t count[256], uint32_t root, uint32_t len[256])
{
	for (unsigned c = 0; c < 256; c++)
		len[c] = 1;
	/* One more for each length that is too short. */
	for (unsigned l = 1; l < BLOCK_LEN_MAX; l++)
		for (unsigned c = 0; c < 256; c++)
			len[c] += (int32_t)count[c] <= (int32_t)(root >> l);
}

/* Bits go in from the low end, bytes go out; there must be room for eight more. */
struct block_bits {
	uint8_t *p;
	uint64_t acc;
	unsigned nr; /* bits in acc, less than 8 after a flush */
};

BLOCK_INLINE void block_bits_put(struct block_bits *b, uint64_t v, unsigned nr)
{
	b->acc |= v << b->nr;
	b->nr += nr;
}

BLOCK_INLINE void block_bits_flush(struct block_bits *b)
{
	put_u64(b->p, b->acc);
	b->p += b->nr / 8;
	b->acc >>= b->nr & ~7u;
	b->nr &= 7;
}

/* A 1 bit ends the stream. Returns the end. */
BLOCK_INLINE uint8_t *block_bits_end(struct block_bits *b)
{
	block_bits_put(b, 1, 1);
	put_u64(b->p, b->acc);
	return b->p + (b->nr + 7) / 8;
}

#endif
