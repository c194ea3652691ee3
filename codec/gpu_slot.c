/* See gpu_slot.h. Device memory of a slot, each part aligned:
 *
 *   raw, filtered, coded, out     see cuda/gpu_batch.h
 *   items, tiles, ways            one copy in
 *   cuts
 *   results, total                one copy out
 *
 * The host has the same of items, tiles, ways, results, total, and for `out`. */
#include "codec/gpu_slot.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/base.h"
#include "conf/bytes.h"

#define ALIGN	  256u
#define JOBS_MAX  1024u
#define WAYS_MAX  4096u
#define FRAME_MAX (GPU_TILE_LEN + 64u)

static_assert(GPU_JOB_TILES == GPU_TILES_MAX, "");
static_assert(GPU_RAW_MAX == GPU_TILES_MAX * GPU_TILE_LEN, "");

struct gpu_limits gpu_limits_for(size_t batch_len)
{
	struct gpu_limits lim = {.batch_len = batch_len, .jobs = JOBS_MAX, .ways = WAYS_MAX};

	lim.tiles = (uint32_t)(batch_len / GPU_TILE_LEN) + JOBS_MAX;
	lim.raw_len = batch_len + (size_t)JOBS_MAX * 2 * GPU_ALIGN;
	lim.rooms_len = batch_len + (size_t)lim.tiles * gpu_tile_room(2 * GPU_ALIGN);
	return lim;
}

/* ---- memory ---- */

static size_t items_len(const struct gpu_limits *lim)
{
	return (size_t)round_up(lim->jobs * sizeof(struct gpu_item), ALIGN);
}

static size_t tiles_len(const struct gpu_limits *lim)
{
	return (size_t)round_up(lim->tiles * sizeof(struct gpu_tile), ALIGN);
}

static size_t ways_len(const struct gpu_limits *lim)
{
	return (size_t)round_up(lim->ways * sizeof(struct gpu_way), ALIGN);
}

static size_t results_len(const struct gpu_limits *lim)
{
	return (size_t)round_up(lim->jobs * sizeof(struct gpu_result), ALIGN);
}

static size_t cuts_len(const struct gpu_limits *lim)
{
	return (size_t)round_up(lim->tiles * GPU_TILE_CUTS * sizeof(struct gpu_cut), ALIGN);
}

static size_t rooms_len(const struct gpu_limits *lim)
{
	return (size_t)round_up(lim->rooms_len, ALIGN);
}

static size_t raw_len(const struct gpu_limits *lim)
{
	return (size_t)round_up(lim->raw_len, ALIGN);
}

static size_t tables_len(const struct gpu_limits *lim)
{
	return items_len(lim) + tiles_len(lim) + ways_len(lim);
}

static size_t answers_len(const struct gpu_limits *lim)
{
	return results_len(lim) + ALIGN;
}

struct gpu_batch gpu_slot_batch(const struct gpu_slot *s)
{
	const struct gpu_limits *lim = s->lim;
	struct gpu_batch b = {
		.nr_items = s->nr_jobs, .nr_tiles = s->nr_tiles, .nr_ways = s->nr_ways};
	uint8_t *p = s->d_mem;

	b.raw = p;
	p += raw_len(lim);
	b.filtered = p;
	p += rooms_len(lim);
	b.coded = p;
	p += rooms_len(lim);
	b.out = p;
	p += rooms_len(lim);
	b.item = (struct gpu_item *)(void *)p;
	p += items_len(lim);
	b.tile = (struct gpu_tile *)(void *)p;
	p += tiles_len(lim);
	b.way = (struct gpu_way *)(void *)p;
	p += ways_len(lim);
	b.cut = (struct gpu_cut *)(void *)p;
	p += cuts_len(lim);
	b.result = (struct gpu_result *)(void *)p;
	p += results_len(lim);
	b.total = (struct gpu_total *)(void *)p;
	return b;
}

int gpu_slot_open(struct gpu_slot *s, const struct gpu_driver *drv, struct gpu_dev *dev,
		  const struct gpu_limits *lim)
{
	size_t d_len = raw_len(lim) + 3 * rooms_len(lim) + tables_len(lim) + cuts_len(lim) +
		       answers_len(lim);
	size_t h_len = tables_len(lim) + answers_len(lim) + rooms_len(lim);
	uint8_t *p;
	int err;

	*s = (struct gpu_slot){.drv = drv, .dev = dev, .lim = lim, .jobs_end = &s->jobs};
	s->span = calloc(lim->jobs, sizeof(*s->span));
	if (!s->span)
		return -ENOMEM;
	err = drv->alloc(dev, GPU_DEVICE, d_len, (void **)&s->d_mem);
	if (!err)
		err = drv->alloc(dev, GPU_PINNED, h_len, (void **)&s->h_mem);
	if (!err)
		err = drv->stream_open(dev, &s->stream);
	if (err)
		return err;
	p = s->h_mem;
	s->item = (struct gpu_item *)(void *)p;
	p += items_len(lim);
	s->tile = (struct gpu_tile *)(void *)p;
	p += tiles_len(lim);
	s->way = (struct gpu_way *)(void *)p;
	p += ways_len(lim);
	s->result = (struct gpu_result *)(void *)p;
	p += results_len(lim);
	s->total = (struct gpu_total *)(void *)p;
	p += ALIGN;
	s->h_out = p;
	return 0;
}

void gpu_slot_close(struct gpu_slot *s, bool lost)
{
	free(s->span);
	if (!lost && s->dev) {
		if (s->stream)
			s->drv->stream_close(s->stream);
		if (s->h_bounce)
			s->drv->free(s->dev, GPU_PINNED, s->h_bounce);
		if (s->h_mem)
			s->drv->free(s->dev, GPU_PINNED, s->h_mem);
		if (s->d_mem)
			s->drv->free(s->dev, GPU_DEVICE, s->d_mem);
	}
	*s = (struct gpu_slot){.jobs_end = &s->jobs};
}

void gpu_slot_want_bounce(struct gpu_slot *s)
{
	if (s->h_bounce || s->no_bounce)
		return;
	s->no_bounce =
		s->drv->alloc(s->dev, GPU_PINNED, raw_len(s->lim), (void **)&s->h_bounce) != 0;
	if (s->no_bounce)
		s->h_bounce = NULL;
}

/* ---- in ---- */

/* The bytes of a job. */
static void add_span(struct gpu_slot *s, const struct gpu_job *j, size_t at)
{
	struct gpu_span *span = &s->span[s->nr_spans];

	if (j->pinned || !s->h_bounce) {
		*span = (struct gpu_span){j->raw, at, j->raw_len};
		s->nr_spans++;
		return;
	}
	memcpy(s->h_bounce + at, j->raw, j->raw_len);
	/* One copy with those before, over the gap, which is the buffer's, too. */
	if (s->nr_spans && span[-1].src == s->h_bounce + span[-1].at) {
		span[-1].len = at + j->raw_len - span[-1].at;
		return;
	}
	*span = (struct gpu_span){s->h_bounce + at, at, j->raw_len};
	s->nr_spans++;
}

static void add_tiles(struct gpu_slot *s, uint32_t idx, uint32_t len, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		/* The first may be 7 longer, the others then come as much later. */
		uint32_t left = MIN(len - i * GPU_TILE_LEN, GPU_TILE_LEN + 8);

		s->tile[s->nr_tiles++] = (struct gpu_tile){idx, i, s->rooms_at};
		s->rooms_at += gpu_tile_room(left);
	}
}

bool gpu_slot_add(struct gpu_slot *s, struct gpu_job *j)
{
	const struct gpu_limits *lim = s->lim;
	uint32_t len = (uint32_t)j->raw_len, nr = gpu_tiles_max(len);
	size_t at = (size_t)round_up(s->raw_at, GPU_ALIGN) + (0 - j->phase) % GPU_ALIGN;
	struct gpu_item *item = &s->item[s->nr_jobs];

	if (s->nr_jobs == lim->jobs || s->nr_tiles + nr > lim->tiles ||
	    s->nr_ways + j->nr_tries > lim->ways || at + len > lim->raw_len ||
	    s->rooms_at + len + (size_t)nr * gpu_tile_room(8 + GPU_ALIGN) > lim->rooms_len)
		return false;
	*item = (struct gpu_item){.raw_off = at,
				  .raw_len = len,
				  .room = (uint32_t)MIN(j->dst_room, (size_t)UINT32_MAX),
				  .tile_at = s->nr_tiles,
				  .way_at = s->nr_ways,
				  .nr_ways = (uint8_t)j->nr_tries,
				  .nr_tiles = (uint8_t)nr,
				  .phase = (uint8_t)j->phase,
				  .filter = j->filter};
	add_tiles(s, s->nr_jobs, len, nr);
	for (unsigned i = 0; i < j->nr_tries; i++)
		s->way[s->nr_ways++] = (struct gpu_way){.filter = j->tries[i].filter,
							.handicap = j->tries[i].handicap,
							.item = s->nr_jobs};
	add_span(s, j, at);
	s->raw_at = at + len;
	s->len += len;
	s->nr_jobs++;
	j->next = NULL;
	*s->jobs_end = j;
	s->jobs_end = &j->next;
	s->stage = GPU_SLOT_FILLED;
	return true;
}

int gpu_slot_send(struct gpu_slot *s)
{
	const struct gpu_limits *lim = s->lim;
	const struct gpu_driver *drv = s->drv;
	struct gpu_batch b = gpu_slot_batch(s);
	int err = 0;

	assert(s->stage == GPU_SLOT_FILLED);
	for (uint32_t i = 0; i < s->nr_spans && !err; i++)
		err = drv->copy_in(s->stream, s->d_mem + s->span[i].at, s->span[i].src,
				   s->span[i].len);
	if (!err)
		err = drv->copy_in(
			s->stream, b.item, s->item,
			(s->nr_ways ? tables_len(lim) : items_len(lim) + tiles_len(lim)));
	if (!err)
		err = drv->launch(s->stream, &b);
	if (!err)
		err = drv->copy_out(s->stream, s->result, b.result, answers_len(lim));
	s->stage = GPU_SLOT_KERNELS;
	return err;
}

int gpu_slot_poll(struct gpu_slot *s)
{
	return s->drv->poll(s->stream);
}

int gpu_slot_fetch(struct gpu_slot *s)
{
	struct gpu_batch b = gpu_slot_batch(s);

	assert(s->stage == GPU_SLOT_KERNELS);
	s->stage = GPU_SLOT_BYTES;
	if (s->total->out_len > s->rooms_at)
		return -EIO;
	if (!s->total->out_len)
		return 0;
	return s->drv->copy_out(s->stream, s->h_out, b.out, (size_t)s->total->out_len);
}

/* ---- out ---- */

struct gpu_verifier *gpu_verifier_new(void)
{
	struct gpu_verifier *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->filtered = malloc(FRAME_MAX);
	v->frame = malloc(block_frame_bound(FRAME_MAX));
	if (v->filtered && v->frame)
		return v;
	gpu_verifier_free(v);
	return NULL;
}

void gpu_verifier_free(struct gpu_verifier *v)
{
	if (!v)
		return;
	free(v->filtered);
	free(v->frame);
	free(v);
}

static const struct filter *filter_of(const struct gpu_job *j, const struct gpu_result *r)
{
	return j->nr_tries ? &j->tries[r->used].filter : &j->filter;
}

/* Do the heads of a frame's blocks lead from its begin to its end? */
static bool frame_is_whole(const uint8_t *p, size_t len, uint32_t raw_len)
{
	size_t at = GPU_FRAME_HEAD;
	bool last = false;

	if (len < at || get_u32(p) != 0xfd2fb528u || p[4] != 0xa0 || get_u32(p + 5) != raw_len)
		return false;
	while (!last && len - at >= GPU_BLOCK_HEAD) {
		uint32_t head = get_u16(p + at) | (uint32_t)p[at + 2] << 16;
		uint32_t type = head >> 1 & 3, size = type == GPU_CUT_RLE ? 1 : head >> 3;

		last = head & 1;
		at += GPU_BLOCK_HEAD;
		if (type == GPU_CUT_NONE || size > len - at)
			return false;
		at += size;
	}
	return last && at == len;
}

/* Whether @r can be the result of @j. */
static bool result_is_sound(const struct gpu_slot *s, const struct gpu_job *j,
			    const struct gpu_result *r)
{
	const uint8_t *p = s->h_out + r->out_off;
	const struct filter *f;
	struct gpu_shape shape;
	uint64_t sum = 0;

	if (j->nr_tries && r->used >= j->nr_tries)
		return false;
	if (r->len > j->dst_room)
		return true;
	if (r->out_off > s->total->out_len || r->len > s->total->out_len - r->out_off)
		return false;
	f = filter_of(j, r);
	for (uint32_t i = 0; i < GPU_TILES_MAX; i++) {
		uint32_t len = r->tile_len[i];

		if (!gpu_shape_of((uint32_t)j->raw_len, j->phase, f->width, i, &shape)) {
			if (len)
				return false;
			continue;
		}
		if (len > r->len - sum || !frame_is_whole(p + sum, len, shape.len))
			return false;
		sum += len;
	}
	return sum == r->len;
}

/* Whether the bytes are those of the CPU's encoder. */
static bool same_as_cpu(const struct gpu_slot *s, struct gpu_verifier *v, const struct gpu_job *j,
			const struct gpu_result *r)
{
	const uint8_t *p = s->h_out + r->out_off;
	const struct filter *f = filter_of(j, r);
	struct gpu_shape shape;

	for (uint32_t i = 0; gpu_shape_of((uint32_t)j->raw_len, j->phase, f->width, i, &shape);
	     i++) {
		unsigned phase = i ? 0 : j->phase & (f->width - 1u);
		size_t len;

		filter_apply(f, v->filtered, j->raw + shape.from, shape.len, phase);
		len = block_frame(v->filtered, shape.len, phase, f->width, v->frame, &v->work);
		if (len != r->tile_len[i] || memcmp(p, v->frame, len) != 0)
			return false;
		p += len;
	}
	return true;
}

static void hand_out(const struct gpu_slot *s, struct gpu_job *j, const struct gpu_result *r)
{
	j->used = *filter_of(j, r);
	j->payload_len = r->len;
	memcpy(j->tile_len, r->tile_len, sizeof(j->tile_len));
	j->err = r->len > j->dst_room ? -ENOSPC : 0;
	if (!j->err)
		memcpy(j->dst, s->h_out + r->out_off, r->len);
}

int gpu_slot_finish(struct gpu_slot *s, struct gpu_verifier *v, unsigned every, uint64_t *count,
		    uint64_t *verified)
{
	const struct gpu_result *r = s->result;

	assert(s->stage == GPU_SLOT_HERE);
	for (struct gpu_job *j = s->jobs; j; j = j->next, r++) {
		if (!result_is_sound(s, j, r))
			return -EIO;
		/* What did not fit is not there to compare. */
		if ((*count)++ % every || r->len > j->dst_room)
			continue;
		++*verified;
		if (!same_as_cpu(s, v, j, r))
			return -EBADMSG;
	}
	r = s->result;
	s->stored = 0;
	for (struct gpu_job *j = s->jobs; j; j = j->next, r++) {
		hand_out(s, j, r);
		s->stored += j->err ? j->raw_len : r->len;
	}
	return 0;
}

void gpu_slot_reset(struct gpu_slot *s)
{
	assert(!s->jobs);
	s->stage = GPU_SLOT_FREE;
	s->nr_jobs = s->nr_tiles = s->nr_ways = s->nr_spans = 0;
	s->raw_at = s->rooms_at = s->len = 0;
}
