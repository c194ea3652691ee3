/* Heads of networks. */
#include "tests/codec/codec_test.h"

#include "codec/safetensors.h"
#include "conf/bytes.h"
#include "tests/codec/head_check.h"

#define ROOM (1u << 20)
#define CAP  16u

static uint8_t bytes[ROOM];

static unsigned find_len(size_t len, struct head_array *out, unsigned cap)
{
	struct head_list l = head_list_init(out, cap);
	struct guarded g = guarded_new(len, GUARD_ABOVE);

	memcpy(g.p, bytes, len);
	l.kind = HEAD_SAFETENSORS;
	safetensors_find(g.p, len, &l);
	assert_null(head_check(out, l.nr, cap, 0, 0));
	guarded_free(&g);
	return l.nr;
}

static unsigned find(const char *json, struct head_array *out)
{
	put_u64(bytes, strlen(json));
	memcpy(bytes + 8, json, strlen(json));
	return find_len(8 + strlen(json), out, CAP);
}

static void types_have_their_widths(void **state)
{
	static const struct {
		const char *name;
		unsigned size;
		uint8_t type;
		const char *text; /* NULL: not told */
	} cases[] = {
		{"F64", 8, HEAD_FLOAT, "<f8"},
		{"F32", 4, HEAD_FLOAT, "<f4"},
		{"F16", 2, HEAD_FLOAT, "<f2"},
		{"BF16", 2, HEAD_BFLOAT, "bfloat16"},
		{"F8_E4M3", 1, HEAD_FLOAT, "|f1"},
		{"F8_E5M2", 1, HEAD_FLOAT, "|f1"},
		{"I8", 1, HEAD_INT, "|i1"},
		{"U8", 1, HEAD_UINT, "|u1"},
		{"I64", 8, HEAD_INT, "<i8"},
		{"U16", 2, HEAD_UINT, "<u2"},
		{"BOOL", 1, HEAD_BOOL, "|b1"},
		{"C64", 8, HEAD_COMPLEX, "<c8"},
		{"F4", 1, 0, NULL},
		{"f32", 4, 0, NULL},
		{"", 4, 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head_array out[CAP];
		char json[200];
		char text[HEAD_TEXT_LEN];
		unsigned nr;

		snprintf(json, sizeof(json),
			 "{\"x\":{\"dtype\":\"%s\",\"shape\":[5,6],\"data_offsets\":[0,%u]}}",
			 cases[i].name, 30 * cases[i].size);
		nr = find(json, out);
		assert_int_equal(nr, cases[i].text != NULL);
		if (!nr)
			continue;
		assert_int_equal(out[0].type, cases[i].type);
		head_dtype_text(&out[0], text);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(out[0].start, 8 + strlen(json));
	}
}

static void what_makes_no_sense_is_left_out(void **state)
{
	static const struct {
		const char *json;
		unsigned nr;
	} cases[] = {
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1},
		{" {\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 0},
		{"{ \"a\" : { \"data_offsets\" : [ 9, 12 ], \"x\": {\"y\": [1, \"}\"]}, \"shape\" "
		 ": "
		 "[ 3 ], \"dtype\" : \"U8\" } }",
		 1},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,4]}}", 0},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[4,1]}}", 0},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[3]}}", 0},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[3]}}", 0},
		{"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,3]}}", 0},
		{"{\"a\":{\"dtype\":8,\"shape\":[3],\"data_offsets\":[0,3]},"
		 "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[3,6]}}",
		 1},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[-3],\"data_offsets\":[0,3]},"
		 "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[3,6]}}",
		 1},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551615],"
		 "\"data_offsets\":[0,18446744073709551615]}}",
		 0},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551599],"
		 "\"data_offsets\":[16,18446744073709551615]}}",
		 0},
		{"{\"a\":7,\"b\":null,\"c\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[3,6]}"
		 "}",
		 1},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]", 0},
		{"{}", 0},
		{"[]", 0},
		{"{\"a\"", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head_array out[CAP];

		if (find(cases[i].json, out) != cases[i].nr)
			fail_msg("%s", cases[i].json);
	}
}

/* A network of @nr tensors of one type. Returns the head's length. */
static size_t make_network(unsigned nr, const char *type, unsigned size)
{
	size_t at = 8;
	uint64_t off = 0;

	for (unsigned i = 0; i < nr; i++) {
		uint64_t len = 100ull * (i % 5 + 1) * size;

		at += (size_t)snprintf((char *)bytes + at, ROOM - at,
				       "%s\"layer.%u.w\":{\"dtype\":\"%s\",\"shape\":[100,%u],"
				       "\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
				       i ? "," : "{", i, type, i % 5 + 1, off, off + len);
		off += len;
	}
	at += (size_t)snprintf((char *)bytes + at, ROOM - at, "}");
	put_u64(bytes, at - 8);
	return at;
}

static void thousands_are_merged(void **state)
{
	size_t len = make_network(5000, "F16", 2);
	struct head_array out[CAP];
	unsigned nr = find_len(len, out, CAP);

	(void)state;
	assert_int_equal(out[0].start, len);
	assert_int_equal(out[nr - 1].end, len + 1000ull * 15 * 100 * 2);
	for (unsigned i = 1; i < nr; i++)
		assert_int_equal(out[i].start, out[i - 1].end);
}

static void behind_a_cut_head_more_is_guessed(void **state)
{
	size_t len = make_network(5000, "BF16", 2);
	struct head_array out[CAP];

	(void)state;
	for (size_t cut = 0; cut < 4000; cut++) {
		unsigned nr = find_len(cut, out, CAP);

		if (cut < 200)
			continue;
		assert_true(nr > 1);
		assert_true(out[nr - 1].scattered && out[nr - 1].end == UINT64_MAX);
		assert_int_equal(out[nr - 1].type, HEAD_BFLOAT);
		assert_int_equal(out[nr - 1].start, out[nr - 2].end);
		assert_int_equal(out[0].start, len);
	}
}

static void lengths_are_not_trusted(void **state)
{
	static const uint64_t lens[] = {0, 1, UINT64_MAX, INT64_MAX, (100ull << 20) + 1};
	struct head_array out[CAP];
	size_t len = make_network(3, "F32", 4);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		put_u64(bytes, lens[i]);
		assert_int_equal(find_len(len, out, CAP), 0);
	}
	put_u64(bytes, 30);
	assert_int_equal(find_len(len, out, CAP), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_have_their_widths),
		cmocka_unit_test(what_makes_no_sense_is_left_out),
		cmocka_unit_test(thousands_are_merged),
		cmocka_unit_test(behind_a_cut_head_more_is_guessed),
		cmocka_unit_test(lengths_are_not_trusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
