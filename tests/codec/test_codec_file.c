/* What is remembered of a file: its heads' arrays, and notes that belong to one of them. */
#include "tests/codec/codec_test.h"

#include "codec/codec_file.h"
#include "tests/codec/extent_make.h"

static void nothing_is_known_without_a_file(void **state)
{
	uint8_t head[MAKE_NPY_LEN];
	struct head_array array = {.width = 9};
	struct codec_notes notes = {.nr = 9};

	(void)state;
	make_npy(head, "<f8", "(1000,)");
	assert_false(codec_learn(NULL, 0, head, sizeof(head)));
	codec_file_recall(NULL, 0, 1000, &array, &notes);
	assert_int_equal(array.width, 0);
	assert_int_equal(notes.nr, 0);
	codec_file_note(NULL, &notes);
	codec_file_free(NULL);
}

static void a_head_tells_of_what_follows_it(void **state)
{
	struct codec_file *file = codec_file_new();
	struct head_array array;
	struct codec_notes notes;
	uint8_t head[4096] = {0};

	(void)state;
	assert_non_null(file);
	assert_false(codec_file_seen(file));
	make_npy(head, "<f4", "(1000, 250)");
	assert_true(codec_learn(file, 0, head, sizeof(head)));
	assert_true(codec_file_seen(file));
	/* The whole array, an extent in it, and one that begins before it. */
	for (uint64_t off = 0; off < 900000; off += 300000) {
		codec_file_recall(file, off, 100000, &array, &notes);
		assert_int_equal(array.width, 4);
		assert_int_equal(array.start, MAKE_NPY_LEN);
		assert_int_equal(array.end, MAKE_NPY_LEN + 1000000);
		assert_int_equal(array.pitch, 1000);
		assert_int_equal(notes.start, array.start);
		assert_int_equal(notes.nr, 0);
	}
	/* Behind it nothing is known, nor where it is the smaller part. */
	codec_file_recall(file, 2000000, 100000, &array, &notes);
	assert_int_equal(array.width, 0);
	assert_int_equal(notes.start, 0);
	codec_file_recall(file, 990000, 100000, &array, &notes);
	assert_int_equal(array.width, 0);
	codec_file_recall(file, 920000, 100000, &array, &notes);
	assert_int_equal(array.width, 4);
	codec_file_free(file);
}

static void other_bytes_tell_nothing(void **state)
{
	struct rng r = {1};
	struct codec_file *file = codec_file_new();
	struct head_array array;
	struct codec_notes notes;
	uint8_t bytes[4096];

	(void)state;
	make_extent(bytes, sizeof(bytes), MAKE_NORMAL64, 0, &r);
	assert_false(codec_learn(file, 4096, bytes, sizeof(bytes)));
	/* Not the first bytes: those may still come. */
	assert_false(codec_file_seen(file));
	assert_false(codec_learn(file, 0, bytes, sizeof(bytes)));
	assert_true(codec_file_seen(file));
	make_npy(bytes, "<f4", "(1000,)");
	assert_false(codec_learn(file, 4096, bytes, sizeof(bytes)));
	codec_file_recall(file, 0, 4096, &array, &notes);
	assert_int_equal(array.width, 0);
	codec_file_free(file);
}

static void a_file_that_begins_anew_is_forgotten(void **state)
{
	struct codec_file *file = codec_file_new();
	struct codec_notes notes;
	struct head_array array;
	uint8_t head[MAKE_NPY_LEN];

	(void)state;
	make_npy(head, "<f4", "(100000,)");
	assert_true(codec_learn(file, 0, head, sizeof(head)));
	codec_file_recall(file, 0, 1000, &array, &notes);
	notes.nr = 1;
	notes.trust = 3;
	codec_file_note(file, &notes);
	make_npy(head, "<i2", "(100000,)");
	assert_true(codec_learn(file, 0, head, sizeof(head)));
	codec_file_recall(file, 0, 1000, &array, &notes);
	assert_int_equal(array.width, 2);
	assert_int_equal(notes.nr, 0);
	assert_int_equal(notes.trust, 0);
	memset(head, 'x', sizeof(head));
	assert_false(codec_learn(file, 0, head, sizeof(head)));
	codec_file_recall(file, 0, 1000, &array, &notes);
	assert_int_equal(array.width, 0);
	codec_file_free(file);
}

/* A member of a .npz archive: local header, .npy head, and room for the numbers. */
static size_t add_member(uint8_t *p, const char *descr, unsigned nr, size_t item)
{
	static const char name[] = "a.npy";
	size_t data_len = MAKE_NPY_LEN + nr * item, at = 30 + sizeof(name) - 1;
	char shape[40];

	memset(p, 0, at);
	memcpy(p, "PK\3\4", 4);
	put_u32(p + 18, (uint32_t)data_len);
	put_u32(p + 22, (uint32_t)data_len);
	put_u16(p + 26, sizeof(name) - 1);
	memcpy(p + 30, name, sizeof(name) - 1);
	snprintf(shape, sizeof(shape), "(%u,)", nr);
	make_npy(p + at, descr, shape);
	memset(p + at + MAKE_NPY_LEN, 7, nr * item);
	return at + data_len;
}

static void notes_belong_to_their_array(void **state)
{
	struct codec_file *file = codec_file_new();
	struct codec_notes notes;
	struct head_array array;
	AUTO_FREE uint8_t *bytes = malloc(3 * 50000);
	size_t first, len;

	(void)state;
	assert_non_null(bytes);
	first = add_member(bytes, "<f8", 5000, 8);
	len = first + add_member(bytes + first, "<i2", 20000, 2);
	assert_true(codec_learn(file, 0, bytes, len));
	codec_file_recall(file, 1000, 10000, &array, &notes);
	assert_int_equal(array.width, 8);
	notes.nr = 1;
	notes.trust = 4;
	codec_file_note(file, &notes);
	codec_file_recall(file, 20000, 10000, &array, &notes);
	assert_int_equal(notes.trust, 4);
	/* Those of the other array begin empty, and take the place. */
	codec_file_recall(file, first + 1000, 10000, &array, &notes);
	assert_int_equal(array.width, 2);
	assert_int_equal(notes.trust, 0);
	assert_int_equal(notes.start, array.start);
	codec_file_note(file, &notes);
	codec_file_recall(file, 20000, 10000, &array, &notes);
	assert_int_equal(array.width, 8);
	assert_int_equal(notes.trust, 0);
	codec_file_free(file);
}

/* Heads one behind the other, each in an extent of its own, more than are kept. */
static void heads_are_followed_through_the_file(void **state)
{
	static const char *const descrs[] = {"<f8", "<i2", "<f4", "|u1"};
	static const unsigned widths[] = {8, 2, 4, 1};
	struct codec_file *file = codec_file_new();
	uint8_t bytes[9000];
	uint64_t off = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		unsigned w = widths[i % 4];
		size_t len = add_member(bytes, descrs[i % 4], 8000 / w, w);
		struct codec_notes notes;
		struct head_array array;

		assert_true(codec_learn(file, off, bytes, len));
		codec_file_recall(file, off, len, &array, &notes);
		assert_int_equal(array.width, w);
		assert_int_equal(array.end, off + len);
		off += len;
	}
	codec_file_free(file);
}

/* Bytes that come in any order, lengths and places that no file has. */
static void any_bytes_are_safe(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct codec_file *file = codec_file_new();
	AUTO_FREE uint8_t *bytes = malloc(20000);

	(void)state;
	assert_non_null(bytes);
	for (unsigned i = 0; i < 3000; i++) {
		struct codec_notes notes;
		struct head_array array;
		uint64_t off = rng_below(&r, 3) ? rng_next(&r) >> rng_below(&r, 60) : 0;
		size_t len = add_member(bytes, "<f4", (unsigned)rng_below(&r, 2000), 4);

		for (unsigned k = 0; k < i % 4; k++)
			bytes[rng_below(&r, 170)] = (uint8_t)rng_next(&r);
		codec_learn(file, off, bytes + 35 * (i % 2), rng_below(&r, len - 35 + 1));
		codec_file_recall(file, off, len, &array, &notes);
		assert_true(array.width == 0 || array.width == 1 || array.width == 2 ||
			    array.width == 4 || array.width == 8);
		notes.nr = (uint8_t)rng_below(&r, NOTES_BEST + 1);
		codec_file_note(file, &notes);
	}
	codec_file_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known_without_a_file),
		cmocka_unit_test(a_head_tells_of_what_follows_it),
		cmocka_unit_test(other_bytes_tell_nothing),
		cmocka_unit_test(a_file_that_begins_anew_is_forgotten),
		cmocka_unit_test(notes_belong_to_their_array),
		cmocka_unit_test(heads_are_followed_through_the_file),
		cmocka_unit_test(any_bytes_are_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
