/* From what was written to what it means: defaults, then the file, then the command line, each set
 * over the one before by the same option_set(); then what is left open is worked out from the
 * rest. */
#include "conf/resolve.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "conf/inifile.h"
#include "conf/option.h"
#include "conf/path.h"
#include "conf/size.h"
#include "conf/text.h"

#define DEFAULT_SHARDS	   4
#define DEFAULT_MEMORY_MAX (4 * GIB)

struct resolve {
	struct conf *conf;
	const struct args *args;
	const struct env *env;
	const struct why *why;
	char *given;		      /* the mountpoint as an absolute path, links unresolved */
	struct settings file, source; /* must outlive target, which borrows from them */
	struct option_target target;
};

/* ---- mountpoint ---- */

static int resolve_mountpoint(struct resolve *r)
{
	int err = path_absolute(r->args->mountpoint, NULL, r->env->cwd, &r->given);

	if (err == -EDOM)
		return why_say(r->why, -EINVAL,
			       "%.200s: a relative mountpoint, and the current directory is gone",
			       r->args->mountpoint);
	if (err)
		return err;
	r->conf->mountpoint = path_resolve(r->given);
	return r->conf->mountpoint ? 0 : -ENOMEM;
}

/* ---- the file ---- */

/* The last conf= of the command line. */
static const struct setting *resolve_find_conf(const struct args *args)
{
	const struct setting *found = NULL;

	for (size_t i = 0; i < args->settings.nr; i++) {
		if (strcmp(args->settings.items[i].name, "conf") == 0)
			found = &args->settings.items[i];
	}
	return found;
}

static int resolve_given_file(struct resolve *r, const struct setting *s)
{
	AUTO_FREE char *name = s->value ? setting_unescape(s->value, strlen(s->value)) : strdup("");
	int err;

	if (!name)
		return -ENOMEM;
	err = path_absolute(name, r->env->home, r->env->cwd, &r->conf->file);
	if (err == -ENOENT)
		return why_say(r->why, -EINVAL,
			       "%s: conf: needs a value; allowed: the path of a settings file",
			       s->from);
	if (err == -EDOM)
		return why_say(r->why, -EINVAL,
			       "%s: conf=%.200s: a relative path, and there is no such directory",
			       s->from, name);
	if (err)
		return err;
	err = inifile_read(r->conf->file, &r->file, r->why);
	if (err == -ENOENT)
		return why_say(
			r->why, -EINVAL,
			"%s: conf=%.200s: no such file; allowed: the path of a settings file",
			s->from, r->conf->file);
	return err;
}

/* A user's file or the machine's. Returns -ENOENT when it is not there, and takes over @path in any
 * case. */
static int resolve_file(struct resolve *r, char *path)
{
	int err = path ? inifile_read(path, &r->file, r->why) : -ENOMEM;

	if (err == -ENOENT) {
		free(path);
		return -ENOENT;
	}
	free(r->conf->file);
	r->conf->file = path;
	return err;
}

static int resolve_standard_file(struct resolve *r)
{
	const struct env *env = r->env;
	int err = -ENOENT;

	if (env->config_home)
		err = resolve_file(r, path_join(env->config_home, "matfs/matfs.conf"));
	if (err == -ENOENT && env->home)
		err = resolve_file(r, path_join(env->home, ".config/matfs/matfs.conf"));
	if (err == -ENOENT)
		err = resolve_file(r, strdup(env->system_file));
	return err == -ENOENT ? 0 : err;
}

/* Which mounts a section is for. Returns an enum option_group: OPTION_SECTION for this one,
 * OPTION_DEFAULT for others; or -EINVAL, -ENOMEM. */
static int resolve_path_section(struct resolve *r, const struct setting *s)
{
	char *path;
	bool ours;
	int err = path_absolute(s->section, r->env->home, NULL, &path);

	if (err == -ENOENT || err == -EDOM)
		return why_say(r->why, -EINVAL,
			       "%s: in section [%.200s]; allowed: [default], or a mountpoint such "
			       "as [/mnt/mat]",
			       s->from, s->section);
	if (err)
		return err;
	ours = strcmp(path, r->given) == 0 || strcmp(path, r->conf->mountpoint) == 0;
	free(path);
	return ours ? OPTION_SECTION : OPTION_DEFAULT;
}

/* The same, and OPTION_HEAD for all. */
static int resolve_section(struct resolve *r, const struct setting *s)
{
	if (!*s->section || strcmp(s->section, "default") == 0)
		return OPTION_HEAD;
	return resolve_path_section(r, s);
}

/* Set what the file has for @group. */
static int resolve_group(struct resolve *r, struct option_target *to, enum option_group group)
{
	int err = 0;

	for (size_t i = 0; i < r->file.nr && !err; i++) {
		int found = resolve_section(r, &r->file.items[i]);

		if (found < 0)
			return found;
		if (found != (int)group)
			continue;
		/* Others' settings are read as settings of a section, so that the same is allowed
		 * there. */
		to->group = group == OPTION_DEFAULT ? OPTION_SECTION : group;
		err = option_set(to, &r->file.items[i]);
	}
	return err;
}

/* Other mounts' sections are checked, too: a mistake is found when it is made, not at the next
 * boot. */
static int resolve_others(struct resolve *r)
{
	struct conf *scratch = calloc(1, sizeof(*scratch));
	struct option_target to = {.conf = scratch, .env = r->env, .why = r->why};
	int err;

	if (!scratch)
		return -ENOMEM;
	err = resolve_group(r, &to, OPTION_DEFAULT);
	conf_free(scratch);
	return err;
}

static int resolve_file_settings(struct resolve *r)
{
	const struct setting *given = resolve_find_conf(r->args);
	int err = given ? resolve_given_file(r, given) : resolve_standard_file(r);

	err = err ? err : resolve_group(r, &r->target, OPTION_HEAD);
	err = err ? err : resolve_group(r, &r->target, OPTION_SECTION);
	return err ? err : resolve_others(r);
}

/* ---- the command line ---- */

static bool resolve_is_source(const char *source)
{
	return source && *source && strcmp(source, "none") != 0 && strcmp(source, "matfs") != 0;
}

static int resolve_source(struct resolve *r)
{
	int err = setting_add(&r->source, "shards", r->args->source, "SOURCE", NULL);

	r->target.group = OPTION_SOURCE;
	return err ? err : option_set(&r->target, &r->source.items[0]);
}

static int resolve_line(struct resolve *r)
{
	int err = 0;

	if (resolve_is_source(r->args->source))
		err = resolve_source(r);
	r->target.group = OPTION_LINE;
	for (size_t i = 0; i < r->args->settings.nr && !err; i++) {
		const struct setting *s = &r->args->settings.items[i];

		if (resolve_is_source(r->args->source) && strcmp(s->name, "shards") == 0)
			return why_say(
				r->why, -EINVAL,
				"%s: shards: the source names shards already; allowed: one of them",
				s->from);
		err = option_set(&r->target, s);
	}
	return err;
}

/* ---- what is left open ---- */

static int resolve_state(struct resolve *r)
{
	const struct env *env = r->env;

	if (r->conf->state)
		return 0;
	if (env->state_home)
		r->conf->state = path_join(env->state_home, "matfs");
	else if (env->root)
		r->conf->state = strdup(env->system_dir);
	else if (env->home)
		r->conf->state = path_join(env->home, ".local/state/matfs");
	else
		return why_say(r->why, -EINVAL,
			       "default: state: there is no home directory; allowed: -o state=DIR");
	return r->conf->state ? 0 : -ENOMEM;
}

/* The directory under which volumes are that nobody gave a place. */
static int resolve_data_home(const struct resolve *r, char **out)
{
	const struct env *env = r->env;

	if (env->data_home)
		*out = path_join(env->data_home, "matfs");
	else if (env->root)
		*out = path_join(env->system_dir, "volumes");
	else if (env->home)
		*out = path_join(env->home, ".local/share/matfs");
	else
		return why_say(r->why, -EINVAL,
			       "default: shards: there is no home directory to put them in; "
			       "allowed: -o shards=DIR:DIR...");
	return *out ? 0 : -ENOMEM;
}

static int resolve_shard(struct resolve *r, const char *volume, unsigned idx)
{
	AUTO_FREE char *path = text_format("%s/shard%u", volume, idx);

	if (!path)
		return -ENOMEM;
	return option_append(&r->conf->shards, &r->conf->nr_shards, path);
}

static int resolve_default_shards(struct resolve *r)
{
	AUTO_FREE char *name = path_to_name(r->conf->mountpoint);
	AUTO_FREE char *home = NULL;
	AUTO_FREE char *volume = NULL;
	int err;

	if (!name)
		return -ENOMEM;
	if (strlen(name) > NAME_MAX)
		return why_say(r->why, -EINVAL,
			       "default: shards: the mountpoint is too long to name them after; "
			       "allowed: -o shards=DIR:DIR...");
	err = resolve_data_home(r, &home);
	if (err)
		return err;
	volume = path_join(home, name);
	if (!volume)
		return -ENOMEM;
	r->conf->default_shards = true;
	for (unsigned i = 0; i < DEFAULT_SHARDS && !err; i++)
		err = resolve_shard(r, volume, i);
	return err;
}

static int resolve_sizes(struct resolve *r)
{
	struct conf *conf = r->conf;
	char cache[SIZE_TEXT_LEN], memory[SIZE_TEXT_LEN];

	if (!conf->memory)
		conf->memory = MAX(CONF_MEMORY_MIN, MIN(round_down(r->env->memory_len / 4, MIB),
							DEFAULT_MEMORY_MAX));
	if (!conf->cache)
		conf->cache = conf->memory / 2;
	if (!conf->threads)
		conf->threads = MAX(4U, MIN(2 * r->env->nr_cores, 256U));
	if (conf->cache <= conf->memory)
		return 0;
	size_print(conf->cache, cache);
	size_print(conf->memory, memory);
	return why_say(
		r->why, -EINVAL,
		"%s: cache=%s: more than memory=%s (%s), of which it is a part; allowed: up to %s",
		option_from(&r->target, "cache"), cache, memory, option_from(&r->target, "memory"),
		memory);
}

static int resolve_flags(struct resolve *r)
{
	struct conf *conf = r->conf;

	conf->debug |= r->args->debug;
	conf->foreground |= r->args->foreground || conf->debug;
	if (conf->allow_other && conf->allow_root)
		return why_say(r->why, -EINVAL,
			       "%s: allow_root: allow_other is set, too (%s); allowed: one of them",
			       option_from(&r->target, "allow_root"),
			       option_from(&r->target, "allow_other"));
	return 0;
}

static bool resolve_has_fuse_opt(const struct conf *conf, const char *start)
{
	for (unsigned i = 0; i < conf->nr_fuse_opts; i++) {
		if (strncmp(conf->fuse_opts[i], start, strlen(start)) == 0)
			return true;
	}
	return false;
}

/* What mount(8) and df(1) show as the device: with a source that, since mount(8) looks it up there
 * again. */
static int resolve_fsname(struct conf *conf, const char *source)
{
	AUTO_FREE char *name = setting_escape(source && *source ? source : "matfs");
	AUTO_FREE char *text = name ? text_format("fsname=%s", name) : NULL;

	if (!text)
		return -ENOMEM;
	return option_append(&conf->fuse_opts, &conf->nr_fuse_opts, text);
}

static int resolve_fuse_opts(struct resolve *r)
{
	struct conf *conf = r->conf;
	const struct {
		bool wanted;
		const char *text;
	} opts[] = {
		{true, "default_permissions"},
		{!resolve_has_fuse_opt(conf, "subtype="), "subtype=matfs"},
		{conf->ro, "ro"},
		{conf->allow_other, "allow_other"},
		{conf->allow_root, "allow_root"},
		{conf->noatime, "noatime"},
		{conf->sync, "sync"},
		{conf->dirsync, "dirsync"},
	};
	int err = 0;

	if (!resolve_has_fuse_opt(conf, "fsname="))
		err = resolve_fsname(conf, r->args->source);
	for (size_t i = 0; i < ARRAY_LEN(opts) && !err; i++) {
		if (opts[i].wanted)
			err = option_append(&conf->fuse_opts, &conf->nr_fuse_opts, opts[i].text);
	}
	return err;
}

static int resolve_all(struct resolve *r)
{
	int err = resolve_mountpoint(r);

	err = err ? err : option_defaults(&r->target);
	err = err ? err : resolve_file_settings(r);
	err = err ? err : resolve_line(r);
	err = err ? err : resolve_flags(r);
	err = err ? err : resolve_sizes(r);
	if (!err && !r->conf->nr_shards)
		err = resolve_default_shards(r);
	err = err ? err : resolve_state(r);
	return err ? err : resolve_fuse_opts(r);
}

int resolve_conf(const struct args *args, const struct env *env, const struct why *why,
		 struct conf **out)
{
	struct conf *conf = calloc(1, sizeof(*conf));
	struct resolve r = {
		.conf = conf,
		.args = args,
		.env = env,
		.why = why,
		.target = {.conf = conf, .env = env, .why = why},
	};
	int err = conf ? resolve_all(&r) : -ENOMEM;

	settings_fini(&r.file);
	settings_fini(&r.source);
	free(r.given);
	if (err) {
		conf_free(conf);
		return err;
	}
	*out = conf;
	return 0;
}
