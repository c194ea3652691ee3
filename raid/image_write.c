/* Writing checkpoints to all shards at once.
 *
 * A commit, and what a crash after each step leaves:
 *   1. ckpt/new written           the older checkpoints; ckpt/new is deleted by the next one
 *   2. synced on every shard      the same
 *   3. renamed, directory synced  some shards have the new one, which is as good as all: the log still has it all
 *   4. stale shards join          see rejoin.c
 *   5. older ones and log cut     more than needed */
#include "raid/image.h"

#include <string.h>
#include <sys/random.h>

#include "conf/base.h"
#include "conf/log.h"
#include "raid/rejoin.h"
#include "raid/space.h"

struct checkpoint {
	struct raid *raid;
	struct image_head head;
	struct store_file *file[SHARD_MAX]; /* NULL: not written there */
	uint64_t off;			    /* of the next frame in the files */
	uint64_t idx, total;
	uint8_t *buf;  /* a frame being filled */
	uint32_t fill; /* its payload bytes */
	int err;       /* the first failure: the rest is for nothing */
};

static void checkpoint_close(struct checkpoint *c, unsigned i)
{
	if (c->file[i])
		c->raid->ops->close(c->file[i]);
	c->file[i] = NULL;
}

static void checkpoint_free(struct checkpoint *c)
{
	for (unsigned i = 0; i < c->raid->geo.nr_shards; i++)
		checkpoint_close(c, i);
	free(c->buf);
	free(c);
}

/* Shard @i cannot go on. A full one ends the checkpoint and costs nobody his membership; one that was only to rejoin is
 * left out. */
static void checkpoint_lost(struct checkpoint *c, unsigned i, int err, const char *what)
{
	struct shard *s = &c->raid->shard[i];

	checkpoint_close(c, i);
	if (err != -ENOSPC) {
		shard_fail(s, err, what);
	} else if (atomic_load(&s->state) == SHARD_STALE) {
		log_warn("shard %u (%s) has no room for a checkpoint and stays out of the epoch; "
			 "make room there",
			 i, s->path);
	} else {
		c->err = err;
	}
}

/* Is anybody left who keeps the volume? */
static int checkpoint_alive(struct checkpoint *c)
{
	if (c->err)
		return c->err;
	for (unsigned i = 0; i < c->raid->geo.nr_shards; i++) {
		if (c->file[i] && atomic_load(&c->raid->shard[i].state) == SHARD_ONLINE)
			return 0;
	}
	return -EIO;
}

/* @op on every file; what fails is out. */
static int checkpoint_run(struct checkpoint *c, enum store_op op, const struct iovec *iov)
{
	const struct store_ops *ops = c->raid->ops;
	struct store_io io[SHARD_MAX];
	unsigned shard[SHARD_MAX], nr = 0;

	for (unsigned i = 0; i < c->raid->geo.nr_shards; i++) {
		if (c->file[i] && !shard_usable(&c->raid->shard[i]))
			checkpoint_close(c, i);
		if (!c->file[i])
			continue;
		io[nr] = (struct store_io){.op = op,
					   .file = c->file[i],
					   .iov = iov,
					   .nr_iov = iov ? 1 : 0,
					   .off = c->off};
		shard[nr++] = i;
	}
	ops->run(ops, io, nr);
	for (unsigned j = 0; j < nr; j++) {
		if (io[j].res)
			checkpoint_lost(c, shard[j], io[j].res, "writing a checkpoint");
	}
	return checkpoint_alive(c);
}

static int checkpoint_put(struct checkpoint *c, uint8_t *buf, size_t len)
{
	struct iovec iov = {buf, len};
	int err = checkpoint_run(c, STORE_WRITE, &iov);

	c->off += len;
	c->err = c->err ? c->err : err;
	return err;
}

static int checkpoint_flush(struct checkpoint *c, bool tail)
{
	const struct image_frame f = {
		.tail = tail, .len = c->fill, .idx = c->idx, .total = c->total};
	size_t len = image_frame_encode(&f, c->head.nonce, c->buf);

	c->idx++;
	c->total += c->fill;
	c->fill = 0;
	return checkpoint_put(c, c->buf, len);
}

static void checkpoint_create(struct checkpoint *c, unsigned i)
{
	const struct store_ops *ops = c->raid->ops;
	struct shard *s = &c->raid->shard[i];
	int err = ops->mkdir(s->store, "ckpt");

	if (!err) {
		err = ops->unlink(s->store, "ckpt/new");
		err = err == -ENOENT ? 0 : err;
	}
	if (!err)
		err = ops->open(s->store, "ckpt/new", STORE_CREATE, &c->file[i]);
	if (err)
		checkpoint_lost(c, i, err, "beginning a checkpoint");
}

int raid_checkpoint_begin(struct raid *r, uint64_t seq, struct checkpoint **out)
{
	struct checkpoint *c;
	uint64_t have[2];
	int err;

	if (r->rdonly)
		return -EROFS;
	if (atomic_load(&r->broken))
		return -EIO;
	if (seq == 0 || seq > raid_log_next(r) || (replica_images(r, have) && seq < have[0]))
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->raid = r;
	c->head.seq = seq;
	memcpy(c->head.uuid, r->uuid, RAID_UUID_LEN);
	lock_take(&r->lock);
	c->head.epoch = r->epoch;
	lock_release(&r->lock);
	if (getrandom(&c->head.nonce, sizeof(c->head.nonce), 0) != sizeof(c->head.nonce))
		c->head.nonce = clock_ns(CLOCK_REALTIME);
	c->buf = aligned_alloc(BLOCK_LEN, IMAGE_FRAME_MAX);
	err = c->buf ? 0 : -ENOMEM;
	for (unsigned i = 0; !err && i < r->geo.nr_shards; i++) {
		if (shard_usable(&r->shard[i]))
			checkpoint_create(c, i);
	}
	if (!err)
		err = checkpoint_alive(c);
	if (!err) {
		image_head_encode(&c->head, c->buf);
		err = checkpoint_put(c, c->buf, IMAGE_HEAD_LEN);
	}
	if (err) {
		raid_checkpoint_abort(c);
		return err;
	}
	*out = c;
	return 0;
}

int raid_checkpoint_write(struct checkpoint *c, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (!c->err && len > 0) {
		size_t n = MIN(len, IMAGE_FRAME_MAX - IMAGE_FRAME_HEAD - c->fill);

		memcpy(c->buf + IMAGE_FRAME_HEAD + c->fill, p, n);
		c->fill += (uint32_t)n;
		p += n;
		len -= n;
		if (c->fill == IMAGE_FRAME_MAX - IMAGE_FRAME_HEAD)
			checkpoint_flush(c, false);
	}
	return c->err;
}

/* Step 3. *joining: the STALE shards that have the image as ckpt/new. */
static int checkpoint_publish(struct checkpoint *c, uint64_t *joining)
{
	struct raid *r = c->raid;
	char name[SHARDLOG_NAME_LEN];
	bool published = false;

	*joining = 0;
	shardlog_name(name, "ckpt", c->head.seq);
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];
		int err;

		if (!c->file[i])
			continue;
		checkpoint_close(c, i);
		if (atomic_load(&s->state) == SHARD_STALE)
			*joining |= 1ULL << i;
		if (atomic_load(&s->state) != SHARD_ONLINE)
			continue;
		err = r->ops->rename(s->store, "ckpt/new", name);
		if (!err)
			err = r->ops->sync_dir(s->store, "ckpt");
		if (err)
			shard_fail(s, err, "publishing a checkpoint");
		else
			published = true;
	}
	return published ? 0 : -EIO;
}

int raid_checkpoint_commit(struct checkpoint *c)
{
	struct raid *r = c->raid;
	uint64_t seq = c->head.seq, joining;
	int err = c->err;

	if (!err && c->fill)
		err = checkpoint_flush(c, false);
	if (!err)
		err = checkpoint_flush(c, true);
	if (!err)
		err = checkpoint_run(c, STORE_SYNC, NULL);
	if (err) {
		raid_checkpoint_abort(c);
		return err;
	}
	err = checkpoint_publish(c, &joining);
	if (!err && r->space)
		space_set_image(r, c->off);
	checkpoint_free(c);
	if (!err)
		atomic_store(&r->wants_checkpoint, false);
	return err ? err : rejoin_and_cut(r, seq, joining);
}

void raid_checkpoint_abort(struct checkpoint *c)
{
	struct raid *r = c->raid;

	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (!c->file[i])
			continue;
		checkpoint_close(c, i);
		/* Its space is wanted; if it stays, the next one deletes it. */
		r->ops->unlink(r->shard[i].store, "ckpt/new");
	}
	checkpoint_free(c);
}
