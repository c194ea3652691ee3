/* What there is to know about a mount. Each group asks one part of the program; nothing is counted here. */
#include "fs/stats.h"

#include <stdio.h>
#include <string.h>

#include "conf/base.h"
#include "conf/conf.h"
#include "conf/log.h"
#include "fs/arena.h"
#include "fs/budget.h"
#include "fs/cache.h"
#include "fs/commit.h"
#include "fs/later.h"
#include "fs/recompress.h"
#include "fs/writeback.h"

#define LOG_LEN	    (32 * KIB)
#define LOCKS_SHOWN 8

static void stats_program(struct report *r, const struct ops *o)
{
	report_group(r, "matfs");
	report_text(r, "version", conf_version());
	report_text(r, "libfuse", fuse_pkgversion());
	report_text(r, "mountpoint", o->mountpoint);
	report_text(r, "transport", o->transport);
	report_number(r, "pid", REPORT_COUNT, (uint64_t)getpid());
	report_number(r, "uptime", REPORT_NS, mono_ns() - o->fs->mounted_ns);
	report_group_end(r);
}

static const char *volume_state(const struct fs *fs, const struct raid_stat *st)
{
	if (st->nr_lost > raid_parity(raid_geometry(fs->raid)))
		return "failed";
	if (fs->rdonly || raid_readonly(fs->raid))
		return "read-only";
	return st->nr_lost ? "degraded" : "online";
}

static void uuid_print(const uint8_t uuid[RAID_UUID_LEN], char out[2 * RAID_UUID_LEN + 1])
{
	for (unsigned i = 0; i < RAID_UUID_LEN; i++)
		snprintf(out + 2 * i, 3, "%02x", uuid[i]);
}

static void stats_volume(struct report *r, struct fs *fs, const struct raid_stat *st)
{
	const struct raid_geometry *g = raid_geometry(fs->raid);
	char uuid[2 * RAID_UUID_LEN + 1];
	struct raid_space space = {0};

	uuid_print(raid_uuid(fs->raid), uuid);
	report_group(r, "volume");
	report_text(r, "state", volume_state(fs, st));
	report_text(r, "uuid", uuid);
	report_number(r, "raid", REPORT_COUNT, g->level);
	report_number(r, "shards", REPORT_COUNT, g->nr_shards);
	report_number(r, "parity", REPORT_COUNT, raid_parity(g));
	report_number(r, "extent", REPORT_BYTES, g->extent_len);
	report_number(r, "epoch", REPORT_COUNT, st->epoch);
	report_number(r, "lost", REPORT_COUNT, st->nr_lost);
	report_flag(r, "redundant", st->redundant);
	report_flag(r, "readonly", fs->rdonly || raid_readonly(fs->raid));
	report_text(r, "engine", st->engine);
	report_number(r, "rebuilt", REPORT_COUNT, st->nr_rebuilt);
	if (!raid_space(fs->raid, &space)) {
		report_number(r, "total", REPORT_BYTES, space.total);
		report_number(r, "avail", REPORT_BYTES, space.avail);
		report_number(r, "used", REPORT_BYTES, space.used);
	}
	report_group_end(r);
}

static void stats_shards(struct report *r, struct fs *fs)
{
	report_table(r, "shards", false);
	for (unsigned i = 0; i < raid_geometry(fs->raid)->nr_shards; i++) {
		struct shard_stat st;

		raid_shard_stat(fs->raid, i, &st);
		report_row(r, NULL);
		report_number(r, "index", REPORT_COUNT, i);
		report_text(r, "path", st.path ? st.path : "");
		report_text(r, "state", shard_state_name[st.state]);
		report_number(r, "used", REPORT_BYTES, st.used);
		report_number(r, "reads", REPORT_COUNT, st.nr_reads);
		report_number(r, "read", REPORT_BYTES, st.read_bytes);
		report_number(r, "writes", REPORT_COUNT, st.nr_writes);
		report_number(r, "written", REPORT_BYTES, st.write_bytes);
		report_number(r, "errors", REPORT_COUNT, st.nr_errors);
		report_number(r, "wrong", REPORT_COUNT, st.nr_wrong);
		report_number(r, "repaired", REPORT_COUNT, st.nr_repaired);
		report_number(r, "disk_total", REPORT_BYTES, st.space.total);
		report_number(r, "disk_avail", REPORT_BYTES, st.space.avail);
	}
	report_table_end(r);
}

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 1;
}

static void stats_data(struct report *r, struct fs *fs)
{
	struct fs_counters *n = &fs->n;
	uint64_t raw = atomic_load(&n->raw_live), stored = atomic_load(&n->stored_live);
	uint64_t raw_in = atomic_load(&n->raw_in), stored_in = atomic_load(&n->stored_in);

	report_group(r, "data");
	report_number(r, "inodes", REPORT_COUNT, atomic_load(&n->nr_inodes));
	report_number(r, "logical", REPORT_BYTES, atomic_load(&n->logical));
	report_number(r, "raw", REPORT_BYTES, raw);
	report_number(r, "stored", REPORT_BYTES, stored);
	report_ratio(r, "ratio", ratio(raw, stored));
	report_number(r, "extents", REPORT_COUNT, atomic_load(&n->nr_extents));
	report_number(r, "encoded_in", REPORT_BYTES, raw_in);
	report_number(r, "encoded_out", REPORT_BYTES, stored_in);
	report_ratio(r, "encoded_ratio", ratio(raw_in, stored_in));
	report_number(r, "encoded_inline", REPORT_COUNT, atomic_load(&n->nr_inline));
	report_group_end(r);
}

/* Megabytes (of 10^6 bytes) a second. */
static uint64_t rate(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((double)bytes * 1e3 / (double)ns) : 0;
}

/* Who encoded what, since the mount. The time is the threads' own. */
static void stats_encoders(struct report *r, struct fs *fs)
{
	report_table(r, "encoders", true);
	for (unsigned i = 0; i < CODEC_BY_NR; i++) {
		struct fs_encoded *by = &fs->n.by[i];
		uint64_t raw = atomic_load(&by->raw), stored = atomic_load(&by->stored);
		uint64_t ns = atomic_load(&by->ns);

		report_row(r, codec_encoder_name[i]);
		report_number(r, "extents", REPORT_COUNT, atomic_load(&by->nr));
		report_number(r, "raw", REPORT_BYTES, raw);
		report_number(r, "stored", REPORT_BYTES, stored);
		report_ratio(r, "ratio", ratio(raw, stored));
		report_number(r, "encode", REPORT_NS, ns);
		report_number(r, "mb_per_s", REPORT_COUNT, rate(raw, ns));
	}
	report_table_end(r);
}

/* Why they were stored in this way. */
static void stats_reasons(struct report *r, struct fs *fs, enum report_form form)
{
	report_table(r, "reasons", true);
	for (unsigned i = 0; i < CODEC_WHY_NR; i++) {
		uint64_t nr = atomic_load(&fs->n.why_nr[i]);

		if (!nr && form == REPORT_TEXT)
			continue;
		report_row(r, codec_why_name[i]);
		report_number(r, "extents", REPORT_COUNT, nr);
		report_number(r, "raw", REPORT_BYTES, atomic_load(&fs->n.why_raw[i]));
	}
	report_table_end(r);
}

static void stats_gpus(struct report *r, struct fs *fs)
{
	unsigned nr = fs->p.gpu ? codec_gpu_count(fs->p.gpu) : 0;

	report_table(r, "gpus", false);
	for (unsigned i = 0; i < nr; i++) {
		struct codec_gpu_stat st;

		codec_gpu_stat(fs->p.gpu, i, &st);
		report_row(r, NULL);
		report_number(r, "index", REPORT_COUNT, i);
		report_text(r, "name", st.name);
		report_text(r, "state", st.state);
		report_number(r, "raw", REPORT_BYTES, st.raw_bytes);
		report_number(r, "stored", REPORT_BYTES, st.stored_bytes);
		report_ratio(r, "ratio", ratio(st.raw_bytes, st.stored_bytes));
		report_number(r, "batches", REPORT_COUNT, st.nr_batches);
		report_number(r, "mb_per_s", REPORT_COUNT, st.rate / 1000000);
		report_number(r, "queued", REPORT_BYTES, st.queued_bytes);
		report_number(r, "failed", REPORT_COUNT, st.nr_failed);
		report_number(r, "wrong", REPORT_COUNT, st.nr_wrong);
		report_text(r, "why", st.why);
	}
	report_table_end(r);
}

static void stats_recompress(struct report *r, struct fs *fs)
{
	struct recompress_stat st;

	recompress_stat_get(fs->recompress, &st);
	report_group(r, "recompress");
	report_number(r, "queued", REPORT_COUNT, st.nr_queued);
	report_number(r, "done", REPORT_COUNT, st.nr_done);
	report_number(r, "failed", REPORT_COUNT, st.nr_failed);
	report_number(r, "extents", REPORT_COUNT, st.nr_extents);
	report_number(r, "raw", REPORT_BYTES, st.raw_bytes);
	report_number(r, "before", REPORT_BYTES, st.stored_before);
	report_number(r, "after", REPORT_BYTES, st.stored_after);
	report_group_end(r);
}

/* For people only what happened. */
static void stats_ops(struct report *r, const struct ops *o, enum report_form form)
{
	report_table(r, "ops", true);
	for (unsigned i = 0; i < OPS_NR; i++) {
		uint64_t count = hist_count(&o->took[i]);

		if (!count && form == REPORT_TEXT)
			continue;
		report_row(r, ops_kind_name[i]);
		report_number(r, "count", REPORT_COUNT, count);
		report_number(r, "p50", REPORT_NS, hist_quantile(&o->took[i], 0.5));
		report_number(r, "p99", REPORT_NS, hist_quantile(&o->took[i], 0.99));
		report_number(r, "max", REPORT_NS, hist_quantile(&o->took[i], 1));
	}
	report_table_end(r);
}

/* Requests that had to wait. */
static void stats_later(struct report *r, const struct ops *o)
{
	struct later_stat st;

	later_stat_get(o->later, &st);
	report_group(r, "waiting");
	report_number(r, "requests", REPORT_COUNT, st.nr_jobs);
	report_number(r, "queue", REPORT_COUNT, st.queue_len);
	report_number(r, "threads", REPORT_COUNT, st.nr_threads);
	report_group_end(r);
}

static double share(uint64_t part, uint64_t all)
{
	return all ? (double)part / (double)all : 0;
}

static void stats_cache(struct report *r, struct fs *fs)
{
	struct cache_stat st;

	cache_stat_get(fs->cache, &st);
	report_group(r, "cache");
	report_number(r, "size", REPORT_BYTES, st.len);
	report_number(r, "used", REPORT_BYTES, st.used);
	report_number(r, "entries", REPORT_COUNT, st.nr_entries);
	report_number(r, "hits", REPORT_COUNT, st.nr_hits);
	report_number(r, "misses", REPORT_COUNT, st.nr_misses);
	report_ratio(r, "hit_ratio", share(st.nr_hits, st.nr_hits + st.nr_misses));
	report_number(r, "evicted", REPORT_COUNT, st.nr_evicted);
	report_number(r, "ghost_hits", REPORT_COUNT, st.nr_ghost_hits);
	report_number(r, "main_entries", REPORT_COUNT, st.main_nr);
	report_number(r, "main", REPORT_BYTES, st.main_len);
	report_number(r, "tiles", REPORT_COUNT, st.nr_tiles);
	report_number(r, "decoded", REPORT_BYTES, st.decoded_bytes);
	report_group_end(r);
}

static void stats_slices(struct report *r, struct ops *o)
{
	report_group(r, "slices");
	report_number(r, "nodes", REPORT_COUNT, slice_table_count(&o->slices.nodes));
	report_number(r, "reads", REPORT_COUNT, atomic_load(&o->slices.nr_reads));
	report_number(r, "read", REPORT_BYTES, atomic_load(&o->slices.read_bytes));
	report_group_end(r);
}

static void stats_log(struct report *r, struct fs *fs, const struct raid_stat *st)
{
	struct commit_stat c;

	commit_stat_get(fs, &c);
	report_group(r, "log");
	report_number(r, "sequence", REPORT_COUNT, st->log_seq);
	report_number(r, "size", REPORT_BYTES, st->log_bytes);
	report_number(r, "batches", REPORT_COUNT, st->nr_batches);
	report_number(r, "open_group", REPORT_COUNT, c.open_txg);
	report_number(r, "committed_group", REPORT_COUNT, c.committed);
	report_number(r, "commits", REPORT_COUNT, c.nr_commits);
	report_number(r, "commits_failed", REPORT_COUNT, c.nr_failed);
	report_number(r, "last_commit", REPORT_NS, c.last_ns);
	report_number(r, "last_commit", REPORT_BYTES, c.last_bytes);
	report_number(r, "max_freeze", REPORT_NS, c.max_freeze_ns);
	report_number(r, "checkpoints", REPORT_COUNT, c.nr_checkpoints);
	report_number(r, "checkpoint_sequence", REPORT_COUNT, st->checkpoint_seq);
	report_number(r, "checkpoint", REPORT_BYTES, c.checkpoint_bytes);
	report_group_end(r);
}

static void stats_workers(struct report *r, const struct fs *fs)
{
	report_table(r, "workers", false);
	for (unsigned i = 0; i < worker_count(fs->workers); i++) {
		struct worker_stat st;

		worker_stat_get(fs->workers, i, &st);
		report_row(r, NULL);
		report_number(r, "index", REPORT_COUNT, i);
		report_number(r, "jobs", REPORT_COUNT, st.nr_jobs);
		report_number(r, "busy", REPORT_NS, st.busy_ns);
		report_number(r, "idle", REPORT_NS, st.idle_ns);
		report_number(r, "queue", REPORT_COUNT, st.queue_len);
		report_number(r, "queue_max", REPORT_COUNT, st.queue_max);
		report_number(r, "delay_p50", REPORT_NS, st.delay_p50_ns);
		report_number(r, "delay_p99", REPORT_NS, st.delay_p99_ns);
	}
	report_table_end(r);
}

/* The locks that were waited for longest. */
static void stats_locks(struct report *r)
{
	struct lock_stat worst[LOCKS_SHOWN];
	unsigned nr = lock_worst(worst, ARRAY_LEN(worst));

	report_table(r, "locks", false);
	for (unsigned i = 0; i < nr; i++) {
		report_row(r, NULL);
		report_text(r, "lock", worst[i].name);
		report_number(r, "waits", REPORT_COUNT, worst[i].nr_waits);
		report_number(r, "waited", REPORT_NS, worst[i].waited_ns);
		report_number(r, "max", REPORT_NS, worst[i].max_ns);
	}
	report_table_end(r);
}

static void stats_memory(struct report *r, struct fs *fs)
{
	struct writeback_stat wb;
	struct index_stat ix;
	struct budget_stat b;

	writeback_stat_get(fs, &wb);
	index_stat_get(fs->index, &ix);
	report_group(r, "memory");
	budget_stat_get(fs, &b);
	report_number(r, "max", REPORT_BYTES, b.max);
	report_number(r, "resident", REPORT_BYTES, b.now.anon + b.now.shmem + b.now.file);
	report_number(r, "resident_heap", REPORT_BYTES, b.now.anon);
	report_number(r, "resident_pool", REPORT_BYTES, b.now.shmem);
	report_number(r, "resident_files", REPORT_BYTES, b.now.file);
	report_number(r, "over", REPORT_COUNT, b.nr_over);
	report_number(r, "given_back", REPORT_COUNT, b.nr_given);
	report_number(r, "pool_size", REPORT_BYTES, arena_len(fs->arena));
	report_number(r, "pool_used", REPORT_BYTES, arena_used(fs->arena));
	report_number(r, "dirty", REPORT_BYTES, wb.dirty_bytes);
	report_number(r, "windows", REPORT_COUNT, wb.nr_windows);
	report_number(r, "windows_flushed", REPORT_COUNT, wb.nr_flushed);
	report_number(r, "windows_failed", REPORT_COUNT, wb.nr_failed);
	report_number(r, "inodes", REPORT_COUNT, inode_count(fs));
	report_number(r, "index", REPORT_BYTES, ix.bytes);
	report_number(r, "index_entries", REPORT_COUNT, ix.entries);
	report_group_end(r);
}

int stats_make(struct ops *o, enum report_form form, char **out, size_t *len)
{
	AUTO_FREE char *log = malloc(LOG_LEN);
	struct raid_stat st;
	struct report *r;
	int err = log ? report_new(form, &r) : -ENOMEM;

	if (err)
		return err;
	raid_stat_get(o->fs->raid, &st);
	stats_program(r, o);
	stats_volume(r, o->fs, &st);
	stats_shards(r, o->fs);
	stats_data(r, o->fs);
	stats_encoders(r, o->fs);
	stats_reasons(r, o->fs, form);
	stats_gpus(r, o->fs);
	stats_recompress(r, o->fs);
	stats_ops(r, o, form);
	stats_later(r, o);
	stats_cache(r, o->fs);
	stats_slices(r, o);
	stats_log(r, o->fs, &st);
	stats_workers(r, o->fs);
	stats_locks(r);
	stats_memory(r, o->fs);
	log_recent(log, LOG_LEN);
	report_lines(r, "messages", log);
	return report_end(r, out, len);
}
