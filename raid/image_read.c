/* Reading checkpoints: each frame from whichever copy is good, and the image before when none of the newest is. */
#include "raid/image.h"

#include <string.h>

#include "conf/base.h"
#include "conf/log.h"
#include "raid/rejoin.h"

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
	struct iovec iov = {rd->buf, len};
	struct store_io io = {
		.op = STORE_READ, .file = rd->file[i], .iov = &iov, .nr_iov = 1, .off = off};

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
static int reader_frame(struct reader *rd, uint64_t off, uint64_t idx, uint64_t total,
			struct image_frame *f, size_t *len)
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
static int reader_frames(struct reader *rd, int (*fn)(void *arg, const uint8_t *data, size_t len),
			 void *arg)
{
	uint64_t off = IMAGE_HEAD_LEN, idx = 0, total = 0;
	struct image_frame f = {0};
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
	uint64_t seq[2] = {below, 0};

	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (atomic_load(&r->shard[i].state) == SHARD_ONLINE)
			r->ops->list(r->shard[i].store, "ckpt", collect_image, seq);
	}
	return seq[1];
}

/* Verified as a whole before the first piece is handed out: a caller cannot take pieces back. */
static int read_image(struct reader *rd, uint64_t *seq,
		      int (*fn)(void *arg, const uint8_t *data, size_t len), void *arg,
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

int raid_checkpoint_read(struct raid *r, uint64_t *seq,
			 int (*fn)(void *arg, const uint8_t *data, size_t len), void *arg)
{
	struct reader rd = {.raid = r, .seq = newest_image(r, UINT64_MAX)};
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
	struct renewal n = {.raid = r};
	uint64_t stale = 0;
	int err = raid_checkpoint_read(r, &n.seq, renew_piece, &n);

	if (err == -ENOENT) {
		for (unsigned i = 0; i < r->geo.nr_shards; i++) {
			if (atomic_load(&r->shard[i].state) == SHARD_STALE)
				stale |= 1ULL << i;
		}
		return rejoin_and_cut(r, 0, stale);
	}
	/* An image without bytes. */
	if (!err && !n.c)
		err = raid_checkpoint_begin(r, n.seq, &n.c);
	if (err && n.c)
		raid_checkpoint_abort(n.c);
	return err ? err : raid_checkpoint_commit(n.c);
}
