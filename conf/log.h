/* Messages for people: to stderr until log_to_syslog(), then to syslog(3). One line each, no trailing newline.
 * (The file system's own log of metadata is raid/replica and fs/commit, not this.)
 * Threads: any. */
#ifndef CONF_LOG_H
#define CONF_LOG_H

#include <stddef.h>

enum log_level {
	LOG_LEVEL_ERROR = 3, /* the numbers are syslog's */
	LOG_LEVEL_WARN = 4,
	LOG_LEVEL_NOTE = 5,
	LOG_LEVEL_DEBUG = 7,
};

/* Nothing above @level is written. The default is LOG_LEVEL_NOTE. */
void log_set_level(enum log_level level);
void log_to_syslog(const char *name);

/* The newest lines are kept in memory, too, for `.stats`. Copies as many of them as fit whole into @len bytes, oldest
 * first, each with a newline, NUL-terminated. Returns the bytes before the NUL. */
size_t log_recent(char *buf, size_t len);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_note(...)  log_write(LOG_LEVEL_NOTE, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
