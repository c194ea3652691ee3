/* Parts of stripes: the right bytes and no others are read, and any doubt is left to raid_read(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/log.h"
#include "raid/chunk.h"
#include "raid/layout.h"
#include "tests/support/raid_make.h"
#include "tests/support/store_crash.h"

#define NR_SHARDS 5
#define GUARD	  0x77

static const char *const crash_path[NR_SHARDS] = {"crash:0", "crash:1", "crash:2", "crash:3",
						  "crash:4"};

static struct raid_geometry geometry(unsigned level, unsigned nr)
{
	return (struct raid_geometry){.level = (uint8_t)level,
				      .copies = level == 1 ? 2 : 1,
				      .nr_shards = (uint8_t)nr,
				      .extent_len = MIB};
}

/* A volume on disks in memory with one stripe of @len bytes. */
struct vol {
	struct crash_disk *disk;
	struct raid *r;
	struct stripe_owner owner;
	struct stripe_loc loc;
	uint8_t *bytes;
	uint32_t payload_len;
};

static void put(struct vol *v, size_t len)
{
	v->owner = (struct stripe_owner){.ino = 3, .file_off = MIB, .gen = len, .raw_len = MIB};
	v->bytes = malloc(len);
	assert_non_null(v->bytes);
	raid_make_bytes(v->bytes, len, len);
	assert_int_equal(raid_write(v->r, &v->owner, &(struct iovec){v->bytes, len}, 1, &v->loc),
			 0);
	v->payload_len = layout_payload_len(v->loc.len, v->loc.k);
}

static struct vol vol_make(unsigned level, unsigned nr, size_t len)
{
	struct raid_geometry geo = geometry(level, nr);
	struct vol v = {.disk = crash_disk_new(nr, 1)};

	v.r = raid_make(crash_ops(v.disk), crash_path, &geo, false);
	put(&v, len);
	return v;
}

static void vol_free(struct vol *v)
{
	free(v->bytes);
	raid_unmake(v->r);
	crash_disk_free(v->disk);
}

/* Read [off, off + len): what raid_read_part() says; on success the bytes are compared and nothing else was written. */
static int get(struct vol *v, uint32_t off, uint32_t len)
{
	AUTO_FREE uint8_t *buf = malloc((size_t)len + 2);
	struct stripe_part part = {off, len, buf + 1};
	int err;

	assert_non_null(buf);
	memset(buf, GUARD, (size_t)len + 2);
	err = raid_read_part(v->r, &v->owner, &v->loc, &part, 1);
	assert_int_equal(buf[0], GUARD);
	assert_int_equal(buf[len + 1], GUARD);
	if (err)
		return err;
	return memcmp(buf + 1, v->bytes + off, len) ? -EBADMSG : 0;
}

static uint64_t read_bytes(struct vol *v)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < v->r->geo.nr_shards; i++)
		n += atomic_load(&v->r->shard[i].read_bytes);
	return n;
}

static uint64_t nr_wrong(struct vol *v)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < v->r->geo.nr_shards; i++)
		n += atomic_load(&v->r->shard[i].nr_wrong);
	return n;
}

/* Around every border of chunks and blocks, short and long; nothing is read that need not be. */
static void check_borders(struct vol *v)
{
	static const uint32_t length[] = {1, 64, 4095, 4096, 4097, 65536, 131072, 300000};

	for (unsigned c = 0; c <= v->loc.k; c++) {
		for (int64_t at = -4200; at <= 4200; at += 4200 / 8) {
			int64_t off = (int64_t)c * v->payload_len + at;

			for (unsigned i = 0; i < ARRAY_LEN(length); i++) {
				uint64_t before = read_bytes(v);
				uint64_t touched;

				if (off < 0 || off + length[i] > v->loc.len)
					continue;
				assert_int_equal(get(v, (uint32_t)off, length[i]), 0);
				touched = 2 + length[i] / v->payload_len;
				assert_true(read_bytes(v) - before <=
					    length[i] + touched * 2 * BLOCK_LEN);
			}
		}
	}
	assert_int_equal(get(v, 0, v->loc.len), 0);
	assert_int_equal(get(v, v->loc.len - 1, 1), 0);
	assert_int_equal(nr_wrong(v), 0);
}

static const struct {
	unsigned level, nr;
} volume[] = {{0, 1}, {0, 4}, {1, 3}, {5, 4}, {6, 5}};

static void parts_come_back_from_every_border(void **state)
{
	static const size_t length[] = {70, 4000, 100001, MIB + 112};

	(void)state;
	for (unsigned t = 0; t < ARRAY_LEN(volume); t++) {
		for (unsigned i = 0; i < ARRAY_LEN(length); i++) {
			struct vol v = vol_make(volume[t].level, volume[t].nr, length[i]);

			check_borders(&v);
			vol_free(&v);
		}
	}
}

static void check_engine(const struct store_ops *ops)
{
	struct raid_geometry geo = geometry(5, 4);
	struct vol v = {.disk = NULL};
	char *top;
	char **path = raid_make_dirs(4, &top);

	v.r = raid_make(ops, (const char *const *)path, &geo, false);
	put(&v, MIB + 112);
	check_borders(&v);
	free(v.bytes);
	raid_unmake(v.r);
	raid_make_dirs_free(path, 4, top);
}

static void parts_come_back_by_both_engines(void **state)
{
	const struct store_ops *ops;

	(void)state;
	check_engine(store_sync());
	if (!store_uring(&ops))
		check_engine(ops);
}

static void several_parts_are_one_batch(void **state)
{
	struct vol v = vol_make(5, 4, MIB);
	AUTO_FREE uint8_t *buf = calloc(4, 200000);
	struct stripe_part part[STRIPE_PARTS_MAX] = {
		{0, 300, buf},
		{v.payload_len - 100, 200000, buf + 200000},
		{v.payload_len - 50, 100, buf + 400000},
		{v.loc.len - 1, 1, buf + 600000},
	};

	(void)state;
	assert_int_equal(raid_read_part(v.r, &v.owner, &v.loc, part, STRIPE_PARTS_MAX), 0);
	for (unsigned i = 0; i < STRIPE_PARTS_MAX; i++)
		assert_memory_equal(part[i].buf, v.bytes + part[i].off, part[i].len);
	vol_free(&v);
}

static void flip(struct vol *v, unsigned idx, uint64_t off)
{
	const struct chunk_loc *c = &v->loc.chunk[idx];
	uint8_t byte;
	char name[24];

	snprintf(name, sizeof(name), "seg/%08x", c->segment);
	off += c->block * BLOCK_LEN;
	assert_int_equal(crash_peek(v->disk, c->shard, name, off, &byte, 1), 0);
	byte ^= 4;
	assert_int_equal(crash_poke(v->disk, c->shard, name, off, &byte, 1), 0);
}

static void payloads_come_as_they_stand(void **state)
{
	struct vol v = vol_make(5, 4, MIB);

	(void)state;
	flip(&v, 1, CHUNK_HEAD_LEN + 5000);
	assert_int_equal(get(&v, v.payload_len + 4000, 1000), 0);
	assert_int_equal(get(&v, v.payload_len + 4000, 1001), -EBADMSG);
	assert_int_equal(get(&v, v.payload_len + 5001, 1000), 0);
	assert_int_equal(nr_wrong(&v), 0);
	vol_free(&v);
}

static void a_wrong_head_is_noticed_at_its_chunk(void **state)
{
	struct vol v = vol_make(5, 4, MIB);

	(void)state;
	for (unsigned i = 0; i < CHUNK_HEAD_LEN; i++) {
		flip(&v, 2, i);
		assert_int_equal(get(&v, 2 * v.payload_len, 1), -EIO);
		assert_int_equal(get(&v, 2 * v.payload_len - 1, 100000), -EIO);
		assert_int_equal(get(&v, 2 * v.payload_len + 1, 100000), 0);
		assert_int_equal(get(&v, 0, 10), 0);
		flip(&v, 2, i);
		assert_int_equal(get(&v, 2 * v.payload_len, 1), 0);
	}
	/* Somebody else's chunk is as wrong. */
	v.owner.gen++;
	assert_int_equal(get(&v, 0, 10), -EIO);
	v.owner.gen--;
	v.owner.ino++;
	assert_int_equal(get(&v, 0, 10), -EIO);
	/* Telling and mending are raid_read()'s. */
	assert_int_equal(nr_wrong(&v), 0);
	vol_free(&v);
}

static void what_is_lost_is_an_error_alone(void **state)
{
	struct vol v = vol_make(5, 4, MIB);
	AUTO_FREE uint8_t *buf = malloc(MIB);

	(void)state;
	crash_fault(v.disk, v.loc.chunk[0].shard, CRASH_READ, 0, 1, -EIO);
	assert_int_equal(get(&v, 10, 10), -EIO);
	assert_int_equal(get(&v, 10, 10), 0);
	crash_shard_kill(v.disk, v.loc.chunk[0].shard, -ENODEV);
	assert_int_equal(get(&v, 10, 10), -EIO);
	assert_int_equal(get(&v, v.payload_len, 10), 0);
	assert_int_equal(get(&v, v.payload_len - 1, 10), -EIO);
	/* That votes the shard out: from then on nobody asks it. */
	assert_int_equal(raid_read(v.r, &v.owner, &v.loc, buf), 0);
	assert_memory_equal(buf, v.bytes, MIB);
	assert_int_equal(get(&v, 10, 10), -EIO);
	assert_int_equal(get(&v, v.payload_len, v.payload_len), 0);
	vol_free(&v);
}

static void another_copy_serves(void **state)
{
	struct vol v = vol_make(1, 2, 100000);
	AUTO_FREE uint8_t *buf = malloc(100000);

	(void)state;
	crash_shard_kill(v.disk, v.loc.chunk[0].shard, -ENODEV);
	assert_int_equal(raid_read(v.r, &v.owner, &v.loc, buf), 0);
	assert_int_equal(get(&v, 0, 100000), 0);
	assert_int_equal(get(&v, 50000, 10), 0);
	crash_shard_kill(v.disk, v.loc.chunk[1].shard, -ENODEV);
	assert_int_equal(get(&v, 50000, 10), -EIO);
	vol_free(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_come_back_from_every_border),
		cmocka_unit_test(parts_come_back_by_both_engines),
		cmocka_unit_test(several_parts_are_one_batch),
		cmocka_unit_test(payloads_come_as_they_stand),
		cmocka_unit_test(a_wrong_head_is_noticed_at_its_chunk),
		cmocka_unit_test(what_is_lost_is_an_error_alone),
		cmocka_unit_test(another_copy_serves),
	};

	log_set_level(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
