/* Which transport.
 *
 * io_uring needs: a libfuse that has it and lets any thread reply (MATFS_FUSE_URING, from CMakeLists.txt), a kernel that
 * has it and is told to use it, an io_uring that this process may use, and memory: each CPU has a queue, each queue as
 * many buffers as it may have requests. */
#include "fs/transport.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "conf/base.h"
#include "conf/why.h"
#include "fs/fuse_api.h"

#ifdef MATFS_FUSE_URING
#include <liburing.h>
#endif

/* Requests of one core at once. A request keeps its place until it is answered, also while it waits for a commit or a
 * shard, and what comes beyond them waits in the kernel: with 31 places, 32 threads of a core that fsync without a pause
 * made each create wait for a commit or two. Memory is touched only as deep as places are in use: the kernel takes the
 * one that was used last. */
#define DEPTH_MAX 64
#define DEPTH_MIN 2
/* The part of memory= that requests may take. */
#define MEMORY_PART 8
/* libfuse: one page of head for each buffer. */
#define HEAD_LEN 4096
/* Classic: so many may wait before others have to. */
#define THREADS_MIN 8

#define ENABLE_FILE "/sys/module/fuse/parameters/enable_uring"
#define CPUS_FILE   "/sys/devices/system/cpu/possible"

static int read_line(const char *path, char *buf, size_t len)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, len - 1);

	if (n < 0)
		return -errno;
	buf[n] = 0;
	buf[strcspn(buf, "\n")] = 0;
	return 0;
}

unsigned transport_count_cpus(const char *list)
{
	unsigned long nr = 0;

	while (*list) {
		char *end;
		unsigned long from, to;

		if (*list < '0' || *list > '9')
			return 0;
		from = to = strtoul(list, &end, 10);
		if (*end == '-') {
			list = end + 1;
			if (*list < '0' || *list > '9')
				return 0;
			to = strtoul(list, &end, 10);
		}
		if (to < from || to >= UINT16_MAX || (*end && *end != ','))
			return 0;
		nr += to - from + 1;
		list = *end ? end + 1 : end;
	}
	return nr > UINT16_MAX ? 0 : (unsigned)nr;
}

unsigned transport_depth(unsigned queues, uint64_t memory)
{
	uint64_t depth = memory / ((uint64_t)queues * (TRANSPORT_LEN_MAX + HEAD_LEN));

	return depth < DEPTH_MIN ? 0 : (unsigned)MIN(depth, (uint64_t)DEPTH_MAX);
}

#ifdef MATFS_FUSE_URING
/* Is it forbidden here, by sysctl or seccomp? The kind of ring that libfuse makes. */
static int probe_ring(void)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
		.cq_entries = 2 * (DEPTH_MAX + 1),
	};
	struct io_uring ring;
	int err = io_uring_queue_init_params(DEPTH_MAX + 1, &ring, &p);

	if (!err)
		io_uring_queue_exit(&ring);
	return err;
}

/* 0 with @t set, or -EOPNOTSUPP with the reason and what to do about it. */
static int choose_uring(const struct conf *conf, struct transport *t, const struct why *why)
{
	char line[256];
	unsigned cpus;
	int err = read_line(ENABLE_FILE, line, sizeof(line));

	if (err)
		return why_say(why, -EOPNOTSUPP,
			       "the kernel has no FUSE-over-io_uring, which came with Linux 6.14 "
			       "(CONFIG_FUSE_IO_URING): there is no %s",
			       ENABLE_FILE);
	if (*line != 'Y')
		return why_say(why, -EOPNOTSUPP,
			       "the kernel is not told to use it; as root: echo Y > %s",
			       ENABLE_FILE);
	err = probe_ring();
	if (err)
		return why_say(why, -EOPNOTSUPP,
			       "io_uring cannot be used here: %s (look at the sysctl "
			       "kernel.io_uring_disabled and at the container's seccomp filter)",
			       strerror(-err));
	err = read_line(CPUS_FILE, line, sizeof(line));
	cpus = err ? 0 : transport_count_cpus(line);
	/* The kernel waits for a queue for each CPU that there could be, libfuse makes one for each that it counts. */
	if (cpus != (unsigned)get_nprocs_conf())
		return why_say(why, -EOPNOTSUPP,
			       "libfuse would serve %d CPUs, but %s says %s; the kernel would "
			       "wait for the rest for ever",
			       get_nprocs_conf(), CPUS_FILE, err ? strerror(-err) : line);
	t->queues = cpus;
	t->depth = transport_depth(cpus, conf->memory / MEMORY_PART);
	if (!t->depth)
		return why_say(
			why, -EOPNOTSUPP,
			"memory=%lluM is too little for %u queues, of which each needs %lluM; "
			"set memory= to %lluM at least",
			(unsigned long long)(conf->memory / MIB), cpus,
			(unsigned long long)(DEPTH_MIN * TRANSPORT_LEN_MAX / MIB),
			(unsigned long long)(MEMORY_PART * (uint64_t)cpus * DEPTH_MIN *
						     (TRANSPORT_LEN_MAX + HEAD_LEN) / MIB +
					     1));
	t->uring = true;
	t->memory = (uint64_t)t->queues * t->depth * (TRANSPORT_LEN_MAX + HEAD_LEN);
	snprintf(t->text, sizeof(t->text), "io_uring, %u queues of %u requests", t->queues,
		 t->depth);
	return 0;
}
#else
static int choose_uring(const struct conf *conf, struct transport *t, const struct why *why)
{
	(void)conf;
	(void)t;
	return why_say(why, -EOPNOTSUPP,
		       "this matfs was built with libfuse %s, which lacks it or its mending; "
		       "run scripts/setup without MATFS_FUSE=system and build anew",
		       fuse_pkgversion());
}
#endif

static void choose_classic(const struct conf *conf, struct transport *t, const char *reason)
{
	t->uring = false;
	/* Where only fusermount3 may open the device, one descriptor has to do. */
	t->clone_fd = !access("/dev/fuse", R_OK | W_OK);
	t->threads = MAX(conf->threads, (unsigned)THREADS_MIN);
	t->memory = (uint64_t)t->threads * (TRANSPORT_LEN_MAX + HEAD_LEN);
	snprintf(t->text, sizeof(t->text), "classic%s%s%s",
		 t->clone_fd ? ", cloned descriptors" : "", *reason ? "; no io_uring: " : "",
		 reason);
}

int transport_choose(const struct conf *conf, struct transport *out, char *why, size_t why_len)
{
	char reason[CONF_WHY_LEN] = "";
	const struct why line = {.buf = reason, .len = sizeof(reason)};
	int err = 0;

	*out = (struct transport){.uring = false};
	/* What it takes where libfuse falls back to it. */
	choose_classic(conf, out, "");
	if (conf->transport != CONF_TRANSPORT_CLASSIC)
		err = choose_uring(conf, out, &line);
	if (err && conf->transport == CONF_TRANSPORT_URING) {
		snprintf(why, why_len, "transport=uring: %s; transport=auto does without", reason);
		return err;
	}
	if (!out->uring)
		choose_classic(conf, out, err ? reason : "");
	return 0;
}

void transport_fell_back(struct transport *t)
{
	t->uring = false;
	snprintf(t->text, sizeof(t->text), "classic%s; no io_uring: libfuse could not start it",
		 t->clone_fd ? ", cloned descriptors" : "");
}
