/* The model, and how it is read out of a volume. */
#include "tests/crash/model.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "conf/base.h"
#include "fs/file.h"
#include "fs/name.h"
#include "fs/xattr.h"

void model_dir_name(unsigned dir, char buf[16])
{
	snprintf(buf, 16, "d%u", dir);
}

void model_file_name(unsigned name, char buf[16])
{
	snprintf(buf, 16, "f%u", name);
}

struct model_file *model_file_new(void)
{
	return calloc(1, sizeof(struct model_file));
}

void model_resize(struct model_file *f, size_t len)
{
	f->bytes = realloc(f->bytes, MAX(len, (size_t)1));
	if (len > f->len)
		memset(f->bytes + f->len, 0, len - f->len);
	f->len = len;
	f->sum_ok = false;
}

void model_unlink(struct model *m, unsigned dir, unsigned name)
{
	struct model_file *f = m->name[dir][name];

	m->name[dir][name] = NULL;
	if (!f || --f->nlink)
		return;
	free(f->bytes);
	free(f->target);
	free(f);
}

void model_fini(struct model *m)
{
	for (unsigned d = 0; d < MODEL_DIRS; d++)
		for (unsigned n = 0; n < MODEL_NAMES; n++)
			if (m->name[d][n])
				model_unlink(m, d, n);
}

/* Hard links are told by the first place where the file has a name. */
static unsigned first_name(const struct model *m, const struct model_file *f)
{
	for (unsigned i = 0; i < MODEL_DIRS * MODEL_NAMES; i++)
		if (m->name[i / MODEL_NAMES][i % MODEL_NAMES] == f)
			return i;
	return UINT32_MAX;
}

void model_parts(struct model *m, uint64_t v[MODEL_PARTS])
{
	unsigned nr = 0;

	for (unsigned d = 0; d < MODEL_DIRS; d++) {
		v[nr++] = m->dir[d];
		for (unsigned n = 0; n < MODEL_NAMES; n++) {
			struct model_file *f = m->name[d][n];
			uint64_t parts[6];

			if (!f) {
				v[nr++] = 0;
				continue;
			}
			if (!f->sum_ok) {
				f->sum = XXH3_64bits(f->bytes, f->len);
				f->sum_ok = true;
			}
			parts[0] = f->sum;
			parts[1] = f->len;
			parts[2] = f->nlink;
			parts[3] = f->xattr;
			parts[4] = f->mode;
			parts[5] = first_name(m, f) +
				   (f->target ? XXH3_64bits(f->target, strlen(f->target)) : 0);
			v[nr++] = XXH3_64bits(parts, sizeof(parts)) | 1;
		}
	}
}

uint64_t model_hash(struct model *m)
{
	uint64_t v[MODEL_PARTS];

	model_parts(m, v);
	return XXH3_64bits(v, sizeof(v));
}

/* ---- reading a volume ---- */

struct listing {
	struct model *m;
	struct fs *fs;
	unsigned dir;
	uint64_t ino[MODEL_NAMES];
	uint64_t dir_ino[MODEL_DIRS];
	int err;
};

static bool number_of(const struct name_entry *e, char first, unsigned below, unsigned *out)
{
	if (e->name.len != 2 || e->name.p[0] != first || e->name.p[1] < '0' ||
	    e->name.p[1] >= '0' + (int)below)
		return false;
	*out = (unsigned)(e->name.p[1] - '0');
	return true;
}

static bool is_dot(const struct name_entry *e)
{
	return (e->name.len == 1 && e->name.p[0] == '.') ||
	       (e->name.len == 2 && !memcmp(e->name.p, "..", 2));
}

static int list_root(void *arg, const struct name_entry *e)
{
	struct listing *l = arg;
	unsigned d;

	/* x: to fill a volume, no part of the model. */
	if (is_dot(e) || e->name.p[0] == 'x')
		return 0;
	if (!number_of(e, 'd', MODEL_DIRS, &d) || !S_ISDIR(e->type)) {
		l->err = -EUCLEAN;
		return 1;
	}
	l->m->dir[d] = true;
	l->dir_ino[d] = l->m->dir_ino[d] = e->ino;
	return 0;
}

static int list_dir(void *arg, const struct name_entry *e)
{
	struct listing *l = arg;
	unsigned n;

	if (is_dot(e))
		return 0;
	if (!number_of(e, 'f', MODEL_NAMES, &n)) {
		l->err = -EUCLEAN;
		return 1;
	}
	l->ino[n] = e->ino;
	return 0;
}

static int read_bytes(struct inode *in, struct model_file *f, uint64_t size)
{
	struct file_read r;
	size_t at = 0;
	int err;

	if (size > MODEL_LEN_MAX)
		return -EUCLEAN;
	model_resize(f, size);
	err = file_peek(in, 0, size, &r);
	if (err)
		return err;
	for (unsigned i = 0; i < r.nr; at += r.iov[i++].iov_len)
		memcpy(f->bytes + at, r.iov[i].iov_base, r.iov[i].iov_len);
	err = r.len == size ? 0 : -EUCLEAN;
	file_read_done(in->fs, &r);
	return err;
}

static int read_file(struct fs *fs, uint64_t ino, struct model_file *f)
{
	struct inode *in;
	struct attr a;
	size_t len;
	int err = inode_get(fs, NULL, ino, &in);

	if (err)
		return err;
	inode_attr(in, &a);
	f->ino = ino;
	f->mode = a.mode;
	if (S_ISREG(a.mode)) {
		err = read_bytes(in, f, a.size);
	} else if (S_ISLNK(a.mode)) {
		f->target = calloc(1, 4097);
		err = name_readlink(fs, ino, f->target);
	}
	if (!err && xattr_get(in, "user.model", &f->xattr, sizeof(f->xattr), &len))
		f->xattr = 0;
	/* The count is checked against the names when all have been seen. */
	inode_put(in);
	return err;
}

static struct model_file *known(struct model *m, uint64_t ino)
{
	for (unsigned i = 0; i < MODEL_DIRS * MODEL_NAMES; i++) {
		struct model_file *f = m->name[i / MODEL_NAMES][i % MODEL_NAMES];

		if (f && f->ino == ino)
			return f;
	}
	return NULL;
}

static int check_links(struct fs *fs, struct model *m)
{
	for (unsigned i = 0; i < MODEL_DIRS * MODEL_NAMES; i++) {
		struct model_file *f = m->name[i / MODEL_NAMES][i % MODEL_NAMES];
		struct inode *in;
		struct attr a;

		if (!f)
			continue;
		if (inode_get(fs, NULL, f->ino, &in))
			return -EUCLEAN;
		inode_attr(in, &a);
		inode_put(in);
		if (a.nlink != f->nlink)
			return -EUCLEAN;
	}
	return 0;
}

static int read_dir(struct listing *l, unsigned d)
{
	int err;

	memset(l->ino, 0, sizeof(l->ino));
	err = name_list(l->fs, l->dir_ino[d], 0, list_dir, l);
	if (err || l->err)
		return err ? err : l->err;
	for (unsigned n = 0; !err && n < MODEL_NAMES; n++) {
		struct model_file *f;

		if (!l->ino[n])
			continue;
		f = known(l->m, l->ino[n]);
		if (!f) {
			f = model_file_new();
			err = read_file(l->fs, l->ino[n], f);
		}
		f->nlink++;
		l->m->name[d][n] = f;
	}
	return err;
}

int model_read(struct fs *fs, struct model *out)
{
	struct listing l = {.m = out, .fs = fs};
	int err;

	memset(out, 0, sizeof(*out));
	err = name_list(fs, 1, 0, list_root, &l);
	if (err || l.err)
		return err ? err : l.err;
	for (unsigned d = 0; !err && d < MODEL_DIRS; d++)
		if (out->dir[d])
			err = read_dir(&l, d);
	return err ? err : check_links(fs, out);
}
