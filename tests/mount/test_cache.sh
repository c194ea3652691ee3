#!/usr/bin/env bash
# The cache keeps what is read often: nine of ten reads of a Zipf workload whose hot set fits are answered from it, and
# hardly fewer when somebody has read the whole file from end to end.

. "${SRC_DIR:?}/tests/mount/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3 here"

new_shards 3
mount_matfs "raid=5,shards=$shards,memory=96M,state=$work/state"
python3 "$SRC_DIR/tests/mount/cache_work.py" "$mnt" 512 || fail "the cache does not keep what is read often"
umount_matfs
