/* What the block encoder gives on files: bytes parted into planes, or the differences of numbers
 * that are so many items apart, tile by tile, against libzstd's level 1 on the plain bytes, 1 MiB
 * at a time. One core.
 *
 *   bench_block [-w WIDTH] [-d DISTANCE] [-m MIB] [-r ROUNDS] FILE...
 *
 * The width is that of the .npy head where there is one, else that of -w. At most so many MiB of a
 * file are used. Times are the best of some rounds; those of the blocks include the filter. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <zstd.h>

#include "codec/block.h"
#include "codec/filter.h"
#include "codec/npy.h"
#include "conf/base.h"

#define TILE_LEN   (128 * KIB)
#define EXTENT_LEN MIB

static struct block_work work;
static struct filter filter = {.width = 1};
static unsigned rounds = 5;

struct result {
	double ratio, encode, decode; /* bytes per second */
};

static double now(void)
{
	return (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
}

static size_t encode_block(uint8_t *dst, const uint8_t *src, size_t len)
{
	static uint8_t planes[TILE_LEN];

	filter_apply(&filter, planes, src, len, 0);
	return block_frame(planes, len, 0, filter.width, dst, &work);
}

/* Unfiltered again, to compare. */
static void undo_block(uint8_t *p, size_t len)
{
	static uint8_t planes[TILE_LEN];

	memcpy(planes, p, len);
	filter_undo(&filter, p, planes, len, 0);
}

static ZSTD_CCtx *cctx;

static size_t encode_zstd(uint8_t *dst, const uint8_t *src, size_t len)
{
	size_t got = ZSTD_compressCCtx(cctx, dst, ZSTD_compressBound(len), src, len, 1);

	assert(!ZSTD_isError(got));
	return got;
}

static struct result bench(const uint8_t *src, size_t len, size_t unit,
			   size_t (*encode)(uint8_t *, const uint8_t *, size_t),
			   void (*undo)(uint8_t *, size_t))
{
	size_t nr = (size_t)div_up(len, unit);
	size_t room = MAX(block_frame_bound(unit), ZSTD_compressBound(unit));
	uint8_t *out = malloc(nr * room), *back = malloc(len);
	size_t *got = calloc(nr, sizeof(*got)), sum = 0;
	ZSTD_DCtx *dctx = ZSTD_createDCtx();
	double enc = INFINITY, dec = INFINITY;

	assert(out && back && got && dctx);
	memset(out, 1, nr * room);
	memset(back, 1, len);
	for (unsigned r = 0; r < rounds; r++) {
		double t = now();

		for (size_t i = 0; i < nr; i++)
			got[i] = encode(out + i * room, src + i * unit, MIN(unit, len - i * unit));
		enc = MIN(enc, now() - t);
		t = now();
		for (size_t i = 0; i < nr; i++) {
			size_t n = MIN(unit, len - i * unit);
			size_t d = ZSTD_decompressDCtx(dctx, back + i * unit, n, out + i * room,
						       got[i]);

			if (d != n) {
				fprintf(stderr, "does not decode: %s\n",
					ZSTD_isError(d) ? ZSTD_getErrorName(d) : "length");
				exit(1);
			}
		}
		dec = MIN(dec, now() - t);
		for (size_t i = 0; undo && i < nr; i++)
			undo(back + i * unit, MIN(unit, len - i * unit));
		if (memcmp(src, back, len) != 0) {
			fprintf(stderr, "decodes to other bytes\n");
			exit(1);
		}
	}
	for (size_t i = 0; i < nr; i++)
		sum += got[i];
	free(out);
	free(back);
	free(got);
	ZSTD_freeDCtx(dctx);
	return (struct result){(double)len / (double)sum, (double)len / enc, (double)len / dec};
}

static uint8_t *load(const char *path, size_t max, size_t *len)
{
	uint8_t *p = malloc(max);
	FILE *f = fopen(path, "rb");

	if (!p || !f) {
		perror(path);
		exit(1);
	}
	*len = fread(p, 1, max, f);
	fclose(f);
	return p;
}

static void say(const char *name, unsigned width, const struct result *r)
{
	printf("%-20.20s %u  %6.3f %6.3f  %6.0f %6.0f %5.2f  %6.0f %6.0f %5.2f\n", name, width,
	       r[0].ratio, r[1].ratio, r[0].encode / 1e6, r[1].encode / 1e6,
	       r[0].encode / r[1].encode, r[0].decode / 1e6, r[1].decode / 1e6,
	       r[0].decode / r[1].decode);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct result mean[2] = {0};
	unsigned width = 1, dist = 0;
	size_t max = 16 * MIB;
	int opt;

	while ((opt = getopt(argc, argv, "w:d:m:r:")) != -1) {
		unsigned v = opt == '?' ? 0 : (unsigned)atoi(optarg);

		if (opt == 'w')
			width = v;
		else if (opt == 'd')
			dist = v;
		else if (opt == 'm' && v)
			max = v * MIB;
		else if (opt == 'r' && v)
			rounds = v;
		else
			optind = argc;
	}
	if (optind >= argc || width > 8 || !width || (width & (width - 1)) || dist > UINT16_MAX) {
		fprintf(stderr, "usage: bench_block [-w 1|2|4|8] [-d DISTANCE] [-m MIB] "
				"[-r ROUNDS] FILE...\n");
		return 2;
	}
	cctx = ZSTD_createCCtx();
	assert(cctx);
	printf("%-20s w  %13s  %20s  %20s\n", "", "ratio", "encode, MB/s", "decode, MB/s");
	printf("%-20s    %6s %6s  %6s %6s %5s  %6s %6s\n", "", "block", "zstd", "block", "zstd", "",
	       "block", "zstd");
	for (int i = optind; i < argc; i++) {
		const char *name = strrchr(argv[i], '/') ? strrchr(argv[i], '/') + 1 : argv[i];
		struct head_array npy = {.width = (uint8_t)width};
		struct result r[2];
		uint8_t *raw;
		size_t len, skip;

		raw = load(argv[i], max, &len);
		npy_find(raw, len, &npy);
		skip = npy.start < len ? (size_t)npy.start : 0;
		filter.id = dist ? FILTER_DELTA : FILTER_NONE;
		filter.width = npy.width;
		filter.dist = (uint16_t)dist;
		filter.order = dist ? 1 : 0;
		r[0] = bench(raw + skip, len - skip, TILE_LEN, encode_block, undo_block);
		r[1] = bench(raw + skip, len - skip, EXTENT_LEN, encode_zstd, NULL);
		say(name, npy.width, r);
		for (unsigned k = 0; k < 2; k++) {
			mean[k].ratio += log(r[k].ratio);
			mean[k].encode += log(r[k].encode);
			mean[k].decode += log(r[k].decode);
		}
		free(raw);
	}
	for (unsigned k = 0; k < 2; k++) {
		mean[k].ratio = exp(mean[k].ratio / (argc - optind));
		mean[k].encode = exp(mean[k].encode / (argc - optind));
		mean[k].decode = exp(mean[k].decode / (argc - optind));
	}
	say("geometric mean", 0, mean);
	ZSTD_freeCCtx(cctx);
	return 0;
}
