/* A FITS file is a sequence of units, each a head and data, both padded to blocks of 2880 bytes. A
 * head is cards of 80 characters:
 *
 *   off  size
 *     0     8  keyword, padded with spaces
 *     8     2  "= "
 *    10    70  value, then perhaps " / comment"
 *
 * The first is SIMPLE (the file's first unit) or XTENSION, the last is END. BITPIX is the bits of a
 * number, negative for floats; NAXIS and NAXISn are the shape, the fastest axis first. All numbers
 * are big-endian. Shapes are told as astropy does, the fastest axis last. */
#include "codec/fits.h"

#include <string.h>

#include "codec/head_item.h"
#include "codec/scan.h"
#include "conf/base.h"

#define CARD_LEN   80u
#define BLOCK_FITS 2880u
#define AXES_MAX   16u

enum unit_kind {
	UNIT_IMAGE,
	UNIT_TABLE,
	UNIT_OTHER,
};

struct unit {
	enum unit_kind kind;
	uint64_t head_len; /* in whole blocks */
	uint64_t bits;	   /* of a number */
	bool is_float;
	uint64_t nr_axes;
	uint64_t axis[AXES_MAX];
	uint64_t nr_extra; /* numbers behind an image or table */
	uint64_t nr_groups;
	bool packed; /* a table that is a compressed image */

	/* A table's columns. */
	struct head_array column;
	uint64_t row_len;
	bool mixed;
};

/* A card, cut into its fields. */
struct card {
	struct scan key;
	struct scan value; /* without quotes */
	uint64_t n;
	bool is_number;
	bool negative;
};

static void trim(struct scan *s)
{
	while (s->p < s->end && *s->p == ' ')
		s->p++;
	while (s->end > s->p && s->end[-1] == ' ')
		s->end--;
}

static struct card card_at(const char *p)
{
	struct card c = {.key = {p, p + 8}, .value = {p + 10, p + CARD_LEN}};
	struct scan s;

	trim(&c.key);
	if (p[8] != '=' || p[9] != ' ') {
		c.value.end = c.value.p;
		return c;
	}
	trim(&c.value);
	s = c.value;
	if (scan_peek(&s) == '\'') {
		if (scan_string(&s, &c.value))
			trim(&c.value);
		return c;
	}
	c.negative = scan_take(&s, '-');
	c.is_number = scan_number(&s, &c.n);
	return c;
}

/* The number behind @stem in a keyword such as NAXIS2; 0 where there is none. */
static unsigned key_number(const struct scan *key, const char *stem)
{
	size_t len = strlen(stem);
	struct scan s = *key;
	uint64_t n;

	if ((size_t)(s.end - s.p) <= len || memcmp(s.p, stem, len) != 0)
		return 0;
	s.p += len;
	return scan_number(&s, &n) && scan_done(&s) && n <= 999 ? (unsigned)n : 0;
}

/* Bytes of an element of a table's column, and what it is; 0: not of this width. */
static bool set_format(struct head_array *a, char letter)
{
	switch (letter) {
	case 'L':
	case 'A':
	case 'X':
		return head_item_number(a, HEAD_OTHER, 1, true);
	case 'B':
		return head_item_number(a, HEAD_UINT, 1, true);
	case 'I':
		return head_item_number(a, HEAD_INT, 2, true);
	case 'J':
		return head_item_number(a, HEAD_INT, 4, true);
	case 'K':
		return head_item_number(a, HEAD_INT, 8, true);
	case 'E':
		return head_item_number(a, HEAD_FLOAT, 4, true);
	case 'D':
		return head_item_number(a, HEAD_FLOAT, 8, true);
	case 'C':
		return head_item_number(a, HEAD_COMPLEX, 8, true);
	case 'M':
		return head_item_number(a, HEAD_COMPLEX, 16, true);
	default: /* P and Q: descriptors of what is elsewhere */
		return false;
	}
}

/* A column's TFORM, such as 3D. */
static void take_format(struct unit *u, struct scan s)
{
	struct head_array a = {.item = 0};
	uint64_t n = 1;
	char letter;

	scan_number(&s, &n);
	letter = scan_peek(&s);
	if (letter == 'X')
		n = div_up(n, 8);
	if (n == 0)
		return;
	if (!set_format(&a, letter) || !head_item_join(&u->column, &a) ||
	    __builtin_mul_overflow(n, (uint64_t)a.item, &n) ||
	    __builtin_add_overflow(u->row_len, n, &u->row_len))
		u->mixed = true;
}

static void take_card(struct unit *u, const struct card *c)
{
	unsigned n;

	if (scan_is(&c->key, "XTENSION")) {
		u->kind = scan_is(&c->value, "IMAGE")	   ? UNIT_IMAGE
			  : scan_is(&c->value, "BINTABLE") ? UNIT_TABLE
							   : UNIT_OTHER;
	} else if (scan_is(&c->key, "BITPIX")) {
		u->bits = c->n;
		u->is_float = c->negative;
	} else if (scan_is(&c->key, "NAXIS")) {
		u->nr_axes = c->n;
	} else if (scan_is(&c->key, "PCOUNT")) {
		u->nr_extra = c->n;
	} else if (scan_is(&c->key, "GCOUNT")) {
		u->nr_groups = c->n;
	} else if (scan_is(&c->key, "ZIMAGE")) {
		u->packed = true;
	} else if (scan_is(&c->key, "GROUPS") && scan_is(&c->value, "T")) {
		u->kind = UNIT_OTHER;
	} else if ((n = key_number(&c->key, "NAXIS")) != 0) {
		if (n <= AXES_MAX)
			u->axis[n - 1] = c->n;
	} else if (key_number(&c->key, "TFORM")) {
		take_format(u, c->value);
	}
}

/* Whether a unit begins at @p; perhaps, where that is cut. */
static bool is_head(const uint8_t *p, size_t len, bool first)
{
	return len < CARD_LEN ? !first : memcmp(p, first ? "SIMPLE  =" : "XTENSION=", 9) == 0;
}

/* Read the head at @p. Returns false when it is cut. */
static bool read_head(const uint8_t *p, size_t len, struct unit *u)
{
	uint64_t pos;

	*u = (struct unit){.kind = UNIT_IMAGE, .nr_groups = 1};
	for (pos = 0; len - pos >= CARD_LEN; pos += CARD_LEN) {
		struct card c = card_at((const char *)p + pos);

		if (scan_is(&c.key, "END")) {
			u->head_len = div_up(pos + CARD_LEN, BLOCK_FITS) * BLOCK_FITS;
			return true;
		}
		take_card(u, &c);
	}
	return false;
}

/* Bytes of a unit's data, without padding. False: not known. */
static bool data_len(const struct unit *u, uint64_t *len)
{
	uint64_t n = u->nr_axes ? 1 : 0;

	if (u->nr_axes > AXES_MAX)
		return false;
	for (unsigned i = 0; i < u->nr_axes; i++) {
		if (__builtin_mul_overflow(n, u->axis[i], &n))
			return false;
	}
	return !__builtin_add_overflow(n, u->nr_extra, &n) &&
	       !__builtin_mul_overflow(n, u->nr_groups, &n) &&
	       !__builtin_mul_overflow(n, u->bits / 8, len);
}

static void add_image(const struct unit *u, uint64_t start, struct head_list *l)
{
	static const uint8_t types[] = {HEAD_INT, HEAD_FLOAT};
	struct head_array a = {.item = 0};
	uint64_t dims[AXES_MAX];
	uint64_t nr = u->nr_axes;

	/* Bytes are the only numbers without sign; others have an offset, BZERO. */
	if (u->bits % 8 || nr == 0 ||
	    !head_item_number(&a, u->bits == 8 ? HEAD_UINT : types[u->is_float], u->bits / 8, true))
		return;
	for (unsigned i = 0; i < nr; i++)
		dims[i] = u->axis[nr - 1 - i];
	if (head_item_shape(&a, start, dims, (unsigned)nr, false))
		head_list_add(l, &a);
}

static void add_table(const struct unit *u, uint64_t start, struct head_list *l)
{
	struct head_array a = {.item = 0};

	if (u->mixed || u->packed || u->nr_axes != 2 || u->row_len != u->axis[0] ||
	    !head_item_record(&a, &u->column, u->row_len) ||
	    !head_item_shape(&a, start, &u->axis[1], 1, false))
		return;
	head_list_add(l, &a);
}

uint64_t fits_find(const uint8_t *bytes, size_t len, uint64_t off, struct head_list *l)
{
	uint64_t pos = 0;

	while (pos < len && !head_list_full(l)) {
		struct unit u;
		uint64_t n;
		uint64_t start;

		if (!is_head(bytes + pos, len - pos, off + pos == 0))
			return 0;
		if (!read_head(bytes + pos, len - pos, &u))
			break;
		if (!data_len(&u, &n) || __builtin_add_overflow(off + pos, u.head_len, &start) ||
		    n > INT64_MAX - BLOCK_FITS)
			return 0;
		if (u.kind == UNIT_IMAGE)
			add_image(&u, start, l);
		else if (u.kind == UNIT_TABLE)
			add_table(&u, start, l);
		/* Random groups are of another length than is said. */
		else if (off + pos == 0)
			return 0;
		n = div_up(n, BLOCK_FITS) * BLOCK_FITS + u.head_len;
		if (__builtin_add_overflow(pos, n, &pos))
			return 0;
	}
	if (pos == 0 || __builtin_add_overflow(pos, off, &pos) || pos > INT64_MAX)
		return 0;
	return pos;
}
