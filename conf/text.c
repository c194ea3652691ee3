/* Text in memory of its own. */
#include "conf/text.h"

#include <stdarg.h>
#include <stdio.h>

char *text_format(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	/* After a failure the pointer holds nothing one may rely on. */
	return len < 0 ? NULL : text;
}
