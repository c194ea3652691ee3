/* Log files of several shards: what is found is whole, and the history made of it is a chain.
 * Input: for each of up to four shards a byte of flags, two of length, and a log file; superblocks come from the heads
 * that are found. Heads that carry the magic get right checksums first, or hardly any would be found. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "conf/base.h"
#include "conf/bytes.h"
#include "raid/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SHARDS	 4
#define FILE_MAX (64 * KIB)

struct file {
	uint8_t *buf;
	size_t len;
	uint8_t shard;
	struct chain *chain;
	struct super *super;
	uint64_t end;
};

static int file_read(void *arg, uint64_t off, uint8_t *buf, size_t len)
{
	struct file *f = arg;

	if (off > f->len || len > f->len - off)
		abort();
	memcpy(buf, f->buf + off, len);
	return 0;
}

static int file_found(void *arg, const struct batch *b, uint64_t off)
{
	struct file *f = arg;
	const struct chain_entry e = {.b = *b, .shard = f->shard, .file = 1, .off = off};

	if (off < f->end || off % BLOCK_LEN || off + b->len > f->len)
		abort();
	f->end = off + b->len;
	if (f->super->nr_epochs == 0 || super_last(f->super)->epoch < b->epoch) {
		const struct super_epoch epoch = {b->epoch, b->nonce, b->members, b->seq};

		if (f->end % 3)
			super_epoch_add(f->super, &epoch);
	}
	return chain_add(f->chain, &e);
}

/* The input is one block a head: mend what has the magic. */
static void mend(struct file *f)
{
	for (size_t off = 0; off + BATCH_HEAD_LEN <= f->len; off += BLOCK_LEN) {
		uint8_t *p = f->buf + off;
		uint32_t len = get_u32(p + 12);

		if (memcmp(p, "MATFSLOG", 8) != 0)
			continue;
		if (len >= BATCH_HEAD_LEN && len <= f->len - off)
			put_u64(p + 80, XXH3_64bits(p + BATCH_HEAD_LEN, len - BATCH_HEAD_LEN));
		/* A prev of few bits means the batch that stands so many blocks before. */
		if (get_u64(p + 72) < 8 && get_u64(p + 72) * BLOCK_LEN <= off)
			put_u64(p + 72, get_u64(p - get_u64(p + 72) * BLOCK_LEN + 16));
		put_u64(p + 16, 0);
		put_u64(p + 16, XXH3_64bits(p, BATCH_HEAD_LEN));
	}
}

static void check_chain(const struct chain *c)
{
	for (size_t i = 0; i < c->nr_items; i++) {
		const struct batch *b = &c->entry[c->item[i].entry].b;
		const struct batch *before = i ? &c->entry[c->item[i - 1].entry].b : NULL;

		if (before && before->seq >= b->seq)
			abort();
		if (before && !c->item[i].gap &&
		    (before->sum != b->prev || before->seq + 1 != b->seq))
			abort();
		if (chain_find(c, b->seq) != &c->item[i])
			abort();
	}
	if (c->nr_items && c->next != c->entry[c->item[c->nr_items - 1].entry].b.seq + 1)
		abort();
	if (c->online & c->stale)
		abort();
}

/* Take one shard's part of the input: for each block a byte that says how many follow, and these; the rest is zeros. */
static size_t take_file(const uint8_t *data, size_t len, struct file *f)
{
	size_t pos = 3, n = get_u16(data + 1) % (FILE_MAX / BLOCK_LEN + 1);

	f->buf = calloc(1, n * BLOCK_LEN + 1);
	if (!f->buf)
		abort();
	f->len = n * BLOCK_LEN;
	for (size_t i = 0; i < n && pos < len; i++) {
		size_t part = MIN(len - pos - 1, (size_t)data[pos]);

		memcpy(f->buf + i * BLOCK_LEN, data + pos + 1, part);
		pos += 1 + part;
	}
	return pos;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t uuid[RAID_UUID_LEN];
	static struct super super[SHARDS];
	struct chain_shard shard[SHARDS] = {{0}};
	struct chain c = {0};
	unsigned nr = 0, parity = len ? data[0] % 3 : 0;

	while (nr < SHARDS && len >= 4) {
		struct file f = {.shard = (uint8_t)nr, .chain = &c, .super = &super[nr]};
		struct batch_scan s = {
			.uuid = uuid, .read = file_read, .found = file_found, .arg = &f};
		size_t used = take_file(data, len, &f);

		memset(&super[nr], 0, sizeof(super[nr]));
		mend(&f);
		s.size = f.len;
		batch_scan(&s);
		free(f.buf);
		if (super[nr].nr_epochs == 0)
			super_epoch_add(&super[nr], &(struct super_epoch){1, 1, 15, 1});
		shard[nr] = (struct chain_shard){
			.present = true, .source = data[0] < 250, .super = &super[nr]};
		nr++;
		used = MIN(used, len);
		data += used;
		len -= used;
	}
	if (nr && !chain_build(&c, shard, nr, parity))
		check_chain(&c);
	chain_fini(&c);
	return 0;
}
