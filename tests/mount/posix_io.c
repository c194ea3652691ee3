/* Bytes: reads and writes of all shapes, appending, truncation, and the calls that copy. */
#include "posix.h"

#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

enum { MIB = 1 << 20 };

/* Sizes around what file systems and caches are built of: bytes, inline data, pages, FUSE
 * requests (128 KiB, 1 MiB) and extents. */
static const size_t odd_sizes[] = {1,	   2,	   511,	    512,    4095,    4096,	  4097,
				   8191,   65535,  65537,   131071, 131072,  131073,	  262145,
				   524289, 999999, MIB - 1, MIB,    MIB + 1, 3 * MIB + 17};
enum { NR_SIZES = sizeof(odd_sizes) / sizeof(odd_sizes[0]) };

static void every_size_comes_back(void)
{
	char *want = must_alloc(4 * MIB);
	char name[16];
	int fd;

	for (int i = 0; i < NR_SIZES; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fill_bytes(want, odd_sizes[i], i);
		fd = OK(open(name, O_WRONLY | O_CREAT, 0644));
		EQ(OK(write(fd, want, odd_sizes[i])), odd_sizes[i]);
		close(fd);
		EQ(STAT(name).st_size, odd_sizes[i]);
	}
	drop_caches();
	for (int i = 0; i < NR_SIZES; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fill_bytes(want, odd_sizes[i], i);
		FILE_IS(name, want, odd_sizes[i]);
	}
	free(want);
}

/* A file written in pieces of each size, at random places of a zero file. */
static void pieces_land_where_they_belong(void)
{
	enum { LEN = 2 * MIB + 77 };
	char *want = must_alloc(LEN), *piece = must_alloc(LEN);
	unsigned seed = 5;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	size_t len, off;

	OK(ftruncate(fd, LEN));
	for (int i = 0; i < 120; i++) {
		len = odd_sizes[rand_r(&seed) % (NR_SIZES - 3)];
		off = rand_r(&seed) % (LEN - len);
		fill_bytes(piece, len, 100 + i);
		memcpy(want + off, piece, len);
		EQ(OK(pwrite(fd, piece, len, off)), len);
		if (i % 20 == 19)
			OK(fdatasync(fd));
	}
	FILE_IS("f", want, LEN);
	close(fd);
	drop_caches();
	FILE_IS("f", want, LEN);
	free(want);
	free(piece);
}

static void offsets_move_with_the_bytes(void)
{
	/* Volatile, or the compiler warns of what is meant. */
	void *volatile wild = (void *)8;
	char buf[16] = "";
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

	EQ(OK(write(fd, "0123456789", 10)), 10);
	EQ(lseek(fd, 0, SEEK_CUR), 10);
	EQ(OK(read(fd, buf, 5)), 0);
	EQ(OK(lseek(fd, -4, SEEK_END)), 6);
	EQ(OK(read(fd, buf, 16)), 4);
	BYTES_ARE(buf, "6789", 4);
	EQ(OK(lseek(fd, -8, SEEK_CUR)), 2);
	EQ(OK(pread(fd, buf, 3, 7)), 3);
	EQ(lseek(fd, 0, SEEK_CUR), 2);
	EQ(OK(pwrite(fd, "X", 1, 0)), 1);
	EQ(lseek(fd, 0, SEEK_CUR), 2);
	FAILS(lseek(fd, -3, SEEK_CUR), EINVAL);
	FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
	FAILS(lseek(fd, 0, 99), EINVAL);
	FAILS(pread(fd, buf, 1, -1), EINVAL);
	FAILS(pwrite(fd, buf, 1, -1), EINVAL);
	EQ(OK(lseek(fd, 1000, SEEK_SET)), 1000);
	EQ(OK(read(fd, buf, 5)), 0);
	EQ(STAT("f").st_size, 10);
	EQ(OK(read(fd, buf, 0)), 0);
	EQ(OK(write(fd, buf, 0)), 0);
	EQ(STAT("f").st_size, 10);
	/* An address that is not ours. */
	FAILS(pread(fd, wild, 4, 0), EFAULT);
	FAILS(pwrite(fd, wild, 4, 0), EFAULT);
	TEXT_IS("f", "X123456789");
	close(fd);
}

static void writing_past_the_end_leaves_zeros(void)
{
	char *seen = must_alloc(3 * MIB);
	static const size_t gaps[] = {1, 100, 4096, 5000, 131072, MIB + 3};
	size_t end = 0;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

	for (size_t i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
		EQ(OK(pwrite(fd, "data", 4, end + gaps[i])), 4);
		EQ(FSTAT(fd).st_size, end + gaps[i] + 4);
		EQ(OK(pread(fd, seen, gaps[i] + 10, end)), gaps[i] + 4);
		ZEROS(seen, gaps[i]);
		BYTES_ARE(seen + gaps[i], "data", 4);
		end += gaps[i] + 4;
	}
	free(seen);
	close(fd);
}

static void truncation_cuts_and_extends_with_zeros(void)
{
	enum { LEN = 2 * MIB };
	char *want = must_alloc(LEN + MIB), *seen = must_alloc(LEN + MIB);
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

	fill_bytes(want, LEN, 9);
	for (int i = 0; i < NR_SIZES; i++) {
		size_t cut = odd_sizes[i];

		if (cut >= LEN)
			break;
		OK(ftruncate(fd, 0));
		EQ(OK(pwrite(fd, want, LEN, 0)), LEN);
		if (i % 2)
			OK(fsync(fd));
		OK(truncate("f", cut));
		EQ(STAT("f").st_size, cut);
		EQ(OK(pread(fd, seen, LEN, 0)), cut);
		BYTES_ARE(seen, want, cut);
		if (i % 3 == 0)
			OK(fsync(fd));
		/* What was cut off must not come back. */
		OK(ftruncate(fd, LEN + 5));
		EQ(OK(pread(fd, seen, LEN + MIB, 0)), LEN + 5);
		BYTES_ARE(seen, want, cut);
		ZEROS(seen + cut, LEN + 5 - cut);
		/* Nor by a write beyond the cut. */
		OK(ftruncate(fd, cut));
		EQ(OK(pwrite(fd, "x", 1, cut + 5000)), 1);
		EQ(OK(pread(fd, seen, LEN, 0)), cut + 5001);
		ZEROS(seen + cut, 5000);
	}
	close(fd);
	drop_caches();
	fd = OK(open("f", O_RDONLY));
	EQ(OK(pread(fd, seen, 100, 0)), 100);
	BYTES_ARE(seen, want, 100);
	close(fd);
	free(want);
	free(seen);
}

static void truncate_says_why_not(void)
{
	int fd;

	MAKE_TEXT("f", "x");
	OK(mkfifo("p", 0600));
	FAILS(truncate("f", -1), EINVAL);
	FAILS(truncate("p", 0), EINVAL);
	FAILS(truncate(".", 0), EISDIR);
	FAILS(truncate("none", 0), ENOENT);
	FAILS(truncate("f/x", 0), ENOTDIR);
	fd = OK(open("f", O_RDONLY));
	FAILS(ftruncate(fd, 0), EINVAL);
	close(fd);
	FAILS(ftruncate(fd, 0), EBADF);
	/* A terabyte of nothing. */
	OK(truncate("f", 1LL << 40));
	EQ(STAT("f").st_size, 1LL << 40);
	fd = OK(open("f", O_RDWR));
	EQ(OK(pwrite(fd, "end", 3, (1LL << 40) - 3)), 3);
	close(fd);
	drop_caches();
	fd = OK(open("f", O_RDONLY));
	{
		char buf[8] = "";

		EQ(OK(pread(fd, buf, 8, (1LL << 40) - 5)), 5);
		BYTES_ARE(buf, "\0\0end", 5);
		EQ(OK(pread(fd, buf, 1, 0)), 1);
		EQ(buf[0], 'x');
	}
	close(fd);
	CHECK(STAT("f").st_blocks < 1 << 16);
}

static void size_limit_gives_efbig(void)
{
	pid_t pid = child_begin();

	if (pid == 0) {
		struct rlimit limit = {10000, 10000};
		char buf[4096] = "";
		int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

		signal(SIGXFSZ, SIG_IGN);
		OK(setrlimit(RLIMIT_FSIZE, &limit));
		EQ(OK(pwrite(fd, buf, 4096, 8000)), 2000);
		FAILS(pwrite(fd, buf, 1, 10000), EFBIG);
		FAILS(ftruncate(fd, 10001), EFBIG);
		FAILS(fallocate(fd, 0, 0, 20000), EFBIG);
		OK(ftruncate(fd, 10000));
		EQ(FSTAT(fd).st_size, 10000);
		_exit(0);
	}
	child_wait(__FILE__, __LINE__, pid);
}

static void appending_goes_to_the_end(void)
{
	char buf[32] = "";
	int a = OK(open("f", O_RDWR | O_CREAT | O_APPEND, 0644));
	int b = OK(open("f", O_RDWR));
	char text[] = "rwf";
	struct iovec iov = {text, 3};

	OK(write(a, "one", 3));
	OK(lseek(a, 0, SEEK_SET));
	OK(write(a, "two", 3));
	EQ(lseek(a, 0, SEEK_CUR), 6);
	OK(pwrite(b, "XXXX", 4, 10));
	OK(write(a, "end", 3));
	EQ(OK(pread(a, buf, sizeof(buf), 0)), 17);
	BYTES_ARE(buf, "onetwo\0\0\0\0XXXXend", 17);
	/* On Linux even pwrite appends here. */
	OK(pwrite(a, "p", 1, 0));
	EQ(FSTAT(a).st_size, 18);
	/* The flag comes and goes with fcntl, and for one write with RWF_APPEND. */
	OK(fcntl(a, F_SETFL, 0));
	OK(pwrite(a, "O", 1, 0));
	EQ(FSTAT(a).st_size, 18);
	OK(fcntl(b, F_SETFL, O_APPEND));
	OK(lseek(b, 0, SEEK_SET));
	OK(write(b, "b", 1));
	EQ(FSTAT(a).st_size, 19);
	OK(pwritev2(a, &iov, 1, 0, RWF_APPEND));
	EQ(FSTAT(a).st_size, 22);
	EQ(OK(pread(a, buf, sizeof(buf), 0)), 22);
	BYTES_ARE(buf, "Onetwo\0\0\0\0XXXXendpbrwf", 22);
	/* After somebody else's truncation the end is there. */
	OK(truncate("f", 3));
	OK(write(b, "!", 1));
	EQ(STAT("f").st_size, 4);
	close(a);
	close(b);
}

/* Records of several processes stand whole, each once, in any order. */
static void parallel_appenders_do_not_overlap(void)
{
	enum { NR_PROCS = 4, NR_RECORDS = 500, RECORD = 137 };
	char *all = must_alloc(NR_PROCS * NR_RECORDS * RECORD), rec[RECORD];
	bool *seen = must_alloc(NR_PROCS * NR_RECORDS);
	pid_t pids[NR_PROCS];
	size_t off;
	long bad = 0, id;
	int fd;

	for (int p = 0; p < NR_PROCS; p++) {
		pids[p] = child_begin();
		if (pids[p])
			continue;
		fd = OK(open("f", O_WRONLY | O_CREAT | O_APPEND, 0644));
		for (int i = 0; i < NR_RECORDS; i++) {
			memset(rec, 'a' + p, sizeof(rec));
			rec[snprintf(rec, sizeof(rec), "%06d", p * NR_RECORDS + i)] = 'a' + p;
			EQ(write(fd, rec, RECORD), RECORD);
		}
		_exit(0);
	}
	for (int p = 0; p < NR_PROCS; p++)
		child_wait(__FILE__, __LINE__, pids[p]);
	EQ(STAT("f").st_size, NR_PROCS * NR_RECORDS * RECORD);
	fd = OK(open("f", O_RDONLY));
	EQ(OK(read(fd, all, NR_PROCS * NR_RECORDS * RECORD)), NR_PROCS * NR_RECORDS * RECORD);
	close(fd);
	for (off = 0; off < (size_t)NR_PROCS * NR_RECORDS * RECORD; off += RECORD) {
		id = strtol(all + off, NULL, 10);
		if (id < 0 || id >= NR_PROCS * NR_RECORDS || seen[id]) {
			bad++;
			continue;
		}
		seen[id] = true;
		memset(rec, 'a' + id / NR_RECORDS, sizeof(rec));
		rec[snprintf(rec, sizeof(rec), "%06ld", id)] = 'a' + id / NR_RECORDS;
		bad += memcmp(rec, all + off, RECORD) != 0;
	}
	EQ(bad, 0);
	free(all);
	free(seen);
}

static void vectors(void)
{
	char *want = must_alloc(100000), *seen = must_alloc(100000);
	struct iovec iov[50];
	volatile int too_few = -1;
	size_t off = 0;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

	fill_bytes(want, 100000, 12);
	for (int i = 0; i < 50; i++) {
		iov[i] = (struct iovec){want + off, (size_t)i * 73 % 3001};
		off += iov[i].iov_len;
	}
	EQ(OK(writev(fd, iov, 50)), off);
	FILE_IS("f", want, off);
	for (int i = 0; i < 50; i++)
		iov[i].iov_base = seen + ((char *)iov[i].iov_base - want);
	EQ(OK(preadv(fd, iov, 50, 0)), off);
	BYTES_ARE(seen, want, off);
	EQ(OK(lseek(fd, 10, SEEK_SET)), 10);
	iov[0] = (struct iovec){seen, 5};
	EQ(OK(preadv2(fd, iov, 1, -1, 0)), 5);
	BYTES_ARE(seen, want + 10, 5);
	EQ(lseek(fd, 0, SEEK_CUR), 15);
	iov[0] = (struct iovec){want + 500, 200};
	EQ(OK(pwritev2(fd, iov, 1, 50, RWF_DSYNC)), 200);
	memmove(want + 50, want + 500, 200);
	EQ(OK(pwritev2(fd, iov, 1, 1000, RWF_SYNC)), 200);
	memmove(want + 1000, want + 500, 200);
	FILE_IS("f", want, off);
	FAILS(pwritev2(fd, iov, 1, 0, 1 << 30), EOPNOTSUPP);
	FAILS(writev(fd, iov, too_few), EINVAL);
	EQ(OK(writev(fd, iov, 0)), 0);
	close(fd);
	free(want);
	free(seen);
}

static void copy_file_range_copies(void)
{
	enum { LEN = 3 * MIB + 123 };
	static const struct {
		size_t from, to, len;
	} parts[] = {{0, 0, 4096},
		     {1, 7, 4096},
		     {4095, 4097, 100000},
		     {MIB, 0, MIB},
		     {0, 2 * MIB + 5, 70000},
		     {12345, 54321, MIB + 1},
		     {LEN - 10, 100, 10}};
	char *src = must_alloc(LEN), *want = must_alloc(2 * LEN);
	off_t in, out;
	int a, b;
	ssize_t n;
	size_t done;

	fill_bytes(src, LEN, 21);
	MAKE_FILE("a", src, LEN);
	fill_bytes(want, LEN, 22);
	MAKE_FILE("b", want, LEN);
	a = OK(open("a", O_RDWR));
	b = OK(open("b", O_RDWR));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		for (done = 0; done < parts[i].len; done += n) {
			in = parts[i].from + done;
			out = parts[i].to + done;
			n = OK(copy_file_range(a, &in, b, &out, parts[i].len - done, 0));
			if (n <= 0)
				break;
			EQ(in, parts[i].from + done + n);
			EQ(out, parts[i].to + done + n);
		}
		EQ(done, parts[i].len);
		memcpy(want + parts[i].to, src + parts[i].from, parts[i].len);
	}
	FILE_IS("b", want, LEN);
	FILE_IS("a", src, LEN);
	/* Later changes of one are not seen in the other: shared extents are copied on write. */
	EQ(OK(pwrite(a, "CHANGED", 7, MIB + 10)), 7);
	FILE_IS("b", want, LEN);
	EQ(OK(pwrite(b, "changed", 7, 20)), 7);
	memcpy(want + 20, "changed", 7);
	memcpy(src + MIB + 10, "CHANGED", 7);
	FILE_IS("a", src, LEN);
	/* The whole, with the descriptors' own offsets, and at the end of the source nothing. */
	OK(ftruncate(b, 0));
	OK(lseek(a, 0, SEEK_SET));
	OK(lseek(b, 0, SEEK_SET));
	for (done = 0; (n = OK(copy_file_range(a, NULL, b, NULL, 1 << 30, 0))) > 0; done += n) {
	}
	EQ(done, LEN);
	EQ(lseek(b, 0, SEEK_CUR), LEN);
	FILE_IS("b", src, LEN);
	OK(unlink("a"));
	OK(ftruncate(a, 0));
	close(a);
	drop_caches();
	FILE_IS("b", src, LEN);
	close(b);
	free(src);
	free(want);
}

static void copy_file_range_within_one_file(void)
{
	char *want = must_alloc(MIB);
	off_t in = 0, out = 500000;
	ssize_t n;
	int fd, rd;

	fill_bytes(want, 500000, 23);
	MAKE_FILE("f", want, 500000);
	fd = OK(open("f", O_RDWR));
	/* It may copy less, but something. */
	for (size_t done = 0; done < 100000; done += n) {
		n = OK(copy_file_range(fd, &in, fd, &out, 100000 - done, 0));
		if (n <= 0)
			break;
	}
	memcpy(want + 500000, want, 100000);
	FILE_IS("f", want, 600000);
	in = 10;
	out = 100;
	FAILS(copy_file_range(fd, &in, fd, &out, 200, 0), EINVAL);
	out = 10;
	FAILS(copy_file_range(fd, &in, fd, &out, 1, 0), EINVAL);
	FAILS(copy_file_range(fd, &in, fd, &out, 1, 1), EINVAL);
	rd = OK(open(".", O_RDONLY));
	FAILS(copy_file_range(rd, NULL, fd, NULL, 10, 0), EISDIR);
	close(rd);
	in = 600000;
	out = 0;
	EQ(OK(copy_file_range(fd, &in, fd, &out, 1000, 0)), 0);
	FILE_IS("f", want, 600000);
	close(fd);
	free(want);
}

static void sendfile_and_splice(void)
{
	enum { LEN = 300000 };
	char *want = must_alloc(LEN);
	int in, out, fds[2];
	size_t done;
	ssize_t n;
	off_t off = 0;

	fill_bytes(want, LEN, 31);
	MAKE_FILE("a", want, LEN);
	in = OK(open("a", O_RDONLY));
	out = OK(open("b", O_RDWR | O_CREAT, 0644));
	while ((n = OK(sendfile(out, in, &off, LEN))) > 0) {
	}
	EQ(off, LEN);
	FILE_IS("b", want, LEN);
	OK(ftruncate(out, 0));
	OK(lseek(out, 0, SEEK_SET));
	OK(pipe(fds));
	for (done = 0; done < LEN;) {
		n = OK(splice(in, NULL, fds[1], NULL, 60000, 0));
		if (n <= 0)
			break;
		while (n > 0) {
			ssize_t m = OK(splice(fds[0], NULL, out, NULL, n, SPLICE_F_MOVE));

			if (m <= 0)
				break;
			n -= m;
			done += m;
		}
	}
	EQ(done, LEN);
	FILE_IS("b", want, LEN);
	/* A page spliced into a pipe may be given away, and the file must not mind. */
	off = 4096;
	EQ(OK(splice(in, &off, fds[1], NULL, 4096, 0)), 4096);
	EQ(OK(pwrite(out, "x", 1, 0)), 1);
	close(fds[0]);
	close(fds[1]);
	close(in);
	close(out);
	FILE_IS("a", want, LEN);
	free(want);
}

/* One process writes, others read: what is below the size is written. */
static void readers_see_whole_writes(void)
{
	enum { REC = 8192, NR = 200 };
	char *rec = must_alloc(REC), *seen = must_alloc(REC);
	long torn = 0;
	ssize_t n;
	pid_t pid;
	int fd, status;

	fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	pid = child_begin();
	if (pid == 0) {
		for (int i = 0; i < NR; i++) {
			memset(rec, 1 + i % 250, REC);
			EQ(pwrite(fd, rec, REC, (off_t)i * REC), REC);
		}
		_exit(0);
	}
	do {
		struct stat st = FSTAT(fd);
		off_t last = st.st_size / REC - 1;

		status = waitpid(pid, NULL, WNOHANG);
		if (last < 0)
			continue;
		n = OK(pread(fd, seen, REC, last * REC));
		/* While a write is under way, FUSE's stat passes on the server's size, but its
		 * read may still go by the kernel's older one and end early. */
		if (fs_is(FUSE_SUPER_MAGIC) && n == 0)
			continue;
		EQ(n, REC);
		memset(rec, 1 + last % 250, REC);
		torn += memcmp(rec, seen, REC) != 0;
	} while (status == 0);
	EQ(torn, 0);
	close(fd);
	free(rec);
	free(seen);
}

POSIX_MAIN(CHECK_ENTRY(every_size_comes_back), CHECK_ENTRY(pieces_land_where_they_belong),
	   CHECK_ENTRY(offsets_move_with_the_bytes), CHECK_ENTRY(writing_past_the_end_leaves_zeros),
	   CHECK_ENTRY(truncation_cuts_and_extends_with_zeros), CHECK_ENTRY(truncate_says_why_not),
	   CHECK_ENTRY(size_limit_gives_efbig), CHECK_ENTRY(appending_goes_to_the_end),
	   CHECK_ENTRY(parallel_appenders_do_not_overlap), CHECK_ENTRY(vectors),
	   CHECK_ENTRY(copy_file_range_copies), CHECK_ENTRY(copy_file_range_within_one_file),
	   CHECK_ENTRY(sendfile_and_splice), CHECK_ENTRY(readers_see_whole_writes))
