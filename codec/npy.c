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

#include "conf/base.h"
#include "conf/bytes.h"

#define NESTING_MAX 8 /* records within records; deeper ones have no answer */

/* The text that is left. At the end it reads as NUL, which no rule accepts. */
struct text {
	const char *p;
	const char *end;
};

static char peek(const struct text *t)
{
	return t->p < t->end ? *t->p : '\0';
}

static void skip_space(struct text *t)
{
	while (peek(t) == ' ' || peek(t) == '\n')
		t->p++;
}

/* Take @c, and space around it, if it is next. */
static bool take(struct text *t, char c)
{
	skip_space(t);
	if (peek(t) != c || c == '\0')
		return false;
	t->p++;
	skip_space(t);
	return true;
}

/* Take a quoted string; what stands between the quotes goes to @s. Names may hold escaped
 * quotes. */
static bool take_string(struct text *t, struct text *s)
{
	char quote;

	skip_space(t);
	quote = peek(t);
	if (quote != '\'' && quote != '"')
		return false;
	t->p++;
	s->p = t->p;
	while (t->p < t->end && *t->p != quote)
		t->p += *t->p == '\\' && t->end - t->p > 1 ? 2 : 1;
	if (t->p >= t->end)
		return false;
	s->end = t->p;
	t->p++;
	skip_space(t);
	return true;
}

/* Pass over one value: a string, a word or number, or a bracket with all it holds. */
static bool skip_value(struct text *t)
{
	struct text ignored;
	unsigned depth = 0;

	skip_space(t);
	if (t->p >= t->end)
		return false;
	do {
		char c = peek(t);

		if (c == '\'' || c == '"') {
			if (!take_string(t, &ignored))
				return false;
			continue;
		}
		if (c == '(' || c == '[' || c == '{') {
			depth++;
		} else if (c == ')' || c == ']' || c == '}') {
			if (depth == 0)
				return true;
			depth--;
		} else if (c == ',' && depth == 0) {
			return true;
		}
		t->p++;
	} while (t->p < t->end && (depth || (peek(t) != ',' && peek(t) != '}' && peek(t) != ')')));
	return depth == 0;
}

/* The width that a type string such as "<f8" tells; 0 when it tells none. */
static uint8_t type_width(const struct text *s)
{
	const char *p = s->p;
	char kind;
	unsigned long n = 0;

	if (s->end - p < 3 || *p == '\0' || !strchr("<>|=", *p))
		return 0;
	kind = p[1];
	for (p += 2; p < s->end && *p >= '0' && *p <= '9' && n < 1000000; p++)
		n = n * 10 + (unsigned long)(*p - '0');
	/* Only times have more to say: <M8[ns]. */
	if (n == 0 || (p != s->end && kind != 'M' && kind != 'm'))
		return 0;
	switch (kind) {
	case 'S':
	case 'a':
		return 1;
	case 'U':
		return 4;
	case 'c':
		n /= 2;
		break;
	case 'b':
	case 'i':
	case 'u':
	case 'f':
	case 'M':
	case 'm':
		break;
	default:
		return 0;
	}
	return n == 1 || n == 2 || n == 4 || n == 8 ? (uint8_t)n : 0;
}

/* Take a type: a string, or a list of fields ('name', type) or ('name', type, shape). *@width is
 * the width of all fields so far, 0 before the first. */
static bool take_type(struct text *t, unsigned depth, uint8_t *width)
{
	struct text s;

	if (take_string(t, &s)) {
		uint8_t w = type_width(&s);

		if (w == 0 || (*width && *width != w))
			return false;
		*width = w;
		return true;
	}
	if (depth == NESTING_MAX || !take(t, '['))
		return false;
	while (!take(t, ']')) {
		if (!take(t, '(') || !skip_value(t) || !take(t, ',') ||
		    !take_type(t, depth + 1, width))
			return false;
		if (take(t, ',') && !skip_value(t))
			return false;
		if (!take(t, ')'))
			return false;
		take(t, ',');
	}
	return *width != 0;
}

static bool parse_text(struct text *t, uint8_t *width)
{
	struct text name;

	if (!take(t, '{'))
		return false;
	while (take_string(t, &name) && take(t, ':')) {
		if (name.end - name.p == 5 && memcmp(name.p, "descr", 5) == 0)
			return take_type(t, 0, width);
		if (!skip_value(t) || !take(t, ','))
			return false;
	}
	return false;
}

bool npy_parse(const uint8_t *head, size_t len, struct npy *npy)
{
	static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
	struct rbuf r = rbuf_init(head, len);
	const uint8_t *p = rbuf_skip(&r, sizeof(magic));
	const char *text;
	struct text t;
	uint8_t major;
	size_t text_len;
	uint8_t width = 0;

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
	t = (struct text){text, text + text_len};
	if (!parse_text(&t, &width))
		return false;
	*npy = (struct npy){.width = width, .data_off = r.pos};
	return true;
}
