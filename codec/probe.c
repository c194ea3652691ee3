/* The glance counts bytes and compares the chance that two of them are equal with 1/256, which it
 * is when all are equally likely. For spreads near even, an excess of x over that is x / (2 ln 2)
 * bits of entropy a byte; no logarithms needed, and 2048 bytes give it to within a few per cent. */
#include "codec/probe.h"

#include <string.h>

#include "conf/base.h"

#define LOOK_LEN    2048u /* bytes counted by a quick look ... */
#define LOOK_PIECES 4u	  /* ... in as many pieces, evenly spread */

bool probe_is_fill(const uint8_t *raw, size_t len)
{
	/* The last byte first: most files that begin with zeros end otherwise. */
	return len > 0 && raw[0] == raw[len - 1] && memcmp(raw, raw + 1, len - 1) == 0;
}

/* How much likelier two bytes of a look are to be equal than two random ones, in 1/1024; 0 when as
 * likely, or less. Where the extent is shorter than a look, all of it is counted. */
static uint32_t excess(const uint8_t *p, size_t len)
{
	uint16_t count[4][256] = {0};
	size_t piece = LOOK_LEN / LOOK_PIECES;
	size_t nr_pieces = LOOK_PIECES;
	uint64_t pairs = 0, all, n;

	if (len <= LOOK_LEN) {
		piece = len & ~(size_t)3;
		nr_pieces = 1;
	}
	n = piece * nr_pieces;
	if (n < 2)
		return 0;
	for (size_t k = 0; k < nr_pieces; k++) {
		const uint8_t *s = nr_pieces > 1 ? p + (len - piece) / (nr_pieces - 1) * k : p;

		/* Four tables, so that a run of one byte does not wait for its own last count. */
		for (size_t i = 0; i < piece; i += 4) {
			count[0][s[i]]++;
			count[1][s[i + 1]]++;
			count[2][s[i + 2]]++;
			count[3][s[i + 3]]++;
		}
	}
	for (int b = 0; b < 256; b++) {
		uint64_t c = (uint64_t)count[0][b] + count[1][b] + count[2][b] + count[3][b];

		pairs += c * (c - !!c);
	}
	all = n * (n - 1);
	pairs = pairs * 256 * 1024 / all;
	return pairs > 1024 ? (uint32_t)(pairs - 1024) : 0;
}

bool probe_glance(const uint8_t *raw, size_t len)
{
	/* 0.42 is about 0.3 bits a byte, or 4 %: more than the 3 % that pay, so that it does not
	 * fire in vain. */
	return excess(raw, len) > 430;
}

/* Programs have 60 to 90 different characters in 4 KiB, prose 45 to 60, numbers 12 to 16. */
#define TEXT_KINDS  40
#define TEXT_LEN    4096u
#define TEXT_PIECES 8u
/* One byte in so many may be of another alphabet. */
#define TEXT_OTHER 64u

bool probe_is_text(const uint8_t *raw, size_t len)
{
	size_t nr_pieces = len > TEXT_LEN ? TEXT_PIECES : 1,
	       piece = MIN(len, (size_t)TEXT_LEN) / nr_pieces;
	unsigned nr = 0, nr_other = 0;
	bool seen[128] = {false};

	/* Not at the beginning, which may be a table of what follows. */
	for (size_t k = 0; k < nr_pieces; k++) {
		const uint8_t *s = raw + (len - piece) / nr_pieces * (k + 1);

		for (size_t i = 0; i < piece; i++) {
			/* Backspace to carriage return, and from blank on. */
			if (s[i] < ' ' && (s[i] < '\b' || s[i] > '\r'))
				return false;
			if (s[i] > '~')
				nr_other++;
			else
				seen[s[i]] = true;
		}
	}
	for (unsigned i = 0; i < 128; i++)
		nr += seen[i];
	return nr >= TEXT_KINDS && nr_other <= piece * nr_pieces / TEXT_OTHER;
}
