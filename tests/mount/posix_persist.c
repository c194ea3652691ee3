/* What is to survive an unmount: every kind of object with all its attributes.
 *
 *	posix_persist --write DIR      make them in DIR/posix_persist
 *	posix_persist --verify DIR     after a remount: all must be as it was
 *	posix_persist --readonly DIR   the same on a read-only mount, where in addition every
 *	                               change has to fail with EROFS
 *	posix_persist DIR              write, drop caches, verify, remove
 *
 * What only the file system can choose (inode numbers, ctime, birth time) is noted in a manifest
 * outside, DIR/../posix_persist.manifest or the file named by MANIFEST. */
#include "posix.h"

#include <sys/xattr.h>

#define TOP "posix_persist"

enum { NR_FILES = 300, NR_MANIFEST = 4096 };

/* One line of the manifest. */
struct record {
	uint64_t ino;
	struct timespec ctime;
	struct statx_timestamp btime;
};

static struct record records[NR_MANIFEST];
static size_t nr_records;
static bool verifying;
static char manifest[PATH_MAX];

/* Note @name's record, or compare it with the one noted. */
static void record_of(const char *name)
{
	struct stat st = STAT(name);
	struct statx stx = {0};
	struct record *r = &records[nr_records++ % NR_MANIFEST];

	statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &stx);
	if (!verifying) {
		*r = (struct record){st.st_ino, st.st_ctim, stx.stx_btime};
		return;
	}
	EQ(st.st_ino, r->ino);
	CHECKF(time_order(st.st_ctim, r->ctime) == 0, "%s: ctime %lld.%09ld, was %lld.%09ld", name,
	       (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec, (long long)r->ctime.tv_sec,
	       r->ctime.tv_nsec);
	EQ(stx.stx_btime.tv_sec, r->btime.tv_sec);
	EQ(stx.stx_btime.tv_nsec, r->btime.tv_nsec);
}

static size_t len_of(int i)
{
	static const size_t lens[] = {0, 1, 100, 4095, 4096, 4097, 70000, 131072, 1048577, 2500000};

	return lens[i % 10] + (size_t)i / 10 * 7;
}

static void file_name(char *name, size_t size, int i)
{
	snprintf(name, size, "files/dir%d/file%d", i % 7, i);
}

static void set_stamps(const char *name, int i)
{
	OK(utimensat(AT_FDCWD, name,
		     (struct timespec[2]){{1000000 + i, i}, {-5000 + i, 999999000 + i}},
		     AT_SYMLINK_NOFOLLOW));
}

/* The first verification reads the files, and that moves their access times (relatime: the change times are newer). */
static bool stamps_read_before;

static void verify_stamps(const char *name, int i)
{
	struct stat st = STAT(name);

	EQ(st.st_mtim.tv_sec, -5000 + i);
	EQ(st.st_mtim.tv_nsec, 999999000 + i);
	if (stamps_read_before)
		return;
	EQ(st.st_atim.tv_sec, 1000000 + i);
	EQ(st.st_atim.tv_nsec, i);
}

static void write_files(void)
{
	char name[64], *bytes = must_alloc(3 << 20);

	OK(mkdir("files", 0755));
	for (int i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "files/dir%d", i);
		OK(mkdir(name, 0755));
		OK(chmod(name, 0700 + i));
	}
	for (int i = 0; i < NR_FILES; i++) {
		file_name(name, sizeof(name), i);
		fill_bytes(bytes, len_of(i), i);
		MAKE_FILE(name, bytes, len_of(i));
		OK(chmod(name, 0600 + i % 0100));
		if (i % 3 == 0)
			OK(setxattr(name, "user.number", &i, sizeof(i), 0));
		if (geteuid() == 0)
			OK(chown(name, 1000 + i, 2000 + i));
		set_stamps(name, i);
		record_of(name);
	}
	free(bytes);
}

static void verify_files(void)
{
	char name[64], *bytes = must_alloc(3 << 20);
	struct stat st;
	int value;

	for (int i = 0; i < NR_FILES; i++) {
		file_name(name, sizeof(name), i);
		record_of(name);
		st = STAT(name);
		EQ(st.st_mode, S_IFREG | (0600u + i % 0100));
		EQ(st.st_size, len_of(i));
		EQ(st.st_nlink, 1);
		if (geteuid() == 0) {
			EQ(st.st_uid, 1000 + i);
			EQ(st.st_gid, 2000 + i);
		}
		verify_stamps(name, i);
		if (i % 3 == 0) {
			EQ(OK(getxattr(name, "user.number", &value, sizeof(value))), sizeof(value));
			EQ(value, i);
		} else {
			FAILS(getxattr(name, "user.number", &value, sizeof(value)), ENODATA);
		}
		fill_bytes(bytes, len_of(i), i);
		FILE_IS(name, bytes, len_of(i));
	}
	for (int i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "files/dir%d", i);
		EQ(perm_of(name), 0700 + i);
	}
	EQ(STAT("files").st_nlink, 9);
	free(bytes);
}

static const char acl_bytes[] = "\2\0\0\0"
				"\1\0\6\0\377\377\377\377"
				"\2\0\4\0\101\0\1\0"
				"\4\0\4\0\377\377\377\377"
				"\20\0\6\0\377\377\377\377"
				"\40\0\0\0\377\377\377\377";
enum { ACL_LEN = sizeof(acl_bytes) - 1 };

static void write_odd_objects(void)
{
	char long_name[256], target[4096];
	int fd;

	OK(mkdir("odd", 0755));
	OK(chdir("odd"));
	memset(long_name, 'L', 255);
	long_name[255] = 0;
	memset(target, 't', 4095);
	target[4095] = 0;
	MAKE_TEXT(long_name, "long");
	MAKE_TEXT("\xff\xfe\n", "bytes");
	OK(symlink(target, "symlink"));
	set_stamps("symlink", 5);
	OK(mkfifo("fifo", 0620));
	OK(mknod("socket", S_IFSOCK | 0640, 0));
	if (geteuid() == 0) {
		OK(mknod("char", S_IFCHR | 0604, makedev(511, 1048575)));
		OK(mknod("block", S_IFBLK | 0604, makedev(7, 300)));
		OK(setxattr("block", "trusted.tag", "value", 5, 0));
	}
	MAKE_TEXT("one", "linked");
	OK(link("one", "two"));
	OK(mkdir("sub", 03775));
	OK(chmod("sub", 03775));
	OK(link("one", "sub/three"));
	OK(setxattr("one", "system.posix_acl_access", acl_bytes, ACL_LEN, 0));
	OK(setxattr("sub", "system.posix_acl_default", acl_bytes, ACL_LEN, 0));
	memset(target, 'v', 3000);
	OK(setxattr("sub", "user.big", target, 3000, 0));
	/* Sparse, punched, and cut. */
	fd = OK(open("sparse", O_RDWR | O_CREAT, 0644));
	OK(pwrite(fd, "far", 3, 1LL << 33));
	OK(pwrite(fd, "near", 4, 0));
	OK(ftruncate(fd, 1LL << 34));
	close(fd);
	fd = OK(open("punched", O_RDWR | O_CREAT, 0644));
	memset(target, 'p', 4096);
	for (int i = 0; i < 64; i++)
		OK(pwrite(fd, target, 4096, 4096 * i));
	OK(fsync(fd));
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5000, 100000));
	OK(ftruncate(fd, 200000));
	OK(ftruncate(fd, 250000));
	close(fd);
	/* A name that was another's before, and one that is gone. */
	MAKE_TEXT("was", "replaced");
	MAKE_TEXT("is", "replacing");
	OK(rename("is", "was"));
	MAKE_TEXT("gone", "");
	OK(unlink("gone"));
	for (const char *const *n = (const char *const[]){long_name, "symlink", "fifo", "socket",
							  "one", "sub", "sparse", "was", NULL};
	     *n; n++)
		record_of(*n);
	OK(chdir(".."));
}

static void verify_odd_objects(void)
{
	char long_name[256], want[4096], seen[4200], *bytes = must_alloc(250000);
	int fd;

	OK(chdir("odd"));
	memset(long_name, 'L', 255);
	long_name[255] = 0;
	for (const char *const *n = (const char *const[]){long_name, "symlink", "fifo", "socket",
							  "one", "sub", "sparse", "was", NULL};
	     *n; n++)
		record_of(*n);
	TEXT_IS(long_name, "long");
	TEXT_IS("\xff\xfe\n", "bytes");
	verify_stamps("symlink", 5);
	memset(want, 't', 4095);
	EQ(OK(readlink("symlink", seen, sizeof(seen))), 4095);
	BYTES_ARE(seen, want, 4095);
	EQ(STAT("fifo").st_mode, S_IFIFO | (0620 & ~022));
	EQ(STAT("socket").st_mode, S_IFSOCK | 0640);
	if (geteuid() == 0) {
		EQ(STAT("char").st_rdev, makedev(511, 1048575));
		EQ(STAT("block").st_rdev, makedev(7, 300));
		EQ(STAT("block").st_mode, S_IFBLK | 0604);
		EQ(OK(getxattr("block", "trusted.tag", seen, sizeof(seen))), 5);
	}
	EQ(STAT("one").st_nlink, 3);
	EQ(STAT("two").st_ino, STAT("one").st_ino);
	EQ(STAT("sub/three").st_ino, STAT("one").st_ino);
	TEXT_IS("sub/three", "linked");
	EQ(perm_of("one"), 0660);
	EQ(OK(getxattr("two", "system.posix_acl_access", seen, sizeof(seen))), ACL_LEN);
	BYTES_ARE(seen, acl_bytes, ACL_LEN);
	EQ(OK(getxattr("sub", "system.posix_acl_default", seen, sizeof(seen))), ACL_LEN);
	BYTES_ARE(seen, acl_bytes, ACL_LEN);
	EQ(perm_of("sub"), 03775);
	memset(want, 'v', 3000);
	EQ(OK(getxattr("sub", "user.big", seen, sizeof(seen))), 3000);
	BYTES_ARE(seen, want, 3000);
	EQ(STAT("sparse").st_size, 1LL << 34);
	fd = OK(open("sparse", O_RDONLY));
	EQ(OK(pread(fd, seen, 6, (1LL << 33) - 1)), 6);
	BYTES_ARE(seen, "\0far\0", 6);
	EQ(OK(pread(fd, seen, 6, 0)), 6);
	BYTES_ARE(seen, "near\0", 6);
	CHECK(lseek(fd, 16 << 20, SEEK_DATA) > (1LL << 33) - (4 << 20));
	FAILS(lseek(fd, (1LL << 33) + (16 << 20), SEEK_DATA), ENXIO);
	close(fd);
	memset(bytes, 'p', 200000);
	memset(bytes + 5000, 0, 100000);
	FILE_IS("punched", bytes, 250000);
	TEXT_IS("was", "replacing");
	CHECK(!exists("is") && !exists("gone"));
	free(bytes);
	OK(chdir(".."));
}

static void verify_read_only(void)
{
	int fd;

	OK(chdir("odd"));
	FAILS(open("new", O_CREAT | O_WRONLY, 0644), EROFS);
	FAILS(open("one", O_WRONLY), EROFS);
	FAILS(open("one", O_RDWR), EROFS);
	FAILS(open("one", O_RDONLY | O_TRUNC), EROFS);
	FAILS(open(".", O_TMPFILE | O_RDWR, 0600), EROFS);
	FAILS(mkdir("new", 0755), EROFS);
	FAILS(mkdir("sub", 0755), EEXIST);
	FAILS(mkfifo("new", 0644), EROFS);
	FAILS(symlink("x", "new"), EROFS);
	FAILS(link("one", "new"), EROFS);
	FAILS(unlink("one"), EROFS);
	FAILS(rmdir("sub"), EROFS);
	FAILS(rename("one", "new"), EROFS);
	FAILS(chmod("one", 0600), EROFS);
	FAILS(chown("one", 1, 1), EROFS);
	FAILS(truncate("one", 0), EROFS);
	FAILS(utimensat(AT_FDCWD, "one", NULL, 0), EROFS);
	FAILS(setxattr("one", "user.a", "b", 1, 0), EROFS);
	FAILS(removexattr("one", "system.posix_acl_access"), EROFS);
	FAILS(access("one", W_OK), EROFS);
	fd = OK(open("one", O_RDONLY));
	FAILS(ftruncate(fd, 0), EINVAL);
	FAILS(fchmod(fd, 0600), EROFS);
	FAILS(fsetxattr(fd, "user.a", "b", 1, 0), EROFS);
	OK(fsync(fd));
	close(fd);
	OK(chdir(".."));
}

static void keep_manifest(bool write_it)
{
	int fd = OK(open(manifest, write_it ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, 0600));

	if (write_it)
		EQ(OK(write(fd, records, sizeof(records))), sizeof(records));
	else
		EQ(OK(read(fd, records, sizeof(records))), sizeof(records));
	close(fd);
}

static void run_write(void)
{
	running_check = "write";
	OK(mkdir(TOP, 0755));
	OK(chdir(TOP));
	write_files();
	write_odd_objects();
	OK(chdir(".."));
	keep_manifest(true);
}

static void run_verify(bool read_only)
{
	running_check = read_only ? "readonly" : "verify";
	stamps_read_before = read_only;
	verifying = true;
	nr_records = 0;
	memset(records, 0, sizeof(records));
	keep_manifest(false);
	OK(chdir(TOP));
	verify_files();
	verify_odd_objects();
	if (read_only)
		verify_read_only();
	OK(chdir(".."));
}

int main(int argc, char **argv)
{
	const char *mode = argc == 3 ? argv[1] : "", *dir = argv[argc - 1];
	char here[PATH_MAX - 64];

	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (argc < 2 || argc > 3 || tally == MAP_FAILED) {
		fprintf(stderr, "usage: %s [--write|--verify|--readonly] DIR\n", argv[0]);
		return 2;
	}
	if (chdir(dir) || !getcwd(here, sizeof(here))) {
		perror(dir);
		return 1;
	}
	umask(022);
	snprintf(manifest, sizeof(manifest), "%s.manifest", here);
	if (getenv("MANIFEST"))
		snprintf(manifest, sizeof(manifest), "%s", getenv("MANIFEST"));
	if (!strcmp(mode, "--verify") || !strcmp(mode, "--readonly")) {
		run_verify(!strcmp(mode, "--readonly"));
	} else if (!strcmp(mode, "--write")) {
		run_write();
	} else if (!*mode) {
		run_write();
		drop_caches();
		run_verify(false);
		OK(remove_tree(TOP));
		OK(unlink(manifest));
	} else {
		fprintf(stderr, "%s: unknown option %s\n", argv[0], mode);
		return 2;
	}
	printf("posix_persist: %ld passed, %ld failed\n", atomic_load(&tally->passed),
	       atomic_load(&tally->failed));
	return atomic_load(&tally->failed) ? 1 : 0;
}
