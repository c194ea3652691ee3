/* The command line, as mount(8) and fuse(8) have it: flags and places in any order, "--" ends the
 * flags. Not getopt(), which keeps its state in globals and prints. */
#include "conf/args.h"

#include <errno.h>
#include <string.h>

#include "conf/base.h"

#define USAGE "usage: matfs [SOURCE] MOUNTPOINT [-o name=value,...] [-f] [-d] (-h explains)"

static int args_place(struct args *args, const char *place, const struct why *why)
{
	if (args->source)
		return why_say(why, -EINVAL, "'%.200s': too many arguments; " USAGE, place);
	/* With two of them, the first was the source. */
	args->source = args->mountpoint;
	args->mountpoint = place;
	return 0;
}

/* Returns 0, -EINVAL or -ENOMEM. @more is what follows the letter in the same argument. */
static int args_letter(struct args *args, char letter, const char *more, const char *arg,
		       const struct why *why)
{
	switch (letter) {
	case 'f':
		args->foreground = true;
		return 0;
	case 'd':
		args->debug = true;
		return 0;
	case 'h':
		args->help = true;
		return 0;
	case 'V':
		args->version = true;
		return 0;
	case 'o':
		if (!more)
			return why_say(why, -EINVAL, "-o: needs settings; " USAGE);
		return setting_split(&args->settings, more, "-o");
	default:
		return why_say(why, -EINVAL,
			       "'%.200s': unknown flag; allowed: -o, -f, -d, -h, -V (settings go "
			       "after -o)",
			       arg);
	}
}

/* @arg is "-x", several such in one, or ends with "o" and settings. Returns how many arguments it
 * took, or an error. */
static int args_flags(struct args *args, const char *arg, const char *next, const struct why *why)
{
	for (const char *p = arg + 1; *p; p++) {
		const char *more = p[1] ? p + 1 : next;
		int err = args_letter(args, *p, more, arg, why);

		if (err)
			return err;
		if (*p == 'o')
			return p[1] ? 1 : 2;
	}
	return 1;
}

static int args_word(struct args *args, const char *arg, const struct why *why)
{
	if (strcmp(arg, "--help") == 0)
		args->help = true;
	else if (strcmp(arg, "--version") == 0)
		args->version = true;
	else
		return args_letter(args, 0, NULL, arg, why);
	return 0;
}

/* Returns how many arguments it took, or an error. */
static int args_one(struct args *args, char **argv, bool flags, const struct why *why)
{
	int err;

	if (!flags || argv[0][0] != '-' || !argv[0][1])
		err = args_place(args, argv[0], why);
	else if (argv[0][1] == '-')
		err = args_word(args, argv[0], why);
	else
		return args_flags(args, argv[0], argv[1], why);
	return err ? err : 1;
}

int args_parse(int argc, char **argv, struct args *args, const struct why *why)
{
	bool flags = true;
	int taken;

	*args = (struct args){0};
	for (int i = 1; i < argc && argv[i]; i += taken) {
		taken = 1;
		if (flags && strcmp(argv[i], "--") == 0)
			flags = false;
		else
			taken = args_one(args, argv + i, flags, why);
		if (taken < 0)
			return taken;
		if (args->help || args->version)
			return 0;
	}
	if (!args->mountpoint || !*args->mountpoint)
		return why_say(why, -EINVAL, "no mountpoint given; " USAGE);
	return 0;
}

void args_fini(struct args *args)
{
	settings_fini(&args->settings);
}
