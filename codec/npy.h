/* The head of numpy's .npy files (versions 1 to 3): how wide a number is, and where the numbers
 * begin.
 * Threads: any. */
#ifndef CODEC_NPY_H
#define CODEC_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct npy {
	uint8_t width;	   /* bytes of one number: 1, 2, 4 or 8; half an item when it is complex */
	uint64_t data_off; /* of the first item in the file */
};

/* Parse the first @len bytes of a file, which must hold the whole head (numpy's are 128 bytes for
 * plain arrays). A record (structured dtype) tells a width when all its fields have the same.
 * Returns false, @npy untouched, for anything else: other files, cut heads, objects, odd widths. */
bool npy_parse(const uint8_t *head, size_t len, struct npy *npy);

#endif
