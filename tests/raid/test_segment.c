/* Segment files: addresses, allocation ahead, deletion, syncing, pins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "raid/segment.h"
#include "raid/space.h"
#include "tests/support/raid_make.h"
#include "tests/support/store_crash.h"

static const char *const path[] = {"crash:0", "crash:1"};
static const struct raid_geometry geo = {
	.level = 0, .copies = 1, .nr_shards = 1, .extent_len = MIB};

struct one {
	struct crash_disk *disk;
	struct raid *r;
	struct segments *g;
};

static void one_open(struct one *o, bool rdonly)
{
	o->r = raid_make(crash_ops(o->disk), path, &geo, rdonly);
	o->g = o->r->shard[0].segments;
}

static struct one one_make(uint64_t capacity)
{
	struct one o = {.disk = crash_disk_new(1, 1)};

	if (capacity)
		crash_capacity(o.disk, 0, capacity);
	one_open(&o, false);
	return o;
}

static void one_free(struct one *o)
{
	raid_unmake(o->r);
	crash_disk_free(o->disk);
}

/* Take space and fill it. */
static struct chunk_loc append(struct one *o, uint32_t blocks, int byte)
{
	AUTO_FREE uint8_t *buf = malloc(blocks * BLOCK_LEN);
	struct iovec iov = {buf, blocks * BLOCK_LEN};
	struct segment_pin pin;
	struct chunk_loc c;
	struct store_io io;

	assert_non_null(buf);
	memset(buf, byte, blocks * BLOCK_LEN);
	assert_int_equal(segment_alloc(o->g, blocks, &c), 0);
	assert_int_equal(segment_get(o->g, c.segment, &pin), 0);
	io = (struct store_io){.op = STORE_WRITE,
			       .file = pin.file,
			       .iov = &iov,
			       .nr_iov = 1,
			       .off = (uint64_t)c.block * BLOCK_LEN};
	assert_int_equal(o->r->ops->run(o->r->ops, &io, 1), 0);
	segment_dirty(o->g, &pin);
	segment_put(o->g, &pin);
	return c;
}

static uint8_t first_byte(struct one *o, const struct chunk_loc *c)
{
	char name[24];
	uint8_t byte = 0;

	snprintf(name, sizeof(name), "seg/%08x", c->segment);
	assert_int_equal(crash_peek(o->disk, 0, name, (uint64_t)c->block * BLOCK_LEN, &byte, 1), 0);
	return byte;
}

static unsigned nr_segments(struct one *o)
{
	uint32_t *number;
	unsigned nr;

	assert_int_equal(segments_numbers(o->g, &number, &nr), 0);
	free(number);
	return nr;
}

static void addresses_follow_each_other(void **state)
{
	struct one o = one_make(0);
	struct chunk_loc a = append(&o, 3, 1);
	struct chunk_loc b = append(&o, 200, 2);
	struct chunk_loc c = append(&o, 1, 3);

	(void)state;
	assert_int_equal(a.segment, b.segment);
	assert_int_equal(b.block, a.block + 3);
	assert_int_equal(c.block, b.block + 200);
	assert_int_equal(first_byte(&o, &b), 2);
	assert_int_equal(segments_used(o.g), 204 * BLOCK_LEN);
	assert_int_equal(segments_allocated(o.g), 204);
	one_free(&o);
}

static void no_address_comes_twice(void **state)
{
	struct one o = one_make(0);
	struct chunk_loc last = append(&o, 3, 1);

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct chunk_loc c;

		/* Whatever is freed, and however it stops. */
		if (i % 2)
			assert_int_equal(segment_free(o.g, last.segment, last.block, 3), 0);
		if (i % 3 == 0)
			crash_power_on(o.disk, i);
		raid_unmake(o.r);
		one_open(&o, false);
		c = append(&o, 3, 2);
		/* The last one was not synced; its segment may be gone, and then its number is
		 * free again. */
		if (i % 3)
			assert_true(c.segment > last.segment);
		last = c;
		assert_int_equal(raid_sync(o.r), 0);
	}
	one_free(&o);
}

static void number_named_by_a_stripe_is_not_reused(void **state)
{
	struct one o = one_make(0);

	(void)state;
	segments_skip(o.g, 0x1234);
	assert_int_equal(append(&o, 1, 1).segment, 0x1235);
	segments_skip(o.g, 7);
	assert_int_equal(append(&o, 1, 1).segment, 0x1235);
	one_free(&o);
}

/* Segments are 8 MiB on such a small shard. */
static void full_and_dead_segments_are_deleted(void **state)
{
	struct one o = one_make(400 * MIB);
	struct chunk_loc c[40];

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		c[i] = append(&o, 257, (int)i + 1);
	assert_int_equal(c[6].segment, c[0].segment);
	assert_int_equal(c[7].segment, c[0].segment + 1);
	assert_int_equal(nr_segments(&o), 6);
	for (unsigned i = 0; i < 7; i++) {
		assert_int_equal(nr_segments(&o), 6);
		assert_int_equal(segment_free(o.g, c[i].segment, c[i].block, 257), 0);
	}
	assert_int_equal(nr_segments(&o), 5);
	assert_int_equal(segment_free(o.g, c[0].segment, c[0].block, 257), -ENOENT);
	/* The one being filled stays, also when all in it is dead. */
	for (unsigned i = 35; i < 40; i++)
		assert_int_equal(segment_free(o.g, c[i].segment, c[i].block, 257), 0);
	assert_int_equal(nr_segments(&o), 5);
	assert_int_equal(segment_free(o.g, c[39].segment, c[39].block, 257), -EINVAL);
	assert_int_equal(first_byte(&o, &c[34]), 35);
	assert_int_equal(segments_used(o.g), 28 * 257 * BLOCK_LEN);
	one_free(&o);
}

/* Neighbours go at once: fewer steps of the disk than chunks. */
static void many_are_freed_at_once(void **state)
{
	struct one o = one_make(0);
	struct segment_span span[5];
	struct chunk_loc c[7];
	uint64_t before, step;

	(void)state;
	for (unsigned i = 0; i < 7; i++)
		c[i] = append(&o, 10 + i, (int)i + 1);
	before = crash_used(o.disk, 0);
	step = crash_steps(o.disk);
	/* 5 and 6 together, 1 to 3 together, in no order. */
	for (unsigned i = 0; i < 5; i++) {
		unsigned which = (unsigned[]){6, 2, 1, 5, 3}[i];

		assert_int_equal(c[which].segment, c[0].segment);
		span[i] = (struct segment_span){c[which].block, 10 + which};
	}
	assert_int_equal(segment_free_many(o.g, c[0].segment, span, 5), 0);
	assert_int_equal(crash_steps(o.disk) - step, 2);
	assert_int_equal(before - crash_used(o.disk, 0), (11 + 12 + 13 + 15 + 16) * BLOCK_LEN);
	assert_int_equal(first_byte(&o, &c[0]), 1);
	assert_int_equal(first_byte(&o, &c[4]), 5);
	assert_int_equal(segments_used(o.g), (10 + 14) * BLOCK_LEN);
	/* More than is live: nothing happens. */
	for (unsigned i = 0; i < 2; i++)
		span[i] = (struct segment_span){c[i].block, 20};
	assert_int_equal(segment_free_many(o.g, c[0].segment, span, 2), -EINVAL);
	assert_int_equal(first_byte(&o, &c[0]), 1);
	one_free(&o);
}

static void freed_space_is_given_back(void **state)
{
	struct one o = one_make(0);
	struct chunk_loc a = append(&o, 100, 1);
	struct chunk_loc b = append(&o, 100, 2);
	uint64_t before = crash_used(o.disk, 0);

	(void)state;
	assert_int_equal(segment_free(o.g, a.segment, a.block, 100), 0);
	assert_int_equal(before - crash_used(o.disk, 0), 100 * BLOCK_LEN);
	assert_int_equal(first_byte(&o, &a), 0);
	assert_int_equal(first_byte(&o, &b), 2);
	one_free(&o);
}

static void pinned_segment_outlives_its_last_chunk(void **state)
{
	struct one o = one_make(400 * MIB);
	struct chunk_loc c = append(&o, 1000, 9);
	struct segment_pin pin;
	uint8_t byte = 0;
	struct iovec iov = {&byte, 1};
	struct store_io io = {.op = STORE_READ, .iov = &iov, .nr_iov = 1};

	(void)state;
	append(&o, 1000, 1);
	append(&o, 1000, 2);
	assert_int_equal(segment_get(o.g, c.segment, &pin), 0);
	assert_int_equal(segment_free(o.g, c.segment, c.block + 1000, 1000), 0);
	assert_int_equal(segment_free(o.g, c.segment, c.block, 1000), 0);
	assert_int_equal(nr_segments(&o), 1);
	io.file = pin.file;
	assert_int_equal(o.r->ops->run(o.r->ops, &io, 1), 0);
	assert_int_equal(byte, 9);
	assert_int_equal(crash_calls(o.disk, 0, CRASH_UNLINK), 0);
	segment_put(o.g, &pin);
	assert_int_equal(crash_calls(o.disk, 0, CRASH_UNLINK), 1);
	assert_int_equal(segment_get(o.g, c.segment, &pin), -ENOENT);
	one_free(&o);
}

static void close_gives_back_what_is_ahead(void **state)
{
	struct one o = one_make(0);

	(void)state;
	append(&o, 10, 1);
	assert_true(segments_ahead(o.g) > 1000);
	assert_int_equal(crash_used(o.disk, 0), segments_ahead(o.g) * BLOCK_LEN + 10 * BLOCK_LEN);
	raid_unmake(o.r);
	assert_int_equal(crash_used(o.disk, 0), 10 * BLOCK_LEN);
	one_open(&o, false);
	append(&o, 10, 1);
	segments_trim(o.g);
	assert_int_equal(segments_ahead(o.g), 0);
	assert_int_equal(crash_used(o.disk, 0), 20 * BLOCK_LEN);
	/* And it goes on behind. */
	assert_int_equal(append(&o, 5, 2).block, 10);
	one_free(&o);
}

static void shard_is_filled_to_the_last_block(void **state)
{
	struct one o = one_make(64 * MIB);
	uint64_t blocks = 0;
	struct chunk_loc c;

	(void)state;
	while (segment_alloc(o.g, 33, &c) == 0)
		blocks += 33;
	while (segment_alloc(o.g, 1, &c) == 0)
		blocks++;
	assert_int_equal(blocks * BLOCK_LEN, 64 * MIB);
	assert_int_equal(segment_alloc(o.g, 1, &c), -ENOSPC);
	one_free(&o);
}

static void works_where_space_cannot_be_allocated(void **state)
{
	struct one o = one_make(0);
	struct chunk_loc a, b;

	(void)state;
	crash_fault(o.disk, 0, CRASH_ALLOCATE, 0, CRASH_FOREVER, -EOPNOTSUPP);
	a = append(&o, 7, 1);
	b = append(&o, 7, 2);
	assert_int_equal(b.block, a.block + 7);
	assert_int_equal(segments_ahead(o.g), 0);
	assert_int_equal(crash_calls(o.disk, 0, CRASH_ALLOCATE), 1);
	one_free(&o);
}

static void failed_extension_can_be_tried_again(void **state)
{
	struct one o = one_make(0);
	struct chunk_loc c;

	(void)state;
	crash_fault(o.disk, 0, CRASH_CREATE, 0, 1, -EIO);
	assert_int_equal(segment_alloc(o.g, 1, &c), -EIO);
	crash_fault(o.disk, 0, CRASH_ALLOCATE, 0, 1, -EIO);
	assert_int_equal(segment_alloc(o.g, 1, &c), -EIO);
	assert_int_equal(segment_alloc(o.g, 1, &c), 0);
	one_free(&o);
}

static void only_written_segments_are_synced(void **state)
{
	struct one o = one_make(400 * MIB);
	struct segment_pin pin[4];
	bool more = false;
	unsigned nr;

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		append(&o, 1500, 1);
	nr = segments_sync_begin(o.g, pin, 3, &more);
	assert_int_equal(nr, 3);
	assert_true(more);
	assert_int_equal(segments_sync_end(o.g, pin, nr), 0);
	/* the top at open, and this one */
	assert_int_equal(crash_calls(o.disk, 0, CRASH_SYNC_DIR), 2);
	more = false;
	nr = segments_sync_begin(o.g, pin, 3, &more);
	assert_int_equal(nr, 2);
	assert_false(more);
	assert_int_equal(segments_sync_end(o.g, pin, nr), 0);
	assert_int_equal(crash_calls(o.disk, 0, CRASH_SYNC_DIR), 2);
	assert_int_equal(segments_sync_begin(o.g, pin, 3, &more), 0);
	assert_int_equal(segments_sync_end(o.g, pin, 0), 0);
	one_free(&o);
}

static void settled_segments_go_when_dead(void **state)
{
	struct one o = one_make(400 * MIB);
	struct chunk_loc c[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		c[i] = append(&o, 1500, 1);
	raid_unmake(o.r);
	one_open(&o, false);
	assert_int_equal(nr_segments(&o), 4);
	/* Unsettled ones stay whatever is freed. */
	assert_int_equal(segment_free(o.g, c[3].segment, c[3].block, 700), 0);
	segment_settle(o.g, c[0].segment, 1500, true);
	segment_settle(o.g, c[1].segment, 0, true);
	segment_settle(o.g, c[2].segment, 0, false);
	segment_settle(o.g, c[3].segment, 800, true);
	assert_int_equal(nr_segments(&o), 3);
	assert_int_equal(segments_used(o.g), 2300 * BLOCK_LEN);
	assert_int_equal(segment_free(o.g, c[0].segment, c[0].block, 1500), 0);
	assert_int_equal(nr_segments(&o), 2);
	/* The highest number stays until there is a higher one. */
	assert_int_equal(segment_free(o.g, c[3].segment, c[3].block + 700, 800), 0);
	assert_int_equal(nr_segments(&o), 2);
	assert_int_equal(append(&o, 1, 1).segment, c[3].segment + 1);
	assert_int_equal(nr_segments(&o), 2);
	one_free(&o);
}

static void foreign_names_are_left_alone(void **state)
{
	struct one o = one_make(0);
	struct store *s = o.r->shard[0].store;
	static const char *const name[] = {"seg/hello", "seg/0000000G", "seg/000000001",
					   "seg/ABCDEF01"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(name); i++) {
		struct store_file *f;

		assert_int_equal(o.r->ops->open(s, name[i], STORE_CREATE, &f), 0);
		o.r->ops->close(f);
	}
	raid_unmake(o.r);
	one_open(&o, false);
	assert_int_equal(nr_segments(&o), 0);
	one_free(&o);
}

static void readonly_open_changes_nothing(void **state)
{
	struct one o = one_make(0);
	struct chunk_loc c = append(&o, 10, 5);
	struct segment_pin pin;
	uint64_t steps;

	(void)state;
	raid_unmake(o.r);
	steps = crash_steps(o.disk);
	one_open(&o, true);
	assert_int_equal(segment_get(o.g, c.segment, &pin), 0);
	segment_put(o.g, &pin);
	raid_unmake(o.r);
	assert_int_equal(crash_steps(o.disk), steps);
	one_open(&o, false);
	one_free(&o);
}

/* More segments than are kept open. */
static void many_segments_are_all_reached(void **state)
{
	struct one o = one_make(1500 * MIB);
	struct chunk_loc c[120];

	(void)state;
	for (unsigned i = 0; i < 120; i++) {
		c[i] = append(&o, 2500, (int)i);
		if (i % 100 == 99)
			assert_int_equal(raid_sync(o.r), 0);
	}
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 120; i++) {
			struct segment_pin pin;

			assert_int_equal(segment_get(o.g, c[i].segment, &pin), 0);
			segment_put(o.g, &pin);
		}
	}
	assert_true(crash_calls(o.disk, 0, CRASH_OPEN) > 100);
	one_free(&o);
}

struct appender {
	struct one *o;
	unsigned seed;
	uint64_t blocks;
	struct chunk_loc c[300];
	uint32_t len[300];
};

static void *append_many(void *arg)
{
	struct appender *a = arg;

	for (unsigned i = 0; i < 300; i++) {
		a->seed = a->seed * 1103515245u + 12345u;
		a->len[i] = 1 + (a->seed >> 16) % 300;
		a->c[i] = append(a->o, a->len[i], (int)(a->seed >> 8 & 0xff) | 1);
		a->blocks += a->len[i];
		if (i % 5 == 4) {
			if (segment_free(a->o->g, a->c[i - 2].segment, a->c[i - 2].block,
					 a->len[i - 2]))
				return a;
			a->blocks -= a->len[i - 2];
			a->len[i - 2] = 0;
		}
		if (i % 50 == 49 && raid_sync(a->o->r))
			return a;
	}
	return NULL;
}

static int compare_places(const void *a, const void *b)
{
	const struct chunk_loc *x = a;
	const struct chunk_loc *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return x->block < y->block ? -1 : 1;
}

static void threads_get_different_places(void **state)
{
	struct one o = one_make(4096 * MIB);
	struct appender a[4];
	struct chunk_loc all[4 * 300];
	pthread_t thread[4];
	uint64_t blocks = 0;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		a[i] = (struct appender){.o = &o, .seed = i};
		assert_int_equal(pthread_create(&thread[i], NULL, append_many, &a[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		void *failed;

		pthread_join(thread[i], &failed);
		assert_null(failed);
		blocks += a[i].blocks;
		memcpy(all + (size_t)i * 300, a[i].c, sizeof(a[i].c));
	}
	assert_int_equal(segments_used(o.g), blocks * BLOCK_LEN);
	qsort(all, ARRAY_LEN(all), sizeof(*all), compare_places);
	for (unsigned i = 1; i < ARRAY_LEN(all); i++)
		assert_true(all[i].segment != all[i - 1].segment ||
			    all[i].block > all[i - 1].block);
	one_free(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_follow_each_other),
		cmocka_unit_test(no_address_comes_twice),
		cmocka_unit_test(number_named_by_a_stripe_is_not_reused),
		cmocka_unit_test(full_and_dead_segments_are_deleted),
		cmocka_unit_test(many_are_freed_at_once),
		cmocka_unit_test(freed_space_is_given_back),
		cmocka_unit_test(pinned_segment_outlives_its_last_chunk),
		cmocka_unit_test(close_gives_back_what_is_ahead),
		cmocka_unit_test(shard_is_filled_to_the_last_block),
		cmocka_unit_test(works_where_space_cannot_be_allocated),
		cmocka_unit_test(failed_extension_can_be_tried_again),
		cmocka_unit_test(only_written_segments_are_synced),
		cmocka_unit_test(settled_segments_go_when_dead),
		cmocka_unit_test(foreign_names_are_left_alone),
		cmocka_unit_test(readonly_open_changes_nothing),
		cmocka_unit_test(many_segments_are_all_reached),
		cmocka_unit_test(threads_get_different_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
