/* The bytes of batches, and finding them among others. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "conf/bytes.h"
#include "raid/batch.h"
#include "tests/support/golden.h"

static const uint8_t uuid[RAID_UUID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* A batch of @len payload bytes at @at; returns the bytes it takes. */
static size_t put(uint8_t *at, uint64_t seq, uint32_t len, struct batch *out)
{
	struct batch b = {.len = BATCH_HEAD_LEN + len,
			  .flags = 0,
			  .seq = seq,
			  .epoch = 3,
			  .nonce = 0xabcdef,
			  .members = 5,
			  .prev = 0x1234567890 + seq};
	struct iovec iov[2];

	memcpy(b.uuid, uuid, sizeof(uuid));
	for (uint32_t i = 0; i < len; i++)
		at[BATCH_HEAD_LEN + i] = (uint8_t)(seq + i);
	/* In two pieces: the sum is of the bytes, not of how they came. */
	iov[0] = (struct iovec){at + BATCH_HEAD_LEN, len / 3};
	iov[1] = (struct iovec){at + BATCH_HEAD_LEN + len / 3, len - len / 3};
	b.payload_sum = batch_payload_sum(iov, 2);
	batch_encode(&b, at);
	memset(at + b.len, 0, batch_blocks_len(&b) - b.len);
	if (out)
		*out = b;
	return batch_blocks_len(&b);
}

static void batch_is_the_golden_one(void **state)
{
	uint8_t buf[4096];
	struct batch b, got;

	(void)state;
	assert_int_equal(put(buf, 77, 300, &b), 4096);
	golden_check(TEST_SRC_DIR "/raid/golden", "batch.bin", buf, sizeof(buf));
	assert_int_equal(batch_decode(buf, sizeof(buf), &got), 0);
	assert_memory_equal(&b, &got, sizeof(b));
	assert_true(batch_payload_ok(&got, buf + BATCH_HEAD_LEN));
}

static void any_flipped_bit_is_noticed(void **state)
{
	uint8_t buf[4096];
	struct batch b;

	(void)state;
	put(buf, 1, 300, NULL);
	for (unsigned bit = 0; bit < 8 * (BATCH_HEAD_LEN + 300); bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (bit < 8 * BATCH_HEAD_LEN) {
			assert_int_equal(batch_decode(buf, sizeof(buf), &b), -EBADMSG);
		} else {
			assert_int_equal(batch_decode(buf, sizeof(buf), &b), 0);
			assert_false(batch_payload_ok(&b, buf + BATCH_HEAD_LEN));
		}
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(batch_decode(buf, BATCH_HEAD_LEN - 1, &b), -EBADMSG);
}

static void impossible_heads_are_refused(void **state)
{
	const struct batch good = {.len = BATCH_HEAD_LEN, .seq = 1, .epoch = 1, .members = 1};
	uint8_t buf[BATCH_HEAD_LEN];
	struct batch b = good, got;

	(void)state;
	batch_encode(&b, buf);
	assert_int_equal(batch_decode(buf, sizeof(buf), &got), 0);
	b = good, b.len = BATCH_HEAD_LEN - 1, batch_encode(&b, buf);
	assert_int_equal(batch_decode(buf, sizeof(buf), &got), -EBADMSG);
	b = good, b.len = BATCH_HEAD_LEN + RAID_BATCH_MAX + 1, batch_encode(&b, buf);
	assert_int_equal(batch_decode(buf, sizeof(buf), &got), -EBADMSG);
	b = good, b.seq = 0, batch_encode(&b, buf);
	assert_int_equal(batch_decode(buf, sizeof(buf), &got), -EBADMSG);
	b = good, b.epoch = 0, batch_encode(&b, buf);
	assert_int_equal(batch_decode(buf, sizeof(buf), &got), -EBADMSG);
	b = good, b.members = 0, batch_encode(&b, buf);
	assert_int_equal(batch_decode(buf, sizeof(buf), &got), -EBADMSG);
}

/* ---- scanning ---- */

struct file {
	uint8_t *buf;
	uint64_t seq[16], off[16];
	unsigned nr;
	uint64_t bad_from, bad_to; /* a place that cannot be read */
};

static int read_file(void *arg, uint64_t off, uint8_t *buf, size_t len)
{
	const struct file *f = arg;

	if (off < f->bad_to && off + len > f->bad_from)
		return -EIO;
	memcpy(buf, f->buf + off, len);
	return 0;
}

static int found(void *arg, const struct batch *b, uint64_t off)
{
	struct file *f = arg;

	f->seq[f->nr] = b->seq;
	f->off[f->nr++] = off;
	return 0;
}

static int scan(struct file *f, size_t size)
{
	const struct batch_scan s = {
		.size = size, .uuid = uuid, .read = read_file, .found = found, .arg = f};

	f->nr = 0;
	return batch_scan(&s);
}

static void scan_finds_what_is_whole(void **state)
{
	size_t cap = 8 * MIB, len = 0, third;
	struct file f = {.buf = calloc(1, cap)};

	(void)state;
	assert_non_null(f.buf);
	len += put(f.buf + len, 1, 100, NULL);
	len += put(f.buf + len, 2, 3 * MIB, NULL); /* longer than what is read at once */
	third = len;
	len += put(f.buf + len, 3, 5000, NULL);
	len += put(f.buf + len, 4, 0, NULL);
	len += 3 * 4096; /* nothing */
	len += put(f.buf + len, 5, 4096 - BATCH_HEAD_LEN, NULL);
	assert_int_equal(scan(&f, len), 0);
	assert_int_equal(f.nr, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(f.seq[i], i + 1);
	assert_int_equal(f.off[2], third);
	/* Damage in the payload of one takes only that one. */
	f.buf[third + 4500] ^= 1;
	assert_int_equal(scan(&f, len), 0);
	assert_int_equal(f.nr, 4);
	assert_int_equal(f.seq[2], 4);
	/* So does a sector that cannot be read. */
	f.buf[third + 4500] ^= 1;
	f.bad_from = 4096 + 2 * MIB;
	f.bad_to = f.bad_from + 512;
	assert_int_equal(scan(&f, len), 0);
	assert_int_equal(f.nr, 4);
	assert_int_equal(f.seq[0], 1);
	assert_int_equal(f.seq[1], 3);
	free(f.buf);
}

static void scan_passes_over_other_volumes(void **state)
{
	uint8_t buf[3 * 4096];
	struct file f = {.buf = buf};
	struct batch b;

	(void)state;
	memset(buf, 0xff, sizeof(buf));
	put(buf, 1, 10, &b);
	b.uuid[3] ^= 1;
	batch_encode(&b, buf);
	put(buf + 2 * 4096, 2, 10, NULL);
	assert_int_equal(scan(&f, sizeof(buf)), 0);
	assert_int_equal(f.nr, 1);
	assert_int_equal(f.seq[0], 2);
}

/* A file cut off after every number of bytes. */
static void scan_stops_at_a_cut(void **state)
{
	uint8_t buf[4 * 4096];
	struct file f = {.buf = buf};
	struct batch last;
	size_t first;

	(void)state;
	first = put(buf, 1, 100, NULL);
	put(buf + first, 2, 9000, &last);
	for (size_t len = 0; len <= sizeof(buf); len++) {
		unsigned want = (len >= BATCH_HEAD_LEN + 100) + (len >= first + last.len);

		assert_int_equal(scan(&f, len), 0);
		assert_int_equal(f.nr, want);
	}
}

static void scan_says_when_a_batch_is_of_a_newer_version(void **state)
{
	uint8_t buf[4096];
	struct file f = {.buf = buf};

	(void)state;
	put(buf, 1, 10, NULL);
	put_u32(buf + 8, BATCH_VERSION + 1);
	/* Without its checksum that is only damage. */
	assert_int_equal(scan(&f, sizeof(buf)), 0);
	assert_int_equal(f.nr, 0);
	put_u64(buf + 16, 0);
	put_u64(buf + 16, XXH3_64bits(buf, BATCH_HEAD_LEN));
	assert_int_equal(scan(&f, sizeof(buf)), -EPROTONOSUPPORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batch_is_the_golden_one),
		cmocka_unit_test(any_flipped_bit_is_noticed),
		cmocka_unit_test(impossible_heads_are_refused),
		cmocka_unit_test(scan_finds_what_is_whole),
		cmocka_unit_test(scan_passes_over_other_volumes),
		cmocka_unit_test(scan_stops_at_a_cut),
		cmocka_unit_test(scan_says_when_a_batch_is_of_a_newer_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
