/* The way in: gathers what there is (args, env), has it loaded, and says why not. */
#include "conf/conf.h"

#include "conf/resolve.h"
#include "conf/option.h"

static int conf_load_args(const struct args *args, const struct why *why, struct conf **out)
{
	struct env env;
	int err = env_init(&env);

	if (!err)
		err = resolve_conf(args, &env, why, out);
	env_fini(&env);
	return err;
}

int conf_load(int argc, char **argv, struct conf **out, char *why, size_t why_len)
{
	const struct why line = {.buf = why, .len = why_len};
	struct args args;
	int err = args_parse(argc, argv, &args, &line);

	if (!err && args.help)
		err = CONF_DONE_HELP;
	else if (!err && args.version)
		err = CONF_DONE_VERSION;
	else if (!err)
		err = conf_load_args(&args, &line, out);
	if (err == -ENOMEM)
		why_say(&line, err, "out of memory while reading the settings");
	args_fini(&args);
	return err;
}

static void conf_free_list(char **list, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		free(list[i]);
	free(list);
}

void conf_free(struct conf *conf)
{
	if (!conf)
		return;
	conf_free_list(conf->shards, conf->nr_shards);
	conf_free_list(conf->fuse_opts, conf->nr_fuse_opts);
	free(conf->mountpoint);
	free(conf->file);
	free(conf->state);
	free(conf);
}

void conf_help(FILE *to)
{
	fprintf(to, "usage: matfs [SOURCE] MOUNTPOINT [-o name=value,...] [-f] [-d] [-h] [-V]\n"
		    "\n"
		    "One directory over several, with live parity, checksums and compression.\n"
		    "SOURCE is DIR:DIR... as in shards=, or none; mount(8) passes one.\n"
		    "\n"
		    "    -o name=value,...      settings; also in a settings file\n"
		    "    -f                     stay in the foreground\n"
		    "    -d                     say what is being done; stay in the foreground\n"
		    "    -h                     this help\n"
		    "    -V                     version\n"
		    "\n"
		    "Settings, with defaults in brackets:\n");
	option_help(to);
}

const char *conf_version(void)
{
	return MATFS_VERSION;
}
