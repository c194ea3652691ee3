/* matfsctl status: what .stats says of a mounted volume, or the shards of one that is not. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/matfsctl.h"

static int status_mount(const char *stats, bool *healthy)
{
	FILE *f = fopen(stats, "re");
	char line[1024];

	if (!f) {
		fprintf(stderr, "matfsctl: %s: %s; is this the mountpoint of a matfs?\n", stats,
			strerror(errno));
		return EXIT_OPERATION;
	}
	while (fgets(line, sizeof(line), f)) {
		/* Both forms of the file name the state in a line of its own. */
		if (strstr(line, "state") && strstr(line, "online") && !strstr(line, "shard"))
			*healthy = true;
		fputs(line, stdout);
	}
	fclose(f);
	return 0;
}

static int status_shards(char **argv, int argc)
{
	struct shards s;
	struct raid_stat st;
	struct raid *r;
	int err = matfsctl_shards_init(&s, argv, argc);

	if (err)
		return err;
	err = matfsctl_shards_open(&s, &r);
	if (err) {
		matfsctl_shards_fini(&s);
		return err;
	}
	raid_stat_get(r, &st);
	printf("volume  ");
	for (unsigned i = 0; i < RAID_UUID_LEN; i++)
		printf("%02x", raid_uuid(r)[i]);
	printf("\nraid    %u, %u shards, extents of %u KiB\n", raid_geometry(r)->level,
	       raid_geometry(r)->nr_shards, raid_geometry(r)->extent_len / 1024);
	printf("stop    %s\n", raid_was_clean(r) ? "clean" : "unclean: the next mount recovers");
	printf("epoch   %" PRIu64 ", log at %" PRIu64 ", checkpoint at %" PRIu64 "\n", st.epoch,
	       st.log_seq, st.checkpoint_seq);
	for (unsigned i = 0; i < raid_geometry(r)->nr_shards; i++) {
		struct shard_stat ss;

		raid_shard_stat(r, i, &ss);
		printf("shard %-2u %-8s %s\n", i, shard_state_name[ss.state],
		       ss.path ? ss.path : "-");
	}
	err = st.nr_lost ? EXIT_PARTLY : EXIT_GOOD;
	raid_close(r, false);
	matfsctl_shards_fini(&s);
	return err;
}

int matfsctl_status(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	char path[PATH_MAX];
	bool json = false, healthy = false;
	struct stat st;
	int c, err;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return matfsctl_usage("status: unknown option");
		json = true;
	}
	if (optind == argc)
		return matfsctl_usage("status: which mountpoint, or which shards?");
	snprintf(path, sizeof(path), "%s/.stats%s", argv[optind], json ? ".json" : "");
	if (argc - optind > 1 || stat(path, &st))
		return json ? matfsctl_usage("status: --json needs one mountpoint")
			    : status_shards(argv + optind, argc - optind);
	err = status_mount(path, &healthy);
	return err ? err : healthy ? EXIT_GOOD : EXIT_PARTLY;
}
