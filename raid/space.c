/* What is free, and what of it is promised.
 *
 * For each shard there is a limit: the count of blocks given out by its segments at which it will
 * be full, as of the last look at the file system. What is free now is the limit less the count
 * now, without a system call.
 *
 * A promise names neither shards nor stripes, so it must hold for every way to use it: promised
 * blocks are counted as if written in the most wasteful form, 1 + m copies, and layout_promise()
 * says how many of those fit. The limit of promises and blocks given out together is kept as one
 * number: as a block given out lowers what fits by one at most, that number only errs towards no,
 * and while it says yes nothing else is looked at, without a lock. When it says no, the count is
 * made anew from what each shard has now.
 *
 * What cutting into whole chunks costs is held back on each shard: one chunk, but no more than
 * what is promised. Behind that stands the metadata's reserve, which a promised write may touch
 * before it fails (space_cands()). */
#include "raid/space.h"

#include <assert.h>
#include <string.h>

#include "raid/scratch.h"
#include "raid/segment.h"

#define FRESH_NS   (200 * 1000000ULL) /* numbers are good for so long when there is plenty */
#define SHORT_NS   (1 * 1000000ULL)   /* and for so long when they say no */
#define AHEAD_MAX  (64 * MIB)
#define AHEAD_PART 32 /* of what is free is allocated ahead on one shard */
#define LOG_ROOM   (32 * MIB)
#define LOG_PART   32 /* of the shard is kept for the log, at most */
/* The next checkpoint stands beside the last two for a while, and is longer: room for so many is kept, but no more than
 * this part of the shard. */
#define IMAGES	    2
#define IMAGES_PART 8

/* What encoding may add to an extent. */
#define EXTENT_HEAD_MAX 4096

struct space_shard {
	atomic_uint_fast64_t limit; /* of segments_allocated(), in blocks */
	atomic_uint_fast64_t deep;  /* the same with the metadata's reserve */
	atomic_uint_fast64_t avail; /* bytes that new files can take, as of the last look */
	atomic_bool full;	    /* answered -ENOSPC; until avail grows */
	/* at the first look after that; UINT64_MAX: not looked yet. guarded by space->lock */
	uint64_t full_avail;
};

struct space {
	/* held across statfs; guards the looks at the file systems. Before raid->lock */
	struct lock lock;
	struct space_shard shard[SHARD_MAX];
	atomic_uint_fast64_t looked_ns;
	atomic_uint_fast64_t looked_online; /* r->online then */
	/* someone refreshes old numbers: the others go on with them */
	atomic_bool looking;
	atomic_bool stale;
	/* of promised blocks and blocks given out on all shards */
	atomic_uint_fast64_t quick_limit;
	atomic_uint_fast64_t promised;	/* bytes */
	atomic_uint_fast64_t image_len; /* bytes of a checkpoint */
};

/* ---- a look at the file systems ---- */

static struct shard *online_shard(struct raid *r, unsigned idx)
{
	struct shard *s = &r->shard[idx];

	return (atomic_load(&r->online) & (1ULL << idx)) && s->segments ? s : NULL;
}

static unsigned nr_online(const struct raid *r)
{
	return (unsigned)__builtin_popcountll(atomic_load(&r->online));
}

unsigned space_parity(const struct raid *r)
{
	unsigned want = raid_parity(&r->geo);
	unsigned nr = nr_online(r);

	return nr > want ? want : nr ? nr - 1 : 0;
}

unsigned space_k_max(const struct raid *r, unsigned m)
{
	return r->geo.level == 1 ? 1 : STRIPE_WIDTH_MAX - m;
}

static uint64_t allocated_all(struct raid *r)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (r->shard[i].segments)
			sum += segments_allocated(r->shard[i].segments);
	}
	return sum;
}

static uint64_t meta_reserve(struct space *sp, const struct store_space *st, unsigned sharing)
{
	uint64_t total = st->total / sharing;

	return MIN((uint64_t)LOG_ROOM, total / LOG_PART) +
	       MIN(IMAGES * (uint64_t)atomic_load(&sp->image_len), total / IMAGES_PART);
}

/* One look at the shards online. */
struct look {
	uint64_t online; /* and with an answer */
	/* taken first, so that what is given out meanwhile counts twice rather than never */
	uint64_t allocated[SHARD_MAX];
	uint64_t ahead[SHARD_MAX]; /* blocks */
	struct store_space st[SHARD_MAX];
	unsigned sharing[SHARD_MAX]; /* shards on the same device, itself included */
};

static void look_around(struct raid *r, struct look *l)
{
	l->online = atomic_load(&r->online);
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = online_shard(r, i);
		int err;

		if (!s) {
			l->online &= ~(1ULL << i);
			continue;
		}
		l->allocated[i] = segments_allocated(s->segments);
		l->ahead[i] = segments_ahead(s->segments);
		err = r->ops->space(s->store, &l->st[i]);
		if (!err)
			continue;
		/* Its old numbers stand. */
		l->online &= ~(1ULL << i);
		shard_error(s, err, false, "asking for its free space");
	}
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		l->sharing[i] = 0;
		for (unsigned j = 0; j < r->geo.nr_shards; j++) {
			if ((l->online & (1ULL << i)) && (l->online & (1ULL << j)))
				l->sharing[i] += l->st[i].dev == l->st[j].dev;
		}
	}
}

static bool still_full(struct space_shard *ss, uint64_t avail)
{
	if (!atomic_load(&ss->full))
		return false;
	if (ss->full_avail == UINT64_MAX || avail < ss->full_avail)
		ss->full_avail = avail;
	if (avail <= ss->full_avail + BLOCK_LEN)
		return true;
	atomic_store(&ss->full, false);
	return false;
}

static uint64_t blocks_free(struct raid *r, unsigned idx, bool deep)
{
	struct space_shard *ss = &r->space->shard[idx];
	uint64_t limit = atomic_load(deep ? &ss->deep : &ss->limit);
	uint64_t given = segments_allocated(r->shard[idx].segments);

	return limit > given ? limit - given : 0;
}

/* Blocks that can be promised on shards with @room, which is changed; no chunk is longer than
 * @chunk. */
static uint64_t promisable(struct raid *r, uint64_t *room, unsigned nr, uint64_t chunk)
{
	unsigned m = space_parity(r);

	for (unsigned i = 0; i < nr; i++)
		room[i] -= MIN(room[i], chunk);
	return layout_promise(room, nr, m, space_k_max(r, m));
}

static void refresh_locked(struct raid *r) REQUIRES(r->space->lock)
{
	struct space *sp = r->space;
	uint64_t room[SHARD_MAX];
	unsigned nr = 0;
	struct look l = {0};
	uint64_t given;

	atomic_store(&sp->stale, false);
	given = allocated_all(r);
	look_around(r, &l);
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct space_shard *ss = &sp->shard[i];
		uint64_t avail, meta, free_blocks, deep_blocks;

		if (!(l.online & (1ULL << i))) {
			if (online_shard(r, i))
				room[nr++] = blocks_free(r, i, false);
			continue;
		}
		assert(l.sharing[i]);
		avail = l.st[i].avail / l.sharing[i];
		meta = meta_reserve(sp, &l.st[i], l.sharing[i]);
		deep_blocks = l.ahead[i] + avail / BLOCK_LEN;
		free_blocks = l.ahead[i] + (avail > meta ? (avail - meta) / BLOCK_LEN : 0);
		/* What is ahead was given back, or a write did not find it. */
		if (still_full(ss, l.st[i].avail))
			deep_blocks = free_blocks = 0;
		atomic_store(&ss->limit, l.allocated[i] + free_blocks);
		atomic_store(&ss->deep, l.allocated[i] + deep_blocks);
		atomic_store(&ss->avail, avail);
		room[nr++] = free_blocks;
	}
	atomic_store(&sp->quick_limit,
		     given + promisable(r, room, nr,
					layout_blocks(r->geo.extent_len + EXTENT_HEAD_MAX, 1)));
	atomic_store(&sp->looked_online, atomic_load(&r->online));
	atomic_store(&sp->looked_ns, mono_ns());
}

static bool older_than(struct raid *r, uint64_t ns)
{
	struct space *sp = r->space;

	return atomic_load(&sp->looked_online) != atomic_load(&r->online) ||
	       mono_ns() - atomic_load(&sp->looked_ns) > ns;
}

/* Old numbers are taken anew by one thread; the others need not wait for it. */
static void refresh_old(struct raid *r)
{
	struct space *sp = r->space;

	if (!older_than(r, FRESH_NS) || atomic_exchange(&sp->looking, true))
		return;
	lock_take(&r->space->lock);
	if (older_than(r, FRESH_NS))
		refresh_locked(r);
	lock_release(&r->space->lock);
	atomic_store(&sp->looking, false);
}

unsigned space_cands(struct raid *r, bool deep, struct layout_cand out[SHARD_MAX])
{
	unsigned nr = 0;

	if (deep) {
		lock_take(&r->space->lock);
		refresh_locked(r);
		lock_release(&r->space->lock);
	} else {
		refresh_old(r);
	}
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		uint64_t blocks;

		if (!online_shard(r, i))
			continue;
		blocks = blocks_free(r, i, deep);
		if (blocks)
			out[nr++] = (struct layout_cand){.shard = (uint8_t)i, .blocks = blocks};
	}
	return nr;
}

void space_full(struct shard *s)
{
	struct space_shard *ss = &s->raid->space->shard[s->idx];
	uint64_t given = segments_allocated(s->segments);

	lock_take(&s->raid->space->lock);
	ss->full_avail = UINT64_MAX;
	atomic_store(&ss->full, true);
	atomic_store(&ss->limit, given);
	atomic_store(&ss->deep, given);
	lock_release(&s->raid->space->lock);
	space_stale(s->raid);
}

void space_stale(struct raid *r)
{
	atomic_store(&r->space->stale, true);
}

uint64_t space_ahead(struct shard *s)
{
	struct store_space st;
	uint64_t avail;

	if (s->raid->space)
		avail = blocks_free(s->raid, s->idx, false) * BLOCK_LEN;
	else
		avail = s->raid->ops->space(s->store, &st) ? 0 : st.avail;
	return MIN(AHEAD_MAX, avail / AHEAD_PART);
}

uint64_t raid_log_room(struct raid *r)
{
	uint64_t image = atomic_load(&r->space->image_len), least = UINT64_MAX;

	lock_take(&r->space->lock);
	if ((atomic_load(&r->space->stale) && older_than(r, SHORT_NS)) || older_than(r, FRESH_NS))
		refresh_locked(r);
	lock_release(&r->space->lock);
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		uint64_t avail = atomic_load(&r->space->shard[i].avail);

		if (online_shard(r, i))
			least = MIN(least, MIN(avail, blocks_free(r, i, true) * BLOCK_LEN));
	}
	/* It is longer than the last one. */
	return least - MIN(least, image + image / 4);
}

void space_set_image(struct raid *r, uint64_t image_len)
{
	atomic_store(&r->space->image_len, image_len);
	space_stale(r);
}

int space_new(struct raid *r)
{
	struct space *sp = calloc(1, sizeof(*sp));
	struct scratch *scratch = scratch_new();

	if (!sp || !scratch) {
		free(sp);
		scratch_free(scratch);
		return -ENOMEM;
	}
	lock_init(&sp->lock);
	lock_init(&r->sync_lock);
	r->space = sp;
	r->scratch = scratch;
	lock_take(&r->space->lock);
	refresh_locked(r);
	lock_release(&r->space->lock);
	return 0;
}

void space_free(struct raid *r)
{
	if (!r->space)
		return;
	lock_fini(&r->sync_lock);
	lock_fini(&r->space->lock);
	free(r->space);
	scratch_free(r->scratch);
	r->space = NULL;
	r->scratch = NULL;
}

/* ---- promises ---- */

static uint64_t promised_blocks(struct raid *r)
{
	return div_up(atomic_load(&r->space->promised), BLOCK_LEN);
}

/* With the new promise counted already: do all fit for sure? */
static bool fits_quick(struct raid *r)
{
	struct space *sp = r->space;

	return atomic_load(&sp->looked_online) == atomic_load(&r->online) &&
	       promised_blocks(r) + allocated_all(r) <= atomic_load(&sp->quick_limit);
}

static bool fits_exact(struct raid *r)
{
	unsigned m = space_parity(r);
	uint64_t promised = promised_blocks(r);
	uint32_t len = r->geo.extent_len + EXTENT_HEAD_MAX;
	uint64_t room[SHARD_MAX];
	unsigned nr = 0;
	unsigned k;

	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (online_shard(r, i))
			room[nr++] = blocks_free(r, i, false);
	}
	k = layout_width(nr, m, space_k_max(r, m), len);
	return k &&
	       promisable(r, room, nr, MIN(promised, (uint64_t)layout_blocks(len, k))) >= promised;
}

static int reserve_exact(struct raid *r, uint64_t len)
{
	struct space *sp = r->space;
	bool fits;

	lock_take(&r->space->lock);
	atomic_fetch_add(&sp->promised, len);
	fits = !older_than(r, FRESH_NS) && fits_exact(r);
	if (!fits && (atomic_load(&sp->stale) || older_than(r, SHORT_NS))) {
		refresh_locked(r);
		fits = fits_exact(r);
	}
	if (!fits)
		atomic_fetch_sub(&sp->promised, len);
	lock_release(&r->space->lock);
	return fits ? 0 : -ENOSPC;
}

int raid_reserve(struct raid *r, uint64_t len)
{
	if (r->rdonly)
		return -EROFS;
	if (atomic_load(&r->broken))
		return -EIO;
	refresh_old(r);
	atomic_fetch_add(&r->space->promised, len);
	if (fits_quick(r))
		return 0;
	atomic_fetch_sub(&r->space->promised, len);
	return reserve_exact(r, len);
}

uint64_t space_promised(const struct raid *r)
{
	return atomic_load(&r->space->promised);
}

void raid_unreserve(struct raid *r, uint64_t len)
{
	uint64_t before = atomic_fetch_sub(&r->space->promised, len);

	assert(before >= len);
	(void)before;
}

/* ---- figures ---- */

int raid_space(struct raid *r, struct raid_space *out)
{
	unsigned m = space_parity(r);
	unsigned k_max = space_k_max(r, m);
	struct raid_space sp = {0};
	uint64_t empty[SHARD_MAX];
	uint64_t room[SHARD_MAX];
	uint64_t promised;
	unsigned nr = 0;

	lock_take(&r->space->lock);
	if (atomic_load(&r->space->stale) || older_than(r, SHORT_NS))
		refresh_locked(r);
	lock_release(&r->space->lock);
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = online_shard(r, i);
		uint64_t used;

		if (!s)
			continue;
		used = segments_used(s->segments);
		room[nr] = blocks_free(r, i, false);
		empty[nr] = room[nr] + used / BLOCK_LEN;
		sp.used += used;
		nr++;
	}
	sp.total =
		layout_fill(empty, nr, m, k_max, r->geo.extent_len, UINT64_MAX) * r->geo.extent_len;
	sp.avail =
		layout_fill(room, nr, m, k_max, r->geo.extent_len, UINT64_MAX) * r->geo.extent_len;
	promised = atomic_load(&r->space->promised);
	sp.avail -= MIN(sp.avail, promised);
	*out = sp;
	return 0;
}
