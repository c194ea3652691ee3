/* Choose how to store an extent.
 *
 * One tile of it is filtered in each way that might pay, and what would be stored is reckoned
 * (estimate.h). The candidates come in rounds:
 *
 *   widths    where no head tells the width: all four, each plain, as differences and as floats;
 *             else the told one, and plain bytes and twice of it for what a head does not know
 *   shapes    of the best two widths: neighbours 2, 3, 4 items away (coordinates, colours),
 *             differences of differences (smooth curves), rows (told, or found by pitch.h)
 *   matches   libzstd, on plain bytes and on each plane behind the best filter, against block.c: both
 *             encode the tile, as nothing cheaper foresees what repetition gains
 *
 * A full search takes about as long as encoding one or two extents, so the best few filters are kept
 * for the file's next extents: they are looked at again after 1 extent, 2, 4, 8, 16 and then every 32,
 * as long as the same one wins. A full search comes again when an extent takes an eighth more than
 * the one after the last search, which tells another kind of data, or a better place in the same.
 *
 * Text is not searched at all: libzstd has its plain bytes.
 *
 * Levels above the lowest search each extent in full, as there encoding takes longer still. */
#include "codec/choose.h"

#include <assert.h>
#include <string.h>

#include "codec/block.h"
#include "codec/codec_file.h"
#include "codec/codec_zstd.h"
#include "codec/estimate.h"
#include "codec/frame.h"
#include "codec/pitch.h"
#include "codec/probe.h"
#include "conf/base.h"

#define TRUST_MAX 5
#define DULL_MAX  4

/* Wider items cost decoders time, and a search is easily fooled: each doubling has to save 1 part in
 * this of the tile. */
#define WIDTH_PART 400u

/* libzstd's frames take twice as long to make and to decode: they have to save 1 part in this of a
 * plane, and of the tile. */
#define MATCHES_PART 32u

/* Where libzstd comes within 1 part in this, it is tried again at the next look. */
#define NEAR_PART 16u

/* A tile of which less than 1 part in this is gained by any width is noise. */
#define NOISE_PART 256u

/* Bytes of a tile that are asked first whether it is noise. */
#define SIGHT_LEN ((size_t)16384)

/* Differences of differences, and a distance of items, are tried up to these. */
#define ORDER_MAX 3u
#define DIST_MAX  4u

#define TILE_ROOM (CODEC_TILE_LEN + 64u)

struct search {
	const struct codec_job *j;
	const uint8_t *tile; /* begins with an item */
	size_t len;
	struct head_array array; /* width 0: none is known */
	struct choices *out;
	bool list_only; /* candidates are listed, not looked at */
	bool swap;	/* items are big-endian */
	/* work space */
	uint8_t *filtered;
	uint8_t *packed;
	uint8_t *pitch_work;
	struct block_work *block;
};

static size_t packed_room(void)
{
	return MAX(block_frame_bound(TILE_ROOM), codec_zstd_bound(TILE_ROOM) + 8 * 128);
}

size_t choose_work_len(void)
{
	return round_up(TILE_ROOM, 64) + round_up(packed_room(), 64) +
	       round_up(pitch_work_len(TILE_ROOM), 64) + round_up(sizeof(struct block_work), 64);
}

/* What the file's memory tells. */
static void recall_array(struct search *s, struct codec_notes *n)
{
	codec_file_recall(s->j->file, s->j->file_off, s->j->raw_len, &s->array, n);
	s->swap = s->array.width ? s->array.big_endian : n->nr && n->best[0].swap;
}

static void search_parts(struct search *s, uint8_t *work)
{
	s->filtered = work;
	s->packed = s->filtered + round_up(TILE_ROOM, 64);
	s->pitch_work = s->packed + round_up(packed_room(), 64);
	s->block = (struct block_work *)(void *)(s->pitch_work +
						 round_up(pitch_work_len(TILE_ROOM), 64));
}

/* Bytes of the extent before its first item of @width bytes. */
static uint8_t phase_of(const struct search *s, unsigned width)
{
	/* Where no head tells it, from offset 0 of the file on. */
	return (uint8_t)((s->array.start - s->j->file_off) & (width - 1));
}

/* A tile in the middle, as the first one of a file is seldom like the rest; and not the last of
 * several, which may be a few bytes. */
static void pick_tile(struct search *s)
{
	size_t len = s->j->raw_len, from, to;
	unsigned phase = phase_of(s, 8), nr = frame_tiles(len, phase);

	frame_tile_range(len, phase, (nr - 1) / 2, &from, &to);
	from = MAX(from, MIN((size_t)phase, len));
	s->tile = s->j->raw + from;
	s->len = to - from;
}

/* ---- candidates ---- */

static unsigned log2_of(unsigned width)
{
	return (unsigned)__builtin_ctz(width);
}

static size_t reckon(struct search *s, const struct filter *f)
{
	const uint8_t *bytes = s->tile;

	if (f->width > 1 || f->id != FILTER_NONE) {
		filter_apply(f, s->filtered, s->tile, s->len, 0);
		bytes = s->filtered;
	}
	return estimate_tile(bytes, s->len, 0, f->width) + s->len / WIDTH_PART * log2_of(f->width);
}

static bool same_filter(const struct filter *a, const struct filter *b)
{
	return a->id == b->id && a->width == b->width && a->order == b->order &&
	       a->swap == b->swap && a->bias == b->bias && a->dist == b->dist &&
	       a->pitch == b->pitch;
}

/* Try @f, and put it where it belongs in the list. */
static void try_filter(struct search *s, struct filter f)
{
	struct choices *c = s->out;
	struct choice new;
	unsigned i;

	f.swap = s->swap && f.width > 1 && f.id != FILTER_NONE;
	if (!filter_ok(&f) || c->nr == CHOICES_MAX)
		return;
	for (i = 0; i < c->nr; i++)
		if (same_filter(&c->list[i].filter, &f))
			return;
	new = (struct choice){.filter = f, .phase = phase_of(s, f.width)};
	new.cost = s->list_only ? 0 : reckon(s, &f);
	for (i = c->nr++; i > 0 && c->list[i - 1].cost > new.cost; i--)
		c->list[i] = c->list[i - 1];
	c->list[i] = new;
}

static void try_delta(struct search *s, unsigned width, unsigned dist, unsigned order)
{
	if (dist >= 1 && dist <= UINT16_MAX)
		try_filter(s, (struct filter){.id = FILTER_DELTA,
					      .width = (uint8_t)width,
					      .order = (uint8_t)order,
					      .dist = (uint16_t)dist});
}

static void try_lorenzo(struct search *s, unsigned width, unsigned dist, uint64_t pitch)
{
	if (pitch < s->len && dist <= UINT16_MAX)
		try_filter(s, (struct filter){.id = FILTER_LORENZO,
					      .width = (uint8_t)width,
					      .dist = (uint16_t)dist,
					      .pitch = (uint32_t)pitch});
}

/* The commonest exponent of a sample goes to the middle of a byte's range. */
static uint16_t float_bias(const struct search *s)
{
	uint16_t count[2048] = {0};
	unsigned most = 0;

	for (size_t i = 0; i + 8 <= s->len; i += 64) {
		const uint8_t *p = s->tile + i;
		unsigned high = s->swap ? p[0] : p[7], low = s->swap ? p[1] : p[6];
		unsigned e = (high & 0x7f) << 4 | low >> 4;

		if (++count[e] > count[most])
			most = e;
	}
	return (uint16_t)((most - 128) & 2047);
}

static void try_float(struct search *s, unsigned width)
{
	if (width > 1)
		try_filter(s, (struct filter){.id = FILTER_FLOAT,
					      .width = (uint8_t)width,
					      .bias = width == 8 ? float_bias(s) : 0});
}

/* ---- rounds ---- */

static void round_widths(struct search *s)
{
	unsigned told = s->array.width;

	for (unsigned w = 1; w <= 8; w *= 2) {
		if (told && w != told && w != 1 && w != 2 * told)
			continue;
		try_filter(s, (struct filter){.width = (uint8_t)w});
		if (told && w != told)
			continue;
		try_delta(s, w, 1, 1);
		try_float(s, w);
	}
	if (told)
		return;
	/* Colours are the bytes that gain nothing before their distance is known. */
	try_delta(s, 1, 3, 1);
	s->swap = true;
	for (unsigned w = 2; w <= 8; w *= 2)
		try_delta(s, w, 1, 1);
	s->swap = s->out->list[0].filter.swap;
}

static void try_rows(struct search *s, unsigned w, unsigned dist, uint64_t pitch)
{
	if (!pitch || pitch % w || pitch / w <= DIST_MAX)
		return;
	try_delta(s, w, (unsigned)MIN(pitch / w, (uint64_t)UINT16_MAX + 1), 1);
	try_lorenzo(s, w, dist, pitch);
}

static void round_shapes(struct search *s, unsigned w)
{
	const struct head_array *a = &s->array;
	uint32_t pitch[PITCH_NR];
	unsigned best_dist = 1, nr;
	size_t best = SIZE_MAX;

	for (unsigned dist = 1; dist <= DIST_MAX; dist++)
		try_delta(s, w, dist, 1);
	if (a->width && a->group > DIST_MAX)
		try_delta(s, w, a->group, 1);
	for (unsigned i = 0; i < s->out->nr && best == SIZE_MAX; i++) {
		const struct filter *f = &s->out->list[i].filter;

		if (f->id == FILTER_DELTA && f->width == w) {
			best = s->out->list[i].cost;
			best_dist = f->dist;
		}
	}
	for (unsigned order = 2; order <= ORDER_MAX; order++)
		try_delta(s, w, best_dist, order);
	if (a->pitch) {
		try_rows(s, w, best_dist, a->pitch);
		if (best_dist != 1)
			try_rows(s, w, 1, a->pitch);
		try_rows(s, w, best_dist, a->plane);
	} else if (!a->width || a->scattered || a->nr_dims == 1) {
		nr = pitch_find(s->tile, s->len, w, best_dist, s->pitch_work, pitch);
		for (unsigned i = 0; i < nr; i++)
			try_rows(s, w, best_dist, pitch[i]);
	}
}

/* Widths of the best two candidates that have different ones. */
static unsigned best_widths(const struct choices *c, unsigned width[2])
{
	unsigned nr = 0;

	for (unsigned i = 0; i < c->nr && nr < 2; i++)
		if (!nr || c->list[i].filter.width != width[0])
			width[nr++] = c->list[i].filter.width;
	return nr;
}

/* ---- matches ---- */

/* What both encoders make of the tile behind @f: planes that are libzstd's, and the length with each
 * plane by the better one. */
static int weigh_planes(struct search *s, const struct filter *f, uint8_t *matches, size_t *own,
			size_t *both)
{
	size_t nr = s->len / f->width;
	const uint8_t *bytes = s->tile;

	*matches = 0;
	*own = *both = s->len - nr * f->width;
	if (f->width > 1 || f->id != FILTER_NONE) {
		filter_apply(f, s->filtered, s->tile, s->len, 0);
		bytes = s->filtered;
	}
	for (unsigned b = 0; b < f->width; b++, bytes += nr) {
		size_t mine = block_frame(bytes, nr, 0, 1, s->packed, s->block), theirs;
		int err = codec_zstd_pack(CODEC_LEVEL_MIN, bytes, nr, s->packed, packed_room(),
					  &theirs);

		if (err)
			return err;
		*own += mine;
		if (theirs + mine / MATCHES_PART < mine)
			*matches |= (uint8_t)(1u << b);
		*both += theirs + mine / MATCHES_PART < mine ? theirs : mine;
	}
	return 0;
}

/* Put libzstd's ways first where they gain. The list is not empty. */
static int round_matches(struct search *s, struct codec_notes *n)
{
	static const struct filter plain = {.width = 1};
	struct choice way = s->out->list[0];
	size_t own, both, plain_own, plain_both;
	uint8_t plain_matches;
	int err = weigh_planes(s, &way.filter, &n->matches, &own, &both);

	if (!err)
		err = weigh_planes(s, &plain, &plain_matches, &plain_own, &plain_both);
	if (err)
		return err;
	if (both + own / MATCHES_PART > own) {
		n->matches = 0;
		both = own;
	}
	n->plain = plain_matches && plain_both + both / MATCHES_PART < both;
	n->near = n->matches || plain_both < both + both / NEAR_PART;
	if (n->plain) {
		way.filter = plain;
		n->matches = plain_matches;
	}
	if (!n->matches)
		return 0;
	way.matches = n->matches;
	way.cost = n->plain ? plain_both : both;
	way.phase = phase_of(s, way.filter.width);
	s->out->nr = MIN(s->out->nr, CHOICES_MAX - 1u);
	memmove(s->out->list + 1, s->out->list, s->out->nr * sizeof(way));
	s->out->list[0] = way;
	s->out->nr++;
	return 0;
}

/* ---- searches ---- */

static bool pays(const struct search *s)
{
	return s->out->nr && s->out->list[0].cost <= probe_limit(s->len);
}

/* The best of each kind: the next extents may like another one better. */
static void note_best(const struct search *s, struct codec_notes *n)
{
	unsigned kinds = 0;

	n->nr = 0;
	for (unsigned i = 0; i < s->out->nr && n->nr < NOTES_BEST; i++) {
		const struct choice *c = &s->out->list[i];

		if (c->matches || kinds & 1u << c->filter.id)
			continue;
		kinds |= 1u << c->filter.id;
		n->best[n->nr++] = c->filter;
	}
}

/* Nothing so far gains anything. Pairs and triples may still (coordinates); a head knows. */
static bool looks_like_noise(struct search *s)
{
	size_t limit = s->len - s->len / NOISE_PART;

	if (s->array.width)
		return false;
	for (unsigned w = 1; w <= 8 && s->out->list[0].cost > limit; w *= 2)
		for (unsigned dist = 2; dist <= 3; dist++)
			try_delta(s, w, dist, 1);
	return s->out->list[0].cost > limit;
}

/* The same, asked of the tile's first bytes, which costs a tenth. */
static bool noise_at_first_sight(struct search *s)
{
	size_t len = s->len;
	bool noise;

	if (s->array.width)
		return false;
	s->len = MIN(len, SIGHT_LEN);
	round_widths(s);
	noise = looks_like_noise(s);
	s->len = len;
	s->out->nr = 0;
	s->swap = false;
	return noise;
}

static void list_all(struct search *s)
{
	unsigned width[2] = {s->array.width}, nr = 1;

	if (noise_at_first_sight(s)) {
		try_filter(s, (struct filter){.width = 1});
		return;
	}
	round_widths(s);
	if (looks_like_noise(s))
		return;
	if (!s->array.width)
		nr = best_widths(s->out, width);
	for (unsigned i = 0; i < nr; i++)
		round_shapes(s, width[i]);
}

static int search_full(struct search *s, struct codec_notes *n)
{
	list_all(s);
	n->trust = 0;
	n->rate = 0;
	note_best(s, n);
	return round_matches(s, n);
}

/* The filters that were best, at another place; true when the same one still is. */
static int look_again(struct search *s, struct codec_notes *n)
{
	struct filter first = n->best[0];
	bool plain = n->plain;
	int err = 0;

	for (unsigned i = 0; i < n->nr; i++) {
		struct filter f = n->best[i];

		if (f.id == FILTER_FLOAT && f.width == 8)
			f.bias = float_bias(s);
		try_filter(s, f);
	}
	note_best(s, n);
	if (n->near)
		err = round_matches(s, n);
	if (same_filter(&first, &n->best[0]) && plain == n->plain)
		n->trust = (uint8_t)MIN(n->trust + 1, TRUST_MAX);
	else
		n->trust = 0;
	return err;
}

/* The last answer, where it is young enough. */
static bool recall(struct search *s, struct codec_notes *n)
{
	struct choice *c = &s->out->list[0];

	if (!n->nr || n->dull || s->j->opts->level > CODEC_LEVEL_MIN ||
	    n->age + 1u >= 1u << n->trust)
		return false;
	n->age++;
	*c = (struct choice){.filter = n->best[0], .matches = n->matches};
	if (n->matches && n->plain)
		c->filter = (struct filter){.width = 1};
	c->phase = phase_of(s, c->filter.width);
	s->out->nr = 1;
	s->out->recalled = true;
	return true;
}

/* What no filter makes shorter. (Where a head tells of items, they are not characters.) */
static bool text(struct search *s)
{
	if (s->array.width || s->j->opts->level > CODEC_LEVEL_MIN ||
	    !probe_is_text(s->j->raw, s->j->raw_len))
		return false;
	s->out->list[0] = (struct choice){.filter = {.width = 1}, .matches = 1};
	s->out->nr = 1;
	return true;
}

static bool dull(const struct codec_job *j, struct codec_notes *n)
{
	if (!n->skip)
		return false;
	n->skip--;
	if (j->raw_len < PROBE_GLANCE_MIN || !probe_glance(j->raw, j->raw_len))
		return true;
	n->skip = 0;
	return false;
}

/* Nothing was gained: leave the next 3 extents alone but for a glance, then 15, 63, 255. */
static void discourage(struct codec_notes *n)
{
	n->dull = (uint8_t)MIN(n->dull + 1, DULL_MAX);
	n->skip = (uint8_t)((1u << 2 * n->dull) - 1);
}

int choose(const struct codec_job *j, uint8_t *work, struct choices *out)
{
	struct search s = {.j = j, .out = out};
	struct codec_notes n;
	int err = 0;

	out->nr = 0;
	out->recalled = false;
	recall_array(&s, &n);
	if (dull(j, &n)) {
		out->why = CODEC_WHY_DULL;
	} else if (!recall(&s, &n) && !text(&s)) {
		search_parts(&s, work);
		pick_tile(&s);
		n.age = 0;
		if (n.nr && !n.dull && j->opts->level == CODEC_LEVEL_MIN)
			err = look_again(&s, &n);
		else
			err = search_full(&s, &n);
		if (!err && !pays(&s)) {
			out->nr = 0;
			out->why = CODEC_WHY_NOISE;
			discourage(&n);
		}
	}
	if (!err)
		codec_file_note(j->file, &n);
	return err;
}

void choose_result(const struct codec_job *j, bool recalled, size_t stored, bool gain)
{
	struct head_array array;
	struct codec_notes n;
	unsigned rate = (unsigned)(stored * 1024 / j->raw_len);

	codec_file_recall(j->file, j->file_off, j->raw_len, &array, &n);
	if (!gain && !recalled) {
		discourage(&n);
	} else if (!gain) {
		/* An old answer that failed is not yet a search in vain. */
		n.nr = 0;
	} else {
		n.dull = 0;
		if (!n.rate)
			n.rate = (uint16_t)rate;
		else if (rate > n.rate + n.rate / 8u)
			n.nr = 0; /* search anew */
	}
	codec_file_note(j->file, &n);
}

/* ---- for other encoders ---- */

/* What a search would try near the best that is known: looking at them costs the other encoder little. */
static void list_near(struct search *s, const struct codec_notes *n)
{
	unsigned w = n->best[0].width;

	for (unsigned i = 0; i < n->nr; i++)
		try_filter(s, n->best[i]);
	try_filter(s, (struct filter){.width = (uint8_t)w});
	try_float(s, w);
	for (unsigned dist = 1; dist <= DIST_MAX; dist++)
		for (unsigned order = 1; order <= ORDER_MAX; order++)
			try_delta(s, w, dist, order);
	for (unsigned i = 0; i < n->nr; i++)
		for (unsigned dist = 1; dist <= DIST_MAX && n->best[i].pitch; dist++)
			try_rows(s, w, dist, n->best[i].pitch);
	try_rows(s, w, 1, s->array.pitch);
}

enum choose_other choose_other(const struct codec_job *j, struct choices *out)
{
	struct search s = {.j = j, .out = out, .list_only = true};
	struct codec_notes n;
	enum choose_other how = CHOOSE_TRY;

	out->nr = 0;
	out->recalled = false;
	recall_array(&s, &n);
	out->phase = phase_of(&s, 8);
	if (!n.nr || n.dull || n.skip || n.matches || j->opts->level > CODEC_LEVEL_MIN)
		return CHOOSE_HERE;
	if (recall(&s, &n)) {
		how = CHOOSE_RECALL;
	} else {
		pick_tile(&s);
		list_near(&s, &n);
		n.age = 0;
	}
	codec_file_note(j->file, &n);
	return how;
}

void choose_tried(const struct codec_job *j, const struct filter *best)
{
	struct head_array array;
	struct codec_notes n;
	unsigned i = 0;

	codec_file_recall(j->file, j->file_off, j->raw_len, &array, &n);
	if (!n.nr)
		return;
	n.trust = same_filter(&n.best[0], best) ? (uint8_t)MIN(n.trust + 1, TRUST_MAX) : 0;
	/* It takes the place of the one of its kind, and the first one. */
	while (i < n.nr && n.best[i].id != best->id)
		i++;
	n.nr = (uint8_t)MIN(MAX((unsigned)n.nr, i + 1), NOTES_BEST);
	memmove(n.best + 1, n.best, MIN(i, NOTES_BEST - 1) * sizeof(*best));
	n.best[0] = *best;
	codec_file_note(j->file, &n);
}
