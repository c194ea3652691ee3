/* A file of tensors:
 *
 *   off  size  field
 *     0     8  n, little-endian
 *     8     n  JSON: {"name": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}, ...}
 *   8+n     -  the tensors; data_offsets count from here
 *
 * Writers order the tensors by place, some with "__metadata__" before them. */
#include "codec/safetensors.h"

#include "codec/head_item.h"
#include "codec/scan.h"
#include "conf/base.h"
#include "conf/bytes.h"

#define LEN_LEN	 8u
#define JSON_MAX (100 * MIB) /* the format's own limit */

struct tensor {
	struct head_array a;
	bool typed;
	uint64_t dims[HEAD_ITEM_AXES];
	unsigned nr_dims;
	bool shaped;
	uint64_t span[2]; /* start and end, from the first tensor on */
	bool placed;
};

static bool set_type(struct head_array *a, const struct scan *name)
{
	static const struct {
		const char *name;
		uint8_t type;
		uint8_t size;
	} types[] = {
		{"F32", HEAD_FLOAT, 4},	    {"BF16", HEAD_BFLOAT, 2},	{"F16", HEAD_FLOAT, 2},
		{"F64", HEAD_FLOAT, 8},	    {"I8", HEAD_INT, 1},	{"I16", HEAD_INT, 2},
		{"I32", HEAD_INT, 4},	    {"I64", HEAD_INT, 8},	{"U8", HEAD_UINT, 1},
		{"U16", HEAD_UINT, 2},	    {"U32", HEAD_UINT, 4},	{"U64", HEAD_UINT, 8},
		{"BOOL", HEAD_BOOL, 1},	    {"F8_E4M3", HEAD_FLOAT, 1}, {"F8_E5M2", HEAD_FLOAT, 1},
		{"F8_E8M0", HEAD_FLOAT, 1}, {"C64", HEAD_COMPLEX, 8},
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (scan_is(name, types[i].name))
			return head_item_number(a, types[i].type, types[i].size, false);
	}
	return false;
}

/* Take what is between a tensor's braces. What is not understood leaves it untold; false is for
 * text that is no JSON, or is cut. */
static bool take_tensor(struct scan *s, struct tensor *t)
{
	struct scan key;
	struct scan text;
	unsigned nr;

	if (!scan_take(s, '{'))
		return scan_value(s);
	while (!scan_take(s, '}')) {
		struct scan from;
		bool ok = true;

		if (!scan_string(s, &key) || !scan_take(s, ':'))
			return false;
		from = *s;
		if (scan_is(&key, "dtype"))
			t->typed = ok = scan_string(s, &text) && set_type(&t->a, &text);
		else if (scan_is(&key, "shape"))
			t->shaped = ok = scan_numbers(s, t->dims, HEAD_ITEM_AXES, &t->nr_dims);
		else if (scan_is(&key, "data_offsets"))
			t->placed = ok = scan_numbers(s, t->span, 2, &nr) && nr == 2;
		else
			ok = scan_value(s);
		if (!ok) {
			*s = from;
			if (!scan_value(s))
				return false;
		}
		scan_take(s, ',');
	}
	return true;
}

static void add_tensor(struct head_list *l, struct tensor *t, uint64_t data)
{
	uint64_t start;

	if (!t->typed || !t->shaped || !t->placed ||
	    __builtin_add_overflow(data, t->span[0], &start) || t->span[1] < t->span[0] ||
	    !head_item_shape(&t->a, start, t->dims, t->nr_dims, false) ||
	    t->a.end - t->a.start != t->span[1] - t->span[0])
		return;
	head_list_add(l, &t->a);
}

void safetensors_find(const uint8_t *bytes, size_t len, struct head_list *l)
{
	struct scan s = {.p = NULL};
	struct scan name;
	uint64_t json_len = len < LEN_LEN ? 0 : get_u64(bytes);

	if (json_len < 2 || json_len > JSON_MAX)
		return;
	s.p = (const char *)bytes + LEN_LEN;
	s.end = s.p + MIN(json_len, len - LEN_LEN);
	if (scan_peek(&s) != '{' || !scan_take(&s, '{'))
		return;
	while (scan_string(&s, &name) && scan_take(&s, ':')) {
		struct tensor t = {.typed = false};

		if (!take_tensor(&s, &t))
			break;
		add_tensor(l, &t, LEN_LEN + json_len);
		if (!scan_take(&s, ','))
			break;
	}
	if (json_len > len - LEN_LEN)
		head_list_rest(l, LEN_LEN + json_len);
}
