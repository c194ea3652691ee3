/* The kernels, emulated: the bytes must be those of the CPU's encoder, whatever the order in which
 * the threads of a block run. */
#include "codec/cuda/emulate.h"
#include "codec/cuda/gpu_emulated.h"
#include "tests/codec/gpu_test.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROUNDS	1u /* fibers are slow there */
#define CHOICES 20u
#else
#define ROUNDS	4u
#define CHOICES 80u
#endif

struct fixture {
	struct gpu_emulated e;
	struct gpu *g;
};

static void begin(struct fixture *f)
{
	struct gpu_params p = {.driver = &gpu_emulated_driver,
			       .driver_arg = &f->e,
			       .batch_len = GPU_RAW_MAX,
			       .verify_every = UINT32_MAX,
			       .deadline_ns = UINT64_C(600000000000)};
	struct why why = {NULL, 0};

	gpu_emulated_init(&f->e, 1);
	assert_int_equal(gpu_open(&p, &f->g, &why), 0);
}

static void end(struct fixture *f)
{
	gpu_close(f->g);
	gpu_emulated_fini(&f->e);
	emulate_set_order(EMULATE_FORWARD, 0);
}

static void run(enum emulate_order order, const char *test)
{
	struct rng r = rng_seeded(test);
	struct fixture f;

	emulate_set_order(order, rng_next(&r));
	begin(&f);
	gpu_check_all(f.g, ROUNDS, &r);
	end(&f);
}

static void bytes_are_the_cpus_forward(void **state)
{
	(void)state;
	run(EMULATE_FORWARD, __func__);
}

static void bytes_are_the_cpus_in_reverse(void **state)
{
	(void)state;
	run(EMULATE_REVERSE, __func__);
}

static void bytes_are_the_cpus_shuffled(void **state)
{
	(void)state;
	run(EMULATE_SHUFFLED, __func__);
}

static void the_filter_chosen_is_the_cpus(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct fixture f;

	(void)state;
	begin(&f);
	gpu_check_choice(f.g, CHOICES, 40000, &r);
	emulate_set_order(EMULATE_SHUFFLED, rng_next(&r));
	gpu_check_choice(f.g, CHOICES / 4, 300000, &r);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_the_cpus_forward),
		cmocka_unit_test(bytes_are_the_cpus_in_reverse),
		cmocka_unit_test(bytes_are_the_cpus_shuffled),
		cmocka_unit_test(the_filter_chosen_is_the_cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
