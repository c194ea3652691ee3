/* The host's side of GPUs, over the emulated one: every job is answered once, whatever fails. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "codec/cuda/gpu_emulated.h"
#include "conf/log.h"
#include "tests/codec/gpu_test.h"

#define MS UINT64_C(1000000)

struct fixture {
	struct gpu_emulated e;
	struct gpu_params p;
	struct gpu *g;
	struct gpu_wait w;
	char text[128];
};

static void begin(struct fixture *f, unsigned nr_devices)
{
	memset(f, 0, sizeof(*f));
	gpu_emulated_init(&f->e, nr_devices);
	f->e.by = GPU_BY_CPU;
	f->p = (struct gpu_params){.driver = &gpu_emulated_driver,
				   .driver_arg = &f->e,
				   .batch_len = GPU_RAW_MAX,
				   .deadline_ns = 20000 * MS,
				   .rest_ns = 5 * MS,
				   .rest_max_ns = 40 * MS};
	gpu_wait_init(&f->w);
}

static int open_gpu(struct fixture *f)
{
	struct why why = {f->text, sizeof(f->text)};

	return gpu_open(&f->p, &f->g, &why);
}

static void end(struct fixture *f)
{
	if (f->g)
		gpu_close(f->g);
	assert_int_equal(f->e.nr_open, 0);
	gpu_emulated_fini(&f->e);
	gpu_wait_fini(&f->w);
}

/* Give up after 20 s: the machine may be busy. */
static void await_ready(struct gpu *g, bool ready)
{
	for (unsigned i = 0; i < 20000 && gpu_ready(g) != ready; i++)
		usleep(1000);
	assert_int_equal(gpu_ready(g), ready);
}

static void fill_case(struct gpu_case *c, struct gpu_wait *w, size_t len, struct rng *r)
{
	static const struct filter delta = {.id = FILTER_DELTA, .width = 4, .dist = 1, .order = 1};

	gpu_case_init(c, w, len, &delta, (unsigned)rng_below(r, 4));
	gpu_fill_walk(c->raw, len, 4, c->job.phase, false, r);
	snprintf(c->what, sizeof(c->what), "len %zu", len);
}

/* Submit @nr small jobs and wait. Returns how many came back with @err, or, where that is -EIO, found
 * the device retired already; all others came back well, with the right bytes. */
static unsigned run_some(struct fixture *f, unsigned nr, int err, struct rng *r)
{
	struct gpu_case *c = calloc(nr, sizeof(*c));
	unsigned nr_failed = 0;

	assert_non_null(c);
	for (unsigned i = 0; i < nr; i++)
		fill_case(&c[i], &f->w, 100 + rng_below(r, 300), r);
	for (unsigned i = 0; i < nr; i++)
		gpu_case_submit(f->g, &c[i]);
	gpu_wait_for(&f->w);
	for (unsigned i = 0; i < nr; i++) {
		assert_int_equal(c[i].nr_done, 1);
		if (err && (c[i].job.err == err || (err == -EIO && c[i].job.err == -ENODEV)))
			nr_failed++;
		else
			gpu_case_check(&c[i]);
		gpu_case_fini(&c[i]);
	}
	free(c);
	return nr_failed;
}

static void no_device_is_a_normal_answer(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, 0);
	assert_int_equal(open_gpu(&f), -ENODEV);
	assert_string_equal(f.text, "no GPU, or no driver for it");
	gpu_emulated_plan(&f.e, GPU_CALL_COUNT, GPU_FAULT_ERROR, 1, false);
	assert_int_equal(open_gpu(&f), -ENODEV);
	f.e.nr_devices = 1;
	gpu_emulated_plan(&f.e, GPU_CALL_OPEN, GPU_FAULT_ERROR, 1, true);
	assert_int_equal(open_gpu(&f), -ENODEV);
	assert_string_equal(f.text, "cannot be opened: no such device");
	f.p.batch_len = GPU_RAW_MAX - 1;
	assert_int_equal(open_gpu(&f), -EINVAL);
	end(&f);
}

static void a_program_without_a_gpu_starts(void **state)
{
	struct gpu_params p = {.batch_len = GPU_RAW_MAX};
	struct gpu *g = NULL;
	char text[128] = "";
	struct why why = {text, sizeof(text)};
	int err = gpu_open(&p, &g, &why);

	(void)state;
	if (!err) {
		gpu_close(g);
		return;
	}
	assert_int_equal(err, -ENODEV);
	assert_true(strlen(text) > 0);
}

static void jobs_come_back_once_and_right(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct fixture f;
	struct gpu_stat s;

	(void)state;
	begin(&f, 1);
	f.p.verify_every = 10;
	assert_int_equal(open_gpu(&f), 0);
	assert_int_equal(run_some(&f, 100, 0, &r), 0);
	gpu_stats(f.g, 0, &s);
	assert_int_equal(s.state, GPU_READY);
	assert_string_equal(s.name, "emulated 0");
	assert_int_equal(s.jobs, 100);
	assert_int_equal(s.verified, 10);
	assert_int_equal(s.queued, 0);
	assert_true(s.stored_bytes > 0 && s.raw_bytes > 0);
	assert_true(s.rate > 0);
	end(&f);
}

static void an_extent_of_the_longest_kind_fits(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct fixture f;
	struct gpu_case c;

	(void)state;
	begin(&f, 1);
	assert_int_equal(open_gpu(&f), 0);
	for (unsigned phase = 0; phase < 2; phase++) {
		const struct filter none = {.width = 8};

		/* Constant, to be quick. */
		gpu_case_init(&c, &f.w, GPU_RAW_MAX, &none, 7 * phase);
		memset(c.raw, 1, GPU_RAW_MAX);
		c.raw[12345] = 3;
		c.raw[GPU_RAW_MAX - 1] = 4;
		gpu_case_submit(f.g, &c);
		gpu_wait_for(&f.w);
		gpu_case_check(&c);
		gpu_case_fini(&c);
	}
	assert_int_equal(run_some(&f, 3, 0, &r), 0);
	end(&f);
}

static void what_does_not_fit_is_said(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct fixture f;
	struct gpu_case c[20];

	(void)state;
	begin(&f, 1);
	assert_int_equal(open_gpu(&f), 0);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		fill_case(&c[i], &f.w, 1000, &r);
		if (i % 2)
			c[i].job.dst_room = 20;
		gpu_case_submit(f.g, &c[i]);
	}
	gpu_wait_for(&f.w);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		if (i % 2)
			assert_int_equal(c[i].job.err, -ENOSPC);
		else
			gpu_case_check(&c[i]);
		gpu_case_fini(&c[i]);
	}
	end(&f);
}

static void bad_jobs_are_refused(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct gpu_try tries[GPU_TRIES_MAX + 1];
	struct fixture f;
	struct gpu_case c;

	(void)state;
	begin(&f, 1);
	assert_int_equal(open_gpu(&f), 0);
	for (unsigned i = 0; i < ARRAY_LEN(tries); i++)
		tries[i] = (struct gpu_try){.filter = {.width = 1}};
	for (unsigned bad = 0; bad < 7; bad++) {
		fill_case(&c, &f.w, 100, &r);
		switch (bad) {
		case 0:
			c.job.raw_len = 0;
			break;
		case 1:
			c.job.raw_len = GPU_RAW_MAX + 1;
			break;
		case 2:
			c.job.filter.width = 3;
			break;
		case 3:
			c.job.filter.dist = 0;
			break;
		case 4:
			c.job.phase = 4;
			break;
		case 5:
			c.job.tries = tries;
			c.job.nr_tries = ARRAY_LEN(tries);
			break;
		default:
			c.job.tries = tries;
			c.job.nr_tries = 1;
			c.job.phase = 8;
			break;
		}
		gpu_case_submit(f.g, &c);
		gpu_wait_for(&f.w);
		assert_int_equal(c.job.err, -EINVAL);
		assert_int_equal(c.nr_done, 1);
		gpu_case_fini(&c);
	}
	end(&f);
}

static void pinned_bytes_are_not_copied_by_the_cpu(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct fixture f;
	struct gpu_case c;
	uint8_t *pool = malloc(1 << 16), *own;
	size_t other;

	(void)state;
	begin(&f, 1);
	assert_int_equal(open_gpu(&f), 0);
	/* The bounce buffer is pinned, so without one, other memory shows. */
	f.e.pinnable = 1;
	assert_int_equal(gpu_register(f.g, pool, 1 << 16), 0);
	for (unsigned i = 0; i < 3; i++) {
		fill_case(&c, &f.w, 1000, &r);
		own = c.raw;
		/* Inside; beyond the end by some bytes. */
		if (i != 1) {
			memcpy(pool + 65000, c.raw, 500);
			c.job.raw = pool + 65000;
			c.job.raw_len = 500;
		}
		if (i == 2)
			gpu_unregister(f.g, pool);
		other = f.e.bytes_other_in;
		gpu_case_submit(f.g, &c);
		gpu_wait_for(&f.w);
		gpu_case_check(&c);
		assert_int_equal(f.e.bytes_other_in - other, i == 0 ? 0 : c.job.raw_len);
		c.raw = own;
		gpu_case_fini(&c);
	}
	end(&f);
	free(pool);
}

static void little_memory_makes_small_batches(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct fixture f;
	struct gpu_stat s;

	(void)state;
	begin(&f, 1);
	f.p.batch_len = 64 * MIB;
	f.e.memory = 150 * MIB;
	assert_int_equal(open_gpu(&f), 0);
	gpu_stats(f.g, 0, &s);
	assert_int_equal(s.batch_len, 8 * MIB);
	assert_int_equal(run_some(&f, 20, 0, &r), 0);
	gpu_close(f.g);
	f.g = NULL;
	f.e.memory = 2 * MIB;
	assert_int_equal(open_gpu(&f), -ENODEV);
	assert_string_equal(f.text, "cannot be opened: no memory");
	end(&f);
}

struct submitter {
	struct fixture *f;
	struct gpu_case c[150];
	pthread_t thread;
	uint64_t seed;
};

static void *submit_all(void *arg)
{
	struct submitter *s = arg;
	struct rng r = {s->seed};

	for (unsigned i = 0; i < ARRAY_LEN(s->c); i++) {
		gpu_case_submit(s->f->g, &s->c[i]);
		if (rng_below(&r, 30) == 0)
			usleep((useconds_t)rng_below(&r, 500));
	}
	return NULL;
}

static void many_jobs_from_many_threads(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct submitter s[3];
	struct fixture f;
	struct gpu_stat stat;
	uint64_t jobs = 0;

	(void)state;
	begin(&f, 2);
	f.e.by = GPU_BY_NOBODY;
	f.e.slow_ns = MS / 2;
	assert_int_equal(open_gpu(&f), 0);
	for (unsigned t = 0; t < ARRAY_LEN(s); t++) {
		s[t].f = &f;
		s[t].seed = rng_next(&r);
		for (unsigned i = 0; i < ARRAY_LEN(s[t].c); i++)
			fill_case(&s[t].c[i], &f.w, 20000, &r);
	}
	for (unsigned t = 0; t < ARRAY_LEN(s); t++)
		pthread_create(&s[t].thread, NULL, submit_all, &s[t]);
	for (unsigned t = 0; t < ARRAY_LEN(s); t++)
		pthread_join(s[t].thread, NULL);
	gpu_wait_for(&f.w);
	for (unsigned t = 0; t < ARRAY_LEN(s); t++)
		for (unsigned i = 0; i < ARRAY_LEN(s[t].c); i++) {
			assert_int_equal(s[t].c[i].nr_done, 1);
			assert_int_equal(s[t].c[i].job.err, -ENOSPC);
			gpu_case_fini(&s[t].c[i]);
		}
	for (unsigned i = 0; i < 2; i++) {
		gpu_stats(f.g, i, &stat);
		assert_true(stat.jobs > 0);
		assert_int_equal(stat.queued, 0);
		jobs += stat.jobs;
	}
	assert_int_equal(jobs, ARRAY_LEN(s) * ARRAY_LEN(s[0].c));
	end(&f);
}

static void closing_answers_what_is_queued(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct gpu_case c[300];
	struct fixture f;

	(void)state;
	begin(&f, 1);
	f.e.by = GPU_BY_NOBODY;
	f.e.slow_ns = 5 * MS;
	assert_int_equal(open_gpu(&f), 0);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		fill_case(&c[i], &f.w, 100000, &r);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		gpu_case_submit(f.g, &c[i]);
	gpu_close(f.g);
	f.g = NULL;
	assert_int_equal(f.w.left, 0);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		assert_int_equal(c[i].job.err, -ENOSPC);
		gpu_case_fini(&c[i]);
	}
	end(&f);
}

/* A job that, when it is done, submits the next. */
struct chain {
	struct gpu_case c;
	struct gpu *g;
	unsigned left;
};

static void chain_done(struct gpu_job *j)
{
	struct chain *ch = container_of(container_of(j, struct gpu_case, job), struct chain, c);

	if (--ch->left)
		gpu_submit(ch->g, j);
	else
		gpu_case_done(j);
}

static void done_may_submit(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct chain ch = {.left = 10};
	struct fixture f;

	(void)state;
	begin(&f, 1);
	assert_int_equal(open_gpu(&f), 0);
	fill_case(&ch.c, &f.w, 200, &r);
	ch.g = f.g;
	ch.c.job.done = chain_done;
	gpu_case_submit(f.g, &ch.c);
	gpu_wait_for(&f.w);
	assert_int_equal(ch.left, 0);
	gpu_case_check(&ch.c);
	gpu_case_fini(&ch.c);
	end(&f);
}

/* ---- faults ---- */

/* Lines with @part in them since the last log_note(@mark). */
static unsigned count_lines(const char *mark, const char *part)
{
	static char buf[1 << 16];
	const char *at = buf, *next;
	unsigned nr = 0;

	log_recent(buf, sizeof(buf));
	while ((next = strstr(at, mark)))
		at = next + 1;
	while ((at = strstr(at, part))) {
		nr++;
		at++;
	}
	return nr;
}

/* The nth call of its kind fails; then, once that is over, all is well. */
static void check_call_fails(enum gpu_emulated_call call, enum gpu_emulated_fault fault,
			     unsigned nth, struct rng *r)
{
	struct fixture f;
	int err;

	begin(&f, 1);
	gpu_emulated_plan(&f.e, call, fault, nth, false);
	err = open_gpu(&f);
	if (err) {
		assert_int_equal(err, -ENODEV);
		assert_null(f.g);
		end(&f);
		return;
	}
	for (unsigned i = 0; i < 3; i++) {
		run_some(&f, 3, -EIO, r);
		await_ready(f.g, true);
	}
	gpu_emulated_heal(&f.e);
	assert_int_equal(run_some(&f, 3, 0, r), 0);
	end(&f);
}

static void any_call_may_fail(void **state)
{
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (unsigned call = GPU_CALL_OPEN; call <= GPU_CALL_LAUNCH; call++) {
		check_call_fails((enum gpu_emulated_call)call, GPU_FAULT_ERROR, 1, &r);
		for (unsigned i = 0; i < 3; i++)
			check_call_fails((enum gpu_emulated_call)call,
					 rng_below(&r, 2) ? GPU_FAULT_ERROR : GPU_FAULT_LOST,
					 1 + (unsigned)rng_below(&r, 9), &r);
	}
}

static void a_failing_device_rests_and_comes_back(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct gpu_stat s;
	struct fixture f;
	unsigned nr;

	(void)state;
	begin(&f, 1);
	/* Long enough to be seen resting on a busy machine. */
	f.p.rest_ns = f.p.rest_max_ns = 300 * MS;
	assert_int_equal(open_gpu(&f), 0);
	log_note("%s", __func__);
	gpu_emulated_plan(&f.e, GPU_CALL_LAUNCH, GPU_FAULT_LOST, 1, false);
	assert_int_equal(run_some(&f, 1, -EIO, &r), 1);
	gpu_stats(f.g, 0, &s);
	assert_int_equal(s.state, GPU_RETIRED);
	assert_int_equal(s.errors, 1);
	assert_int_equal(s.retirements, 1);
	assert_string_equal(s.reason, "sending a batch: device error");
	assert_false(gpu_ready(f.g));
	assert_true(gpu_expected_ns(f.g, 1) == UINT64_MAX);
	assert_int_equal(run_some(&f, 2, -ENODEV, &r), 2);
	await_ready(f.g, true);
	assert_int_equal(count_lines(__func__, "the CPU encodes"), 1);
	nr = gpu_emulated_calls(&f.e, GPU_CALL_OPEN);
	assert_int_equal(nr, 2);
	assert_int_equal(run_some(&f, 5, 0, &r), 0);
	end(&f);
}

static void rests_get_longer(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct fixture f;
	struct gpu_stat s;
	unsigned nr;
	uint64_t begin_ns, took;

	(void)state;
	begin(&f, 1);
	f.p.rest_ns = 4 * MS;
	f.p.rest_max_ns = 64 * MS;
	assert_int_equal(open_gpu(&f), 0);
	log_note("%s", __func__);
	gpu_emulated_plan(&f.e, GPU_CALL_LAUNCH, GPU_FAULT_ERROR, 1, false);
	assert_int_equal(run_some(&f, 1, -EIO, &r), 1);
	gpu_emulated_plan(&f.e, GPU_CALL_OPEN, GPU_FAULT_ERROR, 1, true);
	begin_ns = mono_ns();
	do {
		usleep(20000);
		nr = gpu_emulated_calls(&f.e, GPU_CALL_OPEN) - 1;
		took = mono_ns() - begin_ns;
	} while (nr < 8 && took < 20000 * MS);
	assert_int_equal(nr >= 8, true);
	/* 4, 8, 16, 32, 64, 64 ... ms */
	assert_true(nr <= 5 + took / (64 * MS));
	gpu_stats(f.g, 0, &s);
	assert_string_equal(s.reason, "cannot be opened: no such device");
	assert_int_equal(s.retirements, 1);
	assert_int_equal(count_lines(__func__, "the CPU encodes"), 1);
	gpu_emulated_heal(&f.e);
	await_ready(f.g, true);
	assert_int_equal(run_some(&f, 2, 0, &r), 0);
	end(&f);
}

static void nonsense_from_the_device_is_found(void **state)
{
	static const struct {
		enum gpu_emulated_fault fault;
		const char *reason;
	} kinds[] = {
		{GPU_FAULT_BYTES, "a batch's result: encodes other bytes than the CPU"},
		{GPU_FAULT_LENGTHS, "a batch's result: device error"},
		{GPU_FAULT_PLACE, "a batch's result: device error"},
	};
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
		struct fixture f;
		struct gpu_stat s;

		begin(&f, 1);
		f.p.verify_every = 1;
		assert_int_equal(open_gpu(&f), 0);
		assert_int_equal(run_some(&f, 3, 0, &r), 0);
		gpu_emulated_plan(&f.e, GPU_CALL_LAUNCH, kinds[k].fault, 1, false);
		assert_int_equal(run_some(&f, 1, -EIO, &r), 1);
		gpu_stats(f.g, 0, &s);
		assert_string_equal(s.reason, kinds[k].reason);
		await_ready(f.g, true);
		assert_int_equal(run_some(&f, 3, 0, &r), 0);
		end(&f);
	}
}

static void a_filter_nobody_asked_for_is_found(void **state)
{
	struct rng r = rng_seeded(__func__);
	const struct gpu_try try = {.filter = {.width = 4}};
	struct fixture f;
	struct gpu_case c;

	(void)state;
	begin(&f, 1);
	assert_int_equal(open_gpu(&f), 0);
	gpu_emulated_plan(&f.e, GPU_CALL_LAUNCH, GPU_FAULT_WAY, 1, false);
	fill_case(&c, &f.w, 100, &r);
	c.job.tries = &try;
	c.job.nr_tries = 1;
	gpu_case_submit(f.g, &c);
	gpu_wait_for(&f.w);
	assert_int_equal(c.job.err, -EIO);
	gpu_case_fini(&c);
	end(&f);
}

static void a_hang_ends_at_the_deadline(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct fixture f;
	struct gpu_stat s;

	(void)state;
	begin(&f, 1);
	f.p.deadline_ns = 400 * MS;
	assert_int_equal(open_gpu(&f), 0);
	gpu_emulated_plan(&f.e, GPU_CALL_LAUNCH, GPU_FAULT_HANG, 1, false);
	assert_int_equal(run_some(&f, 1, -EIO, &r), 1);
	gpu_stats(f.g, 0, &s);
	assert_string_equal(s.reason, "a batch: no progress");
	await_ready(f.g, true);
	assert_int_equal(run_some(&f, 3, 0, &r), 0);
	end(&f);
}

/* The thread sits in the driver. */
static void a_stuck_driver_loses_its_jobs(void **state)
{
	static const enum gpu_emulated_call calls[] = {GPU_CALL_COPY_IN, GPU_CALL_COPY_OUT,
						       GPU_CALL_LAUNCH};
	struct rng r = rng_seeded(__func__);

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(calls); k++) {
		struct fixture f;
		struct gpu_stat s;

		begin(&f, 1);
		f.p.deadline_ns = 400 * MS;
		assert_int_equal(open_gpu(&f), 0);
		gpu_emulated_plan(&f.e, calls[k], GPU_FAULT_STUCK, 1, false);
		assert_int_equal(run_some(&f, 1, -EIO, &r), 1);
		assert_false(gpu_ready(f.g));
		gpu_stats(f.g, 0, &s);
		assert_string_equal(s.reason, "the driver does not return");
		assert_int_equal(run_some(&f, 2, -ENODEV, &r), 2);
		gpu_emulated_release(&f.e);
		await_ready(f.g, true);
		assert_int_equal(run_some(&f, 3, 0, &r), 0);
		end(&f);
	}
}

static void the_other_device_takes_over(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct fixture f;
	struct gpu_case c[40];
	unsigned nr_failed = 0;

	(void)state;
	begin(&f, 2);
	f.p.rest_ns = f.p.rest_max_ns = 100000 * MS;
	f.e.slow_ns = 2 * MS;
	assert_int_equal(open_gpu(&f), 0);
	gpu_emulated_plan(&f.e, GPU_CALL_LAUNCH, GPU_FAULT_LOST, 2, false);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		fill_case(&c[i], &f.w, 300, &r);
		gpu_case_submit(f.g, &c[i]);
		if (i % 4 == 0)
			usleep(300);
	}
	gpu_wait_for(&f.w);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		if (c[i].job.err == -EIO)
			nr_failed++;
		else
			gpu_case_check(&c[i]);
		gpu_case_fini(&c[i]);
	}
	assert_true(gpu_ready(f.g));
	assert_true(nr_failed < ARRAY_LEN(c));
	assert_int_equal(run_some(&f, 5, 0, &r), 0);
	end(&f);
}

static void the_queue_tells_how_long_it_takes(void **state)
{
	struct rng r = rng_seeded(__func__);
	struct gpu_case c[20];
	struct fixture f;
	uint64_t empty, full;

	(void)state;
	begin(&f, 1);
	f.e.by = GPU_BY_NOBODY;
	f.e.slow_ns = 50 * MS;
	assert_int_equal(open_gpu(&f), 0);
	empty = gpu_expected_ns(f.g, 100000);
	assert_true(empty > 0 && empty < UINT64_MAX);
	assert_true(gpu_expected_ns(f.g, 200000) > empty);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		fill_case(&c[i], &f.w, 100000, &r);
	gpu_case_submit(f.g, &c[0]);
	gpu_wait_for(&f.w);
	/* Measured: 50 ms for that. */
	empty = gpu_expected_ns(f.g, 100000);
	assert_true(empty > 40 * MS);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		gpu_case_submit(f.g, &c[i]);
	full = gpu_expected_ns(f.g, 100000);
	gpu_wait_for(&f.w);
	assert_true(full > empty);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		gpu_case_fini(&c[i]);
	end(&f);
}

/* Faults of all kinds, at random, while jobs go on. */
static void storms_leave_no_job_behind(void **state)
{
	static const enum gpu_emulated_fault kinds[] = {GPU_FAULT_ERROR, GPU_FAULT_LOST,
							GPU_FAULT_LENGTHS, GPU_FAULT_PLACE};
	struct rng r = rng_seeded(__func__);
	struct gpu_case c[120];
	struct fixture f;

	(void)state;
	begin(&f, 2);
	f.p.rest_ns = MS / 2;
	f.p.rest_max_ns = 3 * MS;
	assert_int_equal(open_gpu(&f), 0);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		fill_case(&c[i], &f.w, 100 + rng_below(&r, 200), &r);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		if (i % 6 == 0)
			gpu_emulated_plan(&f.e,
					  (enum gpu_emulated_call)(
						  GPU_CALL_OPEN +
						  rng_below(&r, GPU_CALL_PIN - GPU_CALL_OPEN)),
					  kinds[rng_below(&r, ARRAY_LEN(kinds))],
					  1 + (unsigned)rng_below(&r, 3), false);
		gpu_case_submit(f.g, &c[i]);
		if (i % 3 == 0)
			usleep((useconds_t)rng_below(&r, 2000));
	}
	gpu_wait_for(&f.w);
	gpu_emulated_heal(&f.e);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		int err = c[i].job.err;

		assert_int_equal(c[i].nr_done, 1);
		if (err)
			assert_true(err == -EIO || err == -ENODEV);
		else
			gpu_case_check(&c[i]);
		gpu_case_fini(&c[i]);
	}
	await_ready(f.g, true);
	assert_int_equal(run_some(&f, 10, 0, &r), 0);
	end(&f);
}

/* Last, since the thread and what it knows are left alone. */
static void closing_does_not_wait_for_a_stuck_driver(void **state)
{
	static struct fixture f;
	static struct gpu *left; /* reachable, so no leak */
	struct rng r = rng_seeded(__func__);

	(void)state;
	begin(&f, 1);
	f.p.deadline_ns = 300 * MS;
	assert_int_equal(open_gpu(&f), 0);
	left = f.g;
	gpu_emulated_plan(&f.e, GPU_CALL_LAUNCH, GPU_FAULT_STUCK, 1, false);
	assert_int_equal(run_some(&f, 1, -EIO, &r), 1);
	gpu_close(f.g);
	assert_non_null(left);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_device_is_a_normal_answer),
		cmocka_unit_test(a_program_without_a_gpu_starts),
		cmocka_unit_test(jobs_come_back_once_and_right),
		cmocka_unit_test(an_extent_of_the_longest_kind_fits),
		cmocka_unit_test(what_does_not_fit_is_said),
		cmocka_unit_test(bad_jobs_are_refused),
		cmocka_unit_test(pinned_bytes_are_not_copied_by_the_cpu),
		cmocka_unit_test(little_memory_makes_small_batches),
		cmocka_unit_test(many_jobs_from_many_threads),
		cmocka_unit_test(closing_answers_what_is_queued),
		cmocka_unit_test(done_may_submit),
		cmocka_unit_test(any_call_may_fail),
		cmocka_unit_test(a_failing_device_rests_and_comes_back),
		cmocka_unit_test(rests_get_longer),
		cmocka_unit_test(nonsense_from_the_device_is_found),
		cmocka_unit_test(a_filter_nobody_asked_for_is_found),
		cmocka_unit_test(a_hang_ends_at_the_deadline),
		cmocka_unit_test(a_stuck_driver_loses_its_jobs),
		cmocka_unit_test(the_other_device_takes_over),
		cmocka_unit_test(the_queue_tells_how_long_it_takes),
		cmocka_unit_test(storms_leave_no_job_behind),
		cmocka_unit_test(closing_does_not_wait_for_a_stuck_driver),
	};

	log_set_level(LOG_LEVEL_NOTE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
