/* Filters in plain C: for machines without vector code of ours, and for the items that are left
 * over by it.
 *
 * Items go through a small array, a piece at a time, in loops so simple that a compiler makes
 * vectors of all but the running sums; gcc does so at -O2 where the count is a constant, so whole
 * pieces are told apart. Running sums are made in place, in the output, where all that they refer
 * to is. */
#include <string.h>

#include "codec/filter_job.h"
#include "conf/base.h"
#include "conf/bytes.h"

#define PIECE_NR 256

#define INLINE static inline __attribute__((always_inline))

/* uint16_t, and f16 for f, where ITEM_BITS is 16. */
#define JOIN2(a, b, c) a##b##c
#define JOIN1(a, b, c) JOIN2(a, b, c)
#define ITEM	       JOIN1(uint, ITEM_BITS, _t)
#define NAME(f)	       JOIN1(f, ITEM_BITS, )

#define ITEM_BITS 8
#include "codec/filter_plain_item.h"
#undef ITEM_BITS
#define ITEM_BITS 16
#include "codec/filter_plain_item.h"
#undef ITEM_BITS
#define ITEM_BITS 32
#include "codec/filter_plain_item.h"
#undef ITEM_BITS
#define ITEM_BITS 64
#include "codec/filter_plain_item.h"
#undef ITEM_BITS

void filter_plain_apply(const struct filter_job *job, size_t from, size_t to)
{
	switch (job->width) {
	case 1:
		apply8(job, from, to);
		break;
	case 2:
		apply16(job, from, to);
		break;
	case 4:
		apply32(job, from, to);
		break;
	default:
		apply64(job, from, to);
		break;
	}
}

void filter_plain_undo(const struct filter_job *job, size_t from, size_t to)
{
	switch (job->width) {
	case 1:
		undo8(job, from, to);
		break;
	case 2:
		undo16(job, from, to);
		break;
	case 4:
		undo32(job, from, to);
		break;
	default:
		undo64(job, from, to);
		break;
	}
}
