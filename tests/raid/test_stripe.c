/* Stripes: written, read back, lost, damaged, repaired; on both directory engines and on disks
 * that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/log.h"
#include "raid/chunk.h"
#include "raid/layout.h"
#include "raid/segment.h"
#include "raid/space.h"
#include "tests/support/raid_make.h"
#include "tests/support/store_crash.h"

#define NR_SHARDS_MAX 8

static const char *const crash_path[NR_SHARDS_MAX] = {"crash:0", "crash:1", "crash:2", "crash:3",
						      "crash:4", "crash:5", "crash:6", "crash:7"};

struct vol {
	struct crash_disk *disk;
	struct raid *r;
};

static struct raid_geometry geometry(unsigned level, unsigned nr)
{
	return (struct raid_geometry){.level = (uint8_t)level,
				      .copies = level == 1 ? 2 : 1,
				      .nr_shards = (uint8_t)nr,
				      .extent_len = MIB};
}

static struct vol vol_make(unsigned level, unsigned nr)
{
	struct raid_geometry geo = geometry(level, nr);
	struct vol v = {.disk = crash_disk_new(nr, 1)};

	v.r = raid_make(crash_ops(v.disk), crash_path, &geo, false);
	return v;
}

static void vol_free(struct vol *v)
{
	raid_unmake(v->r);
	crash_disk_free(v->disk);
}

static struct stripe_owner owner_of(uint64_t n)
{
	return (struct stripe_owner){
		.ino = 7 + n / 10, .file_off = n * MIB, .gen = n, .raw_len = MIB};
}

/* Stripe @n: its bytes in three pieces, cut at odd places. */
static int put(struct raid *r, uint64_t n, size_t len, struct stripe_loc *loc)
{
	AUTO_FREE uint8_t *buf = malloc(len);
	struct stripe_owner owner = owner_of(n);
	size_t a = len / 7;
	size_t b = len / 3;

	assert_non_null(buf);
	raid_make_bytes(buf, len, n);
	struct iovec iov[] = {{buf, a}, {buf + a, b - a}, {buf + b, len - b}};

	return raid_write(r, &owner, iov, 3, loc);
}

static int get_is_right(struct raid *r, uint64_t n, const struct stripe_loc *loc)
{
	AUTO_FREE uint8_t *want = malloc(loc->len);
	AUTO_FREE uint8_t *buf = malloc(loc->len + 1);
	struct stripe_owner owner = owner_of(n);
	int err;

	assert_non_null(want);
	assert_non_null(buf);
	raid_make_bytes(want, loc->len, n);
	memset(buf, 0x77, loc->len + 1);
	err = raid_read(r, &owner, loc, buf);
	if (err)
		return err;
	assert_memory_equal(buf, want, loc->len);
	assert_int_equal(buf[loc->len], 0x77);
	return 0;
}

static const size_t odd_len[] = {
	1,    2,     63,    64,	    65,	    3967,   3968,   3969,    4096, 4136,
	8191, 16424, 65535, 100001, 262143, 262144, 262145, MIB - 1, MIB,  MIB + 40,
};

/* ---- there and back ---- */

static void check_engine(const struct store_ops *ops, unsigned level, unsigned nr)
{
	struct raid_geometry geo = geometry(level, nr);
	struct stripe_loc loc[ARRAY_LEN(odd_len)];
	char *top;
	char **path = raid_make_dirs(nr, &top);
	struct raid *r = raid_make(ops, (const char *const *)path, &geo, false);

	for (unsigned i = 0; i < ARRAY_LEN(odd_len); i++) {
		assert_int_equal(put(r, i, odd_len[i], &loc[i]), 0);
		assert_int_equal(loc[i].len, odd_len[i]);
		assert_int_equal(loc[i].m, raid_parity(&geo));
	}
	assert_int_equal(raid_sync(r), 0);
	for (unsigned i = 0; i < ARRAY_LEN(odd_len); i++)
		assert_int_equal(get_is_right(r, i, &loc[i]), 0);
	raid_unmake(r);
	/* And by another open, read-only. */
	r = raid_make(ops, (const char *const *)path, &geo, true);
	for (unsigned i = 0; i < ARRAY_LEN(odd_len); i++)
		assert_int_equal(get_is_right(r, i, &loc[i]), 0);
	assert_int_equal(put(r, 1, 100, &loc[0]), -EROFS);
	raid_unmake(r);
	raid_make_dirs_free(path, nr, top);
}

static void check_engine_levels(const struct store_ops *ops)
{
	check_engine(ops, 0, 1);
	check_engine(ops, 0, 3);
	check_engine(ops, 1, 2);
	check_engine(ops, 1, 4);
	check_engine(ops, 5, 2);
	check_engine(ops, 5, 4);
	check_engine(ops, 6, 3);
	check_engine(ops, 6, 7);
}

static void stripes_come_back_by_blocking_calls(void **state)
{
	(void)state;
	check_engine_levels(store_sync());
}

static void stripes_come_back_by_io_uring(void **state)
{
	const struct store_ops *ops;

	(void)state;
	if (store_uring(&ops))
		skip();
	check_engine_levels(ops);
}

static void many_pieces_make_one_stripe(void **state)
{
	struct vol v = vol_make(5, 4);
	uint8_t buf[50 * 1001];
	struct iovec iov[50];
	struct stripe_owner owner = owner_of(3);
	struct stripe_loc loc;

	(void)state;
	raid_make_bytes(buf, sizeof(buf), 3);
	for (unsigned i = 0; i < 50; i++)
		iov[i] = (struct iovec){buf + i * 1001, 1001};
	/* Pieces of no length are harmless. */
	iov[49].iov_len = 0;
	iov[48].iov_len = 2002;
	assert_int_equal(raid_write(v.r, &owner, iov, 50, &loc), 0);
	assert_int_equal(loc.len, sizeof(buf));
	assert_int_equal(get_is_right(v.r, 3, &loc), 0);
	iov[0].iov_len = 0;
	iov[1] = (struct iovec){buf, 9000};
	assert_int_equal(raid_write(v.r, &owner, iov, 2, &loc), 0);
	assert_int_equal(loc.len, 9000);
	assert_int_equal(get_is_right(v.r, 3, &loc), 0);
	vol_free(&v);
}

static void wrong_owner_is_refused(void **state)
{
	struct vol v = vol_make(5, 3);
	struct stripe_owner owner = owner_of(4);
	struct stripe_loc loc;
	uint8_t buf[5000];

	(void)state;
	assert_int_equal(put(v.r, 4, sizeof(buf), &loc), 0);
	owner.raw_len = 0; /* does not identify */
	assert_int_equal(raid_read(v.r, &owner, &loc, buf), 0);
	owner.gen++;
	assert_int_equal(raid_read(v.r, &owner, &loc, buf), -EIO);
	owner = owner_of(4);
	owner.ino++;
	assert_int_equal(raid_read(v.r, &owner, &loc, buf), -EIO);
	owner = owner_of(4);
	owner.file_off++;
	assert_int_equal(raid_read(v.r, &owner, &loc, buf), -EIO);
	vol_free(&v);
}

/* ---- lost shards ---- */

static void check_losses(unsigned level, unsigned nr)
{
	unsigned m;

	for (uint64_t lost = 1; lost < 1ULL << nr; lost++) {
		struct vol v = vol_make(level, nr);
		struct stripe_loc loc[ARRAY_LEN(odd_len)];
		unsigned nr_lost = (unsigned)__builtin_popcountll(lost);

		m = raid_parity(&v.r->geo);
		if (nr_lost > m) {
			vol_free(&v);
			continue;
		}
		for (unsigned i = 0; i < ARRAY_LEN(odd_len); i++)
			assert_int_equal(put(v.r, i, odd_len[i], &loc[i]), 0);
		for (unsigned s = 0; s < nr; s++) {
			if (lost & (1ULL << s))
				crash_shard_kill(v.disk, s, -ENODEV);
		}
		for (unsigned i = 0; i < ARRAY_LEN(odd_len); i++)
			assert_int_equal(get_is_right(v.r, i, &loc[i]), 0);
		/* What is written now is redundant on the shards that are left, as far as they
		 * suffice. */
		for (unsigned i = 0; i < ARRAY_LEN(odd_len); i++) {
			assert_int_equal(put(v.r, 100 + i, odd_len[i], &loc[i]), 0);
			assert_int_equal(loc[i].m, MIN(m, nr - nr_lost - 1));
			for (unsigned c = 0; c < (unsigned)loc[i].k + loc[i].m; c++)
				assert_false(lost & (1ULL << loc[i].chunk[c].shard));
			assert_int_equal(get_is_right(v.r, 100 + i, &loc[i]), 0);
		}
		assert_int_equal(raid_sync(v.r), 0);
		assert_int_equal(atomic_load(&v.r->online), ((1ULL << nr) - 1) & ~lost);
		vol_free(&v);
	}
}

static void every_loss_the_level_bears_is_borne(void **state)
{
	(void)state;
	check_losses(1, 2);
	check_losses(1, 3);
	check_losses(5, 2);
	check_losses(5, 3);
	check_losses(5, 5);
	check_losses(6, 3);
	check_losses(6, 4);
	check_losses(6, 6);
}

static void one_loss_too_many_is_an_error(void **state)
{
	struct stripe_loc loc, other;
	struct vol v = vol_make(5, 4);

	(void)state;
	assert_int_equal(put(v.r, 1, MIB, &loc), 0);
	crash_shard_kill(v.disk, 0, -ENODEV);
	crash_shard_kill(v.disk, 2, -ENODEV);
	assert_int_equal(get_is_right(v.r, 1, &loc), -EIO);
	assert_int_equal(put(v.r, 2, MIB, &other), -EIO);
	assert_true(atomic_load(&v.r->broken));
	assert_int_equal(raid_sync(v.r), -EIO);
	assert_int_equal(raid_reserve(v.r, 8192), -EIO);
	vol_free(&v);
}

static void copies_are_read_from_all_shards(void **state)
{
	struct vol v = vol_make(1, 4);
	struct stripe_loc loc;

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(put(v.r, i, MIB, &loc), 0);
		assert_int_equal(get_is_right(v.r, i, &loc), 0);
		assert_int_equal(get_is_right(v.r, i, &loc), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(atomic_load(&v.r->shard[i].nr_reads), 20);
	vol_free(&v);
}

/* ---- wrong bytes ---- */

static void name_of(const struct chunk_loc *c, char name[24])
{
	snprintf(name, 24, "seg/%08x", c->segment);
}

static void poke(struct vol *v, const struct chunk_loc *c, uint64_t off, uint8_t mask)
{
	char name[24];
	uint8_t byte;

	name_of(c, name);
	assert_int_equal(crash_peek(v->disk, c->shard, name, c->block * BLOCK_LEN + off, &byte, 1),
			 0);
	byte ^= mask;
	assert_int_equal(crash_poke(v->disk, c->shard, name, c->block * BLOCK_LEN + off, &byte, 1),
			 0);
}

/* The whole of a stripe's chunks on disk. */
static uint8_t *disk_image(struct vol *v, const struct stripe_loc *loc)
{
	size_t len = layout_blocks(loc->len, loc->k) * BLOCK_LEN;
	unsigned width = (unsigned)loc->k + loc->m;
	uint8_t *image = malloc(width * len);
	char name[24];

	assert_non_null(image);
	for (unsigned i = 0; i < width; i++) {
		name_of(&loc->chunk[i], name);
		assert_int_equal(crash_peek(v->disk, loc->chunk[i].shard, name,
					    loc->chunk[i].block * BLOCK_LEN, image + i * len, len),
				 0);
	}
	return image;
}

static uint64_t sum_wrong(struct raid *r)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->geo.nr_shards; i++)
		n += atomic_load(&r->shard[i].nr_wrong);
	return n;
}

static uint64_t sum_repaired(struct raid *r)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->geo.nr_shards; i++)
		n += atomic_load(&r->shard[i].nr_repaired);
	return n;
}

/* Damage the chunks of @which, in the head or in the payload; read or verify; the disk is as it
 * was. */
static void check_damage(struct vol *v, uint64_t n, const struct stripe_loc *loc, uint32_t which,
			 bool head)
{
	unsigned width = (unsigned)loc->k + loc->m;
	size_t len = width * layout_blocks(loc->len, loc->k) * BLOCK_LEN;
	AUTO_FREE uint8_t *before = disk_image(v, loc);
	struct stripe_owner owner = owner_of(n);
	unsigned nr = (unsigned)__builtin_popcount(which);
	uint64_t repaired = sum_repaired(v->r);
	uint64_t wrong = sum_wrong(v->r);
	unsigned bad = 0;
	unsigned mended = 0;

	for (unsigned i = 0; i < width; i++) {
		if (which & (1u << i))
			poke(v, &loc->chunk[i],
			     head ? 44 : CHUNK_HEAD_LEN + layout_payload_len(loc->len, loc->k) / 2,
			     0x10);
	}
	/* Reading need not see the parity, nor the other copies; what it saw it has repaired. */
	assert_int_equal(get_is_right(v->r, n, loc), 0);
	assert_int_equal(raid_verify(v->r, &owner, loc, &bad, &mended), 0);
	assert_int_equal(bad, mended);
	assert_int_equal(sum_wrong(v->r) - wrong, nr);
	assert_int_equal(sum_repaired(v->r) - repaired, nr);
	AUTO_FREE uint8_t *after = disk_image(v, loc);

	assert_memory_equal(before, after, len);
	bad = mended = 0;
	assert_int_equal(raid_verify(v->r, &owner, loc, &bad, &mended), 0);
	assert_int_equal(bad + mended, 0);
}

static void wrong_chunks_are_repaired_on_disk(void **state)
{
	static const struct {
		unsigned level, nr;
	} volume[] = {{1, 2}, {1, 4}, {5, 3}, {5, 5}, {6, 4}, {6, 5}};

	(void)state;
	for (unsigned t = 0; t < ARRAY_LEN(volume); t++) {
		struct vol v = vol_make(volume[t].level, volume[t].nr);

		for (unsigned i = 0; i < ARRAY_LEN(odd_len); i += 3) {
			struct stripe_loc loc;

			assert_int_equal(put(v.r, i, odd_len[i], &loc), 0);
			for (uint32_t which = 1; which < 1u << (loc.k + loc.m); which++) {
				if (__builtin_popcount(which) > loc.m)
					continue;
				check_damage(&v, i, &loc, which, true);
				check_damage(&v, i, &loc, which, false);
			}
		}
		assert_int_equal(raid_sync(v.r), 0);
		vol_free(&v);
	}
}

static void damage_past_parity_is_never_returned(void **state)
{
	static const unsigned level[] = {0, 1, 5, 6};

	(void)state;
	for (unsigned t = 0; t < ARRAY_LEN(level); t++) {
		struct vol v = vol_make(level[t], 4);
		struct stripe_owner owner = owner_of(1);
		struct stripe_loc loc;
		unsigned bad = 0;
		unsigned repaired = 0;

		assert_int_equal(put(v.r, 1, MIB, &loc), 0);
		for (unsigned i = 0; i <= loc.m; i++)
			poke(&v, &loc.chunk[i], 5000, 1);
		assert_int_equal(get_is_right(v.r, 1, &loc), -EIO);
		assert_int_equal(raid_verify(v.r, &owner, &loc, &bad, &repaired), -EIO);
		assert_int_equal(bad, loc.m + 1);
		assert_int_equal(repaired, 0);
		vol_free(&v);
	}
}

static void wrong_parity_is_found_by_verify(void **state)
{
	struct vol v = vol_make(6, 5);
	struct stripe_owner owner = owner_of(1);
	struct stripe_loc loc;
	unsigned bad = 0;
	unsigned repaired = 0;
	uint32_t payload_len;
	uint8_t *chunk;
	char name[24];
	struct chunk_head h;

	(void)state;
	assert_int_equal(put(v.r, 1, 300000, &loc), 0);
	payload_len = layout_payload_len(loc.len, loc.k);
	/* A Q chunk that is sound by itself and does not belong to the data. */
	chunk = malloc(CHUNK_HEAD_LEN + payload_len);
	name_of(&loc.chunk[loc.k + 1], name);
	assert_int_equal(crash_peek(v.disk, loc.chunk[loc.k + 1].shard, name,
				    loc.chunk[loc.k + 1].block * BLOCK_LEN, chunk,
				    CHUNK_HEAD_LEN + payload_len),
			 0);
	assert_int_equal(chunk_head_get(chunk, CHUNK_HEAD_LEN, &h), 0);
	chunk[CHUNK_HEAD_LEN + 9]++;
	h.payload_sum = chunk_sum(&(struct iovec){chunk + CHUNK_HEAD_LEN, payload_len}, 1);
	chunk_head_put(&h, chunk);
	assert_int_equal(crash_poke(v.disk, loc.chunk[loc.k + 1].shard, name,
				    loc.chunk[loc.k + 1].block * BLOCK_LEN, chunk,
				    CHUNK_HEAD_LEN + payload_len),
			 0);
	free(chunk);
	assert_int_equal(raid_verify(v.r, &owner, &loc, &bad, &repaired), 0);
	assert_int_equal(bad, 1);
	assert_int_equal(repaired, 1);
	bad = repaired = 0;
	assert_int_equal(raid_verify(v.r, &owner, &loc, &bad, &repaired), 0);
	assert_int_equal(bad, 0);
	vol_free(&v);
}

static void unreadable_chunk_is_rewritten(void **state)
{
	struct vol v = vol_make(5, 4);
	struct stripe_loc loc;

	(void)state;
	assert_int_equal(put(v.r, 1, MIB, &loc), 0);
	crash_fault(v.disk, loc.chunk[1].shard, CRASH_READ, 0, 1, -EIO);
	assert_int_equal(get_is_right(v.r, 1, &loc), 0);
	assert_int_equal(atomic_load(&v.r->shard[loc.chunk[1].shard].nr_repaired), 1);
	assert_int_equal(atomic_load(&v.r->nr_rebuilt), 1);
	assert_int_equal(atomic_load(&v.r->online), 0xf);
	assert_int_equal(get_is_right(v.r, 1, &loc), 0);
	vol_free(&v);
}

static void deleted_segment_is_made_anew(void **state)
{
	struct vol v = vol_make(5, 3);
	struct stripe_loc loc;
	struct store *store;
	char name[24];

	(void)state;
	assert_int_equal(put(v.r, 1, MIB, &loc), 0);
	assert_int_equal(raid_sync(v.r), 0);
	raid_unmake(v.r);
	name_of(&loc.chunk[0], name);
	assert_int_equal(crash_ops(v.disk)->attach(crash_ops(v.disk),
						   crash_path[loc.chunk[0].shard], false, &store),
			 0);
	assert_int_equal(crash_ops(v.disk)->unlink(store, name), 0);
	crash_ops(v.disk)->detach(store);

	struct raid_geometry geo = geometry(5, 3);

	v.r = raid_make(crash_ops(v.disk), crash_path, &geo, false);
	assert_int_equal(get_is_right(v.r, 1, &loc), 0);
	assert_int_equal(sum_repaired(v.r), 1);
	assert_int_equal(raid_sync(v.r), 0);
	assert_int_equal(get_is_right(v.r, 1, &loc), 0);
	assert_int_equal(sum_wrong(v.r), 1);
	vol_free(&v);
}

static void readonly_volume_is_not_repaired(void **state)
{
	struct vol v = vol_make(5, 3);
	struct raid_geometry geo = geometry(5, 3);
	struct stripe_loc loc;
	uint64_t steps;

	(void)state;
	assert_int_equal(put(v.r, 1, MIB, &loc), 0);
	raid_unmake(v.r);
	poke(&v, &loc.chunk[0], 200, 1);
	steps = crash_steps(v.disk);
	v.r = raid_make(crash_ops(v.disk), crash_path, &geo, true);
	assert_int_equal(get_is_right(v.r, 1, &loc), 0);
	assert_int_equal(sum_wrong(v.r), 1);
	assert_int_equal(sum_repaired(v.r), 0);
	assert_int_equal(crash_steps(v.disk), steps);
	vol_free(&v);
}

/* ---- shards that fail under way ---- */

/* Shard 1 fails its @nth call of @kind, for good or for once. Whatever that hits, what was
 * answered with success is there, and the volume goes on. Returns false when there was no such
 * call. */
static bool check_fault(unsigned level, unsigned nr, enum crash_kind kind, uint64_t nth,
			uint64_t count, int err)
{
	struct vol v = vol_make(level, nr);
	struct stripe_loc loc[12];
	struct raid_space space;
	bool hit;

	crash_fault(v.disk, 1, kind, nth, count, err);
	for (unsigned i = 0; i < ARRAY_LEN(loc); i++) {
		assert_int_equal(put(v.r, i, odd_len[i + 6], &loc[i]), 0);
		if (i % 3 == 0)
			assert_int_equal(raid_sync(v.r), 0);
		assert_int_equal(get_is_right(v.r, i / 2, &loc[i / 2]), 0);
		assert_int_equal(raid_space(v.r, &space), 0);
		if (i % 4 == 3) {
			raid_free(v.r, &loc[i - 1]);
			assert_int_equal(put(v.r, i - 1, odd_len[i], &loc[i - 1]), 0);
		}
	}
	hit = crash_calls(v.disk, 1, kind) > nth;
	for (unsigned i = 0; i < ARRAY_LEN(loc); i++)
		assert_int_equal(get_is_right(v.r, i, &loc[i]), 0);
	assert_false(atomic_load(&v.r->broken));
	/* Nothing is lost that a second shard's failure would need. */
	crash_fault_clear(v.disk);
	if (atomic_load(&v.r->online) == (1ULL << nr) - 1) {
		for (unsigned i = 0; i < ARRAY_LEN(loc); i++)
			assert_int_equal(get_is_right(v.r, i, &loc[i]), 0);
	}
	vol_free(&v);
	return hit;
}

static void check_faults(unsigned level, unsigned nr)
{
	static const enum crash_kind kind[] = {CRASH_WRITE,    CRASH_SYNC,     CRASH_READ,
					       CRASH_CREATE,   CRASH_ALLOCATE, CRASH_PUNCH,
					       CRASH_SYNC_DIR, CRASH_SPACE,    CRASH_ANY};
	/* Not the calls that open the volume: attach, space, list, mkdir, sync_dir, space. */
	static const uint64_t first[] = {0, 0, 0, 0, 0, 0, 1, 2, 6};

	for (unsigned i = 0; i < ARRAY_LEN(kind); i++) {
		uint64_t n = first[i];

		while (check_fault(level, nr, kind[i], n, 1, -EIO) &&
		       check_fault(level, nr, kind[i], n, CRASH_FOREVER, -EIO))
			n += 1 + n / 12;
		if (n == first[i])
			fail_msg("no call of kind %d to fail", kind[i]);
	}
}

static void any_call_of_a_shard_may_fail(void **state)
{
	(void)state;
	check_faults(1, 2);
	check_faults(5, 3);
	check_faults(6, 5);
}

static void failed_write_leaves_a_redundant_stripe(void **state)
{
	struct vol v = vol_make(5, 4);
	struct stripe_loc loc;

	(void)state;
	crash_fault(v.disk, 2, CRASH_WRITE, 0, 1, -EIO);
	assert_int_equal(put(v.r, 1, MIB, &loc), 0);
	assert_int_equal(atomic_load(&v.r->online), 0xb);
	assert_int_equal(loc.k, 2);
	assert_int_equal(loc.m, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_not_equal(loc.chunk[i].shard, 2);
	/* The attempt's chunks on the other shards were given back. */
	assert_int_equal(segments_used(v.r->shard[0].segments),
			 (uint64_t)layout_blocks(MIB, 2) * BLOCK_LEN);
	vol_free(&v);
}

static void failed_sync_votes_the_shard_out(void **state)
{
	struct vol v = vol_make(5, 4);
	struct stripe_loc loc;
	uint64_t syncs;

	(void)state;
	assert_int_equal(put(v.r, 1, MIB, &loc), 0);
	crash_fault(v.disk, 3, CRASH_SYNC, 0, 1, -EIO);
	assert_int_equal(raid_sync(v.r), 0);
	assert_int_equal(atomic_load(&v.r->online), 0x7);
	syncs = crash_calls(v.disk, 3, CRASH_SYNC);
	assert_int_equal(raid_sync(v.r), 0);
	assert_int_equal(crash_calls(v.disk, 3, CRASH_SYNC), syncs);
	assert_int_equal(get_is_right(v.r, 1, &loc), 0);
	vol_free(&v);
}

static void sync_has_nothing_to_do_twice(void **state)
{
	struct vol v = vol_make(5, 3);
	struct stripe_loc loc;
	uint64_t steps;

	(void)state;
	assert_int_equal(put(v.r, 1, MIB, &loc), 0);
	assert_int_equal(raid_sync(v.r), 0);
	steps = crash_steps(v.disk);
	assert_int_equal(raid_sync(v.r), 0);
	assert_int_equal(crash_steps(v.disk), steps);
	vol_free(&v);
}

static void synced_stripes_survive_power_loss(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct vol v = vol_make(5, 3);
		struct raid_geometry geo = geometry(5, 3);
		struct stripe_loc loc[6];

		for (unsigned i = 0; i < 6; i++) {
			assert_int_equal(
				put(v.r, i, odd_len[(seed + i) % ARRAY_LEN(odd_len)], &loc[i]), 0);
			if (i == 1 || i == 3)
				assert_int_equal(raid_sync(v.r), 0);
		}
		crash_power_on(v.disk, seed);
		raid_unmake(v.r);
		v.r = raid_make(crash_ops(v.disk), crash_path, &geo, false);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(get_is_right(v.r, i, &loc[i]), 0);
		/* The others: right or refused. */
		for (unsigned i = 4; i < 6; i++) {
			int err = get_is_right(v.r, i, &loc[i]);

			assert_true(err == 0 || err == -EIO);
		}
		vol_free(&v);
	}
}

/* ---- full shards ---- */

static void full_shard_narrows_the_stripe(void **state)
{
	struct vol v = vol_make(5, 4);
	struct stripe_loc loc;
	unsigned narrow = 0;

	(void)state;
	raid_unmake(v.r);
	crash_capacity(v.disk, 1, 12 * MIB);
	struct raid_geometry geo = geometry(5, 4);

	v.r = raid_make(crash_ops(v.disk), crash_path, &geo, false);
	for (unsigned i = 0; i < 60; i++) {
		assert_int_equal(put(v.r, i, MIB, &loc), 0);
		assert_int_equal(loc.m, 1);
		narrow += loc.k == 2;
		assert_int_equal(get_is_right(v.r, i, &loc), 0);
	}
	/* 12 MiB take 35 chunks of a third. */
	assert_in_range(narrow, 24, 30);
	assert_int_equal(atomic_load(&v.r->online), 0xf);
	vol_free(&v);
}

static void surprising_enospc_narrows_the_stripe(void **state)
{
	struct vol v = vol_make(5, 4);
	struct stripe_loc loc;

	(void)state;
	crash_fault(v.disk, 2, CRASH_WRITE, 1, CRASH_FOREVER, -ENOSPC);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(put(v.r, i, MIB, &loc), 0);
		assert_int_equal(loc.k, i == 0 ? 3 : 2);
		assert_int_equal(get_is_right(v.r, i, &loc), 0);
	}
	assert_int_equal(atomic_load(&v.r->online), 0xf);
	/* Fewer than 1 + m with room is the end, not a reason for less parity. */
	crash_fault(v.disk, 1, CRASH_WRITE, 0, CRASH_FOREVER, -ENOSPC);
	crash_fault(v.disk, 0, CRASH_WRITE, 0, CRASH_FOREVER, -ENOSPC);
	assert_int_equal(put(v.r, 10, MIB, &loc), -ENOSPC);
	assert_int_equal(atomic_load(&v.r->online), 0xf);
	vol_free(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stripes_come_back_by_blocking_calls),
		cmocka_unit_test(stripes_come_back_by_io_uring),
		cmocka_unit_test(many_pieces_make_one_stripe),
		cmocka_unit_test(wrong_owner_is_refused),
		cmocka_unit_test(every_loss_the_level_bears_is_borne),
		cmocka_unit_test(one_loss_too_many_is_an_error),
		cmocka_unit_test(copies_are_read_from_all_shards),
		cmocka_unit_test(wrong_chunks_are_repaired_on_disk),
		cmocka_unit_test(damage_past_parity_is_never_returned),
		cmocka_unit_test(wrong_parity_is_found_by_verify),
		cmocka_unit_test(unreadable_chunk_is_rewritten),
		cmocka_unit_test(deleted_segment_is_made_anew),
		cmocka_unit_test(readonly_volume_is_not_repaired),
		cmocka_unit_test(any_call_of_a_shard_may_fail),
		cmocka_unit_test(failed_write_leaves_a_redundant_stripe),
		cmocka_unit_test(failed_sync_votes_the_shard_out),
		cmocka_unit_test(sync_has_nothing_to_do_twice),
		cmocka_unit_test(synced_stripes_survive_power_loss),
		cmocka_unit_test(full_shard_narrows_the_stripe),
		cmocka_unit_test(surprising_enospc_narrows_the_stripe),
	};

	/* Every test here makes shards fail; one line each would bury the results. */
	log_set_level(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
