/* Reads that go on where others ended, or nearly so, are a run; with each read of a run we are further ahead: as much as
 * was read, then what is left of the unit, one unit more, two, four, up to the window; so also for reads that each end
 * where the one before began. Reads at a constant distance, four of them, are a stride: then each place that comes is
 * asked for by itself, one, two, four ahead. A read that belongs to nothing known begins a stream in place of the one that
 * was longest quiet, so random readers cost nothing but that. */
#include "fs/readahead.h"

#include "conf/base.h"

/* Reads this far from the expected place, and two of their lengths, still go on: the kernel's own read-ahead has several
 * on the way, in any order, and a reader may skip a little. */
#define SLACK	  (512 * KIB)
#define SLACK_MAX (2 * MIB)
/* Two reads are no run yet unless they are closer: random ones in a file of 64 MiB are within 2 MiB of each other one time
 * in sixteen, and reading on costs an extent. */
#define NEAR (128 * KIB)
/* Behind a page that is not there the kernel reads on by itself, twice where a row ends in the next page: whoever reads
 * rows at random seems to go forward with these. Only more than that is going forward, if it did not begin where the file
 * does; and up to two units no more is brought in than was read. */
#define FORWARD_SURE 3
/* The kernel asks for whole pages, so steps that are no multiple of one differ by one. */
#define PAGE 4096
/* Places ahead of a strided reader, and how far apart they may be. */
#define STEPS_AHEAD 16
#define STRIDE_MAX  (1ULL << 40)
/* Beyond it there is no file, and sums of a few do not overflow. */
#define READAHEAD_OFF_MAX (1ULL << 60)
/* After so many steps the mean is taken anew. */
#define STEPS_MAX (1U << 20)
/* A first read of the file's begin, of so much, is as good as two. */
#define BEGIN_LEN (128 * KIB)

struct asks {
	struct readahead_ask *ask;
	unsigned nr;
};

static void ask_for(struct asks *a, uint64_t off, uint64_t len)
{
	if (len && a->nr < READAHEAD_ASKS)
		a->ask[a->nr++] = (struct readahead_ask){off, len};
}

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* ---- forward and backward ---- */

static bool goes_on(const struct readahead_stream *s, uint64_t off, uint64_t len)
{
	uint64_t slack = MIN(SLACK_MAX, (s->run > 1 ? SLACK : NEAR) + 2 * MIN(len, SLACK_MAX));

	if (!s->used || s->stride)
		return false;
	/* In what it has read or is being brought: requests overtake each other. Else beyond either end. */
	if (s->run > 1 && s->nr_backward > s->nr_forward)
		return off + len + slack >= s->lo && off <= s->lo + slack;
	if (s->run > 1)
		return off <= s->hi + slack && off + len + slack >= s->hi;
	return off <= s->hi + slack && off + len + slack >= s->lo;
}

static void follow(struct readahead_stream *s, uint64_t off, uint64_t len)
{
	s->run++;
	if (off + len > s->hi) {
		if (s->nr_backward)
			s->asked = 0;
		s->nr_forward++;
		s->nr_backward = 0;
		s->hi = off + len;
	}
	if (off < s->lo) {
		if (!s->nr_backward++)
			s->asked = UINT64_MAX;
		s->nr_forward = 0;
		s->lo = off;
	}
}

static void ask_forward(struct readahead_stream *s, uint64_t unit, uint64_t tile, uint64_t window,
			struct asks *a)
{
	uint64_t ahead = MIN(window, unit << MIN(s->nr_forward - 1, 10U));
	/* Up to where a unit ends, so that none is asked for twice. */
	uint64_t stop = round_down(s->hi, unit) + unit + ahead;
	uint64_t from = MAX(s->asked, round_up(s->hi, tile)), read = s->hi - s->lo;

	if (s->lo && s->nr_forward < FORWARD_SURE && read < unit)
		return;
	if (s->lo && read < 2 * unit)
		stop = MIN(stop, round_up(s->hi + read, tile));
	if (!ahead || from >= stop)
		return;
	ask_for(a, from, stop - from);
	s->asked = stop;
}

static void ask_backward(struct readahead_stream *s, uint64_t unit, uint64_t tile, uint64_t window,
			 struct asks *a)
{
	uint64_t ahead = MIN(window, unit << MIN(s->nr_backward - 2, 10U));
	uint64_t below = round_up(s->lo, unit), stop, end = MIN(s->asked, round_down(s->lo, tile));

	stop = below > ahead + unit ? below - ahead - unit : 0;
	if (!ahead || end <= stop)
		return;
	ask_for(a, stop, end - stop);
	s->asked = stop;
}

/* ---- strides ---- */

static bool steps_on(const struct readahead_stream *s, uint64_t off)
{
	return s->used && s->stride && apart(off, s->at + (uint64_t)s->stride) <= PAGE;
}

/* The place @n steps on from the last read: the mean of the steps so far, as pages blur each. */
static void ask_step(const struct readahead_stream *s, unsigned n, uint64_t len, struct asks *a)
{
	int64_t mean = (int64_t)(s->at - s->first) / (int64_t)s->nr_steps;
	int64_t to = (int64_t)s->at + mean * (int64_t)n;
	uint64_t blur = mean % PAGE ? PAGE : 0;

	if (to >= (int64_t)blur && (uint64_t)to <= (uint64_t)INT64_MAX - len - 2 * PAGE)
		ask_for(a, (uint64_t)to - blur, len + 2 * blur);
}

static void ask_steps(struct readahead_stream *s, uint64_t len, uint64_t tile, uint64_t window,
		      struct asks *a)
{
	uint64_t room = window / MAX(round_up(len, tile), tile);
	unsigned most = (unsigned)MIN(room, (uint64_t)STEPS_AHEAD);
	unsigned want = MIN(most, 1U << MIN(s->nr_steps - 3, 4U));

	while (s->nr_ahead < want && a->nr < READAHEAD_ASKS)
		ask_step(s, ++s->nr_ahead, len, a);
}

static void step_on(struct readahead_stream *s, uint64_t off)
{
	s->at = off;
	if (++s->nr_steps == STEPS_MAX) {
		s->first = (uint64_t)((int64_t)off - 3 * s->stride);
		s->nr_steps = 3;
	}
	s->nr_ahead -= s->nr_ahead > 0;
	s->run++;
}

static bool was_read(const struct readahead *r, uint64_t off, uint64_t tolerance)
{
	for (unsigned i = 0; i < MIN(r->nr_recent, (unsigned)READAHEAD_RECENT); i++) {
		if (apart(r->recent[i], off) <= tolerance)
			return true;
	}
	return false;
}

/* Is @off the fourth of four reads at one distance? 0: no. */
static int64_t find_stride(const struct readahead *r, uint64_t off)
{
	for (unsigned i = 0; i < MIN(r->nr_recent, (unsigned)READAHEAD_RECENT); i++) {
		uint64_t way = apart(off, r->recent[i]);
		int64_t d = (int64_t)(off - r->recent[i]);

		/* Nearer ones are runs. */
		if (way <= NEAR || way > STRIDE_MAX)
			continue;
		/* Three steps back there is a place. */
		if (d > 0 ? off < 3 * way : off > (uint64_t)INT64_MAX - 4 * way)
			continue;
		if (was_read(r, (uint64_t)((int64_t)off - 2 * d), PAGE) &&
		    was_read(r, (uint64_t)((int64_t)off - 3 * d), 2 * PAGE))
			return d;
	}
	return 0;
}

/* ---- which stream ---- */

static struct readahead_stream *oldest(struct readahead *r)
{
	struct readahead_stream *s = &r->stream[0];

	for (unsigned i = 1; i < READAHEAD_STREAMS; i++) {
		if (r->stream[i].used < s->used)
			s = &r->stream[i];
	}
	return s;
}

static void begin(struct readahead *r, uint64_t off, uint64_t len, uint64_t unit, uint64_t tile,
		  uint64_t window, struct asks *a)
{
	int64_t stride = find_stride(r, off);
	struct readahead_stream *s = oldest(r);

	*s = (struct readahead_stream){
		.lo = off, .hi = off + len, .used = r->nr_reads, .run = 1, .at = off, .first = off};
	if (stride) {
		s->stride = stride;
		s->first = (uint64_t)((int64_t)off - 3 * stride);
		s->nr_steps = 3;
		ask_steps(s, len, tile, window, a);
	} else if (!off && len >= BEGIN_LEN && window) {
		s->asked = unit;
		if (s->hi < unit)
			ask_for(a, s->hi, unit - s->hi);
	}
}

static struct readahead_stream *find(struct readahead *r, uint64_t off, uint64_t len)
{
	for (unsigned i = 0; i < READAHEAD_STREAMS; i++) {
		struct readahead_stream *s = &r->stream[i];

		if (steps_on(s, off) || goes_on(s, off, len))
			return s;
	}
	return NULL;
}

unsigned readahead_step(struct readahead *r, uint64_t off, uint64_t len, uint64_t unit,
			uint64_t tile, uint64_t window, struct readahead_ask ask[READAHEAD_ASKS])
{
	struct asks a = {.ask = ask};
	struct readahead_stream *s;

	if (off > READAHEAD_OFF_MAX || len > READAHEAD_OFF_MAX)
		return 0;
	r->nr_reads++;
	s = find(r, off, len);
	r->run = 1;
	if (!s) {
		begin(r, off, len, unit, tile, window, &a);
	} else if (s->stride) {
		s->used = r->nr_reads;
		step_on(s, off);
		ask_steps(s, len, tile, window, &a);
	} else {
		s->used = r->nr_reads;
		follow(s, off, len);
		r->run = s->nr_backward ? 1 : s->run;
		if (s->nr_backward > 1)
			ask_backward(s, unit, tile, window, &a);
		else if (s->nr_forward)
			ask_forward(s, unit, tile, window, &a);
	}
	r->recent[r->nr_recent % READAHEAD_RECENT] = off;
	r->nr_recent = r->nr_recent == UINT32_MAX ? READAHEAD_RECENT : r->nr_recent + 1;
	return a.nr;
}
