/* The command line. Threads: any. */
#ifndef CONF_ARGS_H
#define CONF_ARGS_H

#include <stdbool.h>

#include "conf/setting.h"
#include "conf/why.h"

/* The strings are argv's. */
struct args {
	const char *source;	/* NULL: not given */
	const char *mountpoint; /* NULL: not given */
	struct settings settings;
	bool foreground;
	bool debug;
	bool help;
	bool version;
};

/* Returns 0, -EINVAL (@why says what is wrong) or -ENOMEM; in any case args_fini() is due. After -h
 * or -V nothing else is looked at. */
int args_parse(int argc, char **argv, struct args *args, const struct why *why);
void args_fini(struct args *args);

#endif
