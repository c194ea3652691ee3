#!/bin/bash
# A volume on small shards is filled by parallel writers until ENOSPC. What was taken before is intact,
# also after a remount; statfs told the truth about how much that would be; unlink works and gives the
# space back; then it is filled again. On ext4 (loop devices) and on tmpfs of different sizes; root only.
#
# Settings besides those of lib.sh:
#   LEVELS  which levels (default: 0 1 5 6 on ext4, 5 on tmpfs)

# shellcheck source=tests/mount/lib.sh
. "${SRC_DIR:?}/tests/mount/lib.sh"

need_fuse
[ "$(id -u)" -eq 0 ] || skip "only root can make small file systems"

python=/usr/bin/python3
[ -x "$python" ] || python=python3
seed=${SEED:-$RANDOM}

full_work() { "$python" "$SRC_DIR/tests/mount/full_work.py" "$@"; }

# Make shard $1 of $2 megabytes; which kind, $disk says.
make_disk()
{
	mkdir -p "$work/shard$1"
	if [ "$disk" = tmpfs ]; then
		mount -t tmpfs -o "size=$2m" tmpfs "$work/shard$1"
		return
	fi
	truncate -s "$2M" "$work/image$1" && mkfs.ext4 -q -m 0 "$work/image$1" &&
		mount -o loop "$work/image$1" "$work/shard$1" && rmdir "$work/shard$1/lost+found"
}

# Shards of the sizes given, in megabytes; false where that kind cannot be made here.
new_disks()
{
	local i=0 size

	shards=
	for size; do
		i=$((i + 1))
		make_disk "$i" "$size" 2>"$work/disk.err" || return 1
		shards=$shards${shards:+:}$work/shard$i
	done
}

drop_disks()
{
	local dir

	for dir in "$work"/shard*; do
		! is_mounted "$dir" || umount "$dir" || fail "cannot unmount $dir"
	done
	rm -rf "$work"/shard* "$work"/image*
}

# The space that statfs tells of: total, avail.
look() { read -r total avail < <(full_work space "$mnt") || fail "$what: statfs"; }

# Freed space comes back with the commits that follow: $avail must come to be $1 at least.
expect_avail()
{
	local end=$((SECONDS + 20))

	while look && [ "$avail" -lt "$1" ]; do
		[ "$SECONDS" -lt "$end" ] || { cp $mnt/.stats /tmp/full.stats; df -k $work/shard? > /tmp/full.df; du -a --apparent-size $work/shard? >> /tmp/full.df; du -a $work/shard? >> /tmp/full.df; fail "$what: $2: $avail bytes are available, not $1"; }
		sleep 0.2
	done
}

# Bytes of stripes on the shards.
used_bytes()
{
	"$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["volume"]["used_bytes"])' \
		"$mnt/.stats.json"
}

# Round $1: four writers at once, until each is refused.
fill_volume()
{
	local w kind p pids=()

	for w in 1 2 3 4; do
		kind=$([ "$w" -le 2 ] && echo big || echo mixed)
		full_work fill "$mnt" "$work/record$1-$w" "$((seed + 10 * $1 + w))" "$kind" &
		pids+=("$!")
	done
	for p in "${pids[@]}"; do
		wait "$p" || fail "$what: a writer failed"
	done
}

verify_volume()
{
	local record

	for record in "$work"/record"$1"-*; do
		full_work verify "$mnt" "$record" || fail "$what: $2"
	done
}

remount()
{
	umount_matfs || fail "$what: cannot unmount"
	mount_matfs "shards=$shards" || fail "$what: cannot mount the full volume"
}

# At least this part of what statfs promised must have been taken.
expect_taken()
{
	local taken

	taken=$(full_work taken "$work"/record"$2"-*) || fail "$what: records"
	echo "$what: $((taken / 1000000)) MB taken of $(($1 / 1000000)) MB that statfs promised"
	[ "$taken" -ge $(($1 * 90 / 100)) ] || fail "$what: full too early"
	# (Tiny files are kept with the metadata, which has its own reserve.)
	[ "$taken" -le $((total * 103 / 100)) ] || fail "$what: more was taken than the $total bytes that there are"
}

# On a full volume names may be refused, but never take what unlinking and committing need.
make_names()
{
	local i

	# The last blocks, which the writers' long writes did not fit into.
	head -c 50000000 /dev/urandom | dd of="$mnt/last" bs=4k status=none 2>/dev/null &&
		fail "$what: full, but 50 MB were taken"
	for i in $(seq 3000); do
		: 2>/dev/null >"$mnt/name$i" || break
	done
	"$python" -c 'import os, sys; os.fsync(os.open(sys.argv[1], os.O_RDONLY))' "$mnt" ||
		fail "$what: cannot sync a full volume"
	rm -f "$mnt/last" || fail "$what: cannot unlink on a full volume"
}

# The writers of round 1 filled it. Delete half of what they wrote, then the rest.
check_full()
{
	local promised unlinked

	look
	promised=$avail
	fill_volume 1
	verify_volume 1 "what was taken is not there"
	look
	expect_taken "$promised" 1
	[ "$avail" -lt $((total / 10)) ] || fail "$what: full, but $avail bytes are available"
	remount
	verify_volume 1 "what was taken is not there after a remount"

	make_names
	rm "$mnt"/big* || fail "$what: cannot unlink on a full volume"
	# Who comes back at once need not wait for the commits either.
	head -c 8000000 /dev/urandom >"$mnt/at-once" || fail "$what: no room right after an unlink"
	rm "$mnt/at-once"
	expect_avail $((promised / 2)) "after an unlink"
	unlinked=$avail
	rm "$work"/record1-1 "$work"/record1-2
	verify_volume 1 "unlink harmed other files"
	fill_volume 2
	verify_volume 2 "what was taken the second time is not there"
	expect_taken "$unlinked" 2
	verify_volume 1 "filling again harmed older files"
	remount
	verify_volume 1 "older files are not there after a remount"
	verify_volume 2 "the second filling is not there after a remount"

	find "$mnt" -type f -delete || fail "$what: cannot unlink"
	# All of it, but for the log of a few megabytes, which is much on disks so small.
	expect_avail $((promised * 85 / 100)) "empty again"
	[ "$(used_bytes)" -eq 0 ] || fail "$what: empty again, but $(used_bytes) bytes are in use"
}

for disk in tmpfs; do
	levels=${LEVELS:-$([ "$disk" = ext4 ] && echo 0 1 5 6 || echo 5)}
	for level in $levels; do
		what="raid $level on $disk"
		if [ "$disk" = ext4 ]; then
			new_disks 64 64 64 64
		else
			new_disks 48 64 64 96
		fi || {
			echo "$what: left out: $(cat "$work/disk.err")"
			drop_disks
			continue
		}
		done=1
		mount_matfs "raid=$level,foreground,shards=$shards" || fail "$what: cannot mount"
		check_full
		umount_matfs || fail "$what: cannot unmount"
		"${MATFSCTL:?}" fsck --data "$work"/shard? >"$work/fsck" 2>&1 ||
			fail "$what: fsck: $(cat "$work/fsck")"
		drop_disks
		rm -f "$work"/record*
	done
done
[ -n "${done:-}" ] || skip "neither loop devices nor tmpfs can be mounted here"
echo "test_full: passed"
