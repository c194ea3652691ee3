/* Directories listed.
 *
 * Cookies are given out once and in order, and an entry keeps its cookie as long as it exists, so that where a listing
 * stopped is a number that stays good through any change, and each call may seek anew. */
#include "fs/name_impl.h"

#define NAME_COOKIE_DOT	    1
#define NAME_COOKIE_DOT_DOT 2

struct name_lister {
	uint64_t dir;
	int (*fn)(void *arg, const struct name_entry *e);
	void *arg;
};

/* 1: @fn has had enough. */
static int name_list_dots(const struct name_lister *l, uint64_t cookie, const struct attr *a)
{
	struct name_entry dot = {
		.name = {.p = ".", .len = 1},
		.ino = l->dir,
		.type = S_IFDIR,
		.cookie = NAME_COOKIE_DOT,
	};
	struct name_entry dot_dot = {
		.name = {.p = "..", .len = 2},
		.ino = l->dir == NAME_ROOT ? NAME_ROOT : a->parent,
		.type = S_IFDIR,
		.cookie = NAME_COOKIE_DOT_DOT,
	};

	if (cookie < NAME_COOKIE_DOT && l->fn(l->arg, &dot))
		return 1;
	return cookie < NAME_COOKIE_DOT_DOT && l->fn(l->arg, &dot_dot);
}

/* 0, 1 when @fn has had enough, -ENOENT behind the last entry, -EBADMSG. */
static int name_list_one(const struct name_lister *l, const struct key *first,
			 const struct index_val *k, const struct index_val *v)
{
	struct name_entry e;
	struct dentry d;
	int err;

	if (k->len < 9 || memcmp(k->p, first->b, 9) != 0)
		return -ENOENT;
	err = dentry_cookie_get(v->p, v->len, &d, &e.name);
	if (err || k->len != first->len)
		return -EBADMSG;
	e.ino = d.ino;
	e.type = d.type;
	e.cookie = get_be64(k->p + 9);
	return l->fn(l->arg, &e) != 0;
}

static int name_list_entries(const struct name_lister *l, struct index_txn *t, uint64_t after)
{
	struct index_cursor *c;
	struct index_val k, v;
	struct key first;
	int err;

	if (after == UINT64_MAX)
		return 0;
	first = key_number(l->dir, KEY_COOKIE, after + 1);
	err = index_cursor_open(t, &c);
	if (err)
		return err;
	err = index_seek(c, &first, &k, &v);
	while (!err) {
		err = name_list_one(l, &first, &k, &v);
		if (!err)
			err = index_next(c, &k, &v);
	}
	index_cursor_close(c);
	return err == -ENOENT || err == 1 ? 0 : err;
}

static int name_list_in(const struct name_lister *l, struct index_txn *t, uint64_t cookie)
{
	struct attr a;
	int err = attr_load(t, l->dir, &a);

	if (err)
		return err;
	if (!S_ISDIR(a.mode))
		return -ENOTDIR;
	if (a.nlink == 0)
		return -ENOENT;
	if (name_list_dots(l, cookie, &a))
		return 0;
	return name_list_entries(l, t, cookie);
}

int name_list(struct fs *fs, uint64_t dir, uint64_t cookie,
	      int (*fn)(void *arg, const struct name_entry *e), void *arg)
{
	struct name_lister l = {.dir = dir, .fn = fn, .arg = arg};
	struct index_txn *t;
	int err = index_read(fs->index, &t);

	if (err)
		return err;
	err = name_list_in(&l, t, cookie);
	index_read_end(t);
	return err;
}
