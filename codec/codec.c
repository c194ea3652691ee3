/* Encode an extent: choose.c says how, pack.c does it.
 *
 * At the lowest level the first choice is taken. Above, the best few filters are each tried on the
 * whole extent, and of each plane the shorter of block.c's and libzstd's frames is kept; the shortest
 * extent wins. What comes out longer than probe_limit() is stored raw after all. */
#include "codec/codec.h"

#include <errno.h>

#include "codec/choose.h"
#include "codec/codec_file.h"
#include "codec/codec_gpu.h"
#include "codec/codec_zstd.h"
#include "codec/pack.h"
#include "codec/probe.h"
#include "conf/base.h"

/* Less than this is not looked at: what a frame adds is most of what it could save. */
#define SHORT_LEN 64u

/* Filters that higher levels try on the whole extent. */
#define TRIES_MAX 6u

const char *const codec_encoder_name[CODEC_BY_NR] = {
	[CODEC_BY_NONE] = "none",
	[CODEC_BY_CPU] = "cpu",
	[CODEC_BY_GPU] = "gpu",
	[CODEC_BY_ZSTD] = "zstd",
};

const char *const codec_why_name[CODEC_WHY_NR] = {
	[CODEC_WHY_FILL] = "fill",	 [CODEC_WHY_MODE] = "mode",
	[CODEC_WHY_SHORT] = "short",	 [CODEC_WHY_DULL] = "dull",
	[CODEC_WHY_NOISE] = "noise",	 [CODEC_WHY_GAIN] = "gain",
	[CODEC_WHY_NUMBERS] = "numbers", [CODEC_WHY_MATCHES] = "matches",
	[CODEC_WHY_ASKED] = "asked",
};

size_t codec_scratch_len(size_t raw_len)
{
	/* Two payloads: the best one so far and the one that is being made. */
	return 2 * pack_room(raw_len);
}

/* Keep in @best what @c makes of the extent, if that is shorter. The scratch has room for two. */
static int try_choice(struct codec_job *j, struct pack_work *w, const struct choice *c,
		      struct packing *best)
{
	size_t room = pack_room(j->raw_len);
	struct packing p = {.j = j, .w = w, .c = *c};
	int err;

	p.dst = best->dst == j->scratch ? j->scratch + room : j->scratch;
	err = pack_extent(&p, MIN(best->len, probe_limit(j->raw_len)));
	if (!err && p.len < best->len)
		*best = p;
	return err;
}

/* libzstd's middle levels are longer than its first on some kinds of planes, by up to an eighth: that one is tried, too. */
static int pack_fast(struct codec_job *j, struct pack_work *w, const struct choice *c,
		     struct packing *best)
{
	const struct codec_opts *asked = j->opts, fast = {asked->mode, CODEC_LEVEL_MIN};
	int err;

	j->opts = &fast;
	err = try_choice(j, w, c, best);
	j->opts = asked;
	return err;
}

/* The shortest of the choices that are worth a try; one at the lowest level. Above it the plain bytes
 * are among them: what a slow search for repetition finds there, the choice cannot foresee. */
static int pack_best(struct codec_job *j, struct pack_work *w, const struct choices *c,
		     struct packing *best)
{
	static const struct choice plain = {.filter = {.width = 1}};
	bool slow = j->opts->level > CODEC_LEVEL_MIN;
	unsigned tries = slow ? 1 + (unsigned)j->opts->level * TRIES_MAX / CODEC_LEVEL_MAX : 1;
	int err = 0;

	*best = (struct packing){.len = SIZE_MAX};
	for (unsigned i = 0; i < MIN(tries, c->nr) && !err; i++) {
		err = try_choice(j, w, &c->list[i], best);
		slow &= pack_filters(&c->list[i].filter);
	}
	if (!err && slow)
		err = try_choice(j, w, &plain, best);
	if (!err && j->opts->level > CODEC_LEVEL_MIN && c->list[0].matches)
		err = pack_fast(j, w, &c->list[0], best);
	return err;
}

/* This thread's memory: for packing, then for choosing. */
static struct pack_work *work_get(uint8_t **choosing)
{
	size_t len = round_up(sizeof(struct pack_work), 64);
	uint8_t *p = codec_zstd_buffer(len + choose_work_len());

	*choosing = p ? p + len : NULL;
	return (struct pack_work *)(void *)p;
}

/* What a short extent's plain bytes have to shrink by for a first try with libzstd to be worth it. */
#define ENOUGH_RATIO 5u

/* Small files are mostly text, and a search over all filters takes several times as long as packing them once: where
 * what is wanted is reached without one, it is left out. *done: it was. */
static int encode_enough(struct codec_job *j, bool *done)
{
	uint8_t *choosing;
	/* One tile: the head has no table. */
	struct packing p = {.j = j, .c = {.filter = {.width = 1}, .matches = 1}, .dst = j->scratch};
	int err;

	*done = false;
	if (j->opts->level > CODEC_LEVEL_MIN || j->enough <= CODEC_HEAD_LEN ||
	    j->raw_len > MIN(j->enough * ENOUGH_RATIO, (size_t)CODEC_TILE_LEN))
		return 0;
	if (j->raw_len <= j->enough - CODEC_HEAD_LEN) {
		pack_finish_plain(j, CODEC_KIND_RAW, CODEC_WHY_SHORT);
		*done = true;
		return 0;
	}
	p.w = work_get(&choosing);
	err = p.w ? pack_extent(&p, probe_limit(j->raw_len)) : -ENOMEM;
	if (err || p.len > MIN(j->enough - CODEC_HEAD_LEN, probe_limit(j->raw_len)))
		return err;
	pack_finish(j, &p, CODEC_BY_ZSTD, CODEC_WHY_MATCHES);
	*done = true;
	return 0;
}

static int encode_auto(struct codec_job *j)
{
	struct choices c;
	struct packing best;
	uint8_t *choosing;
	struct pack_work *w = work_get(&choosing);
	bool gain;
	int err = w ? choose(j, choosing, &c) : -ENOMEM;

	if (err)
		return err;
	if (!c.nr) {
		pack_finish_plain(j, CODEC_KIND_RAW, c.why);
		return 0;
	}
	err = pack_best(j, w, &c, &best);
	if (err)
		return err;
	gain = best.len <= probe_limit(j->raw_len);
	choose_result(j, c.recalled, best.len, gain);
	if (!gain)
		pack_finish_plain(j, CODEC_KIND_RAW, CODEC_WHY_GAIN);
	else if (best.matches)
		pack_finish(j, &best, CODEC_BY_ZSTD, CODEC_WHY_MATCHES);
	else
		pack_finish(j, &best, CODEC_BY_CPU, CODEC_WHY_NUMBERS);
	return 0;
}

static int encode_zstd(struct codec_job *j)
{
	uint8_t *choosing;
	struct packing p = {.j = j,
			    .w = work_get(&choosing),
			    .c = {.filter = {.width = 1}, .matches = 1},
			    .dst = j->scratch};
	int err = p.w ? pack_extent(&p, probe_limit(j->raw_len)) : -ENOMEM;

	if (err)
		return err;
	if (p.len > probe_limit(j->raw_len))
		pack_finish_plain(j, CODEC_KIND_RAW, CODEC_WHY_GAIN);
	else
		pack_finish(j, &p, CODEC_BY_ZSTD, CODEC_WHY_ASKED);
	return 0;
}

static int encode(struct codec_job *j)
{
	bool done;
	int err;

	codec_learn(j->file, j->file_off, j->raw, j->raw_len);
	if (probe_is_fill(j->raw, j->raw_len)) {
		pack_finish_plain(j, CODEC_KIND_FILL, CODEC_WHY_FILL);
		return 0;
	}
	if (j->opts->mode == CODEC_NONE || j->raw_len < SHORT_LEN) {
		pack_finish_plain(j, CODEC_KIND_RAW,
				  j->opts->mode == CODEC_NONE ? CODEC_WHY_MODE : CODEC_WHY_SHORT);
		return 0;
	}
	if (j->opts->mode == CODEC_ZSTD)
		return encode_zstd(j);
	err = encode_enough(j, &done);
	return err || done ? err : encode_auto(j);
}

int codec_encode(struct codec_job *j)
{
	uint64_t begun = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	int err;

	if (j->raw_len < 1 || j->raw_len > CODEC_RAW_MAX)
		return -EINVAL;
	err = encode(j);
	j->encode_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun;
	if (j->declined)
		codec_gpu_declined(j, j->encode_ns);
	return err;
}
