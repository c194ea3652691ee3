/* What gpu.c and gpu_device.c have in common: the devices' owner. */
#ifndef CODEC_GPU_INNER_H
#define CODEC_GPU_INNER_H

#include "codec/gpu.h"
#include "codec/gpu_device.h"
#include "conf/lock.h"

#define GPU_REGIONS 64u

struct gpu_region {
	uint8_t *p;
	size_t len;
};

struct gpu {
	struct gpu_params params; /* complete */
	const struct gpu_driver *drv;
	unsigned nr;
	struct gpu_device *device; /* `nr` */
	pthread_t watch;
	struct lock lock;
	struct cond wake;   /* the watch */
	struct cond pinned; /* `pinning` went down */

	/* guarded by lock */
	struct gpu_jobs homeless; /* no device is ready for them */
	bool stop;
	struct gpu_region region[GPU_REGIONS];
	unsigned nr_regions;
	unsigned pinning; /* threads that pin all regions again; none is given up meanwhile */
};

bool gpu_is_pinned(struct gpu *g, const uint8_t *p, size_t len);
/* Pin all regions again, after a device was lost and with it, perhaps, what it knew of them. */
void gpu_pin_again(struct gpu *g);

#endif
