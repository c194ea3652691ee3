/* Volumes whose contents can be checked. */
#include "tests/support/raid_volume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/bytes.h"

#define BATCH_LEN_MAX 20000

/* Bytes of batch @n: from one block to several. */
static size_t batch_len(uint64_t n)
{
	return 8 + (size_t)(n * n * 7919 % (n % 7 ? 3000 : BATCH_LEN_MAX - 8));
}

static void batch_fill(uint64_t n, uint8_t *buf, size_t len)
{
	put_u64(buf, n);
	for (size_t i = 8; i < len; i++)
		buf[i] = (uint8_t)(n * 31 + i * 7 + (i >> 8));
}

void volume_init(struct volume *v, struct crash_disk *disk, unsigned nr, uint8_t level)
{
	memset(v, 0, sizeof(*v));
	v->disk = disk;
	v->image_len = 5000;
	for (unsigned i = 0; i < nr; i++) {
		snprintf(v->path[i], sizeof(v->path[i]), "/crash-disk/%u", i);
		v->paths[i] = v->path[i];
	}
	v->p = (struct raid_params){.ops = crash_ops(disk),
				    .paths = v->paths,
				    .nr_paths = nr,
				    .want = {.level = level},
				    .create = true};
}

int volume_open(struct volume *v)
{
	assert_null(v->r);
	v->why[0] = '\0';
	return raid_open(&v->p, &v->r, v->why, sizeof(v->why));
}

int volume_open_some(struct volume *v, uint64_t mask)
{
	struct raid_params all = v->p;
	const char *paths[SHARD_MAX];
	unsigned nr = 0;
	int err;

	for (unsigned i = 0; i < all.nr_paths; i++) {
		if (mask >> i & 1)
			paths[nr++] = all.paths[i];
	}
	v->p.paths = paths;
	v->p.nr_paths = nr;
	err = volume_open(v);
	v->p = all;
	return err;
}

struct image_check {
	uint64_t n;
	size_t pos;
	uint8_t first[8];
};

static int image_piece(void *arg, const uint8_t *data, size_t len)
{
	struct image_check *c = arg;

	for (size_t i = 0; i < len; i++, c->pos++) {
		if (c->pos < 8)
			c->first[c->pos] = data[i];
		else if (data[i] != (uint8_t)(get_u64(c->first) + c->pos * 13))
			return -EILSEQ;
	}
	return 0;
}

static int replay_piece(void *arg, uint64_t seq, const uint8_t *data, size_t len)
{
	struct volume *v = arg;
	uint8_t want[BATCH_LEN_MAX];

	(void)seq;
	if (len < 8 || get_u64(data) != v->n + 1 || len != batch_len(v->n + 1))
		return -EILSEQ;
	batch_fill(v->n + 1, want, len);
	if (memcmp(data, want, len) != 0)
		return -EILSEQ;
	v->n++;
	return 0;
}

int volume_recover(struct volume *v)
{
	struct image_check c = {0};
	uint64_t seq = 1;
	int err = raid_checkpoint_read(v->r, &seq, image_piece, &c);

	if (err && err != -ENOENT)
		return err;
	if (!err && c.pos < 8)
		return -EILSEQ;
	v->n = err ? 0 : get_u64(c.first);
	return raid_log_replay(v->r, err ? 1 : seq, replay_piece, v);
}

int volume_append(struct volume *v)
{
	uint8_t buf[BATCH_LEN_MAX];
	size_t len = batch_len(v->n + 1);
	struct iovec iov[2];
	uint64_t seq;
	int err;

	batch_fill(v->n + 1, buf, len);
	iov[0] = (struct iovec){buf, len / 3};
	iov[1] = (struct iovec){buf + len / 3, len - len / 3};
	err = raid_log_append(v->r, iov, 2, &seq);
	if (!err)
		v->n++;
	return err;
}

int volume_checkpoint(struct volume *v)
{
	struct checkpoint *c;
	uint8_t *buf = malloc(v->image_len);
	int err = raid_checkpoint_begin(v->r, raid_log_next(v->r), &c);

	assert_non_null(buf);
	put_u64(buf, v->n);
	for (size_t i = 8; i < v->image_len; i++)
		buf[i] = (uint8_t)(v->n + i * 13);
	if (!err) {
		err = raid_checkpoint_write(c, buf, 5);
		if (!err)
			err = raid_checkpoint_write(c, buf + 5, v->image_len - 5);
		if (err)
			raid_checkpoint_abort(c);
		else
			err = raid_checkpoint_commit(c);
	}
	free(buf);
	return err;
}

void volume_close(struct volume *v, bool clean)
{
	raid_close(v->r, clean);
	v->r = NULL;
}

static void must_open(struct volume *v)
{
	int err = volume_open(v);

	if (err)
		fail_msg("the volume does not open: %d: %s", err, v->why);
	err = volume_recover(v);
	if (err)
		fail_msg("the volume cannot be recovered: %d", err);
}

void volume_must_work(struct volume *v)
{
	uint64_t n;

	must_open(v);
	assert_int_equal(volume_append(v), 0);
	assert_int_equal(volume_checkpoint(v), 0);
	assert_int_equal(volume_append(v), 0);
	n = v->n;
	volume_close(v, true);
	must_open(v);
	assert_int_equal(v->n, n);
	assert_true(raid_was_clean(v->r));
	volume_close(v, true);
}

enum shard_state volume_state(struct volume *v, unsigned idx)
{
	struct shard_stat st;

	raid_shard_stat(v->r, idx, &st);
	return st.state;
}
