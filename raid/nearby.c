/* Small reads that follow one another closely.
 *
 * A stream is where such reads have got to. One that continues none takes the place of the stream begun longest ago, so
 * readers at random spend a few comparisons and fetch nothing: of a stretch of 64 MiB, one read in 64 falls by chance
 * into some stream, and it takes two in a row. */
#include "raid/nearby.h"

#include <string.h>

#include "conf/base.h"

void nearby_init(struct nearby *n)
{
	memset(n->stream, 0, sizeof(n->stream));
	n->next = 0;
	lock_init(&n->lock);
}

void nearby_fini(struct nearby *n)
{
	lock_fini(&n->lock);
}

/* Several threads read at once and overtake each other, so a little back is near, too. */
static bool is_near(const struct nearby_stream *s, uint32_t segment, uint32_t block)
{
	return s->run && s->segment == segment && (uint64_t)block + NEARBY_GAP >= s->end &&
	       block <= (uint64_t)s->end + NEARBY_GAP;
}

static struct nearby_stream *stream_of(struct nearby *n, uint32_t segment, uint32_t block)
{
	struct nearby_stream *s;

	for (unsigned i = 0; i < NEARBY_STREAMS; i++) {
		s = &n->stream[i];
		if (is_near(s, segment, block))
			return s;
	}
	s = &n->stream[n->next];
	n->next = (n->next + 1) % NEARBY_STREAMS;
	*s = (struct nearby_stream){.segment = segment};
	return s;
}

/* Half a window before its end the next half is fetched, while the reader goes on in the first. */
static bool fetch_due(struct nearby_stream *s, uint32_t *from, uint32_t *nr)
{
	uint64_t want = (uint64_t)s->end + NEARBY_WINDOW;

	if (s->run < NEARBY_RUN || want > UINT32_MAX ||
	    s->until > (uint64_t)s->end + NEARBY_WINDOW / 2)
		return false;
	*from = MAX(s->until, s->end);
	*nr = (uint32_t)want - *from;
	s->until = (uint32_t)want;
	return true;
}

bool nearby_step(struct nearby *n, uint32_t segment, uint32_t block, uint32_t nr, uint32_t *from,
		 uint32_t *nr_ahead)
{
	struct nearby_stream *s;
	bool due;

	lock_take(&n->lock);
	s = stream_of(n, segment, block);
	s->end = (uint32_t)MIN(MAX((uint64_t)s->end, (uint64_t)block + nr), (uint64_t)UINT32_MAX);
	s->run = MIN(s->run + 1, NEARBY_RUN);
	due = fetch_due(s, from, nr_ahead);
	lock_release(&n->lock);
	return due;
}
