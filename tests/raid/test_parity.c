/* Parity brings back every combination of chunks that the level allows to lose. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "conf/base.h"
#include "raid/parity.h"
#include "raid/raid.h"
#include "tests/support/raid_make.h"

struct set {
	unsigned k, m;
	size_t len;
	uint8_t *mem;
	uint8_t *chunk[STRIPE_WIDTH_MAX];
};

/* Chunks at distance @step, so that a @step off the vectors' length gives unaligned ones; a
 * guard byte behind each. */
static void set_make(struct set *s, unsigned k, unsigned m, size_t len, size_t step)
{
	s->k = k;
	s->m = m;
	s->len = len;
	s->mem = aligned_alloc(64, round_up((k + m) * step + 64, 64));
	assert_non_null(s->mem);
	memset(s->mem, 0xee, round_up((k + m) * step + 64, 64));
	for (unsigned i = 0; i < k + m; i++) {
		s->chunk[i] = s->mem + i * step;
		if (i < k)
			raid_make_bytes(s->chunk[i], len, i + len);
	}
	parity_encode(k, m, len, (const uint8_t *const *)s->chunk, s->chunk + k);
	for (unsigned i = 0; i < k + m; i++) {
		if (step > len)
			assert_int_equal(s->chunk[i][len], 0xee);
	}
}

static void check_loss(const struct set *s, uint32_t lost)
{
	uint8_t *chunk[STRIPE_WIDTH_MAX];
	uint8_t *again = malloc((s->k + s->m) * s->len);

	assert_non_null(again);
	memset(again, 0xab, (s->k + s->m) * s->len);
	for (unsigned i = 0; i < s->k + s->m; i++)
		chunk[i] = lost & (1u << i) ? again + i * s->len : s->chunk[i];
	assert_int_equal(parity_rebuild(s->k, s->m, s->len, chunk,
					((1u << (s->k + s->m)) - 1) & ~lost, lost),
			 0);
	for (unsigned i = 0; i < s->k + s->m; i++)
		assert_memory_equal(chunk[i], s->chunk[i], s->len);
	free(again);
}

static void check_all_losses(unsigned k, unsigned m, size_t len, size_t step)
{
	struct set s;

	set_make(&s, k, m, len, step);
	for (uint32_t lost = 1; lost < 1u << (k + m); lost++) {
		if ((unsigned)__builtin_popcount(lost) <= m)
			check_loss(&s, lost);
	}
	free(s.mem);
}

static void every_loss_is_rebuilt(void **state)
{
	static const size_t len[] = {1, 15, 31, 33, 63, 64, 100, 127, 1000, 4096, 4097, 5003};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(len); i++) {
		for (unsigned m = 1; m <= 2; m++) {
			for (unsigned k = 1; k <= 5; k++) {
				check_all_losses(k, m, len[i], len[i] + 1);
				check_all_losses(k, m, len[i], round_up(len[i] + 1, 64));
			}
		}
	}
	check_all_losses(15, 1, 777, 778);
	check_all_losses(14, 2, 777, 778);
	check_all_losses(14, 2, 832, 896);
	check_all_losses(1, 5, 300, 301);
	check_all_losses(1, 15, 10, 11);
}

/* What is stored must not depend on how memory lay when it was computed. */
static void alignment_does_not_change_parity(void **state)
{
	struct set a, b;

	(void)state;
	for (unsigned m = 1; m <= 2; m++) {
		set_make(&a, 5, m, 4096, 4096 + 64);
		set_make(&b, 5, m, 4096, 4096 + 1);
		for (unsigned i = 0; i < 5 + m; i++)
			assert_memory_equal(a.chunk[i], b.chunk[i], 4096);
		free(a.mem);
		free(b.mem);
	}
}

/* The definition, byte by byte, so that the format is held by more than the library. */
static uint8_t times_two(uint8_t v)
{
	return (uint8_t)(v << 1 ^ (v & 0x80 ? 0x1d : 0));
}

static void parity_is_what_the_format_says(void **state)
{
	struct set s;

	(void)state;
	set_make(&s, 4, 2, 320, 320);
	for (size_t i = 0; i < s.len; i++) {
		uint8_t p = 0;
		uint8_t q = 0;

		for (unsigned d = 4; d-- > 0;) {
			p ^= s.chunk[d][i];
			q = times_two(q) ^ s.chunk[d][i];
		}
		assert_int_equal(s.chunk[4][i], p);
		assert_int_equal(s.chunk[5][i], q);
	}
	free(s.mem);
}

static void one_loss_too_many_is_refused(void **state)
{
	struct set s;

	(void)state;
	set_make(&s, 3, 1, 100, 128);
	assert_int_equal(parity_rebuild(3, 1, 100, s.chunk, 0xc, 0x3), -EIO);
	free(s.mem);
}

static void only_what_is_wanted_is_touched(void **state)
{
	uint8_t *chunk[6];
	uint8_t out[100];
	struct set s;

	(void)state;
	set_make(&s, 4, 2, 100, 128);
	memcpy(chunk, s.chunk, sizeof(chunk));
	/* 0 and 5 are lost, only 0 is wanted: 5 may be NULL. */
	chunk[0] = out;
	chunk[5] = NULL;
	assert_int_equal(parity_rebuild(4, 2, 100, chunk, 0x1e, 0x01), 0);
	assert_memory_equal(out, s.chunk[0], 100);
	free(s.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_loss_is_rebuilt),
		cmocka_unit_test(alignment_does_not_change_parity),
		cmocka_unit_test(parity_is_what_the_format_says),
		cmocka_unit_test(one_loss_too_many_is_refused),
		cmocka_unit_test(only_what_is_wanted_is_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
