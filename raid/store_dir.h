/* The directory engine: what ring_uring.c and ring_sync.c share, which is everything but run().
 *
 * The functions are those of `struct store_ops`, and their contracts stand there. */
#ifndef RAID_STORE_DIR_H
#define RAID_STORE_DIR_H

#include <stdatomic.h>

#include "raid/store.h"

struct store {
	char *path;
	int dir_fd;  /* open for reading, so that it can be synced and listed */
	int lock_fd; /* -1: not locked */
	dev_t dev;
	ino_t ino;
	bool rdonly;
	bool has_openat2; /* not before Linux 5.6, nor under some seccomp filters */
};

struct store_file {
	int fd;
	int direct_fd; /* the same file past the page cache; -1: not asked for, or not to be had */
	atomic_bool no_direct; /* it refused a transfer: fd serves them all */
	bool rdonly;
};

int store_dir_attach(const char *path, bool rdonly, struct store **out);
void store_dir_detach(struct store *s);

/* Everything of @ops but name, attach, detach and run. */
#define STORE_DIR_OPS                                                                              \
	.alive = store_dir_alive, .probe = store_dir_probe, .lock = store_dir_lock,                \
	.space = store_dir_space, .mkdir = store_dir_mkdir, .open = store_dir_open,                \
	.close = store_dir_close, .rename = store_dir_rename, .unlink = store_dir_unlink,          \
	.sync_dir = store_dir_sync_dir, .list = store_dir_list, .size = store_dir_size,            \
	.allocate = store_dir_allocate, .punch = store_dir_punch, .truncate = store_dir_truncate,  \
	.advise = store_dir_advise, .seek_data = store_dir_seek_data

int store_dir_alive(struct store *s);
int store_dir_probe(struct store *s);
int store_dir_lock(struct store *s, bool exclusive, const char *owner, char *other,
		   size_t other_len);
int store_dir_space(struct store *s, struct store_space *out);
int store_dir_mkdir(struct store *s, const char *name);
int store_dir_open(struct store *s, const char *name, unsigned flags, struct store_file **out);
void store_dir_close(struct store_file *f);
int store_dir_rename(struct store *s, const char *from, const char *to);
int store_dir_unlink(struct store *s, const char *name);
int store_dir_sync_dir(struct store *s, const char *name);
int store_dir_list(struct store *s, const char *name, int (*fn)(void *arg, const char *entry),
		   void *arg);
int store_dir_size(struct store_file *f, uint64_t *out);
int store_dir_allocate(struct store_file *f, uint64_t off, uint64_t len);
int store_dir_punch(struct store_file *f, uint64_t off, uint64_t len);
int store_dir_truncate(struct store_file *f, uint64_t len);
void store_dir_advise(struct store_file *f, uint64_t off, uint64_t len);
int store_dir_seek_data(struct store_file *f, uint64_t off, uint64_t *start, uint64_t *end);

#endif
