/* Runs a fuzz target without libFuzzer: over every file of its corpus, then over seeded random
 * mutations of them, so that the target is worth something with any compiler.
 *
 *   replay_<x> [CORPUS_DIR]
 *
 * A missing or empty corpus is replaced by an empty input. FUZZ_SEED and FUZZ_RUNS change the seed
 * (printed) and the number of mutations. A target that fails does so by crashing or by abort(); the
 * input at fault is then in ./replay-crash (FUZZ_CRASH_FILE names another). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX    (1u << 20)
#define RUNS_DEFAULT 5000
#define NR_SEEDS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

struct input {
	uint8_t *data;
	size_t len;
};

/* The only state that a signal handler needs: what is running now, and where to leave it. */
static struct input current;
static const char *crash_path = "replay-crash";

static void leave_input(int sig)
{
	int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd >= 0) {
		ssize_t ignored = write(fd, current.data, current.len);

		(void)ignored;
		close(fd);
	}
	signal(sig, SIG_DFL);
	raise(sig);
}

/* xorshift64*: all that is asked of it is to be the same everywhere for the same seed. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

/* Run the target on a copy of exactly @len bytes, so that a sanitizer sees a read past the end. */
static void run_one(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy) {
		perror("malloc");
		exit(1);
	}
	if (len)
		memcpy(copy, data, len);
	current = (struct input){.data = copy, .len = len};
	LLVMFuzzerTestOneInput(copy, len);
	current = (struct input){0};
	free(copy);
}

static int load_file(const char *dir, const char *name, struct input *in)
{
	char path[4096];
	struct stat st;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (stat(path, &st) || !S_ISREG(st.st_mode) || st.st_size > INPUT_MAX)
		return -EINVAL;
	f = fopen(path, "rb");
	if (!f)
		return -errno;
	in->data = malloc(st.st_size ? (size_t)st.st_size : 1);
	in->len = in->data ? fread(in->data, 1, (size_t)st.st_size, f) : 0;
	fclose(f);
	return in->data ? 0 : -ENOMEM;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static size_t load_corpus(const char *dir, struct input *seeds)
{
	struct dirent **names;
	size_t nr_seeds = 0;
	int nr_names = dir ? scandir(dir, &names, NULL, compare_names) : -1;

	for (int i = 0; i < nr_names; i++) {
		if (nr_seeds < NR_SEEDS_MAX &&
		    load_file(dir, names[i]->d_name, &seeds[nr_seeds]) == 0)
			nr_seeds++;
		free(names[i]);
	}
	if (nr_names >= 0)
		free(names);
	return nr_seeds;
}

static void change_byte(uint8_t *buf, size_t len, uint64_t *rng)
{
	static const uint8_t telling[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	size_t at = next_random(rng) % len;

	switch (next_random(rng) % 3) {
	case 0:
		buf[at] ^= (uint8_t)(1u << (next_random(rng) % 8));
		break;
	case 1:
		buf[at] = telling[next_random(rng) % sizeof(telling)];
		break;
	default:
		buf[at] = (uint8_t)next_random(rng);
		break;
	}
}

/* Overwrite 2, 4 or 8 bytes with a number near a boundary: lengths and offsets are such fields. */
static void change_number(uint8_t *buf, size_t len, uint64_t *rng)
{
	size_t width = (size_t)2 << (next_random(rng) % 3);
	uint64_t value = (UINT64_C(1) << (next_random(rng) % 64)) - next_random(rng) % 2;

	if (len < width)
		return;
	for (size_t i = 0, at = next_random(rng) % (len - width + 1); i < width; i++)
		buf[at + i] = (uint8_t)(value >> (8 * i));
}

static size_t insert_bytes(uint8_t *buf, size_t len, uint64_t *rng)
{
	size_t at = next_random(rng) % (len + 1);
	size_t nr_new = next_random(rng) % 16 + 1;

	memmove(buf + at + nr_new, buf + at, len - at);
	for (size_t i = 0; i < nr_new; i++)
		buf[at + i] = (uint8_t)next_random(rng);
	return len + nr_new;
}

static size_t delete_bytes(uint8_t *buf, size_t len, uint64_t *rng)
{
	size_t at = next_random(rng) % len;
	size_t nr_old = next_random(rng) % (len - at < 16 ? len - at : 16) + 1;

	memmove(buf + at, buf + at + nr_old, len - at - nr_old);
	return len - nr_old;
}

/* Change @buf, which has room for 16 bytes more than @len; return the new length. */
static size_t mutate_once(uint8_t *buf, size_t len, uint64_t *rng)
{
	if (len == 0)
		return insert_bytes(buf, len, rng);
	switch (next_random(rng) % 8) {
	case 0:
		return insert_bytes(buf, len, rng);
	case 1:
		return delete_bytes(buf, len, rng);
	case 2:
		return next_random(rng) % (len + 1);
	case 3:
	case 4:
		change_number(buf, len, rng);
		return len;
	default:
		change_byte(buf, len, rng);
		return len;
	}
}

static void run_mutation(const struct input *seed, uint64_t *rng)
{
	unsigned int nr_changes = 1 + next_random(rng) % 4;
	size_t len = seed->len;
	uint8_t *buf = malloc(len + 16 * (size_t)nr_changes);

	if (!buf) {
		perror("malloc");
		exit(1);
	}
	if (len)
		memcpy(buf, seed->data, len);
	for (unsigned int i = 0; i < nr_changes; i++)
		len = mutate_once(buf, len, rng);
	run_one(buf, len);
	free(buf);
}

static uint64_t number_from_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	static struct input seeds[NR_SEEDS_MAX];
	uint64_t seed = number_from_env("FUZZ_SEED", 1);
	uint64_t nr_runs = number_from_env("FUZZ_RUNS", RUNS_DEFAULT);
	uint64_t rng = seed ? seed : 1;
	size_t nr_seeds;

	if (getenv("FUZZ_CRASH_FILE"))
		crash_path = getenv("FUZZ_CRASH_FILE");
	signal(SIGABRT, leave_input);
	signal(SIGSEGV, leave_input);
	signal(SIGBUS, leave_input);
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);

	nr_seeds = load_corpus(argc > 1 ? argv[1] : NULL, seeds);
	printf("%zu inputs, %" PRIu64 " mutations, FUZZ_SEED=%" PRIu64 "\n", nr_seeds, nr_runs,
	       seed);
	fflush(stdout);
	for (size_t i = 0; i < nr_seeds; i++)
		run_one(seeds[i].data, seeds[i].len);
	if (nr_seeds == 0)
		run_one(NULL, nr_seeds++);
	for (uint64_t i = 0; i < nr_runs; i++)
		run_mutation(&seeds[next_random(&rng) % nr_seeds], &rng);
	for (size_t i = 0; i < nr_seeds; i++)
		free(seeds[i].data);
	return 0;
}
