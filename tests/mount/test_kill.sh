#!/bin/bash
# The daemon is killed (SIGKILL) at random moments while programs work, also while it recovers. After
# the remount what was fsynced is there, each program finds a prefix of what it did, and matfsctl
# fsck finds no problem. The record of what was done is kept outside of the volume.
#
# Settings besides those of lib.sh:
#   KILL_ROUNDS    how often (default 15)
#   KILL_OPTIONS   mount options in place of raid=5
#   SEED           of the work and of the moments

# shellcheck source=tests/mount/lib.sh
. "${SRC_DIR:?}/tests/mount/lib.sh"

need_fuse
[ -x "${MATFSCTL:?}" ] || fail "$MATFSCTL is not there"

python=/usr/bin/python3
[ -x "$python" ] || python=python3
rounds=${KILL_ROUNDS:-15}
options=${KILL_OPTIONS:-raid=5}
seed=${SEED:-$RANDOM}
RANDOM=$seed
nr_writers=3
calls=0
durable=0
recoveries=0

kill_work() { "$python" "$SRC_DIR/tests/mount/kill_work.py" "$@"; }

# Between 0 and $1 milliseconds, as seconds.
moment() { printf '%d.%03d' $((RANDOM % $1 / 1000)) $((RANDOM % $1 % 1000)); }

# Again and again: one that is starting may fork between the look and the shot.
kill_daemon()
{
	local pids end=$((SECONDS + 20))

	while pids=$(daemon_pids) && [ -n "$pids" ]; do
		[ "$SECONDS" -lt "$end" ] || fail "round $round: a killed daemon does not end"
		# shellcheck disable=SC2086 # one word each
		kill -KILL $pids 2>/dev/null
		sleep 0.05
	done
}

# What a killed daemon leaves. Its mount may still be used by someone who has not noticed.
clear_mount()
{
	while is_mounted "$mnt"; do
		fusermount3 -u -z "$mnt" || fail "cannot unmount what the killed daemon left"
	done
}

check_fsck()
{
	local dirs

	IFS=: read -r -a dirs <<<"$shards"
	"$MATFSCTL" fsck "$@" "${dirs[@]}" >"$work/fsck" 2>&1 || {
		cat "$work/fsck" >&2
		fail "round $round: fsck $*"
	}
}

start_writers()
{
	local w

	writers=()
	for ((w = 0; w < nr_writers; w++)); do
		kill_work work "$mnt/dir$w" "$work/record$w" "$work/state$w" \
			$((seed * 1000 + round * 10 + w)) &
		writers+=("$!")
	done
}

end_writers()
{
	local p

	for p in "${writers[@]}"; do
		wait "$p" || fail "round $round: a program failed before the daemon was killed"
	done
}

# A start that is killed before or while it recovers must harm nothing.
kill_recovery()
{
	"$MATFS" "$mnt" -o "shards=$shards" >"$work/killed" 2>&1 &
	sleep "$(moment 150)"
	kill_daemon
	wait "$!"
	clear_mount
	recoveries=$((recoveries + 1))
}

verify_writers()
{
	local w all synced there

	for ((w = 0; w < nr_writers; w++)); do
		read -r all synced there < <(kill_work verify "$mnt/dir$w" "$work/record$w" \
			"$work/state$w") || fail "round $round: writer $w (records are in $work)"
		[ "$there" -ge "$synced" ] || fail "round $round: writer $w"
		calls=$((calls + all))
		durable=$((durable + there))
	done
}

echo "test_kill: $rounds rounds, seed $seed"
new_shards 4
mount_matfs "$options,shards=$shards" || fail "cannot mount"
for ((w = 0; w < nr_writers; w++)); do
	mkdir "$mnt/dir$w"
	echo '{"tag": 0, "files": {}}' >"$work/state$w"
done
sync "$mnt"

for ((round = 1; round <= rounds; round++)); do
	start_writers
	sleep "$(moment 2500)"
	[ -n "$(daemon_pids)" ] || fail "round $round: the daemon ended by itself"
	kill_daemon
	end_writers
	clear_mount
	[ $((round % 3)) -ne 0 ] || check_fsck
	[ $((round % 4)) -ne 0 ] || kill_recovery
	mount_matfs "shards=$shards" 2>"$work/messages" || {
		cat "$work/messages" >&2
		fail "round $round: cannot mount again"
	}
	verify_writers
	if [ $((round % 5)) -eq 0 ] || [ "$round" -eq "$rounds" ]; then
		umount_matfs || fail "round $round: cannot unmount"
		check_fsck --data
		mount_matfs "shards=$shards" 2>"$work/messages" || fail "round $round: cannot mount"
	fi
done
umount_matfs || fail "cannot unmount"
[ "$calls" -gt 0 ] || fail "the programs did nothing"
echo "test_kill: passed; $rounds kills and $recoveries during a start, $calls calls, $durable there afterwards"
