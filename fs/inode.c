/* The table of inodes in memory: hashed, in stripes with a lock each.
 *
 * An inode is freed when its last reference (nr_ref) and the kernel's last lookup (nr_lookup) are gone. One with
 * unwritten attributes is referenced by the commit's list, one with dirty data by its windows, so what is freed is
 * always in the index. */
#include "fs/inode.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"
#include "fs/commit.h"
#include "fs/name.h"

#define STRIPES 64
#define BUCKETS 1024 /* of a stripe */

struct stripe {
	struct lock lock;
	struct inode *bucket[BUCKETS]; /* guarded by lock */
	uint64_t nr;
};

struct inode_table {
	struct stripe stripe[STRIPES];
};

static uint64_t inode_hash(uint64_t ino)
{
	return ino * 0x9e3779b97f4a7c15ULL >> 32; /* Knuth's multiplicative hash, golden ratio */
}

static struct stripe *inode_stripe(struct inode_table *t, uint64_t ino)
{
	return &t->stripe[inode_hash(ino) % STRIPES];
}

static struct inode **inode_slot(struct stripe *s, uint64_t ino)
{
	struct inode **p = &s->bucket[inode_hash(ino) / STRIPES % BUCKETS];

	while (*p && (*p)->ino != ino)
		p = &(*p)->hash_next;
	return p;
}

int inode_table_new(struct inode_table **out)
{
	struct inode_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	for (unsigned i = 0; i < STRIPES; i++)
		lock_init(&t->stripe[i].lock);
	*out = t;
	return 0;
}

static void inode_free(struct inode *in)
{
	codec_file_free(in->codec_file);
	free(in->windows);
	cond_fini(&in->flushed);
	lock_fini(&in->lock);
	free(in);
}

void inode_table_free(struct inode_table *t)
{
	for (unsigned i = 0; i < STRIPES; i++) {
		for (unsigned b = 0; b < BUCKETS; b++) {
			struct inode *next;

			for (struct inode *in = t->stripe[i].bucket[b]; in; in = next) {
				next = in->hash_next;
				inode_free(in);
			}
		}
		lock_fini(&t->stripe[i].lock);
	}
	free(t);
}

static struct inode *inode_alloc(struct fs *fs, uint64_t ino, const struct attr *a)
{
	struct inode *in = calloc(1, sizeof(*in));

	if (!in)
		return NULL;
	in->fs = fs;
	in->ino = ino;
	in->attr = *a;
	in->nr_ref = 1;
	lock_init(&in->lock);
	cond_init(&in->flushed);
	return in;
}

static int inode_load(struct fs *fs, struct index_txn *t, uint64_t ino, struct attr *a)
{
	struct key key = key_plain(ino, KEY_ATTR);
	struct index_txn *own = NULL;
	struct index_val v;
	int err;

	if (!t) {
		err = index_read(fs->index, &own);
		if (err)
			return err;
		t = own;
	}
	err = index_get(t, &key, &v);
	if (!err)
		err = attr_get(v.p, v.len, a);
	index_read_end(own);
	return err;
}

/* The attributes are read with the stripe locked: once another thread has the inode in memory and changes it, nobody
 * can bring in an older copy of it. */
int inode_get(struct fs *fs, struct index_txn *t, uint64_t ino, struct inode **out)
{
	struct stripe *s = inode_stripe(fs->inodes, ino);
	struct inode **slot;
	struct attr a;
	int err = 0;

	lock_take(&s->lock);
	slot = inode_slot(s, ino);
	if (*slot) {
		(*slot)->nr_ref++;
	} else {
		err = inode_load(fs, t, ino, &a);
		if (!err) {
			*slot = inode_alloc(fs, ino, &a);
			/* Whether it changed lately is forgotten: an fsync of it waits for the open group. */
			if (*slot && fs->commit)
				(*slot)->change_txg = commit_open_txg(fs);
			s->nr += *slot != NULL;
			err = *slot ? 0 : -ENOMEM;
		}
	}
	if (!err)
		*out = *slot;
	lock_release(&s->lock);
	return err;
}

int inode_new(struct fs *fs, uint64_t ino, const struct attr *a, struct inode **out)
{
	struct stripe *s = inode_stripe(fs->inodes, ino);
	struct inode *in = inode_alloc(fs, ino, a);
	struct inode **slot;

	if (!in)
		return -ENOMEM;
	lock_take(&s->lock);
	slot = inode_slot(s, ino);
	assert(!*slot);
	*slot = in;
	s->nr++;
	lock_release(&s->lock);
	*out = in;
	return 0;
}

struct inode *inode_ref(struct inode *in)
{
	struct stripe *s = inode_stripe(in->fs->inodes, in->ino);

	lock_take(&s->lock);
	in->nr_ref++;
	lock_release(&s->lock);
	return in;
}

/* Unhashes and returns the inode when nobody needs it any more. */
static struct inode *inode_unused(struct stripe *s, struct inode *in)
{
	if (in->nr_ref || in->nr_lookup)
		return NULL;
	*inode_slot(s, in->ino) = in->hash_next;
	s->nr--;
	return in;
}

void inode_put(struct inode *in)
{
	struct stripe *s = inode_stripe(in->fs->inodes, in->ino);
	struct inode *unused;

	lock_take(&s->lock);
	assert(in->nr_ref > 0);
	in->nr_ref--;
	unused = inode_unused(s, in);
	lock_release(&s->lock);
	if (unused)
		inode_free(unused);
}

void inode_remember(struct inode *in, uint64_t n)
{
	struct stripe *s = inode_stripe(in->fs->inodes, in->ino);

	lock_take(&s->lock);
	in->nr_lookup += n;
	lock_release(&s->lock);
}

bool inode_known(struct inode *in)
{
	struct stripe *s = inode_stripe(in->fs->inodes, in->ino);
	bool known;

	lock_take(&s->lock);
	known = in->nr_lookup != 0;
	lock_release(&s->lock);
	return known;
}

void inode_forget(struct fs *fs, uint64_t ino, uint64_t n)
{
	struct stripe *s = inode_stripe(fs->inodes, ino);
	struct inode *in;
	bool nameless;

	lock_take(&s->lock);
	in = *inode_slot(s, ino);
	if (in) {
		in->nr_lookup -= MIN(n, in->nr_lookup);
		in->nr_ref++;
	}
	lock_release(&s->lock);
	if (!in)
		return;
	lock_take(&in->lock);
	nameless = !in->attr.nlink && !in->gone && !in->nr_open;
	lock_release(&in->lock);
	/* An error leaves an orphan, for the next mount. */
	if (nameless && !fs->rdonly)
		name_reclaim(in);
	inode_put(in);
}

void inode_attr(struct inode *in, struct attr *out)
{
	lock_take(&in->lock);
	*out = in->attr;
	lock_release(&in->lock);
}

uint64_t inode_count(struct fs *fs)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < STRIPES; i++) {
		lock_take(&fs->inodes->stripe[i].lock);
		n += fs->inodes->stripe[i].nr;
		lock_release(&fs->inodes->stripe[i].lock);
	}
	return n;
}

struct timespec inode_now(void)
{
	struct timespec ts;

	/* The coarse clock, as the kernel stamps files. */
	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return ts;
}
