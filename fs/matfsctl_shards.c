/* What fsck, extract and status need of an unmounted volume. */
#include <stdio.h>
#include <string.h>

#include "fs/matfsctl.h"
#include "raid/store.h"

void matfsctl_shards_fini(struct shards *s)
{
	while (s->nr)
		free(s->path[--s->nr]);
}

int matfsctl_shards_init(struct shards *s, char **argv, int argc)
{
	*s = (struct shards){.nr = 0};
	if (argc > SHARD_MAX)
		return matfsctl_usage("too many shards");
	for (int i = 0; i < argc; i++) {
		s->path[s->nr] = realpath(argv[i], NULL);
		if (!s->path[s->nr]) {
			fprintf(stderr, "matfsctl: %s: %s\n", argv[i], strerror(errno));
			matfsctl_shards_fini(s);
			return EXIT_OPERATION;
		}
		s->nr++;
	}
	return 0;
}

int matfsctl_shards_open(const struct shards *s, struct raid **out)
{
	const struct raid_params p = {
		.ops = store_sync(),
		.paths = (const char *const *)s->path,
		.nr_paths = s->nr,
		.want = {.level = RAID_LEVEL_ANY},
		.salvage = true,
		.rdonly = true,
	};
	char why[512] = "";
	int err = raid_open(&p, out, why, sizeof(why));

	if (err)
		fprintf(stderr, "matfsctl: %s\n", why);
	return err ? EXIT_OPERATION : 0;
}

/* ---- scratch ---- */

int matfsctl_scratch_make(char path[PATH_MAX])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(path, PATH_MAX, "%s/matfsctl.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(path)) {
		fprintf(stderr, "matfsctl: %s: %s; set TMPDIR\n", path, strerror(errno));
		return EXIT_OPERATION;
	}
	return 0;
}

void matfsctl_scratch_remove(const char *path)
{
	static const char *const file[] = {"data.mdb", "lock.mdb"};
	char name[PATH_MAX + 16];

	for (size_t i = 0; i < ARRAY_LEN(file); i++) {
		snprintf(name, sizeof(name), "%s/%s", path, file[i]);
		unlink(name);
	}
	rmdir(path);
}
