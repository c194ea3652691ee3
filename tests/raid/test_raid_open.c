/* Making and opening volumes: what is refused and how that is said, missing shards, crashes while a volume is made. */
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <xxhash.h>

#include "conf/bytes.h"
#include "conf/log.h"
#include "raid/super.h"
#include "tests/support/raid_make.h"
#include "tests/support/raid_volume.h"

#define must(v, call)                                                                              \
	do {                                                                                       \
		int must_err = (call);                                                             \
                                                                                                   \
		if (must_err)                                                                      \
			fail_msg("%s: %d: %s", #call, must_err, (v)->why);                         \
	} while (0)

/* The same, where the lock has been taken already and has left its file. */
static void refused_late(struct volume *v, int err, const char *text)
{
	int got = volume_open(v);

	if (got != err || !strstr(v->why, text))
		fail_msg("want %d '%s', got %d '%s'", err, text, got, v->why);
	if (strchr(v->why, '\n'))
		fail_msg("more than one line: %s", v->why);
	assert_null(v->r);
}

/* Refused with @err and a line that has @text; nothing on any shard has changed. */
static void refused(struct volume *v, int err, const char *text)
{
	uint64_t steps = crash_steps(v->disk);

	refused_late(v, err, text);
	assert_int_equal(crash_steps(v->disk), steps);
}

/* A volume of @nr shards with five batches, stopped clean. */
static struct crash_disk *made(struct volume *v, unsigned nr, uint8_t level)
{
	struct crash_disk *d = crash_disk_new(nr + 2, 1);

	volume_init(v, d, nr, level);
	must(v, volume_open(v));
	must(v, volume_recover(v));
	for (unsigned i = 0; i < 5; i++)
		must(v, volume_append(v));
	volume_close(v, true);
	return d;
}

/* ---- making ---- */

static void volume_is_made_and_found_again(void **state)
{
	static const struct {
		unsigned nr;
		uint8_t want, level, copies;
	} c[] = {
		{1, RAID_LEVEL_ANY, 0, 1},
		{2, RAID_LEVEL_ANY, 1, 2},
		{3, RAID_LEVEL_ANY, 5, 1},
		{64, RAID_LEVEL_ANY, 5, 1},
		{3, 0, 0, 1},
		{3, 1, 1, 2},
		{4, 6, 6, 1},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		struct crash_disk *d = crash_disk_new(c[i].nr, i);
		struct volume v;

		volume_init(&v, d, c[i].nr, c[i].want);
		must(&v, volume_open(&v));
		assert_true(raid_created(v.r));
		assert_true(raid_was_clean(v.r));
		assert_int_equal(raid_geometry(v.r)->level, c[i].level);
		assert_int_equal(raid_geometry(v.r)->copies, c[i].copies);
		assert_int_equal(raid_geometry(v.r)->nr_shards, c[i].nr);
		assert_int_equal(raid_geometry(v.r)->extent_len, MIB);
		must(&v, volume_recover(&v));
		must(&v, volume_append(&v));
		volume_close(&v, true);
		v.p.create = false;
		v.p.want.level = RAID_LEVEL_ANY;
		must(&v, volume_open(&v));
		assert_false(raid_created(v.r));
		assert_true(raid_was_clean(v.r));
		assert_int_equal(raid_geometry(v.r)->level, c[i].level);
		must(&v, volume_recover(&v));
		assert_int_equal(v.n, 1);
		volume_close(&v, false);
		must(&v, volume_open(&v));
		assert_false(raid_was_clean(v.r));
		volume_close(&v, true);
		crash_disk_free(d);
	}
}

static void shards_may_come_in_any_order(void **state)
{
	struct volume v;
	struct crash_disk *d = made(&v, 4, 5);
	const char *turned[4] = {v.path[2], v.path[0], v.path[3], v.path[1]};
	struct shard_stat st;

	(void)state;
	v.p.paths = turned;
	must(&v, volume_open(&v));
	must(&v, volume_recover(&v));
	assert_int_equal(v.n, 5);
	for (unsigned i = 0; i < 4; i++) {
		raid_shard_stat(v.r, i, &st);
		assert_string_equal(st.path, v.path[i]);
	}
	volume_close(&v, true);
	crash_disk_free(d);
}

static void impossible_wishes_are_refused(void **state)
{
	struct crash_disk *d = crash_disk_new(20, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 2, 5);
	refused(&v, -EINVAL, "raid5 needs 3 shards, 2 given");
	volume_init(&v, d, 3, 6);
	refused(&v, -EINVAL, "raid6 needs 4 shards, 3 given");
	volume_init(&v, d, 1, 1);
	refused(&v, -EINVAL, "needs 2 shards, 1 given");
	volume_init(&v, d, 3, 1);
	v.p.want.copies = 4;
	refused(&v, -EINVAL, "needs 4 shards, 3 given");
	v.p.want.copies = 17;
	refused(&v, -EINVAL, "copies=17 is not possible");
	volume_init(&v, d, 3, 4);
	refused(&v, -EINVAL, "raid=4 is unknown; take 0, 1, 5 or 6");
	volume_init(&v, d, 3, 5);
	v.p.want.extent_len = 300000;
	refused(&v, -EINVAL, "extent=300000 is not possible");
	volume_init(&v, d, 3, 5);
	v.p.nr_paths = 0;
	refused(&v, -EINVAL, "0 shards are given");
	v.p.nr_paths = 3;
	v.paths[1] = "relative/1";
	refused(&v, -EINVAL, "'relative/1' is no absolute path");
	volume_init(&v, d, 3, 5);
	v.p.create = false;
	refused(&v, -ENOENT, "there is no volume at /crash-disk/0");
	v.p.create = true;
	v.p.rdonly = true;
	refused(&v, -ENOENT, "there is no volume at /crash-disk/0");
	crash_disk_free(d);
}

static void put_file(struct crash_disk *d, const char *path, const char *name)
{
	const struct store_ops *ops = crash_ops(d);
	struct store_file *f;
	struct store *s;

	assert_int_equal(ops->attach(ops, path, false, &s), 0);
	assert_int_equal(ops->open(s, name, STORE_CREATE, &f), 0);
	ops->close(f);
	ops->detach(s);
}

static void only_empty_directories_are_taken(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	const struct store_ops *ops = crash_ops(d);
	struct volume v;
	struct store *s;

	(void)state;
	assert_int_equal(ops->attach(ops, "/crash-disk/0", false, &s), 0);
	assert_int_equal(ops->mkdir(s, "lost+found"), 0);
	ops->detach(s);
	put_file(d, "/crash-disk/1", "thesis.tex");
	volume_init(&v, d, 3, 5);
	refused(&v, -ENOTEMPTY, "/crash-disk/1 is not empty and no shard; give an empty directory");
	assert_int_equal(ops->attach(ops, "/crash-disk/1", false, &s), 0);
	assert_int_equal(ops->unlink(s, "thesis.tex"), 0);
	ops->detach(s);
	volume_must_work(&v);
	crash_disk_free(d);
}

static void a_shard_needs_room_for_its_metadata(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;

	(void)state;
	crash_capacity(d, 1, 16 * MIB);
	volume_init(&v, d, 3, 5);
	refused_late(&v, -ENOSPC,
		     "/crash-disk/1 is on a file system of 16 MiB; give one of 32 MiB or more");
	crash_capacity(d, 1, 64 * MIB);
	volume_must_work(&v);
	crash_disk_free(d);
}

/* The power goes at every step of making a volume: it can be made anew, or is there; never is something refused that
 * was not clearly said. */
static void making_survives_a_crash_at_every_step(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct crash_journal *j;
	struct crash_cursor *c;
	struct volume v;
	uint64_t made_at;

	(void)state;
	volume_init(&v, d, 3, 5);
	crash_record(d);
	must(&v, volume_open(&v));
	made_at = crash_steps(d);
	volume_close(&v, true);
	j = crash_record_end(d);
	c = crash_cursor_new(j);
	for (uint64_t step = crash_journal_begin(j); step <= crash_journal_end(j); step++) {
		for (uint64_t seed = 0; seed < 5; seed++) {
			struct crash_disk *image = crash_cursor_image(c, step, seed);
			struct volume w;
			int err;

			volume_init(&w, image, 3, RAID_LEVEL_ANY);
			w.p.create = false;
			err = volume_open(&w);
			if (!err)
				volume_close(&w, false);
			else if (err != -ENOENT || step >= made_at)
				fail_msg("step %llu: %d %s", (unsigned long long)step, err, w.why);
			else
				assert_true(strstr(w.why, "there is no volume") ||
					    strstr(w.why, "its creation was interrupted"));
			w.p.create = true;
			volume_must_work(&w);
			crash_disk_free(image);
		}
	}
	crash_cursor_free(c);
	crash_journal_free(j);
	crash_disk_free(d);
}

static void making_fails_with_each_call_and_can_be_repeated(void **state)
{
	(void)state;
	for (uint64_t after = 0; after < 60; after++) {
		struct crash_disk *d = crash_disk_new(3, after);
		struct volume v;
		int err;

		volume_init(&v, d, 3, 5);
		crash_fault(d, 1, CRASH_ANY, after, 1, -EIO);
		err = volume_open(&v);
		if (err)
			assert_true(strlen(v.why) > 10);
		else
			volume_close(&v, true);
		crash_fault_clear(d);
		crash_power_on(d, after);
		volume_must_work(&v);
		crash_disk_free(d);
	}
}

/* A directory with an interrupted creation beside a volume is none of its shards. */
static void half_made_volume_is_told_from_another(void **state)
{
	struct crash_disk *d = crash_disk_new(6, 1);
	struct volume v, w;

	(void)state;
	volume_init(&w, d, 6, 5);
	w.p.paths = w.paths + 3;
	w.p.nr_paths = 3;
	crash_fault(d, 4, CRASH_MKDIR, 0, 1, -EIO);
	assert_int_equal(volume_open(&w), -EIO);
	assert_non_null(strstr(w.why, "/crash-disk/4: no directory can be made in it"));
	volume_init(&v, d, 3, 5);
	must(&v, volume_open(&v));
	volume_close(&v, true);
	v.paths[2] = w.path[3];
	refused(&v, -EINVAL, "belongs to another volume");
	/* It is made with the others of its own. */
	volume_must_work(&w);
	crash_disk_free(d);
}

/* ---- what disagrees ---- */

static void geometry_that_disagrees_is_refused_with_both(void **state)
{
	struct volume v;
	struct crash_disk *d = made(&v, 4, 5);

	(void)state;
	v.p.want.level = 6;
	refused(&v, -EINVAL,
		"raid=6 was asked for, but the volume of shard /crash-disk/0 is raid5");
	v.p.want.level = 5;
	v.p.want.extent_len = 512 * KIB;
	refused(&v, -EINVAL,
		"extent=524288 was asked for, but the volume of shard /crash-disk/0 has 1048576");
	crash_disk_free(d);
	d = made(&v, 3, 1);
	v.p.want.copies = 3;
	refused(&v, -EINVAL,
		"copies=3 was asked for, but the volume of shard /crash-disk/0 keeps 2");
	crash_disk_free(d);
}

static void copy_super(struct crash_disk *d, unsigned from, unsigned to)
{
	uint8_t buf[SUPER_LEN];

	for (unsigned slot = 0; slot < 2; slot++) {
		const char *name = slot ? "super.1" : "super.0";

		assert_int_equal(crash_peek(d, from, name, 0, buf, sizeof(buf)), 0);
		assert_int_equal(crash_poke(d, to, name, 0, buf, sizeof(buf)), 0);
	}
}

static void shards_of_two_volumes_are_refused(void **state)
{
	struct crash_disk *d = crash_disk_new(6, 1);
	struct volume v, w;

	(void)state;
	volume_init(&v, d, 3, 5);
	volume_must_work(&v);
	volume_init(&w, d, 6, 5);
	w.p.paths = w.paths + 3;
	w.p.nr_paths = 3;
	volume_must_work(&w);
	v.paths[1] = w.path[4];
	refused(&v, -EINVAL, "shard /crash-disk/4 belongs to another volume (");
	/* A shard and its copy. */
	volume_init(&v, d, 4, 5);
	copy_super(d, 1, 3);
	refused(&v, -EINVAL,
		"shards /crash-disk/1 and /crash-disk/3 are both shard 1 of the volume");
	crash_disk_free(d);
}

static void stranger_beside_a_whole_volume_is_refused(void **state)
{
	struct volume v;
	struct crash_disk *d = made(&v, 3, 5);

	(void)state;
	volume_init(&v, d, 4, 5);
	refused(&v, -EINVAL, "/crash-disk/3 is empty and is none of the volume's 3 shards");
	put_file(d, "/crash-disk/3", "thesis.tex");
	refused(&v, -EINVAL,
		"/crash-disk/3 holds other files and is none of the volume's 3 shards");
	crash_shard_kill(d, 3, -ENOENT);
	refused(&v, -EINVAL, "/crash-disk/3 does not exist and is none of the volume's 3 shards");
	crash_disk_free(d);
}

static void damaged_superblocks_are_never_overwritten(void **state)
{
	struct volume v;
	struct crash_disk *d = made(&v, 3, 5);
	uint8_t before[SUPER_LEN], after[SUPER_LEN];

	(void)state;
	for (unsigned slot = 0; slot < 2; slot++)
		crash_poke(d, 1, slot ? "super.1" : "super.0", 100, "damage", 6);
	assert_int_equal(crash_peek(d, 1, "super.0", 0, before, SUPER_LEN), 0);
	refused(&v, -ENODEV,
		"shard 1, last seen at /crash-disk/1; /crash-disk/1 has damaged superblocks");
	v.p.degraded = true;
	must(&v, volume_open(&v));
	must(&v, volume_recover(&v));
	assert_int_equal(v.n, 5);
	assert_int_equal(volume_state(&v, 1), SHARD_MISSING);
	must(&v, volume_append(&v));
	volume_close(&v, true);
	assert_int_equal(crash_peek(d, 1, "super.0", 0, after, SUPER_LEN), 0);
	assert_memory_equal(before, after, SUPER_LEN);
	/* Alone it is not taken for an empty one. */
	v.p.paths = v.paths + 1;
	v.p.nr_paths = 1;
	refused(&v, -EBADMSG, "shard /crash-disk/1 has damaged superblocks");
	crash_disk_free(d);
}

static void one_damaged_slot_is_mended(void **state)
{
	struct volume v;
	struct crash_disk *d = made(&v, 3, 5);

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		crash_poke(d, i, i % 2 ? "super.1" : "super.0", 100, "damage", 6);
	volume_must_work(&v);
	crash_disk_free(d);
}

static void newer_version_is_refused(void **state)
{
	struct volume v;
	struct crash_disk *d = made(&v, 3, 5);
	uint8_t buf[SUPER_LEN];

	(void)state;
	/* As a newer matfs would write it: the next version, and a right checksum. */
	assert_int_equal(crash_peek(d, 2, "super.0", 0, buf, sizeof(buf)), 0);
	put_u32(buf + 8, SUPER_VERSION + 1);
	put_u64(buf + 16, 0);
	put_u64(buf + 16, XXH3_64bits(buf, sizeof(buf)));
	assert_int_equal(crash_poke(d, 2, "super.0", 0, buf, sizeof(buf)), 0);
	refused(&v, -EPROTONOSUPPORT, "shard /crash-disk/2 was written by a newer matfs");
	crash_disk_free(d);
}

/* ---- paths ---- */

static void listed_twice_is_refused(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 3, 5);
	v.paths[2] = "/crash-disk/.//1/";
	refused(&v, -EINVAL, "shard /crash-disk/1 is listed twice");
	v.paths[2] = "/crash-disk/1/2";
	refused(&v, -EINVAL, "shard /crash-disk/1/2 lies within shard /crash-disk/1");
	v.paths[2] = "/crash-disk/10";
	v.p.mountpoint = "/crash-disk/0/mnt";
	refused(&v, -EINVAL, "the mountpoint /crash-disk/0/mnt lies within shard /crash-disk/0");
	v.p.mountpoint = "/crash-disk";
	refused(&v, -EINVAL, "shard /crash-disk/0 lies within the mountpoint /crash-disk");
	v.p.mountpoint = "/crash-disk/0";
	refused(&v, -EINVAL, "shard /crash-disk/0 lies within the mountpoint /crash-disk/0");
	crash_disk_free(d);
}

/* Real directories: the same one by two names, no directory, no permission, a lock, a whole life. */
static void real_directories(void **state)
{
	char *top, **path = raid_make_dirs(3, &top);
	char link[256], other[256], why[512];
	const char *paths[3] = {path[0], path[1], link};
	struct raid_params p = {.ops = store_sync(),
				.paths = paths,
				.nr_paths = 3,
				.want = {.level = RAID_LEVEL_ANY},
				.create = true};
	struct iovec iov = {(void *)(uintptr_t) "batch", 5};
	struct raid *r, *again;
	uint64_t seq;
	FILE *f;

	(void)state;
	snprintf(link, sizeof(link), "%s/link", top);
	assert_int_equal(symlink(path[1], link), 0);
	assert_int_equal(raid_open(&p, &r, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "is listed twice"));
	snprintf(other, sizeof(other), "%s/file", top);
	f = fopen(other, "w");
	assert_non_null(f);
	fclose(f);
	paths[2] = other;
	assert_int_equal(raid_open(&p, &r, why, sizeof(why)), -ENOTDIR);
	assert_non_null(strstr(why, "is not a directory"));
	snprintf(other, sizeof(other), "%s/none", top);
	assert_int_equal(raid_open(&p, &r, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "does not exist"));
	paths[2] = path[2];
	if (geteuid() != 0) {
		assert_int_equal(chmod(path[2], 0500), 0);
		assert_int_equal(raid_open(&p, &r, why, sizeof(why)), -EACCES);
		assert_non_null(strstr(why, "is not writable"));
		assert_int_equal(chmod(path[2], 0700), 0);
	}
	p.mountpoint = top;
	assert_int_equal(raid_open(&p, &r, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "lies within the mountpoint"));
	p.mountpoint = "/";
	assert_int_equal(raid_open(&p, &r, why, sizeof(why)), -EINVAL);
	snprintf(other, sizeof(other), "%s/mnt", top);
	p.mountpoint = other;
	if (raid_open(&p, &r, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(raid_open(&p, &again, why, sizeof(why)), -EBUSY);
	assert_non_null(strstr(why, "is in use by process "));
	assert_non_null(strstr(why, other));
	assert_int_equal(raid_log_append(r, &iov, 1, &seq), 0);
	raid_close(r, true);
	assert_int_equal(raid_open(&p, &r, why, sizeof(why)), 0);
	assert_true(raid_was_clean(r));
	assert_int_equal(raid_log_next(r), 2);
	raid_close(r, true);
	raid_make_dirs_free(path, 3, top);
}

static void two_readers_may_share(void **state)
{
	struct volume v, w;
	struct crash_disk *d = made(&v, 3, 5);
	uint64_t steps = crash_steps(d);

	(void)state;
	w = v;
	w.p.paths = w.paths;
	v.p.rdonly = w.p.rdonly = true;
	must(&v, volume_open(&v));
	must(&w, volume_open(&w));
	must(&v, volume_recover(&v));
	assert_int_equal(v.n, 5);
	assert_true(raid_readonly(v.r));
	assert_int_equal(volume_append(&v), -EROFS);
	assert_int_equal(volume_checkpoint(&v), -EROFS);
	volume_close(&v, true);
	volume_close(&w, true);
	assert_int_equal(crash_steps(d), steps);
	v.p.rdonly = false;
	must(&v, volume_open(&v));
	w.p.rdonly = false;
	assert_int_equal(volume_open(&w), -EBUSY);
	assert_non_null(strstr(w.why, "is in use by process"));
	w.p.rdonly = true;
	assert_int_equal(volume_open(&w), -EBUSY);
	assert_true(raid_was_clean(v.r));
	volume_close(&v, true);
	crash_disk_free(d);
}

static void shard_that_cannot_be_used_is_refused(void **state)
{
	struct crash_disk *d = crash_disk_new(3, 1);
	struct volume v;

	(void)state;
	volume_init(&v, d, 3, 5);
	crash_fault(d, 1, CRASH_PROBE, 0, CRASH_FOREVER, -EOPNOTSUPP);
	refused_late(&v, -EOPNOTSUPP, "the file system of shard /crash-disk/1 cannot punch holes");
	crash_fault_clear(d);
	crash_fault(d, 2, CRASH_PROBE, 0, CRASH_FOREVER, -EROFS);
	refused_late(&v, -EROFS, "shard /crash-disk/2 is not writable: Read-only file system");
	crash_fault_clear(d);
	crash_fault(d, 0, CRASH_LOCK, 0, CRASH_FOREVER, -EACCES);
	refused(&v, -EACCES, "shard /crash-disk/0 is not writable");
	crash_fault_clear(d);
	crash_fault(d, 0, CRASH_LOCK, 0, CRASH_FOREVER, -ENOLCK);
	refused(&v, -ENOLCK, "shard /crash-disk/0 cannot be locked");
	crash_fault_clear(d);
	crash_fault(d, 0, CRASH_ATTACH, 0, CRASH_FOREVER, -EACCES);
	refused(&v, -EACCES, "shard /crash-disk/0 cannot be opened: Permission denied");
	crash_fault_clear(d);
	crash_shard_kill(d, 1, -ENOENT);
	refused(&v, -ENOENT, "shard /crash-disk/1 does not exist");
	crash_disk_free(d);
}

/* ---- missing shards ---- */

static void missing_shards_are_refused_or_borne(void **state)
{
	static const struct {
		unsigned nr, bears;
		uint8_t level;
	} c[] = {{3, 0, 0}, {3, 1, 1}, {4, 1, 5}, {5, 2, 6}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		struct volume v;
		struct crash_disk *d = made(&v, c[i].nr, c[i].level);

		for (uint64_t mask = 1; mask < (1ULL << c[i].nr) - 1; mask++) {
			unsigned gone = c[i].nr - (unsigned)__builtin_popcountll(mask);
			int err = volume_open_some(&v, mask);
			struct crash_disk *copy;
			struct volume w;

			/* Without "degraded" nothing is missing silently. */
			assert_int_equal(err, -ENODEV);
			assert_non_null(strstr(v.why, "shards missing"));
			assert_non_null(strstr(v.why, "last seen at /crash-disk/"));
			copy = crash_disk_clone(d);
			volume_init(&w, copy, c[i].nr, RAID_LEVEL_ANY);
			w.p.degraded = true;
			err = volume_open_some(&w, mask);
			if (gone > c[i].bears) {
				assert_int_equal(err, -ENODEV);
				assert_non_null(strstr(w.why, "salvage"));
			} else {
				must(&w, err);
				must(&w, volume_recover(&w));
				assert_int_equal(w.n, 5);
				must(&w, volume_append(&w));
				volume_close(&w, true);
			}
			w.p.salvage = true;
			must(&w, volume_open_some(&w, mask));
			must(&w, volume_recover(&w));
			assert_int_equal(w.n, gone > c[i].bears ? 5 : 6);
			assert_true(raid_readonly(w.r));
			volume_close(&w, true);
			crash_disk_free(copy);
		}
		volume_must_work(&v);
		crash_disk_free(d);
	}
}

static void empty_directory_stands_for_a_disk_not_mounted(void **state)
{
	struct volume v;
	struct crash_disk *d = made(&v, 3, 5);

	(void)state;
	v.paths[1] = "/crash-disk/3"; /* an empty shard */
	refused(&v, -ENODEV, "shard 1, last seen at /crash-disk/1; /crash-disk/3 is empty");
	v.p.degraded = true;
	must(&v, volume_open(&v));
	must(&v, volume_recover(&v));
	assert_int_equal(v.n, 5);
	volume_close(&v, true);
	crash_disk_free(d);
}

static void *come_back(void *arg)
{
	const struct timespec pause = {.tv_nsec = 400 * 1000000L};

	nanosleep(&pause, NULL);
	crash_shard_kill(arg, 1, 0);
	return NULL;
}

static void missing_shards_are_waited_for(void **state)
{
	struct volume v;
	struct crash_disk *d = made(&v, 3, 5);
	pthread_t t;

	(void)state;
	crash_shard_kill(d, 1, -ENOENT);
	v.p.wait_s = 1;
	refused(&v, -ENODEV,
		"1 of 3 shards missing: shard 1, last seen at /crash-disk/1; /crash-disk/1 does "
		"not exist");
	v.p.wait_s = 60;
	assert_int_equal(pthread_create(&t, NULL, come_back, d), 0);
	must(&v, volume_open(&v));
	pthread_join(t, NULL);
	assert_int_equal(volume_state(&v, 1), SHARD_ONLINE);
	volume_close(&v, true);
	crash_disk_free(d);
}

static void shard_that_was_out_is_known_by_its_name(void **state)
{
	struct volume v;
	struct crash_disk *d = made(&v, 3, 5);
	struct shard_stat st;
	struct raid_stat rs;

	(void)state;
	v.p.degraded = true;
	must(&v, volume_open_some(&v, 3));
	must(&v, volume_recover(&v));
	raid_shard_stat(v.r, 2, &st);
	assert_null(st.path);
	assert_int_equal(st.state, SHARD_MISSING);
	raid_stat_get(v.r, &rs);
	assert_int_equal(rs.nr_lost, 1);
	assert_int_equal(rs.epoch, 1);
	assert_true(rs.redundant);
	must(&v, volume_append(&v));
	raid_stat_get(v.r, &rs);
	assert_int_equal(rs.epoch, 2);
	assert_int_equal(rs.members, 3);
	volume_close(&v, true);
	/* Its place is remembered over further opens without it. */
	v.p.degraded = false;
	assert_int_equal(volume_open_some(&v, 3), -ENODEV);
	assert_non_null(strstr(v.why, "shard 2, last seen at /crash-disk/2"));
	crash_disk_free(d);
}

static void log_that_cannot_be_read_counts_as_missing(void **state)
{
	struct volume v;
	struct crash_disk *d = made(&v, 3, 5);

	(void)state;
	crash_fault(d, 1, CRASH_LIST, 2, CRASH_FOREVER, -EIO);
	refused(&v, -ENODEV, "1 of 3 shards missing: 1 (/crash-disk/1)");
	crash_fault_clear(d);
	crash_fault(d, 1, CRASH_LIST, 2, CRASH_FOREVER, -EIO);
	v.p.degraded = true;
	must(&v, volume_open(&v));
	must(&v, volume_recover(&v));
	assert_int_equal(v.n, 5);
	assert_int_equal(volume_state(&v, 1), SHARD_FAILED);
	volume_close(&v, true);
	crash_fault_clear(d);
	v.p.degraded = false;
	volume_must_work(&v);
	crash_disk_free(d);
}

/* A shard fails with each call that an open makes of it: refused with a reason, or opened without it, and the volume is
 * as it was. */
static void open_fails_with_each_call_and_harms_nothing(void **state)
{
	struct volume v;
	struct crash_disk *base = made(&v, 3, 5);

	(void)state;
	for (uint64_t after = 0; after < 60; after++) {
		struct crash_disk *d = crash_disk_clone(base);
		int err;

		volume_init(&v, d, 3, 5);
		v.p.degraded = after % 2;
		crash_fault(d, 2, CRASH_ANY, after, CRASH_FOREVER, -EIO);
		err = volume_open(&v);
		if (err) {
			assert_true(strlen(v.why) > 10);
		} else {
			must(&v, volume_recover(&v));
			assert_int_equal(v.n, 5);
			volume_close(&v, true);
		}
		crash_fault_clear(d);
		v.p.degraded = false;
		must(&v, volume_open(&v));
		must(&v, volume_recover(&v));
		assert_int_equal(v.n, 5);
		volume_close(&v, false);
		volume_must_work(&v);
		crash_disk_free(d);
	}
	crash_disk_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(volume_is_made_and_found_again),
		cmocka_unit_test(shards_may_come_in_any_order),
		cmocka_unit_test(impossible_wishes_are_refused),
		cmocka_unit_test(only_empty_directories_are_taken),
		cmocka_unit_test(a_shard_needs_room_for_its_metadata),
		cmocka_unit_test(making_survives_a_crash_at_every_step),
		cmocka_unit_test(making_fails_with_each_call_and_can_be_repeated),
		cmocka_unit_test(half_made_volume_is_told_from_another),
		cmocka_unit_test(geometry_that_disagrees_is_refused_with_both),
		cmocka_unit_test(shards_of_two_volumes_are_refused),
		cmocka_unit_test(stranger_beside_a_whole_volume_is_refused),
		cmocka_unit_test(damaged_superblocks_are_never_overwritten),
		cmocka_unit_test(one_damaged_slot_is_mended),
		cmocka_unit_test(newer_version_is_refused),
		cmocka_unit_test(listed_twice_is_refused),
		cmocka_unit_test(real_directories),
		cmocka_unit_test(two_readers_may_share),
		cmocka_unit_test(shard_that_cannot_be_used_is_refused),
		cmocka_unit_test(missing_shards_are_refused_or_borne),
		cmocka_unit_test(empty_directory_stands_for_a_disk_not_mounted),
		cmocka_unit_test(missing_shards_are_waited_for),
		cmocka_unit_test(shard_that_was_out_is_known_by_its_name),
		cmocka_unit_test(log_that_cannot_be_read_counts_as_missing),
		cmocka_unit_test(open_fails_with_each_call_and_harms_nothing),
	};

	/* Votes are loud. */
	log_set_level(LOG_LEVEL_ERROR - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
