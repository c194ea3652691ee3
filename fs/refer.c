/* Open addressing with linear steps, at most half full. */
#include "fs/refer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/base.h"

#define CAP_MIN	 ((size_t)64)
#define CAP_KEPT ((size_t)4096) /* more is given back when the table is cleared */

static struct refer_slot *refer_slot(struct refer_slot *slot, size_t cap, uint64_t gen)
{
	/* Knuth's multiplicative hash, golden ratio */
	size_t i = (size_t)(gen * 0x9e3779b97f4a7c15ULL >> 32) & (cap - 1);

	while (slot[i].gen && slot[i].gen != gen)
		i = (i + 1) & (cap - 1);
	return &slot[i];
}

void refer_fini(struct refer *r)
{
	free(r->slot);
	*r = (struct refer){0};
}

void refer_clear(struct refer *r)
{
	if (r->cap > CAP_KEPT)
		refer_fini(r);
	else if (r->nr)
		memset(r->slot, 0, r->cap * sizeof(*r->slot));
	r->nr = 0;
}

int refer_room(struct refer *r, size_t nr)
{
	size_t cap = MAX(r->cap, CAP_MIN);
	struct refer_slot *slot;

	if (!nr || (r->nr + nr) * 2 <= r->cap)
		return 0;
	while ((r->nr + nr) * 2 > cap)
		cap *= 2;
	slot = calloc(cap, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < r->cap; i++)
		if (r->slot[i].gen)
			*refer_slot(slot, cap, r->slot[i].gen) = r->slot[i];
	free(r->slot);
	r->slot = slot;
	r->cap = cap;
	return 0;
}

void refer_add(struct refer *r, uint64_t gen, int change)
{
	struct refer_slot *s = refer_slot(r->slot, r->cap, gen);

	r->nr += s->gen == 0;
	s->gen = gen;
	s->change += change;
}

bool refer_find(const struct refer *r, uint64_t gen, int64_t *change)
{
	const struct refer_slot *s;

	if (!r->nr)
		return false;
	s = refer_slot(r->slot, r->cap, gen);
	if (s->gen)
		*change = s->change;
	return s->gen != 0;
}
