/* Load on a mount from many threads at once, and whether each of them gets on.
 *
 *   transport_load DIR SECONDS FSYNCERS READERS [die]
 *
 * FSYNCERS append to a file each and fsync it, READERS read a file that is in memory, writers of 1 MiB and makers of
 * names go on beside them: for SECONDS, and then until each has come round a few times (on a busy machine that may take
 * longer). Prints how often the laziest thread of each kind came round, and the longest of each kind of call. With `die`, errors are expected (the mount goes away): they end the thread.
 * Exit code 0: no unexpected error, and every thread came round. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MIN 3
#define PATIENCE_S 60

#define BLOCK	4096
#define WARM	(4 << 20)
#define BIG	(1 << 20)
#define BIG_MAX (32 << 20)

enum kind { FSYNC, READ, WRITE, NAME, KINDS };

static const char *const kind_name[] = {"fsync", "read", "write", "name"};

struct worker {
	pthread_t thread;
	enum kind kind;
	unsigned idx;
	uint64_t rounds, worst_ns;
	int err;
};

static const char *dir;
static uint64_t end_ns;
static atomic_uint nr_lazy; /* threads that have not come round ROUNDS_MIN times yet */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static int file_open(const char *stem, unsigned idx, int flags)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.%u", dir, stem, idx);
	return open(path, flags, 0600);
}

static int round_fsync(int fd, char *buf)
{
	return write(fd, buf, 100) == 100 && !fsync(fd) ? 0 : -errno;
}

static int round_read(int fd, char *buf, uint64_t n)
{
	/* Past the kernel's pages, so that each is a request. */
	off_t off = (off_t)(n * 2654435761U % (WARM / BLOCK)) * BLOCK;

	return pread(fd, buf, BLOCK, off) == BLOCK ? 0 : -errno;
}

static int round_write(int fd, char *buf, uint64_t n)
{
	return pwrite(fd, buf, BIG, (off_t)(n * BIG % BIG_MAX)) == BIG ? 0 : -errno;
}

static int round_name(unsigned idx)
{
	char path[4096];
	int fd = file_open("name", idx, O_RDWR | O_CREAT | O_EXCL);

	if (fd < 0)
		return -errno;
	close(fd);
	snprintf(path, sizeof(path), "%s/name.%u", dir, idx);
	return unlink(path) ? -errno : 0;
}

static void *work(void *arg)
{
	static const int flags[KINDS] = {
		[FSYNC] = O_RDWR | O_CREAT | O_APPEND,
		[READ] = O_RDONLY | O_DIRECT,
		[WRITE] = O_RDWR | O_CREAT,
	};
	struct worker *w = arg;
	char *buf = NULL;
	int fd = w->kind == NAME ? -1
				 : file_open(w->kind == READ ? "warm" : kind_name[w->kind],
					     w->kind == READ ? 0 : w->idx, flags[w->kind]);

	if ((fd < 0 && w->kind != NAME) || posix_memalign((void **)&buf, BLOCK, BIG)) {
		w->err = -errno;
		atomic_fetch_sub(&nr_lazy, 1);
		return NULL;
	}
	memset(buf, (int)w->idx, BIG);
	while (!w->err) {
		uint64_t begin = now_ns(), took;

		if (begin >= end_ns + PATIENCE_S * 1000000000ULL ||
		    (begin >= end_ns && !atomic_load(&nr_lazy)))
			break;
		switch (w->kind) {
		case FSYNC:
			w->err = round_fsync(fd, buf);
			break;
		case READ:
			w->err = round_read(fd, buf, w->rounds);
			break;
		case WRITE:
			w->err = round_write(fd, buf, w->rounds);
			break;
		default:
			w->err = round_name(w->idx);
		}
		took = now_ns() - begin;
		w->worst_ns = took > w->worst_ns ? took : w->worst_ns;
		w->rounds += !w->err;
		if (!w->err && w->rounds == ROUNDS_MIN)
			atomic_fetch_sub(&nr_lazy, 1);
	}
	/* Nobody waits for one that failed. */
	if (w->rounds < ROUNDS_MIN)
		atomic_fetch_sub(&nr_lazy, 1);
	free(buf);
	if (fd >= 0)
		close(fd);
	return NULL;
}

static int make_warm(void)
{
	static char buf[WARM];
	int fd = file_open("warm", 0, O_RDWR | O_CREAT | O_TRUNC);
	bool good = fd >= 0 && write(fd, buf, WARM) == WARM && pread(fd, buf, WARM, 0) == WARM;

	if (fd >= 0)
		close(fd);
	return good ? 0 : -errno;
}

static bool report(const struct worker *w, unsigned nr, enum kind kind, bool die)
{
	uint64_t least = UINT64_MAX, worst = 0, sum = 0;
	unsigned of_kind = 0;
	bool good = true;

	for (unsigned i = 0; i < nr; i++) {
		if (w[i].kind != kind)
			continue;
		of_kind++;
		sum += w[i].rounds;
		least = w[i].rounds < least ? w[i].rounds : least;
		worst = w[i].worst_ns > worst ? w[i].worst_ns : worst;
		if (w[i].err && !die) {
			fprintf(stderr, "%s %u: %s\n", kind_name[kind], w[i].idx,
				strerror(-w[i].err));
			good = false;
		}
	}
	if (!of_kind)
		return good;
	printf("%s: %u threads, %llu in all, the laziest %llu, the longest %llu ms\n",
	       kind_name[kind], of_kind, (unsigned long long)sum, (unsigned long long)least,
	       (unsigned long long)(worst / 1000000));
	if (least < ROUNDS_MIN && !die) {
		fprintf(stderr, "%s: a thread starved\n", kind_name[kind]);
		good = false;
	}
	return good;
}

int main(int argc, char **argv)
{
	bool die = argc > 5, good = true;
	unsigned nr[KINDS] = {0, 0, 2, 2}, all = 0;
	struct worker *w;

	if (argc < 5)
		return 2;
	dir = argv[1];
	nr[FSYNC] = (unsigned)atoi(argv[3]);
	nr[READ] = (unsigned)atoi(argv[4]);
	w = calloc(nr[FSYNC] + nr[READ] + nr[WRITE] + nr[NAME], sizeof(*w));
	if (!w || make_warm()) {
		perror(dir);
		return 1;
	}
	/* The shell waits for this before it does something to the mount. */
	printf("ready\n");
	fflush(stdout);
	end_ns = now_ns() + (uint64_t)(atof(argv[2]) * 1e9);
	atomic_store(&nr_lazy, nr[FSYNC] + nr[READ] + nr[WRITE] + nr[NAME]);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		for (unsigned i = 0; i < nr[kind]; i++, all++) {
			w[all].kind = kind;
			w[all].idx = i;
			if (pthread_create(&w[all].thread, NULL, work, &w[all]))
				return 1;
		}
	}
	for (unsigned i = 0; i < all; i++)
		pthread_join(w[i].thread, NULL);
	for (unsigned kind = 0; kind < KINDS; kind++)
		good = report(w, all, kind, die) && good;
	return good ? 0 : 1;
}
