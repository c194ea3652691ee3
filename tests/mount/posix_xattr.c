/* Extended attributes: the four namespaces, all errors, sizes, and what follows a file. */
#include "posix.h"

#include <sys/xattr.h>

static void set_get_replace_remove(void)
{
	char buf[64];

	MAKE_TEXT("f", "");
	FAILS(getxattr("f", "user.a", buf, sizeof(buf)), ENODATA);
	OK(setxattr("f", "user.a", "value", 5, 0));
	EQ(OK(getxattr("f", "user.a", NULL, 0)), 5);
	EQ(OK(getxattr("f", "user.a", buf, sizeof(buf))), 5);
	BYTES_ARE(buf, "value", 5);
	EQ(OK(getxattr("f", "user.a", buf, 5)), 5);
	FAILS(getxattr("f", "user.a", buf, 4), ERANGE);
	OK(setxattr("f", "user.a", "other value", 11, 0));
	EQ(OK(getxattr("f", "user.a", buf, sizeof(buf))), 11);
	OK(setxattr("f", "user.a", "x", 1, XATTR_REPLACE));
	EQ(OK(getxattr("f", "user.a", buf, sizeof(buf))), 1);
	FAILS(setxattr("f", "user.a", "y", 1, XATTR_CREATE), EEXIST);
	FAILS(setxattr("f", "user.b", "y", 1, XATTR_REPLACE), ENODATA);
	FAILS(setxattr("f", "user.b", "y", 1, 4), EINVAL);
	OK(setxattr("f", "user.b", "y", 1, XATTR_CREATE));
	OK(removexattr("f", "user.b"));
	FAILS(removexattr("f", "user.b"), ENODATA);
	FAILS(getxattr("f", "user.b", buf, sizeof(buf)), ENODATA);
	/* An empty value is a value. */
	OK(setxattr("f", "user.empty", "", 0, 0));
	EQ(OK(getxattr("f", "user.empty", buf, sizeof(buf))), 0);
	FAILS(getxattr("none", "user.a", buf, sizeof(buf)), ENOENT);
	FAILS(setxattr("none", "user.a", "x", 1, 0), ENOENT);
}

static void names_have_limits(void)
{
	char name[300] = "user.", buf[8];

	MAKE_TEXT("f", "");
	memset(name + 5, 'n', 250);
	OK(setxattr("f", name, "v", 1, 0));
	EQ(OK(getxattr("f", name, buf, sizeof(buf))), 1);
	OK(removexattr("f", name));
	name[255] = 'n';
	FAILS(setxattr("f", name, "v", 1, 0), ERANGE);
	FAILS(getxattr("f", name, buf, sizeof(buf)), ERANGE);
	FAILS(setxattr("f", "", "v", 1, 0), ERANGE);
	FAILS(setxattr("f", "nonsense.a", "v", 1, 0), EOPNOTSUPP);
	FAILS(getxattr("f", "nonsense.a", buf, sizeof(buf)), EOPNOTSUPP);
	FAILS(setxattr("f", "plain", "v", 1, 0), EOPNOTSUPP);
	FAILS(setxattr("f", "user.", "v", 1, 0), EINVAL);
	OK(setxattr("f", "user.\xff\x01 odd", "v", 1, 0));
	EQ(OK(getxattr("f", "user.\xff\x01 odd", buf, sizeof(buf))), 1);
	FAILS(getxattr("f", "user.\xff\x01 ODD", buf, sizeof(buf)), ENODATA);
}

/* Is @name among the @len bytes of @list? */
static bool listed(const char *list, ssize_t len, const char *name)
{
	for (ssize_t i = 0; i < len; i += strlen(list + i) + 1)
		if (!strcmp(list + i, name))
			return true;
	return false;
}

static ssize_t count_user(const char *list, ssize_t len)
{
	ssize_t nr = 0;

	for (ssize_t i = 0; i < len; i += strlen(list + i) + 1)
		nr += !strncmp(list + i, "user.", 5);
	return nr;
}

static void all_names_are_listed(void)
{
	char list[8192], name[32];
	ssize_t len;

	MAKE_TEXT("f", "");
	len = OK(listxattr("f", list, sizeof(list)));
	EQ(count_user(list, len), 0);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user.name%d", i);
		OK(setxattr("f", name, name, strlen(name), 0));
	}
	len = OK(listxattr("f", list, sizeof(list)));
	EQ(count_user(list, len), 40);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user.name%d", i);
		CHECKF(listed(list, len, name), "%s is not listed", name);
	}
	EQ(OK(listxattr("f", NULL, 0)), len);
	FAILS(listxattr("f", list, len - 1), ERANGE);
	EQ(OK(listxattr("f", list, len)), len);
	for (int i = 0; i < 40; i += 2) {
		snprintf(name, sizeof(name), "user.name%d", i);
		OK(removexattr("f", name));
	}
	len = OK(listxattr("f", list, sizeof(list)));
	EQ(count_user(list, len), 20);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user.name%d", i);
		EQ(listed(list, len, name), i % 2);
	}
}

/* ext4 keeps all of a file's attributes in one block and says ENOSPC beyond it. */
static void values_up_to_64_kib(void)
{
	static const size_t sizes[] = {1, 255, 256, 4000, 4096, 4097, 16384, 65535, 65536};
	char *want = must_alloc(65537), *seen = must_alloc(65537);

	MAKE_TEXT("f", "");
	fill_bytes(want, 65537, 11);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (fs_is(EXT4_SUPER_MAGIC) && sizes[i] > 3000)
			break;
		OK(setxattr("f", "user.big", want, sizes[i], 0));
		EQ(OK(getxattr("f", "user.big", NULL, 0)), sizes[i]);
		memset(seen, 0, 65537);
		EQ(OK(getxattr("f", "user.big", seen, 65536)), sizes[i]);
		BYTES_ARE(seen, want, sizes[i]);
		drop_caches();
		EQ(OK(getxattr("f", "user.big", seen, sizes[i])), sizes[i]);
		BYTES_ARE(seen, want, sizes[i]);
		/* (A length of 0 would ask for the size.) */
		if (sizes[i] > 1)
			FAILS(getxattr("f", "user.big", seen, sizes[i] - 1), ERANGE);
	}
	FAILS(setxattr("f", "user.big", want, 65537, 0), E2BIG);
	/* Growing and shrinking in place must not leave old bytes. */
	OK(setxattr("f", "user.big", "short", 5, 0));
	EQ(OK(getxattr("f", "user.big", seen, 65536)), 5);
	free(want);
	free(seen);
}

static void attributes_belong_to_the_file_not_its_name(void)
{
	char buf[8];
	int fd;

	MAKE_TEXT("f", "");
	OK(link("f", "g"));
	OK(setxattr("f", "user.a", "1", 1, 0));
	EQ(OK(getxattr("g", "user.a", buf, sizeof(buf))), 1);
	OK(rename("f", "h"));
	EQ(OK(getxattr("h", "user.a", buf, sizeof(buf))), 1);
	fd = OK(open("h", O_RDWR));
	OK(unlink("h"));
	OK(unlink("g"));
	OK(fsetxattr(fd, "user.b", "2", 1, 0));
	EQ(OK(fgetxattr(fd, "user.b", buf, sizeof(buf))), 1);
	EQ(OK(fgetxattr(fd, "user.a", buf, sizeof(buf))), 1);
	OK(fremovexattr(fd, "user.a"));
	FAILS(fgetxattr(fd, "user.a", buf, sizeof(buf)), ENODATA);
	close(fd);
	/* A new file of the old name starts without. */
	MAKE_TEXT("f", "");
	FAILS(getxattr("f", "user.a", buf, sizeof(buf)), ENODATA);
	OK(mkdir("d", 0755));
	OK(setxattr("d", "user.a", "1", 1, 0));
	MAKE_TEXT("d/f", "");
	FAILS(getxattr("d/f", "user.a", buf, sizeof(buf)), ENODATA);
	OK(symlink("f", "l"));
	OK(setxattr("l", "user.via", "1", 1, 0));
	EQ(OK(getxattr("f", "user.via", buf, sizeof(buf))), 1);
}

static void user_attributes_are_for_files_and_directories(void)
{
	char buf[8];

	OK(mkfifo("p", 0666));
	OK(symlink("none", "l"));
	OK(mknod("c", S_IFCHR | 0666, makedev(1, 3)));
	FAILS(setxattr("p", "user.a", "1", 1, 0), EPERM);
	FAILS(setxattr("c", "user.a", "1", 1, 0), EPERM);
	FAILS(lsetxattr("l", "user.a", "1", 1, 0), EPERM);
	FAILS(getxattr("p", "user.a", buf, sizeof(buf)), ENODATA);
	FAILS(lgetxattr("l", "user.a", buf, sizeof(buf)), ENODATA);
	FAILS(lremovexattr("l", "user.a"), EPERM);
	/* The other name spaces take them. */
	OK(lsetxattr("l", "trusted.a", "1", 1, 0));
	EQ(OK(lgetxattr("l", "trusted.a", buf, sizeof(buf))), 1);
	OK(setxattr("p", "trusted.a", "1", 1, 0));
	EQ(OK(getxattr("p", "trusted.a", buf, sizeof(buf))), 1);
	OK(setxattr("c", "trusted.a", "1", 1, 0));
}

static void permission_of_user_attributes_is_that_of_the_file(void)
{
	char buf[8];

	MAKE_TEXT("f", "");
	OK(setxattr("f", "user.a", "1", 1, 0));
	OK(chmod("f", 0644));
	OK(mkdir("sticky", 0777));
	OK(chmod("sticky", 01777));
	AS_USER(USER_A, GROUP_A)
	{
		EQ(OK(getxattr("f", "user.a", buf, sizeof(buf))), 1);
		FAILS(setxattr("f", "user.a", "2", 1, 0), EACCES);
		FAILS(removexattr("f", "user.a"), EACCES);
		/* In a sticky directory only the owner, or all of /tmp would be labelled. */
		FAILS(setxattr("sticky", "user.a", "2", 1, 0), EPERM);
	}
	OK(chmod("f", 0222));
	AS_USER(USER_A, GROUP_A)
	{
		FAILS(getxattr("f", "user.a", buf, sizeof(buf)), EACCES);
		OK(setxattr("f", "user.a", "2", 1, 0));
	}
}

static void trusted_is_for_root(void)
{
	char list[512], buf[8];
	ssize_t len;

	MAKE_TEXT("f", "");
	OK(chown("f", USER_A, GROUP_A));
	OK(setxattr("f", "trusted.a", "1", 1, 0));
	OK(setxattr("f", "user.a", "1", 1, 0));
	EQ(OK(getxattr("f", "trusted.a", buf, sizeof(buf))), 1);
	len = OK(listxattr("f", list, sizeof(list)));
	CHECK(listed(list, len, "trusted.a"));
	AS_USER(USER_A, GROUP_A)
	{
		FAILS(setxattr("f", "trusted.b", "1", 1, 0), EPERM);
		FAILS(removexattr("f", "trusted.a"), EPERM);
		FAILS(getxattr("f", "trusted.a", buf, sizeof(buf)), ENODATA);
		len = OK(listxattr("f", list, sizeof(list)));
		CHECK(listed(list, len, "user.a"));
		/* Of the others only their maker knows. */
		CHECK(!listed(list, len, "trusted.a"));
	}
	OK(removexattr("f", "trusted.a"));
}

static void security_attributes_are_kept(void)
{
	/* The capability to bind low ports, as file capabilities of revision 2 say it. */
	static const uint8_t cap[20] = {1, 0, 0, 2, 0, 4, 0, 0};
	uint8_t seen[32];
	char list[512];
	ssize_t len;

	MAKE_TEXT("f", "");
	OK(setxattr("f", "security.capability", cap, sizeof(cap), 0));
	EQ(OK(getxattr("f", "security.capability", seen, sizeof(seen))), sizeof(cap));
	BYTES_ARE(seen, cap, sizeof(cap));
	OK(setxattr("f", "security.matfs-test", "1", 1, 0));
	len = OK(listxattr("f", list, sizeof(list)));
	CHECK(listed(list, len, "security.capability"));
	CHECK(listed(list, len, "security.matfs-test"));
	OK(chown("f", USER_A, GROUP_A));
	OK(chmod("f", 0666));
	/* Like the setuid bit, a capability goes with the change of owner or bytes. */
	FAILS(getxattr("f", "security.capability", seen, sizeof(seen)), ENODATA);
	OK(setxattr("f", "security.capability", cap, sizeof(cap), 0));
	AS_USER(USER_B, GROUP_B)
	{
		int fd = OK(open("f", O_WRONLY));

		EQ(OK(write(fd, "x", 1)), 1);
		FAILS(setxattr("f", "security.matfs-test", "2", 1, 0), EPERM);
	}
	FAILS(getxattr("f", "security.capability", seen, sizeof(seen)), ENODATA);
	EQ(OK(getxattr("f", "security.matfs-test", seen, sizeof(seen))), 1);
}

POSIX_MAIN(CHECK_ENTRY(set_get_replace_remove), CHECK_ENTRY(names_have_limits),
	   CHECK_ENTRY(all_names_are_listed), CHECK_ENTRY(values_up_to_64_kib),
	   CHECK_ENTRY(attributes_belong_to_the_file_not_its_name),
	   ROOT_CHECK_ENTRY(user_attributes_are_for_files_and_directories),
	   ROOT_CHECK_ENTRY(permission_of_user_attributes_is_that_of_the_file),
	   ROOT_CHECK_ENTRY(trusted_is_for_root), ROOT_CHECK_ENTRY(security_attributes_are_kept))
