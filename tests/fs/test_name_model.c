/* The namespace against a model of it in memory: random calls, each with the errno that the model predicts, and now and
 * then everything compared, through the calls and in the index itself. Listings are taken in steps between the calls.
 *
 *   TEST_SEED=n TEST_OPS=n  another run than the usual one */
#include "tests/fs/fs_make.h"

#include <inttypes.h>
#include <linux/fs.h>

#include "fs/file.h"
#include "fs/name.h"

#define NAMES	  24  /* each directory knows no others */
#define NODES	  250 /* inodes at most */
#define OPS	  100000
#define CHECK_OPS 500	/* between comparisons of all */
#define MOUNT_OPS 25000 /* between unmounts */
#define NONE	  (-1)
#define FULL	  1 /* no errno: the model has no node left and the call is not made */

struct entry {
	int node; /* NONE: no such name */
	uint64_t cookie;
};

struct node {
	bool used;
	uint64_t ino;
	uint32_t type;
	unsigned nr_links;  /* names that lead to it */
	struct inode *open; /* one open file of it, or NULL */
	/* of a directory */
	int parent;
	uint64_t next_cookie;
	unsigned nr_names, nr_dirs;
	struct entry e[NAMES];
};

/* A listing under way. */
struct lister {
	int dir; /* NONE: none */
	uint64_t cookie;
	bool stayed[NAMES]; /* since it began */
	unsigned seen[NAMES];
};

struct model {
	struct fs_make make;
	struct fs *fs;
	uint64_t rng, seed;
	unsigned op;
	struct node node[NODES];
	struct lister lister;
	unsigned nr_done[32]; /* calls that succeeded, of each kind: see main loop */
};

#define CHECK(m, cond, ...)                                                                        \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			print_error("TEST_SEED=%" PRIu64 " op %u: ", (m)->seed, (m)->op);          \
			print_error(__VA_ARGS__);                                                  \
			print_error("\n");                                                         \
			assert_true(cond);                                                         \
		}                                                                                  \
	} while (0)

static unsigned random_below(struct model *m, unsigned n)
{
	m->rng ^= m->rng >> 12;
	m->rng ^= m->rng << 25;
	m->rng ^= m->rng >> 27;
	return (unsigned)(m->rng * UINT64_C(2685821657736338717) >> 32) % n;
}

/* Names of all lengths. */
static struct name name_nr(unsigned i)
{
	static char text[NAMES][256];

	if (!text[i][0]) {
		size_t len = i % 3 ? 1 + i : 255 - i;

		memset(text[i], 'a' + (int)i, len);
		snprintf(text[i] + len - 1, 2, "%c", 'A' + (int)i);
	}
	return (struct name){.p = text[i], .len = strlen(text[i])};
}

static unsigned name_index(struct model *m, struct name name)
{
	for (unsigned i = 0; i < NAMES; i++) {
		struct name n = name_nr(i);

		if (n.len == name.len && memcmp(n.p, name.p, n.len) == 0)
			return i;
	}
	CHECK(m, false, "a name nobody made");
	return 0;
}

/* ---- the model ---- */

static bool is_dir(const struct node *n)
{
	return S_ISDIR(n->type);
}

static int node_new(struct model *m, uint32_t type, int parent)
{
	for (int i = 0; i < NODES; i++) {
		struct node *n = &m->node[i];

		if (n->used)
			continue;
		*n = (struct node){.used = true, .type = type, .parent = parent, .next_cookie = 3};
		for (unsigned k = 0; k < NAMES; k++)
			n->e[k].node = NONE;
		return i;
	}
	return NONE;
}

static void node_unneeded(struct node *n)
{
	if (!n->nr_links && !n->open)
		n->used = false;
}

static void entry_clear(struct model *m, int dir, unsigned name)
{
	struct node *d = &m->node[dir];

	d->nr_names--;
	d->nr_dirs -= is_dir(&m->node[d->e[name].node]);
	d->e[name].node = NONE;
	if (m->lister.dir == dir)
		m->lister.stayed[name] = false;
}

/* A name keeps its cookie when there is one. */
static void entry_set(struct model *m, int dir, unsigned name, int node)
{
	struct node *d = &m->node[dir];
	struct entry *e = &d->e[name];

	if (e->node == NONE) {
		d->nr_names++;
		e->cookie = d->next_cookie++;
	} else {
		d->nr_dirs -= is_dir(&m->node[e->node]);
	}
	d->nr_dirs += is_dir(&m->node[node]);
	if (is_dir(&m->node[node]))
		m->node[node].parent = dir;
	e->node = node;
}

static void link_lost(struct model *m, int node)
{
	struct node *n = &m->node[node];

	n->nr_links--;
	if (is_dir(n) && m->lister.dir == node)
		m->lister.dir = NONE;
	node_unneeded(n);
}

/* Is @node @dir, or above it? */
static bool is_above(const struct model *m, int node, int dir)
{
	while (dir != node && dir != 0)
		dir = m->node[dir].parent;
	return dir == node;
}

/* ---- picking ---- */

static int pick_node(struct model *m)
{
	for (;;) {
		int i = (int)random_below(m, NODES);

		if (m->node[i].used && m->node[i].nr_links)
			return i;
	}
}

/* A directory; now and then something that is none. */
static int pick_dir(struct model *m)
{
	bool any = random_below(m, 100) == 0;

	for (;;) {
		int i = pick_node(m);

		if (any || is_dir(&m->node[i]))
			return i;
	}
}

static unsigned pick_name(struct model *m)
{
	return random_below(m, NAMES);
}

/* A name that is there, mostly. */
static unsigned pick_taken(struct model *m, int dir)
{
	unsigned name = pick_name(m);

	for (unsigned i = 0; i < NAMES && m->node[dir].e[name].node == NONE; i++)
		name = (name + 1) % NAMES;
	return random_below(m, 20) ? name : pick_name(m);
}

/* ---- calls ---- */

static int call_make(struct model *m)
{
	static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO};
	int dir = pick_dir(m), want, node;
	unsigned name = pick_name(m);
	uint32_t type = types[random_below(m, ARRAY_LEN(types))];
	struct name_new n = {.mode = type | 0755, .target = "somewhere"};
	struct inode *in;
	int err;

	if (!is_dir(&m->node[dir]))
		want = -ENOTDIR;
	else
		want = m->node[dir].e[name].node == NONE ? 0 : -EEXIST;
	node = want ? NONE : node_new(m, type, dir);
	if (!want && node == NONE)
		return FULL;
	err = name_make(m->fs, m->node[dir].ino, name_nr(name), &n, &in);
	CHECK(m, err == want, "make gives %d, not %d", err, want);
	if (err)
		return err;
	m->node[node].ino = in->ino;
	m->node[node].nr_links = 1;
	inode_put(in);
	entry_set(m, dir, name, node);
	return 0;
}

static int call_link(struct model *m)
{
	int dir = pick_dir(m), node = pick_node(m), want = 0, err;
	unsigned name = pick_name(m);
	struct inode *in;

	if (!is_dir(&m->node[dir]))
		want = -ENOTDIR;
	else if (m->node[dir].e[name].node != NONE)
		want = -EEXIST;
	else if (is_dir(&m->node[node]))
		want = -EPERM;
	err = name_link(m->fs, m->node[node].ino, m->node[dir].ino, name_nr(name), &in);
	CHECK(m, err == want, "link gives %d, not %d", err, want);
	if (err)
		return err;
	CHECK(m, in->ino == m->node[node].ino, "link gives inode %" PRIu64, in->ino);
	inode_put(in);
	m->node[node].nr_links++;
	entry_set(m, dir, name, node);
	return 0;
}

static int call_remove(struct model *m, bool rmdir)
{
	int dir = pick_dir(m), node, want = 0, err;
	unsigned name = pick_taken(m, dir);

	node = m->node[dir].e[name].node;
	if (!is_dir(&m->node[dir]))
		want = -ENOTDIR;
	else if (node == NONE)
		want = -ENOENT;
	else if (is_dir(&m->node[node]) != rmdir)
		want = rmdir ? -ENOTDIR : -EISDIR;
	else if (m->node[node].nr_names)
		want = -ENOTEMPTY;
	err = rmdir ? name_rmdir(m->fs, m->node[dir].ino, name_nr(name))
		    : name_unlink(m->fs, m->node[dir].ino, name_nr(name));
	CHECK(m, err == want, "%s gives %d, not %d", rmdir ? "rmdir" : "unlink", err, want);
	if (err)
		return err;
	entry_clear(m, dir, name);
	link_lost(m, node);
	return 0;
}

struct rename_call {
	int from_dir, to_dir;
	unsigned from_name, to_name, flags;
	int from, to; /* nodes */
};

static int rename_predict(const struct model *m, const struct rename_call *c)
{
	const struct node *from, *to;

	if (!is_dir(&m->node[c->from_dir]))
		return -ENOTDIR;
	if (c->from == NONE)
		return -ENOENT;
	if (!is_dir(&m->node[c->to_dir]))
		return -ENOTDIR;
	from = &m->node[c->from];
	if (c->to == NONE) {
		if (c->flags & RENAME_EXCHANGE)
			return -ENOENT;
		return is_dir(from) && is_above(m, c->from, c->to_dir) ? -EINVAL : 0;
	}
	to = &m->node[c->to];
	if (c->flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (c->from == c->to)
		return 0;
	if (is_dir(from) && is_above(m, c->from, c->to_dir))
		return -EINVAL;
	if (is_dir(to) && is_above(m, c->to, c->from_dir))
		return c->flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (c->flags & RENAME_EXCHANGE)
		return 0;
	if (is_dir(from) != is_dir(to))
		return is_dir(from) ? -ENOTDIR : -EISDIR;
	return to->nr_names ? -ENOTEMPTY : 0;
}

static void rename_apply(struct model *m, const struct rename_call *c)
{
	if (c->from == c->to)
		return;
	if (c->flags & RENAME_EXCHANGE) {
		entry_set(m, c->from_dir, c->from_name, c->to);
		entry_set(m, c->to_dir, c->to_name, c->from);
		return;
	}
	entry_clear(m, c->from_dir, c->from_name);
	entry_set(m, c->to_dir, c->to_name, c->from);
	if (c->to != NONE)
		link_lost(m, c->to);
}

static int call_rename(struct model *m)
{
	static const unsigned flags[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	struct rename_call c = {.from_dir = pick_dir(m), .to_dir = pick_dir(m)};
	int want, err;

	if (random_below(m, 3) == 0)
		c.to_dir = c.from_dir;
	c.from_name = pick_taken(m, c.from_dir);
	c.to_name = random_below(m, 2) ? pick_taken(m, c.to_dir) : pick_name(m);
	c.flags = flags[random_below(m, ARRAY_LEN(flags))];
	c.from = m->node[c.from_dir].e[c.from_name].node;
	c.to = m->node[c.to_dir].e[c.to_name].node;
	want = rename_predict(m, &c);
	err = name_rename(m->fs, m->node[c.from_dir].ino, name_nr(c.from_name),
			  m->node[c.to_dir].ino, name_nr(c.to_name), c.flags);
	CHECK(m, err == want, "rename (flags %u) gives %d, not %d", c.flags, err, want);
	if (!err)
		rename_apply(m, &c);
	return err;
}

static int call_open(struct model *m)
{
	int node = pick_node(m);
	struct node *n = &m->node[node];

	if (n->open || is_dir(n))
		return -EBUSY;
	CHECK(m, inode_get(m->fs, NULL, n->ino, &n->open) == 0, "a node is not there");
	file_opened(n->open);
	return 0;
}

static int call_close(struct model *m)
{
	struct node *n = &m->node[random_below(m, NODES)];
	struct inode *in = n->open;

	if (!n->used || !in)
		return -EBADF;
	n->open = NULL;
	file_closed(in);
	inode_put(in);
	node_unneeded(n);
	return 0;
}

static int call_tmpfile(struct model *m)
{
	int dir = pick_dir(m), want = is_dir(&m->node[dir]) ? 0 : -ENOTDIR;
	int node = want ? NONE : node_new(m, S_IFREG, NONE), err;
	struct name_new n = {.mode = S_IFREG | 0600};
	struct inode *in;

	if (!want && node == NONE)
		return FULL;
	err = name_tmpfile(m->fs, m->node[dir].ino, &n, &in);
	CHECK(m, err == want, "tmpfile gives %d, not %d", err, want);
	if (err)
		return err;
	m->node[node].ino = in->ino;
	m->node[node].open = in;
	file_opened(in);
	return 0;
}

/* The open file that has no name gets one. */
static int call_adopt(struct model *m)
{
	struct node *n = &m->node[random_below(m, NODES)];
	int dir = pick_dir(m);
	unsigned name = pick_name(m);
	struct inode *in;

	if (!n->used || !n->open || n->nr_links || !is_dir(&m->node[dir]) ||
	    m->node[dir].e[name].node != NONE)
		return -EBADF;
	CHECK(m, name_link(m->fs, n->ino, m->node[dir].ino, name_nr(name), &in) == 0,
	      "link of an orphan");
	inode_put(in);
	n->nr_links = 1;
	entry_set(m, dir, name, (int)(n - m->node));
	return 0;
}

/* ---- listing ---- */

struct list_step {
	struct model *m;
	int dir;
	unsigned max, nr;
	uint64_t cookie;
	unsigned *seen; /* or NULL */
};

static int list_entry(void *arg, const struct name_entry *e)
{
	struct list_step *s = arg;
	struct model *m = s->m;
	const struct node *d = &m->node[s->dir];
	unsigned name;

	if (s->nr == s->max)
		return 1;
	CHECK(m, e->cookie > s->cookie, "cookies go back");
	s->nr++;
	s->cookie = e->cookie;
	if (e->cookie <= 2) {
		CHECK(m,
		      e->name.len == e->cookie && memcmp(e->name.p, "..", e->name.len) == 0 &&
			      e->ino == m->node[e->cookie == 1 ? s->dir : d->parent].ino,
		      "dots are wrong");
		return 0;
	}
	name = name_index(m, e->name);
	CHECK(m, d->e[name].node != NONE, "a name that is not there is listed");
	CHECK(m, d->e[name].cookie == e->cookie, "cookie %" PRIu64 ", not %" PRIu64, e->cookie,
	      d->e[name].cookie);
	CHECK(m, m->node[d->e[name].node].ino == e->ino, "listed with another inode");
	CHECK(m, m->node[d->e[name].node].type == e->type, "listed with another type");
	if (s->seen)
		s->seen[name]++;
	return 0;
}

static void list_begin(struct model *m)
{
	struct lister *l = &m->lister;

	*l = (struct lister){.dir = pick_dir(m)};
	if (!is_dir(&m->node[l->dir])) {
		l->dir = NONE;
		return;
	}
	for (unsigned i = 0; i < NAMES; i++)
		l->stayed[i] = m->node[l->dir].e[i].node != NONE;
}

static int call_list(struct model *m)
{
	struct lister *l = &m->lister;
	struct list_step s = {.m = m, .max = 1 + random_below(m, 5)};

	if (l->dir == NONE)
		list_begin(m);
	if (l->dir == NONE)
		return -ENOTDIR;
	s.dir = l->dir;
	s.cookie = l->cookie;
	s.seen = l->seen;
	CHECK(m, name_list(m->fs, m->node[l->dir].ino, l->cookie, list_entry, &s) == 0,
	      "list fails");
	l->cookie = s.cookie;
	if (s.nr == s.max)
		return 0;
	for (unsigned i = 0; i < NAMES; i++)
		CHECK(m, !l->stayed[i] || l->seen[i] == 1, "a name that stayed was listed %u times",
		      l->seen[i]);
	l->dir = NONE;
	return 0;
}

/* ---- comparing all ---- */

static void check_node(struct model *m, const struct node *n)
{
	struct inode *in;
	struct attr a;

	CHECK(m, inode_get(m->fs, NULL, n->ino, &in) == 0, "inode %" PRIu64 " is not there",
	      n->ino);
	inode_attr(in, &a);
	inode_put(in);
	CHECK(m, (a.mode & S_IFMT) == n->type, "type");
	if (!is_dir(n)) {
		CHECK(m, a.nlink == n->nr_links, "%u links, not %u", a.nlink, n->nr_links);
		return;
	}
	CHECK(m, a.nlink == 2 + n->nr_dirs, "%u links, not 2 and %u", a.nlink, n->nr_dirs);
	CHECK(m, a.size == 32 * n->nr_names, "size %" PRIu64 " with %u names", a.size, n->nr_names);
	CHECK(m, a.next_cookie == n->next_cookie, "next cookie");
	CHECK(m, a.parent == m->node[n->parent].ino, "parent");
}

static void check_dir(struct model *m, int dir)
{
	struct list_step s = {.m = m, .dir = dir, .max = UINT32_MAX};

	CHECK(m, name_list(m->fs, m->node[dir].ino, 0, list_entry, &s) == 0, "list fails");
	CHECK(m, s.nr == m->node[dir].nr_names + 2, "%u entries, not %u", s.nr,
	      m->node[dir].nr_names + 2);
	for (unsigned i = 0; i < NAMES; i++) {
		int node = m->node[dir].e[i].node;
		struct inode *in;
		int err = name_lookup(m->fs, m->node[dir].ino, name_nr(i), &in);

		CHECK(m, err == (node == NONE ? -ENOENT : 0), "lookup gives %d", err);
		if (err)
			continue;
		CHECK(m, in->ino == m->node[node].ino, "lookup finds another inode");
		inode_put(in);
	}
}

/* Records in the index, by kind. */
static void count_records(struct model *m, uint64_t nr[256])
{
	struct key first = key_plain(0, 0);
	struct index_cursor *c;
	struct index_txn *t;
	struct index_val k, v;

	assert_int_equal(index_read(m->fs->index, &t), 0);
	assert_int_equal(index_cursor_open(t, &c), 0);
	for (int err = index_seek(c, &first, &k, &v); !err; err = index_next(c, &k, &v))
		nr[k.p[8]]++;
	index_cursor_close(c);
	index_read_end(t);
}

static void check_all(struct model *m)
{
	uint64_t have[256] = {0}, want[256] = {0};
	static const enum key_kind kinds[] = {KEY_ATTR, KEY_INLINE, KEY_DENTRY, KEY_COOKIE,
					      KEY_ORPHAN};

	for (int i = 0; i < NODES; i++) {
		const struct node *n = &m->node[i];

		if (!n->used)
			continue;
		check_node(m, n);
		if (is_dir(n))
			check_dir(m, i);
		want[KEY_ATTR]++;
		want[KEY_INLINE] += S_ISLNK(n->type);
		want[KEY_DENTRY] += n->nr_names;
		want[KEY_COOKIE] += n->nr_names;
		want[KEY_ORPHAN] += !n->nr_links;
	}
	count_records(m, have);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		CHECK(m, have[kinds[i]] == want[kinds[i]],
		      "%" PRIu64 " records of kind %#x, not %" PRIu64, have[kinds[i]], kinds[i],
		      want[kinds[i]]);
	CHECK(m, atomic_load(&m->fs->n.nr_inodes) == want[KEY_ATTR], "counted inodes");
}

/* Unmounted with files open: those without a name go. */
static void mount_again(struct model *m)
{
	for (int i = 0; i < NODES; i++) {
		if (!m->node[i].used || !m->node[i].open)
			continue;
		inode_put(m->node[i].open);
		m->node[i].open = NULL;
		node_unneeded(&m->node[i]);
	}
	fs_make_again(&m->make);
	m->fs = m->make.fs;
	check_all(m);
}

/* ---- running ---- */

static uint64_t number_from_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* Returns what the call gave; *kind is which it was. More is made than removed while there is little. */
static int call_any(struct model *m, unsigned *kind)
{
	unsigned dice = random_below(m, 100);

	*kind = dice < 28   ? 0
		: dice < 36 ? 1
		: dice < 48 ? 2
		: dice < 58 ? 3
		: dice < 84 ? 4
		: dice < 87 ? 5
		: dice < 90 ? 6
		: dice < 91 ? 7
		: dice < 92 ? 8
			    : 9;
	switch (*kind) {
	case 0:
		return call_make(m);
	case 1:
		return call_link(m);
	case 2:
		return call_remove(m, false);
	case 3:
		return call_remove(m, true);
	case 4:
		return call_rename(m);
	case 5:
		return call_open(m);
	case 6:
		return call_close(m);
	case 7:
		return call_tmpfile(m);
	case 8:
		return call_adopt(m);
	default:
		return call_list(m);
	}
}

static void name_agrees_with_its_model(void **state)
{
	struct model *m = *state;
	uint64_t nr_ops = number_from_env("TEST_OPS", OPS);

	print_message("TEST_SEED=%" PRIu64 " TEST_OPS=%" PRIu64 "\n", m->seed, nr_ops);
	for (m->op = 1; m->op <= nr_ops; m->op++) {
		unsigned kind;

		if (call_any(m, &kind) == 0)
			m->nr_done[kind]++;
		if (m->op % CHECK_OPS == 0)
			check_all(m);
		if (m->op % MOUNT_OPS == 0)
			mount_again(m);
	}
	/* A test whose calls all fail would agree, too. */
	for (unsigned kind = 0; kind < 10 && nr_ops >= OPS; kind++)
		CHECK(m, m->nr_done[kind] >= 50, "only %u calls of kind %u succeeded",
		      m->nr_done[kind], kind);
}

static int setup(void **state)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		return -1;
	*state = m;
	m->seed = number_from_env("TEST_SEED", 1);
	m->rng = m->seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	m->lister.dir = NONE;
	fs_make_init(&m->make, 1);
	m->fs = m->make.fs;
	assert_int_equal(node_new(m, S_IFDIR, 0), 0);
	m->node[0].ino = 1;
	m->node[0].nr_links = 1;
	return 0;
}

static int teardown(void **state)
{
	struct model *m = *state;

	for (int i = 0; i < NODES; i++)
		if (m->node[i].used && m->node[i].open)
			inode_put(m->node[i].open);
	fs_make_fini(&m->make);
	free(m);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(name_agrees_with_its_model, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
