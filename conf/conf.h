/* The settings of one mount: read once, checked whole, read-only from then on.
 *
 * They come from, each over the one before: defaults; an INI file (`-o conf=FILE`, else the first
 * there is of $XDG_CONFIG_HOME/matfs/matfs.conf, ~/.config/matfs/matfs.conf and /etc/matfs.conf);
 * `-o`. In the file, what stands before the first section or in [default] is for every mount, what
 * stands in [/the/mountpoint] for that one, and over the former. matfs.conf.example shows one.
 * Within one source the last setting of a name counts.
 *
 * A path may begin with ~/. A backslash makes a following ':', ',' or backslash an ordinary letter
 * of a value; before anything else it is one itself. */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "conf/base.h"

#define CONF_RAID_ANY	0xff /* level not given: what the volume has */
#define CONF_COPIES_MAX 16   /* as many chunks as a stripe may have */
#define CONF_EXTENT_MIN ((uint32_t)(256 * KIB))
#define CONF_EXTENT_MAX ((uint32_t)(4 * MIB))
#define CONF_MEMORY_MIN ((uint64_t)(64 * MIB))
#define CONF_WHY_LEN	1024 /* long enough for every error line but those with very long paths */

enum conf_codec { CONF_CODEC_AUTO, CONF_CODEC_NONE, CONF_CODEC_ZSTD };
enum conf_gpu { CONF_GPU_AUTO, CONF_GPU_ON, CONF_GPU_OFF };
enum conf_engine { CONF_ENGINE_AUTO, CONF_ENGINE_URING, CONF_ENGINE_SYNC };
enum conf_transport { CONF_TRANSPORT_AUTO, CONF_TRANSPORT_URING, CONF_TRANSPORT_CLASSIC };

/* All strings and arrays are the struct's own. */
struct conf {
	char *mountpoint; /* absolute, links resolved where it can be reached */
	char *file;	  /* the INI file read, or NULL */

	unsigned raid; /* 0, 1, 5, 6 or CONF_RAID_ANY */
	char **shards; /* absolute paths, as given */
	unsigned nr_shards;
	bool default_shards; /* nobody named any: these may have to be made, with their parents */
	unsigned copies;     /* of raid1: 2 to CONF_COPIES_MAX */
	uint32_t
		extent; /* bytes, a power of two, CONF_EXTENT_MIN to _MAX; 0: what the volume has */

	enum conf_codec codec;
	unsigned level; /* 1 to 19: higher is smaller and slower */
	enum conf_gpu gpu;
	uint64_t gpu_threshold; /* bytes written to a file before the rest of it goes to a GPU */

	uint64_t memory; /* bytes, all of matfs's buffers together */
	uint64_t cache;	 /* bytes, the part of memory that caches; at most memory */
	unsigned commit; /* seconds between commits */
	unsigned threads;
	enum conf_engine engine;
	enum conf_transport transport; /* how requests come from the kernel */

	bool degraded; /* go on with shards missing when redundancy suffices */
	bool salvage;  /* go on, read-only, with whatever is there */
	unsigned wait; /* seconds to wait for missing shards */
	char *state;   /* absolute; for indexes, which can be rebuilt; may not exist yet */

	bool ro;
	bool foreground; /* -f or -d */
	bool debug;
	bool allow_other;
	bool allow_root;
	bool noatime;
	bool sync;    /* every write is to be durable before it is acknowledged */
	bool dirsync; /* every change of a directory likewise */

	/* What libfuse is to be given besides: one option each, quoted as they must stand after its
	 * -o. Holds default_permissions, ro, allow_other and the rest that concern it. */
	char **fuse_opts;
	unsigned nr_fuse_opts;
};

enum conf_done {
	CONF_DONE_HELP = 1,    /* -h: caller prints conf_help() */
	CONF_DONE_VERSION = 2, /* -V: caller prints conf_version() */
};

/* Read the command line `[SOURCE] MOUNTPOINT [-o name=value,...] [-f] [-d] [-h] [-V]`, and with it
 * everything else. SOURCE is what mount(8) passes before the mountpoint: the shards, or none, matfs
 * or nothing at all.
 * @out    the caller's, to be given to conf_free()
 * @why    after a failure, one line without newline: the setting, where it stands, what is allowed,
 *         the nearest name
 * Returns 0, an enum conf_done, -EINVAL (the caller exits 2) or -ENOMEM. Reads the environment and
 * the file, writes nothing. Threads: one at a time, as long as another may change the
 * environment. */
int conf_load(int argc, char **argv, struct conf **out, char *why, size_t why_len);

void conf_free(struct conf *conf); /* NULL is nothing */

/* Write the usage and all settings, for -h. */
void conf_help(FILE *to);

const char *conf_version(void); /* "1.2.3" */

#endif
