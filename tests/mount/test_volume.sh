#!/bin/bash
# What a mount refuses, with which words and exit code, and that a refusal changes nothing; what a
# volume does when shards are missing, vanish under way and come back.

# shellcheck source=tests/mount/lib.sh
. "${SRC_DIR:?}/tests/mount/lib.sh"

need_fuse

# Nothing of this user's own.
export HOME=$work/home XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state
export XDG_CONFIG_HOME=$work/config
mkdir "$HOME"

readonly SETTINGS=2 MOUNT=32

# What is in the shards: names and contents. The lock says who had it last and may change.
fingerprint()
{
	(cd "$work" && find shard* away* -type f ! -name lock -exec sha256sum {} + 2>/dev/null | sort)
}

# refused CODE PATTERN OPTIONS [MOUNTPOINT]: the mount ends with that code, says one line that
# matches, and leaves all shards as they were.
refused()
{
	local code=$1 pattern=$2 options=$3 dir=${4:-$mnt} before mounts rc

	before=$(fingerprint)
	mounts=$(grep -c " $work/.* fuse.matfs " /proc/self/mountinfo)
	timeout 60 "$MATFS" "$dir" -o "$options" >"$work/out" 2>"$work/err"
	rc=$?
	[ "$rc" -eq "$code" ] || fail "-o $options: exit code $rc, not $code: $(cat "$work/err")"
	grep -Eq -- "$pattern" "$work/err" || fail "-o $options: no '$pattern' in: $(cat "$work/err")"
	[ "$(grep -vc 'waiting up to' "$work/err")" -eq 1 ] ||
		fail "-o $options: not one line: $(cat "$work/err")"
	[ "$(grep -c " $work/.* fuse.matfs " /proc/self/mountinfo)" -eq "$mounts" ] ||
		fail "-o $options: mounted all the same"
	[ "$(fingerprint)" = "$before" ] || fail "-o $options: a refused mount changed the shards"
}

# The same, by root's lesser self where root may do everything.
refused_as_nobody()
{
	local code=$1 pattern=$2 options=$3 rc

	if [ "$(id -u)" -ne 0 ]; then
		refused "$@"
		return
	fi
	mkdir -p "$work/nobody"
	chown nobody "$work/nobody"
	HOME=$work/nobody XDG_DATA_HOME='' XDG_STATE_HOME='' XDG_CONFIG_HOME='' \
		timeout 60 setpriv --reuid nobody --clear-groups "$MATFS" "$work/nobody" -o "$options" \
		>"$work/out" 2>"$work/err"
	rc=$?
	[ "$rc" -eq "$code" ] || fail "nobody, -o $options: exit code $rc: $(cat "$work/err")"
	grep -Eq -- "$pattern" "$work/err" || fail "nobody, -o $options: $(cat "$work/err")"
}

hide() { mv "$work/shard$1" "$work/away$1" || fail "cannot move shard $1"; }
unhide() { mv "$work/away$1" "$work/shard$1" || fail "cannot move shard $1 back"; }
mount_or_fail() { mount_matfs "$1" 2>"$work/err" || fail "cannot mount with $1: $(cat "$work/err")"; }
umount_or_fail() { umount_matfs || fail "cannot unmount"; }

# The value of fact $2 in group $1 of .stats.json.
fact()
{
	python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]][sys.argv[3]])' \
		"$mnt/.stats.json" "$1" "$2"
}

shard_state()
{
	python3 -c 'import json, sys
for s in json.load(open(sys.argv[1]))["shards"]:
    if s["index"] == int(sys.argv[2]):
        print(s["state"])' "$mnt/.stats.json" "$1"
}

# Wait until fact $2 of group $1 is $3.
expect_fact()
{
	local end=$((SECONDS + 20))

	until [ "$(fact "$1" "$2")" = "$3" ]; do
		[ "$SECONDS" -lt "$end" ] || fail "$1 $2 is $(fact "$1" "$2"), not $3"
		sleep 0.1
	done
}

# Files that are too big for the metadata, by a number.
put() { head -c 3000000 "$MATFS" >"$mnt/put$1" && echo "$1" >>"$mnt/put$1" && sync "$mnt/put$1"; }
got()
{
	cmp -s <(head -c 3000000 "$MATFS"; echo "$1") "$mnt/put$1" || fail "put$1 is not what it was: $2"
}

# ---- settings ----

refuses_wrong_settings()
{
	new_shards 4
	refused $SETTINGS 'raid=4: .*0, 1, 5, 6' "raid=4,shards=$shards"
	refused $SETTINGS 'raidd.*raid' "raidd=5,shards=$shards"
	refused $SETTINGS 'codec=zip: .*auto.*none.*zstd' "codec=zip,shards=$shards"
	refused $SETTINGS 'engine=fast: .*auto.*uring.*sync' "engine=fast,shards=$shards"
	refused $SETTINGS 'level=20' "level=20,shards=$shards"
	refused $SETTINGS 'extent=3M' "extent=3M,shards=$shards"
	refused $SETTINGS 'extent=1T' "extent=1T,shards=$shards"
	refused $SETTINGS 'memory=1M' "memory=1M,shards=$shards"
	refused $SETTINGS 'cache=' "memory=64M,cache=1G,shards=$shards"
	refused $SETTINGS 'commit=' "commit=never,shards=$shards"
	refused $SETTINGS 'threads=' "threads=0,shards=$shards"
	refused $SETTINGS 'copies=1' "raid=1,copies=1,shards=$shards"
	refused $SETTINGS 'wait=' "wait=-1,shards=$shards"
	printf '# first\n[default]\ncodec = zstd\nmemroy = 1G\n' >"$work/conf"
	refused $SETTINGS 'conf:4.*memroy.*memory' "conf=$work/conf"
	refused $SETTINGS 'nowhere' "conf=$work/nowhere"
	[ ! -e "$XDG_DATA_HOME" ] || fail "a refused mount made shards"
}

# ---- places ----

refuses_wrong_places()
{
	new_shards 4
	refused $MOUNT 'listed twice' "raid=5,shards=$shards:$work/shard1"
	ln -s "$work/shard1" "$work/link"
	refused $MOUNT 'twice|same directory' "raid=5,shards=$shards:$work/link"
	mkdir "$mnt/inside"
	refused $MOUNT 'lies within the mountpoint' "raid=5,shards=$shards:$mnt/inside"
	rmdir "$mnt/inside"
	mkdir "$work/shard4/mnt"
	refused $MOUNT 'mountpoint .* lies within shard' "raid=5,shards=$shards" "$work/shard4/mnt"
	rmdir "$work/shard4/mnt"
	mkdir "$work/shard1/deeper"
	refused $MOUNT 'lies within shard' "raid=5,shards=$shards:$work/shard1/deeper"
	rmdir "$work/shard1/deeper"
	echo mine >"$work/shard3/file"
	refused $MOUNT 'shard3 is not empty' "raid=5,shards=$shards"
	rm "$work/shard3/file"
	echo mine >"$work/file"
	refused $MOUNT 'not a directory' "raid=5,shards=$shards:$work/file"
	refused $MOUNT 'does not exist' "raid=5,wait=0,shards=$shards:$work/shard9"
	refused $MOUNT 'raid6 needs 4 shards' "raid=6,shards=$work/shard1:$work/shard2:$work/shard3"
	refused $MOUNT 'raid1.* needs 3 shards' "raid=1,copies=3,shards=$work/shard1:$work/shard2"
	refused $MOUNT 'no volume' "ro,shards=$shards"
	chmod 755 "$work"/shard*
	refused_as_nobody $MOUNT 'shard1 .*(Permission denied|not writable)' "raid=5,shards=$shards"
}

refuses_without_hole_punching()
{
	[ "$(id -u)" -eq 0 ] || return 0
	new_shards 3
	mount -t ramfs ramfs "$work/shard1" || fail "cannot mount ramfs"
	refused $MOUNT 'shard1 cannot punch holes' "raid=5,shards=$shards"
	umount "$work/shard1" || fail "cannot unmount ramfs"
}

# ---- another volume, another geometry, another mount ----

refuses_what_disagrees()
{
	local first other=$work/othermnt

	new_shards 4
	first=$shards
	mount_or_fail "raid=5,extent=512K,shards=$first"
	put 1
	mkdir "$other"
	refused $MOUNT "in use by process $(daemon_pids) .*$mnt" "wait=0,shards=$first" "$other"
	refused $MOUNT "mounted there already" "shards=$first"
	umount_or_fail

	refused $MOUNT 'raid=6 .* is raid5' "raid=6,shards=$first"
	refused $MOUNT 'extent=1048576 .* has 524288' "extent=1M,shards=$first"
	mkdir "$work/shard5" "$work/shard6" "$work/shard7"
	refused $MOUNT 'shard5 is empty and is none of' "shards=$first:$work/shard5"

	shards=$work/shard5:$work/shard6:$work/shard7
	mount_or_fail "raid=5,shards=$shards"
	umount_or_fail
	refused $MOUNT 'another volume' "shards=$first:$work/shard5"
	cp -r "$work/shard1" "$work/shard8"
	refused $MOUNT 'both shard 0 .* copy' "shards=$first:$work/shard8"
	rm -r "$work"/shard[5678]

	# In any order, and without being asked for its level, it is the same volume.
	shards=$first
	mount_or_fail "shards=$work/shard3:$work/shard1:$work/shard4:$work/shard2"
	got 1 "with the shards in another order"
	[ "$(fact volume raid) $(fact volume extent_bytes)" = "5 524288" ] ||
		fail "the geometry is not that of the volume"
	umount_or_fail
}

# ---- missing shards ----

refuses_missing_shards()
{
	hide 2
	refused $MOUNT '1 of 4 shards missing: shard 1, last seen at .*shard2.* degraded' \
		"wait=0,shards=$shards"
	hide 3
	refused $MOUNT '2 of 4 shards missing, raid5 bears 1: .*salvage' "wait=0,shards=$shards"
	refused $MOUNT '2 of 4 shards missing, raid5 bears 1: .*salvage' \
		"wait=0,degraded,shards=$shards"
	unhide 3
	unhide 2
}

waits_for_missing_shards()
{
	local start=$SECONDS

	hide 2
	(
		sleep 2
		mv "$work/away2" "$work/shard2"
	) &
	mount_or_fail "wait=30,shards=$shards"
	wait "$!"
	[ $((SECONDS - start)) -lt 20 ] || fail "it waited although the shard was there"
	expect_fact volume state online
	got 1 "after waiting"
	umount_or_fail
	hide 2
	start=$SECONDS
	refused $MOUNT '1 of 4 shards missing' "wait=2,shards=$shards"
	[ $((SECONDS - start)) -ge 2 ] || fail "it did not wait"
	unhide 2
}

goes_on_degraded()
{
	hide 2
	mount_or_fail "wait=0,degraded,shards=$shards"
	grep -q '1 of 4 shards missing' "$work/err" || fail "it does not say so: $(cat "$work/err")"
	expect_fact volume state degraded
	[ "$(shard_state 1)" = missing ] || fail "shard 1 is $(shard_state 1), not missing"
	got 1 "degraded"
	put 2
	umount_or_fail
	# What was written without the one bears the loss of another, as soon as the one is back.
	unhide 2
	mount_or_fail "wait=0,shards=$shards"
	expect_fact volume state online
	umount_or_fail
	hide 3
	mount_or_fail "wait=0,degraded,shards=$shards"
	got 1 "without another one"
	got 2 "written degraded, read without another one"
	umount_or_fail
	unhide 3
	mount_or_fail "wait=0,shards=$shards"
	expect_fact volume state online
	umount_or_fail
}

salvages_what_is_left()
{
	local before

	hide 1
	hide 2
	before=$(fingerprint)
	mount_or_fail "wait=0,salvage,shards=$shards"
	[ -e "$mnt/put1" ] || fail "salvage shows no names"
	(echo x >"$mnt/new") 2>/dev/null && fail "a salvaged volume can be written"
	cat "$mnt/put1" >/dev/null 2>"$work/read.err" && fail "put1 cannot be whole with two of four"
	grep -q 'Input/output error' "$work/read.err" || fail "it says $(cat "$work/read.err")"
	umount_or_fail
	[ "$(fingerprint)" = "$before" ] || fail "salvage changed the shards"
	unhide 1
	unhide 2
	mount_or_fail "wait=0,shards=$shards"
	got 1 "after a salvage"
	umount_or_fail
}

changes_nothing_when_read_only()
{
	local before

	before=$(fingerprint)
	mount_or_fail "ro,shards=$shards"
	got 1 "read-only"
	expect_fact volume state read-only
	(echo x >"$mnt/new") 2>"$work/ro.err" && fail "a read-only volume can be written"
	grep -q 'Read-only file system' "$work/ro.err" || fail "it says $(cat "$work/ro.err")"
	umount_or_fail
	[ "$(fingerprint)" = "$before" ] || fail "a read-only mount changed the shards"
}

# ---- under way ----

outlives_a_vanishing_shard()
{
	mount_or_fail "shards=$shards"
	hide 4
	put 3
	put 4
	expect_fact volume state degraded
	[ "$(shard_state 3)" = failed ] || fail "shard 3 is $(shard_state 3), not failed"
	[ "$(sed -n '/^messages/,$p' "$mnt/.stats" | grep -c 'shard 3 .*FAILED')" -eq 1 ] ||
		fail "it does not say so once: $(sed -n '/^messages/,$p' "$mnt/.stats")"
	got 1 "after the loss of a shard"
	got 3 "written after the loss of a shard"
	umount_or_fail
	refused $MOUNT '1 of 4 shards missing' "wait=0,shards=$shards"
	unhide 4
	mount_or_fail "wait=0,shards=$shards"
	grep -q 'shard 3 .*missed changes' "$work/err" || fail "it does not say so: $(cat "$work/err")"
	expect_fact volume state online
	got 4 "after the return"
	umount_or_fail
}

# One more than the level bears, under way.
stops_when_too_many_vanish()
{
	mount_or_fail "shards=$shards"
	hide 1
	put 5
	hide 2
	put 6 2>/dev/null && fail "an fsync succeeded with two of four shards"
	(echo x >"$mnt/new" && sync "$mnt/new") 2>/dev/null && fail "an fsync succeeded without shards"
	[[ $(fact volume state) != @(online|degraded) ]] ||
		fail "with two of four shards it says it is $(fact volume state)"
	umount_matfs 2>/dev/null
	unhide 1
	unhide 2
	mount_or_fail "wait=0,shards=$shards"
	expect_fact volume state online
	got 1 "after losing too many"
	got 5 "synced before losing too many"
	umount_or_fail
}

refuses_wrong_settings
refuses_wrong_places
refuses_without_hole_punching
rm -rf "$work"/shard*
refuses_what_disagrees
refuses_missing_shards
waits_for_missing_shards
goes_on_degraded
salvages_what_is_left
changes_nothing_when_read_only
outlives_a_vanishing_shard
stops_when_too_many_vanish
echo "test_volume: passed"
