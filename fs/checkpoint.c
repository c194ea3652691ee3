/* Checkpoints of the index. The order of keys lets loading append, page by page, without searching. */
#include "fs/checkpoint.h"

#include <zstd.h>

#include "conf/base.h"
#include "conf/log.h"

/* Records are collected to this many bytes before they go to the compressor, or to the index. */
#define PIECE_LEN (1 * MIB)
/* Fast: an image is written once and read after a crash. */
#define IMAGE_LEVEL 1

struct writer {
	struct checkpoint *to;
	ZSTD_CCtx *zstd;
	uint8_t *out;
	size_t out_cap;
	uint64_t len;
};

static int writer_put(struct writer *w, const uint8_t *p, size_t len, ZSTD_EndDirective end)
{
	ZSTD_inBuffer in = {p, len, 0};
	size_t left;

	do {
		ZSTD_outBuffer out = {w->out, w->out_cap, 0};
		int err;

		left = ZSTD_compressStream2(w->zstd, &out, &in, end);
		if (ZSTD_isError(left))
			return -EIO;
		err = out.pos ? raid_checkpoint_write(w->to, out.dst, out.pos) : 0;
		if (err)
			return err;
		w->len += out.pos;
	} while (end == ZSTD_e_end ? left != 0 : in.pos < in.size);
	return 0;
}

static int checkpoint_records(struct writer *w, struct index_txn *t)
{
	struct key first = {.len = 1};
	struct index_cursor *cur = NULL;
	struct record_buf buf = {0};
	struct index_val k, v;
	int err = index_cursor_open(t, &cur);

	if (err)
		return err;
	for (err = index_seek(cur, &first, &k, &v); !err; err = index_next(cur, &k, &v)) {
		err = record_put(&buf, k.p, k.len, v.p, v.len);
		if (!err && buf.len >= PIECE_LEN) {
			err = writer_put(w, buf.p, buf.len, ZSTD_e_continue);
			buf.len = 0;
		}
		if (err)
			break;
	}
	err = err == -ENOENT ? writer_put(w, buf.p, buf.len, ZSTD_e_end) : err;
	index_cursor_close(cur);
	record_buf_free(&buf);
	return err;
}

int checkpoint_write(struct fs *fs, struct index_txn *snapshot, uint64_t seq, uint64_t *len)
{
	struct writer w = {.zstd = ZSTD_createCCtx(), .out_cap = ZSTD_CStreamOutSize()};
	AUTO_FREE uint8_t *out = malloc(w.out_cap);
	int err = w.zstd && out ? 0 : -ENOMEM;

	w.out = out;
	if (!err)
		ZSTD_CCtx_setParameter(w.zstd, ZSTD_c_compressionLevel, IMAGE_LEVEL);
	if (!err)
		err = raid_checkpoint_begin(fs->raid, seq, &w.to);
	if (!err) {
		err = checkpoint_records(&w, snapshot);
		if (err)
			raid_checkpoint_abort(w.to);
		else
			err = raid_checkpoint_commit(w.to);
	}
	index_read_end(snapshot);
	ZSTD_freeCCtx(w.zstd);
	if (!err)
		*len = w.len;
	return err;
}

struct checkpoint_loader {
	struct index *index;
	ZSTD_DCtx *zstd;
	size_t left; /* ZSTD_decompressStream()'s last answer: 0 at the end of the stream */
	struct record_buf buf;
};

int checkpoint_loader_new(struct index *x, struct checkpoint_loader **out)
{
	struct checkpoint_loader *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->index = x;
	l->left = 1;
	l->zstd = ZSTD_createDCtx();
	if (!l->zstd) {
		free(l);
		return -ENOMEM;
	}
	/* A larger window than our writer's is no image of ours, and memory for the asking. */
	ZSTD_DCtx_setParameter(l->zstd, ZSTD_d_windowLogMax, 27);
	*out = l;
	return 0;
}

/* Hand all whole records to the index. */
static int loader_flush(struct checkpoint_loader *l)
{
	struct index_txn *t;
	size_t whole = 0, n;
	int err;

	for (;;) {
		err = record_len(l->buf.p + whole, l->buf.len - whole, &n);
		if (err)
			return err;
		if (!n)
			break;
		whole += n;
	}
	if (!whole)
		return 0;
	err = index_begin(l->index, &t);
	if (err)
		return err;
	err = index_load(t, l->buf.p, whole);
	if (err)
		index_abort(t);
	else
		err = index_commit(t, NULL);
	memmove(l->buf.p, l->buf.p + whole, l->buf.len - whole);
	l->buf.len -= whole;
	return err;
}

int checkpoint_loader_feed(void *loader, const uint8_t *data, size_t len)
{
	struct checkpoint_loader *l = loader;
	ZSTD_inBuffer in = {data, len, 0};
	uint8_t piece[64 * KIB];

	while (in.pos < in.size) {
		ZSTD_outBuffer out = {piece, sizeof(piece), 0};
		int err;

		/* Bytes behind the end of the stream. */
		if (!l->left)
			return -EBADMSG;
		l->left = ZSTD_decompressStream(l->zstd, &out, &in);
		if (ZSTD_isError(l->left))
			return -EBADMSG;
		err = record_buf_append(&l->buf, piece, out.pos);
		if (!err && l->buf.len >= PIECE_LEN)
			err = loader_flush(l);
		if (err)
			return err;
	}
	return 0;
}

static int loader_drain(struct checkpoint_loader *l)
{
	ZSTD_inBuffer in = {NULL, 0, 0};
	uint8_t piece[64 * KIB];

	/* What the decoder still holds back for want of room in the last piece. */
	while (l->left) {
		ZSTD_outBuffer out = {piece, sizeof(piece), 0};

		l->left = ZSTD_decompressStream(l->zstd, &out, &in);
		if (ZSTD_isError(l->left) || (l->left && !out.pos))
			return -EBADMSG;
		if (record_buf_append(&l->buf, piece, out.pos))
			return -ENOMEM;
	}
	return 0;
}

int checkpoint_loader_end(struct checkpoint_loader *l)
{
	int err = loader_drain(l);

	if (!err)
		err = loader_flush(l);
	if (!err && l->buf.len)
		err = -EBADMSG;
	ZSTD_freeDCtx(l->zstd);
	record_buf_free(&l->buf);
	free(l);
	return err;
}

int checkpoint_load(struct raid *r, struct index *x, uint64_t *seq)
{
	struct checkpoint_loader *l;
	int end, err = checkpoint_loader_new(x, &l);

	if (err)
		return err;
	err = raid_checkpoint_read(r, seq, checkpoint_loader_feed, l);
	if (err) {
		/* Nothing was read, or it failed: how the loader ends says nothing more. */
		checkpoint_loader_end(l);
		return err;
	}
	end = checkpoint_loader_end(l);
	if (end)
		log_error("checkpoint: the image is damaged; run matfsctl fsck");
	return end;
}
