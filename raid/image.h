/* The bytes of a checkpoint: a head, frames, a tail. Decoders are pure; writing and reading are raid_checkpoint_*().
 * Threads: any. */
#ifndef RAID_IMAGE_H
#define RAID_IMAGE_H

#include "raid/raid.h"

#define IMAGE_VERSION	 1
#define IMAGE_HEAD_LEN	 4096
#define IMAGE_FRAME_MAX	 ((size_t)MIB) /* with its head */
#define IMAGE_FRAME_HEAD 32

struct image_head {
	uint64_t seq; /* replay batches from here on */
	uint8_t uuid[RAID_UUID_LEN];
	uint64_t epoch;
	uint64_t nonce; /* of this writing; frames are bound to it */
};
void image_head_encode(const struct image_head *h, uint8_t buf[IMAGE_HEAD_LEN]);
/* Returns 0, -EBADMSG or -EPROTONOSUPPORT. */
int image_head_decode(const uint8_t *buf, size_t len, struct image_head *out);

/* A frame, or the tail, which says how many there were. */
struct image_frame {
	bool tail;
	uint32_t len;	/* payload bytes; of the tail 0 */
	uint64_t idx;	/* counts from 0; of the tail: how many frames */
	uint64_t total; /* payload bytes of all frames before this */
};
/* @buf: the payload stands at IMAGE_FRAME_HEAD already. Returns the bytes on disk, a multiple of BLOCK_LEN, zeroed up
 * to there. @buf has room for it. */
size_t image_frame_encode(const struct image_frame *f, uint64_t nonce, uint8_t *buf);
/* @len: what there is, at least the frame and its padding. Returns 0 or -EBADMSG. */
int image_frame_decode(const uint8_t *buf, size_t len, uint64_t nonce, struct image_frame *out);

/* Write the newest image once more, so that STALE shards get it, and rejoin. Where the volume has no image yet they
 * rejoin with the whole log. Returns 0 or what raid_checkpoint_read() or _commit() gave. */
int image_renew(struct raid *r);

#endif
