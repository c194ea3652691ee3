/* matfsctl fsck: check an unmounted volume. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/fsck.h"
#include "fs/matfsctl.h"

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
	int *last = arg, percent = total ? (int)(done * 100 / total) : 100;

	if (percent == *last)
		return;
	*last = percent;
	fprintf(stderr, "\rverifying data: %3d %%%s", percent, percent == 100 ? "\n" : "");
}

static int fsck_report(int err, const struct fsck_result *r, const struct raid_stat *st)
{
	if (err) {
		fprintf(stderr,
			"matfsctl: fsck: %s; try matfsctl extract, then matfsctl extract "
			"--chunks\n",
			err == -EBADMSG ? "neither a checkpoint nor the log can be read"
					: strerror(-err));
		return err == -EBADMSG ? EXIT_UNCORRECTED : EXIT_OPERATION;
	}
	printf("%" PRIu64 " inodes (%" PRIu64 " directories), %" PRIu64 " extents, %" PRIu64
	       " bytes in files\n",
	       r->nr_inodes, r->nr_dirs, r->nr_extents, r->logical);
	if (r->nr_bad_chunks)
		printf("%" PRIu64
		       " bad chunks: reading them through a mount, or a scrub, repairs them\n",
		       r->nr_bad_chunks);
	if (st->nr_lost)
		printf("%u of the volume's shards are not there\n", st->nr_lost);
	printf("%" PRIu64 " problems\n", r->nr_problems);
	return r->nr_problems || r->nr_bad_chunks ? EXIT_UNCORRECTED : EXIT_GOOD;
}

int matfsctl_fsck(int argc, char **argv)
{
	static const struct option options[] = {{"data", no_argument, NULL, 'd'}, {0}};
	struct fsck_params p = {.say = matfsctl_say};
	struct fsck_result result = {0};
	char work[PATH_MAX];
	struct raid_stat st;
	struct shards s;
	struct raid *r;
	int c, err, percent = -1;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'd')
			return matfsctl_usage("fsck: unknown option");
		p.data = true;
	}
	if (optind == argc)
		return matfsctl_usage("fsck: which shards?");
	err = matfsctl_shards_init(&s, argv + optind, argc - optind);
	if (err)
		return err;
	err = matfsctl_shards_open(&s, &r);
	if (!err) {
		err = matfsctl_scratch_make(work);
		if (!err) {
			p.raid = r;
			p.work_dir = work;
			p.arg = &percent;
			p.progress = isatty(STDERR_FILENO) ? show_progress : NULL;
			raid_stat_get(r, &st);
			err = fsck_report(fsck_run(&p, &result), &result, &st);
			matfsctl_scratch_remove(work);
		}
		raid_close(r, false);
	}
	matfsctl_shards_fini(&s);
	return err;
}
