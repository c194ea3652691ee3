/* Sizes in bytes, as people write and read them. Threads: any. */
#ifndef CONF_SIZE_H
#define CONF_SIZE_H

#include <stdint.h>

#define SIZE_TEXT_LEN 24

/* Digits, then nothing or one of K, M, G, T (times 1024; small letters too). Returns 0, -EINVAL
 * (not such a text) or
 * -ERANGE (over 64 bits). */
int size_parse(const char *text, uint64_t *out);

/* The shortest such text: "1M" for 1048576, "1000" for 1000. */
void size_print(uint64_t size, char buf[SIZE_TEXT_LEN]);

#endif
