/* Stripes come back from the shards' files alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/log.h"
#include "raid/layout.h"
#include "tests/support/raid_make.h"
#include "tests/support/store_crash.h"

#define NR_SHARDS  4
#define NR_STRIPES 30

static const char *const crash_path[NR_SHARDS] = {"crash:0", "crash:1", "crash:2", "crash:3"};

/* Stripes put together from what is found: payloads by generation and index. */
struct heap {
	struct stripe_owner owner[NR_STRIPES];
	uint8_t k[NR_STRIPES], m[NR_STRIPES];
	uint32_t len[NR_STRIPES];
	size_t payload_len[NR_STRIPES];
	uint8_t *payload[NR_STRIPES][STRIPE_WIDTH_MAX];
	unsigned nr_found;
};

static int gather(void *arg, const struct chunk_found *c)
{
	struct heap *h = arg;
	uint64_t n = c->owner.gen - 1;

	assert_true(n < NR_STRIPES);
	assert_int_equal(c->uuid[5], 0x5a);
	h->owner[n] = c->owner;
	h->k[n] = c->k;
	h->m[n] = c->m;
	h->len[n] = c->stripe_len;
	h->payload_len[n] = c->payload_len;
	assert_null(h->payload[n][c->idx]);
	h->payload[n][c->idx] = malloc(c->payload_len);
	memcpy(h->payload[n][c->idx], c->payload, c->payload_len);
	h->nr_found++;
	return 0;
}

static void heap_fini(struct heap *h)
{
	for (unsigned n = 0; n < NR_STRIPES; n++) {
		for (unsigned i = 0; i < STRIPE_WIDTH_MAX; i++)
			free(h->payload[n][i]);
	}
}

static uint32_t len_of(unsigned n)
{
	static const uint32_t len[] = {1, 100, 5000, 40001, 300000, MIB + 40};

	return len[n % ARRAY_LEN(len)];
}

struct vol {
	struct crash_disk *disk;
	struct stripe_loc loc[NR_STRIPES];
	unsigned nr_chunks;
};

/* Every seventh stripe is freed. */
static struct vol vol_make(unsigned level, uint32_t extent_len)
{
	struct raid_geometry geo = {.level = (uint8_t)level,
				    .copies = level == 1 ? 3 : 1,
				    .nr_shards = NR_SHARDS,
				    .extent_len = extent_len};
	struct vol v = {.disk = crash_disk_new(NR_SHARDS, 1)};
	struct raid *r = raid_make(crash_ops(v.disk), crash_path, &geo, false);

	for (unsigned n = 0; n < NR_STRIPES; n++) {
		uint32_t len = extent_len > MIB && n == 0 ? RAID_STRIPE_MAX : len_of(n);
		struct stripe_owner owner = {.ino = 9, .file_off = n, .gen = n + 1, .raw_len = 77};
		AUTO_FREE uint8_t *buf = malloc(len);
		struct iovec iov = {buf, len};

		assert_non_null(buf);
		raid_make_bytes(buf, len, n);
		assert_int_equal(raid_write(r, &owner, &iov, 1, &v.loc[n]), 0);
		v.nr_chunks += v.loc[n].k + v.loc[n].m;
	}
	for (unsigned n = 3; n < NR_STRIPES; n += 7) {
		raid_free(r, &v.loc[n]);
		v.nr_chunks -= v.loc[n].k + v.loc[n].m;
	}
	raid_unmake(r);
	return v;
}

static void check_stripes(const struct heap *h, const struct vol *v)
{
	for (unsigned n = 0; n < NR_STRIPES; n++) {
		AUTO_FREE uint8_t *want = NULL;
		AUTO_FREE uint8_t *buf = NULL;

		if (n % 7 == 3)
			continue;
		assert_int_equal(h->len[n], v->loc[n].len);
		assert_int_equal(h->owner[n].file_off, n);
		assert_int_equal(h->owner[n].raw_len, 77);
		want = malloc(h->len[n]);
		buf = malloc(h->len[n]);
		assert_int_equal(raid_join(h->k[n], h->m[n], (const uint8_t *const *)h->payload[n],
					   h->payload_len[n], h->len[n], buf),
				 0);
		raid_make_bytes(want, h->len[n], n);
		assert_memory_equal(buf, want, h->len[n]);
	}
}

static void everything_live_is_found(void **state)
{
	static const unsigned level[] = {0, 1, 5, 6};

	(void)state;
	for (unsigned t = 0; t < ARRAY_LEN(level); t++) {
		struct vol v = vol_make(level[t], MIB);
		struct heap h = {.nr_found = 0};

		for (unsigned i = 0; i < NR_SHARDS; i++)
			assert_int_equal(raid_dig(crash_ops(v.disk), crash_path[i], gather, &h), 0);
		assert_int_equal(h.nr_found, v.nr_chunks);
		check_stripes(&h, &v);
		heap_fini(&h);
		crash_disk_free(v.disk);
	}
}

static void longest_chunks_are_found(void **state)
{
	struct vol v = vol_make(1, 4 * MIB);
	struct heap h = {.nr_found = 0};

	(void)state;
	for (unsigned i = 0; i < NR_SHARDS; i++)
		assert_int_equal(raid_dig(crash_ops(v.disk), crash_path[i], gather, &h), 0);
	assert_int_equal(h.nr_found, v.nr_chunks);
	check_stripes(&h, &v);
	heap_fini(&h);
	crash_disk_free(v.disk);
}

static void two_shards_of_raid6_may_be_gone(void **state)
{
	struct vol v = vol_make(6, MIB);

	(void)state;
	for (unsigned a = 0; a < NR_SHARDS; a++) {
		for (unsigned b = a + 1; b < NR_SHARDS; b++) {
			struct heap h = {.nr_found = 0};

			assert_int_equal(raid_dig(crash_ops(v.disk), crash_path[a], gather, &h), 0);
			assert_int_equal(raid_dig(crash_ops(v.disk), crash_path[b], gather, &h), 0);
			/* A one-byte stripe has three copies on four shards: each pair has one. */
			check_stripes(&h, &v);
			heap_fini(&h);
		}
	}
	crash_disk_free(v.disk);
}

static void damaged_chunks_are_passed_over(void **state)
{
	struct vol v = vol_make(5, MIB);
	struct heap h = {.nr_found = 0};
	struct chunk_loc *c = &v.loc[5].chunk[0];
	char name[24];
	uint8_t byte = 0xa5;

	(void)state;
	snprintf(name, sizeof(name), "seg/%08x", c->segment);
	assert_int_equal(crash_poke(v.disk, c->shard, name, c->block * BLOCK_LEN + 5000, &byte, 1),
			 0);
	c = &v.loc[4].chunk[0];
	assert_int_equal(crash_poke(v.disk, c->shard, name, c->block * BLOCK_LEN + 30, &byte, 1),
			 0);
	for (unsigned i = 0; i < NR_SHARDS; i++)
		assert_int_equal(raid_dig(crash_ops(v.disk), crash_path[i], gather, &h), 0);
	assert_int_equal(h.nr_found, v.nr_chunks - 2);
	assert_null(h.payload[5][0]);
	assert_null(h.payload[4][0]);
	check_stripes(&h, &v);
	heap_fini(&h);
	crash_disk_free(v.disk);
}

static void unreadable_places_are_passed_over(void **state)
{
	struct vol v = vol_make(5, MIB);
	struct heap h = {.nr_found = 0};

	(void)state;
	/* The window, and then one chunk's own read. */
	crash_fault(v.disk, 0, CRASH_READ, 0, 2, -EIO);
	for (unsigned i = 0; i < NR_SHARDS; i++)
		assert_int_equal(raid_dig(crash_ops(v.disk), crash_path[i], gather, &h), 0);
	assert_in_range(h.nr_found, v.nr_chunks - 2, v.nr_chunks - 1);
	check_stripes(&h, &v);
	heap_fini(&h);
	crash_disk_free(v.disk);
}

static int stop_at_third(void *arg, const struct chunk_found *c)
{
	(void)c;
	return ++*(unsigned *)arg == 3 ? -ECANCELED : 0;
}

static void caller_can_stop(void **state)
{
	struct vol v = vol_make(5, MIB);
	unsigned n = 0;

	(void)state;
	assert_int_equal(raid_dig(crash_ops(v.disk), crash_path[0], stop_at_third, &n), -ECANCELED);
	assert_int_equal(n, 3);
	assert_int_equal(raid_dig(crash_ops(v.disk), "nonsense", stop_at_third, &n) == 0, 0);
	crash_disk_free(v.disk);
}

static void digging_changes_nothing(void **state)
{
	struct vol v = vol_make(5, MIB);
	uint64_t steps = crash_steps(v.disk);
	struct heap h = {.nr_found = 0};

	(void)state;
	assert_int_equal(raid_dig(crash_ops(v.disk), crash_path[1], gather, &h), 0);
	assert_int_equal(crash_steps(v.disk), steps);
	heap_fini(&h);
	crash_disk_free(v.disk);
}

static void joining_asks_for_enough_and_sense(void **state)
{
	static const uint8_t data[64] = {1};
	const uint8_t *payload[4] = {data, NULL, NULL, NULL};
	uint8_t buf[128];

	(void)state;
	assert_int_equal(raid_join(2, 1, payload, 64, 100, buf), -EIO);
	payload[1] = data;
	assert_int_equal(raid_join(2, 1, payload, 64, 100, buf), 0);
	assert_int_equal(raid_join(2, 1, payload, 63, 100, buf), -EINVAL);
	assert_int_equal(raid_join(0, 1, payload, 64, 100, buf), -EINVAL);
	assert_int_equal(raid_join(2, 3, payload, 64, 100, buf), -EINVAL);
	assert_int_equal(raid_join(2, 1, payload, 64, 0, buf), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_live_is_found),
		cmocka_unit_test(longest_chunks_are_found),
		cmocka_unit_test(two_shards_of_raid6_may_be_gone),
		cmocka_unit_test(damaged_chunks_are_passed_over),
		cmocka_unit_test(unreadable_places_are_passed_over),
		cmocka_unit_test(caller_can_stop),
		cmocka_unit_test(digging_changes_nothing),
		cmocka_unit_test(joining_asks_for_enough_and_sense),
	};

	log_set_level(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
