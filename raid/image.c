/* Checkpoints on disk, "ckpt/%016x" by the sequence number to replay from; the same bytes on every shard.
 *
 *   head, one block:                        frame, each at a multiple of a block, and the tail:
 *   off  len  field                          off  len  field
 *     0    8  magic "MATFSIMG"                 0    4  magic "IMGF", of the tail "IMGT"
 *     8    4  version                          4    4  length of the payload; of the tail 0
 *    12    4  length: 4096                     8    8  checksum: XXH3-64, seeded with the nonce, of head and
 *    16    8  checksum: XXH3-64, this                  payload, this field as zeros
 *             field as zeros                  16    8  idx: number of the frame; of the tail how many there are
 *    24    8  seq                             24    8  total: payload bytes of the frames before
 *    32   16  volume uuid                     32    .  payload, then zeros up to a block
 *    48    8  epoch
 *    56    8  nonce: random, of this writing
 *
 * A commit, and what a crash after each step leaves:
 *   1. ckpt/new written           the older checkpoints; ckpt/new is deleted by the next one
 *   2. synced on every shard      the same
 *   3. renamed, directory synced  some shards have the new one, which is as good as all: the log still has it all
 *   4. stale shards join          see replica.c
 *   5. older ones and log cut     more than needed */
#include "raid/image.h"

#include <string.h>
#include <sys/random.h>
#define XXH_STATIC_LINKING_ONLY /* the state on the stack: nothing there can fail */
#include <xxhash.h>

#include "conf/base.h"
#include "conf/bytes.h"
#include "conf/log.h"
#include "raid/replica.h"
#include "raid/shardlog.h"
#include "raid/space.h"

#define IMAGE_MAGIC   "MATFSIMG"
#define IMAGE_SUM_OFF 16
#define FRAME_MAGIC   0x46474d49u /* "IMGF" */
#define TAIL_MAGIC    0x54474d49u /* "IMGT" */
#define FRAME_SUM_OFF 8

/* ---- bytes ---- */

static uint64_t head_sum(const uint8_t *buf)
{
	uint8_t copy[IMAGE_HEAD_LEN];

	memcpy(copy, buf, sizeof(copy));
	put_u64(copy + IMAGE_SUM_OFF, 0);
	return XXH3_64bits(copy, sizeof(copy));
}

void image_head_encode(const struct image_head *h, uint8_t buf[IMAGE_HEAD_LEN])
{
	struct wbuf w = wbuf_init(buf, IMAGE_HEAD_LEN);

	memset(buf, 0, IMAGE_HEAD_LEN);
	wbuf_bytes(&w, IMAGE_MAGIC, 8);
	wbuf_u32(&w, IMAGE_VERSION);
	wbuf_u32(&w, IMAGE_HEAD_LEN);
	wbuf_u64(&w, 0);
	wbuf_u64(&w, h->seq);
	wbuf_bytes(&w, h->uuid, RAID_UUID_LEN);
	wbuf_u64(&w, h->epoch);
	wbuf_u64(&w, h->nonce);
	put_u64(buf + IMAGE_SUM_OFF, head_sum(buf));
}

int image_head_decode(const uint8_t *buf, size_t len, struct image_head *out)
{
	struct rbuf r = rbuf_init(buf, len);
	struct image_head h;
	uint32_t version;

	if (len < IMAGE_HEAD_LEN || memcmp(buf, IMAGE_MAGIC, 8) != 0)
		return -EBADMSG;
	version = get_u32(buf + 8);
	if (version == 0 || get_u32(buf + 12) != IMAGE_HEAD_LEN ||
	    get_u64(buf + IMAGE_SUM_OFF) != head_sum(buf))
		return -EBADMSG;
	if (version > IMAGE_VERSION)
		return -EPROTONOSUPPORT;
	r.pos = IMAGE_SUM_OFF + 8;
	h.seq = rbuf_u64(&r);
	rbuf_bytes(&r, h.uuid, RAID_UUID_LEN);
	h.epoch = rbuf_u64(&r);
	h.nonce = rbuf_u64(&r);
	if (h.seq == 0)
		return -EBADMSG;
	*out = h;
	return 0;
}

static uint64_t frame_sum(const uint8_t *buf, size_t len, uint64_t nonce)
{
	static const uint8_t none[8];
	XXH3_state_t state;

	XXH3_INITSTATE(&state); /* reset_withSeed() looks at what was there before */
	XXH3_64bits_reset_withSeed(&state, nonce);
	XXH3_64bits_update(&state, buf, FRAME_SUM_OFF);
	XXH3_64bits_update(&state, none, sizeof(none));
	XXH3_64bits_update(&state, buf + FRAME_SUM_OFF + 8, len - FRAME_SUM_OFF - 8);
	return XXH3_64bits_digest(&state);
}

size_t image_frame_encode(const struct image_frame *f, uint64_t nonce, uint8_t *buf)
{
	size_t len = IMAGE_FRAME_HEAD + f->len;
	size_t blocks = round_up(len, BLOCK_LEN);

	put_u32(buf, f->tail ? TAIL_MAGIC : FRAME_MAGIC);
	put_u32(buf + 4, f->len);
	put_u64(buf + 16, f->idx);
	put_u64(buf + 24, f->total);
	put_u64(buf + FRAME_SUM_OFF, frame_sum(buf, len, nonce));
	memset(buf + len, 0, blocks - len);
	return blocks;
}

int image_frame_decode(const uint8_t *buf, size_t len, uint64_t nonce, struct image_frame *out)
{
	struct image_frame f;
	uint32_t magic;

	if (len < IMAGE_FRAME_HEAD)
		return -EBADMSG;
	magic = get_u32(buf);
	f.len = get_u32(buf + 4);
	f.idx = get_u64(buf + 16);
	f.total = get_u64(buf + 24);
	f.tail = magic == TAIL_MAGIC;
	if (magic != FRAME_MAGIC && !f.tail)
		return -EBADMSG;
	if (f.len > IMAGE_FRAME_MAX - IMAGE_FRAME_HEAD || (f.len == 0) != f.tail ||
	    round_up(IMAGE_FRAME_HEAD + f.len, BLOCK_LEN) > len)
		return -EBADMSG;
	if (get_u64(buf + FRAME_SUM_OFF) != frame_sum(buf, IMAGE_FRAME_HEAD + f.len, nonce))
		return -EBADMSG;
	*out = f;
	return 0;
}

/* ---- writing ---- */

struct checkpoint {
	struct raid *raid;
	struct image_head head;
	struct store_file *file[SHARD_MAX]; /* NULL: not written there */
	uint64_t off;			    /* of the next frame in the files */
	uint64_t idx, total;
	uint8_t *buf; /* a frame being filled */
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
		log_warn("shard %u (%s) has no room for a checkpoint and stays out of the epoch; make room there", i,
			 s->path);
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
		io[nr] = (struct store_io){ .op = op, .file = c->file[i], .iov = iov, .nr_iov = iov ? 1 : 0,
					    .off = c->off };
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
	struct iovec iov = { buf, len };
	int err = checkpoint_run(c, STORE_WRITE, &iov);

	c->off += len;
	c->err = c->err ? c->err : err;
	return err;
}

static int checkpoint_flush(struct checkpoint *c, bool tail)
{
	const struct image_frame f = { .tail = tail, .len = c->fill, .idx = c->idx, .total = c->total };
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
	/* The next one stands beside both for a while, and grows; so does the log. */
	if (!err && r->space)
		space_set_meta(r, c->off + c->off / 4 + 32 * MIB);
	checkpoint_free(c);
	if (!err)
		atomic_store(&r->wants_checkpoint, false);
	return err ? err : replica_published(r, seq, joining);
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

/* ---- reading ---- */

struct reader {
	struct raid *raid;
	uint64_t seq;
	struct image_head head;
	struct store_file *file[SHARD_MAX]; /* copies of the same writing */
	uint64_t size[SHARD_MAX];
	uint8_t *buf; /* IMAGE_FRAME_MAX bytes */
};

static void reader_close(struct reader *rd, unsigned i)
{
	if (rd->file[i])
		rd->raid->ops->close(rd->file[i]);
	rd->file[i] = NULL;
}

static int reader_read(struct reader *rd, unsigned i, uint64_t off, size_t len)
{
	const struct store_ops *ops = rd->raid->ops;
	struct iovec iov = { rd->buf, len };
	struct store_io io = { .op = STORE_READ, .file = rd->file[i], .iov = &iov, .nr_iov = 1, .off = off };

	return ops->run(ops, &io, 1);
}

static void reader_wrong(struct reader *rd, unsigned i, int err)
{
	struct shard *s = &rd->raid->shard[i];

	if (err == -EBADMSG)
		atomic_fetch_add(&s->nr_wrong, 1);
	else
		atomic_fetch_add(&s->nr_errors, 1);
	/* The next checkpoint is a whole one again. */
	atomic_store(&rd->raid->wants_checkpoint, true);
}

static int reader_head(struct reader *rd, unsigned i, struct image_head *h)
{
	const struct store_ops *ops = rd->raid->ops;
	struct shard *s = &rd->raid->shard[i];
	char name[SHARDLOG_NAME_LEN];
	int err;

	shardlog_name(name, "ckpt", rd->seq);
	err = ops->open(s->store, name, STORE_RDONLY, &rd->file[i]);
	if (err)
		return err;
	err = ops->size(rd->file[i], &rd->size[i]);
	if (!err && rd->size[i] < IMAGE_HEAD_LEN)
		err = -EBADMSG;
	if (!err)
		err = reader_read(rd, i, 0, IMAGE_HEAD_LEN);
	if (!err)
		err = image_head_decode(rd->buf, IMAGE_HEAD_LEN, h);
	if (!err && (h->seq != rd->seq || memcmp(h->uuid, rd->raid->uuid, RAID_UUID_LEN) != 0))
		err = -EBADMSG;
	return err;
}

/* Open the copies of image @seq that are of the same writing as the first one not in @tried (a mask that grows).
 * -ENOENT: there is no further one. */
static int reader_open(struct reader *rd, uint64_t *tried)
{
	bool any = false;

	for (unsigned i = 0; i < rd->raid->geo.nr_shards; i++) {
		struct image_head h;
		int err;

		if (*tried >> i & 1 || atomic_load(&rd->raid->shard[i].state) != SHARD_ONLINE)
			continue;
		err = reader_head(rd, i, &h);
		if (!err && any && h.nonce != rd->head.nonce) {
			reader_close(rd, i); /* of another writing: its turn comes */
			continue;
		}
		*tried |= 1ULL << i;
		if (err) {
			reader_close(rd, i);
			reader_wrong(rd, i, err);
			if (err == -EPROTONOSUPPORT)
				return err;
			continue;
		}
		rd->head = h;
		any = true;
	}
	return any ? 0 : -ENOENT;
}

/* The frame at @off, from whichever copy is good. *len: its bytes on disk. */
static int reader_frame(struct reader *rd, uint64_t off, uint64_t idx, uint64_t total, struct image_frame *f,
			size_t *len)
{
	for (unsigned i = 0; i < rd->raid->geo.nr_shards; i++) {
		int err = -EBADMSG;

		if (!rd->file[i])
			continue;
		if (off < rd->size[i]) {
			size_t n = (size_t)MIN(rd->size[i] - off, (uint64_t)IMAGE_FRAME_MAX);

			err = reader_read(rd, i, off, n);
			if (!err)
				err = image_frame_decode(rd->buf, n, rd->head.nonce, f);
			if (!err && (f->idx != idx || f->total != total))
				err = -EBADMSG;
		}
		if (!err) {
			*len = round_up(IMAGE_FRAME_HEAD + f->len, BLOCK_LEN);
			return 0;
		}
		reader_wrong(rd, i, err);
	}
	return -EBADMSG;
}

/* All frames in order. @fn NULL: only verify. */
static int reader_frames(struct reader *rd, int (*fn)(void *arg, const uint8_t *data, size_t len), void *arg)
{
	uint64_t off = IMAGE_HEAD_LEN, idx = 0, total = 0;
	struct image_frame f = { 0 };
	int err = 0;

	while (!err && !f.tail) {
		size_t len;

		err = reader_frame(rd, off, idx, total, &f, &len);
		if (err)
			break;
		off += len;
		idx++;
		total += f.len;
		if (fn && !f.tail)
			err = fn(arg, rd->buf + IMAGE_FRAME_HEAD, f.len);
	}
	return err;
}

static int collect_image(void *arg, const char *entry)
{
	uint64_t *seq = arg, n;

	/* The newest below seq[0] goes to seq[1]. */
	if (shardlog_name_parse(entry, &n) && n < seq[0] && n > seq[1])
		seq[1] = n;
	return 0;
}

/* The next image below @below on any shard; 0: none. */
static uint64_t newest_image(struct raid *r, uint64_t below)
{
	uint64_t seq[2] = { below, 0 };

	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (atomic_load(&r->shard[i].state) == SHARD_ONLINE)
			r->ops->list(r->shard[i].store, "ckpt", collect_image, seq);
	}
	return seq[1];
}

/* Verified as a whole before the first piece is handed out: a caller cannot take pieces back. */
static int read_image(struct reader *rd, uint64_t *seq, int (*fn)(void *arg, const uint8_t *data, size_t len), void *arg,
		      bool *handed)
{
	uint64_t tried = 0;
	int err;

	do {
		err = reader_open(rd, &tried);
		if (!err)
			err = reader_frames(rd, NULL, NULL);
		if (!err) {
			*seq = rd->seq;
			*handed = true;
			err = reader_frames(rd, fn, arg);
		}
		for (unsigned i = 0; i < rd->raid->geo.nr_shards; i++)
			reader_close(rd, i);
	} while (err == -EBADMSG && !*handed);
	return err == -ENOENT ? -EBADMSG : err;
}

int raid_checkpoint_read(struct raid *r, uint64_t *seq, int (*fn)(void *arg, const uint8_t *data, size_t len), void *arg)
{
	struct reader rd = { .raid = r, .seq = newest_image(r, UINT64_MAX) };
	bool handed = false;
	int err = -ENOENT;

	rd.buf = aligned_alloc(BLOCK_LEN, IMAGE_FRAME_MAX);
	if (!rd.buf)
		return -ENOMEM;
	for (; rd.seq; rd.seq = newest_image(r, rd.seq)) {
		err = read_image(&rd, seq, fn, arg, &handed);
		if (err != -EBADMSG || handed)
			break;
		log_error("checkpoint %llu is damaged on every shard; trying the one before it",
			  (unsigned long long)rd.seq);
	}
	free(rd.buf);
	return err;
}

/* ---- once more ---- */

struct renewal {
	struct raid *raid;
	uint64_t seq;
	struct checkpoint *c; /* NULL until the first piece */
};

static int renew_piece(void *arg, const uint8_t *data, size_t len)
{
	struct renewal *n = arg;
	int err = n->c ? 0 : raid_checkpoint_begin(n->raid, n->seq, &n->c);

	return err ? err : raid_checkpoint_write(n->c, data, len);
}

int image_renew(struct raid *r)
{
	struct renewal n = { .raid = r };
	uint64_t stale = 0;
	int err = raid_checkpoint_read(r, &n.seq, renew_piece, &n);

	if (err == -ENOENT) {
		for (unsigned i = 0; i < r->geo.nr_shards; i++) {
			if (atomic_load(&r->shard[i].state) == SHARD_STALE)
				stale |= 1ULL << i;
		}
		return replica_published(r, 0, stale);
	}
	/* An image without bytes. */
	if (!err && !n.c)
		err = raid_checkpoint_begin(r, n.seq, &n.c);
	if (err && n.c)
		raid_checkpoint_abort(n.c);
	return err ? err : raid_checkpoint_commit(n.c);
}
