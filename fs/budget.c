/* Parting the memory, and a thread that keeps what cannot be known beforehand within it. */
#include "fs/budget.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "conf/base.h"
#include "conf/log.h"
#include "fs/arena.h"
#include "fs/cache.h"

/* Measured with nothing in the pool and the cache: the program, its libraries, stacks, tables of the arenas. */
#define BASE_LEN (12 * MIB)
/* Of each worker, at work: its flush's scratch (two payloads, a bundle) and its stripe's (parity, a chunk). In extents. */
#define THREAD_EXTENTS 5
/* But never more than this part of all. */
#define OWN_PART 2
#define PART_MIN (8 * MIB)

/* There is too much above, and room for more cache below, this many hundredths of the maximum. */
#define OVER_PERCENT 98
#define ROOM_PERCENT 92
/* A quarter of the room at a time, lest it is too much the next moment. */
#define ROOM_STEP 4
#define CACHE_MIN (4 * MIB)

#define LOOK_MIN_MS 50
#define LOOK_MAX_MS 200

struct budget {
	struct fs *fs;
	uint64_t max;
	pthread_t thread;
	struct lock lock;
	struct cond stop_cond;
	bool stop; /* guarded by lock */
	atomic_uint_fast64_t nr_over, nr_given;
	uint64_t limit; /* of the cache; the thread's own, as the next */
	uint64_t last;	/* resident */
};

void budget_split(uint64_t memory, uint64_t cache, unsigned threads, uint64_t extent_len,
		  struct budget_parts *out)
{
	uint64_t own = BASE_LEN + THREAD_EXTENTS * extent_len * threads;
	uint64_t rest = memory - MIN(own, memory / OWN_PART);

	/* In MiB, so that nothing overflows. */
	out->cache_len = rest / MIB * (cache / MIB) / MAX(memory / MIB, (uint64_t)1) * MIB;
	out->cache_len = MIN(MAX(out->cache_len, PART_MIN), rest - PART_MIN);
	out->pool_len = rest - out->cache_len;
}

static int parse_kib(const char *status, const char *name, uint64_t *out)
{
	const char *p = strstr(status, name);
	unsigned long long kib;

	if (!p || sscanf(p + strlen(name), " %llu kB", &kib) != 1)
		return -EINVAL;
	*out = kib * KIB;
	return 0;
}

int budget_parse(const char *status, struct budget_resident *out)
{
	struct budget_resident r;

	if (parse_kib(status, "RssAnon:", &r.anon) || parse_kib(status, "RssFile:", &r.file) ||
	    parse_kib(status, "RssShmem:", &r.shmem))
		return -EINVAL;
	*out = r;
	return 0;
}

static int look(struct budget_resident *out)
{
	AUTO_FD int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	return budget_parse(text, out);
}

static uint64_t all_of(const struct budget_resident *r)
{
	return r->anon + r->shmem + r->file;
}

uint64_t budget_cache_limit(uint64_t limit, uint64_t len, uint64_t used, uint64_t resident,
			    uint64_t max)
{
	uint64_t over = max / 100 * OVER_PERCENT, room = max / 100 * ROOM_PERCENT;

	if (resident > over) {
		limit = MIN(limit, used);
		return MAX(limit - MIN(limit, resident - over), MIN(CACHE_MIN, len));
	}
	if (resident < room)
		return MIN(len, limit + (room - resident) / ROOM_STEP);
	return limit;
}

/* Cheapest first, and only what is needed. */
static void give_back(struct budget *b, struct budget_resident *r)
{
	uint64_t over = b->max / 100 * OVER_PERCENT;

	atomic_fetch_add(&b->nr_given, 1);
	malloc_trim(0);
	if (!look(r) && all_of(r) <= over)
		return;
	/* A GPU goes on using the pages that it registered, though others have taken their place. */
	if (!b->fs->p.gpu)
		arena_trim(b->fs->arena);
	cache_trim(b->fs->cache);
	if (!look(r) && all_of(r) <= over)
		return;
	index_trim(b->fs->index);
	look(r);
}

static void balance(struct budget *b)
{
	struct budget_resident r;
	struct cache_stat st;
	uint64_t limit;

	if (look(&r))
		return;
	if (all_of(&r) > b->max / 100 * OVER_PERCENT) {
		atomic_fetch_add(&b->nr_over, 1);
		give_back(b, &r);
	}
	cache_stat_get(b->fs->cache, &st);
	limit = budget_cache_limit(b->limit, st.len, st.used, all_of(&r), b->max);
	if (limit != b->limit)
		cache_limit(b->fs->cache, limit);
	if (limit < b->limit)
		cache_trim(b->fs->cache);
	b->limit = limit;
	b->last = all_of(&r);
}

static void *budget_main(void *arg)
{
	struct budget *b = arg;
	unsigned ms = LOOK_MIN_MS;

	lock_take(&b->lock);
	while (!b->stop) {
		uint64_t last = b->last;

		lock_release(&b->lock);
		balance(b);
		/* Seldom while nothing happens. */
		if (MAX(last, b->last) - MIN(last, b->last) > b->max / 200)
			ms = LOOK_MIN_MS;
		else
			ms = MIN(ms * 2, (unsigned)LOOK_MAX_MS);
		lock_take(&b->lock);
		if (!b->stop)
			cond_wait_until(&b->stop_cond, &b->lock, mono_ns() + ms * 1000000ULL);
	}
	lock_release(&b->lock);
	return NULL;
}

static int start(struct budget *b)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&b->thread, NULL, budget_main, b);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -EAGAIN;
	pthread_setname_np(b->thread, "matfs-budget");
	return 0;
}

int budget_new(struct fs *fs, uint64_t max, struct budget **out)
{
	struct budget *b = calloc(1, sizeof(*b));
	struct cache_stat st;
	int err;

	if (!b)
		return -ENOMEM;
	cache_stat_get(fs->cache, &st);
	b->fs = fs;
	b->max = max;
	b->limit = st.len;
	lock_init(&b->lock);
	cond_init(&b->stop_cond);
	err = start(b);
	if (err) {
		cond_fini(&b->stop_cond);
		lock_fini(&b->lock);
		free(b);
		return err;
	}
	*out = b;
	return 0;
}

void budget_free(struct budget *b)
{
	if (!b)
		return;
	lock_take(&b->lock);
	b->stop = true;
	lock_release(&b->lock);
	cond_signal(&b->stop_cond);
	pthread_join(b->thread, NULL);
	cond_fini(&b->stop_cond);
	lock_fini(&b->lock);
	free(b);
}

void budget_stat_get(struct fs *fs, struct budget_stat *out)
{
	*out = (struct budget_stat){.max = 0};
	if (look(&out->now))
		out->now = (struct budget_resident){.anon = 0};
	if (!fs->budget)
		return;
	out->max = fs->budget->max;
	out->nr_over = atomic_load(&fs->budget->nr_over);
	out->nr_given = atomic_load(&fs->budget->nr_given);
}
