/* Parity by ISA-L.
 *
 * Row i of the coding matrix says how chunk i comes from the k data chunks: the unit matrix,
 * then ones (P), then 1, 2, 4, ... in GF(2^8) (Q). Any k rows of it are independent for k up to
 * 255, so any k chunks give the rest: take their rows, invert, and multiply. */
#include "raid/parity.h"

#include <assert.h>
#include <errno.h>
#include <isa-l.h>
#include <stdbool.h>
#include <string.h>

#include "raid/raid.h"

#define TABLE_LEN 32 /* ISA-L's, for one coefficient */

/* pq_gen() and xor_gen() ask for it; they take half the time of ec_encode_data(), which asks for
 * nothing. */
#define VECTOR_LEN 32

static void row_of(unsigned idx, unsigned k, uint8_t *row)
{
	uint8_t weight = 1;

	memset(row, 0, k);
	if (idx < k) {
		row[idx] = 1;
		return;
	}
	for (unsigned i = 0; i < k; i++) {
		row[i] = weight;
		if (idx > k)
			weight = gf_mul(weight, 2);
	}
}

static bool all_aligned(void *const *p, unsigned nr, size_t len)
{
	uintptr_t bits = len;

	for (unsigned i = 0; i < nr; i++)
		bits |= (uintptr_t)p[i];
	return bits % VECTOR_LEN == 0;
}

void parity_encode(unsigned k, unsigned m, size_t len, const uint8_t *const data[],
		   uint8_t *const parity[])
{
	uint8_t tables[TABLE_LEN * STRIPE_WIDTH_MAX * 2];
	uint8_t matrix[STRIPE_WIDTH_MAX * 2];
	void *array[STRIPE_WIDTH_MAX];

	assert(k && k + m <= STRIPE_WIDTH_MAX && (k == 1 || m <= 2));
	if (k == 1) {
		for (unsigned i = 0; i < m; i++)
			memcpy(parity[i], data[0], len);
		return;
	}
	if (!m || !len)
		return;
	/* ISA-L's arrays are not const, but it writes to the last m only. */
	memcpy(array, data, k * sizeof(*array));
	memcpy(array + k, parity, m * sizeof(*array));
	if (all_aligned(array, k + m, len)) {
		int rc = m == 1 ? xor_gen((int)(k + m), (int)len, array)
				: pq_gen((int)(k + m), (int)len, array);

		assert(rc == 0);
		(void)rc;
		return;
	}
	for (unsigned i = 0; i < m; i++)
		row_of(k + i, k, matrix + i * k);
	ec_init_tables((int)k, (int)m, matrix, tables);
	ec_encode_data((int)len, (int)k, (int)m, tables, (uint8_t **)array, (uint8_t **)array + k);
}

/* Product of a row vector of @k and a @k by @k matrix. */
static void row_times(const uint8_t *row, const uint8_t *matrix, unsigned k, uint8_t *out)
{
	for (unsigned col = 0; col < k; col++) {
		uint8_t sum = 0;

		for (unsigned i = 0; i < k; i++)
			sum ^= gf_mul(row[i], matrix[i * k + col]);
		out[col] = sum;
	}
}

int parity_rebuild(unsigned k, unsigned m, size_t len, uint8_t *const chunk[], uint32_t good,
		   uint32_t want)
{
	uint8_t tables[TABLE_LEN * STRIPE_WIDTH_MAX * STRIPE_WIDTH_MAX];
	uint8_t rows[STRIPE_WIDTH_MAX * STRIPE_WIDTH_MAX];
	uint8_t inverse[STRIPE_WIDTH_MAX * STRIPE_WIDTH_MAX];
	uint8_t *source[STRIPE_WIDTH_MAX];
	uint8_t *target[STRIPE_WIDTH_MAX];
	uint8_t row[STRIPE_WIDTH_MAX];
	unsigned nr_source = 0;
	unsigned nr_target = 0;

	assert(k && k + m <= STRIPE_WIDTH_MAX && (k == 1 || m <= 2) && !(good & want));
	for (unsigned i = 0; i < k + m && nr_source < k; i++) {
		if (!(good & (1u << i)))
			continue;
		row_of(i, k, rows + nr_source * k);
		source[nr_source++] = chunk[i];
	}
	if (nr_source < k)
		return -EIO;
	if (k == 1) {
		for (unsigned i = 0; i < k + m; i++) {
			if (want & (1u << i))
				memcpy(chunk[i], source[0], len);
		}
		return 0;
	}
	if (gf_invert_matrix(rows, inverse, (int)k))
		return -EIO;
	for (unsigned i = 0; i < k + m; i++) {
		if (!(want & (1u << i)))
			continue;
		row_of(i, k, row);
		row_times(row, inverse, k, rows + nr_target * k);
		target[nr_target++] = chunk[i];
	}
	if (!nr_target || !len)
		return 0;
	ec_init_tables((int)k, (int)nr_target, rows, tables);
	ec_encode_data((int)len, (int)k, (int)nr_target, tables, source, target);
	return 0;
}
