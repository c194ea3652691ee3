/* See gpu.h. Jobs go to the device that is expected to have done them first. One more thread, the
 * watch, answers jobs that find no device ready, and takes jobs from devices whose thread does not
 * come back from the driver. */
#include "codec/gpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/gpu_device.h"
#include "codec/gpu_driver.h"
#include "codec/gpu_inner.h"
#include "conf/base.h"
#include "conf/log.h"

#define SECOND_NS UINT64_C(1000000000)

const char *const gpu_state_name[GPU_STATES] = {
	[GPU_STARTING] = "starting",
	[GPU_READY] = "ready",
	[GPU_RETIRED] = "retired",
};

/* ---- jobs ---- */

static bool job_ok(const struct gpu_job *j)
{
	unsigned width = j->nr_tries ? 8 : j->filter.width;

	if (j->raw_len < 1 || j->raw_len > GPU_RAW_MAX || j->nr_tries > GPU_TRIES_MAX)
		return false;
	if (!j->nr_tries && !filter_ok(&j->filter))
		return false;
	for (unsigned i = 0; i < j->nr_tries; i++)
		if (!filter_ok(&j->tries[i].filter))
			return false;
	return j->phase < width;
}

static void answer_later(struct gpu *g, struct gpu_job *j, int err)
{
	j->err = err;
	lock_take(&g->lock);
	gpu_jobs_add(&g->homeless, j);
	cond_signal(&g->wake);
	lock_release(&g->lock);
}

void gpu_submit(struct gpu *g, struct gpu_job *j)
{
	if (!job_ok(j)) {
		answer_later(g, j, -EINVAL);
		return;
	}
	j->pinned = gpu_is_pinned(g, j->raw, j->raw_len);
	/* A device may retire between the two questions; then the others are asked. */
	for (unsigned round = 0; round <= g->nr; round++) {
		struct gpu_device *best = NULL;
		uint64_t least = UINT64_MAX;

		for (unsigned i = 0; i < g->nr; i++) {
			uint64_t ns = gpu_device_expected_ns(&g->device[i], j->raw_len);

			if (ns < least) {
				least = ns;
				best = &g->device[i];
			}
		}
		if (!best)
			break;
		if (gpu_device_push(best, j))
			return;
	}
	answer_later(g, j, -ENODEV);
}

uint64_t gpu_expected_ns(struct gpu *g, size_t len)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < g->nr; i++)
		least = MIN(least, gpu_device_expected_ns(&g->device[i], len));
	return least;
}

bool gpu_ready(struct gpu *g)
{
	return gpu_expected_ns(g, 0) != UINT64_MAX;
}

/* ---- pinned memory ---- */

int gpu_register(struct gpu *g, void *p, size_t len)
{
	int err = g->drv->pin(g->params.driver_arg, p, len);

	if (err)
		return err;
	lock_take(&g->lock);
	if (g->nr_regions < GPU_REGIONS)
		g->region[g->nr_regions++] = (struct gpu_region){p, len};
	else
		err = -ENOMEM;
	lock_release(&g->lock);
	if (err)
		g->drv->unpin(g->params.driver_arg, p);
	return err;
}

void gpu_unregister(struct gpu *g, void *p)
{
	bool found = false;

	lock_take(&g->lock);
	while (g->pinning)
		cond_wait(&g->pinned, &g->lock);
	for (unsigned i = 0; i < g->nr_regions && !found; i++) {
		if (g->region[i].p != p)
			continue;
		found = true;
		g->region[i] = g->region[--g->nr_regions];
	}
	lock_release(&g->lock);
	if (found)
		g->drv->unpin(g->params.driver_arg, p);
}

bool gpu_is_pinned(struct gpu *g, const uint8_t *p, size_t len)
{
	bool found = false;

	lock_take(&g->lock);
	for (unsigned i = 0; i < g->nr_regions && !found; i++) {
		const struct gpu_region *r = &g->region[i];

		found = p >= r->p && len <= r->len && (size_t)(p - r->p) <= r->len - len;
	}
	lock_release(&g->lock);
	return found;
}

void gpu_pin_again(struct gpu *g)
{
	struct gpu_region region[GPU_REGIONS];
	unsigned nr;

	lock_take(&g->lock);
	nr = g->nr_regions;
	memcpy(region, g->region, nr * sizeof(*region));
	g->pinning++;
	lock_release(&g->lock);
	/* Where it fails, copies are slower, no more. */
	for (unsigned i = 0; i < nr; i++)
		g->drv->pin(g->params.driver_arg, region[i].p, region[i].len);
	lock_take(&g->lock);
	g->pinning--;
	cond_broadcast(&g->pinned);
	lock_release(&g->lock);
}

/* ---- the watch ---- */

static void *watch_thread(void *arg)
{
	struct gpu *g = arg;
	uint64_t period = MAX(g->params.deadline_ns / 4, UINT64_C(1000000));
	uint64_t next = mono_ns() + period;
	bool stop = false;

	while (!stop) {
		struct gpu_jobs l;
		struct gpu_job *j;

		gpu_jobs_init(&l);
		lock_take(&g->lock);
		while (!g->stop && !g->homeless.first && mono_ns() < next)
			cond_wait_until(&g->wake, &g->lock, next);
		gpu_jobs_move(&l, &g->homeless);
		/* Not before all are answered: answers may bring more. */
		stop = g->stop && !l.first;
		lock_release(&g->lock);
		while ((j = gpu_jobs_take(&l)))
			j->done(j);
		if (mono_ns() < next)
			continue;
		for (unsigned i = 0; i < g->nr; i++)
			gpu_device_watch(&g->device[i], mono_ns());
		next = mono_ns() + period;
	}
	return NULL;
}

/* ---- open and close ---- */

static void complete(struct gpu_params *p)
{
	if (!p->driver)
		p->driver = gpu_driver_cuda();
	if (!p->nr_devices)
		p->nr_devices = GPU_DEVICES_MAX;
	if (!p->batch_len)
		p->batch_len = 32 * MIB;
	if (!p->verify_every)
		p->verify_every = GPU_VERIFY_EVERY;
	if (!p->deadline_ns)
		p->deadline_ns = 10 * SECOND_NS;
	if (!p->rest_ns)
		p->rest_ns = 30 * SECOND_NS;
	if (!p->rest_max_ns)
		p->rest_max_ns = MAX(600 * SECOND_NS, p->rest_ns);
}

/* Wait until no device is starting. Returns how many are ready. */
static unsigned await_start(struct gpu *g)
{
	unsigned ready = 0;

	for (unsigned i = 0; i < g->nr; i++) {
		struct gpu_device *d = &g->device[i];

		lock_take(&d->lock);
		while (d->stat.state == GPU_STARTING)
			cond_wait(&d->moved, &d->lock);
		ready += d->stat.state == GPU_READY;
		lock_release(&d->lock);
	}
	return ready;
}

static void free_all(struct gpu *g)
{
	for (unsigned i = 0; i < g->nr; i++)
		gpu_device_fini(&g->device[i]);
	cond_fini(&g->pinned);
	cond_fini(&g->wake);
	lock_fini(&g->lock);
	free(g->device);
	free(g);
}

void gpu_close(struct gpu *g)
{
	bool all = true;

	for (unsigned i = 0; i < g->nr; i++)
		all = gpu_device_stop(&g->device[i]) && all;
	lock_take(&g->lock);
	g->stop = true;
	cond_signal(&g->wake);
	lock_release(&g->lock);
	pthread_join(g->watch, NULL);
	if (!all) {
		/* A thread may still come back from the driver, to what it knows. */
		log_warn("gpu: the driver does not return; its memory is left to it");
		return;
	}
	while (g->nr_regions)
		gpu_unregister(g, g->region[0].p);
	free_all(g);
}

/* Locks, and the devices without their threads. */
static struct gpu *new_gpu(const struct gpu_params *p, unsigned nr)
{
	struct gpu *g = calloc(1, sizeof(*g));
	int err = 0;

	if (!g)
		return NULL;
	g->params = *p;
	g->drv = p->driver;
	lock_init(&g->lock);
	cond_init(&g->wake);
	cond_init(&g->pinned);
	gpu_jobs_init(&g->homeless);
	g->device = calloc(nr, sizeof(*g->device));
	for (; g->device && g->nr < nr && !err; g->nr++)
		err = gpu_device_init(&g->device[g->nr], g, g->nr);
	if (g->device && !err && !pthread_create(&g->watch, NULL, watch_thread, g))
		return g;
	free_all(g);
	return NULL;
}

int gpu_open(const struct gpu_params *p, struct gpu **out, const struct why *why)
{
	struct gpu_params params = *p;
	struct gpu_stat stat;
	unsigned nr = 0;
	struct gpu *g;
	int err;

	complete(&params);
	if (params.batch_len < GPU_RAW_MAX || params.batch_len > GIB)
		return why_say(why, -EINVAL, "a batch of %zu bytes", params.batch_len);
	if (!params.driver)
		return why_say(why, -ENODEV, "built without CUDA");
	err = params.driver->count(params.driver_arg, &nr);
	if (err || !nr)
		return why_say(why, -ENODEV, "no GPU, or no driver for it");
	g = new_gpu(&params, MIN(nr, MIN(params.nr_devices, GPU_DEVICES_MAX)));
	if (!g)
		return why_say(why, -ENOMEM, "no memory");
	for (unsigned i = 0; i < g->nr; i++)
		gpu_device_start(&g->device[i]);
	if (!await_start(g)) {
		gpu_stats(g, 0, &stat);
		gpu_close(g);
		return why_say(why, -ENODEV, "%s", stat.reason);
	}
	*out = g;
	return 0;
}

unsigned gpu_nr(struct gpu *g)
{
	return g->nr;
}

void gpu_stats(struct gpu *g, unsigned idx, struct gpu_stat *out)
{
	struct gpu_device *d = &g->device[idx];

	lock_take(&d->lock);
	*out = d->stat;
	lock_release(&d->lock);
}
