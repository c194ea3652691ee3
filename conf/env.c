/* What the defaults are taken from. Containers and service managers set limits by control group and
 * affinity mask, so these count, not the size of the machine: a cache sized by the machine's RAM
 * gets a container killed. */
#include "conf/env.h"

#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "conf/base.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* The limit of one control group, or UINT64_MAX. */
static uint64_t env_cgroup_limit(const char *group)
{
	char path[PATH_MAX];
	uint64_t limit = UINT64_MAX;
	FILE *f;

	if (snprintf(path, sizeof(path), CGROUP_ROOT "%s/memory.max", group) >= (int)sizeof(path))
		return UINT64_MAX;
	f = fopen(path, "re");
	if (!f)
		return UINT64_MAX;
	if (fscanf(f, "%" SCNu64, &limit) != 1) /* it says "max" */
		limit = UINT64_MAX;
	fclose(f);
	return limit;
}

/* The line "0::/path" names our group in version 2. The path may lie outside of what a container
 * can see; its own limits are then at the root of what it sees. */
static void env_cgroup(char *group, size_t len)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];

	group[0] = 0;
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "0::/", 4) == 0)
			snprintf(group, len, "%s", line + 3);
	}
	if (f)
		fclose(f);
}

/* The strictest limit on the way from our group to the root. */
static uint64_t env_memory(void)
{
	uint64_t limit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	char group[PATH_MAX];
	char *slash;

	env_cgroup(group, sizeof(group));
	while ((slash = strrchr(group, '/'))) {
		limit = MIN(limit, env_cgroup_limit(group));
		*slash = 0;
	}
	return MIN(limit, env_cgroup_limit(""));
}

static unsigned env_cores(void)
{
	cpu_set_t set;
	long nr;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned)CPU_COUNT(&set);
	nr = sysconf(_SC_NPROCESSORS_ONLN); /* more cores than a set can hold */
	return nr > 0 ? (unsigned)nr : 1;
}

/* A copy of the variable, if it is set and an absolute path; the XDG specification wants others
 * ignored. */
static int env_path(const char *name, char **out)
{
	const char *value = getenv(name);

	if (!value || *value != '/')
		return 0;
	*out = strdup(value);
	return *out ? 0 : -ENOMEM;
}

/* Where the environment has no HOME, as under some service managers, the user's entry has. */
static int env_home(char **out)
{
	char buf[4096];
	struct passwd entry, *found = NULL;
	int err = env_path("HOME", out);

	if (err || *out)
		return err;
	if (getpwuid_r(getuid(), &entry, buf, sizeof(buf), &found) || !found ||
	    *found->pw_dir != '/')
		return 0;
	*out = strdup(found->pw_dir);
	return *out ? 0 : -ENOMEM;
}

int env_init(struct env *env)
{
	*env = (struct env){
		.cwd = getcwd(NULL, 0),
		.system_file = strdup("/etc/matfs.conf"),
		.system_dir = strdup("/var/lib/matfs"),
		.root = geteuid() == 0,
		.memory_len = env_memory(),
		.nr_cores = env_cores(),
	};
	if (!env->system_file || !env->system_dir || env_home(&env->home) ||
	    env_path("XDG_CONFIG_HOME", &env->config_home) ||
	    env_path("XDG_DATA_HOME", &env->data_home) ||
	    env_path("XDG_STATE_HOME", &env->state_home))
		return -ENOMEM;
	return 0;
}

void env_fini(struct env *env)
{
	free(env->cwd);
	free(env->home);
	free(env->config_home);
	free(env->data_home);
	free(env->state_home);
	free(env->system_file);
	free(env->system_dir);
}
