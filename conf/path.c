/* Paths as text. */
#include "conf/path.h"

#include <stdio.h>
#include <string.h>

#include "conf/base.h"
#include "conf/text.h"

char *path_join(const char *a, const char *b)
{
	return text_format("%s/%s", a, b);
}

/* In place; @path begins with '/'. */
static void path_clean(char *path)
{
	char *to = path;

	for (const char *p = path; *p;) {
		size_t len;

		p += strspn(p, "/");
		len = strcspn(p, "/");
		if (len && !(len == 1 && *p == '.')) {
			*to++ = '/';
			memmove(to, p, len);
			to += len;
		}
		p += len;
	}
	if (to == path)
		*to++ = '/';
	*to = 0;
}

int path_absolute(const char *path, const char *home, const char *cwd, char **out)
{
	bool in_home = path[0] == '~' && (path[1] == '/' || !path[1]);
	const char *base = in_home ? home : cwd;
	char *full;

	if (!*path)
		return -ENOENT;
	if (*path != '/' && !base)
		return -EDOM;
	full = *path == '/' ? strdup(path) : path_join(base, path + in_home);
	if (!full)
		return -ENOMEM;
	path_clean(full);
	*out = full;
	return 0;
}

char *path_resolve(const char *path)
{
	char *full = realpath(path, NULL);

	return full ? full : strdup(path);
}

char *path_to_name(const char *path)
{
	char *name = malloc(3 * strlen(path) + 2);
	char *to = name;

	if (!name)
		return NULL;
	for (const char *p = path + (*path == '/'); *p; p++) {
		if (*p == '/')
			*to++ = '-';
		else if (*p == '-' || *p == '%')
			to += sprintf(to, "%%%02X", (unsigned char)*p);
		else
			*to++ = *p;
	}
	/* "/" itself: no other path gives a lone minus. */
	if (to == name)
		*to++ = '-';
	*to = 0;
	return name;
}
