/* The mount itself: libfuse's session, its loop, and the signals that end it.
 * Threads: one, the program's first; the rest are made here. */
#ifndef FS_MOUNT_H
#define FS_MOUNT_H

#include "conf/conf.h"
#include "fs/fs.h"
#include "fs/transport.h"

struct mount;

/* Can there be a mount on @mountpoint? Returns 0, or a negative errno with one line in @why. */
int mount_check(const char *mountpoint, char *why, size_t why_len);

/* Mount @fs (borrowed, as is @conf, until mount_free()) with requests coming by @transport. -EIO, -EAGAIN or -ENOMEM
 * with one line in @why; what libfuse has to say about it is in the log. */
int mount_new(struct fs *fs, const struct conf *conf, const struct transport *transport,
	      struct mount **out, char *why, size_t why_len);

/* Serve until unmounted, or told to end by SIGTERM, SIGINT or SIGHUP: then, too, everything that the kernel holds has
 * reached @fs. @up is called once the kernel is served. Returns 0, -EIO when the loop broke down, or -EOPNOTSUPP when the
 * transport that was demanded could not be had: then @up was not called. */
int mount_run(struct mount *m, void (*up)(void *arg), void *arg);

/* Unmount, if that is still to be done. */
void mount_free(struct mount *m);

#endif
