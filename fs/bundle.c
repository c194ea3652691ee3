/* The table of a bundle. */
#include "fs/bundle.h"

#include <errno.h>

#include "conf/bytes.h"

#define MAGIC 0x4e42464dU /* "MFBN" */

void bundle_put(struct bundle_part *part, unsigned nr, uint8_t *buf)
{
	struct wbuf w = wbuf_init(buf, bundle_table_len(nr));
	uint32_t skip = (uint32_t)bundle_table_len(nr);

	wbuf_u32(&w, MAGIC);
	wbuf_u32(&w, nr);
	for (unsigned i = 0; i < nr; i++) {
		wbuf_u64(&w, part[i].ino);
		wbuf_u64(&w, part[i].off);
		wbuf_u32(&w, part[i].len);
		wbuf_u32(&w, 0);
		part[i].skip = skip;
		skip += part[i].len;
	}
}

static const uint8_t *part_at(const uint8_t *raw, unsigned idx)
{
	return raw + BUNDLE_HEAD_LEN + (size_t)idx * BUNDLE_PART_LEN;
}

int bundle_count(const uint8_t *raw, size_t len, unsigned *nr)
{
	uint64_t need;
	uint32_t n;

	if (len < BUNDLE_HEAD_LEN || get_u32(raw) != MAGIC)
		return -EBADMSG;
	n = get_u32(raw + 4);
	if (!n || n > (len - BUNDLE_HEAD_LEN) / BUNDLE_PART_LEN)
		return -EBADMSG;
	need = bundle_table_len(n);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *p = part_at(raw, i);
		uint64_t off = get_u64(p + 8);
		uint32_t part_len = get_u32(p + 16);

		/* Cannot overflow: fewer than 2^32 parts of less than 2^32 bytes. */
		need += part_len;
		if (!get_u64(p) || !part_len || get_u32(p + 20) ||
		    off > (uint64_t)INT64_MAX - part_len)
			return -EBADMSG;
	}
	if (need > len)
		return -EBADMSG;
	*nr = n;
	return 0;
}

void bundle_part(const uint8_t *raw, unsigned nr, unsigned idx, uint32_t *at,
		 struct bundle_part *out)
{
	const uint8_t *p = part_at(raw, idx);

	if (!*at)
		*at = (uint32_t)bundle_table_len(nr);
	*out = (struct bundle_part){
		.ino = get_u64(p),
		.off = get_u64(p + 8),
		.len = get_u32(p + 16),
		.skip = *at,
	};
	*at += out->len;
}
