/* A bounded arena handed out in power-of-two pieces of whole pages (a buddy allocator).
 *
 * For dirty data it is a shared mapping of its own file in memory, so that a later daemon can find what a killed one
 * held. It is the whole budget: what does not fit is -ENOMEM for the caller to wait or to evict. Threads: any. */
#ifndef FS_ARENA_H
#define FS_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

#define ARENA_PIECE_MAX ((size_t)4 << 20)

/* @len is rounded up to a multiple of ARENA_PIECE_MAX. */
/* @shared: a mapping of a file in memory; else of memory of our own. */
int arena_new(uint64_t len, bool shared, struct arena **out);
void arena_free(struct arena *p);

/* @len at most ARENA_PIECE_MAX; NULL when there is no such piece free. The bytes are whatever was there. */
void *arena_take(struct arena *p, size_t len);
/* @len as it was taken. */
void arena_give(struct arena *p, void *piece, size_t len);
/* Bytes that arena_take() really takes for @len. */
size_t arena_piece_len(size_t len);

/* Wait until something was given back since @seen = arena_given(), or for @ms. */
uint64_t arena_given(struct arena *p);
void arena_wait(struct arena *p, uint64_t seen, unsigned ms);

/* Give the system the memory of free pieces that were used; they are zeros when they are taken again. Slow, and with
 * the arena locked; returns the bytes. */
uint64_t arena_trim(struct arena *p);

uint64_t arena_used(const struct arena *p); /* bytes taken */
uint64_t arena_len(const struct arena *p);
void *arena_mem(const struct arena *p); /* its first byte, for who has to know all of it */

#endif
