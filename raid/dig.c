/* Digging: find chunks on a shard by their heads alone, when nothing else is left.
 *
 * Every block of every segment might begin a chunk. Holes are skipped by seek_data; a head that
 * is sound makes its payload read and verified; a chunk that is sound is stepped over as a
 * whole, anything else by one block. */
#include <assert.h>
#include <string.h>

#include "raid/chunk.h"
#include "raid/layout.h"
#include "raid/parity.h"
#include "raid/segment.h"
#include "raid/store.h"

/* Holds the longest chunk from its first block on. */
#define WINDOW_LEN (RAID_STRIPE_MAX + 4 * BLOCK_LEN)

struct dig {
	const struct store_ops *ops;
	struct store *store;
	int (*fn)(void *arg, const struct chunk_found *c);
	void *arg;
	struct store_file *file; /* the segment being dug */
	uint8_t *window;
	uint64_t window_off, window_len; /* what of the file is in the window */
};

/* Have the window start at @off, as long as it is before @end. */
static int fill_window(struct dig *d, uint64_t off, uint64_t end)
{
	struct iovec iov = {d->window, MIN(end - off, (uint64_t)WINDOW_LEN)};
	struct store_io io = {
		.op = STORE_READ, .file = d->file, .iov = &iov, .nr_iov = 1, .off = off};
	int err = d->ops->run(d->ops, &io, 1);

	d->window_off = off;
	d->window_len = err ? 0 : iov.iov_len;
	return err;
}

/* @len bytes of the file at @off, before @end; NULL when they cannot be read. */
static const uint8_t *look(struct dig *d, uint64_t off, uint64_t len, uint64_t end)
{
	if (len > end - off)
		return NULL;
	if ((off < d->window_off || off + len > d->window_off + d->window_len) &&
	    fill_window(d, off, end)) {
		/* One bad sector must not hide what is around it. */
		struct iovec iov = {d->window, len};
		struct store_io io = {
			.op = STORE_READ, .file = d->file, .iov = &iov, .nr_iov = 1, .off = off};

		d->window_off = off;
		d->window_len = 0;
		if (d->ops->run(d->ops, &io, 1))
			return NULL;
		d->window_len = len;
	}
	return d->window + (off - d->window_off);
}

/* Is a sound chunk at @off? Then it is handed over, and *next is behind it. */
static int dig_block(struct dig *d, uint64_t off, uint64_t size, uint64_t *next)
{
	const uint8_t *at = look(d, off, CHUNK_HEAD_LEN, size);
	struct chunk_found found;
	struct chunk_head h;
	struct iovec iov;

	*next = off + BLOCK_LEN;
	if (!at || chunk_head_get(at, CHUNK_HEAD_LEN, &h))
		return 0;
	at = look(d, off, CHUNK_HEAD_LEN + (uint64_t)h.payload_len, size);
	if (!at)
		return 0;
	iov = (struct iovec){(void *)(uintptr_t)(at + CHUNK_HEAD_LEN), h.payload_len};
	if (chunk_sum(&iov, 1) != h.payload_sum)
		return 0;
	found = (struct chunk_found){
		.owner = h.owner,
		.k = h.k,
		.m = h.m,
		.idx = h.idx,
		.stripe_len = h.stripe_len,
		.payload = at + CHUNK_HEAD_LEN,
		.payload_len = h.payload_len,
	};
	memcpy(found.uuid, h.uuid, sizeof(found.uuid));
	*next = off + (uint64_t)layout_blocks(h.stripe_len, h.k) * BLOCK_LEN;
	return d->fn(d->arg, &found);
}

static int dig_file(struct dig *d)
{
	uint64_t size, start, end;
	uint64_t off = 0;
	int err = d->ops->size(d->file, &size);

	d->window_len = 0;
	if (err)
		return err;
	while (off < size) {
		err = d->ops->seek_data(d->file, off, &start, &end);
		if (err)
			return err == -ENXIO ? 0 : err;
		/* A hole may end within a block only in files that something else has written. */
		off = MAX(off, round_down(start, BLOCK_LEN));
		while (!err && off < MIN(end, size))
			err = dig_block(d, off, size, &off);
		if (err)
			return err;
	}
	return 0;
}

static int dig_entry(void *arg, const char *entry)
{
	struct dig *d = arg;
	char name[sizeof("seg/00000000")];
	int err;

	if (strlen(entry) != 8 || strspn(entry, "0123456789abcdef") != 8)
		return 0;
	memcpy(name, "seg/", 4);
	memcpy(name + 4, entry, 9);
	err = d->ops->open(d->store, name, STORE_RDONLY, &d->file);
	/* One that cannot be opened must not keep us from the others. */
	if (err)
		return err == -ENOMEM ? err : 0;
	err = dig_file(d);
	d->ops->close(d->file);
	return err;
}

int raid_dig(const struct store_ops *ops, const char *path,
	     int (*fn)(void *arg, const struct chunk_found *c), void *arg)
{
	struct dig d = {.ops = ops, .fn = fn, .arg = arg};
	AUTO_FREE uint8_t *window = malloc(WINDOW_LEN);
	int err;

	if (!window)
		return -ENOMEM;
	d.window = window;
	err = ops->attach(ops, path, true, &d.store);
	if (err)
		return err;
	err = ops->list(d.store, "seg", dig_entry, &d);
	ops->detach(d.store);
	return err;
}

int raid_join(unsigned k, unsigned m, const uint8_t *const payload[], size_t payload_len,
	      uint32_t stripe_len, uint8_t *buf)
{
	uint8_t *chunk[STRIPE_WIDTH_MAX];
	AUTO_FREE uint8_t *rebuilt = NULL;
	uint32_t good = 0;
	uint32_t want = 0;
	int err;

	if (!k || k + m > STRIPE_WIDTH_MAX || (k > 1 && m > 2) || !stripe_len ||
	    stripe_len > RAID_STRIPE_MAX || payload_len != layout_payload_len(stripe_len, k))
		return -EINVAL;
	rebuilt = malloc(k * payload_len);
	if (!rebuilt)
		return -ENOMEM;
	for (unsigned i = 0; i < k + m; i++) {
		/* Good ones are only read from. */
		chunk[i] = (uint8_t *)(uintptr_t)payload[i];
		if (payload[i]) {
			good |= 1u << i;
		} else if (i < k) {
			chunk[i] = rebuilt + i * payload_len;
			want |= 1u << i;
		}
	}
	err = parity_rebuild(k, m, payload_len, chunk, good, want);
	if (err)
		return err;
	for (unsigned i = 0; i < k && (uint64_t)i * payload_len < stripe_len; i++)
		memcpy(buf + i * payload_len, chunk[i],
		       MIN(stripe_len - i * payload_len, payload_len));
	return 0;
}
