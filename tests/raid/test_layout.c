/* Where stripes go: widths, turns, room, and what fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "raid/chunk.h"
#include "raid/layout.h"

static void equal_cands(struct layout_cand *cand, unsigned nr, uint64_t blocks)
{
	for (unsigned i = 0; i < nr; i++)
		cand[i] = (struct layout_cand){.shard = (uint8_t)(2 * i), .blocks = blocks};
}

static void payload_holds_the_stripe(void **state)
{
	(void)state;
	for (uint32_t len = 1; len < 300000; len += len / 7 + 1) {
		for (unsigned k = 1; k <= STRIPE_WIDTH_MAX; k++) {
			uint32_t p = layout_payload_len(len, k);

			assert_true((uint64_t)p * k >= len);
			assert_true((uint64_t)p * k < len + 64ULL * k);
			assert_true(k == 1 ? p == len : p % 64 == 0);
			assert_true((uint64_t)layout_blocks(len, k) * BLOCK_LEN >=
				    CHUNK_HEAD_LEN + p);
			assert_true((uint64_t)(layout_blocks(len, k) - 1) * BLOCK_LEN <
				    CHUNK_HEAD_LEN + p);
		}
	}
}

static void small_stripes_are_copies(void **state)
{
	(void)state;
	assert_int_equal(layout_width(6, 1, 15, 100), 1);
	assert_int_equal(layout_width(6, 2, 14, BLOCK_LEN - CHUNK_HEAD_LEN), 1);
	assert_int_equal(layout_width(6, 0, 16, 1), 1);
}

static void width_takes_the_least_space(void **state)
{
	(void)state;
	for (unsigned m = 0; m <= 2; m++) {
		for (uint32_t len = 1; len < 2 * MIB; len += len / 5 + 1) {
			for (unsigned nr = m + 1; nr <= 20; nr++) {
				unsigned best = layout_width(nr, m, STRIPE_WIDTH_MAX - m, len);
				uint64_t cost = (best + m) * layout_blocks(len, best);

				assert_true(best >= 1 && best + m <= MIN(nr, 16u));
				for (unsigned k = 1; k + m <= MIN(nr, 16u); k++) {
					uint64_t other = (uint64_t)(k + m) * layout_blocks(len, k);

					assert_true(
						cost <=
						other + (len >= LAYOUT_WIDE_LEN ? other / 20 : 0));
				}
			}
		}
	}
	/* A megabyte goes wide although whole blocks make that a little longer. */
	assert_int_equal(layout_width(4, 0, 16, MIB + 40), 4);
	assert_int_equal(layout_width(8, 1, 15, MIB + 40), 7);
	assert_int_equal(layout_width(2, 1, 1, MIB), 1);
	assert_int_equal(layout_width(2, 2, 14, MIB), 0);
}

static void parity_visits_every_shard(void **state)
{
	struct layout_cand cand[5];
	unsigned parity[10] = {0};
	struct layout l;

	(void)state;
	equal_cands(cand, 5, 100000);
	for (uint64_t gen = 0; gen < 500; gen++) {
		uint64_t seen = 0;

		assert_int_equal(layout_choose(cand, 5, 1, 15, MIB, gen, &l), 0);
		assert_int_equal(l.k, 4);
		for (unsigned i = 0; i < 5; i++)
			seen |= 1ULL << l.shard[i];
		assert_int_equal(seen, 0x155);
		parity[l.shard[4]]++;
	}
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(parity[2 * i], 100);
}

static void copies_visit_every_shard(void **state)
{
	struct layout_cand cand[5];
	unsigned used[10] = {0};
	unsigned first[10] = {0};
	struct layout l;

	(void)state;
	equal_cands(cand, 5, 100000);
	for (uint64_t gen = 0; gen < 500; gen++) {
		assert_int_equal(layout_choose(cand, 5, 1, 1, MIB, gen, &l), 0);
		assert_int_equal(l.k + l.m, 2);
		used[l.shard[0]]++;
		used[l.shard[1]]++;
		first[l.shard[0]]++;
	}
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(used[2 * i], 200);
		assert_int_equal(first[2 * i], 100);
	}
}

static void full_shards_narrow_the_stripe(void **state)
{
	struct layout_cand cand[4];
	struct layout l;

	(void)state;
	equal_cands(cand, 4, 100000);
	cand[1].blocks = 3;
	assert_int_equal(layout_choose(cand, 4, 1, 15, MIB, 0, &l), 0);
	assert_int_equal(l.k, 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_not_equal(l.shard[i], 2);
	/* A short one still fits there. */
	assert_int_equal(layout_choose(cand, 4, 1, 15, 3 * 3 * BLOCK_LEN - 600, 0, &l), 0);
	assert_int_equal(l.k, 3);
	cand[0].blocks = 2;
	cand[3].blocks = 0;
	assert_int_equal(layout_choose(cand, 4, 1, 15, MIB, 0, &l), -ENOSPC);
	assert_int_equal(layout_choose(cand, 4, 1, 15, BLOCK_LEN, 0, &l), 0);
	assert_int_equal(layout_choose(cand, 1, 1, 15, 1, 0, &l), -ENOSPC);
	assert_int_equal(layout_choose(cand, 0, 0, 16, 1, 0, &l), -ENOSPC);
}

static void width_is_capped(void **state)
{
	struct layout_cand cand[SHARD_MAX];
	struct layout l;

	(void)state;
	for (unsigned i = 0; i < SHARD_MAX; i++)
		cand[i] = (struct layout_cand){.shard = (uint8_t)i, .blocks = 1000000};
	assert_int_equal(layout_choose(cand, SHARD_MAX, 2, 14, 4 * MIB, 77, &l), 0);
	assert_int_equal(l.k, 14);
	assert_int_equal(l.m, 2);
}

/* Write stripes until none fits. */
static uint64_t run_full(struct layout_cand *cand, unsigned nr, unsigned m, unsigned k_max,
			 uint32_t len)
{
	uint64_t n = 0;
	struct layout l;

	while (layout_choose(cand, nr, m, k_max, len, n, &l) == 0) {
		for (unsigned i = 0; i < (unsigned)l.k + l.m; i++) {
			for (unsigned j = 0; j < nr; j++) {
				if (cand[j].shard != l.shard[i])
					continue;
				assert_true(cand[j].blocks >= l.blocks);
				cand[j].blocks -= l.blocks;
			}
		}
		n++;
	}
	return n;
}

static void mixed_sizes_are_used_to_the_end(void **state)
{
	static const uint64_t size[] = {30000, 31000, 60000, 122000};
	struct layout_cand cand[4];

	(void)state;
	/* Two copies: all of the three smaller ones, and as much of the largest. */
	for (unsigned i = 0; i < 4; i++)
		cand[i] = (struct layout_cand){.shard = (uint8_t)i, .blocks = size[i]};
	run_full(cand, 4, 1, 1, MIB);
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(cand[i].blocks, 0, 600);
	assert_in_range(cand[3].blocks, 0, 2200);
	/* Striped: all until the smaller ones are full; one alone can hold no parity. */
	for (unsigned i = 0; i < 4; i++)
		cand[i] = (struct layout_cand){.shard = (uint8_t)i, .blocks = size[i]};
	run_full(cand, 4, 1, 15, MIB);
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(cand[i].blocks, 0, 260);
	assert_in_range(cand[3].blocks, 61500, 62500);
}

static void fill_tells_what_choose_does(void **state)
{
	uint64_t seed = 12345;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct layout_cand cand[12];
		uint64_t blocks[12];
		unsigned nr, m, k_max;
		uint64_t told, done;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		nr = 1 + (seed >> 33) % 12;
		m = (seed >> 40) % 3;
		k_max = (seed >> 45) % 2 ? STRIPE_WIDTH_MAX - m : 1;
		for (unsigned i = 0; i < nr; i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			blocks[i] = (seed >> 33) % 20000;
			cand[i] = (struct layout_cand){.shard = (uint8_t)i, .blocks = blocks[i]};
		}
		told = layout_fill(blocks, nr, m, k_max, MIB + 40, UINT64_MAX);
		done = run_full(cand, nr, m, k_max, MIB + 40);
		/* Uneven ones lose a little to the steps by which shards count as equal. */
		if (done * 100 + 200 < told * 97 || done > told + 12)
			fail_msg("round %u: %u shards, m %u, k_max %u: told %llu, done %llu", round,
				 nr, m, k_max, (unsigned long long)told, (unsigned long long)done);
	}
}

static void fill_stops_at_what_is_wanted(void **state)
{
	uint64_t blocks[3] = {1000, 1000, 1000};

	(void)state;
	assert_int_equal(layout_fill(blocks, 3, 1, 15, MIB, 4), 4);
	assert_int_equal(blocks[0] + blocks[1] + blocks[2], 3000 - 4 * 3 * layout_blocks(MIB, 2));
	assert_int_equal(layout_fill(blocks, 1, 1, 15, MIB, 4), 0);
}

/* Whatever is promised fits: stripes of random lengths, while their sum is within the promise. */
static void promised_stripes_fit(void **state)
{
	uint64_t seed = 99;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		struct layout_cand cand[10];
		uint64_t room[10];
		unsigned nr, m, k_max;
		uint64_t left;
		uint32_t len_max;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		nr = 1 + (seed >> 33) % 10;
		m = MIN((unsigned)((seed >> 40) % 3), nr - 1);
		k_max = (seed >> 45) % 2 ? STRIPE_WIDTH_MAX - m : 1;
		len_max = (seed >> 50) % 2 ? MIB : 40000;
		for (unsigned i = 0; i < nr; i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			room[i] = (seed >> 33) % ((seed >> 60) % 2 ? 20000 : 2000);
			/* What space.c holds back for whole chunks. */
			cand[i] = (struct layout_cand){
				.shard = (uint8_t)i,
				.blocks =
					room[i] +
					layout_blocks(len_max, layout_width(nr, m, k_max, len_max)),
			};
		}
		left = layout_promise(room, nr, m, k_max);
		for (uint64_t n = 0;; n++) {
			struct layout l;
			uint32_t len;

			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			len = 1 + (uint32_t)((seed >> 20) % len_max);
			if (layout_blocks(len, 1) > left)
				break;
			left -= layout_blocks(len, 1);
			if (layout_choose(cand, nr, m, k_max, len, n, &l))
				fail_msg("round %u: stripe %llu of %u bytes has no room", round,
					 (unsigned long long)n, len);
			for (unsigned i = 0; i < (unsigned)l.k + l.m; i++)
				cand[l.shard[i]].blocks -= l.blocks;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(payload_holds_the_stripe),
		cmocka_unit_test(small_stripes_are_copies),
		cmocka_unit_test(width_takes_the_least_space),
		cmocka_unit_test(parity_visits_every_shard),
		cmocka_unit_test(copies_visit_every_shard),
		cmocka_unit_test(full_shards_narrow_the_stripe),
		cmocka_unit_test(width_is_capped),
		cmocka_unit_test(mixed_sizes_are_used_to_the_end),
		cmocka_unit_test(fill_tells_what_choose_does),
		cmocka_unit_test(fill_stops_at_what_is_wanted),
		cmocka_unit_test(promised_stripes_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
