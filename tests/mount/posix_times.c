/* Time stamps: which operation moves which, setting them, and atime as relatime has it. */
#include "posix.h"

#include <sys/statvfs.h>
#include <sys/xattr.h>

enum { NONE = 0, CTIME = 1, MTIME = 2, BOTH = 3 };

/* An object whose stamps are watched by descriptor, so that renames and unlinks do not matter. */
struct watched {
	int fd;
	struct stat before;
};

static struct watched watch(const char *name)
{
	struct watched w = {.fd = open(name, O_PATH | O_NOFOLLOW | O_CLOEXEC)};

	CHECKF(w.fd >= 0, "cannot watch %s: %m", name);
	if (fstat(w.fd, &w.before))
		CHECKF(false, "cannot stat %s: %m", name);
	return w;
}

static void moved_at(int line, const char *what, struct watched *w, int want)
{
	struct stat now;
	int seen;

	if (fstat(w->fd, &now)) {
		verdict(__FILE__, line, false, "%s: fstat: %m", what);
		return;
	}
	seen = (time_order(now.st_ctim, w->before.st_ctim) > 0 ? CTIME : 0) |
	       (time_order(now.st_mtim, w->before.st_mtim) > 0 ? MTIME : 0);
	verdict(__FILE__, line, seen == want, "%s: expected %s%s to move, seen %s%s", what,
		want & CTIME ? "ctime " : "", want & MTIME ? "mtime" : "",
		seen & CTIME ? "ctime " : "", seen & MTIME ? "mtime" : "");
	verdict(__FILE__, line,
		time_order(now.st_ctim, w->before.st_ctim) >= 0 &&
			time_order(now.st_mtim, w->before.st_mtim) >= 0,
		"%s: a stamp went back", what);
	close(w->fd);
}

/* @call moves @want_a of the object @a and @want_b of @b. */
#define MOVES(call, a, want_a, b, want_b)                                                          \
	do {                                                                                       \
		struct watched a_ = watch(a), b_ = watch(b);                                       \
                                                                                                   \
		tick();                                                                            \
		OK(call);                                                                          \
		moved_at(__LINE__, #call ", " a, &a_, want_a);                                     \
		moved_at(__LINE__, #call ", " b, &b_, want_b);                                     \
	} while (0)

static void making_a_name_moves_the_parent(void)
{
	OK(mkdir("d", 0755));
	MAKE_TEXT("f", "");
	MOVES(open("d/f", O_CREAT | O_WRONLY, 0644), "d", BOTH, ".", NONE);
	MOVES(open("d/f", O_CREAT | O_WRONLY, 0644), "d", NONE, "d/f", NONE);
	MOVES(mkdir("d/d", 0755), "d", BOTH, ".", NONE);
	MOVES(mkfifo("d/p", 0644), "d", BOTH, ".", NONE);
	MOVES(symlink("x", "d/l"), "d", BOTH, ".", NONE);
	MOVES(link("f", "d/g"), "d", BOTH, "f", CTIME);
	MOVES(open("d", O_TMPFILE | O_WRONLY, 0644), "d", NONE, ".", NONE);
}

static void removing_a_name_moves_the_parent_and_the_object(void)
{
	OK(mkdir("d", 0755));
	OK(mkdir("d/d", 0755));
	MAKE_TEXT("d/f", "");
	OK(link("d/f", "d/g"));
	OK(symlink("x", "d/l"));
	MOVES(unlink("d/f"), "d", BOTH, "d/g", CTIME);
	MOVES(unlink("d/g"), "d", BOTH, "d/g", CTIME);
	MOVES(unlink("d/l"), "d", BOTH, ".", NONE);
	MOVES(rmdir("d/d"), "d", BOTH, ".", NONE);
}

static void rename_moves_both_parents_and_the_object(void)
{
	OK(mkdir("a", 0755));
	OK(mkdir("b", 0755));
	MAKE_TEXT("a/f", "");
	MAKE_TEXT("b/g", "");
	OK(link("b/g", "b/h"));
	OK(mkdir("a/d", 0755));
	MOVES(rename("a/f", "a/f2"), "a", BOTH, "a/f", CTIME);
	MOVES(rename("a/f2", "b/f"), "a", BOTH, "b", BOTH);
	MOVES(rename("a/d", "b/d"), "a", BOTH, "a/d", CTIME);
	MOVES(rename("b/f", "b/g"), "b", BOTH, "b/h", CTIME);
	MAKE_TEXT("a/x", "");
	MOVES(renameat2(AT_FDCWD, "a/x", AT_FDCWD, "b/g", RENAME_EXCHANGE), "a", BOTH, "b", BOTH);
	MOVES(renameat2(AT_FDCWD, "a/x", AT_FDCWD, "b/g", RENAME_EXCHANGE), "a/x", CTIME, "b/g",
	      CTIME);
	/* A rename that changes nothing moves nothing. */
	OK(link("b/g", "a/g"));
	MOVES(rename("a/g", "b/g"), "a", NONE, "b/g", NONE);
}

static void changing_bytes_moves_both(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	int from = OK(open("from", O_RDWR | O_CREAT, 0644));
	char buf[4096];
	char *map;

	fill_bytes(buf, sizeof(buf), 1);
	MOVES(write(fd, buf, 4096), "f", BOTH, ".", NONE);
	MOVES(pwrite(fd, buf, 10, 5), "f", BOTH, ".", NONE);
	MOVES(write(fd, buf, 0), "f", NONE, ".", NONE);
	MOVES(truncate("f", 100), "f", BOTH, ".", NONE);
	MOVES(ftruncate(fd, 8192), "f", BOTH, ".", NONE);
	MOVES(ftruncate(fd, 8192), "f", BOTH, ".", NONE);
	MOVES(open("f", O_WRONLY | O_TRUNC), "f", BOTH, ".", NONE);
	MOVES(open("f", O_WRONLY | O_TRUNC), "f", BOTH, ".", NONE);
	MOVES(fallocate(fd, 0, 0, 16384), "f", BOTH, ".", NONE);
	OK(pwrite(fd, buf, 4096, 0));
	MOVES(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), "f", BOTH, ".",
	      NONE);
	OK(pwrite(from, buf, 4096, 0));
	OK(lseek(from, 0, SEEK_SET));
	OK(lseek(fd, 0, SEEK_SET));
	MOVES(copy_file_range(from, NULL, fd, NULL, 4096, 0), "f", BOTH, "from", NONE);
	OK(pwrite(fd, buf, 4096, 0));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (CHECK(map != MAP_FAILED)) {
		struct watched w = watch("f");

		tick();
		map[0] ^= 1;
		OK(msync(map, 4096, MS_SYNC));
		moved_at(__LINE__, "store and msync", &w, BOTH);
		munmap(map, 4096);
	}
	close(from);
	close(fd);
}

static void changing_attributes_moves_ctime(void)
{
	struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	MAKE_TEXT("f", "x");
	MOVES(chmod("f", 0600), "f", CTIME, ".", NONE);
	MOVES(chown("f", -1, getegid()), "f", CTIME, ".", NONE);
	MOVES(setxattr("f", "user.a", "b", 1, 0), "f", CTIME, ".", NONE);
	MOVES(removexattr("f", "user.a"), "f", CTIME, ".", NONE);
	MOVES(utimensat(AT_FDCWD, "f", now, 0), "f", NONE, ".", NONE);
	now[0].tv_nsec = UTIME_NOW;
	MOVES(utimensat(AT_FDCWD, "f", now, 0), "f", CTIME, ".", NONE);
	MOVES(utimensat(AT_FDCWD, "f", NULL, 0), "f", BOTH, ".", NONE);
	OK(mkdir("d", 0755));
	MOVES(chmod("d", 0700), "d", CTIME, ".", NONE);
}

static void looking_moves_nothing(void)
{
	char buf[64];
	DIR *dir;
	int fd;

	OK(mkdir("d", 0755));
	MAKE_TEXT("d/f", "text");
	OK(symlink("x", "d/l"));
	fd = OK(open("d/f", O_RDWR));
	MOVES(read(fd, buf, sizeof(buf)), "d/f", NONE, "d", NONE);
	MOVES(fsync(fd), "d/f", NONE, "d", NONE);
	MOVES(close(fd), "d/f", NONE, "d", NONE);
	MOVES(readlink("d/l", buf, sizeof(buf)), "d/l", NONE, "d", NONE);
	MOVES(access("d/f", R_OK), "d/f", NONE, "d", NONE);
	dir = opendir("d");
	if (CHECK(dir != NULL)) {
		MOVES(readdir(dir) ? 0 : -1, "d", NONE, "d/f", NONE);
		closedir(dir);
	}
	/* What fails changes nothing either. */
	MOVES(mkdir("d/f", 0755) + 1, "d", NONE, "d/f", NONE);
	MOVES(rmdir("d") + 1, "d", NONE, ".", NONE);
	MOVES(unlink("d/none") + 1, "d", NONE, "d/f", NONE);
	drop_caches();
	MOVES(stat("d/f", &(struct stat){0}), "d/f", NONE, "d", NONE);
}

static void new_objects_are_stamped_now(void)
{
	static const char *const names[] = {"f", "d", "p", "l"};
	struct timespec before, after;
	struct stat st;

	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	MAKE_TEXT("f", "");
	OK(mkdir("d", 0755));
	OK(mkfifo("p", 0644));
	OK(symlink("x", "l"));
	clock_gettime(CLOCK_REALTIME, &after);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		st = STAT(names[i]);
		CHECK(time_order(st.st_atim, before) >= 0 && time_order(st.st_atim, after) <= 0);
		CHECK(time_order(st.st_mtim, before) >= 0 && time_order(st.st_mtim, after) <= 0);
		CHECK(time_order(st.st_ctim, before) >= 0 && time_order(st.st_ctim, after) <= 0);
	}
}

static void set_times(const char *name, int64_t atime, long ansec, int64_t mtime, long mnsec)
{
	struct timespec ts[2] = {{atime, ansec}, {mtime, mnsec}};

	OK(utimensat(AT_FDCWD, name, ts, AT_SYMLINK_NOFOLLOW));
}

static void times_are_kept_to_the_nanosecond(void)
{
	static const int64_t secs[] = {0,	   1,	       -1,	   -2000000000,
				       1234567890, 2147483647, 2147483648, 4294967295,
				       4294967296, 15000000000};
	static const char *const names[] = {"f", "d", "l", "p"};
	struct stat st;

	MAKE_TEXT("f", "");
	OK(mkdir("d", 0755));
	OK(symlink("f", "l"));
	OK(mkfifo("p", 0644));
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		for (size_t i = 0; i < sizeof(secs) / sizeof(secs[0]); i++) {
			set_times(names[n], secs[i], 999999999, secs[i] + 5, 1);
			st = STAT(names[n]);
			EQ(st.st_atim.tv_sec, secs[i]);
			EQ(st.st_atim.tv_nsec, 999999999);
			EQ(st.st_mtim.tv_sec, secs[i] + 5);
			EQ(st.st_mtim.tv_nsec, 1);
		}
		set_times(names[n], 77, 123456789, 88, 987654321);
	}
	drop_caches();
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		st = STAT(names[n]);
		EQ(st.st_atim.tv_sec, 77);
		EQ(st.st_atim.tv_nsec, 123456789);
		EQ(st.st_mtim.tv_sec, 88);
		EQ(st.st_mtim.tv_nsec, 987654321);
	}
}

static void utime_now_and_omit(void)
{
	struct timespec ts[2], before, after;
	struct stat st;
	int fd;

	MAKE_TEXT("f", "");
	set_times("f", 100, 1, 200, 2);
	ts[0] = (struct timespec){5, UTIME_OMIT};
	ts[1] = (struct timespec){300, 3};
	OK(utimensat(AT_FDCWD, "f", ts, 0));
	st = STAT("f");
	EQ(st.st_atim.tv_sec, 100);
	EQ(st.st_atim.tv_nsec, 1);
	EQ(st.st_mtim.tv_sec, 300);
	ts[0] = (struct timespec){400, 4};
	ts[1] = (struct timespec){5, UTIME_OMIT};
	OK(utimensat(AT_FDCWD, "f", ts, 0));
	st = STAT("f");
	EQ(st.st_atim.tv_sec, 400);
	EQ(st.st_mtim.tv_sec, 300);
	EQ(st.st_mtim.tv_nsec, 3);
	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	ts[0] = (struct timespec){5, UTIME_NOW};
	OK(utimensat(AT_FDCWD, "f", ts, 0));
	clock_gettime(CLOCK_REALTIME, &after);
	st = STAT("f");
	CHECK(time_order(st.st_atim, before) >= 0 && time_order(st.st_atim, after) <= 0);
	EQ(st.st_mtim.tv_sec, 300);
	OK(utimensat(AT_FDCWD, "f", NULL, 0));
	clock_gettime(CLOCK_REALTIME, &after);
	st = STAT("f");
	CHECK(time_order(st.st_mtim, before) >= 0 && time_order(st.st_mtim, after) <= 0);
	ts[0] = (struct timespec){5, 1000000000};
	FAILS(utimensat(AT_FDCWD, "f", ts, 0), EINVAL);
	ts[0] = (struct timespec){5, -1};
	FAILS(utimensat(AT_FDCWD, "f", ts, 0), EINVAL);
	FAILS(utimensat(AT_FDCWD, "none", NULL, 0), ENOENT);
	/* By descriptor, also one that may only read. */
	fd = OK(open("f", O_RDONLY));
	ts[0] = (struct timespec){7, 7};
	ts[1] = (struct timespec){8, 8};
	OK(futimens(fd, ts));
	EQ(STAT("f").st_mtim.tv_nsec, 8);
	close(fd);
	/* Through a symlink, and the symlink itself. */
	OK(symlink("f", "l"));
	set_times("l", 9, 9, 9, 9);
	EQ(STAT("f").st_mtim.tv_sec, 8);
	EQ(STAT("l").st_mtim.tv_sec, 9);
	OK(utimensat(AT_FDCWD, "l", (struct timespec[2]){{1, 1}, {2, 2}}, 0));
	EQ(STAT("f").st_mtim.tv_sec, 2);
	EQ(STAT("l").st_mtim.tv_sec, 9);
}

/* Stamps set by hand stay while the file is written through an earlier descriptor and closed:
 * tar and cp -p set them just before the close. */
static void times_set_before_close_stay(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	char *buf = must_alloc(300000);
	struct stat st;

	EQ(OK(write(fd, buf, 300000)), 300000);
	OK(futimens(fd, (struct timespec[2]){{1000, 1}, {2000, 2}}));
	close(fd);
	st = STAT("f");
	EQ(st.st_atim.tv_sec, 1000);
	EQ(st.st_mtim.tv_sec, 2000);
	EQ(st.st_mtim.tv_nsec, 2);
	fd = OK(open("f", O_RDONLY));
	OK(fsync(fd));
	close(fd);
	drop_caches();
	st = STAT("f");
	EQ(st.st_mtim.tv_sec, 2000);
	EQ(st.st_mtim.tv_nsec, 2);
	EQ(st.st_size, 300000);
	free(buf);
}

static void setting_times_needs_permission(void)
{
	struct timespec given[2] = {{1, 1}, {2, 2}};
	struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	struct timespec mixed[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
	struct timespec omit[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	MAKE_TEXT("open", "");
	OK(chmod("open", 0666));
	MAKE_TEXT("closed", "");
	OK(chmod("closed", 0644));
	MAKE_TEXT("own", "");
	OK(chown("own", USER_A, GROUP_A));
	OK(chmod("own", 0));
	AS_USER(USER_A, GROUP_A)
	{
		/* Now: the owner, or whoever may write. */
		OK(utimensat(AT_FDCWD, "open", NULL, 0));
		OK(utimensat(AT_FDCWD, "open", now, 0));
		FAILS(utimensat(AT_FDCWD, "closed", NULL, 0), EACCES);
		FAILS(utimensat(AT_FDCWD, "closed", now, 0), EACCES);
		OK(utimensat(AT_FDCWD, "own", NULL, 0));
		/* Any other times: the owner alone. */
		FAILS(utimensat(AT_FDCWD, "open", given, 0), EPERM);
		FAILS(utimensat(AT_FDCWD, "closed", given, 0), EPERM);
		FAILS(utimensat(AT_FDCWD, "open", mixed, 0), EPERM);
		OK(utimensat(AT_FDCWD, "own", given, 0));
		OK(utimensat(AT_FDCWD, "own", mixed, 0));
		/* Nothing at all: everybody. */
		OK(utimensat(AT_FDCWD, "closed", omit, 0));
	}
}

static bool keeps_atime(void)
{
	struct statvfs vfs;

	if (statvfs(".", &vfs) == 0 && (vfs.f_flag & (ST_NOATIME | ST_NODIRATIME))) {
		note("skipped, mounted without atime");
		return false;
	}
	return true;
}

static void read_some(const char *name, int flags)
{
	char buf[16];
	int fd = OK(open(name, O_RDONLY | flags));

	CHECK(read(fd, buf, sizeof(buf)) > 0);
	close(fd);
}

/* A read moves atime if it is not newer than mtime and ctime (or older than a day). */
static void reading_moves_atime_once(void)
{
	struct timespec first;
	struct stat st;

	if (!keeps_atime())
		return;
	MAKE_TEXT("f", "some text");
	set_times("f", 1000, 0, 2000, 0);
	tick();
	read_some("f", O_NOATIME);
	EQ(STAT("f").st_atim.tv_sec, 1000);
	read_some("f", 0);
	st = STAT("f");
	first = st.st_atim;
	CHECKF(first.tv_sec > 1000000, "atime is still %lld after a read", (long long)first.tv_sec);
	EQ(st.st_mtim.tv_sec, 2000);
	tick();
	read_some("f", 0);
	CHECK(time_order(STAT("f").st_atim, first) == 0);
	/* A change of the file opens the next turn. */
	tick();
	OK(chmod("f", 0600));
	tick();
	read_some("f", 0);
	CHECK(time_order(STAT("f").st_atim, first) > 0);
	if (geteuid() == 0) {
		OK(chmod("f", 0644));
		AS_USER(USER_A, GROUP_A)
		{
			FAILS(open("f", O_RDONLY | O_NOATIME), EPERM);
		}
	}
}

static void listing_and_readlink_move_atime(void)
{
	char buf[16];
	DIR *dir;

	if (!keeps_atime())
		return;
	OK(mkdir("d", 0755));
	MAKE_TEXT("d/f", "");
	OK(symlink("x", "l"));
	set_times("d", 1000, 0, 2000, 0);
	set_times("l", 1000, 0, 2000, 0);
	EQ(STAT("d").st_atim.tv_sec, 1000);
	tick();
	dir = opendir("d");
	if (CHECK(dir != NULL)) {
		while (readdir(dir)) {
		}
		closedir(dir);
	}
	CHECK(STAT("d").st_atim.tv_sec > 1000000);
	OK(readlink("l", buf, sizeof(buf)));
	CHECK(STAT("l").st_atim.tv_sec > 1000000);
}

POSIX_MAIN(CHECK_ENTRY(making_a_name_moves_the_parent),
	   CHECK_ENTRY(removing_a_name_moves_the_parent_and_the_object),
	   CHECK_ENTRY(rename_moves_both_parents_and_the_object),
	   CHECK_ENTRY(changing_bytes_moves_both), CHECK_ENTRY(changing_attributes_moves_ctime),
	   CHECK_ENTRY(looking_moves_nothing), CHECK_ENTRY(new_objects_are_stamped_now),
	   CHECK_ENTRY(times_are_kept_to_the_nanosecond), CHECK_ENTRY(utime_now_and_omit),
	   CHECK_ENTRY(times_set_before_close_stay),
	   ROOT_CHECK_ENTRY(setting_times_needs_permission), CHECK_ENTRY(reading_moves_atime_once),
	   CHECK_ENTRY(listing_and_readlink_move_atime))
