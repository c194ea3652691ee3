/* Aligned memory for the time of one call, kept for the next one: a megabyte fresh from the
 * kernel costs more to fault in than to use. Threads: any. */
#ifndef RAID_SCRATCH_H
#define RAID_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

struct scratch;

struct scratch *scratch_new(void); /* NULL: no memory */
void scratch_free(struct scratch *p);

/* At least @len bytes, aligned to a page, contents undefined. NULL: no memory. */
uint8_t *scratch_get(struct scratch *p, size_t len);
void scratch_put(struct scratch *p, uint8_t *buf); /* NULL is fine */

#endif
