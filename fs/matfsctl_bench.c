/* matfsctl bench-codec: what the codec would do for the user's own files. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "codec/codec.h"
#include "conf/size.h"
#include "fs/codec_bench.h"
#include "fs/matfsctl.h"

#define LEN_MAX (256 * MIB) /* of each file, unless told otherwise: all of it is held in memory */
#define ROUNDS	3u

enum { OPT_LEVEL = 'l', OPT_SIZE = 's', OPT_ROUNDS = 'r', OPT_JSON = 'j', OPT_GPU = 'g' };

static int number(const char *text, unsigned min, unsigned max, unsigned *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || end == text || n < min || n > max)
		return -EINVAL;
	*out = (unsigned)n;
	return 0;
}

/* Returns an exit code; 0: go on. */
static int arguments(int argc, char **argv, struct codec_bench_params *p, enum codec_gpu_want *want)
{
	static const struct option options[] = {{"level", required_argument, NULL, OPT_LEVEL},
						{"size", required_argument, NULL, OPT_SIZE},
						{"rounds", required_argument, NULL, OPT_ROUNDS},
						{"gpu", required_argument, NULL, OPT_GPU},
						{"json", no_argument, NULL, OPT_JSON},
						{0}};
	unsigned level = CODEC_LEVEL_DEFAULT;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case OPT_LEVEL:
			if (number(optarg, CODEC_LEVEL_MIN, CODEC_LEVEL_MAX, &level))
				return matfsctl_usage("bench-codec: --level is 1 to 19");
			break;
		case OPT_ROUNDS:
			if (number(optarg, 1, 100, &p->rounds))
				return matfsctl_usage("bench-codec: --rounds is 1 to 100");
			break;
		case OPT_SIZE:
			if (size_parse(optarg, &p->len_max) || !p->len_max)
				return matfsctl_usage("bench-codec: --size is a size, such as 64M");
			break;
		case OPT_GPU:
			if (!strcmp(optarg, "off"))
				*want = CODEC_GPU_OFF;
			else if (!strcmp(optarg, "on"))
				*want = CODEC_GPU_ON;
			else if (strcmp(optarg, "auto"))
				return matfsctl_usage("bench-codec: --gpu is auto, on or off");
			break;
		case OPT_JSON:
			p->json = true;
			break;
		default:
			return matfsctl_usage("bench-codec: unknown option");
		}
	}
	p->level = (int)level;
	if (optind == argc)
		return matfsctl_usage("bench-codec: which files?");
	p->files = argv + optind;
	p->nr_files = (unsigned)(argc - optind);
	return 0;
}

/* As codec_gpu_open(), but what is there is used whether or not it is faster. */
static int open_gpu(enum codec_gpu_want want, struct codec_gpu **out)
{
	struct codec_gpu_params p = {.want = CODEC_GPU_ON, .nr_threads = 1};
	char why[256] = "";
	int err;

	if (want == CODEC_GPU_OFF)
		return 0;
	err = codec_gpu_open(&p, out, why, sizeof(why));
	if (!err || want == CODEC_GPU_AUTO)
		return 0;
	fprintf(stderr, "matfsctl: bench-codec: %s\n", why);
	return EXIT_OPERATION;
}

int matfsctl_bench(int argc, char **argv)
{
	enum codec_gpu_want want = CODEC_GPU_AUTO;
	struct codec_bench_params p = {.extent_len = MIB,
				       .len_max = LEN_MAX,
				       .rounds = ROUNDS,
				       .out = stdout,
				       .err = stderr};
	int code = arguments(argc, argv, &p, &want), res;

	if (code)
		return code;
	code = open_gpu(want, &p.gpu);
	if (code)
		return code;
	res = codec_bench_run(&p);
	codec_gpu_close(p.gpu);
	if (res < 0)
		fprintf(stderr, "matfsctl: bench-codec: %s\n", strerror(-res));
	return res < 0 ? EXIT_OPERATION : res ? EXIT_PARTLY : EXIT_GOOD;
}
