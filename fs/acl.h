/* POSIX access control lists, in memory and in the bytes of the system.posix_acl_* attributes, with the arithmetic that
 * ties them to a file's mode. The rules are the kernel's (fs/posix_acl.c), which checks access by what is kept here.
 * Threads: any; nothing is shared. */
#ifndef FS_ACL_H
#define FS_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct acl_entry {
	uint16_t tag;  /* ACL_USER_OBJ, ... of linux/posix_acl.h */
	uint16_t perm; /* 0 to 7 */
	uint32_t id;   /* of ACL_USER and ACL_GROUP; else ACL_UNDEFINED_ID */
};

/* Heap; free(). A parsed one is valid: owner, users, group, groups, mask, others in this order, each single entry once
 * and not missing; the mask may only be missing where no user or group is named. */
struct acl {
	unsigned nr;
	struct acl_entry e[];
};

/* *out is NULL for bytes that say "no list": none, or a head without entries.
 * -EINVAL (not a valid list), -EOPNOTSUPP (another version), -ENOMEM. */
int acl_parse(const uint8_t *buf, size_t len, struct acl **out);

/* Bytes that acl_format() writes. */
size_t acl_len(const struct acl *acl);
void acl_format(const struct acl *acl, uint8_t *buf);

/* The permission bits of @mode become what @acl, an access list, says of owner, group (or mask) and others; the other
 * bits stay. True: that is all it says, and it needs not be stored. */
bool acl_equiv_mode(const struct acl *acl, uint32_t *mode);

/* Make of @acl, a default list, the access list of a new inode asked for with @mode, and of @mode what the list leaves
 * of it. The umask plays no part. True: the mode says it all. */
bool acl_create(struct acl *acl, uint32_t *mode);

/* The access list of an inode whose mode was set to @mode: chmod moves the owner, the mask (or the group where there is
 * none) and others. */
void acl_chmod(struct acl *acl, uint32_t mode);

#endif
