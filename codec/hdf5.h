/* The heads of HDF5 files, netCDF-4 and MATLAB 7.3 among them. Threads: any. */
#ifndef CODEC_HDF5_H
#define CODEC_HDF5_H

#include "codec/head_list.h"

/* Add the datasets that the first @len bytes of a file tell, as far as they are in one piece. Where
 * others are chunked, or where not all heads are in these bytes, the rest of the file is guessed to
 * be like most of what was seen. Compressed datasets are not told, and count against such a
 * guess. */
void hdf5_find(const uint8_t *bytes, size_t len, struct head_list *l);

#endif
