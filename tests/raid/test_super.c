/* Superblocks: their bytes, and two slots of which one is always whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "conf/bytes.h"
#include "raid/super.h"
#include "tests/support/golden.h"
#include "tests/support/store_crash.h"

static void example(struct super *sb)
{
	memset(sb, 0, sizeof(*sb));
	*sb = (struct super){
		.generation = 7,
		.geo = {.level = 6, .copies = 1, .nr_shards = 5, .extent_len = 1 << 20},
		.idx = 3,
		.flags = SUPER_CREATED | SUPER_CLEAN,
		.created_ns = 1700000000123456789,
		.clean_seq = 4711,
		.clean_nonce = 0x0123456789abcdef,
		.nr_epochs = 3,
		.epoch = {{1, 0x1111, 0x1f, 1}, {2, 0x2222, 0x17, 100}, {5, 0x3333, 0x1f, 100}},
	};
	for (unsigned i = 0; i < RAID_UUID_LEN; i++)
		sb->uuid[i] = (uint8_t)(0xa0 + i);
	for (unsigned i = 0; i < 5; i++) {
		memset(sb->shard_uuid[i], (int)(0x10 + i), RAID_UUID_LEN);
		snprintf(sb->path[i], SUPER_PATH_MAX, "/mnt/disk%u/matfs", i);
	}
}

static void assert_same(const struct super *a, const struct super *b)
{
	uint8_t x[SUPER_LEN], y[SUPER_LEN];

	super_encode(a, x);
	super_encode(b, y);
	assert_memory_equal(x, y, SUPER_LEN);
	assert_memory_equal(&a->geo, &b->geo, sizeof(a->geo));
	assert_int_equal(a->generation, b->generation);
	assert_int_equal(a->nr_epochs, b->nr_epochs);
	for (unsigned i = 0; i < a->geo.nr_shards; i++)
		assert_string_equal(a->path[i], b->path[i]);
}

static void super_is_the_golden_one(void **state)
{
	uint8_t buf[SUPER_LEN];
	struct super sb, got;

	(void)state;
	example(&sb);
	super_encode(&sb, buf);
	golden_check(TEST_SRC_DIR "/raid/golden", "super.bin", buf, sizeof(buf));
	assert_int_equal(super_decode(buf, sizeof(buf), &got), 0);
	assert_same(&sb, &got);
	assert_int_equal(got.flags, SUPER_CREATED | SUPER_CLEAN);
	assert_int_equal(got.clean_seq, 4711);
	assert_int_equal(super_last(&got)->first_seq, 100);
}

static void any_flipped_bit_is_noticed(void **state)
{
	uint8_t buf[SUPER_LEN];
	struct super sb, got;

	(void)state;
	example(&sb);
	super_encode(&sb, buf);
	for (unsigned bit = 0; bit < 8 * SUPER_LEN; bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(super_decode(buf, sizeof(buf), &got), -EBADMSG);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < SUPER_LEN; len += 97)
		assert_int_equal(super_decode(buf, len, &got), -EBADMSG);
	assert_int_equal(super_decode(buf, sizeof(buf), &got), 0);
}

static void seal(uint8_t *buf)
{
	put_u64(buf + 16, 0);
	put_u64(buf + 16, XXH3_64bits(buf, SUPER_LEN));
}

/* What a correct checksum must not excuse. */
static void ranges_are_checked(void **state)
{
	static const struct {
		unsigned off, len;
		uint64_t value;
		int err;
	} change[] = {
		{8, 4, 2, -EPROTONOSUPPORT},			      /* version */
		{8, 4, 0, -EBADMSG},	     {12, 4, 4095, -EBADMSG}, /* length */
		{24, 8, 0, -EBADMSG},				      /* generation */
		{48, 1, 7, -EBADMSG},				      /* level */
		{48, 1, 1, -EBADMSG},				      /* raid1 of one copy */
		{49, 1, 2, -EBADMSG},				      /* raid6 of two copies */
		{50, 1, 0, -EBADMSG},				      /* nr_shards */
		{50, 1, 3, -EBADMSG},	     {50, 1, 65, -EBADMSG},
		{51, 1, 5, -EBADMSG},				    /* idx */
		{52, 4, 1000000, -EBADMSG},			    /* extent_len */
		{52, 4, 8 << 20, -EBADMSG},  {60, 4, 0, -EBADMSG},  /* nr_epochs */
		{60, 4, 17, -EBADMSG},	     {128, 8, 0, -EBADMSG}, /* epoch */
		{128, 8, 2, -EBADMSG},				    /* not rising */
		{144, 8, 0x20, -EBADMSG},			    /* a member that is not there */
		{144, 8, 0, -EBADMSG},	     {152, 8, 0, -EBADMSG}, /* first_seq */
		{152, 8, 101, -EBADMSG},     {720 + 1, 1, 0, -EBADMSG}, /* a path with a NUL */
	};
	struct super sb, got;
	uint8_t buf[SUPER_LEN];

	(void)state;
	example(&sb);
	for (unsigned i = 0; i < ARRAY_LEN(change); i++) {
		super_encode(&sb, buf);
		for (unsigned j = 0; j < change[i].len; j++)
			buf[change[i].off + j] = (uint8_t)(change[i].value >> 8 * j);
		seal(buf);
		if (super_decode(buf, sizeof(buf), &got) != change[i].err)
			fail_msg("change %u", i);
	}
}

static void sixty_four_shards_with_long_paths_fit(void **state)
{
	uint8_t buf[SUPER_LEN];
	struct super sb, got;

	(void)state;
	example(&sb);
	sb.geo.nr_shards = 64;
	sb.nr_epochs = 1;
	for (unsigned i = 0; i < 64; i++) {
		memset(sb.path[i], 'x', 200);
		snprintf(sb.path[i] + 200, 50, "/end%02u", i);
		memset(sb.shard_uuid[i], (int)i + 1, RAID_UUID_LEN);
	}
	super_encode(&sb, buf);
	assert_int_equal(super_decode(buf, sizeof(buf), &got), 0);
	for (unsigned i = 0; i < 64; i++) {
		char end[8];

		snprintf(end, sizeof(end), "/end%02u", i);
		assert_string_equal(got.path[i] + strlen(got.path[i]) - 6, end);
		assert_true(strlen(got.path[i]) > 30);
		assert_memory_equal(got.shard_uuid[i], sb.shard_uuid[i], RAID_UUID_LEN);
	}
}

static void history_keeps_the_newest(void **state)
{
	struct super sb;

	(void)state;
	example(&sb);
	for (uint64_t e = 6; e < 40; e++) {
		const struct super_epoch add = {e, e, 1, 100 + e};

		super_epoch_add(&sb, &add);
		super_epoch_add(&sb, &add);
	}
	assert_int_equal(sb.nr_epochs, SUPER_EPOCHS);
	assert_int_equal(sb.epoch[0].epoch, 40 - SUPER_EPOCHS);
	assert_int_equal(super_last(&sb)->epoch, 39);
}

/* ---- slots ---- */

struct shelf {
	struct crash_disk *d;
	const struct store_ops *ops;
	struct store *s;
};

static void shelf_open(struct shelf *sh, struct crash_disk *d)
{
	sh->d = d;
	sh->ops = crash_ops(d);
	assert_int_equal(sh->ops->attach(sh->ops, "/x/0", false, &sh->s), 0);
}

static void newest_slot_counts(void **state)
{
	struct shelf sh;
	struct super sb, got;

	(void)state;
	shelf_open(&sh, crash_disk_new(1, 1));
	example(&sb);
	assert_int_equal(super_load(sh.ops, sh.s, &got), -ENOENT);
	for (uint64_t gen = 1; gen < 6; gen++) {
		sb.generation = gen;
		assert_int_equal(super_store(sh.ops, sh.s, &sb), 0);
		assert_int_equal(super_load(sh.ops, sh.s, &got), 0);
		assert_same(&sb, &got);
	}
	/* The newer one is damaged: the older one. */
	crash_poke(sh.d, 0, "super.1", 1000, "damage", 6);
	assert_int_equal(super_load(sh.ops, sh.s, &got), 0);
	assert_int_equal(got.generation, 4);
	crash_poke(sh.d, 0, "super.0", 1000, "damage", 6);
	assert_int_equal(super_load(sh.ops, sh.s, &got), -EBADMSG);
	sh.ops->detach(sh.s);
	crash_disk_free(sh.d);
}

static void slot_copied_over_the_other_does_not_count(void **state)
{
	uint8_t buf[SUPER_LEN];
	struct shelf sh;
	struct super sb, got;

	(void)state;
	shelf_open(&sh, crash_disk_new(1, 1));
	example(&sb);
	for (sb.generation = 1; sb.generation <= 2; sb.generation++)
		assert_int_equal(super_store(sh.ops, sh.s, &sb), 0);
	assert_int_equal(crash_peek(sh.d, 0, "super.1", 0, buf, sizeof(buf)), 0);
	assert_int_equal(crash_poke(sh.d, 0, "super.0", 0, buf, sizeof(buf)), 0);
	assert_int_equal(super_load(sh.ops, sh.s, &got), 0);
	assert_int_equal(got.generation, 1);
	crash_poke(sh.d, 0, "super.1", 9, "damage", 6);
	assert_int_equal(super_load(sh.ops, sh.s, &got), -EBADMSG);
	sh.ops->detach(sh.s);
	crash_disk_free(sh.d);
}

static void newer_version_in_either_slot_is_said(void **state)
{
	uint8_t buf[SUPER_LEN];
	struct shelf sh;
	struct super sb, got;

	(void)state;
	shelf_open(&sh, crash_disk_new(1, 1));
	example(&sb);
	for (sb.generation = 1; sb.generation <= 2; sb.generation++)
		assert_int_equal(super_store(sh.ops, sh.s, &sb), 0);
	super_encode(&sb, buf);
	put_u32(buf + 8, SUPER_VERSION + 1);
	seal(buf);
	crash_poke(sh.d, 0, "super.1", 0, buf, sizeof(buf));
	assert_int_equal(super_load(sh.ops, sh.s, &got), -EPROTONOSUPPORT);
	sh.ops->detach(sh.s);
	crash_disk_free(sh.d);
}

static void read_error_of_one_slot_leaves_the_other(void **state)
{
	struct shelf sh;
	struct super sb, got;

	(void)state;
	shelf_open(&sh, crash_disk_new(1, 1));
	example(&sb);
	for (sb.generation = 1; sb.generation <= 2; sb.generation++)
		assert_int_equal(super_store(sh.ops, sh.s, &sb), 0);
	crash_fault(sh.d, 0, CRASH_READ, 0, 1, -EIO);
	assert_int_equal(super_load(sh.ops, sh.s, &got), 0);
	assert_int_equal(got.generation, 1);
	crash_fault(sh.d, 0, CRASH_READ, 0, 2, -EIO);
	assert_int_equal(super_load(sh.ops, sh.s, &got), -EIO);
	sh.ops->detach(sh.s);
	crash_disk_free(sh.d);
}

/* The power goes at every step of several stores: the old one or the new one, and the new one once it was said. */
static void store_survives_a_crash_at_every_step(void **state)
{
	uint64_t done[6] = {0};
	struct crash_journal *j;
	struct crash_cursor *c;
	struct shelf sh;
	struct super sb, got;

	(void)state;
	shelf_open(&sh, crash_disk_new(1, 1));
	example(&sb);
	crash_record(sh.d);
	for (unsigned gen = 1; gen < 6; gen++) {
		sb.generation = gen;
		assert_int_equal(super_store(sh.ops, sh.s, &sb), 0);
		done[gen] = crash_steps(sh.d);
	}
	sh.ops->detach(sh.s);
	j = crash_record_end(sh.d);
	c = crash_cursor_new(j);
	for (uint64_t step = crash_journal_begin(j); step <= crash_journal_end(j); step++) {
		for (uint64_t seed = 0; seed < 20; seed++) {
			struct shelf image;
			unsigned least = 0;
			int err;

			while (least < 5 && done[least + 1] <= step)
				least++;
			shelf_open(&image, crash_cursor_image(c, step, seed));
			err = super_load(image.ops, image.s, &got);
			if (err == 0)
				assert_in_range(got.generation, least, least + 1);
			else
				assert_int_equal(least, 0);
			image.ops->detach(image.s);
			crash_disk_free(image.d);
		}
	}
	crash_cursor_free(c);
	crash_journal_free(j);
	crash_disk_free(sh.d);
}

static void store_fails_with_each_call_and_harms_nothing(void **state)
{
	(void)state;
	for (uint64_t after = 0;; after++) {
		struct shelf sh;
		struct super sb, got;
		int err;

		shelf_open(&sh, crash_disk_new(1, after));
		example(&sb);
		sb.generation = 1;
		assert_int_equal(super_store(sh.ops, sh.s, &sb), 0);
		sb.generation = 2;
		crash_fault(sh.d, 0, CRASH_ANY, after, 1, -EIO);
		err = super_store(sh.ops, sh.s, &sb);
		crash_fault_clear(sh.d);
		sh.ops->detach(sh.s);
		crash_power_on(sh.d, after);
		shelf_open(&sh, sh.d);
		assert_int_equal(super_load(sh.ops, sh.s, &got), 0);
		assert_in_range(got.generation, err ? 1 : 2, 2);
		sh.ops->detach(sh.s);
		crash_disk_free(sh.d);
		if (!err)
			break;
		assert_int_equal(err, -EIO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(super_is_the_golden_one),
		cmocka_unit_test(any_flipped_bit_is_noticed),
		cmocka_unit_test(ranges_are_checked),
		cmocka_unit_test(sixty_four_shards_with_long_paths_fit),
		cmocka_unit_test(history_keeps_the_newest),
		cmocka_unit_test(newest_slot_counts),
		cmocka_unit_test(slot_copied_over_the_other_does_not_count),
		cmocka_unit_test(newer_version_in_either_slot_is_said),
		cmocka_unit_test(read_error_of_one_slot_leaves_the_other),
		cmocka_unit_test(store_survives_a_crash_at_every_step),
		cmocka_unit_test(store_fails_with_each_call_and_harms_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
