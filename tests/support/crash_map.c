/* Pages with a count of references: a write to a page that others refer to makes a copy first. So a clone of a whole
 * disk costs a pointer a page, and thousands of images of one workload share nearly everything. */
#include "tests/support/crash_map.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/base.h"

struct crash_page {
	atomic_uint refs;
	uint8_t data[CRASH_PAGE_LEN];
};

/* Allocated, never written: takes space, reads as zeros, and is no data to seek_data(). Not counted. */
static struct crash_page crash_unwritten;

void *crash_alloc(size_t len)
{
	void *p = calloc(1, len ? len : 1);

	if (!p) {
		perror("crash store");
		abort();
	}
	return p;
}

void *crash_grow(void *array, size_t nr, size_t *cap, size_t item_len)
{
	size_t want = MAX(*cap, (size_t)8);

	if (nr <= *cap)
		return array;
	while (want < nr)
		want *= 2;
	array = realloc(array, want * item_len);
	if (!array) {
		perror("crash store");
		abort();
	}
	memset((uint8_t *)array + *cap * item_len, 0, (want - *cap) * item_len);
	*cap = want;
	return array;
}

static struct crash_page *crash_page_get(struct crash_page *p)
{
	if (p && p != &crash_unwritten)
		atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

static void crash_page_put(struct crash_page *p)
{
	if (p && p != &crash_unwritten &&
	    atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		free(p);
}

static struct crash_page *crash_page_at(const struct crash_map *m, size_t idx)
{
	return idx < m->nr ? m->page[idx] : NULL;
}

static void crash_map_cover(struct crash_map *m, size_t nr)
{
	if (nr <= m->nr)
		return;
	m->page = crash_grow(m->page, nr, &m->cap, sizeof(struct crash_page *));
	m->nr = nr;
}

/* Takes over the caller's reference to @p. */
static void crash_map_set(struct crash_map *m, size_t idx, struct crash_page *p)
{
	if (!p && idx >= m->nr)
		return;
	crash_map_cover(m, idx + 1);
	m->nr_used += p != NULL;
	m->nr_used -= m->page[idx] != NULL;
	crash_page_put(m->page[idx]);
	m->page[idx] = p;
	while (m->nr > 0 && !m->page[m->nr - 1])
		m->nr--;
}

/* The page's bytes, nobody else's. */
static uint8_t *crash_map_own(struct crash_map *m, size_t idx)
{
	struct crash_page *p = crash_page_at(m, idx), *mine;

	if (p && p != &crash_unwritten && atomic_load_explicit(&p->refs, memory_order_acquire) == 1)
		return p->data;
	mine = malloc(sizeof(*mine));
	if (!mine)
		abort();
	atomic_init(&mine->refs, 1);
	if (p)
		memcpy(mine->data, p->data, CRASH_PAGE_LEN);
	else
		memset(mine->data, 0, CRASH_PAGE_LEN);
	crash_map_set(m, idx, mine);
	return mine->data;
}

void crash_map_fini(struct crash_map *m)
{
	for (size_t i = 0; i < m->nr; i++)
		crash_page_put(m->page[i]);
	free(m->page);
	*m = (struct crash_map){0};
}

void crash_map_copy(struct crash_map *dst, const struct crash_map *src)
{
	crash_map_cover(dst, src->nr);
	for (size_t i = 0; i < src->nr; i++)
		dst->page[i] = crash_page_get(src->page[i]);
	dst->nr_used = src->nr_used;
	dst->size = src->size;
}

void crash_map_write(struct crash_map *m, uint64_t off, const void *data, size_t len)
{
	const uint8_t *from = data;

	if (len > 0 && off + len > m->size)
		m->size = off + len;
	while (len > 0) {
		size_t at = off % CRASH_PAGE_LEN;
		size_t n = MIN(len, CRASH_PAGE_LEN - at);

		memcpy(crash_map_own(m, off / CRASH_PAGE_LEN) + at, from, n);
		from += n;
		off += n;
		len -= n;
	}
}

void crash_map_read(const struct crash_map *m, uint64_t off, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len > 0) {
		size_t at = off % CRASH_PAGE_LEN;
		size_t n = MIN(len, CRASH_PAGE_LEN - at);
		const struct crash_page *p = crash_page_at(m, off / CRASH_PAGE_LEN);

		if (p)
			memcpy(to, p->data + at, n);
		else
			memset(to, 0, n);
		to += n;
		off += n;
		len -= n;
	}
}

/* Zero part of one page, where there is one. */
static void crash_map_wipe(struct crash_map *m, uint64_t off, size_t len)
{
	struct crash_page *p = crash_page_at(m, off / CRASH_PAGE_LEN);

	if (len > 0 && p && p != &crash_unwritten)
		memset(crash_map_own(m, off / CRASH_PAGE_LEN) + off % CRASH_PAGE_LEN, 0, len);
}

void crash_map_punch(struct crash_map *m, uint64_t off, uint64_t len)
{
	uint64_t end = MIN(off + len, (uint64_t)m->nr * CRASH_PAGE_LEN);

	while (off < end) {
		size_t at = off % CRASH_PAGE_LEN;
		size_t n = MIN(end - off, CRASH_PAGE_LEN - at);

		if (n == CRASH_PAGE_LEN)
			crash_map_set(m, off / CRASH_PAGE_LEN, NULL);
		else
			crash_map_wipe(m, off, n);
		off += n;
	}
}

void crash_map_truncate(struct crash_map *m, uint64_t size)
{
	uint64_t end = (uint64_t)m->nr * CRASH_PAGE_LEN;

	if (size < end)
		crash_map_punch(m, size, end - size);
	m->size = size;
}

void crash_map_allocate(struct crash_map *m, uint64_t off, uint64_t len)
{
	size_t end = div_up(off + len, CRASH_PAGE_LEN);

	for (size_t i = off / CRASH_PAGE_LEN; i < end; i++) {
		if (!crash_page_at(m, i))
			crash_map_set(m, i, &crash_unwritten);
	}
}

void crash_map_share(struct crash_map *dst, const struct crash_map *src, uint64_t off, uint64_t len)
{
	size_t end = MIN(div_up(off + len, CRASH_PAGE_LEN), MAX(dst->nr, src->nr));

	for (size_t i = off / CRASH_PAGE_LEN; i < end; i++) {
		if (crash_page_at(dst, i) != crash_page_at(src, i))
			crash_map_set(dst, i, crash_page_get(crash_page_at(src, i)));
	}
}

size_t crash_map_need(const struct crash_map *m, uint64_t off, uint64_t len)
{
	size_t end = div_up(off + len, CRASH_PAGE_LEN), nr = 0;

	for (size_t i = off / CRASH_PAGE_LEN; i < end; i++)
		nr += !crash_page_at(m, i);
	return nr;
}

static bool crash_map_is_data(const struct crash_map *m, size_t idx)
{
	struct crash_page *p = crash_page_at(m, idx);

	return p && p != &crash_unwritten;
}

bool crash_map_seek(const struct crash_map *m, uint64_t off, uint64_t *start, uint64_t *end)
{
	size_t nr = MIN(m->nr, div_up(m->size, CRASH_PAGE_LEN));
	size_t first = off / CRASH_PAGE_LEN, last;

	while (first < nr && !crash_map_is_data(m, first))
		first++;
	if (first >= nr || off >= m->size)
		return false;
	last = first;
	while (last < nr && crash_map_is_data(m, last))
		last++;
	*start = MAX(off, (uint64_t)first * CRASH_PAGE_LEN);
	*end = MIN(m->size, (uint64_t)last * CRASH_PAGE_LEN);
	return true;
}

bool crash_map_same_page(const struct crash_map *a, const struct crash_map *b, uint64_t off)
{
	return crash_page_at(a, off / CRASH_PAGE_LEN) == crash_page_at(b, off / CRASH_PAGE_LEN);
}
