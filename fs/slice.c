/* The head is read when the slice is made, and its sum is kept. It is read again, to be compared, when the source's time
 * of change has moved since, or was so young that a change in the same tick of the clock would not show.
 *
 * Reading gathers: runs that are near to each other are read as one window, from one call of file_peek(), and their bytes
 * are picked from where the cache has them. A gap that is shorter than a tile of the codec has none for itself, so to
 * read over it decodes nothing that would not be decoded anyway; over a longer one nothing is read. */
#include "fs/slice.h"

#include <inttypes.h>
#include <string.h>

#include "conf/base.h"
#include "conf/xxh3.h"
#include "fs/file.h"
#include "fs/slice_expr.h"
#include "fs/slice_map.h"
#include "fs/slice_npy.h"

#define HEAD_FIRST 4096	     /* bytes that have nearly every head */
#define HEAD_MAX   (1 * MIB) /* of a dtype with ten thousands of fields */
/* A longer head of a slice is made again for each read of it: slices live as long as the kernel likes. */
#define HEAD_KEPT 4096
/* Times of change come from the coarse clock, whose ticks are 10 ms at most. */
#define SETTLED_NS (100 * 1000000LL)

#define WINDOW_LEN  (1 * MIB)
#define GAP_MAX	    ((uint64_t)CODEC_TILE_LEN - 1)
#define WINDOW_RUNS 256
/* A read that is spread over many extents lets others have the worker in between. */
#define TURN_NS (5 * 1000000ULL)

/* When the head was last seen to be what it was. */
struct stamp {
	struct timespec ctime;
	uint64_t size;
	bool settled; /* a later change has another ctime */
};

struct slice {
	atomic_uint nr_ref;
	struct lock lock;
	struct stamp stamp;    /* guarded by lock */
	XXH128_hash_t src_sum; /* of the source's head */
	size_t src_head_len;
	uint64_t src_len; /* bytes that the source has at least */
	uint8_t *head;	  /* heap; NULL: longer than HEAD_KEPT */
	size_t head_len;
	struct slice_pick *pick; /* heap; what to make the head of, where it is not kept */
	struct slice_map *map;	 /* heap */
};

/* ---- the source's head ---- */

static int64_t ns_between(const struct timespec *from, const struct timespec *to)
{
	return ((int64_t)to->tv_sec - from->tv_sec) * 1000000000 + to->tv_nsec - from->tv_nsec;
}

/* Before anything of the file is read. */
static struct stamp stamp_now(struct inode *in)
{
	struct timespec now = inode_now();
	struct attr a;
	struct stamp s;
	bool past;

	inode_attr(in, &a);
	past = now.tv_sec > a.ctime.tv_sec + 1;
	s = (struct stamp){.ctime = a.ctime, .size = a.size};
	s.settled = past ||
		    (now.tv_sec >= a.ctime.tv_sec - 1 && ns_between(&a.ctime, &now) > SETTLED_NS);
	return s;
}

static bool stamp_same(const struct stamp *a, const struct stamp *b)
{
	return a->size == b->size && a->ctime.tv_sec == b->ctime.tv_sec &&
	       a->ctime.tv_nsec == b->ctime.tv_nsec;
}

/* *len: bytes that there are, up to @max. */
static int read_bytes(struct inode *in, size_t max, uint8_t *buf, size_t *len)
{
	struct file_read r;
	int err = file_peek(in, 0, max, &r);

	*len = 0;
	for (unsigned i = 0; !err && i < r.nr; i++) {
		memcpy(buf + *len, r.iov[i].iov_base, r.iov[i].iov_len);
		*len += r.iov[i].iov_len;
	}
	if (!err)
		file_read_done(in->fs, &r);
	return err;
}

/* The first @want bytes; *buf (heap) may have fewer, and more. */
static int read_head(struct inode *in, size_t want, uint8_t **buf, size_t *len)
{
	uint8_t *more = realloc(*buf, want);

	if (!more)
		return -ENOMEM;
	*buf = more;
	return read_bytes(in, want, *buf, len);
}

static int load_head(struct inode *in, uint8_t **buf, struct npy_head *head, const struct why *why)
{
	const char *what;
	size_t len = 0, head_len = 0;
	int err = read_head(in, HEAD_FIRST, buf, &len);

	if (!err)
		head_len = npy_head_len(*buf, len);
	if (head_len > HEAD_MAX)
		return why_say(why, -EINVAL,
			       "the head of the .npy file has %zu bytes, %llu is most", head_len,
			       HEAD_MAX);
	if (!err && head_len > len && len == HEAD_FIRST)
		err = read_head(in, head_len, buf, &len);
	if (err)
		return why_say(why, err, "cannot read the head: %s", strerror(-err));
	what = npy_parse(*buf, len, head);
	return what ? why_say(why, -EINVAL, "%s", what) : 0;
}

/* ---- making one ---- */

static int make_parts(struct slice *s, const struct npy_head *head, const struct slice_pick *pick,
		      const struct why *why)
{
	int err = slice_npy_head(head, pick, &s->head, &s->head_len);

	if (!err)
		err = slice_map_new(head, pick, &s->map);
	if (!err && s->head_len > HEAD_KEPT) {
		free(s->head);
		s->head = NULL;
		s->pick = malloc(sizeof(*pick));
		if (s->pick)
			*s->pick = *pick;
		else
			err = -ENOMEM;
	}
	return err ? why_say(why, err, "cannot make the head: %s", strerror(-err)) : 0;
}

static int make_pick(const char *expr, const struct npy_head *head, struct slice_pick *pick,
		     const struct why *why)
{
	struct slice_expr e;
	int err = slice_expr_parse(expr, strlen(expr), &e, why);

	return err ? err : slice_expr_resolve(&e, head->dim, head->nr_dims, pick, why);
}

static int slice_make(struct inode *in, const char *expr, struct slice *s, const struct why *why)
{
	AUTO_FREE uint8_t *bytes = NULL;
	struct slice_pick pick;
	struct npy_head head;
	int err;

	s->stamp = stamp_now(in);
	err = load_head(in, &bytes, &head, why);
	if (!err)
		err = make_pick(expr, &head, &pick, why);
	if (err)
		return err;
	s->src_head_len = (size_t)head.start;
	s->src_sum = XXH3_128bits(bytes, s->src_head_len);
	s->src_len = head.start + head.len;
	if (s->src_len > s->stamp.size)
		return why_say(why, -EINVAL,
			       "the .npy file is cut off: %" PRIu64 " bytes, of %" PRIu64,
			       s->stamp.size, s->src_len);
	return make_parts(s, &head, &pick, why);
}

int slice_new(struct inode *in, const char *expr, struct slice **out, const struct why *why)
{
	struct slice *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return why_say(why, -ENOMEM, "out of memory");
	lock_init(&s->lock);
	atomic_init(&s->nr_ref, 1);
	err = slice_make(in, expr, s, why);
	if (err)
		slice_put(s);
	else
		*out = s;
	return err;
}

struct slice *slice_ref(struct slice *s)
{
	atomic_fetch_add(&s->nr_ref, 1);
	return s;
}

void slice_put(struct slice *s)
{
	if (!s || atomic_fetch_sub(&s->nr_ref, 1) > 1)
		return;
	lock_fini(&s->lock);
	free(s->head);
	free(s->pick);
	free(s->map);
	free(s);
}

uint64_t slice_len(const struct slice *s)
{
	return s->head_len + s->map->len;
}

/* ---- is the source what it was? ---- */

bool slice_is_fresh(struct inode *in, struct slice *s)
{
	struct stamp now = stamp_now(in);
	bool fresh;

	lock_take(&s->lock);
	fresh = s->stamp.settled && stamp_same(&now, &s->stamp);
	lock_release(&s->lock);
	return fresh;
}

int slice_check(struct inode *in, struct slice *s)
{
	struct stamp now = stamp_now(in);
	AUTO_FREE uint8_t *bytes = NULL;
	XXH128_hash_t sum;
	size_t len;
	int err;

	if (slice_is_fresh(in, s))
		return 0;
	if (now.size < s->src_len)
		return -ESTALE;
	err = read_head(in, s->src_head_len, &bytes, &len);
	if (err)
		return err;
	sum = XXH3_128bits(bytes, len);
	if (len != s->src_head_len || !XXH128_isEqual(sum, s->src_sum))
		return -ESTALE;
	lock_take(&s->lock);
	s->stamp = now;
	lock_release(&s->lock);
	return 0;
}

/* ---- gathering ---- */

/* Runs that are read together. */
struct window {
	uint64_t from, to; /* in the source */
	unsigned nr;
	struct {
		struct slice_run run;
		uint8_t *to;
	} part[WINDOW_RUNS];
};

/* Pick @nr pieces of @len bytes. */
static void pick_pieces(uint8_t *to, const uint8_t *from, uint64_t nr, uint64_t len, int64_t stride)
{
#define PICK(n)                                                                                    \
	for (; nr; nr--, to += (n), from += stride)                                                \
	memcpy(to, from, (n))
	switch (len) {
	case 1:
		PICK(1);
		break;
	case 2:
		PICK(2);
		break;
	case 4:
		PICK(4);
		break;
	case 8:
		PICK(8);
		break;
	case 16:
		PICK(16);
		break;
	default:
		PICK(len);
		break;
	}
#undef PICK
}

/* Where in what was read the byte @at is: which iovec, and where in it. */
static unsigned locate(const struct file_read *r, uint64_t *at)
{
	unsigned i = 0;

	while (*at >= r->iov[i].iov_len)
		*at -= r->iov[i++].iov_len;
	return i;
}

/* A piece that lies across iovecs. */
static void copy_across(const struct file_read *r, uint64_t at, uint64_t len, uint8_t *to)
{
	for (unsigned i = locate(r, &at); len; i++, at = 0) {
		uint64_t n = MIN(len, (uint64_t)r->iov[i].iov_len - at);

		to = mempcpy(to, (const uint8_t *)r->iov[i].iov_base + at, n);
		len -= n;
	}
}

/* How many pieces from the one at @at on are whole within an iovec of @iov_len bytes. */
static uint64_t whole_pieces(const struct slice_run *run, uint64_t at, uint64_t iov_len)
{
	uint64_t ahead;

	if (at + run->len > iov_len)
		return 0;
	if (run->stride < 0)
		return at / (uint64_t)-run->stride + 1;
	ahead = iov_len - run->len - at;
	return run->stride ? ahead / (uint64_t)run->stride + 1 : 1;
}

static void gather_run(const struct file_read *r, uint64_t from, const struct slice_run *run,
		       uint8_t *to)
{
	for (uint64_t done = 0, n; done < run->nr; done += n) {
		uint64_t start = run->off + done * (uint64_t)run->stride - from, at = start;
		unsigned i = locate(r, &at);

		n = MIN(whole_pieces(run, at, r->iov[i].iov_len), run->nr - done);
		if (n) {
			pick_pieces(to, (const uint8_t *)r->iov[i].iov_base + at, n, run->len,
				    run->stride);
		} else {
			n = 1;
			copy_across(r, start, run->len, to);
		}
		to += n * run->len;
	}
}

static int window_read(struct inode *in, struct window *w)
{
	struct file_read r;
	int err;

	if (!w->nr)
		return 0;
	err = file_peek(in, w->from, (size_t)(w->to - w->from), &r);
	if (err)
		return err;
	/* Shorter than when the slice was made. */
	if (r.len < w->to - w->from)
		err = -ESTALE;
	for (unsigned i = 0; !err && i < w->nr; i++)
		gather_run(&r, w->from, &w->part[i].run, w->part[i].to);
	file_read_done(in->fs, &r);
	w->nr = 0;
	return err;
}

/* Keep of @run what one window can take. */
static uint64_t cut_run(struct slice_run *run)
{
	uint64_t stride = (uint64_t)(run->stride < 0 ? -run->stride : run->stride);

	run->len = MIN(run->len, (uint64_t)WINDOW_LEN);
	if (run->nr > 1 && stride > run->len + GAP_MAX)
		run->nr = 1;
	else if (run->nr > 1)
		run->nr = MIN(run->nr, (WINDOW_LEN - run->len) / stride + 1);
	return run->nr * run->len;
}

/* False: it is too far from the others. */
static bool window_add(struct window *w, const struct slice_run *run, uint8_t *to)
{
	uint64_t from, end;

	slice_run_hull(run, &from, &end);
	if (w->nr) {
		uint64_t gap = from > w->to ? from - w->to : w->from > end ? w->from - end : 0;

		if (w->nr == WINDOW_RUNS || gap > GAP_MAX ||
		    MAX(end, w->to) - MIN(from, w->from) > WINDOW_LEN)
			return false;
		from = MIN(from, w->from);
		end = MAX(end, w->to);
	}
	w->from = from;
	w->to = end;
	w->part[w->nr].run = *run;
	w->part[w->nr++].to = to;
	return true;
}

/* The items [@off, @off + @len), counted in bytes of them. */
static int read_items(struct inode *in, const struct slice_map *m, uint64_t off, size_t len,
		      uint8_t *buf, size_t *done)
{
	uint64_t until = mono_ns() + TURN_NS;
	struct window w;
	size_t at = 0;
	int err = 0;

	w.nr = 0;
	while (!err && at < len) {
		struct slice_run run;
		size_t n;

		slice_map_run(m, off + at, len - at, &run);
		n = (size_t)cut_run(&run);
		if (!window_add(&w, &run, buf + at)) {
			err = window_read(in, &w);
			if (mono_ns() >= until)
				break;
			window_add(&w, &run, buf + at);
		}
		at += n;
	}
	if (!err)
		err = window_read(in, &w);
	*done = at;
	return err;
}

/* Bytes of a head that is not kept. */
static int head_again(struct inode *in, const struct slice *s, size_t off, size_t len, uint8_t *to)
{
	AUTO_FREE uint8_t *bytes = NULL, *made = NULL;
	const struct why nobody = {.buf = NULL};
	struct npy_head head;
	size_t made_len;
	int err = load_head(in, &bytes, &head, &nobody);

	if (!err)
		err = slice_npy_head(&head, s->pick, &made, &made_len);
	/* The source has become another array. */
	if (err == -EINVAL || (!err && made_len != s->head_len))
		err = -ESTALE;
	if (!err)
		memcpy(to, made + off, len);
	return err;
}

int slice_read(struct inode *in, const struct slice *s, uint64_t off, size_t len, uint8_t *buf,
	       size_t *done)
{
	size_t n = off < s->head_len ? MIN(len, s->head_len - (size_t)off) : 0;
	int err = 0;

	if (n && s->head)
		memcpy(buf, s->head + off, n);
	else if (n)
		err = head_again(in, s, (size_t)off, n, buf);
	*done = 0;
	if (err)
		return err;
	if (n < len)
		err = read_items(in, s->map, off + n - s->head_len, len - n, buf + n, done);
	*done += n;
	return err;
}

bool slice_in_place(const struct slice *s, uint64_t off, uint64_t len, uint64_t *at)
{
	struct slice_run run;

	if (off < s->head_len || slice_map_run(s->map, off - s->head_len, len, &run) < len ||
	    run.nr > 1)
		return false;
	*at = run.off;
	return true;
}

uint64_t slice_spread(const struct slice *s, uint64_t off, uint64_t len)
{
	uint64_t end = off + len;
	struct slice_run first, last;

	if (end <= s->head_len)
		return 0;
	off = MAX(off, (uint64_t)s->head_len);
	slice_map_run(s->map, off - s->head_len, 1, &first);
	slice_map_run(s->map, end - 1 - s->head_len, 1, &last);
	return first.off > last.off ? first.off - last.off : last.off - first.off;
}
