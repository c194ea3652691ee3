/* Files of a fs_make.h volume, by name, and bytes that are known by their offset. */
#ifndef TESTS_FS_FS_BYTES_H
#define TESTS_FS_FS_BYTES_H

#include "fs/file.h"
#include "fs/name.h"
#include "tests/fs/fs_make.h"

/* The file @name of the root, made when it is not there; to be put. */
static inline struct inode *fs_bytes_file(struct fs_make *m, const char *name)
{
	struct name_new nn = {.mode = S_IFREG | 0600};
	struct name n = {name, strlen(name)};
	struct inode *in;
	int err = name_lookup(m->fs, 1, n, &in);

	if (err == -ENOENT)
		err = name_make(m->fs, 1, n, &nn, &in);
	assert_int_equal(err, 0);
	return in;
}

/* The byte at an offset; @salt: of which of several contents. */
typedef uint8_t fs_bytes_fn(uint64_t off, unsigned salt);

static inline void fs_bytes_write(struct inode *in, uint64_t off, size_t len, fs_bytes_fn *byte_at,
				  unsigned salt)
{
	uint8_t *p = malloc(len);

	for (size_t i = 0; i < len; i++)
		p[i] = byte_at(off + i, salt);
	assert_int_equal(file_write(in, off, &(struct iovec){p, len}, 1, false), 0);
	free(p);
}

static inline void fs_bytes_check(struct inode *in, uint64_t off, size_t len, fs_bytes_fn *byte_at,
				  unsigned salt)
{
	struct file_read r;

	while (len) {
		uint64_t at = off;

		assert_int_equal(file_peek(in, off, len, &r), 0);
		assert_true(r.len > 0);
		for (unsigned i = 0; i < r.nr; i++) {
			const uint8_t *p = r.iov[i].iov_base;

			for (size_t k = 0; k < r.iov[i].iov_len; k++, at++)
				if (p[k] != byte_at(at, salt))
					fail_msg("wrong byte at %llu", (unsigned long long)at);
		}
		off += r.len;
		len -= r.len;
		file_read_done(in->fs, &r);
	}
}

#endif
