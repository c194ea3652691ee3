/* Encode and decode the bytes of one extent. The container on disk is described at the head of
 * codec/frame.c, the choice of how to encode at the head of codec/choose.c.
 *
 * Encoding never fails for what the data are: what does not compress is stored as it is. Decoding
 * trusts nothing.
 * Threads: any; the functions share no state but what is passed in. */
#ifndef CODEC_CODEC_H
#define CODEC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/filter.h"

#define CODEC_RAW_MAX (4u << 20) /* longest extent, raw bytes */
#define CODEC_TILE_LEN                                                                             \
	(128u << 10) /* raw bytes that are decoded together; a tile is at most 7 longer */
#define CODEC_TILES_MAX	    (CODEC_RAW_MAX / CODEC_TILE_LEN)
#define CODEC_HEAD_LEN	    40u /* bytes of the head without the tiles' table */
#define CODEC_HEAD_MAX	    (CODEC_HEAD_LEN + 8u + 8u * CODEC_TILES_MAX)
#define CODEC_LEVEL_MIN	    1
#define CODEC_LEVEL_MAX	    19
#define CODEC_LEVEL_DEFAULT 1

enum codec_mode {
	CODEC_AUTO, /* filters and entropy coding where the bytes are numbers, else zstd, else raw */
	CODEC_NONE, /* always raw (all-equal extents are still one byte) */
	CODEC_ZSTD, /* zstd of the plain bytes, raw where it does not pay */
};

/* How an extent ended up; the numbers are the container's. */
enum codec_kind {
	CODEC_KIND_RAW = 0,
	CODEC_KIND_ZSTD = 1, /* zstd frames of the filtered bytes */
	CODEC_KIND_FILL = 2,
};

/* Who made the payload. */
enum codec_encoder {
	CODEC_BY_NONE, /* raw, or one byte to fill with */
	CODEC_BY_CPU,  /* block.c */
	CODEC_BY_GPU,  /* the same bytes from a GPU */
	CODEC_BY_ZSTD, /* libzstd */
	CODEC_BY_NR,
};

/* Why an extent is stored as it is. */
enum codec_why {
	CODEC_WHY_FILL,	 /* all bytes are equal */
	CODEC_WHY_MODE,	 /* raw: the mode says so */
	CODEC_WHY_SHORT, /* raw: too short to gain anything, or a block */
	CODEC_WHY_DULL, /* raw: the last extents did not shrink, nor, at a glance, would this one */
	CODEC_WHY_NOISE,   /* raw: a sample does not shrink */
	CODEC_WHY_GAIN,	   /* raw: encoded, it was less than 3 % shorter */
	CODEC_WHY_NUMBERS, /* filtered and entropy coded */
	CODEC_WHY_MATCHES, /* libzstd: repetition gains more than numbers would */
	CODEC_WHY_ASKED,   /* libzstd: the mode says so */
	CODEC_WHY_NR,
};

extern const char *const codec_encoder_name[CODEC_BY_NR];
extern const char *const codec_why_name[CODEC_WHY_NR]; /* one word each, for .stats */

struct codec_opts {
	enum codec_mode mode;
	int level; /* CODEC_LEVEL_MIN: fast, a GPU's bytes; above: more is tried, also by libzstd */
};

/* What is known of one file's items: from its head, or from what paid for its last extents. A
 * memory, never a promise: it costs room or time when it is wrong, never data. Threads: any, it
 * has a lock of its own, a leaf. */
struct codec_file;
struct codec_gpu;
struct codec_offered;

struct codec_file *codec_file_new(void); /* NULL: no memory; codec_encode() takes that, too */
void codec_file_free(struct codec_file *file);

/* Look at @len bytes that stand at @off in the file for heads that tell what its items are (.npy,
 * .npz, HDF5, safetensors, FITS, NRRD, NIfTI; see head.h), and remember. codec_encode() does that
 * itself with what it encodes; this is for a file whose head was written before.
 * Returns true when it told something. */
bool codec_learn(struct codec_file *file, uint64_t off, const uint8_t *bytes, size_t len);

/* codec_learn() of the file's first bytes has been done, by codec_encode() or by hand. */
bool codec_file_seen(struct codec_file *file);

/* One extent on its way. The caller fills the first group and keeps what it points to until it is
 * through with the second; neither may change meanwhile: what does not match its checksum is
 * lost. */
struct codec_job {
	const struct codec_opts *opts;
	struct codec_file *file; /* NULL: nothing is known, nothing is remembered */
	uint64_t file_off;	 /* of the first byte */
	const uint8_t *raw;
	size_t raw_len;	  /* 1 to CODEC_RAW_MAX */
	uint8_t *scratch; /* codec_scratch_len(raw_len) bytes */
	/* Where head and payload together are no longer than this, shorter is no better (they go to whole blocks),
	 * so nothing more is searched for. 0: always as short as can be. */
	size_t enough;

	uint8_t head[CODEC_HEAD_MAX]; /* the container: this, ... */
	size_t head_len;
	const uint8_t *payload; /* ... and this, in scratch or raw */
	size_t payload_len;
	enum codec_kind kind;
	enum codec_encoder by;
	enum codec_why why;
	struct filter filter;
	uint64_t encode_ns; /* the threads' own time in choosing, packing and verifying */

	/* for codec_offer() */
	void (*done)(struct codec_job *j);
	struct codec_offered *offered; /* codec's own, as the next; NULL before */
	struct codec_gpu *declined;    /* reckons with this thread's work */
};

/* Bytes of scratch for @raw_len bytes. */
size_t codec_scratch_len(size_t raw_len);

/* Encode on this thread. Returns 0, -EINVAL (length) or -ENOMEM (the compressor's own state). */
int codec_encode(struct codec_job *j);

/* ---- GPUs ---- */

/* The GPUs of this machine that encode, and the choice between them and the CPU: struct codec_gpu. */
struct gpu_driver;

enum codec_gpu_want {
	CODEC_GPU_AUTO, /* where there is one, and it is expected to be done sooner */
	CODEC_GPU_ON,	/* whenever it works; opening fails where there is none */
	CODEC_GPU_OFF,
};

struct codec_gpu_params {
	enum codec_gpu_want want;
	unsigned nr_threads;		 /* that encode on the CPU meanwhile, for what is sooner */
	const struct gpu_driver *driver; /* NULL: CUDA. Another one for tests, gpu_driver.h */
	void *driver_arg;
};

/* Look for GPUs. Returns 0, and NULL in *@out where there is none or none is wanted; -ENODEV
 * (also when built without CUDA) or -ENOMEM when one must be, with a line in @why. */
int codec_gpu_open(const struct codec_gpu_params *p, struct codec_gpu **out, char *why,
		   size_t why_len);

/* Ends what is under way; no job may be left with it. NULL is nothing. */
void codec_gpu_close(struct codec_gpu *gpu);

/* Memory that jobs' raw bytes will come from, for faster copies. 0, or why it is not (harmless). */
int codec_gpu_register(struct codec_gpu *gpu, void *p, size_t len);

/* Have @j encoded by a GPU if that is expected to be sooner than codec_encode() on this thread.
 * False: it was not taken, encode it here. True: j->done(j) will be called, once, from a GPU's
 * thread, which it must not hold up; then codec_complete() is to be called, on any other thread.
 * @gpu may be NULL. */
bool codec_offer(struct codec_gpu *gpu, struct codec_job *j);

/* Finish a job that codec_offer() took: what came from the GPU is decoded and compared with the raw
 * bytes; what is wrong or missing is encoded here. Returns as codec_encode(). */
int codec_complete(struct codec_job *j);

struct codec_gpu_stat {
	char name[64];	   /* of the device */
	const char *state; /* "starting", "ready", "retired" */
	char why[96];	   /* it was retired the last time; empty: it never was */
	uint64_t raw_bytes, stored_bytes, nr_batches;
	uint64_t nr_failed;    /* extents that came back with an error */
	uint64_t nr_wrong;     /* of all devices: extents that did not decode to what went in */
	uint64_t queued_bytes; /* now */
	uint64_t rate;	       /* raw bytes a second lately, while busy */
};

/* Devices there are, and what @idx below that has done. */
unsigned codec_gpu_count(struct codec_gpu *gpu);
void codec_gpu_stat(struct codec_gpu *gpu, unsigned idx, struct codec_gpu_stat *out);

/* ---- decoding ---- */

/* What the head of a container says, verified. */
struct codec_info {
	enum codec_kind kind;
	struct filter filter;
	uint8_t phase; /* bytes before the first item */
	uint32_t raw_len;
	uint32_t head_len;   /* with the tiles' table */
	uint32_t stored_len; /* of the payload */
	unsigned nr_tiles;
};

/* Verify the head of a container of which the first @len bytes are here: all, or CODEC_HEAD_MAX,
 * which are enough unless it was written by version 1. Returns 0; -EBADMSG for bytes that are no container or fail
 * their checksum; -ENOTSUP for a version, kind, filter or flag that this program does not know. */
int codec_inspect(const uint8_t *enc, size_t len, struct codec_info *info);

/* Decode a whole container of @len bytes (trailing padding allowed) into @raw, which holds exactly
 * @raw_len bytes.
 * Returns 0; -EBADMSG as above, or when the decoded bytes fail their checksum or are not @raw_len
 * long; -ENOTSUP; -ENOMEM. @raw's content is undefined after a failure. */
int codec_decode(const uint8_t *enc, size_t len, uint8_t *raw, size_t raw_len);

/* The tile that holds raw byte @off, and the raw bytes [*from, *to) that tile @idx covers. */
unsigned codec_tile_at(const struct codec_info *info, uint32_t off);
void codec_tile_range(const struct codec_info *info, unsigned idx, uint32_t *from, uint32_t *to);

/* Decode tile @idx (below info->nr_tiles) of a container whose @info codec_inspect() gave, into
 * @raw + from, where @raw holds the whole extent. Verified by a checksum of its own, so the other
 * tiles need not be right. Returns as codec_decode(). */
int codec_decode_tile(const uint8_t *enc, size_t len, const struct codec_info *info, unsigned idx,
		      uint8_t *raw);

/* One tile: the raw bytes [from, to) of the extent, made of @len stored bytes at @off in the container. */
struct codec_tile {
	uint32_t from, to;
	uint32_t off, len;
	uint32_t sum; /* of the raw bytes */
	unsigned idx;
};

/* The tile that holds raw byte @off, by the head alone, of which @len bytes are here (see codec_inspect()).
 * Returns as codec_inspect(); -EBADMSG also where there is no such byte. */
int codec_tile_find(const uint8_t *head, size_t len, uint32_t off, struct codec_info *info,
		    struct codec_tile *t);

/* Decode tile @t from its own t->len stored bytes into @raw, t->to - t->from bytes. Of a container stored raw @stored
 * may be @raw itself: then they are only verified. Returns as codec_decode(). */
int codec_tile_decode(const struct codec_info *info, const struct codec_tile *t,
		      const uint8_t *stored, uint8_t *raw);

#endif
