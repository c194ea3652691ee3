/* What can be asked of the daemon through an open file of a mount, by ioctl(2): for matfsctl. */
#ifndef FS_IOCTL_H
#define FS_IOCTL_H

#include <stdint.h>
#include <sys/ioctl.h>

struct ioctl_progress {
	uint64_t nr_queued;	     /* files now, with the one under way */
	uint64_t nr_done, nr_failed; /* files since the mount */
	uint64_t raw_bytes;	     /* looked at */
	uint64_t stored_before, stored_after;
};

/* Queue the file for fs/recompress.h. The owner's, or root's; else EPERM. EROFS; EAGAIN: the queue is full just now. */
#define IOCTL_RECOMPRESS _IO(0x9d, 1)
/* How far the whole queue is. */
#define IOCTL_PROGRESS _IOR(0x9d, 2, struct ioctl_progress)

#endif
