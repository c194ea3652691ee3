/* What `.stats` and `.stats.json` say. */
#ifndef FS_STATS_H
#define FS_STATS_H

#include "fs/ops.h"
#include "fs/report.h"

/* Everything about a mount, now. *out: heap. -ENOMEM. Threads: any. */
int stats_make(struct ops *o, enum report_form form, char **out, size_t *len);

#endif
