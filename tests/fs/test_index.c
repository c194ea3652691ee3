/* The index: transactions, records that make the same index again, late records, order of keys. */
#include "tests/fs/fs_make.h"

#include "fs/index.h"

static struct index *open_in(char *dir)
{
	const char *tmp = getenv("TMPDIR");
	struct index *x;

	snprintf(dir, 256, "%s/matfs-index-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(index_open(dir, GIB, true, &x), 0);
	return x;
}

static void close_in(struct index *x, char *dir)
{
	index_close(x, false);
	nftw(dir, fs_make_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static void same(struct index *a, struct index *b)
{
	struct key first = {.len = 1};
	struct index_cursor *ca, *cb;
	struct index_val ka, kb, va, vb;
	struct index_txn *ta, *tb;
	int ea, eb;

	assert_int_equal(index_read(a, &ta), 0);
	assert_int_equal(index_read(b, &tb), 0);
	assert_int_equal(index_cursor_open(ta, &ca), 0);
	assert_int_equal(index_cursor_open(tb, &cb), 0);
	ea = index_seek(ca, &first, &ka, &va);
	eb = index_seek(cb, &first, &kb, &vb);
	while (!ea && !eb) {
		assert_int_equal(ka.len, kb.len);
		assert_memory_equal(ka.p, kb.p, ka.len);
		assert_int_equal(va.len, vb.len);
		assert_memory_equal(va.p, vb.p, va.len);
		ea = index_next(ca, &ka, &va);
		eb = index_next(cb, &kb, &vb);
	}
	assert_int_equal(ea, -ENOENT);
	assert_int_equal(eb, -ENOENT);
	index_cursor_close(ca);
	index_cursor_close(cb);
	index_read_end(ta);
	index_read_end(tb);
}

/* Replayed once or twice, over nothing or over what is there: the same index. */
static void records_make_the_same_index(void **state)
{
	struct record_buf records = {0};
	char dir[2][256];
	struct index *a = open_in(dir[0]), *b = open_in(dir[1]);
	struct index_txn *t;
	uint64_t s = 1;
	size_t at = 0, n;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		bool drop = i % 7 == 3;

		assert_int_equal(index_begin(a, &t), 0);
		for (unsigned k = 0; k < 20; k++) {
			struct key key;
			uint8_t val[500];

			s = s * 6364136223846793005ULL + 1442695040888963407ULL;
			key = key_number(s >> 60, KEY_MAP, s >> 40 & 127);
			memset(val, (int)(s >> 32), sizeof(val));
			if (s >> 20 & 3)
				assert_int_equal(index_put(t, &key, val, s >> 50 & 255), 0);
			else
				assert_true(index_del(t, &key) <= 0);
		}
		if (drop)
			index_abort(t);
		else
			assert_int_equal(index_commit(t, &records), 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(index_begin(b, &t), 0);
		assert_int_equal(index_apply(t, records.p, records.len), 0);
		assert_int_equal(index_commit(t, NULL), 0);
		same(a, b);
	}
	for (; at < records.len; at += n) {
		assert_int_equal(record_len(records.p + at, records.len - at, &n), 0);
		assert_true(n > 0);
	}
	assert_int_equal(at, records.len);
	record_buf_free(&records);
	close_in(a, dir[0]);
	close_in(b, dir[1]);
}

static void late_change_is_two_records(void **state)
{
	struct key key = key_number(0, KEY_EXTENT, 1);
	struct record_buf now = {0}, later = {0};
	char dir[2][256];
	struct index *a = open_in(dir[0]), *b = open_in(dir[1]);
	struct index_txn *t;
	struct index_val v;

	(void)state;
	assert_int_equal(index_begin(a, &t), 0);
	assert_int_equal(index_put_late(t, &key, "two", "one", 3, &later), 0);
	assert_int_equal(index_commit(t, &now), 0);
	assert_int_equal(index_begin(b, &t), 0);
	assert_int_equal(index_apply(t, now.p, now.len), 0);
	assert_int_equal(index_get(t, &key, &v), 0);
	assert_memory_equal(v.p, "one", 3);
	assert_int_equal(index_apply(t, later.p, later.len), 0);
	assert_int_equal(index_commit(t, NULL), 0);
	same(a, b);

	/* Undone with its transaction. */
	now.len = later.len = 0;
	assert_int_equal(index_begin(a, &t), 0);
	assert_int_equal(index_put_late(t, &key, NULL, "one", 3, &later), 0);
	index_abort(t);
	assert_int_equal(later.len, 0);
	same(a, b);

	/* Deleted for the index, there still for the batch before. */
	assert_int_equal(index_begin(a, &t), 0);
	assert_int_equal(index_put_late(t, &key, NULL, "one", 3, &later), 0);
	assert_int_equal(index_commit(t, &now), 0);
	assert_int_equal(index_begin(b, &t), 0);
	assert_int_equal(index_apply(t, now.p, now.len), 0);
	assert_int_equal(index_get(t, &key, &v), 0);
	assert_int_equal(index_apply(t, later.p, later.len), 0);
	assert_int_equal(index_commit(t, NULL), 0);
	same(a, b);
	record_buf_free(&now);
	record_buf_free(&later);
	close_in(a, dir[0]);
	close_in(b, dir[1]);
}

static void damaged_records_are_refused(void **state)
{
	struct key key = key_plain(5, KEY_ATTR);
	struct record_buf r = {0};
	struct index_txn *t;
	char dir[256];
	struct index *x = open_in(dir);
	size_t n;

	(void)state;
	assert_int_equal(record_put(&r, key.b, key.len, (const uint8_t *)"value", 5), 0);
	for (size_t len = 1; len < r.len; len++) {
		assert_int_equal(index_begin(x, &t), 0);
		assert_int_equal(index_apply(t, r.p, len), -EBADMSG);
		index_abort(t);
		assert_int_equal(record_len(r.p, len, &n), 0);
		assert_int_equal(n, 0);
	}
	r.p[0] = 9;
	assert_int_equal(record_len(r.p, r.len, &n), -EBADMSG);
	assert_int_equal(index_begin(x, &t), 0);
	assert_int_equal(index_apply(t, r.p, r.len), -EBADMSG);
	index_abort(t);
	record_buf_free(&r);
	close_in(x, dir);
}

/* A reader goes on seeing what it saw. */
static void reader_sees_one_moment(void **state)
{
	struct key key = key_plain(5, KEY_ATTR);
	struct index_txn *w, *r[100];
	struct index_val v;
	char dir[256];
	struct index *x = open_in(dir);

	(void)state;
	for (uint8_t i = 0; i < ARRAY_LEN(r); i++) {
		assert_int_equal(index_begin(x, &w), 0);
		assert_int_equal(index_put(w, &key, &i, 1), 0);
		assert_int_equal(index_commit(w, NULL), 0);
		assert_int_equal(index_read(x, &r[i]), 0);
	}
	for (uint8_t i = 0; i < ARRAY_LEN(r); i++) {
		assert_int_equal(index_get(r[i], &key, &v), 0);
		assert_int_equal(v.p[0], i);
		index_read_end(r[i]);
	}
	close_in(x, dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_make_the_same_index),
		cmocka_unit_test(late_change_is_two_records),
		cmocka_unit_test(damaged_records_are_refused),
		cmocka_unit_test(reader_sees_one_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
