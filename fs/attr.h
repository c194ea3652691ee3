/* An inode's attributes, as memory and as bytes of the index. */
#ifndef FS_ATTR_H
#define FS_ATTR_H

#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

struct attr {
	uint32_t mode; /* type and permissions */
	uint32_t uid, gid;
	uint32_t nlink;
	uint64_t rdev;
	uint64_t size; /* bytes; of a directory: 32 for each name */
	struct timespec atime, mtime, ctime, btime;
	uint64_t mapped;      /* bytes of the file that extents or inline data hold */
	uint64_t parent;      /* of a directory: ".."; else 0 */
	uint64_t next_cookie; /* of a directory: for the next name; from 3 on, 1 and 2 are "." and ".." */
	uint32_t flags;	      /* ATTR_* */
};

#define ATTR_CAPS 1u /* it has a security.capability attribute, which writes must drop */

#define ATTR_LEN 140 /* encoded */

void attr_put(const struct attr *a, uint8_t buf[ATTR_LEN]);
/* -EBADMSG: not an attribute record (length, type, nanoseconds). */
int attr_get(const uint8_t *buf, size_t len, struct attr *a);
void attr_stat(uint64_t ino, const struct attr *a, uint32_t extent_len, struct stat *st);

#endif
