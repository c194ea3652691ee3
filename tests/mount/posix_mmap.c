/* Mappings: shared and private, together with read and write, and what stays afterwards. */
#include "posix.h"

#include <setjmp.h>

enum { PAGE = 4096, MIB = 1 << 20 };

static sigjmp_buf after_fault;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(after_fault, 1);
}

/* Does touching @p end in SIGBUS? */
static bool faults(volatile char *p, bool write)
{
	struct sigaction sa = {.sa_handler = on_bus}, old;
	bool fault = true;

	sigaction(SIGBUS, &sa, &old);
	if (!sigsetjmp(after_fault, 1)) {
		if (write)
			*p = 1;
		else
			(void)*p;
		fault = false;
	}
	sigaction(SIGBUS, &old, NULL);
	return fault;
}

static void shared_mapping_is_the_file(void)
{
	enum { LEN = 2 * MIB };
	char *want = must_alloc(LEN), *seen = must_alloc(LEN), *map;
	int fd;

	fill_bytes(want, LEN, 1);
	MAKE_FILE("f", want, LEN);
	fd = OK(open("f", O_RDWR));
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!CHECK(map != MAP_FAILED))
		return;
	BYTES_ARE(map, want, LEN);
	/* A write is seen in the mapping at once ... */
	fill_bytes(want + 1000, 200000, 2);
	EQ(OK(pwrite(fd, want + 1000, 200000, 1000)), 200000);
	BYTES_ARE(map, want, LEN);
	/* ... and a store by read, of any descriptor. */
	fill_bytes(map + MIB - 5000, 10000, 3);
	memcpy(want + MIB - 5000, map + MIB - 5000, 10000);
	EQ(OK(pread(fd, seen, LEN, 0)), LEN);
	BYTES_ARE(seen, want, LEN);
	FILE_IS("f", want, LEN);
	/* Back and forth on one page. */
	for (int i = 0; i < 50; i++) {
		map[5 * PAGE + i] = want[5 * PAGE + i] = (char)(i + 1);
		OK(pwrite(fd, &(char){(char)(i * 3)}, 1, 5 * PAGE + 100 + i));
		want[5 * PAGE + 100 + i] = (char)(i * 3);
		EQ(OK(pread(fd, seen, PAGE, 5 * PAGE)), PAGE);
		BYTES_ARE(seen, want + 5 * PAGE, PAGE);
		BYTES_ARE(map + 5 * PAGE, want + 5 * PAGE, PAGE);
	}
	/* The mapping outlives descriptor and name. */
	close(fd);
	OK(unlink("f"));
	map[0] = want[0] = 'Z';
	BYTES_ARE(map, want, LEN);
	OK(munmap(map, LEN));
	free(want);
	free(seen);
}

static void stores_stay_in_the_file(void)
{
	enum { LEN = MIB + 777 };
	char *want = must_alloc(LEN), *map;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

	OK(ftruncate(fd, LEN));
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!CHECK(map != MAP_FAILED))
		return;
	fill_bytes(want, LEN, 4);
	memcpy(map, want, LEN);
	/* No msync: unmapping and closing are enough. */
	OK(munmap(map, LEN));
	close(fd);
	FILE_IS("f", want, LEN);
	drop_caches();
	FILE_IS("f", want, LEN);
	EQ(STAT("f").st_size, LEN);
	free(want);
}

static void other_processes_see_stores(void)
{
	char *map, *mine;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	pid_t pid;

	OK(ftruncate(fd, 4 * PAGE));
	map = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!CHECK(map != MAP_FAILED))
		return;
	pid = child_begin();
	if (pid == 0) {
		int other = OK(open("f", O_RDWR));

		mine = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
		if (CHECK(mine != MAP_FAILED)) {
			memcpy(mine + PAGE, "from the child", 15);
			OK(msync(mine, 4 * PAGE, MS_SYNC));
		}
		_exit(0);
	}
	child_wait(__FILE__, __LINE__, pid);
	BYTES_ARE(map + PAGE, "from the child", 15);
	memcpy(map, "from the parent", 16);
	OK(msync(map, PAGE, MS_SYNC));
	pid = child_begin();
	if (pid == 0) {
		char buf[16];
		int other = OK(open("f", O_RDONLY));

		EQ(OK(pread(other, buf, 16, 0)), 16);
		BYTES_ARE(buf, "from the parent", 16);
		_exit(0);
	}
	child_wait(__FILE__, __LINE__, pid);
	FAILS(msync(map, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
	OK(msync(map, PAGE, MS_ASYNC));
	munmap(map, 4 * PAGE);
	close(fd);
}

static void private_mapping_keeps_its_stores(void)
{
	char *want = must_alloc(64 * PAGE), *map;
	int fd;

	fill_bytes(want, 64 * PAGE, 5);
	MAKE_FILE("f", want, 64 * PAGE);
	/* numpy's mode "c": reading is enough for the file. */
	fd = OK(open("f", O_RDONLY));
	map = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (!CHECK(map != MAP_FAILED))
		return;
	BYTES_ARE(map, want, 64 * PAGE);
	memset(map + 3 * PAGE, 'p', PAGE);
	OK(msync(map, 64 * PAGE, MS_SYNC));
	FILE_IS("f", want, 64 * PAGE);
	munmap(map, 64 * PAGE);
	FILE_IS("f", want, 64 * PAGE);
	map = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 9 * PAGE);
	if (CHECK(map != MAP_FAILED)) {
		BYTES_ARE(map, want + 9 * PAGE, PAGE);
		munmap(map, PAGE);
	}
	close(fd);
	free(want);
}

static void mapping_needs_the_right_descriptor(void)
{
	int rd, wr, ap;

	MAKE_TEXT("f", "text");
	rd = OK(open("f", O_RDONLY));
	wr = OK(open("f", O_WRONLY));
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, rd, 0) == MAP_FAILED);
	EQ(errno, EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, wr, 0) == MAP_FAILED);
	EQ(errno, EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, rd, 1) == MAP_FAILED);
	EQ(errno, EINVAL);
	CHECK(mmap(NULL, 0, PROT_READ, MAP_SHARED, rd, 0) == MAP_FAILED);
	EQ(errno, EINVAL);
	close(rd);
	close(wr);
	rd = OK(open(".", O_RDONLY | O_DIRECTORY));
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, rd, 0) == MAP_FAILED);
	EQ(errno, ENODEV);
	close(rd);
	ap = OK(open("f", O_RDWR | O_APPEND));
	{
		char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ap, 0);

		if (CHECK(map != MAP_FAILED)) {
			map[0] = 'T';
			munmap(map, PAGE);
		}
	}
	close(ap);
	TEXT_IS("f", "Text");
}

static void end_of_file_in_a_mapping(void)
{
	char *map;
	int fd;

	MAKE_TEXT("f", "tail");
	fd = OK(open("f", O_RDWR));
	map = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!CHECK(map != MAP_FAILED))
		return;
	/* The rest of the last page is zeros; whole pages beyond it are a bus error. */
	BYTES_ARE(map, "tail\0\0", 6);
	ZEROS(map + 4, PAGE - 4);
	CHECK(faults(map + PAGE, false));
	CHECK(faults(map + 2 * PAGE, true));
	/* Stores beyond the end go nowhere. */
	map[100] = 'x';
	OK(msync(map, PAGE, MS_SYNC));
	EQ(FSTAT(fd).st_size, 4);
	TEXT_IS("f", "tail");
	OK(ftruncate(fd, 50));
	OK(ftruncate(fd, 3 * PAGE));
	/* tmpfs leaves such a store in the cached page, and so does the kernel's side of FUSE,
	 * where no server can reach it; the others clear it as the file grows. */
	if (!fs_is(TMPFS_MAGIC) && !fs_is(FUSE_SUPER_MAGIC))
		EQ(map[100], 0);
	CHECK(!faults(map + 2 * PAGE, true));
	map[2 * PAGE + 7] = 'y';
	CHECK(faults(map + 3 * PAGE, false));
	EQ(OK(pread(fd, &map[1], 1, 2 * PAGE + 7)), 1);
	EQ(map[1], 'y');
	/* A truncation takes the pages away, and the rest of the new last page. */
	map[60] = 'z';
	OK(ftruncate(fd, 60));
	CHECK(faults(map + 2 * PAGE, false));
	EQ(map[60], 0);
	OK(ftruncate(fd, 3 * PAGE));
	EQ(map[2 * PAGE + 7], 0);
	EQ(map[60], 0);
	munmap(map, 4 * PAGE);
	close(fd);
}

static void punching_shows_in_the_mapping(void)
{
	char *map;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

	OK(ftruncate(fd, 16 * PAGE));
	map = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!CHECK(map != MAP_FAILED))
		return;
	memset(map, 'd', 16 * PAGE);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE + 100, 3 * PAGE));
	EQ(map[PAGE + 99], 'd');
	ZEROS(map + PAGE + 100, 3 * PAGE);
	EQ(map[4 * PAGE + 100], 'd');
	map[2 * PAGE] = 'n';
	OK(msync(map, 16 * PAGE, MS_SYNC));
	{
		char c = 0;

		EQ(OK(pread(fd, &c, 1, 2 * PAGE)), 1);
		EQ(c, 'n');
	}
	munmap(map, 16 * PAGE);
	close(fd);
}

/* Pages that nobody has read yet are faulted in at random, from a cold cache. */
static void faults_find_cold_pages(void)
{
	enum { LEN = 16 * MIB };
	char *want = must_alloc(LEN), *map;
	unsigned seed = 3;
	size_t off;
	int fd;

	fill_bytes(want, LEN, 6);
	MAKE_FILE("f", want, LEN);
	drop_caches();
	fd = OK(open("f", O_RDWR));
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!CHECK(map != MAP_FAILED))
		return;
	madvise(map, LEN, MADV_RANDOM);
	for (int i = 0; i < 500; i++) {
		off = rand_r(&seed) % (LEN - 64);
		BYTES_ARE(map + off, want + off, 64);
		if (i % 3 == 0)
			map[off] = want[off] = (char)i;
	}
	OK(msync(map, LEN, MS_SYNC));
	munmap(map, LEN);
	close(fd);
	drop_caches();
	FILE_IS("f", want, LEN);
	free(want);
}

static void writing_from_a_mapping_of_the_file_itself(void)
{
	char *want = must_alloc(32 * PAGE), *map;
	int fd;

	fill_bytes(want, 32 * PAGE, 7);
	MAKE_FILE("f", want, 32 * PAGE);
	drop_caches();
	fd = OK(open("f", O_RDWR));
	map = mmap(NULL, 32 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (!CHECK(map != MAP_FAILED))
		return;
	/* The source of the write is a page of the same file that is not there yet. */
	EQ(OK(pwrite(fd, map + 16 * PAGE + 5, 3 * PAGE, 100)), 3 * PAGE);
	memcpy(want + 100, want + 16 * PAGE + 5, 3 * PAGE);
	FILE_IS("f", want, 32 * PAGE);
	/* And the target of a read. */
	munmap(map, 32 * PAGE);
	drop_caches();
	map = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (CHECK(map != MAP_FAILED)) {
		EQ(OK(pread(fd, map + 20 * PAGE, 2 * PAGE, 8 * PAGE)), 2 * PAGE);
		memcpy(want + 20 * PAGE, want + 8 * PAGE, 2 * PAGE);
		FILE_IS("f", want, 32 * PAGE);
		munmap(map, 32 * PAGE);
	}
	close(fd);
	free(want);
}

POSIX_MAIN(CHECK_ENTRY(shared_mapping_is_the_file), CHECK_ENTRY(stores_stay_in_the_file),
	   CHECK_ENTRY(other_processes_see_stores), CHECK_ENTRY(private_mapping_keeps_its_stores),
	   CHECK_ENTRY(mapping_needs_the_right_descriptor), CHECK_ENTRY(end_of_file_in_a_mapping),
	   CHECK_ENTRY(punching_shows_in_the_mapping), CHECK_ENTRY(faults_find_cold_pages),
	   CHECK_ENTRY(writing_from_a_mapping_of_the_file_itself))
