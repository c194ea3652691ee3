/* A small number for each thread, to spread what threads count over several places. */
#ifndef CONF_SLOT_H
#define CONF_SLOT_H

/* The calling thread's number; numbers are given out in turn, so neighbours in time differ. */
unsigned slot_mine(void);

#endif
