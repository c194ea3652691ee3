/* Who may do what: permission bits, sticky and setgid directories, chmod, chown, access. */
#include "posix.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

/* Give @name to this user, group and mode; in this order, since chown clears bits. */
static void give(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	OK(lchown(name, uid, gid));
	OK(chmod(name, mode));
}

static void file_bits_are_enforced(void)
{
	static const struct {
		uid_t uid;
		gid_t gid;
		int shift;
	} whos[] = {{USER_A, GROUP_B, 6}, {USER_B, GROUP_A, 3}, {USER_B, GROUP_B, 0}};
	int bits;

	MAKE_TEXT("f", "#!/bin/sh\n");
	for (mode_t mode = 0; mode < 01000; mode += 0111) {
		/* All three at once, then each alone with the others the opposite. */
		for (int alone = 0; alone < 4; alone++) {
			mode_t m = alone ? (mode ^ 0777) & ~(7u << (alone - 1) * 3) : mode;

			if (alone)
				m |= mode & 7u << (alone - 1) * 3;
			give("f", USER_A, GROUP_A, m);
			for (int w = 0; w < 3; w++) {
				bits = m >> whos[w].shift & 7;
				AS_USER(whos[w].uid, whos[w].gid)
				{
					int rd = open("f", O_RDONLY), wr = open("f", O_WRONLY);
					int rw = open("f", O_RDWR);

					CHECKF((rd >= 0) == !!(bits & 4), "mode %o, user %d: read",
					       m, w);
					CHECKF((wr >= 0) == !!(bits & 2), "mode %o, user %d: write",
					       m, w);
					CHECKF((rw >= 0) == ((bits & 6) == 6),
					       "mode %o, user %d: read and write", m, w);
					for (int a = 1; a < 8; a++)
						CHECKF((access("f", a) == 0) == ((bits & a) == a),
						       "mode %o, user %d: access %d", m, w, a);
				}
			}
		}
	}
}

static void denied_says_eacces(void)
{
	MAKE_TEXT("f", "x");
	OK(chmod("f", 0600));
	OK(mkdir("closed", 0700));
	MAKE_TEXT("closed/f", "x");
	OK(mkdir("noexec", 0744));
	MAKE_TEXT("noexec/f", "x");
	OK(mkdir("noread", 0711));
	MAKE_TEXT("noread/f", "x");
	AS_USER(USER_A, GROUP_A)
	{
		FAILS(open("f", O_RDONLY), EACCES);
		FAILS(open("f", O_WRONLY), EACCES);
		FAILS(truncate("f", 0), EACCES);
		FAILS(access("f", R_OK), EACCES);
		FAILS(open("closed", O_RDONLY), EACCES);
		FAILS(chdir("closed"), EACCES);
		FAILS(open("closed/f", O_RDONLY), EACCES);
		FAILS(stat("closed/f", &(struct stat){0}), EACCES);
		FAILS(stat("closed/none", &(struct stat){0}), EACCES);
		FAILS(stat("noexec/f", &(struct stat){0}), EACCES);
		close(OK(open("noexec", O_RDONLY | O_DIRECTORY)));
		FAILS(open("noread", O_RDONLY | O_DIRECTORY), EACCES);
		close(OK(open("noread/f", O_RDONLY)));
		FAILS(open("new", O_CREAT | O_WRONLY, 0644), EACCES);
		FAILS(mkdir("new", 0755), EACCES);
		FAILS(mkfifo("new", 0644), EACCES);
		FAILS(symlink("x", "new"), EACCES);
		FAILS(unlink("f"), EACCES);
		FAILS(rmdir("closed"), EACCES);
		FAILS(rename("f", "g"), EACCES);
		FAILS(renameat2(AT_FDCWD, "f", AT_FDCWD, "closed", RENAME_EXCHANGE), EACCES);
		FAILS(open(".", O_TMPFILE | O_RDWR, 0600), EACCES);
		FAILS(execl("f", "f", NULL), EACCES);
		FAILS(chroot("."), EPERM);
	}
	/* Writable by all, since protected_hardlinks would refuse others for that alone. */
	OK(chmod("noread/f", 0666));
	AS_USER(USER_A, GROUP_A)
	{
		FAILS(link("noread/f", "new"), EACCES);
	}
	/* Root reads and writes anything, but runs only what somebody may run. */
	OK(chmod("f", 0));
	close(OK(open("f", O_RDWR)));
	EQ(access("f", R_OK | W_OK), 0);
	FAILS(access("f", X_OK), EACCES);
	OK(chmod("f", 0001));
	EQ(access("f", X_OK), 0);
}

static void supplementary_groups_count(void)
{
	MAKE_TEXT("f", "x");
	give("f", 0, GROUP_C, 0640);
	AS_USER(USER_A, GROUP_A, GROUP_B, GROUP_C)
	{
		close(OK(open("f", O_RDONLY)));
		FAILS(open("f", O_WRONLY), EACCES);
	}
	AS_USER(USER_A, GROUP_A, GROUP_B)
	{
		FAILS(open("f", O_RDONLY), EACCES);
	}
	/* A member of the group gets the group's bits, even if others get more. */
	OK(chmod("f", 0606));
	AS_USER(USER_A, GROUP_A, GROUP_C)
	{
		FAILS(open("f", O_RDONLY), EACCES);
	}
}

static void objects_belong_to_their_maker(void)
{
	OK(chmod(".", 0777));
	AS_USER(USER_A, GROUP_A)
	{
		struct stat st;

		MAKE_TEXT("f", "");
		OK(mkdir("d", 0755));
		OK(mkfifo("p", 0644));
		OK(symlink("x", "l"));
		for (const char *const *n = (const char *const[]){"f", "d", "p", "l", NULL}; *n;
		     n++) {
			st = STAT(*n);
			EQ(st.st_uid, USER_A);
			EQ(st.st_gid, GROUP_A);
		}
	}
}

static void sticky_directories_protect_names(void)
{
	OK(mkdir("s", 01777));
	OK(chmod("s", 01777));
	MAKE_TEXT("s/a", "");
	OK(chown("s/a", USER_A, GROUP_A));
	MAKE_TEXT("s/a2", "");
	OK(chown("s/a2", USER_A, GROUP_A));
	OK(mkdir("s/dir", 0777));
	OK(chown("s/dir", USER_A, GROUP_A));
	AS_USER(USER_B, GROUP_A)
	{
		MAKE_TEXT("s/b", "");
		FAILS(unlink("s/a"), EPERM);
		FAILS(rename("s/a", "s/x"), EPERM);
		FAILS(rename("s/b", "s/a"), EPERM);
		FAILS(renameat2(AT_FDCWD, "s/b", AT_FDCWD, "s/a", RENAME_EXCHANGE), EPERM);
		FAILS(rmdir("s/dir"), EPERM);
		OK(rename("s/b", "s/b2"));
		OK(unlink("s/b2"));
	}
	AS_USER(USER_A, GROUP_B)
	{
		OK(rename("s/a", "s/a2"));
		OK(rmdir("s/dir"));
	}
	/* The directory's owner may remove everything. */
	OK(chown("s", USER_C, GROUP_C));
	OK(chmod("s", 01777));
	AS_USER(USER_C, GROUP_C)
	{
		OK(unlink("s/a2"));
	}
	/* Without the bit, write permission to the directory is enough. */
	MAKE_TEXT("s/r", "");
	OK(chmod("s", 0777));
	AS_USER(USER_B, GROUP_B)
	{
		OK(unlink("s/r"));
	}
}

static void setgid_directories_hand_on_their_group(void)
{
	struct stat st;

	OK(mkdir("g", 0777));
	give("g", 0, GROUP_C, 02777);
	AS_USER(USER_A, GROUP_A)
	{
		umask(0);
		MAKE_TEXT("g/f", "");
		OK(mkdir("g/d", 0755));
		OK(mkfifo("g/p", 0644));
		OK(symlink("x", "g/l"));
		OK(mkdir("g/d/e", 0700));
		close(OK(open("g/x", O_CREAT | O_WRONLY, 02770)));
		close(OK(open("g/n", O_CREAT | O_WRONLY, 02760)));
		OK(mknod("g/xn", S_IFREG | 02771, 0));
		EQ(STAT("g/f").st_gid, GROUP_C);
		EQ(STAT("g/p").st_gid, GROUP_C);
		EQ(STAT("g/l").st_gid, GROUP_C);
		st = STAT("g/d");
		EQ(st.st_gid, GROUP_C);
		EQ(st.st_uid, USER_A);
		EQ(st.st_mode & 07777, 02755);
		st = STAT("g/d/e");
		EQ(st.st_gid, GROUP_C);
		EQ(st.st_mode & 07777, 02700);
		/* One who is not in that group cannot make a setgid program of it. */
		EQ(perm_of("g/x"), 0770);
		EQ(perm_of("g/xn"), 0771);
		EQ(perm_of("g/n"), 02760);
		EQ(STAT("g/x").st_gid, GROUP_C);
	}
	AS_USER(USER_A, GROUP_A, GROUP_C)
	{
		umask(0);
		close(OK(open("g/y", O_CREAT | O_WRONLY, 02770)));
		EQ(perm_of("g/y"), 02770);
	}
	/* O_TMPFILE takes the directory's group as well. */
	AS_USER(USER_A, GROUP_A)
	{
		int fd = OK(open("g", O_TMPFILE | O_WRONLY, 0644));

		EQ(FSTAT(fd).st_gid, GROUP_C);
	}
	OK(mkdir("plain", 0777));
	give("plain", 0, GROUP_C, 0777);
	AS_USER(USER_A, GROUP_A)
	{
		MAKE_TEXT("plain/f", "");
		EQ(STAT("plain/f").st_gid, GROUP_A);
	}
}

static void chmod_is_for_the_owner(void)
{
	MAKE_TEXT("f", "");
	give("f", USER_A, GROUP_A, 0666);
	AS_USER(USER_B, GROUP_A)
	{
		FAILS(chmod("f", 0600), EPERM);
	}
	AS_USER(USER_A, GROUP_B)
	{
		OK(chmod("f", 0604));
		EQ(perm_of("f"), 0604);
		/* Not in the file's group: no setgid bit, and no error. */
		OK(chmod("f", 02755));
		EQ(perm_of("f"), 0755);
		OK(chmod("f", 04755));
		EQ(perm_of("f"), 04755);
	}
	AS_USER(USER_A, GROUP_A)
	{
		OK(chmod("f", 06755));
		EQ(perm_of("f"), 06755);
	}
	for (mode_t mode = 0; mode < 010000; mode += 0421) {
		OK(chmod("f", mode));
		EQ(perm_of("f"), mode);
	}
	OK(chmod("f", 07777));
	EQ(perm_of("f"), 07777);
	OK(mkdir("d", 0755));
	OK(chmod("d", 07777));
	EQ(perm_of("d"), 07777);
	FAILS(chmod("no", 0644), ENOENT);
	FAILS(chmod("f/x", 0644), ENOTDIR);
	OK(symlink("f", "l"));
	OK(chmod("l", 0640));
	EQ(perm_of("f"), 0640);
	EQ(perm_of("l") & 0777, 0777);
	close(OK(open("f", O_RDONLY)));
}

static void chown_rules(void)
{
	struct stat st;

	MAKE_TEXT("f", "");
	OK(chown("f", USER_A, GROUP_A));
	st = STAT("f");
	EQ(st.st_uid, USER_A);
	EQ(st.st_gid, GROUP_A);
	OK(chown("f", -1, GROUP_B));
	EQ(STAT("f").st_uid, USER_A);
	EQ(STAT("f").st_gid, GROUP_B);
	OK(chown("f", USER_B, -1));
	EQ(STAT("f").st_uid, USER_B);
	EQ(STAT("f").st_gid, GROUP_B);
	OK(chown("f", USER_A, GROUP_A));
	AS_USER(USER_A, GROUP_A, GROUP_B)
	{
		OK(chown("f", -1, GROUP_B));
		OK(chown("f", USER_A, GROUP_A));
		FAILS(chown("f", -1, GROUP_C), EPERM);
		FAILS(chown("f", USER_B, -1), EPERM);
		OK(chown("f", -1, -1));
	}
	AS_USER(USER_B, GROUP_A)
	{
		FAILS(chown("f", USER_B, -1), EPERM);
		FAILS(chown("f", -1, GROUP_A), EPERM);
	}
	OK(symlink("f", "l"));
	OK(lchown("l", USER_C, GROUP_C));
	EQ(STAT("l").st_uid, USER_C);
	EQ(STAT("f").st_uid, USER_A);
	OK(chown("l", USER_B, GROUP_B));
	EQ(STAT("f").st_uid, USER_B);
	EQ(STAT("l").st_uid, USER_C);
	/* Numbers beyond 16 bits, up to the last but one. */
	OK(chown("f", 0xfffffffe, 0x80000001));
	st = STAT("f");
	EQ(st.st_uid, 0xfffffffe);
	EQ(st.st_gid, 0x80000001);
	FAILS(chown("no", 0, 0), ENOENT);
}

static void chown_takes_set_id_bits(void)
{
	MAKE_TEXT("f", "");
	give("f", USER_A, GROUP_A, 06755);
	AS_USER(USER_A, GROUP_A, GROUP_B)
	{
		OK(chown("f", -1, GROUP_B));
		EQ(perm_of("f"), 0755);
	}
	/* Root's chown takes them from programs as well. */
	OK(chmod("f", 06755));
	OK(chown("f", USER_B, GROUP_B));
	EQ(perm_of("f"), 0755);
	/* Without group execute the setgid bit means no program and stays for root. */
	OK(chmod("f", 02644));
	OK(chown("f", USER_B, GROUP_A));
	EQ(perm_of("f"), 02644);
	OK(mkdir("d", 0755));
	OK(chmod("d", 06755));
	OK(chown("d", USER_A, GROUP_A));
	EQ(perm_of("d"), 06755);
	AS_USER(USER_A, GROUP_A, GROUP_B)
	{
		OK(chown("d", -1, GROUP_B));
		EQ(perm_of("d") & 0777, 0755);
	}
}

/* Each way to change a file's bytes, for set_id_bits_go_when_others_change_the_file. */
static void change_by_write(int fd)
{
	EQ(OK(write(fd, "y", 1)), 1);
}

static void change_by_pwrite_at_end(int fd)
{
	EQ(OK(pwrite(fd, "y", 1, 10)), 1);
}

static void change_by_truncate(int fd)
{
	OK(ftruncate(fd, 0));
}

static void change_by_extension(int fd)
{
	OK(ftruncate(fd, 5000));
}

static void change_by_fallocate(int fd)
{
	OK(fallocate(fd, 0, 0, 8192));
}

static void change_by_punch(int fd)
{
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
}

static void change_by_open(int fd)
{
	(void)fd;
	close(OK(open("f", O_WRONLY | O_TRUNC)));
}

static void set_id_bits_go_when_others_change_the_file(void)
{
	static const struct {
		const char *name;
		void (*change)(int fd);
	} ways[] = {
		{"write", change_by_write},	    {"pwrite", change_by_pwrite_at_end},
		{"truncate", change_by_truncate},   {"extension", change_by_extension},
		{"fallocate", change_by_fallocate}, {"punch", change_by_punch},
		{"O_TRUNC", change_by_open},
	};
	int fd;

	MAKE_TEXT("f", "xxxxxxxx");
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		OK(truncate("f", 8));
		give("f", USER_A, GROUP_A, 06777);
		AS_USER(USER_B, GROUP_B)
		{
			fd = OK(open("f", O_RDWR));
			ways[i].change(fd);
			CHECKF(perm_of("f") == 0777, "%s: expected mode 0777, seen %#o",
			       ways[i].name, perm_of("f"));
		}
		/* What is not group-executable keeps its setgid bit. */
		give("f", USER_A, GROUP_A, 06767);
		AS_USER(USER_A, GROUP_A)
		{
			fd = OK(open("f", O_RDWR));
			ways[i].change(fd);
			CHECKF((perm_of("f") & ~S_ISGID) == 0767,
			       "%s by the owner: expected mode 02767, seen %#o", ways[i].name,
			       perm_of("f"));
		}
	}
	/* Root keeps them (it has CAP_FSETID). */
	give("f", USER_A, GROUP_A, 06777);
	fd = OK(open("f", O_RDWR));
	change_by_write(fd);
	EQ(perm_of("f"), 06777);
	close(fd);
}

static void access_answers_for_the_real_user(void)
{
	MAKE_TEXT("f", "");
	give("f", USER_A, GROUP_A, 0600);
	if (child_begin() == 0) {
		/* Real user B, effective user A. */
		OK(setgroups(0, NULL));
		OK(setresgid(GROUP_B, GROUP_B, GROUP_B));
		OK(setresuid(USER_B, USER_A, USER_A));
		FAILS(access("f", R_OK), EACCES);
		OK(faccessat(AT_FDCWD, "f", R_OK | W_OK, AT_EACCESS));
		OK(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS));
		FAILS(syscall(SYS_faccessat2, AT_FDCWD, "f", X_OK, AT_EACCESS), EACCES);
		FAILS(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, 0), EACCES);
		FAILS(syscall(SYS_faccessat2, AT_FDCWD, "f", 8, 0), EINVAL);
		_exit(0);
	}
	child_wait(__FILE__, __LINE__, -1);
	OK(access("f", F_OK));
	FAILS(access("no", F_OK), ENOENT);
	FAILS(access("f/x", F_OK), ENOTDIR);
	OK(symlink("no", "l"));
	FAILS(access("l", F_OK), ENOENT);
	OK(faccessat(AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW));
}

/* The kernel refuses these before any file system is asked: the errno must be EROFS even where
 * the answer would have been another. */
static void read_only_bind_mount_says_erofs(void)
{
	char here[PATH_MAX];
	pid_t pid;

	OK(mkdir("m", 0777));
	MAKE_TEXT("m/f", "x");
	CHECK(getcwd(here, sizeof(here)) != NULL);
	pid = child_begin();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("m", "m", NULL, MS_BIND, NULL) ||
		    mount(NULL, "m", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL)) {
			note("skipped, cannot bind-mount here: %m");
			_exit(0);
		}
		FAILS(open("m/f", O_WRONLY), EROFS);
		FAILS(open("m/f", O_RDONLY | O_TRUNC), EROFS);
		FAILS(open("m/new", O_CREAT | O_WRONLY, 0644), EROFS);
		FAILS(mkdir("m/d", 0755), EROFS);
		FAILS(unlink("m/f"), EROFS);
		FAILS(rename("m/f", "m/g"), EROFS);
		FAILS(link("m/f", "m/g"), EROFS);
		FAILS(symlink("x", "m/g"), EROFS);
		FAILS(chmod("m/f", 0600), EROFS);
		FAILS(chown("m/f", 1, 1), EROFS);
		FAILS(truncate("m/f", 0), EROFS);
		FAILS(utimensat(AT_FDCWD, "m/f", NULL, 0), EROFS);
		FAILS(setxattr("m/f", "user.a", "b", 1, 0), EROFS);
		FAILS(access("m/f", W_OK), EROFS);
		TEXT_IS("m/f", "x");
		_exit(0);
	}
	child_wait(__FILE__, __LINE__, pid);
}

/* A descriptor keeps the permission it was opened with. */
static void open_descriptors_outlive_permission(void)
{
	char c = 0;

	OK(chmod(".", 0777));
	AS_USER(USER_A, GROUP_A)
	{
		int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

		EQ(OK(write(fd, "x", 1)), 1);
		OK(fchmod(fd, 0));
		EQ(OK(pread(fd, &c, 1, 0)), 1);
		EQ(OK(pwrite(fd, "y", 1, 0)), 1);
		OK(ftruncate(fd, 4096));
		FAILS(open("f", O_RDONLY), EACCES);
		FAILS(truncate("f", 0), EACCES);
	}
}

/* Moving a directory to another parent changes its "..", for which one must own write on it. */
static void moving_a_directory_needs_write_on_it(void)
{
	OK(mkdir("x", 0777));
	OK(mkdir("y", 0777));
	OK(chmod("x", 0777));
	OK(chmod("y", 0777));
	OK(mkdir("x/d", 0755));
	AS_USER(USER_A, GROUP_A)
	{
		FAILS(rename("x/d", "y/d"), EACCES);
		OK(rename("x/d", "x/e"));
	}
	CHECK(exists("x/e"));
}

POSIX_MAIN(ROOT_CHECK_ENTRY(file_bits_are_enforced), ROOT_CHECK_ENTRY(denied_says_eacces),
	   ROOT_CHECK_ENTRY(supplementary_groups_count),
	   ROOT_CHECK_ENTRY(objects_belong_to_their_maker),
	   ROOT_CHECK_ENTRY(sticky_directories_protect_names),
	   ROOT_CHECK_ENTRY(setgid_directories_hand_on_their_group),
	   ROOT_CHECK_ENTRY(chmod_is_for_the_owner), ROOT_CHECK_ENTRY(chown_rules),
	   ROOT_CHECK_ENTRY(chown_takes_set_id_bits),
	   ROOT_CHECK_ENTRY(set_id_bits_go_when_others_change_the_file),
	   ROOT_CHECK_ENTRY(access_answers_for_the_real_user),
	   ROOT_CHECK_ENTRY(read_only_bind_mount_says_erofs),
	   ROOT_CHECK_ENTRY(open_descriptors_outlive_permission),
	   ROOT_CHECK_ENTRY(moving_a_directory_needs_write_on_it))
