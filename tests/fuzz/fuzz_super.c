/* Superblocks: what is taken makes sense and is the same when written and read again. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "conf/bytes.h"
#include "raid/super.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const uint8_t *buf, size_t len)
{
	static struct super sb, again;
	uint8_t out[SUPER_LEN], twice[SUPER_LEN];

	if (super_decode(buf, len, &sb))
		return;
	if (sb.idx >= sb.geo.nr_shards || sb.geo.nr_shards > SHARD_MAX ||
	    super_last(&sb)->members == 0)
		abort();
	super_encode(&sb, out);
	if (super_decode(out, sizeof(out), &again))
		abort();
	super_encode(&again, twice);
	if (memcmp(out, twice, sizeof(out)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t buf[SUPER_LEN] = {0};

	check(data, len);
	/* Once more with a right checksum, or nothing behind it is ever reached. */
	memcpy(buf, data, len < sizeof(buf) ? len : sizeof(buf));
	put_u32(buf + 12, SUPER_LEN);
	put_u64(buf + 16, 0);
	put_u64(buf + 16, XXH3_64bits(buf, sizeof(buf)));
	check(buf, sizeof(buf));
	return 0;
}
