/* Filters: that every implementation does what the formulas say, and that undoing undoes. */
#include "tests/codec/codec_test.h"

#include "codec/filter.h"

#define TILE_LEN ((size_t)128 * 1024)

static const char *const impl_names[FILTER_IMPL_NR + 1] = {"plain", "avx2", "best"};
static const unsigned widths[] = {1, 2, 4, 8};

static uint64_t mask_of(unsigned w)
{
	return w == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * w) - 1;
}

static uint64_t item(const uint8_t *p, unsigned w, size_t i)
{
	uint64_t x = 0;

	for (unsigned b = 0; b < w; b++)
		x |= (uint64_t)p[i * w + b] << 8 * b;
	return x;
}

static uint64_t item_of(const struct filter *f, const uint8_t *p, size_t i)
{
	uint64_t x = item(p, f->width, i);

	return f->swap ? __builtin_bswap64(x) >> (64 - 8 * f->width) : x;
}

/* x[i - back], 0 before the first. */
static uint64_t ref(const struct filter *f, const uint8_t *p, size_t i, size_t back)
{
	return back <= i ? item_of(f, p, i - back) : 0;
}

/* As it is defined: the difference of the differences of one order less. */
static uint64_t difference(const struct filter *f, const uint8_t *p, size_t i, unsigned order)
{
	uint64_t d;

	if (!order)
		return item_of(f, p, i);
	d = difference(f, p, i, order - 1);
	return i < f->dist ? d : d - difference(f, p, i - f->dist, order - 1);
}

/* What becomes of item @i of those at @p: the formulas, as they stand. */
static uint64_t expect_item(const struct filter *f, const uint8_t *p, size_t i)
{
	unsigned w = f->width;
	size_t above = f->pitch / w;
	uint64_t x = item_of(f, p, i);
	uint64_t sign = UINT64_C(1) << (8 * w - 1);
	uint64_t d, m;

	switch (f->id) {
	case FILTER_NONE:
		return x;
	case FILTER_FLOAT:
		if (w < 8)
			return (x << 1 | x >> (8 * w - 1)) & mask_of(w);
		m = (x % sign - ((uint64_t)f->bias << 52)) % sign;
		d = (x / sign) * sign | m;
		return d << 4 | d >> 60;
	case FILTER_DELTA:
		d = difference(f, p, i, f->order);
		break;
	default:
		d = x - ref(f, p, i, f->dist) - ref(f, p, i, above) + ref(f, p, i, above + f->dist);
		break;
	}
	d &= mask_of(w);
	return (d < sign ? 2 * d : ~(2 * d)) & mask_of(w);
}

static void expect(const struct filter *f, uint8_t *dst, const uint8_t *src, size_t len,
		   unsigned phase)
{
	size_t nr = len > phase ? (len - phase) / f->width : 0;

	memcpy(dst, src, len);
	for (size_t i = 0; i < nr; i++) {
		uint64_t z = expect_item(f, src + phase, i);

		for (unsigned b = 0; b < f->width; b++)
			dst[phase + b * nr + i] = (uint8_t)(z >> 8 * b);
	}
}

/* Made once for a test: a new mapping costs more than the filters. */
struct buffers {
	struct guarded src, want, got;
};

static struct buffers buffers_new(size_t len)
{
	return (struct buffers){
		guarded_new(len, GUARD_BELOW),
		guarded_new(len, GUARD_BELOW),
		guarded_new(len, GUARD_BELOW),
	};
}

static void buffers_free(struct buffers *b)
{
	guarded_free(&b->src);
	guarded_free(&b->want);
	guarded_free(&b->got);
}

/* @len bytes that end at the upper guard page, or begin at the lower. */
static uint8_t *fit(const struct guarded *g, size_t len, enum guard_at at)
{
	return at == GUARD_BELOW ? g->p : g->map + g->map_len - GUARD_PAGE - len;
}

static bool apply(int impl, const struct filter *f, uint8_t *dst, const uint8_t *src, size_t len,
		  unsigned phase)
{
	if (impl < FILTER_IMPL_NR)
		return filter_apply_with((enum filter_impl)impl, f, dst, src, len, phase);
	filter_apply(f, dst, src, len, phase);
	return true;
}

static bool undo(int impl, const struct filter *f, uint8_t *dst, const uint8_t *src, size_t len,
		 unsigned phase)
{
	if (impl < FILTER_IMPL_NR)
		return filter_undo_with((enum filter_impl)impl, f, dst, src, len, phase);
	filter_undo(f, dst, src, len, phase);
	return true;
}

static void check(const struct buffers *b, const struct filter *f, size_t len, unsigned phase,
		  struct rng *r)
{
	enum guard_at at = rng_next(r) % 2 ? GUARD_BELOW : GUARD_ABOVE;
	uint8_t *src = fit(&b->src, len, at);
	uint8_t *want = fit(&b->want, len, at);
	uint8_t *got = fit(&b->got, len, at);

	assert_true(filter_ok(f));
	/* Small differences too, now and then. */
	for (size_t i = 0; i < len; i++)
		src[i] = (uint8_t)(rng_next(r) >> (rng_next(r) % 4 ? 56 : 63));
	expect(f, want, src, len, phase);
	for (int impl = 0; impl <= FILTER_IMPL_NR; impl++) {
		const char *did = "apply";

		memset(got, 0x55, len);
		if (!apply(impl, f, got, src, len, phase))
			continue;
		if (!memcmp(got, want, len)) {
			did = "undo";
			memset(got, 0xaa, len);
			assert_true(undo(impl, f, got, want, len, phase));
			if (!memcmp(got, src, len))
				continue;
		}
		fail_msg("%s: %s, len %zu phase %u: filter %u width %u bias %u dist %u order %u "
			 "swap %u pitch %u",
			 impl_names[impl], did, len, phase, f->id, f->width, f->bias, f->dist,
			 f->order, f->swap, f->pitch);
	}
}

/* A distance in items: short ones most of all, and such as reach beyond the tile. */
static size_t random_dist(size_t nr, struct rng *r)
{
	switch (rng_below(r, 5)) {
	case 0:
		return 1 + rng_below(r, 4);
	case 1:
		return 1 + rng_below(r, 40);
	case 2:
		return 1 + rng_below(r, 300);
	case 3:
		return MAX(nr + rng_below(r, 5), (size_t)3) - 2;
	default:
		return 1 + rng_below(r, 65535);
	}
}

static struct filter random_filter(size_t len, struct rng *r)
{
	unsigned w = widths[rng_below(r, ARRAY_LEN(widths))];
	struct filter f = {.id = (uint8_t)rng_below(r, FILTER_NR), .width = (uint8_t)w};

	if (f.id == FILTER_FLOAT && w == 1)
		f.id = FILTER_LORENZO;
	if (f.id == FILTER_FLOAT && w == 8)
		f.bias = (uint16_t)rng_below(r, FILTER_BIAS_MAX + 1);
	if (f.id == FILTER_DELTA || f.id == FILTER_LORENZO)
		f.dist = (uint16_t)MIN(random_dist(len / w, r), (size_t)65535);
	if (f.id == FILTER_DELTA)
		f.order = (uint8_t)(1 + rng_below(r, FILTER_ORDER_MAX));
	if (f.id == FILTER_LORENZO)
		f.pitch = (uint32_t)(random_dist(len / w, r) * w);
	if (f.id != FILTER_NONE && w > 1)
		f.swap = (uint8_t)rng_below(r, 2);
	return f;
}

static void check_random(const struct buffers *b, size_t len, struct rng *r)
{
	struct filter f = random_filter(len, r);

	check(b, &f, len, (unsigned)rng_below(r, f.width), r);
}

static void short_tiles_are_as_the_formulas_say(void **state)
{
	struct buffers b = buffers_new(300);
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t len = 0; len <= 300; len++)
		for (int n = 0; n < 100; n++)
			check_random(&b, len, &r);
	buffers_free(&b);
}

static void middling_tiles_are_as_the_formulas_say(void **state)
{
	struct buffers b = buffers_new(4500);
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (int n = 0; n < 5000; n++)
		check_random(&b, 300 + rng_below(&r, 4200), &r);
	buffers_free(&b);
}

static void whole_tiles_are_as_the_formulas_say(void **state)
{
	struct buffers b = buffers_new(TILE_LEN + 10);
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (int n = 0; n < 200; n++)
		check_random(&b, TILE_LEN - 10 + rng_below(&r, 21), &r);
	buffers_free(&b);
}

/* In both orders of bytes. */
static void check_short(const struct buffers *b, struct filter f, struct rng *r)
{
	for (unsigned swap = 0; swap <= (f.width > 1); swap++) {
		f.swap = (uint8_t)swap;
		check(b, &f, 500 + rng_below(r, 300), (unsigned)rng_below(r, f.width), r);
	}
}

/* Each pair of short distances has its own pattern of carries from register to register. */
static void all_short_distances_are_as_the_formulas_say(void **state)
{
	struct buffers b = buffers_new(800);
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(widths); k++) {
		unsigned w = widths[k];
		unsigned max = 80 / w;

		for (unsigned dist = 1; dist <= max; dist++) {
			struct filter f = {.width = (uint8_t)w, .dist = (uint16_t)dist};

			f.id = FILTER_DELTA;
			for (unsigned order = 1; order <= FILTER_ORDER_MAX; order++) {
				f.order = (uint8_t)order;
				check_short(&b, f, &r);
			}
			f.id = FILTER_LORENZO;
			f.order = 0;
			for (unsigned above = 1; above <= max; above++) {
				f.pitch = above * w;
				check_short(&b, f, &r);
			}
		}
	}
	buffers_free(&b);
}

/* By hand, lest the formulas above be wrong in the same way. */
static void layout_is_plane_after_plane(void **state)
{
	static const struct filter none = {.id = FILTER_NONE, .width = 2};
	static const struct filter delta = {.id = FILTER_DELTA, .width = 2, .dist = 1, .order = 1};
	static const struct filter second = {.id = FILTER_DELTA, .width = 1, .dist = 1, .order = 2};
	static const struct filter third = {
		.id = FILTER_DELTA, .width = 2, .dist = 1, .order = 3, .swap = 1};
	static const struct filter image = {
		.id = FILTER_LORENZO, .width = 1, .dist = 1, .pitch = 3};
	static const struct filter real = {.id = FILTER_FLOAT, .width = 8, .bias = 1023};
	static const uint8_t rising[] = {9, 0x00, 0x01, 0x02, 0x01, 0xff, 0x00, 7, 0};
	static const uint8_t rows[] = {1, 2, 3, 2, 3, 5, 3, 4, 6};
	static const uint8_t minus_one[] = {0, 0, 0, 0, 0, 0, 0xf0, 0xbf};
	static const uint8_t squares[] = {1, 4, 9, 16, 25};
	static const uint8_t rising_big[] = {9, 1, 0x00, 1, 0xff, 3, 0xff, 7, 0xff};
	uint8_t dst[9];

	(void)state;
	filter_apply(&none, dst, (const uint8_t *)"xA1B2C3y", 8, 1);
	assert_memory_equal(dst, "xABC123y", 8);
	/* 256, then 2 more, then 3 less, then 0x0007 - 0x00ff */
	filter_apply(&delta, dst, rising, 9, 1);
	assert_memory_equal(dst, ((uint8_t[]){9, 0x00, 0x04, 0x05, 0xef, 2, 0, 0, 1}), 9);
	/* The first differences are 1, 3, 5, 7, 9. */
	filter_apply(&second, dst, squares, 5, 0);
	assert_memory_equal(dst, ((uint8_t[]){2, 4, 4, 4, 4}), 5);
	/* 256, 511, 1023, 2047; differences 256, 255, 512, 1024, then 256, -1, 257, 512, then
	 * 256, -257, 258, 255 */
	filter_apply(&third, dst, rising_big, 9, 1);
	assert_memory_equal(dst, ((uint8_t[]){9, 0x00, 0x01, 0x04, 0xfe, 2, 2, 2, 1}), 9);
	/* The item before the first of a row is the last of the row above. */
	filter_apply(&image, dst, rows, 9, 0);
	assert_memory_equal(dst, ((uint8_t[]){2, 2, 2, 3, 0, 2, 1, 0, 0}), 9);
	/* The sign comes down into bit 3, the exponent is 0. */
	filter_apply(&real, dst, minus_one, 8, 0);
	assert_memory_equal(dst, ((uint8_t[]){8, 0, 0, 0, 0, 0, 0, 0}), 8);
}

static void only_what_a_filter_uses_may_be_set(void **state)
{
	struct filter f = {.id = FILTER_NONE};

	(void)state;
	for (unsigned w = 0; w < 256; w++) {
		f.width = (uint8_t)w;
		assert_int_equal(filter_ok(&f), w == 1 || w == 2 || w == 4 || w == 8);
	}
	for (unsigned id = 0; id < 256; id++) {
		for (unsigned bits = 0; bits < 32; bits++) {
			bool want = false;

			f = (struct filter){.id = (uint8_t)id, .width = 8};
			f.bias = bits & 1 ? 1 : 0;
			f.dist = bits & 2 ? 65535 : 0;
			f.pitch = bits & 4 ? 0xfffffff8u : 0;
			f.order = bits & 8 ? 3 : 0;
			f.swap = bits & 16 ? 1 : 0;
			if (id == FILTER_NONE)
				want = bits == 0;
			else if (id == FILTER_DELTA)
				want = (bits & ~16u) == (2 | 8);
			else if (id == FILTER_LORENZO)
				want = (bits & ~16u) == (2 | 4);
			else if (id == FILTER_FLOAT)
				want = (bits & ~16u) <= 1;
			assert_int_equal(filter_ok(&f), want);
		}
	}
	for (unsigned n = 0; n < 256; n++) {
		f = (struct filter){.id = FILTER_DELTA, .width = 1, .dist = 1};
		f.order = (uint8_t)n;
		assert_int_equal(filter_ok(&f), n >= 1 && n <= FILTER_ORDER_MAX);
		f = (struct filter){.id = FILTER_FLOAT, .width = 2, .swap = (uint8_t)n};
		assert_int_equal(filter_ok(&f), n <= 1);
	}
	f = (struct filter){.id = FILTER_DELTA, .width = 1, .dist = 1, .order = 1, .swap = 1};
	assert_false(filter_ok(&f));
	f = (struct filter){.id = FILTER_FLOAT, .width = 8, .bias = FILTER_BIAS_MAX};
	assert_true(filter_ok(&f));
	f.bias++;
	assert_false(filter_ok(&f));
	f = (struct filter){.id = FILTER_FLOAT, .width = 1};
	assert_false(filter_ok(&f));
	f = (struct filter){.id = FILTER_FLOAT, .width = 4, .bias = 1};
	assert_false(filter_ok(&f));
	f.bias = 0;
	assert_true(filter_ok(&f));
	f = (struct filter){.id = FILTER_LORENZO, .width = 4, .dist = 1, .pitch = 4};
	assert_true(filter_ok(&f));
	f.pitch = 6;
	assert_false(filter_ok(&f));
	f.pitch = 2;
	assert_false(filter_ok(&f));
}

static void says_which_code_ran(void **state)
{
	static const struct filter none = {.id = FILTER_NONE, .width = 2};
	uint8_t a[16] = {0}, b[16];

	(void)state;
	assert_true(filter_apply_with(FILTER_PLAIN, &none, b, a, sizeof(a), 0));
	assert_false(filter_apply_with(FILTER_IMPL_NR, &none, b, a, sizeof(a), 0));
	assert_false(filter_undo_with(FILTER_IMPL_NR, &none, b, a, sizeof(a), 0));
	for (int impl = 0; impl < FILTER_IMPL_NR; impl++)
		printf("%s: %s\n", impl_names[impl],
		       filter_apply_with((enum filter_impl)impl, &none, b, a, sizeof(a), 0)
			       ? "tested"
			       : "not on this machine");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout_is_plane_after_plane),
		cmocka_unit_test(only_what_a_filter_uses_may_be_set),
		cmocka_unit_test(short_tiles_are_as_the_formulas_say),
		cmocka_unit_test(middling_tiles_are_as_the_formulas_say),
		cmocka_unit_test(whole_tiles_are_as_the_formulas_say),
		cmocka_unit_test(all_short_distances_are_as_the_formulas_say),
		cmocka_unit_test(says_which_code_ran),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
