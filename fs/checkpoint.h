/* Checkpoints: the whole index as records, compressed, beside the log on every shard.
 *
 * Image: bytes for raid_checkpoint_write(): one zstd stream of put records (fs/index.h) in the order of their keys. */
#ifndef FS_CHECKPOINT_H
#define FS_CHECKPOINT_H

#include "fs/fs.h"

/* Write what the read transaction @snapshot sees, to be replayed from @seq on. *len: bytes written, compressed.
 * Ends @snapshot. */
int checkpoint_write(struct fs *fs, struct index_txn *snapshot, uint64_t seq, uint64_t *len);

/* Fill the empty index @x from the newest checkpoint of @r; *seq: replay from here. -ENOENT: there is none. */
int checkpoint_load(struct raid *r, struct index *x, uint64_t *seq);

/* A loader by pieces, for checkpoint_load() and the fuzzer: bytes in, records out to @x. */
struct checkpoint_loader;
int checkpoint_loader_new(struct index *x, struct checkpoint_loader **out);
int checkpoint_loader_feed(void *loader, const uint8_t *data, size_t len);
/* -EBADMSG when the image ends in mid-record or mid-frame. Frees @l in any case. */
int checkpoint_loader_end(struct checkpoint_loader *l);

#endif
