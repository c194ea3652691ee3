/* Bringing a file system up and down. */
#include "fs/fs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/base.h"
#include "conf/log.h"
#include "fs/arena.h"
#include "fs/budget.h"
#include "fs/cache.h"
#include "fs/commit.h"
#include "fs/flush.h"
#include "fs/inode.h"
#include "fs/name.h"
#include "fs/op.h"
#include "fs/recompress.h"
#include "fs/recover.h"
#include "fs/writeback.h"

#define ROOT_INO 1

static void index_dir(const struct fs *fs, char *buf, size_t len)
{
	/* Read-only mounts of one volume may run side by side. */
	if (fs->rdonly)
		snprintf(buf, len, "%s/readonly.%d", fs->p.state_dir, (int)getpid());
	else
		snprintf(buf, len, "%s/index", fs->p.state_dir);
}

static void index_remove(const struct fs *fs)
{
	static const char *const file[] = {"/data.mdb", "/lock.mdb", ""};
	char dir[4096], path[4200];

	index_dir(fs, dir, sizeof(dir));
	for (size_t i = 0; i < ARRAY_LEN(file); i++) {
		snprintf(path, sizeof(path), "%s%s", dir, file[i]);
		remove(path);
	}
}

static int make_root(struct fs *fs)
{
	struct timespec now = inode_now();
	struct attr a = {.mode = S_IFDIR | 0755,
			 .uid = geteuid(),
			 .gid = getegid(),
			 .nlink = 2,
			 .atime = now,
			 .mtime = now,
			 .ctime = now,
			 .btime = now,
			 .parent = ROOT_INO,
			 .next_cookie = 3};
	struct inode *root;
	struct op op;
	int err = op_begin(&op, fs);

	if (err)
		return err;
	err = inode_new(fs, ROOT_INO, &a, &root);
	if (err)
		return op_end(&op, err);
	op_edit(&op, root);
	op.d_inodes = 1;
	err = op_end(&op, 0);
	inode_put(root);
	return err;
}

static int apply_fix(struct fs *fs, const struct recover_fix *fix)
{
	struct inode *in;
	struct op op;
	int err = inode_get(fs, NULL, fix->ino, &in);

	if (err)
		return err;
	err = op_begin(&op, fs);
	if (!err) {
		op_edit(&op, in)->mapped = fix->mapped;
		err = op_end(&op, 0);
	}
	inode_put(in);
	return err;
}

static int reclaim_orphan(struct fs *fs, uint64_t ino)
{
	struct inode *in;
	int err = inode_get(fs, NULL, ino, &in);

	if (err)
		return err;
	err = name_reclaim(in);
	inode_put(in);
	return err;
}

/* What a recovery leaves to do once changes can be made. */
static int finish_recovery(struct fs *fs, const struct recovered *r, char *why, size_t why_len)
{
	int err = r->empty ? make_root(fs) : 0;

	for (size_t i = 0; !err && i < r->nr_fixes; i++)
		err = apply_fix(fs, &r->fix[i]);
	for (size_t i = 0; !err && i < r->nr_orphans; i++) {
		int gone = reclaim_orphan(fs, r->orphan[i]);

		/* It holds space, and is found again at the next mount; no reason to refuse this one. */
		if (gone)
			log_error("inode %llu without a name could not be reclaimed: %s; run "
				  "matfsctl fsck",
				  (unsigned long long)r->orphan[i], strerror(-gone));
	}
	if (!err)
		err = commit_wait(fs, commit_open_txg(fs));
	if (err)
		snprintf(why, why_len,
			 "the volume cannot be written: %s; free space on the shards, or mount "
			 "with -o ro",
			 strerror(-err));
	return err;
}

static int start_parts(struct fs *fs)
{
	int err = arena_new(fs->p.memory_len, true, &fs->arena);

	/* Without it copies are slower; that is all. */
	if (!err && fs->p.gpu)
		codec_gpu_register(fs->p.gpu, arena_mem(fs->arena), arena_len(fs->arena));
	if (!err)
		err = cache_new(fs->p.cache_len, &fs->cache);
	if (!err)
		err = writeback_new(fs, &fs->writeback);
	if (!err)
		err = flush_pool_new(fs, &fs->flushes);
	if (!err)
		err = recompress_new(fs, &fs->recompress);
	if (!err)
		err = commit_new(fs, &fs->commit);
	if (!err)
		err = worker_pool_new(fs->p.threads, &fs->workers);
	if (!err && fs->p.memory_max)
		err = budget_new(fs, fs->p.memory_max, &fs->budget);
	return err;
}

static void free_parts(struct fs *fs, bool sync_index)
{
	budget_free(fs->budget);
	/* What a GPU has of ours comes back as a job, and the GPUs' memory is the arena's. */
	if (fs->writeback)
		writeback_drain(fs);
	/* Before the workers: a GPU's thread may still be on its way out of worker_post(). */
	codec_gpu_close(fs->p.gpu);
	if (fs->workers)
		worker_pool_free(fs->workers);
	recompress_free(fs->recompress);
	writeback_free(fs->writeback);
	flush_pool_free(fs->flushes);
	commit_free(fs->commit);
	cache_free(fs->cache);
	arena_free(fs->arena);
	if (fs->index)
		index_close(fs->index, sync_index);
	if (fs->inodes)
		inode_table_free(fs->inodes);
	if (fs->rdonly)
		index_remove(fs);
}

int fs_open(const struct fs_params *p, struct fs **out, char *why, size_t why_len)
{
	struct fs *fs = calloc(1, sizeof(*fs));
	struct recovered rec = {.nr_orphans = 0};
	char dir[4096];
	int err;

	snprintf(why, why_len, "out of memory");
	if (!fs) {
		codec_gpu_close(p->gpu);
		raid_close(p->raid, false);
		return -ENOMEM;
	}
	fs->p = *p;
	if (!fs->p.offer)
		fs->p.offer = codec_offer;
	if (!fs->p.complete)
		fs->p.complete = codec_complete;
	fs->raid = p->raid;
	fs->rdonly = raid_readonly(p->raid);
	fs->extent_len = raid_geometry(p->raid)->extent_len;
	fs->mounted_ns = mono_ns();
	fs->p.state_dir = strdup(p->state_dir);
	err = fs->p.state_dir ? inode_table_new(&fs->inodes) : -ENOMEM;
	if (!err && mkdir(p->state_dir, 0700) && errno != EEXIST) {
		err = -errno;
		snprintf(why, why_len,
			 "%s: cannot be made: %s; set state= to a directory on a local disk",
			 p->state_dir, strerror(errno));
	}
	if (!err) {
		index_dir(fs, dir, sizeof(dir));
		err = recover_index(fs, dir, &rec, why, why_len);
	}
	if (err)
		goto fail;
	atomic_store(&fs->next_ino, rec.next_ino);
	atomic_store(&fs->next_gen, rec.next_gen);
	err = start_parts(fs);
	if (!err && !fs->rdonly)
		err = commit_start(fs);
	if (err) {
		snprintf(why, why_len, "cannot start: %s; memory= or threads= may be too large",
			 strerror(-err));
		goto fail;
	}
	if (!fs->rdonly)
		err = finish_recovery(fs, &rec, why, why_len);
	if (err)
		goto stop;
	recover_fini(&rec);
	*out = fs;
	return 0;

stop:
	commit_stop(fs, false);
fail:
	recover_fini(&rec);
	free_parts(fs, false);
	raid_close(fs->raid, false);
	free((char *)fs->p.state_dir);
	free(fs);
	return err;
}

int fs_close(struct fs *fs)
{
	int err;

	recompress_stop(fs->recompress);
	err = fs->rdonly ? 0 : commit_stop(fs, true);
	if (err)
		log_error("unmount: %s: the last changes could not be written and are lost",
			  strerror(-err));
	if (!err && !fs->rdonly && recover_mark(fs))
		log_warn("unmount: the index was not saved; the next mount rebuilds it");
	free_parts(fs, !err && !fs->rdonly);
	raid_close(fs->raid, !err);
	free((char *)fs->p.state_dir);
	free(fs);
	return err;
}

void fs_crash(struct fs *fs)
{
	recompress_stop(fs->recompress);
	if (!fs->rdonly)
		commit_stop(fs, false);
	free_parts(fs, false);
	raid_close(fs->raid, false);
	free((char *)fs->p.state_dir);
	free(fs);
}
