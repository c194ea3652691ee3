/* matfsctl recompress: name files to the daemons of their mounts, which write them anew in the background. */
#include <fcntl.h>
#include <fts.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/ioctl.h"
#include "fs/matfsctl.h"

#define WAIT_US	   100000
#define MOUNTS_MAX 64

/* A mount that was given files, by an open one of them. */
struct mount {
	dev_t dev;
	int fd;
	struct ioctl_progress begun; /* before the first */
};

struct all {
	uint64_t nr_posted, nr_bad;
	struct mount mount[MOUNTS_MAX];
	unsigned nr_mounts;
};

static void bad(struct all *all, const char *path, const char *why, const char *remedy)
{
	fprintf(stderr, "matfsctl: %s: %s%s%s\n", path, why, *remedy ? "; " : "", remedy);
	all->nr_bad++;
}

static const char *remedy(int err)
{
	switch (err) {
	case EPERM:
	case EACCES:
		return "run this as the owner, or as root";
	case EROFS:
		return "mount the volume for writing";
	case ENOTTY:
	case ENOSYS:
		return "only files of a mounted matfs can be recompressed";
	default:
		return "";
	}
}

/* ---- a file ---- */

/* Its access time is not to move; whoever may not ask for that may not ask for the rest either. */
static int open_quietly(const char *path, bool named)
{
	return open(path, O_RDONLY | O_NOATIME | O_CLOEXEC | O_NONBLOCK | (named ? 0 : O_NOFOLLOW));
}

/* Keep @fd when it is of another mount than those before; else it is the caller's. */
static bool mount_keep(struct all *all, int fd, dev_t dev, const struct ioctl_progress *begun)
{
	for (unsigned i = 0; i < all->nr_mounts; i++) {
		if (all->mount[i].dev == dev)
			return false;
	}
	if (all->nr_mounts == MOUNTS_MAX)
		return false;
	all->mount[all->nr_mounts++] = (struct mount){.dev = dev, .fd = fd, .begun = *begun};
	return true;
}

static int post(int fd)
{
	int res;

	/* As many as the queue holds; then one goes in as one is done. */
	while ((res = ioctl(fd, IOCTL_RECOMPRESS)) && errno == EAGAIN)
		usleep(WAIT_US);
	return res ? -errno : 0;
}

static void recompress_file(struct all *all, const FTSENT *e)
{
	const char *path = e->fts_accpath;
	AUTO_FD int fd = open_quietly(path, e->fts_level == FTS_ROOTLEVEL);
	struct ioctl_progress begun = {0};
	int err = 0;

	if (fd < 0)
		err = -errno;
	else if (ioctl(fd, IOCTL_PROGRESS, &begun))
		err = -errno;
	if (!err)
		err = post(fd);
	if (err) {
		bad(all, path,
		    err == -ENOTTY || err == -ENOSYS ? "is not on a matfs" : strerror(-err),
		    remedy(-err));
		return;
	}
	all->nr_posted++;
	if (mount_keep(all, fd, e->fts_statp->st_dev, &begun))
		(void)TAKE_FD(fd);
}

/* ---- a tree ---- */

static void visit(struct all *all, const FTSENT *e)
{
	switch (e->fts_info) {
	case FTS_F:
		recompress_file(all, e);
		break;
	case FTS_DEFAULT:
		if (e->fts_level == FTS_ROOTLEVEL)
			bad(all, e->fts_path, "neither a file nor a directory", "");
		break;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		bad(all, e->fts_path, strerror(e->fts_errno), remedy(e->fts_errno));
		break;
	default:
		break;
	}
}

/* A link that was given by name is what it leads to; those found on the way are not followed. */
static void walk(struct all *all, char **paths)
{
	FTS *t = fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_XDEV | FTS_NOCHDIR, NULL);
	FTSENT *e;

	errno = ENOMEM;
	while (t && (e = fts_read(t)))
		visit(all, e);
	if (!t || errno)
		bad(all, "recompress", strerror(errno), "");
	if (t)
		fts_close(t);
}

/* ---- waiting ---- */

static void show(uint64_t nr_queued, const struct ioctl_progress *sum)
{
	fprintf(stderr,
		"\r%" PRIu64 " files to go, %" PRIu64 " MiB looked at, %" PRIu64
		" MiB stored were %" PRIu64 " MiB   ",
		nr_queued, sum->raw_bytes >> 20, sum->stored_after >> 20, sum->stored_before >> 20);
}

/* Of all mounts: what is queued, and what has been done since the beginning. -EIO: a daemon does not answer. */
static int ask(const struct all *all, uint64_t *nr_queued, struct ioctl_progress *sum)
{
	*nr_queued = 0;
	*sum = (struct ioctl_progress){0};
	for (unsigned i = 0; i < all->nr_mounts; i++) {
		const struct ioctl_progress *was = &all->mount[i].begun;
		struct ioctl_progress now;

		if (ioctl(all->mount[i].fd, IOCTL_PROGRESS, &now)) {
			fprintf(stderr,
				"matfsctl: recompress: %s; is the volume still mounted? What was "
				"not done is to be asked for again\n",
				strerror(errno));
			return -EIO;
		}
		*nr_queued += now.nr_queued;
		sum->nr_failed += now.nr_failed - was->nr_failed;
		sum->raw_bytes += now.raw_bytes - was->raw_bytes;
		sum->stored_before += now.stored_before - was->stored_before;
		sum->stored_after += now.stored_after - was->stored_after;
	}
	return 0;
}

static int wait_all(struct all *all)
{
	bool terminal = isatty(STDERR_FILENO);
	struct ioctl_progress sum;
	uint64_t nr_queued;

	for (;;) {
		int err = ask(all, &nr_queued, &sum);

		if (err)
			return err;
		if (terminal)
			show(nr_queued, &sum);
		if (!nr_queued)
			break;
		usleep(WAIT_US);
	}
	if (terminal)
		fputc('\n', stderr);
	printf("%" PRIu64 " files, %" PRIu64 " bytes: stored %" PRIu64 " before, %" PRIu64 " now\n",
	       all->nr_posted, sum.raw_bytes, sum.stored_before, sum.stored_after);
	if (sum.nr_failed)
		fprintf(stderr,
			"matfsctl: recompress: %" PRIu64
			" files could not be written anew, or not all of them; the daemon's log "
			"(.stats, messages) says why\n",
			sum.nr_failed);
	all->nr_bad += sum.nr_failed;
	return 0;
}

int matfsctl_recompress(int argc, char **argv)
{
	static const struct option options[] = {{"wait", no_argument, NULL, 'w'}, {0}};
	struct all all = {0};
	bool wait = false;
	int c, err = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'w')
			return matfsctl_usage("recompress: unknown option");
		wait = true;
	}
	if (optind == argc)
		return matfsctl_usage("recompress: which files or directories?");
	walk(&all, argv + optind);
	if (wait)
		err = wait_all(&all);
	else if (all.nr_posted)
		printf("%" PRIu64 " files queued\n", all.nr_posted);
	while (all.nr_mounts)
		close(all.mount[--all.nr_mounts].fd);
	if (err)
		return EXIT_OPERATION;
	if (!all.nr_bad)
		return EXIT_GOOD;
	return all.nr_posted ? EXIT_PARTLY : EXIT_OPERATION;
}
