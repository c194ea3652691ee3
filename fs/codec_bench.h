/* What the codec does for somebody's own files, beside plain zstd: lengths and rates.
 * Threads: one; it measures its own processor time. */
#ifndef FS_CODEC_BENCH_H
#define FS_CODEC_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct codec_gpu;

enum codec_bench_way {
	BENCH_MATFS,  /* codec.h, at the level asked for */
	BENCH_GPU,    /* the same from a GPU, extents in batches; elapsed time, with both copies */
	BENCH_ZSTD_1, /* libzstd on the plain bytes, extent by extent */
	BENCH_ZSTD_3,
	BENCH_COPY, /* copied and checksummed, nothing else */
	BENCH_NR,
};

struct codec_bench_row {
	const char *file; /* borrowed; NULL: all files together */
	const char *why;  /* why most bytes are stored as they are, "" for a sum */
	uint64_t raw_len;
	struct {
		bool there;
		uint64_t stored_len;
		uint64_t encode_ns, decode_ns; /* for raw_len bytes */
	} way[BENCH_NR];
};

struct codec_bench_params {
	char **files;
	unsigned nr_files;
	int level;
	uint32_t extent_len;
	uint64_t len_max; /* bytes read of each file; the first ones */
	unsigned rounds;  /* each way in turn, extent by extent; the best round counts */
	bool json;
	struct codec_gpu *gpu; /* borrowed; opened to take whatever it is offered. NULL: none */
	FILE *out, *err;       /* results; progress and what could not be read */
};

/* Measure all files, print a row for each and one for all: ratios as geometric means, rates as
 * totals and as geometric means. Returns 0, 1 when a file could not be read (the others are
 * measured), or a negative errno. */
int codec_bench_run(const struct codec_bench_params *p);

#endif
