/* What every store must do, on each that there is: io_uring, blocking calls, and the disk in memory of the crash tests.
 *
 * Short transfers, which regular files hardly ever give, are made here: the blocking calls and io_uring's submission are
 * replaced by ones that ask the kernel for less than they were asked for. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <liburing.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "conf/base.h"
#include "raid/ring.h"
#include "tests/support/store_crash.h"

#define NR_SHARDS 4

enum engine { ENGINE_SYNC, ENGINE_URING, ENGINE_CRASH, NR_ENGINES };

struct fixture {
	const struct store_ops *ops;
	enum engine engine;
	struct crash_disk *disk;
	char root[64];
	char path[NR_SHARDS][80];
	struct store *store[NR_SHARDS];
};

/* ---- short transfers ---- */

static atomic_bool shorten;
static atomic_uint nr_shortened;

static atomic_uint nr_direct; /* transfers on descriptors with O_DIRECT */
static atomic_bool refuse_direct;

static bool is_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	nr_direct += flags >= 0 && flags & O_DIRECT;
	return flags >= 0 && flags & O_DIRECT;
}

/* Of @len bytes, fewer. */
static size_t short_len(size_t len)
{
	static atomic_uint turn;
	size_t n;

	if (!shorten || len < 2)
		return len;
	n = 1 + (atomic_fetch_add(&turn, 1) * 2654435761U >> 8) % (len - 1);
	atomic_fetch_add(&nr_shortened, 1);
	return n;
}

/* Wipes what it withholds, so that nobody takes it for read. */
ssize_t pread(int fd, void *buf, size_t len, off_t off)
{
	size_t n = short_len(len);

	memset((uint8_t *)buf + n, 0xdb, len - n);
	return syscall(SYS_pread64, fd, buf, n, off);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return syscall(SYS_pwrite64, fd, buf, short_len(len), off);
}

/* Part of the first iov, or some whole ones. */
static unsigned short_iov(const struct iovec *iov, int nr, struct iovec *first)
{
	if (!shorten || nr < 1)
		return 0;
	*first = iov[0];
	first->iov_len = short_len(iov[0].iov_len);
	return first->iov_len < iov[0].iov_len && iov[0].iov_len % 3 ? 1 : 0;
}

ssize_t preadv(int fd, const struct iovec *iov, int nr, off_t off)
{
	struct iovec first;

	if (is_direct(fd) && refuse_direct) {
		errno = EINVAL;
		return -1;
	}
	if (short_iov(iov, nr, &first))
		return syscall(SYS_preadv, fd, &first, 1, off, 0);
	return syscall(SYS_preadv, fd, iov, shorten ? (nr + 1) / 2 : nr, off, 0);
}

ssize_t pwritev(int fd, const struct iovec *iov, int nr, off_t off)
{
	struct iovec first;

	if (is_direct(fd) && refuse_direct) {
		errno = EINVAL;
		return -1;
	}
	if (short_iov(iov, nr, &first))
		return syscall(SYS_pwritev, fd, &first, 1, off, 0);
	return syscall(SYS_pwritev, fd, iov, shorten ? (nr + 1) / 2 : nr, off, 0);
}

/* ---- too early syncs ---- */

#define SYNC_LEN ((size_t)200000)

static atomic_bool watch_syncs;
static atomic_uint nr_early, nr_syncs;

/* A file's sync is about to be asked for: writes of SYNC_LEN bytes that are not zero, one or three of them, must be
 * there. */
static void watch_sync(int fd)
{
	static uint8_t buf[3 * SYNC_LEN];
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	long len;

	if (!watch_syncs)
		return;
	pthread_mutex_lock(&lock);
	len = syscall(SYS_pread64, fd, buf, sizeof(buf), (off_t)0);
	nr_syncs++;
	nr_early += (len != (long)SYNC_LEN && len != (long)sizeof(buf)) ||
		    memchr(buf, 0, len > 0 ? (size_t)len : 0);
	pthread_mutex_unlock(&lock);
}

int fdatasync(int fd)
{
	watch_sync(fd);
	return (int)syscall(SYS_fdatasync, fd);
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr)
{
	int (*real)(struct io_uring * ring, unsigned wait_nr) =
		(int (*)(struct io_uring *, unsigned))dlsym(RTLD_NEXT, "io_uring_submit_and_wait");

	assert_non_null(real);
	for (unsigned i = ring->sq.sqe_head; shorten && i != ring->sq.sqe_tail; i++) {
		struct io_uring_sqe *sqe = &ring->sq.sqes[i & *ring->sq.kring_mask];

		/* Bytes, or iovs. */
		if (sqe->opcode == IORING_OP_READ || sqe->opcode == IORING_OP_WRITE ||
		    sqe->opcode == IORING_OP_READV || sqe->opcode == IORING_OP_WRITEV)
			sqe->len = (unsigned)short_len(sqe->len);
	}
	for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
		struct io_uring_sqe *sqe = &ring->sq.sqes[i & *ring->sq.kring_mask];

		if (sqe->opcode == IORING_OP_FSYNC)
			watch_sync(sqe->fd);
		else if (is_direct(sqe->fd) && refuse_direct)
			sqe->off |= 1ULL << 63; /* EINVAL */
	}
	return real(ring, wait_nr);
}

/* ---- fixture ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void fixture_paths(struct fixture *x)
{
	const char *tmp = getenv("TMPDIR");

	if (x->engine == ENGINE_CRASH) {
		x->disk = crash_disk_new(NR_SHARDS, 1);
		x->ops = crash_ops(x->disk);
	} else {
		snprintf(x->root, sizeof(x->root), "%.40s/store-XXXXXX", tmp ? tmp : "/tmp");
		assert_non_null(mkdtemp(x->root));
	}
	for (unsigned i = 0; i < NR_SHARDS; i++) {
		snprintf(x->path[i], sizeof(x->path[i]), "%s/shard%u", x->root, i);
		if (!x->disk)
			assert_int_equal(mkdir(x->path[i], 0700), 0);
	}
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->engine = (enum engine)(uintptr_t)*state;
	x->ops = store_sync();
	*state = x;
	/* Where io_uring is forbidden its cases are skipped, see case_begin(). */
	if (x->engine == ENGINE_URING && store_uring(&x->ops))
		x->ops = NULL;
	fixture_paths(x);
	for (unsigned i = 0; x->ops && i < NR_SHARDS; i++)
		assert_int_equal(x->ops->attach(x->ops, x->path[i], false, &x->store[i]), 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	shorten = false;
	for (unsigned i = 0; i < NR_SHARDS; i++) {
		if (x->store[i])
			x->ops->detach(x->store[i]);
	}
	if (x->disk)
		crash_disk_free(x->disk);
	else
		assert_int_equal(nftw(x->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(x);
	return 0;
}

static struct fixture *case_begin(void **state)
{
	struct fixture *x = *state;

	if (!x->ops)
		skip();
	return x;
}

/* For cases about real files. */
static struct fixture *case_begin_dir(void **state)
{
	struct fixture *x = case_begin(state);

	if (x->disk)
		skip();
	return x;
}

static struct store_file *create(struct fixture *x, unsigned shard, const char *name)
{
	struct store_file *f;

	assert_int_equal(x->ops->open(x->store[shard], name, STORE_CREATE, &f), 0);
	return f;
}

static int transfer(struct fixture *x, enum store_op op, struct store_file *f, uint64_t off,
		    void *buf, size_t len)
{
	struct iovec iov = {buf, len};
	struct store_io io = {.op = op, .file = f, .iov = &iov, .nr_iov = 1, .off = off};
	int err = x->ops->run(x->ops, &io, 1);

	assert_int_equal(err, io.res);
	return err;
}

/* Bytes that differ from place to place. */
static void pattern(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)((i * 2654435761U >> 13) + i + seed);
}

/* ---- transfers ---- */

/* Cut @buf into @nr pieces of uneven length, empty ones among them. */
static void cut_iov(struct iovec *iov, unsigned nr, uint8_t *buf, size_t len)
{
	size_t at = 0;

	for (unsigned i = 0; i < nr; i++) {
		size_t n = i + 1 == nr ? len - at : MIN(len - at, (size_t)(i * 37 % 200));

		iov[i] = (struct iovec){buf + at, n};
		at += n;
	}
}

static void check_round_trip(struct fixture *x, unsigned nr_iov, size_t len)
{
	struct store_io io[NR_SHARDS];
	struct store_file *f[NR_SHARDS];
	AUTO_FREE struct iovec *iov = calloc(nr_iov * NR_SHARDS, sizeof(*iov));
	AUTO_FREE uint8_t *buf = malloc(len * NR_SHARDS);
	AUTO_FREE uint8_t *want = malloc(len * NR_SHARDS);

	for (unsigned i = 0; i < NR_SHARDS; i++) {
		pattern(want + i * len, len, i);
		cut_iov(iov + i * nr_iov, nr_iov, buf + i * len, len);
		f[i] = create(x, i, "a");
		io[i] = (struct store_io){.op = STORE_WRITE,
					  .file = f[i],
					  .iov = iov + i * nr_iov,
					  .nr_iov = nr_iov,
					  .off = 1000 + i};
	}
	memcpy(buf, want, len * NR_SHARDS);
	assert_int_equal(x->ops->run(x->ops, io, NR_SHARDS), 0);
	memset(buf, 0, len * NR_SHARDS);
	for (unsigned i = 0; i < NR_SHARDS; i++)
		io[i].op = STORE_READ;
	assert_int_equal(x->ops->run(x->ops, io, NR_SHARDS), 0);
	assert_memory_equal(buf, want, len * NR_SHARDS);
	for (unsigned i = 0; i < NR_SHARDS; i++) {
		assert_int_equal(io[i].res, 0);
		x->ops->close(f[i]);
		assert_int_equal(x->ops->unlink(x->store[i], "a"), 0);
	}
}

static void batch_goes_to_several_stores(void **state)
{
	struct fixture *x = case_begin(state);

	check_round_trip(x, 1, 300000);
	check_round_trip(x, 5, 300000);
	check_round_trip(x, 1, 1);
}

/* The kernel takes IOV_MAX at once: the rest is asked for anew. */
static void iovs_beyond_the_kernel_limit_are_done(void **state)
{
	struct fixture *x = case_begin(state);

	check_round_trip(x, 3 * IOV_MAX + 7, 400000);
}

static void short_transfers_are_completed(void **state)
{
	struct fixture *x = case_begin_dir(state);

	nr_shortened = 0;
	shorten = true;
	check_round_trip(x, 1, 300001);
	check_round_trip(x, 70, 300001);
	shorten = false;
	assert_in_range(nr_shortened, 20, UINT_MAX);
}

/* Aligned transfers go past the page cache, others through it, on one file and without a difference. */
static void check_direct(struct fixture *x, const char *name)
{
	AUTO_FREE uint8_t *buf = aligned_alloc(BLOCK_LEN, 4 * STORE_DIRECT_MIN);
	AUTO_FREE uint8_t *want = malloc(4 * STORE_DIRECT_MIN);
	struct iovec iov[3] = {{buf, STORE_DIRECT_MIN},
			       {buf + STORE_DIRECT_MIN, STORE_DIRECT_MIN - 1},
			       {buf + 2 * STORE_DIRECT_MIN - 1, 2 * STORE_DIRECT_MIN + 1}};
	struct store_file *f;
	struct store_io io[2];

	assert_int_equal(x->ops->open(x->store[0], name, STORE_CREATE | STORE_DIRECT, &f), 0);
	pattern(want, 4 * STORE_DIRECT_MIN, 1);
	memcpy(buf, want, 4 * STORE_DIRECT_MIN);
	io[0] = (struct store_io){.op = STORE_WRITE, .file = f, .iov = &iov[0], .nr_iov = 1};
	io[1] = (struct store_io){
		.op = STORE_WRITE, .file = f, .iov = &iov[1], .nr_iov = 2, .off = STORE_DIRECT_MIN};
	assert_int_equal(x->ops->run(x->ops, io, 2), 0);
	memset(buf, 0, 4 * STORE_DIRECT_MIN);
	io[0].op = io[1].op = STORE_READ;
	assert_int_equal(x->ops->run(x->ops, io, 2), 0);
	assert_memory_equal(buf, want, 4 * STORE_DIRECT_MIN);
	/* The other way round: written through the cache, read past it. */
	memset(buf, 0, 4 * STORE_DIRECT_MIN);
	assert_int_equal(transfer(x, STORE_READ, f, 0, buf, 4 * STORE_DIRECT_MIN), 0);
	assert_memory_equal(buf, want, 4 * STORE_DIRECT_MIN);
	/* The end of the file is where it is. */
	assert_int_equal(transfer(x, STORE_READ, f, STORE_DIRECT_MIN, buf, 4 * STORE_DIRECT_MIN),
			 -ENODATA);
	x->ops->close(f);
}

static void direct_and_cached_transfers_mix(void **state)
{
	struct fixture *x = case_begin(state);
	bool can = false;

	if (!x->disk) {
		int fd = openat(x->store[0]->dir_fd, ".", O_TMPFILE | O_RDWR | O_DIRECT, 0600);

		can = fd >= 0;
		if (fd >= 0)
			close(fd);
	}
	nr_direct = 0;
	check_direct(x, "a");
	assert_true((nr_direct > 0) == can);
	if (x->disk)
		return;
	/* A short transfer's rest need not be aligned. */
	shorten = true;
	check_direct(x, "b");
	shorten = false;
	/* A file system that takes the flag and refuses the transfer. */
	refuse_direct = true;
	check_direct(x, "c");
	refuse_direct = false;
}

static void cursor_follows_any_split(void **state)
{
	uint8_t buf[1000], got[1000];
	struct iovec iov[40];
	uint64_t rng = 1;

	(void)state;
	pattern(buf, sizeof(buf), 0);
	cut_iov(iov, 40, buf, sizeof(buf));
	for (unsigned round = 0; round < 200; round++) {
		struct store_file none = {.fd = -1, .direct_fd = -1};
		struct store_io io = {
			.op = STORE_READ, .file = &none, .iov = iov, .nr_iov = 40, .off = 77};
		struct ring_cursor c = ring_cursor_init(&io);
		size_t at = 0;
		int res = RING_PENDING;

		while (res == RING_PENDING) {
			/* Some bytes of the first iov, as one call would take them. */
			size_t n = 1 + crash_below(&rng, c.iov->iov_len - c.skip);

			assert_int_equal(c.off, 77 + at);
			memcpy(got + at, (uint8_t *)c.iov->iov_base + c.skip, n);
			at += n;
			res = ring_cursor_done(&c, &io, (ssize_t)n);
		}
		assert_int_equal(res, 0);
		assert_int_equal(at, sizeof(buf));
		assert_memory_equal(got, buf, sizeof(buf));
	}
}

static void read_past_end_is_no_data(void **state)
{
	struct fixture *x = case_begin(state);
	struct store_file *f = create(x, 0, "a");
	uint8_t buf[5000] = {1};

	assert_int_equal(transfer(x, STORE_WRITE, f, 0, buf, 4999), 0);
	assert_int_equal(transfer(x, STORE_READ, f, 0, buf, 4999), 0);
	assert_int_equal(transfer(x, STORE_READ, f, 0, buf, 5000), -ENODATA);
	assert_int_equal(transfer(x, STORE_READ, f, 4999, buf, 1), -ENODATA);
	assert_int_equal(transfer(x, STORE_READ, f, 1 << 30, buf, 1), -ENODATA);
	assert_int_equal(transfer(x, STORE_READ, f, 4999, buf, 0), 0);
	x->ops->close(f);
}

static void empty_batch_and_empty_transfer_are_done(void **state)
{
	struct fixture *x = case_begin(state);
	struct store_file *f = create(x, 0, "a");
	struct store_io io = {.op = STORE_WRITE, .file = f, .res = -1};
	uint64_t size;

	assert_int_equal(x->ops->run(x->ops, NULL, 0), 0);
	assert_int_equal(x->ops->run(x->ops, &io, 1), 0);
	assert_int_equal(io.res, 0);
	assert_int_equal(x->ops->size(f, &size), 0);
	assert_int_equal(size, 0);
	x->ops->close(f);
}

/* Five times what a ring has in flight, writes and then reads, each of its own place. */
static void batch_longer_than_the_depth_is_done(void **state)
{
	enum { NR = 320 };
	struct fixture *x = case_begin(state);
	struct store_file *f[NR_SHARDS];
	static struct store_io io[NR];
	static struct iovec iov[NR];
	static uint8_t buf[NR][3000];

	for (unsigned i = 0; i < NR_SHARDS; i++)
		f[i] = create(x, i, "a");
	for (unsigned i = 0; i < NR; i++) {
		pattern(buf[i], sizeof(buf[i]), i);
		iov[i] = (struct iovec){buf[i], sizeof(buf[i])};
		io[i] = (struct store_io){.op = STORE_WRITE,
					  .file = f[i % NR_SHARDS],
					  .iov = &iov[i],
					  .nr_iov = 1,
					  .off = i / NR_SHARDS * sizeof(buf[i])};
	}
	assert_int_equal(x->ops->run(x->ops, io, NR), 0);
	memset(buf, 0, sizeof(buf));
	for (unsigned i = 0; i < NR; i++) {
		io[i].op = STORE_READ;
		io[i].res = -1;
	}
	assert_int_equal(x->ops->run(x->ops, io, NR), 0);
	for (unsigned i = 0; i < NR; i++) {
		uint8_t want[sizeof(buf[0])];

		pattern(want, sizeof(want), i);
		assert_int_equal(io[i].res, 0);
		assert_memory_equal(buf[i], want, sizeof(want));
	}
	for (unsigned i = 0; i < NR_SHARDS; i++)
		x->ops->close(f[i]);
}

static void one_failure_leaves_the_rest_of_the_batch(void **state)
{
	struct fixture *x = case_begin(state);
	struct store_file *f = create(x, 0, "a");
	uint8_t buf[5][100];
	struct iovec iov[5];
	struct store_io io[5];

	memset(buf, 7, sizeof(buf));
	assert_int_equal(transfer(x, STORE_WRITE, f, 0, buf, 100), 0);
	memset(buf, 0, sizeof(buf));
	for (unsigned i = 0; i < 5; i++) {
		iov[i] = (struct iovec){buf[i], 100};
		io[i] = (struct store_io){.op = STORE_READ,
					  .file = f,
					  .iov = &iov[i],
					  .nr_iov = 1,
					  .off = i == 1 || i == 3 ? 1 : 0};
	}
	assert_int_equal(x->ops->run(x->ops, io, 5), -ENODATA);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(io[i].res, i == 1 || i == 3 ? -ENODATA : 0);
		if (i != 1 && i != 3)
			assert_int_equal(buf[i][99], 7);
	}
	x->ops->close(f);
}

/* A sync next to its write, others' writes between, a sync of two writes. */
static unsigned sync_batch(struct store_file *const *f, const struct iovec *iov,
			   struct store_io *io)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < NR_SHARDS; i++) {
		io[nr++] = (struct store_io){
			.op = STORE_WRITE, .file = f[i], .iov = iov, .nr_iov = 1, .off = 0};
		io[nr++] = (struct store_io){.op = STORE_SYNC, .file = f[i]};
	}
	return nr;
}

static unsigned sync_batch_apart(struct store_file *const *f, const struct iovec *iov,
				 struct store_io *io)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < 2 * NR_SHARDS; i++)
		io[nr++] = (struct store_io){.op = STORE_WRITE,
					     .file = f[i % NR_SHARDS],
					     .iov = iov,
					     .nr_iov = 1,
					     .off = (1 + i / NR_SHARDS) * SYNC_LEN};
	for (unsigned i = 0; i < NR_SHARDS; i++)
		io[nr++] = (struct store_io){.op = STORE_SYNC, .file = f[i]};
	return nr;
}

static void sync_waits_for_the_writes_before_it(void **state)
{
	struct fixture *x = case_begin(state);
	struct store_file *f[NR_SHARDS];
	struct store_io io[3 * NR_SHARDS];
	static uint8_t buf[SYNC_LEN];
	struct iovec iov = {buf, sizeof(buf)};
	char name[8];

	for (unsigned round = 0; round < 5; round++) {
		memset(buf, 5, sizeof(buf));
		snprintf(name, sizeof(name), "f%u", round);
		for (unsigned i = 0; i < NR_SHARDS; i++) {
			f[i] = create(x, i, name);
			assert_int_equal(x->ops->sync_dir(x->store[i], ""), 0);
		}
		nr_early = nr_syncs = 0;
		shorten = watch_syncs = !x->disk;
		assert_int_equal(x->ops->run(x->ops, io, sync_batch(f, &iov, io)), 0);
		assert_int_equal(x->ops->run(x->ops, io, sync_batch_apart(f, &iov, io)), 0);
		shorten = watch_syncs = false;
		assert_int_equal(nr_syncs, x->disk ? 0 : 2 * NR_SHARDS);
		assert_int_equal(nr_early, 0);
		/* On the disk in memory what was durable is seen in another way. */
		for (unsigned i = 0; i < NR_SHARDS; i++)
			x->ops->close(f[i]);
		for (unsigned i = 0; x->disk && i < NR_SHARDS; i++)
			x->ops->detach(x->store[i]);
		if (x->disk)
			crash_power_on(x->disk, round);
		for (unsigned i = 0; i < NR_SHARDS; i++) {
			if (x->disk)
				assert_int_equal(
					x->ops->attach(x->ops, x->path[i], false, &x->store[i]), 0);
			assert_int_equal(x->ops->open(x->store[i], name, STORE_RDONLY, &f[i]), 0);
			for (unsigned j = 0; j < 3; j++) {
				memset(buf, 0, sizeof(buf));
				assert_int_equal(
					transfer(x, STORE_READ, f[i], j * SYNC_LEN, buf, SYNC_LEN),
					0);
				assert_null(memchr(buf, 0, sizeof(buf)));
			}
			x->ops->close(f[i]);
		}
	}
}

/* A write that the kernel cuts short and then refuses is an error, not a smaller success. */
static void write_that_stops_half_way_fails(void **state)
{
	struct fixture *x = case_begin_dir(state);
	struct rlimit old, limit = {.rlim_cur = 10000, .rlim_max = RLIM_INFINITY};
	struct store_file *f = create(x, 0, "a");
	uint8_t buf[8192] = {0};
	uint64_t size;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(transfer(x, STORE_WRITE, f, 4096, buf, sizeof(buf)), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(x->ops->size(f, &size), 0);
	assert_int_equal(size, 10000);
	x->ops->close(f);
}

/* ---- names ---- */

static int count_entry(void *arg, const char *entry)
{
	unsigned *nr = arg;

	assert_int_not_equal(entry[0], '.');
	++*nr;
	return strcmp(entry, "stop") ? 0 : 42;
}

static void check_names(struct fixture *x)
{
	const struct store_ops *ops = x->ops;
	struct store *s = x->store[0];
	struct store_file *f = create(x, 0, "a");
	unsigned nr = 0;
	uint8_t byte = 1;

	assert_int_equal(ops->open(s, "a", STORE_CREATE, &f), -EEXIST);
	assert_int_equal(transfer(x, STORE_WRITE, f, 0, &byte, 1), 0);
	ops->close(f);
	assert_int_equal(ops->open(s, "b", 0, &f), -ENOENT);
	assert_int_equal(ops->open(s, "d/a", STORE_CREATE, &f), -ENOENT);
	assert_int_equal(ops->mkdir(s, "d"), 0);
	assert_int_equal(ops->mkdir(s, "d"), 0);
	assert_int_equal(ops->mkdir(s, "a"), -ENOTDIR);
	assert_int_equal(ops->open(s, "d", STORE_RDONLY, &f), -EISDIR);
	assert_int_equal(ops->open(s, "a/x", STORE_RDONLY, &f), -ENOTDIR);
	ops->close(create(x, 0, "d/old"));
	assert_int_equal(ops->rename(s, "a", "d/old"), 0);
	assert_int_equal(ops->rename(s, "a", "d/old"), -ENOENT);
	assert_int_equal(ops->mkdir(s, "e"), 0);
	assert_int_equal(ops->rename(s, "d/old", "e"), -EISDIR);
	assert_int_equal(ops->open(s, "d/old", STORE_RDONLY, &f), 0);
	byte = 0;
	assert_int_equal(transfer(x, STORE_READ, f, 0, &byte, 1), 0);
	assert_int_equal(byte, 1);
	/* Open files outlive their names. */
	assert_int_equal(ops->unlink(s, "d/old"), 0);
	assert_int_equal(ops->unlink(s, "d/old"), -ENOENT);
	assert_int_equal(ops->unlink(s, "d"), -EISDIR);
	assert_int_equal(transfer(x, STORE_READ, f, 0, &byte, 1), 0);
	ops->close(f);
	ops->close(create(x, 0, "d/1"));
	ops->close(create(x, 0, "d/2"));
	assert_int_equal(ops->list(s, "d", count_entry, &nr), 0);
	assert_int_equal(nr, 2);
	nr = 0;
	assert_int_equal(ops->list(s, "", count_entry, &nr), 0);
	assert_int_equal(nr, 2);
	ops->close(create(x, 0, "stop"));
	assert_int_equal(ops->list(s, "", count_entry, &nr), 42);
	assert_int_equal(ops->list(s, "none", count_entry, &nr), -ENOENT);
	assert_int_equal(ops->sync_dir(s, ""), 0);
	assert_int_equal(ops->sync_dir(s, "d"), 0);
	assert_int_equal(ops->sync_dir(s, "none"), -ENOENT);
	assert_int_equal(ops->sync_dir(s, "stop"), -ENOTDIR);
}

static void names_come_and_go(void **state)
{
	check_names(case_begin(state));
}

/* As on kernels before 5.6. */
static void names_come_and_go_without_openat2(void **state)
{
	struct fixture *x = case_begin_dir(state);

	x->store[0]->has_openat2 = false;
	check_names(x);
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
	static const char *const bad[] = {"",	 ".",	"..", "../a",  "/a",  "d/..",
					  "d/.", "./a", "d/", "d/e/f", "//a", "d//a"};
	struct fixture *x = case_begin(state);
	const struct store_ops *ops = x->ops;
	struct store *s = x->store[0];
	char longer[300] = {0};
	struct store_file *f;

	assert_int_equal(ops->mkdir(s, "d"), 0);
	ops->close(create(x, 0, "a"));
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(ops->open(s, bad[i], STORE_CREATE, &f), -EINVAL);
		assert_int_equal(ops->open(s, bad[i], STORE_RDONLY, &f), -EINVAL);
		assert_int_equal(ops->mkdir(s, bad[i]), -EINVAL);
		assert_int_equal(ops->unlink(s, bad[i]), -EINVAL);
		assert_int_equal(ops->rename(s, bad[i], "b"), -EINVAL);
		assert_int_equal(ops->rename(s, "a", bad[i]), -EINVAL);
	}
	memset(longer, 'x', NAME_MAX + 1);
	assert_int_equal(ops->open(s, longer, STORE_CREATE, &f), -EINVAL);
	longer[NAME_MAX] = '\0';
	ops->close(create(x, 0, longer));
}

/* Links planted in a shard lead nowhere, for files and for directories, wherever they lead. */
static void check_traps(struct fixture *x)
{
	const struct store_ops *ops = x->ops;
	struct store *s = x->store[0];
	struct store_file *f;
	unsigned nr = 0;

	assert_int_equal(ops->open(s, "file", 0, &f), -ELOOP);
	assert_int_equal(ops->open(s, "file", STORE_RDONLY, &f), -ELOOP);
	assert_int_equal(ops->open(s, "file", STORE_CREATE, &f), -EEXIST);
	assert_int_equal(ops->open(s, "dangling", STORE_CREATE, &f), -EEXIST);
	assert_int_equal(ops->open(s, "fifo", STORE_RDONLY, &f), -EINVAL);
	/* The walk says ENOTDIR of a link where it may not be followed and a directory is asked for. */
	assert_true(ops->open(s, "dir/secret", STORE_RDONLY, &f) < 0);
	assert_true(ops->open(s, "dir/new", STORE_CREATE, &f) < 0);
	assert_true(ops->open(s, "inner/a", STORE_RDONLY, &f) < 0);
	assert_true(ops->mkdir(s, "dir") < 0);
	assert_true(ops->mkdir(s, "dir/new") < 0);
	assert_true(ops->rename(s, "mine", "dir/mine") < 0);
	assert_true(ops->rename(s, "dir/secret", "stolen") < 0);
	assert_true(ops->unlink(s, "dir/secret") < 0);
	assert_true(ops->list(s, "dir", count_entry, &nr) < 0);
	assert_true(ops->sync_dir(s, "dir") < 0);
	assert_int_equal(nr, 0);
}

static void links_inside_a_shard_are_not_followed(void **state)
{
	struct fixture *x = case_begin_dir(state);
	struct stat st;
	char path[120], to[120];

	/* The outside is another shard's directory. */
	x->ops->close(create(x, 1, "secret"));
	x->ops->close(create(x, 0, "mine"));
	assert_int_equal(x->ops->mkdir(x->store[0], "real"), 0);
	x->ops->close(create(x, 0, "real/a"));
	snprintf(to, sizeof(to), "%s/secret", x->path[1]);
	snprintf(path, sizeof(path), "%s/file", x->path[0]);
	assert_int_equal(symlink(to, path), 0);
	snprintf(path, sizeof(path), "%s/dir", x->path[0]);
	assert_int_equal(symlink("../shard1", path), 0);
	snprintf(path, sizeof(path), "%s/inner", x->path[0]);
	assert_int_equal(symlink("real", path), 0);
	snprintf(to, sizeof(to), "%s/made", x->path[1]);
	snprintf(path, sizeof(path), "%s/dangling", x->path[0]);
	assert_int_equal(symlink(to, path), 0);
	snprintf(path, sizeof(path), "%s/fifo", x->path[0]);
	assert_int_equal(mkfifo(path, 0600), 0);

	check_traps(x);
	x->store[0]->has_openat2 = false;
	check_traps(x);

	snprintf(path, sizeof(path), "%s/secret", x->path[1]);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(stat(to, &st), -1);
	snprintf(path, sizeof(path), "%s/mine", x->path[1]);
	assert_int_equal(stat(path, &st), -1);
}

static void lock_file_that_is_a_link_is_refused(void **state)
{
	struct fixture *x = case_begin_dir(state);
	char path[120], other[8];

	x->ops->close(create(x, 1, "victim"));
	snprintf(path, sizeof(path), "%s/lock", x->path[0]);
	assert_int_equal(symlink("../shard1/victim", path), 0);
	assert_int_equal(x->ops->lock(x->store[0], true, "me", other, sizeof(other)), -ELOOP);
}

static void files_are_private(void **state)
{
	struct fixture *x = case_begin_dir(state);
	struct stat st;
	char path[120];

	assert_int_equal(x->ops->mkdir(x->store[0], "d"), 0);
	x->ops->close(create(x, 0, "d/a"));
	snprintf(path, sizeof(path), "%s/d", x->path[0]);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	snprintf(path, sizeof(path), "%s/d/a", x->path[0]);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

/* ---- space ---- */

static void holes_are_made_and_found(void **state)
{
	struct fixture *x = case_begin(state);
	const struct store_ops *ops = x->ops;
	struct store_file *f = create(x, 0, "a");
	static uint8_t buf[64 * KIB];
	uint64_t size, start, end;

	memset(buf, 1, sizeof(buf));
	assert_int_equal(ops->seek_data(f, 0, &start, &end), -ENXIO);
	assert_int_equal(transfer(x, STORE_WRITE, f, 0, buf, sizeof(buf)), 0);
	assert_int_equal(transfer(x, STORE_WRITE, f, 128 * KIB, buf, sizeof(buf)), 0);
	assert_int_equal(ops->punch(f, 0, 32 * KIB), 0);
	assert_int_equal(ops->size(f, &size), 0);
	assert_int_equal(size, 192 * KIB);
	assert_int_equal(transfer(x, STORE_READ, f, 0, buf, sizeof(buf)), 0);
	assert_int_equal(buf[0], 0);
	assert_int_equal(buf[32 * KIB - 1], 0);
	assert_int_equal(buf[32 * KIB], 1);
	assert_int_equal(ops->seek_data(f, 0, &start, &end), 0);
	assert_int_equal(start, 32 * KIB);
	assert_int_equal(end, 64 * KIB);
	assert_int_equal(ops->seek_data(f, 64 * KIB, &start, &end), 0);
	assert_int_equal(start, 128 * KIB);
	assert_int_equal(end, 192 * KIB);
	assert_int_equal(ops->seek_data(f, 130 * KIB, &start, &end), 0);
	assert_int_equal(start, 130 * KIB);
	assert_int_equal(ops->seek_data(f, 192 * KIB, &start, &end), -ENXIO);
	assert_int_equal(ops->truncate(f, 16 * KIB), 0);
	assert_int_equal(ops->seek_data(f, 0, &start, &end), -ENXIO);
	assert_int_equal(ops->truncate(f, 48 * KIB), 0);
	assert_int_equal(transfer(x, STORE_READ, f, 0, buf, 48 * KIB), 0);
	assert_int_equal(buf[40 * KIB], 0);
	x->ops->close(f);
}

static void allocation_keeps_the_size(void **state)
{
	struct fixture *x = case_begin(state);
	struct store_file *f = create(x, 0, "a");
	uint64_t size, start, end;
	uint8_t byte = 1;
	int err = x->ops->allocate(f, 0, MIB);

	/* Some file systems cannot; that they must say so. */
	if (err) {
		assert_int_equal(err, -EOPNOTSUPP);
	} else {
		assert_int_equal(x->ops->size(f, &size), 0);
		assert_int_equal(size, 0);
		assert_int_equal(transfer(x, STORE_WRITE, f, 512 * KIB, &byte, 1), 0);
		assert_int_equal(x->ops->seek_data(f, 0, &start, &end), 0);
		assert_int_equal(end, 512 * KIB + 1);
	}
	assert_int_equal(x->ops->allocate(f, UINT64_MAX, 2), -EFBIG);
	assert_int_equal(x->ops->punch(f, INT64_MAX, 2), -EFBIG);
	x->ops->close(f);
}

static void space_is_told(void **state)
{
	struct fixture *x = case_begin(state);
	struct store_space space[2];

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(x->ops->space(x->store[i], &space[i]), 0);
		assert_in_range(space[i].avail, 1, space[i].total);
	}
	/* Shards in one real file system share it; each in memory is its own. */
	assert_true((space[0].dev == space[1].dev) == !x->disk);
}

static void probe_finds_hole_punching_and_leaves_nothing(void **state)
{
	struct fixture *x = case_begin(state);
	unsigned nr = 0;

	assert_int_equal(x->ops->probe(x->store[0]), 0);
	assert_int_equal(x->ops->list(x->store[0], "", count_entry, &nr), 0);
	assert_int_equal(nr, 0);
}

/* ---- the directory as a whole ---- */

static void attach_says_what_is_wrong(void **state)
{
	struct fixture *x = case_begin_dir(state);
	char path[120];
	struct store *s;

	snprintf(path, sizeof(path), "%s/none", x->root);
	assert_int_equal(x->ops->attach(x->ops, path, false, &s), -ENOENT);
	x->ops->close(create(x, 0, "file"));
	snprintf(path, sizeof(path), "%s/file", x->path[0]);
	assert_int_equal(x->ops->attach(x->ops, path, false, &s), -ENOTDIR);
}

static void read_only_store_changes_nothing(void **state)
{
	struct fixture *x = case_begin(state);
	const struct store_ops *ops = x->ops;
	struct store_file *f = create(x, 0, "a");
	struct store *s;
	uint8_t byte = 1;
	char other[8];

	assert_int_equal(transfer(x, STORE_WRITE, f, 0, &byte, 1), 0);
	ops->close(f);
	assert_int_equal(ops->attach(ops, x->path[0], true, &s), 0);
	assert_int_equal(ops->mkdir(s, "d"), -EROFS);
	assert_int_equal(ops->unlink(s, "a"), -EROFS);
	assert_int_equal(ops->rename(s, "a", "b"), -EROFS);
	assert_int_equal(ops->sync_dir(s, ""), -EROFS);
	assert_int_equal(ops->probe(s), -EROFS);
	assert_int_equal(ops->open(s, "a", 0, &f), -EROFS);
	assert_int_equal(ops->open(s, "b", STORE_CREATE | STORE_RDONLY, &f), -EROFS);
	assert_int_equal(ops->lock(s, true, "me", other, sizeof(other)), -EROFS);
	assert_int_equal(ops->open(s, "a", STORE_RDONLY, &f), 0);
	assert_int_equal(transfer(x, STORE_READ, f, 0, &byte, 1), 0);
	assert_int_equal(transfer(x, STORE_WRITE, f, 0, &byte, 1), -EBADF);
	assert_int_equal(ops->truncate(f, 0), -EBADF);
	assert_int_equal(ops->punch(f, 0, 1), -EBADF);
	assert_int_equal(ops->allocate(f, 0, 1), -EBADF);
	ops->close(f);
	ops->detach(s);
}

static void alive_until_the_path_leads_elsewhere(void **state)
{
	struct fixture *x = case_begin_dir(state);
	struct store_file *f = create(x, 0, "a");
	char path[120];
	uint8_t byte = 1;

	assert_int_equal(x->ops->alive(x->store[0]), 0);
	snprintf(path, sizeof(path), "%s/moved", x->root);
	assert_int_equal(rename(x->path[0], path), 0);
	assert_int_equal(x->ops->alive(x->store[0]), -ENODEV);
	/* Another directory of that name is not ours either. */
	assert_int_equal(mkdir(x->path[0], 0700), 0);
	assert_int_equal(x->ops->alive(x->store[0]), -ENODEV);
	/* What is open goes on to work: I/O under way need not fail. */
	assert_int_equal(transfer(x, STORE_WRITE, f, 0, &byte, 1), 0);
	assert_int_equal(rmdir(x->path[0]), 0);
	assert_int_equal(rename(path, x->path[0]), 0);
	assert_int_equal(x->ops->alive(x->store[0]), 0);
	x->ops->close(f);
}

/* ---- locks ---- */

static void second_lock_is_refused_with_the_owner(void **state)
{
	struct fixture *x = case_begin(state);
	const struct store_ops *ops = x->ops;
	char other[64] = "";
	struct store *s, *reader;

	assert_int_equal(ops->lock(x->store[0], true, "host 1 now", other, sizeof(other)), 0);
	assert_int_equal(ops->attach(ops, x->path[0], false, &s), 0);
	assert_int_equal(ops->lock(s, true, "host 2 later", other, sizeof(other)), -EBUSY);
	assert_string_equal(other, "host 1 now");
	assert_int_equal(ops->lock(s, true, "host 2 later", other, 5), -EBUSY);
	assert_string_equal(other, "host");
	assert_int_equal(ops->attach(ops, x->path[0], true, &reader), 0);
	assert_int_equal(ops->lock(reader, false, "", other, sizeof(other)), -EBUSY);
	assert_string_equal(other, "host 1 now");
	/* It goes with the one who holds it. */
	ops->detach(x->store[0]);
	assert_int_equal(ops->lock(s, true, "host 2 later", other, sizeof(other)), 0);
	x->store[0] = s;
	ops->detach(reader);
}

static void readers_share_a_lock(void **state)
{
	struct fixture *x = case_begin(state);
	const struct store_ops *ops = x->ops;
	struct store *reader[2], *s;
	char other[64] = "";

	assert_int_equal(ops->attach(ops, x->path[0], true, &reader[0]), 0);
	assert_int_equal(ops->attach(ops, x->path[0], true, &reader[1]), 0);
	/* Where nobody wrote there is nothing to lock, nor may it be made. */
	assert_int_equal(ops->lock(reader[0], false, "r", other, sizeof(other)), 0);
	ops->detach(reader[0]);
	assert_int_equal(ops->attach(ops, x->path[0], false, &s), 0);
	assert_int_equal(ops->lock(s, true, "w", other, sizeof(other)), 0);
	ops->detach(s);
	assert_int_equal(ops->attach(ops, x->path[0], true, &reader[0]), 0);
	assert_int_equal(ops->lock(reader[0], false, "r", other, sizeof(other)), 0);
	assert_int_equal(ops->lock(reader[1], false, "r", other, sizeof(other)), 0);
	assert_int_equal(ops->lock(x->store[0], true, "w", other, sizeof(other)), -EBUSY);
	assert_string_equal(other, "a read-only mount");
	ops->detach(reader[0]);
	ops->detach(reader[1]);
	assert_int_equal(ops->lock(x->store[0], true, "w", other, sizeof(other)), 0);
}

/* Takes the lock in a process of its own, says so through @fd, and stays until it is killed. */
static void hold_lock(struct fixture *x, int fd)
{
	char other[8], ok = 'y';
	struct store *s;

	if (x->ops->attach(x->ops, x->path[0], false, &s) ||
	    x->ops->lock(s, true, "elsewhere 99\nnot this", other, sizeof(other)))
		ok = 'n';
	if (write(fd, &ok, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void lock_of_another_process_lasts_as_long_as_it(void **state)
{
	struct fixture *x = case_begin_dir(state);
	char other[64] = "", ok;
	int fd[2], status;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		hold_lock(x, fd[1]);
	assert_int_equal(read(fd[0], &ok, 1), 1);
	assert_int_equal(ok, 'y');
	assert_int_equal(x->ops->lock(x->store[0], true, "me", other, sizeof(other)), -EBUSY);
	assert_string_equal(other, "elsewhere 99");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(x->ops->lock(x->store[0], true, "me", other, sizeof(other)), 0);
	assert_int_equal(x->ops->lock(x->store[0], true, "me", other, sizeof(other)), -EALREADY);
	close(fd[0]);
	close(fd[1]);
}

/* ---- threads ---- */

struct worker {
	struct fixture *x;
	unsigned idx;
	struct store_file **shared;
	pthread_t thread;
	int err;
};

/* Batches over files of its own on each shard, and a place of its own in the shared ones. */
static void *work(void *arg)
{
	struct worker *w = arg;
	const struct store_ops *ops = w->x->ops;
	struct store_file *own[NR_SHARDS];
	uint8_t buf[2 * NR_SHARDS][1000], want[1000];
	struct store_io io[3 * NR_SHARDS];
	struct iovec iov[2 * NR_SHARDS];
	char name[8];

	snprintf(name, sizeof(name), "w%u", w->idx);
	for (unsigned i = 0; i < NR_SHARDS; i++)
		w->err |= ops->open(w->x->store[i], name, STORE_CREATE, &own[i]);
	for (unsigned round = 0; round < 60 && !w->err; round++) {
		for (unsigned i = 0; i < 2 * NR_SHARDS; i++) {
			bool mine = i < NR_SHARDS;

			pattern(buf[i], sizeof(buf[i]), w->idx * 100 + round + i);
			iov[i] = (struct iovec){buf[i], sizeof(buf[i])};
			io[i] = (struct store_io){.op = STORE_WRITE,
						  .file = mine ? own[i] : w->shared[i - NR_SHARDS],
						  .iov = &iov[i],
						  .nr_iov = 1,
						  .off = mine ? round * sizeof(buf[i])
							      : w->idx * sizeof(buf[i])};
		}
		for (unsigned i = 0; i < NR_SHARDS; i++)
			io[2 * NR_SHARDS + i] = (struct store_io){.op = STORE_SYNC, .file = own[i]};
		w->err |= ops->run(ops, io, round % 20 ? 2 * NR_SHARDS : 3 * NR_SHARDS);
		memset(buf, 0, sizeof(buf));
		for (unsigned i = 0; i < 2 * NR_SHARDS; i++)
			io[i].op = STORE_READ;
		w->err |= ops->run(ops, io, 2 * NR_SHARDS);
		for (unsigned i = 0; i < 2 * NR_SHARDS && !w->err; i++) {
			pattern(want, sizeof(want), w->idx * 100 + round + i);
			w->err = memcmp(buf[i], want, sizeof(want));
		}
	}
	for (unsigned i = 0; i < NR_SHARDS; i++)
		ops->close(own[i]);
	return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
	struct fixture *x = case_begin(state);
	struct store_file *shared[NR_SHARDS];
	struct worker w[8] = {0};

	for (unsigned i = 0; i < NR_SHARDS; i++)
		shared[i] = create(x, i, "shared");
	for (unsigned i = 0; i < ARRAY_LEN(w); i++) {
		w[i] = (struct worker){.x = x, .idx = i, .shared = shared};
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < ARRAY_LEN(w); i++) {
		pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].err, 0);
	}
	for (unsigned i = 0; i < NR_SHARDS; i++)
		x->ops->close(shared[i]);
}

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned nr = 0;

	assert_non_null(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

/* Rings and threads end with the last store, and come again with the next. */
static void engine_starts_again_after_the_last_detach(void **state)
{
	struct fixture *x = case_begin(state);
	unsigned nr_fds;

	for (unsigned i = 0; i < NR_SHARDS; i++)
		x->ops->detach(x->store[i]);
	nr_fds = count_fds();
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < NR_SHARDS; i++)
			assert_int_equal(x->ops->attach(x->ops, x->path[i], false, &x->store[i]),
					 0);
		check_round_trip(x, 2, 10000);
		for (unsigned i = 0; i < NR_SHARDS; i++)
			x->ops->detach(x->store[i]);
		assert_int_equal(count_fds(), nr_fds);
	}
	memset(x->store, 0, sizeof(x->store));
}

static void *round_trip(void *arg)
{
	check_round_trip(arg, 2, 10000);
	return NULL;
}

/* No descriptor is left for a ring: the batch is done all the same. */
static void thread_without_a_ring_is_served(void **state)
{
	struct fixture *x = case_begin_dir(state);
	struct rlimit old, limit;
	struct store_file *f = create(x, 0, "a");
	uint8_t buf[100] = {1};
	struct iovec iov[2] = {{buf, 50}, {buf + 50, 50}};
	struct store_io io[2] = {
		{.op = STORE_WRITE, .file = f, .iov = &iov[0], .nr_iov = 1, .off = 0},
		{.op = STORE_WRITE, .file = f, .iov = &iov[1], .nr_iov = 1, .off = 50}};
	int last;

	/* This thread has no ring yet: each case starts with no store attached. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	last = dup(0);
	assert_true(last > 0);
	close(last);
	limit = old;
	limit.rlim_cur = (rlim_t)last;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(x->ops->run(x->ops, io, 2), 0);
	buf[0] = 0;
	io[0].op = io[1].op = STORE_READ;
	assert_int_equal(x->ops->run(x->ops, io, 2), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(buf[0], 1);
	x->ops->close(f);
}

/* A thread's ring goes with the thread. */
static void threads_leave_nothing_behind(void **state)
{
	struct fixture *x = case_begin(state);
	unsigned nr_fds = count_fds();
	pthread_t thread;

	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(pthread_create(&thread, NULL, round_trip, x), 0);
		pthread_join(thread, NULL);
	}
	assert_int_equal(count_fds(), nr_fds);
}

#define CASE(f, engine)                                                                            \
	cmocka_unit_test_prestate_setup_teardown(f, setup, teardown, (void *)(uintptr_t)(engine))
#define CASES(engine)                                                                              \
	CASE(batch_goes_to_several_stores, engine),                                                \
		CASE(iovs_beyond_the_kernel_limit_are_done, engine),                               \
		CASE(short_transfers_are_completed, engine),                                       \
		CASE(direct_and_cached_transfers_mix, engine),                                     \
		CASE(cursor_follows_any_split, engine), CASE(read_past_end_is_no_data, engine),    \
		CASE(empty_batch_and_empty_transfer_are_done, engine),                             \
		CASE(batch_longer_than_the_depth_is_done, engine),                                 \
		CASE(one_failure_leaves_the_rest_of_the_batch, engine),                            \
		CASE(sync_waits_for_the_writes_before_it, engine),                                 \
		CASE(write_that_stops_half_way_fails, engine), CASE(names_come_and_go, engine),    \
		CASE(names_come_and_go_without_openat2, engine),                                   \
		CASE(names_that_lead_elsewhere_are_refused, engine),                               \
		CASE(links_inside_a_shard_are_not_followed, engine),                               \
		CASE(lock_file_that_is_a_link_is_refused, engine),                                 \
		CASE(files_are_private, engine), CASE(holes_are_made_and_found, engine),           \
		CASE(allocation_keeps_the_size, engine), CASE(space_is_told, engine),              \
		CASE(probe_finds_hole_punching_and_leaves_nothing, engine),                        \
		CASE(attach_says_what_is_wrong, engine),                                           \
		CASE(read_only_store_changes_nothing, engine),                                     \
		CASE(alive_until_the_path_leads_elsewhere, engine),                                \
		CASE(second_lock_is_refused_with_the_owner, engine),                               \
		CASE(readers_share_a_lock, engine),                                                \
		CASE(lock_of_another_process_lasts_as_long_as_it, engine),                         \
		CASE(threads_do_not_disturb_each_other, engine),                                   \
		CASE(engine_starts_again_after_the_last_detach, engine),                           \
		CASE(thread_without_a_ring_is_served, engine),                                     \
		CASE(threads_leave_nothing_behind, engine)

int main(void)
{
	const struct CMUnitTest sync[] = {CASES(ENGINE_SYNC)};
	const struct CMUnitTest uring[] = {CASES(ENGINE_URING)};
	const struct CMUnitTest crash[] = {CASES(ENGINE_CRASH)};
	int nr_failed;

	nr_failed = cmocka_run_group_tests_name("sync", sync, NULL, NULL);
	nr_failed += cmocka_run_group_tests_name("uring", uring, NULL, NULL);
	nr_failed += cmocka_run_group_tests_name("crash", crash, NULL, NULL);
	return nr_failed;
}
