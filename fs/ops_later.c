/* Requests that wait. */
#include "fs/ops_later.h"

#include "conf/base.h"
#include "fs/commit.h"

struct wait_job {
	struct job job;
	struct ops *ops;
	fuse_req_t req;
	enum ops_kind kind;
	ops_again *again;
	uint64_t since_ns;
	struct ops_kept kept;
};

/* It says something by pointer. */
static bool kind_borrows(enum ops_kind kind)
{
	switch (kind) {
	case OPS_open:
	case OPS_release:
	case OPS_fsync:
	case OPS_fsyncdir:
	case OPS_fallocate:
	case OPS_copy_file_range:
	case OPS_setattr:
		return false;
	default:
		return true;
	}
}

/* With dirsync it waits for a commit after the change is made, when it is too late to do it again. */
static bool kind_changes_dir(enum ops_kind kind)
{
	switch (kind) {
	case OPS_mknod:
	case OPS_mkdir:
	case OPS_symlink:
	case OPS_link:
	case OPS_unlink:
	case OPS_rmdir:
	case OPS_rename:
	case OPS_create:
		return true;
	default:
		return false;
	}
}

/* It may have to wait until a commit is through, whatever it is about. */
static bool kind_changes(enum ops_kind kind)
{
	return kind_changes_dir(kind) || kind == OPS_write || kind == OPS_setattr ||
	       kind == OPS_fallocate || kind == OPS_setxattr || kind == OPS_removexattr;
}

bool ops_may_begin(const struct ops *o, fuse_req_t req, enum ops_kind kind)
{
	bool alone = ops_alone(req);

	/* It reads from the shards, and the part that is done cannot be undone. */
	if (kind == OPS_copy_file_range)
		return false;
	if (alone && o->dirsync && kind_changes_dir(kind))
		return false;
	if (alone && kind_changes(kind) && commit_is_long(o->fs))
		return false;
	later_forbid(alone || !kind_borrows(kind));
	return true;
}

bool ops_has_to_wait(int res)
{
	bool forbidden = later_forbidden();

	later_forbid(false);
	return res == OPS_WAIT || (res < 0 && forbidden);
}

static void wait_job(struct job *job)
{
	struct wait_job *j = container_of(job, struct wait_job, job);
	struct ops *o = j->ops;

	ops_finish(o, j->req, j->kind, j->since_ns, j->again(j->req, &j->kept));
	free(j);
	atomic_fetch_sub(&o->nr_later, 1);
}

int ops_later(struct ops *o, fuse_req_t req, enum ops_kind kind, ops_again *again,
	      const struct ops_kept *k, uint64_t since_ns)
{
	struct wait_job *j = malloc(sizeof(*j));

	if (!j)
		return -ENOMEM;
	*j = (struct wait_job){
		.job = {.run = wait_job},
		.ops = o,
		.req = req,
		.kind = kind,
		.again = again,
		.since_ns = since_ns,
		.kept = *k,
	};
	atomic_fetch_add(&o->nr_later, 1);
	later_post(o->later, &j->job);
	return OPS_LATER;
}
