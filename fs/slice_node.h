/* What the kernel knows beneath `.slice`: directories and symlinks that stand for real ones, and slices. Each has a node id
 * from the upper half of the number space, where no inode is, and is never another's again in this mount; it lives while the
 * kernel counts lookups of it, or somebody holds a reference.
 *
 * A slice's node is of one head: when the source's head changes, the name leads to another node, with pages of its own
 * in the kernel. Threads: any, any number at once. */
#ifndef FS_SLICE_NODE_H
#define FS_SLICE_NODE_H

#include "conf/lock.h"
#include "fs/slice.h"

#define SLICE_NODE_FIRST (UINT64_C(1) << 63)

enum slice_node_kind {
	SLICE_NODE_DIR,	 /* of the directory ino */
	SLICE_NODE_LINK, /* of the symlink ino; text follows its target */
	SLICE_NODE_FILE, /* of the file ino; text is the expression */
};

struct slice_node {
	uint64_t id, ino;
	enum slice_node_kind kind;
	struct slice *slice; /* of a file, referenced; else NULL */
	/* the table's: */
	struct slice_node *id_next, *key_next;
	bool keyed; /* found by what it is of */
	uint64_t hash;
	uint64_t nr_lookup;
	unsigned nr_ref;
	char text[];
};

struct slice_table {
	struct lock lock;
	struct slice_node **by_id, **by_key; /* guarded by lock, as all that follows; heap */
	size_t nr_buckets;		     /* a power of two; 0 before the first node */
	size_t nr;
	uint64_t next_id;
};

void slice_table_init(struct slice_table *t);
void slice_table_fini(struct slice_table *t); /* frees what the kernel did not forget, too */
size_t slice_table_count(struct slice_table *t);

/* Referenced, or NULL. */
struct slice_node *slice_node_get(struct slice_table *t, uint64_t id);
/* The one that stands for this now; referenced, or NULL. */
struct slice_node *slice_node_find(struct slice_table *t, enum slice_node_kind kind, uint64_t ino,
				   const char *text);
/* A new one, referenced, which slice_node_find() will find from now on, in place of @old (NULL: of none); unless
 * another than @old is found already: then that one. @slice: a reference is taken. NULL: no memory. */
struct slice_node *slice_node_add(struct slice_table *t, enum slice_node_kind kind, uint64_t ino,
				  const char *text, struct slice *slice,
				  const struct slice_node *old);
void slice_node_put(struct slice_table *t, struct slice_node *n);

/* The kernel learnt of it once more, or forgot it @nr times. */
void slice_node_remember(struct slice_table *t, struct slice_node *n);
void slice_node_forget(struct slice_table *t, uint64_t id, uint64_t nr);

#endif
