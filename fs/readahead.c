/* Reads that go on where others ended, or nearly so, are a run; with each read of a run we are further ahead: one unit,
 * two, four, up to the window. A read elsewhere ends the run, so random readers cost nothing. */
#include "fs/readahead.h"

#include "conf/base.h"

/* Reads this far from the expected place still go on: the kernel's own read-ahead has several on the way, in any
 * order, and a reader may skip a little. */
#define SLACK (2 * MIB)
/* Two reads are no run yet unless they are this close and two of their lengths: random ones in a file of 64 MiB are within
 * SLACK of each other one time in sixteen, and reading on costs an extent. */
#define NEAR (128 * KIB)

static bool readahead_goes_on(const struct readahead *r, uint64_t off, uint64_t len)
{
	uint64_t slack = r->run > 1 ? SLACK : MIN(SLACK, NEAR + 2 * MIN(len, SLACK));

	return r->run && off <= r->end + slack && off + len + slack >= r->end;
}

bool readahead_step(struct readahead *r, uint64_t off, uint64_t len, uint64_t unit, uint64_t window,
		    uint64_t *from, uint64_t *n)
{
	uint64_t ahead, stop;

	if (off > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX)
		return false;
	if (!readahead_goes_on(r, off, len)) {
		*r = (struct readahead){.end = off + len, .run = 1};
		return false;
	}
	r->run++;
	r->end = MAX(r->end, off + len);
	ahead = MIN(window, unit << MIN(r->run - 2, 10U));
	/* Whole units, so that none is asked for twice. */
	stop = round_down(r->end, unit) + unit + ahead;
	*from = MAX(r->asked, round_down(r->end, unit) + unit);
	if (*from >= stop || !ahead)
		return false;
	*n = stop - *from;
	r->asked = stop;
	return true;
}
