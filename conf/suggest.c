/* Damerau-Levenshtein distance in its restricted form (no letter is changed twice), over three rows
 * of the table. */
#include "conf/suggest.h"

#include <string.h>

#include "conf/base.h"

unsigned suggest_distance(const char *a, const char *b)
{
	/* Row i of the table: the distances from the first i letters of @a to each start of @b. */
	unsigned rows[3][SUGGEST_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > SUGGEST_MAX || b_len > SUGGEST_MAX)
		return SUGGEST_MAX + 1;
	for (unsigned j = 0; j <= b_len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned *spare = before;

		before = last;
		last = row;
		row = spare;
		row[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			row[j] = MIN(last[j], row[j - 1]) + 1;
			row[j] = MIN(row[j], last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
	}
	return row[b_len];
}

const char *suggest_better(const char *word, const char *best, const char *name)
{
	unsigned distance = suggest_distance(word, name);
	size_t len = MAX(strlen(word), strlen(name));

	/* Up to half of the letters wrong is a slip or a shorter form; more is another word. */
	if (distance > MIN(len, (size_t)SUGGEST_MAX) / 2)
		return best;
	return !best || distance < suggest_distance(word, best) ? name : best;
}
