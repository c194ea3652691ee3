/* A run's steps, and the state before the first: enough to have the state before any other. */
#include <assert.h>

#include "tests/support/crash_disk.h"

struct crash_journal {
	struct crash_state *base; /* before the first step */
	uint64_t begin;
	struct crash_steps steps;
	struct lock lock;	     /* guards cursor */
	struct crash_cursor *cursor; /* crash_image_at()'s, or NULL */
};

struct crash_cursor {
	const struct crash_journal *journal;
	struct crash_state *state; /* before step @at */
	uint64_t at;
};

struct crash_journal *crash_journal_new(const struct crash_state *state, uint64_t begin)
{
	struct crash_journal *j = crash_alloc(sizeof(*j));

	j->base = crash_state_clone(state);
	j->begin = begin;
	lock_init(&j->lock);
	return j;
}

void crash_journal_free(struct crash_journal *j)
{
	if (j->cursor)
		crash_cursor_free(j->cursor);
	crash_state_free(j->base);
	crash_steps_fini(&j->steps);
	lock_fini(&j->lock);
	free(j);
}

void crash_journal_add(struct crash_journal *j, struct crash_step *st)
{
	crash_steps_add(&j->steps, crash_step_get(st));
}

uint64_t crash_journal_begin(const struct crash_journal *j)
{
	return j->begin;
}

uint64_t crash_journal_end(const struct crash_journal *j)
{
	return j->begin + j->steps.nr;
}

const struct crash_step *crash_journal_step(const struct crash_journal *j, uint64_t step)
{
	assert(step >= j->begin && step < crash_journal_end(j));
	return j->steps.v[step - j->begin];
}

struct crash_cursor *crash_cursor_new(const struct crash_journal *j)
{
	struct crash_cursor *c = crash_alloc(sizeof(*c));

	c->journal = j;
	c->state = crash_state_clone(j->base);
	c->at = j->begin;
	return c;
}

void crash_cursor_free(struct crash_cursor *c)
{
	crash_state_free(c->state);
	free(c);
}

static void crash_cursor_go(struct crash_cursor *c, uint64_t step)
{
	const struct crash_journal *j = c->journal;

	assert(step >= j->begin && step <= crash_journal_end(j));
	if (step < c->at) {
		crash_state_free(c->state);
		c->state = crash_state_clone(j->base);
		c->at = j->begin;
	}
	for (; c->at < step; c->at++)
		crash_apply(c->state, j->steps.v[c->at - j->begin]);
}

struct crash_disk *crash_cursor_image(struct crash_cursor *c, uint64_t step, uint64_t seed)
{
	const struct crash_journal *j = c->journal;
	struct crash_step *in_flight;

	crash_cursor_go(c, step);
	in_flight = step < crash_journal_end(j) ? j->steps.v[step - j->begin] : NULL;
	return crash_disk_from(crash_resolve(c->state, in_flight, seed), seed);
}

struct crash_disk *crash_cursor_killed(struct crash_cursor *c, uint64_t step)
{
	crash_cursor_go(c, step);
	return crash_disk_from(crash_state_clone(c->state), step);
}

struct crash_disk *crash_image_at(struct crash_journal *j, uint64_t step, uint64_t seed)
{
	struct crash_disk *d;

	lock_take(&j->lock);
	if (!j->cursor)
		j->cursor = crash_cursor_new(j);
	d = crash_cursor_image(j->cursor, step, seed);
	lock_release(&j->lock);
	return d;
}
