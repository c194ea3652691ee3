/* The arena: pieces never overlap, and everything given back is whole again. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "conf/base.h"
#include "fs/arena.h"

static unsigned chance(uint64_t *s)
{
	*s = *s * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(*s >> 40);
}

static void pieces_do_not_overlap(void **state)
{
	struct {
		uint8_t *p;
		size_t len;
		uint8_t mark;
	} held[64] = {{NULL, 0, 0}};
	struct arena *a;
	unsigned refused = 0;
	uint64_t s = 1;

	(void)state;
	assert_int_equal(arena_new(16 * MIB, true, &a), 0);
	for (unsigned n = 0; n < 20000; n++) {
		unsigned i = chance(&s) & 63;
		size_t len = chance(&s) & 1 ? 1 + chance(&s) % 900000 : 1 + chance(&s) % 9000;

		if (held[i].p) {
			for (size_t k = 0; k < held[i].len; k += 1021)
				assert_int_equal(held[i].p[k], held[i].mark);
			assert_int_equal(held[i].p[held[i].len - 1], held[i].mark);
			arena_give(a, held[i].p, held[i].len);
			held[i].p = NULL;
			continue;
		}
		held[i].p = arena_take(a, len);
		refused += !held[i].p;
		if (!held[i].p)
			continue;
		held[i].len = len;
		held[i].mark = (uint8_t)n;
		memset(held[i].p, held[i].mark, len);
		assert_true(arena_piece_len(len) >= len);
		assert_true(arena_used(a) <= arena_len(a));
	}
	assert_true(refused > 0);
	for (unsigned i = 0; i < 64; i++)
		if (held[i].p)
			arena_give(a, held[i].p, held[i].len);
	assert_int_equal(arena_used(a), 0);
	/* All buddies have found each other. */
	for (unsigned i = 0; i < 4; i++)
		assert_non_null(held[i].p = arena_take(a, ARENA_PIECE_MAX));
	assert_null(arena_take(a, 1));
	for (unsigned i = 0; i < 4; i++)
		arena_give(a, held[i].p, ARENA_PIECE_MAX);
	arena_free(a);
}

static void *give_later(void *arg)
{
	struct arena *a = ((void **)arg)[0];

	arena_give(a, ((void **)arg)[1], ARENA_PIECE_MAX);
	return NULL;
}

static void waiter_is_woken(void **state)
{
	pthread_t thread;
	struct arena *a;
	uint64_t seen, begin;
	void *arg[2];

	(void)state;
	assert_int_equal(arena_new(1, false, &a), 0);
	arg[0] = a;
	arg[1] = arena_take(a, ARENA_PIECE_MAX);
	assert_non_null(arg[1]);
	seen = arena_given(a);
	begin = mono_ns();
	arena_wait(a, seen, 20);
	assert_true(mono_ns() - begin >= 19 * 1000000ULL);
	assert_int_equal(pthread_create(&thread, NULL, give_later, arg), 0);
	begin = mono_ns();
	arena_wait(a, seen, 100000);
	assert_true(mono_ns() - begin < 50 * 1000000000ULL);
	pthread_join(thread, NULL);
	arena_free(a);
}

/* Bytes of [p, p + len) that are in memory. */
static size_t in_memory(uint8_t *p, size_t len)
{
	AUTO_FREE unsigned char *page = calloc(len / 4096, 1);
	size_t nr = 0;

	assert_non_null(page);
	assert_int_equal(mincore(p, len, page), 0);
	for (size_t i = 0; i < len / 4096; i++)
		nr += page[i] & 1;
	return nr * 4096;
}

static void free_memory_is_given_to_the_system(void **state)
{
	(void)state;
	for (unsigned shared = 0; shared < 2; shared++) {
		struct arena *a;
		uint8_t *big, *small;

		assert_int_equal(arena_new(8 * MIB, shared, &a), 0);
		assert_int_equal(arena_trim(a), 0);
		big = arena_take(a, 4 * MIB);
		small = arena_take(a, 64 * KIB);
		assert_true(big && small);
		memset(big, 1, 4 * MIB);
		memset(small, 2, 64 * KIB);
		arena_give(a, big, 4 * MIB);
		assert_int_equal(in_memory(big, 4 * MIB), 4 * MIB);
		assert_true(arena_trim(a) >= 4 * MIB);
		assert_int_equal(in_memory(big, 4 * MIB), 0);
		/* What is taken stays; nothing is given twice. */
		for (size_t i = 0; i < 64 * KIB; i++)
			assert_int_equal(small[i], 2);
		assert_int_equal(arena_trim(a), 0);
		big = arena_take(a, 4 * MIB);
		assert_non_null(big);
		memset(big, 3, 4 * MIB);
		assert_int_equal(big[4 * MIB - 1], 3);
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_do_not_overlap),
		cmocka_unit_test(waiter_is_woken),
		cmocka_unit_test(free_memory_is_given_to_the_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
