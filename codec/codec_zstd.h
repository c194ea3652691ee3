/* libzstd, with what is worth keeping between calls kept per thread: its contexts, and one buffer.
 * Threads: any; each has its own state, freed when it ends. */
#ifndef CODEC_CODEC_ZSTD_H
#define CODEC_CODEC_ZSTD_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that one frame of @len bytes takes at most. */
size_t codec_zstd_bound(size_t len);

/* Compress @len bytes into one frame at @dst.
 * Returns 0 and the frame's length in *@got; -ENOMEM; or -ENOSPC when it does not fit into @room
 * bytes, which for a room of codec_zstd_bound(len) does not happen. */
int codec_zstd_pack(int level, const uint8_t *src, size_t len, uint8_t *dst, size_t room,
		    size_t *got);

/* Decompress all frames in @len bytes; together they must give exactly @raw_len bytes.
 * Returns 0, -EBADMSG or -ENOMEM. */
int codec_zstd_unpack(const uint8_t *src, size_t len, uint8_t *raw, size_t raw_len);

/* This thread's buffer, of @len bytes at least, aligned to 64; its content is undefined. It stays
 * this module's and is valid until the thread asks again. NULL when there is no memory. */
uint8_t *codec_zstd_buffer(size_t len);

#endif
