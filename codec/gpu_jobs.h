/* Lists of jobs, first in, first out. Not to be copied when empty: they point to themselves.
 * Threads: one at a time. */
#ifndef CODEC_GPU_JOBS_H
#define CODEC_GPU_JOBS_H

#include "codec/gpu.h"

struct gpu_jobs {
	struct gpu_job *first, **end;
};

void gpu_jobs_init(struct gpu_jobs *l);
void gpu_jobs_add(struct gpu_jobs *l, struct gpu_job *j);
void gpu_jobs_add_first(struct gpu_jobs *l, struct gpu_job *j);
/* Append all of @from, which is empty then. */
void gpu_jobs_move(struct gpu_jobs *l, struct gpu_jobs *from);
struct gpu_job *gpu_jobs_take(struct gpu_jobs *l); /* NULL: empty */

/* Answer all of @l with @err. No lock is held. */
void gpu_jobs_answer(struct gpu_jobs *l, int err);

#endif
