/* Transfers through io_uring: a batch goes to the kernel in one call, which returns when all of it is done.
 *
 * Each thread has a ring of its own, made when it first runs a batch: rings then need no lock, and the kernel may
 * leave completions to the thread that waits for them (DEFER_TASKRUN). A ring is closed when its thread ends, or with
 * the last store, whichever is first; the list of all rings is there for the latter.
 *
 * Bound: at most RING_DEPTH transfers of a thread are in flight. A longer batch goes in pieces, the next part when half
 * of what is in flight is done. A thread that gets no ring (descriptors or locked memory used up) is served by
 * ring_sync.c.
 *
 * Neither files nor buffers are registered. Files: no difference was found (4 reads of 4 or 256 KiB a batch, 0.88 to
 * 0.96 CPU seconds a GB and 0.12 to 0.14, either way), and a ring's table would keep deleted segments open, and their
 * space taken, until its thread comes by again. Buffers: none for transfers through the page cache; for direct ones
 * 0.01 to 0.04 CPU seconds a GB of some 0.07, which is little beside checksums and encoding, for memory locked for good
 * in every thread where users may lock 8 MiB. */
#include "raid/ring.h"

#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "conf/base.h"
#include "conf/lock.h"
#include "conf/log.h"

#define RING_DEPTH 64

/* A ring of one thread, in memory that is the thread's. */
struct ring {
	struct io_uring uring;
	bool open;	   /* guarded by the engine's lock, but for its own thread's looking */
	struct ring *link; /* guarded by the engine's lock */
};

/* One per process, since the table of functions is. */
static struct ring_engine {
	struct lock lock; /* guards the list and nr_stores */
	struct ring *rings;
	unsigned nr_stores;
	pthread_once_t once;
	pthread_key_t key; /* each thread's ring */
	bool has_key;
} ring_engine = {.lock = LOCK_STATIC("lock"), .once = PTHREAD_ONCE_INIT};

/* A transfer in flight. */
struct ring_slot {
	struct store_io *io;
	struct ring_cursor cursor;
	unsigned tries;
};

/* A batch under way. */
struct ring_run {
	struct io_uring *uring;
	struct store_io *io;
	unsigned nr;
	unsigned next;	    /* the first that was not started */
	unsigned nr_flight; /* started, not done */
	bool mixed;	    /* has syncs that may have to wait for other I/O */
	unsigned nr_free;
	uint8_t free[RING_DEPTH]; /* slots */
	struct ring_slot slot[RING_DEPTH];
};

/* ---- rings ---- */

/* Newest first: who may submit and where completions run (6.1), cheaper completions (5.19), anything. */
static const unsigned ring_setup_flags[] = {
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
	IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
	0,
};

static int ring_open(struct io_uring *uring)
{
	/* Buffered writes and syncs sleep in the kernel's workers, of which it would have 4 a CPU: fewer than a
	 * volume can have shards. The other kind (sockets, pipes) is not used: unchanged. */
	unsigned workers[2] = {RING_DEPTH, 0};
	int err = -EINVAL;

	for (size_t i = 0; i < ARRAY_LEN(ring_setup_flags) && err == -EINVAL; i++)
		err = io_uring_queue_init(RING_DEPTH, uring, ring_setup_flags[i]);
	if (!err)
		io_uring_register_iowq_max_workers(uring, workers); /* not before 5.15 */
	return err;
}

static void ring_close_locked(struct ring_engine *e, struct ring *r) REQUIRES(e->lock)
{
	struct ring **at = &e->rings;

	if (!r->open)
		return;
	while (*at != r)
		at = &(*at)->link;
	*at = r->link;
	io_uring_queue_exit(&r->uring);
	r->open = false;
}

static void ring_thread_end(void *arg)
{
	struct ring_engine *e = &ring_engine;
	struct ring *r = arg;

	lock_take(&e->lock);
	ring_close_locked(e, r);
	lock_release(&e->lock);
	free(r);
}

static void ring_key_new(void)
{
	ring_engine.has_key = pthread_key_create(&ring_engine.key, ring_thread_end) == 0;
}

/* The calling thread's ring, or NULL when it can have none. */
static struct io_uring *ring_of_thread(struct ring_engine *e)
{
	struct ring *r;
	int err;

	pthread_once(&e->once, ring_key_new);
	if (!e->has_key)
		return NULL;
	r = pthread_getspecific(e->key);
	if (r && r->open)
		return &r->uring;
	if (!r) {
		r = calloc(1, sizeof(*r));
		if (!r)
			return NULL;
		if (pthread_setspecific(e->key, r)) {
			free(r);
			return NULL;
		}
	}
	err = ring_open(&r->uring);
	if (err) {
		log_debug("no ring for this thread: %s", strerror(-err));
		return NULL;
	}
	lock_take(&e->lock);
	r->open = true;
	r->link = e->rings;
	e->rings = r;
	lock_release(&e->lock);
	return &r->uring;
}

/* ---- a batch ---- */

static void ring_prep(struct ring_run *run, unsigned slot_idx)
{
	struct ring_slot *slot = &run->slot[slot_idx];
	const struct ring_cursor *c = &slot->cursor;
	struct io_uring_sqe *sqe = io_uring_get_sqe(run->uring);
	unsigned nr = MIN(c->nr_iov, (unsigned)IOV_MAX);
	bool read = slot->io->op == STORE_READ;
	int fd = ring_cursor_fd(c, slot->io->file);

	/* The queue has room for all slots. */
	assert(sqe);
	if (slot->io->op == STORE_SYNC) {
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	} else if (nr == 1 || c->skip) {
		/* Also the rest of an iov, alone: the caller's array is not ours to change. */
		uint8_t *at = (uint8_t *)c->iov->iov_base + c->skip;
		unsigned len = (unsigned)MIN(c->iov->iov_len - c->skip, (size_t)INT_MAX);

		if (read)
			io_uring_prep_read(sqe, fd, at, len, c->off);
		else
			io_uring_prep_write(sqe, fd, at, len, c->off);
	} else if (read) {
		io_uring_prep_readv(sqe, fd, c->iov, nr, c->off);
	} else {
		io_uring_prep_writev(sqe, fd, c->iov, nr, c->off);
	}
	io_uring_sqe_set_data64(sqe, slot_idx);
}

/* Start what there is room for, in order; stop at a sync that has to wait. Linking a sync to its write in the kernel
 * instead was no faster than this second turn (4 shards on ext4, 4 KiB and a sync each: 140 to 160 us of CPU a batch,
 * 0.4 to 1.1 ms in all, both ways), and a short write breaks the link. */
static void ring_fill(struct ring_run *run)
{
	while (run->next < run->nr && run->nr_free > 0) {
		struct store_io *io = &run->io[run->next];
		struct ring_slot *slot;

		if (io->op == STORE_SYNC && run->mixed && ring_sync_must_wait(run->io, run->next))
			break;
		run->next++;
		slot = &run->slot[run->free[run->nr_free - 1]];
		*slot = (struct ring_slot){.io = io};
		if (io->op != STORE_SYNC) {
			slot->cursor = ring_cursor_init(io);
			if (slot->cursor.left == 0) {
				io->res = 0;
				continue;
			}
		}
		ring_prep(run, run->free[--run->nr_free]);
		run->nr_flight++;
	}
}

static void ring_complete(struct ring_run *run, unsigned slot_idx, int n)
{
	struct ring_slot *slot = &run->slot[slot_idx];
	int res;

	if (n == -EINTR || (n == -EAGAIN && ++slot->tries < RING_TRIES))
		res = RING_PENDING;
	else if (slot->io->op == STORE_SYNC)
		res = n;
	else
		res = ring_cursor_done(&slot->cursor, slot->io, n);
	if (res == RING_PENDING) {
		ring_prep(run, slot_idx);
		return;
	}
	slot->io->res = res;
	run->free[run->nr_free++] = (uint8_t)slot_idx;
	run->nr_flight--;
}

/* Submit what was prepared, wait for @wait completions, take all there are. */
static void ring_turn(struct ring_run *run, unsigned wait)
{
	struct io_uring_cqe *cqe[RING_DEPTH];
	unsigned nr;
	int err = io_uring_submit_and_wait(run->uring, wait);

	if (err == -EAGAIN || err == -EBUSY)
		sched_yield(); /* the kernel is short of memory; nothing is lost, it is asked again */
	else
		assert(err >= 0 || err == -EINTR);
	nr = io_uring_peek_batch_cqe(run->uring, cqe, RING_DEPTH);
	for (unsigned i = 0; i < nr; i++)
		ring_complete(run, (unsigned)io_uring_cqe_get_data64(cqe[i]), cqe[i]->res);
	io_uring_cq_advance(run->uring, nr);
}

static bool ring_is_mixed(const struct store_io *io, unsigned nr)
{
	bool has_sync = false, has_other = false;

	for (unsigned i = 0; i < nr; i++) {
		has_sync |= io[i].op == STORE_SYNC;
		has_other |= io[i].op != STORE_SYNC;
	}
	return has_sync && has_other;
}

static int ring_uring_run(const struct store_ops *ops, struct store_io *io, unsigned nr)
{
	struct ring_run run = {.io = io, .nr = nr};

	/* A single transfer has nothing to be parallel to, and a ring would only hand it to a worker of the kernel:
	 * 4 KiB on tmpfs took 17 us that way, 3 us as a plain call (CPU 6.7 and 1.3 us). */
	if (nr > 1)
		run.uring = ring_of_thread(&ring_engine);
	if (!run.uring)
		return ring_sync_run(ops, io, nr);
	run.mixed = ring_is_mixed(io, nr);
	run.nr_free = RING_DEPTH;
	for (unsigned i = 0; i < RING_DEPTH; i++)
		run.free[i] = (uint8_t)i;
	for (unsigned i = 0; i < nr; i++)
		io[i].res = RING_PENDING;
	ring_fill(&run);
	while (run.nr_flight > 0) {
		/* A sync that waits for one of these is started as soon as may be. */
		if (run.next == nr)
			ring_turn(&run, run.nr_flight);
		else
			ring_turn(&run, run.nr_free ? 1 : run.nr_flight / 2);
		ring_fill(&run);
	}
	return ring_result(io, nr);
}

/* ---- the table ---- */

static int ring_uring_attach(const struct store_ops *ops, const char *path, bool rdonly,
			     struct store **out)
{
	struct ring_engine *e = &ring_engine;
	int err = store_dir_attach(path, rdonly, out);

	(void)ops;
	if (err)
		return err;
	ring_sync_get();
	lock_take(&e->lock);
	e->nr_stores++;
	lock_release(&e->lock);
	return 0;
}

static void ring_uring_detach(struct store *s)
{
	struct ring_engine *e = &ring_engine;

	store_dir_detach(s);
	lock_take(&e->lock);
	assert(e->nr_stores > 0);
	e->nr_stores--;
	while (e->nr_stores == 0 && e->rings)
		ring_close_locked(e, e->rings);
	lock_release(&e->lock);
	ring_sync_put();
}

static const struct store_ops ring_uring_ops = {
	.name = "uring",
	.attach = ring_uring_attach,
	.detach = ring_uring_detach,
	.run = ring_uring_run,
	STORE_DIR_OPS,
};

int store_uring(const struct store_ops **out)
{
	struct io_uring_probe *probe;
	struct io_uring uring;
	bool has_all;
	int err = ring_open(&uring);

	if (err)
		return err;
	probe = io_uring_get_probe_ring(&uring);
	/* The youngest of the operations used, 5.6. */
	has_all = probe && io_uring_opcode_supported(probe, IORING_OP_WRITE);
	io_uring_free_probe(probe);
	io_uring_queue_exit(&uring);
	if (!has_all)
		return -ENOSYS;
	*out = &ring_uring_ops;
	return 0;
}
