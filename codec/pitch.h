/* Find the length of the rows of an array from its bytes, where no head tells it.
 *
 * The neighbours' difference is compared with itself so many items before: where that is a row (or
 * several), edges meet edges, and what is left is least.
 * Threads: any. */
#ifndef CODEC_PITCH_H
#define CODEC_PITCH_H

#include <stddef.h>
#include <stdint.h>

#define PITCH_NR 3u

/* Bytes of work space for @len bytes. */
size_t pitch_work_len(size_t len);

/* Rank the distances at which @len bytes of items of @width bytes repeat themselves.
 * @dist   items to the neighbour that belongs to the same component
 * @pitch  filled with up to PITCH_NR distances in bytes, the likeliest first
 * Returns how many; 0 where nothing stands out. Takes some 0.5 ms for a tile. */
unsigned pitch_find(const uint8_t *items, size_t len, unsigned width, unsigned dist, uint8_t *work,
		    uint32_t pitch[PITCH_NR]);

#endif
