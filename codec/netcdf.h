/* The head of classic netCDF files (CDF-1, CDF-2, CDF-5): grids of the weather. Threads: any. */
#ifndef CODEC_NETCDF_H
#define CODEC_NETCDF_H

#include "codec/head_list.h"

/* Add the variables that the first @len bytes of a file tell. Those with a record dimension lie
 * between each other, and are told as one when they are alike. */
void netcdf_find(const uint8_t *bytes, size_t len, struct head_list *l);

#endif
