/* Every way does an extent before any does the next, so that what else the machine does hits all of
 * them alike; each round begins with another way. The lowest time of an extent's rounds counts.
 *
 * Every decoded extent is compared with what went in: a rate of something wrong is none. */
#include "fs/codec_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "codec/codec.h"
#include "conf/base.h"
#include "conf/lock.h"
#include "conf/xxh3.h"

struct bench {
	const struct codec_bench_params *p;
	ZSTD_CCtx *cctx;
	ZSTD_DCtx *dctx;
	uint8_t *scratch, *enc, *back;
	uint8_t *hot; /* the extent, in the processor's caches, as it is just after write(2) */
	size_t enc_room;
	struct codec_opts opts;
	/* of the file */
	struct codec_file *file;
	uint64_t why[CODEC_WHY_NR]; /* raw bytes */
};

static uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

struct result {
	uint64_t stored_len, encode_ns, decode_ns;
};

static int join_container(struct bench *b, const struct codec_job *j, size_t *len)
{
	*len = j->head_len + j->payload_len;
	if (*len > b->enc_room)
		return -EOVERFLOW;
	memcpy(b->enc, j->head, j->head_len);
	memcpy(b->enc + j->head_len, j->payload, j->payload_len);
	return 0;
}

static int bench_matfs(struct bench *b, const uint8_t *raw, size_t len, uint64_t off, bool first,
		       struct result *r)
{
	struct codec_job j = {.opts = &b->opts,
			      .file = b->file,
			      .file_off = off,
			      .raw = raw,
			      .raw_len = len,
			      .scratch = b->scratch};
	uint64_t begun = cpu_ns();
	size_t enc_len;
	int err = codec_encode(&j);

	r->encode_ns = cpu_ns() - begun;
	if (!err)
		err = join_container(b, &j, &enc_len);
	if (err)
		return err;
	r->stored_len = enc_len;
	if (first)
		b->why[j.why] += len;
	begun = cpu_ns();
	err = codec_decode(b->enc, enc_len, b->back, len);
	r->decode_ns = cpu_ns() - begun;
	return err;
}

static int bench_zstd(struct bench *b, int level, const uint8_t *raw, size_t len, struct result *r)
{
	uint64_t begun = cpu_ns();
	size_t n = ZSTD_compressCCtx(b->cctx, b->enc, b->enc_room, raw, len, level), back;

	r->encode_ns = cpu_ns() - begun;
	if (ZSTD_isError(n))
		return -ENOMEM;
	r->stored_len = MIN(n, len);
	begun = cpu_ns();
	back = ZSTD_decompressDCtx(b->dctx, b->back, len, b->enc, n);
	r->decode_ns = cpu_ns() - begun;
	return back == len ? 0 : -EBADMSG;
}

static int bench_copy(struct bench *b, const uint8_t *raw, size_t len, struct result *r)
{
	uint64_t begun = cpu_ns(), sum[2];

	memcpy(b->back, raw, len);
	sum[0] = XXH3_64bits(b->back, len);
	r->encode_ns = cpu_ns() - begun;
	begun = cpu_ns();
	memcpy(b->enc, b->back, len);
	sum[1] = XXH3_64bits(b->enc, len);
	r->decode_ns = cpu_ns() - begun;
	r->stored_len = len;
	return sum[0] == sum[1] ? 0 : -EBADMSG;
}

static int bench_way(struct bench *b, enum codec_bench_way way, const uint8_t *raw, size_t len,
		     uint64_t off, bool first, struct result *r)
{
	int err;

	switch (way) {
	case BENCH_MATFS:
		err = bench_matfs(b, raw, len, off, first, r);
		break;
	case BENCH_ZSTD_1:
		err = bench_zstd(b, 1, raw, len, r);
		break;
	case BENCH_ZSTD_3:
		err = bench_zstd(b, 3, raw, len, r);
		break;
	case BENCH_COPY:
		err = bench_copy(b, raw, len, r);
		break;
	default:
		return -EINVAL;
	}
	if (!err && memcmp(b->back, raw, len))
		err = -EBADMSG;
	return err;
}

static bool way_here(const struct bench *b, unsigned way)
{
	return way != BENCH_GPU || b->p->gpu;
}

static int bench_extents(struct bench *b, const uint8_t *raw, uint64_t raw_len,
			 struct codec_bench_row *row)
{
	uint32_t step = b->p->extent_len;
	uint64_t nr = div_up(raw_len, step);
	AUTO_FREE struct result *best = calloc(nr * BENCH_NR, sizeof(*best));

	if (!best)
		return -ENOMEM;
	for (unsigned round = 0; round < b->p->rounds; round++) {
		/* Each round is a file newly written: what is remembered is part of the work. */
		codec_file_free(b->file);
		b->file = codec_file_new();
		if (!b->file)
			return -ENOMEM;
		for (uint64_t i = 0; i < nr; i++) {
			uint64_t off = i * step;
			size_t len = (size_t)MIN((uint64_t)step, raw_len - off);

			for (unsigned k = 0; k < BENCH_NR; k++) {
				unsigned way = (k + round) % BENCH_NR;
				struct result r, *to = &best[i * BENCH_NR + way];
				int err;

				if (!way_here(b, way) || way == BENCH_GPU)
					continue;
				memcpy(b->hot, raw + off, len);
				err = bench_way(b, way, b->hot, len, off, !round, &r);
				if (err)
					return err;
				if (!round || r.encode_ns < to->encode_ns)
					to->encode_ns = r.encode_ns;
				if (!round || r.decode_ns < to->decode_ns)
					to->decode_ns = r.decode_ns;
				to->stored_len = r.stored_len;
			}
		}
	}
	row->raw_len = raw_len;
	for (uint64_t i = 0; i < nr; i++)
		for (unsigned way = 0; way < BENCH_NR; way++) {
			const struct result *r = &best[i * BENCH_NR + way];

			row->way[way].there = way_here(b, way) && way != BENCH_GPU;
			row->way[way].stored_len += r->stored_len;
			row->way[way].encode_ns += r->encode_ns;
			row->way[way].decode_ns += r->decode_ns;
		}
	return 0;
}

/* ---- a GPU ---- */

#define GPU_JOBS 64u /* extents that are with it at once */

struct gpu_slot {
	struct codec_job j;
	struct gpu_run *run;
	uint8_t *scratch;
	uint64_t begun_ns;
};

struct gpu_run {
	struct lock lock;
	struct cond came;
	struct gpu_slot *back[GPU_JOBS]; /* done, not yet completed; guarded by lock */
	unsigned nr_back;		 /* guarded by lock */
};

/* On the GPU's thread. */
static void gpu_back(struct codec_job *j)
{
	struct gpu_slot *s = container_of(j, struct gpu_slot, j);
	struct gpu_run *run = s->run;

	lock_take(&run->lock);
	run->back[run->nr_back++] = s;
	cond_signal(&run->came);
	lock_release(&run->lock);
}

static struct gpu_slot *gpu_wait(struct gpu_run *run)
{
	struct gpu_slot *s;

	lock_take(&run->lock);
	while (!run->nr_back)
		cond_wait(&run->came, &run->lock);
	s = run->back[--run->nr_back];
	lock_release(&run->lock);
	return s;
}

/* All extents but the first, which tells the others how, as many at once as there are slots. Rows count
 * those extents alone. */
static int gpu_extents(struct bench *b, struct gpu_run *run, struct gpu_slot *slot,
		       const uint8_t *raw, uint64_t raw_len, struct codec_bench_row *row)
{
	uint32_t step = b->p->extent_len;
	uint64_t next = 0, begun = 0, stored = 0, done = 0;
	unsigned nr_free = GPU_JOBS, nr_out = 0;
	struct gpu_slot *free_slot[GPU_JOBS];
	int err = 0;

	for (unsigned i = 0; i < GPU_JOBS; i++)
		free_slot[i] = &slot[i];
	while (next < raw_len || nr_out) {
		struct gpu_slot *s;

		if (next < raw_len && nr_free && !err && (next || !nr_out)) {
			s = free_slot[--nr_free];
			s->j = (struct codec_job){
				.opts = &b->opts,
				.file = b->file,
				.file_off = next,
				.raw = raw + next,
				.raw_len = (size_t)MIN((uint64_t)step, raw_len - next),
				.scratch = s->scratch,
				.done = gpu_back};
			if (next == step)
				begun = mono_ns();
			next += s->j.raw_len;
			if (next > step && codec_offer(b->p->gpu, &s->j)) {
				nr_out++;
				continue;
			}
			err = codec_encode(&s->j);
		} else if (nr_out) {
			s = gpu_wait(run);
			nr_out--;
			err = codec_complete(&s->j);
		} else {
			break;
		}
		if (s->j.file_off) {
			done += s->j.raw_len;
			stored += s->j.head_len + s->j.payload_len;
		}
		free_slot[nr_free++] = s;
	}
	if (!err && done) {
		row->way[BENCH_GPU].there = true;
		/* To the length of the whole file, as the other ways' figures are. */
		row->way[BENCH_GPU].stored_len =
			(uint64_t)((double)stored / (double)done * (double)raw_len);
		row->way[BENCH_GPU].encode_ns =
			(uint64_t)((double)(mono_ns() - begun) / (double)done * (double)raw_len);
		row->way[BENCH_GPU].decode_ns = row->way[BENCH_MATFS].decode_ns;
	}
	return err;
}

static int bench_gpu(struct bench *b, const uint8_t *raw, uint64_t raw_len,
		     struct codec_bench_row *row)
{
	size_t scratch = round_up(codec_scratch_len(b->p->extent_len), 64);
	AUTO_FREE struct gpu_slot *slot = calloc(GPU_JOBS, sizeof(*slot));
	AUTO_FREE uint8_t *memory = malloc(GPU_JOBS * scratch);
	struct gpu_run run = {.nr_back = 0};
	int err;

	codec_file_free(b->file);
	b->file = codec_file_new();
	if (!slot || !memory || !b->file)
		return -ENOMEM;
	lock_init(&run.lock);
	cond_init(&run.came);
	for (unsigned i = 0; i < GPU_JOBS; i++) {
		slot[i].run = &run;
		slot[i].scratch = memory + i * scratch;
	}
	err = gpu_extents(b, &run, slot, raw, raw_len, row);
	cond_fini(&run.came);
	lock_fini(&run.lock);
	return err;
}

/* ---- files ---- */

static int read_file(const char *path, uint64_t len_max, uint8_t **out, uint64_t *out_len)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_FREE uint8_t *buf = NULL;
	struct stat st;
	uint64_t len, got = 0;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	len = MIN((uint64_t)st.st_size, len_max);
	if (!len)
		return -ENODATA;
	buf = malloc(len);
	if (!buf)
		return -ENOMEM;
	while (got < len) {
		ssize_t n = pread(fd, buf + got, len - got, (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (uint64_t)n;
	}
	if (!got)
		return -ENODATA;
	*out = TAKE_PTR(buf);
	*out_len = got;
	return 0;
}

static const char *main_why(const struct bench *b)
{
	unsigned most = 0;

	for (unsigned i = 1; i < CODEC_WHY_NR; i++)
		if (b->why[i] > b->why[most])
			most = i;
	return codec_why_name[most];
}

static int bench_file(struct bench *b, const char *path, struct codec_bench_row *row)
{
	AUTO_FREE uint8_t *raw = NULL;
	uint64_t len = 0;
	int err = read_file(path, b->p->len_max, &raw, &len);

	if (err)
		return err;
	memset(b->why, 0, sizeof(b->why));
	*row = (struct codec_bench_row){.file = path};
	err = bench_extents(b, raw, len, row);
	if (!err && b->p->gpu)
		err = bench_gpu(b, raw, len, row);
	row->why = main_why(b);
	return err;
}

/* ---- printing ---- */

static double rate(uint64_t len, uint64_t ns)
{
	return ns ? (double)len * 1000 / (double)ns : 0; /* MB/s */
}

static const char *const way_name[BENCH_NR] = {"matfs", "gpu", "zstd -1", "zstd -3", "copy+sum"};
static const char *const way_key[BENCH_NR] = {"matfs", "gpu", "zstd_1", "zstd_3", "copy"};

static void print_head(const struct bench *b, FILE *out)
{
	fprintf(out, "%-24s %9s", "file", "MB");
	for (unsigned w = 0; w < BENCH_NR; w++)
		if (way_here(b, w) && w != BENCH_COPY)
			fprintf(out, " | %s: %-*s %6s %6s", way_name[w],
				(int)(8 - strlen(way_name[w])), "ratio", "enc", "dec");
	fprintf(out, " | stored as\n");
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static void print_row(FILE *out, const struct codec_bench_row *r)
{
	fprintf(out, "%-24.24s %9.2f", base_name(r->file), (double)r->raw_len / 1e6);
	for (unsigned w = 0; w < BENCH_NR; w++)
		if (r->way[w].there && w != BENCH_COPY)
			fprintf(out, " | %14.3f %6.0f %6.0f",
				(double)r->raw_len / (double)r->way[w].stored_len,
				rate(r->raw_len, r->way[w].encode_ns),
				rate(r->raw_len, r->way[w].decode_ns));
	fprintf(out, " | %s\n", r->why);
	fflush(out);
}

static void json_string(FILE *out, const char *s)
{
	putc('"', out);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			fprintf(out, "\\u%04x", (unsigned)*s);
		else
			putc(*s, out);
	}
	putc('"', out);
}

static void json_row(FILE *out, const struct codec_bench_row *r)
{
	fprintf(out, "  {\"file\": ");
	json_string(out, r->file);
	fprintf(out, ", \"bytes\": %llu, \"why\": \"%s\"", (unsigned long long)r->raw_len, r->why);
	for (unsigned w = 0; w < BENCH_NR; w++)
		if (r->way[w].there)
			fprintf(out,
				", \"%s\": {\"stored_bytes\": %llu, \"encode_ns\": %llu, "
				"\"decode_ns\": %llu}",
				way_key[w], (unsigned long long)r->way[w].stored_len,
				(unsigned long long)r->way[w].encode_ns,
				(unsigned long long)r->way[w].decode_ns);
	fprintf(out, "}");
}

/* Geometric means over files, and totals over bytes. */
static void print_sums(FILE *out, const struct codec_bench_row *rows, unsigned nr)
{
	fprintf(out, "\n%u files%20s %10s %10s %10s   totals: %7s %10s\n", nr, "", "ratio",
		"encode", "decode", "encode", "decode");
	for (unsigned w = 0; w < BENCH_NR; w++) {
		double sum[3] = {0};
		uint64_t len = 0, enc = 0, dec = 0;

		if (!rows[0].way[w].there)
			continue;
		for (unsigned i = 0; i < nr; i++) {
			const struct codec_bench_row *r = &rows[i];

			sum[0] += log((double)r->raw_len / (double)r->way[w].stored_len);
			sum[1] += log(rate(r->raw_len, r->way[w].encode_ns));
			sum[2] += log(rate(r->raw_len, r->way[w].decode_ns));
			len += r->raw_len;
			enc += r->way[w].encode_ns;
			dec += r->way[w].decode_ns;
		}
		fprintf(out, "%-28s %10.4f %10.0f %10.0f   %10.0f %10.0f\n", way_name[w],
			exp(sum[0] / nr), exp(sum[1] / nr), exp(sum[2] / nr), rate(len, enc),
			rate(len, dec));
	}
	fprintf(out, "\nMB/s of one core, of a GPU by the clock with its copies; ratio, encode, "
		     "decode: geometric means over the files\n");
}

/* ---- the run ---- */

static int bench_init(struct bench *b)
{
	b->opts = (struct codec_opts){.mode = CODEC_AUTO, .level = b->p->level};
	b->enc_room = ZSTD_compressBound(b->p->extent_len) + CODEC_HEAD_MAX;
	b->scratch = malloc(codec_scratch_len(b->p->extent_len));
	b->enc = malloc(b->enc_room);
	b->back = malloc(b->p->extent_len);
	b->hot = malloc(b->p->extent_len);
	b->cctx = ZSTD_createCCtx();
	b->dctx = ZSTD_createDCtx();
	return b->scratch && b->enc && b->back && b->hot && b->cctx && b->dctx ? 0 : -ENOMEM;
}

static void bench_fini(struct bench *b)
{
	codec_file_free(b->file);
	ZSTD_freeCCtx(b->cctx);
	ZSTD_freeDCtx(b->dctx);
	free(b->scratch);
	free(b->enc);
	free(b->back);
	free(b->hot);
}

static void print_all(const struct codec_bench_params *p, const struct codec_bench_row *rows,
		      unsigned nr)
{
	if (!p->json) {
		if (nr)
			print_sums(p->out, rows, nr);
		return;
	}
	fprintf(p->out, "[\n");
	for (unsigned i = 0; i < nr; i++) {
		json_row(p->out, &rows[i]);
		fprintf(p->out, i + 1 < nr ? ",\n" : "\n");
	}
	fprintf(p->out, "]\n");
}

int codec_bench_run(const struct codec_bench_params *p)
{
	struct bench b = {.p = p};
	AUTO_FREE struct codec_bench_row *rows = calloc(p->nr_files, sizeof(*rows));
	unsigned nr = 0;
	int err = rows ? bench_init(&b) : -ENOMEM, res = 0;

	if (!err && !p->json)
		print_head(&b, p->out);
	for (unsigned i = 0; i < p->nr_files && !err; i++) {
		err = bench_file(&b, p->files[i], &rows[nr]);
		if (err && err != -ENOMEM) {
			fprintf(p->err, "matfsctl: bench-codec: %s: %s\n", p->files[i],
				err == -ENODATA ? "is empty" : strerror(-err));
			res = 1;
			err = 0;
			continue;
		}
		if (err)
			break;
		if (!p->json)
			print_row(p->out, &rows[nr]);
		nr++;
	}
	if (!err)
		print_all(p, rows, nr);
	bench_fini(&b);
	return err ? err : res;
}
