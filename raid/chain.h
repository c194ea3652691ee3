/* Which of the batches found on the shards are the log: the choice of one history among what a crash, an absent shard
 * or a damaged one left. Pure: no I/O. The rules stand at the head of chain.c. Threads: any, one at a time. */
#ifndef RAID_CHAIN_H
#define RAID_CHAIN_H

#include "raid/batch.h"
#include "raid/super.h"

/* A batch, whole and intact, where one shard has it. */
struct chain_entry {
	struct batch b;
	uint8_t shard;
	uint64_t file; /* the number in its name */
	uint64_t off;
};

/* One batch of the log. */
struct chain_item {
	size_t entry; /* the first of its copies; they stand side by side and have the same sum */
	bool gap;     /* the one before it is on no shard */
};

/* An epoch as a shard knows it. */
struct chain_epoch {
	struct super_epoch e;
	bool firm; /* its first batch was on every member: a superblock says so, or a second one followed */
};

struct chain {
	struct chain_entry *entry; /* the caller's, by chain_add(); sorted by chain_build() */
	size_t nr_entries, cap;
	/* What chain_build() finds: */
	struct chain_item *item; /* in order of seq */
	size_t nr_items;
	struct chain_epoch *epoch; /* the history's, oldest first; the last is in force */
	unsigned nr_epochs;
	uint64_t next;	   /* the sequence number of the next batch */
	uint64_t last_sum; /* what its prev will be */
	uint64_t
		online; /* mask of shards that hold this history and are members of the epoch in force */
	uint64_t stale;	  /* mask of those that are not */
	uint64_t side[2]; /* after -ESTALE: the shards of either history */
};

/* What a shard says of itself besides its log. */
struct chain_shard {
	bool present;
	bool source; /* its log counts; needs @super */
	const struct super *super;
};

void chain_fini(struct chain *c); /* of one that is all zeros too */
int chain_add(struct chain *c, const struct chain_entry *e);

/* Find the log. @parity: how many shards may be missing when the volume is written.
 * Returns 0; -ENOMEM; -ESTALE: the shards have two histories, each with something that may have been acknowledged;
 * -EBADMSG: the end of the log is known to be missing; -ENODATA: no shard's log counts. */
int chain_build(struct chain *c, const struct chain_shard *shard, unsigned nr_shards,
		unsigned parity);

/* The item with sequence number @seq, or NULL. */
const struct chain_item *chain_find(const struct chain *c, uint64_t seq);

#endif
