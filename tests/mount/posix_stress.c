/* A random test of bytes: every thread has a file and a model of it in memory, does random
 * operations on both, and compares. Threads work at once, so that their requests meet in the
 * server; they share nothing else.
 *
 *	posix_stress DIR [SECONDS [SEED]]
 *
 * The seed is printed and repeats each thread's operations (not their interleaving). At a
 * difference the last operations on that file are printed. */
#include "posix.h"

#include <pthread.h>

enum {
	NR_THREADS = 4,
	MAX_LEN = 3 << 20,
	MAX_OP = 400 * 1024,
	NR_HISTORY = 24,
	HISTORY_TEXT = 80,
};

struct file_test {
	int idx;
	uint64_t rng;
	char path[PATH_MAX];
	int fd;
	int append_fd;
	uint8_t *model;
	size_t size;
	uint8_t *buf;
	long nr_ops;
	char history[NR_HISTORY][HISTORY_TEXT];
};

static atomic_bool failed;
static double deadline;

static uint64_t next_random(struct file_test *t)
{
	t->rng ^= t->rng << 13;
	t->rng ^= t->rng >> 7;
	t->rng ^= t->rng << 17;
	return t->rng * 0x2545f4914f6cdd1du >> 11;
}

static size_t below(struct file_test *t, size_t limit)
{
	return limit ? next_random(t) % limit : 0;
}

/* A place: anywhere, or at a boundary, where mistakes live. */
static size_t pick_off(struct file_test *t, size_t limit)
{
	static const size_t units[] = {512, 4096, 65536, 131072, 1 << 20};
	size_t off = below(t, limit), unit = units[below(t, 5)];

	if (below(t, 3) == 0)
		off = off / unit * unit;
	if (below(t, 6) == 0 && off)
		off--;
	return off < limit ? off : 0;
}

static size_t pick_len(struct file_test *t)
{
	switch (below(t, 4)) {
	case 0:
		return 1 + below(t, 100);
	case 1:
		return 4096 * (1 + below(t, 8));
	case 2:
		return 1 + below(t, 20000);
	default:
		return 1 + below(t, MAX_OP);
	}
}

static void remember(struct file_test *t, const char *op, size_t off, size_t len)
{
	snprintf(t->history[t->nr_ops % NR_HISTORY], HISTORY_TEXT, "%ld: %s %#zx +%#zx (size %#zx)",
		 t->nr_ops, op, off, len, t->size);
	t->nr_ops++;
}

static void give_up(struct file_test *t, const char *what)
{
	if (atomic_exchange(&failed, true))
		return;
	printf("posix_stress: thread %d: %s; its last operations:\n", t->idx, what);
	for (long i = t->nr_ops < NR_HISTORY ? 0 : t->nr_ops - NR_HISTORY; i < t->nr_ops; i++)
		printf("  %s\n", t->history[i % NR_HISTORY]);
}

/* A system call failed where none may. */
static bool must(struct file_test *t, bool ok, const char *what)
{
	char text[160];

	if (ok)
		return true;
	snprintf(text, sizeof(text), "%s: %s", what, strerror(errno));
	give_up(t, text);
	return false;
}

static void compare(struct file_test *t, const uint8_t *seen, size_t off, size_t len,
		    const char *how)
{
	char text[160];
	size_t i = 0;

	while (i < len && seen[i] == t->model[off + i])
		i++;
	if (i == len)
		return;
	snprintf(text, sizeof(text), "%s at %#zx+%#zx: byte %#zx: expected %#x, seen %#x", how, off,
		 len, off + i, t->model[off + i], seen[i]);
	give_up(t, text);
}

/* Bytes of the kinds that a compressing file system treats differently. */
static void make_bytes(struct file_test *t, uint8_t *buf, size_t len)
{
	double value = (double)t->nr_ops;

	switch (below(t, 4)) {
	case 0:
		memset(buf, (int)below(t, 256), len);
		return;
	case 1:
		for (size_t i = 0; i + sizeof(value) <= len; i += sizeof(value)) {
			value += 0.125;
			memcpy(buf + i, &value, sizeof(value));
		}
		/* The rest keeps what an earlier operation left there. */
		return;
	default:
		fill_bytes(buf, len, next_random(t));
	}
}

static void grow_model(struct file_test *t, size_t end)
{
	if (end > t->size)
		t->size = end;
}

static void op_write(struct file_test *t)
{
	size_t len = pick_len(t), off = pick_off(t, MAX_LEN - len);

	remember(t, "write", off, len);
	make_bytes(t, t->buf, len);
	if (!must(t, pwrite(t->fd, t->buf, len, off) == (ssize_t)len, "write"))
		return;
	memcpy(t->model + off, t->buf, len);
	grow_model(t, off + len);
}

static void op_append(struct file_test *t)
{
	size_t len = pick_len(t);

	if (t->size + len > MAX_LEN)
		return;
	remember(t, "append", t->size, len);
	make_bytes(t, t->buf, len);
	if (!must(t, write(t->append_fd, t->buf, len) == (ssize_t)len, "append"))
		return;
	memcpy(t->model + t->size, t->buf, len);
	t->size += len;
}

static void op_read(struct file_test *t)
{
	size_t len = pick_len(t), off = pick_off(t, MAX_LEN), want;
	ssize_t n;

	remember(t, "read", off, len);
	want = off >= t->size ? 0 : t->size - off < len ? t->size - off : len;
	n = pread(t->fd, t->buf, len, off);
	if (!must(t, n >= 0, "read"))
		return;
	if ((size_t)n != want) {
		give_up(t, "a read has the wrong length");
		return;
	}
	compare(t, t->buf, off, want, "read");
}

static void op_truncate(struct file_test *t)
{
	size_t size = below(t, 3) ? pick_off(t, t->size + 1) : pick_off(t, MAX_LEN);

	remember(t, "truncate", size, 0);
	if (!must(t, ftruncate(t->fd, size) == 0, "truncate"))
		return;
	/* Beyond the size the model is always zero. */
	if (size < t->size)
		memset(t->model + size, 0, t->size - size);
	t->size = size;
}

static void op_mapped(struct file_test *t)
{
	bool store = below(t, 2);
	size_t off, len, page_off;
	uint8_t *map;

	if (!t->size)
		return;
	off = pick_off(t, t->size);
	len = pick_len(t);
	if (len > t->size - off)
		len = t->size - off;
	remember(t, store ? "mapped write" : "mapped read", off, len);
	page_off = off & ~4095ul;
	map = mmap(NULL, off - page_off + len, PROT_READ | (store ? PROT_WRITE : 0), MAP_SHARED,
		   t->fd, page_off);
	if (!must(t, map != MAP_FAILED, "mmap"))
		return;
	compare(t, map + (off - page_off), off, len, "mapped read");
	if (store) {
		make_bytes(t, t->buf, len);
		memcpy(map + (off - page_off), t->buf, len);
		memcpy(t->model + off, t->buf, len);
		if (below(t, 2))
			must(t, msync(map, off - page_off + len, MS_SYNC) == 0, "msync");
	}
	munmap(map, off - page_off + len);
}

static void op_fallocate(struct file_test *t)
{
	static const struct {
		const char *name;
		int mode;
	} modes[] = {
		{"punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
		{"zero", FALLOC_FL_ZERO_RANGE},
		{"zero keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE},
		{"allocate", 0},
		{"allocate keep", FALLOC_FL_KEEP_SIZE},
	};
	size_t which = below(t, 5), len = pick_len(t), off = pick_off(t, MAX_LEN - len);
	int mode = modes[which].mode;

	/* tmpfs has no zero range. */
	if (fs_is(TMPFS_MAGIC) && (mode & FALLOC_FL_ZERO_RANGE))
		return;
	remember(t, modes[which].name, off, len);
	if (!must(t, fallocate(t->fd, mode, off, len) == 0, modes[which].name))
		return;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		memset(t->model + off, 0, len);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		grow_model(t, off + len);
}

static void op_copy(struct file_test *t)
{
	size_t len = pick_len(t), from, to;
	off_t in, out;
	ssize_t n;

	if (t->size < 2)
		return;
	from = pick_off(t, t->size);
	if (len > t->size - from)
		len = t->size - from;
	to = pick_off(t, MAX_LEN - len);
	if (from < to + len && to < from + len)
		return;
	remember(t, "copy from", from, len);
	remember(t, "copy to", to, len);
	while (len) {
		in = from;
		out = to;
		n = copy_file_range(t->fd, &in, t->fd, &out, len, 0);
		if (!must(t, n > 0, "copy_file_range"))
			return;
		memcpy(t->model + to, t->model + from, n);
		grow_model(t, to + n);
		from += n;
		to += n;
		len -= n;
	}
}

static void op_seek(struct file_test *t)
{
	size_t off;
	off_t data, end;

	if (!t->size)
		return;
	off = pick_off(t, t->size);
	remember(t, "seek data", off, 0);
	data = lseek(t->fd, off, SEEK_DATA);
	if (!must(t, data >= 0 || errno == ENXIO, "SEEK_DATA"))
		return;
	end = data < 0 ? (off_t)t->size : data;
	for (off_t i = off; i < end; i++) {
		if (!t->model[i])
			continue;
		give_up(t, "SEEK_DATA passes over data");
		return;
	}
	must(t, lseek(t->fd, off, SEEK_HOLE) >= (off_t)off, "SEEK_HOLE");
}

static void open_file(struct file_test *t)
{
	t->fd = open(t->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	t->append_fd = open(t->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	must(t, t->fd >= 0 && t->append_fd >= 0, "open");
}

static void op_whole(struct file_test *t)
{
	struct stat st;
	uint8_t *seen = must_alloc(MAX_LEN + 1);
	ssize_t n;

	remember(t, "read all", 0, t->size);
	if (must(t, fstat(t->fd, &st) == 0, "fstat") && (size_t)st.st_size != t->size)
		give_up(t, "the size is wrong");
	n = pread(t->fd, seen, MAX_LEN + 1, 0);
	if (n != (ssize_t)t->size)
		give_up(t, "the whole has the wrong length");
	else
		compare(t, seen, 0, t->size, "read all");
	free(seen);
}

static void op_reopen(struct file_test *t)
{
	remember(t, "reopen", 0, 0);
	must(t, close(t->fd) == 0 && close(t->append_fd) == 0, "close");
	open_file(t);
	if (below(t, 4) == 0)
		op_whole(t);
}

static void op_sync(struct file_test *t)
{
	remember(t, "fsync", 0, 0);
	must(t, (below(t, 2) ? fsync(t->fd) : fdatasync(t->fd)) == 0, "fsync");
	/* Half of the time what is read next must come from the server. */
	if (below(t, 2))
		posix_fadvise(t->fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void *run_thread(void *arg)
{
	static void (*const ops[])(struct file_test * t) = {
		op_write,    op_write,	op_write,  op_read,	 op_read, op_read,
		op_truncate, op_mapped, op_mapped, op_fallocate, op_copy, op_append,
		op_seek,     op_sync,	op_reopen, op_whole,
	};
	struct file_test *t = arg;

	open_file(t);
	while (!atomic_load(&failed) && seconds_now() < deadline)
		ops[below(t, sizeof(ops) / sizeof(ops[0]))](t);
	if (!atomic_load(&failed))
		op_whole(t);
	close(t->fd);
	close(t->append_fd);
	return NULL;
}

/* A last look with nothing cached. */
static void check_cold(struct file_test *t)
{
	t->fd = open(t->path, O_RDWR | O_CLOEXEC);
	if (must(t, t->fd >= 0, "open")) {
		op_whole(t);
		close(t->fd);
	}
}

int main(int argc, char **argv)
{
	struct file_test *tests = must_alloc(NR_THREADS * sizeof(*tests));
	double seconds = argc > 2 ? atof(argv[2]) : 10;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL);
	pthread_t threads[NR_THREADS];
	char dir[PATH_MAX - 16];
	struct statfs sfs;
	long nr_ops = 0;

	if (argc < 2 || argc > 4 || !seconds) {
		fprintf(stderr, "usage: %s DIR [SECONDS [SEED]]\n", argv[0]);
		return 2;
	}
	snprintf(dir, sizeof(dir), "%s/posix_stress.XXXXXX", argv[1]);
	if (!mkdtemp(dir) || statfs(dir, &sfs)) {
		perror(dir);
		return 1;
	}
	fs_magic = sfs.f_type;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("posix_stress: seed %llu\n", (unsigned long long)seed);
	deadline = seconds_now() + seconds;
	for (int i = 0; i < NR_THREADS; i++) {
		struct file_test *t = &tests[i];

		t->idx = i;
		/* Any but zero, and far apart for neighbouring seeds. */
		t->rng = (seed * NR_THREADS + i + 1) * 0x9e3779b97f4a7c15u | 1;
		t->model = must_alloc(MAX_LEN);
		t->buf = must_alloc(MAX_OP + 32768);
		snprintf(t->path, sizeof(t->path), "%s/file%d", dir, i);
		if (pthread_create(&threads[i], NULL, run_thread, t))
			return 1;
	}
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	drop_caches();
	for (int i = 0; i < NR_THREADS; i++) {
		if (!atomic_load(&failed))
			check_cold(&tests[i]);
		nr_ops += tests[i].nr_ops;
		free(tests[i].model);
		free(tests[i].buf);
	}
	free(tests);
	if (atomic_load(&failed))
		printf("posix_stress: left %s as it is\n", dir);
	else
		remove_tree(dir);
	printf("posix_stress: %ld passed, %d failed\n", nr_ops, atomic_load(&failed));
	return atomic_load(&failed) ? 1 : 0;
}
