/* From paths to shards.
 *
 * Everything that can be refused is refused here, before the first write: paths, superblocks, geometry, missing shards,
 * then the locks, a second look under the locks, and the probe, whose scratch file has no name.
 *
 * A creation stores superblocks without SUPER_CREATED on all shards first, then with it. So where no shard has the mark
 * the creation never ended and may be done anew; where one has it, all have a superblock and the volume is whole. */
#include "raid/discover.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/base.h"
#include "conf/log.h"

#define POLL_NS (100 * 1000000L)

int discover_refuse(struct discovery *d, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->why, sizeof(d->why), fmt, ap);
	va_end(ap);
	return err;
}

/* ---- what is there ---- */

enum content {
	CONTENT_SUPER0 = 1,
	CONTENT_SUPER1 = 2,
	CONTENT_OTHER = 4,
};

static int content_entry(void *arg, const char *entry)
{
	unsigned *content = arg;

	if (strcmp(entry, "super.0") == 0)
		*content |= CONTENT_SUPER0;
	else if (strcmp(entry, "super.1") == 0)
		*content |= CONTENT_SUPER1;
	else if (strcmp(entry, "lost+found") != 0 && strcmp(entry, "lock") != 0 &&
		 strcmp(entry, ".matfs-probe") != 0)
		*content |= CONTENT_OTHER;
	return 0;
}

static void classify(struct discovery *d, struct discover_path *at)
{
	unsigned content = 0;
	int err = d->params->ops->list(at->store, "", content_entry, &content);

	if (!err)
		err = super_load(d->params->ops, at->store, at->super);
	at->err = err;
	if (!err)
		at->kind = at->super->flags & SUPER_CREATED ? DISCOVER_SHARD : DISCOVER_HALF;
	else if (err == -ENOENT)
		at->kind = content & CONTENT_OTHER ? DISCOVER_FOREIGN : DISCOVER_EMPTY;
	else if (err == -EBADMSG && !(content & (CONTENT_SUPER0 | CONTENT_OTHER)))
		at->kind = DISCOVER_EMPTY; /* the very first write of a creation, torn */
	else
		at->kind = DISCOVER_DAMAGED;
}

/* What cannot pass by waiting. */
static int look_refuse(struct discovery *d, const struct discover_path *at)
{
	switch (at->err) {
	case -ENOMEM:
		return -ENOMEM;
	case -ENOTDIR:
		return discover_refuse(d, at->err, "shard %s is not a directory; give a directory",
				       at->path);
	case -EACCES:
	case -EPERM:
		return discover_refuse(
			d, at->err,
			"shard %s cannot be opened: %s; let it belong to the user who mounts",
			at->path, strerror(-at->err));
	case -EPROTONOSUPPORT:
		return discover_refuse(
			d, at->err,
			"shard %s was written by a newer matfs than this one (%s); use that one",
			at->path, "its superblock's version is higher");
	default:
		return 0;
	}
}

static int look_at(struct discovery *d, struct discover_path *at)
{
	const struct store_ops *ops = d->params->ops;

	/* Again from the path: a disk may have been mounted there meanwhile. */
	if (at->store)
		ops->detach(at->store);
	at->store = NULL;
	if (!at->super)
		at->super = calloc(1, sizeof(*at->super));
	if (!at->super)
		return -ENOMEM;
	at->kind = DISCOVER_ABSENT;
	at->err = ops->attach(ops, at->path, d->rdonly, &at->store);
	if (at->err)
		at->store = NULL;
	else
		classify(d, at);
	return look_refuse(d, at);
}

/* ---- the volume they make ---- */

/* By the newest epoch, then by generation: whose word counts about what may have changed. */
static bool super_newer(const struct super *a, const struct super *b)
{
	if (super_last(a)->epoch != super_last(b)->epoch)
		return super_last(a)->epoch > super_last(b)->epoch;
	return a->generation > b->generation;
}

/* One of the given volume: also a HALF of it, whose second superblock was not written any more. */
static bool is_shard(const struct discovery *d, const struct discover_path *at)
{
	if (at->kind == DISCOVER_SHARD)
		return true;
	return at->kind == DISCOVER_HALF && d->newest &&
	       memcmp(at->super->uuid, d->newest->uuid, RAID_UUID_LEN) == 0;
}

static void uuid_text(const uint8_t *uuid, char out[37])
{
	char *p = out;

	for (unsigned i = 0; i < RAID_UUID_LEN; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		p += snprintf(p, 3, "%02x", uuid[i]);
	}
}

static int check_same_volume(struct discovery *d, const struct discover_path *at,
			     const struct discover_path *first)
{
	char a[37], b[37];

	if (memcmp(at->super->uuid, first->super->uuid, RAID_UUID_LEN) == 0) {
		if (memcmp(&at->super->geo, &first->super->geo, sizeof(at->super->geo)) != 0)
			return discover_refuse(d, -EINVAL,
					       "the superblocks of shards %s and %s disagree about "
					       "the geometry (raid%u "
					       "of %u and raid%u of %u); leave out the wrong one",
					       at->path, first->path, at->super->geo.level,
					       at->super->geo.nr_shards, first->super->geo.level,
					       first->super->geo.nr_shards);
		return 0;
	}
	uuid_text(at->super->uuid, a);
	uuid_text(first->super->uuid, b);
	return discover_refuse(
		d, -EINVAL,
		"shard %s belongs to another volume (%s) than shard %s (%s); list the shards "
		"of one",
		at->path, a, first->path, b);
}

/* Fill d->newest and d->of_shard. */
static int gather(struct discovery *d)
{
	const struct discover_path *first = NULL;
	int err = 0;

	d->newest = NULL;
	for (unsigned i = 0; i < SHARD_MAX; i++)
		d->of_shard[i] = -1;
	for (unsigned i = 0; i < d->nr; i++) {
		if (d->at[i].kind == DISCOVER_SHARD &&
		    (!first || super_newer(d->at[i].super, d->newest))) {
			first = first ? first : &d->at[i];
			d->newest = d->at[i].super;
		}
	}
	for (unsigned i = 0; !err && i < d->nr; i++) {
		struct discover_path *at = &d->at[i];
		unsigned idx;

		if (!first || (at->kind != DISCOVER_SHARD && at->kind != DISCOVER_HALF))
			continue;
		err = check_same_volume(d, at, first);
		if (err)
			break;
		idx = at->super->idx;
		if (d->of_shard[idx] >= 0)
			return discover_refuse(
				d, -EINVAL,
				"shards %s and %s are both shard %u of the volume, one is a "
				"copy; leave out the older one",
				d->at[d->of_shard[idx]].path, at->path, idx);
		if (memcmp(at->super->shard_uuid[idx], d->newest->shard_uuid[idx], RAID_UUID_LEN) !=
		    0)
			return discover_refuse(
				d, -EINVAL,
				"shard %s was replaced as shard %u of the volume; leave it "
				"out and list the new one",
				at->path, idx);
		d->of_shard[idx] = (int)i;
	}
	if (d->newest)
		d->geo = d->newest->geo;
	return err;
}

static unsigned nr_missing(const struct discovery *d)
{
	unsigned n = 0;

	for (unsigned i = 0; d->newest && i < d->geo.nr_shards; i++)
		n += d->of_shard[i] < 0;
	return n;
}

/* Could waiting help? */
static bool incomplete(const struct discovery *d)
{
	if (d->newest)
		return nr_missing(d) > 0;
	for (unsigned i = 0; i < d->nr; i++) {
		if (d->at[i].kind == DISCOVER_ABSENT)
			return true;
	}
	return false;
}

static int look_all(struct discovery *d, bool again)
{
	int err = 0;

	for (unsigned i = 0; !err && i < d->nr; i++) {
		if (!again || !is_shard(d, &d->at[i]))
			err = look_at(d, &d->at[i]);
	}
	return err ? err : gather(d);
}

static int look_and_wait(struct discovery *d)
{
	uint64_t deadline = mono_ns() + d->params->wait_s * 1000000000ULL;
	bool said = false;
	int err = look_all(d, false);

	while (!err && incomplete(d) && mono_ns() < deadline) {
		const struct timespec pause = {.tv_nsec = POLL_NS};

		if (!said)
			log_note("waiting up to %u s for missing shards", d->params->wait_s);
		said = true;
		nanosleep(&pause, NULL);
		err = look_all(d, true);
	}
	/* What lies where may have changed while waiting. */
	return !err && said ? discover_check_paths(d) : err;
}

/* ---- a volume that is there ---- */

static int check_geometry(struct discovery *d)
{
	const struct raid_geometry *want = &d->params->want, *have = &d->geo;

	if (want->level != RAID_LEVEL_ANY && want->level != have->level)
		return discover_refuse(
			d, -EINVAL,
			"raid=%u was asked for, but the volume of shard %s is raid%u; leave "
			"raid= out",
			want->level, d->at[d->of_shard[d->newest->idx]].path, have->level);
	if (want->level == 1 && want->copies > 0 && want->copies != have->copies)
		return discover_refuse(
			d, -EINVAL,
			"copies=%u was asked for, but the volume of shard %s keeps %u; leave "
			"copies= out",
			want->copies, d->at[d->of_shard[d->newest->idx]].path, have->copies);
	if (want->extent_len > 0 && want->extent_len != have->extent_len)
		return discover_refuse(
			d, -EINVAL,
			"extent=%u was asked for, but the volume of shard %s has %u; leave "
			"extent= out",
			want->extent_len, d->at[d->of_shard[d->newest->idx]].path,
			have->extent_len);
	return 0;
}

/* What is at a given path that is no shard of the volume. */
static const char *kind_text(const struct discover_path *at)
{
	switch (at->kind) {
	case DISCOVER_ABSENT:
		return at->err == -ENOENT ? "does not exist" : "cannot be opened";
	case DISCOVER_EMPTY:
		return "is empty";
	case DISCOVER_DAMAGED:
		return at->err == -EBADMSG ? "has damaged superblocks"
					   : "has unreadable superblocks";
	default:
		return "holds other files";
	}
}

/* "shard 2, last seen at /mnt/c (/mnt/c is empty)" */
static void describe_missing(const struct discovery *d, char *buf, size_t len)
{
	size_t pos = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < d->geo.nr_shards && pos < len; i++) {
		const char *last = d->newest->path[i];

		if (d->of_shard[i] >= 0)
			continue;
		pos += (size_t)snprintf(buf + pos, len - pos, "%sshard %u, last seen at %s",
					pos ? "; " : "", i, last[0] ? last : "an unknown place");
	}
	for (unsigned i = 0; i < d->nr && pos < len; i++) {
		if (!is_shard(d, &d->at[i]))
			pos += (size_t)snprintf(buf + pos, len - pos, "; %s %s", d->at[i].path,
						kind_text(&d->at[i]));
	}
}

int discover_enough(struct discovery *d, unsigned nr_lost, const char *what)
{
	unsigned parity = raid_parity(&d->geo);

	if (!nr_lost || d->params->salvage)
		return 0;
	if (nr_lost > parity)
		return discover_refuse(
			d, -ENODEV,
			"%u of %u shards missing, raid%u bears %u: %s; bring them back, or "
			"mount with salvage to read what is left",
			nr_lost, d->geo.nr_shards, d->geo.level, parity, what);
	if (!d->params->degraded)
		return discover_refuse(
			d, -ENODEV,
			"%u of %u shards missing: %s; bring it back, or mount with degraded "
			"to go on without it",
			nr_lost, d->geo.nr_shards, what);
	return 0;
}

static int check_volume(struct discovery *d)
{
	unsigned missing = nr_missing(d);
	char what[320];
	int err = check_geometry(d);

	if (err)
		return err;
	for (unsigned i = 0; !missing && i < d->nr; i++) {
		const struct discover_path *at = &d->at[i];

		if (!is_shard(d, at))
			return discover_refuse(
				d, -EINVAL,
				"%s %s and is none of the volume's %u shards, which are all "
				"there; leave it out",
				at->path, kind_text(at), d->geo.nr_shards);
	}
	describe_missing(d, what, sizeof(what));
	err = discover_enough(d, missing, what);
	if (!err && missing)
		log_warn("%u of %u shards missing: %s", missing, d->geo.nr_shards, what);
	return err;
}

/* ---- a volume to be made ---- */

static int choose_geometry(struct discovery *d)
{
	static const uint8_t least[7] = {[0] = 1, [1] = 2, [5] = 3, [6] = 4};
	const struct raid_geometry *want = &d->params->want;
	struct raid_geometry *g = &d->geo;
	unsigned need;

	*g = (struct raid_geometry){.level = want->level,
				    .copies = 1,
				    .nr_shards = (uint8_t)d->nr,
				    .extent_len =
					    want->extent_len ? want->extent_len : (uint32_t)MIB};
	if (g->level == RAID_LEVEL_ANY)
		g->level = d->nr >= 3 ? 5 : d->nr == 2 ? 1 : 0;
	if (g->level >= ARRAY_LEN(least) || !least[g->level])
		return discover_refuse(d, -EINVAL, "raid=%u is unknown; take 0, 1, 5 or 6",
				       g->level);
	if (g->extent_len < 256 * KIB || g->extent_len > 4 * MIB ||
	    (g->extent_len & (g->extent_len - 1)))
		return discover_refuse(
			d, -EINVAL,
			"extent=%u is not possible; take a power of two from 256K to 4M",
			g->extent_len);
	need = least[g->level];
	if (g->level == 1) {
		g->copies = want->copies ? want->copies : 2;
		need = g->copies;
		if (g->copies < 2 || g->copies > STRIPE_WIDTH_MAX)
			return discover_refuse(d, -EINVAL,
					       "copies=%u is not possible; take 2 to %d", g->copies,
					       STRIPE_WIDTH_MAX);
	}
	if (d->nr < need)
		return discover_refuse(
			d, -EINVAL,
			"raid%u%s needs %u shards, %u given; add shards or take another level",
			g->level, g->level == 1 ? " with these copies" : "", need, d->nr);
	return 0;
}

static int check_create(struct discovery *d)
{
	bool half = false;

	for (unsigned i = 0; i < d->nr; i++) {
		const struct discover_path *at = &d->at[i];

		half |= at->kind == DISCOVER_HALF;
		if (at->kind == DISCOVER_ABSENT)
			return discover_refuse(
				d, at->err,
				"shard %s %s (%s); make the directory or correct the path",
				at->path, kind_text(at), strerror(-at->err));
		if (at->kind == DISCOVER_DAMAGED)
			return discover_refuse(
				d, at->err == -EBADMSG ? -EBADMSG : -EIO,
				"shard %s %s; nothing was changed; mount with the other shards and "
				"degraded, or give an empty directory",
				at->path, kind_text(at));
		if (at->kind == DISCOVER_FOREIGN)
			return discover_refuse(
				d, -ENOTEMPTY,
				"%s is not empty and no shard; give an empty directory", at->path);
	}
	if (!d->params->create || d->rdonly)
		return discover_refuse(
			d, -ENOENT,
			half ? "the volume of shard %s was never finished: its creation was "
			       "interrupted; mount it for writing to create it anew"
			     : "there is no volume at %s; mount it for writing to create one",
			d->at[0].path);
	d->create = true;
	return choose_geometry(d);
}

/* ---- taking them ---- */

static int lock_shard(struct discovery *d, struct discover_path *at)
{
	const struct store_ops *ops = d->params->ops;
	char owner[192], other[192] = "", host[65] = "";
	int err;

	gethostname(host, sizeof(host) - 1);
	snprintf(owner, sizeof(owner), "process %d on %s%s%s", (int)getpid(),
		 host[0] ? host : "this machine", d->params->mountpoint ? ", mounted at " : "",
		 d->params->mountpoint ? d->params->mountpoint : "");
	err = ops->lock(at->store, !d->rdonly, owner, other, sizeof(other));
	if (err == -EBUSY)
		return discover_refuse(d, err, "shard %s is in use by %s; unmount it there first",
				       at->path, other[0] ? other : "another mount");
	if (err == -EROFS || err == -EACCES || err == -EPERM)
		return discover_refuse(
			d, err,
			"shard %s is not writable: %s; mount with ro, or let it belong to the "
			"user who mounts",
			at->path, strerror(-err));
	if (err)
		return discover_refuse(
			d, err, "shard %s cannot be locked: %s; use a file system with locks",
			at->path, strerror(-err));
	return 0;
}

/* Until now somebody else could have been at work on it. */
static int look_again(struct discovery *d, struct discover_path *at)
{
	AUTO_FREE struct super *before = malloc(sizeof(*before));
	enum discover_kind kind = at->kind;

	if (!before)
		return -ENOMEM;
	*before = *at->super;
	classify(d, at);
	if (at->kind != kind ||
	    (at->super->generation != before->generation && kind == DISCOVER_HALF) ||
	    (kind == DISCOVER_SHARD && (at->super->idx != before->idx ||
					memcmp(at->super->uuid, before->uuid, RAID_UUID_LEN) != 0)))
		return discover_refuse(d, -EBUSY,
				       "shard %s was changed by another mount just now; try again",
				       at->path);
	return 0;
}

/* Below this, log and checkpoints would not leave room for much else. */
#define SHARD_LEN_MIN (32 * MIB)

static int check_size(struct discovery *d, struct discover_path *at)
{
	struct store_space space;
	int err = d->params->ops->space(at->store, &space);

	if (err)
		return discover_refuse(d, err, "the size of shard %s cannot be told: %s", at->path,
				       strerror(-err));
	if (space.total < SHARD_LEN_MIN)
		return discover_refuse(
			d, -ENOSPC,
			"shard %s is on a file system of %llu MiB; give one of %llu MiB "
			"or more",
			at->path, (unsigned long long)(space.total / MIB),
			(unsigned long long)(SHARD_LEN_MIN / MIB));
	return 0;
}

static int probe_shard(struct discovery *d, struct discover_path *at)
{
	int err = d->params->ops->probe(at->store);

	if (err == -EOPNOTSUPP)
		return discover_refuse(
			d, err,
			"the file system of shard %s cannot punch holes into files; use ext4, xfs, "
			"btrfs or tmpfs",
			at->path);
	if (err == -EROFS || err == -EACCES || err == -EPERM)
		return discover_refuse(
			d, err,
			"shard %s is not writable: %s; mount with ro, or let it belong to the "
			"user who mounts",
			at->path, strerror(-err));
	if (err)
		return discover_refuse(d, err, "shard %s cannot be written to: %s", at->path,
				       strerror(-err));
	return d->create ? check_size(d, at) : 0;
}

static bool is_taken(const struct discovery *d, const struct discover_path *at)
{
	return d->create || is_shard(d, at);
}

static int take_all(struct discovery *d)
{
	int err = 0;

	for (unsigned i = 0; !err && i < d->nr; i++) {
		if (is_taken(d, &d->at[i]))
			err = lock_shard(d, &d->at[i]);
	}
	for (unsigned i = 0; !err && i < d->nr; i++) {
		if (is_taken(d, &d->at[i]))
			err = look_again(d, &d->at[i]);
	}
	for (unsigned i = 0; !err && i < d->nr && !d->rdonly; i++) {
		if (is_taken(d, &d->at[i]))
			err = probe_shard(d, &d->at[i]);
	}
	return err;
}

int discover(struct discovery *d, const struct raid_params *p)
{
	int err;

	*d = (struct discovery){.params = p, .rdonly = p->rdonly || p->salvage};
	err = discover_take_paths(d);
	if (!err)
		err = look_and_wait(d);
	if (!err)
		err = d->newest ? check_volume(d) : check_create(d);
	for (unsigned i = 0; !err && d->create && i < d->nr; i++)
		d->of_shard[i] = (int)i;
	if (!err)
		err = take_all(d);
	if (err && !d->why[0])
		discover_refuse(d, err, "the shards cannot be opened: %s", strerror(-err));
	return err;
}

void discover_fini(struct discovery *d)
{
	for (unsigned i = 0; i < d->nr; i++) {
		if (d->at[i].store)
			d->params->ops->detach(d->at[i].store);
		free(d->at[i].super);
		free(d->at[i].path);
	}
	d->nr = 0;
}
