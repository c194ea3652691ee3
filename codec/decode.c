/* Decode an extent, whole or tile by tile. Nothing is taken for granted: heads by their checksums, then
 * by their ranges; frames by libzstd; the bytes that come out by the checksum of what went in. */
#include <errno.h>
#include <string.h>

#include "codec/codec.h"
#include "codec/codec_zstd.h"
#include "codec/frame.h"
#include "codec/pack.h"
#include "conf/base.h"

int codec_inspect(const uint8_t *enc, size_t len, struct codec_info *info)
{
	struct frame f;
	int err = frame_decode(enc, len, &f);

	if (!err)
		*info = f.info;
	return err;
}

unsigned codec_tile_at(const struct codec_info *info, uint32_t off)
{
	if (info->nr_tiles < 2 || off < info->phase)
		return 0;
	return (off - info->phase) / CODEC_TILE_LEN;
}

void codec_tile_range(const struct codec_info *info, unsigned idx, uint32_t *from, uint32_t *to)
{
	size_t a = 0, b = info->raw_len;

	if (info->nr_tiles > 1)
		frame_tile_range(info->raw_len, info->phase, idx, &a, &b);
	*from = (uint32_t)a;
	*to = (uint32_t)b;
}

static int unpack(const struct codec_info *info, const uint8_t *stored, size_t stored_len,
		  uint8_t *raw, size_t raw_len, unsigned phase)
{
	uint8_t *filtered = raw;
	int err;

	if (pack_filters(&info->filter))
		filtered = codec_zstd_buffer(raw_len);
	if (!filtered)
		return -ENOMEM;
	err = codec_zstd_unpack(stored, stored_len, filtered, raw_len);
	if (!err && filtered != raw)
		filter_undo(&info->filter, raw, filtered, raw_len, phase);
	return err;
}

int codec_tile_decode(const struct codec_info *info, const struct codec_tile *t,
		      const uint8_t *stored, uint8_t *raw)
{
	size_t len = t->to - t->from;
	int err = 0;

	switch (info->kind) {
	case CODEC_KIND_RAW:
		if (stored != raw)
			memcpy(raw, stored, len);
		break;
	case CODEC_KIND_FILL:
		memset(raw, *stored, len);
		break;
	case CODEC_KIND_ZSTD:
		err = unpack(info, stored, t->len, raw, len, t->idx ? 0 : info->phase);
		break;
	}
	if (err)
		return err;
	return frame_sum(raw, len) == t->sum ? 0 : -EBADMSG;
}

/* Tile @idx, whose stored bytes begin at @off of the container. */
static struct codec_tile tile_of(const struct frame *f, unsigned idx, size_t off)
{
	struct codec_tile t = {
		.off = (uint32_t)off,
		.len = f->tile_len[idx],
		.sum = f->tile_sum[idx],
		.idx = idx,
	};

	codec_tile_range(&f->info, idx, &t.from, &t.to);
	return t;
}

int codec_tile_find(const uint8_t *head, size_t len, uint32_t off, struct codec_info *info,
		    struct codec_tile *t)
{
	struct frame f;
	unsigned idx;
	size_t at;
	int err = frame_decode(head, len, &f);

	if (err)
		return err;
	if (off >= f.info.raw_len)
		return -EBADMSG;
	idx = codec_tile_at(&f.info, off);
	at = f.info.head_len;
	for (unsigned i = 0; i < idx; i++)
		at += f.tile_len[i];
	*info = f.info;
	*t = tile_of(&f, idx, at);
	return 0;
}

/* The head, and that the payload is all there. */
static int decode_head(const uint8_t *enc, size_t len, struct frame *f)
{
	int err = frame_decode(enc, len, f);

	if (!err && f->info.stored_len > len - f->info.head_len)
		err = -EBADMSG;
	return err;
}

int codec_decode(const uint8_t *enc, size_t len, uint8_t *raw, size_t raw_len)
{
	struct frame f;
	size_t at;
	int err = decode_head(enc, len, &f);

	if (err)
		return err;
	if (f.info.raw_len != raw_len)
		return -EBADMSG;
	at = f.info.head_len;
	for (unsigned i = 0; i < f.info.nr_tiles && !err; i++) {
		struct codec_tile t = tile_of(&f, i, at);

		err = codec_tile_decode(&f.info, &t, enc + at, raw + t.from);
		at += t.len;
	}
	return err;
}

int codec_decode_tile(const uint8_t *enc, size_t len, const struct codec_info *info, unsigned idx,
		      uint8_t *raw)
{
	struct codec_tile t;
	struct frame f;
	size_t at;
	int err = decode_head(enc, len, &f);

	if (err)
		return err;
	if (f.info.raw_len != info->raw_len || idx >= f.info.nr_tiles)
		return -EBADMSG;
	at = f.info.head_len;
	for (unsigned i = 0; i < idx; i++)
		at += f.tile_len[i];
	t = tile_of(&f, idx, at);
	return codec_tile_decode(&f.info, &t, enc + at, raw + t.from);
}
