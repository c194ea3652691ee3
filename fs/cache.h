/* Decoded extents in memory, by generation: an LRU over a memory-mapped arena.
 *
 * Generations are never used twice and extents never change, so an entry is never wrong; one whose extent is gone just
 * grows old. Threads: any. */
#ifndef FS_CACHE_H
#define FS_CACHE_H

#include "fs/extent.h"

struct cache;
struct cache_entry;

int cache_new(uint64_t len, struct cache **out);
void cache_free(struct cache *c);

/* The raw bytes of @e, pinned until cache_put(); read and decoded when they are not here.
 * @memory_only: -EAGAIN instead of reading. -EIO, -EBADMSG (also after repair), -ENOMEM. */
int cache_get(struct fs *fs, const struct extent *e, bool memory_only, struct cache_entry **out);
void cache_put(struct cache *c, struct cache_entry *entry);
/* The same, by a sequential reader that is through with it: the kernel keeps its pages, so this memory is better used
 * for what comes next. It goes after a few more of its kind, as requests may overtake each other a little. */
void cache_put_spent(struct cache *c, struct cache_entry *entry);
const uint8_t *cache_bytes(const struct cache_entry *entry);
/* It is here, or on its way. */
bool cache_has(struct cache *c, uint64_t gen);

struct cache_stat {
	uint64_t len, used; /* bytes */
	uint64_t nr_entries, nr_hits, nr_misses, nr_evicted;
};
void cache_stat_get(struct cache *c, struct cache_stat *out);

#endif
