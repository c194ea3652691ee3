#include "conf/slot.h"

#include <stdatomic.h>

unsigned slot_mine(void)
{
	static atomic_uint next = 1;
	static _Thread_local unsigned mine; /* 0: none yet */

	if (!mine)
		mine = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
	return mine;
}
