/* What the two ways of transferring a batch share: io_uring (ring_uring.c) and blocking calls (ring_sync.c).
 *
 * A batch's order: a STORE_SYNC covers the writes to its file that stand before it in the batch; nothing else is
 * ordered. An I/O's res is RING_PENDING until it is done, which is how a sync knows what to wait for. */
#ifndef RAID_RING_H
#define RAID_RING_H

#include <assert.h>
#include <errno.h>
#include <limits.h>

#include "conf/base.h"
#include "raid/store_dir.h"

#define RING_PENDING 1 /* no result is positive */

/* How often a transfer that answers EAGAIN is tried again before that is its result. */
#define RING_TRIES 100

/* Do a batch by blocking calls, in parallel over a pool of threads when it has more than one. */
int ring_sync_run(const struct store_ops *ops, struct store_io *io, unsigned nr);

/* One more, one fewer store that may call ring_sync_run(); the pool ends with the last. */
void ring_sync_get(void);
void ring_sync_put(void);

/* What is left of one transfer. */
struct ring_cursor {
	const struct iovec *iov;
	unsigned nr_iov;
	size_t skip; /* bytes of the first iov that are done; less than its length unless nr_iov is 0 */
	size_t left; /* bytes */
	uint64_t off;
	bool direct; /* goes past the page cache */
};

static inline void ring_cursor_advance(struct ring_cursor *c, size_t len)
{
	assert(len <= c->left);
	c->left -= len;
	c->off += len;
	len += c->skip;
	while (c->nr_iov > 0 && len >= c->iov->iov_len) {
		len -= c->iov->iov_len;
		c->iov++;
		c->nr_iov--;
	}
	c->skip = len;
}

/* May @io go past the page cache? */
static inline bool ring_is_direct(const struct store_io *io, size_t len)
{
	const struct store_file *f = io->file;
	uintptr_t bits = io->off;

	if (len < STORE_DIRECT_MIN || f->direct_fd < 0 ||
	    atomic_load_explicit(&f->no_direct, memory_order_relaxed))
		return false;
	for (unsigned i = 0; i < io->nr_iov; i++)
		bits |= (uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len;
	return bits % BLOCK_LEN == 0;
}

static inline struct ring_cursor ring_cursor_init(const struct store_io *io)
{
	struct ring_cursor c = {.iov = io->iov, .nr_iov = io->nr_iov, .off = io->off};

	for (unsigned i = 0; i < io->nr_iov; i++)
		c.left += io->iov[i].iov_len;
	c.direct = ring_is_direct(io, c.left);
	ring_cursor_advance(&c, 0); /* empty iovs at the head */
	return c;
}

static inline int ring_cursor_fd(const struct ring_cursor *c, const struct store_file *f)
{
	return c->direct ? f->direct_fd : f->fd;
}

/* The result of a transfer of which @n bytes went through (or that failed with @n < 0), or RING_PENDING when the rest
 * must be asked for. */
static inline int ring_cursor_done(struct ring_cursor *c, const struct store_io *io, ssize_t n)
{
	if (n == -EINVAL && c->direct) {
		/* It wants more than BLOCK_LEN's alignment, or says only now that it cannot. */
		atomic_store_explicit(&io->file->no_direct, true, memory_order_relaxed);
		c->direct = false;
		return RING_PENDING;
	}
	if (n < 0)
		return (int)n;
	if (n == 0 && c->left > 0)
		return io->op == STORE_READ ? -ENODATA : -EIO;
	ring_cursor_advance(c, (size_t)n);
	/* The rest of a short transfer may begin anywhere. */
	c->direct = c->direct && (size_t)n % BLOCK_LEN == 0;
	return c->left > 0 ? RING_PENDING : 0;
}

/* io[@idx] is a sync, and I/O on its file that stands before it is not done. */
static inline bool ring_sync_must_wait(const struct store_io *io, unsigned idx)
{
	for (unsigned i = 0; i < idx; i++) {
		if (io[i].file == io[idx].file && io[i].res == RING_PENDING)
			return true;
	}
	return false;
}

/* The batch's answer. */
static inline int ring_result(const struct store_io *io, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		if (io[i].res)
			return io[i].res;
	}
	return 0;
}

#endif
