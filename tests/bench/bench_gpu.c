/* Rates of the GPU's encoder, by kind of data and extents in a batch:
 *
 *   kernels   the batch is on the device and stays there
 *   alone     copy in, kernels, copy out, one batch after the other
 *   together  the same through gpu_submit(), where batches overlap; extents in pinned memory
 *   bounced   extents in other memory
 *
 *   bench_gpu [EXTENT_KIB [SECONDS]]    1024 KiB, 0.5 s for each figure
 *
 * Exit code 77: no GPU. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/gpu.h"
#include "codec/gpu_driver.h"
#include "codec/gpu_slot.h"
#include "conf/base.h"
#include "conf/lock.h"

#define POOL_EXTENTS 64u /* different ones; longer batches take them again */
#define EXTENTS_MAX  1000u

struct kind {
	const char *name;
	struct filter filter;
	void (*fill)(uint8_t *p, size_t len);
};

static uint64_t rng = 1;

static uint64_t random64(void)
{
	uint64_t z = (rng += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static double uniform(void)
{
	return (double)(random64() >> 11) / (double)(UINT64_C(1) << 53);
}

static double normal(void)
{
	return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

static void fill_noise(uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t v = random64();

		memcpy(p + i, &v, 8);
	}
}

static void fill_normal(uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		double v = normal();

		memcpy(p + i, &v, 8);
	}
}

static void fill_weights(uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 4 <= len; i += 4) {
		float v = (float)(0.02 * normal());

		memcpy(p + i, &v, 4);
	}
}

static void fill_counts(uint8_t *p, size_t len)
{
	uint32_t v = 0;

	for (size_t i = 0; i + 4 <= len; i += 4) {
		v += (uint32_t)(random64() % 50);
		memcpy(p + i, &v, 4);
	}
}

static void fill_audio(uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 2 <= len; i += 2) {
		int16_t v = (int16_t)(9000 * sin((double)i * 0.01) + 200 * normal());

		memcpy(p + i, &v, 2);
	}
}

/* Mostly zeros, in runs. */
static void fill_sparse(uint8_t *p, size_t len)
{
	memset(p, 0, len);
	for (size_t i = 0; i + 8 <= len; i += 8 * (1 + random64() % 20)) {
		double v = (double)(random64() % 100);

		memcpy(p + i, &v, 8);
	}
}

static const struct kind kinds[] = {
	{"noise", {.width = 8}, fill_noise},
	{"normal f64", {.id = FILTER_FLOAT, .width = 8, .bias = 895}, fill_normal},
	{"weights f32", {.id = FILTER_FLOAT, .width = 4}, fill_weights},
	{"counts i32", {.id = FILTER_DELTA, .width = 4, .dist = 1, .order = 1}, fill_counts},
	{"audio i16", {.id = FILTER_DELTA, .width = 2, .dist = 1, .order = 2}, fill_audio},
	{"sparse f64", {.width = 8}, fill_sparse},
};

static const unsigned batches[] = {1, 4, 16, 64, 256, 1000};

struct bench {
	const struct gpu_driver *drv;
	struct gpu_dev *dev;
	size_t len;
	double seconds;
	uint8_t *pool; /* pinned */
	uint8_t *copy; /* the same, not pinned */
	uint8_t *dst;
	struct gpu_job *job; /* EXTENTS_MAX */
	struct lock lock;
	struct cond all;
	unsigned left; /* guarded by lock */
	int err;
};

static struct bench *the_bench; /* for done() */

static void done(struct gpu_job *j)
{
	struct bench *b = the_bench;

	lock_take(&b->lock);
	if (j->err)
		b->err = j->err;
	if (!--b->left)
		cond_signal(&b->all);
	lock_release(&b->lock);
}

static void set_jobs(struct bench *b, const struct kind *k, bool pinned)
{
	for (unsigned i = 0; i < EXTENTS_MAX; i++) {
		size_t at = i % POOL_EXTENTS * b->len;

		b->job[i] = (struct gpu_job){.raw = (pinned ? b->pool : b->copy) + at,
					     .raw_len = b->len,
					     .filter = k->filter,
					     .dst = b->dst + i % POOL_EXTENTS * (b->len + 4096),
					     .dst_room = b->len + 4096,
					     .pinned = pinned,
					     .done = done};
	}
}

static double gb_per_s(double bytes, uint64_t ns)
{
	return bytes / (double)ns;
}

static int wait_slot(struct gpu_slot *s)
{
	int err;

	do
		err = gpu_slot_poll(s);
	while (err == -EAGAIN);
	return err;
}

/* Kernels, and the whole way of single batches, of @nr extents. */
static int run_slot(struct bench *b, unsigned nr, double *kernels, double *alone, double *ratio)
{
	struct gpu_limits lim = gpu_limits_for(MAX(nr * b->len, (size_t)GPU_RAW_MAX));
	struct gpu_slot s = {.jobs_end = &s.jobs};
	uint64_t begin, ns = 0;
	unsigned rounds = 0;
	struct gpu_batch batch;
	int err = gpu_slot_open(&s, b->drv, b->dev, &lim);

	for (; !err && (double)ns < b->seconds * 1e9; rounds++) {
		begin = mono_ns();
		s.jobs = NULL;
		s.jobs_end = &s.jobs;
		gpu_slot_reset(&s);
		for (unsigned i = 0; i < nr; i++)
			gpu_slot_add(&s, &b->job[i]);
		err = gpu_slot_send(&s);
		if (!err)
			err = wait_slot(&s);
		if (!err)
			err = gpu_slot_fetch(&s);
		if (!err)
			err = wait_slot(&s);
		ns += mono_ns() - begin;
	}
	*alone = gb_per_s((double)rounds * nr * (double)b->len, ns);
	if (!err)
		*ratio = (double)(nr * b->len) / (double)s.total->out_len;
	batch = gpu_slot_batch(&s);
	begin = mono_ns();
	ns = 0;
	/* Eight at once, so that the host is no part of it. */
	for (rounds = 0; !err && (double)ns < b->seconds * 1e9; rounds += 8) {
		for (unsigned i = 0; i < 8 && !err; i++)
			err = b->drv->launch(s.stream, &batch);
		if (!err)
			err = wait_slot(&s);
		ns = mono_ns() - begin;
	}
	*kernels = gb_per_s((double)rounds * nr * (double)b->len, ns);
	gpu_slot_close(&s, false);
	return err;
}

/* Through the whole of gpu.c: three batches' jobs at a time. */
static double run_submit(struct bench *b, struct gpu *g, unsigned nr)
{
	unsigned at_once = MIN(3 * nr, EXTENTS_MAX), rounds = 0;
	uint64_t begin = mono_ns(), ns = 0;

	for (; !b->err && (double)ns < b->seconds * 1e9; rounds++) {
		lock_take(&b->lock);
		b->left = at_once;
		lock_release(&b->lock);
		for (unsigned i = 0; i < at_once; i++)
			gpu_submit(g, &b->job[i]);
		lock_take(&b->lock);
		while (b->left)
			cond_wait(&b->all, &b->lock);
		lock_release(&b->lock);
		ns = mono_ns() - begin;
	}
	return gb_per_s((double)rounds * at_once * (double)b->len, ns);
}

static int run_kind(struct bench *b, const struct kind *k)
{
	for (unsigned i = 0; i < POOL_EXTENTS; i++)
		k->fill(b->pool + i * b->len, b->len);
	memcpy(b->copy, b->pool, POOL_EXTENTS * b->len);
	for (unsigned i = 0; i < ARRAY_LEN(batches); i++) {
		struct gpu_params p = {.batch_len =
					       MIN(MAX(batches[i] * b->len, (size_t)GPU_RAW_MAX),
						   (size_t)256 * MIB),
				       .nr_devices = 1};
		double kernels = 0, alone = 0, ratio = 0, together, bounced;
		struct why why = {NULL, 0};
		struct gpu *g;
		int err;

		set_jobs(b, k, true);
		err = run_slot(b, batches[i], &kernels, &alone, &ratio);
		if (err)
			return err;
		err = gpu_open(&p, &g, &why);
		if (err)
			return err;
		gpu_register(g, b->pool, POOL_EXTENTS * b->len);
		together = run_submit(b, g, batches[i]);
		set_jobs(b, k, false);
		bounced = run_submit(b, g, batches[i]);
		gpu_unregister(g, b->pool);
		gpu_close(g);
		printf("%-12s %7u %9.2f %9.1f %9.1f %9.1f %9.1f\n", k->name, batches[i], ratio,
		       kernels, alone, together, bounced);
		fflush(stdout);
		if (b->err)
			return b->err;
	}
	return 0;
}

static int prepare(struct bench *b)
{
	size_t pool = POOL_EXTENTS * b->len;

	lock_init(&b->lock);
	cond_init(&b->all);
	b->pool = aligned_alloc(BLOCK_LEN, pool);
	b->copy = malloc(pool);
	b->dst = malloc(POOL_EXTENTS * (b->len + 4096));
	b->job = calloc(EXTENTS_MAX, sizeof(*b->job));
	return b->pool && b->copy && b->dst && b->job ? 0 : -ENOMEM;
}

int main(int argc, char **argv)
{
	struct bench b = {.drv = gpu_driver_cuda(), .len = 1024 * KIB, .seconds = 0.5};
	char name[64] = "";
	unsigned nr = 0;
	int err = 0;

	the_bench = &b;
	if (argc > 1)
		b.len = strtoul(argv[1], NULL, 10) * KIB;
	if (argc > 2)
		b.seconds = strtod(argv[2], NULL);
	if (b.len < 4 * KIB || b.len > GPU_RAW_MAX || b.len % (4 * KIB)) {
		fprintf(stderr, "bench_gpu: an extent is 4 to 4096 KiB, in multiples of 4\n");
		return 2;
	}
	if (!b.drv || b.drv->count(NULL, &nr) || !nr ||
	    b.drv->open(NULL, 0, &b.dev, name, sizeof(name))) {
		fprintf(stderr, "bench_gpu: no GPU\n");
		return 77;
	}
	err = prepare(&b);
	if (!err)
		err = b.drv->pin(NULL, b.pool, POOL_EXTENTS * b.len);
	printf("%s, extents of %zu KiB, GB/s of raw bytes\n", name, b.len / 1024);
	printf("%-12s %7s %9s %9s %9s %9s %9s\n", "data", "extents", "ratio", "kernels", "alone",
	       "together", "bounced");
	for (unsigned i = 0; i < ARRAY_LEN(kinds) && !err; i++)
		err = run_kind(&b, &kinds[i]);
	if (err)
		fprintf(stderr, "bench_gpu: %s\n", strerror(-err));
	return err ? 1 : 0;
}
