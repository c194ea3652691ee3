/* A histogram of latencies, or of any other numbers: a fixed array of counters that any number of
 * threads add to at once without a lock.
 *
 * Buckets are linear within each power of two (16 of them), so a quantile is within 3.2 % of a
 * value that was added. Threads: any. A reader sees each addition whole or not at all, but of
 * several under way any subset. */
#ifndef CONF_HIST_H
#define CONF_HIST_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HIST_SUB_BITS 4
#define HIST_SUB      (1u << HIST_SUB_BITS) /* buckets of one power of two */
/* Numbers below HIST_SUB have a bucket each; then each power of two from 2^4 to 2^63 has
 * HIST_SUB. */
#define HIST_BUCKETS (HIST_SUB * (64 - HIST_SUB_BITS + 1))

/* All zeros is an empty one. */
struct hist {
	atomic_uint_fast64_t sum; /* wraps at 64 bits: in nanoseconds after 584 years of waiting */
	atomic_uint_fast64_t bucket[HIST_BUCKETS];
};

void hist_init(struct hist *h);
void hist_add(struct hist *h, uint64_t value);

/* Add everything in @from to @to. */
void hist_merge(struct hist *to, const struct hist *from);

uint64_t hist_count(const struct hist *h);
uint64_t hist_sum(const struct hist *h);

/* The value that the fraction @q (0 to 1) of all is not above: 0.5 is the median, 1 the largest. 0
 * when empty. */
uint64_t hist_quantile(const struct hist *h, double q);

#endif
