/* The cache of decoded bytes: parts (by generation) with a lock of their own, so that readers of different extents seldom
 * meet, and here how the bytes of an entry are made. What an entry is, and its states, is told in fs/part.h.
 *
 * Who wants most of an extent gets all of it decoded at once, from stored bytes that are not kept. Anyone else has just
 * the tile that he wants read and decoded: a cold read of 4 KiB costs the reading of one tile's stored bytes, at the
 * first time those of the extent's head, and the decoding of 128 KiB. A tile verifies itself by its checksum in the head;
 * what does not, or cannot be read alone, has all of the extent's stored bytes read, verified, rebuilt and repaired by
 * raid_read(), and kept for the other tiles. So have short ones, where one tile is no less to wait for than all.
 *
 * One thread makes an entry, without the lock, and others wait for it; so a tile is decoded once, and others beside it.
 * A tile that does not decode fails who wants it and nobody else. No error is kept: the next reader tries anew, from the
 * shards. */
#include "fs/cache.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"
#include "conf/log.h"
#include "fs/arena.h"
#include "fs/bundle.h"
#include "fs/part.h"

#define PART_LEN  (32 * MIB) /* of arena, at least: eight of the largest extents */
#define PARTS_MAX 16

/* Extents with less stored bytes are read whole. */
#define ALONE_MIN (64 * KIB)
/* A tile cannot be had by itself, for whatever reason; never an errno that a caller sees. */
#define NOT_ALONE (-ENODATA)

struct cache {
	unsigned nr_parts;
	struct part part[PARTS_MAX];
};

static struct part *cache_part(struct cache *c, uint64_t gen)
{
	return &c->part[gen % c->nr_parts];
}

int cache_new(uint64_t len, struct cache **out)
{
	struct cache *c = calloc(1, sizeof(*c));
	uint64_t nr = MIN(MAX(len / PART_LEN, (uint64_t)1), (uint64_t)PARTS_MAX);
	int err = 0;

	if (!c)
		return -ENOMEM;
	while (!err && c->nr_parts < nr) {
		err = part_init(&c->part[c->nr_parts], len / nr);
		c->nr_parts += !err;
	}
	if (err)
		cache_free(c);
	else
		*out = c;
	return err;
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->nr_parts; i++)
		part_fini(&c->part[i]);
	free(c);
}

/* ---- making an entry's bytes, without the lock ---- */

static int say_undecodable(const struct extent *x, uint32_t off, int err)
{
	if (err == -EBADMSG && bundle_is(&x->owner))
		log_error("inode %llu and others bundled with it: the stored bytes are intact but "
			  "do not decode; restore the files from a copy",
			  (unsigned long long)x->owner.ino);
	else if (err == -EBADMSG)
		log_error("inode %llu, offset %llu: the stored bytes are intact but do not decode; "
			  "restore the file from a copy",
			  (unsigned long long)x->owner.ino,
			  (unsigned long long)(x->owner.file_off + off));
	return err;
}

/* Decode all of @x, from @stored where that is not NULL. */
static int make_all(struct fs *fs, const struct extent *x, const uint8_t *stored, uint8_t *raw)
{
	AUTO_FREE uint8_t *enc = stored ? NULL : malloc(x->loc.len);
	int err = stored ? 0 : -ENOMEM;

	if (enc)
		err = raid_read(fs->raid, &x->owner, &x->loc, enc);
	if (!err)
		err = codec_decode(enc ? enc : stored, x->loc.len, raw, x->owner.raw_len);
	return err;
}

static int make_stored(struct fs *fs, const struct extent *x, struct cache_entry *e)
{
	int err = raid_read(fs->raid, &x->owner, &x->loc, e->bytes);

	if (!err)
		err = codec_inspect(e->bytes, e->len, &e->info);
	if (!err && e->info.raw_len != x->owner.raw_len)
		err = -EBADMSG;
	return say_undecodable(x, 0, err);
}

static int make_tile(const struct extent *x, const struct cache_entry *stored, unsigned idx,
		     const struct cache_entry *e)
{
	/* Where the whole extent would begin, of which only this tile is written. */
	uint8_t *raw = (uint8_t *)((uintptr_t)e->bytes - e->from);

	return say_undecodable(
		x, e->from, codec_decode_tile(stored->bytes, stored->len, &stored->info, idx, raw));
}

/* An extent that was stored raw: its tiles are where they are, by their lengths. */
static bool is_plain(const struct extent *x)
{
	return x->loc.len > x->owner.raw_len;
}

static struct stripe_part head_part(const struct extent *x, uint8_t *buf)
{
	return (struct stripe_part){.len = MIN(x->loc.len, CODEC_HEAD_MAX), .buf = buf};
}

static bool fits(const struct extent *x, const struct codec_info *info, const struct codec_tile *t)
{
	return info->raw_len == x->owner.raw_len && t->len && t->len <= x->loc.len &&
	       t->off <= x->loc.len - t->len;
}

static int alone(int err)
{
	return err && err != -ENOMEM ? NOT_ALONE : err;
}

static int make_head(struct fs *fs, const struct extent *x, struct cache_entry *e)
{
	struct stripe_part part = head_part(x, e->bytes);
	struct codec_tile t;
	int err = raid_read_part(fs->raid, &x->owner, &x->loc, &part, 1);

	if (!err)
		err = codec_tile_find(e->bytes, e->len, 0, &e->info, &t);
	if (!err && !fits(x, &e->info, &t))
		err = -EBADMSG;
	return alone(err);
}

/* @e is for the tile @t, which does not lie plain. */
static int make_alone(struct fs *fs, const struct extent *x, const struct codec_info *info,
		      const struct codec_tile *t, struct cache_entry *e)
{
	AUTO_FREE uint8_t *enc = malloc(t->len);
	struct stripe_part part = {t->off, t->len, enc};
	int err = enc ? raid_read_part(fs->raid, &x->owner, &x->loc, &part, 1) : -ENOMEM;

	if (!err)
		err = codec_tile_decode(info, t, enc, e->bytes);
	return alone(err);
}

/* The same where tiles lie plain: straight to their place, and the head in the same batch if @head, of CODEC_HEAD_MAX
 * bytes, does not have it. */
static int make_plain(struct fs *fs, const struct extent *x, uint8_t *head, bool have_head,
		      struct cache_entry *e)
{
	uint32_t head_len = x->loc.len - x->owner.raw_len;
	struct stripe_part part[2] = {{head_len + e->from, e->len, e->bytes}, head_part(x, head)};
	struct codec_info info;
	struct codec_tile t;
	int err = raid_read_part(fs->raid, &x->owner, &x->loc, part, have_head ? 1 : 2);

	if (!err)
		err = codec_tile_find(head, part[1].len, e->from, &info, &t);
	if (!err && (info.kind != CODEC_KIND_RAW || t.from != e->from || t.to != e->to ||
		     t.off != part[0].off))
		err = -EBADMSG;
	if (!err)
		err = codec_tile_decode(&info, &t, e->bytes, e->bytes);
	return alone(err);
}

/* ---- getting what is not here ---- */

static void count_decoded(struct part *p, const struct cache_entry *e) REQUIRES(p->lock)
{
	p->nr_tiles += div_up(e->len, CODEC_TILE_LEN);
	p->decoded_bytes += e->len;
}

static int load_all(struct fs *fs, struct part *p, const struct extent *x, struct cache_entry **out)
	REQUIRES(p->lock)
{
	struct cache_entry *stored = part_stored(p, x->gen), *e;
	int err;

	if (stored && stored->state == ENTRY_READY)
		part_pin(p, stored);
	else
		stored = NULL;
	e = part_add(p, x->gen, ENTRY_BYTES, 0, x->owner.raw_len, x->owner.raw_len);
	if (e) {
		part_unlock(p);
		err = make_all(fs, x, stored ? stored->bytes : NULL, e->bytes);
		part_lock(p);
		err = part_loaded(p, e, err);
	} else {
		err = -ENOMEM;
	}
	if (stored && err == -EBADMSG)
		part_hide(p, stored);
	if (stored)
		part_unpin(p, stored);
	if (err)
		return err;
	count_decoded(p, e);
	part_drop_others(p, e);
	*out = e;
	return 0;
}

static int load_stored(struct fs *fs, struct part *p, const struct extent *x,
		       struct cache_entry **out) REQUIRES(p->lock)
{
	struct cache_entry *e = part_stored(p, x->gen);
	int err;

	if (e) {
		err = part_join(p, e);
	} else {
		e = part_add(p, x->gen, ENTRY_STORED, 0, x->owner.raw_len, x->loc.len);
		if (!e)
			return -ENOMEM;
		part_unlock(p);
		err = make_stored(fs, x, e);
		part_lock(p);
		err = part_loaded(p, e, err);
	}
	if (!err)
		*out = e;
	return err;
}

static int load_tile(struct part *p, const struct extent *x, struct cache_entry *stored,
		     uint32_t off, struct cache_entry **out) REQUIRES(p->lock)
{
	unsigned idx = codec_tile_at(&stored->info, off);
	struct cache_entry *e;
	uint32_t from, to;
	int err;

	codec_tile_range(&stored->info, idx, &from, &to);
	e = part_add(p, x->gen, ENTRY_BYTES, from, to, to - from);
	if (!e)
		return -ENOMEM;
	part_unlock(p);
	err = make_tile(x, stored, idx, e);
	part_lock(p);
	err = part_loaded(p, e, err);
	/* The next one to try had better have it from the shards. */
	if (err == -EBADMSG)
		part_hide(p, stored);
	if (err)
		return err;
	part_tile_made(p, stored, idx);
	count_decoded(p, e);
	*out = e;
	return 0;
}

static int load_head(struct fs *fs, struct part *p, const struct extent *x,
		     struct cache_entry **out) REQUIRES(p->lock)
{
	struct cache_entry *e = part_head(p, x->gen);
	int err;

	if (e) {
		err = part_join(p, e);
	} else {
		e = part_add(p, x->gen, ENTRY_HEAD, 0, x->owner.raw_len,
			     MIN(x->loc.len, CODEC_HEAD_MAX));
		if (!e)
			return -ENOMEM;
		part_unlock(p);
		err = make_head(fs, x, e);
		part_lock(p);
		err = part_loaded(p, e, err);
	}
	if (!err)
		*out = e;
	return err;
}

/* The tile with raw byte @off, by itself; @head is pinned. */
static int load_alone(struct fs *fs, struct part *p, const struct extent *x,
		      const struct cache_entry *head, uint32_t off, struct cache_entry **out)
	REQUIRES(p->lock)
{
	struct codec_info info;
	struct codec_tile t;
	struct cache_entry *e;
	int err = codec_tile_find(head->bytes, head->len, off, &info, &t);

	if (err || !fits(x, &info, &t))
		return NOT_ALONE;
	e = part_add(p, x->gen, ENTRY_BYTES, t.from, t.to, t.to - t.from);
	if (!e)
		return -ENOMEM;
	part_unlock(p);
	err = make_alone(fs, x, &info, &t, e);
	part_lock(p);
	err = part_loaded(p, e, err);
	if (err)
		return err;
	count_decoded(p, e);
	*out = e;
	return 0;
}

/* Keep what was read beside a tile. */
static void keep_head(struct part *p, const struct extent *x, const uint8_t *head) REQUIRES(p->lock)
{
	struct cache_entry *e;

	if (part_head(p, x->gen))
		return;
	e = part_add(p, x->gen, ENTRY_HEAD, 0, x->owner.raw_len, MIN(x->loc.len, CODEC_HEAD_MAX));
	if (!e)
		return;
	memcpy(e->bytes, head, e->len);
	if (!part_loaded(p, e, codec_inspect(e->bytes, e->len, &e->info)))
		part_unpin(p, e);
}

static int load_plain(struct fs *fs, struct part *p, const struct extent *x, uint32_t off,
		      struct cache_entry **out) REQUIRES(p->lock)
{
	uint32_t from = (uint32_t)round_down(off, CODEC_TILE_LEN);
	uint32_t to = MIN(from + CODEC_TILE_LEN, x->owner.raw_len);
	struct cache_entry *e, *h = part_head(p, x->gen);
	bool have = h && h->state == ENTRY_READY;
	uint8_t head[CODEC_HEAD_MAX];
	int err;

	if (have)
		memcpy(head, h->bytes, h->len);
	e = part_add(p, x->gen, ENTRY_BYTES, from, to, to - from);
	if (!e)
		return -ENOMEM;
	part_unlock(p);
	err = make_plain(fs, x, head, have, e);
	part_lock(p);
	err = part_loaded(p, e, err);
	if (err)
		return err;
	count_decoded(p, e);
	if (!have)
		keep_head(p, x, head);
	*out = e;
	return 0;
}

/* More than half of it, or what has no tiles. */
static bool wants_all(const struct extent *x, uint32_t from, uint32_t to)
{
	return x->owner.raw_len <= CODEC_TILE_LEN || to - from > x->owner.raw_len / 2;
}

/* Somebody reads its stored bytes now: who wants all of it waits for them, too. */
static bool being_stored(struct part *p, uint64_t gen) REQUIRES(p->lock)
{
	struct cache_entry *stored = part_stored(p, gen);

	return stored && stored->state == ENTRY_LOADING;
}

/* Entries on the way to a tile, pinned. */
struct way {
	struct cache_entry *head, *stored;
	bool alone; /* try to have the tile by itself */
};

/* Each call gets a step further: *out is the entry at the end of the way, else NULL. */
static int tile_step(struct fs *fs, struct part *p, const struct extent *x, uint32_t from,
		     struct way *w, struct cache_entry **out) REQUIRES(p->lock)
{
	int err;

	*out = NULL;
	if (w->stored)
		return load_tile(p, x, w->stored, from, out);
	if (!w->alone || part_stored(p, x->gen))
		return load_stored(fs, p, x, &w->stored);
	if (is_plain(x))
		err = load_plain(fs, p, x, from, out);
	else if (!w->head)
		err = load_head(fs, p, x, &w->head);
	else
		err = load_alone(fs, p, x, w->head, from, out);
	if (err != NOT_ALONE)
		return err;
	w->alone = false;
	return 0;
}

/* *out has the raw byte @from. @all: get all of the extent, if anything. */
static int get_locked(struct fs *fs, struct part *p, const struct extent *x, uint32_t from,
		      bool all, bool memory_only, struct cache_entry **out) REQUIRES(p->lock)
{
	struct way w = {.alone = x->loc.len >= ALONE_MIN};
	struct cache_entry *e;
	int err;

	/* Each step but the last drops the lock, and others may have moved on meanwhile. */
	do {
		bool whole = all;

		e = part_bytes(p, x->gen, from);
		if (memory_only && (!e || e->state != ENTRY_READY)) {
			err = -EAGAIN;
		} else if (e) {
			whole = e->to - e->from == x->owner.raw_len;
			err = part_join(p, e);
			if (err == NOT_ALONE) {
				w.alone = false;
				e = NULL;
				err = 0;
			}
		} else if (all && !being_stored(p, x->gen)) {
			err = load_all(fs, p, x, &e);
		} else {
			err = tile_step(fs, p, x, from, &w, &e);
		}
		/* What of all does not decode may be a tile that is not wanted here. */
		if (err == -EBADMSG && whole) {
			all = false;
			e = NULL;
			err = 0;
		}
	} while (!err && !e);
	if (w.head)
		part_unpin(p, w.head);
	if (w.stored)
		part_unpin(p, w.stored);
	if (!err)
		*out = e;
	return err;
}

int cache_get(struct fs *fs, const struct extent *x, uint32_t from, uint32_t to, bool memory_only,
	      struct cache_entry **out)
{
	struct part *p = cache_part(fs->cache, x->gen);
	bool hit;
	int err;

	assert(from < to && to <= x->owner.raw_len);
	part_lock(p);
	hit = part_bytes(p, x->gen, from) != NULL;
	err = get_locked(fs, p, x, from, wants_all(x, from, to), memory_only, out);
	p->nr_hits += !err && hit;
	p->nr_misses += !err && !hit;
	part_unlock(p);
	return err == -EBADMSG ? -EIO : err;
}

void cache_put(struct cache *c, struct cache_entry *e)
{
	struct part *p = cache_part(c, e->gen);

	part_lock(p);
	part_unpin(p, e);
	part_unlock(p);
}

void cache_put_used(struct cache *c, struct cache_entry *e, uint32_t from, uint32_t to)
{
	struct part *p = cache_part(c, e->gen);

	part_lock(p);
	part_use(p, e, from, to);
	part_unpin(p, e);
	part_unlock(p);
}

void cache_put_ahead(struct cache *c, struct cache_entry *e)
{
	struct part *p = cache_part(c, e->gen);

	part_lock(p);
	part_unpin_ahead(p, e);
	part_unlock(p);
}

void cache_put_spent(struct cache *c, struct cache_entry *e)
{
	struct part *p = cache_part(c, e->gen);

	part_lock(p);
	part_unpin_spent(p, e);
	part_unlock(p);
}

const uint8_t *cache_bytes(const struct cache_entry *e, uint32_t off, uint32_t *len)
{
	*len = e->to - off;
	return e->bytes + (off - e->from);
}

bool cache_has(struct cache *c, uint64_t gen)
{
	struct part *p = cache_part(c, gen);
	bool has;

	part_lock(p);
	has = part_has(p, gen);
	part_unlock(p);
	return has;
}

void cache_limit(struct cache *c, uint64_t len)
{
	for (unsigned i = 0; i < c->nr_parts; i++) {
		struct part *p = &c->part[i];

		part_lock(p);
		part_limit(p, len / c->nr_parts);
		part_unlock(p);
	}
}

void cache_trim(struct cache *c)
{
	for (unsigned i = 0; i < c->nr_parts; i++)
		arena_trim(c->part[i].arena);
}

void cache_stat_get(struct cache *c, struct cache_stat *out)
{
	*out = (struct cache_stat){0};
	for (unsigned i = 0; i < c->nr_parts; i++) {
		struct part *p = &c->part[i];

		part_lock(p);
		out->nr_entries += p->nr;
		out->nr_hits += p->nr_hits;
		out->nr_misses += p->nr_misses;
		out->nr_evicted += p->nr_evicted;
		out->nr_tiles += p->nr_tiles;
		out->decoded_bytes += p->decoded_bytes;
		out->nr_ghost_hits += p->order.nr_ghost_hits;
		out->main_len += p->order.main.len;
		out->main_nr += p->order.main.nr;
		part_unlock(p);
		out->len += arena_len(p->arena);
		out->used += arena_used(p->arena);
	}
}
