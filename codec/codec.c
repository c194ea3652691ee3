/* Choose how to store an extent, and do it.
 *
 * The choice, first that fits:
 *   all bytes equal              one byte
 *   mode none                    raw, unseen
 *   hint: nothing lately shrank  raw after a glance, for `skip` extents
 *   the file's last search       its width, for a while
 *   else                         a search (probe.h)
 * and whatever comes out longer than probe_limit() is stored raw after all.
 *
 * The planes of an extent become one zstd frame each, in order. Their statistics differ, so they
 * should share no block, and libzstd passes over those that are noise at 5 GB/s. A frame costs 9 to
 * 12 bytes. The bytes before the first item go with the first plane, those after the last one with
 * the last. */
#include "codec/codec.h"

#include <errno.h>
#include <string.h>

#include "codec/codec_zstd.h"
#include "codec/frame.h"
#include "codec/npy.h"
#include "codec/planes.h"
#include "codec/probe.h"
#include "conf/base.h"

/* A search costs up to a third of an extent's encoding. It is repeated after 1 extent, 2, 4, 8 and
 * then every 16, as long as it finds the same: the first extent of a file is not always like the
 * rest (topo_f32 of the corpus). */
#define TRUST_MAX 4

/* Extents stored with no search after one in vain: 1, 3, 7, 15, 31. Such a search takes as long as
 * storing one or two extents raw. */
#define DULL_MAX 5

/* Less than this is not looked at: what a frame adds is most of what it could save. */
#define SHORT_LEN 64u

/* How one extent is to be stored. */
struct plan {
	bool pays;
	uint8_t width;
	uint8_t phase;
};

/* The parts of the caller's scratch. */
struct scratch {
	uint8_t *planes; /* raw_len bytes */
	uint8_t *packed; /* frames of all planes, and a page */
	uint8_t *work;	 /* the search's */
};

static size_t packed_len(size_t raw_len)
{
	/* A bound of the parts is at most the bound of the whole, and what each part adds for
	 * itself: libzstd's allowance for short input is 64 bytes, and no frame's head and blocks
	 * are as long. */
	return codec_zstd_bound(raw_len) + (size_t)PLANES_MAX * 128;
}

/* libzstd copies what does not compress with memcpy, whose `rep movsb` falls from 40 GB/s to 3 on
 * some processors (measured: AMD Zen, glibc 2.36) where the target is a few bytes ahead of the
 * source, modulo a page. As plane follows plane and frame follows frame, they would be just that.
 * So the frames begin half a page away. */
#define PAGE_LEN 4096u

size_t codec_scratch_len(size_t raw_len)
{
	return round_up(raw_len, 64) + round_up(packed_len(raw_len) + PAGE_LEN, 64) +
	       probe_work_len(raw_len);
}

static uint8_t *half_page_off(uint8_t *p, const uint8_t *src)
{
	return p + (((uintptr_t)src + PAGE_LEN / 2 - (uintptr_t)p) & (PAGE_LEN - 1));
}

static struct scratch scratch_parts(uint8_t *p, size_t raw_len)
{
	uint8_t *packed = p + round_up(raw_len, 64);

	return (struct scratch){p, packed, packed + round_up(packed_len(raw_len) + PAGE_LEN, 64)};
}

/* Bytes from @file_off to the next item. */
static uint8_t phase_at(const struct codec_hint *hint, uint64_t file_off, unsigned w)
{
	return hint->told ? (uint8_t)((hint->data_off - file_off) % w) : 0;
}

/* Ask a sample, and remember the answer. */
static int search(const struct codec_opts *opts, struct codec_hint *hint, uint64_t file_off,
		  const uint8_t *raw, size_t raw_len, uint8_t *work, struct plan *plan)
{
	unsigned widths = PROBE_ALL;
	uint8_t phase = 0;
	struct probe found = {.width = 1};
	int err;

	if (opts->mode == CODEC_ZSTD) {
		widths = PROBE_WIDTH(1);
	} else if (hint->told && planes_width_ok(hint->width)) {
		/* Twice the width is for pairs: complex numbers, coordinates. */
		widths = PROBE_WIDTH(1) | PROBE_WIDTH(hint->width) | PROBE_WIDTH(hint->width * 2);
		phase = phase_at(hint, file_off, MIN(hint->width * 2, PLANES_MAX));
	}
	err = probe_search(raw, raw_len, widths, phase, work, &found);
	if (err)
		return err;
	hint->trust = found.width == hint->split ? (uint8_t)MIN(hint->trust + 1, TRUST_MAX) : 0;
	hint->age = 0;
	hint->split = found.width;
	if (found.pays && !hint->told)
		hint->width = found.width;
	*plan = (struct plan){.pays = found.pays, .width = found.width};
	plan->phase = phase & (found.width - 1u);
	return 0;
}

/* The last search's answer, where it still holds. */
static bool recall(const struct codec_opts *opts, struct codec_hint *hint, uint64_t file_off,
		   struct plan *plan)
{
	unsigned wait = 1u << MIN(hint->trust, TRUST_MAX);

	if (!planes_width_ok(hint->split) || hint->dull || hint->age + 1u >= wait)
		return false;
	if (opts->mode == CODEC_ZSTD && hint->split != 1)
		return false;
	hint->age++;
	*plan = (struct plan){.pays = true, .width = hint->split};
	plan->phase = phase_at(hint, file_off, plan->width);
	return true;
}

/* Nothing was gained: leave the next extents alone, twice as many each time. */
static void discourage(struct codec_hint *hint)
{
	hint->dull = (uint8_t)MIN(hint->dull + 1, DULL_MAX);
	hint->skip = (uint8_t)((1u << hint->dull) - 1);
}

/* Compress by plan. Returns 0, and where the frames are and their length, or -ENOMEM. */
static int pack(const struct plan *plan, int level, const uint8_t *raw, size_t raw_len,
		const struct scratch *s, const uint8_t **packed, size_t *len)
{
	size_t nr = planes_items(raw_len, plan->width, plan->phase);
	size_t room = packed_len(raw_len);
	const uint8_t *src = raw;
	uint8_t *dst;
	size_t at = 0, end = 0, got;
	int err;

	if (plan->width > 1) {
		planes_split(s->planes, raw, raw_len, plan->width, plan->phase);
		src = s->planes;
	}
	dst = half_page_off(s->packed, src);
	*packed = dst;
	*len = 0;
	for (unsigned b = 0; b < plan->width; b++, at = end) {
		bool last = b == plan->width - 1u;

		end = last ? raw_len : nr ? plan->phase + (b + 1) * nr : 0;
		if (at == end)
			continue;
		err = codec_zstd_pack(level, src + at, end - at, dst + *len, room - *len, &got);
		if (err)
			return err;
		*len += got;
	}
	return 0;
}

static void finish(struct codec_out *out, const struct codec_info *info, const uint8_t *raw,
		   const uint8_t *payload)
{
	struct frame f = {.info = *info, .raw_sum = frame_sum(raw, info->raw_len)};

	out->payload = payload;
	out->payload_len = info->stored_len;
	out->kind = info->kind;
	out->width = info->width;
	frame_encode(&f, payload, out->head);
}

/* Find the payload, and say what it is in @info, which comes in as raw. */
static int choose(const struct codec_opts *opts, struct codec_hint *hint, uint64_t file_off,
		  const uint8_t *raw, const struct scratch *s, struct codec_info *info,
		  const uint8_t **payload)
{
	size_t raw_len = info->raw_len;
	size_t len = 0;
	const uint8_t *packed = NULL;
	struct plan plan;
	bool recalled;
	int err;

	if (raw_len < SHORT_LEN)
		return 0;
	if (hint->skip) {
		hint->skip--;
		if (raw_len < PROBE_GLANCE_MIN || !probe_glance(raw, raw_len))
			return 0;
		hint->skip = 0;
	}
	recalled = recall(opts, hint, file_off, &plan);
	if (!recalled) {
		err = search(opts, hint, file_off, raw, raw_len, s->work, &plan);
		if (err)
			return err;
	}
	if (plan.pays) {
		err = pack(&plan, opts->level, raw, raw_len, s, &packed, &len);
		if (err)
			return err;
	}
	if (!plan.pays || len > probe_limit(raw_len)) {
		/* An old answer that failed is not yet a search in vain. */
		if (recalled)
			hint->trust = 0;
		else
			discourage(hint);
		return 0;
	}
	hint->dull = 0;
	info->kind = CODEC_KIND_ZSTD;
	info->width = plan.width;
	info->phase = plan.phase;
	info->stored_len = (uint32_t)len;
	*payload = packed;
	return 0;
}

int codec_encode(const struct codec_opts *opts, struct codec_hint *hint, uint64_t file_off,
		 const uint8_t *raw, size_t raw_len, uint8_t *scratch, struct codec_out *out)
{
	struct codec_hint none = {0};
	struct codec_info info = {.kind = CODEC_KIND_RAW, .width = 1};
	const uint8_t *payload = raw;
	struct scratch s;
	int err;

	if (raw_len < 1 || raw_len > CODEC_RAW_MAX)
		return -EINVAL;
	info.raw_len = info.stored_len = (uint32_t)raw_len;
	if (probe_is_fill(raw, raw_len)) {
		info.kind = CODEC_KIND_FILL;
		info.stored_len = 1;
	} else if (opts->mode != CODEC_NONE) {
		s = scratch_parts(scratch, raw_len);
		err = choose(opts, hint ? hint : &none, file_off, raw, &s, &info, &payload);
		if (err)
			return err;
	}
	finish(out, &info, raw, payload);
	return 0;
}

int codec_inspect(const uint8_t *enc, size_t len, struct codec_info *info)
{
	struct frame f;
	int err = frame_decode(enc, len, &f);

	if (!err)
		*info = f.info;
	return err;
}

static int unpack(const struct codec_info *info, const uint8_t *payload, uint8_t *raw)
{
	uint8_t *planes = raw;
	int err;

	if (info->width > 1)
		planes = codec_zstd_buffer(info->raw_len);
	if (!planes)
		return -ENOMEM;
	err = codec_zstd_unpack(payload, info->stored_len, planes, info->raw_len);
	if (!err && info->width > 1)
		planes_join(raw, planes, info->raw_len, info->width, info->phase);
	return err;
}

int codec_decode(const uint8_t *enc, size_t len, uint8_t *raw, size_t raw_len)
{
	const uint8_t *payload = enc + CODEC_HEAD_LEN;
	struct frame f;
	int err = frame_decode(enc, len, &f);

	if (err)
		return err;
	if (f.info.raw_len != raw_len)
		return -EBADMSG;
	switch (f.info.kind) {
	case CODEC_KIND_RAW:
		memcpy(raw, payload, raw_len);
		break;
	case CODEC_KIND_FILL:
		memset(raw, *payload, raw_len);
		break;
	case CODEC_KIND_ZSTD:
		err = unpack(&f.info, payload, raw);
		if (err)
			return err;
		break;
	}
	return frame_sum(raw, raw_len) == f.raw_sum ? 0 : -EBADMSG;
}

bool codec_learn(struct codec_hint *hint, const uint8_t *head, size_t len)
{
	struct npy npy;

	if (!npy_parse(head, len, &npy))
		return false;
	*hint = (struct codec_hint){.width = npy.width, .told = 1, .data_off = npy.data_off};
	return true;
}
