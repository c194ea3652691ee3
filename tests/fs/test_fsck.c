/* fsck finds each kind of damage: a sound index gets one wrong record at a time. */
#include "tests/fs/fs_make.h"

#include "conf/log.h"
#include "fs/attr.h"
#include "fs/commit.h"
#include "fs/dentry.h"
#include "fs/extent.h"
#include "fs/file.h"
#include "fs/fsck.h"
#include "fs/name.h"

static struct fs_make make;
static uint64_t dir_ino, file_ino, link_ino;
static char said[4096];

static uint64_t new_inode(uint64_t parent, const char *name, uint32_t mode, size_t len)
{
	struct name_new nn = {.mode = mode, .target = "target"};
	struct inode *in;
	uint64_t ino;

	assert_int_equal(name_make(make.fs, parent, (struct name){name, strlen(name)}, &nn, &in),
			 0);
	if (len) {
		uint8_t *p = calloc(1, len);

		memset(p, 5, len);
		assert_int_equal(file_write(in, 0, &(struct iovec){p, len}, 1, false), 0);
		free(p);
	}
	ino = in->ino;
	inode_put(in);
	return ino;
}

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	fs_make_init(&make, 1);
	dir_ino = new_inode(1, "dir", S_IFDIR | 0755, 0);
	file_ino = new_inode(dir_ino, "file", S_IFREG | 0644, 3 * MIB);
	link_ino = new_inode(dir_ino, "link", S_IFLNK | 0777, 0);
	new_inode(1, "tiny", S_IFREG | 0644, 100);
	new_inode(1, "sub", S_IFDIR | 0755, 0);
	assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fs_make_fini(&make);
	return 0;
}

static void say(void *arg, const char *line)
{
	(void)arg;
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n", line);
}

static uint64_t problems(void)
{
	struct fsck_params p = {.say = say};
	struct fsck_result out;

	said[0] = 0;
	assert_int_equal(fsck_index(make.fs->index, &p, &out), 0);
	return out.nr_problems;
}

/* Plant @val (NULL: remove the record), look for @words, take it out again. */
static void planted(const struct key *key, const void *val, size_t len, const char *words)
{
	struct index_val v = {NULL, 0};
	uint8_t old[4096];
	struct index_txn *t;
	int had;

	assert_int_equal(problems(), 0);
	assert_int_equal(index_begin(make.fs->index, &t), 0);
	had = !index_get(t, key, &v);
	if (had)
		memcpy(old, v.p, v.len);
	assert_int_equal(val ? index_put(t, key, val, len) : index_del(t, key), 0);
	assert_int_equal(index_commit(t, NULL), 0);
	assert_true(problems() > 0);
	if (!strstr(said, words))
		fail_msg("'%s' is not in: %s", words, said);
	assert_int_equal(index_begin(make.fs->index, &t), 0);
	assert_int_equal(had ? index_put(t, key, old, v.len) : index_del(t, key), 0);
	assert_int_equal(index_commit(t, NULL), 0);
}

static size_t record(const struct key *key, uint8_t *buf)
{
	struct index_txn *t;
	struct index_val v;
	size_t len;

	assert_int_equal(index_read(make.fs->index, &t), 0);
	assert_int_equal(index_get(t, key, &v), 0);
	memcpy(buf, v.p, v.len);
	len = v.len;
	index_read_end(t);
	return len;
}

static void planted_attr(uint64_t ino, void (*change)(struct attr *), const char *words)
{
	struct key key = key_plain(ino, KEY_ATTR);
	uint8_t buf[4096];
	struct attr a;

	assert_int_equal(attr_get(buf, record(&key, buf), &a), 0);
	change(&a);
	attr_put(&a, buf);
	planted(&key, buf, ATTR_LEN, words);
}

static void more_links(struct attr *a)
{
	a->nlink++;
}

static void smaller(struct attr *a)
{
	a->size /= 2;
}

static void other_parent(struct attr *a)
{
	a->parent = 77;
}

static void low_cookie(struct attr *a)
{
	a->next_cookie = 3;
}

static void attributes(void **state)
{
	struct key key = key_plain(file_ino, KEY_ATTR);

	(void)state;
	planted_attr(file_ino, more_links, "link count 2 instead of 1");
	planted_attr(dir_ino, more_links, "link count 3 instead of 2");
	planted_attr(file_ino, smaller, "data beyond the size");
	planted_attr(dir_ino, smaller, "for 2 names");
	planted_attr(dir_ino, other_parent, "but says 77");
	planted_attr(dir_ino, low_cookie, "beyond the next free one");
	planted(&key, "x", 1, "attributes are damaged");
	planted(&key, NULL, 0, "which is missing");
	key = key_plain(1, KEY_ATTR);
	planted(&key, NULL, 0, "there is no root");
}

static void names(void **state)
{
	struct key key = key_name(dir_ino, KEY_DENTRY, "file", 4);
	struct dentry d = {.ino = file_ino, .type = S_IFLNK, .cookie = 3};
	uint8_t buf[DENTRY_LEN];

	(void)state;
	planted(&key, NULL, 0, "no name leads to it");
	planted(&key, "x", 1, "a name is damaged");
	dentry_put(&d, buf);
	planted(&key, buf, DENTRY_LEN, "of another type");
	d.ino = 999;
	dentry_put(&d, buf);
	planted(&key, buf, DENTRY_LEN, "which is missing");
	key = key_number(dir_ino, KEY_COOKIE, 3);
	planted(&key, NULL, 0, "places in its order");
	planted(&key, "x", 1, "a place in its order is damaged");
	key = key_name(dir_ino, KEY_DENTRY, "again", 5);
	d = (struct dentry){.ino = 1, .type = S_IFDIR, .cookie = 9};
	dentry_put(&d, buf);
	planted(&key, buf, DENTRY_LEN, "but says 1");
	key = key_name(file_ino, KEY_DENTRY, "x", 1);
	planted(&key, buf, DENTRY_LEN, "is no directory");
	key = key_plain(link_ino, KEY_INLINE);
	planted(&key, NULL, 0, "target is missing");
}

static void data(void **state)
{
	struct key key = key_number(file_ino, KEY_MAP, MIB);
	struct index_txn *t;
	struct map_entry m;
	uint8_t buf[4096];
	size_t len = record(&key, buf);

	(void)state;
	assert_int_equal(index_read(make.fs->index, &t), 0);
	assert_int_equal(extent_find(t, file_ino, MIB, &m), 0);
	index_read_end(t);
	planted(&key, NULL, 0, "1 references instead of 0");
	planted(&key, "x", 1, "map entry is damaged");
	buf[4] = 1; /* skip */
	planted(&key, buf, len, "reaches beyond extent");
	buf[4] = 0;
	buf[8] ^= 0x40; /* generation */
	planted(&key, buf, len, "is missing");
	buf[8] ^= 0x40;
	key = key_number(file_ino, KEY_MAP, MIB / 2);
	planted(&key, buf, len, "overlaps the map entry before");
	key = key_number(0, KEY_EXTENT, m.gen);
	len = record(&key, buf);
	planted(&key, NULL, 0, "is missing");
	planted(&key, "x", 1, "its record is damaged");
	buf[0]++;
	planted(&key, buf, len, "2 references instead of 1");
	buf[0]--;
	key = key_number(0, KEY_EXTENT, 12345678);
	planted(&key, buf, len, "share blocks");
	key = key_plain(dir_ino, KEY_INLINE);
	planted(&key, buf, 4096, "inline bytes");
}

static void others(void **state)
{
	struct key key = key_number(0, KEY_ORPHAN, 4711);

	(void)state;
	planted(&key, "", 0, "there is no such inode");
	key = key_number(0, KEY_ORPHAN, file_ino);
	planted(&key, "", 0, "is an orphan but has 1 names");
	key = key_plain(0, KEY_ORPHAN);
	planted(&key, "", 0, "an orphan record");
	key = key_plain(file_ino, (enum key_kind)0x77);
	planted(&key, "x", 1, "unknown kind");
	key = key_name(file_ino, KEY_XATTR, "system.posix_acl_access", 23);
	planted(&key, "x", 1, "access control list is damaged");
	key = key_name(file_ino, KEY_XATTR, "", 0);
	planted(&key, "x", 1, "no valid name");
	key = key_name(5000, KEY_XATTR, "user.x", 6);
	planted(&key, "x", 1, "but no attributes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attributes),
		cmocka_unit_test(names),
		cmocka_unit_test(data),
		cmocka_unit_test(others),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
