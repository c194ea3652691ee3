/* Settings as they were written, before anybody knows what they mean: name, value, and where they
 * stand. */
#ifndef CONF_SETTING_H
#define CONF_SETTING_H

#include <stddef.h>

struct setting {
	char *name;
	char *value;   /* escapes still in it; NULL: a name alone */
	char *from;    /* "-o", or "FILE:LINE" */
	char *section; /* of the file, as written; "" before the first; NULL elsewhere */
};

/* All zeros is an empty list, which owns everything in it. */
struct settings {
	struct setting *items;
	size_t nr;
};

/* Add copies of the arguments. Returns 0 or -ENOMEM. */
int setting_add(struct settings *list, const char *name, const char *value, const char *from,
		const char *section);

/* Take apart "name=value,name,..." and add each. A backslash keeps the letter after it from parting
 * anything, and stays. Returns 0 or -ENOMEM. */
int setting_split(struct settings *list, const char *text, const char *from);

void settings_fini(struct settings *list);

/* What a value means: without the backslashes before ':', ',' and backslash. The caller's to free;
 * NULL: no memory. */
char *setting_unescape(const char *value, size_t len);

/* The opposite, for those that take a value apart as setting_split() does. The caller's to free. */
char *setting_escape(const char *text);

/* Length of the part of @text up to @sep, or to the end, passing over what a backslash protects. */
size_t setting_span(const char *text, char sep);

#endif
