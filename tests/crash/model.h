/* A small model of a volume in memory, for crash tests: what a file system with these names holds, as one number.
 *
 * Paths are "fNN" in one of a few directories; files are bytes, link counts and one attribute. model_hash() of two
 * models, or of a model and a volume (model_read()), is equal exactly when a user would find the same in both. */
#ifndef TESTS_CRASH_MODEL_H
#define TESTS_CRASH_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/fs.h"

#define MODEL_DIRS    3
#define MODEL_NAMES   8 /* in each directory */
#define MODEL_LEN_MAX (600 * 1024)

struct model_file {
	uint64_t ino; /* of the volume, to tell hard links */
	unsigned nlink;
	uint8_t *bytes;
	size_t len;
	uint64_t xattr; /* 0: none */
	uint32_t mode;
	char *target; /* a symlink's */
	uint64_t sum; /* of bytes; valid when sum_ok */
	bool sum_ok;
	unsigned changed; /* number of the last operation that changed it */
};

struct model {
	bool dir[MODEL_DIRS];
	uint64_t dir_ino[MODEL_DIRS]; /* from model_read() */
	struct model_file *name[MODEL_DIRS][MODEL_NAMES];
};

#define MODEL_PARTS (MODEL_DIRS + MODEL_DIRS * MODEL_NAMES)

/* A number for each directory (being there) and each name; model_hash() is one for all. */
void model_parts(struct model *m, uint64_t part[MODEL_PARTS]);
uint64_t model_hash(struct model *m);
void model_fini(struct model *m);
/* Let a name go; the file with its last one. */
void model_unlink(struct model *m, unsigned dir, unsigned name);
struct model_file *model_file_new(void);
void model_resize(struct model_file *f, size_t len);

void model_dir_name(unsigned dir, char buf[16]);
void model_file_name(unsigned name, char buf[16]);

/* Read a whole volume. Returns 0, or the error of a read; what cannot be in a model is -EUCLEAN. */
int model_read(struct fs *fs, struct model *out);

#endif
