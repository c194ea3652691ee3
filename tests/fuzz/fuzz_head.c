/* Heads of files of all kinds, walked from one to the next as the codec does. What is answered must
 * make sense. */
#include <stdlib.h>

#include "codec/head.h"
#include "conf/base.h"
#include "tests/codec/head_check.h"

#define CAP_MAX 24u

/* Look at @len bytes as though they were at @off. */
static uint64_t find(const uint8_t *data, size_t len, uint64_t off, unsigned cap)
{
	struct head_array *out = calloc(cap ? cap : 1, sizeof(*out));
	uint64_t next;
	unsigned nr;

	if (!out)
		exit(1);
	nr = head_find(data, len, off, out, cap, &next);
	if (head_check(out, nr, cap, off, next))
		abort();
	free(out);
	return next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	/* Any number that other inputs have, too. */
	unsigned cap = len ? data[len - 1] % (CAP_MAX + 1) : 0;
	uint64_t off = 0;

	do {
		off = find(data + off, len - (size_t)off, off, cap);
	} while (off && off < len);
	find(data, len, 4096, cap);
	return 0;
}
