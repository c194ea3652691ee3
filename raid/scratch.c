/* Aligned memory, kept between calls: a short list of buffers, the last one used first, as its
 * lines are in the cache. Each buffer has its length in the page before it. */
#include "raid/scratch.h"

#include <stdlib.h>

#include "conf/base.h"
#include "conf/lock.h"

#define NR_KEPT 16
/* A longer one is not kept: what a raid6 stripe of 4 MiB needs while being rebuilt fits. */
#define KEPT_LEN_MAX (8 * MIB)
#define STEP_LEN     (256 * KIB)

struct scratch {
	struct lock lock;
	unsigned nr;		/* guarded by lock */
	uint8_t *kept[NR_KEPT]; /* guarded by lock */
};

struct scratch *scratch_new(void)
{
	struct scratch *p = calloc(1, sizeof(*p));

	if (p)
		lock_init(&p->lock);
	return p;
}

static size_t *len_of(uint8_t *buf)
{
	return (size_t *)(void *)(buf - BLOCK_LEN);
}

static void drop(uint8_t *buf)
{
	free(buf - BLOCK_LEN);
}

void scratch_free(struct scratch *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->nr; i++)
		drop(p->kept[i]);
	lock_fini(&p->lock);
	free(p);
}

static uint8_t *take_kept(struct scratch *p, size_t len)
{
	uint8_t *buf = NULL;

	lock_take(&p->lock);
	for (unsigned i = p->nr; i-- > 0 && !buf;) {
		if (*len_of(p->kept[i]) < len)
			continue;
		buf = p->kept[i];
		p->nr--;
		for (; i < p->nr; i++)
			p->kept[i] = p->kept[i + 1];
		break;
	}
	lock_release(&p->lock);
	return buf;
}

uint8_t *scratch_get(struct scratch *p, size_t len)
{
	uint8_t *buf = take_kept(p, len);

	if (buf)
		return buf;
	len = round_up(len, STEP_LEN);
	buf = aligned_alloc(BLOCK_LEN, BLOCK_LEN + len);
	if (!buf)
		return NULL;
	buf += BLOCK_LEN;
	*len_of(buf) = len;
	return buf;
}

void scratch_put(struct scratch *p, uint8_t *buf)
{
	uint8_t *extra = buf;

	if (!buf)
		return;
	lock_take(&p->lock);
	if (*len_of(buf) <= KEPT_LEN_MAX) {
		/* The oldest makes room, so that the lengths kept follow those asked for. */
		extra = p->nr == NR_KEPT ? p->kept[0] : NULL;
		if (extra) {
			p->nr--;
			for (unsigned i = 0; i < p->nr; i++)
				p->kept[i] = p->kept[i + 1];
		}
		p->kept[p->nr++] = buf;
	}
	lock_release(&p->lock);
	if (extra)
		drop(extra);
}
