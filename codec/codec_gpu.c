/* GPUs beside the CPU: who encodes an extent, and what is done with what a GPU gives back.
 *
 * An extent goes to a GPU when it is expected to be done there sooner: what the GPUs have queued at
 * their rate (gpu.h reckons that), against what this machine's threads have been left with at theirs.
 * Both run at once, and so share the work in the proportion of their rates.
 *
 * Which filter is known to the file's memory (choose.h), or tried by the GPU among some; the first
 * extent of a file is searched, and encoded, here.
 *
 * A GPU's bytes are decoded and compared with what went in before they are used, all of them: decoding
 * takes a CPU less than half the time of encoding, and a wrong byte on disk would be for ever. Whatever
 * is wrong or missing is encoded here. */
#include "codec/codec_gpu.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "codec/choose.h"
#include "codec/codec_file.h"
#include "codec/codec_zstd.h"
#include "codec/frame.h"
#include "codec/gpu.h"
#include "codec/pack.h"
#include "codec/probe.h"
#include "conf/base.h"
#include "conf/log.h"

/* Shorter extents gain less than the copies cost. */
#define OFFER_LEN ((size_t)64 * KIB)

/* Nanoseconds of one thread for a MiB, before any was measured. */
#define FIRST_NS_MIB UINT64_C(1500000)

struct codec_gpu {
	struct gpu *gpu;
	enum codec_gpu_want want;
	unsigned nr_threads;
	atomic_uint_fast64_t cpu_bytes;	 /* declined, not yet encoded */
	atomic_uint_fast64_t cpu_ns_mib; /* of one thread, lately */
	atomic_uint_fast64_t nr_wrong;
};

/* An extent that a GPU has. */
struct codec_offered {
	struct gpu_job job;
	struct codec_gpu *gpu;
	struct codec_job *j;
	struct choices choices;
	struct gpu_try tries[CHOICES_MAX];
	uint64_t taken_ns; /* of this machine's processors */
};

_Static_assert(CHOICES_MAX <= GPU_TRIES_MAX && CODEC_TILES_MAX <= GPU_JOB_TILES, "");

/* ---- opening ---- */

static int open_with(const struct codec_gpu_params *p, const struct gpu_params *params,
		     struct codec_gpu **out, const struct why *why)
{
	struct codec_gpu *g = calloc(1, sizeof(*g));
	int err = g ? gpu_open(params, &g->gpu, why) : -ENOMEM;

	if (err) {
		free(g);
		return err;
	}
	g->want = p->want;
	g->nr_threads = MAX(p->nr_threads, 1u);
	atomic_init(&g->cpu_ns_mib, FIRST_NS_MIB);
	*out = g;
	return 0;
}

int codec_gpu_open(const struct codec_gpu_params *p, struct codec_gpu **out, char *why,
		   size_t why_len)
{
	struct gpu_params params = {.driver = p->driver, .driver_arg = p->driver_arg};
	struct codec_gpu *g = NULL;
	int err = 0;

	if (p->want != CODEC_GPU_OFF)
		err = open_with(p, &params, &g, &(struct why){why, why_len});
	/* With auto, none is an answer like another. */
	if (err && p->want != CODEC_GPU_ON)
		err = 0;
	if (!err)
		*out = g;
	return err;
}

void codec_gpu_close(struct codec_gpu *g)
{
	if (!g)
		return;
	/* Unpins what was registered, too; but not while the driver is stuck, which would never end. */
	gpu_close(g->gpu);
	free(g);
}

int codec_gpu_register(struct codec_gpu *g, void *p, size_t len)
{
	return g ? gpu_register(g->gpu, p, len) : 0;
}

/* ---- who does it ---- */

static uint64_t cpu_expected_ns(struct codec_gpu *g, size_t len)
{
	uint64_t bytes = atomic_load(&g->cpu_bytes) + len;

	return bytes * atomic_load(&g->cpu_ns_mib) / MIB / g->nr_threads;
}

static bool gpu_sooner(struct codec_gpu *g, size_t len)
{
	uint64_t ns = gpu_expected_ns(g->gpu, len);

	return ns != UINT64_MAX && (g->want == CODEC_GPU_ON || ns < cpu_expected_ns(g, len));
}

/* This thread will encode it: what comes next may be sooner elsewhere. */
static bool decline(struct codec_gpu *g, struct codec_job *j)
{
	atomic_fetch_add(&g->cpu_bytes, j->raw_len);
	j->declined = g;
	return false;
}

void codec_gpu_declined(struct codec_job *j, uint64_t ns)
{
	struct codec_gpu *g = j->declined;
	uint64_t old = atomic_load(&g->cpu_ns_mib);

	j->declined = NULL;
	atomic_fetch_sub(&g->cpu_bytes, j->raw_len);
	/* The mean of about the last sixteen; one that is lost between two threads is no loss. */
	atomic_store(&g->cpu_ns_mib, old - old / 16 + ns * MIB / j->raw_len / 16);
}

static void gpu_done(struct gpu_job *job)
{
	struct codec_offered *o = container_of(job, struct codec_offered, job);

	o->j->done(o->j);
}

static void offered_job(struct codec_offered *o, enum choose_other how)
{
	struct codec_job *j = o->j;
	const struct choice *first = &o->choices.list[0];

	o->job = (struct gpu_job){.raw = j->raw,
				  .raw_len = j->raw_len,
				  .phase = o->choices.phase & (first->filter.width - 1u),
				  .filter = first->filter,
				  .dst = j->scratch,
				  .dst_room = probe_limit(j->raw_len),
				  .done = gpu_done};
	if (how != CHOOSE_TRY)
		return;
	o->job.phase = o->choices.phase;
	for (unsigned i = 0; i < o->choices.nr; i++)
		o->tries[i] = (struct gpu_try){.filter = o->choices.list[i].filter};
	o->job.tries = o->tries;
	o->job.nr_tries = o->choices.nr;
}

bool codec_offer(struct codec_gpu *g, struct codec_job *j)
{
	uint64_t begun = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	struct codec_offered *o;
	enum choose_other how;

	if (!g || j->opts->mode != CODEC_AUTO || j->raw_len < OFFER_LEN ||
	    j->raw_len > CODEC_RAW_MAX || !gpu_ready(g->gpu))
		return false;
	if (!gpu_sooner(g, j->raw_len))
		return decline(g, j);
	codec_learn(j->file, j->file_off, j->raw, j->raw_len);
	o = malloc(sizeof(*o));
	how = o && !probe_is_fill(j->raw, j->raw_len) ? choose_other(j, &o->choices) : CHOOSE_HERE;
	if (how == CHOOSE_HERE) {
		free(o);
		return decline(g, j);
	}
	o->gpu = g;
	o->j = j;
	offered_job(o, how);
	o->taken_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun;
	j->offered = o;
	gpu_submit(g->gpu, &o->job);
	return true;
}

/* ---- what came back ---- */

/* Decode what a GPU made of tile @idx, and compare. Returns 0, -EBADMSG or -ENOMEM. */
static int compare_tile(const struct codec_offered *o, unsigned idx, size_t at, uint32_t *sum)
{
	const struct codec_job *j = o->j;
	const struct filter *f = &o->job.used;
	unsigned phase = o->job.phase & (f->width - 1u);
	size_t from, to, len;
	uint8_t *filtered, *raw;
	int err;

	frame_tile_range(j->raw_len, phase, idx, &from, &to);
	len = to - from;
	filtered = codec_zstd_buffer(2 * round_up(len, 64));
	if (!filtered)
		return -ENOMEM;
	raw = filtered;
	err = codec_zstd_unpack(j->scratch + at, o->job.tile_len[idx], filtered, len);
	if (!err && pack_filters(f)) {
		raw = filtered + round_up(len, 64);
		filter_undo(f, raw, filtered, len, idx ? 0 : phase);
	}
	if (!err && memcmp(raw, j->raw + from, len))
		err = -EBADMSG;
	if (!err)
		*sum = frame_sum(raw, len);
	return err;
}

/* All tiles; @p as if it had been packed here. */
static int compare(const struct codec_offered *o, struct packing *p)
{
	const struct gpu_job *job = &o->job;
	unsigned nr;

	if (!filter_ok(&job->used) || job->payload_len > job->dst_room)
		return -EBADMSG;
	p->c.filter = job->used;
	p->c.phase = (uint8_t)(job->phase & (job->used.width - 1u));
	p->dst = o->j->scratch;
	nr = frame_tiles(o->j->raw_len, p->c.phase);
	for (unsigned i = 0; i < nr; i++) {
		int err = job->tile_len[i] <= job->payload_len - p->len ? 0 : -EBADMSG;

		if (!err)
			err = compare_tile(o, i, p->len, &p->tile_sum[i]);
		if (err)
			return err;
		p->tile_len[i] = job->tile_len[i];
		p->len += job->tile_len[i];
	}
	return p->len == job->payload_len ? 0 : -EBADMSG;
}

/* One line for the first, and then each time there are ten times as many. */
static void say_wrong(struct codec_gpu *g, const struct codec_job *j)
{
	uint64_t n = atomic_fetch_add(&g->nr_wrong, 1) + 1, power = 1;

	while (power < n)
		power *= 10;
	if (n == power)
		log_error("GPU: %llu encoded extents did not decode to what they were made of, the "
			  "last at offset "
			  "%llu of a file; encoded by the CPU instead, nothing is lost. Check the "
			  "GPU's memory, "
			  "or mount with gpu=off",
			  (unsigned long long)n, (unsigned long long)j->file_off);
}

static int complete(struct codec_job *j, struct codec_offered *o)
{
	struct packing p = {.j = j};
	int err = o->job.err ? o->job.err : compare(o, &p);

	if (err == -EBADMSG)
		say_wrong(o->gpu, j);
	if (err == -ENOSPC) {
		choose_result(j, !o->job.nr_tries, j->raw_len, false);
		pack_finish_plain(j, CODEC_KIND_RAW, CODEC_WHY_GAIN);
		return 0;
	}
	if (err)
		return codec_encode(j);
	if (o->job.nr_tries)
		choose_tried(j, &o->job.used);
	choose_result(j, !o->job.nr_tries, p.len, true);
	pack_finish(j, &p, CODEC_BY_GPU, CODEC_WHY_NUMBERS);
	return 0;
}

int codec_complete(struct codec_job *j)
{
	uint64_t begun = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	struct codec_offered *o = j->offered;
	int err;

	j->offered = NULL;
	j->encode_ns = 0;
	err = complete(j, o);
	j->encode_ns = o->taken_ns + clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun;
	free(o);
	return err;
}

/* ---- statistics ---- */

unsigned codec_gpu_count(struct codec_gpu *g)
{
	return g ? gpu_nr(g->gpu) : 0;
}

void codec_gpu_stat(struct codec_gpu *g, unsigned idx, struct codec_gpu_stat *out)
{
	struct gpu_stat st;

	gpu_stats(g->gpu, idx, &st);
	*out = (struct codec_gpu_stat){.state = gpu_state_name[st.state],
				       .raw_bytes = st.raw_bytes,
				       .stored_bytes = st.stored_bytes,
				       .nr_batches = st.batches,
				       .nr_failed = st.errors,
				       .nr_wrong = atomic_load(&g->nr_wrong),
				       .queued_bytes = st.queued,
				       .rate = st.rate};
	snprintf(out->name, sizeof(out->name), "%s", st.name);
	snprintf(out->why, sizeof(out->why), "%s", st.reason);
}
