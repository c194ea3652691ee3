/* The log as one: reading, choosing, healing, appending, rejoining.
 *
 * An append, with what a crash after each step leaves:
 *   1. every member has room (a file with its name durable)      nothing new
 *   2. the batch is written to all members, each synced          on some: recovery copies it to the other members, or,
 *                                                                when those that have it are absent, it never was
 *   3. every member has it: acknowledged
 * and when a member fails in 1 or 2:
 *   4. the same batch, same seq and prev, in a new epoch          on some: they have the newer epoch; the others are
 *      without it, is written to the others                       members of it, lag, and get it
 *   5. all of them have it: acknowledged                          the one voted out is stale, whatever it has
 *   6. the superblocks get the new epoch                          the log tells it until then
 * An epoch's number and nonce are never used for a second attempt at the same seq, so two different batches of one
 * epoch, number and seq do not exist.
 *
 * A stale shard rejoins, under the append lock:
 *   1. the image stands as ckpt/new, synced                       stale with its old log
 *   2. its superblock says SUPER_REJOINING                        stale; its log is not read any more
 *   3. old log and images deleted, ckpt/new published             the same
 *   4. the batches since the image copied, synced                 the same
 *   5. a batch of the next epoch, with it as a member             the same for it; the others lack a member: next vote
 *   6. its superblock has the history, REJOINING is gone          a member
 * Nothing of the file system's is acknowledged between 5 and 6. */
#include "raid/replica.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "conf/base.h"
#include "conf/log.h"
#include "raid/shardlog.h"

struct replica {
	atomic_uint_fast64_t next, nr_batches, bytes; /* written under append_lock, read without */
	/* One append at a time; held across its I/O, which is what it is for. Guards everything below. */
	struct lock append_lock;
	struct shardlog log[SHARD_MAX];
	struct chain chain; /* what open found; dropped at the first append */
	bool salvage;
	uint64_t last_sum;
	struct super_epoch epoch[SUPER_EPOCHS]; /* history; the last is in force */
	unsigned nr_epochs;
	uint64_t tried;	   /* the highest epoch number ever used in an attempt */
	bool told;	   /* the members' superblocks have the history */
	bool bump;	   /* an attempt failed: the next one is of a new epoch */
	uint64_t image[2]; /* checkpoints kept, newest first; 0: none */
	uint64_t nr_images;
};

static uint64_t online_members(struct raid *r)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (atomic_load(&r->shard[i].state) == SHARD_ONLINE)
			mask |= 1ULL << i;
	}
	return mask;
}

static uint64_t new_nonce(void)
{
	uint64_t n = 0;

	/* A few bytes never block once the machine is up; a clock in its place still tells two mounts apart. */
	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		n = mono_ns() * 0x9e3779b97f4a7c15ULL ^ clock_ns(CLOCK_REALTIME);
	return n;
}

/* ---- open ---- */

static void scan_all(struct raid *r, struct replica *rp, struct replica_found *found, uint64_t sources)
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

/* For `.stats`: what the log takes on the shard where it takes most. */
static void count_bytes(struct raid *r, struct replica *rp)
{
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

/* The history as superblocks take it: numbers rise, and so do their beginnings. */
static void take_history(struct replica *rp, const struct chain *c)
{
	for (unsigned i = 0; i < c->nr_epochs; i++) {
		struct super_epoch e = c->epoch[i];
		const struct super_epoch *last = rp->nr_epochs ? &rp->epoch[rp->nr_epochs - 1] : NULL;

		if (last)
			e.first_seq = MAX(e.first_seq, last->first_seq);
		if (last && last->epoch == e.epoch)
			rp->nr_epochs--;
		else if (rp->nr_epochs == SUPER_EPOCHS)
			memmove(rp->epoch, rp->epoch + 1, --rp->nr_epochs * sizeof(*rp->epoch));
		rp->epoch[rp->nr_epochs++] = e;
	}
}

static void take_chain(struct raid *r, struct replica *rp)
{
	const struct chain *c = &rp->chain;

	take_history(rp, c);
	rp->next = c->next;
	rp->last_sum = c->last_sum;
	/* Also numbers that only an attempt used, or a shard that went its own way: none is given out twice. */
	for (size_t i = 0; i < c->nr_entries; i++)
		rp->tried = MAX(rp->tried, c->entry[i].b.epoch);
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (r->shard[i].super && r->shard[i].store)
			rp->tried = MAX(rp->tried, super_last(r->shard[i].super)->epoch);
	}
	r->epoch = rp->epoch[rp->nr_epochs - 1].epoch;
	r->members = rp->epoch[rp->nr_epochs - 1].members;
}

static int build(struct raid *r, struct chain *c, uint64_t sources, uint64_t present)
{
	struct chain_shard shard[SHARD_MAX];

	for (unsigned i = 0; i < r->geo.nr_shards; i++)
		shard[i] = (struct chain_shard){
			.present = present >> i & 1, .source = sources >> i & 1, .super = r->shard[i].super
		};
	return chain_build(c, shard, r->geo.nr_shards, raid_parity(&r->geo));
}

int replica_open(struct raid *r, bool salvage, struct replica_found *found)
{
	struct replica *rp = calloc(1, sizeof(*rp));
	uint64_t sources = 0, present = 0;
	int err;

	*found = (struct replica_found){ 0 };
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
	err = build(r, &rp->chain, sources & ~found->unreadable, present & ~found->unreadable);
	memcpy(found->side, rp->chain.side, sizeof(found->side));
	if (err && !(err == -EBADMSG && salvage))
		return err;
	take_chain(r, rp);
	list_images(r, rp);
	found->online = rp->chain.online;
	found->stale = rp->chain.stale;
	count_bytes(r, rp);
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

/* A good copy of an item, from whichever shard has one. */
static int read_item(struct raid *r, struct shardlog *log, const struct chain *c, const struct chain_item *it,
		     uint8_t **buf, size_t *cap)
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

/* No batch from items[@first] on is missing. */
static bool unbroken(const struct chain *c, size_t first)
{
	for (size_t i = first + 1; i < c->nr_items; i++) {
		if (c->item[i].gap)
			return false;
	}
	return true;
}

int raid_log_replay(struct raid *r, uint64_t from, int (*fn)(void *arg, uint64_t seq, const uint8_t *data, size_t len),
		    void *arg)
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
	if (!it || (!rp->salvage && !unbroken(c, (size_t)(it - c->item)))) {
		if (!rp->salvage)
			return -EBADMSG;
		if (!it) {
			log_error("the log from batch %llu on is lost; the volume is shown as the last checkpoint "
				  "left it", (unsigned long long)from);
			return 0;
		}
	}
	first = (size_t)(it - c->item);
	for (size_t i = first; !err && i < c->nr_items; i++) {
		const struct batch *b = &c->entry[c->item[i].entry].b;

		if (i > first && c->item[i].gap) {
			log_error("the log is damaged before batch %llu; the volume is shown as it was then",
				  (unsigned long long)b->seq);
			break;
		}
		if (b->flags & BATCH_OWN)
			continue;
		err = read_item(r, rp->log, c, &c->item[i], &buf, &cap);
		if (err && rp->salvage) {
			log_error("batch %llu of the log cannot be read; the volume is shown as it was before",
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
	struct shardlog_place at = { 0 };
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
		if (read_item(r, rp->log, c, &c->item[i], buf, cap))
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
		log_warn("shard %u (%s): %llu damaged batches of the log were replaced from the other shards", idx,
			 r->shard[idx].path, (unsigned long long)nr_healed);
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
	return online_members(r) ? 0 : -EIO;
}

/* ---- appending ---- */

struct append {
	struct batch b;
	uint8_t head[BATCH_HEAD_LEN];
	struct iovec *iov; /* head, the caller's, padding */
	unsigned nr_iov;
	uint64_t members;
	struct super_epoch epoch; /* that it is of */
	bool new_epoch;
};

static const uint8_t zeros[BLOCK_LEN];

static int append_init(struct append *a, struct raid *r, const struct iovec *iov, unsigned nr_iov, uint32_t flags)
{
	uint64_t len = BATCH_HEAD_LEN, pad;

	*a = (struct append){ 0 };
	for (unsigned i = 0; i < nr_iov; i++) {
		if (__builtin_add_overflow(len, iov[i].iov_len, &len) || len > BATCH_HEAD_LEN + RAID_BATCH_MAX)
			return -EINVAL;
	}
	a->iov = calloc(nr_iov + 2, sizeof(*a->iov));
	if (!a->iov)
		return -ENOMEM;
	a->iov[a->nr_iov++] = (struct iovec){ a->head, BATCH_HEAD_LEN };
	for (unsigned i = 0; i < nr_iov; i++)
		a->iov[a->nr_iov++] = iov[i];
	pad = round_up(len, BLOCK_LEN) - len;
	if (pad)
		a->iov[a->nr_iov++] = (struct iovec){ (void *)(uintptr_t)zeros, pad };
	a->b.len = (uint32_t)len;
	a->b.flags = flags;
	a->b.payload_sum = batch_payload_sum(iov, nr_iov);
	memcpy(a->b.uuid, r->uuid, RAID_UUID_LEN);
	return 0;
}

/* The head for the shards that are members now. */
static void append_head(struct append *a, struct raid *r, uint64_t members)
{
	struct replica *rp = r->replica;
	const struct super_epoch *now = &rp->epoch[rp->nr_epochs - 1];

	a->members = members;
	a->new_epoch = rp->bump || members != now->members;
	a->epoch = *now;
	if (a->new_epoch)
		a->epoch = (struct super_epoch){ ++rp->tried, new_nonce(), members, rp->next };
	a->b.seq = rp->next;
	a->b.prev = rp->last_sum;
	a->b.epoch = a->epoch.epoch;
	a->b.nonce = a->epoch.nonce;
	a->b.members = members;
	batch_encode(&a->b, a->head);
}

/* How many shards may still be lost. */
static int spare(struct raid *r)
{
	return (int)raid_parity(&r->geo) -
	       (int)(r->geo.nr_shards - (unsigned)__builtin_popcountll(atomic_load(&r->online)));
}

/* Of the members, those without space are @full and those that failed otherwise are out already. Vote the full ones
 * out if the volume can bear it. */
static int append_full(struct raid *r, uint64_t members, uint64_t full)
{
	int nr = __builtin_popcountll(full);

	if (!nr)
		return 0;
	if (full == members || nr > spare(r))
		return -ENOSPC;
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (full >> i & 1)
			shard_fail(&r->shard[i], -ENOSPC, "making room for the log");
	}
	return 0;
}

/* Step 1. *again: some member went. */
static int append_room(struct append *a, struct raid *r, bool *again)
{
	struct replica *rp = r->replica;
	uint64_t full = 0;

	*again = false;
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		int err;

		if (!(a->members >> i & 1))
			continue;
		err = shardlog_room(&rp->log[i], a->b.seq, batch_blocks_len(&a->b));
		if (err == -ENOMEM)
			return err;
		if (err == -ENOSPC) {
			full |= 1ULL << i;
		} else if (err) {
			shard_fail(&r->shard[i], err, "making room for the log");
			*again = true;
		}
	}
	*again |= full != 0;
	return append_full(r, a->members, full);
}

/* Step 2, the same way. */
static int append_write(struct append *a, struct raid *r, bool *again)
{
	struct replica *rp = r->replica;
	struct store_io io[2 * SHARD_MAX];
	unsigned shard[SHARD_MAX], nr = 0;
	uint64_t full = 0;

	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shardlog *l = &rp->log[i];

		if (!(a->members >> i & 1))
			continue;
		io[2 * nr] = (struct store_io){ .op = STORE_WRITE, .file = l->cur, .iov = a->iov,
						.nr_iov = a->nr_iov, .off = shardlog_end(l) };
		io[2 * nr + 1] = (struct store_io){ .op = STORE_SYNC, .file = l->cur };
		shard[nr++] = i;
	}
	r->ops->run(r->ops, io, 2 * nr);
	*again = false;
	for (unsigned j = 0; j < nr; j++) {
		struct shard *s = &r->shard[shard[j]];
		int err = io[2 * j].res ? io[2 * j].res : io[2 * j + 1].res;

		if (!err) {
			shardlog_wrote(&rp->log[shard[j]], a->b.seq, batch_blocks_len(&a->b));
			continue;
		}
		*again = true;
		rp->bump = true;
		if (err == -ENOSPC)
			full |= 1ULL << shard[j];
		else
			shard_fail(s, err, "writing the log");
	}
	return append_full(r, a->members, full);
}

/* Step 6. */
static void store_history(struct raid *r, uint64_t members)
{
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];

		if (!(members >> i & 1) || !shard_usable(s))
			continue;
		replica_history(r, s->super);
		s->super->flags &= ~(uint32_t)SUPER_REJOINING;
		shard_super_store(s);
	}
	r->replica->told = true;
}

static void append_done(struct append *a, struct raid *r)
{
	struct replica *rp = r->replica;

	rp->next = a->b.seq + 1;
	rp->last_sum = a->b.sum;
	rp->nr_batches++;
	count_bytes(r, rp);
	if (!a->new_epoch)
		return;
	rp->bump = false;
	if (rp->nr_epochs == SUPER_EPOCHS)
		memmove(rp->epoch, rp->epoch + 1, --rp->nr_epochs * sizeof(*rp->epoch));
	rp->epoch[rp->nr_epochs++] = a->epoch;
	lock_take(&r->lock);
	r->epoch = a->epoch.epoch;
	r->members = a->members;
	lock_release(&r->lock);
	log_note("epoch %llu: %d of %u shards", (unsigned long long)a->epoch.epoch,
		 __builtin_popcountll(a->members), r->geo.nr_shards);
	store_history(r, a->members);
}

/* @joining: shards that are not members yet and shall be. */
static int append_locked(struct raid *r, const struct iovec *iov, unsigned nr_iov, uint32_t flags, uint64_t joining,
			 uint64_t *seq) REQUIRES(r->replica->append_lock)
{
	struct replica *rp = r->replica;
	struct append a;
	int err = append_init(&a, r, iov, nr_iov, flags);
	bool again = true;

	if (err)
		return err;
	chain_fini(&rp->chain);
	while (!err && again) {
		uint64_t members = online_members(r) | (joining & atomic_load(&r->online));

		if (!members || atomic_load(&r->broken)) {
			err = -EIO;
			break;
		}
		append_head(&a, r, members);
		err = append_room(&a, r, &again);
		if (!err && !again)
			err = append_write(&a, r, &again);
	}
	free(a.iov);
	if (err)
		return err;
	append_done(&a, r);
	if (seq)
		*seq = a.b.seq;
	/* The vote that went with it may have been one too many: then it is durable, but not as often as promised. */
	return atomic_load(&r->broken) ? -EIO : 0;
}

int raid_log_append(struct raid *r, const struct iovec *iov, unsigned nr_iov, uint64_t *seq)
{
	uint64_t got = 0;
	int err;

	if (r->rdonly)
		return -EROFS;
	lock_take(&r->replica->append_lock);
	err = append_locked(r, iov, nr_iov, 0, 0, &got);
	lock_release(&r->replica->append_lock);
	if (!err)
		*seq = got;
	return err;
}

int replica_settle(struct raid *r)
{
	struct replica *rp = r->replica;
	int err = 0;

	lock_take(&r->replica->append_lock);
	if (rp->bump)
		err = append_locked(r, NULL, 0, BATCH_OWN, 0, NULL);
	lock_release(&r->replica->append_lock);
	return err;
}

/* ---- checkpoints: joining and cutting ---- */

/* The batches from @from on, as the members have them, into the empty log @to. */
static int copy_since(struct raid *r, uint64_t from, struct shardlog *to) REQUIRES(r->replica->append_lock)
{
	const struct store_ops *ops = r->ops;
	struct shardlog *log = calloc(r->geo.nr_shards, sizeof(*log));
	uint64_t sources = online_members(r), readable = 0;
	struct chain c = { 0 };
	AUTO_FREE uint8_t *buf = NULL;
	size_t cap = 0;
	int err = log ? 0 : -ENOMEM;

	for (unsigned i = 0; !err && i < r->geo.nr_shards; i++) {
		shardlog_init(&log[i], &r->shard[i]);
		if (sources >> i & 1 && !shardlog_scan(&log[i], from, &c))
			readable |= 1ULL << i;
	}
	if (!err)
		err = build(r, &c, readable, readable);
	if (!err && from < c.next) {
		const struct chain_item *it = chain_find(&c, from);

		if (!it || !unbroken(&c, (size_t)(it - c.item)))
			err = -EBADMSG;
		for (; !err && it < c.item + c.nr_items; it++) {
			const struct batch *b = &c.entry[it->entry].b;
			uint64_t len = batch_blocks_len(b);
			struct iovec iov[2] = { { NULL, b->len },
						{ (void *)(uintptr_t)zeros, len - b->len } };
			struct store_io io[2];

			err = read_item(r, log, &c, it, &buf, &cap);
			if (!err)
				err = shardlog_room(to, b->seq, len);
			if (err)
				break;
			iov[0].iov_base = buf;
			io[0] = (struct store_io){ .op = STORE_WRITE, .file = to->cur, .iov = iov, .nr_iov = 2,
						   .off = shardlog_end(to) };
			io[1] = (struct store_io){ .op = STORE_SYNC, .file = to->cur };
			err = ops->run(ops, io, 2);
			if (!err)
				shardlog_wrote(to, b->seq, len);
		}
	}
	for (unsigned i = 0; log && i < r->geo.nr_shards; i++)
		shardlog_fini(&log[i]);
	free(log);
	chain_fini(&c);
	return err;
}

struct images {
	uint64_t below; /* only those with smaller numbers */
	uint64_t seq[64];
	unsigned nr;
};

static int images_entry(void *arg, const char *entry)
{
	struct images *im = arg;
	uint64_t seq;

	if (shardlog_name_parse(entry, &seq) && seq < im->below && im->nr < ARRAY_LEN(im->seq))
		im->seq[im->nr++] = seq;
	return 0;
}

static int drop_images(struct shard *s, uint64_t below)
{
	struct images im = { .below = below };
	char name[SHARDLOG_NAME_LEN];
	int err = s->raid->ops->list(s->store, "ckpt", images_entry, &im);

	for (unsigned i = 0; !err && i < im.nr; i++) {
		shardlog_name(name, "ckpt", im.seq[i]);
		err = s->raid->ops->unlink(s->store, name);
	}
	return err;
}

/* Steps 2 to 4. */
static int join_prepare(struct raid *r, unsigned idx, uint64_t seq) REQUIRES(r->replica->append_lock)
{
	struct shardlog *l = &r->replica->log[idx];
	struct shard *s = &r->shard[idx];
	struct chain none = { 0 };
	char name[SHARDLOG_NAME_LEN];
	int err;

	s->super->flags |= SUPER_REJOINING;
	err = shard_super_store(s);
	if (err)
		return err;
	err = shardlog_scan(l, UINT64_MAX, &none); /* for the names */
	chain_fini(&none);
	if (!err)
		err = shardlog_drop(l);
	if (!err)
		err = drop_images(s, UINT64_MAX);
	shardlog_name(name, "ckpt", seq);
	if (!err && seq)
		err = r->ops->rename(s->store, "ckpt/new", name);
	if (!err)
		err = r->ops->sync_dir(s->store, "ckpt");
	if (!err)
		err = copy_since(r, MAX(seq, (uint64_t)1), l);
	return err;
}

static int join(struct raid *r, uint64_t seq, uint64_t joining) REQUIRES(r->replica->append_lock)
{
	uint64_t ready = 0;
	int err = 0;

	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];

		if (!(joining >> i & 1) || atomic_load(&s->state) != SHARD_STALE)
			continue;
		err = join_prepare(r, i, seq);
		if (err)
			shard_fail(s, err, "replacing its log");
		else
			ready |= 1ULL << i;
	}
	if (!ready)
		return 0;
	err = append_locked(r, NULL, 0, BATCH_OWN, ready, NULL);
	if (err)
		return err;
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (ready >> i & 1 && shard_rejoined(&r->shard[i]))
			log_note("shard %u (%s) is back: a member from epoch %llu on", i, r->shard[i].path,
				 (unsigned long long)r->replica->epoch[r->replica->nr_epochs - 1].epoch);
	}
	return 0;
}

static void cut(struct raid *r) REQUIRES(r->replica->append_lock)
{
	struct replica *rp = r->replica;

	if (!rp->image[1])
		return;
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (atomic_load(&r->shard[i].state) != SHARD_ONLINE)
			continue;
		/* What cannot be deleted now is at the next cut. */
		drop_images(&r->shard[i], rp->image[1]);
		shardlog_cut(&rp->log[i], rp->image[1]);
	}
}

int replica_published(struct raid *r, uint64_t seq, uint64_t joining)
{
	struct replica *rp = r->replica;
	int err;

	lock_take(&r->replica->append_lock);
	if (seq && seq != rp->image[0]) {
		rp->image[1] = rp->image[0];
		rp->image[0] = seq;
	}
	rp->nr_images++;
	err = join(r, seq, joining);
	/* Epochs that only the log tells of must outlive it. */
	if (!rp->told)
		store_history(r, online_members(r));
	cut(r);
	count_bytes(r, rp);
	lock_release(&r->replica->append_lock);
	return err;
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

	memcpy(sb->epoch, rp->epoch, rp->nr_epochs * sizeof(*rp->epoch));
	sb->nr_epochs = rp->nr_epochs;
}

uint64_t raid_log_next(const struct raid *r)
{
	return r->replica->next;
}

uint64_t raid_log_bytes(const struct raid *r)
{
	return r->replica->bytes;
}

void replica_stat_get(struct raid *r, struct replica_stat *out)
{
	struct replica *rp = r->replica;

	*out = (struct replica_stat){ .log_bytes = rp->bytes, .nr_batches = rp->nr_batches };
	lock_take(&rp->append_lock);
	out->image_seq = rp->image[0];
	out->nr_images = rp->nr_images;
	lock_release(&rp->append_lock);
}
