/* Settings files. inih takes a line apart; we hand it the lines, since what it does to some of them
 * depends on how the distribution built it, and is not said: it cuts sections at 50 bytes and lines
 * at (usually) 200, and takes an indented line for more of the line above. So the reader below
 *   - counts lines, and refuses one that would not fit as a whole, or that holds a zero byte;
 * - passes over comments, sections (which it keeps), a byte order mark, indentation, carriage
 * returns;
 *   - lets a name stand alone, which inih would call an error.
 * What is left for inih is `name = value ; comment`. */
#include "conf/inifile.h"

#include <ctype.h>
#include <ini.h>
#include <string.h>

#include "conf/base.h"
#include "conf/text.h"

/* Only comments and sections may be longer than inih's lines, and not longer than this. */
#define INIFILE_LINE_LEN 8192

struct reader {
	FILE *f;
	const char *path;
	struct settings *list;
	const struct why *why;
	unsigned line;
	int err;   /* what ended the reading early */
	bool bare; /* this line is a name alone */
	char section[INIFILE_LINE_LEN];
	char buf[INIFILE_LINE_LEN]; /* this line, without indentation and newline */
};

/* Returns the first byte of the line that counts, or NULL: end of file, or reader->err. */
static char *inifile_get_line(struct reader *r)
{
	size_t len = 0;
	int c;

	while ((c = getc(r->f)) != EOF && c != '\n') {
		if (!c)
			r->err = why_say(r->why, -EINVAL, "%s:%u: a zero byte; this is no text",
					 r->path, r->line + 1);
		else if (len + 1 >= sizeof(r->buf))
			r->err = why_say(r->why, -EINVAL, "%s:%u: line is longer than %zu bytes",
					 r->path, r->line + 1, sizeof(r->buf) - 1);
		if (r->err)
			return NULL;
		r->buf[len++] = (char)c;
	}
	if (ferror(r->f))
		r->err = why_say(r->why, -EINVAL, "%s: %m", r->path);
	if (r->err || (c == EOF && !len))
		return NULL;
	while (len && isspace((unsigned char)r->buf[len - 1]))
		len--;
	r->buf[len] = 0;
	r->line++;
	if (r->line == 1 && strncmp(r->buf, "\xef\xbb\xbf", 3) == 0)
		return r->buf + 3;
	return r->buf;
}

/* What may stand behind a section: nothing, or a comment. */
static bool inifile_is_rest(const char *text)
{
	const char *p = text + strspn(text, " \t");

	return !*p || (p > text && strchr(";#", *p));
}

/* @text begins with '['. A mountpoint may hold a ']', so the end is one with nothing behind it. */
static void inifile_take_section(struct reader *r, const char *text)
{
	const char *end = strchr(text, ']');

	while (end && !inifile_is_rest(end + 1))
		end = strchr(end + 1, ']');
	if (!end) {
		r->err = why_say(r->why, -EINVAL, "%s:%u: %.80s: a section ends with ]", r->path,
				 r->line, text);
		return;
	}
	memcpy(r->section, text + 1, (size_t)(end - text - 1));
	r->section[end - text - 1] = 0;
}

/* Where a comment begins that stands behind something, or the end. */
static size_t inifile_comment(const char *text)
{
	size_t i = 0;

	while (text[i] && !(text[i] == ';' && i && isspace((unsigned char)text[i - 1])))
		i++;
	return i;
}

/* One line as inih wants it: @num bytes at @out, with newline. It would ask for the rest of a line
 * that fills them. */
static void inifile_put_line(struct reader *r, const char *text, char *out, int num)
{
	size_t max = num > 4 ? (size_t)num - 4 : 0;
	size_t len = strlen(text);

	r->bare = !memchr(text, '=', inifile_comment(text)) &&
		  !memchr(text, ':', inifile_comment(text));
	if (r->bare)
		len = inifile_comment(text);
	if (len > max) {
		r->err = why_say(r->why, -EINVAL,
				 "%s:%u: line is longer than %zu bytes (a list of shards may go on "
				 "in a second shards= line)",
				 r->path, r->line, max);
		return;
	}
	snprintf(out, (size_t)num, "%.*s%s\n", (int)len, text, r->bare ? "=" : "");
}

/* fgets() for inih. */
static char *inifile_reader(char *out, int num, void *stream)
{
	struct reader *r = stream;
	char *text = r->err ? NULL : inifile_get_line(r);

	if (!text)
		return NULL;
	text += strspn(text, " \t\v\f\r");
	/* inih sees an empty line for what it has no part in, so that it counts as we do. */
	snprintf(out, (size_t)num, "\n");
	if (*text == '[')
		inifile_take_section(r, text);
	else if (*text && !strchr(";#", *text))
		inifile_put_line(r, text, out, num);
	return r->err ? NULL : out;
}

/* A comment that inih does not take for one would end up in a path. */
static bool inifile_has_hash(const char *value)
{
	for (const char *p = strchr(value, '#'); p; p = strchr(p + 1, '#')) {
		if (p > value && isspace((unsigned char)p[-1]))
			return true;
	}
	return false;
}

static int inifile_handle(struct reader *r, const char *name, const char *value)
{
	AUTO_FREE char *from = text_format("%s:%u", r->path, r->line);

	if (!from)
		return -ENOMEM;
	if (inifile_has_hash(value))
		return why_say(r->why, -EINVAL, "%s: %s: a comment behind a value begins with ;",
			       from, name);
	return setting_add(r->list, name, r->bare ? NULL : value, from, r->section);
}

/* inih's own section is cut short; ours is not. */
static int inifile_handler(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;

	(void)section;
	if (!r->err)
		r->err = inifile_handle(r, name, value ? value : "");
	return !r->err;
}

int inifile_read_stream(FILE *f, const char *path, struct settings *list, const struct why *why)
{
	AUTO_FREE struct reader *r = calloc(1, sizeof(*r));
	int line;

	if (!r)
		return -ENOMEM;
	r->f = f;
	r->path = path;
	r->list = list;
	r->why = why;
	line = ini_parse_stream(inifile_reader, r, inifile_handler, r);
	if (r->err)
		return r->err;
	if (line < 0)
		return -ENOMEM;
	if (line > 0)
		return why_say(why, -EINVAL, "%s:%d: neither a setting, a [section] nor a comment",
			       path, line);
	return 0;
}

int inifile_read(const char *path, struct settings *list, const struct why *why)
{
	FILE *f = fopen(path, "re");
	int err;

	if (!f && (errno == ENOENT || errno == ENOTDIR))
		return -ENOENT;
	if (!f)
		return why_say(why, -EINVAL, "%s: %m", path);
	err = inifile_read_stream(f, path, list, why);
	fclose(f);
	return err;
}
