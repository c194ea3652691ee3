/* One history out of many copies: who is a member, who lags, who is stale, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "raid/chain.h"

/* A few shards' logs, made by hand. */
struct scene {
	struct chain c;
	struct super super[4];
	struct chain_shard shard[4];
	unsigned nr;
	uint64_t off;
};

static void scene_init(struct scene *s, unsigned nr)
{
	memset(s, 0, sizeof(*s));
	s->nr = nr;
	for (unsigned i = 0; i < nr; i++) {
		s->super[i].nr_epochs = 1;
		s->super[i].epoch[0] = (struct super_epoch){1, 0xe1, (1ULL << nr) - 1, 1};
		s->shard[i] = (struct chain_shard){
			.present = true, .source = true, .super = &s->super[i]};
	}
}

static void scene_fini(struct scene *s)
{
	chain_fini(&s->c);
}

static struct batch batch(uint64_t seq, uint64_t epoch, uint64_t nonce, uint64_t members,
			  uint64_t prev)
{
	struct batch b = {.len = BATCH_HEAD_LEN,
			  .seq = seq,
			  .epoch = epoch,
			  .nonce = nonce,
			  .members = members,
			  .prev = prev};
	uint8_t buf[BATCH_HEAD_LEN];

	batch_encode(&b, buf);
	return b;
}

/* The shards of @on have @b. */
static void has(struct scene *s, uint64_t on, const struct batch *b)
{
	for (unsigned i = 0; i < s->nr; i++) {
		const struct chain_entry e = {
			.b = *b, .shard = (uint8_t)i, .file = 1, .off = s->off};

		if (on >> i & 1)
			assert_int_equal(chain_add(&s->c, &e), 0);
	}
	s->off += BLOCK_LEN;
}

/* @nr batches of one epoch behind *last, on the shards of @on. */
static void row(struct scene *s, uint64_t on, unsigned nr, uint64_t epoch, uint64_t nonce,
		uint64_t members, struct batch *last)
{
	for (unsigned i = 0; i < nr; i++) {
		*last = batch(last->seq + 1, epoch, nonce, members, last->sum);
		has(s, on, last);
	}
}

static int build(struct scene *s, unsigned parity)
{
	return chain_build(&s->c, s->shard, s->nr, parity);
}

static void assert_chain(const struct scene *s, uint64_t first, uint64_t last, uint64_t online,
			 uint64_t stale)
{
	assert_int_equal(s->c.nr_items, last - first + 1);
	for (size_t i = 0; i < s->c.nr_items; i++) {
		const struct batch *b = &s->c.entry[s->c.item[i].entry].b;

		assert_int_equal(b->seq, first + i);
		if (i)
			assert_int_equal(b->prev, s->c.entry[s->c.item[i - 1].entry].b.sum);
		assert_int_equal(s->c.item[i].gap, i == 0 && first > 1);
	}
	assert_int_equal(s->c.next, last + 1);
	assert_int_equal(s->c.online, online);
	assert_int_equal(s->c.stale, stale);
}

static void nothing_yet_is_a_whole_log(void **state)
{
	struct scene s;

	(void)state;
	scene_init(&s, 3);
	assert_int_equal(build(&s, 1), 0);
	assert_int_equal(s.c.nr_items, 0);
	assert_int_equal(s.c.next, 1);
	assert_int_equal(s.c.online, 7);
	scene_fini(&s);
}

static void members_may_lag(void **state)
{
	struct batch b = {0};
	struct scene s;

	(void)state;
	scene_init(&s, 3);
	row(&s, 7, 5, 1, 0xe1, 7, &b);
	row(&s, 2, 1, 1, 0xe1, 7, &b);
	assert_int_equal(build(&s, 1), 0);
	assert_chain(&s, 1, 6, 7, 0);
	assert_int_equal(s.c.last_sum, b.sum);
	scene_fini(&s);
}

static void cut_log_begins_where_it_begins(void **state)
{
	struct batch b = {.seq = 99, .sum = 0xabc};
	struct scene s;

	(void)state;
	scene_init(&s, 2);
	row(&s, 3, 4, 1, 0xe1, 3, &b);
	assert_int_equal(build(&s, 1), 0);
	assert_chain(&s, 100, 103, 3, 0);
	assert_null(chain_find(&s.c, 99));
	assert_non_null(chain_find(&s.c, 103));
	assert_null(chain_find(&s.c, 104));
	scene_fini(&s);
}

/* A vote: (5, epoch 1) on all but one, then (5, epoch 2) behind it. */
static void newer_epoch_replaces_the_same_number(void **state)
{
	struct batch b = {0}, first;
	struct scene s;

	(void)state;
	for (unsigned durable = 1; durable < 4; durable++) {
		scene_init(&s, 3);
		b = (struct batch){0};
		row(&s, 7, 4, 1, 0xe1, 7, &b);
		first = batch(5, 1, 0xe1, 7, b.sum);
		has(&s, 3, &first);
		b = batch(5, 2, 0xe2, 3, b.sum);
		has(&s, durable, &b);
		assert_int_equal(build(&s, 1), 0);
		assert_chain(&s, 1, 5, 3, 4);
		assert_int_equal(s.c.last_sum, b.sum);
		scene_fini(&s);
	}
}

static void shard_of_an_older_epoch_is_stale(void **state)
{
	struct batch b = {0};
	struct scene s;

	(void)state;
	scene_init(&s, 3);
	row(&s, 7, 4, 1, 0xe1, 7, &b);
	row(&s, 5, 3, 2, 0xe2, 5, &b);
	assert_int_equal(build(&s, 1), 0);
	assert_chain(&s, 1, 7, 5, 2);
	assert_int_equal(s.c.nr_epochs, 2);
	assert_int_equal(s.c.epoch[1].e.first_seq, 5);
	scene_fini(&s);
}

/* Shard 0 wrote batch 5 of an epoch with shard 1 in it, and the power went; then 1 went on alone. */
static void what_was_never_acknowledged_gives_way(void **state)
{
	struct batch b = {0}, on0, on1;
	struct scene s;

	(void)state;
	scene_init(&s, 2);
	row(&s, 3, 4, 1, 0xe1, 3, &b);
	on0 = batch(5, 2, 0xaa, 3, b.sum);
	has(&s, 1, &on0);
	on1 = batch(5, 2, 0xbb, 2, b.sum);
	has(&s, 2, &on1);
	assert_int_equal(build(&s, 1), 0);
	assert_chain(&s, 1, 5, 2, 1);
	assert_int_equal(s.c.last_sum, on1.sum);
	scene_fini(&s);

	/* Also when the void one's number is the higher one. */
	scene_init(&s, 2);
	b = (struct batch){0};
	row(&s, 3, 4, 1, 0xe1, 3, &b);
	on0 = batch(5, 7, 0xaa, 3, b.sum);
	has(&s, 1, &on0);
	has(&s, 2, &on1);
	assert_int_equal(build(&s, 1), 0);
	assert_int_equal(s.c.online, 2);
	assert_int_equal(s.c.stale, 1);
	assert_int_equal(s.c.last_sum, on1.sum);
	scene_fini(&s);
}

/* The same, but shard 0 then voted 1 out and went on: both sides may have acknowledged. */
static void two_histories_are_told(void **state)
{
	struct batch b = {0}, on0, on1;
	struct scene s;

	(void)state;
	scene_init(&s, 3);
	row(&s, 7, 4, 1, 0xe1, 7, &b);
	on0 = batch(5, 2, 0xaa, 3, b.sum);
	has(&s, 1, &on0);
	on0 = batch(5, 3, 0xab, 1, b.sum);
	has(&s, 1, &on0);
	on1 = batch(5, 2, 0xbb, 6, b.sum);
	has(&s, 6, &on1);
	assert_int_equal(build(&s, 2), -ESTALE);
	assert_int_equal(s.c.side[0], 1);
	assert_int_equal(s.c.side[1], 6);
	scene_fini(&s);
}

/* Shard 0 wrote batch 5 of an epoch with shard 2 in it; then 1, 2 and 3 went on. 2 is not here, but that it went with them
 * is known when their epoch was on it for sure: not from one batch, which may never have reached it. */
static void member_that_went_another_way_voids_an_epoch(void **state)
{
	struct batch b, on0;
	struct scene s;

	(void)state;
	for (unsigned firm = 0; firm < 3; firm++) {
		scene_init(&s, 4);
		b = (struct batch){0};
		s.shard[2].present = s.shard[2].source = false;
		row(&s, 0xb, 4, 1, 0xe1, 15, &b);
		on0 = batch(5, 2, 0xaa, 5, b.sum);
		has(&s, 1, &on0);
		b = batch(5, 3, 0xbb, 14, b.sum);
		has(&s, 2 | 8, &b);
		if (firm == 1)
			row(&s, 2 | 8, 1, 3, 0xbb, 14, &b);
		if (firm == 2)
			super_epoch_add(&s.super[3], &(struct super_epoch){3, 0xbb, 14, 5});
		assert_int_equal(build(&s, 2), firm ? 0 : -ESTALE);
		if (firm) {
			assert_int_equal(s.c.online, 8 | 2);
			assert_int_equal(s.c.stale, 1);
			assert_int_equal(s.c.last_sum, b.sum);
		}
		scene_fini(&s);
	}
}

static void history_in_superblocks_outlives_the_log(void **state)
{
	struct batch b = {.seq = 999, .sum = 1};
	struct scene s;

	(void)state;
	for (unsigned own_way = 0; own_way < 2; own_way++) {
		scene_init(&s, 2);
		super_epoch_add(&s.super[0], &(struct super_epoch){2, 0xe2, 1, 50});
		super_epoch_add(&s.super[0], &(struct super_epoch){3, 0xe3, 1, 60});
		b = (struct batch){.seq = 999, .sum = 1};
		row(&s, 1, 3, 3, 0xe3, 1, &b);
		/* Shard 1's log ends at 49, and it was alone or was not. */
		if (own_way)
			super_epoch_add(&s.super[1], &(struct super_epoch){2, 0xbb, 2, 50});
		assert_int_equal(build(&s, 1), own_way ? -ESTALE : 0);
		if (!own_way)
			assert_chain(&s, 1000, 1002, 1, 2);
		scene_fini(&s);
	}
}

/* Away for longer than histories reach: with enough shards a split is impossible, with few it is not. */
static void shard_older_than_the_history_is_judged_by_number(void **state)
{
	struct batch b;
	struct scene s;

	(void)state;
	for (unsigned parity = 1; parity < 3; parity++) {
		scene_init(&s, 4);
		b = (struct batch){.seq = 999, .sum = 1};
		for (unsigned i = 0; i < 3; i++) {
			for (uint64_t e = 2; e < 40; e++)
				super_epoch_add(&s.super[i],
						&(struct super_epoch){e, e, 7, 10 * e});
		}
		row(&s, 7, 3, 39, 39, 7, &b);
		assert_int_equal(build(&s, parity), parity == 1 ? 0 : -ESTALE);
		if (parity == 1)
			assert_chain(&s, 1000, 1002, 7, 8);
		scene_fini(&s);
	}
}

static void gap_is_found_and_what_lies_below_it(void **state)
{
	struct batch b = {0};
	struct scene s;

	(void)state;
	scene_init(&s, 2);
	row(&s, 3, 4, 1, 0xe1, 3, &b);
	row(&s, 0, 2, 1, 0xe1, 3, &b); /* 5 and 6 on nobody */
	row(&s, 3, 3, 1, 0xe1, 3, &b);
	assert_int_equal(build(&s, 1), 0);
	assert_int_equal(s.c.nr_items, 7);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(s.c.item[i].gap, i == 4);
	assert_int_equal(s.c.entry[s.c.item[4].entry].b.seq, 7);
	assert_int_equal(s.c.next, 10);
	scene_fini(&s);
}

/* A superblock tells of an epoch of which no batch is left: something is missing at the end. */
static void missing_end_is_noticed(void **state)
{
	struct batch b = {0};
	struct scene s;

	(void)state;
	scene_init(&s, 2);
	row(&s, 3, 4, 1, 0xe1, 3, &b);
	super_epoch_add(&s.super[0], &(struct super_epoch){2, 0xe2, 1, 5});
	assert_int_equal(build(&s, 1), -EBADMSG);
	/* What there is can be used to salvage. */
	assert_int_equal(s.c.nr_items, 4);
	assert_int_equal(s.c.online, 1);
	scene_fini(&s);
}

static void shard_whose_log_is_being_replaced_has_no_say(void **state)
{
	struct batch b = {0};
	struct scene s;

	(void)state;
	scene_init(&s, 2);
	row(&s, 1, 4, 1, 0xe1, 3, &b);
	super_epoch_add(&s.super[1], &(struct super_epoch){9, 0xe9, 2, 70});
	s.shard[1].source = false;
	assert_int_equal(build(&s, 1), 0);
	assert_chain(&s, 1, 4, 1, 2);
	scene_fini(&s);
	scene_init(&s, 2);
	s.shard[0].source = s.shard[1].source = false;
	assert_int_equal(build(&s, 1), -ENODATA);
	scene_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_yet_is_a_whole_log),
		cmocka_unit_test(members_may_lag),
		cmocka_unit_test(cut_log_begins_where_it_begins),
		cmocka_unit_test(newer_epoch_replaces_the_same_number),
		cmocka_unit_test(shard_of_an_older_epoch_is_stale),
		cmocka_unit_test(what_was_never_acknowledged_gives_way),
		cmocka_unit_test(two_histories_are_told),
		cmocka_unit_test(member_that_went_another_way_voids_an_epoch),
		cmocka_unit_test(history_in_superblocks_outlives_the_log),
		cmocka_unit_test(shard_older_than_the_history_is_judged_by_number),
		cmocka_unit_test(gap_is_found_and_what_lies_below_it),
		cmocka_unit_test(missing_end_is_noticed),
		cmocka_unit_test(shard_whose_log_is_being_replaced_has_no_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
