/* POSIX ACLs: what they allow, how they and the mode move together, and how they are inherited.
 * Through the attributes that libacl uses itself, so that the kernel's format is tested too. */
#include "posix.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stddef.h>
#include <sys/xattr.h>

#define ACCESS	"system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

struct ace {
	uint16_t tag;
	uint16_t perm;
	uint32_t id;
};

enum { MAX_ACES = 16 };

/* An ACL as the kernel takes and gives it. */
struct acl_bytes {
	size_t len;
	struct posix_acl_xattr_header head;
	struct posix_acl_xattr_entry entries[MAX_ACES];
};

/* In the order the kernel wants: owner, users, owning group, groups, mask, others. */
/* clang-format off */
#define OWNER(p) {ACL_USER_OBJ, p, (uint32_t)ACL_UNDEFINED_ID}
#define USER(u, p) {ACL_USER, p, u}
#define OWN_GROUP(p) {ACL_GROUP_OBJ, p, (uint32_t)ACL_UNDEFINED_ID}
#define GROUP(g, p) {ACL_GROUP, p, g}
#define MASK(p) {ACL_MASK, p, (uint32_t)ACL_UNDEFINED_ID}
#define OTHERS(p) {ACL_OTHER, p, (uint32_t)ACL_UNDEFINED_ID}
/* clang-format on */

static struct acl_bytes acl_of(const struct ace *aces, size_t nr)
{
	struct acl_bytes acl = {.head.a_version = htole32(POSIX_ACL_XATTR_VERSION)};

	for (size_t i = 0; i < nr; i++) {
		acl.entries[i].e_tag = htole16(aces[i].tag);
		acl.entries[i].e_perm = htole16(aces[i].perm);
		acl.entries[i].e_id = htole32(aces[i].id);
	}
	acl.len = sizeof(acl.head) + nr * sizeof(acl.entries[0]);
	return acl;
}

#define ACL(...)                                                                                   \
	acl_of((struct ace[]){__VA_ARGS__},                                                        \
	       sizeof((struct ace[]){__VA_ARGS__}) / sizeof(struct ace))

static int acl_set(const char *name, const char *which, struct acl_bytes acl)
{
	/* By way of the whole, or the compiler takes the header for all of it. */
	return setxattr(name, which, (char *)&acl + offsetof(struct acl_bytes, head), acl.len, 0);
}

static void acl_is_at(int line, const char *name, const char *which, struct acl_bytes want)
{
	const size_t head_off = offsetof(struct acl_bytes, head);
	struct acl_bytes seen;
	ssize_t len = getxattr(name, which, (char *)&seen + head_off, sizeof(seen) - head_off);

	if (verdict(__FILE__, line, len == (ssize_t)want.len,
		    "%s of %s: expected %zu bytes, "
		    "seen %zd (%m)",
		    which, name, want.len, len))
		bytes_are(__FILE__, line, which, (char *)&seen + head_off, (char *)&want + head_off,
			  len);
}

#define ACL_IS(name, which, ...) acl_is_at(__LINE__, name, which, ACL(__VA_ARGS__))

static void no_acl_at(int line, const char *name, const char *which)
{
	char buf[512];

	verdict(__FILE__, line, getxattr(name, which, buf, sizeof(buf)) == -1 && errno == ENODATA,
		"%s of %s: expected none", which, name);
}

#define NO_ACL(name, which) no_acl_at(__LINE__, name, which)

/* The bits of access() that the calling user has on @name. */
static int allowed(const char *name)
{
	return (access(name, R_OK) ? 0 : 4) | (access(name, W_OK) ? 0 : 2) |
	       (access(name, X_OK) ? 0 : 1);
}

static void named_users_and_groups_are_admitted(void)
{
	MAKE_TEXT("f", "x");
	OK(chmod("f", 0600));
	OK(acl_set("f", ACCESS,
		   ACL(OWNER(6), USER(USER_A, 4), USER(USER_B, 7), OWN_GROUP(0), GROUP(GROUP_A, 2),
		       GROUP(GROUP_B, 4), MASK(7), OTHERS(0))));
	ACL_IS("f", ACCESS, OWNER(6), USER(USER_A, 4), USER(USER_B, 7), OWN_GROUP(0),
	       GROUP(GROUP_A, 2), GROUP(GROUP_B, 4), MASK(7), OTHERS(0));
	/* The mode's group bits are the mask. */
	EQ(perm_of("f"), 0670);
	AS_USER(USER_A, GROUP_C)
	{
		EQ(allowed("f"), 4);
		close(OK(open("f", O_RDONLY)));
		FAILS(open("f", O_RDWR), EACCES);
	}
	AS_USER(USER_B, GROUP_C)
	{
		EQ(allowed("f"), 7);
		close(OK(open("f", O_RDWR)));
	}
	/* A user's own entry counts, even if a group would allow more. */
	AS_USER(USER_A, GROUP_A)
	{
		EQ(allowed("f"), 4);
	}
	AS_USER(USER_C, GROUP_A)
	{
		EQ(allowed("f"), 2);
		FAILS(open("f", O_RDONLY), EACCES);
	}
	/* Several groups: any may allow, but none adds to another. */
	AS_USER(USER_C, GROUP_A, GROUP_B)
	{
		OK(access("f", R_OK));
		OK(access("f", W_OK));
		FAILS(access("f", R_OK | W_OK), EACCES);
	}
	AS_USER(USER_C, GROUP_C)
	{
		EQ(allowed("f"), 0);
	}
}

static void mask_limits_all_but_owner_and_others(void)
{
	MAKE_TEXT("f", "x");
	OK(chown("f", USER_C, GROUP_C));
	OK(acl_set("f", ACCESS,
		   ACL(OWNER(7), USER(USER_A, 7), OWN_GROUP(7), GROUP(GROUP_B, 7), MASK(4),
		       OTHERS(3))));
	EQ(perm_of("f"), 0743);
	AS_USER(USER_C, GROUP_A)
	{
		EQ(allowed("f"), 7);
	}
	AS_USER(USER_A, GROUP_A)
	{
		EQ(allowed("f"), 4);
	}
	AS_USER(USER_B, GROUP_C)
	{
		EQ(allowed("f"), 4);
	}
	AS_USER(USER_B, GROUP_B)
	{
		EQ(allowed("f"), 4);
	}
	AS_USER(USER_B, GROUP_A)
	{
		EQ(allowed("f"), 3);
	}
}

static void chmod_moves_the_mask(void)
{
	MAKE_TEXT("f", "x");
	OK(acl_set("f", ACCESS, ACL(OWNER(6), USER(USER_A, 6), OWN_GROUP(4), MASK(6), OTHERS(4))));
	EQ(perm_of("f"), 0664);
	OK(chmod("f", 0640));
	ACL_IS("f", ACCESS, OWNER(6), USER(USER_A, 6), OWN_GROUP(4), MASK(4), OTHERS(0));
	AS_USER(USER_A, GROUP_A)
	{
		EQ(allowed("f"), 4);
	}
	OK(chmod("f", 0700));
	ACL_IS("f", ACCESS, OWNER(7), USER(USER_A, 6), OWN_GROUP(4), MASK(0), OTHERS(0));
	AS_USER(USER_A, GROUP_A)
	{
		EQ(allowed("f"), 0);
	}
	/* What the mask hid comes back with it. */
	OK(chmod("f", 0777));
	ACL_IS("f", ACCESS, OWNER(7), USER(USER_A, 6), OWN_GROUP(4), MASK(7), OTHERS(7));
	AS_USER(USER_A, GROUP_A)
	{
		EQ(allowed("f"), 6);
	}
	drop_caches();
	ACL_IS("f", ACCESS, OWNER(7), USER(USER_A, 6), OWN_GROUP(4), MASK(7), OTHERS(7));
	EQ(perm_of("f"), 0777);
}

static void acl_that_is_a_mode_is_only_that(void)
{
	char list[512];
	ssize_t len;

	MAKE_TEXT("f", "x");
	NO_ACL("f", ACCESS);
	OK(acl_set("f", ACCESS, ACL(OWNER(7), OWN_GROUP(5), OTHERS(1))));
	EQ(perm_of("f"), 0751);
	NO_ACL("f", ACCESS);
	len = OK(listxattr("f", list, sizeof(list)));
	CHECK(!memmem(list, len, "posix_acl", 9));
	/* From a long one to a short one. */
	OK(acl_set("f", ACCESS, ACL(OWNER(6), USER(USER_A, 6), OWN_GROUP(4), MASK(6), OTHERS(4))));
	len = OK(listxattr("f", list, sizeof(list)));
	CHECK(memmem(list, len, ACCESS, sizeof(ACCESS)) != NULL);
	OK(acl_set("f", ACCESS, ACL(OWNER(6), OWN_GROUP(4), OTHERS(0))));
	EQ(perm_of("f"), 0640);
	NO_ACL("f", ACCESS);
	/* A mask without named entries is kept. */
	OK(acl_set("f", ACCESS, ACL(OWNER(6), OWN_GROUP(6), MASK(4), OTHERS(0))));
	EQ(perm_of("f"), 0640);
	ACL_IS("f", ACCESS, OWNER(6), OWN_GROUP(6), MASK(4), OTHERS(0));
}

static void acl_can_be_removed(void)
{
	MAKE_TEXT("f", "x");
	OK(acl_set("f", ACCESS, ACL(OWNER(6), USER(USER_A, 6), OWN_GROUP(0), MASK(6), OTHERS(0))));
	OK(removexattr("f", ACCESS));
	NO_ACL("f", ACCESS);
	EQ(perm_of("f"), 0660);
	AS_USER(USER_A, GROUP_A)
	{
		EQ(allowed("f"), 0);
	}
	OK(mkdir("d", 0755));
	OK(acl_set("d", DEFAULT, ACL(OWNER(7), OWN_GROUP(5), OTHERS(0))));
	ACL_IS("d", DEFAULT, OWNER(7), OWN_GROUP(5), OTHERS(0));
	OK(removexattr("d", DEFAULT));
	NO_ACL("d", DEFAULT);
	MAKE_TEXT("d/f", "");
	EQ(perm_of("d/f"), 0644);
}

static void default_acl_is_inherited(void)
{
	umask(077);
	OK(mkdir("d", 0755));
	EQ(perm_of("d"), 0700);
	OK(acl_set("d", DEFAULT,
		   ACL(OWNER(7), USER(USER_A, 6), OWN_GROUP(5), GROUP(GROUP_A, 4), MASK(7),
		       OTHERS(4))));
	/* It says nothing about the directory itself. */
	EQ(perm_of("d"), 0700);
	NO_ACL("d", ACCESS);
	/* The umask is not asked; the mode asked for limits owner, mask and others. */
	close(OK(open("d/f", O_CREAT | O_WRONLY, 0666)));
	EQ(perm_of("d/f"), 0664);
	ACL_IS("d/f", ACCESS, OWNER(6), USER(USER_A, 6), OWN_GROUP(5), GROUP(GROUP_A, 4), MASK(6),
	       OTHERS(4));
	NO_ACL("d/f", DEFAULT);
	close(OK(open("d/private", O_CREAT | O_WRONLY, 0600)));
	EQ(perm_of("d/private"), 0600);
	ACL_IS("d/private", ACCESS, OWNER(6), USER(USER_A, 6), OWN_GROUP(5), GROUP(GROUP_A, 4),
	       MASK(0), OTHERS(0));
	OK(mkdir("d/d", 0777));
	EQ(perm_of("d/d"), 0774);
	ACL_IS("d/d", DEFAULT, OWNER(7), USER(USER_A, 6), OWN_GROUP(5), GROUP(GROUP_A, 4), MASK(7),
	       OTHERS(4));
	ACL_IS("d/d", ACCESS, OWNER(7), USER(USER_A, 6), OWN_GROUP(5), GROUP(GROUP_A, 4), MASK(7),
	       OTHERS(4));
	OK(mkdir("d/d/e", 0700));
	ACL_IS("d/d/e", DEFAULT, OWNER(7), USER(USER_A, 6), OWN_GROUP(5), GROUP(GROUP_A, 4),
	       MASK(7), OTHERS(4));
	EQ(perm_of("d/d/e"), 0700);
	OK(mkfifo("d/p", 0644));
	EQ(perm_of("d/p"), 0644);
	ACL_IS("d/p", ACCESS, OWNER(6), USER(USER_A, 6), OWN_GROUP(5), GROUP(GROUP_A, 4), MASK(4),
	       OTHERS(4));
	OK(symlink("f", "d/l"));
	FAILS(lgetxattr("d/l", ACCESS, NULL, 0), EOPNOTSUPP);
	/* Links and renames into the directory inherit nothing. */
	MAKE_TEXT("g", "");
	OK(link("g", "d/g"));
	NO_ACL("d/g", ACCESS);
	OK(rename("g", "d/h"));
	NO_ACL("d/h", ACCESS);
	drop_caches();
	ACL_IS("d/d", DEFAULT, OWNER(7), USER(USER_A, 6), OWN_GROUP(5), GROUP(GROUP_A, 4), MASK(7),
	       OTHERS(4));
}

/* With a default ACL of three entries the new file has a mode and no ACL. */
static void default_acl_that_is_a_mode_gives_a_mode(void)
{
	umask(077);
	OK(mkdir("d", 0755));
	OK(acl_set("d", DEFAULT, ACL(OWNER(7), OWN_GROUP(6), OTHERS(5))));
	close(OK(open("d/f", O_CREAT | O_WRONLY, 0666)));
	EQ(perm_of("d/f"), 0664);
	NO_ACL("d/f", ACCESS);
	OK(mkdir("d/d", 0777));
	EQ(perm_of("d/d"), 0765);
	NO_ACL("d/d", ACCESS);
	ACL_IS("d/d", DEFAULT, OWNER(7), OWN_GROUP(6), OTHERS(5));
}

static void directories_obey_too(void)
{
	OK(mkdir("d", 0700));
	MAKE_TEXT("d/f", "x");
	OK(acl_set(
		"d", ACCESS,
		ACL(OWNER(7), USER(USER_A, 7), USER(USER_B, 1), OWN_GROUP(0), MASK(7), OTHERS(0))));
	AS_USER(USER_A, GROUP_A)
	{
		MAKE_TEXT("d/mine", "");
		close(OK(open("d", O_RDONLY | O_DIRECTORY)));
		OK(unlink("d/f"));
	}
	AS_USER(USER_B, GROUP_B)
	{
		OK(access("d/mine", R_OK));
		FAILS(open("d", O_RDONLY | O_DIRECTORY), EACCES);
		FAILS(unlink("d/mine"), EACCES);
	}
	AS_USER(USER_C, GROUP_C)
	{
		FAILS(access("d/mine", R_OK), EACCES);
	}
}

static void bad_acls_are_refused(void)
{
	struct acl_bytes acl = ACL(OWNER(7), OWN_GROUP(5), OTHERS(1));

	MAKE_TEXT("f", "x");
	OK(chmod("f", 0644));
	FAILS(acl_set("f", ACCESS, ACL(OWNER(6), OWN_GROUP(4))), EINVAL);
	FAILS(acl_set("f", ACCESS, ACL(OWNER(6), OTHERS(4))), EINVAL);
	FAILS(acl_set("f", ACCESS, ACL(OWN_GROUP(6), OTHERS(4))), EINVAL);
	/* Named entries need a mask. */
	FAILS(acl_set("f", ACCESS, ACL(OWNER(6), USER(USER_A, 6), OWN_GROUP(4), OTHERS(4))),
	      EINVAL);
	FAILS(acl_set("f", ACCESS, ACL(OTHERS(4), OWN_GROUP(4), OWNER(6))), EINVAL);
	FAILS(acl_set("f", ACCESS, ACL(OWNER(8), OWN_GROUP(4), OTHERS(4))), EINVAL);
	acl.len -= 3;
	FAILS(acl_set("f", ACCESS, acl), EINVAL);
	acl.len += 3;
	acl.head.a_version = 77;
	FAILS(acl_set("f", ACCESS, acl), EOPNOTSUPP);
	EQ(perm_of("f"), 0644);
	/* Files have no default. */
	FAILS(acl_set("f", DEFAULT, ACL(OWNER(7), OWN_GROUP(5), OTHERS(0))), EACCES);
	AS_USER(USER_A, GROUP_A)
	{
		FAILS(acl_set("f", ACCESS, ACL(OWNER(7), OWN_GROUP(7), OTHERS(7))), EPERM);
		FAILS(removexattr("f", ACCESS), EPERM);
	}
}

/* Who is not in the file's group may set an ACL, but loses the setgid bit, as with chmod. */
static void setting_an_acl_takes_setgid_from_strangers(void)
{
	MAKE_TEXT("f", "x");
	OK(chown("f", USER_A, GROUP_C));
	OK(chmod("f", 02755));
	AS_USER(USER_A, GROUP_A)
	{
		OK(acl_set("f", ACCESS, ACL(OWNER(7), OWN_GROUP(5), OTHERS(5))));
		EQ(perm_of("f"), 0755);
	}
	OK(chmod("f", 02755));
	AS_USER(USER_A, GROUP_C)
	{
		OK(acl_set("f", ACCESS,
			   ACL(OWNER(7), USER(USER_B, 5), OWN_GROUP(5), MASK(5), OTHERS(5))));
		EQ(perm_of("f"), 02755);
	}
	OK(chmod("f", 02755));
	AS_USER(USER_A, GROUP_A)
	{
		OK(acl_set("f", ACCESS,
			   ACL(OWNER(7), USER(USER_C, 5), OWN_GROUP(5), MASK(5), OTHERS(5))));
		EQ(perm_of("f"), 0755);
	}
}

static void acl_stays_through_links_and_renames(void)
{
	MAKE_TEXT("f", "x");
	OK(acl_set("f", ACCESS, ACL(OWNER(6), USER(USER_A, 6), OWN_GROUP(0), MASK(6), OTHERS(0))));
	OK(link("f", "g"));
	OK(rename("f", "h"));
	ACL_IS("g", ACCESS, OWNER(6), USER(USER_A, 6), OWN_GROUP(0), MASK(6), OTHERS(0));
	OK(chown("h", USER_B, GROUP_B));
	ACL_IS("h", ACCESS, OWNER(6), USER(USER_A, 6), OWN_GROUP(0), MASK(6), OTHERS(0));
	AS_USER(USER_A, GROUP_A)
	{
		EQ(allowed("g"), 6);
	}
	AS_USER(USER_B, GROUP_A)
	{
		EQ(allowed("g"), 6);
		OK(chmod("g", 0400));
		EQ(allowed("g"), 4);
	}
	AS_USER(USER_A, GROUP_A)
	{
		EQ(allowed("g"), 0);
	}
}

POSIX_MAIN(ROOT_CHECK_ENTRY(named_users_and_groups_are_admitted),
	   ROOT_CHECK_ENTRY(mask_limits_all_but_owner_and_others),
	   ROOT_CHECK_ENTRY(chmod_moves_the_mask), CHECK_ENTRY(acl_that_is_a_mode_is_only_that),
	   ROOT_CHECK_ENTRY(acl_can_be_removed), CHECK_ENTRY(default_acl_is_inherited),
	   CHECK_ENTRY(default_acl_that_is_a_mode_gives_a_mode),
	   ROOT_CHECK_ENTRY(directories_obey_too), ROOT_CHECK_ENTRY(bad_acls_are_refused),
	   ROOT_CHECK_ENTRY(setting_an_acl_takes_setgid_from_strangers),
	   ROOT_CHECK_ENTRY(acl_stays_through_links_and_renames))
