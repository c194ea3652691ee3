/* A slicing expression and the head of an array. What is taken leads to places within the array only, and to a head that
 * is read as it was meant.
 *
 * The input: the expression, a NUL, and the beginning of a .npy file. */
#include <stdlib.h>
#include <string.h>

#include "conf/base.h"
#include "fs/slice_expr.h"
#include "fs/slice_map.h"
#include "fs/slice_npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void fuzz_run(const struct npy_head *h, const struct slice_map *m, uint64_t off,
		     uint64_t max)
{
	struct slice_run run;
	uint64_t n = slice_map_run(m, off, max, &run), from, to;

	must(n >= 1 && n <= max && n == run.len * run.nr);
	slice_run_hull(&run, &from, &to);
	must(from >= h->start && from < to && to <= h->start + h->len);
}

static void fuzz_map(const struct npy_head *h, const struct slice_pick *pick)
{
	struct slice_map *m;

	if (slice_map_new(h, pick, &m))
		exit(1);
	must(m->len <= h->len);
	for (unsigned i = 0; m->len && i < 64; i++) {
		uint64_t off = i < 60 ? m->len / 60 * i : m->len - 1 - (m->len - 1) % i;

		fuzz_run(h, m, off, m->len - off);
		fuzz_run(h, m, off, 1 + (m->len - off - 1) % (i + 1));
	}
	free(m);
}

static void fuzz_head(const struct npy_head *h, const struct slice_pick *pick)
{
	struct npy_head again;
	uint8_t *head;
	size_t len;

	if (slice_npy_head(h, pick, &head, &len))
		exit(1);
	must(len % 64 == 0);
	must(!npy_parse(head, len, &again));
	must(again.start == len && again.nr_dims == pick->nr && again.item == h->item);
	for (unsigned i = 0; i < pick->nr; i++)
		must(again.dim[i] == pick->out[i].count);
	must(again.descr_len == h->descr_len && !memcmp(again.descr, h->descr, h->descr_len));
	free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *end = len ? memchr(data, 0, len) : NULL;
	struct slice_pick pick;
	struct slice_expr e;
	struct npy_head h;
	char said[200];
	const struct why why = {.buf = said, .len = sizeof(said)};
	size_t n = end ? (size_t)(end - data) : len;

	if (slice_expr_parse((const char *)data, n, &e, &why) || !end)
		return 0;
	if (npy_parse(end + 1, len - n - 1, &h) ||
	    slice_expr_resolve(&e, h.dim, h.nr_dims, &pick, &why))
		return 0;
	fuzz_map(&h, &pick);
	fuzz_head(&h, &pick);
	return 0;
}
