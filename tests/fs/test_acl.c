#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <linux/posix_acl.h>

#include "conf/base.h"
#include "conf/bytes.h"
#include "fs/acl.h"

#define NOBODY	    ((uint32_t)ACL_UNDEFINED_ID)
#define ENTRIES_MAX 16

/* As text, in the order of the entries: "u:7 u1000:5 g:4 g20:6 m:7 o:0"; 'x' is a tag that does not exist. */
static size_t acl_bytes(const char *text, uint8_t *buf)
{
	size_t len = 4;

	put_u32(buf, 2);
	for (const char *p = text; *p; p += *p == ' ') {
		uint32_t id = NOBODY;
		char tag = *p++;
		uint16_t tags;

		if (*p != ':')
			id = (uint32_t)strtoul(p, (char **)&p, 10);
		p++;
		switch (tag) {
		case 'u':
			tags = id == NOBODY ? ACL_USER_OBJ : ACL_USER;
			break;
		case 'g':
			tags = id == NOBODY ? ACL_GROUP_OBJ : ACL_GROUP;
			break;
		case 'm':
			tags = ACL_MASK;
			break;
		case 'o':
			tags = ACL_OTHER;
			break;
		default:
			tags = 0x40;
			break;
		}
		put_u16(buf + len, tags);
		put_u16(buf + len + 2, (uint16_t)strtoul(p, (char **)&p, 10));
		put_u32(buf + len + 4, id);
		len += 8;
	}
	return len;
}

static struct acl *acl_of(const char *text)
{
	uint8_t buf[4 + 8 * ENTRIES_MAX];
	struct acl *acl = NULL;

	assert_int_equal(acl_parse(buf, acl_bytes(text, buf), &acl), 0);
	assert_non_null(acl);
	return acl;
}

static void acl_is(const struct acl *acl, const char *text)
{
	uint8_t want[4 + 8 * ENTRIES_MAX], have[4 + 8 * ENTRIES_MAX];
	size_t len = acl_bytes(text, want);

	assert_int_equal(acl_len(acl), len);
	acl_format(acl, have);
	assert_memory_equal(have, want, len);
}

static void acl_valid_lists_come_back(void **state)
{
	static const char *const lists[] = {
		"u:7 g:5 o:0",
		"u:6 g:4 m:6 o:4",
		"u:7 u1000:7 g:5 m:7 o:0",
		"u:7 u1:1 u2:2 u2:3 g:5 g3:4 g4:0 m:7 o:7",
		"u:0 g:0 g0:7 m:0 o:0",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		AUTO_FREE struct acl *acl = acl_of(lists[i]);

		acl_is(acl, lists[i]);
	}
}

static void acl_invalid_lists_are_refused(void **state)
{
	static const char *const lists[] = {
		"u:7", /* not whole */
		"u:7 g:5",
		"g:5 o:0",
		"u:7 o:0",
		"u:7 g:5 m:7",
		"g:5 u:7 o:0", /* order */
		"u:7 o:0 g:5",
		"u:7 g:5 u1:7 m:7 o:0",
		"u1:7 u:7 g:5 m:7 o:0",
		"u:7 g1:5 g:5 m:7 o:0",
		"u:7 g:5 m:7 g1:5 o:0",
		"u:7 u:7 g:5 o:0", /* twice */
		"u:7 g:5 g:5 o:0",
		"u:7 g:5 m:7 m:7 o:0",
		"u:7 g:5 o:0 o:0",
		"u:7 g:5 o:0 m:7",
		"u:7 u1:7 g:5 o:0", /* named, but no mask */
		"u:7 g:5 g1:7 o:0",
		"u:8 g:5 o:0", /* permissions */
		"u:7 g:5 o:65535",
		"u:7 x:7 g:5 o:0", /* no such tag */
	};
	uint8_t buf[4 + 8 * ENTRIES_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct acl *acl = NULL;
		int err = acl_parse(buf, acl_bytes(lists[i], buf), &acl);

		if (err != -EINVAL || acl)
			fail_msg("\"%s\" gives %d", lists[i], err);
	}
}

static void acl_a_named_entry_needs_an_id(void **state)
{
	uint8_t buf[4 + 8 * ENTRIES_MAX];
	size_t len = acl_bytes("u:7 u5:7 g:5 m:7 o:0", buf);
	struct acl *acl = NULL;

	(void)state;
	put_u32(buf + 4 + 8 + 4, NOBODY);
	assert_int_equal(acl_parse(buf, len, &acl), -EINVAL);
}

static void acl_other_ids_do_not_matter(void **state)
{
	uint8_t buf[4 + 8 * ENTRIES_MAX];
	size_t len = acl_bytes("u:7 g:5 o:0", buf);
	AUTO_FREE struct acl *acl = NULL;

	(void)state;
	put_u32(buf + 4 + 4, 1234);
	assert_int_equal(acl_parse(buf, len, &acl), 0);
	acl_is(acl, "u:7 g:5 o:0");
}

static void acl_lengths_and_version_are_checked(void **state)
{
	uint8_t buf[4 + 8 * ENTRIES_MAX];
	size_t len = acl_bytes("u:7 g:5 o:0", buf);

	(void)state;
	for (size_t cut = 1; cut < len; cut++) {
		AUTO_FREE uint8_t *exact = malloc(cut);
		struct acl *acl = NULL;

		assert_non_null(exact);
		memcpy(exact, buf, cut);
		assert_int_equal(acl_parse(exact, cut, &acl), cut == 4 ? 0 : -EINVAL);
		assert_null(acl);
	}
	put_u32(buf, 1);
	assert_int_equal(acl_parse(buf, len, &(struct acl *){NULL}), -EOPNOTSUPP);
}

static void acl_no_entries_is_no_list(void **state)
{
	struct acl some = {.nr = 0}, *acl = &some;
	uint8_t head[4] = {2};

	(void)state;
	assert_int_equal(acl_parse(head, 4, &acl), 0);
	assert_null(acl);
	acl = &some;
	assert_int_equal(acl_parse(NULL, 0, &acl), 0);
	assert_null(acl);
}

static void acl_mode_is_owner_mask_others(void **state)
{
	static const struct {
		const char *list;
		uint32_t mode;
		bool minimal;
	} cases[] = {
		{"u:7 g:5 o:1", 0751, true},
		{"u:7 g:5 m:2 o:1", 0721, false},
		{"u:6 u3:7 g:0 m:7 o:0", 0670, false},
		{"u:6 g:0 g3:7 m:1 o:4", 0614, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE struct acl *acl = acl_of(cases[i].list);
		uint32_t mode = S_IFREG | S_ISUID | S_ISVTX | 0111;

		assert_int_equal(acl_equiv_mode(acl, &mode), cases[i].minimal);
		assert_int_equal(mode, S_IFREG | S_ISUID | S_ISVTX | cases[i].mode);
		acl_is(acl, cases[i].list);
	}
}

/* What Linux' posix_acl_create() makes of these (found by hand from its rules: each class is cut by the mode, the
 * group class by its mask where there is one). */
static void acl_create_cuts_list_and_mode(void **state)
{
	static const struct {
		const char *list;
		uint32_t asked, mode;
		const char *access;
		bool minimal;
	} cases[] = {
		{"u:7 g:5 o:0", 0666, 0640, "u:6 g:4 o:0", true},
		{"u:7 g:7 o:7", 0644, 0644, "u:6 g:4 o:4", true},
		{"u:7 u9:7 g:5 m:7 o:0", 0666, 0660, "u:6 u9:7 g:5 m:6 o:0", false},
		{"u:7 u9:7 g:5 m:7 o:5", 0777, 0775, "u:7 u9:7 g:5 m:7 o:5", false},
		{"u:7 g:7 g8:6 m:4 o:7", 02770, 02740, "u:7 g:7 g8:6 m:4 o:0", false},
		{"u:5 g:7 m:7 o:7", 0, 0, "u:0 g:7 m:0 o:0", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE struct acl *acl = acl_of(cases[i].list);
		uint32_t mode = S_IFREG | cases[i].asked;

		assert_int_equal(acl_create(acl, &mode), cases[i].minimal);
		assert_int_equal(mode, S_IFREG | cases[i].mode);
		acl_is(acl, cases[i].access);
	}
}

static void acl_chmod_moves_owner_mask_others(void **state)
{
	static const struct {
		const char *list;
		uint32_t mode;
		const char *after;
	} cases[] = {
		{"u:7 g:5 o:0", 0640, "u:6 g:4 o:0"},
		{"u:7 u9:7 g:5 m:7 o:0", 0604, "u:6 u9:7 g:5 m:0 o:4"},
		{"u:4 g:7 g8:6 m:4 o:7", 02751, "u:7 g:7 g8:6 m:5 o:1"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE struct acl *acl = acl_of(cases[i].list);

		acl_chmod(acl, S_IFREG | cases[i].mode);
		acl_is(acl, cases[i].after);
	}
}

/* setfacl -m u:1000:rwx,g:20:r on a file of mode 640, as getfattr shows it on ext4. */
static void acl_bytes_are_the_kernels(void **state)
{
	static const uint8_t bytes[] = {
		2,    0, 0, 0,			       /* version */
		1,    0, 6, 0, 0xff, 0xff, 0xff, 0xff, /* owner rw- */
		2,    0, 7, 0, 0xe8, 3,	   0,	 0,    /* user 1000 rwx */
		4,    0, 4, 0, 0xff, 0xff, 0xff, 0xff, /* group r-- */
		8,    0, 4, 0, 20,   0,	   0,	 0,    /* group 20 r-- */
		0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, /* mask rwx */
		0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, /* others --- */
	};
	AUTO_FREE struct acl *acl = NULL;
	uint8_t again[sizeof(bytes)];

	(void)state;
	assert_int_equal(acl_parse(bytes, sizeof(bytes), &acl), 0);
	acl_is(acl, "u:6 u1000:7 g:4 g20:4 m:7 o:0");
	assert_int_equal(acl_len(acl), sizeof(bytes));
	acl_format(acl, again);
	assert_memory_equal(again, bytes, sizeof(bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acl_valid_lists_come_back),
		cmocka_unit_test(acl_invalid_lists_are_refused),
		cmocka_unit_test(acl_a_named_entry_needs_an_id),
		cmocka_unit_test(acl_other_ids_do_not_matter),
		cmocka_unit_test(acl_lengths_and_version_are_checked),
		cmocka_unit_test(acl_no_entries_is_no_list),
		cmocka_unit_test(acl_mode_is_owner_mask_others),
		cmocka_unit_test(acl_create_cuts_list_and_mode),
		cmocka_unit_test(acl_chmod_moves_owner_mask_others),
		cmocka_unit_test(acl_bytes_are_the_kernels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
