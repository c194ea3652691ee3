/* Segment files: where chunks lie on one shard.
 *
 * One segment is filled: its blocks up to `tail` are given out, those up to `ahead` are allocated
 * on disk, so that a write that has its address cannot meet a full disk. One thread at a time
 * extends (`extending`) and does so without the lock; the others go on with what is ahead, or wait.
 *
 * Files are opened when needed and kept open, NR_OPEN_MAX of them; pinned and unsynced ones stay
 * open in any case: an error of the kernel's writing back is told to the descriptors that were open
 * then.
 *
 * What a crash leaves: a segment whose name was not synced may be gone; no committed stripe
 * names it, as raid_sync() comes before the commit. What was allocated and not written stays
 * allocated until raid_reconcile_end() punches it. The number of a lost segment may be given out
 * again; had a live stripe named it, segments_skip() would prevent that. */
#include "raid/segment.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "raid/space.h"

#define DIR_NAME    "seg"
#define NAME_LEN    sizeof("seg/00000000")
#define NR_OPEN_MAX 64
#define SMALLEST    (8 * MIB)

struct seg {
	uint32_t number;
	unsigned pins;
	struct store_file *file; /* NULL: not open */
	uint64_t used_at;	 /* for closing the longest unused */
	uint64_t live;		 /* blocks */
	bool settled;		 /* live is known */
	bool dirty;		 /* written since the last sync */
	bool doomed;		 /* in no table any more; the last put deletes the file */
};

struct segments {
	struct shard *shard;
	const struct store_ops *ops;
	uint32_t seg_blocks; /* of a full segment */
	bool can_allocate;   /* guarded by lock; false once the store has refused */
	/* held across open(), not across any other I/O; guards all below */
	struct lock lock;
	struct cond extended;
	bool extending;
	struct seg **seg; /* ascending numbers */
	unsigned nr, cap;
	unsigned nr_open;
	uint64_t clock;	      /* for used_at */
	struct seg *cur;      /* the one being filled; NULL before the first allocation */
	uint32_t tail, ahead; /* blocks of cur */
	uint64_t next_number; /* 64 bits: one more than the last possible means none */
	/* files were made or deleted since the directory was last synced */
	bool renamed;
	bool sync_names;		      /* the sync under way takes care of that */
	atomic_uint_fast64_t allocated, live; /* blocks */
};

static void name_of(uint32_t number, char name[NAME_LEN])
{
	snprintf(name, NAME_LEN, DIR_NAME "/%08x", number);
}

/* ---- the table ---- */

/* The position of @number, or where it would be inserted. */
static unsigned table_at(const struct segments *g, uint32_t number)
{
	unsigned low = 0;
	unsigned high = g->nr;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (g->seg[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct seg *table_find(const struct segments *g, uint32_t number)
{
	unsigned at = table_at(g, number);

	return at < g->nr && g->seg[at]->number == number ? g->seg[at] : NULL;
}

static int table_add(struct segments *g, uint32_t number, struct seg **out)
{
	unsigned at = table_at(g, number);
	struct seg *seg;

	if (g->nr == g->cap) {
		unsigned cap = g->cap ? 2 * g->cap : 16;
		struct seg **grown = realloc(g->seg, cap * sizeof(struct seg *));

		if (!grown)
			return -ENOMEM;
		g->seg = grown;
		g->cap = cap;
	}
	seg = calloc(1, sizeof(*seg));
	if (!seg)
		return -ENOMEM;
	seg->number = number;
	memmove(g->seg + at + 1, g->seg + at, (g->nr - at) * sizeof(struct seg *));
	g->seg[at] = seg;
	g->nr++;
	g->next_number = MAX(g->next_number, (uint64_t)number + 1);
	*out = seg;
	return 0;
}

static void table_remove(struct segments *g, const struct seg *seg)
{
	unsigned at = table_at(g, seg->number);

	assert(at < g->nr && g->seg[at] == seg);
	memmove(g->seg + at, g->seg + at + 1, (g->nr - at - 1) * sizeof(struct seg *));
	g->nr--;
}

/* ---- open files, pins, deletion ---- */

static void close_one_idle(struct segments *g)
{
	struct seg *oldest = NULL;

	for (unsigned i = 0; i < g->nr; i++) {
		struct seg *seg = g->seg[i];

		if (!seg->file || seg->pins || seg->dirty || seg == g->cur)
			continue;
		if (!oldest || seg->used_at < oldest->used_at)
			oldest = seg;
	}
	if (!oldest)
		return;
	g->ops->close(oldest->file);
	oldest->file = NULL;
	g->nr_open--;
}

static int open_locked(struct segments *g, struct seg *seg, unsigned flags)
{
	char name[NAME_LEN];
	int err;

	if (seg->file)
		return 0;
	if (g->nr_open >= NR_OPEN_MAX)
		close_one_idle(g);
	name_of(seg->number, name);
	err = g->ops->open(g->shard->store, name, flags | STORE_DIRECT, &seg->file);
	if (!err)
		g->nr_open++;
	return err;
}

static int pin_locked(struct segments *g, struct seg *seg)
{
	int err = open_locked(g, seg, g->shard->raid->rdonly ? STORE_RDONLY : 0);

	if (err)
		return err;
	seg->pins++;
	seg->used_at = ++g->clock;
	return 0;
}

/* Delete the file of a segment that is in no table; nobody has it pinned. Without the lock. */
static void delete_seg(struct segments *g, struct seg *seg)
{
	char name[NAME_LEN];

	name_of(seg->number, name);
	if (seg->file)
		g->ops->close(seg->file);
	/* What stays behind on an error is found by the next reconciliation. */
	(void)g->ops->unlink(g->shard->store, name);
	free(seg);
}

/* Take @seg out of the table when nothing in it is live. Returns it when the caller must call
 * delete_seg(). */
static struct seg *doom_locked(struct segments *g, struct seg *seg)
{
	if (!seg->settled || seg->live || seg == g->cur || seg == g->seg[g->nr - 1])
		return NULL;
	table_remove(g, seg);
	if (seg->file)
		g->nr_open--;
	g->renamed = true;
	seg->doomed = true;
	return seg->pins ? NULL : seg;
}

static void unpin(struct segments *g, struct seg *seg)
{
	bool last;

	lock_take(&g->lock);
	assert(seg->pins);
	last = --seg->pins == 0 && seg->doomed;
	/* Unsynced ones may have made it more than is kept. */
	if (g->nr_open > NR_OPEN_MAX && !last)
		close_one_idle(g);
	lock_release(&g->lock);
	if (last)
		delete_seg(g, seg);
}

int segment_get(struct segments *g, uint32_t number, struct segment_pin *out)
{
	struct seg *seg;
	int err;

	lock_take(&g->lock);
	seg = table_find(g, number);
	err = seg ? pin_locked(g, seg) : -ENOENT;
	lock_release(&g->lock);
	if (!err)
		*out = (struct segment_pin){.file = seg->file, .seg = seg};
	return err;
}

void segment_put(struct segments *g, struct segment_pin *pin)
{
	unpin(g, pin->seg);
	*pin = (struct segment_pin){0};
}

static int revive_locked(struct segments *g, uint32_t number, struct seg **out)
{
	struct seg *seg;
	int err = table_add(g, number, &seg);

	if (err)
		return err;
	err = open_locked(g, seg, STORE_CREATE);
	if (err == -EEXIST)
		err = open_locked(g, seg, 0);
	if (err) {
		table_remove(g, seg);
		free(seg);
		return err;
	}
	g->renamed = true;
	*out = seg;
	return 0;
}

int segment_revive(struct segments *g, uint32_t number)
{
	struct seg *seg;
	int err;

	lock_take(&g->lock);
	seg = table_find(g, number);
	if (!seg) {
		err = revive_locked(g, number, &seg);
		goto out;
	}
	err = open_locked(g, seg, 0);
	if (err == -ENOENT) {
		err = open_locked(g, seg, STORE_CREATE);
		g->renamed |= !err;
	}
out:
	lock_release(&g->lock);
	return err;
}

void segments_skip(struct segments *g, uint32_t number)
{
	lock_take(&g->lock);
	g->next_number = MAX(g->next_number, (uint64_t)number + 1);
	lock_release(&g->lock);
}

void segment_dirty(struct segments *g, const struct segment_pin *pin)
{
	lock_take(&g->lock);
	pin->seg->dirty = true;
	lock_release(&g->lock);
}

/* ---- open and close ---- */

static int note_name(void *arg, const char *entry)
{
	struct segments *g = arg;
	struct seg *seg;
	uint32_t number = 0;
	char name[NAME_LEN];

	if (strlen(entry) != 8 || strspn(entry, "0123456789abcdef") != 8)
		return 0;
	number = (uint32_t)strtoul(entry, NULL, 16);
	name_of(number, name);
	assert(!strcmp(name + sizeof(DIR_NAME), entry));
	return table_find(g, number) ? 0 : table_add(g, number, &seg);
}

static int find_segments(struct segments *g)
{
	struct store *store = g->shard->store;
	int err = g->ops->list(store, DIR_NAME, note_name, g);

	if (err != -ENOENT)
		return err;
	if (g->shard->raid->rdonly)
		return 0;
	err = g->ops->mkdir(store, DIR_NAME);
	return err ? err : g->ops->sync_dir(store, "");
}

/* Many enough that a segment can be deleted now and then, large enough that they are few. */
static int choose_len(struct segments *g)
{
	struct store_space sp;
	uint64_t len = SEGMENT_LEN_MAX;
	int err = g->ops->space(g->shard->store, &sp);

	if (err)
		return err;
	while (len > SMALLEST && len > sp.total / 64)
		len /= 2;
	g->seg_blocks = (uint32_t)(len / BLOCK_LEN);
	return 0;
}

int segments_open(struct shard *s, struct segments **out)
{
	struct segments *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	g->shard = s;
	g->ops = s->raid->ops;
	g->can_allocate = true;
	lock_init(&g->lock);
	cond_init(&g->extended);
	err = choose_len(g);
	if (!err)
		err = find_segments(g);
	if (err) {
		segments_close(g);
		return err;
	}
	*out = g;
	return 0;
}

void segments_close(struct segments *g)
{
	if (!g)
		return;
	segments_trim(g);
	for (unsigned i = 0; i < g->nr; i++) {
		assert(!g->seg[i]->pins);
		if (g->seg[i]->file)
			g->ops->close(g->seg[i]->file);
		free(g->seg[i]);
	}
	free(g->seg);
	cond_fini(&g->extended);
	lock_fini(&g->lock);
	free(g);
}

/* ---- filling ---- */

static void extend_begin_locked(struct segments *g) REQUIRES(g->lock)
{
	while (g->extending)
		cond_wait(&g->extended, &g->lock);
	g->extending = true;
}

static void extend_end_locked(struct segments *g) REQUIRES(g->lock)
{
	g->extending = false;
	cond_broadcast(&g->extended);
}

/* Give back what is allocated ahead. The caller extends. */
static void trim_extending(struct segments *g)
{
	struct seg *cur = NULL;
	uint32_t tail;

	lock_take(&g->lock);
	tail = g->tail;
	if (g->cur && g->can_allocate && g->ahead > tail) {
		cur = g->cur;
		/* From here on nobody takes of it. */
		g->ahead = tail;
	}
	lock_release(&g->lock);
	/* An error costs space until the next reconciliation, nothing else. */
	if (cur)
		(void)g->ops->truncate(cur->file, (uint64_t)tail * BLOCK_LEN);
}

/* Go on in a new segment. The caller extends. */
static int next_extending(struct segments *g)
{
	struct seg *dead = NULL;
	struct seg *seg;
	int err = -ENOSPC;

	trim_extending(g);
	lock_take(&g->lock);
	if (g->next_number <= UINT32_MAX)
		err = revive_locked(g, (uint32_t)g->next_number, &seg);
	if (!err) {
		/* The one before was being filled, or had the highest number: it had to stay
		 * until now. */
		struct seg *old = g->nr > 1 ? g->seg[g->nr - 2] : NULL;

		seg->settled = true;
		g->cur = seg;
		g->tail = 0;
		g->ahead = g->can_allocate ? 0 : g->seg_blocks;
		dead = old ? doom_locked(g, old) : NULL;
	}
	lock_release(&g->lock);
	if (dead)
		delete_seg(g, dead);
	return err;
}

/* Allocate @need more blocks behind what is ahead, or more than that where there is plenty. The
 * caller extends. */
static int allocate_extending(struct segments *g, uint32_t need)
{
	uint64_t off = (uint64_t)g->ahead * BLOCK_LEN;
	uint64_t most = (uint64_t)(g->seg_blocks - g->ahead) * BLOCK_LEN;
	uint64_t least = (uint64_t)need * BLOCK_LEN;
	uint64_t len = MIN(most, MAX(least, round_down(space_ahead(g->shard), BLOCK_LEN)));
	int err = g->ops->allocate(g->cur->file, off, len);

	while (err == -ENOSPC && len > least) {
		len = MAX(least, round_down(len / 4, BLOCK_LEN));
		err = g->ops->allocate(g->cur->file, off, len);
	}
	if (err && err != -EOPNOTSUPP)
		return err;
	lock_take(&g->lock);
	if (err) {
		g->can_allocate = false;
		g->ahead = g->seg_blocks;
	} else {
		g->ahead += (uint32_t)(len / BLOCK_LEN);
	}
	lock_release(&g->lock);
	return 0;
}

/* Have @nr_blocks ahead, if they are still missing. */
static int extend(struct segments *g, uint32_t nr_blocks)
{
	uint32_t tail, ahead;
	bool has_cur;
	int err = 0;

	lock_take(&g->lock);
	extend_begin_locked(g);
	has_cur = g->cur != NULL;
	tail = g->tail;
	ahead = g->ahead;
	lock_release(&g->lock);

	if (!has_cur || tail + nr_blocks > g->seg_blocks) {
		err = next_extending(g);
		tail = 0;
		ahead = g->ahead;
	}
	/* The others may have moved the tail meanwhile; then the caller comes again. */
	if (!err && tail + nr_blocks > ahead)
		err = allocate_extending(g, tail + nr_blocks - ahead);

	lock_take(&g->lock);
	extend_end_locked(g);
	lock_release(&g->lock);
	return err;
}

static bool take_locked(struct segments *g, uint32_t nr_blocks, struct chunk_loc *out)
{
	if (!g->cur || g->tail + nr_blocks > g->ahead)
		return false;
	*out = (struct chunk_loc){
		.shard = (uint8_t)g->shard->idx,
		.segment = g->cur->number,
		.block = g->tail,
	};
	g->tail += nr_blocks;
	g->cur->live += nr_blocks;
	atomic_fetch_add(&g->allocated, nr_blocks);
	atomic_fetch_add(&g->live, nr_blocks);
	return true;
}

int segment_alloc(struct segments *g, uint32_t nr_blocks, struct chunk_loc *out)
{
	bool taken;

	assert(nr_blocks && nr_blocks <= g->seg_blocks);
	for (;;) {
		int err;

		lock_take(&g->lock);
		taken = take_locked(g, nr_blocks, out);
		lock_release(&g->lock);
		if (taken)
			return 0;
		err = extend(g, nr_blocks);
		if (err)
			return err;
	}
}

static int span_order(const void *a, const void *b)
{
	const struct segment_span *x = a, *y = b;

	return x->block < y->block ? -1 : x->block > y->block;
}

/* Neighbours become one. Returns how many are left. */
static unsigned spans_join(struct segment_span *span, unsigned nr)
{
	unsigned to = 0;

	for (unsigned i = 1; i < nr; i++) {
		if (span[to].block + span[to].nr_blocks == span[i].block)
			span[to].nr_blocks += span[i].nr_blocks;
		else
			span[++to] = span[i];
	}
	return to + 1;
}

int segment_free_many(struct segments *g, uint32_t number, struct segment_span *span, unsigned nr)
{
	struct seg *dead = NULL;
	bool doomed = false;
	uint64_t nr_blocks = 0;
	struct seg *seg;
	int err = 0;

	assert(nr);
	for (unsigned i = 0; i < nr; i++)
		nr_blocks += span[i].nr_blocks;
	lock_take(&g->lock);
	seg = table_find(g, number);
	if (!seg) {
		err = -ENOENT;
	} else if (seg->settled && seg->live < nr_blocks) {
		err = -EINVAL;
	} else if (seg->settled) {
		seg->live -= nr_blocks;
		atomic_fetch_sub(&g->live, nr_blocks);
		dead = doom_locked(g, seg);
		doomed = seg->doomed;
	}
	if (!err && !doomed)
		err = pin_locked(g, seg);
	lock_release(&g->lock);
	if (dead)
		delete_seg(g, dead);
	/* A doomed one goes as a whole, now or with its last pin. */
	if (err || doomed)
		return err;
	if (nr > 1)
		qsort(span, nr, sizeof(*span), span_order);
	nr = spans_join(span, nr);
	for (unsigned i = 0; i < nr; i++) {
		int failed = g->ops->punch(seg->file, (uint64_t)span[i].block * BLOCK_LEN,
					   (uint64_t)span[i].nr_blocks * BLOCK_LEN);

		err = err ? err : failed;
	}
	unpin(g, seg);
	return err;
}

int segment_free(struct segments *g, uint32_t number, uint32_t block, uint32_t nr_blocks)
{
	return segment_free_many(g, number, &(struct segment_span){block, nr_blocks}, 1);
}

/* ---- syncing ---- */

unsigned segments_sync_begin(struct segments *g, struct segment_pin *pin, unsigned max, bool *more)
{
	unsigned nr = 0;

	lock_take(&g->lock);
	/* The newest first: they are the ones written to. */
	for (unsigned i = g->nr; i-- > 0;) {
		struct seg *seg = g->seg[i];

		if (!seg->dirty)
			continue;
		if (nr == max) {
			*more = true;
			break;
		}
		/* Dirty ones are open, so this cannot fail. */
		seg->pins++;
		seg->dirty = false;
		pin[nr++] = (struct segment_pin){.file = seg->file, .seg = seg};
	}
	g->sync_names = g->renamed;
	g->renamed = false;
	lock_release(&g->lock);
	return nr;
}

int segments_sync_end(struct segments *g, struct segment_pin *pin, unsigned nr)
{
	int err = 0;

	for (unsigned i = 0; i < nr; i++)
		segment_put(g, &pin[i]);
	if (g->sync_names)
		err = g->ops->sync_dir(g->shard->store, DIR_NAME);
	g->sync_names = false;
	return err;
}

/* ---- figures, and what the mount finds ---- */

uint64_t segments_allocated(const struct segments *g)
{
	return atomic_load(&g->allocated);
}

uint64_t segments_used(const struct segments *g)
{
	return atomic_load(&g->live) * BLOCK_LEN;
}

uint64_t segments_ahead(struct segments *g)
{
	uint64_t nr;

	lock_take(&g->lock);
	while (g->extending)
		cond_wait(&g->extended, &g->lock);
	nr = g->can_allocate ? g->ahead - g->tail : 0;
	lock_release(&g->lock);
	return nr;
}

void segments_trim(struct segments *g)
{
	lock_take(&g->lock);
	extend_begin_locked(g);
	lock_release(&g->lock);
	trim_extending(g);
	lock_take(&g->lock);
	extend_end_locked(g);
	lock_release(&g->lock);
}

int segments_numbers(struct segments *g, uint32_t **out, unsigned *nr)
{
	uint32_t *number;

	lock_take(&g->lock);
	number = calloc(g->nr ? g->nr : 1, sizeof(*number));
	for (unsigned i = 0; number && i < g->nr; i++)
		number[i] = g->seg[i]->number;
	*nr = g->nr;
	lock_release(&g->lock);
	if (!number)
		return -ENOMEM;
	*out = number;
	return 0;
}

void segment_settle(struct segments *g, uint32_t number, uint64_t live, bool apply)
{
	struct seg *dead = NULL;
	struct seg *seg;

	lock_take(&g->lock);
	seg = table_find(g, number);
	if (seg) {
		atomic_fetch_add(&g->live, live - seg->live);
		seg->live = live;
		seg->settled = true;
		dead = apply ? doom_locked(g, seg) : NULL;
	}
	lock_release(&g->lock);
	if (dead)
		delete_seg(g, dead);
}
