/* Opening: the flags, files without a name, running programs, and the calls that make durable. */
#include "posix.h"

#include <sys/syscall.h>

static void truncating_open_empties(void)
{
	char c = 0;
	int fd;

	MAKE_TEXT("f", "some text");
	close(OK(open("f", O_WRONLY)));
	EQ(STAT("f").st_size, 9);
	fd = OK(open("f", O_RDWR | O_TRUNC));
	EQ(FSTAT(fd).st_size, 0);
	EQ(OK(read(fd, &c, 1)), 0);
	EQ(OK(pwrite(fd, "x", 1, 5)), 1);
	close(fd);
	FILE_IS("f", "\0\0\0\0\0x", 6);
	FAILS(open("f", O_RDWR | O_CREAT | O_EXCL | O_TRUNC, 0644), EEXIST);
	EQ(STAT("f").st_size, 6);
}

static void exclusive_create_has_one_winner(void)
{
	atomic_int *wins =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[4];
	char name[16];
	int fd;

	if (!CHECK(wins != MAP_FAILED))
		return;
	for (int p = 0; p < 4; p++) {
		pids[p] = child_begin();
		if (pids[p])
			continue;
		for (int i = 0; i < 200; i++) {
			snprintf(name, sizeof(name), "f%d", i);
			fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
			CHECKF(fd >= 0 || errno == EEXIST, "seen %m");
			if (fd >= 0)
				atomic_fetch_add(&wins[i], 1);
			close(fd);
		}
		_exit(0);
	}
	for (int p = 0; p < 4; p++)
		child_wait(__FILE__, __LINE__, pids[p]);
	for (int i = 0; i < 200; i++)
		EQ(wins[i], 1);
	munmap(wins, 4096);
}

static void directory_flags(void)
{
	char buf[64];
	int fd;

	OK(mkdir("d", 0755));
	MAKE_TEXT("f", "x");
	OK(symlink("d", "ld"));
	OK(symlink("f", "lf"));
	close(OK(open("d", O_RDONLY | O_DIRECTORY)));
	close(OK(open("ld", O_RDONLY | O_DIRECTORY)));
	FAILS(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	FAILS(open("lf", O_RDONLY | O_DIRECTORY), ENOTDIR);
	FAILS(open("ld", O_RDONLY | O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
	FAILS(open("lf", O_RDONLY | O_NOFOLLOW), ELOOP);
	FAILS(open("d", O_WRONLY), EISDIR);
	FAILS(open("d", O_RDWR), EISDIR);
	FAILS(open("d", O_RDONLY | O_CREAT, 0644), EISDIR);
	FAILS(open("d", O_RDONLY | O_TRUNC), EISDIR);
	fd = OK(open("d", O_RDONLY));
	FAILS(read(fd, buf, sizeof(buf)), EISDIR);
	FAILS(pread(fd, buf, sizeof(buf), 0), EISDIR);
	FAILS(write(fd, buf, 1), EBADF);
	FAILS(ftruncate(fd, 0), EINVAL);
	OK(fsync(fd));
	close(fd);
	FAILS(truncate("d", 0), EISDIR);
}

static void access_mode_is_kept(void)
{
	char c = 0;
	int rd, wr;

	MAKE_TEXT("f", "x");
	rd = OK(open("f", O_RDONLY));
	wr = OK(open("f", O_WRONLY));
	FAILS(write(rd, "y", 1), EBADF);
	FAILS(read(wr, &c, 1), EBADF);
	FAILS(ftruncate(rd, 0), EINVAL);
	FAILS(fallocate(rd, 0, 0, 10), EBADF);
	FAILS(copy_file_range(wr, NULL, rd, NULL, 1, 0), EBADF);
	EQ(fcntl(rd, F_GETFL) & O_ACCMODE, O_RDONLY);
	EQ(fcntl(wr, F_GETFL) & O_ACCMODE, O_WRONLY);
	close(rd);
	close(wr);
	TEXT_IS("f", "x");
}

static void path_descriptors_only_name(void)
{
	char buf[16], path[64];
	int fd, real;

	MAKE_TEXT("f", "text");
	OK(symlink("f", "l"));
	OK(mkdir("d", 0755));
	MAKE_TEXT("d/g", "");
	fd = OK(open("f", O_PATH));
	EQ(FSTAT(fd).st_ino, STAT("f").st_ino);
	FAILS(read(fd, buf, 1), EBADF);
	FAILS(write(fd, buf, 1), EBADF);
	FAILS(fchmod(fd, 0600), EBADF);
	FAILS(ftruncate(fd, 0), EBADF);
	FAILS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0, EBADF);
	/* It becomes a real one by its name in /proc, even after the file has moved. */
	OK(rename("f", "f2"));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	real = OK(open(path, O_RDWR));
	EQ(OK(read(real, buf, sizeof(buf))), 4);
	close(real);
	OK(chmod(path, 0611));
	EQ(perm_of("f2"), 0611);
	close(fd);
	fd = OK(open("l", O_PATH | O_NOFOLLOW));
	CHECK(S_ISLNK(FSTAT(fd).st_mode));
	EQ(OK(readlinkat(fd, "", buf, sizeof(buf))), 1);
	close(fd);
	fd = OK(open("d", O_PATH | O_DIRECTORY));
	OK(faccessat(fd, "g", R_OK, 0));
	OK(fchdir(fd));
	OK(chdir(".."));
	close(fd);
}

static void unlinked_file_lives_until_closed(void)
{
	char seen[9000], want[9000];
	char path[64];
	struct stat st;
	int fd, again;

	fill_bytes(want, sizeof(want), 7);
	fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	EQ(OK(write(fd, want, 5000)), 5000);
	OK(unlink("f"));
	st = FSTAT(fd);
	EQ(st.st_nlink, 0);
	EQ(st.st_size, 5000);
	EQ(OK(pwrite(fd, want + 5000, 4000, 5000)), 4000);
	drop_caches();
	EQ(OK(pread(fd, seen, sizeof(seen), 0)), 9000);
	BYTES_ARE(seen, want, 9000);
	OK(ftruncate(fd, 6000));
	EQ(FSTAT(fd).st_size, 6000);
	OK(fchmod(fd, 0600));
	EQ(FSTAT(fd).st_mode & 07777, 0600);
	OK(fsync(fd));
	/* A new file of that name is another one. */
	MAKE_TEXT("f", "new");
	CHECK(STAT("f").st_ino != st.st_ino);
	EQ(OK(pread(fd, seen, sizeof(seen), 0)), 6000);
	/* It can be opened again by /proc, but not given a name. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = OK(open(path, O_RDWR));
	EQ(OK(pread(again, seen, 10, 0)), 10);
	BYTES_ARE(seen, want, 10);
	close(again);
	FAILS(linkat(AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW), ENOENT);
	close(fd);
	TEXT_IS("f", "new");
}

static void many_unlinked_files_are_independent(void)
{
	int fds[100];
	char want[64], seen[64];

	for (int i = 0; i < 100; i++) {
		fds[i] = OK(open("f", O_RDWR | O_CREAT | O_EXCL, 0644));
		snprintf(want, sizeof(want), "this is number %d", i);
		OK(write(fds[i], want, strlen(want)));
		OK(unlink("f"));
	}
	for (int i = 0; i < 100; i++) {
		snprintf(want, sizeof(want), "this is number %d", i);
		EQ(OK(pread(fds[i], seen, sizeof(seen), 0)), strlen(want));
		BYTES_ARE(seen, want, strlen(want));
		close(fds[i]);
	}
}

static void tmpfile_gets_a_name_when_linked(void)
{
	char path[64], seen[8];
	struct stat st;
	int fd;

	OK(mkdir("d", 0755));
	fd = OK(open("d", O_TMPFILE | O_RDWR, 0640));
	st = FSTAT(fd);
	EQ(st.st_nlink, 0);
	CHECK(S_ISREG(st.st_mode));
	EQ(st.st_mode & 07777, 0640);
	OK(write(fd, "secret", 6));
	OK(rmdir("d"));
	OK(mkdir("d", 0755));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, path, AT_FDCWD, "d/named", AT_SYMLINK_FOLLOW));
	EQ(FSTAT(fd).st_nlink, 1);
	EQ(STAT("d/named").st_ino, st.st_ino);
	TEXT_IS("d/named", "secret");
	FAILS(linkat(AT_FDCWD, path, AT_FDCWD, "d/named", AT_SYMLINK_FOLLOW), EEXIST);
	OK(linkat(AT_FDCWD, path, AT_FDCWD, "d/second", AT_SYMLINK_FOLLOW));
	EQ(FSTAT(fd).st_nlink, 2);
	OK(pwrite(fd, "S", 1, 0));
	close(fd);
	TEXT_IS("d/second", "Secret");
	if (geteuid() == 0) {
		/* AT_EMPTY_PATH needs a capability. */
		fd = OK(open(".", O_TMPFILE | O_WRONLY, 0600));
		OK(linkat(fd, "", AT_FDCWD, "third", AT_EMPTY_PATH));
		close(fd);
		EQ(STAT("third").st_nlink, 1);
	}
	fd = OK(open(".", O_TMPFILE | O_EXCL | O_RDWR, 0600));
	OK(write(fd, "mine", 4));
	EQ(OK(pread(fd, seen, sizeof(seen), 0)), 4);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	FAILS(linkat(AT_FDCWD, path, AT_FDCWD, "never", AT_SYMLINK_FOLLOW), ENOENT);
	close(fd);
	FAILS(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	FAILS(open("d/named", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
	FAILS(open("none", O_TMPFILE | O_RDWR, 0600), ENOENT);
	umask(077);
	fd = OK(open(".", O_TMPFILE | O_RDWR, 0666));
	EQ(FSTAT(fd).st_mode & 07777, 0600);
	close(fd);
}

static void descriptors_share_an_offset_when_duplicated(void)
{
	char c[3] = "";
	int a, b, d;

	MAKE_TEXT("f", "abcdef");
	a = OK(open("f", O_RDWR));
	d = OK(dup(a));
	b = OK(open("f", O_RDWR));
	OK(read(a, c, 2));
	OK(read(d, c, 2));
	BYTES_ARE(c, "cd", 2);
	OK(read(b, c, 2));
	BYTES_ARE(c, "ab", 2);
	OK(write(d, "XY", 2));
	OK(pread(b, c, 2, 4));
	BYTES_ARE(c, "XY", 2);
	if (child_begin() == 0) {
		OK(lseek(a, 1, SEEK_SET));
		_exit(0);
	}
	child_wait(__FILE__, __LINE__, -1);
	EQ(lseek(d, 0, SEEK_CUR), 1);
	close(a);
	close(d);
	close(b);
}

static void copy_program(const char *from, const char *to)
{
	int in = OK(open(from, O_RDONLY | O_CLOEXEC));
	int out = OK(open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
	char *buf = must_alloc(65536);
	ssize_t n;

	while ((n = read(in, buf, 65536)) > 0)
		EQ(OK(write(out, buf, n)), n);
	close(in);
	close(out);
	free(buf);
}

/* Run @path with @arg; its exit status, or where it could not be started 101 for ETXTBSY, 102 for
 * EACCES, 103 for ENOEXEC and 104 for any other reason. */
static int run_program(const char *path, const char *arg)
{
	int status = 0;
	pid_t pid = vfork();

	if (pid == 0) {
		execl(path, path, arg, NULL);
		_exit(100 + (errno == ETXTBSY	? 1
			     : errno == EACCES	? 2
			     : errno == ENOEXEC ? 3
						: 4));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void programs_run_from_here(void)
{
	int fd;

	copy_program("/bin/true", "true");
	EQ(run_program("./true", NULL), 0);
	drop_caches();
	EQ(run_program("./true", NULL), 0);
	MAKE_TEXT("script", "#!/bin/sh\nexit 7\n");
	EQ(run_program("./script", NULL), 102);
	OK(chmod("script", 0755));
	EQ(run_program("./script", NULL), 7);
	MAKE_TEXT("junk", "\1\2\3\4");
	OK(chmod("junk", 0755));
	EQ(run_program("./junk", NULL), 103);
	fd = OK(open("true", O_WRONLY | O_CLOEXEC));
	EQ(run_program("./true", NULL), 101);
	close(fd);
	EQ(run_program("./true", NULL), 0);
}

static void running_program_is_not_written(void)
{
	int fds[2];
	pid_t pid;
	char c;

	copy_program("/bin/cat", "cat");
	OK(pipe(fds));
	pid = fork();
	if (pid == 0) {
		dup2(fds[0], 0);
		close(fds[1]);
		execl("./cat", "cat", NULL);
		_exit(1);
	}
	close(fds[0]);
	/* Until the exec has happened its comm is ours. */
	for (int i = 0; i < 200; i++) {
		char comm[32] = "", path[64];
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		fd = open(path, O_RDONLY);
		c = read(fd, comm, sizeof(comm) - 1) > 0 && !strcmp(comm, "cat\n");
		close(fd);
		if (c)
			break;
		tick();
	}
	FAILS(open("cat", O_WRONLY), ETXTBSY);
	FAILS(truncate("cat", 0), ETXTBSY);
	OK(rename("cat", "dog"));
	OK(unlink("dog"));
	close(fds[1]);
	waitpid(pid, NULL, 0);
}

static void syncing_works_on_every_kind(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

	OK(write(fd, "abc", 3));
	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(sync_file_range(fd, 0, 3,
			   SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				   SYNC_FILE_RANGE_WAIT_AFTER));
	FAILS(sync_file_range(fd, -1, 3, SYNC_FILE_RANGE_WRITE), EINVAL);
	OK(syncfs(fd));
	OK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	OK(readahead(fd, 0, 4096));
	close(fd);
	fd = OK(open("f", O_RDONLY));
	OK(fsync(fd));
	close(fd);
	fd = OK(open(".", O_RDONLY | O_DIRECTORY));
	OK(fsync(fd));
	OK(fdatasync(fd));
	close(fd);
	TEXT_IS("f", "abc");
}

static void synchronous_writes_are_writes(void)
{
	static const int flags[] = {O_SYNC, O_DSYNC, O_SYNC | O_APPEND, O_RSYNC};
	char *want = must_alloc(200000);
	char name[16];
	int fd;

	fill_bytes(want, 200000, 3);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		fd = OK(open(name, O_RDWR | O_CREAT | flags[i], 0644));
		for (int part = 0; part < 10; part++)
			EQ(OK(write(fd, want + part * 20000, 20000)), 20000);
		close(fd);
		FILE_IS(name, want, 200000);
	}
	free(want);
}

static void direct_io_works_or_is_refused_at_open(void)
{
	int fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0644);
	char *buf, *want = must_alloc(1 << 20);

	if (fd < 0) {
		EQ(errno, EINVAL);
		note("no O_DIRECT here");
		free(want);
		return;
	}
	buf = aligned_alloc(4096, 1 << 20);
	if (!buf)
		exit(1);
	fill_bytes(want, 1 << 20, 4);
	memcpy(buf, want, 1 << 20);
	EQ(OK(pwrite(fd, buf, 1 << 20, 0)), 1 << 20);
	memset(buf, 0, 1 << 20);
	EQ(OK(pread(fd, buf, 1 << 20, 0)), 1 << 20);
	BYTES_ARE(buf, want, 1 << 20);
	/* A direct write is seen by buffered readers, and the other way round. */
	FILE_IS("f", want, 1 << 20);
	fill_bytes(want + 8192, 4096, 5);
	memcpy(buf, want + 8192, 4096);
	EQ(OK(pwrite(fd, buf, 4096, 8192)), 4096);
	FILE_IS("f", want, 1 << 20);
	{
		int cached = OK(open("f", O_WRONLY));

		fill_bytes(want + 100, 5000, 6);
		EQ(OK(pwrite(cached, want + 100, 5000, 100)), 5000);
		close(cached);
	}
	memset(buf, 0, 1 << 20);
	EQ(OK(pread(fd, buf, 16384, 0)), 16384);
	BYTES_ARE(buf, want, 16384);
	/* The end need not be aligned: a read there is short. */
	OK(ftruncate(fd, 5000));
	EQ(OK(pread(fd, buf, 8192, 0)), 5000);
	BYTES_ARE(buf, want, 5000);
	EQ(OK(pread(fd, buf, 4096, 8192)), 0);
	close(fd);
	free(buf);
	free(want);
}

/* More descriptors than most hard limits leave a server that would open one per file. */
static void many_files_open_at_once(void)
{
	enum { NR = 900 };
	int fds[NR];
	char name[16], seen[16];

	for (int i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fds[i] = OK(open(name, O_RDWR | O_CREAT, 0644));
		EQ(write(fds[i], name, strlen(name)), strlen(name));
	}
	for (int i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		EQ(pread(fds[i], seen, sizeof(seen), 0), strlen(name));
		BYTES_ARE(seen, name, strlen(name));
		close(fds[i]);
	}
}

POSIX_MAIN(CHECK_ENTRY(truncating_open_empties), CHECK_ENTRY(exclusive_create_has_one_winner),
	   CHECK_ENTRY(directory_flags), CHECK_ENTRY(access_mode_is_kept),
	   CHECK_ENTRY(path_descriptors_only_name), CHECK_ENTRY(unlinked_file_lives_until_closed),
	   CHECK_ENTRY(many_unlinked_files_are_independent),
	   CHECK_ENTRY(tmpfile_gets_a_name_when_linked),
	   CHECK_ENTRY(descriptors_share_an_offset_when_duplicated),
	   CHECK_ENTRY(programs_run_from_here), CHECK_ENTRY(running_program_is_not_written),
	   CHECK_ENTRY(syncing_works_on_every_kind), CHECK_ENTRY(synchronous_writes_are_writes),
	   CHECK_ENTRY(direct_io_works_or_is_refused_at_open), CHECK_ENTRY(many_files_open_at_once))
