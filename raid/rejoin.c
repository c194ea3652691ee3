/* After a checkpoint: stale shards come back, and what is no longer needed goes.
 *
 * A stale shard rejoins, under the append lock; what a crash after each step leaves of it:
 *   1. the image stands as ckpt/new, synced                       stale with its old log
 *   2. its superblock says SUPER_REJOINING                        stale; its log is not read any more
 *   3. old log and images deleted, ckpt/new published             the same
 *   4. the batches since the image copied, synced                 the same
 *   5. a batch of the next epoch, with it as a member             the same; the next append of the others is a vote
 *   6. its superblock has the history, REJOINING is gone          a member
 * Nothing of the file system's is acknowledged between 5 and 6. */
#include "raid/rejoin.h"

#include "conf/base.h"
#include "conf/log.h"
#include "raid/append.h"
#include "raid/space.h"

static const uint8_t zeros[BLOCK_LEN];

/* The batches from @from on, as the members have them, into the empty log @to. */
static int copy_since(struct raid *r, uint64_t from, struct shardlog *to)
	REQUIRES(r->replica->append_lock)
{
	const struct store_ops *ops = r->ops;
	struct shardlog *log = calloc(r->geo.nr_shards, sizeof(*log));
	uint64_t sources = replica_online(r), readable = 0;
	struct chain c = {0};
	AUTO_FREE uint8_t *buf = NULL;
	size_t cap = 0;
	int err = log ? 0 : -ENOMEM;

	for (unsigned i = 0; !err && i < r->geo.nr_shards; i++) {
		shardlog_init(&log[i], &r->shard[i]);
		if (sources >> i & 1 && !shardlog_scan(&log[i], from, &c))
			readable |= 1ULL << i;
	}
	if (!err)
		err = replica_build(r, &c, readable, readable);
	if (!err && from < c.next) {
		const struct chain_item *it = chain_find(&c, from);

		if (!it || !replica_unbroken(&c, (size_t)(it - c.item)))
			err = -EBADMSG;
		for (; !err && it < c.item + c.nr_items; it++) {
			const struct batch *b = &c.entry[it->entry].b;
			uint64_t len = batch_blocks_len(b);
			struct iovec iov[2] = {{NULL, b->len},
					       {(void *)(uintptr_t)zeros, len - b->len}};
			struct store_io io[2];

			err = replica_read_item(r, log, &c, it, &buf, &cap);
			if (!err)
				err = shardlog_room(to, b->seq, len);
			if (err)
				break;
			iov[0].iov_base = buf;
			io[0] = (struct store_io){.op = STORE_WRITE,
						  .file = to->cur,
						  .iov = iov,
						  .nr_iov = 2,
						  .off = shardlog_end(to)};
			io[1] = (struct store_io){.op = STORE_SYNC, .file = to->cur};
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
	struct images im = {.below = below};
	char name[SHARDLOG_NAME_LEN];
	int err = s->raid->ops->list(s->store, "ckpt", images_entry, &im);

	for (unsigned i = 0; !err && i < im.nr; i++) {
		shardlog_name(name, "ckpt", im.seq[i]);
		err = s->raid->ops->unlink(s->store, name);
	}
	return err;
}

/* Steps 2 to 4. */
static int join_prepare(struct raid *r, unsigned idx, uint64_t seq)
	REQUIRES(r->replica->append_lock)
{
	struct shardlog *l = &r->replica->log[idx];
	struct shard *s = &r->shard[idx];
	struct chain none = {0};
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
	const struct chain_epoch *last;
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
	err = append_batch(r, NULL, 0, BATCH_OWN, ready, NULL);
	if (err)
		return err;
	last = &r->replica->epoch[r->replica->nr_epochs - 1];
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (ready >> i & 1 && shard_rejoined(&r->shard[i]))
			log_note("shard %u (%s) is back: a member from epoch %llu on", i,
				 r->shard[i].path, (unsigned long long)last->e.epoch);
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

int rejoin_and_cut(struct raid *r, uint64_t seq, uint64_t joining)
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
		append_tell(r, replica_online(r));
	cut(r);
	replica_count(r);
	lock_release(&r->replica->append_lock);
	if (r->space)
		space_stale(r);
	return err;
}
