/* Disks in memory behind the table of functions of raid/store.h, for tests that cut the power.
 *
 * A crash_disk is a set of shards, attached by any path that ends in a shard's number ("crash:0", "/x/1"). Each change
 * (write, punch, truncate, allocate, sync, create, mkdir, rename, unlink, sync_dir) is one step, numbered from 0 over all
 * shards; a batch's I/Os are done one after the other. What the power loss leaves is told at crash_resolve() in
 * crash_state.h.
 *
 * A test of recovery at every step records one run and makes images from the record, without running it again:
 *
 *	struct crash_disk *d = crash_disk_new(4, seed);
 *	crash_record(d);
 *	... the workload on crash_ops(d), noting crash_steps(d) after each promise it was given ...
 *	struct crash_journal *j = crash_record_end(d);
 *	struct crash_cursor *c = crash_cursor_new(j);
 *
 *	for (uint64_t step = 0; step <= crash_journal_end(j); step++) {
 *		struct crash_disk *image = crash_cursor_image(c, step, seed);
 *		... open the volume on crash_ops(image); promises given at or before @step hold ...
 *		crash_disk_free(image);
 *	}
 *
 * Threads: any for the table and for what says nothing else. Out of memory aborts. */
#ifndef SUPPORT_STORE_CRASH_H
#define SUPPORT_STORE_CRASH_H

#include "raid/store.h"
#include "tests/support/crash_state.h"

struct crash_disk;
struct crash_journal;
struct crash_cursor;

/* Empty shards, powered on. @seed: of what is left to chance while the power is on (see crash_fault). */
struct crash_disk *crash_disk_new(unsigned nr_shards, uint64_t seed);
/* Everything is detached already. */
void crash_disk_free(struct crash_disk *d);
/* The same bytes and names, seen and durable, the same step number; nothing open or locked, no faults, power on. */
struct crash_disk *crash_disk_clone(struct crash_disk *d);

/* The disk's; lives as long. */
const struct store_ops *crash_ops(struct crash_disk *d);

/* Steps done. */
uint64_t crash_steps(struct crash_disk *d);
/* Calls of a kind (CRASH_ANY: of all) that a shard was asked for, failed ones too. */
uint64_t crash_calls(struct crash_disk *d, unsigned shard, enum crash_kind kind);

/* ---- power ---- */

/* Cut the power when step number @step is about to be done: it and every later call fail with -EIO. At the present
 * step, cuts at once. UINT64_MAX: never. */
void crash_cut_at(struct crash_disk *d, uint64_t step);
bool crash_is_off(struct crash_disk *d);
/* Power is back; what survived is chosen by @seed. What was open before is of no use any more (-EIO) but must still be
 * closed and detached; locks are gone. Also where it was on: then the loss is now. Steps count on. */
void crash_power_on(struct crash_disk *d, uint64_t seed);
/* The program was killed, the machine was not: nothing is lost; what was open is treated as in crash_power_on(). */
void crash_process_kill(struct crash_disk *d);

/* ---- a record of one run ---- */

/* Keep every step from now on (also those of other threads). The memory is what is written. */
void crash_record(struct crash_disk *d);
/* The record, now the caller's. */
struct crash_journal *crash_record_end(struct crash_disk *d);
void crash_journal_free(struct crash_journal *j);
uint64_t crash_journal_begin(const struct crash_journal *j); /* number of the first step */
uint64_t crash_journal_end(const struct crash_journal *j);   /* one more than that of the last */
/* The step itself, for messages and to choose where to cut; the journal's. */
const struct crash_step *crash_journal_step(const struct crash_journal *j, uint64_t step);

/* What a power loss leaves that hits step number @step: those before it were done, it may be. @step is from _begin to
 * _end. A new disk, the caller's, whose steps count from 0. A cursor goes forward over the steps cheaply, back from the
 * start; one thread each, any number of them. crash_image_at() has one cursor for all, under a lock. */
struct crash_cursor *crash_cursor_new(const struct crash_journal *j);
void crash_cursor_free(struct crash_cursor *c);
struct crash_disk *crash_cursor_image(struct crash_cursor *c, uint64_t step, uint64_t seed);
struct crash_disk *crash_image_at(struct crash_journal *j, uint64_t step, uint64_t seed);
/* What a kill of the program before that step leaves: no loss. */
struct crash_disk *crash_cursor_killed(struct crash_cursor *c, uint64_t step);

/* ---- faults ---- */

#define CRASH_FOREVER UINT64_MAX

/* Fail calls of a kind (CRASH_ANY: all) on a shard with @err (negative): the next @after succeed, then @count fail. A
 * failed write has written some of its sectors, or none; after a failed sync what it covered is lost or not,
 * whatever later syncs say. Faults add up; the first that fits decides. */
void crash_fault(struct crash_disk *d, unsigned shard, enum crash_kind kind, uint64_t after,
		 uint64_t count, int err);
void crash_fault_clear(struct crash_disk *d);

/* From now on every call on the shard fails with @err and does nothing; 0: it is back, as it was. With -ENODEV or
 * -ENOENT its directory is gone: alive() says so, and attach() fails with it. */
void crash_shard_kill(struct crash_disk *d, unsigned shard, int err);

/* Bytes that the shard's files may take, in pages of 4 KiB. What is there stays. The default is 1 TiB. */
void crash_capacity(struct crash_disk *d, unsigned shard, uint64_t bytes);

/* ---- the bytes themselves, past all faults and locks; no step ---- */

struct crash_flip {
	char name[256];
	uint64_t off; /* bytes */
	uint8_t mask;
};
/* Flip up to @nr bits at random places of written pages in files whose names begin with @prefix, on disk and as seen.
 * @out (or NULL) gets each. Returns how many; fewer only when there is nothing to flip. */
unsigned crash_flip(struct crash_disk *d, unsigned shard, const char *prefix, uint64_t seed,
		    unsigned nr, struct crash_flip *out);
/* Overwrite or read bytes. -ENOENT, -ENODATA behind the end. */
int crash_poke(struct crash_disk *d, unsigned shard, const char *name, uint64_t off,
	       const void *data, size_t len);
int crash_peek(struct crash_disk *d, unsigned shard, const char *name, uint64_t off, void *buf,
	       size_t len);
/* Bytes that all files of the shard take. */
uint64_t crash_used(struct crash_disk *d, unsigned shard);

#endif
