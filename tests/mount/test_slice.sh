#!/bin/bash
# Slices of arrays: slice.py compares them with numpy's; here, what other programs make of them, and a mount that ends with
# some open.

# shellcheck source=tests/mount/lib.sh
. "${SRC_DIR:?}/tests/mount/lib.sh"

need_fuse
python=$(command -v /usr/bin/python3 || command -v python3) || skip "python3 is not installed"
"$python" -c 'import numpy' 2>/dev/null || skip "python3-numpy is not installed"

seed=${SLICE_SEED:-$RANDOM}
slice=$mnt/.slice

# The array of $1, an .npy file in the working directory, is the same as numpy's $2 of $work/a.npy.
is_part()
{
	"$python" - "$1" "$2" "$work/a.npy" <<'END' || fail "$1 is not a$2"
import sys
import numpy as np
a = np.load(sys.argv[3])
seen, want = np.load(sys.argv[1]), eval("a" + sys.argv[2])
assert seen.dtype == want.dtype and np.array_equal(seen, want), (seen.shape, want.shape)
END
}

programs_read_them()
{
	local e='[10:900:7, ::-4]'

	mkdir -p "$mnt/runs/one"
	"$python" -c 'import sys, numpy; numpy.save(sys.argv[1],
		numpy.random.default_rng(1).normal(size=(1000, 500)).cumsum(axis=0))' "$work/a.npy"
	cp "$work/a.npy" "$mnt/runs/one/a.npy"
	cd "$work" || fail "no $work"
	cp "$slice/runs/one/a.npy@$e" cp.npy || fail "cp"
	is_part cp.npy "$e"
	cp -a --sparse=always "$slice/runs/one/a.npy@$e" cp.npy || fail "cp -a"
	is_part cp.npy "$e"
	[ "$(stat -c %Y cp.npy)" = "$(stat -c %Y "$mnt/runs/one/a.npy")" ] || fail "cp -a: another time"
	cat "$slice/runs/one/a.npy@$e" >cat.npy || fail "cat"
	cmp cat.npy cp.npy || fail "cat: other bytes"
	dd if="$slice/runs/one/a.npy@$e" of=dd.npy bs=777 status=none || fail "dd"
	cmp dd.npy cp.npy || fail "dd: other bytes"
	dd if="$slice/runs/one/a.npy@$e" of=dd.npy bs=64k iflag=direct status=none || fail "dd direct"
	cmp dd.npy cp.npy || fail "dd, direct: other bytes"
	dd if="$slice/runs/one/a.npy@$e" of=dd.part bs=1 skip=1001 count=33 status=none || fail "dd"
	cmp -n 33 dd.part cp.npy 0 1001 || fail "dd, a part: other bytes"
	tail -c 100 "$slice/runs/one/a.npy@$e" | cmp - <(tail -c 100 cp.npy) || fail "tail: other bytes"
	tar -C "$slice/runs" -cf tar.tar "one/a.npy@$e" || fail "tar"
	tar -xf tar.tar || fail "tar -x"
	cmp "one/a.npy@$e" cp.npy || fail "tar: other bytes"
	head -c 128 "$slice/runs/one/a.npy@[5, 5]" | grep -q "'shape': ()" || fail "no 0-dimensional one"
	# Within the volume, where the kernel may have it copied by copy_file_range().
	cp "$slice/runs/one/a.npy@$e" "$mnt/copy.npy" || fail "cp within"
	cmp "$mnt/copy.npy" cp.npy || fail "cp within: other bytes"
	[ -z "$(find "$slice" -mindepth 1)" ] || fail "something is listed"
	cd / || fail "no /"
}

# Lookups and opens beside each other find one file; and the mount may end with names known, and after reads of all kinds.
many_at_once()
{
	local i

	for i in 1 2 3 4; do
		for e in '[3]' '[:, 3]' '[::2]' '[::-1, 7]' '[500:, None]'; do
			cmp "$slice/runs/one/a.npy@$e" "$slice/runs/one/a.npy@$e" || echo "$e" >>"$work/bad" &
		done
	done
	wait
	[ ! -e "$work/bad" ] || fail "differs from itself: $(cat "$work/bad")"
}

new_shards 4
mount_matfs "raid=5,memory=256M,shards=$shards,state=$work/state" || fail "cannot mount"
"$python" "$SRC_DIR/tests/mount/slice.py" "$mnt" "$seed" || fail "slice.py, seed $seed"
programs_read_them
many_at_once
umount_matfs || fail "cannot unmount"
# From the shards, read-only, with one of them gone.
rm -r "$work/shard2"
mount_matfs "degraded,ro,wait=0,shards=$work/shard1:$work/shard3:$work/shard4,state=$work/state" ||
	fail "cannot mount again"
cd "$work" || fail "no $work"
is_part "$slice/runs/one/a.npy@[::-3, 100:]" '[::-3, 100:]'
cd / || fail "no /"
"$python" -c 'import sys; open(sys.argv[1], "w")' "$slice/runs/one/a.npy@[0]" 2>/dev/null &&
	fail "opened for writing"
umount_matfs || fail "cannot unmount"
