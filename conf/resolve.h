/* Loading with the surroundings given, for conf_load() and for tests. */
#ifndef CONF_RESOLVE_H
#define CONF_RESOLVE_H

#include "conf/args.h"
#include "conf/conf.h"
#include "conf/env.h"
#include "conf/why.h"

/* As conf_load(), from a command line already parsed (without -h or -V). */
int resolve_conf(const struct args *args, const struct env *env, const struct why *why,
		 struct conf **out);

#endif
