/* Zip archives of arrays, as writers that can seek and that cannot leave them. */
#include "tests/codec/codec_test.h"

#include "codec/zip.h"
#include "conf/bytes.h"
#include "tests/codec/head_check.h"

#define ROOM 65536u
#define CAP  8u

enum flags {
	MEMBER_STREAM = 1,  /* no sizes, and a descriptor behind the data */
	MEMBER_ZIP64 = 2,   /* sizes in an extra field */
	MEMBER_PENDING = 4, /* no sizes yet: they are written at the end */
	MEMBER_DEFLATED = 8,
	MEMBER_ENCRYPTED = 16,
};

static uint8_t bytes[ROOM];

/* Append a member; its content is @len bytes at @p. */
static void add_member(struct wbuf *w, const char *name, const void *p, uint32_t len, int flags)
{
	bool sizes = !(flags & (MEMBER_STREAM | MEMBER_PENDING));
	uint32_t size = flags & MEMBER_ZIP64 && !(flags & MEMBER_STREAM) ? UINT32_MAX
			: sizes						 ? len
									 : 0;

	wbuf_bytes(w, "PK\3\4", 4);
	wbuf_u16(w, 20);
	wbuf_u16(w, (flags & MEMBER_STREAM ? 8 : 0) | (flags & MEMBER_ENCRYPTED ? 1 : 0));
	wbuf_u16(w, flags & MEMBER_DEFLATED ? 8 : 0);
	wbuf_u64(w, 0);
	wbuf_u32(w, size);
	wbuf_u32(w, size);
	wbuf_u16(w, (uint16_t)strlen(name));
	wbuf_u16(w, flags & MEMBER_ZIP64 ? 24 : 0);
	wbuf_bytes(w, name, strlen(name));
	if (flags & MEMBER_ZIP64) {
		wbuf_u16(w, 77);
		wbuf_u16(w, 0);
		wbuf_u16(w, 1);
		wbuf_u16(w, 16);
		wbuf_u64(w, sizes ? len : 0);
		wbuf_u64(w, sizes ? len : 0);
	}
	wbuf_bytes(w, p, len);
	if (!(flags & MEMBER_STREAM))
		return;
	wbuf_bytes(w, "PK\7\10", 4);
	wbuf_u32(w, 0);
	wbuf_u32(w, len);
	wbuf_u32(w, len);
	if (flags & MEMBER_ZIP64)
		wbuf_u64(w, 0);
}

/* A .npy file of @nr floats. Returns its length. */
static uint32_t make_npy(uint8_t *p, unsigned nr)
{
	memset(p, ' ', 128);
	memcpy(p, "\x93NUMPY\1\0\x76\0", 10);
	snprintf((char *)p + 10, 118, "{'descr': '<f4', 'fortran_order': False, 'shape': (%u,), }",
		 nr);
	p[10 + strlen((char *)p + 10)] = ' ';
	p[127] = '\n';
	memset(p + 128, 7, 4 * (size_t)nr);
	return 128 + 4 * nr;
}

static void add_array(struct wbuf *w, unsigned nr, int flags)
{
	static uint8_t npy[ROOM];
	uint32_t len = make_npy(npy, nr);

	add_member(w, "some/name.npy", npy, len, flags);
}

static unsigned find(const struct wbuf *w, uint64_t off, struct head_array *out, unsigned cap,
		     uint64_t *next)
{
	struct head_list l = head_list_init(out, cap);
	struct guarded g = guarded_new(w->pos, GUARD_ABOVE);

	assert_false(w->bad);
	memcpy(g.p, w->p, w->pos);
	l.kind = HEAD_NPZ;
	*next = zip_find(g.p, w->pos, off, &l);
	assert_null(head_check(out, l.nr, cap, off, *next));
	guarded_free(&g);
	return l.nr;
}

static void members_of_all_writers_are_found(void **state)
{
	static const int ways[] = {0,
				   MEMBER_STREAM,
				   MEMBER_ZIP64,
				   MEMBER_STREAM | MEMBER_ZIP64,
				   MEMBER_PENDING,
				   MEMBER_PENDING | MEMBER_ZIP64};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct wbuf w = wbuf_init(bytes, ROOM);
		struct head_array out[CAP];
		uint64_t next;

		add_array(&w, 100, ways[i]);
		add_array(&w, 0, MEMBER_ZIP64);
		add_array(&w, 33, ways[i]);
		wbuf_bytes(&w, "PK\1\2", 4);
		/* Without any sign of more to come, no size means none. */
		if (ways[i] == MEMBER_PENDING) {
			assert_int_equal(find(&w, 0, out, CAP, &next), 0);
			continue;
		}
		assert_int_equal(find(&w, 5000, out, CAP, &next), 3);
		assert_int_equal(next, 0);
		assert_int_equal(out[0].end - out[0].start, 400);
		assert_int_equal(bytes[out[0].start - 5000], 7);
		assert_int_equal(out[1].end - out[1].start, 0);
		assert_int_equal(out[2].end - out[2].start, 132);
		assert_int_equal(bytes[out[2].start - 5000 - 1], '\n');
		assert_int_equal(out[2].width, 4);
	}
}

static void other_members_are_passed_over(void **state)
{
	static const uint8_t noise[300] = {1, 2, 3};
	struct wbuf w = wbuf_init(bytes, ROOM);
	struct head_array out[CAP];
	uint64_t next;

	(void)state;
	add_member(&w, "dir/", NULL, 0, 0);
	add_member(&w, "readme", noise, sizeof(noise), MEMBER_DEFLATED);
	add_member(&w, "data.pkl", noise, sizeof(noise), MEMBER_ZIP64);
	add_array(&w, 10, MEMBER_ENCRYPTED);
	add_array(&w, 10, 0);
	wbuf_bytes(&w, "PK\1\2", 4);
	assert_int_equal(find(&w, 0, out, CAP, &next), 1);
	assert_int_equal(next, 0);
	/* Where a member of unknown length ends is not known. */
	w = wbuf_init(bytes, ROOM);
	add_member(&w, "readme", noise, sizeof(noise), MEMBER_STREAM);
	add_array(&w, 10, 0);
	assert_int_equal(find(&w, 0, out, CAP, &next), 0);
	assert_int_equal(next, 0);
}

static void arrays_longer_than_their_member_are_none(void **state)
{
	struct wbuf w = wbuf_init(bytes, ROOM);
	uint8_t npy[1000];
	uint32_t len = make_npy(npy, 10);
	struct head_array out[CAP];
	uint64_t next;

	(void)state;
	add_member(&w, "a", npy, len - 1, 0);
	add_member(&w, "b", npy, 100, 0);
	add_array(&w, 5, 0);
	assert_int_equal(find(&w, 0, out, CAP, &next), 1);
	assert_int_equal(out[0].end - out[0].start, 20);
}

/* What follows the bytes at hand is asked for, from where the next member begins. */
static void members_ahead_are_announced(void **state)
{
	struct wbuf w = wbuf_init(bytes, ROOM);
	struct head_array out[CAP];
	uint64_t next;
	size_t first;

	(void)state;
	add_array(&w, 10000, 0);
	first = w.pos;
	w.pos = 300;
	assert_int_equal(find(&w, 0, out, CAP, &next), 1);
	assert_int_equal(next, first);
	w.pos = first;
	assert_int_equal(find(&w, 0, out, CAP, &next), 1);
	assert_int_equal(next, first);
	/* The second, cut anywhere. */
	add_array(&w, 10, MEMBER_ZIP64);
	for (size_t end = first + 1; end <= w.pos; end++) {
		struct wbuf cut = {.p = bytes, .len = ROOM, .pos = end};
		unsigned nr = find(&cut, 0, out, CAP, &next);

		assert_int_equal(nr, end - first < 30 + 13 + 24 + 128 ? 1 : 2);
		assert_int_equal(next, nr == 1 ? first : w.pos);
	}
	/* No room for it. */
	assert_int_equal(find(&w, 0, out, 1, &next), 1);
	assert_int_equal(next, first);
}

static void a_descriptor_may_come_first(void **state)
{
	static const int ways[] = {MEMBER_STREAM, MEMBER_STREAM | MEMBER_ZIP64};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct wbuf w = wbuf_init(bytes, ROOM);
		struct head_array out[CAP];
		uint64_t next;
		size_t len;

		add_array(&w, 1000, ways[i]);
		add_array(&w, 10, ways[i]);
		len = w.pos;
		w.pos = 300;
		assert_int_equal(find(&w, 0, out, CAP, &next), 1);
		assert_int_equal(next, out[0].end);
		w = (struct wbuf){.p = bytes + next, .len = ROOM, .pos = len - (size_t)next};
		assert_int_equal(find(&w, next, out, CAP, &next), 1);
		assert_int_equal(out[0].end - out[0].start, 40);
	}
}

static void sizes_are_not_trusted(void **state)
{
	struct wbuf w = wbuf_init(bytes, ROOM);
	struct head_array out[CAP];
	uint64_t next;

	(void)state;
	add_array(&w, 10, MEMBER_ZIP64);
	memset(bytes + 30 + 13 + 16, 0xff, 8);
	bytes[30 + 13 + 23] = 0x7f;
	assert_int_equal(find(&w, 0, out, CAP, &next), 1);
	assert_int_equal(next, 0);
	bytes[30 + 13 + 23] = 0xff;
	find(&w, 0, out, CAP, &next);
	assert_int_equal(next, 0);
	/* Lengths of name and extra field beyond the end. */
	put_u16(bytes + 26, UINT16_MAX);
	assert_int_equal(find(&w, 0, out, CAP, &next), 0);
	put_u16(bytes + 26, 13);
	put_u16(bytes + 28, UINT16_MAX);
	assert_int_equal(find(&w, 0, out, CAP, &next), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_of_all_writers_are_found),
		cmocka_unit_test(other_members_are_passed_over),
		cmocka_unit_test(arrays_longer_than_their_member_are_none),
		cmocka_unit_test(members_ahead_are_announced),
		cmocka_unit_test(a_descriptor_may_come_first),
		cmocka_unit_test(sizes_are_not_trusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
