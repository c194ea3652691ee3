/* Flushes by way of codec.h's GPUs, an emulated one: what comes back is what was written, whatever the GPU does. */
#include "tests/fs/fs_bytes.h"

#include <pthread.h>

#include "codec/cuda/gpu_emulated.h"
#include "conf/log.h"
#include "fs/file.h"
#include "fs/name.h"
#include "fs/recompress.h"
#include "fs/writeback.h"

static struct fs_make make;
static struct gpu_emulated emulated;

static void up(void)
{
	struct codec_gpu_params gp = {.want = CODEC_GPU_ON,
				      .nr_threads = 1,
				      .driver = &gpu_emulated_driver,
				      .driver_arg = &emulated};
	struct fs_params p = {.memory_len = 16 * MIB, .cache_len = 4 * MIB, .threads = 1};
	char why[512] = "";

	if (codec_gpu_open(&gp, &p.gpu, why, sizeof(why)))
		fail_msg("%s", why);
	fs_make_up_with(&make, p, false);
}

static int setup(void **state)
{
	(void)state;
	gpu_emulated_init(&emulated, 1);
	fs_make_init(&make, 1);
	fs_make_down(&make);
	up();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fs_make_fini(&make);
	gpu_emulated_fini(&emulated);
	return 0;
}

static struct inode *file(void)
{
	return fs_bytes_file(&make, "f");
}

/* A course of 32-bit numbers with noise, so that nothing comes twice. */
static uint8_t byte_at(uint64_t off, unsigned salt)
{
	uint64_t i = off / 4, z = (i + 1) * 0x9e3779b97f4a7c15ULL;
	uint32_t v;

	(void)salt;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	v = (uint32_t)(i * 40 + (z >> 57));
	return (uint8_t)(v >> 8 * (off % 4));
}

static void write_at(struct inode *in, uint64_t off, size_t len)
{
	fs_bytes_write(in, off, len, byte_at, 0);
}

static void reads(struct inode *in, uint64_t off, size_t len)
{
	fs_bytes_check(in, off, len, byte_at, 0);
}

/* A device that failed is closed by its thread, which a stop at that moment would take for a hang. */
static void gpu_is_closed(void)
{
	for (unsigned nr = 1; nr;) {
		usleep(10000);
		pthread_mutex_lock(&emulated.lock);
		nr = emulated.nr_open;
		pthread_mutex_unlock(&emulated.lock);
	}
	/* And its memory is given back, which takes a while under sanitizers. */
	sleep(1);
}

static void extents_come_from_the_gpu(void **state)
{
	struct inode *in = file();
	struct codec_gpu_stat st;

	(void)state;
	write_at(in, 0, 3 * MIB);
	assert_int_equal(file_sync(in), 0);
	write_at(in, 3 * MIB, MIB);
	assert_int_equal(file_sync(in), 0);
	/* The first one tells what the others are. */
	assert_true(atomic_load(&make.fs->n.by[CODEC_BY_GPU].nr) >= 1);
	assert_true(atomic_load(&make.fs->n.by[CODEC_BY_GPU].stored) <
		    atomic_load(&make.fs->n.by[CODEC_BY_GPU].raw) / 2);
	assert_int_equal(codec_gpu_count(make.fs->p.gpu), 1);
	codec_gpu_stat(make.fs->p.gpu, 0, &st);
	assert_true(st.raw_bytes > 0);
	assert_int_equal(st.nr_wrong, 0);
	/* Straight from the pool. */
	assert_true(emulated.bytes_pinned_in > 0);
	reads(in, 0, 4 * MIB);
	inode_put(in);
	fs_make_down(&make);
	up();
	in = file();
	reads(in, 0, 4 * MIB);
	inode_put(in);
}

static void wrong_bytes_are_not_stored(void **state)
{
	static const enum gpu_emulated_fault faults[] = {GPU_FAULT_BYTES, GPU_FAULT_LENGTHS,
							 GPU_FAULT_PLACE, GPU_FAULT_WAY};
	struct inode *in = file();
	struct codec_gpu_stat st;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR - 1);
	/* The first extent of a file is the CPU's. */
	write_at(in, ARRAY_LEN(faults) * MIB, MIB);
	assert_int_equal(file_sync(in), 0);
	for (unsigned i = 0; i < ARRAY_LEN(faults); i++) {
		gpu_emulated_plan(&emulated, GPU_CALL_LAUNCH, faults[i], 1, true);
		write_at(in, i * MIB, MIB);
		assert_int_equal(file_sync(in), 0);
		gpu_emulated_heal(&emulated);
	}
	log_set_level(LOG_LEVEL_NOTE);
	codec_gpu_stat(make.fs->p.gpu, 0, &st);
	assert_true(st.nr_failed + st.nr_wrong > 0);
	reads(in, 0, (ARRAY_LEN(faults) + 1) * MIB);
	inode_put(in);
	gpu_is_closed();
	fs_make_down(&make);
	up();
	in = file();
	reads(in, 0, (ARRAY_LEN(faults) + 1) * MIB);
	inode_put(in);
}

static void the_cpu_goes_on_without(void **state)
{
	struct inode *in = file();

	(void)state;
	log_set_level(LOG_LEVEL_ERROR - 1);
	write_at(in, 0, 2 * MIB);
	assert_int_equal(file_sync(in), 0);
	gpu_emulated_plan(&emulated, GPU_CALL_LAUNCH, GPU_FAULT_LOST, 1, true);
	write_at(in, 2 * MIB, 2 * MIB);
	assert_int_equal(file_sync(in), 0);
	write_at(in, 4 * MIB, MIB);
	assert_int_equal(file_sync(in), 0);
	log_set_level(LOG_LEVEL_NOTE);
	reads(in, 0, 5 * MIB);
	inode_put(in);
	gpu_is_closed();
}

static void a_stop_waits_for_what_it_has(void **state)
{
	struct inode *in = file();

	(void)state;
	write_at(in, 0, MIB);
	assert_int_equal(file_sync(in), 0);
	emulated.slow_ns = 200000000;
	write_at(in, MIB, 2 * MIB);
	inode_put(in);
	fs_make_down(&make);
	up();
	in = file();
	reads(in, 0, 3 * MIB);
	write_at(in, 3 * MIB, MIB);
	inode_put(in);
	fs_crash(make.fs);
	up();
	in = file();
	reads(in, 0, 3 * MIB);
	inode_put(in);
}

static void recompressing_goes_there_too(void **state)
{
	struct inode *in = file();
	struct recompress_stat st;
	uint64_t nr;

	(void)state;
	for (unsigned i = 0; i < 24; i++) {
		write_at(in, i * 128 * KIB, 128 * KIB);
		assert_int_equal(writeback_flush(in, 0, UINT64_MAX), 0);
	}
	assert_int_equal(file_sync(in), 0);
	nr = atomic_load(&make.fs->n.by[CODEC_BY_GPU].nr);
	assert_int_equal(recompress_post(in), 0);
	do {
		recompress_stat_get(make.fs->recompress, &st);
		usleep(1000);
	} while (st.nr_queued);
	assert_int_equal(st.nr_failed, 0);
	assert_int_equal(st.nr_extents, 3);
	assert_true(atomic_load(&make.fs->n.by[CODEC_BY_GPU].nr) > nr);
	reads(in, 0, 3 * MIB);
	inode_put(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(extents_come_from_the_gpu, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_bytes_are_not_stored, setup, teardown),
		cmocka_unit_test_setup_teardown(the_cpu_goes_on_without, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stop_waits_for_what_it_has, setup, teardown),
		cmocka_unit_test_setup_teardown(recompressing_goes_there_too, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
