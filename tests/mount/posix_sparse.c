/* Sparse files: SEEK_HOLE and SEEK_DATA, fallocate in all its modes, st_blocks. */
#include "posix.h"

enum { MIB = 1 << 20 };

/* A file system may report holes in units of its own, but not coarser than this. */
enum { COARSE = 2 * MIB };

static void big_leading_hole_is_found(void)
{
	char *data = must_alloc(MIB);
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	const off_t at = 64 * MIB, end = at + MIB;
	off_t seen;

	fill_bytes(data, MIB, 1);
	EQ(OK(pwrite(fd, data, MIB, at)), MIB);
	/* Before and after the bytes reach the disk. */
	for (int turn = 0; turn < 2; turn++) {
		EQ(OK(lseek(fd, 0, SEEK_HOLE)), 0);
		seen = OK(lseek(fd, 0, SEEK_DATA));
		CHECKF(seen <= at && seen >= at - COARSE, "data at %lld, reported at %lld",
		       (long long)at, (long long)seen);
		EQ(OK(lseek(fd, at, SEEK_DATA)), at);
		EQ(OK(lseek(fd, at + 5000, SEEK_DATA)), at + 5000);
		EQ(OK(lseek(fd, at, SEEK_HOLE)), end);
		EQ(OK(lseek(fd, end - 1, SEEK_HOLE)), end);
		EQ(OK(lseek(fd, end - 1, SEEK_DATA)), end - 1);
		EQ(OK(lseek(fd, 12345, SEEK_HOLE)), 12345);
		FAILS(lseek(fd, end, SEEK_DATA), ENXIO);
		FAILS(lseek(fd, end, SEEK_HOLE), ENXIO);
		FAILS(lseek(fd, end + 100, SEEK_HOLE), ENXIO);
		FAILS(lseek(fd, -1, SEEK_DATA), ENXIO);
		FAILS(lseek(fd, -1, SEEK_HOLE), ENXIO);
		CHECKF(FSTAT(fd).st_blocks < 16 * MIB / 512, "the hole takes %lld blocks",
		       (long long)FSTAT(fd).st_blocks);
		OK(fsync(fd));
	}
	close(fd);
	free(data);
}

static void trailing_hole_and_empty_file(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	char *data = must_alloc(MIB);
	off_t seen;

	FAILS(lseek(fd, 0, SEEK_DATA), ENXIO);
	FAILS(lseek(fd, 0, SEEK_HOLE), ENXIO);
	OK(ftruncate(fd, 32 * MIB));
	EQ(OK(lseek(fd, 0, SEEK_HOLE)), 0);
	FAILS(lseek(fd, 0, SEEK_DATA), ENXIO);
	fill_bytes(data, MIB, 2);
	OK(pwrite(fd, data, MIB, 0));
	EQ(OK(lseek(fd, 0, SEEK_DATA)), 0);
	seen = OK(lseek(fd, 0, SEEK_HOLE));
	CHECK(seen >= MIB && seen <= MIB + COARSE);
	FAILS(lseek(fd, 16 * MIB, SEEK_DATA), ENXIO);
	EQ(OK(lseek(fd, 16 * MIB, SEEK_HOLE)), 16 * MIB);
	/* A file without holes has one at its end. */
	OK(ftruncate(fd, MIB));
	EQ(OK(lseek(fd, 0, SEEK_HOLE)), MIB);
	close(fd);
	free(data);
}

/* Walk the map of @fd of @len bytes; every nonzero byte must lie in reported data, the regions
 * must go forward and cover all. Returns the bytes reported as data. */
static off_t walk_map(int fd, const char *model, off_t len)
{
	off_t pos = 0, data, hole, total = 0;

	while (pos < len) {
		data = lseek(fd, pos, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			data = len;
		if (!CHECKF(data >= pos && data <= len, "SEEK_DATA of %lld gives %lld (%m)",
			    (long long)pos, (long long)data))
			return total;
		for (off_t i = pos; i < data; i++) {
			if (!model[i])
				continue;
			CHECKF(false, "byte %lld is data, reported in the hole %lld-%lld",
			       (long long)i, (long long)pos, (long long)data);
			return total;
		}
		if (data == len)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		if (!CHECKF(hole > data && hole <= len, "SEEK_HOLE of %lld gives %lld (%m)",
			    (long long)data, (long long)hole))
			return total;
		total += hole - data;
		pos = hole;
	}
	return total;
}

static void data_is_never_reported_as_a_hole(void)
{
	enum { LEN = 24 * MIB };
	char *model = must_alloc(LEN), *piece = must_alloc(200000);
	unsigned seed = 77;
	size_t off, len;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

	OK(ftruncate(fd, LEN));
	for (int i = 0; i < 60; i++) {
		off = (size_t)rand_r(&seed) % (LEN - 200000);
		len = 1 + rand_r(&seed) % (i % 3 ? 5000 : 199999);
		memset(piece, 1 + i, len);
		if (i % 5 == 4) {
			OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len));
			memset(model + off, 0, len);
		} else {
			EQ(OK(pwrite(fd, piece, len, off)), len);
			memcpy(model + off, piece, len);
		}
		if (i % 10 == 3)
			OK(fsync(fd));
		walk_map(fd, model, LEN);
	}
	FILE_IS("f", model, LEN);
	OK(fsync(fd));
	drop_caches();
	walk_map(fd, model, LEN);
	FILE_IS("f", model, LEN);
	/* And by mapping, which no write call announces. */
	{
		char *map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		if (CHECK(map != MAP_FAILED)) {
			for (int i = 0; i < 20; i++) {
				off = (size_t)rand_r(&seed) % LEN;
				map[off] = model[off] = 9;
			}
			OK(msync(map, LEN, MS_SYNC));
			walk_map(fd, model, LEN);
			munmap(map, LEN);
		}
	}
	close(fd);
	free(model);
	free(piece);
}

static void fallocate_extends_with_zeros(void)
{
	char *want = must_alloc(2 * MIB);
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

	fill_bytes(want, 5000, 3);
	OK(pwrite(fd, want, 5000, 0));
	OK(fallocate(fd, 0, 0, 4000));
	EQ(FSTAT(fd).st_size, 5000);
	OK(fallocate(fd, 0, 2000, MIB));
	EQ(FSTAT(fd).st_size, 2000 + MIB);
	FILE_IS("f", want, 2000 + MIB);
	OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 2 * MIB));
	EQ(FSTAT(fd).st_size, 2000 + MIB);
	FILE_IS("f", want, 2000 + MIB);
	/* What was allocated beyond the end reads as zeros once the end moves there. */
	OK(ftruncate(fd, 2 * MIB));
	FILE_IS("f", want, 2 * MIB);
	fill_bytes(want + MIB, 100, 4);
	OK(pwrite(fd, want + MIB, 100, MIB));
	FILE_IS("f", want, 2 * MIB);
	EQ(posix_fallocate(fd, 0, 3 * MIB), 0);
	EQ(FSTAT(fd).st_size, 3 * MIB);
	close(fd);
	free(want);
}

static void fallocate_says_why_not(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644)), fds[2];

	FAILS(fallocate(fd, 0, 0, 0), EINVAL);
	FAILS(fallocate(fd, 0, -1, 10), EINVAL);
	FAILS(fallocate(fd, 0, 0, -1), EINVAL);
	FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP);
	FAILS(fallocate(fd, 1 << 20, 0, 4096), EOPNOTSUPP);
	FAILS(fallocate(fd, 0, 1LL << 62, 1LL << 62), EFBIG);
	EQ(FSTAT(fd).st_size, 0);
	close(fd);
	fd = OK(open("f", O_RDONLY));
	FAILS(fallocate(fd, 0, 0, 10), EBADF);
	close(fd);
	OK(pipe(fds));
	FAILS(fallocate(fds[1], 0, 0, 10), ESPIPE);
	close(fds[0]);
	close(fds[1]);
}

static void punched_ranges_read_as_zeros(void)
{
	static const struct {
		off_t off, len;
	} cuts[] = {{0, 4096},	      {10000, 1},	  {20000, 5000},
		    {MIB - 1, 2},     {MIB, MIB},	  {3 * MIB - 77, 200000},
		    {131072, 131072}, {4 * MIB - 10, 100}};
	char *want = must_alloc(4 * MIB);
	blkcnt_t before;
	int fd;

	fill_bytes(want, 4 * MIB, 5);
	MAKE_FILE("f", want, 4 * MIB);
	fd = OK(open("f", O_RDWR));
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		off_t len = cuts[i].len;

		OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, cuts[i].off, len));
		if (cuts[i].off + len > 4 * MIB)
			len = 4 * MIB - cuts[i].off;
		memset(want + cuts[i].off, 0, len);
		EQ(FSTAT(fd).st_size, 4 * MIB);
		FILE_IS("f", want, 4 * MIB);
	}
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8 * MIB, MIB));
	EQ(FSTAT(fd).st_size, 4 * MIB);
	OK(fsync(fd));
	drop_caches();
	FILE_IS("f", want, 4 * MIB);
	/* Space comes back. */
	before = FSTAT(fd).st_blocks;
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4 * MIB));
	OK(fsync(fd));
	CHECKF(FSTAT(fd).st_blocks < before / 2, "%lld blocks before, %lld after",
	       (long long)before, (long long)FSTAT(fd).st_blocks);
	FAILS(lseek(fd, 0, SEEK_DATA), ENXIO);
	memset(want, 0, 4 * MIB);
	FILE_IS("f", want, 4 * MIB);
	/* Into the hole again. */
	OK(pwrite(fd, "back", 4, 2 * MIB));
	memcpy(want + 2 * MIB, "back", 4);
	FILE_IS("f", want, 4 * MIB);
	close(fd);
	free(want);
}

static void zeroed_ranges(void)
{
	char *want = must_alloc(4 * MIB);
	int fd;

	fill_bytes(want, MIB, 6);
	MAKE_FILE("f", want, MIB);
	fd = OK(open("f", O_RDWR));
	/* tmpfs has no zero range; on the others it must work. */
	if (fs_is(TMPFS_MAGIC)) {
		FAILS(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 10), EOPNOTSUPP);
		close(fd);
		free(want);
		return;
	}
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 1000, 5000));
	memset(want + 1000, 0, 5000);
	FILE_IS("f", want, MIB);
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 4096, 8192));
	memset(want + 4096, 0, 8192);
	FILE_IS("f", want, MIB);
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, MIB - 100, MIB));
	memset(want + MIB - 100, 0, 100);
	EQ(FSTAT(fd).st_size, MIB);
	FILE_IS("f", want, MIB);
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, MIB - 200, MIB));
	memset(want + MIB - 200, 0, 200);
	EQ(FSTAT(fd).st_size, 2 * MIB - 200);
	FILE_IS("f", want, 2 * MIB - 200);
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 3 * MIB, MIB));
	FILE_IS("f", want, 4 * MIB);
	OK(fsync(fd));
	drop_caches();
	FILE_IS("f", want, 4 * MIB);
	close(fd);
	free(want);
}

/* 8 MiB that do not compress take about that; nothing takes nothing. */
static void blocks_are_plausible(void)
{
	char *data = must_alloc(8 * MIB);
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	blkcnt_t blocks;

	EQ(FSTAT(fd).st_blocks, 0);
	CHECK(FSTAT(fd).st_blksize >= 512 && FSTAT(fd).st_blksize <= 64 * MIB);
	fill_bytes(data, 8 * MIB, 8);
	OK(pwrite(fd, data, 8 * MIB, 0));
	OK(fsync(fd));
	blocks = FSTAT(fd).st_blocks;
	CHECKF(blocks >= 8 * MIB / 512 && blocks <= 24 * MIB / 512, "8 MiB take %lld blocks",
	       (long long)blocks);
	OK(ftruncate(fd, MIB));
	OK(fsync(fd));
	CHECK(FSTAT(fd).st_blocks <= 4 * MIB / 512);
	CHECK(FSTAT(fd).st_blocks >= MIB / 512);
	OK(ftruncate(fd, 0));
	OK(fsync(fd));
	CHECK(FSTAT(fd).st_blocks <= 16);
	OK(ftruncate(fd, 100 * MIB));
	OK(fsync(fd));
	CHECK(FSTAT(fd).st_blocks <= 16);
	close(fd);
	free(data);
}

/* A file may be sparse in its millions: many small islands. */
static void many_islands(void)
{
	enum { NR = 500, STEP = 256 * 1024 };
	char name[32], seen[32];
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

	for (int i = NR - 1; i >= 0; i--) {
		snprintf(name, sizeof(name), "island %d", i);
		OK(pwrite(fd, name, strlen(name), (off_t)i * STEP + i));
	}
	OK(fsync(fd));
	drop_caches();
	for (int i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "island %d", i);
		EQ(OK(pread(fd, seen, strlen(name), (off_t)i * STEP + i)), strlen(name));
		BYTES_ARE(seen, name, strlen(name));
		CHECK(lseek(fd, (off_t)i * STEP + i, SEEK_DATA) == (off_t)i * STEP + i);
	}
	close(fd);
}

POSIX_MAIN(CHECK_ENTRY(big_leading_hole_is_found), CHECK_ENTRY(trailing_hole_and_empty_file),
	   CHECK_ENTRY(data_is_never_reported_as_a_hole), CHECK_ENTRY(fallocate_extends_with_zeros),
	   CHECK_ENTRY(fallocate_says_why_not), CHECK_ENTRY(punched_ranges_read_as_zeros),
	   CHECK_ENTRY(zeroed_ranges), CHECK_ENTRY(blocks_are_plausible), CHECK_ENTRY(many_islands))
