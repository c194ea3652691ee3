/* Requests that wait, on threads of their own (fs/later.h).
 *
 * With io_uring one thread of libfuse serves all requests of its core, one after the other, so no handler may wait there.
 * A request that has to is given up with an error, everything undone, and done again from its start by the pool. All
 * that it says by pointer (names, bytes) is in its buffer, which is its own until the reply.
 *
 * With the classic transport the names and bytes lie in a buffer of the libfuse thread, so what has some waits there, as
 * there are more such threads; what has none is done again by the pool, too. */
#ifndef FS_OPS_LATER_H
#define FS_OPS_LATER_H

#include "fs/later.h"
#include "fs/ops.h"

/* What a request was called with, but for itself. */
struct ops_kept {
	fuse_ino_t ino, to_ino;
	const char *name, *to_name; /* the request's */
	const void *bytes;	    /* the request's */
	size_t len;
	off_t off, to_off;
	mode_t mode;
	dev_t rdev;
	int flags;
	struct stat st;
	struct fuse_file_info fi, to_fi;
	bool has_fi;
};

typedef int ops_again(fuse_req_t req, struct ops_kept *k);

/* Before the handler of a request of @kind that may wait: may this thread begin it? */
bool ops_may_begin(const struct ops *o, fuse_req_t req, enum ops_kind kind);
/* After the handler gave @res, or was not begun (OPS_WAIT): is the request to be done by the pool? */
bool ops_has_to_wait(int res);

/* Have the pool do it: by @again, with what is in @k (copied), and reply. OPS_LATER or -ENOMEM. */
int ops_later(struct ops *o, fuse_req_t req, enum ops_kind kind, ops_again *again,
	      const struct ops_kept *k, uint64_t since_ns);

#endif
