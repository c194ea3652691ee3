/* Slicing expressions: what is taken, what is refused, and what is picked, against a walk as Python's range() does it. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/base.h"
#include "fs/slice_expr.h"

static char said[256];
static const struct why why = {.buf = said, .len = sizeof(said)};

static struct slice_expr parsed(const char *text)
{
	struct slice_expr e;

	if (slice_expr_parse(text, strlen(text), &e, &why))
		fail_msg("%s: %s", text, said);
	return e;
}

static struct slice_pick picked(const char *text, const uint64_t *dim, unsigned nr_dims)
{
	struct slice_expr e = parsed(text);
	struct slice_pick p;

	if (slice_expr_resolve(&e, dim, nr_dims, &p, &why))
		fail_msg("%s: %s", text, said);
	return p;
}

static void what_python_takes_is_taken(void **state)
{
	static const char *const texts[] = {
		"[0]",
		"[-1]",
		"[+1]",
		"[ - 1 ]",
		"[:]",
		"[::]",
		"[1:2]",
		"[1:2:3]",
		"[::-1]",
		"[:,:]",
		"[1,]",
		"[...]",
		"[()]",
		"[ ( ) ]",
		"[... , 1]",
		"[Ellipsis]",
		"[None]",
		"[newaxis,1]",
		"[1_000:]",
		"[None:None]",
		"[:None:-2]",
		"[None:3:None]",
		"[000]",
		"[np.newaxis]",
		"[ 1 : 2 ]",
		"[0:99999999999999999999999]",
		"[numpy.newaxis, ...]",
	};
	struct slice_expr e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		parsed(texts[i]);
	assert_int_equal(parsed("[()]").nr, 0);
	assert_int_equal(parsed("[1,]").nr, 1);
	e = parsed("[None:3:None, None, 5, ..., -4:]");
	assert_int_equal(e.nr, 5);
	assert_int_equal(e.item[0].kind, SLICE_RANGE);
	assert_false(e.item[0].has_start);
	assert_true(e.item[0].has_stop);
	assert_int_equal(e.item[0].step, 1);
	assert_int_equal(e.item[1].kind, SLICE_NEW);
	assert_int_equal(e.item[2].kind, SLICE_INDEX);
	assert_int_equal(e.item[3].kind, SLICE_REST);
	assert_int_equal(e.item[4].start, -4);
	assert_false(e.item[4].has_stop);
	assert_true(parsed("[99999999999999999999]").item[0].start == INT64_MAX);
	assert_true(parsed("[9223372036854775807]").item[0].start == INT64_MAX);
	assert_true(parsed("[-9223372036854775807]").item[0].start == -INT64_MAX);
	assert_true(parsed("[-9223372036854775809:]").item[0].start == INT64_MIN);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "character 1: no '['"},
		{"1]", "character 1: no '['"},
		{"[", "character 2: an index is missing"},
		{"[]", "character 2: an index is missing"},
		{"[1,,2]", "character 4: an index is missing"},
		{"[1", "character 3: no ']' at the end"},
		{"[1]x", "character 4: more behind the ']'"},
		{"[1] ", "character 4: more behind the ']'"},
		{"[1 2]", "character 4: neither ',' nor ']'"},
		{"[1:2:3:4]", "character 7: a third ':'"},
		{"[::0]", "character 4: a step of zero"},
		{"[:: -0 ]", "character 5: a step of zero"},
		{"[1.5]", "character 3: only decimal integers are known"},
		{"[0x10]", "character 3: only decimal integers are known"},
		{"[010]", "character 2: an integer begins with 0"},
		{"[1__0]", "character 3: '_' is not between digits"},
		{"[1_]", "character 3: '_' is not between digits"},
		{"[-]", "character 3: digits are missing"},
		{"[1:--2]", "character 5: digits are missing"},
		{"[x]", "character 2: an unknown word"},
		{"[NoneX]", "character 2: an unknown word"},
		{"[[0]]", "character 2: lists of indices are not known, only basic slicing"},
		{"[(0,)]", "character 2: parentheses are known as [()] only"},
		{"[(),]", "character 2: parentheses are known as [()] only"},
		{"[True]", "character 6: boolean indices are not known, only basic slicing"},
		{"['f']", "character 2: an unexpected character"},
		{"[..]", "character 2: an unexpected character"},
		{"[...,1,...]", "character 8: a second ellipsis"},
		{"[....]", "character 5: neither ',' nor ']'"},
		{"[\t0]", "character 2: an unexpected character"},
	};
	struct slice_expr e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		said[0] = '\0';
		assert_int_equal(slice_expr_parse(cases[i].text, strlen(cases[i].text), &e, &why),
				 -EINVAL);
		if (strcmp(said, cases[i].says) != 0)
			fail_msg("%s: \"%s\", not \"%s\"", cases[i].text, said, cases[i].says);
	}
}

static void too_many_items_are_refused(void **state)
{
	char text[2 * SLICE_ITEMS + 8] = "[0";
	struct slice_expr e;

	(void)state;
	for (unsigned i = 1; i < SLICE_ITEMS; i++)
		strcat(text, ",0");
	strcat(text, "]");
	assert_int_equal(parsed(text).nr, SLICE_ITEMS);
	text[strlen(text) - 1] = '\0';
	strcat(text, ",0]");
	assert_int_equal(slice_expr_parse(text, strlen(text), &e, &why), -EINVAL);
	assert_non_null(strstr(said, "too many indices"));
}

static void axes_are_given_out_as_numpy_does(void **state)
{
	static const uint64_t dim[] = {4, 5, 6};
	struct slice_pick p;

	(void)state;
	p = picked("[1, None, ..., -1]", dim, 3);
	assert_int_equal(p.nr, 2);
	assert_int_equal(p.out[0].axis, -1);
	assert_int_equal(p.out[0].count, 1);
	assert_int_equal(p.out[1].axis, 1);
	assert_int_equal(p.out[1].count, 5);
	assert_int_equal(p.first[0], 1);
	assert_int_equal(p.first[2], 5);
	assert_false(p.empty);
	assert_int_equal(picked("[()]", dim, 3).nr, 3);
	assert_int_equal(picked("[0,0,0]", dim, 3).nr, 0);
	assert_int_equal(picked("[0,0,...,0]", dim, 3).nr, 0);
	assert_int_equal(picked("[...]", dim, 0).nr, 0);
	assert_int_equal(picked("[None]", dim, 0).nr, 1);
	assert_true(picked("[2:2]", dim, 3).empty);
}

static void what_does_not_fit_is_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"[4]", "character 2: index 4 is out of range: axis 0 has length 4"},
		{"[:, -6]", "character 5: index -6 is out of range: axis 1 has length 5"},
		{"[..., 6]", "character 7: index 6 is out of range: axis 2 has length 6"},
		{"[0,0,0,:]", "4 indices, but the array has 3 axes"},
		{"[99999999999999999999]",
		 "character 2: index 9223372036854775807 is out of range: axis 0 has length 4"},
	};
	static const uint64_t dim[] = {4, 5, 6};
	char many[6 * NPY_DIMS] = "[None";
	struct slice_pick p;
	struct slice_expr e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		e = parsed(cases[i].text);
		assert_int_equal(slice_expr_resolve(&e, dim, 3, &p, &why), -EINVAL);
		assert_string_equal(said, cases[i].says);
	}
	for (unsigned i = 1; i < NPY_DIMS - 2; i++)
		strcat(many, ",None");
	strcat(many, "]");
	e = parsed(many);
	assert_int_equal(slice_expr_resolve(&e, dim, 2, &p, &why), 0);
	assert_int_equal(p.nr, NPY_DIMS);
	assert_int_equal(slice_expr_resolve(&e, dim, 3, &p, &why), -EINVAL);
}

/* The indices that start:stop:step takes of @n, by trying all: i is taken where it lies between, at a multiple of the
 * step from the first. */
static unsigned walk(int64_t n, bool has_start, int64_t start, bool has_stop, int64_t stop,
		     int64_t step, int64_t *out)
{
	int64_t first = 0, last = 0;
	unsigned nr = 0;

	if (has_start)
		first = start < 0 ? start + n : start;
	else
		first = step < 0 ? n - 1 : 0;
	if (step > 0 && first < 0)
		first = 0;
	if (step < 0 && first > n - 1)
		first = n - 1;
	if (has_stop)
		last = stop < 0 ? stop + n : stop;
	for (int64_t i = first; i >= 0 && i < n; i += step) {
		if (has_stop && (step > 0 ? i >= last : i <= (last < 0 ? -1 : last)))
			break;
		out[nr++] = i;
	}
	return nr;
}

static void ranges_pick_what_a_walk_finds(void **state)
{
	unsigned nr_cases = 0;

	(void)state;
	for (uint64_t n = 0; n < 7; n++)
		for (int start = -9; start < 10; start++)
			for (int stop = -9; stop < 10; stop++)
				for (int step = -4; step < 5; step++) {
					bool has_start = start != 9, has_stop = stop != 9;
					char text[64], a[16] = "", b[16] = "";
					struct slice_pick p;
					int64_t want[8];
					unsigned nr;

					if (step == 0)
						continue;
					if (has_start)
						snprintf(a, sizeof(a), "%d", start);
					if (has_stop)
						snprintf(b, sizeof(b), "%d", stop);
					snprintf(text, sizeof(text), "[%s:%s:%d]", a, b, step);
					p = picked(text, &n, 1);
					nr = walk((int64_t)n, has_start, start, has_stop, stop,
						  step, want);
					if (p.out[0].count != nr)
						fail_msg("%s of %" PRIu64 ": %" PRIu64 ", not %u",
							 text, n, p.out[0].count, nr);
					assert_int_equal(p.empty, nr == 0);
					for (unsigned i = 0; i < nr; i++)
						assert_int_equal((int64_t)p.first[0] +
									 (int64_t)i * step,
								 want[i]);
					nr_cases++;
				}
	assert_true(nr_cases > 20000);
}

static void nothing_overflows(void **state)
{
	static const uint64_t dim[] = {INT64_MAX};
	struct slice_pick p;

	(void)state;
	p = picked("[::99999999999999999999]", dim, 1);
	assert_int_equal(p.out[0].count, 1);
	p = picked("[::-99999999999999999999]", dim, 1);
	assert_int_equal(p.out[0].count, 1);
	assert_int_equal(p.first[0], INT64_MAX - 1);
	p = picked("[-99999999999999999999:99999999999999999999]", dim, 1);
	assert_int_equal(p.out[0].count, INT64_MAX);
	p = picked("[99999999999999999999:-99999999999999999999:-1]", dim, 1);
	assert_int_equal(p.out[0].count, INT64_MAX);
	p = picked("[::2]", dim, 1);
	assert_int_equal(p.out[0].count, (uint64_t)INT64_MAX / 2 + 1);
	p = picked("[-1]", dim, 1);
	assert_int_equal(p.first[0], INT64_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_python_takes_is_taken),
		cmocka_unit_test(what_is_wrong_is_told_with_its_place),
		cmocka_unit_test(too_many_items_are_refused),
		cmocka_unit_test(axes_are_given_out_as_numpy_does),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(ranges_pick_what_a_walk_finds),
		cmocka_unit_test(nothing_overflows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
