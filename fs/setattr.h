/* chmod, chown, utimensat and truncate: one change of attributes. */
#ifndef FS_SETATTR_H
#define FS_SETATTR_H

#include "fs/inode.h"

enum setattr_what {
	SETATTR_MODE = 1,
	SETATTR_UID = 2,
	SETATTR_GID = 4,
	SETATTR_SIZE = 8,
	SETATTR_ATIME = 16,
	SETATTR_MTIME = 32,
	SETATTR_ATIME_NOW = 64,
	SETATTR_MTIME_NOW = 128,
	SETATTR_CTIME = 256,
	SETATTR_KILL_PRIVS = 512, /* clear setuid, setgid and capabilities */
};

struct setattr {
	unsigned what; /* enum setattr_what */
	uint32_t mode; /* permission bits; the type stays */
	uint32_t uid, gid;
	uint64_t size;
	struct timespec atime, mtime, ctime;
};

/* Truncation (file_truncate) first, then the rest in one op: a failure after the truncation leaves that done, each
 * of the two is all or nothing. The change time is now unless given.
 * -EINVAL (nanoseconds; truncation of what has no size), -EISDIR, -ESTALE (reclaimed), what file_truncate() and an op
 * give. Threads: any. */
int setattr_apply(struct inode *in, const struct setattr *s);

#endif
