/* Two hash tables over the same nodes: by id, and by what they are of. */
#include "fs/slice_node.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"
#include "conf/xxh3.h"

#define BUCKETS_FIRST 64

void slice_table_init(struct slice_table *t)
{
	*t = (struct slice_table){.next_id = SLICE_NODE_FIRST};
	lock_init(&t->lock);
}

static void node_free(struct slice_node *n)
{
	slice_put(n->slice);
	free(n);
}

void slice_table_fini(struct slice_table *t)
{
	for (size_t i = 0; i < t->nr_buckets; i++) {
		struct slice_node *next;

		for (struct slice_node *n = t->by_id[i]; n; n = next) {
			next = n->id_next;
			node_free(n);
		}
	}
	free(t->by_id);
	free(t->by_key);
	lock_fini(&t->lock);
}

size_t slice_table_count(struct slice_table *t)
{
	size_t nr;

	lock_take(&t->lock);
	nr = t->nr;
	lock_release(&t->lock);
	return nr;
}

/* ---- the two tables ---- */

static struct slice_node **id_slot(struct slice_table *t, uint64_t id) REQUIRES(t->lock)
{
	struct slice_node **p = &t->by_id[id & (t->nr_buckets - 1)];

	while (*p && (*p)->id != id)
		p = &(*p)->id_next;
	return p;
}

static uint64_t key_hash(enum slice_node_kind kind, uint64_t ino, const char *text)
{
	return XXH3_64bits_withSeed(text, strlen(text), ino << 2 | kind);
}

static struct slice_node **key_slot(struct slice_table *t, enum slice_node_kind kind, uint64_t ino,
				    const char *text) REQUIRES(t->lock)
{
	uint64_t hash = key_hash(kind, ino, text);
	struct slice_node **p = &t->by_key[hash & (t->nr_buckets - 1)];

	while (*p && ((*p)->hash != hash || (*p)->kind != kind || (*p)->ino != ino ||
		      strcmp((*p)->text, text) != 0))
		p = &(*p)->key_next;
	return p;
}

static void link_id(struct slice_table *t, struct slice_node *n) REQUIRES(t->lock)
{
	struct slice_node **head = &t->by_id[n->id & (t->nr_buckets - 1)];

	n->id_next = *head;
	*head = n;
}

static void link_key(struct slice_table *t, struct slice_node *n) REQUIRES(t->lock)
{
	struct slice_node **head = &t->by_key[n->hash & (t->nr_buckets - 1)];

	n->key_next = *head;
	*head = n;
	n->keyed = true;
}

static void unlink_key(struct slice_table *t, struct slice_node *n) REQUIRES(t->lock)
{
	struct slice_node **p = &t->by_key[n->hash & (t->nr_buckets - 1)];

	if (!n->keyed)
		return;
	while (*p != n)
		p = &(*p)->key_next;
	*p = n->key_next;
	n->keyed = false;
}

static bool table_resize(struct slice_table *t, size_t nr) REQUIRES(t->lock)
{
	struct slice_node **by_id = calloc(nr, sizeof(struct slice_node *));
	struct slice_node **by_key = calloc(nr, sizeof(struct slice_node *));
	struct slice_node **old = t->by_id;
	size_t nr_old = t->nr_buckets;

	if (!by_id || !by_key) {
		free(by_id);
		free(by_key);
		return false;
	}
	free(t->by_key);
	t->by_id = by_id;
	t->by_key = by_key;
	t->nr_buckets = nr;
	for (size_t i = 0; i < nr_old; i++) {
		struct slice_node *next;

		for (struct slice_node *n = old[i]; n; n = next) {
			next = n->id_next;
			link_id(t, n);
			if (n->keyed)
				link_key(t, n);
		}
	}
	free(old);
	return true;
}

/* Where there is no memory for more buckets, their lists get longer. */
static bool table_has_room(struct slice_table *t) REQUIRES(t->lock)
{
	if (t->nr < t->nr_buckets)
		return true;
	return table_resize(t, t->nr_buckets ? 2 * t->nr_buckets : BUCKETS_FIRST) || t->nr_buckets;
}

/* ---- nodes ---- */

struct slice_node *slice_node_get(struct slice_table *t, uint64_t id)
{
	struct slice_node *n;

	lock_take(&t->lock);
	n = t->nr_buckets ? *id_slot(t, id) : NULL;
	if (n)
		n->nr_ref++;
	lock_release(&t->lock);
	return n;
}

struct slice_node *slice_node_find(struct slice_table *t, enum slice_node_kind kind, uint64_t ino,
				   const char *text)
{
	struct slice_node *n;

	lock_take(&t->lock);
	n = t->nr_buckets ? *key_slot(t, kind, ino, text) : NULL;
	if (n)
		n->nr_ref++;
	lock_release(&t->lock);
	return n;
}

static struct slice_node *node_new(struct slice_table *t, enum slice_node_kind kind, uint64_t ino,
				   const char *text, struct slice *slice) REQUIRES(t->lock)
{
	size_t len = strlen(text) + 1;
	struct slice_node *n = table_has_room(t) ? calloc(1, sizeof(*n) + len) : NULL;

	if (!n)
		return NULL;
	n->id = t->next_id++;
	n->ino = ino;
	n->kind = kind;
	n->slice = slice ? slice_ref(slice) : NULL;
	n->hash = key_hash(kind, ino, text);
	memcpy(n->text, text, len);
	link_id(t, n);
	link_key(t, n);
	t->nr++;
	return n;
}

struct slice_node *slice_node_add(struct slice_table *t, enum slice_node_kind kind, uint64_t ino,
				  const char *text, struct slice *slice,
				  const struct slice_node *old)
{
	struct slice_node *n;

	lock_take(&t->lock);
	n = t->nr_buckets ? *key_slot(t, kind, ino, text) : NULL;
	if (n && n == old) {
		unlink_key(t, n);
		n = NULL;
	}
	if (!n)
		n = node_new(t, kind, ino, text, slice);
	if (n)
		n->nr_ref++;
	lock_release(&t->lock);
	return n;
}

/* Takes it out of the tables and returns it when nobody needs it any more. */
static struct slice_node *node_unused(struct slice_table *t, struct slice_node *n) REQUIRES(t->lock)
{
	if (n->nr_ref || n->nr_lookup)
		return NULL;
	*id_slot(t, n->id) = n->id_next;
	unlink_key(t, n);
	t->nr--;
	return n;
}

void slice_node_put(struct slice_table *t, struct slice_node *n)
{
	struct slice_node *unused;

	lock_take(&t->lock);
	assert(n->nr_ref > 0);
	n->nr_ref--;
	unused = node_unused(t, n);
	lock_release(&t->lock);
	if (unused)
		node_free(unused);
}

void slice_node_remember(struct slice_table *t, struct slice_node *n)
{
	lock_take(&t->lock);
	n->nr_lookup++;
	lock_release(&t->lock);
}

void slice_node_forget(struct slice_table *t, uint64_t id, uint64_t nr)
{
	struct slice_node *n, *unused = NULL;

	lock_take(&t->lock);
	n = t->nr_buckets ? *id_slot(t, id) : NULL;
	if (n) {
		n->nr_lookup -= MIN(nr, n->nr_lookup);
		unused = node_unused(t, n);
	}
	lock_release(&t->lock);
	if (unused)
		node_free(unused);
}
