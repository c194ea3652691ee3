/* What can be set. The table says all of it once; below are one setter for each kind, and what is
 * made of the table for people: the lines that refuse a setting, and the help. */
#include "conf/option.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "conf/path.h"
#include "conf/size.h"
#include "conf/suggest.h"
#include "conf/text.h"

#define ALLOWED_LEN 768
#define VALUE_SHOWN 200 /* bytes of a wrong value that are repeated */

enum option_kind {
	KIND_FLAG,	  /* bool; a name alone means yes */
	KIND_UNFLAG,	  /* bool; a name alone means no: the opposite of another name */
	KIND_NUMBER,	  /* unsigned, min to max */
	KIND_SIZE,	  /* uint64_t, bytes, min to max */
	KIND_EXTENT,	  /* uint32_t, bytes, a power of two, min to max */
	KIND_CHOICE,	  /* unsigned, one of choices */
	KIND_DIR,	  /* char *, absolute */
	KIND_DIRS,	  /* shards and nr_shards */
	KIND_CONF,	  /* conf=: read before all others, so there is nothing left to do */
	KIND_PASS,	  /* libfuse's, without a value */
	KIND_PASS_VALUE,  /* libfuse's, with a value */
	KIND_PASS_NUMBER, /* libfuse's, min to max */
	KIND_IGNORE,	  /* mount(8)'s own; with or without a value */
};

struct choice {
	const char *name;
	unsigned value;
};

struct option {
	const char *name;
	enum option_kind kind;
	size_t at; /* offset in struct conf */
	uint64_t min, max;
	const struct choice *choices; /* ends with a NULL name */
	const char *standard; /* the default as one would write it; NULL: none, or not fixed */
	const char *arg;      /* what stands for the value in the help */
	const char *help;     /* NULL: one of mount(8)'s, listed by name only */
};

static const struct choice raid_choices[] = {{"0", 0}, {"1", 1}, {"5", 5}, {"6", 6}, {NULL, 0}};

static const struct choice codec_choices[] = {
	{"auto", CONF_CODEC_AUTO},
	{"none", CONF_CODEC_NONE},
	{"zstd", CONF_CODEC_ZSTD},
	{NULL, 0},
};

static const struct choice gpu_choices[] = {
	{"auto", CONF_GPU_AUTO},
	{"on", CONF_GPU_ON},
	{"off", CONF_GPU_OFF},
	{NULL, 0},
};

static const struct choice transport_choices[] = {
	{"auto", CONF_TRANSPORT_AUTO},
	{"uring", CONF_TRANSPORT_URING},
	{"classic", CONF_TRANSPORT_CLASSIC},
	{NULL, 0},
};

static const struct choice engine_choices[] = {
	{"auto", CONF_ENGINE_AUTO},
	{"uring", CONF_ENGINE_URING},
	{"sync", CONF_ENGINE_SYNC},
	{NULL, 0},
};

/* The first two are those that are told to people. */
static const struct choice flag_choices[] = {
	{"yes", 1}, {"no", 0}, {"true", 1}, {"false", 0}, {"on", 1},
	{"off", 0}, {"1", 1},  {"0", 0},    {NULL, 0},
};

#define AT(field) offsetof(struct conf, field)

/* The setters write enums as unsigned. */
_Static_assert(sizeof(enum conf_codec) == sizeof(unsigned) &&
		       sizeof(enum conf_gpu) == sizeof(unsigned) &&
		       sizeof(enum conf_engine) == sizeof(unsigned) &&
		       sizeof(enum conf_transport) == sizeof(unsigned),
	       "");

/* Those of others: mount(8)'s and libfuse's. */
#define THEIRS(theirs, how)                                                                        \
	{                                                                                          \
		.name = (theirs), .kind = (how)                                                    \
	}
#define OPPOSITE(theirs, field)                                                                    \
	{                                                                                          \
		.name = (theirs), .kind = KIND_UNFLAG, .at = AT(field)                             \
	}

static const struct option options[] = {
	{.name = "raid",
	 .kind = KIND_CHOICE,
	 .at = AT(raid),
	 .choices = raid_choices,
	 .arg = "0|1|5|6",
	 .help = "level of a new volume (5 with three shards or more, else 1, else 0)"},
	{.name = "shards",
	 .kind = KIND_DIRS,
	 .arg = "DIR:DIR...",
	 .help = "the directories that hold the volume (four in the user's data directory)"},
	{.name = "copies",
	 .kind = KIND_NUMBER,
	 .at = AT(copies),
	 .min = 2,
	 .max = CONF_COPIES_MAX,
	 .standard = "2",
	 .arg = "N",
	 .help = "of each byte, with raid=1"},
	{.name = "extent",
	 .kind = KIND_EXTENT,
	 .at = AT(extent),
	 .min = CONF_EXTENT_MIN,
	 .max = CONF_EXTENT_MAX,
	 .arg = "SIZE",
	 .help = "longest range of a file that is stored as one unit, of a new volume (1M)"},
	{.name = "codec",
	 .kind = KIND_CHOICE,
	 .at = AT(codec),
	 .choices = codec_choices,
	 .standard = "auto",
	 .arg = "auto|none|zstd",
	 .help = "how new data is compressed"},
	{.name = "level",
	 .kind = KIND_NUMBER,
	 .at = AT(level),
	 .min = 1,
	 .max = 19,
	 .standard = "1",
	 .arg = "N",
	 .help = "of compression: higher is smaller and slower"},
	{.name = "gpu",
	 .kind = KIND_CHOICE,
	 .at = AT(gpu),
	 .choices = gpu_choices,
	 .standard = "auto",
	 .arg = "auto|on|off",
	 .help = "compress on GPUs: where that is sooner, whenever there is one, never"},
	{.name = "gpu_threshold",
	 .kind = KIND_SIZE,
	 .at = AT(gpu_threshold),
	 .min = 0,
	 .max = UINT64_C(1) << 50,
	 .standard = "4M",
	 .arg = "SIZE",
	 .help = "written to a file before the rest of it goes to a GPU"},
	{.name = "memory",
	 .kind = KIND_SIZE,
	 .at = AT(memory),
	 .min = CONF_MEMORY_MIN,
	 .max = UINT64_C(1) << 50,
	 .arg = "SIZE",
	 .help = "for all buffers together (a quarter of the memory, 4G at most)"},
	{.name = "cache",
	 .kind = KIND_SIZE,
	 .at = AT(cache),
	 .min = MIB,
	 .max = UINT64_C(1) << 50,
	 .arg = "SIZE",
	 .help = "the part of memory= that keeps what was read (half of it)"},
	{.name = "commit",
	 .kind = KIND_NUMBER,
	 .at = AT(commit),
	 .min = 1,
	 .max = 300,
	 .standard = "5",
	 .arg = "SECONDS",
	 .help = "after which writes are durable without an fsync"},
	{.name = "threads",
	 .kind = KIND_NUMBER,
	 .at = AT(threads),
	 .min = 1,
	 .max = 256,
	 .arg = "N",
	 .help = "workers (two for each core, 4 at least)"},
	{.name = "engine",
	 .kind = KIND_CHOICE,
	 .at = AT(engine),
	 .choices = engine_choices,
	 .standard = "auto",
	 .arg = "auto|uring|sync",
	 .help = "how shards are read and written"},
	{.name = "transport",
	 .kind = KIND_CHOICE,
	 .at = AT(transport),
	 .choices = transport_choices,
	 .standard = "auto",
	 .arg = "auto|uring|classic",
	 .help = "how requests come from the kernel: by io_uring where that can be, always, never"},
	{.name = "degraded",
	 .kind = KIND_FLAG,
	 .at = AT(degraded),
	 .help = "mount with shards missing, where redundancy suffices"},
	{.name = "salvage",
	 .kind = KIND_FLAG,
	 .at = AT(salvage),
	 .help = "with too few shards, mount read-only what can be read"},
	{.name = "wait",
	 .kind = KIND_NUMBER,
	 .at = AT(wait),
	 .min = 0,
	 .max = 3600,
	 .standard = "5",
	 .arg = "SECONDS",
	 .help = "for missing shards to appear"},
	{.name = "state",
	 .kind = KIND_DIR,
	 .at = AT(state),
	 .arg = "DIR",
	 .help = "for indexes, which can be rebuilt (the user's state directory)"},
	{.name = "conf",
	 .kind = KIND_CONF,
	 .arg = "FILE",
	 .help = "settings file (the user's matfs/matfs.conf, else /etc/matfs.conf)"},
	{.name = "ro",
	 .kind = KIND_FLAG,
	 .at = AT(ro),
	 .help = "mount read-only; the shards are not changed"},
	{.name = "allow_other",
	 .kind = KIND_FLAG,
	 .at = AT(allow_other),
	 .help = "let other users in, by permissions"},
	{.name = "allow_root", .kind = KIND_FLAG, .at = AT(allow_root), .help = "let root in"},
	{.name = "noatime",
	 .kind = KIND_FLAG,
	 .at = AT(noatime),
	 .help = "leave access times alone"},
	{.name = "sync",
	 .kind = KIND_FLAG,
	 .at = AT(sync),
	 .help = "make every write durable before it returns"},
	{.name = "dirsync",
	 .kind = KIND_FLAG,
	 .at = AT(dirsync),
	 .help = "make every change of a directory durable before it returns"},
	{.name = "foreground", .kind = KIND_FLAG, .at = AT(foreground), .help = "as -f"},
	{.name = "debug", .kind = KIND_FLAG, .at = AT(debug), .help = "as -d"},
	OPPOSITE("rw", ro),
	OPPOSITE("async", sync),
	OPPOSITE("atime", noatime),
	/* What we do anyway. */
	OPPOSITE("relatime", noatime),
	THEIRS("default_permissions", KIND_IGNORE),
	THEIRS("suid", KIND_PASS),
	THEIRS("nosuid", KIND_PASS),
	THEIRS("dev", KIND_PASS),
	THEIRS("nodev", KIND_PASS),
	THEIRS("exec", KIND_PASS),
	THEIRS("noexec", KIND_PASS),
	THEIRS("auto_unmount", KIND_PASS),
	THEIRS("fsname", KIND_PASS_VALUE),
	THEIRS("subtype", KIND_PASS_VALUE),
	{.name = "max_read", .kind = KIND_PASS_NUMBER, .min = 4096, .max = GIB},
	THEIRS("context", KIND_PASS_VALUE),
	THEIRS("fscontext", KIND_PASS_VALUE),
	THEIRS("defcontext", KIND_PASS_VALUE),
	THEIRS("rootcontext", KIND_PASS_VALUE),
	THEIRS("defaults", KIND_IGNORE),
	THEIRS("auto", KIND_IGNORE),
	THEIRS("noauto", KIND_IGNORE),
	THEIRS("user", KIND_IGNORE),
	THEIRS("nouser", KIND_IGNORE),
	THEIRS("users", KIND_IGNORE),
	THEIRS("owner", KIND_IGNORE),
	THEIRS("group", KIND_IGNORE),
	THEIRS("nofail", KIND_IGNORE),
	THEIRS("_netdev", KIND_IGNORE),
	THEIRS("comment", KIND_IGNORE),
};

_Static_assert(ARRAY_LEN(options) <= OPTION_MAX, "");

static const struct option *option_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	}
	return NULL;
}

const char *option_from(const struct option_target *to, const char *name)
{
	const char *from = to->from[option_find(name) - options];

	return from ? from : "default";
}

static void *option_field(const struct option_target *to, const struct option *o)
{
	return (char *)to->conf + o->at;
}

/* ---- for people ---- */

static void list_add(char *list, const char *name)
{
	size_t pos = strlen(list);

	snprintf(list + pos, ALLOWED_LEN - pos, "%s%s", pos ? ", " : "", name);
}

static void describe_choices(const struct choice *choices, unsigned nr, char *out)
{
	for (unsigned i = 0; i < nr && choices[i].name; i++)
		list_add(out, choices[i].name);
}

/* What values are allowed, in words. */
static void option_describe(const struct option *o, char out[ALLOWED_LEN])
{
	char min[SIZE_TEXT_LEN], max[SIZE_TEXT_LEN];

	size_print(o->min, min);
	size_print(o->max, max);
	*out = 0;
	switch (o->kind) {
	case KIND_FLAG:
	case KIND_UNFLAG:
		describe_choices(flag_choices, 2, out);
		break;
	case KIND_CHOICE:
		describe_choices(o->choices, UINT_MAX, out);
		break;
	case KIND_NUMBER:
	case KIND_PASS_NUMBER:
		snprintf(out, ALLOWED_LEN, "%" PRIu64 " to %" PRIu64, o->min, o->max);
		break;
	case KIND_SIZE:
		snprintf(out, ALLOWED_LEN, "%s to %s (bytes, or with K, M, G)", min, max);
		break;
	case KIND_EXTENT:
		snprintf(out, ALLOWED_LEN, "powers of two from %s to %s", min, max);
		break;
	case KIND_DIRS:
		snprintf(out, ALLOWED_LEN, "1 to %d paths with : between them", SHARD_MAX);
		break;
	case KIND_DIR:
	case KIND_CONF:
		snprintf(out, ALLOWED_LEN, "a path");
		break;
	case KIND_PASS:
		snprintf(out, ALLOWED_LEN, "no value");
		break;
	case KIND_PASS_VALUE:
	case KIND_IGNORE:
		snprintf(out, ALLOWED_LEN, "any value");
		break;
	}
}

static const char *choice_nearest(const struct choice *choices, const char *word)
{
	const char *best = NULL;

	for (; choices && choices->name; choices++)
		best = suggest_better(word, best, choices->name);
	return best;
}

/* Refuse the value of @s: what is wrong with it (or NULL, when what is allowed says that), and what
 * is allowed. */
static int option_refuse(const struct option_target *to, const struct option *o,
			 const struct setting *s, const char *wrong)
{
	const char *value = s->value ? s->value : "";
	const char *near = choice_nearest(o->choices, value);
	char allowed[ALLOWED_LEN];

	option_describe(o, allowed);
	return why_say(to->why, -EINVAL, "%s: %s%s%.*s: %s%s%s%s%sallowed: %s", s->from, s->name,
		       s->value ? "=" : "", VALUE_SHOWN, value, wrong ? wrong : "",
		       wrong ? "; " : "", near ? "did you mean " : "", near ? near : "",
		       near ? "? " : "", allowed);
}

static int option_unknown(const struct option_target *to, const struct setting *s)
{
	const char *near = NULL;
	char names[ALLOWED_LEN] = "";

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		near = suggest_better(s->name, near, options[i].name);
		if (options[i].help)
			list_add(names, options[i].name);
	}
	return why_say(to->why, -EINVAL,
		       "%s: %.*s: unknown setting; %s%s%sallowed: %s, and mount(8)'s", s->from,
		       VALUE_SHOWN, s->name, near ? "did you mean " : "", near ? near : "",
		       near ? "? " : "", names);
}

static void option_help_one(FILE *to, const struct option *o)
{
	char left[64], range[ALLOWED_LEN] = "";

	snprintf(left, sizeof(left), "%s%s%s", o->name, o->arg ? "=" : "", o->arg ? o->arg : "");
	if (o->kind == KIND_NUMBER || o->kind == KIND_SIZE || o->kind == KIND_EXTENT)
		option_describe(o, range);
	fprintf(to, "    %-22s %s", left, o->help);
	if (*range || o->standard)
		fprintf(to, "%s%s%s%s%s", *range ? "; " : "", range, o->standard ? " (" : "",
			o->standard ? o->standard : "", o->standard ? ")" : "");
	fputc('\n', to);
}

void option_help(FILE *to)
{
	unsigned column = 0;

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (options[i].help)
			option_help_one(to, &options[i]);
	}
	fprintf(to, "\nmount(8)'s and libfuse's, which are passed on or allowed:");
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (!options[i].help)
			fprintf(to, "%s%s", column++ % 8 ? " " : "\n    ", options[i].name);
	}
	fprintf(to, " x-*\n");
}

/* ---- a setter for each kind ---- */

int option_append(char ***list, unsigned *nr, const char *text)
{
	char **grown = reallocarray(*list, *nr + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[*nr] = strdup(text);
	if (!grown[*nr])
		return -ENOMEM;
	(*nr)++;
	return 0;
}

static const struct choice *choice_find(const struct choice *choices, const char *name)
{
	for (; choices->name; choices++) {
		if (strcmp(choices->name, name) == 0)
			return choices;
	}
	return NULL;
}

static int set_flag(const struct option_target *to, const struct option *o, const struct setting *s)
{
	const struct choice *c = choice_find(flag_choices, s->value ? s->value : "yes");

	if (!c)
		return option_refuse(to, o, s, NULL);
	*(bool *)option_field(to, o) = c->value == (o->kind == KIND_FLAG);
	return 0;
}

static int set_choice(const struct option_target *to, const struct option *o,
		      const struct setting *s)
{
	const struct choice *c = choice_find(o->choices, s->value);

	if (!c)
		return option_refuse(to, o, s, NULL);
	*(unsigned *)option_field(to, o) = c->value;
	return 0;
}

/* Of a size only the digits are wanted here: 5K seconds are a mistake. */
static bool number_fits(const struct option *o, const char *text)
{
	uint64_t n;

	return !text[strspn(text, "0123456789")] && !size_parse(text, &n) && n >= o->min &&
	       n <= o->max;
}

static int set_number(const struct option_target *to, const struct option *o,
		      const struct setting *s)
{
	if (!number_fits(o, s->value))
		return option_refuse(to, o, s, NULL);
	*(unsigned *)option_field(to, o) = (unsigned)strtoul(s->value, NULL, 10);
	return 0;
}

static int set_size(const struct option_target *to, const struct option *o, const struct setting *s)
{
	uint64_t n;

	if (size_parse(s->value, &n) || n < o->min || n > o->max)
		return option_refuse(to, o, s, NULL);
	*(uint64_t *)option_field(to, o) = n;
	return 0;
}

static int set_extent(const struct option_target *to, const struct option *o,
		      const struct setting *s)
{
	uint64_t n;

	if (size_parse(s->value, &n) || n < o->min || n > o->max || (n & (n - 1)))
		return option_refuse(to, o, s, NULL);
	*(uint32_t *)option_field(to, o) = (uint32_t)n;
	return 0;
}

/* The absolute path that the first @len bytes of @text mean. In a file it must be one already: who
 * reads the file may be anywhere. */
static int take_path(const struct option_target *to, const struct option *o,
		     const struct setting *s, const char *text, size_t len, char **out)
{
	bool in_file = to->group == OPTION_HEAD || to->group == OPTION_SECTION;
	AUTO_FREE char *path = setting_unescape(text, len);
	int err;

	if (!path)
		return -ENOMEM;
	err = path_absolute(path, to->env->home, in_file ? NULL : to->env->cwd, out);
	if (err == -ENOENT)
		return option_refuse(to, o, s, "an empty path");
	if (err == -EDOM)
		return option_refuse(
			to, o, s,
			*path == '~' ? "there is no home directory"
			: in_file    ? "a path in a file begins with / or ~/"
				     : "a relative path, and the current directory is gone");
	return err;
}

static int set_dir(const struct option_target *to, const struct option *o, const struct setting *s)
{
	char **field = option_field(to, o);
	char *path;
	int err = take_path(to, o, s, s->value, strlen(s->value), &path);

	if (err)
		return err;
	free(*field);
	*field = path;
	return 0;
}

static int add_shard(const struct option_target *to, const struct option *o,
		     const struct setting *s, const char *text, size_t len)
{
	AUTO_FREE char *path = NULL;
	int err;

	if (to->conf->nr_shards == SHARD_MAX)
		return option_refuse(to, o, s, "too many");
	err = take_path(to, o, s, text, len, &path);
	return err ? err : option_append(&to->conf->shards, &to->conf->nr_shards, path);
}

static void clear_shards(struct conf *conf)
{
	while (conf->nr_shards)
		free(conf->shards[--conf->nr_shards]);
}

static int set_dirs(struct option_target *to, const struct option *o, const struct setting *s)
{
	const char *text = s->value;
	size_t len;
	int err;

	/* Lines of a file are short, see inifile.c, so there a list may take several. */
	if (to->shards_group != to->group || to->group == OPTION_LINE)
		clear_shards(to->conf);
	to->shards_group = to->group;
	do {
		len = setting_span(text, ':');
		err = add_shard(to, o, s, text, len);
		text += len + 1;
	} while (!err && text[-1]);
	return err;
}

static int set_conf(const struct option_target *to, const struct option *o, const struct setting *s)
{
	return to->group == OPTION_LINE ? 0 : option_refuse(to, o, s, "a file cannot name another");
}

static int set_pass(const struct option_target *to, const struct option *o, const struct setting *s)
{
	if (s->value)
		return option_refuse(to, o, s, NULL);
	return option_append(&to->conf->fuse_opts, &to->conf->nr_fuse_opts, s->name);
}

static int set_pass_value(const struct option_target *to, const struct option *o,
			  const struct setting *s)
{
	AUTO_FREE char *plain = setting_unescape(s->value, strlen(s->value));
	AUTO_FREE char *quoted = plain ? setting_escape(plain) : NULL;
	AUTO_FREE char *text = quoted ? text_format("%s=%s", s->name, quoted) : NULL;

	if (o->kind == KIND_PASS_NUMBER && !number_fits(o, s->value))
		return option_refuse(to, o, s, NULL);
	if (!text)
		return -ENOMEM;
	return option_append(&to->conf->fuse_opts, &to->conf->nr_fuse_opts, text);
}

/* ---- all of them ---- */

static bool option_needs_value(const struct option *o)
{
	switch (o->kind) {
	case KIND_FLAG:
	case KIND_UNFLAG:
	case KIND_PASS:
	case KIND_IGNORE:
		return false;
	default:
		return true;
	}
}

int option_set(struct option_target *to, const struct setting *s)
{
	const struct option *o = option_find(s->name);

	if (!o && (strncmp(s->name, "x-", 2) == 0 || strncmp(s->name, "X-", 2) == 0))
		return 0; /* mount(8) keeps these for others */
	if (!o)
		return option_unknown(to, s);
	if (!s->value && option_needs_value(o))
		return option_refuse(to, o, s, "needs a value");
	to->from[o - options] = s->from;
	switch (o->kind) {
	case KIND_FLAG:
	case KIND_UNFLAG:
		return set_flag(to, o, s);
	case KIND_NUMBER:
		return set_number(to, o, s);
	case KIND_SIZE:
		return set_size(to, o, s);
	case KIND_EXTENT:
		return set_extent(to, o, s);
	case KIND_CHOICE:
		return set_choice(to, o, s);
	case KIND_DIR:
		return set_dir(to, o, s);
	case KIND_DIRS:
		return set_dirs(to, o, s);
	case KIND_CONF:
		return set_conf(to, o, s);
	case KIND_PASS:
		return set_pass(to, o, s);
	case KIND_PASS_VALUE:
	case KIND_PASS_NUMBER:
		return set_pass_value(to, o, s);
	case KIND_IGNORE:
		return 0;
	}
	return -EINVAL;
}

static int option_default(struct option_target *to, const struct option *o)
{
	AUTO_FREE char *name = strdup(o->name);
	AUTO_FREE char *value = strdup(o->standard);
	AUTO_FREE char *from = strdup("default");

	if (!name || !value || !from)
		return -ENOMEM;
	return option_set(to, &(struct setting){.name = name, .value = value, .from = from});
}

int option_defaults(struct option_target *to)
{
	int err = 0;

	to->conf->raid = CONF_RAID_ANY;
	for (size_t i = 0; i < ARRAY_LEN(options) && !err; i++) {
		if (options[i].standard)
			err = option_default(to, &options[i]);
	}
	memset(to->from, 0, sizeof(to->from));
	return err;
}
