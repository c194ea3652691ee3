/* What host and device know in common: a batch of extents in the device's memory, and how it is cut.
 *
 * An extent is cut into tiles as its container says (frame.c), a tile into blocks as its zstd frame
 * is (block.h). Each tile has a room of gpu_tile_room() bytes at the same offset of three buffers:
 *
 *   filtered  the planes, as filter.h has them, but each plane begins at a multiple of
 *             gpu_tile_stride()
 *   coded     the content of each compressed block, at the offset of its block in `filtered`
 *   out       while blocks are encoded: their sequences, at the same offset; then, the finished
 *             frames of all extents of the batch, one behind the other
 *
 * C and CUDA C++. */
#ifndef CODEC_CUDA_GPU_BATCH_H
#define CODEC_CUDA_GPU_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/block.h"
#include "codec/filter.h"

#ifdef __CUDACC__
#define GPU_BOTH static inline __host__ __device__
#else
#define GPU_BOTH static inline
#endif

#define GPU_TILE_LEN   (128u << 10) /* CODEC_TILE_LEN */
#define GPU_BLOCK_LEN  BLOCK_RAW_MAX
#define GPU_TILES_MAX  32u /* CODEC_TILES_MAX */
#define GPU_TILE_CUTS  8u  /* most blocks of a tile */
#define GPU_FRAME_HEAD 9u  /* bytes before the first block of a frame */
#define GPU_BLOCK_HEAD 3u
#define GPU_ALIGN      16u /* of rooms, planes and frames: what a thread reads at a time */

/* An extent. */
struct gpu_item {
	uint64_t raw_off; /* in `raw`; the first item is at a multiple of its width */
	uint32_t raw_len;
	uint32_t room;	  /* most bytes that the caller takes */
	uint32_t tile_at; /* in `tile` */
	uint32_t way_at;  /* in `way` */
	uint8_t nr_ways;  /* 0: the filter is given, else it is to be chosen from these */
	uint8_t used;	  /* which */
	uint8_t nr_tiles; /* the most there can be, whatever the phase */
	uint8_t phase; /* bytes before the first item, for the widest items that come into question */
	struct filter filter;
};

/* A filter to choose from. */
struct gpu_way {
	struct filter filter;
	uint32_t handicap; /* bytes */
	uint32_t item;	   /* whose */
	uint32_t cost;	   /* what comes out */
};

struct gpu_tile {
	uint32_t item; /* which extent */
	uint32_t idx;  /* which of its tiles */
	uint64_t off;  /* of its room */
};

enum gpu_cut_type { GPU_CUT_RAW, GPU_CUT_RLE, GPU_CUT_CODED, GPU_CUT_NONE };

/* A block, encoded. */
struct gpu_cut {
	uint32_t type; /* the first three are zstd's */
	uint32_t
		len; /* of its content: of the bytes in `filtered`, or in `coded`; RLE: of the run */
	uint32_t at; /* from the begin of the extent's frames, where it goes */
};

/* What became of an extent. */
struct gpu_result {
	uint64_t out_off; /* of its frames in `out` */
	uint32_t len;	  /* of them; more than its room: they are not there */
	uint32_t tile_len[GPU_TILES_MAX];
	uint32_t used; /* which of the ways */
};

/* Of a batch. */
struct gpu_total {
	uint64_t out_len; /* bytes used of `out` */
};

/* All pointers are the device's. */
struct gpu_batch {
	const uint8_t *raw;
	uint8_t *filtered, *coded, *out;
	struct gpu_item *item;
	const struct gpu_tile *tile;
	struct gpu_cut *cut; /* GPU_TILE_CUTS for each tile */
	struct gpu_result *result;
	struct gpu_total *total;
	struct gpu_way *way;
	uint32_t nr_items, nr_tiles, nr_ways;
};

GPU_BOTH uint32_t gpu_round(uint32_t n)
{
	return (n + GPU_ALIGN - 1) & ~(GPU_ALIGN - 1);
}

/* Tiles of an extent, at the most. */
GPU_BOTH uint32_t gpu_tiles_max(uint32_t raw_len)
{
	return (raw_len + GPU_TILE_LEN - 1) / GPU_TILE_LEN;
}

/* Room for any tile of at most @len bytes of raw data: eight planes with odd ends, rounded up, or
 * the frame when nothing shrinks. */
GPU_BOTH uint32_t gpu_tile_room(uint32_t len)
{
	return gpu_round(len) + 256;
}

/* A tile, given the filter. */
struct gpu_shape {
	uint32_t from, len; /* raw bytes of the extent that it covers */
	uint32_t phase;	    /* of them before the first item */
	uint32_t nr;	    /* items */
	uint32_t width, tail;
	uint32_t stride; /* from plane to plane in `filtered` */
};

/* False: the extent has no tile @idx. */
GPU_BOTH bool gpu_shape_of(uint32_t raw_len, uint32_t phase_max, uint32_t width, uint32_t idx,
			   struct gpu_shape *s)
{
	uint32_t phase = phase_max & (width - 1);
	uint32_t from = idx ? phase + idx * GPU_TILE_LEN : 0;
	uint32_t to = phase + (idx + 1) * GPU_TILE_LEN;

	if (from >= raw_len)
		return false;
	s->from = from;
	s->len = (to < raw_len ? to : raw_len) - from;
	s->phase = idx ? 0 : phase;
	s->nr = s->len > s->phase ? (s->len - s->phase) / width : 0;
	s->width = width;
	if (s->nr) {
		s->tail = s->len - s->phase - s->nr * width;
	} else {
		/* One piece, whatever it is made of. */
		s->phase = s->len;
		s->tail = 0;
	}
	s->stride = gpu_round(s->nr + 14);
	return true;
}

/* A block of a tile. */
struct gpu_piece {
	uint32_t off; /* from the begin of the tile's room */
	uint32_t len;
	bool last;
};

/* False: the tile has no block @idx. */
GPU_BOTH bool gpu_piece_of(const struct gpu_shape *s, uint32_t idx, struct gpu_piece *p)
{
	uint32_t planes = s->nr ? s->width : 1;

	for (uint32_t b = 0; b < planes; b++) {
		uint32_t len = s->nr + (b ? 0 : s->phase) + (b + 1 == planes ? s->tail : 0);
		uint32_t blocks = (len + GPU_BLOCK_LEN - 1) / GPU_BLOCK_LEN;

		if (idx < blocks) {
			uint32_t at = idx * GPU_BLOCK_LEN;

			p->off = b * s->stride + at;
			p->len = len - at < GPU_BLOCK_LEN ? len - at : GPU_BLOCK_LEN;
			p->last = b + 1 == planes && idx + 1 == blocks;
			return true;
		}
		idx -= blocks;
	}
	return false;
}

#endif
