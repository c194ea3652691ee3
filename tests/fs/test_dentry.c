#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "conf/base.h"
#include "fs/dentry.h"

static const struct dentry sample = {
	.ino = 0x0102030405060708,
	.type = S_IFDIR,
	.cookie = 0x1112131415161718,
};
static const uint8_t golden[DENTRY_LEN] = {8,	 7,    6,    5,	   4,	 3,    2,    1,	  4,
					   0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11};
static const uint8_t golden_cookie[] = {8, 7, 6, 5, 4, 3, 2, 1, 4, 'a', 0xff};

static struct name name_of(const char *text)
{
	return (struct name){.p = text, .len = strlen(text)};
}

static void dentry_bytes_are_as_written_down(void **state)
{
	uint8_t buf[DENTRY_COOKIE_MAX];
	struct dentry d;
	struct name name;

	(void)state;
	dentry_put(&sample, buf);
	assert_memory_equal(buf, golden, sizeof(golden));
	assert_int_equal(dentry_get(golden, sizeof(golden), &d), 0);
	assert_int_equal(d.ino, sample.ino);
	assert_int_equal(d.type, sample.type);
	assert_int_equal(d.cookie, sample.cookie);

	assert_int_equal(dentry_cookie_put(&sample, name_of("a\xff"), buf), sizeof(golden_cookie));
	assert_memory_equal(buf, golden_cookie, sizeof(golden_cookie));
	assert_int_equal(dentry_cookie_get(golden_cookie, sizeof(golden_cookie), &d, &name), 0);
	assert_int_equal(d.ino, sample.ino);
	assert_int_equal(d.type, sample.type);
	assert_int_equal(name.len, 2);
	assert_memory_equal(name.p, "a\xff", 2);
}

static void dentry_of_another_length_is_refused(void **state)
{
	struct dentry d;
	struct name name;

	(void)state;
	for (size_t len = 0; len <= DENTRY_COOKIE_MAX + 1; len++) {
		AUTO_FREE uint8_t *buf = malloc(len + 1);

		assert_non_null(buf);
		memset(buf, 'n', len);
		memcpy(buf, golden, MIN(len, sizeof(golden)));
		assert_int_equal(dentry_get(buf, len, &d), len == DENTRY_LEN ? 0 : -EBADMSG);
		assert_int_equal(dentry_cookie_get(buf, len, &d, &name),
				 len >= 10 && len <= DENTRY_COOKIE_MAX ? 0 : -EBADMSG);
	}
}

static void dentry_out_of_range_is_refused(void **state)
{
	uint8_t buf[DENTRY_LEN];
	struct dentry d;
	struct name name;

	(void)state;
	memcpy(buf, golden, sizeof(buf));
	memset(buf, 0, 8);
	assert_int_equal(dentry_get(buf, sizeof(buf), &d), -EBADMSG);
	assert_int_equal(dentry_cookie_get(buf, sizeof(buf), &d, &name), -EBADMSG);
	for (unsigned type = 0; type < 256; type++) {
		bool good = type && !(type & 1 && type != 1) && type <= 12;

		memcpy(buf, golden, sizeof(buf));
		buf[8] = (uint8_t)type;
		assert_int_equal(dentry_get(buf, sizeof(buf), &d), good ? 0 : -EBADMSG);
	}
	for (uint64_t cookie = 0; cookie < 5; cookie++) {
		memcpy(buf, golden, sizeof(buf));
		put_u64(buf + 9, cookie);
		assert_int_equal(dentry_get(buf, sizeof(buf), &d), cookie < 3 ? -EBADMSG : 0);
	}
}

static void dentry_names_are_checked(void **state)
{
	static const struct {
		const char *p;
		size_t len;
		bool good;
	} names[] = {
		{".", 1, false}, {"..", 2, false},   {"...", 3, true},
		{".a", 2, true}, {"a.", 2, true},    {"a/b", 3, false},
		{"/", 1, false}, {"a\0b", 3, false}, {"\xff\x01\n ", 4, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		uint8_t buf[DENTRY_COOKIE_MAX];
		struct name name = {names[i].p, names[i].len}, out;
		size_t len = dentry_cookie_put(&sample, name, buf);
		struct dentry d;

		assert_int_equal(dentry_name_valid(name), names[i].good);
		assert_int_equal(dentry_cookie_get(buf, len, &d, &out),
				 names[i].good ? 0 : -EBADMSG);
	}
	assert_false(dentry_name_valid((struct name){"", 0}));
}

/* ---- in an index ---- */

static int remove_path(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void dentry_both_records_live_together(void **state)
{
	char dir[] = "/tmp/matfs-test-XXXXXX", path[64];
	struct name name = name_of("name");
	struct dentry d = sample, found;
	struct index *x;
	struct index_txn *t;
	struct index_val v;
	struct key cookie = key_number(9, KEY_COOKIE, sample.cookie);

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/index", dir);
	assert_int_equal(index_open(path, 64 * MIB, true, &x), 0);
	assert_int_equal(index_begin(x, &t), 0);
	assert_int_equal(dentry_find(t, 9, name, &found), -ENOENT);
	assert_int_equal(dentry_store(t, 9, name, &d), 0);
	assert_int_equal(dentry_find(t, 8, name, &found), -ENOENT);
	assert_int_equal(dentry_find(t, 9, name, &found), 0);
	assert_int_equal(found.ino, sample.ino);
	assert_int_equal(index_get(t, &cookie, &v), 0);
	assert_int_equal(v.len, 9 + 4);
	d.ino = 5;
	assert_int_equal(dentry_store(t, 9, name, &d), 0);
	assert_int_equal(index_get(t, &cookie, &v), 0);
	assert_int_equal(get_u64(v.p), 5);
	assert_int_equal(dentry_erase(t, 9, name, &d), 0);
	assert_int_equal(dentry_find(t, 9, name, &found), -ENOENT);
	assert_int_equal(index_get(t, &cookie, &v), -ENOENT);
	/* Half an entry is damage, not an answer. */
	assert_int_equal(dentry_erase(t, 9, name, &d), -EBADMSG);
	index_abort(t);
	index_close(x, false);
	nftw(dir, remove_path, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dentry_bytes_are_as_written_down),
		cmocka_unit_test(dentry_of_another_length_is_refused),
		cmocka_unit_test(dentry_out_of_range_is_refused),
		cmocka_unit_test(dentry_names_are_checked),
		cmocka_unit_test(dentry_both_records_live_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
