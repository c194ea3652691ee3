/* Digging files out: the tree by its metadata, single files by the heads of chunks, with a shard missing. */
#include "tests/fs/fs_make.h"

#include <fcntl.h>
#include <unistd.h>

#include "conf/log.h"
#include "fs/commit.h"
#include "fs/extract.h"
#include "fs/file.h"
#include "fs/name.h"

static struct fs_make make;
static char to[400], work[400];
static uint64_t big_ino, small_ino[2];

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)((i * 2654435761u) >> 11 ^ seed);
}

static uint64_t put(uint64_t parent, const char *name, size_t off, size_t len, unsigned seed)
{
	struct name_new nn = {.mode = S_IFREG | 0640};
	struct name n = {name, strlen(name)};
	uint8_t *p = malloc(len + 1);
	struct inode *in;
	uint64_t ino;

	if (name_lookup(make.fs, parent, n, &in))
		assert_int_equal(name_make(make.fs, parent, n, &nn, &in), 0);
	fill(p, len, seed);
	assert_int_equal(file_write(in, off, &(struct iovec){p, len}, 1, false), 0);
	ino = in->ino;
	inode_put(in);
	free(p);
	return ino;
}

static void has(const char *path, size_t off, size_t len, unsigned seed)
{
	uint8_t *want = malloc(len), *got = malloc(len);
	char full[900];
	int fd;

	snprintf(full, sizeof(full), "%s/%s", to, path);
	fd = open(full, O_RDONLY);
	assert_true(fd >= 0);
	fill(want, len, seed);
	assert_int_equal(pread(fd, got, len, (off_t)off), len);
	assert_memory_equal(got, want, len);
	close(fd);
	free(want);
	free(got);
}

static int setup(void **state)
{
	struct name_new dir = {.mode = S_IFDIR | 0750};
	struct name_new link = {.mode = S_IFLNK | 0777, .target = "big"};
	struct inode *in, *again;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	fs_make_init(&make, 3);
	snprintf(to, sizeof(to), "%s/to", make.dir);
	snprintf(work, sizeof(work), "%s/work", make.dir);
	assert_int_equal(mkdir(to, 0700) || mkdir(work, 0700), 0);
	assert_int_equal(name_make(make.fs, 1, (struct name){"dir", 3}, &dir, &in), 0);
	big_ino = put(1, "big", 0, 3 * MIB, 1);
	put(in->ino, "tiny", 0, 100, 2);
	assert_int_equal(name_link(make.fs, big_ino, in->ino, (struct name){"again", 5}, &again),
			 0);
	inode_put(again);
	inode_put(in);
	assert_int_equal(name_make(make.fs, 1, (struct name){"link", 4}, &link, &in), 0);
	inode_put(in);
	/* They share a stripe. */
	small_ino[0] = put(1, "small0", 0, 9000, 4);
	small_ino[1] = put(1, "small1", 0, 12000, 5);
	assert_int_equal(commit_wait(make.fs, commit_open_txg(make.fs)), 0);
	/* So do pieces of one. */
	for (unsigned i = 0; i < 3; i++)
		put(1, "small1", 4096 * i, 1000, 6);
	/* Newer bytes over a part of the older ones. */
	put(1, "big", MIB, 500000, 3);
	fs_make_down(&make);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fs_make_fini(&make);
	return 0;
}

static void say(void *arg, const char *line)
{
	(*(unsigned *)arg)++;
	print_message("%s\n", line);
}

static void big_is_right(const char *path)
{
	uint8_t *all = malloc(3 * MIB), *got = malloc(3 * MIB);
	char full[900];
	int fd;

	fill(all, 3 * MIB, 1);
	fill(all + MIB, 500000, 3);
	snprintf(full, sizeof(full), "%s/%s", to, path);
	fd = open(full, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 3 * MIB);
	assert_int_equal(pread(fd, got, 3 * MIB, 0), 3 * MIB);
	assert_memory_equal(got, all, 3 * MIB);
	close(fd);
	free(all);
	free(got);
}

static void small_are_right(const char *first, const char *second)
{
	uint8_t *all = malloc(12000), *got = malloc(12000);
	char full[900];
	int fd;

	has(first, 0, 9000, 4);
	fill(all, 12000, 5);
	for (unsigned i = 0; i < 3; i++)
		fill(all + 4096 * i, 1000, 6);
	snprintf(full, sizeof(full), "%s/%s", to, second);
	fd = open(full, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, got, 12000, 0), 12000);
	assert_memory_equal(got, all, 12000);
	close(fd);
	free(all);
	free(got);
}

static void tree_comes_out_without_a_shard(void **state)
{
	const char *paths[2] = {make.shard[0], make.shard[2]};
	struct raid_params rp = {.ops = store_sync(),
				 .paths = paths,
				 .nr_paths = 2,
				 .want = {.level = RAID_LEVEL_ANY},
				 .degraded = true,
				 .rdonly = true};
	unsigned said = 0;
	struct extract_params p = {.to = to, .work_dir = work, .say = say, .arg = &said};
	struct extract_result out;
	char path[900], target[16] = "";
	struct stat a, b;
	struct raid *r;
	char why[512] = "";

	(void)state;
	if (raid_open(&rp, &r, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(extract_tree(r, &p, &out), 0);
	raid_close(r, false);
	assert_int_equal(said, 0);
	assert_int_equal(out.nr_damaged, 0);
	assert_int_equal(out.nr_dirs, 1);
	big_is_right("big");
	has("dir/tiny", 0, 100, 2);
	small_are_right("small0", "small1");
	snprintf(path, sizeof(path), "%s/dir/again", to);
	assert_int_equal(stat(path, &a), 0);
	snprintf(path, sizeof(path), "%s/big", to);
	assert_int_equal(stat(path, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(b.st_mode & 07777, 0640);
	snprintf(path, sizeof(path), "%s/link", to);
	assert_int_equal(readlink(path, target, sizeof(target) - 1), 3);
	assert_string_equal(target, "big");
}

static void chunks_alone_give_the_newest_bytes(void **state)
{
	const char *paths[2] = {make.shard[1], make.shard[2]};
	unsigned said = 0;
	struct extract_params p = {.to = to, .work_dir = work, .say = say, .arg = &said};
	struct extract_result out;
	char name[40], other[40];

	(void)state;
	assert_int_equal(extract_chunks(store_sync(), paths, 2, &p, &out), 0);
	assert_int_equal(said, 0);
	assert_int_equal(out.nr_damaged, 0);
	assert_int_equal(out.nr_files, 3);
	snprintf(name, sizeof(name), "inode-%llu", (unsigned long long)big_ino);
	big_is_right(name);
	snprintf(name, sizeof(name), "inode-%llu", (unsigned long long)small_ino[0]);
	snprintf(other, sizeof(other), "inode-%llu", (unsigned long long)small_ino[1]);
	small_are_right(name, other);
}

static void one_shard_alone_says_what_is_lost(void **state)
{
	const char *paths[1] = {make.shard[1]};
	unsigned said = 0;
	struct extract_params p = {.to = work, .work_dir = work, .say = say, .arg = &said};
	struct extract_result out;

	(void)state;
	assert_int_equal(extract_chunks(store_sync(), paths, 1, &p, &out), 0);
	assert_true(said > 0);
	assert_int_equal(out.nr_damaged, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree_comes_out_without_a_shard),
		cmocka_unit_test(chunks_alone_give_the_newest_bytes),
		cmocka_unit_test(one_shard_alone_says_what_is_lost),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
