/* The cache: many readers of one extent read it once, who wants little has little decoded, what is pinned stays, the
 * rest goes in turn, errors are not kept. */
#include "tests/fs/fs_make.h"

#include <pthread.h>

#include "conf/bytes.h"
#include "conf/log.h"
#include "fs/cache.h"
#include "fs/commit.h"
#include "fs/file.h"
#include "fs/name.h"

#define NR_NUMBERS 48 /* extents of 1 MiB that are encoded in tiles; more than the cache holds */
#define RAW	   NR_NUMBERS	    /* one that does not shrink, */
#define FILL	   (NR_NUMBERS + 1) /* one of equal bytes */
#define NR	   (NR_NUMBERS + 2)
#define TILE	   CODEC_TILE_LEN
#define NR_TILES   (MIB / TILE)
#define WRONG	   5	/* tile of the wrong extent */
#define HEAD	   4096 /* bytes that an extent's head takes of the arena */

static struct fs_make make;
static struct extent extent[NR];
static struct extent wrong; /* as extent 7, but for a byte of one stored tile */

/* Items of 32 bits: 12 of noise, 4 of nothing, the extent's number. */
static uint8_t byte_of(unsigned i, uint32_t off)
{
	uint64_t h = (off / 4 + 1 + (uint64_t)i * MIB) * 0x9E3779B97F4A7C15ULL;
	uint32_t item = (uint32_t)((h ^ h >> 29) * 0xBF58476D1CE4E5B9ULL >> 52) | i << 16;

	if (i == RAW)
		item = (uint32_t)((h ^ h >> 29) * 0xBF58476D1CE4E5B9ULL >> 20);
	if (i == FILL)
		item = 0x5A5A5A5A;
	return (uint8_t)(item >> off % 4 * 8);
}

/* The file system does not know this stripe, so it is there until the next mount. */
static void write_wrong(void)
{
	AUTO_FREE uint8_t *enc = malloc(extent[7].loc.len);
	struct codec_info info;
	size_t at;

	assert_non_null(enc);
	assert_int_equal(raid_read(make.fs->raid, &extent[7].owner, &extent[7].loc, enc), 0);
	assert_int_equal(codec_inspect(enc, extent[7].loc.len, &info), 0);
	assert_int_equal(info.kind, CODEC_KIND_ZSTD);
	assert_int_equal(info.nr_tiles, NR_TILES);
	assert_int_equal(info.phase, 0);
	at = info.head_len;
	for (unsigned i = 0; i < WRONG; i++)
		at += get_u32(enc + CODEC_HEAD_LEN + 8 + (size_t)8 * i);
	enc[at + 5000] ^= 0x10;
	wrong = extent[7];
	wrong.gen = wrong.owner.gen = atomic_fetch_add(&make.fs->next_gen, 1);
	assert_int_equal(raid_write(make.fs->raid, &wrong.owner,
				    &(struct iovec){enc, extent[7].loc.len}, 1, &wrong.loc),
			 0);
}

static int setup(void **state)
{
	struct name_new nn = {.mode = S_IFREG | 0600};
	static uint8_t bytes[MIB];
	struct index_txn *t;
	struct inode *in;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	fs_make_init(&make, 1);
	assert_int_equal(name_make(make.fs, 1, (struct name){"f", 1}, &nn, &in), 0);
	for (unsigned i = 0; i < NR; i++) {
		for (uint32_t off = 0; off < MIB; off++)
			bytes[off] = byte_of(i, off);
		assert_int_equal(
			file_write(in, i * MIB, &(struct iovec){bytes, sizeof(bytes)}, 1, false),
			0);
	}
	assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
	assert_int_equal(index_read(make.fs->index, &t), 0);
	for (unsigned i = 0; i < NR; i++) {
		struct map_entry m;

		assert_int_equal(extent_find(t, in->ino, i * MIB, &m), 0);
		assert_int_equal(extent_load(t, m.gen, &extent[i]), 0);
		assert_int_equal(extent[i].owner.raw_len, MIB);
	}
	index_read_end(t);
	inode_put(in);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fs_make_fini(&make);
	return 0;
}

/* With an empty cache. */
static int mount_again(void **state)
{
	(void)state;
	fs_make_again(&make);
	return 0;
}

static uint64_t next(uint64_t *s)
{
	*s = *s * 6364136223846793005ULL + 1442695040888963407ULL;
	return *s >> 33;
}

static struct cache_stat stat_now(void)
{
	struct cache_stat s;

	cache_stat_get(make.fs->cache, &s);
	return s;
}

static uint64_t shard_reads(void)
{
	struct shard_stat st;

	raid_shard_stat(make.fs->raid, 0, &st);
	return st.nr_reads;
}

static uint64_t shard_bytes(void)
{
	struct shard_stat st;

	raid_shard_stat(make.fs->raid, 0, &st);
	return st.read_bytes;
}

static int get_all(const struct extent *x, bool memory_only, struct cache_entry **e)
{
	return cache_get(make.fs, x, 0, MIB, memory_only, e);
}

static uint8_t byte_in(const struct cache_entry *e, uint32_t off)
{
	uint32_t len;
	const uint8_t *p = cache_bytes(e, off, &len);

	assert_true(len > 0);
	return *p;
}

/* Read [from, to) as a file would, and compare: 0, or the first error. */
static int read_range(const struct extent *x, unsigned i, uint32_t from, uint32_t to,
		      bool memory_only, bool spent)
{
	while (from < to) {
		struct cache_entry *e;
		const uint8_t *p;
		uint32_t len, step;
		int err = cache_get(make.fs, x, from, to, memory_only, &e);

		if (err)
			return err;
		p = cache_bytes(e, from, &len);
		len = MIN(len, to - from);
		/* Both ends, and some between. */
		step = MAX(len / 64, 1U) | 1;
		for (uint32_t at = 0; at < len && !err; at += step)
			err = p[at] == byte_of(i, from + at) ? 0 : -ERANGE;
		if (p[len - 1] != byte_of(i, from + len - 1))
			err = -ERANGE;
		if (spent)
			cache_put_spent(make.fs->cache, e);
		else
			cache_put_used(make.fs->cache, e, from, from + len);
		if (err)
			return err;
		from += len;
	}
	return 0;
}

/* Read all of @i as the program that wants it does. */
static void use_all(unsigned i)
{
	struct cache_entry *e;

	assert_int_equal(get_all(&extent[i], false, &e), 0);
	cache_put_used(make.fs->cache, e, 0, MIB);
}

static int read_one(unsigned i, uint32_t from, uint32_t to)
{
	return read_range(&extent[i], i, from, to, false, false);
}

static void same_extent_is_read_once(void **state)
{
	struct cache_entry *e[20];
	struct cache_stat a, b;

	(void)state;
	a = stat_now();
	assert_int_equal(get_all(&extent[0], true, &e[0]), -EAGAIN);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(get_all(&extent[0], false, &e[i]), 0);
		assert_ptr_equal(e[i], e[0]);
		assert_int_equal(byte_in(e[i], 777), byte_of(0, 777));
	}
	b = stat_now();
	assert_int_equal(b.nr_misses - a.nr_misses, 1);
	assert_int_equal(b.nr_hits - a.nr_hits, 19);
	assert_int_equal(b.nr_tiles - a.nr_tiles, NR_TILES);
	assert_int_equal(b.decoded_bytes - a.decoded_bytes, MIB);
	for (unsigned i = 0; i < 20; i++)
		cache_put(make.fs->cache, e[i]);
	assert_int_equal(get_all(&extent[0], true, &e[0]), 0);
	cache_put(make.fs->cache, e[0]);
}

static void a_small_read_decodes_a_tile(void **state)
{
	struct cache_stat a = stat_now(), b;

	(void)state;
	assert_int_equal(read_range(&extent[1], 1, 3 * TILE + 4096, 3 * TILE + 8192, true, false),
			 -EAGAIN);
	assert_int_equal(read_one(1, 3 * TILE + 4096, 3 * TILE + 8192), 0);
	b = stat_now();
	assert_int_equal(b.nr_tiles - a.nr_tiles, 1);
	assert_int_equal(b.decoded_bytes - a.decoded_bytes, TILE);
	assert_int_equal(b.nr_misses - a.nr_misses, 1);
	/* The tile, and the head by which others are found. */
	assert_int_equal(b.used - a.used, TILE + HEAD);
	assert_int_equal(b.nr_entries - a.nr_entries, 2);
	/* All of the tile is there for those who must not decode, but not the next byte. */
	assert_int_equal(read_range(&extent[1], 1, 3 * TILE, 4 * TILE, true, false), 0);
	assert_int_equal(read_range(&extent[1], 1, 4 * TILE - 1, 4 * TILE + 1, true, false),
			 -EAGAIN);
	assert_int_equal(stat_now().nr_tiles, b.nr_tiles);
	/* Across an edge: two, of which one is here. */
	assert_int_equal(read_one(1, 4 * TILE - 2048, 4 * TILE + 2048), 0);
	assert_int_equal(stat_now().nr_tiles - b.nr_tiles, 1);
	assert_int_equal(read_one(1, 6 * TILE - 1, 6 * TILE + 1), 0);
	assert_int_equal(stat_now().nr_tiles - b.nr_tiles, 3);
}

/* Tiles come one by one, each read once; what others are decoded from is not kept. */
static void tiles_are_read_by_themselves(void **state)
{
	struct cache_stat a = stat_now(), b;
	uint64_t before = shard_bytes(), one;

	(void)state;
	for (uint32_t i = 0; i < NR_TILES; i++) {
		one = shard_bytes();
		assert_int_equal(read_one(2, i * TILE + 100, i * TILE + 200), 0);
		assert_true(shard_bytes() - one <= extent[2].loc.len / NR_TILES * 5 / 4 + 3 * HEAD);
	}
	b = stat_now();
	assert_int_equal(b.nr_tiles - a.nr_tiles, NR_TILES);
	assert_int_equal(b.nr_entries - a.nr_entries, NR_TILES + 1);
	assert_int_equal(b.used - a.used, MIB + HEAD);
	assert_true(shard_bytes() - before <= extent[2].loc.len + NR_TILES * 3 * HEAD);
	assert_int_equal(read_range(&extent[2], 2, 0, MIB, true, false), 0);
}

static void all_of_it_takes_the_place_of_its_tiles(void **state)
{
	struct cache_stat a = stat_now(), b;
	struct cache_entry *e;

	(void)state;
	assert_int_equal(read_one(3, 2 * TILE, 2 * TILE + 1), 0);
	assert_int_equal(read_one(3, 7 * TILE, 7 * TILE + 1), 0);
	/* A tile that is here does for what begins in it; the rest is most of the extent. */
	assert_int_equal(read_one(3, 2 * TILE, MIB), 0);
	b = stat_now();
	assert_int_equal(b.nr_tiles - a.nr_tiles, 2 + NR_TILES);
	assert_int_equal(b.nr_entries - a.nr_entries, 1);
	assert_int_equal(b.used - a.used, MIB);
	assert_int_equal(get_all(&extent[3], true, &e), 0);
	cache_put(make.fs->cache, e);
}

static void raw_bytes_come_in_tiles(void **state)
{
	struct cache_stat a = stat_now(), b;
	uint64_t before = shard_bytes();

	(void)state;
	assert_true(extent[RAW].loc.len > MIB);
	assert_int_equal(read_one(RAW, 3 * TILE + 1234, 3 * TILE + 1236), 0);
	b = stat_now();
	assert_int_equal(b.nr_entries - a.nr_entries, 2);
	assert_int_equal(b.used - a.used, TILE + HEAD);
	assert_true(shard_bytes() - before <= TILE + 3 * HEAD);
	assert_int_equal(read_range(&extent[RAW], RAW, 3 * TILE, 4 * TILE, true, false), 0);
	assert_int_equal(read_one(RAW, 4 * TILE - 10, 5 * TILE + 10), 0);
	assert_int_equal(read_one(RAW, MIB - 1, MIB), 0);
	assert_int_equal(stat_now().used - a.used, 4 * TILE + HEAD);
	assert_int_equal(read_one(RAW, 0, MIB), 0);
	assert_int_equal(stat_now().nr_entries - a.nr_entries, 1);
}

static void few_stored_bytes_are_read_whole(void **state)
{
	struct cache_stat a = stat_now();

	(void)state;
	assert_int_equal(read_one(FILL, 1234, 1236), 0);
	assert_int_equal(read_range(&extent[FILL], FILL, 0, MIB, true, false), 0);
	assert_int_equal(stat_now().nr_entries - a.nr_entries, 1);
	assert_int_equal(stat_now().used - a.used, MIB);
}

/* More pinned than there is room for: readers still get their bytes, beyond the arena. */
static void pinned_entries_stay(void **state)
{
	struct cache_entry *e[2 * NR_NUMBERS];
	struct cache_stat s;

	(void)state;
	for (unsigned i = 0; i < NR_NUMBERS; i++)
		assert_int_equal(get_all(&extent[i], false, &e[i]), 0);
	/* Tiles beyond the arena, too, and what they are decoded from. */
	for (unsigned i = 0; i < NR_NUMBERS; i++) {
		assert_int_equal(
			cache_get(make.fs, &extent[i], TILE, TILE + 1, false, &e[NR_NUMBERS + i]),
			0);
	}
	for (unsigned i = 0; i < 2 * NR_NUMBERS; i++) {
		assert_int_equal(byte_in(e[i], TILE + 2), byte_of(i % NR_NUMBERS, TILE + 2));
		assert_int_equal(byte_in(e[i], 2 * TILE - 1),
				 byte_of(i % NR_NUMBERS, 2 * TILE - 1));
	}
	for (unsigned i = 0; i < 2 * NR_NUMBERS; i++)
		cache_put(make.fs->cache, e[i]);
	s = stat_now();
	assert_true(s.used <= s.len);
	assert_true(s.nr_entries * MIB <= s.len);
}

static void tiles_are_pinned_beyond_the_arena(void **state)
{
	struct cache_entry *all[NR_NUMBERS], *e;
	struct cache_stat a;

	(void)state;
	for (unsigned i = 1; i < NR_NUMBERS; i++)
		assert_int_equal(get_all(&extent[i], false, &all[i]), 0);
	a = stat_now();
	assert_int_equal(a.used, a.len);
	assert_int_equal(cache_get(make.fs, &extent[0], TILE, TILE + 1, false, &e), 0);
	assert_int_equal(byte_in(e, TILE), byte_of(0, TILE));
	cache_put(make.fs->cache, e);
	assert_false(cache_has(make.fs->cache, extent[0].gen));
	for (unsigned i = 1; i < NR_NUMBERS; i++)
		cache_put(make.fs->cache, all[i]);
}

static void oldest_goes_first(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR_NUMBERS; i++) {
		use_all(i);
		/* Kept young. */
		use_all(0);
	}
	assert_true(cache_has(make.fs->cache, extent[0].gen));
	assert_true(cache_has(make.fs->cache, extent[NR_NUMBERS - 1].gen));
	assert_false(cache_has(make.fs->cache, extent[1].gen));
}

/* 12 of the cache's 32 are hot; passes go over the 36 others. */
static void a_pass_leaves_the_hot_set(void **state)
{
	struct cache_stat a, b;

	(void)state;
	for (unsigned i = 0; i < 24; i++)
		use_all(i % 12);
	for (unsigned n = 0; n < 3; n++) {
		for (unsigned i = 12; i < NR_NUMBERS; i++) {
			/* In steps, as requests come: whole, by a stream, and for a reader to come. */
			for (uint32_t at = 0; at < MIB; at += 2 * TILE) {
				struct cache_entry *e;

				assert_int_equal(cache_get(make.fs, &extent[i], at, MIB, false, &e),
						 0);
				if (n == 0)
					cache_put_used(make.fs->cache, e, at, at + 2 * TILE);
				else if (n == 1)
					cache_put_spent(make.fs->cache, e);
				else
					cache_put_ahead(make.fs->cache, e);
			}
		}
		a = stat_now();
		for (unsigned i = 0; i < 12; i++)
			use_all(i);
		b = stat_now();
		assert_int_equal(b.nr_hits - a.nr_hits, 12);
	}
	assert_true(b.main_nr >= 12);
	/* Nor does a stream over the hot ones themselves. */
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(read_range(&extent[i], i, 0, MIB, true, true), 0);
	for (unsigned i = 0; i < 12; i++)
		assert_true(cache_has(make.fs->cache, extent[i].gen));
}

/* Tiles that are wanted again and again; then all of the extent takes their place, and stays as they would. */
static void all_of_it_is_wanted_as_its_tiles_were(void **state)
{
	struct cache_entry *e;

	(void)state;
	for (unsigned n = 0; n < 2; n++) {
		assert_int_equal(cache_get(make.fs, &extent[0], 0, 10, false, &e), 0);
		cache_put_used(make.fs->cache, e, 0, 10);
	}
	assert_int_equal(read_range(&extent[0], 0, TILE, MIB, false, true), 0);
	for (unsigned i = 1; i < NR_NUMBERS; i++)
		assert_int_equal(read_range(&extent[i], i, 0, MIB, false, false), 0);
	assert_true(cache_has(make.fs->cache, extent[0].gen));
}

/* Heads count, and go as the rest does; a tile outlives them when it is wanted more. */
static void heads_are_within_the_budget(void **state)
{
	struct cache_stat a = stat_now(), b;

	(void)state;
	for (unsigned i = 0; i < NR_NUMBERS; i++) {
		for (unsigned t = 0; t < 7; t++)
			assert_int_equal(read_one(i, t * TILE, t * TILE + 4096), 0);
		assert_int_equal(read_range(&extent[0], 0, 0, 4096, true, false), 0);
		b = stat_now();
		assert_true(b.used <= b.len);
	}
	assert_int_equal(b.nr_tiles - a.nr_tiles, 7 * NR_NUMBERS);
	assert_true(b.nr_evicted > a.nr_evicted);
	assert_int_equal(read_range(&extent[0], 0, 5 * TILE, 5 * TILE + 1, true, false), -EAGAIN);
	assert_int_equal(read_range(&extent[1], 1, 0, 1, true, false), -EAGAIN);
	/* The first extent's head is read once more. */
	assert_int_equal(read_one(0, 0, 3 * TILE), 0);
	assert_int_equal(stat_now().nr_tiles - b.nr_tiles, 2);
}

/* Tiles of 30 MiB fit in 32 MiB with their heads, and then they are all here. */
static void heads_leave_room_for_tiles(void **state)
{
	struct cache_stat a, b;
	uint64_t s = 7;

	(void)state;
	for (unsigned n = 0; n < 4000; n++) {
		uint32_t off = (uint32_t)(next(&s) % MIB);

		if (n == 3000)
			a = stat_now();
		assert_int_equal(read_one((unsigned)(next(&s) % 30), off, off + 1), 0);
	}
	b = stat_now();
	assert_int_equal(b.nr_misses, a.nr_misses);
	assert_int_equal(b.nr_hits - a.nr_hits, 1000);
}

static void spent_tiles_go_soon(void **state)
{
	struct cache_stat a = stat_now(), b;

	(void)state;
	for (uint32_t i = 0; i < NR_TILES; i++)
		assert_int_equal(read_range(&extent[4], 4, i * TILE, (i + 1) * TILE, false, true),
				 0);
	b = stat_now();
	assert_int_equal(b.nr_entries - a.nr_entries, 3);
	assert_int_equal(b.used - a.used, 2 * TILE + HEAD);
}

static void error_is_not_kept(void **state)
{
	struct extent other = extent[3];

	(void)state;
	other.gen = other.owner.gen = 99999999;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(read_range(&other, 3, 0, MIB, false, false), -EIO);
		assert_false(cache_has(make.fs->cache, other.gen));
		assert_int_equal(read_range(&other, 3, 10, 20, false, false), -EIO);
		assert_false(cache_has(make.fs->cache, other.gen));
	}
	assert_int_equal(read_one(3, 0, MIB), 0);
}

static void wrong_tile_fails_alone(void **state)
{
	struct cache_stat s;

	(void)state;
	write_wrong();
	assert_int_equal(read_range(&wrong, 7, 0, WRONG * TILE, false, false), 0);
	for (unsigned n = 0; n < 2; n++) {
		assert_int_equal(
			read_range(&wrong, 7, WRONG * TILE + 7, WRONG * TILE + 8, false, false),
			-EIO);
		assert_int_equal(
			read_range(&wrong, 7, WRONG * TILE - 1, WRONG * TILE + 1, false, false),
			-EIO);
		assert_int_equal(read_range(&wrong, 7, (WRONG + 1) * TILE, MIB, false, false), 0);
		/* Most of it, from its beginning. */
		assert_int_equal(read_range(&wrong, 7, 0, MIB, false, false), -EIO);
		assert_int_equal(read_range(&wrong, 7, 0, WRONG * TILE, true, false), 0);
	}
	s = stat_now();
	assert_true(s.used <= s.len);
}

/* ---- threads ---- */

struct same {
	pthread_barrier_t *barrier;
	unsigned i, tile;
	int err;
};

static void *same_reader(void *arg)
{
	struct same *s = arg;

	pthread_barrier_wait(s->barrier);
	s->err = read_one(s->i, s->tile * TILE + 17, s->tile * TILE + 4113);
	return NULL;
}

/* 16 readers of 8 tiles of one extent, at the same moment. */
static void each_tile_is_decoded_once(void **state)
{
	pthread_barrier_t barrier;
	pthread_t thread[16];
	struct same same[16];

	(void)state;
	pthread_barrier_init(&barrier, NULL, 16);
	for (unsigned i = 10; i < 30; i++) {
		struct cache_stat a = stat_now(), b;

		for (unsigned k = 0; k < 16; k++) {
			same[k] = (struct same){.barrier = &barrier, .i = i, .tile = k / 2};
			assert_int_equal(pthread_create(&thread[k], NULL, same_reader, &same[k]),
					 0);
		}
		for (unsigned k = 0; k < 16; k++) {
			pthread_join(thread[k], NULL);
			assert_int_equal(same[k].err, 0);
		}
		b = stat_now();
		assert_int_equal(b.nr_tiles - a.nr_tiles, NR_TILES);
		assert_int_equal(b.decoded_bytes - a.decoded_bytes, MIB);
	}
	pthread_barrier_destroy(&barrier);
}

struct span_reader {
	pthread_barrier_t *barrier;
	unsigned i;
	uint32_t from;
	uint8_t bad;
};

static void *span_reader(void *arg)
{
	struct span_reader *s = arg;

	pthread_barrier_wait(s->barrier);
	s->bad = read_one(s->i, s->from, MIB) != 0;
	return NULL;
}

/* Who wants all reads all once; who comes first for a tile has at most that and the head read besides. */
static void all_and_a_tile_are_read_once(void **state)
{
	uint64_t once = shard_reads();
	pthread_barrier_t barrier;

	(void)state;
	assert_int_equal(read_one(0, 0, MIB), 0);
	once = shard_reads() - once;
	assert_true(once > 0);
	pthread_barrier_init(&barrier, NULL, 2);
	for (unsigned i = 1; i < NR_NUMBERS; i++) {
		struct span_reader s[2] = {{&barrier, i, 0, 0}, {&barrier, i, MIB - 4096, 0}};
		uint64_t before = shard_reads();
		pthread_t thread[2];

		for (unsigned k = 0; k < 2; k++)
			assert_int_equal(pthread_create(&thread[k], NULL, span_reader, &s[k]), 0);
		for (unsigned k = 0; k < 2; k++)
			pthread_join(thread[k], NULL);
		assert_int_equal(s[0].bad + s[1].bad, 0);
		assert_true(shard_reads() - before <= once + 2);
	}
	pthread_barrier_destroy(&barrier);
}

static void *reader(void *arg)
{
	uint64_t s = (uint64_t)(intptr_t)arg;

	for (unsigned n = 0; n < 2000; n++) {
		/* Half of them meet in a few extents. */
		unsigned i = (unsigned)(next(&s) % (n % 2 ? 3 : NR));
		uint32_t len = n % 11 ? 4096 : (uint32_t)(next(&s) % MIB) + 1;
		uint32_t from = (uint32_t)(next(&s) % (MIB - len + 1));
		bool memory_only = n % 5 == 0;
		int err = read_range(&extent[i], i, from, from + len, memory_only, n % 3 == 0);

		if (err && !(memory_only && err == -EAGAIN))
			return arg;
		if (n % 50)
			continue;
		err = read_range(&wrong, 7, from, from + len, false, false);
		if (err && err != -EIO)
			return arg;
		if (!err != (from >= (WRONG + 1) * TILE || from + len <= WRONG * TILE))
			return arg;
	}
	return NULL;
}

static void readers_get_what_they_ask_for(void **state)
{
	pthread_t thread[6];
	struct cache_stat s;

	(void)state;
	write_wrong();
	/* What is wrong is said often here. */
	log_set_level(0);
	for (intptr_t i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, reader, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < 6; i++) {
		void *failed;

		pthread_join(thread[i], &failed);
		assert_null(failed);
	}
	log_set_level(LOG_LEVEL_ERROR);
	s = stat_now();
	assert_true(s.used <= s.len);
}

#define TEST(f) cmocka_unit_test_setup(f, mount_again)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(same_extent_is_read_once),
		TEST(a_small_read_decodes_a_tile),
		TEST(tiles_are_read_by_themselves),
		TEST(all_of_it_takes_the_place_of_its_tiles),
		TEST(raw_bytes_come_in_tiles),
		TEST(few_stored_bytes_are_read_whole),
		TEST(pinned_entries_stay),
		TEST(tiles_are_pinned_beyond_the_arena),
		TEST(oldest_goes_first),
		TEST(a_pass_leaves_the_hot_set),
		TEST(all_of_it_is_wanted_as_its_tiles_were),
		TEST(heads_are_within_the_budget),
		TEST(heads_leave_room_for_tiles),
		TEST(spent_tiles_go_soon),
		TEST(error_is_not_kept),
		TEST(wrong_tile_fails_alone),
		TEST(each_tile_is_decoded_once),
		TEST(all_and_a_tile_are_read_once),
		TEST(readers_get_what_they_ask_for),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
