/* The policy of a file is read from the index when its first extent is written, and kept with the inode. As an op holds
 * the inode's lock until its change is in the index, whoever reads it under that lock reads the newest. */
#include "fs/codec_policy.h"

#include <stdio.h>
#include <string.h>

#include "conf/base.h"
#include "fs/op.h"

static const struct {
	const char *name;
	enum codec_mode mode;
	bool levels;
} modes[] = {
	{"auto", CODEC_AUTO, true},
	{"none", CODEC_NONE, false},
	{"zstd", CODEC_ZSTD, true},
};

static int codec_policy_level(const char *text, size_t len, int *out)
{
	int level = 0;

	/* No sign, no leading zero: one way to write each. */
	if (len < 1 || len > 2 || text[0] == '0')
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		level = level * 10 + (text[i] - '0');
	}
	if (level < CODEC_LEVEL_MIN || level > CODEC_LEVEL_MAX)
		return -EINVAL;
	*out = level;
	return 0;
}

int codec_policy_parse(const char *text, size_t len, struct policy *out)
{
	const char *colon = len ? memchr(text, ':', len) : NULL;
	size_t name_len = colon ? (size_t)(colon - text) : len;

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct policy p = {.set = true, .mode = modes[i].mode};

		if (name_len != strlen(modes[i].name) || memcmp(text, modes[i].name, name_len) != 0)
			continue;
		if (colon && (!modes[i].levels ||
			      codec_policy_level(colon + 1, len - name_len - 1, &p.level)))
			return -EINVAL;
		*out = p;
		return 0;
	}
	return -EINVAL;
}

size_t codec_policy_format(const struct policy *p, char buf[POLICY_TEXT_LEN])
{
	const char *name = "";

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (modes[i].mode == p->mode)
			name = modes[i].name;
	}
	if (p->level)
		return (size_t)snprintf(buf, POLICY_TEXT_LEN, "%s:%d", name, p->level);
	return (size_t)snprintf(buf, POLICY_TEXT_LEN, "%s", name);
}

static struct key codec_policy_key(uint64_t ino)
{
	return key_name(ino, KEY_XATTR, POLICY_XATTR, strlen(POLICY_XATTR));
}

/* False: it cannot be read just now. */
static bool codec_policy_load(struct inode *in, struct policy *out)
{
	struct key key = codec_policy_key(in->ino);
	struct index_txn *t;
	struct index_val v;
	int err;

	*out = (struct policy){.set = false};
	if (index_read(in->fs->index, &t))
		return false;
	err = index_get(t, &key, &v);
	if (!err)
		codec_policy_parse((const char *)v.p, v.len, out);
	index_read_end(t);
	return !err || err == -ENOENT;
}

struct codec_opts codec_policy_of(struct inode *in)
{
	struct codec_opts opts = in->fs->p.codec;

	lock_take(&in->lock);
	if (!in->codec_policy_known)
		in->codec_policy_known = codec_policy_load(in, &in->policy);
	if (in->policy.set) {
		opts.mode = in->policy.mode;
		opts.level = in->policy.level ? in->policy.level : opts.level;
	}
	lock_release(&in->lock);
	return opts;
}

void codec_policy_changed(struct inode *in)
{
	in->codec_policy_known = false;
}

int codec_policy_inherit(struct op *op, uint64_t parent, uint64_t ino)
{
	struct key from = codec_policy_key(parent), to = codec_policy_key(ino);
	char text[POLICY_TEXT_LEN];
	struct index_val v;
	struct policy p;
	size_t len;
	int err = index_get(op->txn, &from, &v);

	if (err)
		return err == -ENOENT ? 0 : err;
	/* One that this program cannot read is not spread. */
	if (codec_policy_parse((const char *)v.p, v.len, &p))
		return 0;
	len = codec_policy_format(&p, text);
	return index_put(op->txn, &to, text, len);
}
