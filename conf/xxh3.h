/* XXH3, by the widest registers that the processor has: on x86-64 three times as fast as by those that
 * all have, which is what xxhash.h alone gives. The sums are the same. */
#ifndef CONF_XXH3_H
#define CONF_XXH3_H

#include <xxhash.h>

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#endif

#endif
