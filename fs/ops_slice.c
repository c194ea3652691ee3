/* Requests beneath `.slice`, but for a file's bytes (ops_slice_read.c).
 *
 * What needs the source's head goes to a worker, unless it is known to be as it was. */
#include "fs/ops_slice.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/base.h"
#include "conf/log.h"
#include "conf/xxh3.h"
#include "fs/file.h"
#include "fs/ops_stats.h"

#define DIR_NAME     ".slice"
#define NAME_MAX_LEN 255
#define TARGET_MAX   4095 /* PATH_MAX without its NUL */
#define WHY_LEN	     256
/* Of what is wrong, a line a second is said, and so many at once. */
#define SAY_NS	  1000000000ULL
#define SAY_BURST 8

void ops_slice_init(struct ops_slices *s)
{
	slice_table_init(&s->nodes);
	lock_init(&s->lock);
	/* A file handle from an earlier mount is not taken for one of this. */
	s->generation = (uint32_t)(clock_ns(CLOCK_REALTIME) / 1000000) | 1;
}

void ops_slice_fini(struct ops_slices *s)
{
	slice_table_fini(&s->nodes);
	lock_fini(&s->lock);
}

bool ops_slice_is(fuse_ino_t ino)
{
	return ino >= SLICE_NODE_FIRST && !ops_stats_is(ino);
}

bool ops_slice_claims(fuse_ino_t parent, const char *name)
{
	return ops_slice_is(parent) || (parent == FUSE_ROOT_ID && strcmp(name, DIR_NAME) == 0);
}

/* ---- what is wrong ---- */

/* Programs try a name more than once. */
static bool say_now(struct ops_slices *s, uint64_t sum, unsigned *nr_unsaid)
{
	uint64_t now = mono_ns();
	bool yes;

	lock_take(&s->lock);
	s->say_ns = MAX(s->say_ns, now);
	yes = s->say_ns - now < SAY_BURST * SAY_NS;
	if (sum == s->said_sum && now - s->said_ns < SAY_NS) {
		yes = false;
	} else if (yes) {
		s->say_ns += SAY_NS;
		s->said_ns = now;
		s->said_sum = sum;
		*nr_unsaid = s->nr_unsaid;
		s->nr_unsaid = 0;
	} else {
		s->nr_unsaid++;
	}
	lock_release(&s->lock);
	return yes;
}

/* Returns @err. */
static int say(struct ops *o, const char *name, int err, const char *what)
{
	char buf[WHY_LEN + 300];
	const struct why line = {.buf = buf, .len = sizeof(buf)};
	unsigned nr_unsaid;

	why_say(&line, err, DIR_NAME ": %s: %s", name, what);
	if (!say_now(&o->slices, XXH3_64bits(buf, strlen(buf)), &nr_unsaid))
		return err;
	if (nr_unsaid)
		log_note("%s (and %u more that were refused)", buf, nr_unsaid);
	else
		log_note("%s", buf);
	return err;
}

/* ---- attributes ---- */

/* The bits of @keep. The kernel looks at an access list only where there are bits of its mask, which stands in the group's
 * place: so there, one to write stays where it is all there is. (Nothing can be opened for writing.) */
static mode_t mode_of(mode_t mode, mode_t keep)
{
	return mode & (mode & keep & S_IRWXG ? keep : keep | S_IRWXG);
}

static void fill_attr(const struct slice_node *n, struct inode *in, struct stat *st)
{
	struct attr a;

	inode_attr(in, &a);
	attr_stat(n->id, &a, in->fs->extent_len, st);
	st->st_nlink = 1;
	switch (n->kind) {
	case SLICE_NODE_DIR:
		st->st_mode = S_IFDIR | mode_of(a.mode, 0555);
		st->st_nlink = 2;
		st->st_size = 0;
		break;
	case SLICE_NODE_LINK:
		st->st_mode = S_IFLNK | 0777;
		st->st_size += (off_t)strlen(n->text);
		break;
	default:
		st->st_mode = S_IFREG | mode_of(a.mode, 0444);
		st->st_size = (off_t)slice_len(n->slice);
		break;
	}
	/* Programs that copy take a file with fewer blocks for one with holes. */
	st->st_blocks = (blkcnt_t)div_up((uint64_t)st->st_size, 512);
}

/* The node and its source: slice_node_put() and inode_put() them. */
static int find_node(struct ops *o, fuse_ino_t ino, struct slice_node **n, struct inode **in)
{
	int err;

	*n = slice_node_get(&o->slices.nodes, ino);
	if (!*n)
		return -ESTALE;
	err = inode_get(o->fs, NULL, (*n)->ino, in);
	if (err)
		slice_node_put(&o->slices.nodes, *n);
	return err == -ENOENT ? -ESTALE : err;
}

int ops_slice_attr(fuse_req_t req, fuse_ino_t ino, struct stat *st)
{
	struct ops *o = ops_of(req);
	struct slice_node *n;
	struct inode *in;
	int err = find_node(o, ino, &n, &in);

	if (err)
		return err;
	fill_attr(n, in, st);
	slice_node_put(&o->slices.nodes, n);
	inode_put(in);
	return 0;
}

int ops_slice_getattr(fuse_req_t req, fuse_ino_t ino)
{
	struct stat st;
	int err = ops_slice_attr(req, ino, &st);

	if (!err)
		fuse_reply_attr(req, &st, 0);
	return err;
}

int ops_slice_acl(fuse_req_t req, fuse_ino_t ino, const char *name, struct inode **out)
{
	struct ops *o = ops_of(req);
	struct slice_node *n;
	int err;

	if (strcmp(name, "system.posix_acl_access") != 0)
		return -ENODATA;
	err = find_node(o, ino, &n, out);
	if (!err)
		slice_node_put(&o->slices.nodes, n);
	return err;
}

/* ---- lookup ---- */

/* Takes over the reference to @n, or says that there is no memory for it. */
static int reply_node(fuse_req_t req, struct slice_node *n, struct inode *in)
{
	struct ops_slices *s = &ops_of(req)->slices;
	struct fuse_entry_param e = {.generation = s->generation};

	if (!n)
		return -ENOMEM;
	e.ino = n->id;
	fill_attr(n, in, &e.attr);
	slice_node_remember(&s->nodes, n);
	if (fuse_reply_entry(req, &e))
		slice_node_forget(&s->nodes, n->id, 1);
	slice_node_put(&s->nodes, n);
	return 0;
}

/* A directory, or a symlink. */
static int reply_mirror(fuse_req_t req, enum slice_node_kind kind, struct inode *in,
			const char *text)
{
	struct slice_table *t = &ops_of(req)->slices.nodes;

	return reply_node(req, slice_node_add(t, kind, in->ino, text, NULL, NULL), in);
}

struct lookup_job {
	struct job job;
	fuse_req_t req;
	struct inode *in; /* referenced */
	uint64_t since_ns;
	char *expr; /* in name */
	char name[];
};

/* Its head is read: it may be another than when the slice was made, which @old (NULL: none) is. */
static int lookup_anew(const struct lookup_job *j, const struct slice_node *old)
{
	struct ops *o = ops_of(j->req);
	char buf[WHY_LEN] = "";
	const struct why why = {.buf = buf, .len = sizeof(buf)};
	struct slice_node *n;
	struct slice *s;
	int err = slice_new(j->in, j->expr, &s, &why);

	if (err)
		return say(o, j->name, err, buf);
	n = slice_node_add(&o->slices.nodes, SLICE_NODE_FILE, j->in->ino, j->expr, s, old);
	slice_put(s);
	return reply_node(j->req, n, j->in);
}

static int lookup_slice(const struct lookup_job *j)
{
	struct slice_table *t = &ops_of(j->req)->slices.nodes;
	struct slice_node *n = slice_node_find(t, SLICE_NODE_FILE, j->in->ino, j->expr);
	int err;

	if (n && !slice_check(j->in, n->slice))
		return reply_node(j->req, n, j->in);
	err = lookup_anew(j, n);
	if (n)
		slice_node_put(t, n);
	return err;
}

static void lookup_job(struct job *job)
{
	struct lookup_job *j = container_of(job, struct lookup_job, job);
	struct ops *o = ops_of(j->req);
	int err = lookup_slice(j);

	if (err)
		fuse_reply_err(j->req, -err);
	ops_took(o, OPS_lookup, j->since_ns);
	inode_put(j->in);
	free(j);
	atomic_fetch_sub(&o->nr_later, 1);
}

/* @name: of the slice; @expr: where in it the expression begins. */
static int lookup_file(fuse_req_t req, struct inode *in, const char *name, const char *expr)
{
	struct ops *o = ops_of(req);
	struct slice_table *t = &o->slices.nodes;
	struct slice_node *n = slice_node_find(t, SLICE_NODE_FILE, in->ino, expr);
	size_t len = strlen(name) + 1;
	struct lookup_job *j;

	if (n && slice_is_fresh(in, n->slice))
		return reply_node(req, n, in);
	if (n)
		slice_node_put(t, n);
	j = malloc(sizeof(*j) + len);
	if (!j)
		return -ENOMEM;
	*j = (struct lookup_job){
		.job = {.run = lookup_job},
		.req = req,
		.in = inode_ref(in),
		.since_ns = mono_ns(),
	};
	memcpy(j->name, name, len);
	j->expr = j->name + (expr - name);
	atomic_fetch_add(&o->nr_later, 1);
	worker_post(o->fs->workers, &j->job);
	return OPS_LATER;
}

/* Where the last "@[" of @name is, or NULL. */
static const char *split(const char *name)
{
	for (const char *p = name + strlen(name); p > name; p--) {
		if (p[-1] == '@' && p[0] == '[')
			return p - 1;
	}
	return NULL;
}

/* NAME@[EXPRESSION] in the real directory @dir. */
static int lookup_expr(fuse_req_t req, uint64_t dir, const char *name)
{
	const char *at = split(name);
	struct ops *o = ops_of(req);
	struct inode *in;
	struct attr a;
	int err;

	if (!at)
		return -ENOENT;
	if (name[strlen(name) - 1] != ']')
		return say(o, name, -EINVAL, "no ']' at the end");
	err = name_lookup(o->fs, dir, (struct name){.p = name, .len = (size_t)(at - name)}, &in);
	if (err == -ENOENT)
		return say(o, name, err, "there is no file of the name before the '@['");
	if (err)
		return err;
	inode_attr(in, &a);
	if (S_ISLNK(a.mode))
		err = reply_mirror(req, SLICE_NODE_LINK, in, at);
	else if (S_ISREG(a.mode))
		err = lookup_file(req, in, name, at + 1);
	else
		err = say(o, name, -EINVAL, "the name before the '@[' is not that of a file");
	inode_put(in);
	return err;
}

/* @name in the directory that stands for @dir. What is to be walked through comes first. */
static int lookup_in(fuse_req_t req, uint64_t dir, const char *name)
{
	struct inode *in;
	struct attr a;
	int err;

	if (strlen(name) > NAME_MAX_LEN)
		return -ENAMETOOLONG;
	err = name_lookup(ops_of(req)->fs, dir, ops_to_name(name), &in);
	if (err == -ENOENT)
		return lookup_expr(req, dir, name);
	if (err)
		return err;
	inode_attr(in, &a);
	if (S_ISDIR(a.mode))
		err = reply_mirror(req, SLICE_NODE_DIR, in, "");
	else if (S_ISLNK(a.mode))
		err = reply_mirror(req, SLICE_NODE_LINK, in, "");
	else
		err = lookup_expr(req, dir, name);
	inode_put(in);
	return err;
}

/* By a file handle. */
static int lookup_self(fuse_req_t req, struct slice_node *n)
{
	struct ops *o = ops_of(req);
	struct inode *in;
	int err = inode_get(o->fs, NULL, n->ino, &in);

	if (err)
		return err == -ENOENT ? -ESTALE : err;
	n = slice_node_get(&o->slices.nodes, n->id);
	err = n ? reply_node(req, n, in) : -ESTALE;
	inode_put(in);
	return err;
}

static int lookup_root(fuse_req_t req)
{
	struct inode *in;
	int err = ops_inode(req, FUSE_ROOT_ID, &in);

	if (err)
		return err;
	err = reply_mirror(req, SLICE_NODE_DIR, in, "");
	inode_put(in);
	return err;
}

int ops_slice_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct slice_table *t = &ops_of(req)->slices.nodes;
	struct slice_node *n;
	int err;

	if (parent == FUSE_ROOT_ID)
		return lookup_root(req);
	n = slice_node_get(t, parent);
	if (!n)
		return -ESTALE;
	if (strcmp(name, ".") == 0)
		err = lookup_self(req, n);
	else if (strcmp(name, "..") == 0)
		err = -ESTALE; /* nodes do not know where they were found */
	else
		err = n->kind == SLICE_NODE_DIR ? lookup_in(req, n->ino, name) : -ENOTDIR;
	slice_node_put(t, n);
	return err;
}

void ops_slice_forget(struct ops *o, fuse_ino_t ino, uint64_t nr)
{
	slice_node_forget(&o->slices.nodes, ino, nr);
}

/* A link to DIR/a.npy, looked up as link@[0], leads to DIR/a.npy@[0]. */
int ops_slice_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct ops *o = ops_of(req);
	char target[TARGET_MAX + 1 + NAME_MAX_LEN + 1];
	struct slice_node *n = slice_node_get(&o->slices.nodes, ino);
	int err;

	if (!n)
		return -ESTALE;
	err = n->kind == SLICE_NODE_LINK ? name_readlink(o->fs, n->ino, target) : -EINVAL;
	if (!err)
		memcpy(target + strlen(target), n->text, strlen(n->text) + 1);
	slice_node_put(&o->slices.nodes, n);
	if (err)
		return err == -ENOENT ? -ESTALE : err;
	if (strlen(target) > TARGET_MAX)
		return -ENAMETOOLONG;
	fuse_reply_readlink(req, target);
	return 0;
}

/* ---- open ---- */

int ops_slice_opendir(fuse_req_t req, struct fuse_file_info *fi)
{
	struct ops_file *f;
	int err = ops_file_new(ops_of(req), NULL, &f);

	if (err)
		return err;
	fi->fh = (uintptr_t)f;
	if (fuse_reply_open(req, fi))
		ops_file_free(f);
	return 0;
}

/* The kernel may keep what it reads, so that it can be mapped, but only to the next open: it does not notice when the
 * source is written. */
static int open_now(fuse_req_t req, struct inode *in, struct slice *s, struct fuse_file_info fi)
{
	struct ops_file *f;
	int err = ops_file_new(ops_of(req), inode_ref(in), &f);

	if (err) {
		inode_put(in);
		return err;
	}
	f->slice = slice_ref(s);
	if (!(fi.flags & O_NOATIME) && file_access_due(in)) {
		file_accessed(in);
		ops_attr_changed(req, in);
	}
	fi.fh = (uintptr_t)f;
	fi.noflush = 1;
	if (fuse_reply_open(req, &fi))
		ops_file_free(f);
	return 0;
}

struct open_job {
	struct job job;
	fuse_req_t req;
	struct inode *in;    /* referenced */
	struct slice *slice; /* referenced */
	struct fuse_file_info fi;
	uint64_t since_ns;
};

/* On -ESTALE the kernel looks the name up again, and finds what it leads to now. */
static void open_job(struct job *job)
{
	struct open_job *j = container_of(job, struct open_job, job);
	struct ops *o = ops_of(j->req);
	int err = slice_check(j->in, j->slice);

	if (!err)
		err = open_now(j->req, j->in, j->slice, j->fi);
	if (err)
		fuse_reply_err(j->req, -err);
	ops_took(o, OPS_open, j->since_ns);
	slice_put(j->slice);
	inode_put(j->in);
	free(j);
	atomic_fetch_sub(&o->nr_later, 1);
}

static int open_later(fuse_req_t req, struct inode *in, struct slice *s,
		      const struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	struct open_job *j = malloc(sizeof(*j));

	if (!j)
		return -ENOMEM;
	*j = (struct open_job){
		.job = {.run = open_job},
		.req = req,
		.in = inode_ref(in),
		.slice = slice_ref(s),
		.fi = *fi,
		.since_ns = mono_ns(),
	};
	atomic_fetch_add(&o->nr_later, 1);
	worker_post(o->fs->workers, &j->job);
	return OPS_LATER;
}

int ops_slice_open(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	struct slice_node *n;
	struct inode *in;
	int err;

	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC)
		return -EPERM;
	err = find_node(o, ino, &n, &in);
	if (err)
		return err;
	if (n->kind != SLICE_NODE_FILE)
		err = -EPERM;
	else if (slice_is_fresh(in, n->slice))
		err = open_now(req, in, n->slice, *fi);
	else
		err = open_later(req, in, n->slice, fi);
	slice_node_put(&o->slices.nodes, n);
	inode_put(in);
	return err;
}

/* ---- the rest ---- */

/* It is all data. */
int ops_slice_lseek(fuse_req_t req, const struct ops_file *f, off_t off, int whence)
{
	uint64_t len = slice_len(f->slice);

	if (off < 0 || (uint64_t)off >= len)
		return -ENXIO;
	fuse_reply_lseek(req, whence == SEEK_HOLE ? (off_t)len : off);
	return 0;
}
