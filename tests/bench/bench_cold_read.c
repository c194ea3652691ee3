/* What reads of a file cost that are not in memory: random ones of 4 KiB, and all of it in order.
 *
 *   bench_cold_read FILE DIR [CACHE_MIB [NR]]
 *
 * FILE is copied into a volume of one shard under DIR, which had better be in RAM, several times over where it is
 * short; each measurement begins with an empty cache. One thread, without FUSE. */
#include "tests/fs/fs_make.h"

#include <fcntl.h>
#include <sys/resource.h>

#include "conf/log.h"
#include "fs/cache.h"
#include "fs/commit.h"
#include "fs/file.h"
#include "fs/name.h"

#define FILE_LEN (256 * MIB)

static struct fs_make make;
static struct inode *in;
static uint64_t ino, file_len, cache_len = 64 * MIB;

static void up(void)
{
	const char *paths[] = {make.shard[0]};
	struct raid_params rp = {.ops = store_sync(),
				 .paths = paths,
				 .nr_paths = 1,
				 .want = {.level = RAID_LEVEL_ANY}};
	struct fs_params p = {.state_dir = make.state,
			      .codec = {.mode = CODEC_AUTO, .level = CODEC_LEVEL_DEFAULT},
			      .memory_len = 64 * MIB,
			      .cache_len = cache_len,
			      .threads = 2};
	char why[512] = "";
	struct index_txn *t;

	if (raid_open(&rp, &p.raid, why, sizeof(why)) || fs_open(&p, &make.fs, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(index_read(make.fs->index, &t), 0);
	assert_int_equal(inode_get(make.fs, t, ino, &in), 0);
	index_read_end(t);
}

static void empty_cache(void)
{
	inode_put(in);
	fs_make_down(&make);
	up();
}

static void fill(const char *path)
{
	static uint8_t buf[MIB];
	struct name_new nn = {.mode = S_IFREG | 0600};
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(name_make(make.fs, 1, (struct name){"f", 1}, &nn, &in), 0);
	ino = in->ino;
	while (file_len < FILE_LEN) {
		ssize_t n = read(fd, buf, sizeof(buf));

		assert_true(n >= 0);
		if (n < (ssize_t)sizeof(buf)) {
			assert_true(file_len > 0);
			assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
			continue;
		}
		assert_int_equal(
			file_write(in, file_len, &(struct iovec){buf, sizeof(buf)}, 1, false), 0);
		file_len += sizeof(buf);
	}
	assert_int_equal(file_sync(in), 0);
}

static uint64_t cpu_now(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static void measure(const char *what, size_t len, unsigned nr, bool random)
{
	uint64_t s = 88172645463325252ULL, wall, cpu;
	struct rusage a, b;
	struct cache_stat st;

	empty_cache();
	getrusage(RUSAGE_SELF, &a);
	wall = mono_ns();
	cpu = cpu_now();
	for (unsigned i = 0; i < nr; i++) {
		uint64_t off = (uint64_t)i * len;
		struct file_read r;

		s ^= s << 13;
		s ^= s >> 7;
		s ^= s << 17;
		if (random)
			off = s % (file_len / len) * len;
		assert_int_equal(file_peek(in, off, len, &r), 0);
		assert_int_equal(r.len, len);
		r.stream = !random;
		file_read_done(make.fs, &r);
	}
	wall = mono_ns() - wall;
	cpu = cpu_now() - cpu;
	getrusage(RUSAGE_SELF, &b);
	cache_stat_get(make.fs->cache, &st);
	printf("%-28s %8.1f us wall %8.1f us cpu a read, %6.0f MB/s, %4.1f %% hits, %5.1f faults a "
	       "read\n",
	       what, (double)wall / nr / 1e3, (double)cpu / nr / 1e3,
	       (double)len * nr / (double)wall * 1e3,
	       100.0 * (double)st.nr_hits / (double)MAX(st.nr_hits + st.nr_misses, (uint64_t)1),
	       (double)(b.ru_minflt - a.ru_minflt) / nr);
}

int main(int argc, char **argv)
{
	unsigned nr;

	if (argc < 3) {
		fprintf(stderr, "usage: bench_cold_read FILE DIR [CACHE_MIB [NR]]\n");
		return 2;
	}
	if (argc > 3)
		cache_len = strtoull(argv[3], NULL, 10) * MIB;
	nr = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 2000;
	log_set_level(LOG_LEVEL_ERROR);
	setenv("TMPDIR", argv[2], 1);
	fs_make_init(&make, 1);
	fill(argv[1]);
	for (unsigned round = 0; round < 2; round++) {
		measure("random 4 KiB", 4096, nr, true);
		measure("random 64 KiB", 64 * KIB, nr, true);
		measure("in order, 128 KiB", 128 * KIB, (unsigned)(file_len / (128 * KIB)), false);
		measure("in order, 1 MiB", MIB, (unsigned)(file_len / MIB), false);
	}
	inode_put(in);
	fs_make_fini(&make);
	return 0;
}
