/* The way that every extent goes through the codec, and what must hold of it on the way. */
#ifndef MATFS_TESTS_EXTENT_CHECK_H
#define MATFS_TESTS_EXTENT_CHECK_H

#include <zstd.h>

#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/probe.h"
#include "tests/codec/codec_test.h"

/* Encode @j, whose first fields are filled but for scratch, and return the container in a buffer of
 * exactly its length. The payload then points there. */
static inline struct guarded extent_encode(struct codec_job *j)
{
	struct guarded scratch = guarded_new(codec_scratch_len(j->raw_len), GUARD_ABOVE);
	struct guarded enc;

	j->scratch = scratch.p;
	assert_int_equal(codec_encode(j), 0);
	assert_true(j->head_len >= CODEC_HEAD_LEN && j->head_len <= CODEC_HEAD_MAX);
	assert_true(j->payload_len >= 1 && j->payload_len <= j->raw_len);
	enc = guarded_new(j->head_len + j->payload_len, GUARD_ABOVE);
	memcpy(enc.p, j->head, j->head_len);
	memcpy(enc.p + j->head_len, j->payload, j->payload_len);
	j->payload = enc.p + j->head_len;
	j->scratch = NULL;
	guarded_free(&scratch);
	return enc;
}

/* What the job says agrees with itself, and with its options. */
static inline void extent_check_job(const struct codec_job *j)
{
	bool packed = j->kind == CODEC_KIND_ZSTD;

	assert_true(j->by < CODEC_BY_NR && j->why < CODEC_WHY_NR);
	assert_true(filter_ok(&j->filter));
	assert_int_equal(packed, j->by != CODEC_BY_NONE);
	assert_int_equal(packed, j->why == CODEC_WHY_NUMBERS || j->why == CODEC_WHY_MATCHES ||
					 j->why == CODEC_WHY_ASKED);
	assert_int_equal(j->kind == CODEC_KIND_FILL, j->why == CODEC_WHY_FILL);
	if (packed)
		assert_true(j->payload_len <= probe_limit(j->raw_len));
	if (j->why == CODEC_WHY_NUMBERS)
		assert_int_not_equal(j->by, CODEC_BY_ZSTD);
	if (j->why == CODEC_WHY_MATCHES || j->why == CODEC_WHY_ASKED)
		assert_int_equal(j->by, CODEC_BY_ZSTD);
	if (j->opts->mode == CODEC_NONE)
		assert_false(packed);
	if (j->opts->mode == CODEC_ZSTD && packed) {
		assert_int_equal(j->why, CODEC_WHY_ASKED);
		assert_int_equal(j->filter.width, 1);
		assert_int_equal(j->filter.id, FILTER_NONE);
	}
}

/* Each tile by itself, into a buffer of which it may touch nothing else. */
static inline void extent_check_tiles(const uint8_t *enc, size_t len, const struct codec_info *info,
				      const uint8_t *raw)
{
	struct guarded back = guarded_new(info->raw_len, GUARD_ABOVE);
	uint32_t covered = 0, from, to;

	for (unsigned i = 0; i < info->nr_tiles; i++) {
		codec_tile_range(info, i, &from, &to);
		assert_int_equal(from, covered);
		assert_true(to > from && to <= info->raw_len);
		covered = to;
		for (uint32_t off = from; off < to; off += MAX((to - from) / 3, 1u))
			assert_int_equal(codec_tile_at(info, off), i);
		assert_int_equal(codec_tile_at(info, to - 1), i);
		if (from)
			back.p[from - 1] = 0xa5;
		if (to < info->raw_len)
			back.p[to] = 0x5a;
		assert_int_equal(codec_decode_tile(enc, len, info, i, back.p), 0);
		assert_memory_equal(back.p + from, raw + from, to - from);
		if (from)
			assert_int_equal(back.p[from - 1], 0xa5);
		if (to < info->raw_len)
			assert_int_equal(back.p[to], 0x5a);
	}
	assert_int_equal(covered, info->raw_len);
	guarded_free(&back);
}

/* The payload is what the format says: zstd frames that any zstd reads, of filtered tiles. */
static inline void extent_check_format(const uint8_t *enc, size_t len, const uint8_t *raw)
{
	struct frame f;
	size_t at;

	assert_int_equal(frame_decode(enc, len, &f), 0);
	at = f.info.head_len;
	for (unsigned i = 0; f.info.kind == CODEC_KIND_ZSTD && i < f.info.nr_tiles; i++) {
		size_t from, to;
		struct guarded filtered, back;

		frame_tile_range(f.info.raw_len, f.info.phase, i, &from, &to);
		filtered = guarded_new(to - from, GUARD_ABOVE);
		back = guarded_new(to - from, GUARD_ABOVE);
		assert_int_equal(ZSTD_decompress(filtered.p, filtered.len, enc + at, f.tile_len[i]),
				 to - from);
		filter_undo(&f.info.filter, back.p, filtered.p, to - from, i ? 0 : f.info.phase);
		assert_memory_equal(back.p, raw + from, to - from);
		at += f.tile_len[i];
		guarded_free(&filtered);
		guarded_free(&back);
	}
	if (f.info.kind == CODEC_KIND_RAW)
		assert_memory_equal(enc + at, raw, f.info.raw_len);
	if (f.info.kind == CODEC_KIND_FILL)
		assert_int_equal(enc[at], raw[0]);
}

/* A whole container against the bytes that went into it. */
static inline void extent_check(const uint8_t *enc, size_t len, const uint8_t *raw, size_t raw_len)
{
	struct guarded back = guarded_new(raw_len, GUARD_ABOVE);
	struct codec_info info, early;

	assert_int_equal(codec_inspect(enc, len, &info), 0);
	assert_int_equal(info.raw_len, raw_len);
	assert_int_equal(info.head_len + info.stored_len, len);
	assert_int_equal(codec_decode(enc, len, back.p, raw_len), 0);
	assert_memory_equal(back.p, raw, raw_len);
	guarded_free(&back);
	assert_int_equal(codec_inspect(enc, MIN(len, (size_t)CODEC_HEAD_MAX), &early), 0);
	assert_int_equal(early.head_len, info.head_len);
	extent_check_tiles(enc, len, &info, raw);
	extent_check_format(enc, len, raw);
}

/* All of it: @j as for extent_encode(); the container. */
static inline struct guarded extent_through(struct codec_job *j)
{
	struct guarded enc = extent_encode(j);
	struct codec_info info;

	extent_check_job(j);
	extent_check(enc.p, enc.len, j->raw, j->raw_len);
	assert_int_equal(codec_inspect(enc.p, enc.len, &info), 0);
	assert_int_equal(info.kind, j->kind);
	assert_int_equal(info.filter.id, j->filter.id);
	assert_int_equal(info.filter.width, j->filter.width);
	assert_int_equal(info.stored_len, j->payload_len);
	return enc;
}

#endif
