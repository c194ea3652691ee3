/* Filters with AVX2: planes, map and differences in one pass over the tile.
 *
 * A kernel does as many blocks of items as there are in its range and says where it ended;
 * filter_plain.c does the rest. So the kernels hold no special cases, and never touch a byte
 * outside of the items they were given. Nor do their loops ask whether there is something to refer
 * to: a tile is done range by range, and within one, each term of the difference is either loaded
 * or zero for all items.
 *
 * Undoing makes running sums. Those that reach far back are loads from the output and additions.
 * Those that reach back less than a few registers are made within registers, for a load of what has
 * just been stored, by two stores, waits until both have left for the cache: at 33 to 63 bytes that
 * cost half of the speed.
 *
 * Measured on tiles of 128 KiB in the second-level cache, GB/s of apply/undo, one core of an EPYC
 * of family 26 (Zen 5), where memcpy() makes 110; DELTA is of order 1 where nothing else is said:
 *
 *                                          width 1  width 2  width 4  width 8
 *   NONE                                       110    82/81    84/80    57/76
 *   FLOAT                                             52/55    53/61    30/30
 *   DELTA over 16 bytes or less              53/14    45/14    44/16    37/17
 *   DELTA over 17 to 64 bytes             53/13-16 45/12-15 44/12-15 37/12-14
 *   DELTA over 100 bytes or more          54/19-42 45/32-49 45/29-43 37/18-36
 *   DELTA, order 2, 16 bytes or less          24/7     32/8     31/9    28/10
 *   DELTA, order 2, 17 to 64 bytes           24/11 32/10-11    31/10  28/9-10
 *   DELTA, order 2, 100 bytes or more     24/14-27 32/21-34 31/26-36 29/14-31
 *   DELTA, order 3, 16 bytes or less          24/4     29/5     29/6     25/7
 *   DELTA, order 3, 17 to 64 bytes          24/7-9   29/7-9   29/7-8   25/7-8
 *   DELTA, order 3, 100 bytes or more     25/13-27 30/22-35 30/26-33 25/13-27
 *   LORENZO, dist 1, pitch 200 or more       25/12    32/13    31/16    29/16
 *   LORENZO, dist 1, pitch 24 to 72        24/7-11  31/8-11  31/9-11  29/9-11
 *   DELTA over 1 item, filter_plain.c     12.7/2.4  5.4/3.4  6.4/4.3  4.6/3.9
 *
 * Big-endian items make 0.7 to 0.9 of that in apply, 0.7 to 1 in undo. */
#include "codec/filter_job.h"

#if defined(__x86_64__)

#include "codec/filter_vec.h"

/* Bytes that a sum may reach back and be done in registers. */
#define NEAR_MAX (2 * VEC)

/* What items refer to: bytes of the same buffer a distance before, or zeros throughout. */
struct term {
	const uint8_t *p;
	size_t step; /* to the next block's */
};

static const uint8_t zeros[BLOCK_VECS_MAX * VEC];

INLINE struct term term_at(const uint8_t *items, size_t back, bool reaches, size_t step)
{
	return reaches ? (struct term){items - back, step} : (struct term){zeros, 0};
}

struct terms {
	struct term near, far, both, all;
};

/* The first @nr_terms of those of the items at @i. */
INLINE struct terms terms_at(const struct filter_job *job, const uint8_t *items, size_t i,
			     unsigned nr_terms, unsigned w)
{
	size_t step = block_items(w) * w;

	items += i * w;
	return (struct terms){
		.near = term_at(items, job->near * w, nr_terms > 0, step),
		.far = term_at(items, job->far * w, nr_terms > 1, step),
		.both = term_at(items, (job->near + job->far) * w, nr_terms > 2, step),
		.all = term_at(items, 3 * job->near * w, nr_terms > 3, step),
	};
}

INLINE void terms_next(struct terms *t)
{
	t->near.p += t->near.step;
	t->far.p += t->far.step;
	t->both.p += t->both.step;
	t->all.p += t->all.step;
}

/* The numbers of a vector of items at @p. */
INLINE __m256i load_items(const uint8_t *p, unsigned w, bool swap)
{
	return swap ? turn(load32(p), w) : load32(p);
}

/* What a difference of order @order takes from the items a vector of which is @at bytes behind the
 * terms, and its sum adds. */
INLINE __m256i guess(const struct terms *t, size_t at, unsigned order, unsigned w, bool swap)
{
	__m256i near = load_items(t->near.p + at, w, swap);
	__m256i d;

	if (order == 1)
		return near;
	if (order == 2)
		return add(near,
			   sub(load_items(t->far.p + at, w, swap),
			       load_items(t->both.p + at, w, swap), w),
			   w);
	d = sub(near, load_items(t->both.p + at, w, swap), w);
	return add(add(d, add(d, d, w), w), load_items(t->all.p + at, w, swap), w);
}

/* Forward. @order: of the differences that there may be, 0 for none. */
INLINE size_t apply(const struct filter_job *job, unsigned nr_terms, size_t from, size_t to,
		    unsigned w, bool swap, enum filter_map map, unsigned order)
{
	const __m256i bias = _mm256_set1_epi64x((int64_t)job->bias);
	const uint8_t *x = job->src + from * w;
	uint8_t *planes = job->dst;
	size_t nr = job->nr;
	struct terms t = terms_at(job, job->src, from, nr_terms, w);
	size_t i;

	for (i = from; i + block_items(w) <= to; i += block_items(w)) {
		__m256i v[BLOCK_VECS_MAX];

		UNROLL
		for (size_t k = 0; k < block_vecs(w); k++) {
			v[k] = load_items(x + k * VEC, w, swap);
			if (map == FILTER_MAP_FLOAT)
				v[k] = float_map(v[k], bias, w);
			if (order)
				v[k] = sub(v[k], guess(&t, k * VEC, order, w, swap), w);
			if (map == FILTER_MAP_ZIGZAG)
				v[k] = zigzag(v[k], w);
		}
		split(planes + i, nr, v, w);
		x += block_items(w) * w;
		terms_next(&t);
	}
	return i;
}

/* A running sum that reaches back D bytes, D <= 16, an item at least.
 *
 * In each half of a register, bytes are added up in steps of D, 2 D, 4 D and 8 D, then the lower
 * half's sums are carried to the upper half. What comes from before the register is the same for
 * both: `carry`, which repeats every D bytes. A sum that is the only one of its kind keeps it by
 * itself, and does not make it from the last register of sums, so that one register waits for the
 * other during two instructions only. Where two or three follow on each other, these have enough
 * to do meanwhile, and two instructions less are a tenth of the speed. */
struct short_sum {
	__m256i step[4];
	__m256i cross; /* from the lower half's last D bytes to all of the upper */
	__m256i out;   /* from the upper half's last D bytes to all of the next register */
	__m256i turn;  /* of the carry: 32 is no multiple of D */
	__m256i carry;
};

/* A running sum that reaches back D bytes, 16 < D <= 64, by halves of registers: each takes from
 * two that follow on each other, among the last four. */
struct long_sum {
	__m128i from[4];
	__m128i last[4]; /* latest first */
};

INLINE unsigned nr_steps(unsigned w)
{
	return w == 1 ? 4 : w == 2 ? 3 : w == 4 ? 2 : 1;
}

/* Shuffles by this are zero where @from is not in the half. */
static uint8_t select_byte(int from)
{
	return (uint8_t)(from >= 0 && from < 16 ? from : 0x80);
}

/* @last: the four half registers of sums before the first to be made, latest first. */
AVX2 static void short_sum_init(struct short_sum *s, size_t back, const __m128i last[4])
{
	uint8_t sel[7][VEC];
	int d = (int)back;

	for (int p = 0; p < 32; p++) {
		for (int n = 0; n < 4; n++)
			sel[n][p] = select_byte(p % 16 - (d << n));
		sel[4][p] = p < 16 ? 0x80 : select_byte(16 - d + p % 16 % d);
		sel[5][p] = select_byte(16 - d + p % d);
		sel[6][p] = select_byte((32 + p % 16) % d);
	}
	for (int n = 0; n < 4; n++)
		s->step[n] = load32(sel[n]);
	s->cross = load32(sel[4]);
	s->out = load32(sel[5]);
	s->turn = load32(sel[6]);
	s->carry = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(last[0]), s->out);
}

INLINE __m256i short_sum(struct short_sum *s, __m256i v, unsigned w, bool alone)
{
	__m256i lower, upper, sums;

	UNROLL
	for (unsigned n = 0; n < nr_steps(w); n++)
		v = add(v, _mm256_shuffle_epi8(v, s->step[n]), w);
	lower = _mm256_permute4x64_epi64(v, 0x44);
	v = add(v, _mm256_shuffle_epi8(lower, s->cross), w);
	sums = add(v, s->carry, w);
	upper = _mm256_permute4x64_epi64(alone ? v : sums, 0xee);
	v = _mm256_shuffle_epi8(upper, s->out);
	s->carry = alone ? add(_mm256_shuffle_epi8(s->carry, s->turn), v, w) : v;
	return sums;
}

AVX2 static void long_sum_init(struct long_sum *s, size_t back, const __m128i last[4])
{
	uint8_t sel[16];
	int d = (int)back;

	for (int n = 0; n < 4; n++) {
		for (int p = 0; p < 16; p++)
			sel[p] = select_byte(16 * (n + 1) - d + p);
		s->from[n] = load16(sel);
		s->last[n] = last[n];
	}
}

/* How an undoing kernel makes a sum. */
enum sum {
	SUM_NONE,
	SUM_SHORT,  /* over at most 16 bytes */
	SUM_LONG,   /* over more, at most 32: these take from the last two halves */
	SUM_LONGER, /* over more, at most NEAR_MAX: these do not wait for the last half */
	SUM_LOADS,  /* over more than that, or reaching nothing */
	SUM_NR,
};

INLINE __m128i long_sum_half(struct long_sum *s, enum sum how, __m128i v, unsigned w)
{
	if (how == SUM_LONGER) {
		v = add16(v, _mm_shuffle_epi8(s->last[3], s->from[3]), w);
		v = add16(v, _mm_shuffle_epi8(s->last[2], s->from[2]), w);
	}
	v = add16(v, _mm_shuffle_epi8(s->last[1], s->from[1]), w);
	if (how == SUM_LONG)
		v = add16(v, _mm_shuffle_epi8(s->last[0], s->from[0]), w);
	s->last[3] = s->last[2];
	s->last[2] = s->last[1];
	s->last[1] = s->last[0];
	s->last[0] = v;
	return v;
}

INLINE __m256i long_sum(struct long_sum *s, enum sum how, __m256i v, unsigned w)
{
	__m128i lower = long_sum_half(s, how, _mm256_castsi256_si128(v), w);
	__m128i upper = long_sum_half(s, how, _mm256_extracti128_si256(v, 1), w);

	return _mm256_inserti128_si256(_mm256_castsi128_si256(lower), upper, 1);
}

union sum_state {
	struct short_sum s;
	struct long_sum l;
};

/* @end: the end of the items before the first to be made. */
INLINE void sum_init(union sum_state *s, enum sum how, size_t back, const uint8_t *end, unsigned w,
		     bool swap)
{
	__m128i last[4];

	for (int n = 0; n < 4; n++) {
		last[n] = load16(end - 16 * (n + 1));
		if (swap)
			last[n] = turn16(last[n], w);
	}
	if (how == SUM_SHORT)
		short_sum_init(&s->s, back, last);
	else if (how == SUM_LONG || how == SUM_LONGER)
		long_sum_init(&s->l, back, last);
}

INLINE __m256i sum_next(union sum_state *s, enum sum how, __m256i v, unsigned w, bool alone)
{
	if (how == SUM_SHORT)
		return short_sum(&s->s, v, w, alone);
	if (how == SUM_LONG || how == SUM_LONGER)
		return long_sum(&s->l, how, v, w);
	return v;
}

/* If one of two sums is made by loads, it is the second. @third: there is a third, made as the
 * first and the second are. */
INLINE size_t undo(const struct filter_job *job, unsigned nr_terms, size_t from, size_t to,
		   unsigned w, bool swap, enum filter_map map, enum sum first, enum sum second,
		   bool third)
{
	const __m256i bias = _mm256_set1_epi64x((int64_t)job->bias);
	const unsigned nr_loads =
		first == SUM_LOADS ? 1u + (second == SUM_LOADS) : second == SUM_LOADS;
	const uint8_t *planes = job->src;
	uint8_t *x = job->dst + from * w;
	size_t nr = job->nr;
	struct terms t = terms_at(job, job->dst, from, nr_terms, w);
	union sum_state near, far, last;
	const uint8_t *end = zeros + sizeof(zeros);
	size_t i;

	/* This range begins with the first item to which the second sum adds something: so what is
	 * in the output are the sums of the first alone. */
	if (nr_loads == 1 && second == SUM_LOADS)
		end = x;
	sum_init(&near, first, job->near * w, end, w, swap);
	if (third && first != SUM_LOADS)
		last = far = near;
	else
		sum_init(&far, second, job->far * w, end, w, swap);
	for (i = from; i + block_items(w) <= to; i += block_items(w)) {
		__m256i v[BLOCK_VECS_MAX];

		join(v, planes + i, nr, w);
		UNROLL
		for (size_t k = 0; k < block_vecs(w); k++) {
			if (map == FILTER_MAP_ZIGZAG)
				v[k] = unzigzag(v[k], w);
			if (map == FILTER_MAP_FLOAT)
				v[k] = float_unmap(v[k], bias, w);
			v[k] = sum_next(&near, first, v[k], w, second != SUM_SHORT);
			v[k] = sum_next(&far, second, v[k], w, false);
			if (third)
				v[k] = sum_next(&last, first, v[k], w, false);
			if (first == SUM_LOADS)
				v[k] = add(v[k], guess(&t, k * VEC, nr_loads + third, w, swap), w);
			else if (second == SUM_LOADS)
				v[k] = add(v[k], load_items(t.far.p + k * VEC, w, swap), w);
			store32(x + k * VEC, swap ? turn(v[k], w) : v[k]);
		}
		x += block_items(w) * w;
		terms_next(&t);
	}
	return i;
}

/* Does blocks of items from @from on, none beyond @to, and returns where it ended. @nr_terms of the
 * terms are to be loaded. */
typedef size_t kernel(const struct filter_job *job, unsigned nr_terms, size_t from, size_t to);

struct kernels {
	kernel *apply_copy, *apply_float;
	kernel *apply_sub[3]; /* by the order that there may be, less 1 */
	kernel *undo_copy, *undo_float;
	kernel *undo_sum[SUM_NR][SUM_NR]; /* by how both sums are made */
	kernel *undo_third[SUM_NR];	  /* by how the three are */
};

#define KERNEL(name, call, ...)                                                                    \
	AVX2 static size_t name(const struct filter_job *job, unsigned nr_terms, size_t from,      \
				size_t to)                                                         \
	{                                                                                          \
		return call(job, nr_terms, from, to, __VA_ARGS__);                                 \
	}

#define UNDO_SUM(first, second, w, end)                                                            \
	KERNEL(undo_##first##_##second##w##end, undo, w, SWAP_##end, FILTER_MAP_ZIGZAG,            \
	       SUM_##first, SUM_##second, false)

#define UNDO_THIRD(how, w, end)                                                                    \
	KERNEL(undo_third_##how##w##end, undo, w, SWAP_##end, FILTER_MAP_ZIGZAG, SUM_##how,        \
	       SUM_##how, true)

/* @end: le for items that are little-endian, be for big-endian. */
#define SWAP_le false
#define SWAP_be true

#define KERNELS(w, end)                                                                            \
	KERNEL(apply_copy##w##end, apply, w, SWAP_##end, FILTER_MAP_COPY, 0)                       \
	KERNEL(apply_float##w##end, apply, w, SWAP_##end, FILTER_MAP_FLOAT, 0)                     \
	KERNEL(apply_one##w##end, apply, w, SWAP_##end, FILTER_MAP_ZIGZAG, 1)                      \
	KERNEL(apply_two##w##end, apply, w, SWAP_##end, FILTER_MAP_ZIGZAG, 2)                      \
	KERNEL(apply_three##w##end, apply, w, SWAP_##end, FILTER_MAP_ZIGZAG, 3)                    \
	KERNEL(undo_copy##w##end, undo, w, SWAP_##end, FILTER_MAP_COPY, SUM_NONE, SUM_NONE, false) \
	KERNEL(undo_float##w##end, undo, w, SWAP_##end, FILTER_MAP_FLOAT, SUM_NONE, SUM_NONE,      \
	       false)                                                                              \
	UNDO_SUM(SHORT, NONE, w, end)                                                              \
	UNDO_SUM(SHORT, SHORT, w, end)                                                             \
	UNDO_SUM(SHORT, LONG, w, end)                                                              \
	UNDO_SUM(SHORT, LONGER, w, end)                                                            \
	UNDO_SUM(SHORT, LOADS, w, end)                                                             \
	UNDO_SUM(LONG, NONE, w, end)                                                               \
	UNDO_SUM(LONG, LONG, w, end)                                                               \
	UNDO_SUM(LONG, LONGER, w, end)                                                             \
	UNDO_SUM(LONG, LOADS, w, end)                                                              \
	UNDO_SUM(LONGER, NONE, w, end)                                                             \
	UNDO_SUM(LONGER, LONGER, w, end)                                                           \
	UNDO_SUM(LONGER, LOADS, w, end)                                                            \
	UNDO_SUM(LOADS, NONE, w, end)                                                              \
	UNDO_SUM(LOADS, LOADS, w, end)                                                             \
	UNDO_THIRD(SHORT, w, end)                                                                  \
	UNDO_THIRD(LONG, w, end)                                                                   \
	UNDO_THIRD(LONGER, w, end)                                                                 \
	UNDO_THIRD(LOADS, w, end)                                                                  \
                                                                                                   \
	static const struct kernels kernels##w##end = {                                            \
		.apply_copy = apply_copy##w##end,                                                  \
		.apply_float = apply_float##w##end,                                                \
		.apply_sub = {apply_one##w##end, apply_two##w##end, apply_three##w##end},          \
		.undo_copy = undo_copy##w##end,                                                    \
		.undo_float = undo_float##w##end,                                                  \
		.undo_sum[SUM_SHORT] = {undo_SHORT_NONE##w##end, undo_SHORT_SHORT##w##end,         \
					undo_SHORT_LONG##w##end, undo_SHORT_LONGER##w##end,        \
					undo_SHORT_LOADS##w##end},                                 \
		.undo_sum[SUM_LONG] = {undo_LONG_NONE##w##end, NULL, undo_LONG_LONG##w##end,       \
				       undo_LONG_LONGER##w##end, undo_LONG_LOADS##w##end},         \
		.undo_sum[SUM_LONGER] = {undo_LONGER_NONE##w##end, NULL, NULL,                     \
					 undo_LONGER_LONGER##w##end, undo_LONGER_LOADS##w##end},   \
		.undo_sum[SUM_LOADS] = {undo_LOADS_NONE##w##end, NULL, NULL, NULL,                 \
					undo_LOADS_LOADS##w##end},                                 \
		.undo_third = {NULL, undo_third_SHORT##w##end, undo_third_LONG##w##end,            \
			       undo_third_LONGER##w##end, undo_third_LOADS##w##end},               \
	};

KERNELS(1, le)
KERNELS(2, le)
KERNELS(4, le)
KERNELS(8, le)
KERNELS(2, be)
KERNELS(4, be)
KERNELS(8, be)

static const struct kernels *kernels_of(const struct filter_job *job)
{
	switch (job->width) {
	case 1:
		return &kernels1le;
	case 2:
		return job->swap ? &kernels2be : &kernels2le;
	case 4:
		return job->swap ? &kernels4be : &kernels4le;
	default:
		return job->swap ? &kernels8be : &kernels8le;
	}
}

bool filter_avx2_here(void)
{
	return __builtin_cpu_supports("avx2");
}

static void apply_range(const struct filter_job *job, kernel *run, unsigned nr_terms, size_t from,
			size_t to)
{
	size_t done = from < to ? run(job, nr_terms, from, to) : to;

	filter_plain_apply(job, done, to);
}

static void undo_range(const struct filter_job *job, kernel *run, unsigned nr_terms, size_t from,
		       size_t to)
{
	size_t done = from < to ? run(job, nr_terms, from, to) : to;

	filter_plain_undo(job, done, to);
}

void filter_avx2_apply(const struct filter_job *job)
{
	const struct kernels *k = kernels_of(job);
	size_t cut[FILTER_CUTS];

	if (job->map != FILTER_MAP_ZIGZAG) {
		apply_range(job, job->map == FILTER_MAP_COPY ? k->apply_copy : k->apply_float, 0, 0,
			    job->nr);
		return;
	}
	filter_job_cuts(job, cut);
	for (unsigned t = 0; t + 1 < FILTER_CUTS; t++)
		apply_range(job, k->apply_sub[job->third ? 2 : t > 1], t, cut[t], cut[t + 1]);
}

static enum sum sum_over(size_t back)
{
	return back <= VEC / 2	  ? SUM_SHORT
	       : back <= VEC	  ? SUM_LONG
	       : back <= NEAR_MAX ? SUM_LONGER
				  : SUM_LOADS;
}

static void undo_sums(const struct filter_job *job)
{
	const struct kernels *k = kernels_of(job);
	enum sum near = sum_over(job->near * job->width);
	enum sum far = sum_over(job->far * job->width);
	kernel *const *by_far = k->undo_sum[near];
	kernel *all = job->third ? k->undo_third[near] : by_far[far];
	size_t cut[FILTER_CUTS];

	if (far != SUM_LOADS) {
		undo_range(job, all, 0, 0, job->nr);
	} else if (near != SUM_LOADS) {
		undo_range(job, by_far[SUM_NONE], 0, 0, job->far);
		undo_range(job, by_far[SUM_LOADS], 2, job->far, job->nr);
	} else {
		filter_job_cuts(job, cut);
		for (unsigned t = 0; t + 1 < FILTER_CUTS; t++)
			undo_range(job, t < 2 ? by_far[SUM_NONE] : all, t, cut[t], cut[t + 1]);
	}
}

void filter_avx2_undo(const struct filter_job *job)
{
	const struct kernels *k = kernels_of(job);

	if (job->map == FILTER_MAP_ZIGZAG)
		undo_sums(job);
	else
		undo_range(job, job->map == FILTER_MAP_COPY ? k->undo_copy : k->undo_float, 0, 0,
			   job->nr);
}

#else

bool filter_avx2_here(void)
{
	return false;
}

void filter_avx2_apply(const struct filter_job *job)
{
	filter_plain_apply(job, 0, job->nr);
}

void filter_avx2_undo(const struct filter_job *job)
{
	filter_plain_undo(job, 0, job->nr);
}

#endif
