/* Heads of rasters. */
#include "tests/codec/codec_test.h"

#include "codec/nrrd.h"
#include "tests/codec/head_check.h"

static unsigned find(const char *text, size_t len, struct head_array *out)
{
	struct head_list l = head_list_init(out, 2);
	struct guarded g = guarded_new(len, GUARD_ABOVE);

	memcpy(g.p, text, len);
	l.kind = HEAD_NRRD;
	nrrd_find(g.p, len, &l);
	assert_null(head_check(out, l.nr, 2, 0, 0));
	guarded_free(&g);
	return l.nr;
}

static void fields_are_read_in_any_case_and_order(void **state)
{
	static const char *const texts[] = {
		"NRRD0004\n# a comment: type: int\ntype: float\ndimension: 3\nsizes: 10 20 30\n"
		"endian: big\nencoding: raw\n\n",
		"NRRD0001\r\nEncoding: RAW\r\nSizes:  10  20 30 \r\nkey:=type: int\r\nTYPE: "
		"Float\r\n"
		"spacings: 1 1 1\r\nendian: Big\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct head_array out[2];
		size_t len = strlen(texts[i]);

		assert_int_equal(find(texts[i], len, out), 1);
		assert_int_equal(out[0].start, len);
		assert_int_equal(out[0].end, len + 4 * 6000);
		assert_int_equal(out[0].pitch, 40);
		assert_int_equal(out[0].plane, 800);
		assert_true(out[0].big_endian && out[0].fortran);
		assert_int_equal(out[0].type, HEAD_FLOAT);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(find(texts[i], cut, out), 0);
	}
}

static void types_have_many_names(void **state)
{
	static const struct {
		const char *name;
		const char *text; /* NULL: not told */
	} cases[] = {
		{"signed char", "|i1"},
		{"uchar", "|u1"},
		{"uint8_t", "|u1"},
		{"short int", "<i2"},
		{"unsigned short", "<u2"},
		{"int", "<i4"},
		{"unsigned int", "<u4"},
		{"long long int", "<i8"},
		{"uint64", "<u8"},
		{"double", "<f8"},
		{"block", NULL},
		{"long", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head_array out[2];
		char text[200];
		unsigned nr;

		snprintf(text, sizeof(text),
			 "NRRD0005\ntype: %s\nsizes: 3 7\nendian: little\nencoding: raw\n\n",
			 cases[i].name);
		nr = find(text, strlen(text), out);
		assert_int_equal(nr, cases[i].text != NULL);
		if (!nr)
			continue;
		assert_int_equal(out[0].group, 3);
		head_dtype_text(&out[0], text);
		assert_string_equal(text, cases[i].text);
	}
}

static void what_is_elsewhere_or_packed_tells_nothing(void **state)
{
	static const struct {
		const char *fields;
		uint64_t skip; /* 1: not told */
	} cases[] = {
		{"encoding: raw\n", 0},
		{"encoding: raw\nbyte skip: 16\n", 16},
		{"encoding: raw\nline skip: 0\n", 0},
		{"encoding: raw\nbyte skip: -1\n", 1},
		{"encoding: raw\nbyte skip: 18446744073709551615\n", 1},
		{"encoding: raw\nline skip: 2\n", 1},
		{"encoding: raw\ndata file: a.raw\n", 1},
		{"encoding: raw\ndatafile: a.raw\n", 1},
		{"encoding: gzip\n", 1},
		{"encoding: ascii\n", 1},
		{"", 1},
		{"encoding: raw\nsizes: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n", 1},
		{"encoding: raw\nsizes: 4294967296 4294967296\n", 1},
		{"encoding: raw\nsizes:\n", 0},
		{"encoding: raw\nsizes: \n", 1},
		{"encoding: raw\nsizes: 3 x\n", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head_array out[2];
		char text[300];
		unsigned nr;

		snprintf(text, sizeof(text), "NRRD0005\ntype: short\nsizes: 30 7\n%s\n",
			 cases[i].fields);
		nr = find(text, strlen(text), out);
		if (nr != (cases[i].skip != 1))
			fail_msg("%s", cases[i].fields);
		if (nr)
			assert_int_equal(out[0].start, strlen(text) + cases[i].skip);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_read_in_any_case_and_order),
		cmocka_unit_test(types_have_many_names),
		cmocka_unit_test(what_is_elsewhere_or_packed_tells_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
