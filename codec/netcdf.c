/* A classic netCDF file, all big-endian. COUNT is 4 bytes, 8 in CDF-5; OFFSET is 4 in CDF-1, else 8;
 * a NAME is a COUNT and that many bytes, padded to 4:
 *
 *   "CDF", 1 byte: 1, 2 or 5
 *   COUNT  records
 *   list of dimensions   NAME, COUNT length (0: the record dimension)
 *   list of attributes   NAME, type, COUNT n, n values, padded to 4
 *   list of variables    NAME, COUNT n, n COUNT dimensions, list of attributes, type, COUNT size,
 *                        OFFSET of the first value
 *
 * A list is a tag of 4 bytes and a COUNT of members, both 0 where it is empty. Variables without
 * the record dimension are in one piece. Of the others each record has its part, one behind the
 * other, padded to 4 (but not when there is only one such variable), to the end of the file: the
 * number of records in the head is set late. */
#include "codec/netcdf.h"

#include "codec/head_item.h"
#include "conf/base.h"
#include "conf/bytes.h"

#define DIMS_MAX      256u
#define TAG_DIM	      10u
#define TAG_VAR	      11u
#define TAG_ATT	      12u
#define RECORD_LENGTH 0u /* of the record dimension */
#define RECORDS_ANY   2u /* for a row's length, any number of records will do */

struct cdf {
	struct rbuf r;
	unsigned count_size;
	unsigned off_size;
	uint64_t dim[DIMS_MAX];
	uint64_t nr_dims; /* in the file; those behind DIMS_MAX are not kept */

	/* The record variables so far. */
	uint64_t nr_records;
	uint64_t first; /* offset */
	struct head_array record;
	bool same; /* type and width */
	bool same_rows;
};

static uint64_t take_uint(struct cdf *c, unsigned size)
{
	const uint8_t *p = rbuf_skip(&c->r, size);

	return p ? head_item_uint(p, size, true) : 0;
}

static uint64_t take_count(struct cdf *c)
{
	return take_uint(c, c->count_size);
}

/* Pass over @n values of @size bytes, and their padding. */
static void skip_padded(struct cdf *c, uint64_t n, unsigned size)
{
	uint64_t len;

	if (__builtin_mul_overflow(n, (uint64_t)size, &len) || len > c->r.len) {
		c->r.bad = true;
		return;
	}
	rbuf_skip(&c->r, (size_t)round_up(len, 4));
}

/* The members of a list whose tag is @tag. */
static uint64_t take_list(struct cdf *c, uint32_t tag)
{
	uint64_t is = take_uint(c, 4);
	uint64_t n = take_count(c);

	if (is != tag && (is != 0 || n != 0))
		c->r.bad = true;
	return c->r.bad ? 0 : n;
}

static bool set_type(struct head_array *a, uint64_t code)
{
	static const struct {
		uint8_t type;
		uint8_t size;
	} types[] = {
		{HEAD_INT, 1},	 {HEAD_OTHER, 1}, {HEAD_INT, 2},  {HEAD_INT, 4},
		{HEAD_FLOAT, 4}, {HEAD_FLOAT, 8}, {HEAD_UINT, 1}, {HEAD_UINT, 2},
		{HEAD_UINT, 4},	 {HEAD_INT, 8},	  {HEAD_UINT, 8},
	};

	return code >= 1 && code <= ARRAY_LEN(types) &&
	       head_item_number(a, types[code - 1].type, types[code - 1].size, true);
}

static void skip_attributes(struct cdf *c)
{
	for (uint64_t n = take_list(c, TAG_ATT); n > 0 && !c->r.bad; n--) {
		struct head_array a = {.item = 0};

		skip_padded(c, take_count(c), 1);
		if (!set_type(&a, take_uint(c, 4)))
			c->r.bad = true;
		skip_padded(c, take_count(c), a.item);
	}
}

static void take_dims(struct cdf *c)
{
	c->nr_dims = take_list(c, TAG_DIM);
	for (uint64_t i = 0; i < c->nr_dims && !c->r.bad; i++) {
		uint64_t n;

		skip_padded(c, take_count(c), 1);
		n = take_count(c);
		if (i < DIMS_MAX)
			c->dim[i] = n;
	}
}

/* One more record variable; @a is its place and rows. */
static void add_record(struct cdf *c, const struct head_array *a)
{
	const struct head_array *b = &c->record;

	if (c->nr_records++ == 0) {
		c->record = *a;
		c->first = a->start;
		c->same = true;
		c->same_rows = true;
		return;
	}
	c->same = c->same && a->type == b->type && a->width == b->width;
	c->same_rows = c->same_rows && a->pitch == b->pitch && a->plane == b->plane &&
		       a->group == b->group;
	c->first = MIN(c->first, a->start);
}

/* Take a variable's head. Returns false when it is cut. */
static bool take_variable(struct cdf *c, struct head_list *l)
{
	struct head_array a = {.item = 0};
	uint64_t dims[HEAD_ITEM_AXES];
	uint64_t nr;
	uint64_t start;
	bool ok;
	bool record = false;

	skip_padded(c, take_count(c), 1);
	nr = take_count(c);
	ok = nr <= HEAD_ITEM_AXES;
	for (uint64_t i = 0; i < nr && !c->r.bad; i++) {
		uint64_t id = take_count(c);
		bool known = id < MIN(c->nr_dims, (uint64_t)DIMS_MAX);
		uint64_t dim = known ? c->dim[id] : 0;

		if (i == 0 && known && dim == RECORD_LENGTH)
			record = true;
		else
			ok = ok && dim > 0;
		if (i < HEAD_ITEM_AXES)
			dims[i] = dim;
	}
	skip_attributes(c);
	ok = set_type(&a, take_uint(c, 4)) && ok;
	take_count(c);
	start = take_uint(c, c->off_size);
	if (c->r.bad)
		return false;
	if (record)
		dims[0] = RECORDS_ANY;
	if (!ok || !head_item_shape(&a, start, dims, (unsigned)nr, false))
		return true;
	if (record)
		add_record(c, &a);
	else
		head_list_add(l, &a);
	return true;
}

/* All record variables as one array, when they are alike. Padding between them is a multiple of
 * narrow numbers, and wide ones need none. */
static void tell_records(struct cdf *c, struct head_list *l)
{
	struct head_array a = c->record;

	head_item_unshape(&a, c->first, UINT64_MAX);
	if (c->same_rows) {
		a.pitch = c->record.pitch;
		a.plane = c->record.plane;
		a.group = c->record.group;
	}
	head_list_add(l, &a);
}

void netcdf_find(const uint8_t *bytes, size_t len, struct head_list *l)
{
	struct cdf c = {.r = rbuf_init(bytes, len)};
	const uint8_t *magic = rbuf_skip(&c.r, 4);

	if (!magic || memcmp(magic, "CDF", 3) != 0 ||
	    (magic[3] != 1 && magic[3] != 2 && magic[3] != 5))
		return;
	c.count_size = magic[3] == 5 ? 8 : 4;
	c.off_size = magic[3] == 1 ? 4 : 8;
	take_count(&c);
	take_dims(&c);
	skip_attributes(&c);
	for (uint64_t n = take_list(&c, TAG_VAR); n > 0 && take_variable(&c, l); n--)
		;
	if (c.nr_records && c.same)
		tell_records(&c, l);
}
