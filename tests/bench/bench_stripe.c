/* What a stripe costs: raid_write() and raid_read() of 1 MiB, against pwrite() and pread() of the
 * same bytes to one file beside the shards.
 *
 *   bench_stripe DIR LEVEL NR_SHARDS uring|sync [MIB]
 *
 * DIR is on the file system to measure; figures are best of 5 rounds after one that is not
 * counted. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "raid/space.h"
#include "tests/support/raid_make.h"

#define NR_ROUNDS 6

struct figure {
	double wall, cpu; /* seconds, best */
};

static double cpu_now(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void start(struct figure *f)
{
	f->wall = (double)mono_ns() / 1e9;
	f->cpu = cpu_now();
}

static void stop(struct figure *f, struct figure *best, unsigned round)
{
	f->wall = (double)mono_ns() / 1e9 - f->wall;
	f->cpu = cpu_now() - f->cpu;
	if (round == 1 || (round && f->cpu < best->cpu))
		best->cpu = f->cpu;
	if (round == 1 || (round && f->wall < best->wall))
		best->wall = f->wall;
}

static void say(const char *what, unsigned mib, const struct figure *f, const struct figure *base)
{
	printf("%-8s %7.0f MiB/s  %7.0f MiB per core-second", what, mib / f->wall, mib / f->cpu);
	if (base)
		printf("  %.2f times the cost of one file", f->cpu / base->cpu);
	putchar('\n');
}

static void bench_file(const char *dir, uint8_t *buf, unsigned mib, struct figure *wr,
		       struct figure *rd)
{
	char *path;

	assert_true(asprintf(&path, "%s/bench-file", dir) > 0);
	for (unsigned round = 0; round < NR_ROUNDS; round++) {
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		struct figure f;

		assert_true(fd >= 0);
		start(&f);
		for (unsigned i = 0; i < mib; i++)
			assert_int_equal(pwrite(fd, buf + (i % 16) * MIB, MIB, (off_t)(i * MIB)),
					 MIB);
		stop(&f, wr, round);
		start(&f);
		for (unsigned i = 0; i < mib; i++)
			assert_int_equal(
				pread(fd, buf + (16 + i % 16) * MIB, MIB, (off_t)(i * MIB)), MIB);
		stop(&f, rd, round);
		close(fd);
		unlink(path);
	}
	free(path);
}

static void bench_raid(struct raid *r, uint8_t *buf, unsigned mib, struct figure *wr,
		       struct figure *rd)
{
	struct stripe_loc *loc = calloc(mib, sizeof(*loc));
	uint8_t head[40] = {1};

	assert_non_null(loc);
	for (unsigned round = 0; round < NR_ROUNDS; round++) {
		struct figure f;

		start(&f);
		for (unsigned i = 0; i < mib; i++) {
			struct stripe_owner owner = {
				.ino = 1, .file_off = i * MIB, .gen = i, .raw_len = MIB};
			struct iovec iov[2] = {{head, sizeof(head)}, {buf + (i % 16) * MIB, MIB}};

			assert_int_equal(raid_write(r, &owner, iov, 2, &loc[i]), 0);
		}
		stop(&f, wr, round);
		start(&f);
		for (unsigned i = 0; i < mib; i++) {
			struct stripe_owner owner = {.ino = 1, .file_off = i * MIB, .gen = i};

			assert_int_equal(raid_read(r, &owner, &loc[i], buf + (16 + i % 15) * MIB),
					 0);
		}
		stop(&f, rd, round);
		for (unsigned i = 0; i < mib; i++)
			raid_free(r, &loc[i]);
		assert_int_equal(raid_sync(r), 0);
	}
	free(loc);
}

int main(int argc, char **argv)
{
	unsigned mib = argc > 5 ? (unsigned)atoi(argv[5]) : 512;
	struct figure file_wr = {0}, file_rd = {0}, wr = {0}, rd = {0};
	const struct store_ops *ops = store_sync();
	struct raid_geometry geo = {.copies = 2, .extent_len = MIB};
	uint8_t *buf = aligned_alloc(BLOCK_LEN, 32 * MIB);
	struct raid *r;
	char **path;
	char *top;

	if (argc < 5 || !buf || setenv("TMPDIR", argv[1], 1)) {
		fprintf(stderr, "usage: bench_stripe DIR LEVEL NR_SHARDS uring|sync [MIB]\n");
		return 2;
	}
	if (!strcmp(argv[4], "uring") && store_uring(&ops)) {
		fprintf(stderr, "no io_uring here\n");
		return 1;
	}
	geo.level = (uint8_t)atoi(argv[2]);
	geo.nr_shards = (uint8_t)atoi(argv[3]);
	raid_make_bytes(buf, 32 * MIB, 1);
	path = raid_make_dirs(geo.nr_shards, &top);
	bench_file(top, buf, mib, &file_wr, &file_rd);
	r = raid_make(ops, (const char *const *)path, &geo, false);
	bench_raid(r, buf, mib, &wr, &rd);
	raid_unmake(r);
	raid_make_dirs_free(path, geo.nr_shards, top);
	say("pwrite", mib, &file_wr, NULL);
	say("write", mib, &wr, &file_wr);
	say("pread", mib, &file_rd, NULL);
	say("read", mib, &rd, &file_rd);
	free(buf);
	return 0;
}
