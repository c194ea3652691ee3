/* The block encoder: libzstd reads what it writes, all processors' code writes the same, and what
 * it wrote once it writes for ever. */
#include "tests/codec/codec_test.h"

#include <math.h>
#include <xxhash.h>
#include <zstd.h>

#include "codec/block.h"

#define FRAME_HEAD 9u
#define TILE_MAX   (131072u + 7)
#define WIDTH_MAX  8u

enum type { RAW, RLE, COMPRESSED };

static struct block_work *work;
static uint8_t *back, *frame_buf;

static int setup(void **state)
{
	(void)state;
	work = malloc(sizeof(*work));
	back = malloc(TILE_MAX);
	frame_buf = malloc(block_frame_bound(TILE_MAX));
	return work && back && frame_buf ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(work);
	free(back);
	free(frame_buf);
	return 0;
}

static uint32_t head_of(const uint8_t *block)
{
	return block[0] | (uint32_t)block[1] << 8 | (uint32_t)block[2] << 16;
}

static enum type type_of(const uint8_t *block)
{
	return (enum type)(head_of(block) >> 1 & 3);
}

/* libzstd gives the bytes back. */
static void check_frame(const uint8_t *frame, size_t frame_len, const uint8_t *src, size_t n)
{
	size_t got;

	memset(back, 0xee, n);
	got = ZSTD_decompress(back, n, frame, frame_len);
	if (ZSTD_isError(got))
		fail_msg("%zu bytes: %s", n, ZSTD_getErrorName(got));
	assert_int_equal(got, n);
	assert_memory_equal(back, src, n);
}

static void check_block(const uint8_t *block, size_t len, const uint8_t *src, size_t n)
{
	static uint8_t frame[FRAME_HEAD + BLOCK_RAW_MAX + BLOCK_SLACK] = {0x28, 0xb5, 0x2f, 0xfd,
									  0xa0};

	for (unsigned i = 0; i < 4; i++)
		frame[5 + i] = (uint8_t)(n >> 8 * i);
	memcpy(frame + FRAME_HEAD, block, len);
	check_frame(frame, FRAME_HEAD + len, src, n);
	assert_true(len <= n + 3);
	assert_int_equal(head_of(block) & 1, 1);
}

/* Encode @n bytes in all ways, buffers against guard pages, and have them decoded. Returns the
 * length; the block itself is in frame_buf. */
static size_t check(const uint8_t *src, size_t n, struct rng *r)
{
	enum guard_at at = rng_next(r) & 1 ? GUARD_ABOVE : GUARD_BELOW;
	struct guarded in = guarded_new(n, at);
	struct guarded out = guarded_new(block_bound(n), at);
	size_t len = 0;

	memcpy(in.p, src, n);
	for (int impl = BLOCK_PLAIN; impl < BLOCK_NR; impl++) {
		size_t got;

		/* What is left of other blocks must not show. */
		memset(work, (int)rng_next(r), sizeof(*work));
		memset(out.p, (int)rng_next(r), out.len);
		got = block_encode_with((enum block_impl)impl, in.p, n, true, out.p, work);
		if (impl == BLOCK_PLAIN) {
			len = got;
			memcpy(frame_buf, out.p, len);
		} else if (got && (got != len || memcmp(frame_buf, out.p, len) != 0)) {
			fail_msg("%zu bytes: implementation %d differs", n, impl);
		}
	}
	assert_memory_equal(in.p, src, n);
	check_block(frame_buf, len, src, n);
	guarded_free(&in);
	guarded_free(&out);
	return len;
}

/* Distributions of single bytes, a table to draw from. */
struct dist {
	uint8_t table[4096];
};

static void dist_fill(struct dist *d, const double *weight, unsigned nr, unsigned seed)
{
	double sum = 0, acc = 0;
	unsigned at = 0;

	for (unsigned i = 0; i < nr; i++)
		sum += weight[i];
	for (unsigned i = 0; i < nr; i++) {
		acc += weight[i];
		while (at < 4096 && at < acc / sum * 4096)
			/* Symbols scattered, or in order. */
			d->table[at++] = (uint8_t)(seed % 2 ? i * (seed | 1) + seed / 256 : i);
	}
	while (at < 4096)
		d->table[at++] = 0;
}

static void dist_random(struct dist *d, struct rng *r)
{
	unsigned nr = 2 + (unsigned)rng_below(r, 255);
	double base = 1 + (double)rng_below(r, 1000) / 1000;
	double weight[256] = {0};
	unsigned kind = (unsigned)rng_below(r, 5);

	for (unsigned i = 0; i < nr; i++) {
		switch (kind) {
		case 0: /* geometric */
			weight[i] = pow(base, -(double)i);
			break;
		case 1: /* Zipf */
			weight[i] = pow(i + 1, -2 * (base - 1));
			break;
		case 2: /* anything */
			weight[i] = (double)rng_below(r, 1000) + 1;
			break;
		case 3: /* a bell */
			weight[i] = exp(-pow(((double)i - nr / 2.0) / (nr / 8.0 * base), 2));
			break;
		default: /* few of many */
			weight[i] = rng_below(r, 8) ? 0.01 : (double)rng_below(r, 100);
			break;
		}
	}
	weight[0] += 1e-9;
	dist_fill(d, weight, nr, (unsigned)rng_next(r));
}

/* @n bytes of one distribution; every so often one is repeated. @run: one in so many, 0: none. */
static void dist_draw(const struct dist *d, uint8_t *p, size_t n, unsigned run, struct rng *r)
{
	for (size_t i = 0; i < n;) {
		uint64_t v = rng_next(r);
		size_t len = run && v % run == 0 ? 1 + (v >> 40) % (1u << (v >> 32) % 9) : 1;

		for (; len && i < n; len--)
			p[i++] = d->table[v >> 52];
	}
}

static void shannon_is_as_defined(void **state)
{
	static const uint32_t sums[] = {1,    2,    3,	   63,	  64,	 1000,
					1024, 4095, 16384, 40000, 65535, 65536};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(sums); k++) {
		uint64_t n = sums[k];

		for (uint64_t h = 1; h <= n; h++) {
			unsigned l = 1;

			while (l < BLOCK_LEN_MAX && n * n >= h * h << (2 * l + 1))
				l++;
			if (block_shannon((uint32_t)h, block_shannon_root((uint32_t)n)) != l)
				fail_msg("%u of %u: not %u", (unsigned)h, (unsigned)n, l);
		}
	}
}

static void short_blocks(void **state)
{
	struct rng r = rng_seeded(__func__);
	uint8_t p[300];

	(void)state;
	for (size_t n = 1; n <= sizeof(p); n++) {
		for (unsigned kind = 0; kind < 4; kind++) {
			size_t len;

			for (size_t i = 0; i < n; i++)
				p[i] = (uint8_t)(kind == 0   ? 7
						 : kind == 1 ? rng_next(&r)
						 : kind == 2 ? rng_next(&r) & 1
							     : i / 20);
			len = check(p, n, &r);
			if (kind == 0 || n == 1) {
				assert_int_equal(type_of(frame_buf), RLE);
				assert_int_equal(len, 4);
			} else if (n < 64 && memcmp(p, p + 1, n - 1) != 0) {
				assert_int_equal(type_of(frame_buf), RAW);
				assert_int_equal(len, n + 3);
			}
		}
	}
}

/* Lengths around the forms of the literals header, with nothing but literals. */
static void literals_headers(void **state)
{
	static const size_t around[] = {64, 1024, 4096, 16384, 32768, 65533};
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(around); k++) {
		for (size_t n = around[k] - 3; n <= around[k] + 3; n++) {
			/* No two neighbours alike. */
			for (size_t i = 0; i < n; i++)
				p[i] = (uint8_t)((i & 1) << 2 | (rng_next(&r) & 3));
			check(p, n, &r);
			assert_int_equal(type_of(frame_buf), n < 64 ? RAW : COMPRESSED);
			if (n >= 64) {
				assert_int_equal(frame_buf[3] & 3, 2);
				assert_int_equal(frame_buf[3] >> 2 & 3, n < 1024    ? 1
									: n < 16384 ? 2
										    : 3);
			}
		}
	}
}

/* Few literals stay raw between the sequences, in each form of their header. */
static void raw_literals(void **state)
{
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t lits = 1; lits < 6000; lits += lits < 80 ? 1 : 371) {
		memset(p, 0, sizeof(p));
		for (size_t i = 0; i < lits; i++)
			p[i] = (uint8_t)rng_next(&r);
		p[0] = 1;
		check(p, sizeof(p), &r);
		assert_int_equal(type_of(frame_buf), COMPRESSED);
		if (lits < 63)
			assert_int_equal(frame_buf[3] & 3, RAW);
	}
}

static void symbols_at_the_edges(void **state)
{
	static const unsigned lasts[] = {1, 2, 3, 126, 127, 128, 129, 130, 254, 255};
	static uint8_t p[20000];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(lasts); k++) {
		/* Two symbols, few, and all up to the last; even, or uneven. */
		for (unsigned kind = 0; kind < 6; kind++) {
			for (size_t n = 64; n <= sizeof(p); n = n * 3 / 2) {
				unsigned last = lasts[k];

				for (size_t i = 0; i < n; i++) {
					uint64_t v = rng_next(&r);
					uint64_t low = v >> 32;

					for (unsigned j = kind / 3 * 3; j; j--)
						low = MIN(low, rng_next(&r) >> 32);
					p[i] = (uint8_t)(kind % 3 == 0 ? (low & 1) * last
							 : kind % 3 == 1
								 ? last - low % MIN(5u, last)
								 : low * (last + 1) >> 32);
				}
				p[n / 2] = (uint8_t)last;
				check(p, n, &r);
			}
		}
	}
}

/* 256 symbols equally often are noise in a long block, and not worth it in a short one. */
static void equal_counts(void **state)
{
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t n = 256; n <= sizeof(p); n *= 2) {
		for (size_t i = 0; i < n; i++)
			p[i] = (uint8_t)i;
		assert_int_equal(check(p, n, &r), n + 3);
		assert_int_equal(type_of(frame_buf), RAW);
		/* Half of them: a bit each, but for the weights. */
		for (size_t i = 0; i < n; i++)
			p[i] = (uint8_t)(i % 128 * 2);
		check(p, n, &r);
		assert_int_equal(type_of(frame_buf), n > 512 ? COMPRESSED : RAW);
	}
}

/* Any number of symbols, all as often: the lengths are far from a full sum, on either side. */
static void even_spreads(void **state)
{
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (unsigned nr = 2; nr < 256; nr++) {
		size_t n = 1000 + rng_below(&r, sizeof(p) - 1000);

		for (size_t i = 0; i < n; i++)
			p[i] = (uint8_t)(i % nr);
		check(p, n, &r);
	}
}

static void one_symbol_nearly_always(void **state)
{
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t others = 1; others < 3000; others += 1 + others / 4) {
		memset(p, 200, sizeof(p));
		for (size_t i = 0; i < others; i++)
			p[rng_below(&r, sizeof(p))] = (uint8_t)rng_next(&r);
		p[100] = 3;
		check(p, sizeof(p), &r);
		assert_int_equal(type_of(frame_buf), COMPRESSED);
	}
}

/* Nothing but runs, of all lengths, to the block's end or almost. */
static void runs_and_nothing_else(void **state)
{
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t len = 1; len < sizeof(p); len += 1 + len / 3) {
		for (unsigned tail = 0; tail < 5; tail++) {
			size_t n = sizeof(p) - rng_below(&r, 70);

			for (size_t i = 0; i < n; i++)
				p[i] = (uint8_t)(i / len);
			for (size_t i = n - tail; i < n; i++)
				p[i] = (uint8_t)rng_next(&r);
			check(p, n, &r);
			/* In turn with another symbol. */
			for (size_t i = 0; i < n; i++)
				p[i] = (uint8_t)(i / len % 2 * 77);
			check(p, n, &r);
		}
	}
}

/* Literal lengths and match lengths of every code, and both sides of where codes change. */
static void all_sequence_codes(void **state)
{
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (unsigned which = 0; which < 2; which++) {
		for (size_t v = 1; v < sizeof(p) - 8; v += v < 300 ? 1 : v / 16) {
			for (int off = -1; off <= 1; off++) {
				size_t lits = which ? 5 : v, run = which ? v + 3 : 40, i = 0;
				size_t round = 1 << 9;

				lits += (size_t)off;
				while (i < sizeof(p) && round--) {
					for (size_t k = 0; k < lits && i < sizeof(p); k++)
						p[i++] = (uint8_t)(rng_next(&r) & 7);
					for (size_t k = 0; k < run && i < sizeof(p); k++)
						p[i++] = 9;
				}
				check(p, i, &r);
			}
			if (v > 300)
				v += rng_below(&r, v);
		}
	}
}

/* As many sequences as change the form of their number, and the most there can be. */
static void many_sequences(void **state)
{
	static const size_t counts[] = {1, 2, 126, 127, 128, 129, 255, 256, 257, 10000, 16383};
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		size_t nr = counts[k], len = sizeof(p) / (nr + 1);

		memset(p, 0, sizeof(p));
		for (size_t i = 0; i < sizeof(p); i++)
			p[i] = (uint8_t)(i / len < nr ? i / len : i);
		check(p, sizeof(p), &r);
		if (nr < 10000)
			assert_int_equal(type_of(frame_buf), COMPRESSED);
	}
}

static void random_distributions(void **state)
{
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = rng_seeded(__func__);
	size_t types[3] = {0};
	struct dist d;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		size_t n = 1 + rng_below(&r, round % 16 ? 5000 : sizeof(p));
		unsigned run = rng_next(&r) & 1 ? 1 + (unsigned)rng_below(&r, 200) : 0;
		size_t part = 0;

		/* One distribution, or several in turn. */
		while (part < n) {
			size_t len = rng_next(&r) & 3 ? n - part : 1 + rng_below(&r, n - part);

			dist_random(&d, &r);
			dist_draw(&d, p + part, len, run, &r);
			part += len;
		}
		check(p, n, &r);
		types[type_of(frame_buf)]++;
	}
	printf("raw %zu, rle %zu, compressed %zu\n", types[RAW], types[RLE], types[COMPRESSED]);
	assert_true(types[COMPRESSED] > 1000);
}

/* Weights in both forms: few small symbols take the direct one, many the FSE coded. */
static void both_forms_of_weights(void **state)
{
	static uint8_t p[10000];
	struct rng r = rng_seeded(__func__);
	struct dist d;
	double weight[200];

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		weight[i] = pow(0.97, i);
	dist_fill(&d, weight, 200, 0);
	dist_draw(&d, p, sizeof(p), 0, &r);
	check(p, sizeof(p), &r);
	assert_int_equal(type_of(frame_buf), COMPRESSED);
	assert_in_range(frame_buf[3 + 4], 2, 127);
	dist_fill(&d, weight, 5, 0);
	dist_draw(&d, p, sizeof(p), 0, &r);
	check(p, sizeof(p), &r);
	assert_int_equal(type_of(frame_buf), COMPRESSED);
	assert_in_range(frame_buf[3 + 4], 128, 131);
}

/* More than 128 weights that are all alike have no form that is legal: the literals stay raw. */
static void no_form_of_weights(void **state)
{
	static uint8_t p[256 * 8];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)i;
	assert_int_equal(check(p, sizeof(p), &r), sizeof(p) + 3);
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)(i % 128);
	assert_int_equal(type_of((check(p, sizeof(p), &r), frame_buf)), COMPRESSED);
	/* The last weight is implied, so it may differ. */
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)(i % 255);
	check(p, sizeof(p), &r);
}

static void noise_stays_raw(void **state)
{
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t n = 4090; n < sizeof(p); n = n * 5 / 4 + 1) {
		for (size_t i = 0; i < n; i++)
			p[i] = (uint8_t)rng_next(&r);
		assert_int_equal(check(p, n, &r), n + 3);
		assert_int_equal(type_of(frame_buf), RAW);
		/* Each byte five times is no noise, though all are equally likely. */
		for (size_t i = 0; i < n; i++)
			p[i] = i % 5 ? p[i - 1] : (uint8_t)rng_next(&r);
		assert_true(check(p, n, &r) < n * 3 / 4);
	}
}

/* What a real file may have in step with the groups that are looked at. */
static void noise_in_columns_is_seen_through(void **state)
{
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t period = 32; period <= 4096; period *= 2) {
		for (size_t i = 0; i < sizeof(p); i++)
			p[i] = i % period < period / 4 ? (uint8_t)(rng_next(&r) & 3)
						       : (uint8_t)rng_next(&r);
		check(p, sizeof(p), &r);
		assert_int_equal(type_of(frame_buf), COMPRESSED);
	}
}

/* Tiles: every width and phase, lengths about where blocks are cut. */
static void frames_are_cut_at_planes(void **state)
{
	static const size_t lens[] = {1,     2,	    7,	   8,	   9,	   15,	   100,	  5000,
				      65535, 65536, 65537, 131071, 131072, 131073, 131079};
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(lens); k++) {
		for (unsigned w = 1; w <= 8; w *= 2) {
			for (unsigned phase = 0; phase < w; phase++) {
				size_t len = lens[k], frame_len;
				size_t nr = len > phase ? (len - phase) / w : 0;
				enum guard_at at = phase % 2 ? GUARD_ABOVE : GUARD_BELOW;
				struct guarded in = guarded_new(len, at);
				struct guarded out = guarded_new(block_frame_bound(len), at);
				unsigned nr_blocks = 0, expect = 0;
				size_t pos = FRAME_HEAD, from = 0;

				for (size_t i = 0; i < len; i++)
					in.p[i] = (uint8_t)(i < nr * w / 2 ? rng_next(&r)
									   : rng_next(&r) & 7);
				memset(work, (int)rng_next(&r), sizeof(*work));
				frame_len = block_frame(in.p, len, phase, w, out.p, work);
				assert_true(frame_len <= block_frame_bound(len) - BLOCK_SLACK);
				check_frame(out.p, frame_len, in.p, len);
				assert_int_equal(ZSTD_getFrameContentSize(out.p, frame_len), len);
				assert_int_equal(ZSTD_findFrameCompressedSize(out.p, frame_len),
						 frame_len);

				/* Each piece alone gives the same block. */
				for (unsigned b = 0; b < (nr ? w : 1); b++) {
					size_t end =
						b + 1 == (nr ? w : 1) ? len : phase + (b + 1) * nr;

					for (; from < end; expect++) {
						size_t n = MIN(end - from, (size_t)BLOCK_RAW_MAX);
						size_t got = block_encode(in.p + from, n,
									  from + n == len,
									  frame_buf, work);

						assert_true(pos + got <= frame_len);
						assert_memory_equal(out.p + pos, frame_buf, got);
						pos += got;
						from += n;
					}
				}
				assert_int_equal(pos, frame_len);
				for (pos = FRAME_HEAD; pos < frame_len; nr_blocks++) {
					uint32_t head = head_of(out.p + pos);

					pos += 3 + ((head >> 1 & 3) == RLE ? 1 : head >> 3);
				}
				assert_int_equal(nr_blocks, expect);
				guarded_free(&in);
				guarded_free(&out);
			}
		}
	}
}

/* A run over the border of two blocks is one in each of them. */
static void run_crosses_a_block_end(void **state)
{
	static uint8_t p[131072];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t before = 0; before < 70; before += 1 + before / 4) {
		for (size_t after = 1; after < 70; after += 1 + after / 4) {
			size_t len;

			for (size_t i = 0; i < sizeof(p); i++)
				p[i] = (uint8_t)(rng_next(&r) & 3);
			memset(p + BLOCK_RAW_MAX - before, 9, before + after);
			len = block_frame(p, sizeof(p), 0, 1, frame_buf, work);
			check_frame(frame_buf, len, p, sizeof(p));
		}
	}
}

/* The lengths chosen are about as good as libzstd's Huffman trees. */
static void is_not_longer_than_libzstd(void **state)
{
	static uint8_t p[BLOCK_RAW_MAX], z[BLOCK_RAW_MAX + 1000];
	struct rng r = rng_seeded(__func__);
	size_t ours = 0, theirs = 0;
	struct dist d;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		dist_random(&d, &r);
		dist_draw(&d, p, sizeof(p), 0, &r);
		ours += check(p, sizeof(p), &r);
		theirs += ZSTD_compress(z, sizeof(z), p, sizeof(p), 1);
	}
	printf("%zu bytes, libzstd %zu\n", ours, theirs);
	assert_true(ours <= theirs + theirs / 200);
}

/* Bytes as they were when there were first files of them. They may not change: other encoders write
 * the same. */
/* Its last word was once counted with the zeros behind it: a third symbol that is not there, and
 * longer codes for the two that are. */
static void a_run_at_the_end_counts_its_own_bytes(void **state)
{
	uint8_t raw[64 * 70 + 63], enc[sizeof(raw) + BLOCK_SLACK];

	(void)state;
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = i % 3 ? 'a' : 'b';
	for (size_t left = 1; left <= 63; left++) {
		size_t n = 64 * 70 + left;

		memset(raw + 64 * 70, 'a', 63);
		block_encode(raw, n, true, enc, work);
		assert_int_equal(work->count[0][0], 0);
	}
}

static void bytes_never_change(void **state)
{
	static uint8_t p[BLOCK_RAW_MAX];
	struct rng r = {4711};
	unsigned nr_bad = 0;
	uint64_t sum;
	static const uint64_t expect[] = {
		0x0400c2f860258247, 0x23a8bef379f784e3, 0x475a89f7ffcad54a, 0xedb507b13c1e0af4,
		0xde66249ee2e9467a, 0x65e2e59ceee15500, 0x6e5eac412f661cae, 0x92e33632d899338a,
	};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(expect); k++) {
		size_t n = k < 4 ? sizeof(p) >> k : 100 + 1000 * k;
		size_t len;

		for (size_t i = 0; i < n; i++) {
			uint64_t v = rng_next(&r);

			/* Integers only: bits set, multiplied, shifted, with runs. */
			p[i] = i && v % 16 < k ? p[i - 1]
					       : (uint8_t)((unsigned)__builtin_popcountll(v >> 8) *
							   (k | 1) % (13 + 41 * k));
		}
		len = check(p, n, &r);
		sum = XXH3_64bits(frame_buf, len);
		if (sum != expect[k]) {
			printf("%u: 0x%016" PRIx64 ", %zu of %zu bytes\n", k, sum, len, n);
			nr_bad++;
		}
	}
	assert_int_equal(nr_bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shannon_is_as_defined),
		cmocka_unit_test(short_blocks),
		cmocka_unit_test(literals_headers),
		cmocka_unit_test(raw_literals),
		cmocka_unit_test(symbols_at_the_edges),
		cmocka_unit_test(equal_counts),
		cmocka_unit_test(even_spreads),
		cmocka_unit_test(one_symbol_nearly_always),
		cmocka_unit_test(runs_and_nothing_else),
		cmocka_unit_test(all_sequence_codes),
		cmocka_unit_test(many_sequences),
		cmocka_unit_test(random_distributions),
		cmocka_unit_test(both_forms_of_weights),
		cmocka_unit_test(no_form_of_weights),
		cmocka_unit_test(noise_stays_raw),
		cmocka_unit_test(noise_in_columns_is_seen_through),
		cmocka_unit_test(frames_are_cut_at_planes),
		cmocka_unit_test(run_crosses_a_block_end),
		cmocka_unit_test(is_not_longer_than_libzstd),
		cmocka_unit_test(a_run_at_the_end_counts_its_own_bytes),
		cmocka_unit_test(bytes_never_change),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
