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
 * than @len bytes. For npy_find() everything in it is a guess at speed: a wrong answer costs
 * compression, not data. For npy_parse() it has to be all there, and all understood. */
#include "codec/npy.h"

#include <string.h>

#include "codec/head_item.h"
#include "codec/scan.h"
#include "conf/bytes.h"

#define NESTING_MAX 8	/* records within records; deeper ones have no answer */
#define FIXED_LEN_1 10u /* bytes before the text, in version 1 */
#define FIXED_LEN   12u /* later */

_Static_assert(HEAD_ITEM_AXES == NPY_DIMS, "all axes are kept");

static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

/* What a type tells of an item. */
struct type {
	uint64_t size;		  /* bytes; 0 for empty text, too */
	bool objects;		  /* holds Python objects, so that the file is a pickle */
	struct head_array number; /* what it is made of; width 0: no width fits */
};

/* What the dictionary says. */
struct dict {
	struct type type;
	struct scan descr;
	bool typed;
	bool shaped;
	bool ordered;
	bool whole; /* the three are there, once each, and nothing else is */
	bool fortran;
	uint64_t dims[HEAD_ITEM_AXES];
	unsigned nr_dims;
};

/* ---- types ---- */

/* Text of @nr_chars characters, or raw bytes. */
static bool text_type(struct type *out, uint8_t width, uint64_t nr_chars, bool big)
{
	struct head_array number = {
		.type = HEAD_OTHER, .width = width, .big_endian = big && width > 1};

	out->size = width * nr_chars;
	head_item_record(&out->number, &number, out->size);
	return true;
}

static bool number_type(struct type *out, enum head_type type, uint64_t size, bool big)
{
	out->size = size;
	return head_item_number(&out->number, type, size, big);
}

static bool void_type(struct type *out, uint64_t size, bool big)
{
	out->size = size;
	/* The small floats of machine learning, which numpy does not know. */
	if (size <= 2)
		head_item_number(&out->number, HEAD_OTHER, size, big);
	return true;
}

static bool take_digits(struct scan *s, uint64_t *n)
{
	const char *from = s->p;

	for (*n = 0; scan_peek(s) >= '0' && scan_peek(s) <= '9' && *n <= INT32_MAX; s->p++)
		*n = *n * 10 + (uint64_t)(*s->p - '0');
	return s->p > from && *n <= INT32_MAX;
}

/* What a type string such as "<f8" tells. */
static bool plain_type(struct scan s, struct type *out)
{
	bool big = scan_peek(&s) == '>';
	uint64_t n;
	char kind;

	if (s.end - s.p < 2 || *s.p == '\0' || !strchr("<>|=", *s.p))
		return false;
	kind = s.p[1];
	s.p += 2;
	*out = (struct type){.objects = kind == 'O'};
	if (out->objects)
		return true;
	if (!take_digits(&s, &n))
		return false;
	/* Only times have more to say: <M8[ns]. */
	if (!scan_done(&s) &&
	    ((kind != 'M' && kind != 'm') || scan_peek(&s) != '[' || s.end[-1] != ']'))
		return false;
	switch (kind) {
	case 'S':
	case 'a':
		return text_type(out, 1, n, big);
	case 'U':
		return text_type(out, 4, n, big);
	case 'V':
		return void_type(out, n, big);
	case 'b':
		return n == 1 && number_type(out, HEAD_BOOL, n, big);
	case 'u':
		return number_type(out, HEAD_UINT, n, big);
	case 'i':
	case 'M':
	case 'm':
		return number_type(out, HEAD_INT, n, big);
	case 'f':
		return number_type(out, HEAD_FLOAT, n, big);
	case 'c':
		return number_type(out, HEAD_COMPLEX, n, big);
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

static bool take_type(struct scan *t, unsigned depth, struct type *out);

/* Take a field, ('name', type) or ('name', type, shape). */
static bool take_field(struct scan *t, unsigned depth, struct type *out)
{
	if (!scan_take(t, '(') || !scan_value(t) || !scan_take(t, ',') ||
	    !take_type(t, depth + 1, out))
		return false;
	if (scan_take(t, ',') && scan_peek(t) != ')' && !take_field_shape(t, &out->size))
		return false;
	return scan_take(t, ')');
}

static bool take_record(struct scan *t, unsigned depth, struct type *out)
{
	struct head_array all = {.width = 0};
	bool alike = true;
	struct type field;

	*out = (struct type){.size = 0};
	if (depth == NESTING_MAX || !scan_take(t, '['))
		return false;
	while (!scan_take(t, ']')) {
		if (!take_field(t, depth, &field) ||
		    __builtin_add_overflow(out->size, field.size, &out->size))
			return false;
		out->objects |= field.objects;
		alike = alike && field.number.width && head_item_join(&all, &field.number);
		scan_take(t, ',');
	}
	if (alike)
		head_item_record(&out->number, &all, out->size);
	return true;
}

/* Take (type, shape), which is what stands for an array within a field whose type has no name of its
 * own. */
static bool take_subarray(struct scan *t, unsigned depth, struct type *out)
{
	if (depth == 0 || depth == NESTING_MAX || !scan_take(t, '(') ||
	    !take_type(t, depth + 1, out) || !scan_take(t, ',') || !take_field_shape(t, &out->size))
		return false;
	scan_take(t, ',');
	return scan_take(t, ')');
}

static bool take_type(struct scan *t, unsigned depth, struct type *out)
{
	struct scan s;

	if (scan_string(t, &s))
		return plain_type(s, out);
	return scan_peek(t) == '(' ? take_subarray(t, depth, out) : take_record(t, depth, out);
}

/* ---- the dictionary ---- */

static bool take_descr(struct scan *t, struct dict *d)
{
	d->descr.p = t->p;
	d->typed = take_type(t, 0, &d->type);
	for (d->descr.end = t->p; d->descr.end > d->descr.p && d->descr.end[-1] <= ' ';)
		d->descr.end--;
	return d->typed;
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
	d->ordered = d->fortran || scan_is(&word, "False");
	return word.p < word.end;
}

/* Take what can be understood; true when the type is among it. */
static bool take_dict(struct scan *t, struct dict *d)
{
	unsigned nr_keys = 0;
	struct scan name;
	bool ok = scan_take(t, '{');

	while (ok && scan_string(t, &name) && scan_take(t, ':')) {
		nr_keys++;
		if (scan_is(&name, "descr"))
			ok = take_descr(t, d);
		else if (scan_is(&name, "shape"))
			ok = take_shape(t, d);
		else if (scan_is(&name, "fortran_order"))
			ok = take_order(t, d);
		else
			ok = scan_value(t);
		ok = ok && scan_take(t, ',');
	}
	d->whole = d->typed && d->shaped && d->ordered && nr_keys == 3 && scan_take(t, '}') &&
		   scan_done(t);
	return d->typed;
}

/* ---- the head ---- */

size_t npy_head_len(const uint8_t *bytes, size_t len)
{
	if (len < FIXED_LEN || memcmp(bytes, magic, sizeof(magic)) != 0 || bytes[6] < 1 ||
	    bytes[6] > 3)
		return 0;
	return bytes[6] == 1 ? FIXED_LEN_1 + (size_t)get_u16(bytes + 8)
			     : FIXED_LEN + (size_t)get_u32(bytes + 8);
}

/* The text of a head that is there whole. */
static bool head_text(const uint8_t *head, size_t len, struct scan *text, size_t *start)
{
	size_t head_len = npy_head_len(head, len);

	if (head_len == 0 || head_len > len)
		return false;
	*text = (struct scan){(const char *)head + (head[6] == 1 ? FIXED_LEN_1 : FIXED_LEN),
			      (const char *)head + head_len};
	*start = head_len;
	return true;
}

bool npy_find(const uint8_t *head, size_t len, struct head_array *a)
{
	struct dict d = {.typed = false};
	struct head_array *item = &d.type.number;
	struct scan t;
	size_t start;

	if (!head_text(head, len, &t, &start) || !take_dict(&t, &d) || item->width == 0)
		return false;
	if (!d.shaped || !head_item_shape(item, start, d.dims, d.nr_dims, d.fortran))
		head_item_unshape(item, start, UINT64_MAX);
	*a = *item;
	return true;
}

/* False: more bytes than a file can have. No items at all is never too many. */
static bool items_len(const struct dict *d, uint64_t start, uint64_t *len)
{
	uint64_t n = d->type.size, end;
	bool over = false;

	for (unsigned i = 0; i < d->nr_dims; i++) {
		if (d->dims[i] > INT64_MAX)
			return false;
		if (d->dims[i] == 0)
			n = 0;
	}
	for (unsigned i = 0; i < d->nr_dims && n; i++)
		over |= __builtin_mul_overflow(n, d->dims[i], &n);
	*len = n;
	return !over && !__builtin_add_overflow(start, n, &end) && end <= INT64_MAX;
}

const char *npy_parse(const uint8_t *head, size_t len, struct npy_head *out)
{
	struct dict d = {.typed = false};
	uint64_t items;
	struct scan t;
	size_t start;

	if (npy_head_len(head, len) == 0)
		return "not a .npy file of version 1 to 3";
	if (!head_text(head, len, &t, &start))
		return "the head is cut off";
	if (!take_dict(&t, &d))
		return "the head tells no dtype that is known";
	if (d.type.objects)
		return "Python objects are pickled, not stored";
	if (!d.whole)
		return "the head is not as numpy writes it";
	if (!items_len(&d, start, &items))
		return "the shape is larger than a file can be";
	*out = (struct npy_head){
		.start = start,
		.len = items,
		.item = d.type.size,
		.fortran = d.fortran,
		.version = head[6],
		.nr_dims = d.nr_dims,
		.descr = d.descr.p,
		.descr_len = (size_t)(d.descr.end - d.descr.p),
	};
	memcpy(out->dim, d.dims, d.nr_dims * sizeof(d.dims[0]));
	return NULL;
}
