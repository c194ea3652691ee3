/* What a test does to the disks from outside: power, faults, the bytes themselves. The table is in store_crash.c. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/crash_disk.h"

struct crash_disk *crash_disk_new(unsigned nr_shards, uint64_t seed)
{
	return crash_disk_from(crash_state_new(nr_shards), seed);
}

void crash_disk_free(struct crash_disk *d)
{
	assert(d->nr_stores == 0);
	crash_fault_clear(d);
	if (d->journal)
		crash_journal_free(d->journal);
	if (d->in_flight)
		crash_step_put(d->in_flight);
	crash_state_free(d->state);
	lock_fini(&d->lock);
	free(d->unit);
	free(d);
}

struct crash_disk *crash_disk_clone(struct crash_disk *d)
{
	struct crash_disk *out;

	lock_take(&d->lock);
	out = crash_disk_from(crash_state_clone(d->state), crash_random(&d->rng));
	out->nr_steps = d->nr_steps;
	for (unsigned i = 0; i < d->state->nr_shards; i++)
		out->unit[i].nr_pages_max = d->unit[i].nr_pages_max;
	lock_release(&d->lock);
	return out;
}

const struct store_ops *crash_ops(struct crash_disk *d)
{
	return &d->ops;
}

uint64_t crash_steps(struct crash_disk *d)
{
	uint64_t nr;

	lock_take(&d->lock);
	nr = d->nr_steps;
	lock_release(&d->lock);
	return nr;
}

uint64_t crash_calls(struct crash_disk *d, unsigned shard, enum crash_kind kind)
{
	uint64_t nr = 0;

	lock_take(&d->lock);
	for (unsigned i = 0; i < CRASH_NR_KINDS; i++) {
		if (kind == CRASH_ANY || kind == i)
			nr += d->unit[shard].calls[i];
	}
	lock_release(&d->lock);
	return nr;
}

void crash_cut_at(struct crash_disk *d, uint64_t step)
{
	lock_take(&d->lock);
	d->cut_at = step;
	d->off = step <= d->nr_steps;
	lock_release(&d->lock);
}

bool crash_is_off(struct crash_disk *d)
{
	bool off;

	lock_take(&d->lock);
	off = d->off;
	lock_release(&d->lock);
	return off;
}

/* Nothing is open or locked any more. */
static void crash_life_end(struct crash_disk *d) REQUIRES(d->lock)
{
	d->life++;
	for (struct store_file *f = d->files; f; f = f->link)
		crash_inode_close(crash_shard_of(f->store), f->inode);
	d->files = NULL;
	for (unsigned i = 0; i < d->state->nr_shards; i++) {
		d->unit[i].writer = NULL;
		d->unit[i].nr_readers = 0;
	}
}

void crash_power_on(struct crash_disk *d, uint64_t seed)
{
	struct crash_state *state;

	lock_take(&d->lock);
	assert(!d->journal);
	state = crash_resolve(d->state, d->in_flight, seed);
	crash_life_end(d);
	crash_state_free(d->state);
	d->state = state;
	if (d->in_flight)
		crash_step_put(d->in_flight);
	d->in_flight = NULL;
	d->off = false;
	d->cut_at = UINT64_MAX;
	lock_release(&d->lock);
}

void crash_process_kill(struct crash_disk *d)
{
	lock_take(&d->lock);
	crash_life_end(d);
	lock_release(&d->lock);
}

void crash_record(struct crash_disk *d)
{
	lock_take(&d->lock);
	assert(!d->journal);
	d->journal = crash_journal_new(d->state, d->nr_steps);
	lock_release(&d->lock);
}

struct crash_journal *crash_record_end(struct crash_disk *d)
{
	struct crash_journal *j;

	lock_take(&d->lock);
	j = TAKE_PTR(d->journal);
	lock_release(&d->lock);
	return j;
}

/* ---- faults ---- */

void crash_fault(struct crash_disk *d, unsigned shard, enum crash_kind kind, uint64_t after,
		 uint64_t count, int err)
{
	struct crash_fault *f = crash_alloc(sizeof(*f));
	struct crash_fault **at = &d->faults;

	assert(err < 0);
	*f = (struct crash_fault){
		.shard = shard, .kind = kind, .after = after, .count = count, .err = err};
	lock_take(&d->lock);
	while (*at)
		at = &(*at)->link;
	*at = f;
	lock_release(&d->lock);
}

void crash_fault_clear(struct crash_disk *d)
{
	struct crash_fault *f, *next;

	lock_take(&d->lock);
	for (f = d->faults; f; f = next) {
		next = f->link;
		free(f);
	}
	d->faults = NULL;
	lock_release(&d->lock);
}

void crash_shard_kill(struct crash_disk *d, unsigned shard, int err)
{
	lock_take(&d->lock);
	d->unit[shard].dead = err;
	lock_release(&d->lock);
}

void crash_capacity(struct crash_disk *d, unsigned shard, uint64_t bytes)
{
	lock_take(&d->lock);
	d->unit[shard].nr_pages_max = bytes / CRASH_PAGE_LEN;
	lock_release(&d->lock);
}

uint64_t crash_used(struct crash_disk *d, unsigned shard)
{
	uint64_t nr;

	lock_take(&d->lock);
	nr = d->state->shard[shard].nr_used;
	lock_release(&d->lock);
	return nr * CRASH_PAGE_LEN;
}

/* ---- the bytes themselves ---- */

/* Change bytes of the seen image; and of the durable one where that has the same pages. */
static void crash_poke_inode(struct crash_inode *in, uint64_t off, const void *data, size_t len)
{
	const uint8_t *from = data;

	while (len > 0) {
		size_t n = MIN(len, CRASH_PAGE_LEN - off % CRASH_PAGE_LEN);
		bool durable = crash_map_same_page(&in->now, &in->disk, off);

		crash_map_write(&in->now, off, from, n);
		if (durable)
			crash_map_share(&in->disk, &in->now, off, n);
		from += n;
		off += n;
		len -= n;
	}
}

/* Overwrite with @data, or else read into @buf. */
static int crash_touch(struct crash_disk *d, unsigned shard, const char *name, uint64_t off,
		       const void *data, void *buf, size_t len)
{
	struct store s = {.disk = d, .shard = shard};
	struct crash_inode *dir, *in = NULL;
	const char *last;
	uint64_t used;
	int err;

	lock_take(&d->lock);
	err = crash_find_parent(&s, name, &dir, &last);
	if (!err)
		in = crash_lookup(crash_shard_of(&s), dir, last);
	if (!in || in->is_dir) {
		err = -ENOENT;
	} else if (off > in->now.size || len > in->now.size - off) {
		err = -ENODATA;
	} else if (data) {
		used = in->now.nr_used;
		crash_poke_inode(in, off, data, len);
		crash_shard_of(&s)->nr_used += in->now.nr_used - used;
	} else {
		crash_map_read(&in->now, off, buf, len);
	}
	lock_release(&d->lock);
	return err;
}

int crash_poke(struct crash_disk *d, unsigned shard, const char *name, uint64_t off,
	       const void *data, size_t len)
{
	return crash_touch(d, shard, name, off, data, NULL, len);
}

int crash_peek(struct crash_disk *d, unsigned shard, const char *name, uint64_t off, void *buf,
	       size_t len)
{
	return crash_touch(d, shard, name, off, NULL, buf, len);
}

/* A stretch of written bytes. */
struct crash_range {
	struct crash_inode *inode;
	char name[256];
	uint64_t start, end;
};

struct crash_ranges {
	struct crash_range *v;
	size_t nr, cap;
	uint64_t len; /* bytes of all */
};

static void crash_ranges_add(struct crash_ranges *r, struct crash_inode *in, const char *name)
{
	uint64_t at = 0, start, end;

	while (crash_map_seek(&in->now, at, &start, &end)) {
		r->v = crash_grow(r->v, r->nr + 1, &r->cap, sizeof(r->v[0]));
		r->v[r->nr].inode = in;
		snprintf(r->v[r->nr].name, sizeof(r->v[0].name), "%s", name);
		r->v[r->nr].start = start;
		r->v[r->nr++].end = end;
		r->len += end - start;
		at = end;
	}
}

static void crash_ranges_dir(struct crash_ranges *r, struct crash_shard *sh,
			     struct crash_inode *dir, const char *path, const char *prefix)
{
	for (size_t i = 0; i < dir->names.nr; i++) {
		struct crash_inode *in = crash_inode_find(sh, dir->names.v[i].ino);
		char name[256];

		snprintf(name, sizeof(name), "%s%.200s%s", path, dir->names.v[i].name,
			 in->is_dir ? "/" : "");
		if (in->is_dir) {
			crash_ranges_dir(r, sh, in, name, prefix);
		} else if (!strncmp(name, prefix, strlen(prefix))) {
			crash_ranges_add(r, in, name);
		}
	}
}

static struct crash_flip crash_flip_one(const struct crash_ranges *r, uint64_t *rng)
{
	uint64_t at = crash_below(rng, r->len);
	struct crash_flip flip = {.mask = (uint8_t)(1U << crash_below(rng, 8))};
	const struct crash_range *range = r->v;
	uint8_t byte;

	for (; at >= range->end - range->start; range++)
		at -= range->end - range->start;
	flip.off = range->start + at;
	memcpy(flip.name, range->name, sizeof(flip.name));
	crash_map_read(&range->inode->now, flip.off, &byte, 1);
	byte ^= flip.mask;
	crash_poke_inode(range->inode, flip.off, &byte, 1);
	return flip;
}

unsigned crash_flip(struct crash_disk *d, unsigned shard, const char *prefix, uint64_t seed,
		    unsigned nr, struct crash_flip *out)
{
	struct crash_ranges r = {0};
	struct crash_flip flip;
	struct crash_shard *sh;

	lock_take(&d->lock);
	sh = &d->state->shard[shard];
	crash_ranges_dir(&r, sh, crash_inode_find(sh, CRASH_TOP_INO), "", prefix);
	nr = r.len ? nr : 0;
	for (unsigned i = 0; i < nr; i++) {
		flip = crash_flip_one(&r, &seed);
		if (out)
			out[i] = flip;
	}
	lock_release(&d->lock);
	free(r.v);
	return nr;
}
