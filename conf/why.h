/* The one line that tells a user what is wrong. Threads: one at a time. */
#ifndef CONF_WHY_H
#define CONF_WHY_H

#include <stddef.h>

/* Borrowed memory for one line. */
struct why {
	char *buf;
	size_t len; /* bytes of @buf; 0 where nobody wants to know */
};

/* Write the line, with anything unprintable (a newline in a name, say) as '?', and cut at the end
 * of @why. Returns @err, so that a caller can end with it. */
int why_say(const struct why *why, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
