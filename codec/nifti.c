/* The head of a .nii file is of its writer's byte order, which its first field tells: its length.
 *
 *   NIfTI-1   NIfTI-2
 *   off size  off size  field
 *     0    4    0    4  348, 540
 *   344    4    4    8  "n+1" 0; "n+2" 0 CR LF 1A LF
 *    40  8*2   16  8*8  number of axes (1 to 7), then their lengths, the fastest first
 *    70    2   12    2  type
 *   108    4  168    8  offset of the image: a float, an integer
 *
 * Extensions stand between the head and the image. */
#include "codec/nifti.h"

#include <string.h>

#include "codec/head_item.h"
#include "conf/base.h"

#define AXES_MAX 7u

struct layout {
	uint32_t len;
	unsigned magic_off;
	unsigned magic_len;
	const char *magic;
	unsigned dim_off;
	unsigned dim_size;
	unsigned type_off;
	unsigned data_off;
};

static const struct layout layouts[] = {
	{348, 344, 4, "n+1", 40, 2, 70, 108},
	{540, 4, 8, "n+2\0\r\n\x1a\n", 16, 8, 12, 168},
};

static bool set_type(struct head_array *a, uint64_t code, bool big)
{
	static const struct {
		uint16_t code;
		uint8_t type;
		uint8_t size;
		uint8_t nr; /* numbers of an item, when it is a record */
	} types[] = {
		{2, HEAD_UINT, 1, 1},	   {4, HEAD_INT, 2, 1},		{8, HEAD_INT, 4, 1},
		{16, HEAD_FLOAT, 4, 1},	   {32, HEAD_COMPLEX, 8, 1},	{64, HEAD_FLOAT, 8, 1},
		{128, HEAD_UINT, 1, 3},	   {256, HEAD_INT, 1, 1},	{512, HEAD_UINT, 2, 1},
		{768, HEAD_UINT, 4, 1},	   {1024, HEAD_INT, 8, 1},	{1280, HEAD_UINT, 8, 1},
		{1536, HEAD_FLOAT, 16, 1}, {1792, HEAD_COMPLEX, 16, 1}, {2048, HEAD_COMPLEX, 32, 1},
		{2304, HEAD_UINT, 1, 4},
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct head_array number;

		if (types[i].code != code)
			continue;
		if (!head_item_number(a, types[i].type, types[i].size, big))
			return false;
		number = *a;
		return types[i].nr == 1 || head_item_record(a, &number, types[i].nr);
	}
	return false;
}

/* The offset of the image, 0 when the field makes no sense. */
static uint64_t image_off(const uint8_t *p, const struct layout *y, bool big)
{
	uint64_t off;
	uint32_t bits;
	float f;

	if (y->dim_size == 8) {
		off = head_item_uint(p + y->data_off, 8, big);
		return off > INT64_MAX ? 0 : off;
	}
	bits = (uint32_t)head_item_uint(p + y->data_off, 4, big);
	memcpy(&f, &bits, sizeof(f));
	return f >= 1 && f < 1e9F ? (uint64_t)f : 0;
}

static void add_image(const uint8_t *p, const struct layout *y, bool big, struct head_list *l)
{
	uint64_t nr = head_item_uint(p + y->dim_off, y->dim_size, big);
	uint64_t off = image_off(p, y, big);
	struct head_array a = {.item = 0};
	uint64_t dims[AXES_MAX];

	if (nr < 1 || nr > AXES_MAX || !set_type(&a, head_item_uint(p + y->type_off, 2, big), big))
		return;
	for (unsigned i = 0; i < nr; i++) {
		dims[i] = head_item_uint(p + y->dim_off + (i + 1) * y->dim_size, y->dim_size, big);
		/* They are signed. */
		if (dims[i] >> (y->dim_size * 8 - 1))
			return;
	}
	if (head_item_shape(&a, MAX(off, (uint64_t)y->len + 4), dims, (unsigned)nr, true))
		head_list_add(l, &a);
}

void nifti_find(const uint8_t *bytes, size_t len, struct head_list *l)
{
	for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
		const struct layout *y = &layouts[i];
		bool big;

		if (len < y->len || memcmp(bytes + y->magic_off, y->magic, y->magic_len) != 0)
			continue;
		big = head_item_uint(bytes, 4, true) == y->len;
		if (big || head_item_uint(bytes, 4, false) == y->len)
			add_image(bytes, y, big, l);
	}
}
