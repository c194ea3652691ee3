/* The bytes of a file of the disk in memory, in pages that are shared between files until one of them writes.
 *
 * Threads: one per map; maps that share pages may be in different threads. Out of memory aborts: this is for tests. */
#ifndef SUPPORT_CRASH_MAP_H
#define SUPPORT_CRASH_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRASH_PAGE_LEN	 ((size_t)4096)
#define CRASH_SECTOR_LEN ((size_t)512) /* what a disk writes whole */

struct crash_page;

struct crash_map {
	struct crash_page **page; /* NULL: a hole */
	size_t nr, cap;
	size_t nr_used; /* pages that take space */
	uint64_t size;	/* bytes; space may be allocated behind it */
};

/* An all-zero map is an empty file. */
void crash_map_fini(struct crash_map *m);
void crash_map_copy(struct crash_map *dst, const struct crash_map *src); /* @dst is empty */

void crash_map_write(struct crash_map *m, uint64_t off, const void *data, size_t len);
/* Bytes behind the size read as zeros. */
void crash_map_read(const struct crash_map *m, uint64_t off, void *buf, size_t len);
void crash_map_punch(struct crash_map *m, uint64_t off, uint64_t len);
void crash_map_truncate(struct crash_map *m, uint64_t size);
void crash_map_allocate(struct crash_map *m, uint64_t off, uint64_t len);
/* Make @dst's pages of the range those of @src. The size stays. */
void crash_map_share(struct crash_map *dst, const struct crash_map *src, uint64_t off,
		     uint64_t len);

/* Pages that a write or an allocation there would add. */
size_t crash_map_need(const struct crash_map *m, uint64_t off, uint64_t len);
/* The next range of pages that were written. False: none. */
bool crash_map_seek(const struct crash_map *m, uint64_t off, uint64_t *start, uint64_t *end);
bool crash_map_same_page(const struct crash_map *a, const struct crash_map *b, uint64_t off);

/* malloc and friends that abort. */
void *crash_alloc(size_t len); /* zeroed */
void *crash_grow(void *array, size_t nr, size_t *cap, size_t item_len);

#endif
