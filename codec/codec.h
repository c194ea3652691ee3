/* Encode and decode the bytes of one extent. The container on disk is described at the head of
 * codec/frame.c.
 *
 * Encoding never fails for what the data are: what does not compress is stored as it is. Decoding
 * trusts nothing.
 * Threads: any; the functions share no state but what is passed in. */
#ifndef CODEC_CODEC_H
#define CODEC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODEC_HEAD_LEN	    40u	       /* bytes of the container before the payload */
#define CODEC_RAW_MAX	    (4u << 20) /* longest extent, raw bytes */
#define CODEC_LEVEL_MIN	    1
#define CODEC_LEVEL_MAX	    19
#define CODEC_LEVEL_DEFAULT 1

enum codec_mode {
	CODEC_AUTO, /* planes and zstd where the bytes are numbers, else zstd, else raw */
	CODEC_NONE, /* always raw (all-equal extents are still one byte) */
	CODEC_ZSTD, /* zstd of the plain bytes, raw where it does not pay */
};

/* How an extent ended up; the numbers are the container's. */
enum codec_kind {
	CODEC_KIND_RAW = 0,
	CODEC_KIND_ZSTD = 1,
	CODEC_KIND_FILL = 2,
};

enum codec_filter {
	CODEC_FILTER_NONE = 0, /* byte planes only, or nothing when the width is 1 */
	CODEC_FILTER_DELTA =
		1, /* 1 to 3: reserved ids, refused with -ENOTSUP by this version's decoder */
	CODEC_FILTER_LORENZO = 2,
	CODEC_FILTER_FLOAT = 3,
};

struct codec_opts {
	enum codec_mode mode;
	int level; /* zstd's, CODEC_LEVEL_MIN to CODEC_LEVEL_MAX */
};

/* What is known of one file's items: from its head, or from what paid for its last extents. All
 * zero: nothing is known. The owner of the file keeps it, guards it, and passes a copy or itself;
 * it is a memory, never a promise, and any bytes in it are safe. Only width, told and data_off are
 * of use to others. */
struct codec_hint {
	uint8_t width;	   /* bytes of an item: 1, 2, 4 or 8; 0 when unknown */
	uint8_t told;	   /* not 0: width and phase come from the file's head, not from a search */
	uint8_t split;	   /* width that the last search chose; 0 before the first */
	uint8_t trust;	   /* searches in a row that chose the same */
	uint8_t age;	   /* extents since the last */
	uint8_t dull;	   /* searches in vain, in a row */
	uint8_t skip;	   /* extents to store raw with no search, because of these */
	uint64_t data_off; /* file offset of the first item, when told */
};

/* The encoded extent: @head, then @payload. */
struct codec_out {
	uint8_t head[CODEC_HEAD_LEN];
	const uint8_t *payload; /* in the caller's scratch, or the raw bytes: borrowed from them */
	size_t payload_len;
	enum codec_kind kind;
	uint8_t width; /* of the planes; 1: none */
};

/* What the container's head says, verified. */
struct codec_info {
	enum codec_kind kind;
	enum codec_filter filter;
	uint8_t width;
	uint8_t phase; /* bytes before the first item */
	uint32_t raw_len;
	uint32_t stored_len; /* of the payload */
};

/* Bytes of scratch that codec_encode() needs for @raw_len bytes. */
size_t codec_scratch_len(size_t raw_len);

/* Encode @raw_len bytes (1 to CODEC_RAW_MAX) that stand at @file_off in their file. They must not
 * change meanwhile, nor before the payload is used: what does not match its checksum is lost.
 * @hint     in and out; may be NULL
 * @scratch  codec_scratch_len(raw_len) bytes, the caller's until it is done with @out
 * Returns 0, -EINVAL (length) or -ENOMEM (the compressor's own state). */
int codec_encode(const struct codec_opts *opts, struct codec_hint *hint, uint64_t file_off,
		 const uint8_t *raw, size_t raw_len, uint8_t *scratch, struct codec_out *out);

/* Verify the head of a container of @len bytes and say what it holds.
 * The payload must be there. That of zstd and fill is verified too; that of raw is not, as its
 * checksum is that of the raw bytes, which codec_decode() verifies.
 * Returns 0; -EBADMSG for bytes that are no container or fail their checksum; -ENOTSUP for a
 * version, kind, filter or flag that this program does not know. */
int codec_inspect(const uint8_t *enc, size_t len, struct codec_info *info);

/* Decode a whole container of @len bytes (trailing padding allowed) into @raw, which holds exactly
 * @raw_len bytes.
 * Returns 0; -EBADMSG as above, or when the decoded bytes fail their checksum or are not @raw_len
 * long; -ENOTSUP; -ENOMEM. @raw's content is undefined after a failure. */
int codec_decode(const uint8_t *enc, size_t len, uint8_t *raw, size_t raw_len);

/* Look at the first @len bytes of a file for a head that tells what its items are (.npy); fill
 * @hint when it does, anew: what was known before is forgotten. Else @hint stays.
 * Returns true when it told something. */
bool codec_learn(struct codec_hint *hint, const uint8_t *head, size_t len);

#endif
