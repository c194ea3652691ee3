/* Settings from hostile hands: what stands before the first zero byte is given to -o, the rest is
 * the settings file.
 *
  * Whatever they hold, either a valid struct conf comes of it, or one printable line that says why
  * not. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/resolve.h"

/* The file must have a name: conf= takes no descriptor. */
static int fuzz_fd = -1;
static char fuzz_conf[64];

static void must(int holds)
{
	if (!holds)
		abort();
}

static void fuzz_write_file(const uint8_t *data, size_t len)
{
	if (fuzz_fd < 0) {
		fuzz_fd = memfd_create("settings", MFD_CLOEXEC);
		must(fuzz_fd >= 0);
		snprintf(fuzz_conf, sizeof(fuzz_conf), "conf=/proc/self/fd/%d", fuzz_fd);
	}
	must(ftruncate(fuzz_fd, 0) == 0);
	must(pwrite(fuzz_fd, data, len, 0) == (ssize_t)len);
}

static void fuzz_check_conf(const struct conf *conf)
{
	must(conf->mountpoint[0] == '/' && conf->state[0] == '/' && conf->file);
	must(conf->nr_shards >= 1 && conf->nr_shards <= SHARD_MAX);
	for (unsigned i = 0; i < conf->nr_shards; i++)
		must(conf->shards[i][0] == '/');
	for (unsigned i = 0; i < conf->nr_fuse_opts; i++)
		must(setting_span(conf->fuse_opts[i], ',') == strlen(conf->fuse_opts[i]));
	must(conf->raid <= 1 || conf->raid == 5 || conf->raid == 6 || conf->raid == CONF_RAID_ANY);
	must(conf->copies >= 2 && conf->copies <= CONF_COPIES_MAX);
	must(!conf->extent || (conf->extent >= CONF_EXTENT_MIN && conf->extent <= CONF_EXTENT_MAX));
	must((conf->extent & (conf->extent - 1)) == 0);
	must(conf->codec <= CONF_CODEC_ZSTD && conf->engine <= CONF_ENGINE_SYNC &&
	     conf->transport <= CONF_TRANSPORT_CLASSIC);
	must(conf->level >= 1 && conf->level <= 19 && conf->gpu <= CONF_GPU_OFF);
	must(conf->memory >= CONF_MEMORY_MIN && conf->cache <= conf->memory && conf->cache > 0);
	must(conf->commit >= 1 && conf->commit <= 300 && conf->wait <= 3600);
	must(conf->threads >= 1 && conf->threads <= 256);
	must(!(conf->allow_other && conf->allow_root));
}

static void fuzz_check_why(const char *why)
{
	must(*why != 0);
	for (; *why; why++)
		must((unsigned char)*why >= ' ' && *why != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *zero = len ? memchr(data, 0, len) : NULL;
	size_t line_len = zero ? (size_t)(zero - data) : len;
	char *line = strndup(len ? (const char *)data : "", line_len);
	char prog[] = "matfs", mountpoint[] = "/mnt/mat", o[] = "-o";
	/* Last, so that no other conf= counts. */
	char *argv[] = {prog, mountpoint, o, line, o, fuzz_conf, NULL};
	char cwd[] = "/here", home[] = "/home/anna", system_dir[] = "/var/lib/matfs",
	     none[] = "/none";
	const struct env env = {
		.cwd = cwd,
		.home = home,
		.system_file = none,
		.system_dir = system_dir,
		.memory_len = 8 * GIB,
		.nr_cores = 4,
	};
	char buf[CONF_WHY_LEN] = "";
	const struct why why = {buf, sizeof(buf)};
	struct conf *conf = NULL;
	struct args args;
	int err;

	must(line != NULL);
	fuzz_write_file(zero ? zero + 1 : data, zero ? len - line_len - 1 : 0);
	err = args_parse(6, argv, &args, &why);
	must(err == 0);
	err = resolve_conf(&args, &env, &why, &conf);
	must(err == 0 || err == -EINVAL);
	if (err)
		fuzz_check_why(buf);
	else
		fuzz_check_conf(conf);
	conf_free(conf);
	args_fini(&args);
	free(line);
	return 0;
}
