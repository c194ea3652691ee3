/* The image of a checkpoint, in pieces whose length the first byte gives: whatever comes, an error or an index. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "conf/base.h"
#include "fs/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char dir[256];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_dir(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/matfs-fuzz-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		abort();
	atexit(remove_dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct checkpoint_loader *l;
	struct index *x;
	size_t step;
	int err = 0;

	if (!len)
		return 0;
	if (!*dir)
		make_dir();
	if (index_open(dir, 256 * MIB, true, &x) || checkpoint_loader_new(x, &l))
		abort();
	step = 1 + *data;
	for (size_t at = 1; !err && at < len; at += step)
		err = checkpoint_loader_feed(l, data + at, MIN(step, len - at));
	checkpoint_loader_end(l);
	index_close(x, false);
	return 0;
}
