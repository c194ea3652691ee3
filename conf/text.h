/* Text in memory of its own. Threads: any. */
#ifndef CONF_TEXT_H
#define CONF_TEXT_H

/* As asprintf(3), but with one way to fail. The caller's to free; NULL: no memory. */
char *text_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
