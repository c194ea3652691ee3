/* See gpu_emulated.h. What is queued on a stream is done when it is polled, and not before: so what
 * the host may not yet touch is really in use. */
#include "codec/cuda/gpu_emulated.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/block.h"
#include "codec/cuda/gpu_kernels.h"
#include "codec/estimate.h"
#include "conf/base.h"

struct memory {
	void *p;
	size_t len;
	enum gpu_memory kind;
	struct memory *next;
};

struct gpu_emulated_dev {
	struct gpu_emulated *e;
	unsigned idx;
	struct memory *memory; /* guarded by e->lock, as all that follows */
	size_t used, pinned;
	bool lost;
	struct gpu_emulated_dev *next;
};

struct gpu_emulated_pin {
	const uint8_t *p;
	size_t len;
	struct gpu_emulated_pin *next;
};

struct op {
	enum { COPY, LAUNCH } kind;
	void *dst;
	const void *src;
	size_t len;
	struct gpu_batch batch;
	enum gpu_emulated_fault fault;
	struct op *next;
};

struct gpu_stream {
	struct gpu_emulated_dev *dev;
	struct op *first, **end;
	uint64_t due;
	bool hung;
};

static struct gpu_emulated_dev *emulated(struct gpu_dev *dev)
{
	return (struct gpu_emulated_dev *)dev;
}

void gpu_emulated_init(struct gpu_emulated *e, unsigned nr_devices)
{
	*e = (struct gpu_emulated){.nr_devices = nr_devices};
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->released, NULL);
}

static void free_memory(struct gpu_emulated_dev *d)
{
	while (d->memory) {
		struct memory *m = d->memory;

		d->memory = m->next;
		free(m->p);
		free(m);
	}
}

void gpu_emulated_fini(struct gpu_emulated *e)
{
	while (e->left) {
		struct gpu_emulated_dev *d = e->left;

		e->left = d->next;
		free_memory(d);
		free(d);
	}
	while (e->pins) {
		struct gpu_emulated_pin *pin = e->pins;

		e->pins = pin->next;
		free(pin);
	}
	pthread_cond_destroy(&e->released);
	pthread_mutex_destroy(&e->lock);
}

void gpu_emulated_plan(struct gpu_emulated *e, enum gpu_emulated_call call,
		       enum gpu_emulated_fault fault, unsigned nth, bool for_good)
{
	pthread_mutex_lock(&e->lock);
	e->plan.call = call;
	e->plan.fault = fault;
	e->plan.nth = nth;
	e->plan.for_good = for_good;
	pthread_mutex_unlock(&e->lock);
}

void gpu_emulated_heal(struct gpu_emulated *e)
{
	gpu_emulated_plan(e, GPU_CALLS, GPU_FAULT_NONE, 0, false);
}

void gpu_emulated_release(struct gpu_emulated *e)
{
	pthread_mutex_lock(&e->lock);
	e->release = true;
	pthread_cond_broadcast(&e->released);
	pthread_mutex_unlock(&e->lock);
}

unsigned gpu_emulated_calls(struct gpu_emulated *e, enum gpu_emulated_call call)
{
	unsigned nr;

	pthread_mutex_lock(&e->lock);
	nr = e->calls[call];
	pthread_mutex_unlock(&e->lock);
	return nr;
}

/* Count a call, and see whether it is to fail. With the lock. */
static enum gpu_emulated_fault fault_locked(struct gpu_emulated *e, enum gpu_emulated_call call)
{
	e->calls[call]++;
	if (e->plan.call != call || !e->plan.nth)
		return GPU_FAULT_NONE;
	if (e->plan.nth > 1) {
		e->plan.nth--;
		return GPU_FAULT_NONE;
	}
	if (!e->plan.for_good)
		e->plan.nth = 0;
	if (e->plan.fault == GPU_FAULT_STUCK) {
		e->nr_stuck++;
		while (!e->release)
			pthread_cond_wait(&e->released, &e->lock);
		e->nr_stuck--;
		return GPU_FAULT_ERROR;
	}
	return e->plan.fault;
}

/* A call for @d (or NULL). Returns its error; faults that are none for the call in *@fault. */
static int call(struct gpu_emulated *e, struct gpu_emulated_dev *d, enum gpu_emulated_call kind,
		enum gpu_emulated_fault *fault)
{
	enum gpu_emulated_fault f;
	int err = 0;

	pthread_mutex_lock(&e->lock);
	f = fault_locked(e, kind);
	if (f == GPU_FAULT_LOST && d)
		d->lost = true;
	if (d && d->lost)
		err = -EIO;
	else if (f == GPU_FAULT_ERROR || f == GPU_FAULT_LOST)
		err = kind == GPU_CALL_ALLOC ? -ENOMEM : kind == GPU_CALL_OPEN ? -ENODEV : -EIO;
	pthread_mutex_unlock(&e->lock);
	if (fault)
		*fault = f;
	return err;
}

static int driver_count(void *arg, unsigned *nr)
{
	struct gpu_emulated *e = arg;

	*nr = e->nr_devices;
	return call(e, NULL, GPU_CALL_COUNT, NULL);
}

static int driver_open(void *arg, unsigned idx, struct gpu_dev **dev, char *name, size_t name_len)
{
	struct gpu_emulated *e = arg;
	struct gpu_emulated_dev *d;
	int err;

	snprintf(name, name_len, "emulated %u", idx);
	err = call(e, NULL, GPU_CALL_OPEN, NULL);
	if (err)
		return err;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->e = e;
	d->idx = idx;
	pthread_mutex_lock(&e->lock);
	e->nr_open++;
	pthread_mutex_unlock(&e->lock);
	*dev = (struct gpu_dev *)d;
	return 0;
}

static void driver_close(struct gpu_dev *dev)
{
	struct gpu_emulated_dev *d = emulated(dev);

	pthread_mutex_lock(&d->e->lock);
	d->e->nr_open--;
	pthread_mutex_unlock(&d->e->lock);
	free_memory(d);
	free(d);
}

static void driver_abandon(struct gpu_dev *dev, bool stuck)
{
	struct gpu_emulated_dev *d = emulated(dev);

	if (!stuck) {
		driver_close(dev);
		return;
	}
	pthread_mutex_lock(&d->e->lock);
	d->e->nr_open--;
	d->next = d->e->left;
	d->e->left = d;
	pthread_mutex_unlock(&d->e->lock);
}

static int driver_alloc(struct gpu_dev *dev, enum gpu_memory kind, size_t len, void **p)
{
	struct gpu_emulated_dev *d = emulated(dev);
	size_t limit = kind == GPU_DEVICE ? d->e->memory : d->e->pinnable;
	size_t *used = kind == GPU_DEVICE ? &d->used : &d->pinned;
	struct memory *m;
	int err = call(d->e, d, GPU_CALL_ALLOC, NULL);

	if (!err && limit && *used + len > limit)
		err = -ENOMEM;
	if (err)
		return err;
	m = calloc(1, sizeof(*m));
	if (!m || posix_memalign(&m->p, 256, len)) {
		free(m);
		return -ENOMEM;
	}
	m->kind = kind;
	m->len = len;
	m->next = d->memory;
	d->memory = m;
	*used += len;
	*p = m->p;
	return 0;
}

static void driver_free(struct gpu_dev *dev, enum gpu_memory kind, void *p)
{
	struct gpu_emulated_dev *d = emulated(dev);

	for (struct memory **at = &d->memory; *at; at = &(*at)->next) {
		struct memory *m = *at;

		if (m->p != p)
			continue;
		*(kind == GPU_DEVICE ? &d->used : &d->pinned) -= m->len;
		*at = m->next;
		free(m->p);
		free(m);
		return;
	}
	abort();
}

static int driver_stream_open(struct gpu_dev *dev, struct gpu_stream **out)
{
	struct gpu_emulated_dev *d = emulated(dev);
	struct gpu_stream *s;
	struct memory *m;
	int err = call(d->e, d, GPU_CALL_STREAM, NULL);

	if (err)
		return err;
	/* In the list of memory, so that it goes with an abandoned device. */
	s = calloc(1, sizeof(*s));
	m = calloc(1, sizeof(*m));
	if (!s || !m) {
		free(s);
		free(m);
		return -ENOMEM;
	}
	s->dev = d;
	s->end = &s->first;
	m->p = s;
	m->next = d->memory;
	d->memory = m;
	*out = s;
	return 0;
}

static void driver_stream_close(struct gpu_stream *s)
{
	while (s->first) {
		struct op *op = s->first;

		s->first = op->next;
		driver_free((struct gpu_dev *)s->dev, GPU_DEVICE, op);
	}
	driver_free((struct gpu_dev *)s->dev, GPU_DEVICE, s);
}

static int queue(struct gpu_stream *s, const struct op *op, enum gpu_emulated_call kind)
{
	struct gpu_emulated *e = s->dev->e;
	enum gpu_emulated_fault fault;
	struct memory *m;
	struct op *new;
	int err = call(e, s->dev, kind, &fault);

	if (fault == GPU_FAULT_HANG)
		s->hung = true;
	if (err)
		return err;
	new = malloc(sizeof(*new));
	m = calloc(1, sizeof(*m));
	if (!new || !m) {
		free(new);
		free(m);
		return -EIO;
	}
	*new = *op;
	new->fault = fault;
	new->next = NULL;
	*s->end = new;
	s->end = &new->next;
	m->p = new;
	m->next = s->dev->memory;
	s->dev->memory = m;
	if (!s->due)
		s->due = mono_ns() + e->slow_ns;
	return 0;
}

static bool is_pinned(struct gpu_emulated_dev *d, const uint8_t *p, size_t len)
{
	for (const struct gpu_emulated_pin *pin = d->e->pins; pin; pin = pin->next)
		if (p >= pin->p && p + len <= pin->p + pin->len)
			return true;
	for (const struct memory *m = d->memory; m; m = m->next)
		if (m->kind == GPU_PINNED && m->len && p >= (uint8_t *)m->p &&
		    p + len <= (uint8_t *)m->p + m->len)
			return true;
	return false;
}

static int driver_copy_in(struct gpu_stream *s, void *d_dst, const void *h_src, size_t len)
{
	struct gpu_emulated *e = s->dev->e;

	pthread_mutex_lock(&e->lock);
	if (is_pinned(s->dev, h_src, len))
		e->bytes_pinned_in += len;
	else
		e->bytes_other_in += len;
	pthread_mutex_unlock(&e->lock);
	return queue(s, &(struct op){.kind = COPY, .dst = d_dst, .src = h_src, .len = len},
		     GPU_CALL_COPY_IN);
}

static int driver_copy_out(struct gpu_stream *s, void *h_dst, const void *d_src, size_t len)
{
	return queue(s, &(struct op){.kind = COPY, .dst = h_dst, .src = d_src, .len = len},
		     GPU_CALL_COPY_OUT);
}

static int driver_launch(struct gpu_stream *s, const struct gpu_batch *batch)
{
	return queue(s, &(struct op){.kind = LAUNCH, .batch = *batch}, GPU_CALL_LAUNCH);
}

/* Results that fit nowhere. */
static void run_nobody(const struct gpu_batch *b)
{
	for (uint32_t i = 0; i < b->nr_items; i++)
		b->result[i] = (struct gpu_result){.len = UINT32_MAX};
	b->total->out_len = 0;
}

struct encoder {
	struct block_work work;
	uint8_t filtered[GPU_TILE_LEN + 64];
	uint8_t frame[2 * GPU_TILE_LEN];
};

/* What gpu_choose.cuh does. */
static void choose_by_cpu(const struct gpu_batch *b, struct gpu_item *item, struct encoder *enc)
{
	uint32_t phase = item->phase, len = item->raw_len;
	uint32_t tiles =
		(uint32_t)MAX(div_up(len > phase ? len - phase : 1, GPU_TILE_LEN), UINT64_C(1));
	uint32_t from = MIN(phase + tiles / 2 * GPU_TILE_LEN, len);
	uint32_t to = MIN(phase + (tiles / 2 + 1) * GPU_TILE_LEN, len);
	size_t best = SIZE_MAX;

	for (uint32_t i = 0; i < item->nr_ways; i++) {
		const struct gpu_way *way = &b->way[item->way_at + i];
		size_t cost;

		filter_apply(&way->filter, enc->filtered, b->raw + item->raw_off + from, to - from,
			     0);
		cost = way->handicap +
		       estimate_tile(enc->filtered, to - from, 0, way->filter.width);
		if (cost >= best)
			continue;
		best = cost;
		item->used = (uint8_t)i;
		item->filter = way->filter;
	}
}

static void run_cpu(const struct gpu_batch *b)
{
	struct encoder *enc = malloc(sizeof(*enc));
	uint64_t at = 0;

	if (!enc)
		abort();
	for (uint32_t i = 0; i < b->nr_items; i++) {
		struct gpu_item *item = &b->item[i];
		struct gpu_result *r = &b->result[i];
		struct gpu_shape shape;
		uint64_t end = at;

		choose_by_cpu(b, item, enc);
		*r = (struct gpu_result){.out_off = at, .used = item->used};
		for (uint32_t t = 0;
		     gpu_shape_of(item->raw_len, item->phase, item->filter.width, t, &shape); t++) {
			unsigned phase = t ? 0 : item->phase & (item->filter.width - 1u);
			size_t len;

			filter_apply(&item->filter, enc->filtered,
				     b->raw + item->raw_off + shape.from, shape.len, phase);
			len = block_frame(enc->filtered, shape.len, phase, item->filter.width,
					  enc->frame, &enc->work);
			r->tile_len[t] = (uint32_t)len;
			r->len += (uint32_t)len;
			memcpy(b->out + end, enc->frame, len);
			end += len;
		}
		if (r->len <= item->room)
			at = gpu_round((uint32_t)end);
	}
	b->total->out_len = at;
	free(enc);
}

static void run_launch(const struct gpu_emulated *e, const struct op *op)
{
	const struct gpu_batch *b = &op->batch;

	switch (e->by) {
	case GPU_BY_KERNELS:
		gpu_kernels_run(b);
		break;
	case GPU_BY_CPU:
		run_cpu(b);
		break;
	case GPU_BY_NOBODY:
		run_nobody(b);
		break;
	}
	switch (op->fault) {
	case GPU_FAULT_BYTES:
		/* Not in a head, whose form is looked at. */
		b->out[b->result[0].out_off + b->result[0].tile_len[0] - 1] ^= 0x10;
		break;
	case GPU_FAULT_LENGTHS:
		b->result[0].tile_len[0]++;
		break;
	case GPU_FAULT_PLACE:
		b->result[0].out_off += UINT64_C(1) << 40;
		break;
	case GPU_FAULT_WAY:
		b->result[0].used = 200;
		break;
	default:
		break;
	}
}

static int driver_poll(struct gpu_stream *s)
{
	struct gpu_emulated *e = s->dev->e;
	bool lost;

	pthread_mutex_lock(&e->lock);
	lost = s->dev->lost;
	pthread_mutex_unlock(&e->lock);
	if (lost)
		return -EIO;
	if (s->hung || mono_ns() < s->due)
		return -EAGAIN;
	s->due = 0;
	while (s->first) {
		struct op *op = s->first;

		if (op->kind == COPY)
			memcpy(op->dst, op->src, op->len);
		else
			run_launch(e, op);
		s->first = op->next;
		if (!s->first)
			s->end = &s->first;
		driver_free((struct gpu_dev *)s->dev, GPU_DEVICE, op);
	}
	return 0;
}

static int driver_pin(void *arg, void *p, size_t len)
{
	struct gpu_emulated *e = arg;
	struct gpu_emulated_pin *pin;
	int err = call(e, NULL, GPU_CALL_PIN, NULL);

	if (err)
		return err;
	pthread_mutex_lock(&e->lock);
	for (pin = e->pins; pin && pin->p != p; pin = pin->next)
		;
	if (!pin) {
		pin = calloc(1, sizeof(*pin));
		if (pin) {
			*pin = (struct gpu_emulated_pin){p, len, e->pins};
			e->pins = pin;
		}
	}
	pthread_mutex_unlock(&e->lock);
	return pin ? 0 : -ENOMEM;
}

static void driver_unpin(void *arg, void *p)
{
	struct gpu_emulated *e = arg;

	pthread_mutex_lock(&e->lock);
	for (struct gpu_emulated_pin **at = &e->pins; *at; at = &(*at)->next) {
		struct gpu_emulated_pin *pin = *at;

		if (pin->p != p)
			continue;
		*at = pin->next;
		free(pin);
		break;
	}
	pthread_mutex_unlock(&e->lock);
}

const struct gpu_driver gpu_emulated_driver = {
	.name = "emulated",
	.count = driver_count,
	.open = driver_open,
	.close = driver_close,
	.abandon = driver_abandon,
	.alloc = driver_alloc,
	.free = driver_free,
	.stream_open = driver_stream_open,
	.stream_close = driver_stream_close,
	.copy_in = driver_copy_in,
	.copy_out = driver_copy_out,
	.launch = driver_launch,
	.poll = driver_poll,
	.pin = driver_pin,
	.unpin = driver_unpin,
};
