/* Extended attributes: one record each, KEY_XATTR with the full name. A POSIX ACL that says no more than the mode is
 * not kept, and the mode is kept equal to the ACL that is. One attribute has a meaning here, the policy, and a few have
 * no record: the facts. */
#include "fs/xattr.h"

#include <sys/xattr.h>

#include "conf/base.h"
#include "fs/acl.h"
#include "fs/codec_policy.h"
#include "fs/fact.h"

#define XATTR_ACL_ACCESS  "system.posix_acl_access"
#define XATTR_ACL_DEFAULT "system.posix_acl_default"
#define XATTR_CAPABILITY  "security.capability"

enum xattr_kind {
	XATTR_USER,
	XATTR_SECURITY,
	XATTR_TRUSTED,
	XATTR_ACCESS, /* ACLs */
	XATTR_DEFAULT,
};

static bool xattr_in(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* -ERANGE, -EOPNOTSUPP, or -EINVAL for a namespace without a name. */
static int xattr_kind(const char *name, enum xattr_kind *out)
{
	static const struct {
		const char *prefix;
		enum xattr_kind kind;
	} spaces[] = {
		{"user.", XATTR_USER},
		{"security.", XATTR_SECURITY},
		{"trusted.", XATTR_TRUSTED},
	};
	size_t len = strlen(name);

	if (len < 1 || len > NAME_LEN_MAX)
		return -ERANGE;
	if (!strcmp(name, XATTR_ACL_ACCESS) || !strcmp(name, XATTR_ACL_DEFAULT)) {
		*out = strcmp(name, XATTR_ACL_ACCESS) ? XATTR_DEFAULT : XATTR_ACCESS;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(spaces); i++) {
		if (!xattr_in(name, spaces[i].prefix))
			continue;
		*out = spaces[i].kind;
		return name[strlen(spaces[i].prefix)] ? 0 : -EINVAL;
	}
	return -EOPNOTSUPP;
}

/* May an inode of this type have such an attribute? User attributes of a symlink or device would be a store that
 * anybody can fill, its permissions being for something else. */
static bool xattr_allowed(enum xattr_kind kind, uint32_t mode)
{
	return kind != XATTR_USER || S_ISREG(mode) || S_ISDIR(mode);
}

static bool xattr_is_acl(enum xattr_kind kind)
{
	return kind == XATTR_ACCESS || kind == XATTR_DEFAULT;
}

static struct key xattr_key(uint64_t ino, const char *name)
{
	return key_name(ino, KEY_XATTR, name, strlen(name));
}

/* ---- changes: inside an op that has edited the inode ---- */

static int xattr_put(struct op *op, uint64_t ino, const char *name, const void *value, size_t len)
{
	struct key key = xattr_key(ino, name);

	return index_put(op->txn, &key, len ? value : "", len);
}

/* 0 also when it is not there. */
static int xattr_del(struct op *op, uint64_t ino, const char *name)
{
	struct key key = xattr_key(ino, name);
	int err = index_del(op->txn, &key);

	return err == -ENOENT ? 0 : err;
}

static int xattr_put_acl(struct op *op, uint64_t ino, const char *name, const struct acl *acl)
{
	size_t len = acl_len(acl);
	AUTO_FREE uint8_t *buf = malloc(len);

	if (!buf)
		return -ENOMEM;
	acl_format(acl, buf);
	return xattr_put(op, ino, name, buf, len);
}

static int xattr_set_access(struct op *op, struct inode *in, struct attr *a, const struct acl *acl,
			    bool kill_sgid)
{
	bool minimal = acl_equiv_mode(acl, &a->mode);

	if (kill_sgid)
		a->mode &= ~(uint32_t)S_ISGID;
	a->ctime = inode_now();
	return minimal ? xattr_del(op, in->ino, XATTR_ACL_ACCESS)
		       : xattr_put_acl(op, in->ino, XATTR_ACL_ACCESS, acl);
}

/* @acl NULL: remove it; what is not there is removed already, as in other file systems. */
static int xattr_set_acl_in(struct op *op, struct inode *in, enum xattr_kind kind,
			    const struct acl *acl, bool kill_sgid)
{
	const char *name = kind == XATTR_ACCESS ? XATTR_ACL_ACCESS : XATTR_ACL_DEFAULT;
	struct attr *a = op_edit(op, in);
	struct key key = xattr_key(in->ino, name);
	int err;

	if (in->gone)
		return -ESTALE;
	if (S_ISLNK(a->mode))
		return -EOPNOTSUPP;
	if (kind == XATTR_DEFAULT && acl && !S_ISDIR(a->mode))
		return -EACCES;
	if (acl && kind == XATTR_ACCESS)
		return xattr_set_access(op, in, a, acl, kill_sgid);
	if (acl) {
		a->ctime = inode_now();
		return xattr_put_acl(op, in->ino, name, acl);
	}
	err = index_del(op->txn, &key);
	if (err)
		return err == -ENOENT ? 0 : err;
	a->ctime = inode_now();
	return 0;
}

static int xattr_set_acl(struct inode *in, enum xattr_kind kind, const void *value, size_t len,
			 bool kill_sgid)
{
	AUTO_FREE struct acl *acl = NULL;
	struct op op;
	int err = acl_parse(value, len, &acl);

	if (!err)
		err = acl ? op_begin_grow(&op, in->fs) : op_begin(&op, in->fs);
	return err ? err : op_end(&op, xattr_set_acl_in(&op, in, kind, acl, kill_sgid));
}

static int xattr_set_in(struct op *op, struct inode *in, enum xattr_kind kind, const char *name,
			const void *value, size_t len, int flags)
{
	struct key key = xattr_key(in->ino, name);
	struct attr *a = op_edit(op, in);
	struct index_val old;
	int err;

	if (in->gone)
		return -ESTALE;
	if (!xattr_allowed(kind, a->mode))
		return -EPERM;
	err = index_get(op->txn, &key, &old);
	if (err && err != -ENOENT)
		return err;
	if (!err && flags & XATTR_CREATE)
		return -EEXIST;
	if (err && flags & XATTR_REPLACE)
		return -ENODATA;
	a->ctime = inode_now();
	if (!strcmp(name, XATTR_CAPABILITY))
		a->flags |= ATTR_CAPS;
	if (!strcmp(name, POLICY_XATTR))
		codec_policy_changed(in);
	return xattr_put(op, in->ino, name, value, len);
}

static int xattr_remove_in(struct op *op, struct inode *in, enum xattr_kind kind, const char *name)
{
	struct key key = xattr_key(in->ino, name);
	struct attr *a = op_edit(op, in);
	int err;

	if (in->gone)
		return -ESTALE;
	if (!xattr_allowed(kind, a->mode))
		return -EPERM;
	err = index_del(op->txn, &key);
	if (err)
		return err == -ENOENT ? -ENODATA : err;
	a->ctime = inode_now();
	if (!strcmp(name, XATTR_CAPABILITY))
		a->flags &= ~ATTR_CAPS;
	if (!strcmp(name, POLICY_XATTR))
		codec_policy_changed(in);
	return 0;
}

int xattr_chmod(struct op *op, struct inode *in)
{
	struct key key = xattr_key(in->ino, XATTR_ACL_ACCESS);
	AUTO_FREE struct acl *acl = NULL;
	struct index_val v;
	int err = index_get(op->txn, &key, &v);

	if (err)
		return err == -ENOENT ? 0 : err;
	err = acl_parse(v.p, v.len, &acl);
	if (err || !acl)
		return err ? -EBADMSG : 0;
	acl_chmod(acl, op_edit(op, in)->mode);
	return xattr_put_acl(op, in->ino, XATTR_ACL_ACCESS, acl);
}

int xattr_kill_privs(struct op *op, struct inode *in)
{
	struct attr *a = op_edit(op, in);
	int err;

	if (S_ISDIR(a->mode))
		return 0;
	a->mode &= ~(uint32_t)S_ISUID;
	/* Without group execution the bit is no privilege: it once meant mandatory locking, and the kernel keeps it. */
	if (a->mode & S_IXGRP)
		a->mode &= ~(uint32_t)S_ISGID;
	if (!(a->flags & ATTR_CAPS))
		return 0;
	err = xattr_del(op, in->ino, XATTR_CAPABILITY);
	if (!err)
		a->flags &= ~ATTR_CAPS;
	return err;
}

/* The default ACL of @parent, or NULL. */
static int xattr_default_acl(struct op *op, uint64_t parent, struct acl **out)
{
	struct key key = xattr_key(parent, XATTR_ACL_DEFAULT);
	struct index_val v;
	int err = index_get(op->txn, &key, &v);

	*out = NULL;
	if (err)
		return err == -ENOENT ? 0 : err;
	err = acl_parse(v.p, v.len, out);
	/* It was valid when it was stored. */
	return err && err != -ENOMEM ? -EBADMSG : err;
}

int xattr_inherit(struct op *op, uint64_t parent, uint64_t ino, struct attr *a, uint32_t umask)
{
	AUTO_FREE struct acl *acl = NULL;
	int err;

	if (S_ISLNK(a->mode))
		return 0;
	if (S_ISREG(a->mode) || S_ISDIR(a->mode)) {
		err = codec_policy_inherit(op, parent, ino);
		if (err)
			return err;
	}
	err = xattr_default_acl(op, parent, &acl);
	if (err)
		return err;
	if (!acl) {
		a->mode &= ~(umask & 0777);
		return 0;
	}
	if (S_ISDIR(a->mode))
		err = xattr_put_acl(op, ino, XATTR_ACL_DEFAULT, acl);
	if (!err && !acl_create(acl, &a->mode))
		err = xattr_put_acl(op, ino, XATTR_ACL_ACCESS, acl);
	return err;
}

/* ---- names of an inode ---- */

/* The name in a key, or false when the key is not one of @ino's attributes. */
static bool xattr_key_name(const struct key *all, const struct index_val *k, const char **name,
			   size_t *len)
{
	if (k->len <= all->len || k->len > KEY_MAX || memcmp(k->p, all->b, all->len) != 0)
		return false;
	*name = (const char *)k->p + all->len;
	*len = k->len - all->len;
	return true;
}

/* The first name, as a key of its own: -ENOENT when there is none. */
static int xattr_first(struct index_txn *t, uint64_t ino, struct key *out)
{
	struct key all = key_plain(ino, KEY_XATTR);
	struct index_cursor *c;
	struct index_val k, v;
	const char *name;
	size_t len;
	int err = index_cursor_open(t, &c);

	if (err)
		return err;
	err = index_seek(c, &all, &k, &v);
	if (!err && !xattr_key_name(&all, &k, &name, &len))
		err = -ENOENT;
	if (!err)
		*out = key_name(ino, KEY_XATTR, name, len);
	index_cursor_close(c);
	return err;
}

int xattr_drop(struct op *op, uint64_t ino)
{
	struct key key;
	int err = xattr_first(op->txn, ino, &key);

	while (!err) {
		err = index_del(op->txn, &key);
		if (!err)
			err = xattr_first(op->txn, ino, &key);
	}
	return err == -ENOENT ? 0 : err;
}

/* ---- calls ---- */

int xattr_set(struct inode *in, const char *name, const void *value, size_t len, int flags,
	      bool kill_sgid)
{
	enum xattr_kind kind;
	struct policy policy;
	struct op op;
	int err = xattr_kind(name, &kind);

	if (err)
		return err;
	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (len > XATTR_VALUE_MAX)
		return -E2BIG;
	if (fact_is(name))
		return -EPERM;
	if (!strcmp(name, POLICY_XATTR) && codec_policy_parse(value, len, &policy))
		return -EINVAL;
	if (xattr_is_acl(kind))
		return xattr_set_acl(in, kind, value, len, kill_sgid);
	err = op_begin_grow(&op, in->fs);
	return err ? err : op_end(&op, xattr_set_in(&op, in, kind, name, value, len, flags));
}

int xattr_remove(struct inode *in, const char *name)
{
	enum xattr_kind kind;
	struct op op;
	int err = xattr_kind(name, &kind);

	if (err)
		return err;
	if (fact_is(name))
		return -EPERM;
	if (xattr_is_acl(kind))
		return xattr_set_acl(in, kind, NULL, 0, false);
	err = op_begin(&op, in->fs);
	return err ? err : op_end(&op, xattr_remove_in(&op, in, kind, name));
}

static int xattr_get_in(struct index_txn *t, uint64_t ino, const char *name, void *buf, size_t len,
			size_t *out)
{
	struct key key = xattr_key(ino, name);
	struct index_val v;
	int err = index_get(t, &key, &v);

	if (err)
		return err == -ENOENT ? -ENODATA : err;
	if (len && v.len > len)
		return -ERANGE;
	if (len && v.len)
		memcpy(buf, v.p, v.len);
	*out = v.len;
	return 0;
}

/* An attribute without a record. */
static int xattr_get_fact(struct inode *in, const char *name, void *buf, size_t len, size_t *out)
{
	char text[FACT_TEXT_LEN];
	size_t text_len;
	int err = fact_get(in, name, text, &text_len);

	if (err)
		return err;
	if (len && text_len > len)
		return -ERANGE;
	if (len)
		memcpy(buf, text, text_len);
	*out = text_len;
	return 0;
}

int xattr_get(struct inode *in, const char *name, void *buf, size_t len, size_t *out)
{
	enum xattr_kind kind;
	struct index_txn *t;
	int err = xattr_kind(name, &kind);

	if (!err && fact_is(name))
		return xattr_get_fact(in, name, buf, len, out);
	if (!err)
		err = index_read(in->fs->index, &t);
	if (err)
		return err;
	err = xattr_get_in(t, in->ino, name, buf, len, out);
	index_read_end(t);
	return err;
}

/* Names end with a NUL each. */
static int xattr_list_in(struct index_txn *t, uint64_t ino, char *buf, size_t len, size_t *out)
{
	struct key all = key_plain(ino, KEY_XATTR);
	struct index_cursor *c;
	struct index_val k, v;
	size_t at = 0, name_len;
	const char *name;
	int err = index_cursor_open(t, &c);

	if (err)
		return err;
	err = index_seek(c, &all, &k, &v);
	while (!err && xattr_key_name(&all, &k, &name, &name_len)) {
		if (len && name_len + 1 > len - at) {
			err = -ERANGE;
			break;
		}
		if (len) {
			memcpy(buf + at, name, name_len);
			buf[at + name_len] = '\0';
		}
		at += name_len + 1;
		err = index_next(c, &k, &v);
	}
	index_cursor_close(c);
	if (err && err != -ENOENT)
		return err;
	*out = at;
	return 0;
}

int xattr_list(struct inode *in, char *buf, size_t len, size_t *out)
{
	struct index_txn *t;
	int err = index_read(in->fs->index, &t);

	if (err)
		return err;
	err = xattr_list_in(t, in->ino, buf, len, out);
	index_read_end(t);
	return err;
}
