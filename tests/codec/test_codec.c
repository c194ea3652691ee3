/* Extents through the whole codec: what is stored comes back, what is damaged is noticed, what does
 * not pay is left alone, and what was written by the first version still reads.
 *
 * MATFS_GOLDEN_WRITE=1 writes the golden files anew; only a new version of the format is a reason
 * to. */
#include "tests/codec/codec_test.h"

#include <errno.h>
#include <pthread.h>
#include <zstd.h>

#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/planes.h"
#include "codec/probe.h"

static const struct codec_opts automatic = {CODEC_AUTO, CODEC_LEVEL_DEFAULT};

/* Encode, copy to a buffer of exactly the container's length, decode, compare. Returns the
 * container. */
static struct guarded through(const struct codec_opts *opts, struct codec_hint *hint,
			      uint64_t file_off, const uint8_t *raw, size_t len,
			      struct codec_out *out)
{
	struct guarded scratch = guarded_new(codec_scratch_len(len), GUARD_ABOVE);
	struct guarded back = guarded_new(len, GUARD_ABOVE);
	struct guarded enc;
	struct codec_info info;

	assert_int_equal(codec_encode(opts, hint, file_off, raw, len, scratch.p, out), 0);
	assert_true(out->payload_len <= len);
	enc = guarded_new(CODEC_HEAD_LEN + out->payload_len, GUARD_ABOVE);
	memcpy(enc.p, out->head, CODEC_HEAD_LEN);
	memcpy(enc.p + CODEC_HEAD_LEN, out->payload, out->payload_len);
	assert_int_equal(codec_inspect(enc.p, enc.len, &info), 0);
	assert_int_equal(info.kind, out->kind);
	assert_int_equal(info.width, out->width);
	assert_int_equal(info.raw_len, len);
	assert_int_equal(info.stored_len, out->payload_len);
	assert_int_equal(codec_decode(enc.p, enc.len, back.p, len), 0);
	assert_memory_equal(back.p, raw, len);
	guarded_free(&scratch);
	guarded_free(&back);
	return enc;
}

static void check(const struct codec_opts *opts, struct codec_hint *hint, uint64_t file_off,
		  const uint8_t *raw, size_t len)
{
	struct codec_out out;
	struct guarded enc = through(opts, hint, file_off, raw, len, &out);

	if (opts->mode == CODEC_NONE)
		assert_int_not_equal(out.kind, CODEC_KIND_ZSTD);
	if (opts->mode == CODEC_ZSTD)
		assert_int_equal(out.width, 1);
	if (out.kind == CODEC_KIND_ZSTD)
		assert_true(out.payload_len <= probe_limit(len));
	guarded_free(&enc);
}

static void every_length_comes_back(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t n = 0; test_len(n); n++) {
		size_t len = test_len(n);
		struct guarded raw;

		if (len > CODEC_RAW_MAX)
			continue;
		raw = guarded_new(len, n % 2 ? GUARD_ABOVE : GUARD_BELOW);
		for (int kind = 0; kind < SAMPLE_NR; kind++) {
			struct codec_hint hint = {.width = 8, .told = 1, .data_off = n};
			struct codec_opts opts = {(enum codec_mode)rng_below(&r, 3), 1};

			/* Long extents take their time: one kind each, by turns. */
			if (len > 70000 && (size_t)kind != n % SAMPLE_NR)
				continue;
			sample_fill(raw.p, len, (enum sample)kind, n % 8, &r);
			check(&automatic, NULL, 0, raw.p, len);
			check(&automatic, &hint, 0, raw.p, len);
			check(&opts, &hint, n, raw.p, len);
		}
		guarded_free(&raw);
	}
}

static void any_hint_is_safe(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct guarded raw = guarded_new(9000, GUARD_ABOVE);

	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct codec_hint hint;
		struct codec_opts opts = {(enum codec_mode)rng_below(&r, 3),
					  1 + (int)rng_below(&r, 5)};
		size_t len = 1 + rng_below(&r, raw.len);
		uint8_t *p = raw.p + raw.len - len;

		for (size_t b = 0; b < sizeof(hint); b++)
			((uint8_t *)&hint)[b] = (uint8_t)(i ? rng_next(&r) : 0xff);
		sample_fill(p, len, (enum sample)rng_below(&r, SAMPLE_NR), 0, &r);
		for (int again = 0; again < 3; again++)
			check(&opts, &hint, rng_next(&r), p, len);
	}
	guarded_free(&raw);
}

static void wrong_lengths_are_refused(void **state)
{
	struct codec_out out;
	uint8_t raw[1] = {0};

	(void)state;
	assert_int_equal(codec_encode(&automatic, NULL, 0, raw, 0, NULL, &out), -EINVAL);
	assert_int_equal(codec_encode(&automatic, NULL, 0, raw, CODEC_RAW_MAX + 1, NULL, &out),
			 -EINVAL);
}

static void all_levels_work(void **state)
{
	struct rng r = rng_seeded(__func__);
	static uint8_t raw[50000];
	size_t first = 0, last = 0;

	(void)state;
	sample_fill(raw, sizeof(raw), SAMPLE_TEXT, 0, &r);
	for (int level = CODEC_LEVEL_MIN; level <= CODEC_LEVEL_MAX; level++) {
		struct codec_opts opts = {CODEC_AUTO, level};
		struct codec_out out;
		struct guarded enc = through(&opts, NULL, 0, raw, sizeof(raw), &out);

		first = level == CODEC_LEVEL_MIN ? out.payload_len : first;
		last = out.payload_len;
		guarded_free(&enc);
	}
	assert_true(last < first);
}

static enum codec_kind kind_of(enum codec_mode mode, enum sample kind, uint8_t *width)
{
	static uint8_t raw[200000];
	struct codec_opts opts = {mode, 1};
	struct rng r = {5};
	struct codec_out out;
	struct guarded enc;

	sample_fill(raw, sizeof(raw), kind, 0, &r);
	enc = through(&opts, NULL, 0, raw, sizeof(raw), &out);
	guarded_free(&enc);
	if (width)
		*width = out.width;
	return out.kind;
}

static void modes_choose_as_they_say(void **state)
{
	uint8_t width;

	(void)state;
	for (int mode = CODEC_AUTO; mode <= CODEC_ZSTD; mode++) {
		assert_int_equal(kind_of((enum codec_mode)mode, SAMPLE_EQUAL, NULL),
				 CODEC_KIND_FILL);
		assert_int_equal(kind_of((enum codec_mode)mode, SAMPLE_RANDOM, NULL),
				 CODEC_KIND_RAW);
		assert_int_equal(kind_of((enum codec_mode)mode, SAMPLE_TEXT, NULL),
				 mode == CODEC_NONE ? CODEC_KIND_RAW : CODEC_KIND_ZSTD);
	}
	assert_int_equal(kind_of(CODEC_AUTO, SAMPLE_FLOAT64, &width), CODEC_KIND_ZSTD);
	assert_int_equal(width, 8);
	assert_int_equal(kind_of(CODEC_AUTO, SAMPLE_FLOAT32, &width), CODEC_KIND_ZSTD);
	assert_int_equal(width, 4);
	assert_int_equal(kind_of(CODEC_AUTO, SAMPLE_INT16, &width), CODEC_KIND_ZSTD);
	assert_int_equal(width, 2);
	assert_int_equal(kind_of(CODEC_AUTO, SAMPLE_TEXT, &width), CODEC_KIND_ZSTD);
	assert_int_equal(width, 1);
}

static void a_told_width_gives_the_phase(void **state)
{
	static uint8_t raw[65536];
	struct rng r = {6};

	(void)state;
	for (unsigned phase = 0; phase < 8; phase++) {
		for (uint64_t off = 0; off < 3; off++) {
			struct codec_hint hint = {.width = 8, .told = 1, .data_off = 128};
			/* Before, at and behind the first item. */
			uint64_t file_off = 128 - phase + (off - 1) * 8;
			struct codec_info info;
			struct codec_out out;
			struct guarded enc;

			sample_fill(raw, sizeof(raw), SAMPLE_FLOAT64, phase, &r);
			for (int extent = 0; extent < 3; extent++) {
				enc = through(&automatic, &hint, file_off, raw, sizeof(raw), &out);
				assert_int_equal(codec_inspect(enc.p, enc.len, &info), 0);
				assert_int_equal(info.width, 8);
				assert_int_equal(info.phase, phase);
				assert_int_equal(hint.width, 8);
				guarded_free(&enc);
			}
		}
	}
}

/* Encode @nr extents of one kind in a row; how many of them were stored raw? */
static int count_raw(struct codec_hint *hint, enum sample kind, size_t len, int nr, struct rng *r)
{
	static uint8_t raw[PROBE_GLANCE_MIN];
	int nr_raw = 0;

	for (int i = 0; i < nr; i++) {
		struct codec_out out;
		struct guarded enc;

		sample_fill(raw, len, kind, 0, r);
		enc = through(&automatic, hint, 0, raw, len, &out);
		nr_raw += out.kind == CODEC_KIND_RAW;
		guarded_free(&enc);
	}
	return nr_raw;
}

static void noise_is_left_alone_and_its_end_is_noticed(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct codec_hint hint = {0};
	uint8_t longest = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(count_raw(&hint, SAMPLE_RANDOM, 65536, 1, &r), 1);
		longest = MAX(longest, hint.skip);
	}
	assert_int_equal(longest, 31);
	/* Uneven bytes are seen at once, even in the midst of a skip. */
	hint.skip = 31;
	assert_int_equal(count_raw(&hint, SAMPLE_TEXT, PROBE_GLANCE_MIN, 1, &r), 0);
	assert_int_equal(hint.skip, 0);
	/* Numbers need a search: at the end of the skip at the latest. */
	assert_int_equal(count_raw(&hint, SAMPLE_RANDOM, 65536, 200, &r), 200);
	assert_true(count_raw(&hint, SAMPLE_FLOAT64, 65536, 40, &r) <= 31);
	assert_int_equal(count_raw(&hint, SAMPLE_FLOAT64, 65536, 10, &r), 0);
}

static void a_file_that_changes_its_numbers_is_followed(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct codec_hint hint = {0};

	(void)state;
	count_raw(&hint, SAMPLE_FLOAT32, 65536, 40, &r);
	assert_int_equal(hint.width, 4);
	count_raw(&hint, SAMPLE_FLOAT64, 65536, 20, &r);
	assert_int_equal(hint.width, 8);
	count_raw(&hint, SAMPLE_TEXT, 65536, 20, &r);
	assert_int_equal(hint.width, 1);
}

/* A small container of each kind. */
static struct guarded small(enum sample kind)
{
	uint8_t raw[2000];
	struct rng r = {7};
	struct codec_out out;

	sample_fill(raw, sizeof(raw), kind, 0, &r);
	return through(&automatic, NULL, 0, raw, sizeof(raw), &out);
}

static const enum sample smalls[] = {SAMPLE_RANDOM, SAMPLE_EQUAL, SAMPLE_TEXT, SAMPLE_FLOAT64};

static void every_flipped_bit_is_noticed(void **state)
{
	uint8_t back[2000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(smalls); i++) {
		struct guarded enc = small(smalls[i]);

		for (size_t bit = 0; bit < enc.len * 8; bit++) {
			int err;

			enc.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
			err = codec_decode(enc.p, enc.len, back, sizeof(back));
			if (err != (bit / 8 == 10 ? -ENOTSUP : -EBADMSG))
				fail_msg("kind %d, bit %zu: %d", smalls[i], bit, err);
			enc.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_int_equal(codec_decode(enc.p, enc.len, back, sizeof(back)), 0);
		guarded_free(&enc);
	}
}

static void every_cut_is_noticed(void **state)
{
	uint8_t back[2000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(smalls); i++) {
		struct guarded enc = small(smalls[i]);

		for (size_t len = 0; len < enc.len; len++) {
			struct guarded cut = guarded_new(len, GUARD_ABOVE);
			struct codec_info info;

			memcpy(cut.p, enc.p, len);
			assert_int_equal(codec_decode(cut.p, len, back, sizeof(back)), -EBADMSG);
			assert_int_equal(codec_inspect(cut.p, len, &info), -EBADMSG);
			guarded_free(&cut);
		}
		guarded_free(&enc);
	}
}

static void padding_is_ignored_and_lengths_are_not(void **state)
{
	uint8_t back[2001];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(smalls); i++) {
		struct guarded enc = small(smalls[i]);
		struct guarded padded = guarded_new(enc.len + 100, GUARD_ABOVE);

		memset(padded.p, 0xee, padded.len);
		memcpy(padded.p, enc.p, enc.len);
		assert_int_equal(codec_decode(padded.p, padded.len, back, 2000), 0);
		assert_int_equal(codec_decode(enc.p, enc.len, back, 2001), -EBADMSG);
		assert_int_equal(codec_decode(enc.p, enc.len, back, 1999), -EBADMSG);
		guarded_free(&enc);
		guarded_free(&padded);
	}
}

/* Right checksums around a payload that is wrong, or made by another encoder. */
static void payloads_are_not_trusted(void **state)
{
	static const char text[] = "a payload that no version of zstd would call a frame";
	uint8_t enc[300], raw[160], planes[160], back[160];
	struct frame f = {.info = {.kind = CODEC_KIND_ZSTD, .width = 4, .raw_len = sizeof(raw)}};
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)(i % 4 * i / 8);
	f.raw_sum = frame_sum(raw, sizeof(raw));
	memcpy(enc + CODEC_HEAD_LEN, text, sizeof(text));
	f.info.stored_len = sizeof(text);
	frame_encode(&f, enc + CODEC_HEAD_LEN, enc);
	assert_int_equal(codec_decode(enc, sizeof(enc), back, sizeof(back)), -EBADMSG);
	/* One frame for all planes is as good as one each. */
	planes_split(planes, raw, sizeof(raw), 4, 0);
	len = ZSTD_compress(enc + CODEC_HEAD_LEN, 200, planes, sizeof(planes), 19);
	assert_false(ZSTD_isError(len));
	f.info.stored_len = (uint32_t)len;
	frame_encode(&f, enc + CODEC_HEAD_LEN, enc);
	assert_int_equal(codec_decode(enc, sizeof(enc), back, sizeof(back)), 0);
	assert_memory_equal(back, raw, sizeof(raw));
	/* A frame of other bytes. */
	f.raw_sum++;
	frame_encode(&f, enc + CODEC_HEAD_LEN, enc);
	assert_int_equal(codec_decode(enc, sizeof(enc), back, sizeof(back)), -EBADMSG);
	/* A frame that is shorter than the head says. */
	f.info.raw_len = sizeof(raw) + 8;
	frame_encode(&f, enc + CODEC_HEAD_LEN, enc);
	assert_int_equal(codec_decode(enc, sizeof(enc), enc, sizeof(raw) + 8), -EBADMSG);
}

/* Returns its argument if something was wrong, else NULL. */
static void *encode_and_decode(void *arg)
{
	struct rng r = {(uint64_t)(uintptr_t)arg};
	size_t max = 100000;
	AUTO_FREE uint8_t *raw = malloc(max);
	AUTO_FREE uint8_t *back = malloc(max);
	AUTO_FREE uint8_t *enc = malloc(CODEC_HEAD_LEN + max);
	AUTO_FREE uint8_t *scratch = malloc(codec_scratch_len(max));

	if (!raw || !back || !enc || !scratch)
		return arg;
	for (int i = 0; i < 30; i++) {
		size_t len = 1 + rng_below(&r, max);
		struct codec_out out;

		sample_fill(raw, len, (enum sample)(i % SAMPLE_NR), 0, &r);
		if (codec_encode(&automatic, NULL, 0, raw, len, scratch, &out))
			return arg;
		memcpy(enc, out.head, CODEC_HEAD_LEN);
		memcpy(enc + CODEC_HEAD_LEN, out.payload, out.payload_len);
		if (codec_decode(enc, CODEC_HEAD_LEN + out.payload_len, back, len) ||
		    memcmp(raw, back, len) != 0)
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

/* Golden files. Their extents are made by arithmetic alone, so that they need no file of their
 * own. */
struct golden {
	const char *name;
	enum codec_kind kind;
	uint8_t width;
	uint8_t phase;
	size_t len;
};

static const struct golden goldens[] = {
	{"raw", CODEC_KIND_RAW, 1, 0, 500},	  {"fill", CODEC_KIND_FILL, 1, 0, 70000},
	{"zstd_w1", CODEC_KIND_ZSTD, 1, 0, 3000}, {"zstd_w2", CODEC_KIND_ZSTD, 2, 1, 2001},
	{"zstd_w4", CODEC_KIND_ZSTD, 4, 3, 2003}, {"zstd_w8", CODEC_KIND_ZSTD, 8, 5, 4003},
};

static void golden_raw(const struct golden *g, uint8_t *p)
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

static size_t golden_read(const char *path, uint8_t *p, size_t room)
{
	FILE *f = fopen(path, "rb");
	size_t len;

	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	len = fread(p, 1, room, f);
	fclose(f);
	return len;
}

static void golden_write(const char *path, const struct codec_out *out)
{
	FILE *f = fopen(path, "wb");

	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(fwrite(out->head, 1, CODEC_HEAD_LEN, f), CODEC_HEAD_LEN);
	assert_int_equal(fwrite(out->payload, 1, out->payload_len, f), out->payload_len);
	assert_int_equal(fclose(f), 0);
}

static void golden_files_read_and_write_the_same(void **state)
{
	static uint8_t raw[70000], back[70000], file[8000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
		const struct golden *g = &goldens[i];
		struct codec_hint hint = {.width = g->width, .told = 1, .data_off = g->phase};
		AUTO_FREE uint8_t *scratch = malloc(codec_scratch_len(g->len));
		struct codec_info info;
		struct codec_out out;
		char path[500];
		size_t len;

		assert_non_null(scratch);
		snprintf(path, sizeof(path), "%s/codec/golden/%s.extent", TEST_SRC_DIR, g->name);
		golden_raw(g, raw);
		assert_int_equal(codec_encode(&automatic, &hint, 0, raw, g->len, scratch, &out), 0);
		if (getenv("MATFS_GOLDEN_WRITE"))
			golden_write(path, &out);
		len = golden_read(path, file, sizeof(file));
		assert_int_equal(codec_inspect(file, len, &info), 0);
		assert_int_equal(info.kind, g->kind);
		assert_int_equal(info.width, g->width);
		assert_int_equal(info.phase, g->phase);
		assert_int_equal(info.stored_len, len - CODEC_HEAD_LEN);
		memset(back, 0, g->len);
		assert_int_equal(codec_decode(file, len, back, g->len), 0);
		assert_memory_equal(back, raw, g->len);
		/* The head is a skippable frame: without planes, any zstd reads the container. */
		if (g->kind == CODEC_KIND_ZSTD && g->width == 1) {
			memset(back, 0, g->len);
			assert_int_equal(ZSTD_decompress(back, g->len, file, len), g->len);
			assert_memory_equal(back, raw, g->len);
		}
		/* What libzstd writes is its own, and may change with its version. */
		if (g->kind == CODEC_KIND_ZSTD)
			continue;
		assert_memory_equal(out.head, file, CODEC_HEAD_LEN);
		assert_int_equal(out.payload_len, len - CODEC_HEAD_LEN);
		assert_memory_equal(out.payload, file + CODEC_HEAD_LEN, out.payload_len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_comes_back),
		cmocka_unit_test(any_hint_is_safe),
		cmocka_unit_test(wrong_lengths_are_refused),
		cmocka_unit_test(all_levels_work),
		cmocka_unit_test(modes_choose_as_they_say),
		cmocka_unit_test(a_told_width_gives_the_phase),
		cmocka_unit_test(noise_is_left_alone_and_its_end_is_noticed),
		cmocka_unit_test(a_file_that_changes_its_numbers_is_followed),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(padding_is_ignored_and_lengths_are_not),
		cmocka_unit_test(payloads_are_not_trusted),
		cmocka_unit_test(threads_share_nothing),
		cmocka_unit_test(golden_files_read_and_write_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
