/* A volume on disks in memory, whose log says of itself whether it is whole: batch n holds the number n and bytes that
 * follow from it, an image holds how many batches went into it.
 * Failed asserts of cmocka end the test. */
#ifndef SUPPORT_RAID_VOLUME_H
#define SUPPORT_RAID_VOLUME_H

#include "raid/raid.h"
#include "tests/support/store_crash.h"

struct volume {
	struct crash_disk *disk; /* borrowed */
	char path[SHARD_MAX][24];
	const char *paths[SHARD_MAX];
	struct raid_params p;
	struct raid *r;
	char why[512];
	uint64_t n;	  /* batches in it, as far as recovery or appends told */
	size_t image_len; /* bytes of an image, at least 8 */
};

/* @nr shards of @disk; RAID_LEVEL_ANY or a level. Nothing is opened. */
void volume_init(struct volume *v, struct crash_disk *disk, unsigned nr, uint8_t level);
/* raid_open() with v->p: what it returns. */
int volume_open(struct volume *v);
/* Only the shards of @mask. */
int volume_open_some(struct volume *v, uint64_t mask);
/* Read the newest image, replay what follows, check every byte; sets v->n. Returns what failed, else 0. */
int volume_recover(struct volume *v);
/* Batch v->n + 1; counts it when it was acknowledged. */
int volume_append(struct volume *v);
int volume_checkpoint(struct volume *v);
void volume_close(struct volume *v, bool clean);

/* Open, recover, append, checkpoint, close clean, open again and find the same: what must work after any accident. */
void volume_must_work(struct volume *v);

enum shard_state volume_state(struct volume *v, unsigned idx);

#endif
