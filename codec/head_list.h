/* The arrays that a parser has found so far, in the caller's memory. Threads: any; a list belongs
 * to one. */
#ifndef CODEC_HEAD_LIST_H
#define CODEC_HEAD_LIST_H

#include "codec/head.h"

#define HEAD_LIST_CLASSES (HEAD_NR_TYPES * 8)

struct head_list {
	struct head_array *a; /* borrowed; sorted by start, without overlaps */
	unsigned nr;
	unsigned cap;
	enum head_kind kind; /* of what is added */
	bool tight;	     /* merging has gained little: it is not tried again */

	/* What all arrays seen have in common, in bytes. */
	struct head_array largest; /* item 0: none was seen */
	uint64_t largest_len;
	uint64_t total;
	uint64_t of_class[HEAD_LIST_CLASSES];
};

static inline struct head_list head_list_init(struct head_array *a, unsigned cap)
{
	return (struct head_list){.a = a, .cap = cap};
}

static inline bool head_list_full(const struct head_list *l)
{
	return l->nr >= l->cap;
}

/* Take note of an array of @len bytes that is not in one piece, or that is none of numbers (its
 * item is 0). */
void head_list_note(struct head_list *l, const struct head_array *a, uint64_t len);

/* Take in @a, unless it overlaps with another, and take note of it. Where there is no room,
 * neighbours are merged; what finds no place then is left out. */
void head_list_add(struct head_list *l, const struct head_array *a);

/* Guess what lies in larger gaps and behind the last array, from file offset @from on: numbers like
 * those of nearly all bytes noted, if these agree. */
void head_list_rest(struct head_list *l, uint64_t from);

#endif
