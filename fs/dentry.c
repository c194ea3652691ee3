/* Directory entries.
 *
 *   KEY_DENTRY value            KEY_COOKIE value
 *   offset  length              offset  length
 *        0       8  inode            0       8  inode
 *        8       1  type             8       1  type
 *        9       8  cookie           9   1-255  name
 *
 * The type is readdir's DT_* number. Checksums are those of the batch or checkpoint around the records. */
#include "fs/dentry.h"

#include <assert.h>
#include <dirent.h>
#include <sys/stat.h>

bool dentry_name_valid(struct name name)
{
	if (name.len < 1 || name.len > NAME_LEN_MAX)
		return false;
	if (name.p[0] == '.' && (name.len == 1 || (name.len == 2 && name.p[1] == '.')))
		return false;
	return !memchr(name.p, '/', name.len) && !memchr(name.p, '\0', name.len);
}

static bool dentry_type_valid(uint8_t type)
{
	switch (type) {
	case DT_REG:
	case DT_DIR:
	case DT_LNK:
	case DT_CHR:
	case DT_BLK:
	case DT_FIFO:
	case DT_SOCK:
		return true;
	default:
		return false;
	}
}

void dentry_put(const struct dentry *d, uint8_t buf[DENTRY_LEN])
{
	put_u64(buf, d->ino);
	put_u8(buf + 8, (uint8_t)IFTODT(d->type));
	put_u64(buf + 9, d->cookie);
}

size_t dentry_cookie_put(const struct dentry *d, struct name name, uint8_t buf[DENTRY_COOKIE_MAX])
{
	assert(name.len <= NAME_LEN_MAX);
	put_u64(buf, d->ino);
	put_u8(buf + 8, (uint8_t)IFTODT(d->type));
	memcpy(buf + 9, name.p, name.len);
	return 9 + name.len;
}

int dentry_get(const uint8_t *buf, size_t len, struct dentry *out)
{
	struct dentry d;

	if (len != DENTRY_LEN || !dentry_type_valid(get_u8(buf + 8)))
		return -EBADMSG;
	d = (struct dentry){
		.ino = get_u64(buf),
		.type = DTTOIF(get_u8(buf + 8)),
		.cookie = get_u64(buf + 9),
	};
	if (!d.ino || d.cookie < DENTRY_COOKIE_FIRST)
		return -EBADMSG;
	*out = d;
	return 0;
}

int dentry_cookie_get(const uint8_t *buf, size_t len, struct dentry *d, struct name *name)
{
	struct name n;

	if (len < 10 || len > DENTRY_COOKIE_MAX || !dentry_type_valid(get_u8(buf + 8)))
		return -EBADMSG;
	n = (struct name){.p = (const char *)buf + 9, .len = len - 9};
	if (!get_u64(buf) || !dentry_name_valid(n))
		return -EBADMSG;
	*d = (struct dentry){.ino = get_u64(buf), .type = DTTOIF(get_u8(buf + 8))};
	*name = n;
	return 0;
}

int dentry_find(struct index_txn *t, uint64_t dir, struct name name, struct dentry *d)
{
	struct key key = key_name(dir, KEY_DENTRY, name.p, name.len);
	struct index_val v;
	int err = index_get(t, &key, &v);

	return err ? err : dentry_get(v.p, v.len, d);
}

int dentry_store(struct index_txn *t, uint64_t dir, struct name name, const struct dentry *d)
{
	struct key by_name = key_name(dir, KEY_DENTRY, name.p, name.len);
	struct key by_cookie = key_number(dir, KEY_COOKIE, d->cookie);
	uint8_t buf[DENTRY_COOKIE_MAX];
	int err;

	dentry_put(d, buf);
	err = index_put(t, &by_name, buf, DENTRY_LEN);
	if (err)
		return err;
	return index_put(t, &by_cookie, buf, dentry_cookie_put(d, name, buf));
}

int dentry_erase(struct index_txn *t, uint64_t dir, struct name name, const struct dentry *d)
{
	struct key by_name = key_name(dir, KEY_DENTRY, name.p, name.len);
	struct key by_cookie = key_number(dir, KEY_COOKIE, d->cookie);
	int err = index_del(t, &by_name);

	if (!err)
		err = index_del(t, &by_cookie);
	/* A name without its other half: the index is damaged, this is no answer to "is it there?". */
	return err == -ENOENT ? -EBADMSG : err;
}
