/* A part of the cache: its entries, who has them pinned, and which go first.
 *
 * An entry is one of three kinds, each in the order of its own right (fs/order.h):
 *
 *   BYTES    raw bytes of an extent: all of them, or one tile's
 *   HEAD     the head of its container, by which a tile's stored bytes are found and read without the others
 *   STORED   the stored bytes of an extent, from which tiles are decoded; it goes when each tile has been, and early
 *            where it takes more memory than it saves
 *
 *   state    holds                                                    moved on by
 *   LOADING  in the table, pinned; one thread makes its bytes,        part_loaded(), by that thread
 *            without the lock; others wait
 *   READY    bytes are right; out of the table it goes with its       -
 *            last pin
 *   FAILED   out of the table; who waited finds the error, the last   -
 *            of them frees it
 *
 * What the arena has no room for even after evicting all that is unpinned gets memory of its own and is not kept:
 * readers never fail for want of cache. All else that is in the table is in the order.
 *
 * All is guarded by the part's lock, but what an entry's bytes are: while it is LOADING they are its loader's, and info
 * with them; while it is READY they do not change. */
#ifndef FS_PART_H
#define FS_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/codec.h"
#include "conf/lock.h"
#include "fs/order.h"

#define PART_BUCKETS_LOG 10
#define PART_BUCKETS	 (1u << PART_BUCKETS_LOG)
#define PART_RECENT_MAX	 4

enum entry_kind {
	ENTRY_BYTES,
	ENTRY_HEAD,
	ENTRY_STORED,
};

enum entry_state {
	ENTRY_LOADING,
	ENTRY_READY,
	ENTRY_FAILED,
};

struct cache_entry {
	uint64_t gen; /* of the extent */
	enum entry_kind kind;
	uint32_t from, to; /* the raw bytes that it has, or stands for */
	uint32_t len;	   /* of bytes */
	uint8_t *bytes;
	/* STORED, once READY: */
	struct codec_info info;
	uint32_t absent; /* a bit for each tile that was not here at any time since */
	/* the part's own: */
	enum entry_state state;
	int err;
	unsigned nr_pins;
	bool own; /* bytes are the heap's, not the arena's */
	bool hashed;
	struct recent *recent; /* it is in there */
	struct cache_entry *hash_next;
	struct order_item order; /* held: it is pinned */
};

/* The last few entries of a kind, all in the order and unpinned; it is over with those that others have followed. */
struct recent {
	struct cache_entry *entry[PART_RECENT_MAX]; /* NULL: none */
	unsigned nr, next;
};

struct part {
	struct lock lock;
	struct cond loaded;
	struct arena *arena;
	struct cache_entry *bucket[PART_BUCKETS]; /* all entries of an extent are in one */
	uint64_t limit;				  /* bytes of the arena that may be used */
	struct order order;
	struct recent spent; /* then they go */
	struct recent bulky; /* then they are the next to go */
	uint64_t nr, nr_hits, nr_misses, nr_evicted, nr_tiles, decoded_bytes;
};

/* @len: of the arena, bytes. The part is zeros before. */
int part_init(struct part *p, uint64_t len);
/* Nothing is pinned. */
void part_fini(struct part *p);

void part_lock(struct part *p) ACQUIRES(p->lock);
void part_unlock(struct part *p) RELEASES(p->lock);

/* Bytes that are kept from now on at most. */
void part_limit(struct part *p, uint64_t len) REQUIRES(p->lock);

/* What has the raw byte @off of an extent, and what has its head or its stored bytes: READY or LOADING, NULL if there is
 * none. */
struct cache_entry *part_bytes(struct part *p, uint64_t gen, uint32_t off) REQUIRES(p->lock);
struct cache_entry *part_head(struct part *p, uint64_t gen) REQUIRES(p->lock);
struct cache_entry *part_stored(struct part *p, uint64_t gen) REQUIRES(p->lock);
bool part_has(struct part *p, uint64_t gen) REQUIRES(p->lock);

/* A new entry of @len bytes for the raw bytes [@from, @to) of an extent, LOADING, pinned, in the table. NULL: no memory. */
struct cache_entry *part_add(struct part *p, uint64_t gen, enum entry_kind kind, uint32_t from,
			     uint32_t to, uint32_t len) REQUIRES(p->lock);
/* The bytes of @e, LOADING and pinned by the caller, are right; or there was an error, which is returned, and the pin is
 * gone. info of stored bytes is set. */
int part_loaded(struct part *p, struct cache_entry *e, int err) REQUIRES(p->lock);

/* Pin @e, which is READY. */
void part_pin(struct part *p, struct cache_entry *e) REQUIRES(p->lock);
/* Pin @e, and wait until it is READY: 0; or until it has failed: the error, and no pin. */
int part_join(struct part *p, struct cache_entry *e) REQUIRES(p->lock);
void part_unpin(struct part *p, struct cache_entry *e) REQUIRES(p->lock);
/* The raw bytes [@from, @to) of @e, which is pinned, were used. */
void part_use(struct part *p, struct cache_entry *e, uint32_t from, uint32_t to) REQUIRES(p->lock);
/* Unpin @e, which was brought in for a reader that may still come. */
void part_unpin_ahead(struct part *p, struct cache_entry *e) REQUIRES(p->lock);
/* Unpin @e, when it will hardly be wanted again, unless it has been wanted again. */
void part_unpin_spent(struct part *p, struct cache_entry *e) REQUIRES(p->lock);

/* @e is pinned: nobody else finds it from now on, and it goes with its last pin. */
void part_hide(struct part *p, struct cache_entry *e) REQUIRES(p->lock);
/* Tile @idx was decoded from @stored, which is pinned. */
void part_tile_made(struct part *p, struct cache_entry *stored, unsigned idx) REQUIRES(p->lock);
/* All of the extent is in @all: what else there is of it, unpinned, goes; it was wanted as much as they. */
void part_drop_others(struct part *p, struct cache_entry *all) REQUIRES(p->lock);

#endif
