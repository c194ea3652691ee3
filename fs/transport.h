/* How requests come from the kernel: by FUSE-over-io_uring, or by reading /dev/fuse as ever (classic). What is asked for
 * is checked before anything is touched; what became of it shows when the first request has come (ops->served). */
#ifndef FS_TRANSPORT_H
#define FS_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"

/* Longest write, and longest read reply. */
#define TRANSPORT_LEN_MAX ((uint32_t)MIB)

#define TRANSPORT_TEXT_LEN 512

struct transport {
	bool uring;
	bool clone_fd;	  /* classic: each thread has a queue of its own in the kernel */
	unsigned queues;  /* io_uring: one for each CPU that there may be */
	unsigned depth;	  /* io_uring: requests of one queue at once */
	unsigned threads; /* classic: at most */
	uint64_t memory;  /* bytes of buffers for requests, at most */
	char text
		[TRANSPORT_TEXT_LEN]; /* what it is and, where it is not io_uring, why not: for `.stats` */
};

/* What transport= asks for, as far as it can be. -EOPNOTSUPP with one line in @why: io_uring was demanded and cannot
 * be. */
int transport_choose(const struct conf *conf, struct transport *out, char *why, size_t why_len);

/* libfuse could not start io_uring and went on without: @t is classic then. */
void transport_fell_back(struct transport *t);

/* ---- for tests ---- */

/* How many CPUs a list as "0-3,8" names; 0: it is none. */
unsigned transport_count_cpus(const char *list);
/* The depth for which @queues queues take no more than @memory bytes; 0: not even the least one fits. */
unsigned transport_depth(unsigned queues, uint64_t memory);

#endif
