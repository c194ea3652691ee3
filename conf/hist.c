/* Log-linear buckets: the position of the highest bit picks a power of two, the HIST_SUB_BITS bits
 * below it pick one of its equal parts. A bucket is at most 1/16 as wide as its lowest value, and
 * answers with its middle. */
#include "conf/hist.h"

static size_t hist_bucket(uint64_t value)
{
	unsigned shift;

	if (value < HIST_SUB)
		return (size_t)value;
	shift = 63 - (unsigned)__builtin_clzll(value) - HIST_SUB_BITS;
	return (size_t)HIST_SUB * (shift + 1) + (size_t)(value >> shift) % HIST_SUB;
}

static uint64_t hist_middle(size_t idx)
{
	size_t shift = idx / HIST_SUB;
	uint64_t low;

	if (shift <= 1)
		return idx;
	shift--;
	low = (uint64_t)(HIST_SUB + idx % HIST_SUB) << shift;
	return low + (UINT64_C(1) << shift) / 2;
}

static uint64_t hist_load(const atomic_uint_fast64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

void hist_init(struct hist *h)
{
	atomic_init(&h->sum, 0);
	for (size_t i = 0; i < HIST_BUCKETS; i++)
		atomic_init(&h->bucket[i], 0);
}

void hist_add(struct hist *h, uint64_t value)
{
	atomic_fetch_add_explicit(&h->bucket[hist_bucket(value)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum, value, memory_order_relaxed);
}

void hist_merge(struct hist *to, const struct hist *from)
{
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		uint64_t n = hist_load(&from->bucket[i]);

		if (n)
			atomic_fetch_add_explicit(&to->bucket[i], n, memory_order_relaxed);
	}
	atomic_fetch_add_explicit(&to->sum, hist_load(&from->sum), memory_order_relaxed);
}

uint64_t hist_count(const struct hist *h)
{
	uint64_t count = 0;

	/* Summed here instead of counted there: adding is frequent, asking is rare. */
	for (size_t i = 0; i < HIST_BUCKETS; i++)
		count += hist_load(&h->bucket[i]);
	return count;
}

uint64_t hist_sum(const struct hist *h)
{
	return hist_load(&h->sum);
}

/* How many values must be passed, counted from the smallest, to have passed the fraction @q of
 * @count. */
static uint64_t hist_rank(uint64_t count, double q)
{
	double exact = q * (double)count;
	uint64_t rank;

	if (!(exact > 1)) /* and where @q is no number */
		return 1;
	if (exact >= (double)count)
		return count;
	rank = (uint64_t)exact;
	return (double)rank < exact ? rank + 1 : rank;
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	uint64_t count = hist_count(h);
	uint64_t rank = hist_rank(count, q);
	uint64_t passed = 0;

	if (!count)
		return 0;
	/* Counters only grow, so the rank is reached although others keep adding. */
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		passed += hist_load(&h->bucket[i]);
		if (passed >= rank)
			return hist_middle(i);
	}
	return UINT64_MAX;
}
