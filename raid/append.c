/* Appending to the log, and votes on the way.
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
 * epoch, nonce and seq do not exist. */
#include "raid/append.h"

#include <string.h>
#include <sys/random.h>

#include "conf/base.h"
#include "conf/log.h"
#include "raid/replica.h"

static uint64_t new_nonce(void)
{
	uint64_t n = 0;

	/* A few bytes never block once the machine is up; a clock in its place still tells two mounts apart. */
	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		n = mono_ns() * 0x9e3779b97f4a7c15ULL ^ clock_ns(CLOCK_REALTIME);
	return n;
}

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

static int append_init(struct append *a, struct raid *r, const struct iovec *iov, unsigned nr_iov,
		       uint32_t flags)
{
	uint64_t len = BATCH_HEAD_LEN, pad;

	*a = (struct append){0};
	for (unsigned i = 0; i < nr_iov; i++) {
		if (__builtin_add_overflow(len, iov[i].iov_len, &len) ||
		    len > BATCH_HEAD_LEN + RAID_BATCH_MAX)
			return -EINVAL;
	}
	a->iov = calloc(nr_iov + 2, sizeof(*a->iov));
	if (!a->iov)
		return -ENOMEM;
	a->iov[a->nr_iov++] = (struct iovec){a->head, BATCH_HEAD_LEN};
	for (unsigned i = 0; i < nr_iov; i++)
		a->iov[a->nr_iov++] = iov[i];
	pad = round_up(len, BLOCK_LEN) - len;
	if (pad)
		a->iov[a->nr_iov++] = (struct iovec){(void *)(uintptr_t)zeros, pad};
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
	const struct super_epoch *now = &rp->epoch[rp->nr_epochs - 1].e;

	a->members = members;
	a->new_epoch = rp->bump || members != now->members;
	a->epoch = *now;
	if (a->new_epoch)
		a->epoch = (struct super_epoch){++rp->tried, new_nonce(), members, rp->next};
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
	       (int)(r->geo.nr_shards - (unsigned)__builtin_popcountll(replica_online(r)));
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
		io[2 * nr] = (struct store_io){.op = STORE_WRITE,
					       .file = l->cur,
					       .iov = a->iov,
					       .nr_iov = a->nr_iov,
					       .off = shardlog_end(l)};
		io[2 * nr + 1] = (struct store_io){.op = STORE_SYNC, .file = l->cur};
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
void append_tell(struct raid *r, uint64_t members)
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

static void append_done(struct append *a, struct raid *r) REQUIRES(r->replica->append_lock)
{
	struct replica *rp = r->replica;

	rp->next = a->b.seq + 1;
	rp->last_sum = a->b.sum;
	rp->nr_batches++;
	replica_count(r);
	rp->epoch[rp->nr_epochs - 1].firm |= !a->new_epoch;
	if (!a->new_epoch)
		return;
	rp->bump = false;
	replica_epoch(rp, &(struct chain_epoch){a->epoch, true});
	lock_take(&r->lock);
	r->epoch = a->epoch.epoch;
	r->members = a->members;
	lock_release(&r->lock);
	log_note("epoch %llu: %d of %u shards", (unsigned long long)a->epoch.epoch,
		 __builtin_popcountll(a->members), r->geo.nr_shards);
	append_tell(r, a->members);
}

int append_batch(struct raid *r, const struct iovec *iov, unsigned nr_iov, uint32_t flags,
		 uint64_t joining, uint64_t *seq)
{
	struct replica *rp = r->replica;
	struct append a;
	int err = append_init(&a, r, iov, nr_iov, flags);
	bool again = true;

	if (err)
		return err;
	chain_fini(&rp->chain);
	while (!err && again) {
		uint64_t members = replica_online(r) | (joining & atomic_load(&r->online));

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
	err = append_batch(r, iov, nr_iov, 0, 0, &got);
	lock_release(&r->replica->append_lock);
	if (!err)
		*seq = got;
	return err;
}

int append_settle(struct raid *r)
{
	struct replica *rp = r->replica;
	int err = 0;

	lock_take(&r->replica->append_lock);
	if (rp->bump)
		err = append_batch(r, NULL, 0, BATCH_OWN, 0, NULL);
	lock_release(&r->replica->append_lock);
	return err;
}
