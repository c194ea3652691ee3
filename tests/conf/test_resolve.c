/* Settings from the command line and files to struct conf: precedence, ranges, quoting, and every
 * line that refuses. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "conf/resolve.h"

/* A made-up user on a made-up machine; the settings files are real, in a directory of our own. */
struct fixture {
	char dir[64];
	char user_file[128];
	char system_file[128];
	struct env env;
	char why[CONF_WHY_LEN];
	struct conf *conf;
};

static int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[160];

	assert_non_null(f);
	strcpy(f->dir, "/tmp/matfs-conf-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(path, sizeof(path), "%s/matfs", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(f->user_file, sizeof(f->user_file), "%s/matfs/matfs.conf", f->dir);
	snprintf(f->system_file, sizeof(f->system_file), "%s/system.conf", f->dir);
	f->env = (struct env){
		.cwd = strdup("/here"),
		.home = strdup("/home/anna"),
		.config_home = strdup(f->dir),
		.system_file = strdup(f->system_file),
		.system_dir = strdup("/var/lib/matfs"),
		.memory_len = 8 * GIB,
		.nr_cores = 8,
	};
	*state = f;
	return 0;
}

static int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	char path[160];

	conf_free(f->conf);
	env_fini(&f->env);
	unlink(f->user_file);
	unlink(f->system_file);
	snprintf(path, sizeof(path), "%s/matfs", f->dir);
	rmdir(path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

/* Load the command line "matfs" and @words, which end with NULL. */
static int load_words(struct fixture *f, char **words)
{
	const struct why why = {f->why, sizeof(f->why)};
	char *argv[16] = {(char[]){"matfs"}};
	struct args args;
	int argc = 1;
	int err;

	for (; words[argc - 1]; argc++)
		argv[argc] = words[argc - 1];
	conf_free(f->conf);
	f->conf = NULL;
	*f->why = 0;
	err = args_parse(argc, argv, &args, &why);
	if (!err)
		err = resolve_conf(&args, &f->env, &why, &f->conf);
	args_fini(&args);
	assert_int_equal(err == 0, f->conf != NULL);
	assert_int_equal(err == 0, *f->why == 0);
	return err;
}

#define LOAD(f, ...) load_words(f, (char *[]){__VA_ARGS__, NULL})

/* Mount on /mnt/mat with -o @line. */
static int load(struct fixture *f, const char *line)
{
	char *copy = strdup(line);
	int err;

	assert_non_null(copy);
	err = LOAD(f, (char[]){"/mnt/mat"}, (char[]){"-o"}, copy);
	free(copy);
	return err;
}

static struct conf *load_ok(struct fixture *f, const char *line)
{
	if (load(f, line))
		fail_msg("-o %s: %s", line, f->why);
	return f->conf;
}

/* One line; it begins with @start and has @part in it. */
static void assert_why(struct fixture *f, const char *start, const char *part)
{
	if (strncmp(f->why, start, strlen(start)) != 0 || !strstr(f->why, part) ||
	    strchr(f->why, '\n'))
		fail_msg("wanted \"%s...%s\", got \"%s\"", start, part, f->why);
}

static void refuse(struct fixture *f, const char *line, const char *start, const char *part)
{
	assert_int_equal(load(f, line), -EINVAL);
	assert_why(f, start, part);
}

static bool has_fuse_opt(const struct conf *conf, const char *opt)
{
	for (unsigned i = 0; i < conf->nr_fuse_opts; i++) {
		if (strcmp(conf->fuse_opts[i], opt) == 0)
			return true;
	}
	return false;
}

/* ---- defaults ---- */

static void defaults_of_a_user(void **state)
{
	struct fixture *f = *state;
	struct conf *c = load_ok(f, "");

	assert_string_equal(c->mountpoint, "/mnt/mat");
	assert_null(c->file);
	assert_int_equal(c->raid, CONF_RAID_ANY);
	assert_int_equal(c->copies, 2);
	assert_int_equal(c->extent, 0);
	assert_int_equal(c->codec, CONF_CODEC_AUTO);
	assert_int_equal(c->level, 1);
	assert_int_equal(c->gpu, CONF_GPU_AUTO);
	assert_int_equal(c->gpu_threshold, 4 * MIB);
	assert_int_equal(c->memory, 2 * GIB);
	assert_int_equal(c->cache, 1 * GIB);
	assert_int_equal(c->commit, 5);
	assert_int_equal(c->threads, 16);
	assert_int_equal(c->engine, CONF_ENGINE_AUTO);
	assert_int_equal(c->transport, CONF_TRANSPORT_AUTO);
	assert_int_equal(c->wait, 5);
	assert_string_equal(c->state, "/home/anna/.local/state/matfs");
	assert_false(c->degraded || c->salvage || c->ro || c->foreground || c->debug);
	assert_false(c->allow_other || c->allow_root || c->noatime || c->sync || c->dirsync);
	assert_true(c->default_shards);
	assert_int_equal(c->nr_shards, 4);
	assert_string_equal(c->shards[0], "/home/anna/.local/share/matfs/mnt-mat/shard0");
	assert_string_equal(c->shards[3], "/home/anna/.local/share/matfs/mnt-mat/shard3");
	assert_int_equal(c->nr_fuse_opts, 3);
	assert_true(has_fuse_opt(c, "default_permissions"));
	assert_true(has_fuse_opt(c, "fsname=matfs"));
	assert_true(has_fuse_opt(c, "subtype=matfs"));
}

static void defaults_of_root(void **state)
{
	struct fixture *f = *state;
	struct conf *c;

	f->env.root = true;
	c = load_ok(f, "");
	assert_string_equal(c->state, "/var/lib/matfs");
	assert_string_equal(c->shards[1], "/var/lib/matfs/volumes/mnt-mat/shard1");
}

static void xdg_variables_move_the_defaults(void **state)
{
	struct fixture *f = *state;
	struct conf *c;

	f->env.data_home = strdup("/data");
	f->env.state_home = strdup("/state");
	f->env.root = true;
	c = load_ok(f, "");
	assert_string_equal(c->state, "/state/matfs");
	assert_string_equal(c->shards[2], "/data/matfs/mnt-mat/shard2");
}

static void memory_has_a_floor_and_a_ceiling(void **state)
{
	struct fixture *f = *state;

	f->env.memory_len = 100 * MIB;
	f->env.nr_cores = 1;
	assert_int_equal(load_ok(f, "")->memory, 64 * MIB);
	assert_int_equal(f->conf->cache, 32 * MIB);
	assert_int_equal(f->conf->threads, 4);
	f->env.memory_len = 512 * GIB;
	f->env.nr_cores = 200;
	assert_int_equal(load_ok(f, "")->memory, 4 * GIB);
	assert_int_equal(f->conf->threads, 256);
	assert_int_equal(load_ok(f, "memory=64M")->cache, 32 * MIB);
}

static void without_a_home_places_must_be_given(void **state)
{
	struct fixture *f = *state;

	free(f->env.home);
	f->env.home = NULL;
	refuse(f, "", "default: shards: there is no home directory", "-o shards=DIR:DIR");
	refuse(f, "shards=/a", "default: state: there is no home directory", "-o state=DIR");
	refuse(f, "shards=~/a", "-o: shards=~/a: there is no home directory", "1 to 64 paths");
	assert_string_equal(load_ok(f, "shards=/a,state=/s")->state, "/s");
}

static void default_shards_differ_for_each_mountpoint(void **state)
{
	struct fixture *f = *state;
	char name[300];

	assert_int_equal(LOAD(f, (char[]){"/mnt/my-data"}), 0);
	assert_string_equal(f->conf->shards[0],
			    "/home/anna/.local/share/matfs/mnt-my%2Ddata/shard0");
	assert_int_equal(LOAD(f, (char[]){"/mnt/my/data"}), 0);
	assert_string_equal(f->conf->shards[0], "/home/anna/.local/share/matfs/mnt-my-data/shard0");
	memset(name, 'x', sizeof(name));
	name[0] = '/';
	name[200] = '/';
	name[sizeof(name) - 1] = 0;
	assert_int_equal(LOAD(f, name), -EINVAL);
	assert_why(f, "default: shards: the mountpoint is too long", "allowed: -o shards=");
}

/* ---- values ---- */

static void every_name_sets_its_field(void **state)
{
	struct fixture *f = *state;
	struct conf *c =
		load_ok(f, "raid=6,shards=/a:/b:rel,copies=3,extent=512K,codec=zstd,level=19,"
			   "gpu=on,gpu_threshold=0,memory=1G,cache=100M,commit=300,threads=7,"
			   "engine=uring,transport=classic,degraded,"
			   "salvage,wait=0,state=/s/,ro,allow_other,noatime,sync,dirsync,"
			   "foreground,debug");

	assert_int_equal(c->raid, 6);
	assert_int_equal(c->nr_shards, 3);
	assert_string_equal(c->shards[0], "/a");
	assert_string_equal(c->shards[2], "/here/rel");
	assert_false(c->default_shards);
	assert_int_equal(c->copies, 3);
	assert_int_equal(c->extent, 512 * KIB);
	assert_int_equal(c->codec, CONF_CODEC_ZSTD);
	assert_int_equal(c->level, 19);
	assert_int_equal(c->gpu, CONF_GPU_ON);
	assert_int_equal(c->gpu_threshold, 0);
	assert_int_equal(c->memory, GIB);
	assert_int_equal(c->cache, 100 * MIB);
	assert_int_equal(c->commit, 300);
	assert_int_equal(c->threads, 7);
	assert_int_equal(c->engine, CONF_ENGINE_URING);
	assert_int_equal(c->transport, CONF_TRANSPORT_CLASSIC);
	assert_int_equal(c->wait, 0);
	assert_string_equal(c->state, "/s");
	assert_true(c->degraded && c->salvage && c->ro && c->allow_other && c->noatime);
	assert_true(c->sync && c->dirsync && c->foreground && c->debug);
	assert_int_equal(load_ok(f, "raid=0")->raid, 0);
	assert_int_equal(load_ok(f, "raid=1")->raid, 1);
	assert_int_equal(load_ok(f, "raid=5")->raid, 5);
	assert_int_equal(load_ok(f, "codec=none")->codec, CONF_CODEC_NONE);
	assert_int_equal(load_ok(f, "gpu=off,gpu_threshold=64M")->gpu, CONF_GPU_OFF);
	assert_int_equal(f->conf->gpu_threshold, 64 * MIB);
	assert_int_equal(load_ok(f, "engine=sync")->engine, CONF_ENGINE_SYNC);
	assert_int_equal(load_ok(f, "transport=uring")->transport, CONF_TRANSPORT_URING);
	assert_true(load_ok(f, "allow_root")->allow_root);
}

static void ranges_end_where_they_say(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load_ok(f, "copies=16,level=1,commit=1,threads=1,wait=3600")->copies, 16);
	assert_int_equal(load_ok(f, "threads=256,extent=4M")->extent, 4 * MIB);
	assert_int_equal(load_ok(f, "memory=64M,cache=64m")->cache, 64 * MIB);
	assert_int_equal(load_ok(f, "cache=1M,extent=262144")->cache, MIB);
	refuse(f, "raid=2", "-o: raid=2: ", "allowed: 0, 1, 5, 6");
	refuse(f, "raid=05", "-o: raid=05: ", "allowed: 0, 1, 5, 6");
	refuse(f, "copies=1", "-o: copies=1: ", "allowed: 2 to 16");
	refuse(f, "copies=17", "-o: copies=17: ", "allowed: 2 to 16");
	refuse(f, "level=0", "-o: level=0: ", "allowed: 1 to 19");
	refuse(f, "level=20", "-o: level=20: ", "allowed: 1 to 19");
	refuse(f, "gpu_threshold=1025T", "-o: gpu_threshold=1025T: ", "allowed: 0 to 1024T");
	refuse(f, "commit=0", "-o: commit=0: ", "allowed: 1 to 300");
	refuse(f, "commit=301", "-o: commit=301: ", "allowed: 1 to 300");
	refuse(f, "threads=0", "-o: threads=0: ", "allowed: 1 to 256");
	refuse(f, "threads=257", "-o: threads=257: ", "allowed: 1 to 256");
	refuse(f, "wait=3601", "-o: wait=3601: ", "allowed: 0 to 3600");
	refuse(f, "extent=128K", "-o: extent=128K: ", "allowed: powers of two from 256K to 4M");
	refuse(f, "extent=8M", "-o: extent=8M: ", "allowed: powers of two");
	refuse(f, "extent=768K", "-o: extent=768K: ", "allowed: powers of two");
	refuse(f, "memory=63M", "-o: memory=63M: ", "allowed: 64M to ");
	refuse(f, "cache=1023K", "-o: cache=1023K: ", "allowed: 1M to ");
	refuse(f, "memory=99999999999999999999", "-o: memory=9999", "allowed: 64M to ");
}

static void values_must_be_whole(void **state)
{
	struct fixture *f = *state;

	refuse(f, "raid", "-o: raid: needs a value", "allowed: 0, 1, 5, 6");
	refuse(f, "raid=", "-o: raid=: ", "allowed: 0, 1, 5, 6");
	refuse(f, "level=", "-o: level=: ", "allowed: 1 to 19");
	refuse(f, "level=-1", "-o: level=-1: ", "allowed: 1 to 19");
	refuse(f, "level= 3", "-o: level= 3: ", "allowed: 1 to 19");
	refuse(f, "level=3x", "-o: level=3x: ", "allowed: 1 to 19");
	refuse(f, "commit=5K", "-o: commit=5K: ", "allowed: 1 to 300");
	refuse(f, "commit=4294967297", "-o: commit=4294967297: ", "allowed: 1 to 300");
	refuse(f, "memory=1GB", "-o: memory=1GB: ", "with K, M, G");
	refuse(f, "codec=zst", "-o: codec=zst: did you mean zstd? ", "allowed: auto, none, zstd");
	refuse(f, "gpu=yes", "-o: gpu=yes: ", "allowed: auto, on, off");
	refuse(f, "gpu", "-o: gpu: needs a value", "allowed: auto, on, off");
	refuse(f, "gpu_threshold=-1", "-o: gpu_threshold=-1: ", "with K, M, G");
	refuse(f, "engine=io_uring", "-o: engine=io_uring: did you mean uring? ",
	       "auto, uring, sync");
	refuse(f, "transport=classical", "-o: transport=classical: did you mean classic? ",
	       "auto, uring, classic");
	refuse(f, "state=", "-o: state=: an empty path", "allowed: a path");
	refuse(f, "state", "-o: state: needs a value", "allowed: a path");
	refuse(f, "shards=", "-o: shards=: an empty path", "allowed: 1 to 64 paths");
	refuse(f, "shards=/a:", "-o: shards=/a:: an empty path", "1 to 64 paths with :");
	refuse(f, "shards=/a::/b", "-o: shards=/a::/b: an empty path", "1 to 64 paths with :");
	refuse(f, "max_read=x", "-o: max_read=x: ", "allowed: 4096 to");
	refuse(f, "nosuid=1", "-o: nosuid=1: ", "allowed: no value");
	refuse(f, "fsname", "-o: fsname: needs a value", "any value");
}

static void flags_can_be_taken_back(void **state)
{
	struct fixture *f = *state;

	assert_false(load_ok(f, "degraded,degraded=no")->degraded);
	assert_true(load_ok(f, "degraded=no,degraded=yes")->degraded);
	assert_true(load_ok(f, "degraded=on")->degraded);
	assert_true(load_ok(f, "degraded=1")->degraded);
	assert_true(load_ok(f, "degraded=true")->degraded);
	assert_false(load_ok(f, "degraded,degraded=off")->degraded);
	assert_false(load_ok(f, "degraded,degraded=0")->degraded);
	assert_false(load_ok(f, "degraded,degraded=false")->degraded);
	assert_false(load_ok(f, "ro,rw")->ro);
	assert_true(load_ok(f, "rw,ro")->ro);
	assert_false(load_ok(f, "sync,async")->sync);
	assert_false(load_ok(f, "noatime,relatime")->noatime);
	assert_false(load_ok(f, "noatime,atime")->noatime);
	refuse(f, "degraded=maybe", "-o: degraded=maybe: ", "allowed: yes, no");
	refuse(f, "degraded=yse", "-o: degraded=yse: ", "allowed: yes, no");
}

static void unknown_names_get_the_nearest(void **state)
{
	struct fixture *f = *state;

	refuse(f, "radi=5", "-o: radi: unknown setting; did you mean raid? allowed: raid, shards,",
	       "debug, and mount(8)'s");
	refuse(f, "shard=/a", "-o: shard: ", "did you mean shards?");
	refuse(f, "treads=3", "-o: treads: ", "did you mean threads?");
	refuse(f, "cdoec=none", "-o: cdoec: ", "did you mean codec?");
	refuse(f, "degrade", "-o: degrade: ", "did you mean degraded?");
	refuse(f, "alow_other", "-o: alow_other: ", "did you mean allow_other?");
	refuse(f, "noexc", "-o: noexc: ", "did you mean noexec?");
	refuse(f, "RAID=5", "-o: RAID: unknown setting", "allowed: raid");
	refuse(f, "=5", "-o: : unknown setting", "allowed: raid");
	refuse(f, "xyzzyplugh=5", "-o: xyzzyplugh: unknown setting; allowed: raid", "");
	refuse(f, "raid =5", "-o: raid : unknown setting; did you mean raid?", "");
}

static void a_line_stays_one_printable_line(void **state)
{
	struct fixture *f = *state;
	char line[3000];

	refuse(f, "ra\nid\x7f=5", "-o: ra?id?: unknown setting", "allowed");
	refuse(f, "codec=\t\xc3\xa4", "-o: codec=?\xc3\xa4: ", "allowed: auto");
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = 0;
	refuse(f, line, "-o: xxxxx", "unknown setting; allowed: raid");
	memcpy(line, "codec=", 6);
	refuse(f, line, "-o: codec=xxxxx", "allowed: auto, none, zstd");
}

static void backslashes_quote(void **state)
{
	struct fixture *f = *state;
	struct conf *c =
		load_ok(f, "shards=/a\\:b:/c\\,d:/e\\\\f:/g\\h:~/i:~,state=/s\\,t\\:u,raid=5");

	assert_int_equal(c->nr_shards, 6);
	assert_string_equal(c->shards[0], "/a:b");
	assert_string_equal(c->shards[1], "/c,d");
	assert_string_equal(c->shards[2], "/e\\f");
	assert_string_equal(c->shards[3], "/g\\h");
	assert_string_equal(c->shards[4], "/home/anna/i");
	assert_string_equal(c->shards[5], "/home/anna");
	assert_string_equal(c->state, "/s,t:u");
	assert_int_equal(c->raid, 5);
	/* An equals sign is nothing special after the first. */
	assert_string_equal(load_ok(f, "state=/a=b")->state, "/a=b");
	assert_string_equal(load_ok(f, "state=/a\\")->state, "/a\\");
}

static void shards_are_counted(void **state)
{
	struct fixture *f = *state;
	char line[1024] = "shards=/0";

	for (unsigned i = 1; i < SHARD_MAX; i++)
		sprintf(line + strlen(line), ":/%u", i);
	assert_int_equal(load_ok(f, line)->nr_shards, SHARD_MAX);
	assert_string_equal(f->conf->shards[SHARD_MAX - 1], "/63");
	strcat(line, ":/64");
	refuse(f, line, "-o: shards=/0:/1", "too many; allowed: 1 to 64 paths");
}

static void cache_is_a_part_of_memory(void **state)
{
	struct fixture *f = *state;

	refuse(f, "cache=3G", "-o: cache=3G: more than memory=2G (default)", "allowed: up to 2G");
	refuse(f, "memory=64M,cache=65M", "-o: cache=65M: more than memory=64M (-o)", "up to 64M");
	write_file(f->user_file, "\ncache = 512M\n");
	assert_int_equal(load(f, "memory=128M"), -EINVAL);
	assert_why(f, f->user_file, ":2: cache=512M: more than memory=128M (-o)");
}

static void allow_other_and_allow_root_exclude_each_other(void **state)
{
	struct fixture *f = *state;

	refuse(f, "allow_other,allow_root", "-o: allow_root: allow_other is set, too (-o)",
	       "one of");
	assert_true(load_ok(f, "allow_other,allow_root,allow_root=no")->allow_other);
}

/* ---- mount(8) and libfuse ---- */

static void mount_options_are_passed_on_or_accepted(void **state)
{
	struct fixture *f = *state;
	struct conf *c =
		load_ok(f, "rw,nosuid,nodev,noexec,relatime,noauto,user=anna,_netdev,nofail,"
			   "defaults,x-systemd.device-timeout=9,X-y,comment=a,,users,"
			   "default_permissions,max_read=131072,subtype=s,auto_unmount");

	assert_true(has_fuse_opt(c, "nosuid"));
	assert_true(has_fuse_opt(c, "nodev"));
	assert_true(has_fuse_opt(c, "noexec"));
	assert_true(has_fuse_opt(c, "max_read=131072"));
	assert_true(has_fuse_opt(c, "subtype=s"));
	assert_true(has_fuse_opt(c, "auto_unmount"));
	assert_true(has_fuse_opt(c, "default_permissions"));
	assert_true(has_fuse_opt(c, "fsname=matfs"));
	assert_int_equal(c->nr_fuse_opts, 8);
	c = load_ok(f, "ro,allow_other,noatime,sync,dirsync");
	assert_true(has_fuse_opt(c, "ro"));
	assert_true(has_fuse_opt(c, "allow_other"));
	assert_true(has_fuse_opt(c, "noatime"));
	assert_true(has_fuse_opt(c, "sync"));
	assert_true(has_fuse_opt(c, "dirsync"));
	assert_true(has_fuse_opt(load_ok(f, "allow_root"), "allow_root"));
	/* Later ones go over earlier ones in libfuse, too. */
	c = load_ok(f, "noexec,exec");
	assert_string_equal(c->fuse_opts[0], "noexec");
	assert_string_equal(c->fuse_opts[1], "exec");
}

static void fuse_values_are_quoted_again(void **state)
{
	struct fixture *f = *state;
	struct conf *c = load_ok(f, "fsname=a\\,b\\\\c\\:d,context=\"u:r\"");

	assert_true(has_fuse_opt(c, "fsname=a\\,b\\\\c:d"));
	assert_true(has_fuse_opt(c, "context=\"u:r\""));
}

static void a_source_names_the_shards(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(LOAD(f, (char[]){"/a:b"}, (char[]){"/mnt/mat"}), 0);
	assert_int_equal(f->conf->nr_shards, 2);
	assert_string_equal(f->conf->shards[0], "/a");
	assert_string_equal(f->conf->shards[1], "/here/b");
	assert_false(f->conf->default_shards);
	assert_true(has_fuse_opt(f->conf, "fsname=/a:b"));
	assert_int_equal(LOAD(f, (char[]){"none"}, (char[]){"/mnt/mat"}), 0);
	assert_true(f->conf->default_shards);
	assert_true(has_fuse_opt(f->conf, "fsname=none"));
	assert_int_equal(LOAD(f, (char[]){"matfs"}, (char[]){"/mnt/mat"}), 0);
	assert_true(f->conf->default_shards);
	assert_int_equal(LOAD(f, (char[]){""}, (char[]){"/mnt/mat"}), 0);
	assert_true(f->conf->default_shards);
	assert_true(has_fuse_opt(f->conf, "fsname=matfs"));
	assert_int_equal(LOAD(f, (char[]){"/a"}, (char[]){"/m"}, (char[]){"-oshards=/b"}), -EINVAL);
	assert_why(f, "-o: shards: the source names shards already", "allowed: one of them");
	assert_int_equal(LOAD(f, (char[]){"/a::/b"}, (char[]){"/m"}), -EINVAL);
	assert_why(f, "SOURCE: shards=/a::/b: an empty path", "1 to 64 paths");
	assert_int_equal(LOAD(f, (char[]){"none"}, (char[]){"/m"}, (char[]){"-oshards=/b"}), 0);
	assert_string_equal(f->conf->shards[0], "/b");
	/* It goes over the file's, like -o. */
	write_file(f->user_file, "shards=/file\n");
	assert_int_equal(LOAD(f, (char[]){"/a"}, (char[]){"/m"}), 0);
	assert_int_equal(f->conf->nr_shards, 1);
	assert_string_equal(f->conf->shards[0], "/a");
}

/* ---- mountpoints ---- */

static void mountpoints_become_absolute(void **state)
{
	struct fixture *f = *state;
	char link[160], target[160];

	assert_int_equal(LOAD(f, (char[]){"nowhere//./mat/"}), 0);
	assert_string_equal(f->conf->mountpoint, "/here/nowhere/mat");
	snprintf(link, sizeof(link), "%s/link", f->dir);
	snprintf(target, sizeof(target), "%s/matfs", f->dir);
	assert_int_equal(symlink("matfs", link), 0);
	/* A section may name it either way. */
	write_file(f->system_file, "");
	{
		char text[400];

		snprintf(text, sizeof(text), "[%s]\nlevel = 7\n[%s]\nraid = 6\n", link, target);
		write_file(f->system_file, text);
	}
	assert_int_equal(LOAD(f, link), 0);
	assert_string_equal(f->conf->mountpoint, target);
	assert_int_equal(f->conf->level, 7);
	assert_int_equal(f->conf->raid, 6);
	unlink(link);
	free(f->env.cwd);
	f->env.cwd = NULL;
	assert_int_equal(LOAD(f, (char[]){"mat"}), -EINVAL);
	assert_why(f, "mat: a relative mountpoint", "directory is gone");
	refuse(f, "shards=a", "-o: shards=a: a relative path, and the current directory is gone",
	       "");
}

/* ---- files ---- */

static void sources_go_over_each_other_in_order(void **state)
{
	struct fixture *f = *state;
	struct conf *c;

	/* The mountpoint's section comes first on purpose: it goes over [default] all the same. */
	write_file(f->user_file, "level = 4\nwait = 1\n"
				 "[/mnt/mat]\nlevel = 6\ncommit = 60\n"
				 "[default]\nlevel = 5\nthreads = 9\ncommit=50\n"
				 "[/mnt/other]\nlevel = 18\nraid=6\n");
	c = load_ok(f, "commit=70");
	assert_string_equal(c->file, f->user_file);
	assert_int_equal(c->wait, 1);
	assert_int_equal(c->level, 6);
	assert_int_equal(c->threads, 9);
	assert_int_equal(c->commit, 70);
	assert_int_equal(c->raid, CONF_RAID_ANY);
	assert_int_equal(load_ok(f, "level=8,level=9")->level, 9);
	assert_int_equal(LOAD(f, (char[]){"/mnt/other"}), 0);
	assert_int_equal(f->conf->level, 18);
	assert_int_equal(LOAD(f, (char[]){"/mnt/third"}), 0);
	assert_int_equal(f->conf->level, 5);
}

static void several_o_add_up(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(LOAD(f, (char[]){"-oraid=5"}, (char[]){"/m"}, (char[]){"-o"},
			      (char[]){"level=9,ro"}, (char[]){"-fo"}, (char[]){"level=10"}),
			 0);
	assert_int_equal(f->conf->raid, 5);
	assert_int_equal(f->conf->level, 10);
	assert_true(f->conf->ro && f->conf->foreground);
	assert_false(f->conf->debug);
	assert_int_equal(LOAD(f, (char[]){"-d"}, (char[]){"/m"}), 0);
	assert_true(f->conf->debug && f->conf->foreground);
}

static void the_user_s_file_comes_before_the_system_s(void **state)
{
	struct fixture *f = *state;

	write_file(f->system_file, "level = 11\n");
	assert_int_equal(load_ok(f, "")->level, 11);
	assert_string_equal(f->conf->file, f->system_file);
	write_file(f->user_file, "commit = 12\n");
	assert_int_equal(load_ok(f, "")->level, 1);
	assert_int_equal(f->conf->commit, 12);
	/* And one that is named before both. */
	{
		char line[200];

		snprintf(line, sizeof(line), "conf=/nowhere,conf=%s", f->system_file);
		assert_int_equal(load_ok(f, line)->level, 11);
		assert_int_equal(f->conf->commit, 5);
	}
	refuse(f, "conf=/nowhere", "-o: conf=/nowhere: no such file", "allowed: the path of");
	refuse(f, "conf=", "-o: conf: needs a value", "allowed: the path of");
	refuse(f, "conf", "-o: conf: needs a value", "allowed: the path of");
	refuse(f, "conf=/", "/: ", "directory");
}

static void a_list_in_a_file_may_take_several_lines(void **state)
{
	struct fixture *f = *state;

	write_file(f->user_file,
		   "shards = /x:/y\n[/mnt/mat]\nshards = /a:/b\nraid=5\nshards = /c\n");
	assert_int_equal(load_ok(f, "")->nr_shards, 3);
	assert_string_equal(f->conf->shards[0], "/a");
	assert_string_equal(f->conf->shards[2], "/c");
	assert_int_equal(load_ok(f, "shards=/1,shards=/2")->nr_shards, 1);
	assert_string_equal(f->conf->shards[0], "/2");
	assert_int_equal(LOAD(f, (char[]){"/mnt/third"}), 0);
	assert_int_equal(f->conf->nr_shards, 2);
}

/* @text is the user's file; refused with "FILE:LINE: start". */
static void refuse_file(struct fixture *f, const char *text, unsigned line, const char *start,
			const char *part)
{
	char where[512];

	write_file(f->user_file, text);
	snprintf(where, sizeof(where), "%s:%u: %s", f->user_file, line, start);
	refuse(f, "", where, part);
}

static void files_are_refused_with_file_and_line(void **state)
{
	struct fixture *f = *state;

	refuse_file(f, "# x\n\nlevl = 3\n", 3, "levl: unknown setting; did you mean level?", "");
	refuse_file(f, "raid = 7\n", 1, "raid=7: ", "allowed: 0, 1, 5, 6");
	refuse_file(f, "raid\n", 1, "raid: needs a value", "allowed: 0, 1, 5, 6");
	refuse_file(f, "[/mnt/mat]\r\n\r\nlevel=0\r\n", 3, "level=0: ", "allowed: 1 to 19");
	refuse_file(f, "[/mnt/mat\nlevel=3\n", 1, "[/mnt/mat: a section ends with ]", "");
	refuse_file(f, "[mat]\nlevel=3\n", 2, "in section [mat]; allowed: [default], or a",
		    "/mnt/mat");
	refuse_file(f, "shards = a:/b\n", 1, "shards=a:/b: a path in a file begins with / or ~/",
		    "");
	refuse_file(f, "state = .\n", 1, "state=.: a path in a file begins with / or ~/", "a path");
	refuse_file(f, "conf = /x\n", 1, "conf=/x: a file cannot name another", "");
	refuse_file(f, "shards = /a # two\n", 1, "shards: a comment behind a value begins with ;",
		    "");
	refuse_file(f, "= 5\n", 1, ": unknown setting", "allowed: raid");
	/* Others' sections are looked at, too, even their ranges. */
	refuse_file(f, "[/mnt/other]\nlevel = 99\n", 2, "level=99: ", "allowed: 1 to 19");
}

/* The file that is shipped: as it is it sets nothing, with every line in force it is right. */
static void the_example_is_right(void **state)
{
	struct fixture *f = *state;
	FILE *from = fopen(TEST_SRC_DIR "/../conf/matfs.conf.example", "re");
	FILE *to = fopen(f->user_file, "we");
	unsigned nr_settings = 0;
	char line[512];
	struct conf *c;

	assert_non_null(from);
	assert_non_null(to);
	while (fgets(line, sizeof(line), from)) {
		bool off = line[0] == '#' && line[1] != ' ' && line[1] != '\n';

		/* What is neither a setting taken out nor a comment would be in force for all. */
		assert_true(off || line[0] == '#' || line[0] == '\n');
		nr_settings += off;
		fputs(line + off, to);
	}
	fclose(from);
	assert_int_equal(fclose(to), 0);
	assert_true(nr_settings >= 20);
	c = load_ok(f, "");
	assert_int_equal(c->memory, 2 * GIB);
	assert_int_equal(c->raid, 5);
	assert_int_equal(c->nr_shards, 4);
	assert_string_equal(c->shards[3], "/mnt/disk4/matfs");
	assert_string_equal(c->state, "/home/anna/.local/state/matfs");
	assert_true(c->degraded && c->allow_other && c->noatime);
	assert_false(c->ro);
	assert_int_equal(LOAD(f, (char[]){"/home/anna/archive"}), 0);
	assert_true(f->conf->ro);
	assert_int_equal(f->conf->raid, 1);
}

/* ---- the command line ---- */

static void the_command_line_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load_words(f, (char *[]){NULL}), -EINVAL);
	assert_why(f, "no mountpoint given; usage: matfs", "");
	assert_int_equal(LOAD(f, (char[]){""}), -EINVAL);
	assert_why(f, "no mountpoint given", "");
	assert_int_equal(LOAD(f, (char[]){"a"}, (char[]){"b"}, (char[]){"c"}), -EINVAL);
	assert_why(f, "'c': too many arguments", "usage");
	assert_int_equal(LOAD(f, (char[]){"/m"}, (char[]){"-o"}), -EINVAL);
	assert_why(f, "-o: needs settings", "usage");
	assert_int_equal(LOAD(f, (char[]){"/m"}, (char[]){"-fx"}), -EINVAL);
	assert_why(f, "'-fx': unknown flag; allowed: -o, -f, -d, -h, -V", "");
	assert_int_equal(LOAD(f, (char[]){"/m"}, (char[]){"--raid=5"}), -EINVAL);
	assert_why(f, "'--raid=5': unknown flag; allowed: -o", "settings go after -o");
	assert_int_equal(LOAD(f, (char[]){"--"}, (char[]){"-m"}), 0);
	assert_string_equal(f->conf->mountpoint, "/here/-m");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(defaults_of_a_user),
		TEST(defaults_of_root),
		TEST(xdg_variables_move_the_defaults),
		TEST(memory_has_a_floor_and_a_ceiling),
		TEST(without_a_home_places_must_be_given),
		TEST(default_shards_differ_for_each_mountpoint),
		TEST(every_name_sets_its_field),
		TEST(ranges_end_where_they_say),
		TEST(values_must_be_whole),
		TEST(flags_can_be_taken_back),
		TEST(unknown_names_get_the_nearest),
		TEST(a_line_stays_one_printable_line),
		TEST(backslashes_quote),
		TEST(shards_are_counted),
		TEST(cache_is_a_part_of_memory),
		TEST(allow_other_and_allow_root_exclude_each_other),
		TEST(mount_options_are_passed_on_or_accepted),
		TEST(fuse_values_are_quoted_again),
		TEST(a_source_names_the_shards),
		TEST(mountpoints_become_absolute),
		TEST(sources_go_over_each_other_in_order),
		TEST(several_o_add_up),
		TEST(the_user_s_file_comes_before_the_system_s),
		TEST(a_list_in_a_file_may_take_several_lines),
		TEST(files_are_refused_with_file_and_line),
		TEST(the_example_is_right),
		TEST(the_command_line_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
