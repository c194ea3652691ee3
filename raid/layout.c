/* Where a stripe goes.
 *
 * A stripe of k data and m parity chunks takes (k + m) * blocks(k) blocks; the k that takes the
 * least is chosen among those for which enough shards have room for a whole chunk. Which shards:
 * those with the most room first, so that small and large ones run full together, and in turns
 * among those that differ by less than 1/64, so that equal ones share the load. layout_fill()
 * computes what that amounts to for many stripes at once.
 *
 * Invariant of layout_fill(): t units of width w (one block on each of w different shards) fit
 * on shards with b[i] blocks exactly when sum(min(b[i], t)) >= w * t; taking them from the top
 * down leaves the most for what follows. */
#include "raid/layout.h"

#include <assert.h>
#include <string.h>

#include "raid/chunk.h"

/* Within this part of the least space a long stripe takes the widest form. */
#define LAYOUT_WASTE_MAX(least) ((least) + (least) / 20)

/* Room that differs by less than this part of the least is about equal. Of the least, so that
 * the order is strict when one of them is nearly full: layout_promise() counts on that. */
#define LAYOUT_LEVELS 64

unsigned raid_parity(const struct raid_geometry *g)
{
	switch (g->level) {
	case 1:
		return g->copies - 1u;
	case 5:
		return 1;
	case 6:
		return 2;
	default:
		return 0;
	}
}

uint32_t layout_payload_len(uint32_t len, unsigned k)
{
	return k == 1 ? len : (uint32_t)round_up(div_up(len, k), 64);
}

uint32_t layout_blocks(uint32_t len, unsigned k)
{
	return (uint32_t)div_up((uint64_t)CHUNK_HEAD_LEN + layout_payload_len(len, k), BLOCK_LEN);
}

/* The best k among 1..@k_max for which has_room[k]; 0 when there is none. */
static unsigned width_pick(const bool *has_room, unsigned m, unsigned k_max, uint32_t len)
{
	uint32_t cost[STRIPE_WIDTH_MAX + 1];
	uint32_t least = UINT32_MAX;
	unsigned best = 0;

	for (unsigned k = 1; k <= k_max; k++) {
		if (!has_room[k])
			continue;
		cost[k] = (k + m) * layout_blocks(len, k);
		if (cost[k] < least) {
			least = cost[k];
			best = k;
		}
	}
	if (!best || len < LAYOUT_WIDE_LEN)
		return best;
	for (unsigned k = best + 1; k <= k_max; k++) {
		if (has_room[k] && cost[k] <= LAYOUT_WASTE_MAX(least))
			best = k;
	}
	return best;
}

unsigned layout_width(unsigned nr, unsigned m, unsigned k_max, uint32_t len)
{
	bool has_room[STRIPE_WIDTH_MAX + 1];

	k_max = MIN(k_max, STRIPE_WIDTH_MAX - m);
	for (unsigned k = 1; k <= k_max; k++)
		has_room[k] = k + m <= nr;
	return width_pick(has_room, m, k_max, len);
}

static unsigned count_room(const struct layout_cand *cand, unsigned nr, uint32_t blocks)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nr; i++)
		n += cand[i].blocks >= blocks;
	return n;
}

/* What candidates are sorted by: the level of room, descending, then the turn. */
struct ranked {
	uint64_t level;
	unsigned turn;
	uint8_t shard;
};

static bool rank_before(const struct ranked *a, const struct ranked *b)
{
	if (a->level != b->level)
		return a->level > b->level;
	return a->turn < b->turn;
}

/* The @width best candidates with room for a chunk, in turns: the first one moves on with each
 * generation, and with it the parity, which is last, and the copy that is read. */
static void pick_shards(const struct layout_cand *cand, unsigned nr, uint32_t blocks,
			unsigned width, uint64_t gen, uint8_t *out)
{
	struct ranked best[STRIPE_WIDTH_MAX] = {0};
	uint64_t least = UINT64_MAX;
	uint64_t step;
	unsigned n = 0;

	for (unsigned i = 0; i < nr; i++) {
		if (cand[i].blocks >= blocks)
			least = MIN(least, cand[i].blocks);
	}
	step = least / LAYOUT_LEVELS + 1;
	for (unsigned i = 0; i < nr; i++) {
		struct ranked r;
		unsigned at;

		if (cand[i].blocks < blocks)
			continue;
		r = (struct ranked){
			.level = (cand[i].blocks - least) / step,
			.turn = (unsigned)((i + nr - gen % nr) % nr),
			.shard = cand[i].shard,
		};
		if (n == width && !rank_before(&r, &best[n - 1]))
			continue;
		if (n < width)
			n++;
		for (at = n - 1; at > 0 && rank_before(&r, &best[at - 1]); at--)
			best[at] = best[at - 1];
		best[at] = r;
	}
	assert(n == width);
	for (unsigned i = 0; i < n; i++) {
		unsigned at = i;

		struct ranked r = best[i];

		for (; at > 0 && best[at - 1].turn > r.turn; at--)
			best[at] = best[at - 1];
		best[at] = r;
	}
	for (unsigned i = 0; i < n; i++)
		out[i] = best[i].shard;
}

int layout_choose(const struct layout_cand *cand, unsigned nr, unsigned m, unsigned k_max,
		  uint32_t len, uint64_t gen, struct layout *out)
{
	bool has_room[STRIPE_WIDTH_MAX + 1];
	uint32_t blocks;
	unsigned k;

	assert(nr <= SHARD_MAX && m < STRIPE_WIDTH_MAX && len);
	k_max = MIN(k_max, STRIPE_WIDTH_MAX - m);
	for (k = 1; k <= k_max; k++)
		has_room[k] = k + m <= nr && count_room(cand, nr, layout_blocks(len, k)) >= k + m;
	k = width_pick(has_room, m, k_max, len);
	if (!k)
		return -ENOSPC;
	blocks = layout_blocks(len, k);
	*out = (struct layout){
		.k = (uint8_t)k,
		.m = (uint8_t)m,
		.payload_len = layout_payload_len(len, k),
		.blocks = blocks,
	};
	pick_shards(cand, nr, blocks, k + m, gen, out->shard);
	return 0;
}

/* ---- many stripes ---- */

static void sort_descending(uint64_t *b, unsigned nr)
{
	for (unsigned i = 1; i < nr; i++) {
		uint64_t v = b[i];
		unsigned at = i;

		for (; at > 0 && b[at - 1] < v; at--)
			b[at] = b[at - 1];
		b[at] = v;
	}
}

/* A stripe of u blocks takes (1 + m) * u of space at most, on any width between 1 + m and the
 * widest, equal parts from each. So q shards take q / widest of it at least, or, seen from the
 * others: those without the q largest must have room for all but that. */
uint64_t layout_promise(const uint64_t *room, unsigned nr, unsigned m, unsigned k_max)
{
	unsigned cap = MIN(k_max + m, (unsigned)STRIPE_WIDTH_MAX);
	unsigned widest = MIN(nr, cap);
	uint64_t most = UINT64_MAX;
	uint64_t sorted[SHARD_MAX];
	uint64_t sum = 0;

	if (widest < 1 + m)
		return 0;
	memcpy(sorted, room, nr * sizeof(*sorted));
	sort_descending(sorted, nr);
	for (unsigned i = 0; i < nr; i++)
		sum += sorted[i];
	for (unsigned q = 0; q <= m; q++) {
		/* Blocks are fewer than 2^52, so this cannot overflow. */
		most = MIN(most, sum * widest / ((1 + m) * (widest - q)));
		sum -= sorted[q];
	}
	/* Without parity the wide form is the more wasteful one. */
	return m == 0 && widest > 1 ? most * 20 / 21 : most;
}

static bool units_fit(const uint64_t *b, unsigned nr, unsigned width, uint64_t t)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < nr; i++)
		sum += MIN(b[i], t);
	return sum / width >= t;
}

/* The most units of @width that fit, @max at most. What fits is a range from 0, as the sum is
 * concave in t. */
static uint64_t units_most(const uint64_t *b, unsigned nr, unsigned width, uint64_t max)
{
	uint64_t low = 0;
	uint64_t high = 0;

	assert(width);
	for (unsigned i = 0; i < nr; i++)
		high += b[i];
	high = MIN(max, high / width);

	while (low < high) {
		uint64_t mid = low + (high - low + 1) / 2;

		if (units_fit(b, nr, width, mid))
			low = mid;
		else
			high = mid - 1;
	}
	return low;
}

static uint64_t taken_above(const uint64_t *b, unsigned nr, uint64_t level, uint64_t t)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < nr; i++)
		sum += b[i] > level ? MIN(b[i] - level, t) : 0;
	return sum;
}

/* Take @t units of @width, the tops first, at most @t from each. The order of @b stays
 * descending. */
static void units_take(uint64_t *b, unsigned nr, unsigned width, uint64_t t)
{
	uint64_t low = 0;
	uint64_t high = b[0];

	/* The lowest level that does not take too much; it may fall a few blocks short, below
	 * one a shard. */
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (taken_above(b, nr, mid, t) <= width * t)
			high = mid;
		else
			low = mid + 1;
	}
	uint64_t left = width * t - taken_above(b, nr, low, t);

	for (unsigned i = 0; i < nr; i++) {
		uint64_t part = b[i] > low ? MIN(b[i] - low, t) : 0;

		/* The few: those that end on the level give one more. */
		if (left && part < t && b[i] - part == low && low > 0) {
			part++;
			left--;
		}
		b[i] -= part;
	}
	sort_descending(b, nr);
}

uint64_t layout_fill(uint64_t *blocks, unsigned nr, unsigned m, unsigned k_max, uint32_t len,
		     uint64_t want)
{
	uint64_t done = 0;

	sort_descending(blocks, nr);
	/* As the smallest run full, fewer take part. */
	for (unsigned n = nr; n >= 1 + m && done < want; n--) {
		unsigned k = layout_width(n, m, k_max, len);
		uint64_t fit = 0;
		uint64_t max;
		uint32_t c;

		/* There are enough shards for some width. */
		assert(k);
		c = layout_blocks(len, k);
		assert(c);
		max = want - done < UINT64_MAX / c ? (want - done) * c : UINT64_MAX;
		if (blocks[n - 1])
			fit = units_most(blocks, n, k + m, max) / c;
		if (!fit)
			continue;
		units_take(blocks, n, k + m, fit * c);
		done += fit;
	}
	return done;
}
