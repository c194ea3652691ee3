/* The table of a bundle: what is put comes back, and nothing else is taken for one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/base.h"
#include "conf/bytes.h"
#include "fs/bundle.h"

#define NR  3u
#define LEN 200u

static const struct bundle_part parts[NR] = {
	{.ino = 5, .off = 4096, .len = 40},
	{.ino = 1ULL << 40, .off = (uint64_t)INT64_MAX - 1, .len = 1},
	{.ino = 7, .off = 0, .len = 59},
};

static void make(uint8_t raw[LEN])
{
	struct bundle_part p[NR];

	memset(raw, 0xee, LEN);
	memcpy(p, parts, sizeof(p));
	bundle_put(p, NR, raw);
	assert_int_equal(p[0].skip, bundle_table_len(NR));
	assert_int_equal(p[2].skip, bundle_table_len(NR) + 41);
}

static void parts_come_back(void **state)
{
	uint8_t raw[LEN];
	uint32_t at = 0, skip = (uint32_t)bundle_table_len(NR);
	unsigned nr;

	(void)state;
	make(raw);
	assert_int_equal(bundle_count(raw, LEN, &nr), 0);
	assert_int_equal(nr, NR);
	for (unsigned i = 0; i < NR; i++) {
		struct bundle_part p;

		bundle_part(raw, nr, i, &at, &p);
		assert_int_equal(p.ino, parts[i].ino);
		assert_int_equal(p.off, parts[i].off);
		assert_int_equal(p.len, parts[i].len);
		assert_int_equal(p.skip, skip);
		skip += p.len;
	}
	/* Just as long as it must be. */
	assert_int_equal(bundle_count(raw, skip, &nr), 0);
	assert_int_equal(bundle_count(raw, skip - 1, &nr), -EBADMSG);
}

static void what_is_no_bundle_is_refused(void **state)
{
	uint8_t good[LEN], raw[LEN];
	unsigned nr;

	(void)state;
	make(good);
	for (size_t len = 0; len < bundle_table_len(NR); len++)
		assert_int_equal(bundle_count(good, len, &nr), -EBADMSG);

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		memcpy(raw, good, LEN);                                                            \
		change;                                                                            \
		assert_int_equal(bundle_count(raw, LEN, &nr), -EBADMSG);                           \
	} while (0)

	REFUSED(raw[0] ^= 1);
	REFUSED(put_u32(raw + 4, 0));
	REFUSED(put_u32(raw + 4, UINT32_MAX));
	REFUSED(put_u64(raw + 8, 0));		/* no inode */
	REFUSED(put_u64(raw + 16, INT64_MAX));	/* ends beyond what a file can have */
	REFUSED(put_u32(raw + 24, 0));		/* no bytes */
	REFUSED(put_u32(raw + 24, UINT32_MAX)); /* more than there are */
	REFUSED(put_u32(raw + 28, 1));		/* reserved */
	REFUSED(put_u32(raw + 24, LEN));	/* together more than there are */
}

static void an_owner_tells_it(void **state)
{
	(void)state;
	assert_true(bundle_is(&(struct stripe_owner){.file_off = BUNDLE_MARK | 3}));
	assert_false(bundle_is(&(struct stripe_owner){.file_off = INT64_MAX}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_come_back),
		cmocka_unit_test(what_is_no_bundle_is_refused),
		cmocka_unit_test(an_owner_tells_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
