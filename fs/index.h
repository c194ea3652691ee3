/* The index: LMDB on local disk, opened without syncs; and the records of what changes in it.
 *
 * The log on the shards is the truth and the index is disposable: every put and del of a write transaction is also
 * collected as a record, and the committed records, in order, are what commit.c logs. Applying records is idempotent,
 * so replaying a stretch of log over an image that already holds some of it gives the same index.
 *
 * One write transaction at a time: index_begin() waits, and is the lock of all metadata. Read transactions take no
 * lock and see a snapshot. Values handed out are borrowed from the transaction: until its end, or its next put or del.
 * Errors: negative errnos; -ENOENT when a key is not there; -ENOSPC when the local disk or the map is full. */
#ifndef FS_INDEX_H
#define FS_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/key.h"

struct index;
struct index_txn;

struct index_val {
	const uint8_t *p;
	size_t len;
};

/* Growing bytes; all zero is empty. */
struct record_buf {
	uint8_t *p;
	size_t len, cap;
};
void record_buf_free(struct record_buf *b);
int record_buf_append(struct record_buf *b, const void *p, size_t len);

/* Open the index in directory @dir (made if need be); empty it first when @fresh. @map_len bounds its size. */
int index_open(const char *dir, uint64_t map_len, bool fresh, struct index **out);
/* @sync: make it durable, for a clean stop. */
void index_close(struct index *x, bool sync);
/* Flush to local disk. */
int index_sync(struct index *x);
/* Let go of its pages that are mapped: the kernel keeps them as long as it has room, and maps them again on use. */
void index_trim(struct index *x);

/* ---- reading ---- */

int index_read(struct index *x, struct index_txn **out);
void index_read_end(struct index_txn *t); /* NULL is fine */

/* In read and in write transactions. */
int index_get(struct index_txn *t, const struct key *key, struct index_val *out);

/* A cursor over keys in order; lives within its transaction; in a write transaction any put or del ends its use until
 * the next seek. */
struct index_cursor;
int index_cursor_open(struct index_txn *t, struct index_cursor **out);
void index_cursor_close(struct index_cursor *c);
/* First key >= @key. The key and the value are borrowed. -ENOENT at the end. */
int index_seek(struct index_cursor *c, const struct key *key, struct index_val *k,
	       struct index_val *v);
int index_next(struct index_cursor *c, struct index_val *k, struct index_val *v);
int index_prev(struct index_cursor *c, struct index_val *k, struct index_val *v);
int index_last(struct index_cursor *c, struct index_val *k, struct index_val *v);

/* ---- writing ---- */

int index_begin(struct index *x, struct index_txn **out);
int index_put(struct index_txn *t, const struct key *key, const void *val, size_t len);
/* -ENOENT when there was nothing; no record then. */
int index_del(struct index_txn *t, const struct key *key);
/* Ends @t in any case. On success its records are appended to @records (which the caller keeps from others while the
 * transaction runs); NULL drops them. */
int index_commit(struct index_txn *t, struct record_buf *records);
void index_abort(struct index_txn *t);
/* As index_commit(), with the lock of write transactions still held, so that what must be undone when this fails is
 * undone before anybody else's transaction: then index_unlock(). */
int index_commit_keep(struct index_txn *t, struct record_buf *records);
void index_unlock(struct index *x);

/* A change made out of order: an earlier batch learns of @val_then, the index and a later batch of @val (same length;
 * NULL: deleted). The second record is appended to @later when the transaction commits. */
int index_put_late(struct index_txn *t, const struct key *key, const void *val,
		   const void *val_then, size_t len, struct record_buf *later);

/* ---- records ---- */

/* Apply records to a write transaction (no new records come of it). -EBADMSG for bytes that are no records; @t is then
 * to be aborted. */
int index_apply(struct index_txn *t, const uint8_t *rec, size_t len);
/* As index_apply() for keys that come in order into an empty index: faster. */
int index_load(struct index_txn *t, const uint8_t *rec, size_t len);
/* Length of the first whole record in @len bytes: 0 when it is not all there yet, or -EBADMSG. */
int record_len(const uint8_t *rec, size_t len, size_t *out);
/* One put as record bytes. */
int record_put(struct record_buf *b, const uint8_t *key, size_t key_len, const uint8_t *val,
	       size_t val_len);

struct index_stat {
	uint64_t bytes;	  /* of local disk in use */
	uint64_t entries; /* keys */
};
void index_stat_get(struct index *x, struct index_stat *out);

#endif
