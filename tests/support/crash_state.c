/* Two images of every file and directory, the seen one and the durable one, and the list of changes between them.
 *
 * A sync makes the pages that its file's pending changes touched those of the seen image, and forgets the changes: its
 * cost is theirs, not the file's. Invariant: the durable image with all pending changes applied in order is the seen
 * one; but for what a failed sync has dropped, which stays seen and is never written, as in a page cache. */
#include "tests/support/crash_state.h"

#include <assert.h>
#include <string.h>

/* ---- random numbers: splitmix64 ---- */

uint64_t crash_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

uint64_t crash_below(uint64_t *state, uint64_t n)
{
	return crash_random(state) % n;
}

/* ---- steps ---- */

struct crash_step *crash_step_new(enum crash_kind kind, unsigned shard, uint64_t ino,
				  size_t data_len)
{
	struct crash_step *st = crash_alloc(sizeof(*st) + data_len);

	atomic_init(&st->refs, 1);
	st->kind = kind;
	st->shard = shard;
	st->ino = ino;
	return st;
}

void crash_step_key(struct crash_step *st, unsigned idx, uint64_t dir, const char *name)
{
	size_t len = strlen(name) + 1;

	st->key[idx].dir = dir;
	st->key[idx].name = crash_alloc(len);
	memcpy(st->key[idx].name, name, len);
}

struct crash_step *crash_step_get(struct crash_step *st)
{
	atomic_fetch_add_explicit(&st->refs, 1, memory_order_relaxed);
	return st;
}

void crash_step_put(struct crash_step *st)
{
	if (atomic_fetch_sub_explicit(&st->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(st->key[0].name);
	free(st->key[1].name);
	free(st);
}

void crash_steps_add(struct crash_steps *l, struct crash_step *st)
{
	l->v = crash_grow(l->v, l->nr + 1, &l->cap, sizeof(struct crash_step *));
	l->v[l->nr++] = st;
}

static void crash_steps_clear(struct crash_steps *l)
{
	for (size_t i = 0; i < l->nr; i++)
		crash_step_put(l->v[i]);
	l->nr = 0;
}

void crash_steps_fini(struct crash_steps *l)
{
	crash_steps_clear(l);
	free(l->v);
	*l = (struct crash_steps){0};
}

static void crash_steps_copy(struct crash_steps *dst, const struct crash_steps *src)
{
	for (size_t i = 0; i < src->nr; i++)
		crash_steps_add(dst, crash_step_get(src->v[i]));
}

static bool crash_is_data(enum crash_kind kind)
{
	return kind == CRASH_WRITE || kind == CRASH_PUNCH || kind == CRASH_TRUNCATE ||
	       kind == CRASH_ALLOCATE;
}

static bool crash_is_name(enum crash_kind kind)
{
	return kind == CRASH_CREATE || kind == CRASH_MKDIR || kind == CRASH_RENAME ||
	       kind == CRASH_UNLINK;
}

/* ---- names ---- */

static struct crash_name *crash_names_find(const struct crash_names *n, const char *name)
{
	for (size_t i = 0; i < n->nr; i++) {
		if (!strcmp(n->v[i].name, name))
			return &n->v[i];
	}
	return NULL;
}

static void crash_names_add(struct crash_names *n, const char *name, uint64_t ino)
{
	size_t len = strlen(name) + 1;

	n->v = crash_grow(n->v, n->nr + 1, &n->cap, sizeof(n->v[0]));
	n->v[n->nr].name = crash_alloc(len);
	memcpy(n->v[n->nr].name, name, len);
	n->v[n->nr++].ino = ino;
}

static void crash_names_drop(struct crash_names *n, struct crash_name *at)
{
	free(at->name);
	*at = n->v[--n->nr];
}

static void crash_names_copy(struct crash_names *dst, const struct crash_names *src)
{
	for (size_t i = 0; i < src->nr; i++)
		crash_names_add(dst, src->v[i].name, src->v[i].ino);
}

static void crash_names_fini(struct crash_names *n)
{
	for (size_t i = 0; i < n->nr; i++)
		free(n->v[i].name);
	free(n->v);
	*n = (struct crash_names){0};
}

/* ---- inodes ---- */

/* Where @ino is, or would be. */
static size_t crash_inode_idx(const struct crash_shard *sh, uint64_t ino)
{
	size_t lo = 0, hi = sh->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (sh->inode[mid]->ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct crash_inode *crash_inode_find(const struct crash_shard *sh, uint64_t ino)
{
	size_t idx = crash_inode_idx(sh, ino);

	return idx < sh->nr && sh->inode[idx]->ino == ino ? sh->inode[idx] : NULL;
}

/* Without a reference. */
static struct crash_inode *crash_inode_new(struct crash_shard *sh, uint64_t ino, bool is_dir)
{
	struct crash_inode *in = crash_alloc(sizeof(*in));
	size_t idx = crash_inode_idx(sh, ino);

	in->ino = ino;
	in->is_dir = is_dir;
	sh->inode = crash_grow(sh->inode, sh->nr + 1, &sh->cap, sizeof(struct crash_inode *));
	memmove(&sh->inode[idx + 1], &sh->inode[idx],
		(sh->nr - idx) * sizeof(struct crash_inode *));
	sh->inode[idx] = in;
	sh->nr++;
	sh->next_ino = MAX(sh->next_ino, ino + 1);
	return in;
}

static void crash_inode_free(struct crash_inode *in)
{
	crash_map_fini(&in->now);
	crash_map_fini(&in->disk);
	crash_steps_fini(&in->pending);
	crash_names_fini(&in->names);
	crash_names_fini(&in->disk_names);
	free(in);
}

static void crash_inode_get(struct crash_inode *in)
{
	in->refs++;
}

static void crash_inode_put(struct crash_shard *sh, struct crash_inode *in)
{
	size_t idx;

	assert(in->refs > 0);
	if (--in->refs > 0)
		return;
	idx = crash_inode_idx(sh, in->ino);
	memmove(&sh->inode[idx], &sh->inode[idx + 1],
		(sh->nr - idx - 1) * sizeof(struct crash_inode *));
	sh->nr--;
	sh->nr_used -= in->now.nr_used;
	crash_inode_free(in);
}

void crash_inode_open(struct crash_inode *in)
{
	crash_inode_get(in);
	in->nr_open++;
}

void crash_inode_close(struct crash_shard *sh, struct crash_inode *in)
{
	assert(in->nr_open > 0);
	in->nr_open--;
	crash_inode_put(sh, in);
}

struct crash_inode *crash_lookup(const struct crash_shard *sh, const struct crash_inode *dir,
				 const char *name)
{
	struct crash_name *n = crash_names_find(&dir->names, name);

	return n ? crash_inode_find(sh, n->ino) : NULL;
}

/* ---- states ---- */

struct crash_state *crash_state_new(unsigned nr_shards)
{
	struct crash_state *s = crash_alloc(sizeof(*s));

	s->nr_shards = nr_shards;
	s->shard = crash_alloc(nr_shards * sizeof(s->shard[0]));
	for (unsigned i = 0; i < nr_shards; i++)
		crash_inode_new(&s->shard[i], CRASH_TOP_INO, true)->refs = 1;
	return s;
}

void crash_state_free(struct crash_state *s)
{
	for (unsigned i = 0; i < s->nr_shards; i++) {
		struct crash_shard *sh = &s->shard[i];

		for (size_t j = 0; j < sh->nr; j++)
			crash_inode_free(sh->inode[j]);
		free(sh->inode);
		crash_steps_fini(&sh->pending);
	}
	free(s->shard);
	free(s);
}

static void crash_inode_clone(struct crash_shard *sh, const struct crash_inode *from)
{
	struct crash_inode *in = crash_inode_new(sh, from->ino, from->is_dir);

	in->refs = from->refs - from->nr_open;
	crash_map_copy(&in->now, &from->now);
	crash_map_copy(&in->disk, &from->disk);
	crash_steps_copy(&in->pending, &from->pending);
	crash_names_copy(&in->names, &from->names);
	crash_names_copy(&in->disk_names, &from->disk_names);
}

struct crash_state *crash_state_clone(const struct crash_state *s)
{
	struct crash_state *out = crash_alloc(sizeof(*out));

	out->nr_shards = s->nr_shards;
	out->shard = crash_alloc(s->nr_shards * sizeof(out->shard[0]));
	for (unsigned i = 0; i < s->nr_shards; i++) {
		const struct crash_shard *from = &s->shard[i];
		struct crash_shard *sh = &out->shard[i];

		for (size_t j = 0; j < from->nr; j++) {
			if (from->inode[j]->refs == from->inode[j]->nr_open)
				continue;
			crash_inode_clone(sh, from->inode[j]);
			sh->nr_used += from->inode[j]->now.nr_used;
		}
		crash_steps_copy(&sh->pending, &from->pending);
		sh->next_ino = from->next_ino;
	}
	return out;
}

/* ---- changes of names ---- */

static void crash_name_set(struct crash_shard *sh, struct crash_names *n, const char *name,
			   struct crash_inode *in)
{
	struct crash_name *at = crash_names_find(n, name);
	struct crash_inode *old = at ? crash_inode_find(sh, at->ino) : NULL;

	crash_inode_get(in);
	if (at)
		at->ino = in->ino;
	else
		crash_names_add(n, name, in->ino);
	if (old)
		crash_inode_put(sh, old);
}

static void crash_name_drop(struct crash_shard *sh, struct crash_names *n, const char *name)
{
	struct crash_name *at = crash_names_find(n, name);
	struct crash_inode *in;

	assert(at);
	in = crash_inode_find(sh, at->ino);
	crash_names_drop(n, at);
	crash_inode_put(sh, in);
}

static struct crash_names *crash_names_of(struct crash_shard *sh, uint64_t dir, bool disk)
{
	struct crash_inode *in = crash_inode_find(sh, dir);

	assert(in && in->is_dir);
	return disk ? &in->disk_names : &in->names;
}

/* Do @st to the seen or the durable names; what it tells of exists. */
static void crash_name_do(struct crash_shard *sh, const struct crash_step *st, bool disk)
{
	struct crash_names *n = crash_names_of(sh, st->key[0].dir, disk);
	struct crash_inode *in = crash_inode_find(sh, st->ino);

	/* Steps of names have one, renames two. */
	assert(in && st->key[0].name && (st->kind != CRASH_RENAME || st->key[1].name));
	if (st->kind == CRASH_CREATE || st->kind == CRASH_MKDIR) {
		crash_name_set(sh, n, st->key[0].name, in);
		return;
	}
	if (st->kind == CRASH_RENAME)
		crash_name_set(sh, crash_names_of(sh, st->key[1].dir, disk), st->key[1].name, in);
	crash_name_drop(sh, n, st->key[0].name);
}

static bool crash_same_key(const struct crash_key *a, const struct crash_key *b)
{
	return a->name && b->name && a->dir == b->dir && !strcmp(a->name, b->name);
}

static bool crash_depends(const struct crash_step *later, const struct crash_step *earlier)
{
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned j = 0; j < 2; j++) {
			if (crash_same_key(&later->key[i], &earlier->key[j]))
				return true;
		}
	}
	return false;
}

/* Also take what those taken need: the earlier changes of the same names. Backwards, so that what these need is
 * found too. */
static void crash_take_needed(const struct crash_steps *l, bool *take)
{
	for (size_t i = l->nr; i-- > 0;) {
		for (size_t j = 0; take[i] && j < i; j++)
			take[j] |= crash_depends(l->v[i], l->v[j]);
	}
}

static void crash_sync_dir(struct crash_shard *sh, uint64_t dir)
{
	struct crash_steps *l = &sh->pending;
	AUTO_FREE bool *take = crash_alloc(l->nr);
	size_t kept = 0;

	for (size_t i = 0; i < l->nr; i++)
		take[i] = l->v[i]->key[0].dir == dir ||
			  (l->v[i]->key[1].name && l->v[i]->key[1].dir == dir);
	crash_take_needed(l, take);
	for (size_t i = 0; i < l->nr; i++) {
		struct crash_step *st = l->v[i];

		if (!take[i]) {
			l->v[kept++] = st;
			continue;
		}
		crash_name_do(sh, st, true);
		crash_inode_put(sh, crash_inode_find(sh, st->ino));
		crash_step_put(st);
	}
	l->nr = kept;
}

/* ---- changes of bytes ---- */

static void crash_data_do(struct crash_map *m, const struct crash_step *st)
{
	if (st->kind == CRASH_WRITE)
		crash_map_write(m, st->off, st->data, st->len);
	else if (st->kind == CRASH_PUNCH)
		crash_map_punch(m, st->off, st->len);
	else if (st->kind == CRASH_TRUNCATE)
		crash_map_truncate(m, st->len);
	else
		crash_map_allocate(m, st->off, st->len);
}

/* Write some of @st's sectors, each as it was, as it shall be, or zero. The size follows the last one written, or is
 * already that after the whole. */
static void crash_data_tear(struct crash_map *m, const struct crash_step *st, uint64_t *rng)
{
	static const uint8_t zeros[CRASH_SECTOR_LEN];
	uint64_t end = st->off + st->len, at = st->off;

	while (at < end) {
		size_t n = MIN(end - at, CRASH_SECTOR_LEN - at % CRASH_SECTOR_LEN);
		uint64_t fate = crash_below(rng, 8);

		/* Zeros are rarer: as often as the others they would be half of all files. */
		if (fate < 4)
			crash_map_write(m, at, st->data + (at - st->off), n);
		else if (fate < 5)
			crash_map_write(m, at, zeros, n);
		at += n;
	}
	if (m->size < end && crash_below(rng, 2))
		m->size = end;
}

enum crash_mood { CRASH_LOSE_ALL, CRASH_KEEP_ALL, CRASH_MIX, CRASH_NR_MOODS };

/* All or nothing is as likely a loss as a mixture, but with many changes no mixture would ever hit it. */
static enum crash_mood crash_mood(uint64_t *rng)
{
	return (enum crash_mood)crash_below(rng, CRASH_NR_MOODS);
}

static void crash_data_maybe(struct crash_map *m, const struct crash_step *st, enum crash_mood mood,
			     uint64_t *rng)
{
	uint64_t fate = crash_below(rng, 3);

	if (mood == CRASH_KEEP_ALL || (mood == CRASH_MIX && fate == 0))
		crash_data_do(m, st);
	else if (mood == CRASH_MIX && fate == 1 && st->kind == CRASH_WRITE)
		crash_data_tear(m, st, rng);
}

static void crash_sync_file(struct crash_inode *in)
{
	for (size_t i = 0; i < in->pending.nr; i++) {
		const struct crash_step *st = in->pending.v[i];

		if (st->kind == CRASH_TRUNCATE)
			crash_map_share(&in->disk, &in->now, st->len, UINT64_MAX - st->len);
		else
			crash_map_share(&in->disk, &in->now, st->off, st->len);
	}
	in->disk.size = in->now.size;
	crash_steps_clear(&in->pending);
}

/* The kernel reports a failed write-back once, marks the pages clean, and never tries again. */
static void crash_sync_fails(struct crash_inode *in, uint64_t seed)
{
	for (size_t i = 0; i < in->pending.nr; i++)
		crash_data_maybe(&in->disk, in->pending.v[i], CRASH_MIX, &seed);
	crash_steps_clear(&in->pending);
}

/* ---- steps done ---- */

void crash_apply(struct crash_state *s, struct crash_step *st)
{
	struct crash_shard *sh = &s->shard[st->shard];
	struct crash_inode *in;

	if (st->kind == CRASH_SYNC_DIR) {
		crash_sync_dir(sh, st->ino);
		return;
	}
	if (st->kind == CRASH_CREATE || st->kind == CRASH_MKDIR)
		crash_inode_new(sh, st->ino, st->kind == CRASH_MKDIR);
	in = crash_inode_find(sh, st->ino);
	if (crash_is_name(st->kind)) {
		crash_inode_get(in); /* the pending change's */
		crash_name_do(sh, st, false);
		crash_steps_add(&sh->pending, crash_step_get(st));
	} else if (!in) {
		return;
	} else if (st->kind == CRASH_SYNC) {
		crash_sync_file(in);
	} else if (st->kind == CRASH_SYNC_FAILED) {
		crash_sync_fails(in, st->off);
	} else {
		sh->nr_used -= in->now.nr_used;
		crash_data_do(&in->now, st);
		sh->nr_used += in->now.nr_used;
		crash_steps_add(&in->pending, crash_step_get(st));
	}
}

/* ---- after a loss of power ---- */

/* Which changes of names are there. */
static void crash_names_choose(const struct crash_steps *l, bool *take, uint64_t *rng)
{
	enum crash_mood mood = crash_mood(rng);
	/* A journal that is written in order leaves a prefix. */
	bool in_order = crash_below(rng, 2);
	size_t nr = in_order ? crash_below(rng, l->nr + 1) : l->nr;

	for (size_t i = 0; i < l->nr; i++) {
		if (mood == CRASH_MIX)
			take[i] = in_order ? i < nr : crash_below(rng, 2);
		else
			take[i] = mood == CRASH_KEEP_ALL;
	}
	crash_take_needed(l, take);
}

/* The directories of @to, names and all, as they survive; files are still to come. */
static void crash_resolve_names(const struct crash_shard *from, struct crash_shard *to,
				struct crash_step *in_flight, uint64_t *rng)
{
	AUTO_FREE bool *take = crash_alloc(from->pending.nr + 1);
	struct crash_steps l = {0};

	crash_steps_copy(&l, &from->pending);
	if (in_flight && crash_is_name(in_flight->kind))
		crash_steps_add(&l, crash_step_get(in_flight));
	crash_names_choose(&l, take, rng);
	/* One reference is held for all, while names come and go. */
	for (size_t i = 0; i < from->nr; i++) {
		struct crash_inode *in =
			crash_inode_new(to, from->inode[i]->ino, from->inode[i]->is_dir);

		crash_inode_get(in);
		crash_names_copy(&in->disk_names, &from->inode[i]->disk_names);
	}
	for (size_t i = 0; i < to->nr; i++) {
		for (size_t j = 0; j < to->inode[i]->disk_names.nr; j++)
			crash_inode_get(crash_inode_find(to, to->inode[i]->disk_names.v[j].ino));
	}
	if (in_flight && (in_flight->kind == CRASH_CREATE || in_flight->kind == CRASH_MKDIR))
		crash_inode_get(
			crash_inode_new(to, in_flight->ino, in_flight->kind == CRASH_MKDIR));
	for (size_t i = 0; i < l.nr; i++) {
		if (take[i])
			crash_name_do(to, l.v[i], true);
	}
	crash_steps_fini(&l);
}

/* Drop what no name leads to, and directories whose own name was lost, with all that is in them. */
static void crash_resolve_orphans(struct crash_shard *to)
{
	for (size_t i = to->nr; i-- > 0;) {
		struct crash_inode *in = to->inode[i];

		if (!in->is_dir || in->ino == CRASH_TOP_INO || in->refs > 1)
			continue;
		while (in->disk_names.nr > 0)
			crash_name_drop(to, &in->disk_names, in->disk_names.v[0].name);
	}
	for (size_t i = to->nr; i-- > 0;) {
		if (to->inode[i]->ino != CRASH_TOP_INO)
			crash_inode_put(to, to->inode[i]);
	}
}

static void crash_resolve_file(const struct crash_inode *from, struct crash_inode *to,
			       struct crash_step *in_flight, enum crash_mood mood, uint64_t *rng)
{
	crash_map_copy(&to->disk, &from->disk);
	for (size_t i = 0; i < from->pending.nr; i++)
		crash_data_maybe(&to->disk, from->pending.v[i], mood, rng);
	if (in_flight && crash_is_data(in_flight->kind) && in_flight->ino == from->ino)
		crash_data_maybe(&to->disk, in_flight, mood, rng);
}

static void crash_resolve_shard(const struct crash_shard *from, struct crash_shard *to,
				struct crash_step *in_flight, uint64_t *rng)
{
	enum crash_mood mood = crash_mood(rng);

	to->next_ino = from->next_ino;
	crash_resolve_names(from, to, in_flight, rng);
	crash_resolve_orphans(to);
	for (size_t i = 0; i < to->nr; i++) {
		struct crash_inode *in = to->inode[i];
		const struct crash_inode *old = crash_inode_find(from, in->ino);

		if (old && !in->is_dir)
			crash_resolve_file(old, in, in_flight, mood, rng);
		/* All that is there is seen, and on disk. */
		crash_map_copy(&in->now, &in->disk);
		crash_names_copy(&in->names, &in->disk_names);
		to->nr_used += in->now.nr_used;
	}
	for (size_t i = 0; i < to->nr; i++) {
		for (size_t j = 0; j < to->inode[i]->names.nr; j++)
			crash_inode_get(crash_inode_find(to, to->inode[i]->names.v[j].ino));
	}
}

struct crash_state *crash_resolve(const struct crash_state *s, struct crash_step *in_flight,
				  uint64_t seed)
{
	struct crash_state *out = crash_alloc(sizeof(*out));

	out->nr_shards = s->nr_shards;
	out->shard = crash_alloc(s->nr_shards * sizeof(out->shard[0]));
	for (unsigned i = 0; i < s->nr_shards; i++) {
		uint64_t rng = seed * 0x9e3779b97f4a7c15ULL + i;
		bool hit = in_flight && in_flight->shard == i;

		crash_resolve_shard(&s->shard[i], &out->shard[i], hit ? in_flight : NULL, &rng);
	}
	return out;
}
