/* One history out of many copies.
 *
 * Each batch names its sequence number, the batch before it (prev), and the epoch it belongs to: a number, a random
 * nonce, and the members, the shards that all had it on disk before it was acknowledged.
 *
 * The chain rule. A batch follows another when its prev is the other's sum and its seq is one more. Two batches may
 * have the same seq and prev: then the one of the newer epoch counts. That is how a vote looks: the batch that a member
 * failed to take is written again, behind itself, as the first of the next epoch, and acknowledged only as that.
 *
 * The newest epoch in force on any shard gives the history (trunk). A shard whose newest epoch is in the trunk's
 * history has nothing of its own: if it is a member it only lags and gets what it misses; otherwise it is stale. A shard
 * with an epoch that is not in the trunk's history diverged, and then it matters what may have been acknowledged. An
 * epoch was never acknowledged (is void) when one of its members surely does not have it: because that one is here and
 * does not, or because that one, here or not, took part in an epoch of the other side that was on all its members
 * (firm), whose history does not have it. A shard all of whose own epochs are void is stale. If it is not, but all of the
 * trunk's own epochs are void, it becomes the trunk. Otherwise both sides may hold acknowledged changes: split history.
 *
 * (Where the volume has more than twice as many shards as may be missing, any two sets that could be written have a
 * shard in common, and no split can come about. With two mirrors each can be written without the other.)
 *
 * A torn batch at the end is simply not found, and nothing follows it. A damaged one in the middle is found on another
 * shard, or leaves a gap: what comes later exists, so it is not an end. */
#include "raid/chain.h"

#include <string.h>

#include "conf/base.h"

/* The epochs that a shard knows. */
struct history {
	struct chain_epoch *e; /* sorted by number, then nonce */
	unsigned nr, cap;
	bool cut; /* older ones were forgotten */
};

void chain_fini(struct chain *c)
{
	free(c->entry);
	free(c->item);
	free(c->epoch);
	*c = (struct chain){0};
}

int chain_add(struct chain *c, const struct chain_entry *e)
{
	if (c->nr_entries == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;
		struct chain_entry *p = realloc(c->entry, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		c->entry = p;
		c->cap = cap;
	}
	c->entry[c->nr_entries++] = *e;
	return 0;
}

static int cmp_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int entry_cmp(const void *a, const void *b)
{
	const struct chain_entry *x = a, *y = b;
	int d = cmp_u64(x->b.sum, y->b.sum);

	d = d ? d : cmp_u64(x->shard, y->shard);
	d = d ? d : cmp_u64(x->file, y->file);
	return d ? d : cmp_u64(x->off, y->off);
}

/* ---- histories ---- */

/* Where (@epoch, @nonce) is, or would be inserted. */
static unsigned history_pos(const struct history *h, uint64_t epoch, uint64_t nonce, bool *there)
{
	unsigned lo = 0, hi = h->nr;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		int d = cmp_u64(h->e[mid].e.epoch, epoch);

		d = d ? d : cmp_u64(h->e[mid].e.nonce, nonce);
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*there = lo < h->nr && h->e[lo].e.epoch == epoch && h->e[lo].e.nonce == nonce;
	return lo;
}

static bool history_has(const struct history *h, const struct super_epoch *e)
{
	bool there;

	history_pos(h, e->epoch, e->nonce, &there);
	return there;
}

static int history_add(struct history *h, const struct super_epoch *e, bool firm)
{
	bool there;
	unsigned at = history_pos(h, e->epoch, e->nonce, &there);

	if (there) {
		/* A second batch is begun only when the first is on every member. */
		h->e[at].firm |= firm || h->e[at].e.first_seq != e->first_seq;
		h->e[at].e.first_seq = MIN(h->e[at].e.first_seq, e->first_seq);
		return 0;
	}
	if (h->nr == h->cap) {
		unsigned cap = h->cap ? 2 * h->cap : 2 * SUPER_EPOCHS;
		struct chain_epoch *p = realloc(h->e, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		h->e = p;
		h->cap = cap;
	}
	memmove(h->e + at + 1, h->e + at, (h->nr - at) * sizeof(*h->e));
	h->e[at] = (struct chain_epoch){*e, firm};
	h->nr++;
	return 0;
}

static int history_load(struct history *h, const struct chain *c, unsigned idx,
			const struct chain_shard *shard)
{
	int err = 0;

	for (unsigned i = 0; !err && i < shard->super->nr_epochs; i++)
		err = history_add(h, &shard->super->epoch[i], true);
	h->cut = shard->super->nr_epochs == SUPER_EPOCHS;
	for (size_t i = 0; !err && i < c->nr_entries; i++) {
		const struct batch *b = &c->entry[i].b;
		const struct super_epoch e = {b->epoch, b->nonce, b->members, b->seq};

		if (c->entry[i].shard == idx)
			err = history_add(h, &e, false);
	}
	return err;
}

/* What one shard knows to be firm is so for all. */
static void history_share(struct history *h, const struct history *from)
{
	for (unsigned i = 0; i < from->nr; i++) {
		bool there;
		unsigned at = history_pos(h, from->e[i].e.epoch, from->e[i].e.nonce, &there);

		if (there)
			h->e[at].firm |= from->e[i].firm;
	}
}

static const struct super_epoch *history_last(const struct history *h)
{
	return &h->e[h->nr - 1].e;
}

struct choice {
	const struct chain_shard *shard;
	struct history *h; /* one a shard; empty where it is no source */
	unsigned nr, parity;
};

/* Has @h never had @e? Not when it may only have forgotten it. */
static bool never_had(const struct history *h, const struct super_epoch *e)
{
	return !history_has(h, e) && (!h->cut || e->epoch > h->e[0].e.epoch);
}

/* Some member of @e is here and does not have it. */
static bool member_lacks(const struct choice *ch, const struct super_epoch *e)
{
	for (unsigned i = 0; i < ch->nr; i++) {
		if (ch->shard[i].source && e->members >> i & 1 && never_had(&ch->h[i], e))
			return true;
	}
	return false;
}

/* Some member of @e, which only @own has, went the way of @other, which does not lead through it. */
static bool member_went(const struct history *own, const struct history *other,
			const struct super_epoch *e)
{
	for (unsigned i = 0; never_had(other, e) && i < other->nr; i++) {
		const struct chain_epoch *y = &other->e[i];

		if (y->firm && y->e.members & e->members && never_had(own, &y->e))
			return true;
	}
	return false;
}

/* Everything that @own has and @other has not was never acknowledged. */
static bool branch_void(const struct choice *ch, unsigned own, unsigned other)
{
	const struct history *a = &ch->h[own], *b = &ch->h[other];

	for (unsigned i = 0; i < a->nr; i++) {
		const struct super_epoch *e = &a->e[i].e;

		if (!history_has(b, e) && !member_lacks(ch, e) && !member_went(a, b, e))
			return false;
	}
	return true;
}

enum relation {
	SAME, /* nothing of its own */
	VOID, /* something of its own, never acknowledged */
	WINS, /* the trunk's own is what was never acknowledged */
	SPLIT,
};

static enum relation relation_to_trunk(const struct choice *ch, unsigned trunk, unsigned i)
{
	const struct history *t = &ch->h[trunk];
	const struct super_epoch *last = history_last(&ch->h[i]);

	if (history_has(t, last))
		return SAME;
	/* Away for longer than histories reach: nothing to compare. */
	if (ch->nr > 2 * ch->parity && t->cut && last->epoch < t->e[0].e.epoch)
		return SAME;
	if (branch_void(ch, i, trunk))
		return VOID;
	return branch_void(ch, trunk, i) ? WINS : SPLIT;
}

/* The source with the newest epoch among @mask. */
static int newest_source(const struct choice *ch, uint64_t mask)
{
	int best = -1;

	for (unsigned i = 0; i < ch->nr; i++) {
		if (mask >> i & 1 && (best < 0 || history_last(&ch->h[i])->epoch >
							  history_last(&ch->h[best])->epoch))
			best = (int)i;
	}
	return best;
}

static void split_sides(const struct choice *ch, unsigned trunk, unsigned other, uint64_t side[2])
{
	side[0] = side[1] = 0;
	for (unsigned i = 0; i < ch->nr; i++) {
		if (!ch->shard[i].source)
			continue;
		if (history_has(&ch->h[other], history_last(&ch->h[i])) && i != trunk)
			side[1] |= 1ULL << i;
		else
			side[0] |= 1ULL << i;
	}
}

/* Sets *trunk, and *same: the sources that have nothing of their own. */
static int choose_trunk(const struct choice *ch, unsigned *trunk, uint64_t *same, uint64_t side[2])
{
	uint64_t mask = 0, lost = 0;
	int t;

	for (unsigned i = 0; i < ch->nr; i++)
		mask |= (uint64_t)ch->shard[i].source << i;
again:
	t = newest_source(ch, mask & ~lost);
	if (t < 0)
		return -ENODATA;
	*same = 0;
	for (unsigned i = 0; i < ch->nr; i++) {
		if (!(mask >> i & 1))
			continue;
		switch (relation_to_trunk(ch, (unsigned)t, i)) {
		case SAME:
			*same |= 1ULL << i;
			break;
		case VOID:
			break;
		case WINS:
			if (!(lost >> i & 1)) {
				lost |= 1ULL << t;
				goto again;
			}
			/* fallthrough */
		case SPLIT:
			split_sides(ch, (unsigned)t, i, side);
			return -ESTALE;
		}
	}
	*trunk = (unsigned)t;
	return 0;
}

/* ---- the chain ---- */

static bool in_history(const struct chain *c, const struct batch *b)
{
	const struct history h = {.e = c->epoch, .nr = c->nr_epochs};
	const struct super_epoch e = {.epoch = b->epoch, .nonce = b->nonce};

	return history_has(&h, &e);
}

/* Binary search; the first of equal ones. */
static const struct chain_entry *entry_find(const struct chain *c, uint64_t sum)
{
	size_t lo = 0, hi = c->nr_entries;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->entry[mid].b.sum < sum)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->nr_entries && c->entry[lo].b.sum == sum ? &c->entry[lo] : NULL;
}

/* The newest batch of the history with a sequence number below @seq: what to go on from after a gap, and with
 * UINT64_MAX the end of the log. Epochs only grow along the log, so the newest epoch comes first. */
static const struct chain_entry *newest_below(const struct chain *c, uint64_t seq, uint64_t epoch)
{
	const struct chain_entry *best = NULL;

	for (size_t i = 0; i < c->nr_entries; i++) {
		const struct chain_entry *e = &c->entry[i];

		if (e->b.seq >= seq || e->b.epoch > epoch || !in_history(c, &e->b))
			continue;
		if (!best || e->b.epoch > best->b.epoch ||
		    (e->b.epoch == best->b.epoch && e->b.seq > best->b.seq))
			best = e;
	}
	return best ? entry_find(c, best->b.sum) : NULL;
}

static int item_add(struct chain *c, size_t *cap, const struct chain_entry *e)
{
	if (c->nr_items == *cap) {
		size_t n = *cap ? 2 * *cap : 64;
		struct chain_item *p = realloc(c->item, n * sizeof(*p));

		if (!p)
			return -ENOMEM;
		c->item = p;
		*cap = n;
	}
	c->item[c->nr_items++] = (struct chain_item){.entry = (size_t)(e - c->entry)};
	return 0;
}

/* Follow prev from the end to the beginning. */
static int chain_walk(struct chain *c)
{
	const struct chain_entry *e = newest_below(c, UINT64_MAX, UINT64_MAX);
	size_t cap = 0;

	while (e) {
		const struct batch *b = &e->b;
		const struct chain_entry *before;

		if (item_add(c, &cap, e))
			return -ENOMEM;
		before = b->seq > 1 ? entry_find(c, b->prev) : NULL;
		if (before && (before->b.seq != b->seq - 1 || before->b.epoch > b->epoch))
			before = NULL;
		if (!before && b->seq > 1) {
			/* Either the log was cut here, or this is damage. Which, the checkpoint tells. */
			c->item[c->nr_items - 1].gap = true;
			before = newest_below(c, b->seq, b->epoch);
		}
		e = before;
	}
	for (size_t i = 0; i < c->nr_items / 2; i++) {
		struct chain_item t = c->item[i];

		c->item[i] = c->item[c->nr_items - 1 - i];
		c->item[c->nr_items - 1 - i] = t;
	}
	return 0;
}

static int chain_finish(struct chain *c, const struct choice *ch, unsigned trunk, uint64_t same)
{
	const struct super_epoch *last;
	int err;

	c->epoch = TAKE_PTR(ch->h[trunk].e);
	c->nr_epochs = ch->h[trunk].nr;
	ch->h[trunk].nr = 0;
	last = &c->epoch[c->nr_epochs - 1].e;
	for (unsigned i = 0; i < ch->nr; i++) {
		if (!ch->shard[i].present)
			continue;
		if (same >> i & 1 && last->members >> i & 1)
			c->online |= 1ULL << i;
		else
			c->stale |= 1ULL << i;
	}
	err = chain_walk(c);
	if (err)
		return err;
	c->next = 1;
	if (c->nr_items > 0) {
		const struct batch *b = &c->entry[c->item[c->nr_items - 1].entry].b;

		c->next = b->seq + 1;
		c->last_sum = b->sum;
	}
	/* The first batch of an epoch is on disk before any superblock tells of the epoch. */
	if (last->first_seq > 1 && c->next <= last->first_seq)
		return -EBADMSG;
	return 0;
}

int chain_build(struct chain *c, const struct chain_shard *shard, unsigned nr_shards,
		unsigned parity)
{
	struct history h[SHARD_MAX] = {{0}};
	struct choice ch = {.shard = shard, .h = h, .nr = nr_shards, .parity = parity};
	unsigned trunk = 0;
	uint64_t same = 0;
	int err = 0;

	if (c->nr_entries)
		qsort(c->entry, c->nr_entries, sizeof(*c->entry), entry_cmp);
	for (unsigned i = 0; !err && i < nr_shards; i++) {
		if (shard[i].source)
			err = history_load(&h[i], c, i, &shard[i]);
	}
	for (unsigned i = 0; !err && i < nr_shards * nr_shards; i++)
		history_share(&h[i / nr_shards], &h[i % nr_shards]);
	if (!err)
		err = choose_trunk(&ch, &trunk, &same, c->side);
	if (!err)
		err = chain_finish(c, &ch, trunk, same);
	for (unsigned i = 0; i < nr_shards; i++)
		free(h[i].e);
	return err;
}

const struct chain_item *chain_find(const struct chain *c, uint64_t seq)
{
	size_t lo = 0, hi = c->nr_items;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->entry[c->item[mid].entry].b.seq < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->nr_items && c->entry[c->item[lo].entry].b.seq == seq ? &c->item[lo] : NULL;
}
