/* Digging files out by the heads of chunks, when no metadata is left.
 *
 * Every intact chunk goes to a spool file; then, in the order of generations, each stripe of which enough chunks were
 * found is joined, decoded and written to its place in its file: newest last. The spool lies in the target directory,
 * without a name, and needs as much space as the chunks. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/codec.h"
#include "conf/base.h"
#include "fs/bundle.h"
#include "fs/extract.h"

struct spooled {
	struct stripe_owner owner;
	uint8_t uuid[RAID_UUID_LEN];
	uint8_t k, m, idx;
	uint32_t stripe_len;
	uint64_t at; /* in the spool */
	size_t len;
};

struct digging {
	const struct extract_params *p;
	struct extract_result *out;
	int top, spool;
	uint64_t spool_len;
	struct spooled *chunk;
	size_t nr, cap;
	uint64_t last_damaged; /* inode counted last */
};

static int spool_chunk(void *arg, const struct chunk_found *c)
{
	struct digging *d = arg;

	if (d->nr == d->cap) {
		size_t cap = MAX((size_t)1024, d->cap * 2);
		struct spooled *p = realloc(d->chunk, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		d->chunk = p;
		d->cap = cap;
	}
	if (pwrite(d->spool, c->payload, c->payload_len, (off_t)d->spool_len) !=
	    (ssize_t)c->payload_len)
		return errno ? -errno : -ENOSPC;
	d->chunk[d->nr] = (struct spooled){.owner = c->owner,
					   .k = c->k,
					   .m = c->m,
					   .idx = c->idx,
					   .stripe_len = c->stripe_len,
					   .at = d->spool_len,
					   .len = c->payload_len};
	memcpy(d->chunk[d->nr++].uuid, c->uuid, RAID_UUID_LEN);
	d->spool_len += c->payload_len;
	return 0;
}

static int by_stripe(const void *a, const void *b)
{
	const struct spooled *x = a, *y = b;

	if (x->owner.gen != y->owner.gen)
		return x->owner.gen < y->owner.gen ? -1 : 1;
	if (x->owner.ino != y->owner.ino)
		return x->owner.ino < y->owner.ino ? -1 : 1;
	if (x->owner.file_off != y->owner.file_off)
		return x->owner.file_off < y->owner.file_off ? -1 : 1;
	return x->idx - y->idx;
}

static bool same_stripe(const struct spooled *a, const struct spooled *b)
{
	return a->owner.gen == b->owner.gen && a->owner.ino == b->owner.ino &&
	       a->owner.file_off == b->owner.file_off && a->owner.raw_len == b->owner.raw_len &&
	       a->k == b->k && a->m == b->m && a->stripe_len == b->stripe_len && a->len == b->len;
}

static int join_stripe(struct digging *d, const struct spooled *c, size_t nr, uint8_t *enc)
{
	uint8_t *payload[STRIPE_WIDTH_MAX] = {NULL};
	AUTO_FREE uint8_t *bytes = malloc(nr * c->len);
	unsigned have = 0;

	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		uint8_t *p = bytes + i * c->len;

		if (c[i].idx >= STRIPE_WIDTH_MAX || payload[c[i].idx])
			continue;
		if (pread(d->spool, p, c->len, (off_t)c[i].at) != (ssize_t)c->len)
			return -EIO;
		payload[c[i].idx] = p;
		have++;
	}
	if (have < c->k)
		return -ENODATA;
	return raid_join(c->k, c->m, (const uint8_t *const *)payload, c->len, c->stripe_len, enc);
}

static int place_bytes(struct digging *d, uint64_t ino, uint64_t off, const uint8_t *raw,
		       size_t len)
{
	char name[40];
	AUTO_FD int fd = -1;

	snprintf(name, sizeof(name), "inode-%" PRIu64, ino);
	fd = openat(d->top, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (lseek(fd, 0, SEEK_END) == 0)
		d->out->nr_files++;
	if (pwrite(fd, raw, len, (off_t)off) != (ssize_t)len)
		return errno ? -errno : -ENOSPC;
	d->out->bytes += len;
	return 0;
}

static int place_bundle(struct digging *d, const uint8_t *raw, uint32_t raw_len)
{
	struct bundle_part p;
	unsigned nr = 0;
	uint32_t at = 0;
	int err = bundle_count(raw, raw_len, &nr);

	for (unsigned i = 0; !err && i < nr; i++) {
		bundle_part(raw, nr, i, &at, &p);
		err = place_bytes(d, p.ino, p.off, raw + p.skip, p.len);
	}
	return err;
}

static int place_stripe(struct digging *d, const struct spooled *c, const uint8_t *raw)
{
	if (bundle_is(&c->owner))
		return place_bundle(d, raw, c->owner.raw_len);
	return place_bytes(d, c->owner.ino, c->owner.file_off, raw, c->owner.raw_len);
}

static int dig_stripe(struct digging *d, const struct spooled *c, size_t nr)
{
	AUTO_FREE uint8_t *enc = malloc(c->stripe_len), *raw = malloc(c->owner.raw_len);
	char line[256];
	int err;

	if (!enc || !raw)
		return -ENOMEM;
	err = join_stripe(d, c, nr, enc);
	if (!err)
		err = codec_decode(enc, c->stripe_len, raw, c->owner.raw_len);
	if (!err) {
		err = place_stripe(d, c, raw);
		/* Intact, and yet no bundle: that is lost, the others need not be. */
		if (err != -EBADMSG)
			return err;
	}
	if (err == -ENOMEM)
		return err;
	if (bundle_is(&c->owner))
		snprintf(line, sizeof(line),
			 "inode %" PRIu64
			 " and others: a bundle of %u bytes of small files is lost: "
			 "%zu chunks of %u found",
			 c->owner.ino, c->owner.raw_len, nr, c->k);
	else
		snprintf(line, sizeof(line),
			 "inode %" PRIu64 ", offset %" PRIu64
			 ": %u bytes are lost: %zu chunks of %u found",
			 c->owner.ino, c->owner.file_off, c->owner.raw_len, nr, c->k);
	d->p->say(d->p->arg, line);
	d->out->nr_damaged += d->last_damaged != c->owner.ino;
	d->last_damaged = c->owner.ino;
	return 0;
}

static int dig_all(struct digging *d)
{
	int err = 0;

	if (d->nr)
		qsort(d->chunk, d->nr, sizeof(*d->chunk), by_stripe);
	for (size_t i = 0, n; !err && i < d->nr; i += n) {
		for (n = 1; i + n < d->nr && same_stripe(&d->chunk[i], &d->chunk[i + n]); n++)
			;
		if (memcmp(d->chunk[i].uuid, d->chunk[0].uuid, RAID_UUID_LEN)) {
			d->p->say(d->p->arg, "chunks of another volume among them: give shards of "
					     "one volume only");
			return -EINVAL;
		}
		err = dig_stripe(d, &d->chunk[i], n);
	}
	return err;
}

int extract_chunks(const struct store_ops *ops, const char *const *paths, unsigned nr_paths,
		   const struct extract_params *p, struct extract_result *out)
{
	struct digging d = {.p = p, .out = out, .spool = -1};
	int err = 0;

	*out = (struct extract_result){0};
	d.top = open(p->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d.top < 0)
		return -errno;
	d.spool = openat(d.top, ".matfs-spool", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			 0600);
	if (d.spool < 0 || unlinkat(d.top, ".matfs-spool", 0))
		err = -errno;
	for (unsigned i = 0; !err && i < nr_paths; i++)
		err = raid_dig(ops, paths[i], spool_chunk, &d);
	if (!err)
		err = dig_all(&d);
	free(d.chunk);
	if (d.spool >= 0)
		close(d.spool);
	close(d.top);
	return err;
}
