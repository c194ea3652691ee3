/* A buddy allocator: a free piece of order n is 2^n pages, aligned to its length; two free buddies make one of order
 * n + 1. The lists of free pieces are kept beside the arena, not in it, so that free pages stay untouched. */
#include "fs/arena.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "conf/base.h"
#include "conf/lock.h"

#define PAGE_LEN ((size_t)4096)
#define ORDERS	 11 /* 4 KiB to 4 MiB */
/* Shorter free pieces are not worth a system call. */
#define TRIM_ORDER 3
#define NONE	   UINT32_MAX

_Static_assert(PAGE_LEN << (ORDERS - 1) == ARENA_PIECE_MAX,
	       "the highest order is the largest piece");

struct arena {
	uint8_t *mem;
	uint64_t len;
	struct lock lock;
	struct cond given_cond;
	uint64_t given; /* pieces given back, ever; guarded by lock */
	atomic_uint_fast64_t used;
	uint32_t head
		[ORDERS]; /* first free piece of each order, as a page number; guarded by lock */
	uint32_t *next, *prev; /* a page each; guarded by lock */
	int8_t *order; /* of the free piece that begins at this page, else -1; guarded by lock */
	bool *used_piece; /* a page each: a free piece that begins there may have memory; guarded by lock */
	bool shared;
};

static unsigned arena_order(size_t len)
{
	unsigned order = 0;

	while (PAGE_LEN << order < len)
		order++;
	return order;
}

size_t arena_piece_len(size_t len)
{
	return PAGE_LEN << arena_order(len);
}

static void arena_push_locked(struct arena *p, uint32_t page, unsigned order, bool used)
{
	p->used_piece[page] = used;
	p->order[page] = (int8_t)order;
	p->prev[page] = NONE;
	p->next[page] = p->head[order];
	if (p->head[order] != NONE)
		p->prev[p->head[order]] = page;
	p->head[order] = page;
}

static void arena_unlink_locked(struct arena *p, uint32_t page)
{
	if (p->prev[page] != NONE)
		p->next[p->prev[page]] = p->next[page];
	else
		p->head[p->order[page]] = p->next[page];
	if (p->next[page] != NONE)
		p->prev[p->next[page]] = p->prev[page];
	p->order[page] = -1;
}

/* The cache's memory is ours alone and so may have huge pages in most systems: a fresh megabyte then costs a fault or
 * two instead of 256, which was a third of the time of a cold read. */
static void *arena_map(uint64_t len, bool shared)
{
	AUTO_FD int fd = -1;
	void *mem;

	if (shared) {
		fd = memfd_create("matfs-pool", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, (off_t)len))
			return MAP_FAILED;
	}
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
		   (shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS) | MAP_NORESERVE, fd, 0);
	/* Where the system allows them; no matter where not. */
	if (mem != MAP_FAILED)
		madvise(mem, len, MADV_HUGEPAGE);
	return mem;
}

int arena_new(uint64_t len, bool shared, struct arena **out)
{
	AUTO_FREE struct arena *p = calloc(1, sizeof(*p));
	uint64_t pages;
	int err = 0;

	if (!p)
		return -ENOMEM;
	p->len = round_up(MAX(len, (uint64_t)ARENA_PIECE_MAX), ARENA_PIECE_MAX);
	pages = p->len / PAGE_LEN;
	if (pages >= NONE)
		return -EINVAL;
	p->mem = arena_map(p->len, shared);
	if (p->mem == MAP_FAILED)
		return -errno;
	p->next = malloc(pages * sizeof(*p->next));
	p->prev = malloc(pages * sizeof(*p->prev));
	p->order = malloc(pages);
	p->used_piece = calloc(pages, sizeof(*p->used_piece));
	p->shared = shared;
	if (!p->next || !p->prev || !p->order || !p->used_piece) {
		err = -ENOMEM;
		goto free_arrays;
	}
	memset(p->order, -1, pages);
	for (unsigned i = 0; i < ORDERS; i++)
		p->head[i] = NONE;
	for (uint64_t page = pages; page; page -= 1U << (ORDERS - 1))
		arena_push_locked(p, (uint32_t)(page - (1U << (ORDERS - 1))), ORDERS - 1, false);
	lock_init(&p->lock);
	cond_init(&p->given_cond);
	*out = TAKE_PTR(p);
	return 0;

free_arrays:
	free(p->next);
	free(p->prev);
	free(p->order);
	free(p->used_piece);
	munmap(p->mem, p->len);
	return err;
}

void arena_free(struct arena *p)
{
	if (!p)
		return;
	munmap(p->mem, p->len);
	cond_fini(&p->given_cond);
	lock_fini(&p->lock);
	free(p->next);
	free(p->prev);
	free(p->order);
	free(p->used_piece);
	free(p);
}

void *arena_take(struct arena *p, size_t len)
{
	unsigned want = arena_order(len), order = want;
	uint32_t page;
	bool used;

	assert(len && len <= ARENA_PIECE_MAX);
	lock_take(&p->lock);
	while (order < ORDERS && p->head[order] == NONE)
		order++;
	if (order == ORDERS) {
		lock_release(&p->lock);
		return NULL;
	}
	page = p->head[order];
	used = p->used_piece[page];
	arena_unlink_locked(p, page);
	while (order > want) {
		order--;
		arena_push_locked(p, page + (1U << order), order, used);
	}
	lock_release(&p->lock);
	atomic_fetch_add(&p->used, PAGE_LEN << want);
	return p->mem + page * PAGE_LEN;
}

void arena_give(struct arena *p, void *piece, size_t len)
{
	unsigned order = arena_order(len);
	uint32_t page = (uint32_t)((size_t)((uint8_t *)piece - p->mem) / PAGE_LEN);

	atomic_fetch_sub(&p->used, PAGE_LEN << order);
	lock_take(&p->lock);
	assert(p->order[page] < 0);
	while (order < ORDERS - 1) {
		uint32_t buddy = page ^ (1U << order);

		if (p->order[buddy] != (int8_t)order)
			break;
		arena_unlink_locked(p, buddy);
		page = MIN(page, buddy);
		order++;
	}
	arena_push_locked(p, page, order, true);
	p->given++;
	cond_broadcast(&p->given_cond);
	lock_release(&p->lock);
}

uint64_t arena_trim(struct arena *p)
{
	uint64_t trimmed = 0;

	lock_take(&p->lock);
	for (unsigned order = TRIM_ORDER; order < ORDERS; order++) {
		for (uint32_t page = p->head[order]; page != NONE; page = p->next[page]) {
			if (!p->used_piece[page])
				continue;
			if (madvise(p->mem + page * PAGE_LEN, PAGE_LEN << order,
				    p->shared ? MADV_REMOVE : MADV_DONTNEED))
				continue;
			p->used_piece[page] = false;
			trimmed += PAGE_LEN << order;
		}
	}
	lock_release(&p->lock);
	return trimmed;
}

uint64_t arena_given(struct arena *p)
{
	uint64_t n;

	lock_take(&p->lock);
	n = p->given;
	lock_release(&p->lock);
	return n;
}

void arena_wait(struct arena *p, uint64_t seen, unsigned ms)
{
	uint64_t deadline = mono_ns() + ms * 1000000ULL;

	lock_take(&p->lock);
	while (p->given == seen)
		if (cond_wait_until(&p->given_cond, &p->lock, deadline))
			break;
	lock_release(&p->lock);
}

uint64_t arena_used(const struct arena *p)
{
	return atomic_load(&p->used);
}

uint64_t arena_len(const struct arena *p)
{
	return p->len;
}

void *arena_mem(const struct arena *p)
{
	return p->mem;
}
