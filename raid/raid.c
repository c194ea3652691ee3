/* A volume's life: found or made, opened, closed.
 *
 * Making one, and what a crash after each step leaves:
 *   1. a superblock on each shard, SUPER_CREATED not set       some have one: nothing is lost by making it anew
 *   2. directories                                             the same
 *   3. a superblock on each shard, SUPER_CREATED set           one has the mark: all have a superblock, it is whole (the
 *                                                              next open makes missing directories)
 *
 * Opening one for writing changes something for the first time after all has been checked and read:
 *   1. superblocks without SUPER_CLEAN                         not clean: the caller looks at everything
 *   2. logs brought to the same end (replica_align())          the same log, fewer differences
 *   3. where too few shards have the log, the stale ones rejoin  see rejoin.c
 *   4. segments found, free space counted */
#include "raid/raid.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "conf/log.h"
#include "raid/append.h"
#include "raid/discover.h"
#include "raid/image.h"
#include "raid/replica.h"
#include "raid/segment.h"
#include "raid/shard.h"
#include "raid/space.h"

/* ---- making ---- */

static int random_bytes(void *p, size_t len)
{
	return getrandom(p, len, 0) == (ssize_t)len ? 0 : -EIO;
}

/* The superblock that all shards of the new volume share, but for idx. */
static int new_super(const struct discovery *d, struct super *sb)
{
	uint64_t all = d->nr == 64 ? UINT64_MAX : (1ULL << d->nr) - 1;
	int err;

	memset(sb, 0, sizeof(*sb));
	sb->geo = d->geo;
	sb->created_ns = clock_ns(CLOCK_REALTIME);
	sb->nr_epochs = 1;
	sb->epoch[0] = (struct super_epoch){.epoch = 1, .members = all, .first_seq = 1};
	err = random_bytes(sb->uuid, sizeof(sb->uuid));
	if (!err)
		err = random_bytes(&sb->epoch[0].nonce, sizeof(sb->epoch[0].nonce));
	for (unsigned i = 0; !err && i < d->nr; i++) {
		err = random_bytes(sb->shard_uuid[i], RAID_UUID_LEN);
		snprintf(sb->path[i], SUPER_PATH_MAX, "%s", d->at[i].path);
	}
	return err;
}

static int store_all(struct discovery *d, uint64_t generation, uint32_t flags)
{
	int err = 0;

	for (unsigned i = 0; !err && i < d->nr; i++) {
		struct super *sb = d->at[i].super;

		sb->generation = generation;
		sb->flags = flags;
		err = super_store(d->params->ops, d->at[i].store, sb);
		if (err)
			discover_refuse(d, err,
					"shard %s: the superblock cannot be written: %s; mend the "
					"disk or give "
					"another directory",
					d->at[i].path, strerror(-err));
	}
	return err;
}

static int make_dirs(const struct store_ops *ops, struct store *s)
{
	int err = ops->mkdir(s, "log");

	return err ? err : ops->mkdir(s, "ckpt");
}

static int make_all_dirs(struct discovery *d)
{
	int err = 0;

	for (unsigned i = 0; !err && i < d->nr; i++) {
		err = make_dirs(d->params->ops, d->at[i].store);
		if (err)
			discover_refuse(d, err, "shard %s: no directory can be made in it: %s",
					d->at[i].path, strerror(-err));
	}
	return err;
}

static int make_volume(struct discovery *d)
{
	AUTO_FREE struct super *sb = malloc(sizeof(*sb));
	int err = sb ? new_super(d, sb) : -ENOMEM;

	if (err)
		return err;
	for (unsigned i = 0; i < d->nr; i++) {
		*d->at[i].super = *sb;
		d->at[i].super->idx = (uint8_t)i;
	}
	d->newest = d->at[0].super;
	err = store_all(d, 1, 0);
	if (!err)
		err = make_all_dirs(d);
	/* The second one syncs the top directory, and with it the names of these. */
	return err ? err : store_all(d, 2, SUPER_CREATED);
}

/* ---- opening ---- */

static void raid_delete(struct raid *r)
{
	space_free(r);
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (r->shard[i].segments)
			segments_close(r->shard[i].segments);
	}
	replica_close(r);
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];

		if (s->store)
			r->ops->detach(s->store);
		nearby_fini(&s->nearby);
		free(s->super);
		free(s->path);
	}
	lock_fini(&r->lock);
	free(r);
}

/* Take what was found. From here on the raid owns it. */
static struct raid *raid_new(struct discovery *d)
{
	struct raid *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	lock_init(&r->lock);
	r->ops = d->params->ops;
	r->geo = d->geo;
	r->created = d->create;
	r->rdonly = d->rdonly;
	memcpy(r->uuid, d->newest->uuid, RAID_UUID_LEN);
	for (unsigned i = 0; i < r->geo.nr_shards; i++)
		nearby_init(&r->shard[i].nearby);
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];
		struct discover_path *at = d->of_shard[i] >= 0 ? &d->at[d->of_shard[i]] : NULL;

		s->raid = r;
		s->idx = i;
		atomic_store(&s->state, SHARD_MISSING);
		/* Messages name a missing one by where it was. */
		s->path = strdup(at ? at->path : d->newest->path[i]);
		if (!s->path) {
			raid_delete(r);
			return NULL;
		}
		if (at) {
			s->store = TAKE_PTR(at->store);
			s->super = TAKE_PTR(at->super);
		}
	}
	d->newest = NULL;
	return r;
}

/* "0 (/mnt/a), 2 (/mnt/c)" */
static void describe_set(const struct raid *r, uint64_t mask, char *buf, size_t len)
{
	size_t pos = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < r->geo.nr_shards && pos < len; i++) {
		if (mask >> i & 1)
			pos += (size_t)snprintf(buf + pos, len - pos, "%s%u (%s)", pos ? ", " : "",
						i, r->shard[i].path);
	}
}

static int refuse_log(struct discovery *d, const struct raid *r, const struct replica_found *f,
		      int err)
{
	char a[160], b[160];

	switch (err) {
	case -ESTALE:
		describe_set(r, f->side[0], a, sizeof(a));
		describe_set(r, f->side[1], b, sizeof(b));
		return discover_refuse(
			d, err,
			"the volume was written separately on shards %s and on shards %s, each "
			"time without the others; decide which to keep and leave the others out "
			"(degraded)",
			a, b);
	case -EBADMSG:
		return discover_refuse(
			d, err,
			"the end of the log is damaged on every shard that is there; bring back "
			"missing shards, or mount with salvage to read what is left");
	case -ENODATA:
		return discover_refuse(
			d, err,
			"only shards that were being brought up to date are there, their logs are "
			"not whole; bring back the other shards");
	case -EPROTONOSUPPORT:
		return discover_refuse(
			d, err, "the log was written by a newer matfs than this one; use that one");
	default:
		return discover_refuse(d, err, "the log cannot be read: %s", strerror(-err));
	}
}

/* Clean is what every member in use says of the same stop, if the log ends where they say. */
static int check_clean(struct discovery *d, struct raid *r, uint64_t online)
{
	const struct super *first = NULL;
	uint64_t last = replica_last(r);

	r->was_clean = true;
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		const struct super *sb = r->shard[i].super;

		if (!(online >> i & 1))
			continue;
		first = first ? first : sb;
		if (!(sb->flags & SUPER_CLEAN) || sb->clean_nonce != first->clean_nonce ||
		    sb->clean_seq != last)
			r->was_clean = r->created;
		if (sb->flags & SUPER_CLEAN && sb->clean_seq > last && !d->params->salvage)
			return discover_refuse(
				d, -EBADMSG,
				"the end of the log is lost: shard %s was stopped at batch "
				"%llu, the log ends at %llu; bring back missing shards, or mount "
				"with "
				"salvage to read what is left",
				r->shard[i].path, (unsigned long long)sb->clean_seq,
				(unsigned long long)last);
	}
	return 0;
}

static void set_states(struct raid *r, const struct replica_found *f)
{
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];

		if (f->online >> i & 1)
			atomic_store(&s->state, SHARD_ONLINE);
		else if (f->stale >> i & 1)
			atomic_store(&s->state, SHARD_STALE);
		else if (f->unreadable >> i & 1)
			atomic_store(&s->state, SHARD_FAILED);
		if (f->unreadable >> i & 1) {
			snprintf(s->reason, sizeof(s->reason), "reading the log: %s",
				 strerror(-f->err));
			log_error("shard %u (%s): its log cannot be read: %s; the volume goes on "
				  "without it",
				  i, s->path, strerror(-f->err));
		}
		if (f->stale >> i & 1)
			log_warn("shard %u (%s) missed changes: its data is used, its copy of the "
				 "metadata is brought "
				 "up to date by the next checkpoint",
				 i, s->path);
	}
	atomic_store(&r->online, f->online | f->stale);
}

static int read_log(struct discovery *d, struct raid *r)
{
	struct replica_found f;
	char what[256];
	unsigned lost;
	int err = replica_open(r, d->params->salvage, &f);

	if (!err && !f.online)
		err = -ENODATA;
	if (err)
		return refuse_log(d, r, &f, err);
	lost = r->geo.nr_shards - (unsigned)__builtin_popcountll(f.online | f.stale);
	describe_set(r, f.unreadable, what, sizeof(what));
	if (f.unreadable)
		err = discover_enough(d, lost, what);
	if (!err)
		err = check_clean(d, r, f.online);
	if (!err)
		set_states(r, &f);
	return err;
}

/* The first write: from here on a stop is not clean until it is. */
static int clear_clean(struct raid *r)
{
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];
		int err;

		if (!shard_usable(s))
			continue;
		/* A creation may have stopped when this shard's directories were not durable yet. */
		err = make_dirs(r->ops, s->store);
		if (err) {
			shard_fail(s, err, "making its directories");
			continue;
		}
		for (unsigned j = 0; j < r->geo.nr_shards; j++) {
			if (r->shard[j].path[0])
				snprintf(s->super->path[j], SUPER_PATH_MAX, "%s", r->shard[j].path);
		}
		s->super->flags &= ~(uint32_t)SUPER_CLEAN;
		s->super->flags |= SUPER_CREATED;
		shard_super_store(s);
	}
	return atomic_load(&r->broken) ? -EIO : 0;
}

static int open_segments(struct raid *r)
{
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];
		int err;

		if (!shard_usable(s))
			continue;
		err = segments_open(s, &s->segments);
		if (err == -ENOMEM)
			return err;
		if (err)
			shard_fail(s, err, "finding its segments");
	}
	return atomic_load(&r->broken) && !r->rdonly ? -EIO : 0;
}

/* Shards whose log is not of the volume are as good as lost to it. When they are more than parity covers, a batch would
 * be acknowledged that fewer losses than promised can take away: have the stale ones rejoin before anything else. */
static int open_rejoin(struct discovery *d, struct raid *r)
{
	unsigned parity = raid_parity(&r->geo);
	unsigned nr_stale = 0, nr_other = 0;
	bool was_clean = r->was_clean;
	int err;

	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		nr_stale += atomic_load(&r->shard[i].state) == SHARD_STALE;
		nr_other += !shard_usable(&r->shard[i]);
	}
	if (!nr_stale || nr_stale + nr_other <= parity)
		return 0;
	err = image_renew(r);
	replica_close(r);
	/* Anew: the caller is still to replay it. */
	err = err ? err : read_log(d, r);
	r->was_clean = was_clean;
	return err;
}

static int open_for_writing(struct discovery *d, struct raid *r)
{
	int err = clear_clean(r);

	if (!err)
		err = replica_align(r);
	if (!err)
		err = open_rejoin(d, r);
	if (!err)
		err = replica_align(r);
	return err;
}

static int open_rest(struct discovery *d, struct raid *r)
{
	int err = read_log(d, r);

	if (!err && !r->rdonly)
		err = open_for_writing(d, r);
	if (!err)
		err = open_segments(r);
	if (!err)
		err = space_new(r);
	if (!err)
		space_set_image(r, replica_image_len(r));
	if (err && !d->why[0])
		discover_refuse(d, err,
				"the volume of shard %s cannot be opened: %s; the messages before "
				"this one say "
				"which shard failed",
				r->shard[0].path, strerror(-err));
	return err;
}

int raid_open(const struct raid_params *p, struct raid **out, char *why, size_t why_len)
{
	struct discovery d;
	struct raid *r = NULL;
	int err = discover(&d, p);

	if (!err && d.create)
		err = make_volume(&d);
	if (!err) {
		r = raid_new(&d);
		err = r ? open_rest(&d, r) : -ENOMEM;
	}
	if (err) {
		snprintf(why, why_len, "%s", d.why[0] ? d.why : strerror(-err));
		if (r)
			raid_delete(r);
	} else {
		*out = r;
	}
	discover_fini(&d);
	return err;
}

/* ---- closing ---- */

static void mark_clean(struct raid *r)
{
	uint64_t nonce;

	if (random_bytes(&nonce, sizeof(nonce)) || append_settle(r))
		return;
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];

		if (atomic_load(&s->state) != SHARD_ONLINE)
			continue;
		replica_history(r, s->super);
		s->super->flags |= SUPER_CLEAN;
		s->super->clean_seq = replica_last(r);
		s->super->clean_nonce = nonce;
		shard_super_store(s);
	}
}

void raid_close(struct raid *r, bool clean)
{
	if (clean && !r->rdonly && !atomic_load(&r->broken))
		mark_clean(r);
	raid_delete(r);
}

/* ---- what others ask ---- */

const struct raid_geometry *raid_geometry(const struct raid *r)
{
	return &r->geo;
}

const uint8_t *raid_uuid(const struct raid *r)
{
	return r->uuid;
}

bool raid_created(const struct raid *r)
{
	return r->created;
}

bool raid_was_clean(const struct raid *r)
{
	return r->was_clean;
}

bool raid_readonly(const struct raid *r)
{
	return r->rdonly || atomic_load(&r->broken);
}

void raid_check(struct raid *r)
{
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		struct shard *s = &r->shard[i];
		int err;

		if (!shard_usable(s))
			continue;
		err = r->ops->alive(s->store);
		if (err)
			shard_fail(s, err, "looking whether it is still there");
	}
}

bool raid_wants_checkpoint(struct raid *r)
{
	if (r->rdonly || atomic_load(&r->broken))
		return false;
	for (unsigned i = 0; i < r->geo.nr_shards; i++) {
		if (atomic_load(&r->shard[i].state) == SHARD_STALE)
			return true;
	}
	return atomic_load(&r->wants_checkpoint);
}

void raid_stat_get(struct raid *r, struct raid_stat *out)
{
	struct raid_stat st = {.engine = r->ops->name};
	struct replica_stat log;

	replica_stat_get(r, &log);
	lock_take(&r->lock);
	st.epoch = r->epoch;
	st.members = r->members;
	lock_release(&r->lock);
	for (unsigned i = 0; i < r->geo.nr_shards; i++)
		st.nr_lost += atomic_load(&r->shard[i].state) != SHARD_ONLINE;
	st.promised = space_promised(r);
	st.redundant = space_parity(r) >= raid_parity(&r->geo) && !atomic_load(&r->broken);
	st.log_seq = replica_last(r);
	st.log_bytes = log.log_bytes;
	st.nr_batches = log.nr_batches;
	st.checkpoint_seq = log.image_seq;
	st.nr_checkpoints = log.nr_images;
	st.nr_rebuilt = atomic_load(&r->nr_rebuilt);
	*out = st;
}

void raid_shard_stat(struct raid *r, unsigned idx, struct shard_stat *out)
{
	struct shard *s = &r->shard[idx];
	struct shard_stat st = {.state = atomic_load(&s->state)};
	struct store_space space;

	st.path = s->store ? s->path : NULL;
	st.used = s->segments ? segments_used(s->segments) : 0;
	st.nr_reads = atomic_load(&s->nr_reads);
	st.read_bytes = atomic_load(&s->read_bytes);
	st.nr_writes = atomic_load(&s->nr_writes);
	st.write_bytes = atomic_load(&s->write_bytes);
	st.nr_errors = atomic_load(&s->nr_errors);
	st.nr_wrong = atomic_load(&s->nr_wrong);
	st.nr_repaired = atomic_load(&s->nr_repaired);
	if (shard_usable(s) && !r->ops->space(s->store, &space)) {
		st.space.total = space.total;
		st.space.avail = space.avail;
	}
	*out = st;
}
