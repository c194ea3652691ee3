/* The extent map: which bytes of a file stand in which stripe, and how often each stripe is referred to.
 *
 * A stored extent (KEY_EXTENT) never changes; map entries (KEY_MAP) refer to a part of one. Overwriting, punching and
 * truncating trim, split or delete entries; the extent that loses its last entry is freed. Sharing is one more entry.
 * All functions run inside an op that has edited the inode, so that attr.mapped is kept. */
#ifndef FS_EXTENT_H
#define FS_EXTENT_H

#include "fs/op.h"

/* One entry of a file's map. */
struct map_entry {
	uint64_t off;  /* in the file, bytes */
	uint32_t len;  /* bytes */
	uint32_t skip; /* into the raw bytes of the extent */
	uint64_t gen;  /* of the extent */
};

/* A stored extent. */
struct extent {
	uint64_t gen;
	uint32_t refs;
	struct stripe_owner owner;
	struct stripe_loc loc;
};

/* First entry that ends after @off (NULL-safe in read and write transactions). -ENOENT: none. */
int extent_find(struct index_txn *t, uint64_t ino, uint64_t off, struct map_entry *out);
/* The entry after @e. */
int extent_after(struct index_txn *t, uint64_t ino, const struct map_entry *e,
		 struct map_entry *out);
int extent_load(struct index_txn *t, uint64_t gen, struct extent *out);
int extent_decode(const uint8_t *key, size_t key_len, const uint8_t *val, size_t val_len,
		  struct extent *out);
int extent_map_decode(const uint8_t *key, size_t key_len, const uint8_t *val, size_t val_len,
		      uint64_t *ino, struct map_entry *out);

/* Unmap [off, off + len): inline bytes too. */
int extent_punch(struct op *op, struct inode *in, uint64_t off, uint64_t len);
/* A new stored extent takes over [off, off + raw_len). @e->refs is set. */
int extent_insert(struct op *op, struct inode *in, uint64_t off, struct extent *e);
/* A part of a new extent that a file is to show at @off. */
struct extent_part {
	struct inode *in;
	uint64_t off;
	uint32_t len, skip; /* skip: into the raw bytes of the extent */
};
/* The new stored extent @e takes over what its parts say; none overlaps another, or lies across a multiple of the extent
 * length. Cheapest where those of one such range stand together, in order. @e->refs is set. */
int extent_insert_parts(struct op *op, struct extent *e, const struct extent_part *part,
			unsigned nr);
/* One more reference: [off, off + len) of @in, within one multiple of the extent length, shows @skip.. of the stored
 * extent @gen. */
int extent_share(struct op *op, struct inode *in, uint64_t off, uint32_t len, uint64_t gen,
		 uint32_t skip);

/* What there is of @ino's map that begins in a range. */
struct extent_survey {
	unsigned nr_entries, nr_extents;
	uint64_t raw_len; /* of these extents, what is not shown of them too */
	uint64_t end;	  /* where the last entry ends; where the range begins when there is none */
};
int extent_survey(struct index_txn *t, uint64_t ino, uint64_t off, uint64_t len,
		  struct extent_survey *out);

/* Inline bytes: *len is 0 when there are none. */
int extent_inline_get(struct index_txn *t, uint64_t ino, uint8_t buf[INLINE_MAX], size_t *len);
int extent_inline_put(struct op *op, struct inode *in, const uint8_t *buf, size_t len);

#endif
