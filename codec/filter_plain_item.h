/* The part of filter_plain.c that depends on the type of an item, ITEM, of ITEM_BITS bits, which
 * filter_plain.c includes once for each; so it has no guard. NAME(f) is f with ITEM_BITS behind it.
 * The casts keep results in the item's type, where C makes int of the small ones. */
#define ITEM_SIGN ((ITEM)((ITEM)1 << (ITEM_BITS - 1)))
#define ITEM_TURN (ITEM_BITS == 64 ? 4 : 1) /* what FLOAT rotates by */

/* To or from the other order of bytes, if @swap, which is a constant once functions are inlined. */
INLINE ITEM NAME(turn)(ITEM x, bool swap)
{
#if ITEM_BITS == 8
	(void)swap;
	return x;
#else
	return swap ? NAME(__builtin_bswap)(x) : x;
#endif
}

INLINE ITEM NAME(load)(const uint8_t *items, size_t i, bool swap)
{
	return NAME(turn)(NAME(get_u)(items + i * sizeof(ITEM)), swap);
}

INLINE void NAME(store)(uint8_t *items, size_t i, ITEM x, bool swap)
{
	NAME(put_u)(items + i * sizeof(ITEM), NAME(turn)(x, swap));
}

INLINE void NAME(add)(uint8_t *items, size_t i, ITEM d, bool swap)
{
	NAME(store)(items, i, (ITEM)(NAME(load)(items, i, swap) + d), swap);
}

INLINE ITEM NAME(zigzag)(ITEM d)
{
	return (ITEM)((ITEM)(d << 1) ^ (ITEM) - (d >> (ITEM_BITS - 1)));
}

INLINE ITEM NAME(unzigzag)(ITEM z)
{
	return (ITEM)((z >> 1) ^ (ITEM) - (z & 1));
}

/* Take @bias from all but the sign. */
INLINE ITEM NAME(unbias)(ITEM x, ITEM bias)
{
	return (ITEM)((x & ITEM_SIGN) | ((ITEM)(x - bias) & (ITEM)~ITEM_SIGN));
}

/* To the left, by 1 to ITEM_BITS - 1. */
INLINE ITEM NAME(rotate)(ITEM x, unsigned by)
{
	return (ITEM)((ITEM)(x << by) | (x >> (ITEM_BITS - by)));
}

INLINE void NAME(map_all)(ITEM *v, size_t n, const struct filter_job *job)
{
	switch (job->map) {
	case FILTER_MAP_COPY:
		break;
	case FILTER_MAP_ZIGZAG:
		for (size_t k = 0; k < n; k++)
			v[k] = NAME(zigzag)(v[k]);
		break;
	case FILTER_MAP_FLOAT:
		for (size_t k = 0; k < n; k++)
			v[k] = NAME(rotate)(NAME(unbias)(v[k], (ITEM)job->bias), ITEM_TURN);
		break;
	}
}

INLINE void NAME(unmap_all)(ITEM *v, size_t n, const struct filter_job *job)
{
	switch (job->map) {
	case FILTER_MAP_COPY:
		break;
	case FILTER_MAP_ZIGZAG:
		for (size_t k = 0; k < n; k++)
			v[k] = NAME(unzigzag)(v[k]);
		break;
	case FILTER_MAP_FLOAT:
		for (size_t k = 0; k < n; k++)
			v[k] = NAME(unbias)(NAME(rotate)(v[k], ITEM_BITS - ITEM_TURN),
					    (ITEM)-job->bias);
		break;
	}
}

/* Take from the @n numbers at @v @times what is @back items before @x. */
INLINE void NAME(take)(ITEM *v, const uint8_t *x, size_t back, int times, size_t n, bool swap)
{
	x -= back * sizeof(ITEM);
	/* Times 1u: two short unsigned factors are multiplied as int, which overflows. */
	for (size_t k = 0; k < n; k++)
		v[k] = (ITEM)(v[k] - 1u * (ITEM)times * NAME(load)(x, k, swap));
}

/* @v is the @n items from @from on, less the first @nr_terms of what they may refer to. */
INLINE void NAME(diff)(ITEM *v, const struct filter_job *job, unsigned nr_terms, size_t from,
		       size_t n, bool swap)
{
	const uint8_t *x = job->src + from * sizeof(ITEM);
	size_t near = job->near, far = job->far;

	for (size_t k = 0; k < n; k++)
		v[k] = NAME(load)(x, k, swap);
	if (nr_terms > 0)
		NAME(take)(v, x, near, 1, n, swap);
	if (nr_terms > 1)
		NAME(take)(v, x, far, 1, n, swap);
	if (nr_terms > 2)
		NAME(take)(v, x, near + far, -1, n, swap);
	if (!job->third)
		return;
	if (nr_terms > 1)
		NAME(take)(v, x, near, 1, n, swap);
	if (nr_terms > 2)
		NAME(take)(v, x, 2 * near, -2, n, swap);
	if (nr_terms > 3)
		NAME(take)(v, x, 3 * near, 1, n, swap);
}

INLINE void NAME(apply_piece)(const struct filter_job *job, unsigned nr_terms, size_t from,
			      size_t n, bool swap)
{
	ITEM v[PIECE_NR];

	NAME(diff)(v, job, nr_terms, from, n, swap);
	NAME(map_all)(v, n, job);
	for (unsigned b = 0; b < sizeof(ITEM); b++) {
		uint8_t *plane = job->dst + b * job->nr + from;

		for (size_t k = 0; k < n; k++)
			plane[k] = (uint8_t)(v[k] >> 8 * b);
	}
}

INLINE void NAME(apply_swap)(const struct filter_job *job, size_t from, size_t to, bool swap)
{
	size_t cut[FILTER_CUTS];

	filter_job_cuts(job, cut);
	for (unsigned t = 0; t + 1 < FILTER_CUTS; t++) {
		size_t i = MAX(from, cut[t]), end = MIN(to, cut[t + 1]);

		for (; i + PIECE_NR <= end; i += PIECE_NR)
			NAME(apply_piece)(job, t, i, PIECE_NR, swap);
		if (i < end)
			NAME(apply_piece)(job, t, i, end - i, swap);
	}
}

static void NAME(apply)(const struct filter_job *job, size_t from, size_t to)
{
	if (sizeof(ITEM) > 1 && job->swap)
		NAME(apply_swap)(job, from, to, true);
	else
		NAME(apply_swap)(job, from, to, false);
}

INLINE void NAME(join)(ITEM *v, const struct filter_job *job, size_t from, size_t n)
{
	for (size_t k = 0; k < n; k++)
		v[k] = job->src[from + k];
	for (unsigned b = 1; b < sizeof(ITEM); b++) {
		const uint8_t *plane = job->src + b * job->nr + from;

		for (size_t k = 0; k < n; k++)
			v[k] = (ITEM)(v[k] | (ITEM)((ITEM)plane[k] << 8 * b));
	}
}

INLINE void NAME(undo_piece)(const struct filter_job *job, size_t from, size_t n, bool swap)
{
	uint8_t *x = job->dst + from * sizeof(ITEM);
	ITEM v[PIECE_NR];

	NAME(join)(v, job, from, n);
	NAME(unmap_all)(v, n, job);
	for (size_t k = 0; k < n; k++)
		NAME(store)(x, k, v[k], swap);
}

/* Items in place of the differences of @nr_terms terms from @from to @to - 1. Where items refer to
 * the one before, each sum waits for the last: there the sum does not go through memory. */
INLINE void NAME(sum)(const struct filter_job *job, unsigned nr_terms, size_t from, size_t to,
		      bool swap)
{
	size_t near = job->near, far = job->far;
	uint8_t *x = job->dst;
	ITEM sum;

	if (nr_terms == 1 && near == 1) {
		sum = NAME(load)(x, from - 1, swap);
		for (size_t i = from; i < to; i++) {
			sum = (ITEM)(sum + NAME(load)(x, i, swap));
			NAME(store)(x, i, sum, swap);
		}
	} else if (nr_terms == 1) {
		for (size_t i = from; i < to; i++)
			NAME(add)(x, i, NAME(load)(x, i - near, swap), swap);
	} else if (nr_terms == 2) {
		for (size_t i = from; i < to; i++) {
			sum = NAME(load)(x, i - near, swap);
			NAME(add)(x, i, (ITEM)(sum + NAME(load)(x, i - far, swap)), swap);
		}
	} else if (near == 1) {
		sum = (ITEM)(NAME(load)(x, from - 1, swap) - NAME(load)(x, from - 1 - far, swap));
		for (size_t i = from; i < to; i++) {
			sum = (ITEM)(sum + NAME(load)(x, i, swap));
			NAME(store)(x, i, (ITEM)(sum + NAME(load)(x, i - far, swap)), swap);
		}
	} else {
		for (size_t i = from; i < to; i++) {
			sum = (ITEM)(NAME(load)(x, i - near, swap) + NAME(load)(x, i - far, swap));
			sum = (ITEM)(sum - NAME(load)(x, i - near - far, swap));
			NAME(add)(x, i, sum, swap);
		}
	}
}

/* The same of third differences, of 2 terms and more. */
INLINE void NAME(sum_third)(const struct filter_job *job, unsigned nr_terms, size_t from, size_t to,
			    bool swap)
{
	size_t d = job->near;
	uint8_t *x = job->dst;
	ITEM a = NAME(load)(x, from - d, swap);
	ITEM b = nr_terms > 2 ? NAME(load)(x, from - 2 * d, swap) : 0;
	ITEM c = nr_terms > 3 ? NAME(load)(x, from - 3 * d, swap) : 0;

	for (size_t i = from; i < to; i++) {
		ITEM sum = (ITEM)(NAME(load)(x, i, swap) + (ITEM)3 * (ITEM)(a - b) + c);

		NAME(store)(x, i, sum, swap);
		if (d == 1) {
			c = b;
			b = a;
			a = sum;
		} else if (i + 1 < to) {
			a = NAME(load)(x, i + 1 - d, swap);
			b = nr_terms > 2 ? NAME(load)(x, i + 1 - 2 * d, swap) : 0;
			c = nr_terms > 3 ? NAME(load)(x, i + 1 - 3 * d, swap) : 0;
		}
	}
}

INLINE void NAME(undo_swap)(const struct filter_job *job, size_t from, size_t to, bool swap)
{
	size_t cut[FILTER_CUTS];

	filter_job_cuts(job, cut);
	for (size_t i = from; i < to; i += PIECE_NR) {
		size_t end = MIN(to, i + PIECE_NR);

		if (end - i == PIECE_NR)
			NAME(undo_piece)(job, i, PIECE_NR, swap);
		else
			NAME(undo_piece)(job, i, end - i, swap);
		for (unsigned t = 1; t + 1 < FILTER_CUTS; t++) {
			size_t begin = MAX(i, cut[t]), stop = MIN(end, cut[t + 1]);

			if (begin < stop && job->third)
				NAME(sum_third)(job, t, begin, stop, swap);
			else if (begin < stop)
				NAME(sum)(job, t, begin, stop, swap);
		}
	}
}

static void NAME(undo)(const struct filter_job *job, size_t from, size_t to)
{
	if (sizeof(ITEM) > 1 && job->swap)
		NAME(undo_swap)(job, from, to, true);
	else
		NAME(undo_swap)(job, from, to, false);
}

#undef ITEM_SIGN
#undef ITEM_TURN
