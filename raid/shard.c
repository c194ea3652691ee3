/* Votes: what an error of a shard means for the volume. All changes of a shard's state while it is open are here. */
#include "raid/shard.h"

#include <stdio.h>
#include <string.h>

#include "conf/log.h"
#include "raid/super.h"

#define ERROR_WINDOW_NS (60 * 1000000000ULL)

const char *const shard_state_name[] = {
	[SHARD_ONLINE] = "online",
	[SHARD_MISSING] = "missing",
	[SHARD_FAILED] = "failed",
	[SHARD_STALE] = "stale",
};

static unsigned nr_online(struct raid *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->geo.nr_shards; i++)
		n += atomic_load(&r->shard[i].state) == SHARD_ONLINE;
	return n;
}

/* What the loss means and what to do, for the one line that is logged. */
static void describe_loss(struct raid *r, int spare, char *buf, size_t len)
{
	if (spare < 0 || atomic_load(&r->broken))
		snprintf(buf, len,
			 "more shards are lost than raid%u bears: the volume is read-only from now "
			 "on; bring "
			 "the shards back and mount again",
			 r->geo.level);
	else if (spare == 0)
		snprintf(buf, len,
			 "the volume goes on WITHOUT redundancy: the next loss is final; mend the "
			 "shard and mount "
			 "again");
	else
		snprintf(buf, len,
			 "the volume goes on and bears %d more; mend the shard and mount again",
			 spare);
}

void shard_fail(struct shard *s, int err, const char *what)
{
	struct raid *r = s->raid;
	char loss[192];
	int spare;

	lock_take(&r->lock);
	if (!shard_usable(s)) {
		lock_release(&r->lock);
		return;
	}
	atomic_store_explicit(&s->state, SHARD_FAILED, memory_order_release);
	atomic_fetch_and(&r->online, ~(1ULL << s->idx));
	atomic_fetch_add(&s->nr_errors, 1);
	snprintf(s->reason, sizeof(s->reason), "%s: %s", what, strerror(-err));
	/* One that is stale holds data but not the log, and does not count. */
	spare = (int)raid_parity(&r->geo) - (int)(r->geo.nr_shards - nr_online(r));
	if (spare < 0)
		atomic_store(&r->broken, true);
	describe_loss(r, spare, loss, sizeof(loss));
	lock_release(&r->lock);
	log_error("shard %u (%s) FAILED and is out: %s: %s; %s", s->idx, s->path, what,
		  strerror(-err), loss);
}

/* The shard itself is gone, not just what was asked for. */
static bool means_gone(int err)
{
	switch (err) {
	case -ENODEV:
	case -ENOENT:
	case -ESTALE:
	case -ENXIO:
	case -EROFS:
	case -ENOTCONN:
		return true;
	default:
		return false;
	}
}

bool shard_error(struct shard *s, int err, bool write, const char *what)
{
	struct raid *r = s->raid;
	uint64_t now = mono_ns();
	bool third;

	if (!shard_usable(s))
		return true;
	lock_take(&r->lock);
	third = s->error_ns[0] && now - s->error_ns[0] < ERROR_WINDOW_NS;
	s->error_ns[0] = s->error_ns[1];
	s->error_ns[1] = now;
	lock_release(&r->lock);
	if (write || means_gone(err) || third) {
		shard_fail(s, err, what);
		return true;
	}
	atomic_fetch_add(&s->nr_errors, 1);
	log_warn("shard %u (%s): %s: %s; the other shards answered in its place", s->idx, s->path,
		 what, strerror(-err));
	return false;
}

int shard_super_store(struct shard *s)
{
	int err;

	s->super->generation++;
	err = super_store(s->raid->ops, s->store, s->super);
	if (err)
		shard_fail(s, err, "writing its superblock");
	return err;
}

bool shard_rejoined(struct shard *s)
{
	struct raid *r = s->raid;
	bool ok;

	lock_take(&r->lock);
	ok = atomic_load(&s->state) == SHARD_STALE;
	if (ok)
		atomic_store_explicit(&s->state, SHARD_ONLINE, memory_order_release);
	lock_release(&r->lock);
	return ok;
}
