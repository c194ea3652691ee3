/* Records of the log: what is no record is refused, what is leaves an index that fsck and the walkers can read. The
 * first byte says whether they are applied as a batch or loaded as an image. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "conf/base.h"
#include "fs/fsck.h"
#include "fs/index.h"

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

static void say(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

/* One index for all inputs: making one takes longer than most inputs do. */
static struct index *empty_index(void)
{
	static struct index *x;
	struct key first = {.len = 1};
	struct index_cursor *c;
	struct index_val k, v;
	struct index_txn *t;

	if (!x) {
		make_dir();
		if (index_open(dir, 256 * MIB, true, &x))
			abort();
	}
	if (index_begin(x, &t) || index_cursor_open(t, &c))
		abort();
	while (!index_seek(c, &first, &k, &v)) {
		struct key key = {.len = (uint16_t)k.len};

		memcpy(key.b, k.p, k.len);
		if (index_del(t, &key))
			abort();
	}
	index_cursor_close(c);
	if (index_commit(t, NULL))
		abort();
	return x;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fsck_params p = {.say = say};
	struct fsck_result out;
	struct index_txn *t;
	struct index *x;
	size_t n;
	int err;

	if (!len)
		return 0;
	x = empty_index();
	if (index_begin(x, &t))
		abort();
	record_len(data + 1, len - 1, &n);
	err = (*data & 1 ? index_load : index_apply)(t, data + 1, len - 1);
	if (err)
		index_abort(t);
	else if (index_commit(t, NULL) || fsck_index(x, &p, &out))
		abort();
	return 0;
}
