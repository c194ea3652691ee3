/* One shard's copy of the log: files "log/%016x", named by the sequence number they begin with.
 *
 * Batches stand in them back to back, but a reader takes whatever is whole and leaves the choice to chain.c. No byte
 * of a batch that may be acknowledged is written again. Threads: one at a time. */
#ifndef RAID_SHARDLOG_H
#define RAID_SHARDLOG_H

#include "raid/chain.h"
#include "raid/shard.h"

struct shardlog_file {
	uint64_t first; /* its name */
	uint64_t last;	/* the highest sequence number in it; 0: it holds no batch */
	uint64_t end;	/* of the last batch in it, bytes */
	uint64_t alloc; /* bytes that need no further space from the file system, at least end */
};

struct shardlog {
	struct shard *shard;
	uint64_t file_len;	    /* how long a file shall get, bytes */
	struct shardlog_file *file; /* sorted by name */
	unsigned nr, cap;
	struct store_file *cur; /* the last file, open for appending; NULL: not open */
	unsigned nr_bad;	/* places that could not be read */
};

void shardlog_init(struct shardlog *l, struct shard *s);
void shardlog_fini(struct shardlog *l);

/* Find the files, and add to @c every batch in those that reach to @from or beyond. Returns 0 or an error of the store
 * (the shard's log cannot be read), -EPROTONOSUPPORT, -ENOMEM. */
int shardlog_scan(struct shardlog *l, uint64_t from, struct chain *c);

/* Read the batch @e of this shard into *buf (grown as needed, *cap its size) and verify it: 0, -EBADMSG, -ENOMEM or
 * the store's error. */
int shardlog_read(struct shardlog *l, const struct chain_entry *e, uint8_t **buf, size_t *cap);

/* Write a batch that chain @c says is missing here, in the place where it was or else behind what is there; not
 * synced. *at is for this function, zeros before the first of a row in rising order of @seq.
 * Returns 0, -EIO (no place for it), -ENOMEM or the store's error. */
struct shardlog_place {
	uint64_t seq;	   /* the last one's */
	uint64_t file;	   /* its file */
	uint64_t off, end; /* where the next could go; end: UINT64_MAX at the end of a file */
	uint64_t dirty;	   /* the file that needs a sync, 0: none */
};
int shardlog_heal(struct shardlog *l, const struct chain *c, struct shardlog_place *at,
		  uint64_t seq, const uint8_t *buf, size_t len);
/* Make what shardlog_heal() wrote durable. */
int shardlog_heal_end(struct shardlog *l, struct shardlog_place *at);

/* Drop what stands behind the last batch, and files without any: the next append finds clean ends. Durable. */
int shardlog_tidy(struct shardlog *l);

/* Have room for a batch @seq of @len bytes (whole blocks) at shardlog_end() of l->cur, with its name durable. -ENOSPC:
 * there is none and nothing has changed. */
int shardlog_room(struct shardlog *l, uint64_t seq, uint64_t len);
static inline uint64_t shardlog_end(const struct shardlog *l)
{
	return l->file[l->nr - 1].end;
}
/* The batch was written there. */
void shardlog_wrote(struct shardlog *l, uint64_t seq, uint64_t len);

/* Delete files that hold nothing at or after @seq. Errors are of no consequence. */
void shardlog_cut(struct shardlog *l, uint64_t seq);
/* Delete them all; durable. */
int shardlog_drop(struct shardlog *l);

uint64_t shardlog_bytes(const struct shardlog *l);

/* "log/%016x" or "ckpt/%016x" */
#define SHARDLOG_NAME_LEN 32
void shardlog_name(char buf[SHARDLOG_NAME_LEN], const char *dir, uint64_t seq);
/* Sixteen hexadecimal digits and nothing else. */
bool shardlog_name_parse(const char *name, uint64_t *seq);

#endif
