/* What crash tests share: chance with a seed, a file system on crash disks, looks at what is left.
 * Failed checks abort with a line, so that they work in any thread. */
#ifndef TESTS_CRASH_RIG_H
#define TESTS_CRASH_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "tests/support/store_crash.h"

#define RIG_EXTENT_LEN (256 * 1024)
#define RIG_SHARDS     4

#define must(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			rig_fail(__FILE__, __LINE__, #cond);                                       \
	} while (0)
void rig_fail(const char *file, int line, const char *what) __attribute__((noreturn));
/* Printed before the line of a failure: seed, cut. */
extern _Thread_local char rig_where[256];

/* splitmix64 */
struct chance {
	uint64_t s;
};
uint64_t chance_next(struct chance *c);
unsigned chance_below(struct chance *c, unsigned n);
/* Bytes of one of a few kinds: constant, repetitive, noise. */
void chance_fill(struct chance *c, uint8_t *p, size_t len);

struct rig {
	uint8_t level;
	unsigned parity; /* of the level: shards that may be lost */
	uint64_t memory_len;
	uint64_t checkpoint_len;
	char state_dir[256];
};
/* @level 0, 1 (two copies), 5, 6, with a state directory of its own below TMPDIR. */
void rig_init(struct rig *g, unsigned level);
void rig_fini(struct rig *g);

int rig_open(const struct rig *g, struct crash_disk *d, bool create, bool degraded, struct fs **out,
	     char why[512]);
/* fsck finds nothing in the index. */
void rig_check_index(struct fs *fs);
/* Everything freed is given back: what segments hold on the disks is what live stripes occupy. Closes @fs. */
void rig_close_without_leak(struct fs *fs, struct crash_disk *d);

/* The @n-th way to lose up to @parity of the shards, from 0 (none) on, as a mask; they repeat. */
uint64_t rig_loss(unsigned parity, unsigned n);
void rig_lose(struct crash_disk *d, uint64_t mask);

#endif
