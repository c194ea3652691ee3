/* Random operations on a few files by every way there is, and a model of the files in memory: what fsx does, after an
 * idea of Apple's, for mixed access. Several descriptors with different flags (O_DIRECT, O_APPEND, O_SYNC ...) and
 * mappings are open on a file at once, and each operation takes any of them.
 *
 *	fsx [options] DIR
 *
 *	--seed N --ops N     the same seed does the same operations; printed
 *	--max BYTES          files grow up to this
 *	--full               the disk is small: ENOSPC may come, and must leave what was there
 *	--no-direct --no-mmap --no-eviction   without those (xfs needs --no-direct: it refuses direct reads of
 *	                     places that were just written through the cache with EIO)
 *	--drop-caches        drop the kernel's caches now and then (root)
 *	--state FILE         go on with the files that FILE (outside of DIR) knows, and keep it: remount between two runs
 *	--record FILE        for kills: note the state after each operation, end quietly when the mount is gone
 *	--verify FILE        is DIR one of the recorded states, not older than what was synced?
 *	--fault KIND         lose the middle one of the operations, or forge a model: must be found. KIND: see fault_names
 *
 * The result of every operation is compared, and now and then whole files, read in every way. At a difference the last
 * operations are printed. Exit status: 0 all is right, 1 a difference, 2 it could not run. */
#include "fsx.h"

#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <limits.h>
#include <stdarg.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

enum {
	NR_NAMES = 2,
	NR_FILES = 4, /* some have lost their name */
	NR_DESCS = 10,
	NR_MAPS = 4,
	NR_LOG = 100,
	LOG_LEN = 160,
	UNIT = 512,	      /* of who wrote last */
	MAX_IO = 300 << 10,   /* of one operation, but for large ones */
	OP_SECONDS = 120,     /* a hung file system is a failure */
	RECORD_IO = 48 << 10, /* one request, so that it is there whole or not at all */
	FULL_IO = 768 << 10,  /* one request at most, and the part of a page before it */
};

struct file {
	bool used;
	int name; /* index; -1: has none any more */
	uint8_t *want;
	uint32_t *by; /* for each UNIT: the operation that wrote there last */
	uint64_t size;
	struct timespec mtime;
	long changed; /* the last operation that changed it */
};

struct desc {
	int fd; /* -1: unused */
	int flags;
	struct file *file;
	uint64_t pos;
};

struct map {
	uint8_t *p; /* NULL: unused */
	struct file *file;
	uint64_t off;
	size_t len;
	bool writable;
};

static const char *const fault_names[] = {
	"lost-write",  /* a write is not done */
	"short-write", /* its last byte is not */
	"lost-append", "lost-truncate",
	"lost-punch",  "lost-store", /* through a mapping */
	"stale-read",		     /* a read gives what was read before */
	"wrong-model", NULL,
};

static struct {
	struct rng rng;
	const char *dir, *state, *record, *fault;
	uint64_t max;
	long ops, op, fault_op;
	bool full, no_direct, no_mmap, no_eviction, drop;
	bool fault_done, fuse;
	int record_fd;
	long synced; /* all up to this operation is durable */
	struct file file[NR_FILES];
	struct desc desc[NR_DESCS];
	struct desc *pinned; /* not to be closed for want of descriptors */
	struct map map[NR_MAPS];
	uint8_t *buf, *seen; /* aligned, max long */
	char log[NR_LOG][LOG_LEN];
	long nr_log;
	long nr_full;
} t;

/* ---- what happened ---- */

static void __attribute__((format(printf, 1, 2))) note(const char *fmt, ...)
{
	char *line = t.log[t.nr_log++ % NR_LOG];
	int len = snprintf(line, LOG_LEN, "%6ld ", t.op);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + len, LOG_LEN - (size_t)len, fmt, ap);
	va_end(ap);
}

static void print_log(void)
{
	long from = t.nr_log > NR_LOG ? t.nr_log - NR_LOG : 0;

	for (long i = from; i < t.nr_log; i++)
		fprintf(stderr, "%s\n", t.log[i % NR_LOG]);
	for (int i = 0; i < NR_FILES; i++)
		if (t.file[i].used)
			fprintf(stderr, "file %d: name %d, %llu bytes\n", i, t.file[i].name,
				(unsigned long long)t.file[i].size);
}

static void __attribute__((noreturn, format(printf, 1, 2))) wrong(const char *fmt, ...)
{
	va_list ap;

	print_log();
	fprintf(stderr, "fsx: operation %ld: ", t.op);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	exit(1);
}

static void hung(int sig)
{
	static const char text[] = "fsx: no answer; the last operations:\n";

	(void)sig;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	print_log();
	_exit(1);
}

static bool mount_gone(int err)
{
	/* (What a daemon had got by io_uring ends with ECANCELED when it is killed.) */
	return err == ENOTCONN || err == ECONNABORTED || err == ENODEV || err == EIO ||
	       err == ECANCELED;
}

static void record_state(char what);

/* An operation failed that must not. With --record the mount may be gone; then its change may be there or not. */
static void __attribute__((noreturn)) refused(const char *what)
{
	int err = errno;

	if (t.record && mount_gone(err)) {
		/* The model has it already where it is a change. */
		record_state('?');
		exit(0);
	}
	wrong("%s: %s", what, strerror(err));
}

/* Less was done than asked: the mount may have gone after a part of it. */
static void cut_short(const char *what)
{
	struct statfs fs;

	if (t.record && statfs(".", &fs))
		refused(what);
}

/* A page of a mapping cannot be had: with --record the mount may be gone, and nothing is being changed just then. Not a
 * place for stdio, but it is our own access that brought us here. */
static void no_page(int sig)
{
	(void)sig;
	if (t.record) {
		record_state('?');
		_exit(0);
	}
	hung(sig);
}

/* (Of a file without a name nobody would notice, should it be gone soon.) */
static bool fault(const char *kind, const struct file *f)
{
	if (!t.fault || strcmp(t.fault, kind) || t.op < t.fault_op || t.fault_done || f->name < 0)
		return false;
	t.fault_done = true;
	note("(fault: %s)", kind);
	return true;
}

static int file_idx(const struct file *f)
{
	return (int)(f - t.file);
}

/* ---- the model ---- */

static const char *name_of(int name)
{
	return name ? "b" : "a";
}

static struct file *file_named(int name)
{
	for (int i = 0; i < NR_FILES; i++)
		if (t.file[i].used && t.file[i].name == name)
			return &t.file[i];
	return NULL;
}

static void model_touch(struct file *f, uint64_t off, uint64_t end)
{
	f->changed = t.op;
	for (uint64_t i = off / UNIT; i < (end + UNIT - 1) / UNIT && i < t.max / UNIT; i++)
		f->by[i] = (uint32_t)t.op;
}

static void model_size(struct file *f, uint64_t size)
{
	if (size < f->size)
		memset(f->want + size, 0, f->size - size);
	f->changed = t.op;
	f->size = size;
}

static void model_write(struct file *f, uint64_t off, const uint8_t *p, uint64_t len)
{
	if (off + len > f->size)
		f->size = off + len;
	memcpy(f->want + off, p, len);
	model_touch(f, off, off + len);
	if (len && fault("wrong-model", f))
		f->want[off + len / 2] ^= 1;
}

static void model_zero(struct file *f, uint64_t off, uint64_t len, bool grow)
{
	uint64_t end = off + len;

	if (grow && end > f->size)
		f->size = end;
	if (end > f->size)
		end = f->size;
	if (off < end) {
		memset(f->want + off, 0, end - off);
		model_touch(f, off, end);
	}
	f->changed = t.op;
}

/* ---- comparing ---- */

static void compare(const struct file *f, uint64_t off, const uint8_t *p, uint64_t len,
		    const char *how)
{
	size_t i = first_difference(p, f->want + off, len), n = i;

	if (i == len)
		return;
	while (n < len && p[n] != f->want[off + n])
		n++;
	wrong("file %d, %llu+%llu by %s: byte %llu (extent +%llu, page +%llu): expected %#x, seen "
	      "%#x; "
	      "%zu bytes in a row are wrong; operation %u wrote there last",
	      file_idx(f), (unsigned long long)off, (unsigned long long)len, how,
	      (unsigned long long)(off + i), (unsigned long long)((off + i) % EXTENT),
	      (unsigned long long)((off + i) % PAGE), f->want[off + i], p[i], n - i,
	      f->by[(off + i) / UNIT]);
}

/* @n bytes came for @len from @off. */
static void check_read(const struct file *f, uint64_t off, uint64_t len, ssize_t n, const char *how)
{
	uint64_t want = off >= f->size ? 0 : f->size - off < len ? f->size - off : len;

	if (n < 0)
		refused(how);
	if ((uint64_t)n < want)
		cut_short(how);
	if ((uint64_t)n != want)
		wrong("file %d, %llu+%llu by %s: expected %llu bytes of %llu in all, seen %zd",
		      file_idx(f), (unsigned long long)off, (unsigned long long)len, how,
		      (unsigned long long)want, (unsigned long long)f->size, n);
}

static bool older(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* @since: the change was after this; NULL: there was none. */
static void check_stat(struct desc *d, const struct timespec *since)
{
	struct file *f = d->file;
	struct stat st;

	if (fstat(d->fd, &st))
		refused("fstat");
	if ((uint64_t)st.st_size != f->size)
		wrong("file %d: fstat: expected %llu bytes, seen %llu", file_idx(f),
		      (unsigned long long)f->size, (unsigned long long)st.st_size);
	/* Allocation in advance may take more than there are bytes, but not without end. */
	if (st.st_blocks < 0 || (uint64_t)st.st_blocks * 512 > t.max * 4 + (16 << 20))
		wrong("file %d: fstat: %lld blocks for %llu bytes", file_idx(f),
		      (long long)st.st_blocks, (unsigned long long)f->size);
	if (older(&st.st_mtim, &f->mtime))
		wrong("file %d: mtime goes backwards by %lld ns", file_idx(f),
		      (long long)(f->mtime.tv_sec - st.st_mtim.tv_sec) * 1000000000LL +
			      f->mtime.tv_nsec - st.st_mtim.tv_nsec);
	if (since && older(&st.st_mtim, since))
		wrong("file %d: mtime is older than the change, by %lld ns", file_idx(f),
		      (long long)(since->tv_sec - st.st_mtim.tv_sec) * 1000000000LL +
			      since->tv_nsec - st.st_mtim.tv_nsec);
	f->mtime = st.st_mtim;
}

static struct timespec now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return ts;
}

/* ---- descriptors ---- */

static bool desc_reads(const struct desc *d)
{
	return (d->flags & O_ACCMODE) != O_WRONLY;
}

static bool desc_writes(const struct desc *d)
{
	return (d->flags & O_ACCMODE) != O_RDONLY;
}

static const char *flag_text(int flags)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s%s%s%s%s",
		 (flags & O_ACCMODE) == O_RDONLY   ? "r"
		 : (flags & O_ACCMODE) == O_WRONLY ? "w"
						   : "rw",
		 flags & O_DIRECT ? " direct" : "", flags & O_APPEND ? " append" : "",
		 (flags & O_SYNC) == O_SYNC ? " sync" : "", flags & O_TRUNC ? " trunc" : "");
	return text;
}

/* What nothing refers to any more has ended. */
static void file_settle(struct file *f)
{
	if (f->name >= 0)
		return;
	for (int i = 0; i < NR_DESCS; i++)
		if (t.desc[i].fd >= 0 && t.desc[i].file == f)
			return;
	for (int i = 0; i < NR_MAPS; i++)
		if (t.map[i].p && t.map[i].file == f)
			return;
	f->used = false;
}

static void desc_close(struct desc *d)
{
	struct file *f = d->file;

	note("close fd %d (file %d)", d->fd, file_idx(f));
	if (close(d->fd) && !(t.record && mount_gone(errno)))
		refused("close");
	d->fd = -1;
	file_settle(f);
}

static void map_drop(struct map *m)
{
	struct file *f = m->file;

	note("munmap %llu+%zu (file %d)", (unsigned long long)m->off, m->len, file_idx(f));
	munmap(m->p, m->len);
	m->p = NULL;
	file_settle(f);
}

static struct file *file_unused(void)
{
	struct file *f = NULL;

	for (int i = 0; i < NR_FILES && !f; i++)
		if (!t.file[i].used)
			f = &t.file[i];
	if (!f) {
		/* The eldest without a name leaves. */
		for (int i = 0; i < NR_FILES && !f; i++)
			if (t.file[i].name < 0)
				f = &t.file[i];
		for (int i = 0; i < NR_MAPS; i++)
			if (t.map[i].p && t.map[i].file == f)
				map_drop(&t.map[i]);
		for (int i = 0; i < NR_DESCS; i++)
			if (t.desc[i].fd >= 0 && t.desc[i].file == f)
				desc_close(&t.desc[i]);
	}
	return f;
}

static struct desc *desc_unused(void)
{
	int i;

	for (i = 0; i < NR_DESCS; i++)
		if (t.desc[i].fd < 0)
			return &t.desc[i];
	do
		i = (int)rng_below(&t.rng, NR_DESCS);
	while (&t.desc[i] == t.pinned);
	desc_close(&t.desc[i]);
	return &t.desc[i];
}

/* Open name @name with @flags; made new where it is not there. NULL: refused for want of space. */
static struct desc *desc_open(int name, int flags)
{
	struct desc *d = desc_unused();
	struct file *f = file_named(name);
	struct timespec since = now();
	bool new = !f;

	if (new) {
		f = file_unused();
		memset(f->want, 0, t.max);
		f->used = true;
		f->name = name;
		f->size = 0;
		f->mtime = (struct timespec){0};
		f->changed = t.op;
		flags = (flags & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL;
	} else if (flags & O_TRUNC) {
		model_size(f, 0);
	}
	note("open %s (file %d): %s%s", name_of(name), file_idx(f), flag_text(flags),
	     new ? " new" : "");
	d->fd = open(name_of(name), flags | O_CLOEXEC, 0644);
	if (d->fd < 0 && t.full && errno == ENOSPC && new) {
		f->used = false;
		return NULL;
	}
	if (d->fd < 0)
		refused("open");
	d->flags = flags;
	d->file = f;
	d->pos = 0;
	check_stat(d, flags & (O_TRUNC | O_EXCL) ? &since : NULL);
	/* A change of its own; another may follow in the same operation. */
	if (t.record && flags & (O_TRUNC | O_EXCL))
		record_state('.');
	return d;
}

static int some_flags(void)
{
	int flags = rng_in(&t.rng, 5) ? O_WRONLY : rng_in(&t.rng, 6) ? O_RDONLY : O_RDWR;

	if (!t.no_direct && rng_in(&t.rng, 3))
		flags |= O_DIRECT;
	if (rng_in(&t.rng, 6))
		flags |= O_APPEND;
	if (rng_in(&t.rng, 12))
		flags |= O_SYNC;
	if (rng_in(&t.rng, 60) && (flags & O_ACCMODE) != O_RDONLY)
		flags |= O_TRUNC;
	return flags;
}

/* Any descriptor that can; opened where there is none. @not: flags that it must not have. NULL: no space. */
static struct desc *some_desc(bool reads, bool writes, int not )
{
	unsigned from = (unsigned)rng_below(&t.rng, NR_DESCS);
	int flags;

	for (unsigned i = 0; i < NR_DESCS; i++) {
		struct desc *d = &t.desc[(from + i) % NR_DESCS];

		if (d->fd >= 0 && (!reads || desc_reads(d)) && (!writes || desc_writes(d)) &&
		    !(d->flags & not ))
			return d;
	}
	flags = ((some_flags() & ~(O_ACCMODE | O_TRUNC)) | O_RDWR) & ~not ;
	return desc_open((int)rng_below(&t.rng, NR_NAMES), flags);
}

static void seek_to(struct desc *d, uint64_t pos)
{
	if (lseek(d->fd, (off_t)pos, SEEK_SET) != (off_t)pos)
		refused("lseek");
	d->pos = pos;
}

/* What O_DIRECT wants. FUSE takes other places, too, so sometimes not. (ext4 refuses them with EINVAL, but may have
 * written a part by then.) */
static void align(const struct desc *d, uint64_t *off, uint64_t *len)
{
	bool odd = rng_in(&t.rng, 4);

	if (!(d->flags & O_DIRECT) || (odd && t.fuse))
		return;
	*off = *off / PAGE * PAGE;
	*len = (*len + PAGE - 1) / PAGE * PAGE;
	if (*off + *len > t.max)
		*len = PAGE;
	if (*off + *len > t.max)
		*off = t.max - PAGE;
}

static bool may_refuse(const struct desc *d, uint64_t off, uint64_t len)
{
	return !t.fuse && errno == EINVAL && (d->flags & O_DIRECT) && (off % PAGE || len % PAGE);
}

static uint64_t io_len(void)
{
	uint64_t max = t.record ? RECORD_IO : rng_in(&t.rng, 20) ? t.max : MAX_IO;

	/* A write that the kernel cuts into several may fail in the first and be done in the others. */
	if (t.full)
		max = rng_in(&t.rng, 3) ? FULL_IO : MAX_IO;

	return rng_len(&t.rng, max < t.max ? max : t.max);
}

/* ---- reading ---- */

static ssize_t vector_read(struct desc *d, uint64_t off, uint64_t len)
{
	uint64_t cut = rng_below(&t.rng, len + 1), cut2 = cut + rng_below(&t.rng, len - cut + 1);
	struct iovec iov[3] = {
		{t.seen, cut},
		{t.seen + cut, cut2 - cut},
		{t.seen + cut2, len - cut2},
	};

	return preadv(d->fd, iov, 3, (off_t)off);
}

static void op_read(void)
{
	struct desc *d = some_desc(true, false, 0);
	uint64_t len = io_len(), off, kind = rng_below(&t.rng, 4);
	bool stale;
	ssize_t n;

	if (!d)
		return;
	off = rng_off(&t.rng, d->file->size);
	if (off + len > t.max)
		len = t.max - off;
	align(d, &off, &len);
	if (kind == 0 && !(d->flags & O_DIRECT))
		off = d->pos;
	else if (kind == 0)
		seek_to(d, off);
	note("%s fd %d %llu+%llu (file %d, %s)",
	     kind == 0	 ? "read"
	     : kind == 1 ? "preadv"
			 : "pread",
	     d->fd, (unsigned long long)off, (unsigned long long)len, file_idx(d->file),
	     flag_text(d->flags));
	stale = off < d->file->size && len && fault("stale-read", d->file);
	n = kind == 0				  ? read(d->fd, t.seen, len)
	    : kind == 1 && !(d->flags & O_DIRECT) ? vector_read(d, off, len)
						  : pread(d->fd, t.seen, len, (off_t)off);
	if (n < 0 && may_refuse(d, off, len))
		return;
	check_read(d->file, off, len, n, "read");
	if (kind == 0)
		d->pos = off + (uint64_t)n;
	if (stale)
		t.seen[n / 2] ^= 0x55;
	compare(d->file, off, t.seen, (uint64_t)n, d->flags & O_DIRECT ? "read O_DIRECT" : "read");
}

/* The whole file through @fd in steps of @step. */
static void verify_fd(const struct file *f, int fd, uint64_t step, const char *how)
{
	for (uint64_t off = 0; off <= f->size; off += step) {
		ssize_t n = pread(fd, t.seen, step, (off_t)off);

		check_read(f, off, step, n, how);
		compare(f, off, t.seen, (uint64_t)n, how);
	}
}

static void verify_map(const struct file *f, int fd, int type, const char *how)
{
	uint8_t *p;

	if (!f->size)
		return;
	p = mmap(NULL, f->size, PROT_READ, type, fd, 0);
	if (p == MAP_FAILED)
		refused(how);
	compare(f, 0, p, f->size, how);
	munmap(p, f->size);
}

static void verify_sendfile(const struct file *f, int fd)
{
	int to = memfd_create("fsx", MFD_CLOEXEC);
	uint8_t *p;
	off_t off = 0;

	if (to < 0 || !f->size) {
		close(to);
		return;
	}
	while ((uint64_t)off < f->size)
		if (sendfile(to, fd, &off, f->size) <= 0)
			refused("sendfile");
	p = mmap(NULL, f->size, PROT_READ, MAP_SHARED, to, 0);
	if (p != MAP_FAILED) {
		compare(f, 0, p, f->size, "sendfile");
		munmap(p, f->size);
	}
	close(to);
}

static void verify_by_child(const struct file *f)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(name_of(f->name), O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			refused("open in a child");
		verify_fd(f, fd, 77777, "read of another process");
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		refused("fork");
	if (status)
		exit(1);
}

/* SEEK_DATA and SEEK_HOLE: a hole has zeros only, and they take turns. Moves the position. */
static void verify_holes(const struct file *f, int fd)
{
	uint64_t pos = 0;

	/* FUSE asks the server without bringing it what was stored through mappings. */
	if (t.fuse && !t.no_mmap && !t.record && fdatasync(fd))
		refused("fdatasync");
	while (pos < f->size) {
		off_t data = lseek(fd, (off_t)pos, SEEK_DATA), hole;
		uint64_t end = data < 0 ? f->size : (uint64_t)data;

		if (data < 0 && errno != ENXIO)
			refused("SEEK_DATA");
		if (end < pos || end > f->size)
			wrong("file %d: SEEK_DATA from %llu: %lld", file_idx(f),
			      (unsigned long long)pos, (long long)data);
		for (uint64_t i = pos; i < end; i++)
			if (f->want[i])
				wrong("file %d: byte %llu is %#x, but SEEK_DATA from %llu says "
				      "%lld",
				      file_idx(f), (unsigned long long)i, f->want[i],
				      (unsigned long long)pos, (long long)data);
		if (data < 0)
			return;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			refused("SEEK_HOLE");
		/* (ext4 may find a hole right where it found data, when pages leave the cache in between.) */
		if (hole < data || (t.fuse && hole == data) || (uint64_t)hole > f->size)
			wrong("file %d: SEEK_HOLE from %lld: %lld", file_idx(f), (long long)data,
			      (long long)hole);
		pos = (uint64_t)hole + (hole == data);
	}
	if (lseek(fd, (off_t)f->size, SEEK_DATA) >= 0)
		wrong("file %d: data at the end", file_idx(f));
	if (errno != ENXIO)
		refused("SEEK_DATA");
}

static void verify_file(const struct file *f, unsigned ways)
{
	int fd = open(name_of(f->name), O_RDONLY | O_CLOEXEC), direct;

	if (fd < 0)
		refused("open");
	if (ways & 1)
		verify_fd(f, fd, 131072 + 511, "read");
	if (ways & 2 && !t.no_direct) {
		direct = open(name_of(f->name), O_RDONLY | O_DIRECT | O_CLOEXEC);
		if (direct < 0)
			refused("open O_DIRECT");
		verify_fd(f, direct, rng_in(&t.rng, 2) ? EXTENT : 36864, "read O_DIRECT");
		close(direct);
	}
	if (ways & 4 && !t.no_mmap)
		verify_map(f, fd, MAP_SHARED, "mapping");
	/* (The kernel tries for ever to populate from a mount that is gone.) */
	if (ways & 8 && !t.no_mmap)
		verify_map(f, fd, MAP_PRIVATE | (t.record ? 0 : MAP_POPULATE), "private mapping");
	if (ways & 16)
		verify_holes(f, fd);
	if (ways & 32)
		verify_sendfile(f, fd);
	close(fd);
	if (ways & 64)
		verify_by_child(f);
}

static void op_verify(void)
{
	unsigned ways = t.fault_done ? 1 : (unsigned)rng_below(&t.rng, 128);

	note("verify, ways %#x", ways);
	for (int name = 0; name < NR_NAMES; name++) {
		struct file *f = file_named(name);

		if (f)
			verify_file(f, ways);
	}
}

static void op_holes(void)
{
	struct desc *d = some_desc(true, false, 0);

	if (!d)
		return;
	note("holes by fd %d (file %d)", d->fd, file_idx(d->file));
	verify_holes(d->file, d->fd);
	seek_to(d, d->pos);
}

/* ---- writing ---- */

/* What a write that returned @n did. */
static void wrote(struct desc *d, uint64_t off, uint64_t len, ssize_t n,
		  const struct timespec *since, const char *how)
{
	struct file *f = d->file;

	if (n < 0 && t.full && errno == ENOSPC) {
		t.nr_full++;
		note("  ENOSPC");
		check_stat(d, NULL);
		return;
	}
	if (n < 0)
		refused(how);
	if ((uint64_t)n < len && !t.full)
		cut_short(how);
	if ((uint64_t)n > len || ((uint64_t)n < len && !t.full))
		wrong("file %d: %s of %llu: %zd", file_idx(f), how, (unsigned long long)len, n);
	if ((uint64_t)n < len)
		note("  only %zd", n);
	if (!t.record)
		model_write(f, off, t.buf, (uint64_t)n);
	check_stat(d, since);
}

static ssize_t vector_write(struct desc *d, uint64_t off, uint64_t len)
{
	uint64_t cut = rng_below(&t.rng, len + 1);
	struct iovec iov[2] = {{t.buf, cut}, {t.buf + cut, len - cut}};

	return pwritev(d->fd, iov, 2, (off_t)off);
}

static void op_write(void)
{
	struct desc *d = some_desc(false, true, 0);
	uint64_t len = io_len(), off, kind = rng_below(&t.rng, 4);
	struct timespec since;
	struct file *f;
	bool append, changes;
	ssize_t n;

	if (!d)
		return;
	f = d->file;
	append = d->flags & O_APPEND;
	/* Where the end lies elsewhere they cannot go. */
	if (append && d->flags & O_DIRECT && !t.fuse && f->size % PAGE)
		return;
	off = append		  ? f->size
	      : rng_in(&t.rng, 3) ? rng_off(&t.rng, t.max)
				  : rng_off(&t.rng, f->size);
	if (off + len > t.max)
		len = t.max - off;
	if (!append)
		align(d, &off, &len);
	else if (d->flags & O_DIRECT && !t.fuse)
		len = len / PAGE * PAGE;
	if (kind == 0 && !append)
		seek_to(d, off);
	if (!len)
		return;
	rng_fill(&t.rng, t.buf, len);
	note("%s fd %d %llu+%llu (file %d, %s)",
	     kind == 0	 ? "write"
	     : kind == 1 ? "pwritev"
			 : "pwrite",
	     d->fd, (unsigned long long)off, (unsigned long long)len, file_idx(f),
	     flag_text(d->flags));
	if (t.record)
		model_write(f, off, t.buf, len);
	since = now();
	changes = off + len > f->size || t.buf[len - 1] != f->want[off + len - 1];
	if (changes && fault(append ? "lost-append" : "lost-write", f)) {
		n = (ssize_t)len;
	} else if (changes && len > 1 && !(d->flags & O_DIRECT) && fault("short-write", f)) {
		n = pwrite(d->fd, t.buf, len - 1, (off_t)off) + 1;
	} else if (kind == 0) {
		n = write(d->fd, t.buf, len);
		d->pos = n < 0 ? d->pos : off + (uint64_t)n;
	} else if (kind == 1 && !(d->flags & O_DIRECT)) {
		n = vector_write(d, off, len);
	} else {
		/* (With O_APPEND it is at the end all the same.) */
		n = pwrite(d->fd, t.buf, len, append ? 0 : (off_t)off);
	}
	wrote(d, off, len, n, &since, "write");
	if ((d->flags & O_SYNC) == O_SYNC && n > 0)
		t.synced = t.op;
}

static void op_truncate(void)
{
	struct desc *d = some_desc(false, true, 0);
	struct timespec since = now();
	struct file *f;
	uint64_t size;
	bool by_name;
	int err;

	if (!d)
		return;
	f = d->file;
	size = rng_in(&t.rng, 3) ? rng_off(&t.rng, t.max) : rng_off(&t.rng, f->size);
	if (rng_in(&t.rng, 30))
		size = 0;
	by_name = f->name >= 0 && rng_in(&t.rng, 3);
	note("%s to %llu from %llu (file %d)", by_name ? "truncate" : "ftruncate",
	     (unsigned long long)size, (unsigned long long)f->size, file_idx(f));
	if (t.record)
		model_size(f, size);
	if (size != f->size && fault("lost-truncate", f))
		err = 0;
	else
		err = by_name ? truncate(name_of(f->name), (off_t)size)
			      : ftruncate(d->fd, (off_t)size);
	if (err && t.full && errno == ENOSPC) {
		check_stat(d, NULL);
		return;
	}
	if (err)
		refused("truncate");
	model_size(f, size);
	check_stat(d, by_name ? NULL : &since);
}

static bool has_bytes(const struct file *f, uint64_t off, uint64_t len)
{
	for (uint64_t i = off; i < off + len && i < f->size; i++)
		if (f->want[i])
			return true;
	return false;
}

static void op_fallocate(void)
{
	static const int modes[] = {
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		0,
		FALLOC_FL_KEEP_SIZE,
	};
	struct desc *d = some_desc(false, true, 0);
	int mode = modes[rng_below(&t.rng, 6)];
	uint64_t off, len;
	bool grow = !(mode & FALLOC_FL_KEEP_SIZE);
	struct file *f;
	int err;

	if (!d)
		return;
	f = d->file;
	off = rng_off(&t.rng, rng_in(&t.rng, 3) ? t.max - 1 : f->size);
	len = rng_len(&t.rng, rng_in(&t.rng, 4) ? t.max : MAX_IO);
	if (off >= t.max)
		off = t.max - 1;
	if (off + len > t.max)
		len = t.max - off;
	note("fallocate mode %#x %llu+%llu (file %d)", (unsigned)mode, (unsigned long long)off,
	     (unsigned long long)len, file_idx(f));
	if (t.record && mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		model_zero(f, off, len, grow);
	else if (t.record)
		model_size(f, grow && off + len > f->size ? off + len : f->size);
	if (mode & FALLOC_FL_PUNCH_HOLE && has_bytes(f, off, len) && fault("lost-punch", f))
		err = 0;
	else
		err = fallocate(d->fd, mode, (off_t)off, (off_t)len);
	if (err && (errno == EOPNOTSUPP || (t.full && errno == ENOSPC))) {
		if (t.record)
			wrong("fallocate: with --record the file system must know it");
		/* Some extend the file as far as they came. */
		if (errno == EOPNOTSUPP)
			check_stat(d, NULL);
		else if (ftruncate(d->fd, (off_t)f->size))
			refused("ftruncate");
		return;
	}
	if (err)
		refused("fallocate");
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		model_zero(f, off, len, grow);
	else if (grow && off + len > f->size)
		model_size(f, off + len);
	check_stat(d, NULL);
}

static void op_copy(void)
{
	struct desc *from = some_desc(true, false, O_DIRECT), *to;
	uint64_t len = io_len() * (rng_in(&t.rng, 4) && !t.record ? 4 : 1), off, at;
	struct timespec since = now();
	off_t from_off, to_off;
	bool same;
	ssize_t n;

	if (!from || !from->file->size)
		return;
	t.pinned = from;
	to = some_desc(false, true, O_APPEND | O_DIRECT);
	t.pinned = NULL;
	if (!to || from->fd < 0)
		return;
	off = rng_off(&t.rng, from->file->size - 1);
	if (off + len > from->file->size)
		len = from->file->size - off;
	at = rng_in(&t.rng, 4) ? off : rng_off(&t.rng, rng_in(&t.rng, 3) ? t.max : to->file->size);
	/* Pages onto pages can be shared. */
	if (rng_in(&t.rng, 3)) {
		off = off / PAGE * PAGE;
		at = at / PAGE * PAGE;
	}
	if (at + len > t.max)
		len = t.max - at;
	if (!len)
		return;
	same = from->file == to->file;
	note("copy_file_range file %d %llu+%llu to file %d %llu", file_idx(from->file),
	     (unsigned long long)off, (unsigned long long)len, file_idx(to->file),
	     (unsigned long long)at);
	from_off = (off_t)off;
	to_off = (off_t)at;
	if (t.record) {
		if (same && off < at + len && at < off + len)
			return;
		memcpy(t.buf, from->file->want + off, len);
		model_write(to->file, at, t.buf, len);
	}
	n = copy_file_range(from->fd, &from_off, to->fd, &to_off, len, 0);
	if (same && off < at + len && at < off + len) {
		if (n >= 0 || errno != EINVAL)
			wrong("copy_file_range onto itself: expected EINVAL, seen %s",
			      n < 0 ? strerror(errno) : "success");
		return;
	}
	if (n < 0 && t.full && errno == ENOSPC) {
		check_stat(to, NULL);
		return;
	}
	if (n < 0)
		refused("copy_file_range");
	if ((uint64_t)n < len)
		cut_short("copy_file_range");
	if (n == 0 || (uint64_t)n > len || (t.record && (uint64_t)n < len))
		wrong("copy_file_range of %llu: %zd", (unsigned long long)len, n);
	memcpy(t.buf, from->file->want + off, (size_t)n);
	model_write(to->file, at, t.buf, (uint64_t)n);
	check_stat(to, &since);
}

/* ---- mappings ---- */

static void op_map(void)
{
	struct map *m = &t.map[rng_below(&t.rng, NR_MAPS)];
	bool writable = !rng_in(&t.rng, 4);
	struct desc *d = some_desc(true, writable, 0);
	uint64_t off;

	if (!d || !d->file->size)
		return;
	if (m->p)
		map_drop(m);
	off = rng_off(&t.rng, d->file->size) / PAGE * PAGE;
	m->len = (rng_len(&t.rng, rng_in(&t.rng, 6) ? t.max : 256 << 10) + PAGE - 1) / PAGE * PAGE;
	note("mmap %llu+%zu (file %d)%s", (unsigned long long)off, m->len, file_idx(d->file),
	     writable ? ", writable" : "");
	m->p = mmap(NULL, m->len, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, d->fd,
		    (off_t)off);
	if (m->p == MAP_FAILED) {
		m->p = NULL;
		refused("mmap");
	}
	m->file = d->file;
	m->off = off;
	m->writable = writable;
}

/* Any mapping of which some is inside of its file, and some such range. */
static struct map *some_map(bool writes, uint64_t *off, uint64_t *len)
{
	unsigned from = (unsigned)rng_below(&t.rng, NR_MAPS);

	for (unsigned i = 0; i < NR_MAPS; i++) {
		struct map *m = &t.map[(from + i) % NR_MAPS];
		uint64_t end;

		if (!m->p || (writes && !m->writable) || m->file->size <= m->off)
			continue;
		end = m->off + m->len < m->file->size ? m->off + m->len : m->file->size;
		*off = m->off + rng_off(&t.rng, end - m->off - 1);
		*len = rng_len(&t.rng, end - *off);
		if (*len > MAX_IO)
			*len = MAX_IO;
		return m;
	}
	op_map();
	return NULL;
}

static void op_load(void)
{
	uint64_t off, len;
	struct map *m = some_map(false, &off, &len);

	if (!m)
		return;
	note("load %llu+%llu (file %d)", (unsigned long long)off, (unsigned long long)len,
	     file_idx(m->file));
	compare(m->file, off, m->p + (off - m->off), len, "mapping");
}

static void op_store(void)
{
	uint64_t off, len, sync = rng_below(&t.rng, 4);
	struct map *m = some_map(true, &off, &len);

	if (!m)
		return;
	rng_fill(&t.rng, t.buf, len);
	note("store %llu+%llu (file %d)%s", (unsigned long long)off, (unsigned long long)len,
	     file_idx(m->file),
	     sync == 0	 ? ", msync"
	     : sync == 1 ? ", msync later"
			 : "");
	if (t.buf[0] == m->file->want[off] || !fault("lost-store", m->file))
		memcpy(m->p + (off - m->off), t.buf, len);
	model_write(m->file, off, t.buf, len);
	if (sync < 2 && msync(m->p, m->len, sync ? MS_ASYNC : MS_SYNC))
		refused("msync");
}

/* ---- the rest ---- */

static void op_sync(void)
{
	struct desc *d = some_desc(false, false, 0);
	uint64_t kind = rng_below(&t.rng, t.record ? 2 : 5);
	int err = 0;

	if (!d)
		return;
	note("sync %d fd %d (file %d)", (int)kind, d->fd, file_idx(d->file));
	if (kind == 0)
		err = fsync(d->fd);
	else if (kind == 1)
		err = fdatasync(d->fd);
	else if (kind == 2)
		err = syncfs(d->fd);
	else
		err = sync_file_range(d->fd, 0, 0,
				      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					      SYNC_FILE_RANGE_WAIT_AFTER);
	if (err)
		refused("sync");
	if (kind < 2 && d->file->name >= 0 && d->file->changed > t.synced)
		t.synced = d->file->changed;
	check_stat(d, NULL);
}

/* The kernel forgets what it has of the file. */
static void op_evict(void)
{
	static const int advices[] = {POSIX_FADV_DONTNEED, POSIX_FADV_DONTNEED, POSIX_FADV_WILLNEED,
				      POSIX_FADV_RANDOM, POSIX_FADV_SEQUENTIAL};
	struct desc *d = some_desc(false, false, 0);
	int advice = advices[rng_below(&t.rng, 5)];
	int fd;

	if (!d || t.no_eviction)
		return;
	note("fadvise %d fd %d (file %d)", advice, d->fd, file_idx(d->file));
	if (advice == POSIX_FADV_DONTNEED && !t.record && rng_in(&t.rng, 2) && fdatasync(d->fd))
		refused("fdatasync");
	if (posix_fadvise(d->fd, 0, 0, advice))
		refused("fadvise");
	if (t.drop && rng_in(&t.rng, 20)) {
		note("drop_caches");
		fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, rng_in(&t.rng, 2) ? "1" : "3", 1) != 1)
			refused("drop_caches");
		close(fd);
	}
}

static void op_open(void)
{
	desc_open((int)rng_below(&t.rng, NR_NAMES), some_flags());
}

static void op_close(void)
{
	struct desc *d = &t.desc[rng_below(&t.rng, NR_DESCS)];

	if (d->fd >= 0)
		desc_close(d);
}

/* One name takes the other's place; who has the old file open keeps it. */
static void op_rename(void)
{
	int from = (int)rng_below(&t.rng, NR_NAMES), to = 1 - from;
	struct file *moves = file_named(from), *leaves = file_named(to);

	if (!moves)
		return;
	note("rename %s (file %d) over %s", name_of(from), file_idx(moves), name_of(to));
	if (leaves) {
		leaves->name = -1;
		file_settle(leaves);
	}
	moves->name = to;
	moves->changed = t.op;
	if (rename(name_of(from), name_of(to)))
		refused("rename");
}

struct op {
	const char *name;
	void (*run)(void);
	unsigned weight;
	bool map, stale; /* needs mappings; not a change that a record may have */
};

static const struct op op_table[] = {
	{"read", op_read, 16, false, false},	    {"write", op_write, 22, false, false},
	{"truncate", op_truncate, 6, false, false}, {"fallocate", op_fallocate, 8, false, false},
	{"copy", op_copy, 6, false, false},	    {"map", op_map, 3, true, false},
	{"load", op_load, 8, true, false},	    {"store", op_store, 12, true, true},
	{"sync", op_sync, 4, false, false},	    {"evict", op_evict, 4, false, false},
	{"open", op_open, 5, false, false},	    {"close", op_close, 4, false, false},
	{"rename", op_rename, 1, false, false},	    {"holes", op_holes, 3, false, false},
	{"verify", op_verify, 2, false, false},
};

static void one_operation(void)
{
	unsigned sum = 0, at;
	size_t nr = sizeof(op_table) / sizeof(*op_table), i;

	for (i = 0; i < nr; i++)
		sum += op_table[i].weight;
	do {
		at = (unsigned)rng_below(&t.rng, sum);
		for (i = 0; at >= op_table[i].weight; i++)
			at -= op_table[i].weight;
		/* Stores reach the server when the kernel likes; a failed one is noticed too late. */
	} while ((op_table[i].map && (t.no_mmap || t.record)) || (op_table[i].stale && t.full));
	alarm(OP_SECONDS);
	op_table[i].run();
}

/* ---- states that outlive a run ---- */

static void must_io(bool ok, const char *path)
{
	if (ok)
		return;
	fprintf(stderr, "fsx: %s: %s\n", path, strerror(errno));
	exit(2);
}

static void state_load(void)
{
	FILE *in = fopen(t.state, "re");

	if (!in)
		return;
	for (int name = 0; name < NR_NAMES; name++) {
		struct file *f = &t.file[name];
		int there = fgetc(in);

		if (there != '1')
			continue;
		must_io(fread(&f->size, sizeof(f->size), 1, in) == 1 && f->size <= t.max &&
				fread(f->want, 1, f->size, in) == f->size &&
				fread(&f->mtime, sizeof(f->mtime), 1, in) == 1,
			t.state);
		f->used = true;
		f->name = name;
	}
	fclose(in);
	note("state from %s", t.state);
}

static void state_save(void)
{
	FILE *out = fopen(t.state, "we");

	must_io(out, t.state);
	for (int name = 0; name < NR_NAMES; name++) {
		struct file *f = file_named(name);

		fputc(f ? '1' : '0', out);
		if (!f)
			continue;
		fwrite(&f->size, sizeof(f->size), 1, out);
		fwrite(f->want, 1, f->size, out);
		fwrite(&f->mtime, sizeof(f->mtime), 1, out);
	}
	must_io(!fclose(out), t.state);
}

static uint64_t mix(uint64_t h, const uint8_t *p, uint64_t len)
{
	uint64_t x = 0, i;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&x, p + i, 8);
		h = (h ^ x) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	x = len;
	for (; i < len; i++)
		x = x << 8 | p[i];
	h = (h ^ x) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 31;
}

/* A line: the operation, how many are durable, the model's hash. @what: '.' done, '?' perhaps. */
static void record_state(char what)
{
	uint64_t h = 1;

	for (int name = 0; name < NR_NAMES; name++) {
		struct file *f = file_named(name);

		h = f ? mix(h + 2, f->want, f->size) : h * 31;
	}
	dprintf(t.record_fd, "%c %ld %ld %016llx %s\n", what, t.op, t.synced, (unsigned long long)h,
		t.log[(t.nr_log + NR_LOG - 1) % NR_LOG] + 7);
}

static int verify_record(const char *path)
{
	FILE *in = fopen(path, "re");
	uint64_t h = 1;
	unsigned long long state;
	long op, synced, last = 0, need = 0, found = -1;
	char line[LOG_LEN + 80], what;

	must_io(in, path);
	for (int name = 0; name < NR_NAMES; name++) {
		int fd = open(name_of(name), O_RDONLY | O_CLOEXEC);
		ssize_t n;

		if (fd < 0 && errno == ENOENT) {
			h = h * 31;
			continue;
		}
		must_io(fd >= 0, name_of(name));
		n = read(fd, t.seen, t.max + 1);
		must_io(n >= 0, name_of(name));
		close(fd);
		h = mix(h + 2, t.seen, (uint64_t)n);
	}
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "%c %ld %ld %llx", &what, &op, &synced, &state) != 4)
			continue;
		last = op;
		/* That of an operation which did not return is no promise. */
		if (what == '.' && synced > need)
			need = synced;
		if (state == h)
			found = op;
	}
	fclose(in);
	if (found < 0)
		fprintf(stderr, "fsx: the files are none of the %ld states that there were\n",
			last);
	else if (found < need)
		fprintf(stderr, "fsx: the files are as after operation %ld, but %ld was synced\n",
			found, need);
	else
		printf("fsx: state %ld of %ld, %ld were synced\n", found, last, need);
	return found >= 0 && found >= need ? 0 : 1;
}

/* ---- main ---- */

static void usage(void)
{
	fprintf(stderr,
		"usage: fsx [--seed N] [--ops N] [--max BYTES] [--full] [--no-direct] [--no-mmap]\n"
		"           [--no-eviction] [--drop-caches] [--state FILE] [--record FILE | "
		"--verify FILE]\n"
		"           [--fault KIND] DIR\n");
	exit(2);
}

static const char *options(int argc, char **argv)
{
	enum {
		SEED = 256,
		OPS,
		MAX,
		FULL,
		NO_DIRECT,
		NO_MMAP,
		NO_EVICTION,
		DROP,
		STATE,
		RECORD,
		VERIFY,
		FAULT
	};
	static const struct option names[] = {
		{"seed", 1, NULL, SEED},
		{"ops", 1, NULL, OPS},
		{"max", 1, NULL, MAX},
		{"full", 0, NULL, FULL},
		{"no-direct", 0, NULL, NO_DIRECT},
		{"no-mmap", 0, NULL, NO_MMAP},
		{"no-eviction", 0, NULL, NO_EVICTION},
		{"drop-caches", 0, NULL, DROP},
		{"state", 1, NULL, STATE},
		{"record", 1, NULL, RECORD},
		{"verify", 1, NULL, VERIFY},
		{"fault", 1, NULL, FAULT},
		{NULL, 0, NULL, 0},
	};
	const char *verify = NULL;
	int c, i = 0;

	t.rng.x = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 20;
	t.rng.x = t.rng.x % 1000000000;
	t.ops = 1000;
	t.max = 2560 << 10;
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case SEED:
			t.rng.x = strtoull(optarg, NULL, 10);
			break;
		case OPS:
			t.ops = strtol(optarg, NULL, 10);
			break;
		case MAX:
			t.max = strtoull(optarg, NULL, 10) / PAGE * PAGE;
			break;
		case FULL:
			t.full = true;
			break;
		case NO_DIRECT:
			t.no_direct = true;
			break;
		case NO_MMAP:
			t.no_mmap = true;
			break;
		case NO_EVICTION:
			t.no_eviction = true;
			break;
		case DROP:
			t.drop = true;
			break;
		case STATE:
			t.state = optarg;
			break;
		case RECORD:
			t.record = optarg;
			break;
		case VERIFY:
			verify = optarg;
			break;
		case FAULT:
			t.fault = optarg;
			for (i = 0; fault_names[i] && strcmp(fault_names[i], t.fault); i++)
				;
			if (!fault_names[i])
				usage();
			break;
		default:
			usage();
		}
	}
	if (optind != argc - 1 || t.max < PAGE)
		usage();
	t.dir = argv[optind];
	t.fault_op = t.ops / 2;
	return verify;
}

static void work(void)
{
	bool faulted = false;

	for (t.op = 1; t.op <= t.ops; t.op++) {
		one_operation();
		/* What the next operations may cover again is to be seen now. */
		if (t.fault_done && !faulted)
			op_verify();
		faulted = t.fault_done;
		if (t.record)
			record_state('.');
	}
	for (int name = 0; name < NR_NAMES; name++)
		if (file_named(name))
			verify_file(file_named(name), 127);
	for (int i = 0; i < NR_MAPS; i++)
		if (t.map[i].p)
			map_drop(&t.map[i]);
	for (int i = 0; i < NR_DESCS; i++)
		if (t.desc[i].fd >= 0)
			desc_close(&t.desc[i]);
	for (int name = 0; name < NR_NAMES; name++)
		if (file_named(name))
			verify_file(file_named(name), 127);
}

int main(int argc, char **argv)
{
	const char *verify = options(argc, argv);
	struct statfs fs;

	setvbuf(stdout, NULL, _IOLBF, 0);
	t.buf = must_have(aligned_alloc(PAGE, t.max + EXTENT));
	t.seen = must_have(aligned_alloc(PAGE, t.max + EXTENT));
	for (int i = 0; i < NR_FILES; i++) {
		t.file[i].want = must_have(calloc(1, t.max + EXTENT));
		t.file[i].by = must_have(calloc(t.max / UNIT + 2, sizeof(*t.file[i].by)));
	}
	for (int i = 0; i < NR_DESCS; i++)
		t.desc[i].fd = -1;
	if (t.record) {
		t.record_fd = open(t.record, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		must_io(t.record_fd >= 0, t.record);
	}
	if (t.state)
		state_load();
	/* (The record and the state may be named relative to where we are.) */
	if (verify && verify[0] != '/') {
		fprintf(stderr, "fsx: --verify wants an absolute path\n");
		return 2;
	}
	must_io(!chdir(t.dir) && !statfs(".", &fs), t.dir);
	t.fuse = fs.f_type == FUSE_SUPER_MAGIC;
	if (verify)
		return verify_record(verify);
	printf("fsx: seed %llu, %ld operations\n", (unsigned long long)t.rng.x, t.ops);
	signal(SIGALRM, hung);
	signal(SIGBUS, no_page);
	/* What the last run left is looked at first. */
	for (int name = 0; name < NR_NAMES; name++)
		if (file_named(name))
			verify_file(file_named(name), 127);
	if (t.record)
		record_state('.');
	work();
	if (t.fault && !t.fault_done) {
		fprintf(stderr, "fsx: there was no chance for the fault %s\n", t.fault);
		return 2;
	}
	must_io(!chdir("/"), "/");
	if (t.state)
		state_save();
	if (t.full)
		printf("fsx: %ld times the disk was full\n", t.nr_full);
	return 0;
}
