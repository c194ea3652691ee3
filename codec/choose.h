/* How one extent is to be stored: which filter, and whose encoder.
 * Threads: any. */
#ifndef CODEC_CHOOSE_H
#define CODEC_CHOOSE_H

#include "codec/codec.h"

#define CHOICES_MAX 64u

/* One way to store an extent. */
struct choice {
	struct filter filter;
	uint8_t phase;	 /* bytes of the extent before its first item */
	uint8_t matches; /* bit b: plane b by libzstd, the others by block.c */
	size_t cost;	 /* stored bytes of the tile that was looked at; a guess */
};

/* What there is to choose from, best first. Empty: store it raw. */
struct choices {
	unsigned nr;
	uint8_t phase; /* bytes of the extent before its first item, if items had 8 bytes */
	struct choice list[CHOICES_MAX];
	enum codec_why why; /* when empty */
	bool recalled;	    /* from memory, nothing was looked at */
};

/* Bytes of work space, aligned to 64. */
size_t choose_work_len(void);

/* Look at @j's bytes, as far as the memory of its file does not tell; remember what was found.
 * Returns 0 or -ENOMEM. */
int choose(const struct codec_job *j, uint8_t *work, struct choices *out);

/* It turned out to be @stored bytes long; raw where that was no @gain.
 * @recalled  as choose() said */
void choose_result(const struct codec_job *j, bool recalled, size_t stored, bool gain);

/* ---- for encoders that look at the bytes themselves ---- */

enum choose_other {
	CHOOSE_HERE,   /* nothing is known, or libzstd does better: choose() */
	CHOOSE_RECALL, /* the one filter in the list */
	CHOOSE_TRY,    /* the best of those in the list; then choose_tried() */
};

/* What another encoder should make of @j, by memory alone. */
enum choose_other choose_other(const struct codec_job *j, struct choices *out);

/* Of a list to try, @best was the best. */
void choose_tried(const struct codec_job *j, const struct filter *best);

#endif
