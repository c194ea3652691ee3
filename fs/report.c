/* A report grows in an open_memstream(); the first write that fails shows at the end. Text tables are kept as cells
 * until they are complete, since the widths of their columns are known only then. */
#include "fs/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/base.h"

#define DEPTH_MAX  8
#define LABEL_LEN  22 /* width of a fact's name in text */
#define VALUE_LEN  32
#define COLUMN_MAX 16

struct cell {
	char *text; /* heap */
	bool number;
};

struct report {
	enum report_form form;
	FILE *f;
	char *buf;
	size_t len;
	bool no_memory;

	unsigned depth;
	bool filled[DEPTH_MAX]; /* JSON: something stands there already, so that a comma is due */

	/* the table being written */
	bool in_table, keyed, in_row;
	unsigned nr_columns; /* of the first row */
	unsigned column;     /* of this row, so far */
	unsigned nr_rows;
	char head[COLUMN_MAX][LABEL_LEN];
	struct cell *cell; /* text: nr_rows * nr_columns */
	size_t nr_cells, cap_cells;
};

int report_new(enum report_form form, struct report **out)
{
	struct report *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->form = form;
	r->f = open_memstream(&r->buf, &r->len);
	if (!r->f) {
		free(r);
		return -ENOMEM;
	}
	if (form == REPORT_JSON)
		fputc('{', r->f);
	*out = r;
	return 0;
}

int report_end(struct report *r, char **out, size_t *len)
{
	bool bad;

	if (r->form == REPORT_JSON)
		fputs("\n}\n", r->f);
	bad = ferror(r->f) || r->no_memory;
	bad = fclose(r->f) || bad;
	if (bad) {
		free(r->buf);
	} else {
		*out = r->buf;
		*len = r->len;
	}
	free(r->cell);
	free(r);
	return bad ? -ENOMEM : 0;
}

/* ---- letters ---- */

/* The length of the UTF-8 sequence at @s, as RFC 3629 allows them, or 0. */
static unsigned utf8_len(const uint8_t *s)
{
	uint8_t low = 0x80, high = 0xbf;
	unsigned n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (unsigned i = 2; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

static void json_string(FILE *f, const char *text, size_t len)
{
	const uint8_t *s = (const uint8_t *)text, *end = s + len;

	fputc('"', f);
	while (s < end) {
		unsigned n = utf8_len(s);

		if (n == 0)
			fprintf(f, "\\udc%02x", *s);
		else if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			fprintf(f, "\\u%04x", *s);
		else
			fwrite(s, 1, n, f);
		s += n ? n : 1;
	}
	fputc('"', f);
}

static void plain_string(FILE *f, const char *text)
{
	const uint8_t *s = (const uint8_t *)text;

	while (*s) {
		unsigned n = utf8_len(s);

		if (n == 0 || *s < 0x20 || *s == 0x7f)
			fputc('?', f);
		else
			fwrite(s, 1, n, f);
		s += n ? n : 1;
	}
}

static unsigned plain_width(const char *text)
{
	unsigned width = 0;

	for (const uint8_t *s = (const uint8_t *)text; *s; width++) {
		unsigned n = utf8_len(s);

		s += n ? n : 1;
	}
	return width;
}

static void print_label(const char *name, char out[LABEL_LEN])
{
	snprintf(out, LABEL_LEN, "%s", name);
	for (char *p = out; *p; p++)
		*p = *p == '_' ? ' ' : *p;
}

static void print_bytes(uint64_t n, char out[VALUE_LEN])
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)n;
	unsigned i = 0;

	for (; v >= 1024 && i + 1 < ARRAY_LEN(unit); i++)
		v /= 1024;
	snprintf(out, VALUE_LEN, i ? "%.1f %s" : "%.0f %s", v, unit[i]);
}

static void print_ns(uint64_t n, char out[VALUE_LEN])
{
	static const char *const unit[] = {"ns", "us", "ms", "s"};
	double v = (double)n;
	unsigned i = 0;

	for (; v >= 1000 && i + 1 < ARRAY_LEN(unit); i++)
		v /= 1000;
	snprintf(out, VALUE_LEN, i ? "%.1f %s" : "%.0f %s", v, unit[i]);
}

/* ---- structure ---- */

static void json_indent(struct report *r)
{
	fputs(r->filled[r->depth] ? ",\n" : "\n", r->f);
	r->filled[r->depth] = true;
	for (unsigned i = 0; i <= r->depth; i++)
		fputc('\t', r->f);
}

static void json_name(struct report *r, const char *name, const char *suffix)
{
	/* A table's facts stand on one line. */
	if (r->in_row) {
		fputs(r->filled[r->depth] ? ", " : "", r->f);
		r->filled[r->depth] = true;
	} else {
		json_indent(r);
	}
	if (name)
		fprintf(r->f, "\"%s%s\": ", name, suffix);
}

static void json_open(struct report *r, char c)
{
	fputc(c, r->f);
	if (r->depth + 1 < DEPTH_MAX)
		r->depth++;
	r->filled[r->depth] = false;
}

static void json_close(struct report *r, char c)
{
	bool line = r->filled[r->depth] && !r->in_row;

	r->depth--;
	if (line) {
		fputc('\n', r->f);
		for (unsigned i = 0; i <= r->depth; i++)
			fputc('\t', r->f);
	}
	fputc(c, r->f);
}

static void report_open(struct report *r, const char *name, char bracket)
{
	char label[LABEL_LEN];

	if (r->form == REPORT_JSON) {
		json_name(r, name, "");
		json_open(r, bracket);
		return;
	}
	print_label(name, label);
	fprintf(r->f, "%s%s\n", r->filled[0] ? "\n" : "", label);
	r->filled[0] = true;
}

void report_group(struct report *r, const char *name)
{
	report_open(r, name, '{');
}

void report_group_end(struct report *r)
{
	if (r->form == REPORT_JSON)
		json_close(r, '}');
}

/* ---- tables ---- */

void report_table(struct report *r, const char *name, bool keyed)
{
	r->keyed = keyed;
	r->in_table = true;
	r->nr_columns = r->nr_rows = r->column = 0;
	r->nr_cells = 0;
	report_open(r, name, keyed ? '{' : '[');
}

static void table_cell(struct report *r, const char *name, const char *text, bool number)
{
	if (r->nr_rows == 1 && r->column < COLUMN_MAX) {
		print_label(name, r->head[r->column]);
		r->nr_columns = r->column + 1;
	}
	if (r->column++ >= r->nr_columns)
		return;
	if (r->nr_cells == r->cap_cells) {
		size_t cap = MAX((size_t)64, r->cap_cells * 2);
		struct cell *cell = reallocarray(r->cell, cap, sizeof(*cell));

		if (!cell) {
			r->no_memory = true;
			return;
		}
		r->cell = cell;
		r->cap_cells = cap;
	}
	r->cell[r->nr_cells] = (struct cell){.text = strdup(text), .number = number};
	r->no_memory |= !r->cell[r->nr_cells++].text;
}

static void row_end(struct report *r)
{
	if (r->form == REPORT_JSON && r->in_row)
		json_close(r, '}');
	r->in_row = false;
}

void report_row(struct report *r, const char *key)
{
	row_end(r);
	r->nr_rows++;
	r->column = 0;
	if (r->form == REPORT_JSON) {
		json_name(r, key, "");
		json_open(r, '{');
	} else if (key) {
		table_cell(r, "", key, false);
	}
	r->in_row = true;
}

static void print_cell(struct report *r, const char *text, unsigned width, bool right)
{
	int pad = (int)(width - MIN(width, plain_width(text)));

	fprintf(r->f, "  %*s", right ? pad : 0, "");
	plain_string(r->f, text);
	fprintf(r->f, "%*s", right ? 0 : pad, "");
}

static void table_print(struct report *r)
{
	unsigned width[COLUMN_MAX] = {0}, n = r->nr_columns;

	if (!n)
		return;
	for (unsigned i = 0; i < n; i++)
		width[i] = plain_width(r->head[i]);
	for (size_t i = 0; i < r->nr_cells; i++)
		width[i % n] = MAX(width[i % n], plain_width(r->cell[i].text));
	for (unsigned i = 0; i < n; i++)
		print_cell(r, r->head[i], width[i], r->cell[i].number);
	for (size_t i = 0; i < r->nr_cells; i++) {
		if (i % n == 0)
			fputc('\n', r->f);
		print_cell(r, r->cell[i].text, width[i % n], r->cell[i].number);
	}
	fputc('\n', r->f);
}

void report_table_end(struct report *r)
{
	row_end(r);
	if (r->form == REPORT_JSON)
		json_close(r, r->keyed ? '}' : ']');
	else if (!r->no_memory)
		table_print(r);
	for (size_t i = 0; i < r->nr_cells; i++)
		free(r->cell[i].text);
	r->nr_cells = 0;
	r->in_table = false;
}

/* ---- facts ---- */

static void text_fact(struct report *r, const char *name, const char *value, bool number)
{
	char label[LABEL_LEN];

	if (r->in_table) {
		table_cell(r, name, value, number);
		return;
	}
	print_label(name, label);
	fprintf(r->f, "  %-*s", LABEL_LEN, label);
	plain_string(r->f, value);
	fputc('\n', r->f);
}

void report_text(struct report *r, const char *name, const char *value)
{
	if (r->form == REPORT_TEXT) {
		text_fact(r, name, value, false);
		return;
	}
	json_name(r, name, "");
	json_string(r->f, value, strlen(value));
}

void report_number(struct report *r, const char *name, enum report_unit unit, uint64_t value)
{
	static const char *const suffix[] = {"", "_bytes", "_ns"};
	char text[VALUE_LEN];

	if (r->form == REPORT_JSON) {
		json_name(r, name, suffix[unit]);
		fprintf(r->f, "%" PRIu64, value);
		return;
	}
	if (unit == REPORT_BYTES)
		print_bytes(value, text);
	else if (unit == REPORT_NS)
		print_ns(value, text);
	else
		snprintf(text, sizeof(text), "%" PRIu64, value);
	text_fact(r, name, text, true);
}

void report_ratio(struct report *r, const char *name, double value)
{
	char text[VALUE_LEN];

	snprintf(text, sizeof(text), "%.3f", value);
	if (r->form == REPORT_TEXT) {
		text_fact(r, name, text, true);
		return;
	}
	json_name(r, name, "");
	fputs(text, r->f);
}

void report_flag(struct report *r, const char *name, bool value)
{
	if (r->form == REPORT_TEXT) {
		text_fact(r, name, value ? "yes" : "no", false);
		return;
	}
	json_name(r, name, "");
	fputs(value ? "true" : "false", r->f);
}

void report_lines(struct report *r, const char *name, const char *lines)
{
	report_open(r, name, '[');
	while (*lines) {
		size_t len = strcspn(lines, "\n");
		AUTO_FREE char *line = strndup(lines, len);

		lines += len + (lines[len] == '\n');
		if (!line) {
			r->no_memory = true;
			break;
		}
		if (r->form == REPORT_JSON) {
			json_name(r, NULL, "");
			json_string(r->f, line, len);
		} else {
			fputs("  ", r->f);
			plain_string(r->f, line);
			fputc('\n', r->f);
		}
	}
	if (r->form == REPORT_JSON)
		json_close(r, ']');
}
