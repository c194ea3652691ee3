/* What the defaults are taken from: the machine, the user, the environment. Gathered once, so that
 * tests can bring their own. */
#ifndef CONF_ENV_H
#define CONF_ENV_H

#include <stdbool.h>
#include <stdint.h>

/* The strings are the struct's own; paths are absolute. */
struct env {
	char *cwd;	   /* NULL: it is gone, or out of reach */
	char *home;	   /* NULL: none */
	char *config_home; /* these three: NULL where not set; then they are below home */
	char *data_home;
	char *state_home;
	char *system_file; /* the settings of the whole machine */
	char *system_dir;  /* where root's volumes and indexes are kept by default */
	bool root;
	uint64_t memory_len; /* bytes of RAM that we may use */
	unsigned nr_cores;   /* that we may use */
};

/* Returns 0 or -ENOMEM; then and later env_fini() is due. Threads: none may change the environment
 * meanwhile. */
int env_init(struct env *env);
void env_fini(struct env *env);

#endif
