/* Text of strings, words, numbers and brackets, as Python and JSON write it, read from borrowed
 * bytes. Threads: any; a cursor belongs to one. */
#ifndef CODEC_SCAN_H
#define CODEC_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The text that is left. */
struct scan {
	const char *p;
	const char *end;
};

/* The next character; NUL at the end, which no rule accepts. */
static inline char scan_peek(const struct scan *s)
{
	return s->p < s->end ? *s->p : '\0';
}

static inline bool scan_done(const struct scan *s)
{
	return s->p >= s->end;
}

/* Whether all of the text is @word. */
bool scan_is(const struct scan *s, const char *word);

/* Take @c, and space around it, if it is next. */
bool scan_take(struct scan *s, char c);

/* Take a quoted string; what stands between the quotes goes to @text. Escaped quotes belong to
 * it. */
bool scan_string(struct scan *s, struct scan *text);

/* Take letters and digits, none of them perhaps. */
void scan_word(struct scan *s, struct scan *word);

/* Take a number without sign, in digits. False when it is longer than 64 bits. */
bool scan_number(struct scan *s, uint64_t *n);

/* Take numbers in brackets: (), (3,), [3, 4]. False for anything else, and for more than @cap. */
bool scan_numbers(struct scan *s, uint64_t *n, unsigned cap, unsigned *nr);

/* Pass over one value: a string, a word or number, or a bracket with all it holds. */
bool scan_value(struct scan *s);

#endif
