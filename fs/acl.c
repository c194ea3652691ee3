/* POSIX ACLs.
 *
 *   offset  length
 *        0       4  version, 2
 *        4       8  of each entry: tag u16, permissions u16, id u32
 *
 * This is Linux's own format (linux/posix_acl_xattr.h), little-endian everywhere, so that what the kernel sends is what
 * is stored and what it gets back. */
#include "fs/acl.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include "conf/base.h"
#include "conf/bytes.h"

#define ACL_HEAD_LEN  4
#define ACL_ENTRY_LEN 8
#define ACL_PERMS     (ACL_READ | ACL_WRITE | ACL_EXECUTE)

/* ---- parsing ---- */

static bool acl_tag_has_id(uint16_t tag)
{
	return tag == ACL_USER || tag == ACL_GROUP;
}

/* What may come next; the order of the entries is part of the format. */
enum acl_state {
	ACL_WANT_OWNER,
	ACL_WANT_GROUP, /* or a named user */
	ACL_WANT_MASK,	/* or a named group, or others where there is nobody for a mask to bound */
	ACL_WANT_OTHERS,
	ACL_COMPLETE,
};

static bool acl_state_next(enum acl_state *state, uint16_t tag, bool named)
{
	switch (tag) {
	case ACL_USER_OBJ:
		if (*state != ACL_WANT_OWNER)
			return false;
		*state = ACL_WANT_GROUP;
		return true;
	case ACL_USER:
		return *state == ACL_WANT_GROUP;
	case ACL_GROUP_OBJ:
		if (*state != ACL_WANT_GROUP)
			return false;
		*state = ACL_WANT_MASK;
		return true;
	case ACL_GROUP:
		return *state == ACL_WANT_MASK;
	case ACL_MASK:
		if (*state != ACL_WANT_MASK)
			return false;
		*state = ACL_WANT_OTHERS;
		return true;
	case ACL_OTHER:
		if (*state != ACL_WANT_OTHERS && (*state != ACL_WANT_MASK || named))
			return false;
		*state = ACL_COMPLETE;
		return true;
	default:
		return false;
	}
}

static bool acl_valid(const struct acl *acl)
{
	enum acl_state state = ACL_WANT_OWNER;
	bool named = false;

	for (unsigned i = 0; i < acl->nr; i++) {
		const struct acl_entry *e = &acl->e[i];

		if (e->perm & ~ACL_PERMS)
			return false;
		if (acl_tag_has_id(e->tag)) {
			named = true;
			if (e->id == (uint32_t)ACL_UNDEFINED_ID)
				return false;
		}
		if (!acl_state_next(&state, e->tag, named))
			return false;
	}
	return state == ACL_COMPLETE;
}

static struct acl_entry acl_parse_entry(struct rbuf *r)
{
	struct acl_entry e;

	e.tag = rbuf_u16(r);
	e.perm = rbuf_u16(r);
	e.id = rbuf_u32(r);
	/* Writers leave anything here; one form for one meaning. */
	if (!acl_tag_has_id(e.tag))
		e.id = (uint32_t)ACL_UNDEFINED_ID;
	return e;
}

int acl_parse(const uint8_t *buf, size_t len, struct acl **out)
{
	AUTO_FREE struct acl *acl = NULL;
	struct rbuf r = rbuf_init(buf, len);
	size_t nr;

	if (len == 0) {
		*out = NULL;
		return 0;
	}
	if (len < ACL_HEAD_LEN || (len - ACL_HEAD_LEN) % ACL_ENTRY_LEN)
		return -EINVAL;
	if (rbuf_u32(&r) != POSIX_ACL_XATTR_VERSION)
		return -EOPNOTSUPP;
	nr = (len - ACL_HEAD_LEN) / ACL_ENTRY_LEN;
	if (nr == 0) {
		*out = NULL;
		return 0;
	}
	if (nr > UINT16_MAX) /* far beyond what any attribute holds */
		return -EINVAL;
	acl = malloc(sizeof(*acl) + nr * sizeof(acl->e[0]));
	if (!acl)
		return -ENOMEM;
	acl->nr = (unsigned)nr;
	for (unsigned i = 0; i < acl->nr; i++)
		acl->e[i] = acl_parse_entry(&r);
	if (r.bad || !acl_valid(acl))
		return -EINVAL;
	*out = TAKE_PTR(acl);
	return 0;
}

size_t acl_len(const struct acl *acl)
{
	return ACL_HEAD_LEN + (size_t)acl->nr * ACL_ENTRY_LEN;
}

void acl_format(const struct acl *acl, uint8_t *buf)
{
	struct wbuf w = wbuf_init(buf, acl_len(acl));

	wbuf_u32(&w, POSIX_ACL_XATTR_VERSION);
	for (unsigned i = 0; i < acl->nr; i++) {
		wbuf_u16(&w, acl->e[i].tag);
		wbuf_u16(&w, acl->e[i].perm);
		wbuf_u32(&w, acl->e[i].id);
	}
}

/* ---- lists and modes ---- */

/* Where the entries that share bits with the mode stand: owner, others, and the mask where there is one, else the group.
 * A valid list has all three. */
struct acl_classes {
	unsigned owner, group, others;
	bool minimal; /* nothing but owner, group and others */
};

static struct acl_classes acl_classes(const struct acl *acl)
{
	struct acl_classes c = {.minimal = true};

	for (unsigned i = 0; i < acl->nr; i++) {
		switch (acl->e[i].tag) {
		case ACL_USER_OBJ:
			c.owner = i;
			break;
		case ACL_OTHER:
			c.others = i;
			break;
		case ACL_GROUP_OBJ:
			c.group = i;
			break;
		case ACL_MASK:
			/* It stands after the group and bounds the whole group class. */
			c.group = i;
			c.minimal = false;
			break;
		default:
			c.minimal = false;
			break;
		}
	}
	return c;
}

static uint32_t acl_classes_mode(const struct acl *acl, const struct acl_classes *c)
{
	return (uint32_t)acl->e[c->owner].perm << 6 | (uint32_t)acl->e[c->group].perm << 3 |
	       acl->e[c->others].perm;
}

bool acl_equiv_mode(const struct acl *acl, uint32_t *mode)
{
	struct acl_classes c = acl_classes(acl);

	*mode = (*mode & ~0777u) | acl_classes_mode(acl, &c);
	return c.minimal;
}

bool acl_create(struct acl *acl, uint32_t *mode)
{
	struct acl_classes c = acl_classes(acl);
	uint32_t left = *mode & acl_classes_mode(acl, &c);

	acl->e[c.owner].perm = left >> 6 & 7;
	acl->e[c.group].perm = left >> 3 & 7;
	acl->e[c.others].perm = left & 7;
	*mode = (*mode & ~0777u) | left;
	return c.minimal;
}

void acl_chmod(struct acl *acl, uint32_t mode)
{
	struct acl_classes c = acl_classes(acl);

	acl->e[c.owner].perm = mode >> 6 & 7;
	acl->e[c.group].perm = mode >> 3 & 7;
	acl->e[c.others].perm = mode & 7;
}
