/* Transaction groups and the thread that commits them.
 *
 * A commit, and what a crash after each step leaves:
 *
 *   1 freeze: the group N closes, N+1 opens; attributes changed in memory are put      state at the end of N-1 (or older)
 *   2 the data of N is written to the shards, its extents are recorded                 "
 *   3 the shards are synced                                                            "; the new stripes are garbage
 *   4 one batch with all records of N is appended to the log on every shard            state at the end of N
 *   5 stripes that N freed are given back, once no reader is on them                   "; not yet given back: garbage
 *
 * Garbage is what the next mount's reconcile finds on the shards without a name, and gives back.
 *
 * When a step fails, the records stay in `closing` and the windows in memory, the next commit takes them along with its
 * own group, and whoever waits for this one gets the error.
 *
 * Batch: magic u32, version u16, reserved u16, group u64, next inode number u64, next generation u64, then records. The
 * next numbers are ceilings: nothing at or above them was handed out before the next batch, so a recovery may begin
 * there. */
#include "fs/commit.h"

#include <assert.h>
#include <string.h>

#include "conf/base.h"
#include "conf/log.h"
#include "fs/group.h"
#include "fs/checkpoint.h"
#include "fs/later.h"
#include "fs/refer.h"
#include "fs/writeback.h"

/* Numbers between what is handed out and the logged ceiling; a commit is due long before they are used up. */
#define NUMBERS_AHEAD (1U << 20)
#define NUMBERS_LEFT  (1U << 16)

/* A group with more records than this part of what makes a checkpoint due is committed at once: what a shard keeps free
 * for the log on a full volume (raid/space.c: LOG_PART of it, or LOG_ROOM) has to take a group that deletes, before it gives
 * anything back. With LONG_TIMES as many, ops wait for the commit. */
#define KICK_PART  4
#define LONG_TIMES 4
#define LOG_PART   32 /* as there */

/* A checkpoint is due when the log since the last one is longer than that one was, and than this: */
#define CHECKPOINT_MIN (1 * MIB)
#define CHECKPOINT_MAX (32 * MIB) /* enough that small volumes with large disks do it rarely */
/* Or when the log takes more than this part of what it could still have on some shard: two checkpoints give back all
 * before the first of them. But not for less than this since the last one, nor than this part of that one, nor, when that
 * one failed, than twice what it was for. */
#define TIGHT_PART  2
#define TIGHT_MIN   (64 * KIB)
#define TIGHT_SHARE 8
/* With less room than this, besides the group's records, a commit waits for a checkpoint that is under way: commits can
 * be quicker than it is. */
#define TIGHT_WAIT (4 * TIGHT_MIN)

struct freed_list {
	struct stripe_loc *loc;
	unsigned nr, cap;
};

struct commit {
	struct fs *fs;
	struct rwlock txg_gate;
	atomic_uint_fast64_t
		open_txg; /* changed with txg_gate held exclusively, in a write transaction */
	struct record_buf open, closing;	     /* guarded by the index's write transaction */
	struct freed_list open_freed, closing_freed; /* guarded by the index's write transaction */
	struct refer refer;			     /* guarded by the index's write transaction */
	atomic_bool
		unflushed; /* set by the freeze, cleared when the closed group's data is written */
	atomic_uint_fast64_t ceiling_ino, ceiling_gen; /* of the last durable batch */
	struct gate readers;

	struct lock lock;
	struct cond wake;		  /* the thread's */
	struct cond done;		  /* the waiters' */
	uint64_t committed, wanted;	  /* groups; guarded by lock */
	uint64_t nr_started, nr_finished; /* commits; guarded by lock */
	int last_error;			  /* of the last finished commit; guarded by lock */
	bool kicked, stopping;		  /* guarded by lock */
	struct inode *dirty;		  /* inodes with attr_dirty; guarded by lock */
	struct commit_stat stat;	  /* guarded by lock */
	pthread_t thread;
	bool running;

	/* the checkpoint under way; guarded by lock */
	struct cond image_cond;
	struct index_txn *image; /* the snapshot to write, NULL: none */
	uint64_t image_seq;
	bool image_busy;
	uint64_t image_len; /* bytes of the last one */
	uint64_t log_len;   /* bytes logged since the last one, on each shard */
	uint64_t tight_min; /* the least log_len that makes one due for want of room */
	bool log_tight;	    /* the commit's own: before the freeze, which must not look at disks */
	uint64_t image_after;	       /* CHECKPOINT_MIN..MAX, by the volume's size */
	uint64_t kick_after;	       /* bytes of records in the open group, or expected for it */
	atomic_uint_fast64_t expected; /* bytes that the flush of the open group will record */
	pthread_t image_thread;
};

int commit_new(struct fs *fs, struct commit **out)
{
	struct commit *c = calloc(1, sizeof(*c));
	struct raid_space space = {0};
	struct raid_stat stat;

	if (!c)
		return -ENOMEM;
	c->fs = fs;
	c->open_txg = 1;
	rwlock_init(&c->txg_gate);
	lock_init(&c->lock);
	cond_init(&c->wake);
	cond_init(&c->done);
	cond_init(&c->image_cond);
	raid_space(fs->raid, &space);
	c->image_after = fs->p.checkpoint_len;
	if (!c->image_after)
		c->image_after = MIN(MAX(space.total / 128, CHECKPOINT_MIN), CHECKPOINT_MAX);
	c->kick_after = c->image_after;
	if (space.total)
		c->kick_after = MIN(c->kick_after,
				    space.total / raid_geometry(fs->raid)->nr_shards / LOG_PART);
	c->kick_after /= KICK_PART;
	c->tight_min = TIGHT_MIN;
	/* What was logged since the last checkpoint, at least. */
	raid_stat_get(fs->raid, &stat);
	c->log_len =
		MAX((stat.log_seq - MIN(stat.log_seq, stat.checkpoint_seq)) * BLOCK_LEN, TIGHT_MIN);
	*out = c;
	return 0;
}

void commit_free(struct commit *c)
{
	if (!c)
		return;
	while (c->dirty) {
		struct inode *in = c->dirty;

		c->dirty = in->dirty_next;
		inode_put(in);
	}
	record_buf_free(&c->open);
	record_buf_free(&c->closing);
	free(c->open_freed.loc);
	free(c->closing_freed.loc);
	refer_fini(&c->refer);
	cond_fini(&c->image_cond);
	cond_fini(&c->done);
	cond_fini(&c->wake);
	lock_fini(&c->lock);
	rwlock_fini(&c->txg_gate);
	free(c);
}

/* ---- groups ---- */

uint64_t commit_enter(struct fs *fs) NO_LOCK_CHECK
{
	rwlock_read(&fs->commit->txg_gate);
	return atomic_load(&fs->commit->open_txg);
}

void commit_leave(struct fs *fs) NO_LOCK_CHECK
{
	rwlock_release(&fs->commit->txg_gate);
}

uint64_t commit_open_txg(struct fs *fs)
{
	return atomic_load(&fs->commit->open_txg);
}

struct gate *commit_gate(struct fs *fs)
{
	return &fs->commit->readers;
}

void commit_dirty_inode(struct inode *in)
{
	struct commit *c = in->fs->commit;

	if (in->attr_dirty)
		return;
	in->attr_dirty = true;
	inode_ref(in);
	lock_take(&c->lock);
	in->dirty_next = c->dirty;
	c->dirty = in;
	lock_release(&c->lock);
}

static bool txg_is_open(struct commit *c, uint64_t txg)
{
	return txg == atomic_load(&c->open_txg);
}

struct record_buf *commit_records(struct fs *fs, uint64_t txg)
{
	return txg_is_open(fs->commit, txg) ? &fs->commit->open : &fs->commit->closing;
}

/* A look from outside the write transaction: a hint. */
static uint64_t records_len(const struct record_buf *b)
{
	return __atomic_load_n(&b->len, __ATOMIC_RELAXED);
}

static uint64_t open_len(struct commit *c)
{
	return records_len(&c->open) + atomic_load(&c->expected);
}

void commit_grown(struct fs *fs)
{
	if (open_len(fs->commit) > fs->commit->kick_after)
		commit_kick(fs);
}

void commit_expect(struct fs *fs, uint64_t len)
{
	uint64_t before = atomic_fetch_add(&fs->commit->expected, len);

	if (before + len > fs->commit->kick_after && before <= fs->commit->kick_after)
		commit_kick(fs);
}

bool commit_takes_data(struct fs *fs, uint64_t txg)
{
	return records_len(commit_records(fs, txg)) <= 2 * fs->commit->kick_after;
}

static struct freed_list *freed_list(struct commit *c, uint64_t txg)
{
	return txg_is_open(c, txg) ? &c->open_freed : &c->closing_freed;
}

static int freed_room(struct freed_list *l, unsigned nr)
{
	unsigned cap = MAX(l->cap, 64u);
	struct stripe_loc *p;

	if (nr <= l->cap - l->nr)
		return 0;
	while (cap - l->nr < nr)
		cap *= 2;
	p = realloc(l->loc, cap * sizeof(*p));
	if (!p)
		return -ENOMEM;
	l->loc = p;
	l->cap = cap;
	return 0;
}

int commit_freed_room(struct fs *fs, uint64_t txg, unsigned nr)
{
	return freed_room(freed_list(fs->commit, txg), nr);
}

void commit_freed(struct fs *fs, uint64_t txg, const struct stripe_loc *loc, unsigned nr)
{
	struct freed_list *l = freed_list(fs->commit, txg);

	if (!nr)
		return;
	memcpy(l->loc + l->nr, loc, nr * sizeof(*loc));
	l->nr += nr;
}

bool commit_unflushed(struct fs *fs)
{
	return atomic_load(&fs->commit->unflushed);
}

int commit_refer_room(struct fs *fs, unsigned nr)
{
	return refer_room(&fs->commit->refer, nr);
}

void commit_refer(struct fs *fs, const struct op_refer *refer, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		refer_add(&fs->commit->refer, refer[i].gen, refer[i].change);
}

bool commit_refer_find(struct fs *fs, uint64_t gen, int64_t *change)
{
	return refer_find(&fs->commit->refer, gen, change);
}

/* ---- waiting ---- */

void commit_kick(struct fs *fs)
{
	struct commit *c = fs->commit;

	lock_take(&c->lock);
	c->kicked = true;
	cond_signal(&c->wake);
	lock_release(&c->lock);
}

bool commit_durable(struct fs *fs, uint64_t txg)
{
	struct commit *c = fs->commit;
	bool durable;

	lock_take(&c->lock);
	durable = c->committed >= txg;
	lock_release(&c->lock);
	return durable;
}

static int wait_for(struct fs *fs, uint64_t txg)
{
	struct commit *c = fs->commit;
	uint64_t mine;
	int err = 0;

	lock_take(&c->lock);
	c->wanted = MAX(c->wanted, txg);
	/* One that begins from now on has all of @txg in it; one under way may, too, and then `committed` says so. */
	mine = c->nr_started + 1;
	cond_signal(&c->wake);
	while (c->committed < txg && c->nr_finished < mine && c->running)
		cond_wait(&c->done, &c->lock);
	if (c->committed < txg)
		err = c->last_error ? c->last_error : -EIO;
	lock_release(&c->lock);
	return err;
}

int commit_wait(struct fs *fs, uint64_t txg)
{
	return later_may_not() ? -EAGAIN : wait_for(fs, txg);
}

int commit_wait_freed(struct fs *fs)
{
	struct commit *c = fs->commit;
	uint64_t mine;
	int err;

	if (later_may_not())
		return -EAGAIN;
	lock_take(&c->lock);
	/* One that is under way may end with the group that is open now, and then none would begin for its sake. */
	c->kicked = true;
	mine = c->nr_started + 1;
	cond_signal(&c->wake);
	while (c->nr_finished < mine && c->running)
		cond_wait(&c->done, &c->lock);
	err = c->nr_finished < mine ? -EIO : c->last_error;
	lock_release(&c->lock);
	return err;
}

static bool numbers_low(struct fs *fs)
{
	struct commit *c = fs->commit;

	return atomic_load(&fs->next_ino) + NUMBERS_LEFT >= atomic_load(&c->ceiling_ino) ||
	       atomic_load(&fs->next_gen) + NUMBERS_LEFT >= atomic_load(&c->ceiling_gen);
}

bool commit_is_long(struct fs *fs)
{
	return open_len(fs->commit) > LONG_TIMES * fs->commit->kick_after;
}

int commit_admit(struct fs *fs)
{
	int err;

	/* Whoever it is: it is rare, and the op may be one of several that belong together. */
	if (numbers_low(fs))
		return wait_for(fs, commit_open_txg(fs));
	if (!commit_is_long(fs))
		return 0;
	err = wait_for(fs, commit_open_txg(fs));
	/* Its failure is for those to hear who wait for its data. */
	return commit_is_long(fs) ? err : 0;
}

void commit_set_ceiling(struct fs *fs, uint64_t ino, uint64_t gen)
{
	atomic_store(&fs->commit->ceiling_ino, ino);
	atomic_store(&fs->commit->ceiling_gen, gen);
}

/* ---- a commit ---- */

struct closing {
	uint64_t txg;
	struct index_txn *image; /* a snapshot, when a checkpoint is due */
};

/* Attributes that changed in memory only become records of the closing group. */
static int freeze_attrs(struct index_txn *txn, struct inode *list, struct inode **frozen)
{
	uint8_t buf[ATTR_LEN];
	struct inode *next;
	int err = 0;

	for (struct inode *in = list; in; in = next) {
		struct key key = key_plain(in->ino, KEY_ATTR);

		lock_take(&in->lock);
		next = in->dirty_next;
		if (!err && !in->gone) {
			attr_put(&in->attr, buf);
			err = index_put(txn, &key, buf, sizeof(buf));
		}
		/* From here on a change (an access, a flush) is for the next freeze again. */
		in->attr_dirty = false;
		in->dirty_next = NULL;
		in->frozen_next = *frozen;
		*frozen = in;
		lock_release(&in->lock);
	}
	return err;
}

static void freeze_attrs_done(struct inode *frozen, bool ok)
{
	struct inode *next;

	for (struct inode *in = frozen; in; in = next) {
		next = in->frozen_next;
		if (!ok) {
			lock_take(&in->lock);
			commit_dirty_inode(in);
			lock_release(&in->lock);
		}
		inode_put(in);
	}
}

/* Until no checkpoint is under way. Returns whether one was. */
static bool image_wait(struct commit *c)
{
	bool some;

	lock_take(&c->lock);
	some = c->image || c->image_busy;
	while (c->image || c->image_busy)
		cond_wait(&c->done, &c->lock);
	lock_release(&c->lock);
	return some;
}

static bool log_is_tight(struct commit *c)
{
	struct raid *r = c->fs->raid;
	uint64_t room = raid_log_room(r);
	bool tight;

	if (room < TIGHT_WAIT + open_len(c) && image_wait(c))
		room = raid_log_room(r);
	tight = room && raid_log_bytes(r) > room / TIGHT_PART;
	lock_take(&c->lock);
	tight = tight && c->log_len >= MAX(c->tight_min, c->image_len / TIGHT_SHARE);
	lock_release(&c->lock);
	return tight;
}

static bool image_due(struct commit *c)
{
	bool due;

	lock_take(&c->lock);
	due = !c->image_busy && !c->image &&
	      (c->log_len > MAX(c->image_after, c->image_len) || c->log_tight ||
	       raid_wants_checkpoint(c->fs->raid));
	lock_release(&c->lock);
	return due;
}

static int records_move(struct record_buf *to, struct record_buf *from)
{
	int err;

	if (!to->len) {
		struct record_buf tmp = *to;

		*to = *from;
		*from = tmp;
		from->len = 0;
		return 0;
	}
	err = record_buf_append(to, from->p, from->len);
	if (!err)
		from->len = 0;
	return err;
}

static int freed_move(struct freed_list *to, struct freed_list *from)
{
	int err;

	if (!from->nr)
		return 0;
	err = freed_room(to, from->nr);
	if (err)
		return err;
	memcpy(to->loc + to->nr, from->loc, from->nr * sizeof(*from->loc));
	to->nr += from->nr;
	from->nr = 0;
	return 0;
}

/* The exclusive moment: nothing is being changed while it lasts, but for flushes of data already written. */
static int commit_freeze(struct commit *c, struct closing *out)
{
	struct fs *fs = c->fs;
	struct index_txn *txn;
	struct inode *list, *frozen = NULL;
	int err;

	err = index_begin(fs->index, &txn);
	if (err)
		return err;
	err = freed_move(&c->closing_freed, &c->open_freed);
	if (!err)
		err = records_move(&c->closing, &c->open);
	if (err) {
		index_abort(txn);
		return err;
	}
	out->txg = atomic_fetch_add(&c->open_txg, 1);
	atomic_store(&c->expected, 0);
	/* What was open is behind what was closed before in the same lists now: their order is the records'. */
	refer_clear(&c->refer);
	atomic_store(&c->unflushed, true);
	lock_take(&c->lock);
	list = c->dirty;
	c->dirty = NULL;
	lock_release(&c->lock);
	err = freeze_attrs(txn, list, &frozen);
	if (err)
		index_abort(txn);
	else
		err = index_commit(txn, &c->closing);
	freeze_attrs_done(frozen, !err);
	if (!err && image_due(c) && index_read(fs->index, &out->image))
		out->image = NULL;
	return err;
}

/* @ahead: how far the batch's ceilings are beyond what is handed out now, the numbers in the batch among it. */
static int commit_log(struct commit *c, uint64_t txg, unsigned ahead, uint64_t *seq)
{
	struct group_head h = {.txg = txg,
			       .next_ino = atomic_load(&c->fs->next_ino) + ahead,
			       .next_gen = atomic_load(&c->fs->next_gen) + ahead};
	uint8_t head[GROUP_HEAD_LEN];
	struct iovec iov[2] = {{head, sizeof(head)}, {c->closing.p, c->closing.len}};
	int err;

	group_head_put(&h, head);
	err = raid_log_append(c->fs->raid, iov, c->closing.len ? 2 : 1, seq);
	if (!err)
		commit_set_ceiling(c->fs, h.next_ino, h.next_gen);
	return err;
}

/* What the group freed is nobody's any more: the batch is durable, and readers that still saw it are gone. */
static void commit_give_back(struct commit *c)
{
	struct freed_list *l = &c->closing_freed;

	if (!l->nr)
		return;
	gate_wait(&c->readers);
	raid_free_many(c->fs->raid, l->loc, l->nr);
	l->nr = 0;
	if (l->cap > 4096) {
		free(l->loc);
		*l = (struct freed_list){0};
	}
}

static void image_start(struct commit *c, struct index_txn *snapshot, uint64_t seq)
{
	lock_take(&c->lock);
	c->image = snapshot;
	c->image_seq = seq;
	c->log_len = 0;
	cond_signal(&c->image_cond);
	lock_release(&c->lock);
}

static bool commit_empty(struct commit *c)
{
	struct writeback_stat wb;
	bool empty;

	writeback_stat_get(c->fs, &wb);
	lock_take(&c->lock);
	empty = !wb.nr_windows && !c->dirty;
	lock_release(&c->lock);
	/* Unsynchronized looks: whoever changes something after this look is not waiting for this commit. */
	return empty && !records_len(&c->open) && !records_len(&c->closing);
}

static int commit_once(struct commit *c, unsigned ahead) NO_LOCK_CHECK
{
	struct fs *fs = c->fs;
	struct closing g = {0};
	uint64_t begin = mono_ns(), frozen, seq = 0, len = 0;
	int err;

	raid_check(fs->raid);
	c->log_tight = log_is_tight(c);
	rwlock_write(&c->txg_gate);
	frozen = mono_ns();
	err = commit_freeze(c, &g);
	frozen = mono_ns() - frozen;
	rwlock_release(&c->txg_gate);

	if (!err)
		err = writeback_group(fs, g.txg);
	if (!err)
		atomic_store(&c->unflushed, false);
	if (!err)
		err = raid_sync(fs->raid);
	len = c->closing.len;
	if (!err && (len || numbers_low(fs) || g.image)) {
		err = commit_log(c, g.txg, ahead, &seq);
		if (err == -ENOSPC && image_wait(c))
			err = commit_log(c, g.txg, ahead, &seq);
	}
	if (!err) {
		c->closing.len = 0;
		if (c->closing.cap > 4 * MIB)
			record_buf_free(&c->closing);
	}

	lock_take(&c->lock);
	if (!err) {
		c->committed = g.txg;
		/* Who waits for this need not wait for what is given back. */
		cond_broadcast(&c->done);
	}
	c->stat.nr_commits += !err;
	c->stat.nr_failed += err != 0;
	c->stat.last_ns = mono_ns() - begin;
	c->stat.max_freeze_ns = MAX(c->stat.max_freeze_ns, frozen);
	c->stat.last_bytes = len;
	if (seq)
		c->log_len += round_up(RAID_BATCH_HEAD + GROUP_HEAD_LEN + len, BLOCK_LEN);
	if (err && err != c->last_error)
		log_error("commit: %s: what was written since the last commit is in memory only; "
			  "it will be tried again",
			  strerror(-err));
	lock_release(&c->lock);

	if (!err)
		commit_give_back(c);
	if (g.image && !err)
		image_start(c, g.image, seq);
	else if (g.image)
		index_read_end(g.image);
	return err;
}

static void commit_run(struct commit *c, unsigned ahead)
{
	int err;

	lock_take(&c->lock);
	c->nr_started++;
	lock_release(&c->lock);
	err = commit_once(c, ahead);
	lock_take(&c->lock);
	c->nr_finished++;
	c->last_error = err;
	cond_broadcast(&c->done);
	lock_release(&c->lock);
}

static void *commit_thread(void *arg)
{
	struct commit *c = arg;

	pthread_setname_np(pthread_self(), "matfs-commit");
	lock_take(&c->lock);
	while (!c->stopping) {
		uint64_t deadline = mono_ns() + c->fs->p.commit_s * 1000000000ULL;
		bool due = false, asked;

		while (!c->stopping && !due && c->wanted <= c->committed && !c->kicked) {
			if (!c->fs->p.commit_s)
				cond_wait(&c->wake, &c->lock);
			else
				due = cond_wait_until(&c->wake, &c->lock, deadline) != 0;
		}
		if (c->stopping)
			break;
		/* A request that failed is not pursued until somebody asks again, or the timer does. (Who asked while
		 * the timer ran out waits all the same.) */
		asked = c->kicked || c->wanted > c->committed;
		c->wanted = 0;
		c->kicked = false;
		lock_release(&c->lock);
		if (asked || !commit_empty(c))
			commit_run(c, NUMBERS_AHEAD);
		lock_take(&c->lock);
	}
	lock_release(&c->lock);
	return NULL;
}

/* ---- checkpoints ---- */

static void *image_thread(void *arg)
{
	struct commit *c = arg;

	pthread_setname_np(pthread_self(), "matfs-image");
	lock_take(&c->lock);
	for (;;) {
		struct index_txn *snapshot;
		uint64_t len = 0, seq;
		int err;

		while (!c->image && !c->stopping)
			cond_wait(&c->image_cond, &c->lock);
		snapshot = c->image;
		if (!snapshot)
			break;
		seq = c->image_seq;
		c->image = NULL;
		c->image_busy = true;
		lock_release(&c->lock);
		err = checkpoint_write(c->fs, snapshot, seq, &len);
		if (err)
			log_error("checkpoint: %s: the log goes on growing until one succeeds",
				  strerror(-err));
		lock_take(&c->lock);
		c->image_busy = false;
		cond_broadcast(&c->done);
		/* From image_after on one is due anyway. */
		c->tight_min = err ? MIN(c->tight_min * 2, c->image_after) : TIGHT_MIN;
		if (!err) {
			c->image_len = len;
			c->stat.nr_checkpoints++;
			c->stat.checkpoint_bytes = len;
		}
	}
	lock_release(&c->lock);
	return NULL;
}

/* ---- start and stop ---- */

int commit_start(struct fs *fs)
{
	struct commit *c = fs->commit;
	int err = pthread_create(&c->thread, NULL, commit_thread, c);

	if (err)
		return -err;
	err = pthread_create(&c->image_thread, NULL, image_thread, c);
	lock_take(&c->lock);
	c->running = !err;
	c->stopping = err != 0;
	cond_broadcast(&c->wake);
	lock_release(&c->lock);
	if (err)
		pthread_join(c->thread, NULL);
	return -err;
}

/* The image's thread is gone, perhaps before the last commit began one: the log as it is will do. */
static void image_drop(struct commit *c)
{
	lock_take(&c->lock);
	if (c->image)
		index_read_end(c->image);
	c->image = NULL;
	lock_release(&c->lock);
}

int commit_stop(struct fs *fs, bool flush)
{
	struct commit *c = fs->commit;
	int err = 0;

	lock_take(&c->lock);
	if (!c->running) {
		lock_release(&c->lock);
		return 0;
	}
	c->stopping = true;
	cond_broadcast(&c->wake);
	cond_broadcast(&c->image_cond);
	lock_release(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_join(c->image_thread, NULL);
	image_drop(c);
	/* A flush leaves attributes for the freeze after it: two rounds bring all of it down. The ceilings of the last
	 * batch are exact, so that a clean stop uses up no numbers. */
	for (unsigned i = 0; flush && !err && (i == 0 || !commit_empty(c)); i++) {
		commit_run(c, 0);
		lock_take(&c->lock);
		err = c->last_error;
		lock_release(&c->lock);
		image_drop(c);
	}
	lock_take(&c->lock);
	c->running = false;
	cond_broadcast(&c->done);
	lock_release(&c->lock);
	return err;
}

void commit_stat_get(struct fs *fs, struct commit_stat *out)
{
	struct commit *c = fs->commit;

	lock_take(&c->lock);
	*out = c->stat;
	out->committed = c->committed;
	lock_release(&c->lock);
	out->open_txg = commit_open_txg(fs);
}
