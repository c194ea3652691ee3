/* What a filtered tile would take, guessed from a sample, in integers only: a GPU reckons the same.
 *
 * A plane is looked at in parts of 16 KiB, the last one shorter. Of each part the 2 KiB from an
 * eighth on and the 2 KiB from five eighths on are counted, of a part below 8 KiB all of it. Not
 * counted are bytes that are equal to the 15 before them within the same piece: long runs become
 * matches. Code lengths are those that block.c would begin with (block_shannon()).
 * Threads: any. */
#ifndef CODEC_ESTIMATE_H
#define CODEC_ESTIMATE_H

#include <stddef.h>
#include <stdint.h>

#define ESTIMATE_PART	16384u
#define ESTIMATE_MAX	(256u << 10) /* a quarter of it is what block_shannon_root() takes */
#define ESTIMATE_PIECE	2048u
#define ESTIMATE_SHORT	8192u /* a part below this is counted whole */
#define ESTIMATE_RUN	16u
#define ESTIMATE_TABLE	40u /* bytes for the tables of a coded plane */
#define ESTIMATE_SYMBOL 23u /* 0.72 bits, in 1/32 bit, for each symbol but one: a sample flatters */

/* Stored bytes of one plane of @n bytes, up to ESTIMATE_MAX. */
size_t estimate_plane(const uint8_t *plane, size_t n);

/* The same of a filtered tile of @len bytes, @phase of them before the first item, in @width
 * planes. */
size_t estimate_tile(const uint8_t *filtered, size_t len, unsigned phase, unsigned width);

#endif
