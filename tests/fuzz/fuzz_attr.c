/* Attribute records and directory entries: what is taken must mean the same when written again. */
#include <stdlib.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/dentry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_attr(const uint8_t *data, size_t len)
{
	uint8_t again[ATTR_LEN];
	struct attr a;
	struct stat st;

	if (attr_get(data, len, &a))
		return;
	attr_put(&a, again);
	if (len != ATTR_LEN || memcmp(again, data, len) != 0)
		abort();
	attr_stat(1, &a, 1 << 20, &st);
}

static void fuzz_dentry(const uint8_t *data, size_t len)
{
	uint8_t again[DENTRY_LEN];
	struct dentry d;

	if (dentry_get(data, len, &d))
		return;
	dentry_put(&d, again);
	if (len != DENTRY_LEN || memcmp(again, data, len) != 0)
		abort();
}

static void fuzz_cookie(const uint8_t *data, size_t len)
{
	uint8_t again[DENTRY_COOKIE_MAX];
	struct dentry d;
	struct name name;

	if (dentry_cookie_get(data, len, &d, &name))
		return;
	if (!dentry_name_valid(name) || dentry_cookie_put(&d, name, again) != len ||
	    memcmp(again, data, len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_attr(data, len);
	fuzz_dentry(data, len);
	fuzz_cookie(data, len);
	return 0;
}
