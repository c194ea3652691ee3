/* The head of a .npy file:
 *
 *   off  size  field
 *     0     6  0x93 "NUMPY"
 *     6     1  major version, 1 to 3
 *     7     1  minor version
 *     8   2|4  length of the text, little-endian; 4 bytes from version 2 on
 *            -  the text: a Python dictionary, as in
 *               {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }
 *
 * The items follow. The text is read with a parser of the few forms that numpy writes, never more
 * than @len bytes. Everything in it is a guess at speed: a wrong answer costs compression, not
 * data. */
#include "codec/npy.h"

#include <string.h>

#include "codec/head_item.h"
#include "codec/scan.h"
#include "conf/bytes.h"

#define NESTING_MAX 8 /* records within records; deeper ones have no answer */

/* What the dictionary says. */
struct dict {
	struct head_array item;
	bool typed;
	bool shaped;
	bool fortran;
	uint64_t dims[HEAD_ITEM_AXES];
	unsigned nr_dims;
};

/* Text of @nr_chars characters, or raw bytes. */
static bool text_item(struct head_array *a, uint8_t width, uint64_t nr_chars, bool big)
{
	struct head_array number = {
		.type = HEAD_OTHER, .width = width, .big_endian = big && width > 1};

	return head_item_record(a, &number, width * nr_chars);
}

/* What a type string such as "<f8" tells. */
static bool plain_item(struct scan s, struct head_array *a)
{
	bool big = scan_peek(&s) == '>';
	uint64_t n = 0;
	char kind;

	if (s.end - s.p < 3 || *s.p == '\0' || !strchr("<>|=", *s.p))
		return false;
	kind = s.p[1];
	for (s.p += 2; !scan_done(&s) && *s.p >= '0' && *s.p <= '9' && n < 1000000; s.p++)
		n = n * 10 + (uint64_t)(*s.p - '0');
	/* Only times have more to say: <M8[ns]. */
	if (n == 0 || (!scan_done(&s) && kind != 'M' && kind != 'm'))
		return false;
	switch (kind) {
	case 'S':
	case 'a':
		return text_item(a, 1, n, big);
	case 'U':
		return text_item(a, 4, n, big);
	case 'V':
		/* The small floats of machine learning, which numpy does not know. */
		return n <= 2 && head_item_number(a, HEAD_OTHER, n, big);
	case 'b':
		return n == 1 && head_item_number(a, HEAD_BOOL, n, big);
	case 'u':
		return head_item_number(a, HEAD_UINT, n, big);
	case 'i':
	case 'M':
	case 'm':
		return head_item_number(a, HEAD_INT, n, big);
	case 'f':
		return head_item_number(a, HEAD_FLOAT, n, big);
	case 'c':
		return head_item_number(a, HEAD_COMPLEX, n, big);
	default:
		return false;
	}
}

/* Take the shape of a field, (3, 3) or 3, and multiply @size by it. */
static bool take_field_shape(struct scan *t, uint64_t *size)
{
	uint64_t dims[HEAD_ITEM_AXES];
	unsigned nr = 1;

	if (!scan_number(t, &dims[0]) && !scan_numbers(t, dims, HEAD_ITEM_AXES, &nr))
		return false;
	for (unsigned i = 0; i < nr; i++) {
		if (__builtin_mul_overflow(*size, dims[i], size))
			return false;
	}
	return true;
}

static bool take_type(struct scan *t, unsigned depth, struct head_array *a);

/* Take a list of fields, ('name', type) or ('name', type, shape). */
static bool take_record(struct scan *t, unsigned depth, struct head_array *a)
{
	struct head_array all = {.width = 0};
	uint64_t size = 0;

	if (depth == NESTING_MAX || !scan_take(t, '['))
		return false;
	while (!scan_take(t, ']')) {
		struct head_array field = {.width = 0};
		uint64_t field_size;

		if (!scan_take(t, '(') || !scan_value(t) || !scan_take(t, ',') ||
		    !take_type(t, depth + 1, &field) || !head_item_join(&all, &field))
			return false;
		field_size = field.item;
		if (scan_take(t, ',') && !take_field_shape(t, &field_size))
			return false;
		if (!scan_take(t, ')') || __builtin_add_overflow(size, field_size, &size))
			return false;
		scan_take(t, ',');
	}
	return head_item_record(a, &all, size);
}

static bool take_type(struct scan *t, unsigned depth, struct head_array *a)
{
	struct scan s;

	return scan_string(t, &s) ? plain_item(s, a) : take_record(t, depth, a);
}

/* Take a value of which no more is wanted than what it is, if it is that. */
static bool take_shape(struct scan *t, struct dict *d)
{
	struct scan from = *t;

	if (scan_numbers(t, d->dims, HEAD_ITEM_AXES, &d->nr_dims)) {
		d->shaped = true;
		return true;
	}
	*t = from;
	return scan_value(t);
}

static bool take_order(struct scan *t, struct dict *d)
{
	struct scan word;

	scan_word(t, &word);
	d->fortran = scan_is(&word, "True");
	return word.p < word.end;
}

/* Take what can be understood; true when the type is among it. */
static bool take_dict(struct scan *t, struct dict *d)
{
	struct scan name;
	bool ok = scan_take(t, '{');

	while (ok && scan_string(t, &name) && scan_take(t, ':')) {
		if (scan_is(&name, "descr"))
			ok = d->typed = take_type(t, 0, &d->item);
		else if (scan_is(&name, "shape"))
			ok = take_shape(t, d);
		else if (scan_is(&name, "fortran_order"))
			ok = take_order(t, d);
		else
			ok = scan_value(t);
		ok = ok && scan_take(t, ',');
	}
	return d->typed;
}

bool npy_find(const uint8_t *head, size_t len, struct head_array *a)
{
	static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
	struct rbuf r = rbuf_init(head, len);
	const uint8_t *p = rbuf_skip(&r, sizeof(magic));
	struct dict d = {.typed = false};
	const char *text;
	struct scan t;
	uint8_t major;
	size_t text_len;

	if (!p || memcmp(p, magic, sizeof(magic)) != 0)
		return false;
	major = rbuf_u8(&r);
	rbuf_u8(&r);
	if (major < 1 || major > 3)
		return false;
	text_len = major == 1 ? rbuf_u16(&r) : rbuf_u32(&r);
	text = (const char *)rbuf_skip(&r, text_len);
	if (!text)
		return false;
	t = (struct scan){text, text + text_len};
	if (!take_dict(&t, &d))
		return false;
	if (!d.shaped || !head_item_shape(&d.item, r.pos, d.dims, d.nr_dims, d.fortran))
		head_item_unshape(&d.item, r.pos, UINT64_MAX);
	*a = d.item;
	return true;
}
