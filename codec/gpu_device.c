/* See gpu_device.h. The thread goes round: whatever slot can get on does, oldest first; a free slot
 * is filled with what is queued, so batches grow while the device is busy; and when nothing moved it
 * sleeps, until there are jobs when no slot is busy, else shortly. */
#include "codec/gpu_device.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codec/gpu_inner.h"
#include "conf/base.h"
#include "conf/log.h"

#define POLL_NS	    30000u /* a batch takes about a millisecond */
#define OPEN_FACTOR 6u	   /* opening may take so many deadlines: drivers start slowly */
#define RATE_GUESS  UINT64_C(4000000000) /* bytes a second, until one is measured */

/* ---- the thread and the driver ---- */

static void driver_enter(struct gpu_device *d)
{
	lock_take(&d->lock);
	d->call_since = mono_ns();
	lock_release(&d->lock);
}

/* False: too late, the jobs are gone. */
static bool driver_leave(struct gpu_device *d)
{
	bool mine;

	lock_take(&d->lock);
	d->call_since = 0;
	d->stuck = false;
	mine = d->epoch == d->my_epoch;
	lock_release(&d->lock);
	return mine;
}

/* ---- retirement ---- */

static void slot_jobs(struct gpu_slot *s, struct gpu_jobs *to)
{
	struct gpu_jobs from = {s->jobs, s->jobs_end};

	if (s->jobs)
		gpu_jobs_move(to, &from);
	s->jobs = NULL;
	s->jobs_end = &s->jobs;
}

/* The one change to RETIRED. Moves the jobs of all batches to @failed, those that wait to
 * @waiting. */
static void retire_locked(struct gpu_device *d, const char *reason, struct gpu_jobs *failed,
			  struct gpu_jobs *waiting) REQUIRES(d->lock)
{
	const struct gpu_params *p = &d->gpu->params;
	uint64_t now = mono_ns();
	bool had_worked = d->stat.state == GPU_READY;

	if (had_worked && now - d->ready_since > p->rest_max_ns)
		d->rest = 0;
	d->rest = d->rest ? MIN(2 * d->rest, p->rest_max_ns) : p->rest_ns;
	gpu_jobs_init(failed);
	gpu_jobs_init(waiting);
	for (unsigned i = 0; i < GPU_SLOTS; i++)
		slot_jobs(&d->slot[i], failed);
	gpu_jobs_move(waiting, &d->queue);
	for (const struct gpu_job *j = failed->first; j; j = j->next)
		d->stat.errors++;
	d->stat.queued = 0;
	d->epoch++;
	/* One line, not one for each try that fails. */
	if (d->stat.state != GPU_RETIRED) {
		d->stat.retirements++;
		log_warn("gpu %u (%s): %s; the CPU encodes, next try in %u s", d->idx,
			 d->stat.name[0] ? d->stat.name : "unnamed", reason,
			 (unsigned)(d->rest / 1000000000));
	}
	snprintf(d->stat.reason, sizeof(d->stat.reason), "%s", reason);
	d->stat.state = GPU_RETIRED;
	cond_broadcast(&d->moved);
}

static void answer_retired(struct gpu_device *d, struct gpu_jobs *failed, struct gpu_jobs *waiting)
{
	struct gpu_job *j;

	gpu_jobs_answer(failed, -EIO);
	while ((j = gpu_jobs_take(waiting)))
		gpu_submit(d->gpu, j);
}

/* By the thread: leave the device to itself. */
static void let_go(struct gpu_device *d, bool stuck)
{
	for (unsigned i = 0; i < GPU_SLOTS; i++)
		gpu_slot_close(&d->slot[i], true);
	if (d->dev) {
		driver_enter(d);
		d->gpu->drv->abandon(d->dev, stuck);
		driver_leave(d);
	}
	d->dev = NULL;
	d->nr_busy = 0;
}

static const char *error_text(int err)
{
	switch (err) {
	case -ENOMEM:
		return "no memory";
	case -ENODEV:
		return "no such device";
	case -ETIMEDOUT:
		return "no progress";
	case -EBADMSG:
		return "encodes other bytes than the CPU";
	default:
		return "device error";
	}
}

/* By the thread, which has its jobs still. */
static void retire(struct gpu_device *d, const char *when, int err)
{
	struct gpu_jobs failed, waiting;
	char reason[sizeof(d->stat.reason)];

	snprintf(reason, sizeof(reason), "%s: %s", when, error_text(err));
	lock_take(&d->lock);
	retire_locked(d, reason, &failed, &waiting);
	lock_release(&d->lock);
	answer_retired(d, &failed, &waiting);
	let_go(d, err == -ETIMEDOUT);
}

bool gpu_device_watch(struct gpu_device *d, uint64_t now)
{
	struct gpu_jobs failed, waiting;
	uint64_t deadline = d->gpu->params.deadline_ns;
	bool stuck;

	lock_take(&d->lock);
	if (d->stat.state == GPU_STARTING)
		deadline *= OPEN_FACTOR;
	stuck = d->call_since && now > d->call_since && now - d->call_since > deadline;
	d->stuck = stuck;
	if (stuck)
		cond_broadcast(&d->moved);
	if (stuck && d->stat.state != GPU_RETIRED) {
		retire_locked(d, "the driver does not return", &failed, &waiting);
		lock_release(&d->lock);
		answer_retired(d, &failed, &waiting);
		return true;
	}
	lock_release(&d->lock);
	return stuck;
}

/* ---- opening ---- */

static int open_slots(struct gpu_device *d)
{
	for (unsigned i = 0; i < GPU_SLOTS; i++) {
		int err = gpu_slot_open(&d->slot[i], d->gpu->drv, d->dev, &d->lim);

		if (err) {
			for (unsigned k = 0; k <= i; k++)
				gpu_slot_close(&d->slot[k], false);
			return err;
		}
	}
	return 0;
}

/* Smaller batches where there is little memory, down to one extent. */
static int open_device(struct gpu_device *d, char *name, size_t name_len)
{
	size_t len = d->gpu->params.batch_len;
	int err = d->gpu->drv->open(d->gpu->params.driver_arg, d->idx, &d->dev, name, name_len);

	if (err)
		return err;
	for (;;) {
		d->lim = gpu_limits_for(len);
		err = open_slots(d);
		if (err != -ENOMEM || len <= GPU_RAW_MAX)
			break;
		len = MAX(len / 2, (size_t)GPU_RAW_MAX);
	}
	return err;
}

static void open_again(struct gpu_device *d)
{
	struct gpu_jobs failed, waiting;
	char name[sizeof(d->stat.name)] = "";
	char reason[sizeof(d->stat.reason)];
	bool again, mine;
	int err;

	lock_take(&d->lock);
	d->my_epoch = d->epoch;
	again = d->stat.state == GPU_RETIRED;
	lock_release(&d->lock);
	driver_enter(d);
	err = open_device(d, name, sizeof(name));
	if (!err && again)
		gpu_pin_again(d->gpu);
	mine = driver_leave(d);

	lock_take(&d->lock);
	if (name[0])
		memcpy(d->stat.name, name, sizeof(name));
	if (!err && mine) {
		d->oldest = d->nr_busy = 0;
		d->count = 0;
		d->last_end = 0;
		d->stat.state = GPU_READY;
		d->stat.batch_len = d->lim.batch_len;
		d->ready_since = mono_ns();
		cond_broadcast(&d->moved);
		if (again)
			log_note("gpu %u (%s): in use again", d->idx, d->stat.name);
		lock_release(&d->lock);
		return;
	}
	if (mine) {
		snprintf(reason, sizeof(reason), "cannot be opened: %s", error_text(err));
		retire_locked(d, reason, &failed, &waiting);
		lock_release(&d->lock);
		answer_retired(d, &failed, &waiting);
	} else {
		lock_release(&d->lock);
	}
	let_go(d, !mine);
}

/* ---- batches ---- */

/* A buffer for jobs that are not pinned, once there are such. False: the thread was stuck. */
static bool want_bounce(struct gpu_device *d, struct gpu_slot *s)
{
	bool odd;

	lock_take(&d->lock);
	odd = d->odd;
	lock_release(&d->lock);
	if (!odd || s->h_bounce || s->no_bounce)
		return true;
	driver_enter(d);
	gpu_slot_want_bounce(s);
	return driver_leave(d);
}

static struct gpu_job *take_queued(struct gpu_device *d)
{
	struct gpu_job *j;

	lock_take(&d->lock);
	j = gpu_jobs_take(&d->queue);
	lock_release(&d->lock);
	return j;
}

/* Move jobs from the queue to @s. They are in no list of the device's meanwhile, so the driver is
 * not called. */
static void fill_slot(struct gpu_device *d, struct gpu_slot *s)
{
	struct gpu_job *j;

	while (s->len < d->lim.batch_len && (j = take_queued(d))) {
		if (gpu_slot_add(s, j))
			continue;
		lock_take(&d->lock);
		gpu_jobs_add_first(&d->queue, j);
		lock_release(&d->lock);
		break;
	}
	s->begun_ns = mono_ns();
}

/* All of these return true when there was something to do. */
static bool send_next(struct gpu_device *d)
{
	struct gpu_slot *s = &d->slot[(d->oldest + d->nr_busy) % GPU_SLOTS];
	bool any;
	int err;

	if (d->nr_busy == GPU_SLOTS)
		return false;
	lock_take(&d->lock);
	any = d->queue.first != NULL;
	lock_release(&d->lock);
	if (!any)
		return false;
	if (!want_bounce(d, s)) {
		let_go(d, true);
		return true;
	}
	fill_slot(d, s);
	if (!d->nr_busy++)
		d->progress = s->begun_ns;
	driver_enter(d);
	err = gpu_slot_send(s);
	if (!driver_leave(d))
		let_go(d, true);
	else if (err)
		retire(d, "sending a batch", err);
	return true;
}

static void note_batch(struct gpu_device *d, const struct gpu_slot *s, uint64_t now,
		       uint64_t verified)
{
	uint64_t ns = now - MAX(s->begun_ns, d->last_end);
	uint64_t rate = (uint64_t)((double)s->len * 1e9 / (double)MAX(ns, UINT64_C(1)));
	struct gpu_stat *st = &d->stat;

	lock_take(&d->lock);
	st->batches++;
	st->jobs += s->nr_jobs;
	st->raw_bytes += s->len;
	st->stored_bytes += s->stored;
	st->verified += verified;
	st->queued -= s->len;
	st->rate = st->rate ? (3 * st->rate + rate) / 4 : rate;
	lock_release(&d->lock);
}

static void finish_oldest(struct gpu_device *d, uint64_t now)
{
	struct gpu_slot *s = &d->slot[d->oldest];
	struct gpu_jobs done;
	struct gpu_job *j;
	uint64_t verified = 0;
	int err =
		gpu_slot_finish(s, d->verifier, d->gpu->params.verify_every, &d->count, &verified);

	if (err) {
		retire(d, "a batch's result", err);
		return;
	}
	note_batch(d, s, now, verified);
	gpu_jobs_init(&done);
	lock_take(&d->lock);
	slot_jobs(s, &done);
	lock_release(&d->lock);
	gpu_slot_reset(s);
	d->last_end = now;
	d->oldest = (d->oldest + 1) % GPU_SLOTS;
	d->nr_busy--;
	while ((j = gpu_jobs_take(&done)))
		j->done(j);
}

/* Get on with the slots in use. A slot whose bytes are here waits for those before it, so that jobs
 * come back in order. */
static bool pump(struct gpu_device *d)
{
	bool moved = false;

	for (unsigned i = 0; i < d->nr_busy; i++) {
		struct gpu_slot *s = &d->slot[(d->oldest + i) % GPU_SLOTS];
		uint64_t now;
		int err;

		if (s->stage == GPU_SLOT_BYTES && i > 0)
			continue;
		driver_enter(d);
		err = gpu_slot_poll(s);
		if (!err && s->stage == GPU_SLOT_KERNELS)
			err = gpu_slot_fetch(s);
		else if (!err)
			s->stage = GPU_SLOT_HERE;
		if (!driver_leave(d)) {
			let_go(d, true);
			return true;
		}
		if (err == -EAGAIN)
			continue;
		if (err) {
			retire(d, "a batch", err);
			return true;
		}
		now = mono_ns();
		d->progress = now;
		moved = true;
		if (s->stage == GPU_SLOT_HERE) {
			finish_oldest(d, now);
			return true;
		}
	}
	if (!moved && d->nr_busy && mono_ns() - d->progress > d->gpu->params.deadline_ns) {
		retire(d, "a batch", -ETIMEDOUT);
		return true;
	}
	return moved;
}

/* ---- the thread ---- */

/* Nothing moves: wait for jobs, for the end, or for a while. False: it is the end. */
static bool idle(struct gpu_device *d)
{
	bool on = true;

	lock_take(&d->lock);
	if (d->nr_busy) {
		cond_wait_until(&d->work, &d->lock, mono_ns() + POLL_NS);
	} else if (!d->queue.first) {
		if (d->stop)
			on = false;
		else
			cond_wait(&d->work, &d->lock);
	}
	lock_release(&d->lock);
	return on;
}

/* Retired: wait for the next try. False: it is the end. */
static bool rest(struct gpu_device *d)
{
	uint64_t until;
	bool on;

	lock_take(&d->lock);
	until = mono_ns() + d->rest;
	while (!d->stop && mono_ns() < until)
		cond_wait_until(&d->work, &d->lock, until);
	on = !d->stop;
	lock_release(&d->lock);
	return on;
}

static enum gpu_state state_of(struct gpu_device *d)
{
	enum gpu_state state;

	lock_take(&d->lock);
	state = d->stat.state;
	lock_release(&d->lock);
	return state;
}

static void close_device(struct gpu_device *d)
{
	if (!d->dev)
		return;
	driver_enter(d);
	for (unsigned i = 0; i < GPU_SLOTS; i++)
		gpu_slot_close(&d->slot[i], false);
	d->gpu->drv->close(d->dev);
	driver_leave(d);
	d->dev = NULL;
}

static void *device_thread(void *arg)
{
	struct gpu_device *d = arg;
	bool on = true;

	open_again(d);
	while (on) {
		bool moved;

		if (state_of(d) == GPU_RETIRED) {
			on = rest(d);
			if (on)
				open_again(d);
			continue;
		}
		moved = pump(d);
		if (d->dev && send_next(d))
			moved = true;
		if (!moved)
			on = idle(d);
	}
	close_device(d);
	lock_take(&d->lock);
	d->ended = true;
	cond_broadcast(&d->moved);
	lock_release(&d->lock);
	return NULL;
}

int gpu_device_init(struct gpu_device *d, struct gpu *g, unsigned idx)
{
	*d = (struct gpu_device){.gpu = g, .idx = idx};
	lock_init(&d->lock);
	cond_init(&d->work);
	cond_init(&d->moved);
	gpu_jobs_init(&d->queue);
	for (unsigned i = 0; i < GPU_SLOTS; i++)
		gpu_slot_close(&d->slot[i], true);
	d->verifier = gpu_verifier_new();
	return d->verifier ? 0 : -ENOMEM;
}

void gpu_device_start(struct gpu_device *d)
{
	struct gpu_jobs failed, waiting;

	d->started = !pthread_create(&d->thread, NULL, device_thread, d);
	if (d->started)
		return;
	lock_take(&d->lock);
	d->ended = true;
	retire_locked(d, "no memory for a thread", &failed, &waiting);
	lock_release(&d->lock);
}

bool gpu_device_stop(struct gpu_device *d)
{
	bool ended;

	lock_take(&d->lock);
	d->stop = true;
	cond_broadcast(&d->work);
	/* The watch sees to it that this comes to an end. */
	while (!d->ended && !d->stuck)
		cond_wait(&d->moved, &d->lock);
	ended = d->ended;
	lock_release(&d->lock);
	if (d->started && ended)
		pthread_join(d->thread, NULL);
	else if (d->started)
		pthread_detach(d->thread);
	return ended;
}

void gpu_device_fini(struct gpu_device *d)
{
	gpu_verifier_free(d->verifier);
	cond_fini(&d->moved);
	cond_fini(&d->work);
	lock_fini(&d->lock);
}

bool gpu_device_push(struct gpu_device *d, struct gpu_job *j)
{
	bool ready;

	lock_take(&d->lock);
	ready = d->stat.state == GPU_READY && !d->stop;
	if (ready) {
		gpu_jobs_add(&d->queue, j);
		d->stat.queued += j->raw_len;
		d->odd = d->odd || !j->pinned;
		cond_signal(&d->work);
	}
	lock_release(&d->lock);
	return ready;
}

uint64_t gpu_device_expected_ns(struct gpu_device *d, size_t len)
{
	uint64_t ns = UINT64_MAX;

	lock_take(&d->lock);
	if (d->stat.state == GPU_READY) {
		uint64_t rate = d->stat.rate ? d->stat.rate : RATE_GUESS;

		ns = (uint64_t)((double)(d->stat.queued + len) * 1e9 / (double)rate);
	}
	lock_release(&d->lock);
	return ns;
}
