/* Messages for people. The last lines stay in a ring for `.stats`. */
#include "conf/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "conf/base.h"
#include "conf/lock.h"

#define LINE_LEN   512
#define RING_LINES 64

/* The one piece of state that hangs off a file: a process has one stderr. */
static atomic_int log_level = LOG_LEVEL_NOTE;
static atomic_bool log_syslog;
static struct lock ring_lock = LOCK_STATIC("ring_lock");
static char ring[RING_LINES][LINE_LEN]; /* guarded by ring_lock */
static unsigned ring_next;		/* guarded by ring_lock; lines ever written */

void log_set_level(enum log_level level)
{
	atomic_store(&log_level, (int)level);
}

void log_to_syslog(const char *name)
{
	openlog(name, LOG_PID, LOG_DAEMON);
	atomic_store(&log_syslog, true);
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char line[LINE_LEN];
	va_list ap;

	if ((int)level > atomic_load(&log_level))
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (level <= LOG_LEVEL_NOTE) {
		lock_take(&ring_lock);
		memcpy(ring[ring_next++ % RING_LINES], line, sizeof(line));
		lock_release(&ring_lock);
	}
	if (atomic_load(&log_syslog))
		syslog((int)level, "%s", line);
	else
		fprintf(stderr, "matfs: %s\n", line);
}

/* The first of the kept lines from which on all fit into @len bytes. */
static unsigned log_first_fitting(size_t len) REQUIRES(ring_lock);
static unsigned log_first_fitting(size_t len)
{
	unsigned oldest = ring_next > RING_LINES ? ring_next - RING_LINES : 0;
	unsigned first = ring_next;

	for (size_t need = 1; first > oldest; first--) {
		need += strlen(ring[(first - 1) % RING_LINES]) + 1;
		if (need > len)
			break;
	}
	return first;
}

size_t log_recent(char *buf, size_t len)
{
	size_t pos = 0;

	if (!len)
		return 0;
	buf[0] = 0;
	lock_take(&ring_lock);
	for (unsigned i = log_first_fitting(len); i < ring_next; i++)
		pos += (size_t)snprintf(buf + pos, len - pos, "%s\n", ring[i % RING_LINES]);
	lock_release(&ring_lock);
	return pos;
}
