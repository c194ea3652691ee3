/* Heads of all kinds: files as their own libraries wrote them (golden/make_heads.py), the same cut
 * and damaged, and the texts about them. */
#include "tests/codec/codec_test.h"

#include <dirent.h>

#include "codec/head.h"
#include "tests/codec/head_check.h"

#define CAP	 24u
#define FILE_MAX (16u << 10)

struct expect {
	const char *file;
	const char *arrays[CAP]; /* as told by describe() */
	uint64_t next;
};

static const struct expect expected[] = {
	{"plain.npy", {"npy 128-9728 <f8 (30, 40) w8 g1 320 0"}, 0},
	{"fortran.npy", {"npy 128-7328 >i2 (30, 40, 3) w2 g1 60 2400 F"}, 0},
	{"record.npy", {"npy 192-432 |V48 (5,) w4 g12 0 0"}, 0},
	{"scalar.npy", {"npy 128-132 <f4 () w4 g1 0 0"}, 0},
	{"text.npy", {"npy 128-14128 |V28 (500,) w4 g7 0 0"}, 0},
	{"plain.npz",
	 {"npz 183-1143 <f8 (3, 40) w8 g1 320 0", "npz 1326-1340 <i2 (7,) w2 g1 0 0",
	  "npz 1523-1763 <f4 (4, 5, 3) w4 g3 60 0"},
	 0},
	{"stream.npz",
	 {"npz 183-1143 <f8 (3, 40) w8 g1 320 0", "npz 1350-1364 <i2 (7,) w2 g1 0 0",
	  "npz 1571-1811 <f4 (4, 5, 3) w4 g3 60 0"},
	 0},
	{"deflated.npz", {NULL}, 0},
	{"plain.safetensors",
	 {"safetensors 312-13112 bfloat16 (100, 64) w2 g1 128 0",
	  "safetensors 13112-15672 <f4 (10, 64) w4 g1 256 0",
	  "safetensors 15672-15712 <f4 (10,) w4 g1 0 0",
	  "safetensors 15712-15812 |b1 (100,) w1 g1 0 0"},
	 0},
	{"old.h5",
	 {"hdf5 2048-3648 <f8 (10, 20) w8 g1 160 0", "hdf5 3648-5568 <c16 (30, 4) w8 g8 0 0",
	  "hdf5 7616-7736 >i2 (4, 5, 3) w2 g3 30 0"},
	 0},
	{"new.h5",
	 {"hdf5 2048-3648 <f8 (10, 20) w8 g1 160 0", "hdf5 3648-5568 <c16 (30, 4) w8 g8 0 0",
	  "hdf5 5568-5688 >i2 (4, 5, 3) w2 g3 30 0", "hdf5 5688-5693 |b1 (5,) w1 g1 0 0"},
	 0},
	{"userblock.h5",
	 {"hdf5 2560-4160 <f8 (10, 20) w8 g1 160 0", "hdf5 4160-6080 <c16 (30, 4) w8 g8 0 0",
	  "hdf5 8128-8248 >i2 (4, 5, 3) w2 g3 30 0"},
	 0},
	{"types.h5",
	 {"hdf5 2048-2088 |V8 (5,) w4 g2 0 0", "hdf5 2148-2163 |V5 (3,) w1 g5 0 0",
	  "hdf5 6275-6323 <f2 (4, 6) w2 g1 12 0", "hdf5 6323-6707 <f16 (4, 6) w8 g2 96 0",
	  "hdf5 8755-8803 |V12 (4,) w4 g3 0 0"},
	 0},
	{"heap.h5",
	 {"hdf5 2048-2064 <f4 (4,) w4 g1 0 0", "hdf5 2064-2084 <f4 (5,) w4 g1 0 0",
	  "hdf5 2084-2108 <f4 (6,) w4 g1 0 0", "hdf5 2108-2136 <f4 (7,) w4 g1 0 0",
	  "hdf5 2136-2168 <f4 (8,) w4 g1 0 0", "hdf5 2168-2204 <f4 (9,) w4 g1 0 0",
	  "hdf5 2204-2244 <f4 (10,) w4 g1 0 0", "hdf5 2244-2288 <f4 (11,) w4 g1 0 0",
	  "hdf5 2288-2336 <f4 (12,) w4 g1 0 0", "hdf5 2336-2388 <f4 (13,) w4 g1 0 0",
	  "hdf5 2388-2444 <f4 (14,) w4 g1 0 0", "hdf5 2444-2504 <f4 (15,) w4 g1 0 0"},
	 0},
	{"gzip.h5", {"hdf5 5056-5296 <f8 (5, 6) w8 g1 48 0"}, 0},
	{"single.h5", {"hdf5 2048-2848 <f4 (10, 20) w4 g1 80 0"}, 0},
	{"chunked_old.h5",
	 {"hdf5 2048-2088 <f8 (5,) w8 g1 0 0", "hdf5 2088-* <f4  w4 g1 200 0 scattered"},
	 0},
	{"chunked_new.h5",
	 {"hdf5 2048-2088 <f8 (5,) w8 g1 0 0", "hdf5 2088-* <f4  w4 g1 200 0 scattered"},
	 0},
	{"netcdf4.nc", {"hdf5 6144-6304 <f8 (20,) w8 g1 0 0"}, 0},
	{"cdf1.nc",
	 {"netcdf 288-448 >f8 (20,) w8 g1 0 0", "netcdf 448-1648 >i2 (20, 30) w2 g1 60 0",
	  "netcdf 1648-* >f4  w4 g1 120 2400"},
	 0},
	{"cdf2.nc",
	 {"netcdf 304-464 >f8 (20,) w8 g1 0 0", "netcdf 464-1664 >i2 (20, 30) w2 g1 60 0",
	  "netcdf 1664-* >f4  w4 g1 120 2400"},
	 0},
	{"cdf5.nc",
	 {"netcdf 460-620 >f8 (20,) w8 g1 0 0", "netcdf 620-1820 >i2 (20, 30) w2 g1 60 0",
	  "netcdf 1820-* >f4  w4 g1 120 2400"},
	 0},
	{"image.fits", {"fits 2880-3680 >f4 (10, 20) w4 g1 80 0"}, 5760},
	{"units.fits",
	 {"fits 5760-6960 >i2 (3, 10, 20) w2 g1 40 400", "fits 11520-11712 |V32 (6,) w8 g4 0 0"},
	 14400},
	{"big.nrrd", {"nrrd 176-596 >u2 (5, 6, 7) w2 g1 10 60 F"}, 0},
	{"gzip.nrrd", {NULL}, 0},
	{"one.nii", {"nifti 352-1360 <i2 (7, 8, 9) w2 g1 14 112 F"}, 0},
	{"two.nii", {"nifti 544-4576 <f4 (7, 8, 9, 2) w4 g1 28 224 F"}, 0},
	{"big.nii", {"nifti 352-4384 >f8 (7, 8, 9) w8 g1 56 448 F"}, 0},
};

/* Kind, place, type, shape, width, group, pitch, plane, and what else there is to say. */
static void describe(const struct head_array *a, char *buf, size_t room)
{
	char type[HEAD_TEXT_LEN];
	char shape[HEAD_TEXT_LEN];
	char end[24] = "*";

	head_dtype_text(a, type);
	head_shape_text(a, shape);
	if (a->end != UINT64_MAX)
		snprintf(end, sizeof(end), "%" PRIu64, a->end);
	snprintf(buf, room, "%s %" PRIu64 "-%s %s %s w%u g%" PRIu32 " %" PRIu64 " %" PRIu64 "%s%s",
		 head_kind_name(a->kind), a->start, end, type, shape, a->width, a->group, a->pitch,
		 a->plane, a->fortran ? " F" : "", a->scattered ? " scattered" : "");
}

static size_t load(const char *name, uint8_t *p)
{
	char path[4096];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/codec/golden/head/%s", TEST_SRC_DIR, name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("no golden file %s", path);
	len = fread(p, 1, FILE_MAX, f);
	assert_true(len > 0 && len < FILE_MAX);
	fclose(f);
	return len;
}

/* Ask for @len bytes that end at a page that must not be read. */
static unsigned find(const uint8_t *bytes, size_t len, uint64_t off, struct head_array *out,
		     unsigned cap, uint64_t *next)
{
	struct guarded g = guarded_new(len, GUARD_ABOVE);
	const char *wrong;
	unsigned nr;

	if (len)
		memcpy(g.p, bytes, len);
	nr = head_find(g.p, len, off, out, cap, next);
	wrong = head_check(out, nr, cap, off, *next);
	if (wrong)
		fail_msg("%zu bytes at %" PRIu64 ": %s", len, off, wrong);
	guarded_free(&g);
	return nr;
}

static void golden_files_are_read(void **state)
{
	static uint8_t bytes[FILE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		const struct expect *e = &expected[i];
		struct head_array out[CAP];
		size_t len = load(e->file, bytes);
		char text[600];
		uint64_t next;
		unsigned nr = find(bytes, len, 0, out, CAP, &next);

		for (unsigned k = 0; k < nr; k++) {
			describe(&out[k], text, sizeof(text));
			if (!e->arrays[k] || strcmp(text, e->arrays[k]) != 0)
				fail_msg("%s: %s, not %s", e->file, text, e->arrays[k]);
		}
		if (e->arrays[nr])
			fail_msg("%s: no %s", e->file, e->arrays[nr]);
		if (next != e->next)
			fail_msg("%s: next %" PRIu64, e->file, next);
	}
}

static void all_golden_files_are_expected(void **state)
{
	unsigned nr = 0;
	struct dirent *d;
	DIR *dir = opendir(TEST_SRC_DIR "/codec/golden/head");

	(void)state;
	assert_non_null(dir);
	while ((d = readdir(dir)))
		nr += d->d_name[0] != '.';
	closedir(dir);
	assert_int_equal(nr, ARRAY_LEN(expected));
}

/* Whatever is cut off, what is told of the rest makes sense, and no byte behind it is read. */
static void cuts_are_safe(void **state)
{
	static uint8_t bytes[FILE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		size_t len = load(expected[i].file, bytes);
		struct head_array out[CAP];
		uint64_t next;

		for (size_t cut = 0; cut <= len; cut += cut < 600 ? 1 : 29)
			find(bytes, cut, 0, out, CAP, &next);
	}
}

static void damage_is_safe(void **state)
{
	static const uint8_t telling[] = {0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0xff, '9', '-', '('};
	static uint8_t bytes[FILE_MAX];
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (int i = 0; i < 10000; i++) {
		const struct expect *e = &expected[rng_below(&r, ARRAY_LEN(expected))];
		size_t len = load(e->file, bytes);
		unsigned cap = 1 + (unsigned)rng_below(&r, CAP);
		uint64_t off = rng_below(&r, 4) ? 0 : rng_next(&r) >> rng_below(&r, 64);
		struct head_array out[CAP];
		uint64_t next;

		for (size_t n = rng_below(&r, 8); n > 0; n--)
			bytes[rng_below(&r, rng_below(&r, 2) ? len : MIN(len, (size_t)400))] =
				telling[rng_below(&r, sizeof(telling))];
		find(bytes, len, off, out, cap, &next);
	}
}

static void other_files_tell_nothing(void **state)
{
	static const char *const texts[] = {
		"", "{", "PK", "CDF\001", "SIMPLE", "NRRD0001\n", "#include <stdio.h>\n"};
	struct rng r = rng_seeded(__func__);
	static uint8_t noise[FILE_MAX];
	struct head_array out[1];
	uint64_t next = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(
			find((const uint8_t *)texts[i], strlen(texts[i]), 0, out, 1, &next), 0);
		assert_int_equal(next, 0);
	}
	assert_int_equal(find(noise, sizeof(noise), 0, out, 1, &next), 0);
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)rng_next(&r);
	assert_int_equal(find(noise, sizeof(noise), 0, out, 1, &next), 0);
	assert_int_equal(head_find(NULL, 0, 0, out, 1, &next), 0);
}

static void only_some_kinds_go_on(void **state)
{
	static uint8_t bytes[FILE_MAX];
	struct head_array out[CAP];
	uint64_t next;
	size_t len;

	(void)state;
	len = load("plain.npy", bytes);
	assert_int_equal(find(bytes, len, 4096, out, CAP, &next), 0);
	len = load("image.fits", bytes);
	assert_int_equal(find(bytes, len, 2880, out, CAP, &next), 0);
	len = load("plain.npz", bytes);
	assert_int_equal(find(bytes, len, 4096, out, CAP, &next), 3);
	assert_int_equal(out[0].start, 4096 + 183);
	/* Beyond what an off_t can say. */
	assert_int_equal(find(bytes, len, INT64_MAX - 8, out, CAP, &next), 0);
	assert_int_equal(find(bytes, len, UINT64_MAX - 8, out, CAP, &next), 0);
	assert_int_equal(find(bytes, len, 0, out, 0, &next), 0);
}

/* The same arrays, whatever pieces the file comes in. */
static void a_walk_finds_all(void **state)
{
	static const char *const files[] = {"plain.npz", "stream.npz", "units.fits"};
	static uint8_t bytes[FILE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		size_t len = load(files[i], bytes);
		struct head_array all[CAP];
		uint64_t next;
		unsigned nr_all = head_find(bytes, len, 0, all, CAP, &next);

		for (size_t piece = 2880; piece <= len; piece += 997) {
			struct head_array out[1];
			unsigned nr = 0;
			uint64_t off = 0;

			do {
				if (find(bytes + off, MIN(piece, (size_t)(len - off)), off, out, 1,
					 &next))
					assert_int_equal(out[0].start, all[nr++].start);
				off = next;
			} while (off && off < len);
			assert_int_equal(nr, nr_all);
		}
	}
}

static void texts_are_numpys(void **state)
{
	static const struct {
		struct head_array a;
		const char *type;
		const char *shape;
	} cases[] = {
		{{.type = HEAD_FLOAT,
		  .width = 8,
		  .item = 8,
		  .nr_dims = 2,
		  .dim = {3, 4},
		  .end = 96},
		 "<f8",
		 "(3, 4)"},
		{{.type = HEAD_UINT, .width = 1, .item = 1, .nr_dims = 1, .dim = {7}, .end = 7},
		 "|u1",
		 "(7,)"},
		{{.type = HEAD_COMPLEX, .width = 4, .item = 8, .end = 8, .big_endian = true},
		 ">c8",
		 "()"},
		{{.type = HEAD_FLOAT, .width = 8, .item = 16, .end = UINT64_MAX}, "<f16", ""},
		{{.type = HEAD_FLOAT, .width = 4, .item = 4, .end = 4, .scattered = true},
		 "<f4",
		 ""},
		{{.type = HEAD_BFLOAT, .width = 2, .item = 2, .end = 2}, "bfloat16", "()"},
		{{.type = HEAD_FLOAT, .width = 4, .item = 12, .end = 12, .record = true},
		 "|V12",
		 "()"},
		{{.type = HEAD_BOOL, .width = 1, .item = 1, .end = 0}, "|b1", ""},
	};
	struct head_array most = {.item = UINT32_MAX, .width = 1, .nr_dims = HEAD_DIMS};
	char buf[HEAD_TEXT_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(head_dtype_text(&cases[i].a, buf), strlen(cases[i].type));
		assert_string_equal(buf, cases[i].type);
		assert_int_equal(head_shape_text(&cases[i].a, buf), strlen(cases[i].shape));
		assert_string_equal(buf, cases[i].shape);
	}
	memset(most.dim, 0xff, sizeof(most.dim));
	assert_int_equal(head_shape_text(&most, buf), HEAD_DIMS * 22);
	assert_int_equal(strlen(buf), HEAD_DIMS * 22);
	assert_true(head_dtype_text(&most, buf) < HEAD_TEXT_LEN);
}

static void only_whole_floats_are_floats(void **state)
{
	static const struct {
		uint8_t type;
		uint8_t width;
		uint8_t item;
		bool record;
		bool is_float;
	} cases[] = {
		{HEAD_FLOAT, 8, 8, false, true},     {HEAD_FLOAT, 8, 16, false, false},
		{HEAD_FLOAT, 8, 16, true, true},     {HEAD_COMPLEX, 8, 16, false, true},
		{HEAD_COMPLEX, 8, 32, false, false}, {HEAD_BFLOAT, 2, 2, false, true},
		{HEAD_INT, 4, 4, false, false},	     {HEAD_OTHER, 4, 12, true, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head_array a = {.type = cases[i].type,
				       .width = cases[i].width,
				       .item = cases[i].item,
				       .record = cases[i].record};

		assert_int_equal(head_is_float(&a), cases[i].is_float);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_files_are_read),
		cmocka_unit_test(all_golden_files_are_expected),
		cmocka_unit_test(cuts_are_safe),
		cmocka_unit_test(damage_is_safe),
		cmocka_unit_test(other_files_tell_nothing),
		cmocka_unit_test(only_some_kinds_go_on),
		cmocka_unit_test(a_walk_finds_all),
		cmocka_unit_test(texts_are_numpys),
		cmocka_unit_test(only_whole_floats_are_floats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
