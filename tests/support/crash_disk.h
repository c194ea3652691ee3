/* The inside of a crash_disk, for store_crash.c, crash_control.c and crash_journal.c. */
#ifndef SUPPORT_CRASH_DISK_H
#define SUPPORT_CRASH_DISK_H

#include "conf/lock.h"
#include "tests/support/store_crash.h"

struct crash_fault {
	unsigned shard;
	enum crash_kind kind;
	uint64_t after, count;
	int err;
	struct crash_fault *link;
};

/* What is true of a shard only while programs use it. */
struct crash_unit {
	uint64_t nr_pages_max;
	int dead;	      /* 0, or what every call fails with */
	unsigned nr_readers;  /* shared locks */
	struct store *writer; /* holder of the exclusive lock */
	char owner[128];      /* the last writer's text */
	uint64_t calls[CRASH_NR_KINDS];
};

struct crash_disk {
	struct store_ops ops;
	struct lock lock; /* guards all that follows */
	struct crash_state *state;
	struct crash_unit *unit; /* one a shard */
	struct crash_fault *faults;
	uint64_t nr_steps;
	uint64_t cut_at;
	bool off;
	struct crash_step *in_flight; /* what the cut hit, or NULL */
	uint64_t rng;
	unsigned nr_stores;
	unsigned life;		  /* what was opened in an earlier one is of no use */
	struct store_file *files; /* open in this life */
	struct crash_journal *journal;
};

struct store {
	struct crash_disk *disk;
	unsigned shard;
	unsigned life; /* the disk's when attached */
	bool rdonly;
	bool locked;
};

struct store_file {
	struct store *store;
	struct crash_inode *inode; /* counted; good only in the store's life */
	bool rdonly;
	struct store_file *link; /* guarded by the disk's lock */
};

static inline struct crash_shard *crash_shard_of(const struct store *s)
{
	return &s->disk->state->shard[s->shard];
}

/* The directory that holds @name, and the last component. -EINVAL, -ENOENT, -ENOTDIR. The caller holds the lock. */
int crash_find_parent(struct store *s, const char *name, struct crash_inode **dir,
		      const char **last);

/* Takes over @state. */
struct crash_disk *crash_disk_from(struct crash_state *state, uint64_t seed);

/* From here on @d's steps, the first of them number @begin. Clones @state. */
struct crash_journal *crash_journal_new(const struct crash_state *state, uint64_t begin);
void crash_journal_add(struct crash_journal *j, struct crash_step *st);

#endif
