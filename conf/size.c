/* Sizes in bytes, as people write and read them. */
#include "conf/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char units[] = "KMGT";

/* The power of 1024 that @c stands for, or -EINVAL. */
static int size_unit(char c)
{
	const char *at = c ? strchr(units, c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c) : NULL;

	return at ? (int)(at - units) + 1 : -EINVAL;
}

int size_parse(const char *text, uint64_t *out)
{
	const char *p = text;
	uint64_t n = 0;
	int unit = 0;

	/* strtoull() would take signs, spaces and hexadecimal. */
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
			return -ERANGE;
	}
	if (p == text)
		return -EINVAL;
	if (*p)
		unit = size_unit(*p++);
	if (unit < 0 || *p)
		return -EINVAL;
	if (__builtin_mul_overflow(n, UINT64_C(1) << (10 * unit), &n))
		return -ERANGE;
	*out = n;
	return 0;
}

void size_print(uint64_t size, char buf[SIZE_TEXT_LEN])
{
	unsigned unit = 0;

	while (size && size % 1024 == 0 && unit < sizeof(units) - 1) {
		size /= 1024;
		unit++;
	}
	if (unit)
		snprintf(buf, SIZE_TEXT_LEN, "%" PRIu64 "%c", size, units[unit - 1]);
	else
		snprintf(buf, SIZE_TEXT_LEN, "%" PRIu64, size);
}
