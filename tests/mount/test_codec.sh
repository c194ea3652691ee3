#!/bin/bash
# How data is compressed, as a user sees it: policies by attribute, facts about files, matfsctl recompress, the settings
# for GPUs, and tools that copy attributes.

# shellcheck source=tests/mount/lib.sh
. "${SRC_DIR:?}/tests/mount/lib.sh"

need_fuse
[ -x "${MATFSCTL:?}" ] || fail "$MATFSCTL is not there"
for tool in setfattr getfattr rsync python3; do
	command -v "$tool" >/dev/null || skip "$tool is not installed"
done
python3=$(command -v /usr/bin/python3 || command -v python3)

# attr FILE NAME: print an attribute, fail where it is not there.
attr() { getfattr --only-values --absolute-names -n "$2" "$1" 2>/dev/null; }
# policy VALUE FILE...
policy()
{
	local value=$1

	shift
	setfattr -n user.matfs.codec -v "$value" "$@" || fail "cannot set $value on $*"
}
# is VALUE FILE NAME: the attribute has that value; VALUE empty: there is none.
is()
{
	local got

	got=$(attr "$2" "user.matfs.$3")
	[ "$got" = "$1" ] || fail "$2: $3 is '$got', not '$1'"
}
# stat GROUP NAME...: a number in .stats.json.
stat()
{
	"$python3" -c '
import json, sys
at = json.load(open(sys.argv[1]))
for key in sys.argv[2:]:
    at = at[key]
print(at)' "$mnt/.stats.json" "$@" || fail "no $* in .stats.json"
}
# refuses WHAT COMMAND...: it fails and says WHAT.
refuses()
{
	local what=$1

	shift
	"$@" >"$work/said" 2>&1 && fail "$*: was not refused"
	grep -q -- "$what" "$work/said" || fail "$*: no '$what': $(cat "$work/said")"
}

policies_are_inherited()
{
	mkdir -p "$mnt/dir/before"
	is "" "$mnt/dir" codec
	policy zstd:7 "$mnt/dir"
	mkdir "$mnt/dir/sub"
	echo x >"$mnt/dir/sub/file"
	ln -s file "$mnt/dir/sub/link"
	is zstd:7 "$mnt/dir/sub" codec
	is zstd:7 "$mnt/dir/sub/file" codec
	is "" "$mnt/dir/before" codec
	mv "$mnt/dir/sub/file" "$mnt/moved"
	is zstd:7 "$mnt/moved" codec
	setfattr -x user.matfs.codec "$mnt/dir" || fail "cannot remove a policy"
	echo x >"$mnt/dir/after"
	is "" "$mnt/dir/after" codec
	refuses 'Invalid argument' setfattr -n user.matfs.codec -v lz4 "$mnt/dir"
	refuses 'Invalid argument' setfattr -n user.matfs.codec -v zstd:20 "$mnt/dir"
	refuses 'Invalid argument' setfattr -n user.matfs.codec -v none:1 "$mnt/dir/after"
	refuses 'No such attribute' setfattr -x user.matfs.codec "$mnt/dir"
	for name in ratio dtype shape; do
		refuses 'not permitted' setfattr -n "user.matfs.$name" -v 1 "$mnt/moved"
		refuses 'not permitted' setfattr -x "user.matfs.$name" "$mnt/moved"
	done
}

policies_decide()
{
	local name

	for name in auto none zstd zstd:19 auto:3; do
		: >"$mnt/by"
		policy "$name" "$mnt/by"
		cat "$work/numbers" >"$mnt/by"
		sync "$mnt/by"
		cmp "$work/numbers" "$mnt/by" || fail "$name: other bytes"
		attr "$mnt/by" user.matfs.ratio >"$work/ratio.$name" || fail "$name: no ratio"
		rm "$mnt/by"
	done
	[ "$(cat "$work/ratio.none")" = 1.00 ] || fail "none: $(cat "$work/ratio.none")"
	for name in auto zstd zstd:19 auto:3; do
		awk '$1 < 1.05 { exit 1 }' "$work/ratio.$name" ||
			fail "$name: ratio $(cat "$work/ratio.$name")"
	done
	# Numbers are what this is made for.
	awk 'NR == 1 { zstd = $1 } NR == 2 { exit !($1 >= zstd) }' "$work/ratio.zstd" "$work/ratio.auto" ||
		fail "auto $(cat "$work/ratio.auto") is behind zstd $(cat "$work/ratio.zstd")"
}

# ($1 may be the mount or a directory of no matfs.)
make_arrays()
{
	"$python3" - "$1" <<'END'
import sys
try:
    import numpy as np
except ImportError:
    sys.exit(77)
to = sys.argv[1]
a = np.cumsum(np.random.default_rng(1).normal(size=(300, 400)), axis=1)
np.save(to + "/c.npy", a.astype("f4"))
np.save(to + "/f.npy", np.asfortranarray(a))
np.save(to + "/i.npy", np.arange(5000, dtype=">i2"))
np.savez(to + "/z.npz", first=a.astype("c16"), second=np.arange(3))
END
}

arrays_are_known()
{
	make_arrays "$mnt"
	case $? in
	77) return ;;
	0) ;;
	*) fail "cannot save arrays" ;;
	esac
	# From memory, then from the shards.
	for _ in 1 2; do
		is '<f4' "$mnt/c.npy" dtype
		is '(300, 400)' "$mnt/c.npy" shape
		is '<f8' "$mnt/f.npy" dtype
		is '(300, 400)' "$mnt/f.npy" shape
		is '>i2' "$mnt/i.npy" dtype
		is '(5000,)' "$mnt/i.npy" shape
		is '<c16' "$mnt/z.npz" dtype
		is '' "$mnt/moved" dtype
		is '' "$mnt/moved" shape
		is '1.00' "$mnt/moved" ratio
		is '' "$mnt/dir" ratio
		sync "$mnt"/*.np?
	done
	awk -v r="$(attr "$mnt/f.npy" user.matfs.ratio)" 'BEGIN { exit !(r > 1.05) }' ||
		fail "f.npy: ratio $(attr "$mnt/f.npy" user.matfs.ratio)"
	getfattr -d -m - --absolute-names "$mnt/f.npy" | grep -q matfs && fail "facts are listed"
	"$python3" - "$mnt" <<'END' || fail "arrays do not come back"
import sys
import numpy as np
a = np.cumsum(np.random.default_rng(1).normal(size=(300, 400)), axis=1)
f = np.load(sys.argv[1] + "/f.npy")
assert f.flags.f_contiguous and f.tobytes() == a.tobytes()
END
}

copies_keep_policies()
{
	mkdir -p "$mnt/from/sub" "$work/out"
	policy none "$mnt/from/sub"
	cp "$work/numbers" "$mnt/from/sub/one"
	echo text >"$mnt/from/two"
	policy zstd:4 "$mnt/from/two"
	setfattr -n user.other -v kept "$mnt/from/two"
	cp -a "$mnt/from" "$mnt/to" || fail "cp -a within the mount"
	is none "$mnt/to/sub/one" codec
	is zstd:4 "$mnt/to/two" codec
	rsync -aX "$mnt/from/" "$mnt/to2/" || fail "rsync -aX within the mount"
	is none "$mnt/to2/sub/one" codec
	is zstd:4 "$mnt/to2/two" codec
	rsync -aX --delete "$mnt/from/" "$mnt/to2/" || fail "rsync -aX once more"
	# Out and back, where the other file system has user attributes at all.
	if setfattr -n user.test -v 1 "$work/out" 2>/dev/null; then
		setfattr -x user.test "$work/out"
		cp -a "$mnt/from" "$work/out/cp" || fail "cp -a from the mount"
		rsync -aX "$mnt/from/" "$work/out/rsync/" || fail "rsync -aX from the mount"
		cp -a "$work/out/cp" "$mnt/back" || fail "cp -a to the mount"
		rsync -aX "$work/out/rsync/" "$mnt/back2/" || fail "rsync -aX to the mount"
		for name in "$work/out/rsync" "$mnt/back" "$mnt/back2"; do
			is none "$name/sub/one" codec
			is zstd:4 "$name/two" codec
			[ "$(attr "$name/two" user.other)" = kept ] || fail "$name: an attribute is lost"
			diff -r "$mnt/from" "$name" || fail "$name: other bytes"
		done
	else
		cp -a "$mnt/from" "$work/out/cp" || fail "cp -a from the mount"
		cp -a "$work/out/cp" "$mnt/back" || fail "cp -a to the mount"
	fi
	# Into a directory with a policy.
	mkdir "$mnt/strict"
	policy none "$mnt/strict"
	rsync -aX "$mnt/from/" "$mnt/strict/" || fail "rsync -aX into a policy"
	diff -r "$mnt/from" "$mnt/strict" || fail "other bytes"
}

counters_tell()
{
	[ "$(stat encoders cpu extents)" -ge 0 ] || fail "no encoders"
	[ "$(($(stat encoders none extents) + $(stat encoders cpu extents) + \
		$(stat encoders gpu extents) + $(stat encoders zstd extents)))" -gt 0 ] ||
		fail "nothing was encoded"
	[ "$(stat encoders none raw_bytes)" -gt 0 ] || fail "policy none did not count"
	[ "$(stat reasons mode extents)" -gt 0 ] || fail "no reason for policy none"
	[ "$(stat reasons asked extents)" -gt 0 ] || fail "no reason for policy zstd"
	[ "$(stat gpus)" = "[]" ] || echo "GPUs: $(stat gpus)"
	stat recompress queued >/dev/null
	grep -q '^encoders' "$mnt/.stats" || fail "no encoders in .stats"
}

# ctl CODE PATTERN ARGUMENT...
ctl()
{
	local code=$1 pattern=$2 rc

	shift 2
	timeout 120 "$MATFSCTL" "$@" >"$work/said" 2>&1
	rc=$?
	[ "$rc" -eq "$code" ] || fail "matfsctl $*: exit code $rc, not $code: $(cat "$work/said")"
	grep -Eq -- "$pattern" "$work/said" || fail "matfsctl $*: no '$pattern': $(cat "$work/said")"
}

times() { command stat -c '%n %X %Y %Z %s' "$@"; }

recompress_follows_the_policy()
{
	local before after

	mkdir -p "$mnt/re/deep"
	policy none "$mnt/re" "$mnt/re/deep"
	cp "$work/numbers" "$mnt/re/a"
	cp "$work/numbers" "$mnt/re/deep/b"
	ln -s /etc "$mnt/re/link"
	mkfifo "$mnt/re/fifo"
	sync "$mnt/re/a" "$mnt/re/deep/b"
	is 1.00 "$mnt/re/a" ratio
	ctl 0 '^2 files, [0-9]+ bytes: stored' recompress --wait "$mnt/re"
	is 1.00 "$mnt/re/a" ratio
	policy auto "$mnt/re/a" "$mnt/re/deep/b"
	before=$(times "$mnt/re/a" "$mnt/re/deep/b")
	ctl 0 '^2 files' recompress --wait "$mnt/re"
	after=$(times "$mnt/re/a" "$mnt/re/deep/b")
	[ "$before" = "$after" ] || fail "recompress moves times: $before, $after"
	for name in a deep/b; do
		awk -v r="$(attr "$mnt/re/$name" user.matfs.ratio)" 'BEGIN { exit !(r > 1.05) }' ||
			fail "$name was not recompressed"
		cmp "$work/numbers" "$mnt/re/$name" || fail "$name: other bytes"
	done
	ctl 0 '^1 files queued' recompress "$mnt/re/a"
	ctl 1 'nowhere: No such file' recompress --wait "$mnt/re/a" "$mnt/nowhere"
	ctl 8 'only files of a mounted matfs' recompress "$work/numbers"
	ctl 8 'neither a file nor a directory' recompress "$mnt/re/fifo"
	ctl 16 'which files' recompress
	ctl 16 'unknown option' recompress --now "$mnt/re"
	ctl 0 'recompress' --help
	[ "$(id -u)" -eq 0 ] || return 0
	chmod 755 "$mnt/re" && chmod 644 "$mnt/re/a" && chmod 666 "$mnt/re/deep/b"
	setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$MATFSCTL" recompress "$mnt/re/a" "$mnt/re/deep/b" >"$work/said" 2>&1
	[ $? -eq 8 ] || fail "somebody else may recompress: $(cat "$work/said")"
	grep -q 're/a: .*as the owner' "$work/said" || fail "says: $(cat "$work/said")"
	chown 65534 "$mnt/re/deep/b"
	setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$MATFSCTL" recompress --wait "$mnt/re/deep/b" >"$work/said" 2>&1 ||
		fail "the owner may not recompress: $(cat "$work/said")"
}

# A program that writes and verifies all the time, in blocks that tell where and when they are from.
busy()
{
	"$python3" - "$mnt/busy" "$work/busy.stop" <<'END'
import os, random, struct, sys
path, stop = sys.argv[1:]
block, nr = 5000, 1200
rng = random.Random(4)
now = [0] * nr
def make(i):
    return struct.pack("<2I", i, now[i]) * (block // 8)
fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
for i in range(nr):
    os.pwrite(fd, make(i), i * block)
rounds = 0
while not os.path.exists(stop) or rounds < 300:
    rounds += 1
    for _ in range(10):
        i = rng.randrange(nr)
        now[i] += 1
        assert os.pwrite(fd, make(i), i * block) == block
    if rounds % 50 == 0:
        os.fsync(fd)
    if rounds % 10 == 0:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    for _ in range(5):
        i = rng.randrange(nr)
        assert os.pread(fd, block, i * block) == make(i), i
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
for i in range(nr):
    assert os.pread(fd, block, i * block) == make(i), i
END
}

recompress_lets_writers_win()
{
	local i pid

	rm -f "$work/busy.stop"
	busy &
	pid=$!
	while [ ! -s "$mnt/busy" ]; do sleep 0.05; done
	for i in none auto zstd auto none auto; do
		policy "$i" "$mnt/busy"
		ctl 0 'queued' recompress "$mnt/busy"
		sleep 0.3
	done
	touch "$work/busy.stop"
	wait "$pid" || fail "a writer reads what it did not write while its file is recompressed"
	ctl 0 '^1 files' recompress --wait "$mnt/busy"
}

recompress_bears_a_kill()
{
	local i

	rm -rf "$mnt/kill"
	mkdir "$mnt/kill"
	policy none "$mnt/kill"
	for i in 1 2 3 4 5 6; do
		cp "$work/numbers" "$mnt/kill/$i"
	done
	sync "$mnt/kill"/?
	policy auto "$mnt/kill"/?
	sync "$mnt/kill/1"
	for i in 0 0.05 0.2 0.6; do
		ctl 0 'queued' recompress "$mnt/kill"
		sleep "$i"
		kill -KILL "$(daemon_pids)"
		wait_daemon_gone 10 || fail "the daemon does not die"
		fusermount3 -u -z "$mnt" || fail "cannot unmount"
		mount_matfs "shards=$shards,commit=1" 2>/dev/null || fail "cannot mount after a kill"
		for name in 1 2 3 4 5 6; do
			cmp "$work/numbers" "$mnt/kill/$name" || fail "after a kill: other bytes"
			is auto "$mnt/kill/$name" codec
		done
	done
	ctl 0 '^6 files' recompress --wait "$mnt/kill"
	for name in 1 2 3 4 5 6; do
		awk -v r="$(attr "$mnt/kill/$name" user.matfs.ratio)" 'BEGIN { exit !(r > 1.05) }' ||
			fail "kill/$name was not recompressed"
		cmp "$work/numbers" "$mnt/kill/$name" || fail "kill/$name: other bytes"
	done
}

readonly_refuses()
{
	umount_matfs || fail "cannot unmount"
	mount_matfs "shards=$shards,ro" 2>/dev/null || fail "cannot mount read-only"
	ctl 8 'Read-only file system; mount the volume for writing' recompress "$mnt/re/a"
	is auto "$mnt/kill/1" codec
	attr "$mnt/re/a" user.matfs.ratio >/dev/null || fail "no ratio read-only"
	umount_matfs || fail "cannot unmount"
	ctl 0 '^0 problems' fsck --data "$work"/shard?
}

gpu_settings()
{
	local rc

	mount_matfs "shards=$shards,gpu=auto,gpu_threshold=0" 2>/dev/null || fail "gpu=auto does not mount"
	cp "$work/numbers" "$mnt/gpu" || fail "cannot write with gpu=auto"
	sync "$mnt/gpu"
	cmp "$work/numbers" "$mnt/gpu" || fail "gpu=auto: other bytes"
	umount_matfs || fail "cannot unmount"
	mount_matfs "shards=$shards,gpu=off" 2>/dev/null || fail "gpu=off does not mount"
	cmp "$work/numbers" "$mnt/gpu" || fail "gpu=off: other bytes"
	umount_matfs || fail "cannot unmount"
	"$MATFS" "$mnt" -o "shards=$shards,gpu=on" >"$work/said" 2>&1
	rc=$?
	if [ "$rc" -eq 0 ]; then
		umount_matfs || fail "cannot unmount"
	else
		[ "$rc" -eq 32 ] || fail "gpu=on without a GPU: exit code $rc"
		grep -q 'gpu=on: .*gpu=auto does without' "$work/said" ||
			fail "gpu=on says: $(cat "$work/said")"
		is_mounted "$mnt" && fail "gpu=on without a GPU is mounted"
	fi
	"$MATFS" "$mnt" -o "shards=$shards,gpu=yes" >"$work/said" 2>&1
	[ $? -eq 2 ] || fail "gpu=yes is no setting"
	grep -q 'allowed: auto, on, off' "$work/said" || fail "gpu=yes: $(cat "$work/said")"
}

"$python3" - "$work/numbers" <<'END' || fail "cannot make numbers"
import array, random, sys
rng = random.Random(2)
v, out = 0, array.array("h")
for i in range(1700000):
    v += rng.randrange(-20, 21)
    v = max(-30000, min(30000, v))
    out.append(v)
out.tofile(open(sys.argv[1], "wb"))
END
new_shards 3
mount_matfs "raid=5,shards=$shards,commit=1" 2>/dev/null || fail "cannot mount"
policies_are_inherited
policies_decide
arrays_are_known
copies_keep_policies
counters_tell
recompress_follows_the_policy
recompress_lets_writers_win
recompress_bears_a_kill
readonly_refuses
gpu_settings
echo "test_codec: passed"
