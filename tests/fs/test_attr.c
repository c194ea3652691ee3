#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "conf/base.h"
#include "conf/bytes.h"
#include "fs/attr.h"

/* Every field different, so that two swapped ones show. */
static const struct attr sample = {
	.mode = S_IFDIR | S_ISGID | 0751,
	.uid = 0x01020304,
	.gid = 0x05060708,
	.nlink = 0x090a0b0c,
	.rdev = 0x1112131415161718,
	.size = 0x2122232425262728,
	.mapped = 0x3132333435363738,
	.parent = 0x4142434445464748,
	.next_cookie = 0x5152535455565758,
	.flags = ATTR_CAPS,
	.atime = {.tv_sec = 0x61626364, .tv_nsec = 999999999},
	.mtime = {.tv_sec = -1, .tv_nsec = 1},
	.ctime = {.tv_sec = 0x6566676869, .tv_nsec = 0},
	.btime = {.tv_sec = 7, .tv_nsec = 8},
};

/* Written by hand from the table in attr.c: the format outlives the code. */
static const uint8_t golden[ATTR_LEN] = {
	1,    0,    0,	  0,				/* version */
	1,    0,    0,	  0,				/* flags */
	0xe9, 0x45, 0,	  0,				/* mode 042751 */
	4,    3,    2,	  1,				/* uid */
	8,    7,    6,	  5,				/* gid */
	0x0c, 0x0b, 0x0a, 9,				/* nlink */
	0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, /* rdev */
	0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, /* size */
	0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31, /* mapped */
	0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41, /* parent */
	0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51, /* next_cookie */
	0x64, 0x63, 0x62, 0x61, 0,    0,    0,	  0,	/* atime */
	0xff, 0xc9, 0x9a, 0x3b,				/* 999999999 */
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* mtime, before 1970 */
	1,    0,    0,	  0,				/* */
	0x69, 0x68, 0x67, 0x66, 0x65, 0,    0,	  0,	/* ctime, after 2038 */
	0,    0,    0,	  0,				/* */
	7,    0,    0,	  0,	0,    0,    0,	  0,	/* btime */
	8,    0,    0,	  0,				/* */
};

static void attr_bytes_are_as_written_down(void **state)
{
	uint8_t buf[ATTR_LEN];

	(void)state;
	attr_put(&sample, buf);
	assert_memory_equal(buf, golden, ATTR_LEN);
}

static void attr_comes_back(void **state)
{
	struct attr a;
	uint8_t again[ATTR_LEN];

	(void)state;
	assert_int_equal(attr_get(golden, ATTR_LEN, &a), 0);
	assert_int_equal(a.mode, sample.mode);
	assert_int_equal(a.mtime.tv_sec, -1);
	assert_int_equal(a.ctime.tv_sec, 0x6566676869);
	assert_int_equal(a.next_cookie, sample.next_cookie);
	attr_put(&a, again);
	assert_memory_equal(again, golden, ATTR_LEN);
}

static void attr_of_another_length_is_refused(void **state)
{
	uint8_t longer[ATTR_LEN + 1] = {0};
	struct attr a;

	(void)state;
	for (size_t len = 0; len < ATTR_LEN; len++) {
		AUTO_FREE uint8_t *cut = malloc(len + 1);

		assert_non_null(cut);
		memcpy(cut, golden, len);
		assert_int_equal(attr_get(cut, len, &a), -EBADMSG);
	}
	memcpy(longer, golden, ATTR_LEN);
	assert_int_equal(attr_get(longer, sizeof(longer), &a), -EBADMSG);
}

struct damage {
	size_t off, len;
	uint64_t value;
};

static void attr_refuses(const struct damage *d)
{
	struct attr a = {.uid = 77};
	uint8_t buf[ATTR_LEN];

	memcpy(buf, golden, sizeof(buf));
	for (size_t i = 0; i < d->len; i++)
		buf[d->off + i] = (uint8_t)(d->value >> (8 * i));
	if (attr_get(buf, sizeof(buf), &a) != -EBADMSG)
		fail_msg("offset %zu takes %llx", d->off, (unsigned long long)d->value);
	assert_int_equal(a.uid, 77);
}

static void attr_out_of_range_is_refused(void **state)
{
	static const struct damage damages[] = {
		{0, 4, 0}, /* version */
		{0, 4, 2},
		{4, 4, 2},			  /* flags nobody knows */
		{8, 4, 0751},			  /* no type */
		{8, 4, 0170000},		  /* no such type */
		{8, 4, S_IFDIR | 0751 | 1 << 16}, /* more than a mode */
		{32, 8, 1ULL << 63},		  /* size */
		{40, 8, 1ULL << 63},		  /* mapped */
		{56, 8, 2},			  /* cookie of ".." */
		{72, 4, 1000000000},		  /* nanoseconds, four times */
		{84, 4, 1000000000},
		{96, 4, UINT32_MAX},
		{108, 4, 1000000000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(damages); i++)
		attr_refuses(&damages[i]);
}

static void attr_of_every_type_is_taken(void **state)
{
	static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR,
					 S_IFBLK, S_IFIFO, S_IFSOCK};
	uint8_t buf[ATTR_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct attr a = sample, b;

		a.mode = types[i] | 07777;
		attr_put(&a, buf);
		assert_int_equal(attr_get(buf, sizeof(buf), &b), 0);
		assert_int_equal(b.mode, a.mode);
	}
}

static void attr_stat_shows_all(void **state)
{
	struct attr a = sample;
	struct stat st;

	(void)state;
	a.rdev = makedev(7, 3);
	a.mapped = 513;
	attr_stat(42, &a, 1 << 20, &st);
	assert_int_equal(st.st_ino, 42);
	assert_int_equal(st.st_mode, a.mode);
	assert_int_equal(st.st_nlink, a.nlink);
	assert_int_equal(st.st_uid, a.uid);
	assert_int_equal(st.st_gid, a.gid);
	assert_int_equal(major(st.st_rdev), 7);
	assert_int_equal(minor(st.st_rdev), 3);
	assert_int_equal(st.st_size, a.size);
	assert_int_equal(st.st_blksize, 1 << 20);
	assert_int_equal(st.st_blocks, 2); /* a sector begun is a sector */
	assert_int_equal(st.st_atim.tv_nsec, 999999999);
	assert_int_equal(st.st_mtim.tv_sec, -1);
	assert_int_equal(st.st_ctim.tv_sec, 0x6566676869);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attr_bytes_are_as_written_down),
		cmocka_unit_test(attr_comes_back),
		cmocka_unit_test(attr_of_another_length_is_refused),
		cmocka_unit_test(attr_out_of_range_is_refused),
		cmocka_unit_test(attr_of_every_type_is_taken),
		cmocka_unit_test(attr_stat_shows_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
