/* Chunk heads: what decodes is within its bounds and encodes to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "raid/chunk.h"
#include "raid/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t buf[CHUNK_HEAD_LEN];
	struct chunk_head h, again;

	if (chunk_head_get(data, len, &h)) {
		/* The checksum keeps nearly all inputs out: pass it, for the sake of what is
		 * behind. */
		if (len < 64)
			return 0;
		memset(&h, 0, sizeof(h));
		h.k = data[0] % 20;
		h.m = data[1] % 20;
		h.idx = data[2] % 20;
		memcpy(&h.stripe_len, data + 4, 4);
		h.payload_len = data[3] % 2 && h.k && h.stripe_len
					? layout_payload_len(h.stripe_len, h.k)
					: 0;
		memcpy(&h.owner.gen, data + 8, 8);
		memcpy(&h.payload_sum, data + 16, 8);
		memcpy(h.uuid, data + 24, sizeof(h.uuid));
		chunk_head_put(&h, buf);
		if (chunk_head_get(buf, sizeof(buf), &h))
			return 0;
	}
	if (!h.k || h.k + h.m > STRIPE_WIDTH_MAX || h.idx >= h.k + h.m || !h.stripe_len ||
	    h.stripe_len > RAID_STRIPE_MAX || (uint64_t)h.payload_len * h.k < h.stripe_len)
		abort();
	chunk_head_put(&h, buf);
	if (chunk_head_get(buf, sizeof(buf), &again) || !chunk_head_matches(&h, &again) ||
	    h.payload_sum != again.payload_sum)
		abort();
	return 0;
}
