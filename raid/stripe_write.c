/* Writing stripes: build the chunks once, find places for them, write them in one batch.
 *
 * A data chunk on disk is its head, slices of the caller's pieces, and zeros; small ones are written from where these
 * lie, big ones from a copy that can pass the page cache by (build_whole). Heads and parity depend on k and m alone, not on the shards, so another
 * attempt on other shards usually keeps them.
 *
 * A stripe is returned only when all of its chunks are written, so what a failed attempt leaves
 * is named by nobody: it is freed here, or after a crash by raid_reconcile_end(). */
#include <assert.h>
#include <string.h>

#include "conf/log.h"
#include "raid/chunk.h"
#include "raid/layout.h"
#include "raid/parity.h"
#include "raid/scratch.h"
#include "raid/segment.h"
#include "raid/shard.h"
#include "raid/space.h"

/* A caller with more pieces has them copied together first. */
#define NR_PIECES_MAX 16

/* Head, slices, zeros. */
#define NR_CHUNK_IOV (1 + NR_PIECES_MAX + 1)

/* Each attempt that fails takes a shard out of the choice, as full or as failed. */
#define NR_ATTEMPTS (2 * SHARD_MAX + 2)

/* The padding of a chunk: to payload_len (64 bytes a chunk at most, layout_payload_len()), then
 * to whole blocks. */
static const uint8_t zeros[2 * BLOCK_LEN];

struct job {
	struct raid *raid;
	const struct stripe_owner *owner;
	const struct iovec *piece; /* the stripe's bytes */
	unsigned nr_piece;
	uint32_t len;
	struct layout layout;
	struct stripe_loc loc;
	uint8_t *parity; /* scratch: m payloads */
	uint8_t *joined; /* scratch: the pieces as one */
	uint8_t *
		whole; /* scratch: chunks as they stand on disk, for transfers past the page cache */
	struct iovec joined_iov;
	uint8_t head[STRIPE_WIDTH_MAX][CHUNK_HEAD_LEN];
	struct iovec iov[STRIPE_WIDTH_MAX][NR_CHUNK_IOV];
	unsigned nr_iov[STRIPE_WIDTH_MAX];
	struct segment_pin pin[STRIPE_WIDTH_MAX];
};

/* ---- building ---- */

/* What of the pieces lies in [@off, @off + @len), as at most nr_piece iovecs. */
static unsigned slice(const struct job *j, uint64_t off, uint64_t len, struct iovec *out)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < j->nr_piece && len; i++) {
		uint64_t piece_len = j->piece[i].iov_len;
		uint64_t part;

		if (off >= piece_len) {
			off -= piece_len;
			continue;
		}
		part = MIN(len, piece_len - off);
		out[nr++] = (struct iovec){(uint8_t *)j->piece[i].iov_base + off, part};
		len -= part;
		off = 0;
	}
	return nr;
}

/* The zeros behind a slice, writable only by type. */
static struct iovec pad(uint64_t len)
{
	assert(len <= sizeof(zeros));
	return (struct iovec){(void *)(uintptr_t)zeros, len};
}

/* The bytes of chunk @idx's payload. */
static unsigned payload_iov(const struct job *j, unsigned idx, struct iovec *out)
{
	uint32_t payload_len = j->layout.payload_len;
	uint64_t off = (uint64_t)idx * payload_len;
	uint64_t have;
	unsigned nr;

	if (j->layout.k == 1)
		off = 0;
	else if (idx >= j->layout.k) {
		out[0] = (struct iovec){j->parity + (size_t)(idx - j->layout.k) * payload_len,
					payload_len};
		return 1;
	}
	have = off < j->len ? MIN(j->len - off, payload_len) : 0;
	nr = slice(j, off, have, out);
	if (have < payload_len)
		out[nr++] = pad(payload_len - have);
	return nr;
}

/* Where data chunk @idx continues at @off of its payload, and for how long in one piece. */
static const uint8_t *data_run(const struct job *j, unsigned idx, uint32_t off, uint32_t *run)
{
	uint64_t at = (uint64_t)idx * j->layout.payload_len + off;
	struct iovec iov[NR_PIECES_MAX];

	if (at >= j->len) {
		*run = MIN(*run, (uint32_t)sizeof(zeros));
		return zeros;
	}
	slice(j, at, MIN(j->len - at, (uint64_t)*run), iov);
	*run = (uint32_t)iov[0].iov_len;
	return iov[0].iov_base;
}

/* Pieces end in the middle of chunks, so parity goes in runs over which every data chunk is in
 * one piece. */
static void build_parity(struct job *j)
{
	const struct layout *l = &j->layout;
	const uint8_t *data[STRIPE_WIDTH_MAX];
	uint8_t *parity[STRIPE_WIDTH_MAX];
	uint32_t run;

	for (uint32_t off = 0; off < l->payload_len; off += run) {
		run = l->payload_len - off;
		for (unsigned i = 0; i < l->k; i++)
			data[i] = data_run(j, i, off, &run);
		for (unsigned i = 0; i < l->m; i++)
			parity[i] = j->parity + (size_t)i * l->payload_len + off;
		parity_encode(l->k, l->m, run, data, parity);
	}
}

static void build_chunk(struct job *j, unsigned idx, uint64_t sum)
{
	const struct layout *l = &j->layout;
	struct iovec *iov = j->iov[idx];
	uint64_t rest = (uint64_t)l->blocks * BLOCK_LEN - CHUNK_HEAD_LEN - l->payload_len;
	struct chunk_head h = {
		.owner = *j->owner,
		.k = l->k,
		.m = l->m,
		.idx = (uint8_t)idx,
		.stripe_len = j->len,
		.payload_len = l->payload_len,
		.payload_sum = sum,
	};
	unsigned nr = j->nr_iov[idx];

	memcpy(h.uuid, j->raid->uuid, sizeof(h.uuid));
	chunk_head_put(&h, j->head[idx]);
	iov[0] = (struct iovec){j->head[idx], CHUNK_HEAD_LEN};
	if (rest && iov[nr - 1].iov_base == (const void *)zeros)
		iov[nr - 1].iov_len += rest;
	else if (rest)
		iov[nr++] = pad(rest);
	j->nr_iov[idx] = nr;
}

/* Big chunks are put together in aligned memory, so that they can pass the page cache by: on ext4 that took 0.07 s of a
 * core for a GB instead of 0.2 to 0.6, and disks held to 100 MB/s got 420 instead of 150 to 380 MB/s from four. The copy
 * is a tenth of what it saves. Without memory for it, or where the store cannot, the page cache it is. */
static void build_whole(struct job *j)
{
	const struct layout *l = &j->layout;
	unsigned width = (unsigned)l->k + l->m;
	size_t len = (size_t)l->blocks * BLOCK_LEN;

	if (len < STORE_DIRECT_MIN)
		return;
	scratch_put(j->raid->scratch, j->whole);
	j->whole = scratch_get(j->raid->scratch, width * len);
	if (!j->whole)
		return;
	for (unsigned i = 0; i < width; i++) {
		uint8_t *chunk = j->whole + i * len, *at = chunk;

		for (unsigned n = 0; n < j->nr_iov[i]; n++) {
			memcpy(at, j->iov[i][n].iov_base, j->iov[i][n].iov_len);
			at += j->iov[i][n].iov_len;
		}
		assert(at == chunk + len);
		j->iov[i][0] = (struct iovec){chunk, len};
		j->nr_iov[i] = 1;
	}
}

static int build(struct job *j)
{
	const struct layout *l = &j->layout;
	uint64_t sum = 0;

	if (l->k > 1 && l->m && !j->parity) {
		/* Enough for any k from here on: fewer shards only make chunks longer. */
		j->parity =
			scratch_get(j->raid->scratch, (size_t)l->m * layout_payload_len(j->len, 2));
		if (!j->parity)
			return -ENOMEM;
	}
	if (l->k > 1 && l->m)
		build_parity(j);
	for (unsigned i = 0; i < (unsigned)l->k + l->m; i++) {
		j->nr_iov[i] = 1 + payload_iov(j, i, j->iov[i] + 1);
		/* Copies have one sum. */
		if (i == 0 || l->k > 1)
			sum = chunk_sum(j->iov[i] + 1, j->nr_iov[i] - 1);
		build_chunk(j, i, sum);
	}
	build_whole(j);
	return 0;
}

/* ---- placing ---- */

static int choose(struct job *j, struct layout *out)
{
	struct layout_cand cand[SHARD_MAX];
	struct raid *r = j->raid;
	uint64_t online = atomic_load(&r->online);
	unsigned m = space_parity(r);
	unsigned k_max = space_k_max(r, m);
	unsigned nr = space_cands(r, false, cand);
	int err = layout_choose(cand, nr, m, k_max, j->len, j->owner->gen, out);

	if (!err)
		return 0;
	nr = space_cands(r, true, cand);
	err = layout_choose(cand, nr, m, k_max, j->len, j->owner->gen, out);
	/* A shard left between the looks: parity was reckoned with it, the room without. */
	if (err && atomic_load(&r->online) != online)
		return -EAGAIN;
	if (err && !atomic_load(&r->online))
		return -EIO;
	return err;
}

/* @s has no space: have the shards that share its device give back what they allocated ahead. */
static void trim_device(struct shard *s)
{
	struct raid *r = s->raid;
	struct store_space mine, other;

	if (r->ops->space(s->store, &mine))
		return;
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *o = &r->shard[i];

		if (shard_usable(o) && o->segments && !r->ops->space(o->store, &other) &&
		    other.dev == mine.dev)
			segments_trim(o->segments);
	}
}

static int alloc_chunk(struct shard *s, uint32_t blocks, struct chunk_loc *out)
{
	int err = segment_alloc(s->segments, blocks, out);

	if (err != -ENOSPC)
		return err;
	trim_device(s);
	return segment_alloc(s->segments, blocks, out);
}

static void free_chunks(struct job *j, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		const struct chunk_loc *c = &j->loc.chunk[i];
		struct shard *s = &j->raid->shard[c->shard];

		/* What cannot be given back waits for the next reconciliation. */
		if (shard_usable(s))
			(void)segment_free(s->segments, c->segment, c->block, j->layout.blocks);
	}
	space_stale(j->raid);
}

static void put_pins(struct job *j, unsigned nr, bool written)
{
	for (unsigned i = 0; i < nr; i++) {
		struct segments *g = j->raid->shard[j->loc.chunk[i].shard].segments;

		if (written)
			segment_dirty(g, &j->pin[i]);
		segment_put(g, &j->pin[i]);
	}
}

/* -EAGAIN: choose again, as one shard less comes into question. */
static int blame(struct shard *s, int err, const char *what)
{
	if (err == -ENOMEM)
		return err;
	if (err == -ENOSPC)
		space_full(s);
	else
		shard_error(s, err, true, what);
	return -EAGAIN;
}

/* Find an address for each chunk, and pin its file. */
static int place(struct job *j)
{
	const struct layout *l = &j->layout;
	unsigned width = (unsigned)l->k + l->m;
	int err = 0;

	j->loc = (struct stripe_loc){.k = l->k, .m = l->m, .len = j->len};
	for (unsigned i = 0; i < width && !err; i++) {
		struct shard *s = &j->raid->shard[l->shard[i]];
		struct chunk_loc *c = &j->loc.chunk[i];

		err = alloc_chunk(s, l->blocks, c);
		if (!err) {
			err = segment_get(s->segments, c->segment, &j->pin[i]);
			if (err)
				(void)segment_free(s->segments, c->segment, c->block, l->blocks);
		}
		if (err) {
			err = blame(s, err, "making room for a chunk");
			put_pins(j, i, false);
			free_chunks(j, i);
		}
	}
	return err;
}

/* Write all chunks. A failed one spoils the stripe: its shards take blame, its space is given
 * back. */
static int transfer(struct job *j)
{
	const struct layout *l = &j->layout;
	unsigned width = (unsigned)l->k + l->m;
	struct store_io io[STRIPE_WIDTH_MAX];
	int err = 0;

	for (unsigned i = 0; i < width; i++) {
		io[i] = (struct store_io){
			.op = STORE_WRITE,
			.file = j->pin[i].file,
			.iov = j->iov[i],
			.nr_iov = j->nr_iov[i],
			.off = (uint64_t)j->loc.chunk[i].block * BLOCK_LEN,
		};
	}
	j->raid->ops->run(j->raid->ops, io, width);
	for (unsigned i = 0; i < width; i++) {
		struct shard *s = &j->raid->shard[l->shard[i]];

		if (io[i].res) {
			int blamed = blame(s, io[i].res, "writing a chunk");

			err = err == -ENOMEM ? err : blamed;
			continue;
		}
		/* Voted out meanwhile: what it has does not count, but it takes a write until it
		 * is told. */
		if (!shard_usable(s))
			err = err ? err : -EAGAIN;
		atomic_fetch_add_explicit(&s->nr_writes, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&s->write_bytes, (uint64_t)l->blocks * BLOCK_LEN,
					  memory_order_relaxed);
	}
	put_pins(j, width, !err);
	if (err)
		free_chunks(j, width);
	return err;
}

static int attempt(struct job *j)
{
	struct layout l;
	int err;

	if (atomic_load(&j->raid->broken))
		return -EIO;
	err = choose(j, &l);
	if (err)
		return err;
	if (l.k != j->layout.k || l.m != j->layout.m) {
		j->layout = l;
		err = build(j);
		if (err)
			return err;
	}
	j->layout = l;
	err = place(j);
	return err ? err : transfer(j);
}

/* ---- the room's calls ---- */

static int job_init(struct job *j, struct raid *r, const struct stripe_owner *owner,
		    const struct iovec *iov, unsigned nr_iov)
{
	uint64_t len = 0;

	for (unsigned i = 0; i < nr_iov; i++)
		len += iov[i].iov_len;
	assert(len && len <= RAID_STRIPE_MAX);
	j->raid = r;
	j->owner = owner;
	j->piece = iov;
	j->nr_piece = nr_iov;
	j->len = (uint32_t)len;
	j->layout = (struct layout){0};
	j->parity = NULL;
	j->joined = NULL;
	j->whole = NULL;
	if (nr_iov < NR_PIECES_MAX)
		return 0;
	j->joined = scratch_get(r->scratch, len);
	if (!j->joined)
		return -ENOMEM;
	j->joined_iov = (struct iovec){j->joined, len};
	for (unsigned i = 0, off = 0; i < nr_iov; off += (unsigned)iov[i].iov_len, i++) {
		if (iov[i].iov_len)
			memcpy(j->joined + off, iov[i].iov_base, iov[i].iov_len);
	}
	j->piece = &j->joined_iov;
	j->nr_piece = 1;
	return 0;
}

int raid_write(struct raid *r, const struct stripe_owner *owner, const struct iovec *iov,
	       unsigned nr_iov, struct stripe_loc *out)
{
	struct job j;
	int err;

	if (r->rdonly)
		return -EROFS;
	err = job_init(&j, r, owner, iov, nr_iov);
	if (!err)
		err = -EAGAIN;
	for (unsigned i = 0; i < NR_ATTEMPTS && err == -EAGAIN; i++)
		err = attempt(&j);
	if (!err)
		*out = j.loc;
	scratch_put(r->scratch, j.parity);
	scratch_put(r->scratch, j.joined);
	scratch_put(r->scratch, j.whole);
	return err == -EAGAIN ? -EIO : err;
}

/* A chunk to be given back. */
struct freed {
	uint8_t shard;
	uint32_t segment;
	struct segment_span span;
};

static int freed_order(const void *a, const void *b)
{
	const struct freed *x = a, *y = b;

	if (x->shard != y->shard)
		return x->shard < y->shard ? -1 : 1;
	return x->segment < y->segment ? -1 : x->segment > y->segment;
}

/* All of one segment. */
static void free_spans(struct raid *r, const struct freed *f, struct segment_span *span,
		       unsigned nr)
{
	struct shard *s = &r->shard[f->shard];
	int err = segment_free_many(s->segments, f->segment, span, nr);

	if (!err)
		return;
	log_warn("%s: cannot free %u chunks of segment %08x, one at block %u: %s", s->path, nr,
		 f->segment, f->span.block, strerror(-err));
	/* A segment that is not there says nothing about the shard. */
	if (err != -ENOENT && err != -EINVAL)
		shard_error(s, err, false, "freeing a chunk");
}

static unsigned freed_collect(struct raid *r, const struct stripe_loc *loc, struct freed *out)
{
	uint32_t blocks = layout_blocks(loc->len, loc->k);
	unsigned nr = 0;

	for (unsigned i = 0; i < (unsigned)loc->k + loc->m; i++) {
		const struct chunk_loc *c = &loc->chunk[i];
		struct shard *s = &r->shard[c->shard];

		/* A shard that is away keeps its bytes until a reconciliation with it back. */
		if (c->shard >= r->geo.nr_shards || !shard_usable(s) || !s->segments)
			continue;
		out[nr++] = (struct freed){c->shard, c->segment, {c->block, blocks}};
	}
	return nr;
}

/* So many stripes at a time: memory on the stack. */
#define FREE_STEP 64u

static void free_step(struct raid *r, const struct stripe_loc *loc, unsigned nr_locs)
{
	struct freed f[FREE_STEP * STRIPE_WIDTH_MAX];
	struct segment_span span[FREE_STEP * STRIPE_WIDTH_MAX];
	unsigned nr = 0;

	for (unsigned i = 0; i < nr_locs; i++)
		nr += freed_collect(r, &loc[i], f + nr);
	qsort(f, nr, sizeof(*f), freed_order);
	for (unsigned i = 0, n; i < nr; i += n) {
		for (n = 0; i + n < nr && !freed_order(&f[i], &f[i + n]); n++)
			span[n] = f[i + n].span;
		free_spans(r, &f[i], span, n);
	}
}

void raid_free_many(struct raid *r, const struct stripe_loc *loc, unsigned nr)
{
	if (r->rdonly)
		return;
	for (unsigned i = 0; i < nr; i += FREE_STEP)
		free_step(r, loc + i, MIN(nr - i, FREE_STEP));
	space_stale(r);
}

void raid_free(struct raid *r, const struct stripe_loc *loc)
{
	raid_free_many(r, loc, 1);
}

/* ---- syncing ---- */

/* Usually one segment a shard is dirty, two when one ran full. */
#define NR_SYNC_SHARD 4

struct sync_batch {
	struct store_io io[SHARD_MAX * NR_SYNC_SHARD];
	struct segment_pin pin[SHARD_MAX][NR_SYNC_SHARD];
	unsigned first[SHARD_MAX], nr[SHARD_MAX]; /* of a shard's ios */
	uint64_t shards;
	unsigned nr_io;
	bool more;
};

static void sync_collect(struct raid *r, struct sync_batch *b)
{
	b->nr_io = 0;
	b->shards = 0;
	b->more = false;
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];

		if (!shard_usable(s) || !s->segments)
			continue;
		b->shards |= 1ULL << i;
		b->first[i] = b->nr_io;
		b->nr[i] = segments_sync_begin(s->segments, b->pin[i], NR_SYNC_SHARD, &b->more);
		for (unsigned n = 0; n < b->nr[i]; n++)
			b->io[b->nr_io++] =
				(struct store_io){.op = STORE_SYNC, .file = b->pin[i][n].file};
	}
}

static void sync_finish(struct raid *r, struct sync_batch *b)
{
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];
		int err = 0;
		int dir_err;

		if (!(b->shards & (1ULL << i)))
			continue;
		for (unsigned n = 0; n < b->nr[i]; n++)
			err = err ? err : b->io[b->first[i] + n].res;
		dir_err = segments_sync_end(s->segments, b->pin[i], b->nr[i]);
		err = err ? err : dir_err;
		/* Never tried again: a second sync may report success for bytes that are gone. */
		if (err)
			shard_error(s, err, true, "syncing chunks");
	}
}

int raid_sync(struct raid *r)
{
	struct sync_batch b;

	if (r->rdonly)
		return 0;
	lock_take(&r->sync_lock);
	do {
		sync_collect(r, &b);
		if (b.nr_io)
			r->ops->run(r->ops, b.io, b.nr_io);
		sync_finish(r, &b);
	} while (b.more);
	lock_release(&r->sync_lock);
	return atomic_load(&r->broken) ? -EIO : 0;
}
