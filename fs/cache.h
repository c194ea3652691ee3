/* Decoded bytes of extents in memory, over a memory-mapped arena; one pass over many does not drive out what is wanted
 * more than once.
 *
 * An extent is decoded whole, or tile by tile as its bytes are asked for; then its stored bytes are kept, too, for the
 * tiles that may follow. Generations are never used twice and extents never change, so an entry is never wrong; one
 * whose extent is gone just grows old. Threads: any. */
#ifndef FS_CACHE_H
#define FS_CACHE_H

#include "fs/extent.h"

struct cache;
struct cache_entry;

int cache_new(uint64_t len, struct cache **out);
void cache_free(struct cache *c);

/* An entry that has the raw byte @from of @x, pinned until cache_put(); read and decoded when it is not here.
 * @to: what the caller wants in all, [@from, @to): most of an extent is decoded in one go. The entry may end before;
 * then ask again from there.
 * @memory_only: -EAGAIN instead of reading or decoding. -EIO (also for what does not decode, which no repair can mend;
 * the extent's other tiles may be right), -ENOTSUP, -ENOMEM. */
int cache_get(struct fs *fs, const struct extent *x, uint32_t from, uint32_t to, bool memory_only,
	      struct cache_entry **out);
void cache_put(struct cache *c, struct cache_entry *entry);
/* The same, when its raw bytes [@from, @to) were used: what is used again stays longer. */
void cache_put_used(struct cache *c, struct cache_entry *entry, uint32_t from, uint32_t to);
/* The same, when it was brought in for a reader that may still come. */
void cache_put_ahead(struct cache *c, struct cache_entry *entry);
/* The same, by a sequential reader that is through with it: the kernel keeps its pages, so this memory is better used
 * for what comes next. It goes after a few more of its kind, as requests may overtake each other a little;
 * but not what others have used again. */
void cache_put_spent(struct cache *c, struct cache_entry *entry);
/* The raw byte @off of the extent, which @entry has, and how many it has from there on. */
const uint8_t *cache_bytes(const struct cache_entry *entry, uint32_t off, uint32_t *len);
/* What is kept shall take at most @len bytes from now on; pinned entries may stay above. */
void cache_limit(struct cache *c, uint64_t len);
/* Give the system the memory that is free. */
void cache_trim(struct cache *c);
/* Something of it is here, or on its way. */
bool cache_has(struct cache *c, uint64_t gen);

struct cache_stat {
	uint64_t len, used; /* bytes */
	uint64_t nr_entries;
	uint64_t nr_hits, nr_misses; /* of calls of cache_get() that were answered */
	uint64_t nr_evicted;
	uint64_t nr_ghost_hits;		  /* misses of what had gone not long before */
	uint64_t main_len, main_nr;	  /* of entries that were wanted again */
	uint64_t nr_tiles, decoded_bytes; /* decoded; a whole extent counts as its tiles */
};
void cache_stat_get(struct cache *c, struct cache_stat *out);

#endif
