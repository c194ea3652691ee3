/* An open `struct raid` without superblocks and log, for the tests of stripes, segments and
 * space. Failed asserts of cmocka end the test. */
#ifndef SUPPORT_RAID_MAKE_H
#define SUPPORT_RAID_MAKE_H

#include "raid/shard.h"

/* Attach the shards at @path (geo->nr_shards of them; NULL: missing) and open segments and
 * space. */
struct raid *raid_make(const struct store_ops *ops, const char *const *path,
		       const struct raid_geometry *geo, bool rdonly);
void raid_unmake(struct raid *r);

/* An empty directory of its own below TMPDIR; remove it and all in it. */
char *raid_make_dir(void);
void raid_make_rmdir(char *path);

/* @nr paths in the new directory *top, made; freed by raid_make_dirs_free(). */
char **raid_make_dirs(unsigned nr, char **top);
void raid_make_dirs_free(char **path, unsigned nr, char *top);

/* Bytes that no codec would shorten, the same for the same seed. */
void raid_make_bytes(uint8_t *buf, size_t len, uint64_t seed);

#endif
