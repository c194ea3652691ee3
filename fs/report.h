/* Facts written for people (aligned text) or for programs (JSON), by the same calls.
 *
 * A report is groups of facts; a group may hold tables, whose rows all have the same facts in the same order. In JSON a
 * name carries its unit ("delay_ns"); in text the value does ("1.2 ms").
 * Threads: one at a time. */
#ifndef FS_REPORT_H
#define FS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum report_form { REPORT_TEXT, REPORT_JSON };

enum report_unit {
	REPORT_COUNT,
	REPORT_BYTES,
	REPORT_NS,
};

struct report;

int report_new(enum report_form form, struct report **out);
/* The whole text, heap; frees @r in any case. -ENOMEM. */
int report_end(struct report *r, char **out, size_t *len);

/* Names are plain words with '_' between them; they are not escaped. */
void report_group(struct report *r, const char *name);
void report_group_end(struct report *r);

/* JSON: a list of objects, or with @keyed an object of objects. Not within another table. */
void report_table(struct report *r, const char *name, bool keyed);
/* @key: of a keyed table, plain too; else NULL. The facts that follow are the row's. */
void report_row(struct report *r, const char *key);
void report_table_end(struct report *r);

/* Facts. @value may be any bytes: what is not UTF-8 comes as the lone surrogates that Python's os.fsencode() takes
 * back, in text as '?'. */
void report_text(struct report *r, const char *name, const char *value);
void report_number(struct report *r, const char *name, enum report_unit unit, uint64_t value);
void report_ratio(struct report *r, const char *name, double value);
void report_flag(struct report *r, const char *name, bool value);
/* Lines of text (each ends with a newline): in JSON a list of strings. */
void report_lines(struct report *r, const char *name, const char *lines);

#endif
