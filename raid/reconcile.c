/* What no stripe names is given back.
 *
 * A bit for each block of each segment says that a live stripe names it. At the end everything
 * between the set bits is punched, whatever it is: chunks of transactions that were not committed,
 * frees that were not carried out, space allocated ahead. The same bits give each segment its count
 * of live blocks, which is how it will be known later that a segment can be deleted; so this runs
 * at each mount, with or without @apply.
 *
 * Punching the same hole again is harmless, so a crash in the midst of it needs nothing but
 * another run. */
#include <assert.h>
#include <string.h>

#include "conf/log.h"
#include "raid/layout.h"
#include "raid/segment.h"
#include "raid/shard.h"
#include "raid/space.h"

/* gcc 12's analyzer loses a pointer that is stored in an array's element; reconcile_free() has it. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

#define NR_WORDS (SEGMENT_BLOCKS_MAX / 64)

struct seg_bits {
	uint32_t number;
	uint64_t *bits; /* NR_WORDS once it has live blocks, before that NULL */
};

struct shard_bits {
	struct seg_bits *seg; /* ascending numbers; NULL: the shard is not there */
	unsigned nr;
	/* the one found last: stripes come in the order they were written, mostly */
	unsigned last;
};

struct reconcile {
	struct raid *raid;
	bool incomplete; /* a live stripe could not be noted: nothing is known of what is not */
	struct shard_bits shard[SHARD_MAX];
};

static void reconcile_free(struct reconcile *rc)
{
	for (unsigned i = 0; i < SHARD_MAX; i++) {
		struct shard_bits *sb = &rc->shard[i];

		for (unsigned n = 0; sb->seg && n < sb->nr; n++)
			free(sb->seg[n].bits);
		free(sb->seg);
	}
	free(rc);
}

static int shard_begin(struct shard_bits *sb, struct segments *g)
{
	AUTO_FREE uint32_t *number = NULL;
	int err = segments_numbers(g, &number, &sb->nr);

	if (err)
		return err;
	sb->seg = calloc(sb->nr ? sb->nr : 1, sizeof(*sb->seg));
	if (!sb->seg)
		return -ENOMEM;
	for (unsigned i = 0; i < sb->nr; i++)
		sb->seg[i].number = number[i];
	return 0;
}

int raid_reconcile_begin(struct raid *r, struct reconcile **out)
{
	struct reconcile *rc = calloc(1, sizeof(*rc));

	if (!rc)
		return -ENOMEM;
	rc->raid = r;
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];

		if (!shard_usable(s) || !s->segments)
			continue;
		if (shard_begin(&rc->shard[i], s->segments)) {
			reconcile_free(rc);
			return -ENOMEM;
		}
	}
	*out = rc;
	return 0;
}

/* NULL: the shard has no such segment. */
static struct seg_bits *find_segment(struct shard_bits *sb, uint32_t number)
{
	unsigned low = 0;
	unsigned high = sb->nr;

	if (sb->last < sb->nr && sb->seg[sb->last].number == number)
		return &sb->seg[sb->last];
	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (sb->seg[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == sb->nr || sb->seg[low].number != number)
		return NULL;
	sb->last = low;
	return &sb->seg[low];
}

/* A stripe may be named more than once, so bits are set, not counted. */
static int set_bits(struct seg_bits *seg, uint32_t block, uint32_t nr)
{
	uint64_t *bits = seg->bits ? seg->bits : calloc(NR_WORDS, sizeof(*bits));

	if (!bits)
		return -ENOMEM;
	while (nr) {
		uint32_t shift = block % 64;
		uint32_t n = MIN(nr, 64 - shift);

		bits[block / 64] |= (n == 64 ? UINT64_MAX : (1ULL << n) - 1) << shift;
		block += n;
		nr -= n;
	}
	seg->bits = bits;
	return 0;
}

static int keep_chunk(struct reconcile *rc, const struct chunk_loc *c, uint32_t blocks)
{
	struct shard_bits *sb = &rc->shard[c->shard];
	struct seg_bits *seg;

	if (!sb->seg)
		return 0;
	seg = find_segment(sb, c->segment);
	if (!seg) {
		segments_skip(rc->raid->shard[c->shard].segments, c->segment);
		return 0;
	}
	return set_bits(seg, c->block, blocks);
}

int raid_reconcile_keep(struct reconcile *rc, const struct stripe_loc *loc)
{
	uint32_t blocks = layout_blocks(loc->len, loc->k);
	int err = 0;

	for (unsigned i = 0; i < (unsigned)loc->k + loc->m && !err; i++) {
		const struct chunk_loc *c = &loc->chunk[i];

		if (c->shard >= rc->raid->geo.nr_shards || c->block > SEGMENT_BLOCKS_MAX - blocks)
			err = -EBADMSG;
		else
			err = keep_chunk(rc, c, blocks);
	}
	rc->incomplete |= err != 0;
	return err;
}

/* The first block at or after @from whose bit is @set; SEGMENT_BLOCKS_MAX when there is none. */
static uint32_t next_bit(const uint64_t *bits, uint32_t from, bool set)
{
	while (from < SEGMENT_BLOCKS_MAX) {
		uint64_t word = set ? bits[from / 64] : ~bits[from / 64];

		word >>= from % 64;
		if (word)
			return from + (uint32_t)__builtin_ctzll(word);
		from = (from / 64 + 1) * 64;
	}
	return SEGMENT_BLOCKS_MAX;
}

static uint64_t count_bits(const uint64_t *bits)
{
	uint64_t n = 0;

	for (unsigned i = 0; bits && i < NR_WORDS; i++)
		n += (unsigned)__builtin_popcountll(bits[i]);
	return n;
}

/* Bytes in [@start, @end) of @f that are not a hole. */
static uint64_t data_bytes(const struct store_ops *ops, struct store_file *f, uint64_t start,
			   uint64_t end)
{
	uint64_t sum = 0;
	uint64_t from, to;

	while (start < end && !ops->seek_data(f, start, &from, &to) && from < end) {
		to = MIN(to, end);
		if (to <= from)
			break;
		sum += to - from;
		start = to;
	}
	return sum;
}

/* Punch what is between the live runs of @f; all behind the last one goes with the file's end.
 * Every gap is punched, also where seek_data sees none: what is allocated but was never written
 * looks like a hole. */
static int punch_gaps(const struct store_ops *ops, struct store_file *f, const uint64_t *bits,
		      uint64_t *freed)
{
	uint32_t at = 0;

	for (;;) {
		uint32_t live = next_bit(bits, at, true);
		uint64_t start = (uint64_t)at * BLOCK_LEN;
		uint64_t end = (uint64_t)live * BLOCK_LEN;
		int err;

		if (live == SEGMENT_BLOCKS_MAX) {
			*freed += data_bytes(ops, f, start, UINT64_MAX);
			return ops->truncate(f, start);
		}
		if (start < end) {
			*freed += data_bytes(ops, f, start, end);
			err = ops->punch(f, start, end - start);
			if (err)
				return err;
		}
		at = next_bit(bits, live, false);
	}
}

static int settle_segment(struct shard *s, uint32_t number, const uint64_t *bits, bool apply,
			  uint64_t *freed)
{
	static const uint64_t none[NR_WORDS];
	struct segment_pin pin;
	int err = 0;

	if (apply) {
		err = segment_get(s->segments, number, &pin);
		if (!err) {
			err = punch_gaps(s->raid->ops, pin.file, bits ? bits : none, freed);
			segment_put(s->segments, &pin);
		}
	}
	segment_settle(s->segments, number, count_bits(bits), apply && !err);
	return err;
}

int raid_reconcile_end(struct reconcile *rc, bool apply, uint64_t *freed_bytes)
{
	struct raid *r = rc->raid;
	uint64_t freed = 0;

	apply = apply && !r->rdonly;
	for (unsigned i = 0; i < r->geo.nr_shards && !rc->incomplete; i++) {
		struct shard_bits *sb = &rc->shard[i];
		struct shard *s = &r->shard[i];

		for (unsigned n = 0; n < sb->nr; n++) {
			int err = settle_segment(s, sb->seg[n].number, sb->seg[n].bits, apply,
						 &freed);

			/* What could not be given back is tried at the next mount. */
			if (err)
				log_warn("%s: cannot give back what is unused in segment %08x: %s",
					 s->path, sb->seg[n].number, strerror(-err));
		}
	}
	reconcile_free(rc);
	if (r->space)
		space_stale(r);
	if (freed_bytes)
		*freed_bytes = freed;
	return 0;
}
