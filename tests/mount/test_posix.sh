#!/bin/bash
# matfs's own conformance suite on a RAID-5 volume: every posix_* program, numpy and SQLite on it,
# then what has to survive an unmount, looked at on a mount for writing and on a read-only one.
#
# Settings besides those of lib.sh:
#   STRESS_SECONDS  how long each random test runs (default 20)
#   POSIX_OPTIONS   mount options in place of raid=5

# shellcheck source=tests/mount/lib.sh
. "${SRC_DIR:?}/tests/mount/lib.sh"

need_fuse

programs=$BUILD_DIR/tests/mount
python=/usr/bin/python3
[ -x "$python" ] || python=python3
options=${POSIX_OPTIONS:-raid=5}
seconds=${STRESS_SECONDS:-20}
seed=${SEED:-$RANDOM$RANDOM}
# The longest that one program may take.
limit=300
failures=

# Run one program; a failure is noted, since one should not hide the others.
run()
{
	local rc start=$SECONDS

	# Without an answer from the daemon only SIGKILL reaches a process.
	timeout -k 10 "$limit" "$@"
	rc=$?
	echo "-- ${*##*/}: $((SECONDS - start)) s"
	[ "$rc" -eq 0 ] || failures="$failures ${1##*/}"
	[ -n "$(daemon_pids)" ] || fail "the daemon is gone after: $*"
}

mount_again()
{
	umount_matfs || fail "cannot unmount"
	mount_matfs "$1" || fail "cannot mount with $1"
}

new_shards 4
mount_matfs "$options,shards=$shards" || fail "cannot mount"
chmod 755 "$mnt"

for program in "$programs"/posix_*; do
	[ -x "$program" ] || continue
	case ${program##*/} in
	posix_persist) ;;
	posix_stress | posix_tree)
		run "$program" "$mnt" "$seconds" "$seed"
		;;
	*)
		run "$program" "$mnt"
		;;
	esac
done
# A hundred thousand names, as often as it is affordable: once.
run "$programs/posix_dir" --large --only every_name_is_listed_once "$mnt"

if "$python" -c 'import numpy' 2>/dev/null; then
	run "$python" "$SRC_DIR/tests/mount/numpy_use.py" "$mnt" "$seed"
else
	echo "-- numpy_use.py left out: python3-numpy is not installed"
fi

export MANIFEST=$work/manifest
run "$programs/posix_persist" --write "$mnt"
mount_again "shards=$shards"
run "$programs/posix_persist" --verify "$mnt"
mount_again "shards=$shards,ro"
run "$programs/posix_persist" --readonly "$mnt"
umount_matfs || fail "cannot unmount"

[ -z "$failures" ] || fail "failed:$failures"
echo "test_posix: all passed"
