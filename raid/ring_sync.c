/* Transfers by blocking calls, where io_uring is forbidden: a batch is worked off by its caller and a small pool of
 * threads, so that n disks work at once.
 *
 * The pool is one per process, since the table of functions is. Its threads start when a batch first has use for
 * them, and end with the last store. Jobs are claimed in the order of the batch; a sync that must wait therefore waits
 * only for jobs that a thread already has in hand, and the pool cannot lock up however few threads it has. */
#include "raid/ring.h"

#include <pthread.h>
#include <signal.h>

#include "conf/base.h"
#include "conf/lock.h"

/* Two batches of the widest stripe at once; beyond that, batches share the threads. */
#define RING_SYNC_THREADS 32

struct ring_batch {
	struct store_io *io; /* the res of each is guarded by the pool's lock */
	unsigned nr;
	unsigned next; /* the first that nobody has claimed */
	unsigned nr_done;
	struct ring_batch *link; /* the next in the queue */
	struct cond progress;	 /* something of it was done */
};

static struct ring_pool {
	/* Guards nr_stores, and the end of the threads; held while they are joined. Taken before lock. */
	struct lock life;
	unsigned nr_stores;

	struct lock lock;		 /* guards what follows, and the batches */
	struct cond work;		 /* there is something to claim, or stop */
	struct ring_batch *head, **tail; /* batches with something to claim */
	pthread_t thread[RING_SYNC_THREADS];
	unsigned nr_threads;
	unsigned nr_busy;    /* threads with a job in hand */
	unsigned nr_waiting; /* I/Os that nobody has claimed */
	bool stop;
} ring_pool = {
	.life = LOCK_STATIC("life"),
	.lock = LOCK_STATIC("lock"),
	.work = {PTHREAD_COND_INITIALIZER},
	.tail = &ring_pool.head,
};

static ssize_t ring_sync_call(const struct store_io *io, const struct ring_cursor *c)
{
	int fd = ring_cursor_fd(c, io->file), nr = (int)MIN(c->nr_iov, (unsigned)IOV_MAX);
	bool read = io->op == STORE_READ;
	off_t off = (off_t)c->off;
	uint8_t *at;
	size_t len;

	if (!c->skip)
		return read ? preadv(fd, c->iov, nr, off) : pwritev(fd, c->iov, nr, off);
	/* The rest of an iov, alone: the caller's array is not ours to change. */
	at = (uint8_t *)c->iov->iov_base + c->skip;
	len = c->iov->iov_len - c->skip;
	return read ? pread(fd, at, len, off) : pwrite(fd, at, len, off);
}

static int ring_sync_transfer(const struct store_io *io)
{
	struct ring_cursor c = ring_cursor_init(io);
	unsigned tries = 0;
	int res = c.left > 0 ? RING_PENDING : 0;

	while (res == RING_PENDING) {
		ssize_t n = ring_sync_call(io, &c);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && ++tries < RING_TRIES)
			continue;
		res = ring_cursor_done(&c, io, n < 0 ? -errno : n);
	}
	return res;
}

static int ring_sync_one(const struct store_io *io)
{
	if (io->op != STORE_SYNC)
		return ring_sync_transfer(io);
	while (fdatasync(io->file->fd) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* How many I/Os from io[@idx] on are one job: a write and the sync that follows it on the same file go together, a
 * second thread could only wait. */
static unsigned ring_job_len(const struct ring_batch *b, unsigned idx)
{
	const struct store_io *io = &b->io[idx];

	return idx + 1 < b->nr && io[0].op == STORE_WRITE && io[1].op == STORE_SYNC &&
			       io[0].file == io[1].file
		       ? 2
		       : 1;
}

/* Leave the queue: everything is claimed. */
static void ring_batch_leave(struct ring_pool *p, struct ring_batch *b) REQUIRES(p->lock)
{
	struct ring_batch **at = &p->head;

	while (*at != b)
		at = &(*at)->link;
	*at = b->link;
	if (p->tail == &b->link)
		p->tail = at;
}

/* Take @b's next job and do it. The lock is not held meanwhile. */
static void ring_job(struct ring_pool *p, struct ring_batch *b) REQUIRES(p->lock)
{
	unsigned idx = b->next, nr = ring_job_len(b, idx);

	b->next += nr;
	p->nr_waiting -= nr;
	if (b->next == b->nr)
		ring_batch_leave(p, b);
	for (unsigned i = idx; i < idx + nr; i++) {
		struct store_io *io = &b->io[i];
		int res;

		while (io->op == STORE_SYNC && ring_sync_must_wait(b->io, i))
			cond_wait(&b->progress, &p->lock);
		lock_release(&p->lock);
		res = ring_sync_one(io);
		lock_take(&p->lock);
		io->res = res;
		b->nr_done++;
		/* The caller's frame, and @b with it, is gone once it sees all done: nothing may follow the last. */
		cond_broadcast(&b->progress);
	}
}

static void *ring_worker(void *arg)
{
	struct ring_pool *p = arg;

	lock_take(&p->lock);
	while (!p->stop) {
		if (!p->head) {
			cond_wait(&p->work, &p->lock);
			continue;
		}
		p->nr_busy++;
		ring_job(p, p->head);
		p->nr_busy--;
	}
	lock_release(&p->lock);
	return NULL;
}

/* Have a thread come for each I/O that waits, but for the one that the caller itself will do. Where no thread can be
 * started the callers do all of it. */
static void ring_pool_wake(struct ring_pool *p) REQUIRES(p->lock)
{
	unsigned want = MIN(p->nr_waiting - 1 + p->nr_busy, (unsigned)RING_SYNC_THREADS);
	sigset_t all, old;

	cond_broadcast(&p->work);
	if (p->nr_threads >= want)
		return;
	/* Signals are for the threads that wait for them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->nr_threads < want &&
	       !pthread_create(&p->thread[p->nr_threads], NULL, ring_worker, p))
		p->nr_threads++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void ring_sync_parallel(struct ring_pool *p, struct store_io *io, unsigned nr)
{
	struct ring_batch b = {.io = io, .nr = nr};

	cond_init(&b.progress);
	for (unsigned i = 0; i < nr; i++)
		io[i].res = RING_PENDING;
	lock_take(&p->lock);
	*p->tail = &b;
	p->tail = &b.link;
	p->nr_waiting += nr;
	ring_pool_wake(p);
	while (b.next < nr)
		ring_job(p, &b);
	while (b.nr_done < nr)
		cond_wait(&b.progress, &p->lock);
	lock_release(&p->lock);
	cond_fini(&b.progress);
}

int ring_sync_run(const struct store_ops *ops, struct store_io *io, unsigned nr)
{
	(void)ops;
	if (nr == 1)
		io->res = ring_sync_one(io);
	else if (nr > 1)
		ring_sync_parallel(&ring_pool, io, nr);
	return ring_result(io, nr);
}

void ring_sync_get(void)
{
	struct ring_pool *p = &ring_pool;

	lock_take(&p->life);
	p->nr_stores++;
	lock_release(&p->life);
}

void ring_sync_put(void)
{
	struct ring_pool *p = &ring_pool;

	lock_take(&p->life);
	assert(p->nr_stores > 0);
	if (--p->nr_stores == 0) {
		lock_take(&p->lock);
		p->stop = true;
		cond_broadcast(&p->work);
		lock_release(&p->lock);
		for (unsigned i = 0; i < p->nr_threads; i++)
			pthread_join(p->thread[i], NULL);
		p->nr_threads = 0;
		p->stop = false;
	}
	lock_release(&p->life);
}

static int ring_sync_attach(const struct store_ops *ops, const char *path, bool rdonly,
			    struct store **out)
{
	int err = store_dir_attach(path, rdonly, out);

	(void)ops;
	if (!err)
		ring_sync_get();
	return err;
}

static void ring_sync_detach(struct store *s)
{
	store_dir_detach(s);
	ring_sync_put();
}

static const struct store_ops ring_sync_ops = {
	.name = "sync",
	.attach = ring_sync_attach,
	.detach = ring_sync_detach,
	.run = ring_sync_run,
	STORE_DIR_OPS,
};

const struct store_ops *store_sync(void)
{
	return &ring_sync_ops;
}
