/* A .nrrd file begins with lines of text: "NRRD000" and the version's digit, then "field: value",
 * "key:=value" or "#comment". An empty line ends them, and the array follows, its fastest axis
 * first in "sizes". Names of fields and types are of any case. */
#include "codec/nrrd.h"

#include <string.h>
#include <strings.h>

#include "codec/head_item.h"
#include "codec/scan.h"
#include "conf/base.h"

#define AXES_MAX 16u /* the format's own limit */

struct nrrd {
	struct head_array a;
	uint8_t type;
	uint8_t size;
	uint64_t dims[AXES_MAX];
	unsigned nr_dims;
	uint64_t skip;
	bool big;
	bool raw;
	bool bad; /* nothing can be told */
};

static bool is_word(const struct scan *s, const char *word)
{
	size_t len = strlen(word);

	return (size_t)(s->end - s->p) == len && strncasecmp(s->p, word, len) == 0;
}

static bool set_type(struct nrrd *n, const struct scan *s)
{
	static const struct {
		uint8_t type;
		uint8_t size;
		const char *names[6];
	} types[] = {
		{HEAD_INT, 1, {"signed char", "int8", "int8_t"}},
		{HEAD_UINT, 1, {"uchar", "unsigned char", "uint8", "uint8_t"}},
		{HEAD_INT,
		 2,
		 {"short", "short int", "signed short", "signed short int", "int16", "int16_t"}},
		{HEAD_UINT,
		 2,
		 {"ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"}},
		{HEAD_INT, 4, {"int", "signed int", "int32", "int32_t"}},
		{HEAD_UINT, 4, {"uint", "unsigned int", "uint32", "uint32_t"}},
		{HEAD_INT,
		 8,
		 {"longlong", "long long", "long long int", "signed long long", "int64",
		  "int64_t"}},
		{HEAD_UINT,
		 8,
		 {"ulonglong", "unsigned long long", "unsigned long long int", "uint64",
		  "uint64_t"}},
		{HEAD_FLOAT, 4, {"float"}},
		{HEAD_FLOAT, 8, {"double"}},
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		for (size_t k = 0; k < ARRAY_LEN(types[i].names) && types[i].names[k]; k++) {
			if (!is_word(s, types[i].names[k]))
				continue;
			n->type = types[i].type;
			n->size = types[i].size;
			return true;
		}
	}
	return false;
}

static bool set_sizes(struct nrrd *n, struct scan s)
{
	for (n->nr_dims = 0; !scan_done(&s); n->nr_dims++) {
		if (n->nr_dims == AXES_MAX || !scan_number(&s, &n->dims[n->nr_dims]))
			return false;
	}
	return n->nr_dims > 0;
}

static void take_field(struct nrrd *n, const struct scan *name, struct scan value)
{
	uint64_t lines;

	if (is_word(name, "type"))
		n->bad |= !set_type(n, &value);
	else if (is_word(name, "sizes"))
		n->bad |= !set_sizes(n, value);
	else if (is_word(name, "endian"))
		n->big = is_word(&value, "big");
	else if (is_word(name, "encoding"))
		n->raw = is_word(&value, "raw");
	else if (is_word(name, "byte skip") || is_word(name, "byteskip"))
		n->bad |= !scan_number(&value, &n->skip); /* -1: it ends where the file does */
	else if (is_word(name, "line skip") || is_word(name, "lineskip"))
		n->bad |= !scan_number(&value, &lines) || lines;
	else if (is_word(name, "data file") || is_word(name, "datafile"))
		n->bad = true;
}

/* Take the next line, without its end. */
static bool take_line(struct scan *s, struct scan *line)
{
	const char *end = scan_done(s) ? NULL : memchr(s->p, '\n', (size_t)(s->end - s->p));

	if (!end)
		return false;
	*line = (struct scan){s->p, end};
	if (line->end > line->p && line->end[-1] == '\r')
		line->end--;
	s->p = end + 1;
	return true;
}

static void take_field_line(struct nrrd *n, const struct scan *line)
{
	const char *colon = memchr(line->p, ':', (size_t)(line->end - line->p));
	struct scan name = {line->p, colon};
	struct scan value;

	if (*line->p == '#' || !colon || line->end - colon < 2 || colon[1] == '=')
		return;
	value = (struct scan){colon + 1, line->end};
	while (value.p < value.end && (*value.p == ' ' || *value.p == '\t'))
		value.p++;
	while (value.end > value.p && (value.end[-1] == ' ' || value.end[-1] == '\t'))
		value.end--;
	take_field(n, &name, value);
}

void nrrd_find(const uint8_t *bytes, size_t len, struct head_list *l)
{
	struct scan s = {(const char *)bytes, (const char *)bytes + len};
	struct nrrd n = {.raw = false};
	struct scan line;
	uint64_t start;

	if (len < 8 || memcmp(bytes, "NRRD000", 7) != 0 || !take_line(&s, &line))
		return;
	do {
		if (!take_line(&s, &line))
			return;
		if (line.p < line.end)
			take_field_line(&n, &line);
	} while (line.p < line.end);
	if (n.bad || !n.raw || n.nr_dims == 0 ||
	    __builtin_add_overflow((uint64_t)(s.p - (const char *)bytes), n.skip, &start) ||
	    !head_item_number(&n.a, n.type, n.size, n.big) ||
	    !head_item_shape(&n.a, start, n.dims, n.nr_dims, true))
		return;
	head_list_add(l, &n.a);
}
