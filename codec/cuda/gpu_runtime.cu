/* The driver table on the CUDA runtime, and the kernels it launches. The runtime is linked in, and
 * looks for the machine's driver when it is first called: a program with this runs where there is
 * none. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/cuda/gpu_pipeline.cuh"
#include "codec/gpu_driver.h"

struct gpu_dev {
	int idx;
};

struct gpu_stream {
	gpu_dev *dev;
	cudaStream_t stream;
};

static int translate(cudaError_t err)
{
	if (err == cudaSuccess)
		return 0;
	/* Else the next call that asks for the last error gets this one. */
	(void)cudaGetLastError();
	switch (err) {
	case cudaErrorNotReady:
		return -EAGAIN;
	case cudaErrorMemoryAllocation:
		return -ENOMEM;
	case cudaErrorNoDevice:
	case cudaErrorInsufficientDriver:
	case cudaErrorInvalidDevice:
	case cudaErrorDevicesUnavailable:
	case cudaErrorDeviceUninitialized:
	case cudaErrorNoKernelImageForDevice:
	case cudaErrorSystemDriverMismatch:
	case cudaErrorSystemNotReady:
	case cudaErrorStubLibrary:
		return -ENODEV;
	default:
		return -EIO;
	}
}

static int runtime_count(void *arg, unsigned *nr)
{
	int count = 0;
	int err = translate(cudaGetDeviceCount(&count));

	(void)arg;
	if (!err)
		*nr = (unsigned)count;
	return err;
}

static int runtime_open(void *arg, unsigned idx, struct gpu_dev **out, char *name, size_t name_len)
{
	cudaDeviceProp prop;
	cudaFuncAttributes attr;
	gpu_dev *dev;
	int err;

	(void)arg;
	err = translate(cudaGetDeviceProperties(&prop, (int)idx));
	if (err)
		return err;
	snprintf(name, name_len, "%s", prop.name);
	err = translate(cudaSetDevice((int)idx));
	/* Makes the context. */
	if (!err)
		err = translate(cudaFree(NULL));
	/* Fails when this program has no code for such a processor. */
	if (!err)
		err = translate(cudaFuncGetAttributes(&attr, gpu_encode));
	if (err)
		return err;
	dev = static_cast<gpu_dev *>(malloc(sizeof(*dev)));
	if (!dev)
		return -ENOMEM;
	dev->idx = (int)idx;
	*out = dev;
	return 0;
}

static void runtime_close(struct gpu_dev *dev)
{
	free(dev);
}

static void runtime_abandon(struct gpu_dev *dev, bool stuck)
{
	/* Ends the context, and with it all that was allocated and any copy in flight. */
	if (!stuck && cudaSetDevice(dev->idx) == cudaSuccess)
		(void)cudaDeviceReset();
	(void)cudaGetLastError();
	free(dev);
}

static int runtime_alloc(struct gpu_dev *dev, enum gpu_memory kind, size_t len, void **p)
{
	int err = translate(cudaSetDevice(dev->idx));

	if (err)
		return err;
	if (kind == GPU_DEVICE)
		return translate(cudaMalloc(p, len));
	return translate(cudaHostAlloc(p, len, cudaHostAllocPortable));
}

static void runtime_free(struct gpu_dev *dev, enum gpu_memory kind, void *p)
{
	(void)cudaSetDevice(dev->idx);
	if (kind == GPU_DEVICE)
		(void)cudaFree(p);
	else
		(void)cudaFreeHost(p);
}

static int runtime_stream_open(struct gpu_dev *dev, struct gpu_stream **out)
{
	int err = translate(cudaSetDevice(dev->idx));
	gpu_stream *s;

	if (err)
		return err;
	s = static_cast<gpu_stream *>(malloc(sizeof(*s)));
	if (!s)
		return -ENOMEM;
	s->dev = dev;
	err = translate(cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking));
	if (err) {
		free(s);
		return err;
	}
	*out = s;
	return 0;
}

static void runtime_stream_close(struct gpu_stream *s)
{
	(void)cudaStreamDestroy(s->stream);
	free(s);
}

static int runtime_copy_in(struct gpu_stream *s, void *d_dst, const void *h_src, size_t len)
{
	return translate(cudaMemcpyAsync(d_dst, h_src, len, cudaMemcpyHostToDevice, s->stream));
}

static int runtime_copy_out(struct gpu_stream *s, void *h_dst, const void *d_src, size_t len)
{
	return translate(cudaMemcpyAsync(h_dst, d_src, len, cudaMemcpyDeviceToHost, s->stream));
}

static int runtime_launch(struct gpu_stream *s, const struct gpu_batch *batch)
{
	int err = translate(cudaSetDevice(s->dev->idx));

	if (err)
		return err;
	gpu_pipeline(*batch, s->stream);
	return translate(cudaGetLastError());
}

static int runtime_poll(struct gpu_stream *s)
{
	return translate(cudaStreamQuery(s->stream));
}

static int runtime_pin(void *arg, void *p, size_t len)
{
	cudaError_t err = cudaHostRegister(p, len, cudaHostRegisterPortable);

	(void)arg;
	if (err == cudaErrorHostMemoryAlreadyRegistered) {
		(void)cudaGetLastError();
		return 0;
	}
	return translate(err);
}

static void runtime_unpin(void *arg, void *p)
{
	(void)arg;
	(void)translate(cudaHostUnregister(p));
}

static const struct gpu_driver runtime = {
	"CUDA",		 runtime_count,	      runtime_open,
	runtime_close,	 runtime_abandon,     runtime_alloc,
	runtime_free,	 runtime_stream_open, runtime_stream_close,
	runtime_copy_in, runtime_copy_out,    runtime_launch,
	runtime_poll,	 runtime_pin,	      runtime_unpin,
};

const struct gpu_driver *gpu_driver_cuda(void)
{
	return &runtime;
}
