/* Which arrays of numbers a file holds, and where, as the heads of its kind tell.
 *
 * A codec that knows how wide the numbers are, where they begin and how long a row is need not
 * search for it. All that is told here is a guess: the bytes may lie, and may change later. A wrong
 * answer costs compression, never data, so nothing is verified beyond what keeps the answer whole.
 *
 * Nothing here allocates, the stack needed is some 16 KiB, and the time is linear in the bytes.
 * Threads: any; no state. */
#ifndef CODEC_HEAD_H
#define CODEC_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAD_DIMS     8
#define HEAD_TEXT_LEN 192u /* room for any text that the functions below write */

enum head_kind {
	HEAD_NPY,
	HEAD_NPZ, /* stored members; deflated ones tell nothing */
	HEAD_SAFETENSORS,
	HEAD_HDF5,   /* .h5, netCDF-4, MATLAB 7.3 */
	HEAD_NETCDF, /* classic: CDF-1, -2 and -5 */
	HEAD_FITS,
	HEAD_NRRD,  /* attached and raw */
	HEAD_NIFTI, /* .nii, versions 1 and 2 */
	HEAD_NR_KINDS,
};

/* Of a number. */
enum head_type {
	HEAD_UINT,
	HEAD_INT, /* two's complement; times too */
	HEAD_FLOAT,
	HEAD_BFLOAT, /* bfloat16 */
	HEAD_COMPLEX,
	HEAD_BOOL,
	HEAD_OTHER, /* text, or fields of several types */
	HEAD_NR_TYPES,
};

/* Items that follow each other without gaps. They are ordered as the file has them; @dim is in the
 * order in which people write its shape. */
struct head_array {
	uint64_t start;	 /* file offset of the first item */
	uint64_t end;	 /* exclusive; UINT64_MAX: to the end of the file */
	uint64_t pitch;	 /* bytes from one row to the next; 0: no rows. A multiple of item */
	uint64_t plane;	 /* bytes from one plane of rows to the next; 0: no planes */
	uint32_t item;	 /* bytes of an item: a multiple of width */
	uint32_t group;	 /* neighbours that belong together, in numbers: 2 for complex, 3 for RGB,
			  * all of a record; 1: none do */
	uint8_t kind;	 /* enum head_kind */
	uint8_t type;	 /* enum head_type, of a number */
	uint8_t width;	 /* bytes of a number: 1, 2, 4 or 8; half an item when it is complex; 4 or 8
			  * for longer floats, which are no floats when cut */
	bool big_endian; /* numbers of more than one byte only */
	bool fortran;	 /* the first axis is the fastest, else the last */
	bool record;	 /* an item is several numbers: fields, text */
	bool scattered;	 /* the numbers are somewhere from start to end, at any phase, with other
			  * bytes between */
	uint8_t nr_dims; /* 0: one item, or an unknown shape where there are more */
	uint64_t dim[HEAD_DIMS]; /* the slowest are multiplied where there are more */
};

/* Look for heads in @len bytes that stand at offset @off of a file. At 0 all kinds are tried; as
 * few as 4 KiB will mostly do, but arrays of an HDF5 file are found only as far as its heads are in
 * these bytes. Elsewhere only what can go on there is: what *@next said.
 * @out   filled with up to @cap arrays, sorted by start; they do not overlap. Where there are more,
 *        neighbours of one width and type become one, rows of different pitch at last
 * @next  the offset where the next head is to be looked for, always behind @off (.npz, FITS); 0:
 *        there is none
 * Returns the number of arrays. */
unsigned head_find(const uint8_t *bytes, size_t len, uint64_t off, struct head_array *out,
		   unsigned cap, uint64_t *next);

/* "npy", "hdf5" and so on. */
const char *head_kind_name(enum head_kind kind);

/* numpy's name of the items ("<f8", "|V24"), or "bfloat16". Returns its length; @buf holds
 * HEAD_TEXT_LEN bytes. */
size_t head_dtype_text(const struct head_array *a, char *buf);

/* The shape as Python writes it ("(3, 4)", "(5,)", "()"). Returns its length, 0 for an unknown one;
 * @buf as above. */
size_t head_shape_text(const struct head_array *a, char *buf);

/* Whether the numbers, cut at @a->width, are floats with sign and exponent in their high bits. */
static inline bool head_is_float(const struct head_array *a)
{
	switch (a->type) {
	case HEAD_FLOAT:
		return a->record || a->item == a->width;
	case HEAD_COMPLEX:
		return a->record || a->item == 2u * a->width;
	default:
		return a->type == HEAD_BFLOAT;
	}
}

#endif
