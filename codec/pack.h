/* The bytes of an extent into frames, by a choice that has been made, and the head before them.
 * Threads: any, each with a struct pack_work of its own. */
#ifndef CODEC_PACK_H
#define CODEC_PACK_H

#include "codec/block.h"
#include "codec/choose.h"
#include "codec/codec.h"

#define PACK_PAGE 4096u
#define PACK_TILE (CODEC_TILE_LEN + 8u)

/* What packing needs besides the payload; any bytes may be in it. */
struct pack_work {
	struct block_work block;
	uint8_t filtered[PACK_TILE + PACK_PAGE];
	uint8_t other[2 * CODEC_TILE_LEN]; /* a plane's frame, at levels that try both encoders */
};

/* One extent in frames. The caller fills @j to @dst, all else is zero. */
struct packing {
	const struct codec_job *j;
	struct pack_work *w;
	struct choice c;
	uint8_t *dst; /* pack_room() bytes */
	size_t len;
	uint32_t tile_len[CODEC_TILES_MAX];
	uint32_t tile_sum[CODEC_TILES_MAX];
	bool matches; /* libzstd made some plane */
};

/* Bytes that packing @raw_len bytes may write. */
size_t pack_room(size_t raw_len);

/* Whether a filter changes anything. */
static inline bool pack_filters(const struct filter *f)
{
	return f->width > 1 || f->id != FILTER_NONE;
}

/* Pack, and stop when it has become longer than @limit: then p->len says so. Returns 0 or -ENOMEM. */
int pack_extent(struct packing *p, size_t limit);

/* The job's results: its bytes as they are, or the one that all are; or what @p has. */
void pack_finish_plain(struct codec_job *j, enum codec_kind kind, enum codec_why why);
void pack_finish(struct codec_job *j, const struct packing *p, enum codec_encoder by,
		 enum codec_why why);

#endif
