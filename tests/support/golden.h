/* Files that hold a format as its first version wrote it, for ever: tests/raid/golden and the like.
 * Failed asserts of cmocka end the test. */
#ifndef SUPPORT_GOLDEN_H
#define SUPPORT_GOLDEN_H

#include <stddef.h>

/* The file @name (below TEST_SRC_DIR of the test, so @dir is passed by it) has just these bytes. Where MATFS_GOLDEN_OUT
 * names a directory they are also written there, to become the golden file of a new version. */
void golden_check(const char *dir, const char *name, const void *bytes, size_t len);

#endif
