/* A bounded arena handed out in power-of-two pieces of whole pages (a buddy allocator).
 *
 * It is a shared mapping of its own file in memory, so that a later daemon can find what a killed one held, and it is
 * the whole budget: what does not fit is -ENOMEM for the caller to wait or to evict. Threads: any. */
#ifndef FS_POOL_H
#define FS_POOL_H

#include <stddef.h>
#include <stdint.h>

struct pool;

#define POOL_PIECE_MAX ((size_t)4 << 20)

/* @len is rounded up to a multiple of POOL_PIECE_MAX. */
int pool_new(uint64_t len, struct pool **out);
void pool_free(struct pool *p);

/* @len at most POOL_PIECE_MAX; NULL when there is no such piece free. The bytes are whatever was there. */
void *pool_take(struct pool *p, size_t len);
/* @len as it was taken. */
void pool_give(struct pool *p, void *piece, size_t len);
/* Bytes that pool_take() really takes for @len. */
size_t pool_piece_len(size_t len);

/* Wait until something was given back since @seen = pool_given(), or for @ms. */
uint64_t pool_given(struct pool *p);
void pool_wait(struct pool *p, uint64_t seen, unsigned ms);

uint64_t pool_used(const struct pool *p); /* bytes taken */
uint64_t pool_len(const struct pool *p);

#endif
