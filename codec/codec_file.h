/* What is known of one file: the arrays that its heads tell of, and what paid for its last extents.
 * codec.h has the functions that others call.
 * Threads: any; each function takes the file's lock, and copies out. */
#ifndef CODEC_CODEC_FILE_H
#define CODEC_CODEC_FILE_H

#include "codec/codec.h"
#include "codec/head.h"

#define NOTES_BEST ((unsigned)FILTER_NR) /* filters that are kept of a search, one of each kind */

/* What the last search in one array of a file found. All zero: there was none. */
struct codec_notes {
	uint64_t start; /* of the array it is about; 0: of none that a head tells of */
	struct filter best[NOTES_BEST]; /* the first @nr, best first */
	uint8_t nr;
	uint8_t matches; /* planes that libzstd makes shorter than block.c, as in choose.h */
	bool plain;	 /* libzstd does best on plain bytes */
	bool near;	 /* libzstd is worth another trial */
	uint8_t trust;	 /* looks in a row that found the same */
	uint8_t age;	 /* extents since the last */
	uint8_t dull;	 /* searches in vain, in a row */
	uint8_t skip;	 /* extents to store raw with no search, because of these */
	uint16_t
		rate; /* what the first extent after a full search took, in 1/1024 of its raw bytes */
};

/* Copy out the notes about the array that most of [@off, @off + @len) belongs to, and the array.
 * @array->width is 0 where no head tells of one; then, and when the array is another one than the
 * last notes were about, the notes are empty or of no array.
 * @file may be NULL: nothing is known. */
void codec_file_recall(struct codec_file *file, uint64_t off, size_t len, struct head_array *array,
		       struct codec_notes *notes);

/* Keep notes for the next extent. */
void codec_file_note(struct codec_file *file, const struct codec_notes *notes);

#endif
