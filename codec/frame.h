/* The container around one extent's encoded bytes, as it stands on disk. The byte table is in
 * frame.c.
 * Threads: any. */
#ifndef CODEC_FRAME_H
#define CODEC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "codec/codec.h"

/* A head, and the tiles' table. With one tile, its entry is that of the head. */
struct frame {
	struct codec_info info;
	uint32_t tile_len[CODEC_TILES_MAX]; /* stored bytes */
	uint32_t tile_sum[CODEC_TILES_MAX]; /* of the raw bytes */
};

/* The checksum of bytes in this format: the low half of XXH3-64. */
uint32_t frame_sum(const uint8_t *p, size_t len);

/* Tiles of an extent whose first item begins after @phase bytes, and the raw bytes that tile @idx of
 * them covers. */
unsigned frame_tiles(size_t raw_len, unsigned phase);
void frame_tile_range(size_t raw_len, unsigned phase, unsigned idx, size_t *from, size_t *to);

/* Write the head, of at most CODEC_HEAD_MAX bytes; set f->info.head_len. The caller answers for f's
 * ranges. */
void frame_encode(struct frame *f, uint8_t *head);

/* Read and verify a head. Containers of version 1 must be here whole: their head's checksum covers
 * the payload.
 * Returns 0, -EBADMSG or -ENOTSUP as codec_inspect() does; @f is untouched on failure. */
int frame_decode(const uint8_t *enc, size_t len, struct frame *f);

#endif
