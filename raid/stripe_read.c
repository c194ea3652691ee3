/* Reading stripes: the data chunks in one batch, straight into the caller's buffer; parity only
 * when one of them is not there or not right.
 *
 *   chunk state  what is known of a chunk                         then
 *   UNREAD       nothing                                          read when needed
 *   GOOD         head and payload verified                        used
 *   WRONG        read, but not what it should be                  rebuilt, rewritten, counted
 *   UNREADABLE   its shard is there and answered with an error    rebuilt, rewritten
 *   LOST         its shard is not there                           rebuilt
 *
 * Nothing reaches the caller unverified: a rebuilt payload comes from k verified chunks, and
 * where its own head is still good, its sum must agree too. Rewriting goes to the same address:
 * whatever a crash leaves there was wrong before and is rebuilt again. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/log.h"
#include "raid/chunk.h"
#include "raid/layout.h"
#include "raid/parity.h"
#include "raid/scratch.h"
#include "raid/segment.h"
#include "raid/shard.h"

/* A stripe that cannot be read is reported so often at most. */
#define SAY_NS (1000 * 1000000ULL)

/* What k payloads are longer than the stripe: less than 64 for each by layout_payload_len(), and
 * one more. */
#define TAIL_LEN (65 * STRIPE_WIDTH_MAX)

static const uint8_t zeros[BLOCK_LEN];

enum chunk_state {
	CHUNK_UNREAD,
	CHUNK_GOOD,
	CHUNK_WRONG,
	CHUNK_UNREADABLE,
	CHUNK_LOST,
};

static const char *const chunk_state_name[] = {"not read", "good", "wrong", "unreadable", "lost"};

struct piece {
	enum chunk_state state;
	bool head_good;
	struct chunk_head found; /* when head_good */
	uint8_t head[CHUNK_HEAD_LEN];
	/* where it goes: in the caller's buffer, and what is behind its end */
	struct iovec payload[2];
	unsigned nr_payload;
};

struct rd {
	struct raid *raid;
	const struct stripe_owner *owner;
	const struct stripe_loc *loc;
	uint8_t *buf;
	unsigned width;
	uint32_t payload_len, blocks;
	uint8_t *scratch; /* one payload for each chunk, once needed */
	struct piece piece[STRIPE_WIDTH_MAX];
	uint8_t tail[TAIL_LEN];
};

static void rd_init(struct rd *rd, struct raid *r, const struct stripe_owner *owner,
		    const struct stripe_loc *loc, uint8_t *buf)
{
	rd->raid = r;
	rd->owner = owner;
	rd->loc = loc;
	rd->buf = buf;
	rd->width = (unsigned)loc->k + loc->m;
	rd->payload_len = layout_payload_len(loc->len, loc->k);
	rd->blocks = layout_blocks(loc->len, loc->k);
	rd->scratch = NULL;
	assert(loc->k && rd->width <= STRIPE_WIDTH_MAX && loc->len && loc->len <= RAID_STRIPE_MAX);
	for (unsigned i = 0; i < rd->width; i++) {
		rd->piece[i].state = CHUNK_UNREAD;
		rd->piece[i].head_good = false;
		rd->piece[i].nr_payload = 0;
	}
}

static struct shard *shard_of(const struct rd *rd, unsigned idx)
{
	unsigned at = rd->loc->chunk[idx].shard;
	struct shard *s;

	if (at >= rd->raid->geo.nr_shards)
		return NULL;
	s = &rd->raid->shard[at];
	return shard_usable(s) && s->segments ? s : NULL;
}

static bool all_good(const struct rd *rd, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		if (rd->piece[i].state != CHUNK_GOOD)
			return false;
	}
	return true;
}

static unsigned count_good(const struct rd *rd)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rd->width; i++)
		n += rd->piece[i].state == CHUNK_GOOD;
	return n;
}

/* ---- reading and verifying ---- */

/* Bytes of data chunk @idx that are the stripe's, not padding. */
static uint32_t stripe_part(const struct rd *rd, unsigned idx)
{
	uint64_t off = (uint64_t)idx * rd->payload_len;

	return off < rd->loc->len ? (uint32_t)MIN(rd->loc->len - off, (uint64_t)rd->payload_len)
				  : 0;
}

/* Data straight to its place. The copies of k = 1 all go to the same. */
static void aim_at_buf(struct rd *rd, unsigned idx, uint8_t **tail)
{
	struct piece *p = &rd->piece[idx];
	unsigned data = rd->loc->k == 1 ? 0 : idx;
	uint32_t part = stripe_part(rd, data);

	p->nr_payload = 0;
	if (part)
		p->payload[p->nr_payload++] =
			(struct iovec){rd->buf + (size_t)data * rd->payload_len, part};
	if (part < rd->payload_len) {
		p->payload[p->nr_payload++] = (struct iovec){*tail, rd->payload_len - part};
		*tail += rd->payload_len - part;
		assert(*tail <= rd->tail + sizeof(rd->tail));
	}
}

static uint8_t *scratch_of(const struct rd *rd, unsigned idx)
{
	return rd->scratch + (size_t)idx * round_up(rd->payload_len, 64);
}

static int scratch_have(struct rd *rd)
{
	if (!rd->scratch)
		rd->scratch =
			scratch_get(rd->raid->scratch, rd->width * round_up(rd->payload_len, 64));
	return rd->scratch ? 0 : -ENOMEM;
}

static void aim_at_scratch(struct rd *rd, unsigned idx)
{
	rd->piece[idx].payload[0] = (struct iovec){scratch_of(rd, idx), rd->payload_len};
	rd->piece[idx].nr_payload = 1;
}

static enum chunk_state verify(struct rd *rd, unsigned idx)
{
	struct piece *p = &rd->piece[idx];
	struct chunk_head want = chunk_head_of(rd->raid->uuid, rd->owner, rd->loc, idx);

	if (chunk_head_get(p->head, sizeof(p->head), &p->found) ||
	    !chunk_head_matches(&p->found, &want))
		return CHUNK_WRONG;
	p->head_good = true;
	return chunk_sum(p->payload, p->nr_payload) == p->found.payload_sum ? CHUNK_GOOD
									    : CHUNK_WRONG;
}

/* A chunk whose shard answered with @err. */
static enum chunk_state state_of_error(struct shard *s, int err)
{
	/* No such segment, or it is too short: where the shard is still there, its bytes are
	 * merely gone. */
	if (err == -ENOENT || err == -ENODATA)
		err = s->raid->ops->alive(s->store);
	if (!err)
		return CHUNK_WRONG;
	return shard_error(s, err, false, "reading a chunk") ? CHUNK_LOST : CHUNK_UNREADABLE;
}

static void note_wrong(struct rd *rd, unsigned idx)
{
	if (rd->piece[idx].state == CHUNK_WRONG)
		atomic_fetch_add(&rd->raid->shard[rd->loc->chunk[idx].shard].nr_wrong, 1);
}

/* One batch's worth. */
struct fetch {
	struct store_io io[STRIPE_WIDTH_MAX];
	struct iovec iov[STRIPE_WIDTH_MAX][3];
	struct segment_pin pin[STRIPE_WIDTH_MAX];
	struct shard *shard[STRIPE_WIDTH_MAX];
	uint8_t *whole
		[STRIPE_WIDTH_MAX]; /* scratch: the chunk as it stands on disk; NULL: read to its place */
	unsigned idx[STRIPE_WIDTH_MAX];
	unsigned nr;
};

/* Big chunks are read whole into aligned memory, past the page cache: fresh pages for what is cached above, decoded, cost
 * more than the copy from memory that is warm. */
static void fetch_whole(struct rd *rd, struct fetch *f, unsigned n)
{
	size_t len = (size_t)rd->blocks * BLOCK_LEN;

	f->whole[n] = len < STORE_DIRECT_MIN ? NULL : scratch_get(rd->raid->scratch, len);
	if (!f->whole[n])
		return;
	f->iov[n][0] = (struct iovec){f->whole[n], len};
	f->io[n].nr_iov = 1;
}

static void fetch_place(struct rd *rd, struct fetch *f, unsigned n)
{
	struct piece *p = &rd->piece[f->idx[n]];
	const uint8_t *at = f->whole[n];

	if (at && !f->io[n].res) {
		memcpy(p->head, at, CHUNK_HEAD_LEN);
		at += CHUNK_HEAD_LEN;
		for (unsigned i = 0; i < p->nr_payload; i++) {
			memcpy(p->payload[i].iov_base, at, p->payload[i].iov_len);
			at += p->payload[i].iov_len;
		}
	}
	scratch_put(rd->raid->scratch, f->whole[n]);
}

/* A small chunk of a reader that comes by here: what lies ahead goes to the page cache in the same trip to the disk. */
static void fetch_ahead(struct rd *rd, struct fetch *f, unsigned n, struct shard *s,
			const struct chunk_loc *c)
{
	uint32_t from, nr;

	if (rd->raid->ops->advise &&
	    nearby_step(&s->nearby, c->segment, c->block, rd->blocks, &from, &nr))
		rd->raid->ops->advise(f->pin[n].file, (uint64_t)from * BLOCK_LEN,
				      (uint64_t)nr * BLOCK_LEN);
}

static void fetch_add(struct rd *rd, struct fetch *f, unsigned idx)
{
	const struct chunk_loc *c = &rd->loc->chunk[idx];
	struct piece *p = &rd->piece[idx];
	struct shard *s = shard_of(rd, idx);
	unsigned n = f->nr;
	int err;

	if (!s) {
		p->state = CHUNK_LOST;
		return;
	}
	err = segment_get(s->segments, c->segment, &f->pin[n]);
	if (err) {
		p->state = state_of_error(s, err);
		note_wrong(rd, idx);
		return;
	}
	f->iov[n][0] = (struct iovec){p->head, CHUNK_HEAD_LEN};
	memcpy(f->iov[n] + 1, p->payload, p->nr_payload * sizeof(struct iovec));
	f->io[n] = (struct store_io){
		.op = STORE_READ,
		.file = f->pin[n].file,
		.iov = f->iov[n],
		.nr_iov = 1 + p->nr_payload,
		.off = (uint64_t)c->block * BLOCK_LEN,
	};
	fetch_whole(rd, f, n);
	if (!f->whole[n])
		fetch_ahead(rd, f, n, s, c);
	f->shard[n] = s;
	f->idx[n] = idx;
	f->nr++;
	atomic_fetch_add_explicit(&s->nr_inflight, 1, memory_order_relaxed);
}

static void fetch_run(struct rd *rd, struct fetch *f)
{
	if (f->nr)
		rd->raid->ops->run(rd->raid->ops, f->io, f->nr);
	for (unsigned i = 0; i < f->nr; i++) {
		struct shard *s = f->shard[i];
		struct piece *p = &rd->piece[f->idx[i]];

		atomic_fetch_sub_explicit(&s->nr_inflight, 1, memory_order_relaxed);
		segment_put(s->segments, &f->pin[i]);
		fetch_place(rd, f, i);
		if (f->io[i].res) {
			p->state = state_of_error(s, f->io[i].res);
		} else {
			atomic_fetch_add_explicit(&s->nr_reads, 1, memory_order_relaxed);
			atomic_fetch_add_explicit(&s->read_bytes, CHUNK_HEAD_LEN + rd->payload_len,
						  memory_order_relaxed);
			p->state = verify(rd, f->idx[i]);
		}
		note_wrong(rd, f->idx[i]);
	}
}

/* ---- when something is missing ---- */

static void say_unreadable(struct rd *rd)
{
	struct raid *r = rd->raid;
	uint64_t now = mono_ns();
	uint64_t said = atomic_load(&r->said_ns);
	char text[STRIPE_WIDTH_MAX * 24];
	size_t at = 0;

	if ((said && now - said < SAY_NS) ||
	    !atomic_compare_exchange_strong(&r->said_ns, &said, now))
		return;
	for (unsigned i = 0; i < rd->width; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%sshard %u %s", i ? ", " : "",
				       rd->loc->chunk[i].shard,
				       chunk_state_name[rd->piece[i].state]);
	log_error("inode %" PRIu64 ", offset %" PRIu64
		  ": %u of %u chunks can be read, %u are needed (%s)",
		  rd->owner->ino, rd->owner->file_off, count_good(rd), rd->width, rd->loc->k, text);
}

/* Each payload in one run of memory: in the caller's buffer when it lies there whole, else in
 * scratch. */
static uint8_t *whole_payload(struct rd *rd, unsigned idx)
{
	const struct piece *p = &rd->piece[idx];
	uint8_t *whole;

	if (idx < rd->loc->k && stripe_part(rd, idx) == rd->payload_len && rd->buf)
		return rd->buf + (size_t)idx * rd->payload_len;
	whole = scratch_of(rd, idx);
	if (p->state != CHUNK_GOOD || p->payload[0].iov_base == whole)
		return whole;
	for (unsigned i = 0, off = 0; i < p->nr_payload; i++) {
		memcpy(whole + off, p->payload[i].iov_base, p->payload[i].iov_len);
		off += (unsigned)p->payload[i].iov_len;
	}
	return whole;
}

static bool repairable(const struct rd *rd, unsigned idx)
{
	enum chunk_state st = rd->piece[idx].state;

	return (st == CHUNK_WRONG || st == CHUNK_UNREADABLE) && !rd->raid->rdonly &&
	       shard_of(rd, idx);
}

/* Fill whole[] with what the good chunks give: all data, and the parity that can be repaired. */
static int rebuild(struct rd *rd, uint8_t *whole[])
{
	uint32_t good = 0;
	uint32_t want = 0;
	int err;

	for (unsigned i = 0; i < rd->width; i++) {
		whole[i] = whole_payload(rd, i);
		if (rd->piece[i].state == CHUNK_GOOD)
			good |= 1u << i;
		else if (i < rd->loc->k || repairable(rd, i))
			want |= 1u << i;
	}
	err = parity_rebuild(rd->loc->k, rd->loc->m, rd->payload_len, whole, good, want);
	if (err)
		return err;
	for (unsigned i = 0; i < rd->width; i++) {
		struct iovec iov = {whole[i], rd->payload_len};

		if ((want & (1u << i)) && rd->piece[i].head_good &&
		    chunk_sum(&iov, 1) != rd->piece[i].found.payload_sum)
			return -EIO;
	}
	atomic_fetch_add(&rd->raid->nr_rebuilt,
			 (unsigned)__builtin_popcount(want & ((1u << rd->loc->k) - 1)));
	return 0;
}

static uint32_t raw_len_of(const struct rd *rd)
{
	for (unsigned i = 0; i < rd->width; i++) {
		if (rd->piece[i].state == CHUNK_GOOD)
			return rd->piece[i].found.owner.raw_len;
	}
	return rd->owner->raw_len;
}

/* Rewrite chunk @idx, whose payload is @whole now. */
static int rewrite(struct rd *rd, unsigned idx, uint8_t *whole)
{
	const struct chunk_loc *c = &rd->loc->chunk[idx];
	struct shard *s = shard_of(rd, idx);
	uint8_t head[CHUNK_HEAD_LEN];
	struct segment_pin pin;
	struct chunk_head h = chunk_head_of(rd->raid->uuid, rd->owner, rd->loc, idx);
	struct iovec iov[3] = {
		{head, sizeof(head)},
		{whole, rd->payload_len},
		{(void *)(uintptr_t)zeros,
		 (size_t)rd->blocks * BLOCK_LEN - CHUNK_HEAD_LEN - rd->payload_len},
	};
	struct store_io io = {
		.op = STORE_WRITE,
		.iov = iov,
		.nr_iov = iov[2].iov_len ? 3 : 2,
		.off = (uint64_t)c->block * BLOCK_LEN,
	};
	int err;

	if (!s)
		return -ENODEV;
	h.owner.raw_len = raw_len_of(rd);
	h.payload_sum = chunk_sum(&iov[1], 1);
	chunk_head_put(&h, head);
	err = segment_get(s->segments, c->segment, &pin);
	if (err == -ENOENT) {
		err = segment_revive(s->segments, c->segment);
		if (!err)
			err = segment_get(s->segments, c->segment, &pin);
	}
	if (err)
		return err;
	io.file = pin.file;
	err = rd->raid->ops->run(rd->raid->ops, &io, 1);
	if (!err)
		segment_dirty(s->segments, &pin);
	segment_put(s->segments, &pin);
	if (err)
		shard_error(s, err, err != -ENOSPC, "rewriting a wrong chunk");
	return err;
}

static unsigned repair(struct rd *rd, uint8_t *whole[])
{
	unsigned nr = 0;

	for (unsigned i = 0; i < rd->width; i++) {
		if (!repairable(rd, i) || rewrite(rd, i, whole[i]))
			continue;
		atomic_fetch_add(&rd->raid->shard[rd->loc->chunk[i].shard].nr_repaired, 1);
		nr++;
	}
	return nr;
}

/* Some data chunk is not good: get parity, rebuild, answer, repair. */
static int read_degraded(struct rd *rd)
{
	uint8_t *whole[STRIPE_WIDTH_MAX];
	struct fetch f = {.nr = 0};
	int err = scratch_have(rd);

	if (err)
		return err;
	for (unsigned i = rd->loc->k; i < rd->width; i++) {
		aim_at_scratch(rd, i);
		fetch_add(rd, &f, i);
	}
	fetch_run(rd, &f);
	err = rebuild(rd, whole);
	if (err)
		return err;
	for (unsigned i = 0; i < rd->loc->k; i++) {
		uint8_t *place = rd->buf + (size_t)i * rd->payload_len;

		if (rd->piece[i].state != CHUNK_GOOD && whole[i] != place)
			memcpy(place, whole[i], stripe_part(rd, i));
	}
	(void)repair(rd, whole);
	return 0;
}

static int read_striped(struct rd *rd)
{
	struct fetch f;
	uint8_t *tail = rd->tail;

	f.nr = 0;
	for (unsigned i = 0; i < rd->loc->k; i++) {
		aim_at_buf(rd, i, &tail);
		fetch_add(rd, &f, i);
	}
	fetch_run(rd, &f);
	return all_good(rd, rd->loc->k) ? 0 : read_degraded(rd);
}

/* ---- copies ---- */

/* The copy not yet read whose shard has the least to do, else the first: stripes begin on each
 * shard in turn, and one extent should always come from the same disk (and its page cache) while
 * all are idle. -1: none. */
static int next_copy(const struct rd *rd)
{
	unsigned least = 0;
	int best = -1;

	for (unsigned i = 0; i < rd->width; i++) {
		struct shard *s = shard_of(rd, i);
		unsigned load;

		if (rd->piece[i].state != CHUNK_UNREAD || !s)
			continue;
		load = atomic_load_explicit(&s->nr_inflight, memory_order_relaxed);
		if (best < 0 || load < least) {
			best = (int)i;
			least = load;
		}
	}
	return best;
}

static int read_copies(struct rd *rd)
{
	uint8_t *whole[STRIPE_WIDTH_MAX];
	int i;

	while ((i = next_copy(rd)) >= 0) {
		struct fetch f;
		uint8_t *tail = rd->tail;

		f.nr = 0;
		aim_at_buf(rd, (unsigned)i, &tail);
		fetch_add(rd, &f, (unsigned)i);
		fetch_run(rd, &f);
		if (rd->piece[i].state == CHUNK_GOOD)
			break;
	}
	if (i < 0)
		return -EIO;
	/* The wrong ones met on the way. */
	for (unsigned n = 0; n < rd->width; n++)
		whole[n] = rd->buf;
	if (repair(rd, whole))
		atomic_fetch_add(&rd->raid->nr_rebuilt, 1);
	return 0;
}

/* ---- the room's calls ---- */

int raid_read(struct raid *r, const struct stripe_owner *owner, const struct stripe_loc *loc,
	      uint8_t *buf)
{
	struct rd rd;
	int err;

	rd_init(&rd, r, owner, loc, buf);
	err = loc->k == 1 ? read_copies(&rd) : read_striped(&rd);
	if (err == -EIO)
		say_unreadable(&rd);
	scratch_put(r->scratch, rd.scratch);
	return err;
}

/* All chunks verified themselves: does the parity belong to the data? */
static void verify_parity(struct rd *rd)
{
	uint8_t *whole[STRIPE_WIDTH_MAX];
	unsigned k = rd->loc->k;

	for (unsigned i = 0; i < rd->width; i++)
		whole[i] = scratch_of(rd, i);
	/* Computed behind the last payload, see verify_read(). */
	for (unsigned i = k; i < rd->width; i++) {
		uint32_t data = (1u << k) - 1;
		uint8_t *stored = whole[i];

		whole[i] = scratch_of(rd, rd->width);
		if (parity_rebuild(k, rd->loc->m, rd->payload_len, whole, data, 1u << i) ||
		    memcmp(stored, whole[i], rd->payload_len)) {
			rd->piece[i].state = CHUNK_WRONG;
			/* its sum is that of the wrong payload */
			rd->piece[i].head_good = false;
			note_wrong(rd, i);
		}
		whole[i] = stored;
	}
}

static int verify_read(struct rd *rd)
{
	struct fetch f = {.nr = 0};

	rd->scratch =
		scratch_get(rd->raid->scratch, (rd->width + 1) * round_up(rd->payload_len, 64));
	if (!rd->scratch)
		return -ENOMEM;
	for (unsigned i = 0; i < rd->width; i++) {
		aim_at_scratch(rd, i);
		fetch_add(rd, &f, i);
	}
	fetch_run(rd, &f);
	if (all_good(rd, rd->width))
		verify_parity(rd);
	return 0;
}

int raid_verify(struct raid *r, const struct stripe_owner *owner, const struct stripe_loc *loc,
		unsigned *bad, unsigned *repaired)
{
	uint8_t *whole[STRIPE_WIDTH_MAX];
	unsigned nr_bad = 0;
	struct rd rd;
	int err;

	rd_init(&rd, r, owner, loc, NULL);
	err = verify_read(&rd);
	for (unsigned i = 0; i < rd.width; i++)
		nr_bad += rd.piece[i].state == CHUNK_WRONG || rd.piece[i].state == CHUNK_UNREADABLE;
	if (!err && count_good(&rd) < loc->k)
		err = -EIO;
	if (!err && nr_bad)
		err = rebuild(&rd, whole);
	if (!err && nr_bad)
		*repaired += repair(&rd, whole);
	if (!err || err == -EIO)
		*bad += nr_bad;
	if (err == -EIO)
		say_unreadable(&rd);
	scratch_put(r->scratch, rd.scratch);
	return err;
}
