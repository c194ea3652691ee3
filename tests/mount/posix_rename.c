/* rename and renameat2: every pair of types, both flags, and what must stay as it was. */
#include "posix.h"

enum kind { FILE_KIND, DIR_KIND, FULL_DIR_KIND, SYMLINK_KIND, FIFO_KIND, NR_KINDS };

static const char *const kind_names[] = {"file", "dir", "full dir", "symlink", "fifo"};

static void make_kind(enum kind kind, const char *name, const char *text)
{
	char path[64];

	switch (kind) {
	case FILE_KIND:
		MAKE_TEXT(name, text);
		return;
	case FULL_DIR_KIND:
		OK(mkdir(name, 0755));
		snprintf(path, sizeof(path), "%s/in", name);
		MAKE_TEXT(path, text);
		return;
	case DIR_KIND:
		OK(mkdir(name, 0755));
		return;
	case SYMLINK_KIND:
		OK(symlink(text, name));
		return;
	default:
		OK(mkfifo(name, 0644));
	}
}

static bool is_dir_kind(enum kind kind)
{
	return kind == DIR_KIND || kind == FULL_DIR_KIND;
}

/* The errno of rename(@from, @to), 0 for success. */
static int rename_errno(enum kind from, enum kind to)
{
	if (is_dir_kind(from) && !is_dir_kind(to))
		return ENOTDIR;
	if (!is_dir_kind(from) && is_dir_kind(to))
		return EISDIR;
	return to == FULL_DIR_KIND ? ENOTEMPTY : 0;
}

static void rename_gives_a_new_name(void)
{
	struct stat before, after;

	for (enum kind kind = 0; kind < NR_KINDS; kind++) {
		make_kind(kind, "a", "text");
		before = STAT("a");
		OK(rename("a", "b"));
		after = STAT("b");
		CHECKF(!exists("a"), "%s: the old name is still there", kind_names[kind]);
		EQ(after.st_ino, before.st_ino);
		EQ(after.st_mode, before.st_mode);
		EQ(after.st_nlink, before.st_nlink);
		EQ(after.st_size, before.st_size);
		remove_tree("b");
	}
	FAILS(rename("no", "b"), ENOENT);
	MAKE_TEXT("f", "");
	FAILS(rename("f", "no/b"), ENOENT);
	FAILS(rename("f", "f/b"), ENOTDIR);
	FAILS(rename("f/a", "b"), ENOTDIR);
	FAILS(rename("f", ""), ENOENT);
	FAILS(rename(".", "x"), EBUSY);
	FAILS(rename("f", "."), EBUSY);
	FAILS(rename("f", "/dev/matfs-posix-test"), EXDEV);
	OK(mkdir("d", 0755));
	FAILS(rename("d/.", "x"), EBUSY);
	FAILS(rename("d/..", "x"), EBUSY);
	FAILS(rename("f", "x/"), ENOTDIR);
	OK(rename("d/", "e/"));
	CHECK(exists("e"));
}

static void rename_over_every_type(void)
{
	struct stat a, b;
	int want;

	for (enum kind from = 0; from < NR_KINDS; from++) {
		for (enum kind to = 0; to < NR_KINDS; to++) {
			make_kind(from, "a", "from");
			make_kind(to, "b", "to");
			a = STAT("a");
			b = STAT("b");
			want = rename_errno(from, to);
			if (want) {
				CHECKF(rename("a", "b") == -1 && errno == want,
				       "%s over %s: expected %s, seen %m", kind_names[from],
				       kind_names[to], strerrorname_np(want));
				EQ(STAT("a").st_ino, a.st_ino);
				EQ(STAT("b").st_ino, b.st_ino);
			} else {
				CHECKF(rename("a", "b") == 0, "%s over %s: %m", kind_names[from],
				       kind_names[to]);
				CHECK(!exists("a"));
				EQ(STAT("b").st_ino, a.st_ino);
			}
			if (from == FULL_DIR_KIND && !want)
				TEXT_IS("b/in", "from");
			remove_tree("a");
			remove_tree("b");
		}
	}
}

/* A file that another name or a descriptor still holds lives on when one name is replaced. */
static void replaced_file_loses_one_link(void)
{
	char buf[8] = "";
	int fd;

	MAKE_TEXT("new", "new");
	MAKE_TEXT("old", "old");
	OK(link("old", "other"));
	fd = OK(open("old", O_RDONLY));
	OK(rename("new", "old"));
	TEXT_IS("old", "new");
	TEXT_IS("other", "old");
	EQ(STAT("other").st_nlink, 1);
	EQ(FSTAT(fd).st_nlink, 1);
	OK(unlink("other"));
	EQ(FSTAT(fd).st_nlink, 0);
	EQ(OK(read(fd, buf, sizeof(buf))), 3);
	BYTES_ARE(buf, "old", 3);
	close(fd);
}

static void replaced_directory_is_gone(void)
{
	int fd;

	OK(mkdir("a", 0755));
	MAKE_TEXT("a/f", "");
	OK(mkdir("b", 0755));
	fd = OK(open("b", O_RDONLY | O_DIRECTORY));
	OK(rename("a", "b"));
	EQ(FSTAT(fd).st_nlink, 0);
	FAILS(openat(fd, "x", O_CREAT | O_WRONLY, 0644), ENOENT);
	close(fd);
	CHECK(exists("b/f"));
}

static void directory_does_not_move_below_itself(void)
{
	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	OK(mkdir("a/b/c", 0755));
	FAILS(rename("a", "a/x"), EINVAL);
	FAILS(rename("a", "a/b/x"), EINVAL);
	FAILS(rename("a", "a/b/c"), EINVAL);
	FAILS(rename("a/b", "a"), ENOTEMPTY);
	FAILS(rename("a/b/c", "a"), ENOTEMPTY);
	FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "a/b/c", RENAME_EXCHANGE), EINVAL);
	FAILS(renameat2(AT_FDCWD, "a/b/c", AT_FDCWD, "a", RENAME_EXCHANGE), EINVAL);
	OK(rename("a/b/c", "c"));
	OK(rename("c", "a/c"));
	EQ(STAT("a/c/..").st_ino, STAT("a").st_ino);
}

static void two_names_of_one_file_stay_both(void)
{
	MAKE_TEXT("a", "x");
	OK(link("a", "b"));
	OK(rename("a", "b"));
	CHECK(exists("a") && exists("b"));
	EQ(STAT("a").st_nlink, 2);
	OK(rename("a", "a"));
	CHECK(exists("a"));
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
	EQ(STAT("a").st_nlink, 2);
	FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
	OK(mkdir("d", 0755));
	OK(rename("d", "d"));
	OK(link("a", "d/c"));
	OK(rename("d/c", "a"));
	EQ(STAT("d/c").st_nlink, 3);
}

static void noreplace_keeps_what_is_there(void)
{
	for (enum kind from = 0; from < NR_KINDS; from++) {
		for (enum kind to = 0; to < NR_KINDS; to++) {
			make_kind(from, "a", "from");
			make_kind(to, "b", "to");
			FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
			CHECK(exists("a") && exists("b"));
			remove_tree("b");
			OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
			CHECK(!exists("a") && exists("b"));
			remove_tree("b");
		}
	}
	FAILS(renameat2(AT_FDCWD, "no", AT_FDCWD, "b", RENAME_NOREPLACE), ENOENT);
	OK(symlink("nowhere", "dangling"));
	MAKE_TEXT("a", "");
	FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "dangling", RENAME_NOREPLACE), EEXIST);
}

static void exchange_swaps_every_pair_of_types(void)
{
	struct stat a, b;
	nlink_t x, y;

	OK(mkdir("x", 0755));
	OK(mkdir("y", 0755));
	for (enum kind from = 0; from < NR_KINDS; from++) {
		for (enum kind to = 0; to < NR_KINDS; to++) {
			make_kind(from, "x/a", "from");
			make_kind(to, "y/b", "to");
			a = STAT("x/a");
			b = STAT("y/b");
			x = 2 + is_dir_kind(to);
			y = 2 + is_dir_kind(from);
			CHECKF(renameat2(AT_FDCWD, "x/a", AT_FDCWD, "y/b", RENAME_EXCHANGE) == 0,
			       "%s with %s: %m", kind_names[from], kind_names[to]);
			EQ(STAT("y/b").st_ino, a.st_ino);
			EQ(STAT("x/a").st_ino, b.st_ino);
			EQ(STAT("y/b").st_mode, a.st_mode);
			EQ(STAT("x/a").st_mode, b.st_mode);
			EQ(STAT("y/b").st_nlink, a.st_nlink);
			EQ(STAT("x").st_nlink, x);
			EQ(STAT("y").st_nlink, y);
			if (is_dir_kind(from))
				EQ(STAT("y/b/..").st_ino, STAT("y").st_ino);
			if (is_dir_kind(to))
				EQ(STAT("x/a/..").st_ino, STAT("x").st_ino);
			remove_tree("x/a");
			remove_tree("y/b");
			EQ(STAT("x").st_nlink, 2);
			EQ(STAT("y").st_nlink, 2);
		}
	}
	MAKE_TEXT("f", "");
	FAILS(renameat2(AT_FDCWD, "f", AT_FDCWD, "no", RENAME_EXCHANGE), ENOENT);
	FAILS(renameat2(AT_FDCWD, "no", AT_FDCWD, "f", RENAME_EXCHANGE), ENOENT);
	CHECK(exists("f"));
}

static void unknown_flags_are_refused(void)
{
	MAKE_TEXT("a", "");
	MAKE_TEXT("b", "");
	FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
	FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", 1 << 20), EINVAL);
	CHECK(exists("a") && exists("b"));
}

/* An open file keeps its bytes, and a current directory its place, through a rename. */
static void open_files_move_along(void)
{
	char here[PATH_MAX];
	int fd;

	OK(mkdir("d", 0755));
	OK(mkdir("e", 0755));
	MAKE_TEXT("d/f", "before");
	fd = OK(open("d/f", O_RDWR));
	OK(chdir("d"));
	OK(rename("../d", "../e/moved"));
	if (CHECK(getcwd(here, sizeof(here)) != NULL))
		CHECKF(strstr(here, "/e/moved") != NULL, "expected .../e/moved, seen %s", here);
	EQ(OK(pwrite(fd, "AFTER", 5, 0)), 5);
	close(fd);
	TEXT_IS("f", "AFTERe");
	EQ(STAT("..").st_ino, STAT("../../e").st_ino);
	OK(chdir("../.."));
}

/* Renames race here: each name is always either the old or the new file, never missing. */
static void replacing_is_atomic_for_readers(void)
{
	char name[16], buf[16];
	long missing = 0, torn = 0;
	pid_t pid;
	int fd;

	MAKE_TEXT("target", "AAAAAAAA");
	pid = child_begin();
	if (pid == 0) {
		for (int i = 0; i < 400; i++) {
			snprintf(name, sizeof(name), "new%d", i);
			MAKE_TEXT(name, i % 2 ? "AAAAAAAA" : "BBBBBBBB");
			OK(rename(name, "target"));
		}
		_exit(0);
	}
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		fd = open("target", O_RDONLY);
		if (fd < 0) {
			missing++;
			continue;
		}
		torn += read(fd, buf, 9) != 8 || buf[0] != buf[7];
		close(fd);
	}
	EQ(missing, 0);
	EQ(torn, 0);
}

/* Two processes push directories into each other; a file system that locks badly hangs or makes
 * a loop that hangs on no root. */
static void crossing_directory_renames_neither_hang_nor_loop(void)
{
	pid_t pids[2];
	int rc;

	OK(mkdir("a", 0755));
	OK(mkdir("b", 0755));
	for (int i = 0; i < 2; i++) {
		pids[i] = child_begin();
		if (pids[i])
			continue;
		for (int turn = 0; turn < 500; turn++) {
			rc = i ? rename("a", "b/a") : rename("b", "a/b");
			CHECKF(rc == 0 || errno == ENOENT || errno == EINVAL, "seen %m");
			rc = i ? rename("b/a", "a") : rename("a/b", "b");
			CHECKF(rc == 0 || errno == ENOENT || errno == EINVAL, "seen %m");
		}
		_exit(0);
	}
	for (int i = 0; i < 2; i++)
		child_wait(__FILE__, __LINE__, pids[i]);
	CHECK(exists("a") || exists("b"));
	CHECK((exists("a") && exists("b")) || exists("a/b") || exists("b/a"));
}

POSIX_MAIN(CHECK_ENTRY(rename_gives_a_new_name), CHECK_ENTRY(rename_over_every_type),
	   CHECK_ENTRY(replaced_file_loses_one_link), CHECK_ENTRY(replaced_directory_is_gone),
	   CHECK_ENTRY(directory_does_not_move_below_itself),
	   CHECK_ENTRY(two_names_of_one_file_stay_both), CHECK_ENTRY(noreplace_keeps_what_is_there),
	   CHECK_ENTRY(exchange_swaps_every_pair_of_types), CHECK_ENTRY(unknown_flags_are_refused),
	   CHECK_ENTRY(open_files_move_along), CHECK_ENTRY(replacing_is_atomic_for_readers),
	   CHECK_ENTRY(crossing_directory_renames_neither_hang_nor_loop))
