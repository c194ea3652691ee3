/* How a file's data is to be compressed: the mount's setting, unless its attribute user.matfs.codec says otherwise.
 *
 * The attribute of a directory is copied to what is made in it. Its values are "auto", "none" and "zstd", and "auto:N"
 * and "zstd:N" with a level of their own. Threads: any. */
#ifndef FS_CODEC_POLICY_H
#define FS_CODEC_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/codec.h"

struct inode;
struct op;

#define POLICY_XATTR	"user.matfs.codec"
#define POLICY_TEXT_LEN 16

/* As the attribute says it. */
struct policy {
	bool set; /* there is one */
	enum codec_mode mode;
	int level; /* CODEC_LEVEL_MIN to _MAX; 0: the mount's */
};

/* @text need not end with a NUL. -EINVAL: no policy. */
int codec_policy_parse(const char *text, size_t len, struct policy *out);
/* The text of one that is set. Returns its length. */
size_t codec_policy_format(const struct policy *p, char buf[POLICY_TEXT_LEN]);

/* What @in's data is to be encoded with now. What cannot be read is not there: the mount's setting then. */
struct codec_opts codec_policy_of(struct inode *in);

/* ---- inside an op ---- */

/* The attribute of @in, edited, is about to change: what is known of it is forgotten. */
void codec_policy_changed(struct inode *in);
/* A new file or directory @ino takes over what its @parent has. */
int codec_policy_inherit(struct op *op, uint64_t parent, uint64_t ino);

#endif
