/* Golden files. */
#include "tests/support/golden.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void write_out(const char *dir, const char *name, const void *bytes, size_t len)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

void golden_check(const char *dir, const char *name, const void *bytes, size_t len)
{
	const char *out = getenv("MATFS_GOLDEN_OUT");
	char path[PATH_MAX];
	uint8_t *buf = malloc(len + 1);
	FILE *f;

	assert_non_null(buf);
	if (out)
		write_out(out, name, bytes, len);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("no golden file %s", path);
	assert_int_equal(fread(buf, 1, len + 1, f), len);
	assert_memory_equal(buf, bytes, len);
	fclose(f);
	free(buf);
}
