/* Arrays are kept in the order in which their heads were read. A file of more arrays than are kept
 * (safetensors) has neighbours of one kind merged by head.c; where that does not suffice, the oldest
 * go: a file is mostly written from its beginning to its end. */
#include "codec/codec_file.h"

#include <string.h>

#include "conf/base.h"
#include "conf/lock.h"

#define ARRAYS_KEPT 32u

struct codec_file {
	struct lock lock;
	struct head_array *array; /* room for ARRAYS_KEPT, NULL before the first; guarded by lock,
				   * as all below */
	unsigned nr;
	bool seen;     /* the first bytes */
	uint64_t next; /* where the next head is expected; 0: nowhere */
	struct codec_notes notes;
};

struct codec_file *codec_file_new(void)
{
	struct codec_file *f = calloc(1, sizeof(*f));

	if (f)
		lock_init(&f->lock);
	return f;
}

void codec_file_free(struct codec_file *f)
{
	if (!f)
		return;
	lock_fini(&f->lock);
	free(f->array);
	free(f);
}

static void keep(struct codec_file *f, const struct head_array *a, unsigned nr)
{
	unsigned drop = f->nr + nr > ARRAYS_KEPT ? f->nr + nr - ARRAYS_KEPT : 0;

	if (!nr)
		return;
	if (!f->array)
		f->array = calloc(ARRAYS_KEPT, sizeof(*a));
	/* Without memory nothing is known, as with other files. */
	if (!f->array)
		return;
	memmove(f->array, f->array + drop, (f->nr - drop) * sizeof(*a));
	f->nr -= drop;
	memcpy(f->array + f->nr, a, nr * sizeof(*a));
	f->nr += nr;
}

bool codec_learn(struct codec_file *f, uint64_t off, const uint8_t *bytes, size_t len)
{
	struct head_array found[ARRAYS_KEPT];
	uint64_t at = off, next;
	unsigned nr;
	bool told = false;

	if (!f)
		return false;
	lock_take(&f->lock);
	if (off == 0) {
		/* The file begins anew. */
		f->nr = 0;
		f->seen = true;
		f->next = 0;
		f->notes = (struct codec_notes){0};
	} else {
		at = f->next;
	}
	while (at >= off && at - off < len && (at || !off)) {
		nr = head_find(bytes + (at - off), len - (size_t)(at - off), at, found, ARRAYS_KEPT,
			       &next);
		keep(f, found, nr);
		told |= nr > 0;
		/* Heads stand one behind the other. */
		f->next = next > at ? next : 0;
		at = f->next;
		if (!at)
			break;
	}
	lock_release(&f->lock);
	return told;
}

bool codec_file_seen(struct codec_file *f)
{
	bool seen;

	lock_take(&f->lock);
	seen = f->seen;
	lock_release(&f->lock);
	return seen;
}

/* Bytes that @a has of [off, end). */
static uint64_t share(const struct head_array *a, uint64_t off, uint64_t end)
{
	uint64_t from = MAX(a->start, off), to = MIN(a->end, end);

	return to > from ? to - from : 0;
}

void codec_file_recall(struct codec_file *f, uint64_t off, size_t len, struct head_array *array,
		       struct codec_notes *notes)
{
	uint64_t most = 0, start = 0, end = off + len;

	*array = (struct head_array){.width = 0};
	*notes = (struct codec_notes){.nr = 0};
	if (!f)
		return;
	lock_take(&f->lock);
	for (unsigned i = 0; i < f->nr; i++) {
		uint64_t n = share(&f->array[i], off, end);

		if (n > most) {
			most = n;
			*array = f->array[i];
		}
	}
	/* A head before the first item does not make a file of other bytes. */
	if (most < len / 2)
		*array = (struct head_array){.width = 0};
	start = array->width ? array->start : 0;
	if (f->notes.start == start)
		*notes = f->notes;
	notes->start = start;
	lock_release(&f->lock);
}

void codec_file_note(struct codec_file *f, const struct codec_notes *notes)
{
	if (!f)
		return;
	lock_take(&f->lock);
	f->notes = *notes;
	lock_release(&f->lock);
}
