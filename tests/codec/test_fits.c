/* Heads of images and tables of the sky. */
#include "tests/codec/codec_test.h"

#include "codec/fits.h"
#include "tests/codec/head_check.h"

#define BLOCK 2880u
#define ROOM  (16 * BLOCK)
#define CAP   4u

static uint8_t bytes[ROOM];

/* Append a head of these cards, separated by newlines, at @pos. Returns the end of its last
 * block. */
static size_t add_head(size_t pos, const char *cards)
{
	size_t at = pos;
	size_t end;

	for (const char *p = cards; *p; at += 80) {
		size_t n = strcspn(p, "\n");

		assert_true(n <= 80 && at + 80 <= ROOM);
		memset(bytes + at, ' ', 80);
		memcpy(bytes + at, p, n);
		p += n + (p[n] != '\0');
	}
	end = pos + (size_t)div_up(at - pos, BLOCK) * BLOCK;
	memset(bytes + at, ' ', end - at);
	return end;
}

static unsigned find(size_t len, uint64_t off, struct head_array *out, unsigned cap, uint64_t *next)
{
	struct head_list l = head_list_init(out, cap);
	struct guarded g = guarded_new(len, GUARD_ABOVE);

	memcpy(g.p, bytes, len);
	l.kind = HEAD_FITS;
	*next = fits_find(g.p, len, off, &l);
	assert_null(head_check(out, l.nr, cap, off, *next));
	guarded_free(&g);
	return l.nr;
}

static void images_are_told_as_astropy_does(void **state)
{
	static const struct {
		const char *bits;
		const char *text; /* NULL: not told */
	} cases[] = {
		{"8", "|u1"},	{"16", ">i2"},	{"32", ">i4"}, {"64", ">i8"},
		{"-32", ">f4"}, {"-64", ">f8"}, {"12", NULL},  {"0", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head_array out[CAP];
		char text[400];
		uint64_t next;
		unsigned nr;

		snprintf(text, sizeof(text),
			 "SIMPLE  =                    T / comment\nBITPIX  = %20s / bits\n"
			 "NAXIS   =                    3\nNAXIS1  =                   50\n"
			 "NAXIS2  =                   40 / 41\nNAXIS3  =                   30\nEND",
			 cases[i].bits);
		add_head(0, text);
		nr = find(BLOCK, 0, out, CAP, &next);
		assert_int_equal(nr, cases[i].text != NULL);
		if (!nr)
			continue;
		head_dtype_text(&out[0], text);
		assert_string_equal(text, cases[i].text);
		head_shape_text(&out[0], text);
		assert_string_equal(text, "(30, 40, 50)");
		assert_int_equal(out[0].start, BLOCK);
		assert_int_equal(next, BLOCK + div_up(60000u * out[0].item, BLOCK) * BLOCK);
	}
}

static void units_follow_each_other(void **state)
{
	size_t end =
		add_head(0, "SIMPLE  =                    T\nBITPIX  =                    8\n"
			    "NAXIS   =                    0\nEXTEND  =                    T\nEND");
	size_t second = end;
	size_t third;
	struct head_array out[CAP];
	uint64_t next;

	(void)state;
	end = add_head(end, "XTENSION= 'IMAGE   '\nBITPIX  =                  -32\n"
			    "NAXIS   =                    2\nNAXIS1  =                   10\n"
			    "NAXIS2  =                   10\nPCOUNT  =                    0\n"
			    "GCOUNT  =                    1\nEND");
	third = end + BLOCK;
	end = add_head(third, "XTENSION= 'BINTABLE'\nBITPIX  =                    8\n"
			      "NAXIS   =                    2\nNAXIS1  =                   24\n"
			      "NAXIS2  =                  100\nPCOUNT  =                 3000\n"
			      "GCOUNT  =                    1\nTFIELDS =                    2\n"
			      "TFORM1  = '1E      '\nTFORM2  = '5J      '\nEND");
	assert_int_equal(find(end, 0, out, CAP, &next), 2);
	assert_int_equal(next, end + 2 * BLOCK);
	assert_int_equal(out[0].start, second + BLOCK);
	assert_int_equal(out[0].end - out[0].start, 400);
	assert_int_equal(out[1].start, end);
	assert_int_equal(out[1].end - out[1].start, 2400);
	assert_int_equal(out[1].item, 24);
	assert_int_equal(out[1].group, 6);
	assert_int_equal(out[1].width, 4);
	/* Cut in or before the third, and with room for one only. */
	for (size_t cut = third - BLOCK; cut < end - BLOCK + 11 * 80; cut += 40) {
		assert_int_equal(find(cut, 0, out, CAP, &next), 1);
		assert_int_equal(next, third);
	}
	assert_int_equal(find(end, 0, out, 1, &next), 1);
	assert_int_equal(next, third);
	memmove(bytes, bytes + third, end - third);
	assert_int_equal(find(end - third, third, out, 1, &next), 1);
	assert_int_equal(next, end + 2 * BLOCK);
	/* At the start of a file it would be none. */
	assert_int_equal(find(end - third, 0, out, 1, &next), 0);
	assert_int_equal(next, 0);
}

static void tables_of_several_widths_are_passed_over(void **state)
{
	static const struct {
		const char *row;
		const char *a;
		const char *b;
		unsigned nr;
	} cases[] = {
		{"16", "D", "K", 1},   {"12", "D", "J", 0},
		{"16", "1D", "1P", 0}, {"16", "1D", "0P", 0},
		{"8", "1D", "0P", 1},  {"32", "D", "3D", 1},
		{"32", "D", "2D", 0},  {"24", "D", "M", 1},
		{"10", "8A", "9X", 1}, {"16", "99999999999D", "99999999999999999999D", 0},
		{"8", "", "D", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head_array out[CAP];
		char text[800];
		uint64_t next;

		snprintf(text, sizeof(text),
			 "XTENSION= 'BINTABLE'\nBITPIX  =                    8\n"
			 "NAXIS   =                    2\nNAXIS1  = %20s\n"
			 "NAXIS2  =                   90\nTFORM1  = '%s'\nTFORM2  = '%s'\nEND",
			 cases[i].row, cases[i].a, cases[i].b);
		add_head(0, text);
		if (find(BLOCK, BLOCK, out, CAP, &next) != cases[i].nr)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
		assert_int_equal(next, 2 * BLOCK + BLOCK);
	}
}

static void sizes_are_not_trusted(void **state)
{
	static const char *const texts[] = {
		"NAXIS   =                   17",
		"NAXIS   =                    2\nNAXIS1  = 9223372036854775807\nNAXIS2  = 4",
		"NAXIS   =                    1\nNAXIS1  =  2305843009213693951",
		"NAXIS   =                    1\nNAXIS1  =  9\nGCOUNT  = 18446744073709551615",
		"NAXIS   =                    2\nNAXIS1  =  0\nNAXIS2  = 9\nGROUPS  = T",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct head_array out[CAP];
		char text[500];
		uint64_t next;

		snprintf(text, sizeof(text),
			 "SIMPLE  =                    T\nBITPIX  =                   32\n%s\nEND",
			 texts[i]);
		add_head(0, text);
		find(BLOCK, 0, out, CAP, &next);
		assert_int_equal(next, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_are_told_as_astropy_does),
		cmocka_unit_test(units_follow_each_other),
		cmocka_unit_test(tables_of_several_widths_are_passed_over),
		cmocka_unit_test(sizes_are_not_trusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
