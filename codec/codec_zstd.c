/* The only file that calls libzstd; its errors become ours here.
 *
 * A context costs more to make than a small extent to compress, so each thread keeps its own. This
 * is the one state of the room that hangs off a file instead of a struct passed in: it holds no
 * facts, only memory, and two file systems in one process may share it. */
#include "codec/codec_zstd.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "conf/base.h"

struct codec_zstd {
	ZSTD_CCtx *cctx;
	ZSTD_DCtx *dctx;
	uint8_t *buf;
	size_t buf_len;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_err; /* written once, by make_key() */

/* This thread's. The key has it too, but only to free it at the thread's end. */
static _Thread_local struct codec_zstd *mine;

static void state_free(void *arg)
{
	struct codec_zstd *z = arg;

	ZSTD_freeCCtx(z->cctx);
	ZSTD_freeDCtx(z->dctx);
	free(z->buf);
	free(z);
	mine = NULL;
}

static void make_key(void)
{
	key_err = pthread_key_create(&key, state_free);
}

static struct codec_zstd *state(void)
{
	if (mine)
		return mine;
	pthread_once(&once, make_key);
	if (key_err)
		return NULL;
	mine = calloc(1, sizeof(*mine));
	if (mine && pthread_setspecific(key, mine)) {
		free(mine);
		mine = NULL;
	}
	return mine;
}

size_t codec_zstd_bound(size_t len)
{
	return ZSTD_compressBound(len);
}

int codec_zstd_pack(int level, const uint8_t *src, size_t len, uint8_t *dst, size_t room,
		    size_t *got)
{
	struct codec_zstd *z = state();
	size_t n;

	if (z && !z->cctx)
		z->cctx = ZSTD_createCCtx();
	if (!z || !z->cctx)
		return -ENOMEM;
	/* ZSTD_compressCCtx() takes the level and forgets all else: no setting outlives a call. */
	n = ZSTD_compressCCtx(z->cctx, dst, room, src, len, level);
	if (ZSTD_isError(n))
		return ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall ? -ENOSPC : -ENOMEM;
	*got = n;
	return 0;
}

int codec_zstd_unpack(const uint8_t *src, size_t len, uint8_t *raw, size_t raw_len)
{
	struct codec_zstd *z = state();
	size_t n;

	if (z && !z->dctx)
		z->dctx = ZSTD_createDCtx();
	if (!z || !z->dctx)
		return -ENOMEM;
	n = ZSTD_decompressDCtx(z->dctx, raw, raw_len, src, len);
	if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return -ENOMEM;
	return n == raw_len ? 0 : -EBADMSG;
}

uint8_t *codec_zstd_buffer(size_t len)
{
	struct codec_zstd *z = state();
	uint8_t *buf;

	if (!z)
		return NULL;
	if (z->buf_len >= len)
		return z->buf;
	buf = aligned_alloc(64, round_up(len, 64));
	free(z->buf);
	z->buf = buf;
	z->buf_len = buf ? len : 0;
	return buf;
}
