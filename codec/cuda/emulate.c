/* See emulate.h. Each thread of a block is a fiber with a stack of its own; the scheduler is the
 * caller of emulate_launch(). Fibers live as long as a launch and run its blocks one after the
 * other.
 *
 * For the thread sanitizer each fiber is a thread of its own, and only what orders memory on a GPU
 * orders theirs: the begin and the end of a launch, __syncthreads() and __syncwarp(). So it finds the
 * races that emulation alone does not show, but for those between blocks. This file itself must be
 * compiled without it, and with EMULATE_TSAN.
 *
 * A fiber is ready, waits at a barrier, waits for its warp, or is through with the block. Who
 * completes a collective makes its lanes ready; when none is ready and not all are through, they
 * wait for each other. */
#include "codec/cuda/emulate.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMULATE_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#ifdef EMULATE_TSAN
#define ORDER_RELEASE(p) __tsan_release(p)
#define ORDER_ACQUIRE(p) __tsan_acquire(p)
#else
#define ORDER_RELEASE(p) ((void)(p))
#define ORDER_ACQUIRE(p) ((void)(p))
#endif
#ifndef __x86_64__
#include <ucontext.h>
#endif

#define THREADS_MAX 1024u
#define LANES	    32u
#define SHARED_MAX  8u
#define STACK_LEN   ((size_t)256 << 10)
#define GUARD_LEN   ((size_t)4096)
#define PATTERN	    0xa5

enum state { READY, AT_BARRIER, IN_WARP, THROUGH };

/* Where a fiber, or the scheduler, goes on. */
struct context {
#ifdef __x86_64__
	void *sp;
#else
	ucontext_t uc;
#endif
	void *fake_stack; /* the address sanitizer's */
	void *tsan;
};

struct fiber {
	struct context context;
	uint8_t *stack; /* above its guard page */
	unsigned idx;
	enum state state;
	struct emulate_place place;
	/* what it brought to the collective */
	enum emulate_op op;
	uint32_t mask, value, arg;
	uint32_t result;
	unsigned nr_shared; /* places of shared memory it has come by */
};

struct region {
	uint8_t *p;
	size_t len;
	struct emulate_place place;
	bool fresh; /* for the block that runs */
};

/* One launch at a time: all that follows is guarded by `turn`. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static enum emulate_order order;
static uint64_t rng = 1;
#ifdef EMULATE_TSAN
static void *tsan_fiber[THREADS_MAX];
#endif
static uint8_t *stacks; /* of all fibers there may be, each behind a guard page; kept for good */

static struct launch {
	const char *name;
	void (*body)(const void *args);
	const void *args;
	unsigned nr;
	struct fiber *fiber;
	struct fiber *self;
	struct context scheduler;
	const void *scheduler_stack;
	size_t scheduler_stack_len;
	bool ending;
	/* of the block */
	unsigned ready[THREADS_MAX];
	unsigned nr_ready, nr_barrier, nr_through;
	unsigned votes;
	struct region shared[SHARED_MAX];
	uint8_t *dynamic;
	size_t dynamic_len;
} l;

struct emulate_dim emulate_thread, emulate_block, emulate_block_dim, emulate_grid_dim;

#ifdef __x86_64__
/* Save what a call must keep, change stacks, and return on the other. */
void emulate_switch_stack(void **save, void *load);
__asm__(".text\n"
	".globl emulate_switch_stack\n"
	".hidden emulate_switch_stack\n"
	".type emulate_switch_stack, @function\n"
	"emulate_switch_stack:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size emulate_switch_stack, .-emulate_switch_stack\n");
#endif

static void fiber_main(void);

static uint32_t random_below(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 32) * n >> 32);
}

static const char *state_name(const struct fiber *f)
{
	static const char *const op[] = {
		"__syncwarp",	     "__shfl_sync",	  "__shfl_up_sync",   "__shfl_down_sync",
		"__shfl_xor_sync",   "__ballot_sync",	  "__match_any_sync", "__reduce_add_sync",
		"__reduce_min_sync", "__reduce_max_sync", "__reduce_or_sync", "__reduce_and_sync"};

	switch (f->state) {
	case READY:
		return "runs";
	case AT_BARRIER:
		return "__syncthreads";
	case IN_WARP:
		return op[f->op];
	case THROUGH:
		break;
	}
	return "has returned";
}

static bool same_place(struct emulate_place a, struct emulate_place b)
{
	return a.line == b.line && (a.file == b.file || !strcmp(a.file, b.file));
}

/* Say where all threads are, those at one place in one line, and end. */
static void die(const char *what)
{
	fprintf(stderr, "emulated kernel %s, block %u,%u, thread %u: %s\n", l.name, emulate_block.x,
		emulate_block.y, l.self ? l.self->idx : 0, what);
	for (unsigned i = 0; i < l.nr;) {
		const struct fiber *f = &l.fiber[i];
		unsigned end = i + 1;

		while (end < l.nr && l.fiber[end].state == f->state &&
		       (f->state == THROUGH || same_place(l.fiber[end].place, f->place)))
			end++;
		if (f->state == THROUGH || !f->place.file)
			fprintf(stderr, "  threads %u to %u: %s\n", i, end - 1, state_name(f));
		else
			fprintf(stderr, "  threads %u to %u: %s, last at %s:%d\n", i, end - 1,
				state_name(f), f->place.file, f->place.line);
		i = end;
	}
	fflush(stderr);
	abort();
}

static void context_make(struct fiber *f)
{
#ifdef __x86_64__
	void **sp = (void **)(void *)(f->stack + STACK_LEN);

	/* As if it had been left: six registers, then where to go. The stack is aligned as after a
	 * call, with no address to return to. */
	*--sp = NULL;
	*--sp = (void *)fiber_main;
	for (int i = 0; i < 6; i++)
		*--sp = NULL;
	f->context.sp = sp;
#else
	getcontext(&f->context.uc);
	f->context.uc.uc_stack.ss_sp = f->stack;
	f->context.uc.uc_stack.ss_size = STACK_LEN;
	f->context.uc.uc_link = NULL;
	makecontext(&f->context.uc, fiber_main, 0);
#endif
	f->context.fake_stack = NULL;
#ifdef EMULATE_TSAN
	/* They take milliseconds to make, so they are made once. */
	if (!tsan_fiber[f->idx])
		tsan_fiber[f->idx] = __tsan_create_fiber(0);
	f->context.tsan = tsan_fiber[f->idx];
#endif
}

/* @for_good: @from is never come back to. */
static void switch_to(struct context *from, struct context *to, const void *stack, size_t len,
		      bool for_good)
{
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(for_good ? NULL : &from->fake_stack, stack, len);
#else
	(void)stack;
	(void)len;
	(void)for_good;
#endif
#ifdef EMULATE_TSAN
	__tsan_switch_to_fiber(to->tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef __x86_64__
	emulate_switch_stack(&from->sp, to->sp);
#else
	swapcontext(&from->uc, &to->uc);
#endif
}

static void arrived(struct context *at)
{
#ifdef WITH_ASAN
	const void *stack;
	size_t len;

	__sanitizer_finish_switch_fiber(at->fake_stack, &stack, &len);
	if (at != &l.scheduler) {
		l.scheduler_stack = stack;
		l.scheduler_stack_len = len;
	}
#else
	(void)at;
#endif
}

static void run(struct fiber *f)
{
	l.self = f;
	emulate_thread.x = f->idx;
	switch_to(&l.scheduler, &f->context, f->stack, STACK_LEN, false);
	arrived(&l.scheduler);
	l.self = NULL;
}

/* To the scheduler; returns when it runs this fiber again. */
static void leave(bool for_good)
{
	struct fiber *f = l.self;

	switch_to(&f->context, &l.scheduler, l.scheduler_stack, l.scheduler_stack_len, for_good);
	arrived(&f->context);
}

static void fiber_main(void)
{
	arrived(&l.self->context);
	while (!l.ending) {
		ORDER_ACQUIRE(&l.fiber);
		l.body(l.args);
		ORDER_RELEASE(&l.fiber);
		l.self->state = THROUGH;
		l.nr_through++;
		leave(false);
	}
	leave(true);
}

static void make_ready(struct fiber *f)
{
	f->state = READY;
	l.ready[l.nr_ready++] = f->idx;
}

static void run_all_ready(void)
{
	unsigned now[THREADS_MAX];
	unsigned nr = l.nr_ready;

	memcpy(now, l.ready, nr * sizeof(*now));
	l.nr_ready = 0;
	for (unsigned i = 0; i < nr; i++) {
		unsigned at = order == EMULATE_FORWARD ? i : nr - 1 - i;

		if (order == EMULATE_SHUFFLED) {
			unsigned other = random_below(at + 1), idx = now[other];

			now[other] = now[at];
			now[at] = idx;
		}
		run(&l.fiber[now[at]]);
	}
}

static void run_block(void)
{
	l.nr_barrier = l.nr_through = l.nr_ready = l.votes = 0;
	for (unsigned i = 0; i < SHARED_MAX; i++)
		l.shared[i].fresh = false;
	if (l.dynamic)
		memset(l.dynamic, PATTERN, l.dynamic_len);
	for (unsigned i = 0; i < l.nr; i++) {
		l.fiber[i].nr_shared = 0;
		l.fiber[i].place = (struct emulate_place){NULL, 0};
		make_ready(&l.fiber[i]);
	}
	ORDER_RELEASE(&l.fiber);
	while (l.nr_through < l.nr) {
		if (!l.nr_ready)
			die("threads wait for each other");
		run_all_ready();
	}
	ORDER_ACQUIRE(&l.fiber);
}

static void map_stacks(void)
{
	size_t each = GUARD_LEN + STACK_LEN;

	if (stacks)
		return;
	stacks = mmap(NULL, THREADS_MAX * each, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stacks == MAP_FAILED)
		die("no memory");
	for (size_t i = 0; i < THREADS_MAX; i++)
		mprotect(stacks + i * each, GUARD_LEN, PROT_NONE);
}

static void launch_begin(void)
{
	map_stacks();
	l.fiber = calloc(l.nr, sizeof(*l.fiber));
	l.dynamic = l.dynamic_len ? malloc(l.dynamic_len) : NULL;
	if (!l.fiber || (l.dynamic_len && !l.dynamic))
		die("no memory");
#ifdef EMULATE_TSAN
	l.scheduler.tsan = __tsan_get_current_fiber();
#endif
	for (unsigned i = 0; i < l.nr; i++) {
		struct fiber *f = &l.fiber[i];

		f->idx = i;
		f->stack = stacks + i * (GUARD_LEN + STACK_LEN) + GUARD_LEN;
#ifdef WITH_ASAN
		/* What the last launch left there. */
		__asan_unpoison_memory_region(f->stack, STACK_LEN);
#endif
		context_make(f);
	}
}

static void launch_end(void)
{
	l.ending = true;
	for (unsigned i = 0; i < l.nr; i++) {
		/* A grid without blocks has started no fiber. */
		if (l.fiber[i].state == THROUGH)
			run(&l.fiber[i]);
	}
	for (unsigned i = 0; i < SHARED_MAX; i++)
		free(l.shared[i].p);
	free(l.dynamic);
	free(l.fiber);
	memset(&l, 0, sizeof(l));
}

void emulate_set_order(enum emulate_order new_order, uint64_t seed)
{
	pthread_mutex_lock(&turn);
	order = new_order;
	rng = seed ? seed : 1;
	pthread_mutex_unlock(&turn);
}

void emulate_launch(const char *name, unsigned grid_x, unsigned grid_y, unsigned nr_threads,
		    size_t dynamic_len, void (*body)(const void *args), const void *args)
{
	pthread_mutex_lock(&turn);
	l.name = name;
	l.body = body;
	l.args = args;
	l.nr = nr_threads;
	l.dynamic_len = dynamic_len;
	if (!nr_threads || nr_threads > THREADS_MAX)
		die("no such number of threads");
	launch_begin();
	emulate_grid_dim = (struct emulate_dim){grid_x, grid_y};
	emulate_block_dim = (struct emulate_dim){nr_threads, 1};
	for (unsigned y = 0; y < grid_y; y++)
		for (unsigned x = 0; x < grid_x; x++) {
			emulate_block = (struct emulate_dim){x, y};
			run_block();
		}
	launch_end();
	pthread_mutex_unlock(&turn);
}

unsigned emulate_barrier(enum emulate_vote vote, int predicate, struct emulate_place place)
{
	struct fiber *f = l.self;

	ORDER_RELEASE(&l.nr_barrier);
	f->state = AT_BARRIER;
	f->place = place;
	f->value = predicate != 0;
	l.votes += predicate != 0;
	if (++l.nr_barrier == l.nr) {
		for (unsigned i = 0; i < l.nr; i++)
			if (!same_place(l.fiber[i].place, place))
				die("a barrier, but not the same for all");
		for (unsigned i = 0; i < l.nr; i++) {
			l.fiber[i].result =
				vote == EMULATE_VOTE_COUNT ? l.votes : (uint32_t)(l.votes != 0);
			make_ready(&l.fiber[i]);
		}
		l.nr_barrier = l.votes = 0;
	}
	leave(false);
	ORDER_ACQUIRE(&l.nr_barrier);
	return f->result;
}

static uint32_t warp_result(const struct fiber *warp, const struct fiber *f)
{
	unsigned lane = f->idx % LANES, from;
	uint32_t v = f->op == EMULATE_MIN || f->op == EMULATE_AND ? UINT32_MAX : 0;

	switch (f->op) {
	case EMULATE_SYNC:
		return 0;
	case EMULATE_SHUFFLE:
		from = f->arg % LANES;
		break;
	case EMULATE_UP:
		from = lane >= f->arg ? lane - f->arg : lane;
		break;
	case EMULATE_DOWN:
		from = lane + f->arg < LANES ? lane + f->arg : lane;
		break;
	case EMULATE_XOR:
		from = (lane ^ f->arg) % LANES;
		break;
	default:
		for (unsigned i = 0; i < LANES; i++) {
			uint32_t other = warp[i].value;

			if (!(f->mask >> i & 1))
				continue;
			switch (f->op) {
			case EMULATE_BALLOT:
				v |= (uint32_t)(other != 0) << i;
				break;
			case EMULATE_MATCH:
				v |= (uint32_t)(other == f->value) << i;
				break;
			case EMULATE_ADD:
				v += other;
				break;
			case EMULATE_MIN:
				v = other < v ? other : v;
				break;
			case EMULATE_MAX:
				v = other > v ? other : v;
				break;
			case EMULATE_OR:
				v |= other;
				break;
			default:
				v &= other;
				break;
			}
		}
		return v;
	}
	if (!(f->mask >> from & 1))
		die("a shuffle from a lane that takes no part");
	return warp[from].value;
}

uint32_t emulate_warp(enum emulate_op op, uint32_t mask, uint32_t value, uint32_t arg,
		      struct emulate_place place)
{
	struct fiber *f = l.self;
	struct fiber *warp = &l.fiber[f->idx / LANES * LANES];
	bool all = true;

	if (op == EMULATE_SYNC)
		ORDER_RELEASE(warp);
	f->state = IN_WARP;
	f->place = place;
	f->op = op;
	f->mask = mask;
	f->value = value;
	f->arg = arg;
	if (!(mask >> f->idx % LANES & 1))
		die("a warp's collective whose mask lacks the caller");
	for (unsigned i = 0; i < LANES; i++) {
		if (!(mask >> i & 1))
			continue;
		if (f->idx / LANES * LANES + i >= l.nr)
			die("a warp's collective whose mask has lanes that do not exist");
		if (warp[i].state == THROUGH)
			die("a warp's collective that waits for a lane that has returned");
		all = all && warp[i].state == IN_WARP;
	}
	if (all) {
		for (unsigned i = 0; i < LANES; i++)
			if (mask >> i & 1 && (warp[i].op != op || warp[i].mask != mask ||
					      !same_place(warp[i].place, place)))
				die("a warp's collective, but not the same for all of its lanes");
		for (unsigned i = 0; i < LANES; i++)
			if (mask >> i & 1)
				warp[i].result = warp_result(warp, &warp[i]);
		for (unsigned i = 0; i < LANES; i++)
			if (mask >> i & 1)
				make_ready(&warp[i]);
	}
	leave(false);
	if (op == EMULATE_SYNC)
		ORDER_ACQUIRE(warp);
	return f->result;
}

void *emulate_shared(size_t len, struct emulate_place place)
{
	struct fiber *f = l.self;
	struct region *r;

	if (f->nr_shared == SHARED_MAX)
		die("too many places of shared memory");
	r = &l.shared[f->nr_shared++];
	if (!r->p) {
		r->p = malloc(len);
		if (!r->p)
			die("no memory");
		r->len = len;
		r->place = place;
	}
	if (r->len != len || !same_place(r->place, place))
		die("shared memory that not all threads come by in the same order");
	if (r->fresh)
		ORDER_ACQUIRE(r);
	else
		memset(r->p, PATTERN, len);
	if (!r->fresh)
		ORDER_RELEASE(r);
	r->fresh = true;
	return r->p;
}

void *emulate_dynamic(void)
{
	return l.dynamic;
}

void emulate_pause(void)
{
	struct fiber *f = l.self;

	if (order != EMULATE_SHUFFLED || random_below(4))
		return;
	make_ready(f);
	leave(false);
}
