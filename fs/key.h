/* The keys of the index: one ordered space for everything, an inode's things side by side.
 *
 *   key                               value
 *   ino, KEY_ATTR                     struct attr (attr.c)
 *   ino, KEY_INLINE                   bytes [0, n) of a tiny file, n <= INLINE_MAX; or a symlink's target
 *   ino, KEY_XATTR, name              the attribute's value
 *   dir, KEY_DENTRY, name             child ino, type, cookie (dentry.c)
 *   dir, KEY_COOKIE, cookie           child ino, type, name: the order that readdir shows
 *   ino, KEY_MAP, file offset         length, generation, skip: where a range's bytes are (extent.c)
 *   0, KEY_EXTENT, generation         references, owner, place on the shards (extent.c)
 *   0, KEY_ORPHAN, ino                nothing: an inode without a name, to be reclaimed after a crash
 *   0, KEY_META, name                 the volume's own counters (commit.c)
 *
 * Numbers in keys are big-endian so that they sort. Inode numbers begin at 1, the root. */
#ifndef FS_KEY_H
#define FS_KEY_H

#include <assert.h>

#include "conf/bytes.h"

#define KEY_MAX	     (8 + 1 + 255)
#define NAME_LEN_MAX 255

enum key_kind {
	KEY_ATTR = 0x01,
	KEY_INLINE = 0x02,
	KEY_XATTR = 0x03,
	KEY_DENTRY = 0x10,
	KEY_COOKIE = 0x11,
	KEY_MAP = 0x20,
	KEY_EXTENT = 0x30,
	KEY_ORPHAN = 0x31,
	KEY_META = 0x32,
};

struct key {
	uint16_t len;
	uint8_t b[KEY_MAX];
};

static inline struct key key_plain(uint64_t ino, enum key_kind kind)
{
	struct key k = {.len = 9};

	put_be64(k.b, ino);
	k.b[8] = (uint8_t)kind;
	return k;
}

static inline struct key key_number(uint64_t ino, enum key_kind kind, uint64_t n)
{
	struct key k = key_plain(ino, kind);

	put_be64(k.b + 9, n);
	k.len = 17;
	return k;
}

/* @len at most NAME_LEN_MAX: the caller has answered -ENAMETOOLONG before. */
static inline struct key key_name(uint64_t ino, enum key_kind kind, const void *name, size_t len)
{
	struct key k = key_plain(ino, kind);

	assert(len <= NAME_LEN_MAX);
	memcpy(k.b + 9, name, len);
	k.len = (uint16_t)(9 + len);
	return k;
}

#endif
