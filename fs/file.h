/* A file's bytes, as the system calls see them: the data half of the operations, without FUSE.
 * Errors are the errnos (negative) that Linux file systems give. Threads: any, any number on one inode. */
#ifndef FS_FILE_H
#define FS_FILE_H

#include <sys/uio.h>

#include "fs/inode.h"

/* What a read found: pieces that together are the bytes, borrowed until file_read_done(). */
#define FILE_PIECES 64
struct file_read {
	struct iovec iov[FILE_PIECES];
	unsigned nr;
	size_t len;
	void *pin[FILE_PIECES];			     /* cache entries */
	uint32_t from[FILE_PIECES], to[FILE_PIECES]; /* the raw bytes that are used of each */
	bool ends[FILE_PIECES];			     /* the piece of this entry reaches its end */
	unsigned nr_pins;
	bool stream;	  /* the caller's to set: a sequential reader, through with what ends */
	bool ahead;	  /* the caller's to set: for a reader that may still come */
	bool unused;	  /* it failed */
	uint8_t *scratch; /* heap */
};

/* Copy @len bytes into the file at @off and return: they are on disk after file_sync() or the next commit.
 * @append: at the end of the file, whatever @off. @drop_privs: clear setuid, setgid and capabilities first.
 * -ENOSPC, -EFBIG, -EIO, -EROFS. All or nothing. May wait for memory. */
int file_write(struct inode *in, uint64_t off, const struct iovec *iov, unsigned nr_iov,
	       bool drop_privs);

/* Read up to @len bytes at @off; short only at the end of the file. @memory_only: -EAGAIN instead of waiting for a
 * shard. Counts as an access (relatime). */
int file_read(struct inode *in, uint64_t off, size_t len, bool memory_only, struct file_read *out);
/* The same for our own use: no access is counted. */
int file_peek(struct inode *in, uint64_t off, size_t len, struct file_read *out);
/* The same, without what was written after @w was closed: for its flush, within its range. */
int file_peek_window(const struct window *w, uint64_t off, size_t len, struct file_read *out);
void file_read_done(struct fs *fs, struct file_read *r);

/* Count an access, by the rules of relatime. */
void file_accessed(struct inode *in);
/* A read now would change the access time: the kernel must not answer it from its own cache. */
bool file_access_due(struct inode *in);

/* Start bringing [off, off + len) into the cache. */
void file_readahead(struct inode *in, uint64_t off, uint64_t len);
/* The same for all of it that does not come with what @off lies in: before a reader who will wait for one after the
 * other. */
void file_readahead_rest(struct inode *in, uint64_t off, uint64_t len);

int file_truncate(struct inode *in, uint64_t size, bool drop_privs);
/* @mode: fallocate(2)'s flags; unknown ones -EOPNOTSUPP. */
int file_fallocate(struct inode *in, int mode, uint64_t off, uint64_t len);
/* @whence: SEEK_DATA or SEEK_HOLE. */
int file_seek(struct inode *in, uint64_t off, int whence, uint64_t *out);
/* Shares extents where offsets and lengths allow it, copies the rest. *done may be short. */
int file_copy(struct inode *src, uint64_t src_off, struct inode *dst, uint64_t dst_off,
	      uint64_t len, uint64_t *done);

/* Everything done to @in before this call is on disk when it returns. */
int file_sync(struct inode *in);

/* Tell that a file was opened or closed; the last close of a written tiny file puts it into the index. */
/* -ESTALE: the inode lost its last name and its data; the caller of open(2) looks the path up again. */
int file_opened(struct inode *in);
void file_closed(struct inode *in);

#endif
