/* Checking a volume.
 *
 * One walk over the index in the order of its keys: the stored extents come first, then each inode with all that is its
 * own. What refers to something elsewhere (names to inodes, map entries to extents) is counted in two arrays, sorted
 * because the keys are, and the counts are compared at the end. */
#include "fs/fsck.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "codec/codec.h"
#include "conf/base.h"
#include "fs/acl.h"
#include "fs/attr.h"
#include "fs/dentry.h"
#include "fs/bundle.h"
#include "fs/extent.h"
#include "fs/recover.h"

#define INDEX_MAP_LEN (256 * GIB) /* addresses, not memory */

struct seen_inode {
	uint64_t ino;
	uint32_t mode, nlink;
	uint32_t names;	   /* that lead to it */
	uint32_t subdirs;  /* of a directory */
	uint64_t parent;   /* what it says itself */
	uint64_t named_in; /* of a directory: where its name is */
	bool orphan;
};

struct seen_extent {
	uint64_t gen;
	uint32_t refs, used;
	uint32_t raw_len;
};

struct place {
	uint64_t at; /* shard, segment, block in one number */
	uint32_t blocks;
	uint64_t gen;
};

struct fsck {
	const struct fsck_params *p;
	struct fsck_result *out;
	struct index_txn *txn;
	struct seen_inode *inode;
	struct seen_extent *extent;
	struct place *place;
	uint64_t *orphan;
	size_t nr_inodes, cap_inodes, nr_extents, cap_extents, nr_places, cap_places, nr_orphans,
		cap_orphans;
	/* the inode whose keys we are at */
	uint64_t ino;
	bool has_attr;
	struct attr attr;
	uint64_t entries, cookies, mapped, map_end;
	bool has_inline;
};

static void found(struct fsck *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void found(struct fsck *f, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	f->out->nr_problems++;
	f->p->say(f->p->arg, line);
}

static int grow(void *array_ptr, size_t *cap, size_t nr, size_t len)
{
	void **array = array_ptr;
	size_t want = MAX((size_t)256, *cap * 2);
	void *p;

	if (nr < *cap)
		return 0;
	p = realloc(*array, want * len);
	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = want;
	return 0;
}

static int by_u64(const void *a, const void *b)
{
	uint64_t x, y;

	/* Every array here begins its elements with the number it is sorted by. */
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static struct seen_inode *inode_of(struct fsck *f, uint64_t ino)
{
	return f->nr_inodes ? bsearch(&ino, f->inode, f->nr_inodes, sizeof(*f->inode), by_u64)
			    : NULL;
}

static struct seen_extent *extent_of(struct fsck *f, uint64_t gen)
{
	return f->nr_extents ? bsearch(&gen, f->extent, f->nr_extents, sizeof(*f->extent), by_u64)
			     : NULL;
}

/* ---- what belongs to no inode ---- */

static int see_places(struct fsck *f, const struct extent *e)
{
	uint32_t blocks = (uint32_t)(stripe_loc_bytes(&e->loc) / BLOCK_LEN / (e->loc.k + e->loc.m));

	for (unsigned i = 0; i < (unsigned)e->loc.k + e->loc.m; i++) {
		const struct chunk_loc *c = &e->loc.chunk[i];
		int err = grow(&f->place, &f->cap_places, f->nr_places, sizeof(*f->place));

		if (err)
			return err;
		f->place[f->nr_places++] = (struct place){
			.at = (uint64_t)c->shard << 56 | (uint64_t)c->segment << 24 |
			      (c->block & 0xffffff),
			.blocks = blocks,
			.gen = e->gen,
		};
	}
	return 0;
}

static int see_extent(struct fsck *f, const struct index_val *k, const struct index_val *v)
{
	struct extent e;
	int err;

	if (extent_decode(k->p, k->len, v->p, v->len, &e)) {
		found(f, "extent %" PRIu64 ": its record is damaged",
		      k->len == 17 ? get_be64(k->p + 9) : 0);
		return 0;
	}
	err = grow(&f->extent, &f->cap_extents, f->nr_extents, sizeof(*f->extent));
	if (err)
		return err;
	f->extent[f->nr_extents++] =
		(struct seen_extent){.gen = e.gen, .refs = e.refs, .raw_len = e.owner.raw_len};
	f->out->nr_extents++;
	return see_places(f, &e);
}

static int see_orphan(struct fsck *f, const struct index_val *k)
{
	int err = grow(&f->orphan, &f->cap_orphans, f->nr_orphans, sizeof(*f->orphan));

	if (err)
		return err;
	if (k->len == 17)
		f->orphan[f->nr_orphans++] = get_be64(k->p + 9);
	else
		found(f, "an orphan record with a key of %zu bytes", k->len);
	return 0;
}

/* ---- an inode and its own ---- */

static void end_inode(struct fsck *f)
{
	if (!f->ino || !f->has_attr)
		return;
	if (S_ISDIR(f->attr.mode)) {
		if (f->entries != f->cookies)
			found(f,
			      "directory %" PRIu64 ": %" PRIu64 " names but %" PRIu64
			      " places in its order",
			      f->ino, f->entries, f->cookies);
		if (f->attr.size != f->entries * 32)
			found(f, "directory %" PRIu64 ": size %" PRIu64 " for %" PRIu64 " names",
			      f->ino, f->attr.size, f->entries);
	} else if (f->entries || f->cookies) {
		found(f, "inode %" PRIu64 ": has names in it but is no directory", f->ino);
	}
	if (S_ISLNK(f->attr.mode) && !f->has_inline)
		found(f, "symlink %" PRIu64 ": its target is missing", f->ino);
}

static int begin_inode(struct fsck *f, uint64_t ino)
{
	end_inode(f);
	f->ino = ino;
	f->has_attr = f->has_inline = false;
	f->entries = f->cookies = f->mapped = f->map_end = 0;
	return 0;
}

static int see_attr(struct fsck *f, const struct index_val *v)
{
	struct seen_inode *s;
	int err;

	if (attr_get(v->p, v->len, &f->attr)) {
		found(f, "inode %" PRIu64 ": its attributes are damaged", f->ino);
		return 0;
	}
	err = grow(&f->inode, &f->cap_inodes, f->nr_inodes, sizeof(*f->inode));
	if (err)
		return err;
	f->has_attr = true;
	s = &f->inode[f->nr_inodes++];
	*s = (struct seen_inode){.ino = f->ino,
				 .mode = f->attr.mode,
				 .nlink = f->attr.nlink,
				 .parent = f->attr.parent};
	f->out->nr_inodes++;
	f->out->nr_dirs += S_ISDIR(f->attr.mode);
	return 0;
}

static void see_inline(struct fsck *f, const struct index_val *v)
{
	f->has_inline = true;
	if (v->len > INLINE_MAX)
		found(f, "inode %" PRIu64 ": %zu inline bytes", f->ino, v->len);
	else if (S_ISLNK(f->attr.mode) ? v->len != f->attr.size : v->len > f->attr.size)
		found(f, "inode %" PRIu64 ": %zu inline bytes in a size of %" PRIu64, f->ino,
		      v->len, f->attr.size);
	if (S_ISREG(f->attr.mode)) {
		f->out->logical += v->len;
		f->map_end = v->len ? INLINE_MAX : 0;
	}
}

static void see_cookie(struct fsck *f, const struct index_val *k, const struct index_val *v)
{
	struct dentry place, d;
	struct name name;

	f->cookies++;
	if (k->len != 17 || dentry_cookie_get(v->p, v->len, &place, &name)) {
		found(f, "directory %" PRIu64 ": a place in its order is damaged", f->ino);
		return;
	}
	if (dentry_find(f->txn, f->ino, name, &d) || d.ino != place.ino || d.type != place.type ||
	    d.cookie != get_be64(k->p + 9))
		found(f,
		      "directory %" PRIu64 ": the name '%.*s' and its place in the order disagree",
		      f->ino, (int)name.len, name.p);
	if (f->has_attr && get_be64(k->p + 9) >= f->attr.next_cookie)
		found(f, "directory %" PRIu64 ": a place beyond the next free one", f->ino);
}

static void see_map(struct fsck *f, const struct index_val *k, const struct index_val *v)
{
	struct seen_extent *e;
	struct map_entry m;
	uint64_t ino;

	if (extent_map_decode(k->p, k->len, v->p, v->len, &ino, &m)) {
		found(f, "inode %" PRIu64 ": a map entry is damaged", f->ino);
		return;
	}
	f->out->logical += m.len;
	if (m.off < f->map_end)
		found(f, "inode %" PRIu64 ", offset %" PRIu64 ": overlaps the map entry before",
		      f->ino, m.off);
	f->map_end = m.off + m.len;
	if (f->has_attr && (!S_ISREG(f->attr.mode) || f->map_end > f->attr.size))
		found(f, "inode %" PRIu64 ", offset %" PRIu64 ": data beyond the size %" PRIu64,
		      f->ino, m.off, f->attr.size);
	e = extent_of(f, m.gen);
	if (!e) {
		found(f, "inode %" PRIu64 ", offset %" PRIu64 ": extent %" PRIu64 " is missing",
		      f->ino, m.off, m.gen);
		return;
	}
	e->used++;
	if (m.skip + m.len > e->raw_len)
		found(f, "inode %" PRIu64 ", offset %" PRIu64 ": reaches beyond extent %" PRIu64,
		      f->ino, m.off, m.gen);
}

static void see_xattr(struct fsck *f, const struct index_val *k, const struct index_val *v)
{
	const char *name = (const char *)k->p + 9;
	size_t len = k->len - 9;
	struct acl *acl = NULL;

	if (!len || memchr(name, 0, len))
		found(f, "inode %" PRIu64 ": an extended attribute has no valid name", f->ino);
	if (len > 17 && !memcmp(name, "system.posix_acl_", 17)) {
		if (acl_parse(v->p, v->len, &acl))
			found(f, "inode %" PRIu64 ": its access control list is damaged", f->ino);
		free(acl);
	}
}

static int see_key(struct fsck *f, const struct index_val *k, const struct index_val *v)
{
	uint64_t ino;
	int err = 0;

	if (k->len < 9) {
		found(f, "a key of %zu bytes", k->len);
		return 0;
	}
	ino = get_be64(k->p);
	if (ino && ino != f->ino)
		begin_inode(f, ino);
	if (ino && k->p[8] != KEY_ATTR && !f->has_attr)
		found(f, "inode %" PRIu64 ": has records (kind %u) but no attributes", ino,
		      k->p[8]);
	switch ((enum key_kind)k->p[8]) {
	case KEY_ATTR:
		err = see_attr(f, v);
		break;
	case KEY_INLINE:
		see_inline(f, v);
		break;
	case KEY_XATTR:
		see_xattr(f, k, v);
		break;
	case KEY_DENTRY:
		f->entries++; /* looked at when all inodes are known */
		break;
	case KEY_COOKIE:
		see_cookie(f, k, v);
		break;
	case KEY_MAP:
		see_map(f, k, v);
		break;
	case KEY_EXTENT:
		err = see_extent(f, k, v);
		break;
	case KEY_ORPHAN:
		err = see_orphan(f, k);
		break;
	case KEY_META:
		break;
	default:
		found(f, "a record of unknown kind %u", k->p[8]);
	}
	return err;
}

/* ---- names, when all inodes are known ---- */

static void see_name(struct fsck *f, uint64_t dir, struct name name, const struct index_val *v)
{
	struct seen_inode *child, *parent = inode_of(f, dir);
	struct dentry d;

	if (!dentry_name_valid(name) || dentry_get(v->p, v->len, &d)) {
		found(f, "directory %" PRIu64 ": a name is damaged", dir);
		return;
	}
	child = inode_of(f, d.ino);
	if (!child) {
		found(f,
		      "directory %" PRIu64 ": '%.*s' leads to inode %" PRIu64 ", which is missing",
		      dir, (int)name.len, name.p, d.ino);
		return;
	}
	child->names++;
	if ((child->mode & S_IFMT) != d.type)
		found(f, "directory %" PRIu64 ": '%.*s' is of another type than inode %" PRIu64,
		      dir, (int)name.len, name.p, d.ino);
	if (!S_ISDIR(child->mode))
		return;
	child->named_in = dir;
	if (parent)
		parent->subdirs++;
	if (child->parent != dir)
		found(f, "directory %" PRIu64 ": is in %" PRIu64 " but says %" PRIu64, d.ino, dir,
		      child->parent);
}

static int walk(struct fsck *f,
		int (*fn)(struct fsck *, const struct index_val *, const struct index_val *))
{
	struct key first = {.len = 1};
	struct index_cursor *c;
	struct index_val k, v;
	int err = index_cursor_open(f->txn, &c);

	if (err)
		return err;
	err = index_seek(c, &first, &k, &v);
	while (!err) {
		err = fn(f, &k, &v);
		if (!err)
			err = index_next(c, &k, &v);
	}
	index_cursor_close(c);
	return err == -ENOENT ? 0 : err;
}

static int name_key(struct fsck *f, const struct index_val *k, const struct index_val *v)
{
	if (k->len > 9 && k->p[8] == KEY_DENTRY && get_be64(k->p))
		see_name(f, get_be64(k->p), (struct name){(const char *)k->p + 9, k->len - 9}, v);
	return 0;
}

/* ---- the counts ---- */

/* Every directory must lead up to the root; one that does not is in a circle of its own. */
static bool leads_to_root(struct fsck *f, const struct seen_inode *s)
{
	for (uint64_t steps = 0; s && s->ino != 1; steps++) {
		if (steps > f->nr_inodes || !s->named_in)
			return false;
		s = inode_of(f, s->named_in);
	}
	return s != NULL;
}

static void check_inode(struct fsck *f, const struct seen_inode *s)
{
	uint32_t want = S_ISDIR(s->mode) ? 2 + s->subdirs : s->names;

	if (s->ino == 1) {
		if (!S_ISDIR(s->mode))
			found(f, "the root is no directory");
	} else if (s->orphan) {
		if (s->names)
			found(f, "inode %" PRIu64 ": is an orphan but has %u names", s->ino,
			      s->names);
		return;
	} else if (!s->names) {
		found(f, "inode %" PRIu64 ": no name leads to it", s->ino);
		return;
	} else if (S_ISDIR(s->mode) && s->names > 1) {
		found(f, "directory %" PRIu64 ": %u names lead to it", s->ino, s->names);
	}
	if (s->nlink != want)
		found(f, "inode %" PRIu64 ": link count %u instead of %u", s->ino, s->nlink, want);
	if (S_ISDIR(s->mode) && !leads_to_root(f, s))
		found(f, "directory %" PRIu64 ": is not below the root", s->ino);
}

static void check_counts(struct fsck *f)
{
	for (size_t i = 0; i < f->nr_orphans; i++) {
		struct seen_inode *s = inode_of(f, f->orphan[i]);

		if (s)
			s->orphan = true;
		else
			found(f, "orphan %" PRIu64 ": there is no such inode", f->orphan[i]);
	}
	for (size_t i = 0; i < f->nr_inodes; i++)
		check_inode(f, &f->inode[i]);
	if (!inode_of(f, 1))
		found(f, "there is no root");
	for (size_t i = 0; i < f->nr_extents; i++)
		if (f->extent[i].refs != f->extent[i].used)
			found(f, "extent %" PRIu64 ": %u references instead of %u",
			      f->extent[i].gen, f->extent[i].refs, f->extent[i].used);
}

static void check_places(struct fsck *f)
{
	if (f->nr_places)
		qsort(f->place, f->nr_places, sizeof(*f->place), by_u64);
	for (size_t i = 1; i < f->nr_places; i++) {
		const struct place *a = &f->place[i - 1], *b = &f->place[i];

		if (a->at + a->blocks > b->at)
			found(f, "extents %" PRIu64 " and %" PRIu64 " share blocks of shard %u",
			      a->gen, b->gen, (unsigned)(a->at >> 56));
	}
}

int fsck_index(struct index *x, const struct fsck_params *p, struct fsck_result *out)
{
	struct fsck f = {.p = p, .out = out};
	int err = index_read(x, &f.txn);

	*out = (struct fsck_result){0};
	if (err)
		return err;
	err = walk(&f, see_key);
	end_inode(&f);
	if (!err)
		err = walk(&f, name_key);
	if (!err) {
		check_counts(&f);
		check_places(&f);
	}
	index_read_end(f.txn);
	free(f.inode);
	free(f.extent);
	free(f.place);
	free(f.orphan);
	return err;
}

/* ---- data ---- */

struct verify {
	const struct fsck_params *p;
	struct fsck_result *out;
	uint64_t done, total;
};

static void verify_extent(struct verify *v, const struct extent *e)
{
	AUTO_FREE uint8_t *enc = malloc(e->loc.len), *raw = malloc(e->owner.raw_len);
	unsigned bad = 0, repaired = 0;
	char line[256];
	int err;

	err = enc && raw ? raid_verify(v->p->raid, &e->owner, &e->loc, &bad, &repaired) : -ENOMEM;
	v->out->nr_bad_chunks += bad;
	if (!err)
		err = raid_read(v->p->raid, &e->owner, &e->loc, enc);
	if (!err)
		err = codec_decode(enc, e->loc.len, raw, e->owner.raw_len);
	if (err) {
		v->out->nr_problems++;
		snprintf(line, sizeof(line),
			 "inode %" PRIu64 ", offset %" PRIu64 "%s: %u bytes cannot be read: %s",
			 e->owner.ino, bundle_is(&e->owner) ? 0 : e->owner.file_off,
			 bundle_is(&e->owner) ? " (and others bundled with it)" : "",
			 e->owner.raw_len, strerror(-err));
		v->p->say(v->p->arg, line);
	}
	v->done += e->loc.len;
	if (v->p->progress)
		v->p->progress(v->p->arg, v->done, v->total);
}

static int each_extent(struct index *x, struct verify *v, bool count_only)
{
	struct key first = key_number(0, KEY_EXTENT, 0);
	struct index_cursor *c;
	struct index_val k, val;
	struct index_txn *t;
	struct extent e;
	int err = index_read(x, &t);

	if (err)
		return err;
	err = index_cursor_open(t, &c);
	if (!err)
		err = index_seek(c, &first, &k, &val);
	while (!err && k.len == 17 && k.p[8] == KEY_EXTENT && !get_be64(k.p)) {
		if (!extent_decode(k.p, k.len, val.p, val.len, &e)) {
			if (count_only)
				v->total += e.loc.len;
			else
				verify_extent(v, &e);
		}
		err = index_next(c, &k, &val);
	}
	index_cursor_close(c);
	index_read_end(t);
	return err == -ENOENT ? 0 : err;
}

int fsck_run(const struct fsck_params *p, struct fsck_result *out)
{
	struct verify v = {.p = p, .out = out};
	uint64_t next_ino, next_gen;
	struct index *x;
	int err = index_open(p->work_dir, INDEX_MAP_LEN, true, &x);

	if (err)
		return err;
	err = recover_build(p->raid, x, &next_ino, &next_gen);
	if (!err)
		err = fsck_index(x, p, out);
	if (!err && p->data)
		err = each_extent(x, &v, true);
	if (!err && p->data)
		err = each_extent(x, &v, false);
	index_close(x, false);
	return err;
}
