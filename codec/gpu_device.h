/* One device: its queue, its thread, and whether it can be used.
 *
 *   state     what holds                                       left by
 *   STARTING  the thread opens it for the first time           the thread: to READY or RETIRED
 *   READY     jobs are taken                                   the thread, on an error; the watch, when the
 *                                                              thread does not come back from the driver
 *   RETIRED   no jobs; the thread waits, then opens it again   the thread: to READY
 *
 * A thread that is stuck in the driver may come back at any time later: the watch takes its jobs and
 * counts up `epoch`, so that it finds out. */
#ifndef CODEC_GPU_DEVICE_H
#define CODEC_GPU_DEVICE_H

#include <pthread.h>

#include "codec/gpu.h"
#include "codec/gpu_jobs.h"
#include "codec/gpu_slot.h"
#include "conf/lock.h"

#define GPU_SLOTS 3u

struct gpu_device {
	struct gpu *gpu;
	unsigned idx;
	pthread_t thread;
	bool started; /* the thread was */
	struct lock lock;
	struct cond work;  /* jobs, or the end */
	struct cond moved; /* the state, or `ended` */

	/* guarded by lock */
	struct gpu_stat stat;
	struct gpu_jobs queue;
	uint64_t epoch;
	uint64_t call_since; /* the thread has been in the driver since then; 0: it is not */
	bool stuck;	     /* in the driver for longer than the deadline */
	uint64_t rest;	     /* before the next try, ns */
	uint64_t ready_since;
	bool odd;	   /* jobs came whose bytes are not pinned */
	bool stop;	   /* answer what there is, then end */
	bool ended;	   /* the thread is through with everything that is not its own */
	uint64_t my_epoch; /* the thread's, when it opened the device */

	/* the thread's */
	struct gpu_dev *dev;
	struct gpu_limits lim;
	struct gpu_slot slot[GPU_SLOTS];
	unsigned oldest, nr_busy; /* slots in use, in a ring */
	uint64_t progress;	  /* when a slot last got on, or the first came to be */
	uint64_t last_end;	  /* when a batch was last finished */
	uint64_t count;		  /* jobs, for the verifier */
	struct gpu_verifier *verifier;
};

/* Returns 0 or -ENOMEM; to be undone by gpu_device_fini() in any case. */
int gpu_device_init(struct gpu_device *d, struct gpu *g, unsigned idx);
/* The thread has ended, or was not started. */
void gpu_device_fini(struct gpu_device *d);

/* Start the thread; where that fails, the device stays retired. */
void gpu_device_start(struct gpu_device *d);

/* Let the thread answer what there is and end, and wait for that. False: it is stuck in the driver,
 * has no jobs, and was left alone. */
bool gpu_device_stop(struct gpu_device *d);

/* False: not ready, the job is still the caller's. */
bool gpu_device_push(struct gpu_device *d, struct gpu_job *j);

/* As gpu_expected_ns(). */
uint64_t gpu_device_expected_ns(struct gpu_device *d, size_t len);

/* The watch's look: if the thread is stuck, retire the device and answer its jobs.
 * Returns whether it is stuck. */
bool gpu_device_watch(struct gpu_device *d, uint64_t now);

#endif
