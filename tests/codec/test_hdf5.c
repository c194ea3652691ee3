/* HDF5: what golden files do not show. Files are put together here by hand, of object headers of
 * version 2 if nothing else is said. */
#include "tests/codec/codec_test.h"

#include "codec/hdf5.h"
#include "conf/bytes.h"
#include "tests/codec/head_check.h"

#define ROOM (2u << 20)
#define CAP  16u
#define ROOT 48u /* where the root's header begins */
#define NONE UINT64_MAX

static uint8_t bytes[ROOM];

static unsigned find_len(size_t len, struct head_array *out)
{
	struct head_list l = head_list_init(out, CAP);
	struct guarded g = guarded_new(len, GUARD_ABOVE);
	const char *wrong;

	memcpy(g.p, bytes, len);
	l.kind = HEAD_HDF5;
	hdf5_find(g.p, len, &l);
	wrong = head_check(out, l.nr, CAP, 0, 0);
	if (wrong)
		fail_msg("%s", wrong);
	guarded_free(&g);
	return l.nr;
}

static unsigned find(const struct wbuf *w, struct head_array *out)
{
	assert_false(w->bad);
	return find_len(w->pos, out);
}

static struct wbuf begin(void)
{
	struct wbuf w = wbuf_init(bytes, ROOM);

	wbuf_bytes(&w, "\x89HDF\r\n\x1a\n\2\10\10\0", 12);
	wbuf_u64(&w, 0);
	wbuf_u64(&w, NONE);
	wbuf_u64(&w, 0);
	wbuf_u64(&w, ROOT);
	wbuf_u32(&w, 0);
	return w;
}

/* An object header is open from here on. Returns where its length stands. */
static size_t open_header(struct wbuf *w)
{
	wbuf_bytes(w, "OHDR\2\2", 6);
	wbuf_u32(w, 0);
	return w->pos;
}

static void close_header(struct wbuf *w, size_t at)
{
	put_u32(bytes + at - 4, (uint32_t)(w->pos - at));
	wbuf_u32(w, 0); /* checksum */
}

static void add_message(struct wbuf *w, unsigned type, unsigned flags, const void *p, size_t len)
{
	wbuf_u8(w, (uint8_t)type);
	wbuf_u16(w, (uint16_t)len);
	wbuf_u8(w, (uint8_t)flags);
	wbuf_bytes(w, p, len);
}

static void add_link(struct wbuf *w, uint64_t addr)
{
	uint8_t p[12] = {1, 0, 1, 'x'};

	put_u64(p + 4, addr);
	add_message(w, 6, 0, p, sizeof(p));
}

static void add_dims(struct wbuf *w, uint64_t rows, uint64_t columns)
{
	uint8_t p[20] = {2, 2, 0, 1};

	put_u64(p + 4, rows);
	put_u64(p + 12, columns);
	add_message(w, 1, 0, p, sizeof(p));
}

static void add_float(struct wbuf *w, uint32_t size, unsigned flags)
{
	uint8_t p[20] = {0x11, 0x20, 0x3f};

	put_u32(p + 4, size);
	add_message(w, 3, flags, p, sizeof(p));
}

static void add_piece(struct wbuf *w, uint64_t addr, uint64_t len)
{
	uint8_t p[18] = {3, 1};

	put_u64(p + 2, addr);
	put_u64(p + 10, len);
	add_message(w, 8, 0, p, sizeof(p));
}

static void add_chunks(struct wbuf *w, uint32_t rows, uint32_t columns, uint32_t item)
{
	uint8_t p[23] = {3, 2, 3};

	put_u32(p + 11, rows);
	put_u32(p + 15, columns);
	put_u32(p + 19, item);
	add_message(w, 8, 0, p, sizeof(p));
}

static void add_gzip(struct wbuf *w)
{
	static const uint8_t p[] = {2, 1, 1, 0, 0, 0, 1, 0, 4, 0, 0, 0};

	add_message(w, 11, 0, p, sizeof(p));
}

static void a_dataset_may_be_the_root(void **state)
{
	struct wbuf w = begin();
	size_t at = open_header(&w);
	struct head_array out[CAP];

	(void)state;
	add_dims(&w, 100, 50);
	add_float(&w, 4, 0);
	add_piece(&w, 5000, 20000);
	close_header(&w, at);
	assert_int_equal(find(&w, out), 1);
	assert_int_equal(out[0].start, 5000);
	assert_int_equal(out[0].end, 25000);
	assert_int_equal(out[0].pitch, 200);
	for (size_t cut = 0; cut < w.pos - 4; cut++)
		assert_int_equal(find_len(cut, out), 0);
}

static void bad_datasets_are_left_out(void **state)
{
	static const struct {
		uint64_t rows;
		uint64_t addr;
		uint64_t len;
		uint32_t item;
		unsigned flags;
		unsigned nr;
	} cases[] = {
		{100, 5000, 20000, 4, 0, 1},
		{100, 5000, 20001, 4, 0, 0},
		{100, NONE, 20000, 4, 0, 0},
		{100, NONE - 100, 20000, 4, 0, 0},
		{100, 5000, 20000, 3, 0, 0},
		{100, 5000, 20000, 0, 0, 0},
		{UINT64_MAX / 2, 5000, 20000, 4, 0, 0},
		{0, 5000, 0, 4, 0, 1},
		{100, 5000, 20000, 4, 2, 0}, /* a type that is elsewhere */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct wbuf w = begin();
		size_t at = open_header(&w);
		struct head_array out[CAP];

		add_dims(&w, cases[i].rows, 50);
		add_float(&w, cases[i].item, cases[i].flags);
		add_piece(&w, cases[i].addr, cases[i].len);
		close_header(&w, at);
		assert_int_equal(find(&w, out), cases[i].nr);
	}
}

static void chunks_tell_width_and_rows(void **state)
{
	struct wbuf w = begin();
	size_t at = open_header(&w);
	struct head_array out[CAP];

	(void)state;
	add_dims(&w, 1000, 500);
	add_float(&w, 4, 0);
	add_chunks(&w, 10, 25, 4);
	close_header(&w, at);
	assert_int_equal(find(&w, out), 1);
	assert_true(out[0].scattered && out[0].start == 0 && out[0].end == UINT64_MAX);
	assert_int_equal(out[0].width, 4);
	assert_int_equal(out[0].pitch, 100);
	w.pos = at;
	add_gzip(&w);
	add_dims(&w, 1000, 500);
	add_float(&w, 4, 0);
	add_chunks(&w, 10, 25, 4);
	close_header(&w, at);
	assert_int_equal(find(&w, out), 0);
}

/* Version 1 of the layout has no length. */
static void old_layouts_are_read(void **state)
{
	static const struct {
		uint8_t version;
		uint8_t class;
		bool scattered;
		unsigned nr;
	} cases[] = {{1, 1, false, 1}, {2, 1, false, 1}, {1, 2, true, 1}, {1, 0, false, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct wbuf w = begin();
		size_t at = open_header(&w);
		uint8_t p[28] = {cases[i].version, 3, cases[i].class};
		struct head_array out[CAP];

		put_u64(p + 8, 5000);
		put_u32(p + 16, 10);
		put_u32(p + 20, 25);
		put_u32(p + 24, 4);
		add_dims(&w, 100, 50);
		add_float(&w, 4, 0);
		add_message(&w, 8, 0, p, sizeof(p));
		close_header(&w, at);
		assert_int_equal(find(&w, out), cases[i].nr);
		if (!cases[i].nr)
			continue;
		assert_int_equal(out[0].scattered, cases[i].scattered);
		assert_int_equal(out[0].pitch, cases[i].scattered ? 100 : 200);
	}
}

static void headers_go_on_elsewhere(void **state)
{
	struct wbuf w = begin();
	size_t at = open_header(&w);
	size_t more = at + 100;
	struct head_array out[CAP];
	uint8_t p[16];

	(void)state;
	put_u64(p, more);
	put_u64(p + 8, 8 + 24 + 24 + 22);
	add_message(&w, 16, 0, p, sizeof(p));
	close_header(&w, at);
	w.pos = more;
	wbuf_bytes(&w, "OCHK", 4);
	add_dims(&w, 100, 50);
	add_float(&w, 4, 0);
	add_piece(&w, 5000, 20000);
	wbuf_u32(&w, 0);
	assert_int_equal(find(&w, out), 1);
	/* To itself. */
	put_u64(bytes + at + 4, at - 4);
	memcpy(bytes + at - 4, "OCHK", 4);
	find(&w, out);
}

/* A group that has itself as a member, and one whose members are each other's. */
static void loops_come_to_an_end(void **state)
{
	enum { NR = 300, HEADER_LEN = 10 + NR * 16 + 4 };
	struct wbuf w = begin();
	struct head_array out[CAP];
	size_t at;

	(void)state;
	at = open_header(&w);
	for (int i = 0; i < 1000; i++)
		add_link(&w, ROOT);
	close_header(&w, at);
	assert_int_equal(find(&w, out), 0);
	w = begin();
	for (uint64_t i = 0; i < 200; i++) {
		at = open_header(&w);
		for (uint64_t k = 0; k < NR; k++)
			add_link(&w, ROOT + (i + k * k) % 200 * HEADER_LEN);
		close_header(&w, at);
		assert_int_equal(w.pos, ROOT + (i + 1) * HEADER_LEN);
	}
	at = open_header(&w);
	add_dims(&w, 100, 50);
	add_float(&w, 4, 0);
	add_piece(&w, 5000, 20000);
	close_header(&w, at);
	find(&w, out);
}

/* Trees of one node that is its own child, and of the most entries that a node can say. */
static void trees_are_not_trusted(void **state)
{
	struct wbuf w = begin();
	size_t at = open_header(&w);
	struct head_array out[CAP];
	uint8_t p[16];

	(void)state;
	put_u64(p, 100);
	put_u64(p + 8, 0);
	add_message(&w, 17, 0, p, sizeof(p));
	close_header(&w, at);
	assert_true(w.pos <= 100);
	w.pos = 100;
	wbuf_bytes(&w, "TREE\0\1", 6);
	wbuf_u16(&w, UINT16_MAX);
	wbuf_u64(&w, NONE);
	wbuf_u64(&w, NONE);
	for (unsigned i = 0; i < UINT16_MAX - 1u; i++) {
		wbuf_u64(&w, 8);
		wbuf_u64(&w, 100 + i % 3 * 16);
	}
	assert_int_equal(find(&w, out), 0); /* cut */
	wbuf_u64(&w, 8);
	wbuf_u64(&w, 100);
	assert_false(w.bad);
	assert_int_equal(find(&w, out), 0);
	memcpy(bytes + 100, "SNOD\1\0", 6);
	find(&w, out);
}

static void types_within_types_are_bounded(void **state)
{
	struct wbuf w = begin();
	size_t at = open_header(&w);
	struct head_array out[CAP];
	uint8_t p[3000];
	struct wbuf t = wbuf_init(p, sizeof(p));

	(void)state;
	/* Compounds of one member each, 200 within each other, around a float. */
	for (unsigned i = 0; i < 200; i++) {
		wbuf_u32(&t, 0x36 | 1u << 8);
		wbuf_u32(&t, 4);
		wbuf_bytes(&t, "x", 2);
		wbuf_u8(&t, 0);
	}
	wbuf_u32(&t, 0x11);
	wbuf_u32(&t, 4);
	wbuf_u64(&t, 0);
	wbuf_u32(&t, 0);
	assert_false(t.bad);
	add_message(&w, 3, 0, p, t.pos);
	add_dims(&w, 100, 50);
	add_piece(&w, 5000, 20000);
	close_header(&w, at);
	assert_int_equal(find(&w, out), 0);
	/* Two are fine. */
	w.pos = at;
	add_message(&w, 3, 0, p + 198 * 11, t.pos - 198 * 11);
	add_dims(&w, 100, 50);
	add_piece(&w, 5000, 20000);
	close_header(&w, at);
	assert_int_equal(find(&w, out), 1);
	assert_true(out[0].record);
	assert_int_equal(out[0].width, 4);
}

static void sizes_of_addresses_are_checked(void **state)
{
	struct wbuf w = begin();
	size_t at = open_header(&w);
	struct head_array out[CAP];

	(void)state;
	add_dims(&w, 100, 50);
	add_float(&w, 4, 0);
	add_piece(&w, 5000, 20000);
	close_header(&w, at);
	for (unsigned size = 0; size < 256; size++) {
		bytes[9] = (uint8_t)size;
		assert_int_equal(find(&w, out), size == 8);
		bytes[9] = 8;
		bytes[10] = (uint8_t)size;
		assert_int_equal(find(&w, out), size == 8);
		bytes[10] = 8;
	}
	bytes[8] = 4;
	assert_int_equal(find(&w, out), 0);
}

static void few_bytes_are_no_reason_to_guess(void **state)
{
	static const struct {
		uint64_t rows;
		unsigned nr;
	} cases[] = {{100, 1}, {10000, 2}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct wbuf w = begin();
		size_t at = open_header(&w);
		struct head_array out[CAP];

		add_dims(&w, cases[i].rows, 50);
		add_float(&w, 4, 0);
		add_piece(&w, 5000, 200 * cases[i].rows);
		add_link(&w, 1 << 24);
		close_header(&w, at);
		assert_int_equal(find(&w, out), cases[i].nr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dataset_may_be_the_root),
		cmocka_unit_test(bad_datasets_are_left_out),
		cmocka_unit_test(chunks_tell_width_and_rows),
		cmocka_unit_test(old_layouts_are_read),
		cmocka_unit_test(headers_go_on_elsewhere),
		cmocka_unit_test(loops_come_to_an_end),
		cmocka_unit_test(trees_are_not_trusted),
		cmocka_unit_test(types_within_types_are_bounded),
		cmocka_unit_test(sizes_of_addresses_are_checked),
		cmocka_unit_test(few_bytes_are_no_reason_to_guess),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
