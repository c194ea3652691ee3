/* The head of a batch: what is taken comes back the same. */
#include <stdlib.h>
#include <string.h>

#include "fs/group.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[GROUP_HEAD_LEN];
	struct group_head h;

	if (group_head_get(data, len, &h))
		return 0;
	if (len < GROUP_HEAD_LEN)
		abort();
	group_head_put(&h, again);
	/* The reserved bytes are not looked at. */
	if (memcmp(again, data, 6) != 0 || memcmp(again + 8, data + 8, GROUP_HEAD_LEN - 8) != 0)
		abort();
	return 0;
}
