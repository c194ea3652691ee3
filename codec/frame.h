/* The container around one extent's encoded bytes, as it stands on disk. The byte table is in
 * frame.c.
 * Threads: any. */
#ifndef CODEC_FRAME_H
#define CODEC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "codec/codec.h"

/* A decoded head. */
struct frame {
	struct codec_info info;
	uint32_t raw_sum; /* of the extent before encoding */
};

/* The checksum of bytes in this format: the low half of XXH3-64. */
uint32_t frame_sum(const uint8_t *p, size_t len);

/* Write the head for a payload of f->info.stored_len bytes. The caller answers for f's ranges. */
void frame_encode(const struct frame *f, const uint8_t *payload, uint8_t head[CODEC_HEAD_LEN]);

/* Read and verify a head, and that the payload is there within @len bytes. The payload of zstd and
 * fill is verified too; that of raw is what f->raw_sum is for, and is left to who reads those
 * bytes.
 * Returns 0, -EBADMSG or -ENOTSUP as codec_inspect() does; @f is untouched on failure. */
int frame_decode(const uint8_t *enc, size_t len, struct frame *f);

#endif
