/* Directory entries: a record that finds a name (KEY_DENTRY) and one that keeps its place in the order that readdir
 * shows (KEY_COOKIE). The two are made, changed and deleted together. */
#ifndef FS_DENTRY_H
#define FS_DENTRY_H

#include "fs/index.h"
#include "fs/name.h"

struct dentry {
	uint64_t ino;
	uint32_t type;	 /* S_IFMT bits */
	uint64_t cookie; /* DENTRY_COOKIE_FIRST.. */
};

#define DENTRY_COOKIE_FIRST 3 /* 1 and 2 are "." and ".." */

#define DENTRY_LEN	  17		     /* a KEY_DENTRY value */
#define DENTRY_COOKIE_MAX (9 + NAME_LEN_MAX) /* the longest KEY_COOKIE value */

/* @name is valid by dentry_name_valid(), as is @d->type. */
void dentry_put(const struct dentry *d, uint8_t buf[DENTRY_LEN]);
size_t dentry_cookie_put(const struct dentry *d, struct name name, uint8_t buf[DENTRY_COOKIE_MAX]);

/* -EBADMSG: no such record (length, inode number, type, cookie, name); the result is untouched then. */
int dentry_get(const uint8_t *buf, size_t len, struct dentry *d);
/* @name points into @buf; the cookie stands in the key, not here: d->cookie is 0. */
int dentry_cookie_get(const uint8_t *buf, size_t len, struct dentry *d, struct name *name);

/* 1 to 255 bytes, no '/' and no NUL, not "." and not "..". */
bool dentry_name_valid(struct name name);

/* ---- in a transaction; @name is no longer than NAME_LEN_MAX ---- */

/* -ENOENT, -EBADMSG. */
int dentry_find(struct index_txn *t, uint64_t dir, struct name name, struct dentry *d);
/* Make the entry, or let a name that keeps its cookie lead to another inode. */
int dentry_store(struct index_txn *t, uint64_t dir, struct name name, const struct dentry *d);
/* @d as dentry_find() gave it. */
int dentry_erase(struct index_txn *t, uint64_t dir, struct name name, const struct dentry *d);

#endif
