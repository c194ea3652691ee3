/* Everything a volume needs of one backing directory, as a table of functions.
 *
 * The directory engine (store_dir.c) fills it with real files; its I/O goes through io_uring (ring_uring.c) or a pool
 * of blocking calls (ring_sync.c). The crash test fills it with a disk in memory that loses, tears and reorders what
 * was not synced, so nothing in `raid` or `fs` reaches a shard by any other way.
 *
 * Durability is POSIX's: bytes after STORE_SYNC of their file, names after sync_dir() of their directory.
 * Errors are negative errnos: -EINVAL for a name with . or .. or more than one /, -EROFS for a change to a store
 * attached read-only, -EBADF for one to a file opened so. Threads: any, also on one file, except where it says so.
 * A store is of no use in the child after fork(): daemons fork first, then attach. */
#ifndef RAID_STORE_H
#define RAID_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct store;	   /* one backing directory, open */
struct store_file; /* one file in it, open */

enum store_op {
	STORE_READ,
	STORE_WRITE,
	STORE_SYNC, /* fdatasync */
};

/* One transfer of a batch. The memory stays the caller's and untouched until run() returns. */
struct store_io {
	enum store_op op;
	struct store_file *file;
	const struct iovec *iov; /* not for STORE_SYNC */
	unsigned nr_iov;
	uint64_t off; /* bytes */
	int res; /* out: 0 or a negative errno. A short write is -EIO; a read past the end of file is -ENODATA. */
};

struct store_space {
	uint64_t total; /* bytes of the underlying file system */
	uint64_t avail; /* bytes that this user may still fill */
	dev_t dev;	/* two shards with one dev share these bytes */
};

enum store_open_flags {
	STORE_CREATE = 1, /* fails with -EEXIST when it is there already */
	STORE_RDONLY = 2,
	/* Transfers of STORE_DIRECT_MIN bytes and more whose offset and iovs (each base and length) are multiples of
	 * BLOCK_LEN go past the page cache, where the file system can do that; others go through it. The two may be
	 * mixed as long as they do not touch the same block at the same time. For the segments: their bytes are
	 * cached decoded, above. Measured on ext4 on loop devices in memory, 2 cores, 4 shards, 1 MiB a shard: writes
	 * 0.07 instead of 0.2 to 0.6 CPU seconds a GB and 3.7 instead of 1.2 to 2.6 GB/s, reads 0.05 instead of 0.07
	 * CPU seconds; with disks held to 100 MB/s, writes 419 instead of 150 to 380 MB/s, reads the same. With 16 KiB
	 * a shard writes are a third as fast as through the cache, hence the least length. */
	STORE_DIRECT = 4,
};
#define STORE_DIRECT_MIN ((size_t)65536)

struct store_ops {
	const char *name; /* "uring", "sync", ... as `.stats` shows it */

	/* Open the directory at @path, which must exist; with @rdonly nothing in it will be changed.
	 * -ENOENT, -ENOTDIR, -EACCES, ... */
	int (*attach)(const struct store_ops *ops, const char *path, bool rdonly,
		      struct store **out);
	/* Every file of it is closed already. Drops the lock. */
	void (*detach)(struct store *s);

	/* 0 while the path it was attached by still leads to the same directory, else -ENODEV. */
	int (*alive)(struct store *s);
	/* 0 when hole punching works here (tried on a scratch file), else -EOPNOTSUPP or what creating it gave. */
	int (*probe)(struct store *s);
	/* Take the lock that keeps a second daemon away, also one on another machine; held until detach.
	 * @exclusive  keeps everyone away; needs a store not attached @rdonly. A shared one keeps writers away, and is
	 *             taken to be had where the lock's file is missing and may not be made
	 * @owner  text to leave for the one who is refused; of an exclusive lock only
	 * @other  gets the present owner's text on -EBUSY, one printable line, maybe empty; @other_len bytes,
	 *         NUL-terminated */
	int (*lock)(struct store *s, bool exclusive, const char *owner, char *other,
		    size_t other_len);
	int (*space)(struct store *s, struct store_space *out);

	/* Names are relative to the directory and have at most one '/', "log/0000000000000001". */
	int (*mkdir)(struct store *s, const char *name); /* 0 also when it exists */
	/* For reading and writing, or with STORE_RDONLY for reading; regular files only, links are refused (-ELOOP). */
	int (*open)(struct store *s, const char *name, unsigned flags, struct store_file **out);
	void (*close)(struct store_file *f);
	int (*rename)(struct store *s, const char *from, const char *to); /* replaces @to */
	int (*unlink)(struct store *s, const char *name);
	int (*sync_dir)(struct store *s, const char *name); /* "" is the top */
	/* Calls @fn for each entry but . and .. in no order; a non-zero return of it stops and is returned. */
	int (*list)(struct store *s, const char *name, int (*fn)(void *arg, const char *entry),
		    void *arg);

	int (*size)(struct store_file *f, uint64_t *out); /* bytes */
	/* Make the range writable without -ENOSPC later, the size unchanged. -EOPNOTSUPP where it cannot be had. */
	int (*allocate)(struct store_file *f, uint64_t off, uint64_t len);
	/* Give the range's space back; it reads as zeros; the size is unchanged. */
	int (*punch)(struct store_file *f, uint64_t off, uint64_t len);
	/* Drop what lies at and after @len, also what was allocated there; a shorter file grows by a hole. */
	int (*truncate)(struct store_file *f, uint64_t len);
	/* The range will be read soon, through the page cache: a hint that neither fails nor waits for the disk. NULL
	 * where there is no such thing. */
	void (*advise)(struct store_file *f, uint64_t off, uint64_t len);
	/* The next range at or after @off that is not a hole: [*start, *end). -ENXIO: none. */
	int (*seek_data)(struct store_file *f, uint64_t off, uint64_t *start, uint64_t *end);

	/* Do all of @io, in parallel over files, and return when each has its res. The files may be of several
	 * stores of this same table. Order: a STORE_SYNC covers the writes to its file that stand before it in the
	 * batch, whatever became of them; nothing else is ordered. Each I/O is tried, also after others failed.
	 * Returns 0 when every res is 0, else the first res that is not. */
	int (*run)(const struct store_ops *ops, struct store_io *io, unsigned nr);
};

/* The two directory engines. uring is refused with -ENOSYS or -EPERM where the kernel has no io_uring for us. */
int store_uring(const struct store_ops **out);
const struct store_ops *store_sync(void);

#endif
