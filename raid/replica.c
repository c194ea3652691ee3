/* The log as one: reading, choosing, bringing to the same end.
 *
 * Opening it for writing, and what a crash after each step leaves:
 *   1. all logs are read, one history is chosen (chain.c)        nothing is changed
 *   2. each member gets what it misses, in the place where        some more shards have it
 *      it was or behind what it has; synced
 *   3. what follows the end is cut off, files without a batch     the same history
 *      are deleted
 * Appending is in append.c, the return of stale shards in rejoin.c. */
#include "raid/replica.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"
#include "conf/log.h"

uint64_t replica_online(struct raid *r)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (atomic_load(&r->shard[i].state) == SHARD_ONLINE)
			mask |= 1ULL << i;
	}
	return mask;
}

/* ---- open ---- */

static void scan_all(struct raid *r, struct replica *rp, struct replica_found *found,
		     uint64_t sources)
{
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shardlog *l = &rp->log[i];
		int err;

		shardlog_init(l, &r->shard[i]);
		if (!(sources >> i & 1))
			continue;
		err = shardlog_scan(l, 0, &rp->chain);
		if (l->nr_bad)
			atomic_fetch_add(&r->shard[i].nr_errors, l->nr_bad);
		if (err) {
			found->unreadable |= 1ULL << i;
			found->err = err;
		}
	}
}

void replica_count(struct raid *r)
{
	struct replica *rp = r->replica;
	uint64_t most = 0;

	for (unsigned i = 0; i < r->geo.nr_shards; i++)
		most = MAX(most, shardlog_bytes(&rp->log[i]));
	rp->bytes = most;
}

static int image_entry(void *arg, const char *entry)
{
	uint64_t *image = arg, seq;

	if (!shardlog_name_parse(entry, &seq) || seq == image[0] || seq == image[1])
		return 0;
	if (seq > image[0]) {
		image[1] = image[0];
		image[0] = seq;
	} else if (seq > image[1]) {
		image[1] = seq;
	}
	return 0;
}

static void list_images(struct raid *r, struct replica *rp)
{
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (rp->chain.online >> i & 1)
			r->ops->list(r->shard[i].store, "ckpt", image_entry, rp->image);
	}
}

/* One more epoch, now in force. Numbers rise, and so do beginnings: superblocks want it so. */
void replica_epoch(struct replica *rp, const struct chain_epoch *add)
{
	struct chain_epoch e = *add;

	if (rp->nr_epochs > 0) {
		const struct chain_epoch *last = &rp->epoch[rp->nr_epochs - 1];

		e.e.first_seq = MAX(e.e.first_seq, last->e.first_seq);
		if (last->e.epoch == e.e.epoch)
			rp->nr_epochs--;
		else if (rp->nr_epochs == SUPER_EPOCHS)
			memmove(rp->epoch, rp->epoch + 1, --rp->nr_epochs * sizeof(*rp->epoch));
	}
	rp->epoch[rp->nr_epochs++] = e;
}

static void take_chain(struct raid *r, struct replica *rp)
{
	const struct chain *c = &rp->chain;

	for (unsigned i = 0; i < c->nr_epochs; i++)
		replica_epoch(rp, &c->epoch[i]);
	rp->next = c->next;
	rp->last_sum = c->last_sum;
	/* Also numbers that only an attempt used, or a shard that went its own way: none is given out twice. */
	for (size_t i = 0; i < c->nr_entries; i++)
		rp->tried = MAX(rp->tried, c->entry[i].b.epoch);
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (r->shard[i].super && r->shard[i].store)
			rp->tried = MAX(rp->tried, super_last(r->shard[i].super)->epoch);
	}
	r->epoch = rp->epoch[rp->nr_epochs - 1].e.epoch;
	r->members = rp->epoch[rp->nr_epochs - 1].e.members;
}

int replica_build(struct raid *r, struct chain *c, uint64_t sources, uint64_t present)
{
	struct chain_shard shard[SHARD_MAX];

	for (unsigned i = 0; i < r->geo.nr_shards; i++)
		shard[i] = (struct chain_shard){.present = present >> i & 1,
						.source = sources >> i & 1,
						.super = r->shard[i].super};
	return chain_build(c, shard, r->geo.nr_shards, raid_parity(&r->geo));
}

int replica_open(struct raid *r, bool salvage, struct replica_found *found)
{
	struct replica *rp = calloc(1, sizeof(*rp));
	uint64_t sources = 0, present = 0;
	int err;

	*found = (struct replica_found){0};
	if (!rp)
		return -ENOMEM;
	lock_init(&rp->append_lock);
	r->replica = rp;
	rp->salvage = salvage;
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];

		if (!s->store || atomic_load(&s->state) == SHARD_FAILED)
			continue;
		present |= 1ULL << i;
		if (!(s->super->flags & SUPER_REJOINING))
			sources |= 1ULL << i;
	}
	scan_all(r, rp, found, sources);
	if (found->err == -ENOMEM || found->err == -EPROTONOSUPPORT)
		return found->err;
	err = replica_build(r, &rp->chain, sources & ~found->unreadable,
			    present & ~found->unreadable);
	memcpy(found->side, rp->chain.side, sizeof(found->side));
	if (err && !(err == -EBADMSG && salvage))
		return err;
	take_chain(r, rp);
	list_images(r, rp);
	found->online = rp->chain.online;
	found->stale = rp->chain.stale;
	replica_count(r);
	return 0;
}

void replica_close(struct raid *r)
{
	struct replica *rp = r->replica;

	if (!rp)
		return;
	for (unsigned i = 0; i < r->geo.nr_shards; i++)
		shardlog_fini(&rp->log[i]);
	chain_fini(&rp->chain);
	lock_fini(&rp->append_lock);
	free(rp);
	r->replica = NULL;
}

/* ---- reading ---- */

int replica_read_item(struct raid *r, struct shardlog *log, const struct chain *c,
		      const struct chain_item *it, uint8_t **buf, size_t *cap)
{
	uint64_t sum = c->entry[it->entry].b.sum;
	int err = -EIO;

	for (size_t i = it->entry; i < c->nr_entries && c->entry[i].b.sum == sum; i++) {
		const struct chain_entry *e = &c->entry[i];
		struct shard *s = &r->shard[e->shard];

		if (!shard_usable(s))
			continue;
		err = shardlog_read(&log[e->shard], e, buf, cap);
		if (!err || err == -ENOMEM)
			return err;
		if (err == -EBADMSG)
			atomic_fetch_add(&s->nr_wrong, 1);
		else
			shard_error(s, err, false, "reading the log");
	}
	return err;
}

static bool has_copy(const struct chain *c, const struct chain_item *it, unsigned idx)
{
	uint64_t sum = c->entry[it->entry].b.sum;

	for (size_t i = it->entry; i < c->nr_entries && c->entry[i].b.sum == sum; i++) {
		if (c->entry[i].shard == idx)
			return true;
	}
	return false;
}

bool replica_unbroken(const struct chain *c, size_t first)
{
	for (size_t i = first + 1; i < c->nr_items; i++) {
		if (c->item[i].gap)
			return false;
	}
	return true;
}

int raid_log_replay(struct raid *r, uint64_t from,
		    int (*fn)(void *arg, uint64_t seq, const uint8_t *data, size_t len), void *arg)
{
	struct replica *rp = r->replica;
	const struct chain *c = &rp->chain;
	const struct chain_item *it;
	AUTO_FREE uint8_t *buf = NULL;
	size_t cap = 0, first;
	int err = 0;

	from = MAX(from, (uint64_t)1);
	if (from == rp->next)
		return 0;
	it = from < rp->next ? chain_find(c, from) : NULL;
	if (!it || (!rp->salvage && !replica_unbroken(c, (size_t)(it - c->item)))) {
		if (!rp->salvage)
			return -EBADMSG;
		if (!it) {
			log_error("the log from batch %llu on is lost; the volume is shown as the "
				  "last checkpoint "
				  "left it",
				  (unsigned long long)from);
			return 0;
		}
	}
	first = (size_t)(it - c->item);
	for (size_t i = first; !err && i < c->nr_items; i++) {
		const struct batch *b = &c->entry[c->item[i].entry].b;

		if (i > first && c->item[i].gap) {
			log_error("the log is damaged before batch %llu; the volume is shown as it "
				  "was then",
				  (unsigned long long)b->seq);
			break;
		}
		if (b->flags & BATCH_OWN)
			continue;
		err = replica_read_item(r, rp->log, c, &c->item[i], &buf, &cap);
		if (err && rp->salvage) {
			log_error("batch %llu of the log cannot be read; the volume is shown as it "
				  "was before",
				  (unsigned long long)b->seq);
			return 0;
		}
		if (!err)
			err = fn(arg, b->seq, buf + BATCH_HEAD_LEN, b->len - BATCH_HEAD_LEN);
	}
	return err;
}

/* ---- healing ---- */

static int align_shard(struct raid *r, unsigned idx, uint8_t **buf, size_t *cap)
{
	struct replica *rp = r->replica;
	const struct chain *c = &rp->chain;
	struct shardlog *l = &rp->log[idx];
	struct shardlog_place at = {0};
	uint64_t oldest = l->nr ? l->file[0].first : UINT64_MAX;
	uint64_t newest = 0, nr_healed = 0;
	int err = 0;

	for (unsigned i = 0; i < l->nr; i++)
		newest = MAX(newest, l->file[i].last);
	for (size_t i = 0; !err && i < c->nr_items; i++) {
		const struct batch *b = &c->entry[c->item[i].entry].b;

		/* What comes before the older checkpoint goes with the next cut. */
		if (b->seq < rp->image[1] || has_copy(c, &c->item[i], idx))
			continue;
		/* A copy that no shard gives any more is the replay's to complain about. */
		if (replica_read_item(r, rp->log, c, &c->item[i], buf, cap))
			continue;
		err = shardlog_heal(l, c, &at, b->seq, *buf, b->len);
		nr_healed += b->seq >= oldest && b->seq <= newest;
	}
	if (!err)
		err = shardlog_heal_end(l, &at);
	if (!err)
		err = shardlog_tidy(l);
	if (!err && nr_healed) {
		atomic_fetch_add(&r->shard[idx].nr_wrong, nr_healed);
		atomic_fetch_add(&r->shard[idx].nr_repaired, nr_healed);
		/* One that was away lacks what it missed; the log does not tell that from damage. */
		log_warn("shard %u (%s): %llu batches of the log were missing or damaged and were "
			 "copied from the other shards",
			 idx, r->shard[idx].path, (unsigned long long)nr_healed);
	}
	return err;
}

int replica_align(struct raid *r)
{
	AUTO_FREE uint8_t *buf = NULL;
	size_t cap = 0;

	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		int err;

		if (atomic_load(&r->shard[i].state) != SHARD_ONLINE)
			continue;
		err = align_shard(r, i, &buf, &cap);
		if (err == -ENOMEM)
			return err;
		if (err)
			shard_fail(&r->shard[i], err, "bringing its log up to date");
	}
	return replica_online(r) ? 0 : -EIO;
}

/* ---- what others ask ---- */

unsigned replica_images(struct raid *r, uint64_t seq[2])
{
	struct replica *rp = r->replica;

	lock_take(&rp->append_lock);
	memcpy(seq, rp->image, sizeof(rp->image));
	lock_release(&rp->append_lock);
	return seq[1] ? 2 : seq[0] ? 1 : 0;
}

uint64_t replica_last(const struct raid *r)
{
	return r->replica->next - 1;
}

void replica_history(const struct raid *r, struct super *sb)
{
	const struct replica *rp = r->replica;

	unsigned nr = 0;

	for (unsigned i = 0; i < rp->nr_epochs; i++) {
		if (rp->epoch[i].firm)
			sb->epoch[nr++] = rp->epoch[i].e;
	}
	/* The first one of all is firm, and each that was written in. */
	assert(nr > 0);
	sb->nr_epochs = nr;
}

uint64_t raid_log_next(const struct raid *r)
{
	return r->replica->next;
}

uint64_t replica_image_len(struct raid *r)
{
	char name[SHARDLOG_NAME_LEN];
	uint64_t seq[2], len = 0;

	if (!replica_images(r, seq))
		return 0;
	shardlog_name(name, "ckpt", seq[0]);
	for (unsigned i = 0; !len && i < r->geo.nr_shards; i++) {
		struct store_file *f;

		if (!shard_usable(&r->shard[i]) ||
		    r->ops->open(r->shard[i].store, name, STORE_RDONLY, &f))
			continue;
		if (r->ops->size(f, &len))
			len = 0;
		r->ops->close(f);
	}
	return len;
}

uint64_t raid_log_bytes(const struct raid *r)
{
	return r->replica->bytes;
}

void replica_stat_get(struct raid *r, struct replica_stat *out)
{
	struct replica *rp = r->replica;

	*out = (struct replica_stat){.log_bytes = rp->bytes, .nr_batches = rp->nr_batches};
	lock_take(&rp->append_lock);
	out->image_seq = rp->image[0];
	out->nr_images = rp->nr_images;
	lock_release(&rp->append_lock);
}
