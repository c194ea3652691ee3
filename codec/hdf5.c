/* HDF5: a superblock leads to the root group's object header, and groups to those of their members.
 * All numbers are little-endian. Addresses (ADDR) and lengths (LEN) are of the sizes that the
 * superblock tells, counted from where it stands; all ones is no address.
 *
 *   superblock   at 0, 512, 1024, ...: 0x89 "HDF" CR LF 0x1A LF, version
 *     0, 1   size of ADDR at 13, of LEN at 14; at 24 (28): 4 ADDR, then the root's symbol
 *     2, 3   size of ADDR at 9, of LEN at 10; at 12: 3 ADDR, then that of the root's header
 *   object header: messages, in one or more pieces
 *     1      version 1, 0, 2 messages, 4 references, 4 length, 4 padding, then messages
 *            (2 type, 2 size, 1 flags, 3 unused, data)
 *     2      "OHDR", version 2, flags; 16 for times (flag 0x20), 4 (flag 0x10), length of
 *            1 << (flags & 3), then messages (1 type, 2 size, 1 flags, 2 order if flag 4, data),
 *            4 checksum
 *   group, old   "TREE", 1 type (0), 1 level, 2 entries, 2 ADDR, then for each a LEN, an ADDR;
 *                leaves: "SNOD", 1 version, 1, 2 symbols, each ADDR name, ADDR header, 24 bytes
 *   group, new   link messages in the header; those of many members are in a heap. Its blocks,
 *                and object headers of version 2, are then found by their first bytes: "FHDB",
 *                1 version, ADDR, 8 more, then link messages
 *
 * Pieces of a file may point anywhere, and at each other. Addresses to visit wait in a stack of
 * fixed size, and every byte looked at is paid for from a budget that is linear in the length, so
 * that loops come to an end. */
#include "codec/hdf5.h"

#include "codec/head_item.h"
#include "conf/base.h"
#include "conf/bytes.h"

#define STACK_MAX      512u
#define SEEN_MAX       256u /* a power of two */
#define PIECES_MAX     32u  /* of an object header */
#define TYPES_MAX      4u   /* datatypes within each other */
#define BUDGET_MORE    4096u
#define HEAP_BLOCK_MAX 65536u /* libhdf5's own limit */
#define GUESS_MIN      65536u /* bytes of datasets seen, for a guess at others */
#define LINK_VERSION   1u
#define AXES_MAX       32u /* the format's own limit */

enum message {
	MESSAGE_SPACE = 0x01,
	MESSAGE_TYPE = 0x03,
	MESSAGE_LINK_INFO = 0x02,
	MESSAGE_LINK = 0x06,
	MESSAGE_LAYOUT = 0x08,
	MESSAGE_FILTERS = 0x0b,
	MESSAGE_MORE = 0x10,
	MESSAGE_SYMBOLS = 0x11,
};

#define MESSAGE_SHARED 0x02u /* flag: the message is elsewhere */

enum layout {
	LAYOUT_NONE, /* in the head, elsewhere, or not allocated yet */
	LAYOUT_PIECE,
	LAYOUT_CHUNKS,
};

/* The file, and the way through it. */
struct walk {
	const uint8_t *p;
	size_t len;
	uint64_t base; /* where addresses count from */
	unsigned addr_size;
	unsigned len_size;
	struct head_list *l;
	uint64_t budget;
	bool cut;    /* something is not in these bytes, or was not visited */
	bool heaped; /* a group's members are in a heap */
	bool chunked;
	unsigned nr_stack;
	uint64_t stack[STACK_MAX];
	uint64_t seen[SEEN_MAX]; /* the last address of each hash, plus 1 */
};

struct span {
	uint64_t addr;
	uint64_t len;
};

/* What an object header says. */
struct object {
	struct head_array type;
	uint64_t dims[AXES_MAX];
	unsigned nr_dims;
	bool has_dims;
	enum layout layout;
	struct span place;
	bool has_len;
	uint64_t chunk[AXES_MAX];
	unsigned nr_chunk; /* axes of a chunk; 0: not told */
	bool filtered;
	unsigned nr_pieces; /* still to be read */
	unsigned nr_seen;
	struct span piece[PIECES_MAX];
};

/* @n bytes at @addr, NULL where they are not in sight. */
static const uint8_t *bytes_at(struct walk *w, uint64_t addr, uint64_t n)
{
	uint64_t at;
	uint64_t end;

	if (__builtin_add_overflow(w->base, addr, &at) || __builtin_add_overflow(at, n, &end) ||
	    end > w->len || n > w->budget) {
		w->cut = true;
		return NULL;
	}
	w->budget -= n;
	return w->p + at;
}

static uint64_t none_of(unsigned size)
{
	return size == 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1;
}

static uint64_t take_uint(struct rbuf *r, unsigned size)
{
	const uint8_t *p = rbuf_skip(r, size);

	return p ? head_item_uint(p, size, false) : 0;
}

/* UINT64_MAX where there is none. */
static uint64_t take_addr(const struct walk *w, struct rbuf *r)
{
	uint64_t addr = take_uint(r, w->addr_size);

	return r->bad || addr == none_of(w->addr_size) ? UINT64_MAX : addr;
}

static void visit_later(struct walk *w, uint64_t addr)
{
	if (addr == UINT64_MAX)
		return;
	if (w->nr_stack == STACK_MAX)
		w->cut = true;
	else
		w->stack[w->nr_stack++] = addr;
}

/* Mostly true for what was visited; never for what was not. */
static bool seen_before(struct walk *w, uint64_t addr)
{
	uint64_t *slot = &w->seen[addr * UINT64_C(0x9e3779b97f4a7c15) >> 56 & (SEEN_MAX - 1)];
	bool seen = *slot == addr + 1;

	*slot = addr + 1;
	return seen;
}

/* Datatypes: 1 class and version, 3 bits, 4 size, then what the class needs. */

static bool take_type(struct rbuf *r, unsigned depth, struct head_array *a);

/* A name of a member, padded to 8 before version 3. Its first letter is returned, 0 for a bad
 * one. */
static char take_name(struct rbuf *r, unsigned version)
{
	const uint8_t *p = r->p + r->pos;
	const uint8_t *end = r->bad ? NULL : memchr(p, '\0', r->len - r->pos);
	size_t len = end ? (size_t)(end - p) + 1 : 0;

	if (!end || !rbuf_skip(r, version < 3 ? (size_t)round_up(len, 8) : len))
		return '\0';
	return (char)*p;
}

/* Take the next member of a compound of @size bytes. */
static bool take_member(struct rbuf *r, unsigned version, uint64_t size, unsigned depth,
			struct head_array *a, char *name, uint64_t *off)
{
	unsigned off_size = 4;

	*name = take_name(r, version);
	if (version >= 3)
		off_size = size < 1u << 8 ? 1 : size < 1u << 16 ? 2 : size < 1u << 24 ? 3 : 4;
	*off = take_uint(r, off_size);
	/* Version 1: number of axes, order, 4 lengths. The number of bytes follows from the size. */
	if (version == 1)
		rbuf_skip(r, 28);
	return !r->bad && take_type(r, depth, a);
}

static bool take_compound(struct rbuf *r, unsigned version, unsigned nr, uint64_t size,
			  unsigned depth, struct head_array *a)
{
	struct head_array all = {.item = 0};
	struct head_array member = {.item = 0};
	char names[2] = {0};

	for (unsigned i = 0; i < nr; i++) {
		char name;
		uint64_t off;

		member = (struct head_array){.item = 0};
		if (!take_member(r, version, size, depth + 1, &member, &name, &off) ||
		    !head_item_join(&all, &member) || off % all.width)
			return false;
		if (i < 2)
			names[i] = (char)(name | 0x20);
	}
	if (nr == 2 && names[0] == 'r' && names[1] == 'i' && member.type == HEAD_FLOAT &&
	    all.type == HEAD_FLOAT && !member.record && size == 2u * all.width)
		return head_item_number(a, HEAD_COMPLEX, size, all.big_endian);
	return head_item_record(a, &all, size);
}

static bool take_float(struct rbuf *r, unsigned bits, uint64_t size, struct head_array *a)
{
	bool big = bits & 1;
	const uint8_t *p = rbuf_skip(r, 12);

	/* With the second order bit it is a VAX's. The 6th byte is the exponent's bits. */
	if (!p || bits & 0x40)
		return false;
	return head_item_number(a, size == 2 && p[5] == 8 ? HEAD_BFLOAT : HEAD_FLOAT, size, big);
}

/* An enumeration; that of two one-byte values is a bool. */
static bool take_enum(struct rbuf *r, unsigned nr, uint64_t size, unsigned depth,
		      struct head_array *a)
{
	if (!take_type(r, depth + 1, a) || a->item != size)
		return false;
	if (size == 1 && nr == 2)
		a->type = HEAD_BOOL;
	/* Names and values follow; only a compound would need their length. */
	return depth == 0;
}

static bool take_array(struct rbuf *r, unsigned version, uint64_t size, unsigned depth,
		       struct head_array *a)
{
	struct head_array number = {.item = 0};
	unsigned nr = rbuf_u8(r);

	if (version < 3)
		rbuf_skip(r, 3);
	rbuf_skip(r, (size_t)nr * (version < 3 ? 8 : 4));
	return take_type(r, depth + 1, &number) && size % number.item == 0 &&
	       head_item_record(a, &number, size);
}

/* Take a datatype. Returns false for what is no numbers of one width. */
static bool take_type(struct rbuf *r, unsigned depth, struct head_array *a)
{
	uint8_t class = rbuf_u8(r);
	unsigned bits = (unsigned)take_uint(r, 3);
	uint64_t size = rbuf_u32(r);
	struct head_array text = {.type = HEAD_OTHER, .width = 1};

	if (r->bad || depth == TYPES_MAX)
		return false;
	switch (class & 0x0f) {
	case 0:
		rbuf_skip(r, 4);
		return head_item_number(a, bits & 8 ? HEAD_INT : HEAD_UINT, size, bits & 1);
	case 1:
		return take_float(r, bits, size, a);
	case 3:
		return head_item_record(a, &text, size);
	case 4:
		rbuf_skip(r, 4);
		return head_item_number(a, HEAD_UINT, size, bits & 1);
	case 6:
		return take_compound(r, class >> 4, bits & 0xffff, size, depth, a);
	case 8:
		return take_enum(r, bits & 0xffff, size, depth, a);
	case 10:
		return take_array(r, class >> 4, size, depth, a);
	default:
		return false;
	}
}

/* Messages. */

static void take_space(const struct walk *w, struct rbuf *r, struct object *o)
{
	uint8_t version = rbuf_u8(r);
	unsigned nr = rbuf_u8(r);

	rbuf_u8(r);
	/* Version 2's type: 0 one item, 1 an array, 2 nothing. */
	if ((version != 1 && version != 2) || nr > AXES_MAX || (rbuf_u8(r) == 2 && version == 2))
		return;
	if (version == 1)
		rbuf_skip(r, 4);
	for (unsigned i = 0; i < nr; i++)
		o->dims[i] = take_uint(r, w->len_size);
	o->nr_dims = nr;
	o->has_dims = !r->bad;
}

/* The axes of a chunk; one more, the fastest, is the item's bytes. */
static void take_chunk(struct rbuf *r, struct object *o, unsigned nr, unsigned size)
{
	if (nr < 2 || nr - 1 > AXES_MAX || size > 8)
		return;
	for (unsigned i = 0; i + 1 < nr; i++)
		o->chunk[i] = take_uint(r, size);
	take_uint(r, size);
	o->nr_chunk = r->bad ? 0 : nr - 1;
}

/* Versions 1 and 2: axes, class, 5 unused, ADDR, axes of 4 bytes each. */
static void take_layout_old(const struct walk *w, struct rbuf *r, struct object *o)
{
	unsigned nr = rbuf_u8(r);
	uint8_t class = rbuf_u8(r);

	rbuf_skip(r, 5);
	if (class != 1 && class != 2)
		return;
	o->place.addr = take_addr(w, r);
	if (class == 2)
		take_chunk(r, o, nr, 4);
	o->layout = class == 1 ? LAYOUT_PIECE : LAYOUT_CHUNKS;
}

/* Version 4: flags, axes, size of an axis, axes, index; a single chunk has no index. */
static void take_chunks_new(const struct walk *w, struct rbuf *r, struct object *o)
{
	uint8_t flags = rbuf_u8(r);
	unsigned nr = rbuf_u8(r);

	take_chunk(r, o, nr, rbuf_u8(r));
	o->layout = LAYOUT_CHUNKS;
	if (rbuf_u8(r) == 1 && !(flags & 2)) {
		o->layout = LAYOUT_PIECE;
		o->place.addr = take_addr(w, r);
	}
}

static void take_layout(const struct walk *w, struct rbuf *r, struct object *o)
{
	uint8_t version = rbuf_u8(r);
	uint8_t class;
	unsigned nr;

	if (version < 3) {
		take_layout_old(w, r, o);
		return;
	}
	class = rbuf_u8(r);
	if (class == 1) {
		o->layout = LAYOUT_PIECE;
		o->place.addr = take_addr(w, r);
		o->place.len = take_uint(r, w->len_size);
		o->has_len = true;
	} else if (class == 2 && version == 3) {
		o->layout = LAYOUT_CHUNKS;
		nr = rbuf_u8(r);
		o->place.addr = take_addr(w, r);
		take_chunk(r, o, nr, 4);
	} else if (class == 2) {
		take_chunks_new(w, r, o);
	}
}

/* A link: version, flags; type (flag 8), 8 order (flag 4), 1 charset (flag 16), length of
 * 1 << (flags & 3), name; ADDR of the object when it is a hard link (type 0), else 2 bytes of
 * length and where it leads. */
static void take_link(struct walk *w, struct rbuf *r)
{
	uint8_t type = 0;
	uint8_t flags;
	uint64_t name_len;

	rbuf_u8(r);
	flags = rbuf_u8(r);
	if (flags & 8)
		type = rbuf_u8(r);
	rbuf_skip(r, (flags & 4 ? 8 : 0) + (flags & 16 ? 1 : 0));
	name_len = take_uint(r, 1u << (flags & 3));
	rbuf_skip(r, (size_t)MIN(name_len, (uint64_t)SIZE_MAX));
	if (type == 0)
		visit_later(w, take_addr(w, r));
	else
		rbuf_skip(r, rbuf_u16(r));
}

/* Where a group's links are: version, flags, 8 order (flag 1), ADDR of a heap, if there is one. */
static void take_link_info(struct walk *w, struct rbuf *r)
{
	uint8_t flags;

	rbuf_u8(r);
	flags = rbuf_u8(r);
	rbuf_skip(r, flags & 1 ? 8 : 0);
	if (take_addr(w, r) != UINT64_MAX)
		w->heaped = true;
}

static void take_message(struct walk *w, struct object *o, unsigned type, uint8_t flags,
			 struct rbuf r)
{
	struct span more;

	if (flags & MESSAGE_SHARED)
		return;
	switch (type) {
	case MESSAGE_SPACE:
		take_space(w, &r, o);
		break;
	case MESSAGE_TYPE:
		if (!take_type(&r, 0, &o->type))
			o->type.item = 0;
		break;
	case MESSAGE_LAYOUT:
		take_layout(w, &r, o);
		break;
	case MESSAGE_FILTERS:
		rbuf_u8(&r);
		o->filtered = rbuf_u8(&r) > 0;
		break;
	case MESSAGE_LINK:
		take_link(w, &r);
		break;
	case MESSAGE_LINK_INFO:
		take_link_info(w, &r);
		break;
	case MESSAGE_SYMBOLS:
		visit_later(w, take_addr(w, &r));
		break;
	case MESSAGE_MORE:
		more.addr = take_addr(w, &r);
		more.len = take_uint(&r, w->len_size);
		if (r.bad || o->nr_seen == PIECES_MAX)
			break;
		o->piece[o->nr_pieces++] = more;
		o->nr_seen++;
		break;
	default:
		break;
	}
}

/* @flags_new  the flags of a header of version 2; -1: of version 1 */
static void take_messages(struct walk *w, struct object *o, struct rbuf r, int flags_new)
{
	unsigned head_len = flags_new < 0 ? 8 : flags_new & 4 ? 6 : 4;

	while (!r.bad && r.len - r.pos >= head_len) {
		unsigned type = flags_new < 0 ? rbuf_u16(&r) : rbuf_u8(&r);
		uint16_t size = rbuf_u16(&r);
		uint8_t flags = rbuf_u8(&r);
		const uint8_t *p;

		rbuf_skip(&r, head_len - (flags_new < 0 ? 5 : 4));
		p = rbuf_skip(&r, size);
		if (p)
			take_message(w, o, type, flags, rbuf_init(p, size));
	}
}

/* Datasets. */

/* As though a chunk were an array of its own, for its rows. */
static void add_chunks(struct walk *w, struct object *o, uint64_t len)
{
	struct head_array a = o->type;

	if (o->nr_chunk == 0 || !head_item_shape(&a, 0, o->chunk, o->nr_chunk, false))
		head_item_unshape(&a, 0, 0);
	/* One that grows may be empty yet. */
	head_list_note(w->l, &a, MAX(len, MAX(a.end, (uint64_t)a.item)));
	w->chunked = true;
}

static void add_dataset(struct walk *w, struct object *o)
{
	static const struct head_array nothing = {.item = 0};
	struct head_array a = o->type;
	uint64_t start;

	if (!o->has_dims || o->layout == LAYOUT_NONE || a.item == 0 ||
	    !head_item_shape(&a, 0, o->dims, o->nr_dims, false))
		return;
	if (o->filtered) {
		head_list_note(w->l, &nothing, a.end);
	} else if (o->layout == LAYOUT_CHUNKS) {
		add_chunks(w, o, a.end);
	} else if (o->place.addr != UINT64_MAX && (!o->has_len || o->place.len == a.end) &&
		   !__builtin_add_overflow(w->base, o->place.addr, &start) &&
		   head_item_shape(&a, start, o->dims, o->nr_dims, false)) {
		head_list_add(w->l, &a);
	}
}

/* Visits. Each is told that its first bytes are right. */

static void visit_pieces(struct walk *w, struct object *o, int flags_new)
{
	static const unsigned frame_len = 4; /* "OCHK" and checksum, in version 2 */

	while (o->nr_pieces) {
		struct span s = o->piece[--o->nr_pieces];
		const uint8_t *p;

		if (s.addr == UINT64_MAX || !(p = bytes_at(w, s.addr, s.len)))
			continue;
		if (flags_new >= 0) {
			if (s.len < 2 * frame_len || memcmp(p, "OCHK", frame_len) != 0)
				continue;
			p += frame_len;
			s.len -= 2 * frame_len;
		}
		take_messages(w, o, rbuf_init(p, (size_t)s.len), flags_new);
	}
	add_dataset(w, o);
}

static void visit_header_old(struct walk *w, uint64_t addr, const uint8_t *head)
{
	struct object o = {.layout = LAYOUT_NONE, .nr_pieces = 1, .nr_seen = 1};

	o.piece[0] = (struct span){addr + 16, get_u32(head + 8)};
	visit_pieces(w, &o, -1);
}

static void visit_header_new(struct walk *w, uint64_t addr)
{
	struct object o = {.layout = LAYOUT_NONE};
	const uint8_t *p = bytes_at(w, addr, 6);
	uint8_t flags = p ? p[5] : 0;
	unsigned times_len = (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0);
	unsigned len_size = 1u << (flags & 3);
	uint64_t len;

	if (!p || p[4] != 2)
		return;
	addr += 6 + times_len;
	p = bytes_at(w, addr, len_size);
	if (!p)
		return;
	len = head_item_uint(p, len_size, false);
	p = bytes_at(w, addr + len_size, len);
	if (!p)
		return;
	take_messages(w, &o, rbuf_init(p, (size_t)len), flags);
	visit_pieces(w, &o, flags);
}

static void visit_tree(struct walk *w, uint64_t addr, const uint8_t *head)
{
	unsigned nr = get_u16(head + 6);
	uint64_t entry_len = w->len_size + w->addr_size;
	const uint8_t *p = bytes_at(w, addr + 8 + 2 * w->addr_size, nr * entry_len);
	struct rbuf r = rbuf_init(p, p ? (size_t)(nr * entry_len) : 0);

	if (head[4] != 0)
		return;
	while (r.pos < r.len) {
		rbuf_skip(&r, w->len_size);
		visit_later(w, take_addr(w, &r));
	}
}

static void visit_symbols(struct walk *w, uint64_t addr, const uint8_t *head)
{
	unsigned nr = get_u16(head + 6);
	uint64_t entry_len = 2 * w->addr_size + 24;
	const uint8_t *p = bytes_at(w, addr + 8, nr * entry_len);
	struct rbuf r = rbuf_init(p, p ? (size_t)(nr * entry_len) : 0);

	while (r.pos < r.len) {
		rbuf_skip(&r, w->addr_size);
		visit_later(w, take_addr(w, &r));
		rbuf_skip(&r, 24);
	}
}

static void visit(struct walk *w, uint64_t addr)
{
	const uint8_t *p;

	if (seen_before(w, addr))
		return;
	p = bytes_at(w, addr, 16);
	if (!p)
		return;
	if (memcmp(p, "TREE", 4) == 0)
		visit_tree(w, addr, p);
	else if (memcmp(p, "SNOD", 4) == 0)
		visit_symbols(w, addr, p);
	else if (memcmp(p, "OHDR", 4) == 0)
		visit_header_new(w, addr);
	else if (p[0] == 1 && p[1] == 0)
		visit_header_old(w, addr, p);
}

static void visit_all(struct walk *w)
{
	while (w->nr_stack)
		visit(w, w->stack[--w->nr_stack]);
}

/* A block of a group's heap, or of another one: then nothing in it is a link. */
static void visit_heap_block(struct walk *w, uint64_t at)
{
	struct rbuf r = rbuf_init(w->p + at, (size_t)MIN(w->len - at, (uint64_t)HEAP_BLOCK_MAX));

	rbuf_skip(&r, 5 + w->addr_size + 8);
	while (!r.bad && r.pos < r.len && r.p[r.pos] == LINK_VERSION) {
		size_t from = r.pos;

		take_link(w, &r);
		if (r.pos - from > w->budget)
			return;
		w->budget -= r.pos - from;
		visit_all(w);
	}
}

/* Heap blocks and object headers, wherever they are. */
static void visit_scattered(struct walk *w)
{
	const uint8_t *end = w->p + w->len;

	for (const uint8_t *p = w->p + w->base; (p = memmem(p, (size_t)(end - p), "FHDB", 4));
	     p += 4)
		visit_heap_block(w, (uint64_t)(p - w->p));
	for (const uint8_t *p = w->p + w->base; (p = memmem(p, (size_t)(end - p), "OHDR", 4));
	     p += 4) {
		visit_later(w, (uint64_t)(p - w->p) - w->base);
		visit_all(w);
	}
}

static bool size_ok(unsigned size)
{
	return size == 2 || size == 4 || size == 8;
}

/* Read the superblock, and push the root. */
static bool read_superblock(struct walk *w)
{
	struct rbuf r = rbuf_init(w->p + w->base, w->len - (size_t)w->base);
	uint8_t version;

	rbuf_skip(&r, 8);
	version = rbuf_u8(&r);
	rbuf_skip(&r, version < 2 ? 4 : 0);
	w->addr_size = rbuf_u8(&r);
	w->len_size = rbuf_u8(&r);
	if (r.bad || version > 3 || !size_ok(w->addr_size) || !size_ok(w->len_size))
		return false;
	if (version < 2) {
		rbuf_skip(&r, version == 0 ? 9 : 13);
		rbuf_skip(&r, 5 * w->addr_size); /* the last is the root's name */
	} else {
		rbuf_skip(&r, 1 + 3 * w->addr_size);
	}
	visit_later(w, take_addr(w, &r));
	return !r.bad;
}

/* Where the superblock is; false when there is none. */
static bool find_superblock(const uint8_t *bytes, size_t len, uint64_t *at)
{
	static const uint8_t magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

	for (uint64_t n = 0; n + sizeof(magic) <= len; n = n ? 2 * n : 512) {
		if (memcmp(bytes + n, magic, sizeof(magic)) == 0) {
			*at = n;
			return true;
		}
	}
	return false;
}

void hdf5_find(const uint8_t *bytes, size_t len, struct head_list *l)
{
	struct walk w = {.p = bytes, .len = len, .l = l};

	if (!find_superblock(bytes, len, &w.base))
		return;
	w.budget = 2 * (uint64_t)len + BUDGET_MORE;
	if (!read_superblock(&w))
		return;
	visit_all(&w);
	if (w.heaped)
		visit_scattered(&w);
	/* A few numbers, such as a grid's axes, say little of datasets not seen. */
	if (w.chunked || ((w.cut || w.heaped) && l->total >= GUESS_MIN))
		head_list_rest(l, 0);
}
