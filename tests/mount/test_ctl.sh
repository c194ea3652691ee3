#!/bin/bash
# matfsctl: status, fsck and extract, on volumes that are whole, that lack shards and that are damaged,
# with their exit codes.

# shellcheck source=tests/mount/lib.sh
. "${SRC_DIR:?}/tests/mount/lib.sh"

need_fuse
[ -x "${MATFSCTL:?}" ] || fail "$MATFSCTL is not there"

# ctl CODE PATTERN ARGUMENT...: matfsctl ends with that code and says what matches. @ stands for all
# shards that are there.
ctl()
{
	local code=$1 pattern=$2 rc arg args=()

	shift 2
	for arg; do
		if [ "$arg" = @ ]; then
			args+=("$work"/shard?)
		else
			args+=("$arg")
		fi
	done
	timeout 120 "$MATFSCTL" "${args[@]}" >"$work/said" 2>&1
	rc=$?
	[ "$rc" -eq "$code" ] || fail "matfsctl $*: exit code $rc, not $code: $(cat "$work/said")"
	grep -Eq -- "$pattern" "$work/said" || fail "matfsctl $*: no '$pattern': $(cat "$work/said")"
}

hide() { mv "$work/shard$1" "$work/away$1" || fail "cannot move shard $1"; }
unhide() { mv "$work/away$1" "$work/shard$1" || fail "cannot move shard $1 back"; }

# What fsck and extract must not change, the lock aside.
fingerprint()
{
	find "$work"/shard* -type f ! -name lock -exec sha256sum {} + | sort
}

# A tree with what an extract has to bring back.
make_tree()
{
	local to=$1

	mkdir -p "$to/dir/deeper" "$to/empty"
	cp "$MATFS" "$to/dir/program"
	head -c 100 "$MATFS" >"$to/dir/deeper/tiny"
	: >"$to/dir/nothing"
	mkfifo -m 604 "$to/fifo"
	ln "$to/dir/program" "$to/linked"
	ln -s dir/program "$to/symlink"
	truncate -s 5M "$to/sparse"
	head -c 300000 "$MATFS" | dd of="$to/sparse" bs=1M seek=2 conv=notrunc status=none
	chmod 640 "$to/dir/deeper/tiny"
	touch -d '2001-02-03 04:05:06.789' "$to/dir/program"
	printf 'odd\n' >"$to/"$'name with\nnewline and \xff'
	[ "$(find "$to" -printf . | wc -c)" -eq 12 ] || fail "cannot make files in $to"
}

# $1 is that tree, in names, bytes, modes, times and links.
is_tree()
{
	local differences

	# (The top directory is the user's own.)
	differences=$(rsync -aHcni --delete "$work/model/" "$1/" | grep -v ' \./$') &&
		fail "$2: $differences"
	[ "$1/linked" -ef "$1/dir/program" ] || fail "$2: a hard link is two files"
}

tells_usage()
{
	ctl 0 'usage: matfsctl' --help
	ctl 0 '^matfsctl [0-9]+\.[0-9]' --version
	ctl 16 'help'
	ctl 16 'frobnicate: no such command' frobnicate
	ctl 16 'which shards' fsck
	ctl 16 'unknown option' fsck --frobnicate "$work/shard1"
	ctl 16 'needs shards' extract "$work/shard1"
	ctl 8 'No such file' fsck "$work/nowhere"
	ctl 8 'no shard' fsck "$work/model"
}

status_of_a_mount()
{
	ctl 0 '^  state +online$' status "$mnt"
	ctl 0 '"state": *"online"' status "$mnt" --json
	python3 -m json.tool "$work/said" >/dev/null || fail "status --json is no JSON"
	# In use: looking from outside would show half of it.
	ctl 8 'in use by' fsck @
}

status_of_shards()
{
	ctl 0 'raid +5, 4 shards' status @
	grep -q '^stop  *clean' "$work/said" || fail "not clean: $(cat "$work/said")"
	[ "$(grep -c '^shard .*online' "$work/said")" -eq 4 ] || fail "not four: $(cat "$work/said")"
	hide 2
	ctl 1 '^shard 1 +missing' status @
	unhide 2
}

status_of_a_degraded_mount()
{
	hide 3
	mount_matfs "wait=0,degraded,shards=$shards" 2>/dev/null || fail "cannot mount degraded"
	ctl 1 '^  state +degraded$' status "$mnt"
	umount_matfs || fail "cannot unmount"
	unhide 3
	mount_matfs "wait=0,shards=$shards" 2>/dev/null || fail "cannot mount"
	umount_matfs || fail "cannot unmount"
}

checks_a_whole_volume()
{
	local before

	before=$(fingerprint)
	ctl 0 '^0 problems' fsck @
	ctl 0 '^0 problems' fsck --data @
	hide 1
	ctl 0 '1 of the volume.s shards are not there' fsck --data @
	unhide 1
	[ "$(fingerprint)" = "$before" ] || fail "fsck changed the shards"
}

checks_an_unclean_volume()
{
	mount_matfs "shards=$shards" 2>/dev/null || fail "cannot mount"
	echo more >"$mnt/more"
	sync "$mnt/more" || fail "cannot write"
	kill -KILL "$(daemon_pids)"
	wait_daemon_gone 10
	fusermount3 -u -z "$mnt" || fail "cannot unmount"
	ctl 0 'unclean' status @
	ctl 0 '^0 problems' fsck --data @
	mount_matfs "shards=$shards" 2>/dev/null || fail "cannot mount"
	rm "$mnt/more"
	umount_matfs || fail "cannot unmount"
}

extracts_all()
{
	local before

	before=$(fingerprint)
	ctl 0 ' 0 damaged' extract @ "$work/out"
	is_tree "$work/out" "extract"
	ctl 8 'not an empty directory' extract @ "$work/out"
	rm -rf "$work/out"
	hide 4
	ctl 0 ' 0 damaged' extract @ "$work/out"
	is_tree "$work/out" "extract with a shard missing"
	rm -rf "$work/out"
	unhide 4
	[ "$(fingerprint)" = "$before" ] || fail "extract changed the shards"
}

# Which file by chunks is this one?
find_by_bytes()
{
	local file

	for file in "$work/out"/inode-*; do
		cmp -s "$file" "$1" && return
	done
	return 1
}

# Without any log, checkpoint and superblock.
extracts_by_chunks()
{
	local dir

	cp -r "$work"/shard1 "$work/keep1"
	for dir in "$work"/shard?; do
		rm -rf "$dir/log" "$dir/ckpt" "$dir"/super.?
	done
	ctl 8 'no volume|extract' extract @ "$work/out"
	ctl 0 ' files' extract --chunks @ "$work/out2"
	mv "$work/out2" "$work/out.chunks"
	rm -rf "$work/out"
	mv "$work/out.chunks" "$work/out"
	find_by_bytes "$MATFS" || fail "extract --chunks does not bring the program back"
	rm -rf "$work/out"
	hide 2
	ctl 0 ' files' extract --chunks @ "$work/out"
	find_by_bytes "$MATFS" || fail "extract --chunks does not bear the loss of a shard"
	rm -rf "$work/out"
	unhide 2
}

# Zeros over a stretch of every segment file of shard $1.
damage()
{
	local file

	for file in "$work/shard$1/seg"/*; do
		dd if=/dev/zero of="$file" bs=4096 seek=4 count=60 conv=notrunc status=none
	done
}

finds_damage()
{
	damage 2
	ctl 0 '^0 problems' fsck @
	ctl 4 '^[1-9][0-9]* bad chunks' fsck --data @
	grep -q '^0 problems' "$work/said" || fail "parity covers it, but: $(cat "$work/said")"
	ctl 0 ' 0 damaged' extract @ "$work/out"
	is_tree "$work/out" "extract from a damaged shard"
	rm -rf "$work/out"
	# More than parity covers.
	damage 3
	ctl 4 '^[1-9][0-9]* problems' fsck --data @
	ctl 1 ' [1-9][0-9]* damaged' extract @ "$work/out"
	rm -rf "$work/out"
}

# A log is kept on every shard: one of four that is left is enough.
bears_lost_logs()
{
	local i

	for i in 1 2 3; do
		mv "$work/shard$i/log" "$work/log$i"
		mkdir "$work/shard$i/log"
	done
	ctl 0 '^0 problems' fsck @
	for i in 1 2 3; do
		rmdir "$work/shard$i/log"
		mv "$work/log$i" "$work/shard$i/log"
	done
}

make_tree "$work/model"
new_shards 4
tells_usage
mount_matfs "raid=5,shards=$shards" 2>/dev/null || fail "cannot mount"
rsync -aH "$work/model/" "$mnt/" || fail "cannot copy the tree"
sync "$mnt"
status_of_a_mount
umount_matfs || fail "cannot unmount"
status_of_shards
checks_a_whole_volume
checks_an_unclean_volume
extracts_all
bears_lost_logs
status_of_a_degraded_mount
finds_damage
rm -rf "$work"/shard?
new_shards 4
mount_matfs "raid=5,shards=$shards" 2>/dev/null || fail "cannot mount"
rsync -aH "$work/model/" "$mnt/" || fail "cannot copy the tree"
umount_matfs || fail "cannot unmount"
extracts_by_chunks
echo "test_ctl: passed"
