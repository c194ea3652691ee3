/* The nearest right name to a wrong one. Threads: any. */
#ifndef CONF_SUGGEST_H
#define CONF_SUGGEST_H

#include <stddef.h>

#define SUGGEST_MAX 32 /* letters; longer words are near to nothing */

/* How many letters must be put in, taken out, replaced, or swapped with their neighbour to get from
 * @a to @b. SUGGEST_MAX + 1 where either is longer than SUGGEST_MAX. */
unsigned suggest_distance(const char *a, const char *b);

/* What of two was typed rather than the other, for going through a list: start with NULL, give each
 * name, get back the better of @best and @name. Names too far off to be meant are never
 * returned. */
const char *suggest_better(const char *word, const char *best, const char *name);

#endif
