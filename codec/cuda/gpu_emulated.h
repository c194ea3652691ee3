/* A driver whose GPU is emulated, and which fails on demand. For tests. */
#ifndef CODEC_CUDA_GPU_EMULATED_H
#define CODEC_CUDA_GPU_EMULATED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/gpu_driver.h"

#define GPU_EMULATED_MAX 4u

/* What can be counted, and made to fail. */
enum gpu_emulated_call {
	GPU_CALL_COUNT,
	GPU_CALL_OPEN,
	GPU_CALL_ALLOC,
	GPU_CALL_STREAM,
	GPU_CALL_COPY_IN,
	GPU_CALL_COPY_OUT,
	GPU_CALL_LAUNCH,
	GPU_CALL_PIN,
	GPU_CALLS,
};

enum gpu_emulated_fault {
	GPU_FAULT_NONE,
	GPU_FAULT_ERROR, /* -EIO; -ENOMEM of allocations, -ENODEV of opening */
	GPU_FAULT_LOST,	 /* -EIO, from then on from all calls, until the device is opened again */
	GPU_FAULT_HANG,	 /* what was queued is never done */
	GPU_FAULT_STUCK, /* the call does not return before gpu_emulated_release() */
	GPU_FAULT_BYTES, /* of launches: a wrong byte in the stored bytes of the first extent ... */
	GPU_FAULT_LENGTHS, /* ... or in its lengths, ... */
	GPU_FAULT_PLACE,   /* ... or where it is, ... */
	GPU_FAULT_WAY,	   /* ... or which filter was used */
};

/* How batches are encoded. */
enum gpu_emulated_by {
	GPU_BY_KERNELS, /* by the kernels (emulate.h), some MB/s */
	GPU_BY_CPU,	/* by the CPU's encoder: the same bytes, much faster */
	GPU_BY_NOBODY,	/* not at all: each extent is longer than its room */
};

struct gpu_emulated_dev;

/* The driver's argument. Fields of the first group are set before it is used, or, as the others,
 * through the functions below. */
struct gpu_emulated {
	unsigned nr_devices;
	size_t memory;	  /* the device's, bytes; 0: no limit */
	size_t pinnable;  /* the host's that can be pinned; 0: no limit */
	uint64_t slow_ns; /* what a batch takes at least, in addition */
	enum gpu_emulated_by by;

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t released;
	struct {
		enum gpu_emulated_call call;
		enum gpu_emulated_fault fault;
		unsigned nth;  /* call of this kind from now on, from 1; 0: none */
		bool for_good; /* all later ones, too */
	} plan;
	bool release;
	unsigned calls[GPU_CALLS];
	unsigned nr_open;
	unsigned nr_stuck;
	size_t bytes_pinned_in; /* copied in from memory that was pinned, and other */
	size_t bytes_other_in;
	struct gpu_emulated_pin *pins;
	struct gpu_emulated_dev *left; /* abandoned while stuck */
};

extern const struct gpu_driver gpu_emulated_driver;

void gpu_emulated_init(struct gpu_emulated *e, unsigned nr_devices);
/* Frees what stuck devices have left, too. */
void gpu_emulated_fini(struct gpu_emulated *e);

/* The @nth call of that kind from now on fails. */
void gpu_emulated_plan(struct gpu_emulated *e, enum gpu_emulated_call call,
		       enum gpu_emulated_fault fault, unsigned nth, bool for_good);
void gpu_emulated_heal(struct gpu_emulated *e);
/* Let stuck calls return, with -EIO. */
void gpu_emulated_release(struct gpu_emulated *e);
unsigned gpu_emulated_calls(struct gpu_emulated *e, enum gpu_emulated_call call);

#endif
