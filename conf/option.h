/* What can be set: one table of names, kinds, ranges, defaults and help, which everything else goes
 * by. */
#ifndef CONF_OPTION_H
#define CONF_OPTION_H

#include "conf/conf.h"
#include "conf/env.h"
#include "conf/setting.h"
#include "conf/why.h"

#define OPTION_MAX 64 /* lines of the table, at most */

/* Settings of one group may add up (shards= in one section of a file); one of another group starts
 * anew. */
enum option_group { OPTION_DEFAULT, OPTION_HEAD, OPTION_SECTION, OPTION_LINE, OPTION_SOURCE };

/* What option_set() fills, and what it needs to know for it. */
struct option_target {
	struct conf *conf;		/* owned by the caller */
	const struct env *env;		/* borrowed */
	const struct why *why;		/* borrowed */
	const char *from[OPTION_MAX];	/* where each was set last, borrowed; NULL: nowhere */
	enum option_group group;	/* of the settings that come now */
	enum option_group shards_group; /* of those that are there */
};

/* Set all that have a fixed default. Returns 0 or -ENOMEM. */
int option_defaults(struct option_target *to);

/* Returns 0, -EINVAL (@to->why says what is wrong) or -ENOMEM. @s lives as long as @to. */
int option_set(struct option_target *to, const struct setting *s);

/* Where @name was set: "-o", "FILE:LINE" or "default". */
const char *option_from(const struct option_target *to, const char *name);

/* Append a copy of @text to a list of strings. Returns 0 or -ENOMEM. */
int option_append(char ***list, unsigned *nr, const char *text);

/* Write what can be set to @to, for -h. */
void option_help(FILE *to);

#endif
