/* The bytes of the log: one batch after another, each on its own blocks. Pure, but for the reads that the caller does.
 * Threads: any. */
#ifndef RAID_BATCH_H
#define RAID_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "raid/raid.h"

#define BATCH_HEAD_LEN RAID_BATCH_HEAD
#define BATCH_VERSION  1

enum batch_flags {
	BATCH_OWN =
		1, /* the raid's own, of no bytes: it stands for a change of members and is not replayed */
};

/* A batch's head. */
struct batch {
	uint32_t len; /* head and payload, bytes */
	uint32_t flags;
	uint64_t seq;
	uint8_t uuid[RAID_UUID_LEN];
	uint64_t epoch, nonce, members;
	uint64_t prev; /* the sum of the batch before it in the chain; 0 for the first of all */
	uint64_t payload_sum;
	uint64_t sum; /* of the head, which holds payload_sum: this names the batch */
};

/* Bytes that it takes on disk. */
static inline uint64_t batch_blocks_len(const struct batch *b)
{
	return round_up(b->len, BLOCK_LEN);
}

uint64_t batch_payload_sum(const struct iovec *iov, unsigned nr_iov);

/* Write the head, BATCH_HEAD_LEN bytes, and set b->sum. */
void batch_encode(struct batch *b, uint8_t *buf);

/* Decode a head. Returns 0, -EBADMSG, or -EPROTONOSUPPORT: intact, of a newer version. */
int batch_decode(const uint8_t *buf, size_t len, struct batch *out);

/* @payload, of @b->len - BATCH_HEAD_LEN bytes, is what was written. */
bool batch_payload_ok(const struct batch *b, const uint8_t *payload);

/* Find every whole, intact batch of the volume @uuid in a log file of @size bytes, in order of offset, whatever stands
 * between them.
 * @read   fill @len bytes from @off: 0, -EIO (then the place counts as damaged), or an error that ends the scan
 * @found  a non-zero return ends the scan and is returned
 * Returns also -EPROTONOSUPPORT and -ENOMEM. */
struct batch_scan {
	uint64_t size;
	const uint8_t *uuid;
	int (*read)(void *arg, uint64_t off, uint8_t *buf, size_t len);
	int (*found)(void *arg, const struct batch *b, uint64_t off);
	void *arg;
};
int batch_scan(const struct batch_scan *s);

#endif
