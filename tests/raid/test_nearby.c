/* Small reads close to one another are fetched ahead of; others are left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf/base.h"
#include "raid/nearby.h"

/* splitmix64 */
static uint64_t next_random(uint64_t *s)
{
	uint64_t z = (*s += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Every block behind the first few reads is fetched before it is read, once, and never far ahead. */
static void files_in_order_are_fetched_once(void **state)
{
	uint32_t block = 10, fetched = 0, from, nr, late = 0;
	uint64_t seed = 1;
	struct nearby n;

	(void)state;
	nearby_init(&n);
	for (unsigned i = 0; i < 10000; i++) {
		uint32_t len = 1 + (uint32_t)(next_random(&seed) % 4);

		late += block + len > fetched;
		if (nearby_step(&n, 7, block, len, &from, &nr)) {
			assert_true(nr > 0 && nr <= NEARBY_WINDOW);
			assert_true(from >= fetched);
			assert_true(from + nr <= block + len + NEARBY_WINDOW);
			fetched = from + nr;
		}
		block += len + (uint32_t)(next_random(&seed) % 6);
	}
	assert_true(late <= NEARBY_RUN);
	nearby_fini(&n);
}

static void several_readers_have_a_stream_each(void **state)
{
	uint32_t fetched[NEARBY_STREAMS] = {0}, from, nr;
	unsigned late = 0;
	struct nearby n;

	(void)state;
	nearby_init(&n);
	for (uint32_t i = 0; i < 1000; i++) {
		for (uint32_t r = 0; r < NEARBY_STREAMS; r++) {
			uint32_t block = r * 100000 + i * 2;

			late += block + 1 > fetched[r];
			if (nearby_step(&n, r / 2, block, 1, &from, &nr))
				fetched[r] = from + nr;
		}
	}
	assert_true(late <= NEARBY_STREAMS * NEARBY_RUN);
	nearby_fini(&n);
}

/* Reads by several threads come a little out of order. */
static void overtaking_ends_no_stream(void **state)
{
	uint32_t from, nr, fetched = 0;
	uint64_t seed = 5;
	unsigned late = 0;
	struct nearby n;

	(void)state;
	nearby_init(&n);
	for (uint32_t i = 0; i < 4000; i++) {
		uint32_t block = i * 2 + (uint32_t)(next_random(&seed) % 16);

		late += block + 1 > fetched;
		if (nearby_step(&n, 1, block, 1, &from, &nr))
			fetched = from + nr;
	}
	assert_true(late <= 4 * NEARBY_RUN);
	nearby_fini(&n);
}

static void random_readers_are_left_alone(void **state)
{
	const uint32_t blocks = 64u << 20 >> 12; /* of 64 MiB */
	unsigned fetches = 0;
	uint32_t from, nr;
	uint64_t seed = 3;
	struct nearby n;

	(void)state;
	nearby_init(&n);
	for (unsigned i = 0; i < 100000; i++)
		fetches +=
			nearby_step(&n, 1, (uint32_t)(next_random(&seed) % blocks), 1, &from, &nr);
	assert_true(fetches < 1000);
	nearby_fini(&n);
}

static void the_last_addresses_do_not_wrap(void **state)
{
	uint32_t from, nr;
	struct nearby n;

	(void)state;
	nearby_init(&n);
	for (uint32_t i = 1000; i > 0; i--)
		if (nearby_step(&n, 1, UINT32_MAX - i, 4, &from, &nr))
			assert_true((uint64_t)from + nr <= UINT32_MAX && from >= UINT32_MAX - 1000);
	nearby_fini(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_in_order_are_fetched_once),
		cmocka_unit_test(several_readers_have_a_stream_each),
		cmocka_unit_test(overtaking_ends_no_stream),
		cmocka_unit_test(random_readers_are_left_alone),
		cmocka_unit_test(the_last_addresses_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
