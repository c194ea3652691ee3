/* Settings files: INI, read by inih. Threads: any, one at a time per list. */
#ifndef CONF_INIFILE_H
#define CONF_INIFILE_H

#include <stdio.h>

#include "conf/setting.h"
#include "conf/why.h"

/* Add all settings of @path to @list; `from` is "PATH:LINE". Nothing is known yet of names and
 * values. Returns 0, -ENOENT (no such file; @why is untouched), -EINVAL (cannot be read, or is no
 * such file; then @why says which line) or -ENOMEM. */
int inifile_read(const char *path, struct settings *list, const struct why *why);

/* The same from an open stream, which is called @path. */
int inifile_read_stream(FILE *f, const char *path, struct settings *list, const struct why *why);

#endif
