#!/bin/bash
# The program itself: mounting and unmounting in every way, what it refuses and with which words and
# exit codes, what it tells about itself, and that what was written is there afterwards.

# shellcheck source=tests/mount/lib.sh
. "${SRC_DIR:?}/tests/mount/lib.sh"

need_fuse

# Everything of the default places goes below $work.
export HOME=$work/home XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state
export XDG_CONFIG_HOME=$work/config
mkdir "$HOME"

# Run $MATFS with the arguments after the first two; expect exit code $1 and the pattern $2 (grep -E)
# in the one line on stderr. Nothing may be mounted.
refused()
{
	local want=$1 pattern=$2 rc

	shift 2
	timeout 60 "$MATFS" "$@" >"$work/out" 2>"$work/err"
	rc=$?
	[ "$rc" -eq "$want" ] || fail "matfs $*: exit code $rc instead of $want: $(cat "$work/err")"
	grep -Eq "$pattern" "$work/err" || fail "matfs $*: no '$pattern' in: $(cat "$work/err")"
	! is_mounted "$mnt" || fail "matfs $*: mounted all the same"
}

# Print the fact $1 (a Python expression of the parsed .stats.json, `s`).
fact()
{
	python3 -c 'import json, sys; s = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' \
		"$mnt/.stats.json" "$1"
}

says_who_it_is()
{
	"$MATFS" -V | grep -Eq '^matfs [0-9]+\.[0-9]+\.[0-9]+, libfuse 3\.' || fail "-V: $("$MATFS" -V)"
	"$MATFS" -h | grep -q '^usage: matfs' || fail "-h does not say how it is used"
}

refuses_wrong_settings()
{
	refused 2 'raid=7.*allowed: 0, 1, 5, 6' "$mnt" -o "raid=7,shards=$shards"
	refused 2 "shrads.*shards" "$mnt" -o "shrads=$shards"
	refused 2 'commit=0' "$mnt" -o "commit=0,shards=$shards"
	printf '[default]\nlevle=3\n' >"$work/wrong.conf"
	refused 2 'wrong.conf:2.*levle.*level' "$mnt" -o "conf=$work/wrong.conf"
	for dir in "$work"/shard*; do
		[ -z "$(ls -A "$dir")" ] || fail "a refused mount left something in $dir"
	done
	[ ! -e "$work/data" ] && [ ! -e "$work/state" ] || fail "a refused mount made directories"
}

refuses_wrong_mountpoints()
{
	refused 32 'no such directory' "$work/nowhere" -o "shards=$shards"
	touch "$work/file"
	refused 32 'not a directory' "$work/file" -o "shards=$shards"
}

keeps_what_it_was_given()
{
	mount_matfs "raid=5,shards=$shards" || fail "cannot mount"
	grep -q "$mnt .* - fuse.matfs " /proc/self/mountinfo || fail "not a fuse.matfs"
	cp "$MATFS" "$mnt/program" || fail "cannot copy"
	mkdir -p "$mnt/a/b" && echo text >"$mnt/a/b/c" && ln "$mnt/a/b/c" "$mnt/link" &&
		ln -s a/b/c "$mnt/symlink" || fail "cannot make names"
	cmp "$MATFS" "$mnt/program" || fail "it reads back differently"
	umount_matfs || fail "cannot unmount"
	mount_matfs "shards=$shards" || fail "cannot mount again"
	cmp "$MATFS" "$mnt/program" || fail "after a remount it reads back differently"
	[ "$(cat "$mnt/symlink")" = text ] && [ "$(stat -c %h "$mnt/link")" = 2 ] || fail "names are gone"
}

is_not_mounted_twice()
{
	mkdir "$work/other"
	timeout 60 "$MATFS" "$mnt" -o "shards=$shards" 2>"$work/err"
	[ $? -eq 32 ] || fail "the same mountpoint was taken twice"
	grep -q 'mounted there already' "$work/err" || fail "it says: $(cat "$work/err")"
	timeout 60 "$MATFS" "$work/other" -o "shards=$shards,wait=0" 2>"$work/err"
	[ $? -eq 32 ] || fail "the same volume was mounted twice"
	! is_mounted "$work/other" || fail "the same volume is mounted twice"
	[ "$(wc -l <"$work/err")" -eq 1 ] || fail "not one line: $(cat "$work/err")"
	[ "$(cat "$mnt/a/b/c")" = text ] || fail "the first mount suffered"
}

tells_about_itself()
{
	local before

	[ -z "$(find "$mnt" -maxdepth 1 -name '.stats*')" ] || fail ".stats is listed"
	grep -q '^volume$' "$mnt/.stats" && grep -Eq '^  state +online$' "$mnt/.stats" ||
		fail ".stats: $(cat "$mnt/.stats")"
	python3 -m json.tool "$mnt/.stats.json" >/dev/null || fail ".stats.json is no JSON"
	[ "$(fact "s['volume']['raid'], len(s['shards']), s['volume']['state']")" = "(5, 4, 'online')" ] ||
		fail "the volume is not what it says"
	[ "$(fact "s['shards'][3]['path']")" = "$work/shard4" ] || fail "a shard's path is wrong"
	[ "$(fact "s['data']['logical_bytes'] > 4096 and s['log']['commits'] >= 0")" = True ] ||
		fail "no data: $(fact "s['data']")"
	before=$(fact "s['ops']['mkdir']['count']")
	mkdir "$mnt/d1" "$mnt/d2" && rmdir "$mnt/d1" "$mnt/d2" || fail "cannot make directories"
	[ "$(fact "s['ops']['mkdir']['count']")" -eq $((before + 2)) ] || fail "mkdir is not counted"
	[ "$(fact "0 < s['ops']['mkdir']['p50_ns'] <= s['ops']['mkdir']['p99_ns']")" = True ] ||
		fail "mkdir is not timed: $(fact "s['ops']['mkdir']")"
	[ "$(stat -c '%a %s %F' "$mnt/.stats")" = "444 0 regular empty file" ] || fail "odd attributes"
	cp "$mnt/.stats.json" "$work/copy.json" && python3 -m json.tool "$work/copy.json" >/dev/null ||
		fail "cp of .stats.json"
	[ "$(head -c 8 "$mnt/.stats")" = "$(dd if="$mnt/.stats" bs=3 count=3 status=none | head -c 8)" ] ||
		fail "small reads differ"
}

keeps_its_own_names()
{
	local what

	for what in 'rm -f' 'rmdir' 'touch' 'chmod 600' 'mv -T a' 'ln -f link' 'setfattr -n user.a -v b' \
		'truncate -s 1'; do
		(cd "$mnt" && $what .stats) 2>/dev/null && fail "$what .stats was allowed"
	done
	(cd "$mnt" && mv .stats.json x) 2>/dev/null && fail ".stats.json can be renamed"
	(echo x >>"$mnt/.stats") 2>/dev/null && fail ".stats can be written"
	mkdir "$mnt/sub" && touch "$mnt/sub/.stats" && rm -r "$mnt/sub" ||
		fail "only the root's names are taken"
}

# $1: a signal.
ends_by_signal()
{
	local pid

	python3 - "$mnt" <<-'PY' || fail "cannot write"
		import mmap, os, sys
		fd = os.open(sys.argv[1] + "/mapped", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
		os.truncate(fd, 8192)
		m = mmap.mmap(fd, 8192)
		m[5000:5004] = b"here"
		os._exit(0)  # neither msync nor munmap
	PY
	echo "unsynced $1" >"$mnt/unsynced"
	# A file that is held open does not keep the daemon.
	exec 7>"$mnt/held"
	echo held >&7
	pid=$(daemon_pids)
	kill -"$1" "$pid" || fail "no daemon"
	wait_daemon_gone 30 || fail "the daemon does not end by SIG$1"
	exec 7>&-
	! is_mounted "$mnt" || fail "SIG$1 leaves a mount behind"
	mount_matfs "shards=$shards" || fail "cannot mount after SIG$1"
	[ "$(cat "$mnt/unsynced")" = "unsynced $1" ] || fail "SIG$1 lost what was written"
	[ "$(cat "$mnt/held")" = held ] || fail "SIG$1 lost what was written to an open file"
	[ "$(tail -c +5001 "$mnt/mapped" | head -c 4)" = here ] || fail "SIG$1 lost a mapped page"
	fact "s['messages']" | grep -q recovered && fail "SIG$1 left the volume unclean"
	return 0
}

stays_in_the_foreground()
{
	local pid rc i

	umount_matfs || fail "cannot unmount"
	"$MATFS" "$mnt" -f -o "shards=$shards" 2>"$work/err" &
	pid=$!
	for ((i = 0; i < 200; i++)); do
		grep -q 'mounted on' "$work/err" && break
		sleep 0.05
	done
	is_mounted "$mnt" || fail "-f does not mount: $(cat "$work/err")"
	kill -0 "$pid" || fail "-f went to the background"
	[ "$(cat "$mnt/a/b/c")" = text ] || fail "cannot read with -f"
	kill -INT "$pid"
	wait "$pid"
	rc=$?
	[ "$rc" -eq 0 ] || fail "-f ended with $rc after SIGINT"
	grep -q 'unmounted' "$work/err" || fail "-f says nothing of the end: $(cat "$work/err")"
	! is_mounted "$mnt" || fail "-f leaves a mount behind"
}

reads_only_when_told()
{
	mount_matfs "shards=$shards,ro" || fail "cannot mount ro"
	[ "$(cat "$mnt/a/b/c")" = text ] || fail "cannot read from ro"
	touch "$mnt/x" 2>"$work/err" && fail "ro can be written"
	grep -q 'Read-only' "$work/err" || fail "it says: $(cat "$work/err")"
	[ "$(fact "s['volume']['state']")" = read-only ] || fail ".stats does not say that it is ro"
	umount_matfs || fail "cannot unmount"
}

fails_with_a_reason()
{
	# Two of four shards are not enough for raid 5.
	mv "$work/shard1" "$work/away1"
	mv "$work/shard2" "$work/away2"
	refused 32 'shard' "$mnt" -o "shards=$shards,wait=0"
	[ "$(wc -l <"$work/err")" -eq 1 ] || fail "not one line: $(cat "$work/err")"
	mv "$work/away1" "$work/shard1"
	mv "$work/away2" "$work/shard2"
	refused 32 'raid|level' "$mnt" -o "raid=6,shards=$shards"
	mount_matfs "shards=$shards" || fail "cannot mount after refusals"
	umount_matfs || fail "cannot unmount"
}

finds_a_place_by_itself()
{
	"$MATFS" "$mnt" 2>"$work/err" || fail "cannot mount without settings: $(cat "$work/err")"
	grep -q "$XDG_DATA_HOME/matfs" "$work/err" || fail "it does not say where: $(cat "$work/err")"
	[ "$(fact "len(s['shards'])")" = 4 ] || fail "not four shards"
	[ "$(stat -c %a "$(fact "s['shards'][0]['path']")")" = 700 ] || fail "others may look into shards"
	echo here >"$mnt/x"
	umount_matfs || fail "cannot unmount"
	"$MATFS" "$mnt" 2>"$work/err" && [ "$(cat "$mnt/x")" = here ] || fail "it is not found again"
	umount_matfs || fail "cannot unmount"
}

survives_a_killed_daemon()
{
	mount_matfs "shards=$shards" || fail "cannot mount"
	echo synced >"$mnt/synced" && sync "$mnt/synced" || fail "cannot write"
	kill -KILL "$(daemon_pids)"
	wait_daemon_gone 10 || fail "the daemon does not die"
	timeout 60 "$MATFS" "$mnt" -o "shards=$shards" 2>"$work/err"
	[ $? -eq 32 ] && grep -q 'daemon has died' "$work/err" || fail "it says: $(cat "$work/err")"
	fusermount3 -u "$mnt" || umount "$mnt" || fail "cannot unmount what is left"
	mount_matfs "shards=$shards" || fail "cannot mount after SIGKILL"
	[ "$(cat "$mnt/synced")" = synced ] || fail "SIGKILL lost what was synced"
	umount_matfs || fail "cannot unmount"
}

new_shards 4
says_who_it_is
refuses_wrong_settings
refuses_wrong_mountpoints
keeps_what_it_was_given
is_not_mounted_twice
tells_about_itself
keeps_its_own_names
ends_by_signal TERM
ends_by_signal HUP
stays_in_the_foreground
reads_only_when_told
fails_with_a_reason
finds_a_place_by_itself
survives_a_killed_daemon
echo "test_basic: all passed"
