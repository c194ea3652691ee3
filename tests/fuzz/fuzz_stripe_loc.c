/* Places of stripes: what decodes is within its bounds and encodes to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "raid/layout.h"
#include "raid/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t buf[STRIPE_LOC_MAX];
	struct stripe_loc loc;
	size_t n;

	if (stripe_loc_get(data, len, &loc))
		return 0;
	if (!loc.k || loc.k + loc.m > STRIPE_WIDTH_MAX || !loc.len || loc.len > RAID_STRIPE_MAX)
		abort();
	for (unsigned i = 0; i < loc.k + loc.m; i++) {
		if (loc.chunk[i].shard >= SHARD_MAX ||
		    (uint64_t)loc.chunk[i].block + layout_blocks(loc.len, loc.k) >
			    SEGMENT_BLOCKS_MAX)
			abort();
	}
	if (stripe_loc_bytes(&loc) < loc.len)
		abort();
	n = stripe_loc_put(&loc, buf);
	if (n > len || memcmp(buf, data, n))
		abort();
	return 0;
}
