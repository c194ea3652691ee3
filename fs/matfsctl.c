/* matfsctl: look at volumes, check them, dig files out of them.
 *
 * Exit codes: status 0 healthy, 1 degraded or worse, 8 cannot be told; fsck as fsck(8): 0 no errors, 4 errors left
 * uncorrected, 8 operational error, 16 usage; extract 0 all, 1 some files are damaged, 8 failed. */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/base.h"
#include "conf/conf.h"
#include "conf/log.h"
#include "fs/extract.h"
#include "fs/fsck.h"
#include "raid/raid.h"
#include "raid/store.h"

enum {
	EXIT_GOOD = 0,
	EXIT_PARTLY = 1,
	EXIT_UNCORRECTED = 4,
	EXIT_OPERATION = 8,
	EXIT_USAGE = 16,
};

static const char usage_text[] =
	"usage: matfsctl status MOUNTPOINT [--json]\n"
	"       matfsctl status SHARD...\n"
	"       matfsctl fsck [--data] SHARD...\n"
	"       matfsctl extract [--chunks] SHARD... DIR\n"
	"       matfsctl --help | --version\n"
	"\n"
	"status   what .stats says of a mounted volume, or what the shards of an unmounted one "
	"say\n"
	"fsck     check every structure of an unmounted volume; with --data all data and parity, "
	"too\n"
	"         exit codes as fsck(8): 0 no errors, 4 errors found, 8 could not check, 16 usage\n"
	"extract  copy all files out of an unmounted volume into the empty directory DIR, as far "
	"as they can be read;\n"
	"         with --chunks by the heads of chunks alone, for when all metadata is lost\n"
	"\n"
	"SHARD... are the volume's backing directories, as many as there still are.\n"
	"\n"
	"examples:\n"
	"  matfsctl status /mnt/mat\n"
	"  matfsctl fsck --data /disk1/shard /disk2/shard /disk3/shard\n"
	"  matfsctl extract /disk1/shard /disk3/shard /home/me/rescued\n";

static int usage(const char *what)
{
	fprintf(stderr, "matfsctl: %s; see matfsctl --help\n", what);
	return EXIT_USAGE;
}

static void say(void *arg, const char *line)
{
	(void)arg;
	printf("%s\n", line);
}

/* ---- opening shards to look at them ---- */

struct shards {
	char *path[SHARD_MAX]; /* absolute; heap */
	unsigned nr;
};

static void shards_fini(struct shards *s)
{
	while (s->nr)
		free(s->path[--s->nr]);
}

static int shards_init(struct shards *s, char **argv, int argc)
{
	*s = (struct shards){.nr = 0};
	if (argc > SHARD_MAX)
		return usage("too many shards");
	for (int i = 0; i < argc; i++) {
		s->path[s->nr] = realpath(argv[i], NULL);
		if (!s->path[s->nr]) {
			fprintf(stderr, "matfsctl: %s: %s\n", argv[i], strerror(errno));
			shards_fini(s);
			return EXIT_OPERATION;
		}
		s->nr++;
	}
	return 0;
}

static int shards_open(const struct shards *s, struct raid **out)
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

/* ---- status ---- */

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
	int err = shards_init(&s, argv, argc);

	if (err)
		return err;
	err = shards_open(&s, &r);
	if (err) {
		shards_fini(&s);
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
	shards_fini(&s);
	return err;
}

static int cmd_status(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	char path[PATH_MAX];
	bool json = false, healthy = false;
	struct stat st;
	int c, err;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return usage("status: unknown option");
		json = true;
	}
	if (optind == argc)
		return usage("status: which mountpoint, or which shards?");
	snprintf(path, sizeof(path), "%s/.stats%s", argv[optind], json ? ".json" : "");
	if (argc - optind > 1 || stat(path, &st))
		return json ? usage("status: --json needs one mountpoint")
			    : status_shards(argv + optind, argc - optind);
	err = status_mount(path, &healthy);
	return err ? err : healthy ? EXIT_GOOD : EXIT_PARTLY;
}

/* ---- fsck ---- */

/* A scratch directory for the index, gone with the process's work. */
static int scratch_make(char path[PATH_MAX])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(path, PATH_MAX, "%s/matfsctl.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(path)) {
		fprintf(stderr, "matfsctl: %s: %s; set TMPDIR\n", path, strerror(errno));
		return EXIT_OPERATION;
	}
	return 0;
}

static void scratch_remove(const char *path)
{
	static const char *const file[] = {"data.mdb", "lock.mdb"};
	char name[PATH_MAX + 16];

	for (size_t i = 0; i < ARRAY_LEN(file); i++) {
		snprintf(name, sizeof(name), "%s/%s", path, file[i]);
		unlink(name);
	}
	rmdir(path);
}

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

static int cmd_fsck(int argc, char **argv)
{
	static const struct option options[] = {{"data", no_argument, NULL, 'd'}, {0}};
	struct fsck_params p = {.say = say};
	struct fsck_result result = {0};
	char work[PATH_MAX];
	struct raid_stat st;
	struct shards s;
	struct raid *r;
	int c, err, percent = -1;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'd')
			return usage("fsck: unknown option");
		p.data = true;
	}
	if (optind == argc)
		return usage("fsck: which shards?");
	err = shards_init(&s, argv + optind, argc - optind);
	if (err)
		return err;
	err = shards_open(&s, &r);
	if (!err) {
		err = scratch_make(work);
		if (!err) {
			p.raid = r;
			p.work_dir = work;
			p.arg = &percent;
			p.progress = isatty(STDERR_FILENO) ? show_progress : NULL;
			raid_stat_get(r, &st);
			err = fsck_report(fsck_run(&p, &result), &result, &st);
			scratch_remove(work);
		}
		raid_close(r, false);
	}
	shards_fini(&s);
	return err;
}

/* ---- extract ---- */

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
	int err = shards_open(s, &r);

	if (err)
		return -EIO;
	if (scratch_make(work)) {
		raid_close(r, false);
		return -EIO;
	}
	p->work_dir = work;
	err = extract_tree(r, p, result);
	scratch_remove(work);
	raid_close(r, false);
	return err;
}

static int cmd_extract(int argc, char **argv)
{
	static const struct option options[] = {{"chunks", no_argument, NULL, 'c'}, {0}};
	struct extract_params p = {.say = say};
	struct extract_result result = {0};
	bool chunks = false;
	struct shards s;
	int c, err;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'c')
			return usage("extract: unknown option");
		chunks = true;
	}
	if (argc - optind < 2)
		return usage("extract: needs shards, and last a directory to extract to");
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
	err = shards_init(&s, argv + optind, argc - optind - 1);
	if (err)
		return err;
	if (chunks)
		err = extract_chunks(store_sync(), (const char *const *)s.path, s.nr, &p, &result);
	else
		err = extract_metadata(&s, &p, &result);
	shards_fini(&s);
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

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {
		{"status", cmd_status},
		{"fsck", cmd_fsck},
		{"extract", cmd_extract},
	};

	if (argc < 2)
		return usage("which command?");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		fputs(usage_text, stdout);
		return EXIT_GOOD;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("matfsctl %s\n", conf_version());
		return EXIT_GOOD;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "matfsctl: %s: no such command; see matfsctl --help\n", argv[1]);
	return EXIT_USAGE;
}
