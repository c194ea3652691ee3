/* What the file system says of itself and its objects: statfs, statx, numbers, file handles. */
#include "posix.h"

#include <sys/statvfs.h>

enum { MIB = 1 << 20 };

static void statfs_is_sane(void)
{
	struct statfs sfs;
	struct statvfs vfs;
	int fd;

	OK(statfs(".", &sfs));
	CHECK(sfs.f_bsize >= 512 && (sfs.f_bsize & (sfs.f_bsize - 1)) == 0);
	CHECK(sfs.f_blocks > 0);
	CHECK(sfs.f_bfree <= sfs.f_blocks);
	CHECK(sfs.f_bavail <= sfs.f_bfree);
	EQ(sfs.f_namelen, 255);
	CHECK(sfs.f_files == 0 || sfs.f_ffree <= sfs.f_files);
	OK(statvfs(".", &vfs));
	EQ(vfs.f_namemax, 255);
	CHECK(vfs.f_frsize > 0 && vfs.f_bavail <= vfs.f_bfree && vfs.f_bfree <= vfs.f_blocks);
	CHECK(!(vfs.f_flag & ST_RDONLY));
	MAKE_TEXT("f", "");
	fd = OK(open("f", O_RDONLY));
	OK(fstatfs(fd, &sfs));
	EQ(sfs.f_namelen, 255);
	close(fd);
	EQ(pathconf(".", _PC_NAME_MAX), 255);
}

static long long bytes_available(void)
{
	struct statvfs vfs;

	sync();
	OK(statvfs(".", &vfs));
	return (long long)vfs.f_bavail * vfs.f_frsize;
}

/* 48 MiB that do not compress cost 48 MiB, give or take metadata and what others do meanwhile,
 * and come back; freeing may take a commit or two. */
static void written_bytes_are_missing_from_the_free_ones(void)
{
	enum { LEN = 48 * MIB, SLACK = 8 * MIB };
	char *data = must_alloc(LEN);
	long long before = bytes_available(), after = 0, end = 0;
	double give_up;
	int fd;

	fill_bytes(data, LEN, 99);
	fd = OK(open("f", O_WRONLY | O_CREAT, 0644));
	EQ(OK(write(fd, data, LEN)), LEN);
	OK(fsync(fd));
	close(fd);
	after = bytes_available();
	CHECKF(before - after > LEN - SLACK && before - after < LEN + 2 * SLACK,
	       "%d bytes written, %lld fewer available", LEN, before - after);
	OK(unlink("f"));
	give_up = seconds_now() + 20;
	while ((end = bytes_available()) < before - SLACK && seconds_now() < give_up)
		nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL);
	CHECKF(end >= before - SLACK, "%lld bytes available before, %lld after removal", before,
	       end);
	free(data);
}

static void statx_agrees_with_stat(void)
{
	struct statx stx;
	struct stat st;
	struct timespec before, now;

	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	MAKE_TEXT("f", "12345");
	st = STAT("f");
	OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &stx));
	EQ(stx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	EQ(stx.stx_ino, st.st_ino);
	EQ(stx.stx_mode, st.st_mode);
	EQ(stx.stx_nlink, 1);
	EQ(stx.stx_size, 5);
	EQ(stx.stx_uid, st.st_uid);
	EQ(stx.stx_blocks, st.st_blocks);
	EQ(stx.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
	EQ(makedev(stx.stx_dev_major, stx.stx_dev_minor), st.st_dev);
	/* The kernel asks a FUSE server for a birth time only since 6.6. */
	if (!(stx.stx_mask & STATX_BTIME)) {
		note("no birth times here");
	} else {
		struct timespec birth = {stx.stx_btime.tv_sec, stx.stx_btime.tv_nsec};

		clock_gettime(CLOCK_REALTIME, &now);
		CHECK(time_order(birth, before) >= 0 && time_order(birth, now) <= 0);
		tick();
		OK(truncate("f", 1));
		OK(utimensat(AT_FDCWD, "f", (struct timespec[2]){{1, 1}, {2, 2}}, 0));
		OK(rename("f", "g"));
		drop_caches();
		OK(statx(AT_FDCWD, "g", 0, STATX_BTIME, &stx));
		EQ(stx.stx_btime.tv_sec, birth.tv_sec);
		EQ(stx.stx_btime.tv_nsec, birth.tv_nsec);
	}
	FAILS(statx(AT_FDCWD, "none", 0, STATX_BASIC_STATS, &stx), ENOENT);
	OK(symlink("none", "l"));
	OK(statx(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &stx));
	CHECK(S_ISLNK(stx.stx_mode));
}

static int compare_inos(const void *a, const void *b)
{
	ino_t x = *(const ino_t *)a, y = *(const ino_t *)b;

	return x < y ? -1 : x > y;
}

static void numbers_are_unique_and_stay(void)
{
	enum { NR = 2000 };
	ino_t *inos = must_alloc(NR * sizeof(ino_t)), *sorted = must_alloc(NR * sizeof(ino_t));
	dev_t dev = STAT(".").st_dev;
	char name[32];
	int wrong = 0;

	for (int i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		if (i % 10 == 0)
			OK(mkdir(name, 0755));
		else if (i % 10 == 1)
			OK(symlink("x", name));
		else if (i % 10 == 2)
			OK(mkfifo(name, 0644));
		else
			close(OK(open(name, O_CREAT | O_WRONLY, 0644)));
		inos[i] = STAT(name).st_ino;
		wrong += STAT(name).st_dev != dev || inos[i] == 0;
	}
	EQ(wrong, 0);
	memcpy(sorted, inos, NR * sizeof(ino_t));
	qsort(sorted, NR, sizeof(ino_t), compare_inos);
	for (int i = 1; i < NR; i++)
		wrong += sorted[i] == sorted[i - 1];
	EQ(wrong, 0);
	drop_caches();
	for (int i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		wrong += STAT(name).st_ino != inos[i];
	}
	EQ(wrong, 0);
	OK(chmod("n5", 0600));
	OK(rename("n5", "other"));
	OK(truncate("other", 10000));
	EQ(STAT("other").st_ino, inos[5]);
	free(inos);
	free(sorted);
}

static void sizes_of_all_kinds(void)
{
	MAKE_TEXT("f", "123");
	EQ(STAT("f").st_size, 3);
	OK(symlink("12345", "l"));
	EQ(STAT("l").st_size, 5);
	OK(mkfifo("p", 0644));
	EQ(STAT("p").st_size, 0);
	EQ(STAT("p").st_blocks, 0);
	EQ(STAT("f").st_nlink, 1);
	EQ(STAT("f").st_rdev, 0);
	FAILS(stat("none", &(struct stat){0}), ENOENT);
	FAILS(fstat(-1, &(struct stat){0}), EBADF);
}

static struct file_handle *handle_of(const char *name, int *mount_id)
{
	struct file_handle *fh = must_alloc(sizeof(*fh) + MAX_HANDLE_SZ);

	fh->handle_bytes = MAX_HANDLE_SZ;
	OK(name_to_handle_at(AT_FDCWD, name, fh, mount_id, 0));
	return fh;
}

static void handles_open_what_they_name(void)
{
	static const char *const names[] = {"d/e/f", "d/e/empty", "d", "d/e"};
	enum { NR = sizeof(names) / sizeof(names[0]) };
	struct file_handle *fhs[NR], *fh, tiny = {0};
	int mount_id, fd, top;
	char buf[16];

	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	MAKE_TEXT("d/e/f", "by handle");
	MAKE_TEXT("d/e/empty", "");
	FAILS(name_to_handle_at(AT_FDCWD, "d/e/f", &tiny, &mount_id, 0), EOVERFLOW);
	CHECK(tiny.handle_bytes > 0 && tiny.handle_bytes <= MAX_HANDLE_SZ);
	top = OK(open(".", O_RDONLY | O_DIRECTORY));
	for (int i = 0; i < NR; i++)
		fhs[i] = handle_of(names[i], &mount_id);
	for (int turn = 0; turn < 2; turn++) {
		for (int i = 0; i < NR; i++) {
			fd = OK(open_by_handle_at(top, fhs[i], O_RDONLY));
			EQ(FSTAT(fd).st_ino, STAT(names[i]).st_ino);
			close(fd);
		}
		/* In the second turn nothing of them is cached. */
		drop_caches();
	}
	/* The handle names the file, not its place. */
	OK(rename("d/e/f", "moved"));
	drop_caches();
	fd = OK(open_by_handle_at(top, fhs[0], O_RDWR));
	EQ(OK(read(fd, buf, sizeof(buf))), 9);
	BYTES_ARE(buf, "by handle", 9);
	OK(pwrite(fd, "BY", 2, 0));
	close(fd);
	TEXT_IS("moved", "BY handle");
	/* The same bytes every time. */
	fh = handle_of("moved", &mount_id);
	EQ(fh->handle_bytes, fhs[0]->handle_bytes);
	BYTES_ARE(fh->f_handle, fhs[0]->f_handle, fh->handle_bytes);
	free(fh);
	/* The path of a directory is found from below. */
	drop_caches();
	fd = OK(open_by_handle_at(top, fhs[3], O_RDONLY | O_DIRECTORY));
	OK(fchdir(fd));
	{
		char here[PATH_MAX];

		if (CHECK(getcwd(here, sizeof(here)) != NULL))
			CHECKF(strstr(here, "/d/e") != NULL, "expected .../d/e, seen %s", here);
	}
	OK(fchdir(top));
	close(fd);
	/* What is gone is stale, even after its number might have been given again. */
	OK(unlink("moved"));
	for (int i = 0; i < 50; i++) {
		char name[32];

		snprintf(name, sizeof(name), "again%d", i);
		MAKE_TEXT(name, "x");
	}
	drop_caches();
	FAILS(open_by_handle_at(top, fhs[0], O_RDONLY), ESTALE);
	AS_USER(USER_A, GROUP_A)
	{
		FAILS(open_by_handle_at(top, fhs[2], O_RDONLY), EPERM);
	}
	for (int i = 0; i < NR; i++)
		free(fhs[i]);
	close(top);
}

POSIX_MAIN(CHECK_ENTRY(statfs_is_sane), CHECK_ENTRY(written_bytes_are_missing_from_the_free_ones),
	   CHECK_ENTRY(statx_agrees_with_stat), CHECK_ENTRY(numbers_are_unique_and_stay),
	   CHECK_ENTRY(sizes_of_all_kinds), ROOT_CHECK_ENTRY(handles_open_what_they_name))
