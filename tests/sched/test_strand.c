/* Strands: order and mutual exclusion, whoever posts, however fast. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/base.h"
#include "sched/worker.h"

#define NR_STRANDS 32
#define NR_POSTERS 4
#define NR_JOBS	   4000 /* of each poster on each strand */

struct line {
	struct strand strand;
	unsigned
		nr_inside; /* not atomic, nor next[]: only their strand's jobs touch them, one at a time */
	unsigned next[NR_POSTERS]; /* number of the job that comes next, for each poster */
	unsigned nr_wrong;
};

struct line_job {
	struct job job;
	struct line *line;
	unsigned poster;
	unsigned number;
};

static void line_run(struct job *job)
{
	struct line_job *j = container_of(job, struct line_job, job);
	struct line *line = j->line;

	if (line->nr_inside++)
		line->nr_wrong++;
	if (line->next[j->poster]++ != j->number)
		line->nr_wrong++;
	line->nr_inside--;
	free(j);
}

static void line_post(struct line *line, unsigned poster, unsigned number)
{
	struct line_job *j = malloc(sizeof(*j));

	assert_non_null(j);
	*j = (struct line_job){
		.job.run = line_run, .line = line, .poster = poster, .number = number};
	strand_post(&line->strand, &j->job);
}

struct poster {
	struct line *lines;
	unsigned idx;
};

static void *post_many(void *arg)
{
	struct poster *p = arg;

	for (unsigned number = 0; number < NR_JOBS; number++) {
		for (unsigned i = 0; i < NR_STRANDS; i++)
			line_post(&p->lines[i], p->idx, number);
		if (number % 128 == 0)
			usleep(100); /* let strands fall idle, too */
	}
	return NULL;
}

static void strands_keep_order_under_stress(void **state)
{
	struct line *lines = calloc(NR_STRANDS, sizeof(*lines));
	struct poster posters[NR_POSTERS];
	pthread_t threads[NR_POSTERS];
	struct worker_pool *pool;

	(void)state;
	assert_non_null(lines);
	assert_int_equal(worker_pool_new(5, &pool), 0);
	for (unsigned i = 0; i < NR_STRANDS; i++)
		strand_init(&lines[i].strand, pool, i);
	for (unsigned i = 0; i < NR_POSTERS; i++) {
		posters[i] = (struct poster){.lines = lines, .idx = i};
		assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
	}
	for (unsigned i = 0; i < NR_POSTERS; i++)
		pthread_join(threads[i], NULL);
	worker_pool_free(pool);
	for (unsigned i = 0; i < NR_STRANDS; i++) {
		assert_int_equal(lines[i].nr_wrong, 0);
		for (unsigned j = 0; j < NR_POSTERS; j++)
			assert_int_equal(lines[i].next[j], NR_JOBS);
		assert_true(strand_idle(&lines[i].strand));
	}
	free(lines);
}

/* A job that posts the next one on its own strand, as a state machine would. */
struct chain_job {
	struct job job;
	struct strand *strand;
	unsigned left;
	bool was_idle;
};

static void chain_run(struct job *job)
{
	struct chain_job *c = container_of(job, struct chain_job, job);

	c->was_idle |= strand_idle(c->strand);
	if (c->left && --c->left)
		strand_post(c->strand, &c->job);
}

static void strand_jobs_may_post_on_their_strand(void **state)
{
	struct worker_pool *pool;
	struct strand strand;
	struct chain_job chain = {.job.run = chain_run, .strand = &strand, .left = 10000};
	struct worker_stat stat;

	(void)state;
	assert_int_equal(worker_pool_new(1, &pool), 0);
	strand_init(&strand, pool, 7);
	assert_true(strand_idle(&strand));
	strand_post(&strand, &chain.job);
	while (!strand_idle(&strand))
		usleep(1000);
	assert_int_equal(chain.left, 0);
	assert_false(chain.was_idle);
	worker_stat_get(pool, 0, &stat);
	assert_int_equal(stat.nr_jobs, 10000);
	worker_pool_free(pool);
}

struct flag_job {
	struct job job;
	atomic_bool *stop;
	unsigned *nr_runs;
	unsigned at; /* value of *nr_runs when it ran */
};

static void flag_run(struct job *job)
{
	struct flag_job *f = container_of(job, struct flag_job, job);

	f->at = *f->nr_runs;
	atomic_store(f->stop, true);
}

struct loop_job {
	struct job job;
	struct strand *strand;
	atomic_bool *stop;
	atomic_bool *begun;
	unsigned *nr_runs;
};

static void loop_run(struct job *job)
{
	struct loop_job *l = container_of(job, struct loop_job, job);

	(*l->nr_runs)++;
	atomic_store(l->begun, true);
	if (!atomic_load(l->stop))
		strand_post(l->strand, &l->job);
}

/* A strand that never falls idle must let others on the same worker run. */
static void a_hot_strand_does_not_starve_its_worker(void **state)
{
	struct worker_pool *pool;
	atomic_bool stop = false, begun = false;
	unsigned nr_runs = 0;
	struct strand hot, cold;
	struct loop_job loop = {.job.run = loop_run,
				.strand = &hot,
				.stop = &stop,
				.begun = &begun,
				.nr_runs = &nr_runs};
	struct flag_job flag = {.job.run = flag_run, .stop = &stop, .nr_runs = &nr_runs};

	(void)state;
	assert_int_equal(worker_pool_new(1, &pool), 0);
	strand_init(&hot, pool, 1);
	strand_init(&cold, pool, 2);
	strand_post(&hot, &loop.job);
	while (!atomic_load(&begun))
		usleep(100);
	strand_post(&cold, &flag.job);
	/* Would not end, were the flag never run. */
	worker_pool_free(pool);
	assert_true(atomic_load(&stop));
	assert_true(nr_runs >= flag.at);
	assert_true(flag.at > 0);
}

/* The owner frees a strand as soon as strand_idle(): under asan nobody may touch it after that. */
static void an_idle_strand_may_be_freed(void **state)
{
	struct worker_pool *pool;

	(void)state;
	assert_int_equal(worker_pool_new(2, &pool), 0);
	for (unsigned i = 0; i < 5000; i++) {
		struct line *line = calloc(1, sizeof(*line));

		assert_non_null(line);
		strand_init(&line->strand, pool, i);
		line_post(line, 0, 0);
		line_post(line, 0, 1);
		while (!strand_idle(&line->strand))
			sched_yield();
		assert_int_equal(line->next[0], 2);
		assert_int_equal(line->nr_wrong, 0);
		free(line);
	}
	worker_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strands_keep_order_under_stress),
		cmocka_unit_test(strand_jobs_may_post_on_their_strand),
		cmocka_unit_test(a_hot_strand_does_not_starve_its_worker),
		cmocka_unit_test(an_idle_strand_may_be_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
