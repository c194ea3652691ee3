/* A shard as a directory of real files: names, locks and space. Transfers are ring_uring.c's and ring_sync.c's.
 *
 * Whoever can write to a shard's directory could plant a symbolic link in it and have us write through it elsewhere.
 * So no name is ever resolved out of the directory or through a link: openat2() with RESOLVE_BENEATH and
 * RESOLVE_NO_SYMLINKS, or, where the kernel lacks it, one component at a time with O_NOFOLLOW. Calls that take a
 * directory and a last component (mkdirat, renameat, unlinkat) do not follow a link there. */
#include "raid/store_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "conf/base.h"

#define STORE_DIR_LOCK	"lock"
#define STORE_DIR_PROBE ".matfs-probe"

/* ---- names ---- */

/* One component: not empty, not . or .., and short enough for a buffer. */
static bool store_dir_component_ok(const char *name, size_t len)
{
	if (len == 0 || len > NAME_MAX)
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* Split "dir/last" or "last". @dir gets NAME_MAX + 1 bytes, "" for the top. */
static int store_dir_split(const char *name, char *dir, const char **last)
{
	const char *slash = strchr(name, '/');

	dir[0] = '\0';
	*last = name;
	if (slash) {
		size_t len = (size_t)(slash - name);

		if (!store_dir_component_ok(name, len))
			return -EINVAL;
		memcpy(dir, name, len);
		dir[len] = '\0';
		*last = slash + 1;
		if (strchr(*last, '/'))
			return -EINVAL;
	}
	return store_dir_component_ok(*last, strlen(*last)) ? 0 : -EINVAL;
}

static int store_dir_openat2(int dir_fd, const char *name, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)flags,
		.mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	/* EAGAIN: a rename somewhere on the machine raced with the walk. */
	do {
		fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
	} while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

static int store_dir_openat(int dir_fd, const char *name, int flags, mode_t mode)
{
	int fd;

	do {
		fd = openat(dir_fd, name, flags | O_NOFOLLOW, mode);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

/* Open @name, which was split into @dir and @last. Returns a descriptor or a negative errno. */
static int store_dir_walk(struct store *s, const char *name, int flags, mode_t mode)
{
	char dir[NAME_MAX + 1];
	AUTO_FD int fd = -1;
	const char *last;
	int err;

	flags |= O_CLOEXEC;
	err = store_dir_split(name, dir, &last);
	if (err)
		return err;
	if (s->has_openat2)
		return store_dir_openat2(s->dir_fd, name, flags, mode);
	if (!dir[0])
		return store_dir_openat(s->dir_fd, last, flags, mode);
	fd = store_dir_openat(s->dir_fd, dir, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	return store_dir_openat(fd, last, flags, mode);
}

/* The directory that holds @name, for the calls that take one, and the last component. The top's own descriptor is
 * duplicated, so that the caller closes what it gets. */
static int store_dir_parent(struct store *s, const char *name, const char **last)
{
	char dir[NAME_MAX + 1];
	int err, fd;

	err = store_dir_split(name, dir, last);
	if (err)
		return err;
	if (dir[0])
		return store_dir_walk(s, dir, O_PATH | O_DIRECTORY, 0);
	fd = fcntl(s->dir_fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

/* Open the directory @name for reading; "" is the top, opened anew so that its position is the caller's own. */
static int store_dir_subdir(struct store *s, const char *name)
{
	if (name[0])
		return store_dir_walk(s, name, O_RDONLY | O_DIRECTORY, 0);
	return store_dir_openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

/* ---- the directory ---- */

int store_dir_attach(const char *path, bool rdonly, struct store **out)
{
	struct store *s = calloc(1, sizeof(*s));
	struct stat st;
	int err, fd;

	if (!s)
		return -ENOMEM;
	s->lock_fd = -1;
	s->rdonly = rdonly;
	s->path = strdup(path);
	err = s->path ? 0 : -ENOMEM;
	/* The path itself is the user's word: links in it are followed. */
	s->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!err && s->dir_fd < 0)
		err = -errno;
	if (!err && fstat(s->dir_fd, &st) < 0)
		err = -errno;
	if (err) {
		store_dir_detach(s);
		return err;
	}
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	/* Seccomp filters older than the call answer EPERM. */
	fd = store_dir_openat2(s->dir_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	s->has_openat2 = fd >= 0;
	if (fd >= 0)
		close(fd);
	*out = s;
	return 0;
}

void store_dir_detach(struct store *s)
{
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s->path);
	free(s);
}

/* The directory is held open, so its inode number cannot have been given to another one meanwhile. */
int store_dir_alive(struct store *s)
{
	struct stat st;

	if (stat(s->path, &st) < 0 || st.st_dev != s->dev || st.st_ino != s->ino)
		return -ENODEV;
	return 0;
}

int store_dir_probe(struct store *s)
{
	int err = 0, fd;

	if (s->rdonly)
		return -EROFS;
	/* A file without a name leaves nothing behind if we are killed here. NFS and others have no such. */
	fd = store_dir_openat(s->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		fd = store_dir_walk(s, STORE_DIR_PROBE, O_RDWR | O_CREAT, 0600);
		if (fd < 0)
			return fd;
		if (unlinkat(s->dir_fd, STORE_DIR_PROBE, 0) < 0)
			err = -errno;
	}
	/* No byte is written first: on a full file system the answer must not be -ENOSPC. */
	if (!err && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLOCK_LEN) < 0)
		err = errno == ENOSYS ? -EOPNOTSUPP : -errno;
	close(fd);
	return err;
}

/* The text at the head of the lock file, one printable line. It is for people only. */
static void store_dir_owner_read(int fd, char *other, size_t other_len)
{
	ssize_t n;

	if (other_len == 0)
		return;
	n = pread(fd, other, other_len - 1, 0);
	n = n < 0 ? 0 : n;
	for (ssize_t i = 0; i < n; i++) {
		if (other[i] == '\n' || other[i] == '\0')
			n = i;
		else if ((unsigned char)other[i] < ' ' || other[i] == 0x7f)
			other[i] = '?';
	}
	other[n] = '\0';
}

static void store_dir_owner_write(int fd, const char *owner)
{
	size_t len = strlen(owner);

	/* Without its text the lock holds all the same. The sync carries it to an NFS server, where another machine's
	 * user will read it. */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, owner, len, 0) != (ssize_t)len)
		return;
	fdatasync(fd);
}

/* An OFD lock: it belongs to the open file, so it survives a fork and keeps out a second mount in this process too;
 * NFS carries it between machines. */
int store_dir_lock(struct store *s, bool exclusive, const char *owner, char *other,
		   size_t other_len)
{
	struct flock fl = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
	AUTO_FD int fd = -1;
	int err;

	if (s->lock_fd >= 0)
		return -EALREADY;
	if (exclusive && s->rdonly)
		return -EROFS;
	fd = store_dir_walk(s, STORE_DIR_LOCK, s->rdonly ? O_RDONLY : O_RDWR | O_CREAT, 0600);
	/* Where nobody has ever written and we may not either, there is nobody to keep away. */
	if (fd == -ENOENT && s->rdonly)
		return 0;
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &fl) < 0) {
		err = errno;
		if (err != EAGAIN && err != EACCES)
			return -err;
		/* The text is that of the last writer: tell a reader apart, it left none. */
		if (fcntl(fd, F_OFD_GETLK, &fl) == 0 && fl.l_type == F_RDLCK)
			snprintf(other, other_len, "a read-only mount");
		else
			store_dir_owner_read(fd, other, other_len);
		return -EBUSY;
	}
	if (exclusive)
		store_dir_owner_write(fd, owner);
	s->lock_fd = TAKE_FD(fd);
	return 0;
}

int store_dir_space(struct store *s, struct store_space *out)
{
	struct statvfs vfs;

	if (fstatvfs(s->dir_fd, &vfs) < 0)
		return -errno;
	/* bavail also for root: what the file system keeps back is the system's, not ours to fill. */
	*out = (struct store_space){
		.total = (uint64_t)vfs.f_blocks * vfs.f_frsize,
		.avail = (uint64_t)vfs.f_bavail * vfs.f_frsize,
		.dev = s->dev,
	};
	return 0;
}

int store_dir_mkdir(struct store *s, const char *name)
{
	AUTO_FD int parent = -1;
	AUTO_FD int fd = -1;
	const char *last;

	if (s->rdonly)
		return -EROFS;
	parent = store_dir_parent(s, name, &last);
	if (parent < 0)
		return parent;
	if (mkdirat(parent, last, 0700) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	/* What is there must be a directory, and no link to one. */
	fd = store_dir_walk(s, name, O_PATH | O_DIRECTORY, 0);
	return fd < 0 ? fd : 0;
}

/* The same file once more with O_DIRECT, by its open descriptor, so that no other can have taken its name. Where that
 * is not to be had (the file system has none, /proc is not there), the page cache serves. */
static int store_dir_open_direct(int fd, int how)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, how | O_DIRECT | O_CLOEXEC);
}

int store_dir_open(struct store *s, const char *name, unsigned flags, struct store_file **out)
{
	bool rdonly = flags & STORE_RDONLY;
	int how = rdonly ? O_RDONLY : O_RDWR;
	AUTO_FREE struct store_file *f = malloc(sizeof(*f));
	AUTO_FD int fd = -1;
	struct stat st;

	if (!f)
		return -ENOMEM;
	if (s->rdonly && (!rdonly || flags & STORE_CREATE))
		return -EROFS;
	if (flags & STORE_CREATE)
		how |= O_CREAT | O_EXCL;
	/* Not to hang on a FIFO that lies where a file should. */
	fd = store_dir_walk(s, name, how | O_NONBLOCK | O_NOCTTY, 0600);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	/* Left on, io_uring would answer EAGAIN instead of waiting. */
	if (fcntl(fd, F_SETFL, 0) < 0)
		return -errno;
	f->direct_fd = -1;
	if (flags & STORE_DIRECT)
		f->direct_fd = store_dir_open_direct(fd, rdonly ? O_RDONLY : O_RDWR);
	f->fd = TAKE_FD(fd);
	f->rdonly = rdonly;
	atomic_init(&f->no_direct, false);
	*out = TAKE_PTR(f);
	return 0;
}

void store_dir_close(struct store_file *f)
{
	close(f->fd);
	if (f->direct_fd >= 0)
		close(f->direct_fd);
	free(f);
}

int store_dir_rename(struct store *s, const char *from, const char *to)
{
	AUTO_FD int from_fd = -1;
	AUTO_FD int to_fd = -1;
	const char *from_last, *to_last;

	if (s->rdonly)
		return -EROFS;
	from_fd = store_dir_parent(s, from, &from_last);
	if (from_fd < 0)
		return from_fd;
	to_fd = store_dir_parent(s, to, &to_last);
	if (to_fd < 0)
		return to_fd;
	return renameat(from_fd, from_last, to_fd, to_last) < 0 ? -errno : 0;
}

int store_dir_unlink(struct store *s, const char *name)
{
	AUTO_FD int parent = -1;
	const char *last;

	if (s->rdonly)
		return -EROFS;
	parent = store_dir_parent(s, name, &last);
	if (parent < 0)
		return parent;
	return unlinkat(parent, last, 0) < 0 ? -errno : 0;
}

int store_dir_sync_dir(struct store *s, const char *name)
{
	AUTO_FD int fd = -1;

	if (s->rdonly)
		return -EROFS;
	fd = store_dir_subdir(s, name);
	if (fd < 0)
		return fd;
	/* EINVAL: this file system has no fsync of directories, its names go out as they are made. */
	return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

int store_dir_list(struct store *s, const char *name, int (*fn)(void *arg, const char *entry),
		   void *arg)
{
	int fd = store_dir_subdir(s, name);
	struct dirent *entry;
	int err = 0;
	DIR *dir;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		err = -errno;
		close(fd);
		return err;
	}
	while (!err) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			err = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			err = fn(arg, entry->d_name);
	}
	closedir(dir);
	return err;
}

/* ---- files ---- */

int store_dir_size(struct store_file *f, uint64_t *out)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	*out = (uint64_t)st.st_size;
	return 0;
}

/* Offsets that off_t cannot hold are a mistake here, not on the disk. */
static bool store_dir_range_ok(uint64_t off, uint64_t len)
{
	uint64_t end;

	return !__builtin_add_overflow(off, len, &end) && end <= INT64_MAX;
}

static int store_dir_fallocate(struct store_file *f, int mode, uint64_t off, uint64_t len)
{
	if (f->rdonly)
		return -EBADF;
	if (!store_dir_range_ok(off, len))
		return -EFBIG;
	if (len == 0)
		return 0;
	while (fallocate(f->fd, mode, (off_t)off, (off_t)len) < 0) {
		if (errno == ENOSYS)
			return -EOPNOTSUPP;
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int store_dir_allocate(struct store_file *f, uint64_t off, uint64_t len)
{
	return store_dir_fallocate(f, FALLOC_FL_KEEP_SIZE, off, len);
}

int store_dir_punch(struct store_file *f, uint64_t off, uint64_t len)
{
	return store_dir_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
}

int store_dir_truncate(struct store_file *f, uint64_t len)
{
	if (f->rdonly)
		return -EBADF;
	if (!store_dir_range_ok(0, len))
		return -EFBIG;
	while (ftruncate(f->fd, (off_t)len) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

void store_dir_advise(struct store_file *f, uint64_t off, uint64_t len)
{
	/* Whatever becomes of it, the read that follows tells. */
	if (store_dir_range_ok(off, len))
		(void)posix_fadvise(f->fd, (off_t)off, (off_t)len, POSIX_FADV_WILLNEED);
}

/* lseek moves the one position that all threads share, but nobody reads there: transfers carry their own offset. */
int store_dir_seek_data(struct store_file *f, uint64_t off, uint64_t *start, uint64_t *end)
{
	off_t data, hole;
	uint64_t size = 0;
	int err;

	if (!store_dir_range_ok(off, 0))
		return -ENXIO;
	data = lseek(f->fd, (off_t)off, SEEK_DATA);
	if (data < 0 && errno != EINVAL && errno != EOPNOTSUPP)
		return -errno;
	if (data < 0) {
		/* This file system does not tell: all of it is data. */
		err = store_dir_size(f, &size);
		if (err)
			return err;
		if (off >= size)
			return -ENXIO;
		*start = off;
		*end = size;
		return 0;
	}
	hole = lseek(f->fd, data, SEEK_HOLE);
	if (hole < 0)
		return -errno;
	*start = (uint64_t)data;
	*end = (uint64_t)hole;
	return 0;
}
