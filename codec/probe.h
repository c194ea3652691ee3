/* What a sample of an extent says of the whole. Guesses only: a wrong one costs room or time, never
 * data.
 * Threads: any. */
#ifndef CODEC_PROBE_H
#define CODEC_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/base.h"

/* One bit per width: PROBE_WIDTH(1), PROBE_WIDTH(2), PROBE_WIDTH(4), PROBE_WIDTH(8). */
#define PROBE_WIDTH(w) (1u << (w))
#define PROBE_ALL      (PROBE_WIDTH(1) | PROBE_WIDTH(2) | PROBE_WIDTH(4) | PROBE_WIDTH(8))

struct probe {
	bool pays;     /* the sample shrinks enough to be worth it */
	uint8_t width; /* of the planes that shrink it most */
};

/* Stored lengths above this are not worth it: 3 %. A whole extent less is read raw, and needs no
 * decoder. */
static inline size_t probe_limit(size_t raw_len)
{
	return raw_len - (size_t)div_up(raw_len * 3, 100);
}

/* Extents shorter than this are not worth a glance: it would cost more than the 3 % of copying and
 * summing them that noise may cost. */
#define PROBE_GLANCE_MIN (512u << 10)

/* True when every byte is the same. Costs a few bytes' look unless the first ones are. */
bool probe_is_fill(const uint8_t *raw, size_t len);

/* A glance at 2 KiB of @len bytes: true when single bytes are so unevenly spread that coding them
 * alone would pay. Takes 1 us. */
bool probe_glance(const uint8_t *raw, size_t len);

/* Bytes of work space for probe_search(). */
size_t probe_work_len(size_t raw_len);

/* Compress a sample of @len bytes for each width in @widths (at least one), planes apart.
 * @phase  bytes before the first item, less than PLANES_MAX; taken modulo each width
 * @work   probe_work_len(len) bytes
 * Returns 0 or -ENOMEM. Takes about 0.1 ms for each width on a large extent. */
int probe_search(const uint8_t *raw, size_t len, unsigned widths, unsigned phase, uint8_t *work,
		 struct probe *found);

#endif
