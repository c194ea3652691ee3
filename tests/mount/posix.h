/* The harness of the black-box conformance programs, posix_*.c.
 *
 * A program is a table of checks and a main of one line:
 *
 *	POSIX_MAIN(CHECK_ENTRY(mkdir_makes_an_empty_directory), ...)
 *
 * `posix_x DIR` makes a fresh directory in DIR; each check runs in an empty directory of its
 * own there, which is the working directory, so that names in checks are short and relative.
 * A failed assertion prints file:line with what was expected and seen, and the check goes on:
 * one wrong time stamp should not hide twenty other answers. At the end stands
 * `N passed, N failed`, and the exit status is 1 if any failed.
 *
 * Assertions count in memory shared with child processes, so they may be used there as well.
 * Every assertion has to hold on ext4 and tmpfs too; where Linux file systems rightly differ,
 * the check asks fs_is() and says why. */
#ifndef MATFS_TESTS_MOUNT_POSIX_H
#define MATFS_TESTS_MOUNT_POSIX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Users and groups that no machine has, so that nothing is theirs but what a check gives them. */
enum { USER_A = 61001, USER_B = 61002, USER_C = 61003 };
enum { GROUP_A = 62001, GROUP_B = 62002, GROUP_C = 62003 };

struct tally {
	atomic_long passed;
	atomic_long failed;
};

struct posix_check {
	const char *name;
	void (*run)(void);
	bool needs_root;
};

/* clang-format off: the braces are table rows */
#define CHECK_ENTRY(fn)                                                                            \
	{                                                                                          \
#fn, fn, false                                                                     \
	}
/* For checks that become other users or make devices. */
#define ROOT_CHECK_ENTRY(fn)                                                                       \
	{                                                                                          \
#fn, fn, true                                                                      \
	}
/* clang-format on */

static struct tally *tally;
static const char *running_check = "start";
/* Set in children made by AS_USER and child_begin: they must never go on as the parent. */
static bool in_child;
/* From --large: the sizes that take minutes. */
static bool large;
static long fs_magic;

/* The seconds after which a check counts as hung: a deadlocked file system should end as a
 * failure that names the check, not as a test that never returns. */
#define CHECK_SECONDS 300

static inline bool __attribute__((format(printf, 4, 5)))
verdict(const char *file, int line, bool ok, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char text[1024];
	va_list ap;

	if (ok) {
		atomic_fetch_add(&tally->passed, 1);
		return true;
	}
	atomic_fetch_add(&tally->failed, 1);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* One write, past stdio, so that lines of several processes stay whole. */
	dprintf(STDOUT_FILENO, "%s:%d: %s: %s\n", base ? base + 1 : file, line, running_check,
		text);
	return false;
}

static inline bool eq_at(const char *file, int line, const char *text, long long seen,
			 long long want)
{
	return verdict(file, line, seen == want, "%s: expected %lld (%#llo), seen %lld (%#llo)",
		       text, want, want, seen, seen);
}

static inline long ok_at(const char *file, int line, const char *text, long ret)
{
	int err = errno;

	verdict(file, line, ret != -1, "%s: expected success, seen %s", text,
		ret == -1 ? strerrorname_np(err) : "success");
	errno = err;
	return ret;
}

static inline bool fails_at(const char *file, int line, const char *text, long ret, int want)
{
	int err = ret == -1 ? errno : 0;

	return verdict(file, line, ret == -1 && err == want, "%s: expected %s, seen %s", text,
		       strerrorname_np(want), ret == -1 ? strerrorname_np(err) : "success");
}

/* @cond holds. */
#define CHECK(cond) verdict(__FILE__, __LINE__, (cond), "expected %s", #cond)
/* @cond holds; printf arguments say what was seen. */
#define CHECKF(cond, ...) verdict(__FILE__, __LINE__, (cond), __VA_ARGS__)
/* Two integers are equal. */
#define EQ(seen, want) eq_at(__FILE__, __LINE__, #seen, (long long)(seen), (long long)(want))
/* A system call does not return -1; its value. */
#define OK(call) ok_at(__FILE__, __LINE__, #call, (long)(call))
/* A system call returns -1 with errno @err. */
#define FAILS(call, err) fails_at(__FILE__, __LINE__, #call, (long)(call), err)

static inline void __attribute__((format(printf, 1, 2))) note(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dprintf(STDOUT_FILENO, "note: %s: %s\n", running_check, text);
}

/* Is the directory under test on the file system with this magic number? */
static inline bool fs_is(long magic)
{
	return fs_magic == magic;
}

/* Children.
 *
 *	AS_USER(USER_A, GROUP_A)
 *	{
 *		FAILS(unlink("x"), EACCES);
 *	}
 *
 * runs the block in a child with that user, that group and no others; the parent waits. The
 * block must be left at its end only. */

static inline void child_wait(const char *file, int line, pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		verdict(file, line, false, "child ended with wait status %#x", status);
}

/* Fork; 0 in the child, whose assertions count as the parent's. */
static inline pid_t child_begin(void)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("fork");
		exit(1);
	}
	if (pid == 0)
		in_child = true;
	return pid;
}

static inline void become(uid_t uid, size_t nr_groups, const gid_t *groups)
{
	if (setgroups(nr_groups - 1, groups + 1) || setresgid(groups[0], groups[0], groups[0]) ||
	    setresuid(uid, uid, uid)) {
		verdict(__FILE__, __LINE__, false, "cannot become user %u: %m", uid);
		_exit(1);
	}
}

static inline int as_user_begin(const char *file, int line, uid_t uid, size_t nr_groups,
				const gid_t *groups)
{
	pid_t pid = child_begin();

	if (pid == 0) {
		become(uid, nr_groups, groups);
		return 1;
	}
	child_wait(file, line, pid);
	return 0;
}

static inline bool as_user_step(int *turn)
{
	if (*turn == 2)
		_exit(0);
	return (*turn)++ == 1;
}

/* @... the groups, the effective one first. */
#define AS_USER(uid, ...)                                                                          \
	for (int turn_ = as_user_begin(__FILE__, __LINE__, uid,                                    \
				       sizeof((gid_t[]){__VA_ARGS__}) / sizeof(gid_t),             \
				       (gid_t[]){__VA_ARGS__});                                    \
	     as_user_step(&turn_);)

/* Files. */

static inline void make_file_at(const char *file, int line, const char *name, const void *data,
				size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0) {
		verdict(file, line, false, "cannot create %s: %m", name);
		return;
	}
	if (write(fd, data, len) != (ssize_t)len)
		verdict(file, line, false, "cannot write %s: %m", name);
	if (close(fd))
		verdict(file, line, false, "cannot close %s: %m", name);
}

/* Create @name with mode 0644 and these bytes. */
#define MAKE_FILE(name, data, len) make_file_at(__FILE__, __LINE__, name, data, len)
/* Create @name with this text. */
#define MAKE_TEXT(name, text) make_file_at(__FILE__, __LINE__, name, text, strlen(text))

static inline bool bytes_are(const char *file, int line, const char *what, const void *seen,
			     const void *want, size_t len)
{
	const uint8_t *a = seen, *b = want;
	size_t i = 0;

	while (i < len && a[i] == b[i])
		i++;
	return verdict(file, line, i == len, "%s: byte %zu of %zu: expected %#x, seen %#x", what, i,
		       len, i < len ? b[i] : 0, i < len ? a[i] : 0);
}

#define BYTES_ARE(seen, want, len) bytes_are(__FILE__, __LINE__, #seen, seen, want, len)

static inline bool zeros_at(const char *file, int line, const char *what, const void *seen,
			    size_t len)
{
	const uint8_t *a = seen;
	size_t i = 0;

	while (i < len && !a[i])
		i++;
	return verdict(file, line, i == len, "%s: byte %zu of %zu: expected 0, seen %#x", what, i,
		       len, i < len ? a[i] : 0);
}

#define ZEROS(seen, len) zeros_at(__FILE__, __LINE__, #seen, seen, len)

static inline bool file_is_at(const char *file, int line, const char *name, const void *want,
			      size_t len)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	uint8_t *buf = malloc(len + 1);
	size_t have = 0;
	ssize_t n = 0;
	bool ok;

	if (fd < 0 || !buf) {
		ok = verdict(file, line, false, "cannot open %s: %m", name);
		goto out;
	}
	while (have < len + 1 && (n = read(fd, buf + have, len + 1 - have)) > 0)
		have += n;
	if (n < 0)
		ok = verdict(file, line, false, "cannot read %s: %m", name);
	else if (have != len)
		ok = verdict(file, line, false, "%s: expected %zu bytes, seen %s%zu", name, len,
			     have > len ? "at least " : "", have);
	else
		ok = bytes_are(file, line, name, buf, want, len);
out:
	free(buf);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* The file @name has exactly these bytes. */
#define FILE_IS(name, want, len) file_is_at(__FILE__, __LINE__, name, want, len)
#define TEXT_IS(name, text)	 file_is_at(__FILE__, __LINE__, name, text, strlen(text))

static inline struct stat stat_at(const char *file, int line, const char *name)
{
	struct stat st;

	memset(&st, 0, sizeof(st));
	if (lstat(name, &st))
		verdict(file, line, false, "lstat %s: %m", name);
	return st;
}

/* The lstat of @name, all zero (and a failure counted) where there is none. */
#define STAT(name) stat_at(__FILE__, __LINE__, name)

static inline struct stat fstat_at(const char *file, int line, int fd)
{
	struct stat st;

	memset(&st, 0, sizeof(st));
	if (fstat(fd, &st))
		verdict(file, line, false, "fstat: %m");
	return st;
}

#define FSTAT(fd) fstat_at(__FILE__, __LINE__, fd)

/* Permission and set-id bits. */
static inline mode_t perm_of(const char *name)
{
	struct stat st;

	return lstat(name, &st) ? 0177777 : st.st_mode & 07777;
}

static inline bool exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

/* Bytes that neither repeat within a block nor compress to nothing; the same for a seed. */
static inline void fill_bytes(void *buf, size_t len, uint64_t seed)
{
	uint8_t *p = buf;
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 0x1234567;

	for (size_t i = 0; i < len; i++) {
		if (i % 8 == 0) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		p[i] = x >> (i % 8 * 8);
	}
}

static inline void *must_alloc(size_t len)
{
	void *p = calloc(1, len ? len : 1);

	if (!p) {
		perror("calloc");
		exit(1);
	}
	return p;
}

static inline int time_order(struct timespec a, struct timespec b)
{
	if (a.tv_sec != b.tv_sec)
		return a.tv_sec < b.tv_sec ? -1 : 1;
	return (a.tv_nsec > b.tv_nsec) - (a.tv_nsec < b.tv_nsec);
}

/* Let the clock that stamps files move on: the kernel's coarse clock has steps of up to 10 ms. */
static inline void tick(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 15 * 1000 * 1000}, NULL);
}

static inline double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Make the kernel forget what it may; false when this is not allowed here. */
static inline bool drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	bool ok;

	sync();
	if (fd < 0)
		return false;
	ok = write(fd, "3", 1) == 1;
	close(fd);
	return ok;
}

/* Remove a tree, whatever modes it has (when root). */
static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int remove_tree(const char *path)
{
	return nftw(path, remove_one, 64, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static inline void check_hung(int sig)
{
	static const char text[] = ": no end in sight, given up\n";

	(void)sig;
	if (write(STDOUT_FILENO, running_check, strlen(running_check)) < 0 ||
	    write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

/* Root sees to it that others reach the directory, or their checks would all fail for that. */
static inline void others_reach_it(void)
{
	AS_USER(USER_A, GROUP_A)
	{
		CHECKF(access(".", R_OK | X_OK) == 0,
		       "other users cannot reach the directory (%m): mount with allow_other");
	}
}

static inline void run_check(const struct posix_check *check, const char *top)
{
	running_check = check->name;
	if (check->needs_root && geteuid() != 0) {
		note("skipped, needs root");
		return;
	}
	/* The check before may have set another. */
	umask(022);
	if (chdir(top) || mkdir(check->name, 0755) || chdir(check->name)) {
		verdict(__FILE__, __LINE__, false, "cannot make its directory: %m");
		return;
	}
	alarm(CHECK_SECONDS);
	check->run();
	if (in_child)
		_exit(0);
	alarm(0);
	if (chdir(top) || remove_tree(check->name))
		verdict(__FILE__, __LINE__, false, "cannot remove its directory: %m");
}

static inline void usage(const char *program)
{
	fprintf(stderr, "usage: %s [--large] [--only CHECK] DIR\n", program);
	exit(2);
}

static inline int posix_main(int argc, char **argv, const struct posix_check *checks, size_t nr)
{
	const char *dir = NULL, *only = NULL;
	char path[PATH_MAX], top[PATH_MAX];
	struct statfs sfs;
	size_t nr_run = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--large"))
			large = true;
		else if (!strcmp(argv[i], "--only") && i + 1 < argc)
			only = argv[++i];
		else if (argv[i][0] == '-' || dir)
			usage(argv[0]);
		else
			dir = argv[i];
	}
	if (!dir)
		usage(argv[0]);
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (tally == MAP_FAILED || statfs(dir, &sfs)) {
		perror(dir);
		return 1;
	}
	fs_magic = sfs.f_type;
	snprintf(path, sizeof(path), "%s/%s.XXXXXX", dir, program_invocation_short_name);
	if (!mkdtemp(path) || !realpath(path, top) || chmod(top, 0755) || chdir(top)) {
		perror(path);
		return 1;
	}
	signal(SIGALRM, check_hung);
	if (geteuid() == 0)
		others_reach_it();
	for (size_t i = 0; i < nr; i++) {
		if (only && strcmp(only, checks[i].name))
			continue;
		run_check(&checks[i], top);
		nr_run++;
	}
	/* A name that has been changed here but not in a script must not pass for a success. */
	if (!nr_run)
		verdict(__FILE__, __LINE__, false, "there is no check %s", only);
	if (chdir("/") || remove_tree(top))
		verdict(__FILE__, __LINE__, false, "cannot remove %s: %m", top);
	printf("%s: %ld passed, %ld failed\n", program_invocation_short_name,
	       atomic_load(&tally->passed), atomic_load(&tally->failed));
	return atomic_load(&tally->failed) ? 1 : 0;
}

#define POSIX_MAIN(...)                                                                            \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		static const struct posix_check checks[] = {__VA_ARGS__};                          \
                                                                                                   \
		return posix_main(argc, argv, checks, sizeof(checks) / sizeof(checks[0]));         \
	}

#endif
