/* Names: making, linking and removing every kind of object, and the errors on the way. */
#include "posix.h"

#include <sys/socket.h>
#include <sys/un.h>

static void create_makes_an_empty_file(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT | O_EXCL, 0640));
	struct stat st = FSTAT(fd);

	CHECK(S_ISREG(st.st_mode));
	EQ(st.st_mode & 07777, 0640);
	EQ(st.st_size, 0);
	EQ(st.st_nlink, 1);
	EQ(st.st_uid, geteuid());
	EQ(st.st_gid, getegid());
	EQ(STAT("f").st_ino, st.st_ino);
	close(fd);
	FAILS(open("f", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
	OK(symlink("nowhere", "dangling"));
	FAILS(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
	/* Without O_EXCL the target of the symlink is made. */
	fd = OK(open("dangling", O_RDWR | O_CREAT, 0600));
	close(fd);
	CHECK(S_ISREG(STAT("nowhere").st_mode));
}

static void umask_takes_bits_from_every_kind(void)
{
	umask(027);
	close(OK(open("f", O_WRONLY | O_CREAT, 0777)));
	EQ(perm_of("f"), 0750);
	OK(mkdir("d", 0777));
	EQ(perm_of("d"), 0750);
	OK(mkfifo("p", 0666));
	EQ(perm_of("p"), 0640);
	OK(mknod("r", S_IFREG | 0666, 0));
	EQ(perm_of("r"), 0640);
	umask(0);
	close(OK(open("f0", O_WRONLY | O_CREAT, 0666)));
	EQ(perm_of("f0"), 0666);
	OK(mkdir("d0", 01777));
	EQ(perm_of("d0"), 01777);
	umask(0777);
	close(OK(open("none", O_WRONLY | O_CREAT, 0777)));
	EQ(perm_of("none"), 0);
}

/* The mode given to open counts for later opens only. */
static void created_without_write_permission_is_writable_through_its_descriptor(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT | O_EXCL, 0));

	EQ(OK(write(fd, "abc", 3)), 3);
	EQ(OK(pread(fd, (char[3]){0}, 3, 0)), 3);
	close(fd);
	EQ(STAT("f").st_size, 3);
}

static void mknod_makes_every_kind(void)
{
	struct stat st;

	OK(mknod("reg", S_IFREG | 0644, 0));
	CHECK(S_ISREG(STAT("reg").st_mode));
	OK(mknod("plain", 0644, 0));
	CHECK(S_ISREG(STAT("plain").st_mode));
	OK(mkfifo("fifo", 0600));
	st = STAT("fifo");
	CHECK(S_ISFIFO(st.st_mode));
	EQ(st.st_mode & 07777, 0600);
	EQ(st.st_nlink, 1);
	OK(mknod("sock", S_IFSOCK | 0600, 0));
	CHECK(S_ISSOCK(STAT("sock").st_mode));
	FAILS(mknod("fifo", S_IFREG | 0644, 0), EEXIST);
	FAILS(mkfifo("reg", 0644), EEXIST);
	FAILS(mknod("no/x", S_IFREG | 0644, 0), ENOENT);
	FAILS(mknod("reg/x", S_IFREG | 0644, 0), ENOTDIR);
	OK(unlink("fifo"));
	OK(unlink("sock"));
}

static void device_nodes_keep_their_numbers(void)
{
	struct stat st;

	OK(mknod("char", S_IFCHR | 0666, makedev(1, 3)));
	st = STAT("char");
	CHECK(S_ISCHR(st.st_mode));
	EQ(st.st_rdev, makedev(1, 3));
	EQ(st.st_size, 0);
	OK(mknod("block", S_IFBLK | 0600, makedev(259, 70000)));
	st = STAT("block");
	CHECK(S_ISBLK(st.st_mode));
	EQ(major(st.st_rdev), 259);
	EQ(minor(st.st_rdev), 70000);
	OK(link("block", "block2"));
	EQ(STAT("block2").st_rdev, makedev(259, 70000));
	OK(rename("char", "char2"));
	EQ(STAT("char2").st_rdev, makedev(1, 3));
	drop_caches();
	EQ(STAT("char2").st_rdev, makedev(1, 3));
	EQ(STAT("block").st_rdev, makedev(259, 70000));
	OK(chmod(".", 0777));
	AS_USER(USER_A, GROUP_A)
	{
		FAILS(mknod("block3", S_IFBLK | 0600, makedev(7, 0)), EPERM);
	}
}

static void fifo_carries_bytes(void)
{
	char buf[8] = "";
	int rd, wr;

	OK(mkfifo("p", 0600));
	FAILS(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	rd = OK(open("p", O_RDONLY | O_NONBLOCK));
	wr = OK(open("p", O_WRONLY));
	EQ(OK(write(wr, "hello", 5)), 5);
	EQ(OK(read(rd, buf, sizeof(buf))), 5);
	BYTES_ARE(buf, "hello", 5);
	FAILS(lseek(rd, 0, SEEK_SET), ESPIPE);
	close(rd);
	close(wr);
	EQ(STAT("p").st_size, 0);
}

static void bound_socket_is_found_by_name(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "s"};
	int a = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	int b = OK(socket(AF_UNIX, SOCK_STREAM, 0));

	OK(bind(a, (struct sockaddr *)&addr, sizeof(addr)));
	OK(listen(a, 1));
	CHECK(S_ISSOCK(STAT("s").st_mode));
	OK(connect(b, (struct sockaddr *)&addr, sizeof(addr)));
	close(b);
	b = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	FAILS(bind(b, (struct sockaddr *)&addr, sizeof(addr)), EADDRINUSE);
	FAILS(open("s", O_RDONLY), ENXIO);
	close(a);
	FAILS(connect(b, (struct sockaddr *)&addr, sizeof(addr)), ECONNREFUSED);
	close(b);
	OK(unlink("s"));
}

static void mkdir_makes_an_empty_directory(void)
{
	struct stat st;

	OK(mkdir("d", 0750));
	st = STAT("d");
	CHECK(S_ISDIR(st.st_mode));
	EQ(st.st_mode & 07777, 0750);
	EQ(st.st_nlink, 2);
	EQ(STAT("d/.").st_ino, st.st_ino);
	EQ(STAT("d/..").st_ino, STAT(".").st_ino);
	FAILS(mkdir("d", 0755), EEXIST);
	FAILS(mkdir("d/", 0755), EEXIST);
	FAILS(mkdir(".", 0755), EEXIST);
	FAILS(mkdir("d/..", 0755), EEXIST);
	FAILS(mkdir("no/d", 0755), ENOENT);
	MAKE_TEXT("f", "");
	FAILS(mkdir("f", 0755), EEXIST);
	FAILS(mkdir("f/d", 0755), ENOTDIR);
	OK(symlink("target", "l"));
	FAILS(mkdir("l", 0755), EEXIST);
	/* mkdir(2) takes a name with slashes at its end. */
	OK(mkdir("e//", 0755));
	CHECK(S_ISDIR(STAT("e").st_mode));
}

static void subdirectories_count_as_links_of_their_parent(void)
{
	nlink_t base = STAT(".").st_nlink;

	OK(mkdir("a", 0755));
	OK(mkdir("b", 0755));
	EQ(STAT(".").st_nlink, base + 2);
	OK(mkdir("a/x", 0755));
	EQ(STAT("a").st_nlink, 3);
	MAKE_TEXT("a/f", "");
	OK(symlink("x", "a/l"));
	EQ(STAT("a").st_nlink, 3);
	OK(rename("a/x", "b/x"));
	EQ(STAT("a").st_nlink, 2);
	EQ(STAT("b").st_nlink, 3);
	EQ(STAT("b/x/..").st_ino, STAT("b").st_ino);
	OK(rename("b/x", "b/y"));
	EQ(STAT("b").st_nlink, 3);
	/* A directory replaced by a directory: one of them is gone. */
	OK(mkdir("b/z", 0755));
	EQ(STAT("b").st_nlink, 4);
	OK(rename("b/y", "b/z"));
	EQ(STAT("b").st_nlink, 3);
	OK(rmdir("b/z"));
	EQ(STAT("b").st_nlink, 2);
	OK(rmdir("b"));
	EQ(STAT(".").st_nlink, base + 1);
}

static void hard_links_are_one_file(void)
{
	struct stat a, b;
	int fd;

	MAKE_TEXT("a", "one");
	OK(mkdir("d", 0755));
	OK(link("a", "b"));
	OK(link("b", "d/c"));
	a = STAT("a");
	b = STAT("d/c");
	EQ(a.st_ino, b.st_ino);
	EQ(a.st_nlink, 3);
	EQ(b.st_nlink, 3);
	fd = OK(open("b", O_WRONLY | O_APPEND));
	EQ(OK(write(fd, " two", 4)), 4);
	close(fd);
	TEXT_IS("a", "one two");
	TEXT_IS("d/c", "one two");
	OK(chmod("a", 0600));
	EQ(perm_of("d/c"), 0600);
	OK(truncate("d/c", 3));
	EQ(STAT("a").st_size, 3);
	OK(unlink("a"));
	EQ(STAT("b").st_nlink, 2);
	OK(unlink("d/c"));
	EQ(STAT("b").st_nlink, 1);
	TEXT_IS("b", "one");
}

static void many_hard_links_are_counted(void)
{
	char name[32];

	MAKE_TEXT("f", "x");
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		if (!OK(link("f", name)) && i == 999)
			EQ(STAT("f").st_nlink, 1001);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		OK(unlink(name));
	}
	EQ(STAT("f").st_nlink, 1);
}

static void link_says_why_not(void)
{
	MAKE_TEXT("f", "");
	OK(mkdir("d", 0755));
	FAILS(link("f", "f"), EEXIST);
	FAILS(link("f", "d"), EEXIST);
	FAILS(link("d", "d2"), EPERM);
	FAILS(link("no", "x"), ENOENT);
	FAILS(link("f", "no/x"), ENOENT);
	FAILS(link("f", "f/x"), ENOTDIR);
	FAILS(link("f", "/dev/matfs-posix-test"), EXDEV);
	EQ(STAT("f").st_nlink, 1);
	/* link(2) links the symlink itself, linkat with AT_SYMLINK_FOLLOW its target. */
	OK(symlink("f", "l"));
	OK(link("l", "l2"));
	CHECK(S_ISLNK(STAT("l2").st_mode));
	EQ(STAT("l").st_nlink, 2);
	OK(linkat(AT_FDCWD, "l", AT_FDCWD, "f2", AT_SYMLINK_FOLLOW));
	EQ(STAT("f2").st_ino, STAT("f").st_ino);
	EQ(STAT("f").st_nlink, 2);
}

static void fifo_and_symlink_can_be_linked(void)
{
	OK(mkfifo("p", 0600));
	OK(link("p", "p2"));
	EQ(STAT("p").st_nlink, 2);
	EQ(STAT("p2").st_ino, STAT("p").st_ino);
	OK(unlink("p"));
	EQ(STAT("p2").st_nlink, 1);
}

static void symlink_keeps_its_text(void)
{
	char text[4096], seen[4200];
	struct stat st;
	ssize_t n;

	OK(symlink("some/where", "l"));
	st = STAT("l");
	CHECK(S_ISLNK(st.st_mode));
	EQ(st.st_size, 10);
	EQ(st.st_mode & 0777, 0777);
	EQ(OK(readlink("l", seen, sizeof(seen))), 10);
	BYTES_ARE(seen, "some/where", 10);
	/* A short buffer gets the beginning. */
	memset(seen, 'z', 10);
	EQ(OK(readlink("l", seen, 4)), 4);
	BYTES_ARE(seen, "somezzzzzz", 10);
	FAILS(symlink("x", "l"), EEXIST);
	FAILS(symlink("", "empty"), ENOENT);
	FAILS(symlink("x", "no/l"), ENOENT);
	FAILS(readlink("no", seen, sizeof(seen)), ENOENT);
	MAKE_TEXT("f", "");
	FAILS(readlink("f", seen, sizeof(seen)), EINVAL);
	FAILS(readlink(".", seen, sizeof(seen)), EINVAL);
	FAILS(symlink("x", "f/l"), ENOTDIR);
	for (size_t len = 50; len < sizeof(text); len = len < 100 ? len + 9 : len * 2 + 3) {
		if (len * 2 + 3 >= sizeof(text))
			len = sizeof(text) - 1;
		for (size_t i = 0; i < len; i++)
			text[i] = i % 50 == 49 ? '/' : 1 + i % 46;
		text[len] = 0;
		OK(symlink(text, "long"));
		EQ(STAT("long").st_size, len);
		n = OK(readlink("long", seen, sizeof(seen)));
		if (EQ(n, len))
			BYTES_ARE(seen, text, len);
		OK(unlink("long"));
	}
}

static void symlinks_are_followed_but_not_for_ever(void)
{
	char name[32], to[32];

	OK(mkdir("d", 0755));
	MAKE_TEXT("d/f", "here");
	OK(symlink("d", "ld"));
	OK(symlink("ld/f", "lf"));
	TEXT_IS("lf", "here");
	TEXT_IS("ld/f", "here");
	OK(symlink("../d/f", "d/up"));
	TEXT_IS("ld/up", "here");
	OK(symlink("loop2", "loop1"));
	OK(symlink("loop1", "loop2"));
	FAILS(open("loop1", O_RDONLY), ELOOP);
	FAILS(stat("loop1/x", &(struct stat){0}), ELOOP);
	FAILS(mkdir("loop1/x", 0755), ELOOP);
	FAILS(chmod("loop1", 0644), ELOOP);
	FAILS(truncate("loop1", 0), ELOOP);
	/* The kernel follows 40 in a row and no more. */
	OK(symlink("d/f", "s0"));
	for (int i = 1; i < 42; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		snprintf(to, sizeof(to), "s%d", i - 1);
		OK(symlink(to, name));
	}
	TEXT_IS("s39", "here");
	FAILS(open("s40", O_RDONLY), ELOOP);
	FAILS(open("lf", O_RDONLY | O_NOFOLLOW), ELOOP);
	/* unlink takes the link. */
	OK(unlink("lf"));
	TEXT_IS("d/f", "here");
	FAILS(rmdir("ld"), ENOTDIR);
	FAILS(unlink("ld/"), ENOTDIR);
}

static void unlink_removes_one_name(void)
{
	MAKE_TEXT("f", "");
	OK(mkdir("d", 0755));
	OK(unlink("f"));
	FAILS(unlink("f"), ENOENT);
	FAILS(unlink("d"), EISDIR);
	FAILS(unlink("no/f"), ENOENT);
	MAKE_TEXT("g", "");
	FAILS(unlink("g/x"), ENOTDIR);
	FAILS(unlink("g/"), ENOTDIR);
	FAILS(unlink(""), ENOENT);
	OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
	FAILS(unlinkat(AT_FDCWD, "g", AT_REMOVEDIR), ENOTDIR);
	FAILS(open("f", O_RDONLY), ENOENT);
	FAILS(lstat("f", &(struct stat){0}), ENOENT);
	FAILS(access("f", F_OK), ENOENT);
	CHECK(exists("g"));
}

static void rmdir_removes_empty_directories_only(void)
{
	OK(mkdir("d", 0755));
	MAKE_TEXT("d/f", "");
	FAILS(rmdir("d"), ENOTEMPTY);
	OK(unlink("d/f"));
	OK(mkdir("d/e", 0755));
	FAILS(rmdir("d"), ENOTEMPTY);
	FAILS(rmdir("d/e/.."), ENOTEMPTY);
	FAILS(rmdir("d/e/."), EINVAL);
	OK(rmdir("d/e/"));
	OK(symlink("x", "d/l"));
	FAILS(rmdir("d"), ENOTEMPTY);
	OK(unlink("d/l"));
	OK(rmdir("d"));
	FAILS(rmdir("d"), ENOENT);
	MAKE_TEXT("f", "");
	FAILS(rmdir("f"), ENOTDIR);
	FAILS(rmdir("."), EINVAL);
	FAILS(rmdir("no/d"), ENOENT);
}

/* A process may stand in a directory that is gone; nothing can be made there any more. */
static void removed_directory_takes_no_names(void)
{
	int fd;

	OK(mkdir("d", 0755));
	fd = OK(open("d", O_RDONLY | O_DIRECTORY));
	OK(rmdir("d"));
	EQ(FSTAT(fd).st_nlink, 0);
	FAILS(openat(fd, "x", O_CREAT | O_WRONLY, 0644), ENOENT);
	FAILS(mkdirat(fd, "x", 0755), ENOENT);
	FAILS(symlinkat("y", fd, "x"), ENOENT);
	FAILS(mknodat(fd, "x", S_IFIFO | 0644, 0), ENOENT);
	MAKE_TEXT("f", "");
	FAILS(linkat(AT_FDCWD, "f", fd, "x", 0), ENOENT);
	FAILS(renameat(AT_FDCWD, "f", fd, "x"), ENOENT);
	FAILS(fstatat(fd, "x", &(struct stat){0}, 0), ENOENT);
	/* The same name made anew is another directory. */
	OK(mkdir("d", 0755));
	FAILS(openat(fd, "x", O_CREAT | O_WRONLY, 0644), ENOENT);
	CHECK(!exists("d/x"));
	close(fd);
}

static void names_may_have_255_bytes(void)
{
	char name[300], other[300];
	struct dirent *de;
	bool seen = false;
	DIR *dir;

	memset(name, 'n', sizeof(name));
	memset(other, 'o', sizeof(other));
	name[255] = other[255] = 0;
	MAKE_TEXT(name, "long");
	TEXT_IS(name, "long");
	OK(rename(name, other));
	OK(link(other, name));
	EQ(STAT(name).st_nlink, 2);
	dir = opendir(".");
	if (CHECK(dir != NULL)) {
		while ((de = readdir(dir)))
			seen |= !strcmp(de->d_name, name);
		closedir(dir);
	}
	CHECK(seen);
	OK(unlink(name));
	OK(mkdir(name, 0755));
	OK(rmdir(name));
	OK(symlink("x", name));
	OK(unlink(name));
	name[255] = 'n';
	name[256] = 0;
	FAILS(open(name, O_CREAT | O_WRONLY, 0644), ENAMETOOLONG);
	FAILS(open(name, O_RDONLY), ENAMETOOLONG);
	FAILS(mkdir(name, 0755), ENAMETOOLONG);
	FAILS(mkfifo(name, 0644), ENAMETOOLONG);
	FAILS(symlink("x", name), ENAMETOOLONG);
	FAILS(link(other, name), ENAMETOOLONG);
	FAILS(link(name, "y"), ENAMETOOLONG);
	FAILS(rename(other, name), ENAMETOOLONG);
	FAILS(rename(name, other), ENAMETOOLONG);
	FAILS(unlink(name), ENAMETOOLONG);
	FAILS(rmdir(name), ENAMETOOLONG);
	FAILS(lstat(name, &(struct stat){0}), ENAMETOOLONG);
	FAILS(readlink(name, other, 10), ENAMETOOLONG);
	CHECK(exists(other));
}

static void paths_may_have_4095_bytes(void)
{
	char *path = must_alloc(5000);
	size_t len = 0;

	/* Twenty levels of 200 bytes, then as many "./" as fit. */
	for (int i = 0; i < 20; i++) {
		memset(path + len, 'a' + i, 200);
		len += 200;
		OK(mkdir(path, 0755));
		path[len++] = '/';
	}
	while (len < 4094) {
		memcpy(path + len, "./", 2);
		len += 2;
	}
	path[len++] = 'f';
	if (len == 4094)
		path[len++] = 'f';
	EQ(len, 4095);
	MAKE_TEXT(path, "deep");
	TEXT_IS(path, "deep");
	path[len++] = 'f';
	FAILS(open(path, O_RDONLY), ENAMETOOLONG);
	free(path);
}

static void names_are_bytes(void)
{
	/* Broken UTF-8, control characters, other alphabets, and what shells dislike. */
	static const char *const odd[] = {
		"\xff\xfe",
		"\xc3\x28",
		"\xe2\x82",
		"\xf0\x9f\x98\x80",
		"\xed\xa0\x80",
		"a\nb",
		" ",
		"\t",
		"-rf",
		"...",
		"..a",
		"\\",
		"*",
		"\"'",
		"\x7f",
		"caf\xc3\xa9",
		"cafe\xcc\x81",
		"A",
		"a",
		"\xe7\x8c\xab",
		".stat",
		".hidden",
	};
	const size_t nr = sizeof(odd) / sizeof(odd[0]);
	struct dirent *de;
	char name[3];
	size_t seen = 0;
	DIR *dir;

	for (int c = 1; c < 256; c++) {
		snprintf(name, sizeof(name), "%c%c", c, c == '.' ? 'x' : '\0');
		if (c == '/')
			continue;
		close(OK(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644)));
		CHECKF(exists(name), "the name of byte %#x is not there", c);
	}
	dir = opendir(".");
	if (CHECK(dir != NULL)) {
		while ((de = readdir(dir)))
			seen += strcmp(de->d_name, ".") && strcmp(de->d_name, "..");
		closedir(dir);
	}
	EQ(seen, 254);
	for (int c = 1; c < 256; c++) {
		snprintf(name, sizeof(name), "%c%c", c, c == '.' ? 'x' : '\0');
		if (c != '/')
			OK(unlink(name));
	}
	for (size_t i = 0; i < nr; i++)
		MAKE_FILE(odd[i], odd[i], strlen(odd[i]));
	drop_caches();
	for (size_t i = 0; i < nr; i++)
		TEXT_IS(odd[i], odd[i]);
	for (size_t i = 0; i < nr; i++)
		OK(unlink(odd[i]));
}

static void slashes_and_dots_in_paths(void)
{
	OK(mkdir("d", 0755));
	MAKE_TEXT("d/f", "x");
	TEXT_IS(".//d///f", "x");
	TEXT_IS("d/../d/./f", "x");
	FAILS(open("d/f/", O_RDONLY), ENOTDIR);
	FAILS(open("d/f/.", O_RDONLY), ENOTDIR);
	FAILS(open("d/f/..", O_RDONLY), ENOTDIR);
	FAILS(open("d/new/", O_CREAT | O_WRONLY, 0644), EISDIR);
	FAILS(open("no/../d/f", O_RDONLY), ENOENT);
	FAILS(stat("", &(struct stat){0}), ENOENT);
	FAILS(symlink("x", "d/l/"), ENOENT);
	FAILS(link("d/f", "d/g/"), ENOENT);
}

static void at_calls_use_their_directory(void)
{
	int fd;

	OK(mkdir("d", 0755));
	fd = OK(open("d", O_PATH | O_DIRECTORY));
	OK(mkdirat(fd, "e", 0755));
	OK(symlinkat("e", fd, "l"));
	OK(mknodat(fd, "p", S_IFIFO | 0600, 0));
	close(OK(openat(fd, "f", O_CREAT | O_WRONLY, 0644)));
	OK(linkat(fd, "f", fd, "e/g", 0));
	OK(renameat(fd, "f", fd, "h"));
	CHECK(exists("d/e/g") && exists("d/h") && exists("d/l") && exists("d/p"));
	/* The descriptor follows the directory, not its name. */
	OK(rename("d", "moved"));
	OK(unlinkat(fd, "h", 0));
	CHECK(!exists("moved/h"));
	OK(fchmodat(fd, "p", 0640, 0));
	EQ(perm_of("moved/p"), 0640);
	close(fd);
	fd = OK(open("moved/e/g", O_RDONLY));
	FAILS(openat(fd, "x", O_RDONLY), ENOTDIR);
	close(fd);
}

POSIX_MAIN(CHECK_ENTRY(create_makes_an_empty_file), CHECK_ENTRY(umask_takes_bits_from_every_kind),
	   CHECK_ENTRY(created_without_write_permission_is_writable_through_its_descriptor),
	   CHECK_ENTRY(mknod_makes_every_kind), ROOT_CHECK_ENTRY(device_nodes_keep_their_numbers),
	   CHECK_ENTRY(fifo_carries_bytes), CHECK_ENTRY(bound_socket_is_found_by_name),
	   CHECK_ENTRY(mkdir_makes_an_empty_directory),
	   CHECK_ENTRY(subdirectories_count_as_links_of_their_parent),
	   CHECK_ENTRY(hard_links_are_one_file), CHECK_ENTRY(many_hard_links_are_counted),
	   CHECK_ENTRY(link_says_why_not), CHECK_ENTRY(fifo_and_symlink_can_be_linked),
	   CHECK_ENTRY(symlink_keeps_its_text), CHECK_ENTRY(symlinks_are_followed_but_not_for_ever),
	   CHECK_ENTRY(unlink_removes_one_name), CHECK_ENTRY(rmdir_removes_empty_directories_only),
	   CHECK_ENTRY(removed_directory_takes_no_names), CHECK_ENTRY(names_may_have_255_bytes),
	   CHECK_ENTRY(paths_may_have_4095_bytes), CHECK_ENTRY(names_are_bytes),
	   CHECK_ENTRY(slashes_and_dots_in_paths), CHECK_ENTRY(at_calls_use_their_directory))
