/* Superblocks on disk: two slots of one block each.
 *
 *   off  len  field
 *     0    8  magic "MATFSSUP"
 *     8    4  version
 *    12    4  length: 4096
 *    16    8  checksum: XXH3-64 of all bytes, this field as zeros
 *    24    8  generation
 *    32   16  volume uuid
 *    48    4  level, copies, nr_shards, idx (a byte each)
 *    52    4  extent_len
 *    56    4  flags
 *    60    4  nr_epochs
 *    64    8  created_ns
 *    72    8  clean_seq
 *    80    8  clean_nonce
 *    88   40  zeros
 *   128  512  epochs: epoch, nonce, members, first_seq; 16 times
 *   640   16  a shard's uuid, nr_shards times
 *     .    .  a shard's path, nr_shards times: length (a byte) and bytes
 *     .    .  zeros
 *
 * Magic, version, length and checksum keep their places in every version, so that a newer superblock can be told from
 * a damaged one.
 *
 * A store, and what a crash after each step leaves:
 *   1. write the other slot      old or torn: its checksum or generation makes the old one count
 *   2. STORE_SYNC                the new one, if its name is there
 *   3. sync_dir                  the new one */
#include "raid/super.h"

#include <stdio.h>
#include <string.h>

#include "conf/base.h"
#include "conf/bytes.h"
#include "conf/xxh3.h"

#define SUPER_MAGIC	 "MATFSSUP"
#define SUPER_SUM_OFF	 16
#define SUPER_EPOCHS_OFF 128

static uint64_t super_sum(const uint8_t *buf)
{
	uint8_t copy[SUPER_LEN];

	memcpy(copy, buf, SUPER_LEN);
	put_u64(copy + SUPER_SUM_OFF, 0);
	return XXH3_64bits(copy, SUPER_LEN);
}

/* Paths are hints: when they do not all fit each keeps its share, and of that its end. */
static void super_put_paths(struct wbuf *w, const struct super *sb)
{
	size_t share = (w->len - w->pos) / sb->geo.nr_shards - 1;

	share = MIN(share, (size_t)SUPER_PATH_MAX - 1);
	for (unsigned i = 0; i < sb->geo.nr_shards; i++) {
		size_t len = strnlen(sb->path[i], SUPER_PATH_MAX - 1);
		size_t skip = len > share ? len - share : 0;

		wbuf_u8(w, (uint8_t)(len - skip));
		wbuf_bytes(w, sb->path[i] + skip, len - skip);
	}
}

void super_encode(const struct super *sb, uint8_t *buf)
{
	struct wbuf w = wbuf_init(buf, SUPER_LEN);

	memset(buf, 0, SUPER_LEN);
	wbuf_bytes(&w, SUPER_MAGIC, 8);
	wbuf_u32(&w, SUPER_VERSION);
	wbuf_u32(&w, SUPER_LEN);
	wbuf_u64(&w, 0);
	wbuf_u64(&w, sb->generation);
	wbuf_bytes(&w, sb->uuid, RAID_UUID_LEN);
	wbuf_u8(&w, sb->geo.level);
	wbuf_u8(&w, sb->geo.copies);
	wbuf_u8(&w, sb->geo.nr_shards);
	wbuf_u8(&w, sb->idx);
	wbuf_u32(&w, sb->geo.extent_len);
	wbuf_u32(&w, sb->flags);
	wbuf_u32(&w, sb->nr_epochs);
	wbuf_u64(&w, sb->created_ns);
	wbuf_u64(&w, sb->clean_seq);
	wbuf_u64(&w, sb->clean_nonce);
	w.pos = SUPER_EPOCHS_OFF;
	for (unsigned i = 0; i < SUPER_EPOCHS; i++) {
		static const struct super_epoch none;
		const struct super_epoch *e = i < sb->nr_epochs ? &sb->epoch[i] : &none;

		wbuf_u64(&w, e->epoch);
		wbuf_u64(&w, e->nonce);
		wbuf_u64(&w, e->members);
		wbuf_u64(&w, e->first_seq);
	}
	for (unsigned i = 0; i < sb->geo.nr_shards; i++)
		wbuf_bytes(&w, sb->shard_uuid[i], RAID_UUID_LEN);
	super_put_paths(&w, sb);
	put_u64(buf + SUPER_SUM_OFF, super_sum(buf));
}

static bool super_geometry_ok(const struct raid_geometry *g)
{
	if (g->nr_shards < 1 || g->nr_shards > SHARD_MAX)
		return false;
	if (g->extent_len < 256 * KIB || g->extent_len > 4 * MIB ||
	    (g->extent_len & (g->extent_len - 1)))
		return false;
	switch (g->level) {
	case 0:
		return g->copies == 1;
	case 1:
		return g->copies >= 2 && g->copies <= STRIPE_WIDTH_MAX && g->copies <= g->nr_shards;
	case 5:
		return g->copies == 1 && g->nr_shards >= 3;
	case 6:
		return g->copies == 1 && g->nr_shards >= 4;
	default:
		return false;
	}
}

static uint64_t super_all(unsigned nr_shards)
{
	return nr_shards == 64 ? UINT64_MAX : (1ULL << nr_shards) - 1;
}

static bool super_ranges_ok(const struct super *sb)
{
	if (!super_geometry_ok(&sb->geo) || sb->idx >= sb->geo.nr_shards || sb->generation == 0)
		return false;
	if (sb->nr_epochs < 1 || sb->nr_epochs > SUPER_EPOCHS)
		return false;
	for (unsigned i = 0; i < sb->nr_epochs; i++) {
		const struct super_epoch *e = &sb->epoch[i];

		if (e->epoch == 0 || e->members == 0 || e->first_seq == 0 ||
		    e->members & ~super_all(sb->geo.nr_shards))
			return false;
		if (i > 0 && (e->epoch <= e[-1].epoch || e->first_seq < e[-1].first_seq))
			return false;
	}
	return true;
}

int super_decode(const uint8_t *buf, size_t len, struct super *out)
{
	AUTO_FREE struct super *sb = NULL;
	struct rbuf r = rbuf_init(buf, len);
	uint32_t version;

	if (len < SUPER_LEN || memcmp(buf, SUPER_MAGIC, 8) != 0)
		return -EBADMSG;
	r.len = SUPER_LEN;
	version = get_u32(buf + 8);
	if (version == 0 || get_u32(buf + 12) != SUPER_LEN ||
	    get_u64(buf + SUPER_SUM_OFF) != super_sum(buf))
		return -EBADMSG;
	if (version > SUPER_VERSION)
		return -EPROTONOSUPPORT;
	sb = calloc(1, sizeof(*sb));
	if (!sb)
		return -ENOMEM;
	r.pos = SUPER_SUM_OFF + 8;
	sb->generation = rbuf_u64(&r);
	rbuf_bytes(&r, sb->uuid, RAID_UUID_LEN);
	sb->geo.level = rbuf_u8(&r);
	sb->geo.copies = rbuf_u8(&r);
	sb->geo.nr_shards = rbuf_u8(&r);
	sb->idx = rbuf_u8(&r);
	sb->geo.extent_len = rbuf_u32(&r);
	sb->flags = rbuf_u32(&r);
	sb->nr_epochs = rbuf_u32(&r);
	sb->created_ns = rbuf_u64(&r);
	sb->clean_seq = rbuf_u64(&r);
	sb->clean_nonce = rbuf_u64(&r);
	r.pos = SUPER_EPOCHS_OFF;
	for (unsigned i = 0; i < SUPER_EPOCHS; i++) {
		sb->epoch[i].epoch = rbuf_u64(&r);
		sb->epoch[i].nonce = rbuf_u64(&r);
		sb->epoch[i].members = rbuf_u64(&r);
		sb->epoch[i].first_seq = rbuf_u64(&r);
	}
	if (!super_ranges_ok(sb))
		return -EBADMSG;
	for (unsigned i = 0; i < sb->geo.nr_shards; i++)
		rbuf_bytes(&r, sb->shard_uuid[i], RAID_UUID_LEN);
	for (unsigned i = 0; i < sb->geo.nr_shards; i++) {
		uint8_t n = rbuf_u8(&r);

		rbuf_bytes(&r, sb->path[i], n);
		if (memchr(sb->path[i], '\0', n))
			return -EBADMSG;
	}
	if (r.bad)
		return -EBADMSG;
	*out = *sb;
	return 0;
}

static const char *super_slot(uint64_t generation)
{
	return generation % 2 ? "super.1" : "super.0";
}

static int super_read_slot(const struct store_ops *ops, struct store *s, unsigned slot,
			   struct super *out)
{
	uint8_t buf[SUPER_LEN];
	struct iovec iov = {buf, sizeof(buf)};
	struct store_io io = {.op = STORE_READ, .iov = &iov, .nr_iov = 1};
	int err = ops->open(s, super_slot(slot), STORE_RDONLY, &io.file);

	if (err)
		return err;
	err = ops->run(ops, &io, 1);
	ops->close(io.file);
	if (err == -ENODATA)
		return -EBADMSG;
	err = err ? err : super_decode(buf, sizeof(buf), out);
	/* A copy of the other slot must not pass for a newer one. */
	if (!err && out->generation % 2 != slot)
		err = -EBADMSG;
	return err;
}

int super_load(const struct store_ops *ops, struct store *s, struct super *out)
{
	AUTO_FREE struct super *sb = calloc(2, sizeof(*sb));
	int err[2], best;

	if (!sb)
		return -ENOMEM;
	for (unsigned i = 0; i < 2; i++) {
		err[i] = super_read_slot(ops, s, i, &sb[i]);
		if (err[i] == -EPROTONOSUPPORT || err[i] == -ENOMEM)
			return err[i];
	}
	if (err[0] && err[1]) {
		/* What was unreadable weighs more than what was wrong, and that more than what is not there. */
		for (unsigned i = 0; i < 2; i++) {
			if (err[i] != -ENOENT && err[i] != -EBADMSG)
				return err[i];
		}
		return err[0] == -EBADMSG || err[1] == -EBADMSG ? -EBADMSG : -ENOENT;
	}
	best = err[0] ? 1 : err[1] ? 0 : sb[1].generation > sb[0].generation;
	*out = sb[best];
	return 0;
}

int super_store(const struct store_ops *ops, struct store *s, const struct super *sb)
{
	uint8_t buf[SUPER_LEN];
	struct iovec iov = {buf, sizeof(buf)};
	struct store_io io[2] = {{.op = STORE_WRITE, .iov = &iov, .nr_iov = 1}, {.op = STORE_SYNC}};
	struct store_file *f;
	int err;

	super_encode(sb, buf);
	err = ops->open(s, super_slot(sb->generation), 0, &f);
	if (err == -ENOENT)
		err = ops->open(s, super_slot(sb->generation), STORE_CREATE, &f);
	if (err)
		return err;
	io[0].file = io[1].file = f;
	err = ops->run(ops, io, 2);
	ops->close(f);
	/* Always: the name may be one that a killed process made and never synced. */
	return err ? err : ops->sync_dir(s, "");
}

void super_epoch_add(struct super *sb, const struct super_epoch *e)
{
	for (unsigned i = 0; i < sb->nr_epochs; i++) {
		if (sb->epoch[i].epoch == e->epoch && sb->epoch[i].nonce == e->nonce)
			return;
	}
	if (sb->nr_epochs == SUPER_EPOCHS) {
		memmove(sb->epoch, sb->epoch + 1, (SUPER_EPOCHS - 1) * sizeof(*sb->epoch));
		sb->nr_epochs--;
	}
	sb->epoch[sb->nr_epochs++] = *e;
}
