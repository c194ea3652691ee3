/* Tiles that are read by themselves, on shards that give wrong bytes or are not there: the answer is right, and what is
 * wrong on disk is mended. */
#include "tests/fs/fs_make.h"

#include <fcntl.h>

#include "conf/bytes.h"
#include "conf/log.h"
#include "fs/cache.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/file.h"
#include "fs/name.h"
#include "raid/chunk.h"
#include "raid/layout.h"

#define TILE	 CODEC_TILE_LEN
#define NR_TILES (MIB / TILE)
enum {
	NUMBERS, /* an extent that is encoded in tiles */
	RAW,	 /* one that does not shrink */
	NR,
};

static struct fs_make make;
static struct extent extent[NR];
static struct inode *in;

static uint8_t byte_at(unsigned i, uint32_t off)
{
	uint64_t h = (off / 4 + 1) * 0x9E3779B97F4A7C15ULL;

	h = (h ^ h >> 29) * 0xBF58476D1CE4E5B9ULL;
	return (uint8_t)((i == RAW ? h >> 20 : h >> 52) >> off % 4 * 8);
}

static int setup(void **state)
{
	struct name_new nn = {.mode = S_IFREG | 0600};
	static uint8_t bytes[MIB];
	struct index_txn *t;

	(void)state;
	log_set_level(0);
	fs_make_init(&make, 3);
	assert_int_equal(name_make(make.fs, 1, (struct name){"f", 1}, &nn, &in), 0);
	for (unsigned i = 0; i < NR; i++) {
		for (uint32_t off = 0; off < MIB; off++)
			bytes[off] = byte_at(i, off);
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
		assert_int_equal(extent[i].loc.k, 2);
		assert_int_equal(extent[i].loc.m, 1);
	}
	index_read_end(t);
	inode_put(in);
	assert_true(extent[NUMBERS].loc.len < MIB / 2);
	assert_true(extent[RAW].loc.len > MIB);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fs_make_fini(&make);
	return 0;
}

static int mount_again(void **state)
{
	(void)state;
	fs_make_again(&make);
	return 0;
}

/* Bytes of the volume's shard @s. */
static int shard_fd(unsigned s, uint32_t segment)
{
	struct shard_stat st;
	char path[400];

	raid_shard_stat(make.fs->raid, s, &st);
	snprintf(path, sizeof(path), "%s/seg/%08x", st.path, segment);
	return open(path, O_RDWR | O_CLOEXEC);
}

static uint8_t disk_byte(const struct extent *x, unsigned chunk, uint32_t off, uint8_t flip)
{
	const struct chunk_loc *c = &x->loc.chunk[chunk];
	AUTO_FD int fd = shard_fd(c->shard, c->segment);
	off_t at = (off_t)(c->block * BLOCK_LEN + off);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= flip;
	if (flip)
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	return byte;
}

/* Where the stripe's byte @off stands. */
static void locate(const struct extent *x, uint32_t off, unsigned *chunk, uint32_t *at)
{
	uint32_t payload_len = layout_payload_len(x->loc.len, x->loc.k);

	*chunk = off / payload_len;
	*at = CHUNK_HEAD_LEN + off % payload_len;
}

static uint64_t sum_shards(uint64_t (*field)(const struct shard_stat *st))
{
	uint64_t n = 0;

	for (unsigned i = 0; i < make.nr_shards; i++) {
		struct shard_stat st;

		raid_shard_stat(make.fs->raid, i, &st);
		n += field(&st);
	}
	return n;
}

static uint64_t wrong_of(const struct shard_stat *st)
{
	return st->nr_wrong;
}

static uint64_t repaired_of(const struct shard_stat *st)
{
	return st->nr_repaired;
}

static uint64_t bytes_of(const struct shard_stat *st)
{
	return st->read_bytes;
}

static int read_some(unsigned i, uint32_t from, uint32_t len)
{
	uint32_t to = from + len;

	while (from < to) {
		struct cache_entry *e;
		const uint8_t *p;
		uint32_t have;
		int err = cache_get(make.fs, &extent[i], from, to, false, &e);

		if (err)
			return err;
		p = cache_bytes(e, from, &have);
		have = MIN(have, to - from);
		for (uint32_t k = 0; k < have && !err; k++)
			err = p[k] == byte_at(i, from + k) ? 0 : -ERANGE;
		cache_put(make.fs->cache, e);
		if (err)
			return err;
		from += have;
	}
	return 0;
}

/* What stands at @at of @chunk is wrong: a read of tile @tile is right, and finds and mends it. */
static void check_wrong(unsigned i, unsigned chunk, uint32_t at, unsigned tile)
{
	uint8_t good = disk_byte(&extent[i], chunk, at, 0);
	uint64_t wrong, repaired;

	fs_make_again(&make);
	wrong = sum_shards(wrong_of);
	repaired = sum_shards(repaired_of);
	disk_byte(&extent[i], chunk, at, 0x20);
	assert_int_equal(read_some(i, tile * TILE + 5000, 4096), 0);
	assert_int_equal(sum_shards(wrong_of) - wrong, 1);
	assert_int_equal(sum_shards(repaired_of) - repaired, 1);
	assert_int_equal(disk_byte(&extent[i], chunk, at, 0), good);
}

static void wrong_bytes_are_noticed_and_mended(void **state)
{
	static const uint32_t head_at[] = {0, 9, 17, 45, 60, 70, 127};

	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		uint8_t head[CODEC_HEAD_MAX];
		struct stripe_part part = {0, sizeof(head), head};
		struct codec_info info;
		struct codec_tile t;

		assert_int_equal(
			raid_read_part(make.fs->raid, &extent[i].owner, &extent[i].loc, &part, 1),
			0);
		/* The chunk's head before the container's, for any tile. */
		for (unsigned n = 0; n < ARRAY_LEN(head_at); n++)
			check_wrong(i, 0, head_at[n], n % NR_TILES);
		/* The container's head and its table. */
		assert_int_equal(codec_tile_find(head, sizeof(head), 0, &info, &t), 0);
		for (uint32_t off = 0; off < info.head_len; off += 7)
			check_wrong(i, 0, CHUNK_HEAD_LEN + off, off % NR_TILES);
		/* Each tile's bytes: the first, one amid, the last. */
		for (unsigned tile = 0; tile < NR_TILES; tile++) {
			uint32_t off[3], at;
			unsigned chunk;

			assert_int_equal(
				codec_tile_find(head, sizeof(head), tile * TILE + 99, &info, &t),
				0);
			assert_int_equal(t.idx, tile);
			off[0] = t.off;
			off[1] = t.off + t.len / 2;
			off[2] = t.off + t.len - 1;
			for (unsigned n = 0; n < 3; n++) {
				locate(&extent[i], off[n], &chunk, &at);
				check_wrong(i, chunk, at, tile);
			}
		}
	}
}

/* A hole where a chunk was, and a file that ends before it. */
static void missing_bytes_are_mended(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		for (unsigned chunk = 0; chunk < 2; chunk++) {
			const struct chunk_loc *c = &extent[i].loc.chunk[chunk];
			uint8_t good = disk_byte(&extent[i], chunk, 300, 0);
			AUTO_FD int fd = shard_fd(c->shard, c->segment);

			fs_make_again(&make);
			assert_int_equal(ftruncate(fd, (off_t)(c->block * BLOCK_LEN + 100)), 0);
			for (unsigned tile = 0; tile < NR_TILES; tile++)
				assert_int_equal(read_some(i, tile * TILE + 17, 4096), 0);
			assert_true(sum_shards(repaired_of) > 0);
			assert_int_equal(disk_byte(&extent[i], chunk, 300, 0), good);
			/* What else the file had behind it, parity too. */
			for (unsigned k = 0; k < NR; k++) {
				unsigned bad = 0, mended = 0;

				assert_int_equal(raid_verify(make.fs->raid, &extent[k].owner,
							     &extent[k].loc, &bad, &mended),
						 0);
				assert_int_equal(bad, mended);
			}
		}
	}
}

/* Each shard missing in turn: the stripe is read whole once, however many of its tiles are wanted. */
static void a_lost_shard_costs_one_read_of_the_extent(void **state)
{
	(void)state;
	for (unsigned lost = 0; lost < 3; lost++) {
		const char *paths[2];
		struct raid_params rp = {.ops = store_sync(),
					 .paths = paths,
					 .nr_paths = 2,
					 .want = {.level = RAID_LEVEL_ANY},
					 .degraded = true,
					 .rdonly = true};
		struct fs_params p = {.state_dir = make.state,
				      .codec = {.mode = CODEC_AUTO, .level = 1},
				      .memory_len = 32 * MIB,
				      .cache_len = 32 * MIB,
				      .threads = 2};
		char why[512] = "";
		uint64_t before;

		fs_make_down(&make);
		for (unsigned s = 0, n = 0; s < 3; s++)
			if (s != lost)
				paths[n++] = make.shard[s];
		if (raid_open(&rp, &p.raid, why, sizeof(why)) ||
		    fs_open(&p, &make.fs, why, sizeof(why)))
			fail_msg("%s", why);
		for (unsigned i = 0; i < NR; i++) {
			before = sum_shards(bytes_of);
			for (unsigned tile = 0; tile < NR_TILES; tile++)
				assert_int_equal(read_some(i, tile * TILE + 17, 4096), 0);
			assert_true(sum_shards(bytes_of) - before <= 3 * extent[i].loc.len);
		}
		fs_make_again(&make);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(wrong_bytes_are_noticed_and_mended, mount_again),
		cmocka_unit_test_setup(missing_bytes_are_mended, mount_again),
		cmocka_unit_test_setup(a_lost_shard_costs_one_read_of_the_extent, mount_again),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
