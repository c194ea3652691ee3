/* Tile by tile: filtered, then in one frame by block.c, or a frame for each plane where libzstd makes
 * some of them. */
#include "codec/pack.h"

#include <string.h>

#include "codec/codec_zstd.h"
#include "codec/frame.h"
#include "conf/base.h"

/* A tile's frames take at most this. libzstd's allowance for short input is 64 bytes, and no frame's
 * head and blocks are as long: 128 for each plane. */
static size_t tile_bound(void)
{
	return MAX(block_frame_bound(PACK_TILE), codec_zstd_bound(PACK_TILE) + (size_t)8 * 128);
}

size_t pack_room(size_t raw_len)
{
	/* Packing stops when it has become longer than the raw bytes, at most one tile later. */
	return round_up(raw_len + tile_bound(), 64);
}

/* What copies of bytes that do not compress are done with, memcpy, falls from 40 GB/s to 3 on some
 * processors (measured: AMD Zen, glibc 2.36) where the target is a few bytes ahead of the source,
 * modulo a page. As plane follows plane and frame follows frame, they would be just that. So a
 * filtered tile begins half a page away from where it goes. */
static uint8_t *half_page_off(uint8_t *p, const uint8_t *src)
{
	return p + (((uintptr_t)src + PACK_PAGE / 2 - (uintptr_t)p) & (PACK_PAGE - 1));
}

/* A plane, by who makes it shorter where there is time for both. */
static int pack_plane(struct packing *p, const uint8_t *bytes, size_t len, bool matches,
		      uint8_t *dst, size_t room, size_t *got)
{
	bool both = p->j->opts->level > CODEC_LEVEL_MIN && p->j->opts->mode != CODEC_ZSTD;
	size_t own = SIZE_MAX, by = SIZE_MAX;
	int err = 0;

	if (both || !matches)
		own = block_frame(bytes, len, 0, 1, dst, &p->w->block);
	if (both || matches) {
		uint8_t *to = both ? p->w->other : dst;

		err = codec_zstd_pack(p->j->opts->level, bytes, len, to, room, &by);
		if (!err && both && by < own)
			memcpy(dst, to, by);
	}
	p->matches |= by < own;
	*got = MIN(own, by);
	return err;
}

/* Plane by plane. What stands before the first item goes with the first plane, what stands after the
 * last with the last. */
static int pack_planes(struct packing *p, const uint8_t *bytes, size_t len, unsigned phase,
		       size_t *got)
{
	unsigned width = p->c.filter.width;
	size_t nr = len > phase ? (len - phase) / width : 0, at = 0, done = 0;

	for (unsigned b = 0; b < width; b++) {
		size_t end = b == width - 1 ? len : nr ? phase + (b + 1) * nr : 0, n;
		int err;

		if (end <= at)
			continue;
		err = pack_plane(p, bytes + at, end - at, p->c.matches >> b & 1,
				 p->dst + p->len + done, tile_bound() - done, &n);
		if (err)
			return err;
		done += n;
		at = end;
	}
	*got = done;
	return 0;
}

static int pack_tile(struct packing *p, const uint8_t *raw, size_t len, unsigned phase, size_t *got)
{
	uint8_t *dst = p->dst + p->len;
	const uint8_t *bytes = raw;

	if (pack_filters(&p->c.filter)) {
		uint8_t *filtered = half_page_off(p->w->filtered, dst);

		filter_apply(&p->c.filter, filtered, raw, len, phase);
		bytes = filtered;
	}
	if (p->c.matches || p->j->opts->level > CODEC_LEVEL_MIN)
		return pack_planes(p, bytes, len, phase, got);
	*got = block_frame(bytes, len, phase, p->c.filter.width, dst, &p->w->block);
	return 0;
}

int pack_extent(struct packing *p, size_t limit)
{
	const struct codec_job *j = p->j;
	unsigned nr = frame_tiles(j->raw_len, p->c.phase);

	for (unsigned i = 0; i < nr && p->len <= limit; i++) {
		size_t from, to, got;
		int err;

		frame_tile_range(j->raw_len, p->c.phase, i, &from, &to);
		p->tile_sum[i] = frame_sum(j->raw + from, to - from);
		err = pack_tile(p, j->raw + from, to - from, i ? 0 : p->c.phase, &got);
		if (err)
			return err;
		p->tile_len[i] = (uint32_t)got;
		p->len += got;
	}
	return 0;
}

/* ---- the head ---- */

void pack_finish_plain(struct codec_job *j, enum codec_kind kind, enum codec_why why)
{
	struct frame f = {.info = {.kind = kind, .filter = {.width = 1}}};

	f.info.raw_len = (uint32_t)j->raw_len;
	f.info.stored_len = kind == CODEC_KIND_FILL ? 1 : f.info.raw_len;
	f.info.nr_tiles = kind == CODEC_KIND_FILL ? 1 : frame_tiles(j->raw_len, 0);
	f.tile_sum[0] = kind == CODEC_KIND_FILL ? frame_sum(j->raw, j->raw_len) : 0;
	for (unsigned i = 0; kind == CODEC_KIND_RAW && i < f.info.nr_tiles; i++) {
		size_t from, to;

		frame_tile_range(j->raw_len, 0, i, &from, &to);
		f.tile_len[i] = (uint32_t)(to - from);
		f.tile_sum[i] = frame_sum(j->raw + from, to - from);
	}
	frame_encode(&f, j->head);
	j->head_len = f.info.head_len;
	j->payload = j->raw;
	j->payload_len = f.info.stored_len;
	j->kind = kind;
	j->by = CODEC_BY_NONE;
	j->why = why;
	j->filter = f.info.filter;
}

void pack_finish(struct codec_job *j, const struct packing *p, enum codec_encoder by,
		 enum codec_why why)
{
	struct frame f = {.info = {.kind = CODEC_KIND_ZSTD}};

	f.info.filter = p->c.filter;
	f.info.phase = p->c.phase;
	f.info.raw_len = (uint32_t)j->raw_len;
	f.info.stored_len = (uint32_t)p->len;
	f.info.nr_tiles = frame_tiles(j->raw_len, p->c.phase);
	memcpy(f.tile_len, p->tile_len, sizeof(f.tile_len));
	memcpy(f.tile_sum, p->tile_sum, sizeof(f.tile_sum));
	frame_encode(&f, j->head);
	j->head_len = f.info.head_len;
	j->payload = p->dst;
	j->payload_len = p->len;
	j->kind = CODEC_KIND_ZSTD;
	j->by = by;
	j->why = why;
	j->filter = p->c.filter;
}
