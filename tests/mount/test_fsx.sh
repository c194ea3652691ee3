#!/bin/bash
# Random operations on files by every way there is, mixed: fsx (one process and a model of its files) and fsx_many (many
# processes on one file), over transports, engines, levels, codecs, small memories. In between the volume is mounted anew;
# on a small disk ENOSPC comes; the daemon is killed, and then the files are as they were at one moment.
#
# Settings besides those of lib.sh:
#   SEED      of all of it (printed)
#   FSX_OPS   operations of each fsx (default 200; 100000 takes some minutes each)
#   FSX_ONLY  a pattern: only cases whose options have it
#   FSX_MORE  mount options for all

# shellcheck source=tests/mount/lib.sh
. "${SRC_DIR:?}/tests/mount/lib.sh"

need_fuse
[ -x "${MATFSCTL:?}" ] || fail "$MATFSCTL is not there"

programs=$BUILD_DIR/tests/mount
seed=${SEED:-$RANDOM}
RANDOM=$seed
ops=${FSX_OPS:-200}
seconds=$((1 + ops / 5000))
runs=0

# fsx and fsx_many say what is wrong, and their seed.
fsx()
{
	runs=$((runs + 1))
	"$programs/fsx" --seed "$((seed + runs))" --ops "$ops" "$@" >"$work/said" 2>&1 || {
		cat "$work/said" >&2
		fail "$what: fsx --seed $((seed + runs)) --ops $ops $*"
	}
}
many()
{
	runs=$((runs + 1))
	"$programs/fsx_many" --seed "$((seed + runs))" --seconds "$seconds" "$@" >"$work/said" 2>&1 || {
		cat "$work/said" >&2
		fail "$what: fsx_many --seed $((seed + runs)) --seconds $seconds $*"
	}
}

start()
{
	mount_matfs "shards=$shards,commit=1,$1${FSX_MORE:+,$FSX_MORE}" 2>"$work/messages" || {
		cat "$work/messages" >&2
		fail "$what: cannot mount"
	}
}

stop()
{
	umount_matfs || fail "$what: cannot unmount"
}

check_shards()
{
	local dirs

	IFS=: read -r -a dirs <<<"$shards"
	"$MATFSCTL" fsck --data "${dirs[@]}" >"$work/fsck" 2>&1 || fail "$what: fsck: $(cat "$work/fsck")"
}

# The tests must be able to fail.
finds_faults()
{
	local kind

	what=faults
	mkdir "$work/plain"
	for kind in lost-write short-write lost-append lost-truncate lost-punch lost-store stale-read wrong-model; do
		"$programs/fsx" --seed 3 --ops 300 --max 600000 --no-direct --fault "$kind" "$work/plain" >"$work/said" 2>&1
		[ $? -eq 1 ] || fail "fsx does not find $kind: $(cat "$work/said")"
		rm -rf "${work:?}/plain/"*
	done
	for kind in ranges append monotone fsync; do
		"$programs/fsx_many" --seconds 0.4 --no-direct --fault "$kind" "$work/plain" >"$work/said" 2>&1
		[ $? -eq 1 ] || fail "fsx_many $kind does not find a fault: $(cat "$work/said")"
	done
}

# One volume with options $1, mounted anew with other options $2; the rest: modes of fsx_many.
one_case()
{
	local first=$1 again=$2 mode

	shift 2
	what="$first, then $again"
	[[ $what == *${FSX_ONLY:-}* ]] || return 0
	new_shards 4
	rm -f "$work/state"
	start "$first"
	mkdir "$mnt/fsx" "$mnt/many"
	fsx --state "$work/state" "$mnt/fsx"
	stop
	start "$again"
	fsx --state "$work/state" "$mnt/fsx"
	for mode; do
		# shellcheck disable=SC2086 # a mode and its options
		many $mode "$mnt/many"
	done
	stop
	check_shards
}

# The daemon is killed under fsx. The files are as after one of its operations, and what was synced is there.
killed()
{
	local round pid p

	what="killed with $1"
	[[ $what == *${FSX_ONLY:-}* ]] || return 0
	new_shards 4
	for ((round = 1; round <= 2 + ops / 2000; round++)); do
		start "$1"
		rm -rf "$mnt/fsx"
		mkdir "$mnt/fsx"
		sync "$mnt"
		"$programs/fsx" --seed $((seed + round)) --ops 1000000 --max 1600000 --record "$work/record" \
			"$mnt/fsx" >"$work/said" 2>&1 &
		pid=$!
		sleep "0.$((RANDOM % 900 + 100))"
		for p in $(daemon_pids); do
			kill -KILL "$p"
		done
		wait "$pid" || {
			cat "$work/said" >&2
			fail "$what: fsx --seed $((seed + round))"
		}
		wait_daemon_gone 10 || fail "$what: a killed daemon does not end"
		while is_mounted "$mnt"; do
			fusermount3 -u -z "$mnt"
		done
		start "$1"
		"$programs/fsx" --max 1600000 --verify "$work/record" "$mnt/fsx" >"$work/said" 2>&1 ||
			fail "$what: round $round: $(cat "$work/said"); $(tail -n 3 "$work/record")"
		stop
		check_shards
	done
}

# Small disks: ENOSPC in the middle changes nothing.
full()
{
	local i

	what="full disk with $1"
	[[ $what == *${FSX_ONLY:-}* ]] || return 0
	shards=
	rm -f "$work/state-full"
	for i in 1 2 3 4; do
		rm -rf "$work/shard$i"
		mkdir "$work/shard$i"
		mount -t tmpfs -o size=36m tmpfs "$work/shard$i" || {
			echo "$what: left out, no tmpfs can be mounted here"
			return 0
		}
		shards=$shards${shards:+:}$work/shard$i
	done
	start "$1"
	mkdir "$mnt/fsx"
	# What is free now is more than the files may take, so most of it is taken.
	head -c 150000000 /dev/urandom 2>/dev/null | dd of="$mnt/filler" bs=64k status=none 2>/dev/null
	truncate -s -3M "$mnt/filler" || fail "$what: cannot truncate"
	# (The later --ops counts. Mapped pages keep what a failed write had put there: the kernel does that.)
	fsx --full --no-mmap --ops $((ops * 5)) --state "$work/state-full" --max 8000000 "$mnt/fsx"
	grep -q 'fsx: [1-9][0-9]* times the disk was full' "$work/said" || fail "$what: it was never full"
	stop
	start "$1"
	rm "$mnt/filler" || fail "$what: cannot unlink"
	fsx --state "$work/state-full" --max 8000000 "$mnt/fsx"
	stop
	check_shards
	for i in 1 2 3 4; do
		umount "$work/shard$i" || fail "$what: cannot unmount a shard"
	done
}

transports=
if "$MATFS" -h 2>&1 | grep -q 'transport='; then
	transports=",transport=classic"
	[ "$(cat /sys/module/fuse/parameters/enable_uring 2>/dev/null)" != Y ] ||
		transports="$transports ,transport=uring"
fi

echo "test_fsx: seed $seed, $ops operations each"
finds_faults
for transport in ${transports:-,noatime}; do
	one_case "raid=5,engine=uring,codec=auto$transport" "engine=sync$transport" "ranges" "monotone"
	one_case "raid=0,memory=64M,cache=1M,codec=none$transport" "codec=zstd,memory=64M$transport" \
		"append --procs 6" "ranges --no-mmap"
	one_case "raid=1,engine=sync,cache=1M,extent=256K$transport" "engine=uring,memory=64M,threads=1$transport" \
		"fsync --procs 100"
	one_case "raid=6,extent=4M,sync$transport" "codec=none,cache=1M$transport" "append --no-direct"
	killed "raid=5$transport"
	[ "$(id -u)" -ne 0 ] || full "raid=5$transport"
done
[ "$(id -u)" -eq 0 ] || echo "full disks left out: only root can make them"
echo "test_fsx: passed, $runs runs"
