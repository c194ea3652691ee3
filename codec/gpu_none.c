/* Stands for CUDA in a program built without it. */
#include "codec/gpu_driver.h"

#include <stddef.h>

#ifndef MATFS_CUDA
const struct gpu_driver *gpu_driver_cuda(void)
{
	return NULL;
}
#endif
