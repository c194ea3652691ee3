/* Bundles: parts of files that are stored as one extent, because each alone is small.
 *
 * The raw bytes of a bundle begin with a table of what follows, so that files can be dug out by chunks alone; the map
 * entries of the files show their parts of it (extent_insert_parts()). Its owner's offset is no place in a file but
 * marked as what it is.
 *
 *   0   4   magic "MFBN"
 *   4   4   nr, parts
 *   8   24 each: inode u64, offset in the file u64, length u32, 0 u32; then the parts' bytes, in order
 */
#ifndef FS_BUNDLE_H
#define FS_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raid/raid.h"

#define BUNDLE_MARK	(1ULL << 63) /* in an owner's file_off; the rest of it is nr */
#define BUNDLE_HEAD_LEN 8u
#define BUNDLE_PART_LEN 24u

struct bundle_part {
	uint64_t ino, off;
	uint32_t len;
	uint32_t skip; /* where its bytes begin in the bundle */
};

static inline bool bundle_is(const struct stripe_owner *owner)
{
	return owner->file_off & BUNDLE_MARK;
}

/* Bytes of the table of @nr parts. */
static inline size_t bundle_table_len(unsigned nr)
{
	return BUNDLE_HEAD_LEN + (size_t)nr * BUNDLE_PART_LEN;
}

/* Write the table to @buf, bundle_table_len(@nr) bytes, and say where each part's bytes belong: part[].skip. */
void bundle_put(struct bundle_part *part, unsigned nr, uint8_t *buf);

/* The number of parts in a bundle's @len raw bytes, verified: all that bundle_part() gives is within them.
 * -EBADMSG: no bundle. */
int bundle_count(const uint8_t *raw, size_t len, unsigned *nr);
/* Part @idx; in order, with *at 0 before the first call: bundle_part() moves it on. */
void bundle_part(const uint8_t *raw, unsigned nr, unsigned idx, uint32_t *at,
		 struct bundle_part *out);

#endif
