/* Listing directories: completeness, stable positions while names come and go, d_type. */
#include "posix.h"

#include <sys/syscall.h>

/* A raw getdents64 record; libc's readdir hides where a buffer ends. */
struct raw_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

static int nr_names(void)
{
	return large ? 100000 : 5000;
}

static void name_of(char *name, size_t size, int i)
{
	/* Lengths differ, so that records do not all fill buffers alike. */
	snprintf(name, size, "name-%d-%.*s", i, i % 23, "xxxxxxxxxxxxxxxxxxxxxxx");
}

/* The number in a name made by name_of, -1 for others. */
static int number_of(const char *name)
{
	return strncmp(name, "name-", 5) ? -1 : atoi(name + 5);
}

static void make_names(const char *dir, int nr)
{
	char path[128], name[64];
	int fd;

	OK(mkdir(dir, 0755));
	for (int i = 0; i < nr; i++) {
		name_of(name, sizeof(name), i);
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0) {
			CHECKF(false, "cannot create %s: %m", path);
			return;
		}
		close(fd);
	}
}

static void every_name_is_listed_once(void)
{
	int nr = nr_names(), n, extra = 0, dots = 0;
	uint8_t *seen = must_alloc(nr);
	struct dirent *de;
	long wrong = 0;
	double start;
	DIR *dir;

	make_names("d", nr);
	for (int turn = 0; turn < 2; turn++) {
		memset(seen, 0, nr);
		extra = dots = 0;
		wrong = 0;
		start = seconds_now();
		dir = opendir("d");
		if (!CHECK(dir != NULL))
			break;
		errno = 0;
		while ((de = readdir(dir))) {
			n = number_of(de->d_name);
			if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
				dots++;
			else if (n < 0 || n >= nr)
				extra++;
			else
				seen[n]++;
		}
		EQ(errno, 0);
		for (int i = 0; i < nr; i++)
			wrong += seen[i] != 1;
		EQ(wrong, 0);
		EQ(extra, 0);
		EQ(dots, 2);
		closedir(dir);
		CHECKF(seconds_now() - start < 60, "listing %d names took %.1f s", nr,
		       seconds_now() - start);
		drop_caches();
	}
	free(seen);
	/* And gone again, while being listed: rm -r in one pass. */
	dir = opendir("d");
	if (CHECK(dir != NULL)) {
		while ((de = readdir(dir)))
			if (number_of(de->d_name) >= 0)
				OK(unlinkat(dirfd(dir), de->d_name, 0));
		closedir(dir);
	}
	OK(rmdir("d"));
}

/* A name present all the time is listed exactly once, whatever happens to others meanwhile. */
static void names_that_stay_are_neither_missed_nor_doubled(void)
{
	int nr = nr_names() / 2, n;
	uint8_t *seen = must_alloc(nr);
	char path[128], name[64], buf[700];
	unsigned seed = 9;
	long got, wrong = 0;
	int fd, turn = 0;

	make_names("d", nr);
	/* Every third is removed on the way, and new ones come; small buffers make many turns. */
	fd = OK(open("d", O_RDONLY | O_DIRECTORY));
	while ((got = OK(syscall(SYS_getdents64, fd, buf, sizeof(buf)))) > 0) {
		for (long pos = 0; pos < got;) {
			struct raw_dirent *de = (struct raw_dirent *)(buf + pos);

			n = number_of(de->name);
			if (n >= 0 && n < nr)
				seen[n]++;
			pos += de->len;
		}
		for (int i = 0; i < 8; i++) {
			name_of(name, sizeof(name), rand_r(&seed) % nr / 3 * 3);
			snprintf(path, sizeof(path), "d/%s", name);
			if (unlink(path))
				EQ(errno, ENOENT);
		}
		snprintf(path, sizeof(path), "d/new-%d", turn++);
		close(OK(open(path, O_CREAT | O_WRONLY, 0644)));
		if (turn % 2) {
			char to[128];

			snprintf(to, sizeof(to), "d/renamed-%d", turn);
			OK(rename(path, to));
		}
	}
	close(fd);
	CHECK(turn > 10);
	for (int i = 0; i < nr; i++)
		wrong += i % 3 ? seen[i] != 1 : seen[i] > 1;
	EQ(wrong, 0);
	free(seen);
}

/* The same against a second process that works without pause. */
static void listing_beside_a_busy_neighbour(void)
{
	int nr = 1000, n;
	uint8_t *seen = must_alloc(nr);
	struct dirent *de;
	char name[32];
	long wrong = 0;
	pid_t pid;
	DIR *dir;

	make_names("d", nr);
	pid = fork();
	if (pid == 0) {
		for (unsigned i = 0;; i++) {
			snprintf(name, sizeof(name), "d/busy-%u", i % 300);
			if (i % 2)
				unlink(name);
			else
				close(open(name, O_CREAT | O_WRONLY, 0644));
			if (i % 7 == 0)
				rename(name, "d/busy-moved");
		}
	}
	for (int turn = 0; turn < 30; turn++) {
		memset(seen, 0, nr);
		dir = opendir("d");
		if (!CHECK(dir != NULL))
			break;
		while ((de = readdir(dir))) {
			n = number_of(de->d_name);
			if (n >= 0 && n < nr)
				seen[n]++;
		}
		closedir(dir);
		for (int i = 0; i < nr; i++)
			wrong += seen[i] != 1;
	}
	EQ(wrong, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	free(seen);
}

/* telldir's value leads back to the same place, in any order, also after names have changed. */
static void positions_are_stable(void)
{
	enum { NR = 600 };
	char(*names)[256] = must_alloc((NR + 2) * 256);
	long *positions = must_alloc((NR + 3) * sizeof(long));
	struct dirent *de;
	unsigned seed = 4;
	int nr = 0, pick;
	DIR *dir;

	make_names("d", NR);
	dir = opendir("d");
	if (!CHECK(dir != NULL))
		return;
	positions[0] = telldir(dir);
	while (nr < NR + 2 && (de = readdir(dir))) {
		snprintf(names[nr++], 256, "%s", de->d_name);
		positions[nr] = telldir(dir);
	}
	EQ(nr, NR + 2);
	CHECK(readdir(dir) == NULL);
	for (int i = 0; i < 300; i++) {
		pick = rand_r(&seed) % nr;
		seekdir(dir, positions[pick]);
		de = readdir(dir);
		CHECKF(de && !strcmp(de->d_name, names[pick]), "position %d: expected %s, seen %s",
		       pick, names[pick], de ? de->d_name : "the end");
	}
	seekdir(dir, positions[nr]);
	CHECK(readdir(dir) == NULL);
	/* Half of the names go, others come: what is left is still found where it was. */
	for (int i = 0; i < nr; i++)
		if (number_of(names[i]) % 2 == 1)
			OK(unlinkat(dirfd(dir), names[i], 0));
	for (int i = 0; i < 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "d/more-%d", i);
		MAKE_TEXT(name, "");
	}
	for (int i = 0; i < nr; i++) {
		if (number_of(names[i]) % 2 == 1)
			continue;
		rewinddir(dir);
		seekdir(dir, positions[i]);
		/* A new name may stand between. */
		while ((de = readdir(dir)) && number_of(de->d_name) < 0 && de->d_name[0] != '.') {
		}
		CHECKF(de && !strcmp(de->d_name, names[i]), "position %d: expected %s, seen %s", i,
		       names[i], de ? de->d_name : "the end");
	}
	closedir(dir);
	free(names);
	free(positions);
}

static void types_and_numbers_agree_with_stat(void)
{
	static const struct {
		const char *name;
		int type;
	} kinds[] = {{"reg", DT_REG},
		     {"dir", DT_DIR},
		     {"lnk", DT_LNK},
		     {"fifo", DT_FIFO},
		     {"sock", DT_SOCK}};
	struct dirent *de;
	int nr = 0;
	DIR *dir;

	OK(mkdir("d", 0755));
	OK(chdir("d"));
	MAKE_TEXT("reg", "");
	OK(mkdir("dir", 0755));
	OK(symlink("reg", "lnk"));
	OK(mkfifo("fifo", 0600));
	OK(mknod("sock", S_IFSOCK | 0600, 0));
	if (geteuid() == 0) {
		OK(mknod("chr", S_IFCHR | 0600, makedev(1, 3)));
		OK(mknod("blk", S_IFBLK | 0600, makedev(7, 0)));
	}
	for (int turn = 0; turn < 2; turn++) {
		dir = opendir(".");
		if (!CHECK(dir != NULL))
			return;
		nr = 0;
		while ((de = readdir(dir))) {
			EQ(de->d_ino, STAT(de->d_name).st_ino);
			if (!strcmp(de->d_name, "chr"))
				EQ(de->d_type, DT_CHR);
			if (!strcmp(de->d_name, "blk"))
				EQ(de->d_type, DT_BLK);
			if (de->d_name[0] == '.')
				EQ(de->d_type, DT_DIR);
			for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
				if (strcmp(de->d_name, kinds[i].name))
					continue;
				EQ(de->d_type, kinds[i].type);
				nr++;
			}
		}
		EQ(nr, 5);
		closedir(dir);
		drop_caches();
	}
	OK(chdir(".."));
}

static bool lists(DIR *dir, const char *name)
{
	struct dirent *de;
	bool found = false;

	while ((de = readdir(dir)))
		found |= !strcmp(de->d_name, name);
	return found;
}

static void rewinding_sees_what_is_new(void)
{
	DIR *dir;

	OK(mkdir("d", 0755));
	dir = opendir("d");
	if (!CHECK(dir != NULL))
		return;
	CHECK(!lists(dir, "f"));
	MAKE_TEXT("d/f", "");
	rewinddir(dir);
	CHECK(lists(dir, "f"));
	OK(rename("d/f", "d/g"));
	rewinddir(dir);
	CHECK(!lists(dir, "f"));
	rewinddir(dir);
	CHECK(lists(dir, "g"));
	OK(unlink("d/g"));
	rewinddir(dir);
	CHECK(!lists(dir, "g"));
	OK(rmdir("d"));
	/* A removed directory lists nothing, or is an error, but no names. */
	rewinddir(dir);
	CHECK(!lists(dir, "g"));
	closedir(dir);
}

static void getdents_says_why_not(void)
{
	char buf[512];
	int fd;

	MAKE_TEXT("f", "");
	fd = OK(open("f", O_RDONLY));
	FAILS(syscall(SYS_getdents64, fd, buf, sizeof(buf)), ENOTDIR);
	close(fd);
	fd = OK(open(".", O_RDONLY | O_DIRECTORY));
	/* No room for even one record. */
	FAILS(syscall(SYS_getdents64, fd, buf, 8), EINVAL);
	CHECK(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
	EQ(OK(lseek(fd, 0, SEEK_SET)), 0);
	CHECK(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
	close(fd);
}

/* Two readers of one directory do not move each other. */
static void readers_have_positions_of_their_own(void)
{
	DIR *a, *b;
	int nr_a = 0, nr_b = 0;

	make_names("d", 200);
	a = opendir("d");
	b = opendir("d");
	if (!CHECK(a && b))
		return;
	for (int i = 0; i < 50; i++)
		nr_a += readdir(a) != NULL;
	while (readdir(b))
		nr_b++;
	while (readdir(a))
		nr_a++;
	EQ(nr_a, 202);
	EQ(nr_b, 202);
	closedir(a);
	closedir(b);
}

POSIX_MAIN(CHECK_ENTRY(every_name_is_listed_once),
	   CHECK_ENTRY(names_that_stay_are_neither_missed_nor_doubled),
	   CHECK_ENTRY(listing_beside_a_busy_neighbour), CHECK_ENTRY(positions_are_stable),
	   CHECK_ENTRY(types_and_numbers_agree_with_stat), CHECK_ENTRY(rewinding_sees_what_is_new),
	   CHECK_ENTRY(getdents_says_why_not), CHECK_ENTRY(readers_have_positions_of_their_own))
