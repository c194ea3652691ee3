/* matfs: settings, GPUs, shards, file system, mount, in this order, and back.
 *
 * Exit codes are mount(8)'s: 0; 2, wrong settings (nothing was touched); 32, could not mount. And 1: it was mounted, but
 * the last of what was written could not be made durable. */
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "conf/base.h"
#include "conf/conf.h"
#include "conf/log.h"
#include "conf/path.h"
#include "fs/budget.h"
#include "fs/daemon.h"
#include "fs/fs.h"
#include "fs/fuse_api.h"
#include "fs/mount.h"
#include "raid/store.h"

#define EXIT_LOST     1
#define EXIT_SETTINGS 2
#define EXIT_MOUNT    32

/* How long a volume may still be held by the daemon of a mount that was just unmounted. */
#define BUSY_WAIT_S 3

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* ---- the process ---- */

static void process_tune(const struct conf *conf)
{
	struct rlimit files;

	/* Modes are the callers', to the bit. */
	umask(0);
	/* A reply to a process that is gone. */
	signal(SIGPIPE, SIG_IGN);
	/* Buffers of a megabyte come and go all the time: from the heap, and kept there, since fresh pages of the kernel
	 * cost a fault for each four kilobytes. But not more than a part of what we may have, in few arenas: each keeps
	 * what it has. */
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, (int)MIN(MAX(conf->memory / 32, 2 * MIB), 256 * MIB));
	mallopt(M_ARENA_MAX, (int)MIN(MAX(conf->memory / (128 * MIB), (uint64_t)2), (uint64_t)64));
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* The kernel may wait for us to write out its pages when memory is short; our own allocations must not wait for
	 * that in turn. Only root may ask for it. Inherited by threads. */
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

/* mkdir -p, for us alone. */
static int make_dirs(const char *path)
{
	AUTO_FREE char *part = strdup(path);

	if (!part)
		return -ENOMEM;
	for (char *p = part + 1;; p++) {
		bool last = !*p;

		if (!last && *p != '/')
			continue;
		*p = 0;
		if (mkdir(part, 0700) && errno != EEXIST)
			return -errno;
		if (last)
			return 0;
		*p = '/';
	}
}

/* Is there a volume already? Then a directory that is not there is a missing shard: an empty one in its place would
 * only be in the way of its return. */
static bool has_default_volume(const struct conf *conf)
{
	static const char *const super[] = {"super.0", "super.1"};

	for (unsigned i = 0; i < 2 * conf->nr_shards; i++) {
		AUTO_FREE char *path = path_join(conf->shards[i / 2], super[i % 2]);

		if (path && access(path, F_OK) == 0)
			return true;
	}
	return false;
}

/* Nobody said where the volume is to be: make the place, and say where it is. */
static int make_default_shards(const struct conf *conf)
{
	bool make = !conf->ro && !has_default_volume(conf);

	for (unsigned i = 0; i < conf->nr_shards && make; i++) {
		int err = make_dirs(conf->shards[i]);

		if (err) {
			log_error("cannot make %s: %s", conf->shards[i], strerror(-err));
			return err;
		}
	}
	log_note("no shards given: the volume is in %s and %u more beside it", conf->shards[0],
		 conf->nr_shards - 1);
	return 0;
}

/* ---- the volume ---- */

static int pick_store(enum conf_engine engine, const struct store_ops **out)
{
	int err = engine == CONF_ENGINE_SYNC ? -ENOSYS : store_uring(out);

	if (!err)
		return 0;
	if (engine == CONF_ENGINE_URING) {
		log_error("engine=uring: no io_uring here (%s); engine=auto does without",
			  strerror(-err));
		return err;
	}
	if (engine == CONF_ENGINE_AUTO)
		log_note("no io_uring here (%s): shards are read and written by threads",
			 strerror(-err));
	*out = store_sync();
	return 0;
}

/* -EBUSY for a while longer is a daemon that is still storing the last of what it has. */
static int open_raid(const struct conf *conf, const struct store_ops *ops, struct raid **out)
{
	struct raid_params p = {
		.ops = ops,
		.paths = (const char *const *)conf->shards,
		.nr_paths = conf->nr_shards,
		.want = {.level = (uint8_t)conf->raid,
			 .copies = (uint8_t)conf->copies,
			 .extent_len = conf->extent},
		.mountpoint = conf->mountpoint,
		.wait_s = conf->wait,
		.create = !conf->ro,
		.degraded = conf->degraded,
		.salvage = conf->salvage,
		.rdonly = conf->ro,
	};
	uint64_t end_ns = mono_ns() + MIN(conf->wait, (unsigned)BUSY_WAIT_S) * 1000000000ULL;
	char why[CONF_WHY_LEN];
	int err;

	_Static_assert(CONF_RAID_ANY == RAID_LEVEL_ANY, "");
	for (;;) {
		err = raid_open(&p, out, why, sizeof(why));
		if (err != -EBUSY || mono_ns() >= end_ns)
			break;
		usleep(100000);
	}
	if (err)
		log_error("%s", why);
	return err;
}

/* Where the index of this volume is kept; heap, or NULL after saying why. */
static char *make_state_dir(const struct conf *conf, const struct raid *raid)
{
	char uuid[2 * RAID_UUID_LEN + 1], *dir;
	int err;

	for (unsigned i = 0; i < RAID_UUID_LEN; i++)
		snprintf(uuid + 2 * i, 3, "%02x", raid_uuid(raid)[i]);
	dir = path_join(conf->state, uuid);
	err = dir ? make_dirs(dir) : -ENOMEM;
	if (!err)
		return dir;
	log_error("state: cannot make %s/%s: %s", conf->state, uuid, strerror(-err));
	free(dir);
	return NULL;
}

/* *@out is NULL when there is none. Before anything on a shard is touched: with gpu=on it may be the end. */
static int open_gpu(const struct conf *conf, struct codec_gpu **out)
{
	static const enum codec_gpu_want want[] = {
		[CONF_GPU_AUTO] = CODEC_GPU_AUTO,
		[CONF_GPU_ON] = CODEC_GPU_ON,
		[CONF_GPU_OFF] = CODEC_GPU_OFF,
	};
	/* What is mounted read-only needs none. */
	struct codec_gpu_params p = {
		.want = conf->ro ? CODEC_GPU_OFF : want[conf->gpu],
		.nr_threads = conf->threads,
	};
	char why[CONF_WHY_LEN] = "";
	int err;

	*out = NULL;
	err = codec_gpu_open(&p, out, why, sizeof(why));
	if (!err)
		return 0;
	if (conf->gpu != CONF_GPU_ON) {
		log_warn("GPU: %s; going on without", *why ? why : strerror(-err));
		*out = NULL;
		return 0;
	}
	log_error("gpu=on: %s; gpu=auto does without", *why ? why : strerror(-err));
	return err;
}

/* The transport's buffers come first, the rest is parted as the settings have it. */
static void part_memory(const struct conf *conf, const struct transport *transport,
			uint64_t extent_len, struct fs_params *p)
{
	uint64_t left = conf->memory - MIN(transport->memory, conf->memory / 2);
	struct budget_parts parts;

	/* In MiB, so that nothing overflows. */
	budget_split(left, conf->cache / MIB * (left / MIB) / (conf->memory / MIB) * MIB,
		     conf->threads, extent_len, &parts);
	p->memory_len = parts.pool_len;
	p->cache_len = parts.cache_len;
}

static int open_fs(const struct conf *conf, const struct transport *transport, struct raid *raid,
		   struct codec_gpu *gpu, struct fs **out)
{
	static const enum codec_mode mode[] = {
		[CONF_CODEC_AUTO] = CODEC_AUTO,
		[CONF_CODEC_NONE] = CODEC_NONE,
		[CONF_CODEC_ZSTD] = CODEC_ZSTD,
	};
	AUTO_FREE char *state_dir = make_state_dir(conf, raid);
	struct fs_params p = {
		.raid = raid,
		.state_dir = state_dir,
		.codec = {.mode = mode[conf->codec], .level = (int)conf->level},
		.gpu = gpu,
		.gpu_threshold = conf->gpu_threshold,
		.memory_max = conf->memory,
		.commit_s = conf->commit,
		.threads = conf->threads,
		.relatime = !conf->noatime,
	};
	char why[CONF_WHY_LEN];
	int err;

	part_memory(conf, transport, raid_geometry(raid)->extent_len, &p);
	if (!state_dir) {
		codec_gpu_close(gpu);
		raid_close(raid, false);
		return -EIO;
	}
	err = fs_open(&p, out, why, sizeof(why));
	if (err)
		log_error("%s", why);
	return err;
}

/* ---- from up to down ---- */

struct start {
	const struct conf *conf;
	int daemon_fd; /* -1: in the foreground */
};

static void started(void *arg)
{
	const struct start *s = arg;

	log_note("mounted on %s", s->conf->mountpoint);
	if (s->daemon_fd >= 0)
		daemon_ready(s->daemon_fd);
}

static int serve(const struct conf *conf, const struct transport *transport, struct fs *fs,
		 int daemon_fd)
{
	struct start start = {.conf = conf, .daemon_fd = daemon_fd};
	char why[CONF_WHY_LEN];
	struct mount *m;
	int err = mount_new(fs, conf, transport, &m, why, sizeof(why));

	if (err) {
		log_error("%s", why);
		return EXIT_MOUNT;
	}
	err = mount_run(m, started, &start);
	mount_free(m);
	if (err == -EOPNOTSUPP)
		return EXIT_MOUNT;
	return err ? EXIT_LOST : 0;
}

static int choose_transport(const struct conf *conf, struct transport *out)
{
	char why[CONF_WHY_LEN];
	int err = transport_choose(conf, out, why, sizeof(why));

	if (err)
		log_error("%s", why);
	return err;
}

static int run(const struct conf *conf, int daemon_fd)
{
	const struct store_ops *ops;
	struct transport transport;
	struct codec_gpu *gpu;
	struct raid *raid;
	struct fs *fs;
	int code;

	if (choose_transport(conf, &transport))
		return EXIT_MOUNT;
	if (open_gpu(conf, &gpu))
		return EXIT_MOUNT;
	if ((conf->default_shards && make_default_shards(conf)) || pick_store(conf->engine, &ops) ||
	    open_raid(conf, ops, &raid)) {
		codec_gpu_close(gpu);
		return EXIT_MOUNT;
	}
	if (open_fs(conf, &transport, raid, gpu, &fs))
		return EXIT_MOUNT;
	code = serve(conf, &transport, fs, daemon_fd);
	if (fs_close(fs) && !code)
		code = EXIT_LOST;
	if (code != EXIT_MOUNT)
		log_note("unmounted %s", conf->mountpoint);
	return code;
}

static int start(const struct conf *conf)
{
	char why[CONF_WHY_LEN];
	int fd = -1;

	if (mount_check(conf->mountpoint, why, sizeof(why))) {
		log_error("%s", why);
		return EXIT_MOUNT;
	}
	if (conf->debug)
		log_set_level(LOG_LEVEL_DEBUG);
	process_tune(conf);
	if (!conf->foreground) {
		fd = daemon_start();
		if (fd < 0) {
			log_error("cannot go to the background: %s", strerror(-fd));
			return EXIT_MOUNT;
		}
	}
	return run(conf, fd);
}

int main(int argc, char **argv)
{
	char why[CONF_WHY_LEN];
	struct conf *conf;
	int res = conf_load(argc, argv, &conf, why, sizeof(why));

	switch (res) {
	case 0:
		break;
	case CONF_DONE_HELP:
		conf_help(stdout);
		return 0;
	case CONF_DONE_VERSION:
		printf("matfs %s, libfuse %s\n", conf_version(), fuse_pkgversion());
		return 0;
	default:
		fprintf(stderr, "matfs: %s\n", why);
		return res == -EINVAL ? EXIT_SETTINGS : EXIT_MOUNT;
	}
	res = start(conf);
	conf_free(conf);
	return res;
}
