/* One batch on its way through a device, and the memory it uses, on both sides.
 *
 *   stage    what happens                                                   next
 *   FREE     nothing                                                        gpu_slot_add()
 *   FILLED   jobs are in, their odd bytes copied; no driver call yet        gpu_slot_send()
 *   KERNELS  input, kernels, results' copy are queued on the stream         gpu_slot_fetch()
 *   BYTES    the copy of the stored bytes is queued                         the caller, to HERE
 *   HERE     the stored bytes are here                                      gpu_slot_finish(), ..._reset()
 *
 * Functions either call the driver, and then touch no job, or touch jobs, and then do not call the
 * driver: a thread that is stuck in a driver call can lose its jobs to another thread.
 * Threads: one, the device's. */
#ifndef CODEC_GPU_SLOT_H
#define CODEC_GPU_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/block.h"
#include "codec/cuda/gpu_batch.h"
#include "codec/gpu.h"
#include "codec/gpu_driver.h"

enum gpu_stage { GPU_SLOT_FREE, GPU_SLOT_FILLED, GPU_SLOT_KERNELS, GPU_SLOT_BYTES, GPU_SLOT_HERE };

/* Most of everything in a batch; sizes of a slot's memory follow. */
struct gpu_limits {
	size_t batch_len;
	uint32_t jobs, tiles, ways;
	size_t raw_len;	  /* of the raw bytes, with room for their alignment */
	size_t rooms_len; /* of all tiles' rooms */
};

/* Bytes that go to the device in one copy. */
struct gpu_span {
	const uint8_t *src;
	size_t at, len;
};

struct gpu_slot {
	const struct gpu_driver *drv;
	struct gpu_dev *dev;
	const struct gpu_limits *lim;
	struct gpu_stream *stream;
	uint8_t *d_mem, *h_mem; /* all but the bounce buffer */
	uint8_t *h_bounce;	/* raw bytes of memory that is not pinned; NULL: do without */
	bool no_bounce;		/* there is no memory for it */
	struct gpu_span *span;
	/* in h_mem */
	struct gpu_item *item;
	struct gpu_tile *tile;
	struct gpu_way *way;
	struct gpu_result *result;
	struct gpu_total *total;
	uint8_t *h_out;

	enum gpu_stage stage;
	struct gpu_job *jobs,
		**jobs_end; /* guarded by the device's lock while it calls the driver */
	uint32_t nr_jobs, nr_tiles, nr_ways, nr_spans;
	size_t raw_at, rooms_at; /* bytes taken of the limits */
	size_t len;		 /* raw bytes of the jobs */
	size_t stored;
	uint64_t begun_ns;
};

/* What it takes to do one job again on the CPU. */
struct gpu_verifier {
	struct block_work work;
	uint8_t *filtered, *frame;
};

struct gpu_limits gpu_limits_for(size_t batch_len);

/* What the device sees of the jobs that are in. */
struct gpu_batch gpu_slot_batch(const struct gpu_slot *s);

/* Driver calls. Returns 0, -ENOMEM or -EIO; to be undone by gpu_slot_close() in any case. */
int gpu_slot_open(struct gpu_slot *s, const struct gpu_driver *drv, struct gpu_dev *dev,
		  const struct gpu_limits *lim);
/* Driver calls, but for @lost: then memory of the driver's is left to it. */
void gpu_slot_close(struct gpu_slot *s, bool lost);

/* False: the job is for another batch. */
bool gpu_slot_add(struct gpu_slot *s, struct gpu_job *j);

/* Driver calls: a buffer for jobs that are not pinned, if there is memory. Before gpu_slot_add(). */
void gpu_slot_want_bounce(struct gpu_slot *s);

/* Driver calls. Return 0 or -errno. */
int gpu_slot_send(struct gpu_slot *s);
int gpu_slot_poll(struct gpu_slot *s); /* -EAGAIN: the stage lasts on */
int gpu_slot_fetch(struct gpu_slot *s);

/* Check the form of what came back, then set the results of each job; done() is left to the caller,
 * who takes the jobs from the slot. -EIO: what came back makes no sense; -EBADMSG: it is not what
 * the CPU makes of the same bytes. Then no job has a result.
 * @verify  every so many jobs are compared with the CPU's bytes; *@count counts them, *@verified
 *          those compared */
int gpu_slot_finish(struct gpu_slot *s, struct gpu_verifier *v, unsigned every, uint64_t *count,
		    uint64_t *verified);

/* FREE again; the jobs have been taken. */
void gpu_slot_reset(struct gpu_slot *s);

struct gpu_verifier *gpu_verifier_new(void);
void gpu_verifier_free(struct gpu_verifier *v);

#endif
