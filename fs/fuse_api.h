/* libfuse's low-level API, of whichever version is there: 3.14 (Debian 12) or 3.18 and later.
 * Include this, never <fuse_lowlevel.h>. */
#ifndef FS_FUSE_API_H
#define FS_FUSE_API_H

#include <stdbool.h>
#include <stdint.h>

/* Says which version it is since 3.17. */
#include <libfuse_config.h>

#if defined(FUSE_MAJOR_VERSION) && FUSE_MAJOR_VERSION * 100 + FUSE_MINOR_VERSION >= 318
#define FUSE_USE_VERSION 318
#else
#define FUSE_USE_VERSION 314
#endif

#include <fuse_lowlevel.h>

/* O_TMPFILE, statx(2)'s time of birth, and direct writes side by side. */
#define FUSE_API_NEW (FUSE_VERSION >= 318)

/* fi->kill_suidgid. Before it, a handler could not learn that a write has to clear setuid and setgid, so there the
 * kernel goes on doing that, by an attribute request of its own. */
#define FUSE_API_KILLPRIV (FUSE_VERSION > 318 || (FUSE_VERSION == 318 && FUSE_HOTFIX_VERSION >= 3))

/* What the kernel offers, asked for; false: it does not. */
static inline bool fuse_api_want(struct fuse_conn_info *conn, uint64_t cap)
{
#if FUSE_API_NEW
	return fuse_set_feature_flag(conn, cap);
#else
	if (!(conn->capable & cap))
		return false;
	conn->want |= (unsigned)cap;
	return true;
#endif
}

static inline void fuse_api_unwant(struct fuse_conn_info *conn, uint64_t cap)
{
#if FUSE_API_NEW
	fuse_unset_feature_flag(conn, cap);
#else
	conn->want &= ~(unsigned)cap;
#endif
}

#endif
