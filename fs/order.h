/* In which order the entries of a cache go: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction",
 * SOSP 2023), with byte lengths, pins, and a rule of its own for what counts as being wanted again.
 *
 *   where    holds                                       moved on by
 *   OUT      -                                           order_add() -> SMALL, or MAIN when it went from SMALL lately
 *   SMALL    a tenth of the bytes in a full cache:       order_next(): wanted again -> MAIN; else -> OUT, and its key
 *            what is new                                 is kept for a while (a ghost)
 *   MAIN     the rest: what was wanted more than once    order_next(): wanted again -> MAIN, at the newest end; else OUT
 *   any                                                  order_del() -> OUT
 *
 * So one pass over any number of bytes goes through SMALL and leaves MAIN alone. An item is wanted again when bytes of
 * it are used that were used before: a reader going through an extent in steps is not.
 *
 * The caller has a lock, and ends an item that it gets from order_next(). */
#ifndef FS_ORDER_H
#define FS_ORDER_H

#include <stdbool.h>
#include <stdint.h>

enum order_where {
	ORDER_OUT,
	ORDER_SMALL,
	ORDER_MAIN,
};

/* Zeros at first, but for held, which is the caller's: order_next() passes it over. */
struct order_item {
	struct order_item *newer, *older;
	uint64_t key;
	uint64_t born; /* bytes that had been added before; with @ahead */
	uint32_t len;
	uint32_t used_from, used_to; /* of what order_use() was told of */
	uint8_t heat;		     /* how often it was wanted again since it was moved; bounded */
	bool ahead;		     /* brought in for somebody who has not come yet */
	bool held;
	enum order_where where;
};

struct order_queue {
	struct order_item ring; /* ring.newer is the oldest, ring.older the newest */
	uint64_t nr, len;
};

struct order_ghost;

struct order {
	uint64_t len; /* bytes that fit, about */
	struct order_queue small, main;
	uint64_t added;	  /* bytes, ever */
	uint64_t noted;	  /* bytes of ghosts, ever */
	uint64_t nr_sets; /* of ghosts; a power of two */
	struct order_ghost *ghost;
	uint64_t nr_ghost_hits; /* items added while their key was a ghost */
};

/* 0 or -ENOMEM. order_fini() is safe after either; all items are OUT then. */
int order_init(struct order *o, uint64_t len);
void order_fini(struct order *o);

/* @key tells it from others, also after it is gone. */
void order_add(struct order *o, struct order_item *i, uint64_t key, uint32_t len);
void order_del(struct order *o, struct order_item *i);
/* Bytes [@from, @to) were used, in any numbering that is always the same. */
void order_use(struct order_item *i, uint32_t from, uint32_t to);
/* It is wanted again. */
void order_warm(struct order_item *i);
/* It was brought in for a reader to come: it has time until half of the cache's bytes have been added after it. */
void order_ahead(struct order *o, struct order_item *i);
/* @i has what @old had, which goes. */
void order_follow(struct order *o, struct order_item *i, const struct order_item *old);
/* Nobody wanted it more than once, as far as is known. */
bool order_cold(const struct order_item *i);
/* The next one to go when memory is short. */
void order_first(struct order *o, struct order_item *i);
/* It goes now as from SMALL: remember its key. */
void order_note(struct order *o, const struct order_item *i);
/* What is to go, which is OUT now; NULL: all are held. */
struct order_item *order_next(struct order *o);

/* Assert the table. */
void order_check(const struct order *o);

#endif
