/* Each kind of file has a parser of its own; this asks them in turn, and writes what they found for
 * people. */
#include "codec/head.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/fits.h"
#include "codec/hdf5.h"
#include "codec/head_list.h"
#include "codec/netcdf.h"
#include "codec/nifti.h"
#include "codec/npy.h"
#include "codec/nrrd.h"
#include "codec/safetensors.h"
#include "codec/zip.h"

static uint64_t ask_npy(const uint8_t *bytes, size_t len, uint64_t off, struct head_list *l)
{
	struct head_array a;

	(void)off;
	if (npy_find(bytes, len, &a))
		head_list_add(l, &a);
	return 0;
}

/* For kinds with one head, at the start of the file. */
#define ASK(kind)                                                                                  \
	static uint64_t ask_##kind(const uint8_t *bytes, size_t len, uint64_t off,                 \
				   struct head_list *l)                                            \
	{                                                                                          \
		(void)off;                                                                         \
		kind##_find(bytes, len, l);                                                        \
		return 0;                                                                          \
	}

ASK(safetensors)
ASK(hdf5)
ASK(netcdf)
ASK(nrrd)
ASK(nifti)
#undef ASK

static const struct kind {
	const char *name;
	uint64_t (*ask)(const uint8_t *bytes, size_t len, uint64_t off, struct head_list *l);
	bool goes_on; /* has heads elsewhere than at the start */
} kinds[HEAD_NR_KINDS] = {
	[HEAD_NPY] = {"npy", ask_npy, false},
	[HEAD_NPZ] = {"npz", zip_find, true},
	[HEAD_SAFETENSORS] = {"safetensors", ask_safetensors, false},
	[HEAD_HDF5] = {"hdf5", ask_hdf5, false},
	[HEAD_NETCDF] = {"netcdf", ask_netcdf, false},
	[HEAD_FITS] = {"fits", fits_find, true},
	[HEAD_NRRD] = {"nrrd", ask_nrrd, false},
	[HEAD_NIFTI] = {"nifti", ask_nifti, false},
};

unsigned head_find(const uint8_t *bytes, size_t len, uint64_t off, struct head_array *out,
		   unsigned cap, uint64_t *next)
{
	struct head_list l = head_list_init(out, cap);
	uint64_t end;

	*next = 0;
	if (cap == 0 || __builtin_add_overflow(off, (uint64_t)len, &end) || end > INT64_MAX)
		return 0;
	for (unsigned i = 0; i < HEAD_NR_KINDS && l.nr == 0 && *next == 0; i++) {
		l.kind = i;
		if (off == 0 || kinds[i].goes_on)
			*next = kinds[i].ask(bytes, len, off, &l);
	}
	return l.nr;
}

const char *head_kind_name(enum head_kind kind)
{
	return kind < HEAD_NR_KINDS ? kinds[kind].name : "";
}

size_t head_dtype_text(const struct head_array *a, char *buf)
{
	static const char letters[HEAD_NR_TYPES] = {
		[HEAD_UINT] = 'u',    [HEAD_INT] = 'i',	 [HEAD_FLOAT] = 'f', [HEAD_BFLOAT] = 'f',
		[HEAD_COMPLEX] = 'c', [HEAD_BOOL] = 'b', [HEAD_OTHER] = 'V',
	};
	bool opaque = a->record || a->type == HEAD_OTHER || a->type >= HEAD_NR_TYPES;
	char order = opaque || a->width == 1 ? '|' : a->big_endian ? '>' : '<';

	if (a->type == HEAD_BFLOAT && !a->record)
		return (size_t)snprintf(buf, HEAD_TEXT_LEN, "bfloat16");
	return (size_t)snprintf(buf, HEAD_TEXT_LEN, "%c%c%" PRIu32, order,
				opaque ? 'V' : letters[a->type], a->item);
}

size_t head_shape_text(const struct head_array *a, char *buf)
{
	size_t n = 0;

	buf[0] = '\0';
	if (a->nr_dims == 0 && (a->scattered || a->end - a->start != a->item))
		return 0;
	buf[n++] = '(';
	for (unsigned i = 0; i < a->nr_dims && i < HEAD_DIMS; i++)
		n += (size_t)snprintf(buf + n, HEAD_TEXT_LEN - n, i ? ", %" PRIu64 : "%" PRIu64,
				      a->dim[i]);
	n += (size_t)snprintf(buf + n, HEAD_TEXT_LEN - n, a->nr_dims == 1 ? ",)" : ")");
	return n;
}
