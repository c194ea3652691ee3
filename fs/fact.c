/* Facts about a file's data, made when asked for. */
#include "fs/fact.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/base.h"
#include "fs/extent.h"
#include "fs/file.h"

/* What is looked at for the heads of arrays. */
#define HEAD_LEN (64 * KIB)

/* Map entries looked at for the ratio, at most: all of a file of 16 GiB in full extents; of longer ones so many, evenly
 * spread. A few milliseconds. */
#define RATIO_ENTRIES 16384u

/* ---- ratio ---- */

static int ratio_sum(struct index_txn *t, uint64_t ino, uint64_t size, double *raw, double *stored)
{
	uint64_t step = size / RATIO_ENTRIES, off = 0;
	struct map_entry m;
	struct extent e;
	int err;

	*raw = *stored = 0;
	while (!(err = extent_find(t, ino, off, &m))) {
		err = extent_load(t, m.gen, &e);
		if (err)
			return err == -ENOENT ? -EIO : err;
		*raw += m.len;
		/* Of an extent that is shared or was overwritten in part, the same part of what it takes. */
		*stored += (double)e.loc.len * m.len / e.owner.raw_len;
		off = MAX(m.off + m.len, off + step);
	}
	return err == -ENOENT ? 0 : err;
}

static int fact_ratio(struct inode *in, char *buf, size_t *len)
{
	struct index_txn *t;
	double raw, stored;
	struct attr a;
	int err;

	inode_attr(in, &a);
	err = index_read(in->fs->index, &t);
	if (err)
		return err;
	err = ratio_sum(t, in->ino, a.size, &raw, &stored);
	index_read_end(t);
	if (err)
		return err;
	/* Bytes that the index holds, or none at all: what they are is what they take. */
	*len = (size_t)snprintf(buf, FACT_TEXT_LEN, "%.2f", stored > 0 ? raw / stored : 1.0);
	return 0;
}

/* ---- the first array ---- */

static int first_array(const uint8_t *bytes, size_t len, struct head_array *out)
{
	struct head_array found[4];
	uint64_t next;

	if (!len || !head_find(bytes, len, 0, found, ARRAY_LEN(found), &next))
		return -ENODATA;
	*out = found[0];
	return 0;
}

static int fact_array(struct inode *in, struct head_array *out)
{
	AUTO_FREE uint8_t *bytes = malloc(HEAD_LEN);
	struct file_read r;
	size_t at = 0;
	int err;

	if (!bytes)
		return -ENOMEM;
	err = file_peek(in, 0, HEAD_LEN, &r);
	if (err)
		return err;
	for (unsigned i = 0; i < r.nr; i++) {
		memcpy(bytes + at, r.iov[i].iov_base, r.iov[i].iov_len);
		at += r.iov[i].iov_len;
	}
	file_read_done(in->fs, &r);
	return first_array(bytes, at, out);
}

static int fact_dtype(struct inode *in, char *buf, size_t *len)
{
	struct head_array a;
	int err = fact_array(in, &a);

	if (!err)
		*len = head_dtype_text(&a, buf);
	return err ? err : *len ? 0 : -ENODATA;
}

static int fact_shape(struct inode *in, char *buf, size_t *len)
{
	struct head_array a;
	int err = fact_array(in, &a);

	if (!err)
		*len = head_shape_text(&a, buf);
	return err ? err : *len ? 0 : -ENODATA;
}

/* ---- all of them ---- */

static const struct fact {
	const char *name;
	int (*get)(struct inode *in, char *buf, size_t *len);
} facts[] = {
	{"user.matfs.ratio", fact_ratio},
	{"user.matfs.dtype", fact_dtype},
	{"user.matfs.shape", fact_shape},
};

static const struct fact *fact_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		if (strcmp(facts[i].name, name) == 0)
			return &facts[i];
	}
	return NULL;
}

bool fact_is(const char *name)
{
	return fact_find(name) != NULL;
}

int fact_get(struct inode *in, const char *name, char buf[FACT_TEXT_LEN], size_t *len)
{
	struct attr a;

	inode_attr(in, &a);
	if (!S_ISREG(a.mode))
		return -ENODATA;
	return fact_find(name)->get(in, buf, len);
}
