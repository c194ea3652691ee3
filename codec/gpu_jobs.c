/* Lists of jobs. */
#include "codec/gpu_jobs.h"

#include <stddef.h>

void gpu_jobs_init(struct gpu_jobs *l)
{
	l->first = NULL;
	l->end = &l->first;
}

void gpu_jobs_add(struct gpu_jobs *l, struct gpu_job *j)
{
	j->next = NULL;
	*l->end = j;
	l->end = &j->next;
}

void gpu_jobs_add_first(struct gpu_jobs *l, struct gpu_job *j)
{
	j->next = l->first;
	if (!l->first)
		l->end = &j->next;
	l->first = j;
}

void gpu_jobs_move(struct gpu_jobs *l, struct gpu_jobs *from)
{
	if (!from->first)
		return;
	*l->end = from->first;
	l->end = from->end;
	gpu_jobs_init(from);
}

struct gpu_job *gpu_jobs_take(struct gpu_jobs *l)
{
	struct gpu_job *j = l->first;

	if (!j)
		return NULL;
	l->first = j->next;
	if (!l->first)
		l->end = &l->first;
	j->next = NULL;
	return j;
}

void gpu_jobs_answer(struct gpu_jobs *l, int err)
{
	struct gpu_job *j;

	while ((j = gpu_jobs_take(l))) {
		j->err = err;
		j->done(j);
	}
}
