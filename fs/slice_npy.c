/* The dtype is copied as the source has it, so its encoding decides the version: what is not ASCII is UTF-8 in version 3,
 * and Latin-1 before. */
#include "fs/slice_npy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/base.h"
#include "conf/bytes.h"

#define ALIGN	64 /* numpy's, so that items can be mapped */
#define FIXED_1 10u
#define FIXED	12u
#define DIM_LEN 22u /* digits of 64 bits, ", " */

static size_t put_shape(char *p, const struct slice_pick *pick)
{
	size_t n = 0;

	p[n++] = '(';
	for (unsigned i = 0; i < pick->nr; i++)
		n += (size_t)snprintf(p + n, DIM_LEN + 1, i ? ", %" PRIu64 : "%" PRIu64,
				      pick->out[i].count);
	n += (size_t)snprintf(p + n, DIM_LEN, pick->nr == 1 ? ",)" : ")");
	return n;
}

/* Returns its length; @p has room for all there is. */
static size_t put_dict(char *p, const struct npy_head *src, const struct slice_pick *pick)
{
	static const char before[] = "{'descr': ", order[] = ", 'fortran_order': ",
			  shape[] = ", 'shape': ", after[] = ", }";
	const char *fortran = src->fortran && pick->nr > 1 ? "True" : "False";
	char *from = p;

	p = mempcpy(p, before, strlen(before));
	p = mempcpy(p, src->descr, src->descr_len);
	p = mempcpy(p, order, strlen(order));
	p = mempcpy(p, fortran, strlen(fortran));
	p = mempcpy(p, shape, strlen(shape));
	p += put_shape(p, pick);
	p = mempcpy(p, after, strlen(after));
	return (size_t)(p - from);
}

static bool is_ascii(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((uint8_t)p[i] >= 0x80)
			return false;
	}
	return true;
}

static uint8_t version_of(const struct npy_head *src, size_t text_len)
{
	if (src->version == 3 && !is_ascii(src->descr, src->descr_len))
		return 3;
	return round_up(FIXED_1 + text_len + 1, ALIGN) - FIXED_1 <= UINT16_MAX ? 1 : 2;
}

int slice_npy_head(const struct npy_head *src, const struct slice_pick *pick, uint8_t **out,
		   size_t *len)
{
	size_t cap = src->descr_len + 128 + NPY_DIMS * DIM_LEN, text_len, fixed;
	AUTO_FREE char *text = malloc(cap);
	uint8_t version, *p;
	uint64_t all;

	if (!text)
		return -ENOMEM;
	text_len = put_dict(text, src, pick);
	version = version_of(src, text_len);
	fixed = version == 1 ? FIXED_1 : FIXED;
	all = round_up(fixed + text_len + 1, ALIGN);
	if (all - fixed > UINT32_MAX)
		return -EINVAL;
	p = malloc(all);
	if (!p)
		return -ENOMEM;
	memset(p, ' ', all);
	memcpy(p, "\x93NUMPY", 6);
	put_u8(p + 6, version);
	put_u8(p + 7, 0);
	if (version == 1)
		put_u16(p + 8, (uint16_t)(all - fixed));
	else
		put_u32(p + 8, (uint32_t)(all - fixed));
	memcpy(p + fixed, text, text_len);
	p[all - 1] = '\n';
	*out = p;
	*len = (size_t)all;
	return 0;
}
