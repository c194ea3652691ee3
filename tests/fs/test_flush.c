/* Flushes that a GPU has a part in: here a thread that takes its time, and that tests can hold, fail and count. One
 * worker, so that whoever waits for the GPU on it stands out. */
#include "tests/fs/fs_bytes.h"

#include <pthread.h>
#include <time.h>

#include "conf/log.h"
#include "fs/commit.h"
#include "fs/extent.h"
#include "fs/file.h"
#include "fs/name.h"
#include "fs/recompress.h"
#include "fs/writeback.h"

/* ---- a made-up GPU ---- */

#define JOBS_MAX 256

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	pthread_t thread;
	struct codec_job *job[JOBS_MAX]; /* guarded by lock, as all below */
	unsigned nr, nr_max;
	unsigned nr_offered, nr_taken, nr_completed;
	bool held, refuses, quits;
	bool slow; /* a random while for each job */
	unsigned nr_fail;
} gpu = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static bool gpu_offer(struct codec_gpu *none, struct codec_job *j)
{
	bool taken;

	assert_null(none);
	assert_true(j->raw_len && j->scratch && j->done && j->opts);
	pthread_mutex_lock(&gpu.lock);
	gpu.nr_offered++;
	taken = !gpu.refuses && gpu.nr < JOBS_MAX;
	if (taken) {
		gpu.job[gpu.nr++] = j;
		gpu.nr_taken++;
		gpu.nr_max = MAX(gpu.nr_max, gpu.nr);
	}
	pthread_cond_broadcast(&gpu.cond);
	pthread_mutex_unlock(&gpu.lock);
	return taken;
}

static int gpu_complete(struct codec_job *j)
{
	bool fail;

	pthread_mutex_lock(&gpu.lock);
	gpu.nr_completed++;
	fail = gpu.nr_fail > 0;
	gpu.nr_fail -= fail;
	pthread_mutex_unlock(&gpu.lock);
	return fail ? -ENOMEM : codec_encode(j);
}

static void *gpu_thread(void *arg)
{
	unsigned seed = 1;

	(void)arg;
	pthread_mutex_lock(&gpu.lock);
	for (;;) {
		struct codec_job *j;
		unsigned at;

		while ((!gpu.nr || gpu.held) && !gpu.quits)
			pthread_cond_wait(&gpu.cond, &gpu.lock);
		if (gpu.quits)
			break;
		/* In no particular order. */
		at = (unsigned)rand_r(&seed) % gpu.nr;
		j = gpu.job[at];
		gpu.job[at] = gpu.job[--gpu.nr];
		pthread_mutex_unlock(&gpu.lock);
		if (gpu.slow)
			nanosleep(&(struct timespec){.tv_nsec = rand_r(&seed) % 3000000}, NULL);
		j->done(j);
		pthread_mutex_lock(&gpu.lock);
	}
	pthread_mutex_unlock(&gpu.lock);
	return NULL;
}

static void gpu_hold(bool held)
{
	pthread_mutex_lock(&gpu.lock);
	gpu.held = held;
	pthread_cond_broadcast(&gpu.cond);
	pthread_mutex_unlock(&gpu.lock);
}

/* Until it has @nr jobs. */
static void gpu_wait(unsigned nr)
{
	pthread_mutex_lock(&gpu.lock);
	while (gpu.nr < nr)
		pthread_cond_wait(&gpu.cond, &gpu.lock);
	pthread_mutex_unlock(&gpu.lock);
}

static void gpu_reset(void)
{
	pthread_mutex_lock(&gpu.lock);
	assert_int_equal(gpu.nr, 0);
	gpu.nr_offered = gpu.nr_taken = gpu.nr_completed = gpu.nr_max = gpu.nr_fail = 0;
	gpu.held = gpu.refuses = gpu.slow = false;
	pthread_mutex_unlock(&gpu.lock);
}

static void *gpu_release_later(void *arg)
{
	(void)arg;
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	gpu_hold(false);
	return NULL;
}

/* ---- a volume ---- */

static struct fs_make make;

static void up(uint64_t threshold)
{
	struct fs_params p = {.gpu_threshold = threshold,
			      .offer = gpu_offer,
			      .complete = gpu_complete,
			      .memory_len = 32 * MIB,
			      .cache_len = 4 * MIB,
			      .threads = 1};

	fs_make_up_with(&make, p, false);
}

static int setup(void **state)
{
	(void)state;
	gpu_reset();
	fs_make_init(&make, 1);
	fs_make_down(&make);
	up(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gpu_hold(false);
	fs_make_fini(&make);
	return 0;
}

static struct inode *file(const char *name)
{
	return fs_bytes_file(&make, name);
}

static uint8_t byte_at(uint64_t off, unsigned salt)
{
	return (uint8_t)(off / 7 * salt % 97);
}

static void write_at(struct inode *in, uint64_t off, size_t len, unsigned salt)
{
	fs_bytes_write(in, off, len, byte_at, salt);
}

static void reads(struct inode *in, uint64_t off, size_t len, unsigned salt)
{
	fs_bytes_check(in, off, len, byte_at, salt);
}

static unsigned taken(void)
{
	unsigned n;

	pthread_mutex_lock(&gpu.lock);
	n = gpu.nr_taken;
	pthread_mutex_unlock(&gpu.lock);
	return n;
}

/* ---- tests ---- */

static void gpu_holds_up_no_worker(void **state)
{
	struct inode *in = file("held"), *other = file("other");

	(void)state;
	gpu_hold(true);
	write_at(in, 0, 4 * MIB, 3);
	gpu_wait(4);
	/* The only worker is free for another file's bytes, which the GPU does not want. */
	pthread_mutex_lock(&gpu.lock);
	gpu.refuses = true;
	pthread_mutex_unlock(&gpu.lock);
	write_at(other, 0, 2 * MIB, 5);
	assert_int_equal(writeback_flush(other, 0, UINT64_MAX), 0);
	reads(other, 0, 2 * MIB, 5);
	/* What the GPU has is read from memory. */
	reads(in, 0, 4 * MIB, 3);
	gpu_hold(false);
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(taken(), 4);
	reads(in, 0, 4 * MIB, 3);
	inode_put(in);
	inode_put(other);
	fs_make_down(&make);
	up(0);
	in = file("held");
	reads(in, 0, 4 * MIB, 3);
	inode_put(in);
}

/* What is written meanwhile has a window of its own: it comes after, for readers and on the shards. */
static void writes_go_on_while_a_window_is_written(void **state)
{
	struct inode *in = file("on");

	(void)state;
	gpu_hold(true);
	write_at(in, 0, 2 * MIB, 3);
	gpu_wait(2);
	write_at(in, 5000, 3000, 5);
	reads(in, 0, 5000, 3);
	reads(in, 5000, 3000, 5);
	reads(in, 8000, 2 * MIB - 8000, 3);
	/* One that is full waits for the one before, and takes more. */
	write_at(in, MIB, MIB, 7);
	write_at(in, MIB + 100, 100, 9);
	reads(in, 8000, MIB - 8000, 3);
	reads(in, MIB, 100, 7);
	reads(in, MIB + 100, 100, 9);
	reads(in, MIB + 200, MIB - 200, 7);
	gpu_hold(false);
	assert_int_equal(file_sync(in), 0);
	reads(in, 5000, 3000, 5);
	inode_put(in);
	fs_crash(make.fs);
	up(0);
	in = file("on");
	reads(in, 0, 5000, 3);
	reads(in, 5000, 3000, 5);
	reads(in, 8000, MIB - 8000, 3);
	reads(in, MIB, 100, 7);
	reads(in, MIB + 100, 100, 9);
	reads(in, MIB + 200, MIB - 200, 7);
	inode_put(in);
}

/* A window that could not be written, and the one after it. */
static void a_failed_window_goes_before_what_came_after(void **state)
{
	struct inode *in = file("failed");

	(void)state;
	gpu_hold(true);
	write_at(in, 0, MIB, 3);
	gpu_wait(1);
	write_at(in, 0, 100000, 5);
	pthread_mutex_lock(&gpu.lock);
	gpu.nr_fail = 1;
	pthread_mutex_unlock(&gpu.lock);
	gpu_hold(false);
	/* The first error is told; then both are written. */
	while (writeback_flush(in, 0, UINT64_MAX))
		;
	assert_int_equal(file_sync(in), 0);
	reads(in, 0, 100000, 5);
	reads(in, 100000, MIB - 100000, 3);
	assert_int_equal(file_truncate(in, 50000, false), 0);
	reads(in, 0, 50000, 5);
	inode_put(in);
	fs_make_down(&make);
	up(0);
	in = file("failed");
	reads(in, 0, 50000, 5);
	inode_put(in);
}

static atomic_bool synced;

static void *sync_thread(void *arg)
{
	assert_int_equal(file_sync(arg), 0);
	atomic_store(&synced, true);
	return NULL;
}

static void sync_waits_for_the_gpu(void **state)
{
	struct inode *in = file("sync");
	pthread_t thread;

	(void)state;
	atomic_store(&synced, false);
	gpu_hold(true);
	write_at(in, 0, MIB, 3);
	gpu_wait(1);
	assert_int_equal(pthread_create(&thread, NULL, sync_thread, in), 0);
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	assert_false(atomic_load(&synced));
	gpu_hold(false);
	pthread_join(thread, NULL);
	assert_true(atomic_load(&synced));
	inode_put(in);
	fs_crash(make.fs);
	up(0);
	in = file("sync");
	reads(in, 0, MIB, 3);
	inode_put(in);
}

static void writers_wait_for_their_window(void **state)
{
	struct inode *in = file("writers");
	pthread_t thread;

	(void)state;
	gpu_hold(true);
	write_at(in, 0, MIB, 3);
	gpu_wait(1);
	assert_int_equal(pthread_create(&thread, NULL, gpu_release_later, NULL), 0);
	/* Its bytes are the GPU's until then. */
	write_at(in, 0, MIB, 5);
	pthread_join(thread, NULL);
	reads(in, 0, MIB, 5);
	assert_int_equal(file_truncate(in, MIB / 2, false), 0);
	assert_int_equal(file_sync(in), 0);
	reads(in, 0, MIB / 2, 5);
	inode_put(in);
}

static void little_is_not_offered(void **state)
{
	struct inode *in;

	(void)state;
	fs_make_down(&make);
	up(3 * MIB);
	in = file("little");
	write_at(in, 0, 2 * MIB, 3);
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(gpu.nr_offered, 0);
	write_at(in, 2 * MIB, 2 * MIB, 3);
	assert_int_equal(file_sync(in), 0);
	assert_in_range(gpu.nr_offered, 1, 2);
	reads(in, 0, 4 * MIB, 3);
	/* Another file begins anew. */
	inode_put(in);
	in = file("few");
	gpu.nr_offered = 0;
	write_at(in, 0, MIB, 3);
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(gpu.nr_offered, 0);
	inode_put(in);
}

static void pieces_are_not_offered(void **state)
{
	struct inode *in = file("pieces");

	(void)state;
	write_at(in, 0, 100 * KIB, 3);
	write_at(in, 200 * KIB, 100 * KIB, 3);
	assert_int_equal(file_sync(in), 0);
	assert_int_equal(gpu.nr_offered, 0);
	reads(in, 200 * KIB, 100 * KIB, 3);
	inode_put(in);
}

static void failures_are_tried_again(void **state)
{
	struct inode *in = file("fails");
	pthread_t thread;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR - 1);
	gpu_hold(true);
	gpu.nr_fail = 1;
	write_at(in, 0, MIB, 3);
	gpu_wait(1);
	assert_int_equal(pthread_create(&thread, NULL, gpu_release_later, NULL), 0);
	assert_int_equal(writeback_flush(in, 0, MIB), -ENOMEM);
	pthread_join(thread, NULL);
	reads(in, 0, MIB, 3);
	assert_int_equal(file_sync(in), 0);
	reads(in, 0, MIB, 3);
	assert_int_equal(gpu.nr_completed, 2);
	/* In a commit. */
	gpu_hold(true);
	write_at(in, MIB, MIB, 3);
	gpu_wait(1);
	gpu.nr_fail = 1;
	gpu_hold(false);
	file_sync(in);
	assert_int_equal(file_sync(in), 0);
	reads(in, 0, 2 * MIB, 3);
	log_set_level(LOG_LEVEL_NOTE);
	inode_put(in);
}

static void a_file_goes_while_the_gpu_has_it(void **state)
{
	struct inode *in = file("goes");
	pthread_t thread;

	(void)state;
	gpu_hold(true);
	write_at(in, 0, 3 * MIB, 3);
	gpu_wait(3);
	inode_put(in);
	assert_int_equal(pthread_create(&thread, NULL, gpu_release_later, NULL), 0);
	assert_int_equal(name_unlink(make.fs, 1, (struct name){"goes", 4}), 0);
	pthread_join(thread, NULL);
	assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
	assert_int_equal(atomic_load(&make.fs->n.nr_extents), 0);
}

static void stops_wait_for_the_gpu(void **state)
{
	struct inode *in;
	pthread_t thread;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		in = file("stops");
		gpu_hold(true);
		write_at(in, i * 2 * MIB, 2 * MIB, 3);
		inode_put(in);
		gpu_wait(2);
		assert_int_equal(pthread_create(&thread, NULL, gpu_release_later, NULL), 0);
		if (i)
			fs_crash(make.fs);
		else
			fs_make_down(&make);
		pthread_join(thread, NULL);
		assert_int_equal(gpu.nr, 0);
		up(0);
	}
	in = file("stops");
	reads(in, 0, 2 * MIB, 3);
	inode_put(in);
}

static void what_the_gpu_has_is_bounded(void **state)
{
	struct inode *in = file("bounded");

	(void)state;
	gpu_hold(true);
	write_at(in, 0, 28 * MIB, 3);
	gpu_wait(16);
	/* The others have been encoded here. */
	while (make.fs->n.by[CODEC_BY_NONE].nr + make.fs->n.by[CODEC_BY_CPU].nr +
		       make.fs->n.by[CODEC_BY_ZSTD].nr <
	       12)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_int_equal(gpu.nr_max, 16);
	gpu_hold(false);
	assert_int_equal(file_sync(in), 0);
	reads(in, 0, 28 * MIB, 3);
	inode_put(in);
}

/* Writes, syncs, cuts and readers, with a slow GPU under all. */
static void all_at_once(void **state)
{
	struct inode *in[3];
	size_t len[3] = {0};
	unsigned seed = 7;

	(void)state;
	gpu.slow = true;
	for (unsigned i = 0; i < 3; i++)
		in[i] = file((char[]){'a', (char)('0' + i), 0});
	for (unsigned n = 0; n < 150; n++) {
		unsigned i = (unsigned)rand_r(&seed) % 3;
		size_t off = (size_t)rand_r(&seed) % (6 * MIB);
		size_t more = 1 + (size_t)rand_r(&seed) % (2 * MIB);

		switch (rand_r(&seed) % 8) {
		case 0:
			assert_int_equal(file_truncate(in[i], off, false), 0);
			len[i] = MIN(len[i], off);
			break;
		case 1:
			assert_int_equal(file_sync(in[i]), 0);
			break;
		case 2:
			assert_int_equal(recompress_post(in[i]), 0);
			break;
		default:
			off = MIN(off, len[i]);
			write_at(in[i], off, more, i + 2);
			len[i] = MAX(len[i], off + more);
		}
		if (rand_r(&seed) % 4 == 0 && len[i])
			reads(in[i], 0, len[i], i + 2);
	}
	for (unsigned i = 0; i < 3; i++) {
		if (len[i])
			reads(in[i], 0, len[i], i + 2);
		inode_put(in[i]);
	}
	fs_make_down(&make);
	up(0);
	for (unsigned i = 0; i < 3; i++) {
		in[i] = file((char[]){'a', (char)('0' + i), 0});
		if (len[i])
			reads(in[i], 0, len[i], i + 2);
		inode_put(in[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(gpu_holds_up_no_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(writes_go_on_while_a_window_is_written, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_failed_window_goes_before_what_came_after, setup,
						teardown),
		cmocka_unit_test_setup_teardown(sync_waits_for_the_gpu, setup, teardown),
		cmocka_unit_test_setup_teardown(writers_wait_for_their_window, setup, teardown),
		cmocka_unit_test_setup_teardown(little_is_not_offered, setup, teardown),
		cmocka_unit_test_setup_teardown(pieces_are_not_offered, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_are_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_goes_while_the_gpu_has_it, setup, teardown),
		cmocka_unit_test_setup_teardown(stops_wait_for_the_gpu, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_gpu_has_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(all_at_once, setup, teardown),
	};
	int rc;

	pthread_create(&gpu.thread, NULL, gpu_thread, NULL);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	pthread_mutex_lock(&gpu.lock);
	gpu.quits = true;
	pthread_cond_broadcast(&gpu.cond);
	pthread_mutex_unlock(&gpu.lock);
	pthread_join(gpu.thread, NULL);
	return rc;
}
