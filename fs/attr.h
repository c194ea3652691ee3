/* An inode's attributes, as memory and as bytes of the index. */
#ifndef FS_ATTR_H
#define FS_ATTR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

struct index_txn;

struct attr {
	uint32_t mode; /* type and permissions */
	uint32_t uid, gid;
	uint32_t nlink;
	uint64_t rdev;
	uint64_t size; /* bytes; of a directory: 32 for each name */
	struct timespec atime, mtime, ctime, btime;
	uint64_t mapped; /* bytes of the file that extents or inline data hold */
	uint64_t parent; /* of a directory: ".."; else 0 */
	/* Of a directory, for the next name: from 3 on, 1 and 2 are "." and "..". */
	uint64_t next_cookie;
	uint32_t flags; /* ATTR_* */
};

#define ATTR_CAPS 1u /* it has a security.capability attribute, which writes must drop */

#define ATTR_FLAGS ATTR_CAPS /* all there are: a record with others is refused */

#define ATTR_LEN 112 /* encoded; the byte table is in attr.c */

/* The times' nanoseconds are below a second. */
void attr_put(const struct attr *a, uint8_t buf[ATTR_LEN]);
/* -EBADMSG: not an attribute record (length, version, type, sizes, nanoseconds, flags); @a is untouched then. */
int attr_get(const uint8_t *buf, size_t len, struct attr *a);
/* The record of @ino as transaction @t sees it: what an op has put, not what memory has made of it since.
 * -ENOENT, -EBADMSG. */
int attr_load(struct index_txn *t, uint64_t ino, struct attr *a);
/* What stat(2) shows; st_dev is the kernel's. */
void attr_stat(uint64_t ino, const struct attr *a, uint32_t extent_len, struct stat *st);

#endif
