# shellcheck shell=bash
# What the mount tests share. Source it; it needs bash and these settings:
#   MATFS, MATFSCTL  the programs under test
#   BUILD_DIR        the build directory (programs of the tests: $BUILD_DIR/tests/mount/...)
#   SRC_DIR          the top of the source tree
#   MATFS_TRANSPORT  how requests are to come (uring, classic), where mount_matfs mounts; unset: auto
#   TMPDIR           where the test may work (default /var/tmp: shards want a real file system)
#
# Sourcing makes a directory of the test's own, $work, and names the mountpoint in it, $mnt; on
# leaving, however that happens, the trap unmounts, waits for the daemon and removes $work.
#
#   . "${SRC_DIR:?}/tests/mount/lib.sh"
#   need_fuse
#   new_shards 4
#   mount_matfs "raid=5,shards=$shards"
#   echo hello >"$mnt/file" || fail "cannot write"
#   umount_matfs

set -u

: "${MATFS:?the matfs program}" "${BUILD_DIR:?the build directory}" "${SRC_DIR:?the source tree}"
MATFS=$(readlink -f -- "$MATFS")

work=$(mktemp -d "${TMPDIR:-/var/tmp}/matfs-test.XXXXXX") || exit 1
# Tests drop to other users and still have to reach the mountpoint below.
chmod 755 "$work"
mnt=$work/mnt
mkdir "$mnt"
shards=

# Say why and end the test as failed.
fail()
{
	echo "FAIL: $*" >&2
	exit 1
}

# Say why and end the test as skipped (ctest: SKIP_RETURN_CODE 77).
skip()
{
	echo "SKIP: $*" >&2
	exit 77
}

# Leave as skipped where nothing can be mounted.
need_fuse()
{
	[ -c /dev/fuse ] || skip "no /dev/fuse here"
	if ! [ -r /dev/fuse ] || ! [ -w /dev/fuse ]; then
		skip "/dev/fuse may not be opened"
	fi
	command -v fusermount3 >/dev/null || skip "fusermount3 is not installed"
	[ -x "$MATFS" ] || fail "$MATFS is not there"
}

# Have FUSE-over-io_uring switched on, or leave as skipped. (It stays on: other mounts may use it.)
need_fuse_uring()
{
	local enable=/sys/module/fuse/parameters/enable_uring

	need_fuse
	[ -e "$enable" ] || skip "this kernel has no FUSE-over-io_uring ($enable)"
	[ "$(cat "$enable")" = Y ] || echo Y 2>/dev/null >"$enable" ||
		skip "FUSE-over-io_uring is off, and only root may switch it on ($enable)"
}

# Make $1 new shard directories ($work/shard1 ...) and name them all in $shards, as shards= wants.
new_shards()
{
	local i

	shards=
	for ((i = 1; i <= $1; i++)); do
		rm -rf "$work/shard$i"
		mkdir "$work/shard$i" || fail "cannot make $work/shard$i"
		shards=$shards${shards:+:}$work/shard$i
	done
}

# Is there a file system on mountpoint $1? Not by stat, which a dead daemon's mount would refuse.
is_mounted()
{
	awk -v m="$1" '$5 == m { found = 1 } END { exit !found }' /proc/self/mountinfo
}

# Print the process ids of daemons that serve mountpoint $1 (default $mnt), one a line.
# By program and argument, since the daemon has left the shell's children.
daemon_pids()
{
	local exe p arg dir=${1:-$mnt}

	# One find, since a process for each process there is takes long on a busy machine.
	# A program built anew while the old one runs shows as "PATH (deleted)".
	for exe in $(find /proc/[0-9]*/exe -maxdepth 0 \( -lname "$MATFS" -o -lname "$MATFS (deleted)" \) \
		2>/dev/null); do
		p=${exe%/exe}
		while IFS= read -r -d '' arg; do
			[ "$arg" = "$dir" ] && echo "${p#/proc/}" && break
		done 2>/dev/null <"$p/cmdline"
	done
	return 0
}

# Wait up to $1 seconds until no daemon serves $2 (default $mnt).
wait_daemon_gone()
{
	local end=$((SECONDS + $1))

	while [ -n "$(daemon_pids "${2:-$mnt}")" ]; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# Mount with options $1 on $2 (default $mnt). The program goes to the background once the volume
# is up and tells a failure by its exit status, which this returns. Tests that expect a refusal
# call $MATFS themselves or test this function's status.
mount_matfs()
{
	local opts=$1 dir=${2:-$mnt}

	# allow_other lets tests that drop to other users in; only root may always ask for it.
	[ "$(id -u)" -ne 0 ] || opts=$opts,allow_other
	# What the test itself asks for goes over it.
	[ -z "${MATFS_TRANSPORT:-}" ] || opts=transport=$MATFS_TRANSPORT,$opts
	"$MATFS" "$dir" -o "$opts" || return
	is_mounted "$dir" || {
		echo "matfs returned 0, but $dir is not mounted" >&2
		return 1
	}
}

# Unmount $1 (default $mnt) and wait until its daemon is gone, so that all is on the shards.
# shellcheck disable=SC2120 # most tests have one mount
umount_matfs()
{
	local dir=${1:-$mnt} i

	# Another process (an indexer, a just-ended child) may hold the mount for a moment.
	for ((i = 0; i < 50; i++)); do
		fusermount3 -u "$dir" 2>"$work/umount.err" && break
		sleep 0.1
	done
	if is_mounted "$dir"; then
		cat "$work/umount.err" >&2
		return 1
	fi
	wait_daemon_gone 60 "$dir" || {
		echo "the daemon of $dir does not end" >&2
		return 1
	}
}

# The trap: leave nothing mounted, running or on disk. KEEP=1 in the environment keeps $work.
cleanup()
{
	local rc=$? dir p

	trap - EXIT
	# (Paths that mktemp made have no blanks.)
	# shellcheck disable=SC2013
	for dir in $(awk -v w="$work/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo |
		sort -r); do
		fusermount3 -u "$dir" 2>/dev/null || umount -l "$dir" 2>/dev/null ||
			fusermount3 -u -z "$dir" 2>/dev/null
		if ! wait_daemon_gone 20 "$dir"; then
			for p in $(daemon_pids "$dir"); do
				kill -KILL "$p" 2>/dev/null
			done
			wait_daemon_gone 5 "$dir"
		fi
	done
	wait
	[ -n "${KEEP:-}" ] || rm -rf --one-file-system "$work"
	exit "$rc"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
