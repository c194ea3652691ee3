/* matfsctl bench-codec, with an emulated GPU beside the CPU: every way is measured, and what cannot be read is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "codec/cuda/gpu_emulated.h"
#include "conf/base.h"
#include "fs/codec_bench.h"

#define EXTENT ((uint32_t)(256 * KIB))

static char path[] = "/tmp/matfs-bench-XXXXXX";

/* Numbers that rise, of 4 bytes, with some noise. */
static int setup(void **state)
{
	AUTO_FD int fd = mkstemp(path);
	static uint32_t items[5 * EXTENT / 4 + 100];

	(void)state;
	assert_true(fd >= 0);
	for (size_t i = 0; i < ARRAY_LEN(items); i++) {
		uint64_t z = (i + 1) * 0x9e3779b97f4a7c15ULL;

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
		items[i] = (uint32_t)(i * 40 + (z >> 57));
	}
	assert_int_equal(write(fd, items, sizeof(items)), sizeof(items));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

static int run(struct codec_gpu *gpu, char **files, unsigned nr, char *out, size_t out_len)
{
	FILE *to = fmemopen(out, out_len, "w"), *err = fopen("/dev/null", "we");
	struct codec_bench_params p = {.files = files,
				       .nr_files = nr,
				       .level = CODEC_LEVEL_DEFAULT,
				       .extent_len = EXTENT,
				       .len_max = 64 * MIB,
				       .rounds = 2,
				       .json = true,
				       .gpu = gpu,
				       .out = to,
				       .err = err};
	int res;

	assert_non_null(to);
	assert_non_null(err);
	res = codec_bench_run(&p);
	fclose(to);
	fclose(err);
	return res;
}

static unsigned long long stored(const char *json, const char *way)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), "\"%s\": {\"stored_bytes\": ", way);
	at = strstr(json, key);
	assert_non_null(at);
	return strtoull(at + strlen(key), NULL, 10);
}

static void a_gpu_is_measured_beside_the_cpu(void **state)
{
	struct gpu_emulated emulated;
	struct codec_gpu_params gp = {.want = CODEC_GPU_ON,
				      .nr_threads = 1,
				      .driver = &gpu_emulated_driver,
				      .driver_arg = &emulated};
	struct codec_gpu *gpu = NULL;
	struct codec_gpu_stat st;
	char why[256], out[4096], *files[] = {path};

	(void)state;
	gpu_emulated_init(&emulated, 1);
	assert_int_equal(codec_gpu_open(&gp, &gpu, why, sizeof(why)), 0);
	assert_int_equal(run(gpu, files, 1, out, sizeof(out)), 0);
	codec_gpu_stat(gpu, 0, &st);
	assert_true(st.raw_bytes >= 4 * EXTENT);
	codec_gpu_close(gpu);
	gpu_emulated_fini(&emulated);
	assert_true(stored(out, "gpu") > 0);
	assert_true(stored(out, "gpu") < 5 * EXTENT);
	assert_true(stored(out, "matfs") < stored(out, "zstd_1"));
	assert_int_equal(stored(out, "copy"), 5 * EXTENT + 400);
}

static void without_one_there_is_no_such_row(void **state)
{
	char out[4096], none[] = "/nonexistent", dir[] = "/tmp";
	char *files[] = {none, path, dir};

	(void)state;
	/* What cannot be read does not keep the rest from being measured. */
	assert_int_equal(run(NULL, files, 3, out, sizeof(out)), 1);
	assert_null(strstr(out, "\"gpu\""));
	assert_true(stored(out, "matfs") > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_gpu_is_measured_beside_the_cpu),
		cmocka_unit_test(without_one_there_is_no_such_row),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
