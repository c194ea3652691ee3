/* Slices of files on a volume of one shard, and the nodes that stand for them. */
#include "tests/fs/fs_make.h"

#include "conf/bytes.h"
#include "fs/file.h"
#include "fs/name.h"
#include "fs/slice_node.h"

static char said[256];
static const struct why why = {.buf = said, .len = sizeof(said)};

static struct inode *file_make(struct fs *fs, const char *name)
{
	struct name_new n = {.mode = S_IFREG | 0644};
	struct inode *in;

	assert_int_equal(name_make(fs, 1, (struct name){.p = name, .len = strlen(name)}, &n, &in),
			 0);
	return in;
}

static void put(struct inode *in, uint64_t off, const void *p, size_t len)
{
	struct iovec v = {(void *)p, len};

	assert_int_equal(file_write(in, off, &v, 1, false), 0);
}

/* Write the head of a uint32 array, padded to @head_len. */
static void put_head(struct inode *in, const char *shape, size_t head_len)
{
	AUTO_FREE char *head = malloc(head_len + 1);
	size_t n;

	assert_non_null(head);
	memset(head, ' ', head_len);
	n = (size_t)sprintf(head + 12, "{'descr': '<u4', 'fortran_order': False, 'shape': %s, }",
			    shape);
	head[12 + n] = ' ';
	head[head_len - 1] = '\n';
	memcpy(head, "\x93NUMPY\x02\x00", 8);
	for (int i = 0; i < 4; i++)
		head[8 + i] = (char)((head_len - 12) >> (8 * i));
	put(in, 0, head, head_len);
}

/* An array whose items are their own index. */
static struct inode *array_make(struct fs *fs, const char *name, unsigned rows, unsigned cols,
				size_t head_len)
{
	struct inode *in = file_make(fs, name);
	AUTO_FREE uint32_t *row = malloc(cols * sizeof(*row));
	char shape[64];

	assert_non_null(row);
	snprintf(shape, sizeof(shape), "(%u, %u)", rows, cols);
	put_head(in, shape, head_len);
	for (unsigned r = 0; r < rows; r++) {
		for (unsigned c = 0; c < cols; c++)
			row[c] = r * cols + c;
		put(in, head_len + (uint64_t)r * cols * 4, row, cols * sizeof(*row));
	}
	return in;
}

static struct slice *slice_of(struct inode *in, const char *expr)
{
	struct slice *s;

	if (slice_new(in, expr, &s, &why))
		fail_msg("%s: %s", expr, said);
	return s;
}

static int read_all(struct inode *in, const struct slice *s, uint64_t off, size_t len, uint8_t *buf)
{
	size_t done;

	for (size_t at = 0; at < len; at += done) {
		int err = slice_read(in, s, off + at, len - at, buf + at, &done);

		if (err)
			return err;
		assert_true(done >= 1 && done <= len - at);
	}
	return 0;
}

/* Item (i, j) of the slice is (r0 + i * dr) * cols + c0 + j * dc. */
static void check_slice(struct inode *in, const char *expr, unsigned cols, unsigned nr_i,
			unsigned nr_j, int r0, int dr, int c0, int dc)
{
	struct slice *s = slice_of(in, expr);
	size_t len = (size_t)slice_len(s), head = len - (size_t)nr_i * nr_j * 4, cut;
	AUTO_FREE uint8_t *buf = malloc(len), *again = malloc(len);

	assert_true(buf && again && head % 64 == 0);
	assert_int_equal(read_all(in, s, 0, len, buf), 0);
	assert_memory_equal(buf, "\x93NUMPY", 6);
	for (unsigned i = 0; i < nr_i; i++)
		for (unsigned j = 0; j < nr_j; j++) {
			uint32_t want =
				(uint32_t)((r0 + (int)i * dr) * (int)cols + c0 + (int)j * dc);

			if (get_u32(buf + head + 4 * ((size_t)i * nr_j + j)) != want)
				fail_msg("%s: item %u, %u", expr, i, j);
		}
	/* From anywhere. */
	for (cut = 1; cut < len; cut = cut * 3 + 1) {
		assert_int_equal(read_all(in, s, cut, len - cut, again), 0);
		assert_memory_equal(again, buf + cut, len - cut);
		assert_int_equal(read_all(in, s, 0, cut, again), 0);
		assert_memory_equal(again, buf, cut);
	}
	assert_int_equal(slice_check(in, s), 0);
	slice_put(s);
}

static void check_slices(struct inode *in)
{
	check_slice(in, "[()]", 1500, 1000, 1500, 0, 1, 0, 1);
	check_slice(in, "[100:900]", 1500, 800, 1500, 100, 1, 0, 1);
	check_slice(in, "[:, 7]", 1500, 1000, 1, 0, 1, 7, 1);
	check_slice(in, "[::-1, ::-1]", 1500, 1000, 1500, 999, -1, 1499, -1);
	check_slice(in, "[::-50, 5:1400:3]", 1500, 20, 465, 999, -50, 5, 3);
	check_slice(in, "[998:, -1]", 1500, 2, 1, 998, 1, 1499, 1);
	check_slice(in, "[7:7]", 1500, 0, 1500, 7, 1, 0, 1);
}

/* 6 MB, so several extents. */
static void bytes_are_found_dirty_and_stored(void **state)
{
	struct fs_make *m = *state;
	struct inode *in = array_make(m->fs, "a.npy", 1000, 1500, 128);

	check_slices(in);
	assert_int_equal(file_sync(in), 0);
	inode_put(in);
	fs_make_again(m);
	assert_int_equal(name_lookup(m->fs, 1, (struct name){.p = "a.npy", .len = 5}, &in), 0);
	check_slices(in);
	inode_put(in);
}

static void long_heads_are_read_whole(void **state)
{
	struct fs_make *m = *state;
	struct inode *in = array_make(m->fs, "long", 4, 5, 256 * KIB);
	struct slice *s;

	check_slice(in, "[1:3, ::2]", 5, 2, 3, 1, 1, 0, 2);
	inode_put(in);
	in = array_make(m->fs, "longer", 4, 5, 2 * MIB);
	assert_int_equal(slice_new(in, "[0]", &s, &why), -EINVAL);
	assert_non_null(strstr(said, "2097152 bytes, 1048576 is most"));
	inode_put(in);
}

static void what_is_wrong_is_told(void **state)
{
	struct fs_make *m = *state;
	struct inode *in = array_make(m->fs, "a.npy", 4, 5, 128);
	struct slice *s;

	assert_int_equal(slice_new(in, "[4]", &s, &why), -EINVAL);
	assert_non_null(strstr(said, "index 4 is out of range"));
	assert_int_equal(slice_new(in, "[", &s, &why), -EINVAL);
	assert_non_null(strstr(said, "character 2"));
	assert_int_equal(file_truncate(in, 200, false), 0);
	assert_int_equal(slice_new(in, "[0]", &s, &why), -EINVAL);
	assert_non_null(strstr(said, "cut off: 200 bytes, of 208"));
	assert_int_equal(file_truncate(in, 0, false), 0);
	assert_int_equal(slice_new(in, "[0]", &s, &why), -EINVAL);
	assert_non_null(strstr(said, "not a .npy file"));
	inode_put(in);
}

static void another_head_makes_it_stale(void **state)
{
	struct fs_make *m = *state;
	struct inode *in = array_make(m->fs, "a.npy", 4, 5, 128);
	struct slice *s = slice_of(in, "[1:]");
	uint8_t buf[300];

	/* Young: a change in the same tick would not show. */
	assert_false(slice_is_fresh(in, s));
	assert_int_equal(slice_check(in, s), 0);
	nanosleep(&(struct timespec){.tv_nsec = 150000000}, NULL);
	assert_int_equal(slice_check(in, s), 0);
	assert_true(slice_is_fresh(in, s));
	/* Other items of the same shape. */
	put(in, 128 + 20, "abcd", 4);
	assert_false(slice_is_fresh(in, s));
	assert_int_equal(slice_check(in, s), 0);
	assert_int_equal(read_all(in, s, slice_len(s) - 60, 60, buf), 0);
	assert_memory_equal(buf, "abcd", 4);
	/* Another shape of as many. */
	put_head(in, "(5, 4)", 128);
	assert_int_equal(slice_check(in, s), -ESTALE);
	put_head(in, "(4, 5)", 128);
	assert_int_equal(slice_check(in, s), 0);
	/* Cut off. */
	assert_int_equal(file_truncate(in, 128 + 79, false), 0);
	assert_int_equal(slice_check(in, s), -ESTALE);
	assert_int_equal(read_all(in, s, slice_len(s) - 60, 60, buf), -ESTALE);
	slice_put(s);
	inode_put(in);
}

static void what_lies_together_is_told(void **state)
{
	struct fs_make *m = *state;
	struct inode *in = array_make(m->fs, "a.npy", 40, 50, 128);
	struct slice *s = slice_of(in, "[10:20]");
	uint64_t at, head = slice_len(s) - 2000;

	assert_true(slice_in_place(s, head, 2000, &at));
	assert_int_equal(at, 128 + 2000);
	assert_true(slice_in_place(s, head + 100, 7, &at));
	assert_int_equal(at, 128 + 2100);
	assert_false(slice_in_place(s, head - 1, 7, &at));
	assert_int_equal(slice_spread(s, 0, head), 0);
	assert_int_equal(slice_spread(s, head - 5, 6), 0);
	assert_int_equal(slice_spread(s, 0, head + 2000), 1999);
	slice_put(s);
	s = slice_of(in, "[::-1, 3]");
	head = slice_len(s) - 160;
	assert_false(slice_in_place(s, head, 5, &at));
	assert_int_equal(slice_spread(s, head, 160), 39 * 200 - 3);
	slice_put(s);
	inode_put(in);
}

/* ---- nodes ---- */

static void nodes_live_while_they_are_known(void **state)
{
	struct slice_table t;
	struct slice_node *n, *again;
	uint64_t id;

	(void)state;
	slice_table_init(&t);
	assert_null(slice_node_get(&t, SLICE_NODE_FIRST));
	slice_node_forget(&t, SLICE_NODE_FIRST, 1);
	n = slice_node_add(&t, SLICE_NODE_DIR, 5, "", NULL, NULL);
	assert_non_null(n);
	id = n->id;
	assert_true(id >= SLICE_NODE_FIRST);
	again = slice_node_add(&t, SLICE_NODE_DIR, 5, "", NULL, NULL);
	assert_ptr_equal(n, again);
	assert_null(slice_node_find(&t, SLICE_NODE_LINK, 5, ""));
	assert_null(slice_node_find(&t, SLICE_NODE_DIR, 6, ""));
	slice_node_remember(&t, n);
	slice_node_remember(&t, n);
	slice_node_put(&t, n);
	slice_node_put(&t, n);
	n = slice_node_get(&t, id);
	assert_non_null(n);
	slice_node_put(&t, n);
	slice_node_forget(&t, id, 1);
	assert_int_equal(slice_table_count(&t), 1);
	slice_node_forget(&t, id, 1);
	assert_int_equal(slice_table_count(&t), 0);
	assert_null(slice_node_get(&t, id));
	/* Ids are not used again. */
	n = slice_node_add(&t, SLICE_NODE_DIR, 5, "", NULL, NULL);
	assert_true(n->id > id);
	slice_node_put(&t, n);
	slice_table_fini(&t);
}

static void another_head_is_another_node(void **state)
{
	struct fs_make *m = *state;
	struct inode *in = array_make(m->fs, "a.npy", 4, 5, 128);
	struct slice *s = slice_of(in, "[1:]");
	struct slice_table t;
	struct slice_node *old, *new, *found;

	slice_table_init(&t);
	old = slice_node_add(&t, SLICE_NODE_FILE, in->ino, "[1:]", s, NULL);
	new = slice_node_add(&t, SLICE_NODE_FILE, in->ino, "[1:]", s, old);
	assert_true(new != old &&new->id != old->id);
	found = slice_node_find(&t, SLICE_NODE_FILE, in->ino, "[1:]");
	assert_ptr_equal(found, new);
	slice_node_put(&t, found);
	/* Who comes late, with the old one in mind, gets what is there now. */
	found = slice_node_add(&t, SLICE_NODE_FILE, in->ino, "[1:]", s, old);
	assert_ptr_equal(found, new);
	slice_node_put(&t, found);
	slice_node_put(&t, old);
	slice_node_put(&t, new);
	assert_int_equal(slice_table_count(&t), 0);
	slice_table_fini(&t);
	slice_put(s);
	inode_put(in);
}

static void tables_grow(void **state)
{
	enum { NR = 5000 };
	static uint64_t id[NR];
	struct slice_table t;
	char text[32];

	(void)state;
	slice_table_init(&t);
	for (unsigned i = 0; i < NR; i++) {
		struct slice_node *n;

		snprintf(text, sizeof(text), "[%u]", i);
		n = slice_node_add(&t, SLICE_NODE_LINK, i % 7, text, NULL, NULL);
		assert_non_null(n);
		id[i] = n->id;
		slice_node_remember(&t, n);
		slice_node_put(&t, n);
	}
	for (unsigned i = 0; i < NR; i++) {
		struct slice_node *n;

		snprintf(text, sizeof(text), "[%u]", i);
		n = slice_node_find(&t, SLICE_NODE_LINK, i % 7, text);
		assert_non_null(n);
		assert_int_equal(n->id, id[i]);
		slice_node_put(&t, n);
		if (i % 2)
			slice_node_forget(&t, id[i], 1);
	}
	assert_int_equal(slice_table_count(&t), NR / 2);
	slice_table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define ON_VOLUME(f) cmocka_unit_test_setup_teardown(f, fs_make_setup, fs_make_teardown)
		ON_VOLUME(bytes_are_found_dirty_and_stored),
		ON_VOLUME(long_heads_are_read_whole),
		ON_VOLUME(what_is_wrong_is_told),
		ON_VOLUME(another_head_makes_it_stale),
		ON_VOLUME(what_lies_together_is_told),
		ON_VOLUME(another_head_is_another_node),
		cmocka_unit_test(nodes_live_while_they_are_known),
		cmocka_unit_test(tables_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
