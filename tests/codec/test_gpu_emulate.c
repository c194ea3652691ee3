/* The emulation of CUDA itself: what is right works in any order, what is wrong ends the program and
 * says where. */
#include <signal.h>
#include <sys/wait.h>

#include "codec/cuda/emulate.h"
#include "tests/codec/codec_test.h"

#define THREADS 96u
#define ALL	UINT32_MAX

#define HERE ((struct emulate_place){__FILE__, __LINE__})

static uint32_t seen[4][THREADS];

static void sums(const void *args)
{
	unsigned t = emulate_thread.x, b = emulate_block.x + 2 * emulate_block.y;
	uint32_t *sh = emulate_shared(THREADS * sizeof(*sh), HERE);
	uint32_t sum = 0;

	(void)args;
	sh[t] = t + b;
	emulate_barrier(EMULATE_VOTE_OR, 0, HERE);
	for (unsigned i = 0; i < THREADS; i++)
		sum += sh[i];
	seen[b][t] = sum;
}

static void barriers_part_writes_from_reads(void **state)
{
	(void)state;
	for (int order = EMULATE_FORWARD; order <= EMULATE_SHUFFLED; order++) {
		emulate_set_order((enum emulate_order)order, 7);
		memset(seen, 0, sizeof(seen));
		emulate_launch("sums", 2, 2, THREADS, 0, sums, NULL);
		for (unsigned b = 0; b < 4; b++)
			for (unsigned t = 0; t < THREADS; t++)
				assert_int_equal(seen[b][t],
						 THREADS * (THREADS - 1) / 2 + b * THREADS);
	}
	emulate_set_order(EMULATE_FORWARD, 0);
}

static void collectives(const void *args)
{
	unsigned t = emulate_thread.x, lane = t % 32;
	bool odd = t % 2 != 0;
	uint32_t mask = odd ? 0xaaaaaaaa : 0x55555555;

	(void)args;
	assert_int_equal(emulate_warp(EMULATE_SHUFFLE, ALL, t, 5, HERE), t / 32 * 32 + 5);
	assert_int_equal(emulate_warp(EMULATE_UP, ALL, t, 4, HERE), lane < 4 ? t : t - 4);
	assert_int_equal(emulate_warp(EMULATE_DOWN, ALL, t, 4, HERE), lane > 27 ? t : t + 4);
	assert_int_equal(emulate_warp(EMULATE_XOR, ALL, t, 16, HERE), t ^ 16);
	assert_int_equal(emulate_warp(EMULATE_BALLOT, ALL, odd, 0, HERE), 0xaaaaaaaa);
	assert_int_equal(emulate_warp(EMULATE_MATCH, ALL, odd, 0, HERE), mask);
	assert_int_equal(emulate_warp(EMULATE_ADD, ALL, 1, 0, HERE), 32);
	assert_int_equal(emulate_warp(EMULATE_MIN, ALL, t, 0, HERE), t / 32 * 32);
	assert_int_equal(emulate_warp(EMULATE_MAX, ALL, t, 0, HERE), t / 32 * 32 + 31);
	/* Parts of a warp, each with a collective of its own. */
	if (odd)
		assert_int_equal(emulate_warp(EMULATE_ADD, mask, 2, 0, HERE), 32);
	else
		assert_int_equal(emulate_warp(EMULATE_ADD, mask, 3, 0, HERE), 48);
	assert_int_equal(emulate_barrier(EMULATE_VOTE_COUNT, odd, HERE), THREADS / 2);
	assert_int_equal(emulate_barrier(EMULATE_VOTE_OR, t == 3, HERE), 1);
	assert_int_equal(emulate_barrier(EMULATE_VOTE_OR, 0, HERE), 0);
}

static void collectives_give_what_they_should(void **state)
{
	(void)state;
	for (int order = EMULATE_FORWARD; order <= EMULATE_SHUFFLED; order++) {
		emulate_set_order((enum emulate_order)order, 3);
		emulate_launch("collectives", 1, 1, THREADS, 0, collectives, NULL);
	}
	emulate_set_order(EMULATE_FORWARD, 0);
}

/* ---- mistakes ---- */

static void two_barriers(const void *args)
{
	(void)args;
	if (emulate_thread.x < 10)
		emulate_barrier(EMULATE_VOTE_OR, 0, HERE);
	else
		emulate_barrier(EMULATE_VOTE_OR, 0, HERE);
}

static void early_return(const void *args)
{
	(void)args;
	if (emulate_thread.x != 7)
		emulate_barrier(EMULATE_VOTE_OR, 0, HERE);
}

static void missing_lane(const void *args)
{
	(void)args;
	if (emulate_thread.x != 40)
		emulate_warp(EMULATE_BALLOT, ALL, 1, 0, HERE);
}

static void two_collectives(const void *args)
{
	(void)args;
	if (emulate_thread.x % 32 < 16)
		emulate_warp(EMULATE_BALLOT, ALL, 1, 0, HERE);
	else
		emulate_warp(EMULATE_BALLOT, ALL, 1, 0, HERE);
}

static void barrier_against_collective(const void *args)
{
	(void)args;
	if (emulate_thread.x % 32 < 16)
		emulate_warp(EMULATE_SYNC, ALL, 0, 0, HERE);
	else
		emulate_barrier(EMULATE_VOTE_OR, 0, HERE);
}

static void caller_not_in_mask(const void *args)
{
	(void)args;
	emulate_warp(EMULATE_ADD, 0xfffffffe, 1, 0, HERE);
}

static void shuffle_from_outside(const void *args)
{
	(void)args;
	if (emulate_thread.x % 32 < 16)
		emulate_warp(EMULATE_SHUFFLE, 0xffff, 1, 20, HERE);
}

static void mistakes_end_the_program(void **state)
{
	static const struct {
		void (*body)(const void *args);
		const char *says;
	} wrong[] = {
		{two_barriers, "not the same for all"},
		{early_return, "wait for each other"},
		{missing_lane, "has returned"},
		{two_collectives, "not the same for all of its lanes"},
		{barrier_against_collective, "wait for each other"},
		{caller_not_in_mask, "lacks the caller"},
		{shuffle_from_outside, "takes no part"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		char text[4096];
		size_t len = 0;
		ssize_t got;
		int fd[2], status;
		pid_t pid;

		assert_int_equal(pipe(fd), 0);
		pid = fork();
		if (!pid) {
			signal(SIGABRT, SIG_DFL);
			dup2(fd[1], STDERR_FILENO);
			emulate_launch("wrong", 1, 1, 64, 0, wrong[i].body, NULL);
			_exit(0);
		}
		close(fd[1]);
		while ((got = read(fd[0], text + len, sizeof(text) - 1 - len)) > 0)
			len += (size_t)got;
		text[len] = 0;
		close(fd[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status) || !strstr(text, wrong[i].says) ||
		    !strstr(text, "test_gpu_emulate.c:"))
			fail_msg("mistake %u was not found: %s", i, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(barriers_part_writes_from_reads),
		cmocka_unit_test(collectives_give_what_they_should),
		cmocka_unit_test(mistakes_end_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
