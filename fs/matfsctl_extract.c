/* matfsctl extract: copy the files out of an unmounted volume. */
#include <dirent.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/extract.h"
#include "fs/matfsctl.h"
#include "raid/store.h"

static bool dir_empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	bool empty = d != NULL;

	while (empty && (e = readdir(d)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	if (d)
		closedir(d);
	return empty;
}

static int extract_metadata(const struct shards *s, struct extract_params *p,
			    struct extract_result *result)
{
	char work[PATH_MAX];
	struct raid *r;
	int err = matfsctl_shards_open(s, &r);

	if (err)
		return -EIO;
	if (matfsctl_scratch_make(work)) {
		raid_close(r, false);
		return -EIO;
	}
	p->work_dir = work;
	err = extract_tree(r, p, result);
	matfsctl_scratch_remove(work);
	raid_close(r, false);
	return err;
}

int matfsctl_extract(int argc, char **argv)
{
	static const struct option options[] = {{"chunks", no_argument, NULL, 'c'}, {0}};
	struct extract_params p = {.say = matfsctl_say};
	struct extract_result result = {0};
	bool chunks = false;
	struct shards s;
	int c, err;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'c')
			return matfsctl_usage("extract: unknown option");
		chunks = true;
	}
	if (argc - optind < 2)
		return matfsctl_usage("extract: needs shards, and last a directory to extract to");
	p.to = argv[argc - 1];
	if (mkdir(p.to, 0700) && errno != EEXIST) {
		fprintf(stderr, "matfsctl: %s: %s\n", p.to, strerror(errno));
		return EXIT_OPERATION;
	}
	if (!dir_empty(p.to)) {
		fprintf(stderr,
			"matfsctl: %s: is not an empty directory; nothing in it would be "
			"overwritten, so give "
			"another one\n",
			p.to);
		return EXIT_OPERATION;
	}
	err = matfsctl_shards_init(&s, argv + optind, argc - optind - 1);
	if (err)
		return err;
	if (chunks)
		err = extract_chunks(store_sync(), (const char *const *)s.path, s.nr, &p, &result);
	else
		err = extract_metadata(&s, &p, &result);
	matfsctl_shards_fini(&s);
	if (err) {
		fprintf(stderr, "matfsctl: extract: %s%s\n", strerror(-err),
			chunks ? "" : "; try matfsctl extract --chunks");
		return EXIT_OPERATION;
	}
	printf("%" PRIu64 " files, %" PRIu64 " directories, %" PRIu64 " bytes; %" PRIu64
	       " damaged\n",
	       result.nr_files, result.nr_dirs, result.bytes, result.nr_damaged);
	return result.nr_damaged ? EXIT_PARTLY : EXIT_GOOD;
}
