/* The extent map against a model of units: insert, punch, share over three files; counts of references and bytes are
 * right throughout, and with the last entry the last extent goes. */
#include "tests/fs/fs_make.h"

#include "conf/log.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/fsck.h"
#include "fs/name.h"

#define UNIT  1024
#define UNITS 3072 /* of a file: three extents' lengths */
#define FILES 3

/* Which byte of which extent a unit shows; 0: none. */
struct unit {
	uint64_t gen;
	uint32_t at;
};

static struct fs_make make;
static struct inode *file[FILES];
static struct unit model[FILES][UNITS];
static uint64_t chance_state = 3;

static unsigned chance(unsigned below)
{
	chance_state = chance_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(chance_state >> 33) % below;
}

/* [*at, *at + *nr) units within one multiple of the extent length. */
static void stretch(unsigned *at, unsigned *nr)
{
	unsigned per = make.fs->extent_len / UNIT;

	*at = chance(UNITS);
	*nr = 1 + chance(chance(2) ? per : 20);
	*nr = MIN(*nr, per - *at % per);
}

static int do_insert(struct op *op, unsigned f, unsigned at, unsigned nr)
{
	struct extent e = {.gen = atomic_fetch_add(&make.fs->next_gen, 1)};
	struct iovec iov = {(void *)"stored", 6};
	int err;

	e.owner = (struct stripe_owner){
		.ino = file[f]->ino, .file_off = at * UNIT, .gen = e.gen, .raw_len = nr * UNIT};
	assert_int_equal(raid_write(make.fs->raid, &e.owner, &iov, 1, &e.loc), 0);
	err = extent_insert(op, file[f], at * UNIT, &e);
	for (unsigned i = 0; i < nr; i++)
		model[f][at + i] = (struct unit){e.gen, i * UNIT};
	return err;
}

/* Parts here and there of two files, those of one of them within a window or two. */
static int do_parts(struct op *op, unsigned f, unsigned at)
{
	unsigned nr = 1 + chance(12), per = make.fs->extent_len / UNIT, skip = 0;
	struct extent e = {.gen = atomic_fetch_add(&make.fs->next_gen, 1)};
	struct iovec iov = {(void *)"bundle", 6};
	struct extent_part part[12];
	unsigned n = 0;

	for (unsigned i = 0; i < nr && at < UNITS; i++) {
		unsigned len = 1 + chance(3);

		len = MIN(len, per - at % per);
		part[n++] = (struct extent_part){file[f], at * UNIT, len * UNIT, skip * UNIT};
		for (unsigned k = 0; k < len; k++)
			model[f][at + k] = (struct unit){e.gen, (skip + k) * UNIT};
		skip += len;
		at += len + chance(4);
		if (i == nr / 2) {
			f = (f + 1) % FILES;
			at = chance(UNITS);
		}
	}
	e.owner = (struct stripe_owner){
		.ino = 1, .file_off = at * UNIT, .gen = e.gen, .raw_len = skip * UNIT};
	assert_int_equal(raid_write(make.fs->raid, &e.owner, &iov, 1, &e.loc), 0);
	return extent_insert_parts(op, &e, part, n);
}

static int do_share(struct op *op, unsigned f, unsigned at, unsigned nr)
{
	unsigned from = chance(FILES), src = chance(UNITS);
	struct unit u = model[from][src];

	if (!u.gen)
		return 0;
	for (unsigned i = 0; i < nr; i++)
		if (src + i >= UNITS || model[from][src + i].gen != u.gen ||
		    model[from][src + i].at != u.at + i * UNIT) {
			nr = i;
			break;
		}
	for (unsigned i = 0; i < nr; i++)
		model[f][at + i] = (struct unit){u.gen, u.at + i * UNIT};
	return extent_share(op, file[f], at * UNIT, nr * UNIT, u.gen, u.at);
}

static void one_change(void)
{
	unsigned f = chance(FILES), at, nr, what = chance(13);
	struct op op;
	int err;

	stretch(&at, &nr);
	assert_int_equal(op_begin(&op, make.fs), 0);
	op_edit(&op, file[f])->size = UNITS * UNIT;
	if (what < 4) {
		err = do_insert(&op, f, at, nr);
	} else if (what < 7) {
		err = do_share(&op, f, at, nr);
	} else if (what < 10) {
		err = do_parts(&op, f, at);
	} else {
		memset(&model[f][at], 0, nr * sizeof(struct unit));
		err = extent_punch(&op, file[f], at * UNIT, nr * UNIT);
	}
	assert_int_equal(op_end(&op, err), 0);
}

static void check_file(struct index_txn *t, unsigned f)
{
	uint64_t mapped = 0;

	for (unsigned i = 0; i < UNITS; i++) {
		struct map_entry m;
		int err = extent_find(t, file[f]->ino, i * UNIT, &m);
		bool there = !err && m.off <= i * UNIT;

		assert_true(!err || err == -ENOENT);
		assert_int_equal(there, model[f][i].gen != 0);
		mapped += there ? UNIT : 0;
		if (!there)
			continue;
		assert_int_equal(m.gen, model[f][i].gen);
		assert_int_equal(m.skip + (i * UNIT - m.off), model[f][i].at);
	}
	assert_int_equal(file[f]->attr.mapped, mapped);
}

static void say(void *arg, const char *line)
{
	(void)arg;
	print_error("fsck: %s\n", line);
}

static void check_all(void)
{
	struct fsck_params p = {.say = say};
	struct fsck_result out;
	struct index_txn *t;

	assert_int_equal(index_read(make.fs->index, &t), 0);
	for (unsigned f = 0; f < FILES; f++)
		check_file(t, f);
	index_read_end(t);
	assert_int_equal(fsck_index(make.fs->index, &p, &out), 0);
	assert_int_equal(out.nr_problems, 0);
	assert_int_equal(out.nr_extents, atomic_load(&make.fs->n.nr_extents));
	assert_int_equal(out.logical, atomic_load(&make.fs->n.logical));
}

static void map_matches_a_model(void **state)
{
	struct raid_space space;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		one_change();
		if (i % 100 == 99)
			check_all();
	}
	for (unsigned f = 0; f < FILES; f++) {
		struct op op;

		assert_int_equal(op_begin(&op, make.fs), 0);
		op_edit(&op, file[f]);
		assert_int_equal(op_end(&op, extent_punch(&op, file[f], 0, UINT64_MAX)), 0);
		memset(model[f], 0, sizeof(model[f]));
	}
	check_all();
	assert_int_equal(atomic_load(&make.fs->n.nr_extents), 0);
	assert_int_equal(atomic_load(&make.fs->n.raw_live), 0);
	assert_int_equal(atomic_load(&make.fs->n.stored_live), 0);
	assert_int_equal(commit_wait_freed(make.fs), 0);
	assert_int_equal(raid_space(make.fs->raid, &space), 0);
	assert_int_equal(space.used, 0);
}

/* A change that fails leaves nothing: neither map nor counts. */
static void failed_change_is_undone(void **state)
{
	struct op op;

	(void)state;
	one_change();
	assert_int_equal(op_begin(&op, make.fs), 0);
	op_edit(&op, file[0]);
	assert_int_equal(extent_punch(&op, file[0], 0, UINT64_MAX), 0);
	assert_int_equal(op_end(&op, -EINTR), -EINTR);
	check_all();
}

static int setup(void **state)
{
	struct name_new nn = {.mode = S_IFREG | 0600};

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	fs_make_init(&make, 1);
	for (unsigned f = 0; f < FILES; f++) {
		char name = (char)('a' + f);

		assert_int_equal(name_make(make.fs, 1, (struct name){&name, 1}, &nn, &file[f]), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned f = 0; f < FILES; f++)
		inode_put(file[f]);
	fs_make_fini(&make);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failed_change_is_undone),
		cmocka_unit_test(map_matches_a_model),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
