/* The paths of shards: no directory twice, none within another, none within the mountpoint or around it. */
#include "raid/discover.h"

#include <string.h>
#include <sys/stat.h>

#include "conf/base.h"
#include "conf/path.h"

/* Without links where it exists, else only tidied: the disk may be mounted there later. */
static char *resolve_path(const char *path)
{
	AUTO_FREE char *tidy = NULL;

	return path_absolute(path, NULL, NULL, &tidy) ? NULL : path_resolve(tidy);
}

/* @path is @dir or below it. */
static bool path_within(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 1)
		return true;
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool same_directory(const struct discover_path *a, const struct discover_path *b)
{
	if (strcmp(a->path, b->path) == 0)
		return true;
	return a->has_id && b->has_id && a->dev == b->dev && a->ino == b->ino;
}

static void take_id(struct discover_path *at)
{
	struct stat st;

	at->has_id = stat(at->path, &st) == 0;
	if (at->has_id) {
		at->dev = st.st_dev;
		at->ino = st.st_ino;
	}
}

static int check_pair(struct discovery *d, const struct discover_path *a,
		      const struct discover_path *b)
{
	if (same_directory(a, b)) {
		if (strcmp(a->path, b->path) == 0)
			return discover_refuse(d, -EINVAL,
					       "shard %s is listed twice; list each directory once",
					       a->path);
		return discover_refuse(
			d, -EINVAL,
			"shards %s and %s are the same directory; list each directory once",
			a->path, b->path);
	}
	if (path_within(a->path, b->path))
		return discover_refuse(d, -EINVAL,
				       "shard %s lies within shard %s; put them side by side",
				       a->path, b->path);
	if (path_within(b->path, a->path))
		return discover_refuse(d, -EINVAL,
				       "shard %s lies within shard %s; put them side by side",
				       b->path, a->path);
	return 0;
}

static int check_mountpoint(struct discovery *d, const char *mountpoint)
{
	for (unsigned i = 0; i < d->nr; i++) {
		const char *path = d->at[i].path;

		if (path_within(path, mountpoint))
			return discover_refuse(d, -EINVAL,
					       "shard %s lies within the mountpoint %s and would "
					       "be hidden by it; use "
					       "a directory elsewhere",
					       path, mountpoint);
		if (path_within(mountpoint, path))
			return discover_refuse(
				d, -EINVAL,
				"the mountpoint %s lies within shard %s; mount elsewhere",
				mountpoint, path);
	}
	return 0;
}

int discover_check_paths(struct discovery *d)
{
	AUTO_FREE char *mountpoint = NULL;
	int err = 0;

	for (unsigned i = 0; i < d->nr; i++)
		take_id(&d->at[i]);
	for (unsigned i = 0; i < d->nr; i++) {
		for (unsigned j = 0; !err && j < i; j++)
			err = check_pair(d, &d->at[j], &d->at[i]);
	}
	if (err || !d->params->mountpoint)
		return err;
	mountpoint = resolve_path(d->params->mountpoint);
	return mountpoint ? check_mountpoint(d, mountpoint) : -ENOMEM;
}

int discover_take_paths(struct discovery *d)
{
	const struct raid_params *p = d->params;

	if (p->nr_paths < 1 || p->nr_paths > SHARD_MAX)
		return discover_refuse(d, -EINVAL, "%u shards are given; give 1 to %d directories",
				       p->nr_paths, SHARD_MAX);
	for (unsigned i = 0; i < p->nr_paths; i++) {
		if (p->paths[i][0] != '/')
			return discover_refuse(
				d, -EINVAL, "shard '%s' is no absolute path; let it begin with /",
				p->paths[i]);
		d->at[i].path = resolve_path(p->paths[i]);
		if (!d->at[i].path)
			return -ENOMEM;
		d->nr++;
	}
	return discover_check_paths(d);
}
