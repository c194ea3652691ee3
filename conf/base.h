/* The few things every file needs: scope-bound cleanup, sizes, arithmetic. */
#ifndef CONF_BASE_H
#define CONF_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define KIB (1024ULL)
#define MIB (1024ULL * KIB)
#define GIB (1024ULL * MIB)

/* Everything on a shard is aligned to this: page size, O_DIRECT block, and what punching frees. */
#define BLOCK_LEN ((size_t)4096)

/* Shards of one volume, at most. A set of shards is a bit mask in a uint64_t. */
#define SHARD_MAX 64

#define ARRAY_LEN(a)			(sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Either side is evaluated once; the counter keeps the names of nested uses apart. */
#define BASE_JOIN(a, b) a##b
#define BASE_NAME(a, b) BASE_JOIN(a, b)
#define BASE_PICK(a, b, op, x, y)                                                                  \
	({                                                                                         \
		__typeof__(a) x = (a);                                                             \
		__typeof__(b) y = (b);                                                             \
		x op y ? x : y;                                                                    \
	})
#define MIN(a, b) BASE_PICK(a, b, <, BASE_NAME(min_a, __COUNTER__), BASE_NAME(min_b, __COUNTER__))
#define MAX(a, b) BASE_PICK(a, b, >, BASE_NAME(max_a, __COUNTER__), BASE_NAME(max_b, __COUNTER__))

/* @align is a power of two; the caller knows that @n + @align does not overflow. */
static inline uint64_t round_up(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}

static inline uint64_t round_down(uint64_t n, uint64_t align)
{
	return n & ~(align - 1);
}

static inline uint64_t div_up(uint64_t n, uint64_t d)
{
	return n / d + (n % d != 0);
}

static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static inline uint64_t mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline void base_free(void *p)
{
	free(*(void **)p);
}

static inline void base_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Freed, or closed, when the variable goes out of scope. */
#define AUTO_FREE __attribute__((cleanup(base_free)))
#define AUTO_FD	  __attribute__((cleanup(base_close)))

/* Take the value out of a variable that would clean it up. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) take_p = (p);                                                        \
		(p) = NULL;                                                                        \
		take_p;                                                                            \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int take_fd = (fd);                                                                \
		(fd) = -1;                                                                         \
		take_fd;                                                                           \
	})

#endif
