/* What a look at an extent says of the whole, before any search is made. Guesses only: a wrong one
 * costs room or time, never data.
 * Threads: any. */
#ifndef CODEC_PROBE_H
#define CODEC_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/base.h"

/* Stored lengths above this are not worth it: 3 %. A whole extent less is read raw, and needs no
 * decoder. */
static inline size_t probe_limit(size_t raw_len)
{
	return raw_len - (size_t)div_up(raw_len * 3, 100);
}

/* Extents shorter than this are not worth a glance: it would take longer than their checksum. */
#define PROBE_GLANCE_MIN (16u << 10)

/* True when every byte is the same. Costs a few bytes' look unless the first ones are. */
bool probe_is_fill(const uint8_t *raw, size_t len);

/* A glance at 2 KiB of @len bytes: true when single bytes are so unevenly spread that coding them
 * alone would pay. Takes 1 us. */
bool probe_glance(const uint8_t *raw, size_t len);

/* A look at 4 KiB: true when they are ASCII text of many different characters, as prose and programs are. Columns of numbers
 * and sequences over a small alphabet are not. Takes 3 us. */
bool probe_is_text(const uint8_t *raw, size_t len);

#endif
