/* Heads of classic netCDF files. */
#include "tests/codec/codec_test.h"

#include "codec/netcdf.h"
#include "conf/bytes.h"
#include "tests/codec/head_check.h"

#define ROOM 65536u
#define CAP  8u

enum { TYPE_CHAR = 2, TYPE_SHORT = 3, TYPE_FLOAT = 5, TYPE_DOUBLE = 6 };

static uint8_t bytes[ROOM];

struct writer {
	struct wbuf w;
	unsigned version;
};

static void write_be(struct writer *o, uint64_t v, unsigned size)
{
	for (unsigned i = size; i-- > 0;)
		wbuf_u8(&o->w, (uint8_t)(v >> (8 * i)));
}

static void write_count(struct writer *o, uint64_t v)
{
	write_be(o, v, o->version == 5 ? 8 : 4);
}

static void write_name(struct writer *o, const char *name)
{
	write_count(o, strlen(name));
	wbuf_bytes(&o->w, name, strlen(name));
	for (size_t n = strlen(name); n % 4; n++)
		wbuf_u8(&o->w, 0);
}

static void write_list(struct writer *o, unsigned tag, uint64_t n)
{
	write_be(o, n ? tag : 0, 4);
	write_count(o, n);
}

/* Begin a file with the dimensions t (records), y (20), x (30), and an attribute. */
static struct writer begin(unsigned version, unsigned nr_variables)
{
	struct writer o = {wbuf_init(bytes, ROOM), version};

	wbuf_bytes(&o.w, "CDF", 3);
	wbuf_u8(&o.w, (uint8_t)version);
	write_count(&o, 0);
	write_list(&o, 10, 3);
	write_name(&o, "time");
	write_count(&o, 0);
	write_name(&o, "y");
	write_count(&o, 20);
	write_name(&o, "x");
	write_count(&o, 30);
	write_list(&o, 12, 1);
	write_name(&o, "title");
	write_be(&o, TYPE_CHAR, 4);
	write_name(&o, "hello"); /* values look like a name */
	write_list(&o, 11, nr_variables);
	return o;
}

/* @dims  digits */
static void add_variable(struct writer *o, const char *dims, unsigned type, uint64_t start)
{
	write_name(o, "var");
	write_count(o, strlen(dims));
	for (; *dims; dims++)
		write_count(o, (uint64_t)(*dims - '0'));
	write_list(o, 12, 0);
	write_be(o, type, 4);
	write_count(o, 7);
	write_be(o, start, o->version == 1 ? 4 : 8);
}

static unsigned find_len(size_t len, struct head_array *out)
{
	struct head_list l = head_list_init(out, CAP);
	struct guarded g = guarded_new(len, GUARD_ABOVE);

	memcpy(g.p, bytes, len);
	l.kind = HEAD_NETCDF;
	netcdf_find(g.p, len, &l);
	assert_null(head_check(out, l.nr, CAP, 0, 0));
	guarded_free(&g);
	return l.nr;
}

static unsigned find(const struct writer *o, struct head_array *out)
{
	assert_false(o->w.bad);
	return find_len(o->w.pos, out);
}

static void all_versions_are_read(void **state)
{
	static const unsigned versions[] = {1, 2, 5};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		struct writer o = begin(versions[i], 3);
		struct head_array out[CAP];
		size_t whole;

		add_variable(&o, "12", TYPE_DOUBLE, 1000);
		add_variable(&o, "2", TYPE_SHORT, 10000);
		add_variable(&o, "", TYPE_FLOAT, 11000);
		assert_int_equal(find(&o, out), 3);
		assert_int_equal(out[0].end, 1000 + 600 * 8);
		assert_int_equal(out[0].pitch, 240);
		assert_true(out[0].big_endian);
		assert_int_equal(out[1].width, 2);
		assert_int_equal(out[2].end, 11004);
		whole = o.w.pos;
		for (size_t cut = 0; cut < whole; cut++)
			assert_in_range(find_len(cut, out), 0, 2);
	}
	bytes[3] = 3;
	assert_int_equal(find_len(ROOM, (struct head_array[CAP]){{0}}), 0);
}

static void records_that_are_alike_are_one_array(void **state)
{
	static const struct {
		const char *dims[3];
		unsigned types[3];
		uint8_t width; /* 0: not told */
		uint64_t pitch;
		uint64_t plane;
	} cases[] = {
		{{"012"}, {TYPE_FLOAT}, 4, 120, 2400},
		{{"012", "012"}, {TYPE_FLOAT, TYPE_FLOAT}, 4, 120, 2400},
		{{"012", "02"}, {TYPE_FLOAT, TYPE_FLOAT}, 4, 0, 0},
		{{"02"}, {TYPE_SHORT}, 2, 60, 0},
		{{"0", "012"}, {TYPE_DOUBLE, TYPE_FLOAT}, 0, 0, 0},
		{{"0"}, {TYPE_DOUBLE}, 8, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned nr = cases[i].types[1] ? 2 : 1;
		struct writer o = begin(2, nr + 1);
		struct head_array out[CAP];

		for (unsigned k = 0; k < nr; k++)
			add_variable(&o, cases[i].dims[k], cases[i].types[k], 5000 - 100 * k);
		add_variable(&o, "1", TYPE_DOUBLE, 1000);
		assert_int_equal(find(&o, out), cases[i].width ? 2 : 1);
		if (!cases[i].width)
			continue;
		assert_int_equal(out[1].start, 5000 - 100 * (nr - 1));
		assert_true(out[1].end == UINT64_MAX);
		assert_int_equal(out[1].width, cases[i].width);
		assert_int_equal(out[1].pitch, cases[i].pitch);
		assert_int_equal(out[1].plane, cases[i].plane);
	}
}

static void bad_fields_tell_nothing(void **state)
{
	struct head_array out[CAP];
	struct writer o = begin(5, 4);

	(void)state;
	add_variable(&o, "9", TYPE_FLOAT, 1000);  /* no such dimension */
	add_variable(&o, "1", 99, 1000);	  /* no such type */
	add_variable(&o, "10", TYPE_FLOAT, 1000); /* records inside */
	add_variable(&o, "1", TYPE_FLOAT, UINT64_MAX - 3);
	assert_int_equal(find(&o, out), 0);
	o = begin(5, 1);
	write_name(&o, "var");
	write_count(&o, UINT64_MAX);
	o.w.pos += 4096;
	assert_int_equal(find(&o, out), 0);
	o = begin(5, 1);
	write_count(&o, UINT64_MAX);
	o.w.pos += 4096;
	assert_int_equal(find(&o, out), 0);
	/* A list of another kind. */
	o = begin(5, 1);
	add_variable(&o, "1", TYPE_FLOAT, 1000);
	assert_int_equal(find(&o, out), 1);
	bytes[15] = 12;
	assert_int_equal(find(&o, out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_versions_are_read),
		cmocka_unit_test(records_that_are_alike_are_one_array),
		cmocka_unit_test(bad_fields_tell_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
