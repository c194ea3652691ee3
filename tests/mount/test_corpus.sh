#!/bin/bash
# Real data on each RAID level: in by numpy.save, cp, rsync and tar x; byte-identical after a
# remount, after each loss that the level bears, and with 1,000 bits of a shard flipped, which
# .stats counts and which a second read does not find again.
#
# Settings besides those of lib.sh:
#   MATFS_CORPUS  a directory with the data (default: the arrays of scripts/samples, and files of
#                 the system that any machine has)
#   LEVELS        which levels (default "0 1 5 6")
#   FLIPS         bits to flip (default 1000)
#   SEED          of the flips

# shellcheck source=tests/mount/lib.sh
. "${SRC_DIR:?}/tests/mount/lib.sh"

need_fuse
[ -x "${MATFSCTL:?}" ] || fail "$MATFSCTL is not there"

python=/usr/bin/python3
[ -x "$python" ] || python=python3
"$python" -c 'import numpy' 2>/dev/null || skip "python3-numpy is not installed"
command -v rsync >/dev/null || skip "rsync is not installed"

seed=${SEED:-$RANDOM$RANDOM}
flips=${FLIPS:-1000}
manifest=$work/manifest
# So small a cache that most reads come from the shards.
small_cache=memory=128M,cache=8M

corpus() { "$python" "$SRC_DIR/tests/mount/corpus.py" "$@" || fail "corpus.py $1"; }

# What any machine has: arrays out of packages, programs, and a tree of small texts.
make_corpus()
{
	local to=$work/corpus

	mkdir "$to"
	"$SRC_DIR/scripts/samples" "$SRC_DIR/.deps/samples" >&2 || skip "no samples to work on"
	cp "$SRC_DIR/.deps/samples"/*.npy "$to/"
	cp "$MATFS" /usr/bin/bash "$to/"
	cp -r "$SRC_DIR/raid" "$to/sources"
	: >"$to/empty"
	echo "$to"
}

if [ -n "${MATFS_CORPUS:-}" ]; then
	# (What begins with a dot there is what the corpus was made from.)
	mkdir "$work/corpus"
	cp -a --reflink=auto "$MATFS_CORPUS"/* "$work/corpus/" || fail "cannot copy $MATFS_CORPUS"
	data=$work/corpus
else
	data=$(make_corpus) || exit
fi

mount_or_fail() { mount_matfs "$1" || fail "raid $level: cannot mount with $1"; }
umount_or_fail() { umount_matfs || fail "raid $level: cannot unmount"; }

hide() { mv "$work/shard$1" "$work/away$1" || fail "cannot move shard $1"; }
unhide() { mv "$work/away$1" "$work/shard$1" || fail "cannot move shard $1 back"; }

# check_without SHARD...: all of it is there without them.
check_without()
{
	local i

	for i; do
		hide "$i"
	done
	mount_or_fail "shards=$shards,wait=0,degraded,ro"
	corpus check "$mnt" "$manifest" >/dev/null
	umount_or_fail
	for i; do
		unhide "$i"
	done
}

# Every loss of up to $2 of $1 shards.
check_losses()
{
	local i j

	for ((i = 1; i <= $1; i++)); do
		check_without "$i"
		for ((j = i + 1; $2 > 1 && j <= $1; j++)); do
			check_without "$i" "$j"
		done
	done
}

# More than $1 wrong chunks must have been found by now, each of them repaired.
wrong=0
expect_repaired()
{
	local repaired

	read -r wrong repaired < <(corpus stats "$mnt")
	[ "$wrong" -gt "$1" ] || fail "raid $level: no wrong chunk was noticed"
	[ "$repaired" -eq "$wrong" ] || fail "raid $level: $wrong wrong chunks, $repaired repaired"
	echo "raid $level: $wrong wrong chunks, all repaired"
}

# Print how many chunks are wrong on the shards: those too that a read does not need.
count_bad()
{
	local dirs rc nr

	IFS=: read -r -a dirs <<<"$shards"
	"$MATFSCTL" fsck --data "${dirs[@]}" >"$work/fsck" 2>&1
	rc=$?
	nr=$(sed -n 's/ bad chunks.*//p' "$work/fsck")
	# 4: there are some; 0: there are none.
	[ "$rc" -eq $((${nr:-0} > 0 ? 4 : 0)) ] || fail "raid $level: fsck: $(cat "$work/fsck")"
	grep -q '^0 problems' "$work/fsck" || fail "raid $level: fsck: $(cat "$work/fsck")"
	echo "${nr:-0}"
}

# Each repair is on disk: exactly as many chunks are wrong there as were passed by.
expect_bad()
{
	local after

	after=$(count_bad) || exit
	[ "$after" -eq "$1" ] || fail "raid $level: $after chunks are wrong, not $1"
}

# A second read finds nothing. (But copies of raid 1 are read in turn: there it finds what the first one
# passed by.)
expect_clean_read()
{
	[ "$level" -ne 1 ] || return 0
	mount_or_fail "shards=$shards,$small_cache"
	corpus check "$mnt" "$manifest" >/dev/null
	read -r wrong _ < <(corpus stats "$mnt")
	[ "$wrong" -eq 0 ] || fail "raid $level: $wrong chunks are wrong again after their repair"
	umount_or_fail
}

check_flips()
{
	local bad

	corpus flip "$work/shard2" "$flips" "$seed"
	bad=$(count_bad) || exit
	mount_or_fail "shards=$shards,$small_cache"
	corpus check "$mnt" "$manifest" >/dev/null
	expect_repaired 0
	umount_or_fail
	expect_bad "$((bad - wrong))"
	expect_clean_read

	# Under a running daemon. The same shard, since chunks of it that no read needed are still wrong.
	mount_or_fail "shards=$shards,$small_cache"
	corpus flip "$work/shard2" "$flips" "$((seed + 1))"
	corpus check "$mnt" "$manifest" >/dev/null
	expect_repaired 0
	umount_or_fail
	expect_clean_read
}

# Nothing can repair raid 0, but nothing wrong is ever given out.
check_flips_unrepairable()
{
	corpus flip "$work/shard2" "$flips" "$seed"
	mount_or_fail "shards=$shards,$small_cache"
	corpus check "$mnt" "$manifest" --errors-allowed
	read -r wrong _ < <(corpus stats "$mnt")
	[ "$wrong" -gt 0 ] || fail "raid 0: no wrong chunk was noticed"
	umount_or_fail
}

run_level()
{
	local nr parity start=$SECONDS

	case $level in
	0) nr=3 parity=0 ;;
	1) nr=3 parity=1 ;;
	5) nr=4 parity=1 ;;
	6) nr=5 parity=2 ;;
	*) fail "LEVELS: $level is none of 0, 1, 5, 6" ;;
	esac
	new_shards "$nr"
	mount_or_fail "raid=$level,shards=$shards"
	corpus put "$data" "$mnt" "$manifest"
	corpus check "$mnt" "$manifest"
	sed -n 's/^ *ratio *//p' "$mnt/.stats" | sed "s/^/raid $level: compressed by /"
	umount_or_fail
	echo "raid $level: written after $((SECONDS - start)) s"

	mount_or_fail "shards=$shards,ro"
	corpus check "$mnt" "$manifest" >/dev/null
	umount_or_fail
	[ "$parity" -eq 0 ] || check_losses "$nr" "$parity"
	echo "raid $level: every loss checked after $((SECONDS - start)) s"

	if [ "$parity" -gt 0 ]; then
		check_flips
	else
		check_flips_unrepairable
	fi
	rm -rf "$work"/shard*
	echo "raid $level: passed in $((SECONDS - start)) s"
}

echo "test_corpus: seed $seed"
for level in ${LEVELS:-0 1 5 6}; do
	run_level
done
echo "test_corpus: passed"
