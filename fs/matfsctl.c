/* matfsctl: look at volumes, check them, dig files out of them, compress files anew.
 *
 * Exit codes: status 0 healthy, 1 degraded or worse, 8 cannot be told; fsck as fsck(8): 0 no errors, 4 errors left
 * uncorrected, 8 operational error, 16 usage; extract 0 all, 1 some files are damaged, 8 failed; recompress 0 all, 1 not
 * all files, 8 none. */
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "fs/matfsctl.h"

static const char usage_text[] =
	"usage: matfsctl status MOUNTPOINT [--json]\n"
	"       matfsctl status SHARD...\n"
	"       matfsctl fsck [--data] SHARD...\n"
	"       matfsctl extract [--chunks] SHARD... DIR\n"
	"       matfsctl recompress [--wait] PATH...\n"
	"       matfsctl bench-codec [--level N] [--size SIZE] [--rounds N] [--gpu auto|on|off] "
	"[--json] FILE...\n"
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
	"recompress\n"
	"         have the data of mounted files, and of all files in directories, written once "
	"more "
	"in the background as\n"
	"         their codec (attribute user.matfs.codec) or the mount's settings say now; "
	"--wait: "
	"until all that is queued is done\n"
	"         exit codes: 0 all done (or queued), 1 some files could not be, 8 none could, 16 "
	"usage\n"
	"\n"
	"bench-codec\n"
	"         what this codec and zstd make of FILEs (of the first 256M of each, or SIZE): "
	"ratio, "
	"and MB/s of one core,\n"
	"         and of a GPU where there is one; exit codes: 0 all, 1 some files could not be "
	"read, "
	"8 none, 16 usage\n"
	"\n"
	"SHARD... are the volume's backing directories, as many as there still are.\n"
	"\n"
	"examples:\n"
	"  matfsctl status /mnt/mat\n"
	"  matfsctl fsck --data /disk1/shard /disk2/shard /disk3/shard\n"
	"  matfsctl extract /disk1/shard /disk3/shard /home/me/rescued\n"
	"  setfattr -n user.matfs.codec -v zstd:12 /mnt/mat/old\n"
	"  matfsctl recompress --wait /mnt/mat/old\n"
	"  matfsctl bench-codec --level 9 *.npy\n";

int matfsctl_usage(const char *what)
{
	fprintf(stderr, "matfsctl: %s; see matfsctl --help\n", what);
	return EXIT_USAGE;
}

void matfsctl_say(void *arg, const char *line)
{
	(void)arg;
	printf("%s\n", line);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {
		{"status", matfsctl_status},	 {"fsck", matfsctl_fsck},
		{"extract", matfsctl_extract},	 {"recompress", matfsctl_recompress},
		{"bench-codec", matfsctl_bench},
	};

	if (argc < 2)
		return matfsctl_usage("which command?");
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
