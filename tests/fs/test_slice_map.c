/* Where a slice's bytes are, against a walk over all items; and the head of a slice's file. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/base.h"
#include "fs/slice_map.h"
#include "fs/slice_npy.h"

static uint64_t rng_state;

static unsigned below(unsigned n)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned)(rng_state >> 11) % n;
}

static void seed(const char *test)
{
	const char *env = getenv("TEST_SEED");

	rng_state = env ? strtoull(env, NULL, 0) : mono_ns() | 1;
	printf("%s: TEST_SEED=%" PRIu64 "\n", test, rng_state);
}

static void random_head(struct npy_head *h)
{
	*h = (struct npy_head){
		.start = below(3) * 64,
		.item = 1 + below(9),
		.fortran = below(2),
		.nr_dims = below(6),
		.descr = "'<f8'",
		.descr_len = 5,
		.version = 1,
	};
	h->len = h->item;
	for (unsigned i = 0; i < h->nr_dims; i++) {
		h->dim[i] = below(12) ? 1 + below(6) : 0;
		h->len *= h->dim[i];
	}
}

static void random_pick(const struct npy_head *h, struct slice_pick *p)
{
	*p = (struct slice_pick){.empty = h->len == 0};
	for (unsigned i = 0; i < h->nr_dims; i++) {
		uint64_t n = h->dim[i];
		int64_t step = (int64_t)(1 + below(3)) * (below(2) ? 1 : -1);
		uint64_t far = (uint64_t)(step < 0 ? -step : step), first, most;

		if (below(5) == 0) {
			p->out[p->nr].count = 1;
			p->out[p->nr].step = 1;
			p->out[p->nr++].axis = -1;
		}
		first = n ? below((unsigned)n) : 0;
		p->first[i] = first;
		if (n && below(4) == 0)
			continue;
		most = n == 0 ? 0 : (step < 0 ? first : n - 1 - first) / far + 1;
		if (below(2) && n) {
			/* All of it, in either direction: what can be made one with others. */
			step = below(4) ? 1 : -1;
			p->first[i] = step < 0 ? n - 1 : 0;
			most = n;
		}
		p->out[p->nr].count = most && below(3) == 0 ? below((unsigned)most + 1) : most;
		p->empty |= p->out[p->nr].count == 0;
		p->out[p->nr].step = step;
		p->out[p->nr++].axis = (int)i;
	}
}

/* The file's offset of each byte of the result, in order. Returns how many there are. */
static size_t walk(const struct npy_head *h, const struct slice_pick *p, uint64_t *out)
{
	uint64_t stride[NPY_DIMS], n = h->item, idx[NPY_DIMS] = {0};
	size_t nr = 0;

	if (p->empty || h->len == 0)
		return 0;
	for (unsigned i = 0; i < h->nr_dims; i++) {
		unsigned axis = h->fortran ? i : h->nr_dims - 1 - i;

		stride[axis] = n;
		n *= h->dim[axis];
	}
	for (;;) {
		uint64_t at = h->start;
		unsigned i;

		for (unsigned axis = 0; axis < h->nr_dims; axis++)
			at += p->first[axis] * stride[axis];
		for (unsigned k = 0; k < p->nr; k++) {
			if (p->out[k].axis >= 0)
				at += idx[k] * (uint64_t)p->out[k].step * stride[p->out[k].axis];
		}
		for (uint64_t b = 0; b < h->item; b++)
			out[nr++] = at + b;
		for (i = 0; i < p->nr; i++) {
			unsigned k = h->fortran ? i : p->nr - 1 - i;

			if (++idx[k] < p->out[k].count)
				break;
			idx[k] = 0;
		}
		if (i == p->nr)
			return nr;
	}
}

/* Compare the run at @off with the walk. Returns its bytes. */
static uint64_t check_run(const struct slice_map *m, const uint64_t *want, uint64_t off,
			  uint64_t max)
{
	struct slice_run run;
	uint64_t n = slice_map_run(m, off, max, &run), from, to, at = off;

	assert_true(n >= 1 && n <= max && n == run.nr * run.len);
	slice_run_hull(&run, &from, &to);
	for (uint64_t i = 0; i < run.nr; i++) {
		uint64_t piece = run.off + i * (uint64_t)run.stride;

		assert_true(piece >= from && piece + run.len <= to);
		for (uint64_t b = 0; b < run.len; b++)
			assert_int_equal(piece + b, want[at++]);
	}
	return n;
}

static void every_byte_is_where_a_walk_finds_it(void **state)
{
	static uint64_t want[9 * 6 * 6 * 6 * 6 * 6];

	(void)state;
	seed(__func__);
	for (int turn = 0; turn < 3000; turn++) {
		struct slice_pick p;
		struct slice_map *m;
		struct npy_head h;
		size_t nr;

		random_head(&h);
		random_pick(&h, &p);
		nr = walk(&h, &p, want);
		assert_int_equal(slice_map_new(&h, &p, &m), 0);
		assert_int_equal(m->len, nr);
		for (uint64_t off = 0; off < nr;)
			off += check_run(m, want, off, nr - off);
		for (int i = 0; nr && i < 20; i++) {
			uint64_t off = below((unsigned)nr);

			check_run(m, want, off, 1 + below((unsigned)(nr - off)));
		}
		free(m);
	}
}

static struct slice_map *map_of(const char *expr, struct npy_head *h)
{
	struct slice_expr e;
	struct slice_pick p;
	struct slice_map *m;

	h->len = h->item;
	for (unsigned i = 0; i < h->nr_dims; i++)
		h->len *= h->dim[i];
	assert_int_equal(slice_expr_parse(expr, strlen(expr), &e, &(struct why){.len = 0}), 0);
	assert_int_equal(slice_expr_resolve(&e, h->dim, h->nr_dims, &p, &(struct why){.len = 0}),
			 0);
	assert_int_equal(slice_map_new(h, &p, &m), 0);
	return m;
}

static void axes_become_as_few_as_can_be(void **state)
{
	static const struct {
		const char *expr;
		bool fortran;
		uint64_t piece;
		unsigned nr;
	} cases[] = {
		{"[()]", false, 8 * 4 * 5 * 6, 0},
		{"[1:3]", false, 8 * 2 * 5 * 6, 0},
		{"[2]", false, 8 * 5 * 6, 0},
		{"[:, 2:4]", false, 8 * 2 * 6, 1},
		{"[..., 3]", false, 8, 1},
		{"[::2]", false, 8 * 5 * 6, 1},
		{"[..., ::-1]", false, 8, 2},
		{"[::-1, ::-1, ::-1]", false, 8, 1},
		{"[1]", true, 8, 1},
		{"[..., 1]", true, 8 * 4 * 5, 0},
		{"[1:2]", true, 8, 1},
		{"[None, :, None, 1:3]", true, 8 * 4 * 2, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct npy_head h = {
			.item = 8, .nr_dims = 3, .dim = {4, 5, 6}, .fortran = cases[i].fortran};
		struct slice_map *m = map_of(cases[i].expr, &h);

		if (m->piece != cases[i].piece || m->nr != cases[i].nr)
			fail_msg("%s: pieces of %" PRIu64 " over %u axes", cases[i].expr, m->piece,
				 m->nr);
		free(m);
	}
}

/* A file of nearly 8 EiB. */
static void the_largest_arrays_do_not_overflow(void **state)
{
	struct npy_head h = {.start = 128,
			     .item = 1,
			     .nr_dims = 3,
			     .dim = {(UINT64_C(1) << 31) - 1, UINT64_C(1) << 31, 2}};
	struct slice_map *m = map_of("[::-1, ::-1, 1]", &h);
	struct slice_run run;

	(void)state;
	assert_int_equal(m->len, h.len / 2);
	slice_map_run(m, m->len - 1, 1, &run);
	assert_int_equal(run.off, 128 + 1);
	slice_map_run(m, 0, 1, &run);
	assert_int_equal(run.off, 128 + h.len - 1);
	free(m);
	h.dim[1] = 0;
	h.dim[0] = h.dim[2] = INT64_MAX;
	m = map_of("[::-1, :, ::5]", &h);
	assert_int_equal(m->len, 0);
	free(m);
}

/* ---- heads ---- */

static void a_head_is_what_the_parser_reads(void **state)
{
	(void)state;
	seed(__func__);
	for (int turn = 0; turn < 3000; turn++) {
		struct npy_head h, again;
		struct slice_pick p;
		uint8_t *head;
		size_t len;

		random_head(&h);
		random_pick(&h, &p);
		assert_int_equal(slice_npy_head(&h, &p, &head, &len), 0);
		assert_int_equal(len % 64, 0);
		assert_int_equal(head[len - 1], '\n');
		assert_null(npy_parse(head, len, &again));
		assert_int_equal(again.start, len);
		assert_int_equal(again.version, 1);
		assert_int_equal(again.nr_dims, p.nr);
		for (unsigned i = 0; i < p.nr; i++)
			assert_int_equal(again.dim[i], p.out[i].count);
		assert_int_equal(again.fortran, h.fortran && p.nr > 1);
		assert_int_equal(again.descr_len, h.descr_len);
		assert_memory_equal(again.descr, h.descr, h.descr_len);
		free(head);
	}
}

/* A record of many fields, as numpy writes it. */
static char *record_of(unsigned nr, const char *name)
{
	char *text = malloc(nr * 40 + 4);
	size_t n = 0;

	assert_non_null(text);
	text[n++] = '[';
	for (unsigned i = 0; i < nr; i++)
		n += (size_t)sprintf(text + n, "('%s%u', '<f8'), ", name, i);
	text[n++] = ']';
	text[n] = '\0';
	return text;
}

static uint8_t version_for(uint8_t version, const char *descr)
{
	struct npy_head h = {
		.version = version, .item = 8, .descr = descr, .descr_len = strlen(descr)};
	struct slice_pick p = {.nr = 0};
	struct npy_head again;
	uint8_t *head;
	size_t len;

	assert_int_equal(slice_npy_head(&h, &p, &head, &len), 0);
	assert_null(npy_parse(head, len, &again));
	version = head[6];
	free(head);
	return version;
}

static void versions_are_the_least_that_can_tell_it(void **state)
{
	char *small = record_of(2000, "f"), *large = record_of(4000, "f");

	(void)state;
	for (uint8_t v = 1; v <= 3; v++) {
		assert_int_equal(version_for(v, "'<f8'"), 1);
		assert_int_equal(version_for(v, small), 1);
		assert_int_equal(version_for(v, large), 2);
	}
	/* Not ASCII: Latin-1 stays that, and UTF-8. */
	assert_int_equal(version_for(1, "[('\xe4', '<f8')]"), 1);
	assert_int_equal(version_for(2, "[('\xe4', '<f8')]"), 1);
	assert_int_equal(version_for(3, "[('\xc3\xa4', '<f8')]"), 3);
	free(small);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_is_where_a_walk_finds_it),
		cmocka_unit_test(axes_become_as_few_as_can_be),
		cmocka_unit_test(the_largest_arrays_do_not_overflow),
		cmocka_unit_test(a_head_is_what_the_parser_reads),
		cmocka_unit_test(versions_are_the_least_that_can_tell_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
