/* The table of a part, its order and its arena. */
#include "fs/part.h"

#include <assert.h>

#include "conf/base.h"
#include "fs/arena.h"

#define SPENT_KEPT 2
/* As many readers may go through an extent each, tile by tile, in a cache that is full. */
#define BULKY_KEPT 4

_Static_assert(SPENT_KEPT <= PART_RECENT_MAX && BULKY_KEPT <= PART_RECENT_MAX, "there is room");
_Static_assert(CODEC_TILES_MAX <= 32, "absent has a bit for each tile");

static struct cache_entry **part_bucket(struct part *p, uint64_t gen)
{
	/* The numbers of a part have any distance; a product's high bits spread them all the same. */
	return &p->bucket[(gen * 0x9E3779B97F4A7C15U) >> (64 - PART_BUCKETS_LOG)];
}

/* ---- the states, asserted ---- */

#ifdef MATFS_DEBUG
static void entry_check(const struct cache_entry *e)
{
	bool ordered = e->order.where != ORDER_OUT;

	assert(e->hashed && e->bytes && e->from < e->to && !e->err);
	assert(e->state == ENTRY_LOADING || e->state == ENTRY_READY);
	assert(e->state != ENTRY_LOADING || e->nr_pins);
	assert(ordered == !e->own && e->order.held == (e->nr_pins != 0));
	assert(!e->own || e->nr_pins);
	assert(!e->recent || (ordered && !e->nr_pins));
	assert(e->kind != ENTRY_STORED || e->state != ENTRY_READY || e->absent);
	/* Each byte is here once as an entry of its size: no two threads made the same. */
	for (const struct cache_entry *o = e->hash_next; o; o = o->hash_next)
		assert(o->gen != e->gen || o->kind != e->kind || o->from != e->from ||
		       o->to != e->to);
}

static void part_check(struct part *p) REQUIRES(p->lock)
{
	uint64_t nr = 0, nr_ordered = 0;

	for (unsigned i = 0; i < PART_BUCKETS; i++) {
		for (const struct cache_entry *e = p->bucket[i]; e; e = e->hash_next) {
			entry_check(e);
			nr_ordered += !e->own;
			nr++;
		}
	}
	assert(nr == p->nr);
	assert(nr_ordered == p->order.small.nr + p->order.main.nr);
	order_check(&p->order);
}
#else
static void part_check(struct part *p) REQUIRES(p->lock)
{
	(void)p;
}
#endif

void part_unlock(struct part *p)
{
	part_check(p);
	lock_release(&p->lock);
}

void part_lock(struct part *p)
{
	lock_take(&p->lock);
}

/* ---- the order in which entries go ---- */

/* Returns the one that has had enough of them follow, or NULL. */
static struct cache_entry *recent_add(struct recent *r, struct cache_entry *e)
{
	struct cache_entry *old = r->entry[r->next];

	r->entry[r->next] = e;
	r->next = (r->next + 1) % r->nr;
	e->recent = r;
	if (old)
		old->recent = NULL;
	return old;
}

/* Somebody wants it after all, or it goes. */
static void recent_del(struct cache_entry *e)
{
	struct recent *r = e->recent;

	for (unsigned i = 0; r && i < r->nr; i++) {
		if (r->entry[i] == e)
			r->entry[i] = NULL;
	}
	e->recent = NULL;
}

/* Stored bytes that, with the tiles decoded from them, take more memory than all of the extent would. In a cache that is
 * full this memory is better used for tiles: reading 256 MiB at random, of bytes that shrink by 13 %, never got beyond
 * 30 % hits in a cache of 300 MiB while stored bytes aged as all else; so it finds all but the first of each tile. */
static bool entry_is_bulky(const struct cache_entry *e)
{
	unsigned nr = (unsigned)__builtin_popcount(e->absent);

	if (e->kind != ENTRY_STORED)
		return false;
	return arena_piece_len(e->len) + (size_t)(e->info.nr_tiles - nr) * CODEC_TILE_LEN > e->to;
}

static struct cache_entry *entry_of(struct order_item *i)
{
	return container_of(i, struct cache_entry, order);
}

/* The last pin of what is in the order is gone. */
static void order_enter(struct part *p, struct cache_entry *e)
{
	struct cache_entry *old;

	if (!entry_is_bulky(e))
		return;
	old = recent_add(&p->bulky, e);
	if (old)
		order_first(&p->order, &old->order);
}

/* ---- entries ---- */

static void entry_unhash(struct part *p, struct cache_entry *e)
{
	struct cache_entry **slot = part_bucket(p, e->gen);

	if (!e->hashed)
		return;
	recent_del(e);
	order_del(&p->order, &e->order);
	while (*slot != e)
		slot = &(*slot)->hash_next;
	*slot = e->hash_next;
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

/* Out of everything, and no more; nobody has it pinned. */
static void entry_drop(struct part *p, struct cache_entry *e)
{
	entry_unhash(p, e);
	entry_free(p, e);
}

static bool evict(struct part *p)
{
	struct order_item *i = order_next(&p->order);

	if (!i)
		return false;
	entry_drop(p, entry_of(i));
	p->nr_evicted++;
	return true;
}

int part_init(struct part *p, uint64_t len)
{
	int err = arena_new(len, false, &p->arena);

	if (!err)
		err = order_init(&p->order, len);
	if (err) {
		arena_free(p->arena);
		return err;
	}
	lock_init(&p->lock);
	cond_init(&p->loaded);
	p->limit = arena_len(p->arena);
	p->spent.nr = SPENT_KEPT;
	p->bulky.nr = BULKY_KEPT;
	return 0;
}

void part_limit(struct part *p, uint64_t len)
{
	p->limit = MIN(len, arena_len(p->arena));
	while (arena_used(p->arena) > p->limit && evict(p))
		;
}

void part_fini(struct part *p)
{
	struct order_item *i;

	while ((i = order_next(&p->order)))
		entry_drop(p, entry_of(i));
	order_fini(&p->order);
	arena_free(p->arena);
	cond_fini(&p->loaded);
	lock_fini(&p->lock);
}

/* All of an extent has a key of its own: generations are far from 2^40. */
static uint64_t entry_key(const struct cache_entry *e)
{
	uint64_t first = e->from / CODEC_TILE_LEN, last = (e->to - 1) / CODEC_TILE_LEN;

	return e->gen << 24 | (uint64_t)e->kind << 16 | first << 8 | last;
}

struct cache_entry *part_add(struct part *p, uint64_t gen, enum entry_kind kind, uint32_t from,
			     uint32_t to, uint32_t len)
{
	struct cache_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	*e = (struct cache_entry){.gen = gen,
				  .kind = kind,
				  .from = from,
				  .to = to,
				  .len = len,
				  .nr_pins = 1,
				  .order = {.held = true}};
	/* The longest extents are longer than any piece when they are stored raw. */
	while (arena_used(p->arena) + arena_piece_len(len) > p->limit && evict(p))
		;
	while (len <= ARENA_PIECE_MAX && !(e->bytes = arena_take(p->arena, len)))
		if (!evict(p))
			break;
	if (!e->bytes) {
		e->own = true;
		e->bytes = malloc(len);
	}
	if (!e->bytes) {
		free(e);
		return NULL;
	}
	e->hash_next = *part_bucket(p, gen);
	*part_bucket(p, gen) = e;
	e->hashed = true;
	p->nr++;
	if (!e->own)
		order_add(&p->order, &e->order, entry_key(e), (uint32_t)arena_piece_len(len));
	return e;
}

void part_pin(struct part *p, struct cache_entry *e)
{
	(void)p;
	recent_del(e);
	e->order.held = true;
	e->nr_pins++;
}

void part_unpin(struct part *p, struct cache_entry *e)
{
	if (--e->nr_pins)
		return;
	e->order.held = false;
	if (e->hashed && !e->own) {
		order_enter(p, e);
		return;
	}
	entry_unhash(p, e);
	entry_free(p, e);
}

void part_unpin_spent(struct part *p, struct cache_entry *e)
{
	struct cache_entry *old = NULL;
	bool last = e->nr_pins == 1 && e->hashed && !e->own;

	part_unpin(p, e);
	if (last && order_cold(&e->order))
		old = recent_add(&p->spent, e);
	if (!old)
		return;
	order_note(&p->order, &old->order);
	entry_drop(p, old);
}

void part_unpin_ahead(struct part *p, struct cache_entry *e)
{
	order_ahead(&p->order, &e->order);
	part_unpin(p, e);
}

void part_use(struct part *p, struct cache_entry *e, uint32_t from, uint32_t to)
{
	(void)p;
	order_use(&e->order, from, to);
}

void part_hide(struct part *p, struct cache_entry *e)
{
	entry_unhash(p, e);
}

/* @stored has been read: which tiles are not here, or on their way. */
static void find_absent(struct part *p, struct cache_entry *stored) REQUIRES(p->lock)
{
	stored->absent = UINT32_MAX >> (32 - stored->info.nr_tiles);
	for (const struct cache_entry *e = *part_bucket(p, stored->gen); e; e = e->hash_next) {
		if (e->gen == stored->gen && e->kind == ENTRY_BYTES)
			stored->absent &= ~(1u << codec_tile_at(&stored->info, e->from));
	}
	if (!stored->absent)
		entry_unhash(p, stored);
}

int part_loaded(struct part *p, struct cache_entry *e, int err)
{
	e->state = err ? ENTRY_FAILED : ENTRY_READY;
	e->err = err;
	if (err) {
		entry_unhash(p, e);
		part_unpin(p, e);
	} else if (e->kind == ENTRY_STORED) {
		find_absent(p, e);
	}
	cond_broadcast(&p->loaded);
	return err;
}

int part_join(struct part *p, struct cache_entry *e)
{
	int err;

	part_pin(p, e);
	/* Others are used when they are put. */
	if (e->kind != ENTRY_BYTES)
		order_warm(&e->order);
	while (e->state == ENTRY_LOADING) {
		part_check(p);
		cond_wait(&p->loaded, &p->lock);
	}
	err = e->err;
	if (err)
		part_unpin(p, e);
	return err;
}

void part_tile_made(struct part *p, struct cache_entry *stored, unsigned idx)
{
	stored->absent &= ~(1u << idx);
	if (!stored->absent)
		entry_unhash(p, stored);
}

void part_drop_others(struct part *p, struct cache_entry *all)
{
	struct cache_entry *next;

	for (struct cache_entry *e = *part_bucket(p, all->gen); e; e = next) {
		next = e->hash_next;
		if (e->gen != all->gen || e == all || e->nr_pins)
			continue;
		if (e->kind == ENTRY_BYTES)
			order_follow(&p->order, &all->order, &e->order);
		entry_drop(p, e);
	}
}

/* ---- finding ---- */

struct cache_entry *part_bytes(struct part *p, uint64_t gen, uint32_t off)
{
	struct cache_entry *found = NULL;

	for (struct cache_entry *e = *part_bucket(p, gen); e; e = e->hash_next) {
		if (e->gen != gen || e->kind != ENTRY_BYTES || off < e->from || off >= e->to)
			continue;
		if (e->state == ENTRY_READY)
			return e;
		found = e;
	}
	return found;
}

static struct cache_entry *part_kind(struct part *p, uint64_t gen, enum entry_kind kind)
	REQUIRES(p->lock)
{
	struct cache_entry *e = *part_bucket(p, gen);

	while (e && (e->gen != gen || e->kind != kind))
		e = e->hash_next;
	return e;
}

struct cache_entry *part_head(struct part *p, uint64_t gen)
{
	return part_kind(p, gen, ENTRY_HEAD);
}

struct cache_entry *part_stored(struct part *p, uint64_t gen)
{
	return part_kind(p, gen, ENTRY_STORED);
}

bool part_has(struct part *p, uint64_t gen)
{
	struct cache_entry *e = *part_bucket(p, gen);

	while (e && e->gen != gen)
		e = e->hash_next;
	return e != NULL;
}
