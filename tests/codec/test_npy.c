/* The heads of .npy files. */
#include "tests/codec/codec_test.h"

#include "codec/npy.h"
#include "conf/bytes.h"
#include "tests/codec/head_check.h"

#define HEAD_MAX 4096u

/* Write a head as numpy does: padded to 64 bytes with spaces, ended by a newline. Returns its
 * length. */
static size_t head_make(uint8_t *p, unsigned major, const char *text)
{
	size_t fixed = major == 1 ? 10 : 12;
	size_t len = (size_t)round_up(fixed + strlen(text) + 1, 64);

	assert_true(len <= HEAD_MAX);
	memcpy(p, "\x93NUMPY", 6);
	p[6] = (uint8_t)major;
	p[7] = 0;
	if (major == 1)
		put_u16(p + 8, (uint16_t)(len - fixed));
	else
		put_u32(p + 8, (uint32_t)(len - fixed));
	memset(p + fixed, ' ', len - fixed);
	memcpy(p + fixed, text, strlen(text));
	p[len - 1] = '\n';
	return len;
}

static uint8_t width_of(const char *descr)
{
	struct head_array npy = {.width = 0};
	char text[2000];
	uint8_t head[HEAD_MAX];
	size_t len;

	snprintf(text, sizeof(text), "{'descr': %s, 'fortran_order': False, 'shape': (3, 4), }",
		 descr);
	for (unsigned major = 1; major <= 3; major++) {
		npy = (struct head_array){.width = 0};
		len = head_make(head, major, text);
		if (npy_find(head, len, &npy)) {
			assert_int_equal(npy.start, len);
			assert_int_not_equal(npy.width, 0);
		} else {
			assert_int_equal(npy.width, 0);
		}
	}
	return npy.width;
}

static void plain_types_tell_their_width(void **state)
{
	static const struct {
		const char *descr;
		uint8_t width;
	} cases[] = {
		{"'<f8'", 8},	  {"'>f8'", 8},	   {"'<f4'", 4},  {"'<f2'", 2},
		{"'|i1'", 1},	  {"'|u1'", 1},	   {"'|b1'", 1},  {"'<i2'", 2},
		{"'<u4'", 4},	  {"'=i8'", 8},	   {"'<c8'", 4},  {"'<c16'", 8},
		{"'<M8[ns]'", 8}, {"'<m8[D]'", 8}, {"'<U12'", 4}, {"'|S5'", 1},
		{"\"<f4\"", 4},	  {"'|O'", 0},	   {"'|V8'", 0},  {"'<f16'", 8},
		{"'<c32'", 8},	  {"'<f3'", 0},	   {"'<f0'", 0},  {"'<f'", 0},
		{"'f8'", 0},	  {"''", 0},	   {"'<f8x'", 0}, {"'<f99999999999'", 0},
		{"'|V2'", 2},	  {"'<c24'", 4},   {"'<f12'", 4}, {"'<i-8'", 0},
		{"None", 0},	  {"'<f8", 0},	   {"<f8", 0},	  {"'<\\'8'", 0},
		{"(", 0},	  {"[", 0},	   {"{}", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t expect = cases[i].width;

		if (width_of(cases[i].descr) != expect)
			fail_msg("%s: %d, not %d", cases[i].descr, width_of(cases[i].descr),
				 expect);
	}
}

static void records_of_one_width_tell_it(void **state)
{
	(void)state;
	assert_int_equal(width_of("[('x', '<f4'), ('y', '<f4'), ('z', '<f4')]"), 4);
	assert_int_equal(width_of("[('a', '<f8')]"), 8);
	assert_int_equal(width_of("[('v', '<f8', (3, 3)), ('w', '<i8', (2,))]"), 8);
	assert_int_equal(width_of("[(('title', 'n'), '<i2'), ('m', '<u2')]"), 2);
	assert_int_equal(width_of("[('o', [('re', '<f4'), ('im', '<f4')]), ('k', '<i4')]"), 4);
	assert_int_equal(width_of("[('it\\'s', '<f4'), ('(', '<c8')]"), 4);
}

static void records_of_several_have_no_answer(void **state)
{
	char deep[400];
	size_t n = 0;

	(void)state;
	assert_int_equal(width_of("[('x', '<f4'), ('y', '<f8')]"), 0);
	assert_int_equal(width_of("[('x', '<f4'), ('', '|V4')]"), 0);
	assert_int_equal(width_of("[]"), 0);
	assert_int_equal(width_of("[('x',)]"), 0);
	assert_int_equal(width_of("[('x', '<f4'"), 0);
	assert_int_equal(width_of("[('x', '<f4')"), 0);
	/* 20 records within each other, then the same with its end. */
	for (int i = 0; i < 20; i++)
		n += (size_t)snprintf(deep + n, sizeof(deep) - n, "[('x', ");
	assert_int_equal(width_of(deep), 0);
	n += (size_t)snprintf(deep + n, sizeof(deep) - n, "'<f4'");
	for (int i = 0; i < 20; i++)
		n += (size_t)snprintf(deep + n, sizeof(deep) - n, ")]");
	assert_int_equal(width_of(deep), 0);
}

/* Python keeps the order of keys, but nobody promised it. */
static void the_type_may_come_last(void **state)
{
	uint8_t head[HEAD_MAX];
	struct head_array npy;
	size_t len;

	(void)state;
	len = head_make(head, 1,
			"{'shape': (3, (4), [',', \"}\"]), 'fortran_order':True,'descr':'<i2'}");
	assert_true(npy_find(head, len, &npy));
	assert_int_equal(npy.width, 2);
	len = head_make(head, 1, "{'shape': (3,), 'fortran_order': True}");
	assert_false(npy_find(head, len, &npy));
	len = head_make(head, 1, "{'shape': 'descr', 'x': '<f8'}");
	assert_false(npy_find(head, len, &npy));
}

static void cuts_and_other_files_have_no_answer(void **state)
{
	uint8_t head[HEAD_MAX];
	size_t len =
		head_make(head, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }");
	struct head_array npy;

	(void)state;
	for (size_t cut = 0; cut <= len; cut++) {
		struct guarded g = guarded_new(cut, GUARD_ABOVE);

		memcpy(g.p, head, cut);
		assert_int_equal(npy_find(g.p, cut, &npy), cut == len);
		guarded_free(&g);
	}
	head[6] = 4;
	assert_false(npy_find(head, len, &npy));
	head[6] = 0;
	assert_false(npy_find(head, len, &npy));
	head[6] = 1;
	assert_true(npy_find(head, len, &npy));
	head[0] = 'x';
	assert_false(npy_find(head, len, &npy));
}

static void lengths_are_not_trusted(void **state)
{
	uint8_t head[HEAD_MAX];
	size_t len =
		head_make(head, 2, "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }");
	struct head_array npy;

	(void)state;
	assert_true(npy_find(head, len, &npy));
	put_u32(head + 8, UINT32_MAX);
	assert_false(npy_find(head, len, &npy));
	put_u32(head + 8, (uint32_t)(len - 12) + 1);
	assert_false(npy_find(head, len, &npy));
	put_u32(head + 8, 5);
	assert_false(npy_find(head, len, &npy));
	put_u32(head + 8, 0);
	assert_false(npy_find(head, len, &npy));
}

/* Whatever is answered for a damaged head, no byte outside of it is read. */
static void damage_stays_inside(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (int i = 0; i < 20000; i++) {
		static const char bits[] = "'\"()[]{},:<\\f8 ";
		uint8_t head[HEAD_MAX];
		size_t len = head_make(head, 1 + (unsigned)rng_below(&r, 3),
				       "{'descr': [('x', '<f8', (3,))], 'shape': (2,), }");
		struct head_array npy = {.width = 77};
		struct guarded g;

		for (size_t n = rng_below(&r, 8); n > 0; n--)
			head[6 + rng_below(&r, len - 6)] =
				(uint8_t)bits[rng_below(&r, sizeof(bits) - 1)];
		len -= rng_below(&r, 4) ? 0 : rng_below(&r, len);
		g = guarded_new(len, GUARD_ABOVE);
		memcpy(g.p, head, len);
		if (npy_find(g.p, len, &npy))
			assert_true(npy.width == 1 || npy.width == 2 || npy.width == 4 ||
				    npy.width == 8);
		else
			assert_int_equal(npy.width, 77);
		guarded_free(&g);
	}
}

/* What is told of the array whose dictionary this is. */
static struct head_array array_of(const char *dict)
{
	struct head_array a = {.item = 0};
	uint8_t head[HEAD_MAX];
	size_t len = head_make(head, 1, dict);

	if (!npy_find(head, len, &a))
		fail_msg("%s", dict);
	assert_int_equal(a.start, len);
	assert_null(head_check_array(&a));
	return a;
}

static void shapes_tell_rows_and_ends(void **state)
{
	struct head_array a;

	(void)state;
	a = array_of("{'descr': '<f8', 'fortran_order': False, 'shape': (30, 40), }");
	assert_int_equal(a.end - a.start, 30 * 40 * 8);
	assert_int_equal(a.type, HEAD_FLOAT);
	assert_int_equal(a.nr_dims, 2);
	assert_int_equal(a.dim[0], 30);
	assert_int_equal(a.pitch, 40 * 8);
	assert_false(a.fortran || a.big_endian || a.record);
	a = array_of("{'descr': '>c16', 'fortran_order': True, 'shape': (30, 40), }");
	assert_true(a.fortran && a.big_endian);
	assert_int_equal(a.pitch, 30 * 16);
	assert_int_equal(a.group, 2);
	a = array_of("{'descr': '|u1', 'fortran_order': False, 'shape': (30L, 40L, 3L), }");
	assert_int_equal(a.pitch, 120);
	assert_int_equal(a.group, 3);
	a = array_of("{'shape': (), 'descr': '<f4'}");
	assert_int_equal(a.end - a.start, 4);
	a = array_of("{'descr': '<f4', 'shape': (0, 7)}");
	assert_int_equal(a.end, a.start);
}

static void senseless_shapes_are_left_out(void **state)
{
	static const char *const shapes[] = {
		"(-1,)",
		"(1.5,)",
		"(3 4)",
		"(18446744073709551616,)",
		"(18446744073709551615,)",
		"(4294967296, 4294967296)",
		"9",
		"None",
		"'3'",
		"",
		"(3",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		struct head_array a;
		char text[200];

		snprintf(text, sizeof(text), "{'descr': '<i2', 'shape': %s, }", shapes[i]);
		a = array_of(text);
		assert_int_equal(a.end, UINT64_MAX);
		assert_int_equal(a.width, 2);
		assert_int_equal(a.nr_dims, 0);
	}
}

/* numpy has up to 64 axes. */
static void many_axes_become_few(void **state)
{
	char text[500] = "{'descr': '<i2', 'shape': (5, 2, 3, ";
	struct head_array a;

	(void)state;
	for (int i = 0; i < 17; i++)
		strcat(text, "2, ");
	strcat(text, "7), }");
	a = array_of(text);
	assert_int_equal(a.nr_dims, HEAD_DIMS);
	assert_int_equal(a.dim[0], 5u * 2 * 3 << 11);
	assert_int_equal(a.dim[7], 7);
	assert_int_equal(a.pitch, 14);
}

static void records_tell_what_their_fields_are(void **state)
{
	struct head_array a;

	(void)state;
	a = array_of(
		"{'descr': [('x', '<f4'), ('y', '<f4', (2,)), ('z', '<c8', 2)], 'shape': (9,)}");
	assert_true(a.record);
	assert_int_equal(a.item, 28);
	assert_int_equal(a.group, 7);
	assert_int_equal(a.type, HEAD_FLOAT);
	assert_int_equal(a.end - a.start, 9 * 28);
	a = array_of("{'descr': [('x', '<f4'), ('y', '<i4')], 'shape': (9, 8)}");
	assert_int_equal(a.type, HEAD_OTHER);
	assert_int_equal(a.pitch, 64);
}

/* ---- npy_parse() ---- */

static const char *parse_dict(unsigned version, const char *dict, struct npy_head *out)
{
	static uint8_t head[HEAD_MAX];

	return npy_parse(head, head_make(head, version, dict), out);
}

static uint64_t item_of(const char *descr)
{
	struct npy_head h;
	char text[2000];
	const char *why;

	snprintf(text, sizeof(text), "{'descr': %s, 'fortran_order': False, 'shape': (3, 4), }",
		 descr);
	why = parse_dict(1, text, &h);
	if (why)
		return UINT64_MAX;
	assert_int_equal(h.len, 12 * h.item);
	assert_int_equal(h.descr_len, strlen(descr));
	assert_memory_equal(h.descr, descr, h.descr_len);
	return h.item;
}

/* The sizes are what numpy.dtype(...).itemsize is. */
static void every_item_has_its_size(void **state)
{
	static const struct {
		const char *descr;
		uint64_t item; /* UINT64_MAX: refused */
	} cases[] = {
		{"'<f8'", 8},
		{"'|b1'", 1},
		{"'>c16'", 16},
		{"'<f16'", 16},
		{"'<c32'", 32},
		{"'|S7'", 7},
		{"'<U5'", 20},
		{"'|V11'", 11},
		{"'|S0'", 0},
		{"'<U0'", 0},
		{"'<M8[ns]'", 8},
		{"'<m8[25s]'", 8},
		{"'<m8'", 8},
		{"'|S2000000000'", 2000000000},
		{"[('a', '|u1'), ('b', '<f8')]", 9},
		{"[('a', '|u1'), ('', '|V7'), ('b', '<f8'), ('', '|V3')]", 19},
		{"[('a', '<i2'), ('b', '>f8', (2, 3)), ('c', '|S3')]", 53},
		{"[('a', '<i2', 5), ('b', '>f8', (2,)), ('c', '|S3', (0,))]", 26},
		{"[(('title', 'n'), '<c8'), ('o', [('i', '<f4'), ('r', '|u1', (4,))])]", 16},
		{"[('n', [('m', [('l', '<i8'), ('k', '|V3')])], (2,))]", 22},
		{"[('s', ('<f4', (2, 2)), (3,))]", 48},
		{"[]", 0},
		{"'|O'", UINT64_MAX},
		{"'|O8'", UINT64_MAX},
		{"[('a', '<f8'), ('b', '|O')]", UINT64_MAX},
		{"[('a', [('b', '|O', (2,))])]", UINT64_MAX},
		{"'<q8'", UINT64_MAX},
		{"'f8'", UINT64_MAX},
		{"'<f'", UINT64_MAX},
		{"'<f3'", UINT64_MAX},
		{"'<i-8'", UINT64_MAX},
		{"'|S9999999999'", UINT64_MAX},
		{"'<f8]'", UINT64_MAX},
		{"'<M8[ns'", UINT64_MAX},
		{"'<f8[ns]'", UINT64_MAX},
		{"('<f8', (2,))", UINT64_MAX},
		{"[('a', '<f8', (4294967296, 4294967296))]", UINT64_MAX},
		{"[('a', '<f8', (-1,))]", UINT64_MAX},
		{"[('a', '<f8', )]", 8},
		{"[('a', )]", UINT64_MAX},
		{"[('a', '<f8'", UINT64_MAX},
		{"None", UINT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t item = item_of(cases[i].descr);

		if (item != cases[i].item)
			fail_msg("%s: %" PRIu64 ", not %" PRIu64, cases[i].descr, item,
				 cases[i].item);
	}
}

static void a_head_tells_all(void **state)
{
	struct npy_head h;

	(void)state;
	assert_null(
		parse_dict(2, "{'descr': '>i4', 'fortran_order': True, 'shape': (5, 6, 7), }", &h));
	assert_true(h.fortran);
	assert_int_equal(h.version, 2);
	assert_int_equal(h.nr_dims, 3);
	assert_int_equal(h.dim[2], 7);
	assert_int_equal(h.len, 840);
	assert_int_equal(h.start, 128);
	assert_null(parse_dict(1, "{'shape': (), 'fortran_order': False, 'descr': '<i4'}", &h));
	assert_int_equal(h.nr_dims, 0);
	assert_int_equal(h.len, 4);
	assert_null(parse_dict(3, "{'shape': (3L,), 'fortran_order': False, 'descr': '<i4' }", &h));
	assert_int_equal(h.dim[0], 3);
	/* Nothing, in however many rows. */
	assert_null(parse_dict(1,
			       "{'shape': (9223372036854775807, 0, 9223372036854775807), "
			       "'fortran_order': False, 'descr': '<i4'}",
			       &h));
	assert_int_equal(h.len, 0);
}

static void other_heads_are_refused(void **state)
{
	static const char *const dicts[] = {
		"",
		"{}",
		"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), ",
		"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), } x",
		"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), 'more': 1}",
		"{'descr': '<f8', 'fortran_order': False, 'fortran_order': False, 'shape': (3,)}",
		"{'descr': '<f8', 'descr': '<f8', 'shape': (3,)}",
		"{'descr': '<f8', 'fortran_order': False}",
		"{'descr': '<f8', 'fortran_order': false, 'shape': (3,)}",
		"{'descr': '<f8', 'fortran_order': 1, 'shape': (3,)}",
		"{'fortran_order': False, 'shape': (3,)}",
		"{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}",
		"{'descr': '<f8', 'fortran_order': False, 'shape': 3}",
		"{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775808, 0)}",
		"{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,)}",
		"{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
		"{'descr': '<f8' 'fortran_order': False, 'shape': (3,)}",
		"['descr', '<f8']",
	};
	struct npy_head h = {.item = 77};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dicts); i++) {
		if (!parse_dict(1, dicts[i], &h))
			fail_msg("%s was taken", dicts[i]);
		assert_int_equal(h.item, 77);
	}
}

/* Whatever was done to a head, what is told of it fits together, and no byte outside is read. */
static void damaged_heads_make_sense_or_are_refused(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (int i = 0; i < 20000; i++) {
		static const char bits[] = "'\"()[]{},:<\\f8 O9L-";
		uint8_t head[HEAD_MAX];
		size_t len = head_make(head, 1 + (unsigned)rng_below(&r, 3),
				       "{'descr': [('x', '<f8', (3,)), (('t', 'y'), '|S9')], "
				       "'fortran_order': False, 'shape': (2, 30), }");
		struct npy_head h = {.item = 77};
		struct guarded g;

		for (size_t n = rng_below(&r, 5); n > 0; n--)
			head[6 + rng_below(&r, len - 6)] =
				(uint8_t)bits[rng_below(&r, sizeof(bits) - 1)];
		len -= rng_below(&r, 4) ? 0 : rng_below(&r, len);
		g = guarded_new(len, GUARD_ABOVE);
		memcpy(g.p, head, len);
		if (npy_parse(g.p, len, &h)) {
			assert_int_equal(h.item, 77);
		} else {
			assert_true(h.start <= len && h.start == npy_head_len(g.p, len));
			assert_true(h.len <= INT64_MAX - h.start && h.nr_dims <= NPY_DIMS);
			assert_true((const uint8_t *)h.descr > g.p &&
				    (const uint8_t *)h.descr + h.descr_len < g.p + len);
		}
		guarded_free(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_types_tell_their_width),
		cmocka_unit_test(records_of_one_width_tell_it),
		cmocka_unit_test(records_of_several_have_no_answer),
		cmocka_unit_test(the_type_may_come_last),
		cmocka_unit_test(cuts_and_other_files_have_no_answer),
		cmocka_unit_test(lengths_are_not_trusted),
		cmocka_unit_test(damage_stays_inside),
		cmocka_unit_test(shapes_tell_rows_and_ends),
		cmocka_unit_test(senseless_shapes_are_left_out),
		cmocka_unit_test(many_axes_become_few),
		cmocka_unit_test(records_tell_what_their_fields_are),
		cmocka_unit_test(every_item_has_its_size),
		cmocka_unit_test(a_head_tells_all),
		cmocka_unit_test(other_heads_are_refused),
		cmocka_unit_test(damaged_heads_make_sense_or_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
