/* Reading a few bytes of a stripe: from the chunks that hold them, and nothing else.
 *
 * A part becomes a span for each chunk that it touches; all spans are one batch. A span at a chunk's beginning takes the
 * head along, which stands right before it. Long spans are read as whole blocks past the page cache, like whole chunks
 * (stripe_read.c); short ones through it, straight to their place.
 *
 * Any doubt is an error here, and raid_read() finds out what it is. */
#include <assert.h>
#include <limits.h>
#include <string.h>

#include "raid/chunk.h"
#include "raid/layout.h"
#include "raid/scratch.h"
#include "raid/segment.h"
#include "raid/shard.h"

/* Each cut between two chunks lies in one part, or in several that overlap. */
#define SPANS_MAX (STRIPE_PARTS_MAX * STRIPE_WIDTH_MAX)

/* Bytes of one chunk, on their way to @buf. */
struct span {
	unsigned idx; /* of the chunk */
	uint32_t len;
	uint8_t *buf;
	bool with_head;
	uint8_t head[CHUNK_HEAD_LEN];
	uint8_t *blocks; /* scratch: the whole blocks; NULL: straight to head and buf */
	size_t skip;	 /* bytes of blocks before the span */
	struct iovec iov[2];
	struct segment_pin pin;
	struct shard *shard;
};

struct part_read {
	struct raid *raid;
	const struct stripe_owner *owner;
	const struct stripe_loc *loc;
	uint32_t payload_len;
	unsigned copy; /* k = 1: which one */
	unsigned nr;
	struct store_io io[SPANS_MAX];
	struct span span[SPANS_MAX];
};

static struct shard *shard_of(const struct part_read *r, unsigned idx)
{
	unsigned at = r->loc->chunk[idx].shard;
	struct shard *s;

	if (at >= r->raid->geo.nr_shards)
		return NULL;
	s = &r->raid->shard[at];
	return shard_usable(s) && s->segments ? s : NULL;
}

/* The copy whose shard has the least to do, the first of these: as in raid_read(). */
static unsigned choose_copy(const struct part_read *r)
{
	unsigned best = 0, least = UINT_MAX;

	for (unsigned i = 0; i < (unsigned)r->loc->k + r->loc->m; i++) {
		struct shard *s = shard_of(r, i);
		unsigned load;

		if (!s)
			continue;
		load = atomic_load_explicit(&s->nr_inflight, memory_order_relaxed);
		if (load < least) {
			best = i;
			least = load;
		}
	}
	return best;
}

/* Bytes [@at, @at + @len) of the payload of chunk @idx. */
static int span_add(struct part_read *r, unsigned idx, uint32_t at, uint32_t len, uint8_t *buf)
{
	const struct chunk_loc *c = &r->loc->chunk[idx];
	struct span *sp = &r->span[r->nr];
	struct store_io *io = &r->io[r->nr];
	uint64_t begin = at ? CHUNK_HEAD_LEN + at : 0, end = CHUNK_HEAD_LEN + (uint64_t)at + len;
	uint64_t first = round_down(begin, BLOCK_LEN), last = round_up(end, BLOCK_LEN);
	int err;

	assert(r->nr < SPANS_MAX && end <= CHUNK_HEAD_LEN + (uint64_t)r->payload_len);
	sp->shard = shard_of(r, idx);
	if (!sp->shard)
		return -EIO;
	err = segment_get(sp->shard->segments, c->segment, &sp->pin);
	if (err)
		return err == -ENOMEM ? err : -EIO;
	sp->idx = idx;
	sp->len = len;
	sp->buf = buf;
	sp->with_head = !at;
	sp->blocks = NULL;
	*io = (struct store_io){.op = STORE_READ, .file = sp->pin.file, .iov = sp->iov};
	if (last - first >= STORE_DIRECT_MIN)
		sp->blocks = scratch_get(r->raid->scratch, last - first);
	if (sp->blocks) {
		sp->skip = begin - first;
		sp->iov[io->nr_iov++] = (struct iovec){sp->blocks, last - first};
		begin = first;
	} else {
		if (sp->with_head)
			sp->iov[io->nr_iov++] = (struct iovec){sp->head, CHUNK_HEAD_LEN};
		sp->iov[io->nr_iov++] = (struct iovec){buf, len};
	}
	io->off = (uint64_t)c->block * BLOCK_LEN + begin;
	atomic_fetch_add_explicit(&sp->shard->nr_inflight, 1, memory_order_relaxed);
	r->nr++;
	return 0;
}

static int part_add(struct part_read *r, const struct stripe_part *p)
{
	uint32_t off = p->off, end = p->off + p->len;
	int err = 0;

	assert(p->len && p->len <= r->loc->len && p->off <= r->loc->len - p->len);
	while (!err && off < end) {
		unsigned data = off / r->payload_len;
		uint32_t at = off % r->payload_len;
		uint32_t len = MIN(end - off, r->payload_len - at);

		err = span_add(r, r->loc->k == 1 ? r->copy : data, at, len,
			       p->buf + (off - p->off));
		off += len;
	}
	return err;
}

static bool head_ok(const struct part_read *r, const struct span *sp)
{
	struct chunk_head want = chunk_head_of(r->raid->uuid, r->owner, r->loc, sp->idx), found;

	return !chunk_head_get(sp->head, sizeof(sp->head), &found) &&
	       chunk_head_matches(&found, &want);
}

static int span_done(struct part_read *r, unsigned n)
{
	const struct store_io *io = &r->io[n];
	struct span *sp = &r->span[n];

	if (io->res)
		return -EIO;
	atomic_fetch_add_explicit(&sp->shard->nr_reads, 1, memory_order_relaxed);
	for (unsigned i = 0; i < io->nr_iov; i++)
		atomic_fetch_add_explicit(&sp->shard->read_bytes, io->iov[i].iov_len,
					  memory_order_relaxed);
	if (sp->blocks) {
		const uint8_t *from = sp->blocks + sp->skip;

		if (sp->with_head)
			memcpy(sp->head, from, CHUNK_HEAD_LEN);
		memcpy(sp->buf, from + (sp->with_head ? CHUNK_HEAD_LEN : 0), sp->len);
	}
	return sp->with_head && !head_ok(r, sp) ? -EIO : 0;
}

static void span_drop(struct part_read *r, struct span *sp)
{
	atomic_fetch_sub_explicit(&sp->shard->nr_inflight, 1, memory_order_relaxed);
	segment_put(sp->shard->segments, &sp->pin);
	scratch_put(r->raid->scratch, sp->blocks);
}

int raid_read_part(struct raid *raid, const struct stripe_owner *owner,
		   const struct stripe_loc *loc, const struct stripe_part *part, unsigned nr)
{
	struct part_read r;
	int err = 0;

	assert(nr && nr <= STRIPE_PARTS_MAX);
	r.raid = raid;
	r.owner = owner;
	r.loc = loc;
	r.payload_len = layout_payload_len(loc->len, loc->k);
	r.copy = loc->k == 1 ? choose_copy(&r) : 0;
	r.nr = 0;
	for (unsigned i = 0; i < nr && !err; i++)
		err = part_add(&r, &part[i]);
	if (!err)
		raid->ops->run(raid->ops, r.io, r.nr);
	for (unsigned i = 0; i < r.nr; i++) {
		if (!err)
			err = span_done(&r, i);
		span_drop(&r, &r.span[i]);
	}
	return err;
}
