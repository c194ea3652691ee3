/* The operations, each on the volume and on the model. */
#include "tests/crash/work.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/base.h"
#include "fs/commit.h"
#include "fs/file.h"
#include "fs/name.h"
#include "fs/setattr.h"
#include "fs/xattr.h"

static struct name name_of(char *buf)
{
	return (struct name){buf, strlen(buf)};
}

static struct inode *get(struct work *w, uint64_t ino)
{
	struct inode *in;

	must(inode_get(w->fs, NULL, ino, &in) == 0);
	return in;
}

/* An operation has ended; the next begins. */
static void step(struct work *w)
{
	if (w->nr_done + 2 > w->cap_done) {
		w->cap_done = MAX(256u, w->cap_done * 2);
		w->done = realloc(w->done, w->cap_done * sizeof(*w->done));
		must(w->done);
	}
	model_parts(&w->m, w->done[w->nr_done++].part);
	w->done[w->nr_done].begun = crash_steps(w->disk);
}

/* done[nr_done] will be the state after the operation under way. */
static void changed(struct work *w, struct model_file *f)
{
	f->changed = w->nr_done;
}

/* False: refused for want of space, and nothing has changed. */
static bool answered(struct work *w, int err)
{
	if (err == -ENOSPC && w->full_ok) {
		w->nr_full++;
		return false;
	}
	if (err)
		fprintf(stderr, "%s\n", strerror(-err));
	must(err == 0);
	return true;
}

static unsigned any_dir(struct work *w)
{
	return w->only == WORK_ALL_DIRS ? chance_below(&w->c, MODEL_DIRS) : w->only;
}

/* ---- directories ---- */

static bool dir_empty(const struct work *w, unsigned d)
{
	for (unsigned n = 0; n < MODEL_NAMES; n++)
		if (w->m.name[d][n])
			return false;
	return true;
}

static void do_mkdir(struct work *w, unsigned d)
{
	struct name_new nn = {.mode = S_IFDIR | 0755};
	char name[16];

	model_dir_name(d, name);
	if (answered(w, name_make(w->fs, 1, name_of(name), &nn, &w->dir[d])))
		w->m.dir[d] = true;
}

static void do_rmdir(struct work *w, unsigned d)
{
	bool empty = dir_empty(w, d);
	char name[16];
	int err;

	model_dir_name(d, name);
	err = name_rmdir(w->fs, 1, name_of(name));
	must(err == (empty ? 0 : -ENOTEMPTY));
	if (!empty)
		return;
	w->m.dir[d] = false;
	inode_put(w->dir[d]);
	w->dir[d] = NULL;
}

static void do_rename_dir(struct work *w, unsigned d)
{
	unsigned to = chance_below(&w->c, MODEL_DIRS);
	bool free = !w->m.dir[to] || dir_empty(w, to);
	char from_name[16], to_name[16];
	int err;

	if (to == d)
		return;
	model_dir_name(d, from_name);
	model_dir_name(to, to_name);
	err = name_rename(w->fs, 1, name_of(from_name), 1, name_of(to_name), 0);
	if (!free) {
		must(err == -ENOTEMPTY);
		return;
	}
	if (!answered(w, err))
		return;
	if (w->dir[to])
		inode_put(w->dir[to]);
	w->dir[to] = w->dir[d];
	w->dir[d] = NULL;
	w->m.dir[to] = true;
	w->m.dir[d] = false;
	for (unsigned n = 0; n < MODEL_NAMES; n++) {
		w->m.name[to][n] = w->m.name[d][n];
		w->m.name[d][n] = NULL;
		if (w->m.name[to][n])
			changed(w, w->m.name[to][n]);
	}
}

/* ---- names ---- */

static void do_create(struct work *w, unsigned d, unsigned n)
{
	struct name_new nn = {.mode = S_IFREG | (0600 + chance_below(&w->c, 64))};
	bool link = chance_below(&w->c, 8) == 0;
	struct model_file *f;
	struct inode *in;
	char name[16];

	model_file_name(n, name);
	if (link) {
		nn.mode = S_IFLNK | 0777;
		nn.target = "somewhere/else";
	}
	if (!answered(w, name_make(w->fs, w->dir[d]->ino, name_of(name), &nn, &in)))
		return;
	f = model_file_new();
	f->ino = in->ino;
	f->nlink = 1;
	f->mode = nn.mode;
	f->target = link ? strdup(nn.target) : NULL;
	w->m.name[d][n] = f;
	changed(w, f);
	inode_put(in);
}

static void do_rename(struct work *w, unsigned d, unsigned n)
{
	unsigned to_d = any_dir(w), to_n = chance_below(&w->c, MODEL_NAMES);
	struct model_file *f = w->m.name[d][n], *old = w->m.name[to_d][to_n];
	char from[16], to[16];

	if (!w->m.dir[to_d])
		return;
	model_file_name(n, from);
	model_file_name(to_n, to);
	if (!answered(w, name_rename(w->fs, w->dir[d]->ino, name_of(from), w->dir[to_d]->ino,
				     name_of(to), 0)) ||
	    old == f)
		return;
	if (old)
		model_unlink(&w->m, to_d, to_n);
	w->m.name[d][n] = NULL;
	w->m.name[to_d][to_n] = f;
	changed(w, f);
}

static void do_link(struct work *w, struct model_file *f)
{
	unsigned d = any_dir(w), n = chance_below(&w->c, MODEL_NAMES);
	struct inode *in;
	char to[16];

	if (!w->m.dir[d] || w->m.name[d][n])
		return;
	model_file_name(n, to);
	if (!answered(w, name_link(w->fs, f->ino, w->dir[d]->ino, name_of(to), &in)))
		return;
	inode_put(in);
	f->nlink++;
	w->m.name[d][n] = f;
	changed(w, f);
}

/* Removing works on a full volume, too. */
static void do_unlink(struct work *w, unsigned d, unsigned n)
{
	char name[16];

	model_file_name(n, name);
	must(name_unlink(w->fs, w->dir[d]->ino, name_of(name)) == 0);
	model_unlink(&w->m, d, n);
}

/* ---- files without a name ---- */

static void hold(struct work *w, struct inode *in)
{
	unsigned i = chance_below(&w->c, WORK_HELD);

	if (w->held[i]) {
		file_closed(w->held[i]);
		inode_put(w->held[i]);
	}
	w->held[i] = in;
}

/* Unlinked while open, and written to since: nothing of it may be left after a crash. */
static void do_unlink_open(struct work *w, unsigned d, unsigned n)
{
	struct model_file *f = w->m.name[d][n];
	struct inode *in = get(w, f->ino);
	uint8_t bytes[3000];
	bool last = f->nlink == 1;

	file_opened(in);
	do_unlink(w, d, n);
	if (!last) {
		file_closed(in);
		inode_put(in);
		return;
	}
	step(w);
	chance_fill(&w->c, bytes, sizeof(bytes));
	answered(w, file_write(in, chance_below(&w->c, 400000),
			       &(struct iovec){bytes, sizeof(bytes)}, 1, false));
	hold(w, in);
}

/* O_TMPFILE, which may get a name at last. */
static void do_tmpfile(struct work *w, unsigned d, unsigned n)
{
	struct name_new nn = {.mode = S_IFREG | 0600};
	size_t len = 1 + chance_below(&w->c, 20000);
	AUTO_FREE uint8_t *p = malloc(len);
	struct model_file *f;
	struct inode *in, *again;
	char name[16];

	if (!answered(w, name_tmpfile(w->fs, w->dir[d]->ino, &nn, &in)))
		return;
	file_opened(in);
	step(w);
	chance_fill(&w->c, p, len);
	if (!answered(w, file_write(in, 0, &(struct iovec){p, len}, 1, false)) ||
	    chance_below(&w->c, 2) || w->m.name[d][n]) {
		hold(w, in);
		return;
	}
	step(w);
	model_file_name(n, name);
	if (!answered(w, name_link(w->fs, in->ino, w->dir[d]->ino, name_of(name), &again))) {
		hold(w, in);
		return;
	}
	inode_put(again);
	f = model_file_new();
	f->ino = in->ino;
	f->nlink = 1;
	f->mode = nn.mode;
	model_resize(f, len);
	memcpy(f->bytes, p, len);
	w->m.name[d][n] = f;
	changed(w, f);
	file_closed(in);
	inode_put(in);
}

/* ---- bytes ---- */

static void do_write(struct work *w, struct model_file *f)
{
	static const unsigned sizes[] = {1, 100, 3000, 4096, 5000, 40000, RIG_EXTENT_LEN, 300000};
	size_t len = 1 + chance_below(&w->c, MIN(w->max_len,
						 sizes[chance_below(&w->c, ARRAY_LEN(sizes))]));
	size_t off = chance_below(&w->c, 3) ? (f->len < MODEL_LEN_MAX - len ? f->len : 0)
					    : chance_below(&w->c, (unsigned)(MODEL_LEN_MAX - len));
	struct inode *in = get(w, f->ino);
	AUTO_FREE uint8_t *p = malloc(len);
	int err;

	chance_fill(&w->c, p, len);
	err = file_write(in, off, &(struct iovec){p, len}, 1, false);
	inode_put(in);
	if (!answered(w, err))
		return;
	if (off + len > f->len)
		model_resize(f, off + len);
	memcpy(f->bytes + off, p, len);
	f->sum_ok = false;
	changed(w, f);
}

static void do_truncate(struct work *w, struct model_file *f)
{
	size_t len = chance_below(&w->c, 3) ? chance_below(&w->c, (unsigned)f->len + 1)
					    : chance_below(&w->c, MODEL_LEN_MAX);
	struct inode *in = get(w, f->ino);

	must(file_truncate(in, len, false) == 0);
	inode_put(in);
	model_resize(f, len);
	changed(w, f);
}

static void do_punch(struct work *w, struct model_file *f)
{
	size_t off = f->len ? chance_below(&w->c, (unsigned)f->len) : 0;
	size_t len = 1 + chance_below(&w->c, chance_below(&w->c, 2) ? 100000 : 100);
	struct inode *in = get(w, f->ino);

	must(file_fallocate(in, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, off, len) == 0);
	inode_put(in);
	if (off < f->len)
		memset(f->bytes + off, 0, MIN(len, f->len - off));
	f->sum_ok = false;
	changed(w, f);
}

/* Each call is one operation for a user, but more than one change: a prefix may end between them, so the states in
 * between are states, too. */
static void copy_steps(struct work *w, struct inode *src, size_t off, struct model_file *from,
		       struct inode *dst_in, size_t dst, struct model_file *to, size_t len)
{
	size_t at = 0;

	while (at < len) {
		uint64_t done = 0;
		int err = file_copy(src, off + at, dst_in, dst + at, MIN(len - at, (size_t)100000),
				    &done);

		if (!answered(w, err))
			return;
		must(done);
		if (dst + at + done > to->len)
			model_resize(to, dst + at + done);
		memmove(to->bytes + dst + at, from->bytes + off + at, done);
		to->sum_ok = false;
		changed(w, to);
		at += done;
		if (at < len)
			step(w);
	}
}

static void do_copy(struct work *w, struct model_file *from, struct model_file *to)
{
	size_t off = chance_below(&w->c, (unsigned)from->len + 1),
	       dst = chance_below(&w->c, (unsigned)to->len + 1);
	size_t len = MIN(from->len - off, (size_t)(MODEL_LEN_MAX - dst));
	struct inode *src, *dst_in;

	/* As large pieces as can be, since only those are shared; and often aligned. */
	if (chance_below(&w->c, 2)) {
		off = 0;
		len = MIN(from->len, (size_t)(MODEL_LEN_MAX - dst));
	}
	if (!len || (from == to && off < dst + len && dst < off + len))
		return;
	src = get(w, from->ino);
	dst_in = get(w, to->ino);
	copy_steps(w, src, off, from, dst_in, dst, to, len);
	inode_put(src);
	inode_put(dst_in);
}

/* ---- the rest ---- */

static void do_xattr(struct work *w, struct model_file *f)
{
	struct inode *in = get(w, f->ino);
	uint64_t v = chance_next(&w->c) | 1;

	if (S_ISREG(f->mode) && answered(w, xattr_set(in, "user.model", &v, sizeof(v), 0, false))) {
		f->xattr = v;
		changed(w, f);
	}
	inode_put(in);
}

static void do_chmod(struct work *w, struct model_file *f)
{
	struct setattr s = {.what = SETATTR_MODE, .mode = chance_below(&w->c, 0777)};
	struct inode *in = get(w, f->ino);

	must(setattr_apply(in, &s) == 0);
	inode_put(in);
	f->mode = (f->mode & S_IFMT) | s.mode;
	changed(w, f);
}

/* An fsync of one file promises what was done to it; a sync, all that was done. Neither fails for want of space. */
static void do_sync(struct work *w, struct model_file *f)
{
	struct inode *in = get(w, f->ino);
	bool all = chance_below(&w->c, 2);

	must((all ? commit_wait(w->fs, commit_open_txg(w->fs)) : file_sync(in)) == 0);
	inode_put(in);
	if (w->nr_promises == w->cap_promises) {
		w->cap_promises = MAX(64u, w->cap_promises * 2);
		w->promise = realloc(w->promise, w->cap_promises * sizeof(*w->promise));
		must(w->promise);
	}
	w->promise[w->nr_promises++] = (struct work_promise){
		.step = crash_steps(w->disk), .op = all ? w->nr_done - 1 : f->changed};
}

static void on_dir(struct work *w, unsigned d)
{
	if (!w->m.dir[d])
		do_mkdir(w, d);
	else if (chance_below(&w->c, 2))
		do_rename_dir(w, d);
	else
		do_rmdir(w, d);
}

static void on_regular(struct work *w, struct model_file *f, unsigned what)
{
	unsigned d = any_dir(w);
	struct model_file *g = w->m.name[d][chance_below(&w->c, MODEL_NAMES)];

	if (what < 40)
		do_write(w, f);
	else if (what < 45)
		do_truncate(w, f);
	else if (what < 50)
		do_punch(w, f);
	else if (g && S_ISREG(g->mode))
		do_copy(w, f, g);
}

static void one_operation(struct work *w)
{
	unsigned d = any_dir(w), n = chance_below(&w->c, MODEL_NAMES);
	struct model_file *f = w->m.name[d][n];
	unsigned what = chance_below(&w->c, 100);

	if (!w->m.dir[d] || (w->only == WORK_ALL_DIRS && what < 2))
		on_dir(w, d);
	else if (what < 4)
		do_tmpfile(w, d, n);
	else if (!f)
		do_create(w, d, n);
	else if (what < 58 && S_ISREG(f->mode))
		on_regular(w, f, what);
	else if (what < 66)
		do_rename(w, d, n);
	else if (what < 70)
		do_link(w, f);
	else if (what < 73)
		do_unlink(w, d, n);
	else if (what < 76 && S_ISREG(f->mode))
		do_unlink_open(w, d, n);
	else if (what < 80)
		do_xattr(w, f);
	else if (what < 84)
		do_chmod(w, f);
	else if (what < 92)
		commit_kick(w->fs);
	else
		do_sync(w, f);
}

/* ---- a life ---- */

void work_init(struct work *w, uint64_t seed, struct fs *fs, struct crash_disk *d, unsigned only)
{
	w->c.s = seed;
	w->fs = fs;
	w->disk = d;
	w->only = only;
	w->max_len = 300000;
	for (unsigned i = 0; i < MODEL_DIRS; i++)
		if (w->m.dir[i])
			w->dir[i] = get(w, w->m.dir_ino[i]);
	step(w);
}

void work_run(struct work *w, unsigned ops)
{
	for (unsigned i = 0; i < ops; i++) {
		w->done[w->nr_done].begun = crash_steps(w->disk);
		one_operation(w);
		step(w);
	}
}

void work_end(struct work *w)
{
	for (unsigned i = 0; i < WORK_HELD; i++) {
		if (w->held[i]) {
			file_closed(w->held[i]);
			inode_put(w->held[i]);
		}
		w->held[i] = NULL;
	}
	for (unsigned i = 0; i < MODEL_DIRS; i++) {
		if (w->dir[i])
			inode_put(w->dir[i]);
		w->dir[i] = NULL;
	}
}

void work_fini(struct work *w)
{
	model_fini(&w->m);
	free(w->done);
	free(w->promise);
}

/* Which operations each name that disagrees with the last allowed state would fit. */
static void tell_parts(const struct work *w, unsigned lo, unsigned hi,
		       const uint64_t v[MODEL_PARTS])
{
	for (unsigned n = 0; n < w->nr_done; n++)
		if (!memcmp(w->done[n].part, v, sizeof(w->done[n].part)))
			fprintf(stderr, "the state is that after operation %u\n", n);
	for (unsigned i = 0; i < MODEL_PARTS; i++) {
		if (w->done[lo].part[i] == w->done[hi].part[i] && v[i] == w->done[lo].part[i])
			continue;
		fprintf(stderr, "directory %u, part %u, fits after:", i / (MODEL_NAMES + 1),
			i % (MODEL_NAMES + 1));
		for (unsigned n = 0; n < w->nr_done; n++)
			if (w->done[n].part[i] == v[i] && (!n || w->done[n - 1].part[i] != v[i]))
				fprintf(stderr, " %u..", n);
			else if (n && w->done[n].part[i] != v[i] && w->done[n - 1].part[i] == v[i])
				fprintf(stderr, "%u", n - 1);
		fprintf(stderr, "\n");
	}
}

void work_check(struct work *w, uint64_t at, const struct model *m)
{
	struct model part = *m;
	unsigned lo = 0, hi;
	uint64_t v[MODEL_PARTS];

	for (unsigned d = 0; d < MODEL_DIRS; d++) {
		if (w->only == WORK_ALL_DIRS || w->only == d)
			continue;
		part.dir[d] = false;
		memset(part.name[d], 0, sizeof(part.name[d]));
	}
	model_parts(&part, v);
	for (unsigned i = 0; i < w->nr_promises; i++)
		if (w->promise[i].step <= at)
			lo = MAX(lo, w->promise[i].op);
	for (hi = lo; hi + 1 < w->nr_done && w->done[hi + 1].begun <= at; hi++)
		;
	for (unsigned n = lo; n <= hi; n++)
		if (!memcmp(w->done[n].part, v, sizeof(v)))
			return;
	tell_parts(w, lo, hi, v);
	fprintf(stderr, "%s: no state between operations %u and %u\n", rig_where, lo, hi);
	abort();
}
