/* The pseudo-files as the kernel sees them; what they say is stats.c's. */
#include "fs/ops_stats.h"

#include <fcntl.h>
#include <string.h>

#include "conf/base.h"
#include "fs/stats.h"

static const struct {
	const char *name;
	fuse_ino_t ino;
	enum report_form form;
} files[] = {
	{".stats", UINT64_MAX - 1, REPORT_TEXT},
	{".stats.json", UINT64_MAX - 2, REPORT_JSON},
};

bool ops_stats_is(fuse_ino_t ino)
{
	return ino >= UINT64_MAX - ARRAY_LEN(files);
}

fuse_ino_t ops_stats_find(fuse_ino_t parent, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(files) && parent == FUSE_ROOT_ID; i++) {
		if (strcmp(files[i].name, name) == 0)
			return files[i].ino;
	}
	return 0;
}

void ops_stats_attr(fuse_ino_t ino, struct stat *st)
{
	struct timespec now = inode_now();

	*st = (struct stat){
		.st_ino = ino,
		.st_mode = S_IFREG | 0444,
		.st_nlink = 1,
		.st_uid = geteuid(),
		.st_gid = getegid(),
		.st_blksize = BLOCK_LEN,
		.st_atim = now,
		.st_mtim = now,
		.st_ctim = now,
	};
}

int ops_stats_reply_entry(fuse_req_t req, fuse_ino_t ino)
{
	struct fuse_entry_param e = {
		.ino = ino,
		.generation = 1,
		.entry_timeout = OPS_TIMEOUT_S,
	};

	ops_stats_attr(ino, &e.attr);
	fuse_reply_entry(req, &e);
	return 0;
}

int ops_stats_reply_attr(fuse_req_t req, fuse_ino_t ino)
{
	struct stat st;

	ops_stats_attr(ino, &st);
	fuse_reply_attr(req, &st, 0);
	return 0;
}

int ops_stats_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops_file *f;
	int err;

	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC)
		return -EPERM;
	err = ops_file_new(ops_of(req), NULL, &f);
	if (err)
		return err;
	err = stats_make(ops_of(req), files[UINT64_MAX - 1 - ino].form, &f->text, &f->text_len);
	if (!err) {
		fi->fh = (uintptr_t)f;
		/* Read by us whatever size the kernel takes it to have. */
		fi->direct_io = 1;
		fi->noflush = 1;
		if (!fuse_reply_open(req, fi))
			return 0;
	}
	ops_file_free(f);
	return err;
}

int ops_stats_read(fuse_req_t req, const struct ops_file *f, size_t len, off_t off)
{
	size_t at = (uint64_t)off < f->text_len ? (size_t)off : f->text_len;
	size_t n = MIN(len, f->text_len - at);
	/* Of its own: the file may be closed before the reply returns. */
	AUTO_FREE char *part = malloc(n + 1);

	if (!part)
		return -ENOMEM;
	memcpy(part, f->text + at, n);
	fuse_reply_buf(req, part, n);
	return 0;
}
