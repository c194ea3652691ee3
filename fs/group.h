/* The head of a batch's payload in the log; records (fs/index.h) follow it.
 *
 *   0   4  magic "MFTX"
 *   4   2  version, 1
 *   6   2  reserved, 0
 *   8   8  transaction group
 *   16  8  next inode number: none at or above it is in use
 *   24  8  next generation: likewise
 */
#ifndef FS_GROUP_H
#define FS_GROUP_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/bytes.h"

#define GROUP_HEAD_LEN 32
#define GROUP_MAGIC    0x5854464dU
#define GROUP_VERSION  1

struct group_head {
	uint64_t txg;
	uint64_t next_ino, next_gen;
};

static inline void group_head_put(const struct group_head *h, uint8_t buf[GROUP_HEAD_LEN])
{
	struct wbuf w = wbuf_init(buf, GROUP_HEAD_LEN);

	wbuf_u32(&w, GROUP_MAGIC);
	wbuf_u16(&w, GROUP_VERSION);
	wbuf_u16(&w, 0);
	wbuf_u64(&w, h->txg);
	wbuf_u64(&w, h->next_ino);
	wbuf_u64(&w, h->next_gen);
}

/* -EBADMSG: no batch; -ENOTSUP: of a later version. */
static inline int group_head_get(const uint8_t *p, size_t len, struct group_head *h)
{
	struct rbuf r = rbuf_init(p, len);
	uint32_t magic = rbuf_u32(&r);
	uint16_t version = rbuf_u16(&r);

	rbuf_u16(&r);
	h->txg = rbuf_u64(&r);
	h->next_ino = rbuf_u64(&r);
	h->next_gen = rbuf_u64(&r);
	if (r.bad || magic != GROUP_MAGIC || h->next_ino < 2 || h->next_gen < 1)
		return -EBADMSG;
	return version == GROUP_VERSION ? 0 : -ENOTSUP;
}

#endif
