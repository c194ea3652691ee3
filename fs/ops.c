/* What all handlers share: how the kernel is asked for its features, the timing, and the replies of more than one kind
 * of request. */
#include "fs/ops.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"
#include "fs/commit.h"
#include "fs/file.h"
#include "fs/ops_later.h"
#include "fs/ops_slice.h"
#include "fs/ops_stats.h"
#include "fs/transport.h"

/* Requests that the kernel makes without anybody waiting (read-ahead, asynchronous direct I/O), at once. Enough for all
 * shards and a few readers. */
#define MAX_BACKGROUND 128

#define GROUPS_MAX 65536 /* Linux' NGROUPS_MAX */

#define X(name, ...) [OPS_##name] = #name,
const char *const ops_kind_name[OPS_NR] = {OPS_LIST(X)};
#undef X

/* A thread of libfuse goes. */
static void thread_gone(void *arg)
{
	ops_drain(arg);
}

int ops_init(struct ops *o)
{
	if (pthread_key_create(&o->thread_key, thread_gone))
		return -EAGAIN;
	for (unsigned i = 0; i < OPS_FILES; i++)
		lock_init(&o->files[i].lock);
	ops_slice_init(&o->slices);
	return 0;
}

void ops_fini(struct ops *o)
{
	for (unsigned i = 0; i < OPS_FILES; i++) {
		while (o->files[i].first)
			ops_file_free(o->files[i].first);
		lock_fini(&o->files[i].lock);
	}
	ops_slice_fini(&o->slices);
	pthread_key_delete(o->thread_key);
}

/* ---- before and after each request ---- */

void ops_took(struct ops *o, enum ops_kind kind, uint64_t since_ns)
{
	hist_add(&o->took[kind], mono_ns() - since_ns);
}

void ops_finish(struct ops *o, fuse_req_t req, enum ops_kind kind, uint64_t since_ns, int res)
{
	if (res == OPS_LATER)
		return;
	if (res < 0)
		fuse_reply_err(req, -res);
	ops_took(o, kind, since_ns);
}

static _Thread_local bool thread_known;

/* libfuse cancels the threads of its rings where they stand, which may be amid a handler of ours; they end without that,
 * too, since it wakes them. (Its other threads it lets be cancelled only where they wait for a request.) */
static void thread_begin(struct ops *o)
{
	thread_known = true;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_setspecific(o->thread_key, o);
}

static void first_request(struct ops *o, bool uring)
{
	int none = OPS_SERVED_NONE;

	if (atomic_compare_exchange_strong(&o->served, &none,
					   uring ? OPS_SERVED_URING : OPS_SERVED_CLASSIC) &&
	    o->ready)
		o->ready(o->ready_arg);
}

static inline uint64_t ops_begin(struct ops *o, fuse_req_t req)
{
	bool alone = ops_alone(req);

	if (alone && !thread_known)
		thread_begin(o);
	if (atomic_load_explicit(&o->served, memory_order_relaxed) == OPS_SERVED_NONE)
		first_request(o, alone);
	return mono_ns();
}

/* ops_of() first: the request is gone after its reply. */
#define X(name, decl, args)                                                                        \
	static void ops_timed_##name decl                                                          \
	{                                                                                          \
		struct ops *timed_ops = ops_of(req);                                               \
		uint64_t timed_ns = ops_begin(timed_ops, req);                                     \
                                                                                                   \
		ops_finish(timed_ops, req, OPS_##name, timed_ns, ops_##name args);                 \
	}
OPS_QUICK(X)
OPS_QUICK_NEW(X)
#undef X

#define KEEP(...)                                                                                  \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define X(name, decl, args, keep, with_kept)                                                       \
	static int ops_again_##name(fuse_req_t req, struct ops_kept *k)                            \
	{                                                                                          \
		return ops_##name with_kept;                                                       \
	}                                                                                          \
	static void ops_timed_##name decl                                                          \
	{                                                                                          \
		struct ops *timed_ops = ops_of(req);                                               \
		uint64_t timed_ns = ops_begin(timed_ops, req);                                     \
		int timed_res = OPS_WAIT;                                                          \
                                                                                                   \
		if (ops_may_begin(timed_ops, req, OPS_##name))                                     \
			timed_res = ops_##name args;                                               \
		if (ops_has_to_wait(timed_res)) {                                                  \
			struct ops_kept timed_kept = KEEP keep;                                    \
                                                                                                   \
			timed_res = ops_later(timed_ops, req, OPS_##name, ops_again_##name,        \
					      &timed_kept, timed_ns);                              \
		}                                                                                  \
		ops_finish(timed_ops, req, OPS_##name, timed_ns, timed_res);                       \
	}
OPS_MAY_WAIT(X)
OPS_MAY_WAIT_NEW(X)
#undef X

void ops_drain(struct ops *o)
{
	while (atomic_load(&o->nr_later)) {
		struct timespec ts = {.tv_nsec = 1000000};

		nanosleep(&ts, NULL);
	}
}

/* ---- the first request ---- */

/* Not asked for:
 * WRITEBACK_CACHE: data would wait in the kernel, where neither a prefix of what was done (promise 2) nor ENOSPC at
 *   write() (promise 6) can be kept.
 * AUTO_INVAL_DATA: nobody but this kernel changes our files, and it would drop its pages with each change of mtime.
 * SPLICE_*: what we write and read is in memory.
 * SETXATTR_EXT: libfuse does not tell the handler what it adds; ops_setxattr() finds it out itself. */
static void ops_agree(void *userdata, struct fuse_conn_info *conn)
{
	static const uint64_t wanted[] = {
		FUSE_CAP_POSIX_ACL,  FUSE_CAP_DONT_MASK,       FUSE_CAP_EXPORT_SUPPORT,
		FUSE_CAP_ASYNC_READ, FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_READDIRPLUS,
		FUSE_CAP_ASYNC_DIO,  FUSE_CAP_CACHE_SYMLINKS,  FUSE_CAP_READDIRPLUS_AUTO,
	};
	static const uint64_t unwanted[] = {
		FUSE_CAP_WRITEBACK_CACHE, FUSE_CAP_AUTO_INVAL_DATA, FUSE_CAP_SPLICE_READ,
		FUSE_CAP_SPLICE_WRITE,	  FUSE_CAP_SPLICE_MOVE,	    FUSE_CAP_HANDLE_KILLPRIV,
		FUSE_CAP_IOCTL_DIR,
	};
	struct ops *o = userdata;

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		fuse_api_want(conn, wanted[i]);
	for (size_t i = 0; i < ARRAY_LEN(unwanted); i++)
		fuse_api_unwant(conn, unwanted[i]);
#if FUSE_API_NEW
	if (!o->uring || !fuse_api_want(conn, FUSE_CAP_OVER_IO_URING))
		fuse_api_unwant(conn, FUSE_CAP_OVER_IO_URING);
	/* No handler gives up midway, so there is nothing that an interrupt could do. */
	conn->no_interrupt = 1;
#endif
#if FUSE_API_KILLPRIV
	o->killpriv = fuse_api_want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
#endif
#ifdef FUSE_CAP_DIRECT_IO_ALLOW_MMAP
	/* Kernels without it (before 6.6) do not write back what was changed through mappings before direct reads. And with
	 * direct writes the kernel takes no setuid bits away by itself. */
	o->direct = o->killpriv && fuse_api_want(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
#endif
	/* A truncation that comes with an open does not tell about setuid but through the above. */
	if (o->killpriv)
		fuse_api_want(conn, FUSE_CAP_ATOMIC_O_TRUNC);
	else
		fuse_api_unwant(conn, FUSE_CAP_ATOMIC_O_TRUNC);
	conn->max_write = MIN(conn->max_write, TRANSPORT_LEN_MAX);
	conn->max_read = o->max_read;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
	conn->time_gran = 1;
}

const struct fuse_lowlevel_ops *ops_table(void)
{
#define X(name, ...) .name = ops_timed_##name,
	static const struct fuse_lowlevel_ops table = {.init = ops_agree, OPS_LIST(X)};
#undef X

	return &table;
}

/* ---- the caller ---- */

bool ops_in_group(fuse_req_t req, gid_t gid)
{
	AUTO_FREE gid_t *groups = calloc(GROUPS_MAX, sizeof(*groups));
	int nr;

	if (fuse_req_ctx(req)->gid == gid)
		return true;
	nr = groups ? fuse_req_getgroups(req, GROUPS_MAX, groups) : 0;
	for (int i = 0; i < MIN(nr, GROUPS_MAX); i++) {
		if (groups[i] == gid)
			return true;
	}
	return false;
}

/* In a setgid directory, where a new inode gets the directory's group anyway, name_make() looks at our gid only to see
 * whether the caller may make a setgid program of that group. */
static gid_t new_gid(fuse_req_t req, fuse_ino_t parent, mode_t mode, gid_t gid)
{
	mode_t both = S_ISGID | S_IXGRP;
	struct inode *in;
	struct attr dir;

	if ((mode & both) != both || ops_inode(req, parent, &in))
		return gid;
	inode_attr(in, &dir);
	inode_put(in);
	return dir.mode & S_ISGID && ops_in_group(req, dir.gid) ? dir.gid : gid;
}

struct name_new ops_new(fuse_req_t req, fuse_ino_t parent, mode_t mode)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct name_new){
		.mode = mode,
		.umask = ctx->umask,
		.uid = ctx->uid,
		.gid = new_gid(req, parent, mode, ctx->gid),
	};
}

/* ---- replies ---- */

bool ops_is_pseudo(fuse_ino_t parent, const char *name)
{
	return ops_stats_find(parent, name) || ops_slice_claims(parent, name);
}

int ops_inode(fuse_req_t req, fuse_ino_t ino, struct inode **out)
{
	int err;

	if (ops_stats_is(ino) || ops_slice_is(ino))
		return -EPERM;
	err = inode_get(ops_of(req)->fs, NULL, ino, out);
	return err == -ENOENT ? -ESTALE : err;
}

void ops_accessed(fuse_req_t req, fuse_ino_t ino)
{
	struct inode *in;

	if (ops_inode(req, ino, &in))
		return;
	file_accessed(in);
	inode_put(in);
}

double ops_stat(struct inode *in, struct stat *st)
{
	struct attr a;
	bool dirty;

	lock_take(&in->lock);
	a = in->attr;
	dirty = in->nr_windows != 0;
	lock_release(&in->lock);
	attr_stat(in->ino, &a, in->fs->extent_len, st);
	return dirty ? OPS_TIMEOUT_DIRTY_S : OPS_TIMEOUT_S;
}

void ops_entry(struct inode *in, struct fuse_entry_param *e)
{
	*e = (struct fuse_entry_param){
		.ino = in->ino,
		.generation = 1, /* numbers are never used again */
		.entry_timeout = OPS_TIMEOUT_S,
	};
	e->attr_timeout = ops_stat(in, &e->attr);
}

int ops_reply_entry(fuse_req_t req, struct inode *in)
{
	struct fuse_entry_param e;

	ops_entry(in, &e);
	inode_remember(in, 1);
	if (fuse_reply_entry(req, &e))
		inode_forget(in->fs, in->ino, 1);
	inode_put(in);
	return 0;
}

int ops_reply_attr(fuse_req_t req, struct inode *in)
{
	struct stat st;
	double timeout = ops_stat(in, &st);

	fuse_reply_attr(req, &st, timeout);
	return 0;
}

void ops_attr_changed(fuse_req_t req, struct inode *in)
{
	/* A negative offset: no pages, so this waits for nobody. */
	fuse_lowlevel_notify_inval_inode(ops_of(req)->se, in->ino, -1, 0);
}

int ops_changed(fuse_req_t req, int err)
{
	struct ops *o = ops_of(req);

	return !err && o->dirsync ? commit_wait(o->fs, commit_open_txg(o->fs)) : err;
}
