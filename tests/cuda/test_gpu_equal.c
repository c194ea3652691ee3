/* On a real GPU: the bytes must be those of the CPU's encoder. Skipped, with 77, where there is
 * none. */
#include "tests/codec/gpu_test.h"

static struct gpu *gpu;

static void bytes_are_the_cpus(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	gpu_check_all(gpu, 60, &r);
}

static void the_filter_chosen_is_the_cpus(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	gpu_check_choice(gpu, 300, GPU_RAW_MAX, &r);
}

/* Whole batches of long extents, so that all processors are busy, and races show. */
static void many_long_extents_are_right(void **state)
{
	enum { NR = 96 };
	struct rng r = rng_seeded(__func__);
	struct gpu_case *c = calloc(NR, sizeof(*c));
	struct gpu_wait w;

	(void)state;
	assert_non_null(c);
	gpu_wait_init(&w);
	for (unsigned i = 0; i < NR; i++) {
		struct filter f = gpu_any_filter(&r);
		size_t len = i % 8 ? 1 << 20 : GPU_RAW_MAX;

		gpu_case_init(&c[i], &w, len, &f, (unsigned)rng_below(&r, f.width));
		gpu_fill_walk(c[i].raw, len, f.width, c[i].job.phase, f.swap, &r);
		snprintf(c[i].what, sizeof(c[i].what), "long %u", i);
	}
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < NR; i++) {
			c[i].nr_done = 0;
			gpu_case_submit(gpu, &c[i]);
		}
		gpu_wait_for(&w);
		for (unsigned i = 0; i < NR; i++)
			gpu_case_check(&c[i]);
	}
	for (unsigned i = 0; i < NR; i++)
		gpu_case_fini(&c[i]);
	gpu_wait_fini(&w);
	free(c);
}

static void pinned_memory_works(void **state)
{
	enum { LEN = 8 << 20 };
	const struct filter f = {.id = FILTER_DELTA, .width = 4, .dist = 1, .order = 1};
	struct rng r = rng_seeded(__func__);
	uint8_t *pool = malloc(LEN), *own;
	struct gpu_case c;
	struct gpu_wait w;

	(void)state;
	assert_non_null(pool);
	gpu_wait_init(&w);
	assert_int_equal(gpu_register(gpu, pool, LEN), 0);
	for (unsigned i = 0; i < 20; i++) {
		size_t at = rng_below(&r, LEN - GPU_RAW_MAX);

		gpu_case_init(&c, &w, 1 + rng_below(&r, GPU_RAW_MAX), &f, 0);
		own = c.raw;
		c.job.raw = c.raw = pool + at;
		gpu_fill_walk(c.raw, c.job.raw_len, 4, 0, false, &r);
		gpu_case_submit(gpu, &c);
		gpu_wait_for(&w);
		gpu_case_check(&c);
		c.raw = own;
		gpu_case_fini(&c);
	}
	gpu_unregister(gpu, pool);
	gpu_wait_fini(&w);
	free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_the_cpus),
		cmocka_unit_test(the_filter_chosen_is_the_cpus),
		cmocka_unit_test(many_long_extents_are_right),
		cmocka_unit_test(pinned_memory_works),
	};
	struct gpu_params p = {.verify_every = UINT32_MAX};
	char text[128] = "";
	struct why why = {text, sizeof(text)};
	int err = gpu_open(&p, &gpu, &why);

	if (err) {
		printf("skipped: %s\n", text);
		return 77;
	}
	err = cmocka_run_group_tests(tests, NULL, NULL);
	gpu_close(gpu);
	return err;
}
