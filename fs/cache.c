/* The cache of decoded extents.
 *
 * Shards of it (by generation) have their own lock, table, LRU list and arena, so that readers of different extents
 * seldom meet.
 *
 *   state    holds                                             moved on by
 *   LOADING  bytes are being read by one thread; others wait   the loader -> READY, or out of the table after an error
 *   READY    bytes are right; in the LRU list while unpinned    eviction -> freed
 *
 * An extent for which the arena has no room even after evicting all that is unpinned gets memory of its own and is not
 * kept: readers never fail for want of cache. */
#include "fs/cache.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"
#include "conf/log.h"
#include "fs/arena.h"

#define BUCKETS	   1024
#define SHARD_LEN  (32 * MIB) /* of arena, at least: eight of the largest extents */
#define PARTS_MAX  16
#define SPENT_KEPT 2 /* spent entries that a part keeps */

enum entry_state {
	ENTRY_LOADING,
	ENTRY_READY,
};

struct cache_entry {
	uint64_t gen;
	enum entry_state state; /* guarded by the part's lock, as all below */
	int err;
	unsigned nr_pins;
	uint32_t len;
	uint8_t *bytes;
	bool own; /* bytes are the heap's, not the arena's */
	bool hashed;
	bool spent; /* in part.spent */
	struct cache_entry *hash_next;
	struct cache_entry *newer, *older; /* in the LRU list */
};

struct part {
	struct lock lock;
	struct cond loaded;
	struct arena *arena;
	struct cache_entry *bucket[BUCKETS];
	struct cache_entry lru; /* a ring: lru.newer is the oldest, lru.older the newest */
	struct cache_entry *spent[SPENT_KEPT]; /* in the LRU list, too; NULL: none */
	unsigned next_spent;
	uint64_t nr, nr_hits, nr_misses, nr_evicted;
};

struct cache {
	unsigned nr_parts;
	struct part part[PARTS_MAX];
};

static struct part *cache_part(struct cache *c, uint64_t gen)
{
	return &c->part[gen % c->nr_parts];
}

static struct cache_entry **entry_slot(struct part *p, uint64_t gen)
{
	struct cache_entry **e = &p->bucket[gen / PARTS_MAX % BUCKETS];

	while (*e && (*e)->gen != gen)
		e = &(*e)->hash_next;
	return e;
}

int cache_new(uint64_t len, struct cache **out)
{
	struct cache *c = calloc(1, sizeof(*c));
	uint64_t nr = MIN(MAX(len / SHARD_LEN, (uint64_t)1), (uint64_t)PARTS_MAX);
	int err = 0;

	if (!c)
		return -ENOMEM;
	for (; c->nr_parts < nr && !err; c->nr_parts++) {
		struct part *p = &c->part[c->nr_parts];

		err = arena_new(len / nr, false, &p->arena);
		if (err)
			break;
		lock_init(&p->lock);
		cond_init(&p->loaded);
		p->lru.newer = p->lru.older = &p->lru;
	}
	if (err)
		cache_free(c);
	else
		*out = c;
	return err;
}

/* Somebody wants it after all, or it goes. */
static void spent_forget(struct part *p, struct cache_entry *e)
{
	for (unsigned i = 0; e->spent && i < SPENT_KEPT; i++) {
		if (p->spent[i] == e)
			p->spent[i] = NULL;
	}
	e->spent = false;
}

static void lru_del(struct part *p, struct cache_entry *e)
{
	spent_forget(p, e);
	if (!e->newer)
		return;
	e->newer->older = e->older;
	e->older->newer = e->newer;
	e->newer = e->older = NULL;
}

static void lru_add(struct part *p, struct cache_entry *e)
{
	e->older = p->lru.older;
	e->newer = &p->lru;
	e->older->newer = e;
	p->lru.older = e;
}

static void entry_unhash(struct part *p, struct cache_entry *e)
{
	if (!e->hashed)
		return;
	*entry_slot(p, e->gen) = e->hash_next;
	e->hashed = false;
	p->nr--;
}

static void entry_free(struct part *p, struct cache_entry *e)
{
	if (e->bytes && e->own)
		free(e->bytes);
	else if (e->bytes)
		arena_give(p->arena, e->bytes, e->len);
	free(e);
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->nr_parts; i++) {
		struct part *p = &c->part[i];

		while (p->lru.newer != &p->lru) {
			struct cache_entry *e = p->lru.newer;

			lru_del(p, e);
			entry_unhash(p, e);
			entry_free(p, e);
		}
		arena_free(p->arena);
		cond_fini(&p->loaded);
		lock_fini(&p->lock);
	}
	free(c);
}

static bool evict_oldest(struct part *p)
{
	struct cache_entry *e = p->lru.newer;

	if (e == &p->lru)
		return false;
	lru_del(p, e);
	entry_unhash(p, e);
	entry_free(p, e);
	p->nr_evicted++;
	return true;
}

/* A new entry, LOADING, pinned once, in the table. */
static struct cache_entry *entry_new(struct part *p, uint64_t gen, uint32_t len)
{
	struct cache_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->gen = gen;
	e->len = len;
	e->nr_pins = 1;
	do {
		e->bytes = arena_take(p->arena, len);
	} while (!e->bytes && evict_oldest(p));
	if (!e->bytes) {
		e->own = true;
		e->bytes = malloc(len);
	}
	if (!e->bytes) {
		free(e);
		return NULL;
	}
	e->hash_next = p->bucket[gen / PARTS_MAX % BUCKETS];
	p->bucket[gen / PARTS_MAX % BUCKETS] = e;
	e->hashed = true;
	p->nr++;
	return e;
}

static int entry_read(struct fs *fs, const struct extent *x, uint8_t *bytes)
{
	AUTO_FREE uint8_t *enc = malloc(x->loc.len);
	int err;

	if (!enc)
		return -ENOMEM;
	err = raid_read(fs->raid, &x->owner, &x->loc, enc);
	if (!err)
		err = codec_decode(enc, x->loc.len, bytes, x->owner.raw_len);
	if (err == -EBADMSG)
		log_error("inode %llu, offset %llu: the stored bytes are intact but do not decode; "
			  "restore the file "
			  "from a copy",
			  (unsigned long long)x->owner.ino, (unsigned long long)x->owner.file_off);
	return err == -EBADMSG ? -EIO : err;
}

static void entry_unpin(struct part *p, struct cache_entry *e)
{
	if (--e->nr_pins)
		return;
	if (e->hashed && !e->own && !e->err) {
		lru_add(p, e);
		return;
	}
	entry_unhash(p, e);
	entry_free(p, e);
}

int cache_get(struct fs *fs, const struct extent *x, bool memory_only, struct cache_entry **out)
{
	struct part *p = cache_part(fs->cache, x->gen);
	struct cache_entry *e;
	int err;

	lock_take(&p->lock);
	e = *entry_slot(p, x->gen);
	if (e && (e->state == ENTRY_READY || !memory_only)) {
		p->nr_hits++;
		lru_del(p, e);
		e->nr_pins++;
		while (e->state == ENTRY_LOADING)
			cond_wait(&p->loaded, &p->lock);
		err = e->err;
		if (err)
			entry_unpin(p, e);
		else
			*out = e;
		lock_release(&p->lock);
		return err;
	}
	if (memory_only) {
		lock_release(&p->lock);
		return -EAGAIN;
	}
	p->nr_misses++;
	e = entry_new(p, x->gen, x->owner.raw_len);
	lock_release(&p->lock);
	if (!e)
		return -ENOMEM;
	err = entry_read(fs, x, e->bytes);
	lock_take(&p->lock);
	e->state = ENTRY_READY;
	e->err = err;
	if (err)
		entry_unhash(p, e);
	cond_broadcast(&p->loaded);
	if (err)
		entry_unpin(p, e);
	else
		*out = e;
	lock_release(&p->lock);
	return err;
}

void cache_put(struct cache *c, struct cache_entry *e)
{
	struct part *p = cache_part(c, e->gen);

	lock_take(&p->lock);
	entry_unpin(p, e);
	lock_release(&p->lock);
}

void cache_put_spent(struct cache *c, struct cache_entry *e)
{
	struct part *p = cache_part(c, e->gen);
	struct cache_entry *old = NULL;

	lock_take(&p->lock);
	if (e->nr_pins == 1 && e->hashed && !e->own && !e->err) {
		old = p->spent[p->next_spent];
		p->spent[p->next_spent] = e;
		p->next_spent = (p->next_spent + 1) % SPENT_KEPT;
		e->spent = true;
	}
	entry_unpin(p, e);
	if (old) {
		lru_del(p, old);
		entry_unhash(p, old);
		entry_free(p, old);
	}
	lock_release(&p->lock);
}

const uint8_t *cache_bytes(const struct cache_entry *e)
{
	return e->bytes;
}

bool cache_has(struct cache *c, uint64_t gen)
{
	struct part *p = cache_part(c, gen);
	bool has;

	lock_take(&p->lock);
	has = *entry_slot(p, gen) != NULL;
	lock_release(&p->lock);
	return has;
}

void cache_stat_get(struct cache *c, struct cache_stat *out)
{
	*out = (struct cache_stat){0};
	for (unsigned i = 0; i < c->nr_parts; i++) {
		struct part *p = &c->part[i];

		lock_take(&p->lock);
		out->nr_entries += p->nr;
		out->nr_hits += p->nr_hits;
		out->nr_misses += p->nr_misses;
		out->nr_evicted += p->nr_evicted;
		lock_release(&p->lock);
		out->len += arena_len(p->arena);
		out->used += arena_used(p->arena);
	}
}
