/* The one line that tells a user what is wrong. */
#include "conf/why.h"

#include <stdarg.h>
#include <stdio.h>

int why_say(const struct why *why, int err, const char *fmt, ...)
{
	va_list ap;

	if (!why->len)
		return err;
	va_start(ap, fmt);
	vsnprintf(why->buf, why->len, fmt, ap);
	va_end(ap);
	/* Bytes above 0x7f are other people's letters. */
	for (char *p = why->buf; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	}
	return err;
}
