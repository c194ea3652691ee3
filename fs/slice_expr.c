/* The grammar is Python's, as far as basic slicing goes:
 *
 *   expr   '[' items ']' | '[' '(' ')' ']'
 *   items  item (',' item)* ','?
 *   item   integer | '...' | 'Ellipsis' | 'None' | 'newaxis' | 'np.newaxis' | range
 *   range  bound? ':' bound? (':' bound?)?
 *   bound  integer | 'None'
 *
 * with spaces anywhere between these. Integers are decimal, with a sign, and '_' between digits. */
#include "fs/slice_expr.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "conf/base.h"

struct cursor {
	const char *text, *p, *end;
	const struct why *why;
};

static unsigned place(const struct cursor *c, const char *p)
{
	return (unsigned)(p - c->text);
}

/* Characters are counted from 1, as editors do. */
static int bad(const struct cursor *c, const char *p, const char *what)
{
	return why_say(c->why, -EINVAL, "character %u: %s", place(c, p) + 1, what);
}

static char peek(struct cursor *c)
{
	while (c->p < c->end && *c->p == ' ')
		c->p++;
	return c->p < c->end ? *c->p : '\0';
}

static bool take(struct cursor *c, char wanted)
{
	if (peek(c) != wanted)
		return false;
	c->p++;
	return true;
}

static bool is_digit(char x)
{
	return x >= '0' && x <= '9';
}

static bool is_letter(char x)
{
	return (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') || x == '_';
}

/* A word, if @c stands before it; the whole word, not its beginning. */
static bool take_word(struct cursor *c, const char *word)
{
	size_t len = strlen(word);
	const char *stop;

	peek(c);
	stop = c->p + len;
	if ((size_t)(c->end - c->p) < len || memcmp(c->p, word, len) != 0)
		return false;
	if (stop < c->end && (is_letter(*stop) || is_digit(*stop) || *stop == '.'))
		return false;
	c->p = stop;
	return true;
}

static bool at_integer(struct cursor *c)
{
	char x = peek(c);

	return is_digit(x) || x == '-' || x == '+';
}

/* More than INT64_MAX is any of what that is. */
static int take_digits(struct cursor *c, uint64_t *out)
{
	const char *from = c->p;
	uint64_t n = 0;

	while (c->p < c->end && (is_digit(*c->p) || *c->p == '_')) {
		if (*c->p == '_' && (c->p == from || c->p + 1 == c->end || !is_digit(c->p[1])))
			return bad(c, c->p, "'_' is not between digits");
		if (*c->p != '_' && n <= INT64_MAX)
			n = n > INT64_MAX / 10 ? (uint64_t)INT64_MAX + 1
					       : n * 10 + (uint64_t)(*c->p - '0');
		c->p++;
	}
	if (c->p < c->end && (is_letter(*c->p) || *c->p == '.'))
		return bad(c, c->p, "only decimal integers are known");
	/* Python refuses 010, lest it be taken for an octal number. */
	if (*from == '0' && n != 0)
		return bad(c, from, "an integer begins with 0");
	*out = n;
	return 0;
}

static int take_integer(struct cursor *c, int64_t *out)
{
	bool minus = take(c, '-');
	uint64_t n = 0;
	int err;

	if (!minus)
		take(c, '+');
	if (!is_digit(peek(c)))
		return bad(c, c->p, "digits are missing");
	err = take_digits(c, &n);
	if (!err)
		*out = minus ? (int64_t)-MIN(n, (uint64_t)1 << 63)
			     : (int64_t)MIN(n, (uint64_t)INT64_MAX);
	return err;
}

/* Of a range; *has is false where nothing is told. */
static int take_bound(struct cursor *c, bool *has, int64_t *out)
{
	*has = false;
	if (take_word(c, "None"))
		return 0;
	if (!at_integer(c))
		return 0;
	*has = true;
	return take_integer(c, out);
}

/* After the start of a range, which is in @item. */
static int take_range(struct cursor *c, struct slice_item *item)
{
	bool has_step = false;
	const char *step_at;
	int err;

	item->kind = SLICE_RANGE;
	item->step = 1;
	take(c, ':');
	err = take_bound(c, &item->has_stop, &item->stop);
	if (err || !take(c, ':'))
		return err;
	peek(c);
	step_at = c->p;
	err = take_bound(c, &has_step, &item->step);
	if (!err && item->step == 0)
		err = bad(c, step_at, "a step of zero");
	if (!err && peek(c) == ':')
		err = bad(c, c->p, "a third ':'");
	return err;
}

/* What else people write, by its first character. */
static int refuse_item(struct cursor *c)
{
	char x = peek(c);

	switch (x) {
	case '\0':
	case ']':
	case ',':
		return bad(c, c->p, "an index is missing");
	case '[':
		return bad(c, c->p, "lists of indices are not known, only basic slicing");
	case '(':
		return bad(c, c->p, "parentheses are known as [()] only");
	default:
		break;
	}
	if (take_word(c, "True") || take_word(c, "False"))
		return bad(c, c->p, "boolean indices are not known, only basic slicing");
	return bad(c, c->p, is_letter(x) ? "an unknown word" : "an unexpected character");
}

static int take_item(struct cursor *c, struct slice_item *item)
{
	bool none;
	int err = 0;

	peek(c);
	*item = (struct slice_item){.at = place(c, c->p), .step = 1};
	if (c->end - c->p >= 3 && memcmp(c->p, "...", 3) == 0) {
		c->p += 3;
		item->kind = SLICE_REST;
		return 0;
	}
	if (take_word(c, "Ellipsis")) {
		item->kind = SLICE_REST;
		return 0;
	}
	if (take_word(c, "newaxis") || take_word(c, "np.newaxis") ||
	    take_word(c, "numpy.newaxis")) {
		item->kind = SLICE_NEW;
		return 0;
	}
	none = take_word(c, "None");
	if (!none && at_integer(c)) {
		item->has_start = true;
		err = take_integer(c, &item->start);
	}
	if (err)
		return err;
	if (peek(c) == ':')
		return take_range(c, item);
	if (!none && !item->has_start)
		return refuse_item(c);
	item->kind = none ? SLICE_NEW : SLICE_INDEX;
	return 0;
}

static int take_items(struct cursor *c, struct slice_expr *out)
{
	do {
		int err;

		if (out->nr && peek(c) == ']')
			return 0;
		if (out->nr == SLICE_ITEMS)
			return bad(c, c->p, "too many indices");
		err = take_item(c, &out->item[out->nr]);
		if (err)
			return err;
		out->nr++;
	} while (take(c, ','));
	return 0;
}

static int check_rest(const struct cursor *c, const struct slice_expr *e)
{
	bool seen = false;

	for (unsigned i = 0; i < e->nr; i++) {
		if (e->item[i].kind != SLICE_REST)
			continue;
		if (seen)
			return bad(c, c->text + e->item[i].at, "a second ellipsis");
		seen = true;
	}
	return 0;
}

/* [()] has no items, and is all of the array. */
static bool take_nothing(struct cursor *c)
{
	const char *from = c->p;

	if (take(c, '(') && take(c, ')') && peek(c) == ']')
		return true;
	c->p = from;
	return false;
}

int slice_expr_parse(const char *text, size_t len, struct slice_expr *out, const struct why *why)
{
	struct cursor c = {.text = text, .p = text, .end = text + len, .why = why};
	int err = 0;

	out->nr = 0;
	if (!take(&c, '['))
		return bad(&c, c.p, "no '['");
	if (!take_nothing(&c))
		err = take_items(&c, out);
	if (err)
		return err;
	if (!take(&c, ']'))
		return bad(&c, c.p, c.p < c.end ? "neither ',' nor ']'" : "no ']' at the end");
	if (c.p < c.end)
		return bad(&c, c.p, "more behind the ']'");
	return check_rest(&c, out);
}

/* ---- on an array ---- */

static int add_out(struct slice_pick *p, uint64_t count, int64_t step, int axis,
		   const struct why *why)
{
	if (p->nr == NPY_DIMS)
		return why_say(why, -EINVAL, "the result has more than %d axes", NPY_DIMS);
	p->out[p->nr].count = count;
	p->out[p->nr].step = step;
	p->out[p->nr].axis = axis;
	p->nr++;
	p->empty |= count == 0;
	return 0;
}

/* One end of a range on an axis of @n: from the end when negative, then cut to [@low, @high]. */
static int64_t clamp(int64_t at, int64_t n, int64_t low, int64_t high)
{
	if (at < 0)
		at += n; /* cannot overflow: one is negative */
	return at < low ? low : at > high ? high : at;
}

/* As Python's slice.indices() has it. */
static int pick_range(const struct slice_item *item, unsigned axis, uint64_t dim,
		      struct slice_pick *p, const struct why *why)
{
	bool back = item->step < 0;
	int64_t n = (int64_t)dim;
	int64_t low = back ? -1 : 0, high = back ? n - 1 : n;
	int64_t start = back ? high : low, stop = back ? low : high;
	uint64_t stride = back ? -(uint64_t)item->step : (uint64_t)item->step;
	uint64_t span, count;

	if (item->has_start)
		start = clamp(item->start, n, low, high);
	if (item->has_stop)
		stop = clamp(item->stop, n, low, high);
	if (back ? start <= stop : stop <= start) {
		p->first[axis] = 0;
		return add_out(p, 0, item->step, (int)axis, why);
	}
	span = (uint64_t)(back ? start - stop : stop - start);
	count = (span - 1) / stride + 1;
	p->first[axis] = (uint64_t)start;
	return add_out(p, count, item->step, (int)axis, why);
}

static int pick_index(const struct slice_item *item, unsigned axis, uint64_t dim,
		      struct slice_pick *p, const struct why *why)
{
	int64_t n = (int64_t)dim;
	int64_t at = item->start < 0 ? item->start + n : item->start;

	if (at < 0 || at >= n)
		return why_say(why, -EINVAL,
			       "character %u: index %" PRId64
			       " is out of range: axis %u has length %" PRIu64,
			       item->at + 1, item->start, axis, dim);
	p->first[axis] = (uint64_t)at;
	return 0;
}

static int pick_all(unsigned nr, const uint64_t *dim, unsigned *axis, struct slice_pick *p,
		    const struct why *why)
{
	int err = 0;

	for (; nr && !err; nr--, (*axis)++) {
		p->first[*axis] = 0;
		err = add_out(p, dim[*axis], 1, (int)*axis, why);
	}
	return err;
}

static int pick_item(const struct slice_item *item, const uint64_t *dim, unsigned *axis,
		     unsigned nr_rest, struct slice_pick *p, const struct why *why)
{
	int err;

	switch (item->kind) {
	case SLICE_NEW:
		return add_out(p, 1, 1, -1, why);
	case SLICE_REST:
		return pick_all(nr_rest, dim, axis, p, why);
	case SLICE_RANGE:
		err = pick_range(item, *axis, dim[*axis], p, why);
		break;
	default:
		err = pick_index(item, *axis, dim[*axis], p, why);
		break;
	}
	(*axis)++;
	return err;
}

int slice_expr_resolve(const struct slice_expr *e, const uint64_t *dim, unsigned nr_dims,
		       struct slice_pick *out, const struct why *why)
{
	unsigned nr_used = 0, axis = 0;
	int err = 0;

	for (unsigned i = 0; i < e->nr; i++)
		nr_used += e->item[i].kind == SLICE_INDEX || e->item[i].kind == SLICE_RANGE;
	if (nr_used > nr_dims)
		return why_say(why, -EINVAL, "%u indices, but the array has %u axes", nr_used,
			       nr_dims);
	out->nr = 0;
	out->empty = false;
	for (unsigned i = 0; i < e->nr && !err; i++)
		err = pick_item(&e->item[i], dim, &axis, nr_dims - nr_used, out, why);
	/* Without an ellipsis there is one at the end. */
	if (!err)
		err = pick_all(nr_dims - axis, dim, &axis, out, why);
	return err;
}
