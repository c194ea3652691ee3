/* A random test of names: each process works in a directory of its own and knows by a model what
 * every call must answer and what must be there; all of them besides work without a model in
 * one shared directory, so that their requests collide in the server.
 *
 *	posix_tree DIR [SECONDS [SEED]]
 *
 * The seed is printed and repeats each process's operations. */
#include "posix.h"

#include <sys/xattr.h>

enum {
	NR_PROCS = 3,
	/* Few names in few directories meet often. */
	NR_NAMES = 9,
	NR_INODES = 160,
	MAX_DEPTH = 6,
	MAX_BYTES = 20000,
	NR_HISTORY = 16,
	HISTORY_TEXT = 200,
};

struct model_inode {
	/* 0 marks a free slot; else S_IFREG, S_IFDIR, S_IFLNK or S_IFIFO. */
	mode_t type;
	mode_t perm;
	int nlink;
	ino_t ino;
	/* Regular files: their bytes are fill_bytes(len, seed). */
	size_t len;
	uint64_t seed;
	/* The value of user.tag, 0 for none. */
	int tag;
	/* Directories: the inode behind each name, -1 for none; their parent's inode. */
	int names[NR_NAMES];
	int parent;
	int name_in_parent;
};

/* The root of the model is inode 0. */
struct tree_test {
	uint64_t rng;
	long nr_ops;
	struct model_inode inodes[NR_INODES];
	char history[NR_HISTORY][HISTORY_TEXT];
};

static uint64_t next_random(struct tree_test *t)
{
	t->rng ^= t->rng << 13;
	t->rng ^= t->rng >> 7;
	t->rng ^= t->rng << 17;
	return t->rng * 0x2545f4914f6cdd1du >> 11;
}

static int below(struct tree_test *t, int limit)
{
	return (int)(next_random(t) % (unsigned)limit);
}

static void fail_at(struct tree_test *t, int line, const char *what, const char *path)
{
	verdict(__FILE__, line, false, "%s: %s; the last operations:", path, what);
	for (long i = t->nr_ops < NR_HISTORY ? 0 : t->nr_ops - NR_HISTORY; i < t->nr_ops; i++)
		dprintf(STDOUT_FILENO, "  %s\n", t->history[i % NR_HISTORY]);
	_exit(0);
}

/* The errno of a finished call must be @want. */
static void expect(struct tree_test *t, int line, long ret, int want, const char *path)
{
	int seen = ret == -1 ? errno : 0;
	char text[160];

	if (seen == want) {
		verdict(__FILE__, line, true, "%s", "");
		return;
	}
	snprintf(text, sizeof(text), "expected %s, seen %s",
		 want ? strerrorname_np(want) : "success",
		 seen ? strerrorname_np(seen) : "success");
	fail_at(t, line, text, path);
}

#define EXPECT(ret, want, path) expect(t, __LINE__, ret, want, path)

static void remember(struct tree_test *t, const char *op, const char *a, const char *b)
{
	snprintf(t->history[t->nr_ops % NR_HISTORY], HISTORY_TEXT, "%ld: %s %.80s %.80s", t->nr_ops,
		 op, a, b);
	t->nr_ops++;
}

static int free_inode(struct tree_test *t)
{
	for (int i = 1; i < NR_INODES; i++)
		if (!t->inodes[i].type)
			return i;
	return -1;
}

static int depth_of(struct tree_test *t, int dir)
{
	int depth = 0;

	while (dir) {
		dir = t->inodes[dir].parent;
		depth++;
	}
	return depth;
}

/* Is directory @above the same as @dir or above it? */
static bool is_above(struct tree_test *t, int above, int dir)
{
	while (dir != above) {
		if (!dir)
			return false;
		dir = t->inodes[dir].parent;
	}
	return true;
}

static int pick_dir(struct tree_test *t)
{
	int dir;

	do {
		dir = below(t, NR_INODES);
	} while (t->inodes[dir].type != S_IFDIR);
	return dir;
}

static bool is_empty(const struct model_inode *dir)
{
	for (int i = 0; i < NR_NAMES; i++)
		if (dir->names[i] >= 0)
			return false;
	return true;
}

static int nr_subdirs(struct tree_test *t, const struct model_inode *dir)
{
	int nr = 0;

	for (int i = 0; i < NR_NAMES; i++)
		nr += dir->names[i] >= 0 && t->inodes[dir->names[i]].type == S_IFDIR;
	return nr;
}

/* The path of name @name in @dir, or of @dir for -1. */
static const char *path_of(struct tree_test *t, int dir, int name, char *path, size_t size)
{
	char tail[PATH_MAX] = "", step[PATH_MAX];

	if (name >= 0)
		snprintf(tail, sizeof(tail), "/n%d", name);
	while (dir) {
		snprintf(step, sizeof(step), "/n%d%.2000s", t->inodes[dir].name_in_parent, tail);
		memcpy(tail, step, sizeof(tail));
		dir = t->inodes[dir].parent;
	}
	snprintf(path, size, ".%s", tail);
	return path;
}

static void enter(struct tree_test *t, int dir, int name, int inode)
{
	t->inodes[dir].names[name] = inode;
	if (t->inodes[inode].type == S_IFDIR) {
		t->inodes[inode].parent = dir;
		t->inodes[inode].name_in_parent = name;
	}
}

static void drop_link(struct tree_test *t, int inode)
{
	struct model_inode *in = &t->inodes[inode];

	if (in->type == S_IFDIR || --in->nlink == 0)
		in->type = 0;
}

static void make_inode(struct tree_test *t, int dir, int name, mode_t type, const char *path)
{
	int inode = free_inode(t);
	struct model_inode *in = &t->inodes[inode];
	struct stat st;

	*in = (struct model_inode){.type = type, .nlink = 1};
	for (int i = 0; i < NR_NAMES; i++)
		in->names[i] = -1;
	if (lstat(path, &st))
		fail_at(t, __LINE__, "is not there after it was made", path);
	in->perm = st.st_mode & 07777;
	in->ino = st.st_ino;
	enter(t, dir, name, inode);
}

static void op_make(struct tree_test *t)
{
	static const mode_t types[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO};
	static const char *const ops[] = {"create", "create",  "mkdir",
					  "mkdir",  "symlink", "mkfifo"};
	int dir = pick_dir(t), name = below(t, NR_NAMES), kind = below(t, 6);
	char path[PATH_MAX];
	long ret;

	if (free_inode(t) < 0 || depth_of(t, dir) >= MAX_DEPTH)
		return;
	path_of(t, dir, name, path, sizeof(path));
	remember(t, ops[kind], path, "");
	if (types[kind] == S_IFREG) {
		ret = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (ret >= 0)
			close((int)ret);
	} else if (types[kind] == S_IFDIR) {
		ret = mkdir(path, 0755);
	} else if (types[kind] == S_IFLNK) {
		ret = symlink("nowhere/at-all", path);
	} else {
		ret = mkfifo(path, 0600);
	}
	if (t->inodes[dir].names[name] >= 0) {
		EXPECT(ret, EEXIST, path);
		return;
	}
	EXPECT(ret, 0, path);
	make_inode(t, dir, name, types[kind], path);
}

static void op_remove(struct tree_test *t)
{
	int dir = pick_dir(t), name = below(t, NR_NAMES), inode = t->inodes[dir].names[name];
	bool as_dir = below(t, 2);
	char path[PATH_MAX];
	int want = 0;

	path_of(t, dir, name, path, sizeof(path));
	remember(t, as_dir ? "rmdir" : "unlink", path, "");
	if (inode < 0)
		want = ENOENT;
	else if (as_dir && t->inodes[inode].type != S_IFDIR)
		want = ENOTDIR;
	else if (!as_dir && t->inodes[inode].type == S_IFDIR)
		want = EISDIR;
	else if (as_dir && !is_empty(&t->inodes[inode]))
		want = ENOTEMPTY;
	EXPECT(as_dir ? rmdir(path) : unlink(path), want, path);
	if (want)
		return;
	t->inodes[dir].names[name] = -1;
	drop_link(t, inode);
}

static void op_link(struct tree_test *t)
{
	int from_dir = pick_dir(t), from = below(t, NR_NAMES);
	int to_dir = pick_dir(t), to = below(t, NR_NAMES);
	int inode = t->inodes[from_dir].names[from], want = 0;
	char path[PATH_MAX], to_path[PATH_MAX];

	path_of(t, from_dir, from, path, sizeof(path));
	path_of(t, to_dir, to, to_path, sizeof(to_path));
	remember(t, "link", path, to_path);
	if (inode < 0)
		want = ENOENT;
	else if (t->inodes[to_dir].names[to] >= 0)
		want = EEXIST;
	else if (t->inodes[inode].type == S_IFDIR)
		want = EPERM;
	EXPECT(link(path, to_path), want, to_path);
	if (want)
		return;
	t->inodes[inode].nlink++;
	enter(t, to_dir, to, inode);
}

/* What rename answers, in the order in which the kernel asks. */
static int rename_want(struct tree_test *t, int from_dir, int src, int to_dir, int dst,
		       unsigned flags)
{
	bool src_dir = src >= 0 && t->inodes[src].type == S_IFDIR;
	bool dst_dir = dst >= 0 && t->inodes[dst].type == S_IFDIR;

	if (src < 0)
		return ENOENT;
	if ((flags & RENAME_NOREPLACE) && dst >= 0)
		return EEXIST;
	if ((flags & RENAME_EXCHANGE) && dst < 0)
		return ENOENT;
	if (src_dir && is_above(t, src, to_dir))
		return EINVAL;
	if (dst_dir && is_above(t, dst, from_dir))
		return flags & RENAME_EXCHANGE ? EINVAL : ENOTEMPTY;
	if (src == dst || dst < 0 || (flags & RENAME_EXCHANGE))
		return 0;
	if (src_dir && !dst_dir)
		return ENOTDIR;
	if (!src_dir && dst_dir)
		return EISDIR;
	return dst_dir && !is_empty(&t->inodes[dst]) ? ENOTEMPTY : 0;
}

static void op_rename(struct tree_test *t)
{
	static const unsigned all_flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	int from_dir = pick_dir(t), from = below(t, NR_NAMES);
	int to_dir = pick_dir(t), to = below(t, NR_NAMES);
	int src = t->inodes[from_dir].names[from], dst = t->inodes[to_dir].names[to];
	unsigned flags = all_flags[below(t, 4)];
	char path[PATH_MAX], to_path[PATH_MAX];
	int want = rename_want(t, from_dir, src, to_dir, dst, flags);

	if (depth_of(t, to_dir) >= MAX_DEPTH)
		return;
	path_of(t, from_dir, from, path, sizeof(path));
	path_of(t, to_dir, to, to_path, sizeof(to_path));
	remember(t,
		 flags == 0		    ? "rename"
		 : flags == RENAME_EXCHANGE ? "exchange"
					    : "noreplace",
		 path, to_path);
	EXPECT(renameat2(AT_FDCWD, path, AT_FDCWD, to_path, flags), want, path);
	if (want || src == dst)
		return;
	if (flags & RENAME_EXCHANGE) {
		enter(t, from_dir, from, dst);
	} else {
		t->inodes[from_dir].names[from] = -1;
		if (dst >= 0)
			drop_link(t, dst);
	}
	enter(t, to_dir, to, src);
}

static void op_write(struct tree_test *t)
{
	int dir = pick_dir(t), name = below(t, NR_NAMES), inode = t->inodes[dir].names[name];
	struct model_inode *in = &t->inodes[inode < 0 ? 0 : inode];
	char path[PATH_MAX], *bytes;
	int fd;

	if (inode < 0 || in->type != S_IFREG)
		return;
	path_of(t, dir, name, path, sizeof(path));
	remember(t, "write", path, "");
	in->len = below(t, 4) ? below(t, 200) : below(t, MAX_BYTES);
	in->seed = next_random(t);
	bytes = must_alloc(in->len);
	fill_bytes(bytes, in->len, in->seed);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	EXPECT(fd, 0, path);
	if (write(fd, bytes, in->len) != (ssize_t)in->len)
		fail_at(t, __LINE__, "cannot be written", path);
	if (below(t, 20) == 0)
		EXPECT(fsync(fd), 0, path);
	EXPECT(close(fd), 0, path);
	free(bytes);
}

static void op_attributes(struct tree_test *t)
{
	int dir = pick_dir(t), name = below(t, NR_NAMES), inode = t->inodes[dir].names[name];
	struct model_inode *in = &t->inodes[inode < 0 ? 0 : inode];
	char path[PATH_MAX], value[16];
	int want;

	if (inode < 0 || in->type == S_IFLNK)
		return;
	path_of(t, dir, name, path, sizeof(path));
	if (below(t, 2)) {
		remember(t, "chmod", path, "");
		/* Always usable by its owner, since the test need not be root. */
		in->perm = 0700 | (unsigned)below(t, 0100);
		EXPECT(chmod(path, in->perm), 0, path);
		return;
	}
	if (in->type == S_IFIFO)
		return;
	if (below(t, 3) == 0) {
		remember(t, "removexattr", path, "");
		want = in->tag ? 0 : ENODATA;
		in->tag = 0;
		EXPECT(removexattr(path, "user.tag"), want, path);
		return;
	}
	remember(t, "setxattr", path, "");
	in->tag = 1 + below(t, 1000000);
	snprintf(value, sizeof(value), "%d", in->tag);
	EXPECT(setxattr(path, "user.tag", value, strlen(value), 0), 0, path);
}

static void check_inode(struct tree_test *t, const struct model_inode *in, const char *path)
{
	int nlink = in->type == S_IFDIR ? 2 + nr_subdirs(t, in) : in->nlink;
	char value[16] = "", text[160], *want, *seen;
	struct stat st;
	ssize_t n;
	int fd;

	if (lstat(path, &st))
		fail_at(t, __LINE__, "is not there", path);
	if ((st.st_mode & S_IFMT) != in->type || st.st_ino != in->ino ||
	    (int)st.st_nlink != nlink || (st.st_mode & 07777) != in->perm) {
		snprintf(text, sizeof(text),
			 "expected mode %o, %d links, number %llu, seen %o, %d, %llu",
			 in->type | in->perm, nlink, (unsigned long long)in->ino, st.st_mode,
			 (int)st.st_nlink, (unsigned long long)st.st_ino);
		fail_at(t, __LINE__, text, path);
	}
	if (in->type == S_IFREG || in->type == S_IFDIR) {
		n = getxattr(path, "user.tag", value, sizeof(value) - 1);
		if ((n > 0 ? atoi(value) : 0) != in->tag)
			fail_at(t, __LINE__, "has another user.tag", path);
	}
	if (in->type != S_IFREG)
		return;
	want = must_alloc(in->len);
	seen = must_alloc(in->len + 1);
	fill_bytes(want, in->len, in->seed);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, seen, in->len + 1);
	if (n != (ssize_t)in->len || memcmp(want, seen, in->len))
		fail_at(t, __LINE__, "has other bytes", path);
	close(fd);
	free(want);
	free(seen);
}

static void check_dir(struct tree_test *t, int dir)
{
	struct model_inode *in = &t->inodes[dir];
	bool seen[NR_NAMES] = {false};
	char path[PATH_MAX];
	struct dirent *de;
	DIR *stream;
	int name;

	path_of(t, dir, -1, path, sizeof(path));
	check_inode(t, in, path);
	stream = opendir(path);
	if (!stream)
		fail_at(t, __LINE__, "cannot be listed", path);
	while ((de = readdir(stream))) {
		if (de->d_name[0] == '.')
			continue;
		name = atoi(de->d_name + 1);
		if (name < 0 || name >= NR_NAMES || in->names[name] < 0 || seen[name])
			fail_at(t, __LINE__, "lists a name too many", path);
		seen[name] = true;
	}
	closedir(stream);
	for (int i = 0; i < NR_NAMES; i++) {
		if (in->names[i] < 0)
			continue;
		if (!seen[i])
			fail_at(t, __LINE__, "misses a name", path);
		if (t->inodes[in->names[i]].type == S_IFDIR)
			check_dir(t, in->names[i]);
		else
			check_inode(t, &t->inodes[in->names[i]],
				    path_of(t, dir, i, path, sizeof(path)));
	}
	verdict(__FILE__, __LINE__, true, "%s", "");
}

/* Anything, in the directory that all share; only errors that no race explains count. */
static void op_chaos(struct tree_test *t)
{
	char a[64], b[64];
	long ret = 0;
	int fd;

	snprintf(a, sizeof(a), "../shared/c%d", below(t, 6));
	snprintf(b, sizeof(b), "../shared/c%d/c%d", below(t, 6), below(t, 6));
	errno = 0;
	switch (below(t, 10)) {
	case 0:
		ret = mkdir(a, 0755);
		break;
	case 1:
		ret = mkdir(b, 0755);
		break;
	case 2:
		ret = rename(a, b);
		break;
	case 3:
		ret = rename(b, a);
		break;
	case 4:
		ret = link(a, b);
		break;
	case 5:
		ret = below(t, 2) ? unlink(a) : unlink(b);
		break;
	case 6:
		ret = below(t, 2) ? rmdir(a) : rmdir(b);
		break;
	case 7:
		ret = renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
		break;
	default:
		fd = open(below(t, 2) ? a : b, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		if (fd >= 0) {
			ret = write(fd, "x", 1) == 1 ? 0 : -1;
			close(fd);
		} else {
			ret = -1;
		}
	}
	if (ret == -1 && errno != ENOENT && errno != EEXIST && errno != ENOTDIR &&
	    errno != EISDIR && errno != ENOTEMPTY && errno != EPERM && errno != EINVAL)
		fail_at(t, __LINE__, strerrorname_np(errno), "shared");
}

static void run_process(int idx, uint64_t seed, double deadline)
{
	static void (*const ops[])(struct tree_test * t) = {
		op_make,       op_make,	  op_make,   op_make,	op_remove,
		op_remove,     op_link,	  op_link,   op_write,	op_write,
		op_attributes, op_rename, op_rename, op_rename, op_chaos,
	};
	struct tree_test *t = must_alloc(sizeof(*t));
	char name[16];
	struct stat st;

	t->rng = (seed * NR_PROCS + idx + 1) * 0x9e3779b97f4a7c15u | 1;
	snprintf(name, sizeof(name), "own%d", idx);
	if (mkdir(name, 0755) || chdir(name) || stat(".", &st))
		fail_at(t, __LINE__, "cannot be made", name);
	t->inodes[0] = (struct model_inode){.type = S_IFDIR, .perm = 0755, .ino = st.st_ino};
	for (int i = 0; i < NR_NAMES; i++)
		t->inodes[0].names[i] = -1;
	while (seconds_now() < deadline) {
		ops[below(t, sizeof(ops) / sizeof(ops[0]))](t);
		if (below(t, 500) == 0)
			check_dir(t, 0);
	}
	if (idx == 0)
		drop_caches();
	check_dir(t, 0);
	free(t);
	_exit(0);
}

/* After all: what the shared directory lists can be examined, and link counts add up. */
static void check_shared(const char *path)
{
	struct stat st, child;
	struct dirent *de;
	char name[PATH_MAX];
	unsigned nr_dirs = 0;
	DIR *dir = opendir(path);

	if (!CHECK(dir != NULL))
		return;
	while ((de = readdir(dir))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		snprintf(name, sizeof(name), "%.2000s/%s", path, de->d_name);
		child = STAT(name);
		EQ(child.st_ino, de->d_ino);
		if (S_ISDIR(child.st_mode)) {
			nr_dirs++;
			check_shared(name);
		}
	}
	closedir(dir);
	st = STAT(path);
	EQ(st.st_nlink, 2 + nr_dirs);
}

int main(int argc, char **argv)
{
	double seconds = argc > 2 ? atof(argv[2]) : 10;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL);
	char top[PATH_MAX];
	pid_t pids[NR_PROCS];
	bool bad;

	if (argc < 2 || argc > 4 || !seconds) {
		fprintf(stderr, "usage: %s DIR [SECONDS [SEED]]\n", argv[0]);
		return 2;
	}
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	snprintf(top, sizeof(top), "%s/posix_tree.XXXXXX", argv[1]);
	if (tally == MAP_FAILED || !mkdtemp(top) || chdir(top) || mkdir("shared", 0755)) {
		perror(top);
		return 1;
	}
	umask(022);
	running_check = "tree";
	printf("posix_tree: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	for (int i = 0; i < NR_PROCS; i++) {
		pids[i] = child_begin();
		if (pids[i] == 0)
			run_process(i, seed, seconds_now() + seconds);
	}
	for (int i = 0; i < NR_PROCS; i++)
		child_wait(__FILE__, __LINE__, pids[i]);
	check_shared("shared");
	bad = atomic_load(&tally->failed) != 0;
	if (bad)
		printf("posix_tree: left %s as it is\n", top);
	else if (chdir("/") || remove_tree(top))
		perror(top);
	printf("posix_tree: %ld passed, %ld failed\n", atomic_load(&tally->passed),
	       atomic_load(&tally->failed));
	return bad;
}
