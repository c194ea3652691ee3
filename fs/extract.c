/* Digging files out: the tree by its metadata. What metadata cannot tell is in extract_chunks.c. */
#include "fs/extract.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "codec/codec.h"
#include "conf/base.h"
#include "fs/attr.h"
#include "fs/dentry.h"
#include "fs/extent.h"
#include "fs/recover.h"

#define INDEX_MAP_LEN (256 * GIB) /* addresses, not memory */

/* Inodes with more than one name, by what was made of them first. */
struct linked {
	uint64_t ino;
	char *path; /* under the target directory */
};

/* Extents decoded last: files in pieces show some extents by turns, and small files the same one. */
#define DECODED_KEPT 4
struct decoded {
	uint64_t gen;
	uint32_t len;
	uint8_t *raw; /* heap; NULL: none */
};

struct extract {
	const struct extract_params *p;
	struct extract_result *out;
	struct raid *raid;
	struct index_txn *txn;
	int top; /* the target directory */
	struct linked *linked;
	size_t nr_linked, cap_linked;
	struct decoded decoded[DECODED_KEPT];
	unsigned next_decoded;
};

static void trouble(struct extract *x, const char *path, const char *what, int err)
{
	char line[1024];

	snprintf(line, sizeof(line), "%s: %s: %s", path, what, strerror(-err));
	x->p->say(x->p->arg, line);
}

/* ---- one file's bytes ---- */

static int put_bytes(int fd, const uint8_t *p, size_t len, uint64_t off)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			off += (uint64_t)n;
		}
	}
	return 0;
}

static int get_extent(struct extract *x, uint64_t gen, struct decoded *out)
{
	AUTO_FREE uint8_t *enc = NULL, *bytes = NULL;
	struct extent e;
	int err = extent_load(x->txn, gen, &e);

	if (err)
		return err;
	enc = malloc(e.loc.len);
	bytes = malloc(e.owner.raw_len);
	if (!enc || !bytes)
		return -ENOMEM;
	err = raid_read(x->raid, &e.owner, &e.loc, enc);
	if (!err)
		err = codec_decode(enc, e.loc.len, bytes, e.owner.raw_len);
	if (!err)
		*out = (struct decoded){gen, e.owner.raw_len, TAKE_PTR(bytes)};
	return err;
}

/* The bytes of @m, borrowed until the next call. */
static int get_entry(struct extract *x, const struct map_entry *m, const uint8_t **raw)
{
	struct decoded *d = NULL;
	int err = 0;

	for (unsigned i = 0; i < DECODED_KEPT; i++)
		if (x->decoded[i].raw && x->decoded[i].gen == m->gen)
			d = &x->decoded[i];
	if (!d) {
		d = &x->decoded[x->next_decoded];
		x->next_decoded = (x->next_decoded + 1) % DECODED_KEPT;
		free(d->raw);
		d->raw = NULL;
		err = get_extent(x, m->gen, d);
	}
	if (!err && m->skip + m->len > d->len)
		err = -EBADMSG;
	if (!err)
		*raw = d->raw + m->skip;
	return err;
}

static int put_file(struct extract *x, int fd, uint64_t ino, const struct attr *a, const char *path)
{
	uint8_t buf[INLINE_MAX];
	struct map_entry m;
	bool damaged = false;
	size_t len;
	int err = extent_inline_get(x->txn, ino, buf, &len);

	if (!err)
		err = put_bytes(fd, buf, len, 0);
	if (!err && ftruncate(fd, (off_t)a->size))
		err = -errno;
	for (uint64_t at = 0; !err && !(err = extent_find(x->txn, ino, at, &m));
	     at = m.off + m.len) {
		const uint8_t *raw;

		err = get_entry(x, &m, &raw);
		if (err) {
			char what[96];

			snprintf(what, sizeof(what), "bytes %" PRIu64 " to %" PRIu64 " are lost",
				 m.off, m.off + m.len);
			trouble(x, path, what, err);
			damaged = true;
			err = 0;
			continue;
		}
		err = put_bytes(fd, raw, m.len, m.off);
	}
	x->out->bytes += a->size;
	x->out->nr_damaged += damaged;
	return err == -ENOENT ? 0 : err;
}

/* ---- attributes ---- */

static void put_xattrs(struct extract *x, int fd, uint64_t ino, const char *path)
{
	struct key first = key_plain(ino, KEY_XATTR);
	struct index_cursor *c;
	struct index_val k, v;
	int err = index_cursor_open(x->txn, &c);

	if (err)
		return;
	for (err = index_seek(c, &first, &k, &v); !err; err = index_next(c, &k, &v)) {
		char name[NAME_LEN_MAX + 1] = "";

		if (k.len < 10 || get_be64(k.p) != ino || k.p[8] != KEY_XATTR)
			break;
		memcpy(name, k.p + 9, MIN(k.len - 9, (size_t)NAME_LEN_MAX));
		if (fsetxattr(fd, name, v.p, v.len, 0))
			trouble(x, path, name, -errno);
	}
	index_cursor_close(c);
}

/* Through the open file, so that no link is followed. Ownership is the superuser's to give. */
static void put_attr(struct extract *x, int fd, uint64_t ino, const struct attr *a,
		     const char *path)
{
	const struct timespec times[2] = {a->atime, a->mtime};

	put_xattrs(x, fd, ino, path);
	if (!geteuid() && fchown(fd, a->uid, a->gid))
		trouble(x, path, "owner", -errno);
	if (fchmod(fd, a->mode & 07777))
		trouble(x, path, "mode", -errno);
	if (futimens(fd, times))
		trouble(x, path, "times", -errno);
}

/* The same for what cannot be opened: symbolic links, whose mode nobody looks at, and device nodes. */
static void put_attr_at(struct extract *x, int dir, const char *name, const struct attr *a,
			const char *path)
{
	const struct timespec times[2] = {a->atime, a->mtime};

	if (!geteuid() && fchownat(dir, name, a->uid, a->gid, AT_SYMLINK_NOFOLLOW))
		trouble(x, path, "owner", -errno);
	if (!S_ISLNK(a->mode) && fchmodat(dir, name, a->mode & 07777, 0))
		trouble(x, path, "mode", -errno);
	if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW))
		trouble(x, path, "times", -errno);
}

/* ---- the tree ---- */

static int make_symlink(struct extract *x, uint64_t ino, int dir, const char *name)
{
	uint8_t target[INLINE_MAX + 1];
	size_t len;
	int err = extent_inline_get(x->txn, ino, target, &len);

	if (err)
		return err;
	target[len] = 0;
	return symlinkat((char *)target, dir, name) ? -errno : 0;
}

static int make_regular(struct extract *x, uint64_t ino, const struct attr *a, int dir,
			const char *name, const char *path)
{
	AUTO_FD int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int err;

	if (fd < 0)
		return -errno;
	err = put_file(x, fd, ino, a, path);
	put_attr(x, fd, ino, a, path);
	x->out->nr_files++;
	return err;
}

static int make_again(struct extract *x, uint64_t ino, int dir, const char *name, const char *path,
		      bool *made)
{
	struct linked *l;

	*made = false;
	for (size_t i = 0; i < x->nr_linked; i++) {
		if (x->linked[i].ino != ino)
			continue;
		*made = true;
		return linkat(x->top, x->linked[i].path, dir, name, 0) ? -errno : 0;
	}
	if (x->nr_linked == x->cap_linked) {
		size_t cap = MAX((size_t)64, x->cap_linked * 2);

		l = realloc(x->linked, cap * sizeof(*l));
		if (!l)
			return -ENOMEM;
		x->linked = l;
		x->cap_linked = cap;
	}
	l = &x->linked[x->nr_linked];
	l->ino = ino;
	l->path = strdup(path);
	x->nr_linked += l->path != NULL;
	return l->path ? 0 : -ENOMEM;
}

static int make_other(struct extract *x, uint64_t ino, const struct attr *a, int dir,
		      const char *name, const char *path)
{
	bool made = false;
	int err = a->nlink > 1 ? make_again(x, ino, dir, name, path, &made) : 0;

	if (err || made)
		return err;
	if (S_ISREG(a->mode))
		return make_regular(x, ino, a, dir, name, path);
	x->out->nr_files++;
	if (S_ISLNK(a->mode))
		err = make_symlink(x, ino, dir, name);
	else if (mknodat(dir, name, a->mode & (S_IFMT | 0777), (dev_t)a->rdev))
		err = -errno;
	if (!err)
		put_attr_at(x, dir, name, a, path);
	return err;
}

static int extract_dir(struct extract *x, uint64_t ino, int dir, const char *path, unsigned depth);

static int make_dir(struct extract *x, uint64_t ino, const struct attr *a, int dir,
		    const char *name, const char *path, unsigned depth)
{
	AUTO_FD int fd = -1;
	int err;

	if (mkdirat(dir, name, 0700))
		return -errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	x->out->nr_dirs++;
	err = extract_dir(x, ino, fd, path, depth + 1);
	put_attr(x, fd, ino, a, path);
	return err;
}

static void extract_entry(struct extract *x, const struct dentry *d, struct name name, int dir,
			  const char *above, unsigned depth)
{
	struct key key = key_plain(d->ino, KEY_ATTR);
	char own[NAME_LEN_MAX + 1] = "", path[4096];
	struct index_val v;
	struct attr a;
	int err;

	memcpy(own, name.p, name.len);
	snprintf(path, sizeof(path), "%s%s%s", above, *above ? "/" : "", own);
	err = index_get(x->txn, &key, &v);
	if (!err)
		err = attr_get(v.p, v.len, &a);
	if (!err)
		err = S_ISDIR(a.mode) ? make_dir(x, d->ino, &a, dir, own, path, depth)
				      : make_other(x, d->ino, &a, dir, own, path);
	if (err) {
		x->out->nr_damaged++;
		trouble(x, path, "not extracted", err);
	}
}

/* A failure of one entry is told and does not stop the rest. */
static int extract_dir(struct extract *x, uint64_t ino, int dir, const char *path, unsigned depth)
{
	struct key first = key_plain(ino, KEY_DENTRY);
	struct index_cursor *c;
	struct index_val k, v;
	int err;

	/* Deeper than any path that programs can name: a circle in damaged metadata. */
	if (depth > 2048)
		return -ELOOP;
	err = index_cursor_open(x->txn, &c);
	if (err)
		return err;
	for (err = index_seek(c, &first, &k, &v); !err; err = index_next(c, &k, &v)) {
		struct name name = {(const char *)k.p + 9, k.len - 9};
		struct dentry d;

		if (k.len < 10 || get_be64(k.p) != ino || k.p[8] != KEY_DENTRY)
			break;
		if (!dentry_name_valid(name) || dentry_get(v.p, v.len, &d)) {
			trouble(x, path, "holds a damaged name", -EBADMSG);
			continue;
		}
		extract_entry(x, &d, name, dir, path, depth);
	}
	index_cursor_close(c);
	return err == -ENOENT ? 0 : err;
}

int extract_tree(struct raid *r, const struct extract_params *p, struct extract_result *out)
{
	struct extract x = {.p = p, .out = out, .raid = r};
	uint64_t next_ino, next_gen;
	struct index *index;
	int err;

	*out = (struct extract_result){0};
	err = index_open(p->work_dir, INDEX_MAP_LEN, true, &index);
	if (err)
		return err;
	err = recover_build(r, index, &next_ino, &next_gen);
	if (!err)
		err = index_read(index, &x.txn);
	if (!err) {
		x.top = open(p->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		err = x.top < 0 ? -errno : extract_dir(&x, 1, x.top, "", 0);
		if (x.top >= 0)
			close(x.top);
		index_read_end(x.txn);
	}
	for (size_t i = 0; i < x.nr_linked; i++)
		free(x.linked[i].path);
	for (unsigned i = 0; i < DECODED_KEPT; i++)
		free(x.decoded[i].raw);
	free(x.linked);
	index_close(index, false);
	return err;
}
