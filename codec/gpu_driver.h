/* What the host's side needs of the GPU's: one table of functions, filled by the CUDA runtime
 * (cuda/gpu_runtime.cu) and by the emulation (cuda/gpu_emulated.cpp).
 *
 * Functions return 0 or -errno: -ENODEV no such device, -ENOMEM, -EIO anything else. After -EIO a
 * device is given up.
 * Threads: those with a device or a stream, one at a time for each device; others any. */
#ifndef CODEC_GPU_DRIVER_H
#define CODEC_GPU_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gpu_batch; /* cuda/gpu_batch.h */
struct gpu_dev;	  /* an open device: the driver's */
struct gpu_stream;

enum gpu_memory {
	GPU_DEVICE,
	GPU_PINNED, /* the host's */
};

struct gpu_driver {
	const char *name;
	int (*count)(void *arg, unsigned *nr);
	int (*open)(void *arg, unsigned idx, struct gpu_dev **dev, char *name, size_t name_len);
	/* Memory and streams have been given back. */
	void (*close)(struct gpu_dev *dev);
	/* Instead of giving back and closing, after an error. @stuck: calls may never return, so none
	 * is made and memory stays lost. */
	void (*abandon)(struct gpu_dev *dev, bool stuck);
	int (*alloc)(struct gpu_dev *dev, enum gpu_memory kind, size_t len, void **p);
	void (*free)(struct gpu_dev *dev, enum gpu_memory kind, void *p);
	int (*stream_open)(struct gpu_dev *dev, struct gpu_stream **s);
	void (*stream_close)(struct gpu_stream *s);

	/* Queued; done in order, some time later. Where the host's side is not pinned, the call may
	 * wait for it. */
	int (*copy_in)(struct gpu_stream *s, void *d_dst, const void *h_src, size_t len);
	int (*copy_out)(struct gpu_stream *s, void *h_dst, const void *d_src, size_t len);
	int (*launch)(struct gpu_stream *s, const struct gpu_batch *batch);
	/* 0: all that was queued is done; -EAGAIN: not yet. */
	int (*poll)(struct gpu_stream *s);

	/* Pin memory, for all devices; a range that is pinned already stays so. */
	int (*pin)(void *arg, void *p, size_t len);
	void (*unpin)(void *arg, void *p);
};

/* NULL when this program was built without CUDA. */
const struct gpu_driver *gpu_driver_cuda(void);

#ifdef __cplusplus
}
#endif

#endif
