/* Going to the background so that the caller learns how it went.
 *
 * Threads and io_uring do not survive fork(), so the child is made before there are any; the parent waits for its word.
 * Threads: before there are others, daemon_ready() excepted. */
#ifndef FS_DAEMON_H
#define FS_DAEMON_H

/* Returns in the child: a descriptor for daemon_ready(), or a negative errno (then there is no child). The parent
 * exits, with 0 after daemon_ready(), else with the child's exit code. */
int daemon_start(void);

/* All is up: leave the terminal and its session, say so to the parent, write to syslog from now on. Ends @fd. */
void daemon_ready(int fd);

#endif
