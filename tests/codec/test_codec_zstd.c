/* libzstd behind its wrapper: what comes back, what is refused, and threads that come and go. */
#include "tests/codec/codec_test.h"

#include <errno.h>
#include <pthread.h>

#include "codec/codec_zstd.h"

static void packs_and_unpacks_every_length(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t n = 0; test_len(n); n++) {
		size_t len = test_len(n), room = codec_zstd_bound(len), got = 0;
		enum sample kind = n % 2 ? SAMPLE_TEXT : SAMPLE_RANDOM;
		struct guarded raw = guarded_new(len, GUARD_ABOVE);
		struct guarded packed = guarded_new(room, GUARD_ABOVE);
		struct guarded back = guarded_new(len, n % 3 ? GUARD_ABOVE : GUARD_BELOW);
		struct guarded exact;

		sample_fill(raw.p, len, kind, 0, &r);
		assert_int_equal(codec_zstd_pack(1, raw.p, len, packed.p, room, &got), 0);
		assert_true(got <= room);
		exact = guarded_new(got, GUARD_ABOVE);
		memcpy(exact.p, packed.p, got);
		assert_int_equal(codec_zstd_unpack(exact.p, got, back.p, len), 0);
		assert_memory_equal(back.p, raw.p, len);
		guarded_free(&raw);
		guarded_free(&packed);
		guarded_free(&back);
		guarded_free(&exact);
	}
}

static void frames_in_a_row_unpack_as_one(void **state)
{
	uint8_t packed[500], raw[300], back[300];
	size_t at = 0, got;

	(void)state;
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)(i / 7);
	for (size_t i = 0; i < sizeof(raw); i += 100) {
		assert_int_equal(
			codec_zstd_pack(3, raw + i, 100, packed + at, sizeof(packed) - at, &got),
			0);
		at += got;
	}
	assert_int_equal(codec_zstd_unpack(packed, at, back, sizeof(back)), 0);
	assert_memory_equal(back, raw, sizeof(raw));
}

static void too_little_room_is_said(void **state)
{
	struct rng r = {1};
	uint8_t raw[1000], packed[2000];
	size_t got = 12345;

	(void)state;
	sample_fill(raw, sizeof(raw), SAMPLE_RANDOM, 0, &r);
	for (size_t room = 0; room < sizeof(raw); room++) {
		struct guarded g = guarded_new(room, GUARD_ABOVE);

		assert_int_equal(codec_zstd_pack(1, raw, sizeof(raw), g.p, room, &got), -ENOSPC);
		assert_int_equal(got, 12345);
		guarded_free(&g);
	}
	assert_int_equal(codec_zstd_pack(1, raw, sizeof(raw), packed, sizeof(packed), &got), 0);
}

static void other_lengths_and_bytes_are_refused(void **state)
{
	struct rng r = {2};
	uint8_t raw[1000], packed[2000], back[1100];
	size_t got;

	(void)state;
	sample_fill(raw, sizeof(raw), SAMPLE_TEXT, 0, &r);
	assert_int_equal(codec_zstd_pack(1, raw, sizeof(raw), packed, sizeof(packed), &got), 0);
	assert_int_equal(codec_zstd_unpack(packed, got, back, sizeof(raw)), 0);
	assert_int_equal(codec_zstd_unpack(packed, got, back, sizeof(raw) + 1), -EBADMSG);
	assert_int_equal(codec_zstd_unpack(packed, got, back, sizeof(raw) - 1), -EBADMSG);
	assert_int_equal(codec_zstd_unpack(packed, got + 1, back, sizeof(raw)), -EBADMSG);
	for (size_t len = 0; len < got; len++)
		assert_int_equal(codec_zstd_unpack(packed, len, back, sizeof(raw)), -EBADMSG);
	/* The thread's context is as good as before. */
	assert_int_equal(codec_zstd_unpack(packed, got, back, sizeof(raw)), 0);
	assert_memory_equal(back, raw, sizeof(raw));
}

static void the_buffer_grows_and_stays(void **state)
{
	uint8_t *small, *big;

	(void)state;
	big = codec_zstd_buffer(100000);
	assert_non_null(big);
	memset(big, 1, 100000);
	small = codec_zstd_buffer(10);
	assert_ptr_equal(small, big);
	big = codec_zstd_buffer(200000);
	assert_non_null(big);
	memset(big, 1, 200000);
	for (size_t len = 1; len < 1000000; len = len * 3 + 1)
		assert_int_equal((uintptr_t)codec_zstd_buffer(len) % 64, 0);
}

/* cmocka's asserts belong to the main thread: this one returns its argument if it found
 * something wrong, else NULL. */
static void *worker(void *arg)
{
	struct rng r = {(uint64_t)(uintptr_t)arg};
	uint8_t raw[5000], packed[6000], back[5000];

	for (int i = 0; i < 50; i++) {
		size_t len = 1 + rng_below(&r, sizeof(raw)), got;

		sample_fill(raw, len, i % 2 ? SAMPLE_TEXT : SAMPLE_FEW, 0, &r);
		if (codec_zstd_pack(1 + i % 5, raw, len, packed, sizeof(packed), &got) ||
		    codec_zstd_unpack(packed, got, back, len) || memcmp(raw, back, len) != 0 ||
		    !codec_zstd_buffer(len))
			return arg;
	}
	return NULL;
}

/* Under asan this is also the test that a thread's state goes with it. */
static void threads_do_not_disturb_each_other(void **state)
{
	pthread_t threads[8];

	(void)state;
	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < ARRAY_LEN(threads); i++)
			assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)(i + 1)),
					 0);
		for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
			void *wrong;

			assert_int_equal(pthread_join(threads[i], &wrong), 0);
			assert_null(wrong);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packs_and_unpacks_every_length),
		cmocka_unit_test(frames_in_a_row_unpack_as_one),
		cmocka_unit_test(too_little_room_is_said),
		cmocka_unit_test(other_lengths_and_bytes_are_refused),
		cmocka_unit_test(the_buffer_grows_and_stays),
		cmocka_unit_test(threads_do_not_disturb_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
