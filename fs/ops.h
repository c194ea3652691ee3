/* What libfuse calls: one handler for each kind of request. They unpack, call the functions that do the work, and
 * reply; each is timed by ops.c.
 *
 * A handler returns 0 when it has replied, a negative errno for the caller to reply with, or OPS_LATER when a job will
 * reply, and then calls ops_took(). Threads: libfuse's, any number at once, and those of ops_later.h. */
#ifndef FS_OPS_H
#define FS_OPS_H

#include "conf/hist.h"
#include "fs/fuse_api.h"
#include "fs/inode.h"
#include "fs/name.h"
#include "fs/slice_node.h"

#define OPS_LATER 1
#define OPS_WAIT  2 /* not begun: ops_later.h */

/* Everything that changes what we tell the kernel goes through the kernel, which then drops what it had. */
#define OPS_TIMEOUT_S 86400.0
/* But the blocks of a file change when its dirty bytes reach the shards, behind the kernel's back. */
#define OPS_TIMEOUT_DIRTY_S 1.0

/* Two kinds of requests, so that none keeps a thread of the transport for long. What may have to wait (for a commit, for
 * room, for bytes under way to the shards) says how its arguments are kept, in a struct ops_kept, and how it is done
 * with them once more, by a thread that may wait: see ops_later.h. */
/* clang-format off */
#define OPS_QUICK(X)                                                                               \
	X(lookup, (fuse_req_t req, fuse_ino_t parent, const char *name), (req, parent, name))      \
	X(forget, (fuse_req_t req, fuse_ino_t ino, uint64_t nr), (req, ino, nr))                   \
	X(forget_multi, (fuse_req_t req, size_t nr, struct fuse_forget_data *list), (req, nr, list)) \
	X(readlink, (fuse_req_t req, fuse_ino_t ino), (req, ino))                                  \
	X(read, (fuse_req_t req, fuse_ino_t ino, size_t len, off_t off, struct fuse_file_info *fi), \
	  (req, ino, len, off, fi))                                                                \
	X(lseek, (fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi), \
	  (req, ino, off, whence, fi))                                                             \
	X(ioctl, (fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,                         \
		  struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_len,        \
		  size_t out_len),                                                                 \
	  (req, ino, cmd, arg, fi, flags, in, in_len, out_len))                                    \
	X(opendir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))    \
	X(releasedir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi)) \
	X(readdir, (fuse_req_t req, fuse_ino_t ino, size_t len, off_t off,                         \
		    struct fuse_file_info *fi),                                                    \
	  (req, ino, len, off, fi))                                                                \
	X(readdirplus, (fuse_req_t req, fuse_ino_t ino, size_t len, off_t off,                     \
			struct fuse_file_info *fi),                                                \
	  (req, ino, len, off, fi))                                                                \
	X(getattr, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))    \
	X(statfs, (fuse_req_t req, fuse_ino_t ino), (req, ino))                                    \
	X(listxattr, (fuse_req_t req, fuse_ino_t ino, size_t len), (req, ino, len))

#define OPS_MAY_WAIT(X)                                                                            \
	X(mknod, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev),   \
	  (req, parent, name, mode, rdev),                                                         \
	  (.ino = parent, .name = name, .mode = mode, .rdev = rdev),                               \
	  (req, k->ino, k->name, k->mode, k->rdev))                                                \
	X(mkdir, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode),               \
	  (req, parent, name, mode),                                                               \
	  (.ino = parent, .name = name, .mode = mode),                                             \
	  (req, k->ino, k->name, k->mode))                                                         \
	X(symlink, (fuse_req_t req, const char *target, fuse_ino_t parent, const char *name),      \
	  (req, target, parent, name),                                                             \
	  (.to_name = target, .ino = parent, .name = name),                                        \
	  (req, k->to_name, k->ino, k->name))                                                      \
	X(link, (fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name),             \
	  (req, ino, parent, name),                                                                \
	  (.to_ino = ino, .ino = parent, .name = name),                                            \
	  (req, k->to_ino, k->ino, k->name))                                                       \
	X(unlink, (fuse_req_t req, fuse_ino_t parent, const char *name),                           \
	  (req, parent, name),                                                                     \
	  (.ino = parent, .name = name),                                                           \
	  (req, k->ino, k->name))                                                                  \
	X(rmdir, (fuse_req_t req, fuse_ino_t parent, const char *name),                            \
	  (req, parent, name),                                                                     \
	  (.ino = parent, .name = name),                                                           \
	  (req, k->ino, k->name))                                                                  \
	X(rename, (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,      \
		   const char *to, unsigned flags),                                                \
	  (req, parent, name, to_parent, to, flags),                                               \
	  (.ino = parent, .name = name, .to_ino = to_parent, .to_name = to, .flags = (int)flags),  \
	  (req, k->ino, k->name, k->to_ino, k->to_name, (unsigned)k->flags))                       \
	X(open, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi),                       \
	  (req, ino, fi),                                                                          \
	  (.ino = ino, .fi = *fi),                                                                 \
	  (req, k->ino, &k->fi))                                                                   \
	X(create, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,               \
		   struct fuse_file_info *fi),                                                     \
	  (req, parent, name, mode, fi),                                                           \
	  (.ino = parent, .name = name, .mode = mode, .fi = *fi),                                  \
	  (req, k->ino, k->name, k->mode, &k->fi))                                                 \
	X(release, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi),                    \
	  (req, ino, fi),                                                                          \
	  (.ino = ino, .fi = *fi),                                                                 \
	  (req, k->ino, &k->fi))                                                                   \
	X(write, (fuse_req_t req, fuse_ino_t ino, const char *buf, size_t len, off_t off,          \
		  struct fuse_file_info *fi),                                                      \
	  (req, ino, buf, len, off, fi),                                                           \
	  (.ino = ino, .bytes = buf, .len = len, .off = off, .fi = *fi),                           \
	  (req, k->ino, k->bytes, k->len, k->off, &k->fi))                                         \
	X(fsync, (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi),        \
	  (req, ino, datasync, fi),                                                                \
	  (.ino = ino, .flags = datasync, .fi = *fi),                                              \
	  (req, k->ino, k->flags, &k->fi))                                                         \
	X(fsyncdir, (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi),     \
	  (req, ino, datasync, fi),                                                                \
	  (.ino = ino, .flags = datasync, .fi = *fi),                                              \
	  (req, k->ino, k->flags, &k->fi))                                                         \
	X(fallocate, (fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,              \
		      struct fuse_file_info *fi),                                                  \
	  (req, ino, mode, off, len, fi),                                                          \
	  (.ino = ino, .flags = mode, .off = off, .to_off = len, .fi = *fi),                       \
	  (req, k->ino, k->flags, k->off, k->to_off, &k->fi))                                      \
	X(copy_file_range, (fuse_req_t req, fuse_ino_t ino, off_t off, struct fuse_file_info *fi,  \
			    fuse_ino_t to_ino, off_t to_off, struct fuse_file_info *to_fi,         \
			    size_t len, int flags),                                                \
	  (req, ino, off, fi, to_ino, to_off, to_fi, len, flags),                                  \
	  (.ino = ino, .off = off, .fi = *fi, .to_ino = to_ino, .to_off = to_off, .to_fi = *to_fi, \
	   .len = len, .flags = flags),                                                            \
	  (req, k->ino, k->off, &k->fi, k->to_ino, k->to_off, &k->to_fi, k->len, k->flags))        \
	X(setattr, (fuse_req_t req, fuse_ino_t ino, struct stat *st, int what,                     \
		    struct fuse_file_info *fi),                                                    \
	  (req, ino, st, what, fi),                                                                \
	  (.ino = ino, .st = *st, .flags = what, .fi = fi ? *fi : (struct fuse_file_info){0},           \
	   .has_fi = fi != NULL),    \
	  (req, k->ino, &k->st, k->flags, k->has_fi ? &k->fi : NULL))                              \
	X(setxattr, (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,          \
		     size_t len, int flags),                                                       \
	  (req, ino, name, value, len, flags),                                                     \
	  (.ino = ino, .name = name, .bytes = value, .len = len, .flags = flags),                  \
	  (req, k->ino, k->name, k->bytes, k->len, k->flags))                                      \
	X(getxattr, (fuse_req_t req, fuse_ino_t ino, const char *name, size_t len),                \
	  (req, ino, name, len),                                                                   \
	  (.ino = ino, .name = name, .len = len),                                                  \
	  (req, k->ino, k->name, k->len))                                                          \
	X(removexattr, (fuse_req_t req, fuse_ino_t ino, const char *name),                         \
	  (req, ino, name),                                                                        \
	  (.ino = ino, .name = name),                                                              \
	  (req, k->ino, k->name))

#if FUSE_API_NEW
#define OPS_QUICK_NEW(X)                                                                           \
	X(statx, (fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi), \
	  (req, ino, flags, mask, fi))
#define OPS_MAY_WAIT_NEW(X)                                                                        \
	X(tmpfile, (fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi),    \
	  (req, parent, mode, fi),                                                                 \
	  (.ino = parent, .mode = mode, .fi = *fi),                                                \
	  (req, k->ino, k->mode, &k->fi))
#else
#define OPS_QUICK_NEW(X)
#define OPS_MAY_WAIT_NEW(X)
#endif

#define OPS_LIST(X) OPS_QUICK(X) OPS_QUICK_NEW(X) OPS_MAY_WAIT(X) OPS_MAY_WAIT_NEW(X)

enum ops_kind {
#define X(name, ...) OPS_##name,
	OPS_LIST(X)
#undef X
	OPS_NR
};

#define X(name, decl, ...) int ops_##name decl;
OPS_LIST(X)
#undef X
/* clang-format on */

struct ops_file;

/* What those beneath `.slice` share (ops_slice.c). */
struct ops_slices {
	struct slice_table nodes;
	uint64_t generation; /* of all nodes of this mount */
	atomic_uint_fast64_t nr_reads, read_bytes;
	struct lock lock;
	/* of what is said about names that are wrong; guarded by lock */
	uint64_t say_ns, said_ns, said_sum;
	unsigned nr_unsaid;
};

/* Open files are listed only to be closed when the mount goes away under them; several lists, so that openers do not
 * meet at one lock. */
#define OPS_FILES 16

struct ops_files {
	_Alignas(64) struct lock lock;
	struct ops_file *first; /* guarded by lock */
};

enum ops_served {
	OPS_SERVED_NONE, /* no request came yet */
	OPS_SERVED_CLASSIC,
	OPS_SERVED_URING,
};

/* What the handlers of one mount share. */
struct ops {
	struct ops_files files[OPS_FILES];
	struct later *later; /* borrowed: for requests that wait */
	struct ops_slices slices;
	struct fs *fs;		  /* borrowed */
	struct fuse_session *se;  /* borrowed; set once the session is there */
	const char *mountpoint;	  /* borrowed */
	const char *transport;	  /* how requests come, and why so, for `.stats`; borrowed */
	bool uring;		  /* ask the kernel for io_uring */
	atomic_int served;	  /* enum ops_served: how the first request came */
	bool dirsync;		  /* a change of a directory is durable before it is answered */
	bool killpriv;		  /* the kernel leaves it to us to clear setuid and setgid */
	uint32_t max_read;	  /* of the mount option; 0: none */
	void (*ready)(void *arg); /* called when the first request has come */
	void *ready_arg;
	atomic_uint nr_later;	  /* requests that jobs will answer */
	bool direct;		  /* an open file may go around the kernel's pages */
	pthread_key_t thread_key; /* of libfuse's threads, see ops_drain() */
	struct hist took[OPS_NR]; /* nanoseconds from request to reply */
};

extern const char *const ops_kind_name[OPS_NR];

/* For fuse_session_new(), with a struct ops as its userdata. */
const struct fuse_lowlevel_ops *ops_table(void);

int ops_init(struct ops *o); /* @o is all zero; 0 or -EAGAIN, and then there is nothing to undo */
/* Close what programs had open when the mount went away under them; after ops_drain(). */
void ops_fini(struct ops *o);

/* Wait until every request has been answered; none comes any more. With io_uring, libfuse frees requests as soon as its
 * threads are gone: so each of these does this, too, before it goes. */
void ops_drain(struct ops *o);

/* ---- for the handlers ---- */

static inline struct ops *ops_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* The caller may not leave setuid and setgid on what it writes to. */
static inline bool ops_kills_privs(const struct fuse_file_info *fi)
{
#if FUSE_API_KILLPRIV
	return fi->kill_suidgid;
#else
	(void)fi;
	return false;
#endif
}

/* Where the bytes of a reply to a read may be put, so that they need no other copy: *buf, room for *len, until the
 * request is answered, by fuse_reply_buf() with *buf. False: this transport has no such place (classic). */
static inline bool ops_payload(fuse_req_t req, void **buf, size_t *len)
{
#ifdef MATFS_FUSE_URING
	char *p;

	if (fuse_req_get_payload(req, &p, len, NULL))
		return false;
	*buf = p;
	return true;
#else
	(void)req;
	(void)buf;
	(void)len;
	return false;
#endif
}

static inline struct name ops_to_name(const char *name)
{
	return (struct name){.p = name, .len = strlen(name)};
}

/* This thread is the only one for the requests of its queue: it must not wait (ops_later.h). */
static inline bool ops_alone(fuse_req_t req)
{
#if FUSE_API_NEW
	return fuse_req_is_uring(req);
#else
	(void)req;
	return false;
#endif
}

/* What a handler returned: reply, if that is still to be done, and take the time. */
void ops_finish(struct ops *o, fuse_req_t req, enum ops_kind kind, uint64_t since_ns, int res);

/* A request was answered that came at @since_ns. */
void ops_took(struct ops *o, enum ops_kind kind, uint64_t since_ns);

/* @name in @parent is a pseudo-file's or a slice's: nobody else makes, removes or renames it. */
bool ops_is_pseudo(fuse_ino_t parent, const char *name);

/* The inode of a node id, to be inode_put(). -ESTALE: it is gone; -EPERM: a pseudo-file, or a slice. */
int ops_inode(fuse_req_t req, fuse_ino_t ino, struct inode **out);

/* A new inode as the caller wants it. */
struct name_new ops_new(fuse_req_t req, fuse_ino_t parent, mode_t mode);

/* Is the caller, not root, of this group? Asks /proc. */
bool ops_in_group(fuse_req_t req, gid_t gid);

/* A directory was listed, a link read. */
void ops_accessed(fuse_req_t req, fuse_ino_t ino);

/* Attributes as the kernel wants them; returns the seconds for which they hold. */
double ops_stat(struct inode *in, struct stat *st);
void ops_entry(struct inode *in, struct fuse_entry_param *e);

/* Reply with @in as what a name leads to. The kernel knows it once more then. Takes over the reference. Returns 0. */
int ops_reply_entry(fuse_req_t req, struct inode *in);
int ops_reply_attr(fuse_req_t req, struct inode *in);

/* The kernel shall ask again for the attributes of @in, which changed where the kernel does not expect it. */
void ops_attr_changed(fuse_req_t req, struct inode *in);

/* What a change of a directory gave, after waiting for its durability where the mount says so. */
int ops_changed(fuse_req_t req, int err);

#endif
