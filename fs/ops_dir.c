/* Directories listed.
 *
 * The kernel keeps no listings of ours (FOPEN_CACHE_DIR): when a directory changes while somebody is in the midst of
 * it, the kernel looks for the place by its cookie in what it keeps, and where that name is gone it takes the listing
 * for ended. Our own cookies are good for ever. */
#include <string.h>

#include "conf/base.h"
#include "fs/ops_slice.h"

struct lister {
	fuse_req_t req;
	struct fs *fs;
	char *buf; /* heap */
	size_t len, pos;
	uint64_t end;
	bool plus;
	uint64_t *told; /* numbers of the inodes whose attributes went into @buf; heap */
	size_t nr_told, cap_told;
	int err;
};

/* Remember what is told to the kernel, which forgets it one by one. */
static int lister_tell(struct lister *l, struct inode *in)
{
	if (l->nr_told == l->cap_told) {
		size_t cap = MAX((size_t)64, l->cap_told * 2);
		uint64_t *told = reallocarray(l->told, cap, sizeof(*told));

		if (!told)
			return -ENOMEM;
		l->told = told;
		l->cap_told = cap;
	}
	inode_remember(in, 1);
	l->told[l->nr_told++] = in->ino;
	return 0;
}

/* With the attributes, where they can be had; else (".", "..", and what is just being removed) the name alone, which
 * the kernel looks up when it wants more. */
static int lister_fill_plus(struct lister *l, const struct name_entry *e,
			    struct fuse_entry_param *out)
{
	struct inode *in;
	int err;

	*out = (struct fuse_entry_param){.attr = {.st_ino = e->ino, .st_mode = e->type}};
	if (e->cookie < 3)
		return 0;
	err = inode_get(l->fs, NULL, e->ino, &in);
	if (err)
		return err == -ENOMEM ? err : 0;
	err = lister_tell(l, in);
	if (!err)
		ops_entry(in, out);
	inode_put(in);
	return err;
}

static int lister_add(void *arg, const struct name_entry *e)
{
	struct lister *l = arg;
	char name[NAME_LEN_MAX + 1];
	struct fuse_entry_param plus;
	struct stat st = {.st_ino = e->ino, .st_mode = e->type};
	char *at = l->buf + l->pos;
	size_t left = l->len - l->pos;

	if (e->cookie >= l->end)
		return 1;
	memcpy(name, e->name.p, e->name.len);
	name[e->name.len] = 0;
	if (!l->plus) {
		size_t n = fuse_add_direntry(l->req, at, left, name, &st, (off_t)e->cookie);

		if (n > left)
			return 1;
		l->pos += n;
		return 0;
	}
	if (fuse_add_direntry_plus(l->req, NULL, 0, name, NULL, 0) > left)
		return 1;
	l->err = lister_fill_plus(l, e, &plus);
	if (l->err)
		return 1;
	l->pos += fuse_add_direntry_plus(l->req, at, left, name, &plus, (off_t)e->cookie);
	return 0;
}

static void lister_fini(struct lister *l, bool undo)
{
	for (size_t i = 0; undo && i < l->nr_told; i++)
		inode_forget(l->fs, l->told[i], 1);
	free(l->told);
	free(l->buf);
}

/* New names come at the end of the order, so a reader would never get there while somebody else makes names as fast as
 * it reads: a listing ends where the directory ended when it began. */
static int dir_end(fuse_req_t req, fuse_ino_t ino, struct ops_file *f)
{
	struct inode *in;
	struct attr a;
	int err = ops_inode(req, ino, &in);

	if (err)
		return err;
	inode_attr(in, &a);
	inode_put(in);
	atomic_store(&f->dir_end, a.next_cookie);
	return 0;
}

int ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops_file *f;
	int err;

	if (ops_slice_is(ino))
		return ops_slice_opendir(req, fi);
	err = ops_file_new(ops_of(req), NULL, &f);
	if (err)
		return err;
	err = dir_end(req, ino, f);
	fi->fh = (uintptr_t)f;
	if (err || fuse_reply_open(req, fi))
		ops_file_free(f);
	return err;
}

int ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	return ops_release(req, ino, fi);
}

static int list(fuse_req_t req, fuse_ino_t ino, size_t len, off_t off, struct ops_file *f,
		bool plus)
{
	struct lister l = {
		.req = req,
		.fs = ops_of(req)->fs,
		.buf = malloc(MAX(len, (size_t)1)),
		.len = len,
		.plus = plus,
	};
	int err = l.buf ? 0 : -ENOMEM;

	/* At its beginning again it sees what is new. */
	if (!err && !off)
		err = dir_end(req, ino, f);
	l.end = atomic_load(&f->dir_end);
	if (!err)
		err = name_list(l.fs, ino, (uint64_t)off, lister_add, &l);
	/* What came before the error is told first; the next request meets it again. */
	if (!err && !l.pos)
		err = l.err;
	if (!err && !off)
		ops_accessed(req, ino);
	lister_fini(&l, err || fuse_reply_buf(req, l.buf, l.pos));
	return err;
}

/* There is an array for every expression: none is listed. */
static int list_none(fuse_req_t req)
{
	fuse_reply_buf(req, NULL, 0);
	return 0;
}

int ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t len, off_t off, struct fuse_file_info *fi)
{
	if (ops_slice_is(ino))
		return list_none(req);
	return list(req, ino, len, off, ops_file_of(fi), false);
}

int ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t len, off_t off,
		    struct fuse_file_info *fi)
{
	if (ops_slice_is(ino))
		return list_none(req);
	return list(req, ino, len, off, ops_file_of(fi), true);
}

int ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	return ops_fsync(req, ino, datasync, fi);
}
