/* Extents through the whole codec: what is stored comes back, whole and tile by tile; what is
 * damaged is noticed; what does not pay is left alone; and what earlier versions wrote still reads.
 *
 * TEST_EXTENTS=n runs n random extents; the default is few enough for every day. MATFS_GOLDEN_WRITE=1
 * writes the golden files of the present version anew; only a new version of the format, or of the
 * encoder's rules before they are released, is a reason to. */
#include <errno.h>
#include <pthread.h>

#include "codec/block.h"
#include "codec/codec_zstd.h"
#include "tests/codec/extent_check.h"
#include "tests/codec/extent_make.h"

static const struct codec_opts automatic = {CODEC_AUTO, CODEC_LEVEL_DEFAULT};

static struct codec_job job_of(const struct codec_opts *opts, const uint8_t *raw, size_t len)
{
	return (struct codec_job){.opts = opts, .raw = raw, .raw_len = len};
}

/* A container of @len bytes of kind @id. */
static struct guarded made(enum make_id id, const uint8_t *raw, size_t len)
{
	struct codec_job j = job_of(&automatic, raw, len);
	struct guarded enc = extent_through(&j);

	if (id != MAKE_NOISE && id != MAKE_EQUAL)
		assert_int_equal(j.kind, CODEC_KIND_ZSTD);
	return enc;
}

/* ---- all kinds of extents ---- */

/* The random extent on its way, for the report. */
static char on_its_way[200];

static int say_what_failed(void **state)
{
	(void)state;
	if (on_its_way[0])
		printf("on its way: %s\n", on_its_way);
	return 0;
}

/* Levels take their time: the higher, the shorter. */
static struct codec_opts random_opts(struct rng *r, size_t *len_max)
{
	static const struct {
		int level;
		size_t len_max;
	} levels[] = {{1, CODEC_RAW_MAX}, {1, CODEC_RAW_MAX}, {1, CODEC_RAW_MAX},
		      {1, CODEC_RAW_MAX}, {1, CODEC_RAW_MAX}, {1, CODEC_RAW_MAX},
		      {3, 1u << 20},	  {3, 400000},	      {9, 300000},
		      {19, 20000}};
	static const enum codec_mode modes[] = {CODEC_AUTO, CODEC_AUTO, CODEC_AUTO, CODEC_AUTO,
						CODEC_AUTO, CODEC_AUTO, CODEC_ZSTD, CODEC_NONE};
	size_t i = rng_below(r, ARRAY_LEN(levels));

	*len_max = levels[i].len_max;
	return (struct codec_opts){modes[rng_below(r, ARRAY_LEN(modes))], levels[i].level};
}

static size_t random_len(struct rng *r, size_t max)
{
	size_t tiles = max / CODEC_TILE_LEN, len;

	switch (rng_below(r, 5)) {
	case 0:
		len = 1 + rng_below(r, 300);
		break;
	case 1: /* about the border of a tile, with any phase */
		len = rng_below(r, 8) ? 1 + rng_below(r, 4) : MAX(tiles, (size_t)1);
		len = len * CODEC_TILE_LEN + rng_below(r, 24) - 8;
		break;
	case 2:
		len = 1 + rng_below(r, rng_below(r, 8) ? 1u << 20 : max);
		break;
	default:
		len = 1 + rng_below(r, (size_t)1 << (6 + rng_below(r, 14)));
		break;
	}
	return MIN(len, max);
}

/* Where in the file, and what stands there. The head tells the truth, or not. */
static uint64_t random_place(struct rng *r, enum make_id id, uint8_t *raw, size_t len)
{
	static const char *const descrs[] = {"|u1", "<i2", ">i2", "<f2", "<i4",	 ">f4",
					     "<f4", "<f8", ">f8", "<c8", "<c16", "|b1"};
	static const char *const shapes[] = {"(1000,)",	      "(99999999,)",  "(70000, 612)",
					     "(500, 700, 3)", "(9, 9, 9, 9)", "()"};
	size_t head = rng_below(r, 3) ? 0 : MAKE_NPY_LEN;
	size_t phase = rng_below(r, 3) ? rng_below(r, 8) : 0;

	make_extent(raw, len, id, head + phase, r);
	if (head && len >= head) {
		make_npy(raw, descrs[rng_below(r, ARRAY_LEN(descrs))],
			 shapes[rng_below(r, ARRAY_LEN(shapes))]);
		return 0;
	}
	return rng_below(r, 2) ? rng_next(r) >> (2 + rng_below(r, 60)) : phase;
}

static void one_random_extent(struct rng *r, uint8_t *raw_room, struct codec_file *kept)
{
	struct codec_file *fresh = rng_below(r, 2) ? codec_file_new() : NULL;
	enum make_id id = (enum make_id)rng_below(r, MAKE_NR + 1);
	struct codec_file *file = rng_below(r, 3) ? fresh : kept;
	size_t max, len;
	struct codec_opts opts = random_opts(r, &max);
	struct codec_job j;
	struct guarded raw;

	len = random_len(r, max);
	raw = guarded_new(len, rng_below(r, 2) ? GUARD_ABOVE : GUARD_BELOW);
	j = job_of(&opts, raw.p, len);
	j.file = file;
	j.enough = rng_below(r, 2) ? rng_below(r, 9000) : 0;
	/* In between the extents are alike, so that something is remembered. */
	for (size_t again = 1 + rng_below(r, file && len < 300000 ? 3 : 1); again; again--) {
		struct guarded enc;

		j.file_off = random_place(r, id, raw_room, len);
		memcpy(raw.p, raw_room, len);
		snprintf(on_its_way, sizeof(on_its_way),
			 "%s, %zu bytes at %" PRIu64 ", mode %d, level %d, file %s",
			 make_kinds[id].name, len, j.file_off, opts.mode, opts.level,
			 !file		? "none"
			 : file == kept ? "kept"
					: "new");
		enc = extent_through(&j);
		assert_memory_equal(raw.p, raw_room, len);
		guarded_free(&enc);
	}
	guarded_free(&raw);
	codec_file_free(fresh);
}

static void random_extents_come_back(void **state)
{
	const char *env = getenv("TEST_EXTENTS");
	unsigned long nr = env ? strtoul(env, NULL, 0) : 300;
	AUTO_FREE uint8_t *raw = malloc(CODEC_RAW_MAX);
	struct codec_file *kept = codec_file_new();
	struct rng seeds = rng_seeded(__func__);

	(void)state;
	assert_non_null(raw);
	assert_non_null(kept);
	for (unsigned long i = 0; i < nr; i++)
		one_random_extent(&seeds, raw, kept);
	on_its_way[0] = '\0';
	codec_file_free(kept);
}

static void every_length_comes_back(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t n = 0; test_len(n); n++) {
		size_t len = test_len(n);
		struct guarded raw;
		struct guarded enc;
		struct codec_job j;

		if (len > CODEC_RAW_MAX)
			continue;
		raw = guarded_new(len, n % 2 ? GUARD_ABOVE : GUARD_BELOW);
		for (int id = 0; id <= MAKE_NR; id++) {
			/* Long extents take their time: one kind each, by turns. */
			if (len > 300 && (size_t)id != n % (MAKE_NR + 1))
				continue;
			if (len > 80 && (size_t)id % 4 != n % 4)
				continue;
			make_extent(raw.p, len, (enum make_id)id, n % 8, &r);
			j = job_of(&automatic, raw.p, len);
			j.file_off = 8 - n % 8;
			enc = extent_through(&j);
			guarded_free(&enc);
		}
		guarded_free(&raw);
	}
}

/* Every length about the border of a tile, at every phase, and the longest. */
static void borders_of_tiles_are_kept(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct guarded enc;

	(void)state;
	for (int around = -8; around <= 8; around++) {
		for (unsigned phase = 0; phase < 8; phase++) {
			size_t len = 2 * CODEC_TILE_LEN + (size_t)around;
			struct guarded raw = guarded_new(len, GUARD_ABOVE);
			struct codec_file *file = codec_file_new();
			uint8_t head[MAKE_NPY_LEN];
			struct codec_job j;
			struct codec_info info;

			/* Each width once in a while. */
			enum make_id id =
				(enum make_id[]){MAKE_COUNTS16, MAKE_NORMAL32, MAKE_NORMAL64,
						 MAKE_NOISE}[(unsigned)(around + 8) % 4];

			make_npy(head,
				 (const char *[]){"<i2", "<f4", "<f8", "|u1"}[(around + 8) % 4],
				 "(99999999,)");
			assert_true(codec_learn(file, 0, head, sizeof(head)));
			make_extent(raw.p, len, id, phase, &r);
			j = job_of(&automatic, raw.p, len);
			j.file = file;
			j.file_off = 8 * KIB - phase;
			enc = extent_through(&j);
			assert_int_equal(codec_inspect(enc.p, enc.len, &info), 0);
			if (j.kind == CODEC_KIND_ZSTD)
				assert_int_equal(info.phase, phase % j.filter.width);
			assert_int_equal(info.nr_tiles, frame_tiles(len, info.phase));
			guarded_free(&enc);
			guarded_free(&raw);
			codec_file_free(file);
		}
	}
	for (int around = -8; around <= 0; around += 4) {
		size_t len = CODEC_RAW_MAX + (size_t)around;
		struct guarded raw = guarded_new(len, GUARD_ABOVE);
		struct codec_job j = job_of(&automatic, raw.p, len);

		make_extent(raw.p, len, around ? MAKE_FIELD32 : MAKE_NOISE, 0, &r);
		enc = extent_through(&j);
		guarded_free(&enc);
		guarded_free(&raw);
	}
}

static void wrong_lengths_are_refused(void **state)
{
	uint8_t raw[1] = {0};
	struct codec_job j = job_of(&automatic, raw, 0);

	(void)state;
	assert_int_equal(codec_encode(&j), -EINVAL);
	j.raw_len = CODEC_RAW_MAX + 1;
	assert_int_equal(codec_encode(&j), -EINVAL);
}

static void the_same_bytes_give_the_same_container(void **state)
{
	static uint8_t raw[200000];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (int id = 0; id <= MAKE_NR; id++) {
		struct codec_job j = job_of(&automatic, raw, sizeof(raw));
		struct guarded one, two;

		make_extent(raw, sizeof(raw), (enum make_id)id, 0, &r);
		one = extent_encode(&j);
		two = extent_encode(&j);
		assert_int_equal(one.len, two.len);
		assert_memory_equal(one.p, two.p, one.len);
		guarded_free(&one);
		guarded_free(&two);
	}
}

static void all_levels_work(void **state)
{
	static const enum make_id ids[] = {MAKE_TEXT, MAKE_FIELD32};
	static uint8_t raw[30000];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		size_t first = 0, last = 0;

		make_extent(raw, sizeof(raw), ids[i], 0, &r);
		for (int level = CODEC_LEVEL_MIN; level <= CODEC_LEVEL_MAX; level++) {
			struct codec_opts opts = {CODEC_AUTO, level};
			struct codec_job j = job_of(&opts, raw, sizeof(raw));
			struct guarded enc = extent_through(&j);

			first = level == CODEC_LEVEL_MIN ? j.payload_len : first;
			last = j.payload_len;
			assert_true(last <= first + first / 20);
			guarded_free(&enc);
		}
		if (ids[i] == MAKE_TEXT)
			assert_true(last < first);
	}
}

/* The lower levels' filter is among what higher ones try; but that libzstd does better when it
 * searches longer is true on the whole only. */
static void higher_levels_are_never_longer(void **state)
{
	static uint8_t raw[140000];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (int id = 0; id <= MAKE_NR; id++) {
		size_t len[2];

		make_extent(raw, sizeof(raw), (enum make_id)id, 0, &r);
		for (int i = 0; i < 2; i++) {
			struct codec_opts opts = {CODEC_AUTO, i ? 5 : 1};
			struct codec_job j = job_of(&opts, raw, sizeof(raw));
			struct guarded enc = extent_encode(&j);

			len[i] = enc.len;
			guarded_free(&enc);
		}
		if (len[1] > len[0] + len[0] / 20 + 500)
			fail_msg("%s: %zu bytes at level 5, %zu at level 1", make_kinds[id].name,
				 len[1], len[0]);
	}
}

static enum codec_why why_of(enum codec_mode mode, enum make_id id, size_t len)
{
	static uint8_t raw[200000];
	struct codec_opts opts = {mode, CODEC_LEVEL_DEFAULT};
	struct codec_job j = job_of(&opts, raw, len);
	struct rng r = {5};
	struct guarded enc;

	make_extent(raw, len, id, 0, &r);
	enc = extent_through(&j);
	guarded_free(&enc);
	return j.why;
}

static void modes_choose_as_they_say(void **state)
{
	static const struct {
		enum make_id id;
		enum codec_why why[3]; /* by mode */
	} cases[] = {
		{MAKE_EQUAL, {CODEC_WHY_FILL, CODEC_WHY_FILL, CODEC_WHY_FILL}},
		{MAKE_NOISE, {CODEC_WHY_NOISE, CODEC_WHY_MODE, CODEC_WHY_GAIN}},
		{MAKE_TEXT, {CODEC_WHY_MATCHES, CODEC_WHY_MODE, CODEC_WHY_ASKED}},
		{MAKE_COPIES, {CODEC_WHY_MATCHES, CODEC_WHY_MODE, CODEC_WHY_ASKED}},
		{MAKE_FEW, {CODEC_WHY_NUMBERS, CODEC_WHY_MODE, CODEC_WHY_ASKED}},
		{MAKE_NORMAL64, {CODEC_WHY_NUMBERS, CODEC_WHY_MODE, CODEC_WHY_GAIN}},
		{MAKE_SOUND16, {CODEC_WHY_NUMBERS, CODEC_WHY_MODE, CODEC_WHY_GAIN}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int mode = CODEC_AUTO; mode <= CODEC_ZSTD; mode++) {
			enum codec_why why = why_of((enum codec_mode)mode, cases[i].id, 200000);

			/* How much zstd gains on numbers as they are is its own affair. */
			if (mode == CODEC_ZSTD && cases[i].id != MAKE_NOISE &&
			    why == CODEC_WHY_ASKED)
				continue;
			if (why != cases[i].why[mode])
				fail_msg("%s, mode %d: %s", make_kinds[cases[i].id].name, mode,
					 codec_why_name[why]);
		}
	}
	assert_int_equal(why_of(CODEC_AUTO, MAKE_TEXT, 63), CODEC_WHY_SHORT);
	assert_int_equal(why_of(CODEC_AUTO, MAKE_EQUAL, 1), CODEC_WHY_FILL);
}

static size_t container_len(enum make_id id, size_t len, size_t enough, enum codec_why *why)
{
	static uint8_t raw[20000];
	struct codec_job j = job_of(&automatic, raw, len);
	struct rng r = {5};
	struct guarded enc;

	make_extent(raw, len, id, 0, &r);
	j.enough = enough;
	enc = extent_through(&j);
	guarded_free(&enc);
	*why = j.why;
	return j.head_len + j.payload_len;
}

/* A block is what short extents have to fit in: who reaches that without a search has none, who does not is stored as
 * short as ever. */
static void what_is_short_enough_is_not_searched(void **state)
{
	static const size_t lens[] = {64, 1000, 3900, 3928, 3929, 4096, 6000, 12000, 19840, 20000};
	const size_t enough = 3968;
	enum codec_why why, searched;

	(void)state;
	for (int id = 0; id < MAKE_NR; id++) {
		for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
			size_t with = container_len((enum make_id)id, lens[i], enough, &why);
			size_t without = container_len((enum make_id)id, lens[i], 0, &searched);

			if (with > enough && with != without)
				fail_msg("%s, %zu bytes: %zu, with a search %zu",
					 make_kinds[id].name, lens[i], with, without);
			if (with <= enough && id != MAKE_EQUAL && why == CODEC_WHY_NUMBERS)
				assert_true(lens[i] + CODEC_HEAD_LEN > enough);
		}
	}
	assert_true(container_len(MAKE_TEXT, 3900, enough, &why) == 3900 + CODEC_HEAD_LEN);
	assert_int_equal(why, CODEC_WHY_SHORT);
	assert_true(container_len(MAKE_TEXT, 6000, enough, &why) <= enough);
	assert_int_equal(why, CODEC_WHY_MATCHES);
	/* Plain bytes do not shrink enough: the search finds what does. */
	container_len(MAKE_SOUND16, 12000, enough, &why);
	assert_int_equal(why, CODEC_WHY_NUMBERS);
}

static void names_are_there(void **state)
{
	(void)state;
	for (int i = 0; i < CODEC_BY_NR; i++)
		assert_non_null(codec_encoder_name[i]);
	for (int i = 0; i < CODEC_WHY_NR; i++)
		assert_non_null(codec_why_name[i]);
}

/* What goes in may not be copied where nothing is gained: the payload is the caller's bytes. */
static void raw_extents_are_not_copied(void **state)
{
	static uint8_t raw[300000];
	AUTO_FREE uint8_t *scratch = malloc(codec_scratch_len(sizeof(raw)));
	struct codec_job j = job_of(&automatic, raw, sizeof(raw));
	struct rng r = {8};

	(void)state;
	assert_non_null(scratch);
	j.scratch = scratch;
	make_extent(raw, sizeof(raw), MAKE_NOISE, 0, &r);
	assert_int_equal(codec_encode(&j), 0);
	assert_int_equal(j.kind, CODEC_KIND_RAW);
	assert_ptr_equal(j.payload, raw);
	make_extent(raw, sizeof(raw), MAKE_EQUAL, 0, &r);
	assert_int_equal(codec_encode(&j), 0);
	assert_int_equal(j.payload_len, 1);
	assert_int_equal(*j.payload, raw[0]);
}

/* ---- damage ---- */

#define SMALL_LEN 2000u

static const enum make_id smalls[] = {MAKE_NOISE,    MAKE_EQUAL,    MAKE_TEXT,	  MAKE_COUNTS16,
				      MAKE_SORTED32, MAKE_NORMAL64, MAKE_SOUND16, MAKE_FEW};

/* A small container, and what is in it. */
static struct guarded small(enum make_id id, uint8_t raw[SMALL_LEN])
{
	struct rng r = {7};

	make_extent(raw, SMALL_LEN, id, 0, &r);
	return made(id, raw, SMALL_LEN);
}

/* Damaged bytes give an error, or what they gave before: of zstd's frames some bits say nothing. */
static void check_damaged(int err, const uint8_t *back, const uint8_t *raw, size_t len, size_t bit)
{
	if (err ? err != -EBADMSG && err != -ENOTSUP : memcmp(back, raw, len) != 0)
		fail_msg("bit %zu: %d", bit, err);
}

static void every_flipped_bit_is_noticed(void **state)
{
	uint8_t raw[SMALL_LEN], back[SMALL_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(smalls); i++) {
		struct guarded enc = small(smalls[i], raw);
		struct codec_info good;

		assert_int_equal(codec_inspect(enc.p, enc.len, &good), 0);
		for (size_t bit = 0; bit < enc.len * 8; bit++) {
			int err, tile_err;

			enc.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
			memset(back, 0, sizeof(back));
			err = codec_decode(enc.p, enc.len, back, sizeof(back));
			check_damaged(err, back, raw, sizeof(raw), bit);
			memset(back, 0, sizeof(back));
			tile_err = codec_decode_tile(enc.p, enc.len, &good, 0, back);
			assert_int_equal(tile_err, err);
			check_damaged(tile_err, back, raw, sizeof(raw), bit);
			/* In the head no bit is idle. */
			if (bit / 8 < CODEC_HEAD_LEN)
				assert_int_equal(err, bit / 8 == 10 ? -ENOTSUP : -EBADMSG);
			enc.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_int_equal(codec_decode(enc.p, enc.len, back, sizeof(back)), 0);
		guarded_free(&enc);
	}
}

/* The tile that stored byte @at belongs to; nr_tiles: the head's. */
static unsigned tile_of_stored(const struct frame *f, size_t at)
{
	size_t end = f->info.head_len;

	if (at < end)
		return f->info.nr_tiles;
	for (unsigned i = 0; i < f->info.nr_tiles; i++) {
		end += f->tile_len[i];
		if (at < end)
			return i;
	}
	return f->info.nr_tiles;
}

/* One bit of a large container: noticed where it is, and only there. */
static void flip_one(struct guarded *enc, const struct frame *f, size_t bit, const uint8_t *raw,
		     uint8_t *back)
{
	unsigned tile = tile_of_stored(f, bit / 8), nr = f->info.nr_tiles;
	bool in_head = tile == nr;
	unsigned other = in_head ? 0 : (tile + 1) % nr;
	uint32_t from, to;
	int err;

	enc->p[bit / 8] ^= (uint8_t)(1u << bit % 8);
	codec_tile_range(&f->info, in_head ? 0 : tile, &from, &to);
	memset(back + from, 0, to - from);
	err = codec_decode_tile(enc->p, enc->len, &f->info, in_head ? 0 : tile, back);
	check_damaged(err, back + from, raw + from, to - from, bit);
	if (in_head && !err)
		fail_msg("bit %zu of the head was not noticed", bit);
	if (!in_head && other != tile) {
		codec_tile_range(&f->info, other, &from, &to);
		assert_int_equal(codec_decode_tile(enc->p, enc->len, &f->info, other, back), 0);
		assert_memory_equal(back + from, raw + from, to - from);
	}
	if (bit % 8 == 3) {
		err = codec_decode(enc->p, enc->len, back, f->info.raw_len);
		check_damaged(err, back, raw, f->info.raw_len, bit);
	}
	enc->p[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void flips_in_large_extents_stay_in_their_tile(void **state)
{
	static const enum make_id ids[] = {MAKE_NOISE,	  MAKE_IMAGE16, MAKE_TEXT,
					   MAKE_NORMAL64, MAKE_CURVE32, MAKE_COPIES};
	struct rng r = rng_seeded(__func__);
	size_t len = 2 * CODEC_TILE_LEN + 5000;
	AUTO_FREE uint8_t *raw = malloc(len);
	AUTO_FREE uint8_t *back = malloc(len);

	(void)state;
	assert_true(raw && back);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct guarded enc;
		struct frame f;

		make_extent(raw, len, ids[i], 0, &r);
		enc = made(ids[i], raw, len);
		assert_int_equal(frame_decode(enc.p, enc.len, &f), 0);
		assert_int_equal(f.info.nr_tiles, 3);
		/* All of the table, and of the payload here and there. */
		for (size_t bit = 0; bit < f.info.head_len * 8; bit++)
			flip_one(&enc, &f, bit, raw, back);
		for (int n = 0; n < 600; n++)
			flip_one(&enc, &f, rng_below(&r, enc.len * 8), raw, back);
		extent_check(enc.p, enc.len, raw, len);
		guarded_free(&enc);
	}
}

static void every_cut_is_noticed(void **state)
{
	uint8_t raw[SMALL_LEN], back[SMALL_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(smalls); i++) {
		struct guarded enc = small(smalls[i], raw);
		struct codec_info good;

		assert_int_equal(codec_inspect(enc.p, enc.len, &good), 0);
		for (size_t len = 0; len < enc.len; len++) {
			struct guarded cut = guarded_new(len, GUARD_ABOVE);
			struct codec_info info;

			memcpy(cut.p, enc.p, len);
			assert_int_equal(codec_decode(cut.p, len, back, sizeof(back)), -EBADMSG);
			assert_int_equal(codec_decode_tile(cut.p, len, &good, 0, back), -EBADMSG);
			assert_int_equal(codec_inspect(cut.p, len, &info),
					 len < good.head_len ? -EBADMSG : 0);
			guarded_free(&cut);
		}
		guarded_free(&enc);
	}
}

static void cuts_of_large_extents_are_noticed(void **state)
{
	struct rng r = rng_seeded(__func__);
	size_t len = 3 * CODEC_TILE_LEN + 77;
	AUTO_FREE uint8_t *raw = malloc(len);
	AUTO_FREE uint8_t *back = malloc(len);
	struct codec_info good, info;
	struct guarded enc;

	(void)state;
	assert_true(raw && back);
	make_extent(raw, len, MAKE_SOUND16, 0, &r);
	enc = made(MAKE_SOUND16, raw, len);
	assert_int_equal(codec_inspect(enc.p, enc.len, &good), 0);
	for (size_t cut = 0; cut < enc.len; cut += 1 + (cut > 200) * rng_below(&r, 3000)) {
		struct guarded g = guarded_new(cut, GUARD_ABOVE);

		memcpy(g.p, enc.p, cut);
		assert_int_equal(codec_decode(g.p, cut, back, len), -EBADMSG);
		assert_int_equal(codec_decode_tile(g.p, cut, &good, 1, back), -EBADMSG);
		assert_int_equal(codec_inspect(g.p, cut, &info),
				 cut < good.head_len ? -EBADMSG : 0);
		guarded_free(&g);
	}
	guarded_free(&enc);
}

static void padding_is_ignored_and_lengths_are_not(void **state)
{
	uint8_t raw[SMALL_LEN], back[SMALL_LEN + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(smalls); i++) {
		struct guarded enc = small(smalls[i], raw);
		struct guarded padded = guarded_new(enc.len + 100, GUARD_ABOVE);
		struct codec_info info;

		memset(padded.p, 0xee, padded.len);
		memcpy(padded.p, enc.p, enc.len);
		assert_int_equal(codec_decode(padded.p, padded.len, back, SMALL_LEN), 0);
		assert_int_equal(codec_inspect(padded.p, padded.len, &info), 0);
		assert_int_equal(codec_decode_tile(padded.p, padded.len, &info, 0, back), 0);
		assert_int_equal(codec_decode(enc.p, enc.len, back, SMALL_LEN + 1), -EBADMSG);
		assert_int_equal(codec_decode(enc.p, enc.len, back, SMALL_LEN - 1), -EBADMSG);
		guarded_free(&enc);
		guarded_free(&padded);
	}
}

static void tiles_that_are_not_there_are_refused(void **state)
{
	static const enum make_id ids[] = {MAKE_NOISE, MAKE_EQUAL, MAKE_IMAGE16};
	struct rng r = rng_seeded(__func__);
	size_t len = 2 * CODEC_TILE_LEN + 9;
	AUTO_FREE uint8_t *raw = malloc(len);

	(void)state;
	assert_non_null(raw);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct guarded back = guarded_new(len, GUARD_ABOVE), enc;
		struct codec_info info, other;

		make_extent(raw, len, ids[i], 0, &r);
		enc = made(ids[i], raw, len);
		assert_int_equal(codec_inspect(enc.p, enc.len, &info), 0);
		assert_int_equal(info.nr_tiles, ids[i] == MAKE_EQUAL ? 1 : 3);
		for (unsigned idx = info.nr_tiles; idx < 100; idx++)
			assert_int_equal(codec_decode_tile(enc.p, enc.len, &info, idx, back.p),
					 -EBADMSG);
		assert_int_equal(codec_decode_tile(enc.p, enc.len, &info, UINT32_MAX, back.p),
				 -EBADMSG);
		/* The head of another extent. */
		other = info;
		other.raw_len--;
		assert_int_equal(codec_decode_tile(enc.p, enc.len, &other, 0, back.p), -EBADMSG);
		guarded_free(&back);
		guarded_free(&enc);
	}
}

/* Every byte of an extent is in one tile, whatever the phase. */
static void tiles_cover_every_byte_once(void **state)
{
	(void)state;
	for (size_t n = 0; test_len(n); n++) {
		for (unsigned phase = 0; phase < 8; phase++) {
			struct codec_info info = {.phase = (uint8_t)phase};
			uint32_t covered = 0, from, to;

			info.raw_len = (uint32_t)MIN(test_len(n), (size_t)CODEC_RAW_MAX);
			info.nr_tiles = frame_tiles(info.raw_len, phase);
			assert_true(info.nr_tiles >= 1 && info.nr_tiles <= CODEC_TILES_MAX);
			for (unsigned i = 0; i < info.nr_tiles; i++) {
				codec_tile_range(&info, i, &from, &to);
				assert_int_equal(from, covered);
				assert_true(to > from && to - from <= CODEC_TILE_LEN + phase);
				assert_int_equal(codec_tile_at(&info, from), i);
				assert_int_equal(codec_tile_at(&info, to - 1), i);
				assert_true(i == 0 || (from - phase) % CODEC_TILE_LEN == 0);
				covered = to;
			}
			assert_int_equal(covered, info.raw_len);
			/* Of a fill, or of version 1, there is one. */
			info.nr_tiles = 1;
			assert_int_equal(codec_tile_at(&info, info.raw_len - 1), 0);
			codec_tile_range(&info, 0, &from, &to);
			assert_true(from == 0 && to == info.raw_len);
		}
	}
}

/* Right checksums around a payload that is wrong, or made by another encoder. */
static void payloads_are_not_trusted(void **state)
{
	static const char text[] = "a payload that no version of zstd would call a frame";
	uint8_t enc[300], raw[160], planes[160], back[168];
	struct frame f = {.info = {.kind = CODEC_KIND_ZSTD,
				   .filter = {.width = 4},
				   .raw_len = sizeof(raw),
				   .nr_tiles = 1}};
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)(i % 4 * i / 8);
	f.tile_sum[0] = frame_sum(raw, sizeof(raw));
	memcpy(enc + CODEC_HEAD_LEN, text, sizeof(text));
	f.info.stored_len = sizeof(text);
	frame_encode(&f, enc);
	assert_int_equal(codec_decode(enc, sizeof(enc), back, sizeof(raw)), -EBADMSG);
	/* One frame for all planes is as good as one each. */
	filter_apply(&f.info.filter, planes, raw, sizeof(raw), 0);
	len = ZSTD_compress(enc + CODEC_HEAD_LEN, 200, planes, sizeof(planes), 19);
	assert_false(ZSTD_isError(len));
	f.info.stored_len = (uint32_t)len;
	frame_encode(&f, enc);
	assert_int_equal(codec_decode(enc, sizeof(enc), back, sizeof(raw)), 0);
	assert_memory_equal(back, raw, sizeof(raw));
	/* A frame of other bytes. */
	f.tile_sum[0]++;
	frame_encode(&f, enc);
	assert_int_equal(codec_decode(enc, sizeof(enc), back, sizeof(raw)), -EBADMSG);
	f.tile_sum[0]--;
	/* A frame that is shorter than the head says, or longer. */
	f.info.raw_len = sizeof(raw) + 8;
	frame_encode(&f, enc);
	assert_int_equal(codec_decode(enc, sizeof(enc), back, sizeof(raw) + 8), -EBADMSG);
	f.info.raw_len = sizeof(raw) - 4;
	frame_encode(&f, enc);
	assert_int_equal(codec_decode(enc, sizeof(enc), back, sizeof(raw) - 4), -EBADMSG);
}

/* A right table that cuts the payload at other places: tiles of no bytes, or of their neighbour's. */
static void tables_are_not_trusted(void **state)
{
	struct rng r = {9};
	size_t len = 2 * CODEC_TILE_LEN + 5000;
	AUTO_FREE uint8_t *raw = malloc(len);
	struct guarded enc, back = guarded_new(len, GUARD_ABOVE);
	struct frame f;

	(void)state;
	assert_non_null(raw);
	make_extent(raw, len, MAKE_COUNTS16, 0, &r);
	enc = made(MAKE_COUNTS16, raw, len);
	assert_int_equal(frame_decode(enc.p, enc.len, &f), 0);
	for (int i = 0; i < 200; i++) {
		struct frame bad = f;
		uint32_t move = i ? 1 + (uint32_t)rng_below(&r, bad.tile_len[0]) : bad.tile_len[0];

		bad.tile_len[0] -= move;
		bad.tile_len[1 + i % 2] += move;
		frame_encode(&bad, enc.p);
		assert_int_equal(codec_decode(enc.p, enc.len, back.p, len), -EBADMSG);
		assert_int_equal(codec_decode_tile(enc.p, enc.len, &f.info, 0, back.p), -EBADMSG);
		assert_int_equal(codec_decode_tile(enc.p, enc.len, &f.info, 1, back.p), -EBADMSG);
	}
	frame_encode(&f, enc.p);
	assert_int_equal(codec_decode(enc.p, enc.len, back.p, len), 0);
	guarded_free(&enc);
	guarded_free(&back);
}

/* ---- threads, memory ---- */

/* Returns its argument if something was wrong, else NULL. */
static void *encode_and_decode(void *arg)
{
	struct rng r = {(uint64_t)(uintptr_t)arg};
	size_t max = 300000;
	AUTO_FREE uint8_t *raw = malloc(max);
	AUTO_FREE uint8_t *back = malloc(max);
	AUTO_FREE uint8_t *enc = malloc(CODEC_HEAD_MAX + max);
	AUTO_FREE uint8_t *scratch = malloc(codec_scratch_len(max));
	struct codec_job j = job_of(&automatic, raw, max);

	if (!raw || !back || !enc || !scratch)
		return arg;
	j.scratch = scratch;
	for (int i = 0; i < 25; i++) {
		j.raw_len = 1 + rng_below(&r, max);
		make_extent(raw, j.raw_len, (enum make_id)rng_below(&r, MAKE_NR), 0, &r);
		if (codec_encode(&j))
			return arg;
		memcpy(enc, j.head, j.head_len);
		memcpy(enc + j.head_len, j.payload, j.payload_len);
		if (codec_decode(enc, j.head_len + j.payload_len, back, j.raw_len) ||
		    memcmp(raw, back, j.raw_len) != 0)
			return arg;
	}
	return NULL;
}

static void threads_share_nothing(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, encode_and_decode, (void *)(i + 1)), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *wrong;

		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
}

struct one_file {
	struct codec_file *file;
	uint64_t seed;
};

/* Extents of one file by several threads: the memory is shared, and what it says may be of another
 * thread's extent. */
static void *encode_one_file(void *arg)
{
	struct one_file *f = arg;
	struct rng r = {f->seed};
	size_t len = 70000;
	AUTO_FREE uint8_t *raw = malloc(len);
	AUTO_FREE uint8_t *back = malloc(len);
	AUTO_FREE uint8_t *enc = malloc(CODEC_HEAD_MAX + len);
	AUTO_FREE uint8_t *scratch = malloc(codec_scratch_len(len));
	struct codec_job j = job_of(&automatic, raw, len);

	if (!raw || !back || !enc || !scratch)
		return arg;
	j.scratch = scratch;
	j.file = f->file;
	for (int i = 0; i < 40; i++) {
		make_extent(raw, len, (enum make_id)rng_below(&r, MAKE_NR), 0, &r);
		j.file_off = i % 10 ? rng_below(&r, 1u << 30) : 0;
		if (!j.file_off && i % 20)
			memcpy(raw, "\x93NUMPY", 6);
		if (codec_encode(&j))
			return arg;
		memcpy(enc, j.head, j.head_len);
		memcpy(enc + j.head_len, j.payload, j.payload_len);
		if (codec_decode(enc, j.head_len + j.payload_len, back, len) ||
		    memcmp(raw, back, len) != 0)
			return arg;
	}
	return NULL;
}

static void threads_may_share_a_file(void **state)
{
	struct codec_file *file = codec_file_new();
	struct one_file args[4];
	pthread_t threads[4];

	(void)state;
	assert_non_null(file);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		args[i] = (struct one_file){file, i};
		assert_int_equal(pthread_create(&threads[i], NULL, encode_one_file, &args[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *wrong;

		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	codec_file_free(file);
}

/* Sanitizers have an allocator of their own. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
#define OWN_MALLOC 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define OWN_MALLOC 0
#endif

#ifndef OWN_MALLOC
/* Allocations until one fails, on this thread; 0: none does. libzstd's go through here too. */
static _Thread_local unsigned fails_in;

static bool fails(void)
{
	return fails_in && --fails_in == 0;
}

void *__libc_malloc(size_t len);
void *__libc_memalign(size_t align, size_t len);
void *__libc_calloc(size_t nr, size_t len);

__attribute__((visibility("default"))) void *malloc(size_t len)
{
	if (fails()) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(len);
}

__attribute__((visibility("default"))) void *calloc(size_t nr, size_t len)
{
	if (fails()) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_calloc(nr, len);
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t align, size_t len)
{
	if (fails()) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_memalign(align, len);
}

struct starved {
	const struct codec_opts *opts;
	const uint8_t *raw;
	size_t len;
	uint8_t *scratch, *enc, *back;
	unsigned nth;
	bool encode; /* else decode */
	int err;     /* of the call that was starved */
	bool fired;
	size_t enc_len;
	bool right; /* of the call after it */
};

/* On a thread of its own, which has no contexts and buffers yet. */
static void *starve(void *arg)
{
	struct starved *s = arg;
	struct codec_job j = job_of(s->opts, s->raw, s->len);

	j.scratch = s->scratch;
	fails_in = s->nth;
	s->err = s->encode ? codec_encode(&j) : codec_decode(s->enc, s->enc_len, s->back, s->len);
	s->fired = fails_in == 0;
	fails_in = 0;
	/* Once there is memory again, all is well. */
	if (s->encode) {
		s->right = codec_encode(&j) == 0;
		memcpy(s->enc, j.head, j.head_len);
		memcpy(s->enc + j.head_len, j.payload, j.payload_len);
		s->enc_len = j.head_len + j.payload_len;
	} else {
		s->right = codec_decode(s->enc, s->enc_len, s->back, s->len) == 0 &&
			   memcmp(s->back, s->raw, s->len) == 0;
	}
	return NULL;
}

static unsigned starve_all(struct starved *s)
{
	unsigned nr_failed = 0;

	for (s->nth = 1; s->nth < 100; s->nth++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, starve, s), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_true(s->err == 0 || s->err == -ENOMEM);
		assert_true(s->right);
		nr_failed += s->err != 0;
		if (!s->fired)
			return nr_failed;
	}
	fail_msg("allocations without end");
	return 0;
}

static void want_of_memory_is_said(void **state)
{
	static const enum make_id ids[] = {MAKE_NORMAL64, MAKE_TEXT};
	struct rng r = {10};
	size_t len = 200000;
	AUTO_FREE uint8_t *raw = malloc(len);
	AUTO_FREE uint8_t *back = malloc(len);
	AUTO_FREE uint8_t *enc = malloc(CODEC_HEAD_MAX + len);
	AUTO_FREE uint8_t *scratch = malloc(codec_scratch_len(len));

	(void)state;
	assert_true(raw && back && enc && scratch);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct starved s = {.opts = &automatic,
				    .raw = raw,
				    .len = len,
				    .scratch = scratch,
				    .enc = enc,
				    .back = back,
				    .encode = true};

		make_extent(raw, len, ids[i], 0, &r);
		assert_true(starve_all(&s) >= 2);
		s.encode = false;
		assert_true(starve_all(&s) >= 1);
	}
	fails_in = 1;
	assert_null(codec_file_new());
	fails_in = 0;
	codec_file_free(NULL);
}
#else
static void want_of_memory_is_said(void **state)
{
	(void)state;
	skip();
}
#endif

/* ---- golden files ---- */

/* Their extents are made by arithmetic alone, so that they need no file of their own, and no other
 * code that could change together with the decoder. */
struct golden_1 {
	const char *name;
	enum codec_kind kind;
	uint8_t width;
	uint8_t phase;
	size_t len;
};

static const struct golden_1 goldens_1[] = {
	{"v1_raw", CODEC_KIND_RAW, 1, 0, 500},	     {"v1_fill", CODEC_KIND_FILL, 1, 0, 70000},
	{"v1_zstd_w1", CODEC_KIND_ZSTD, 1, 0, 3000}, {"v1_zstd_w2", CODEC_KIND_ZSTD, 2, 1, 2001},
	{"v1_zstd_w4", CODEC_KIND_ZSTD, 4, 3, 2003}, {"v1_zstd_w8", CODEC_KIND_ZSTD, 8, 5, 4003},
};

static void golden_1_raw(const struct golden_1 *g, uint8_t *p)
{
	uint32_t x = 12345;

	for (size_t i = 0; i < g->len; i++) {
		unsigned at = (unsigned)((i + g->width - g->phase) % g->width);

		x = x * 1664525u + 1013904223u;
		p[i] = (uint8_t)(x >> 24);
		if (g->kind == CODEC_KIND_FILL)
			p[i] = 0xc3;
		else if (g->kind == CODEC_KIND_ZSTD && (at == g->width - 1u || at == 1))
			p[i] = (uint8_t)(0x40 + i / 300 + (x >> 31));
	}
}

#define GOLDEN_RAW_MAX	(3 * CODEC_TILE_LEN)
#define GOLDEN_FILE_MAX (3 * CODEC_TILE_LEN)

static void golden_path(char path[500], const char *name)
{
	snprintf(path, 500, "%s/codec/golden/%s.extent", TEST_SRC_DIR, name);
}

static size_t golden_read(const char *name, uint8_t *p, size_t room)
{
	char path[500];
	FILE *f;
	size_t len;

	golden_path(path, name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	len = fread(p, 1, room, f);
	fclose(f);
	return len;
}

static void golden_write(const char *name, const uint8_t *p, size_t len)
{
	char path[500];
	FILE *f;

	golden_path(path, name);
	f = fopen(path, "wb");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(fwrite(p, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void golden_files_of_version_1_read(void **state)
{
	static uint8_t raw[70000], back[70000], file[8000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(goldens_1); i++) {
		const struct golden_1 *g = &goldens_1[i];
		size_t len = golden_read(g->name, file, sizeof(file));
		struct codec_info info;

		golden_1_raw(g, raw);
		assert_int_equal(codec_inspect(file, len, &info), 0);
		assert_int_equal(info.kind, g->kind);
		assert_int_equal(info.filter.id, FILTER_NONE);
		assert_int_equal(info.filter.width, g->width);
		assert_int_equal(info.phase, g->phase);
		assert_int_equal(info.nr_tiles, 1);
		assert_int_equal(info.head_len, CODEC_HEAD_LEN);
		assert_int_equal(info.stored_len, len - CODEC_HEAD_LEN);
		memset(back, 0, g->len);
		assert_int_equal(codec_decode(file, len, back, g->len), 0);
		assert_memory_equal(back, raw, g->len);
		memset(back, 0, g->len);
		assert_int_equal(codec_decode_tile(file, len, &info, 0, back), 0);
		assert_memory_equal(back, raw, g->len);
		/* The head is a skippable frame: without planes, any zstd reads the container. */
		if (g->kind == CODEC_KIND_ZSTD && g->width == 1) {
			memset(back, 0, g->len);
			assert_int_equal(ZSTD_decompress(back, g->len, file, len), g->len);
			assert_memory_equal(back, raw, g->len);
		}
		/* All of it is covered by one checksum or the other. */
		for (size_t bit = 0; bit < len * 8; bit += 1 + bit / 1000) {
			file[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(codec_decode(file, len, back, g->len),
					 bit / 8 == 10 ? -ENOTSUP : -EBADMSG);
			file[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(codec_decode(file, cut, back, g->len), -EBADMSG);
	}
}

struct golden {
	const char *name;
	enum codec_kind kind;
	struct filter filter;
	uint8_t phase;
	size_t len;
	bool matches; /* libzstd's bytes, which may change with its version: read only */
};

#define TILES(n, rest) ((n)*CODEC_TILE_LEN + (rest))

static const struct golden goldens[] = {
	{"v2_raw", CODEC_KIND_RAW, {.width = 1}, 0, 500, false},
	{"v2_raw_one", CODEC_KIND_RAW, {.width = 1}, 0, 1, false},
	{"v2_raw_tiles", CODEC_KIND_RAW, {.width = 1}, 0, TILES(2, 77), false},
	{"v2_fill", CODEC_KIND_FILL, {.width = 1}, 0, 300000, false},
	{"v2_none_w1", CODEC_KIND_ZSTD, {.width = 1}, 0, 3000, false},
	{"v2_none_w2", CODEC_KIND_ZSTD, {.width = 2}, 1, 2001, false},
	{"v2_none_w4", CODEC_KIND_ZSTD, {.width = 4}, 3, 2006, false},
	{"v2_none_w8", CODEC_KIND_ZSTD, {.width = 8}, 5, 4007, false},
	{"v2_delta1_w1",
	 CODEC_KIND_ZSTD,
	 {.id = 1, .width = 1, .dist = 3, .order = 1},
	 0,
	 3001,
	 false},
	{"v2_delta2_w1",
	 CODEC_KIND_ZSTD,
	 {.id = 1, .width = 1, .dist = 1, .order = 2},
	 0,
	 3001,
	 false},
	{"v2_delta1_w2",
	 CODEC_KIND_ZSTD,
	 {.id = 1, .width = 2, .dist = 2, .order = 1},
	 1,
	 3002,
	 false},
	{"v2_delta3_w2",
	 CODEC_KIND_ZSTD,
	 {.id = 1, .width = 2, .dist = 1, .order = 3},
	 0,
	 3001,
	 false},
	{"v2_delta2_w4",
	 CODEC_KIND_ZSTD,
	 {.id = 1, .width = 4, .dist = 1, .order = 2},
	 3,
	 3001,
	 false},
	{"v2_delta1_w8",
	 CODEC_KIND_ZSTD,
	 {.id = 1, .width = 8, .dist = 1, .order = 1},
	 7,
	 5003,
	 false},
	{"v2_delta3_w8",
	 CODEC_KIND_ZSTD,
	 {.id = 1, .width = 8, .dist = 2, .order = 3},
	 0,
	 5003,
	 false},
	{"v2_delta2_w4_big",
	 CODEC_KIND_ZSTD,
	 {.id = 1, .width = 4, .dist = 1, .order = 2, .swap = 1},
	 1,
	 3001,
	 false},
	{"v2_lorenzo_w1",
	 CODEC_KIND_ZSTD,
	 {.id = 2, .width = 1, .dist = 3, .pitch = 180},
	 0,
	 4000,
	 false},
	{"v2_lorenzo_w2",
	 CODEC_KIND_ZSTD,
	 {.id = 2, .width = 2, .dist = 1, .pitch = 202},
	 1,
	 4000,
	 false},
	{"v2_lorenzo_w4",
	 CODEC_KIND_ZSTD,
	 {.id = 2, .width = 4, .dist = 2, .pitch = 256},
	 2,
	 4000,
	 false},
	{"v2_lorenzo_w8",
	 CODEC_KIND_ZSTD,
	 {.id = 2, .width = 8, .dist = 1, .pitch = 320},
	 3,
	 5000,
	 false},
	{"v2_lorenzo_w2_big",
	 CODEC_KIND_ZSTD,
	 {.id = 2, .width = 2, .dist = 1, .pitch = 202, .swap = 1},
	 0,
	 4000,
	 false},
	{"v2_float_w2", CODEC_KIND_ZSTD, {.id = 3, .width = 2}, 1, 3000, false},
	{"v2_float_w4", CODEC_KIND_ZSTD, {.id = 3, .width = 4}, 0, 3003, false},
	{"v2_float_w8", CODEC_KIND_ZSTD, {.id = 3, .width = 8, .bias = 895}, 4, 5004, false},
	{"v2_float_w8_big",
	 CODEC_KIND_ZSTD,
	 {.id = 3, .width = 8, .bias = 2047, .swap = 1},
	 0,
	 5000,
	 false},
	{"v2_none_w1_tiles", CODEC_KIND_ZSTD, {.width = 1}, 0, TILES(1, 300), false},
	{"v2_delta_w4_tiles",
	 CODEC_KIND_ZSTD,
	 {.id = 1, .width = 4, .dist = 1, .order = 1},
	 3,
	 TILES(2, 3 + 2),
	 false},
	{"v2_lorenzo_w2_tiles",
	 CODEC_KIND_ZSTD,
	 {.id = 2, .width = 2, .dist = 1, .pitch = 2000},
	 1,
	 TILES(1, 5000),
	 false},
	{"v2_matches_w1", CODEC_KIND_ZSTD, {.width = 1}, 0, 6000, true},
	{"v2_matches_w8",
	 CODEC_KIND_ZSTD,
	 {.id = 1, .width = 8, .dist = 1, .order = 1},
	 5,
	 6000,
	 true},
};

/* Items that the filter does something for. */
static void golden_raw(const struct golden *g, uint8_t *p)
{
	const struct filter *f = &g->filter;
	uint64_t sum[4][4] = {{0}}; /* by order, then by place modulo dist */
	uint32_t x = 12345;

	memset(p, 0x3c, g->phase);
	for (size_t i = 0, at = g->phase; at < g->len; i++, at += f->width) {
		uint64_t z, v;
		uint8_t bits[8];

		x = x * 1664525u + 1013904223u;
		z = (uint64_t)(x >> 29 == 0 ? (x >> 26 & 7) : 0) - 3;
		switch (f->id) {
		case FILTER_DELTA:
			sum[0][i % f->dist] = z;
			for (unsigned k = 1; k <= f->order; k++)
				sum[k][i % f->dist] += sum[k - 1][i % f->dist];
			v = sum[f->order][i % f->dist];
			break;
		case FILTER_LORENZO:
			v = i % (f->pitch / f->width) * 12345 + i / (f->pitch / f->width) * 777 + z;
			break;
		case FILTER_FLOAT:
			/* Sign, then the exponent, then a mantissa of zeros but for three bits. */
			v = f->width == 8   ? UINT64_C(0x4010) << 48
			    : f->width == 4 ? 0x42000000u
					    : 0x4c00;
			v += z << (8 * f->width - 15);
			v |= (uint64_t)(x >> 31) << (8 * f->width - 1);
			break;
		default:
			v = UINT64_C(0x4041424344454600) +
			    (g->kind == CODEC_KIND_RAW ? x >> 24 : z);
			break;
		}
		if (g->kind == CODEC_KIND_FILL)
			v = 0xc3;
		put_u64(bits, f->swap ? __builtin_bswap64(v << (64 - 8 * f->width)) : v);
		memcpy(p + at, bits, MIN(g->len - at, (size_t)f->width));
	}
}

/* A tile by libzstd, a frame for each plane. */
static size_t golden_zstd(const struct golden *g, const uint8_t *filtered, size_t len, uint8_t *dst)
{
	size_t nr = (len - g->phase) / g->filter.width, at = 0, done = 0;

	for (unsigned b = 1; b <= g->filter.width; b++) {
		size_t end = b == g->filter.width ? len : g->phase + b * nr, got;

		assert_int_equal(codec_zstd_pack(3, filtered + at, end - at, dst + done,
						 codec_zstd_bound(end - at), &got),
				 0);
		done += got;
		at = end;
	}
	return done;
}

/* As codec.c would do it, were it told the filter. */
static size_t golden_make(const struct golden *g, const uint8_t *raw, uint8_t *enc)
{
	static uint8_t filtered[CODEC_TILE_LEN + 8], payload[GOLDEN_FILE_MAX + CODEC_TILE_LEN];
	static struct block_work work;
	struct frame f = {.info = {.kind = g->kind, .filter = g->filter, .phase = g->phase}};
	size_t at = 0, from, to;

	f.info.raw_len = (uint32_t)g->len;
	f.info.nr_tiles = g->kind == CODEC_KIND_FILL ? 1 : frame_tiles(g->len, g->phase);
	for (unsigned i = 0; i < f.info.nr_tiles; i++) {
		size_t got;

		frame_tile_range(g->len, g->phase, i, &from, &to);
		if (g->kind == CODEC_KIND_FILL)
			to = g->len;
		f.tile_sum[i] = frame_sum(raw + from, to - from);
		if (g->kind == CODEC_KIND_ZSTD) {
			unsigned phase = i ? 0 : g->phase;

			filter_apply(&g->filter, filtered, raw + from, to - from, phase);
			got = g->matches ? golden_zstd(g, filtered, to - from, payload + at)
					 : block_frame(filtered, to - from, phase, g->filter.width,
						       payload + at, &work);
		} else {
			got = g->kind == CODEC_KIND_FILL ? 1 : to - from;
			memcpy(payload + at, raw + from, got);
		}
		f.tile_len[i] = (uint32_t)got;
		at += got;
	}
	f.info.stored_len = (uint32_t)at;
	frame_encode(&f, enc);
	memcpy(enc + f.info.head_len, payload, at);
	return f.info.head_len + at;
}

static void golden_files_read_and_write_the_same(void **state)
{
	static uint8_t raw[GOLDEN_RAW_MAX], enc[GOLDEN_FILE_MAX + CODEC_HEAD_MAX];
	static uint8_t file[GOLDEN_FILE_MAX + CODEC_HEAD_MAX], back[GOLDEN_RAW_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
		const struct golden *g = &goldens[i];
		struct codec_info info;
		size_t len, file_len;

		golden_raw(g, raw);
		len = golden_make(g, raw, enc);
		if (getenv("MATFS_GOLDEN_WRITE"))
			golden_write(g->name, enc, len);
		file_len = golden_read(g->name, file, sizeof(file));
		assert_int_equal(codec_inspect(file, file_len, &info), 0);
		assert_int_equal(info.kind, g->kind);
		assert_int_equal(info.phase, g->phase);
		assert_int_equal(info.filter.id, g->filter.id);
		assert_int_equal(info.filter.width, g->filter.width);
		assert_int_equal(info.filter.swap, g->filter.swap);
		assert_int_equal(info.filter.order, g->filter.order);
		assert_int_equal(info.filter.bias, g->filter.bias);
		assert_int_equal(info.filter.dist, g->filter.dist);
		assert_int_equal(info.filter.pitch, g->filter.pitch);
		extent_check(file, file_len, raw, g->len);
		/* The head and the table are skippable frames: any zstd reads what has no filter. */
		if (g->kind == CODEC_KIND_ZSTD && g->filter.width == 1 &&
		    g->filter.id == FILTER_NONE) {
			memset(back, 0, g->len);
			assert_int_equal(ZSTD_decompress(back, g->len, file, file_len), g->len);
			assert_memory_equal(back, raw, g->len);
		}
		if (g->matches)
			continue;
		if (file_len != len || memcmp(file, enc, len) != 0)
			fail_msg("%s is written otherwise now", g->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(random_extents_come_back, say_what_failed),
		cmocka_unit_test(every_length_comes_back),
		cmocka_unit_test(borders_of_tiles_are_kept),
		cmocka_unit_test(wrong_lengths_are_refused),
		cmocka_unit_test(the_same_bytes_give_the_same_container),
		cmocka_unit_test(all_levels_work),
		cmocka_unit_test(higher_levels_are_never_longer),
		cmocka_unit_test(modes_choose_as_they_say),
		cmocka_unit_test(what_is_short_enough_is_not_searched),
		cmocka_unit_test(names_are_there),
		cmocka_unit_test(raw_extents_are_not_copied),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(flips_in_large_extents_stay_in_their_tile),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(cuts_of_large_extents_are_noticed),
		cmocka_unit_test(padding_is_ignored_and_lengths_are_not),
		cmocka_unit_test(tiles_that_are_not_there_are_refused),
		cmocka_unit_test(tiles_cover_every_byte_once),
		cmocka_unit_test(payloads_are_not_trusted),
		cmocka_unit_test(tables_are_not_trusted),
		cmocka_unit_test(threads_share_nothing),
		cmocka_unit_test(threads_may_share_a_file),
		cmocka_unit_test(want_of_memory_is_said),
		cmocka_unit_test(golden_files_of_version_1_read),
		cmocka_unit_test(golden_files_read_and_write_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
