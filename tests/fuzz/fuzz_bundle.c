/* The table of a bundle: what is taken lies within the bytes, and is written again the same. */
#include <stdlib.h>
#include <string.h>

#include "fs/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bundle_part *part;
	uint8_t *again;
	uint32_t at = 0;
	unsigned nr;

	if (bundle_count(data, len, &nr))
		return 0;
	part = calloc(nr, sizeof(*part));
	again = malloc(bundle_table_len(nr));
	if (!part || !again)
		abort();
	for (unsigned i = 0; i < nr; i++) {
		bundle_part(data, nr, i, &at, &part[i]);
		if (part[i].skip > len || part[i].len > len - part[i].skip)
			abort();
	}
	bundle_put(part, nr, again);
	if (memcmp(again, data, bundle_table_len(nr)) != 0)
		abort();
	free(again);
	free(part);
	return 0;
}
