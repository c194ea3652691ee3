/* Parity over the chunks of a stripe: P is their xor, Q is GF(2^8) with the weights 2^i, both by
 * ISA-L. With k = 1 the m parity chunks are copies. At most STRIPE_WIDTH_MAX chunks; m is at
 * most 2 unless k is 1. No alignment is asked. Threads: any. */
#ifndef RAID_PARITY_H
#define RAID_PARITY_H

#include <stddef.h>
#include <stdint.h>

/* @data: k pointers to @len bytes, borrowed. @parity: m pointers to @len bytes that are filled. */
void parity_encode(unsigned k, unsigned m, size_t len, const uint8_t *const data[],
		   uint8_t *const parity[]);

/* Compute lost chunks from good ones.
 * @chunk  k + m pointers to @len bytes, data first; those in neither mask are not touched and may
 *         be NULL
 * @good   mask of the chunks whose bytes are right, at least k of them
 * @want   mask of the chunks to fill; disjoint from @good
 * Returns 0, or -EIO when fewer than k are good. */
int parity_rebuild(unsigned k, unsigned m, size_t len, uint8_t *const chunk[], uint32_t good,
		   uint32_t want);

#endif
