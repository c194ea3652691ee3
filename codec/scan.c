/* Reading forward only, each character once; brackets are counted, not recursed into. */
#include "codec/scan.h"

#include <string.h>

bool scan_is(const struct scan *s, const char *word)
{
	size_t len = strlen(word);

	return (size_t)(s->end - s->p) == len && memcmp(s->p, word, len) == 0;
}

static void skip_space(struct scan *s)
{
	while (!scan_done(s) && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
		s->p++;
}

bool scan_take(struct scan *s, char c)
{
	skip_space(s);
	if (scan_done(s) || *s->p != c)
		return false;
	s->p++;
	skip_space(s);
	return true;
}

bool scan_string(struct scan *s, struct scan *text)
{
	char quote;

	skip_space(s);
	quote = scan_peek(s);
	if (quote != '\'' && quote != '"')
		return false;
	s->p++;
	text->p = s->p;
	while (s->p < s->end && *s->p != quote)
		s->p += *s->p == '\\' && s->end - s->p > 1 ? 2 : 1;
	if (s->p >= s->end)
		return false;
	text->end = s->p;
	s->p++;
	skip_space(s);
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

void scan_word(struct scan *s, struct scan *word)
{
	skip_space(s);
	word->p = s->p;
	while (is_digit(scan_peek(s)) || (scan_peek(s) >= 'a' && scan_peek(s) <= 'z') ||
	       (scan_peek(s) >= 'A' && scan_peek(s) <= 'Z'))
		s->p++;
	word->end = s->p;
	skip_space(s);
}

bool scan_number(struct scan *s, uint64_t *n)
{
	uint64_t v = 0;

	skip_space(s);
	if (!is_digit(scan_peek(s)))
		return false;
	for (; is_digit(scan_peek(s)); s->p++) {
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s->p - '0'), &v))
			return false;
	}
	*n = v;
	/* Python 2 wrote 3L. */
	if (scan_peek(s) == 'L')
		s->p++;
	skip_space(s);
	return true;
}

bool scan_numbers(struct scan *s, uint64_t *n, unsigned cap, unsigned *nr)
{
	char close = scan_take(s, '(') ? ')' : scan_take(s, '[') ? ']' : '\0';

	if (close == '\0')
		return false;
	for (*nr = 0; !scan_take(s, close); (*nr)++) {
		if (*nr == cap || !scan_number(s, &n[*nr]))
			return false;
		if (!scan_take(s, ',') && scan_peek(s) != close)
			return false;
	}
	return true;
}

bool scan_value(struct scan *s)
{
	struct scan ignored;
	unsigned depth = 0;

	skip_space(s);
	if (scan_done(s))
		return false;
	do {
		char c = *s->p;

		if (c == '\'' || c == '"') {
			if (!scan_string(s, &ignored))
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
		s->p++;
	} while (!scan_done(s) && (depth || (*s->p != ',' && *s->p != '}' && *s->p != ')')));
	return depth == 0;
}
