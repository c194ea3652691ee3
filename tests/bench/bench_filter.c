/* What filters cost: GB/s of filter_apply() and filter_undo() on 128 KiB tiles that stay in the
 * second-level cache, one core, best of several rounds.
 *
 *   bench_filter [ROUNDS]
 *
 * Built by hand: cc -O2 -I. tests/bench/bench_filter.c codec/filter*.c */
#include <stdio.h>
#include <string.h>

#include "codec/filter.h"
#include "conf/base.h"

#define TILE_LEN   (128 * KIB)
#define NR_REPEATS 100

static uint8_t *src, *mid, *dst;
static unsigned nr_rounds = 20;

static double gb_per_s(enum filter_impl impl, const struct filter *f, bool undo)
{
	uint64_t best = UINT64_MAX;

	for (unsigned round = 0; round < nr_rounds; round++) {
		uint64_t start = mono_ns();

		for (int n = 0; n < NR_REPEATS; n++) {
			if (undo && !filter_undo_with(impl, f, dst, mid, TILE_LEN, 0))
				return 0;
			if (!undo && !filter_apply_with(impl, f, mid, src, TILE_LEN, 0))
				return 0;
		}
		best = MIN(best, mono_ns() - start);
	}
	return (double)TILE_LEN * NR_REPEATS / (double)best;
}

static double memcpy_gb_per_s(void)
{
	uint64_t best = UINT64_MAX;

	for (unsigned round = 0; round < nr_rounds; round++) {
		uint64_t start = mono_ns();

		for (int n = 0; n < NR_REPEATS; n++) {
			memcpy(dst, src, TILE_LEN);
			__asm__ volatile("" : : "r"(dst) : "memory");
		}
		best = MIN(best, mono_ns() - start);
	}
	return (double)TILE_LEN * NR_REPEATS / (double)best;
}

static void bench(struct filter f)
{
	static const char *const names[FILTER_NR] = {"none", "delta", "lorenzo", "float"};
	double gb[FILTER_IMPL_NR][2];

	for (int impl = 0; impl < FILTER_IMPL_NR; impl++) {
		gb[impl][0] = gb_per_s((enum filter_impl)impl, &f, false);
		gb[impl][1] = gb_per_s((enum filter_impl)impl, &f, true);
	}
	printf("%-8s %5u %5u %5u %6u %4s  %6.1f %6.1f  %6.1f %6.1f%s\n", names[f.id], f.width,
	       f.order, f.dist, f.pitch, f.swap ? "big" : "", gb[FILTER_PLAIN][0],
	       gb[FILTER_PLAIN][1], gb[FILTER_AVX2][0], gb[FILTER_AVX2][1],
	       memcmp(src, dst, TILE_LEN) ? "  WRONG" : "");
}

/* Little-endian, and big-endian where that is another thing. */
static void bench_both(struct filter f)
{
	for (f.swap = 0; f.swap <= (f.width > 1 && f.id != FILTER_NONE); f.swap++)
		bench(f);
}

int main(int argc, char **argv)
{
	static const uint16_t dists[] = {1, 2, 3, 4, 5, 7, 9, 13, 24, 40, 100, 1000};
	static const uint32_t pitches[] = {24, 40, 72, 200, 1000, 8000};

	src = aligned_alloc(BLOCK_LEN, TILE_LEN);
	mid = aligned_alloc(BLOCK_LEN, TILE_LEN);
	dst = aligned_alloc(BLOCK_LEN, TILE_LEN);
	if (!src || !mid || !dst)
		return 1;
	if (argc > 1)
		nr_rounds = (unsigned)atoi(argv[1]);
	for (size_t i = 0; i < TILE_LEN; i++)
		src[i] = (uint8_t)(i * i >> 7);
	printf("memcpy %.1f GB/s\n", memcpy_gb_per_s());
	puts("                                          plain           avx2");
	puts("filter   width order  dist  pitch  end   apply   undo   apply   undo");
	for (unsigned w = 1; w <= 8; w *= 2)
		bench_both((struct filter){.id = FILTER_NONE, .width = (uint8_t)w});
	for (unsigned w = 2; w <= 8; w *= 2)
		bench_both((struct filter){.id = FILTER_FLOAT, .width = (uint8_t)w});
	for (unsigned w = 1; w <= 8; w *= 2)
		for (uint8_t order = 1; order <= FILTER_ORDER_MAX; order++)
			for (size_t k = 0; k < ARRAY_LEN(dists); k++)
				bench_both((struct filter){.id = FILTER_DELTA,
							   .width = (uint8_t)w,
							   .order = order,
							   .dist = dists[k]});
	for (unsigned w = 1; w <= 8; w *= 2)
		for (size_t k = 0; k < ARRAY_LEN(pitches); k++)
			for (uint16_t dist = 1; dist <= 5; dist += 2)
				bench_both((struct filter){.id = FILTER_LORENZO,
							   .width = (uint8_t)w,
							   .dist = dist,
							   .pitch = pitches[k]});
	free(src);
	free(mid);
	free(dst);
	return 0;
}
