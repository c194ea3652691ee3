/* Many processes on one file, by every way there is: what each did must be there, whole, and nobody may see the past.
 *
 *	fsx_many [options] MODE DIR
 *
 *	ranges    each process owns parts of the file, with odd borders in the same pages and extents, writes there directly,
 *	          through the cache and through a mapping, and reads its own back in each way; at the end all are compared
 *	append    records through O_APPEND: each must be whole, none lost, each process's in order; readers meanwhile
 *	monotone  some rewrite the file's words with ever larger numbers, readers must never see smaller ones again
 *	fsync     as many threads as --procs says write and fsync at once, on one file and on one of their own
 *
 *	--seed N --procs N --seconds N --max BYTES --no-direct --no-mmap
 *	--fault   do one thing wrong: it must be found
 *
 * Exit status: 0 all is right, 1 a difference, 2 it could not run. */
#include "fsx.h"

#include <fcntl.h>
#include <getopt.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>

enum {
	NR_MAX = 2000,
	NR_PARTS = 64,
	IO_MAX = 200 << 10,
	LIMIT_SECONDS = 120, /* beyond what was asked for: hung */
	RECORD_MAX = 100 << 10,
};

static const char file_name[] = "many";

static struct {
	uint64_t seed, max;
	unsigned procs;
	double end;
	bool no_direct, no_mmap, fault, fuse;
	uint8_t *shared; /* between processes: what the file shall be, or numbers */
} t = {.max = 3 << 20, .procs = 4};

static double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool time_left(void)
{
	return seconds_now() < t.end;
}

static void __attribute__((noreturn, format(printf, 1, 2))) wrong(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dprintf(STDERR_FILENO, "fsx_many: %s\n", text);
	_exit(1);
}

static void __attribute__((noreturn)) refused(const char *what)
{
	wrong("%s: %s", what, strerror(errno));
}

static void hung(int sig)
{
	static const char text[] = "fsx_many: no answer\n";

	(void)sig;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

static int open_many(int flags)
{
	int fd = open(file_name, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		refused("open");
	return fd;
}

/* Run @work in @nr processes; all must end well. */
static void run_all(unsigned nr, void (*work)(unsigned idx, struct rng *r))
{
	int status, bad = 0;

	for (unsigned i = 0; i < nr; i++) {
		struct rng r = {t.seed * 1000 + i};
		pid_t pid = fork();

		if (pid < 0)
			refused("fork");
		if (pid)
			continue;
		alarm((unsigned)(t.end - seconds_now()) + LIMIT_SECONDS);
		work(i, &r);
		_exit(0);
	}
	while (wait(&status) >= 0)
		bad |= status;
	if (bad)
		_exit(1);
}

static void compare(const uint8_t *want, const uint8_t *seen, uint64_t off, uint64_t len,
		    const char *how)
{
	size_t i = first_difference(want, seen, len), n = i;

	if (i == len)
		return;
	while (n < len && want[n] != seen[n])
		n++;
	wrong("%llu+%llu by %s: byte %llu (page +%llu): expected %#x, seen %#x; %zu bytes in a row "
	      "are wrong",
	      (unsigned long long)off, (unsigned long long)len, how, (unsigned long long)(off + i),
	      (unsigned long long)((off + i) % PAGE), want[i], seen[i], n - i);
}

/* ---- ranges ---- */

static uint64_t border[NR_PARTS + 1];

struct views {
	int fd, direct;
	uint8_t *map, *buf;
};

/* Some borders are a few bytes from each other, some in one page. */
static void make_borders(void)
{
	struct rng r = {t.seed};
	uint64_t step = t.max / NR_PARTS;

	for (unsigned i = 1; i < NR_PARTS; i++)
		border[i] = i * step + (i % 3 == 0   ? 1 + rng_below(&r, 9)
					: i % 3 == 1 ? step - 1 - rng_below(&r, 3000)
						     : rng_below(&r, step));
	for (unsigned i = 1; i < NR_PARTS; i++)
		for (unsigned k = i; k > 1 && border[k] < border[k - 1]; k--) {
			uint64_t x = border[k];

			border[k] = border[k - 1];
			border[k - 1] = x;
		}
	border[NR_PARTS] = t.max;
}

/* A place of one's own. @pages: it has to be whole pages, as neighbours' stores would go with them otherwise. False:
 * there is none in this part. */
static bool some_range(struct rng *r, unsigned part, bool pages, uint64_t *off, uint64_t *len)
{
	uint64_t from = border[part], end = border[part + 1];

	if (pages) {
		from = (from + PAGE - 1) / PAGE * PAGE;
		end = end / PAGE * PAGE;
	}
	if (from >= end)
		return false;
	*off = from + rng_off(r, end - from - 1);
	if (pages)
		*off = *off / PAGE * PAGE;
	*len = rng_len(r, end - *off < IO_MAX ? end - *off : IO_MAX);
	if (pages)
		*len = (*len + PAGE - 1) / PAGE * PAGE;
	return true;
}

static void write_range(struct rng *r, unsigned part, struct views *v)
{
	uint64_t off, len, how = rng_below(r, 3);
	ssize_t n;

	if ((how == 1 && t.no_direct) || (how == 2 && t.no_mmap))
		how = 0;
	/* Without mappings a direct write may share pages with others where the file system takes it. */
	if (!some_range(r, part, how == 1 && (!t.fuse || !t.no_mmap || rng_in(r, 2)), &off, &len))
		return;
	rng_fill(r, v->buf, len);
	memcpy(t.shared + off, v->buf, len);
	if (how == 2) {
		memcpy(v->map + off, v->buf, len);
		if (rng_in(r, 4) && msync(v->map, t.max, rng_in(r, 2) ? MS_SYNC : MS_ASYNC))
			refused("msync");
		return;
	}
	n = pwrite(how ? v->direct : v->fd, v->buf, len, (off_t)off);
	if (n != (ssize_t)len)
		wrong("pwrite%s %llu+%llu: %zd: %s", how ? " O_DIRECT" : "",
		      (unsigned long long)off, (unsigned long long)len, n, strerror(errno));
}

static void read_range(struct rng *r, unsigned part, struct views *v)
{
	uint64_t off, len, from, end, how = rng_below(r, 3);

	if (!some_range(r, part, false, &off, &len))
		return;
	if (how == 2 && !t.no_mmap) {
		compare(t.shared + off, v->map + off, off, len, "mapping");
		return;
	}
	from = off / PAGE * PAGE;
	end = (off + len + PAGE - 1) / PAGE * PAGE;
	if (how == 1 && !t.no_direct) {
		ssize_t n = pread(v->direct, v->buf, end - from, (off_t)from);

		if (n < (ssize_t)(off + len - from))
			wrong("pread O_DIRECT %llu+%llu: %zd: %s", (unsigned long long)from,
			      (unsigned long long)(end - from), n, strerror(errno));
		compare(t.shared + off, v->buf + (off - from), off, len, "pread O_DIRECT");
		return;
	}
	if (pread(v->fd, v->buf, len, (off_t)off) != (ssize_t)len)
		refused("pread");
	compare(t.shared + off, v->buf, off, len, "pread");
}

static void ranges_work(unsigned idx, struct rng *r)
{
	struct views v = {.fd = open_many(O_RDWR),
			  .direct = open_many(t.no_direct ? O_RDWR : O_RDWR | O_DIRECT)};

	v.buf = must_have(aligned_alloc(PAGE, IO_MAX + 4 * PAGE));
	v.map = mmap(NULL, t.max, PROT_READ | PROT_WRITE, MAP_SHARED, v.fd, 0);
	if (v.map == MAP_FAILED)
		refused("mmap");
	while (time_left()) {
		unsigned part = idx + t.procs * (unsigned)rng_below(r, NR_PARTS / t.procs);

		if (rng_in(r, 2))
			write_range(r, part, &v);
		else
			read_range(r, part, &v);
		if (rng_in(r, 100) && fdatasync(v.fd))
			refused("fdatasync");
		if (rng_in(r, 50) && posix_fadvise(v.fd, 0, 0, POSIX_FADV_DONTNEED))
			refused("fadvise");
	}
	if (idx == 0)
		t.shared[border[0]] ^= t.fault;
}

static void check_all(const char *how, int flags)
{
	uint8_t *buf = must_have(aligned_alloc(PAGE, t.max + PAGE));
	int fd = open_many(O_RDONLY | flags);
	uint64_t at = 0;

	while (at < t.max) {
		ssize_t n = pread(fd, buf + at, t.max - at, (off_t)at);

		if (n <= 0)
			wrong("%s at %llu: %zd: %s", how, (unsigned long long)at, n,
			      strerror(errno));
		at += (uint64_t)n;
	}
	compare(t.shared, buf, 0, t.max, how);
	close(fd);
	free(buf);
}

static void mode_ranges(void)
{
	int fd = open_many(O_RDWR | O_CREAT | O_TRUNC);

	make_borders();
	if (ftruncate(fd, (off_t)t.max))
		refused("ftruncate");
	run_all(t.procs, ranges_work);
	if (!t.no_direct)
		check_all("pread O_DIRECT at the end", O_DIRECT);
	check_all("pread at the end", 0);
	if (fsync(fd))
		refused("fsync");
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	check_all("pread after an fsync", 0);
	close(fd);
}

/* ---- append ---- */

struct record {
	uint32_t magic, from, seq, len; /* len with this head */
};

#define RECORD_MAGIC 0x5ec04d17u

static atomic_uint *written(void)
{
	return (atomic_uint *)(void *)t.shared;
}

static void record_make(uint8_t *p, unsigned from, uint32_t seq, uint32_t len)
{
	struct record rec = {RECORD_MAGIC, from, seq, len};
	struct rng r = {(uint64_t)from << 32 | seq};

	rng_fill(&r, p + sizeof(rec), len - sizeof(rec));
	memcpy(p, &rec, sizeof(rec));
}

static void append_reader(struct rng *r)
{
	uint8_t *known = must_have(malloc(256 << 20)), *buf = must_have(malloc(1 << 20));
	int fd = open_many(O_RDONLY);
	uint64_t have = 0;
	unsigned late = 0;
	struct stat st;
	ssize_t n;

	for (unsigned left = 1; left;) {
		left = atomic_load(written() + NR_MAX) < t.procs;
		if (fstat(fd, &st))
			refused("fstat");
		if ((uint64_t)st.st_size < have)
			wrong("a reader had %llu bytes, now the size is %lld",
			      (unsigned long long)have, (long long)st.st_size);
		if (have < (200 << 20)) {
			n = pread(fd, known + have, 1 << 20, (off_t)have);
			if (n < 0)
				refused("pread");
			/* FUSE: fstat has the server's answer, reads stop at the size that the kernel has
			 * from the writer's reply, which may be on its way. */
			late = n == 0 && have < (uint64_t)st.st_size ? late + 1 : 0;
			if (late > (t.fuse ? 1000 : 0))
				wrong("nothing at %llu, the size was %lld",
				      (unsigned long long)have, (long long)st.st_size);
			if (late)
				usleep(1000);
			have += (uint64_t)n;
		}
		if (!have)
			continue;
		/* What was there stays as it was. */
		uint64_t off = rng_below(r, have), len = have - off < EXTENT ? have - off : EXTENT;

		n = pread(fd, buf, len, (off_t)off);
		if (n != (ssize_t)len)
			wrong("a reader had %llu+%llu, now %zd come", (unsigned long long)off,
			      (unsigned long long)len, n);
		/* Direct writes go around the pages: until they are dropped, a reader of the last page may see
		 * zeros where there is data by now. */
		for (uint64_t i = 0; i < len && !t.no_direct; i++) {
			if (!known[off + i])
				known[off + i] = buf[i];
		}
		compare(known + off, buf, off, len, "a second pread");
	}
}

static void append_work(unsigned idx, struct rng *r)
{
	int fd, direct;
	uint8_t *buf;

	if (idx >= t.procs) {
		append_reader(r);
		return;
	}
	buf = must_have(aligned_alloc(PAGE, RECORD_MAX + PAGE));
	fd = open_many(O_WRONLY | O_APPEND);
	direct = open_many(O_WRONLY | O_APPEND | (t.no_direct || !t.fuse ? 0 : O_DIRECT));
	for (uint32_t seq = 0; time_left(); seq++) {
		uint32_t len = (uint32_t)rng_len(r, rng_in(r, 4) ? RECORD_MAX : 5000);

		len = len < sizeof(struct record) ? sizeof(struct record) : len;
		record_make(buf, idx, seq, len);
		if (write(rng_in(r, 3) ? direct : fd, buf, len) != (ssize_t)len)
			refused("append");
		atomic_store(written() + idx, seq + 1);
		if (rng_in(r, 100) && fsync(fd))
			refused("fsync");
		/* Readers would not keep up. */
		if (lseek(fd, 0, SEEK_END) > 200 << 20)
			break;
	}
	atomic_fetch_add(written() + NR_MAX, 1);
}

static void mode_append(void)
{
	uint8_t *buf = must_have(malloc(RECORD_MAX)), *want = must_have(malloc(RECORD_MAX));
	uint32_t next[NR_MAX] = {0};
	FILE *in;
	struct record rec;

	close(open_many(O_WRONLY | O_CREAT | O_TRUNC));
	run_all(t.procs + 2, append_work);
	in = fopen(file_name, "re");
	if (!in)
		refused("open");
	while (fread(&rec, sizeof(rec), 1, in) == 1) {
		long at = ftell(in) - (long)sizeof(rec);

		if (rec.magic != RECORD_MAGIC || rec.from >= t.procs || rec.len < sizeof(rec) ||
		    rec.len > RECORD_MAX)
			wrong("at %ld: no record", at);
		if (rec.seq != next[rec.from])
			wrong("at %ld: record %u of %u, expected %u", at, rec.seq, rec.from,
			      next[rec.from]);
		next[rec.from]++;
		memcpy(buf, &rec, sizeof(rec));
		if (fread(buf + sizeof(rec), 1, rec.len - sizeof(rec), in) != rec.len - sizeof(rec))
			wrong("at %ld: a part of a record", at);
		record_make(want, rec.from, rec.seq, rec.len);
		compare(want, buf, (uint64_t)at, rec.len, "append");
	}
	for (unsigned i = 0; i < t.procs; i++)
		if (next[i] != atomic_load(written() + i) + (t.fault && i == 0))
			wrong("of %u records of %u there are %u", atomic_load(written() + i), i,
			      next[i]);
	fclose(in);
}

/* ---- monotone ---- */

/* The file is words, in blocks of BLOCK; a writer owns every procs-th. A word is the number of the pass that wrote it.
 * started and done: per block, before and after the write. */
enum { BLOCK = 16 << 10 };

static _Atomic uint64_t *started(uint64_t block)
{
	return (_Atomic uint64_t *)(void *)t.shared + 2 * block;
}

static _Atomic uint64_t *done(uint64_t block)
{
	return started(block) + 1;
}

static void monotone_write(struct rng *r, uint64_t block, struct views *v)
{
	uint64_t pass = atomic_load(started(block)) + 1, *word = (uint64_t *)(void *)v->buf;
	uint64_t how = rng_below(r, 3), off = block * BLOCK;

	for (unsigned i = 0; i < BLOCK / 8; i++)
		word[i] = pass;
	atomic_store(started(block), pass);
	if (how == 2 && !t.no_mmap)
		memcpy(v->map + off, v->buf, BLOCK);
	else if (pwrite(how ? v->direct : v->fd, v->buf, BLOCK, (off_t)off) != BLOCK)
		refused("pwrite");
	atomic_store(done(block), pass + (t.fault ? 1 : 0));
}

/* @seen: per block, what this reader has seen by direct reads, and through the kernel's cache. Not in one, since while a
 * write is under way one of the two is ahead, with FUSE as elsewhere. Once it has returned both have it. */
static void monotone_read(struct rng *r, uint64_t block, struct views *v, uint64_t *seen)
{
	static const char *const ways[] = {"pread", "pread O_DIRECT", "mapping"};
	uint64_t least = atomic_load(done(block)), most, off = block * BLOCK;
	uint64_t *word = (uint64_t *)(void *)v->buf, how = rng_below(r, t.no_mmap ? 2 : 3);

	if (how == 2)
		memcpy(v->buf, v->map + off, BLOCK);
	else if (pread(how ? v->direct : v->fd, v->buf, BLOCK, (off_t)off) != BLOCK)
		refused("pread");
	most = atomic_load(started(block));
	seen += 2 * block + (how == 1);
	least = *seen > least ? *seen : least;
	for (unsigned i = 0; i < BLOCK / 8; i++) {
		if (word[i] < least || word[i] > most)
			wrong("word %llu by %s: expected %llu to %llu, seen %llu",
			      (unsigned long long)(off / 8 + i), ways[how],
			      (unsigned long long)least, (unsigned long long)most,
			      (unsigned long long)word[i]);
	}
	for (unsigned i = 0; i < BLOCK / 8; i++)
		least = i == 0 || word[i] < least ? word[i] : least;
	*seen = least > *seen ? least : *seen;
}

static void monotone_work(unsigned idx, struct rng *r)
{
	unsigned writers = t.procs / 2;
	uint64_t blocks = t.max / BLOCK, *seen = must_have(calloc(2 * blocks, sizeof(*seen)));
	struct views v = {.fd = open_many(O_RDWR),
			  .direct = open_many(t.no_direct ? O_RDWR : O_RDWR | O_DIRECT)};

	v.buf = must_have(aligned_alloc(PAGE, BLOCK));
	v.map = mmap(NULL, t.max, PROT_READ | PROT_WRITE, MAP_SHARED, v.fd, 0);
	if (v.map == MAP_FAILED)
		refused("mmap");
	while (time_left()) {
		/* Few at a time, so that they meet. */
		uint64_t block = rng_below(r, rng_in(r, 4) ? blocks : 8 < blocks ? 8 : blocks);

		if (idx < writers)
			block = block / writers * writers + idx;
		if (block >= blocks)
			continue;
		if (idx < writers)
			monotone_write(r, block, &v);
		else
			monotone_read(r, block, &v, seen);
		if (rng_in(r, 200))
			posix_fadvise(v.fd, 0, 0, POSIX_FADV_DONTNEED);
		if (rng_in(r, 300) && fdatasync(v.fd))
			refused("fdatasync");
	}
}

static void mode_monotone(void)
{
	uint64_t *word = must_have(malloc(BLOCK));
	int fd = open_many(O_RDWR | O_CREAT | O_TRUNC);

	t.procs = t.procs < 2 ? 2 : t.procs;
	if (ftruncate(fd, (off_t)t.max))
		refused("ftruncate");
	run_all(t.procs, monotone_work);
	/* Now each word is that of the last pass. */
	for (uint64_t block = 0; block < t.max / BLOCK; block++) {
		if (pread(fd, word, BLOCK, (off_t)(block * BLOCK)) != BLOCK)
			refused("pread");
		for (unsigned i = 0; i < BLOCK / 8; i++)
			if (word[i] != atomic_load(done(block)))
				wrong("word %llu at the end: expected %llu, seen %llu",
				      (unsigned long long)(block * BLOCK / 8 + i),
				      (unsigned long long)atomic_load(done(block)),
				      (unsigned long long)word[i]);
	}
	free(word);
	close(fd);
}

/* ---- fsync ---- */

static atomic_ulong nr_fsyncs;

static void *fsync_thread(void *arg)
{
	unsigned idx = (unsigned)(uintptr_t)arg;
	char own[32], block[512];
	int shared = open_many(O_RDWR), fd;

	snprintf(own, sizeof(own), "many.%u", idx);
	fd = open(own, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		refused("open");
	for (unsigned n = 0; time_left() || !n; n++) {
		memset(block, 'a' + (int)(idx + n) % 26, sizeof(block));
		if (pwrite(shared, block, sizeof(block), (off_t)idx * 512) != 512 ||
		    pwrite(fd, block, sizeof(block), (off_t)n * 512) != 512)
			refused("pwrite");
		memset(t.shared + idx * 512, block[0], 512);
		if (n % 2 ? fsync(fd) : fdatasync(shared))
			refused("fsync");
		atomic_fetch_add(&nr_fsyncs, 1);
	}
	close(fd);
	close(shared);
	return NULL;
}

static void mode_fsync(void)
{
	pthread_t thread[NR_MAX];
	pthread_attr_t attr;
	char own[32];

	t.max = (uint64_t)t.procs * 512;
	close(open_many(O_RDWR | O_CREAT | O_TRUNC));
	alarm((unsigned)(t.end - seconds_now()) + LIMIT_SECONDS);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (unsigned i = 0; i < t.procs; i++)
		if (pthread_create(&thread[i], &attr, fsync_thread, (void *)(uintptr_t)i))
			wrong("no more than %u threads", i);
	for (unsigned i = 0; i < t.procs; i++)
		pthread_join(thread[i], NULL);
	t.shared[0] ^= t.fault;
	check_all("pread", 0);
	for (unsigned i = 0; i < t.procs; i++) {
		snprintf(own, sizeof(own), "many.%u", i);
		unlink(own);
	}
	printf("fsx_many: %lu fsyncs by %u threads\n", atomic_load(&nr_fsyncs), t.procs);
}

/* ---- main ---- */

static void usage(void)
{
	fprintf(stderr,
		"usage: fsx_many [--seed N] [--procs N] [--seconds N] [--max BYTES] [--no-direct]\n"
		"                [--no-mmap] [--fault] ranges|append|monotone|fsync DIR\n");
	exit(2);
}

static void options(int argc, char **argv)
{
	enum { SEED = 256, PROCS, SECONDS, MAX, NO_DIRECT, NO_MMAP, FAULT };
	static const struct option names[] = {
		{"seed", 1, NULL, SEED},	   {"procs", 1, NULL, PROCS},
		{"seconds", 1, NULL, SECONDS},	   {"max", 1, NULL, MAX},
		{"no-direct", 0, NULL, NO_DIRECT}, {"no-mmap", 0, NULL, NO_MMAP},
		{"fault", 0, NULL, FAULT},	   {NULL, 0, NULL, 0},
	};
	double seconds = 5;
	int c;

	t.seed = ((uint64_t)time(NULL) ^ (uint64_t)getpid() << 20) % 1000000000;
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case SEED:
			t.seed = strtoull(optarg, NULL, 10);
			break;
		case PROCS:
			t.procs = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case SECONDS:
			seconds = strtod(optarg, NULL);
			break;
		case MAX:
			t.max = strtoull(optarg, NULL, 10) / BLOCK * BLOCK;
			break;
		case NO_DIRECT:
			t.no_direct = true;
			break;
		case NO_MMAP:
			t.no_mmap = true;
			break;
		case FAULT:
			t.fault = true;
			break;
		default:
			usage();
		}
	}
	if (optind != argc - 2 || !t.procs || t.procs > NR_MAX - 2 || t.max < NR_PARTS * PAGE)
		usage();
	t.end = seconds_now() + seconds;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = {
		{"ranges", mode_ranges},
		{"append", mode_append},
		{"monotone", mode_monotone},
		{"fsync", mode_fsync},
	};
	const char *mode;
	struct statfs fs;
	size_t i;

	options(argc, argv);
	mode = argv[optind];
	if (chdir(argv[optind + 1]) || statfs(".", &fs)) {
		perror(argv[optind + 1]);
		return 2;
	}
	t.fuse = fs.f_type == FUSE_SUPER_MAGIC;
	t.shared = mmap(NULL, t.max + EXTENT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (t.shared == MAP_FAILED)
		refused("mmap");
	signal(SIGALRM, hung);
	for (i = 0; i < sizeof(modes) / sizeof(*modes) && strcmp(mode, modes[i].name); i++)
		;
	if (i == sizeof(modes) / sizeof(*modes))
		usage();
	printf("fsx_many: %s, seed %llu, %u processes\n", mode, (unsigned long long)t.seed,
	       t.procs);
	fflush(stdout);
	modes[i].run();
	unlink(file_name);
	return 0;
}
