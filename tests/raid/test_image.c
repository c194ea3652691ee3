/* Checkpoints: their bytes, and writing, reading, damage and crashes of whole ones. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/bytes.h"
#include "conf/lock.h"
#include "conf/log.h"
#include "raid/image.h"
#include "tests/support/golden.h"
#include "tests/support/raid_volume.h"

#define must(v, call)                                                                              \
	do {                                                                                       \
		int must_err = (call);                                                             \
                                                                                                   \
		if (must_err)                                                                      \
			fail_msg("%s: %d: %s", #call, must_err, (v)->why);                         \
	} while (0)

/* ---- bytes ---- */

static const struct image_head example = {
	.seq = 4711,
	.epoch = 3,
	.nonce = 0x1122334455667788,
	.uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

/* A head, a frame of 300 bytes, the tail. */
static size_t example_image(uint8_t *buf)
{
	struct image_frame f = {.len = 300};
	size_t len = IMAGE_HEAD_LEN;

	image_head_encode(&example, buf);
	for (unsigned i = 0; i < 300; i++)
		buf[len + IMAGE_FRAME_HEAD + i] = (uint8_t)(i * 3);
	len += image_frame_encode(&f, example.nonce, buf + len);
	f = (struct image_frame){.tail = true, .idx = 1, .total = 300};
	return len + image_frame_encode(&f, example.nonce, buf + len);
}

static void image_is_the_golden_one(void **state)
{
	uint8_t buf[3 * 4096];
	struct image_head h;
	struct image_frame f;

	(void)state;
	assert_int_equal(example_image(buf), sizeof(buf));
	golden_check(TEST_SRC_DIR "/raid/golden", "image.bin", buf, sizeof(buf));
	assert_int_equal(image_head_decode(buf, sizeof(buf), &h), 0);
	assert_memory_equal(&h, &example, sizeof(h));
	assert_int_equal(image_frame_decode(buf + 4096, 4096, h.nonce, &f), 0);
	assert_false(f.tail);
	assert_int_equal(f.len, 300);
	assert_int_equal(image_frame_decode(buf + 8192, 4096, h.nonce, &f), 0);
	assert_true(f.tail);
	assert_int_equal(f.total, 300);
	assert_int_equal(f.idx, 1);
}

static void any_flipped_bit_is_noticed(void **state)
{
	uint8_t buf[3 * 4096];
	struct image_head h;
	struct image_frame f;

	(void)state;
	example_image(buf);
	for (unsigned bit = 0; bit < 8 * IMAGE_HEAD_LEN; bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(image_head_decode(buf, sizeof(buf), &h), -EBADMSG);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (unsigned bit = 0; bit < 8 * (IMAGE_FRAME_HEAD + 300); bit++) {
		buf[4096 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(image_frame_decode(buf + 4096, 4096, example.nonce, &f), -EBADMSG);
		buf[4096 + bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	/* A frame of another writing. */
	assert_int_equal(image_frame_decode(buf + 4096, 4096, example.nonce + 1, &f), -EBADMSG);
	assert_int_equal(image_frame_decode(buf + 4096, 4095, example.nonce, &f), -EBADMSG);
}

/* ---- whole ones ---- */

static void open_and_recover(struct volume *v)
{
	must(v, volume_open(v));
	must(v, volume_recover(v));
}

static void append_some(struct volume *v, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		must(v, volume_append(v));
}

static void images_of_any_length_come_back(void **state)
{
	static const size_t len[] = {8,	       9,	 4064,	       4065,	   MIB - 33,
				     MIB - 32, MIB - 31, 2 * MIB - 64, 5 * MIB + 1};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(len); i++) {
		struct crash_disk *d = crash_disk_new(2, i);
		struct volume v;

		volume_init(&v, d, 2, 1);
		v.image_len = len[i];
		open_and_recover(&v);
		append_some(&v, 3);
		must(&v, volume_checkpoint(&v));
		append_some(&v, 2);
		volume_close(&v, true);
		open_and_recover(&v);
		assert_int_equal(v.n, 5);
		volume_close(&v, true);
		crash_disk_free(d);
	}
}

static int nothing(void *arg, const uint8_t *data, size_t len)
{
	(void)arg;
	(void)data;
	(void)len;
	return 0;
}

static int refuse(void *arg, const uint8_t *data, size_t len)
{
	(void)data;
	(void)len;
	++*(unsigned *)arg;
	return -EBADMSG;
}

static void reading_says_what_there_is(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	struct checkpoint *c;
	struct volume v;
	unsigned nr = 0;
	uint64_t seq = 0;

	(void)state;
	volume_init(&v, d, 2, 1);
	open_and_recover(&v);
	assert_int_equal(raid_checkpoint_read(v.r, &seq, nothing, NULL), -ENOENT);
	append_some(&v, 3);
	/* An empty one, and one that is given up. */
	must(&v, raid_checkpoint_begin(v.r, 4, &c));
	must(&v, raid_checkpoint_commit(c));
	must(&v, raid_checkpoint_read(v.r, &seq, nothing, NULL));
	assert_int_equal(seq, 4);
	must(&v, raid_checkpoint_begin(v.r, 4, &c));
	must(&v, raid_checkpoint_write(c, "given up", 8));
	raid_checkpoint_abort(c);
	must(&v, raid_checkpoint_read(v.r, &seq, refuse, &nr));
	assert_int_equal(nr, 0);
	/* Numbers that cannot be. */
	assert_int_equal(raid_checkpoint_begin(v.r, 0, &c), -EINVAL);
	assert_int_equal(raid_checkpoint_begin(v.r, 5, &c), -EINVAL);
	assert_int_equal(raid_checkpoint_begin(v.r, 3, &c), -EINVAL);
	/* What the reader says ends it, whatever it says. */
	must(&v, volume_checkpoint(&v));
	append_some(&v, 1);
	must(&v, volume_checkpoint(&v));
	assert_int_equal(raid_checkpoint_read(v.r, &seq, refuse, &nr), -EBADMSG);
	assert_int_equal(nr, 1);
	assert_int_equal(seq, 5);
	volume_close(&v, true);
	crash_disk_free(d);
}

/* Two are kept, and the log reaches back to the older one. */
static void older_image_serves_when_the_newest_is_bad_everywhere(void **state)
{
	(void)state;
	for (unsigned copies_bad = 1; copies_bad <= 3; copies_bad++) {
		struct crash_disk *d = crash_disk_new(3, 1);
		struct volume v;

		volume_init(&v, d, 3, 5);
		open_and_recover(&v);
		for (unsigned i = 0; i < 5; i++) {
			append_some(&v, 10);
			must(&v, volume_checkpoint(&v));
		}
		append_some(&v, 3);
		volume_close(&v, true);
		for (unsigned i = 0; i < copies_bad; i++)
			assert_int_equal(crash_flip(d, i, "ckpt/0000000000000033", 1 + i, 1, NULL),
					 1);
		/* 1 and 2: another shard has the frame. 3: so it may, or the older one does. */
		open_and_recover(&v);
		assert_int_equal(v.n, 53);
		assert_int_equal(crash_peek(d, 0, "ckpt/0000000000000029", 0, v.why, 1), 0);
		assert_int_equal(crash_peek(d, 0, "ckpt/000000000000001f", 0, v.why, 1), -ENOENT);
		volume_close(&v, true);
		for (unsigned i = 0; i < 3; i++)
			crash_poke(d, i, "ckpt/0000000000000033", 3, "damage", 6);
		open_and_recover(&v);
		assert_int_equal(v.n, 53);
		assert_true(raid_wants_checkpoint(v.r));
		volume_close(&v, true);
		for (unsigned i = 0; i < 3; i++)
			crash_poke(d, i, "ckpt/0000000000000029", 4096 + 9, "damage", 6);
		must(&v, volume_open(&v));
		assert_int_equal(volume_recover(&v), -EBADMSG);
		volume_close(&v, false);
		crash_disk_free(d);
	}
}

static void damaged_copies_are_counted_and_replaced(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	struct shard_stat st;
	struct volume v;

	(void)state;
	volume_init(&v, d, 2, 1);
	v.image_len = 3 * MIB;
	open_and_recover(&v);
	append_some(&v, 4);
	must(&v, volume_checkpoint(&v));
	volume_close(&v, true);
	/* Another frame on each. */
	crash_poke(d, 0, "ckpt/0000000000000005", 4096 + 100, "damage", 6);
	crash_poke(d, 1, "ckpt/0000000000000005", 4096 + MIB + 100, "damage", 6);
	open_and_recover(&v);
	assert_int_equal(v.n, 4);
	/* The first one's was asked for, and wrong; the second one's served in its place. */
	raid_shard_stat(v.r, 0, &st);
	assert_true(st.nr_wrong > 0);
	assert_true(raid_wants_checkpoint(v.r));
	must(&v, volume_checkpoint(&v));
	assert_false(raid_wants_checkpoint(v.r));
	volume_close(&v, true);
	open_and_recover(&v);
	assert_false(raid_wants_checkpoint(v.r));
	volume_close(&v, true);
	crash_disk_free(d);
}

/* The log is cut behind the older of two, and no sooner. */
static void log_is_cut_behind_the_older_image(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	uint64_t most = 0;
	struct volume v;

	(void)state;
	crash_capacity(d, 0, 64 * MIB);
	crash_capacity(d, 1, 64 * MIB);
	volume_init(&v, d, 2, 1);
	open_and_recover(&v);
	for (unsigned i = 0; i < 20; i++) {
		append_some(&v, 60);
		must(&v, volume_checkpoint(&v));
		if (i == 3)
			most = raid_log_bytes(v.r);
	}
	assert_true(raid_log_bytes(v.r) <= most + 512 * KIB);
	assert_true(crash_used(d, 0) < 4 * most);
	volume_close(&v, true);
	open_and_recover(&v);
	assert_int_equal(v.n, 1200);
	volume_close(&v, true);
	crash_disk_free(d);
}

static void full_shard_keeps_the_older_image(void **state)
{
	struct crash_disk *d = crash_disk_new(2, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 2, 1);
	v.image_len = 2 * MIB;
	open_and_recover(&v);
	append_some(&v, 4);
	must(&v, volume_checkpoint(&v));
	append_some(&v, 4);
	crash_capacity(d, 1, crash_used(d, 1) + MIB);
	assert_int_equal(volume_checkpoint(&v), -ENOSPC);
	assert_int_equal(volume_state(&v, 1), SHARD_ONLINE);
	append_some(&v, 1);
	volume_close(&v, true);
	crash_capacity(d, 1, GIB);
	open_and_recover(&v);
	assert_int_equal(v.n, 9);
	volume_close(&v, true);
	volume_must_work(&v);
	crash_disk_free(d);
}

/* The power goes at every step of checkpoints, with long images; each time a shard is lost with it. */
static void commit_survives_a_crash_at_every_step(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct crash_journal *j;
	struct crash_cursor *c;
	struct volume v;
	uint64_t n;

	(void)state;
	volume_init(&v, d, 3, 5);
	v.image_len = 2 * MIB + 5;
	open_and_recover(&v);
	append_some(&v, 3);
	must(&v, volume_checkpoint(&v));
	append_some(&v, 3);
	n = v.n;
	crash_record(d);
	must(&v, volume_checkpoint(&v));
	must(&v, volume_checkpoint(&v)); /* the same number again */
	volume_close(&v, false);
	j = crash_record_end(d);
	c = crash_cursor_new(j);
	for (uint64_t step = crash_journal_begin(j); step <= crash_journal_end(j); step++) {
		struct crash_disk *image = crash_cursor_image(c, step, step * 77);
		struct volume w;

		volume_init(&w, image, 3, 5);
		w.p.degraded = true;
		crash_shard_kill(image, (unsigned)(step % 3), -ENOENT);
		open_and_recover(&w);
		assert_int_equal(w.n, n);
		volume_close(&w, false);
		crash_shard_kill(image, (unsigned)(step % 3), 0);
		volume_must_work(&w);
		crash_disk_free(image);
	}
	crash_cursor_free(c);
	crash_journal_free(j);
	crash_disk_free(d);
}

/* A shard fails with each call that a checkpoint makes of it: the others have it, and go on. */
static void failing_shard_does_not_stop_a_checkpoint(void **state)
{
	(void)state;
	for (uint64_t after = 0;; after++) {
		struct crash_disk *d = crash_disk_new(2, after);
		struct volume v;
		bool hit;

		volume_init(&v, d, 2, 1);
		open_and_recover(&v);
		append_some(&v, 3);
		crash_fault(d, 0, CRASH_ANY, after, CRASH_FOREVER, -EIO);
		must(&v, volume_checkpoint(&v));
		append_some(&v, 1);
		hit = volume_state(&v, 0) == SHARD_FAILED;
		volume_close(&v, true);
		v.p.degraded = true;
		must(&v, volume_open_some(&v, 2));
		must(&v, volume_recover(&v));
		assert_int_equal(v.n, 4);
		volume_close(&v, true);
		crash_disk_free(d);
		/* The append after it fails for sure; only then is all of the checkpoint through. */
		if (!hit || after > 60)
			break;
	}
}

struct appender {
	struct volume *v;
	struct lock lock; /* guards v->n and the number of the next batch together */
	int err;
};

static void *append_many(void *arg)
{
	struct appender *a = arg;

	for (unsigned i = 0; i < 400 && !a->err; i++) {
		lock_take(&a->lock);
		a->err = volume_append(a->v);
		lock_release(&a->lock);
	}
	return NULL;
}

/* Images are written, and a stale shard rejoins, while batches are appended. */
static void checkpoints_run_beside_appends(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct appender a = {0};
	struct volume v;
	pthread_t t;

	(void)state;
	volume_init(&v, d, 3, 5);
	open_and_recover(&v);
	append_some(&v, 3);
	volume_close(&v, true);
	v.p.degraded = true;
	must(&v, volume_open_some(&v, 3));
	must(&v, volume_recover(&v));
	append_some(&v, 3);
	volume_close(&v, true);
	open_and_recover(&v);
	a.v = &v;
	lock_init(&a.lock);
	assert_int_equal(pthread_create(&t, NULL, append_many, &a), 0);
	for (unsigned i = 0; i < 12; i++) {
		struct checkpoint *c;
		uint8_t n[8];

		lock_take(&a.lock);
		put_u64(n, v.n);
		must(&v, raid_checkpoint_begin(v.r, raid_log_next(v.r), &c));
		lock_release(&a.lock);
		must(&v, raid_checkpoint_write(c, n, sizeof(n)));
		must(&v, raid_checkpoint_commit(c));
		assert_int_equal(volume_state(&v, 2), SHARD_ONLINE);
	}
	pthread_join(t, NULL);
	lock_fini(&a.lock);
	assert_int_equal(a.err, 0);
	assert_int_equal(v.n, 406);
	volume_close(&v, false);
	must(&v, volume_open_some(&v, 6));
	must(&v, volume_recover(&v));
	assert_int_equal(v.n, 406);
	volume_close(&v, true);
	crash_disk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_is_the_golden_one),
		cmocka_unit_test(any_flipped_bit_is_noticed),
		cmocka_unit_test(images_of_any_length_come_back),
		cmocka_unit_test(reading_says_what_there_is),
		cmocka_unit_test(older_image_serves_when_the_newest_is_bad_everywhere),
		cmocka_unit_test(damaged_copies_are_counted_and_replaced),
		cmocka_unit_test(log_is_cut_behind_the_older_image),
		cmocka_unit_test(full_shard_keeps_the_older_image),
		cmocka_unit_test(commit_survives_a_crash_at_every_step),
		cmocka_unit_test(failing_shard_does_not_stop_a_checkpoint),
		cmocka_unit_test(checkpoints_run_beside_appends),
	};

	/* Votes and damage are loud. */
	log_set_level(LOG_LEVEL_ERROR - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
