/* Two queues, first in, first out, and a table of ghosts.
 *
 * Chosen by simulation (hits in percent, 1000 entries, traces of 100,000 to 200,000 steps; 2Q with a quarter and a half,
 * as its authors have it; LIRS with one percent):
 *
 *                                            LRU     2Q     ARC    LIRS   S3-FIFO
 *   Zipf 1.0 over 10,000                    67.5   71.8    72.7    72.4    73.4
 *   the same, each step beside one of a scan 55.8  71.7    74.1    73.6    73.9
 *   hot 900, ten scans of 5,000             91.1   91.1    99.0    99.1    99.0
 *   hot 700, 1,500 others looped ten times  93.0   93.0    99.3    99.3    99.3
 *   a loop over 1.1 times the cache          0.0   81.6     0.0    89.1    74.8
 *   the hot set moves each 20,000           95.5   95.5    95.4    91.6    92.5
 *   a scan in eight steps an entry + Zipf   64.6   71.5    66.1    66.0    68.4
 *
 * The last one is why steps through an entry do not count as wanting it again: then S3-FIFO has what it has beside the
 * scan in whole entries. A hit moves nothing. */
#include "fs/order.h"

#include <assert.h>

#include "conf/base.h"

#define SMALL_PART 10 /* of the bytes; the authors' choice */
#define HEAT_MAX   3  /* as theirs */
#define AHEAD_PART 2
#define SET_SLOTS  4
#define STAMP_LEN  4096 /* bytes that a stamp counts by */
/* One ghost, of eight bytes, for so many of cache: less than most entries have. */
#define GHOST_EACH (16 * KIB)
#define GHOST_MIN  64

/* tag 0: none. A set is searched by tag; the oldest of a set makes room. */
struct order_ghost {
	uint32_t tag, stamp;
};

/* ---- ghosts ---- */

static struct order_ghost *ghost_set(const struct order *o, uint64_t key, uint32_t *tag)
{
	uint64_t hash = key * 0x9E3779B97F4A7C15U;

	hash = (hash ^ hash >> 29) * 0xBF58476D1CE4E5B9U;
	*tag = (uint32_t)(hash >> 32) | 1;
	return o->ghost + (hash & (o->nr_sets - 1)) * SET_SLOTS;
}

/* Stamps wrap, so an age is right for 16 TiB. */
static uint32_t ghost_now(const struct order *o)
{
	return (uint32_t)(o->noted / STAMP_LEN);
}

void order_note(struct order *o, const struct order_item *i)
{
	uint32_t tag, now = ghost_now(o);
	struct order_ghost *set = ghost_set(o, i->key, &tag), *slot = set;

	for (unsigned n = 1; n < SET_SLOTS && slot->tag; n++) {
		if (!set[n].tag || now - set[n].stamp > now - slot->stamp)
			slot = &set[n];
	}
	*slot = (struct order_ghost){.tag = tag, .stamp = now};
	o->noted += i->len;
}

/* As many bytes are remembered as MAIN holds. */
static bool ghost_take(struct order *o, uint64_t key)
{
	uint32_t tag, now = ghost_now(o);
	struct order_ghost *set = ghost_set(o, key, &tag);

	for (unsigned n = 0; n < SET_SLOTS; n++) {
		if (set[n].tag != tag)
			continue;
		set[n].tag = 0;
		return now - set[n].stamp <= (o->len - o->len / SMALL_PART) / STAMP_LEN;
	}
	return false;
}

/* ---- queues ---- */

static struct order_queue *queue_of(struct order *o, enum order_where where)
{
	return where == ORDER_MAIN ? &o->main : &o->small;
}

static void link_before(struct order_item *i, struct order_item *newer)
{
	i->newer = newer;
	i->older = newer->older;
	i->older->newer = i;
	newer->older = i;
}

/* At the newest end. */
static void enter(struct order *o, struct order_item *i, enum order_where where)
{
	struct order_queue *q = queue_of(o, where);

	link_before(i, &q->ring);
	i->where = where;
	q->nr++;
	q->len += i->len;
}

void order_del(struct order *o, struct order_item *i)
{
	struct order_queue *q = queue_of(o, i->where);

	if (i->where == ORDER_OUT)
		return;
	i->newer->older = i->older;
	i->older->newer = i->newer;
	i->newer = i->older = NULL;
	i->where = ORDER_OUT;
	q->nr--;
	q->len -= i->len;
}

static void move(struct order *o, struct order_item *i, enum order_where where)
{
	order_del(o, i);
	enter(o, i, where);
}

int order_init(struct order *o, uint64_t len)
{
	*o = (struct order){.len = len, .nr_sets = GHOST_MIN / SET_SLOTS};
	o->small.ring.newer = o->small.ring.older = &o->small.ring;
	o->main.ring.newer = o->main.ring.older = &o->main.ring;
	while (o->nr_sets * SET_SLOTS * GHOST_EACH < len)
		o->nr_sets *= 2;
	o->ghost = calloc(o->nr_sets * SET_SLOTS, sizeof(*o->ghost));
	return o->ghost ? 0 : -ENOMEM;
}

void order_fini(struct order *o)
{
	assert(!o->small.nr && !o->main.nr);
	free(o->ghost);
	o->ghost = NULL;
}

void order_add(struct order *o, struct order_item *i, uint64_t key, uint32_t len)
{
	bool known = ghost_take(o, key);

	i->key = key;
	i->len = len;
	o->added += len;
	o->nr_ghost_hits += known;
	enter(o, i, known ? ORDER_MAIN : ORDER_SMALL);
}

/* ---- what is wanted ---- */

void order_warm(struct order_item *i)
{
	i->heat = (uint8_t)MIN(i->heat + 1, HEAT_MAX);
}

void order_use(struct order_item *i, uint32_t from, uint32_t to)
{
	if (!i->used_to) {
		i->used_from = from;
		i->used_to = to;
		return;
	}
	if (from < i->used_to && to > i->used_from)
		order_warm(i);
	i->used_from = MIN(i->used_from, from);
	i->used_to = MAX(i->used_to, to);
}

void order_ahead(struct order *o, struct order_item *i)
{
	i->ahead = !i->used_to;
	i->born = o->added;
}

bool order_cold(const struct order_item *i)
{
	return i->where != ORDER_MAIN && !i->heat;
}

void order_follow(struct order *o, struct order_item *i, const struct order_item *old)
{
	i->heat = MAX(i->heat, old->heat);
	if (old->where == ORDER_MAIN && i->where == ORDER_SMALL)
		move(o, i, ORDER_MAIN);
}

void order_first(struct order *o, struct order_item *i)
{
	if (i->where == ORDER_OUT)
		return;
	move(o, i, ORDER_SMALL);
	/* From the newest end to the oldest. */
	i->newer->older = i->older;
	i->older->newer = i->newer;
	link_before(i, o->small.ring.newer);
	i->heat = 0;
	i->ahead = false;
}

/* ---- who goes ---- */

static bool is_early(const struct order *o, const struct order_item *i)
{
	return i->ahead && !i->used_to && o->added - i->born < o->len / AHEAD_PART;
}

/* Each is looked at once. */
static struct order_item *next_small(struct order *o)
{
	for (uint64_t n = o->small.nr; n; n--) {
		struct order_item *i = o->small.ring.newer;

		if (i->held || is_early(o, i)) {
			move(o, i, ORDER_SMALL);
		} else if (i->heat) {
			i->heat = 0;
			move(o, i, ORDER_MAIN);
		} else {
			order_note(o, i);
			return i;
		}
	}
	return NULL;
}

/* Each turn costs heat that as many uses have brought. */
static struct order_item *next_main(struct order *o)
{
	for (uint64_t n = o->main.nr * (HEAT_MAX + 1); n; n--) {
		struct order_item *i = o->main.ring.newer;

		if (!i->held && !i->heat)
			return i;
		i->heat -= !i->held;
		move(o, i, ORDER_MAIN);
	}
	return NULL;
}

/* When nothing else is left, what is early goes, too. */
static struct order_item *next_any(struct order *o)
{
	for (struct order_item *i = o->small.ring.newer; i != &o->small.ring; i = i->newer) {
		if (!i->held)
			return i;
	}
	return NULL;
}

struct order_item *order_next(struct order *o)
{
	struct order_item *i = NULL;

	if (o->small.len >= o->len / SMALL_PART)
		i = next_small(o);
	if (!i)
		i = next_main(o);
	if (!i)
		i = next_small(o);
	/* All of SMALL may have moved on. */
	if (!i)
		i = next_main(o);
	if (!i)
		i = next_any(o);
	if (i)
		order_del(o, i);
	return i;
}

static void queue_check(const struct order_queue *q, enum order_where where)
{
	uint64_t nr = 0, len = 0;

	for (const struct order_item *i = q->ring.newer; i != &q->ring; i = i->newer) {
		assert(i->where == where && i->newer->older == i && i->heat <= HEAT_MAX);
		nr++;
		len += i->len;
	}
	assert(nr == q->nr && len == q->len);
}

void order_check(const struct order *o)
{
	queue_check(&o->small, ORDER_SMALL);
	queue_check(&o->main, ORDER_MAIN);
}
