/* What is chosen for made-up numbers, with and without a head, and what is remembered of it. Only
 * where the answer is plain: the rest is measured, not asserted. */
#include "codec/choose.h"

#include "codec/codec_file.h"
#include "tests/codec/extent_check.h"
#include "tests/codec/extent_make.h"

#define LEN ((size_t)400000)

static const struct codec_opts automatic = {CODEC_AUTO, CODEC_LEVEL_DEFAULT};

static struct codec_job job_of(struct codec_file *file, uint64_t off, const uint8_t *raw,
			       size_t len)
{
	return (struct codec_job){
		.opts = &automatic, .file = file, .file_off = off, .raw = raw, .raw_len = len};
}

/* Encode an extent of @id, at @off of @file. */
static struct codec_job encode(struct codec_file *file, uint64_t off, enum make_id id, size_t phase,
			       size_t len, struct rng *r)
{
	AUTO_FREE uint8_t *raw = malloc(len);
	struct codec_job j = job_of(file, off, raw, len);
	struct guarded enc;

	assert_non_null(raw);
	make_extent(raw, len, id, phase, r);
	enc = extent_through(&j);
	guarded_free(&enc);
	j.raw = NULL;
	j.payload = NULL;
	return j;
}

/* ---- without a head ---- */

struct expected {
	enum make_id id;
	enum codec_why why; /* CODEC_WHY_NR: any */
	uint8_t width;
	int filter; /* -1: any */
	uint16_t dist;
	uint8_t order; /* or above */
	uint32_t pitch;
};

static const struct expected plain[] = {
	{MAKE_NOISE, CODEC_WHY_NOISE, 1, FILTER_NONE, 0, 0, 0},
	{MAKE_TEXT, CODEC_WHY_MATCHES, 1, FILTER_NONE, 0, 0, 0},
	{MAKE_COPIES, CODEC_WHY_MATCHES, 1, FILTER_NONE, 0, 0, 0},
	{MAKE_FEW, CODEC_WHY_NUMBERS, 1, FILTER_NONE, 0, 0, 0},
	{MAKE_COLOURS, CODEC_WHY_NUMBERS, 1, FILTER_DELTA, 3, 1, 0},
	{MAKE_IMAGE8, CODEC_WHY_NUMBERS, 1, FILTER_LORENZO, 1, 0, MAKE_ROW},
	{MAKE_IMAGE16, CODEC_WHY_NUMBERS, 2, FILTER_LORENZO, 1, 0, 2 * MAKE_ROW},
	{MAKE_IMAGE32, CODEC_WHY_NUMBERS, 4, FILTER_LORENZO, 1, 0, 4 * MAKE_ROW},
	{MAKE_IMAGE64, CODEC_WHY_NUMBERS, 8, FILTER_LORENZO, 1, 0, 8 * MAKE_ROW},
	{MAKE_SOUND16, CODEC_WHY_NUMBERS, 2, FILTER_DELTA, 1, 2, 0},
	{MAKE_CURVE32, CODEC_WHY_NUMBERS, 4, FILTER_DELTA, 1, 2, 0},
	{MAKE_SORTED32, CODEC_WHY_NUMBERS, 4, FILTER_DELTA, 1, 1, 0},
	{MAKE_TIME64, CODEC_WHY_NUMBERS, 8, FILTER_DELTA, 1, 1, 0},
	{MAKE_NORMAL64, CODEC_WHY_NUMBERS, 8, -1, 0, 0, 0},
	{MAKE_CURVE64, CODEC_WHY_NR, 8, FILTER_DELTA, 1, 2, 0},
};

static void check_choice(const struct codec_job *j, const struct expected *e)
{
	const struct filter *f = &j->filter;

	if ((e->why != CODEC_WHY_NR && j->why != e->why) || f->width != e->width ||
	    (e->filter >= 0 && f->id != e->filter) || (e->dist && f->dist != e->dist) ||
	    f->order < e->order || (e->pitch && f->pitch != e->pitch))
		fail_msg("%s: %s, width %u, filter %u, dist %u, order %u, pitch %u, %zu bytes of "
			 "%zu",
			 make_kinds[e->id].name, codec_why_name[j->why], f->width, f->id, f->dist,
			 f->order, f->pitch, j->payload_len, j->raw_len);
}

static void numbers_are_recognised(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		struct codec_job j = encode(NULL, 0, plain[i].id, 0, LEN, &r);

		check_choice(&j, &plain[i]);
	}
}

/* What a better filter would have given, at most a little less. */
static void the_choice_is_near_the_best(void **state)
{
	/* Bytes of 400000 that each kind may take: half again what it takes today, so that a
	 * change for the worse is seen. */
	static const struct {
		enum make_id id;
		size_t most;
	} cases[] = {
		{MAKE_COUNTS16, 170000},     {MAKE_FEW, 110000},       {MAKE_COLOURS, 130000},
		{MAKE_IMAGE24, 190000},	     {MAKE_SOUND16, 200000},   {MAKE_SORTED32, 110000},
		{MAKE_BIG_ENDIAN32, 200000}, {MAKE_CURVE32, 110000},   {MAKE_TIME64, 100000},
		{MAKE_ROUND64, 200000},	     {MAKE_NORMAL64, 380000},  {MAKE_BOOL, 60000},
		{MAKE_SPARSE32, 60000},	     {MAKE_COMPLEX32, 360000}, {MAKE_RECORD, 270000},
	};
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct codec_job j = encode(NULL, 0, cases[i].id, 0, LEN, &r);

		if (j.payload_len > cases[i].most)
			fail_msg("%s: %zu bytes, filter %u of width %u",
				 make_kinds[cases[i].id].name, j.payload_len, j.filter.id,
				 j.filter.width);
	}
}

/* The last tile of an extent may be a few bytes, which tell nothing. */
static void the_tile_that_is_looked_at_is_a_long_one(void **state)
{
	static const enum make_id ids[] = {MAKE_NORMAL64, MAKE_RECORD, MAKE_SOUND16, MAKE_TEXT};
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct codec_file *file = codec_file_new();

		for (size_t more = 0; more < 40; more += 1 + more / 8) {
			struct codec_job j =
				encode(file, 8 * MIB, ids[i], 0, CODEC_TILE_LEN + more, &r);

			assert_int_equal(j.kind, CODEC_KIND_ZSTD);
		}
		codec_file_free(file);
	}
}

/* ---- with a head ---- */

struct told {
	const char *descr;
	const char *shape;
	enum make_id id;
	struct expected expected;
};

static void heads_are_believed(void **state)
{
	static const struct told cases[] = {
		{"<i2",
		 "(9999999,)",
		 MAKE_SOUND16,
		 {0, CODEC_WHY_NUMBERS, 2, FILTER_DELTA, 1, 2, 0}},
		{"<i4",
		 "(9999999,)",
		 MAKE_CURVE32,
		 {0, CODEC_WHY_NUMBERS, 4, FILTER_DELTA, 1, 2, 0}},
		{"<f8", "(9999999,)", MAKE_NORMAL64, {0, CODEC_WHY_NUMBERS, 8, -1, 0, 0, 0}},
		{"<f4",
		 "(9999999,)",
		 MAKE_NORMAL32,
		 {0, CODEC_WHY_NUMBERS, 4, FILTER_FLOAT, 0, 0, 0}},
		{"|u1",
		 "(9999999, 3)",
		 MAKE_COLOURS,
		 {0, CODEC_WHY_NUMBERS, 1, FILTER_DELTA, 3, 1, 0}},
		{"<u2",
		 "(99999, 612)",
		 MAKE_IMAGE16,
		 {0, CODEC_WHY_NUMBERS, 2, FILTER_LORENZO, 1, 0, 2 * MAKE_ROW}},
		{"<u4",
		 "(99999, 612)",
		 MAKE_IMAGE32,
		 {0, CODEC_WHY_NUMBERS, 4, FILTER_LORENZO, 1, 0, 4 * MAKE_ROW}},
		{"<u8",
		 "(99999, 612)",
		 MAKE_IMAGE64,
		 {0, CODEC_WHY_NUMBERS, 8, FILTER_LORENZO, 1, 0, 8 * MAKE_ROW}},
		{"|u1", "(9999999,)", MAKE_NOISE, {0, CODEC_WHY_NOISE, 1, FILTER_NONE, 0, 0, 0}},
		{"|u1", "(9999999,)", MAKE_TEXT, {0, CODEC_WHY_MATCHES, 1, FILTER_NONE, 0, 0, 0}},
	};
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct codec_file *file = codec_file_new();
		uint8_t head[MAKE_NPY_LEN];
		struct expected e = cases[i].expected;
		struct codec_job j;

		e.id = cases[i].id;
		make_npy(head, cases[i].descr, cases[i].shape);
		assert_true(codec_learn(file, 0, head, sizeof(head)));
		j = encode(file, MAKE_NPY_LEN + 10 * MIB, e.id, 0, LEN, &r);
		check_choice(&j, &e);
		codec_file_free(file);
	}
}

/* Extents begin anywhere in an item; tiles with one. */
static void a_head_gives_the_phase(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct codec_file *file = codec_file_new();
	uint8_t head[MAKE_NPY_LEN];

	(void)state;
	make_npy(head, "<f8", "(9999999,)");
	assert_true(codec_learn(file, 0, head, sizeof(head)));
	for (unsigned phase = 0; phase < 8; phase++) {
		for (int again = 0; again < 3; again++) {
			AUTO_FREE uint8_t *raw = malloc(LEN);
			struct codec_job j =
				job_of(file, MAKE_NPY_LEN + (1u << 20) - phase, raw, LEN - phase);
			struct guarded enc;
			struct codec_info info;

			assert_non_null(raw);
			make_extent(raw, j.raw_len, MAKE_NORMAL64, phase, &r);
			enc = extent_through(&j);
			assert_int_equal(codec_inspect(enc.p, enc.len, &info), 0);
			assert_int_equal(info.filter.width, 8);
			assert_int_equal(info.phase, phase);
			guarded_free(&enc);
		}
	}
	codec_file_free(file);
}

static void big_endian_numbers_are_turned(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct codec_file *file = codec_file_new();
	uint8_t head[MAKE_NPY_LEN];
	struct codec_job j;

	(void)state;
	make_npy(head, ">i4", "(9999999,)");
	assert_true(codec_learn(file, 0, head, sizeof(head)));
	j = encode(file, MAKE_NPY_LEN + 10 * MIB, MAKE_BIG_ENDIAN32, 0, LEN, &r);
	assert_int_equal(j.why, CODEC_WHY_NUMBERS);
	assert_int_equal(j.filter.width, 4);
	assert_int_equal(j.filter.id, FILTER_DELTA);
	assert_int_equal(j.filter.swap, 1);
	codec_file_free(file);
}

/* A head may lie; its numbers are still found, at another width. */
static void a_lie_costs_room_only(void **state)
{
	static const char *const descrs[] = {"<f8", "<i2", "|u1", ">c16"};
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(descrs); i++) {
		struct codec_file *file = codec_file_new();
		uint8_t head[MAKE_NPY_LEN];

		make_npy(head, descrs[i], "(9999999, 7)");
		assert_true(codec_learn(file, 0, head, sizeof(head)));
		for (uint64_t off = 0; off < 3; off++)
			encode(file, MAKE_NPY_LEN + off * LEN + 3,
			       (enum make_id)rng_below(&r, MAKE_NR), 0, LEN, &r);
		codec_file_free(file);
	}
}

/* ---- memory ---- */

static struct codec_notes notes_of(struct codec_file *file)
{
	struct head_array array;
	struct codec_notes n;

	codec_file_recall(file, 0, LEN, &array, &n);
	return n;
}

/* choose() alone, on @len bytes of @raw. */
static bool recalled(struct codec_file *file, const uint8_t *raw, size_t len, struct choices *c)
{
	struct guarded work = guarded_new(round_up(choose_work_len(), 64), GUARD_ABOVE);
	struct codec_job j = job_of(file, 8 * LEN, raw, len);

	assert_int_equal(choose(&j, work.p, c), 0);
	choose_result(&j, c->recalled, len / 2, c->nr > 0);
	guarded_free(&work);
	return c->recalled;
}

static void what_was_found_is_recalled(void **state)
{
	static const enum make_id ids[] = {MAKE_IMAGE16, MAKE_NORMAL64, MAKE_TEXT, MAKE_RECORD};
	struct rng r = rng_seeded(__func__);
	AUTO_FREE uint8_t *raw = malloc(LEN);

	(void)state;
	assert_non_null(raw);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct codec_file *file = codec_file_new();
		unsigned nr_recalled = 0;
		struct choices first, c;

		make_extent(raw, LEN, ids[i], 0, &r);
		assert_false(recalled(file, raw, LEN, &first));
		assert_true(first.nr > 0);
		for (int extent = 1; extent < 100; extent++) {
			nr_recalled += recalled(file, raw, LEN, &c);
			assert_true(c.nr > 0);
			assert_int_equal(c.list[0].filter.id, first.list[0].filter.id);
			assert_int_equal(c.list[0].filter.width, first.list[0].filter.width);
			assert_int_equal(c.list[0].filter.dist, first.list[0].filter.dist);
			assert_int_equal(c.list[0].filter.pitch, first.list[0].filter.pitch);
			assert_int_equal(c.list[0].matches, first.list[0].matches);
		}
		/* Looks become rare while they find the same. */
		assert_true(nr_recalled >= 85);
		codec_file_free(file);
	}
}

static void higher_levels_look_each_time(void **state)
{
	static const struct codec_opts slow = {CODEC_AUTO, 3};
	struct rng r = rng_seeded(__func__);
	AUTO_FREE uint8_t *raw = malloc(LEN);
	AUTO_FREE uint8_t *work = aligned_alloc(64, round_up(choose_work_len(), 64));
	struct codec_file *file = codec_file_new();
	struct codec_job j = job_of(file, LEN, raw, LEN);
	struct choices c;

	(void)state;
	assert_true(raw && work);
	j.opts = &slow;
	make_extent(raw, LEN, MAKE_IMAGE16, 0, &r);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(choose(&j, work, &c), 0);
		assert_false(c.recalled);
		assert_true(c.nr > 5);
		for (unsigned k = 2; k < c.nr; k++)
			assert_true(c.list[k - 1].cost <= c.list[k].cost);
	}
	codec_file_free(file);
}

/* Encode @nr extents; how many of them were raw? */
static unsigned count_raw(struct codec_file *file, enum make_id id, unsigned nr, size_t len,
			  struct rng *r)
{
	unsigned nr_raw = 0;

	for (unsigned i = 0; i < nr; i++) {
		struct codec_job j = encode(file, 8 * LEN, id, 0, len, r);

		nr_raw += j.kind == CODEC_KIND_RAW;
	}
	return nr_raw;
}

static void a_file_that_changes_its_numbers_is_followed(void **state)
{
	static const struct {
		enum make_id id;
		unsigned width;
	} turns[] = {{MAKE_SORTED32, 4}, {MAKE_TIME64, 8}, {MAKE_FEW, 1},
		     {MAKE_SOUND16, 2},	 {MAKE_TEXT, 1},   {MAKE_NORMAL64, 8}};
	struct rng r = rng_seeded(__func__);
	struct codec_file *file = codec_file_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(turns); i++) {
		unsigned nr_right = 0;

		/* However settled it was before: soon, and then for good. */
		for (unsigned k = 0; k < 60; k++) {
			struct codec_job j = encode(file, 8 * LEN, turns[i].id, 0, 150000, &r);

			nr_right += j.kind == CODEC_KIND_ZSTD && j.filter.width == turns[i].width;
		}
		if (nr_right < 54)
			fail_msg("%s: %u of 60", make_kinds[turns[i].id].name, nr_right);
	}
	codec_file_free(file);
}

static void noise_is_left_alone_and_its_end_is_noticed(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct codec_file *file = codec_file_new();
	struct codec_notes n;
	unsigned longest = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(count_raw(file, MAKE_NOISE, 1, 70000, &r), 1);
		longest = MAX(longest, notes_of(file).skip);
	}
	assert_int_equal(longest, 255);
	/* Uneven bytes are seen at once, even in the midst of a skip. */
	n = notes_of(file);
	n.skip = 255;
	codec_file_note(file, &n);
	assert_int_equal(count_raw(file, MAKE_TEXT, 1, PROBE_GLANCE_MIN, &r), 0);
	assert_int_equal(notes_of(file).skip, 0);
	/* Numbers need a search: at the end of the skip at the latest. */
	assert_int_equal(count_raw(file, MAKE_NOISE, 100, 70000, &r), 100);
	assert_true(count_raw(file, MAKE_NORMAL64, 40, 70000, &r) <= 31);
	assert_int_equal(count_raw(file, MAKE_NORMAL64, 10, 70000, &r), 0);
	codec_file_free(file);
}

/* What does not compress meets no encoder: a search says so, or not even that is made. */
static void noise_is_not_encoded(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct codec_file *file = codec_file_new();
	unsigned nr_dull = 0, nr_noise = 0;
	AUTO_FREE uint8_t *raw = malloc(LEN);
	AUTO_FREE uint8_t *scratch = malloc(codec_scratch_len(LEN));
	AUTO_FREE uint8_t *clean = malloc(codec_scratch_len(LEN));

	(void)state;
	assert_true(raw && scratch && clean);
	make_extent(raw, LEN, MAKE_NOISE, 0, &r);
	memset(scratch, 0xa5, codec_scratch_len(LEN));
	memset(clean, 0xa5, codec_scratch_len(LEN));
	for (unsigned i = 0; i < 130; i++) {
		struct codec_job j = job_of(file, i * LEN, raw, LEN);

		j.scratch = scratch;
		assert_int_equal(codec_encode(&j), 0);
		assert_int_equal(j.kind, CODEC_KIND_RAW);
		nr_dull += j.why == CODEC_WHY_DULL;
		nr_noise += j.why == CODEC_WHY_NOISE;
	}
	assert_int_equal(nr_dull + nr_noise, 130);
	assert_true(nr_dull >= 115);
	/* Where payloads are made nothing was ever written. */
	assert_memory_equal(scratch, clean, codec_scratch_len(LEN));
	codec_file_free(file);
}

/* A search that was fooled has its answer forgotten, not kept. */
static void an_answer_that_does_not_pay_is_dropped(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct codec_file *file = codec_file_new();
	struct codec_job j;

	(void)state;
	for (int i = 0; i < 70; i++)
		encode(file, 8 * LEN, MAKE_SORTED32, 0, 100000, &r);
	assert_true(notes_of(file).trust > 2);
	j = encode(file, 8 * LEN, MAKE_NOISE, 0, 100000, &r);
	assert_int_equal(j.kind, CODEC_KIND_RAW);
	if (j.why == CODEC_WHY_GAIN)
		assert_int_equal(notes_of(file).nr, 0);
	j = encode(file, 8 * LEN, MAKE_SORTED32, 0, 100000, &r);
	assert_int_equal(j.kind, CODEC_KIND_ZSTD);
	codec_file_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_recognised),
		cmocka_unit_test(the_choice_is_near_the_best),
		cmocka_unit_test(the_tile_that_is_looked_at_is_a_long_one),
		cmocka_unit_test(heads_are_believed),
		cmocka_unit_test(a_head_gives_the_phase),
		cmocka_unit_test(big_endian_numbers_are_turned),
		cmocka_unit_test(a_lie_costs_room_only),
		cmocka_unit_test(what_was_found_is_recalled),
		cmocka_unit_test(higher_levels_look_each_time),
		cmocka_unit_test(a_file_that_changes_its_numbers_is_followed),
		cmocka_unit_test(noise_is_left_alone_and_its_end_is_noticed),
		cmocka_unit_test(noise_is_not_encoded),
		cmocka_unit_test(an_answer_that_does_not_pay_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
