/* Encoding of extents by GPUs: filter and block encoder of filter.h and block.h, the same bytes.
 *
 * Jobs are collected into batches, a thread for each device; each job is answered exactly once. A
 * GPU can only make things faster: when it fails, jobs come back with an error, the caller encodes
 * them itself, and the device rests for a while.
 *
 * What a device hands back is checked for its form always, and for its bytes, against the CPU's
 * encoder, for the first job after it was opened and one in GPU_VERIFY_EVERY from then on.
 * Threads: any, but for gpu_open() and gpu_close(): one. */
#ifndef CODEC_GPU_H
#define CODEC_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/filter.h"
#include "conf/why.h"

#define GPU_RAW_MAX	 (4u << 20) /* CODEC_RAW_MAX */
#define GPU_JOB_TILES	 32u	    /* CODEC_TILES_MAX */
#define GPU_TRIES_MAX	 64u
#define GPU_DEVICES_MAX	 16u
#define GPU_VERIFY_EVERY 1024u

struct gpu;
struct gpu_driver; /* gpu_driver.h */

/* Zero: the default. */
struct gpu_params {
	const struct gpu_driver *driver; /* NULL: CUDA, if this program was built with it */
	void *driver_arg;
	unsigned nr_devices; /* use no more than these */
	size_t batch_len; /* raw bytes of a batch: 32 MiB; at least GPU_RAW_MAX. Pinned memory is six times
				as much, at the most */
	unsigned verify_every;
	uint64_t deadline_ns; /* a device that makes no progress for so long is lost: 10 s */
	uint64_t rest_ns;     /* before a device that failed is tried again: 30 s, ... */
	uint64_t rest_max_ns; /* ... each time twice as long, up to 10 min */
};

/* A way to filter an extent, for the GPU to choose from. */
struct gpu_try {
	struct filter filter;
	uint32_t handicap; /* bytes, added to the estimate of the tile that is looked at */
};

/* An extent. The caller fills the first group, and keeps it and what it points to, unchanged, until
 * done() is called. */
struct gpu_job {
	const uint8_t
		*raw;	/* any address; in gpu_register()ed memory it is not copied by the CPU */
	size_t raw_len; /* 1 to GPU_RAW_MAX */
	unsigned phase; /* bytes before the first item; with tries, if items had 8 bytes */
	struct filter filter;
	const struct gpu_try *tries; /* or NULL: @filter it is */
	unsigned nr_tries;	     /* up to GPU_TRIES_MAX */
	uint8_t *dst;
	size_t dst_room;
	/* Called once, by one of this module's threads, never from within gpu_submit(). May submit, and
	 * free the job; must not block for long, nor call gpu_close(). */
	void (*done)(struct gpu_job *j);

	/* Results. 0: @dst has the frames of all tiles, one behind the other. -ENOSPC: longer than
	 * @dst_room. -ENODEV: no device is ready. -EIO: the device failed. -EINVAL: bad arguments. */
	int err;
	struct filter used;
	size_t payload_len;
	uint32_t tile_len[GPU_JOB_TILES];

	/* gpu's own */
	struct gpu_job *next;
	bool pinned; /* raw */
};

/* Start the driver and all devices; blocks for seconds. After fork(), as CUDA does not survive one.
 * Returns 0; -ENODEV: there is none, or none that works; -ENOMEM; -EINVAL: @p. @why says which. */
int gpu_open(const struct gpu_params *p, struct gpu **out, const struct why *why);

/* Answer all jobs, then end. */
void gpu_close(struct gpu *g);

/* False: a job would come back with -ENODEV. */
bool gpu_ready(struct gpu *g);

void gpu_submit(struct gpu *g, struct gpu_job *j);

/* When a job of @len bytes would be done, if it were submitted now. UINT64_MAX: not ready. */
uint64_t gpu_expected_ns(struct gpu *g, size_t len);

/* Memory that jobs' raw bytes will often be in. Pins it. Returns 0; -ENOMEM, -EIO, and all works as
 * without. Not to be freed before gpu_unregister(), which is not to be called while a job is in
 * it. */
int gpu_register(struct gpu *g, void *p, size_t len);
void gpu_unregister(struct gpu *g, void *p);

enum gpu_state {
	GPU_STARTING,
	GPU_READY,
	GPU_RETIRED, /* rests; will be tried again */
	GPU_STATES,
};

extern const char *const gpu_state_name[GPU_STATES];

struct gpu_stat {
	enum gpu_state state;
	char name[64];
	char reason[96]; /* of the last retirement; empty: there was none */
	uint64_t jobs, batches;
	uint64_t raw_bytes, stored_bytes;
	uint64_t errors; /* jobs answered with -EIO */
	uint64_t retirements;
	uint64_t verified; /* jobs compared with the CPU's bytes */
	uint64_t rate;	   /* raw bytes a second, lately, while busy */
	uint64_t queued;   /* raw bytes, in batches or waiting for one */
	size_t batch_len;
};

unsigned gpu_nr(struct gpu *g);
void gpu_stats(struct gpu *g, unsigned idx, struct gpu_stat *out);

#endif
